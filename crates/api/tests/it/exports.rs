//! The log as a stream of lines, and questions that name a person without naming one in an address.

use std::collections::BTreeSet;

use chancery_crypto::{merkle, proof::LogProof};
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, TestApp};

backends! {
    an_export_is_whole_and_proven_and_told, an_export_gives_what_is_personal_to_who_asks_and_may,
    a_person_is_looked_for_in_a_body
}

const PATH: &str = "/v1/audit/exports";

fn span(more: Value) -> Value {
    let mut body = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00Z"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The events of an export, and its last line.
async fn export(app: &TestApp, caller: &Caller, more: Value) -> (Vec<Value>, Value) {
    let reply = app.post(caller, PATH, span(more)).await;
    assert_eq!(
        (reply.status.as_u16(), &reply.headers["content-type"]),
        (200, &"application/x-ndjson".parse().unwrap())
    );
    let text = reply.text();
    assert!(text.ends_with('\n'), "{text}");
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.pop().unwrap();
    assert_eq!((&end["end"], &end["events"]), (&json!(true), &json!(lines.len())));
    (lines, end)
}

async fn tell(app: &TestApp, clinic: &Clinic, count: u64, person: &str) {
    for first in (0..count).step_by(100) {
        let items: Vec<Value> = (first..count.min(first + 100))
            .map(|n| {
                json!({"type": "app.step", "details": {"n": n}, "personal": {"note": "Jane Doe"},
                    "references": [{"kind": "subject", "id": person}]})
            })
            .collect();
        app.post(&clinic.service, "/v1/audit/events/batch", json!({"items": items})).await.created();
    }
}

async fn an_export_is_whole_and_proven_and_told(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    // More than is given out at a time.
    tell(&app, &clinic, 1_203, "MRN-1").await;
    let (events, end) = export(&app, &clinic.auditor, json!({"type": "app.step"})).await;
    let number = |event: &Value| {
        serde_json::from_str::<Value>(event["core"].as_str().unwrap()).unwrap()["detail"]["n"].as_u64().unwrap()
    };
    assert_eq!(events.iter().map(number).collect::<Vec<_>>(), (0..1_203).collect::<Vec<_>>());
    let mut heads = BTreeSet::new();
    for event in &events {
        let proof = LogProof::parse(event["proof"].as_str().unwrap()).unwrap();
        let head = proof.checkpoint.checkpoint().clone();
        let leaf = merkle::leaf_hash(event["core"].as_str().unwrap().as_bytes());
        assert_eq!(event["index"], proof.index);
        assert!(merkle::verify_inclusion(proof.index, head.size, &leaf, &proof.hashes, &head.root).is_ok());
        heads.insert(proof.checkpoint.text().to_owned());
        assert!(event.get("sealed_part").is_none(), "nobody asked for it");
    }
    assert_eq!(heads.into_iter().collect::<Vec<_>>(), [end["checkpoint"].as_str().unwrap()], "under one head");
    // Each part was told before it went out.
    let told: u64 = app
        .events(&clinic.auditor, "audit.exported")
        .await
        .iter()
        .map(|event| {
            serde_json::from_str::<Value>(event["core"].as_str().unwrap()).unwrap()["detail"]["count"].as_u64().unwrap()
        })
        .sum();
    assert_eq!(told, 1_203);
    // All of the log, without what came after it was asked for: it ends.
    let (all, _) = export(&app, &clinic.auditor, json!({})).await;
    let places: Vec<u64> = all.iter().map(|event| event["index"].as_u64().unwrap()).collect();
    assert_eq!(places, (0..places.len() as u64).collect::<Vec<_>>());
    // One that finds nothing is told too.
    let before = app.events(&clinic.auditor, "audit.exported").await.len();
    let (none, _) = export(&app, &clinic.auditor, json!({"type": "app.none"})).await;
    assert!(none.is_empty());
    assert_eq!(app.events(&clinic.auditor, "audit.exported").await.len(), before + 1);
    let (security, _) = export(&app, &clinic.auditor, json!({"security": true})).await;
    assert!(security.iter().any(|event| event["type"] == "api_key.created"));
    assert!(!security.iter().any(|event| event["type"] == "app.step"));

    // To export is a right of its own, and another tenant's log is none of ours.
    app.post(&clinic.officer, PATH, span(json!({}))).await.refused(403, "authz.denied");
    let theirs = app.clinic("theirs").await;
    let (other, _) = export(&app, &theirs.auditor, json!({"type_prefix": "app."})).await;
    assert!(other.is_empty());
    for odd in [json!({"limit": 3}), json!({"from": "2027-01-01T00:00:00Z"}), json!({"to": "2028-12-31T00:00:00Z"})] {
        app.post(&clinic.auditor, PATH, span(odd)).await.refused(422, "request.invalid");
    }
}

/// Under the head of the primary, read through a replica.
#[tokio::test]
async fn an_export_is_whole_whatever_a_replica_has_heard_of() {
    let Some((backend, replica)) = Backend::lagging().await else { return };
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let steps = |count: u64| (0..count).map(|n| json!({"type": "app.step", "details": {"n": n}})).collect::<Vec<_>>();
    app.post(&clinic.service, "/v1/audit/events/batch", json!({"items": steps(3)})).await.created();
    assert_eq!(export(&app, &clinic.auditor, json!({"type": "app.step"})).await.0.len(), 3);
    replica.lag(clinic.id.parse().unwrap(), 4).await;
    app.post(&clinic.service, "/v1/audit/events/batch", json!({"items": steps(2)})).await.created();
    assert_eq!(export(&app, &clinic.auditor, json!({"type": "app.step"})).await.0.len(), 5);
    replica.lag(clinic.id.parse().unwrap(), 4).await;
    app.post(&clinic.service, "/v1/audit/events/batch", json!({"items": steps(2)})).await.created();
    assert_eq!(app.events(&clinic.auditor, "app.step").await.len(), 7, "a list neither");
    replica.catch_up();
}

async fn an_export_gives_what_is_personal_to_who_asks_and_may(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    tell(&app, &clinic, 3, "MRN-1").await;
    let (events, _) = export(&app, &clinic.auditor, json!({"type": "app.step", "personal": true})).await;
    assert_eq!(events[0]["sealed_part"]["note"]["value"], "Jane Doe");
    let (events, _) = export(&app, &clinic.auditor, json!({"type": "app.step", "personal": false})).await;
    assert!(events[0].get("sealed_part").is_none());
    let opened: Vec<Value> = app
        .events(&clinic.auditor, "audit.exported")
        .await
        .iter()
        .map(|event| {
            serde_json::from_str::<Value>(event["core"].as_str().unwrap()).unwrap()["detail"]["personal"].clone()
        })
        .collect();
    assert_eq!(opened, [json!("opened"), json!("closed")]);
}

/// What is in an address is in the logs of every proxy on the way.
async fn a_person_is_looked_for_in_a_body(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    tell(&app, &clinic, 3, "MRN-1").await;
    tell(&app, &clinic, 2, "MRN-2").await;
    let search = "/v1/audit/events/search";
    let found = app.post(&clinic.auditor, search, span(json!({"subject": "MRN-1", "type": "app.step"}))).await.ok();
    assert_eq!(found["items"].as_array().unwrap().len(), 3);
    let same = "/v1/audit/events?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&subject=MRN-1&type=app.step";
    assert_eq!(app.get(&clinic.auditor, same).await.ok()["items"], found["items"]);
    // Pages, proofs and security as in an address.
    let page = span(json!({"type": "app.step", "limit": 4, "proof": true}));
    let first = app.post(&clinic.auditor, search, page).await.ok();
    assert!(first["items"][0]["proof"].is_string());
    let page = span(json!({"type": "app.step", "limit": 4, "cursor": first["next_cursor"]}));
    let second = app.post(&clinic.auditor, search, page).await.ok();
    assert_eq!((first["items"].as_array().unwrap().len(), second["items"].as_array().unwrap().len()), (4, 1));
    let security = app.post(&clinic.auditor, search, span(json!({"security": true}))).await.ok();
    assert!(security["items"].as_array().unwrap().iter().all(|event| event["type"] != "app.step"));
    let (exported, _) = export(&app, &clinic.auditor, json!({"subject": "MRN-2", "type": "app.step"})).await;
    assert_eq!(exported.len(), 2);
    // And the accounting of one person.
    let told = json!({"type": "app.disclosure.sent", "purpose": "PUBHLTH",
        "references": [{"kind": "subject", "id": "MRN-2"}], "personal": {"recipient": "County"}});
    app.post(&clinic.service, "/v1/audit/events", told).await.created();
    let accounted = app.post(&clinic.auditor, "/v1/audit/accounting", json!({"subject": "MRN-2"})).await.ok();
    assert_eq!(accounted["items"][0]["recipient"], "County");
    let none = app.post(&clinic.auditor, "/v1/audit/accounting", json!({})).await;
    none.refused(422, "request.invalid");
    app.post(&clinic.service, search, span(json!({}))).await.refused(403, "authz.denied");
}
