//! How long logs are kept, and how parts of them go.

use chancery_domain::audit::retention::{Hold, Purge, Retention};
use chancery_domain::audit::{EventFilter, EventKind, LoggedEvent, QueuedEvent};
use chancery_domain::ids::{CertificateId, EventId};
use chancery_domain::time::Timestamp;

use super::{Backend, begin, changed, commit, taken, unavailable, view};
use crate::samples::{NOW, OURS, THEIRS, bytes, logged_event, queued_event};

const KEPT: [EventKind; 1] = [EventKind::KeyActivated];

fn hold(name: &str) -> Hold {
    Hold {
        name: name.to_owned(),
        from: None,
        to: Some(NOW.plus_seconds(9)),
        placed_by: "usr_1".to_owned(),
        placed_at: NOW,
        event: EventId::from_bytes(bytes(1)),
    }
}

fn purge(first: u64, end: u64) -> Purge {
    Purge {
        first,
        end,
        month: "2026-11".parse().unwrap(),
        events: end - first,
        next: first,
        certificate: CertificateId::from_bytes(bytes(first)),
        event: EventId::from_bytes(bytes(first)),
        begun_at: NOW,
        ended_at: None,
    }
}

/// Queues events number 0 to `count` and logs them under their numbers. Each names two things; every fifth is of a kept kind.
async fn with_logged(store: &impl Backend, count: u64) -> Vec<LoggedEvent> {
    let mut events: Vec<QueuedEvent> = (0..count).map(|n| queued_event(OURS, n)).collect();
    for (n, event) in events.iter_mut().enumerate() {
        event.core = format!("{{\"n\":{n},\"resource\":{{\"ref_hmac\":[\"aa\",\"b{n}\"]}}}}");
        event.sealed = Some(vec![7; 9]);
        if n % 5 == 0 {
            event.kind = EventKind::KeyActivated.as_str().to_owned();
        }
    }
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));
    logged
}

fn everything() -> EventFilter {
    EventFilter { from: Timestamp::from_micros(0), ..EventFilter::after(None, 1_000) }
}

async fn left(store: &impl Backend) -> Vec<u64> {
    let logged = view(store, OURS).await.logged_events(&everything()).await.unwrap();
    logged.into_iter().map(|logged| logged.index).collect()
}

/// There is one of each tenant.
pub async fn what_was_said_is_replaced(store: &impl Backend) {
    assert_eq!(view(store, OURS).await.retention().await.unwrap(), None);
    let said = Retention { months: 84, automatic: false, archive_first: true, changed_at: Some(NOW) };
    commit!(store, OURS, .put_retention(&said));
    assert_eq!(view(store, OURS).await.retention().await.unwrap(), Some(said));
    let changed_at = Some(NOW.plus_seconds(1));
    let said = Retention { months: 120, automatic: true, archive_first: false, changed_at };
    commit!(store, OURS, .put_retention(&said));
    assert_eq!(view(store, OURS).await.retention().await.unwrap(), Some(said));
    // Less than six years no store takes.
    let less = Retention { months: 71, ..said };
    assert!(begin(store, OURS).await.put_retention(&less).await.is_err());
}

/// Under a name that is given once.
pub async fn a_hold_reads_back_and_is_taken_away(store: &impl Backend) {
    let whole = Hold { to: None, ..hold("whole") };
    commit!(store, OURS, .insert_hold(&whole) .insert_hold(&hold("suit")));
    assert_eq!(view(store, OURS).await.holds().await.unwrap(), [hold("suit"), whole.clone()]);
    assert!(taken(begin(store, OURS).await.insert_hold(&hold("suit")).await, "hold"));
    commit!(store, OURS, .hold_log() .remove_hold("suit"));
    assert_eq!(view(store, OURS).await.holds().await.unwrap(), [whole]);
    assert!(changed(begin(store, OURS).await.remove_hold("suit").await, "hold"));
}

/// And is not changed afterwards.
pub async fn a_purge_reads_back_and_ends_once(store: &impl Backend) {
    with_logged(store, 9).await;
    commit!(store, OURS, .insert_purge(&purge(5, 9)) .insert_purge(&purge(0, 2)));
    assert_eq!(view(store, OURS).await.purges().await.unwrap(), [purge(0, 2), purge(5, 9)]);
    assert!(taken(begin(store, OURS).await.insert_purge(&purge(5, 7)).await, "purge"));
    let at = NOW.plus_seconds(5);
    assert!(changed(begin(store, OURS).await.end_purge(5, at).await, "purge"), "nothing went yet");
    commit!(store, OURS, .purge_events(&purge(5, 9), 9, &KEPT) .end_purge(5, at));
    let ended = Purge { next: 9, ended_at: Some(at), ..purge(5, 9) };
    assert_eq!(view(store, OURS).await.purges().await.unwrap(), [purge(0, 2), ended]);
    assert!(changed(begin(store, OURS).await.end_purge(5, at).await, "purge"));
}

