//! What the operator sees.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use crate::app::TestApp;

pub(crate) async fn scrape(app: &TestApp) -> String {
    let sent = Request::get("/metrics").body(Body::empty()).unwrap();
    let reply = chancery_api::metrics_router(app.metrics.clone()).oneshot(sent).await.unwrap();
    String::from_utf8(reply.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_route_and_never_by_tenant() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    app.seal(&clinic.service, "ssn", "p1", json!("1")).await;
    app.anonymous("GET", "/v1/users/usr_01J9Z3K0Q5V8WXYZ0123456789", None).await;
    app.anonymous("GET", "/nowhere/p1", None).await;
    let text = scrape(&app).await;
    for line in [
        r#"http_requests_total{method="POST",route="/v1/seal",status="200"} 1"#,
        r#"http_requests_total{method="GET",route="/v1/users/{id}",status="401"} 1"#,
        r#"http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"http_request_duration_seconds_count{method="POST",route="/v1/seal"} 1"#,
        "chancery_records_sealed_total 1",
        r#"chancery_logins_total{outcome="refused"} 0"#,
        "# TYPE chancery_audit_append_duration_seconds histogram",
        "chancery_audit_intent_open 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
    assert!(!text.contains(&clinic.id) && !text.contains("01J9Z3K0"));
    // The public door does not have it.
    app.anonymous("GET", "/metrics", None).await.refused(404, "not_found");
}

/// Each is an event too, with the same class.
#[tokio::test]
async fn opens_that_fail_are_counted_by_class_and_told_of() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let sealed = app.seal(&clinic.service, "ssn", "1", json!("123")).await["sealed"].clone();
    let text = sealed.as_str().unwrap();
    // The last letter but one is in the tag.
    let (head, tail) = text.split_at(text.len() - 2);
    let changed = format!("{head}{}{}", if tail.starts_with('A') { 'B' } else { 'A' }, &tail[1..]);
    app.open(&clinic.service, "ssn", "2", &sealed).await.refused(422, "sealed.wrong_context");
    app.open(&clinic.service, "ssn", "1", &json!(changed)).await.refused(422, "sealed.tampered");
    app.open(&clinic.service, "ssn", "1", &json!("chy1.AAAA")).await.refused(422, "sealed.malformed");
    app.open(&clinic.service, "ssn", "1", &json!("no")).await.refused(422, "sealed.malformed");

    let text = scrape(&app).await;
    for (class, count) in [("tampered", 1), ("wrong_context", 1), ("malformed", 2)] {
        let line = format!(r#"chancery_open_failures_total{{class="sealed.{class}"}} {count}"#);
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
    assert!(text.contains("\nchancery_leases 2\n"), "{text}");
    let events = app.events(&clinic.auditor, "record.open_failed").await;
    let mut codes: Vec<String> = events
        .iter()
        .map(|event| serde_json::from_str::<serde_json::Value>(event["core"].as_str().unwrap()).unwrap())
        .map(|core| core["detail"]["code"].as_str().unwrap().to_owned())
        .collect();
    codes.sort();
    assert_eq!(codes, ["sealed.tampered", "sealed.wrong_context"]);
    assert_eq!(app.events(&clinic.auditor, "access.refused").await.len(), 2, "what is no sealed value");
}

#[tokio::test]
async fn a_running_instance_is_alive_and_ready() {
    let app = TestApp::new().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(app.anonymous("GET", path, None).await.ok(), json!({"status": "ok"}));
    }
}

#[tokio::test]
async fn refused_credentials_are_counted_by_why_and_acts_on_tokens_by_what() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let lab = crate::oauth::program(&app, &clinic, json!({"description": "lab", "roles": ["service"]})).await;
    let (token, other) = (lab.token(&app).await, lab.token(&app).await);
    for path in ["/oauth2/introspect", "/oauth2/revoke", "/oauth2/introspect"] {
        assert_eq!(lab.ask(&app, path, &[("token", &token.bearer)]).await.status, 200);
    }
    app.get(&token, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    app.clock.advance_seconds(901);
    app.get(&other, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    let garbage = crate::app::Caller { bearer: "a.b.c".to_owned() };
    app.get(&garbage, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    app.post(&app.admin, &format!("/v1/tenants/{}/suspend", clinic.id), json!({})).await.ok();
    app.get(&clinic.staff, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    let text = scrape(&app).await;
    for class in ["expired", "revoked", "denied", "invalid"] {
        let line = format!(r#"chancery_credentials_refused_total{{class="{class}"}} 1"#);
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
    // In the log too: nobody who is refused grows it, and still it says why.
    chancery_domain::audit::refusals::flush_anonymous(&app.instance).await.unwrap();
    let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = app.post(&app.admin, "/v1/api-keys", auditor).await.created();
    let auditor = crate::app::Caller { bearer: auditor["key"].as_str().unwrap().to_owned() };
    let mut why: Vec<String> = Vec::new();
    for event in app.events(&auditor, "access.refused_anonymous").await {
        let core: serde_json::Value = serde_json::from_str(event["core"].as_str().unwrap()).unwrap();
        assert_eq!((&core["detail"]["code"], &core["detail"]["count"]), (&json!("auth.credential_invalid"), &json!(1)));
        why.push(core["detail"]["why"].as_str().unwrap().to_owned());
    }
    why.sort();
    assert_eq!(why, ["denied", "expired", "invalid", "revoked"]);
    for (act, count) in [("issued", 2), ("active", 1), ("inactive", 1), ("revoked", 1)] {
        let line = format!(r#"chancery_tokens_total{{act="{act}"}} {count}"#);
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
}

#[tokio::test]
async fn an_api_key_whose_time_is_over_is_counted_as_expired_and_not_as_revoked() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let body = json!({"description": "nightly", "roles": ["service"], "expires_in_days": 1});
    let made = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    let nightly = crate::app::Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    app.get(&nightly, "/v1/auth/session").await.ok();
    app.clock.advance_seconds(2 * 86_400);
    app.get(&nightly, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    let text = scrape(&app).await;
    for (class, count) in [("expired", 1), ("revoked", 0)] {
        let line = format!(r#"chancery_credentials_refused_total{{class="{class}"}} {count}"#);
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
}

#[tokio::test]
async fn tokens_are_counted_by_type_whatever_way_they_were_given() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let counted = async || {
        let text = scrape(&app).await;
        ["access", "refresh"].map(|kind| {
            let line = format!(r#"chancery_tokens_issued_total{{type="{kind}"}} "#);
            text.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |count| count.parse::<u64>().unwrap())
        })
    };
    assert_eq!(counted().await, [0, 0]);
    let ann = crate::oauth::person(&app, &clinic, "ann").await;
    assert_eq!(counted().await, [1, 1], "a login");
    let next = json!({"refresh_token": ann["refresh_token"]});
    let next = app.anonymous("POST", "/v1/auth/refresh", Some(next)).await.ok();
    assert_eq!(counted().await, [2, 2], "a refresh");
    let caller = crate::oauth::bearer(&next);
    app.post(&caller, "/v1/auth/reauthenticate", json!({"password": crate::oauth::PASSWORD})).await.ok();
    assert_eq!(counted().await, [3, 2], "a fresh proof");
    let lab = crate::oauth::program(&app, &clinic, json!({"description": "lab", "roles": ["service"]})).await;
    lab.token(&app).await;
    app.post(&clinic.service, "/v1/tokens", json!({})).await.created();
    assert_eq!(counted().await, [5, 2], "programs");
}
