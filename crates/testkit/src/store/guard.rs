//! How logs are guarded: entries and heads as they are stored, how far they were looked at, whose heads were told of, what
//! witnesses signed.

use chancery_domain::TenantId;
use chancery_domain::audit::guard::{Cosignature, RawCheckpoint, RawEntry, RawEvent, Scrub};
use chancery_domain::audit::{LogHead, LoggedEvent, QueuedEvent, StoredCheckpoint};
use chancery_domain::ids::EventId;

use super::{Backend, begin, changed, commit, view};
use crate::samples::{NOW, OURS, THEIRS, bytes, checkpoint, logged_event, queued_event};

fn raw_event(event: &QueuedEvent) -> RawEvent {
    RawEvent {
        id: event.id.to_string().into_bytes(),
        recorded_at: event.recorded_at.as_micros(),
        kind: event.kind.clone().into_bytes(),
        actor: event.actor.clone().into_bytes(),
        resource: event.resource.clone().map(String::into_bytes),
        outcome: event.outcome,
        request: event.request.to_string().into_bytes(),
        core: event.core.clone().into_bytes(),
    }
}

fn raw(logged: &LoggedEvent) -> RawEntry {
    RawEntry { index: logged.index, event: raw_event(&logged.event), leaf_hash: logged.leaf_hash.to_vec() }
}

async fn log(store: &impl Backend, count: u64) -> Vec<LoggedEvent> {
    let events: Vec<_> = (0..count).map(|n| queued_event(OURS, n)).collect();
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, OURS, .log_events(&logged));
    logged
}

/// Also one whose hash is not that of its bytes, which the log itself gives to nobody.
pub async fn entries_are_given_as_they_are_stored(store: &impl Backend) {
    let logged = log(store, 4).await;
    let mut bad = logged_event(queued_event(OURS, 4), 4);
    bad.leaf_hash = [7; 32];
    store.append_events(std::slice::from_ref(&bad.event)).await.unwrap();
    commit!(store, OURS, .log_events(std::slice::from_ref(&bad)));
    let mut view = view(store, OURS).await;
    assert!(view.logged_event(bad.event.id).await.is_err());
    let all: Vec<RawEntry> = logged.iter().chain([&bad]).map(raw).collect();
    assert_eq!(view.raw_entries(0, 10).await.unwrap(), all);
    assert_eq!(view.raw_entries(1, 2).await.unwrap(), all[1..3]);
    assert_eq!(view.raw_entries(5, 10).await.unwrap(), []);
}

/// Of those that have none, and of events of others, nothing is given.
pub async fn events_with_a_personal_part_are_told(store: &impl Backend) {
    let logged = log(store, 4).await;
    let all: Vec<EventId> = logged.iter().map(|logged| logged.event.id).collect();
    let with: Vec<EventId> = [1, 3].map(|at| all[at]).to_vec();
    let mut found = view(store, OURS).await.personal_parts(&all).await.unwrap();
    found.sort();
    assert_eq!(found, with, "those of odd numbers");
    assert_eq!(view(store, OURS).await.personal_parts(&all[2..]).await.unwrap(), [all[3]]);
    assert_eq!(view(store, OURS).await.personal_parts(&[]).await.unwrap(), []);
    assert_eq!(view(store, THEIRS).await.personal_parts(&all).await.unwrap(), []);
}

