//! The key hierarchy: root recipients wrap the platform root, which wraps tenant keys,
//! which wrap the random roots of each purpose (`facts/keys-and-envelopes.md` §7).

use async_trait::async_trait;
use chancery_crypto::{
    Handle, Jwk,
    random::{Random, RandomError},
};

use crate::{
    ids::{KeyId, KeyVersionId, RecipientId, UserId},
    store::StoreError,
    tenants::TenantState,
    time::Timestamp,
};

mod blobs;
pub mod checks;
pub(crate) mod completed;
mod copies;
mod count;
pub mod create;
pub mod custody;
pub mod declared;
pub mod deletion;
pub mod destruction;
pub mod embedded;
pub mod fence;
pub mod habits;
pub mod hierarchy;
pub mod import;
pub mod keys;
pub mod known_copies;
pub mod leases;
pub mod lifecycle;
pub mod link;
pub(crate) mod named;
pub mod policy;
pub mod provider;
mod reference;
pub mod resident;
mod resides;
pub mod ring;
pub mod root;
pub mod rotate;
mod rows;
pub mod schedule;
pub mod staged;
mod state;
mod stored;
pub mod subject_keys;
pub mod tenant_keys;
pub mod tombstones;
pub mod update;
pub mod usage;
pub mod uses;

pub use completed::PlatformRotation;
pub use copies::{CopyError, KeyDestination};
pub use count::{KeyUses, flush_uses};
pub use create::{NewKey, create};
pub use declared::DeclaredKey;
pub use embedded::EmbeddedRoot;
pub use fence::Fence;
pub use import::{ImportedBackup, ImportedKey, ImportedMaterial, ImportedState, ImportedVersion, import};
pub use keys::{KeyError, KeyRef, get, list, public};
pub use known_copies::{KeyCopy, KeyCopyRows, KeyCopyWrites};
pub use leases::{Lease, Leases};
pub use lifecycle::{Revoking, resume, revoke, suspend};
pub use link::link;
pub use named::Algorithm;
pub use policy::Operation;
pub use provider::{KeyProvider, ProviderError, ProviderKind, WrapLabel};
pub(crate) use reference::statement;
pub use resident::ResidentId;
pub use ring::{Keyring, KeyringError};
pub use root::{PlatformRoot, RootError, RootRows, RootSecret, RootState, RootVersion, RootWrites};
pub use rotate::rotate;
pub use rows::{NewRow, OpenedRow, RowError, RowPlace, SealedRow};
pub use state::{KeyState, Revocation, RevocationReason};
pub use stored::{BackupState, HsmLink, KeyBackup, KeyCheck, KeyOrigin, StoredMaterial};
pub use subject_keys::{OpenSubject, Subjects, WrappedSubject};
pub use tenant_keys::{OwnProvider, TenantKeyRows, TenantKeyWrites};
pub use tombstones::{BUNDLE_DAYS, Tombstone, TombstoneKind, TombstoneRows, TombstoneWrites};
pub use update::{KeyChange, update};
pub use usage::{KeyUsage, UsageError, usage};
pub use uses::{Used, decrypt, encrypt, sign, unwrap, verify, wrap};

codes! {
    /// What a key is, mathematically.
    pub enum KeyType {
        /// 256 random bits.
        Aes256 = "aes_256",
        /// RSA, 2048 bits.
        Rsa2048 = "rsa_2048",
        /// RSA, 4096 bits.
        Rsa4096 = "rsa_4096",
        /// ECDSA on P-256.
        EcP256 = "ec_p256",
        /// ECDSA on P-384.
        EcP384 = "ec_p384",
        /// Ed25519.
        Ed25519 = "ed25519",
    }
}

codes! {
    /// What a key is for.
    pub enum KeyPurpose {
        /// Encrypting data.
        Encryption = "encryption",
        /// Signing.
        Signing = "signing",
        /// Signing tokens.
        Jwt = "jwt",
        /// Digesting API keys.
        ApiKey = "api_key",
        /// Encrypting a database.
        Database = "database",
        /// Encrypting backups.
        Backup = "backup",
        /// Wrapping other keys in an HSM.
        HsmWrapping = "hsm_wrapping",
    }
}

