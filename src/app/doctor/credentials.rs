//! AWS as a whole: the region, the clock, and whose credentials these are.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use aws_config::SdkConfig;
use aws_credential_types::{
    Credentials,
    credential_feature::AwsCredentialFeature as Source,
    provider::{ProvideCredentials as _, error::CredentialsError},
};
use aws_sdk_sts::error::ProvideErrorMetadata as _;
use chrono::{DateTime, TimeDelta, Utc};

use super::web::Web;
use crate::{
    app::{aws, now},
    doctor::{Chart, Seen},
    settings::{Events, Labeler, Settings, Store},
};

/// From this difference on a clock is called wrong.
const NOTABLE: TimeDelta = TimeDelta::minutes(1);
/// From this difference on parts of AWS refuse what is signed; S3 does from 15 minutes.
const REFUSED: TimeDelta = TimeDelta::minutes(5);
/// How long AWS may take to tell the time: that it does not is a warning.
const TOLD_WITHIN: Duration = Duration::from_secs(6);

/// Whether AWS can be asked.
pub(super) enum Standing {
    /// Yes, as far as is known.
    Usable {
        /// The region of all that names none of its own.
        region: String,
        /// The twelve digits of the account that asks, where AWS itself was asked.
        account: Option<String>,
    },
    /// No, because of this.
    Unusable(&'static str),
}

pub(super) async fn examine(settings: &Settings, chart: &mut Chart) -> Standing {
    if !signs(settings) {
        return Standing::Unusable("nothing is asked of AWS");
    }
    let Some(config) = chart.look("AWS region", region(settings)).await else {
        return Standing::Unusable("no AWS region is set");
    };
    if chart.look("clock", clock(settings, &config)).await.is_none() {
        return Standing::Unusable("the clock is wrong");
    }
    if chart.look("AWS credentials", credentials(&config)).await.is_none() {
        return Standing::Unusable("there are no usable AWS credentials");
    }
    let region = region_of(&config);
    if !asks_aws_itself(settings) {
        return Standing::Usable { region, account: None };
    }
    match chart.look("AWS identity", identity(&config)).await {
        Some(account) => Standing::Usable { region, account },
        None => Standing::Unusable("AWS does not take the credentials"),
    }
}

/// Whether anything is asked for which requests are signed.
fn signs(settings: &Settings) -> bool {
    matches!(settings.store, Store::S3(_))
        || matches!(settings.events, Events::Aws(_))
        || matches!(settings.labeler, Labeler::Rekognition(_))
}

/// Whether any of it is asked at `aws.endpoint`, or AWS without one, and not at a server of its own that may know these credentials alone.
fn asks_aws_itself(settings: &Settings) -> bool {
    matches!(&settings.store, Store::S3(s3) if s3.endpoint.is_none())
        || matches!(&settings.events, Events::Aws(topic) if topic.endpoint.is_none())
        || matches!(&settings.labeler, Labeler::Rekognition(asked) if asked.endpoint.is_none())
}

async fn region(settings: &Settings) -> anyhow::Result<Seen<SdkConfig>> {
    let own = match (&settings.store, &settings.events, &settings.labeler) {
        (Store::S3(s3), _, _) if s3.region.is_some() => s3.region.as_deref(),
        (_, Events::Aws(topic), _) if topic.region.is_some() => topic.region.as_deref(),
        (_, _, Labeler::Rekognition(asked)) => asked.region.as_deref(),
        _ => None,
    };
    let config = aws::config(&settings.aws, settings.aws.region.as_deref().or(own), None).await?;
    Ok(Seen::ok(region_of(&config)).with(config))
}

fn region_of(config: &SdkConfig) -> String {
    config.region().map(ToString::to_string).unwrap_or_default()
}

/// Compares this machine's clock with the one that S3 or STS answers with.
async fn clock(settings: &Settings, config: &SdkConfig) -> anyhow::Result<Seen> {
    let own = match &settings.store {
        Store::S3(s3) => s3.endpoint.as_deref(),
        Store::Disk => None,
    };
    let region = region_of(config);
    let service = if matches!(settings.store, Store::S3(_)) { "s3" } else { "sts" };
    let url = own
        .or(config.endpoint_url())
        .map_or_else(|| format!("https://{service}.{region}.{}/", domain(&region)), str::to_owned);
    let web = Web::new(&settings.aws);
    let asked = tokio::time::timeout(TOLD_WITHIN, web.ask("HEAD", &url, None)).await;
    let (answer, here) = match asked.unwrap_or_else(|_| Err(anyhow!("{url} does not answer in time"))) {
        Ok(answer) => (answer, now()),
        Err(silent) => return Ok(Seen::warn(format!("this machine's clock cannot be compared: {silent}"))),
    };
    let Some(there) = answer.date else {
        return Ok(Seen::warn(format!("this machine's clock cannot be compared: {url} does not tell the time")));
    };
    told(here - there)
}

/// Under which name AWS has its services of a region.
fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

fn told(ahead: TimeDelta) -> anyhow::Result<Seen> {
    let way = if ahead < TimeDelta::zero() { "behind" } else { "ahead of" };
    let off = ahead.abs();
    if off < NOTABLE {
        return Ok(Seen::ok(format!("this machine's clock agrees with AWS's to {} s", off.num_seconds().max(1))));
    }
    let sentence = format!("this machine's clock is {} s {way} AWS's", off.num_seconds());
    let advice = "set it, and keep it set with chrony (`systemctl enable --now chronyd`)";
    ensure!(off < REFUSED, "{sentence}, and what it signs may be refused: {advice}");
    Ok(Seen::warn(format!("{sentence}: {advice}")))
}

async fn credentials(config: &SdkConfig) -> anyhow::Result<Seen> {
    let provider = config.credentials_provider().context("there is no source of AWS credentials")?;
    let found = match provider.provide_credentials().await {
        Ok(found) => found,
        Err(CredentialsError::CredentialsNotLoaded(_)) => bail!(
            "there are no AWS credentials: give the machine a role, or set a key (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY){}",
            hint()
        ),
        Err(broken) => return Err(broken).with_context(|| format!("no AWS credentials can be had{}", hint())),
    };
    let source = source(&found);
    let Some(end) = found.expiry().map(DateTime::<Utc>::from) else {
        if found.session_token().is_some() {
            return Ok(Seen::warn(format!(
                "found in {source}; they are temporary, until when is not known, and nobody renews them: give the machine a role"
            )));
        }
        return Ok(Seen::ok(format!("found in {source}; they do not expire")));
    };
    let at = end.format("%Y-%m-%d %H:%M UTC");
    ensure!(end > now(), "the AWS credentials from {source} have expired ({at}): renew them");
    Ok(Seen::ok(format!("found in {source}; they are good until {at}, and renewed before")))
}

/// What may keep a machine at EC2 from its role.
fn hint() -> &'static str {
    let maker = std::fs::read_to_string("/sys/class/dmi/id/sys_vendor").unwrap_or_default();
    if maker.trim() == "Amazon EC2" {
        "; this is an EC2 instance: attach an instance profile, and in a container let the metadata service answer two hops away \
         (HttpPutResponseHopLimit 2)"
    } else {
        ""
    }
}

