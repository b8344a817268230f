//! What browsers report of pages, and what follows from it.

use std::time::Duration;

use axum::body::Body;
use chancery_domain::csp_reports::flush;
use chancery_middleware::Limits;
use http::Request;
use http_body_util::channel::Channel;
use serde_json::{Value, json};

use crate::app::{Backend, Caller, TestApp, request};

backends! { reports_are_counted_without_anything_of_a_person }

/// Where a tenant's pages report: the path.
async fn address(app: &TestApp, caller: &Caller) -> String {
    let told = app.get(caller, "/v1/csp/reports").await.ok();
    let address = told["report_to"].as_str().unwrap().to_owned();
    address[address.find("/reports/").unwrap()..].to_owned()
}

fn report(path: &str, kind: &str, body: impl Into<Body>) -> Request<Body> {
    let mut sent = request("POST", path, None);
    sent.headers_mut().insert("content-type", kind.parse().unwrap());
    *sent.body_mut() = body.into();
    sent
}

fn old_form(document: &str, blocked: &str) -> String {
    json!({"csp-report": {
        "document-uri": document, "blocked-uri": blocked, "violated-directive": "script-src 'self'",
        "effective-directive": "script-src-elem", "original-policy": "script-src 'self'", "disposition": "enforce",
        "referrer": "https://jane-doe.test/?ssn=123-45-6789", "script-sample": "var patient = 'Jane Doe'",
        "source-file": "https://cdn.test/jane.js?x=1", "line-number": 7,
    }})
    .to_string()
}

fn new_form(count: usize) -> String {
    let one = json!({
        "type": "csp-violation", "age": 1, "url": "https://app.test/portal/jane-doe?ssn=123-45-6789",
        "user_agent": "Jane's browser",
        "body": {
            "documentURL": "https://app.test/portal/jane-doe?ssn=123-45-6789#note", "blockedURL": "inline",
            "effectiveDirective": "style-src-attr", "disposition": "report", "sample": "Jane Doe", "referrer": "",
        },
    });
    let other = json!({"type": "deprecation", "body": {"id": "x"}});
    Value::from(std::iter::once(other).chain(std::iter::repeat_n(one, count)).collect::<Vec<_>>()).to_string()
}

async fn reports_are_counted_without_anything_of_a_person(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let path = address(&app, &ours.auditor).await;
    assert!(path.starts_with("/reports/ours/"), "{path}");
    for _ in 0..2 {
        let body = old_form("https://jane@app.test/portal/jane-doe?ssn=123-45-6789", "https://evil.test/x.js?jane");
        assert_eq!(app.send(report(&path, "application/csp-report", body)).await.status.as_u16(), 204);
    }
    // Ten of one request count, however many it has.
    let reply = app.send(report(&path, "application/reports+json; charset=utf-8", new_form(30))).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (204, ""));
    let told = app.get(&ours.auditor, "/v1/csp/reports").await.ok();
    assert_eq!(told["items"], json!([]), "they are written once a minute");
    flush(&app.instance).await.unwrap();
    let told = app.get(&ours.auditor, "/v1/csp/reports").await;
    assert!(!told.text().to_lowercase().contains("jane") && !told.text().contains("6789"), "{}", told.text());
    let told = told.ok();
    let summary: Vec<_> = told["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            json!([
                item["directive"],
                item["blocked"],
                item["document"],
                item["source"],
                item["enforced"],
                item["count"]
            ])
        })
        .collect();
    assert_eq!(
        summary,
        [
            json!(["style-src-attr", "inline", "https://app.test/portal/*", null, false, 10]),
            json!(["script-src-elem", "https://evil.test", "https://app.test/portal/*", "https://cdn.test", true, 2]),
        ]
    );
    assert_eq!(app.get(&theirs.auditor, "/v1/csp/reports").await.ok()["items"], json!([]));
    // Once more the same: counted on.
    app.send(report(&path, "application/csp-report", old_form("https://app.test/portal/x", "https://evil.test"))).await;
    flush(&app.instance).await.unwrap();
    assert_eq!(app.get(&ours.auditor, "/v1/csp/reports").await.ok()["items"][1]["count"], 3);
    let suggested = app.get(&ours.auditor, "/v1/csp/suggestions").await.ok();
    assert_eq!(
        suggested,
        json!({
            "policy": "default-src 'none'; script-src https://evil.test; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
            "reports": 2, "inline_scripts": false, "inline_styles": true, "eval": false,
        })
    );
}

