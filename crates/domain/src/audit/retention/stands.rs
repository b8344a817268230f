//! How long a log is kept, and what of it is left.

use super::{Hold, Month, Purge, Retention, RetentionError, plan::rest};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Detail, Event, EventKind, receipt::note},
    store::{StoreError, View},
    time::Timestamp,
};

/// How retention of a log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// For how long it is kept.
    pub retention: Retention,
    /// The first month that is kept now.
    pub kept_from: Month,
    /// What holds it.
    pub holds: Vec<Hold>,
    /// What of it was purged.
    pub purges: Vec<Purge>,
    /// When the oldest event that is not purged was recorded.
    pub oldest: Option<Timestamp>,
    /// When that event's time is over.
    pub next: Option<Timestamp>,
}

/// How retention of the caller's tenant stands.
///
/// # Errors
///
/// [`RetentionError`].
pub async fn stands(instance: &Instance, call: &Call) -> Result<Standing, RetentionError> {
    call.require(Permission::AuditRead)?;
    let mut view = instance.store().view(call.tenant()).await?;
    let standing = standing_of(&mut *view, instance.now()).await?;
    drop(view);
    let event = Event::new(EventKind::AuditRead).with("what", Detail::Code("retention"));
    note(instance, call, call.tenant(), event).await?;
    Ok(standing)
}

/// How retention of a log stands.
///
/// # Errors
///
/// [`StoreError`].
pub async fn standing_of(view: &mut dyn View, now: Timestamp) -> Result<Standing, StoreError> {
    let retention = view.retention().await?.unwrap_or_default();
    let (holds, purges) = (view.holds().await?, view.purges().await?);
    let size = view.log_head().await?.size;
    let mut oldest = None;
    if let Some((first, end)) = rest(purges.iter().map(|purge| (purge.first, purge.end)), size).first().copied() {
        oldest = view.first_event(first).await?.filter(|(at, _)| *at < end).map(|(_, recorded)| recorded);
    }
    let next = oldest.map(|oldest| Month::of(oldest).plus(retention.months).next().start());
    Ok(Standing { retention, kept_from: retention.kept_from(now), holds, purges, oldest, next })
}
