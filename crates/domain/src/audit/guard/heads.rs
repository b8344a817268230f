//! The heads of tenants' logs, in the platform's log: nobody can be shown another history than everybody else.
//!
//! The platform's log is an event log like the others. One event of it tells of one head of one log, named by its random
//! origin; with a nonce, so that the hashes beside somebody's proof tell nothing of others (ADR 0022).

use chancery_crypto::{
    Ed25519PublicKey,
    checkpoint::{Checkpoint, SignedCheckpoint, VerifierKey},
    merkle,
    proof::{LogProof, LogProofError},
    random,
};
use serde_json::Value;

use super::{
    Epochs, hex,
    leaves::is_in_tree,
    request,
    witness::{Witnessed, newest_witnessed},
};
use crate::{
    Instance,
    audit::{
        Change, Detail, Event, EventKind, LoggedEvent, StoredCheckpoint, proof,
        sequence::{self, SequenceError, prove, signed_head},
        stamp::Actor,
    },
    ids::{EventId, TenantId},
    instance::Failure,
    keyring::{DeclaredKey, Keyring, Managed, declared::declared},
    store::{StoreError, View},
};

/// So many events of a name are looked at, whatever they carry; then only those with a proof, which builds before proofs made none of.
const MAX_UNPROVEN: usize = 64;
/// What the proof of an event that tells of a head is derived for.
const MARK: &str = "chancery/audit/head/1";

/// What the platform's log tells of the head of another log.
pub(super) struct Told {
    pub(super) size: u64,
    root: String,
    /// Whether it is of ours: queues are not authenticated. Of one that is not, and says nothing else than what is known, nobody is harmed.
    pub(super) proven: bool,
    pub(super) event: LoggedEvent,
}

impl Told {
    /// What an event tells; `None` if it tells of no head of this name.
    pub(super) fn by(ring: &Keyring, event: LoggedEvent, origin: &str) -> Option<Self> {
        let core: Value = serde_json::from_str(&event.event.core).ok()?;
        let text = |pointer: &str| core.pointer(pointer).and_then(Value::as_str);
        let says = text("/type") == Some(EventKind::LogHeadNoted.as_str())
            && text("/resource/kind") == Some("log")
            && text("/resource/id") == Some(origin);
        let size = core.pointer("/detail/size").and_then(Value::as_u64).filter(|_| says)?;
        let root = text("/detail/root")?.to_owned();
        let proven = proof::holds(ring, MARK, &event, &core, &parts(origin, &size.to_be_bytes(), &root));
        Some(Self { size, root, proven, event })
    }

    pub(super) fn is_of(&self, head: &Checkpoint) -> bool {
        self.size == head.size && self.root == hex(&head.root)
    }
}

/// What an event that tells of a head proves, beside its id.
fn parts<'a>(origin: &'a str, size: &'a [u8], root: &'a str) -> [&'a [u8]; 3] {
    [origin.as_bytes(), size, root.as_bytes()]
}

/// What the platform's log tells of the heads of this name last, with a proof; without one only if there is none that has one, however
/// many somebody queued after it: what we tell next lies behind them, so they are passed over once. Rows beside that log are not asked:
/// one could name an older event. Every place of it has its event, which nothing takes away, so a later one cannot be left out.
pub(super) async fn told_of(instance: &Instance, origin: &str) -> Result<Option<Told>, SequenceError> {
    // What was told of a moment ago is in the queue.
    sequence::sequence(instance, TenantId::PLATFORM).await?;
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let mut view = instance.store().fresh_view(TenantId::PLATFORM).await?;
    let mut before = view.log_head().await?.size;
    let mut unproven = None;
    let damaged = || SequenceError::Forked(TenantId::PLATFORM);
    for looked_at in 0.. {
        let event = if looked_at < MAX_UNPROVEN {
            view.head_told_before(origin, before).await
        } else {
            view.head_with_proof_before(origin, before).await
        };
        let event = match event {
            Err(StoreError::Damaged(_)) => return Err(damaged()),
            event => event?,
        };
        let Some(event) = event else { break };
        if !is_in_tree(&mut *view, &event).await? {
            return Err(damaged());
        }
        before = event.index;
        match Told::by(&ring, event, origin) {
            Some(told) if told.proven => return Ok(Some(told)),
            told => unproven = unproven.or(told),
        }
    }
    Ok(unproven)
}

