//! Where the secret half of a version is, and what is known of its copies.

use chancery_crypto::{Key256, WrapContext, derive_key};
use subtle::ConstantTimeEq as _;

use super::{ProviderKind, ResidentId};
use crate::time::Timestamp;

/// Where the secret half of a key version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredMaterial {
    /// In the row, under the tenant key.
    Wrapped {
        /// The wrapped material.
        bytes: Vec<u8>,
        /// The version of the tenant key that wraps it.
        tenant_key_version: u32,
        /// What tells the material from any other when the wrap does not open any more.
        check: Option<KeyCheck>,
    },
    /// In a provider, which it never leaves.
    Resident {
        /// Which kind of provider.
        provider: ProviderKind,
        /// How the provider calls it.
        id: ResidentId,
    },
}

/// What tells a symmetric key from any other, and nothing of it: derived from the key for this alone, and for its one place, so that
/// the same key elsewhere has another one. A key with a public half is told by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyCheck(pub [u8; 16]);

impl KeyCheck {
    /// That of this material in this place; none if it is not a 256-bit key.
    pub(crate) fn of(place: &WrapContext<'_>, material: &[u8]) -> Option<Self> {
        let key = Key256::from_slice(material)?;
        let version = place.version.to_be_bytes();
        let parts = [place.parent, place.child, place.purpose, version.as_slice()];
        let derived = derive_key(&key, "chancery/key-check/1", &parts);
        derived.expose().first_chunk().copied().map(Self)
    }

    /// Whether it is this one; in constant time.
    pub(crate) fn is(self, other: Option<Self>) -> bool {
        other.is_some_and(|other| self.0.ct_eq(&other.0).into())
    }
}

codes! {
    /// Where a key came from.
    pub enum KeyOrigin {
        /// Drawn here.
        Generated = "generated",
        /// Brought from another system.
        Imported = "imported",
    }
}

/// The key in an HSM or KMS that a key is linked to (KM-13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HsmLink {
    /// Which kind of provider.
    pub provider: ProviderKind,
    /// How the provider calls it.
    pub key_id: ResidentId,
}

codes! {
    /// How much a backup is worth.
    pub enum BackupState {
        /// Somebody said that there is one, or began to make it. Nobody read it back.
        Claimed = "claimed",
        /// It was written and read back.
        Verified = "verified",
        /// Somebody takes it away: it may be gone. Until that is certain no other copy is made there.
        Removing = "removing",
    }
}

/// The last backup of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBackup {
    /// How much it is worth.
    pub state: BackupState,
    /// The newest version that it holds.
    pub version: Option<u32>,
    /// Where it is.
    pub location: Option<String>,
    /// Since when.
    pub at: Option<Timestamp>,
    /// Who made it.
    pub by: Option<String>,
}
