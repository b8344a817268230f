//! The queue, the log, its tiles and its signed heads.

use chancery_crypto::merkle;
use chancery_crypto::tiles::TileId;
use chancery_domain::TenantId;
use chancery_domain::audit::{EventFilter, EventKind, LogHead, LoggedEvent, QueuedEvent};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use super::{Backend, begin, changed, commit, taken, unavailable, view};
use crate::samples::{NOW, OURS, THEIRS, checkpoint, logged_event, queued_event};

const ORIGIN: &str = "chancery.example/log/1";
const EMPTY: LogHead = LogHead { size: 0, root: merkle::EMPTY };
const TILE: TileId = TileId { level: 0, index: 3 };

fn everything() -> EventFilter {
    EventFilter { from: Timestamp::from_micros(0), ..EventFilter::after(None, 100) }
}

async fn queued(store: &impl Backend, tenant: TenantId) -> Vec<QueuedEvent> {
    view(store, tenant).await.queued_events(10_000).await.unwrap()
}

/// Queues events number 0 to `count` and logs them under their numbers.
async fn with_logged(store: &impl Backend, count: u64) -> Vec<LoggedEvent> {
    let events: Vec<QueuedEvent> = (0..count).map(|n| queued_event(OURS, n)).collect();
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));
    logged
}

/// Without a log, and with a new one, the head is empty.
pub async fn a_log_starts_empty(store: &impl Backend) {
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.log_head().await.unwrap(), EMPTY);
    assert_eq!(tx.log_origin().await.unwrap(), None);
    tx.create_log(ORIGIN).await.unwrap();
    assert_eq!(tx.log_head().await.unwrap(), EMPTY);
    assert_eq!(tx.log_origin().await.unwrap().as_deref(), Some(ORIGIN));
    assert_eq!(tx.queued_events(10).await.unwrap(), []);
    assert_eq!(tx.checkpoint().await.unwrap(), None);
    assert_eq!(tx.tile(TILE).await.unwrap(), None);
}

/// A second log would be a fork.
pub async fn a_log_starts_once(store: &impl Backend) {
    commit!(store, OURS, .create_log(ORIGIN));
    assert!(taken(begin(store, OURS).await.create_log("another").await, "log"));
    assert_eq!(view(store, OURS).await.log_origin().await.unwrap().as_deref(), Some(ORIGIN));
}

/// Nothing of an event is lost on its way through the queue, nor the order, whichever door it came by.
pub async fn events_keep_their_order_in_the_queue(store: &impl Backend) {
    let events = [5, 1, 4, 2, 3].map(|n| queued_event(OURS, n));
    commit!(store, OURS, .queue_event(&events[0]) .queue_event(&events[1]));
    store.append_events(&events[2..4]).await.unwrap();
    commit!(store, OURS, .queue_event(&events[4]));
    assert_eq!(queued(store, OURS).await, events);
    assert_eq!(view(store, OURS).await.queued_events(2).await.unwrap(), events[..2]);
}

/// What is logged is no longer queued; the rest keeps its turn.
pub async fn logged_events_leave_the_queue(store: &impl Backend) {
    let events: Vec<QueuedEvent> = (0..30).map(|n| queued_event(OURS, n)).collect();
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> =
        (0..).zip(events[..25].to_vec()).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));
    assert_eq!(queued(store, OURS).await, events[25..]);
    assert_eq!(view(store, OURS).await.logged_events(&everything()).await.unwrap(), logged);
    assert_eq!(view(store, OURS).await.logged_event(events[7].id).await.unwrap(), Some(logged[7].clone()));
    assert_eq!(view(store, OURS).await.logged_event(events[27].id).await.unwrap(), None);
}

