//! What a pool can ask after the password, and how it is answered: each question once, with what a pool gets to see of it (SECURITY 33).

use chrono::Utc;
use photo_gallery::identity::{Challenge, Factor, Identity as _, Pending, Refusal, Response, Step, cognito::Cognito};
use serde_json::{Value, json};

use super::{
    Says, StandIn, entered, refused,
    signing::{SUB, Signer},
    standing_in_for, tried,
};

const SECRET: &str = "the-client-secret";

fn asks(challenge: &str, session: &str, mut parameters: Value) -> Says {
    parameters["USER_ID_FOR_SRP"] = SUB.into();
    Says::Says(json!({"ChallengeName": challenge, "Session": session, "ChallengeParameters": parameters}))
}

fn lets_in() -> Says {
    Says::Says(json!({"AuthenticationResult": Signer::first().result()}))
}

fn pending(step: Step) -> Pending {
    match step {
        Step::Asked(pending) => pending,
        other => panic!("nothing is asked: {other:?}"),
    }
}

/// A pool whose app client has a secret and that asks this after the password.
async fn asking(challenge: &str, parameters: Value) -> (StandIn, Cognito, Pending) {
    let (server, cognito) = standing_in_for(Some(SECRET), None, Utc::now).await;
    server.on("InitiateAuth", [asks(challenge, "session-1", parameters)]);
    let pending = pending(tried(&cognito).await.unwrap());
    assert!(pending.state.contains("session-1"));
    (server, cognito, pending)
}

/// Answers, and is let in; what the pool was told, with the hash, which is checked, left out.
async fn answered(server: &StandIn, cognito: &Cognito, pending: &Pending, response: Response) -> Value {
    server.on("RespondToAuthChallenge", [lets_in()]);
    entered(cognito.respond(pending, &response).await);
    let mut told = server.asked_of("RespondToAuthChallenge").pop().unwrap().json();
    let hash = told["ChallengeResponses"].as_object_mut().unwrap().remove("SECRET_HASH").unwrap();
    assert_eq!(hash, secret_hash(SUB), "the hash is over the pool's own name");
    told
}

fn secret_hash(username: &str) -> String {
    use base64::Engine as _;
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let hash = ring::hmac::sign(&key, format!("{username}{}", super::CLIENT).as_bytes());
    base64::prelude::BASE64_STANDARD.encode(hash)
}

fn code(code: &str) -> Response {
    Response::Code(code.into())
}

#[tokio::test]
async fn a_password_is_proved_under_the_typed_name_in_small_letters() {
    let (server, cognito) = standing_in_for(Some(SECRET), None, Utc::now).await;
    server.on("InitiateAuth", [lets_in()]);
    entered(cognito.sign_in(&crate::identity::named("Bea@Example.org"), &"pass word".into()).await);
    let told = server.asked_of("InitiateAuth").pop().unwrap().json();
    let parameters =
        json!({"USERNAME": "bea@example.org", "PASSWORD": "pass word", "SECRET_HASH": secret_hash("bea@example.org")});
    assert_eq!((&told["AuthFlow"], &told["AuthParameters"]), (&"USER_PASSWORD_AUTH".into(), &parameters));
}

