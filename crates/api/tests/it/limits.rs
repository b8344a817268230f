//! Limits, seen from outside.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use axum::{body::Body, extract::ConnectInfo};
use chancery_domain::{
    blocks::answer_violations,
    limits::{Limit, LimitEvent, LimitSettings, On, Per, Policy, Rule, flush_violations, tell_if_off},
};
use chancery_middleware::Limits;
use chancery_testkit::Raw;
use http::Request;
use serde_json::{Value, json};

use crate::app::{Backend, Reply, TestApp, request};

pub(crate) fn rule(name: &str, count: u32, per: Per, on: On) -> Rule {
    let policy = Policy::new(name, Limit { count, seconds: 60 }).unwrap();
    Rule { policy: Arc::new(policy), per, on }
}

fn with(rules: Vec<Rule>) -> LimitSettings {
    LimitSettings { rules, ..LimitSettings::default() }
}

fn login(from: &str, forwarded: Option<&str>) -> Request<Body> {
    let body = json!({"tenant": "ours", "username": "nobody", "password": "Wrong-Horse-7-Battery"});
    from_address(request("POST", "/v1/auth/login", Some(body)), from, forwarded)
}

pub(crate) fn from_address(mut request: Request<Body>, from: &str, forwarded: Option<&str>) -> Request<Body> {
    let peer = SocketAddr::new(from.parse().unwrap(), 4711);
    request.extensions_mut().insert(ConnectInfo(peer));
    if let Some(forwarded) = forwarded {
        request.headers_mut().insert("x-forwarded-for", forwarded.parse().unwrap());
    }
    request
}

