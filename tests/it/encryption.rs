//! The connection to MySQL, encrypted: to a real server with a certificate of an authority of the test's own.

mod with_servers {
    use crate::{
        mariadb::Database,
        mariadb_server::Server,
        pictures,
        process::{Process, run},
    };

    const PASSWORD: &str = "s3cr3t-of-ours";
    const BOTH: &str = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

    /// A server that can encrypt, a database with the gallery's tables, and two authorities: the server's and another one.
    struct Place {
        folder: tempfile::TempDir,
        database: Database,
        _server: Server,
        right: String,
        wrong: String,
    }

    impl Place {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let server = Server::encrypted().await;
            let (right, wrong) = (server.certificate("authority.pem"), server.certificate("other.pem"));
            let database = Database::at("127.0.0.1".to_owned(), server.port, BOTH).await;
            database.migrate("web_user", PASSWORD);
            Self { folder, database, _server: server, right, wrong }
        }

        fn environment(&self, host: &str, tls: &str, authority: &str) -> Vec<(&'static str, String)> {
            let mut own = self.database.gallery("web_user", PASSWORD);
            own.retain(|(name, _)| !name.ends_with("HOST"));
            own.extend([
                ("GALLERY__CATALOG__MYSQL__HOST", host.to_owned()),
                ("GALLERY__CATALOG__MYSQL__TLS", tls.to_owned()),
                ("GALLERY__SESSION__SECRET", "one for all instances".to_owned()),
                ("GALLERY__LABELER", "none".to_owned()),
            ]);
            if !authority.is_empty() {
                own.push(("GALLERY__CATALOG__MYSQL__SSL_CA", authority.to_owned()));
            }
            own
        }

        /// Serves with these settings, and takes a photo.
        async fn serves(&self, seed: u8, host: &str, tls: &str, authority: &str) {
            let environment = self.environment(host, tls, authority);
            let environment: Vec<(&str, &str)> =
                environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let folder = tempfile::tempdir().unwrap();
            let server = Process::serve(folder.path(), &environment).await;
            server.uploaded("a.jpg", "", pictures::jpeg(32, 24, seed.into())).await;
            assert!(server.terminate().await);
        }

        /// Runs `serve` with settings that cannot work: it leaves with 1 and one line that holds all of `says`.
        fn refuses(&self, host: &str, tls: &str, authority: &str, says: &[&str]) {
            let mut environment = self.environment(host, tls, authority);
            environment.push(("GALLERY__SERVER__PORT", "0".to_owned()));
            let environment: Vec<(&str, &str)> =
                environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let folder = tempfile::tempdir().unwrap();
            for command in [&["serve"][..], &["work"]] {
                let output = run(folder.path(), command, &environment, "");
                let said = String::from_utf8(output.stderr).unwrap();
                println!("{host} {tls} {authority}: {said}");
                assert_eq!(output.status.code(), Some(1), "{said}");
                for part in says {
                    assert!(said.contains(part), "{said:?} does not say {part:?}");
                }
                assert!(!said.contains(PASSWORD) && said.lines().count() == 1, "{said}");
            }
        }
    }

    /// A server that takes nothing that is not encrypted, so that whoever gets in is.
    #[tokio::test(flavor = "multi_thread")]
    async fn every_mode_encrypts_and_checks_as_much_as_it_says() {
        let place = Place::new().await;
        let (right, wrong) = (place.right.as_str(), place.wrong.as_str());
        place.serves(0, "127.0.0.1", "disabled", "").await;
        place.database.run("SET GLOBAL require_secure_transport = ON").await;
        place.serves(1, "127.0.0.1", "preferred", "").await;
        place.serves(2, "127.0.0.1", "required", wrong).await;
        place.serves(3, "127.0.0.1", "verify_ca", right).await;
        place.serves(4, "localhost", "verify_identity", right).await;

        let unsigned = ["was signed by no authority that is trusted", "set `catalog.mysql.ssl_ca` to a PEM file"];
        for tls in ["verify_ca", "verify_identity"] {
            place.refuses("localhost", tls, wrong, &unsigned);
            place.refuses("localhost", tls, "", &unsigned);
        }
        let named = ["is for another name", "\"127.0.0.1\"", "DnsName(\"localhost\")", "set `catalog.mysql.host`"];
        place.refuses("127.0.0.1", "verify_identity", right, &named);
        place.refuses(
            "127.0.0.1",
            "disabled",
            "",
            &["whether it wants the connection encrypted", "`catalog.mysql.tls`"],
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_of_authorities_that_cannot_be_used_is_named_and_a_server_that_cannot_encrypt_is_told() {
        let place = Place::new().await;
        let file = |name: &str, text: &str| {
            let path = place.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let set = "set `catalog.mysql.ssl_ca` to a PEM file";
        let missing = place.folder.path().join("missing.pem").display().to_string();
        place.refuses("localhost", "verify_ca", &missing, &["missing.pem of authorities cannot be read", set]);
        place.refuses("localhost", "verify_ca", &file("empty.pem", ""), &["empty.pem holds no certificate", set]);
        let torn = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
        place.refuses("localhost", "verify_ca", &file("torn.pem", torn), &["no encrypted connection", "torn.pem"]);

        let plain = Server::started().await;
        let database = Database::at("127.0.0.1".to_owned(), plain.port, BOTH).await;
        database.migrate("web_user", PASSWORD);
        let plain = Place { database, ..place };
        for tls in ["required", "verify_identity"] {
            plain.refuses("localhost", tls, &plain.right, &["no encrypted connection", "server does not support TLS"]);
        }
    }

    /// As the operator migrates a database of RDS.
    #[tokio::test(flavor = "multi_thread")]
    async fn migrate_checks_the_server_before_it_tells_it_the_masters_password() {
        let place = Place::new().await;
        place.database.run("SET GLOBAL require_secure_transport = ON").await;
        let migrated = |authority: &str| {
            let environment = place.environment("localhost", "verify_identity", authority);
            let environment: Vec<(&str, &str)> =
                environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            run(place.folder.path(), &["migrate", "--admin", "root", "--password-stdin"], &environment, "\n")
        };
        let output = migrated(&place.right);
        assert!(output.status.success(), "{output:?}");
        let output = migrated(&place.wrong);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("set `catalog.mysql.ssl_ca`"), "{said}");
    }
}
