//! How a photo looks to a program.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;

use super::Site;
use crate::{
    error::Error,
    photo::{Details, Label, Photo, PhotoId, Rendition, State},
};

/// A photo in JSON: what is known of it, and where it can be had.
#[derive(Debug, Serialize)]
pub struct PhotoJson {
    #[serde(flatten)]
    facts: PhotoFacts,
    links: Links,
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
        let mut all = Vec::with_capacity(photos.len());
        for photo in photos {
            all.push(Self::with_labels(site, photo, labels.remove(&photo.id).unwrap_or_default()).await?);
        }
        Ok(all)
    }

    async fn with_labels(site: &Site, photo: &Photo, labels: Vec<Label>) -> Result<Self, Error> {
        let (thumb, display) = match photo.developed {
            None => (None, None),
            Some(_) => (
                Some(site.album.link(photo, Rendition::Thumb).await?),
                Some(site.album.link(photo, Rendition::Display).await?),
            ),
        };
        let links = Links { thumb, display, original: site.album.link(photo, Rendition::Original).await? };
        Ok(Self { facts: PhotoFacts::new(photo, labels), links })
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
