//! Our own events to others: who wants which, and what is sent of them, signed as Standard Webhooks has it.

use chancery_crypto::{Phi, Secret};

use super::{
    DeliveryState, Direction, KeyForm, Layout, MAX_WAITING, Material, Outgoing, Provider, Rules, Signer,
    WebhookDelivery, WebhookError, WebhookOwner, WebhookSecret, held, parts, payload::Payload, rotate::draw,
    sign::standard,
};
use crate::{
    Instance, TenantId,
    access::{Call, Permission, RequestInfo},
    audit::{Change, Detail, Event, EventKind, LoggedEvent, follow, receipt::note, stamp::Actor},
    faults::Faults,
    ids::{WebhookDeliveryId, WebhookSubscriptionId},
    instance::Failure,
    keyring::Keyring,
    lockdown::refuse_suspects,
    store::{StoreError, Tx},
    text::{check_name, is_url},
    time::Timestamp,
};

/// The most subscriptions of a tenant.
pub const MAX_SUBSCRIPTIONS: usize = 100;
/// The most kinds of events that one names.
const MAX_KINDS: usize = 100;
/// How many events are taken up at a time.
const BATCH: u32 = 50;

/// Somebody who wants to be told of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSubscription {
    /// Which.
    pub id: WebhookSubscriptionId,
    /// What it is called: 1 to 63 characters.
    pub name: String,
    /// Where events are sent.
    pub url: String,
    /// Of which kinds, in order.
    pub kinds: Vec<String>,
    /// Whether they are.
    pub enabled: bool,
    /// Whether it gets a new secret by itself after half a year.
    pub auto_rotate: bool,
    /// Since when it takes none of them, as was told.
    pub stalled_at: Option<Timestamp>,
    /// The index of the event that is looked at next.
    pub position: u64,
    /// Since when.
    pub created_at: Timestamp,
    /// Since when it is as it is.
    pub changed_at: Timestamp,
}

/// What a subscription shall be, or what of it shall be another way. What is `None` stays.
#[derive(Debug, Default)]
pub struct SubscriptionChanges {
    /// What it is called.
    pub name: Option<String>,
    /// Where events are sent.
    pub url: Option<String>,
    /// Of which kinds.
    pub kinds: Option<Vec<String>>,
    /// Whether they are.
    pub enabled: Option<bool>,
    /// Whether it gets a new secret by itself.
    pub auto_rotate: Option<bool>,
}

impl WebhookSubscription {
    fn check(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        check_name("/name", &self.name, 63, &mut faults);
        if !is_url(&self.url) {
            faults.add("/url", "form", "use an address that begins with https:// or http://");
        }
        if self.kinds.is_empty() || self.kinds.len() > MAX_KINDS {
            faults.add("/kinds", "length", format!("name 1 to {MAX_KINDS} kinds of events"));
        }
        for (at, kind) in self.kinds.iter().enumerate() {
            // Telling of a webhook would be one to tell of.
            let ours = kind.parse::<EventKind>().is_ok() && !kind.starts_with("webhook.");
            if !ours && !is_own(kind) {
                faults.add(format!("/kinds/{at}"), "unknown", "use a kind of the catalogue, but webhooks', or app.*");
            }
        }
        faults.check()
    }

    fn changed(self, changes: SubscriptionChanges, now: Timestamp) -> Self {
        let mut kinds = changes.kinds.unwrap_or(self.kinds);
        kinds.sort();
        kinds.dedup();
        Self {
            name: changes.name.map_or(self.name, |name| name.trim().to_owned()),
            url: changes.url.unwrap_or(self.url),
            enabled: changes.enabled.unwrap_or(self.enabled),
            auto_rotate: changes.auto_rotate.unwrap_or(self.auto_rotate),
            kinds,
            changed_at: now,
            ..self
        }
    }
}

