//! The ports to what is kept of webhooks.

use async_trait::async_trait;

use super::{
    Backlog, DeliveryFilter, Direction, DueSecrets, Seen, Sighting, WebhookDelivery, WebhookDevice, WebhookOwner,
    WebhookSecret, WebhookSource, WebhookSubscription,
};
use crate::{
    ids::{WebhookDeliveryId, WebhookDeviceId, WebhookSecretId, WebhookSourceId, WebhookSubscriptionId},
    store::StoreError,
    time::Timestamp,
};

/// Reads webhooks.
#[async_trait]
pub trait WebhookRows {
    /// All sources of the tenant, ordered by id.
    async fn webhook_sources(&mut self) -> Result<Vec<WebhookSource>, StoreError>;
    /// One of them.
    async fn webhook_source(&mut self, id: WebhookSourceId) -> Result<Option<WebhookSource>, StoreError>;
    /// All subscriptions of the tenant, ordered by id.
    async fn webhook_subscriptions(&mut self) -> Result<Vec<WebhookSubscription>, StoreError>;
    /// One of them.
    async fn webhook_subscription(
        &mut self,
        id: WebhookSubscriptionId,
    ) -> Result<Option<WebhookSubscription>, StoreError>;
    /// The secrets of a source or a subscription, ended ones too, ordered by id.
    async fn webhook_secrets(&mut self, owner: WebhookOwner) -> Result<Vec<WebhookSecret>, StoreError>;
    /// Secrets that something is to be done with, ordered by id.
    async fn due_webhook_secrets(&mut self, due: &DueSecrets) -> Result<Vec<WebhookSecret>, StoreError>;
    /// Devices of a source, revoked ones too, ordered by id: `limit` of them after one.
    async fn webhook_devices(
        &mut self,
        source: WebhookSourceId,
        after: Option<WebhookDeviceId>,
        limit: u32,
    ) -> Result<Vec<WebhookDevice>, StoreError>;
    /// The device of a source that calls its key so, be it revoked.
    async fn webhook_device_by_key(
        &mut self,
        source: WebhookSourceId,
        key_id: &[u8],
    ) -> Result<Option<WebhookDevice>, StoreError>;
    /// How many devices of a source are not revoked.
    async fn enrolled_webhook_devices(&mut self, source: WebhookSourceId) -> Result<u64, StoreError>;
    /// Deliveries in the order in which they came, without their messages.
    async fn webhook_deliveries(&mut self, filter: &DeliveryFilter) -> Result<Vec<WebhookDelivery>, StoreError>;
    /// One of them, with its message.
    async fn webhook_delivery(&mut self, id: WebhookDeliveryId) -> Result<Option<WebhookDelivery>, StoreError>;
    /// Those whose next try is at or before `now`, the longest waiting first, `limit` of them, with their messages.
    async fn due_webhook_deliveries(&mut self, now: Timestamp, limit: u32) -> Result<Vec<WebhookDelivery>, StoreError>;
    /// What of a delivery's message does not fit into one value, in order.
    async fn webhook_parts(&mut self, id: WebhookDeliveryId) -> Result<Vec<Vec<u8>>, StoreError>;
    /// How many wait that go this way, for a try or for somebody; one counts once more for each whole megabyte.
    async fn waiting_webhook_deliveries(&mut self, direction: Direction) -> Result<u64, StoreError>;
    /// Whether a webhook of this owner was delivered at or after `since`.
    async fn webhook_taken_since(&mut self, owner: WebhookOwner, since: Timestamp) -> Result<bool, StoreError>;
    /// What waits, by direction and for what, both in the order of their codes; nothing of what does not.
    async fn webhook_backlog(&mut self) -> Result<Vec<Backlog>, StoreError>;
}

