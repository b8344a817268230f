//! The sealer: an application's keys for one tenant, in its own process.

use std::{
    any::TypeId,
    collections::HashMap,
    ffi::OsString,
    fmt::Display,
    fs::{File, OpenOptions},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex, PoisonError, RwLock},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use chancery_crypto::{
    Flags, Handle, MAGIC, PROFILE_FIELD, SUITE, SystemRandom,
    legacy::{FernetKey, FernetKeys},
};
use chancery_domain::{
    TenantId,
    fields::{Bind, Field},
    keyring::{KeyProvider, Keyring, ring::Place},
    records,
};
use chancery_kms::{Local, private_file::PrivateFileError};
use data_encoding::BASE64URL_NOPAD;

use crate::{
    column::{Column, Indexed, indexed_field, sealed_field},
    error::{SealError, SealerError},
    opener::{Opener, Trail},
    ring::{Ring, RingRoot, RootUse},
    term::{Term, Terms},
    value::{Searchable as _, Value as _},
};

/// How often a running process looks whether another one rotated a root.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The longest row id, in bytes, as the server's.
const MAX_ROW: usize = 255;

/// An application's keys for one tenant: what seals its values, opens them and finds them.
///
/// It is the ring at a path, unwrapped. One per tenant and process; [`Sealer::shared`] keeps one for each path.
pub struct Sealer {
    path: PathBuf,
    root: RingRoot,
    current: RwLock<Arc<Current>>,
    looked: Mutex<(Instant, Seen)>,
    legacy: FernetKeys,
    sealed: RwLock<HashMap<TypeId, Arc<Field>>>,
    indexed: RwLock<HashMap<TypeId, Arc<Field>>>,
}

/// The ring as it was read last.
pub(crate) struct Current {
    ring: Ring,
    pub(crate) keyring: Keyring,
}

/// What tells one state of a file from another without reading it.
type Seen = Option<(u64, u64, i64, i64)>;

impl Sealer {
    /// Opens the ring beside a key file: `clinic.ring` beside `clinic.key`.
    ///
    /// # Errors
    ///
    /// [`SealerError`]: without the right key file, of mode 600, and its ring there is no sealer, and nothing is made up.
    pub fn open(key_file: impl AsRef<Path>) -> Result<Self, SealerError> {
        let (key, ring) = (key_file.as_ref(), ring_beside(key_file.as_ref()));
        let provider = Local::open(key).map_err(|source| SealerError::Provider { ring: ring.clone(), source })?;
        at_once(Self::open_with(&provider, &ring))
    }

    /// Makes a key file of mode 600 and its ring. Neither may exist.
    ///
    /// # Errors
    ///
    /// [`SealerError`].
    pub fn create(key_file: impl AsRef<Path>) -> Result<Self, SealerError> {
        let (key, ring) = (key_file.as_ref(), ring_beside(key_file.as_ref()));
        if ring.symlink_metadata().is_ok() {
            return Err(PrivateFileError::Exists(ring).into());
        }
        let provider = Local::create(key).map_err(|source| SealerError::Provider { ring: ring.clone(), source })?;
        at_once(Self::create_with(&provider, &ring))
    }

    /// As [`Self::open`], or as [`Self::create`] where there is neither key file nor ring: for development and first starts.
    /// A ring without its key, or a key without its ring, is an error here too.
    ///
    /// # Errors
    ///
    /// [`SealerError`].
    pub fn open_or_create(key_file: impl AsRef<Path>) -> Result<Self, SealerError> {
        let (key, ring) = (key_file.as_ref(), ring_beside(key_file.as_ref()));
        let nothing = key.symlink_metadata().is_err() && ring.symlink_metadata().is_err();
        if nothing { Self::create(key) } else { Self::open(key) }
    }

    /// Opens a ring whose root another provider wraps: an HSM, a cloud KMS, Vault.
    ///
    /// # Errors
    ///
    /// [`SealerError`].
    pub async fn open_with(provider: &dyn KeyProvider, ring: &Path) -> Result<Self, SealerError> {
        let seen = seen(ring);
        let (content, root) = Ring::read(provider, ring).await?;
        Self::assemble(content, root, ring, seen)
    }

    /// Makes a ring under another provider.
    ///
    /// # Errors
    ///
    /// [`SealerError`].
    pub async fn create_with(provider: &dyn KeyProvider, ring: &Path) -> Result<Self, SealerError> {
        let (content, root) = Ring::make(provider, ring).await?;
        let content = content.create(&root, ring)?;
        Self::assemble(content, root, ring, seen(ring))
    }

