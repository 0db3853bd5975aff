//! What is done in one place at a time, however many instances there are: whoever holds the lease does it.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::{Catalog, Session, row::moment};

/// A lease that another holds for so much longer than it is asked for was written by a wrong clock.
const FAR_BEYOND: TimeDelta = TimeDelta::hours(1);

/// Who does something alone, and until when unless it says more.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Lease {
    /// What is done.
    pub name: String,
    /// Who does it.
    pub holder: String,
    /// Until when.
    held_until: NaiveDateTime,
}

impl Lease {
    /// From this moment on anybody may take it.
    pub fn held_until(&self) -> DateTime<Utc> {
        self.held_until.and_utc()
    }
}

impl Catalog {
    /// Gives the lease on `name` to `holder` until `until`, when nobody else holds it at the moment `now`; false when somebody does. Its holder
    /// renews it by the same call. One that runs out more than an hour after `until` counts as nobody's. Of many who ask at once one gets it. Both names have at most 100 characters.
    pub async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> anyhow::Result<bool> {
        repeatable!(self, "taking a lease", |session| {
            let taken = execute!(
                session,
                "UPDATE lease SET holder = ?, held_until = ? WHERE name = ? AND (holder = ? OR held_until <= ? OR held_until > ?)",
                holder,
                moment(until),
                name,
                holder,
                moment(now),
                moment(until + FAR_BEYOND)
            )?;
            if taken > 0 {
                return Ok(true);
            }
            let held: Option<(String,)> =
                select!(session, fetch_optional, (String,), "SELECT holder FROM lease WHERE name = ?", name)?;
            if held.is_some() {
                return Ok(false);
            }
            // Of two who insert at once the second finds the key taken, and asks again.
            let insert = "INSERT INTO lease (name, holder, held_until) VALUES (?, ?, ?)";
            execute!(session, insert, name, holder, moment(until))?;
            Ok(true)
        })
    }

    /// Gives a lease back before its time; does nothing when `holder` does not hold it.
    pub async fn give_up_lease(&self, name: &str, holder: &str) -> anyhow::Result<()> {
        repeatable!(self, "giving a lease up", |session| {
            execute!(session, "DELETE FROM lease WHERE name = ? AND holder = ?", name, holder)?;
            Ok(())
        })
    }

    /// All leases, those that have run out included, by name.
    pub async fn leases(&self) -> anyhow::Result<Vec<Lease>> {
        read!(self, "reading the leases", |session| Ok(select!(
            session,
            fetch_all,
            Lease,
            "SELECT name, holder, held_until FROM lease ORDER BY name"
        )?))
    }
}
