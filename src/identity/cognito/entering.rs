//! Signing in: a password is proved, more is asked, and whoever is let in is known by the pool's tokens.

use anyhow::Context as _;
use aws_sdk_cognitoidentityprovider::{
    operation::respond_to_auth_challenge::RespondToAuthChallengeError,
    types::{AuthFlowType, AuthenticationResultType, ChallengeNameType},
};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    Cognito, Flow,
    challenge::{self, Answers, Heard, Note},
    grant::Kept,
    joining::nickname_refused,
    srp,
    token::Unproven,
    trouble::Trouble,
};
use crate::identity::{Answer, Challenge, Denied, Pending, Refusal, Response, SignInName, SignedIn, Step};

/// What a refused password means. A pool says that an account is not confirmed before it looks at the password: `Step::Unconfirmed` would
/// tell strangers who has an account, and so it is never said.
fn password_refused(trouble: &Trouble) -> Option<Refusal> {
    match trouble.code() {
        "NotAuthorized"
        | "UserNotFound"
        | "UserNotConfirmed"
        | "PasswordResetRequired"
        | "UserLambdaValidation"
        | "InvalidParameter" => Some(Refusal::Credentials),
        _ => None,
    }
}

/// What a refused answer to this challenge means.
fn answer_refused(challenge: &Challenge, trouble: &Trouble) -> Option<Refusal> {
    let wants_code = matches!(challenge, Challenge::Code { .. } | Challenge::SetUp { .. });
    match trouble.code() {
        "CodeMismatch" | "ExpiredCode" | "EnableSoftwareTokenMFA" => Some(Refusal::Code),
        "InvalidParameter" if wants_code => Some(Refusal::Code),
        "InvalidParameter" if trouble.says("nickname") => Some(nickname_refused()),
        _ => trouble.password().or_else(|| trouble.access()),
    }
}

/// What it means for a sign-in that the tokens prove nothing: nobody is let in by them, now or later. Only the pool's keys may come yet.
pub(super) fn unproven(denied: Denied) -> Denied {
    match denied {
        Denied::Down(cause) if cause.downcast_ref().is_some_and(|why: &Unproven| *why != Unproven::Key) => {
            tracing::warn!("somebody was not let in: {cause:#}");
            Refusal::Expired.into()
        }
        denied => denied,
    }
}

impl Cognito {
    /// Begins to sign in.
    pub(super) async fn begun(&self, name: &SignInName, password: &SecretString) -> Answer<Step> {
        let typed = name.key();
        let heard = self.prove(&typed, password).await.map_err(|trouble| trouble.denied(password_refused))?;
        self.step(name, &typed, heard).await
    }

    /// Goes on with a sign-in.
    pub(super) async fn continued(&self, pending: &Pending, response: &Response) -> Answer<Step> {
        let refused = |trouble: &Trouble| answer_refused(&pending.challenge, trouble);
        let note = Note::of(pending)?;
        let (challenge, answers) = challenge::answers(&pending.challenge, response)?;
        let mut session = note.session.to_owned();
        if let (Challenge::SetUp { .. }, Response::Code(code)) = (&pending.challenge, response) {
            let asking = self.client.verify_software_token().session(session);
            let asking = asking.user_code(code.expose_secret().trim()).friendly_device_name("photo-gallery");
            let verified = asking.send().await;
            let verified = verified.map_err(|error| Trouble::new("VerifySoftwareToken", error).denied(refused))?;
            session = verified.session.unwrap_or_default();
        }
        let heard = self.answer(challenge, note.username, Some(session), answers).await;
        self.step(&pending.name, note.username, heard.map_err(|trouble| trouble.denied(refused))?).await
    }

    /// Proves a password to the pool.
    pub(super) async fn prove(&self, name: &str, password: &SecretString) -> Result<Heard, Trouble> {
        match self.flow {
            Flow::Password => {
                self.initiate(AuthFlowType::UserPasswordAuth, name, ("PASSWORD", password.expose_secret())).await
            }
            Flow::Srp => self.prove_unsent(name, password).await,
        }
    }

