//! `/photos/changes`: how photos get on, for pages that are open: as server-sent events (HTML Living Standard, 9.2), or, for whoever does not
//! ask for these, as they are now.
//!
//! No stream remembers anything that its page does not ask for anew. One watcher a process asks the catalog for the photos of all streams
//! together, and only while there are any; should it die, the next heartbeat of a stream begins it again.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{self, HeaderValue},
    },
    web::{self, Bytes},
};
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Guest, Site, form,
    json::{PhotoJson, UnfinishedJson},
    json_with_status,
    problem::Problem,
};
use crate::{
    album::{self, Album, Backlog},
    catalog::Progress,
    error::{Error, Kind},
    photo::{Owner, PhotoId, State},
};

/// The address.
pub(super) const PATH: &str = "/photos/changes";
/// How many photos one page may ask for.
const PHOTOS: usize = 100;
/// How many streams there are at once, of all visitors together.
const STREAMS: usize = 64;
/// How many streams one browser has at once: half of the connections that browsers make to one host, so that the others are left for uploads.
const STREAMS_EACH: usize = 3;
/// How many streams the browsers of one person have at once.
const STREAMS_OF_OWNER: usize = 8;
/// How often, and with what pauses, streams are spoken to where there is no place left: those that nobody reads any more end by that.
const KNOCKS: u32 = 5;
const KNOCK_EVERY: Duration = Duration::from_millis(100);
/// When to try again where there are as many.
const TRY_AGAIN: Duration = Duration::from_mins(1);
/// How often the watcher asks.
const EVERY: Duration = Duration::from_secs(1);
/// How often counts are asked for where no photo has changed, in rounds of the watcher.
const COUNT_EVERY: u32 = 5;
/// How long the watcher waits after an error.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// Shorter than any balancer's idle time: a stream is never silent for longer.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How often a stream asks whether its session goes on.
const SESSION_EVERY: Duration = Duration::from_secs(10);
/// The longest that a stream lasts; browsers then ask anew by themselves.
const LONGEST: Duration = Duration::from_mins(5);

/// The streams of this process, and what they are about.
#[derive(Clone, Debug)]
pub struct Changes(Arc<Hall>);

