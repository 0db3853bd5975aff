//! What the refusals of SNS and SQS mean to the one who set topic and queue up.

use std::{error::Error, fmt};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::{display::DisplayErrorContext, metadata::ProvideErrorMetadata};

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// The topic with this ARN.
    Topic(&'a str),
    /// A queue.
    Queue {
        /// Its URL, `https://sqs.<region>.amazonaws.com/<account>/<name>`.
        url: &'a str,
        /// Where it is.
        region: &'a str,
    },
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(arn) => write!(f, "the topic {arn}"),
            Self::Queue { url, .. } => write!(f, "the queue {url}"),
        }
    }
}

impl Place<'_> {
    /// What a policy calls it.
    fn arn(self) -> String {
        match self {
            Self::Topic(arn) => arn.to_owned(),
            Self::Queue { url, region } => {
                let mut parts = url.rsplit('/');
                let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                format!("arn:aws:sqs:{region}:{account}:{name}")
            }
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Topic(_) => "events.aws.topic_arn",
            Self::Queue { .. } => "events.aws.queue_url",
        }
    }
}

/// What kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The receipt of a message has expired, or the message is gone.
    Receipt,
    /// There is no such thing, or it is not allowed.
    Lasting,
    /// Anything else.
    Other,
}

/// A failed request: a sentence that names topic or queue and says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(super) struct Trouble {
    sentence: String,
    kind: Kind,
    source: Box<dyn Error + Send + Sync>,
}

impl Trouble {
    /// What went wrong when `action` (`sqs:ReceiveMessage`) was tried at `place`.
    pub(super) fn new<E>(place: Place<'_>, action: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        // The older of SQS's two protocols puts the service's name before some of its codes.
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
        let code = code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code).to_owned();
        let (kind, sentence) = match (code.as_str(), status) {
            ("QueueDoesNotExist" | "NonExistentQueue" | "NotFound" | "NotFoundException", _) => {
                (Kind::Lasting, format!("{place} does not exist: create it, or correct {}", place.setting()))
            }
            // Beyond 12 hours in hand a longer time is an invalid value.
            ("ReceiptHandleIsInvalid" | "MessageNotInflight", _) => {
                (Kind::Receipt, format!("{action} is refused by {place}: the message is no longer in hand"))
            }
            ("InvalidParameterValue", _) if matches!(action, "sqs:ChangeMessageVisibility" | "sqs:DeleteMessage") => {
                (Kind::Receipt, format!("{action} is refused by {place}: the message is no longer in hand"))
            }
            ("SignatureDoesNotMatch", _) => (
                Kind::Other,
                format!(
                    "{place} refuses the signature: the AWS secret access key does not belong to the access key id; correct it"
                ),
            ),
            ("InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException", _) => {
                (Kind::Other, format!("{place} does not know the AWS access key id: correct it or make a new key"))
            }
            ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired", _) => {
                (Kind::Other, format!("the AWS credentials for {place} have expired: renew them"))
            }
            ("AccessDenied" | "AccessDeniedException" | "AuthorizationError" | "AuthorizationErrorException", _)
            | (_, Some(403)) => (
                Kind::Lasting,
                format!("{action} is denied on {}: allow it in the policy of the gallery's role or user", place.arn()),
            ),
            _ if matches!(error, SdkError::DispatchFailure(_) | SdkError::TimeoutError(_)) => {
                let sentence = if DisplayErrorContext(&error).to_string().contains("CredentialsNotLoaded") {
                    format!("there are no AWS credentials for {place}: give the machine a role, or set a key")
                } else {
                    format!("{place} cannot be reached: check the network, the region and the endpoint")
                };
                (Kind::Other, sentence)
            }
            (code, _) => {
                let code = if code.is_empty() { String::new() } else { format!(" ({code})") };
                (Kind::Other, format!("{action} failed at {place}{code}"))
            }
        };
        Self { sentence, kind, source: error.into() }
    }

    /// Whether it is only the receipt of a message that has expired.
    pub(super) fn is_of_receipt(&self) -> bool {
        self.kind == Kind::Receipt
    }

    /// Whether it stays so until somebody changes what there is, or what is allowed.
    pub(super) fn is_lasting(&self) -> bool {
        self.kind == Kind::Lasting
    }
}
