//! Facts §6.1, sentence by sentence, with every question to the issuer counted.

use std::sync::atomic::{AtomicI64, AtomicUsize};

use async_trait::async_trait;
use chancery_crypto::{KeyMaterial, KeyType, SystemRandom};
use serde_json::json;

use super::*;
use crate::identity_providers::Document;

const START: i64 = 1_790_000_000;
const ISSUER: &str = "https://id.example";

struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }
}

/// An issuer whose answers the test changes.
struct Issuer {
    kids: Mutex<Vec<&'static str>>,
    fails: AtomicBool,
    max_age: Mutex<Option<u32>>,
    asked: AtomicUsize,
    /// Answers only when there is a permit.
    gate: tokio::sync::Semaphore,
    /// How long each of its answers takes.
    slow: Mutex<Duration>,
    key: serde_json::Value,
}

#[async_trait]
impl DocumentFetcher for Issuer {
    async fn fetch(&self, url: &str) -> Result<Document, FetchError> {
        let of = |value: serde_json::Value| value.to_string().into_bytes();
        let slow = *self.slow.lock().unwrap();
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        if url == "https://id.example/.well-known/openid-configuration" {
            let body = of(json!({"issuer": ISSUER, "jwks_uri": "https://id.example/keys", "more": 1}));
            return Ok(Document { body, max_age: None });
        }
        assert_eq!(url, "https://id.example/keys");
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        if self.fails.load(Ordering::SeqCst) {
            return Err(FetchError::Unreachable);
        }
        let keys: Vec<_> = self
            .kids
            .lock()
            .unwrap()
            .iter()
            .map(|kid| {
                let mut key = self.key.clone();
                key["kid"] = json!(kid);
                key
            })
            .collect();
        Ok(Document { body: of(json!({"keys": keys})), max_age: *self.max_age.lock().unwrap() })
    }
}

struct World {
    issuer: Arc<Issuer>,
    clock: Arc<Hands>,
    sets: Arc<KeySets>,
    source: Source,
}

fn world() -> World {
    let key = KeyMaterial::generate(KeyType::EcP256, &SystemRandom).unwrap().public().unwrap().jwk();
    let issuer = Arc::new(Issuer {
        kids: Mutex::new(vec!["a"]),
        fails: AtomicBool::default(),
        max_age: Mutex::new(Some(600)),
        asked: AtomicUsize::default(),
        gate: tokio::sync::Semaphore::new(1_000_000),
        slow: Mutex::default(),
        key: serde_json::to_value(&key).unwrap(),
    });
    let clock = Arc::new(Hands(AtomicI64::new(START)));
    let sets = Arc::new(KeySets::new(issuer.clone(), clock.clone()));
    let source = Source { profile: Profile::Oidc, issuer: ISSUER.to_owned(), jwks_uri: None };
    World { issuer, clock, sets, source }
}

impl World {
    async fn knows(&self, kid: &str) -> Result<(), Missing> {
        self.knows_from(kid, None).await
    }

    async fn knows_from(&self, kid: &str, address: Option<IpAddr>) -> Result<(), Missing> {
        self.sets.with(&self.source, kid, address).await.map(drop)
    }

    fn asked(&self) -> usize {
        self.issuer.asked.load(Ordering::SeqCst)
    }

