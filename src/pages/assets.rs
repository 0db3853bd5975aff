//! `/static/...`: style sheets, scripts and icons, carried in the binary under names that hold their hash.

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

/// The URL of a static file, for templates: `asset("gallery.css")` is `/static/gallery.1a2b3c4d5e6f7a8b.css`.
pub fn asset(name: &str) -> String {
    let Some(file) = Files::get(name) else { return format!("/static/{name}") };
    let hash = &hex::encode(file.metadata.sha256_hash())[..16];
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("/static/{stem}.{hash}.{extension}"),
        None => format!("/static/{name}.{hash}"),
    }
}
