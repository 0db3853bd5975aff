//! A whole deployment on independent servers, right and then wrong in one place after the other.

mod deployment;
mod mistakes;
mod rights;
mod tls;

use deployment::{Deployment, SERVING, WORKING};

use crate::{
    aws::server,
    store::cloudfront::{Distribution, KEY_PAIR_ID},
};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_right_deployment_all_is_well_and_nothing_is_left_behind() {
    let deployment = Deployment::new().await;
    deployment.doctor(&[]).all_is_well();
    assert_eq!(deployment.objects().await, Vec::<String>::new());
    let letters = deployment.waiting().await;
    assert!(letters.len() == 2 && letters.iter().all(|letter| letter.contains("s3:TestEvent")), "{letters:?}");
    deployment.gone().await;
}

/// Each with the rights that the README gives it, and no other.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_fleet_of_workers_and_of_servers_that_leave_the_work_to_it_all_is_well() {
    let mut deployment = Deployment::new().await;
    deployment.allow(|right| !WORKING.contains(&right)).await;
    let elsewhere = [("GALLERY__WORKER__BESIDE_SERVER", "false")];
    let server = deployment.doctor(&elsewhere);
    server.all_is_well();
    assert!(!server.findings.iter().any(|line| WORKING.contains(&line.1.as_str())), "{:#?}", server.findings);

    deployment.allow(|right| !SERVING.contains(&right)).await;
    let way_in = [
        ("GALLERY__SERVER__BIND", "0.0.0.0"),
        ("GALLERY__SERVER__TRUSTED_PROXIES", ""),
        ("GALLERY__SERVER__DRAIN_SECONDS", "0"),
    ];
    let worker = deployment.doctor_of_worker(&way_in);
    worker.all_is_well();
    let looked_at = |subject: &str| worker.of("ok").iter().any(|line| line.0 == subject);
    assert!(
        WORKING.iter().all(|right| looked_at(right)) && looked_at("s3:DeleteObject photos/"),
        "{:#?}",
        worker.findings
    );
    assert_eq!(deployment.objects().await, Vec::<String>::new());
    deployment.gone().await;
}

/// A distribution that knows the key, one that knows another, and one that may not read the bucket.
#[tokio::test(flavor = "multi_thread")]
async fn a_distribution_that_gives_browsers_no_photos_is_told() {
    let deployment = Deployment::new().await;
    let ministack = server("TEST_MINISTACK");
    let edge = Distribution::start(&ministack, &deployment.bucket).await;
    let (key, other) = (edge.private_key(), Distribution::start(&ministack, "none").await);
    let looks = |domain: &str, id: &str| {
        deployment.doctor(&[
            ("GALLERY__STORE__S3__CLOUDFRONT__DOMAIN", domain),
            ("GALLERY__STORE__S3__CLOUDFRONT__KEY_PAIR_ID", id),
            ("GALLERY__STORE__S3__CLOUDFRONT__PRIVATE_KEY", &key),
        ])
    };
    let right = looks(&edge.origin, KEY_PAIR_ID);
    right.all_is_well();
    assert!(right.of("ok").iter().any(|line| line.0 == "CloudFront link"), "{:#?}", right.findings);
    for (domain, id) in [(&edge.origin, "K2ANOTHERKEY"), (&other.origin, KEY_PAIR_ID)] {
        looks(domain, id).says("CloudFront link", &["status 403", "key_pair_id", "key group", "PhotosDistribution"]);
    }
    assert_eq!(deployment.objects().await, Vec::<String>::new());
    deployment.gone().await;
}
