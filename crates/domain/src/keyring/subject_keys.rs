//! The keys of single persons, unwrapped for as long as one call takes.

use chancery_crypto::{Handle, Key256, MacKey, WrapContext, WrappingKey, derive_key, random::Random};

use super::{Keyring, KeyringError, Managed, ring::RingVersion};
use crate::subjects::{SubjectKey, SubjectReferences, SubjectState};

/// What a person's key is wrapped for, besides tenant and handle.
const PURPOSE: &[u8] = b"subject-key";
/// What a key of references is wrapped for.
const REFERENCES: &[u8] = b"subject-references";

/// A person's key in the clear. Lives for one call; no port accepts it.
pub struct OpenSubject {
    handle: Handle,
    pub(super) key: Key256,
}

impl OpenSubject {
    /// Names it inside sealed values.
    pub fn handle(&self) -> Handle {
        self.handle
    }
}

impl std::fmt::Debug for OpenSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenSubject({:?}, ..)", self.handle)
    }
}

/// The persons' keys that one call needs, and those that it would need but that are gone.
#[derive(Debug, Default)]
pub struct Subjects {
    open: Vec<OpenSubject>,
    erased: Vec<Handle>,
}

impl Subjects {
    /// Whether a key with this handle is or was a person's.
    pub fn knows(&self, handle: Handle) -> bool {
        self.erased.contains(&handle) || self.open.iter().any(|subject| subject.handle == handle)
    }

    /// The key with this handle.
    ///
    /// # Errors
    ///
    /// [`KeyringError::Erased`], or [`KeyringError::WrongContext`] if it is nobody's.
    pub fn key(&self, handle: Handle) -> Result<&OpenSubject, KeyringError> {
        if self.erased.contains(&handle) {
            return Err(KeyringError::Erased);
        }
        self.open.iter().find(|subject| subject.handle == handle).ok_or(KeyringError::WrongContext)
    }

    /// The open keys.
    pub(crate) fn into_open(self) -> impl Iterator<Item = OpenSubject> {
        self.open.into_iter()
    }

    /// How many keys are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// A new person's key under the subject root.
pub struct WrappedSubject {
    /// Names it inside sealed values.
    pub handle: Handle,
    /// The key under the subject root.
    pub wrapped: Vec<u8>,
    /// The `key_id` of the version that wraps it.
    pub root_key: String,
}

/// The key of references of a superseded version, unwrapped; `None` if that did not work.
pub(super) struct CarriedReferences {
    key_id: String,
    key: Option<MacKey>,
}

impl Keyring {
    /// With the keys of references that were carried over.
    pub(super) fn with_references(mut self, stored: Vec<SubjectReferences>) -> Self {
        let carried = stored.into_iter().map(|stored| {
            let key = self.open_references(&stored).ok().map(|key| MacKey::from(&key));
            CarriedReferences { key_id: stored.key_id, key }
        });
        self.carried = carried.collect();
        self
    }

    /// Names of a person under every version of the subject root that is not destroyed and every key of references that
    /// was carried over, the active one's first: `(key_id, reference)`.
    ///
    /// Those of stopped versions too: whoever was not found would get a second key, and an erasure would miss the first.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NoActiveKey`]; [`KeyringError::Unwrap`] if a key of references is damaged.
    pub fn subject_references(&self, subject: &str) -> Result<Vec<(String, String)>, KeyringError> {
        let active = self.active(Managed::Subject)?;
        let name = |key_id: &str, key: &MacKey| {
            (key_id.to_owned(), data_encoding::HEXLOWER.encode(&key.mac(&[subject.as_bytes()])))
        };
        let mut names = vec![name(&active.key_id, &MacKey::from(&self.references_of(active)?))];
        for version in self.versions(Managed::Subject).filter(|version| version.key_id != active.key_id) {
            match self.references_of(version) {
                Ok(key) => names.push(name(&version.key_id, &MacKey::from(&key))),
                // Damaged, and yet what it named is known.
                Err(_) if self.carried.iter().any(|carried| carried.key_id == version.key_id) => {}
                Err(error) => return Err(error),
            }
        }
        for carried in &self.carried {
            if names.iter().all(|(key_id, _)| *key_id != carried.key_id) {
                names.push(name(&carried.key_id, carried.key.as_ref().ok_or(KeyringError::Unwrap)?));
            }
        }
        Ok(names)
    }

