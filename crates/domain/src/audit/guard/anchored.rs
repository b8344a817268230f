//! The platform's word for one head of a tenant's log, for packs: the same whenever it is asked for, once it is given.

use std::time::Duration;

use chancery_crypto::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    merkle::Hash,
    runs::{Run, runs_of},
};

use super::{
    Epochs, Witnesses, cosign,
    heads::{Told, name_now, signed_of, told_of},
    note_head,
    witness::{Witnessed, newest_witnessed, witnessed_of},
};
use crate::{
    Instance,
    audit::{
        EventFilter, EventKind, LoggedEvent, StoredCheckpoint,
        sequence::{self, SequenceError, prove_runs, signed_head},
    },
    ids::TenantId,
    instance::Failure,
    keyring::{
        DeclaredKey, Keyring, Managed,
        declared::{as_of, declared},
    },
    store::View,
    time::Timestamp,
};

/// For how long witnesses are waited for: who asks for a pack waits as long.
const PATIENCE: Duration = Duration::from_secs(2);
/// The clocks of two nodes do not differ by more, in seconds.
const SLACK_SECONDS: i64 = 600;
const PAGE: u32 = 200;
/// How many heads that have rows of witnesses are looked at after an event until the newest one that is witnessed is taken.
const LOOKED_AT: usize = 64;

/// An event of the platform's log that tells of a tenant's head, and what proves it.
pub(crate) struct Anchored {
    /// Which log the platform's is.
    pub(crate) origin: String,
    /// The event, byte for byte.
    pub(crate) core: String,
    /// Where it lies.
    pub(crate) run: Run,
    /// The subtrees beside it.
    pub(crate) between: Vec<Hash>,
    /// The head of the platform's log that it is under: its size, and the note with the lines of witnesses.
    pub(crate) head: (u64, String),
    /// The keys that sign the platform's log, as of that head.
    pub(crate) keys: Vec<DeclaredKey>,
}

/// The newest signed head of a tenant's log. The platform's log tells of it, and witnesses signed that, as far as they answer in
/// time: whoever guards the log holds up nobody.
pub(crate) async fn newest_anchored(instance: &Instance, tenant: TenantId) -> Result<StoredCheckpoint, SequenceError> {
    let newest = sequence::checkpoint(instance, tenant).await?;
    match noted(instance, tenant, &newest).await {
        Ok(Some(noted)) if noted.size >= newest.size => return Ok(noted),
        Ok(_) => {}
        Err(error) => tracing::warn!(%tenant, error = %error, "The platform's log does not tell of a head"),
    }
    Ok(newest)
}

async fn noted(
    instance: &Instance,
    tenant: TenantId,
    newest: &StoredCheckpoint,
) -> Result<Option<StoredCheckpoint>, SequenceError> {
    if tenant.is_platform() {
        return Ok(None);
    }
    note_head(instance, tenant).await?;
    // Those who signed the newest head of the platform's log lately are not asked again.
    match tokio::time::timeout(PATIENCE, cosign(instance)).await {
        Ok(asked) => drop(asked?),
        Err(_) => tracing::warn!("Witnesses did not answer in time"),
    }
    let Some(name) = name_now(&mut *instance.store().fresh_view(tenant).await?).await? else { return Ok(None) };
    Ok(match told_of(instance, &name).await? {
        Some(told) if told.size == newest.size => Some(newest.clone()),
        Some(told) => signed_of(instance, tenant, told.size).await?,
        None => None,
    })
}

