//! Takes messages of sources: whoever sends them is nobody we know until the signature says so.

use std::sync::Arc;

use chancery_crypto::sha256;

use super::{
    Arrival, DeliveryState, Direction, MAX_WAITING, Message, Provider, REMEMBERED_SECONDS, Rejection, Reply, Seen,
    Sighting, Verified, WebhookDelivery, WebhookDevice, WebhookOwner, WebhookSource, answer_get, answer_post, devices,
    held::{self, Held},
    parts,
    payload::Payload,
    published,
    verify::app_attest,
};
use crate::{
    Instance, TenantId,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::{WebhookDeliveryId, WebhookDeviceId, WebhookSourceId},
    instance::{Failure, fails},
    store::{StoreError, View},
    tenants::TenantState,
};

/// The longest body that is kept, unless the operator says otherwise.
pub const KEPT_BYTES: u32 = 1_000_000;

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// There is no such source, or it takes nothing.
    #[error("no such webhook source")]
    Unknown,
    /// It is not from whom it says, not fresh, or a copy; the sender is told this status and nothing more.
    #[error("the webhook was refused: {1}")]
    Refused(u16, Rejection),
    /// It is longer than is kept.
    #[error("the webhook is too long")]
    TooLong,
    /// Too many wait already.
    #[error("too many webhooks wait")]
    Full,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ReceiveError);

/// Answers a provider that asks whether whoever is here knows what was agreed on.
///
/// # Errors
///
/// [`ReceiveError`].
pub async fn shake(
    instance: &Instance,
    request: &RequestInfo,
    (slug, source): (&str, &str),
    query: &[(String, String)],
) -> Result<Reply, ReceiveError> {
    let found = find(instance, request, slug, source).await;
    let provider = found.as_ref().ok().map(|found| found.source.provider);
    let shaken = found.and_then(|Found { source, held, .. }| {
        asked(answer_get(source.provider, &held.secrets, query).ok_or(ReceiveError::Unknown)?)
    });
    counted(instance, provider, shaken)
}

/// What a provider that asks is told, and that it did.
fn asked(reply: Reply) -> Result<(Reply, Arrival), ReceiveError> {
    let refused = ReceiveError::Refused(reply.status, Rejection::WrongSignature);
    if reply.is_yes() { Ok((reply, Arrival::Asked)) } else { Err(refused) }
}

/// Counts what came of a message.
fn counted(
    instance: &Instance,
    provider: Option<Provider>,
    outcome: Result<(Reply, Arrival), ReceiveError>,
) -> Result<Reply, ReceiveError> {
    let arrival = match &outcome {
        Ok((_, arrival)) => *arrival,
        Err(error) => error.into(),
    };
    instance.webhook_counts.arrived(provider, arrival);
    outcome.map(|(reply, _)| reply)
}

/// The tenant and the source that wait for a message of this path: asked before its body is read, so that nobody's is.
///
/// # Errors
///
/// [`ReceiveError`].
pub async fn awaited(
    instance: &Instance,
    (slug, source): (&str, &str),
) -> Result<(TenantId, WebhookSourceId), ReceiveError> {
    match enabled(instance, slug, source).await {
        Ok((tenant, source, _)) => Ok((tenant, source.id)),
        Err(error) => {
            instance.webhook_counts.arrived(None, (&error).into());
            Err(error)
        }
    }
}

/// Verifies a message and keeps it, to be handed on at least once.
///
/// # Errors
///
/// [`ReceiveError`]: nothing was kept.
pub async fn receive(
    instance: &Instance,
    request: &RequestInfo,
    (slug, source): (&str, &str),
    message: &Message<'_>,
) -> Result<Reply, ReceiveError> {
    let found = find(instance, request, slug, source).await;
    let provider = found.as_ref().ok().map(|found| found.source.provider);
    let taken = match found {
        Ok(found) => take(instance, request, &found, message).await,
        Err(error) => Err(error),
    };
    counted(instance, provider, taken)
}