pub(crate) fn header(reply: &Reply, name: &str) -> String {
    reply.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_login_is_tried_five_times_a_minute_from_one_address() {
    let app = TestApp::new().await.again(|settings| settings.limits = LimitSettings::usual()).await;
    for left in (0..5).rev() {
        let reply = app.send(login("203.0.113.9", None)).await;
        reply.refused(401, "auth.login_failed");
        assert_eq!(header(&reply, "x-ratelimit-limit"), "5");
        assert_eq!(header(&reply, "x-ratelimit-remaining"), left.to_string());
    }
    let told = app.send(login("203.0.113.9", None)).await;
    told.refused(429, "ratelimit.exceeded");
    assert_eq!(told.json()["violated-policies"], json!(["login"]));
    assert_eq!(told.json()["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    let wait: i64 = header(&told, "retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(header(&told, "ratelimit-policy"), "\"login\";q=5;w=60");
    assert_eq!(header(&told, "ratelimit"), format!("\"login\";r=0;t={wait}"));
    let reset: i64 = header(&told, "x-ratelimit-reset").parse().unwrap();
    assert!((0..=2).contains(&(1_790_000_000 + wait - reset).abs()), "{reset}");
    // The older path counts with it, another address apart, and other operations are not limited.
    let body = json!({"tenant": "ours", "username": "x", "password": "y"});
    let older = from_address(request("POST", "/auth/login", Some(body)), "203.0.113.9", None);
    app.send(older).await.refused(429, "ratelimit.exceeded");
    app.send(login("203.0.113.10", None)).await.refused(401, "auth.login_failed");
    app.send(from_address(request("GET", "/livez", None), "203.0.113.9", None)).await;
    app.clock.advance_seconds(wait);
    app.send(login("203.0.113.9", None)).await.refused(401, "auth.login_failed");
}

/// The windows of estimated limits begin at one moment for everybody, who were all told to come back in it.
#[tokio::test]
async fn not_everybody_is_told_to_come_back_at_one_moment() {
    let door = || vec![rule("door", 101, Per::Address, On::Routes(vec!["GET /livez".to_owned()]))];
    let app = TestApp::new().await.again(|settings| settings.limits = with(door())).await;
    let knock = || app.send(from_address(request("GET", "/livez", None), "203.0.113.9", None));
    let free_in = |reply: &Reply| -> u64 { header(reply, "ratelimit").rsplit_once("t=").unwrap().1.parse().unwrap() };
    let (mut told, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..101 {
        told.insert(free_in(&knock().await));
    }
    for _ in 0..50 {
        let reply = knock().await;
        reply.refused(429, "ratelimit.exceeded");
        let wait: u64 = header(&reply, "retry-after").parse().unwrap();
        assert_eq!(wait, free_in(&reply), "not earlier than it is free");
        refused.insert(wait);
    }
    for waits in [&told, &refused] {
        let (first, last) = (waits.first().unwrap(), waits.last().unwrap());
        assert!(first < last && *last <= first + 12, "{first} {last}");
    }
    app.clock.advance_seconds(i64::try_from(*refused.first().unwrap()).unwrap());
    assert_eq!(knock().await.status, 200, "who waits as long as told gets in");
}

#[tokio::test]
async fn a_registration_is_tried_three_times_a_minute() {
    let app = TestApp::new().await.again(|settings| settings.limits = LimitSettings::usual()).await;
    let body = json!({"tenant": "ours", "username": "x", "email": "x@x.test", "password": "Right-Horse-7-Battery"});
    let mut replies = Vec::new();
    for _ in 0..4 {
        replies.push(app.anonymous("POST", "/v1/auth/register", Some(body.clone())).await.status.as_u16());
    }
    assert!(replies[..3].iter().all(|status| *status != 429), "{replies:?}");
    assert_eq!(replies[3], 429);
}

#[tokio::test]
async fn a_whole_ipv6_network_is_one_address_and_what_a_client_forwards_is_none() {
    let app = TestApp::new()
        .await
        .again(|settings| settings.limits = LimitSettings { lockouts: false, ..LimitSettings::usual() })
        .await;
    for n in 0..6 {
        let reply = app.send(login(&format!("2001:db8:1:2::{n}"), None)).await;
        assert_eq!(reply.status.as_u16() == 429, n == 5);
    }
    for n in 0..6 {
        let reply = app.send(login("203.0.113.9", Some(&format!("198.51.100.{n}")))).await;
        assert_eq!(reply.status.as_u16() == 429, n == 5, "no proxy is trusted");
    }
    let trusted = Limits { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Limits::default() };
    let app = app.door(trusted);
    for n in 0..6 {
        let reply = app.send(login("10.0.0.1", Some(&format!("198.51.100.{n}, 203.0.113.77")))).await;
        assert_eq!(reply.status.as_u16() == 429, n == 5, "the left-most address is whatever the client wrote");
    }
    app.send(login("10.0.0.1", Some("203.0.113.78"))).await.refused(401, "auth.login_failed");
}

/// A home has a network of 56 bits, with 256 of 64 bits: together they have sixteen times the limit of one, and use up no neighbour's.
#[tokio::test]
async fn a_network_of_56_bits_has_a_limit_too_and_locks_no_neighbour_out() {
    let door = || vec![rule("door", 2, Per::Address, On::Routes(vec!["GET /livez".to_owned()]))];
    let app = TestApp::new().await.again(|settings| settings.limits = with(door())).await;
    let knock = async |address: &str| app.send(from_address(request("GET", "/livez", None), address, None)).await;
    for n in 0..16 {
        for left in [1, 0] {
            let reply = knock(&format!("2001:db8:7:{n:x}::1")).await;
            assert_eq!(reply.status, 200, "{n}");
            assert_eq!(header(&reply, "ratelimit"), format!("\"door\";r={left};t=60"), "of its own network alone");
        }
    }
    let told = knock("2001:db8:7:ff::1").await;
    told.refused(429, "ratelimit.exceeded");
    assert_eq!(told.json()["violated-policies"], json!(["door"]));
    assert_eq!((header(&told, "x-ratelimit-limit"), header(&told, "x-ratelimit-remaining")), ("32".into(), "0".into()));
    assert_eq!(knock("2001:db8:7:ff00::1").await.status, 200, "a neighbour in the same network of 48 bits");
    assert_eq!(knock("2001:db8:8::1").await.status, 200, "another network");
    assert_eq!(knock("203.0.113.9").await.status, 200);
    // Who looks after the platform sees them all, and lets them begin anew.
    let whom = json!({"address": "2001:db8:7:ff::1"});
    let limits = app.post(&app.admin, "/v1/ratelimit/check", whom.clone()).await.ok()["limits"].clone();
    let shown =
        |at: usize| (limits[at]["count"].clone(), limits[at]["remaining"].clone(), limits[at]["network"].clone());
    assert_eq!(shown(0), (json!(2), json!(2), json!(false)));
    assert_eq!(shown(1), (json!(32), json!(0), json!(true)));
    assert_eq!(shown(2), (json!(512), json!(479), json!(true)));
    assert_eq!(app.post(&app.admin, "/v1/ratelimit/reset", whom).await.status, 204);
    assert_eq!(knock("2001:db8:7:ff::1").await.status, 200);
}

/// Who has a whole network of 48 bits does not begin anew with each of its parts.
#[tokio::test]
async fn a_network_of_48_bits_has_a_limit_too() {
    let door = || vec![rule("door", 1, Per::Address, On::Routes(vec!["GET /livez".to_owned()]))];
    let app = TestApp::new().await.again(|settings| settings.limits = with(door())).await;
    let knock = async |address: &str| app.send(from_address(request("GET", "/livez", None), address, None)).await;
    for n in 0..256 {
        assert_eq!(knock(&format!("2001:db8:7:{:x}::1", n % 16 * 256 + n / 16)).await.status, 200, "{n}");
    }
    let told = knock("2001:db8:7:ff00::1").await;
    told.refused(429, "ratelimit.exceeded");
    assert_eq!(header(&told, "x-ratelimit-limit"), "256");
    assert_eq!(knock("2001:db8:8::1").await.status, 200);
}

#[tokio::test]
async fn every_response_tells_what_is_left_refusals_too() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let rules = vec![
        rule("address", 100, Per::Address, On::Everything),
        rule("tenant", 90, Per::Tenant, On::Everything),
        rule("roles", 2, Per::Tenant, On::Routes(vec!["GET /v1/roles".to_owned()])),
    ];
    let limited = app.again(|settings| settings.limits = with(rules)).await;
    let unknown = limited.anonymous("GET", "/nowhere", None).await;
    unknown.refused(404, "not_found");
    assert_eq!(header(&unknown, "x-ratelimit-remaining"), "99");
    let stranger = limited.anonymous("GET", "/v1/auth/session", None).await;
    stranger.refused(401, "auth.credential_missing");
    assert_eq!(header(&stranger, "ratelimit-policy"), "\"address\";q=100;w=60");
    let known = limited.get(&clinic.staff, "/v1/auth/session").await;
    known.ok();
    assert_eq!(header(&known, "ratelimit-policy"), "\"address\";q=100;w=60, \"tenant\";q=90;w=60");
    assert_eq!(header(&known, "x-ratelimit-limit"), "100", "the one of which the least part is left");

    // An operation's own limit, for all callers of the tenant; others are not touched by it.
    for caller in [&clinic.auditor, &clinic.admin] {
        limited.get(caller, "/v1/roles").await.ok();
    }
    let told = limited.get(&clinic.officer, "/v1/roles").await;
    told.refused(429, "ratelimit.exceeded");
    assert_eq!(told.json()["violated-policies"], json!(["roles"]));
    assert_eq!((header(&told, "x-ratelimit-limit"), header(&told, "x-ratelimit-remaining")), ("2".into(), "0".into()));
    let after = limited.get(&clinic.officer, "/v1/auth/session").await;
    after.ok();
    assert!(header(&after, "ratelimit").contains("\"tenant\";r=86;"), "a refused request counted nothing");
    assert!(header(&limited.get(&app.admin, "/v1/roles").await, "ratelimit").contains("\"roles\";r=1;"));
}

#[tokio::test]
async fn a_watched_limit_refuses_nobody_and_is_counted() {
    let app = TestApp::new().await;
    let policy = Policy::new("trial", Limit { count: 1, seconds: 60 }).unwrap().shadow(true);
    let trial = Rule { policy: Arc::new(policy), per: Per::Address, on: On::Everything };
    let limited = app.again(|settings| settings.limits = with(vec![trial])).await;
    for _ in 0..3 {
        let reply = limited.anonymous("GET", "/livez", None).await;
        assert!(reply.status.is_success() && !reply.headers.contains_key("x-ratelimit-limit"));
    }
    let counts = limited.instance.limit_counts().counts();
    assert!(counts.contains(&("trial".to_owned(), LimitEvent::Watched, 2)), "{counts:?}");
}

#[tokio::test]
async fn the_switch_turns_all_of_them_off() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let body = json!({"description": "x", "roles": ["service"], "rate_limit": 1});
    let made = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    let holder = crate::app::Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    let off = LimitSettings { enabled: false, ..LimitSettings::usual() };
    let unlimited = app.again(|settings| settings.limits = off).await;
    for _ in 0..7 {
        unlimited.send(login("203.0.113.9", None)).await.refused(401, "auth.login_failed");
        let reply = unlimited.get(&holder, "/v1/auth/session").await;
        reply.ok();
        assert!(!reply.headers.contains_key("x-ratelimit-limit"));
    }
}

/// RL-03.
#[tokio::test]
async fn switched_off_in_production_the_log_tells_of_it_at_each_start() {
    for (enabled, events) in [(true, 0), (false, 1)] {
        let app = TestApp::production_with(|settings| settings.limits.enabled = enabled).await;
        tell_if_off(&app.instance).await.unwrap();
        let body = json!({"description": "a", "roles": ["platform_auditor"], "expires_in_days": 1, "allowed_cidrs": ["192.0.2.0/24"]});
        let made = app.post(&app.admin, "/v1/api-keys", body).await.created();
        let auditor = crate::app::Caller { bearer: made["key"].as_str().unwrap().to_owned() };
        assert_eq!(app.events(&auditor, "limits.disabled").await.len(), events);
    }
    let app = TestApp::new().await.again(|settings| settings.limits.enabled = false).await;
    tell_if_off(&app.instance).await.unwrap();
}

/// For all tenants, before anything else is looked at.
#[tokio::test]
async fn a_blocked_address_is_not_answered_until_it_is_let_in_again() {
    let app = TestApp::new().await;
    let from = |address: &str| from_address(request("GET", "/livez", None), address, None);
    let block = |network: &str| json!({"network": network, "reason": "scans", "seconds": 60});
    let made = app.post(&app.admin, "/v1/ip-blocks", block("203.0.113.0/24")).await.created();
    assert_eq!((made["network"].clone(), made["automatic"].clone()), (json!("203.0.113.0/24"), json!(false)));
    app.send(from("203.0.113.77")).await.refused(403, "address.blocked");
    assert!(app.send(from("203.0.114.1")).await.status.is_success());
    let known = app.admin.sign(from_address(request("GET", "/v1/tenants", None), "203.0.113.77", None));
    app.send(known).await.refused(403, "address.blocked");
    let made = app.post(&app.admin, "/v1/ip-blocks", block("203.0.113.0/24")).await.created();
    for (network, pointer) in [("0.0.0.0/0", "/network"), ("192.0.2.0/24", "/network"), ("here", "/network")] {
        let reply = app.post(&app.admin, "/v1/ip-blocks", block(network)).await;
        reply.refused(422, "request.invalid");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer);
    }
    let listed = app.get(&app.admin, "/v1/ip-blocks").await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    // Another node knows it once it looks.
    let other = app.again(|_| ()).await;
    assert!(other.send(from("203.0.113.77")).await.status.is_success());
    chancery_domain::blocks::load(&other.instance).await.unwrap();
    other.send(from("203.0.113.77")).await.refused(403, "address.blocked");

    let path = format!("/v1/ip-blocks/{}", made["id"].as_str().unwrap());
    assert_eq!(app.call(&app.admin, "DELETE", &path, None).await.status, 204);
    app.call(&app.admin, "DELETE", &path, None).await.refused(404, "not_found");
    assert!(app.send(from("203.0.113.77")).await.status.is_success());
    app.post(&app.admin, "/v1/ip-blocks", block("2001:db8::/48")).await.created();
    app.send(from("2001:db8:0:5::1")).await.refused(403, "address.blocked");
    app.clock.advance_seconds(60);
    assert!(app.send(from("2001:db8:0:5::1")).await.status.is_success(), "it has expired");
}

/// RL-12, RL-16.
#[tokio::test]
async fn who_is_refused_is_written_down_and_who_is_refused_again_and_again_is_blocked_for_a_while() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let made = app.post(&app.admin, "/v1/api-keys", json!({"description": "a", "roles": ["platform_auditor"]})).await;
    let auditor = crate::app::Caller { bearer: made.created()["key"].as_str().unwrap().to_owned() };
    let rules = vec![
        rule("tenant", 3, Per::Tenant, On::Routes(vec!["GET /v1/roles".to_owned()])),
        rule("door", 1, Per::Address, On::Routes(vec!["GET /livez".to_owned()])),
    ];
    let block_after = Policy::new("block", Limit { count: 4, seconds: 600 }).map(Arc::new);
    let limited = app.again(|settings| settings.limits = LimitSettings { block_after, ..with(rules) }).await;
    for _ in 0..5 {
        limited.get(&clinic.staff, "/v1/roles").await;
    }
    let knock = || async { limited.send(from_address(request("GET", "/livez", None), "203.0.113.9", None)).await };
    for _ in 0..5 {
        knock().await;
    }
    assert_eq!(answer_violations(&limited.instance).await.unwrap(), 0, "four refusals are not more than four");
    knock().await.refused(429, "ratelimit.exceeded");
    assert_eq!(answer_violations(&limited.instance).await.unwrap(), 1);
    knock().await.refused(403, "address.blocked");
    flush_violations(&limited.instance).await.unwrap();

    let details = |events: &[Value]| {
        let core = events[0]["core"].as_str().unwrap();
        serde_json::from_str::<Value>(core).unwrap()["detail"].clone()
    };
    let events = app.events(&clinic.auditor, "limits.exceeded").await;
    assert_eq!((events.len(), details(&events)), (1, json!({"count": 2, "policy": ["tenant"]})));
    let events = app.events(&auditor, "limits.exceeded").await;
    assert_eq!((events.len(), details(&events)), (1, json!({"count": 5, "policy": ["door"]})));
    let blocks = app.get(&app.admin, "/v1/ip-blocks").await.ok();
    let block = &blocks["items"][0];
    assert_eq!((&block["network"], &block["automatic"]), (&json!("203.0.113.9/32"), &json!(true)));
    assert_eq!(app.events(&auditor, "address.blocked").await.len(), 1);
    // It ends by itself; an administrator can end it before.
    let path = format!("/v1/ip-blocks/{}", block["id"].as_str().unwrap());
    assert_eq!(limited.call(&app.admin, "DELETE", &path, None).await.status, 204);
    limited.clock.advance_seconds(61);
    assert!(knock().await.status.is_success());
}

