//! No other site makes a browser do something here (CSRF): a request that changes something says that it comes from this gallery, or
//! carries the token that only pages of this gallery know.

use actix_web::{
    HttpMessage,
    dev::{Payload, ServiceRequest},
    http::{
        Method,
        header::{self, HeaderMap},
    },
    web,
};

use super::Guard;
use crate::{
    error::{Error, Kind},
    pages::{Site, form, upload, visitor},
};

/// The longest form that is read for its token, in bytes.
const MAX_FORM_BYTES: usize = 64 << 10;
/// The header in which a program carries the token.
const TOKEN_HEADER: &str = "x-csrf-token";

/// What a request says of where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// This gallery, or its user's own hand.
    Own,
    /// Another site.
    Foreign,
    /// It does not say.
    Untold,
}

impl Guard {
    /// Where a request comes from, as far as its browser tells.
    pub(super) fn source(&self, method: &Method, host: &str, headers: &HeaderMap) -> Source {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Source::Own;
        }
        let text = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or_default());
        let own = match (text("sec-fetch-site"), text("origin")) {
            (Some(site), _) => matches!(site, "same-origin" | "none"),
            (None, Some(origin)) => self.is_own(origin, host),
            (None, None) => return Source::Untold,
        };
        if own { Source::Own } else { Source::Foreign }
    }
}

/// Why a request from another site is not carried out.
pub(super) fn foreign() -> Error {
    Error::refused(Kind::Forbidden, "This request came from another site and was not carried out.")
}

/// Lets a request that does not tell where it comes from pass with its token. A form's body is read for it and put back; for that of an
/// upload its page looks.
pub(super) async fn check_token(request: &mut ServiceRequest) -> Result<(), Error> {
    let site = request.app_data::<web::Data<Site>>().cloned();
    let site = site.ok_or_else(|| Error::Internal(anyhow::anyhow!("the server was made without its site")))?;
    if let Some(token) = request.headers().get(TOKEN_HEADER) {
        let known = token.to_str().is_ok_and(|token| visitor::knows_token(request.request(), &site, token));
        return if known { Ok(()) } else { Err(visitor::tokenless()) };
    }
    match form::media_type(request.request()).as_str() {
        "multipart/form-data" if request.path() == upload::PATH => {
            request.extensions_mut().insert(upload::TokenWanted);
            Ok(())
        }
        "application/x-www-form-urlencoded" => {
            let body = request
                .extract::<web::Payload>()
                .await
                .map_err(|cause| Error::Internal(anyhow::anyhow!("a request had no body to take: {cause}")))?;
            let bytes = site.uploads.small_body(request.request(), body, MAX_FORM_BYTES).await?;
            let fields = form::urlencoded(&bytes).unwrap_or_default();
            request.set_payload(Payload::from(bytes));
            let mut tokens = fields.iter().filter(|(name, _)| name == "token").map(|(_, token)| token);
            match (tokens.next(), tokens.next()) {
                (Some(token), None) if visitor::knows_token(request.request(), &site, token) => Ok(()),
                _ => Err(visitor::tokenless()),
            }
        }
        _ => Err(visitor::tokenless()),
    }
}
