//! Accounts and the codes sent to people.

use futures_util::future::join_all;
use photo_gallery::{
    catalog::{Begun, Enrolled, Enrolment, Purpose, password_mark},
    photo::Owner,
};

use secrecy::ExposeSecret as _;

use super::{Bed, cases::at, plans::session};

fn owner(number: u8) -> Owner {
    format!("00000000-0000-4000-8000-0000000000{number:02}").parse().expect("an owner")
}

async fn enrolled(bed: &Bed, number: u8, key: &str, open: bool, confirmed: bool) -> Enrolled {
    let new = Enrolment {
        owner: &owner(number),
        email: key,
        key,
        nickname: "Ann",
        password: &format!("hash {number}").into(),
        open,
        confirmed,
    };
    bed.catalog.enroll(&new, at(number.into())).await.expect("answered")
}

async fn holder(bed: &Bed, key: &str) -> Option<Owner> {
    bed.catalog.account_named(key).await.expect("read").map(|account| account.owner)
}

pub(super) async fn of_many_first_accounts_at_once_one_is_the_first(bed: &Bed) {
    assert!(!bed.catalog.has_accounts().await.expect("read"));
    let keys: Vec<String> = (0..8).map(|number| format!("{number}@example.org")).collect();
    let mut all = join_all((0_u8..).zip(&keys).map(|(number, key)| enrolled(bed, number, key, true, true))).await;
    all.sort_by_key(|enrolled| *enrolled != Enrolled::First);
    assert_eq!((all[0], &all[1..]), (Enrolled::First, &[Enrolled::Another; 7][..]));
    let standing = bed.catalog.accounts(100).await.expect("listed");
    assert_eq!((standing.len(), standing.iter().filter(|one| one.account.founder).count()), (8, 1));
    let founder = bed.catalog.founder().await.expect("read").expect("there");
    assert!(bed.catalog.delete_account(&founder.owner).await.expect("deleted"));
    assert!(!bed.catalog.delete_account(&founder.owner).await.expect("answered"));
    assert!(bed.catalog.founder().await.expect("read").is_none() && bed.catalog.has_accounts().await.expect("read"));
}

pub(super) async fn where_sign_up_is_closed_one_of_many_gets_in(bed: &Bed) {
    let keys: Vec<String> = (0..8).map(|number| format!("{number}@example.org")).collect();
    let mut all = join_all((0_u8..).zip(&keys).map(|(number, key)| enrolled(bed, number, key, false, true))).await;
    all.sort_by_key(|enrolled| *enrolled != Enrolled::First);
    assert_eq!((all[0], &all[1..]), (Enrolled::First, &[Enrolled::Closed; 7][..]));
}

pub(super) async fn one_name_is_one_account(bed: &Bed) {
    let all = join_all((0..8).map(|number| enrolled(bed, number, "ann@example.org", true, true))).await;
    assert_eq!(all.iter().filter(|one| **one == Enrolled::First).count(), 1);
    assert_eq!(all.iter().filter(|one| **one == Enrolled::Taken).count(), 7);
    assert_eq!(enrolled(bed, 9, "änn@example.org", true, true).await, Enrolled::Another);
    assert_eq!(bed.catalog.accounts(100).await.expect("read").len(), 2, "nothing stays of who came too late");
    assert_eq!(holder(bed, "änn@example.org").await, Some(owner(9)));
    assert_eq!(holder(bed, "ann@example.or").await, None);
}

