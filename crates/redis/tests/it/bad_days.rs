//! Redis is away, slow, flushed, back, of the wrong kind: limits become stricter and nothing hangs.

use std::time::{Duration, Instant};

use chancery_domain::{
    api_keys::ApiKeyShelf as _,
    ids::ApiKeyId,
    instance::Failure,
    limits::{Answer, Ask, Limit, Limiter, OnLoss, Policy},
    lockouts::{Ladder, LadderKind, Ladders as _},
    replays::Replays as _,
    time::Timestamp,
};
use chancery_redis::{
    Herald, Link, Options, RedisLadders, RedisLimiter, RedisReplays, RedisShelf, Refused, Word, testing::Server,
};
use tokio::sync::mpsc;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_040);
/// As in production.
const IN_TIME: Duration = Duration::from_millis(50);

fn policy(name: &str, count: u32, on_loss: OnLoss) -> Policy {
    Policy::new(name, Limit { count, seconds: 3_600 }).unwrap().on_loss(on_loss)
}

async fn take(limiter: &RedisLimiter, policy: &Policy, of: u8) -> Option<Answer> {
    let ask = Ask { policy, limit: policy.limit, of: [of; 16], cost: 1 };
    limiter.take(&[of; 16], &[ask], NOW).await.ok().map(|answers| answers[0])
}

async fn allowed(limiter: &RedisLimiter, policy: &Policy, of: u8, tries: u32) -> u32 {
    let mut allowed = 0;
    for _ in 0..tries {
        allowed += u32::from(take(limiter, policy, of).await.is_some_and(|answer| answer.allowed));
    }
    allowed
}

