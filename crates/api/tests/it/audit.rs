//! The log, from outside.

use chancery_crypto::{merkle, proof::LogProof};
use serde_json::{Value, json};

use crate::app::{Backend, TestApp};

backends! { an_event_comes_with_a_proof, nothing_personal_is_in_a_leaf }

async fn an_event_comes_with_a_proof(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    app.seal(&clinic.service, "ssn", "p1", json!("1")).await;
    let event = app.events(&clinic.auditor, "record.sealed").await[0].clone();
    let path = format!("/v1/audit/events/{}?proof=true", event["id"].as_str().unwrap());
    let proven = app.get(&clinic.auditor, &path).await.ok();
    assert_eq!(proven["core"], event["core"]);
    assert_eq!(proven["index"], event["index"]);
    let leaf = merkle::leaf_hash(proven["core"].as_str().unwrap().as_bytes());
    assert_eq!(proven["leaf_hash"], data_encoding::HEXLOWER.encode(&leaf));
    let proof = LogProof::parse(proven["proof"].as_str().unwrap()).unwrap();
    let head = proof.checkpoint.checkpoint().clone();
    assert!(merkle::verify_inclusion(proof.index, head.size, &leaf, &proof.hashes, &head.root).is_ok());
    assert!(proven["proof"].as_str().unwrap().contains(proven["checkpoint"].as_str().unwrap()));

    let checkpoint = app.get(&clinic.auditor, "/v1/audit/checkpoint").await;
    assert_eq!(checkpoint.headers["content-type"], "text/plain; charset=utf-8");
    assert!(checkpoint.text().starts_with("chancery.test/t/"), "{}", checkpoint.text());
    let tile = app.get(&clinic.auditor, "/v1/audit/tile/0/0").await;
    assert_eq!(tile.body.len() % 32, 0);
    let at = usize::try_from(proof.index).unwrap() * 32;
    assert_eq!(tile.body[at..at + 32], leaf);
    app.get(&clinic.auditor, "/v1/audit/tile/7/9").await.refused(404, "not_found");
    app.get(&clinic.auditor, "/v1/audit/tile/x/0").await.refused(404, "not_found");
}

async fn nothing_personal_is_in_a_leaf(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let user = json!({"username": "ann", "email": "ann.secret@x.test", "roles": ["staff"], "last_name": "Zygmunt"});
    app.post(&clinic.admin, "/v1/users", user).await.created();
    app.get(&clinic.admin, "/v1/users?email=ann.secret@x.test").await.ok();
    let path = "/v1/audit/events?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&limit=1000";
    let events = app.get(&clinic.auditor, path).await.ok();
    let events = events["items"].as_array().unwrap();
    for event in events {
        let core = event["core"].as_str().unwrap();
        for secret in ["ann.secret", "Zygmunt", "192.0.2.7"] {
            assert!(!core.contains(secret), "{core}");
        }
        assert!(event["request_id"].as_str().unwrap().starts_with("req_"));
    }
    // The address is sealed beside the leaf, for those who may see it.
    assert!(events.iter().any(|event| event["sealed_part"]["address"]["value"] == "192.0.2.7"));
    let indexes: Vec<u64> = events.iter().map(|event| event["index"].as_u64().unwrap()).collect();
    assert!(indexes.is_sorted());
}

#[tokio::test]
async fn events_are_found_by_everything_that_names_them() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let reply = app.post(&clinic.admin, "/v1/api-keys", json!({"description": "x", "roles": ["staff"]})).await;
    let id = reply.created()["id"].as_str().unwrap().to_owned();
    let request_id = reply.headers["x-request-id"].to_str().unwrap();
    let bounds = "from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z";
    let find = |filter: String| {
        let (app, auditor) = (&app, &clinic.auditor);
        async move {
            app.get(auditor, &format!("/v1/audit/events?{bounds}&{filter}")).await.ok()["items"]
                .as_array()
                .unwrap()
                .len()
        }
    };
    assert_eq!(find(format!("resource={id}")).await, 1);
    assert_eq!(find(format!("request_id={request_id}")).await, 1);
    let events = app.get(&clinic.auditor, &format!("/v1/audit/events?{bounds}&request_id={request_id}")).await.ok();
    let actor = events["items"][0]["actor"].as_str().unwrap().to_owned();
    assert_eq!(find(format!("actor={actor}&type=api_key.created&outcome=0")).await, 1);
    assert_eq!(find(format!("actor={actor}&outcome=8")).await, 0);
}

#[tokio::test]
async fn pages_of_events_join_without_gaps() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let mut indexes: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    for _ in 0..3 {
        let path = format!("/v1/audit/events?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&limit=2{cursor}");
        let page = app.get(&clinic.auditor, &path).await.ok();
        indexes.extend(page["items"].as_array().unwrap().iter().map(|event| event["index"].clone()));
        cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
    }
    assert_eq!(json!(indexes), json!([0, 1, 2, 3, 4, 5]));
}

#[tokio::test]
async fn time_bounds_are_needed_and_in_order() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    for query in [
        "",
        "from=2026-01-01T00:00:00Z",
        "from=yesterday&to=2026-01-01T00:00:00Z",
        "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "from=2020-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
    ] {
        app.get(&clinic.auditor, &format!("/v1/audit/events?{query}")).await.refused(422, "request.invalid");
    }
}
