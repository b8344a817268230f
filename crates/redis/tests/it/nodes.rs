//! Several nodes over one Redis count together.

use std::sync::Arc;

use chancery_domain::{
    limits::{Ask, Limit, Limiter, Policy},
    time::Timestamp,
};
use chancery_redis::{RedisLimiter, testing::Server};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_040);

/// The total is exact, whoever counts: here of 6,000 requests; `cargo xtask limits-proof` has 100,000.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_let_through_as_many_as_one() {
    let Some(server) = Server::start().await else { return };
    let nodes = [RedisLimiter::new(server.link().await), RedisLimiter::new(server.link().await)].map(Arc::new);
    // A window as long as a day: no edge of one falls into the test.
    let policy = Policy::new("total", Limit { count: 2_500, seconds: 86_400 }).unwrap();
    let mut tasks = Vec::new();
    for node in &nodes {
        for _ in 0..6 {
            let (node, policy) = (Arc::clone(node), policy.clone());
            tasks.push(tokio::spawn(async move {
                let mut allowed = 0_u32;
                for _ in 0..500 {
                    let ask = Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 1 };
                    allowed += u32::from(node.take(&[1; 16], &[ask], NOW).await.unwrap()[0].allowed);
                }
                allowed
            }));
        }
    }
    let mut allowed = 0;
    for task in tasks {
        allowed += task.await.unwrap();
    }
    assert_eq!(allowed, 2_500);
}

/// A change of a limit's form is no mistake of types in Redis.
#[tokio::test]
async fn a_limit_may_become_exact_and_back() {
    let Some(server) = Server::start().await else { return };
    let limiter = RedisLimiter::new(server.link().await);
    for exact in [false, true, false] {
        let policy = Policy::new("p", Limit { count: 50, seconds: 60 }).unwrap().exact(exact);
        let ask = Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 1 };
        assert!(limiter.take(&[1; 16], &[ask], NOW).await.unwrap()[0].allowed);
    }
}

/// Nothing lies in Redis for ever.
#[tokio::test]
async fn every_key_has_an_end() {
    let Some(server) = Server::start().await else { return };
    let limiter = RedisLimiter::new(server.link().await);
    for exact in [false, true] {
        let policy = Policy::new("p", Limit { count: 50, seconds: 60 }).unwrap().exact(exact);
        let ask = Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 1 };
        limiter.take(&[1; 16], &[ask], NOW).await.unwrap();
    }
    let info = format!("{:?}", server.tell(&["INFO", "keyspace"]).await);
    assert!(info.contains("keys=2,expires=2"), "{info}");
}
