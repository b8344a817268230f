//! What is done of webhooks when time has passed: what is over is forgotten, secrets end, are reminded of, and replaced.

use super::{
    DUE_SECONDS, KEPT_SECONDS, NOTICE_SECONDS, WebhookOwner, WebhookSecret, deliver::job, delivery::MAX_REMEMBERED,
    manage::of_secret, rotate,
};
use crate::{
    Instance, TenantId,
    access::RequestInfo,
    audit::{Change, Detail, EventKind, stamp::Actor},
    instance::Failure,
    time::Timestamp,
};

/// How many secrets are looked at in one round.
const SECRETS: u32 = 100;

/// Which secrets something is to be done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueSecrets {
    /// They end at or before this, and are still sealed.
    pub ended: Timestamp,
    /// They have no end, were made at or before this, and nobody was reminded.
    pub noticed: Timestamp,
    /// They have no end, were made at or before this, and are of a subscription that has its secret replaced by itself.
    pub rotated: Timestamp,
    /// At most so many.
    pub limit: u32,
}

impl DueSecrets {
    fn at(now: Timestamp) -> Self {
        Self {
            ended: now,
            noticed: now.plus_seconds(NOTICE_SECONDS - DUE_SECONDS),
            rotated: now.plus_seconds(-DUE_SECONDS),
            limit: SECRETS,
        }
    }
}

/// Forgets what is over in a tenant: messages that were seen, deliveries that were told of long enough, secrets whose grace has passed.
/// Reminds of secrets that are to be replaced soon, once, and replaces those of subscriptions when it is time.
///
/// # Errors
///
/// [`Failure`] if the store or the log does not answer.
pub async fn tidy(instance: &Instance, tenant: TenantId) -> Result<(), Failure> {
    let now = instance.now();
    let mut tx = instance.store().begin(tenant).await?;
    tx.forget_webhooks(now, now.plus_seconds(-KEPT_SECONDS)).await?;
    let early = tx.bound_webhook_sightings(MAX_REMEMBERED).await?;
    tx.commit().await?;
    if early > 0 {
        tracing::warn!(%tenant, count = early, "Webhooks without a moment come faster than they can be remembered for 30 days");
    }
    let due = instance.store().view(tenant).await?.due_webhook_secrets(&DueSecrets::at(now)).await?;
    if due.is_empty() {
        return Ok(());
    }
    let request = job(instance, "webhooks.tidy")?;
    for secret in due {
        let is_old = secret.ends_at.is_none() && secret.created_at <= now.plus_seconds(-DUE_SECONDS);
        match secret.owner {
            WebhookOwner::Subscription(id) if is_old && rotate::by_itself(instance, &request, tenant, id).await? => {}
            _ => note(instance, &request, tenant, secret, now).await?,
        }
    }
    Ok(())
}

/// Ends a secret whose grace has passed, or reminds of one.
async fn note(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    secret: WebhookSecret,
    now: Timestamp,
) -> Result<(), Failure> {
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), tenant, ring).await?;
    change.rows().hold_tenant().await?;
    // It may be gone with its source meanwhile, or another node was quicker.
    let stands = change.rows().webhook_secrets(secret.owner).await?.contains(&secret);
    if !stands {
        return Ok(());
    }
    let (secret, event) = if secret.ends_at.is_some() {
        let ended = WebhookSecret { sealed: None, ..secret };
        let event = of_secret(EventKind::WebhookSecretEnded, &ended);
        (ended, event)
    } else {
        let event = of_secret(EventKind::WebhookSecretDue, &secret);
        let until = secret.created_at.plus_seconds(DUE_SECONDS);
        (WebhookSecret { due_told_at: Some(now), ..secret }, event.with("due_at", Detail::At(until)))
    };
    change.rows().put_webhook_secret(&secret).await?;
    change.commit(event).await
}
