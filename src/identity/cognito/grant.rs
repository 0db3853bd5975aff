//! What is kept of a sign-in: the refresh token, the device it belongs to where the pool remembers devices, and the latest access token,
//! so that a call about an account costs no refresh as long as that one is valid.

use secrecy::{ExposeSecret as _, SecretString};

use crate::identity::Grant;

/// A [`Grant`], taken apart. Its text is the three, in lines; none of them holds a line's end.
pub(super) struct Kept<'a> {
    pub(super) refresh: &'a str,
    pub(super) device: Option<&'a str>,
    pub(super) access: &'a str,
}

impl<'a> Kept<'a> {
    /// What a grant holds.
    pub(super) fn of(grant: &'a Grant) -> Option<Self> {
        let mut lines = grant.0.expose_secret().split('\n');
        let (refresh, device, access) = (lines.next()?, lines.next()?, lines.next()?);
        Some(Self { refresh, device: Some(device).filter(|device| !device.is_empty()), access })
    }

    /// The grant that holds this.
    pub(super) fn grant(&self) -> Grant {
        Grant(SecretString::from(format!("{}\n{}\n{}", self.refresh, self.device.unwrap_or_default(), self.access)))
    }
}