/// A kind of an application's own events, `app.visit.closed`.
fn is_own(kind: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    kind.strip_prefix("app.").is_some_and(|rest| !rest.is_empty() && rest.len() <= 60 && rest.bytes().all(plain))
}

/// Subscribes to events from now on. The secret is told once.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn subscribe(
    instance: &Instance,
    call: &Call,
    wanted: SubscriptionChanges,
) -> Result<(WebhookSubscription, Vec<WebhookSecret>, Secret<String>), WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let now = instance.now();
    let bare = WebhookSubscription {
        id: WebhookSubscriptionId::make(now, instance.random())?,
        name: String::new(),
        url: String::new(),
        kinds: Vec::new(),
        enabled: true,
        auto_rotate: true,
        stalled_at: None,
        position: 0,
        created_at: now,
        changed_at: now,
    };
    let made = bare.changed(wanted, now);
    made.check()?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    refuse_suspects::<WebhookError>(instance, change.rows(), &[("/name", &made.name)]).await?;
    change.rows().hold_tenant().await?;
    if change.rows().webhook_subscriptions().await?.len() >= MAX_SUBSCRIPTIONS {
        let message = format!("a tenant has at most {MAX_SUBSCRIPTIONS}; delete one that is not needed");
        return Err(Faults::one("", "too_many", message).into());
    }
    let made = WebhookSubscription { position: change.rows().log_head().await?.size, ..made };
    let (secret, text) = draw(instance, change.keyring(), made.id)?;
    change.rows().put_webhook_secret(&secret).await?;
    change.rows().put_webhook_subscription(&made).await?;
    change.commit_new(told(EventKind::WebhookSubscribed, &made)).await?;
    Ok((made, vec![secret], text))
}

/// Changes a subscription.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn update_subscription(
    instance: &Instance,
    call: &Call,
    id: WebhookSubscriptionId,
    changes: SubscriptionChanges,
) -> Result<(WebhookSubscription, Vec<WebhookSecret>), WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    let before = change.rows().webhook_subscription(id).await?.ok_or(WebhookError::NotFound)?;
    let after = before.changed(changes, instance.now());
    after.check()?;
    refuse_suspects::<WebhookError>(instance, change.rows(), &[("/name", &after.name)]).await?;
    change.rows().put_webhook_subscription(&after).await?;
    let secrets = change.rows().webhook_secrets(WebhookOwner::Subscription(id)).await?;
    change.commit(told(EventKind::WebhookSubscriptionUpdated, &after)).await?;
    Ok((after, secrets))
}

/// Takes a subscription, its secrets and what waits for it away: its events stay in the log.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn unsubscribe(instance: &Instance, call: &Call, id: WebhookSubscriptionId) -> Result<(), WebhookError> {
    call.require(Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    match change.rows().delete_webhook_subscription(id).await {
        Err(StoreError::Changed(_)) => return Err(WebhookError::NotFound),
        deleted => deleted?,
    }
    change.commit(Event::new(EventKind::WebhookUnsubscribed).on("webhook_subscription", id)).await?;
    instance.webhook_secrets.forget(call.tenant(), WebhookOwner::Subscription(id));
    Ok(())
}

/// Whoever it is for wants no more. It stays, disabled, until somebody enables it again; one that was changed since `read` is another.
pub(super) async fn end(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    (id, read): (WebhookSubscriptionId, Timestamp),
) -> Result<(), Failure> {
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), tenant, ring).await?;
    change.rows().hold_tenant().await?;
    let Some(before) = change.rows().webhook_subscription(id).await? else { return Ok(()) };
    if !before.enabled || before.changed_at != read {
        return Ok(());
    }
    let ended = WebhookSubscription { enabled: false, changed_at: instance.now(), ..before };
    change.rows().put_webhook_subscription(&ended).await?;
    let event = Event::new(EventKind::WebhookSubscriptionUpdated)
        .on("webhook_subscription", id)
        .with("enabled", Detail::Code("false"))
        .with("reason", Detail::Code("http.410"));
    change.commit(event).await
}

