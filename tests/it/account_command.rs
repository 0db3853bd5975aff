//! What the operator does with accounts at the command line, while the gallery is served.

use std::{path::Path, process::Output};

use photo_gallery::{
    accounts::{Client, Denial, Outcome, Progress},
    app::App,
    identity::Refusal,
    settings::{Catalog, MySql, Settings, Tls},
};
use reqwest::StatusCode;

use crate::{
    mariadb::Database,
    pictures,
    process::run,
    site::{ANN, PASSWORD, Site},
};

const BEA: &str = "bea@example.org";
const ANOTHER: &str = "another battery staple";

/// A gallery that is served, and the environment that makes the command line see the same.
struct Served {
    site: Site,
    environment: Vec<(&'static str, String)>,
    database: Option<Database>,
}

impl Served {
    async fn on_sqlite(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(Site::with(change).await, Vec::new(), None)
    }

    async fn on_mariadb() -> Self {
        let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        database.migrate("web", "secret");
        let catalog = MySql {
            host: database.host.clone(),
            port: database.port,
            user: "web".to_owned(),
            password: Some("secret".into()),
            database: database.name.clone(),
            tls: Tls::Preferred,
            ssl_ca: None,
            connections: 5,
            acquire_timeout_seconds: 3,
        };
        let site = Site::with(|settings| settings.catalog = Catalog::MySql(catalog)).await;
        Self::on(site, database.gallery("web", "secret"), Some(database))
    }

