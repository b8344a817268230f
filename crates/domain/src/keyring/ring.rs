//! A tenant's unwrapped keys. No port accepts them, and nothing here prints or copies them.

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use chancery_crypto::{ColumnKey, Handle, IndexKey, Jwk, MacKey, derive_key};

mod error;
mod marks;
mod moving;
mod named;
mod terms;
mod values;
mod version;

pub use error::KeyringError;
pub(crate) use marks::Marked;
pub(crate) use moving::Parts;
pub use values::{Opened, Place};
pub(crate) use version::{Material, RingVersion};

use super::{
    KeyState, Managed, ProviderKind, named::NamedKey, subject_keys::CarriedReferences, tenant_keys::TenantKeys,
};
use crate::ids::{FieldId, IndexId, TenantId};

/// How many column keys, and as many index keys, one keyring keeps ready. Deriving one takes a microsecond.
const MAX_COLUMN_KEYS: usize = 256;
/// Roughly what a key that is kept ready takes, with its place in the table.
const READY_BYTES: usize = 1_024;

/// A tenant's unwrapped keys.
pub struct Keyring {
    tenant: TenantId,
    pub(crate) tenant_keys: TenantKeys,
    versions: Vec<RingVersion>,
    columns: RwLock<HashMap<(Handle, FieldId), Arc<ColumnKey>>>,
    indexes: RwLock<HashMap<(Handle, IndexId), Arc<IndexKey>>>,
    references: Option<(MacKey, String)>,
    pub(super) carried: Vec<CarriedReferences>,
    named: RwLock<HashMap<String, Arc<NamedKey>>>,
    used_bytes: AtomicU64,
}

impl Keyring {
    pub(crate) fn new(tenant: TenantId, tenant_keys: TenantKeys, versions: Vec<RingVersion>) -> Self {
        let references =
            versions.iter().rev().find(|v| v.managed == Managed::Audit && v.state == KeyState::Active).and_then(|v| {
                Some((
                    MacKey::from(&derive_key(v.root().ok()?, "chancery/audit/ref/1", &[&tenant.to_bytes()])),
                    v.key_id.clone(),
                ))
            });
        let (columns, indexes, named) = (RwLock::default(), RwLock::default(), RwLock::default());
        let (carried, used_bytes) = (Vec::new(), AtomicU64::default());
        Self { tenant, tenant_keys, versions, columns, indexes, references, carried, named, used_bytes }
    }

    /// Whose.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// How many bytes of values were sealed and opened with it.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes that were sealed or opened.
    pub(crate) fn count_bytes(&self, bytes: usize) {
        self.used_bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Roughly how many bytes of memory it takes when keys for so many fields are kept ready.
    pub(crate) fn weight(&self, fields: usize) -> usize {
        let version = size_of::<RingVersion>() + 512;
        size_of::<Self>() + self.versions.len() * version + 2 * fields.min(MAX_COLUMN_KEYS) * READY_BYTES
    }

    /// The version that seals or signs for this use.
    pub(crate) fn active(&self, managed: Managed) -> Result<&RingVersion, KeyringError> {
        self.versions
            .iter()
            .rev()
            .find(|v| v.managed == managed && v.state == KeyState::Active)
            .ok_or(KeyringError::NoActiveKey(managed))
    }

    /// The version with this id, if it may still be used to sign or verify what is old.
    pub(crate) fn version(&self, managed: Managed, key_id: &str) -> Result<&RingVersion, KeyringError> {
        let version = self.versions(managed).find(|version| version.key_id == key_id);
        let version = version.ok_or(KeyringError::NoActiveKey(managed))?;
        if version.state.opens() { Ok(version) } else { Err(KeyringError::Stopped(version.state)) }
    }

    /// Whether all versions for this use could be unwrapped. What tells of all of them must not go on without one.
    ///
    /// # Errors
    ///
    /// [`KeyringError::Unwrap`].
    pub(crate) fn require_whole(&self, managed: Managed) -> Result<(), KeyringError> {
        let damaged = self.versions(managed).any(|version| matches!(version.material, Material::Damaged));
        if damaged { Err(KeyringError::Unwrap) } else { Ok(()) }
    }

    /// Whether a key with this id is among those lent.
    pub(crate) fn knows_id(&self, key_id: &str) -> bool {
        self.versions.iter().any(|version| version.key_id == key_id)
    }

    /// The public half of a version, derived from its private half.
    pub(crate) fn public(&self, managed: Managed, key_id: &str) -> Option<&Jwk> {
        self.versions(managed).find(|version| version.key_id == key_id)?.public.as_ref()
    }

    /// Where the certificate key with this id lives, if in a provider.
    pub(crate) fn lives_at(&self, key_id: &str) -> Option<ProviderKind> {
        let version = self.versions(Managed::Certificate).find(|version| version.key_id == key_id)?;
        match &version.material {
            Material::There(reference) => Some(reference.provider),
            _ => None,
        }
    }

    /// All versions for this use, oldest first.
    pub(crate) fn versions(&self, managed: Managed) -> impl Iterator<Item = &RingVersion> {
        self.versions.iter().filter(move |v| v.managed == managed)
    }

    pub(super) fn data_version(
        &self,
        managed: Managed,
        handle: Handle,
        glass: bool,
    ) -> Result<&RingVersion, KeyringError> {
        let version = self.versions.iter().find(|v| v.managed == managed && v.handle == handle);
        let version = version.ok_or(KeyringError::WrongContext)?;
        let opens = if glass { version.state.opens_by_break_glass() } else { version.state.opens() };
        if opens { Ok(version) } else { Err(KeyringError::Stopped(version.state)) }
    }

    /// The handles of the versions of this use that still open and seal no more.
    pub(crate) fn superseded(&self, managed: Managed) -> Vec<Handle> {
        let of_use = self.versions.iter().filter(|version| version.managed == managed);
        of_use.filter(|v| v.state.opens() && v.state != KeyState::Active).map(|version| version.handle).collect()
    }

    /// Whether a key with this handle is among those lent.
    pub(crate) fn knows(&self, handle: Handle) -> bool {
        self.versions.iter().any(|version| version.handle == handle)
    }

    /// The log's name for something outside: HMAC of kind and id, with the id of its key.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NoActiveKey`].
    pub fn reference(&self, kind: &str, id: &str) -> Result<String, KeyringError> {
        let (key, _) = self.references.as_ref().ok_or(KeyringError::NoActiveKey(Managed::Audit))?;
        Ok(data_encoding::HEXLOWER.encode(&key.mac(&[kind.as_bytes(), id.as_bytes()])))
    }

    /// What the log calls something outside, and ever called it: under every version of the key that still opens.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NoActiveKey`]; [`KeyringError::Unwrap`] if a version is damaged, for then some would be missing.
    pub fn references_to(&self, kind: &str, id: &str) -> Result<Vec<String>, KeyringError> {
        self.active(Managed::Audit)?;
        let tenant = self.tenant.to_bytes();
        let live = self.versions(Managed::Audit).filter(|version| version.state.opens());
        live.map(|version| {
            let key = MacKey::from(&derive_key(version.root()?, "chancery/audit/ref/1", &[&tenant]));
            Ok(data_encoding::HEXLOWER.encode(&key.mac(&[kind.as_bytes(), id.as_bytes()])))
        })
        .collect()
    }

    /// The id of the key behind [`Self::reference`].
    pub fn reference_key(&self) -> Option<&str> {
        self.references.as_ref().map(|(_, id)| id.as_str())
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({}, {} versions)", self.tenant, self.versions.len())
    }
}
