//! The ports to what is kept of webhooks.

use async_trait::async_trait;

use super::{
    DeliveryFilter, Seen, Sighting, WebhookDelivery, WebhookOwner, WebhookSecret, WebhookSource, WebhookSubscription,
};
use crate::{
    ids::{WebhookDeliveryId, WebhookSecretId, WebhookSourceId, WebhookSubscriptionId},
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
    /// Secrets that end at or before `ended` and are still sealed, and those made before `made` of which nobody was told; `limit` of
    /// them.
    async fn due_webhook_secrets(
        &mut self,
        ended: Timestamp,
        made: Timestamp,
        limit: u32,
    ) -> Result<Vec<WebhookSecret>, StoreError>;
    /// Deliveries in the order in which they came, without their messages.
    async fn webhook_deliveries(&mut self, filter: &DeliveryFilter) -> Result<Vec<WebhookDelivery>, StoreError>;
    /// One of them, with its message.
    async fn webhook_delivery(&mut self, id: WebhookDeliveryId) -> Result<Option<WebhookDelivery>, StoreError>;
    /// Those whose next try is at or before `now`, the longest waiting first, `limit` of them, with their messages.
    async fn due_webhook_deliveries(&mut self, now: Timestamp, limit: u32) -> Result<Vec<WebhookDelivery>, StoreError>;
    /// How many wait, for a try or for somebody.
    async fn waiting_webhook_deliveries(&mut self) -> Result<u64, StoreError>;
}

/// Changes webhooks.
#[async_trait]
pub trait WebhookWrites {
    /// Adds a source, or replaces what it is.
    async fn put_webhook_source(&mut self, source: &WebhookSource) -> Result<(), StoreError>;
    /// Removes a source, its secrets and what is remembered of its messages; its deliveries stay.
    /// [`StoreError::Changed`]`("webhook_source")` if there is none.
    async fn delete_webhook_source(&mut self, id: WebhookSourceId) -> Result<(), StoreError>;
    /// Adds a subscription, or replaces what it is, but how far the log was read for it.
    async fn put_webhook_subscription(&mut self, subscription: &WebhookSubscription) -> Result<(), StoreError>;
    /// Notes how far the log was read for it. [`StoreError::Changed`]`("webhook_subscription")` if it was not at `from`.
    async fn move_webhook_subscription(
        &mut self,
        id: WebhookSubscriptionId,
        from: u64,
        to: u64,
    ) -> Result<(), StoreError>;
    /// Removes a subscription and its secrets; its deliveries stay.
    /// [`StoreError::Changed`]`("webhook_subscription")` if there is none.
    async fn delete_webhook_subscription(&mut self, id: WebhookSubscriptionId) -> Result<(), StoreError>;
    /// Adds a secret, or replaces what is known of it, but how far its device counted.
    async fn put_webhook_secret(&mut self, secret: &WebhookSecret) -> Result<(), StoreError>;
    /// Counts a device on. [`StoreError::Changed`]`("webhook_secret")` if it had counted as far.
    async fn count_webhook_device(&mut self, id: WebhookSecretId, counter: u32) -> Result<(), StoreError>;
    /// Notes that a message came, if it came for the first time since what was remembered of it is over.
    async fn see_webhook(
        &mut self,
        source: WebhookSourceId,
        sighting: &Sighting,
        now: Timestamp,
    ) -> Result<Seen, StoreError>;
    /// Forgets messages whose time is over at `now`, and deliveries that were delivered before `delivered`; how many.
    async fn forget_webhooks(&mut self, now: Timestamp, delivered: Timestamp) -> Result<u64, StoreError>;
    /// Adds a delivery.
    async fn insert_webhook_delivery(&mut self, delivery: &WebhookDelivery) -> Result<(), StoreError>;
    /// Says how a delivery stands, if it was tried `attempts` times and stood so before.
    /// [`StoreError::Changed`]`("webhook_delivery")` if not.
    async fn save_webhook_delivery(
        &mut self,
        delivery: &WebhookDelivery,
        from: &WebhookDelivery,
    ) -> Result<(), StoreError>;
}
