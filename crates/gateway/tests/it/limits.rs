//! A route's limits count, refuse, and tell what is left.

use std::sync::Arc;

use chancery_domain::limits::{Limit, LimitSettings, On, Per, Policy, Rule};
use chancery_gateway::{Authentication, Mode, Route};

use crate::{
    application::{header, served, telling},
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

/// An application with limits of its own: what it says of them, and what the client is told.
async fn told(own: &'static [(&'static str, &'static str)]) -> http::HeaderMap {
    let answer = move || async move {
        let mut headers = http::HeaderMap::new();
        for (name, value) in own {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    };
    let app = served(axum::Router::new().route("/a", axum::routing::get(answer))).await;
    let mut own = route("/a", app);
    own.limits = vec!["pages".to_owned()];
    let answer = Stage::limited(vec![own], limits()).await.send("GET", "/a", &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.whole);
    answer.headers
}

/// The gateway's own counts took the place of the application's, and told its clients that more was left than there was.
#[tokio::test]
async fn an_applications_own_limits_are_told_beside_ours_and_never_loosened() {
    let all = |headers: &http::HeaderMap, name: &str| {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(", ")
    };
    let numbers = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    let three = |headers: &http::HeaderMap| numbers.map(|name| all(headers, name));

    let less = told(&[("x-ratelimit-limit", "5"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "17")]).await;
    assert_eq!(three(&less), ["5", "0", "17"]);
    assert_eq!(less["ratelimit-policy"], "\"pages\";q=2;w=60", "ours is told in the list all the same");
    let more =
        told(&[("x-ratelimit-limit", "500"), ("x-ratelimit-remaining", "400"), ("x-ratelimit-reset", "17")]).await;
    let [limit, remaining, reset] = three(&more);
    assert_eq!((limit.as_str(), remaining.as_str()), ("2", "1"), "ours is the tighter one");
    assert_ne!(reset, "17", "all three are of one limit");
    let odd = told(&[("x-ratelimit-remaining", "few")]).await;
    assert_eq!(three(&odd), ["", "few", ""]);

    let lists = told(&[("ratelimit-policy", "\"hourly\";q=9;w=3600"), ("ratelimit", "\"hourly\";r=1;t=9")]).await;
    assert_eq!(all(&lists, "ratelimit-policy"), "\"hourly\";q=9;w=3600, \"pages\";q=2;w=60");
    assert!(all(&lists, "ratelimit").starts_with("\"hourly\";r=1;t=9, \"pages\";r=1;t="), "{lists:?}");
    assert_eq!(lists["x-ratelimit-remaining"], "1");
    let older = told(&[("ratelimit", "limit=9, remaining=1, reset=9")]).await;
    assert_eq!(all(&older, "ratelimit"), "limit=9, remaining=1, reset=9");
}

/// Limits on every request, which no route names: so often in a minute.
fn on_everything(per: Per, count: u32) -> LimitSettings {
    let policy = Policy::new("all", Limit { count, seconds: 60 }).unwrap();
    let rule = Rule { policy: Arc::new(policy), per, on: On::Everything };
    LimitSettings { rules: vec![rule], ..LimitSettings::default() }
}

/// Limits on everything were counted before anybody asked for the mode.
#[tokio::test]
async fn an_address_limit_refuses_nobody_while_a_route_observes() {
    let observed = limited("/a", &[], |route| route.mode = Mode::Observe).await;
    let stage = Stage::limited(vec![observed, route("/b", telling().await)], on_everything(Per::Address, 2)).await;
    for _ in 0..4 {
        let answer = stage.send("GET", "/a", &[]).await;
        answer.seen();
        assert!(!answer.headers.contains_key("ratelimit"), "it is nobody's business yet: {}", answer.whole);
    }
    assert_eq!(stage.gateway.observed().sights()["/a"].would_refuse["ratelimit.exceeded"], 2);
    stage.send("GET", "/b", &[]).await.refused(429, "ratelimit.exceeded");
    stage.send("GET", "/nowhere", &[]).await.refused(429, "ratelimit.exceeded");
}

#[tokio::test]
async fn a_limit_of_callers_costs_nobody_their_name_while_a_route_is_watched() {
    let shadowed = limited("/a", &[], |route| {
        (route.mode, route.authentication, route.plain_identity) = (Mode::Shadow, Authentication::Required, true);
    })
    .await;
    // The administrator who makes the key has the same limit.
    let stage = Stage::limited(vec![shadowed], on_everything(Per::ApiKey, 5)).await;
    let (id, key) = stage.key("staff").await;
    let key = format!("X-API-Key: {key}");
    for told in ["pass", "pass", "pass", "pass", "pass", "would-refuse; code=ratelimit.exceeded"] {
        let answer = stage.send("GET", "/a", &[&key]).await;
        assert_eq!(answer.headers["x-chancery-verdict"], told);
        assert_eq!(header(&answer.seen(), "x-auth-subject"), Some(id.clone()), "who calls is known all the same");
    }
}
