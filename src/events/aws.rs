//! Events between machines: out through an SNS topic, in through an SQS queue. Either may be missing.

use std::{error::Error, time::Duration};

use self::{
    setup::Redrive,
    trouble::{Place, Trouble},
};
use super::{
    Announcement, Depth, Events, Message,
    message::{self, TRACE, received},
    trace,
};
use anyhow::Context as _;
use async_trait::async_trait;
use aws_sdk_sns::types::MessageAttributeValue;
use aws_sdk_sqs::{
    config::{Config, timeout::TimeoutConfig},
    error::ProvideErrorMetadata,
    types::{MessageSystemAttributeName, QueueAttributeName},
};

mod policy;
mod setup;
mod trouble;

pub use setup::Setup;

/// The most messages that SQS hands out at once.
const BATCH: i32 = 10;
/// The longest time for which SQS keeps a message in hand, in seconds: 12 hours.
const LONGEST: u64 = 43_200;
/// What a mail about an upload is headed.
const SUBJECT: &str = "A photo was uploaded";

/// Where uploads are announced.
pub struct Topic {
    /// A client that does not keep an upload waiting.
    pub client: aws_sdk_sns::Client,
    /// The topic.
    pub arn: String,
}

/// Where messages come from.
pub struct Queue {
    /// A client with short times; what it waits for is asked for with longer ones.
    pub client: aws_sdk_sqs::Client,
    /// The queue.
    pub url: String,
    /// How long the queue is asked to wait for a message, at most 20 s.
    pub wait: Duration,
    /// How long an answer to that may take beyond `wait`.
    pub patience: Duration,
    /// How long a message is in hand unless its worker says more.
    pub visibility: Duration,
}

/// An SNS topic, an SQS queue, or both.
pub struct Aws {
    topic: Option<Topic>,
    queue: Option<Queue>,
    /// The bucket of originals, when they are in one.
    bucket: Option<String>,
}

impl Aws {
    /// Events over what is given; `bucket` is the store's, when it is one.
    pub fn new(topic: Option<Topic>, queue: Option<Queue>, bucket: Option<String>) -> Self {
        Self { topic, queue, bucket }
    }
}

type Attributes = std::collections::HashMap<QueueAttributeName, String>;

