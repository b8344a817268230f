//! The key hierarchy: root recipients wrap the platform root, which wraps tenant keys,
//! which wrap the random roots of each purpose (`facts/keys-and-envelopes.md` §7).

use async_trait::async_trait;
use chancery_crypto::{Handle, Jwk};

use crate::{
    ids::{KeyId, RecipientId},
    store::StoreError,
    time::Timestamp,
};

pub mod declared;
pub mod embedded;
pub mod hierarchy;
pub mod keys;
pub mod leases;
pub mod provider;
pub mod resident;
pub mod ring;
pub mod root;
pub mod rotate;

pub use declared::DeclaredKey;
pub use embedded::EmbeddedRoot;
pub use keys::{KeyError, KeyRef, get, list};
pub use leases::{Lease, Leases};
pub use provider::{KeyProvider, ProviderError, ProviderKind, WrapLabel};
pub use ring::{Keyring, KeyringError};
pub use root::{PlatformRoot, RootError};
pub use rotate::rotate;

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

codes! {
    /// What a key version may do (design §5, SP 800-57 part 1).
    pub enum KeyState {
        /// Staged.
        Pending = "pending",
        /// Seals and signs; one per key.
        Active = "active",
        /// Superseded; still opens and verifies, and values under it remain or may remain.
        Rotating = "rotating",
        /// Superseded; nothing is left to re-seal.
        Inactive = "inactive",
        /// Stopped for now.
        Suspended = "suspended",
        /// Its time is over; opens and verifies, alarmed.
        Expired = "expired",
        /// Compromised.
        Revoked = "revoked",
        /// Waiting for destruction.
        PendingDeletion = "pending_deletion",
        /// Gone.
        Destroyed = "destroyed",
    }
}

impl KeyState {
    /// Whether old values open and old signatures verify.
    pub const fn opens(self) -> bool {
        matches!(self, Self::Active | Self::Rotating | Self::Inactive | Self::Expired)
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
    /// Since when.
    pub created_at: Timestamp,
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
    /// The material under the tenant key, or the tenant's own provider.
    pub wrapped: Vec<u8>,
    /// The version of the tenant key that wraps it.
    pub tenant_key_version: u32,
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
}

/// Reads keys.
#[async_trait]
pub trait KeyRows {
    /// Root recipients; there are some in the platform's rows only.
    async fn root_recipients(&mut self) -> Result<Vec<RootRecipient>, StoreError>;
    /// All versions of the tenant key, oldest first.
    async fn tenant_keys(&mut self) -> Result<Vec<TenantKey>, StoreError>;
    /// One key.
    async fn key(&mut self, id: KeyId) -> Result<Option<Key>, StoreError>;
    /// Ordered by id, `limit` at a time, those after `after`.
    async fn keys(&mut self, after: Option<KeyId>, limit: u32) -> Result<Vec<Key>, StoreError>;
    /// The key that Chancery made for itself for this use.
    async fn managed_key(&mut self, managed: Managed) -> Result<Option<Key>, StoreError>;
    /// The versions of a key, oldest first.
    async fn key_versions(&mut self, id: KeyId) -> Result<Vec<KeyVersion>, StoreError>;
    /// All versions of all managed keys with their key, oldest first; for the keyring.
    async fn managed_versions(&mut self) -> Result<Vec<(Managed, KeyVersion)>, StoreError>;
}

/// Changes keys.
#[async_trait]
pub trait KeyWrites {
    /// Adds a root recipient.
    async fn insert_root_recipient(&mut self, recipient: &RootRecipient) -> Result<(), StoreError>;
    /// Notes that a recipient gave the root back.
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
    /// The same, held exclusively: waits until nobody uses it.
    async fn seize_active_version(&mut self, id: KeyId) -> Result<Option<KeyVersion>, StoreError>;
    /// Moves a version from one state to another, with its successor and the moment of retirement.
    /// [`StoreError::Changed`]`("key_version")` if it is not in `from`.
    async fn set_key_version_state(
        &mut self,
        key: KeyId,
        version: u32,
        from: KeyState,
        to: KeyState,
        next: Option<&str>,
        retired_at: Option<Timestamp>,
    ) -> Result<(), StoreError>;
}
