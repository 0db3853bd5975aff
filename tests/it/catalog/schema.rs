//! The schema is brought up to date once, whoever asks how often; a schema of another version is told apart.

use photo_gallery::catalog::{Catalog, PoolSize, SchemaState};

use super::{Bed, mariadb_place};

pub(super) async fn migrating_again_and_twice_at_once_changes_nothing(bed: &Bed) {
    assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Current);
    let other = Catalog::open(&bed.connection, PoolSize(1)).expect("a catalog");
    let (one, two) = tokio::join!(bed.catalog.migrate(), other.migrate());
    one.expect("migrated");
    two.expect("migrated");
    assert_eq!(other.schema_state().await.expect("read"), SchemaState::Current);
    other.close().await;
}

pub(super) async fn a_schema_of_the_future_is_told_apart(bed: &Bed) {
    bed.run("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', TRUE, 'x', 1)")
        .await;
    assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Newer(1));
    bed.catalog.migrate().await.expect("nothing is left to do");
    assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Newer(1));
    bed.run("DELETE FROM _sqlx_migrations WHERE version = 14; DROP INDEX discarded_object_by_tried /*! ON discarded_object */").await;
    bed.run("ALTER TABLE discarded_object DROP COLUMN tried_at").await;
    assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Older(1), "what is missing counts more");
    bed.catalog.migrate().await.expect("migrated");
    assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Newer(1));
}

/// Else the version before could not go on while the one after takes its place.
#[test]
fn migrations_after_the_first_only_add() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
    files.sort();
    for file in &files[1..] {
        let text = std::fs::read_to_string(file).expect("a text");
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let text = lines.join("\n");
        for statement in text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            let words: Vec<&str> = statement.split_whitespace().collect();
            let is_new = |table: &str| text.contains(&format!("CREATE TABLE IF NOT EXISTS {table} "));
            let may_be_left_out =
                ["DEFAULT", "GENERATED"].iter().any(|word| words.contains(word)) || !statement.contains("NOT NULL");
            let binds = ["UNIQUE", "REFERENCES"].iter().any(|word| statement.contains(word));
            // The version before deletes rows without a thought for tables that came later.
            let mut references = statement.split("REFERENCES ").skip(1);
            let lets_go = references.all(|rest| {
                rest.split_once(')').is_some_and(|(_, after)| after.trim_start().starts_with("ON DELETE CASCADE"))
            });
            let adds = match words[..] {
                ["CREATE", "TABLE", "IF", "NOT", "EXISTS", ..] => lets_go,
                ["CREATE", "INDEX", ..] => true,
                ["CREATE", "UNIQUE", "INDEX", _, "ON", table, ..] => is_new(table),
                ["ALTER", "TABLE", _, "ADD", "COLUMN", ..] => may_be_left_out && !binds,
                _ => false,
            };
            let takes = ["DROP", "MODIFY", "RENAME", "CHANGE"].iter().any(|word| words.contains(word));
            assert!(adds && !takes, "{}: {statement}", file.display());
        }
    }
}

pub(super) async fn an_unfinished_schema_is_told_apart(bed: &Bed) {
    bed.run("DELETE FROM _sqlx_migrations WHERE version IN (5, 14); DROP TABLE discarded_object").await;
    assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Older(2));
    bed.catalog.migrate().await.expect("migrated");
    assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Current);
    assert!(bed.catalog.discarded(1).await.expect("the table is back").is_empty());
}

#[tokio::test]
async fn a_new_sqlite_file_is_empty_and_migrates_when_two_start_at_once() {
    let bed = Bed::bare_sqlite();
    assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Empty);
    let other = Catalog::open(&bed.connection, PoolSize(1)).expect("a catalog");
    let (one, two) = tokio::join!(bed.catalog.migrate(), other.migrate());
    one.expect("migrated");
    two.expect("migrated");
    assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Current);
    bed.gone().await;
}

mod with_servers {
    use photo_gallery::catalog::Connection;

    use super::{Bed, Catalog, PoolSize, SchemaState, mariadb_place};
    use crate::catalog::{cases, mysql_connection, root};

    #[tokio::test]
    async fn a_migration_killed_half_way_is_completed() {
        let bed = Bed::bare_mysql(&mariadb_place(), "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        bed.catalog.migrate().await.expect("migrated");
        // As MySQL leaves it when the connection dies within the first migration: some columns there, others not.
        let later = later_tables(&bed).await;
        bed.run(&format!(
            "SET FOREIGN_KEY_CHECKS = 0; DROP TABLE {later}; DROP INDEX photo_by_unfinished ON photo; \
             ALTER TABLE photo DROP COLUMN unfinished, DROP COLUMN in_hand, DROP COLUMN crashes; DROP INDEX photo_by_claim ON photo; \
             ALTER TABLE photo DROP COLUMN claimed_until; ALTER TABLE photo DROP COLUMN attempts; \
             DELETE FROM _sqlx_migrations WHERE version > 1; UPDATE _sqlx_migrations SET success = FALSE",
        ))
        .await;
        let steps = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).expect("a folder").count();
        assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Older(steps));
        bed.catalog.migrate().await.expect("completed");
        assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Current);
        cases::insert(&bed, &cases::ann(), [1]).await;
        bed.gone().await;
    }

    /// The tables that the first migration does not make.
    async fn later_tables(bed: &Bed) -> String {
        let Connection::MySql { database, .. } = &bed.connection else { panic!("a bed on MySQL") };
        let mut root = root(&mariadb_place(), Some(database)).await;
        let names: Vec<(String,)> = sqlx::query_as(
            "SELECT table_name FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name NOT IN ('photo', '_sqlx_migrations')",
        )
        .fetch_all(&mut root)
        .await
        .expect("listed");
        names.into_iter().map(|(name,)| name).collect::<Vec<_>>().join(", ")
    }

    #[tokio::test]
    async fn two_first_migrations_at_once_make_one_schema() {
        let bed = Bed::bare_mysql(&mariadb_place(), "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Empty);
        let other = Catalog::open(&bed.connection, PoolSize(1)).expect("a catalog");
        let (one, two) = tokio::join!(bed.catalog.migrate(), other.migrate());
        one.expect("migrated");
        two.expect("migrated");
        cases::insert(&bed, &cases::ann(), [1]).await;
        bed.gone().await;
    }

    #[tokio::test]
    async fn a_missing_database_is_made() {
        let name = format!("made_by_migrate_{}", std::process::id());
        let connection = mysql_connection(&mariadb_place(), "root", "", &name);
        let bed =
            Bed { catalog: Catalog::open(&connection, PoolSize(2)).expect("a catalog"), connection, folder: None };
        let sentence = format!("{:#}", bed.catalog.schema_state().await.expect_err("no database"));
        assert!(sentence.contains(&format!("there is no database `{name}`")), "{sentence}");
        bed.catalog.migrate().await.expect("made and migrated");
        assert_eq!(bed.catalog.schema_state().await.expect("read"), SchemaState::Current);
        bed.gone().await;
    }
}
