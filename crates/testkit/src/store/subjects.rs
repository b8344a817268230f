//! The keys of single persons.

use chancery_domain::ids::SubjectId;
use chancery_domain::subjects::{SubjectHoldings, SubjectKey, SubjectReferences, SubjectState};

use super::{Backend, begin, changed, commit, taken, view};
use crate::samples::{NOW, OURS, THEIRS, bytes, handle, subject_key, subject_references};

fn destroyed(n: u64) -> SubjectKey {
    SubjectKey { wrapped: None, state: SubjectState::Destroyed, destroyed_at: Some(NOW), ..subject_key(n) }
}

/// Nothing of a key is lost, and the destroyed ones come too.
pub async fn a_key_reads_back(store: &impl Backend) {
    commit!(store, OURS, .insert_subject_key(&subject_key(1)) .insert_subject_key(&destroyed(2)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.subject_keys(None, 10).await.unwrap(), [subject_key(1), destroyed(2)]);
}

/// In pages, for the key bundle.
pub async fn keys_come_in_pages(store: &impl Backend) {
    commit!(store, OURS, .insert_subject_key(&subject_key(3)) .insert_subject_key(&subject_key(1)) .insert_subject_key(&subject_key(2)));
    let mut view = view(store, OURS).await;
    assert_eq!(view.subject_keys(None, 2).await.unwrap(), [subject_key(1), subject_key(2)]);
    assert_eq!(view.subject_keys(Some(subject_key(2).id), 2).await.unwrap(), [subject_key(3)]);
}

/// By many handles or many references at once, in order of id.
pub async fn keys_are_found(store: &impl Backend) {
    commit!(store, OURS, .insert_subject_key(&subject_key(2)) .insert_subject_key(&subject_key(1)) .insert_subject_key(&subject_key(3)));
    let mut view = view(store, OURS).await;
    let found = view.subject_keys_by_handle(&[handle(3), handle(9), subject_key(1).handle]).await.unwrap();
    assert_eq!(found, [subject_key(1)], "handle number 3 is nobody's");
    let both = [subject_key(3).reference, subject_key(2).reference, "ff".repeat(32)];
    assert_eq!(view.subject_keys_of(&both).await.unwrap(), [subject_key(2), subject_key(3)]);
    assert_eq!(view.subject_keys_of(&[]).await.unwrap(), []);
}

/// The rows of one tenant are out of sight for another.
pub async fn another_tenant_does_not_see_it(store: &impl Backend) {
    commit!(store, OURS, .insert_subject_key(&subject_key(1)));
    let mut view = view(store, THEIRS).await;
    assert_eq!(view.subject_keys(None, 10).await.unwrap(), []);
    assert_eq!(view.subject_keys_by_handle(&[subject_key(1).handle]).await.unwrap(), []);
    assert_eq!(view.subject_keys_of(&[subject_key(1).reference]).await.unwrap(), []);
    assert_eq!(view.subject_holdings("kv_1").await.unwrap(), SubjectHoldings::default());
    assert_eq!(view.subject_keys_under("kv_1", None, 9).await.unwrap(), []);
}

/// And out of reach.
pub async fn another_tenant_does_not_change_it(store: &impl Backend) {
    commit!(store, OURS, .insert_subject_key(&subject_key(1)));
    assert!(changed(begin(store, THEIRS).await.destroy_subject_key(subject_key(1).id, NOW).await, "subject_key"));
    assert!(changed(begin(store, THEIRS).await.rewrap_subject_key(&subject_key(1), "kv_1").await, "subject_key"));
    assert_eq!(view(store, OURS).await.subject_keys(None, 10).await.unwrap(), [subject_key(1)]);
}

/// A person has one active key; destroyed ones may lie beside it.
pub async fn a_person_has_one_active_key(store: &impl Backend) {
    let mut second = subject_key(2);
    second.reference = subject_key(1).reference;
    commit!(store, OURS, .insert_subject_key(&subject_key(1)));
    assert!(taken(begin(store, OURS).await.insert_subject_key(&second).await, "subject"));
    commit!(store, OURS, .destroy_subject_key(subject_key(1).id, NOW));
    commit!(store, OURS, .insert_subject_key(&second));
    assert_eq!(view(store, OURS).await.subject_keys_of(&[second.reference]).await.unwrap().len(), 2);
}

/// Destroying leaves a tombstone, and goes once.
pub async fn a_key_is_destroyed_once(store: &impl Backend) {
    commit!(store, OURS, .insert_subject_key(&subject_key(1)) .destroy_subject_key(subject_key(1).id, NOW));
    assert_eq!(view(store, OURS).await.subject_keys(None, 10).await.unwrap(), [destroyed(1)]);
    for id in [subject_key(1).id, SubjectId::from_bytes(bytes(9))] {
        assert!(changed(begin(store, OURS).await.destroy_subject_key(id, NOW).await, "subject_key"));
    }
    assert!(changed(begin(store, OURS).await.rewrap_subject_key(&subject_key(1), "kv_1").await, "subject_key"));
}

/// A new wrap replaces the old one only under the root that it was under.
pub async fn a_wrap_is_replaced_by_compare_and_swap(store: &impl Backend) {
    let mut newer = subject_key(1);
    newer.wrapped = Some(vec![4; 9]);
    newer.root_key = "kv_2".to_owned();
    commit!(store, OURS, .insert_subject_key(&subject_key(1)) .insert_subject_key(&subject_key(2)));
    assert!(changed(begin(store, OURS).await.rewrap_subject_key(&newer, "kv_3").await, "subject_key"));
    assert_eq!(holdings(store, "kv_1").await, (2, 1));
    commit!(store, OURS, .rewrap_subject_key(&newer, "kv_1"));
    assert_eq!(view(store, OURS).await.subject_keys(None, 1).await.unwrap(), [newer.clone()]);
    assert!(changed(begin(store, OURS).await.rewrap_subject_key(&newer, "kv_1").await, "subject_key"), "once");
    assert_eq!((holdings(store, "kv_1").await, holdings(store, "kv_2").await), ((1, 1), (1, 0)));
}

async fn holdings(store: &impl Backend, version: &str) -> (u64, u64) {
    let held = view(store, OURS).await.subject_holdings(version).await.unwrap();
    assert_eq!(held.is_empty(), (held.keys, held.references) == (0, 0));
    (held.keys, held.references)
}

/// Those that a job has to move: active ones of one version, after the last that was looked at.
pub async fn keys_under_a_version_come_in_pages(store: &impl Backend) {
    let other = SubjectKey { root_key: "kv_2".to_owned(), ..subject_key(2) };
    for key in [&subject_key(1), &other, &destroyed(3), &subject_key(4), &subject_key(5)] {
        commit!(store, OURS, .insert_subject_key(key));
    }
    let mut view = view(store, OURS).await;
    assert_eq!(view.subject_keys_under("kv_1", None, 2).await.unwrap(), [subject_key(1), subject_key(4)]);
    assert_eq!(view.subject_keys_under("kv_1", Some(subject_key(4).id), 2).await.unwrap(), [subject_key(5)]);
    assert_eq!(view.subject_keys_under("kv_2", None, 2).await.unwrap(), [other]);
    assert_eq!(view.subject_keys_under("kv_3", None, 2).await.unwrap(), []);
}

/// Wraps of active keys, wraps of keys of references, and the version's own one until it is carried over, even if only
/// a destroyed key bears a name of its making.
pub async fn what_is_under_a_version_is_counted(store: &impl Backend) {
    assert_eq!(holdings(store, "kv_1").await, (0, 0));
    commit!(store, OURS, .insert_subject_key(&destroyed(1)));
    assert_eq!(holdings(store, "kv_1").await, (0, 1));
    commit!(store, OURS, .insert_subject_key(&subject_key(2)) .insert_subject_key(&subject_key(3)));
    assert_eq!(holdings(store, "kv_1").await, (2, 1));
    commit!(store, OURS, .insert_subject_references(&subject_references(1)));
    assert_eq!((holdings(store, "kv_1").await, holdings(store, "kv_2").await), ((2, 0), (0, 1)));
    commit!(store, OURS, .destroy_subject_key(subject_key(2).id, NOW));
    assert_eq!(holdings(store, "kv_1").await, (1, 0));
}

/// One for each version that made references; its wrap is replaced only where it is the one that was read.
pub async fn keys_of_references_are_carried_over_and_move_by_compare_and_swap(store: &impl Backend) {
    let (first, second) = (subject_references(1), subject_references(2));
    commit!(store, OURS, .insert_subject_references(&second) .insert_subject_references(&first));
    assert_eq!(view(store, OURS).await.subject_references().await.unwrap(), [first.clone(), second.clone()]);
    assert!(taken(begin(store, OURS).await.insert_subject_references(&first).await, "subject_references"));
    let newer = SubjectReferences { wrapped: vec![9; 7], root_key: "kv_3".to_owned(), ..first.clone() };
    assert!(changed(begin(store, OURS).await.rewrap_subject_references(&newer, "kv_1").await, "subject_references"));
    commit!(store, OURS, .rewrap_subject_references(&newer, &first.root_key));
    assert_eq!(view(store, OURS).await.subject_references().await.unwrap(), [newer, second]);
}

/// They are their tenant's.
pub async fn another_tenant_neither_sees_nor_moves_keys_of_references(store: &impl Backend) {
    let ours = subject_references(1);
    commit!(store, OURS, .insert_subject_references(&ours));
    assert_eq!(view(store, THEIRS).await.subject_references().await.unwrap(), []);
    let moved = begin(store, THEIRS).await.rewrap_subject_references(&ours, &ours.root_key).await;
    assert!(changed(moved, "subject_references"));
    assert_eq!(view(store, OURS).await.subject_references().await.unwrap(), [ours]);
}

/// Persons come every second and stop nobody's key. That one goes is news for every node.
pub async fn only_the_end_of_a_key_raises_the_epoch(store: &impl Backend) {
    let epoch = || async { store.epochs(&[OURS]).await.unwrap().of(OURS) };
    let first = epoch().await;
    commit!(store, OURS, .insert_subject_key(&subject_key(1)));
    assert_eq!(epoch().await, first);
    let mut tx = begin(store, OURS).await;
    assert!(!tx.stops_keys());
    tx.destroy_subject_key(subject_key(1).id, NOW).await.unwrap();
    assert!(tx.stops_keys());
    tx.commit().await.unwrap();
    assert_eq!(epoch().await, first + 1);
}
