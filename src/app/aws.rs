//! How AWS is reached: one HTTP client on ring for all services, bounded times, retries in the SDK alone.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{
    config::{Config, Credentials},
    presigning::PresigningConfig,
};
use aws_smithy_http_client::{
    Builder, Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};

use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};

use url::Url;

use crate::settings::Aws;

/// How often a request is sent at most.
const TRIES: u32 = 3;
/// Who does TLS.
const TLS: Provider = Provider::Rustls(CryptoMode::Ring);

/// The SDK's configuration for one service, whose own region and endpoint win over those for all. Without a region the SDK looks in its
/// usual places; that none of them says one is an error.
pub(super) async fn config(aws: &Aws, region: Option<&str>, endpoint: Option<&str>) -> anyhow::Result<SdkConfig> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(aws.connect_timeout_seconds))
        .operation_attempt_timeout(Duration::from_secs(aws.attempt_timeout_seconds))
        .operation_timeout(Duration::from_secs(aws.operation_timeout_seconds))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(Builder::new().tls_provider(TLS).build_https())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES));
    if let Some(region) = region.or(aws.region.as_deref()) {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint) = endpoint.or(aws.endpoint.as_deref()) {
        loader = loader.endpoint_url(endpoint);
    }
    let config = loader.load().await;
    ensure!(config.region().is_some(), "no AWS region is set; set `aws.region` or AWS_REGION");
    Ok(config)
}

/// What plain HTTP is asked with: the same as for AWS.
pub(super) fn connector(aws: &Aws) -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(Duration::from_secs(aws.connect_timeout_seconds))
        .read_timeout(Duration::from_secs(aws.attempt_timeout_seconds))
        .build();
    SharedHttpConnector::new(Connector::builder().tls_provider(TLS).connector_settings(settings).build())
}

/// Shorter times for calls that a person waits for at a form: one try ends while there is time for a second one.
pub(super) fn quick(aws: &Aws) -> TimeoutConfig {
    let least = |set: u64, most: u64| Duration::from_millis((set * 1000).min(most));
    TimeoutConfig::builder()
        .connect_timeout(least(aws.connect_timeout_seconds, 2000))
        .operation_attempt_timeout(least(aws.attempt_timeout_seconds, 3000))
        .operation_timeout(least(aws.operation_timeout_seconds, 4000))
        .build()
}

/// The scheme, host and port of links into a bucket. Asks nobody: neither the bucket nor the source of credentials need be there.
pub(super) async fn origin(client: &aws_sdk_s3::Client, bucket: &str) -> anyhow::Result<String> {
    let nobody = Credentials::new("nobody", "nobody", None, None, "to learn the origin of links");
    let link = client
        .get_object()
        .bucket(bucket)
        .key("renditions/any")
        .customize()
        .config_override(Config::builder().credentials_provider(nobody))
        .presigned(PresigningConfig::expires_in(Duration::from_mins(1))?)
        .await
        .with_context(|| format!("making a link into the bucket {bucket}"))?;
    Ok(Url::parse(link.uri()).context("reading a link into the bucket")?.origin().ascii_serialization())
}
