//! `/ping` says that this process answers, and asks nothing of anything else; `/readyz` says whether it can do its work.

use std::net::IpAddr;

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde::Serialize;

use super::{Site, json_with_status};

/// The answer a load balancer waits for, word for word the course's; 503 while this instance is about to stop.
pub async fn ping(site: web::Data<Site>) -> HttpResponse {
    let (mut response, body) = if site.draining.is_cancelled() {
        (HttpResponse::ServiceUnavailable(), r#"{"status":"error","message":"stopping"}"#)
    } else {
        (HttpResponse::Ok(), r#"{"status":"success","message":"pong!"}"#)
    };
    response.insert_header((header::CACHE_CONTROL, "no-store")).content_type("application/json").body(body)
}

/// What a stranger is told.
#[derive(Serialize)]
struct Short {
    status: &'static str,
}

/// How this instance stands: 503 when it should be asked nothing. Operators, who ask from near by, are told why.
pub async fn readiness(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    let report = site.readiness.report().await;
    let code = if report.status == "ready" { 200 } else { 503 };
    if is_near(&request) {
        json_with_status(&report, code)
    } else {
        json_with_status(&Short { status: report.status }, code)
    }
}

/// Whether a request comes from this machine or its own network, and through no proxy that asks for somebody else.
fn is_near(request: &HttpRequest) -> bool {
    let forwarded = ["x-forwarded-for", "forwarded", "via"].iter().any(|name| request.headers().contains_key(*name));
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    !forwarded && peer.is_some_and(is_private)
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_private;

    #[test]
    fn addresses_of_the_internet_are_not_near() {
        let near = |address: &str| is_private(address.parse().expect("an address"));
        assert!(
            ["127.0.0.1", "10.1.2.3", "172.31.0.9", "192.168.1.1", "::1", "fd00::1", "fe80::1"].into_iter().all(near)
        );
        assert!(!["8.8.8.8", "172.32.0.1", "2001:db8::1", "0.0.0.0"].into_iter().any(near));
    }
}