pub(crate) async fn made(app: &TestApp, clinic: &crate::app::Clinic, name: &str) -> String {
    let user = json!({"username": name, "email": format!("{name}@x.test"), "roles": ["staff"], "password": PASSWORD});
    app.post(&clinic.admin, "/v1/users", user).await.created()["id"].as_str().unwrap().to_owned()
}

pub(crate) const PASSWORD: &str = "Correct-Horse-7-Battery";

pub(crate) async fn log_in(app: &TestApp, name: &str, password: &str, from: &str) -> Reply {
    let body = json!({"tenant": "ours", "username": name, "password": password});
    app.send(from_address(request("POST", "/v1/auth/login", Some(body)), from, None)).await
}

/// The ladder, and that nobody learns from it who is there.
#[tokio::test]
async fn failed_logins_cost_longer_and_longer_pauses_whether_the_user_is_there_or_not() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let id = made(&app, &clinic, "ann").await;
    let laddered = app.again(|settings| settings.limits.lockouts = true).await;
    let (home, away) = ("203.0.113.9", "198.51.100.7");
    for (name, from) in [("ann", home), ("nobody", away)] {
        let mut pauses = Vec::new();
        while pauses.len() < 5 {
            let reply = log_in(&laddered, name, "Wrong-Horse-7-Battery", from).await;
            if reply.status == 429 {
                reply.refused(429, "auth.account_locked");
                let pause: i64 = header(&reply, "retry-after").parse().unwrap();
                pauses.push(pause);
                laddered.clock.advance_seconds(pause);
            } else {
                reply.refused(401, "auth.login_failed");
            }
        }
        assert_eq!(pauses, [1, 3, 5, 10, 60], "{name}");
    }
    // Within the next pause the right password is not heard either; an administrator's word ends it.
    for _ in 0..2 {
        log_in(&laddered, "ann", "Wrong-Horse-7-Battery", home).await;
    }
    log_in(&laddered, "ann", PASSWORD, home).await.refused(429, "auth.account_locked");
    let body = json!({"user_id": id, "address": home});
    assert_eq!(laddered.post(&clinic.admin, "/v1/ratelimit/reset", body).await.status, 204);
    log_in(&laddered, "ann", PASSWORD, home).await.ok();
    assert_eq!(laddered.events(&clinic.auditor, "limits.reset").await.len(), 1);
}