/// Changes webhooks.
#[async_trait]
pub trait WebhookWrites {
    /// Adds a source, or replaces what it is, but whether it is known to stall.
    async fn put_webhook_source(&mut self, source: &WebhookSource) -> Result<(), StoreError>;
    /// Removes a source, its secrets, its devices and what is remembered of its messages; its deliveries stay.
    /// [`StoreError::Changed`]`("webhook_source")` if there is none.
    async fn delete_webhook_source(&mut self, id: WebhookSourceId) -> Result<(), StoreError>;
    /// Adds a subscription, or replaces what it is, but how far the log was read for it and whether it is known to stall.
    async fn put_webhook_subscription(&mut self, subscription: &WebhookSubscription) -> Result<(), StoreError>;
    /// Notes how far the log was read for it. [`StoreError::Changed`]`("webhook_subscription")` if it was not at `from`.
    async fn move_webhook_subscription(
        &mut self,
        id: WebhookSubscriptionId,
        from: u64,
        to: u64,
    ) -> Result<(), StoreError>;
    /// Removes a subscription, its secrets and what waits for it.
    /// [`StoreError::Changed`]`("webhook_subscription")` if there is none.
    async fn delete_webhook_subscription(&mut self, id: WebhookSubscriptionId) -> Result<(), StoreError>;
    /// Notes since when whoever webhooks are for takes none, or that they are taken again.
    /// [`StoreError::Changed`] if that was noted before, or there is no such owner.
    async fn stall_webhooks(&mut self, owner: WebhookOwner, since: Option<Timestamp>) -> Result<(), StoreError>;
    /// Adds a secret, or replaces what is known of it, but how far its device counted.
    async fn put_webhook_secret(&mut self, secret: &WebhookSecret) -> Result<(), StoreError>;
    /// Counts a device on. [`StoreError::Changed`]`("webhook_secret")` if it had counted as far.
    async fn count_webhook_device(&mut self, id: WebhookSecretId, counter: u32) -> Result<(), StoreError>;
    /// Adds a device: [`StoreError::Taken`]`("webhook_device")` if the source has or had one with this key.
    async fn insert_webhook_device(&mut self, device: &WebhookDevice) -> Result<(), StoreError>;
    /// Notes that a message of a device is taken, if it has counted on and was not revoked: [`StoreError::Changed`]`("webhook_device")`.
    async fn use_webhook_device(&mut self, id: WebhookDeviceId, counter: u32, now: Timestamp)
    -> Result<(), StoreError>;
    /// Revokes a device of a source: [`StoreError::Changed`]`("webhook_device")` if there is none, or it was revoked before.
    async fn revoke_webhook_device(
        &mut self,
        source: WebhookSourceId,
        id: WebhookDeviceId,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Notes that a message came, if it came for the first time since what was remembered of it is over.
    async fn see_webhook(
        &mut self,
        source: WebhookSourceId,
        sighting: &Sighting,
        now: Timestamp,
    ) -> Result<Seen, StoreError>;
    /// Forgets messages without a moment that would be over first, beyond so many in the tenant; how many.
    async fn bound_webhook_sightings(&mut self, most: u64) -> Result<u64, StoreError>;
    /// Forgets messages whose time is over at `now`, and deliveries that were delivered before `delivered`; how many.
    async fn forget_webhooks(&mut self, now: Timestamp, delivered: Timestamp) -> Result<u64, StoreError>;
    /// Adds a delivery.
    async fn insert_webhook_delivery(&mut self, delivery: &WebhookDelivery) -> Result<(), StoreError>;
    /// Removes a delivery and its message: [`StoreError::Changed`]`("webhook_delivery")` if there is none.
    async fn delete_webhook_delivery(&mut self, id: WebhookDeliveryId) -> Result<(), StoreError>;
    /// Adds the sealed part of a delivery's message that comes `at` this place, from 1 to 99.
    async fn insert_webhook_part(&mut self, id: WebhookDeliveryId, at: u32, sealed: &[u8]) -> Result<(), StoreError>;
    /// Says how a delivery stands, if it was tried `attempts` times and stood so before.
    /// [`StoreError::Changed`]`("webhook_delivery")` if not.
    async fn save_webhook_delivery(
        &mut self,
        delivery: &WebhookDelivery,
        from: &WebhookDelivery,
    ) -> Result<(), StoreError>;
}
