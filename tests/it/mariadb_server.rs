//! A MariaDB of a test's own, to be killed, stopped and turned read-only.
#![expect(clippy::disallowed_methods, reason = "tests look behind the catalog's back")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySqlConnection, mysql::MySqlConnectOptions,
};

/// The server, which ends with the value. `root` has no password, and there are no other accounts.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    process: Child,
    /// How it is started beside what all are.
    options: Vec<String>,
}

impl Server {
    fn program(name: &str) -> PathBuf {
        ["/usr/sbin", "/usr/bin"]
            .into_iter()
            .map(|folder| PathBuf::from(folder).join(name))
            .find(|path| path.exists())
            .expect(name)
    }

    fn spawn(folder: &Path, port: u16, options: &[String]) -> Child {
        let option = |name: &str, value: &str| format!("--{name}={value}");
        let inside = |name: &str| folder.join(name).display().to_string();
        Command::new(Self::program("mariadbd"))
            .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1", "--skip-log-bin"])
            .args([option("datadir", &inside("data")), option("port", &port.to_string())])
            .args([option("socket", &inside("s")), option("pid-file", &inside("pid")), option("tmpdir", &inside(""))])
            .args(options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mariadbd starts")
    }

    /// A fresh server that is starting.
    pub(crate) fn new() -> Self {
        Self::within(tempfile::tempdir().expect("a folder"), Vec::new())
    }

    fn within(folder: tempfile::TempDir, options: Vec<String>) -> Self {
        let made = Command::new(Self::program("mariadb-install-db"))
            .args(["--no-defaults", "--user=root", "--auth-root-authentication-method=normal"])
            .arg(format!("--datadir={}", folder.path().join("data").display()))
            .arg(format!("--tmpdir={}", folder.path().display()))
            .output()
            .expect("mariadb-install-db runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = crate::process::free_port();
        let process = Self::spawn(folder.path(), port, &options);
        Self { folder, port, process, options }
    }

    /// A fresh server that answers, without the nameless accounts that would sign in on this machine in place of any `name@%`.
    pub(crate) async fn started() -> Self {
        let server = Self::new();
        server.answers().await;
        server.run("DELETE FROM mysql.global_priv WHERE User = ''; FLUSH PRIVILEGES").await;
        server
    }

    /// Like [`started`](Self::started), encrypting with a certificate for `localhost` that `authority.pem` has
    /// signed; `other.pem` has signed none.
    pub(crate) async fn encrypted() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = |name: &str| folder.path().join(name).display().to_string();
        let certify = |name: &str, more: &[&str]| {
            let made = Command::new("openssl")
                .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '))
                .args(["-subj", &format!("/CN={name}")])
                .args(["-keyout", &inside(&format!("{name}.key")), "-out", &inside(&format!("{name}.pem"))])
                .args(more)
                .output()
                .expect("openssl runs");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        };
        certify("authority", &[]);
        certify("other", &[]);
        let (authority, key) = (inside("authority.pem"), inside("authority.key"));
        let names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"];
        certify("server", &[&["-CA", &authority, "-CAkey", &key], &names[..]].concat());
        let options =
            vec![format!("--ssl-cert={}", inside("server.pem")), format!("--ssl-key={}", inside("server.key"))];
        let server = Self::within(folder, options);
        server.answers().await;
        server.run("DELETE FROM mysql.global_priv WHERE User = ''; FLUSH PRIVILEGES").await;
        server
    }

    /// The file of one of the authorities of [`encrypted`](Self::encrypted).
    pub(crate) fn certificate(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Where it listens.
    pub(crate) fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn options(&self) -> MySqlConnectOptions {
        MySqlConnectOptions::new().host("127.0.0.1").port(self.port).username("root")
    }

    /// Waits until it answers.
    pub(crate) async fn answers(&self) {
        let begun = Instant::now();
        while let Err(error) = self.options().connect().await {
            assert!(begun.elapsed() < Duration::from_mins(1), "the server does not come up: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A connection of root's.
    pub(crate) async fn root(&self) -> MySqlConnection {
        self.options().connect().await.expect("root is let in")
    }

    /// Runs statements as root.
    pub(crate) async fn run(&self, statements: &str) {
        let mut root = self.root().await;
        root.execute(AssertSqlSafe(statements.to_owned())).await.expect(statements);
        root.close().await.expect("closed");
    }

    /// Ends the connections of `user`, busy or not; how many there were.
    pub(crate) async fn hang_up_on(&self, user: &str) -> usize {
        let mut root = self.root().await;
        let text = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE user = ?";
        let lines: Vec<(i64,)> = sqlx::query_as(text).bind(user).fetch_all(&mut root).await.expect("the connections");
        for (id,) in &lines {
            // One that has ended in the meantime is as good.
            let _ = root.execute(AssertSqlSafe(format!("KILL {id}"))).await;
        }
        root.close().await.expect("closed");
        lines.len()
    }

    /// Sends it a signal: `-STOP` hangs it, `-CONT` lets it go on.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) {
        self.signal("-TERM");
        self.process.wait().expect("gone");
    }

    /// Kills it as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }

    /// Starts it again, with all it had, after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub(crate) fn start(&mut self) {
        self.process = Self::spawn(self.folder.path(), self.port, &self.options);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