#[tokio::test]
async fn whoever_sends_what_ever_is_told_nothing_and_keeps_nothing() {
    let app = TestApp::new().await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let path = address(&app, &ours.auditor).await;
    let token = path.rsplit('/').next().unwrap();
    let good = || old_form("https://app.test/portal", "https://evil.test/x.js");
    let kind = "application/csp-report";
    let changed = format!("/reports/ours/{}", token.chars().rev().collect::<String>());
    let long = format!("{}{}", " ".repeat(64 * 1024), good());
    let sent = [
        // Of another tenant, of none, changed, garbage.
        report(&format!("/reports/theirs/{token}"), kind, good()),
        report(&format!("/reports/nobody/{token}"), kind, good()),
        report(&changed, kind, good()),
        report("/reports/ours/x", kind, good()),
        report("/reports/ours/%ff", kind, good()),
        report(&format!("{path}?colour=red"), "text/plain", good()),
        report(&path, kind, "{"),
        report(&path, kind, "[]"),
        report(&path, kind, "null"),
        report(&path, kind, vec![0xff_u8; 9]),
        report(&path, kind, json!({"csp-report": {"document-uri": 7}}).to_string()),
        report(&path, kind, old_form("https://app.test/", "chrome-extension://abc/x.js")),
        report(&path, kind, long),
    ];
    for sent in sent {
        let what = sent.uri().to_string();
        let reply = app.send(sent).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (204, ""), "{what}");
    }
    flush(&app.instance).await.unwrap();
    for clinic in [&ours, &theirs] {
        assert_eq!(app.get(&clinic.auditor, "/v1/csp/reports").await.ok()["items"], json!([]));
    }
    // None of it is an event: strangers grow no log.
    app.get(&ours.staff, "/v1/csp/reports").await.refused(403, "authz.denied");
}

/// The answer was given up in time, and the body was read on, in its place among all requests.
#[tokio::test]
async fn a_report_that_does_not_come_is_given_up_with_its_place() {
    let limits = Limits { timeout: Duration::from_millis(50), concurrent: 1, ..Limits::default() };
    let app = TestApp::new().await;
    let ours = app.clinic("ours").await;
    let path = address(&app, &ours.auditor).await;
    let app = app.door(limits);
    let (_sender, never) = Channel::<axum::body::Bytes>::new(1);
    app.send(report(&path, "application/csp-report", Body::new(never))).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    app.anonymous("GET", "/livez", None).await.ok();
}

#[tokio::test]
async fn whoever_has_no_address_of_a_tenants_is_not_waited_for() {
    let app = TestApp::new().await;
    app.clinic("ours").await;
    for path in ["/reports/ours/x", "/reports/nobody/x"] {
        let (_sender, never) = Channel::<axum::body::Bytes>::new(1);
        let sent = app.send(report(path, "application/csp-report", Body::new(never)));
        let reply = tokio::time::timeout(Duration::from_secs(5), sent).await.unwrap();
        assert_eq!(reply.status.as_u16(), 204, "{path}");
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_report_and_nothing_more() {
    let app = TestApp::new().await;
    let ours = app.clinic("ours").await;
    let path = address(&app, &ours.auditor).await;
    let ask = |path: &str| {
        let mut sent = request("OPTIONS", path, None);
        for (name, value) in [
            ("origin", "https://app.test"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type"),
        ] {
            sent.headers_mut().insert(name, value.parse().unwrap());
        }
        sent
    };
    let reply = app.send(ask(&path)).await;
    assert_eq!(reply.status.as_u16(), 204);
    assert_eq!(reply.headers["access-control-allow-origin"], "*");
    assert!(!reply.headers.contains_key("access-control-allow-credentials"));
    assert_eq!(reply.headers["access-control-allow-headers"], "content-type");
    app.send(ask("/v1/tenants")).await.refused(405, "method.not_allowed");
    app.send(ask("/reportsx/a/b")).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_policy_is_judged() {
    let app = TestApp::new().await;
    let ours = app.clinic("ours").await;
    let judge = async |policy: &str| app.post(&ours.staff, "/v1/csp/evaluate", json!({"policy": policy})).await;
    let verdict = judge("default-src 'self'; script-src 'self' 'unsafe-inline'; object-src none").await.ok();
    assert_eq!(verdict["sound"], false);
    let found: Vec<_> = verdict["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| json!([found["directive"], found["source"], found["code"], found["severity"]]))
        .collect();
    assert_eq!(
        found,
        [
            json!(["object-src", 0, "quotes_missing", "nonsense"]),
            json!(["script-src", 1, "scripts_inline", "high"]),
            json!(["base-uri", null, "directive_missing", "medium"]),
            json!(["frame-ancestors", null, "directive_missing", "medium"]),
            json!(["form-action", null, "directive_missing", "low"]),
        ]
    );
    let strict = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";
    assert_eq!(judge(strict).await.ok(), json!({"sound": true, "findings": []}));
    judge("default-src 'self', script-src *").await.refused(422, "request.invalid");
}
