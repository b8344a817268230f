//! Sources of webhooks, what came of them, and what is on its way.

use chancery_domain::ids::{
    WebhookDeliveryId, WebhookDeviceId, WebhookSecretId, WebhookSourceId, WebhookSubscriptionId,
};
use chancery_domain::webhooks::{
    Backlog, DeliveryFilter, DeliveryState, DeviceEnvironment, Direction, DueSecrets, Provider, SecretKind, Seen,
    Sighting, Waiting, WebhookDelivery, WebhookDevice, WebhookOwner, WebhookSecret, WebhookSource, WebhookSubscription,
};

use super::{Backend, begin, changed, commit, taken, view};
use crate::samples::{NOW, OURS, THEIRS, bytes};

fn source(number: u8) -> WebhookSource {
    WebhookSource {
        id: WebhookSourceId::from_bytes(bytes(number.into())),
        name: format!("source {number}"),
        provider: Provider::Oura,
        layout: None,
        client_id: None,
        app_ids: Vec::new(),
        upstream: "http://127.0.0.1:8000/hooks/oura".to_owned(),
        enabled: false,
        stalled_at: None,
        created_at: NOW,
        changed_at: NOW,
    }
}

fn secret(number: u8, owner: WebhookOwner) -> WebhookSecret {
    WebhookSecret {
        id: WebhookSecretId::from_bytes(bytes(number.into())),
        owner,
        kind: SecretKind::Shared,
        sealed: Some(vec![number; 90]),
        code: [number; 32],
        counter: 0,
        created_at: NOW,
        ends_at: None,
        due_told_at: None,
        unshown: false,
    }
}

fn device(number: u8, of: u8) -> WebhookDevice {
    WebhookDevice {
        id: WebhookDeviceId::from_bytes(bytes(number.into())),
        source: source(of).id,
        key_id: [number; 32],
        public_key: [number; 65],
        environment: DeviceEnvironment::Production,
        counter: 0,
        digest: [number; 32],
        pepper_version: 1,
        enrolled_at: NOW,
        seen_at: None,
        revoked_at: None,
    }
}

fn subscription(number: u8) -> WebhookSubscription {
    WebhookSubscription {
        id: WebhookSubscriptionId::from_bytes(bytes(number.into())),
        name: "siem".to_owned(),
        url: "https://siem.example/in".to_owned(),
        kinds: vec!["key.rotated".to_owned(), "app.visit.closed".to_owned()],
        enabled: true,
        auto_rotate: true,
        stalled_at: None,
        position: 7,
        created_at: NOW,
        changed_at: NOW,
    }
}

fn delivery(number: u8) -> WebhookDelivery {
    WebhookDelivery {
        id: WebhookDeliveryId::from_bytes(bytes(number.into())),
        owner: WebhookOwner::Source(source(1).id),
        state: DeliveryState::Queued,
        sealed: Some(vec![number; 120]),
        bytes: 36,
        idempotency_key: format!("key-{number}"),
        attempts: 0,
        next_at: NOW,
        reason: None,
        received_at: NOW,
        changed_at: NOW,
    }
}

/// All of it, with what only some providers have.
pub async fn a_source_reads_back_and_is_replaced(store: &impl Backend) {
    let layout = Provider::Strava.layout();
    let full = WebhookSource {
        provider: Provider::Generic,
        layout,
        client_id: Some("client".to_owned()),
        app_ids: vec!["TEAM.app".to_owned()],
        ..source(2)
    };
    commit!(store, OURS, .put_webhook_source(&source(1)) .put_webhook_source(&full));
    assert_eq!(view(store, OURS).await.webhook_sources().await.unwrap(), [source(1), full.clone()]);
    let other = WebhookSource { name: "other".to_owned(), enabled: true, changed_at: NOW.plus_seconds(1), ..full };
    commit!(store, OURS, .put_webhook_source(&other));
    assert_eq!(view(store, OURS).await.webhook_source(other.id).await.unwrap(), Some(other));
}

