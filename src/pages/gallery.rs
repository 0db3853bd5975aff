//! `/photos`: the timeline by day, filtered by label and search.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Datelike, FixedOffset};
use serde::{Deserialize, Serialize};

use super::{
    Frame, Guest, Site, Visitor, json::PhotoJson, json_with_status, prefers_json, query_value, see_other, sentence,
};
use crate::{
    album::{Backlog, Query},
    error::{Error, Kind},
    photo::{Photo, Rendition, TimelineKey, plain_line},
};

/// A photo in the timeline.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Its id.
    pub id: String,
    /// A signed link to the thumbnail (480 px the longest side, JPEG).
    pub thumb: String,
    /// A signed link to the display rendition (2048 px) of a wide picture; else empty.
    pub display: String,
    /// Upright width in pixels of the original; 0 while unknown (adopted photos before they are developed).
    pub width: u32,
    /// Upright height in pixels; 0 while unknown.
    pub height: u32,
    /// The thumbhash in base64; empty while unknown.
    pub thumbhash: String,
    /// The average colour from the thumbhash, `#rrggbb`, for before scripts run.
    pub colour: String,
    /// What a screen reader says: label names or description, else the file name.
    pub alt: String,
    /// `stored`, `labelling`, `labelled` or `failed`.
    pub state: &'static str,
}

/// The photos of one day.
#[derive(Clone, Debug)]
pub struct Day {
    /// `Friday, 20 November`, with the year when it is not this one.
    pub heading: String,
    /// `2026-11-20`.
    pub date: String,
    /// Its photos, newest first.
    pub tiles: Vec<Tile>,
}

/// The timeline page.
#[derive(Clone, Debug, Template)]
#[template(path = "gallery.html")]
pub struct Gallery {
    /// The frame.
    pub frame: Frame,
    /// The label filtered by, if any.
    pub label: Option<String>,
    /// The days, newest first.
    pub days: Vec<Day>,
    /// URL of the next (older) page.
    pub next: Option<String>,
    /// Whether this is not the first page.
    pub further: bool,
    /// How much is unfinished; told at the beginning of the unfiltered timeline.
    pub unfinished: Backlog,
    /// The largest upload in bytes, for the script that checks before sending.
    pub max_bytes: u64,
}

/// The shape from which on the thumbnail may be too coarse for its tile.
const WIDE: u32 = 48;

/// The shape of a picture as the style sheet knows it: width / height in twenty-fourths, cropped where a row cannot show it.
/// A square while the size is unknown.
pub(super) fn shape(width: u32, height: u32) -> u32 {
    if width == 0 || height == 0 {
        return 24;
    }
    let (width, height) = (u64::from(width), u64::from(height));
    let twenty_fourths = ((width * 24 + height / 2) / height).clamp(10, 60);
    u32::try_from(twenty_fourths).unwrap_or(60)
}

impl Tile {
    /// The number of its shape class, `r36` for 3:2.
    fn shape(&self) -> u32 {
        shape(self.width, self.height)
    }
}

impl Gallery {
    /// Whether this is the beginning of the unfiltered timeline.
    fn whole(&self) -> bool {
        self.label.is_none() && self.frame.q.is_empty() && !self.further
    }

    /// URL of the same search in all labels.
    fn without_label(&self) -> String {
        photos_url(None, Some(&self.frame.q), None)
    }

    /// URL of the same label without the search.
    fn without_q(&self) -> String {
        photos_url(self.label.as_deref(), None, None)
    }

    /// URL of the first page of the same search.
    fn newest(&self) -> String {
        photos_url(self.label.as_deref(), Some(&self.frame.q), None)
    }
}

/// `?before=&label=&q=`.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    before: Option<String>,
    label: Option<String>,
    q: Option<String>,
}

impl Parameters {
    /// What is asked for; empty parameters count as absent.
    fn query(&self) -> Result<Query, Error> {
        let given =
            |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let before = given(&self.before).map(|text| text.parse::<TimelineKey>()).transpose();
        Ok(Query {
            label: given(&self.label),
            text: given(&self.q),
            before: before.map_err(|malformed| Error::refused(Kind::Malformed, sentence(malformed)))?,
        })
    }
}

/// The URL of the timeline with a label, a search and a place to begin after, each where given.
fn photos_url(label: Option<&str>, q: Option<&str>, before: Option<&TimelineKey>) -> String {
    let fields = [("label", label), ("q", q), ("before", before.map(TimelineKey::as_str))];
    let given = fields.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    let query: Vec<String> = given.map(|(name, value)| format!("{name}={}", query_value(value))).collect();
    if query.is_empty() { "/photos".to_owned() } else { format!("/photos?{}", query.join("&")) }
}

/// The URL of all photos with a label.
pub fn label_url(name: &str) -> String {
    photos_url(Some(name), None, None)
}

