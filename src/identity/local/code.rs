//! Codes that are sent to people: 8 digits, good for 15 minutes and 5 tries, so that guessing one succeeds once in 20 million times.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::{catalog::Purpose, identity::random, photo::Owner};

/// How long a code is good.
pub(super) const LASTS: Duration = Duration::from_mins(15);
/// How many codes there are.
const SPACE: u64 = 100_000_000;

/// Makes codes, and the keyed hashes by which the catalog knows them.
#[derive(Clone)]
pub(super) struct Codes {
    key: [u8; 32],
}

impl Codes {
    /// Codes under this key, the same on all instances.
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// A new code, in two groups of four digits.
    pub(super) fn draw() -> anyhow::Result<SecretString> {
        // The remainder of 64 random bits favours no code by more than one in 10^11.
        let digits = format!("{:08}", u64::from_le_bytes(random()?) % SPACE);
        Ok(format!("{} {}", &digits[..4], &digits[4..]).into())
    }

    /// The hash of a code as somebody typed it: with blanks or hyphens, or without.
    pub(super) fn hash(&self, owner: &Owner, purpose: Purpose, code: &SecretString) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of every length");
        for part in [purpose.word(), owner.as_str()] {
            mac.update(part.as_bytes());
            mac.update(b"\n");
        }
        for digit in code.expose_secret().chars().filter(|c| !c.is_whitespace() && *c != '-') {
            mac.update(digit.encode_utf8(&mut [0; 4]).as_bytes());
        }
        hex::encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_eight_digits_and_differ() {
        let codes: HashSet<String> =
            (0..100).map(|_| Codes::draw().expect("a code").expose_secret().to_owned()).collect();
        assert!(codes.len() > 95);
        for code in codes {
            let digits = code.chars().filter(char::is_ascii_digit).count();
            assert!(digits == 8 && code.len() == 9 && &code[4..5] == " ", "{code}");
        }
    }

    #[test]
    fn a_code_is_the_same_with_blanks_and_hyphens_and_another_for_another_use() {
        let codes = Codes::new([7; 32]);
        let (ann, bob): (Owner, Owner) = ("ann".parse().expect("an owner"), "bob".parse().expect("an owner"));
        let hash = |owner, purpose, code: &str| codes.hash(owner, purpose, &code.into());
        let sent = hash(&ann, Purpose::Confirm, "1234 5678");
        assert_eq!(hash(&ann, Purpose::Confirm, " 1234-5678\n"), sent);
        let others = [
            hash(&ann, Purpose::Reset, "12345678"),
            hash(&bob, Purpose::Confirm, "12345678"),
            hash(&ann, Purpose::Confirm, "12345679"),
            Codes::new([8; 32]).hash(&ann, Purpose::Confirm, &"12345678".into()),
        ];
        assert!(!others.contains(&sent) && sent.len() == 64);
    }
}
