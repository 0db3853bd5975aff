//! Who asks: the visitor, the client they ask from, and the cookies that tell.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    cookie::{Cookie, SameSite, time},
    dev::Payload,
    http::header::{self, HeaderValue},
    web,
};
use futures_util::future::{FutureExt, LocalBoxFuture};
use secrecy::{ExposeSecret, SecretString};

use super::Site;
use crate::{
    accounts::{Client, Session},
    error::{Error, Kind},
    photo::{Owner, plain_line},
};

/// The cookies there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Names the session of somebody signed in.
    Session,
    /// Holds, sealed, how far a sign-in has come.
    SignIn,
    /// Names the browser, for limits and form tokens.
    Device,
}

/// How cookies are written: with https as `__Host-` cookies, which only this very site can set, over TLS.
#[derive(Clone, Copy, Debug)]
pub struct Cookies {
    /// Whether browsers come by https.
    pub secure: bool,
}

impl Cookies {
    fn name(self, name: Name) -> &'static str {
        match (self.secure, name) {
            (true, Name::Session) => "__Host-session",
            (true, Name::SignIn) => "__Host-sign-in",
            (true, Name::Device) => "__Host-device",
            (false, Name::Session) => "session",
            (false, Name::SignIn) => "sign-in",
            (false, Name::Device) => "device",
        }
    }

    /// What the request's cookie of this name holds; `None` without one, and for two of the name.
    pub fn read(self, request: &HttpRequest, name: Name) -> Option<String> {
        let headers: Vec<_> = request.headers().get_all(header::COOKIE).map(text).collect();
        let pairs = headers.iter().flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut found = pairs.filter(|(other, _)| *other == self.name(name));
        let (_, value) = found.next()?;
        found.next().is_none().then(|| value.to_owned())
    }

    /// A cookie that scripts cannot read and other sites' requests do not carry.
    pub fn set(self, name: Name, value: &SecretString, lasts: std::time::Duration) -> Cookie<'static> {
        let seconds = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX);
        Cookie::build(self.name(name), value.expose_secret().to_owned())
            .path("/")
            .secure(self.secure)
            .http_only(true)
            .same_site(SameSite::Lax)
            .max_age(time::Duration::seconds(seconds))
            .finish()
    }

    /// Takes a cookie away.
    pub fn clear(self, name: Name) -> Cookie<'static> {
        self.set(name, &SecretString::default(), std::time::Duration::ZERO)
    }
}

/// How long a browser is known again: the longest that browsers keep a cookie.
pub(super) const DEVICE_LASTS: std::time::Duration = std::time::Duration::from_hours(400 * 24);

/// The one who asks. A handler that takes a visitor is private: it reaches this owner's photos only.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Whose photos these are.
    pub owner: Owner,
    /// Their session; `None` in a gallery without accounts.
    pub session: Option<Session>,
    /// What their forms carry.
    pub token: String,
}

/// Anybody who asks: signed in or not.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The visitor they are, when they are signed in or there are no accounts.
    pub visitor: Option<Visitor>,
    /// Where they ask from.
    pub client: Client,
    /// The value of their session cookie, whether or not it is good for anything.
    pub session_cookie: Option<String>,
}

impl FromRequest for Guest {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        async move {
            let site = site(&request)?;
            let session_cookie = site.cookies.read(&request, Name::Session);
            let visitor = if site.accounts.offers().is_none() {
                let token = anonymous_token(&request, &site)?;
                Some(Visitor { owner: Owner::anonymous(), session: None, token })
            } else {
                match &session_cookie {
                    Some(cookie) => {
                        // This page asks by itself as long as it is open.
                        let session = if request.path() == super::changes::PATH {
                            site.accounts.session_unused(cookie).await?
                        } else {
                            site.accounts.session(cookie).await?
                        };
                        session.map(|session| Visitor {
                            owner: session.person.owner.clone(),
                            session: Some(session),
                            token: site.accounts.form_token(cookie),
                        })
                    }
                    None => None,
                }
            };
            if let Some(visitor) = &visitor {
                request.extensions_mut().insert(visitor.clone());
            }
            Ok(Self { visitor, client: client(&request, &site), session_cookie })
        }
        .boxed_local()
    }
}

impl FromRequest for Visitor {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    /// [`Error::SignIn`] for somebody who is not signed in where there are accounts.
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        Guest::from_request(request, payload).map(|guest| guest?.visitor.ok_or(Error::SignIn)).boxed_local()
    }
}

/// A `Set-Cookie` among a request's extensions, to go out with the page.
#[derive(Clone, Debug)]
pub struct NewDevice(pub String);

/// The token of forms in a gallery without accounts: bound to the browser, which gets a device cookie when it has none.
fn anonymous_token(request: &HttpRequest, site: &Site) -> Result<String, Error> {
    if let Some(device) = site.cookies.read(request, Name::Device) {
        return Ok(site.accounts.form_token(&device));
    }
    let device = site.accounts.new_device()?;
    let cookie = site.cookies.set(Name::Device, &device, DEVICE_LASTS).to_string();
    request.extensions_mut().insert(NewDevice(cookie));
    Ok(site.accounts.form_token(device.expose_secret()))
}

