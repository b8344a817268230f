//! Events that applications append.

use serde_json::{Value, json};

use crate::app::{Backend, Caller, Reply, TestApp, request};

backends! { an_applications_event_is_in_the_log_with_a_proof, the_same_key_appends_once }

const PATH: &str = "/v1/audit/events";

fn core(event: &Value) -> Value {
    serde_json::from_str(event["core"].as_str().unwrap()).unwrap()
}

fn visit() -> Value {
    json!({
        "type": "app.visit.closed", "action": "U", "outcome": 4, "purpose": "HPAYMT",
        "resource": {"kind": "certificate", "id": "crt_01J9Z3K0Q5V8WXYZ0123456789"},
        "details": {"ward": "W-12", "beds": 3, "closed": true, "on": "2026-11-26", "report": "a".repeat(64)},
        "references": [{"kind": "subject", "id": "MRN-0001"}, {"kind": "patients", "id": "17"}],
        "personal": {"note": "Jane Doe went home"},
    })
}

async fn an_applications_event_is_in_the_log_with_a_proof(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let id = app.post(&clinic.service, PATH, visit()).await.created()["id"].as_str().unwrap().to_owned();
    let found = app.get(&clinic.auditor, &format!("{PATH}/{id}?proof=true")).await.ok();
    assert!(found["proof"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1"), "{found}");
    assert_eq!(found["sealed_part"]["note"]["value"], "Jane Doe went home");
    let core = core(&found);
    let beds = json!({"ward": "W-12", "beds": 3, "closed": true, "on": "2026-11-26", "report": "a".repeat(64)});
    assert_eq!(core["detail"], beds);
    assert_eq!(
        (&core["type"], &core["action"], &core["outcome"]),
        (&json!("app.visit.closed"), &json!("U"), &json!(4))
    );
    assert_eq!(
        (&core["purpose"], &core["resource"]["id"]),
        (&json!("HPAYMT"), &json!("crt_01J9Z3K0Q5V8WXYZ0123456789"))
    );
    assert_eq!(core["resource"]["ref_hmac"].as_array().unwrap().len(), 2);
    assert_eq!(core["sealed"]["note"].as_str().unwrap().len(), 64);
    for personal in ["Jane", "MRN-0001"] {
        assert!(!found["core"].as_str().unwrap().contains(personal), "{found}");
    }
    // Every member of the leaf has a class.
    for path in chancery_domain::audit::leaf::paths(&core) {
        assert!(chancery_domain::audit::leaf::class("app.visit.closed", &path).is_some(), "{path}");
    }
    // Who may append is not who may read, and the other way round.
    app.get(&clinic.service, &format!("{PATH}/{id}")).await.refused(403, "authz.denied");
    app.post(&clinic.auditor, PATH, visit()).await.refused(403, "authz.denied");

    // A batch keeps its order.
    let items: Vec<Value> = (0..100).map(|n| json!({"type": "app.step", "details": {"n": n}})).collect();
    let made = app.post(&clinic.service, "/v1/audit/events/batch", json!({"items": items})).await.created();
    let made: Vec<&str> = made["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    let steps = app.events(&clinic.auditor, "app.step").await;
    assert_eq!(steps.iter().map(|event| event["id"].as_str().unwrap()).collect::<Vec<_>>(), made);
}

async fn send(app: &TestApp, caller: &Caller, path: &str, key: &str, body: &Value) -> Reply {
    let mut sent = caller.sign(request("POST", path, Some(body.clone())));
    sent.headers_mut().insert("idempotency-key", key.parse().unwrap());
    app.send(sent).await
}

async fn the_same_key_appends_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    for (path, body) in [(PATH, visit()), ("/v1/audit/events/batch", json!({"items": [visit(), visit(), visit()]}))] {
        let first = send(&app, &clinic.service, path, "k", &body).await;
        let again = send(&app, &clinic.service, path, "k", &body).await;
        assert_eq!(again.created(), first.created());
        assert_eq!(again.headers["idempotency-replayed"], "true");
        let other = json!({"type": "app.other"});
        let other = if path == PATH { other } else { json!({"items": [other]}) };
        send(&app, &clinic.service, path, "k", &other).await.refused(422, "idempotency.mismatch");
    }
    assert_eq!(app.events(&clinic.auditor, "app.visit.closed").await.len(), 4);
    assert_eq!(app.events(&clinic.auditor, "app.other").await.len(), 0);
}

#[tokio::test]
async fn each_bad_field_is_named_and_nothing_is_appended() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let pointers = |reply: &Reply| -> Vec<String> {
        reply.refused(422, "request.invalid");
        assert!(!reply.text().contains("Jane"), "{}", reply.text());
        let errors = reply.json()["errors"].as_array().unwrap().clone();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    };
    let bad = json!({
        "type": "record.opened", "outcome": 1, "purpose": "Jane", "details": {"who": "Jane Doe"},
        "references": [{"kind": "subject", "id": ""}], "personal": {"address": "Jane"},
    });
    let reply = app.post(&clinic.service, PATH, bad.clone()).await;
    let expected = ["/type", "/outcome", "/purpose", "/details/who", "/references/0/id", "/personal/address"];
    assert_eq!(pointers(&reply), expected);
    let reply = app.post(&clinic.service, "/v1/audit/events/batch", json!({"items": [visit(), bad]})).await;
    assert_eq!(pointers(&reply), expected.map(|pointer| format!("/items/1{pointer}")));
    for (body, pointer) in [
        (json!({"items": []}), "/items"),
        (json!({"items": vec![json!({"type": "app.x"}); 101]}), "/items"),
        (json!({"items": [{"type": "app.x", "details": [1]}]}), "/items/0/details"),
    ] {
        assert_eq!(pointers(&app.post(&clinic.service, "/v1/audit/events/batch", body).await), [pointer]);
    }
    for odd in [json!({}), json!({"type": "app.x", "colour": 1}), json!({"type": "app.x", "action": "Jane"})] {
        let reply = app.post(&clinic.service, PATH, odd).await;
        assert_eq!(pointers(&reply).len(), 1);
    }
    // Of whom something is said is a person with a key.
    let long =
        json!({"type": "app.x", "personal": {"note": "a"}, "references": [{"kind": "subject", "id": "é".repeat(200)}]});
    assert_eq!(pointers(&app.post(&clinic.service, PATH, long).await), ["/references"]);
    // A floating number, a null, a nested object: none of them is a detail.
    for value in [json!(0.5), json!(null), json!({"a": 1}), json!("jane"), json!("A".repeat(33)), json!(1_u64 << 53)] {
        let reply = app.post(&clinic.service, PATH, json!({"type": "app.x", "details": {"a": value}})).await;
        assert_eq!(pointers(&reply), ["/details/a"]);
    }
    let path = format!("{PATH}?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&type_prefix=app.");
    assert_eq!(app.get(&clinic.auditor, &path).await.ok()["items"], json!([]));
}

/// Found by the canaries: a number of a record is as good a code as any.
#[tokio::test]
async fn what_looks_like_personal_data_is_left_out_of_a_detail_or_refused_under_lockdown() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let with = |details: Value| json!({"type": "app.visit.closed", "details": details});
    let suspect =
        with(json!({"who": "MRN-123456", "ward": "W-12", "born": "1980-02-29", "mrn7654321": 1, "at": 1_790_000_000}));
    let batch = "/v1/audit/events/batch";
    app.post(&clinic.service, PATH, suspect.clone()).await.created();
    app.post(&clinic.service, batch, json!({"items": [suspect.clone()]})).await.created();
    let told = app.events(&clinic.auditor, "app.visit.closed").await;
    assert_eq!(told.len(), 2);
    let left = json!({"who": "SUSPECTED", "ward": "W-12", "born": "SUSPECTED", "suspected_2": 1, "at": 1_790_000_000});
    for event in told {
        assert_eq!(core(&event)["detail"], left);
    }
    let text = crate::metrics::scrape(&app).await;
    for (class, count) in [("record_number", 4), ("birth_date", 2), ("ssn", 0)] {
        let line = format!(r#"chancery_phi_suspected_total{{class="{class}"}} {count}"#);
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }

    app.put(&clinic.admin, "/v1/lockdown", json!({"on": true})).await.ok();
    let refused = app.post(&clinic.service, batch, json!({"items": [with(json!({"ward": "W-12"})), suspect]})).await;
    refused.refused(422, "phi.suspected");
    assert!(!["123456", "7654321", "1980"].iter().any(|text| refused.text().contains(text)), "{}", refused.text());
    let pointers: Vec<_> =
        refused.json()["errors"].as_array().unwrap().iter().map(|one| one["pointer"].clone()).collect();
    assert_eq!(pointers, vec![json!("/items/1/details"); 4]);
    for odd in [with(json!({"n": 123_456_789})), json!({"type": "app.mrn123456"})] {
        app.post(&clinic.service, PATH, odd).await.refused(422, "phi.suspected");
    }
    app.post(&clinic.service, PATH, with(json!({"ward": "W-12", "beds": 3}))).await.created();
    assert_eq!(app.events(&clinic.auditor, "app.visit.closed").await.len(), 3);
}

/// What is taken out of a log is lost for good.
#[tokio::test]
async fn times_versions_codes_and_sums_come_out_of_the_log_as_they_went_in() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let details = json!({
        "export": "2026-11-27_10-11-12", "at": "10.11.12", "day": "29-02-80", "version": "V120.0.6099.109",
        "release": "2023.1.4", "codes": "99213-99214", "invoice": "INV-2026-00123", "sum": "1234567.89",
    });
    app.post(&clinic.service, PATH, json!({"type": "app.visit.closed", "details": details})).await.created();
    let told = app.events(&clinic.auditor, "app.visit.closed").await;
    assert_eq!(told.len(), 1);
    assert_eq!(core(&told[0])["detail"], details);
}

