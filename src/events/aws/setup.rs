//! How topic and queue are set up, as far as they tell: for the operator, at the start of the program and on request.

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use super::{
    Attributes, Aws, Queue, Topic, policy,
    trouble::{Place, Trouble},
};

/// The fewest tries a queue should give a message.
const FEWEST_TRIES: u64 = 3;
/// What a mail about a test is headed.
const SUBJECT: &str = "A test: no photo was uploaded";
/// What workers take for a sign that messages work, and pass over: they know it from S3.
const TEST: &str = r#"{"Service":"photo-gallery doctor","Event":"s3:TestEvent"}"#;

/// What is wrong with a queue that answers, as sentences for the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Why nothing of what is announced to the topic gets into the queue.
    pub unreached: Option<String>,
    /// Why that cannot be told.
    pub unclear: Option<String>,
    /// Why messages that nobody can read come back too often, or go too early.
    pub undying: Option<String>,
}

impl Aws {
    /// What is wrong with the queue, as sentences for the operator; nothing when all is well or there is none.
    pub async fn check(&self) -> Vec<String> {
        match self.setup().await {
            Ok(setup) => {
                let Setup { unreached, undying, unclear: _ } = setup.unwrap_or_default();
                unreached.into_iter().chain(undying).collect()
            }
            Err(trouble) => vec![trouble.to_string()],
        }
    }

    /// What is wrong with the queue; `None` where there is none, an error when it does not tell.
    pub async fn setup(&self) -> anyhow::Result<Option<Setup>> {
        let Some(queue) = &self.queue else { return Ok(None) };
        let attributes = queue.attributes(&queue.url).await?;
        let undying = undying(&queue.url, &attributes);
        Ok(Some(match self.way(&attributes) {
            Way::Open => Setup { undying, ..Setup::default() },
            Way::Shut(why) => Setup { unreached: Some(why), undying, ..Setup::default() },
            Way::Unclear(why) => Setup { unclear: Some(why), undying, ..Setup::default() },
        }))
    }

    /// Publishes a message that says nothing but that messages work. Whoever else listens at the topic is told that it is a test.
    pub async fn publish_test(&self) -> anyhow::Result<()> {
        let Some(topic) = &self.topic else { return Ok(()) };
        let publish = topic.client.publish().topic_arn(&topic.arn).subject(SUBJECT).message(TEST);
        publish.send().await.map_err(|e| Trouble::new(Place::Topic(&topic.arn), "sns:Publish", e))?;
        Ok(())
    }

    /// Sends the same into the queue, as a photo is told of again.
    pub async fn send_test(&self) -> anyhow::Result<()> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let sending = queue.client.send_message().queue_url(&queue.url).message_body(TEST);
        sending.send().await.map_err(|e| queue.trouble("sqs:SendMessage", e))?;
        Ok(())
    }

    /// Takes one message at most, and leaves it to workers in the same moment. SQS counts that among the tries of the message.
    pub async fn receive_test(&self) -> anyhow::Result<()> {
        let Some(queue) = &self.queue else { return Ok(()) };
        let asked = queue.client.receive_message().queue_url(&queue.url).max_number_of_messages(1);
        let asked = asked.wait_time_seconds(0).visibility_timeout(0).send().await;
        asked.map_err(|e| queue.trouble("sqs:ReceiveMessage", e))?;
        Ok(())
    }

    /// Whether the queue's policy lets the topic send.
    fn way(&self, attributes: &Attributes) -> Way {
        let (Some(Topic { arn: topic, .. }), Some(Queue { url, .. })) = (&self.topic, &self.queue) else {
            return Way::Open;
        };
        let queue = attributes.get(&QueueAttributeName::QueueArn).map(String::as_str).unwrap_or_default();
        let text = attributes.get(&QueueAttributeName::Policy).map(String::as_str).unwrap_or_default();
        match policy::lets_send(text, topic, queue) {
            Some(true) => Way::Open,
            Some(false) => Way::Shut(format!(
                "the policy of the queue {url} does not let the topic {topic} send to it, so no worker hears of uploads at once: allow \
                 sqs:SendMessage to the service sns.amazonaws.com with this topic as aws:SourceArn"
            )),
            None => Way::Unclear(format!(
                "the policy of the queue {url} has conditions that cannot be judged here: upload a photo, and see that its labels come at \
                 once"
            )),
        }
    }
}

/// What a queue's policy is to a topic.
enum Way {
    /// It lets the topic send.
    Open,
    /// It does not, which is this sentence.
    Shut(String),
    /// It has conditions that nobody here knows.
    Unclear(String),
}

fn undying(url: &str, attributes: &Attributes) -> Option<String> {
    match Redrive::of(attributes) {
        None => Some(format!(
            "the queue {url} has no dead-letter queue: messages that nobody can read come back for days; give it one"
        )),
        Some(redrive) if redrive.tries < FEWEST_TRIES => Some(format!(
            "the queue {url} gives a message up after {} tries: set maxReceiveCount to {FEWEST_TRIES} or more",
            redrive.tries
        )),
        Some(_) => None,
    }
}

/// Where a queue puts what it gives up.
pub(super) struct Redrive {
    pub(super) account: String,
    pub(super) queue: String,
    tries: u64,
}

impl Redrive {
    pub(super) fn of(attributes: &Attributes) -> Option<Self> {
        let policy: Value = serde_json::from_str(attributes.get(&QueueAttributeName::RedrivePolicy)?).ok()?;
        let arn: Vec<&str> = policy.get("deadLetterTargetArn")?.as_str()?.split(':').collect();
        let &[_, _, _, _, account, queue] = arn.as_slice() else { return None };
        let tries = policy.get("maxReceiveCount")?;
        let tries = tries.as_u64().or_else(|| tries.as_str()?.parse().ok())?;
        Some(Self { account: account.to_owned(), queue: queue.to_owned(), tries })
    }
}
