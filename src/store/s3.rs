//! Photos in an S3 bucket. Links are presigned (SigV4) at a rounded time and remembered, because signing costs more than a page. They lead
//! to the bucket, or through a CloudFront distribution in front of it.
//!
//! The client is made elsewhere and needs: a region; timeouts for connect, attempt and operation; a few tries; and, when it is
//! pointed at another server than AWS, `force_path_style(true)`, because such servers are rarely reached by bucket host names.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::{Config, Credentials, ProvideCredentials as _, SharedCredentialsProvider, timeout::TimeoutConfig},
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, EncodingType, Object as Entry},
};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{
    Stream, StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use lru::LruCache;
use percent_encoding::percent_decode_str;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use trouble::Trouble;

pub use self::cloudfront::CloudFront;

use super::{Clock, Content, Disposition, Listed, Object, Store, bounded, round_trip, window_start};
use crate::photo::{MediaType, ObjectPath};

mod cloudfront;
pub(super) mod trouble;

/// Keys never change their content, so browsers may keep what they have.
const CACHE_CONTROL: &str = "private, max-age=31536000, immutable";

/// How many links are remembered; about 1 KB each, more with temporary credentials.
const LINKS: NonZeroUsize = NonZeroUsize::new(20_000).expect("it is not zero");

/// How long a request waits for others to end.
const TURN_PATIENCE: Duration = Duration::from_secs(10);

/// Where objects of the gallery lie; the bucket may hold others.
const PREFIXES: [&str; 2] = ["photos/", "renditions/"];

/// The slowest upload that is waited for, in bytes per second; below it the attempt ends.
const SLOWEST_UPLOAD: u64 = 128 * 1024;
/// The longest that one attempt to put may take beside the time for its bytes: a person waits for the answer ...
const PUT_ATTEMPT: Duration = Duration::from_secs(4);
/// ... and all attempts together.
const PUT_OPERATION: Duration = Duration::from_secs(8);

/// Credentials that say no expiry are asked for again after this time: they may have been replaced.
const CREDENTIALS_AGE: TimeDelta = TimeDelta::minutes(15);
/// Temporary credentials with less than this left are asked for again ...
const CREDENTIALS_MARGIN: TimeDelta = TimeDelta::minutes(15);
/// ... but not more often than this, because some sources renew them only minutes before their end.
const CREDENTIALS_PAUSE: TimeDelta = TimeDelta::seconds(30);
/// How long the source of credentials may take.
const CREDENTIALS_PATIENCE: Duration = Duration::from_secs(5);

/// A bucket of photos.
pub struct S3 {
    client: Client,
    provider: SharedCredentialsProvider,
    bucket: String,
    at_once: usize,
    turns: Arc<Semaphore>,
    expiry: TimeDelta,
    clock: Clock,
    signer: tokio::sync::Mutex<Option<Signer>>,
    edge: Option<CloudFront>,
    links: Mutex<Links>,
}

/// The credentials with which links are signed, asked for apart from the client's own requests: a link is signed at a time in
/// the past, at which the client would take credentials for valid that have expired since.
#[derive(Clone)]
struct Signer {
    credentials: Credentials,
    asked: DateTime<Utc>,
}

impl Signer {
    fn expires(&self) -> Option<DateTime<Utc>> {
        self.credentials.expiry().map(DateTime::<Utc>::from)
    }

    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        let age = now - self.asked;
        match self.expires() {
            Some(end) => end > now && (end - now > CREDENTIALS_MARGIN || age < CREDENTIALS_PAUSE),
            None => age < CREDENTIALS_AGE,
        }
    }
}

/// The links of one window, signed with one key.
struct Links {
    start: DateTime<Utc>,
    key: String,
    urls: LruCache<(ObjectPath, MediaType, Disposition), String>,
}