/// Out of the queue alone, once, and in no place of the log.
pub async fn a_row_of_the_queue_is_put_aside(store: &impl Backend) {
    let events: Vec<QueuedEvent> = (0..3).map(|n| queued_event(OURS, n)).collect();
    store.append_events(&events).await.unwrap();
    let rows = view(store, OURS).await.raw_queue(10).await.unwrap();
    let found: Vec<_> = rows.iter().map(|row| (row.event.clone(), row.sealed.clone())).collect();
    let wanted: Vec<_> = events.iter().map(|event| (raw_event(event), event.sealed.clone())).collect();
    assert_eq!(found, wanted);
    assert_eq!(view(store, OURS).await.raw_queue(2).await.unwrap(), rows[..2]);
    assert_eq!(view(store, THEIRS).await.raw_queue(10).await.unwrap(), []);

    let told_by = |n| EventId::from_bytes(bytes(n));
    let mut theirs = begin(store, THEIRS).await;
    assert!(changed(theirs.quarantine(rows[1].seq, told_by(7), NOW).await, "queue"));
    drop(theirs);
    commit!(store, OURS, .quarantine(rows[1].seq, told_by(7), NOW));
    assert_eq!(view(store, OURS).await.raw_queue(10).await.unwrap(), [rows[0].clone(), rows[2].clone()]);
    let mut again = begin(store, OURS).await;
    assert!(changed(again.quarantine(rows[1].seq, told_by(8), NOW).await, "queue"));
    drop(again);
    assert_eq!(view(store, OURS).await.logged_event(events[1].id).await.unwrap(), None);
}

/// A page of rows that somebody wrote fits in memory, whatever is in them; and one whose leaf is too long is seen to be.
pub async fn no_more_of_a_row_is_read_than_a_leaf_has(store: &impl Backend) {
    let long = |n: u64, length: usize| QueuedEvent { core: "a".repeat(length), ..queued_event(OURS, n) };
    let events = [long(1, 16 * 1024), long(2, 100_000)];
    store.append_events(&events).await.unwrap();
    let lengths = |cores: Vec<Vec<u8>>| cores.iter().map(Vec::len).collect::<Vec<_>>();
    let queued = view(store, OURS).await.raw_queue(10).await.unwrap();
    assert_eq!(lengths(queued.into_iter().map(|row| row.event.core).collect()), [16_384, 16_385]);
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(at, event)| logged_event(event, at)).collect();
    commit!(store, OURS, .log_events(&logged));
    let entries = view(store, OURS).await.raw_entries(0, 10).await.unwrap();
    assert_eq!(lengths(entries.into_iter().map(|row| row.event.core).collect()), [16_384, 16_385]);
}

/// Nothing before the end is, whoever asks.
pub async fn a_row_behind_the_end_of_a_log_is_put_aside(store: &impl Backend) {
    commit!(store, OURS, .create_log("origin"));
    let logged = log(store, 3).await;
    let mut tx = begin(store, OURS).await;
    let empty = tx.log_head().await.unwrap();
    tx.advance_log(empty, LogHead { size: 2, ..empty }).await.unwrap();
    tx.commit().await.unwrap();
    let told_by = |n| EventId::from_bytes(bytes(n));
    assert!(begin(store, OURS).await.quarantine_entry(1, told_by(7), NOW).await.is_err(), "it is in the log");
    assert!(changed(begin(store, THEIRS).await.quarantine_entry(2, told_by(7), NOW).await, "event"));
    commit!(store, OURS, .quarantine_entry(2, told_by(7), NOW));
    let left: Vec<RawEntry> = logged.iter().take(2).map(raw).collect();
    assert_eq!(view(store, OURS).await.raw_entries(0, 10).await.unwrap(), left);
    assert!(changed(begin(store, OURS).await.quarantine_entry(2, told_by(8), NOW).await, "event"));
}

