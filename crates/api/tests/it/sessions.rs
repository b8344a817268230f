//! Staying logged in, and logging out.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp, request};

const PASSWORD: &str = "Correct-Horse-7-Battery";

/// A clinic with a user, who logs in.
pub(crate) async fn logged_in(app: &TestApp) -> Value {
    let clinic = app.clinic("north").await;
    logged_in_at(app, &clinic, "north").await
}

pub(crate) async fn logged_in_at(app: &TestApp, clinic: &Clinic, slug: &str) -> Value {
    let body = json!({"username": "zoe", "email": "zoe@clinic.test", "password": PASSWORD, "roles": ["clinician"]});
    app.post(&clinic.admin, "/v1/users", body).await.created();
    log_in(app, slug).await
}

pub(crate) async fn log_in(app: &TestApp, tenant: &str) -> Value {
    let body = json!({"tenant": tenant, "username": "zoe", "password": PASSWORD});
    app.anonymous("POST", "/v1/auth/login", Some(body)).await.ok()
}

pub(crate) fn bearer(tokens: &Value) -> Caller {
    Caller { bearer: tokens["access_token"].as_str().unwrap().to_owned() }
}

pub(crate) async fn refresh(app: &TestApp, tokens: &Value) -> Reply {
    refresh_as(app, tokens, "clinic/1.0").await
}

async fn refresh_as(app: &TestApp, tokens: &Value, agent: &str) -> Reply {
    let mut sent = request("POST", "/v1/auth/refresh", Some(json!({"refresh_token": tokens["refresh_token"]})));
    sent.headers_mut().insert("user-agent", agent.parse().unwrap());
    app.send(sent).await
}

pub(crate) async fn works(app: &TestApp, tokens: &Value) -> bool {
    // What was looked up lately is believed for 400 ms.
    app.clock.advance_seconds(1);
    let status = app.get(&bearer(tokens), "/v1/auth/session").await.status;
    assert!(status == 200 || status == 401, "{status}");
    status == 200
}

async fn stays_logged_in(backend: Backend) {
    let app = TestApp::on(backend).await;
    let first = logged_in(&app).await;
    assert!(first["refresh_token"].as_str().unwrap().starts_with("chr_dev_"));
    assert_eq!(app.get(&bearer(&first), "/v1/auth/session").await.ok()["session_id"], first["session_id"]);
    let second = refresh(&app, &first).await.ok();
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert_eq!(second["session_id"], first["session_id"]);
    assert!(works(&app, &first).await && works(&app, &second).await);
    // The answer was lost; the client asks again.
    let again = refresh(&app, &first).await.ok();
    assert_eq!(again["refresh_token"], second["refresh_token"]);
    let third = refresh(&app, &second).await.ok();
    assert!(works(&app, &third).await);
    // Somebody has the first one still.
    refresh(&app, &first).await.refused(401, "auth.refresh_reused");
    for tokens in [&first, &second, &third] {
        assert!(!works(&app, tokens).await);
        refresh(&app, tokens).await.refused(401, "auth.credential_invalid");
    }
    assert!(works(&app, &log_in(&app, "north").await).await);
}

#[tokio::test]
async fn the_head_goes_on_a_lost_answer_comes_again_and_a_copy_ends_it_on_sqlite() {
    stays_logged_in(Backend::sqlite().await).await;
}

#[tokio::test]
async fn the_head_goes_on_a_lost_answer_comes_again_and_a_copy_ends_it_on_postgres() {
    let Some(backend) = Backend::postgres().await else { return };
    stays_logged_in(backend).await;
}

async fn fifty_at_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let first = logged_in(&app).await;
    let other = app.again(|_| ()).await;
    let (apps, mut calls) = ([Arc::new(app), Arc::new(other)], tokio::task::JoinSet::new());
    for n in 0..50 {
        let (app, first) = (apps[n % 2].clone(), first.clone());
        calls.spawn(async move { refresh(&app, &first).await });
    }
    let answers = calls.join_all().await;
    let heads: BTreeSet<String> =
        answers.iter().map(|answer| answer.ok()["refresh_token"].as_str().unwrap().to_owned()).collect();
    assert_eq!(heads.len(), 1);
    let head = json!({"refresh_token": heads.first().unwrap()});
    let next = refresh(&apps[1], &head).await.ok();
    assert!(works(&apps[0], &next).await);
}

