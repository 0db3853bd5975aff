//! The version before works on tables to which the version after has added: while instances are replaced, and after a step back.
#![expect(clippy::disallowed_methods, reason = "tests look behind the catalog's back")]

use reqwest::StatusCode;

use crate::{
    pictures,
    process::{Process, run},
    site::ANN,
};

/// What a later version's migration does: its record, a table of its own, and columns in all tables that were there.
fn later(tables: &[String]) -> String {
    let record = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                  VALUES (9001, 'later', TRUE, 'x', 0); CREATE TABLE later_thing (id BIGINT PRIMARY KEY);";
    let columns = tables.iter().map(|table| {
        format!("ALTER TABLE {table} ADD COLUMN later_note VARCHAR(100); ALTER TABLE {table} ADD COLUMN later_count BIGINT NOT NULL DEFAULT 7;")
    });
    columns.fold(record.to_owned(), |all, one| all + &one)
}

/// A life on such tables: an account, an upload, its labels, a description, pages, the archive, deletion, a departure.
async fn lives(folder: &std::path::Path, environment: &[(&str, &str)]) {
    let server = Process::start(folder, environment).await;
    server.sign_up(ANN).await;
    let ann = server.visit(&server.signed_in(ANN).await);
    let cat = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/photos/chelsea.jpg")).unwrap();
    let photo = ann.uploaded("cat.jpg", cat).await;
    let id = photo["id"].as_str().unwrap();
    let photo = ann.settled(id).await;
    assert!(photo["labels"].as_array().unwrap().iter().any(|label| label["name"] == "Cat"), "{photo}");
    let other = ann.uploaded("other.jpg", pictures::jpeg(40, 30, 1)).await;
    ann.settled(other["id"].as_str().unwrap()).await;
    assert_eq!(
        ann.post(&format!("/photos/{id}/description"), &[("description", "On the wall")]).await.status(),
        StatusCode::OK
    );
    for path in
        ["/photos", "/photos?q=wall", "/photos?label=Cat", "/labels", "/account", "/unfinished", "/account/data"]
    {
        let page = ann.page(path).await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        page.bytes().await.unwrap();
    }
    let found = ann.page("/photos?q=wall").await.text().await.unwrap();
    assert!(found.contains(id), "{found}");
    assert_eq!(ann.post(&format!("/photos/{id}/delete"), &[]).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(ann.page(&format!("/photos/{id}")).await.status(), StatusCode::NOT_FOUND);
    let report = server.json("/readyz").await;
    assert_eq!((report.0, report.1["schema"].as_str()), (StatusCode::OK, Some("newer")), "{}", report.1);
    let log = server.log();
    assert_eq!(log.matches("the database's tables are of a newer version").count(), 1, "{log}");
    assert!(!log.contains("ERROR"), "{log}");
    assert!(server.terminate().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_catalog_to_which_a_later_version_added_is_served() {
    use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["migrate"], &[], "");
    assert!(output.status.success(), "{output:?}");
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("data/catalog.db"));
    let mut line = file.connect().await.unwrap();
    let tables =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('_sqlx_migrations', 'sqlite_sequence')";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut line).await.unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    line.execute(sqlx::AssertSqlSafe(later(&tables))).await.unwrap();
    line.close().await.unwrap();
    lives(folder.path(), &[]).await;
    let output = run(folder.path(), &["migrate"], &[], "");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains("is at a later version, on which this one works too."), "{told}");
}

mod with_servers {
    use sqlx::Row as _;

    use super::{later, lives};
    use crate::mariadb::Database;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_mysql_catalog_to_which_a_later_version_added_is_served() {
        let database = Database::new("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        let user = format!("it_before_{}", database.name.rsplit('_').next().unwrap());
        database.migrate(&user, "it password");
        let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name <> '_sqlx_migrations'";
        let tables: Vec<String> = database.rows(tables).await.iter().map(|row| row.get(0)).collect();
        assert!(tables.len() > 10, "{tables:?}");
        database.run(&later(&tables)).await;
        // A step back runs the earlier version's `migrate`, too.
        database.migrate(&user, "it password");
        let folder = tempfile::tempdir().unwrap();
        let own = database.gallery(&user, "it password");
        let environment: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        lives(folder.path(), &environment).await;
        database.gone().await;
    }
}
