//! Hands webhooks on: at least once, until whoever they are for says that it has them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chancery_crypto::Sealed;

use super::{
    DeliveryState, KEPT_BYTES, Tried, WebhookDelivery, WebhookOwner, WebhookSource, WebhookSubscription,
    delivery::TRY_SECONDS, parts, payload::Payload, stall, subscription,
};
use crate::{
    Instance, TenantId,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, OpenIntent, Outcome, receipt::append_as, stamp::Actor},
    fields::system,
    ids::{RequestId, WebhookSubscriptionId},
    instance::Failure,
    keyring::{KeyringError, ring::Place},
    store::StoreError,
    time::Timestamp,
};

/// How many are taken up at a time.
const BATCH: u32 = 16;
/// How long a round may take before another tenant has its turn: whoever is slow is waited for with each of them.
const ROUND_SECONDS: i64 = 30;

/// A webhook as it goes out.
#[derive(Debug)]
pub struct Outgoing {
    /// Of which source, or for which subscription.
    pub owner: WebhookOwner,
    /// Where to: a URL, or what is behind the gateway ([`super::behind_gateway`]).
    pub url: String,
    /// Its headers, those that make it the same to whoever gets it twice among them.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: chancery_crypto::Phi<Vec<u8>>,
}

/// Why a webhook was not taken: a stable code, such as `http.503` or `timeout`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// The code.
    pub code: String,
    /// What comes of it.
    pub next: Next,
}

/// What comes after a try in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another one, in its turn.
    Again,
    /// Another one, not before so many seconds: whoever it is for said so, and means all that goes there.
    Later(u32),
    /// None: it would be answered the same way.
    Never,
    /// None, and a subscription ends: whoever it is for wants no more.
    Gone,
}

/// Sends webhooks.
#[async_trait]
pub trait WebhookSender: Send + Sync {
    /// Sends one, and waits until whoever it is for has taken it.
    async fn send(&self, outgoing: &Outgoing) -> Result<(), NotTaken>;
}

/// What came of a round in one tenant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handed {
    /// So many were taken.
    pub taken: u32,
    /// So many were not.
    pub failed: u32,
    /// Whether more are due.
    pub more: bool,
}

/// What came of one try.
enum Came {
    Taken,
    /// Until when whoever it is for wants to be left alone, if it said so.
    InVain(Option<Timestamp>),
}

/// Whom a webhook is for.
enum Receiver {
    Source(WebhookSource),
    Subscription(WebhookSubscription),
}

impl Receiver {
    /// Since when it takes none, as was told.
    const fn stalled_at(&self) -> Option<Timestamp> {
        match self {
            Self::Source(source) => source.stalled_at,
            Self::Subscription(subscription) => subscription.stalled_at,
        }
    }

    /// Which subscription it is, and since when as it is.
    const fn subscribed(&self) -> Option<(WebhookSubscriptionId, Timestamp)> {
        match self {
            Self::Source(_) => None,
            Self::Subscription(subscription) => Some((subscription.id, subscription.changed_at)),
        }
    }
}

/// Hands on what is due in a tenant, one after the other. Several nodes may do so at once: each delivery is one node's for a minute.
///
/// # Errors
///
/// [`Failure`] if the store or a key does not answer.
pub async fn deliver(instance: &Instance, sender: &dyn WebhookSender, tenant: TenantId) -> Result<Handed, Failure> {
    let due = instance.store().view(tenant).await?.due_webhook_deliveries(instance.now(), BATCH).await?;
    let mut handed = Handed { more: u32::try_from(due.len()).is_ok_and(|length| length >= BATCH), ..Handed::default() };
    let until = instance.now().plus_seconds(ROUND_SECONDS);
    let mut left_alone: BTreeMap<WebhookOwner, Timestamp> = BTreeMap::new();
    for delivery in due {
        if instance.now() >= until {
            handed.more = true;
            break;
        }
        if let Some(next_at) = left_alone.get(&delivery.owner).copied() {
            // Not tried, so that it counts as no try.
            save(instance, tenant, &WebhookDelivery { next_at, ..delivery.clone() }, &delivery).await?;
            continue;
        }
        let owner = delivery.owner;
        match hand(instance, sender, tenant, delivery).await? {
            Some(Came::Taken) => handed.taken += 1,
            Some(Came::InVain(later)) => {
                handed.failed += 1;
                left_alone.extend(later.map(|later| (owner, later)));
            }
            None => {}
        }
    }
    Ok(handed)
}