    fn assemble(ring: Ring, root: RingRoot, path: &Path, seen: Seen) -> Result<Self, SealerError> {
        let keyring = ring.unwrap(&root, path)?;
        Ok(Self {
            path: path.to_owned(),
            root,
            current: RwLock::new(Arc::new(Current { ring, keyring })),
            looked: Mutex::new((Instant::now(), seen)),
            legacy: FernetKeys::from(Vec::new()),
            sealed: RwLock::default(),
            indexed: RwLock::default(),
        })
    }

    /// Takes the Fernet keys of an application that sealed before (base64url, newest first). Its values (`gAAAAA…`) open and
    /// are never written again: saving one takes [`Sealed::renewed`](crate::Sealed::renewed) first.
    ///
    /// # Errors
    ///
    /// [`SealerError::LegacyKey`].
    pub fn with_legacy_keys<'a>(mut self, keys: impl IntoIterator<Item = &'a str>) -> Result<Self, SealerError> {
        let keys: Option<Vec<_>> = keys.into_iter().map(FernetKey::from_text).collect();
        self.legacy = FernetKeys::from(keys.ok_or(SealerError::LegacyKey)?);
        Ok(self)
    }

    /// The tenant that values are bound to: drawn when the ring was made.
    pub fn tenant(&self) -> TenantId {
        self.current().ring.tenant
    }

    /// Opens values without an event in a Chancery log: for applications that keep their own trail, or need none.
    /// `reason` is for the reader of the code; search for `unaudited` in reviews.
    pub fn unaudited(&self, reason: &'static str) -> Opener<'_> {
        Opener::new(self, reason, None)
    }

    /// Opens values after `trail` took each reading. What it does not take is not opened.
    pub fn audited<'a>(&'a self, trail: &'a dyn Trail) -> Opener<'a> {
        Opener::new(self, "the application's trail took it", Some(trail))
    }

    /// Adds a version of a root and makes it the active one. Values under the older ones open on, and every term of theirs
    /// is searched on.
    ///
    /// Other processes that have the ring open see it within a second. After a rotation of the data root move old values with
    /// [`Sealed::renewed`](crate::Sealed::renewed); after one of the index root write new terms.
    ///
    /// # Errors
    ///
    /// [`SealerError`]; the ring is as it was.
    pub fn rotate(&self, root_use: RootUse) -> Result<u32, SealerError> {
        // One at a time, whichever process: each adds to what the other wrote.
        let _held = self.lock()?;
        let mut ring = Ring::read_again(&self.root, &self.path)?;
        // Adding to an old copy would drop the versions that it lacks, and with them every value under them.
        if ring.versions.len() < self.current().ring.versions.len() {
            return Err(SealerError::Damaged { ring: self.path.clone(), what: "an older copy than was opened" });
        }
        let version = ring.add(root_use, &self.root)?;
        let ring = ring.replace(&self.root, &self.path)?;
        self.adopt(ring)?;
        Ok(version)
    }

    /// The version of a root that is active now.
    pub fn active_version(&self, root_use: RootUse) -> Option<u32> {
        self.look_again();
        self.current().ring.active(root_use).map(|version| version.version)
    }

    /// What every value of a text column begins with that the active root sealed: `NOT LIKE prefix || '%'` finds the others.
    pub fn current_prefix<C: Column>(&self) -> String {
        // Twelve bytes are sixteen letters of base64, so the prefix of the bytes is one of the text.
        chancery_crypto::TEXT_PREFIX.to_owned() + &BASE64URL_NOPAD.encode(&self.current_head::<C>())
    }

    /// As [`Self::current_prefix`], of a binary column.
    pub fn current_head<C: Column>(&self) -> [u8; 12] {
        self.look_again();
        let flags = if C::BIND == Bind::Row { Flags::ROW } else { Flags::COLUMN };
        let mut head = [0; 12];
        let (marks, handle) = head.split_at_mut(4);
        marks.copy_from_slice(&[MAGIC, PROFILE_FIELD, SUITE, flags.to_byte()]);
        handle.copy_from_slice(&self.active_handle().unwrap_or(Handle([0; 8])).0);
        head
    }

    pub(crate) fn active_handle(&self) -> Option<Handle> {
        self.current().ring.active(RootUse::Data).and_then(|version| Handle::from_hex(&version.handle))
    }

    /// The term to store beside a value.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn term<C: Indexed>(&self, value: &C::Value) -> Result<Term<C>, SealError> {
        self.look_again();
        let field = self.indexed::<C>();
        let terms = records::filed(&self.current().keyring, &field, value.search_text().expose())?.exact;
        terms
            .and_then(|terms| terms.into_iter().next())
            .map(Term::new)
            .ok_or(SealError::Keys(chancery_domain::keyring::KeyringError::Unwrap))
    }

    /// The terms to look for: one for each version of the index root. Compare with [`Indexed::same`] after opening.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub fn terms<C: Indexed>(&self, value: &C::Value) -> Result<Terms<C>, SealError> {
        self.look_again();
        let field = self.indexed::<C>();
        let terms = records::sought(&self.current().keyring, &field, value.search_text().expose())?;
        Ok(Terms::new(terms.into_iter().map(Term::new).collect()))
    }

    /// Seals bytes for a place.
    pub(crate) fn seal_bytes(
        &self,
        field: &Field,
        row: &str,
        bytes: &[u8],
    ) -> Result<chancery_crypto::Sealed, SealError> {
        self.look_again();
        Ok(self.current().keyring.seal(Place { field, row }, bytes, &SystemRandom)?)
    }

    pub(crate) fn legacy(&self) -> &FernetKeys {
        &self.legacy
    }

    pub(crate) fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn field<C: Column>(&self) -> Arc<Field> {
        cached::<C>(&self.sealed, sealed_field::<C>)
    }

    fn indexed<C: Indexed>(&self) -> Arc<Field> {
        cached::<C>(&self.indexed, indexed_field::<C>)
    }

    /// Looks for a new ring at most once a second.
    fn look_again(&self) {
        let Ok(mut looked) = self.looked.try_lock() else { return };
        if looked.0.elapsed() >= LOOK_AGAIN {
            self.look(&mut looked);
        }
    }

    /// Looks for a new ring at once: a value names a version that is not known here.
    pub(crate) fn look_now(&self) {
        self.look(&mut self.looked.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Reads the ring if another process replaced it. One that cannot be read is no reason to stop: what was unwrapped
    /// is still right.
    fn look(&self, (when, last): &mut (Instant, Seen)) {
        *when = Instant::now();
        let now = seen(&self.path);
        if now.is_some() && now != *last && Ring::read_again(&self.root, &self.path).and_then(|r| self.adopt(r)).is_ok()
        {
            *last = now;
        }
    }

    fn adopt(&self, ring: Ring) -> Result<(), SealerError> {
        let keyring = ring.unwrap(&self.root, &self.path)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Versions are only ever added: fewer are those of an old copy, or of a thread that read before another rotated.
        if ring.versions.len() >= current.ring.versions.len() {
            *current = Arc::new(Current { ring, keyring });
        }
        Ok(())
    }

    /// Held until the file is dropped. It stays where it is: a lock file that is removed protects nobody.
    fn lock(&self) -> Result<File, SealerError> {
        let path = self.path.with_extension("ring.lock");
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = opened.and_then(|file| file.lock().map(|()| file));
        file.map_err(|source| PrivateFileError::Io { path, source }.into())
    }
}

impl Current {
    /// Whether a value names a version of this ring.
    pub(crate) fn knows(&self, handle: Handle) -> bool {
        self.ring.versions.iter().any(|version| version.handle == handle.to_hex())
    }

    pub(crate) fn tenant(&self) -> TenantId {
        self.ring.tenant
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({}, ..)", self.path.display())
    }
}

/// Where the ring of a key file is: beside it, `.ring` for its extension.
pub(crate) fn ring_beside(key_file: &Path) -> PathBuf {
    match key_file.extension() {
        Some(extension) if extension != "ring" => key_file.with_extension("ring"),
        _ => {
            let mut name = OsString::from(key_file);
            name.push(".ring");
            name.into()
        }
    }
}

/// The row of a value as it goes into the context.
pub(crate) fn row_of(bind: Bind, row: impl Display) -> Option<String> {
    let row = match bind {
        Bind::Row => row.to_string(),
        Bind::Column => return Some(String::new()),
    };
    (1..=MAX_ROW).contains(&row.len()).then_some(row)
}

/// Seals one value of a column.
pub(crate) fn seal<C: Column>(
    sealer: &Sealer,
    row: impl Display,
    value: &C::Value,
) -> Result<chancery_crypto::Sealed, SealError> {
    let row = row_of(C::BIND, row).ok_or(SealError::Row)?;
    if C::MAX < chancery_crypto::PLAINTEXT_MAX && value.length() > C::MAX {
        return Err(SealError::TooLong { max: C::MAX });
    }
    sealer.seal_bytes(&sealer.field::<C>(), &row, value.to_bytes().expose())
}

fn cached<C: 'static>(fields: &RwLock<HashMap<TypeId, Arc<Field>>>, make: fn() -> Field) -> Arc<Field> {
    let name = TypeId::of::<C>();
    if let Some(field) = fields.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
        return Arc::clone(field);
    }
    let mut fields = fields.write().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(fields.entry(name).or_insert_with(|| Arc::new(make())))
}

fn seen(path: &Path) -> Seen {
    let file = path.metadata().ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

/// Runs what never waits: a local key file answers without any I/O of its own.
fn at_once<T>(work: impl Future<Output = Result<T, SealerError>>) -> Result<T, SealerError> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(SealerError::Damaged { ring: PathBuf::new(), what: "a local key file made us wait" }),
    }
}
