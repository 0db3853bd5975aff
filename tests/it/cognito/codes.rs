//! Codes are the pool's to make, to count and to give up (SECURITY 30): what becomes of them in between. MiniStack's are all the same.

use chrono::Utc;
use photo_gallery::identity::{Chooser, Identity as _, Refusal};
use serde_json::json;

use super::{Says, refused, standing_in};
use crate::identity::named;

#[tokio::test]
async fn a_code_that_the_pool_gave_up_is_dead_however_right() {
    let (server, cognito) = standing_in(Utc::now).await;
    let wrong = Says::Refuses("CodeMismatchException", "Invalid verification code provided, please try again.");
    let dead = [
        ("LimitExceededException", "Attempt limit exceeded, please try after some time."),
        ("TooManyFailedAttemptsException", "Too many failed attempts"),
        ("ExpiredCodeException", "Invalid code provided, please request a code again."),
    ];
    for (name, sentence) in dead {
        let gave_up = Says::Refuses(name, sentence);
        for operation in ["ConfirmForgotPassword", "ConfirmSignUp"] {
            server.on(operation, [wrong.clone(), wrong.clone(), gave_up.clone()]);
        }
        let (bea, password) = (named("bea@example.org"), "another battery staple".into());
        for code in ["111111", "222222", "730519"] {
            assert_eq!(refused(cognito.reset(&bea, &code.into(), &password).await), Refusal::Code, "{name}");
            assert_eq!(
                refused(cognito.confirm(&bea, &code.into(), &Chooser::default()).await),
                Refusal::Code,
                "{name}"
            );
        }
    }
    assert!(server.asked_of("InitiateAuth").is_empty(), "no new password was tried out");
}

#[tokio::test]
async fn a_code_is_shown_to_the_pool_for_its_own_account_only() {
    let (server, cognito) = standing_in(Utc::now).await;
    let wrong = Says::Refuses("CodeMismatchException", "Invalid verification code provided, please try again.");
    server.on("ConfirmSignUp", [wrong, Says::Says(json!({}))]);
    let (bea, carl) = (named("Bea@example.org"), named("carl@example.org"));
    assert_eq!(refused(cognito.confirm(&bea, &"222222".into(), &Chooser::default()).await), Refusal::Code);
    cognito.confirm(&carl, &" 222222 ".into(), &Chooser::default()).await.unwrap();
    let told: Vec<_> = server.asked_of("ConfirmSignUp").iter().map(super::stand_in::Asked::json).collect();
    let names: Vec<_> = told.iter().map(|told| told["Username"].as_str().unwrap()).collect();
    assert_eq!(names, ["bea@example.org", "carl@example.org"]);
    assert!(told.iter().all(|told| told["ConfirmationCode"] == "222222"), "{told:?}");
}
