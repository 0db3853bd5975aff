//! Where browsers come in: the port, the address they know, the proxies before it.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

use anyhow::{Context as _, bail};
use url::Url;

use super::web::Web;
use crate::{
    doctor::{Chart, Seen},
    settings::{Events, Settings},
};

pub(super) async fn examine(settings: &Settings, chart: &mut Chart) {
    chart.look("port", port(settings)).await;
    let server = &settings.server;
    let public = !server.bind.is_loopback();
    if let Some(base) = &server.base_url {
        chart.look("base URL", base_url(base)).await;
    } else if public {
        chart.note(
            "base URL",
            Ok(Seen::warn(format!(
                "server.bind is {} and server.base_url is not set: put TLS in front, and set it to the https:// address that people use",
                server.bind
            ))),
        );
    }
    let behind = public || server.base_url.as_deref().is_some_and(|base| base.starts_with("https:"));
    if behind {
        let listed = server.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let seen = if listed.is_empty() {
            Seen::warn(
                "no proxy is trusted: behind one all visitors share its address, and its limit of tries to sign in; list the proxy or the \
                 load balancer's networks in server.trusted_proxies",
            )
        } else {
            Seen::ok(format!("visitors' addresses are believed from {listed}"))
        };
        chart.note("proxies", Ok(seen));
    }
    if matches!(settings.events, Events::Aws(_)) {
        chart.note("draining", Ok(draining(server.drain_seconds)));
    }
}

fn draining(seconds: u64) -> Seen {
    if seconds == 0 {
        Seen::warn(
            "server.drain_seconds is 0: behind a load balancer requests fail whenever an instance is replaced; set it to the interval of the \
             health check times its threshold, and one more",
        )
    } else {
        Seen::ok(format!("a server that is told to stop goes on answering for {seconds} s"))
    }
}

async fn port(settings: &Settings) -> anyhow::Result<Seen> {
    let (bind, port) = (settings.server.bind, settings.server.port);
    let address = SocketAddr::new(bind, port);
    if port == 0 {
        return Ok(Seen::ok(format!("any free port of {bind} is taken")));
    }
    let Err(refused) = TcpListener::bind(address) else { return Ok(Seen::ok(format!("{address} is free"))) };
    match refused.kind() {
        ErrorKind::AddrInUse => {
            let near = match bind {
                IpAddr::V4(any) if any.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(any) if any.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                one => one,
            };
            let (web, url) = (Web::new(&settings.aws), format!("http://{}/ping", SocketAddr::new(near, port)));
            match web.ask("GET", &url, None).await {
                Ok(answer) if answer.body.starts_with(br#"{"status":"#) => {
                    Ok(Seen::ok(format!("{address} is held by a gallery that answers")))
                }
                _ => bail!("{address} is held by another program: stop it, or set server.port to a free port"),
            }
        }
        ErrorKind::PermissionDenied => {
            bail!(
                "{address} may not be listened on by this user: set server.port to 1024 or more, and a proxy before it"
            )
        }
        ErrorKind::AddrNotAvailable => bail!("{bind} is no address of this machine: correct server.bind"),
        _ => Err(refused).with_context(|| format!("{address} cannot be listened on")),
    }
}

async fn base_url(base: &str) -> anyhow::Result<Seen> {
    let url = Url::parse(base).context("reading server.base_url")?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    resolved(&host, "server.base_url").await?;
    Ok(if url.scheme() == "https" {
        Seen::ok(format!("{base}: over TLS, and its name resolves"))
    } else {
        Seen::warn(format!(
            "{base} is not encrypted: passwords and cookies can be read on the way; put TLS in front, and set it to https://"
        ))
    })
}

/// The addresses of a host that `setting` names.
pub(super) async fn resolved(host: &str, setting: &str) -> anyhow::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((host, 0)).await;
    let found: Vec<IpAddr> = found.map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default();
    if found.is_empty() {
        bail!("the name {host} does not resolve: correct {setting}, or its entry in DNS");
    }
    Ok(found)
}