codes! {
    /// The keys that Chancery makes for itself. They refuse caller-chosen bytes.
    pub enum Managed {
        /// Signs certificates and pack manifests; the platform's signs trust statements.
        Certificate = "certificate",
        /// Signs log checkpoints.
        Log = "log",
        /// Root of column keys.
        Data = "data",
        /// Root of blind indexes.
        Index = "index",
        /// Root of per-person keys.
        Subject = "subject",
        /// Root of audit references and of the sealed parts of events.
        Audit = "audit",
        /// Signs access tokens (the platform's only).
        Token = "token",
    }
}

impl Managed {
    /// The managed keys of a tenant.
    pub const OF_TENANT: &'static [Self] =
        &[Self::Certificate, Self::Log, Self::Data, Self::Index, Self::Subject, Self::Audit];
    /// The managed keys of the platform.
    pub const OF_PLATFORM: &'static [Self] =
        &[Self::Certificate, Self::Log, Self::Data, Self::Index, Self::Subject, Self::Audit, Self::Token];

    /// Its type.
    pub const fn key_type(self) -> KeyType {
        match self {
            Self::Certificate | Self::Log => KeyType::Ed25519,
            Self::Data | Self::Index | Self::Subject | Self::Audit => KeyType::Aes256,
            Self::Token => KeyType::EcP256,
        }
    }

    /// Its purpose.
    pub const fn purpose(self) -> KeyPurpose {
        match self {
            Self::Certificate | Self::Log => KeyPurpose::Signing,
            Self::Data | Self::Index | Self::Subject | Self::Audit => KeyPurpose::Encryption,
            Self::Token => KeyPurpose::Jwt,
        }
    }
}

codes! {
    /// Who may use a key (AZ-04).
    pub enum AccessPolicy {
        /// Holders of `keys.use_admin_only`.
        AdminOnly = "admin_only",
        /// Verified service credentials.
        ServiceAccount = "service_account",
        /// Verified application credentials.
        Application = "application",
        /// The users it lists.
        UserSpecific = "user_specific",
        /// Anyone of the tenant, and the public half only.
        PublicRead = "public_read",
    }
}

/// A key of a tenant. Its material is in its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Its name: 1 to 255 characters.
    pub name: String,
    /// What it is.
    pub key_type: KeyType,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Set for keys that Chancery made for itself.
    pub managed: Option<Managed>,
    /// Who may use it.
    pub access_policy: AccessPolicy,
    /// Whom [`AccessPolicy::UserSpecific`] means.
    pub allowed_users: Vec<UserId>,
    /// Where it came from.
    pub origin: KeyOrigin,
    /// Where its new versions live; `None` for those that the tenant key wraps.
    pub provider: Option<ProviderKind>,
    /// How many days each of its versions lives.
    pub expires_in_days: Option<u32>,
    /// Whether the scheduler rotates it.
    pub auto_rotate: bool,
    /// How many days lie between two rotations.
    pub rotation_interval_days: Option<u32>,
    /// When it was last rotated.
    pub last_rotated_at: Option<Timestamp>,
    /// When it was last said that its rotation is due.
    pub reminded_at: Option<Timestamp>,
    /// The key in an HSM that it is linked to (KM-13).
    pub hsm: Option<HsmLink>,
    /// Its last backup.
    pub backup: Option<KeyBackup>,
    /// Since when.
    pub created_at: Timestamp,
}

impl Key {
    /// A key that Chancery makes for itself.
    pub fn managed(id: KeyId, managed: Managed, now: Timestamp) -> Self {
        Self {
            id,
            name: format!("managed/{managed}"),
            key_type: managed.key_type(),
            purpose: managed.purpose(),
            managed: Some(managed),
            access_policy: AccessPolicy::AdminOnly,
            allowed_users: Vec::new(),
            origin: KeyOrigin::Generated,
            provider: None,
            expires_in_days: None,
            auto_rotate: false,
            rotation_interval_days: None,
            last_rotated_at: None,
            reminded_at: None,
            hsm: None,
            backup: None,
            created_at: now,
        }
    }

    /// Its one use, bound into the wraps of its versions: a row of another type or purpose does not unwrap.
    pub(crate) fn wrap_purpose(&self) -> String {
        match self.managed {
            Some(managed) => managed.as_str().to_owned(),
            None => format!("named/{}/{}", self.key_type, self.purpose),
        }
    }
}