    fn on(site: Site, mut environment: Vec<(&'static str, String)>, database: Option<Database>) -> Self {
        let data = site.app.data().to_str().unwrap().to_owned();
        environment.extend([("GALLERY__DATA", data), ("GALLERY__LABELER", "none".to_owned())]);
        Self { site, environment, database }
    }

    fn folder(&self) -> &Path {
        self.site.folder.path()
    }

    fn output(&self, arguments: &[&str], input: &str) -> Output {
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run(self.folder(), arguments, &environment, input)
    }

    /// What a command that must work says.
    fn done(&self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Why a command that must not work did not.
    fn refused(&self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }

    async fn gone(self) {
        let Self { site, database, .. } = self;
        drop(site);
        if let Some(database) = database {
            database.gone().await;
        }
    }
}

async fn sign_in(app: &App, email: &str, password: &str) -> Outcome<Progress> {
    let client = Client { address: "127.0.0.1".parse().unwrap(), agent: String::new(), device: None, sign_in: None };
    app.accounts().sign_in(&client, &email.parse().unwrap(), &password.into(), None).await
}

async fn signs_in(app: &App, email: &str, password: &str) -> bool {
    match sign_in(app, email, password).await {
        Ok(Progress::In(_)) => true,
        Err(Denial::Refused(Refusal::Credentials)) => false,
        other => panic!("{other:?}"),
    }
}

async fn an_account_is_added_reset_and_removed_while_the_gallery_is_served(served: Served) {
    let Served { site, .. } = &served;
    assert_eq!(
        served.done(&["account", "add", BEA, "--nickname", "Béa", "--password-stdin"], &format!("{PASSWORD}\n")),
        format!("{BEA} can sign in now.\n")
    );
    let bea = site.another(BEA).await;
    bea.uploaded("bea.jpg", pictures::jpeg(64, 48, 1)).await;
    site.uploaded("ann.jpg", pictures::jpeg(64, 48, 2)).await;

    let listed = served.done(&["account", "list"], "");
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((lines[0][0], lines[1][0], lines[1][1], lines[1][3]), (ANN, BEA, "Béa", "1"), "{listed}");
    assert!(lines.len() == 2 && lines[1][2].ends_with('Z') && lines[1][4].parse::<u64>().unwrap() > 100, "{listed}");
    assert!(!listed.contains("argon2"));

    assert!(signs_in(&site.app, BEA, PASSWORD).await);
    let told = served.done(&["account", "reset", "BEA@example.org", "--password-stdin"], &format!("{ANOTHER}\r\n"));
    assert_eq!(told, format!("{BEA} has a new password, and is signed out everywhere.\n"));
    assert!(signs_in(&site.app, BEA, ANOTHER).await && !signs_in(&site.app, BEA, PASSWORD).await);
    assert_eq!(bea.json("/photos").await.0, StatusCode::UNAUTHORIZED, "her session goes on");
    assert_eq!(site.json("/photos").await.0, StatusCode::OK, "somebody else's session ended");

    let before = site.stored().len();
    let told = served.done(&["account", "remove", BEA, "--yes"], "");
    assert_eq!(told, format!("{BEA} is removed, and 1 photos with it.\n"));
    assert!(!signs_in(&site.app, BEA, ANOTHER).await);
    assert_eq!(site.stored().len(), before - 3, "original, display and thumb are gone from the store");
    assert!(!served.done(&["account", "list"], "").contains(BEA));
    let (_, listing) = site.json("/photos").await;
    assert_eq!(listing["photos"].as_array().unwrap().len(), 1, "somebody else's photo is gone");
    served.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_added_reset_and_removed_on_sqlite() {
    an_account_is_added_reset_and_removed_while_the_gallery_is_served(Served::on_sqlite(|_| {}).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_in_a_sentence() {
    let served = Served::on_sqlite(|_| {}).await;
    let known = format!("{PASSWORD}\n");
    for (arguments, input, says) in [
        (
            &["account", "add", ANN, "--password-stdin"][..],
            known.as_str(),
            "has an account already; give it a new password with",
        ),
        (&["account", "add", BEA, "--password-stdin"], "short\n", "A password has at least 10 characters."),
        (&["account", "add", BEA, "--password-stdin"], "", "A password has at least 10 characters."),
        (&["account", "add", BEA], "", "there is no terminal to ask on; give --password-stdin"),
        (&["account", "add", "bea", "--password-stdin"], &known, "an e-mail address looks like name@example.org"),
        (&["account", "add", "+41791234567", "--password-stdin"], &known, "knows people by e-mail address"),
        (
            &["account", "reset", BEA, "--password-stdin"],
            &known,
            "there is no account bea@example.org; `photo-gallery account list`",
        ),
        (&["account", "reset", ANN, "--password-stdin"], "ANN@example.org\n", "too easy to guess"),
        (&["account", "remove", BEA, "--yes"], "", "there is no account bea@example.org"),
        (&["account", "remove", ANN], "", "there is no terminal to ask on; give --yes"),
    ] {
        let told = served.refused(arguments, input);
        assert!(told.starts_with("photo-gallery: ") && told.contains(says), "{arguments:?}: {told}");
        assert!(!told.contains(PASSWORD) && told.lines().count() == 1, "{told}");
    }
    assert!(signs_in(&served.site.app, ANN, PASSWORD).await);
    served.gone().await;
}

#[test]
fn a_password_is_no_argument() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [&["account", "add", BEA, "--password", PASSWORD][..], &["account", "reset", BEA, PASSWORD]] {
        assert_eq!(run(home.path(), arguments, &[], "").status.code(), Some(2));
    }
}

#[test]
fn where_accounts_are_kept_elsewhere_the_command_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let pool = [
        ("COGNITO_POOL_ID", "us-west-2_AbCdEfGhI"),
        ("COGNITO_CLIENT_ID", "client"),
        ("COGNITO_CLIENT_SECRET", "secret"),
    ];
    let none = [("GALLERY__IDENTITY", "none")];
    for (environment, says) in [(&pool[..], "`aws cognito-idp`"), (&none[..], "set `identity` to local")] {
        let output = run(home.path(), &["account", "list"], environment, "");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && told.contains(says), "{told}");
    }
    std::fs::create_dir(home.path().join("photos")).unwrap();
    for (environment, arguments, says) in [
        (&pool[..], &["import", "photos"][..], "--account and the `cognito:username`"),
        (&none[..], &["import", "photos", "--account", ANN], "leave --account away"),
    ] {
        let output = run(home.path(), arguments, environment, "");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && told.contains(says), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_gallery_takes_accounts_from_its_operator_alone() {
    let served = Served::on_sqlite(|settings| {
        let photo_gallery::settings::Identity::Local(local) = &mut settings.identity else { panic!("the default") };
        local.sign_up = photo_gallery::settings::SignUp::Closed;
    })
    .await;
    let client = Client { address: "127.0.0.1".parse().unwrap(), agent: String::new(), device: None, sign_in: None };
    let refused = served.site.app.accounts().sign_up(&client, &crate::identity::newcomer(BEA)).await;
    assert!(matches!(refused, Err(Denial::Refused(Refusal::Closed))), "{refused:?}");
    served.done(&["account", "add", BEA, "--password-stdin"], &format!("{PASSWORD}\n"));
    assert!(signs_in(&served.site.app, BEA, PASSWORD).await);
    served.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_to_the_only_account_and_else_to_the_one_that_is_named() {
    let served = Served::on_sqlite(|_| {}).await;
    let photos = served.folder().join("photos");
    std::fs::create_dir(&photos).unwrap();
    std::fs::write(photos.join("a.jpg"), pictures::jpeg(64, 48, 1)).unwrap();
    let count = async |visit: &crate::site::Visit| visit.json("/photos").await.1["photos"].as_array().unwrap().len();
    served.done(&["import", "photos"], "");
    assert_eq!(count(&served.site).await, 1);
    let bea = served.site.another(BEA).await;
    let told = served.refused(&["import", "photos"], "");
    assert!(told.contains("there are 2 accounts: say whose these photos are with --account EMAIL"), "{told}");
    assert!(
        served.refused(&["import", "photos", "--account", "carl@example.org"], "").contains("there is no account carl")
    );
    assert_eq!(count(&bea).await, 0);
    assert!(served.done(&["import", "photos", "--account", "Bea@Example.org"], "").starts_with("1 new,"));
    assert_eq!((count(&bea).await, count(&served.site).await), (1, 1));
    served.gone().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_imported_before_there_were_accounts_belongs_to_the_first() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("photos")).unwrap();
    for seed in 0..3 {
        std::fs::write(home.path().join(format!("photos/{seed}.jpg")), pictures::jpeg(64, 48, seed)).unwrap();
    }
    let environment = [("GALLERY__LABELER", "none")];
    let done = |arguments: &[&str], input: &str| {
        let output = run(home.path(), arguments, &environment, input);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    done(&["import", "photos"], "");
    done(&["account", "add", ANN, "--password-stdin"], PASSWORD);
    done(&["account", "add", BEA, "--password-stdin"], PASSWORD);
    let listed = done(&["account", "list"], "");
    let photos: Vec<&str> = listed.lines().map(|line| line.split('\t').nth(3).unwrap()).collect();
    assert_eq!(photos, ["3", "0"], "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_interrupted_is_finished_when_it_is_repeated() {
    use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, sqlite::SqliteConnectOptions};

    let served = Served::on(Site::without_worker().await, Vec::new(), None);
    let bea = served.site.another(BEA).await;
    bea.uploaded("bea.jpg", pictures::jpeg(64, 48, 1)).await;
    let cookie = bea.cookie.as_deref().unwrap().strip_prefix("session=").unwrap();
    let owner = served.site.app.accounts().session(cookie).await.unwrap().unwrap().person.owner;
    // As a removal leaves it that was killed after the account had gone.
    let file = served.site.app.data().join("catalog.db");
    let mut line = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    let killed = format!(
        "INSERT INTO departing (owner, since) VALUES ('{0}', '2026-01-01 00:00:00'); DELETE FROM account WHERE owner = '{0}'",
        owner.as_str()
    );
    line.execute(AssertSqlSafe(killed)).await.unwrap();
    line.close().await.unwrap();
    assert_eq!(served.site.app.album().totals(&owner).await.unwrap().photos, 1);
    assert!(served.refused(&["account", "remove", BEA, "--yes"], "").contains("there is no account bea"));
    assert_eq!(served.site.app.album().totals(&owner).await.unwrap().photos, 0);
    assert!(served.site.stored().is_empty());
    served.gone().await;
}

mod with_servers {
    use super::{Served, an_account_is_added_reset_and_removed_while_the_gallery_is_served};

    #[tokio::test(flavor = "multi_thread")]
    async fn an_account_is_added_reset_and_removed_on_mariadb() {
        an_account_is_added_reset_and_removed_while_the_gallery_is_served(Served::on_mariadb().await).await;
    }
}
