//! The last signed head of each log, outside of the store: who puts the store back cannot make us sign another history.

use async_trait::async_trait;
use chancery_crypto::{
    checkpoint::{Checkpoint, SignedCheckpoint, epoch_name},
    merkle,
    tiles::Tiles,
};

use super::{Epochs, Scrub, heard::AllIsWell, hex, request, scrub::forget};
use crate::{
    Instance,
    audit::{
        Detail, Event, EventKind, LogHead,
        receipt::note_all,
        sequence::{self, SequenceError, with_tiles},
        stamp::Actor,
    },
    ids::TenantId,
    instance::Failure,
    store::{StoreError, View},
    tenants::TenantState,
};

/// The last signed head of a log, as it is kept outside of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin(SignedCheckpoint);

impl Pin {
    /// From a note.
    ///
    /// # Errors
    ///
    /// [`PinError::Damaged`] if it is none.
    pub fn of(note: &str) -> Result<Self, PinError> {
        SignedCheckpoint::parse(note).map(Self).map_err(|_| PinError::Damaged)
    }

    /// What it says.
    pub const fn head(&self) -> &Checkpoint {
        self.0.checkpoint()
    }

    /// The note.
    pub fn note(&self) -> &str {
        self.0.text()
    }
}

/// Why a pin was not read or set.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// What is kept is no signed head. Nothing is signed until somebody looked.
    #[error("a pin is damaged; see docs/guides/audit.md")]
    Damaged,
    /// What is pinned is not what the caller saw, or is of the same size and differs.
    #[error("a pin changed meanwhile")]
    Changed,
    /// The place did not answer.
    #[error("the place of the pins does not answer")]
    Unavailable(#[source] std::io::Error),
}

/// Keeps pins. They never go back: setting a smaller one leaves the larger one as it is.
#[async_trait]
pub trait Pins: Send + Sync {
    /// The pin of a tenant's log.
    async fn pinned(&self, tenant: TenantId) -> Result<Option<Pin>, PinError>;

    /// Sets it, durably, unless there is a larger one.
    async fn pin(&self, tenant: TenantId, pin: &Pin) -> Result<(), PinError>;

    /// Puts `to` in the place of `from`, whatever their sizes; [`PinError::Changed`] if another one is there.
    async fn replace(&self, tenant: TenantId, from: &Pin, to: Option<&Pin>) -> Result<(), PinError>;

    /// Whose logs are pinned.
    async fn pinned_tenants(&self) -> Result<Vec<TenantId>, PinError>;

    /// How far a log was looked at again, if it was kept here and can be read: a position that is lost is a new beginning.
    async fn kept_scrub(&self, tenant: TenantId) -> Result<Option<Scrub>, PinError>;

    /// Keeps how far a log was looked at again.
    async fn keep_scrub(&self, tenant: TenantId, scrub: &Scrub) -> Result<(), PinError>;
}

pub(super) fn failed(error: PinError) -> SequenceError {
    SequenceError::Failed(Failure::Store(StoreError::Unavailable(Box::new(error))))
}

/// The pin of a tenant's log, if pins are kept. Read it before the store: what is pinned was committed before.
pub(in crate::audit) async fn pinned(instance: &Instance, tenant: TenantId) -> Result<Option<Pin>, SequenceError> {
    instance.guard().pinned(tenant).await.map_err(failed)
}

/// Pins a signed head, if pins are kept and `pinned` is smaller.
pub(in crate::audit) async fn pin_head(
    instance: &Instance,
    tenant: TenantId,
    pinned: Option<&Pin>,
    note: &str,
) -> Result<(), SequenceError> {
    let Some(pins) = instance.guard().pins() else { return Ok(()) };
    let pin = Pin::of(note).map_err(failed)?;
    if pinned.is_some_and(|pinned| pinned.head().size >= pin.head().size) {
        return Ok(());
    }
    pins.pin(tenant, &pin).await.map_err(failed)
}

/// Whether a log is no growth of what was pinned: smaller, another one, or gone on after a restore that came before that head.
pub(in crate::audit) async fn behind(
    view: &mut dyn View,
    tenant: TenantId,
    epochs: &Epochs,
    head: LogHead,
    pin: &Pin,
) -> Result<bool, SequenceError> {
    let pinned = pin.head();
    if pinned.size > head.size || pinned.origin != epochs.name_at(pinned.size) {
        return Ok(true);
    }
    let mut tiles = Tiles::default();
    let proof = with_tiles(view, tenant, &mut tiles, |tiles| tiles.consistency_proof(pinned.size, head.size)).await?;
    Ok(merkle::verify_consistency(pinned.size, head.size, &pinned.root, &head.root, &proof).is_err())
}

/// What a log lacks since its store was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The head that was signed last; `None` if nothing here tells.
    pub pinned: Option<Checkpoint>,
    /// The head with which the log goes on; the empty one if the tenant is not there any more.
    pub head: LogHead,
    /// The name of its heads from now on, if that is a new one.
    pub name: Option<String>,
}

