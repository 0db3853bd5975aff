//! `/static/...`: style sheets, scripts and icons, carried in the binary under names that hold their hash.
//!
//! While one version takes the place of another, both are asked for the other's files: a page of the one finds its style and scripts at the
//! other. Each answers for any hash with what it has under that name, and lets nobody keep that (a cache on the way may have a
//! least time of its own: 1 s in CloudFront's own policies). So a page may have style and scripts of the
//! version before or after its own, and some of each: what they share is only ever added to, and taken away a version after it was last
//! used. These are class names, ids and `data-` attributes, the events `photos:*` by which scripts tell each other (none imports another),
//! and the JSON of pages. A script passes over what it does not find, and a page does all it can do without any: a file that the other
//! version does not have is missed by nobody for long.

use std::{collections::HashMap, sync::LazyLock};

use actix_web::{HttpRequest, HttpResponse, http::header, web::Bytes};
use rust_embed::RustEmbed;

use super::parameter;
use crate::error::Error;

#[derive(RustEmbed)]
#[folder = "static/"]
#[exclude = ".*"]
struct Files;

/// A static file as it is served.
struct Asset {
    content_type: String,
    etag: String,
    plain: Bytes,
    /// The content in brotli, where that is smaller.
    brotli: Option<Bytes>,
}

/// All static files by their name without hash, made with the first that is asked for.
static ASSETS: LazyLock<HashMap<String, Asset>> =
    LazyLock::new(|| Files::iter().filter_map(|name| Some((name.to_string(), asset_of(&name)?))).collect());

fn hash(file: &rust_embed::EmbeddedFile) -> String {
    hex::encode(&file.metadata.sha256_hash()[..8])
}

/// `gallery.css` as `gallery.1a2b3c4d5e6f7a8b.css`.
fn hashed(name: &str) -> Option<String> {
    let hash = hash(&Files::get(name)?);
    let (stem, extension) = name.rsplit_once('.')?;
    Some(format!("{stem}.{hash}.{extension}"))
}

fn asset_of(name: &str) -> Option<Asset> {
    let file = Files::get(name)?;
    let content_type = match name.rsplit_once('.')?.1 {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    };
    let mut smaller = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams { quality: 11, ..Default::default() };
    let compressed =
        brotli::BrotliCompress(&mut &*file.data, &mut smaller, &parameters).is_ok() && smaller.len() < file.data.len();
    Some(Asset {
        content_type: content_type.to_owned(),
        etag: format!("\"{}\"", hash(&file)),
        plain: Bytes::from(file.data.to_vec()),
        brotli: compressed.then(|| Bytes::from(smaller)),
    })
}

/// The URL of a static file, for templates: `asset("gallery.css")` is `/static/gallery.1a2b3c4d5e6f7a8b.css`.
pub fn asset(name: &str) -> String {
    format!("/static/{}", hashed(name).unwrap_or_else(|| name.to_owned()))
}

/// `gallery.1a2b3c4d5e6f7a8b.css` as `gallery.css` and the hash; `None` where there is none.
fn parted(name: &str) -> Option<(String, &str)> {
    let (rest, extension) = name.rsplit_once('.')?;
    let (stem, hash) = rest.rsplit_once('.')?;
    let is_hash = hash.len() == 16 && hash.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then(|| (format!("{stem}.{extension}"), hash))
}

/// Serves a static file for a year, as another content has another name; and for this once where the name is that of another version's.
pub async fn serve(request: HttpRequest) -> Result<HttpResponse, Error> {
    let (name, hash) = parted(parameter(&request, "name")).ok_or(Error::NotFound)?;
    let asset = ASSETS.get(&name).ok_or(Error::NotFound)?;
    let is_own = asset.etag.trim_matches('"') == hash;
    Ok(answer(&request, asset, if is_own { "public, max-age=31536000, immutable" } else { "no-store" }))
}

/// Serves the icon under the address that browsers ask by themselves.
pub async fn favicon(request: HttpRequest) -> Result<HttpResponse, Error> {
    let asset = ASSETS.get("favicon.png").ok_or(Error::NotFound)?;
    Ok(answer(&request, asset, "public, max-age=86400"))
}

fn answer(request: &HttpRequest, asset: &'static Asset, cache_control: &'static str) -> HttpResponse {
    let header = |name: header::HeaderName| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let known = header(header::IF_NONE_MATCH).split(',').any(|tag| tag.trim().trim_start_matches("W/") == asset.etag);
    let takes_brotli = takes_brotli(header(header::ACCEPT_ENCODING));
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::CACHE_CONTROL, cache_control))
        .insert_header((header::ETAG, asset.etag.as_str()))
        .insert_header((header::VARY, "Accept-Encoding"));
    match &asset.brotli {
        _ if known => response.finish(),
        Some(brotli) if takes_brotli => response
            .content_type(asset.content_type.as_str())
            .insert_header((header::CONTENT_ENCODING, "br"))
            .body(brotli.clone()),
        _ => response.content_type(asset.content_type.as_str()).body(asset.plain.clone()),
    }
}

/// Whether an `Accept-Encoding` takes brotli: named, and not with the weight 0 (RFC 9110, 12.5.3).
fn takes_brotli(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let refused = |part: &str| part.strip_prefix("q=").and_then(|q| q.parse().ok()).is_some_and(|q: f32| q <= 0.0);
        parts.next() == Some("br") && !parts.any(refused)
    })
}

#[cfg(test)]
mod tests {
    use super::takes_brotli;

    #[test]
    fn brotli_is_sent_to_whom_takes_it() {
        for accepted in ["br", "gzip, br", "gzip;q=1.0, br;q=0.8", "br ; q=0.001"] {
            assert!(takes_brotli(accepted), "{accepted}");
        }
        for accepted in ["", "gzip", "br;q=0", "gzip, br;q=0.0", "brotli"] {
            assert!(!takes_brotli(accepted), "{accepted}");
        }
    }
}