    /// The key with which a version names persons.
    fn references_of(&self, version: &RingVersion) -> Result<Key256, KeyringError> {
        Ok(derive_key(version.root()?, "chancery/subject/ref/1", &[&self.tenant().to_bytes()]))
    }

    /// Carries the key of references of the version with this id over under the active one, read back.
    ///
    /// # Errors
    ///
    /// [`KeyringError`].
    pub(crate) fn carry_references(&self, key_id: &str, rng: &dyn Random) -> Result<SubjectReferences, KeyringError> {
        let version = self.version(Managed::Subject, key_id)?;
        self.wrap_references(key_id, version.handle, &self.references_of(version)?, rng)
    }

    /// Moves a key of references under the active version, read back.
    ///
    /// # Errors
    ///
    /// [`KeyringError`].
    pub(crate) fn rewrap_references(
        &self,
        stored: &SubjectReferences,
        rng: &dyn Random,
    ) -> Result<SubjectReferences, KeyringError> {
        self.version(Managed::Subject, &stored.root_key)?;
        self.wrap_references(&stored.key_id, stored.handle, &self.open_references(stored)?, rng)
    }

    fn wrap_references(
        &self,
        key_id: &str,
        handle: Handle,
        key: &Key256,
        rng: &dyn Random,
    ) -> Result<SubjectReferences, KeyringError> {
        let active = self.active(Managed::Subject)?;
        let tenant = self.tenant().to_bytes();
        let wrapped = WrappingKey::new(active.root()?, active.handle)
            .wrap(&references_context(&tenant, &handle), key.expose(), rng)
            .map_err(|_| KeyringError::Unwrap)?;
        let made = SubjectReferences { key_id: key_id.to_owned(), handle, wrapped, root_key: active.key_id.clone() };
        if self.open_references(&made)?.expose() != key.expose() {
            return Err(KeyringError::Unwrap);
        }
        Ok(made)
    }

    /// Unwraps a key of references, whatever the state of the version that wraps it: see [`Self::subject_references`].
    fn open_references(&self, stored: &SubjectReferences) -> Result<Key256, KeyringError> {
        let version = self.versions(Managed::Subject).find(|version| version.key_id == stored.root_key);
        let version = version.ok_or(KeyringError::Unwrap)?;
        let tenant = self.tenant().to_bytes();
        let material = WrappingKey::new(version.root()?, version.handle)
            .unwrap(&references_context(&tenant, &stored.handle), &stored.wrapped)
            .map_err(|_| KeyringError::Unwrap)?;
        Key256::from_slice(material.expose()).ok_or(KeyringError::Unwrap)
    }

    /// Draws a person's key and wraps it under the active subject root.
    ///
    /// # Errors
    ///
    /// [`KeyringError`].
    pub fn make_subject_key(&self, rng: &dyn Random) -> Result<WrappedSubject, KeyringError> {
        let key = Key256::make(rng)?;
        self.wrap_subject_key(Handle::make(rng)?, &key, rng)
    }

    fn wrap_subject_key(&self, handle: Handle, key: &Key256, rng: &dyn Random) -> Result<WrappedSubject, KeyringError> {
        let version = self.active(Managed::Subject)?;
        let tenant = self.tenant().to_bytes();
        let wrapped = WrappingKey::new(version.root()?, version.handle)
            .wrap(&context(&tenant, &handle), key.expose(), rng)
            .map_err(|_| KeyringError::Unwrap)?;
        Ok(WrappedSubject { handle, wrapped, root_key: version.key_id.clone() })
    }

    /// Moves a person's key under the active subject root, read back. The key itself stays, and with it what it sealed.
    ///
    /// # Errors
    ///
    /// [`KeyringError`].
    pub fn rewrap_subject_key(&self, stored: &SubjectKey, rng: &dyn Random) -> Result<WrappedSubject, KeyringError> {
        let open = self.open_subject(stored)?;
        let made = self.wrap_subject_key(open.handle, &open.key, rng)?;
        // Read back before the old wrap goes.
        let moved =
            SubjectKey { wrapped: Some(made.wrapped.clone()), root_key: made.root_key.clone(), ..stored.clone() };
        if self.open_subject(&moved)?.key.expose() != open.key.expose() {
            return Err(KeyringError::Unwrap);
        }
        Ok(made)
    }

