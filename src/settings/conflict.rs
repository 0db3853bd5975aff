//! Settings that are right by themselves and wrong together.

use std::net::IpAddr;

use super::{Identity, Local, Refusal, Settings, SmtpTls};

/// Refuses settings that cannot hold together, or would open the gallery to those it is not meant for.
pub(super) fn refuse(settings: &Settings) -> Result<(), Refusal> {
    let bind = settings.server.bind;
    match &settings.identity {
        Identity::None(without) if !bind.is_loopback() && !without.public => Err(Refusal::new(&format!(
            "identity is none and server.bind is {bind}: everybody who can reach the port could see, add and delete photos; set \
             identity to local or cognito, server.bind to 127.0.0.1, or identity.none.public to true (in the file: [identity.none] \
             in place of identity = \"none\")"
        ))),
        Identity::Cognito(cognito) if cognito.domain.is_some() && settings.server.base_url.is_none() => {
            Err(Refusal::new(
                "identity.cognito.domain is set, and the pool's pages must lead back: set server.base_url to the address under which \
                 browsers reach the gallery",
            ))
        }
        Identity::Local(local) => mail(local),
        Identity::None(_) | Identity::Cognito(_) => Ok(()),
    }
}

/// What is wrong with how mail is to be sent.
fn mail(local: &Local) -> Result<(), Refusal> {
    let Some(host) = &local.smtp_host else { return Ok(()) };
    if local.mail_from.is_none() {
        return Err(Refusal::new(
            "identity.local.smtp_host is set: set identity.local.mail_from to the address that mails shall come from",
        ));
    }
    if local.smtp_user.is_some() != local.smtp_password.is_some() {
        return Err(Refusal::new("set both identity.local.smtp_user and identity.local.smtp_password, or neither"));
    }
    let here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if local.smtp_password.is_some() && local.smtp_tls == SmtpTls::None && !here {
        return Err(Refusal::new(
            "identity.local.smtp_tls is none, so the mail server's password could be read on the way: set it to starttls or required",
        ));
    }
    Ok(())
}