/// Every bound narrows, and all count together.
pub async fn logged_events_are_found(store: &impl Backend) {
    let mut events: Vec<QueuedEvent> = (0..6).map(|n| queued_event(OURS, n)).collect();
    events[2].actor = "usr_x".to_owned();
    events[3].actor = "usr_x".to_owned();
    events[3].kind = "login.failed".to_owned();
    events[3].outcome = 8;
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events.clone()).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));

    let mut view = view(store, OURS).await;
    for (filter, expected) in [
        (everything(), vec![0, 1, 2, 3, 4, 5]),
        (EventFilter { from: events[2].recorded_at, to: events[4].recorded_at, ..everything() }, vec![2, 3]),
        (EventFilter { after: Some(0), limit: 2, ..everything() }, vec![1, 2]),
        (EventFilter { after: Some(5), ..everything() }, vec![]),
        (EventFilter { actor: Some("usr_x".to_owned()), ..everything() }, vec![2, 3]),
        (
            EventFilter { actor: Some("usr_x".to_owned()), kind: Some("record.opened".to_owned()), ..everything() },
            vec![2],
        ),
        (EventFilter { outcome: Some(8), ..everything() }, vec![3]),
        (EventFilter { resource: events[5].resource.clone(), ..everything() }, vec![5]),
        (EventFilter { request: Some(events[4].request), ..everything() }, vec![4]),
        (EventFilter { actor: Some("' OR '1'='1".to_owned()), ..everything() }, vec![]),
    ] {
        let found = view.logged_events(&filter).await.unwrap();
        let found: Vec<u64> = found.into_iter().map(|logged| logged.index).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

/// What was recorded in another century is found by its place, its id and its time like everything else; so is its personal part.
pub async fn clocks_that_are_far_off_do_not_stop_the_log(store: &impl Backend) {
    let moments =
        ["1969-12-31T23:59:59.999999Z", "2026-01-31T23:59:59.999999Z", "2026-02-01T00:00:00Z", "2199-07-01T00:00:00Z"];
    let mut events: Vec<QueuedEvent> = (0..5).map(|n| queued_event(OURS, n)).collect();
    for (event, moment) in events.iter_mut().zip([2, 0, 3, 1].map(|at| moments[at])) {
        event.recorded_at = moment.parse().unwrap();
        event.sealed = Some(moment.as_bytes().to_vec());
    }
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));
    let mut view = view(store, OURS).await;
    assert_eq!(view.logged_events(&EventFilter::after(None, 100)).await.unwrap(), logged);
    assert_eq!(view.logged_events(&EventFilter::after(Some(1), 2)).await.unwrap(), logged[2..4]);
    for event in &logged {
        assert_eq!(view.logged_event(event.event.id).await.unwrap().as_ref(), Some(event));
        let (from, to) = (event.event.recorded_at, event.event.recorded_at.plus_seconds(1));
        let filter = EventFilter { from, to, ..EventFilter::after(None, 100) };
        assert!(view.logged_events(&filter).await.unwrap().contains(event), "{from}");
    }
    let raw = view.raw_entries(1, 3).await.unwrap();
    assert_eq!(raw.into_iter().map(|entry| entry.index).collect::<Vec<_>>(), [1, 2, 3]);
}

/// By each of the things that an event names, in the log's order, each event once; and by no part of a name.
pub async fn events_are_found_by_what_they_name(store: &impl Backend) {
    let mut events: Vec<QueuedEvent> = (0..6).map(|n| queued_event(OURS, n)).collect();
    for (n, references) in [(1, "[\"aa\"]"), (3, "[\"bb\",\"aa\",\"aa\"]"), (4, "[\"bb\"]"), (5, "[]")] {
        events[n].core = format!("{{\"n\":{n},\"resource\":{{\"ref_hmac\":{references}}}}}");
    }
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    // In two parts, as a sequencer does, and not from the first on.
    commit!(store, OURS, .log_events(&logged[..2]));
    commit!(store, OURS, .log_events(&logged[2..]));
    let naming = |references: &[&str]| EventFilter {
        references: references.iter().map(|reference| (*reference).to_owned()).collect(),
        ..everything()
    };
    let mut ours = view(store, OURS).await;
    for (filter, expected) in [
        (naming(&["aa"]), vec![1, 3]),
        (naming(&["bb", "aa"]), vec![1, 3, 4]),
        (naming(&["a"]), vec![]),
        (EventFilter { after: Some(1), ..naming(&["aa", "bb"]) }, vec![3, 4]),
        (EventFilter { limit: 2, ..naming(&["aa", "bb"]) }, vec![1, 3]),
        (EventFilter { from: logged[2].event.recorded_at, ..naming(&["aa"]) }, vec![3]),
        (EventFilter { kind: Some("other".to_owned()), ..naming(&["aa"]) }, vec![]),
    ] {
        let found = ours.logged_events(&filter).await.unwrap();
        assert_eq!(found.iter().map(|logged| logged.index).collect::<Vec<u64>>(), expected, "{filter:?}");
        assert!(found.iter().all(|found| logged.contains(found)), "whole, with the personal part");
    }
    assert_eq!(view(store, THEIRS).await.logged_events(&naming(&["aa"])).await.unwrap(), []);
}

