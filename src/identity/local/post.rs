//! What is mailed to people, in the background and a bounded number at once: who asked is answered before it is known whether there is
//! anybody to write to.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};
use tokio::sync::{mpsc, watch};

use super::{
    code::{self, Codes},
    mail::{Mail, Text},
};
use crate::{
    catalog::{Catalog, Purpose},
    identity::SignInName,
};

/// How many letters may wait.
const WAITING: usize = 256;
/// How many are under way at once.
const AT_ONCE: usize = 4;
/// How long writing and sending one may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long the end of the program waits for letters.
const LAST_CALL: Duration = Duration::from_secs(10);

/// A letter to be written, if there is somebody to write it to.
pub(super) struct Letter {
    pub(super) name: SignInName,
    kind: Kind,
}

enum Kind {
    Code(Purpose),
    Taken,
}

impl Letter {
    /// A code.
    pub(super) fn code(purpose: Purpose, name: &SignInName) -> Self {
        Self { name: name.clone(), kind: Kind::Code(purpose) }
    }

    /// That there is an account already.
    pub(super) fn taken(name: &SignInName) -> Self {
        Self { name: name.clone(), kind: Kind::Taken }
    }
}

/// Where letters are handed in.
#[derive(Clone)]
pub(super) struct Post {
    letters: mpsc::Sender<Letter>,
    /// Tells the office to take no more.
    closing: watch::Sender<bool>,
    /// Closed once the office has sent what it had.
    open: mpsc::Sender<()>,
}

struct Office {
    mail: Mail,
    catalog: Catalog,
    codes: Codes,
    clock: fn() -> DateTime<Utc>,
}

impl Post {
    /// Opens the post; it closes when the last of its clones is gone and every letter is sent.
    pub(super) fn open(mail: Mail, catalog: Catalog, codes: Codes, clock: fn() -> DateTime<Utc>) -> Self {
        let (letters, mut waiting) = mpsc::channel(WAITING);
        let (closing, mut closed) = watch::channel(false);
        let (open, until) = mpsc::channel(1);
        let office = Office { mail, catalog, codes, clock };
        tokio::spawn(async move {
            let (office, _until) = (&office, until);
            let next = async || {
                tokio::select! {
                    letter = waiting.recv() => return letter,
                    _ = closed.wait_for(|closing| *closing) => waiting.close(),
                }
                waiting.recv().await
            };
            stream::unfold(next, async |mut next| next().await.map(|letter| (letter, next)))
                .for_each_concurrent(AT_ONCE, async |letter| office.see_to(letter).await)
                .await;
        });
        Self { letters, closing, open }
    }

    /// Takes no more letters, and waits until those that were taken are sent, or for as long as the end of a program may take.
    pub(super) async fn close(&self) {
        self.closing.send_replace(true);
        if tokio::time::timeout(LAST_CALL, self.open.closed()).await.is_err() {
            tracing::warn!("not all mails could be sent before the end; who waits for a code can ask for another");
        }
    }

    /// Takes a letter; an error when too many wait.
    pub(super) fn take(&self, letter: Letter) -> anyhow::Result<()> {
        self.letters.try_send(letter).map_err(|_| anyhow::anyhow!("{WAITING} letters wait for the mail server already"))
    }
}

impl Office {
    /// Writes and sends a letter. What goes wrong is logged without name and code: who asked cannot be told any more.
    async fn see_to(&self, letter: Letter) {
        let kind = match letter.kind {
            Kind::Code(purpose) => purpose.word(),
            Kind::Taken => "taken",
        };
        match tokio::time::timeout(PATIENCE, self.deliver(letter)).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => tracing::warn!(kind, error = format!("{cause:#}"), "a mail could not be sent"),
            Err(_) => tracing::warn!(kind, "a mail could not be sent within a minute"),
        }
    }

    async fn deliver(&self, letter: Letter) -> anyhow::Result<()> {
        let Some(account) = self.catalog.account_named(&letter.name.key()).await? else { return Ok(()) };
        let text = match letter.kind {
            Kind::Taken => Text::Taken,
            Kind::Code(Purpose::Confirm) if account.confirmed => return Ok(()),
            Kind::Code(purpose) => {
                let code = Codes::draw()?;
                let hash = self.codes.hash(&account.owner, purpose, &code);
                if !self.catalog.put_code(&account.owner, purpose, &hash, (self.clock)() + code::LASTS).await? {
                    return Ok(());
                }
                Text::Code(purpose, code)
            }
        };
        self.mail.send(&account.email, &text).await
    }
}
