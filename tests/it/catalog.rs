//! The catalog keeps the same promises on every engine.
#![expect(clippy::disallowed_methods, reason = "tests look behind the catalog's back")]

mod account;
mod adoption;
pub(crate) mod cases;
mod content;
mod grants;
mod lease;
mod lines;
mod outages;
mod plans;
#[path = "../../benches/seed/rows.rs"]
pub(crate) mod rows;
mod schema;
mod takeover;
mod text;
mod unfinished;
mod work;

use photo_gallery::catalog::{Catalog, Connection, PoolSize, Tls};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, MySqlConnection, mysql::MySqlConnectOptions,
};

/// A fresh database and the catalog on it.
pub(crate) struct Bed {
    pub(crate) catalog: Catalog,
    pub(crate) connection: Connection,
    folder: Option<tempfile::TempDir>,
}

impl Bed {
    /// An empty SQLite file.
    pub(crate) fn bare_sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let connection = Connection::Sqlite { path: folder.path().join("gallery.db") };
        let catalog = Catalog::open(&connection, PoolSize::default()).expect("a catalog");
        Self { catalog, connection, folder: Some(folder) }
    }

    pub(crate) async fn sqlite() -> Self {
        let bed = Self::bare_sqlite();
        bed.catalog.migrate().await.expect("migrated");
        bed
    }

    /// An empty database on the MySQL server at `place`; `charset` as a server of the course's time chose it, or ours.
    async fn bare_mysql(place: &str, charset: &str) -> Self {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let database = format!("it_{}_{number}", std::process::id());
        let mut root = root(place, None).await;
        let create = format!("DROP DATABASE IF EXISTS {database}; CREATE DATABASE {database} {charset}");
        root.execute(AssertSqlSafe(create)).await.expect("a fresh database");
        root.close().await.expect("closed");
        let connection = mysql_connection(place, "root", "", &database);
        let catalog = Catalog::open(&connection, PoolSize::default()).expect("a catalog");
        Self { catalog, connection, folder: None }
    }

    async fn mysql(place: &str) -> Self {
        let bed = Self::bare_mysql(place, "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin").await;
        bed.catalog.migrate().await.expect("migrated");
        bed
    }

    pub(crate) async fn mariadb() -> Self {
        Self::mysql(&mariadb_place()).await
    }

    /// Runs statements on the bed's database behind the catalog's back.
    pub(crate) async fn run(&self, statements: &str) {
        let text = AssertSqlSafe(statements.to_owned());
        match &self.connection {
            Connection::Sqlite { path } => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
                let mut connection = options.connect().await.expect("connected");
                connection.execute(text).await.expect(statements);
                connection.close().await.expect("closed");
            }
            Connection::MySql { host, port, database, .. } => {
                let mut connection = root(&format!("{host}:{port}"), Some(database)).await;
                connection.execute(text).await.expect(statements);
                connection.close().await.expect("closed");
            }
        }
    }

    /// The number that a question is answered with.
    pub(crate) async fn count(&self, question: &str) -> i64 {
        let text = AssertSqlSafe(question.to_owned());
        match &self.connection {
            Connection::Sqlite { path } => {
                let mut connection =
                    sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.expect("connected");
                sqlx::query_scalar(text).fetch_one(&mut connection).await.expect(question)
            }
            Connection::MySql { host, port, database, .. } => {
                let mut connection = root(&format!("{host}:{port}"), Some(database)).await;
                sqlx::query_scalar(text).fetch_one(&mut connection).await.expect(question)
            }
        }
    }

    pub(crate) async fn gone(self) {
        self.catalog.close().await;
        if let Connection::MySql { database, .. } = &self.connection {
            self.run(&format!("DROP DATABASE {database}")).await;
        }
        drop(self.folder);
    }
}

/// Where the test's MariaDB listens.
pub(crate) fn mariadb_place() -> String {
    std::env::var("TEST_MARIADB")
        .expect("TEST_MARIADB says where MariaDB listens, as `127.0.0.1:PORT`; script/test starts it and sets this")
}

pub(crate) fn mysql_connection(place: &str, user: &str, password: &str, database: &str) -> Connection {
    let (host, port) = place.split_once(':').expect("HOST:PORT");
    Connection::MySql {
        host: host.to_owned(),
        port: port.parse().expect("a port"),
        user: user.to_owned(),
        password: password.to_owned().into(),
        database: database.to_owned(),
        tls: Tls::Preferred,
        ssl_ca: None,
    }
}

async fn root(place: &str, database: Option<&str>) -> MySqlConnection {
    let (host, port) = place.split_once(':').expect("HOST:PORT");
    let options = MySqlConnectOptions::new().host(host).port(port.parse().expect("a port")).username("root");
    let options = if let Some(database) = database { options.database(database) } else { options };
    options.connect().await.expect("the MySQL server answers root without password")
}

/// Takes away the nameless accounts of a fresh MariaDB, which would sign in on this machine in place of any `name@%`.
async fn drop_nameless_accounts(root: &mut MySqlConnection) {
    root.execute("DELETE FROM mysql.global_priv WHERE User = ''").await.expect("deleted");
    root.execute("FLUSH PRIVILEGES").await.expect("flushed");
}

