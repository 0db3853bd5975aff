//! What every provider with accounts promises.

use photo_gallery::identity::{
    Answer, Challenge, Denied, NewAccount, Offers, Pending, Refusal, Response, SignedUp, Step,
};
use secrecy::SecretString;

use super::{Provider, chooser, entered, joined, named, newcomer, other_than};

const BEA: &str = "bea@example.org";
const CARL: &str = "carl@example.org";
const NOBODY: &str = "nobody@example.org";
const ANOTHER: &str = "another battery staple";

fn another() -> SecretString {
    ANOTHER.into()
}

/// Why it was refused.
fn refused<T: std::fmt::Debug>(answer: Answer<T>) -> Refusal {
    match answer {
        Err(Denied::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Checks that the right password does not let somebody in who is not confirmed.
async fn is_unconfirmed<P: Provider>(provider: &P, account: &NewAccount) {
    match provider.identity().sign_in(&account.name, &account.password).await {
        Ok(Step::Unconfirmed(_)) => assert!(P::TELLS_UNCONFIRMED),
        Err(Denied::Refused(Refusal::Credentials)) => assert!(!P::TELLS_UNCONFIRMED),
        other => panic!("{other:?}"),
    }
}

fn with(account: &NewAccount, password: &str) -> NewAccount {
    NewAccount { password: password.into(), ..account.clone() }
}

pub(crate) async fn somebody_who_confirmed_signs_in_and_is_known_by_a_stable_id(provider: &impl Provider) {
    let bea = joined(provider, BEA).await;
    let who = entered(provider, &bea).await;
    assert_eq!(who.person.email.as_deref(), Some(BEA));
    assert_eq!(who.person.nickname.as_deref(), Some("bea"));
    let owner = who.person.owner.as_str();
    assert!(!owner.contains(['@', '.']), "the owner's id must not be the address: {owner}");
    assert_eq!(entered(provider, &bea).await.person, who.person);
    let carl = entered(provider, &joined(provider, CARL).await).await;
    assert_ne!(carl.person.owner, who.person.owner);
}

pub(crate) async fn names_are_the_same_in_capitals(provider: &impl Provider) {
    let bea = joined(provider, BEA).await;
    let who = entered(provider, &bea).await;
    let shouted = NewAccount { name: named("BEA@Example.ORG"), ..bea };
    assert_eq!(entered(provider, &shouted).await.person.owner, who.person.owner);
}

/// SECURITY 19.
pub(crate) async fn an_unknown_name_is_answered_like_a_wrong_password(provider: &impl Provider) {
    let identity = provider.identity();
    let bea = joined(provider, BEA).await;
    let wrong = refused(identity.sign_in(&bea.name, &another()).await);
    let unknown = refused(identity.sign_in(&named(NOBODY), &bea.password).await);
    assert_eq!((&wrong, &unknown), (&Refusal::Credentials, &Refusal::Credentials));
}

/// SECURITY 20.
pub(crate) async fn a_taken_name_is_answered_like_a_new_one(provider: &impl Provider) {
    let identity = provider.identity();
    joined(provider, BEA).await;
    let taken = identity.sign_up(&newcomer(BEA)).await.unwrap();
    let new = identity.sign_up(&newcomer(CARL)).await.unwrap();
    let (SignedUp::CodeSent(_), SignedUp::CodeSent(_)) = (&taken, &new) else {
        panic!("answered differently: {taken:?} {new:?}");
    };
}

pub(crate) async fn signing_up_again_with_a_taken_name_changes_nothing(provider: &impl Provider) {
    let bea = joined(provider, BEA).await;
    let before = entered(provider, &bea).await;
    provider
        .identity()
        .sign_up(&NewAccount { nickname: "Mallory".parse().unwrap(), ..with(&bea, ANOTHER) })
        .await
        .unwrap();
    assert_eq!(entered(provider, &bea).await.person, before.person);
    assert_eq!(refused(provider.identity().sign_in(&bea.name, &another()).await), Refusal::Credentials);
}

/// SECURITY 34.
pub(crate) async fn an_unconfirmed_account_is_asked_for_its_code_after_the_right_password_only(
    provider: &impl Provider,
) {
    let identity = provider.identity();
    let bea = newcomer(BEA);
    assert!(matches!(identity.sign_up(&bea).await, Ok(SignedUp::CodeSent(_))));
    let code = provider.code(&bea.name).await;
    assert_eq!(refused(identity.sign_in(&bea.name, &another()).await), Refusal::Credentials);
    is_unconfirmed(provider, &bea).await;
    identity.confirm(&bea.name, &code, &chooser()).await.unwrap();
    entered(provider, &bea).await;
}

pub(crate) async fn a_password_that_will_not_do_is_refused_with_a_sentence(provider: &impl Provider) {
    let identity = provider.identity();
    let told = |refusal| match refusal {
        Refusal::Password(sentence) => assert!(sentence.ends_with('.') && !sentence.contains("short1"), "{sentence}"),
        other => panic!("{other:?}"),
    };
    told(refused(identity.sign_up(&with(&newcomer(BEA), "short1")).await));
    let carl = joined(provider, CARL).await;
    let who = entered(provider, &carl).await;
    told(refused(identity.change_password(&who, &carl.password, &"short1".into()).await));
    identity.forgot(&carl.name).await.unwrap();
    let code = provider.code(&carl.name).await;
    told(refused(identity.reset(&carl.name, &code, &"short1".into()).await));
    entered(provider, &carl).await;
}

pub(crate) async fn a_wrong_code_confirms_nothing(provider: &impl Provider) {
    let identity = provider.identity();
    let bea = newcomer(BEA);
    identity.sign_up(&bea).await.unwrap();
    let code = provider.code(&bea.name).await;
    assert_eq!(refused(identity.confirm(&bea.name, &other_than(&code), &chooser()).await), Refusal::Code);
    is_unconfirmed(provider, &bea).await;
    identity.confirm(&bea.name, &code, &chooser()).await.unwrap();
}

/// SECURITY 30.
pub(crate) async fn a_code_tried_wrong_too_often_is_dead(provider: &impl Provider) {
    let identity = provider.identity();
    let bea = joined(provider, BEA).await;
    identity.forgot(&bea.name).await.unwrap();
    let code = provider.code(&bea.name).await;
    for _ in 0..5 {
        let refusal = refused(identity.reset(&bea.name, &other_than(&code), &another()).await);
        assert!(matches!(refusal, Refusal::Code | Refusal::TooMany), "{refusal:?}");
    }
    let refusal = refused(identity.reset(&bea.name, &code, &another()).await);
    assert!(matches!(refusal, Refusal::Code | Refusal::TooMany), "{refusal:?}");
    entered(provider, &bea).await;
}

/// SECURITY 31.
pub(crate) async fn a_new_code_works_after_the_first(provider: &impl Provider) {
    let identity = provider.identity();
    let bea = newcomer(BEA);
    identity.sign_up(&bea).await.unwrap();
    let first = provider.code(&bea.name).await;
    for _ in 0..3 {
        assert_eq!(refused(identity.confirm(&bea.name, &other_than(&first), &chooser()).await), Refusal::Code);
    }
    identity.resend(&bea.name).await.unwrap();
    let second = provider.code(&bea.name).await;
    identity.confirm(&bea.name, &second, &chooser()).await.unwrap();
    entered(provider, &bea).await;
}

pub(crate) async fn a_confirming_code_is_for_its_account_only(provider: &impl Provider) {
    let identity = provider.identity();
    for newcomer in [newcomer(BEA), newcomer(CARL)] {
        identity.sign_up(&newcomer).await.unwrap();
    }
    let (beas, carls) = (provider.code(&named(BEA)).await, provider.code(&named(CARL)).await);
    assert_eq!(refused(identity.confirm(&named(BEA), &carls, &chooser()).await), Refusal::Code);
    identity.confirm(&named(BEA), &beas, &chooser()).await.unwrap();
    identity.confirm(&named(CARL), &carls, &chooser()).await.unwrap();
}

/// SECURITY 21.
pub(crate) async fn codes_for_unknown_names_are_refused_like_wrong_ones(provider: &impl Provider) {
    let identity = provider.identity();
    let code: SecretString = "12345678".into();
    joined(provider, BEA).await;
    for name in [BEA, NOBODY] {
        assert_eq!(refused(identity.confirm(&named(name), &code, &chooser()).await), Refusal::Code, "{name}");
        assert_eq!(refused(identity.reset(&named(name), &code, &another()).await), Refusal::Code, "{name}");
    }
}

/// SECURITY 21.
pub(crate) async fn resend_and_forgot_answer_unknown_names_like_known_ones(provider: &impl Provider) {
    let identity = provider.identity();
    joined(provider, BEA).await;
    for name in [BEA, NOBODY] {
        identity.resend(&named(name)).await.unwrap();
        identity.forgot(&named(name)).await.unwrap();
    }
    provider.code(&named(BEA)).await;
    provider.nothing_sent(&named(BEA)).await;
    provider.nothing_sent(&named(NOBODY)).await;
}

pub(crate) async fn a_forgotten_password_is_set_anew_by_a_code(provider: &impl Provider) {
    let identity = provider.identity();
    let bea = joined(provider, BEA).await;
    let owner = entered(provider, &bea).await.person.owner;
    identity.forgot(&bea.name).await.unwrap();
    let code = provider.code(&bea.name).await;
    entered(provider, &bea).await;
    let whose = identity.reset(&bea.name, &code, &another()).await.unwrap();
    assert!(whose.is_none_or(|whose| whose == owner));
    assert_eq!(refused(identity.sign_in(&bea.name, &bea.password).await), Refusal::Credentials);
    assert_eq!(entered(provider, &with(&bea, ANOTHER)).await.person.owner, owner);
}

/// SECURITY 30.
pub(crate) async fn a_code_for_a_new_password_works_once(provider: &impl Provider) {
    let identity = provider.identity();
    let bea = joined(provider, BEA).await;
    identity.forgot(&bea.name).await.unwrap();
    let code = provider.code(&bea.name).await;
    identity.reset(&bea.name, &code, &another()).await.unwrap();
    assert_eq!(refused(identity.reset(&bea.name, &code, &"a third battery staple".into()).await), Refusal::Code);
    entered(provider, &with(&bea, ANOTHER)).await;
}

pub(crate) async fn a_new_password_is_not_set_by_a_wrong_code(provider: &impl Provider) {
    let identity = provider.identity();
    let bea = joined(provider, BEA).await;
    assert_eq!(refused(identity.reset(&bea.name, &"12345678".into(), &another()).await), Refusal::Code);
    identity.forgot(&bea.name).await.unwrap();
    let code = provider.code(&bea.name).await;
    assert_eq!(refused(identity.reset(&bea.name, &other_than(&code), &another()).await), Refusal::Code);
    entered(provider, &bea).await;
}

pub(crate) async fn a_changed_password_is_the_only_one(provider: &impl Provider) {
    let bea = joined(provider, BEA).await;
    let who = entered(provider, &bea).await;
    provider.identity().change_password(&who, &bea.password, &another()).await.unwrap();
    assert_eq!(refused(provider.identity().sign_in(&bea.name, &bea.password).await), Refusal::Credentials);
    assert_eq!(entered(provider, &with(&bea, ANOTHER)).await.person, who.person);
}

pub(crate) async fn a_password_is_changed_by_who_knows_the_old_one(provider: &impl Provider) {
    let bea = joined(provider, BEA).await;
    let who = entered(provider, &bea).await;
    let refusal =
        refused(provider.identity().change_password(&who, &another(), &"a third battery staple".into()).await);
    assert_eq!(refusal, Refusal::Credentials);
    entered(provider, &bea).await;
}

pub(crate) async fn a_nickname_is_changed(provider: &impl Provider) {
    let bea = joined(provider, BEA).await;
    let who = entered(provider, &bea).await;
    provider.identity().rename(&who, &"Béa 🐝".parse().unwrap()).await.unwrap();
    let again = entered(provider, &bea).await;
    assert_eq!(again.person.nickname.as_deref(), Some("Béa 🐝"));
    let renewed = provider.identity().renew(&who).await.unwrap().expect("still known");
    assert_eq!((renewed.person.owner, renewed.person.nickname), (who.person.owner, again.person.nickname));
}

pub(crate) async fn somebody_signed_in_is_known_still_when_asked_again(provider: &impl Provider) {
    let bea = joined(provider, BEA).await;
    let mut who = entered(provider, &bea).await;
    for _ in 0..3 {
        let again = provider.identity().renew(&who).await.unwrap().expect("still known");
        assert_eq!(again.person, who.person);
        who = again;
    }
}

pub(crate) async fn signing_out_is_repeatable(provider: &impl Provider) {
    let bea = joined(provider, BEA).await;
    let who = entered(provider, &bea).await;
    provider.identity().sign_out(&who).await.unwrap();
    provider.identity().sign_out(&who).await.unwrap();
    entered(provider, &bea).await;
}

pub(crate) async fn signing_out_everywhere_leaves_the_account(provider: &impl Provider) {
    let bea = joined(provider, BEA).await;
    let who = entered(provider, &bea).await;
    provider.identity().sign_out_everywhere(&who).await.unwrap();
    assert_eq!(entered(provider, &bea).await.person, who.person);
}

pub(crate) async fn a_deleted_account_is_gone(provider: &impl Provider) {
    let identity = provider.identity();
    let bea = joined(provider, BEA).await;
    let carl = joined(provider, CARL).await;
    let who = entered(provider, &bea).await;
    identity.may_delete(&who).await.unwrap();
    identity.delete(&who).await.unwrap();
    assert_eq!(refused(identity.sign_in(&bea.name, &bea.password).await), Refusal::Credentials);
    assert!(identity.renew(&who).await.unwrap().is_none());
    identity.delete(&who).await.unwrap();
    entered(provider, &carl).await;
    let anew = entered(provider, &joined(provider, BEA).await).await;
    assert_ne!(anew.person.owner, who.person.owner, "a new account must not find the photos of the old one");
}

pub(crate) async fn an_answer_to_no_question_is_refused(provider: &impl Provider) {
    let bea = joined(provider, BEA).await;
    let challenge = Challenge::Code { by: photo_gallery::identity::Factor::Authenticator, to: None };
    let pending = Pending { name: bea.name, challenge, state: "made up".to_owned() };
    let refusal = refused(provider.identity().respond(&pending, &Response::Code("123456".into())).await);
    assert!(matches!(refusal, Refusal::Expired | Refusal::Code | Refusal::Credentials), "{refusal:?}");
}

pub(crate) async fn the_offers_tell_what_is_there(provider: &impl Provider) {
    let Offers { sign_up, codes, hosted, password, password_chars, .. } = provider.identity().offers();
    assert!(sign_up && codes && password && !hosted && password_chars >= 6);
    assert!(!provider.identity().is_empty().await.unwrap());
    assert!(provider.identity().hosted().is_none());
}
