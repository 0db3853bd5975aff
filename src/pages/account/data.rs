//! `/account/data`: everything of one's own in one archive, made while it is read: any number of photos, in the memory of a few pieces.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, header},
    web::{self, Bytes},
};
use anyhow::{Context, bail};
use chrono::{Days, NaiveDate, NaiveDateTime};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter},
    sync::mpsc,
    time::timeout,
};

use super::{AccountJson, session, sessions, signed_in};
use crate::{
    album::Query,
    archive::{Archive, Entry},
    error::{Error, Kind, causes},
    pages::{Guest, Site, Visitor, form::offers, json::PhotoFacts, problem::request_id},
    photo::{FileName, Owner, Photo},
    store::Disposition,
};

/// Pieces that may wait to be read.
const AHEAD: usize = 2;
/// How long a reader may take for one piece before it is taken for gone.
const PATIENCE: Duration = Duration::from_mins(5);
/// The longest name of a file that common file systems take, less some room for a number, in bytes.
const MAX_NAME_BYTES: usize = 230;

/// How many archives are made at once, of all owners together.
const AT_ONCE: usize = 8;
/// When to try again where as many are made.
const TRY_AGAIN: Duration = Duration::from_mins(1);

/// The owners whose archives are being made: one archive each.
#[derive(Clone, Debug, Default)]
pub struct Archives(Arc<Mutex<HashSet<Owner>>>);

/// An archive's place among those that are being made, given back when it is dropped.
struct Place {
    among: Archives,
    owner: Owner,
}

impl Archives {
    fn place(&self, owner: &Owner) -> Result<Place, Error> {
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.contains(owner) {
            return Err(Error::refused(
                Kind::TooMany,
                "Your archive is being made already. Please wait until that download has ended, or break it off.",
            ));
        }
        if owners.len() >= AT_ONCE {
            let cause = anyhow::anyhow!("{AT_ONCE} archives are being made already");
            return Err(Error::Unavailable { retry_after: TRY_AGAIN, cause });
        }
        owners.insert(owner.clone());
        Ok(Place { among: self.clone(), owner: owner.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.among.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.owner);
    }
}

/// A photo in `photos.json`.
#[derive(Serialize)]
struct Packed {
    /// The entry with its bytes; `null` where they are missing.
    file: Option<String>,
    #[serde(flatten)]
    facts: PhotoFacts,
}

/// Everything of the visitor's as a ZIP archive: the originals, `photos.json`, `account.json`, and `missing.txt` where something is.
pub async fn download(request: HttpRequest, site: web::Data<Site>, guest: Guest) -> Result<HttpResponse, Error> {
    offers(&site)?;
    let (visitor, _, cookie) = signed_in(guest)?;
    let name = FileName::new(&format!("photo-gallery-{}.zip", site.album.now().format("%Y-%m-%d")));
    let mut response = HttpResponse::Ok();
    response
        .content_type("application/zip")
        .insert_header((header::CONTENT_DISPOSITION, Disposition::Attachment(name).header()))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Cookie"))
        // Photos do not get smaller: said here, so that nothing tries.
        .insert_header(header::ContentEncoding::Identity);
    if *request.method() == Method::HEAD {
        return Ok(response.finish());
    }
    let place = site.archives.place(&visitor.owner)?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let request_id = request_id(&request);
    tokio::spawn(async move {
        let mut packing = Packing { archive: Archive::default(), out: Out(sender.clone()) };
        let packed = packing.pack(&site, &visitor, &cookie).await;
        drop(place);
        let Err(cause) = packed else { return };
        if cause.downcast_ref::<Ended>().is_some() {
            tracing::info!(request_id, "an archive was broken off, for its session has ended");
        } else if cause.downcast_ref::<Gone>().is_none() {
            tracing::error!(request_id, cause = causes(cause.as_ref()), "an archive was broken off");
        }
        let _ = sender.send(Err(io::Error::other("the archive was broken off"))).await;
    });
    Ok(response.streaming(pieces(receiver)))
}

fn pieces(receiver: mpsc::Receiver<io::Result<Bytes>>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|piece| (piece, receiver)) })
}