/// Expands one list of cases over every engine.
macro_rules! on_every_engine {
    ($($part:ident::$case:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                let bed = super::Bed::sqlite().await;
                super::$part::$case(&bed).await;
                bed.gone().await;
            })*
        }

        mod with_servers {
            $(#[tokio::test]
            async fn $case() {
                let bed = super::Bed::mariadb().await;
                super::$part::$case(&bed).await;
                bed.gone().await;
            })*

            #[tokio::test]
            async fn oracles_mysql_keeps_the_same_promises() {
                let place = std::env::var("TEST_MYSQL9").expect("TEST_MYSQL9 names Oracle's MySQL; run script/test");
                $(
                    println!("on Oracle's MySQL: {}", stringify!($case));
                    oracle::$case(&place).await;
                )*
            }

            /// Each on the heap, as all together are more than a thread's stack holds.
            mod oracle {
                $(pub(super) fn $case(place: &str) -> futures_util::future::LocalBoxFuture<'_, ()> {
                    Box::pin(async move {
                        let bed = crate::catalog::Bed::mysql(place).await;
                        crate::catalog::$part::$case(&bed).await;
                        bed.gone().await;
                    })
                })*
            }
        }
    };
}

on_every_engine! {
    cases::a_photo_comes_back_as_it_was_inserted,
    cases::the_same_bytes_of_one_owner_are_one_photo,
    cases::twenty_uploads_of_the_same_bytes_at_once_make_one_photo,
    cases::a_photo_of_another_owner_is_not_there,
    cases::the_timeline_is_walked_newest_first_page_by_page,
    cases::newer_and_older_are_the_neighbours,
    cases::a_photo_is_found_by_every_word_about_it,
    cases::all_terms_of_a_search_must_hold,
    cases::a_changed_description_is_found_by_its_new_words_only,
    cases::deleting_takes_the_photo_and_leaves_its_objects_to_be_removed,
    cases::what_cannot_be_removed_is_tried_after_all_others,
    cases::totals_follow_every_change,
    text::odd_text_comes_back_exactly,
    text::owners_that_differ_in_case_or_accent_are_strangers,
    text::a_taken_time_that_mysql_cannot_keep_is_refused,
    text::hostile_labels_are_kept_whole_or_dropped,
    text::the_label_text_is_cut_between_names,
    work::labels_replace_labels_and_count_once,
    work::labels_of_a_deleted_photo_are_not_saved,
    work::labels_of_many_photos_are_read_at_once,
    work::labelling_the_same_things_in_parallel_keeps_the_counts,
    work::only_one_of_many_workers_claims_a_photo,
    work::a_lease_runs_out,
    work::a_worker_that_was_taken_for_dead_makes_that_good,
    work::only_the_crash_that_was_none_is_made_good_and_once,
    work::what_a_wrong_clock_put_off_for_very_long_is_due,
    work::another_try_of_a_photo_that_kills_workers_may_kill_one,
    work::crashes_are_counted_until_a_photo_is_finished_or_given_up,
    work::a_row_that_cannot_be_read_is_claimed_and_says_why,
    work::a_photo_is_found_by_its_object,
    content::of_many_who_meet_one_content_one_asks,
    content::labels_that_cannot_be_read_are_asked_for_again_by_one,
    content::a_question_that_a_wrong_clock_asks_for_very_long_is_asked_anew,
    content::what_was_said_is_known_to_all_until_nobody_asks_for_long,
    lease::a_lease_is_held_renewed_and_taken_once_it_has_run_out,
    lease::a_lease_that_a_wrong_clock_took_for_very_long_is_nobodys,
    lease::of_many_instances_one_gets_a_lease,
    work::finished_and_failed_photos_are_not_unfinished,
    work::developing_moves_a_photo_to_when_it_was_taken,
    work::adopted_twins_both_stay,
    unfinished::what_waits_and_what_failed_is_listed_and_counted_apart,
    unfinished::another_try_is_for_what_failed_of_ones_own,
    schema::migrating_again_and_twice_at_once_changes_nothing,
    schema::a_schema_of_the_future_is_told_apart,
    schema::an_unfinished_schema_is_told_apart,
    plans::every_walk_uses_an_index,
    adoption::a_course_row_inserted_later_is_adopted,
    adoption::rows_that_cannot_be_photos_are_set_aside,
    adoption::a_row_that_cannot_be_read_holds_up_no_other,
    adoption::adopting_in_parallel_adopts_once,
    takeover::photos_change_hands_with_their_words_labels_and_counts,
    takeover::bytes_that_the_new_owner_has_already_stay_a_second_photo,
    takeover::several_may_take_over_while_photos_are_labelled,
    takeover::photos_that_are_not_the_owners_stay,
    account::of_many_first_accounts_at_once_one_is_the_first,
    account::where_sign_up_is_closed_one_of_many_gets_in,
    account::one_name_is_one_account,
    account::an_account_that_was_never_confirmed_gives_way,
    account::a_code_works_within_its_time_and_tries_only,
    account::a_new_password_ends_all_sessions_with_it,
    account::a_session_begins_only_with_the_password_that_holds,
    account::no_sign_in_slips_past_a_change_of_the_password,
    account::a_password_that_was_changed_meanwhile_stays,
    account::rows_set_aside_go_with_their_objects_and_rows_not_looked_at_stay,
}