#[tokio::test]
async fn fifty_refreshes_at_once_leave_one_head_on_sqlite() {
    fifty_at_once(Backend::sqlite().await).await;
}

#[tokio::test]
async fn fifty_refreshes_at_once_leave_one_head_on_postgres() {
    let Some(backend) = Backend::postgres().await else { return };
    fifty_at_once(backend).await;
}

#[tokio::test]
async fn a_copy_in_the_hands_of_another_client_ends_the_session_at_once() {
    let app = TestApp::new().await;
    let first = logged_in(&app).await;
    let second = refresh(&app, &first).await.ok();
    refresh_as(&app, &first, "thief/1.0").await.refused(401, "auth.refresh_reused");
    assert!(!works(&app, &second).await);
}

#[tokio::test]
async fn a_copy_ends_the_session_also_while_nothing_can_be_signed() {
    let app = TestApp::new().await;
    let first = logged_in(&app).await;
    let second = refresh(&app, &first).await.ok();
    let third = refresh(&app, &second).await.ok();
    let keys = app.get(&app.admin, "/v1/keys?managed=token").await.ok();
    let key = format!("/v1/keys/{}", keys["items"][0]["id"].as_str().unwrap());
    app.post(&app.admin, &format!("{key}/suspend"), json!({})).await.ok();
    refresh(&app, &third).await.refused(409, "key.retired");
    refresh(&app, &first).await.refused(401, "auth.refresh_reused");
    app.post(&app.admin, &format!("{key}/resume"), json!({})).await.ok();
    assert!(!works(&app, &third).await);
    refresh(&app, &third).await.refused(401, "auth.credential_invalid");
}

#[tokio::test]
async fn a_lost_answer_comes_again_for_ten_seconds_only() {
    let app = TestApp::new().await;
    let first = logged_in(&app).await;
    refresh(&app, &first).await.ok();
    app.clock.advance_seconds(11);
    refresh(&app, &first).await.refused(401, "auth.refresh_reused");
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends_after_seven_days_and_any_after_thirty() {
    let app = TestApp::new().await;
    let idle = logged_in(&app).await;
    let mut used = log_in(&app, "north").await;
    for _ in 0..4 {
        app.clock.advance_seconds(7 * 86_400 - 60);
        used = refresh(&app, &used).await.ok();
    }
    refresh(&app, &idle).await.refused(401, "auth.credential_invalid");
    app.clock.advance_seconds(3 * 86_400);
    refresh(&app, &used).await.refused(401, "auth.credential_invalid");
}

#[tokio::test]
async fn access_and_refresh_tokens_do_not_pass_for_each_other() {
    let app = TestApp::new().await;
    let tokens = logged_in(&app).await;
    let swapped = json!({"refresh_token": tokens["access_token"], "access_token": tokens["refresh_token"]});
    refresh(&app, &swapped).await.refused(401, "auth.credential_invalid");
    app.get(&bearer(&swapped), "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    for odd in ["", "x", "chr_dev_", "chr_live_AAAA"] {
        refresh(&app, &json!({"refresh_token": odd})).await.refused(401, "auth.credential_invalid");
    }
}

#[tokio::test]
async fn logging_out_ends_this_session_and_logging_out_everywhere_all() {
    let app = TestApp::new().await;
    let (here, there, elsewhere) = (logged_in(&app).await, log_in(&app, "north").await, log_in(&app, "north").await);
    let reply = app.call(&bearer(&here), "POST", "/v1/auth/logout", None).await;
    assert_eq!(reply.status, 204);
    assert!(!works(&app, &here).await);
    refresh(&app, &here).await.refused(401, "auth.credential_invalid");
    assert!(works(&app, &there).await);
    assert_eq!(app.call(&bearer(&there), "POST", "/v1/auth/logout-all", None).await.ok(), json!({"ended": 2}));
    assert!(!works(&app, &there).await && !works(&app, &elsewhere).await);
    refresh(&app, &elsewhere).await.refused(401, "auth.credential_invalid");
}

#[tokio::test]
async fn an_api_key_that_acts_as_a_person_ends_nobodys_logins() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let zoe = logged_in_at(&app, &clinic, "north").await;
    let id = app.get(&bearer(&zoe), "/v1/auth/session").await.ok()["user_id"].clone();
    let key = json!({"description": "zoe's", "roles": ["clinician"], "user_id": id});
    let key = app.post(&clinic.admin, "/v1/api-keys", key).await.created();
    let key = Caller { bearer: key["key"].as_str().unwrap().to_owned() };
    app.call(&key, "POST", "/v1/auth/logout-all", None).await.refused(409, "state.conflict");
    assert!(works(&app, &zoe).await);
}