/// With its secrets and what is remembered; its deliveries stay.
pub async fn a_source_goes_with_its_secrets(store: &impl Backend) {
    let (ours, others) = (WebhookOwner::Source(source(1).id), WebhookOwner::Source(source(2).id));
    commit!(store, OURS, .put_webhook_source(&source(1)) .put_webhook_secret(&secret(1, ours))
        .put_webhook_secret(&secret(2, others)) .insert_webhook_delivery(&delivery(1)));
    commit!(store, OURS, .delete_webhook_source(source(1).id));
    let mut rows = view(store, OURS).await;
    assert_eq!(rows.webhook_source(source(1).id).await.unwrap(), None);
    assert_eq!(rows.webhook_secrets(ours).await.unwrap(), []);
    assert_eq!(rows.webhook_secrets(others).await.unwrap().len(), 1);
    assert!(rows.webhook_delivery(delivery(1).id).await.unwrap().is_some());
    drop(rows);
    assert!(changed(begin(store, OURS).await.delete_webhook_source(source(1).id).await, "webhook_source"));
}

/// How far the log was read for it moves by compare-and-swap, and by nothing else.
pub async fn a_subscription_reads_back_moves_and_goes(store: &impl Backend) {
    let first = subscription(1);
    let owner = WebhookOwner::Subscription(first.id);
    commit!(store, OURS, .put_webhook_subscription(&first) .put_webhook_secret(&secret(1, owner))
        .move_webhook_subscription(first.id, 7, 9));
    assert!(changed(begin(store, OURS).await.move_webhook_subscription(first.id, 7, 9).await, "webhook_subscription"));
    let other = WebhookSubscription {
        enabled: false,
        auto_rotate: false,
        position: 0,
        changed_at: NOW.plus_seconds(1),
        ..first.clone()
    };
    commit!(store, OURS, .put_webhook_subscription(&other));
    let kept = WebhookSubscription { position: 9, ..other };
    assert_eq!(view(store, OURS).await.webhook_subscriptions().await.unwrap(), std::slice::from_ref(&kept));
    assert_eq!(view(store, THEIRS).await.webhook_subscription(kept.id).await.unwrap(), None);
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.delete_webhook_subscription(kept.id).await, "webhook_subscription"));
    drop(tx);
    let waits = WebhookDelivery { owner, ..delivery(1) };
    commit!(store, OURS, .insert_webhook_delivery(&waits) .insert_webhook_part(waits.id, 1, b"more")
        .insert_webhook_delivery(&delivery(2)));
    commit!(store, OURS, .delete_webhook_subscription(kept.id));
    let mut rows = view(store, OURS).await;
    assert_eq!(rows.webhook_delivery(waits.id).await.unwrap(), None);
    assert_eq!(rows.webhook_parts(waits.id).await.unwrap(), Vec::<Vec<u8>>::new());
    assert!(rows.webhook_delivery(delivery(2).id).await.unwrap().is_some(), "of a source");
    drop(rows);
    assert_eq!(view(store, OURS).await.webhook_subscription(kept.id).await.unwrap(), None);
    assert_eq!(view(store, OURS).await.webhook_secrets(owner).await.unwrap(), []);
}

/// Ended ones keep their code; a device only counts on.
pub async fn a_secret_reads_back_ends_and_counts(store: &impl Backend) {
    let owner = WebhookOwner::Source(source(1).id);
    let (first, second) = (secret(1, owner), WebhookSecret { kind: SecretKind::PublicKey, ..secret(2, owner) });
    commit!(store, OURS, .put_webhook_secret(&first) .put_webhook_secret(&second) .count_webhook_device(second.id, 7));
    assert!(changed(begin(store, OURS).await.count_webhook_device(second.id, 7).await, "webhook_secret"));
    let ended = WebhookSecret { sealed: None, ends_at: Some(NOW), due_told_at: Some(NOW), unshown: true, ..first };
    let counted = WebhookSecret { counter: 7, ..second };
    // What is known of it is replaced; how far it counted is not.
    commit!(store, OURS, .put_webhook_secret(&ended) .put_webhook_secret(&WebhookSecret { counter: 0, ..counted.clone() }));
    assert_eq!(view(store, OURS).await.webhook_secrets(owner).await.unwrap(), [ended, counted]);
}

