//! What only the accounts built in promise: the first of them, sign-ups that are closed, and how much work an answer is.

use std::time::{Duration, Instant};

use photo_gallery::{
    catalog::Totals,
    identity::{Answer, Chooser, Denied, Identity as _, NewAccount, Refusal, SignInName, SignedUp, Step, local::Local},
    photo::Owner,
};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;

use super::{
    chooser,
    local::{accounts, mail_by, mail_to},
    named, newcomer,
};
use crate::{
    catalog::{Bed, cases},
    mail::{MailServer, code_in},
    site::PASSWORD,
};

const ANN: &str = "ann@example.org";
const BEA: &str = "bea@example.org";
const NOBODY: &str = "nobody@example.org";

fn refused<T: std::fmt::Debug>(answer: Answer<T>) -> Refusal {
    match answer {
        Err(Denied::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

async fn signed_in(local: &Local, email: &str) -> Owner {
    match local.sign_in(&named(email), &PASSWORD.into()).await.unwrap() {
        Step::In(who) => who.person.owner,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_account_needs_no_code_even_where_codes_are_sent() {
    let (bed, mails) = (Bed::sqlite().await, MailServer::start().await);
    let local = accounts(&bed, true, Some(mail_by(&mails))).await;
    assert!(local.is_empty().await.unwrap());
    assert_eq!(local.sign_up(&newcomer(ANN)).await.unwrap(), SignedUp::Ready);
    assert!(!local.is_empty().await.unwrap());
    signed_in(&local, ANN).await;
    assert!(matches!(local.sign_up(&newcomer(BEA)).await.unwrap(), SignedUp::CodeSent(_)));
    mails.nth(BEA, 0).await;
    assert!(mails.to(ANN).is_empty());
    bed.gone().await;
}

#[tokio::test]
async fn without_a_mail_server_accounts_are_ready_at_once_and_the_operator_resets_passwords() {
    let bed = Bed::sqlite().await;
    let local = accounts(&bed, true, None).await;
    assert!(!local.offers().codes);
    for email in [ANN, BEA, BEA] {
        assert_eq!(local.sign_up(&newcomer(email)).await.unwrap(), SignedUp::Ready);
    }
    assert_ne!(signed_in(&local, ANN).await, signed_in(&local, BEA).await);
    for name in [BEA, NOBODY] {
        let (forgot, resend) = (local.forgot(&named(name)).await, local.resend(&named(name)).await);
        for refusal in [refused(forgot), refused(resend)] {
            assert!(refusal.to_string().contains("ask its operator to reset your password"), "{refusal}");
        }
        assert_eq!(
            refused(local.reset(&named(name), &"12345678".into(), &"another staple".into()).await),
            Refusal::Code
        );
    }
    bed.gone().await;
}

#[tokio::test]
async fn a_closed_gallery_lets_the_first_in_and_nobody_else() {
    let bed = Bed::sqlite().await;
    let local = accounts(&bed, false, None).await;
    assert!(!local.offers().sign_up);
    assert_eq!(local.sign_up(&newcomer(ANN)).await.unwrap(), SignedUp::Ready);
    for email in [ANN, BEA] {
        assert_eq!(refused(local.sign_up(&newcomer(email)).await), Refusal::Closed);
    }
    assert!(local.add(&newcomer(BEA)).await.unwrap());
    signed_in(&local, BEA).await;
    bed.gone().await;
}

#[tokio::test]
async fn telephone_numbers_and_addresses_that_no_mail_reaches_are_refused_as_names() {
    let (bed, mails) = (Bed::sqlite().await, MailServer::start().await);
    let local = accounts(&bed, true, Some(mail_by(&mails))).await;
    for (name, says) in [("+41791234567", "by e-mail address"), ("a,b@example.org", "No mail can be sent")] {
        match refused(local.sign_up(&NewAccount { name: named(name), ..newcomer(ANN) }).await) {
            Refusal::Name(sentence) => assert!(sentence.contains(says), "{sentence}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(refused(local.sign_in(&named(name), &PASSWORD.into()).await), Refusal::Credentials);
    }
    bed.gone().await;
}

/// The mailbox shows whose the address is, not who chose the password: somebody else may have signed up with it last.
#[tokio::test]
async fn a_code_confirms_the_account_of_who_chose_its_password_only() {
    let (bed, mails) = (Bed::sqlite().await, MailServer::start().await);
    let local = accounts(&bed, true, Some(mail_by(&mails))).await;
    local.sign_up(&newcomer(ANN)).await.unwrap();
    let marked = async |password: &str| {
        let bea = NewAccount { password: password.into(), ..newcomer(BEA) };
        match local.sign_up(&bea).await.unwrap() {
            SignedUp::CodeSent(delivery) => delivery.mark,
            SignedUp::Ready => panic!("no code"),
        }
    };
    let mark = marked(PASSWORD).await;
    mails.nth(BEA, 0).await;
    marked("the password of a stranger").await;
    let code = code_in(&mails.nth(BEA, 1).await.text).into();
    for chooser in [Chooser::default(), chooser(), Chooser { mark, password: None }] {
        let refusal = refused(local.confirm(&named(BEA), &code, &chooser).await);
        assert!(matches!(refusal, Refusal::Password(_)), "{refusal:?}");
    }
    let stranger = local.sign_in(&named(BEA), &"the password of a stranger".into()).await.unwrap();
    assert!(matches!(stranger, Step::Unconfirmed(_)), "{stranger:?}");

    let mark = marked(PASSWORD).await;
    let code = code_in(&mails.nth(BEA, 2).await.text).into();
    local.confirm(&named(BEA), &code, &Chooser { mark, password: None }).await.unwrap();
    signed_in(&local, BEA).await;
    bed.gone().await;
}

#[tokio::test]
async fn a_code_that_is_asked_for_after_the_password_needs_no_other_proof() {
    let (bed, mails) = (Bed::sqlite().await, MailServer::start().await);
    let local = accounts(&bed, true, Some(mail_by(&mails))).await;
    for email in [ANN, BEA] {
        local.sign_up(&newcomer(email)).await.unwrap();
    }
    let Step::Unconfirmed(mark) = local.sign_in(&named(BEA), &PASSWORD.into()).await.unwrap() else {
        panic!("confirmed")
    };
    let code = code_in(&mails.nth(BEA, 0).await.text).into();
    local.confirm(&named(BEA), &code, &Chooser { mark, password: None }).await.unwrap();
    bed.gone().await;
}

#[tokio::test]
async fn letters_that_wait_at_the_end_are_sent_before_it() {
    let (bed, mails) = (Bed::sqlite().await, MailServer::start().await);
    let local = accounts(&bed, true, Some(mail_by(&mails))).await;
    local.sign_up(&newcomer(ANN)).await.unwrap();
    for _ in 0..20 {
        local.forgot(&named(ANN)).await.unwrap();
    }
    local.finish().await;
    assert_eq!(mails.to(ANN).len(), 20);
    assert!(matches!(local.forgot(&named(ANN)).await, Err(Denied::Down(_))), "taken after the end");
    bed.gone().await;
}

/// SECURITY 19: counted, since a clock tells less on a busy machine.
#[tokio::test]
async fn an_answer_takes_as_many_hashes_whether_or_not_there_is_an_account() {
    let (bed, mails) = (Bed::sqlite().await, MailServer::start().await);
    let local = accounts(&bed, true, Some(mail_by(&mails))).await;
    for email in ["first@example.org", ANN, BEA] {
        local.sign_up(&newcomer(email)).await.unwrap();
    }
    local.confirm(&named(ANN), &code_in(&mails.nth(ANN, 0).await.text).into(), &chooser()).await.unwrap();
    let hashed = local.hashed();
    let (wrong, far_too_long) = ("another staple".into(), "x".repeat(100_000).into());
    // A confirmed account, one that is not, none.
    for name in [ANN, BEA, NOBODY] {
        assert_eq!(refused(local.sign_in(&named(name), &wrong).await), Refusal::Credentials);
        assert_eq!(refused(local.sign_in(&named(name), &far_too_long).await), Refusal::Credentials);
        assert_eq!(refused(local.reset(&named(name), &"12345678".into(), &wrong).await), Refusal::Code);
        assert!(matches!(local.sign_up(&newcomer(name)).await, Ok(SignedUp::CodeSent(_))));
        local.forgot(&named(name)).await.unwrap();
        local.resend(&named(name)).await.unwrap();
    }
    assert_eq!(local.hashed() - hashed, 3 * 4);
    bed.gone().await;
}

/// SECURITY 21: neither whether there is an account nor what the mail server does is to be seen in the answer.
#[tokio::test]
async fn a_mail_server_that_hangs_is_not_waited_for_and_letters_do_not_pile_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bed = Bed::sqlite().await;
    let local = accounts(&bed, true, Some(mail_to(listener.local_addr().unwrap()))).await;
    local.sign_up(&newcomer(ANN)).await.unwrap();
    let began = Instant::now();
    let mut taken = 0;
    let full = loop {
        match local.forgot(&named(ANN)).await {
            Ok(_) => taken += 1,
            Err(Denied::Down(cause)) => break cause.to_string(),
            Err(other) => panic!("{other:?}"),
        }
        tokio::task::yield_now().await;
        assert!(taken < 1000, "letters pile up");
    };
    assert!(taken >= 256 && full.contains("letters wait"), "{taken}: {full}");
    assert!(began.elapsed() < Duration::from_secs(5), "waited for the mail server: {:?}", began.elapsed());
    assert!(matches!(local.forgot(&named(NOBODY)).await, Err(Denied::Down(_))), "told from a known name");
    signed_in(&local, ANN).await;
    bed.gone().await;
}

#[tokio::test]
async fn a_password_hashed_at_another_cost_is_hashed_anew_at_sign_in() {
    let bed = Bed::sqlite().await;
    let local = accounts(&bed, true, None).await;
    local.sign_up(&newcomer(ANN)).await.unwrap();
    // `correct horse battery staple` at m=64, t=1, as argon2's reference program hashes it.
    let cheap = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$TUhCoV6YH8thtZpQqRp0JvQQ5ZYgiLA0LYApKDG6qtM";
    bed.run(&format!("UPDATE account SET password = '{cheap}'")).await;
    assert_eq!(refused(local.sign_in(&named(ANN), &"another staple".into()).await), Refusal::Credentials);
    let kept = async || local.account(&named(ANN)).await.unwrap().unwrap().password;
    assert_eq!(kept().await.expose_secret(), cheap);
    signed_in(&local, ANN).await;
    assert!(kept().await.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    signed_in(&local, ANN).await;
    bed.gone().await;
}

#[tokio::test]
async fn who_waits_for_a_code_that_cannot_come_any_more_is_told_so() {
    let (bed, mails) = (Bed::sqlite().await, MailServer::start().await);
    let local = accounts(&bed, true, Some(mail_by(&mails))).await;
    for email in [ANN, BEA] {
        local.sign_up(&newcomer(email)).await.unwrap();
    }
    let without = accounts(&bed, true, None).await;
    let refusal = refused(without.sign_in(&named(BEA), &PASSWORD.into()).await);
    assert!(matches!(&refusal, Refusal::NotOffered(sentence) if sentence.contains("operator")), "{refusal:?}");
    assert_eq!(refused(without.sign_in(&named(BEA), &"another staple".into()).await), Refusal::Credentials);
    assert_eq!(without.sign_up(&newcomer(BEA)).await.unwrap(), SignedUp::Ready);
    signed_in(&without, BEA).await;
    bed.gone().await;
}

#[tokio::test]
async fn a_new_password_that_is_the_name_is_refused_and_the_code_stays_good() {
    let (bed, mails) = (Bed::sqlite().await, MailServer::start().await);
    let local = accounts(&bed, true, Some(mail_by(&mails))).await;
    let ann = NewAccount { nickname: "Ann of the Hills".parse().unwrap(), ..newcomer(ANN) };
    local.sign_up(&ann).await.unwrap();
    local.forgot(&ann.name).await.unwrap();
    let code = code_in(&mails.nth(ANN, 0).await.text).into();
    let own_name = "ann of the hills".into();
    assert_eq!(refused(local.reset(&ann.name, &"12345678".into(), &own_name).await), Refusal::Code);
    assert!(matches!(refused(local.reset(&ann.name, &code, &own_name).await), Refusal::Password(_)));
    assert!(local.reset(&ann.name, &code, &PASSWORD.into()).await.unwrap().is_some());
    bed.gone().await;
}

async fn what_was_nobodys_belongs_to_the_first_account(bed: Bed) {
    let nobody = Owner::anonymous();
    let photos = cases::insert(&bed, &nobody, 1..=120).await;
    let labels = [cases::label("Beach", 90.0)];
    bed.catalog.save_labels(photos[0].id, &labels, cases::at(9)).await.unwrap();
    let local = accounts(&bed, true, None).await;
    local.sign_up(&newcomer(ANN)).await.unwrap();
    let ann = signed_in(&local, ANN).await;
    assert_eq!(bed.catalog.totals(&ann).await.unwrap().photos, 120);
    assert_eq!(bed.catalog.totals(&nobody).await.unwrap(), Totals::default());
    // What came in meanwhile, or was left by a process that was killed half-way, follows at the next start.
    cases::insert(&bed, &nobody, 130..=135).await;
    local.sign_up(&newcomer(BEA)).await.unwrap();
    assert_eq!(bed.catalog.totals(&nobody).await.unwrap().photos, 6, "the second account takes nothing");
    local.tidy().await.unwrap();
    assert_eq!(bed.catalog.totals(&ann).await.unwrap().photos, 126);
    assert_eq!(bed.catalog.label_totals(&ann).await.unwrap(), [("Beach".to_owned(), 1)]);
    let bea = signed_in(&local, BEA).await;
    assert_eq!(bed.catalog.totals(&bea).await.unwrap(), Totals::default());
    bed.gone().await;
}

#[tokio::test]
async fn what_was_nobodys_belongs_to_the_first_account_on_sqlite() {
    what_was_nobodys_belongs_to_the_first_account(Bed::sqlite().await).await;
}

#[tokio::test]
async fn accounts_that_were_never_confirmed_are_forgotten_after_a_week() {
    let (bed, mails) = (Bed::sqlite().await, MailServer::start().await);
    let local = accounts(&bed, true, Some(mail_by(&mails))).await;
    for email in [ANN, BEA] {
        local.sign_up(&newcomer(email)).await.unwrap();
    }
    let there = async |email: &str| local.account(&email.parse::<SignInName>().unwrap()).await.unwrap().is_some();
    local.tidy().await.unwrap();
    assert!(there(BEA).await);
    bed.run("UPDATE account SET created_at = '2026-01-01 00:00:00'").await;
    local.tidy().await.unwrap();
    assert!(there(ANN).await && !there(BEA).await);
    bed.gone().await;
}

mod with_servers {
    use super::{Bed, what_was_nobodys_belongs_to_the_first_account};

    #[tokio::test]
    async fn what_was_nobodys_belongs_to_the_first_account_on_mariadb() {
        what_was_nobodys_belongs_to_the_first_account(Bed::mariadb().await).await;
    }
}
