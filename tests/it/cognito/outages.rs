//! Pools that are away, slow, throttled or set up wrongly: people are told to try later within 5 s, and who is signed in stays in (R20).

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use chrono::Utc;
use photo_gallery::identity::{
    Answer, Chooser, Denied, Identity as _, NewAccount, Refusal, SignedUp, Step,
    cognito::{AppClient, Cognito, Flow},
};
use serde_json::json;

use super::{
    CLIENT, POOL, Says, StandIn, cognito, down, entered, lets_in, refused,
    signing::{Signer, access_claims, id_claims},
    standing_in, standing_in_for, tried,
};
use crate::identity::{named, newcomer};

const BEA: &str = "bea@example.org";

async fn pool_at(endpoint: &str) -> Cognito {
    let app = AppClient { id: CLIENT.to_owned(), secret: None };
    cognito(endpoint, POOL, app, Flow::Password, None, Utc::now).await
}

/// The operation, and what asks for it.
async fn each(cognito: &Cognito, operation: &str) -> Answer<()> {
    let (bea, code) = (named(BEA), "123456".into());
    match operation {
        "SignUp" => cognito.sign_up(&newcomer(BEA)).await.map(|_| ()),
        "ConfirmSignUp" => cognito.confirm(&bea, &code, &Chooser::default()).await,
        "ResendConfirmationCode" => cognito.resend(&bea).await.map(|_| ()),
        "InitiateAuth" => tried(cognito).await.map(|_| ()),
        "ForgotPassword" => cognito.forgot(&bea).await.map(|_| ()),
        "ConfirmForgotPassword" => cognito.reset(&bea, &code, &code).await.map(|_| ()),
        other => panic!("{other}"),
    }
}

const OPERATIONS: [&str; 6] =
    ["SignUp", "ConfirmSignUp", "ResendConfirmationCode", "InitiateAuth", "ForgotPassword", "ConfirmForgotPassword"];

