//! A tenant's unwrapped keys. No port accepts them, and nothing here prints or copies them.

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use chancery_crypto::{
    ColumnKey, Context, Ed25519SigningKey, Flags, Handle, IndexKey, Jwk, Key256, MacKey, OpenError, P256SigningKey,
    ParseError, Phi, RsaPrivateKey, SealError, Sealed, derive_key, random::Random, random::RandomError,
};

mod moving;

pub(crate) use moving::Parts;

use super::{
    Key, KeyState, KeyVersion, Managed, ProviderError,
    named::NamedKey,
    subject_keys::{CarriedReferences, OpenSubject, Subjects},
    tenant_keys::TenantKeys,
};
use crate::{
    audit::AuditReceipt,
    fields::{Bind, Field},
    ids::{FieldId, IndexId, TenantId},
    indexes::{Form, Index, Rule},
    time::Timestamp,
};

/// How many column keys, and as many index keys, one keyring keeps ready. Deriving one takes a microsecond.
const MAX_COLUMN_KEYS: usize = 256;
/// Roughly what a key that is kept ready takes, with its place in the table.
const READY_BYTES: usize = 1_024;

/// How many named keys one keyring keeps unwrapped.
const MAX_NAMED_KEYS: usize = 64;

/// Why a keyring did not do it.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The tenant has no key for this use that may seal or sign.
    #[error("no active `{0}` key")]
    NoActiveKey(Managed),
    /// A stored key does not unwrap: another root, another tenant, or damage.
    #[error("a stored key does not unwrap")]
    Unwrap,
    /// The tenant's own provider did not give it.
    #[error("the tenant's key provider `{0}` did not give the tenant key")]
    Provider(String, #[source] ProviderError),
    /// The lease of the platform root is over, and no provider gives it again.
    #[error("no key provider gives the platform root")]
    NoRoot,
    /// It is under a version of the platform root that this process does not hold.
    #[error("the key is under version {0} of the platform root, which is not here")]
    Root(u32),
    /// The key's version is suspended, revoked or destroyed.
    #[error("the key version is `{0}`")]
    Stopped(KeyState),
    /// The keys changed while they were in use; what was made with them is not given out.
    #[error("the keys changed meanwhile")]
    Stale,
    /// The person's key was destroyed.
    #[error("the key of the person was destroyed")]
    Erased,
    /// A receipt names another tenant or table, or fewer values.
    #[error("the audit receipt does not cover this")]
    ReceiptTooSmall,
    /// No key of this tenant has that handle, or the value belongs elsewhere: column, row or tenant.
    #[error("the value was sealed with another key or for another place")]
    WrongContext,
    /// Bytes of the value were changed.
    #[error("the value was changed after sealing")]
    Tampered,
    /// Not a sealed value at all.
    #[error("not a sealed value")]
    Malformed(#[from] ParseError),
    /// The value cannot be sealed.
    #[error("the value cannot be sealed")]
    Seal(#[from] SealError),
    /// The system gives no randomness.
    #[error("no randomness")]
    Random(#[from] RandomError),
}

/// The unwrapped material of a key version.
pub(crate) enum Material {
    Root(Key256),
    Ed25519(Ed25519SigningKey),
    P256(P256SigningKey),
    Rsa(Box<RsaPrivateKey>),
    /// What is stored does not unwrap, or is not what its row says. Whatever needs it fails; the tenant's other keys go on,
    /// and so it can be taken back from where a copy of it is.
    Damaged,
}

/// An unwrapped key version.
pub(crate) struct RingVersion {
    pub(crate) managed: Managed,
    pub(crate) key_id: String,
    pub(crate) handle: Handle,
    pub(crate) state: KeyState,
    pub(crate) retired_at: Option<Timestamp>,
    pub(crate) public: Option<Jwk>,
    pub(crate) material: Material,
}

impl RingVersion {
    pub(super) fn root(&self) -> Result<&Key256, KeyringError> {
        match &self.material {
            Material::Root(root) => Ok(root),
            Material::Ed25519(_) | Material::P256(_) | Material::Rsa(_) | Material::Damaged => {
                Err(KeyringError::Unwrap)
            }
        }
    }

    /// The Ed25519 signing key, for those that are one.
    pub(crate) fn ed25519(&self) -> Result<&Ed25519SigningKey, KeyringError> {
        match &self.material {
            Material::Ed25519(key) => Ok(key),
            Material::Root(_) | Material::P256(_) | Material::Rsa(_) | Material::Damaged => Err(KeyringError::Unwrap),
        }
    }

    /// Signs a token by the one algorithm of the key, where the key is: nothing takes a copy of it.
    pub(crate) fn sign_token(&self, message: &[u8]) -> Result<Vec<u8>, KeyringError> {
        // A certificate's key is of the same kind, and signs certificates.
        if self.managed != Managed::Token {
            return Err(KeyringError::Unwrap);
        }
        match &self.material {
            Material::P256(key) => key.sign(message).map(|made| made.to_vec()).map_err(|_| KeyringError::Unwrap),
            Material::Ed25519(key) => Ok(key.sign(message).to_vec()),
            Material::Rsa(key) => key.sign_pkcs1(message).map_err(|_| KeyringError::Unwrap),
            Material::Root(_) | Material::Damaged => Err(KeyringError::Unwrap),
        }
    }
}

/// Where a value lives: its field and its row.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The field.
    pub field: &'a Field,
    /// The row; empty for fields bound to their column only.
    pub row: &'a str,
}

/// A value that was opened, or why it was not.
pub type Opened = Result<Phi<Vec<u8>>, KeyringError>;

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

    /// A version of a named key in the clear, kept as long as this keyring is lent. Whether it may be used now is the
    /// caller's to ask.
    pub(crate) fn named(&self, key: &Key, version: &KeyVersion) -> Result<Arc<NamedKey>, KeyringError> {
        if let Some(found) = self.named.read().unwrap_or_else(|poison| poison.into_inner()).get(&version.key_id) {
            return Ok(Arc::clone(found));
        }
        let opened = Arc::new(NamedKey::open(self.tenant, &self.tenant_keys, key, version)?);
        let mut named = self.named.write().unwrap_or_else(|poison| poison.into_inner());
        if named.len() >= MAX_NAMED_KEYS {
            named.clear();
        }
        named.insert(version.key_id.clone(), Arc::clone(&opened));
        Ok(opened)
    }

    /// A named key that was opened before, under this lease.
    pub(crate) fn kept_named(&self, key_id: &str) -> Option<Arc<NamedKey>> {
        self.named.read().unwrap_or_else(|poison| poison.into_inner()).get(key_id).map(Arc::clone)
    }

    /// Keeps a named key that was opened elsewhere, for as long as this lease.
    pub(crate) fn keep_named(&self, key_id: &str, opened: &Arc<NamedKey>) {
        let mut named = self.named.write().unwrap_or_else(|poison| poison.into_inner());
        if named.len() >= MAX_NAMED_KEYS {
            named.clear();
        }
        named.insert(key_id.to_owned(), Arc::clone(opened));
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

    fn column_key(&self, version: &RingVersion, field: &Field) -> Result<Arc<ColumnKey>, KeyringError> {
        let name = (version.handle, field.id);
        if let Some(key) = self.columns.read().unwrap_or_else(|poison| poison.into_inner()).get(&name) {
            return Ok(Arc::clone(key));
        }
        let (tenant, table, column) = (self.tenant.to_bytes(), field.table_id.to_bytes(), field.id.to_bytes());
        let key = Arc::new(ColumnKey::derive(version.root()?, version.handle, &tenant, &table, &column));
        let mut columns = self.columns.write().unwrap_or_else(|poison| poison.into_inner());
        if columns.len() >= MAX_COLUMN_KEYS {
            columns.clear();
        }
        columns.insert(name, Arc::clone(&key));
        Ok(key)
    }

    fn index_key(&self, version: &RingVersion, index: &Index) -> Result<Arc<IndexKey>, KeyringError> {
        let name = (version.handle, index.id);
        if let Some(key) = self.indexes.read().unwrap_or_else(|poison| poison.into_inner()).get(&name) {
            return Ok(Arc::clone(key));
        }
        let (tenant, table, index) = (self.tenant.to_bytes(), index.table_id.to_bytes(), index.id.to_bytes());
        let key = Arc::new(IndexKey::derive(version.root()?, &tenant, &table, &index));
        let mut indexes = self.indexes.write().unwrap_or_else(|poison| poison.into_inner());
        if indexes.len() >= MAX_COLUMN_KEYS {
            indexes.clear();
        }
        indexes.insert(name, Arc::clone(&key));
        Ok(key)
    }

    /// Which use of the key hierarchy a field's values fall under.
    fn root_of(field: &Field) -> Managed {
        if crate::fields::system::is_audit(field) { Managed::Audit } else { Managed::Data }
    }

    pub(super) fn context<'a>(
        tenant: &'a [u8; 16],
        table: &'a [u8; 16],
        column: &'a [u8; 16],
        place: Place<'a>,
    ) -> Context<'a> {
        Context {
            tenant,
            domain: Self::root_of(place.field).as_str().as_bytes(),
            table,
            column,
            row: if place.field.bind == Bind::Row { place.row.as_bytes() } else { b"" },
            generation: b"",
            schema_type: place.field.field_type.as_str().as_bytes(),
        }
    }

    /// Seals a value for one place, with the newest key.
    ///
    /// # Errors
    ///
    /// - [`KeyringError::NoActiveKey`]: nothing is written in clear instead.
    /// - [`KeyringError::Seal`]: longer than 1 MiB, or sealed already.
    pub fn seal(&self, place: Place<'_>, value: &[u8], rng: &dyn Random) -> Result<Sealed, KeyringError> {
        self.seal_for(None, place, value, rng)
    }

    /// As [`Self::seal`], with the key of the person whom the value belongs to, if it is named.
    ///
    /// # Errors
    ///
    /// As [`Self::seal`].
    pub fn seal_for(
        &self,
        subject: Option<&OpenSubject>,
        place: Place<'_>,
        value: &[u8],
        rng: &dyn Random,
    ) -> Result<Sealed, KeyringError> {
        self.count_bytes(value.len());
        let key = match subject {
            Some(subject) => Arc::new(ColumnKey::from_key(&subject.key, subject.handle())),
            None => self.column_key(self.active(Self::root_of(place.field))?, place.field)?,
        };
        let (tenant, table, column) =
            (self.tenant.to_bytes(), place.field.table_id.to_bytes(), place.field.id.to_bytes());
        let context = Self::context(&tenant, &table, &column, place).digest();
        let flags = if place.field.bind == Bind::Row { Flags::ROW } else { Flags::COLUMN };
        Ok(key.seal(&context, flags, value, rng)?)
    }

    /// Opens values of one table. Consumes the receipt that tells of it.
    ///
    /// # Errors
    ///
    /// - [`KeyringError::ReceiptTooSmall`]: another tenant or table, or more values than it names.
    /// - [`KeyringError::WrongContext`], [`KeyringError::Tampered`], [`KeyringError::Stopped`]: with the
    ///   position of the first value that does not open.
    pub fn open(
        &self,
        receipt: AuditReceipt,
        table: &str,
        values: &[(Place<'_>, &Sealed)],
    ) -> Result<Vec<Phi<Vec<u8>>>, (usize, KeyringError)> {
        self.open_with(receipt, table, &Subjects::default(), values)
    }

    /// As [`Self::open`], with the keys of persons whom values may belong to.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and [`KeyringError::Erased`].
    pub fn open_with(
        &self,
        receipt: AuditReceipt,
        table: &str,
        subjects: &Subjects,
        values: &[(Place<'_>, &Sealed)],
    ) -> Result<Vec<Phi<Vec<u8>>>, (usize, KeyringError)> {
        let glass = self.spend(receipt, table, values).map_err(|error| (0, error))?;
        let opened = values.iter().map(|(place, sealed)| self.open_one(*place, subjects, sealed, glass));
        opened.enumerate().map(|(position, value)| value.map_err(|error| (position, error))).collect()
    }

    /// As [`Self::open`], with an outcome for each value.
    ///
    /// # Errors
    ///
    /// [`KeyringError::ReceiptTooSmall`].
    pub fn open_each(
        &self,
        receipt: AuditReceipt,
        table: &str,
        values: &[(Place<'_>, &Sealed)],
    ) -> Result<Vec<Opened>, KeyringError> {
        let glass = self.spend(receipt, table, values)?;
        let nobody = Subjects::default();
        Ok(values.iter().map(|(place, sealed)| self.open_one(*place, &nobody, sealed, glass)).collect())
    }

    /// Moves values of one table to the newest key. No plaintext leaves this function; it takes a receipt
    /// all the same, for it opens them.
    ///
    /// # Errors
    ///
    /// As [`Self::open`] and [`Self::seal`].
    pub fn reseal(
        &self,
        receipt: AuditReceipt,
        table: &str,
        values: &[(Place<'_>, &Sealed)],
        rng: &dyn Random,
    ) -> Result<Vec<Sealed>, (usize, KeyringError)> {
        self.reseal_with(receipt, table, &Subjects::default(), values, rng)
    }

    /// As [`Self::reseal`], with the keys of persons; their values stay under them.
    ///
    /// # Errors
    ///
    /// As [`Self::reseal`], and [`KeyringError::Erased`].
    pub fn reseal_with(
        &self,
        receipt: AuditReceipt,
        table: &str,
        subjects: &Subjects,
        values: &[(Place<'_>, &Sealed)],
        rng: &dyn Random,
    ) -> Result<Vec<Sealed>, (usize, KeyringError)> {
        let glass = self.spend(receipt, table, values).map_err(|error| (0, error))?;
        let move_one = |(place, sealed): &(Place<'_>, &Sealed)| {
            let value = self.open_one(*place, subjects, sealed, glass)?;
            self.seal_for(subjects.key(sealed.handle()).ok(), *place, value.expose(), rng)
        };
        values.iter().enumerate().map(|(position, value)| move_one(value).map_err(|error| (position, error))).collect()
    }

    /// Takes the receipt; says whether it also covers what stopped keys have sealed.
    fn spend(&self, receipt: AuditReceipt, table: &str, values: &[(Place<'_>, &Sealed)]) -> Result<bool, KeyringError> {
        if !values.iter().all(|(place, _)| place.field.table == table) {
            return Err(KeyringError::ReceiptTooSmall);
        }
        self.spend_on(receipt, table, values.len())
    }

    /// Takes the receipt if it covers so many values of this table; says whether stopped keys are covered too.
    pub(super) fn spend_on(&self, receipt: AuditReceipt, table: &str, values: usize) -> Result<bool, KeyringError> {
        if receipt.covers(self.tenant, table, values) {
            Ok(receipt.breaks_glass())
        } else {
            Err(KeyringError::ReceiptTooSmall)
        }
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

    fn open_one(
        &self,
        place: Place<'_>,
        subjects: &Subjects,
        sealed: &Sealed,
        glass: bool,
    ) -> Result<Phi<Vec<u8>>, KeyringError> {
        let key = match self.data_version(Self::root_of(place.field), sealed.handle(), glass) {
            Ok(version) => self.column_key(version, place.field)?,
            // No version of the root has this handle: it may be a person's.
            Err(KeyringError::WrongContext) => {
                let subject = subjects.key(sealed.handle())?;
                Arc::new(ColumnKey::from_key(&subject.key, subject.handle()))
            }
            Err(error) => return Err(error),
        };
        let (tenant, table, column) =
            (self.tenant.to_bytes(), place.field.table_id.to_bytes(), place.field.id.to_bytes());
        let context = Self::context(&tenant, &table, &column, place).digest();
        match key.open(&context, sealed) {
            Ok(mut value) => {
                self.count_bytes(value.expose().len());
                Ok(Phi::new(std::mem::take(value.expose_mut())))
            }
            Err(OpenError::WrongKeyOrContext) => Err(KeyringError::WrongContext),
            Err(OpenError::Tampered) => Err(KeyringError::Tampered),
        }
    }

    /// The term of a form under a rule and the newest index key: what a write files under.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NoActiveKey`].
    pub fn term(&self, index: &Index, rule: &Rule, form: &Form) -> Result<String, KeyringError> {
        self.term_under(self.active(Managed::Index)?, index, rule, form)
    }

    /// The terms of a form under a rule and every live index key, newest first.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NoActiveKey`].
    pub fn terms(&self, index: &Index, rule: &Rule, form: &Form) -> Result<Vec<String>, KeyringError> {
        self.active(Managed::Index)?;
        let live = self.versions.iter().rev().filter(|v| v.managed == Managed::Index && v.state.opens());
        live.map(|version| self.term_under(version, index, rule, form)).collect()
    }

    fn term_under(
        &self,
        version: &RingVersion,
        index: &Index,
        rule: &Rule,
        form: &Form,
    ) -> Result<String, KeyringError> {
        let key = self.index_key(version, index)?;
        key.term(&rule.label(), b"", form.expose(), rule.bits()).map_err(|_| KeyringError::Unwrap)
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