#[tokio::test]
async fn codes_are_asked_for_and_given_by_each_factor() {
    let rows = [
        ("SOFTWARE_TOKEN_MFA", Factor::Authenticator, "SOFTWARE_TOKEN_MFA_CODE", None),
        ("SMS_MFA", Factor::Sms, "SMS_MFA_CODE", Some("+*******1234")),
        ("EMAIL_OTP", Factor::Email, "EMAIL_OTP_CODE", Some("b***@e***")),
    ];
    for (challenge, by, answer, to) in rows {
        let parameters = to.map_or(json!({}), |to| json!({"CODE_DELIVERY_DESTINATION": to}));
        let (server, cognito, pending) = asking(challenge, parameters).await;
        assert_eq!(pending.challenge, Challenge::Code { by, to: to.map(str::to_owned) });
        let told = answered(&server, &cognito, &pending, code(" 123456 ")).await;
        let responses = json!({"USERNAME": SUB, answer: "123456"});
        let expected = json!({
            "ChallengeName": challenge, "Session": "session-1", "ClientId": super::CLIENT, "ChallengeResponses": responses,
        });
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn a_new_password_is_asked_for_with_a_nickname_where_the_pool_insists() {
    let response = |nickname: Option<&str>| Response::NewPassword {
        password: "another battery staple".into(),
        nickname: nickname.map(|nickname| nickname.parse().unwrap()),
    };
    let parameters = json!({"requiredAttributes": "[\"userAttributes.nickname\"]", "userAttributes": "{}"});
    let (server, cognito, pending) = asking("NEW_PASSWORD_REQUIRED", parameters).await;
    assert_eq!(pending.challenge, Challenge::NewPassword { nickname: true });
    assert!(matches!(refused(cognito.respond(&pending, &response(None)).await), Refusal::Nickname(_)));
    let told = answered(&server, &cognito, &pending, response(Some("Bea"))).await;
    let expected = json!({"USERNAME": SUB, "NEW_PASSWORD": "another battery staple", "userAttributes.nickname": "Bea"});
    assert_eq!(told["ChallengeResponses"], expected);

    let (server, cognito, pending) = asking("NEW_PASSWORD_REQUIRED", json!({"requiredAttributes": "[]"})).await;
    assert_eq!(pending.challenge, Challenge::NewPassword { nickname: false });
    let told = answered(&server, &cognito, &pending, response(Some("Bea"))).await;
    assert_eq!(told["ChallengeResponses"], json!({"USERNAME": SUB, "NEW_PASSWORD": "another battery staple"}));

    let parameters = json!({"requiredAttributes": "[\"userAttributes.birthdate\"]"});
    let (_, _, pending) = asking("NEW_PASSWORD_REQUIRED", parameters).await;
    assert_eq!(pending.challenge, Challenge::Unknown("NEW_PASSWORD_REQUIRED".to_owned()));
}

#[tokio::test]
async fn a_factor_is_chosen_and_then_its_code_given() {
    let parameters = json!({"MFAS_CAN_CHOOSE": "[\"SMS_MFA\",\"SOFTWARE_TOKEN_MFA\",\"CARRIER_PIGEON\"]"});
    let (server, cognito, pending_) = asking("SELECT_MFA_TYPE", parameters).await;
    assert_eq!(pending_.challenge, Challenge::Choose(vec![Factor::Authenticator, Factor::Sms]));
    assert_eq!(refused(cognito.respond(&pending_, &Response::Choice(Factor::Email)).await), Refusal::Expired);
    let destination = json!({"CODE_DELIVERY_DESTINATION": "+*******1234"});
    server.on("RespondToAuthChallenge", [asks("SMS_MFA", "session-2", destination)]);
    let next = pending(cognito.respond(&pending_, &Response::Choice(Factor::Sms)).await.unwrap());
    let told = server.asked_of("RespondToAuthChallenge").pop().unwrap().json();
    assert_eq!(
        (&told["ChallengeName"], &told["ChallengeResponses"]["ANSWER"]),
        (&"SELECT_MFA_TYPE".into(), &"SMS_MFA".into())
    );
    assert_eq!(next.challenge, Challenge::Code { by: Factor::Sms, to: Some("+*******1234".to_owned()) });
    let told = answered(&server, &cognito, &next, code("123456")).await;
    assert_eq!(told["Session"], "session-2");
}

#[tokio::test]
async fn an_authenticator_app_is_set_up_and_its_code_ends_the_sign_in() {
    let (server, cognito) = standing_in_for(Some(SECRET), None, Utc::now).await;
    let parameters = json!({"MFAS_CAN_SETUP": "[\"SOFTWARE_TOKEN_MFA\",\"SMS_MFA\"]"});
    server
        .on("InitiateAuth", [asks("MFA_SETUP", "session-1", parameters)])
        .on("AssociateSoftwareToken", [Says::Says(json!({"SecretCode": "JBSWY3DPEHPK3PXP", "Session": "session-2"}))])
        .on(
            "VerifySoftwareToken",
            [
                Says::Refuses("EnableSoftwareTokenMFAException", "Code mismatch"),
                Says::Says(json!({"Status": "SUCCESS", "Session": "session-3"})),
            ],
        );
    let pending = pending(tried(&cognito).await.unwrap());
    let uri = "otpauth://totp/photo-gallery:bea%40example%2Eorg?secret=JBSWY3DPEHPK3PXP&issuer=photo-gallery";
    assert_eq!(pending.challenge, Challenge::SetUp { secret: "JBSWY3DPEHPK3PXP".to_owned(), uri: uri.to_owned() });
    assert_eq!(server.asked_of("AssociateSoftwareToken")[0].json()["Session"], "session-1");
    assert_eq!(refused(cognito.respond(&pending, &code("000000")).await), Refusal::Code);
    let told = answered(&server, &cognito, &pending, code("123456")).await;
    assert_eq!((&told["ChallengeName"], &told["Session"]), (&"MFA_SETUP".into(), &"session-3".into()));
    let verified = server.asked_of("VerifySoftwareToken").pop().unwrap().json();
    assert_eq!((&verified["Session"], &verified["UserCode"]), (&"session-2".into(), &"123456".into()));
}

#[tokio::test]
async fn what_is_not_known_is_said_by_its_name_and_cannot_be_answered() {
    let rows = [
        ("CUSTOM_CHALLENGE", json!({})),
        ("DEVICE_SRP_AUTH", json!({})),
        ("WEB_AUTHN", json!({})),
        ("A_CHALLENGE_OF_TOMORROW", json!({})),
        ("MFA_SETUP", json!({"MFAS_CAN_SETUP": "[\"SMS_MFA\"]"})),
        ("SELECT_MFA_TYPE", json!({"MFAS_CAN_CHOOSE": "[\"CARRIER_PIGEON\"]"})),
        ("SELECT_MFA_TYPE", json!({})),
    ];
    for (challenge, parameters) in rows {
        let (server, cognito, pending) = asking(challenge, parameters).await;
        assert_eq!(pending.challenge, Challenge::Unknown(challenge.to_owned()));
        for response in [code("123456"), Response::Choice(Factor::Sms)] {
            assert_eq!(refused(cognito.respond(&pending, &response).await), Refusal::Expired);
        }
        assert!(server.asked_of("RespondToAuthChallenge").is_empty());
    }
}

#[tokio::test]
async fn refused_answers_say_what_can_be_done() {
    let password = Response::NewPassword { password: "short".into(), nickname: None };
    let rows = [
        ("SMS_MFA", code("1"), "CodeMismatchException", "Invalid code", Refusal::Code),
        ("SMS_MFA", code("1"), "ExpiredCodeException", "Your code expired", Refusal::Code),
        ("SMS_MFA", code("x"), "InvalidParameterException", "Value at 'userCode' failed", Refusal::Code),
        (
            "SMS_MFA",
            code("1"),
            "NotAuthorizedException",
            "Invalid session for the user, session is expired.",
            Refusal::Expired,
        ),
        ("SMS_MFA", code("1"), "LimitExceededException", "Attempt limit exceeded", Refusal::TooMany),
        (
            "NEW_PASSWORD_REQUIRED",
            password,
            "InvalidPasswordException",
            "Password does not conform to policy: Password not long enough",
            Refusal::Password("This password is too short. Please choose another.".to_owned()),
        ),
    ];
    for (challenge, response, name, sentence, refusal) in rows {
        let (server, cognito, pending) = asking(challenge, json!({})).await;
        server.on("RespondToAuthChallenge", [Says::Refuses(name, sentence)]);
        assert_eq!(refused(cognito.respond(&pending, &response).await), refusal, "{name}");
    }
}

#[tokio::test]
async fn the_longest_session_of_a_pool_fits_what_travels() {
    let session = "s".repeat(2048);
    let (server, cognito) = standing_in_for(Some(SECRET), None, Utc::now).await;
    server.on("InitiateAuth", [asks("SMS_MFA", &session, json!({}))]);
    let pending = pending(tried(&cognito).await.unwrap());
    assert!(pending.state.len() <= 2048 + 129, "{}", pending.state.len());
    let told = answered(&server, &cognito, &pending, code("123456")).await;
    assert_eq!(told["Session"], session);
}