/// Nobody reads any more.
#[derive(Debug, thiserror::Error)]
#[error("the reader went away")]
struct Gone;

/// Nobody is signed in any more.
#[derive(Debug, thiserror::Error)]
#[error("the session has ended")]
struct Ended;

/// Where the archive goes.
struct Out(mpsc::Sender<io::Result<Bytes>>);

impl Out {
    async fn write(&self, piece: impl Into<Bytes>) -> anyhow::Result<()> {
        match timeout(PATIENCE, self.0.send(Ok(piece.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone.into()),
        }
    }
}

/// An archive on its way out.
struct Packing {
    archive: Archive,
    out: Out,
}

impl Packing {
    async fn pack(&mut self, site: &Site, visitor: &Visitor, cookie: &str) -> anyhow::Result<()> {
        let (mut names, mut missing) = (Names::default(), String::new());
        let mut listed = BufWriter::new(site.album.scratch()?);
        let mut listing = Query::default();
        let mut gap = "[\n";
        loop {
            if site.accounts.session(cookie).await?.is_none() {
                return Err(Ended.into());
            }
            let page = site.album.page(&visitor.owner, &listing).await?;
            let ids: Vec<_> = page.photos.iter().map(|photo| photo.id).collect();
            let mut labels = if ids.is_empty() { HashMap::new() } else { site.album.labels(&ids).await? };
            for photo in &page.photos {
                let file = self.original(site, photo, &mut names).await?;
                if file.is_none() {
                    missing = missing + photo.file_name.as_str() + " (" + &photo.id.to_string() + ")\n";
                }
                let facts = PhotoFacts::new(photo, labels.remove(&photo.id).unwrap_or_default());
                listed.write_all(gap.as_bytes()).await?;
                listed.write_all(&serde_json::to_vec(&Packed { file, facts })?).await?;
                gap = ",\n";
            }
            if page.next.is_none() {
                break;
            }
            listing.before = page.next;
        }
        let end = if gap == "[\n" { "[]\n" } else { "\n]\n" };
        listed.write_all(end.as_bytes()).await?;
        listed.flush().await?;
        self.spooled("photos.json", site.album.now().naive_utc(), listed.into_inner()).await?;
        let account = AccountJson {
            person: &session(visitor)?.person,
            usage: site.album.totals(&visitor.owner).await?,
            sessions: sessions(site, visitor).await?,
        };
        let now = site.album.now().naive_utc();
        self.whole("account.json", now, serde_json::to_vec_pretty(&account)?).await?;
        if !missing.is_empty() {
            let text = format!("The bytes of these photos are not in the store:\n\n{missing}");
            self.whole("missing.txt", now, text.into_bytes()).await?;
        }
        let archive = std::mem::take(&mut self.archive);
        self.out.write(archive.finish()).await
    }

    /// Packs the original of a photo; the entry's name, or `None` when the store does not have it.
    async fn original(&mut self, site: &Site, photo: &Photo, names: &mut Names) -> anyhow::Result<Option<String>> {
        let Some(mut object) = site.album.original(photo).await? else { return Ok(None) };
        let shown = photo.shown_at().naive_local();
        let name = format!("photos/{}/{}", shown.date(), names.unique(shown.date(), photo.file_name.as_str()));
        let (mut entry, head) = self.archive.begin(&name, shown, object.bytes);
        self.out.write(head).await?;
        while let Some(piece) = object.content.next().await {
            let piece = piece.context("reading a photo from the store")?;
            if !entry.add(&piece) {
                break;
            }
            self.out.write(piece).await?;
        }
        self.finish(entry).await?;
        Ok(Some(name))
    }

    async fn whole(&mut self, name: &str, at: NaiveDateTime, content: Vec<u8>) -> anyhow::Result<()> {
        let (mut entry, head) = self.archive.begin(name, at, content.len() as u64);
        entry.add(&content);
        self.out.write(head).await?;
        self.out.write(content).await?;
        self.finish(entry).await
    }