/// One version of a key. Each rotation adds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVersion {
    /// Of which key.
    pub key: KeyId,
    /// 1, 2, 3…
    pub version: u32,
    /// Thumbprint of the public JWK (RFC 7638), or a `kv_` ULID for symmetric keys.
    pub key_id: String,
    /// Names this version inside sealed values and wraps.
    pub handle: Handle,
    /// What it may do.
    pub state: KeyState,
    /// Where its secret half is.
    pub material: StoredMaterial,
    /// The public half.
    pub public_jwk: Option<Jwk>,
    /// The `key_id` of the version before.
    pub previous: Option<String>,
    /// The `key_id` of the version after.
    pub next: Option<String>,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Since when it seals and signs.
    pub activated_at: Option<Timestamp>,
    /// Since when it does no more.
    pub retired_at: Option<Timestamp>,
    /// When its time is over.
    pub expires_at: Option<Timestamp>,
    /// While suspended: what it becomes when it is resumed.
    pub resumes_to: Option<KeyState>,
    /// While its deletion is pending: what it becomes when that is cancelled. None once it is being destroyed.
    pub cancels_to: Option<KeyState>,
    /// While its deletion is pending: when it is destroyed.
    pub deletion_due_at: Option<Timestamp>,
    /// Why it was revoked.
    pub revocation: Option<Revocation>,
    /// How often it was used, counted now and then; the log has each use.
    pub uses: u64,
    /// When it was last used, as of the last count.
    pub last_used_at: Option<Timestamp>,
}

impl KeyVersion {
    /// Whether its provider is asked to destroy it, or may have been: nothing leads back from there.
    pub fn is_being_destroyed(&self) -> bool {
        self.state == KeyState::PendingDeletion && self.cancels_to.is_none()
    }

    /// Version `version` of `key` as it is made: active from `now`, without an end, and not used yet.
    pub(crate) fn fresh(
        key: &Key,
        version: u32,
        previous: Option<String>,
        material: StoredMaterial,
        public_jwk: Option<Jwk>,
        now: Timestamp,
        rng: &dyn Random,
    ) -> Result<Self, RandomError> {
        let key_id = match &public_jwk {
            Some(jwk) => jwk.thumbprint(),
            None => KeyVersionId::make(now, rng)?.to_string(),
        };
        Ok(Self {
            key: key.id,
            version,
            key_id,
            handle: Handle::make(rng)?,
            state: KeyState::Active,
            material,
            public_jwk,
            previous,
            next: None,
            created_at: now,
            activated_at: Some(now),
            retired_at: None,
            expires_at: None,
            resumes_to: None,
            cancels_to: None,
            deletion_due_at: None,
            revocation: None,
            uses: 0,
            last_used_at: None,
        })
    }
}

codes! {
    /// What a tenant's own provider means for its key.
    pub enum OwnMode {
        /// Either opens it: the platform root, or the tenant's provider. Survives the loss of one.
        Or = "or",
        /// Both are needed: neither the platform nor the tenant's provider opens it alone.
        And = "and",
    }
}

/// The part of a tenant's own provider in its key (hold your own key).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnWrap {
    /// The provider's name in the configuration.
    pub provider: String,
    /// What it means.
    pub mode: OwnMode,
    /// What it wrapped: the tenant key (`or`), or the key around it inside the root's wrap (`and`).
    pub wrapped: Vec<u8>,
}

/// A tenant key: wraps that tenant's keys and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantKey {
    /// 1, 2, 3…
    pub version: u32,
    /// Names it inside wraps.
    pub handle: Handle,
    /// Its material under the platform root.
    pub wrapped: Vec<u8>,
    /// The version of the platform root that wraps it.
    pub root_version: u32,
    /// The tenant's own provider, if it has one.
    pub own: Option<OwnWrap>,
    /// Whether new wraps use it.
    pub state: KeyState,
    /// Since when.
    pub created_at: Timestamp,
}

/// One way to the platform root. Each holds the root wrapped on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootRecipient {
    /// Its id.
    pub id: RecipientId,
    /// Which version of the root.
    pub root_version: u32,
    /// Names the root inside wraps.
    pub root_handle: Handle,
    /// What wraps it.
    pub provider: ProviderKind,
    /// Which of that kind: a file's fingerprint, a key's ARN.
    pub label: String,
    /// The environment it was made in.
    pub environment: String,
    /// The root under that provider's key.
    pub wrapped: Vec<u8>,
    /// Since when.
    pub created_at: Timestamp,
    /// When it last gave the root back.
    pub proven_at: Timestamp,
    /// Since when it does not, if it does not.
    pub failed_at: Option<Timestamp>,
}