#[tokio::test]
async fn who_logs_out_while_the_tenant_is_suspended_is_not_back_afterwards() {
    let app = TestApp::new().await;
    let tokens = logged_in(&app).await;
    let tenant = app.get(&bearer(&tokens), "/v1/auth/session").await.ok()["tenant_id"].as_str().unwrap().to_owned();
    app.post(&app.admin, &format!("/v1/tenants/{tenant}/suspend"), json!({})).await.ok();
    let token = tokens["refresh_token"].as_str().unwrap();
    let revoke = crate::oauth::form("/oauth2/revoke", &[("token", token)]);
    assert_eq!(app.send(revoke).await.status, 200);
    app.post(&app.admin, &format!("/v1/tenants/{tenant}/resume"), json!({})).await.ok();
    assert!(!works(&app, &tokens).await);
    refresh(&app, &tokens).await.refused(401, "auth.credential_invalid");
}

#[tokio::test]
async fn a_suspended_tenant_gets_no_tokens() {
    let app = TestApp::new().await;
    let tokens = logged_in(&app).await;
    let tenant = app.get(&bearer(&tokens), "/v1/auth/session").await.ok()["tenant_id"].as_str().unwrap().to_owned();
    app.post(&app.admin, &format!("/v1/tenants/{tenant}/suspend"), json!({})).await.ok();
    refresh(&app, &tokens).await.refused(401, "auth.credential_invalid");
    app.post(&app.admin, &format!("/v1/tenants/{tenant}/resume"), json!({})).await.ok();
    assert!(works(&app, &refresh(&app, &tokens).await.ok()).await);
}

#[tokio::test]
async fn the_session_is_in_the_log_and_no_token_is() {
    let app = TestApp::new().await;
    let clinic = app.clinic("south").await;
    let first = logged_in_at(&app, &clinic, "south").await;
    let second = refresh(&app, &first).await.ok();
    refresh(&app, &second).await.ok();
    refresh(&app, &first).await.refused(401, "auth.refresh_reused");
    let mut text = String::new();
    for kind in ["user.logged_in", "session.refreshed", "session.reused"] {
        let events = app.events(&clinic.auditor, kind).await;
        assert!(!events.is_empty(), "{kind}");
        text += &serde_json::to_string(&events).unwrap();
    }
    for tokens in [&first, &second] {
        for secret in ["refresh_token", "access_token"] {
            assert!(!text.contains(tokens[secret].as_str().unwrap()));
        }
        // By the id of a token, which an application's log may have, its person and its session are found.
        let claims = tokens["access_token"].as_str().unwrap().split('.').nth(1).unwrap();
        let claims = data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        let named = |event: &&Value| {
            let core: Value = serde_json::from_str(event["core"].as_str().unwrap()).unwrap();
            core["detail"]["token"] == claims["jti"] && core.to_string().contains(claims["sid"].as_str().unwrap())
        };
        let mut all = app.events(&clinic.auditor, "user.logged_in").await;
        all.extend(app.events(&clinic.auditor, "session.refreshed").await);
        assert_eq!(all.iter().filter(named).count(), 1, "{}", claims["jti"]);
    }
}

