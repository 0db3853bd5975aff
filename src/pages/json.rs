//! How a photo looks to a program.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::Site;
use crate::{
    album::{self, Backlog},
    error::Error,
    photo::{Details, Label, Photo, PhotoId, Rendition, State},
};

/// A photo in JSON: what is known of it, and where it can be had.
#[derive(Debug, Serialize)]
pub struct PhotoJson {
    #[serde(flatten)]
    facts: PhotoFacts,
    /// What its owner should know when it takes longer than usual; absent while all is as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<String>,
    links: Links,
}

/// How much is unfinished.
#[derive(Debug, Serialize)]
pub struct UnfinishedJson {
    #[serde(flatten)]
    counts: Backlog,
    /// The same in words.
    told: String,
}

impl From<Backlog> for UnfinishedJson {
    fn from(counts: Backlog) -> Self {
        Self { counts, told: counts.to_string() }
    }
}

/// What is to be said of those of `photos` that take longer than usual.
pub(super) async fn delays(site: &Site, photos: &[Photo]) -> Result<HashMap<PhotoId, String>, Error> {
    let underway: Vec<PhotoId> = photos.iter().filter(|p| p.state().is_underway()).map(|p| p.id).collect();
    if underway.is_empty() {
        return Ok(HashMap::new());
    }
    let (now, progress) = (site.album.now(), site.album.progress(&underway).await?);
    Ok(progress.into_iter().filter_map(|(photo, progress)| Some((photo, album::delay(&progress, now)?))).collect())
}

/// What is known of a photo. Times are RFC 3339, sizes in pixels and bytes, confidences in percent.
#[derive(Debug, Serialize)]
pub struct PhotoFacts {
    id: PhotoId,
    state: State,
    /// Why it will not get further by itself; only with state `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    labels: Vec<Label>,
    description: String,
    file_name: String,
    /// With the camera's offset from UTC; without one in the file its clock is read as UTC. `null` when the file does not say.
    taken_at: Option<String>,
    created_at: String,
    /// `null` until an adopted photo has been developed, as are `height`, `sha256`, `thumbhash` and `details`.
    width: Option<u32>,
    height: Option<u32>,
    bytes: u64,
    #[serde(rename = "type")]
    media_type: &'static str,
    sha256: Option<String>,
    /// Base64.
    thumbhash: Option<String>,
    details: Option<Details>,
}

/// Signed links, good for the configured time.
#[derive(Debug, Serialize)]
struct Links {
    thumb: Option<String>,
    display: Option<String>,
    original: String,
}

impl PhotoJson {
    /// One photo with its labels.
    pub async fn one(site: &Site, photo: &Photo) -> Result<Self, Error> {
        let mut all = Self::all(site, std::slice::from_ref(photo)).await?;
        all.pop().ok_or_else(|| Error::Internal(anyhow::anyhow!("one photo in gives one photo out")))
    }

    /// Photos with their labels, in their order.
    pub async fn all(site: &Site, photos: &[Photo]) -> Result<Vec<Self>, Error> {
        let ids: Vec<PhotoId> = photos.iter().map(|photo| photo.id).collect();
        let mut labels = if ids.is_empty() { HashMap::new() } else { site.album.labels(&ids).await? };
        let mut delays = delays(site, photos).await?;
        let mut all = Vec::with_capacity(photos.len());
        for photo in photos {
            let facts = PhotoFacts::new(photo, labels.remove(&photo.id).unwrap_or_default());
            all.push(Self { facts, delay: delays.remove(&photo.id), links: Links::of(site, photo).await? });
        }
        Ok(all)
    }
}

impl Links {
    async fn of(site: &Site, photo: &Photo) -> Result<Self, Error> {
        let (thumb, display) = match photo.developed {
            None => (None, None),
            Some(_) => (
                Some(site.album.link(photo, Rendition::Thumb).await?),
                Some(site.album.link(photo, Rendition::Display).await?),
            ),
        };
        Ok(Self { thumb, display, original: site.album.link(photo, Rendition::Original).await? })
    }
}

impl PhotoFacts {
    /// What is known of a photo with these labels.
    pub fn new(photo: &Photo, labels: Vec<Label>) -> Self {
        let developed = photo.developed.as_ref();
        Self {
            id: photo.id,
            state: photo.state(),
            problem: photo.problem.clone(),
            labels,
            description: photo.description.as_str().to_owned(),
            file_name: photo.file_name.as_str().to_owned(),
            taken_at: developed.and_then(|d| d.taken).map(|taken| taken.at.to_rfc3339()),
            created_at: photo.created_at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            width: developed.map(|d| d.width),
            height: developed.map(|d| d.height),
            bytes: photo.bytes,
            media_type: photo.media_type.mime(),
            sha256: photo.sha256.map(|sha256| sha256.to_string()),
            thumbhash: developed.map(|d| STANDARD.encode(&d.thumbhash)),
            details: developed.map(|d| d.details.clone()),
        }
    }
}
