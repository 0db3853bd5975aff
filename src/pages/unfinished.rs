//! `/unfinished`: what could not be finished, with the reasons, and what is under way.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde::{Deserialize, Serialize};

use super::{
    Frame, Site, Visitor,
    form::Fields,
    gallery::Picture,
    json::{PhotoJson, UnfinishedJson},
    json_with_status, prefers_json, see_other, sentence,
};
use crate::{
    album::{Backlog, Place},
    catalog::Stage,
    error::{Error, Kind},
    photo::{Photo, Rendition, State, TimelineKey},
};

/// The page's address.
const URL: &str = "/unfinished";

/// A photo that is not finished.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its id.
    pub id: String,
    /// The file's name.
    pub file_name: String,
    /// A signed link to the thumbnail; empty while there is none.
    pub thumb: String,
    /// Upright width in pixels; 0 while unknown.
    pub width: u32,
    /// Upright height in pixels; 0 while unknown.
    pub height: u32,
    /// The thumbhash in base64; empty while unknown.
    pub thumbhash: String,
    /// The average colour, `#rrggbb`.
    pub colour: String,
    /// `stored`, `labelling` or `failed`.
    pub state: &'static str,
    /// Why it failed, or what is done with it.
    pub told: String,
    /// Whether another try may help.
    pub can_be_tried_again: bool,
    /// What is to be said of it when it takes longer than usual; else empty.
    pub delay: String,
    /// Since when it is here, for machines.
    pub since: String,
    /// `20 November 2026, 14:03 UTC`.
    pub since_told: String,
}

/// The page.
#[derive(Clone, Debug, Template)]
#[template(path = "unfinished.html")]
pub struct UnfinishedPage {
    /// The frame.
    pub frame: Frame,
    /// How much there is in all.
    pub unfinished: Backlog,
    /// What has failed, newest first.
    pub failed: Vec<Line>,
    /// What is under way, newest first.
    pub waiting: Vec<Line>,
    /// URL of the next page.
    pub next: Option<String>,
    /// The address of this very page, to come back to.
    pub here: String,
}

/// `?failed=` or `?waiting=`: below which photo of which kind the page begins.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    failed: Option<String>,
    waiting: Option<String>,
}

impl UnfinishedPage {
    /// Whether another try may help any of the failed ones that are shown.
    fn can_be_tried_again(&self) -> bool {
        self.failed.iter().any(|line| line.can_be_tried_again)
    }
}

impl Parameters {
    fn place(&self) -> Result<Option<Place>, Error> {
        let (stage, key) = match (&self.waiting, &self.failed) {
            (Some(key), _) => (Stage::Waiting, key),
            (None, Some(key)) => (Stage::Failed, key),
            (None, None) => return Ok(None),
        };
        let before = (!key.is_empty()).then(|| key.parse::<TimelineKey>()).transpose();
        let before = before.map_err(|malformed| Error::refused(Kind::Malformed, sentence(malformed)))?;
        Ok(Some(Place { stage, before }))
    }
}

fn url(place: Option<&Place>) -> String {
    let Some(Place { stage, before }) = place else { return URL.to_owned() };
    let name = match stage {
        Stage::Failed => "failed",
        Stage::Waiting => "waiting",
    };
    format!("{URL}?{name}={}", before.as_ref().map_or("", TimelineKey::as_str))
}

/// The page in JSON.
#[derive(Serialize)]
struct Listing {
    unfinished: UnfinishedJson,
    /// Failed ones first, then those under way, each newest first.
    photos: Vec<PhotoJson>,
    /// URL of the next page; `null` on the last.
    next: Option<String>,
}

/// What is unfinished, 60 photos a page.
pub async fn list(
    request: HttpRequest,
    site: web::Data<Site>,
    visitor: Visitor,
    parameters: Result<web::Query<Parameters>, actix_web::Error>,
) -> Result<HttpResponse, Error> {
    let parameters =
        parameters.map_err(|_| Error::refused(Kind::Malformed, "The address has a parameter that cannot be read."))?;
    let place = parameters.place()?;
    let page = site.album.unfinished(&visitor.owner, place.as_ref()).await?;
    let unfinished = site.album.unfinishedness(&visitor.owner).await?;
    let next = page.next.as_ref().map(|place| url(Some(place)));
    if prefers_json(&request) {
        let photos = PhotoJson::all(&site, &[page.failed, page.waiting].concat()).await?;
        return Ok(json_with_status(&Listing { unfinished: unfinished.into(), photos, next }, 200));
    }
    super::page(&UnfinishedPage {
        frame: Frame::of(&site, &visitor).await?,
        unfinished,
        failed: lines(&site, &page.failed).await?,
        waiting: lines(&site, &page.waiting).await?,
        next,
        here: url(place.as_ref()),
    })
}

async fn lines(site: &Site, photos: &[Photo]) -> Result<Vec<Line>, Error> {
    let mut delays = super::json::delays(site, photos).await?;
    let mut lines = Vec::with_capacity(photos.len());
    for photo in photos {
        let thumb = match photo.developed {
            Some(_) => site.album.link(photo, Rendition::Thumb).await?,
            None => String::new(),
        };
        let picture = Picture::of(photo);
        let delay = delays.remove(&photo.id);
        let told = photo.problem.clone().or_else(|| delay.clone()).unwrap_or_else(|| {
            let told = if photo.state() == State::Stored { "Preparing…" } else { "Labelling…" };
            told.to_owned()
        });
        lines.push(Line {
            id: photo.id.to_string(),
            file_name: photo.file_name.as_str().to_owned(),
            thumb,
            width: picture.width,
            height: picture.height,
            thumbhash: picture.thumbhash,
            colour: picture.colour,
            state: picture.state,
            told,
            can_be_tried_again: photo.can_be_tried_again(),
            delay: delay.unwrap_or_default(),
            since: photo.created_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            since_told: photo.created_at.format("%-d %B %Y, %H:%M UTC").to_string(),
        });
    }
    Ok(lines)
}

/// What giving all failed photos another try came to.
#[derive(Serialize)]
struct Retried {
    retried: u64,
}

/// Gives everything that has failed another try.
pub async fn retry_all(
    request: HttpRequest,
    site: web::Data<Site>,
    visitor: Visitor,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    Fields::read(&request, &site, body).await?;
    let retried = site.album.retry_all(&visitor.owner).await?;
    if prefers_json(&request) { Ok(json_with_status(&Retried { retried }, 200)) } else { see_other(URL) }
}

/// Leads those to the page who ask for its form's address.
pub async fn back(_: Visitor) -> Result<HttpResponse, Error> {
    see_other(URL)
}
