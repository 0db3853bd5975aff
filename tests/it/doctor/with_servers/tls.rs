//! A database that encrypts, with a certificate that is known or not.

use photo_gallery::catalog::{Catalog, Connection, PoolSize, Tls};

use crate::{
    doctor::{Told, doctor, variables},
    mariadb_server::Server,
    process::free_port,
};

const PASSWORD: &str = "a password of the database";

/// A database with this version's tables on a server that encrypts.
async fn prepared() -> Server {
    let server = Server::encrypted().await;
    let connection = Connection::MySql {
        host: "localhost".to_owned(),
        port: server.port,
        user: "root".to_owned(),
        password: "".into(),
        database: "Photos".to_owned(),
        tls: Tls::Preferred,
        ssl_ca: None,
    };
    let catalog = Catalog::open(&connection, PoolSize(1)).unwrap();
    catalog.migrate().await.unwrap();
    catalog.grant_web_user("web_user", &PASSWORD.into()).await.unwrap();
    catalog.close().await;
    server
}

fn told(server: &Server, host: &str, tls: &str, authorities: &str) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let mut all = variables([
        ("GALLERY__SERVER__PORT", free_port().to_string().as_str()),
        ("GALLERY__CATALOG__MYSQL__HOST", host),
        ("GALLERY__CATALOG__MYSQL__PORT", &server.port.to_string()),
        ("GALLERY__CATALOG__MYSQL__PASSWORD", PASSWORD),
        ("GALLERY__CATALOG__MYSQL__TLS", tls),
        ("GALLERY__CATALOG__MYSQL__SSL_CA", authorities),
        ("GALLERY__SESSION__SECRET", "the secret of all instances together"),
    ]);
    all.retain(|_, value| !value.is_empty());
    doctor(folder.path(), &all)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked_as_the_settings_want_it() {
    let server = prepared().await;
    let (own, other) = (server.certificate("authority.pem"), server.certificate("other.pem"));
    let right = told(&server, "localhost", "verify_identity", &own);
    right.all_is_well();
    let says = |line: &&(&str, &str)| line.0 == "database encryption" && line.1.contains("host name are checked");
    assert!(right.of("ok").iter().any(|line| says(&line)), "{:#?}", right.findings);
    told(&server, "localhost", "verify_identity", &other)
        .says("database sign-in", &["signed by no authority", "ssl_ca"]);
    told(&server, "localhost", "verify_identity", "").says("database sign-in", &["global-bundle.pem"]);
    told(&server, "127.0.0.1", "verify_identity", &own).says("database sign-in", &["for another name"]);
    told(&server, "127.0.0.1", "verify_ca", &own).all_is_well();
    let plain = told(&server, "localhost", "disabled", "");
    assert!(plain.of("ok").iter().any(|line| line.1.contains("not encrypted")), "{:#?}", plain.findings);
}
