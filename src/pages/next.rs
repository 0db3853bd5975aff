//! Where somebody wanted to go when they were asked to sign in: `?next=`. Only ever a place in this gallery, so that no link to it leads
//! people elsewhere (an open redirect).

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::query_value;

/// A path of this gallery, with its query; `/` where something else was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next(String);

/// The longest that is followed, in bytes.
const MAX_BYTES: usize = 2000;

impl Next {
    /// The front door.
    pub fn home() -> Self {
        Self("/".to_owned())
    }

    /// The place that `text` asks for.
    pub fn new(text: &str) -> Self {
        Self::local(text).map_or_else(Self::home, Self)
    }

    /// `text` as every browser reads it, when that is a path of the same site.
    fn local(text: &str) -> Option<String> {
        let decoded = percent_decode_str(text).decode_utf8().ok()?;
        let odd = |text: &str| {
            text.starts_with("//") || text.contains(['\\', '\u{feff}']) || text.chars().any(char::is_control)
        };
        if text.len() > MAX_BYTES || !text.starts_with('/') || odd(text) || odd(&decoded) {
            return None;
        }
        let base = Url::parse("http://gallery.invalid/").ok()?;
        let url = base.join(text).ok()?;
        let at_home = url.origin() == base.origin() && url.username().is_empty() && url.password().is_none();
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        (at_home && !path.starts_with("//")).then(|| path.to_owned())
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the front door, which need not be told.
    pub fn is_home(&self) -> bool {
        self.0 == "/"
    }

    /// `page` with this place in its query.
    pub fn after(&self, page: &str) -> String {
        let with = if page.contains('?') { '&' } else { '?' };
        if self.is_home() { page.to_owned() } else { format!("{page}{with}next={}", query_value(&self.0)) }
    }
}

impl Default for Next {
    fn default() -> Self {
        Self::home()
    }
}

impl<'de> Deserialize<'de> for Next {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::Next;

    #[test]
    fn next_leads_nowhere_but_into_this_gallery() {
        let long = format!("/{}", "a".repeat(5000));
        for elsewhere in [
            "",
            "photos",
            "//evil",
            "///evil",
            "/\\evil",
            "\\\\evil",
            "\\/evil",
            "https:evil",
            "https://evil",
            "http://ours@evil",
            "/%09/evil",
            "/\t/evil",
            "/%00",
            "/\0",
            "/%0d%0aSet-Cookie:a=b",
            "/\r\nx",
            " /photos",
            "/%2fevil",
            "/%5cevil",
            "%2f%2fevil",
            "/.//evil",
            "/..//evil",
            "/x/..//evil",
            "/%2e//evil",
            "javascript:alert(1)",
            "data:text/html,x",
            "/\u{feff}/evil",
            "@evil",
            "?next=//evil",
            "/%ff",
            &long,
        ] {
            assert_eq!(Next::new(elsewhere).as_str(), "/", "{elsewhere:?}");
        }
    }

    #[test]
    fn next_keeps_the_path_and_the_query_that_were_asked_for() {
        for (asked, kept) in [
            ("/", "/"),
            ("/photos", "/photos"),
            ("/photos?q=sea%20side&label=Dog", "/photos?q=sea%20side&label=Dog"),
            ("/photos?q=http://x//y", "/photos?q=http://x//y"),
            ("/photos/a#b", "/photos/a"),
            ("/photos/ä b", "/photos/%C3%A4%20b"),
            ("/http://evil", "/http://evil"),
            ("/@evil", "/@evil"),
        ] {
            assert_eq!(Next::new(asked).as_str(), kept, "{asked:?}");
        }
    }

    #[test]
    fn a_page_carries_next_in_its_query() {
        assert_eq!(Next::home().after("/login"), "/login");
        assert_eq!(Next::new("/photos?q=a b").after("/login"), "/login?next=%2Fphotos%3Fq%3Da%2520b");
        assert_eq!(Next::new("/labels").after("/login?done=reset"), "/login?done=reset&next=%2Flabels");
    }
}
