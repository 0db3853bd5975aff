//! Plausible photos by the million, always the same ones: what figures and query plans are taken from.
#![expect(clippy::disallowed_methods, reason = "bulk inserts, which the catalog has no need of, are written here")]

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use photo_gallery::photo::{Owner, PhotoId, Term, TimelineKey};
use sqlx::{Connection as _, MySqlConnection, QueryBuilder, SqliteConnection};

/// Rows in one statement; SQLite takes at most 32,766 values.
const ROWS: usize = 1000;
/// Photos in one transaction.
const PHOTOS: usize = 10_000;

const THINGS: [(&str, &str); 24] = [
    ("Dog", "Animal"),
    ("Cat", "Animal"),
    ("Person", "Human"),
    ("Tree", "Plant"),
    ("Mountain", "Nature"),
    ("Beach", "Nature"),
    ("Boat", "Vehicle"),
    ("Car", "Vehicle"),
    ("Bicycle", "Vehicle"),
    ("House", "Building"),
    ("Church", "Building"),
    ("Cake", "Food"),
    ("Pizza", "Food"),
    ("Flower", "Plant"),
    ("Sunset", "Nature"),
    ("Snow", "Nature"),
    ("Bird", "Animal"),
    ("Horse", "Animal"),
    ("Guitar", "Instrument"),
    ("Book", "Object"),
    ("Lighthouse", "Building"),
    ("Owl", "Animal"),
    ("Accordion", "Instrument"),
    ("Volcano", "Nature"),
];
const WORDS: [&str; 12] = [
    "holiday",
    "grandmother",
    "garden",
    "birthday",
    "weekend",
    "lake",
    "morning",
    "evening",
    "party",
    "school",
    "wedding",
    "rain",
];
const CAMERAS: [&str; 4] = ["Canon EOS 5D", "NIKON D750", "Apple iPhone 15", "FUJIFILM X-T4"];

/// One more plausible photo.
struct Row {
    id: String,
    key: String,
    created: NaiveDateTime,
    sha256: String,
    bytes: i64,
    file_name: String,
    description: String,
    camera: &'static str,
    labels: Vec<(&'static str, &'static str, f64)>,
    terms: BTreeSet<Term>,
}

/// Numbers that look random and are the same every time (Steele, Lea and Flood 2014, `SplitMix64`).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit as u64).unwrap_or(0)
    }
}

impl Row {
    fn new(number: usize, dice: &mut Dice) -> anyhow::Result<Self> {
        let start: DateTime<Utc> = "2010-01-01T00:00:00Z".parse()?;
        let created = start + TimeDelta::seconds(i64::try_from(number)? * 400 + i64::try_from(dice.below(400))?);
        let (a, b) = (dice.roll(), dice.roll());
        let millis = created.timestamp_millis();
        let id = format!(
            "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
            millis >> 16,
            millis & 0xffff,
            a & 0xfff,
            0x8000 | (b >> 50),
            b & 0xffff_ffff_ffff
        );
        let photo: PhotoId = id.parse()?;
        let mut labels: Vec<(&str, &str, f64)> = Vec::new();
        while labels.len() < 3 {
            // Squared, so that some things are in most photos and others in few.
            let place = dice.below(THINGS.len()) * dice.below(THINGS.len()) / THINGS.len();
            let (name, parent) = THINGS[place];
            if labels.iter().all(|(taken, ..)| *taken != name) {
                labels.push((name, parent, f64::from(u32::try_from(60 + dice.below(40))?)));
            }
        }
        let description = if dice.below(4) == 0 {
            format!("{} {}", WORDS[dice.below(WORDS.len())], WORDS[dice.below(WORDS.len())])
        } else {
            String::new()
        };
        let file_name = format!("IMG_{:04}.jpg", number % 10_000);
        let camera = CAMERAS[dice.below(CAMERAS.len())];
        let mut terms: BTreeSet<Term> =
            [file_name.as_str(), &description, camera].into_iter().flat_map(Term::words).collect();
        for (name, parent, _) in &labels {
            terms.insert(Term::label(name));
            terms.extend(Term::words(name));
            terms.extend(Term::words(parent));
        }
        Ok(Self {
            key: TimelineKey::new(created, photo).into(),
            sha256: format!("{a:016x}{b:016x}{number:032x}"),
            bytes: i64::try_from(1_000_000 + dice.below(9_000_000))?,
            created: created.naive_utc(),
            id,
            file_name,
            description,
            camera,
            labels,
            terms,
        })
    }
}

