//! Several nodes over one Redis count together.

use std::{sync::Arc, time::Duration};

use chancery_domain::{
    limits::{Ask, Limit, Limiter, Policy},
    time::Timestamp,
};
use chancery_redis::{RedisLimiter, testing::Server};
use futures_util::FutureExt as _;

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

/// However many ask at once, and so together: each request is counted whole or not at all, and none more than the limit says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_ask_together_are_judged_each_for_itself() {
    let Some(server) = Server::start().await else { return };
    let nodes = [RedisLimiter::new(server.link().await), RedisLimiter::new(server.link().await)].map(Arc::new);
    for (name, count) in [("exact", 50), ("windows", 150)] {
        let shared = Policy::new(name, Limit { count, seconds: 86_400 }).unwrap();
        let own = Policy::new("own", Limit { count: 1, seconds: 86_400 }).unwrap();
        let of = |n: u128| (n + 1_000 * u128::from(count)).to_be_bytes();
        let tasks: Vec<_> = (0..400_u128)
            .map(|n| {
                let (node, own, shared) = (Arc::clone(&nodes[usize::from(n % 2 == 0)]), own.clone(), shared.clone());
                let of = of(n);
                tokio::spawn(async move {
                    let own = Ask { policy: &own, limit: own.limit, of, cost: 1 };
                    let shared = Ask { policy: &shared, limit: shared.limit, of: [1; 16], cost: 1 };
                    node.take(&[1; 16], &[own, shared], NOW).await.unwrap().iter().all(|answer| answer.allowed)
                })
            })
            .collect();
        let mut allowed = 0;
        for (n, task) in (0..).zip(tasks) {
            let got_through = task.await.unwrap();
            allowed += u32::from(got_through);
            let look = Ask { policy: &own, limit: own.limit, of: of(n), cost: 0 };
            let left = nodes[0].take(&[1; 16], &[look], NOW).await.unwrap()[0].remaining;
            assert_eq!(left, u32::from(!got_through), "{name} {n}");
        }
        assert_eq!(allowed, count, "{name}");
    }
}

/// A client that hangs up as soon as it has asked takes nobody along.
#[tokio::test]
async fn who_gives_up_leaves_nobody_behind_that_asked_with_it() {
    let Some(server) = Server::start().await else { return };
    let limiter = RedisLimiter::new(server.link().await);
    let policy = Policy::new("p", Limit { count: 5, seconds: 60 }).unwrap();
    let asks = [Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 1 }];
    assert!(limiter.take(&[1; 16], &asks, NOW).now_or_never().is_none(), "it waits for Redis");
    let next = tokio::time::timeout(Duration::from_secs(5), limiter.take(&[1; 16], &asks, NOW)).await;
    let answer = next.unwrap().unwrap()[0];
    assert_eq!((answer.limit, answer.remaining), (5, 3), "by Redis, which counted the first one too");
}

/// Windows of another length are other windows: their numbers mean nothing to each other.
#[tokio::test]
async fn a_limit_whose_window_changes_begins_anew() {
    let Some(server) = Server::start().await else { return };
    let limiter = RedisLimiter::new(server.link().await);
    for (seconds, allowed) in [(60, true), (86_400, true), (60, false)] {
        let policy = Policy::new("p", Limit { count: 500, seconds }).unwrap();
        let ask = Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 300 };
        let answer = limiter.take(&[1; 16], &[ask], NOW).await.unwrap()[0];
        assert_eq!(answer.allowed, allowed, "{seconds} {answer:?}");
    }
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
