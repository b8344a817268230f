//! Zero PHI beyond certificates and events: what somebody writes where it is kept in clear, and the report that looks at all of it.

use chancery_domain::{TenantId, audit::QueuedEvent, ids::EventId};
use serde_json::{Value, json};

use crate::{
    app::{Caller, Clinic, TestApp},
    oauth::PASSWORD,
    passwords::import,
};

const NUMBER: &str = "MRN73519284";

/// One text that is kept in clear: who writes it, how, and where it stands.
struct Text {
    what: &'static str,
    caller: Caller,
    method: &'static str,
    path: String,
    body: Value,
    pointer: &'static str,
}

/// Every one of them, with a number of a record in it.
async fn texts(app: &TestApp, clinic: &Clinic) -> Vec<Text> {
    app.register_fields(clinic).await;
    let statement = "CREATE TABLE IF NOT EXISTS patients (id INTEGER PRIMARY KEY, ssn_encrypted TEXT)";
    app.database("clinic.url", &[statement]).await;
    let user = |name: &str| json!({"username": name, "email": "ann@x.test", "roles": ["staff"]});
    let ann = app.post(&clinic.admin, "/v1/users", user("ann")).await.created()["id"].clone();
    let key = json!({"description": "x", "roles": ["staff"]});
    let key = app.post(&clinic.admin, "/v1/api-keys", key).await.created();
    let key = format!("/v1/api-keys/{}", key["id"].as_str().unwrap());
    let item = json!({"table": "patients", "column": "ssn", "row": "1", "sealed": null});
    let glass = json!({"reason": "x", "break_glass": {"ticket": NUMBER, "reason": "x"}, "items": [item]});
    let role = |description: &str| json!({"base": "staff", "permissions": ["data.seal"], "description": description});
    let issuer = format!("https://{}.example", clinic.slug);
    let provider = json!({"name": NUMBER, "profile": "oidc", "issuer": issuer, "audiences": ["x"]});
    let secret = json!({"kind": "shared", "value": "a-secret-of-oura-0123456789"});
    let source =
        json!({"name": NUMBER, "provider": "oura", "upstream": "http://127.0.0.1:9/hooks", "secrets": [secret]});
    let subscription = json!({"name": NUMBER, "url": "https://siem.example/in", "kinds": ["key.rotated"]});
    let dataset = json!({
        "database_url_file": "clinic.url", "table": "patients", "row_column": "id", "columns": [{"column": "ssn"}]
    });
    let lost = json!({"user": ann, "reason": format!("{NUMBER} lost it")});
    let text = |what, caller: &Caller, method, path: &str, body, pointer| Text {
        what,
        caller: caller.clone(),
        method,
        path: path.to_owned(),
        body,
        pointer,
    };
    let (admin, officer) = (&clinic.admin, &clinic.officer);
    let named = json!({"name": NUMBER, "type": "ed25519", "purpose": "signing"});
    let columns = json!({"columns": ["last_name", "birth_date"]});
    vec![
        text("a ticket", officer, "POST", "/v1/open", glass, "/break_glass/ticket"),
        text("a reason of a revocation", admin, "POST", "/v1/revocations", lost, "/reason"),
        text(
            "what a key is for",
            admin,
            "POST",
            "/v1/api-keys",
            json!({"description": NUMBER, "roles": ["staff"]}),
            "/description",
        ),
        text("what it is for from now on", admin, "PATCH", &key, json!({"description": NUMBER}), "/description"),
        text("what a role is for", admin, "PUT", "/v1/roles/day-desk", role(NUMBER), "/description"),
        text("a role", admin, "PUT", "/v1/roles/mrn73519284", role("x"), "/name"),
        text("a name at login", admin, "POST", "/v1/users", user(NUMBER), "/username"),
        text("a key", officer, "POST", "/v1/keys", named, "/name"),
        text("an issuer", admin, "POST", "/v1/identity-providers", provider, "/name"),
        text("a sender", admin, "POST", "/v1/webhook-sources", source, "/name"),
        text("a subscriber", admin, "POST", "/v1/webhook-subscriptions", subscription, "/name"),
        text("a hold", officer, "PUT", "/v1/audit/legal-holds/mrn-73519284", json!({"reason": "x"}), "/name"),
        text("a column", officer, "PUT", "/v1/fields/patients/mrn_73519284", json!({}), "/column"),
        text("an index", officer, "PUT", "/v1/indexes/patients/mrn_73519284", columns, "/name"),
        text("a dataset", officer, "PUT", "/v1/datasets/mrn-73519284", dataset, "/name"),
    ]
}