async fn sessions_are_seen_and_ended(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("north").await, app.clinic("south").await);
    let here = logged_in_at(&app, &clinic, "north").await;
    let (there, third) = (log_in(&app, "north").await, log_in(&app, "north").await);
    let there = refresh(&app, &there).await.ok();
    let list = app.get(&bearer(&here), "/v1/auth/sessions").await.ok();
    let of = |list: &Value, member: &str| -> Vec<Value> {
        list["items"].as_array().unwrap().iter().map(|item| item[member].clone()).collect()
    };
    let ids = [&here, &there, &third].map(|tokens| tokens["session_id"].clone());
    assert_eq!(of(&list, "id"), ids);
    assert_eq!(of(&list, "current"), [true, false, false]);
    assert_eq!(of(&list, "amr"), [json!(["pwd"]), json!(["pwd"]), json!(["pwd"])]);
    assert_ne!(list["items"][1]["refreshed_at"], list["items"][1]["created_at"]);

    let path = |id: &Value| format!("/v1/auth/sessions/{}", id.as_str().unwrap());
    assert_eq!(app.call(&bearer(&here), "DELETE", &path(&ids[1]), None).await.status, 204);
    assert!(!works(&app, &there).await);
    refresh(&app, &there).await.refused(401, "auth.credential_invalid");
    app.call(&bearer(&here), "DELETE", &path(&ids[1]), None).await.refused(404, "not_found");

    // For who runs the tenant; and nobody else's are touched.
    let zoe = app.get(&bearer(&here), "/v1/auth/session").await.ok()["user_id"].as_str().unwrap().to_owned();
    let of_zoe = format!("/v1/users/{zoe}/sessions");
    let list = app.get(&clinic.officer, &of_zoe).await.ok();
    assert_eq!(of(&list, "id"), [ids[0].clone(), ids[2].clone()]);
    assert_eq!(of(&list, "current"), [false, false]);
    let ending = format!("{of_zoe}/{}", ids[2].as_str().unwrap());
    app.call(&other.admin, "DELETE", &ending, None).await.refused(404, "not_found");
    app.call(&clinic.staff, "DELETE", &ending, None).await.refused(403, "authz.denied");
    let ann = json!({"username": "ann", "email": "ann@x.test", "roles": ["staff"]});
    let ann = app.post(&clinic.admin, "/v1/users", ann).await.created()["id"].as_str().unwrap().to_owned();
    let odd = format!("/v1/users/{ann}/sessions/{}", ids[2].as_str().unwrap());
    app.call(&clinic.admin, "DELETE", &odd, None).await.refused(404, "not_found");
    assert!(works(&app, &third).await);
    assert_eq!(app.call(&clinic.officer, "DELETE", &ending, None).await.status, 204);
    assert!(!works(&app, &third).await && works(&app, &here).await);

    // Of another user, one's own are as missing as none.
    let body = json!({"username": "eve", "email": "eve@x.test", "password": PASSWORD, "roles": ["clinician"]});
    app.post(&clinic.admin, "/v1/users", body).await.created();
    let eve = json!({"tenant": "north", "username": "eve", "password": PASSWORD});
    let eve = app.anonymous("POST", "/v1/auth/login", Some(eve)).await.ok();
    app.call(&bearer(&eve), "DELETE", &path(&ids[0]), None).await.refused(404, "not_found");
    assert_eq!(app.events(&clinic.auditor, "session.read").await.len(), 2, "one's own too");
    assert_eq!(app.events(&clinic.auditor, "session.ended").await.len(), 2);

    // One that nobody used for a week is not shown.
    app.clock.advance_seconds(8 * 86_400);
    let later = log_in(&app, "north").await;
    assert_eq!(of(&app.get(&bearer(&later), "/v1/auth/sessions").await.ok(), "current"), [true]);
}

backends! {
    sessions_are_seen_and_ended,
}
