//! Asking over plain HTTP, unsigned, with the connector by which AWS is asked.

use anyhow::Context as _;
use aws_smithy_runtime_api::client::{
    http::{HttpConnector as _, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use chrono::{DateTime, Utc};
use url::Url;

use crate::{app::aws, settings::Aws};

/// The most of an answer that is read, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// What is asked with.
pub(super) struct Web(SharedHttpConnector);

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The region that a bucket says it lies in.
    pub(super) bucket_region: Option<String>,
    /// What time it is there.
    pub(super) date: Option<DateTime<Utc>>,
    /// Its beginning.
    pub(super) body: Vec<u8>,
}

impl Web {
    pub(super) fn new(set: &Aws) -> Self {
        Self(aws::connector(set))
    }

    /// Asks, perhaps for a range of bytes (`bytes=0-3`) alone. Follows no redirection.
    pub(super) async fn ask(&self, method: &str, url: &str, range: Option<&'static str>) -> anyhow::Result<Answer> {
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_method(method).context("making a request")?;
        request.set_uri(url).context("making a request")?;
        if let Some(range) = range {
            request.headers_mut().insert("range", range);
        }
        // The query of a signed link is as good as a password.
        let place = Url::parse(url).map_or_else(|_| "a server".to_owned(), |url| url.origin().ascii_serialization());
        let asking = || format!("{place} does not answer: check the network, the region and the endpoint");
        let answer = self.0.call(request).await.map_err(anyhow::Error::new).with_context(asking)?;
        let header = |name: &str| answer.headers().get(name).map(str::to_owned);
        let (status, bucket_region, date) = (answer.status().as_u16(), header("x-amz-bucket-region"), header("date"));
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(&date).ok()).map(|date| date.to_utc());
        let (mut body, mut stream) = (Vec::new(), ByteStream::new(answer.into_body()));
        while let Some(bytes) = stream.try_next().await.context("reading an answer")? {
            body.extend_from_slice(&bytes);
            if body.len() > MAX_BYTES {
                break;
            }
        }
        Ok(Answer { status, bucket_region, date, body })
    }
}
