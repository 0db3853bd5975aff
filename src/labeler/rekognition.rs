//! Labels from Amazon Rekognition (`DetectLabels`). Tries and timeouts belong to the client, which is made elsewhere.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_rekognition::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::detect_labels::{DetectLabelsError, DetectLabelsOutput},
    primitives::Blob,
    types,
};
use bytes::Bytes;

use super::{Labeler, Unlabelled};
use crate::photo::{Instance, Label, ObjectPath};

/// What is wrong where it may not be asked.
const DENIED: &str =
    "the credentials in use are not allowed to call rekognition:DetectLabels; allow it in their IAM policy";
/// What Rekognition refuses once it has found that it may be asked.
const NO_PICTURE: &[u8] = b"this is no picture";

/// Amazon Rekognition.
pub struct Rekognition {
    client: Client,
    max_labels: u16,
    min_confidence: f32,
    /// Where it reads pictures by itself, when it does.
    bucket: Option<String>,
}

impl Rekognition {
    /// The largest picture that Rekognition takes with the request, in bytes (its quota for "raw bytes", 5 MB).
    pub const MAX_BYTES: usize = 5 * 1024 * 1024;
    /// The longest wait that a throttling answer is believed to ask for.
    const LONGEST_WAIT: Duration = Duration::from_mins(15);

    /// Asks for at most `max_labels` labels of at least `min_confidence` percent.
    pub fn new(client: Client, max_labels: u16, min_confidence: f32) -> Self {
        Self { client, max_labels, min_confidence, bucket: None }
    }

    /// Has Rekognition read pictures from the bucket of the store by itself. The bucket must lie in the region that is asked.
    #[must_use]
    pub fn reading_from(self, bucket: String) -> Self {
        Self { bucket: Some(bucket), ..self }
    }

    /// Whether labels may be asked for, found out at no cost: sends what is no picture. `false` when there are too many requests for an
    /// answer. The error is a sentence for the operator.
    pub async fn may_ask(&self) -> anyhow::Result<bool> {
        let image = types::Image::builder().bytes(Blob::new(NO_PICTURE)).build();
        let Err(error) = self.ask(image).await else { return Ok(true) };
        match (error.as_service_error(), unlabelled(&error)) {
            (_, Unlabelled::Never(_)) => Ok(true),
            (
                Some(
                    DetectLabelsError::ThrottlingException(_)
                    | DetectLabelsError::ProvisionedThroughputExceededException(_),
                ),
                _,
            ) => Ok(false),
            (Some(DetectLabelsError::AccessDeniedException(_)), _) => anyhow::bail!(DENIED),
            (Some(refusal), _) => {
                let code = refusal.code().unwrap_or("no code");
                anyhow::bail!("Amazon Rekognition refuses rekognition:DetectLabels ({code})")
            }
            (None, _) => {
                anyhow::bail!("Amazon Rekognition cannot be reached: check the network, the region and the endpoint")
            }
        }
    }

    async fn ask(&self, image: types::Image) -> Result<Vec<Label>, SdkError<DetectLabelsError>> {
        let request = self.client.detect_labels().image(image).max_labels(i32::from(self.max_labels));
        let answer = request.min_confidence(self.min_confidence).send().await?;
        Ok(Label::tidy(labels(answer)))
    }
}

#[async_trait]
impl Labeler for Rekognition {
    async fn labels(&self, jpeg: Bytes) -> Result<Vec<Label>, Unlabelled> {
        if jpeg.len() > Self::MAX_BYTES {
            let megabytes = jpeg.len().div_ceil(1024 * 1024);
            return Err(Unlabelled::Never(format!(
                "Amazon Rekognition takes pictures of at most 5 MB; this one has {megabytes} MB."
            )));
        }
        let image = types::Image::builder().bytes(Blob::new(jpeg)).build();
        self.ask(image).await.map_err(|error| unlabelled(&error))
    }

    async fn labels_of(&self, path: &ObjectPath) -> Option<Result<Vec<Label>, Unlabelled>> {
        let bucket = self.bucket.as_ref()?;
        let object = types::S3Object::builder().bucket(bucket).name(path.as_str()).build();
        let image = types::Image::builder().s3_object(object).build();
        match self.ask(image).await {
            Err(error) if matches!(error.as_service_error(), Some(DetectLabelsError::InvalidS3ObjectException(_))) => {
                tracing::warn!(
                    %path,
                    bucket,
                    error = %DisplayErrorContext(&error),
                    "Amazon Rekognition cannot read a picture from the bucket and is sent it instead; check that both are in one region and \
                     that the role may do s3:GetObject"
                );
                None
            }
            answer => Some(answer.map_err(|error| unlabelled(&error))),
        }
    }

    fn max_bytes(&self) -> usize {
        Self::MAX_BYTES
    }

    fn paid_as(&self) -> Option<String> {
        Some(format!(
            "Amazon Rekognition: at most {} labels of at least {} percent",
            self.max_labels, self.min_confidence
        ))
    }
}

fn labels(answer: DetectLabelsOutput) -> Vec<Label> {
    let name = |name: Option<String>| name.filter(|name| !name.is_empty());
    let label = |label: types::Label| Label {
        name: label.name.unwrap_or_default(),
        confidence: Some(label.confidence.map_or(f64::NAN, f64::from)),
        parents: label.parents.into_iter().flatten().filter_map(|parent| name(parent.name)).collect(),
        categories: label.categories.into_iter().flatten().filter_map(|category| name(category.name)).collect(),
        instances: label.instances.into_iter().flatten().filter_map(|found| instance(&found)).collect(),
    };
    answer.labels.into_iter().flatten().map(label).collect()
}

fn instance(found: &types::Instance) -> Option<Instance> {
    let bounds = found.bounding_box()?;
    Some(Instance {
        confidence: f64::from(found.confidence()?),
        left: f64::from(bounds.left()?),
        top: f64::from(bounds.top()?),
        width: f64::from(bounds.width()?),
        height: f64::from(bounds.height()?),
    })
}

fn unlabelled(error: &SdkError<DetectLabelsError>) -> Unlabelled {
    let retry_after = error
        .raw_response()
        .and_then(|response| response.headers().get("retry-after"))
        .and_then(|seconds| seconds.trim().parse().ok())
        .map(|seconds| Duration::from_secs(seconds).min(Rekognition::LONGEST_WAIT));
    if let Some(refusal) = error.as_service_error() {
        let never = |why: &str| {
            let said = refusal.message().unwrap_or("no reason given");
            let said: String = crate::photo::plain_line(said).chars().take(200).collect();
            Unlabelled::Never(format!("Amazon Rekognition {why} ({said})."))
        };
        match refusal {
            DetectLabelsError::ImageTooLargeException(_) => return never("finds this picture too large"),
            DetectLabelsError::InvalidImageFormatException(_) => return never("cannot read this picture"),
            DetectLabelsError::InvalidParameterException(_) => return never("does not accept this picture"),
            DetectLabelsError::AccessDeniedException(_) => {
                let cause = anyhow::anyhow!("{DENIED}: {}", DisplayErrorContext(error));
                return Unlabelled::NotNow { retry_after, cause };
            }
            _ => {}
        }
    }
    let cause = anyhow::anyhow!("asking Amazon Rekognition (rekognition:DetectLabels): {}", DisplayErrorContext(error));
    Unlabelled::NotNow { retry_after, cause }
}