    /// Unwraps a person's key.
    ///
    /// # Errors
    ///
    /// - [`KeyringError::Erased`]: it was destroyed.
    /// - [`KeyringError::Stopped`]: the subject root that wraps it is stopped.
    /// - [`KeyringError::Unwrap`]: another tenant's row, or damage.
    pub fn open_subject(&self, stored: &SubjectKey) -> Result<OpenSubject, KeyringError> {
        let (SubjectState::Active, Some(wrapped)) = (stored.state, &stored.wrapped) else {
            return Err(KeyringError::Erased);
        };
        let version = self.version(Managed::Subject, &stored.root_key)?;
        let tenant = self.tenant().to_bytes();
        let material = WrappingKey::new(version.root()?, version.handle)
            .unwrap(&context(&tenant, &stored.handle), wrapped)
            .map_err(|_| KeyringError::Unwrap)?;
        let key = Key256::from_slice(material.expose()).ok_or(KeyringError::Unwrap)?;
        Ok(OpenSubject { handle: stored.handle, key })
    }

    /// Unwraps what a call needs; destroyed ones are remembered as such.
    ///
    /// # Errors
    ///
    /// As [`Self::open_subject`], but for erased ones.
    pub fn open_subjects(&self, stored: &[SubjectKey]) -> Result<Subjects, KeyringError> {
        let mut subjects = Subjects::default();
        for key in stored {
            match self.open_subject(key) {
                Ok(open) => subjects.open.push(open),
                Err(KeyringError::Erased) => subjects.erased.push(key.handle),
                Err(error) => return Err(error),
            }
        }
        Ok(subjects)
    }

    /// As [`Self::open_subjects`], leaving out those that do not unwrap; and whether one of them is under a version of the subject
    /// root that this keyring has not met.
    pub(crate) fn open_subjects_that_open(&self, stored: &[SubjectKey]) -> (Subjects, bool) {
        let (mut subjects, mut stale) = (Subjects::default(), false);
        for key in stored {
            match self.open_subject(key) {
                Ok(open) => subjects.open.push(open),
                Err(KeyringError::Erased) => subjects.erased.push(key.handle),
                Err(error) => stale |= matches!(error, KeyringError::NoActiveKey(_)),
            }
        }
        (subjects, stale)
    }
}

fn context<'a>(tenant: &'a [u8; 16], handle: &'a Handle) -> WrapContext<'a> {
    WrapContext { parent: tenant, child: &handle.0, purpose: PURPOSE, version: 1 }
}

fn references_context<'a>(tenant: &'a [u8; 16], handle: &'a Handle) -> WrapContext<'a> {
    WrapContext { parent: tenant, child: &handle.0, purpose: REFERENCES, version: 1 }
}

#[cfg(test)]
mod tests {
    use chancery_crypto::SystemRandom;

    use super::*;
    use crate::{
        audit::receipt::Unaudited,
        fields::system,
        ids::{SubjectId, TenantId},
        keyring::{
            KeyState, RowPlace, SealedRow,
            ring::{Material, Place},
            tenant_keys::TenantKeys,
        },
        time::Timestamp,
    };

    const OURS: TenantId = TenantId::from_bytes([1; 16]);

    fn ring(tenant: TenantId) -> Keyring {
        let root = |managed, byte| RingVersion {
            managed,
            key_id: format!("kv_{byte}"),
            handle: Handle([byte; 8]),
            state: KeyState::Active,
            retired_at: None,
            public: None,
            material: Material::Root(Key256::from_bytes([byte; 32])),
        };
        let versions = vec![root(Managed::Data, 1), root(Managed::Subject, 2)];
        let wrapping = WrappingKey::new(&Key256::from_bytes([9; 32]), Handle([9; 8]));
        Keyring::new(tenant, TenantKeys::first(tenant, wrapping), versions)
    }

