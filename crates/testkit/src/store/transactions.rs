//! What holds of transactions and views, whatever is in them.

use std::time::Duration;

use chancery_domain::TenantId;
use chancery_domain::audit::QueuedEvent;

use super::{Backend, begin, commit, taken, unavailable, view};
use crate::samples::{OURS, THEIRS, api_key, field, queued_event, tenant, user};

/// Dropped without a commit, it never was, and the next one is not hindered by it.
pub async fn a_dropped_transaction_leaves_nothing(store: &impl Backend) {
    for _ in 0..3 {
        let mut tx = begin(store, OURS).await;
        tx.insert_user(&user(1)).await.unwrap();
        tx.insert_api_key(&api_key(1)).await.unwrap();
        tx.queue_event(&queued_event(OURS, 1)).await.unwrap();
        drop(tx);
    }
    let mut platform = begin(store, TenantId::PLATFORM).await;
    platform.insert_tenant(&tenant(1)).await.unwrap();
    drop(platform);
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.user(user(1).id).await.unwrap(), None);
    assert_eq!(tx.queued_events(10).await.unwrap(), []);
    tx.insert_user(&user(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.api_key(api_key(1).id).await.unwrap(), None);
    assert_eq!(store.tenant(tenant(1).id).await.unwrap(), None);
    assert_eq!(store.take_grown(), []);
}

/// After the commit every new view and every new transaction sees it.
pub async fn a_committed_one_is_seen_at_once(store: &impl Backend) {
    for n in 0..20 {
        commit!(store, OURS, .insert_user(&user(n)));
        assert!(view(store, OURS).await.user(user(n).id).await.unwrap().is_some());
        assert!(begin(store, OURS).await.user(user(n).id).await.unwrap().is_some());
    }
}

/// Before the commit nobody sees it.
pub async fn an_uncommitted_one_is_not_seen(store: &impl Backend) {
    let mut tx = begin(store, OURS).await;
    tx.insert_user(&user(1)).await.unwrap();
    assert_eq!(view(store, OURS).await.user(user(1).id).await.unwrap(), None);
    tx.commit().await.unwrap();
}

/// It reads what it wrote.
pub async fn a_transaction_sees_its_own_changes(store: &impl Backend) {
    let mut tx = begin(store, OURS).await;
    tx.insert_user(&user(1)).await.unwrap();
    assert_eq!(tx.user(user(1).id).await.unwrap(), Some(user(1)));
    tx.queue_event(&queued_event(OURS, 1)).await.unwrap();
    assert_eq!(tx.queued_events(10).await.unwrap(), [queued_event(OURS, 1)]);
}

/// A view shows one moment, whoever commits meanwhile, and hinders nobody.
pub async fn a_view_stays_as_it_was(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)));
    let mut early = view(store, OURS).await;
    commit!(store, OURS, .insert_user(&user(2)) .put_field(&field(1)) .set_password_hash(user(1).id, "new"));
    assert_eq!(early.user(user(2).id).await.unwrap(), None);
    assert_eq!(early.user(user(1).id).await.unwrap(), Some(user(1)));
    commit!(store, OURS, .insert_user(&user(3)));
    assert_eq!(early.fields().await.unwrap(), []);
    assert_eq!(early.user(user(3).id).await.unwrap(), None);
    assert_eq!(view(store, OURS).await.fields().await.unwrap(), [field(1)]);
}

/// A change beside a failed one is not made durable as if nothing had happened.
pub async fn a_failed_statement_spoils_the_commit(store: &impl Backend) {
    commit!(store, OURS, .insert_user(&user(1)));
    let mut double = user(2);
    double.username = user(1).username;
    let mut tx = begin(store, OURS).await;
    tx.put_field(&field(1)).await.unwrap();
    assert!(taken(tx.insert_user(&double).await, "username"));
    assert!(unavailable(tx.commit().await));
    assert_eq!(view(store, OURS).await.fields().await.unwrap(), []);
}

/// 32 writers at once, in two tenants, each with a few statements: none fails, none is lost.
pub async fn writers_at_once_all_land(store: &impl Backend) {
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..32 {
        let store = store.clone();
        tasks.spawn(async move {
            let tenant = if n % 2 == 0 { OURS } else { THEIRS };
            let mut tx = begin(&store, tenant).await;
            tx.insert_user(&user(n)).await?;
            tx.queue_event(&queued_event(tenant, n)).await?;
            tokio::task::yield_now().await;
            tx.insert_api_key(&api_key(n)).await?;
            tx.commit().await
        });
    }
    let done = tasks.join_all().await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    for (tenant, start) in [(OURS, 0), (THEIRS, 1)] {
        let mut view = view(store, tenant).await;
        let expected: Vec<u64> = (start..32).step_by(2).collect();
        for n in &expected {
            assert_eq!(view.user(user(*n).id).await.unwrap(), Some(user(*n)));
        }
        assert_eq!(view.api_keys(None, 100).await.unwrap().len(), expected.len());
        let mut queued: Vec<QueuedEvent> = view.queued_events(100).await.unwrap();
        queued.sort_by_key(|event| event.id);
        assert_eq!(queued, expected.iter().map(|n| queued_event(tenant, *n)).collect::<Vec<_>>());
    }
}

/// Callers that give up while they wait for a transaction, at any moment of it, block nobody.
pub async fn a_dropped_wait_for_a_turn_leaves_the_store_free(store: &impl Backend) {
    let holder = begin(store, OURS).await;
    for _ in 0..5 {
        let wait = tokio::time::timeout(Duration::from_millis(5), store.begin(OURS)).await;
        drop(wait);
    }
    drop(holder);
    for micros in (0..4_000).step_by(100) {
        drop(tokio::time::timeout(Duration::from_micros(micros), store.begin(OURS)).await);
        drop(tokio::time::timeout(Duration::from_micros(micros), store.view(OURS)).await);
        drop(tokio::time::timeout(Duration::from_micros(micros), store.append_events(&[])).await);
    }
    commit!(store, OURS, .insert_user(&user(1)));
    assert!(view(store, OURS).await.user(user(1).id).await.unwrap().is_some());
}

/// A caller that goes away in the middle of a change leaves none of it.
pub async fn a_cancelled_statement_leaves_nothing(store: &impl Backend) {
    for micros in (0..3_000).step_by(100) {
        let change = async {
            let mut tx = begin(store, OURS).await;
            tx.put_field(&field(1)).await.unwrap();
            for n in 0..1_000 {
                tx.insert_user(&user(n)).await.unwrap();
            }
        };
        drop(tokio::time::timeout(Duration::from_micros(micros), change).await);
    }
    let mut tx = begin(store, OURS).await;
    assert_eq!(tx.fields().await.unwrap(), []);
    assert_eq!(tx.user(user(0).id).await.unwrap(), None);
    tx.insert_user(&user(0)).await.unwrap();
    tx.commit().await.unwrap();
}

/// A store that can be written to says so.
pub async fn it_answers_a_ping(store: &impl Backend) {
    store.ping().await.unwrap();
    store.ping().await.unwrap();
}