impl S3 {
    /// Uses `bucket` through `client`, with at most `at_once` requests under way, objects that are being read included. Links work for at most `expiry` (itself at most 7 days, the bound of SigV4) and at least
    /// three quarters of it; with temporary credentials from `provider`, as an instance's role has, at most until these expire.
    pub fn new(
        client: Client,
        provider: SharedCredentialsProvider,
        bucket: String,
        at_once: usize,
        expiry: Duration,
        clock: Clock,
    ) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            client,
            provider,
            bucket,
            at_once,
            turns: Arc::new(Semaphore::new(at_once)),
            expiry: bounded(expiry),
            clock,
            signer: tokio::sync::Mutex::new(None),
            edge: None,
            links: Mutex::new(Links { start: DateTime::UNIX_EPOCH, key: String::new(), urls: LruCache::new(LINKS) }),
        }
    }

    /// The same bucket, with links that lead through `edge`. They work for as long as other links do, and no credentials end them earlier.
    #[must_use]
    pub fn behind(self, edge: CloudFront) -> Self {
        Self { edge: Some(edge), ..self }
    }

    /// The right to one request, until it is dropped.
    async fn turn(&self) -> anyhow::Result<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(TURN_PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.with_context(|| {
            format!(
                "{} requests to the bucket {} have been under way for {} s: the bucket is slow, or store.s3.at_once too small",
                self.at_once,
                self.bucket,
                TURN_PATIENCE.as_secs()
            )
        })?;
        turn.context("the bucket takes no requests any more")
    }

    /// The objects whose keys begin alike, a thousand for each request.
    fn list_under(&self, prefix: &'static str) -> impl Stream<Item = anyhow::Result<Listed>> + Send + '_ {
        let pages = stream::try_unfold(Some(None), move |next: Option<Option<String>>| async move {
            let Some(token) = next else { return anyhow::Ok(None) };
            let turn = self.turn().await?;
            let asking = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
            let answer = asking.encoding_type(EncodingType::Url).set_continuation_token(token).send().await;
            let answer = answer.map_err(|e| Trouble::new(&self.bucket, prefix, "s3:ListBucket", e))?;
            drop(turn);
            let next = answer.next_continuation_token.filter(|_| answer.is_truncated == Some(true)).map(Some);
            let encoded = answer.encoding_type == Some(EncodingType::Url);
            let listed: Vec<_> =
                answer.contents.unwrap_or_default().iter().map(|entry| listed(entry, encoded)).collect();
            Ok(Some((stream::iter(listed), next)))
        });
        pages.try_flatten()
    }

    /// Proves that objects may be listed wherever the gallery's lie: asks for the first of each prefix.
    pub async fn lists(&self) -> anyhow::Result<()> {
        for prefix in PREFIXES {
            self.list_under(prefix).boxed().try_next().await?;
        }
        Ok(())
    }

    async fn signer(&self, now: DateTime<Utc>) -> anyhow::Result<Signer> {
        let mut signer = self.signer.lock().await;
        if let Some(signer) = signer.as_ref().filter(|s| s.is_fresh(now)) {
            return Ok(signer.clone());
        }
        let asked = tokio::time::timeout(CREDENTIALS_PATIENCE, self.provider.provide_credentials()).await;
        let asked = asked.context("the source of AWS credentials does not answer").and_then(|a| Ok(a?));
        match (asked, signer.as_mut()) {
            (Ok(credentials), _) => Ok(signer.insert(Signer { credentials, asked: now }).clone()),
            (Err(error), Some(last)) if last.expires().is_some_and(|end| end > now) => {
                tracing::warn!(error = format!("{error:#}"), "signing links with the last AWS credentials");
                last.asked = now;
                Ok(last.clone())
            }
            (Err(error), _) => Err(error.context("there are no AWS credentials to sign links with")),
        }
    }

    /// Remembered links of this window and this key; others are forgotten.
    fn remembered<T>(&self, start: DateTime<Utc>, key: &str, with: impl FnOnce(&mut Links) -> T) -> T {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.start != start || links.key != key {
            links.urls.clear();
            links.start = start;
            key.clone_into(&mut links.key);
        }
        with(&mut links)
    }
}

/// An object as S3 tells it; its key may be encoded as in a form, because XML cannot hold every key.
fn listed(entry: &Entry, encoded: bool) -> anyhow::Result<Listed> {
    let key = entry.key().context("S3 lists an object without a key")?;
    let key = if encoded {
        percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
    } else {
        key.to_owned()
    };
    let modified = entry.last_modified().context("S3 does not tell when an object was written")?;
    let modified = DateTime::from_timestamp(modified.secs(), modified.subsec_nanos());
    Ok(Listed {
        path: key.parse().ok(),
        bytes: entry.size().and_then(|bytes| u64::try_from(bytes).ok()).context("S3 tells no length")?,
        modified: modified.context("S3 tells a moment that cannot be")?,
    })
}

#[async_trait]
impl Store for S3 {
    async fn check(&self) -> anyhow::Result<()> {
        round_trip(self).await.with_context(|| format!("the bucket {} cannot be used for photos", self.bucket))
    }

    /// Beside the trait: one request of at most 5 GB, with a SHA-256 that S3 compares before the object appears. It may take the
    /// client's times, at most [`PUT_ATTEMPT`] and [`PUT_OPERATION`], and longer where the file's size asks for it.
    async fn put(&self, path: &ObjectPath, media_type: MediaType, content: Content<'_>) -> anyhow::Result<()> {
        let (body, bytes) = match content {
            Content::Bytes(bytes) => (ByteStream::from(bytes.to_vec()), bytes.len() as u64),
            Content::File(file) => {
                let reading = || format!("reading {}", file.display());
                let bytes = tokio::fs::metadata(file).await.with_context(reading)?.len();
                (ByteStream::from_path(file).await.with_context(reading)?, bytes)
            }
        };
        let _turn = self.turn().await?;
        let sending = Duration::from_secs(bytes / SLOWEST_UPLOAD);
        let set = self.client.config().timeout_config();
        let least = |set: Option<Duration>, most: Duration| set.unwrap_or(most).min(most);
        let attempt = least(set.and_then(TimeoutConfig::operation_attempt_timeout), PUT_ATTEMPT);
        let operation = least(set.and_then(TimeoutConfig::operation_timeout), PUT_OPERATION);
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(attempt + sending)
            .operation_timeout(operation + 2 * sending)
            .build();
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(path.as_str())
            .content_type(media_type.mime())
            .cache_control(CACHE_CONTROL)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(body)
            .customize()
            .config_override(Config::builder().timeout_config(timeouts))
            .send()
            .await
            .map_err(|e| Trouble::new(&self.bucket, path.as_str(), "s3:PutObject", e))?;
        Ok(())
    }

