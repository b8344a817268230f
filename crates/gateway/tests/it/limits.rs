//! A route's limits count, refuse, and tell what is left.

use std::sync::Arc;

use chancery_domain::limits::{Limit, LimitSettings, On, Per, Policy, Rule};
use chancery_gateway::{Authentication, Mode, Route};

use crate::{
    application::telling,
    stage::{Stage, route},
};

/// Twice a minute per address, and three times per API key.
fn limits() -> LimitSettings {
    let rule = |name, count, per| {
        let policy = Policy::new(name, Limit { count, seconds: 60 }).unwrap();
        Rule { policy: Arc::new(policy), per, on: On::Named }
    };
    LimitSettings {
        rules: vec![rule("pages", 2, Per::Address), rule("staff", 3, Per::ApiKey)],
        ..LimitSettings::default()
    }
}

async fn limited(path: &str, names: &[&str], change: impl FnOnce(&mut Route)) -> Route {
    let mut limited = route(path, telling().await);
    limited.limits = names.iter().map(|name| (*name).to_owned()).collect();
    change(&mut limited);
    limited
}

#[tokio::test]
async fn a_route_lets_an_address_through_so_often_and_says_what_is_left() {
    let stage =
        Stage::limited(vec![limited("/a", &["pages"], |_| ()).await, route("/b", telling().await)], limits()).await;
    for left in ["1", "0"] {
        let answer = stage.send("GET", "/a", &[]).await;
        answer.seen();
        assert_eq!(answer.headers["x-ratelimit-remaining"], left, "{}", answer.whole);
        assert_eq!(answer.headers["ratelimit-policy"], "\"pages\";q=2;w=60");
    }
    let refused = stage.send("GET", "/a", &[]).await;
    refused.refused(429, "ratelimit.exceeded");
    let wait: u32 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{}", refused.whole);
    stage.send("GET", "/b", &[]).await.seen();
}

#[tokio::test]
async fn a_limit_that_is_named_twice_or_counts_everything_anyway_counts_a_request_once() {
    let twice = limited("/a", &["pages", "pages"], |_| ()).await;
    let anyway = limited("/b", &["all"], |_| ()).await;
    let mut limits = limits();
    let all = Policy::new("all", Limit { count: 50, seconds: 60 }).unwrap();
    limits.rules.push(Rule { policy: Arc::new(all), per: Per::Address, on: On::Everything });
    let stage = Stage::limited(vec![twice, anyway], limits).await;
    for left in ["1", "0"] {
        assert_eq!(stage.send("GET", "/a", &[]).await.headers["x-ratelimit-remaining"], left);
    }
    for left in ["47", "46"] {
        assert_eq!(stage.send("GET", "/b", &[]).await.headers["x-ratelimit-remaining"], left);
    }
}

#[tokio::test]
async fn a_route_counts_callers_once_it_knows_them_and_addresses_before() {
    let both = limited("/a", &["pages", "staff"], |route| route.authentication = Authentication::Required).await;
    let keys = limited("/k", &["staff"], |route| route.authentication = Authentication::Required).await;
    let stage = Stage::limited(vec![both, keys], limits()).await;
    let (_, key) = stage.key("staff").await;
    let (_, other) = stage.key("staff").await;
    let key = format!("X-API-Key: {key}");
    for _ in 0..3 {
        stage.send("GET", "/k", &[&key]).await.seen();
    }
    let refused = stage.send("GET", "/k", &[&key]).await;
    refused.refused(429, "ratelimit.exceeded");
    assert!(refused.whole.contains("staff"), "{}", refused.whole);
    stage.send("GET", "/k", &[&format!("X-API-Key: {other}")]).await.seen();
    // Strangers use an address up before anybody looks at a credential.
    for status in [401, 401, 429] {
        assert_eq!(stage.send("GET", "/a", &["X-API-Key: x"]).await.status.as_u16(), status);
    }
}

#[tokio::test]
async fn a_limit_of_a_route_that_does_not_enforce_only_tells() {
    let shadowed = limited("/a", &["pages"], |route| route.mode = Mode::Shadow).await;
    let block = Policy::new("block", Limit { count: 1, seconds: 60 }).map(Arc::new);
    let stage = Stage::limited(vec![shadowed], LimitSettings { block_after: block, ..limits() }).await;
    for told in ["pass", "pass", "would-refuse; code=ratelimit.exceeded", "would-refuse; code=ratelimit.exceeded"] {
        let answer = stage.send("GET", "/a", &[]).await;
        answer.seen();
        assert_eq!(answer.headers["x-chancery-verdict"], told);
        assert!(!answer.headers.contains_key("x-ratelimit-limit"), "it is nobody's business yet");
    }
    let sights = stage.gateway.observed().sights();
    let sight = &sights["/a"];
    assert_eq!((sight.requests, sight.would_refuse["ratelimit.exceeded"]), (4, 2));
}

/// A route that named it was let through uncounted.
#[tokio::test]
async fn a_limit_that_nobody_knows_lets_nobody_through() {
    let stage = Stage::limited(vec![limited("/a", &["pages", "page"], |_| ()).await], limits()).await;
    stage.send("GET", "/a", &[]).await.refused(500, "internal");
}