/// The subscriptions of the caller's tenant, or one of them, with their secrets.
///
/// # Errors
///
/// [`WebhookError`].
pub async fn subscriptions(
    instance: &Instance,
    call: &Call,
    one: Option<WebhookSubscriptionId>,
) -> Result<Vec<(WebhookSubscription, Vec<WebhookSecret>)>, WebhookError> {
    call.require(Permission::SettingsRead)?;
    let mut rows = instance.store().view(call.tenant()).await?;
    let listed = match one {
        Some(id) => vec![rows.webhook_subscription(id).await?.ok_or(WebhookError::NotFound)?],
        None => rows.webhook_subscriptions().await?,
    };
    let mut found = Vec::new();
    for subscription in listed {
        let secrets = rows.webhook_secrets(WebhookOwner::Subscription(subscription.id)).await?;
        found.push((subscription, secrets));
    }
    drop(rows);
    let event = Event::new(EventKind::WebhookRead);
    let event = if let Some(id) = one { event.on("webhook_subscription", id) } else { event };
    note(instance, call, call.tenant(), event).await?;
    Ok(found)
}

fn told(kind: EventKind, subscription: &WebhookSubscription) -> Event {
    Event::new(kind)
        .on("webhook_subscription", subscription.id)
        .with("kinds", Detail::Names(subscription.kinds.clone()))
        .with("enabled", Detail::Code(if subscription.enabled { "true" } else { "false" }))
        .with("auto_rotate", Detail::Code(if subscription.auto_rotate { "true" } else { "false" }))
        .personal("name", subscription.name.clone())
        .personal("url", subscription.url.clone())
}

/// Puts events of a tenant's log that are wanted on their way; whether there are more. Each event is put there once for each
/// subscription: what is queued and how far the log was read are one commit.
///
/// # Errors
///
/// [`Failure`] if the store or a key does not answer.
pub async fn publish(instance: &Instance, tenant: TenantId) -> Result<bool, Failure> {
    let mut rows = instance.store().view(tenant).await?;
    let mut open = rows.webhook_subscriptions().await?;
    open.retain(|subscription| subscription.enabled);
    if open.is_empty() || rows.waiting_webhook_deliveries(Direction::Out).await? >= MAX_WAITING {
        return Ok(false);
    }
    let size = rows.log_head().await?.size;
    let (mut found, mut more) = (Vec::new(), false);
    for subscription in open {
        let WebhookSubscription { kinds, position, .. } = &subscription;
        let piece = follow::piece(instance, tenant, &mut *rows, kinds, *position, size, BATCH).await?;
        if piece.damaged && piece.events.is_empty() {
            // It stops who is there, and nobody else.
            tracing::error!(
                %tenant,
                subscription = %subscription.id,
                at = piece.next,
                "A subscription stands before an event of the log that is damaged or missing; see `chancery audit scrub`"
            );
        }
        if piece.next > subscription.position {
            more |= piece.next < size;
            found.push((subscription, piece));
        }
    }
    drop(rows);
    for (subscription, piece) in found {
        queue(instance, tenant, &subscription, &piece.events, piece.next).await?;
    }
    Ok(more)
}