/// The name that heads of a log bear now; `None` if there is no log.
pub(super) async fn name_now(view: &mut dyn View) -> Result<Option<String>, StoreError> {
    let size = view.log_head().await?.size;
    Ok(Epochs::told(view).await?.map(|epochs| epochs.name_at(size)))
}

fn head_of(tenant: TenantId, stored: &StoredCheckpoint) -> Result<Checkpoint, SequenceError> {
    let signed = SignedCheckpoint::parse(&stored.note).map_err(|_| SequenceError::Forked(tenant))?;
    Ok(signed.checkpoint().clone())
}

/// The rows that are filed under one size as heads, the newest first. Whoever writes the store may have put others there, and none is ever
/// taken away.
pub(super) struct Filed {
    size: i64,
    before: i64,
}

impl Filed {
    pub(super) fn under(size: u64) -> Self {
        Self { size: i64::try_from(size).unwrap_or(i64::MAX), before: i64::MAX }
    }

    /// The next one that can be read.
    pub(super) async fn next(&mut self, view: &mut dyn View) -> Result<Option<StoredCheckpoint>, StoreError> {
        while let Some(raw) = view.raw_checkpoints_before((self.size, self.before), 1).await?.pop() {
            if raw.size != self.size {
                break;
            }
            self.before = raw.signed_at;
            if let Some(stored) = raw.into_stored() {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }
}

/// The newest head of this size that the log's key of its time signed; `None` if there is none.
pub(super) async fn signed_of(
    instance: &Instance,
    tenant: TenantId,
    size: u64,
) -> Result<Option<StoredCheckpoint>, SequenceError> {
    let ring = instance.keyring(tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let Some(epochs) = Epochs::told(&mut *view).await? else { return Ok(None) };
    let keys = declared(&mut *view, &ring, Managed::Log).await?;
    let mut rows = Filed::under(size);
    while let Some(stored) = rows.next(&mut *view).await? {
        if signed_head(&stored, &epochs, &keys).is_some() {
            return Ok(Some(stored));
        }
    }
    Ok(None)
}

/// Tells of the newest signed head of a tenant's log in the platform's, if it grew since that told of it last; `true` if so.
///
/// # Errors
///
/// [`SequenceError`]; [`SequenceError::RolledBack`] if the platform's log tells of a head that this log does not have.
pub async fn note_head(instance: &Instance, tenant: TenantId) -> Result<bool, SequenceError> {
    if tenant.is_platform() {
        return Ok(false);
    }
    let mut view = instance.store().fresh_view(tenant).await?;
    let stored = match view.checkpoint().await {
        Ok(None) => return Ok(false),
        // One that nobody signed is in nobody's way.
        Ok(Some(stored)) => head_of(tenant, &stored).ok(),
        Err(StoreError::Damaged(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let Some(name) = name_now(&mut *view).await? else { return Ok(false) };
    drop(view);
    let mut told = told_of(instance, &name).await?;
    if let (Some(told), Some(stored)) = (&told, &stored)
        && told.proven
        && told.is_of(stored)
        && stored.origin == name
    {
        return Ok(false);
    }
    // Not the row itself: a head that was looked at, and that is signed.
    let head = head_of(tenant, &sequence::checkpoint(instance, tenant).await?)?;
    if head.origin != name {
        told = told_of(instance, &head.origin).await?;
    }
    match told.filter(|told| told.proven) {
        Some(told) if told.is_of(&head) => return Ok(false),
        // It was told of, and it was signed: the log is not what it was.
        Some(told) if told.size >= head.size => {
            let lost = Err(SequenceError::RolledBack(tenant));
            sequence::remember_fork(instance, tenant, &lost);
            return lost;
        }
        _ => {}
    }
    let nonce: [u8; 32] = random::array(instance.random())?;
    let request = request(instance, "note-heads", "JOB")?;
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let id = EventId::make(instance.now(), instance.random())?;
    let root = hex(&head.root);
    let proof = proof::make(&ring, MARK, id, &parts(&head.origin, &head.size.to_be_bytes(), &root))?;
    let change = Change::begin_with(instance, Actor::System(&request), TenantId::PLATFORM, ring).await?;
    let event = Event::new(EventKind::LogHeadNoted)
        .identified(id)
        .on("log", head.origin)
        .with("nonce", Detail::Id(hex(&nonce)))
        .with("proof", Detail::Id(proof))
        .with("root", Detail::Id(root))
        .with("size", Detail::Count(head.size));
    change.commit(event).await?;
    Ok(true)
}

/// A head of a tenant's log, and the proof that the platform's log tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The head of the tenant's log.
    pub head: StoredCheckpoint,
    /// The event of the platform's log that tells of it.
    pub noted: LoggedEvent,
    /// That the event is under a head of the platform's log, with what witnesses signed of that.
    pub proof: LogProof,
}

/// The newest head of a tenant's log that the platform's tells of, with its proof: under the newest head of that log that
/// witnesses signed, else under the newest.
///
/// # Errors
///
/// [`SequenceError`].
pub async fn anchor(instance: &Instance, tenant: TenantId) -> Result<Option<Anchor>, SequenceError> {
    let Some(origin) = name_now(&mut *instance.store().fresh_view(tenant).await?).await? else { return Ok(None) };
    let Some(told) = told_of(instance, &origin).await? else { return Ok(None) };
    let Some(head) = signed_of(instance, tenant, told.size).await? else { return Ok(None) };
    let stored = head_of(tenant, &head)?;
    if stored.origin != origin || !told.is_of(&stored) {
        return Err(SequenceError::Forked(tenant));
    }
    let event = told.event;
    let mut platform = instance.store().fresh_view(TenantId::PLATFORM).await?;
    let witnessed = newest_witnessed(instance, &mut *platform).await?.map(|(checkpoint, _)| checkpoint);
    let witnessed = witnessed.filter(|checkpoint| checkpoint.size > event.index);
    let checkpoint = match witnessed {
        Some(checkpoint) => checkpoint,
        None => {
            drop(platform);
            let newest = sequence::checkpoint(instance, TenantId::PLATFORM).await?;
            platform = instance.store().fresh_view(TenantId::PLATFORM).await?;
            newest
        }
    };
    let mut proof = prove(&mut *platform, TenantId::PLATFORM, event.index, &checkpoint).await?;
    proof.checkpoint = Witnessed::of(instance, &mut *platform, &checkpoint).await?.note;
    Ok(Some(Anchor { head, noted: event, proof }))
}

/// The public keys of a tenant's log, oldest first, under the name that its heads bear now: what a witness or a verifier is told to trust.
///
/// # Errors
///
/// [`Failure`].
pub async fn log_keys(instance: &Instance, tenant: TenantId) -> Result<Vec<VerifierKey>, Failure> {
    let lease = instance.lease(tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let epochs = Epochs::told(&mut *view).await?.ok_or(Failure::Internal("log without an origin"))?;
    let origin = epochs.name_at(view.log_head().await?.size);
    let keys = declared(&mut *view, &lease.keyring, Managed::Log).await?;
    let named = |key: &DeclaredKey| VerifierKey::new(&origin, Ed25519PublicKey::try_from(&key.jwk).ok()?).ok();
    keys.iter().map(|key| named(key).ok_or(Failure::Internal("a log key that is none"))).collect()
}

/// Why an anchor proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// The event does not tell of this head.
    #[error("the event tells of another head")]
    AnotherHead,
    /// It is not proven to be in the platform's log.
    #[error("the event is not proven to be in the platform's log")]
    Proof(#[from] LogProofError),
}

/// Checks, with nothing else at hand, that the platform's log tells of this head of a tenant's log: `core` is the event's
/// exact text, `platform` the key that signed the platform's log at that size.
///
/// # Errors
///
/// [`AnchorError`].
pub fn verify_anchor(
    head: &Checkpoint,
    core: &str,
    proof: &LogProof,
    platform: &VerifierKey,
) -> Result<(), AnchorError> {
    proof.verify(&merkle::leaf_hash(core.as_bytes()), platform)?;
    let event: Value = serde_json::from_str(core).map_err(|_| AnchorError::AnotherHead)?;
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let same = text("/type") == Some(EventKind::LogHeadNoted.as_str())
        && text("/resource/kind") == Some("log")
        && text("/resource/id") == Some(head.origin.as_str())
        && text("/detail/root") == Some(hex(&head.root).as_str())
        && event.pointer("/detail/size").and_then(Value::as_u64) == Some(head.size);
    if same { Ok(()) } else { Err(AnchorError::AnotherHead) }
}
