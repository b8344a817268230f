//! Codes over rows of ours that no event tells of: whoever changes such a row cannot make its code.

use chancery_crypto::{MacKey, derive_key};

use super::{Keyring, KeyringError, RingVersion};
use crate::keyring::Managed;

/// Whether a code is one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marked {
    /// Under the key that is in use.
    Now,
    /// Under a key that was in use before.
    Before,
    /// It is not.
    Never,
}

impl Keyring {
    /// The code of these parts, for this use.
    pub(crate) fn mark(&self, purpose: &'static str, parts: &[&[u8]]) -> Result<[u8; 32], KeyringError> {
        Ok(self.mark_key(self.active(Managed::Audit)?, purpose)?.mac(parts))
    }

    /// Whether this is the code of these parts, under any version of the key that still opens.
    pub(crate) fn marked(&self, purpose: &'static str, parts: &[&[u8]], code: &[u8]) -> Marked {
        let is = |version: &RingVersion| self.mark_key(version, purpose).is_ok_and(|key| key.verify(parts, code));
        if self.active(Managed::Audit).is_ok_and(is) {
            return Marked::Now;
        }
        let mut others = self.versions(Managed::Audit).filter(|version| version.state.opens());
        if others.any(is) { Marked::Before } else { Marked::Never }
    }

    fn mark_key(&self, version: &RingVersion, purpose: &'static str) -> Result<MacKey, KeyringError> {
        Ok(MacKey::from(&derive_key(version.root()?, purpose, &[&self.tenant.to_bytes()])))
    }
}
