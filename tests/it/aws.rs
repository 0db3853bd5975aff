//! AWS as the tests see it: independent servers on this machine, and the SDK pointed at them.

use std::{fmt::Write as _, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{
    Client,
    config::{Credentials, SharedCredentialsProvider},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use chrono::Utc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

/// The region that all stand-ins answer for.
pub(crate) const REGION: &str = "us-east-1";

/// The address of a server that `script/servers` starts.
pub(crate) fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run script/test, or `eval \"$(script/servers start)\"` before cargo test")
    })
}

/// The SDK's settings: one HTTP client on ring, bounded times, three tries.
pub(crate) async fn sdk_config(
    region: Option<String>,
    endpoint: Option<String>,
    credentials: Option<Credentials>,
) -> SdkConfig {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(10))
        .operation_timeout(Duration::from_secs(30))
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(3));
    if let Some(region) = region {
        loader = loader.region(Region::new(region));
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(credentials) = credentials {
        loader = loader.credentials_provider(credentials);
    }
    loader.load().await
}

/// Long-lived credentials.
pub(crate) fn key(id: &str, secret: &str) -> Credentials {
    Credentials::new(id, secret, None, None, "test")
}

/// S3 at `endpoint`, as `app.rs` makes it: by path, because the endpoint is not AWS's.
pub(crate) async fn s3(endpoint: &str, credentials: Credentials) -> (Client, SharedCredentialsProvider) {
    let config = sdk_config(Some(REGION.to_owned()), Some(endpoint.to_owned()), Some(credentials)).await;
    let provider = config.credentials_provider().expect("it was given");
    let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    (Client::from_conf(s3), provider)
}

/// Asks `service` at `endpoint` as its root user, by a request that is signed by hand.
pub(crate) async fn signed(
    endpoint: &str,
    service: &str,
    method: &str,
    path: &str,
    kind: &str,
    body: String,
) -> reqwest::Response {
    let host = endpoint.trim_start_matches("http://");
    let (time, day) = (Utc::now().format("%Y%m%dT%H%M%SZ").to_string(), Utc::now().format("%Y%m%d").to_string());
    let sha256 = |text: &str| hex::encode(Sha256::digest(text));
    let hmac = |key: &[u8], text: &str| {
        Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes().to_vec()
    };
    let scope = format!("{day}/{REGION}/{service}/aws4_request");
    let signed = "content-type;host;x-amz-date";
    let request = format!(
        "{method}\n{path}\n\ncontent-type:{kind}\nhost:{host}\nx-amz-date:{time}\n\n{signed}\n{}",
        sha256(&body)
    );
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(&request));
    let key = [&day, REGION, service, "aws4_request"].iter().fold(b"AWS4test".to_vec(), |key, part| hmac(&key, part));
    let signature = hex::encode(hmac(&key, &text));
    reqwest::Client::new()
        .request(method.parse().unwrap(), format!("{endpoint}{path}"))
        .header("content-type", kind)
        .header("x-amz-date", &time)
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential=test/{scope}, SignedHeaders={signed}, Signature={signature}"),
        )
        .body(body)
        .send()
        .await
        .expect("an answer")
}

/// Asks the IAM service at `endpoint` for `action` as its root user; the answer is XML.
async fn iam(endpoint: &str, action: &str, parameters: &[(&str, &str)]) -> String {
    let mut body = format!("Action={action}&Version=2010-05-08");
    for (name, value) in parameters {
        write!(body, "&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)).unwrap();
    }
    let answer = signed(endpoint, "iam", "POST", "/", "application/x-www-form-urlencoded", body).await;
    let status = answer.status();
    let xml = answer.text().await.unwrap();
    assert!(status.is_success(), "{action}: {status} {xml}");
    xml
}

/// A new user of IAM at `endpoint` whose one policy allows `actions`. MiniStack checks signatures and rights of users, not of its root.
pub(crate) async fn user(endpoint: &str, name: &str, actions: &[&str]) -> Credentials {
    user_with(endpoint, name, &policy(actions)).await
}

/// A new user of IAM at `endpoint` with this policy.
pub(crate) async fn user_with(endpoint: &str, name: &str, policy: &serde_json::Value) -> Credentials {
    iam(endpoint, "CreateUser", &[("UserName", name)]).await;
    put_policy(endpoint, name, policy).await;
    let made = iam(endpoint, "CreateAccessKey", &[("UserName", name)]).await;
    key(&element(&made, "AccessKeyId"), &element(&made, "SecretAccessKey"))
}

/// A new role of IAM at `endpoint` that `service` may take, with this policy.
pub(crate) async fn role(endpoint: &str, name: &str, service: &str, policy: &serde_json::Value) {
    let trust = serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    });
    iam(endpoint, "CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", &trust.to_string())]).await;
    let policy = [("RoleName", name), ("PolicyName", "gallery"), ("PolicyDocument", &policy.to_string())];
    iam(endpoint, "PutRolePolicy", &policy).await;
}

/// Replaces the policy of the user `name`.
pub(crate) async fn allow(endpoint: &str, name: &str, actions: &[&str]) {
    put_policy(endpoint, name, &policy(actions)).await;
}

/// A policy that allows `actions` on all of S3.
fn policy(actions: &[&str]) -> serde_json::Value {
    serde_json::json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "arn:aws:s3:::*"}],
    })
}

async fn put_policy(endpoint: &str, name: &str, policy: &serde_json::Value) {
    let policy = [("UserName", name), ("PolicyName", "gallery"), ("PolicyDocument", &policy.to_string())];
    iam(endpoint, "PutUserPolicy", &policy).await;
}

/// The text of the first element `name` in `xml`.
fn element(xml: &str, name: &str) -> String {
    let after = xml.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {xml}")).1;
    after.split_once('<').expect("it ends").0.to_owned()
}