/// By id and by key, each in its source; one counts on until it is revoked, and goes with its source.
pub async fn devices_read_back_count_on_and_end(store: &impl Backend) {
    let (of, mine, other) = (source(1).id, device(1, 1), device(2, 1));
    commit!(store, OURS, .put_webhook_source(&source(1)) .insert_webhook_device(&mine) .insert_webhook_device(&other)
        .insert_webhook_device(&WebhookDevice { key_id: [1; 32], ..device(3, 2) }));
    let same_key = WebhookDevice { key_id: [1; 32], ..device(4, 1) };
    assert!(taken(begin(store, OURS).await.insert_webhook_device(&same_key).await, "webhook_device"));
    let mut rows = view(store, OURS).await;
    assert_eq!(rows.webhook_devices(of, None, 9).await.unwrap(), [mine.clone(), other.clone()]);
    assert_eq!(rows.webhook_devices(of, None, 1).await.unwrap(), std::slice::from_ref(&mine));
    assert_eq!(rows.webhook_devices(of, Some(mine.id), 9).await.unwrap(), [other]);
    assert_eq!(rows.webhook_device_by_key(of, &[9; 32]).await.unwrap(), None);
    assert_eq!(rows.webhook_device_by_key(of, &[]).await.unwrap(), None);
    assert_eq!(rows.enrolled_webhook_devices(of).await.unwrap(), 2);
    drop(rows);
    let later = NOW.plus_seconds(5);
    commit!(store, OURS, .use_webhook_device(mine.id, 7, later));
    assert!(changed(begin(store, OURS).await.use_webhook_device(mine.id, 7, later).await, "webhook_device"));
    let used = WebhookDevice { counter: 7, seen_at: Some(later), ..mine };
    assert_eq!(view(store, OURS).await.webhook_device_by_key(of, &[1; 32]).await.unwrap(), Some(used.clone()));
    let elsewhere = begin(store, OURS).await.revoke_webhook_device(source(2).id, used.id, later).await;
    assert!(changed(elsewhere, "webhook_device"));
    commit!(store, OURS, .revoke_webhook_device(of, used.id, later));
    assert!(changed(begin(store, OURS).await.revoke_webhook_device(of, used.id, later).await, "webhook_device"));
    assert!(changed(begin(store, OURS).await.use_webhook_device(used.id, 8, later).await, "webhook_device"));
    let mut rows = view(store, OURS).await;
    assert_eq!(rows.enrolled_webhook_devices(of).await.unwrap(), 1);
    let revoked = WebhookDevice { revoked_at: Some(later), ..used };
    assert_eq!(rows.webhook_device_by_key(of, &[1; 32]).await.unwrap(), Some(revoked));
    drop(rows);
    commit!(store, OURS, .delete_webhook_source(of));
    let mut rows = view(store, OURS).await;
    assert_eq!(rows.webhook_devices(of, None, 9).await.unwrap(), []);
    assert_eq!(rows.enrolled_webhook_devices(source(2).id).await.unwrap(), 1);
}

/// Those that would be over first go; what has a moment is not counted, and stays.
pub async fn what_says_no_moment_is_bounded(store: &impl Backend) {
    let id = source(1).id;
    let plain = |number: u8| Sighting { identity: [number; 32], copy: None, until: NOW.plus_seconds(number.into()) };
    let dated = Sighting { identity: [9; 32], copy: Some([9; 32]), until: NOW.plus_seconds(1) };
    for sighting in [plain(1), plain(2), plain(3), dated] {
        commit!(store, OURS, .see_webhook(id, &sighting, NOW));
    }
    commit!(store, THEIRS, .see_webhook(id, &plain(1), NOW));
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.bound_webhook_sightings(3).await.unwrap(), 0);
    assert_eq!(tx.bound_webhook_sightings(2).await.unwrap(), 1);
    for (sighting, expected) in
        [(plain(1), Seen::First), (plain(2), Seen::Again), (plain(3), Seen::Again), (dated, Seen::Copy(0))]
    {
        assert_eq!(tx.see_webhook(id, &sighting, NOW).await.unwrap(), expected, "{sighting:?}");
    }
    drop(tx);
    assert_eq!(begin(store, THEIRS).await.see_webhook(id, &plain(1), NOW).await.unwrap(), Seen::Again);
}

/// Of this owner alone, and only what was delivered.
pub async fn what_was_taken_since_is_known(store: &impl Backend) {
    let owner = WebhookOwner::Source(source(1).id);
    let done = WebhookDelivery { state: DeliveryState::Delivered, sealed: None, ..delivery(1) };
    let waits = WebhookDelivery { changed_at: NOW.plus_seconds(9), ..delivery(2) };
    commit!(store, OURS, .insert_webhook_delivery(&done) .insert_webhook_delivery(&waits));
    let mut rows = view(store, OURS).await;
    assert!(rows.webhook_taken_since(owner, NOW).await.unwrap());
    assert!(!rows.webhook_taken_since(owner, NOW.plus_seconds(1)).await.unwrap());
    assert!(!rows.webhook_taken_since(WebhookOwner::Source(source(2).id), NOW).await.unwrap());
    drop(rows);
    assert!(!view(store, THEIRS).await.webhook_taken_since(owner, NOW).await.unwrap());
}

