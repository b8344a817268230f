//! What the platform's log tells of looks at logs: so a process that begins knows what another one found, and every process forgets it
//! when another one found nothing. Nothing of that is asked of a row that somebody may put back.

use std::{collections::BTreeSet, sync::PoisonError};

use serde_json::Value;

use super::{Guard, is_foreign, is_in_tree};
use crate::{
    Instance,
    audit::{
        EventFilter, EventKind, LoggedEvent, damage,
        sequence::{self, SequenceError},
    },
    ids::TenantId,
    instance::Failure,
    store::{StoreError, View},
    time::Timestamp,
};

/// What the platform's log tells of a log that was looked at.
const TOLD: [EventKind; 3] = [EventKind::IntegrityFailed, EventKind::LogScrubbed, EventKind::LogRestoreAccepted];
const PAGE: u32 = 256;

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
        Err(_) => {
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
    let mut view = instance.store().fresh_view(TenantId::PLATFORM).await?;
    let mut events = view.events_on(&tenant.to_string(), &TOLD).await?;
    if let (true, Some(origin)) = (tenant.is_platform(), view.log_origin().await?) {
        events.extend(view.events_on(&origin, &[EventKind::LogRestoreAccepted]).await?);
    }
    let (mut failed, mut whole) = (Vec::new(), Vec::new());
    for logged in &events {
        let event = &logged.event;
        if event.kind == EventKind::IntegrityFailed.as_str() {
            failed.push((event.recorded_at, logged));
        } else if event.kind == EventKind::LogRestoreAccepted.as_str() {
            whole.push((event.recorded_at, logged));
        } else {
            whole.extend(clean_since(&event.core).map(|began| (began, logged)));
        }
    }
    let Some(failed) = newest(&mut *view, failed, false).await? else { return Ok(false) };
    let whole = newest(&mut *view, whole, true).await?;
    // One that began before the finding may have passed the place.
    Ok(whole.is_none_or(|whole| whole < failed))
}

/// The newest moment of which an event of the log tells: one that is in its tree, or, where nothing is to be `proven`, that is not
/// somebody's row beside it.
async fn newest(
    view: &mut dyn View,
    mut told: Vec<(Timestamp, &LoggedEvent)>,
    proven: bool,
) -> Result<Option<Timestamp>, SequenceError> {
    told.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    for (at, logged) in told {
        let is_in = is_in_tree(view, logged).await?;
        if is_in || (!proven && !is_foreign(view, TenantId::PLATFORM, logged).await?) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// When a look at a whole log began that found nothing; `None` of any other.
fn clean_since(core: &str) -> Option<Timestamp> {
    let core: Value = serde_json::from_str(core).ok()?;
    let count = |name: &str| core.pointer(&format!("/detail/{name}")).and_then(Value::as_u64);
    let clean = count("findings") == Some(0) && count("first") == Some(0);
    let began = core.pointer("/detail/began_at").and_then(Value::as_str).filter(|_| clean)?;
    began.parse().ok()
}