async fn counted(app: &TestApp) -> u64 {
    let text = crate::metrics::scrape(app).await;
    let line = r#"chancery_phi_suspected_total{class="record_number"} "#;
    text.lines().find_map(|found| found.strip_prefix(line)).unwrap().parse().unwrap()
}

/// The ticket of an emergency stood in the log, in every sink and in packs, whatever the tenant had asked for.
#[tokio::test]
async fn every_text_that_is_kept_in_clear_is_refused_under_lockdown_and_counted_elsewhere() {
    let app = TestApp::new().await;
    let (open, shut) = (app.clinic("open").await, app.clinic("shut").await);
    for text in texts(&app, &open).await {
        let before = counted(&app).await;
        let reply = app.call(&text.caller, text.method, &text.path, Some(text.body)).await;
        assert!(reply.status.is_success(), "{}: {}", text.what, reply.text());
        assert!(counted(&app).await > before, "{} is not counted", text.what);
    }
    let refused = texts(&app, &shut).await;
    app.put(&shut.admin, "/v1/lockdown", json!({"on": true})).await.ok();
    for text in refused {
        let before = counted(&app).await;
        let reply = app.call(&text.caller, text.method, &text.path, Some(text.body)).await;
        reply.refused(422, "phi.suspected");
        let error = &reply.json()["errors"][0];
        assert_eq!(
            (&error["pointer"], &error["code"]),
            (&json!(text.pointer), &json!("record_number")),
            "{}",
            text.what
        );
        assert!(!reply.text().contains("73519284"), "{}: {}", text.what, reply.text());
        assert!(counted(&app).await > before, "{} is not counted", text.what);
    }
    // What a tenant that was locked down says of itself.
    let report = app.get(&shut.auditor, "/v1/lockdown/report").await.ok();
    assert_eq!((&report["found"], &report["complete"]), (&json!(0), &json!(true)), "{report}");
    assert!(report["texts"].as_u64().unwrap() > 20, "{report}");
    // And what is there already is found, by its place alone.
    let report = app.get(&open.auditor, "/v1/lockdown/report").await.ok();
    let found: Vec<&str> =
        report["items"].as_array().unwrap().iter().map(|item| item["of"].as_str().unwrap()).collect();
    for of in [
        "event",
        "revocation",
        "api_key",
        "role",
        "user",
        "key",
        "identity_provider",
        "webhook_source",
        "webhook_subscription",
        "legal_hold",
        "field",
        "index",
        "dataset",
    ] {
        assert!(found.contains(&of), "{of}: {report}");
    }
    assert!(!report.to_string().contains("73519284"), "{report}");
}