/// Whether `token` is what the forms of this browser's pages carry.
pub(crate) fn knows_token(request: &HttpRequest, site: &Site, token: &str) -> bool {
    [Name::Session, Name::Device]
        .into_iter()
        .filter_map(|name| site.cookies.read(request, name))
        .any(|cookie| site.accounts.knows_token(&cookie, token))
}

/// Why a request is not carried out that neither tells where it comes from nor carries a token.
pub(crate) fn tokenless() -> Error {
    Error::refused(
        Kind::Forbidden,
        "This request does not tell where it comes from. Please send it from a page of this gallery, loaded anew; a program sends the \
         header `Sec-Fetch-Site: none`.",
    )
}

/// The longest that is kept of what a browser calls itself, in characters.
const AGENT_CHARS: usize = 200;

/// What a header says; what others have written into it in no known encoding takes nothing away from the rest.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// The address a request comes from, as far as trusted proxies tell it.
pub(crate) fn client_address(request: &HttpRequest, site: &Site) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
    let forwarded: Vec<_> = request.headers().get_all("x-forwarded-for").map(text).collect();
    let lines: Vec<&str> = forwarded.iter().map(AsRef::as_ref).collect();
    address(peer, &lines, &site.trusts)
}

/// Where a request comes from.
fn client(request: &HttpRequest, site: &Site) -> Client {
    let address = client_address(request, site);
    let agent = request.headers().get(header::USER_AGENT).map(text).unwrap_or_default();
    Client {
        address,
        agent: plain_line(&agent).chars().take(AGENT_CHARS).collect(),
        device: site.cookies.read(request, Name::Device),
        sign_in: site.cookies.read(request, Name::SignIn),
    }
}

/// The peer's address or, as long as it is a trusted proxy's, what that proxy says is before it: the right-most of `X-Forwarded-For`, whose
/// lines are `forwarded`, that is no proxy. What stands further left, anybody may have written.
fn address(peer: IpAddr, forwarded: &[&str], trusts: &dyn Fn(IpAddr) -> bool) -> IpAddr {
    let mut address = peer.to_canonical();
    let hops: Vec<&str> = forwarded.iter().flat_map(|line| line.split(',')).map(str::trim).collect();
    for hop in hops.into_iter().rev() {
        if !trusts(address) {
            break;
        }
        let Some(next) = host(hop) else { break };
        address = next.to_canonical();
    }
    address
}

/// The address of a hop, which some proxies write with a port.
fn host(hop: &str) -> Option<IpAddr> {
    let bracketed = hop.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    let address = hop.parse().or_else(|_| bracketed.unwrap_or(hop).parse());
    address.ok().or_else(|| Some(hop.parse::<SocketAddr>().ok()?.ip()))
}

fn site(request: &HttpRequest) -> Result<web::Data<Site>, Error> {
    let site = request.app_data::<web::Data<Site>>();
    site.cloned().ok_or_else(|| Error::Internal(anyhow::anyhow!("the server was made without its site")))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::address;

    /// Where a request comes from whose peer is `peer`, when 10.0.0.0/8 are trusted proxies.
    fn seen(peer: &str, forwarded: &[&str]) -> String {
        let trusts = |address: IpAddr| matches!(address, IpAddr::V4(address) if address.octets()[0] == 10);
        address(peer.parse().expect("an address"), forwarded, &trusts).to_string()
    }

    #[test]
    fn what_a_stranger_says_of_its_address_counts_for_nothing() {
        assert_eq!(seen("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(seen("192.0.2.9", &["10.0.0.1", "198.51.100.1, 10.0.0.1"]), "192.0.2.9");
    }

    #[test]
    fn behind_trusted_proxies_the_right_most_other_address_counts() {
        assert_eq!(seen("10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, 192.0.2.1"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1, 192.0.2.1, 10.2.3.4"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["1.1.1.1", "192.0.2.1,10.2.3.4"]), "192.0.2.1", "lines are one list");
        assert_eq!(seen("10.0.0.1", &["10.0.0.7"]), "10.0.0.7");
        assert_eq!(seen("::ffff:10.0.0.1", &["::ffff:192.0.2.1"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["192.0.2.1:4711"]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::1]:4711"]), "2001:db8::1");
    }

    #[test]
    fn behind_a_proxy_that_says_nothing_sensible_the_proxy_counts() {
        for forwarded in ["", "unknown", "192.0.2.1 192.0.2.2", "1.1.1.1, nonsense", "1.1.1.1,", "999.1.1.1"] {
            assert_eq!(seen("10.0.0.1", &[forwarded]), "10.0.0.1", "{forwarded}");
        }
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
    }
}
