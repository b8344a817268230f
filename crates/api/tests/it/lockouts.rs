//! Who is kept out for a while, seen from outside: answers to limits that were run into again and again, and their undoing.

use std::sync::Arc;

use chancery_crypto::SystemRandom;
use chancery_domain::{
    api_keys::{ApiKeyText, KeyEnv},
    limits::{Limit, LimitSettings, On, Per, Policy, Rule},
    lockouts::answer_offenders,
};
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, TestApp, request},
    limits::{PASSWORD, from_address, header, log_in, made, rule},
    sessions::{self, bearer, logged_in_at, refresh, works},
};

const WHO: &str = "/v1/auth/session";

/// Four refusals in ten minutes are answered.
fn answering(rules: Vec<Rule>) -> LimitSettings {
    let after = |name| Policy::new(name, Limit { count: 3, seconds: 600 }).map(Arc::new);
    LimitSettings { suspend_after: after("suspend"), stop_after: after("stop"), rules, ..LimitSettings::default() }
}

/// A key that may be used twice a minute: its id and its holder.
async fn key(app: &TestApp, clinic: &Clinic, role: &str) -> (String, Caller) {
    let body = json!({"description": "x", "roles": [role], "rate_limit": 2});
    let made = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    (made["id"].as_str().unwrap().to_owned(), Caller { bearer: made["key"].as_str().unwrap().to_owned() })
}

async fn press(app: &TestApp, caller: &Caller, times: u32) {
    for _ in 0..times {
        app.get(caller, WHO).await;
    }
}

async fn listed(app: &TestApp, clinic: &Clinic) -> Vec<Value> {
    app.get(&clinic.admin, "/v1/lockouts").await.ok()["items"].as_array().unwrap().clone()
}

async fn lift(app: &TestApp, clinic: &Clinic, lockout: &Value) -> u16 {
    let path = format!("/v1/lockouts/{}", lockout["id"].as_str().unwrap());
    app.call(&clinic.admin, "DELETE", &path, None).await.status.as_u16()
}

async fn a_key_is_suspended(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, others) = (app.clinic("ours").await, app.clinic("theirs").await);
    let (id, holder) = key(&app, &clinic, "service").await;
    let limited = app.again(|settings| settings.limits = answering(Vec::new())).await;
    let elsewhere = app.again(|settings| settings.limits = answering(Vec::new())).await;
    elsewhere.instance.follow_epochs().await.unwrap();
    elsewhere.get(&holder, WHO).await.ok();
    press(&limited, &holder, 2 + 3).await;
    assert_eq!(answer_offenders(&limited.instance).await.unwrap(), 0, "three refusals are not more than three");
    press(&limited, &holder, 1).await;
    assert_eq!(answer_offenders(&limited.instance).await.unwrap(), 1);
    let told = limited.get(&holder, WHO).await;
    told.refused(429, "auth.key_suspended");
    assert_eq!(header(&told, "retry-after"), "3600");
    // Another node that knew the key a moment ago.
    elsewhere.instance.follow_epochs().await.unwrap();
    elsewhere.get(&holder, WHO).await.refused(429, "auth.key_suspended");

    let found = listed(&app, &clinic).await;
    let expected = (json!("api_key"), json!(id), json!("api_key"));
    assert_eq!((found[0]["kind"].clone(), found[0]["subject"].clone(), found[0]["policy"].clone()), expected);
    let shown = app.get(&clinic.admin, &format!("/v1/api-keys/{id}")).await.ok();
    assert_eq!(shown["suspended_until"], found[0]["expires_at"]);
    assert_eq!(app.events(&clinic.auditor, "api_key.suspended").await.len(), 1);
    assert!(listed(&app, &others).await.is_empty());
    assert_eq!(lift(&app, &others, &found[0]).await, 404, "another tenant's");

    assert_eq!((lift(&app, &clinic, &found[0]).await, lift(&app, &clinic, &found[0]).await), (204, 404));
    elsewhere.get(&holder, WHO).await.ok();
    assert_eq!(app.events(&clinic.auditor, "api_key.resumed").await.len(), 1);
    assert_eq!(app.events(&clinic.auditor, "lockout.read").await.len(), 1);
    // Once more; then it ends by itself.
    press(&limited, &holder, 6).await;
    assert_eq!(answer_offenders(&limited.instance).await.unwrap(), 1);
    limited.clock.advance_seconds(3_599);
    limited.get(&holder, WHO).await.refused(429, "auth.key_suspended");
    limited.clock.advance_seconds(1);
    limited.get(&holder, WHO).await.ok();
    assert!(listed(&app, &clinic).await.is_empty());
}