/// In the order of the log, whatever the clocks said.
pub async fn places_are_found_by_when_they_were_recorded(store: &impl Backend) {
    let mut events: Vec<QueuedEvent> = (0..6).map(|n| queued_event(OURS, n)).collect();
    for (event, seconds) in events.iter_mut().zip([0, 10, 5, 20, 15, 30]) {
        event.recorded_at = NOW.plus_seconds(seconds);
    }
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));
    let mut view = view(store, OURS).await;
    assert_eq!(view.first_event(0).await.unwrap(), Some((0, NOW)));
    assert_eq!(view.first_event(4).await.unwrap(), Some((4, NOW.plus_seconds(15))));
    assert_eq!(view.first_event(6).await.unwrap(), None);
    for (from, seconds, expected) in
        [(0, 0, Some(0)), (0, 6, Some(1)), (2, 6, Some(3)), (0, 12, Some(3)), (4, 12, Some(4)), (0, 31, None)]
    {
        let found = view.first_recorded(from, NOW.plus_seconds(seconds)).await.unwrap();
        assert_eq!(found, expected, "{from} {seconds}");
    }
    let facts = view.span_facts(1, 5, &[EventKind::RecordOpened]).await.unwrap();
    assert_eq!((facts.events, facts.goes), (4, 0));
    assert_eq!(facts.recorded, Some((NOW.plus_seconds(5), NOW.plus_seconds(20))));
    assert_eq!(view.span_facts(1, 5, &KEPT).await.unwrap().goes, 4);
    let none = view.span_facts(6, 9, &KEPT).await.unwrap();
    assert_eq!((none.events, none.goes, none.recorded), (0, 0, None));
}

/// Personal parts go of all of them; what they are found by goes with them.
pub async fn a_purge_takes_bodies_and_leaves_what_is_kept(store: &impl Backend) {
    let logged = with_logged(store, 20).await;
    commit!(store, OURS, .insert_purge(&purge(3, 12)));
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.purge_events(&purge(3, 12), 12, &KEPT).await.unwrap(), 7);
    tx.commit().await.unwrap();
    assert_eq!(left(store).await, [0, 1, 2, 5, 10, 12, 13, 14, 15, 16, 17, 18, 19]);
    let mut view = view(store, OURS).await;
    assert_eq!(view.logged_event(logged[4].event.id).await.unwrap(), None);
    let kept = view.logged_event(logged[5].event.id).await.unwrap().unwrap();
    assert_eq!((kept.leaf_hash, kept.event.sealed), (logged[5].leaf_hash, None));
    assert_eq!(view.logged_event(logged[2].event.id).await.unwrap().as_ref(), Some(&logged[2]));
    for (reference, expected) in [
        ("b4", vec![]),
        ("b5", vec![5]),
        ("b12", vec![12]),
        ("aa", vec![0, 1, 2, 5, 10, 12, 13, 14, 15, 16, 17, 18, 19]),
    ] {
        let filter = EventFilter { references: vec![reference.to_owned()], ..everything() };
        let found = view.logged_events(&filter).await.unwrap();
        assert_eq!(found.into_iter().map(|logged| logged.index).collect::<Vec<_>>(), expected, "{reference}");
    }
    let raw = view.raw_entries(3, 3).await.unwrap();
    assert_eq!(raw.into_iter().map(|entry| entry.index).collect::<Vec<_>>(), [5, 10, 12]);
}

/// The database itself says so: an event without an order stays, and a purge that has ended takes nothing more.
pub async fn an_event_goes_only_within_an_open_purge(store: &impl Backend) {
    with_logged(store, 8).await;
    // Nobody ordered it.
    assert!(changed(begin(store, OURS).await.purge_events(&purge(0, 4), 4, &KEPT).await, "purge"));
    commit!(store, OURS, .insert_purge(&purge(0, 4)));
    // It does not reach that far.
    assert!(unavailable(begin(store, OURS).await.purge_events(&purge(0, 4), 6, &KEPT).await));
    commit!(store, OURS, .purge_events(&purge(0, 4), 4, &KEPT) .end_purge(0, NOW));
    let ended = Purge { next: 4, ..purge(0, 4) };
    assert!(changed(begin(store, OURS).await.purge_events(&ended, 4, &[]).await, "purge"));
    assert_eq!(left(store).await, [0, 4, 5, 6, 7]);
}

/// Of each kind the database itself says whether it stays: what the domain keeps, and nothing else.
pub async fn no_purge_takes_what_is_kept(store: &impl Backend) {
    let kept = chancery_domain::audit::retention::KEPT;
    let mut events: Vec<QueuedEvent> = (0..).zip(EventKind::ALL).map(|(n, _)| queued_event(OURS, n)).collect();
    for (n, (event, kind)) in events.iter_mut().zip(EventKind::ALL).enumerate() {
        event.kind = kind.as_str().to_owned();
        event.core = format!("{{\"n\":{n},\"resource\":{{\"ref_hmac\":[\"aa\"]}}}}");
    }
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));
    for (n, kind) in (0..).zip(EventKind::ALL) {
        commit!(store, OURS, .insert_purge(&purge(n, n + 1)));
        let mut tx = begin(store, OURS).await;
        let gone = tx.purge_events(&purge(n, n + 1), n + 1, &[]).await;
        assert_eq!(unavailable(gone), kept.contains(kind), "{kind}");
    }
}

