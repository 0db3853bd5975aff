//! Rights that the gallery's role has not.

use super::Deployment;

#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_is_missing_is_told_by_its_name() {
    let mut deployment = Deployment::new().await;
    for (lost, subjects) in [
        ("s3:ListBucket", &["s3:ListBucket"][..]),
        ("s3:PutObject", &["s3:PutObject photos/", "s3:PutObject renditions/"]),
        ("s3:GetObject", &["s3:GetObject photos/", "s3:GetObject renditions/"]),
        ("sns:Publish", &["sns:Publish"]),
        ("sqs:GetQueueAttributes", &["queue"]),
        ("sqs:SendMessage", &["sqs:SendMessage"]),
        ("sqs:ReceiveMessage", &["sqs:ReceiveMessage"]),
        ("sqs:DeleteMessage", &["sqs:DeleteMessage"]),
        ("sqs:ChangeMessageVisibility", &["sqs:ChangeMessageVisibility"]),
    ] {
        let told = deployment.doctor_without(lost).await;
        let wrong = told.of("fail");
        let named: Vec<&str> = wrong.iter().map(|line| line.0).collect();
        assert_eq!(named, subjects, "{:#?}", told.findings);
        assert!(wrong.iter().all(|line| line.1.contains(&format!("{lost} is denied on arn:aws:"))), "{wrong:#?}");
        assert_eq!(told.code, Some(1));
        assert_eq!(deployment.objects().await, Vec::<String>::new());
    }
    deployment.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_is_told_by_its_name() {
    let mut deployment = Deployment::new().await;
    let told = deployment.doctor_without("s3:DeleteObject").await;
    let wrong = told.of("fail");
    let left = deployment.objects().await;
    assert!(wrong.len() == 2 && left.len() == 2, "{wrong:#?} {left:?}");
    for object in left {
        assert!(
            wrong.iter().any(|line| line.1.contains(&object) && line.1.contains("s3:DeleteObject is denied")),
            "{wrong:#?}"
        );
    }
    deployment.gone().await;
}