/// Where the SDK found them.
fn source(found: &Credentials) -> &'static str {
    let sources = found.get_property::<Vec<Source>>().map(Vec::as_slice).unwrap_or_default();
    match sources.first() {
        Some(Source::CredentialsEnvVars) => "the environment",
        Some(Source::CredentialsImds) => "the instance's role (IMDS)",
        Some(Source::CredentialsHttp) => "the container's role",
        Some(Source::CredentialsProcess | Source::CredentialsProfileProcess) => "a process that the AWS profile names",
        Some(Source::CredentialsSso | Source::CredentialsProfileSso) => "a sign-in by SSO",
        Some(
            Source::CredentialsEnvVarsStsWebIdToken
            | Source::CredentialsProfileStsWebIdToken
            | Source::CredentialsStsAssumeRoleWebId,
        ) => "a role taken by a web identity",
        Some(Source::CredentialsStsAssumeRole) => "a role that was taken",
        Some(Source::CredentialsProfile) => "the AWS profile",
        _ => "one of the SDK's usual places",
    }
}

/// Who the credentials are. Needs no right.
async fn identity(config: &SdkConfig) -> anyhow::Result<Seen<Option<String>>> {
    #[expect(clippy::disallowed_methods, reason = "AWS clients are made in app.rs and below")]
    let client = aws_sdk_sts::Client::new(config);
    match client.get_caller_identity().send().await {
        Ok(who) => {
            let (arn, account) = (who.arn.unwrap_or_default(), who.account);
            Ok(Seen::ok(format!("the credentials are those of {arn}")).with(account))
        }
        Err(error) => {
            let code = error.code().unwrap_or_default().to_owned();
            match code.as_str() {
                "InvalidClientTokenId" | "UnrecognizedClientException" | "InvalidAccessKeyId" => {
                    bail!("AWS does not know the access key id: correct it, or make a new key")
                }
                "SignatureDoesNotMatch" | "IncompleteSignature" => {
                    bail!(
                        "AWS refuses the signature: the secret access key does not belong to the access key id; correct it"
                    )
                }
                "ExpiredToken" | "ExpiredTokenException" => bail!("the AWS credentials have expired: renew them"),
                _ => {}
            }
            let why = if code.is_empty() { String::new() } else { format!(" ({code})") };
            Ok(Seen::warn(format!(
                "AWS cannot be asked who these credentials are{why}: let this machine reach STS, or go by what is said below"
            ))
            .with(None))
        }
    }
}