/// Nobody would find it again by the person.
#[tokio::test]
async fn a_disclosure_without_the_person_is_refused() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let told = |references: Value| json!({"type": "app.disclosure.sent", "references": references});
    let row = json!([{"kind": "patients", "id": "17"}]);
    for references in [json!([]), row.clone()] {
        let refused = app.post(&clinic.service, PATH, told(references)).await;
        refused.refused(422, "request.invalid");
        let errors = &refused.json()["errors"];
        assert_eq!(
            (&errors[0]["pointer"], &errors[0]["code"]),
            (&json!("/references"), &json!("required")),
            "{errors}"
        );
    }
    let person = json!([{"kind": "subject", "id": "MRN-1"}]);
    let items = json!({"items": [told(person.clone()), told(row)]});
    let refused = app.post(&clinic.service, "/v1/audit/events/batch", items).await;
    refused.refused(422, "request.invalid");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/items/1/references");
    assert_eq!(app.events(&clinic.auditor, "app.disclosure.sent").await.len(), 0);
    app.post(&clinic.service, PATH, told(person)).await.created();
}

/// A leaf is for ever and for everybody who reads the log.
#[tokio::test]
async fn a_patients_number_in_the_form_of_an_id_does_not_come_into_a_leaf() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let on = |id: &str| json!({"type": "app.x", "resource": {"kind": "certificate", "id": id}});
    for number in ["crt_000000000000000MRN73519284", "mrn_01J9Z3K0Q5V8WXYZ0123456789", "crt_01J9Z3K0Q50000000073519284"]
    {
        let refused = app.post(&clinic.service, PATH, on(number)).await;
        refused.refused(422, "request.invalid");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/resource/id", "{number}");
        assert!(!refused.text().contains("73519284"), "{}", refused.text());
    }
    // Every id that the API gave is taken.
    let named = json!({"name": "n", "type": "ed25519", "purpose": "signing"});
    let key = app.post(&clinic.officer, "/v1/keys", named).await.created();
    let event = app.post(&clinic.service, PATH, on(key["id"].as_str().unwrap())).await.created();
    app.post(&clinic.service, PATH, on(event["id"].as_str().unwrap())).await.created();
    app.post(&clinic.service, PATH, on(&clinic.id)).await.created();
}

