//! `/static/...`: style sheets, scripts and icons, carried in the binary under names that hold their hash.

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

/// All static files by the name in their URL, made with the first that is asked for.
static ASSETS: LazyLock<HashMap<String, Asset>> =
    LazyLock::new(|| Files::iter().filter_map(|name| Some((hashed(&name)?, asset_of(&name)?))).collect());

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

/// Serves a static file for a year: another content has another name.
pub async fn serve(request: HttpRequest) -> Result<HttpResponse, Error> {
    let asset = ASSETS.get(parameter(&request, "name")).ok_or(Error::NotFound)?;
    Ok(answer(&request, asset, "public, max-age=31536000, immutable"))
}

/// Serves the icon under the address that browsers ask by themselves.
pub async fn favicon(request: HttpRequest) -> Result<HttpResponse, Error> {
    let asset = hashed("favicon.png").and_then(|name| ASSETS.get(&name)).ok_or(Error::NotFound)?;
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