/// Fills an empty, migrated catalog with `photos` finished photos of `owner`.
macro_rules! fill {
    ($name:ident, $connection:ty) => {
        pub(crate) async fn $name(connection: &mut $connection, owner: &Owner, photos: usize) -> anyhow::Result<()> {
            let (there,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM album_total").fetch_one(&mut *connection).await?;
            ensure!(there == 0, "the catalog to fill must be empty");
            let mut dice = Dice(7);
            let mut totals: BTreeMap<&str, i64> = BTreeMap::new();
            let mut bytes = 0;
            let mut number = 0;
            while number < photos {
                let some = (number..photos.min(number + PHOTOS)).map(|number| Row::new(number, &mut dice)).collect::<anyhow::Result<Vec<Row>>>()?;
                number += some.len();
                let mut open = connection.begin().await?;
                for rows in some.chunks(ROWS) {
                    QueryBuilder::new(
                        "INSERT INTO photo (object_key, labels, description, cognito_username, created_datetime, id, timeline_key, sha256, \
                         bytes, media_type, file_name, width, height, thumbhash, details, developed_at, labelled_at, attempts) ",
                    )
                    .push_values(rows, |mut values, row| {
                        let labels: Vec<&str> = row.labels.iter().map(|(name, ..)| *name).collect();
                        values
                            .push_bind(format!("photos/{}.jpg", row.id))
                            .push_bind(labels.join(", "))
                            .push_bind(row.description.as_str())
                            .push_bind(owner.as_str())
                            .push_bind(row.created)
                            .push_bind(row.id.as_str())
                            .push_bind(row.key.as_str())
                            .push_bind(row.sha256.as_str())
                            .push_bind(row.bytes)
                            .push_bind("image/jpeg")
                            .push_bind(row.file_name.as_str())
                            .push_bind(6000_i64)
                            .push_bind(4000_i64)
                            .push_bind("3OcRJYB4d3h/iIeHeEh3eIhw+j2w")
                            .push_bind(format!("{{\"camera\":\"{}\"}}", row.camera))
                            .push_bind(row.created)
                            .push_bind(row.created)
                            .push_bind(1_i64);
                    })
                    .build()
                    .persistent(rows.len() == ROWS)
                    .execute(&mut *open)
                    .await?;
                    QueryBuilder::new("INSERT INTO photo_label (photo, name, confidence, parents) ")
                        .push_values(rows.iter().flat_map(|row| row.labels.iter().map(move |label| (row, label))), |mut values, (row, label)| {
                            values
                                .push_bind(row.id.as_str())
                                .push_bind(label.0)
                                .push_bind(label.2)
                                .push_bind(format!("[\"{}\"]", label.1));
                        })
                        .build()
                        .persistent(rows.len() == ROWS)
                        .execute(&mut *open)
                        .await?;
                    let terms: Vec<(&Row, &Term)> = rows.iter().flat_map(|row| row.terms.iter().map(move |term| (row, term))).collect();
                    for terms in terms.chunks(ROWS) {
                        QueryBuilder::new("INSERT INTO photo_term (owner, term, timeline_key) ")
                            .push_values(terms, |mut values, (row, term)| {
                                values.push_bind(owner.as_str()).push_bind(term.as_str()).push_bind(row.key.as_str());
                            })
                            .build()
                            .persistent(terms.len() == ROWS)
                            .execute(&mut *open)
                            .await?;
                    }
                }
                open.commit().await?;
                bytes += some.iter().map(|row| row.bytes).sum::<i64>();
                some.iter().flat_map(|row| &row.labels).for_each(|(name, ..)| *totals.entry(name).or_default() += 1);
            }
            for (name, photos) in totals {
                sqlx::query("INSERT INTO label_total (owner, name, photos) VALUES (?, ?, ?)")
                    .bind(owner.as_str())
                    .bind(name)
                    .bind(photos)
                    .execute(&mut *connection)
                    .await?;
            }
            sqlx::query("INSERT INTO album_total (owner, photos, bytes) VALUES (?, ?, ?)")
                .bind(owner.as_str())
                .bind(i64::try_from(photos)?)
                .bind(bytes)
                .execute(&mut *connection)
                .await?;
            Ok(())
        }
    };
}

fill!(fill_sqlite, SqliteConnection);
fill!(fill_mysql, MySqlConnection);
