//! What the platform's log tells of looks at logs: so a process that begins knows what another one found, and every process forgets it
//! when another one found nothing. Nothing of that is asked of a row that somebody may put back.

use std::{collections::BTreeSet, sync::PoisonError};

use serde_json::Value;

use super::{Guard, is_foreign, is_in_tree};
use crate::{
    Instance,
    audit::{
        Detail, Event, EventFilter, EventKind, LoggedEvent, damage, proof,
        sequence::{self, SequenceError},
    },
    ids::{EventId, TenantId},
    instance::Failure,
    keyring::Keyring,
    store::{StoreError, View},
    time::Timestamp,
};

/// What the platform's log tells of a log that was looked at.
const TOLD: [EventKind; 3] = [EventKind::IntegrityFailed, EventKind::LogScrubbed, EventKind::LogRestoreAccepted];
const PAGE: u32 = 256;
/// What the proof of an event that says that a log is whole is derived for.
const MARK: &str = "chancery/audit/whole/1";

/// How far this process listened to the platform's log, and whose logs it knows all about that was told until then.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The next place; `None` before the first.
    next: Option<u64>,
    of: BTreeSet<TenantId>,
}

/// Remembers whether a log was found changed and no whole look at it was clean since, by the platform's log. That is read once of each
/// log, and again when it tells something new of it.
///
/// # Errors
///
/// [`SequenceError`] if the store does not answer.
pub(super) async fn remember_damage(instance: &Instance, tenant: TenantId) -> Result<(), SequenceError> {
    let told = match listen(instance).await {
        Ok(()) if instance.guard().heard(|heard| heard.of.contains(&tenant)) => return Ok(()),
        Ok(()) => is_told_damaged(instance, tenant).await,
        Err(error) => Err(error),
    };
    match told {
        Ok(damaged) => {
            instance.guard().note_damaged(tenant, damaged);
            instance.guard().heard(|heard| heard.of.insert(tenant));
            Ok(())
        }
        Err(error) if passes(&error) => Err(error),
        // A platform's log that cannot be read does not say that all is well.
        Err(error) => {
            tracing::error!(
                %tenant,
                code = "log_integrity",
                error = %error,
                "What the platform's log tells of looks at the log of `{tenant}` cannot be read, so that log counts as damaged"
            );
            instance.guard().note_damaged(tenant, true);
            Ok(())
        }
    }
}

/// Whether an error says that the platform's log could not be read now, and nothing of what is in it.
fn passes(error: &SequenceError) -> bool {
    match error {
        SequenceError::Busy => true,
        SequenceError::Failed(Failure::Store(error)) => !matches!(error, StoreError::Damaged(_)),
        _ => false,
    }
}

/// Reads on in the platform's log, and forgets of whose logs it tells something.
async fn listen(instance: &Instance) -> Result<(), SequenceError> {
    let size = sequence::sequence(instance, TenantId::PLATFORM).await?.size;
    let next = instance.guard().heard(|heard| heard.next);
    let mut next = match next {
        Some(next) if next <= size => next,
        // It begins; or the log was put back.
        _ => {
            instance.guard().heard(|heard| *heard = Heard { next: Some(size), of: BTreeSet::new() });
            return Ok(());
        }
    };
    let mut view = instance.store().fresh_view(TenantId::PLATFORM).await?;
    while next < size {
        let mut filter = EventFilter::after(next.checked_sub(1), PAGE);
        filter.kinds = TOLD.iter().map(|kind| kind.as_str().to_owned()).collect();
        let found = damage::each(&mut *view, &filter).await?;
        let full = u32::try_from(found.len()).is_ok_and(|length| length >= PAGE);
        let last = found.last().map(|one| one.as_ref().map_or_else(|place| *place, |event| event.index));
        next = last.filter(|_| full).map_or(size, |last| last + 1);
        instance.guard().heard(|heard| {
            for one in &found {
                heard.forget(one.as_ref().ok());
            }
            heard.next = Some(next);
        });
    }
    Ok(())
}

impl Heard {
    /// Something was told; of whom does nobody know whose event is damaged.
    fn forget(&mut self, told: Option<&LoggedEvent>) {
        let Some(told) = told else { return self.of.clear() };
        // Of its own log the platform tells by the log's name.
        let tenant = told.event.resource.as_ref().and_then(|resource| resource.parse().ok());
        self.of.remove(&tenant.unwrap_or(TenantId::PLATFORM));
    }
}

