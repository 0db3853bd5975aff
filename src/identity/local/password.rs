//! Passwords: what they must be, and how they are hashed and compared: argon2id, off the threads that answer, a bounded number at once.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::phc::{Output, ParamsString, Salt},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unicode_normalization::UnicodeNormalization as _;

use crate::identity::{Refusal, random};

/// The fewest characters of a password.
pub(super) const MIN_CHARS: u16 = 10;
/// The most bytes of a password.
const MAX_BYTES: usize = 256;
/// Memory in KiB, passes and lanes: OWASP's Password Storage Cheat Sheet, the configuration of 19 MiB.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// How long a password waits for its turn to be hashed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hashes passwords. Cheap to clone.
#[derive(Clone)]
pub(super) struct Passwords {
    places: Arc<Semaphore>,
    /// What hashing works in, kept for the next: an allocator would hold on to a part of it for each thread that ever hashed.
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
    hashed: Arc<AtomicU64>,
    /// What a password is compared with where there is no account, so that it takes as long.
    nobodys: SecretString,
}

/// What came of comparing a password with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// It is another one.
    Wrong,
    /// It is the one.
    Right,
    /// It is the one, and its hash was made at another cost than today's.
    Outdated,
}

impl Passwords {
    /// A hasher of at most `at_once` passwords at once, each taking 19 MiB of memory.
    pub(super) async fn new(at_once: NonZeroUsize) -> anyhow::Result<Self> {
        let mut passwords = Self {
            places: Arc::new(Semaphore::new(at_once.get())),
            memory: Arc::default(),
            hashed: Arc::default(),
            nobodys: SecretString::default(),
        };
        passwords.nobodys = passwords.hash(&hex::encode(random::<32>()?).into()).await?;
        passwords.hashed.store(0, Ordering::Relaxed);
        Ok(passwords)
    }

    /// How many passwords have been hashed, be it to keep or to compare them.
    pub(super) fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// The PHC string of a password that [`check`] let pass.
    pub(super) async fn hash(&self, password: &SecretString) -> anyhow::Result<SecretString> {
        let password = normal(password).context("a password that is far too long was not refused")?;
        self.work(move |memory| {
            let salt: [u8; Salt::RECOMMENDED_LENGTH] = random()?;
            let (salt, hasher) = (Salt::new(&salt).map_err(said)?, hasher()?);
            let output = output(&hasher, &password, &salt, Params::DEFAULT_OUTPUT_LEN, memory)?;
            let hash = PasswordHash {
                algorithm: Algorithm::Argon2id.into(),
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(hasher.params()).map_err(said)?,
                salt: Some(salt),
                hash: Some(output),
            };
            Ok(hash.to_string().into())
        })
        .await
    }

    /// Compares a password with an account's hash; without an account it takes as long and is wrong.
    pub(super) async fn compare(
        &self,
        password: &SecretString,
        hash: Option<&SecretString>,
    ) -> anyhow::Result<Compared> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.nobodys).clone();
        let (password, fits) = match normal(password) {
            Some(password) => (password, true),
            None => (SecretString::default(), false),
        };
        self.work(move |memory| {
            let hash = PasswordHash::new(hash.expose_secret()).map_err(said)?;
            let (Some(salt), Some(kept)) = (hash.salt, hash.hash) else { bail!("an account's hash is damaged") };
            let algorithm = Algorithm::try_from(hash.algorithm.as_str()).map_err(said)?;
            let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from).map_err(said)?;
            let params = Params::try_from(&hash).map_err(said)?;
            let cost = (params.m_cost(), params.t_cost(), params.p_cost());
            let hasher = Argon2::new(algorithm, version, params);
            // Outputs compare in constant time.
            let same = output(&hasher, &password, &salt, kept.len(), memory)? == kept;
            let today = algorithm == Algorithm::Argon2id && version == Version::V0x13 && cost == COST;
            Ok(match (same && known && fits, today) {
                (false, _) => Compared::Wrong,
                (true, true) => Compared::Right,
                (true, false) => Compared::Outdated,
            })
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vec<Block>) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let place: OwnedSemaphorePermit = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| anyhow!("more people sign in at once than this machine can serve"))??;
        self.hashed.fetch_add(1, Ordering::Relaxed);
        // The place goes along: who stops waiting for the hash does not let another begin beside it.
        let memory = Arc::clone(&self.memory);
        tokio::task::spawn_blocking(move || {
            let _place = place;
            let kept = || memory.lock().unwrap_or_else(PoisonError::into_inner);
            let mut blocks = kept().pop().unwrap_or_default();
            let done = work(&mut blocks);
            kept().push(blocks);
            done
        })
        .await
        .context("hashing a password")?
    }
}

