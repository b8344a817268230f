//! Tells when whoever webhooks are for takes none any more, and when they are taken again: once each, in the tenant's log. The service
//! goes on either way: what comes is kept, and an application that is away makes no node unfit.

use super::{WebhookDelivery, WebhookOwner};
use crate::{
    Instance, TenantId,
    access::RequestInfo,
    audit::{Change, Detail, Event, EventKind, Outcome, stamp::Actor},
    instance::Failure,
    store::StoreError,
    time::Timestamp,
};

/// How long a webhook may be tried in vain, and no other taken meanwhile, before somebody is told.
pub const STALLED_SECONDS: i64 = 15 * 60;

/// A try was in vain, and `known` is since when it was told that they are.
pub(super) async fn in_vain(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    delivery: &WebhookDelivery,
    known: Option<Timestamp>,
) -> Result<(), Failure> {
    let now = instance.now();
    if known.is_some() || now < delivery.received_at.plus_seconds(STALLED_SECONDS) {
        return Ok(());
    }
    // Whoever has taken another one since this one came is there, and stumbles over this one alone.
    if instance.store().view(tenant).await?.webhook_taken_since(delivery.owner, delivery.received_at).await? {
        return Ok(());
    }
    let reason = delivery.reason.clone().unwrap_or_default();
    let event =
        Event::new(EventKind::WebhookStalled).with("reason", Detail::Id(reason)).outcome(Outcome::SeriousFailure);
    tell(instance, request, tenant, delivery.owner, Some(now), event).await
}

/// A try was not in vain.
pub(super) async fn taken(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    owner: WebhookOwner,
    known: Option<Timestamp>,
) -> Result<(), Failure> {
    if known.is_none() {
        return Ok(());
    }
    tell(instance, request, tenant, owner, None, Event::new(EventKind::WebhookRecovered)).await
}

async fn tell(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    owner: WebhookOwner,
    since: Option<Timestamp>,
    event: Event,
) -> Result<(), Failure> {
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), tenant, ring).await?;
    match change.rows().stall_webhooks(owner, since).await {
        // Another node told it, or it is gone.
        Err(StoreError::Changed(_)) => return Ok(()),
        stalled => stalled?,
    }
    change.commit(event.on(owner.kind(), owner)).await
}
