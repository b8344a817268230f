//! The platform root, unwrapped.

use chancery_crypto::{ColumnKey, Handle, Key256, MacKey, WrapContext, WrappingKey, derive_key, random::Random};

use super::{RootError, RootSecret};
use crate::{instance::Failure, keyring::KeyringError};

/// Wraps tenant keys, and gives the platform its own derived keys. Never encrypts data.
///
/// It may have several versions: the newest wraps, older ones unwrap what they wrapped until it was moved.
pub struct PlatformRoot {
    /// The version that wraps.
    newest: Version,
    /// Older ones, oldest first.
    older: Vec<Version>,
    /// What derives from the newest.
    current: Derived,
    /// What derives from older ones, also from those that are gone; newest first.
    past: Vec<Derived>,
}

struct Version {
    version: u32,
    wrapping: WrappingKey,
    /// Seals what nodes leave for each other.
    shelf: ColumnKey,
}

struct Derived {
    version: u32,
    pepper: MacKey,
    idempotency: MacKey,
}

impl Derived {
    fn from_root(root: &Drawn) -> Self {
        Self::of(root.version, &root.pepper(), &root.idempotency())
    }

    fn of(version: u32, pepper: &Key256, idempotency: &Key256) -> Self {
        Self { version, pepper: MacKey::from(pepper), idempotency: MacKey::from(idempotency) }
    }
}

/// A version of the root in the clear, for as long as it takes to wrap it.
pub(crate) struct Drawn {
    pub(crate) root: Key256,
    pub(crate) version: u32,
    pub(crate) handle: Handle,
}

impl Drawn {
    /// The wrapping key of this version.
    pub(crate) fn wrapping(&self) -> WrappingKey {
        WrappingKey::new(&self.root, self.handle)
    }

    /// This version, as it is held.
    fn held(&self) -> Version {
        let shelf = derive_key(&self.root, "chancery/api-key-shelf/1", &[]);
        let shelf = ColumnKey::from_key(&shelf, self.handle);
        Version { version: self.version, wrapping: self.wrapping(), shelf }
    }

    fn pepper(&self) -> Key256 {
        derive_key(&self.root, "chancery/pepper/1", &[b"api-key"])
    }

    fn idempotency(&self) -> Key256 {
        derive_key(&self.root, "chancery/idempotency/1", &[])
    }

    /// What derives from this version, under a newer one.
    pub(crate) fn secret_under(&self, newer: &Self, rng: &dyn Random) -> Result<RootSecret, Failure> {
        let mut both = zeroize::Zeroizing::new([0; 64]);
        let (pepper, idempotency) = both.split_at_mut(32);
        pepper.copy_from_slice(self.pepper().expose());
        idempotency.copy_from_slice(self.idempotency().expose());
        let wrapped = newer.wrapping().wrap(&secret_context(self.version), &*both, rng);
        let wrapped = wrapped.map_err(|_| KeyringError::Unwrap)?;
        Ok(RootSecret { version: self.version, wrapped, root_version: newer.version })
    }
}

fn secret_context(version: u32) -> WrapContext<'static> {
    WrapContext { parent: b"platform-root", child: b"derived", purpose: b"root-secret", version }
}

/// The same secret under a newer version.
pub(crate) fn rewrapped(
    secret: &RootSecret,
    old: &WrappingKey,
    newer: &Drawn,
    rng: &dyn Random,
) -> Result<RootSecret, Failure> {
    let context = secret_context(secret.version);
    let both = old.unwrap(&context, &secret.wrapped).map_err(|_| KeyringError::Unwrap)?;
    let wrapped = newer.wrapping().wrap(&context, both.expose(), rng).map_err(|_| KeyringError::Unwrap)?;
    Ok(RootSecret { version: secret.version, wrapped, root_version: newer.version })
}

impl PlatformRoot {
    /// Of versions, of which there is at least one, and of what older ones left.
    ///
    /// # Errors
    ///
    /// [`RootError::Damaged`] if there is no version, or a secret does not unwrap.
    pub(crate) fn new(mut drawn: Vec<Drawn>, kept: &[RootSecret]) -> Result<Self, RootError> {
        drawn.sort_by_key(|one| one.version);
        let mut past = Vec::new();
        for secret in kept.iter().filter(|secret| drawn.iter().all(|one| one.version != secret.version)) {
            // Under a version that this process could not have: looked up again when somebody needs it.
            let Some(under) = drawn.iter().find(|one| one.version == secret.root_version) else { continue };
            let both = under.wrapping().unwrap(&secret_context(secret.version), &secret.wrapped);
            let both = both.map_err(|_| RootError::Damaged)?;
            let (pepper, idempotency) = both.expose().split_at_checked(32).ok_or(RootError::Damaged)?;
            let read = |part| Key256::from_slice(part).ok_or(RootError::Damaged);
            past.push(Derived::of(secret.version, &read(pepper)?, &read(idempotency)?));
        }
        let newest = drawn.pop().ok_or(RootError::Damaged)?;
        past.extend(drawn.iter().map(Derived::from_root));
        past.sort_by_key(|one| std::cmp::Reverse(one.version));
        Ok(Self {
            current: Derived::from_root(&newest),
            newest: newest.held(),
            older: drawn.iter().map(Drawn::held).collect(),
            past,
        })
    }

    /// Its newest version.
    pub fn version(&self) -> u32 {
        self.newest.version
    }

    /// All versions that unwrap, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = u32> {
        self.older.iter().map(|one| one.version).chain([self.newest.version])
    }

    /// Wraps tenant keys: the newest version.
    pub(crate) fn wrapping(&self) -> &WrappingKey {
        &self.newest.wrapping
    }

    /// Unwraps tenant keys of the version that their row names.
    ///
    /// # Errors
    ///
    /// [`KeyringError::Root`] if this process does not hold it.
    pub(crate) fn wrapping_of(&self, version: u32) -> Result<&WrappingKey, KeyringError> {
        let mut all = self.older.iter().chain([&self.newest]);
        all.find(|one| one.version == version).map(|one| &one.wrapping).ok_or(KeyringError::Root(version))
    }

    /// Seals and opens verified API keys that nodes leave for each other: of the newest version alone, for they are worth a minute.
    pub(crate) fn shelf(&self) -> &ColumnKey {
        &self.newest.shelf
    }

    /// Digests the secrets of new API keys; its version goes beside the digest.
    pub fn pepper(&self) -> (u32, &MacKey) {
        (self.current.version, &self.current.pepper)
    }

    /// Verifies API keys that were digested under that version of the root.
    pub fn pepper_of(&self, version: u32) -> Option<&MacKey> {
        let mut all = std::iter::once(&self.current).chain(&self.past);
        all.find(|one| one.version == version).map(|one| &one.pepper)
    }

    /// Digests requests that carry an `Idempotency-Key`: the newest, and those under which they may be remembered.
    pub fn idempotency(&self) -> (&MacKey, impl Iterator<Item = &MacKey>) {
        (&self.current.idempotency, self.past.iter().map(|one| &one.idempotency))
    }
}