/// By size and moment, each once.
pub async fn heads_are_given_as_they_are_stored_in_order(store: &impl Backend) {
    let again = StoredCheckpoint { signed_at: NOW.plus_seconds(1), ..checkpoint(9) };
    commit!(store, OURS, .insert_checkpoint(&again) .insert_checkpoint(&checkpoint(10)) .insert_checkpoint(&checkpoint(9)));
    let raw = |stored: &StoredCheckpoint| RawCheckpoint {
        size: i64::try_from(stored.size).unwrap(),
        signed_at: stored.signed_at.as_micros(),
        note: stored.note.clone().into_bytes(),
    };
    let all = [raw(&checkpoint(9)), raw(&again), raw(&checkpoint(10))];
    let mut view = view(store, OURS).await;
    assert_eq!(view.raw_checkpoints((-1, -1), 10).await.unwrap(), all);
    assert_eq!(view.raw_checkpoints((-1, -1), 2).await.unwrap(), all[..2]);
    assert_eq!(view.raw_checkpoints((9, NOW.as_micros()), 10).await.unwrap(), all[1..]);
    assert_eq!(view.raw_checkpoints((10, NOW.as_micros()), 10).await.unwrap(), []);
    assert_eq!(view.raw_checkpoints_before((9, i64::MAX), 1).await.unwrap(), all[1..2]);
    let note = checkpoint(9).note;
    assert_eq!(view.checkpoint_with(9, &note).await.unwrap(), Some(checkpoint(9)), "the first");
    for (size, note) in [(10, note.as_str()), (9, "x")] {
        assert_eq!(view.checkpoint_with(size, note).await.unwrap(), None);
    }
}

/// There is one of each log.
pub async fn a_scrub_is_replaced(store: &impl Backend) {
    assert_eq!(view(store, OURS).await.scrub().await.unwrap(), None);
    let begun = Scrub { tile: 0, checkpoint: (-1, -1), findings: 0, began_at: NOW, ended: None };
    commit!(store, OURS, .put_scrub(&begun));
    assert_eq!(view(store, OURS).await.scrub().await.unwrap(), Some(begun));
    let later = Scrub { tile: 7, checkpoint: (9, 5), findings: 2, ended: Some((NOW.plus_seconds(9), 3)), ..begun };
    commit!(store, OURS, .put_scrub(&later));
    assert_eq!(view(store, OURS).await.scrub().await.unwrap(), Some(later));
}

/// Of each name, before a place; whatever else names it.
pub async fn the_last_head_told_of_is_found(store: &impl Backend) {
    let platform = TenantId::PLATFORM;
    let mut events: Vec<QueuedEvent> = (0..6).map(|n| queued_event(platform, n)).collect();
    let of = ["x/t/1", "x/t/2", "x/t/1", "x/t/1", "x/t/1", "x/t/2"];
    for (at, (event, origin)) in events.iter_mut().zip(of).enumerate() {
        event.resource = Some(origin.to_owned());
        event.kind = if at == 4 { "log.restore_accepted" } else { "log.head_noted" }.to_owned();
    }
    events[2].core = r#"{"detail":{"proof":"00"},"n":2}"#.to_owned();
    store.append_events(&events).await.unwrap();
    let logged: Vec<LoggedEvent> = (0..).zip(events).map(|(index, event)| logged_event(event, index)).collect();
    commit!(store, platform, .log_events(&logged));
    let mut seen = view(store, platform).await;
    for (origin, before, expected) in [
        ("x/t/1", 9, Some(3)),
        ("x/t/1", 3, Some(2)),
        ("x/t/1", 2, Some(0)),
        ("x/t/1", 0, None),
        ("x/t/2", 9, Some(5)),
        ("x", 9, None),
    ] {
        let found = seen.head_told_before(origin, before).await.unwrap();
        assert_eq!(found.map(|found| found.index), expected, "{origin} {before}");
    }
    for (origin, before, expected) in [("x/t/1", 9, Some(2)), ("x/t/1", 2, None), ("x/t/2", 9, None)] {
        let found = seen.head_with_proof_before(origin, before).await.unwrap();
        assert_eq!(found.map(|found| found.index), expected, "{origin} {before}");
    }
    drop(seen);
    assert_eq!(view(store, OURS).await.head_told_before("x/t/1", 9).await.unwrap(), None);
}

fn cosignature(size: u64, witness: &str) -> Cosignature {
    let line = format!("\u{2014} {witness} AAAA\n");
    Cosignature { size, witness: witness.to_owned(), line, cosigned_at: NOW }
}

