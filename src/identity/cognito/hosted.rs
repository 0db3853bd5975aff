//! Sign-in on the pool's own pages: authorization code with state, nonce and PKCE (RFC 7636, S256).

use anyhow::Context as _;
use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};

use super::{Cognito, entering::unproven, web::Answered};
use crate::identity::{self, Answer, Denied, Departure, Hosted, Refusal, SignedIn};

/// What pages do that refuse codes to the app client.
const NO_CODE_GRANT: &str = "do not let the app client sign people in by code: allow it the authorization code grant";

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

impl Cognito {
    /// Whether the pool's own pages would sign somebody in and lead back here; `Ok` also where there are none.
    pub async fn check_pages(&self) -> anyhow::Result<()> {
        let Some(pages) = &self.pages else { return Ok(()) };
        let (url, _) = self.depart()?;
        let answer = self.web.get(&url).await.map_err(|error| {
            anyhow::anyhow!(
                "the pool's own pages do not answer at {}: check `identity.cognito.domain` ({error:#})",
                pages.domain
            )
        })?;
        let Some(error) = refusal(&answer) else {
            anyhow::ensure!(
                answer.status < 400,
                "the pool's own pages at {} answer with status {}: check `identity.cognito.domain`",
                pages.domain,
                answer.status
            );
            return Ok(());
        };
        let callback = pages.callback();
        Err(match error.as_str() {
            "redirect_mismatch" => {
                anyhow::anyhow!(
                    "the app client does not list {callback} among its callback URLs: add it, or correct `server.base_url`"
                )
            }
            "unauthorized_client" => anyhow::anyhow!("the pool's own pages {NO_CODE_GRANT}"),
            "invalid_scope" => anyhow::anyhow!(
                "the app client does not allow the scopes that are asked for: allow them, or correct `identity.cognito.scopes`"
            ),
            "invalid_client" => {
                anyhow::anyhow!("the pool's own pages do not know the app client: correct `identity.cognito.client_id`")
            }
            other => anyhow::anyhow!(
                "the pool's own pages refuse to sign people in ({other}): check the app client, and that {callback} is among its callback URLs"
            ),
        })
    }
}

/// The name of the error that an answer of the pool's pages is, or leads to.
fn refusal(answer: &Answered) -> Option<String> {
    let of_body = serde_json::from_slice(&answer.body).ok().map(|Refused { error }| error);
    let query = answer.location.as_deref().and_then(|location| Some(location.split_once('?')?.1));
    let of_location = || {
        let mut pairs = form_urlencoded::parse(query?.as_bytes());
        pairs.find(|(name, _)| name == "error").map(|(_, error)| error.into_owned())
    };
    let error = of_body.or_else(of_location)?;
    Some(crate::photo::plain_line(&error).chars().take(100).collect())
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
        (_, "unauthorized_client") => NO_CODE_GRANT,
        _ => "gave no tokens",
    };
    Err(Denied::Down(anyhow::anyhow!("the user pool's pages {why} (status {})", answer.status)))
}
