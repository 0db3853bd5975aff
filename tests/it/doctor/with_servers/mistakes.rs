//! Settings that are wrong in one place.

use std::net::TcpListener;

use aws_sdk_sqs::types::QueueAttributeName;
use photo_gallery::identity::cognito::Flow;
use secrecy::ExposeSecret as _;

use super::deployment::{BASE_URL, Deployment};
use crate::{
    aws::server,
    cognito::{OnMiniStack, Setup},
    doctor::{doctor, stand_in::answering, variables},
    faults::clock::library,
    process::free_port,
};

/// What is changed, what the doctor finds wrong then, and words of its sentence.
type Mistake<'a> = (&'a [(&'static str, &'a str)], &'a str, &'a [&'a str]);

/// The port of nothing.
fn nowhere() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_setting_is_one_sentence() {
    let deployment = Deployment::new().await;
    let (queue, topic, port) = (deployment.queues.queue.clone(), deployment.queues.topic.clone(), nowhere());
    let (no_queue, no_topic) = (format!("{queue}-gone"), format!("{topic}-gone"));
    let rows: [Mistake<'_>; 13] = [
        (
            &[("GALLERY__STORE__S3__BUCKET", "no-such-bucket-here")],
            "bucket",
            &["there is no bucket no-such-bucket-here"],
        ),
        (&[("AWS_ACCESS_KEY_ID", "AKIANOSUCHKEY")], "AWS identity", &["does not know the access key id"]),
        (&[("AWS_SECRET_ACCESS_KEY", "another secret")], "AWS identity", &["does not belong to the access key id"]),
        (&[("GALLERY__CATALOG__MYSQL__HOST", "db.invalid")], "database name", &["db.invalid does not resolve"]),
        (&[("GALLERY__CATALOG__MYSQL__PORT", &port)], "database port", &["nothing listens", "catalog.mysql.host"]),
        (&[("GALLERY__CATALOG__MYSQL__PASSWORD", "another")], "database sign-in", &["refuses user", "check both"]),
        (
            &[("GALLERY__CATALOG__MYSQL__DATABASE", "nothing")],
            "database sign-in",
            &["`nothing`", "photo-gallery migrate"],
        ),
        (
            &[("GALLERY__CATALOG__MYSQL__TLS", "verify_identity")],
            "database sign-in",
            &["does not support TLS", "switch TLS on"],
        ),
        (&[("GALLERY__CATALOG__MYSQL__SSL_CA", "/none.pem")], "database authorities", &["/none.pem", "cannot be read"]),
        (&[("GALLERY__EVENTS__AWS__QUEUE_URL", &no_queue)], "queue", &["does not exist", "events.aws.queue_url"]),
        (&[("GALLERY__EVENTS__AWS__TOPIC_ARN", &no_topic)], "sns:Publish", &["does not exist", "events.aws.topic_arn"]),
        (&[("GALLERY__IDENTITY__COGNITO__CLIENT_SECRET", "another secret")], "app client", &["client_secret"]),
        (&[("GALLERY__SERVER__BASE_URL", "https://127.0.0.1")], "pool's own pages", &["https://127.0.0.1/callback"]),
    ];
    for (changed, subject, words) in rows {
        deployment.doctor(changed).says(subject, words);
    }
    let told = deployment.doctor(&[("GALLERY__SERVER__DRAIN_SECONDS", "0")]);
    told.warns("draining", &["server.drain_seconds is 0"]);
    deployment.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_amazons_own_pages_refuse_is_told() {
    let deployment = Deployment::new().await;
    for (error, words) in [
        ("redirect_mismatch", &["does not list https://localhost/callback among its callback URLs"][..]),
        ("unauthorized_client", &["authorization code grant"]),
        ("invalid_scope", &["identity.cognito.scopes"]),
    ] {
        let pages =
            answering(format!("302 Found\r\nlocation: https://pool.invalid/error?error={error}&client_id=c\r\n"));
        let told = deployment.doctor(&[("GALLERY__IDENTITY__COGNITO__DOMAIN", &pages.await)]);
        told.says("pool's own pages", words);
    }
    let pages = answering("302 Found\r\nlocation: https://pool.invalid/login?client_id=c\r\n".to_owned()).await;
    deployment.doctor(&[("GALLERY__IDENTITY__COGNITO__DOMAIN", &pages)]).all_is_well();
    deployment.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_another_region_is_told() {
    let deployment = Deployment::new().await;
    let topic = deployment.queues.topic.replace("us-east-1", "eu-west-1");
    let told = deployment.doctor(&[("GALLERY__EVENTS__AWS__TOPIC_ARN", &topic)]);
    let wrong = told.of("fail");
    assert!(
        wrong[0].0 == "topic ARN" && wrong[0].1.contains("is in eu-west-1, and is asked for in us-east-1"),
        "{wrong:?}"
    );
    assert_eq!(told.code, Some(1));
    deployment.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_twenty_minutes_ahead_is_told_and_not_what_follows_from_it() {
    let deployment = Deployment::new().await;
    let library = library();
    let told =
        deployment.doctor(&[("LD_PRELOAD", &library), ("FAKETIME", "+20m"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
    told.says("clock", &["ahead of AWS's", "chrony"]);
    assert!(told.of("warn").iter().any(|line| line.0 == "database clock"), "{:#?}", told.findings);
    deployment.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_does_not_let_the_topic_send_is_told() {
    let deployment = Deployment::new().await;
    let queues = &deployment.queues;
    let another = queues.topic.replace(&queues.name, "another");
    let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*",
        "Condition": {"ArnEquals": {"aws:SourceArn": another}},
    }]});
    let setting = queues.sqs.set_queue_attributes().queue_url(&queues.queue);
    setting.attributes(QueueAttributeName::Policy, policy.to_string()).send().await.unwrap();
    deployment.doctor(&[]).says("queue", &["does not let the topic", "aws:SourceArn"]);
    deployment.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_a_warning() {
    let deployment = Deployment::new().await;
    let queues = &deployment.queues;
    queues.sqs.send_message().queue_url(&queues.dead).message_body("given up").send().await.unwrap();
    deployment.doctor(&[]).warns("dead letters", &["1 message lies in the dead-letter queue"]);
    deployment.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_another_version_are_told_with_the_command() {
    let deployment = Deployment::new().await;
    deployment.database.run("DELETE FROM _sqlx_migrations ORDER BY version DESC LIMIT 1").await;
    deployment.doctor(&[]).says("database tables", &["older version (1 steps behind)", "photo-gallery migrate"]);
    deployment.database.run("DELETE FROM _sqlx_migrations").await;
    deployment.doctor(&[]).says("database tables", &["no tables of the gallery yet", "photo-gallery migrate"]);
    deployment.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_do_too_little_or_too_much_is_told() {
    let deployment = Deployment::new().await;
    let (user, name) = (&deployment.user, deployment.database.name.replace('_', "\\_"));
    deployment.database.run(&format!("REVOKE DELETE ON `{name}`.* FROM `{user}`@'%'")).await;
    deployment.doctor(&[]).says("database rights", &["may not DELETE", "photo-gallery migrate"]);
    deployment.database.run(&format!("GRANT DELETE, DROP ON `{name}`.* TO `{user}`@'%'")).await;
    deployment.doctor(&[]).warns("database rights", &["more than it needs", "DROP"]);
    deployment.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_client_without_the_flow_is_told() {
    let deployment = Deployment::new().await;
    let pool = OnMiniStack::with(Setup { flow: Flow::Srp, ..Setup::default() }).await;
    let told = deployment.doctor(&[
        ("GALLERY__IDENTITY__COGNITO__POOL_ID", &pool.pool),
        ("GALLERY__IDENTITY__COGNITO__CLIENT_ID", &pool.app.id),
        ("GALLERY__IDENTITY__COGNITO__CLIENT_SECRET", pool.app.secret.as_ref().unwrap().expose_secret()),
        ("GALLERY__IDENTITY__COGNITO__DOMAIN", ""),
        ("GALLERY__SERVER__BASE_URL", BASE_URL),
    ]);
    told.says("app client", &["ALLOW_USER_PASSWORD_AUTH"]);
    deployment.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_takes_our_mail_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let smtp = server("TEST_SMTP");
    let (host, port) = smtp.split_once(':').unwrap();
    let mail = variables([
        ("GALLERY__SERVER__PORT", free_port().to_string().as_str()),
        ("GALLERY__IDENTITY__LOCAL__SMTP_HOST", host),
        ("GALLERY__IDENTITY__LOCAL__SMTP_PORT", port),
        ("GALLERY__IDENTITY__LOCAL__SMTP_TLS", "none"),
        ("GALLERY__IDENTITY__LOCAL__MAIL_FROM", "photos@example.org"),
    ]);
    let told = doctor(folder.path(), &mail);
    told.all_is_well();
    assert!(told.of("ok").iter().any(|line| line.0 == "mail server"), "{:#?}", told.findings);
}