#[derive(Debug)]
struct Hall {
    seats: Mutex<Seats>,
    news: watch::Sender<Arc<News>>,
    /// Where the watcher lives: it must not end with the thread that served the first stream.
    runtime: Handle,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: HashMap<u64, Seat>,
    watcher: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Seat {
    /// Whose browser it is.
    browser: String,
    owner: Owner,
    photos: BTreeSet<PhotoId>,
    /// Has the stream say something.
    knock: Arc<Notify>,
}

/// What the watcher has found: of each photo that was asked for, how far it is, or that it is gone.
#[derive(Debug, Default)]
struct News {
    photos: HashMap<PhotoId, Option<Progress>>,
    unfinished: HashMap<Owner, Backlog>,
}

/// A stream's place among those there are, given back when it is dropped.
#[derive(Debug)]
struct Place {
    changes: Changes,
    number: u64,
    knock: Arc<Notify>,
}

impl Changes {
    /// No streams yet; the watcher will live on `runtime`.
    pub fn on(runtime: Handle) -> Self {
        let (news, _) = watch::channel(Arc::default());
        Self(Arc::new(Hall { seats: Mutex::default(), news, runtime }))
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a stream; `None` when there is none left, or none left for this browser or its person. That a page was left, its stream finds out when
    /// it next says something.
    async fn place(&self, browser: &str, owner: &Owner) -> Option<Place> {
        for _ in 0..KNOCKS {
            let place = self.free_place(browser, owner);
            if place.is_some() {
                return place;
            }
            sleep(KNOCK_EVERY).await;
        }
        self.free_place(browser, owner)
    }

    fn free_place(&self, browser: &str, owner: &Owner) -> Option<Place> {
        let mut seats = self.seats();
        let is_browsers = |seat: &&Seat| seat.browser == browser;
        // Where there are no accounts, everybody is the same owner.
        let is_owners = |seat: &&Seat| seat.owner == *owner && *owner != Owner::anonymous();
        let full = [
            seats.taken.values().filter(is_browsers).count() >= STREAMS_EACH,
            seats.taken.values().filter(is_owners).count() >= STREAMS_OF_OWNER,
            seats.taken.len() >= STREAMS,
        ];
        if full.contains(&true) {
            let is_in_the_way =
                |seat: &&Seat| full[2] || (full[1] && is_owners(seat)) || (full[0] && is_browsers(seat));
            seats.taken.values().filter(is_in_the_way).for_each(|seat| seat.knock.notify_one());
            return None;
        }
        let (number, knock) = (seats.next, Arc::new(Notify::new()));
        seats.next += 1;
        let (browser, owner) = (browser.to_owned(), owner.clone());
        seats.taken.insert(number, Seat { browser, owner, photos: BTreeSet::new(), knock: Arc::clone(&knock) });
        drop(seats);
        Some(Place { changes: self.clone(), number, knock })
    }

    /// Asks the catalog for as long as anybody watches.
    async fn watch(self, album: Arc<Album>) {
        let mut before = News::default();
        let mut failed = false;
        for round in 1_u32.. {
            sleep(EVERY).await;
            let (photos, owners) = {
                let mut seats = self.seats();
                if seats.taken.is_empty() {
                    seats.watcher = None;
                    return;
                }
                let mut owners: HashMap<Owner, Vec<PhotoId>> = HashMap::new();
                for seat in seats.taken.values() {
                    owners.entry(seat.owner.clone()).or_default().extend(&seat.photos);
                }
                let photos: BTreeSet<PhotoId> = owners.values().flatten().copied().collect();
                (photos.into_iter().collect::<Vec<_>>(), owners)
            };
            match Self::look(&album, &photos, owners, &before, round.is_multiple_of(COUNT_EVERY)).await {
                Ok(news) => {
                    failed = false;
                    let unfinished = news.unfinished.clone();
                    before = News { photos: news.photos.clone(), unfinished };
                    self.0.news.send_replace(Arc::new(news));
                }
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        let cause = std::error::Error::source(&error).map_or_else(String::new, crate::error::causes);
                        tracing::warn!(
                            cause,
                            "pages that are open are told nothing for now: the catalog cannot be asked"
                        );
                    }
                    sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    /// One look at everything that is watched. Counts are asked for where something has changed, and now and then.
    async fn look(
        album: &Album,
        photos: &[PhotoId],
        owners: HashMap<Owner, Vec<PhotoId>>,
        before: &News,
        count: bool,
    ) -> Result<News, Error> {
        let mut found = album.progress(photos).await?;
        let photos: HashMap<_, _> = photos.iter().map(|photo| (*photo, found.remove(photo))).collect();
        let state = |photos: &HashMap<PhotoId, Option<Progress>>, photo: &PhotoId| {
            photos.get(photo).map(|progress| progress.map(|progress| progress.state))
        };
        let mut unfinished = HashMap::new();
        for (owner, own) in owners {
            let known = before.unfinished.get(&owner).copied();
            let moved = own.iter().any(|photo| state(&photos, photo) != state(&before.photos, photo));
            let counted = match known.filter(|_| !moved && !count) {
                Some(known) => known,
                None => album.unfinishedness(&owner).await?,
            };
            unfinished.insert(owner, counted);
        }
        Ok(News { photos, unfinished })
    }
}

impl Place {
    /// Says which photos the stream waits for.
    fn wait_for(&self, photos: &HashSet<PhotoId>, album: &Arc<Album>) {
        let mut seats = self.changes.seats();
        if let Some(seat) = seats.taken.get_mut(&self.number) {
            seat.photos = photos.iter().copied().collect();
        }
        drop(seats);
        self.keep_watched(album);
    }

    /// Sees to it that somebody watches, also after who did has died.
    fn keep_watched(&self, album: &Arc<Album>) {
        let mut seats = self.changes.seats();
        if seats.watcher.as_ref().is_none_or(JoinHandle::is_finished) {
            let watching = self.changes.clone().watch(Arc::clone(album));
            seats.watcher = Some(self.changes.0.runtime.spawn(watching));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.changes.seats().taken.remove(&self.number);
    }
}

/// How photos are now.
#[derive(Serialize)]
struct Now {
    photos: Vec<PhotoJson>,
    unfinished: UnfinishedJson,
}

/// The photos that a request asks for. What cannot be an id is like an unknown one.
fn asked_for(request: &HttpRequest) -> Result<HashSet<PhotoId>, Error> {
    let pairs = form::urlencoded(request.query_string().as_bytes())
        .ok_or_else(|| Error::refused(Kind::Malformed, "The address has a parameter that cannot be read."))?;
    let ids: Vec<&str> = pairs.iter().filter(|(name, _)| name == "id").map(|(_, id)| id.as_str()).collect();
    if ids.len() > PHOTOS {
        return Err(Error::refused(
            Kind::Malformed,
            format!("At most {PHOTOS} photos can be asked for at once. Please name fewer."),
        ));
    }
    Ok(ids.into_iter().filter_map(|id| id.parse().ok()).collect())
}

fn asks_for_events(request: &HttpRequest) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| range.trim().starts_with("text/event-stream"))
}

/// How the photos get on that the request names; of those that are not the visitor's nothing is said.
pub async fn follow(request: HttpRequest, site: web::Data<Site>, guest: Guest) -> Result<HttpResponse, Error> {
    let visitor = guest.visitor.ok_or(Error::SignIn)?;
    let photos = asked_for(&request)?;
    if !asks_for_events(&request) {
        let photos: Vec<PhotoId> = photos.into_iter().collect();
        let photos = site.album.photos_among(&visitor.owner, &photos).await?;
        let unfinished = site.album.unfinishedness(&visitor.owner).await?;
        let now = Now { photos: PhotoJson::all(&site, &photos).await?, unfinished: unfinished.into() };
        return Ok(json_with_status(&now, 200));
    }
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Accept, Cookie"))
        .insert_header(("x-accel-buffering", "no"))
        // Compressed, events would wait for one another.
        .insert_header(header::ContentEncoding::Identity);
    if *request.method() == Method::HEAD {
        return Ok(response.finish());
    }
    let browser = match &visitor.session {
        Some(session) => session.handle.clone(),
        None => guest.client.device.unwrap_or_else(|| guest.client.address.to_string()),
    };
    let place = if site.draining.is_cancelled() { None } else { site.changes.place(&browser, &visitor.owner).await };
    let Some(place) = place else { return Ok(no_place()) };
    let cookie = visitor.session.and(guest.session_cookie);
    let following = Following::begin(site, visitor.owner, cookie, photos, place).await?;
    Ok(response.streaming(pieces(following)))
}

/// The answer where there are as many streams as may be. Nothing is wrong: it is asked for now and then instead.
fn no_place() -> HttpResponse {
    let mut answer =
        Problem::new(503, "There is no room for one more stream of changes. Please ask now and then.").answer();
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(TRY_AGAIN.as_secs()));
    answer
}

fn pieces(following: Following) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(following, |mut following| async move { following.next().await.map(|piece| (Ok(piece), following)) })
}

/// One stream.
struct Following {
    site: web::Data<Site>,
    owner: Owner,
    cookie: Option<String>,
    place: Place,
    news: watch::Receiver<Arc<News>>,
    /// The photos that are not settled, with what was last told of each.
    open: HashMap<PhotoId, (State, Option<String>)>,
    unfinished: Backlog,
    ready: VecDeque<Bytes>,
    over: bool,
    heartbeat: Instant,
    session: Instant,
    end: Instant,
}

impl Following {
    /// A stream that begins with how the photos are now.
    async fn begin(
        site: web::Data<Site>,
        owner: Owner,
        cookie: Option<String>,
        photos: HashSet<PhotoId>,
        place: Place,
    ) -> Result<Self, Error> {
        let now = Instant::now();
        let unfinished = site.album.unfinishedness(&owner).await?;
        let mut following = Self {
            news: place.changes.0.news.subscribe(),
            site,
            owner,
            cookie,
            place,
            open: HashMap::new(),
            unfinished,
            ready: VecDeque::new(),
            over: false,
            heartbeat: now + HEARTBEAT,
            session: now + SESSION_EVERY,
            end: now + LONGEST,
        };
        // Not all at once, when an instance has stopped.
        let again = 2000 + 250 * (following.place.number % 8);
        following.ready.push_back(Bytes::from(format!("retry: {again}\n\n")));
        following.say("unfinished", &UnfinishedJson::from(unfinished));
        following.tell(&photos.into_iter().collect::<Vec<_>>()).await?;
        following.settle();
        Ok(following)
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(piece);
            }
            if self.over {
                return None;
            }
            tokio::select! {
                // Without a word: the browser asks anew, and comes to another instance.
                () = self.site.draining.cancelled() => self.over = true,
                () = sleep_until(self.end) => self.over = true,
                () = sleep_until(self.session) => self.ask_session().await,
                changed = self.news.changed() => match changed {
                    Ok(()) => self.hear().await,
                    Err(_) => self.over = true,
                },
                () = self.place.knock.notified() => self.beat(),
                () = sleep_until(self.heartbeat) => self.beat(),
            }
        }
    }

    /// Ends the stream when its session has ended. An outage ends nothing.
    async fn ask_session(&mut self) {
        self.session = Instant::now() + SESSION_EVERY;
        let Some(cookie) = &self.cookie else { return };
        if let Ok(session) = self.site.accounts.session_unused(cookie).await
            && session.is_none_or(|session| session.person.owner != self.owner)
        {
            self.finish("signed-out");
        }
    }

    /// Tells what the watcher has found, as far as it is new.
    async fn hear(&mut self) {
        let news = Arc::clone(&self.news.borrow_and_update());
        let now = self.site.album.now();
        let changed = |(photo, told): (&PhotoId, &(State, Option<String>))| {
            let found = news.photos.get(photo)?;
            let new = found.map(|progress| (progress.state, album::delay(&progress, now)));
            (new.as_ref() != Some(told)).then_some(*photo)
        };
        let changed: Vec<PhotoId> = self.open.iter().filter_map(changed).collect();
        if !changed.is_empty()
            && let Err(error) = self.tell(&changed).await
        {
            tracing::debug!(%error, "what has changed is told with the next news");
            return;
        }
        if let Some(unfinished) = news.unfinished.get(&self.owner)
            && *unfinished != self.unfinished
        {
            self.unfinished = *unfinished;
            self.say("unfinished", &UnfinishedJson::from(self.unfinished));
        }
        self.settle();
    }

    /// Tells how photos are now; those that are settled, or are not this owner's, are not waited for any more.
    async fn tell(&mut self, photos: &[PhotoId]) -> Result<(), Error> {
        let mine = self.site.album.photos_among(&self.owner, photos).await?;
        let told = PhotoJson::all(&self.site, &mine).await?;
        for photo in photos {
            self.open.remove(photo);
        }
        for (photo, json) in mine.iter().zip(told) {
            if photo.state().is_underway() {
                self.open.insert(photo.id, (photo.state(), json.delay.clone()));
            }
            self.say("photo", &json);
        }
        self.place.wait_for(&self.open.keys().copied().collect(), &self.site.album);
        Ok(())
    }

    /// Ends the stream when nothing is left to wait for.
    fn settle(&mut self) {
        if self.open.is_empty() {
            self.finish("settled");
        }
    }

    /// Ends the stream in a way that lets the browser know not to ask anew.
    fn finish(&mut self, why: &str) {
        self.ready.push_back(Bytes::from(format!("event: end\ndata: {why}\n\n")));
        self.over = true;
    }

    /// Says nothing, so that the connection lives, or is found to be dead.
    fn beat(&mut self) {
        self.place.keep_watched(&self.site.album);
        self.ready.push_back(Bytes::from_static(b":\n\n"));
        self.heartbeat = Instant::now() + HEARTBEAT;
    }

    fn say(&mut self, event: &str, data: &impl Serialize) {
        match serde_json::to_string(data) {
            Ok(data) => self.ready.push_back(Bytes::from(format!("event: {event}\ndata: {data}\n\n"))),
            Err(cause) => tracing::error!(%cause, "an event cannot be written"),
        }
        self.heartbeat = Instant::now() + HEARTBEAT;
    }
}