/// A hold keeps what it holds from whoever forgets to ask, and nothing else.
pub async fn no_purge_takes_what_is_held(store: &impl Backend) {
    with_logged(store, 12).await;
    let suit = Hold { from: Some(NOW.plus_seconds(3)), to: Some(NOW.plus_seconds(5)), ..hold("suit") };
    commit!(store, OURS, .insert_hold(&suit) .insert_purge(&purge(1, 9)));
    assert!(unavailable(begin(store, OURS).await.purge_events(&purge(1, 9), 9, &KEPT).await));
    assert!(unavailable(begin(store, OURS).await.purge_events(&purge(1, 9), 4, &KEPT).await));
    commit!(store, OURS, .purge_events(&purge(1, 9), 3, &KEPT));
    assert_eq!(left(store).await, [0, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    let rest = Purge { next: 3, ..purge(1, 9) };
    assert!(unavailable(begin(store, OURS).await.purge_events(&rest, 9, &KEPT).await));
    commit!(store, OURS, .remove_hold("suit") .purge_events(&rest, 9, &KEPT) .end_purge(1, NOW));
    assert_eq!(left(store).await, [0, 5, 9, 10, 11]);
}

/// By place, and of just these kinds.
pub async fn rules_that_are_filed_under_nothing_are_found(store: &impl Backend) {
    let told = [
        (EventKind::HoldPlaced, None),
        (EventKind::HoldLifted, None),
        (EventKind::KeyActivated, None),
        (EventKind::HoldPlaced, Some("x/t/1".to_owned())),
        (EventKind::RetentionChanged, None),
    ];
    let event = |(n, (kind, resource)): (u64, (EventKind, Option<String>))| QueuedEvent {
        kind: kind.as_str().to_owned(),
        resource,
        ..queued_event(OURS, n)
    };
    let events: Vec<QueuedEvent> = (0..).zip(told).map(event).collect();
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));
    assert_eq!(view(store, OURS).await.unfiled_rules().await.unwrap(), [0, 1, 4]);
    assert!(view(store, THEIRS).await.unfiled_rules().await.unwrap().is_empty());
}

/// What is not committed stays.
pub async fn a_purge_goes_on_from_where_it_stands(store: &impl Backend) {
    with_logged(store, 12).await;
    commit!(store, OURS, .insert_purge(&purge(0, 12)));
    commit!(store, OURS, .purge_events(&purge(0, 12), 4, &KEPT));
    let mut tx = begin(store, OURS).await;
    let now = tx.purges().await.unwrap().remove(0);
    assert_eq!(now.next, 4);
    tx.purge_events(&now, 8, &KEPT).await.unwrap();
    drop(tx);
    assert_eq!(left(store).await, [0, 4, 5, 6, 7, 8, 9, 10, 11]);
    // Of two that go on, the second finds it elsewhere.
    assert!(changed(begin(store, OURS).await.purge_events(&purge(0, 12), 12, &KEPT).await, "purge"));
    commit!(store, OURS, .purge_events(&now, 12, &KEPT) .end_purge(0, NOW));
    assert_eq!(left(store).await, [0, 5, 10]);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    with_logged(store, 3).await;
    let said = Retention { months: 84, automatic: true, archive_first: false, changed_at: Some(NOW) };
    commit!(store, OURS, .put_retention(&said) .insert_hold(&hold("suit")) .insert_purge(&purge(0, 2)));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.retention().await.unwrap(), None);
    assert_eq!(view.holds().await.unwrap(), []);
    assert_eq!(view.purges().await.unwrap(), []);
    assert_eq!(view.first_event(0).await.unwrap(), None);
    assert_eq!(view.first_recorded(0, NOW).await.unwrap(), None);
    assert_eq!(view.span_facts(0, 9, &KEPT).await.unwrap().events, 0);
}

/// And out of reach.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    with_logged(store, 3).await;
    commit!(store, OURS, .insert_hold(&hold("suit")) .insert_purge(&purge(0, 2)));
    assert!(changed(begin(store, THEIRS).await.remove_hold("suit").await, "hold"));
    assert!(changed(begin(store, THEIRS).await.purge_events(&purge(0, 2), 2, &KEPT).await, "purge"));
    assert!(changed(begin(store, THEIRS).await.end_purge(0, NOW).await, "purge"));
    assert_eq!(left(store).await, [0, 1, 2]);
    assert_eq!(view(store, OURS).await.holds().await.unwrap(), [hold("suit")]);
}
