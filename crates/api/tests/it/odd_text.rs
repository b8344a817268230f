//! Characters that a database or a log may not take, in every text that comes from outside.

use serde_json::{Value, json};

use crate::app::{Backend, Reply, TestApp};

backends! { odd_characters_never_break_anything }

#[track_caller]
fn is_answered(reply: &Reply, what: &str, odd: &str) {
    assert!(reply.status.as_u16() < 500, "{what} with {odd:?}: {}", reply.text());
}

async fn odd_characters_never_break_anything(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let (admin, officer, service) = (&clinic.admin, &clinic.officer, &clinic.service);
    for (number, character) in
        ["\u{0}", "\u{1}", "\u{1b}", "\n", "\u{7f}", "\u{85}", "\u{202e}", "\u{feff}", "\u{ffff}"]
            .into_iter()
            .enumerate()
    {
        let odd = format!("a{character}b");
        let password = format!("Correct-Horse-7{character}Battery");
        let (o, p) = (odd.as_str(), password.as_str());
        let item = |name: &str, value: Value| json!([{"table": "patients", "column": "ssn", "row": o, name: value}]);
        let user = |name: &str, mail: &str, first: &str| {
            json!({"username": name, "email": mail, "password": p,
            "roles": ["staff"], "first_name": first, "last_name": o, "metadata": {o: [o]}})
        };
        let mail = format!("{o}@x.test");
        let ours = json!({"tenant": "ours", "username": o, "password": p});
        for body in [ours, json!({"tenant": o, "username": "ann", "password": o})] {
            is_answered(&app.anonymous("POST", "/v1/auth/login", Some(body)).await, "login", o);
        }
        let slug = format!("odd-{number}");
        let certificate = json!({"kind": o, "subject": {"kind": o, "ref": o}, "statement": {"code": o, "params": {o: o}},
            "evidence": [{"name": o, "media_type": o, "sha256": o, "size": 1}]});
        let subject = json!({"kind": "app.access-report", "subject": {"kind": "patient", "ref": o},
            "statement": {"code": "app.report", "params": {}}});
        let cases = [
            (&app.admin, "/v1/tenants", json!({"name": o, "slug": o, "email": mail, "metadata": {o: o}})),
            (&app.admin, "/v1/tenants", json!({"name": o, "slug": slug, "metadata": {o: o}})),
            (&app.admin, "/v1/tenants", json!({"name": "N", "slug": format!("{slug}-m"), "metadata": {o: o}})),
            (admin, "/v1/users", user(o, "a@x.test", "A")),
            (admin, "/v1/users", user(&slug, &mail, "A")),
            (admin, "/v1/users", user(&format!("{slug}-n"), "a@x.test", o)),
            (admin, "/v1/api-keys", json!({"description": o, "roles": ["staff"], "allowed_cidrs": [o]})),
            (admin, "/v1/api-keys", json!({"description": o, "roles": ["staff"]})),
            (admin, "/v1/api-keys", json!({"description": o, "roles": [o], "tenant_id": o})),
            (admin, "/admin/api-keys", json!({"user_id": o, "description": o, "role": "user"})),
            (service, "/v1/seal", json!({"items": item("value", json!(o))})),
            (service, "/v1/seal", json!({"items": [{"table": o, "column": o, "row": "1", "value": "1"}]})),
            (service, "/v1/open", json!({"reason": o, "items": item("sealed", json!(null))})),
            (service, "/v1/open", json!({"reason": "visit", "purpose": o, "items": item("sealed", json!(o))})),
            (service, "/v1/terms", json!({"items": [{"table": "patients", "column": "ssn", "value": o}]})),
            (
                service,
                "/v1/records/seal",
                json!({"items": [{"table": "patients", "row": o, "subject": o, "fields": {"ssn": o}}]}),
            ),
            (service, "/v1/records/seal", json!({"items": [{"table": o, "row": o, "fields": {o: o}}]})),
            (
                service,
                "/v1/records/open",
                json!({"reason": o, "items": [{"table": o, "row": o, "header": o, "fields": {o: o}}]}),
            ),
            (
                service,
                "/v1/documents/seal",
                json!({"table": "patients", "row": o, "document": {o: o}, "fields": [{"pointer": format!("/{o}"), "column": "ssn"}]}),
            ),
            (
                service,
                "/v1/documents/seal",
                json!({"table": o, "document": {"$sealed": o}, "fields": [{"pointer": o, "column": o}]}),
            ),
            (
                service,
                "/v1/documents/open",
                json!({"reason": o, "table": o, "document": {o: {"$sealed": {"column": o, "value": o}}}}),
            ),
            (officer, "/v1/subjects/erase", json!({"subject": o})),
            (officer, "/v1/subjects/recreate", json!({"subject": o})),
            (service, "/v1/terms", json!({"items": [{"table": o, "column": o, "value": o}]})),
            (officer, "/v1/reseal", json!({"items": item("sealed", json!(o))})),
            (service, "/v1/certificates", certificate),
            (service, "/v1/certificates", subject),
            (service, "/v1/certificates/verify", json!({"envelope": {o: o}})),
        ];
        for (caller, path, body) in cases {
            is_answered(&app.post(caller, path, body).await, path, o);
        }
        let escaped: String = o.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let e = escaped.as_str();
        let events = "/v1/audit/events?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z";
        let paths = [
            (admin, format!("/v1/users?email={e}%40x.test")),
            (admin, format!("/v1/users/{e}")),
            (admin, format!("/v1/api-keys?cursor={e}")),
            (admin, format!("/v1/api-keys?tenant={e}")),
            (&app.admin, format!("/v1/tenants/{e}")),
            (officer, format!("/v1/keys?managed={e}")),
            (officer, format!("{events}&actor={e}")),
            (officer, format!("{events}&type={e}")),
            (officer, format!("{events}&resource={e}")),
            (officer, format!("{events}&request_id={e}")),
            (officer, format!("{events}&cursor={e}")),
            (officer, format!("/v1/audit/events?from={e}&to={e}")),
            (officer, format!("/v1/certificates/{e}")),
        ];
        for (caller, path) in paths {
            is_answered(&app.get(caller, &path).await, &path, o);
        }
        for path in [format!("/v1/fields/{e}/ssn"), format!("/v1/fields/patients/{e}")] {
            is_answered(&app.put(officer, &path, json!({"index": {"normalizer": o}})).await, &path, o);
            is_answered(&app.put(officer, &path, json!({})).await, &path, o);
        }
    }
    // It is all still there.
    app.get(&clinic.auditor, "/v1/audit/events?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z").await.ok();
}