impl Guard {
    fn heard<T>(&self, with: impl FnOnce(&mut Heard) -> T) -> T {
        with(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn is_told_damaged(instance: &Instance, tenant: TenantId) -> Result<bool, SequenceError> {
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let mut view = instance.store().fresh_view(TenantId::PLATFORM).await?;
    let mut events = view.events_on(&tenant.to_string(), &TOLD).await?;
    if let (true, Some(origin)) = (tenant.is_platform(), view.log_origin().await?) {
        events.extend(view.events_on(&origin, &[EventKind::LogRestoreAccepted]).await?);
    }
    let (failed, others): (Vec<_>, Vec<_>) =
        events.iter().partition(|logged| logged.event.kind == EventKind::IntegrityFailed.as_str());
    if failed.is_empty() {
        return Ok(false);
    }
    let whole: Vec<Whole<'_>> = others.into_iter().filter_map(|logged| Whole::told(&ring, tenant, logged)).collect();
    let mut last: Option<&Whole<'_>> = None;
    for finding in failed.into_iter().rev() {
        if last.is_some_and(|whole| whole.clears(finding)) {
            continue;
        }
        last = clearing(&mut *view, &whole, finding).await?;
        if last.is_none() && counts(&mut *view, finding).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// That a log is whole, as an event of ours says.
struct Whole<'e> {
    since: Timestamp,
    told: &'e LoggedEvent,
}

impl<'e> Whole<'e> {
    /// What an event says; `None` if it says something else, is none of ours, or speaks of a moment after its own.
    fn told(ring: &Keyring, tenant: TenantId, told: &'e LoggedEvent) -> Option<Self> {
        let core: Value = serde_json::from_str(&told.event.core).ok()?;
        let all_is_well = AllIsWell::said_by(told, &core)?;
        if !proof::holds(ring, MARK, told, &core, &[&all_is_well.parts(tenant)]) {
            return None;
        }
        let since = match all_is_well {
            AllIsWell::Looked { began_at } => began_at,
            // Its id is proven, and the moment beside it is not.
            AllIsWell::Restored => told.event.id.made_at(),
        };
        (since <= told.event.recorded_at).then_some(Self { since, told })
    }

    /// Whether what was found before is over: a look that began before the finding may have passed the place. It is told of after it,
    /// too, whatever a clock said.
    fn clears(&self, finding: &LoggedEvent) -> bool {
        self.since >= finding.event.recorded_at && self.told.index > finding.index
    }
}

/// The newest of these that clears a finding and is in the log's tree.
async fn clearing<'w, 'e>(
    view: &mut dyn View,
    whole: &'w [Whole<'e>],
    finding: &LoggedEvent,
) -> Result<Option<&'w Whole<'e>>, SequenceError> {
    for whole in whole.iter().rev().filter(|whole| whole.clears(finding)) {
        if is_in_tree(view, whole.told).await? {
            return Ok(Some(whole));
        }
    }
    Ok(None)
}

/// Whether a finding is told of in the log: not in somebody's row beside it.
async fn counts(view: &mut dyn View, finding: &LoggedEvent) -> Result<bool, SequenceError> {
    Ok(is_in_tree(view, finding).await? || !is_foreign(view, TenantId::PLATFORM, finding).await?)
}

/// What an event of the platform's log says of another log that lets its findings be forgotten. Queues are not authenticated, so it
/// carries a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AllIsWell {
    /// A look at all of it that began then found nothing.
    Looked { began_at: Timestamp },
    /// It was put back to an earlier state, and that was accepted.
    Restored,
}

impl AllIsWell {
    /// The event, with the proof that it says this of a log.
    pub(super) async fn prove(self, instance: &Instance, tenant: TenantId, event: Event) -> Result<Event, Failure> {
        let ring = instance.keyring(TenantId::PLATFORM).await?;
        let id = EventId::make(instance.now(), instance.random())?;
        let proof = proof::make(&ring, MARK, id, &[&self.parts(tenant)])?;
        Ok(event.identified(id).with("proof", Detail::Id(proof)))
    }

    /// What an event says, whether that is proven or not.
    fn said_by(told: &LoggedEvent, core: &Value) -> Option<Self> {
        if told.event.kind == EventKind::LogRestoreAccepted.as_str() {
            return Some(Self::Restored);
        }
        let count = |name: &str| core.pointer(&format!("/detail/{name}")).and_then(Value::as_u64);
        let clean = count("findings") == Some(0) && count("first") == Some(0);
        let began_at = core.pointer("/detail/began_at").and_then(Value::as_str).filter(|_| clean)?;
        Some(Self::Looked { began_at: began_at.parse().ok()? })
    }

    /// What is proven, beside the event's id.
    fn parts(self, tenant: TenantId) -> Vec<u8> {
        match self {
            Self::Looked { began_at } => {
                [b"looked".as_slice(), &tenant.to_bytes(), &began_at.as_micros().to_be_bytes()].concat()
            }
            Self::Restored => [b"restored".as_slice(), &tenant.to_bytes()].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_proven_of_one_log_or_look_is_no_proof_of_another() {
        let (ours, theirs) = (TenantId::from_bytes([1; 16]), TenantId::from_bytes([2; 16]));
        let looked = |seconds| AllIsWell::Looked { began_at: Timestamp::from_seconds(seconds) };
        let parts: BTreeSet<Vec<u8>> = [
            looked(1).parts(ours),
            looked(2).parts(ours),
            looked(1).parts(theirs),
            AllIsWell::Restored.parts(ours),
            AllIsWell::Restored.parts(theirs),
        ]
        .into();
        assert_eq!(parts.len(), 5);
    }
}