/// Those that are over and still sealed, those that are old and were not told of, and those of subscriptions that get new ones by
/// themselves.
pub async fn secrets_that_are_due_are_found(store: &impl Backend) {
    let owner = WebhookOwner::Source(source(1).id);
    let over = WebhookSecret { ends_at: Some(NOW), ..secret(1, owner) };
    let old = WebhookSecret { created_at: NOW.plus_seconds(-10), ..secret(2, owner) };
    let told = WebhookSecret { due_told_at: Some(NOW), ..WebhookSecret { id: secret(3, owner).id, ..old.clone() } };
    let gone = WebhookSecret { sealed: None, ..WebhookSecret { id: secret(4, owner).id, ..over.clone() } };
    let key = WebhookSecret { kind: SecretKind::PublicKey, id: secret(5, owner).id, ..old.clone() };
    commit!(store, OURS, .put_webhook_secret(&over) .put_webhook_secret(&old) .put_webhook_secret(&told)
        .put_webhook_secret(&gone) .put_webhook_secret(&key) .put_webhook_secret(&secret(6, owner)));
    let (by_itself, by_hand) = (subscription(1), WebhookSubscription { auto_rotate: false, ..subscription(2) });
    let ours = |number, one: &WebhookSubscription| {
        let owner = WebhookOwner::Subscription(one.id);
        WebhookSecret { owner, id: secret(number, owner).id, ..told.clone() }
    };
    let (rotated, kept) = (ours(7, &by_itself), ours(8, &by_hand));
    commit!(store, OURS, .put_webhook_subscription(&by_itself) .put_webhook_subscription(&by_hand)
        .put_webhook_secret(&rotated) .put_webhook_secret(&kept));
    let never = NOW.plus_seconds(-99);
    let due = DueSecrets { ended: NOW, noticed: NOW.plus_seconds(-5), rotated: never, limit: 9 };
    let mut rows = view(store, OURS).await;
    assert_eq!(rows.due_webhook_secrets(&due).await.unwrap(), [over, old]);
    assert_eq!(rows.due_webhook_secrets(&DueSecrets { limit: 1, ..due }).await.unwrap().len(), 1);
    let none = DueSecrets { ended: never, noticed: never, ..due };
    assert_eq!(rows.due_webhook_secrets(&none).await.unwrap(), []);
    let old_ones = DueSecrets { rotated: NOW.plus_seconds(-10), ..none };
    assert_eq!(rows.due_webhook_secrets(&old_ones).await.unwrap(), [rotated]);
}

/// Once, and taken back once; what it is may change meanwhile.
pub async fn a_stall_is_noted_once(store: &impl Backend) {
    let (one, other) = (source(1), subscription(1));
    commit!(store, OURS, .put_webhook_source(&one) .put_webhook_subscription(&other));
    for owner in [WebhookOwner::Source(one.id), WebhookOwner::Subscription(other.id)] {
        assert!(changed(begin(store, OURS).await.stall_webhooks(owner, None).await, owner.kind()));
        assert!(changed(begin(store, THEIRS).await.stall_webhooks(owner, Some(NOW)).await, owner.kind()));
        commit!(store, OURS, .stall_webhooks(owner, Some(NOW)));
        assert!(changed(begin(store, OURS).await.stall_webhooks(owner, Some(NOW)).await, owner.kind()));
    }
    commit!(store, OURS, .put_webhook_source(&one) .put_webhook_subscription(&other));
    let mut rows = view(store, OURS).await;
    assert_eq!(rows.webhook_source(one.id).await.unwrap().unwrap().stalled_at, Some(NOW));
    assert_eq!(rows.webhook_subscription(other.id).await.unwrap().unwrap().stalled_at, Some(NOW));
    drop(rows);
    commit!(store, OURS, .stall_webhooks(WebhookOwner::Source(one.id), None));
    assert_eq!(view(store, OURS).await.webhook_source(one.id).await.unwrap(), Some(one));
}

