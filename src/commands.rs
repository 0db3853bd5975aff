//! What each command of the command line does, once settings and logs stand.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::stop::Stop;
use crate::{
    app::App,
    cli::Command,
    import,
    settings::{Loaded, Settings},
};

mod account;
mod check;
mod doctor;
mod lambda;
mod migrate;
mod ping;
mod stop;

/// Does what the command says, until it is done or the program is told to stop.
pub fn run(command: &Command, loaded: Loaded) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the program's threads")?;
    let done = runtime.block_on(async {
        if let Command::Doctor { json, work } = command {
            return doctor::run(loaded, *json, *work).await;
        }
        let settings = loaded.settings;
        match command {
            Command::Serve => Box::pin(serve(settings)).await,
            Command::Work => Box::pin(work(settings)).await,
            Command::Check(how) => check::run(settings, *how).await,
            Command::Lambda => lambda::run(settings).await,
            Command::Migrate(how) => migrate::run(&settings, how).await,
            Command::Import { folder, account } => Box::pin(import_folder(settings, folder, account.as_deref())).await,
            Command::Account(what) => Box::pin(account::run(settings, what)).await,
            Command::Ping { url } => ping::run(&settings, url.as_deref()).await,
            Command::Settings { .. } | Command::Doctor { .. } => Ok(()),
        }
    });
    // A picture that is still being looked at holds up nobody.
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// How long photos that were broken off may take to be given back.
const GIVES_BACK: Duration = Duration::from_secs(1);
/// How long the last letters and the catalog may take at the end.
const CLOSES_WITHIN: Duration = Duration::from_secs(15);
/// How long is waited before the database is asked again for what the operator should know.
const ASKED_AGAIN: Duration = Duration::from_secs(5);

/// Serves pages and finishes photos, side by side; the end of either ends both.
async fn serve(settings: Settings) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let listener = App::listen(&settings)?;
    let address = listener.local_addr().context("asking for the port")?;
    let (drain, beside) = (Duration::from_secs(settings.server.drain_seconds), settings.worker.beside_server);
    let shutdown = Duration::from_secs(settings.server.shutdown_seconds);
    let Some(app) = unless_told(&stop, Box::pin(App::start(settings))).await? else { return Ok(()) };
    let app = Arc::new(app);
    let server = app.server(listener)?;
    let (handle, until) = (server.handle(), CancellationToken::new());
    let mut working = {
        let (app, until) = (Arc::clone(&app), until.clone());
        tokio::spawn(async move { if beside { app.work(until).await } else { app.tend(until).await } })
    };
    let mut serving = tokio::spawn(server.run());
    tracing::info!("the gallery is at http://{address}");
    let refused = tokio::select! {
        () = stop.told.cancelled() => None,
        refused = told(&app) => Some(refused),
        ended = &mut serving => {
            ended.context("the web server broke")?.context("the web server ended")?;
            bail!("the web server ended by itself");
        }
        ended = &mut working => {
            ended.context("the worker broke")?;
            bail!("the worker ended by itself");
        }
    };
    let outcome = outcome_of(refused);
    app.draining().cancel();
    if !drain.is_zero() {
        tracing::info!("draining for {} s: /ping says 503, everything else goes on", drain.as_secs());
        tokio::select! {
            () = tokio::time::sleep(drain) => {}
            () = stop.hurried.cancelled() => {}
        }
    }
    tracing::info!("stopping: requests and photos in hand are finished");
    until.cancel();
    let ending = async {
        handle.stop(true).await;
        serving.await.context("the web server broke")?.context("stopping the web server")?;
        (&mut working).await.context("the worker broke")
    };
    // The web server keeps to the same time, and looks once a second.
    within(shutdown + Duration::from_secs(1), ending).await?;
    break_off(&working).await;
    close(&app).await;
    outcome
}

/// Finishes photos without serving pages.
async fn work(settings: Settings) -> anyhow::Result<()> {
    let stop = Stop::listen()?;
    let shutdown = Duration::from_secs(settings.server.shutdown_seconds);
    let Some(app) = unless_told(&stop, Box::pin(App::start(settings))).await? else { return Ok(()) };
    let (app, until) = (Arc::new(app), CancellationToken::new());
    let mut working = {
        let (app, until) = (Arc::clone(&app), until.clone());
        tokio::spawn(async move { app.work(until).await })
    };
    tracing::info!("working: photos are finished until this is told to stop");
    let refused = tokio::select! {
        () = stop.told.cancelled() => None,
        refused = settled(&app) => Some(refused),
        ended = &mut working => {
            ended.context("the worker broke")?;
            bail!("the worker ended by itself");
        }
    };
    let outcome = outcome_of(refused);
    tracing::info!("stopping: photos in hand are finished");
    app.draining().cancel();
    until.cancel();
    within(shutdown, async { (&mut working).await.context("the worker broke") }).await?;
    break_off(&working).await;
    close(&app).await;
    outcome
}

/// What `opening` opens; `None` when the program is told to stop before it is open.
async fn unless_told(stop: &Stop, opening: impl Future<Output = anyhow::Result<App>>) -> anyhow::Result<Option<App>> {
    tokio::select! {
        opened = opening => opened.map(Some),
        () = stop.told.cancelled() => Ok(None),
    }
}

/// What a program that stops in order ends with: a failure when one of its parts said no, which is told at once.
fn outcome_of(refused: Option<anyhow::Error>) -> anyhow::Result<()> {
    let Some(refused) = refused else { return Ok(()) };
    tracing::error!(error = format!("{refused:#}"), "a part that the gallery needs says no: it stops in order");
    Err(refused)
}

/// Waits for what the gallery stands on, and then for ever; an error when a part of it says no.
async fn settled(app: &App) -> anyhow::Error {
    match app.settle().await {
        Ok(()) => std::future::pending().await,
        Err(refused) => refused,
    }
}

/// Like [`settled`], and tells the operator what they should know of a gallery that is open.
async fn told(app: &App) -> anyhow::Error {
    let telling = async {
        app.readiness().opened().await;
        loop {
            match app.exposure().await {
                Ok(notice) => {
                    if let Some(notice) = notice {
                        tracing::warn!("{notice}");
                    }
                    return std::future::pending().await;
                }
                Err(_) => tokio::time::sleep(ASKED_AGAIN).await,
            }
        }
    };
    tokio::select! {
        refused = settled(app) => refused,
        refused = telling => refused,
    }
}

/// Waits for what is still in hand, and no longer than `time`.
async fn within(time: Duration, ending: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::time::timeout(time, ending).await.unwrap_or_else(|_| {
        tracing::warn!(
            "not everything in hand was finished within {} s; what was not is done again later",
            time.as_secs()
        );
        Ok(())
    })
}

/// Breaks off what a worker that did not end in time still has in hand, while it can be given back.
async fn break_off(working: &JoinHandle<()>) {
    if !working.is_finished() {
        working.abort();
        tokio::time::sleep(GIVES_BACK).await;
    }
}

async fn close(app: &App) {
    if tokio::time::timeout(CLOSES_WITHIN, app.close()).await.is_err() {
        tracing::warn!("the catalog did not close in time; it is whole all the same");
    }
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
