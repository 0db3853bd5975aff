//! The accounts built in, from their settings.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use url::Url;

use super::{database::open_catalog, now, threads};
use crate::{
    catalog::Catalog,
    identity::{
        Identity,
        local::{
            Local, Rules,
            mail::{self, Encryption, Mail},
        },
    },
    settings::{self, Settings},
};

pub(super) async fn open_local(
    settings: &Settings,
    local: &settings::Local,
    catalog: &Catalog,
) -> anyhow::Result<Option<Arc<dyn Identity>>> {
    Ok(Some(Arc::new(local_accounts(settings, local, catalog.clone()).await?)))
}

async fn local_accounts(settings: &Settings, local: &settings::Local, catalog: Catalog) -> anyhow::Result<Local> {
    let rules = Rules {
        open: local.sign_up == settings::SignUp::Open,
        code_key: settings.secret()?.key("codes of accounts"),
        mail: open_mail(settings, local)?,
        at_once: threads(0),
    };
    Local::new(catalog, rules, now).await
}

/// How mail is sent; `None` without a mail server.
pub(super) fn open_mail(settings: &Settings, local: &settings::Local) -> anyhow::Result<Option<Mail>> {
    let Some(host) = local.smtp_host.clone() else {
        return Ok(None);
    };
    let account = local.smtp_user.clone().zip(local.smtp_password.clone());
    let encryption = match local.smtp_tls {
        settings::SmtpTls::Required => Encryption::Required,
        settings::SmtpTls::StartTls => Encryption::StartTls,
        settings::SmtpTls::None => Encryption::None,
    };
    let from =
        local.mail_from.clone().context("the settings were not checked: mails need `identity.local.mail_from`")?;
    let base_url =
        settings.server.base_url.as_deref().map(Url::parse).transpose().context("reading server.base_url")?;
    let server = mail::Server { host, port: local.smtp_port, encryption, account, from, base_url };
    Mail::new(&server).map(Some)
}

/// The accounts built in by themselves, for the operator's commands; an error that says what to do where there are none.
pub async fn open_local_accounts(settings: &Settings) -> anyhow::Result<Local> {
    let settings::Identity::Local(local) = &settings.identity else { bail!("this gallery's accounts are not its own") };
    local_accounts(settings, local, open_catalog(settings).await?).await
}
