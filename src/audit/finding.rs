//! What can be wrong, in sentences.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::catalog::{Flaw, Inspected};

/// What sort of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The database's tables are of another version.
    Schema,
    /// The database's file is damaged.
    DatabaseDamaged,
    /// A row cannot be read.
    RowUnreadable,
    /// A photo stands at the wrong place of its timeline.
    Timeline,
    /// The text of a photo's labels is not that of its labels.
    LabelText,
    /// A photo is not found by its words, or by words that are not its.
    Words,
    /// Something is left to do for a photo, and nobody does it.
    Stuck,
    /// A photo's original is not in the store.
    OriginalMissing,
    /// A photo's original is not what was uploaded.
    OriginalDamaged,
    /// A rendition of a photo is not in the store.
    RenditionMissing,
    /// A rendition of a photo is not a picture of the right size.
    RenditionDamaged,
    /// A photo is marked as damaged, and whole.
    WholeAgain,
    /// An object belongs to no photo, and is older than a day.
    OrphanObject,
    /// Words are filed for a photo that there is not.
    StrayWords,
    /// Labels are kept of a photo that there is not.
    StrayLabels,
    /// An album's count is wrong.
    AlbumTotal,
    /// A label's count is wrong.
    LabelTotal,
    /// An object of a deleted photo is still there.
    Discarded,
    /// A deleted account is still there.
    Departing,
    /// Sessions are past their time.
    StaleSessions,
    /// Photos belong to nobody who has an account.
    OwnerMissing,
    /// Sessions belong to nobody who has an account.
    StraySessions,
    /// Codes belong to nobody who has an account.
    StrayCodes,
    /// A lease is held further ahead than anybody takes one.
    Lease,
    /// Messages were given up.
    DeadLetters,
    /// How many messages wait or were given up cannot be told.
    QueueUnseen,
}

/// Something that is wrong, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What sort of thing.
    pub kind: Kind,
    /// The photo that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub photo: Option<String>,
    /// The object that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What is wrong, and what is or can be done about it: two or three sentences on one line.
    pub detail: String,
    /// Whether it was set right.
    pub repaired: bool,
}

impl Finding {
    /// A finding that is not set right.
    pub(super) fn of(kind: Kind, what: impl AsRef<str>, remedy: &str) -> Self {
        let detail = crate::photo::plain_line(&format!("{} {remedy}", what.as_ref()));
        Self { kind, photo: None, object: None, detail, repaired: false }
    }

    /// The same, set right or not.
    pub(super) fn repaired(self, repaired: bool) -> Self {
        Self { repaired, ..self }
    }
}

/// A moment as sentences tell it.
pub(super) fn day(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// What is wrong with a row; with `mended` it was set right, if it could be. Nothing of one that waits: those are told together.
pub(super) fn of_row(row: &Inspected, flaw: &Flaw, mended: bool) -> Option<Finding> {
    let id = &row.id;
    let (kind, what, does) = match flaw {
        Flaw::Unreadable(why) => {
            let what = format!("The row of photo {id} (object {}) cannot be read: {why}.", row.object_key);
            let remedy = "Correct the row by hand, or put it back from a backup of the database.";
            return Some(Finding { photo: Some(id.clone()), ..Finding::of(Kind::RowUnreadable, what, remedy) });
        }
        Flaw::Overdue(_) => return None,
        Flaw::Misplaced => (
            Kind::Timeline,
            format!("Photo {id} does not stand in the timeline where its moment is."),
            ("`--repair` puts it there.", "It is put there."),
        ),
        Flaw::LabelText => (
            Kind::LabelText,
            format!("The column `labels` of photo {id} tells other labels than it has."),
            ("`--repair` writes it anew.", "It is written anew."),
        ),
        Flaw::Misfiled { missing, strays } => (
            Kind::Words,
            format!(
                "Photo {id} is filed under wrong words: of its own {missing} are missing, and {strays} are not its own."
            ),
            ("`--repair` files it anew.", "It is filed anew."),
        ),
        Flaw::Forgotten => (
            Kind::Stuck,
            format!("Photo {id} is not finished, and no worker will ever take it up."),
            ("`--repair` makes it due.", "It is due now, for the next worker."),
        ),
        Flaw::FarOff(until) => (
            Kind::Stuck,
            format!("Photo {id} is not to be taken up before {}: a clock was wrong.", day(*until)),
            ("`--repair` makes it due.", "It is due now, for the next worker."),
        ),
    };
    let remedy = if mended { does.1 } else { does.0 };
    Some(Finding { photo: Some(id.clone()), ..Finding::of(kind, what, remedy) }.repaired(mended))
}
