//! The browsers that people have signed in with before: so that somebody's own browser gets in while others guess at their password
//! (OWASP, *Slow Down Online Guessing Attacks with Device Cookies*).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;

use super::{Accounts, Client, seal::keyed};
use crate::{
    error::Error,
    identity::{SignInName, random},
};

const PURPOSE: &str = "device cookie";
/// Bytes of a device's name and of each hash.
const BYTES: usize = 16;
/// How many accounts a browser is remembered to have signed in to.
const ACCOUNTS: usize = 4;

/// What the `device` cookie holds: a name of the browser's own, and the accounts that signed in with it, last first.
struct Device {
    name: [u8; BYTES],
    known: Vec<[u8; BYTES]>,
}

impl Device {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { name: random()?, known: Vec::new() })
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (name, known) = bytes.split_first_chunk::<BYTES>()?;
        let (known, rest) = known.as_chunks::<BYTES>();
        (rest.is_empty() && known.len() <= ACCOUNTS).then(|| Self { name: *name, known: known.to_vec() })
    }

    fn bytes(&self) -> Vec<u8> {
        [self.name.as_slice(), self.known.as_flattened()].concat()
    }
}

impl Accounts {
    /// A value for the `device` cookie of a browser without one.
    pub fn new_device(&self) -> Result<SecretString, Error> {
        Device::new().and_then(|device| self.device_cookie(&device)).map_err(Error::Internal)
    }

    /// The browser's own name, when `name` signed in with it before.
    pub(super) fn known_device(&self, client: &Client, name: &SignInName) -> Option<String> {
        let device = self.device(client)?;
        device.known.contains(&self.device_hash(name)).then(|| hex::encode(device.name))
    }

    /// The browser's cookie, which from now on also knows `name`.
    pub(super) fn acquainted(&self, client: &Client, name: Option<&SignInName>) -> Result<SecretString, Error> {
        let acquainted = || {
            let mut device = self.device(client).map_or_else(Device::new, Ok)?;
            if let Some(hash) = name.map(|name| self.device_hash(name)) {
                device.known.retain(|known| *known != hash);
                device.known.insert(0, hash);
                device.known.truncate(ACCOUNTS);
            }
            self.device_cookie(&device)
        };
        acquainted().map_err(Error::Internal)
    }

    fn device(&self, client: &Client) -> Option<Device> {
        let sealed = URL_SAFE_NO_PAD.decode(client.device.as_deref()?).ok()?;
        Device::read(&self.seal.open(PURPOSE, &sealed)?)
    }

    fn device_cookie(&self, device: &Device) -> anyhow::Result<SecretString> {
        Ok(URL_SAFE_NO_PAD.encode(self.seal.close(PURPOSE, &device.bytes())?).into())
    }

    fn device_hash(&self, name: &SignInName) -> [u8; BYTES] {
        let hash = keyed(&self.keys.names, &["device", &name.key()]);
        std::array::from_fn(|i| hash[i])
    }
}
