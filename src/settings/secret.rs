//! The secret from which every key of the server is derived.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    path::Path,
};

use anyhow::{Context as _, ensure};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use super::Settings;

/// The one secret of a gallery. Shows nothing of itself in `Debug`.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl Secret {
    /// The key for one purpose: HKDF-SHA256 of the secret, whatever its length. Keys of two purposes tell nothing of each other.
    pub fn key(&self, purpose: &str) -> [u8; 32] {
        hkdf(b"photo-gallery", self.0.expose_secret().as_bytes(), purpose.as_bytes())
    }
}

impl Settings {
    /// The secret that is set, else the one in `<data>/secret`, which is made when it is not there. All instances that share
    /// photos must share it. Fails when the file cannot be read or written, or holds too little.
    pub fn secret(&self) -> anyhow::Result<Secret> {
        match &self.session.secret {
            Some(secret) => Ok(Secret(secret.clone())),
            None => kept(&self.data).map(Secret),
        }
    }
}

/// The secret in the file `secret` of `folder`. Two processes that start at once get the same.
fn kept(folder: &Path) -> anyhow::Result<SecretString> {
    let path = folder.join("secret");
    let mut text = fs::read_to_string(&path);
    if text.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        made(folder, &path).with_context(|| format!("keeping a new secret in {}", path.display()))?;
        text = fs::read_to_string(&path);
    }
    let text = text.with_context(|| format!("reading the secret in {}", path.display()))?;
    let secret = text.trim();
    ensure!(
        secret.len() >= 32,
        "{} holds less than 32 characters of secret: remove it, and a new one is made",
        path.display()
    );
    Ok(secret.into())
}

/// Writes a new secret that only this user can read, whole or not at all; an existing one stays.
fn made(folder: &Path, path: &Path) -> anyhow::Result<()> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".secret-").tempfile_in(folder)?;
    writeln!(file, "{}", hex::encode(bytes))?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(refused) if refused.error.kind() != ErrorKind::AlreadyExists => Err(refused.error.into()),
        _ => Ok(()),
    }
}

/// HKDF-SHA256 (RFC 5869) for one block of output.
fn hkdf(salt: &[u8], secret: &[u8], info: &[u8]) -> [u8; 32] {
    let mac = |key: &[u8], parts: &[&[u8]]| -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    };
    mac(&mac(salt, &[secret]), &[info, &[1]])
}

#[cfg(test)]
mod tests {
    use super::hkdf;

    /// Test case 1 of RFC 5869, appendix A: the first 32 bytes of its output.
    #[test]
    fn keys_are_derived_as_rfc_5869_says() {
        let salt: Vec<u8> = (0x00..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        assert_eq!(
            hex::encode(hkdf(&salt, &[0x0b; 22], &info)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        );
    }
}
