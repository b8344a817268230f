//! How long a log is kept, and what of it is left.

use std::collections::{BTreeMap, BTreeSet};

use super::{Hold, Month, Purge, PurgeProof, Purged, Retention, RetentionError, Rules, plan::rest};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Detail, Event, EventKind, guard::IntegrityCheck, receipt::note, sequence},
    ids::TenantId,
    instance::Failure,
    keyring::Keyring,
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
    /// In which rows the store says something else of this than the log; where they differ, what keeps more is told here.
    pub disputed: BTreeSet<IntegrityCheck>,
    /// Nothing with a proof says how long it is kept, as builds before proofs left it; it is to be said again.
    pub unconfirmed: bool,
    /// What of it was purged.
    pub purges: Vec<Purge>,
    /// Those of them that the log does not tell of, by their first places. Only where they were asked for: it takes the tenant's
    /// keys, and a few looks for each.
    pub doubtful: BTreeMap<u64, PurgeProof>,
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
    let standing = proven_standing(instance, call.tenant()).await?;
    let event = Event::new(EventKind::AuditRead).with("what", Detail::Code("retention"));
    note(instance, call, call.tenant(), event).await?;
    Ok(standing)
}

/// As [`standing`], with what proves each purge.
pub(super) async fn proven_standing(instance: &Instance, tenant: TenantId) -> Result<Standing, RetentionError> {
    let ring = instance.keyring(tenant).await?;
    let rules = Rules::settled(instance, tenant, Some(&*ring)).await?;
    instance.guard().note_unconfirmed(tenant, rules.unconfirmed);
    let mut view = instance.store().fresh_view(tenant).await?;
    let mut standing = standing_of(&mut *view, Some(&*ring), rules, instance.now()).await?;
    if standing.purges.is_empty() {
        return Ok(standing);
    }
    standing.doubtful = doubtful(&mut *view, &ring, &standing.purges).await?;
    drop(view);
    // An order of a moment ago may be in the queue yet. A log that cannot go on proves what it has.
    if !standing.doubtful.is_empty() && sequence::sequence(instance, tenant).await.is_ok() {
        let mut view = instance.store().fresh_view(tenant).await?;
        standing.doubtful = doubtful(&mut *view, &ring, &standing.purges).await?;
    }
    Ok(standing)
}

/// Which of these purges the log does not tell of.
async fn doubtful(
    view: &mut dyn View,
    ring: &Keyring,
    purges: &[Purge],
) -> Result<BTreeMap<u64, PurgeProof>, StoreError> {
    let purged = Purged::told(view, ring).await?;
    let mut doubtful = BTreeMap::new();
    for purge in purges {
        let proof = PurgeProof::of(view, ring, &purged, purge).await?;
        if proof != PurgeProof::Ordered {
            doubtful.insert(purge.first, proof);
        }
    }
    Ok(doubtful)
}

/// How retention of a log stands. A purge that the log does not tell of hides nothing.
///
/// # Errors
///
/// [`Failure`].
pub async fn standing(instance: &Instance, tenant: TenantId) -> Result<Standing, Failure> {
    // Of a tenant whose keys are out of use nobody can say what was purged: then what is there counts.
    let ring = instance.keyring(tenant).await.ok();
    let rules = Rules::settled(instance, tenant, ring.as_deref()).await?;
    let mut view = instance.store().view(tenant).await?;
    Ok(standing_of(&mut *view, ring.as_deref(), rules, instance.now()).await?)
}

async fn standing_of(
    view: &mut dyn View,
    ring: Option<&Keyring>,
    Rules { retention, holds, differ, unconfirmed }: Rules,
    now: Timestamp,
) -> Result<Standing, StoreError> {
    let purges = view.purges().await?;
    let purged = match ring {
        Some(ring) => Purged::told(view, ring).await?,
        None => Purged::default(),
    };
    let size = view.log_head().await?.size;
    let mut oldest = None;
    if let Some((first, end)) = rest(purged.spans(), size).first().copied() {
        oldest = view.first_event(first).await?.filter(|(at, _)| *at < end).map(|(_, recorded)| recorded);
    }
    let next = oldest.map(|oldest| Month::of(oldest).plus(retention.months).next().start());
    let (kept_from, doubtful) = (retention.kept_from(now), BTreeMap::new());
    let disputed = differ.iter().map(|finding| finding.check).collect();
    Ok(Standing { retention, kept_from, holds, disputed, unconfirmed, purges, doubtful, oldest, next })
}
