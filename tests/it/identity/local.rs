//! The accounts built in, on both engines, with a mail server of the tests' own.
#![expect(clippy::disallowed_methods, reason = "tests read the clock")]

use std::{collections::HashMap, net::SocketAddr, num::NonZeroUsize, sync::Mutex};

use async_trait::async_trait;
use chrono::Utc;
use photo_gallery::identity::{
    Identity, SignInName,
    local::{
        Local, Rules,
        mail::{Encryption, Mail, Server},
    },
};
use secrecy::SecretString;

use super::{Provider, newcomer};
use crate::{
    catalog::Bed,
    mail::{MailServer, code_in},
};

/// How mail gets to a server of the tests' own.
pub(crate) fn mail_by(server: &MailServer) -> Mail {
    mail_to(server.address)
}

/// How mail gets to what listens there.
pub(crate) fn mail_to(address: SocketAddr) -> Mail {
    let server = Server {
        host: address.ip().to_string(),
        port: Some(address.port()),
        encryption: Encryption::None,
        account: None,
        from: "Photos <photos@gallery.example>".to_owned(),
        base_url: Some("https://gallery.example".parse().unwrap()),
    };
    Mail::new(&server).unwrap()
}

/// The accounts in this catalog.
pub(crate) async fn accounts(bed: &Bed, open: bool, mail: Option<Mail>) -> Local {
    let rules = Rules { open, code_key: [1; 32], mail, at_once: NonZeroUsize::new(2).unwrap() };
    Local::new(bed.catalog.clone(), rules, Utc::now).await.unwrap()
}

/// Accounts that are not empty, and the mails to them.
pub(crate) struct Accounts {
    pub(crate) local: Local,
    pub(crate) mails: MailServer,
    pub(crate) bed: Bed,
    read: Mutex<HashMap<String, usize>>,
}

impl Accounts {
    async fn on(bed: Bed) -> Self {
        let mails = MailServer::start().await;
        let local = accounts(&bed, true, Some(mail_by(&mails))).await;
        local.sign_up(&newcomer("first@example.org")).await.unwrap();
        Self { local, mails, bed, read: Mutex::default() }
    }

    async fn next_code(&self, name: &SignInName) -> SecretString {
        let number = {
            let mut read = self.read.lock().unwrap();
            let read = read.entry(name.key()).or_default();
            *read += 1;
            *read - 1
        };
        code_in(&self.mails.nth(name.as_str(), number).await.text).into()
    }

    /// Whatever was asked before this has been sent once a later mail is there.
    async fn settle(&self) {
        for _ in 0..4 {
            self.local.forgot(&"first@example.org".parse().unwrap()).await.unwrap();
            self.next_code(&"first@example.org".parse().unwrap()).await;
        }
    }

    async fn nothing_sent(&self, name: &SignInName) {
        self.settle().await;
        let read = self.read.lock().unwrap().get(&name.key()).copied().unwrap_or_default();
        assert_eq!(self.mails.to(name.as_str()).len(), read);
    }
}

/// A provider on a kind of database.
macro_rules! provider {
    ($name:ident on $bed:ident) => {
        pub(crate) struct $name(Accounts);

        #[async_trait(?Send)]
        impl Provider for $name {
            async fn fresh() -> Self {
                Self(Accounts::on(Bed::$bed().await).await)
            }

            fn identity(&self) -> &dyn Identity {
                &self.0.local
            }

            async fn code(&self, name: &SignInName) -> SecretString {
                self.0.next_code(name).await
            }

            async fn nothing_sent(&self, name: &SignInName) {
                self.0.nothing_sent(name).await;
            }

            async fn gone(self) {
                self.0.bed.gone().await;
            }
        }
    };
}

provider!(OnSqlite on sqlite);
provider!(OnMariaDb on mariadb);

mod on_sqlite {
    crate::identity::conformance!(super::OnSqlite);
}

mod with_servers {
    crate::identity::conformance!(super::OnMariaDb);
}
