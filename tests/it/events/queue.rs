//! An SNS topic, an SQS queue that is subscribed to it, and its dead-letter queue, of a test's own on MiniStack.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use aws_sdk_sqs::{
    config::Credentials,
    types::{QueueAttributeName as Name, SendMessageBatchRequestEntry},
};
use photo_gallery::events::{Aws, aws};
use serde_json::{Value, json};

use crate::aws::{REGION, key, sdk_config, server};

/// The account of MiniStack.
pub(crate) const ACCOUNT: &str = "000000000000";

pub(crate) struct Queues {
    pub(crate) sns: aws_sdk_sns::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) topic: String,
    pub(crate) queue: String,
    pub(crate) dead: String,
    pub(crate) name: String,
    /// How long a message is in hand.
    pub(crate) visibility: Duration,
    /// The bucket that messages are to be about.
    pub(crate) bucket: Option<String>,
}

impl Queues {
    /// Notifications come in envelopes, and end as dead letters after ten tries.
    pub(crate) async fn new() -> Self {
        Self::with(false, 10).await
    }

    /// Notifications come as they were published.
    pub(crate) async fn raw() -> Self {
        Self::with(true, 10).await
    }

    pub(crate) async fn with(raw: bool, tries: u32) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("uploads-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let config =
            sdk_config(Some(REGION.to_owned()), Some(server("TEST_MINISTACK")), Some(key("test", "test"))).await;
        let (sns, sqs) = (aws_sdk_sns::Client::new(&config), aws_sdk_sqs::Client::new(&config));
        let topic = sns.create_topic().name(&name).send().await.unwrap().topic_arn.unwrap();
        let dead_name = format!("{name}-dead");
        let dead = sqs.create_queue().queue_name(&dead_name).send().await.unwrap().queue_url.unwrap();
        let arn = |queue: &str| format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}");
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": ["sns.amazonaws.com", "s3.amazonaws.com"]},
            "Action": "sqs:SendMessage", "Resource": arn(&name),
        }]});
        let redrive = json!({"deadLetterTargetArn": arn(&dead_name), "maxReceiveCount": tries});
        let attributes =
            HashMap::from([(Name::RedrivePolicy, redrive.to_string()), (Name::Policy, policy.to_string())]);
        let made = sqs.create_queue().queue_name(&name).set_attributes(Some(attributes)).send().await.unwrap();
        let queue = made.queue_url.unwrap();
        let subscribing = sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(arn(&name));
        let subscribing = subscribing.attributes("RawMessageDelivery", raw.to_string());
        subscribing.send().await.unwrap();
        Self { sns, sqs, topic, queue, dead, name, visibility: Duration::from_secs(30), bucket: None }
    }

    /// The gallery's events over all of it.
    pub(crate) fn events(&self) -> Aws {
        let topic = aws::Topic { client: self.sns.clone(), arn: self.topic.clone() };
        Aws::new(Some(topic), Some(self.listening()), self.bucket.clone())
    }

    /// The queue as the gallery listens at it.
    pub(crate) fn listening(&self) -> aws::Queue {
        aws::Queue {
            client: self.sqs.clone(),
            url: self.queue.clone(),
            wait: Duration::from_secs(1),
            patience: Duration::from_secs(20),
            visibility: self.visibility,
        }
    }

    /// The rights over this topic and these queues that a server has which finishes photos itself.
    pub(crate) fn policy(&self) -> Value {
        let arn = |queue: &str| format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}");
        let taking =
            ["ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes", "SendMessage"];
        let taking = taking.map(|action| format!("sqs:{action}"));
        json!({"Version": "2012-10-17", "Statement": [
            {"Sid": "Announce", "Effect": "Allow", "Action": "sns:Publish", "Resource": self.topic},
            {"Sid": "Take", "Effect": "Allow", "Action": taking, "Resource": arn(&self.name)},
            {"Sid": "CountDeadLetters", "Effect": "Allow", "Action": ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"],
             "Resource": arn(&format!("{}-dead", self.name))},
        ]})
    }

    /// The settings of a program that listens at the queue, and announces through the topic.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("GALLERY__EVENTS__AWS__TOPIC_ARN", self.topic.clone()),
            ("GALLERY__EVENTS__AWS__QUEUE_URL", self.queue.clone()),
            ("GALLERY__EVENTS__AWS__ENDPOINT", server("TEST_MINISTACK")),
            ("GALLERY__EVENTS__AWS__WAIT_SECONDS", "1".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ]
    }

    /// The same topic and queues, used with other credentials or through another address.
    pub(crate) async fn through(self, endpoint: String, credentials: Credentials) -> Self {
        let config = sdk_config(Some(REGION.to_owned()), Some(endpoint), Some(credentials)).await;
        Self { sns: aws_sdk_sns::Client::new(&config), sqs: aws_sdk_sqs::Client::new(&config), ..self }
    }

    /// Puts messages into the queue.
    pub(crate) async fn send(&self, bodies: impl IntoIterator<Item = String>) {
        let bodies: Vec<String> = bodies.into_iter().collect();
        for ten in bodies.chunks(10) {
            let entries = ten.iter().enumerate().map(|(number, body)| {
                let entry = SendMessageBatchRequestEntry::builder().id(number.to_string()).message_body(body);
                entry.build().unwrap()
            });
            let sending = self.sqs.send_message_batch().queue_url(&self.queue).set_entries(Some(entries.collect()));
            assert_eq!(sending.send().await.unwrap().failed(), []);
        }
    }

    /// Messages waiting and in hand.
    pub(crate) async fn left(&self) -> u64 {
        let depth = photo_gallery::events::Events::depth(&self.events()).await.unwrap().unwrap();
        depth.waiting + depth.in_hand
    }

    /// Waits until the queue is empty.
    pub(crate) async fn emptied(&self) {
        for _ in 0..1200 {
            if self.left().await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{} messages are left after two minutes", self.left().await);
    }

    /// The bodies in the dead-letter queue, taken out of it.
    pub(crate) async fn dead_letters(&self) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            let asked = self.sqs.receive_message().queue_url(&self.dead).max_number_of_messages(10);
            let letters = asked.send().await.unwrap().messages.unwrap_or_default();
            if letters.is_empty() {
                return bodies;
            }
            for letter in letters {
                let deleting = self.sqs.delete_message().queue_url(&self.dead);
                deleting.receipt_handle(letter.receipt_handle().unwrap()).send().await.unwrap();
                bodies.push(letter.body.unwrap());
            }
        }
    }
}