async fn queue(
    instance: &Instance,
    tenant: TenantId,
    subscription: &WebhookSubscription,
    events: &[LoggedEvent],
    next: u64,
) -> Result<(), Failure> {
    let ring = instance.keyring(tenant).await?;
    let mut tx = instance.store().begin(tenant).await?;
    match tx.move_webhook_subscription(subscription.id, subscription.position, next).await {
        // Another node was quicker, or it was changed.
        Err(StoreError::Changed(_)) => return Ok(()),
        moved => moved?,
    }
    for LoggedEvent { event, .. } in events {
        // A kind is a code, and the leaf is canonical JSON: what is sent is what is in the log.
        let (kind, at, leaf) = (&event.kind, event.recorded_at, &event.core);
        let body = format!(r#"{{"type":"{kind}","timestamp":"{at}","data":{leaf}}}"#);
        send(instance, &mut *tx, &ring, subscription.id, (event.id.to_string(), body)).await?;
    }
    tx.commit().await?;
    if !events.is_empty() {
        instance.note_due_webhooks(tenant);
    }
    Ok(())
}

/// Queues a message in JSON to a subscription. `key` makes it the same to whoever gets it twice.
pub(super) async fn send(
    instance: &Instance,
    tx: &mut dyn Tx,
    ring: &Keyring,
    to: WebhookSubscriptionId,
    (key, body): (String, String),
) -> Result<(), Failure> {
    let now = instance.now();
    let id = WebhookDeliveryId::make(now, instance.random())?;
    let bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let sealed = parts::seal(instance, ring, id, &Payload { headers, body: Phi::new(body.into_bytes()) })?;
    let delivery = WebhookDelivery {
        id,
        owner: WebhookOwner::Subscription(to),
        state: DeliveryState::Queued,
        sealed: None,
        bytes,
        idempotency_key: key,
        attempts: 0,
        next_at: now,
        reason: None,
        received_at: now,
        changed_at: now,
    };
    parts::insert(tx, delivery, sealed).await
}

/// What goes to a subscription: its event, signed now with every secret that stands.
pub(super) async fn outgoing(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    subscription: &WebhookSubscription,
    payload: Payload,
    delivery: &WebhookDelivery,
) -> Result<Outgoing, Failure> {
    let owner = WebhookOwner::Subscription(subscription.id);
    let secrets = instance.store().view(tenant).await?.webhook_secrets(owner).await?;
    let rules = Rules { provider: Provider::Standard, layout: None, client_id: None, app_ids: Vec::new() };
    let held = held::of(instance, Actor::System(request), tenant, owner, rules, &secrets).await?;
    let signers: Vec<Signer<'_>> = held
        .secrets
        .iter()
        .filter_map(|secret| if let Material::Mac(key) = secret { Some(Signer::Mac(key.expose())) } else { None })
        .collect();
    if signers.is_empty() {
        return Err(Failure::Internal("a subscription without a secret"));
    }
    let (id, seconds) = (delivery.idempotency_key.as_str(), instance.now().as_seconds().to_string());
    let signature = standard(&signers, id, &seconds, payload.body.expose());
    let signature = signature.map_err(|_| Failure::Internal("a signer that does not sign"))?;
    let mut headers = payload.headers;
    headers.push(("webhook-id".to_owned(), id.to_owned()));
    headers.push(("webhook-timestamp".to_owned(), seconds));
    headers.push(("webhook-signature".to_owned(), signature));
    Ok(Outgoing { owner, url: subscription.url.clone(), headers, body: payload.body })
}

/// How texts of secrets of this layout become keys.
pub(super) fn key_form(rules: &Rules) -> KeyForm {
    let layout: Option<Layout> = rules.layout.clone().or_else(|| rules.provider.layout());
    layout.map(|layout| layout.key).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_of_the_catalogue_or_an_applications_own_and_never_webhooks_own() {
        let now = Timestamp::from_seconds(0);
        let of = |kind: &str| WebhookSubscription {
            id: WebhookSubscriptionId::from_bytes([1; 16]),
            name: "siem".to_owned(),
            url: "https://siem.example/in".to_owned(),
            kinds: vec![kind.to_owned()],
            enabled: true,
            auto_rotate: true,
            stalled_at: None,
            position: 0,
            created_at: now,
            changed_at: now,
        };
        for good in ["key.rotated", "certificate.issued", "app.visit.closed"] {
            of(good).check().unwrap();
        }
        for bad in ["webhook.received", "key.unheard_of", "app.", "app.Visit", ""] {
            assert!(of(bad).check().is_err(), "{bad}");
        }
    }
}
