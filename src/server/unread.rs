//! Bodies that nobody reads to their end. The web server would take the rest of a chunked one however long it is; as long as somebody holds
//! the body it takes no more than a second's worth, so that the client still reads the answer, and ends the connection.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    HttpMessage as _,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest},
    error::PayloadError,
    web::Bytes,
};
use futures_util::Stream;

/// The body of a request, held beside whoever reads it.
pub(super) struct Held {
    _body: Rc<RefCell<Payload>>,
}

impl Held {
    /// Holds the request's body, which is read as before.
    pub(super) fn of(request: &mut ServiceRequest) -> Self {
        let body = Rc::new(RefCell::new(request.take_payload()));
        let stream: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> = Box::pin(Reading(Rc::clone(&body)));
        request.set_payload(Payload::Stream { payload: stream });
        Self { _body: body }
    }

    /// The body of the answer, which holds on until it is sent.
    pub(super) fn until_sent(self, body: impl MessageBody + 'static) -> Answer {
        Answer { body: body.boxed(), _held: self }
    }
}

struct Reading(Rc<RefCell<Payload>>);

impl Stream for Reading {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// The body of an answer.
pub(super) struct Answer {
    body: BoxBody,
    _held: Held,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