async fn take(
    instance: &Instance,
    request: &RequestInfo,
    found: &Found,
    message: &Message<'_>,
) -> Result<(Reply, Arrival), ReceiveError> {
    let believed = match judge(instance, request, found, message).await? {
        Judged::Asked(reply) => return asked(reply),
        Judged::Believed(believed) => believed,
    };
    let arrival = match keep_once(instance, request, found, message, &believed).await? {
        Seen::First => {
            instance.note_due_webhooks(found.tenant);
            Arrival::Taken
        }
        // Whoever sends anew has not heard that it was taken.
        Seen::Again => Arrival::Again,
        Seen::Copy(_) => return Err(found.refused(Rejection::Replayed)),
    };
    Ok((Reply { status: found.source.provider.taken(), body: None }, arrival))
}

/// Says what [`receive`] would say of a message, and keeps nothing of it: whether it is a copy is not asked.
///
/// # Errors
///
/// [`ReceiveError`].
pub async fn examine(
    instance: &Instance,
    request: &RequestInfo,
    (slug, source): (&str, &str),
    message: &Message<'_>,
) -> Result<(), ReceiveError> {
    let found = find(instance, request, slug, source).await?;
    match judge(instance, request, &found, message).await? {
        Judged::Asked(reply) => asked(reply).map(drop),
        Judged::Believed(_) => Ok(()),
    }
}

/// What a message is, whether or not it is a copy.
enum Judged {
    /// Its provider asks, and is told this.
    Asked(Reply),
    /// It is from whom it says.
    Believed(Believed),
}

/// A message that is from whom it says.
struct Believed {
    verified: Verified,
    /// The enrolled device that it is of.
    device: Option<WebhookDeviceId>,
}

async fn judge(
    instance: &Instance,
    request: &RequestInfo,
    found: &Found,
    message: &Message<'_>,
) -> Result<Judged, ReceiveError> {
    let Found { tenant, source, held } = found;
    if let Some(reply) = answer_post(source.provider, &held.secrets, message) {
        return Ok(Judged::Asked(reply));
    }
    if message.body.len() > instance.settings().webhook_body_bytes as usize {
        return Err(ReceiveError::TooLong);
    }
    let named = match source.provider.enrolls_devices() {
        true => devices::named(instance, *tenant, source.id, message).await?,
        false => None,
    };
    let judged = match named.as_ref().and_then(WebhookDevice::as_device) {
        Some(device) => app_attest::verify(&held.rules, &held.secrets, Some(&device), message, instance.now()),
        None => published::judge(instance, request.address, held, message).await?,
    };
    let verified = judged.map_err(|rejection| found.refused(rejection))?;
    Ok(Judged::Believed(Believed { verified, device: named.map(|device| device.id) }))
}

/// What was found of a message's path.
struct Found {
    tenant: TenantId,
    source: WebhookSource,
    held: Arc<Held>,
}

impl Found {
    /// What the sender is told.
    fn refused(&self, rejection: Rejection) -> ReceiveError {
        ReceiveError::Refused(self.source.provider.refused(), rejection)
    }
}

/// An enabled source of a tenant that is served, and its secrets.
async fn find(instance: &Instance, request: &RequestInfo, slug: &str, source: &str) -> Result<Found, ReceiveError> {
    let (tenant, source, mut rows) = enabled(instance, slug, source).await?;
    let owner = WebhookOwner::Source(source.id);
    let secrets = rows.webhook_secrets(owner).await?;
    drop(rows);
    let held = held::of(instance, Actor::System(request), tenant, owner, source.rules(), &secrets).await?;
    Ok(Found { tenant, source, held })
}

/// An enabled source of a tenant that is served, and the view in which it was found.
async fn enabled(
    instance: &Instance,
    slug: &str,
    source: &str,
) -> Result<(TenantId, WebhookSource, Box<dyn View>), ReceiveError> {
    let id: WebhookSourceId = source.parse().map_err(|_| ReceiveError::Unknown)?;
    if slug.chars().any(char::is_control) {
        return Err(ReceiveError::Unknown);
    }
    let entry = instance.directory().tenant_by_slug(slug).await?;
    let tenant = entry.filter(|entry| entry.state == TenantState::Active).ok_or(ReceiveError::Unknown)?.id;
    let mut rows = instance.store().view(tenant).await?;
    let found = rows.webhook_source(id).await?.filter(|source| source.enabled).ok_or(ReceiveError::Unknown)?;
    Ok((tenant, found, rows))
}

