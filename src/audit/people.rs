//! What is kept of people: accounts on their way out, sessions, codes, and owners who have no account.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Round,
    finding::{Finding, Kind, day},
    too_many,
};
use crate::photo::counted;

/// How long the deletion of an account may take: an hour in which uploads may still be under way, and the time until it is swept.
const DEPARTING: TimeDelta = TimeDelta::minutes(75);
/// How long a session may be kept after its time.
const UNSWEPT: TimeDelta = TimeDelta::hours(1);

impl Round<'_> {
    /// Accounts, sessions and codes.
    pub(super) async fn people(&mut self) -> anyhow::Result<()> {
        self.listener.begins("accounts and sessions", None);
        let begun_before = TimeDelta::from_std(self.audit.rules.session).map(|session| self.now - session - UNSWEPT);
        let stale = match begun_before {
            Ok(before) => self.catalog().sessions_begun_before(before).await?,
            Err(_) => 0,
        };
        let late = self.leaving().await?;
        if self.how.repair && (stale > 0 || !late.is_empty()) {
            self.audit.parts.accounts.sweep().await?;
        }
        if stale > 0 {
            let what = match stale {
                1 => "1 session is past its time and still kept.".to_owned(),
                several => format!("{} are past their time and still kept.", counted(several, "session", "sessions")),
            };
            let remedy =
                self.either("That is ended.", "A running gallery ends that within a minute, and so does `--repair`.");
            self.found(&Finding::of(Kind::StaleSessions, what, remedy).repaired(self.how.repair));
        }
        let left = if self.how.repair { self.leaving().await? } else { Vec::new() };
        for (owner, since) in late {
            let repaired = self.how.repair && !left.iter().any(|(still, _)| *still == owner);
            let what = format!("The account of {owner}, deleted on {}, is not gone yet.", day(since));
            let remedy = if repaired {
                "It is gone now."
            } else {
                "A running gallery deletes it once the provider of accounts answers; its log says what is in the way."
            };
            self.found(&Finding::of(Kind::Departing, what, remedy).repaired(repaired));
        }
        if !self.audit.rules.knows_owners {
            return Ok(());
        }
        for (owner, photos) in self.catalog().owners_without_account().await? {
            let what = match photos {
                1 => format!("1 photo belongs to {owner}, who has no account: nobody can see it."),
                several => format!(
                    "{} belong to {owner}, who has no account: nobody can see them.",
                    counted(several, "photo", "photos")
                ),
            };
            let remedy = "If a backup of the database was put in place, put in one that has the account; else change the owner by hand.";
            self.found(&Finding::of(Kind::OwnerMissing, what, remedy));
        }
        let strays = self.catalog().sessions_without_account().await?;
        let (accounts, signed_in) = self.catalog().people().await?;
        let strange = accounts == 0 || too_many(strays.len() as u64, signed_in);
        for owner in strays {
            let repaired = self.how.repair && !strange;
            if repaired {
                self.catalog().end_sessions(&owner.parse()?).await?;
            }
            let what = format!("Somebody is signed in as {owner}, who has no account.");
            let remedy = if strange {
                "Too many are: the settings that say where accounts are seem to be wrong, and `--repair` ends no session. See to `identity` first."
            } else {
                self.either("The sessions are ended.", "`--repair` ends the sessions.")
            };
            self.found(&Finding::of(Kind::StraySessions, what, remedy).repaired(repaired));
        }
        let codes = self.catalog().codes_without_account().await?;
        if codes > 0 {
            if self.how.repair {
                self.catalog().sweep_codes().await?;
            }
            let what = match codes {
                1 => "1 code was sent to an account that does not exist.".to_owned(),
                several => format!("{} were sent to accounts that do not exist.", counted(several, "code", "codes")),
            };
            let remedy = self.either("That is taken away.", "`--repair` takes that away.");
            self.found(&Finding::of(Kind::StrayCodes, what, remedy).repaired(self.how.repair));
        }
        Ok(())
    }

    /// Accounts whose deletion takes too long.
    async fn leaving(&self) -> anyhow::Result<Vec<(String, DateTime<Utc>)>> {
        let all = self.catalog().departing().await?.into_iter();
        let late = all.filter(|departing| departing.since <= self.now - DEPARTING);
        Ok(late.map(|departing| (departing.owner.as_str().to_owned(), departing.since)).collect())
    }
}