/// The first event of the platform's log that tells of this head of a tenant's log, under the first head of the platform's log that
/// a quorum of witnesses signed after it; else under the first one at all. `None` if nothing tells of that head.
pub(crate) async fn anchored(
    instance: &Instance,
    tenant: TenantId,
    head: &StoredCheckpoint,
) -> Result<Option<Anchored>, SequenceError> {
    let note = SignedCheckpoint::parse(&head.note).map_err(|_| SequenceError::Forked(tenant))?;
    sequence::sequence(instance, TenantId::PLATFORM).await?;
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let mut platform = instance.store().fresh_view(TenantId::PLATFORM).await?;
    let told = first_told(&mut *platform, &ring, note.checkpoint(), head.signed_at).await?;
    let Some(told) = told else { return Ok(None) };
    let mut top = first_head(instance, &mut *platform, &ring, told.index).await?;
    if top.is_none() {
        drop(platform);
        sequence::checkpoint(instance, TenantId::PLATFORM).await?;
        platform = instance.store().fresh_view(TenantId::PLATFORM).await?;
        top = first_head(instance, &mut *platform, &ring, told.index).await?;
    }
    let Some(head) = top else { return Ok(None) };
    let run = (told.index, told.index + 1);
    let between = prove_runs(&mut *platform, TenantId::PLATFORM, &runs_of([told.index]), head.0).await?;
    let own = platform.log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
    let keys = as_of(declared(&mut *platform, &ring, Managed::Log).await?, head.0);
    Ok(Some(Anchored { origin: own, core: told.event.core, run, between, head, keys }))
}

async fn first_told(
    platform: &mut dyn View,
    ring: &Keyring,
    head: &Checkpoint,
    signed_at: Timestamp,
) -> Result<Option<LoggedEvent>, SequenceError> {
    let mut filter = EventFilter::after(None, PAGE);
    filter.from = signed_at.plus_seconds(-SLACK_SECONDS);
    filter.to = Timestamp::from_micros(i64::MAX);
    filter.kind = Some(EventKind::LogHeadNoted.as_str().to_owned());
    filter.resource = Some(head.origin.clone());
    loop {
        let page = platform.logged_events(&filter).await?;
        let Some(last) = page.last().map(|logged| logged.index) else { return Ok(None) };
        for told in page.into_iter().filter_map(|logged| Told::by(ring, logged, &head.origin)) {
            if told.is_of(head) {
                return Ok(Some(told.event));
            }
            // Heads are told of as they grow. What tells of none, or was not told by us, hides none.
            if told.proven && told.size > head.size {
                return Ok(None);
            }
        }
        filter.after = Some(last);
    }
}

/// The first head of the platform's log after this place that is witnessed, with the lines of witnesses, or the newest one if the first
/// ones are not; else the first one. What lies between, and was not signed by the log's key of its time, is passed over.
async fn first_head(
    instance: &Instance,
    platform: &mut dyn View,
    ring: &Keyring,
    index: u64,
) -> Result<Option<(u64, String)>, SequenceError> {
    let text = |witnessed: &Witnessed| witnessed.note.text().to_owned();
    if let Some(Witnesses { quorum, .. }) = instance.guard().witnesses() {
        let (mut after, mut looked_at) = (index, 0);
        while let Some(size) = platform.first_cosigned(after, *quorum).await? {
            // Of then there is nothing that those signed who are asked today: others were. A newer head has the event as well.
            if looked_at == LOOKED_AT {
                let newest = newest_witnessed(instance, platform).await?.filter(|(stored, _)| stored.size > index);
                if let Some((stored, witnessed)) = newest {
                    return Ok(Some((stored.size, text(&witnessed))));
                }
                break;
            }
            looked_at += 1;
            if let Some((_, witnessed)) = witnessed_of(instance, platform, size).await?
                && witnessed.full_at(*quorum).is_some()
            {
                return Ok(Some((size, text(&witnessed))));
            }
            after = size;
        }
    }
    let index = i64::try_from(index).map_err(|_| Failure::Internal("an index out of bounds"))?;
    let epochs = Epochs::told(platform).await?.ok_or(Failure::Internal("log without an origin"))?;
    let keys = declared(platform, ring, Managed::Log).await?;
    let mut after = (index, i64::MAX);
    while let Some(raw) = platform.raw_checkpoints(after, 1).await?.pop() {
        after = (raw.size, raw.signed_at);
        let Some(stored) = raw.into_stored() else { continue };
        if signed_head(&stored, &epochs, &keys).is_some() {
            let witnessed = Witnessed::of(instance, platform, &stored).await?;
            return Ok(Some((stored.size, text(&witnessed))));
        }
    }
    Ok(None)
}