/// Of the many events that name a key only those of the wanted kinds come, in the log's order.
pub async fn foreign_events_on_a_resource_do_not_come(store: &impl Backend) {
    const FOREIGN: u64 = 2_000;
    let key = queued_event(OURS, 1).resource.unwrap();
    let mut events: Vec<QueuedEvent> = (0..FOREIGN + 4).map(|n| queued_event(OURS, n)).collect();
    for event in &mut events {
        (event.kind, event.resource) = ("app.visit.closed".to_owned(), Some(key.clone()));
    }
    for (at, kind) in [(3, "key.activated"), (1_500, "key.retired"), (1_501, "key.activated"), (1_502, "key.read")] {
        events[at].kind = kind.to_owned();
    }
    // The same kind on another key.
    (events[9].kind, events[9].resource) = ("key.activated".to_owned(), Some("key_other".to_owned()));
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));
    let kinds = [EventKind::KeyActivated, EventKind::KeyRetired];
    let mut ours = view(store, OURS).await;
    let indexes = |found: Vec<LoggedEvent>| found.iter().map(|one| one.index).collect::<Vec<_>>();
    assert_eq!(indexes(ours.events_on(&key, &kinds).await.unwrap()), [3, 1_500, 1_501]);
    assert_eq!(indexes(ours.events_on(&key, &kinds[1..]).await.unwrap()), [1_500]);
    assert_eq!(ours.events_on(&key, &[]).await.unwrap(), []);
    drop(ours);
    assert_eq!(view(store, THEIRS).await.events_on(&key, &kinds).await.unwrap(), []);
}

/// By several kinds at once, and by how a kind begins: letter by letter, no letter stands for another.
pub async fn events_are_found_by_kinds_and_how_they_begin(store: &impl Backend) {
    let mut events: Vec<QueuedEvent> = (0..5).map(|n| queued_event(OURS, n)).collect();
    for (event, kind) in events.iter_mut().zip(["app.a", "app.b", "apply", "key.used", "app_a"]) {
        event.kind = kind.to_owned();
    }
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));
    let beginning = |prefix: &str| EventFilter { prefix: Some(prefix.to_owned()), ..everything() };
    let of =
        |kinds: &[&str]| EventFilter { kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(), ..everything() };
    let mut view = view(store, OURS).await;
    for (filter, expected) in [
        (beginning("app."), vec![0, 1]),
        (beginning("app_"), vec![4]),
        (beginning("%"), vec![]),
        (of(&["key.used", "apply", "none"]), vec![2, 3]),
        (of(&["none"]), vec![]),
        (EventFilter { prefix: Some("app.".to_owned()), ..of(&["app.b", "apply"]) }, vec![0, 1, 2]),
    ] {
        let found = view.logged_events(&filter).await.unwrap();
        assert_eq!(found.iter().map(|logged| logged.index).collect::<Vec<u64>>(), expected, "{filter:?}");
    }
}

/// Who logs what is no longer queued, or was never, is told so.
pub async fn an_event_is_logged_once(store: &impl Backend) {
    let logged = with_logged(store, 2).await;
    let never = logged_event(queued_event(OURS, 9), 2);
    for again in [&logged[..1], &[never]] {
        assert!(changed(begin(store, OURS).await.log_events(again).await, "queue"));
    }
}

