//! Looks at deliveries, lets one be tried again, or discards it.

use super::{DeliveryFilter, DeliveryState, WebhookDelivery, WebhookError};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    ids::WebhookDeliveryId,
    store::StoreError,
};

/// Deliveries of the caller's tenant, without their messages.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn list_deliveries(
    instance: &Instance,
    call: &Call,
    filter: &DeliveryFilter,
) -> Result<Vec<WebhookDelivery>, WebhookError> {
    call.require(Permission::SettingsRead)?;
    let found = instance.store().view(call.tenant()).await?.webhook_deliveries(filter).await?;
    note(instance, call, call.tenant(), Event::new(EventKind::WebhookRead)).await?;
    Ok(found)
}

/// Lets a delivery that was tried in vain be tried from the beginning, now.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn redrive(instance: &Instance, call: &Call, id: WebhookDeliveryId) -> Result<WebhookDelivery, WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let now = instance.now();
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let before = change.rows().webhook_delivery(id).await?.ok_or(WebhookError::NotFound)?;
    if before.state == DeliveryState::Delivered {
        return Err(WebhookError::State);
    }
    let again =
        WebhookDelivery { state: DeliveryState::Queued, attempts: 0, next_at: now, changed_at: now, ..before.clone() };
    match change.rows().save_webhook_delivery(&again, &before).await {
        Err(StoreError::Changed(_)) => return Err(WebhookError::State),
        saved => saved?,
    }
    let event = Event::new(EventKind::WebhookRedriven).on("webhook_delivery", id);
    change.commit(event.with("of", Detail::Id(again.owner.to_string()))).await?;
    instance.note_due_webhooks(call.tenant());
    Ok(again)
}

/// Discards a delivery that waits, and its message: it is handed to nobody any more.
///
/// # Errors
///
/// [`WebhookError`]; [`WebhookError::State`] of one that was delivered.
pub async fn discard(instance: &Instance, call: &Call, id: WebhookDeliveryId) -> Result<(), WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let before = change.rows().webhook_delivery(id).await?.ok_or(WebhookError::NotFound)?;
    if before.state == DeliveryState::Delivered {
        return Err(WebhookError::State);
    }
    match change.rows().delete_webhook_delivery(id).await {
        Err(StoreError::Changed(_)) => return Err(WebhookError::NotFound),
        deleted => deleted?,
    }
    let event = Event::new(EventKind::WebhookDiscarded).on("webhook_delivery", id);
    Ok(change.commit(event.with("of", Detail::Id(before.owner.to_string()))).await?)
}