impl Queue {
    fn trouble<E>(&self, action: &str, error: aws_sdk_sqs::error::SdkError<E>) -> Trouble
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let region = self.client.config().region().map_or("", |region| region.as_ref());
        Trouble::new(Place::Queue { url: &self.url, region }, action, error)
    }

    async fn attributes(&self, url: &str) -> Result<Attributes, Trouble> {
        use QueueAttributeName as Name;

        let asked = self.client.get_queue_attributes().queue_url(url).set_attribute_names(Some(vec![
            Name::ApproximateNumberOfMessages,
            Name::ApproximateNumberOfMessagesDelayed,
            Name::ApproximateNumberOfMessagesNotVisible,
            Name::RedrivePolicy,
            Name::Policy,
            Name::QueueArn,
        ]));
        let answer = asked.send().await.map_err(|e| self.trouble("sqs:GetQueueAttributes", e))?;
        Ok(answer.attributes.unwrap_or_default())
    }

    /// How many messages the dead-letter queue holds; `None` where there is none, or where this may not be asked.
    async fn dead(&self, redrive: Redrive) -> anyhow::Result<Option<u64>> {
        let asked = self.client.get_queue_url().queue_name(redrive.queue).queue_owner_aws_account_id(redrive.account);
        let asked = match asked.send().await {
            Ok(answer) => self.attributes(answer.queue_url().unwrap_or_default()).await,
            Err(error) => Err(self.trouble("sqs:GetQueueUrl", error)),
        };
        match asked {
            Ok(attributes) => Ok(Some(waiting(&attributes))),
            Err(trouble) if trouble.is_lasting() => {
                tracing::debug!("how many dead letters there are cannot be told: {trouble}");
                Ok(None)
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    async fn receive(&self) -> anyhow::Result<Vec<aws_sdk_sqs::types::Message>> {
        let seconds = |time: Duration| i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
        let longest = self.wait + self.patience;
        let times = TimeoutConfig::builder().operation_attempt_timeout(longest).operation_timeout(longest * 2).build();
        let asked = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(BATCH)
            .wait_time_seconds(seconds(self.wait))
            .visibility_timeout(seconds(self.visibility))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_attribute_names("All")
            .customize()
            .config_override(Config::builder().timeout_config(times));
        let answer = asked.send().await.map_err(|e| self.trouble("sqs:ReceiveMessage", e))?;
        Ok(answer.messages.unwrap_or_default())
    }
}

/// Whether an error stays so until somebody changes what there is, or what is allowed.
pub(super) fn is_lasting(cause: &anyhow::Error) -> bool {
    cause.downcast_ref::<Trouble>().is_some_and(Trouble::is_lasting)
}

fn count(attributes: &Attributes, name: &QueueAttributeName) -> u64 {
    attributes.get(name).and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn waiting(attributes: &Attributes) -> u64 {
    count(attributes, &QueueAttributeName::ApproximateNumberOfMessages)
        + count(attributes, &QueueAttributeName::ApproximateNumberOfMessagesDelayed)
}

#[async_trait]
impl Events for Aws {
    /// Beside the trait: does nothing without a topic.
    async fn announce(&self, upload: &Announcement) -> anyhow::Result<()> {
        let Some(topic) = &self.topic else { return Ok(()) };
        let mut publish = topic
            .client
            .publish()
            .topic_arn(&topic.arn)
            .subject(SUBJECT)
            .message(message::write(upload, self.bucket.as_deref()));
        if let Some(trace) = trace::current() {
            let value = MessageAttributeValue::builder().data_type("String").string_value(trace.as_str()).build();
            publish = publish.message_attributes(TRACE, value.context("a trace context is a text")?);
        }
        publish.send().await.map_err(|e| Trouble::new(Place::Topic(&topic.arn), "sns:Publish", e))?;
        Ok(())
    }

    /// Beside the trait: without a queue it is announced again.
    async fn remind(&self, upload: &Announcement) -> anyhow::Result<()> {
        let Some(queue) = &self.queue else { return self.announce(upload).await };
        let sending = queue.client.send_message().queue_url(&queue.url);
        let sent = sending.message_body(message::write(upload, self.bucket.as_deref())).send().await;
        match sent.map_err(|e| queue.trouble("sqs:SendMessage", e)) {
            Err(trouble) if self.topic.is_some() => {
                tracing::warn!("a reminder goes through the topic, and to all who listen there: {trouble}");
                self.announce(upload).await
            }
            sent => Ok(sent.map(drop)?),
        }
    }

    fn announces(&self) -> bool {
        self.topic.is_some()
    }

    fn is_shared(&self) -> bool {
        true
    }

    /// Beside the trait: waits for ever without a queue.
    async fn next(&self) -> anyhow::Result<Vec<Message>> {
        let Some(queue) = &self.queue else { return std::future::pending().await };
        loop {
            let messages = queue.receive().await?;
            if messages.is_empty() {
                if queue.wait.is_zero() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                continue;
            }
            let read = messages.into_iter().map(|message| {
                let attributes = message.attributes();
                let count = attributes.and_then(|a| a.get(&MessageSystemAttributeName::ApproximateReceiveCount));
                let count = count.and_then(|count| count.parse().ok()).unwrap_or(1);
                let trace = message.message_attributes().and_then(|a| a.get(TRACE)?.string_value());
                let receipt = message.receipt_handle().unwrap_or_default().to_owned();
                received(message.body().unwrap_or_default(), self.bucket.as_deref(), trace, count, receipt)
            });
            return Ok(read.collect());
        }
    }

    async fn done(&self, message: &Message) -> anyhow::Result<()> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let deleting = queue.client.delete_message().queue_url(&queue.url).receipt_handle(&message.receipt);
        match deleting.send().await.map_err(|e| queue.trouble("sqs:DeleteMessage", e)) {
            Err(trouble) if !trouble.is_of_receipt() => Err(trouble.into()),
            Err(trouble) => {
                tracing::debug!("a message that was done is somebody else's by now, or gone: {trouble}");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    async fn put_off(&self, message: &Message, pause: Duration) -> anyhow::Result<()> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        let seconds = i32::try_from(seconds.min(LONGEST)).context("12 hours have few seconds")?;
        let asked = queue.client.change_message_visibility().queue_url(&queue.url);
        let asked = asked.receipt_handle(&message.receipt).visibility_timeout(seconds).send().await;
        match asked.map_err(|e| queue.trouble("sqs:ChangeMessageVisibility", e)) {
            Err(trouble) if !trouble.is_of_receipt() => Err(trouble.into()),
            Err(trouble) => {
                tracing::debug!("a message that was to be put off is somebody else's by now, or gone: {trouble}");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    fn in_hand_for(&self) -> Option<Duration> {
        self.queue.as_ref().map(|queue| queue.visibility)
    }

    async fn depth(&self) -> anyhow::Result<Option<Depth>> {
        let Some(queue) = &self.queue else { return Ok(None) };
        let attributes = queue.attributes(&queue.url).await?;
        let dead = match Redrive::of(&attributes) {
            Some(redrive) => queue.dead(redrive).await?,
            None => None,
        };
        Ok(Some(Depth {
            waiting: waiting(&attributes),
            in_hand: count(&attributes, &QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
            dead,
        }))
    }
}
