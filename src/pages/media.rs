//! `/media/...`: where the signed links of a store on this machine's disk lead.

use actix_files::NamedFile;
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web,
};

use super::{Site, parameter};
use crate::error::Error;

/// Where these links begin.
pub const BASE: &str = "/media";

/// Serves the linked bytes, with ranges and entity tags. A forged or expired link is like an unknown one.
pub async fn serve(request: HttpRequest, site: web::Data<Site>) -> Result<HttpResponse, Error> {
    let media = site.album.media(parameter(&request, "path"), request.query_string()).ok_or(Error::NotFound)?;
    let path = media.file.clone();
    let opened = web::block(move || NamedFile::open(path)).await.map_err(|cause| Error::Internal(cause.into()))?;
    let file = match opened {
        Ok(file) => file,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Err(Error::NotFound),
        Err(cause) => return Err(Error::outside(cause.into())),
    };
    let kind = media.media_type.mime().parse().unwrap_or(mime::APPLICATION_OCTET_STREAM);
    let mut response = file.set_content_type(kind).disable_content_disposition().into_response(&request);
    let headers = response.headers_mut();
    if let Ok(disposition) = HeaderValue::from_str(&media.disposition.header()) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    // The bytes never change, but nobody need keep them for longer than the link works.
    let seconds = (media.expires - site.album.now()).num_seconds().max(0);
    if let Ok(keep) = HeaderValue::from_str(&format!("private, max-age={seconds}, immutable")) {
        headers.insert(header::CACHE_CONTROL, keep);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    Ok(response)
}
