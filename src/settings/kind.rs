//! What a setting may hold: how its text or TOML value is read, and the sentence that says what is allowed.

use std::net::IpAddr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use toml::Value;
use url::Url;

use super::network::Network;

/// What is printed in a secret's place, and refused as a secret.
pub(super) const MASK: &str = "********";

/// What values a setting takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A whole number within these bounds, both included.
    Whole(i64, i64),
    /// A number from 0 to 100.
    Percent,
    /// `true` or `false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A name on one line.
    Name,
    /// A file or folder.
    Path,
    /// An IP address.
    Address,
    /// A list of IP addresses and networks.
    Networks,
    /// A host name or IP address without a port.
    Host,
    /// Scheme, host and port of a website.
    Origin,
    /// The URL of a service.
    Endpoint,
    /// An S3 bucket's name.
    Bucket,
    /// An AWS region's name.
    Region,
    /// The ARN of an SNS topic.
    Topic,
    /// A Cognito user pool's id.
    Pool,
    /// A host, or scheme, host and port, of a website.
    Domain,
    /// A filter of log events.
    Filter,
    /// A text that is never shown.
    Secret,
    /// A private key, which is never shown and may have several lines.
    Key,
}

impl Kind {
    /// The value that an environment variable's text stands for; `None` when that is not allowed.
    pub(super) fn read_text(self, text: &str) -> Option<Value> {
        let value = match self {
            Self::Whole(..) => Value::Integer(text.trim().parse().ok()?),
            Self::Percent => Value::Float(text.trim().parse().ok()?),
            Self::Flag => Value::Boolean(text.trim().parse().ok()?),
            Self::Networks => text.split(',').map(|one| Value::from(one.trim())).collect::<Vec<_>>().into(),
            _ => Value::from(text),
        };
        self.read_toml(value)
    }

    /// The value in the one form that [`super::Settings`] takes; `None` when it is not allowed.
    pub(super) fn read_toml(self, value: Value) -> Option<Value> {
        match (self, value) {
            (Self::Whole(least, most), Value::Integer(number)) => {
                (least..=most).contains(&number).then_some(Value::Integer(number))
            }
            (Self::Percent, Value::Integer(number)) => {
                i8::try_from(number).ok().and_then(|n| self.read_toml(Value::Float(f64::from(n))))
            }
            (Self::Percent, Value::Float(number)) => (0.0..=100.0).contains(&number).then_some(Value::Float(number)),
            (Self::Flag, Value::Boolean(flag)) => Some(Value::Boolean(flag)),
            (Self::Networks, Value::Array(networks)) => networks
                .iter()
                .map(|one| Some(Value::from(one.as_str()?.parse::<Network>().ok()?.to_string())))
                .collect::<Option<Vec<_>>>()
                .map(Value::Array),
            (Self::Whole(..) | Self::Percent | Self::Flag | Self::Networks, _) => None,
            (_, Value::String(text)) => self.read_string(text).map(Value::String),
            _ => None,
        }
    }

