//! `/photos/{id}`: one photo, what is in it, and what its owner can do with it.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::{
    Frame, Site, Visitor,
    form::Fields,
    gallery::{Picture, label_url, whole},
    json::{PhotoJson, delays},
    json_with_status, page_with_status, parameter, prefers_json, see_other, sentence,
};
use crate::{
    error::{Error, Kind, Refusal},
    photo::{Description, Details, Label, Photo, PhotoId, Rendition, size},
};

/// The largest body of a description, in bytes: every character escaped to the utmost.
const MAX_FORM_BYTES: usize = Description::MAX_CHARS * 12 + 1024;

/// A label with its bar.
#[derive(Clone, Debug)]
pub struct LabelBar {
    /// `Dog`.
    pub name: String,
    /// Whole percent, 0 to 100; `None` for labels adopted from an earlier app, which kept no confidence.
    pub percent: Option<u8>,
    /// How many boxes; 0 when the labeler gave none.
    pub count: usize,
    /// More general names joined with `, `; may be empty.
    pub parents: String,
    /// Where: left, top, width, height in percent of the picture.
    pub boxes: Vec<[f64; 4]>,
    /// URL of all photos with this label.
    pub url: String,
}

/// One line of the details: `Camera`, `Canon EOS 5D`.
#[derive(Clone, Debug)]
pub struct Fact {
    /// What.
    pub name: &'static str,
    /// The value with its unit.
    pub value: String,
    /// The moment that the value is, for machines; empty where it is none.
    pub at: String,
}

/// The photo page.
#[derive(Clone, Debug, Template)]
#[template(path = "photo.html")]
pub struct PhotoPage {
    /// The frame.
    pub frame: Frame,
    /// The photo's id.
    pub id: String,
    /// Heading: the file's name.
    pub file_name: String,
    /// Signed link to the display rendition; empty while there is none.
    pub display: String,
    /// Upright width in pixels of the original; 0 while unknown.
    pub width: u32,
    /// Upright height in pixels; 0 while unknown.
    pub height: u32,
    /// The thumbhash in base64; empty while unknown.
    pub thumbhash: String,
    /// The average colour, `#rrggbb`.
    pub colour: String,
    /// What a screen reader says of the picture.
    pub alt: String,
    /// `stored`, `labelling`, `labelled` or `failed`.
    pub state: &'static str,
    /// Why it failed, if it did.
    pub problem: Option<String>,
    /// Whether another try may help against that.
    pub can_be_tried_again: bool,
    /// What is to be said of it when it takes longer than usual.
    pub delay: Option<String>,
    /// `Friday, 20 November 2026, 14:03`.
    pub date: String,
    /// Whether `date` is when it was taken, by the camera's clock; otherwise when it was uploaded, in UTC.
    pub taken: bool,
    /// When it was uploaded, for machines.
    pub uploaded: String,
    /// What the owner wrote; may be empty.
    pub description: String,
    /// A refusal of the description just sent, if any.
    pub description_problem: Option<String>,
    /// The labels, surest first.
    pub labels: Vec<LabelBar>,
    /// Camera, lens, exposure, size, ...
    pub facts: Vec<Fact>,
    /// URL of the next newer photo's page.
    pub newer: Option<String>,
    /// URL of the next older photo's page.
    pub older: Option<String>,
}

impl PhotoPage {
    /// The number of its shape class, as in the timeline.
    fn shape(&self) -> u32 {
        super::gallery::shape(self.width, self.height)
    }
}

/// The photo that the path names. A malformed id is like an unknown one.
async fn asked_for(request: &HttpRequest, site: &Site, visitor: &Visitor) -> Result<Photo, Error> {
    let id: PhotoId = parameter(request, "id").parse().map_err(|_| Error::NotFound)?;
    site.album.photo(&visitor.owner, id).await
}

