//! Whether workers keep up: photos that wait too long, leases that nobody can take, messages that were given up.

use chrono::TimeDelta;

use super::{
    FAR_OFF, Round,
    finding::{Finding, Kind, day},
};
use crate::{events, photo::counted};

impl Round<'_> {
    /// Photos that a worker should have taken up: one finding, because one thing is wrong, and only a worker helps.
    pub(super) fn waiting(&mut self) {
        let Some(since) = self.waiting_since else { return };
        let what = match self.waiting {
            1 => format!("1 photo waits for a worker since {}.", day(since)),
            several => {
                format!("{} wait for a worker, the longest since {}.", counted(several, "photo", "photos"), day(since))
            }
        };
        let remedy = "See that a worker runs (`photo-gallery work`, or `serve` with its own), that it keeps up, and what its log says of \
                      photos that it puts off; it finds them by itself.";
        self.found(&Finding::of(Kind::Stuck, what, remedy));
    }

    /// Leases that are held further ahead than anybody takes one: until then nobody does what they are for.
    pub(super) async fn leases(&mut self) -> anyhow::Result<()> {
        let ahead = TimeDelta::from_std(self.audit.rules.lease * 2).unwrap_or(TimeDelta::MAX).max(FAR_OFF);
        for lease in self.catalog().leases().await? {
            let until = lease.held_until();
            if until - self.now <= ahead {
                continue;
            }
            if self.how.repair {
                self.catalog().give_up_lease(&lease.name, &lease.holder).await?;
            }
            let what = format!(
                "The lease `{}` is held by {} until {}: a clock was wrong.",
                lease.name,
                lease.holder,
                day(until)
            );
            let remedy = self.either("It is given up.", "`--repair` gives it up.");
            self.found(&Finding::of(Kind::Lease, what, remedy).repaired(self.how.repair));
        }
        Ok(())
    }

    /// How many messages there are, and those that were given up.
    pub(super) async fn queue(&mut self) -> anyhow::Result<()> {
        self.listener.begins("the queue", None);
        if self.audit.rules.queue_elsewhere {
            self.summary.queue_note =
                Some("The queue is not named in these settings (`events.aws.queue_url`), so nothing is said of it.");
            return Ok(());
        }
        let depth = match self.audit.parts.events.depth().await {
            Ok(depth) => depth,
            Err(cause) if events::is_lasting(&cause) => {
                let what = format!("How many messages the queue holds cannot be told: {cause:#}.");
                self.summary.queue_note = Some("The queue may not be asked how many messages it holds.");
                let remedy =
                    "Allow `sqs:GetQueueAttributes` on the queue, and see that the settings name the right one.";
                self.found(&Finding::of(Kind::QueueUnseen, what, remedy));
                return Ok(());
            }
            Err(cause) => return Err(cause),
        };
        self.summary.queue = depth;
        match depth.map(|depth| depth.dead) {
            None | Some(Some(0)) => {}
            Some(None) => {
                self.summary.queue_note = Some("How many messages were given up is not known.");
                let what = "How many messages were given up cannot be told: the queue has no dead-letter queue, or it may not be asked.";
                let remedy = "Give the queue a redrive policy, and allow `sqs:GetQueueUrl` and `sqs:GetQueueAttributes` on the dead-letter queue.";
                self.found(&Finding::of(Kind::QueueUnseen, what, remedy));
            }
            Some(Some(dead)) => {
                let what = match dead {
                    1 => "1 message lies in the dead-letter queue.".to_owned(),
                    several => format!("{} lie in the dead-letter queue.", counted(several, "message", "messages")),
                };
                let remedy = "Look there: what a message names is finished by the sweep if it is a photo. Redrive or delete what is there.";
                self.found(&Finding::of(Kind::DeadLetters, what, remedy));
            }
        }
        Ok(())
    }
}
