//! Where the secret half of a version is, and what is known of its copies.

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
    },
    /// In a provider, which it never leaves.
    Resident {
        /// Which kind of provider.
        provider: ProviderKind,
        /// How the provider calls it.
        id: ResidentId,
    },
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
