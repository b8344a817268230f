//! Finds the persons' keys that a call needs, and makes those that are not there yet.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use chancery_crypto::Handle;

use super::{SubjectError, SubjectKey, SubjectState, check_reference};
use crate::{
    Instance,
    access::Call,
    audit::{Change, Event, EventKind},
    ids::{SubjectId, TenantId},
    instance::Failure,
    keyring::{Key, Keyring, KeyringError, Managed, OpenSubject, Subjects},
    store::StoreError,
    time::Timestamp,
};

/// The keys under which values of these persons are sealed, by the persons' references.
pub(crate) struct Lent(HashMap<String, Handle>, Subjects);

impl Lent {
    /// Whether they are the same keys as in `other`.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// The key of a person; none if none is named.
    pub(crate) fn of(&self, subject: Option<&str>) -> Result<Option<&OpenSubject>, Failure> {
        let Some(subject) = subject else { return Ok(None) };
        let handle = self.0.get(subject).ok_or(Failure::Internal("a person without a key"))?;
        Ok(Some(self.1.key(*handle)?))
    }

    /// The keys themselves, by the persons' references.
    pub(crate) fn into_keys(self) -> HashMap<String, Arc<OpenSubject>> {
        let Self(persons, subjects) = self;
        let keys: HashMap<Handle, Arc<OpenSubject>> =
            subjects.into_open().map(|key| (key.handle(), Arc::new(key))).collect();
        persons.into_iter().filter_map(|(person, handle)| Some((person, Arc::clone(keys.get(&handle)?)))).collect()
    }
}

/// Lends the keys of persons for sealing. Who has none yet gets one, in a commit of its own with its event.
///
/// # Errors
///
/// [`SubjectError::Erased`]: who was erased is sealed for again only after [`super::recreate`].
pub(crate) async fn for_sealing<'a>(
    instance: &Instance,
    call: &Call,
    subjects: impl Iterator<Item = &'a str>,
) -> Result<Lent, SubjectError> {
    let named: BTreeSet<&str> = subjects.collect();
    if named.is_empty() {
        return Ok(Lent(HashMap::new(), Subjects::default()));
    }
    for subject in &named {
        check_reference(subject)?;
    }
    // Somebody else may make the same person's key at the same moment: then theirs is taken.
    for _ in 0..3 {
        let ring = instance.keyring(call.tenant()).await?;
        let names = Names::of(&ring, &named)?;
        let stored = instance.store().view(call.tenant()).await?.subject_keys_of(&names.all()).await?;
        let found = names.sort(stored);
        if let Some(erased) = named.iter().find(|subject| matches!(found.get(*subject), Some(None))) {
            return Err(SubjectError::Erased((*erased).to_owned().into()));
        }
        let missing: Vec<&str> = named.iter().copied().filter(|subject| !found.contains_key(subject)).collect();
        if missing.is_empty() {
            let keys: Vec<SubjectKey> = found.values().flatten().cloned().collect();
            let handles = found.iter().filter_map(|(subject, key)| Some(((*subject).to_owned(), key.as_ref()?.handle)));
            match ring.open_subjects(&keys) {
                Ok(open) => return Ok(Lent(handles.collect(), open)),
                // Moved by now under a version that this node has not met yet: looked up again.
                Err(KeyringError::NoActiveKey(_)) => instance.end_lease(call.tenant()),
                Err(error) => return Err(error.into()),
            }
            continue;
        }
        match make(instance, call, &missing).await {
            Ok(()) | Err(Failure::Store(StoreError::Taken(_))) => {}
            // The subject root was rotated a moment ago: looked up again.
            Err(Failure::Keyring(KeyringError::Stale)) => instance.end_lease(call.tenant()),
            Err(failure) => return Err(failure.into()),
        }
    }
    Err(SubjectError::Failed(StoreError::Changed("subject_key").into()))
}

async fn make(instance: &Instance, call: &Call, subjects: &[&str]) -> Result<(), Failure> {
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    hold_root(&mut change).await?;
    let now = instance.now();
    let mut last = None;
    for subject in subjects {
        let key = new_key(instance, change.keyring(), subject, now)?;
        change.rows().insert_subject_key(&key).await?;
        let event = told(change.keyring(), EventKind::SubjectCreated, key.id, subject)?;
        if let Some(before) = last.replace(event) {
            change.record(before).await?;
        }
    }
    match last {
        Some(event) => change.commit(event).await,
        None => Ok(()),
    }
}

/// Holds the active version of the subject root until the commit; whoever stores a key under it does. So nothing new is
/// under a version once its rotation is committed, and what is counted there can only become less.
///
/// # Errors
///
/// [`KeyringError::Stale`] if another one is active by now than the keyring of `change` knows.
pub(super) async fn hold_root(change: &mut Change<'_>) -> Result<Key, Failure> {
    let key = change.rows().managed_key(Managed::Subject).await?;
    let key = key.ok_or(KeyringError::NoActiveKey(Managed::Subject))?;
    let held = change.rows().hold_active_version(key.id).await?.ok_or(KeyringError::Stale)?;
    if change.keyring().active(Managed::Subject)?.key_id == held.key_id {
        Ok(key)
    } else {
        Err(KeyringError::Stale.into())
    }
}