    async fn prove_unsent(&self, name: &str, password: &SecretString) -> Result<Heard, Trouble> {
        let (proof, a) = srp::Proof::begun(&self.pool, name, password).await.map_err(Trouble::Down)?;
        let mut heard = self.initiate(AuthFlowType::UserSrpAuth, name, ("SRP_A", &a)).await?;
        if heard.challenge != Some(ChallengeNameType::PasswordVerifier) {
            return Ok(heard);
        }
        let told = heard.told_username().map(str::to_owned);
        let user = told.clone().unwrap_or_else(|| name.to_owned());
        let [block, salt, b] =
            ["SECRET_BLOCK", "SALT", "SRP_B"].map(|name| heard.parameters.remove(name).unwrap_or_default());
        let proof = proof.finished(user.clone(), block, salt, b).await.map_err(Trouble::Down)?;
        let answers = vec![
            ("PASSWORD_CLAIM_SECRET_BLOCK", proof.password_claim_secret_block),
            ("PASSWORD_CLAIM_SIGNATURE", proof.password_claim_signature),
            ("TIMESTAMP", proof.timestamp),
        ];
        let asking = self.answer(ChallengeNameType::PasswordVerifier, &user, heard.session.take(), answers);
        let mut heard = asking.await?;
        if let Some(told) = told {
            heard.parameters.entry(challenge::USERNAME.to_owned()).or_insert(told);
        }
        Ok(heard)
    }

    async fn initiate(&self, flow: AuthFlowType, name: &str, proof: (&str, &str)) -> Result<Heard, Trouble> {
        let mut asking = self
            .client
            .initiate_auth()
            .client_id(&self.app.id)
            .auth_flow(flow)
            .auth_parameters("USERNAME", name)
            .auth_parameters(proof.0, proof.1);
        if let Some(hash) = self.app.secret_hash(name) {
            asking = asking.auth_parameters("SECRET_HASH", hash);
        }
        asking.send().await.map(Heard::from).map_err(|error| Trouble::new("InitiateAuth", error))
    }

    async fn answer(
        &self,
        challenge: ChallengeNameType,
        username: &str,
        session: Option<String>,
        answers: Answers,
    ) -> Result<Heard, Trouble> {
        let mut asking = self
            .client
            .respond_to_auth_challenge()
            .client_id(&self.app.id)
            .challenge_name(challenge)
            .set_session(session)
            .challenge_responses("USERNAME", username);
        for (name, answer) in answers {
            asking = asking.challenge_responses(name, answer);
        }
        if let Some(hash) = self.app.secret_hash(username) {
            asking = asking.challenge_responses("SECRET_HASH", hash);
        }
        let heard = asking.send().await.map(Heard::from);
        heard.map_err(|error| Trouble::new::<RespondToAuthChallengeError>("RespondToAuthChallenge", error))
    }

    /// How far a sign-in has come by what the pool answered.
    async fn step(&self, name: &SignInName, typed: &str, mut heard: Heard) -> Answer<Step> {
        if let Some(result) = heard.result.take() {
            return Ok(Step::In(Box::new(self.signed_in(result, None).await.map_err(unproven)?)));
        }
        let username = heard.username(typed).to_owned();
        let mut session = heard.session.take().unwrap_or_default();
        let challenge = if heard.sets_up_app() {
            let asking = self.client.associate_software_token().session(session).send().await;
            let set_up =
                asking.map_err(|error| Trouble::new("AssociateSoftwareToken", error).denied(Trouble::access))?;
            session = set_up.session.unwrap_or_default();
            challenge::set_up(
                name,
                set_up.secret_code.context("the user pool gave no secret for an authenticator app")?,
            )
        } else {
            heard.asked()
        };
        let state = Note { username: &username, session: &session }.text();
        Ok(Step::Asked(Pending { name: name.clone(), challenge, state }))
    }

    /// Somebody whom the pool let in. `before` is what was kept of them until now: where tokens do not rotate, the pool gives no new one.
    pub(super) async fn signed_in(
        &self,
        result: AuthenticationResultType,
        before: Option<&Kept<'_>>,
    ) -> Answer<SignedIn> {
        let refresh = result.refresh_token.as_deref().or(before.map(|kept| kept.refresh));
        let (Some(id), Some(access), Some(refresh)) = (&result.id_token, &result.access_token, refresh) else {
            return Err(Denied::Down(anyhow::anyhow!("the user pool let somebody in without giving all tokens")));
        };
        let device = result.new_device_metadata.as_ref().and_then(|device| device.device_key.as_deref());
        let device = device.or(before.and_then(|kept| kept.device));
        self.entered(id, access, refresh, device, None).await
    }

    /// Somebody by their tokens, which are checked first.
    pub(super) async fn entered(
        &self,
        id: &str,
        access: &str,
        refresh: &str,
        device: Option<&str>,
        nonce: Option<&str>,
    ) -> Answer<SignedIn> {
        let person =
            self.tokens.person(id, access, nonce).await.context("what came in the user pool's name was refused")?;
        Ok(SignedIn { person, grant: Some(Kept { refresh, device, access }.grant()) })
    }
}
