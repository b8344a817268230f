//! How fast limits are (PF-03, design §12). `cargo test --release -p chancery-redis --test it -- --ignored --nocapture speed::`

use std::{hint::black_box, sync::Arc, time::Instant};

use chancery_domain::{
    limits::{Ask, Limit, Limiter as _, LocalLimiter, Policy},
    time::Timestamp,
};
use chancery_redis::{RedisLimiter, testing::Server};

/// How many requests are judged.
const LOCAL: u32 = 1_000_000;
const SHARED: usize = 160_000;
/// How many ask at once.
const ASKING: usize = 32;
const NOW: Timestamp = Timestamp::from_seconds(1_790_000_040);

/// The three limits of a request: its API key's, its account's, its tenant's.
fn policies() -> [Policy; 3] {
    ["api_key", "account", "tenant"].map(|name| Policy::new(name, Limit { count: 1_000_000_000, seconds: 60 }).unwrap())
}

/// Of one of the callers of one tenant.
fn asks(policies: &[Policy; 3], caller: u128) -> [Ask<'_>; 3] {
    policies.each_ref().map(|policy| {
        let of = if policy.name() == "tenant" { [1; 16] } else { caller.to_be_bytes() };
        Ask { policy, limit: policy.limit, of, cost: 1 }
    })
}

#[tokio::test]
#[ignore = "a measurement"]
async fn three_limits_in_process() {
    let (limiter, policies) = (LocalLimiter::default(), policies());
    let began = Instant::now();
    for n in 0..LOCAL {
        // A thousand callers of one tenant.
        black_box(limiter.take(&[1; 16], &asks(&policies, u128::from(n % 1_000)), NOW).await.unwrap());
    }
    println!("{{\"limits_local_ns\":{}}}", began.elapsed().as_nanos() as f64 / f64::from(LOCAL));
}

/// Beside a script that does nothing, by the same client over one connection, asked by as many at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn three_limits_over_redis_beside_a_script_that_does_nothing() {
    let Some(server) = Server::start().await else { return };
    let limiter = Arc::new(RedisLimiter::new(server.link().await));
    let limits = rate(|asking| {
        let limiter = Arc::clone(&limiter);
        async move {
            let policies = policies();
            for n in 0..SHARED / ASKING {
                // Whoever asks at the same time asks for another caller.
                let caller = (asking * 31 + n) as u128 % 1_000;
                limiter.take(&[1; 16], &asks(&policies, caller), NOW).await.unwrap();
            }
        }
    });
    let limits = limits.await;
    let (script, connection) = (Arc::new(redis::Script::new("return 0")), server.connection().await);
    let nothing = rate(|_| {
        let (script, mut connection) = (Arc::clone(&script), connection.clone());
        async move {
            for _ in 0..SHARED / ASKING {
                let _: u8 = script.key("rl:{x}").invoke_async(&mut connection).await.unwrap();
            }
        }
    });
    println!("{{\"limits_redis_per_s\":{limits},\"evalsha_per_s\":{}}}", nothing.await);
}

async fn rate<W: Future<Output = ()> + Send + 'static>(work: impl Fn(usize) -> W) -> f64 {
    let began = Instant::now();
    let tasks: Vec<_> = (0..ASKING).map(|asking| tokio::spawn(work(asking))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    SHARED as f64 / began.elapsed().as_secs_f64()
}
