//! What S3's refusals mean to the one who set the bucket up.

use std::error::Error;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
};

/// A failed request: a sentence that names the bucket and says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(in crate::store) struct Trouble {
    sentence: String,
    refusal: bool,
    source: Box<dyn Error + Send + Sync>,
}

impl Trouble {
    /// What went wrong when `action` (`s3:GetObject`) was tried on `path`, or on what lies under it.
    pub(super) fn new<E>(bucket: &str, path: &str, action: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|r| r.status().as_u16());
        let no = |advice| (advice, true);
        let (sentence, refusal) = match (error.code(), status) {
            (Some("NoSuchBucket"), _) => {
                no(format!("there is no bucket {bucket}: create it, or correct its name in the settings"))
            }
            (Some("SignatureDoesNotMatch"), _) => no(format!(
                "the bucket {bucket} refuses the signature: the AWS secret access key does not belong to the access key id; correct it"
            )),
            (Some("InvalidAccessKeyId" | "InvalidClientTokenId" | "UnrecognizedClientException"), _) => {
                no(format!("the bucket {bucket} does not know the AWS access key id: correct it or make a new key"))
            }
            (Some("SlowDown" | "RequestTimeout" | "Throttling" | "ThrottlingException"), _) => {
                (format!("{action} found no time on {path} in the bucket {bucket}"), false)
            }
            // A role's credentials are renewed, and a clock is set, while the program runs.
            (Some("ExpiredToken" | "TokenRefreshRequired" | "InvalidToken"), _) => {
                (format!("the AWS credentials for the bucket {bucket} have expired or are damaged: renew them"), false)
            }
            (Some("RequestTimeTooSkewed"), _) => {
                (format!("the bucket {bucket} refuses requests because this machine's clock is wrong: set it"), false)
            }
            (Some("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException"), _)
            | (_, Some(301 | 307)) => {
                no(format!("the bucket {bucket} lies in another region: set the region in which it was created"))
            }
            (_, Some(403)) => no(format!(
                "{action} is denied on arn:aws:s3:::{bucket}/{path}: allow it in the policy of the gallery's role or user, \
                 and s3:ListBucket on the bucket, without which absent objects are denied too"
            )),
            _ if matches!(error, SdkError::DispatchFailure(_) | SdkError::TimeoutError(_)) => {
                if format!("{}", DisplayErrorContext(&error)).contains("CredentialsNotLoaded") {
                    no(format!(
                        "there are no AWS credentials for the bucket {bucket}: give the machine a role, or set a key"
                    ))
                } else {
                    let away = "cannot be reached: check the network, the region and the endpoint";
                    (format!("the bucket {bucket} {away}"), false)
                }
            }
            _ => {
                let code = error.code().map(|code| format!(" ({code})")).unwrap_or_default();
                (format!("{action} failed on {path} in the bucket {bucket}{code}"), false)
            }
        };
        Self { sentence, refusal, source: error.into() }
    }

    /// Whether the bucket said no, and will until somebody corrects something.
    pub(in crate::store) fn is_refusal(&self) -> bool {
        self.refusal
    }
}