/// How a tenant stands, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its epoch.
    pub epoch: u64,
    /// Its state; none for the platform, and for a tenant whose record is not there yet.
    pub state: Option<TenantState>,
}

/// Reads keys.
#[async_trait]
pub trait KeyRows {
    /// The tenant's epoch and state.
    async fn standing(&mut self) -> Result<Standing, StoreError>;
    /// Root recipients; there are some in the platform's rows only.
    async fn root_recipients(&mut self) -> Result<Vec<RootRecipient>, StoreError>;
    /// All versions of the tenant key, oldest first.
    async fn tenant_keys(&mut self) -> Result<Vec<TenantKey>, StoreError>;
    /// One key.
    async fn key(&mut self, id: KeyId) -> Result<Option<Key>, StoreError>;
    /// Ordered by id, `limit` at a time, those after `after`.
    async fn keys(&mut self, after: Option<KeyId>, limit: u32) -> Result<Vec<Key>, StoreError>;
    /// The living key of this name: one with a version that is not destroyed.
    async fn key_named(&mut self, name: &str) -> Result<Option<Key>, StoreError>;
    /// The key that Chancery made for itself for this use.
    async fn managed_key(&mut self, managed: Managed) -> Result<Option<Key>, StoreError>;
    /// The versions of a key, oldest first.
    async fn key_versions(&mut self, id: KeyId) -> Result<Vec<KeyVersion>, StoreError>;
    /// All versions of all managed keys with their key, oldest first; for the keyring.
    async fn managed_versions(&mut self) -> Result<Vec<(Managed, KeyVersion)>, StoreError>;
    /// The keys that the scheduler rotates and whose interval has passed at `now`.
    async fn keys_due(&mut self, now: Timestamp) -> Result<Vec<Key>, StoreError>;
    /// The versions whose deletion is due.
    async fn versions_to_destroy(&mut self, now: Timestamp) -> Result<Vec<KeyVersion>, StoreError>;
    /// The versions whose time is over and whose state does not say so yet.
    async fn versions_expired(&mut self, now: Timestamp) -> Result<Vec<KeyVersion>, StoreError>;
}

/// Changes keys.
#[async_trait]
pub trait KeyWrites {
    /// Adds a root recipient.
    async fn insert_root_recipient(&mut self, recipient: &RootRecipient) -> Result<(), StoreError>;
    /// Notes that a recipient gave the root back, and fails no more.
    async fn prove_root_recipient(&mut self, id: RecipientId, at: Timestamp) -> Result<(), StoreError>;
    /// Adds a version of the tenant key.
    async fn insert_tenant_key(&mut self, key: &TenantKey) -> Result<(), StoreError>;
    /// Adds a key. [`StoreError::Taken`]`("managed")` if there is one for this use.
    async fn insert_key(&mut self, key: &Key) -> Result<(), StoreError>;
    /// Adds a version. [`StoreError::Taken`]`("active")` if the key has an active one.
    async fn insert_key_version(&mut self, version: &KeyVersion) -> Result<(), StoreError>;
    /// The active version, held until the end of the transaction: shared, so that nobody retires it
    /// meanwhile and others may use it too.
    async fn hold_active_version(&mut self, id: KeyId) -> Result<Option<KeyVersion>, StoreError>;
    /// The key itself, held until the end of the transaction: of two that change a key or its versions, one waits.
    async fn seize_key(&mut self, id: KeyId) -> Result<Option<Key>, StoreError>;
    /// All versions, oldest first, held exclusively: waits until nobody uses any of them.
    async fn seize_versions(&mut self, id: KeyId) -> Result<Vec<KeyVersion>, StoreError>;
    /// One version, held shared.
    async fn hold_version(&mut self, id: KeyId, version: u32) -> Result<Option<KeyVersion>, StoreError>;
    /// Writes what of a version can change: everything but its identity, its public half and its count of uses.
    /// [`StoreError::Changed`]`("key_version")` unless it has the state and the material of `from`.
    async fn swap_key_version(&mut self, from: &KeyVersion, to: &KeyVersion) -> Result<(), StoreError>;
    /// Writes what of a key can change: policy, schedule, where new versions live, link, backup.
    /// [`StoreError::Changed`]`("key")` if there is none.
    async fn update_key(&mut self, key: &Key) -> Result<(), StoreError>;
    /// Adds to the count of uses of the version with this `key_id`.
    async fn count_key_uses(&mut self, key_id: &str, uses: u64, last: Timestamp) -> Result<(), StoreError>;
}
