//! `/labels`: what was found in the visitor's photos, with counts: the thousand most frequent labels.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Serialize;

use super::{Frame, Site, Visitor, gallery::label_url, json_with_status, prefers_json};
use crate::error::Error;

/// A label and how many photos have it.
#[derive(Clone, Debug, Serialize)]
pub struct Counted {
    /// `Dog`.
    pub name: String,
    /// How many of the visitor's photos have it.
    pub photos: u64,
    /// URL of those photos.
    pub url: String,
}

/// The page of labels.
#[derive(Clone, Debug, Template)]
#[template(path = "labels.html")]
pub struct Labels {
    /// The frame.
    pub frame: Frame,
    /// Most frequent first.
    pub labels: Vec<Counted>,
}

impl Labels {
    /// The class of a label's size, by how many photos it has next to the most frequent one.
    fn size(&self, photos: impl std::borrow::Borrow<u64>) -> Option<&'static str> {
        let most = self.labels.first().map_or(0, |label| label.photos);
        match photos.borrow().saturating_mul(100).checked_div(most) {
            _ if most < 3 => None,
            Some(45..) => Some("large"),
            Some(18..) => Some("middle"),
            _ => None,
        }
    }
}

/// The labels in JSON.
#[derive(Serialize)]
struct Listing {
    labels: Vec<Counted>,
}

/// The labels with counts.
pub async fn list(request: HttpRequest, site: web::Data<Site>, visitor: Visitor) -> Result<HttpResponse, Error> {
    let totals = site.album.label_totals(&visitor.owner).await?;
    let labels = totals.into_iter().map(|(name, photos)| Counted { url: label_url(&name), name, photos }).collect();
    if prefers_json(&request) {
        return Ok(json_with_status(&Listing { labels }, 200));
    }
    super::page(&Labels { frame: Frame::of(&site, &visitor).await?, labels })
}