    fn stored(made: WrappedSubject) -> SubjectKey {
        SubjectKey {
            id: SubjectId::from_bytes([1; 16]),
            handle: made.handle,
            reference: String::new(),
            reference_key: made.root_key.clone(),
            wrapped: Some(made.wrapped),
            root_key: made.root_key,
            state: SubjectState::Active,
            created_at: Timestamp::from_micros(0),
            destroyed_at: None,
        }
    }

    #[test]
    fn a_persons_values_open_with_the_persons_key_only() {
        let ring = ring(OURS);
        let key = stored(ring.make_subject_key(&SystemRandom).unwrap());
        let subjects = ring.open_subjects(std::slice::from_ref(&key)).unwrap();
        let field = system::user_first_name();
        let place = Place { field: &field, row: "1" };
        let sealed = ring.seal_for(subjects.key(key.handle).ok(), place, b"Ann", &SystemRandom).unwrap();
        assert_eq!(sealed.handle(), key.handle);
        let open = |subjects: &Subjects| {
            let receipt = Unaudited::accept("test", OURS, &field.table, 1);
            let opened = ring.open_with(receipt, &field.table, subjects, &[(place, &sealed)]);
            opened.map(|values| values[0].expose().clone()).map_err(|(_, error)| error)
        };
        assert_eq!(open(&subjects).unwrap(), b"Ann");
        assert!(matches!(open(&Subjects::default()), Err(KeyringError::WrongContext)));
        let other = stored(ring.make_subject_key(&SystemRandom).unwrap());
        assert!(matches!(open(&ring.open_subjects(&[other]).unwrap()), Err(KeyringError::WrongContext)));
        let gone = SubjectKey { wrapped: None, state: SubjectState::Destroyed, ..key.clone() };
        assert!(matches!(open(&ring.open_subjects(&[gone]).unwrap()), Err(KeyringError::Erased)));
        let swapped = SubjectKey { handle: Handle([7; 8]), ..key };
        assert!(matches!(ring.open_subjects(&[swapped]), Err(KeyringError::Unwrap)), "a wrap knows its handle");
    }

    /// After a rotation: the version of [`ring`] is in this state, or gone, and a newer one is active.
    fn rotated(state: Option<KeyState>, carried: Vec<SubjectReferences>) -> Keyring {
        let root = |byte, state| RingVersion {
            managed: Managed::Subject,
            key_id: format!("kv_{byte}"),
            handle: Handle([byte; 8]),
            state,
            retired_at: None,
            public: None,
            material: Material::Root(Key256::from_bytes([byte; 32])),
        };
        let mut versions: Vec<RingVersion> = state.map(|state| root(2, state)).into_iter().collect();
        versions.push(root(3, KeyState::Active));
        let wrapping = WrappingKey::new(&Key256::from_bytes([9; 32]), Handle([9; 8]));
        Keyring::new(OURS, TenantKeys::first(OURS, wrapping), versions).with_references(carried)
    }

    #[test]
    fn a_person_keeps_the_key_and_the_name_when_the_root_that_made_them_is_gone() {
        let before = ring(OURS);
        let key = stored(before.make_subject_key(&SystemRandom).unwrap());
        let name = before.subject_references("MRN-1").unwrap().remove(0);
        let between = rotated(Some(KeyState::Rotating), Vec::new());
        let names = between.subject_references("MRN-1").unwrap();
        assert_eq!((names[0].0.as_str(), &names[1]), ("kv_3", &name), "the active one first");
        let moved = between.rewrap_subject_key(&key, &SystemRandom).unwrap();
        assert_eq!((moved.root_key.as_str(), moved.handle), ("kv_3", key.handle));
        let carried = between.carry_references("kv_2", &SystemRandom).unwrap();

        let after = rotated(None, vec![carried.clone()]);
        let was = before.open_subject(&key).unwrap();
        assert_eq!(after.open_subject(&stored(moved)).unwrap().key.expose(), was.key.expose());
        assert_eq!(after.subject_references("MRN-1").unwrap(), names);
        assert!(after.open_subject(&key).is_err(), "the old wrap opens no more");
        let again = after.rewrap_references(&carried, &SystemRandom).unwrap();
        assert_ne!(again.wrapped, carried.wrapped);
        assert_eq!(rotated(None, vec![again]).subject_references("MRN-1").unwrap(), names);

        // A damaged one is no reason to take a known person for a new one.
        let damaged = SubjectReferences { handle: Handle([7; 8]), ..carried };
        assert!(matches!(rotated(None, vec![damaged]).subject_references("MRN-1"), Err(KeyringError::Unwrap)));
        // Nor is a stopped version.
        assert_eq!(rotated(Some(KeyState::Suspended), Vec::new()).subject_references("MRN-1").unwrap(), names);
        assert!(rotated(Some(KeyState::Suspended), Vec::new()).rewrap_subject_key(&key, &SystemRandom).is_err());
    }