/// Lets a log go on that is behind what was signed of it: says so in an event of that log and of the platform's, forgets
/// the pin, signs under a new name ([`Epochs`]). Of a tenant that is not there any more it says that, and forgets the pin.
/// `restored` says that the store was made from a backup: then a log of which nothing is pinned may have been signed
/// further elsewhere, and goes on under a new name too. Who may do this is who holds the platform root and the folder of the
/// pins. `None` if nothing is behind.
///
/// # Errors
///
/// [`SequenceError`]; [`SequenceError::Forked`] if the log is not even what its own head says.
pub async fn accept_restore(
    instance: &Instance,
    tenant: TenantId,
    restored: bool,
) -> Result<Option<Gap>, SequenceError> {
    let Some(pins) = instance.guard().pins() else { return Ok(None) };
    let pin = pinned(instance, tenant).await?;
    let entry = instance.directory().tenant(tenant).await?;
    if !tenant.is_platform() && entry.is_none() {
        return accept_missing(instance, tenant, pin).await;
    }
    // Nothing can be signed for who was erased.
    if pin.is_none() && (!restored || entry.is_some_and(|entry| entry.state == TenantState::Erased)) {
        return Ok(None);
    }
    let head = sequence::sequence(instance, tenant).await?;
    let lease = instance.lease(tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let epochs = Epochs::told(&mut *view).await?.ok_or(Failure::Internal("log without an origin"))?;
    if let Some(pin) = &pin
        && !behind(&mut *view, tenant, &epochs, head, pin).await?
    {
        return Ok(None);
    }
    let known = pin.as_ref().map(|pin| pin.head().clone());
    let newest = sequence::newest_head(instance, &mut *view, tenant, &lease.keyring).await?;
    let newest = newest.map(|newest| Pin::of(&newest.note)).transpose().map_err(failed)?;
    drop(view);
    let now = epochs.number_at(head.size);
    let begun = match &known {
        // Another log's heads are in nobody's way, and no head of an earlier name is signed any more: another node's pin, after
        // the restore was accepted on the first one.
        Some(pinned) => {
            epochs.number_of(&pinned.origin).filter(|signed| *signed >= now).map(|signed| signed.saturating_add(1))
        }
        None => Some(now + 1),
    };
    let gap = Gap { pinned: known, head, name: begun.map(|epoch| epoch_name(epochs.origin(), epoch)) };
    // Told before it is done: a crash between leaves the pin, and whoever tries again tells it again.
    let request = request(instance, "accept-restore", "CLI")?;
    let actor = Actor::System(&request);
    let own = told(&gap, begun).on("log", epochs.origin());
    if tenant.is_platform() {
        note_all(instance, actor, tenant, vec![AllIsWell::Restored.prove(instance, tenant, own).await?]).await?;
    } else {
        note_all(instance, actor, tenant, vec![own]).await?;
        let event = AllIsWell::Restored.prove(instance, tenant, told(&gap, begun).on("tenant", tenant)).await?;
        note_all(instance, actor, TenantId::PLATFORM, vec![event]).await?;
    }
    if let Some(pin) = &pin {
        pins.replace(tenant, pin, newest.as_ref()).await.map_err(failed)?;
    }
    sequence::checkpoint(instance, tenant).await?;
    // That it is behind may have been found.
    forget(instance, tenant).await?;
    Ok(Some(gap))
}

/// The event of an accepted restore. In the log itself `epoch` begins one.
fn told(gap: &Gap, begun: Option<u64>) -> Event {
    let mut event = Event::new(EventKind::LogRestoreAccepted)
        .with("root", Detail::Id(hex(&gap.head.root)))
        .with("size", Detail::Count(gap.head.size));
    if let Some(pinned) = &gap.pinned {
        event =
            event.with("pinned_root", Detail::Id(hex(&pinned.root))).with("pinned_size", Detail::Count(pinned.size));
    }
    match begun {
        Some(epoch) => event.with("epoch", Detail::Count(epoch)),
        None => event,
    }
}

/// A tenant whose log was signed and that the store does not have: the platform's log says so.
async fn accept_missing(instance: &Instance, tenant: TenantId, pin: Option<Pin>) -> Result<Option<Gap>, SequenceError> {
    let (Some(pins), Some(pin)) = (instance.guard().pins(), pin) else { return Ok(None) };
    let head = LogHead { size: 0, root: merkle::EMPTY };
    let gap = Gap { pinned: Some(pin.head().clone()), head, name: None };
    let request = request(instance, "accept-restore", "CLI")?;
    let event = AllIsWell::Restored.prove(instance, tenant, told(&gap, None).on("tenant", tenant)).await?;
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, vec![event]).await?;
    pins.replace(tenant, &pin, None).await.map_err(failed)?;
    Ok(Some(gap))
}

/// Says in the platform's log that the pins are kept in a new place from now on: what was signed before is not known there.
///
/// # Errors
///
/// [`SequenceError`].
pub async fn accept_pins(instance: &Instance) -> Result<(), SequenceError> {
    let head = sequence::sequence(instance, TenantId::PLATFORM).await?;
    let request = request(instance, "accept-pin-folder", "CLI")?;
    let event = Event::new(EventKind::LogPinsAccepted)
        .with("root", Detail::Id(hex(&head.root)))
        .with("size", Detail::Count(head.size));
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, vec![event]).await?;
    Ok(())
}