/// Another event under the id of one that is in the log is not taken, wherever that lies: kept or not, of this month or of another.
pub async fn an_id_is_in_the_log_once_whatever_its_month_and_kind(store: &impl Backend) {
    let mut events: Vec<QueuedEvent> = (0..3).map(|n| queued_event(OURS, n)).collect();
    events[0].kind = EventKind::CertificateRevoked.as_str().to_owned();
    events[2].recorded_at = "2031-05-05T00:00:00Z".parse().unwrap();
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events.clone()).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));
    for (n, kind, recorded_at) in [
        (0, "app.x", events[0].recorded_at),
        (1, "certificate.revoked", events[1].recorded_at),
        (1, "app.x", "2026-05-05T00:00:00Z".parse().unwrap()),
        (2, "app.x", NOW),
    ] {
        let forged = QueuedEvent { kind: kind.to_owned(), recorded_at, core: "{}".to_owned(), ..events[n].clone() };
        let fresh = queued_event(OURS, 7);
        store.append_events(&[forged.clone(), fresh.clone()]).await.unwrap();
        let both = [logged_event(forged, 3), logged_event(fresh, 4)];
        assert!(taken(begin(store, OURS).await.log_events(&both).await, "event"), "{n} {kind}");
        commit!(store, OURS, .drop_queued(&[both[0].event.id, both[1].event.id]));
    }
    assert_eq!(view(store, OURS).await.logged_events(&everything()).await.unwrap(), logged);
}

/// What is in the log already is taken out of the queue again, and nothing else, and only of this tenant.
pub async fn what_is_logged_already_leaves_the_queue(store: &impl Backend) {
    let logged = with_logged(store, 2).await;
    let further = queued_event(OURS, 2);
    store.append_events(&[logged[0].event.clone(), further.clone(), queued_event(THEIRS, 0)]).await.unwrap();
    let mut tx = begin(store, OURS).await;
    let again = LoggedEvent { index: 2, ..logged[0].clone() };
    assert!(tx.log_events(&[again]).await.is_err(), "it is in the log");
    drop(tx);
    commit!(store, OURS, .drop_queued(&[logged[0].event.id]));
    assert_eq!(queued(store, OURS).await, [further]);
    assert_eq!(queued(store, THEIRS).await.len(), 1);
    assert_eq!(view(store, OURS).await.logged_events(&everything()).await.unwrap(), logged);
}

/// Of two that sequence the same events at once, one fails, and the log has each event once.
pub async fn two_sequencers_do_not_fork_the_log(store: &impl Backend) {
    let events: Vec<QueuedEvent> = (0..5).map(|n| queued_event(OURS, n)).collect();
    store.append_events(&events).await.unwrap();
    commit!(store, OURS, .create_log(ORIGIN));
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    let sequence = || {
        let (store, logged) = (store.clone(), logged.clone());
        tokio::spawn(async move {
            let mut tx = begin(&store, OURS).await;
            let head = tx.log_head().await?;
            tx.log_events(&logged).await?;
            tokio::task::yield_now().await;
            tx.advance_log(head, LogHead { size: 5, root: [5; 32] }).await?;
            tx.commit().await
        })
    };
    let (first, second) = (sequence(), sequence());
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    let loser = first.and(second).unwrap_err();
    assert!(matches!(loser, StoreError::Changed("queue" | "log")), "{loser:?}");
    assert_eq!(view(store, OURS).await.logged_events(&everything()).await.unwrap(), logged);
    assert_eq!(view(store, OURS).await.log_head().await.unwrap().size, 5);
}

/// The head moves only from where the caller saw it, and not where there is no log.
pub async fn a_head_moves_by_compare_and_swap(store: &impl Backend) {
    let head = LogHead { size: 7, root: [7; 32] };
    assert!(changed(begin(store, OURS).await.advance_log(EMPTY, head).await, "log"));
    commit!(store, OURS, .create_log(ORIGIN) .advance_log(EMPTY, head));
    for stale in [EMPTY, LogHead { size: 7, ..EMPTY }, LogHead { size: 0, ..head }] {
        assert!(changed(begin(store, OURS).await.advance_log(stale, head).await, "log"));
    }
    assert_eq!(view(store, OURS).await.log_head().await.unwrap(), head);
}

/// A tile may gain hashes; it may neither lose nor change one.
pub async fn tiles_only_widen(store: &impl Backend) {
    let hashes: Vec<u8> = (0..96).collect();
    commit!(store, OURS, .put_tile(TILE, &hashes[..64]) .put_tile(TileId { level: 1, ..TILE }, &[1]));
    commit!(store, OURS, .put_tile(TILE, &hashes) .put_tile(TILE, &hashes));
    assert_eq!(view(store, OURS).await.tile(TILE).await.unwrap().as_deref(), Some(hashes.as_slice()));
    let mut other = hashes.clone();
    other[0] ^= 1;
    for bad in [&hashes[..64], &other] {
        assert!(changed(begin(store, OURS).await.put_tile(TILE, bad).await, "tile"));
    }
}

