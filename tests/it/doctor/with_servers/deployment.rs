//! A deployment of a test's own: bucket, topic, queue and pool on MiniStack, MariaDB, and Rekognition on moto.

use std::sync::atomic::{AtomicU32, Ordering};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    aws::{self, REGION, server},
    cognito::{OnMiniStack, Setup},
    doctor::{Told, Variables, doctor, doctor_for, variables},
    events::queue::Queues,
    mariadb::Database,
    process::free_port,
};

/// Where people reach it.
pub(super) const BASE_URL: &str = "https://localhost";
/// Whom the database knows it as, with its number.
const PASSWORD: &str = "a password of the database";

/// What only a server may do, and what only a worker may.
pub(super) const SERVING: [&str; 2] = ["s3:PutObject photos/", "sns:Publish"];
pub(super) const WORKING: [&str; 3] = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"];

pub(super) struct Deployment {
    folder: TempDir,
    variables: Variables,
    pub(super) queues: Queues,
    pub(super) database: Database,
    pub(super) bucket: String,
    pub(super) user: String,
}

impl Deployment {
    /// One that is right.
    pub(super) async fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let user = format!("doctor-{}-{number}", std::process::id());
        let bucket = format!("photos-of-{user}");
        let (admin, _) = aws::s3(&server("TEST_MINISTACK"), aws::key("test", "test")).await;
        admin.create_bucket().bucket(&bucket).send().await.unwrap();
        let queues = Queues::new().await;
        let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        database.migrate(&user, PASSWORD);
        let pool = OnMiniStack::with(Setup { base_url: Some(BASE_URL.to_owned()), ..Setup::default() }).await;
        let ministack = server("TEST_MINISTACK");
        let mut variables = variables([
            ("AWS_ENDPOINT_URL", ministack.as_str()),
            ("AWS_REGION", REGION),
            ("GALLERY__STORE__S3__BUCKET", &bucket),
            ("GALLERY__EVENTS__AWS__TOPIC_ARN", &queues.topic),
            ("GALLERY__EVENTS__AWS__QUEUE_URL", &queues.queue),
            ("GALLERY__LABELER__REKOGNITION__ENDPOINT", &server("TEST_MOTO")),
            ("GALLERY__IDENTITY__COGNITO__POOL_ID", &pool.pool),
            ("GALLERY__IDENTITY__COGNITO__CLIENT_ID", &pool.app.id),
            ("GALLERY__IDENTITY__COGNITO__CLIENT_SECRET", pool.app.secret.as_ref().unwrap().expose_secret()),
            ("GALLERY__IDENTITY__COGNITO__DOMAIN", &ministack),
            ("GALLERY__SERVER__BASE_URL", BASE_URL),
            ("GALLERY__SERVER__PORT", &free_port().to_string()),
            ("GALLERY__SERVER__TRUSTED_PROXIES", "10.0.0.0/16"),
            ("GALLERY__SERVER__DRAIN_SECONDS", "21"),
            ("GALLERY__SESSION__SECRET", "the secret of all instances together"),
        ]);
        variables.extend(database.gallery(&user, PASSWORD));
        let mut deployment =
            Self { folder: tempfile::tempdir().unwrap(), variables, queues, database, bucket, user: user.clone() };
        deployment.allow(|_| true).await;
        deployment
    }

    /// Has the gallery be somebody who may do what the README says, as far as it is `wanted`.
    pub(super) async fn allow(&mut self, wanted: impl Fn(&str) -> bool) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-role-{}", self.user, NUMBER.fetch_add(1, Ordering::Relaxed));
        let key = aws::user_with(&server("TEST_MINISTACK"), &name, &self.policy(wanted)).await;
        self.variables.insert("AWS_ACCESS_KEY_ID", key.access_key_id().to_owned());
        self.variables.insert("AWS_SECRET_ACCESS_KEY", key.secret_access_key().to_owned());
    }

    fn policy(&self, wanted: impl Fn(&str) -> bool) -> Value {
        let (bucket, name) = (format!("arn:aws:s3:::{}", self.bucket), &self.queues.name);
        let (topic, queue) = (format!("arn:aws:sns:*:*:{name}*"), format!("arn:aws:sqs:*:*:{name}"));
        let queues = format!("{queue}*");
        let rights = [
            ("s3:GetObject", "", format!("{bucket}/*")),
            ("s3:PutObject", " photos/", format!("{bucket}/photos/*")),
            ("s3:PutObject", " renditions/", format!("{bucket}/renditions/*")),
            ("s3:DeleteObject", "", format!("{bucket}/*")),
            ("s3:ListBucket", "", bucket.clone()),
            ("sns:Publish", "", topic),
            ("sqs:SendMessage", "", queue.clone()),
            ("sqs:ReceiveMessage", "", queue.clone()),
            ("sqs:DeleteMessage", "", queue.clone()),
            ("sqs:ChangeMessageVisibility", "", queue),
            ("sqs:GetQueueAttributes", "", queues.clone()),
            ("sqs:GetQueueUrl", "", queues),
        ];
        let left = rights.iter().filter(|(action, folder, _)| wanted(&format!("{action}{folder}")));
        let statements: Vec<Value> =
            left.map(|(action, _, on)| json!({"Effect": "Allow", "Action": action, "Resource": on})).collect();
        json!({"Version": "2012-10-17", "Statement": statements})
    }

    /// The doctor for somebody who may not do `lost`.
    pub(super) async fn doctor_without(&mut self, lost: &str) -> Told {
        self.allow(|right| !right.starts_with(lost)).await;
        self.doctor(&[])
    }

    /// What the doctor says of `photo-gallery work`, with these variables changed.
    pub(super) fn doctor_of_worker(&self, changed: &[(&'static str, &str)]) -> Told {
        doctor_for(self.folder.path(), &self.changed(changed), &["--work"])
    }

    /// Runs the doctor with these variables changed; an empty value takes one away.
    pub(super) fn doctor(&self, changed: &[(&'static str, &str)]) -> Told {
        doctor(self.folder.path(), &self.changed(changed))
    }

    fn changed(&self, changed: &[(&'static str, &str)]) -> Variables {
        let mut all = self.variables.clone();
        all.extend(variables(changed.iter().copied()));
        all.retain(|_, value| !value.is_empty());
        all
    }

    /// What lies in the bucket.
    pub(super) async fn objects(&self) -> Vec<String> {
        let (admin, _) = aws::s3(&server("TEST_MINISTACK"), aws::key("test", "test")).await;
        let listed = admin.list_objects_v2().bucket(&self.bucket).send().await.unwrap();
        listed.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect()
    }

    /// What waits in the queue.
    pub(super) async fn waiting(&self) -> Vec<String> {
        let asked = self.queues.sqs.receive_message().queue_url(&self.queues.queue).max_number_of_messages(10);
        let messages = asked.send().await.unwrap().messages.unwrap_or_default();
        messages.into_iter().filter_map(|message| message.body).collect()
    }

    /// Drops its database.
    pub(super) async fn gone(self) {
        self.database.gone().await;
    }
}
