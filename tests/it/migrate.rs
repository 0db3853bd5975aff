//! The program as a Lambda function that migrates.

use serde_json::json;

use crate::events::lambda::invoked;

#[test]
fn an_event_that_cannot_be_meant_is_an_error_that_says_how_it_should_be() {
    let environment = [("_HANDLER", "migrate"), ("DATABASE_HOST", "127.0.0.1"), ("GALLERY__CATALOG__MYSQL__PORT", "1")];
    for (event, says) in [
        (json!("s3cr3t"), "the event must be an object"),
        (json!({}), "the event has no `password`"),
        (json!({"admin": "master", "password": ""}), "the event has no `password`"),
        (json!({"password": 53_777_333}), "`password` of the event must be a text"),
        (json!({"password": "s3cr3t"}), "the event has no `user_password`, which web_user shall have"),
        (json!({"pasword": "s3cr3t"}), "the event has a field too many"),
        (json!({"password": "s3cr3t", "user_password": "s3cr3t"}), "127.0.0.1:1"),
    ] {
        let (path, answer) = invoked(&environment, &event);
        let sentence = answer["errorMessage"].as_str().unwrap_or_default();
        assert!(path.ends_with("/invocation/1/error") && sentence.contains(says), "{event}: {path} {answer}");
        let answer = answer.to_string();
        assert!(!answer.contains("s3cr3t") && !answer.contains("53777333") && !answer.contains("panic"), "{answer}");
    }
}

mod with_servers {
    use std::path::Path;

    use photo_gallery::catalog::{Catalog, PoolSize, SchemaState};
    use serde_json::{Value, json};
    use sqlx::Row as _;

    use crate::{
        aws::{self, server, signed},
        catalog::mysql_connection,
        events::lambda::with_servers::{lambda, zip},
        mariadb::Database,
    };

    const MASTER: &str = "m%a&s't\"er\\ é";
    const OWN: &str = "o%w&n'\"\\ pässword";

    /// Invokes the function: whether it answered, and what.
    async fn invoke(function: &str, event: &Value) -> (bool, Value) {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let answer =
            signed(&server("TEST_MINISTACK"), "lambda", "POST", &path, "application/json", event.to_string()).await;
        let failed = answer.headers().contains_key("x-amz-function-error");
        (!failed, answer.json().await.unwrap())
    }

    async fn made(function: &str, folder: &Path, environment: &[(&str, &str)]) {
        let policy =
            json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]});
        aws::role(&server("TEST_MINISTACK"), function, "lambda.amazonaws.com", &policy).await;
        let function = json!({
            "FunctionName": function, "Runtime": "provided.al2023", "Handler": "migrate", "Timeout": 60, "MemorySize": 512,
            "Role": format!("arn:aws:iam::000000000000:role/{function}"), "Code": {"ZipFile": zip(folder, environment)},
        });
        lambda("POST", "/2015-03-31/functions", function).await;
    }

    /// A database that is not there yet, an account that may make it, and a function that knows host and port.
    #[tokio::test]
    async fn a_function_makes_tables_and_the_web_user_with_four_grants_however_often_it_is_invoked() {
        let database = Database::new("").await;
        let number = database.name.split_once('_').unwrap().1.replace('_', "-");
        let (function, master, user) =
            (format!("migrate_{number}"), format!("master_{number}"), format!("web_{number}"));
        let quoted = MASTER.replace('\\', "\\\\").replace('\'', "''");
        database
            .run(&format!(
                "CREATE USER '{master}'@'%' IDENTIFIED BY '{quoted}'; GRANT ALL ON *.* TO '{master}'@'%' WITH GRANT OPTION; \
                 DROP DATABASE {}",
                database.name
            ))
            .await;
        let folder = tempfile::tempdir().unwrap();
        let port = database.port.to_string();
        let environment = [
            ("DATABASE_HOST", database.host.as_str()),
            ("DATABASE_USER", &user),
            ("DATABASE_DB_NAME", &database.name),
            ("GALLERY__CATALOG__MYSQL__PORT", &port),
            ("GALLERY__LOG__FILTER", "trace"),
        ];
        made(&function, folder.path(), &environment).await;

        let event = |password: &str| json!({"admin": master, "password": password, "user_password": OWN});
        let (well, answer) = invoke(&function, &event("wrong password")).await;
        let sentence = answer["errorMessage"].as_str().unwrap_or_default();
        assert!(!well && sentence.contains(&format!("refuses user `{master}` with this password")), "{answer}");

        let told = format!("{} on 127.0.0.1 is at this version, and {user} may read and write it.", database.name);
        for time in ["first", "second"] {
            let (well, answer) = invoke(&function, &event(MASTER)).await;
            assert!(well && answer == json!({"message": told}), "the {time} time: {answer}");
            let grants = database.rows(&format!("SHOW GRANTS FOR '{user}'@'%'")).await;
            let grants: Vec<String> = grants.iter().map(|row| row.get(0)).collect();
            let escaped = database.name.replace('_', "\\_");
            assert_eq!(grants.len(), 2, "{grants:?}");
            assert!(grants[0].starts_with("GRANT USAGE ON *.* TO "), "{grants:?}");
            assert_eq!(grants[1], format!("GRANT SELECT, INSERT, UPDATE, DELETE ON `{escaped}`.* TO `{user}`@`%`"));
            let place = format!("{}:{}", database.host, database.port);
            let web = Catalog::open(&mysql_connection(&place, &user, OWN, &database.name), PoolSize(1)).unwrap();
            assert_eq!(web.schema_state().await.unwrap(), SchemaState::Current);
            web.close().await;
        }
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(log.contains(&told) && log.contains("DEBUG"), "{log}");
        for secret in [MASTER, OWN, "wrong password", "pässword", "m%a&s"] {
            assert!(!log.contains(secret), "`{secret}` is in the log");
        }
        lambda("DELETE", &format!("/2015-03-31/functions/{function}"), Value::Null).await;
        database.run(&format!("DROP USER '{master}'@'%'; DROP USER '{user}'@'%'")).await;
        database.gone().await;
    }
}
