//! What passes between the gallery and a pool stands in no log line, even where everything is logged.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use chrono::Utc;
use photo_gallery::{
    identity::{Chooser, Identity as _, Response, Step},
    telemetry::{Format, subscriber},
};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::{Says, entered, refused, signing::Signer, standing_in_for};
use crate::identity::{named, newcomer};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// Everything that is logged at any level in the course of a life with an account.
#[tokio::test]
async fn no_password_code_token_or_secret_is_logged_at_any_level() {
    for filter in ["trace", "trace,aws_smithy_runtime=trace,aws_smithy_runtime::client=trace,hyper_util=trace"] {
        crate::telemetry::wanted();
        let lines = Lines::default();
        let logging = subscriber(Format::Text { coloured: false }, filter, lines.clone()).unwrap();
        // For the thread, and so for whatever is spawned on it, too.
        let logging = tracing::subscriber::set_default(logging);
        life().await;
        drop(logging);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("the end of it"), "nothing was logged");
        for hidden in HIDDEN {
            let line = text.lines().find(|line| line.contains(hidden));
            assert!(line.is_none(), "{hidden} is logged: {line:?}");
        }
    }
}

const HIDDEN: [&str; 9] = [
    "secret-block",
    "pass-word-1",
    "pass-word-2",
    "730519",
    "eyJ",
    "refresh-token",
    "the-client-secret",
    "session-1",
    "code-from-the-pages",
];

async fn life() {
    let (server, cognito) = standing_in_for(Some("the-client-secret"), Some("http://gallery.example"), Utc::now).await;
    let result = Signer::first().result();
    let lets_in = Says::Says(json!({"AuthenticationResult": result}));
    let asks = json!({"ChallengeName": "SMS_MFA", "Session": "session-1", "ChallengeParameters": {"SECRET_BLOCK": "secret-block"}});
    for operation in
        ["SignUp", "ConfirmSignUp", "ForgotPassword", "ConfirmForgotPassword", "RevokeToken", "ChangePassword"]
    {
        server.on(operation, [Says::Says(json!({}))]);
    }
    server.on("InitiateAuth", [Says::Says(asks), lets_in.clone()]).on("RespondToAuthChallenge", [lets_in.clone()]);
    server.on("GetTokensFromRefreshToken", [lets_in]).on("GlobalSignOut", [Says::Body(500, String::new())]);
    let bea = named("bea@example.org");
    let account = photo_gallery::identity::NewAccount { password: "pass-word-1".into(), ..newcomer("bea@example.org") };
    cognito.sign_up(&account).await.unwrap();
    cognito.confirm(&bea, &"730519".into(), &Chooser::default()).await.unwrap();
    let Step::Asked(pending) = cognito.sign_in(&bea, &account.password).await.unwrap() else { panic!("nothing asked") };
    let who = entered(cognito.respond(&pending, &Response::Code("730519".into())).await);
    cognito.change_password(&who, &account.password, &"pass-word-2".into()).await.unwrap();
    let who = cognito.renew(&who).await.unwrap().unwrap();
    cognito.forgot(&bea).await.unwrap();
    cognito.reset(&bea, &"730519".into(), &"pass-word-2".into()).await.unwrap();
    cognito.sign_out(&who).await.unwrap();
    let pages = cognito.hosted().unwrap();
    let (_, departure) = pages.depart().unwrap();
    let tokens =
        json!({"id_token": result["IdToken"], "access_token": result["AccessToken"], "refresh_token": "refresh-token"});
    server.on("/oauth2/token", [Says::Says(tokens)]);
    refused(pages.arrive(&departure, &"code-from-the-pages".into()).await);
    tracing::info!("the end of it");
}
