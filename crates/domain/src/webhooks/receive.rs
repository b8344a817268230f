//! Takes messages of sources: whoever sends them is nobody we know until the signature says so.

use super::{
    DeliveryState, MAX_WAITING, Message, Rejection, Reply, Seen, Sighting, Verified, WINDOW_SECONDS, WebhookDelivery,
    WebhookOwner, WebhookSource, answer_get, answer_post,
    held::{self, Held},
    payload::Payload,
    verify,
};
use crate::{
    Instance, TenantId,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    fields::system,
    ids::{WebhookDeliveryId, WebhookSourceId},
    instance::{Failure, fails},
    keyring::ring::Place,
    store::StoreError,
    tenants::TenantState,
};

/// The longest body that is kept.
pub const MAX_KEPT_BYTES: usize = 1_000_000;
/// How long a message is remembered: longer than twice the window, for a moment may be ahead as far as behind.
const REMEMBERED_SECONDS: i64 = 2 * WINDOW_SECONDS + 60;
/// How long an id that a sender gave is remembered: for as long as senders try anew.
const ID_REMEMBERED_SECONDS: i64 = 4 * 86_400;

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
    let (_, source, held) = find(instance, request, slug, source).await?;
    let reply = answer_get(source.provider, &held.secrets, query).ok_or(ReceiveError::Unknown)?;
    if reply.is_yes() { Ok(reply) } else { Err(ReceiveError::Refused(reply.status, Rejection::WrongSignature)) }
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
    let (tenant, source, held) = find(instance, request, slug, source).await?;
    if let Some(reply) = answer_post(source.provider, &held.secrets, message) {
        let refused = ReceiveError::Refused(reply.status, Rejection::WrongSignature);
        return if reply.is_yes() { Ok(reply) } else { Err(refused) };
    }
    if message.body.len() > MAX_KEPT_BYTES {
        return Err(ReceiveError::TooLong);
    }
    let refused = |rejection| ReceiveError::Refused(source.provider.refused(), rejection);
    let verified = verify(&held.rules, &held.secrets, message, instance.now()).map_err(refused)?;
    match keep(instance, request, tenant, &source, &held, (message, &verified)).await? {
        Seen::First => instance.note_due_webhooks(tenant),
        // Whoever sends anew has not heard that it was taken.
        Seen::Again => {}
        Seen::Copy(_) => return Err(refused(Rejection::Replayed)),
    }
    Ok(Reply { status: source.provider.taken(), body: None })
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
    let (_, source, held) = find(instance, request, slug, source).await?;
    let refused = |status, rejection| Err(ReceiveError::Refused(status, rejection));
    if let Some(reply) = answer_post(source.provider, &held.secrets, message) {
        return if reply.is_yes() { Ok(()) } else { refused(reply.status, Rejection::WrongSignature) };
    }
    if message.body.len() > MAX_KEPT_BYTES {
        return Err(ReceiveError::TooLong);
    }
    let verified = verify(&held.rules, &held.secrets, message, instance.now());
    verified.map(drop).or_else(|rejection| refused(source.provider.refused(), rejection))
}

/// An enabled source of a tenant that is served, and its secrets.
async fn find(
    instance: &Instance,
    request: &RequestInfo,
    slug: &str,
    source: &str,
) -> Result<(TenantId, WebhookSource, std::sync::Arc<Held>), ReceiveError> {
    let id: WebhookSourceId = source.parse().map_err(|_| ReceiveError::Unknown)?;
    if slug.chars().any(char::is_control) {
        return Err(ReceiveError::Unknown);
    }
    let entry = instance.directory().tenant_by_slug(slug).await?;
    let tenant = entry.filter(|entry| entry.state == TenantState::Active).ok_or(ReceiveError::Unknown)?.id;
    let mut rows = instance.store().view(tenant).await?;
    let found = rows.webhook_source(id).await?.filter(|source| source.enabled).ok_or(ReceiveError::Unknown)?;
    let secrets = rows.webhook_secrets(WebhookOwner::Source(id)).await?;
    drop(rows);
    let held = held::of(instance, request, tenant, WebhookOwner::Source(id), found.rules(), &secrets).await?;
    Ok((tenant, found, held))
}

/// Keeps a message that came for the first time, in one commit with what is remembered of it.
async fn keep(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    source: &WebhookSource,
    held: &Held,
    (message, verified): (&Message<'_>, &Verified),
) -> Result<Seen, ReceiveError> {
    let now = instance.now();
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), tenant, ring).await?;
    let remembered = if verified.has_id { ID_REMEMBERED_SECONDS } else { REMEMBERED_SECONDS };
    let sighting = Sighting { identity: verified.identity, copy: verified.copy, until: now.plus_seconds(remembered) };
    let seen = change.rows().see_webhook(source.id, &sighting, now).await?;
    match seen {
        Seen::First => {}
        // Of the first copy alone: whoever has one message must not fill the log with it.
        Seen::Copy(0) => {
            let event = Event::new(EventKind::WebhookReplayed).on("webhook_source", source.id);
            change.commit(event.with("provider", Detail::Code(source.provider.as_str()))).await?;
            return Ok(seen);
        }
        Seen::Again | Seen::Copy(_) => return Ok(seen),
    }
    // What is held of a device counted no further than when it was opened; the store knows.
    if let (Some(counter), Some(id)) = (verified.counter, held.ids.get(verified.secret)) {
        match change.rows().count_webhook_device(*id, counter).await {
            Err(StoreError::Changed(_)) => {
                return Err(ReceiveError::Refused(source.provider.refused(), Rejection::Replayed));
            }
            counted => counted?,
        }
    }
    if change.rows().waiting_webhook_deliveries().await? >= MAX_WAITING {
        return Err(ReceiveError::Full);
    }
    let id = WebhookDeliveryId::make(now, instance.random())?;
    let (field, row) = (system::webhook_payload(), id.to_string());
    let payload = Payload::of(&source.rules(), message).to_bytes();
    let place = Place { field: &field, row: &row };
    let sealed = change.keyring().seal(place, payload.expose(), instance.random())?;
    let named = verified.has_id.then(|| data_encoding::HEXLOWER.encode(&verified.identity));
    let delivery = WebhookDelivery {
        id,
        owner: WebhookOwner::Source(source.id),
        state: DeliveryState::Queued,
        sealed: Some(sealed.into_bytes()),
        bytes: u32::try_from(message.body.len()).unwrap_or(u32::MAX),
        idempotency_key: named.unwrap_or_else(|| row.clone()),
        attempts: 0,
        next_at: now,
        reason: None,
        received_at: now,
        changed_at: now,
    };
    change.rows().insert_webhook_delivery(&delivery).await?;
    let event = Event::new(EventKind::WebhookReceived)
        .on("webhook_delivery", id)
        .with("source", Detail::Id(source.id.to_string()))
        .with("provider", Detail::Code(source.provider.as_str()))
        .with("bytes", Detail::Count(delivery.bytes.into()));
    change.commit(event).await?;
    Ok(seen)
}