/// They are of no entry, and in the way of what comes there. What the log reaches stays.
pub async fn hashes_behind_the_end_of_a_tile_go(store: &impl Backend) {
    let [last, next] = [0, 1].map(|index| TileId { index, ..TILE });
    let (first, second) = ([1; 32], [2; 32]);
    commit!(store, OURS, .create_log(ORIGIN) .advance_log(EMPTY, LogHead { size: 1, root: first }));
    commit!(store, OURS, .put_tile(last, &[first, second].concat()) .put_tile(next, &second));
    assert!(changed(begin(store, OURS).await.put_tile(last, &[first, first].concat()).await, "tile"));
    assert!(begin(store, OURS).await.trim_tiles(last, 0).await.is_err());
    assert_eq!(begin(store, THEIRS).await.trim_tiles(last, 1).await.unwrap(), 0);
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.trim_tiles(last, 1).await.unwrap(), 2);
    assert_eq!(tx.trim_tiles(last, 1).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(view(store, OURS).await.tile(last).await.unwrap().as_deref(), Some(first.as_slice()));
    commit!(store, OURS, .put_tile(last, &[first, first].concat()) .put_tile(next, &first));
}

/// The newest is the one of the largest size, then the latest.
pub async fn the_newest_checkpoint_is_given(store: &impl Backend) {
    let mut again = checkpoint(10);
    again.signed_at = NOW.plus_seconds(1);
    commit!(store, OURS, .insert_checkpoint(&checkpoint(9)) .insert_checkpoint(&again) .insert_checkpoint(&checkpoint(10)));
    assert_eq!(view(store, OURS).await.checkpoint().await.unwrap(), Some(again));
    assert!(taken(begin(store, OURS).await.insert_checkpoint(&checkpoint(9)).await, "checkpoint"));
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    let logged = with_logged(store, 1).await;
    store.append_events(&[queued_event(OURS, 1)]).await.unwrap();
    commit!(store, OURS, .create_log(ORIGIN) .advance_log(EMPTY, LogHead { size: 1, root: [1; 32] })
        .put_tile(TILE, &[1; 32]) .insert_checkpoint(&checkpoint(1)));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.log_head().await.unwrap(), EMPTY);
    assert_eq!(view.log_origin().await.unwrap(), None);
    assert_eq!(view.queued_events(10).await.unwrap(), []);
    assert_eq!(view.logged_event(logged[0].event.id).await.unwrap(), None);
    assert_eq!(view.logged_events(&everything()).await.unwrap(), []);
    assert_eq!(view.tile(TILE).await.unwrap(), None);
    assert_eq!(view.checkpoint().await.unwrap(), None);
}

/// And out of reach: it cannot take events out of the queue, move the head, or widen a tile.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    let event = queued_event(OURS, 1);
    store.append_events(std::slice::from_ref(&event)).await.unwrap();
    commit!(store, OURS, .create_log(ORIGIN) .put_tile(TILE, &[1; 32]));
    let mut stolen = event.clone();
    stolen.tenant = THEIRS;
    let mut tx = begin(store, THEIRS).await;
    assert!(changed(tx.log_events(&[logged_event(stolen, 0)]).await, "queue"));
    assert!(changed(tx.advance_log(EMPTY, LogHead { size: 1, root: [1; 32] }).await, "log"));
    drop(tx);
    commit!(store, THEIRS, .create_log(ORIGIN) .put_tile(TILE, &[2; 64]));
    let mut view = view(store, OURS).await;
    assert_eq!(view.queued_events(10).await.unwrap(), [event]);
    assert_eq!(view.log_head().await.unwrap(), EMPTY);
    assert_eq!(view.tile(TILE).await.unwrap(), Some(vec![1; 32]));
}

/// A transaction queues and logs events of its own tenant only.
pub async fn an_event_of_another_tenant_is_refused(store: &impl Backend) {
    assert!(unavailable(begin(store, OURS).await.queue_event(&queued_event(THEIRS, 1)).await));
    assert!(unavailable(begin(store, OURS).await.log_events(&[logged_event(queued_event(THEIRS, 1), 0)]).await));
    assert_eq!(queued(store, THEIRS).await, []);
}

