//! `photo-gallery account`: what the operator does with the accounts built in, and whose photos an import brings.

use anyhow::{Context as _, bail};
use chrono::SecondsFormat;
use secrecy::{ExposeSecret as _, SecretString};

use super::{asked, first_line, secret};
use crate::{
    app::{self, App},
    catalog,
    cli::Account,
    identity::{Denied, NewAccount, Nickname, SignInName, local::Local},
    photo::Owner,
    settings::{self, Settings},
};

pub(super) async fn run(settings: Settings, what: &Account) -> anyhow::Result<()> {
    let local = match &settings.identity {
        settings::Identity::Local(_) => app::open_local_accounts(&settings).await?,
        settings::Identity::Cognito(_) => bail!(
            "this gallery's accounts are those of its Cognito user pool: manage them there, in the AWS console or with \
             `aws cognito-idp`; people delete their own account with everything in it on their account page"
        ),
        settings::Identity::None(_) => {
            bail!("this gallery has no accounts (`identity` is none); set `identity` to local to have some")
        }
    };
    match what {
        Account::Add { email, nickname, password_stdin } => {
            add(&local, email, nickname.as_deref(), *password_stdin).await?;
        }
        Account::Reset { email, password_stdin } => reset(&local, email, *password_stdin).await?,
        Account::List => list(&local).await?,
        Account::Remove { email, yes } => {
            let app = App::open(settings).await?;
            // An earlier removal that was interrupted is finished first: its account may be gone already, and its photos not yet.
            app.accounts().sweep().await?;
            let account = known(&local, email).await?;
            remove(&app, &account, *yes).await?;
        }
    }
    local.close().await;
    Ok(())
}

async fn add(local: &Local, email: &str, nickname: Option<&str>, from_stdin: bool) -> anyhow::Result<()> {
    let name: SignInName = email.parse()?;
    let nickname: Nickname = nickname.unwrap_or(email.split('@').next().unwrap_or(email)).parse()?;
    if local.account(&name).await?.is_some_and(|account| account.confirmed) {
        bail!("{name} has an account already; give it a new password with `photo-gallery account reset {name}`");
    }
    let password = password(&name, from_stdin)?;
    if !local.add(&NewAccount { name: name.clone(), nickname, password }).await.map_err(in_words)? {
        bail!("{name} has got an account meanwhile");
    }
    println!("{name} can sign in now.");
    Ok(())
}

async fn reset(local: &Local, email: &str, from_stdin: bool) -> anyhow::Result<()> {
    let account = known(local, email).await?;
    let password = password(&email.parse()?, from_stdin)?;
    local.set_password(&account, &password).await.map_err(in_words)?;
    println!("{} has a new password, and is signed out everywhere.", account.email);
    Ok(())
}

async fn list(local: &Local) -> anyhow::Result<()> {
    for catalog::Standing { account, totals } in local.accounts().await? {
        let created = account.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let unconfirmed = if account.confirmed { "" } else { "\tnot confirmed" };
        println!(
            "{}\t{}\t{created}\t{}\t{}{unconfirmed}",
            account.email, account.nickname, totals.photos, totals.bytes
        );
    }
    Ok(())
}

async fn remove(app: &App, account: &catalog::Account, yes: bool) -> anyhow::Result<()> {
    let totals = app.album().totals(&account.owner).await?;
    if !yes {
        let question = format!(
            "Remove {} with {} photos ({} bytes)? There is no way back. Type the address again: ",
            account.email, totals.photos, totals.bytes
        );
        if asked(&question, "--yes")? != account.email {
            bail!("this is another address: nothing was removed");
        }
    }
    app.accounts().remove(&account.owner).await?;
    app.close().await;
    println!("{} is removed, and {} photos with it.", account.email, totals.photos);
    Ok(())
}

/// The account that an operator names.
async fn known(local: &Local, email: &str) -> anyhow::Result<catalog::Account> {
    let name = email.parse()?;
    local
        .account(&name)
        .await?
        .with_context(|| format!("there is no account {name}; `photo-gallery account list` shows those there are"))
}

/// A password that the operator types twice or hands in.
fn password(name: &SignInName, from_stdin: bool) -> anyhow::Result<SecretString> {
    if from_stdin {
        return first_line();
    }
    let password = secret(&format!("Password that {name} shall have: "), "--password-stdin")?;
    let again = secret("The same again: ", "--password-stdin")?;
    if password.expose_secret() != again.expose_secret() {
        bail!("the two passwords differ: nothing was changed");
    }
    Ok(password)
}

/// A refusal in the words of the command line.
fn in_words(denied: Denied) -> anyhow::Error {
    match denied {
        Denied::Refused(refusal) => anyhow::anyhow!("{refusal}"),
        Denied::Down(cause) => cause,
    }
}

/// Whose the photos of an import are: the one that is named, else the only account. Before there is any they are nobody's, and the first
/// account takes them over.
pub(super) async fn owner(settings: &Settings, named: Option<&str>) -> anyhow::Result<Owner> {
    match (&settings.identity, named) {
        (settings::Identity::None(_), None) => Ok(Owner::anonymous()),
        (settings::Identity::None(_), Some(_)) => {
            bail!("this gallery has no accounts (`identity` is none): leave --account away")
        }
        (settings::Identity::Cognito(_), Some(name)) => Ok(name.parse()?),
        (settings::Identity::Cognito(_), None) => bail!(
            "say whose these photos are: --account and the `cognito:username` of somebody in the user pool, as \
             `aws cognito-idp list-users` shows it under Username"
        ),
        (settings::Identity::Local(_), named) => {
            let local = app::open_local_accounts(settings).await?;
            let owner = match named {
                Some(email) => known(&local, email).await?.owner,
                None => match local.accounts().await?.as_slice() {
                    [] => Owner::anonymous(),
                    [only] => only.account.owner.clone(),
                    all => bail!(
                        "there are {} accounts: say whose these photos are with --account EMAIL; `photo-gallery account list` shows them",
                        all.len()
                    ),
                },
            };
            local.close().await;
            Ok(owner)
        }
    }
}