    /// Beside the trait: without the right `s3:ListBucket`, S3 answers for an absent object that access is denied: an error here.
    async fn get(&self, path: &ObjectPath) -> anyhow::Result<Option<Object>> {
        let turn = self.turn().await?;
        let answer = self.client.get_object().bucket(&self.bucket).key(path.as_str()).send().await;
        let answer = match answer {
            Err(e)
                if e.as_service_error()
                    .is_some_and(aws_sdk_s3::operation::get_object::GetObjectError::is_no_such_key) =>
            {
                return Ok(None);
            }
            answer => answer.map_err(|e| Trouble::new(&self.bucket, path.as_str(), "s3:GetObject", e))?,
        };
        let bytes = answer.content_length.and_then(|n| u64::try_from(n).ok()).context("S3 tells no length")?;
        let content = stream::try_unfold((answer.body, turn), async |(mut body, turn)| {
            let piece = body.try_next().await.map_err(std::io::Error::other)?;
            Ok(piece.map(|piece| (piece, (body, turn))))
        });
        Ok(Some(Object { bytes, content: content.boxed() }))
    }

    /// Beside the trait: as with [`get`](Store::get), the right `s3:ListBucket` tells an absent object from a denied one.
    async fn size(&self, path: &ObjectPath) -> anyhow::Result<Option<u64>> {
        let _turn = self.turn().await?;
        let answer = self.client.head_object().bucket(&self.bucket).key(path.as_str()).send().await;
        match answer {
            Err(e)
                if e.as_service_error()
                    .is_some_and(aws_sdk_s3::operation::head_object::HeadObjectError::is_not_found) =>
            {
                Ok(None)
            }
            answer => {
                let answer = answer.map_err(|e| Trouble::new(&self.bucket, path.as_str(), "s3:GetObject", e))?;
                let bytes = answer.content_length.and_then(|n| u64::try_from(n).ok());
                bytes.context("S3 tells no length").map(Some)
            }
        }
    }

    fn list(&self) -> BoxStream<'_, anyhow::Result<Listed>> {
        stream::iter(PREFIXES).flat_map(|prefix| self.list_under(prefix)).boxed()
    }

    async fn delete(&self, path: &ObjectPath) -> anyhow::Result<()> {
        let _turn = self.turn().await?;
        self.client
            .delete_object()
            .bucket(&self.bucket)
            .key(path.as_str())
            .send()
            .await
            .map_err(|e| Trouble::new(&self.bucket, path.as_str(), "s3:DeleteObject", e))?;
        Ok(())
    }

    async fn link(
        &self,
        path: &ObjectPath,
        media_type: MediaType,
        disposition: &Disposition,
    ) -> anyhow::Result<String> {
        let now = (self.clock)();
        let start = window_start(now, self.expiry);
        let link = (path.clone(), media_type, disposition.clone());
        if let Some(edge) = &self.edge {
            if let Some(url) = self.remembered(start, edge.key_pair_id(), |links| links.urls.get(&link).cloned()) {
                return Ok(url);
            }
            let url = edge.link(path, media_type, disposition, start + self.expiry)?;
            self.remembered(start, edge.key_pair_id(), |links| links.urls.put(link, url.clone()));
            return Ok(url);
        }
        let signer = self.signer(now).await?;
        let key = signer.credentials.access_key_id();
        if let Some(url) = self.remembered(start, key, |links| links.urls.get(&link).cloned()) {
            return Ok(url);
        }
        let life = signer.expires().map_or(self.expiry, |end| self.expiry.min(end - start));
        ensure!(start + life > now, "the AWS credentials to sign links with have expired");
        let signing = PresigningConfig::builder()
            .start_time(SystemTime::from(start))
            .expires_in(Duration::from_secs(life.num_seconds().unsigned_abs()))
            .build()
            .context("a link cannot be signed for this time")?;
        let presigned = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(path.as_str())
            .response_content_type(media_type.mime())
            .response_content_disposition(disposition.header())
            .customize()
            .config_override(Config::builder().credentials_provider(signer.credentials.clone()))
            .presigned(signing)
            .await
            .with_context(|| format!("signing a link to {path} in the bucket {}", self.bucket))?;
        let url = presigned.uri().to_owned();
        self.remembered(start, key, |links| links.urls.put(link, url.clone()));
        Ok(url)
    }
}
