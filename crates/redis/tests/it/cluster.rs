//! A cluster of three: what belongs together lies together, and everything works as on one server.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chancery_domain::{
    api_keys::ApiKeyShelf as _,
    ids::ApiKeyId,
    limits::{Ask, Limit, Limiter as _, OnLoss, Policy},
    lockouts::{Ladder, LadderKind, Ladders as _},
    replays::Replays as _,
    time::Timestamp,
};
use chancery_redis::{
    Herald, Link, RedisLadders, RedisLimiter, RedisReplays, RedisShelf, Word,
    testing::{Cluster, Server},
};
use futures_util::future::join_all;
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

/// Such as a service that hides its servers behind one address: a call for several tenants is refused there once, and not made again.
#[tokio::test]
async fn a_cluster_behind_one_address_is_asked_for_each_tenant_apart() {
    let Some(server) = Server::start_with(&["--cluster-enabled", "yes"]).await else { return };
    server.tell(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    let limiter = RedisLimiter::new(server.link().await);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let judged = join_all((0..8).map(|tenant| limit(&limiter, tenant, OnLoss::Local))).await;
        if judged.iter().all(|limit| *limit == Some(WHOLE)) {
            break;
        }
        assert!(Instant::now() < deadline, "{judged:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The last slot of the first server.
const FIRST: i64 = 5_460;
/// A limit, and the part of it that a node keeps to by itself.
const WHOLE: u32 = 100_000;
const PART: u32 = 50_000;

/// Where the counters of a tenant lie.
async fn slot(cluster: &Cluster, tenant: u8) -> i64 {
    let key = format!("{{{}}}", data_encoding::BASE64URL_NOPAD.encode(&[tenant; 16]));
    redis::from_redis_value(cluster.servers()[1].tell(&["CLUSTER", "KEYSLOT", &key]).await).unwrap()
}

/// By which limit a tenant is judged; none if it is refused.
async fn limit(limiter: &RedisLimiter, tenant: u8, on_loss: OnLoss) -> Option<u32> {
    let policy = Policy::new("p", Limit { count: WHOLE, seconds: 3_600 }).unwrap().on_loss(on_loss);
    let ask = Ask { policy: &policy, limit: policy.limit, of: [tenant; 16], cost: 1 };
    limiter.take(&[tenant; 16], &[ask], NOW).await.ok().map(|answers| answers[0].limit)
}

/// Until each tenant is judged as is expected of it.
async fn eventually(limiter: &RedisLimiter, expected: &[(u8, u32)]) {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let mut odd = Vec::new();
        for (tenant, by) in expected {
            let limit = limit(limiter, *tenant, OnLoss::Local).await;
            if limit != Some(*by) {
                odd.push((*tenant, limit));
            }
        }
        if odd.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "not as expected: {odd:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// While a server is away its tenants are counted by each node for itself, or refused, and nobody waits; the others notice nothing. Slots
/// move, the server comes back, and all is as before.
#[tokio::test]
async fn a_server_of_a_cluster_that_is_away_costs_only_those_that_lie_there() {
    const IN_TIME: Duration = Duration::from_millis(500);
    let Some(mut cluster) = Cluster::start().await else { return };
    let link = Link::open(cluster.options(IN_TIME)).await.unwrap();
    let limiter = RedisLimiter::new(Arc::clone(&link));
    let (mut there, mut away) = (Vec::new(), Vec::new());
    for tenant in 0..24 {
        let slot = slot(&cluster, tenant).await;
        if slot <= FIRST { away.push(tenant) } else { there.push(tenant) }
    }
    // Of a part of the slots in which no other tenant lies.
    let moved = away.remove(0);
    assert!(there.len() > 4 && away.len() > 2);
    let expect = |away_by: u32| -> Vec<(u8, u32)> {
        let there = there.iter().chain([&moved]).map(|tenant| (*tenant, WHOLE));
        there.chain(away.iter().map(|tenant| (*tenant, away_by))).collect()
    };
    // A slot moves to another server before anybody used it.
    let id: String = redis::from_redis_value(cluster.servers()[1].tell(&["CLUSTER", "MYID"]).await).unwrap();
    let slot = slot(&cluster, moved).await.to_string();
    for server in cluster.servers() {
        server.tell(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]).await;
    }
    eventually(&limiter, &expect(WHOLE)).await;

    cluster.server(0).kill().await;
    eventually(&limiter, &expect(PART)).await;
    assert!(!link.is_there());
    let began = Instant::now();
    for _ in 0..20 {
        for tenant in &away {
            assert_eq!(limit(&limiter, *tenant, OnLoss::Local).await, Some(PART));
            assert_eq!(limit(&limiter, *tenant, OnLoss::Closed).await, None);
        }
    }
    assert!(began.elapsed() < Duration::from_secs(2), "nobody waits for it: {:?}", began.elapsed());

    cluster.server(0).start_again().await;
    eventually(&limiter, &expect(WHOLE)).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !link.is_there() {
        assert!(Instant::now() < deadline, "a part of it is still taken for away");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