/// By direction and for what, with the moment of the first.
pub async fn what_waits_is_counted(store: &impl Backend) {
    let out = WebhookOwner::Subscription(subscription(1).id);
    let second = WebhookDelivery { received_at: NOW.plus_seconds(-5), ..delivery(2) };
    let given_up = WebhookDelivery { owner: out, state: DeliveryState::Quarantined, ..delivery(3) };
    let done = WebhookDelivery { state: DeliveryState::Delivered, sealed: None, ..delivery(4) };
    commit!(store, OURS, .put_webhook_subscription(&subscription(1)) .insert_webhook_delivery(&delivery(1))
        .insert_webhook_delivery(&second) .insert_webhook_delivery(&given_up) .insert_webhook_delivery(&done)
        .stall_webhooks(out, Some(NOW.plus_seconds(9))));
    let waits =
        |direction, waiting, count, seconds| Backlog { direction, waiting, count, oldest: NOW.plus_seconds(seconds) };
    assert_eq!(
        view(store, OURS).await.webhook_backlog().await.unwrap(),
        [
            waits(Direction::In, Waiting::Queued, 2, -5),
            waits(Direction::Out, Waiting::Quarantined, 1, 0),
            waits(Direction::Out, Waiting::Stalled, 1, 9),
        ]
    );
    assert_eq!(view(store, THEIRS).await.webhook_backlog().await.unwrap(), []);
}

/// Once; a copy is told from a message that was sent anew, until its time is over.
pub async fn a_message_is_seen_once(store: &impl Backend) {
    let until = NOW.plus_seconds(660);
    let first = Sighting { identity: [1; 32], copy: Some([2; 32]), until };
    let anew = Sighting { copy: Some([3; 32]), ..first };
    let plain = Sighting { identity: [4; 32], copy: None, until };
    let id = source(1).id;
    for (sighting, at, expected) in [
        (first, NOW, Seen::First),
        (first, NOW, Seen::Copy(0)),
        (first, NOW.plus_seconds(599), Seen::Copy(1)),
        (anew, NOW, Seen::Again),
        (plain, NOW, Seen::First),
        (plain, NOW, Seen::Again),
        (Sighting { until: until.plus_seconds(660), ..first }, until, Seen::First),
    ] {
        let mut tx = begin(store, OURS).await;
        assert_eq!(tx.see_webhook(id, &sighting, at).await.unwrap(), expected, "{sighting:?} {at}");
        tx.commit().await.unwrap();
    }
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.see_webhook(source(2).id, &first, NOW).await.unwrap(), Seen::First, "of another source");
    assert_eq!(tx.forget_webhooks(until, NOW).await.unwrap(), 2, "the plain one and the other source's");
}

/// Two at once: one is first.
pub async fn of_copies_at_once_one_is_first(store: &impl Backend) {
    let sighting = Sighting { identity: [1; 32], copy: None, until: NOW.plus_seconds(660) };
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut tx = begin(&store, OURS).await;
                let seen = tx.see_webhook(source(1).id, &sighting, NOW).await.unwrap();
                tx.commit().await.unwrap();
                seen
            })
        })
        .collect();
    let mut firsts = 0;
    for task in tasks {
        firsts += u32::from(task.await.unwrap() == Seen::First);
    }
    assert_eq!(firsts, 1);
}

/// In order, with their messages where those are asked for.
pub async fn deliveries_read_back_and_are_found_when_due(store: &impl Backend) {
    let later = WebhookDelivery { next_at: NOW.plus_seconds(5), ..delivery(2) };
    let quarantined = WebhookDelivery {
        state: DeliveryState::Quarantined,
        reason: Some("http.410".to_owned()),
        attempts: 3,
        ..delivery(3)
    };
    commit!(store, OURS, .insert_webhook_delivery(&later) .insert_webhook_delivery(&quarantined)
        .insert_webhook_delivery(&delivery(1)));
    let mut rows = view(store, OURS).await;
    assert_eq!(rows.webhook_delivery(quarantined.id).await.unwrap(), Some(quarantined.clone()));
    assert_eq!(rows.due_webhook_deliveries(NOW, 9).await.unwrap(), [delivery(1)]);
    assert_eq!(rows.due_webhook_deliveries(NOW.plus_seconds(5), 9).await.unwrap(), [delivery(1), later]);
    assert_eq!(rows.waiting_webhook_deliveries(Direction::In).await.unwrap(), 3);
    assert_eq!(rows.waiting_webhook_deliveries(Direction::Out).await.unwrap(), 0);
    let bare = |delivery: WebhookDelivery| WebhookDelivery { sealed: None, ..delivery };
    let of = |state| DeliveryFilter { state, limit: 9, ..DeliveryFilter::default() };
    assert_eq!(
        rows.webhook_deliveries(&of(Some(DeliveryState::Quarantined))).await.unwrap(),
        [bare(quarantined.clone())]
    );
    let after = DeliveryFilter { after: Some(delivery(2).id), ..of(None) };
    assert_eq!(rows.webhook_deliveries(&after).await.unwrap(), [bare(quarantined)]);
    let other = DeliveryFilter { owner: Some(WebhookOwner::Source(source(9).id)), ..of(None) };
    assert_eq!(rows.webhook_deliveries(&other).await.unwrap(), []);
}