/// The front door leads to the timeline, and those who are not signed in to the page for that.
pub async fn root(guest: Guest) -> Result<HttpResponse, Error> {
    see_other(if guest.visitor.is_some() { "/photos" } else { "/login" })
}

/// The timeline in JSON.
#[derive(Serialize)]
struct Listing {
    photos: Vec<PhotoJson>,
    /// URL of the next (older) page; `null` on the last.
    next: Option<String>,
}

/// The timeline, 60 photos a page.
pub async fn list(
    request: HttpRequest,
    site: web::Data<Site>,
    visitor: Visitor,
    parameters: Result<web::Query<Parameters>, actix_web::Error>,
) -> Result<HttpResponse, Error> {
    let parameters =
        parameters.map_err(|_| Error::refused(Kind::Malformed, "The address has a parameter that cannot be read."))?;
    let query = parameters.query()?;
    let page = site.album.page(&visitor.owner, &query).await?;
    let next = page.next.as_ref().map(|key| photos_url(query.label.as_deref(), query.text.as_deref(), Some(key)));
    if prefers_json(&request) {
        let photos = PhotoJson::all(&site, &page.photos).await?;
        return Ok(json_with_status(&Listing { photos, next }, 200));
    }
    let mut frame = Frame::of(&site, &visitor).await?;
    frame.q = query.text.clone().unwrap_or_default();
    let mut gallery = Gallery {
        frame,
        days: days(&site, &page.photos).await?,
        next,
        further: query.before.is_some(),
        unfinished: Backlog::default(),
        label: query.label,
        max_bytes: site.uploads.max_bytes,
    };
    if gallery.whole() {
        gallery.unfinished = site.album.unfinishedness(&visitor.owner).await?;
    }
    super::page(&gallery)
}

/// Photos grouped by the day under which they are shown, newest day first, each day once: photos follow one another by the moment,
/// and between cameras whose clocks tell different offsets a day can come back.
async fn days(site: &Site, photos: &[Photo]) -> Result<Vec<Day>, Error> {
    let this_year = site.album.now().year();
    let mut days: Vec<Day> = Vec::new();
    for photo in photos {
        let shown = photo.shown_at();
        let date = shown.format("%Y-%m-%d").to_string();
        let tile = tile(site, photo).await?;
        let place = days.partition_point(|day| day.date > date);
        match days.get_mut(place) {
            Some(day) if day.date == date => day.tiles.push(tile),
            _ => days.insert(place, Day { heading: heading(&shown, this_year), date, tiles: vec![tile] }),
        }
    }
    Ok(days)
}

/// The day as people say it: without the year while it is this one.
fn heading(day: &DateTime<FixedOffset>, this_year: i32) -> String {
    let format = if day.year() == this_year { "%A, %-d %B" } else { "%A, %-d %B %Y" };
    day.format(format).to_string()
}

async fn tile(site: &Site, photo: &Photo) -> Result<Tile, Error> {
    let thumb = match photo.developed {
        Some(_) => site.album.link(photo, Rendition::Thumb).await?,
        None => String::new(),
    };
    let picture = Picture::of(photo);
    let display = match photo.developed {
        Some(_) if shape(picture.width, picture.height) > WIDE => site.album.link(photo, Rendition::Display).await?,
        _ => String::new(),
    };
    Ok(Tile {
        id: photo.id.to_string(),
        thumb,
        display,
        width: picture.width,
        height: picture.height,
        thumbhash: picture.thumbhash,
        colour: picture.colour,
        alt: picture.alt,
        state: picture.state,
    })
}

/// What tiles and the photo page say of a picture alike.
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) thumbhash: String,
    pub(super) colour: String,
    pub(super) alt: String,
    pub(super) state: &'static str,
}

impl Picture {
    pub(super) fn of(photo: &Photo) -> Self {
        let developed = photo.developed.as_ref();
        let hash = developed.map(|d| d.thumbhash.as_slice()).unwrap_or_default();
        let said = [photo.description.as_str(), &photo.label_text, photo.file_name.as_str()];
        Self {
            width: developed.map_or(0, |d| d.width),
            height: developed.map_or(0, |d| d.height),
            thumbhash: STANDARD.encode(hash),
            colour: average_colour(hash),
            alt: said.into_iter().find(|text| !text.is_empty()).map(plain_line).unwrap_or_default(),
            state: photo.state().word(),
        }
    }
}

/// `#rrggbb`; a middle grey where there is no hash.
fn average_colour(thumbhash: &[u8]) -> String {
    let byte = |part: f32| whole(f64::from(part) * 255.0, u8::MAX);
    thumbhash::thumb_hash_to_average_rgba(thumbhash).map_or_else(
        |()| "#808080".to_owned(),
        |(r, g, b, _)| format!("#{:02x}{:02x}{:02x}", byte(r), byte(g), byte(b)),
    )
}

/// The nearest whole number from 0 to `most`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits just before")]
pub(super) fn whole(number: f64, most: u8) -> u8 {
    number.round().clamp(0.0, f64::from(most)) as u8
}
