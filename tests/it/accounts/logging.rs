//! What the log tells of people.

use photo_gallery::{
    accounts::{Denial, Outcome},
    identity::{Challenge, Chooser, Factor, NewAccount, Pending, Response},
    telemetry::subscriber,
};

use super::{Gallery, PASSWORD, cookie, entry, from, named, town::CODE};
use crate::telemetry::{Lines, PLAIN, wanted};

fn refused<T: std::fmt::Debug>(outcome: &Outcome<T>) {
    assert!(matches!(outcome, Err(Denial::Refused(_))), "{outcome:?}");
}

/// SECURITY 98.
pub(super) async fn what_people_try_is_logged_under_a_pseudonym_with_the_address(gallery: &Gallery) {
    wanted();
    let lines = Lines::default();
    let logging = tracing::subscriber::set_default(subscriber(PLAIN, "info", lines.clone()).unwrap());
    let (ann, client, wrong) = (named("ann@example.org"), from("198.51.100.77"), "what a guesser would try".into());
    let account = NewAccount { name: ann.clone(), nickname: "Ann".parse().unwrap(), password: PASSWORD.into() };
    gallery.one.sign_up(&client, &account).await.unwrap();
    refused(&gallery.one.sign_in(&client, &ann, &wrong, None).await);
    refused(&gallery.one.confirm(&client, &ann, &"000000".into(), &Chooser::default()).await);
    refused(&gallery.one.reset(&client, &ann, &"000000".into(), &wrong).await);
    let challenge = Challenge::Code { by: Factor::Authenticator, to: None };
    let pending = Pending { name: ann.clone(), challenge, state: String::new() };
    refused(&gallery.one.respond(&client, &pending, &Response::Code(CODE.into()), None).await);
    let session = cookie(&entry(gallery.one.sign_in(&client, &ann, &PASSWORD.into(), None).await));
    refused(&gallery.one.change_password(&client, &session, &wrong, &"another password".into()).await);
    refused(&gallery.one.delete(&client, &session, Some(&wrong)).await);
    gallery.one.delete(&client, &session, Some(&PASSWORD.into())).await.unwrap();
    drop(logging);
    let text = lines.text();
    for told in [
        "somebody signed up",
        "a sign-in was refused",
        "a code was refused",
        "a code for a new password was refused",
        "an answer to a challenge was refused",
        "somebody signed in",
        "a password was not changed",
        "a current password was refused",
        "somebody deletes their account",
    ] {
        let line = text.lines().find(|line| line.contains(told)).unwrap_or_else(|| panic!("{told}: {text}"));
        assert!(line.contains("198.51.100.77"), "{line}");
        assert!(line.contains("name=") || line.contains("account="), "{line}");
    }
    for hidden in ["ann@", PASSWORD, "guesser", "000000", &session] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
}