/// One photo.
pub async fn show(request: HttpRequest, site: web::Data<Site>, visitor: Visitor) -> Result<HttpResponse, Error> {
    let photo = asked_for(&request, &site, &visitor).await?;
    if prefers_json(&request) {
        return Ok(json_with_status(&PhotoJson::one(&site, &photo).await?, 200));
    }
    page(&site, &visitor, &photo, None).await
}

/// The page of a photo; `refused` holds a description that was not taken, and why.
async fn page(
    site: &Site,
    visitor: &Visitor,
    photo: &Photo,
    refused: Option<(String, Refusal)>,
) -> Result<HttpResponse, Error> {
    let labels = site.album.labels(&[photo.id]).await?.remove(&photo.id).unwrap_or_default();
    let neighbours = site.album.neighbours(photo).await?;
    let display = match photo.developed {
        Some(_) => site.album.link(photo, Rendition::Display).await?,
        None => String::new(),
    };
    let picture = Picture::of(photo);
    let url = |id: PhotoId| format!("/photos/{id}");
    let status = refused.as_ref().map_or(200, |(_, refusal)| refusal.kind.status());
    let (description, description_problem) = match refused {
        Some((text, refusal)) => (text, Some(refusal.detail)),
        None => (photo.description.as_str().to_owned(), None),
    };
    let template = PhotoPage {
        frame: Frame::of(site, visitor).await?,
        id: photo.id.to_string(),
        file_name: photo.file_name.as_str().to_owned(),
        display,
        width: picture.width,
        height: picture.height,
        thumbhash: picture.thumbhash,
        colour: picture.colour,
        alt: picture.alt,
        state: picture.state,
        problem: photo.problem.clone(),
        can_be_tried_again: photo.can_be_tried_again(),
        delay: delays(site, std::slice::from_ref(photo)).await?.remove(&photo.id),
        date: photo.shown_at().format("%A, %-d %B %Y, %H:%M").to_string(),
        taken: photo.developed.as_ref().is_some_and(|d| d.taken.is_some()),
        uploaded: moment(photo),
        description,
        description_problem,
        labels: labels.iter().map(bar).collect(),
        facts: facts(photo),
        newer: neighbours.newer.map(url),
        older: neighbours.older.map(url),
    };
    page_with_status(&template, status)
}

fn bar(label: &Label) -> LabelBar {
    LabelBar {
        name: label.name.clone(),
        percent: label.confidence.map(|percent| whole(percent, 100)),
        count: label.instances.len(),
        parents: label.parents.join(", "),
        boxes: label.instances.iter().map(|i| [i.left, i.top, i.width, i.height].map(|part| part * 100.0)).collect(),
        url: label_url(&label.name),
    }
}

/// When it was uploaded, for machines.
fn moment(photo: &Photo) -> String {
    photo.created_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn facts(photo: &Photo) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut say = |name: &'static str, value: Option<String>| {
        facts.extend(value.map(|value| Fact { name, value, at: String::new() }));
    };
    let details = photo.developed.as_ref().map(|d| d.details.clone()).unwrap_or_default();
    say("Camera", details.camera.clone());
    say("Lens", details.lens.clone());
    say("Exposure", exposure(&details));
    say("Place", place(&details));
    say(
        "Size",
        photo.developed.as_ref().map(|d| {
            let megapixels = f64::from(d.width) * f64::from(d.height) / 1e6;
            format!("{} × {} px, {megapixels:.1} MP", d.width, d.height)
        }),
    );
    say("File", Some(format!("{}, {}", photo.media_type.extension().to_uppercase(), size(photo.bytes))));
    let (value, at) = (photo.created_at.format("%-d %B %Y, %H:%M UTC").to_string(), moment(photo));
    facts.push(Fact { name: "Uploaded", value, at });
    facts
}

