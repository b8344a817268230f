//! New secrets for subscriptions: by hand, and by themselves after half a year (SR-07). For three days both sign.
//!
//! A secret that was drawn by itself waits for somebody to be shown it, once. Whoever is subscribed learns of it by a message that the
//! old one and the new one sign: a program there may fetch it before the old one ends.

use std::sync::Arc;

use chancery_crypto::{Secret, random};
use data_encoding::BASE64;

use super::{
    DUE_SECONDS, SecretKind, WebhookError, WebhookOwner, WebhookSecret, held,
    manage::{of_secret, sealed},
    source::GRACE_SECONDS,
    subscription::send,
};
use crate::{
    Instance, TenantId,
    access::{Call, Permission, RequestInfo},
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    ids::WebhookSubscriptionId,
    instance::Failure,
    keyring::Keyring,
    time::Timestamp,
};

/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Gives a subscription a new secret, which is told once. For the grace events are signed with both.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn rotate_secret(
    instance: &Instance,
    call: &Call,
    id: WebhookSubscriptionId,
) -> Result<(WebhookSecret, Secret<String>), WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    change.rows().webhook_subscription(id).await?.ok_or(WebhookError::NotFound)?;
    let (secret, text) = draw(instance, change.keyring(), id)?;
    replace(instance, &mut change, &secret).await?;
    change.commit_new(added(&secret)).await?;
    instance.webhook_secrets.forget(call.tenant(), WebhookOwner::Subscription(id));
    Ok((secret, text))
}

/// Shows the secret that a subscription was given by itself, this once.
///
/// # Errors
///
/// [`WebhookError`]; [`WebhookError::State`] if there is none that nobody was shown.
pub async fn show_secret(
    instance: &Instance,
    call: &Call,
    id: WebhookSubscriptionId,
) -> Result<(WebhookSecret, Secret<String>), WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let owner = WebhookOwner::Subscription(id);
    let mut rows = instance.store().view(call.tenant()).await?;
    rows.webhook_subscription(id).await?.ok_or(WebhookError::NotFound)?;
    let new = unshown(rows.webhook_secrets(owner).await?, instance.now()).ok_or(WebhookError::State)?;
    drop(rows);
    let text = held::open(instance, Actor::Call(call), call.tenant(), owner, &[&new]).await?.pop();
    let text = text.ok_or(Failure::Internal("a secret that opens to nothing"))?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    // Of two who ask at once, one is shown it.
    if unshown(change.rows().webhook_secrets(owner).await?, instance.now()).is_none_or(|other| other.id != new.id) {
        return Err(WebhookError::State);
    }
    let shown = WebhookSecret { unshown: false, ..new };
    change.rows().put_webhook_secret(&shown).await?;
    change.commit(of_secret(EventKind::WebhookSecretShown, &shown)).await?;
    Ok((shown, text))
}

/// Gives a subscription a new secret if it is time and it is one that wants that; whether it does.
pub(super) async fn by_itself(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    id: WebhookSubscriptionId,
) -> Result<bool, Failure> {
    let (now, owner) = (instance.now(), WebhookOwner::Subscription(id));
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), tenant, ring).await?;
    change.rows().hold_tenant().await?;
    let subscription = change.rows().webhook_subscription(id).await?.filter(|found| found.auto_rotate);
    let Some(subscription) = subscription else { return Ok(false) };
    let is_old = |secret: &WebhookSecret| {
        secret.ends_at.is_none() && secret.sealed.is_some() && secret.created_at <= now.plus_seconds(-DUE_SECONDS)
    };
    // Another node may have been quicker.
    if !change.rows().webhook_secrets(owner).await?.iter().any(is_old) {
        return Ok(true);
    }
    let (secret, _) = draw(instance, change.keyring(), id)?;
    let secret = WebhookSecret { unshown: true, ..secret };
    replace(instance, &mut change, &secret).await?;
    if subscription.enabled {
        let until = now.plus_seconds(GRACE_SECONDS);
        let body = format!(
            r#"{{"type":"webhook.secret_rotated","timestamp":"{now}","data":{{"subscription":"{id}","secret":"{}","until":"{until}"}}}}"#,
            secret.id
        );
        let ring = Arc::clone(change.keyring());
        send(instance, change.rows(), &ring, id, (secret.id.to_string(), body)).await?;
    }
    change.commit(added(&secret)).await?;
    instance.webhook_secrets.forget(tenant, owner);
    instance.note_due_webhooks(tenant);
    Ok(true)
}

/// The secret that stands and that nobody was shown.
fn unshown(secrets: Vec<WebhookSecret>, now: Timestamp) -> Option<WebhookSecret> {
    secrets.into_iter().find(|secret| secret.unshown && secret.ends_at.is_none() && secret.stands(now))
}

fn added(secret: &WebhookSecret) -> Event {
    of_secret(EventKind::WebhookSecretAdded, secret).with("replaces", Detail::Code("true"))
}

/// Puts a new secret beside those that stand, which end after the grace.
async fn replace(instance: &Instance, change: &mut Change<'_>, new: &WebhookSecret) -> Result<(), Failure> {
    let ends_at = instance.now().plus_seconds(GRACE_SECONDS);
    for old in change.rows().webhook_secrets(new.owner).await? {
        if old.sealed.is_some() {
            let ends_at = old.ends_at.map_or(ends_at, |earlier| earlier.min(ends_at));
            change.rows().put_webhook_secret(&WebhookSecret { ends_at: Some(ends_at), ..old }).await?;
        }
    }
    Ok(change.rows().put_webhook_secret(new).await?)
}

/// A new secret, sealed, and its text.
pub(super) fn draw(
    instance: &Instance,
    ring: &Keyring,
    id: WebhookSubscriptionId,
) -> Result<(WebhookSecret, Secret<String>), Failure> {
    let bytes = Secret::new(random::array::<SECRET_BYTES>(instance.random())?);
    let text = Secret::new(format!("whsec_{}", BASE64.encode(bytes.expose())));
    let secret = sealed(instance, ring, WebhookOwner::Subscription(id), SecretKind::Shared, &text)?;
    Ok((secret, text))
}