/// What came last of a size stands, whatever lay there: which is the newest knows who can verify it.
pub async fn a_witness_signs_a_size_again(store: &impl Backend) {
    commit!(store, OURS, .put_cosignature(&cosignature(5, "w1")) .put_cosignature(&cosignature(5, "w2"))
        .put_cosignature(&cosignature(6, "w1")));
    let at = |seconds: i64| {
        let line = format!("\u{2014} w1 {seconds}\n");
        Cosignature { line, cosigned_at: NOW.plus_seconds(seconds), ..cosignature(5, "w1") }
    };
    commit!(store, OURS, .put_cosignature(&at(300)));
    assert_eq!(view(store, OURS).await.cosignatures(5).await.unwrap(), [at(300), cosignature(5, "w2")]);
    commit!(store, OURS, .put_cosignature(&at(200)));
    assert_eq!(view(store, OURS).await.cosignatures(5).await.unwrap(), [at(200), cosignature(5, "w2")]);
    assert_eq!(view(store, OURS).await.cosignatures(6).await.unwrap(), [cosignature(6, "w1")]);
    assert_eq!(view(store, OURS).await.cosignatures(7).await.unwrap(), []);
}

/// Of one witness, and of so many at once where there is a head.
pub async fn the_newest_cosignatures_are_given(store: &impl Backend) {
    commit!(store, OURS, .put_cosignature(&cosignature(5, "w1")) .put_cosignature(&cosignature(5, "w2"))
        .put_cosignature(&cosignature(12, "w1")) .put_cosignature(&cosignature(4, "w2"))
        .put_cosignature(&cosignature(8, "w1")) .put_cosignature(&cosignature(8, "w2"))
        .insert_checkpoint(&checkpoint(4)) .insert_checkpoint(&checkpoint(5)) .insert_checkpoint(&checkpoint(12)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.newest_cosignature("w1").await.unwrap(), Some(cosignature(12, "w1")));
    assert_eq!(view.newest_cosignature("w2").await.unwrap(), Some(cosignature(8, "w2")));
    assert_eq!(view.newest_cosignature("w3").await.unwrap(), None);
    let newest = [(99, 1), (12, 1), (11, 1), (4, 1), (3, 1), (99, 2), (4, 2), (99, 3)];
    for ((upto, quorum), found) in
        newest.into_iter().zip([Some(12), Some(12), Some(5), Some(4), None, Some(5), None, None])
    {
        assert_eq!(view.newest_cosigned(upto, quorum).await.unwrap(), found, "{upto} {quorum}");
    }
    let first = [view.first_cosigned(3, 1).await, view.first_cosigned(4, 1).await, view.first_cosigned(3, 2).await];
    assert_eq!(first.map(Result::unwrap), [Some(4), Some(5), Some(5)]);
    assert_eq!(view.first_cosigned(5, 2).await.unwrap(), None);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    log(store, 1).await;
    let scrub = Scrub { tile: 1, checkpoint: (-1, -1), findings: 0, began_at: NOW, ended: None };
    commit!(store, OURS, .insert_checkpoint(&checkpoint(1)) .put_scrub(&scrub) .put_cosignature(&cosignature(1, "w1")));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.raw_entries(0, 10).await.unwrap(), []);
    assert_eq!(view.raw_checkpoints((-1, -1), 10).await.unwrap(), []);
    assert_eq!(view.raw_checkpoints_before((i64::MAX, i64::MAX), 10).await.unwrap(), []);
    assert_eq!(view.scrub().await.unwrap(), None);
    assert_eq!(view.cosignatures(1).await.unwrap(), []);
    assert_eq!(view.newest_cosignature("w1").await.unwrap(), None);
    assert_eq!(view.newest_cosigned(9, 1).await.unwrap(), None);
}
