//! Rows of what the service does besides: webhooks, reports, backups.

use async_trait::async_trait;
use chancery_domain::backups::{Backup, BackupRows, BackupWrites};
use chancery_domain::csp_reports::{CspReport, CspReportRows, CspReportWrites};
use chancery_domain::idempotency::{IdempotencyRows, IdempotencyWrites, Remembered};
use chancery_domain::ids::{
    WebhookDeliveryId, WebhookDeviceId, WebhookSecretId, WebhookSourceId, WebhookSubscriptionId,
};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;
use chancery_domain::webhooks::{
    Backlog, DeliveryFilter, Direction, DueSecrets, Seen, Sighting, WebhookDelivery, WebhookDevice, WebhookOwner,
    WebhookRows, WebhookSecret, WebhookSource, WebhookSubscription, WebhookWrites,
};

use super::FaultyTx;

hand_on!(WebhookRows {
    fn webhook_sources() -> Vec<WebhookSource>;
    fn webhook_source(id: WebhookSourceId) -> Option<WebhookSource>;
    fn webhook_subscriptions() -> Vec<WebhookSubscription>;
    fn webhook_subscription(id: WebhookSubscriptionId) -> Option<WebhookSubscription>;
    fn webhook_secrets(owner: WebhookOwner) -> Vec<WebhookSecret>;
    fn due_webhook_secrets(due: &DueSecrets) -> Vec<WebhookSecret>;
    fn webhook_devices(source: WebhookSourceId, after: Option<WebhookDeviceId>, limit: u32) -> Vec<WebhookDevice>;
    fn webhook_device_by_key(source: WebhookSourceId, key_id: &[u8]) -> Option<WebhookDevice>;
    fn enrolled_webhook_devices(source: WebhookSourceId) -> u64;
    fn webhook_deliveries(filter: &DeliveryFilter) -> Vec<WebhookDelivery>;
    fn webhook_delivery(id: WebhookDeliveryId) -> Option<WebhookDelivery>;
    fn due_webhook_deliveries(now: Timestamp, limit: u32) -> Vec<WebhookDelivery>;
    fn webhook_parts(id: WebhookDeliveryId) -> Vec<Vec<u8>>;
    fn waiting_webhook_deliveries(direction: Direction) -> u64;
    fn webhook_taken_since(owner: WebhookOwner, since: Timestamp) -> bool;
    fn webhook_backlog() -> Vec<Backlog>;
});
hand_on!(WebhookWrites {
    fn put_webhook_source(source: &WebhookSource) -> ();
    fn delete_webhook_source(id: WebhookSourceId) -> ();
    fn put_webhook_subscription(subscription: &WebhookSubscription) -> ();
    fn move_webhook_subscription(id: WebhookSubscriptionId, from: u64, to: u64) -> ();
    fn delete_webhook_subscription(id: WebhookSubscriptionId) -> ();
    fn put_webhook_secret(secret: &WebhookSecret) -> ();
    fn stall_webhooks(owner: WebhookOwner, since: Option<Timestamp>) -> ();
    fn count_webhook_device(id: WebhookSecretId, counter: u32) -> ();
    fn insert_webhook_device(device: &WebhookDevice) -> ();
    fn use_webhook_device(id: WebhookDeviceId, counter: u32, now: Timestamp) -> ();
    fn revoke_webhook_device(source: WebhookSourceId, id: WebhookDeviceId, now: Timestamp) -> ();
    fn see_webhook(source: WebhookSourceId, sighting: &Sighting, now: Timestamp) -> Seen;
    fn bound_webhook_sightings(most: u64) -> u64;
    fn forget_webhooks(now: Timestamp, delivered: Timestamp) -> u64;
    fn insert_webhook_delivery(delivery: &WebhookDelivery) -> ();
    fn delete_webhook_delivery(id: WebhookDeliveryId) -> ();
    fn insert_webhook_part(id: WebhookDeliveryId, at: u32, sealed: &[u8]) -> ();
    fn save_webhook_delivery(delivery: &WebhookDelivery, from: &WebhookDelivery) -> ();
});
hand_on!(CspReportRows { fn csp_reports() -> Vec<CspReport>; });
hand_on!(CspReportWrites {
    fn add_csp_report(report: &CspReport, most: u32) -> ();
    fn forget_csp_reports(before: Timestamp) -> ();
});
hand_on!(BackupRows { fn newest_backup() -> Option<Backup>; });
hand_on!(BackupWrites { fn insert_backup(backup: &Backup) -> (); });
hand_on!(IdempotencyRows { fn remembered(key: &[u8; 32]) -> Option<Remembered>; });
hand_on!(IdempotencyWrites {
    fn remember(entry: &Remembered) -> ();
    fn forget_remembered_before(moment: Timestamp) -> ();
});
