//! The web user may read and write rows, and nothing else.

use photo_gallery::catalog::{Catalog, PoolSize};

use super::Bed;

#[tokio::test]
async fn sqlite_knows_no_web_user() {
    let bed = Bed::sqlite().await;
    let refusal = bed.catalog.grant_web_user("web_user", &"secret".to_owned().into()).await.expect_err("refused");
    assert!(format!("{refusal:#}").contains("a SQLite database knows no accounts"), "{refusal:#}");
    bed.gone().await;
}

mod with_servers {
    use photo_gallery::catalog::{Connection, SchemaState};
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};

    use super::{Bed, Catalog, PoolSize};
    use crate::catalog::{cases, drop_nameless_accounts, mariadb_place, mysql_connection, root};

    fn database(bed: &Bed) -> &str {
        let Connection::MySql { database, .. } = &bed.connection else { panic!("MySQL") };
        database
    }

    async fn bed() -> Bed {
        let mut root = root(&mariadb_place(), None).await;
        drop_nameless_accounts(&mut root).await;
        root.close().await.expect("closed");
        Bed::mariadb().await
    }

    async fn grants(user: &str) -> Vec<String> {
        let mut connection = root(&mariadb_place(), None).await;
        let text = format!("SHOW GRANTS FOR '{}'@'%'", user.replace('\'', "''"));
        let rows = connection.fetch_all(AssertSqlSafe(text)).await.expect("grants");
        connection.close().await.expect("closed");
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    }

    async fn drop_user(user: &str) {
        let mut connection = root(&mariadb_place(), None).await;
        connection
            .execute(AssertSqlSafe(format!("DROP USER '{}'@'%'", user.replace('\'', "''"))))
            .await
            .expect("dropped");
        connection.close().await.expect("closed");
    }

    #[tokio::test]
    async fn the_web_user_has_four_rights_and_does_all_but_change_tables() {
        let bed = bed().await;
        let user = format!("web_{}", std::process::id());
        for password in ["first", "p%a&s's\\w/o@r\"d;--`é"] {
            bed.catalog.grant_web_user(&user, &password.to_owned().into()).await.expect("granted");
        }
        let rights = grants(&user).await;
        let escaped = database(&bed).replace('_', "\\_");
        assert_eq!(rights.len(), 2, "{rights:?}");
        assert!(rights[0].starts_with(&format!("GRANT USAGE ON *.* TO `{user}`@`%`")), "{rights:?}");
        assert_eq!(rights[1], format!("GRANT SELECT, INSERT, UPDATE, DELETE ON `{escaped}`.* TO `{user}`@`%`"));

        let connection = mysql_connection(&mariadb_place(), &user, "p%a&s's\\w/o@r\"d;--`é", database(&bed));
        let web =
            Bed { catalog: Catalog::open(&connection, PoolSize(2)).expect("a catalog"), connection, folder: None };
        assert_eq!(web.catalog.schema_state().await.expect("read"), SchemaState::Current);
        let photo = cases::insert(&web, &cases::ann(), [1]).await.remove(0);
        web.catalog.save_labels(photo.id, &[cases::label("Dog", 90.0)], cases::at(1)).await.expect("saved");
        web.catalog.delete_photo(&cases::ann(), photo.id, cases::at(2)).await.expect("deleted").expect("it was there");
        bed.run("DELETE FROM _sqlx_migrations WHERE version = 5; DROP TABLE discarded_object").await;
        let refusal = format!("{:#}", web.catalog.migrate().await.expect_err("refused"));
        assert!(refusal.contains("denied"), "{refusal}");

        bed.run(&format!("GRANT DROP, CREATE ON *.* TO '{user}'@'%' WITH GRANT OPTION")).await;
        bed.catalog.grant_web_user(&user, &"third".to_owned().into()).await.expect("granted");
        assert_eq!(grants(&user).await.len(), 2);
        assert!(grants(&user).await.iter().all(|right| !right.contains("DROP") && !right.contains("GRANT OPTION")));
        web.catalog.close().await;
        drop_user(&user).await;
        bed.gone().await;
    }

    #[tokio::test]
    async fn a_name_full_of_quotes_is_a_name() {
        let bed = bed().await;
        let user = format!("o'b`r\\%_ {}", std::process::id() % 100_000);
        bed.catalog.grant_web_user(&user, &"secret".to_owned().into()).await.expect("granted");
        let connection = mysql_connection(&mariadb_place(), &user, "secret", database(&bed));
        let web = Catalog::open(&connection, PoolSize(1)).expect("a catalog");
        web.check().await.expect("signed in");
        web.close().await;
        let mut prompt = root(&mariadb_place(), None).await;
        let name = user.replace('\\', "\\\\").replace('\'', "''");
        prompt.execute(AssertSqlSafe(format!("DROP USER '{name}'@'%'"))).await.expect("dropped");
        prompt.close().await.expect("closed");
        for refused in ["", "root", "line\nbreak", "a-name-that-is-longer-than-thirty-two"] {
            assert!(bed.catalog.grant_web_user(refused, &"secret".to_owned().into()).await.is_err(), "{refused:?}");
        }
        assert!(bed.catalog.grant_web_user("web_user", &String::new().into()).await.is_err(), "no password");
        bed.gone().await;
    }
}