#[tokio::test]
async fn a_key_that_its_limit_refuses_again_and_again_is_suspended_for_a_while_on_sqlite() {
    a_key_is_suspended(Backend::sqlite().await).await;
}

#[tokio::test]
async fn a_key_that_its_limit_refuses_again_and_again_is_suspended_for_a_while_on_postgres() {
    let Some(backend) = Backend::postgres().await else { return };
    a_key_is_suspended(backend).await;
}

/// Neither wrong secrets of a key, nor its address, nor its tenant's other callers count against it.
#[tokio::test]
async fn a_stranger_suspends_nobodys_key() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let (id, holder) = key(&app, &clinic, "service").await;
    // The right form, the right id, another secret.
    let text = ApiKeyText::make(KeyEnv::Dev, id.parse().unwrap(), &SystemRandom).unwrap().reveal();
    let wrong = Caller { bearer: text.expose().clone() };
    let rules = vec![
        rule("tenant", 1, Per::Tenant, On::Everything),
        rule("door", 30, Per::Address, On::Routes(vec![format!("GET {WHO}")])),
    ];
    let limited = app.again(|settings| settings.limits = answering(rules)).await;
    limited.get(&wrong, WHO).await.refused(401, "auth.credential_invalid");
    press(&limited, &wrong, 4).await;
    // Within its own limit, refused for the tenant's.
    limited.get(&clinic.staff, WHO).await;
    press(&limited, &holder, 20).await;
    // Before it is known who that is.
    for n in 0..80 {
        let request = from_address(request("GET", WHO, None), &format!("203.0.113.{}", n % 2), None);
        limited.send(holder.sign(request)).await;
    }
    assert_eq!(answer_offenders(&limited.instance).await.unwrap(), 0);
    assert!(listed(&app, &clinic).await.is_empty());
}

/// However it behaves: somebody must be left who can let keys in again.
#[tokio::test]
async fn the_last_administrators_key_is_not_suspended() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let (second, holder) = key(&app, &clinic, "tenant_admin").await;
    let limited = app.again(|settings| settings.limits = answering(Vec::new())).await;
    press(&limited, &holder, 6).await;
    assert_eq!(answer_offenders(&limited.instance).await.unwrap(), 1, "there is another one");
    let keys = app.get(&clinic.admin, "/v1/api-keys?limit=200").await.ok();
    let own = |key: &&Value| key["roles"] == json!(["tenant_admin"]) && key["id"] != json!(second);
    let first = keys["items"].as_array().unwrap().iter().find(own).unwrap()["id"].as_str().unwrap().to_owned();
    let body = json!({"rate_limit": 2});
    app.call(&clinic.admin, "PATCH", &format!("/v1/api-keys/{first}"), Some(body)).await.ok();
    app.clock.advance_seconds(1);
    press(&limited, &clinic.admin, 30).await;
    assert_eq!(answer_offenders(&limited.instance).await.unwrap(), 0, "the other one is suspended");
    app.clock.advance_seconds(1);
    let found = listed(&app, &clinic).await;
    assert_eq!((found.len(), &found[0]["subject"]), (1, &json!(second)));
    assert_eq!(lift(&app, &clinic, &found[0]).await, 204);
    press(&limited, &clinic.admin, 1).await;
    assert_eq!(answer_offenders(&limited.instance).await.unwrap(), 1, "now the other one can let it in again");
    app.get(&holder, WHO).await.ok();
}