/// A new key of a person, to be stored.
pub(super) fn new_key(
    instance: &Instance,
    ring: &Keyring,
    subject: &str,
    now: Timestamp,
) -> Result<SubjectKey, Failure> {
    let made = ring.make_subject_key(instance.random())?;
    let active = ring.subject_references(subject)?.into_iter().next();
    let (reference_key, reference) = active.ok_or(Failure::Internal("no name for a person"))?;
    Ok(SubjectKey {
        id: SubjectId::make(now, instance.random())?,
        handle: made.handle,
        reference,
        reference_key,
        wrapped: Some(made.wrapped),
        root_key: made.root_key,
        state: SubjectState::Active,
        created_at: now,
        destroyed_at: None,
    })
}

/// An event about a person: by the id of the key and a keyed reference, never by the application's own.
pub(super) fn told(ring: &Keyring, kind: EventKind, id: SubjectId, subject: &str) -> Result<Event, Failure> {
    Ok(Event::new(kind).on("subject", id).references(vec![ring.reference("subject", subject)?]))
}

/// What persons are called in the store, under each version of the subject root that ever named any.
struct Names<'a>(BTreeMap<&'a str, Vec<String>>);

impl<'a> Names<'a> {
    fn of(ring: &Keyring, subjects: &BTreeSet<&'a str>) -> Result<Self, Failure> {
        let mut names = BTreeMap::new();
        for subject in subjects {
            let all = ring.subject_references(subject)?.into_iter().map(|(_, reference)| reference).collect();
            names.insert(*subject, all);
        }
        Ok(Self(names))
    }

    fn all(&self) -> Vec<String> {
        self.0.values().flatten().cloned().collect()
    }

    /// The active key of each person that has rows; `None` for who has destroyed ones only.
    fn sort(&self, stored: Vec<SubjectKey>) -> BTreeMap<&'a str, Option<SubjectKey>> {
        let mut found: BTreeMap<&str, Option<SubjectKey>> = BTreeMap::new();
        for key in stored {
            let Some((subject, _)) = self.0.iter().find(|(_, names)| names.contains(&key.reference)) else { continue };
            let slot = found.entry(subject).or_default();
            if key.state == SubjectState::Active {
                *slot = Some(key);
            }
        }
        found
    }
}

/// Every key of one person, oldest first.
pub(super) async fn keys_of(change: &mut Change<'_>, subject: &str) -> Result<Vec<SubjectKey>, Failure> {
    let names = change.keyring().subject_references(subject)?;
    let names: Vec<String> = names.into_iter().map(|(_, reference)| reference).collect();
    Ok(change.rows().subject_keys_of(&names).await?)
}

/// Which of these handles are or were persons'.
pub(crate) async fn known(
    instance: &Instance,
    tenant: TenantId,
    handles: &[Handle],
) -> Result<BTreeSet<Handle>, Failure> {
    if handles.is_empty() {
        return Ok(BTreeSet::new());
    }
    let stored = instance.store().view(tenant).await?.subject_keys_by_handle(handles).await?;
    Ok(stored.into_iter().map(|key| key.handle).collect())
}

/// Lends the keys with these handles for opening. Read from the store at this moment, whatever was known before:
/// what was erased on another node a moment ago does not open here.
pub(crate) async fn for_opening(
    instance: &Instance,
    tenant: TenantId,
    ring: &Keyring,
    handles: &[Handle],
) -> Result<Subjects, Failure> {
    if handles.is_empty() {
        return Ok(Subjects::default());
    }
    let stored = instance.store().view(tenant).await?.subject_keys_by_handle(handles).await?;
    Ok(ring.open_subjects(&stored)?)
}

/// As [`for_opening`], for a page of which each part stands for itself: a key that is damaged, stopped or of a version not met yet
/// closes what is under it, and nothing of anybody else.
pub(crate) async fn for_reading(
    instance: &Instance,
    tenant: TenantId,
    ring: &Keyring,
    handles: &[Handle],
) -> Result<Subjects, Failure> {
    if handles.is_empty() {
        return Ok(Subjects::default());
    }
    let mut view = instance.store().view(tenant).await?;
    let stored = match view.subject_keys_by_handle(handles).await {
        Err(StoreError::Damaged(_)) => {
            let mut whole = Vec::with_capacity(handles.len());
            for handle in handles {
                match view.subject_keys_by_handle(std::slice::from_ref(handle)).await {
                    Err(StoreError::Damaged(_)) => {}
                    stored => whole.extend(stored?),
                }
            }
            whole
        }
        stored => stored?,
    };
    let (subjects, stale) = ring.open_subjects_that_open(&stored);
    if stale {
        // The next page opens it.
        instance.end_lease(tenant);
    }
    Ok(subjects)
}