/// Only from how it stood; delivered ones lose their message and are forgotten after their time.
pub async fn a_delivery_moves_by_compare_and_swap(store: &impl Backend) {
    let first = delivery(1);
    commit!(store, OURS, .insert_webhook_delivery(&first));
    let tried = WebhookDelivery { attempts: 1, next_at: NOW.plus_seconds(60), ..first.clone() };
    commit!(store, OURS, .save_webhook_delivery(&tried, &first));
    assert!(changed(begin(store, OURS).await.save_webhook_delivery(&tried, &first).await, "webhook_delivery"));
    assert_eq!(view(store, OURS).await.webhook_delivery(first.id).await.unwrap(), Some(tried.clone()));
    let delivered = WebhookDelivery { state: DeliveryState::Delivered, sealed: None, ..tried.clone() };
    commit!(store, OURS, .save_webhook_delivery(&delivered, &tried));
    assert_eq!(view(store, OURS).await.webhook_delivery(first.id).await.unwrap(), Some(delivered));
    assert_eq!(view(store, OURS).await.waiting_webhook_deliveries(Direction::In).await.unwrap(), 0);
    commit!(store, OURS, .forget_webhooks(NOW, NOW.plus_seconds(-1)));
    assert!(view(store, OURS).await.webhook_delivery(first.id).await.unwrap().is_some());
    commit!(store, OURS, .forget_webhooks(NOW, NOW));
    assert_eq!(view(store, OURS).await.webhook_delivery(first.id).await.unwrap(), None);
}

/// The rows of one tenant are out of sight and out of reach for another.
pub async fn another_tenant_neither_sees_nor_changes_them(store: &impl Backend) {
    let owner = WebhookOwner::Source(source(1).id);
    commit!(store, OURS, .put_webhook_source(&source(1)) .put_webhook_secret(&secret(1, owner))
        .insert_webhook_delivery(&delivery(1)));
    let mut rows = view(store, THEIRS).await;
    assert_eq!(rows.webhook_sources().await.unwrap(), []);
    assert_eq!(rows.webhook_source(source(1).id).await.unwrap(), None);
    assert_eq!(rows.webhook_secrets(owner).await.unwrap(), []);
    assert_eq!(rows.webhook_delivery(delivery(1).id).await.unwrap(), None);
    assert_eq!(rows.due_webhook_deliveries(NOW, 9).await.unwrap(), []);
    drop(rows);
    commit!(store, OURS, .insert_webhook_device(&device(1, 1)));
    let mut rows = view(store, THEIRS).await;
    assert_eq!(rows.webhook_devices(source(1).id, None, 9).await.unwrap(), []);
    assert_eq!(rows.webhook_device_by_key(source(1).id, &[1; 32]).await.unwrap(), None);
    assert_eq!(rows.enrolled_webhook_devices(source(1).id).await.unwrap(), 0);
    drop(rows);
    assert!(changed(begin(store, THEIRS).await.use_webhook_device(device(1, 1).id, 1, NOW).await, "webhook_device"));
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.revoke_webhook_device(source(1).id, device(1, 1).id, NOW).await, "webhook_device"));
    drop(tx);
    let tried = WebhookDelivery { attempts: 1, ..delivery(1) };
    assert!(changed(begin(store, THEIRS).await.delete_webhook_source(source(1).id).await, "webhook_source"));
    assert!(changed(begin(store, THEIRS).await.count_webhook_device(secret(1, owner).id, 1).await, "webhook_secret"));
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.save_webhook_delivery(&tried, &delivery(1)).await, "webhook_delivery"));
    drop(tx);
    commit!(store, THEIRS, .forget_webhooks(NOW.plus_seconds(9_999), NOW.plus_seconds(9_999)));
    assert_eq!(view(store, OURS).await.webhook_delivery(delivery(1).id).await.unwrap(), Some(delivery(1)));
}

