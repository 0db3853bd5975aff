//! `POST /photos`: uploads, as a form or by script.

use std::{
    io,
    pin::pin,
    time::{Duration, Instant},
};

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    error::PayloadError,
    http::header,
    web::{self, Bytes},
};
use askama::Template;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::time::timeout;

use super::{
    Frame, Site, Visitor,
    json::PhotoJson,
    json_with_status, page_with_status, prefers_json,
    problem::{Problem, request_id},
    see_other, sentence,
    visitor::{Name, knows_token, tokenless},
};
use crate::{
    album::{Received, Upload},
    error::{Error, Kind, causes},
    photo::{Description, FileName, size},
};

/// What became of one file of a form.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The file's name.
    pub file: String,
    /// URL of the photo, when there is one.
    pub photo: Option<String>,
    /// Whether the photo was there before.
    pub already_here: bool,
    /// Why the file was refused, if it was.
    pub problem: Option<String>,
}

/// The form again, with what became of each file.
#[derive(Clone, Debug, Template)]
#[template(path = "upload.html")]
pub struct UploadPage {
    /// The frame.
    pub frame: Frame,
    /// What became of each file, in the order of the form; empty when nothing was sent yet.
    pub outcomes: Vec<Outcome>,
    /// The description sent with them.
    pub description: String,
    /// The largest upload in bytes.
    pub max_bytes: u64,
}

/// What uploads are held to.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The largest file, in bytes.
    pub max_bytes: u64,
    /// The largest request, in bytes.
    pub max_request_bytes: u64,
    /// The most files in one request.
    pub max_files: usize,
    /// The longest silence within a body.
    pub idle: Duration,
    /// The least average speed of a body once it has taken longer than `idle`, in bytes a second.
    pub min_bytes_per_second: u64,
}

/// Where uploads go.
pub const PATH: &str = "/photos";

/// Stands among the extensions of an upload that does not tell where it comes from: its form must carry the token before any file.
#[derive(Clone, Copy, Debug)]
pub struct TokenWanted;

/// How many photos of one request are kept at once.
const AT_ONCE: usize = 4;
/// How many parts beside files a form may have.
const MAX_OTHER_PARTS: usize = 16;

impl Bounds {
    /// The body of a request, ending with an error when it comes too slowly.
    fn paced(&self, body: web::Payload) -> impl Stream<Item = Result<Bytes, PayloadError>> + use<> {
        let (idle, least) = (self.idle, self.min_bytes_per_second);
        stream::unfold((body, Duration::ZERO, 0_u64), move |(mut body, waited, came)| async move {
            let began = Instant::now();
            let piece = timeout(idle, body.next()).await;
            let waited = waited + began.elapsed();
            let slow = || Err(PayloadError::Io(io::ErrorKind::TimedOut.into()));
            let piece = match piece {
                Err(_) => slow(),
                Ok(None) => return None,
                Ok(Some(Ok(_))) if waited > idle && came < least.saturating_mul(waited.as_secs()) => slow(),
                Ok(Some(piece)) => piece,
            };
            let came = came + piece.as_ref().map_or(0, |piece| piece.len() as u64);
            Some((piece, (body, waited, came)))
        })
        .fuse()
    }