pub(super) async fn an_account_that_was_never_confirmed_gives_way(bed: &Bed) {
    enrolled(bed, 1, "first@example.org", true, true).await;
    assert_eq!(enrolled(bed, 2, "ann@example.org", true, false).await, Enrolled::Another);
    bed.catalog.put_code(&owner(2), Purpose::Confirm, "code", at(100)).await.expect("put");
    assert_eq!(enrolled(bed, 3, "ann@example.org", true, false).await, Enrolled::Another);
    assert_eq!(holder(bed, "ann@example.org").await, Some(owner(3)));
    assert!(!bed.catalog.confirm_by_code(&owner(3), "code", true, at(5)).await.expect("answered"), "the other's code");
    assert!(!bed.catalog.confirm_by_code(&owner(2), "code", true, at(5)).await.expect("answered"), "nobody's code");
    assert!(!bed.catalog.put_code(&owner(2), Purpose::Confirm, "code", at(100)).await.expect("answered"));
    assert_eq!(bed.catalog.delete_unconfirmed(at(3)).await.expect("answered"), 0);
    assert_eq!(bed.catalog.delete_unconfirmed(at(4)).await.expect("deleted"), 1);
    assert_eq!((holder(bed, "ann@example.org").await, holder(bed, "first@example.org").await), (None, Some(owner(1))));
}

pub(super) async fn a_code_works_within_its_time_and_tries_only(bed: &Bed) {
    let (ann, code) = (owner(1), "right");
    enrolled(bed, 1, "ann@example.org", true, true).await;
    let put = async || assert!(bed.catalog.put_code(&ann, Purpose::Reset, code, at(100)).await.expect("put"));
    let tried = async |code: &str, seconds| {
        bed.catalog.reset_by_code(&ann, code, &"new".into(), at(seconds)).await.expect("answered")
    };
    put().await;
    assert!(!tried("wrong", 99).await && tried(code, 99).await && !tried(code, 99).await, "once");
    put().await;
    assert!(!tried(code, 100).await, "too late");
    put().await;
    for _ in 0..4 {
        assert!(!tried("wrong", 1).await);
    }
    assert!(tried(code, 1).await, "the fifth try");
    put().await;
    join_all((0..20).map(|_| tried("wrong", 1))).await;
    assert!(!tried(code, 1).await, "dead");
    put().await;
    assert!(!bed.catalog.confirm_by_code(&ann, code, true, at(1)).await.expect("answered"), "of another purpose");
    bed.catalog.set_password(&ann, None, &"newer".into()).await.expect("set");
    assert!(!tried(code, 1).await, "a changed password needs no code");
}

async fn begins(bed: &Bed, number: u8, id: u32) {
    let begun = bed.catalog.begin_session(&session(owner(number), id), None, None).await.expect("begun");
    assert!(matches!(begun, Begun::Yes(_)));
}

/// In one transaction: whoever has the new password's hash in the catalog has no session of the old one there.
pub(super) async fn a_new_password_ends_all_sessions_with_it(bed: &Bed) {
    for number in 1..=2 {
        enrolled(bed, number, &format!("{number}@example.org"), true, true).await;
        begins(bed, number, u32::from(number)).await;
        begins(bed, number, 10 + u32::from(number)).await;
    }
    let sessions = async |number| bed.catalog.sessions(&owner(number)).await.expect("read").len();
    assert!(bed.catalog.set_password(&owner(1), None, &"new".into()).await.expect("set"));
    assert_eq!((sessions(1).await, sessions(2).await), (0, 2));
    bed.catalog.put_code(&owner(2), Purpose::Reset, "code", at(100)).await.expect("put");
    assert!(!bed.catalog.reset_by_code(&owner(2), "wrong", &"new".into(), at(2)).await.expect("answered"));
    assert_eq!(sessions(2).await, 2);
    assert!(bed.catalog.reset_by_code(&owner(2), "code", &"new".into(), at(2)).await.expect("set"));
    assert_eq!(sessions(2).await, 0);
}

pub(super) async fn a_password_that_was_changed_meanwhile_stays(bed: &Bed) {
    enrolled(bed, 1, "ann@example.org", true, true).await;
    begins(bed, 1, 1).await;
    let set = async |before: &str, after: &str| {
        bed.catalog.set_password(&owner(1), Some(&before.into()), &after.into()).await.expect("answered")
    };
    assert!(!set("hash 2", "new").await);
    assert_eq!(bed.catalog.sessions(&owner(1)).await.expect("read").len(), 1);
    assert!(set("hash 1", "new").await && !set("hash 1", "newer").await);
    let password = bed.catalog.account_of(&owner(1)).await.expect("read").expect("there").password;
    assert_eq!(password.expose_secret(), "new");
}