/// The kind is made a part of a keyed reference; a tenant that is locked down wants no such word in a request at all.
#[tokio::test]
async fn a_references_kind_is_looked_at_under_lockdown() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let references = json!([{"kind": "subject", "id": "MRN-1234567"}, {"kind": "mrn-1234567", "id": "1"}]);
    let body = json!({"type": "app.x", "references": references});
    app.post(&clinic.service, PATH, body.clone()).await.created();
    app.put(&clinic.admin, "/v1/lockdown", json!({"on": true})).await.ok();
    let refused = app.post(&clinic.service, PATH, body).await;
    refused.refused(422, "phi.suspected");
    let errors = refused.json()["errors"].as_array().unwrap().clone();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["pointer"], "/references/1/kind");
}

/// Looking at them with each event of each request cost every request, and counted one column a thousand times.
#[tokio::test]
async fn a_suspect_name_is_counted_when_it_is_given_and_not_with_each_event() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let counted = async || -> u64 {
        let text = crate::metrics::scrape(&app).await;
        let line = r#"chancery_phi_suspected_total{class="record_number"} "#;
        text.lines().find_map(|found| found.strip_prefix(line)).unwrap().parse().unwrap()
    };
    assert_eq!(counted().await, 0);
    let path = "/v1/fields/patients/mrn_1234567";
    app.put(&clinic.officer, path, json!({})).await.ok();
    assert_eq!(counted().await, 1);
    app.put(&clinic.officer, path, json!({})).await.ok();
    for row in ["p1", "p2"] {
        app.seal(&clinic.service, "mrn_1234567", row, json!("x")).await;
    }
    assert_eq!(counted().await, 1, "once, with the field");
}

#[tokio::test]
async fn the_largest_event_fits_into_a_leaf() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let details: serde_json::Map<String, Value> =
        (0..32).map(|n| (format!("d{n:063}"), json!("a".repeat(64)))).collect();
    let references: Vec<Value> = (0..100).map(|n| json!({"kind": "k".repeat(64), "id": format!("{n:0255}")})).collect();
    let personal: serde_json::Map<String, Value> =
        (0..16).map(|n| (format!("p{n:031}"), json!("é".repeat(1_000)))).collect();
    let body = json!({"type": format!("app.{}", "x".repeat(60)), "purpose": "HRESCH", "details": details,
        "references": references, "personal": personal,
        "resource": {"kind": "k".repeat(32), "id": "crt_01J9Z3K0Q5V8WXYZ0123456789"}});
    app.post(&clinic.service, PATH, body).await.created();
    let path = format!("{PATH}?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&type_prefix=app.");
    let found = app.get(&clinic.auditor, &path).await.ok();
    let length = found["items"][0]["core"].as_str().unwrap().len();
    assert!(length > 10_000 && length < 16 * 1024, "{length}");
    assert_eq!(found["items"][0]["sealed_part"].as_object().unwrap().len(), 17, "with the address");
}
