//! How uploads tell workers, on this machine or through AWS.

use std::{sync::Arc, time::Duration};

use super::aws;
use crate::{
    events::{
        Aws, Events, InProcess,
        aws::{Queue, Topic},
    },
    settings::{self, Settings},
};

/// How many uploads may wait for the worker in memory; the sweep finds the others.
const WAITING: usize = 1024;

/// The bucket of originals, when they are in one.
pub(super) fn bucket(settings: &Settings) -> Option<&str> {
    match &settings.store {
        settings::Store::S3(s3) => Some(&s3.bucket),
        settings::Store::Disk => None,
    }
}

pub(super) async fn open(settings: &Settings) -> anyhow::Result<Arc<dyn Events>> {
    let set = match &settings.events {
        settings::Events::InProcess => return Ok(Arc::new(InProcess::new(WAITING))),
        settings::Events::Aws(set) => set,
    };
    let events = Arc::new(open_aws(settings, set).await?);
    // A queue that does not answer stops no server: uploads are kept, and swept up later.
    let checked = Arc::clone(&events);
    tokio::spawn(async move {
        for wrong in checked.check().await {
            tracing::warn!("{wrong}");
        }
    });
    Ok(events)
}

/// Topic and queue, not asked anything yet.
pub(super) async fn open_aws(settings: &Settings, set: &settings::Topic) -> anyhow::Result<Aws> {
    let config = aws::config(&settings.aws, set.region.as_deref(), set.endpoint.as_deref()).await?;
    let quick = aws::quick(&settings.aws);
    let topic = set.topic_arn.clone().map(|arn| {
        let quick = aws_sdk_sns::config::Builder::from(&config).timeout_config(quick.clone());
        #[expect(clippy::disallowed_methods, reason = "AWS clients are made here")]
        let client = aws_sdk_sns::Client::from_conf(quick.build());
        Topic { client, arn }
    });
    let queue = set.queue_url.clone().map(|url| {
        let quick = aws_sdk_sqs::config::Builder::from(&config).timeout_config(quick.clone());
        #[expect(clippy::disallowed_methods, reason = "AWS clients are made here")]
        let client = aws_sdk_sqs::Client::from_conf(quick.build());
        Queue {
            client,
            url,
            wait: Duration::from_secs(set.wait_seconds),
            patience: Duration::from_secs(settings.aws.attempt_timeout_seconds),
            visibility: Duration::from_secs(set.visibility_seconds),
        }
    });
    Ok(Aws::new(topic, queue, bucket(settings).map(str::to_owned)))
}
