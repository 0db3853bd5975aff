//! How AWS is reached: one HTTP client on ring for all services, bounded times, retries in the SDK alone.

use std::time::Duration;

use anyhow::ensure;
use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use crate::settings::Aws;

/// How often a request is sent at most.
const TRIES: u32 = 3;

/// The SDK's configuration for one service, whose own region and endpoint win over those for all. Without a region the SDK looks in its
/// usual places; that none of them says one is an error.
pub(super) async fn config(aws: &Aws, region: Option<&str>, endpoint: Option<&str>) -> anyhow::Result<SdkConfig> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(aws.connect_timeout_seconds))
        .operation_attempt_timeout(Duration::from_secs(aws.attempt_timeout_seconds))
        .operation_timeout(Duration::from_secs(aws.operation_timeout_seconds))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https())
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
