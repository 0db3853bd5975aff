//! Asking the pool over plain HTTP: for its keys, and for tokens. The same connector, and so the same TLS and root certificates, as the
//! AWS client's; answers are bounded in size and time.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector as _, SharedHttpConnector},
    orchestrator::HttpRequest,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret as _, SecretString};
use url::form_urlencoded;

/// The largest answer, in bytes.
const MAX_BYTES: usize = 128 << 10;
/// How long an answer may take, to its last byte.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is asked with.
#[derive(Clone, Debug)]
pub(super) struct Web(pub(super) SharedHttpConnector);

/// An answer: its status, where it leads when it leads elsewhere, and its body.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Web {
    /// GET.
    pub(super) async fn get(&self, url: &str) -> anyhow::Result<Answered> {
        self.send(HttpRequest::get(url)?).await
    }

    /// POST of a form, with the client's name and secret when there is one.
    pub(super) async fn post(
        &self,
        url: &str,
        fields: &[(&str, &str)],
        client: Option<(&str, &SecretString)>,
    ) -> anyhow::Result<Answered> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let length = form.len();
        let mut request = HttpRequest::new(SdkBody::from(form));
        request.set_method("POST")?;
        request.set_uri(url)?;
        request.headers_mut().insert("content-type", "application/x-www-form-urlencoded");
        request.headers_mut().insert("content-length", length.to_string());
        if let Some((name, secret)) = client {
            let both = BASE64_STANDARD.encode(format!("{name}:{}", secret.expose_secret()));
            request.headers_mut().insert("authorization", format!("Basic {both}"));
        }
        self.send(request).await
    }

    async fn send(&self, mut request: HttpRequest) -> anyhow::Result<Answered> {
        request.headers_mut().insert("accept", "application/json");
        let asking = async {
            let answer = self.0.call(request).await.map_err(anyhow::Error::new)?;
            let status = answer.status().as_u16();
            let location = answer.headers().get("location").map(str::to_owned);
            let (mut body, mut stream) = (Vec::new(), ByteStream::new(answer.into_body()));
            while let Some(bytes) = stream.try_next().await? {
                ensure!(body.len() + bytes.len() <= MAX_BYTES, "the answer has more than {MAX_BYTES} bytes");
                body.extend_from_slice(&bytes);
            }
            Ok(Answered { status, location, body })
        };
        tokio::time::timeout(PATIENCE, asking).await.context("no answer in time")?
    }
}
