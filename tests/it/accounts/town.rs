//! A provider that does as the test says.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use photo_gallery::{
    identity::{
        Answer, Chooser, Delivery, Denied, Grant, Identity, NewAccount, Nickname, Offers, Pending, Person, Refusal,
        Response, SignInName, SignedIn, SignedUp, Step,
    },
    photo::Owner,
};
use secrecy::{ExposeSecret as _, SecretString};

/// Somebody with an account.
#[derive(Clone)]
struct Resident {
    person: Person,
    password: String,
    disabled: bool,
}

/// The code that was sent to everybody.
pub(super) const CODE: &str = "123456";

/// Who lives here, how often what was asked, and how the provider fares.
#[derive(Default)]
pub(super) struct Town {
    residents: Mutex<HashMap<String, Resident>>,
    asked: Mutex<Vec<&'static str>>,
    /// Whether sessions come with a grant, so that the provider is to be asked again.
    pub(super) grants: AtomicBool,
    /// Whether it answers nothing.
    pub(super) down: AtomicBool,
    /// Whether it deletes nobody, for now.
    pub(super) fails_to_delete: AtomicBool,
    /// With what it refuses to delete anybody.
    pub(super) keeps: Mutex<Option<Refusal>>,
    /// Whom it fails to delete.
    pub(super) stuck: Mutex<Option<Owner>>,
    /// Whether a reset tells whose password it was.
    pub(super) tells: AtomicBool,
    /// How long each answer takes, in milliseconds.
    pub(super) slow: AtomicU64,
}

impl Town {
    /// How often this was asked since the last time this was asked for.
    pub(super) fn asked(&self, what: &str) -> usize {
        let mut asked = self.asked.lock().unwrap();
        let before = asked.len();
        asked.retain(|one| *one != what);
        before - asked.len()
    }

    /// Lets nobody of this name in any more.
    pub(super) fn disable(&self, name: &str) {
        self.residents.lock().unwrap().get_mut(name).unwrap().disabled = true;
    }

    /// Whether somebody of this name lives here.
    pub(super) fn houses(&self, name: &str) -> bool {
        self.residents.lock().unwrap().contains_key(name)
    }

    async fn ask(&self, what: &'static str) -> Answer<()> {
        self.asked.lock().unwrap().push(what);
        tokio::time::sleep(Duration::from_millis(self.slow.load(Ordering::SeqCst))).await;
        if self.down.load(Ordering::SeqCst) {
            return Err(Denied::Down(anyhow::anyhow!("the town hall is closed")));
        }
        Ok(())
    }

    fn of(&self, owner: &Owner) -> Option<(String, Resident)> {
        let residents = self.residents.lock().unwrap();
        residents.iter().find(|(_, one)| one.person.owner == *owner).map(|(name, one)| (name.clone(), one.clone()))
    }

    fn signed_in(&self, person: Person) -> SignedIn {
        let grant =
            self.grants.load(Ordering::SeqCst).then(|| Grant(format!("grant of {}", person.owner.as_str()).into()));
        SignedIn { person, grant }
    }
}

#[async_trait]
impl Identity for Town {
    fn offers(&self) -> Offers {
        Offers {
            sign_up: true,
            codes: true,
            phone: false,
            hosted: false,
            password: true,
            confirm_password: false,
            password_chars: 8,
        }
    }

    async fn tidy(&self) -> anyhow::Result<()> {
        self.asked.lock().unwrap().push("tidy");
        Ok(())
    }

    async fn sign_up(&self, account: &NewAccount) -> Answer<SignedUp> {
        self.ask("sign up").await?;
        let person = Person {
            owner: uuid::Uuid::now_v7().to_string().parse().unwrap(),
            email: Some(account.name.as_str().to_owned()),
            nickname: Some(account.nickname.as_str().to_owned()),
        };
        let password = account.password.expose_secret().to_owned();
        self.residents.lock().unwrap().insert(account.name.key(), Resident { person, password, disabled: false });
        Ok(SignedUp::Ready)
    }

    async fn confirm(&self, _: &SignInName, code: &SecretString, _: &Chooser) -> Answer<()> {
        self.ask("confirm").await?;
        if code.expose_secret() == CODE { Ok(()) } else { Err(Refusal::Code.into()) }
    }

    async fn resend(&self, _: &SignInName) -> Answer<Delivery> {
        self.ask("resend").await?;
        Ok(Delivery { to: None, mark: None })
    }

    async fn sign_in(&self, name: &SignInName, password: &SecretString) -> Answer<Step> {
        self.ask("sign in").await?;
        let resident = self.residents.lock().unwrap().get(&name.key()).cloned();
        let right = resident.filter(|one| one.password == password.expose_secret() && !one.disabled);
        let Some(resident) = right else { return Err(Refusal::Credentials.into()) };
        Ok(Step::In(Box::new(self.signed_in(resident.person))))
    }

    async fn respond(&self, _: &Pending, _: &Response) -> Answer<Step> {
        Err(Refusal::Expired.into())
    }

    async fn forgot(&self, _: &SignInName) -> Answer<Delivery> {
        self.ask("forgot").await?;
        Ok(Delivery { to: None, mark: None })
    }

    async fn reset(&self, name: &SignInName, code: &SecretString, password: &SecretString) -> Answer<Option<Owner>> {
        self.ask("reset").await?;
        let mut residents = self.residents.lock().unwrap();
        let Some(resident) = residents.get_mut(&name.key()).filter(|_| code.expose_secret() == CODE) else {
            return Err(Refusal::Code.into());
        };
        password.expose_secret().clone_into(&mut resident.password);
        Ok(self.tells.load(Ordering::SeqCst).then(|| resident.person.owner.clone()))
    }

    async fn change_password(&self, who: &SignedIn, old: &SecretString, new: &SecretString) -> Answer<()> {
        self.ask("change password").await?;
        let mut residents = self.residents.lock().unwrap();
        let resident = residents.values_mut().find(|one| one.person.owner == who.person.owner).unwrap();
        if resident.password != old.expose_secret() {
            return Err(Refusal::Credentials.into());
        }
        new.expose_secret().clone_into(&mut resident.password);
        Ok(())
    }

    async fn rename(&self, _: &SignedIn, _: &Nickname) -> Answer<()> {
        self.ask("rename").await
    }

    async fn renew(&self, who: &SignedIn) -> Answer<Option<SignedIn>> {
        assert!(who.grant.is_some(), "nobody is asked about without a grant");
        self.ask("renew").await?;
        let known = self.of(&who.person.owner).filter(|(_, one)| !one.disabled);
        Ok(known.map(|(_, one)| {
            let nickname = Some("Renewed".to_owned());
            self.signed_in(Person { nickname, ..one.person })
        }))
    }

    async fn sign_out(&self, _: &SignedIn) -> Answer<()> {
        self.ask("sign out").await
    }

    async fn sign_out_everywhere(&self, _: &SignedIn) -> Answer<()> {
        self.ask("sign out everywhere").await
    }

    async fn delete(&self, who: &SignedIn) -> Answer<()> {
        self.ask("delete").await?;
        if let Some(refusal) = self.keeps.lock().unwrap().clone() {
            return Err(refusal.into());
        }
        let stuck = self.stuck.lock().unwrap().as_ref() == Some(&who.person.owner);
        if stuck || self.fails_to_delete.load(Ordering::SeqCst) {
            return Err(Denied::Down(anyhow::anyhow!("the town hall is closed")));
        }
        if let Some((name, _)) = self.of(&who.person.owner) {
            self.residents.lock().unwrap().remove(&name);
        }
        Ok(())
    }
}
