//! Which node runs a job.

use chancery_domain::TenantId;
use chancery_domain::ids::NodeId;
use chancery_domain::time::Timestamp;

use super::{Backend, begin, unavailable};
use crate::samples::{NOW, OURS};

const ONE: NodeId = NodeId::from_bytes([1; 16]);
const TWO: NodeId = NodeId::from_bytes([2; 16]);

async fn claim(store: &impl Backend, name: &str, node: NodeId, now: Timestamp) -> bool {
    let mut tx = begin(store, TenantId::PLATFORM).await;
    let ours = tx.claim_job(name, node, now, now.plus_seconds(60)).await.unwrap();
    tx.commit().await.unwrap();
    ours
}

/// Of two nodes the first has it; the other one gets it when its time is over, and the first one then does not.
pub async fn one_node_has_a_job(store: &impl Backend) {
    assert!(claim(store, "a", ONE, NOW).await);
    assert!(!claim(store, "a", TWO, NOW).await);
    assert!(claim(store, "b", TWO, NOW).await, "another job is another claim");
    assert!(!claim(store, "a", TWO, NOW.plus_seconds(59)).await);
    assert!(claim(store, "a", TWO, NOW.plus_seconds(60)).await);
    assert!(!claim(store, "a", ONE, NOW.plus_seconds(61)).await);
}

/// Whoever has it may go on.
pub async fn a_claim_is_renewed(store: &impl Backend) {
    assert!(claim(store, "a", ONE, NOW).await);
    assert!(claim(store, "a", ONE, NOW.plus_seconds(30)).await);
    assert!(!claim(store, "a", TWO, NOW.plus_seconds(60)).await);
}

/// Only by its holder, and only if nobody moved it meanwhile.
pub async fn a_claim_is_renewed_as_it_was_left(store: &impl Backend) {
    assert!(claim(store, "a", ONE, NOW).await);
    let (left, until) = (NOW.plus_seconds(60), NOW.plus_seconds(70));
    for (name, node, from, renewed) in [
        ("a", TWO, left, false),
        ("b", ONE, left, false),
        ("a", ONE, NOW.plus_seconds(59), false),
        ("a", ONE, left, true),
        ("a", ONE, left, false),
        ("a", ONE, until, true),
    ] {
        let mut tx = begin(store, TenantId::PLATFORM).await;
        assert_eq!(tx.renew_job(name, node, from, until).await.unwrap(), renewed, "{name} {node} {from}");
        tx.commit().await.unwrap();
    }
    assert!(!claim(store, "a", TWO, NOW.plus_seconds(69)).await);
    assert!(claim(store, "a", TWO, until).await);
}

/// A job is free before anybody claimed it and after it was given back, and not yet when its time has passed.
pub async fn a_free_job_is_nobodys(store: &impl Backend) {
    let until = NOW.plus_seconds(60);
    for (node, free) in [(ONE, true), (ONE, false), (TWO, false)] {
        let mut tx = begin(store, TenantId::PLATFORM).await;
        assert_eq!(tx.claim_free_job("a", node, until).await.unwrap(), free, "{node}");
        tx.commit().await.unwrap();
    }
    assert!(!claim(store, "a", TWO, NOW).await);
    let mut tx = begin(store, TenantId::PLATFORM).await;
    tx.release_job("a", ONE).await.unwrap();
    assert!(tx.claim_free_job("a", TWO, NOW).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = begin(store, TenantId::PLATFORM).await;
    assert!(!tx.claim_free_job("a", ONE, until).await.unwrap(), "its time has passed, and it is not free");
}

/// What was given back is anybody's at once; only its holder gives it back.
pub async fn a_job_is_given_back(store: &impl Backend) {
    assert!(claim(store, "a", ONE, NOW).await);
    for node in [TWO, ONE] {
        let mut tx = begin(store, TenantId::PLATFORM).await;
        tx.release_job("a", node).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(claim(store, "a", TWO, NOW).await, node == ONE);
    }
}

/// What nodes claimed that are gone is forgotten, and nothing where no other node is known to be there still.
pub async fn nodes_that_are_gone_are_forgotten(store: &impl Backend) {
    for (name, now) in [("node:a", NOW), ("node:b", NOW.plus_seconds(100)), ("node;", NOW), ("mode", NOW)] {
        assert!(claim(store, name, ONE, now).await);
    }
    // Each is claimed for 60 seconds.
    for (own, before, left) in [
        ("node:b", NOW.plus_seconds(1_000), true),
        ("node:b", NOW.plus_seconds(100), true),
        ("node:a", NOW.plus_seconds(60), true),
        ("node:a", NOW.plus_seconds(61), false),
    ] {
        let mut tx = begin(store, TenantId::PLATFORM).await;
        tx.forget_nodes(own, before).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(!claim(store, "node:a", TWO, NOW.plus_seconds(59)).await, left, "{own} {before}");
    }
    for other in ["node:b", "node;", "mode"] {
        assert!(!claim(store, other, TWO, NOW.plus_seconds(59)).await, "{other}");
    }
}

/// Of many at once exactly one has it.
pub async fn claims_at_once_give_one_leader(store: &impl Backend) {
    let mut tasks = tokio::task::JoinSet::new();
    for node in 1..9 {
        let store = store.clone();
        tasks.spawn(async move { claim(&store, "a", NodeId::from_bytes([node; 16]), NOW).await });
    }
    let ours = tasks.join_all().await;
    assert_eq!(ours.iter().filter(|ours| **ours).count(), 1, "{ours:?}");
}

/// Jobs are the platform's alone.
pub async fn only_the_platform_has_jobs(store: &impl Backend) {
    assert!(unavailable(begin(store, OURS).await.claim_job("a", ONE, NOW, NOW).await));
}
