//! What the catalog keeps beside its rows so that it need not read them all: words, labels and counts.

use super::{
    PAGE, Round,
    finding::{Finding, Kind},
};
use crate::{
    catalog::{Miscount, Stray},
    photo::Owner,
};

/// How many findings of one sort a look over a whole table brings; when all are mended, it is looked again.
const SURVEYED: usize = 1000;

impl Round<'_> {
    /// Words and labels of photos that are not listed.
    pub(super) async fn words_and_labels(&mut self) -> anyhow::Result<()> {
        self.listener.begins("words and labels", None);
        let mut after = Some(Stray { owner: String::new(), timeline_key: String::new() });
        while let Some(from) = after {
            let (strays, next) = self.catalog().stray_words(&from, PAGE).await?;
            for stray in strays {
                if self.how.repair {
                    self.catalog().sweep_words(&stray).await?;
                }
                let what = format!(
                    "Words are filed for a photo of {} at {} in the timeline, where there is none.",
                    stray.owner, stray.timeline_key
                );
                self.found(
                    &Finding::of(
                        Kind::StrayWords,
                        what,
                        self.either("They are taken away.", "`--repair` takes them away."),
                    )
                    .repaired(self.how.repair),
                );
            }
            self.listener.advanced(u64::from(PAGE));
            after = next;
        }
        loop {
            let strays = self.catalog().stray_labels().await?;
            for photo in &strays {
                if self.how.repair {
                    self.catalog().sweep_labels(photo).await?;
                }
                let what = format!("Labels are kept of a photo {photo}, which there is not.");
                self.found(
                    &Finding::of(
                        Kind::StrayLabels,
                        what,
                        self.either("They are taken away.", "`--repair` takes them away."),
                    )
                    .repaired(self.how.repair),
                );
            }
            if !self.how.repair || strays.len() < SURVEYED {
                return Ok(());
            }
        }
    }

    /// Counts that are not what there is.
    pub(super) async fn counts(&mut self) -> anyhow::Result<()> {
        self.listener.begins("counts", None);
        loop {
            let miscounts = self.catalog().miscounts().await?;
            let mut set_right = 0;
            for miscount in &miscounts {
                // A count of nobody's cannot be written through the front door, and shows nowhere.
                let repaired = self.how.repair && miscount.owner.parse::<Owner>().is_ok();
                if repaired {
                    self.catalog().recount(miscount).await?;
                    set_right += 1;
                }
                let Miscount { owner, label, told, counted, bytes_missing } = miscount;
                let (kind, what) = match label {
                    Some(label) => (
                        Kind::LabelTotal,
                        format!(
                            "The count of {owner}'s photos with the label `{label}` is {told}, and there are {counted}."
                        ),
                    ),
                    None => (
                        Kind::AlbumTotal,
                        format!(
                            "The count of {owner}'s photos is {told}, and there are {counted}; that of their bytes is wrong by {}.",
                            bytes_missing.unsigned_abs()
                        ),
                    ),
                };
                let remedy = if repaired {
                    "It is set right."
                } else if self.how.repair {
                    "That is the name of no owner: take the row away by hand."
                } else {
                    "`--repair` sets it right."
                };
                self.found(&Finding::of(kind, what, remedy).repaired(repaired));
            }
            let sorts = miscounts.iter().filter(|miscount| miscount.label.is_some()).count();
            if set_right < miscounts.len() || sorts.max(miscounts.len() - sorts) < SURVEYED {
                return Ok(());
            }
        }
    }
}