    /// The whole body of a small form, of at most `limit` bytes.
    pub(crate) async fn small_body(
        &self,
        request: &HttpRequest,
        body: web::Payload,
        limit: usize,
    ) -> Result<Vec<u8>, Error> {
        refuse_encoded(request)?;
        let mut pieces = pin!(self.paced(body));
        let mut whole = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| broken(&error))?;
            if whole.len() + piece.len() > limit {
                return Err(Error::refused(
                    Kind::TooLarge,
                    format!("The text is longer than the {limit} bytes this form takes."),
                ));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}

/// A body that did not come whole.
fn broken(error: &PayloadError) -> Error {
    match error {
        PayloadError::Io(cause) if cause.kind() == io::ErrorKind::TimedOut => Error::refused(
            Kind::Slow,
            "The upload came too slowly and was given up. Please try again on a better connection.",
        ),
        PayloadError::Overflow => Error::refused(Kind::TooLarge, "A part of the form has headers that are too long."),
        _ => Error::refused(Kind::Malformed, "The upload was cut short. Please send it again."),
    }
}

/// A form that cannot be read.
fn unreadable(error: MultipartError) -> Error {
    match error {
        MultipartError::Payload(error) => broken(&error),
        MultipartError::ContentTypeMissing
        | MultipartError::ContentTypeParse
        | MultipartError::ContentTypeIncompatible => {
            Error::refused(Kind::Type, "Photos are sent as a form of type multipart/form-data.")
        }
        MultipartError::Incomplete => {
            Error::refused(Kind::Malformed, "The upload was cut short. Please send it again.")
        }
        other => {
            Error::refused(Kind::Malformed, format!("The form cannot be read: {}.", lower_first(&other.to_string())))
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// A body of compressed content could unfold without bound.
fn refuse_encoded(request: &HttpRequest) -> Result<(), Error> {
    match request.headers().get(header::CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => Err(Error::refused(Kind::Type, "The request must not be compressed.")),
        _ => Ok(()),
    }
}

/// A file of the form, come whole or refused.
struct Sent {
    name: FileName,
    upload: Result<Upload, Error>,
}

/// Takes photos in. Each file is judged by itself; the answer has a line for each.
pub async fn receive(
    request: HttpRequest,
    site: web::Data<Site>,
    visitor: Visitor,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let (sent, description) = read(&request, &site, body).await?;
    still_signed_in(&request, &site, &visitor).await?;
    let description: Description = description
        .parse()
        .map_err(|malformed: crate::photo::Malformed| Error::refused(Kind::Content, sentence(malformed)))?;
    let keeping = sent.into_iter().map(|Sent { name, upload }| {
        let (site, owner, description) = (&site, &visitor.owner, description.clone());
        async move {
            let kept = match upload {
                Ok(upload) => site.album.keep(owner, upload, description).await,
                Err(error) => Err(error),
            };
            (name, kept)
        }
    });
    let kept: Vec<(FileName, Result<Received, Error>)> = stream::iter(keeping).buffered(AT_ONCE).collect().await;
    for (name, error) in kept.iter().filter_map(|(name, kept)| Some((name, kept.as_ref().err()?))) {
        if error.status() >= 500 {
            tracing::error!(
                file = name.as_str(),
                request_id = request_id(&request),
                error = causes(error),
                "an upload failed"
            );
        }
    }
    let mut response = if prefers_json(&request) {
        answer_json(&site, &kept).await?
    } else {
        answer_html(&site, &visitor, &kept, &description).await?
    };
    if let Some(wait) = kept.iter().filter_map(|(_, kept)| kept.as_ref().err()?.retry_after()).max() {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(wait.as_secs().max(1)));
    }
    Ok(response)
}

/// A body may come for hours: whoever has signed out meanwhile, or deleted their account, keeps nothing.
async fn still_signed_in(request: &HttpRequest, site: &Site, visitor: &Visitor) -> Result<(), Error> {
    let Some(session) = &visitor.session else { return Ok(()) };
    let cookie = site.cookies.read(request, Name::Session).unwrap_or_default();
    let now = site.accounts.session(&cookie).await?;
    if now.is_some_and(|now| now.handle == session.handle) { Ok(()) } else { Err(Error::SignIn) }
}

/// The status of one file.
fn status(kept: &Result<Received, Error>) -> u16 {
    match kept {
        Ok(Received::New(_)) => 201,
        Ok(Received::AlreadyHere(_)) => 200,
        Err(error) => error.status(),
    }
}

/// The single file's status, or 207 for several.
fn common_status(kept: &[(FileName, Result<Received, Error>)]) -> u16 {
    match kept {
        [(_, kept)] => status(kept),
        _ => 207,
    }
}

/// One line of the answer to a program.
#[derive(Serialize)]
struct ResultJson {
    file: String,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    photo: Option<PhotoJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// The answer to a program.
#[derive(Serialize)]
struct ResultsJson {
    results: Vec<ResultJson>,
}

async fn answer_json(site: &Site, kept: &[(FileName, Result<Received, Error>)]) -> Result<HttpResponse, Error> {
    let mut results = Vec::with_capacity(kept.len());
    for (name, kept) in kept {
        let (photo, problem) = match kept {
            Ok(received) => (Some(PhotoJson::one(site, received.photo()).await?), None),
            Err(error) => (None, Some(Problem::from(error))),
        };
        results.push(ResultJson { file: name.as_str().to_owned(), status: status(kept), photo, problem });
    }
    Ok(json_with_status(&ResultsJson { results }, common_status(kept)))
}

async fn answer_html(
    site: &Site,
    visitor: &Visitor,
    kept: &[(FileName, Result<Received, Error>)],
    description: &Description,
) -> Result<HttpResponse, Error> {
    if let [(_, Ok(Received::AlreadyHere(photo)))] = kept {
        return see_other(&format!("/photos/{}", photo.id));
    }
    if kept.iter().all(|(_, kept)| kept.is_ok()) {
        return see_other("/photos");
    }
    let outcome = |(name, kept): &(FileName, Result<Received, Error>)| Outcome {
        file: name.as_str().to_owned(),
        photo: kept.as_ref().ok().map(|received| format!("/photos/{}", received.photo().id)),
        already_here: matches!(kept, Ok(Received::AlreadyHere(_))),
        problem: kept.as_ref().err().map(ToString::to_string),
    };
    let page = UploadPage {
        frame: Frame::of(site, visitor).await?,
        outcomes: kept.iter().map(outcome).collect(),
        description: description.as_str().to_owned(),
        max_bytes: site.uploads.max_bytes,
    };
    page_with_status(&page, common_status(kept))
}

/// Reads the form to its end: the files into temporary files, the description into memory.
async fn read(request: &HttpRequest, site: &Site, body: web::Payload) -> Result<(Vec<Sent>, String), Error> {
    let bounds = &site.uploads;
    refuse_encoded(request)?;
    let announced =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > bounds.max_request_bytes) {
        return Err(request_too_large(bounds));
    }
    let mut form = Multipart::new(request.headers(), bounds.paced(body));
    let (mut sent, mut description, mut others) = (Vec::new(), None, 0);
    let mut proven = request.extensions().get::<TokenWanted>().is_none();
    let mut left = bounds.max_request_bytes;
    while let Some(part) = form.next().await {
        let mut part = part.map_err(unreadable)?;
        let (field, file_name) = {
            let disposition = part.content_disposition();
            let name = disposition.and_then(|d| d.get_name()).unwrap_or_default().to_owned();
            let file = disposition.and_then(|d| {
                d.get_filename_ext()
                    .map(|n| String::from_utf8_lossy(&n.value).into_owned())
                    .or_else(|| d.get_filename().map(unescaped))
            });
            (name, file)
        };
        if field == "photo" {
            if !proven {
                return Err(tokenless());
            }
            let name = FileName::new(file_name.as_deref().unwrap_or_default());
            if sent.len() >= bounds.max_files {
                return Err(Error::refused(
                    Kind::TooLarge,
                    format!(
                        "At most {} files can be sent at once. Please send them in smaller groups.",
                        bounds.max_files
                    ),
                ));
            }
            let upload = file(site, &mut part, file_name.as_deref().unwrap_or_default(), &mut left).await?;
            let nothing_chosen =
                file_name.as_deref() == Some("") && upload.as_ref().is_ok_and(|upload| upload.bytes() == 0);
            if !nothing_chosen {
                sent.push(Sent { name, upload });
            }
            continue;
        }
        others += 1;
        if others > MAX_OTHER_PARTS {
            return Err(Error::refused(Kind::TooLarge, "The form has too many fields."));
        }
        let value = small(&mut part, &mut left, bounds).await?;
        proven |= field == "token" && str::from_utf8(&value).is_ok_and(|token| knows_token(request, site, token));
        if field == "description" && description.replace(value).is_some() {
            return Err(Error::refused(Kind::Malformed, "The form has two descriptions; it may have one."));
        }
    }
    if !proven {
        return Err(tokenless());
    }
    if sent.is_empty() {
        return Err(Error::refused(
            Kind::Malformed,
            "No file was sent. Please choose at least one photo (field `photo`).",
        ));
    }
    let description = String::from_utf8(description.unwrap_or_default())
        .map_err(|_| Error::refused(Kind::Malformed, "The description is not valid UTF-8."))?;
    Ok((sent, description))
}

/// Reads a file's part to its end. The outer error ends the request, the inner one refuses this file only.
async fn file(site: &Site, part: &mut Field, name: &str, left: &mut u64) -> Result<Result<Upload, Error>, Error> {
    let mut receiving = site.album.receive(name);
    while let Some(piece) = part.next().await {
        let piece = piece.map_err(unreadable)?;
        *left = left.checked_sub(piece.len() as u64).ok_or_else(|| request_too_large(&site.uploads))?;
        if let Ok(file) = &mut receiving
            && let Err(error) = file.write(&piece).await
        {
            receiving = Err(error);
        }
    }
    Ok(match receiving {
        Ok(receiving) => receiving.finish().await,
        Err(error) => Err(error),
    })
}

/// Reads a small field.
async fn small(part: &mut Field, left: &mut u64, bounds: &Bounds) -> Result<Vec<u8>, Error> {
    const MAX_FIELD_BYTES: usize = 64 << 10;
    let mut value = Vec::new();
    while let Some(piece) = part.next().await {
        let piece = piece.map_err(unreadable)?;
        *left = left.checked_sub(piece.len() as u64).ok_or_else(|| request_too_large(bounds))?;
        if value.len() + piece.len() > MAX_FIELD_BYTES {
            return Err(Error::refused(Kind::TooLarge, "A field of the form is too long."));
        }
        value.extend_from_slice(&piece);
    }
    Ok(value)
}

fn request_too_large(bounds: &Bounds) -> Error {
    Error::refused(
        Kind::TooLarge,
        format!(
            "The files together are larger than the {} that can be sent at once. Please send them in smaller groups.",
            size(bounds.max_request_bytes)
        ),
    )
}

/// A file name as browsers put it into a form: quotes and line breaks escaped, nothing else.
fn unescaped(name: &str) -> String {
    name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}