    #[test]
    fn a_receipt_for_less_opens_no_row_and_no_blob() {
        let ring = ring(OURS);
        let field = system::user_first_name();
        let place = RowPlace { table: &field.table, table_id: field.table_id, row: "1" };
        let (header, members) = ring.seal_row(place, None, &[(&field, b"Ann")], &SystemRandom).unwrap();
        let open = |tenant, table: &str, values| {
            let receipt = Unaudited::accept("test", tenant, table, values);
            let row = SealedRow { place, header: &header, members: vec![(&field, &members[0])] };
            let opened = ring.open_rows(receipt, &field.table, &Subjects::default(), &[row]);
            opened.map(|mut rows| rows.remove(0)).map_err(|(_, error)| error)
        };
        assert_eq!(open(OURS, &field.table, 1).unwrap()[0].expose(), b"Ann");
        for (tenant, table, values) in [
            (OURS, field.table.as_str(), 0),
            (OURS, "visits", 1),
            (TenantId::from_bytes([2; 16]), field.table.as_str(), 1),
        ] {
            assert!(matches!(open(tenant, table, values), Err((None, KeyringError::ReceiptTooSmall))));
        }
        let place = Place { field: &field, row: "1" };
        let sealer = ring.seal_blob(place, None, &SystemRandom).unwrap();
        let receipt = Unaudited::accept("test", OURS, "visits", 1);
        let refused = ring.open_blob(receipt, place, &Subjects::default(), sealer.header());
        assert!(matches!(refused, Err(KeyringError::ReceiptTooSmall)));
    }

    #[test]
    fn members_do_not_open_elsewhere_and_old_headers_take_no_new_ones() {
        let ring = ring(OURS);
        let (first, last) = (system::user_first_name(), system::user_last_name());
        let place = |row| RowPlace { table: &first.table, table_id: first.table_id, row };
        let (header, members) = ring.seal_row(place("1"), None, &[(&first, b"Ann")], &SystemRandom).unwrap();
        let open = |ring: &Keyring, place, field| {
            let receipt = Unaudited::accept("test", ring.tenant(), &first.table, 1);
            let row = SealedRow { place, header: &header, members: vec![(field, &members[0])] };
            ring.open_rows(receipt, &first.table, &Subjects::default(), &[row]).map_err(|(_, (_, error))| error)
        };
        assert!(matches!(open(&ring, place("2"), &first), Err(KeyringError::WrongContext)));
        assert!(matches!(open(&ring, place("1"), &last), Err(KeyringError::Tampered)));
        let table_id = system::tenant_email().table_id;
        let elsewhere = RowPlace { table_id, ..place("1") };
        assert!(matches!(open(&ring, elsewhere, &first), Err(KeyringError::WrongContext)));
        let theirs = self::ring(TenantId::from_bytes([2; 16]));
        assert!(matches!(open(&theirs, place("1"), &first), Err(KeyringError::WrongContext)));
        let nobody = Subjects::default();
        let more = ring.seal_members(place("1"), &nobody, &header, &[(&last, b"Lee")], &SystemRandom).unwrap();
        let receipt = Unaudited::accept("test", OURS, &first.table, 2);
        let both = vec![(&first, &members[0]), (&last, &more[0])];
        let row = SealedRow { place: place("1"), header: &header, members: both };
        assert_eq!(ring.open_rows(receipt, &first.table, &nobody, &[row]).unwrap()[0][1].expose(), b"Lee");
    }
}
