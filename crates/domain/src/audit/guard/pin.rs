//! The last signed head of each log, outside of the store: who puts the store back cannot make us sign another history.

use async_trait::async_trait;
use chancery_crypto::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    merkle,
    tiles::Tiles,
};

use super::{hex, request, scrub::forget};
use crate::{
    Instance,
    audit::{
        Detail, Event, EventKind, LogHead, StoredCheckpoint,
        receipt::note_all,
        sequence::{self, SequenceError, with_tiles},
        stamp::Actor,
    },
    ids::TenantId,
    instance::Failure,
    store::{StoreError, View},
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
}

fn failed(error: PinError) -> SequenceError {
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

/// Whether a log is no growth of what was pinned: smaller, or another one.
pub(in crate::audit) async fn behind(
    view: &mut dyn View,
    tenant: TenantId,
    origin: &str,
    head: LogHead,
    pin: &Pin,
) -> Result<bool, SequenceError> {
    let pinned = pin.head();
    if pinned.origin != origin || pinned.size > head.size {
        return Ok(true);
    }
    let mut tiles = Tiles::default();
    let proof = with_tiles(view, tenant, &mut tiles, |tiles| tiles.consistency_proof(pinned.size, head.size)).await?;
    Ok(merkle::verify_consistency(pinned.size, head.size, &pinned.root, &head.root, &proof).is_err())
}

/// What a log lacks since its store was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The head that was signed last.
    pub pinned: Checkpoint,
    /// The head with which the log goes on.
    pub head: LogHead,
}

/// Lets a log go on that is behind what was signed of it: says so in an event of that log and of the platform's, forgets
/// the pin, signs. Who may do this is who holds the platform root and the folder of the pins. `None` if nothing is behind.
///
/// # Errors
///
/// [`SequenceError`]; [`SequenceError::Forked`] if the log is not even what its own head says.
pub async fn accept_restore(instance: &Instance, tenant: TenantId) -> Result<Option<Gap>, SequenceError> {
    let (Some(pins), Some(pin)) = (instance.guard().pins(), pinned(instance, tenant).await?) else { return Ok(None) };
    let head = sequence::sequence(instance, tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let origin = view.log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
    if !behind(&mut *view, tenant, &origin, head, &pin).await? {
        return Ok(None);
    }
    let newest: Option<StoredCheckpoint> = view.checkpoint().await?;
    let newest = newest.map(|newest| Pin::of(&newest.note)).transpose().map_err(failed)?;
    drop(view);
    let pinned = pin.head().clone();
    let request = request(instance, "accept-restore", "CLI")?;
    let event = |kind, id: String| {
        Event::new(EventKind::LogRestoreAccepted)
            .on(kind, id)
            .with("pinned_root", Detail::Id(hex(&pinned.root)))
            .with("pinned_size", Detail::Count(pinned.size))
            .with("root", Detail::Id(hex(&head.root)))
            .with("size", Detail::Count(head.size))
    };
    // Told before it is done: a crash between leaves the pin, and whoever tries again tells it again.
    let actor = Actor::System(&request);
    note_all(instance, actor, tenant, vec![event("log", origin)]).await?;
    if !tenant.is_platform() {
        note_all(instance, actor, TenantId::PLATFORM, vec![event("tenant", tenant.to_string())]).await?;
    }
    pins.replace(tenant, &pin, newest.as_ref()).await.map_err(failed)?;
    sequence::checkpoint(instance, tenant).await?;
    // That it is behind may have been found.
    forget(instance, tenant).await?;
    Ok(Some(Gap { pinned, head }))
}
