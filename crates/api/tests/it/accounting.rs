//! What is told of one person, and of what guards the system.

use serde_json::{Value, json};

use crate::app::{Backend, Clinic, TestApp};

backends! { a_persons_disclosures_are_accounted_for, security_events_are_found_apart, pages_come_with_proofs }

const SPAN: &str = "from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z";

async fn tell(app: &TestApp, clinic: &Clinic, kind: &str, purpose: Option<&str>, person: &str) {
    let mut body = json!({
        "type": kind, "details": {"pages": 3}, "references": [{"kind": "subject", "id": person}],
        "personal": {"recipient": "Northside Research", "description": "lab results of 2025"},
    });
    if let Some(purpose) = purpose {
        body["purpose"] = json!(purpose);
    }
    app.post(&clinic.service, "/v1/audit/events", body).await.created();
}

async fn accounting(app: &TestApp, clinic: &Clinic, query: &str) -> Vec<(String, String)> {
    let path = format!("/v1/audit/accounting?{query}");
    let found = app.get(&clinic.auditor, &path).await.ok();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    found["items"].as_array().unwrap().iter().map(|entry| (text(entry, "type"), text(entry, "standing"))).collect()
}

async fn a_persons_disclosures_are_accounted_for(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    for (kind, purpose, person) in [
        ("app.disclosure.sent", Some("HRESCH"), "MRN-1"),
        ("app.disclosure.sent", Some("TREAT"), "MRN-1"),
        ("app.disclosure.printed", None, "MRN-1"),
        ("app.disclosure.sent", Some("PATRQT"), "MRN-1"),
        ("app.disclosure.sent", Some("PUBHLTH"), "MRN-2"),
        ("app.visit.closed", None, "MRN-1"),
    ] {
        tell(&app, &clinic, kind, purpose, person).await;
    }
    let sealed = app.seal(&clinic.service, "ssn", "p1", json!("1")).await["sealed"].clone();
    let item = json!({"table": "patients", "column": "ssn", "row": "p1", "sealed": sealed});
    let open = json!({"reason": "study", "purpose": "HRESCH", "items": [item]});
    app.post(&clinic.service, "/v1/open", open).await.ok();

    let counted = |kind: &str| (kind.to_owned(), "counts".to_owned());
    let sent = [counted("app.disclosure.sent"), counted("app.disclosure.printed")];
    assert_eq!(accounting(&app, &clinic, "subject=MRN-1").await, sent);
    let with_rows = accounting(&app, &clinic, "subject=MRN-1&rows=patients/p1,patients/p9").await;
    assert_eq!(with_rows, [sent[0].clone(), sent[1].clone(), counted("record.opened")]);
    assert_eq!(accounting(&app, &clinic, "rows=patients/p1").await, [counted("record.opened")]);
    let all = accounting(&app, &clinic, "subject=MRN-1&all=true").await;
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(all[1].1, "exempt_treatment_payment_operations");
    assert_eq!(all[3].1, "exempt_own_request");
    assert_eq!(accounting(&app, &clinic, "subject=MRN-3").await, []);

    // What the rule wants to be in it: when, to whom, what, why.
    let found = app.get(&clinic.auditor, "/v1/audit/accounting?subject=MRN-1&limit=1").await.ok();
    let entry = &found["items"][0];
    assert_eq!(
        (&entry["recipient"], &entry["description"]),
        (&json!("Northside Research"), &json!("lab results of 2025"))
    );
    assert_eq!((&entry["purpose"], &entry["details"]), (&json!("HRESCH"), &json!({"pages": 3})));
    // Pages go on where one ended, also over what is left out.
    let (mut cursor, mut pages) = (found["next_cursor"].as_str().map(str::to_owned), vec![1]);
    while let Some(next) = cursor {
        let path = format!("/v1/audit/accounting?subject=MRN-1&limit=1&cursor={next}");
        let page = app.get(&clinic.auditor, &path).await.ok();
        pages.push(page["items"].as_array().unwrap().len());
        cursor = page["next_cursor"].as_str().map(str::to_owned);
    }
    assert_eq!(pages.iter().sum::<usize>(), 2, "{pages:?}");
    // That somebody asked is an event that names the person too.
    let path = format!("/v1/audit/events?{SPAN}&subject=MRN-1&type=audit.read");
    assert!(app.get(&clinic.auditor, &path).await.ok()["items"].as_array().unwrap().len() > 3);
    // Another tenant's person of the same name is another one.
    let theirs = app.clinic("theirs").await;
    assert_eq!(accounting(&app, &theirs, "subject=MRN-1").await, []);

    for (query, code) in
        [("", "request.invalid"), ("rows=patients", "request.invalid"), ("subject=", "request.invalid")]
    {
        app.get(&clinic.auditor, &format!("/v1/audit/accounting?{query}")).await.refused(422, code);
    }
    let many = vec!["patients/1"; 51].join(",");
    app.get(&clinic.auditor, &format!("/v1/audit/accounting?rows={many}")).await.refused(422, "request.invalid");
    // Six years at once, and no more than seven.
    let path =
        |from: &str| format!("/v1/audit/events?from={from}-01-01T00:00:00Z&to=2027-01-01T00:00:00Z&subject=MRN-1");
    app.get(&clinic.auditor, &path("2021")).await.ok();
    app.get(&clinic.auditor, &path("2019")).await.refused(422, "request.invalid");
}

