//! A Redis that answers after 200 ms, and one whose clock was set back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chancery_domain::{
    limits::{Answer, Ask, Limit, Limiter as _, OnLoss, Policy},
    time::Timestamp,
};
use chancery_redis::{Link, RedisLimiter, testing::Server};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_040);

/// Stands between, and passes on what Redis says so many milliseconds later.
struct Delay {
    port: u16,
    millis: Arc<AtomicU64>,
}

impl Delay {
    async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let millis = Arc::new(AtomicU64::default());
        let wait = Arc::clone(&millis);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let wait = Arc::clone(&wait);
                tokio::spawn(async move {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
                        tokio::time::sleep(Duration::from_millis(wait.load(Ordering::Relaxed))).await;
                        if to_client.write_all(&bytes[..read]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port: own, millis }
    }
}

async fn take(limiter: &RedisLimiter, policy: &Policy) -> Option<Answer> {
    let ask = Ask { policy, limit: policy.limit, of: [1; 16], cost: 1 };
    limiter.take(&[1; 16], &[ask], NOW).await.ok().map(|answers| answers[0])
}

/// Given up after 50 ms, never waited for again, and shared again once it is quick.
#[tokio::test]
async fn a_redis_that_takes_200_ms_is_not_waited_for_and_comes_back() {
    let Some(server) = Server::start().await else { return };
    let delay = Delay::before(server.address().port).await;
    let mut options = server.options(Duration::from_millis(50));
    options.address.port = delay.port;
    let link = Link::open(options).await.unwrap();
    let limiter = RedisLimiter::new(Arc::clone(&link));
    let policy = |name, on_loss| Policy::new(name, Limit { count: 1_000, seconds: 3_600 }).unwrap().on_loss(on_loss);
    let (local, closed) = (policy("local", OnLoss::Local), policy("closed", OnLoss::Closed));
    let is_shared = async || {
        let deadline = Instant::now() + Duration::from_secs(20);
        // A busy machine may be slow once more.
        while take(&limiter, &local).await.is_none_or(|answer| answer.limit != 1_000) {
            assert!(Instant::now() < deadline, "limits are not shared");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    is_shared().await;
    delay.millis.store(200, Ordering::Relaxed);
    let began = Instant::now();
    assert_eq!(take(&limiter, &local).await.unwrap().limit, 500, "this node's half");
    let gave_up = began.elapsed();
    assert!((Duration::from_millis(45)..Duration::from_secs(1)).contains(&gave_up), "{gave_up:?}");
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(take(&limiter, &local).await.unwrap().limit, 500);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "a hundred more did not wait: {:?}", began.elapsed());
    assert_eq!(take(&limiter, &closed).await, None);
    // It is looked for meanwhile, and found too slow each time.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!link.is_there());
    delay.millis.store(0, Ordering::Relaxed);
    is_shared().await;
}

/// Four words, and what they tell of, took longer together than one answer may: a server that was slow and there counted as away, and
/// what was done as not done.
#[tokio::test]
async fn each_word_has_the_time_of_an_answer() {
    let Some(server) = Server::start().await else { return };
    let delay = Delay::before(server.address().port).await;
    let mut options = server.options(Duration::from_secs(1));
    options.address.port = delay.port;
    let link = Link::open(options).await.unwrap();
    let limiter = RedisLimiter::new(Arc::clone(&link));
    let policies = ["a", "b", "c", "d"].map(|name| Policy::new(name, Limit { count: 5, seconds: 3_600 }).unwrap());
    let asks: Vec<Ask<'_>> =
        policies.iter().map(|policy| Ask { policy, limit: policy.limit, of: [1; 16], cost: 1 }).collect();
    delay.millis.store(400, Ordering::Relaxed);
    limiter.forget(&[1; 16], &asks).await.unwrap();
    assert!(link.is_there());
}

/// What lies there is from the future then: it counts on from now, and frees nobody, nor locks anybody out for longer.
#[tokio::test]
async fn a_clock_of_redis_that_was_set_back_frees_nobody() {
    let Some(server) = Server::start().await else { return };
    let limiter = RedisLimiter::new(server.link().await);
    for (name, count) in [("exact", 5), ("windows", 500)] {
        let policy = Policy::new(name, Limit { count, seconds: 60 }).unwrap();
        let kind = if policy.exact { "e" } else { "w60" };
        let place = format!("rl:{{{0}}}:{name}:{0}:{kind}", "AQEBAQEBAQEBAQEBAQEBAQ");
        // All of it was used a day from now.
        let write = if policy.exact {
            "string.rep(struct.pack('<I8', (now + 86400) * 1000), ARGV[1])"
        } else {
            "struct.pack('<I8I4I4', math.floor(now / 60) + 1440, ARGV[1], 0)"
        };
        let script = format!("local now = redis.call('TIME')[1]; return redis.call('SET', KEYS[1], {write})");
        server.tell(&["EVAL", &script, "1", &place, &count.to_string()]).await;
        let answer = take(&limiter, &policy).await.unwrap();
        assert!(!answer.allowed, "{name}: {answer:?}");
        assert!(answer.retry_ms <= 120_000, "{name}: {answer:?}");
    }
}
