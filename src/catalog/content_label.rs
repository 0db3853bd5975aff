//! What labelers that cost money have said, kept by the content they were asked about: the same bytes are paid for once, whoever brings them,
//! and also after a photo was deleted.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::{Catalog, Session, row::moment, work::FAR_AHEAD};
use crate::photo::{Label, Sha256};

/// How exactly it is known when labels were last used: so seldom a use is written down.
const USED_EVERY: TimeDelta = TimeDelta::days(1);

pub(super) const UNUSED: &str = "SELECT sha256, labeler FROM content_label /*! FORCE INDEX (content_label_by_used) */ \
     WHERE used_at < ? ORDER BY used_at LIMIT ?";

/// What is known of a content.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// What the labeler said.
    Labels(Vec<Label>),
    /// Somebody else is asking, until then unless they say more.
    Asked(DateTime<Utc>),
    /// Nothing: it is now for the caller to ask.
    Nothing,
}

#[derive(sqlx::FromRow)]
struct ContentRow {
    labels: Option<String>,
    asking: Option<String>,
    asking_until: Option<NaiveDateTime>,
    used_at: NaiveDateTime,
}

impl Catalog {
    /// What `labeler` said of a content. When nothing is known and nobody asks, it is noted that `mark` asks until `until`.
    pub async fn known_labels(
        &self,
        content: Sha256,
        labeler: &str,
        mark: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> anyhow::Result<Known> {
        let sha256 = content.to_string();
        repeatable!(self, "looking for labels of the same content", |session| {
            let text = "SELECT labels, asking, asking_until, used_at FROM content_label WHERE sha256 = ? AND labeler = ? /*! FOR UPDATE */";
            let row = select!(session, fetch_optional, ContentRow, text, sha256.as_str(), labeler)?;
            let Some(row) = row else {
                execute!(
                    session,
                    "INSERT INTO content_label (asking, asking_until, used_at, sha256, labeler) VALUES (?, ?, ?, ?, ?)",
                    mark,
                    moment(until),
                    moment(now),
                    sha256.as_str(),
                    labeler
                )?;
                return Ok(Known::Nothing);
            };
            let labels = row.labels.as_deref().and_then(|labels| {
                let read = serde_json::from_str(labels);
                read.inspect_err(|cause| {
                    tracing::error!(%content, labeler, %cause, "labels of a content cannot be read, and are asked for again");
                })
                .ok()
            });
            if let Some(labels) = labels {
                if row.used_at < moment(now - USED_EVERY) {
                    let write = "UPDATE content_label SET used_at = ? WHERE sha256 = ? AND labeler = ?";
                    execute!(session, write, moment(now), sha256.as_str(), labeler)?;
                }
                return Ok(Known::Labels(labels));
            }
            match row.asking_until {
                Some(asked)
                    if asked > moment(now)
                        && asked <= moment(now + FAR_AHEAD)
                        && row.asking.as_deref() != Some(mark) =>
                {
                    Ok(Known::Asked(asked.and_utc()))
                }
                _ => {
                    execute!(
                        session,
                        "UPDATE content_label SET labels = NULL, asking = ?, asking_until = ?, used_at = ? WHERE sha256 = ? AND labeler = ?",
                        mark,
                        moment(until),
                        moment(now),
                        sha256.as_str(),
                        labeler
                    )?;
                    Ok(Known::Nothing)
                }
            }
        })
    }

    /// Notes that `mark` goes on asking until `until`; nothing when somebody else asks by now.
    pub async fn go_on_asking(
        &self,
        content: Sha256,
        labeler: &str,
        mark: &str,
        until: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        repeatable!(self, "asking on for labels", |session| {
            execute!(
                session,
                "UPDATE content_label SET asking_until = ? WHERE sha256 = ? AND labeler = ? AND asking = ?",
                moment(until),
                content.to_string(),
                labeler,
                mark
            )?;
            Ok(())
        })
    }

    /// Notes that `mark` got no answer, so that the next one asks at once.
    pub async fn stop_asking(&self, content: Sha256, labeler: &str, mark: &str) -> anyhow::Result<()> {
        repeatable!(self, "asking no more for labels", |session| {
            execute!(
                session,
                "DELETE FROM content_label WHERE sha256 = ? AND labeler = ? AND asking = ? AND labels IS NULL",
                content.to_string(),
                labeler,
                mark
            )?;
            Ok(())
        })
    }

    /// Keeps what `labeler` said of a content at the moment `at`.
    pub async fn keep_labels(
        &self,
        content: Sha256,
        labeler: &str,
        labels: &[Label],
        at: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let labels = serde_json::to_string(labels)?;
        repeatable!(self, "keeping labels by their content", |session| {
            execute!(
                session,
                "REPLACE INTO content_label (sha256, labeler, labels, used_at) VALUES (?, ?, ?, ?)",
                content.to_string(),
                labeler,
                labels.as_str(),
                moment(at)
            )?;
            Ok(())
        })
    }

    /// Forgets at most `limit` contents that nobody asked about since `before`; returns how many.
    pub async fn forget_labels(&self, before: DateTime<Utc>, limit: u32) -> anyhow::Result<usize> {
        let old: Vec<(String, String)> = read!(self, "looking for labels that nobody uses", |session| Ok(select!(
            session,
            fetch_all,
            (String, String),
            UNUSED,
            moment(before),
            i64::from(limit)
        )?))?;
        let mut keys: Vec<&(String, String)> = old.iter().collect();
        keys.sort();
        repeatable!(self, "forgetting labels that nobody uses", |session| {
            for (sha256, labeler) in &keys {
                execute!(
                    session,
                    "DELETE FROM content_label WHERE sha256 = ? AND labeler = ? AND used_at < ?",
                    sha256.as_str(),
                    labeler.as_str(),
                    moment(before)
                )?;
            }
            Ok(())
        })?;
        Ok(old.len())
    }
}
