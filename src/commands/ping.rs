//! `ping`: whether the gallery on this machine answers, for containers and other supervisors that have no other program to ask with.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, anyhow, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};
use url::{Position, Url};

use crate::settings::Settings;

/// How long it may take in all.
const PATIENCE: Duration = Duration::from_secs(3);
/// How much of an answer is read, in bytes: its first line stands at its beginning.
const LINE: u64 = 1024;

/// Asks `url`, or this machine on the port of the settings; an error unless the answer is 200.
pub(super) async fn run(settings: &Settings, url: Option<&str>) -> anyhow::Result<()> {
    let url = match url {
        Some(given) => named(given)?,
        None => own(settings)?,
    };
    let status = timeout(PATIENCE, asked(&url))
        .await
        .unwrap_or_else(|_| Err(anyhow!("there is no answer within {} s", PATIENCE.as_secs())))
        .with_context(|| format!("{url} cannot be asked"))?;
    ensure!(status != 503, "{url} answers 503: this instance is about to stop");
    ensure!(status == 200, "{url} answers {status} and not 200: it is no gallery's, or not well");
    println!("{url} answers 200.");
    Ok(())
}

/// A URL of the command line; one without a path means its `/ping`.
fn named(given: &str) -> anyhow::Result<Url> {
    let mut url = Url::parse(given).with_context(|| format!("{given} is not a URL; like http://127.0.0.1:5000"))?;
    ensure!(
        url.username().is_empty() && url.password().is_none(),
        "a URL with a name or password is not asked; like http://127.0.0.1:5000"
    );
    ensure!(url.scheme() == "http", "{given} is not asked: only URLs that begin with http:// are");
    if url.path() == "/" {
        url.set_path("/ping");
    }
    Ok(url)
}

/// `/ping` of this machine's own gallery.
fn own(settings: &Settings) -> anyhow::Result<Url> {
    let (bind, port) = (settings.server.bind, settings.server.port);
    if port == 0 {
        bail!("server.port is 0, so that the gallery took any free port: say which, like http://127.0.0.1:5000");
    }
    let address = match bind {
        IpAddr::V4(address) if address.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) if address.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    Url::parse(&format!("http://{address}:{port}/ping")).context("making the URL to ask")
}

/// The status that a GET is answered with.
async fn asked(url: &Url) -> anyhow::Result<u16> {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
    let name = host.trim_matches(['[', ']']);
    let mut stream = TcpStream::connect((name, port)).await?;
    let path = &url[Position::BeforePath..Position::AfterQuery];
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(LINE)).read_until(b'\n', &mut answer).await?;
    let line = String::from_utf8_lossy(&answer);
    let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.get(..3)?.parse().ok());
    status.context("the answer is not HTTP")
}
