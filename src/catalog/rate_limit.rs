//! How much has been tried lately, counted for all instances together: the generic cell rate algorithm, one moment for each bucket.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};

use super::{Catalog, Session, row::moment};

/// How fast a bucket fills: `burst` at once, then one each `every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// How long one counts.
    pub every: Duration,
}

/// Whether there was room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// One was put into each bucket.
    Yes,
    /// A bucket was full, and nothing was put into any.
    Full {
        /// After which time there is room again.
        retry_after: Duration,
    },
}

impl Catalog {
    /// Puts one into each of these buckets, or into none when one of them is full. `buckets` are names of 64 characters and their rates.
    pub async fn take(&self, buckets: &[(String, Rate)], now: DateTime<Utc>) -> anyhow::Result<Taken> {
        let mut buckets: Vec<_> = buckets.to_vec();
        buckets.sort_by(|(a, _), (b, _)| a.cmp(b));
        transaction!(self, "counting tries", |session| {
            let mut filled = Vec::with_capacity(buckets.len());
            let mut wait = Duration::ZERO;
            for (bucket, rate) in &buckets {
                let empty_at = full_at(session, bucket).await?;
                let latest = now + rate.every * rate.burst;
                if empty_at.is_some_and(|at| at > latest) {
                    // The clock that wrote this was ahead of ours: a bucket is never more than full.
                    let write = "UPDATE rate_limit SET full_at = ? WHERE bucket = ?";
                    execute!(session, write, moment(latest), bucket.as_str())?;
                }
                let next = empty_at.unwrap_or(now).clamp(now, latest) + rate.every;
                let ahead = (next - now).to_std().unwrap_or_default();
                wait = wait.max(ahead.saturating_sub(rate.every * rate.burst));
                filled.push((bucket, empty_at.is_some(), next));
            }
            if wait > Duration::ZERO {
                return Ok(Taken::Full { retry_after: wait });
            }
            for (bucket, known, next) in filled {
                let write = if known {
                    "UPDATE rate_limit SET full_at = ? WHERE bucket = ?"
                } else {
                    "INSERT INTO rate_limit (full_at, bucket) VALUES (?, ?)"
                };
                execute!(session, write, moment(next), bucket.as_str())?;
            }
            Ok(Taken::Yes)
        })
    }

    /// Takes back out of each bucket what one [`take`](Self::take) put in.
    pub async fn give_back(&self, buckets: &[(String, Rate)]) -> anyhow::Result<()> {
        let mut buckets: Vec<_> = buckets.to_vec();
        buckets.sort_by(|(a, _), (b, _)| a.cmp(b));
        transaction!(self, "counting tries", |session| {
            for (bucket, rate) in &buckets {
                if let Some(at) = full_at(session, bucket).await? {
                    let write = "UPDATE rate_limit SET full_at = ? WHERE bucket = ?";
                    execute!(session, write, moment(at - rate.every), bucket.as_str())?;
                }
            }
            Ok(())
        })
    }

    /// Forgets at most `limit` buckets that are empty at `now`; returns how many.
    pub async fn forget_empty_buckets(&self, now: DateTime<Utc>, limit: u32) -> anyhow::Result<usize> {
        let empty: Vec<(String,)> = read!(self, "looking for old limits", |session| Ok(select!(
            session,
            fetch_all,
            (String,),
            "SELECT bucket FROM rate_limit WHERE full_at <= ? ORDER BY full_at LIMIT ?",
            moment(now),
            i64::from(limit)
        )?))?;
        let mut names: Vec<&str> = empty.iter().map(|(bucket,)| bucket.as_str()).collect();
        names.sort_unstable();
        transaction!(self, "forgetting old limits", |session| {
            for bucket in &names {
                execute!(session, "DELETE FROM rate_limit WHERE bucket = ? AND full_at <= ?", *bucket, moment(now))?;
            }
            Ok(())
        })?;
        Ok(names.len())
    }
}

/// When a bucket will be empty; nobody else can change it until the transaction ends.
async fn full_at(session: &mut Session<'_>, bucket: &str) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let text = "SELECT full_at FROM rate_limit WHERE bucket = ? /*! FOR UPDATE */";
    let row: Option<(NaiveDateTime,)> = select!(session, fetch_optional, (NaiveDateTime,), text, bucket)?;
    Ok(row.map(|(at,)| at.and_utc()))
}
