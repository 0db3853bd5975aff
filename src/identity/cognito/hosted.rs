//! Sign-in on the pool's own pages: authorization code with state, nonce and PKCE (RFC 7636, S256).

use anyhow::Context as _;
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;

use super::{Cognito, entering::unproven, web::Answered};
use crate::identity::{self, Answer, Denied, Departure, Hosted, Refusal, SignedIn};

/// Where the pool's own pages are, and where they lead back to.
#[derive(Clone, Debug)]
pub struct Pages {
    /// Scheme and host of the pool's domain.
    pub domain: String,
    /// Scheme, host and port under which browsers reach the gallery.
    pub base_url: String,
    /// The scopes to ask for, with blanks between; `None` asks for none, which a pool takes for all that the app client may have.
    pub scopes: Option<String>,
}

impl Pages {
    fn callback(&self) -> String {
        format!("{}/callback", self.base_url)
    }
}

/// What the token endpoint answers.
#[derive(Deserialize)]
struct Tokens {
    #[serde(rename = "id_token")]
    id: Option<String>,
    #[serde(rename = "access_token")]
    access: Option<String>,
    #[serde(rename = "refresh_token")]
    refresh: Option<String>,
}

/// Why it refuses, by OAuth's names.
#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// 256 random bits as text.
fn random() -> anyhow::Result<String> {
    Ok(BASE64_URL_SAFE_NO_PAD.encode(identity::random::<32>()?))
}

#[async_trait]
impl Hosted for Cognito {
    fn depart(&self) -> anyhow::Result<(String, Departure)> {
        let pages = self.pages.as_ref().context("no domain of the user pool is set")?;
        let departure = Departure { state: random()?, nonce: random()?, verifier: random()? };
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(&departure.verifier));
        let mut url = Url::parse(&pages.domain).context("reading the user pool's domain")?;
        url.set_path("/oauth2/authorize");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.app.id)
            .append_pair("redirect_uri", &pages.callback())
            .append_pair("state", &departure.state)
            .append_pair("nonce", &departure.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if let Some(scopes) = &pages.scopes {
            url.query_pairs_mut().append_pair("scope", scopes);
        }
        Ok((url.into(), departure))
    }

    async fn arrive(&self, departure: &Departure, code: &SecretString) -> Answer<SignedIn> {
        let pages = self.pages.as_ref().context("no domain of the user pool is set")?;
        super::within(async {
            let url = format!("{}/oauth2/token", pages.domain);
            let callback = pages.callback();
            let fields = [
                ("grant_type", "authorization_code"),
                ("client_id", &self.app.id),
                ("code", code.expose_secret()),
                ("redirect_uri", &callback),
                ("code_verifier", &departure.verifier),
            ];
            let client = self.app.secret.as_ref().map(|secret| (self.app.id.as_str(), secret));
            let answer = self.web.post(&url, &fields, client).await;
            let tokens = tokens(&answer.context("asking the user pool's pages for tokens")?)?;
            let (Some(id), Some(access), Some(refresh)) = (tokens.id, tokens.access, tokens.refresh) else {
                let cause = "the user pool's pages gave no id token: allow the app client the scope openid";
                return Err(Denied::Down(anyhow::anyhow!(cause)));
            };
            self.entered(&id, &access, &refresh, None, Some(&departure.nonce)).await.map_err(unproven)
        })
        .await
    }

    fn leave(&self) -> String {
        let Some(pages) = &self.pages else { return "/".to_owned() };
        let Ok(mut url) = Url::parse(&pages.domain) else { return "/".to_owned() };
        url.set_path("/logout");
        url.query_pairs_mut()
            .append_pair("client_id", &self.app.id)
            .append_pair("logout_uri", &format!("{}/", pages.base_url));
        url.into()
    }
}

fn tokens(answer: &Answered) -> Answer<Tokens> {
    if answer.status == 200 {
        // The cause is left out: it could quote a token.
        return serde_json::from_slice(&answer.body)
            .map_err(|_| Denied::Down(anyhow::anyhow!("the user pool's pages gave something else than tokens")));
    }
    let refused = serde_json::from_slice(&answer.body).unwrap_or(Refused { error: String::new() });
    let why = match (answer.status, refused.error.as_str()) {
        (400, "invalid_grant") => return Err(Refusal::Expired.into()),
        (_, "invalid_client") => "do not take the app client's secret: correct `identity.cognito.client_secret`",
        (_, "unauthorized_client") => {
            "do not let the app client sign people in by code: allow it the authorization code grant"
        }
        _ => "gave no tokens",
    };
    Err(Denied::Down(anyhow::anyhow!("the user pool's pages {why} (status {})", answer.status)))
}
