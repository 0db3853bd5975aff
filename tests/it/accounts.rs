//! What the app does about people, on every engine, with two instances over one catalog and a provider that does as the test says.

mod departing;
mod limits;
mod logging;
mod renewal;
mod sealing;
mod sessions;
mod town;

use std::{cell::Cell, path::Path, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use photo_gallery::{
    accounts::{Accounts, Client, Denial, Entry, Keys, Outcome, Progress, Times},
    album::{Album, Intake},
    catalog::{Catalog, Connection, PoolSize},
    darkroom::Darkroom,
    events::InProcess,
    identity::{NewAccount, SignInName},
    imaging::Limits,
    store::Disk,
};
use secrecy::ExposeSecret as _;
use town::Town;

use crate::catalog::Bed;

/// Everybody's password.
const PASSWORD: &str = "correct horse battery staple";

thread_local! {
    static LATER: Cell<i64> = const { Cell::new(0) };
}

/// The clock of this test alone: every test has a thread of its own.
fn now() -> DateTime<Utc> {
    let start: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
    start + TimeDelta::milliseconds(LATER.get())
}

/// Lets time pass.
fn wait(time: Duration) {
    LATER.set(LATER.get() + i64::try_from(time.as_millis()).unwrap());
}

/// Two instances of a gallery's accounts over one catalog and one provider.
struct Gallery {
    bed: Bed,
    town: Arc<Town>,
    one: Arc<Accounts>,
    two: Arc<Accounts>,
    album: Arc<Album>,
    folder: Arc<tempfile::TempDir>,
}

const TIMES: Times = Times {
    idle: Duration::from_hours(14 * 24),
    absolute: Duration::from_hours(90 * 24),
    renew: Duration::from_mins(15),
};

fn keys() -> Keys {
    Keys { seal: [1; 32], form: [2; 32], names: [3; 32] }
}

impl Gallery {
    async fn new(bed: Bed) -> Self {
        bed.catalog.migrate().await.unwrap();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let town = Arc::new(Town::default());
        let (one, album) = Self::instance(&bed.connection, folder.path(), &town, keys(), 1);
        let (two, _) = Self::instance(&bed.connection, folder.path(), &town, keys(), 2);
        Self { bed, town, one, two, album, folder }
    }

    fn instance(
        connection: &Connection,
        folder: &Path,
        town: &Arc<Town>,
        keys: Keys,
        number: u32,
    ) -> (Arc<Accounts>, Arc<Album>) {
        let catalog = Catalog::open(connection, PoolSize::default()).unwrap();
        let store = Disk::open(folder.join("photos"), "/media", &[0; 32], Duration::from_hours(1), now).unwrap();
        let darkroom = Darkroom::new(1.try_into().unwrap(), 8, Limits::default()).unwrap();
        let intake = Intake::open(&folder.join(format!("incoming-{number}")), 1 << 20).unwrap();
        let events = Arc::new(InProcess::new(8));
        let album = Arc::new(Album::new(catalog.clone(), Arc::new(store), events, darkroom, intake, now));
        let identity = Arc::clone(town);
        let accounts = Accounts::new(catalog, Some(identity), Arc::clone(&album), TIMES, keys, now);
        (Arc::new(accounts), album)
    }

    /// Signs somebody in who has an account.
    async fn signed_in(&self, name: &str) -> Entry {
        entry(self.one.sign_in(&from("192.0.2.1"), &named(name), &PASSWORD.into(), None).await)
    }

    /// Makes an account and signs in with it.
    async fn newcomer(&self, name: &str) -> Entry {
        let account =
            NewAccount { name: named(name), nickname: "Newcomer".parse().unwrap(), password: PASSWORD.into() };
        self.one.sign_up(&from("192.0.2.1"), &account).await.unwrap();
        self.signed_in(name).await
    }

    /// On how many of the two instances a cookie is somebody's.
    async fn known(&self, cookie: &str) -> usize {
        let (one, two) = (self.one.session(cookie).await.unwrap(), self.two.session(cookie).await.unwrap());
        usize::from(one.is_some()) + usize::from(two.is_some())
    }

    async fn gone(self) {
        self.album.close().await;
        self.bed.gone().await;
    }
}

fn named(name: &str) -> SignInName {
    name.parse().unwrap()
}

/// A browser at an address, without cookies.
fn from(address: &str) -> Client {
    Client { address: address.parse().unwrap(), agent: "tests".to_owned(), device: None, sign_in: None }
}

fn entry(outcome: Outcome<Progress>) -> Entry {
    match outcome {
        Ok(Progress::In(entry)) => *entry,
        other => panic!("not signed in: {other:?}"),
    }
}

/// The value of an entry's session cookie.
fn cookie(entry: &Entry) -> String {
    entry.session.expose_secret().to_owned()
}

/// After how long the next try is let through.
fn limited<T: std::fmt::Debug>(outcome: Outcome<T>) -> Duration {
    match outcome {
        Err(Denial::Limited { retry_after }) => retry_after,
        other => panic!("not limited: {other:?}"),
    }
}

/// Expands one list of cases over every engine.
macro_rules! on_every_engine {
    ($($part:ident::$case:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                let gallery = super::Gallery::new(super::Bed::bare_sqlite()).await;
                super::$part::$case(&gallery).await;
                gallery.gone().await;
            })*
        }

        mod with_servers {
            $(#[tokio::test]
            async fn $case() {
                let gallery = super::Gallery::new(super::Bed::mariadb().await).await;
                super::$part::$case(&gallery).await;
                gallery.gone().await;
            })*
        }
    };
}

