//! Opens that failed: each is an event and counted by its class, for it may be tampering (MO-08).

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Detail, Event, EventKind, Outcome, receipt::note};
use crate::{
    Instance,
    access::Call,
    ids::TenantId,
    instance::Failure,
    keyring::{KeyError, KeyringError},
};

codes! {
    /// Why a value did not open.
    pub enum OpenFailure {
        /// Its bytes were changed after sealing.
        Tampered = "sealed.tampered",
        /// Sealed with another key or for another place.
        WrongContext = "sealed.wrong_context",
        /// Not a sealed value.
        Malformed = "sealed.malformed",
        /// Its key version is suspended, revoked or destroyed.
        KeyStopped = "key.stopped",
        /// The key of the person it belongs to was destroyed.
        Erased = "subject.erased",
        /// The keys changed while it was opened, or it could not be told whether they did.
        KeysChanged = "keys.changed",
        /// Anything else: a key that does not unwrap, a receipt that does not cover it.
        Other = "other",
    }
}

impl From<&KeyringError> for OpenFailure {
    fn from(error: &KeyringError) -> Self {
        match error {
            KeyringError::Tampered => Self::Tampered,
            KeyringError::WrongContext => Self::WrongContext,
            KeyringError::Malformed(_) => Self::Malformed,
            KeyringError::Stopped(_) => Self::KeyStopped,
            KeyringError::Erased => Self::Erased,
            KeyringError::Stale => Self::KeysChanged,
            _ => Self::Other,
        }
    }
}

impl OpenFailure {
    /// Why a named key did not open something; none if it was not asked to, or was not allowed.
    pub(crate) fn of_key(error: &KeyError) -> Option<Self> {
        match error {
            KeyError::Tampered => Some(Self::Tampered),
            KeyError::WrongContext => Some(Self::WrongContext),
            KeyError::Malformed => Some(Self::Malformed),
            KeyError::Stopped(_) => Some(Self::KeyStopped),
            KeyError::Failed(Failure::Keyring(error)) => Some(error.into()),
            // Why an RSA key refuses is told nobody.
            KeyError::Refused | KeyError::Failed(_) => Some(Self::Other),
            KeyError::Denied(_)
            | KeyError::Policy(_)
            | KeyError::Invalid(_)
            | KeyError::NotFound
            | KeyError::NameTaken
            | KeyError::Managed
            | KeyError::Needed
            | KeyError::Unsuited(_)
            | KeyError::NoVersion
            | KeyError::StillHolds(..)
            | KeyError::Approval(_)
            | KeyError::NotActive
            | KeyError::AlreadyStaged
            | KeyError::Illegal { .. } => None,
        }
    }
}

/// How many opens failed since this start, by class.
#[derive(Default)]
pub struct OpenFailures([AtomicU64; OpenFailure::ALL.len()]);

impl OpenFailures {
    /// Counts one whose event somebody else writes.
    pub(crate) fn count(&self, class: OpenFailure) {
        self.count_all(class, 1);
    }

    /// Counts so many whose event somebody else writes.
    pub(crate) fn count_all(&self, class: OpenFailure, many: u64) {
        let at = OpenFailure::ALL.iter().position(|other| *other == class);
        if let Some(counter) = at.and_then(|at| self.0.get(at)) {
            counter.fetch_add(many, Ordering::Relaxed);
        }
    }

    /// The counts.
    pub fn counts(&self) -> impl Iterator<Item = (OpenFailure, u64)> {
        OpenFailure::ALL.iter().zip(&self.0).map(|(class, count)| (*class, count.load(Ordering::Relaxed)))
    }
}

/// Tells of a value of `table` that did not open.
///
/// # Errors
///
/// [`Failure::Audit`].
pub async fn open_failed(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    table: &str,
    class: OpenFailure,
) -> Result<(), Failure> {
    instance.open_failures.count(class);
    let event = Event::new(EventKind::RecordOpenFailed)
        .outcome(Outcome::MinorFailure)
        .with("table", Detail::Names(vec![table.to_owned()]))
        .with("code", Detail::Code(class.as_str()));
    note(instance, call, tenant, event).await
}

/// Counts what did not open of `table` in a job, and gives an event for each class, to be noted.
pub(crate) fn opens_failed(instance: &Instance, table: &str, failed: &[OpenFailure]) -> Vec<Event> {
    let mut events = Vec::new();
    for class in OpenFailure::ALL {
        let count = failed.iter().filter(|failure| *failure == class).count();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        if count > 0 {
            instance.open_failures.count_all(*class, count);
            let event = Event::new(EventKind::RecordOpenFailed)
                .outcome(Outcome::MinorFailure)
                .with("table", Detail::Names(vec![table.to_owned()]))
                .with("code", Detail::Code(class.as_str()))
                .with("count", Detail::Count(count));
            events.push(event);
        }
    }
    events
}