/// RL-08, and what makes it bearable.
#[tokio::test]
async fn a_stranger_locks_nobody_out_of_an_address_that_is_known() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    made(&app, &clinic, "ann").await;
    let laddered = app.again(|settings| settings.limits.lockouts = true).await;
    log_in(&laddered, "ann", PASSWORD, "203.0.113.9").await.ok();
    // Each from another address: only the account is the same.
    let mut paused = 0;
    for n in 0..60 {
        laddered.clock.advance_seconds(2);
        let reply = log_in(&laddered, "ann", "Wrong-Horse-7-Battery", &format!("198.51.100.{n}")).await;
        paused += u32::from(reply.status == 429);
    }
    assert!(paused > 10, "{paused}");
    log_in(&laddered, "ann", PASSWORD, "192.0.2.99").await.refused(429, "auth.account_locked");
    log_in(&laddered, "ann", PASSWORD, "203.0.113.9").await.ok();
}

/// Without Redis a node remembered it in memory alone: after a restart any stranger could keep everybody out.
#[tokio::test]
async fn an_address_is_known_after_a_restart_too_and_only_to_whom_it_was() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    for name in ["ann", "bob"] {
        made(&app, &clinic, name).await;
    }
    let before = app.again(|settings| settings.limits.lockouts = true).await;
    log_in(&before, "ann", PASSWORD, "2001:db8:1:2::9").await.ok();
    let after = app.again(|settings| settings.limits.lockouts = true).await;
    for n in 0..60 {
        after.clock.advance_seconds(2);
        for name in ["ann", "bob"] {
            log_in(&after, name, "Wrong-Horse-7-Battery", &format!("198.51.100.{n}")).await;
        }
    }
    log_in(&after, "bob", PASSWORD, "2001:db8:1:2::9").await.refused(429, "auth.account_locked");
    log_in(&after, "ann", PASSWORD, "192.0.2.99").await.refused(429, "auth.account_locked");
    // From its network: who has an IPv6 address has many.
    log_in(&after, "ann", PASSWORD, "2001:db8:1:2::77").await.ok();
}