    fn later(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    /// Until what goes on in the background is done.
    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn keys_are_good_for_as_long_as_the_issuer_says_within_bounds() {
    for (says, holds) in [(Some(600), 600), (Some(1), 300), (Some(90_000), 3_600), (None, 600), (Some(0), 300)] {
        let world = world();
        *world.issuer.max_age.lock().unwrap() = says;
        assert_eq!(world.knows("a").await, Ok(()));
        world.later(holds * 4 / 5 - 1);
        assert_eq!(world.knows("a").await, Ok(()));
        world.settle().await;
        assert_eq!(world.asked(), 1, "{says:?}");
        // Past the end somebody waits for the answer.
        world.later(holds / 5 + 1);
        assert_eq!(world.knows("a").await, Ok(()));
        assert_eq!(world.asked(), 2, "{says:?}");
    }
}

#[tokio::test]
async fn keys_are_renewed_in_the_background_before_they_run_out() {
    let world = world();
    assert_eq!(world.knows("a").await, Ok(()));
    world.later(480);
    // Nobody waits: the issuer does not even answer yet.
    let held = world.issuer.gate.acquire_many(999_999).await.unwrap();
    assert_eq!(world.knows("a").await, Ok(()));
    assert_eq!(world.knows("a").await, Ok(()));
    drop(held);
    world.settle().await;
    assert_eq!(world.asked(), 2, "one of them asked");
    world.later(479);
    assert_eq!(world.knows("a").await, Ok(()));
    assert_eq!(world.asked(), 2, "and they are good for ten minutes more");
}

#[tokio::test]
async fn one_asks_and_all_wait_for_it() {
    let world = Arc::new(world());
    let all: Vec<_> = (0..50)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.knows("a").await })
        })
        .collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    assert_eq!(world.asked(), 1);
    assert_eq!(world.sets.fetches(), KeyFetches { fetched: 1, failed: 0 });
}

#[tokio::test]
async fn few_wait_for_an_issuer_and_the_others_are_told_that_it_is_busy() {
    let world = Arc::new(world());
    let busy = Err(Missing::Unavailable(FetchError::Busy));
    assert_eq!(world.knows("a").await, Ok(()));
    world.later(31);
    *world.issuer.kids.lock().unwrap() = vec!["a", "b"];
    // The issuer does not answer yet.
    let held = world.issuer.gate.acquire_many(999_999).await.unwrap();
    let all: Vec<_> = (0..MAX_WAITING + 50)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.knows("b").await })
        })
        .collect();
    world.settle().await;
    assert_eq!(world.knows("b").await, busy);
    assert_eq!(world.knows("a").await, Ok(()), "who brings a known key waits for nobody");
    let other = Source { issuer: "https://id.example".to_owned(), profile: Profile::Auth0, jwks_uri: None };
    let elsewhere = world.sets.slot(&other);
    assert_eq!(elsewhere.waiting.available_permits(), MAX_WAITING, "each issuer has its own");
    drop(held);
    let mut told = [0, 0];
    for one in all {
        match one.await.unwrap() {
            Ok(()) => told[0] += 1,
            refused => {
                assert_eq!(refused, busy);
                told[1] += 1;
            }
        }
    }
    assert_eq!(told, [MAX_WAITING, 50]);
    assert_eq!(world.asked(), 2);
    assert_eq!(world.knows("b").await, Ok(()));
}

#[tokio::test]
async fn both_documents_together_have_one_deadline() {
    let slow = async |each: u64, patience: u64| {
        let mut world = world();
        Arc::get_mut(&mut world.sets).unwrap().patience = Duration::from_millis(patience);
        *world.issuer.slow.lock().unwrap() = Duration::from_millis(each);
        world.knows("a").await
    };
    assert_eq!(slow(5, 10_000).await, Ok(()));
    // Each of them is in time, and both are not.
    assert_eq!(slow(300, 450).await, Err(Missing::Unavailable(FetchError::Unreachable)));
}

#[tokio::test]
async fn known_keys_go_on_for_a_day_while_the_issuer_does_not_answer() {
    let world = world();
    assert_eq!(world.knows("a").await, Ok(()));
    world.issuer.fails.store(true, Ordering::SeqCst);
    world.later(601);
    for _ in 0..100 {
        assert_eq!(world.knows("a").await, Ok(()));
    }
    assert_eq!(world.asked(), 2, "once in half a minute, not for every token");
    assert_eq!(world.knows("b").await, Err(Missing::Unavailable(FetchError::Unreachable)), "which may be right");
    world.later(86_400 - 602);
    assert_eq!(world.knows("a").await, Ok(()));
    world.later(1);
    assert_eq!(world.knows("a").await, Err(Missing::Unavailable(FetchError::Unreachable)));
    world.issuer.fails.store(false, Ordering::SeqCst);
    world.later(30);
    assert_eq!(world.knows("a").await, Ok(()));
}

