//! Intents that have no outcome yet.

use chancery_domain::audit::intent::Left;
use chancery_domain::audit::{EventFilter, QueuedEvent};
use chancery_domain::ids::{EventId, NodeId, Ulid};
use chancery_domain::{TenantId, Timestamp};

use super::{Backend, begin, commit, view};
use crate::samples::{NOW, OURS, THEIRS, logged_event, queued_event};

const NODE: NodeId = NodeId::from_bytes([1; 16]);
const BOOT: Ulid = Ulid::from_bytes([2; 16]);

/// Event number `n` as an intent of this start of a node.
fn intent_of(tenant: TenantId, n: u64, node: NodeId, boot: Ulid) -> QueuedEvent {
    let core =
        format!("{{\"n\":{n},\"node\":{{\"boot\":\"{boot}\",\"ctr\":1,\"id\":\"{node}\"}},\"phase\":\"intent\"}}");
    QueuedEvent { core, ..queued_event(tenant, n) }
}

fn intent(n: u64) -> QueuedEvent {
    intent_of(OURS, n, NODE, BOOT)
}

/// Event number `n` as the outcome of another.
fn outcome(n: u64, intent: &QueuedEvent) -> QueuedEvent {
    let core = format!("{{\"detail\":{{\"intent\":\"{}\"}},\"n\":{n},\"phase\":\"outcome\"}}", intent.id);
    QueuedEvent { core, ..queued_event(intent.tenant, n) }
}

/// All that are open, whosoever they are.
async fn open(store: &impl Backend, tenant: TenantId) -> Vec<EventId> {
    let of_any_before = NOW.plus_seconds(100_000);
    let left = Left { node: NODE, boot: BOOT, before: NOW, of_any_before, after: None, limit: 100 };
    view(store, tenant).await.left_intents(&left).await.unwrap()
}

async fn queued(store: &impl Backend, tenant: TenantId) -> Vec<QueuedEvent> {
    view(store, tenant).await.queued_events(1_000).await.unwrap()
}

/// An intent is open from its own commit to that of its outcome.
pub async fn an_intent_is_open_until_its_outcome(store: &impl Backend) {
    let (first, second) = (intent(1), intent(2));
    store.append_events(&[first.clone(), queued_event(OURS, 3), second.clone()]).await.unwrap();
    assert_eq!(open(store, OURS).await, [first.id, second.id]);
    let ended = outcome(4, &first);
    store.append_events(std::slice::from_ref(&ended)).await.unwrap();
    assert_eq!(open(store, OURS).await, [second.id]);
    let mut view = view(store, OURS).await;
    assert_eq!(view.open_intents(&[first.id, second.id, ended.id]).await.unwrap(), [second.id]);
    assert_eq!(view.open_intents(&[]).await.unwrap(), []);
    assert_eq!(queued(store, OURS).await, [first, queued_event(OURS, 3), second, ended]);
}

/// Both may come in one append, and many of them.
pub async fn intents_and_outcomes_come_together(store: &impl Backend) {
    let intents: Vec<QueuedEvent> = (0..70).map(intent).collect();
    let outcomes = intents.iter().zip(100..).map(|(intent, n)| outcome(n, intent));
    let both: Vec<QueuedEvent> = intents.iter().cloned().chain(outcomes).collect();
    store.append_events(&both).await.unwrap();
    assert_eq!(open(store, OURS).await, []);
    assert_eq!(queued(store, OURS).await, both);
}

/// A second outcome is left out, whether it is the same event or another; what it came with is not.
pub async fn an_outcome_is_written_once(store: &impl Backend) {
    let begun = intent(1);
    let (first, second) = (outcome(2, &begun), outcome(3, &begun));
    store.append_events(std::slice::from_ref(&begun)).await.unwrap();
    store.append_events(&[first.clone(), second.clone()]).await.unwrap();
    store.append_events(&[second, queued_event(OURS, 5), first.clone()]).await.unwrap();
    assert_eq!(queued(store, OURS).await, [begun.clone(), first.clone(), queued_event(OURS, 5)]);
    // Also when all of it is in the log.
    let logged: Vec<_> = (0..).zip(queued(store, OURS).await).map(|(at, event)| logged_event(event, at)).collect();
    commit!(store, OURS, .log_events(&logged));
    store.append_events(&[first]).await.unwrap();
    assert_eq!(queued(store, OURS).await, []);
    let found = view(store, OURS).await.logged_events(&EventFilter::after(None, 100)).await.unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(open(store, OURS).await, []);
}

/// What is closed in a transaction is open until that commits, and is closed once.
pub async fn an_intent_is_closed_once(store: &impl Backend) {
    let begun = intent(1);
    store.append_events(std::slice::from_ref(&begun)).await.unwrap();
    let mut tx = begin(store, OURS).await;
    assert!(tx.close_intent(begun.id).await.unwrap());
    assert!(!tx.close_intent(begun.id).await.unwrap());
    drop(tx);
    assert_eq!(open(store, OURS).await, [begun.id]);
    commit!(store, OURS, .close_intent(begun.id));
    assert_eq!(open(store, OURS).await, []);
    assert!(!begin(store, OURS).await.close_intent(begun.id).await.unwrap());
    // Its outcome comes too late.
    store.append_events(&[outcome(2, &begun)]).await.unwrap();
    assert_eq!(queued(store, OURS).await, [begun]);
}