    async fn spooled(&mut self, name: &str, at: NaiveDateTime, mut file: tokio::fs::File) -> anyhow::Result<()> {
        let bytes = file.metadata().await?.len();
        file.rewind().await?;
        let (mut entry, head) = self.archive.begin(name, at, bytes);
        self.out.write(head).await?;
        let mut piece = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut piece).await?;
            if read == 0 {
                return self.finish(entry).await;
            }
            entry.add(&piece[..read]);
            self.out.write(Bytes::copy_from_slice(&piece[..read])).await?;
        }
    }

    async fn finish(&mut self, entry: Entry) -> anyhow::Result<()> {
        let Some(tail) = self.archive.end(entry) else { bail!("an object in the store is not as long as it says") };
        self.out.write(tail).await
    }
}

/// The names given within each day, so that none comes twice. Only days near the last one are remembered: photos come by the moment,
/// so a day comes back only as far as the clocks of cameras differ.
#[derive(Default)]
struct Names(HashMap<NaiveDate, HashMap<String, u32>>);

impl Names {
    fn unique(&mut self, day: NaiveDate, wanted: &str) -> String {
        const CLOCKS: Days = Days::new(3);
        self.0.retain(|other, _| *other <= day || other.checked_sub_days(CLOCKS).is_none_or(|near| near <= day));
        let given = self.0.entry(day).or_default();
        let name = safe(wanted);
        let (stem, dot, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, ".", extension),
            _ => (name.as_str(), "", ""),
        };
        let mut number = given.get(&name.to_lowercase()).copied().unwrap_or(0);
        loop {
            number += 1;
            let tried = match number {
                1 => name.clone(),
                number => format!("{stem} ({number}){dot}{extension}"),
            };
            given.insert(name.to_lowercase(), number);
            if number == 1 || !given.contains_key(&tried.to_lowercase()) {
                given.entry(tried.to_lowercase()).or_insert(1);
                return tried;
            }
        }
    }
}

/// A file's name that every system takes: without the characters and words that Windows keeps for itself, and not too long.
fn safe(name: &str) -> String {
    const RESERVED: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];
    let mut safe: String = name
        .chars()
        .map(|c| if matches!(c, '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*') { '_' } else { c })
        .collect();
    let stem = safe.split('.').next().unwrap_or_default().to_ascii_lowercase();
    if RESERVED.contains(&stem.trim_end_matches(|c: char| c.is_ascii_digit())) {
        safe.insert(0, '_');
    }
    while safe.len() > MAX_NAME_BYTES {
        let middle = safe.char_indices().map(|(at, _)| at).nth(safe.chars().count() / 2);
        safe.remove(middle.unwrap_or(0));
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::{Names, safe};

    #[test]
    fn names_in_the_archive_are_unique_within_their_day() {
        let mut names = Names::default();
        let day = |text: &str| text.parse().expect("a day");
        let mut given = |date: &str, name: &str| names.unique(day(date), name);
        assert_eq!(given("2026-11-20", "a.jpg"), "a.jpg");
        assert_eq!(given("2026-11-20", "A.jpg"), "A (2).jpg");
        assert_eq!(given("2026-11-20", "a (2).jpg"), "a (2) (2).jpg");
        assert_eq!(given("2026-11-20", "a.jpg"), "a (3).jpg");
        assert_eq!(given("2026-11-19", "a.jpg"), "a.jpg");
        assert_eq!(given("2026-11-20", "a.jpg"), "a (4).jpg");
        assert_eq!(given("2026-11-20", "photo"), "photo");
        assert_eq!(given("2026-11-20", "photo"), "photo (2)");
    }

    #[test]
    fn names_in_the_archive_can_be_written_on_any_system() {
        assert_eq!(safe("a:b?.jpg"), "a_b_.jpg");
        assert_eq!(safe("NUL.jpg"), "_NUL.jpg");
        assert_eq!(safe("com1.jpg"), "_com1.jpg");
        assert_eq!(safe("../../etc/passwd"), ".._.._etc_passwd");
        let long = safe(&format!("{}.jpg", "ä".repeat(200)));
        assert!(long.len() <= 230, "{long}");
        assert_eq!(long.rsplit('.').next(), Some("jpg"), "{long}");
    }
}
