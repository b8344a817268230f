//! What stands behind the gateway's own checks: documents, uploads, assertions.

use std::sync::Arc;

use chancery_gateway::{
    Authentication, Demand, Mode, Route,
    assertion::Assertions,
    schema::{Contract, Rules, Schemas, Trimmed},
    upload::Uploads,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::{
    application::{header, telling},
    stage::{Answer, Stage, route},
};

async fn clinic(change: impl FnOnce(&mut Route), schemas: impl Into<Arc<Schemas>>) -> Stage {
    let mut all = route("/*", telling().await);
    all.schema = Some("clinic".to_owned());
    change(&mut all);
    let schemas: Arc<Schemas> = schemas.into();
    let demands: Vec<Arc<dyn Demand>> = vec![Arc::new(Uploads), schemas, Arc::new(Assertions)];
    Stage::demanding(vec![all], demands).await
}

fn schemas(rules: Rules) -> Schemas {
    let lattice = json!({"type": "object", "required": ["size"], "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 5}, "size": {"type": "integer", "minimum": 2}}});
    let document = json!({"openapi": "3.1.0", "paths": {
        "/lattices": {"post": {"requestBody": {"required": true, "content": {"application/json": {"schema": lattice}}}}},
        "/either": {"post": {"requestBody": {"required": true, "content": {
            "application/json": {"schema": lattice}, "application/x-www-form-urlencoded": {"schema": {"type": "object"}}}}}},
        "/upload": {"post": {"requestBody": {"content": {"multipart/form-data": {"schema": {"type": "object"}}}}}},
        "/patients/{id}": {"get": {"parameters": [
            {"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}]}}
    }});
    let trimmed = Trimmed { operation: "POST /lattices".into(), pointers: vec!["/name".into()] };
    let schemas = Schemas::default();
    schemas.put("clinic", Contract::read(&document, Rules { trimmed: vec![trimmed], ..rules }).unwrap());
    schemas
}

async fn post(stage: &Stage, target: &str, kind: &str, body: &str) -> Answer {
    let head = format!("POST {target} HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\ncontent-type: {kind}\r\n");
    stage.raw(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await
}

fn places(answer: &Answer) -> Vec<String> {
    answer.refused(422, "request.invalid");
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
    problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| text(error, "pointer") + " " + &text(error, "code"))
        .collect()
}

#[tokio::test]
async fn a_document_is_held_to_and_nothing_is_rewritten() {
    let stage = clinic(|_| (), schemas(Rules::default())).await;
    let json = "application/json";
    let odd = r#"{"size" : 3,  "name": "  abcde  "}"#;
    let seen = post(&stage, "/lattices", json, odd).await.seen();
    assert_eq!(seen["body"], odd, "measured as the application does, and passed on as it came");
    assert_eq!(
        places(&post(&stage, "/lattices", json, r#"{"name": "   ", "size": 1}"#).await),
        ["/name too_short", "/size too_small"]
    );
    assert_eq!(places(&post(&stage, "/lattices", json, r#"{"size": 2, "size": 3}"#).await), [" json"]);
    assert_eq!(places(&post(&stage, "/lattices", json, "").await), [" required"]);
    post(&stage, "/lattices", "text/plain", odd).await.refused(415, "request.media_type");
    stage.send("GET", "/patients/7", &[]).await.seen();
    assert_eq!(places(&stage.send("GET", "/patients/seven", &[]).await), [" type"]);
    let secret = post(&stage, "/lattices", json, r#"{"name": "123-45-6789", "size": "98765"}"#).await;
    assert!(!secret.whole.contains("6789") && !secret.whole.contains("98765"), "{}", secret.whole);
}

/// Frameworks that know no `Content-Encoding`, and read heads as Latin-1, take such a body for JSON.
#[tokio::test]
async fn what_an_application_may_read_as_json_does_not_go_on_unseen() {
    let stage = clinic(|_| (), schemas(Rules::default())).await;
    let form = "application/x-www-form-urlencoded";
    for kind in [
        "application/json\r\ncontent-encoding: identity",
        "application/json; x=\u{ff}",
        "application/json\u{a0}",
        "application/json; charset=utf-7",
    ] {
        for path in ["/lattices", "/either"] {
            post(&stage, path, kind, r#"{"size": 1}"#).await.refused(415, "request.media_type");
        }
    }
    assert_eq!(post(&stage, "/either", form, "size=1").await.seen()["body"], "size=1");
    for kind in ["application/json", "text/json", "application/json; charset=utf-8"] {
        assert_eq!(places(&post(&stage, "/either", kind, r#"{"size": 1}"#).await), ["/size too_small"], "{kind}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_what_no_document_names_is_passed_or_refused() {
    let held = Arc::new(schemas(Rules { body_bytes: 20, ..Rules::default() }));
    let stage = clinic(|_| (), Arc::clone(&held)).await;
    let long = format!(r#"{{"size": 2, "x": "{}"}}"#, "x".repeat(30));
    post(&stage, "/lattices", "application/json", &long).await.refused(413, "request.too_large");
    assert!(held.undocumented().is_empty());
    stage.send("GET", "/undocumented", &[]).await.seen();
    assert_eq!(held.undocumented(), std::collections::BTreeMap::from([("/*", 1)]));
    let strict = Rules { refuse_undocumented: true, ..Rules::default() };
    let stage = clinic(|_| (), schemas(strict)).await;
    stage.send("GET", "/undocumented", &[]).await.refused(404, "not_found");
    stage.send("DELETE", "/lattices", &[]).await.refused(404, "not_found");
}

#[tokio::test]
async fn while_a_route_is_watched_everything_arrives_whole() {
    let rules = Rules { body_bytes: 20, ..Rules::default() };
    let stage = clinic(|route| route.mode = Mode::Shadow, schemas(rules)).await;
    let long = format!(r#"{{"size": 1, "x": "{}"}}"#, "x".repeat(50_000));
    for body in [r#"{"size": 1}"#, &long, "{"] {
        let answer = post(&stage, "/lattices", "application/json", body).await;
        assert!(answer.headers["x-chancery-verdict"].to_str().unwrap().starts_with("would-refuse"), "{}", answer.whole);
        assert_eq!(answer.seen()["body"].as_str().unwrap().len(), body.len());
    }
    let refusals = || stage.gateway.observed().sights()["/*"].would_refuse["request.invalid"];
    let before = refusals();
    let answer = post(&stage, "/upload", "multipart/form-data; boundary=b", &form("../x")).await;
    assert_eq!(answer.seen()["body"], form("../x"));
    assert_eq!(refusals(), before + 1, "what is found while it goes by is in the inventory too");
}

#[tokio::test]
async fn a_document_that_is_not_there_yet_lets_nothing_through() {
    let stage = clinic(|_| (), Schemas::default()).await;
    stage.send("GET", "/patients/7", &[]).await.refused(503, "dependency.unavailable");
}

fn form(name: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{name}\"\r\n\r\ncontent\r\n--b--\r\n")
}

#[tokio::test]
async fn a_file_whose_name_is_a_path_does_not_arrive() {
    let stage = clinic(|_| (), schemas(Rules::default())).await;
    let kind = "multipart/form-data; boundary=b";
    assert_eq!(post(&stage, "/upload", kind, &form("letter č. 1.pdf")).await.seen()["body"], form("letter č. 1.pdf"));
    for name in ["../../etc/passwd", "..%2fx", "a/b", "C:\\x", "NUL"] {
        assert_eq!(places(&post(&stage, "/upload", kind, &form(name)).await), [" filename"], "{name}");
    }
    assert_eq!(places(&post(&stage, "/upload", "multipart/form-data", &form("x")).await), [" form"]);
    // In pieces, so that the application already waits for the rest.
    let (first, second) = (form("ok.pdf").replace("--b--\r\n", ""), form("../x"));
    let head = format!(
        "POST /upload HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunks = format!("{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
    assert_eq!(places(&stage.raw((head + &chunks).as_bytes()).await), [" filename"]);
}

#[tokio::test]
async fn every_request_carries_an_assertion_of_its_own() {
    let stage =
        clinic(|route| (route.schema, route.authentication) = (None, Authentication::Optional), Schemas::default())
            .await;
    let (id, key) = stage.key("clinician").await;
    let claims = |seen: &Value| -> Value {
        let text = header(seen, "x-auth-assertion").unwrap();
        let payload = text.split('.').nth(1).unwrap().to_owned();
        serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
    };
    let forged = ["X-Auth-Assertion: forged", "X_Auth_Assertion: forged", "x-auth_assertion: forged"];
    let bearer = format!("Authorization: Bearer {key}");
    let mut lines = forged.to_vec();
    lines.push(&bearer);
    let known = stage.send("GET", "/a/%62?x=1", &lines).await;
    let said = claims(&known.seen());
    assert_eq!((&said["sub"], &said["aud"], &said["tenant"]), (&json!(id), &json!("app"), &json!("north")));
    assert_eq!(said["jti"], known.headers["x-request-id"].to_str().unwrap());
    let stranger = claims(&stage.send("GET", "/a/%62?x=1", &forged).await.seen());
    assert!(stranger.get("sub").is_none() && stranger["jti"] != said["jti"], "{stranger}");
    assert_eq!(stranger["request"], said["request"], "the same path");
}