async fn security_events_are_found_apart(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    app.get(&clinic.staff, "/v1/users?email=a@b.test").await.refused(403, "authz.denied");
    app.seal(&clinic.service, "ssn", "p1", json!("1")).await;
    app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.x"})).await.created();
    let found = app.get(&clinic.officer, &format!("/v1/audit/security-events?{SPAN}")).await.ok();
    let kinds: Vec<&str> =
        found["items"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"access.refused") && kinds.contains(&"api_key.created"), "{kinds:?}");
    for everyday in ["record.sealed", "audit.read", "app.x", "field.defined"] {
        assert!(!kinds.contains(&everyday), "{kinds:?}");
    }
    let refused = format!("/v1/audit/security-events?{SPAN}&type_prefix=access.&outcome=4");
    assert_eq!(app.get(&clinic.officer, &refused).await.ok()["items"].as_array().unwrap().len(), 1);
}

async fn pages_come_with_proofs(backend: Backend) {
    use chancery_crypto::{merkle, proof::LogProof};
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    for n in 0..5 {
        app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.step", "details": {"n": n}})).await.created();
    }
    let path = format!("/v1/audit/events?{SPAN}&type=app.step&proof=true");
    let found = app.get(&clinic.auditor, &path).await.ok();
    let events = found["items"].as_array().unwrap();
    assert_eq!(events.len(), 5);
    for event in events {
        let proof = LogProof::parse(event["proof"].as_str().unwrap()).unwrap();
        let head = proof.checkpoint.checkpoint().clone();
        let leaf = merkle::leaf_hash(event["core"].as_str().unwrap().as_bytes());
        assert_eq!(event["index"], proof.index);
        assert!(merkle::verify_inclusion(proof.index, head.size, &leaf, &proof.hashes, &head.root).is_ok());
    }
    // To export is a right of its own.
    app.get(&clinic.officer, &path).await.refused(403, "authz.denied");
    assert_eq!(app.events(&clinic.auditor, "audit.exported").await.len(), 1);
}

#[tokio::test]
async fn events_are_found_by_key_and_by_how_their_type_begins() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let named = json!({"name": "n", "type": "ed25519", "purpose": "signing"});
    let key = app.post(&clinic.officer, "/v1/keys", named).await.created()["id"].as_str().unwrap().to_owned();
    app.post(&clinic.officer, &format!("/v1/keys/{key}/suspend"), json!({})).await.ok();
    let count = |query: String| {
        let (app, auditor) = (&app, &clinic.auditor);
        async move {
            let found = app.get(auditor, &format!("/v1/audit/events?{SPAN}&{query}")).await.ok();
            found["items"].as_array().unwrap().len()
        }
    };
    // Made, activated, suspended.
    assert_eq!(count(format!("key={key}&type_prefix=key.")).await, 3);
    assert_eq!(count(format!("key={key}&type=key.suspended")).await, 1);
    assert_eq!(count("type_prefix=app.".to_owned()).await, 0);
    assert!(count("type_prefix=key.".to_owned()).await >= 2);
    let both = format!("/v1/audit/events?{SPAN}&key={key}&resource={key}");
    app.get(&clinic.auditor, &both).await.refused(422, "request.invalid");
    app.get(&clinic.auditor, &format!("/v1/audit/events?{SPAN}&key=none")).await.refused(422, "request.invalid");
}