/// A node knows which of its own are of an earlier start; of others it knows their age.
pub async fn those_that_lost_their_process_are_found(store: &impl Backend) {
    let (other_node, other_boot) = (NodeId::from_bytes([3; 16]), Ulid::from_bytes([4; 16]));
    let events = [
        intent(10),
        intent_of(OURS, 20, NODE, other_boot),
        intent_of(OURS, 30, other_node, other_boot),
        intent_of(OURS, 40, NODE, other_boot),
    ];
    store.append_events(&events).await.unwrap();
    let left = async |before: i64, of_any_before: i64, limit: u32| -> Vec<u64> {
        let at = |seconds: i64| -> Timestamp { NOW.plus_seconds(seconds) };
        let of_any_before = at(of_any_before);
        let mut left = Left { node: NODE, boot: BOOT, before: at(before), of_any_before, after: None, limit };
        let found = view(store, OURS).await.left_intents(&left).await.unwrap();
        left.after = found.last().copied();
        let rest = view(store, OURS).await.left_intents(&left).await.unwrap();
        assert!(rest.first() > found.last() || rest.is_empty(), "those behind: {rest:?}");
        let number = |id: &EventId| [10, 20, 30, 40].into_iter().find(|n| queued_event(OURS, *n).id == *id).unwrap();
        found.iter().map(number).collect()
    };
    assert!(left(0, 0, 9).await.is_empty());
    assert!(left(20, 0, 9).await.is_empty(), "recorded at that moment, not before it");
    assert_eq!(left(21, 0, 9).await, [20_u64]);
    assert_eq!(left(100, 0, 9).await, [20_u64, 40]);
    assert_eq!(left(0, 31, 9).await, [10_u64, 20, 30]);
    assert_eq!(left(100, 31, 9).await, [10_u64, 20, 30, 40]);
    assert_eq!(left(100, 31, 2).await, [10_u64, 20]);
}

/// Outcomes alone, of these requests, recorded in this time.
pub async fn outcomes_are_found_by_their_request_and_time(store: &impl Backend) {
    let begun = intent(1);
    let outcomes: Vec<QueuedEvent> = (10..14).map(|n| QueuedEvent { sealed: None, ..outcome(n, &begun) }).collect();
    let begun = QueuedEvent { request: outcomes[0].request, recorded_at: outcomes[0].recorded_at, ..begun };
    let logged: Vec<_> =
        (0..).zip(outcomes.iter().cloned().chain([begun])).map(|(at, event)| logged_event(event, at)).collect();
    for event in &logged {
        commit!(store, OURS, .queue_event(&event.event));
    }
    let requests = [10, 11, 13].map(|n| queued_event(OURS, n).request);
    let waiting = view(store, OURS).await.queued_outcomes(&requests).await.unwrap();
    assert_eq!(waiting, [&outcomes[0], &outcomes[1], &outcomes[3]].map(Clone::clone));
    assert_eq!(view(store, THEIRS).await.queued_outcomes(&requests).await.unwrap(), []);
    commit!(store, OURS, .log_events(&logged));
    let mut view = view(store, OURS).await;
    assert_eq!(view.queued_outcomes(&requests).await.unwrap(), []);
    let span = (NOW.plus_seconds(10), NOW.plus_seconds(13));
    assert_eq!(view.outcomes(span, &requests).await.unwrap(), logged[..2]);
    assert_eq!(view.outcome_places(span, &requests).await.unwrap(), [0, 1]);
    assert_eq!(view.outcomes((NOW, NOW.plus_seconds(100)), &requests[2..]).await.unwrap(), logged[3..4]);
    assert_eq!(view.outcomes((NOW, NOW.plus_seconds(100)), &[]).await.unwrap(), []);
    let mut theirs = super::view(store, THEIRS).await;
    assert_eq!(theirs.outcomes((NOW, NOW.plus_seconds(100)), &requests).await.unwrap(), []);
}

/// The intents of one tenant are out of sight and out of reach for another.
pub async fn another_tenant_neither_sees_nor_closes_it(store: &impl Backend) {
    let begun = intent(1);
    store.append_events(std::slice::from_ref(&begun)).await.unwrap();
    assert_eq!(open(store, THEIRS).await, []);
    assert_eq!(view(store, THEIRS).await.open_intents(&[begun.id]).await.unwrap(), []);
    commit!(store, THEIRS, .close_intent(begun.id));
    let theirs = QueuedEvent { tenant: THEIRS, ..outcome(2, &begun) };
    store.append_events(&[theirs]).await.unwrap();
    assert_eq!(queued(store, THEIRS).await, []);
    assert_eq!(open(store, OURS).await, [begun.id]);
}

/// All or none: of an append that fails nothing is open, and nothing is closed.
pub async fn a_failed_append_opens_and_closes_nothing(store: &impl Backend) {
    let begun = intent(1);
    store.append_events(std::slice::from_ref(&begun)).await.unwrap();
    let twice = queued_event(THEIRS, 3);
    let bad = [outcome(2, &begun), intent(4), twice.clone(), twice];
    assert!(store.append_events(&bad).await.is_err());
    assert_eq!(open(store, OURS).await, [begun.id]);
}