/// One try; what came of it, or nothing if another node was quicker.
async fn hand(
    instance: &Instance,
    sender: &dyn WebhookSender,
    tenant: TenantId,
    delivery: WebhookDelivery,
) -> Result<Option<Came>, Failure> {
    // Of long ones few are in memory at once. It is waited for room first: what is taken up is this node's for a minute only.
    let _room = if delivery.bytes > KEPT_BYTES { instance.long_webhooks.acquire().await.ok() } else { None };
    let now = instance.now();
    let tried = WebhookDelivery {
        attempts: delivery.attempts.saturating_add(1),
        next_at: now.plus_seconds(TRY_SECONDS),
        ..delivery.clone()
    };
    if !save(instance, tenant, &tried, &delivery).await? {
        return Ok(None);
    }
    let request = job(instance, "webhooks.deliver")?;
    let to = receiver(instance, tenant, tried.owner).await?;
    let stalled_at = to.as_ref().and_then(Receiver::stalled_at);
    let subscribed = to.as_ref().and_then(Receiver::subscribed);
    let outcome = match prepared(instance, &request, tenant, &tried, to).await? {
        Ok(outgoing) => sender.send(&outgoing).await,
        Err(code) => Err(NotTaken { code: code.to_owned(), next: Next::Never }),
    };
    let (now, counts, direction) = (instance.now(), &instance.webhook_counts, tried.owner.direction());
    match outcome {
        Ok(()) => {
            save(instance, tenant, &tried.clone().delivered(now), &tried).await?;
            counts.tried(direction, Tried::Delivered);
            stall::taken(instance, &request, tenant, tried.owner, stalled_at).await?;
            Ok(Some(Came::Taken))
        }
        Err(NotTaken { code, next }) => {
            let [jitter] = chancery_crypto::random::array(instance.random())?;
            let failed = tried.clone().failed(code, next, now, jitter);
            if failed.state == DeliveryState::Quarantined {
                quarantine(instance, &request, tenant, &failed, &tried).await?;
                counts.tried(direction, Tried::Quarantined);
            } else {
                save(instance, tenant, &failed, &tried).await?;
                counts.tried(direction, Tried::Retried);
            }
            stall::in_vain(instance, &request, tenant, &failed, stalled_at).await?;
            if let (Next::Gone, Some(to)) = (next, subscribed) {
                subscription::end(instance, &request, tenant, to).await?;
            }
            Ok(Some(Came::InVain(matches!(next, Next::Later(_)).then_some(failed.next_at))))
        }
    }
}

async fn receiver(instance: &Instance, tenant: TenantId, owner: WebhookOwner) -> Result<Option<Receiver>, Failure> {
    let mut rows = instance.store().view(tenant).await?;
    Ok(match owner {
        WebhookOwner::Source(id) => rows.webhook_source(id).await?.map(Receiver::Source),
        WebhookOwner::Subscription(id) => rows.webhook_subscription(id).await?.map(Receiver::Subscription),
    })
}

/// What goes out and where; or why it never will.
async fn prepared(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    tried: &WebhookDelivery,
    to: Option<Receiver>,
) -> Result<Result<Outgoing, &'static str>, Failure> {
    let Some(to) = to else { return Ok(Err("source_gone")) };
    let Some(payload) = opened(instance, request, tenant, tried).await? else { return Ok(Err("payload")) };
    match to {
        Receiver::Source(source) => Ok(Ok(outgoing(source.upstream, payload, tried))),
        Receiver::Subscription(to) => {
            subscription::outgoing(instance, request, tenant, &to, payload, tried).await.map(Ok)
        }
    }
}