on_every_engine! {
    sessions::a_session_is_known_on_every_instance_and_ends_on_all,
    sessions::the_old_cookie_is_nobodys_after_signing_in,
    sessions::junk_is_no_session,
    sessions::sessions_time_out,
    sessions::that_a_session_is_in_use_is_written_once_an_hour,
    sessions::the_catalog_holds_nothing_that_would_let_one_in,
    sessions::a_changed_password_ends_all_other_sessions,
    sessions::a_reset_password_ends_all_sessions,
    sessions::a_password_is_changed_to_the_end_when_the_browser_goes_away,
    sessions::a_password_is_reset_to_the_end_when_the_browser_goes_away,
    sessions::an_account_has_fifty_sessions_the_longest_unused_ends,
    sessions::nobody_ends_the_session_of_another,
    sessions::signing_out_everywhere_ends_all_sessions_here_and_at_the_provider,
    sessions::a_new_nickname_is_shown_in_all_sessions,
    renewal::one_of_all_instances_asks_the_provider_when_it_is_due,
    renewal::somebody_who_was_disabled_is_out_when_the_provider_is_asked,
    renewal::a_provider_that_is_down_leaves_people_in_and_is_asked_again_in_a_minute,
    renewal::a_slow_provider_holds_no_page,
    renewal::what_another_secret_sealed_ends,
    limits::twenty_wrong_passwords_on_two_instances_are_limited_together,
    limits::fifty_names_from_one_address_are_limited,
    limits::another_address_and_a_known_browser_still_get_in,
    limits::limits_let_go_with_time,
    limits::a_right_password_does_not_count,
    limits::forty_wrong_passwords_at_once_are_ten,
    limits::codes_are_limited,
    limits::junk_codes_keep_the_true_user_from_nothing,
    limits::no_name_and_no_address_stands_among_the_limits,
    limits::without_a_place_to_count_nothing_is_tried,
    departing::a_deleted_account_leaves_nothing,
    departing::a_deletion_that_was_cut_short_is_finished_by_the_sweep,
    departing::an_upload_on_its_way_is_deleted_too,
    departing::the_account_is_deleted_once_the_provider_answers_again,
    departing::a_provider_with_too_many_requests_deletes_the_account_later,
    departing::one_who_cannot_go_yet_holds_up_nobody_and_keeps_no_photos,
    departing::a_session_that_began_while_its_owner_departed_ends_with_the_sweep,
    departing::sessions_end_at_the_provider_when_it_keeps_the_account,
    departing::the_sweep_lets_the_provider_tidy,
    departing::a_wrong_password_deletes_nothing,
    logging::what_people_try_is_logged_under_a_pseudonym_with_the_address,
    departing::the_operator_removes_an_account_with_all_that_is_in_it,
}