/// Whether this may be somebody's password; a refusal says why not. `others` are texts that it must not be.
pub(super) fn check(password: &SecretString, others: &[&str]) -> Result<(), Refusal> {
    let refused = |sentence: String| Err(Refusal::Password(sentence));
    let too_long = || refused(format!("A password has at most {MAX_BYTES} bytes. Please choose a shorter one."));
    let Some(password) = normal(password) else { return too_long() };
    let password = password.expose_secret();
    if password.len() > MAX_BYTES {
        return too_long();
    }
    if password.chars().count() < usize::from(MIN_CHARS) {
        return refused(format!("A password has at least {MIN_CHARS} characters. Please choose a longer one."));
    }
    let folded = |text: &str| text.nfkc().collect::<String>().to_lowercase();
    if others.iter().any(|other| folded(other) == folded(password)) {
        return refused("Your e-mail address or name is too easy to guess. Please choose another password.".to_owned());
    }
    Ok(())
}

/// The form that is the same on every keyboard: NFKC, as NIST SP 800-63B has it. `None` for a text that no check lets pass.
fn normal(password: &SecretString) -> Option<SecretString> {
    let password = password.expose_secret();
    (password.len() <= 4 * MAX_BYTES).then(|| password.nfkc().collect::<String>().into())
}

fn hasher() -> anyhow::Result<Argon2<'static>> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(said)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// What argon2 makes of a password, in `memory` that grows when it is too small.
fn output(
    hasher: &Argon2<'_>,
    password: &SecretString,
    salt: &Salt,
    length: usize,
    memory: &mut Vec<Block>,
) -> anyhow::Result<Output> {
    let blocks = hasher.params().block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let mut out = vec![0; length];
    let password = password.expose_secret().as_bytes();
    hasher.hash_password_into_with_memory(password, salt, &mut out, memory.as_mut_slice()).map_err(said)?;
    Output::new(&out).map_err(said)
}

/// argon2's errors are not `std`'s; none of them quotes what was hashed.
fn said(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

    use super::*;

    async fn passwords() -> Passwords {
        Passwords::new(NonZeroUsize::MIN).await.expect("a hasher")
    }

    #[test]
    fn passwords_that_will_not_do_are_refused_with_a_reason() {
        let others = ["Ann.Example@example.org", "Ann of the Hills"];
        for (password, reason) in [
            ("", "at least 10"),
            ("123456789", "at least 10"),
            ("äöüäöüäöü", "at least 10"),
            ("ann.example@EXAMPLE.org", "too easy to guess"),
            ("ann of the hills", "too easy to guess"),
            (&"x".repeat(257), "at most 256 bytes"),
            (&"x".repeat(5000), "at most 256 bytes"),
            (&"\u{fdfa}".repeat(20), "at most 256 bytes"),
        ] {
            let refused = check(&password.into(), &others).expect_err(password);
            assert!(refused.to_string().contains(reason), "{password}: {refused}");
        }
    }

    #[test]
    fn nothing_else_is_asked_of_a_password() {
        for password in
            ["aaaaaaaaaa", "1234567890", "          ", "äöüäöüäöüä", "correct horse battery", &"x".repeat(256)]
        {
            assert_eq!(check(&password.into(), &["ann@example.org", "Ann"]), Ok(()), "{password}");
        }
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_however_it_is_typed() {
        let passwords = passwords().await;
        let hash = passwords.hash(&"\u{e9}cole buissonni\u{e8}re".into()).await.expect("a hash");
        assert!(hash.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.expose_secret());
        let typed = "e\u{301}cole buissonnie\u{300}re".into();
        assert_eq!(passwords.compare(&typed, Some(&hash)).await.expect("compared"), Compared::Right);
        for wrong in ["", "ecole buissonniere", &"x".repeat(100_000)] {
            assert_eq!(passwords.compare(&wrong.into(), Some(&hash)).await.expect("compared"), Compared::Wrong);
        }
        assert_eq!(passwords.hash(&"the same".into()).await.expect("a hash").expose_secret().len(), 97);
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_told_apart() {
        let passwords = passwords().await;
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).expect("params"));
        let hash = cheap.hash_password(b"correct horse").expect("a hash").to_string().into();
        let right = passwords.compare(&"correct horse".into(), Some(&hash)).await.expect("compared");
        let wrong = passwords.compare(&"wrong horse".into(), Some(&hash)).await.expect("compared");
        assert_eq!((right, wrong), (Compared::Outdated, Compared::Wrong));
    }

    #[tokio::test]
    async fn hashes_are_those_of_argon2_and_memory_is_used_again() {
        let passwords = passwords().await;
        for password in ["correct horse", "battery staple"] {
            let hash = passwords.hash(&password.into()).await.expect("a hash");
            let hash = PasswordHash::new(hash.expose_secret()).expect("a PHC string");
            assert!(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok(), "{password}");
            assert!(Argon2::default().verify_password(b"another", &hash).is_err(), "{password}");
        }
        let memory = passwords.memory.lock().expect("nobody panicked");
        assert_eq!(memory.iter().map(Vec::len).collect::<Vec<_>>(), [19 * 1024]);
    }

    #[tokio::test]
    async fn a_damaged_hash_is_an_error_and_no_sign_in() {
        let damaged = passwords().await.compare(&"anything".into(), Some(&"$argon2id$nonsense".into())).await;
        assert!(damaged.is_err(), "{damaged:?}");
    }
}