    fn read_string(self, text: String) -> Option<String> {
        let all = |allowed: fn(char) -> bool| text.chars().all(allowed);
        let breaks = |c: char| matches!(c, '\n' | '\r') && matches!(self, Self::Key);
        let fits = !text.is_empty() && !text.chars().any(|c| c.is_control() && !breaks(c));
        let fits = fits
            && match self {
                Self::Word(words) => words.contains(&text.as_str()),
                Self::Address => text.parse::<IpAddr>().is_ok(),
                Self::Host => {
                    let name = text.len() <= 253 && all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
                    name || text.parse::<IpAddr>().is_ok()
                }
                Self::Origin | Self::Endpoint => return self.read_url(&text),
                Self::Bucket => {
                    (3..=63).contains(&text.len())
                        && all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-'))
                }
                Self::Region => text.len() <= 40 && all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                Self::Topic => {
                    let parts: Vec<&str> = text.split(':').collect();
                    let sns = matches!(parts.as_slice(), ["arn", _, "sns", _, _, _]) && !parts.contains(&"");
                    sns && all(|c| c.is_ascii_graphic())
                }
                Self::Pool => text.split_once('_').is_some_and(|(region, pool)| {
                    let named = |part: &str, hyphen| {
                        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || hyphen && b == b'-')
                    };
                    text.len() <= 55 && named(region, true) && named(pool, false)
                }),
                Self::Domain => {
                    let url = if text.contains("://") { text } else { format!("https://{text}") };
                    return Self::Origin.read_url(&url);
                }
                Self::Filter => tracing_subscriber::EnvFilter::try_new(&text).is_ok(),
                Self::Key => return read_key(&text),
                Self::Secret => text != MASK,
                Self::Name | Self::Path => true,
                Self::Whole(..) | Self::Percent | Self::Flag | Self::Networks => false,
            };
        fits.then_some(text)
    }

    /// A website's address without a slash at its end.
    fn read_url(self, text: &str) -> Option<String> {
        let url = Url::parse(text).ok()?;
        let web = matches!(url.scheme(), "http" | "https") && url.has_host();
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && (url.path() == "/" || matches!(self, Self::Endpoint));
        (web && bare).then(|| url.as_str().trim_end_matches('/').to_owned())
    }

    /// What is allowed, to follow the words "allowed is".
    pub(super) fn allowed(self) -> String {
        match self {
            Self::Whole(least, most) => format!("a whole number from {least} to {most}"),
            Self::Percent => "a number from 0 to 100, in percent".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Word(words) => words.join(" or "),
            Self::Name => "a text on one line".to_owned(),
            Self::Path => "the path of a file or folder".to_owned(),
            Self::Address => "an IP address, like 127.0.0.1".to_owned(),
            Self::Networks => {
                "a list of IP addresses and networks, like [\"10.1.0.0/16\"] (in a variable: separated by commas)"
                    .to_owned()
            }
            Self::Host => "a host name or an IP address, without a port".to_owned(),
            Self::Origin => "http:// or https:// with a host and perhaps a port, and no path".to_owned(),
            Self::Endpoint => "an http:// or https:// URL without user, query and fragment".to_owned(),
            Self::Bucket => "the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens".to_owned(),
            Self::Region => "the name of an AWS region, like us-west-2".to_owned(),
            Self::Topic => "the ARN of an SNS topic, like arn:aws:sns:us-west-2:123456789012:uploads-topic".to_owned(),
            Self::Pool => "the id of a user pool, like us-west-2_AbCdEfGhI".to_owned(),
            Self::Domain => {
                "a host name, like photos.auth.us-west-2.amazoncognito.com, or http:// or https:// with a host and perhaps a port"
                    .to_owned()
            }
            Self::Filter => {
                "a level (error, warn, info, debug, trace), or levels by module: info,photo_gallery=debug".to_owned()
            }
            Self::Secret => format!("a text on one line that is not the mask {MASK}"),
            Self::Key => {
                "a private key as PKCS #8 in PEM (-----BEGIN PRIVATE KEY-----; `openssl pkcs8 -topk8 -nocrypt` makes one of other PEM), or the \
                 Base64 between its marks"
                    .to_owned()
            }
        }
    }

    /// Whether a refused value may hold something that no log should show.
    pub(super) fn is_delicate(self) -> bool {
        self.is_secret() || matches!(self, Self::Origin | Self::Endpoint | Self::Domain)
    }

    /// Whether the value is never shown.
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Key)
    }
}

/// The Base64 of a private key in PEM, also with its line breaks as blanks or `\n`, or of one that is without its marks already.
fn read_key(text: &str) -> Option<String> {
    let text = text.replace("\\n", "\n");
    let inside = match text.split_once("-----BEGIN PRIVATE KEY-----") {
        Some((_, rest)) => rest.split_once("-----END PRIVATE KEY-----")?.0,
        None => &text,
    };
    let base64: String = inside.split_whitespace().collect();
    let der = BASE64_STANDARD.decode(&base64).ok()?;
    (!der.is_empty()).then_some(base64)
}
