//! Revoking the tokens of others.

use serde_json::json;

use crate::{
    app::{Backend, Caller, TestApp},
    oauth::{bearer, person, program, text, works},
};

backends!(everyone_of_a_tenant_is_logged_out_at_once, a_user_loses_every_token_and_session_and_the_next_login_works);

async fn a_user_loses_every_token_and_session_and_the_next_login_works(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let (zoe, ann) = (person(&app, &clinic, "zoe").await, person(&app, &clinic, "ann").await);
    let body = json!({"user": zoe["user_id"], "reason": "lost laptop"});
    let reply = app.post(&clinic.officer, "/v1/revocations", body).await.created();
    assert_eq!((&reply["kind"], &reply["id"]), (&json!("user"), &zoe["user_id"]));
    assert_eq!((&reply["reason"], &reply["ended_sessions"]), (&json!("lost laptop"), &json!(1)));
    assert!(!works(&app, &bearer(&zoe)).await && works(&app, &bearer(&ann)).await);
    let refresh = json!({"refresh_token": zoe["refresh_token"]});
    app.anonymous("POST", "/v1/auth/refresh", Some(refresh)).await.refused(401, "auth.credential_invalid");
    let login = json!({"tenant": "north", "username": "zoe", "password": crate::oauth::PASSWORD});
    let again = app.anonymous("POST", "/v1/auth/login", Some(login)).await.ok();
    assert!(works(&app, &bearer(&again)).await);
    let told = app.events(&clinic.auditor, "token.revoked").await;
    assert!(!told[0]["core"].as_str().unwrap().contains("laptop"), "the reason is kept under seal");
}

#[tokio::test]
async fn one_token_is_revoked_by_its_id() {
    let app = TestApp::new().await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let lab = program(&app, &ours, json!({"description": "lab", "roles": ["service"]})).await;
    let (one, two) = (lab.token(&app).await, lab.token(&app).await);
    let session = app.get(&one, "/v1/auth/session").await.ok();
    let body = json!({"jti": session["jti"], "reason": "leaked"});
    // Somebody else's denylist is no concern of ours.
    app.post(&theirs.admin, "/v1/revocations", body.clone()).await.created();
    assert!(works(&app, &one).await);
    let reply = app.post(&ours.admin, "/v1/revocations", body).await.created();
    assert_eq!((&reply["kind"], &reply["not_before"]), (&json!("token"), &json!(null)));
    assert!(!works(&app, &one).await && works(&app, &two).await);
}

async fn everyone_of_a_tenant_is_logged_out_at_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let lab = program(&app, &ours, json!({"description": "lab", "roles": ["service"]})).await;
    let (zoe, eve) = (person(&app, &ours, "zoe").await, person(&app, &theirs, "eve").await);
    let token = lab.token(&app).await;
    let body = json!({"everyone": true, "tenant": ours.id, "reason": "breach"});
    let reply = app.post(&ours.admin, "/v1/revocations", body).await.created();
    assert_eq!(
        (&reply["kind"], &reply["id"], &reply["ended_sessions"]),
        (&json!("tenant"), &json!(ours.id), &json!(1))
    );
    assert!(!works(&app, &bearer(&zoe)).await && !works(&app, &token).await);
    assert!(works(&app, &bearer(&eve)).await);
    // API keys are no tokens; they are revoked one by one.
    assert!(works(&app, &lab.token(&app).await).await);
    let key = Caller { bearer: lab.key.clone() };
    assert!(works(&app, &key).await);
}

#[tokio::test]
async fn tokens_from_before_a_moment_are_revoked_and_later_ones_are_not() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let lab = program(&app, &clinic, json!({"description": "lab", "roles": ["service"]})).await;
    let old = lab.token(&app).await;
    app.clock.advance_seconds(60);
    let moment = chancery_domain::Clock::now(&*app.clock);
    app.clock.advance_seconds(60);
    let young = lab.token(&app).await;
    let body = json!({"everyone": true, "not_before": moment, "reason": "breach"});
    app.post(&clinic.admin, "/v1/revocations", body).await.created();
    assert!(!works(&app, &old).await && works(&app, &young).await);
}

#[tokio::test]
async fn what_is_revoked_is_said_once_and_within_bounds() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let zoe = person(&app, &clinic, "zoe").await;
    let jti = json!("tok_01J9Z3K0Q5V8WXYZ0123456789");
    for body in [
        json!({"reason": "x"}),
        json!({"reason": "x", "everyone": false}),
        json!({"reason": "x", "everyone": true, "jti": jti}),
        json!({"reason": "x", "user": zoe["user_id"], "jti": jti}),
        json!({"reason": "x", "user": jti}),
        json!({"reason": "x", "jti": "usr_01J9Z3K0Q5V8WXYZ0123456789"}),
        json!({"reason": "x", "jti": jti, "not_before": "2020-01-01T00:00:00Z"}),
        json!({"reason": "x", "everyone": true, "not_before": "2030-01-01T00:00:00Z"}),
        json!({"reason": "x", "everyone": true, "not_before": "yesterday"}),
        json!({"reason": " ", "jti": jti}),
        json!({"jti": jti}),
        json!({"reason": "x", "jti": jti, "colour": "red"}),
    ] {
        app.post(&clinic.admin, "/v1/revocations", body).await.refused(422, "request.invalid");
    }
    let nobody = json!({"reason": "x", "user": "usr_01J9Z3K0Q5V8WXYZ0123456789"});
    app.post(&clinic.admin, "/v1/revocations", nobody).await.refused(404, "not_found");
    let body = json!({"reason": "x", "jti": jti});
    for caller in [&clinic.staff, &clinic.service, &clinic.auditor, &bearer(&zoe)] {
        app.post(caller, "/v1/revocations", body.clone()).await.refused(403, "authz.denied");
    }
    assert!(works(&app, &bearer(&zoe)).await);
    assert_eq!(text(&zoe, "token_type"), "Bearer");
}

#[tokio::test]
async fn what_stands_is_listed_to_those_who_may_revoke_and_to_no_other_tenant() {
    let app = TestApp::new().await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let zoe = person(&app, &ours, "zoe").await;
    let body = json!({"user": zoe["user_id"], "reason": "lost laptop"});
    app.post(&ours.officer, "/v1/revocations", body).await.created();
    let listed = app.get(&ours.officer, "/v1/revocations?limit=1").await.ok();
    let row = &listed["items"][0];
    assert_eq!((&row["kind"], &row["id"], &row["reason"]), (&json!("user"), &zoe["user_id"], &json!("lost laptop")));
    let next = format!("/v1/revocations?cursor={}", text(&listed, "next_cursor"));
    assert_eq!(app.get(&ours.officer, &next).await.ok()["items"], json!([]));
    assert_eq!(app.get(&theirs.officer, "/v1/revocations").await.ok()["items"], json!([]));
    app.get(&ours.staff, "/v1/revocations").await.refused(403, "authz.denied");
    // When every token that it stops has expired, it stands against nothing: those of an older system may live for 8 days.
    app.clock.advance_seconds(10 * 86_400);
    assert_eq!(app.get(&ours.officer, "/v1/revocations").await.ok()["items"], json!([]));
}
