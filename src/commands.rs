//! What each command of the command line does, once settings and logs stand.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{self, App},
    cli::{Command, Migrate},
    import,
    settings::{self, Settings},
};

mod account;

/// Does what the command says, until it is done or the program is told to stop.
pub fn run(command: &Command, settings: Settings) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the program's threads")?;
    runtime.block_on(async {
        match command {
            Command::Serve => serve(settings).await,
            Command::Work => work(settings).await,
            Command::Migrate(how) => migrate(&settings, how).await,
            Command::Import { folder, account } => import_folder(settings, folder, account.as_deref()).await,
            Command::Account(what) => Box::pin(account::run(settings, what)).await,
            Command::Settings { .. } => Ok(()),
        }
    })
}

/// Ends when the program is told to stop.
async fn told_to_stop() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Serves pages and finishes photos, side by side; the end of either ends both.
async fn serve(settings: Settings) -> anyhow::Result<()> {
    let mut stop = pin!(told_to_stop());
    let listener = App::listen(&settings)?;
    let address = listener.local_addr().context("asking for the port")?;
    let drain = Duration::from_secs(settings.server.drain_seconds);
    let app = Arc::new(App::open(settings).await?);
    let server = app.server(listener).await?;
    let (handle, draining, until) = (server.handle(), app.draining(), CancellationToken::new());
    let mut working = {
        let (app, until) = (Arc::clone(&app), until.clone());
        tokio::spawn(async move { app.work(until).await })
    };
    let mut serving = tokio::spawn(server.run());
    tracing::info!("the gallery is at http://{address}");
    if let Some(notice) = app.exposure().await? {
        tracing::warn!("{notice}");
    }
    tokio::select! {
        told = &mut stop => told?,
        ended = &mut serving => {
            ended.context("the web server broke")?.context("the web server ended")?;
            bail!("the web server ended by itself");
        }
        ended = &mut working => {
            ended.context("the worker broke")?;
            bail!("the worker ended by itself");
        }
    }
    if !drain.is_zero() {
        tracing::info!("draining for {} s: /ping says 503, everything else goes on", drain.as_secs());
        draining.cancel();
        tokio::select! {
            () = tokio::time::sleep(drain) => {}
            told = told_to_stop() => told?,
        }
    }
    tracing::info!("stopping: requests and photos in hand are finished");
    until.cancel();
    handle.stop(true).await;
    serving.await.context("the web server broke")?.context("stopping the web server")?;
    working.await.context("the worker broke")?;
    app.close().await;
    Ok(())
}

/// Finishes photos without serving pages.
async fn work(settings: Settings) -> anyhow::Result<()> {
    let app = App::open(settings).await?;
    let until = CancellationToken::new();
    let stopping = until.clone();
    tokio::spawn(async move {
        let _ = told_to_stop().await;
        stopping.cancel();
    });
    tracing::info!("working; photos that wait are looked for every few seconds");
    app.work(until).await;
    Ok(())
}

async fn import_folder(settings: Settings, folder: &Path, account: Option<&str>) -> anyhow::Result<()> {
    if !folder.is_dir() {
        bail!("{} is not a folder; name the folder whose photos shall be taken in", folder.display());
    }
    let owner = account::owner(&settings, account).await?;
    let app = App::open(settings).await?;
    let summary = import::import(app.album(), &owner, folder, app.data(), app.imports_at_once()).await?;
    app.close().await;
    println!(
        "{} new, {} here before, {} refused, {} failed. Labels follow while the gallery is served.",
        summary.new, summary.already_here, summary.refused, summary.failed
    );
    if summary.failed > 0 {
        bail!("{} files could not be taken in; run the same command again to try them again", summary.failed);
    }
    Ok(())
}

/// Brings the database to this version's tables, asking for what is not given.
async fn migrate(settings: &Settings, how: &Migrate) -> anyhow::Result<()> {
    let settings::Catalog::MySql(mysql) = &settings.catalog else {
        app::migrate(settings, "", SecretString::default()).await?;
        println!("{} is at this version.", settings.catalog_file().display());
        return Ok(());
    };
    let mut given = settings.clone();
    let admin = match &how.admin {
        Some(admin) => admin.clone(),
        None => asked(&format!("Account on {} that may create tables [master]: ", mysql.host), "--admin NAME")?,
    };
    let admin = if admin.is_empty() { "master".to_owned() } else { admin };
    let password =
        if how.password_stdin { first_line()? } else { secret(&format!("Password of {admin}: "), "--password-stdin")? };
    if mysql.password.is_none() && mysql.user != admin {
        let own = secret(&format!("Password that {} shall have: ", mysql.user), "catalog.mysql.password")?;
        given.catalog = settings::Catalog::MySql(settings::MySql { password: Some(own), ..mysql.clone() });
    }
    app::migrate(&given, &admin, password).await?;
    println!("{} on {} is at this version, and {} may read and write it.", mysql.database, mysql.host, mysql.user);
    Ok(())
}

/// What the operator types; an error that names the other way where nobody can type.
fn asked(question: &str, instead: &str) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask on; give {instead}");
    }
    eprint!("{question}");
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("reading the answer")?;
    Ok(line.trim().to_owned())
}

/// What the operator types unseen.
fn secret(question: &str, instead: &str) -> anyhow::Result<SecretString> {
    if !io::stdin().is_terminal() {
        bail!("there is no terminal to ask on; give {instead}");
    }
    Ok(rpassword::prompt_password(question).context("reading the password")?.into())
}

fn first_line() -> anyhow::Result<SecretString> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("reading the password from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned().into())
}