/// A name at login stands in clear in the store.
#[tokio::test]
async fn nobody_is_imported_or_registers_under_a_name_that_looks_like_a_number_of_a_record() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.call(&clinic.admin, "PATCH", "/v1/settings", Some(json!({"registration": "open"}))).await.ok();
    app.put(&clinic.admin, "/v1/lockdown", json!({"on": true})).await.ok();
    let line = |name: &str| json!({"username": name, "email": "a@x.test", "roles": ["staff"]}).to_string();
    let done = import(&app, &clinic.admin, &[line(NUMBER), line("ann")].join("\n")).await.ok();
    let refused = &done["items"][0];
    assert_eq!((&done["made"], &refused["code"]), (&json!(1), &json!("phi.suspected")), "{done}");
    assert_eq!(refused["errors"][0]["pointer"], "/username", "{done}");
    let stranger = json!({"tenant": clinic.slug, "username": NUMBER, "email": "z@x.test", "password": PASSWORD});
    let reply = app.anonymous("POST", "/v1/auth/register", Some(stranger)).await;
    reply.refused(422, "phi.suspected");
    assert!(!format!("{done}{}", reply.text()).contains("73519284"));
    let users = app.get(&clinic.admin, "/v1/users").await.ok();
    assert_eq!(users["items"].as_array().unwrap().len(), 1, "{users}");
}

/// The platform has texts of its own: what tenants are called, and why addresses are blocked.
#[tokio::test]
async fn a_platform_that_is_locked_down_refuses_them_too() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.put(&app.admin, "/v1/lockdown", json!({"on": true})).await.ok();
    let block = json!({"network": "198.51.100.7", "reason": NUMBER});
    let tenant = json!({"name": NUMBER, "slug": "north"});
    for (method, path, body, pointer) in [
        ("POST", "/v1/ip-blocks".to_owned(), block, "/reason"),
        ("POST", "/v1/tenants".to_owned(), tenant, "/name"),
        ("POST", "/v1/tenants".to_owned(), json!({"name": "North", "slug": "mrn73519284"}), "/slug"),
        ("PATCH", format!("/v1/tenants/{}", clinic.id), json!({"name": NUMBER}), "/name"),
    ] {
        let reply = app.call(&app.admin, method, &path, Some(body)).await;
        reply.refused(422, "phi.suspected");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{method} {path}");
    }
    // Whoever is not locked down names things in its own way.
    let named = json!({"name": NUMBER, "type": "ed25519", "purpose": "signing"});
    app.post(&clinic.officer, "/v1/keys", named).await.created();
}

/// Of a larger log it said for ever that it had not looked at all of it.
#[tokio::test]
async fn a_log_of_more_events_than_one_report_looks_at_is_gone_through_to_its_end() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let made = app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.step"})).await.created();
    assert_eq!(app.events(&clinic.auditor, "app.step").await.len(), 1);
    let mut view = app.instance.store().view(tenant).await.unwrap();
    let one = view.logged_event(made["id"].as_str().unwrap().parse().unwrap()).await.unwrap().unwrap().event;
    drop(view);
    let copy = |number: u128| {
        let id = EventId::from_bytes(number.to_be_bytes());
        let core = one.core.replace(&one.id.to_string(), &id.to_string());
        QueuedEvent { id, core, ..one.clone() }
    };
    let copies: Vec<QueuedEvent> = (1..=20_001).map(copy).collect();
    for some in copies.chunks(1_000) {
        app.instance.store().append_events(some).await.unwrap();
    }
    let odd = json!({"type": "app.step", "details": {"ssn": 123_456_789}});
    let odd = app.post(&clinic.service, "/v1/audit/events", odd).await.created();

    let first = app.get(&clinic.auditor, "/v1/lockdown/report?days=1").await.ok();
    assert_eq!((&first["events"], &first["complete"], &first["found"]), (&json!(20_000), &json!(false), &json!(0)));
    let path = format!("/v1/lockdown/report?days=1&cursor={}", first["next_cursor"].as_str().unwrap());
    let second = app.get(&clinic.auditor, &path).await.ok();
    assert_eq!((&second["complete"], &second["next_cursor"]), (&json!(true), &Value::Null), "{second}");
    assert_eq!((&second["found"], &second["items"][0]["id"]), (&json!(1), &odd["id"]), "{second}");
    assert_eq!((&second["certificates"], &second["texts"]), (&json!(0), &json!(0)), "looked at by the first one");
    app.get(&clinic.auditor, "/v1/lockdown/report?cursor=x").await.refused(422, "request.invalid");
}