/// The message; the event that tells that it leaves is durable before. `None` if it is none any more.
async fn opened(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    delivery: &WebhookDelivery,
) -> Result<Option<Payload>, Failure> {
    let Some(first) = delivery.sealed.clone() else { return Ok(None) };
    let mut sealed = vec![first];
    // Headers come on top of the body.
    if delivery.bytes > KEPT_BYTES / 2 {
        sealed.extend(instance.store().view(tenant).await?.webhook_parts(delivery.id).await?);
    }
    let Ok(sealed) = sealed.into_iter().map(Sealed::from_bytes).collect::<Result<Vec<_>, _>>() else { return Ok(None) };
    let event = Event::new(EventKind::WebhookForwarding)
        .on("webhook_delivery", delivery.id)
        .with("of", Detail::Id(delivery.owner.to_string()))
        .with("attempt", Detail::Count(delivery.attempts.into()));
    let intent = OpenIntent::new(system::WEBHOOKS, sealed.len(), event);
    let (receipt, fence) = append_as(instance, Actor::System(request), tenant, vec![intent]).await?.single()?;
    let lease = fence.lease(instance).await?;
    let field = system::webhook_payload();
    let rows: Vec<String> = (0..sealed.len()).map(|at| parts::row(delivery.id, at)).collect();
    let places: Vec<(Place<'_>, &Sealed)> =
        rows.iter().zip(&sealed).map(|(row, sealed)| (Place { field: &field, row }, sealed)).collect();
    let opened = lease.keyring.open(receipt, system::WEBHOOKS, &places);
    let opened = match opened {
        Ok(opened) => opened,
        // A stopped key may go on; what is damaged does not.
        Err((_, KeyringError::Tampered | KeyringError::WrongContext)) => return Ok(None),
        Err((_, error)) => return Err(error.into()),
    };
    fence.release(instance, &lease, parts::read(&opened)).await
}

fn outgoing(url: String, payload: Payload, delivery: &WebhookDelivery) -> Outgoing {
    let mut headers = payload.headers;
    headers.push(("idempotency-key".to_owned(), delivery.idempotency_key.clone()));
    headers.push(("x-webhook-delivery".to_owned(), delivery.id.to_string()));
    headers.push(("x-webhook-source".to_owned(), delivery.owner.to_string()));
    headers.push(("x-webhook-attempt".to_owned(), delivery.attempts.to_string()));
    headers.push(("x-webhook-received-at".to_owned(), delivery.received_at.to_string()));
    Outgoing { owner: delivery.owner, url, headers, body: payload.body }
}

/// Saves how a delivery stands; whether it was as it was read. No event: what came, left and was given up has one.
async fn save(
    instance: &Instance,
    tenant: TenantId,
    delivery: &WebhookDelivery,
    from: &WebhookDelivery,
) -> Result<bool, Failure> {
    let mut tx = instance.store().begin(tenant).await?;
    match tx.save_webhook_delivery(delivery, from).await {
        Err(StoreError::Changed(_)) => return Ok(false),
        saved => saved?,
    }
    tx.commit().await?;
    Ok(true)
}

async fn quarantine(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    delivery: &WebhookDelivery,
    from: &WebhookDelivery,
) -> Result<(), Failure> {
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), tenant, ring).await?;
    match change.rows().save_webhook_delivery(delivery, from).await {
        Err(StoreError::Changed(_)) => return Ok(()),
        saved => saved?,
    }
    let event = Event::new(EventKind::WebhookQuarantined)
        .on("webhook_delivery", delivery.id)
        .with("of", Detail::Id(delivery.owner.to_string()))
        .with("attempts", Detail::Count(delivery.attempts.into()))
        .outcome(Outcome::SeriousFailure);
    change.commit(event).await
}

/// What events of this job say of the request that they have none of.
pub(super) fn job(instance: &Instance, route: &'static str) -> Result<RequestInfo, Failure> {
    let id = RequestId::make(instance.now(), instance.random())?;
    Ok(RequestInfo { id, address: None, user_agent: None, key: None, route, method: "JOB" })
}
