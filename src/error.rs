//! What can go wrong for a visitor, and the status it gets.
//!
//! Which error belongs where: absent is `Option` until a page needs the thing, then [`Error::NotFound`]; the visitor's mistake is an
//! [`Error::Refused`] with a sentence for them; everything else is `anyhow` inside [`Error::Unavailable`], [`Error::Full`] or
//! [`Error::Internal`], whose cause is for the log only. `pages/problem.rs` turns all of them into HTTP.

use std::{io, time::Duration};

/// What can go wrong for a visitor.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 404: there is no such thing, or it is not this visitor's.
    #[error("There is nothing at this address. It may have been deleted, or belong to someone else.")]
    NotFound,
    /// 401: nobody is signed in; a browser that asks for a page is sent to sign in.
    #[error("Please sign in first.")]
    SignIn,
    /// 4xx: the visitor can do something about it.
    #[error("{0}")]
    Refused(Refusal),
    /// 503: a part outside does not answer, or there is too much to do; trying again after the given time may help.
    #[error("The gallery cannot do this at the moment. Please try again shortly.")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// For the log.
        #[source]
        cause: anyhow::Error,
    },
    /// 507: the disk is full.
    #[error("The gallery has no room left for this. Its operator has to make some.")]
    Full(#[source] anyhow::Error),
    /// 500: our mistake.
    #[error("Something went wrong inside the gallery. It was not your doing, and nothing was changed halfway.")]
    Internal(#[source] anyhow::Error),
}

/// A refusal: its kind gives the status, its sentence says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// What kind of refusal.
    pub kind: Kind,
    /// A sentence.
    pub detail: String,
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400: the request cannot be understood.
    Malformed,
    /// 403: the request comes from another site.
    Forbidden,
    /// 405: the address is right, the method is not.
    Method,
    /// 408: the body came too slowly.
    Slow,
    /// 413: more bytes, files or pixels than are taken.
    TooLarge,
    /// 415: not a type that is taken.
    Type,
    /// 421: the gallery is not known under the name it was asked by.
    Misdirected,
    /// 422: understood, but the content is not acceptable.
    Content,
    /// 429: it goes on already, and cannot go on twice.
    TooMany,
}

impl Kind {
    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Forbidden => 403,
            Self::Method => 405,
            Self::Slow => 408,
            Self::TooLarge => 413,
            Self::Type => 415,
            Self::Misdirected => 421,
            Self::Content => 422,
            Self::TooMany => 429,
        }
    }
}

impl Error {
    /// A refusal with its sentence.
    pub fn refused(kind: Kind, detail: impl Into<String>) -> Self {
        Self::Refused(Refusal { kind, detail: detail.into() })
    }

    /// A failure of a part outside (catalog, store): 507 when a disk is full, else 503.
    pub fn outside(cause: anyhow::Error) -> Self {
        let full = |e: &io::Error| matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if cause.chain().any(|e| e.downcast_ref::<io::Error>().is_some_and(full)) {
            Self::Full(cause)
        } else {
            Self::Unavailable { retry_after: Duration::from_secs(5), cause }
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::SignIn => 401,
            Self::Refused(refusal) => refusal.kind.status(),
            Self::Unavailable { .. } => 503,
            Self::Full(_) => 507,
            Self::Internal(_) => 500,
        }
    }

    /// How long to wait before trying again, where that may help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

/// An error and what caused it, in one line; a cause that the error before it has told already is left out.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut told: Vec<String> = Vec::new();
    for error in std::iter::successors(Some(error), |error| error.source()) {
        let sentence = crate::photo::plain_line(&error.to_string());
        if !told.last().is_some_and(|before| before.contains(&sentence)) {
            told.push(sentence);
        }
    }
    told.join(": ")
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