async fn is_back(link: &Link) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !link.is_there() {
        assert!(Instant::now() < deadline, "the link did not come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn killed_it_makes_limits_stricter_each_by_its_mode() {
    let Some(mut server) = Server::start().await else { return };
    let link = server.link().await;
    let limiter = RedisLimiter::new(link.clone());
    let (local, closed, open) =
        (policy("local", 10, OnLoss::Local), policy("closed", 10, OnLoss::Closed), policy("open", 10, OnLoss::Open));
    assert_eq!(allowed(&limiter, &local, 1, 3).await, 3);
    server.kill().await;
    // Half of ten is this node's part, and three of it are used.
    assert_eq!(allowed(&limiter, &local, 1, 9).await, 2);
    assert_eq!(allowed(&limiter, &local, 2, 9).await, 5);
    let ask = Ask { policy: &closed, limit: closed.limit, of: [1; 16], cost: 1 };
    // Of those that are asked together the one that is closed is named.
    let refused = limiter.take(&[1; 16], &[Ask { policy: &local, ..ask }, ask], NOW).await;
    assert!(matches!(refused, Err(Failure::Uncounted(names, _)) if names == ["closed"]));
    assert_eq!(allowed(&limiter, &open, 1, 20).await, 20);
    let replays = RedisReplays::new(link.clone());
    assert!(replays.seen(&[1; 32], 60, NOW).await.is_err(), "what cannot be remembered is refused");
    // It comes back empty: what this node let through still counts here.
    server.start_again().await;
    is_back(&link).await;
    assert_eq!(allowed(&limiter, &local, 1, 20).await, 5);
    assert_eq!(allowed(&limiter, &closed, 1, 20).await, 10);
}

/// A part of a limit may be small enough to be exact where the limit is not: what was counted till then must count on.
#[tokio::test]
async fn what_was_counted_still_counts_when_a_part_of_the_limit_is_small() {
    let Some(mut server) = Server::start().await else { return };
    let limiter = RedisLimiter::new(server.link().await);
    let policy = policy("local", 10, OnLoss::Local);
    assert!(policy.exact);
    // As of a whole network, which has sixteen times the limit of an address.
    let ask = Ask { policy: &policy, limit: Limit { count: 160, ..policy.limit }, of: [1; 16], cost: 1 };
    for _ in 0..100 {
        assert!(limiter.take(&[1; 16], &[ask], NOW).await.unwrap()[0].allowed);
    }
    server.kill().await;
    let answer = limiter.take(&[1; 16], &[ask], NOW).await.unwrap()[0];
    assert!(!answer.allowed && answer.limit == 80, "{answer:?}");
}

#[tokio::test]
async fn slow_it_is_given_up_in_time_and_nobody_waits_for_it_again() {
    let Some(server) = Server::start().await else { return };
    let link = Link::open(server.options(IN_TIME)).await.unwrap();
    let limiter = RedisLimiter::new(link.clone());
    let policy = policy("local", 1_000, OnLoss::Local);
    is_back(&link).await;
    // 200 ms for every answer, as long as the test takes.
    server.tell(&["CLIENT", "PAUSE", "3000", "ALL"]).await;
    let started = Instant::now();
    let answer = take(&limiter, &policy, 1).await.unwrap();
    assert!(answer.allowed && answer.limit == 500, "{answer:?}");
    assert!(started.elapsed() < Duration::from_millis(1_000), "{:?}", started.elapsed());
    let started = Instant::now();
    assert_eq!(allowed(&limiter, &policy, 1, 100).await, 100);
    assert!(started.elapsed() < Duration::from_millis(1_000), "a hundred more did not wait: {:?}", started.elapsed());
    assert!(!link.is_there());
    // A busy machine may be slow once more.
    let deadline = Instant::now() + Duration::from_secs(20);
    is_back(&link).await;
    while take(&limiter, &policy, 1).await.unwrap().limit != 1_000 {
        assert!(Instant::now() < deadline, "limits are not shared again");
        is_back(&link).await;
    }
}

#[tokio::test]
async fn a_script_that_is_forgotten_is_told_again_and_a_flush_frees_nobody_here() {
    let Some(server) = Server::start().await else { return };
    let limiter = RedisLimiter::new(server.link().await);
    let policy = policy("p", 10, OnLoss::Closed);
    assert_eq!(allowed(&limiter, &policy, 1, 4).await, 4);
    server.tell(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(allowed(&limiter, &policy, 1, 4).await, 4);
    server.tell(&["FLUSHALL"]).await;
    assert_eq!(allowed(&limiter, &policy, 1, 9).await, 2);
}

/// It failed the whole call, and with it all who asked at the same time.
#[tokio::test]
async fn a_counter_of_a_form_that_is_not_ours_begins_anew_and_fails_nobody_else() {
    let Some(server) = Server::start().await else { return };
    let limiter = RedisLimiter::new(server.link().await);
    for (count, kind) in [(10, "e"), (500, "w3600")] {
        let policy = policy("p", count, OnLoss::Closed);
        let writes = ["'SET', KEYS[1], 'abc'", "'SET', KEYS[1], string.rep('9', 70001)", "'LPUSH', KEYS[1], 'x'"];
        for (of, write) in (1..).zip(writes) {
            let subject = data_encoding::BASE64URL_NOPAD.encode(&[of; 16]);
            let script = format!("return redis.call({write})");
            server.tell(&["EVAL", &script, "1", &format!("rl:{{{subject}}}:p:{subject}:{kind}")]).await;
            let (odd, other) = tokio::join!(take(&limiter, &policy, of), take(&limiter, &policy, of + 100));
            for answer in [odd, other] {
                let answer = answer.expect("Redis answers");
                assert_eq!(
                    (answer.allowed, answer.limit, answer.remaining),
                    (true, count, count - 1),
                    "{kind} {write}"
                );
            }
            assert_eq!(take(&limiter, &policy, of).await.unwrap().remaining, count - 2, "it is a counter again");
        }
        // As long as one of ours, and of a time that never comes: its subject waits for it to end, and nobody else does.
        let (of, subject) = (9, data_encoding::BASE64URL_NOPAD.encode(&[9; 16]));
        let script = "return redis.call('SET', KEYS[1], string.rep('\\255', 16))";
        server.tell(&["EVAL", script, "1", &format!("rl:{{{subject}}}:p:{subject}:{kind}")]).await;
        let (odd, other) = tokio::join!(take(&limiter, &policy, of), take(&limiter, &policy, of + 100));
        assert_eq!(odd.expect("Redis answers").limit, count);
        assert!(other.expect("Redis answers").allowed);
    }
}

#[tokio::test]
async fn a_redis_that_forgets_or_that_is_not_ours_is_not_used() {
    let Some(server) = Server::start_with(&["--maxmemory-policy", "allkeys-lru"]).await else { return };
    let refused = Link::open(server.options(IN_TIME)).await.err().unwrap();
    assert!(matches!(&refused, Refused::Evicts(policy) if policy == "allkeys-lru"), "{refused}");
    let bounded = ["--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"];
    let Some(server) = Server::start_with(&bounded).await else { return };
    let refused = Link::open(server.options(IN_TIME)).await.err().unwrap();
    assert!(matches!(&refused, Refused::Evicts(policy) if policy == "volatile-ttl"), "{refused}");
    let Some(server) = Server::start_with(&bounded[2..]).await else { return };
    Link::open(server.options(IN_TIME)).await.unwrap();
    // With a wrong password it is as good as away, and says so.
    let mut address = server.address();
    address.password = Some(chancery_crypto::Secret::new("wrong".to_owned()));
    let link = Link::open(Options { address, ..server.options(IN_TIME) }).await.unwrap();
    assert!(!link.is_there());
    let limiter = RedisLimiter::new(link);
    assert_eq!(allowed(&limiter, &policy("p", 10, OnLoss::Local), 1, 9).await, 5);
}

/// What the guide says that a user needs is enough for everything, inside scripts too.
#[tokio::test]
async fn the_permissions_of_the_guide_are_enough() {
    let Some(server) = Server::start().await else { return };
    let guide = include_str!("../../../../docs/guides/limits.md");
    let commands = guide.split('`').find(|text| text.starts_with("+eval ")).unwrap();
    let keys = ["~rl:*", "~ld:*", "~lk:*", "~rp:*", "~ak:*", "&chancery:word"];
    for key in &keys[..5] {
        assert!(guide.contains(&format!("`{}`", &key[1..])), "{key}");
    }
    let mut words = vec!["ACL", "SETUSER", "edge", "on", ">Private-Redis-of-a-test-8"];
    words.extend(keys.into_iter().chain(commands.split(' ')));
    server.tell(&words).await;
    let mut address = server.address();
    address.username = Some("edge".to_owned());
    address.password = Some(chancery_crypto::Secret::new("Private-Redis-of-a-test-8".to_owned()));
    let link = Link::open(Options { address, ..server.options(Duration::from_secs(2)) }).await.unwrap();
    assert!(link.is_there());
    let limiter = RedisLimiter::new(link.clone());
    for count in [3, 300] {
        let policy = policy("p", count, OnLoss::Closed);
        let ask = Ask { policy: &policy, limit: policy.limit, of: [1; 16], cost: 2 };
        let answers = limiter.take(&[1; 16], &[ask], NOW).await.unwrap();
        assert_eq!((answers[0].limit, answers[0].remaining), (count, count - 2));
        limiter.forget(&[1; 16], &[ask]).await.unwrap();
    }
    let (ladders, replays) = (RedisLadders::new(link.clone()), RedisReplays::new(link.clone()));
    let on = [Ladder { kind: LadderKind::Pair, of: [1; 16] }];
    ladders.climb(&[1; 16], &on, NOW).await.unwrap();
    ladders.step_back(&[1; 16], &on).await.unwrap();
    ladders.know(&[1; 16], &on[0], NOW).await.unwrap();
    ladders.clear(&[1; 16], &on).await.unwrap();
    // By another node, which did not see it itself.
    assert!(RedisLadders::new(link.clone()).knows(&[1; 16], &on[0], NOW).await.unwrap());
    assert!(!replays.seen(&[1; 32], 60, NOW).await.unwrap());
    replays.forget(&[1; 32]).await.unwrap();
    let (shelf, id) = (RedisShelf::new(link.clone()), ApiKeyId::from_bytes([1; 16]));
    shelf.put(id, vec![1], 60).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while shelf.find(id).await.is_none() {
        assert!(Instant::now() < deadline, "nothing is on the shelf");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shelf.remove(id).await;
    let (said, mut words) = mpsc::channel(8);
    let herald = Herald::new(link);
    tokio::select! {
        () = herald.listen(said) => {}
        heard = async { words.recv().await; herald.say(Word::Revoked).await; words.recv().await } => {
            assert_eq!(heard, Some(Word::Revoked));
        }
    }
    // Ladders go on without Redis, and tell nobody; what a script was forbidden is in its log of refusals.
    let refused = format!("{:?}", server.tell(&["ACL", "LOG"]).await);
    assert!(!refused.contains("lua"), "{refused}");
}

#[tokio::test]
async fn a_user_of_its_access_list_with_an_odd_password_logs_in() {
    let Some(server) = Server::start().await else { return };
    let password = "p@ss:w/ö#%41?rd of 16";
    server.tell(&["ACL", "SETUSER", "edge", "on", &format!(">{password}"), "~*", "&*", "+@all"]).await;
    let mut address = server.address();
    address.username = Some("edge".to_owned());
    address.password = Some(chancery_crypto::Secret::new(password.to_owned()));
    let options = Options { address, ..server.options(Duration::from_secs(2)) };
    let link = Link::open(options).await.unwrap();
    assert!(link.is_there());
    assert_eq!(allowed(&RedisLimiter::new(link), &policy("p", 3, OnLoss::Closed), 1, 5).await, 3);
}
