//! A cluster of three: what belongs together lies together, and everything works as on one server.

use std::{sync::Arc, time::Duration};

use chancery_domain::{
    api_keys::ApiKeyShelf as _,
    ids::ApiKeyId,
    limits::{Ask, Limit, Limiter as _, Policy},
    lockouts::{Ladder, LadderKind, Ladders as _},
    replays::Replays as _,
    time::Timestamp,
};
use chancery_redis::{Herald, Link, RedisLadders, RedisLimiter, RedisReplays, RedisShelf, Word, testing::Cluster};
use tokio::sync::mpsc;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_040);
const PATIENCE: Duration = Duration::from_secs(3);

async fn link(cluster: &Cluster) -> Arc<Link> {
    let link = Link::open(cluster.options(PATIENCE)).await.unwrap();
    assert!(link.is_there());
    link
}

/// One test, because a cluster takes seconds to come about.
#[tokio::test]
async fn everything_that_nodes_share_works_over_a_cluster() {
    let Some(cluster) = Cluster::start().await else { return };
    let (here, there) = (link(&cluster).await, link(&cluster).await);
    limits_are_shared(&cluster, [Arc::clone(&here), Arc::clone(&there)]).await;
    failures_are_shared([Arc::clone(&here), Arc::clone(&there)]).await;
    let (one, other) = (RedisReplays::new(Arc::clone(&here)), RedisReplays::new(Arc::clone(&there)));
    for n in 0..8 {
        assert!(!one.seen(&[n; 32], 60, NOW).await.unwrap());
        assert!(other.seen(&[n; 32], 60, NOW).await.unwrap());
    }
    let (one, other) = (RedisShelf::new(Arc::clone(&here)), RedisShelf::new(Arc::clone(&there)));
    for n in 0..8 {
        let id = ApiKeyId::from_bytes([n; 16]);
        one.put(id, vec![n], 60).await;
        while other.find(id).await.is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        other.remove(id).await;
        assert_eq!(one.find(id).await, None);
    }
    // What is said on any of its servers is heard on the others.
    let (said, mut words) = mpsc::channel(8);
    let ears = tokio::spawn(async move { Herald::new(there).listen(said).await });
    assert_eq!(words.recv().await, Some(Word::Missed));
    Herald::new(here).say(Word::Revoked).await;
    let heard = tokio::time::timeout(Duration::from_secs(5), words.recv()).await;
    assert_eq!(heard.unwrap(), Some(Word::Revoked));
    ears.abort();
}

/// Of as many tenants that their counters lie on every server.
async fn limits_are_shared(cluster: &Cluster, nodes: [Arc<Link>; 2]) {
    let nodes = nodes.map(RedisLimiter::new);
    let policies: Vec<Policy> = [("one", 3), ("two", 500)]
        .into_iter()
        .map(|(name, count)| Policy::new(name, Limit { count, seconds: 3_600 }).unwrap())
        .collect();
    for tenant in 0..24_u8 {
        let asks: Vec<Ask<'_>> =
            policies.iter().map(|policy| Ask { policy, limit: policy.limit, of: [tenant; 16], cost: 1 }).collect();
        let mut allowed = 0;
        for turn in 0..5 {
            let answers = nodes[turn % 2].take(&[tenant; 16], &asks, NOW).await.unwrap();
            allowed += u32::from(answers.iter().all(|answer| answer.allowed));
        }
        assert_eq!(allowed, 3, "of tenant {tenant}");
        nodes[0].forget(&[tenant; 16], &asks).await.unwrap();
        assert!(nodes[0].take(&[tenant; 16], &asks, NOW).await.unwrap()[0].allowed);
    }
    for server in cluster.servers() {
        let keys = format!("{:?}", server.tell(&["DBSIZE"]).await);
        assert!(keys != "int(0)" && keys != "Int(0)", "nothing lies on one of them");
    }
}

async fn failures_are_shared(nodes: [Arc<Link>; 2]) {
    let nodes = nodes.map(RedisLadders::new);
    for tenant in 0..8_u8 {
        let on = [LadderKind::Pair, LadderKind::Account].map(|kind| Ladder { kind, of: [3; 16] });
        let mut paused = None;
        for turn in 0..6 {
            paused = nodes[turn % 2].climb(&[tenant; 16], &on, NOW).await.unwrap();
        }
        assert_eq!(paused, Some(1), "of tenant {tenant}");
        nodes[0].know(&[tenant; 16], &on[0], NOW).await.unwrap();
        assert!(nodes[1].knows(&[tenant; 16], &on[0], NOW).await.unwrap());
        nodes[0].clear(&[tenant; 16], &on).await.unwrap();
    }
}
