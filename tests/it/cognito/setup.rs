//! From settings to a gallery whose people are a pool's.

use std::{ffi::OsString, net::TcpListener};

use photo_gallery::{
    app::App,
    settings::{Settings, Sources},
};
use tempfile::TempDir;

/// A gallery with these variables, in a folder of its own.
async fn opened(variables: &[(&str, &str)]) -> (TempDir, anyhow::Result<App>) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let own = [("GALLERY__DATA", data.to_str().unwrap()), ("GALLERY__LABELER", "none")];
    let environment = own.iter().chain(variables).map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let sources = Sources { config: None, folder: folder.path().to_owned(), environment: environment.collect() };
    let app = App::open(Settings::load(&sources).unwrap().settings).await;
    (folder, app)
}

const COURSE: [(&str, &str); 4] = [
    ("FLASK_SECRET", "elevenchars"),
    ("COGNITO_POOL_ID", "us-west-2_AbCdEfGhI"),
    ("COGNITO_CLIENT_ID", "7clientofthetests"),
    ("COGNITO_CLIENT_SECRET", "the-client-secret"),
];

/// The address of nothing.
fn nowhere() -> String {
    format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
}

#[tokio::test]
async fn a_pool_that_is_away_does_not_keep_the_gallery_from_starting() {
    let nowhere = nowhere();
    let (_folder, app) = opened(&[&COURSE[..], &[("AWS_ENDPOINT_URL", &nowhere)]].concat()).await;
    let offers = app.unwrap().accounts().offers().expect("there are accounts");
    assert!(offers.sign_up && offers.codes && offers.phone && offers.password && !offers.hosted);
}

#[tokio::test]
async fn the_courses_domain_sends_people_to_the_pools_own_pages() {
    let nowhere = nowhere();
    let domain = ("COGNITO_DOMAIN", "photos.auth.us-west-2.amazoncognito.com");
    let more = [("AWS_ENDPOINT_URL", nowhere.as_str()), domain, ("BASE_URL", "https://photos.example.org")];
    let (_folder, app) = opened(&[&COURSE[..], &more].concat()).await;
    let offers = app.unwrap().accounts().offers().expect("there are accounts");
    assert!(offers.hosted && !offers.password);
}