/// `1/250 s, f/2.8, ISO 400, 50 mm`. Cameras write fractions with many digits: two after the point are told.
fn exposure(details: &Details) -> Option<String> {
    let short = |number: f64| (number * 100.0).round() / 100.0;
    let time = details.exposure_seconds.map(|seconds| {
        if seconds < 0.4 { format!("1/{:.0} s", 1.0 / seconds) } else { format!("{} s", short(seconds)) }
    });
    let parts = [
        time,
        details.f_number.map(|f| format!("f/{}", short(f))),
        details.iso.map(|iso| format!("ISO {iso}")),
        details.focal_length_mm.map(|mm| format!("{} mm", short(mm))),
    ];
    let said: Vec<String> = parts.into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// `47.3769° N, 8.5417° E, 408 m`.
fn place(details: &Details) -> Option<String> {
    let (latitude, longitude) = details.latitude.zip(details.longitude)?;
    let (north, east) = (if latitude < 0.0 { 'S' } else { 'N' }, if longitude < 0.0 { 'W' } else { 'E' });
    let height = details.altitude_m.map(|metres| format!(", {metres:.0} m")).unwrap_or_default();
    Some(format!("{:.4}° {north}, {:.4}° {east}{height}", latitude.abs(), longitude.abs()))
}

/// Writes the description.
pub async fn describe(
    request: HttpRequest,
    site: web::Data<Site>,
    visitor: Visitor,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let photo = asked_for(&request, &site, &visitor).await?;
    let text = description_of(&request, &site, body).await?;
    let description: Description = match text.parse() {
        Ok(description) => description,
        Err(malformed) => {
            let refusal = Refusal { kind: Kind::Content, detail: sentence(malformed) };
            return if prefers_json(&request) {
                Err(refusal.into())
            } else {
                page(&site, &visitor, &photo, Some((text, refusal))).await
            };
        }
    };
    site.album.describe(&visitor.owner, photo.id, &description).await?;
    if prefers_json(&request) {
        let photo = site.album.photo(&visitor.owner, photo.id).await?;
        return Ok(json_with_status(&PhotoJson::one(&site, &photo).await?, 200));
    }
    see_other(&format!("/photos/{}", photo.id))
}

async fn description_of(request: &HttpRequest, site: &Site, body: web::Payload) -> Result<String, Error> {
    let fields = Fields::within(MAX_FORM_BYTES, request, site, body).await?;
    fields.get("description").map(str::to_owned).ok_or_else(|| {
        Error::refused(Kind::Malformed, "The form cannot be read: it needs one field `description` in UTF-8.")
    })
}

/// Gives a photo that has failed another try; changes nothing of one that has not.
pub async fn retry(
    request: HttpRequest,
    site: web::Data<Site>,
    visitor: Visitor,
    body: web::Payload,
) -> Result<HttpResponse, Error> {
    let id: PhotoId = parameter(&request, "id").parse().map_err(|_| Error::NotFound)?;
    let next = Fields::read(&request, &site, body).await?.next();
    let photo = site.album.retry(&visitor.owner, id).await?;
    if prefers_json(&request) {
        return Ok(json_with_status(&PhotoJson::one(&site, &photo).await?, 200));
    }
    if next.is_home() { see_other(&format!("/photos/{id}")) } else { see_other(next.as_str()) }
}

/// Deletes the photo with everything of it.
pub async fn delete(request: HttpRequest, site: web::Data<Site>, visitor: Visitor) -> Result<HttpResponse, Error> {
    let id: PhotoId = parameter(&request, "id").parse().map_err(|_| Error::NotFound)?;
    site.album.delete(&visitor.owner, id).await?;
    if prefers_json(&request) { Ok(HttpResponse::NoContent().finish()) } else { see_other("/photos") }
}

/// Leads to the bytes of one rendition by a fresh signed link.
pub async fn rendition(request: HttpRequest, site: web::Data<Site>, visitor: Visitor) -> Result<HttpResponse, Error> {
    let rendition: Rendition = parameter(&request, "rendition").parse().map_err(|_| Error::NotFound)?;
    let photo = asked_for(&request, &site, &visitor).await?;
    if photo.developed.is_none() && rendition != Rendition::Original {
        return Err(Error::NotFound);
    }
    see_other(&site.album.link(&photo, rendition).await?)
}
