//! One suite for everybody who says who people are: each case runs on every variant that has accounts.

mod built_in;
mod cases;
mod cognito;
pub(crate) mod local;

use async_trait::async_trait;
use photo_gallery::identity::{Chooser, Identity, NewAccount, SignInName, SignedIn, SignedUp, Step};
use secrecy::SecretString;

use crate::site::PASSWORD;

/// A provider under test, fresh, with people in it already, so that the next one to sign up is confirmed by a code.
#[async_trait(?Send)]
pub(crate) trait Provider {
    /// Whether it looks at the password of an account that is not confirmed. One that does not may not tell that there is such an account.
    const TELLS_UNCONFIRMED: bool = true;

    /// Makes it.
    async fn fresh() -> Self;

    /// The provider.
    fn identity(&self) -> &dyn Identity;

    /// The code that was sent last to this name; waits for it where it takes a while, so that each call is for the next code.
    async fn code(&self, name: &SignInName) -> SecretString;

    /// Checks that nothing waits to be read by [`code`](Self::code) for this name, where that can be known.
    async fn nothing_sent(&self, _name: &SignInName) {}

    /// Takes everything away.
    async fn gone(self);
}

/// A sign-in name as somebody types it.
pub(crate) fn named(email: &str) -> SignInName {
    email.parse().unwrap()
}

/// Who has chosen [`PASSWORD`].
pub(crate) fn chooser() -> Chooser {
    Chooser { password: Some(PASSWORD.into()), mark: None }
}

/// Somebody who signs up with [`PASSWORD`].
pub(crate) fn newcomer(email: &str) -> NewAccount {
    let nickname = email.split('@').next().unwrap().parse().unwrap();
    NewAccount { name: named(email), nickname, password: PASSWORD.into() }
}

/// Makes an account and confirms it.
pub(crate) async fn joined(provider: &impl Provider, email: &str) -> NewAccount {
    let account = newcomer(email);
    match provider.identity().sign_up(&account).await.unwrap() {
        SignedUp::Ready => {}
        SignedUp::CodeSent(_) => {
            let code = provider.code(&account.name).await;
            provider.identity().confirm(&account.name, &code, &chooser()).await.unwrap();
        }
    }
    account
}

/// Signs in, which must go all the way.
pub(crate) async fn entered(provider: &impl Provider, account: &NewAccount) -> SignedIn {
    match provider.identity().sign_in(&account.name, &account.password).await.unwrap() {
        Step::In(who) => *who,
        other => panic!("signed in halfway: {other:?}"),
    }
}

/// A code that is not this one, of the same form.
pub(crate) fn other_than(code: &SecretString) -> SecretString {
    use secrecy::ExposeSecret as _;
    let other: String = code
        .expose_secret()
        .chars()
        .map(|c| {
            if c == '1' {
                '2'
            } else if c.is_ascii_digit() {
                '1'
            } else {
                c
            }
        })
        .collect();
    other.into()
}

/// Expands the list of cases over a provider: `conformance!(Provider)` in a module of its own. Where codes are neither random nor counted,
/// nothing is proved by them: `conformance!(Provider, codes of straw)`.
macro_rules! conformance {
    ($provider:ty) => {
        $crate::identity::conformance! { $provider, codes of straw }
        $crate::identity::conformance! { $provider:
            a_code_tried_wrong_too_often_is_dead,
            a_confirming_code_is_for_its_account_only,
        }
    };
    ($provider:ty, codes of straw) => {
        $crate::identity::conformance! { $provider:
            somebody_who_confirmed_signs_in_and_is_known_by_a_stable_id,
            names_are_the_same_in_capitals,
            an_unknown_name_is_answered_like_a_wrong_password,
            a_taken_name_is_answered_like_a_new_one,
            signing_up_again_with_a_taken_name_changes_nothing,
            an_unconfirmed_account_is_asked_for_its_code_after_the_right_password_only,
            a_password_that_will_not_do_is_refused_with_a_sentence,
            a_wrong_code_confirms_nothing,
            a_new_code_works_after_the_first,
            codes_for_unknown_names_are_refused_like_wrong_ones,
            resend_and_forgot_answer_unknown_names_like_known_ones,
            a_forgotten_password_is_set_anew_by_a_code,
            a_code_for_a_new_password_works_once,
            a_new_password_is_not_set_by_a_wrong_code,
            a_changed_password_is_the_only_one,
            a_password_is_changed_by_who_knows_the_old_one,
            a_nickname_is_changed,
            somebody_signed_in_is_known_still_when_asked_again,
            signing_out_is_repeatable,
            signing_out_everywhere_leaves_the_account,
            a_deleted_account_is_gone,
            an_answer_to_no_question_is_refused,
            the_offers_tell_what_is_there,
        }
    };
    ($provider:ty: $($case:ident,)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            let provider = <$provider as $crate::identity::Provider>::fresh().await;
            $crate::identity::cases::$case(&provider).await;
            $crate::identity::Provider::gone(provider).await;
        })*
    };
}
pub(crate) use conformance;