pub(super) async fn rows_set_aside_go_with_their_objects_and_rows_not_looked_at_stay(bed: &Bed) {
    bed.run(
        "INSERT INTO photo (object_key, cognito_username) VALUES ('photos/later.png', 'ann');
         INSERT INTO photo (object_key, cognito_username, id, problem) VALUES ('photos/aside.png', 'ann', 'an id', 'set aside');
         INSERT INTO photo (object_key, cognito_username, id, problem) VALUES ('photos//odd.png', 'ann', 'another id', 'set aside');
         INSERT INTO photo (object_key, cognito_username, id, problem) VALUES ('photos/bobs.png', 'bob', 'his id', 'set aside')",
    )
    .await;
    bed.catalog.forget_owner(&"ann".parse().expect("an owner"), at(1), true).await.expect("forgotten");
    let discarded = bed.catalog.discarded(10).await.expect("listed");
    assert_eq!(
        discarded.iter().map(photo_gallery::photo::ObjectPath::as_str).collect::<Vec<_>>(),
        ["photos/aside.png"]
    );
    assert_eq!(bed.count("SELECT COUNT(*) FROM photo WHERE cognito_username = 'ann'").await, 1);
    assert_eq!(bed.count("SELECT COUNT(*) FROM photo WHERE object_key = 'photos/later.png' AND id IS NULL").await, 1);
    assert_eq!(bed.count("SELECT COUNT(*) FROM photo WHERE cognito_username = 'bob'").await, 1);
}

/// SECURITY 36: who began to sign in before the password was changed, with the old one, does not come in after it.
pub(super) async fn a_session_begins_only_with_the_password_that_holds(bed: &Bed) {
    enrolled(bed, 1, "ann@example.org", true, true).await;
    let (ann, record) = (owner(1), session(owner(1), 7));
    let before = password_mark(&bed.catalog.account_of(&ann).await.expect("read").expect("there").password);
    let begun = async |mark: &str| bed.catalog.begin_session(&record, None, Some(mark)).await.expect("answered");
    assert!(bed.catalog.set_password(&ann, None, &"new".into()).await.expect("set"));
    assert!(matches!(begun(&before).await, Begun::Outdated));
    assert!(bed.catalog.sessions(&ann).await.expect("read").is_empty());
    assert!(matches!(begun(&password_mark(&"new".into())).await, Begun::Yes(_)));
    bed.catalog.delete_account(&ann).await.expect("deleted");
    assert!(matches!(begun(&password_mark(&"new".into())).await, Begun::Outdated), "the account is gone");
}

/// On whichever instances: a sign-in with the old password has no session once the change is done.
pub(super) async fn no_sign_in_slips_past_a_change_of_the_password(bed: &Bed) {
    enrolled(bed, 1, "ann@example.org", true, true).await;
    let ann = owner(1);
    for round in 0..10_u8 {
        let mark = password_mark(&bed.catalog.account_of(&ann).await.expect("read").expect("there").password);
        let signing_in = (0..8_u8).map(|number| {
            let record = session(ann.clone(), u32::from(round * 8 + number));
            let (catalog, mark) = (bed.catalog.clone(), mark.clone());
            async move {
                catalog.begin_session(&record, None, Some(&mark)).await.expect("answered");
            }
        });
        let changing = async {
            assert!(bed.catalog.set_password(&ann, None, &format!("password {round}").into()).await.expect("set"));
        };
        futures_util::future::join(join_all(signing_in), changing).await;
        assert!(bed.catalog.sessions(&ann).await.expect("read").is_empty(), "round {round}");
    }
}
