//! Mail to people by SMTP: short plain texts that name no address but the one that is configured.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
        extension::ClientId,
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::{catalog::Purpose, identity::random};

/// How long the mail server may take for each of its answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the mail server is reached.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its host name or address.
    pub host: String,
    /// Its port; `None`: the usual one for this encryption.
    pub port: Option<u16>,
    /// How the connection is encrypted.
    pub encryption: Encryption,
    /// The name and password to sign in with, where it wants them.
    pub account: Option<(String, SecretString)>,
    /// Who writes, like `Photos <photos@example.org>`.
    pub from: String,
    /// Where browsers reach the gallery, for links; without it there are none.
    pub base_url: Option<Url>,
}

/// How the connection to the mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// From its beginning (port 465).
    Required,
    /// From the command STARTTLS on, which the server must know (port 587).
    StartTls,
    /// Not at all (port 25).
    None,
}

/// Sends mail.
#[derive(Clone)]
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    base_url: Option<Url>,
}

/// What is written.
pub(super) enum Text {
    /// A code.
    Code(Purpose, SecretString),
    /// That there is an account already.
    Taken,
}

/// Whether mail can be addressed to this.
pub(super) fn reaches(address: &str) -> bool {
    address.parse::<Address>().is_ok()
}

impl Mail {
    /// Mail by this server. Connects when there is something to send.
    pub fn new(server: &Server) -> anyhow::Result<Self> {
        let from: Mailbox = server.from.parse().map_err(|_| {
            anyhow!("`identity.local.mail_from` must be an e-mail address, like `Photos <photos@example.org>`")
        })?;
        let parameters = || TlsParameters::new(server.host.clone()).context("preparing TLS to the mail server");
        let (tls, port) = match server.encryption {
            Encryption::Required => (Tls::Wrapper(parameters()?), 465),
            Encryption::StartTls => (Tls::Required(parameters()?), 587),
            Encryption::None => (Tls::None, 25),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port.unwrap_or(port))
            .tls(tls)
            .hello_name(ClientId::Domain(from.email.domain().to_owned()))
            .timeout(Some(PATIENCE));
        if let Some((name, password)) = &server.account {
            builder = builder.credentials(Credentials::new(name.clone(), password.expose_secret().to_owned()));
        }
        Ok(Self { transport: builder.build(), from, base_url: server.base_url.clone() })
    }

    /// Whether the mail server lets us in: connects, encrypts, and signs in where that is set. Sends nothing.
    pub async fn check(&self) -> anyhow::Result<()> {
        let heard = self.transport.test_connection().await.map_err(|error| told(&error))?;
        anyhow::ensure!(heard, "the mail server let us in, and then ended the connection");
        Ok(())
    }

    /// Sends a text. The error quotes neither the address nor the text: mail servers do, so of what they say only the number is kept.
    pub(super) async fn send(&self, to: &str, text: &Text) -> anyhow::Result<()> {
        let to: Address = to.parse().map_err(|_| anyhow!("no mail can be addressed to this account"))?;
        let (subject, body) = self.written(text);
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .message_id(Some(format!("<{}@{}>", hex::encode(random::<16>()?), self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(body)
            .map_err(|_| anyhow!("the mail could not be put together"))?;
        // So that no holiday note answers it (RFC 3834).
        message.headers_mut().insert_raw(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
        self.transport.send(message).await.map(|_| ()).map_err(|error| told(&error))
    }

    fn written(&self, text: &Text) -> (&'static str, String) {
        let page = |path: &str| {
            let url = self.base_url.as_ref()?.join(path).ok()?;
            Some(format!(":\n{url}"))
        };
        match text {
            Text::Code(purpose, code) => {
                let (subject, doing, nobody, path) = match purpose {
                    Purpose::Confirm => (
                        "Your code for the photo gallery",
                        "Somebody, probably you, is making an account in the photo gallery with this address.",
                        "Without the code there will be no account.",
                        "login",
                    ),
                    Purpose::Reset => (
                        "A new password for the photo gallery",
                        "Somebody, probably you, wants to set a new password in the photo gallery.",
                        "Your password stays as it is.",
                        "forgot",
                    ),
                };
                let again = page(path)
                    .map(|link| format!("\nIf you have closed that page, begin again here{link}\n"))
                    .unwrap_or_default();
                let body = format!(
                    "{doing}\n\nThe code: {}\n\nPlease type it on the page that asks for it. It is good for 15 minutes and works once.\n{again}\n\
                     If this was not you, you need do nothing. {nobody} Never tell the code to anybody.\n",
                    code.expose_secret()
                );
                (subject, body)
            }
            Text::Taken => {
                let (login, forgot) = (page("login").unwrap_or(".".into()), page("forgot").unwrap_or(".".into()));
                (
                    "You have an account in the photo gallery",
                    format!(
                        "Somebody, probably you, has tried to make an account in the photo gallery with this address, which has one already.\n\n\
                         You can sign in with your password{login}\n\nOr set a new one, if you have forgotten it{forgot}\n\n\
                         If this was not you, you need do nothing. Your account is as it was.\n"
                    ),
                )
            }
        }
    }
}

/// Why a mail was not sent. What the server said is left out but for its number, since servers quote the address; why there was no
/// connection is told.
fn told(error: &lettre::transport::smtp::Error) -> anyhow::Error {
    let said = error.status().map(|code| format!(" ({code})")).unwrap_or_default();
    if error.is_timeout() {
        anyhow!("the mail server did not answer in time")
    } else if error.is_permanent() {
        anyhow!("the mail server refused the mail{said}")
    } else if error.is_transient() {
        anyhow!("the mail server does not take the mail now{said}")
    } else if error.is_response() {
        anyhow!("the mail server does not speak SMTP as we know it")
    } else {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        anyhow!(
            "the mail server could not be reached as `identity.local.smtp_host`, `.smtp_port` and `.smtp_tls` say{cause}"
        )
    }
}