#[tokio::test]
async fn what_is_kept_of_an_address_is_none_and_goes_with_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chancery.db");
    let app = TestApp::on(Backend::file(&path).await).await;
    let clinic = app.clinic("ours").await;
    let id = made(&app, &clinic, "ann").await;
    let laddered = app.again(|settings| settings.limits.lockouts = true).await;
    for from in ["2001:db8:1:2::9", "2001:db8:1:2::77"] {
        log_in(&laddered, "ann", PASSWORD, from).await.ok();
    }
    let (mut raw, kept) = (Raw::sqlite(&path).await, "SELECT address FROM known_addresses");
    let marks = raw.texts(kept).await;
    assert_eq!(marks.len(), 1, "a network of 64 bits is one");
    let mark = marks[0].as_deref().unwrap();
    assert!(mark.len() == 64 && !mark.contains("20010db8"), "{mark}");
    assert_eq!(laddered.call(&clinic.admin, "DELETE", &format!("/v1/users/{id}"), None).await.status, 204);
    assert!(raw.texts(kept).await.is_empty());
}

#[tokio::test]
async fn it_is_told_what_is_left_and_a_reset_gives_all_of_it_back() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let key = json!({"description": "x", "roles": ["service"], "rate_limit": 3});
    let key = app.post(&clinic.admin, "/v1/api-keys", key).await.created();
    let holder = crate::app::Caller { bearer: key["key"].as_str().unwrap().to_owned() };
    for _ in 0..3 {
        app.get(&holder, "/v1/auth/session").await.ok();
    }
    app.get(&holder, "/v1/auth/session").await.refused(429, "ratelimit.exceeded");
    let whom = json!({"api_key_id": key["id"]});
    let told = app.post(&clinic.admin, "/v1/ratelimit/check", whom.clone()).await.ok();
    let limit = &told["limits"][0];
    assert_eq!((&limit["policy"], &limit["count"], &limit["remaining"]), (&json!("api_key"), &json!(3), &json!(0)));
    assert_eq!(app.post(&clinic.admin, "/v1/ratelimit/reset", whom.clone()).await.status, 204);
    app.get(&holder, "/v1/auth/session").await.ok();
    let other = app.clinic("theirs").await;
    app.post(&other.admin, "/v1/ratelimit/check", whom).await.refused(404, "not_found");
    app.post(&clinic.admin, "/v1/ratelimit/check", json!({"address": "203.0.113.9"}))
        .await
        .refused(403, "authz.denied");
    app.post(&app.admin, "/v1/ratelimit/check", json!({"address": "203.0.113.9"})).await.ok();
    app.post(&app.admin, "/v1/ratelimit/check", json!({})).await.refused(422, "request.invalid");
}

#[test]
fn every_route_that_is_limited_is_there() {
    let paths = serde_json::to_value(chancery_api::openapi()).unwrap()["paths"].clone();
    for rule in LimitSettings::usual().rules {
        let On::Routes(routes) = rule.on else { continue };
        for route in routes {
            let (method, path) = route.split_once(' ').unwrap();
            assert!(paths[path][method.to_lowercase()].is_object(), "{route}");
        }
    }
}
