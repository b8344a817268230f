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

use super::{NotedHead, hex, request};
use crate::{
    Instance,
    audit::{
        Change, Detail, Event, EventKind, LoggedEvent, StoredCheckpoint,
        sequence::{self, SequenceError, prove},
        stamp::Actor,
    },
    ids::{EventId, TenantId},
    instance::Failure,
    keyring::{DeclaredKey, Managed, declared::declared},
};

/// Tells of the newest signed head of a tenant's log in the platform's, if it grew since that told of it last; `true` if so.
///
/// # Errors
///
/// [`SequenceError`].
pub async fn note_head(instance: &Instance, tenant: TenantId) -> Result<bool, SequenceError> {
    if tenant.is_platform() {
        return Ok(false);
    }
    let mut view = instance.store().fresh_view(tenant).await?;
    let (newest, origin) = (view.checkpoint().await?, view.log_origin().await?);
    drop(view);
    let (Some(newest), Some(origin)) = (newest, origin) else { return Ok(false) };
    let noted = instance.store().fresh_view(TenantId::PLATFORM).await?.noted_head(&origin).await?;
    if noted.is_some_and(|noted| noted.size >= newest.size) {
        return Ok(false);
    }
    // Not the row itself: a head that was looked at, and that is signed.
    let newest = sequence::checkpoint(instance, tenant).await?;
    let signed = SignedCheckpoint::parse(&newest.note).map_err(|_| SequenceError::Forked(tenant))?;
    let head = signed.checkpoint();
    let id = EventId::make(instance.now(), instance.random())?;
    let nonce: [u8; 32] = random::array(instance.random())?;
    let request = request(instance, "note-heads", "JOB")?;
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let mut change = Change::begin_with(instance, Actor::System(&request), TenantId::PLATFORM, ring).await?;
    change.rows().put_noted_head(&NotedHead { origin: origin.clone(), size: head.size, event: id }).await?;
    let event = Event::new(EventKind::LogHeadNoted)
        .identified(id)
        .on("log", origin)
        .with("nonce", Detail::Id(hex(&nonce)))
        .with("root", Detail::Id(hex(&head.root)))
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
    let mut view = instance.store().fresh_view(tenant).await?;
    let Some(origin) = view.log_origin().await? else { return Ok(None) };
    let Some(noted) = instance.store().fresh_view(TenantId::PLATFORM).await?.noted_head(&origin).await? else {
        return Ok(None);
    };
    let Some(head) = view.checkpoint_of(noted.size).await? else { return Ok(None) };
    drop(view);
    sequence::sequence(instance, TenantId::PLATFORM).await?;
    let mut platform = instance.store().fresh_view(TenantId::PLATFORM).await?;
    let Some(event) = platform.logged_event(noted.event).await? else { return Ok(None) };
    let witnessed = match instance.guard().witnesses() {
        Some(witnesses) => platform.newest_cosigned(witnesses.quorum).await?.filter(|size| *size > event.index),
        None => None,
    };
    let witnessed = match witnessed {
        Some(size) => platform.checkpoint_of(size).await?,
        None => None,
    };
    let checkpoint = match witnessed {
        Some(checkpoint) => checkpoint,
        None => {
            drop(platform);
            let newest = sequence::checkpoint(instance, TenantId::PLATFORM).await?;
            platform = instance.store().fresh_view(TenantId::PLATFORM).await?;
            newest
        }
    };
    let lines = platform.cosignatures(checkpoint.size).await?;
    let mut proof = prove(&mut *platform, TenantId::PLATFORM, event.index, &checkpoint).await?;
    let lines = lines.iter().map(|cosignature| cosignature.line.as_str());
    proof.checkpoint = proof.checkpoint.with_lines(lines).map_err(|_| Failure::Internal("a cosignature's line"))?;
    Ok(Some(Anchor { head, noted: event, proof }))
}

/// The public keys of a tenant's log, oldest first, named by its origin: what a witness or a verifier is told to trust.
///
/// # Errors
///
/// [`Failure`].
pub async fn log_keys(instance: &Instance, tenant: TenantId) -> Result<Vec<VerifierKey>, Failure> {
    let lease = instance.lease(tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let origin = view.log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
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