/// As [`keep`]. Where nodes share a memory, that is asked first: it knows of copies that this node's store does not know, or does not
/// know any more. If the message is not kept, it may come again.
async fn keep_once(
    instance: &Instance,
    request: &RequestInfo,
    found: &Found,
    message: &Message<'_>,
    believed: &Believed,
) -> Result<Seen, ReceiveError> {
    let shared = instance.shared_replays().zip(believed.verified.copy);
    let Some((replays, copy)) = shared else {
        return keep(instance, request, found, message, believed, false).await;
    };
    let mark = sha256(&[b"webhook", &found.tenant.to_bytes()[..], &found.source.id.to_bytes()[..], &copy].concat());
    let known = replays.seen(&mark, REMEMBERED_SECONDS, instance.now()).await?;
    let kept = keep(instance, request, found, message, believed, known).await;
    if kept.is_err()
        && !known
        && let Err(error) = replays.forget(&mark).await
    {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "A webhook that was not kept counts as seen until its time is over");
    }
    kept
}

/// Keeps a message that came for the first time, in one commit with what is remembered of it. `known` if a copy came to any node.
async fn keep(
    instance: &Instance,
    request: &RequestInfo,
    found: &Found,
    message: &Message<'_>,
    believed: &Believed,
    known: bool,
) -> Result<Seen, ReceiveError> {
    let (Found { tenant, source, held }, Believed { verified, device }) = (found, believed);
    let now = instance.now();
    let ring = instance.keyring(*tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), *tenant, ring).await?;
    let until = now.plus_seconds(source.rules().remembered_seconds(verified).into());
    let sighting = Sighting { identity: verified.identity, copy: verified.copy, until };
    let seen = change.rows().see_webhook(source.id, &sighting, now).await?;
    match seen {
        // The store was put back, or somebody else is about to keep it: nothing is noted here.
        Seen::First | Seen::Again if known => return Ok(Seen::Copy(1)),
        Seen::First => {}
        // Of the first copy alone: whoever has one message must not fill the log with it.
        Seen::Copy(0) => {
            let event = Event::new(EventKind::WebhookReplayed).on("webhook_source", source.id);
            change.commit(event.with("provider", Detail::Code(source.provider.as_str()))).await?;
            return Ok(seen);
        }
        Seen::Again | Seen::Copy(_) => return Ok(seen),
    }
    // What was read of a device counted no further than it had then; the store knows.
    if let Some(counter) = verified.counter {
        let counted = match (held.ids.get(verified.secret), device) {
            (Some(id), _) => change.rows().count_webhook_device(*id, counter).await,
            (None, Some(id)) => change.rows().use_webhook_device(*id, counter, now).await,
            (None, None) => return Err(Failure::Internal("a count of no device").into()),
        };
        match counted {
            Err(StoreError::Changed(_)) => return Err(found.refused(Rejection::Replayed)),
            counted => counted?,
        }
    }
    if change.rows().waiting_webhook_deliveries(Direction::In).await? >= MAX_WAITING {
        return Err(ReceiveError::Full);
    }
    let id = WebhookDeliveryId::make(now, instance.random())?;
    let sealed = parts::seal(instance, change.keyring(), id, &Payload::of(&source.rules(), message))?;
    let named = verified.has_id.then(|| data_encoding::HEXLOWER.encode(&verified.identity));
    let delivery = WebhookDelivery {
        id,
        owner: WebhookOwner::Source(source.id),
        state: DeliveryState::Queued,
        sealed: None,
        bytes: u32::try_from(message.body.len()).unwrap_or(u32::MAX),
        idempotency_key: named.unwrap_or_else(|| id.to_string()),
        attempts: 0,
        next_at: now,
        reason: None,
        received_at: now,
        changed_at: now,
    };
    let event = Event::new(EventKind::WebhookReceived)
        .on("webhook_delivery", id)
        .with("source", Detail::Id(source.id.to_string()))
        .with("provider", Detail::Code(source.provider.as_str()))
        .with("bytes", Detail::Count(delivery.bytes.into()));
    parts::insert(change.rows(), delivery, sealed).await?;
    change.commit(event).await?;
    Ok(seen)
}
