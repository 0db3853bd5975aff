//! A database of a test's own on the MariaDB that `script/servers` starts.
#![expect(clippy::disallowed_methods, reason = "tests look behind the catalog's back")]

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySqlConnection,
    mysql::{MySqlConnectOptions, MySqlRow},
};

use crate::process::run;

/// Host and port of the tests' MariaDB.
pub(crate) fn place() -> (String, u16) {
    let place = crate::aws::server("TEST_MARIADB");
    let (host, port) = place.split_once(':').expect("HOST:PORT");
    (host.to_owned(), port.parse().expect("a port"))
}

/// A database that no other test uses.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Database {
    /// An empty database with these defaults.
    pub(crate) async fn new(charset: &str) -> Self {
        let (host, port) = place();
        Self::at(host, port, charset).await
    }

    /// An empty database on the server at `host` and `port`.
    pub(crate) async fn at(host: String, port: u16, charset: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("gallery_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let database = Self { name, host, port };
        let mut root = database.options().connect().await.unwrap();
        // A fresh MariaDB has accounts without name, which would sign in on this machine in place of any `name@%`.
        root.execute("DELETE FROM mysql.global_priv WHERE User = ''; FLUSH PRIVILEGES").await.unwrap();
        root.execute(AssertSqlSafe(format!("CREATE DATABASE {} {charset}", database.name))).await.unwrap();
        root.close().await.unwrap();
        database
    }

    fn options(&self) -> MySqlConnectOptions {
        MySqlConnectOptions::new().host(&self.host).port(self.port).username("root")
    }

    /// A connection of root's.
    pub(crate) async fn root(&self) -> MySqlConnection {
        self.options().database(&self.name).connect().await.unwrap()
    }

    /// Runs statements as root.
    pub(crate) async fn run(&self, statements: &str) {
        let mut root = self.root().await;
        root.execute(AssertSqlSafe(statements.to_owned())).await.unwrap();
        root.close().await.unwrap();
    }

    /// What root reads.
    pub(crate) async fn rows(&self, question: &str) -> Vec<MySqlRow> {
        let mut root = self.root().await;
        let rows = sqlx::raw_sql(AssertSqlSafe(question.to_owned())).fetch_all(&mut root).await.unwrap();
        root.close().await.unwrap();
        rows
    }

    /// The gallery's own settings for this database.
    pub(crate) fn gallery(&self, user: &str, password: &str) -> Vec<(&'static str, String)> {
        vec![
            ("GALLERY__CATALOG__MYSQL__HOST", self.host.clone()),
            ("GALLERY__CATALOG__MYSQL__PORT", self.port.to_string()),
            ("GALLERY__CATALOG__MYSQL__USER", user.to_owned()),
            ("GALLERY__CATALOG__MYSQL__PASSWORD", password.to_owned()),
            ("GALLERY__CATALOG__MYSQL__DATABASE", self.name.clone()),
        ]
    }

    /// Runs `photo-gallery migrate` with root's empty password, for the web server's account `user`.
    pub(crate) fn migrate(&self, user: &str, password: &str) {
        let folder = tempfile::tempdir().unwrap();
        let own = self.gallery(user, password);
        let environment: Vec<(&str, &str)> =
            own.iter().map(|(name, value)| (*name, value.as_str())).filter(|(_, value)| !value.is_empty()).collect();
        let output = run(folder.path(), &["migrate", "--admin", "root", "--password-stdin"], &environment, "\n");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Drops the database.
    pub(crate) async fn gone(self) {
        self.run(&format!("DROP DATABASE {}", self.name)).await;
    }
}