async fn a_session_is_stopped(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let tokens = logged_in_at(&app, &clinic, "north").await;
    let limited =
        app.again(|settings| settings.limits = answering(vec![rule("account", 2, Per::Account, On::Everything)])).await;
    press(&limited, &bearer(&tokens), 6).await;
    assert_eq!(answer_offenders(&limited.instance).await.unwrap(), 1);
    assert!(!works(&app, &tokens).await, "its access tokens are over");
    refresh(&app, &tokens).await.refused(401, "auth.credential_invalid");
    assert_eq!(app.events(&clinic.auditor, "session.stopped").await.len(), 1);
    // Its person is not locked out.
    let again = sessions::log_in(&app, "north").await;
    assert!(works(&app, &again).await);
    let found = listed(&app, &clinic).await;
    assert_eq!((&found[0]["kind"], &found[0]["subject"]), (&json!("session"), &tokens["session_id"]));
    assert_eq!(lift(&app, &clinic, &found[0]).await, 204);
    assert!(works(&app, &tokens).await, "it goes on");
    let tokens = refresh(&app, &tokens).await.ok();
    assert_eq!(app.events(&clinic.auditor, "session.resumed").await.len(), 1);

    // What its person ended meanwhile does not come back by an undo.
    press(&limited, &bearer(&tokens), 6).await;
    assert_eq!(answer_offenders(&limited.instance).await.unwrap(), 1);
    app.clock.advance_seconds(1);
    app.call(&bearer(&again), "POST", "/v1/auth/logout-all", None).await.ok();
    let found = listed(&app, &clinic).await;
    assert_eq!(lift(&app, &clinic, &found[0]).await, 204);
    assert!(!works(&app, &tokens).await);
}

#[tokio::test]
async fn a_session_that_limits_refuse_again_and_again_is_stopped_and_can_go_on_on_sqlite() {
    a_session_is_stopped(Backend::sqlite().await).await;
}

#[tokio::test]
async fn a_session_that_limits_refuse_again_and_again_is_stopped_and_can_go_on_on_postgres() {
    let Some(backend) = Backend::postgres().await else { return };
    a_session_is_stopped(backend).await;
}

async fn a_paused_account_is_listed(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let id = made(&app, &clinic, "ann").await;
    let laddered = app.again(|settings| settings.limits.lockouts = true).await;
    for name in ["nobody", "ann"] {
        for n in 0..14 {
            log_in(&laddered, name, "Wrong-Horse-7-Battery", "203.0.113.9").await;
            // Through the short pauses of the beginning.
            laddered.clock.advance_seconds(if n < 10 { 11 } else { 0 });
        }
    }
    log_in(&laddered, "ann", PASSWORD, "203.0.113.9").await.refused(429, "auth.account_locked");
    answer_offenders(&laddered.instance).await.unwrap();
    let found = listed(&app, &clinic).await;
    assert_eq!(found.len(), 1, "a name that nobody has is nobody's account: {found:?}");
    let expected = (json!("account"), json!(id), json!(id), Value::Null);
    let shown = &found[0];
    let shown = (shown["kind"].clone(), shown["subject"].clone(), shown["user_id"].clone(), shown["policy"].clone());
    assert_eq!(shown, expected);
    // Nobody said from which address: what pauses is kept with it.
    let path = format!("/v1/lockouts/{}", found[0]["id"].as_str().unwrap());
    assert_eq!(laddered.call(&clinic.admin, "DELETE", &path, None).await.status, 204);
    log_in(&laddered, "ann", PASSWORD, "203.0.113.9").await.ok();
    assert!(listed(&app, &clinic).await.is_empty());
    assert_eq!(app.events(&clinic.auditor, "limits.reset").await.len(), 1);
}

#[tokio::test]
async fn an_account_that_pauses_is_listed_and_let_in_on_sqlite() {
    a_paused_account_is_listed(Backend::sqlite().await).await;
}

#[tokio::test]
async fn an_account_that_pauses_is_listed_and_let_in_on_postgres() {
    let Some(backend) = Backend::postgres().await else { return };
    a_paused_account_is_listed(backend).await;
}