/// Their values move to a newer key as others do.
pub async fn their_sealed_values_are_counted_and_swapped(store: &impl Backend) {
    use chancery_crypto::Handle;
    use chancery_domain::census::OwnColumn;
    let sealed = |handle: u8| [&[0xF9, 0x11, 1, 1][..], &[handle; 8], &[0; 72]].concat();
    let owner = WebhookOwner::Source(source(1).id);
    let kept = WebhookSecret { sealed: Some(sealed(9)), ..secret(1, owner) };
    let ended = WebhookSecret { sealed: None, ..secret(2, owner) };
    let waiting = WebhookDelivery { sealed: Some(sealed(9)), ..delivery(1) };
    commit!(store, OURS, .put_webhook_secret(&kept) .put_webhook_secret(&ended) .insert_webhook_delivery(&waiting)
        .insert_webhook_part(waiting.id, 1, &sealed(9)));
    assert_eq!(view(store, OURS).await.own_sealed().await.unwrap(), [(Handle([9; 8]), 3)]);
    let found = view(store, OURS).await.own_under(Handle([9; 8]), None, 9).await.unwrap();
    let columns: Vec<OwnColumn> = found.iter().map(|value| value.column).collect();
    assert_eq!(columns, [OwnColumn::WebhookPart, OwnColumn::WebhookPayload, OwnColumn::WebhookSecret]);
    assert_eq!(found[0].row, format!("{}/01", waiting.id));
    let mut tx = begin(store, OURS).await;
    for value in &found {
        assert!(tx.swap_own(value, &sealed(7)).await.unwrap());
    }
    tx.commit().await.unwrap();
    assert_eq!(view(store, OURS).await.own_sealed().await.unwrap(), [(Handle([7; 8]), 3)]);
}

/// In order, for this tenant, until its delivery was taken.
pub async fn parts_read_back_in_order_and_go_with_the_message(store: &impl Backend) {
    let long = WebhookDelivery { bytes: 2_500_000, ..delivery(1) };
    commit!(store, OURS, .insert_webhook_delivery(&long) .insert_webhook_part(long.id, 10, b"c")
        .insert_webhook_part(long.id, 2, b"b") .insert_webhook_part(long.id, 1, b"a")
        .insert_webhook_delivery(&delivery(2)) .insert_webhook_part(delivery(2).id, 1, b"other"));
    let mut rows = view(store, OURS).await;
    assert_eq!(rows.webhook_parts(long.id).await.unwrap(), [b"a", b"b", b"c"]);
    assert_eq!(
        rows.waiting_webhook_deliveries(Direction::In).await.unwrap(),
        4,
        "two more for its two whole megabytes"
    );
    drop(rows);
    assert_eq!(view(store, THEIRS).await.webhook_parts(long.id).await.unwrap(), Vec::<Vec<u8>>::new());
    let tried = WebhookDelivery { attempts: 1, ..long.clone() };
    commit!(store, OURS, .save_webhook_delivery(&tried, &long));
    assert_eq!(view(store, OURS).await.webhook_parts(long.id).await.unwrap().len(), 3);
    let delivered = WebhookDelivery { state: DeliveryState::Delivered, sealed: None, ..tried.clone() };
    commit!(store, OURS, .save_webhook_delivery(&delivered, &tried));
    let mut rows = view(store, OURS).await;
    assert_eq!(rows.webhook_parts(long.id).await.unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(rows.webhook_parts(delivery(2).id).await.unwrap(), [b"other"]);
    drop(rows);
    let other = delivery(2).id;
    assert!(changed(begin(store, THEIRS).await.delete_webhook_delivery(other).await, "webhook_delivery"));
    commit!(store, OURS, .delete_webhook_delivery(other));
    assert!(changed(begin(store, OURS).await.delete_webhook_delivery(other).await, "webhook_delivery"));
    let mut rows = view(store, OURS).await;
    assert_eq!(rows.webhook_delivery(other).await.unwrap(), None);
    assert_eq!(rows.webhook_parts(other).await.unwrap(), Vec::<Vec<u8>>::new());
}