/// The same event twice is a mistake, by either door.
pub async fn an_event_is_queued_once(store: &impl Backend) {
    let event = queued_event(OURS, 1);
    commit!(store, OURS, .queue_event(&event));
    assert!(taken(begin(store, OURS).await.queue_event(&event).await, "event"));
    assert!(taken(store.append_events(std::slice::from_ref(&event)).await, "event"));
    assert_eq!(queued(store, OURS).await, [event]);
}

/// One append serves many tenants; each has its own events only, in order.
pub async fn appended_events_reach_their_tenants(store: &impl Backend) {
    let events: Vec<QueuedEvent> =
        (0..40).map(|n| queued_event([OURS, THEIRS, TenantId::PLATFORM][usize::try_from(n % 3).unwrap()], n)).collect();
    store.append_events(&events).await.unwrap();
    for tenant in [OURS, THEIRS, TenantId::PLATFORM] {
        let expected: Vec<QueuedEvent> = events.iter().filter(|event| event.tenant == tenant).cloned().collect();
        assert_eq!(queued(store, tenant).await, expected);
    }
}

/// All or none: one bad event of one tenant, and nobody's is queued or told of.
pub async fn a_failed_append_queues_nothing(store: &impl Backend) {
    let event = queued_event(THEIRS, 1);
    assert!(store.append_events(&[queued_event(OURS, 1), event.clone(), event]).await.is_err());
    assert_eq!(queued(store, OURS).await, []);
    assert_eq!(queued(store, THEIRS).await, []);
    assert_eq!(store.take_grown(), []);
}

/// Sizes around those of the statements.
pub async fn many_events_fit_one_append(store: &impl Backend) {
    let mut next = 0;
    for count in [1_u64, 3, 4, 5, 15, 63, 64, 65, 300] {
        let events: Vec<QueuedEvent> = (next..next + count).map(|n| queued_event(OURS, n)).collect();
        next += count;
        store.append_events(&events).await.unwrap();
    }
    let expected: Vec<QueuedEvent> = (0..next).map(|n| queued_event(OURS, n)).collect();
    assert_eq!(queued(store, OURS).await, expected);
}

/// No events are no mistake.
pub async fn appending_nothing_is_fine(store: &impl Backend) {
    store.append_events(&[]).await.unwrap();
    commit!(store, OURS, .log_events(&[]));
    assert_eq!(store.take_grown(), []);
}

/// 32 appends at once lose nothing.
pub async fn appends_at_once_all_land(store: &impl Backend) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..32 {
        let store = store.clone();
        tasks.spawn(async move {
            // Both tenants in both orders, which must not lock each other out.
            let events = [queued_event(OURS, n), queued_event(THEIRS, n)];
            let events = if n % 2 == 0 {
                events
            } else {
                let [ours, theirs] = events;
                [theirs, ours]
            };
            store.append_events(&events).await
        });
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    for tenant in [OURS, THEIRS] {
        let mut ids: Vec<_> = queued(store, tenant).await.into_iter().map(|event| event.id).collect();
        ids.sort();
        assert_eq!(ids, (0..32).map(|n| queued_event(tenant, n).id).collect::<Vec<_>>());
    }
}

/// The sequencer learns whose queue grew, after the commit and once.
pub async fn grown_queues_are_told_once(store: &impl Backend) {
    let mut tx = begin(store, OURS).await;
    tx.queue_event(&queued_event(OURS, 1)).await.unwrap();
    assert_eq!(store.take_grown(), []);
    tx.commit().await.unwrap();
    commit!(store, TenantId::PLATFORM, .create_log(ORIGIN));
    let mut dropped = begin(store, TenantId::PLATFORM).await;
    dropped.queue_event(&queued_event(TenantId::PLATFORM, 1)).await.unwrap();
    drop(dropped);
    store.append_events(&[queued_event(THEIRS, 1), queued_event(THEIRS, 2)]).await.unwrap();
    let mut grown = store.clone().take_grown();
    grown.sort();
    assert_eq!(grown, [OURS, THEIRS]);
    assert_eq!(store.take_grown(), []);
}