#[tokio::test]
async fn a_pool_that_cannot_be_reached_is_an_outage() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cognito = pool_at(&format!("http://127.0.0.1:{port}")).await;
    for operation in OPERATIONS {
        let began = Instant::now();
        let cause = format!("{:#}", down(each(&cognito, operation).await));
        assert!(cause.contains(operation) && cause.contains("refused"), "{cause}");
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_does_not_answer_is_given_up_within_five_seconds() {
    let (server, cognito) = standing_in(Utc::now).await;
    for operation in OPERATIONS {
        server.on(operation, [Says::Silence]);
    }
    let began = Instant::now();
    let all = OPERATIONS.map(|operation| {
        let cognito = &cognito;
        async move { down(each(cognito, operation).await) }
    });
    futures_util::future::join_all(all).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_do_not_come_are_given_up_within_five_seconds() {
    let (server, cognito) = standing_in(Utc::now).await;
    lets_in(&server, &Signer::first());
    server.on(super::KEYS, [Says::Silence]);
    let began = Instant::now();
    down(tried(&cognito).await);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_pool_that_fails_or_makes_no_sense_is_an_outage() {
    let answers = [
        Says::Body(500, json!({"__type": "InternalErrorException", "message": "oops"}).to_string()),
        Says::Body(503, "<html>".to_owned()),
        Says::Body(200, "<html>".to_owned()),
        Says::Refuses("SomethingOfTomorrowException", "what?"),
    ];
    for answer in answers {
        let (server, cognito) = standing_in(Utc::now).await;
        for operation in OPERATIONS {
            server.on(operation, [answer.clone()]);
            down(each(&cognito, operation).await);
        }
    }
    let (server, cognito) = standing_in(Utc::now).await;
    server.on("InitiateAuth", [Says::Says(json!({"AuthenticationResult": {"ExpiresIn": 3600}}))]);
    down(tried(&cognito).await);
}

#[tokio::test]
async fn too_many_requests_are_said_to_be_too_many() {
    let (server, cognito) = standing_in(Utc::now).await;
    for operation in OPERATIONS {
        server.on(operation, [Says::Refuses("TooManyRequestsException", "Rate exceeded")]);
        assert_eq!(refused(each(&cognito, operation).await), Refusal::TooMany, "{operation}");
    }
}

/// SECURITY 21.
#[tokio::test]
async fn that_an_account_had_too_many_requests_does_not_tell_that_it_is_there() {
    let (server, cognito) = standing_in(Utc::now).await;
    for operation in OPERATIONS {
        server.on(operation, [Says::Refuses("LimitExceededException", "Attempt limit exceeded")]);
    }
    for operation in ["ResendConfirmationCode", "ForgotPassword"] {
        each(&cognito, operation).await.unwrap();
    }
    for operation in ["ConfirmSignUp", "ConfirmForgotPassword"] {
        assert_eq!(refused(each(&cognito, operation).await), Refusal::Code, "{operation}");
    }
}

/// SECURITY 20.
#[tokio::test]
async fn a_pool_that_confirms_by_itself_answers_taken_names_like_new_ones() {
    let (server, cognito) = standing_in(Utc::now).await;
    let made = |confirmed: bool| Says::Says(json!({"UserConfirmed": confirmed, "UserSub": "x"}));
    let taken = || Says::Refuses("UsernameExistsException", "User already exists");
    server.on("SignUp", [made(true), taken(), made(false), taken()]);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(cognito.sign_up(&newcomer(BEA)).await.unwrap());
    }
    assert_eq!(answers[0], SignedUp::Ready);
    assert!(matches!(answers[2], SignedUp::CodeSent(_)));
    assert_eq!((&answers[0], &answers[2]), (&answers[1], &answers[3]));
}

/// SECURITY 20: some pools say that a name is taken before they look at the password.
#[tokio::test]
async fn a_short_password_does_not_tell_which_names_are_taken() {
    let (server, cognito) = standing_in(Utc::now).await;
    let account = NewAccount { password: "short12".into(), ..newcomer(BEA) };
    let short = Says::Refuses("InvalidPasswordException", "Password did not conform: Password not long enough");
    let mut answers = Vec::new();
    for answer in [Says::Refuses("UsernameExistsException", "User already exists"), short] {
        server.on("SignUp", [answer]);
        answers.push(refused(cognito.sign_up(&account).await));
    }
    assert!(matches!(&answers[0], Refusal::Password(sentence) if sentence.contains("8 characters")), "{answers:?}");
    assert_eq!(answers[0], answers[1]);
}

/// SECURITY 19, 20, 21, 34: what the pool tells of an account is told to nobody.
#[tokio::test]
async fn whatever_a_pool_says_about_an_account_is_answered_alike() {
    let sign_in = [
        ("NotAuthorizedException", "Incorrect username or password."),
        ("NotAuthorizedException", "Password attempts exceeded"),
        ("NotAuthorizedException", "User is disabled."),
        ("NotAuthorizedException", "User does not exist."),
        ("UserNotFoundException", "User does not exist."),
        ("UserNotConfirmedException", "User is not confirmed."),
        ("PasswordResetRequiredException", "Password reset required for the user"),
        ("UserLambdaValidationException", "PreAuthentication failed with error no."),
        ("InvalidParameterException", "Value at 'password' failed to satisfy constraint"),
    ];
    let about = [
        ("UserNotFoundException", "Username/client id combination not found."),
        ("InvalidParameterException", "User is already confirmed."),
        ("InvalidParameterException", "Cannot reset password for the user as there is no verified email"),
        ("NotAuthorizedException", "User is disabled."),
        ("NotAuthorizedException", "User password cannot be reset in the current state."),
    ];
    let code = [
        ("CodeMismatchException", "Invalid verification code provided, please try again."),
        ("ExpiredCodeException", "Invalid code provided, please request a code again."),
        ("NotAuthorizedException", "User cannot be confirmed. Current status is CONFIRMED"),
        ("UserNotFoundException", "Username/client id combination not found."),
        ("TooManyFailedAttemptsException", "Too many failed attempts"),
        ("InvalidParameterException", "Value at 'confirmationCode' failed to satisfy constraint"),
    ];
    let (server, cognito) = standing_in(Utc::now).await;
    for (name, sentence) in sign_in {
        server.on("InitiateAuth", [Says::Refuses(name, sentence)]);
        assert_eq!(refused(tried(&cognito).await), Refusal::Credentials, "{name} {sentence}");
    }
    let sent = Says::Says(json!({"CodeDeliveryDetails": {"Destination": "+*******9999", "DeliveryMedium": "SMS"}}));
    server.on("ResendConfirmationCode", [sent.clone()]).on("ForgotPassword", [sent.clone()]);
    let (again, forgot) = (cognito.resend(&named(BEA)).await.unwrap(), cognito.forgot(&named(BEA)).await.unwrap());
    assert_eq!((again.to.as_deref(), forgot.to.as_deref()), (Some("b***@e***"), Some("b***@e***")));
    for (name, sentence) in about {
        let refuses = Says::Refuses(name, sentence);
        server.on("ResendConfirmationCode", [refuses.clone()]).on("ForgotPassword", [refuses]);
        assert_eq!(cognito.resend(&named(BEA)).await.unwrap(), again, "{name} {sentence}");
        assert_eq!(cognito.forgot(&named(BEA)).await.unwrap(), forgot, "{name} {sentence}");
    }
    for (name, sentence) in code {
        let refuses = Says::Refuses(name, sentence);
        server.on("ConfirmSignUp", [refuses.clone()]).on("ConfirmForgotPassword", [refuses]);
        for operation in ["ConfirmSignUp", "ConfirmForgotPassword"] {
            assert_eq!(refused(each(&cognito, operation).await), Refusal::Code, "{operation} {name} {sentence}");
        }
    }
    server.on("SignUp", [Says::Says(json!({"UserConfirmed": false, "UserSub": "x", "CodeDeliveryDetails": {}}))]);
    let new = cognito.sign_up(&newcomer(BEA)).await.unwrap();
    server.on("SignUp", [Says::Refuses("UsernameExistsException", "An account with the given email already exists.")]);
    assert_eq!(cognito.sign_up(&newcomer(BEA)).await.unwrap(), new);
    assert!(matches!(new, SignedUp::CodeSent(_)));
}

#[tokio::test]
async fn a_refused_sign_up_says_what_to_change() {
    let rows = [
        (
            "InvalidPasswordException",
            "Password did not conform with policy: Password must have uppercase characters",
            "password",
        ),
        ("InvalidPasswordException", "Password did not conform with policy: something of tomorrow", "password"),
        ("InvalidParameterException", "Value at 'password' failed to satisfy constraint: length 6", "password"),
        ("InvalidParameterException", "Invalid email address format.", "name"),
        ("InvalidParameterException", "Invalid phone number format.", "name"),
        ("InvalidParameterException", "Username should be an email.", "name"),
        ("InvalidParameterException", "Attributes did not conform to the schema: nickname: too long", "nickname"),
        ("NotAuthorizedException", "SignUp is not permitted for this user pool", "closed"),
        ("UserLambdaValidationException", "PreSignUp failed with error not you.", "closed"),
    ];
    let (server, cognito) = standing_in(Utc::now).await;
    for (name, sentence, about) in rows {
        server.on("SignUp", [Says::Refuses(name, sentence)]);
        let refusal = refused(cognito.sign_up(&newcomer(BEA)).await);
        let found = match &refusal {
            Refusal::Password(_) => "password",
            Refusal::Name(_) => "name",
            Refusal::Nickname(_) => "nickname",
            Refusal::Closed => "closed",
            _ => "nothing",
        };
        assert_eq!(found, about, "{sentence}: {refusal:?}");
        assert!(!refusal.to_string().contains(sentence), "a pool's own sentence: {refusal}");
    }
}

/// What the operator set wrongly is an outage for people, and a sentence for the log.
#[tokio::test]
async fn a_wrong_setup_is_told_to_the_operator_and_not_to_people() {
    let rows = [
        ("ResourceNotFoundException", "User pool client x does not exist.", "client_id"),
        (
            "InvalidParameterException",
            "USER_PASSWORD_AUTH flow not enabled for this client",
            "ALLOW_USER_PASSWORD_AUTH",
        ),
        ("NotAuthorizedException", "Unable to verify secret hash for client x", "another one"),
        (
            "NotAuthorizedException",
            "Client x is configured with secret but SECRET_HASH was not received",
            "set `identity",
        ),
        ("InvalidParameterException", "Client x is not configured for secret but secret hash was received", "remove"),
        ("InvalidParameterException", "Attributes did not conform to the schema: birthdate: required", "attributes"),
        (
            "InvalidParameterException",
            "Username cannot be of email format, since user pool is configured for email alias.",
            "alias",
        ),
        ("UnexpectedLambdaException", "x failed", "Lambda"),
    ];
    let (server, cognito) = standing_in(Utc::now).await;
    for (name, sentence, says) in rows {
        for operation in OPERATIONS {
            server.on(operation, [Says::Refuses(name, sentence)]);
            let cause = format!("{:#}", down(each(&cognito, operation).await));
            assert!(cause.contains(says), "{operation} {sentence}: {cause}");
        }
    }
}

#[tokio::test]
async fn somebody_signed_in_goes_on_through_outages_and_is_out_when_refused() {
    let (server, cognito) = standing_in(Utc::now).await;
    lets_in(&server, &Signer::first());
    let who = entered(tried(&cognito).await);
    let outages = [
        Says::Body(500, json!({"__type": "InternalErrorException"}).to_string()),
        Says::Refuses("TooManyRequestsException", "Rate exceeded"),
        Says::Refuses("ResourceNotFoundException", "User pool client x does not exist."),
        Says::Refuses("NotAuthorizedException", "Unable to verify secret hash for client x"),
        Says::Body(200, "<html>".to_owned()),
    ];
    for outage in outages {
        server.on("GetTokensFromRefreshToken", [outage]);
        down(cognito.renew(&who).await);
    }
    let refusals = [
        ("NotAuthorizedException", "Invalid Refresh Token"),
        ("NotAuthorizedException", "Refresh Token has been revoked"),
        ("NotAuthorizedException", "User is disabled."),
        ("UserNotFoundException", "User does not exist."),
        ("RefreshTokenReuseException", "Refresh token reuse detected"),
    ];
    for (name, sentence) in refusals {
        server.on("GetTokensFromRefreshToken", [Says::Refuses(name, sentence)]);
        assert!(cognito.renew(&who).await.unwrap().is_none(), "{sentence}");
    }
}

#[tokio::test]
async fn a_refresh_token_that_rotates_replaces_the_one_before() {
    let (server, cognito) = standing_in_for(Some("the-client-secret"), None, Utc::now).await;
    let mut result = Signer::first().result();
    result["NewDeviceMetadata"] = json!({"DeviceKey": "us-east-1_device", "DeviceGroupKey": "g"});
    server.on("InitiateAuth", [Says::Says(json!({"AuthenticationResult": result}))]);
    let mut who = entered(tried(&cognito).await);
    let mut renewed = Signer::first().result();
    renewed.as_object_mut().unwrap().remove("RefreshToken");
    let mut rotated = renewed.clone();
    rotated["RefreshToken"] = "the-second-refresh-token".into();
    let answers = [renewed, rotated.clone(), rotated].map(|result| Says::Says(json!({"AuthenticationResult": result})));
    server.on("GetTokensFromRefreshToken", answers);
    for sent in ["the-first-refresh-token", "the-first-refresh-token", "the-second-refresh-token"] {
        who = cognito.renew(&who).await.unwrap().unwrap();
        let told = server.asked_of("GetTokensFromRefreshToken").pop().unwrap().json();
        let expected = json!({
            "RefreshToken": sent, "ClientId": CLIENT, "ClientSecret": "the-client-secret", "DeviceKey": "us-east-1_device",
        });
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn a_call_about_an_account_uses_the_access_token_until_it_expires() {
    let (server, cognito) = standing_in(Utc::now).await;
    let mut result = Signer::first().result();
    let mut short = access_claims();
    short["exp"] = (Utc::now().timestamp() + 20).into();
    result["AccessToken"] = Signer::first().token(&short).into();
    server.on("UpdateUserAttributes", [Says::Says(json!({}))]);
    lets_in(&server, &Signer::first());
    let who = entered(tried(&cognito).await);
    cognito.rename(&who, &"Beatrix".parse().unwrap()).await.unwrap();
    assert!(server.asked_of("GetTokensFromRefreshToken").is_empty());

    server.on("InitiateAuth", [Says::Says(json!({"AuthenticationResult": result}))]);
    let who = entered(tried(&cognito).await);
    let fresh = Signer::first().token(&access_claims());
    let result = json!({"AccessToken": fresh, "IdToken": Signer::first().token(&id_claims())});
    server.on("GetTokensFromRefreshToken", [Says::Says(json!({"AuthenticationResult": result}))]);
    cognito.rename(&who, &"Beatrix".parse().unwrap()).await.unwrap();
    let told = server.asked_of("UpdateUserAttributes").pop().unwrap().json();
    assert_eq!(told["AccessToken"], fresh);
    assert_eq!(told["UserAttributes"], json!([{"Name": "nickname", "Value": "Beatrix"}]));
}

#[tokio::test]
async fn what_an_access_token_may_not_do_is_said() {
    let (server, cognito) = standing_in(Utc::now).await;
    lets_in(&server, &Signer::first());
    let who = entered(tried(&cognito).await);
    let scopes = Says::Refuses("NotAuthorizedException", "Access Token does not have required scopes");
    let ended = Says::Refuses("NotAuthorizedException", "Access Token has been revoked");
    for operation in ["UpdateUserAttributes", "ChangePassword", "DeleteUser", "GlobalSignOut"] {
        let ask = async || match operation {
            "UpdateUserAttributes" => cognito.rename(&who, &"B".parse().unwrap()).await,
            "ChangePassword" => cognito.change_password(&who, &"old".into(), &"new".into()).await,
            "DeleteUser" => cognito.delete(&who).await,
            _ => cognito.sign_out_everywhere(&who).await,
        };
        server.on(operation, [scopes.clone()]);
        let Refusal::NotOffered(sentence) = refused(ask().await) else { panic!("{operation}") };
        assert!(sentence.contains("aws.cognito.signin.user.admin"));
        server.on(operation, [ended.clone()]);
        match operation {
            "GlobalSignOut" => ask().await.unwrap(),
            _ => assert_eq!(refused(ask().await), Refusal::Expired, "{operation}"),
        }
    }
    server.on("ChangePassword", [Says::Refuses("NotAuthorizedException", "Incorrect username or password.")]);
    let refusal = refused(cognito.change_password(&who, &"old".into(), &"new".into()).await);
    assert_eq!(refusal, Refusal::Credentials);
    server.on("DeleteUser", [Says::Refuses("UserNotFoundException", "User does not exist.")]);
    cognito.delete(&who).await.unwrap();
    for name in ["UnsupportedOperationException", "UnsupportedTokenTypeException", "NotAuthorizedException"] {
        server.on("RevokeToken", [Says::Refuses(name, "cannot be revoked")]);
        cognito.sign_out(&who).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_typed_and_what_was_given_is_in_no_error() {
    let (server, cognito) = standing_in_for(Some("the-client-secret"), Some("http://gallery.example"), Utc::now).await;
    let tokens = Signer::first().result().to_string();
    let secret = "correct horse battery staple";
    let mut said = String::new();
    let mut say = |answer: &Denied| writeln!(said, "{answer:?} {answer} {answer:#?}").unwrap();
    let quoted = Says::Refuses(
        "InvalidParameterException",
        "Value 'correct horse battery staple' at 'x' failed to satisfy constraint",
    );
    for answer in [Says::Body(200, format!("{tokens}junk")), Says::Body(500, tokens.clone()), quoted] {
        for operation in OPERATIONS {
            server.on(operation, [answer.clone()]);
        }
        let account = NewAccount { password: secret.into(), ..newcomer(BEA) };
        say(&cognito.sign_up(&account).await.unwrap_err());
        say(&cognito.sign_in(&named(BEA), &secret.into()).await.unwrap_err());
        say(&cognito.confirm(&named(BEA), &secret.into(), &Chooser::default()).await.unwrap_err());
        say(&cognito.reset(&named(BEA), &secret.into(), &secret.into()).await.unwrap_err());
        server.on("/oauth2/token", [answer]);
        let hosted = cognito.hosted().unwrap();
        let (_, departure) = hosted.depart().unwrap();
        say(&hosted.arrive(&departure, &secret.into()).await.unwrap_err());
    }
    for hidden in [secret, "eyJ", "the-first-refresh-token", "the-client-secret"] {
        assert!(!said.contains(hidden), "{hidden} in {said}");
    }
    assert!(!format!("{cognito:?}").contains("the-client-secret"));
}

#[tokio::test]
async fn a_pool_that_is_away_is_said_at_the_start_and_stops_nothing() {
    let server = StandIn::start().await;
    let cognito = pool_at(&server.url()).await;
    let wrong = cognito.check().await.join("\n");
    assert!(wrong.contains(super::KEYS) && wrong.contains("keys cannot be fetched"), "{wrong}");
}

#[tokio::test]
async fn a_new_password_ends_what_the_pool_gave_before_and_tells_whose_it_is() {
    let (server, cognito) = standing_in(Utc::now).await;
    server.on("ConfirmForgotPassword", [Says::Says(json!({}))]).on("GlobalSignOut", [Says::Says(json!({}))]);
    lets_in(&server, &Signer::first());
    let reset = async || cognito.reset(&named(BEA), &"123456".into(), &"another".into()).await.unwrap();
    assert_eq!(reset().await.unwrap().as_str(), super::signing::SUB);
    assert_eq!(server.asked_of("GlobalSignOut").len(), 1);
    let asks = json!({"ChallengeName": "SMS_MFA", "Session": "s", "ChallengeParameters": {"USER_ID_FOR_SRP": "whose"}});
    server.on("InitiateAuth", [Says::Says(asks)]);
    assert_eq!(reset().await.unwrap().as_str(), "whose");
    // What was typed is nobody's id: sessions of nobody would end.
    let asks = json!({"ChallengeName": "SMS_MFA", "Session": "s", "ChallengeParameters": {}});
    server.on("InitiateAuth", [Says::Says(asks)]);
    assert!(reset().await.is_none());
    server.on("InitiateAuth", [Says::Body(500, String::new())]);
    assert!(reset().await.is_none());
    assert!(matches!(tried(&cognito).await, Err(Denied::Down(_)) | Ok(Step::Asked(_))));
}