#[tokio::test]
async fn a_key_that_is_new_is_found_and_one_that_is_gone_is_gone() {
    let world = world();
    assert_eq!(world.knows("a").await, Ok(()));
    *world.issuer.kids.lock().unwrap() = vec!["b"];
    assert_eq!(world.knows("b").await, Err(Missing::Unknown), "within the cooldown");
    world.later(30);
    assert_eq!(world.knows("b").await, Ok(()));
    assert_eq!(world.knows("a").await, Err(Missing::Unknown));
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_twice_a_minute_and_keeps_nobody_out() {
    let world = world();
    assert_eq!(world.knows("a").await, Ok(()));
    for second in 0..60 {
        for n in 0..50 {
            assert_eq!(world.knows(&format!("{second}-{n}")).await, Err(Missing::Unknown));
        }
        assert_eq!(world.knows("a").await, Ok(()));
        world.later(1);
    }
    assert_eq!(world.asked(), 2, "at first, and after 30 s");
}

#[tokio::test]
async fn a_key_that_the_issuer_did_not_know_is_not_asked_for_again_for_five_minutes() {
    let world = world();
    assert_eq!(world.knows("a").await, Ok(()));
    world.later(30);
    assert_eq!(world.knows("x").await, Err(Missing::Unknown));
    assert_eq!(world.asked(), 2);
    for _ in 0..9 {
        world.later(31);
        assert_eq!(world.knows("x").await, Err(Missing::Unknown));
    }
    assert_eq!(world.asked(), 2);
    world.later(31);
    assert_eq!(world.knows("x").await, Err(Missing::Unknown));
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn one_address_does_not_spend_what_all_have() {
    let world = world();
    *world.issuer.max_age.lock().unwrap() = Some(3_600);
    assert_eq!(world.knows("a").await, Ok(()));
    let (attacker, other): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "192.0.2.7".parse().unwrap());
    let beside: IpAddr = "2001:db8::ffff:1".parse().unwrap();
    for n in 0..9 {
        world.later(30);
        let from = if n % 2 == 0 { attacker } else { beside };
        assert_eq!(world.knows_from(&format!("x{n}"), Some(from)).await, Err(Missing::Unknown));
    }
    assert_eq!(world.asked(), 1 + 5, "five in five minutes for a /64");
    *world.issuer.kids.lock().unwrap() = vec!["a", "b"];
    assert_eq!(world.knows_from("b", Some(attacker)).await, Err(Missing::Unknown));
    assert_eq!(world.knows_from("b", Some(other)).await, Ok(()));
}

#[test]
fn all_together_have_a_budget_that_comes_back() {
    let mut budget = Budget::default();
    let at = |seconds| Timestamp::from_seconds(START + seconds);
    let from = |n: u8| Some(IpAddr::from([192, 0, 2, n]));
    assert_eq!((0..100).filter(|n| budget.spend(from(*n), at(0))).count(), 20);
    assert!(!budget.spend(from(200), at(2)));
    assert!(budget.spend(from(200), at(3)));
    assert!(!budget.spend(from(201), at(3)));
    assert_eq!((0..100).filter(|n| budget.spend(from(*n), at(1_000))).count(), 20);
}

#[tokio::test]
async fn a_set_without_a_good_key_replaces_nothing() {
    let world = world();
    assert_eq!(world.knows("a").await, Ok(()));
    world.issuer.kids.lock().unwrap().clear();
    world.later(30);
    assert!(matches!(world.knows("b").await, Err(Missing::Unavailable(FetchError::Malformed(_)))));
    assert_eq!(world.knows("a").await, Ok(()));
    assert_eq!(world.sets.fetches(), KeyFetches { fetched: 1, failed: 1 });
}

#[tokio::test]
async fn an_issuer_that_never_answered_is_asked_twice_a_minute() {
    let world = world();
    world.issuer.fails.store(true, Ordering::SeqCst);
    for _ in 0..60 {
        assert_eq!(world.knows("a").await, Err(Missing::Unavailable(FetchError::Unreachable)));
        world.later(1);
    }
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn another_place_of_the_keys_is_another_source() {
    let world = world();
    assert_eq!(world.knows("a").await, Ok(()));
    let source = Source { jwks_uri: Some("https://id.example/keys".to_owned()), ..world.source.clone() };
    assert!(world.sets.with(&source, "a", None).await.is_ok());
    assert_eq!(world.asked(), 2);
}
