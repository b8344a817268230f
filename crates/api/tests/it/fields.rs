//! Fields, from outside.

use chancery_domain::instance::Deployment;
use serde_json::json;

use crate::app::TestApp;

#[tokio::test]
async fn a_field_has_strict_defaults_and_keeps_what_values_depend_on() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let path = "/v1/fields/patients/ssn";
    let made = app.put(&clinic.officer, path, json!({"index": {"normalizer": "digits"}})).await.ok();
    assert_eq!(made["class"], "restricted");
    assert_eq!(made["type"], "text");
    assert_eq!(made["bind"], "row");
    assert_eq!(made["index"], json!({"normalizer": "digits", "bits": 64}));
    assert_eq!(made["encrypt"], true);
    let body = json!({"class": "confidential", "allow": ["weaker_class"]});
    let changed = app.put(&clinic.officer, path, body).await.ok();
    assert_eq!((&changed["id"], &changed["class"]), (&made["id"], &json!("confidential")));
    app.put(&clinic.officer, path, json!({"type": "integer"})).await.refused(409, "state.conflict");
    app.put(&clinic.officer, path, json!({"bind": "column"})).await.refused(409, "state.conflict");
    assert_eq!(app.get(&clinic.staff, "/v1/fields").await.ok()["items"], json!([changed]));
}

#[tokio::test]
async fn personal_fields_are_not_kept_in_clear() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    for class in ["restricted", "confidential", "internal"] {
        let body = json!({"class": class, "encrypt": false});
        app.put(&clinic.officer, "/v1/fields/patients/ssn", body).await.refused(422, "request.invalid");
    }
    app.put(&clinic.officer, "/v1/fields/pa-tients/ssn", json!({})).await.refused(422, "request.invalid");
    app.put(&clinic.officer, "/v1/fields/patients/ssn", json!({"colour": 1})).await.refused(422, "request.invalid");
}

#[tokio::test]
async fn a_class_is_weakened_and_encryption_ended_only_by_name() {
    let app = TestApp::new().await.again(|settings| settings.deployment = Deployment::SingleHospital).await;
    let clinic = app.clinic("ours").await;
    let path = "/v1/fields/staff/badge";
    let put = |body| app.put(&clinic.officer, path, body);
    assert!(put(json!({})).await.ok().get("warnings").is_none());
    put(json!({"class": "internal"})).await.refused(422, "request.invalid");
    put(json!({"class": "internal", "encrypt": false, "allow": ["weaker_class"]}))
        .await
        .refused(422, "request.invalid");
    put(json!({"class": "internal", "allow": ["everything"]})).await.refused(422, "request.invalid");
    put(json!({"class": "internal", "allow": ["weaker_class"]})).await.ok();
    let clear = json!({"class": "internal", "encrypt": false, "allow": ["encryption_off"]});
    let clear = put(clear).await.ok();
    assert_eq!(clear["warnings"], json!(["internal fields should be encrypted; this one is kept in clear"]));
    put(json!({"class": "confidential", "encrypt": false})).await.refused(422, "request.invalid");
    put(json!({"class": "confidential"})).await.ok();
    let weaker: Vec<bool> = app
        .events(&clinic.auditor, "field.defined")
        .await
        .iter()
        .map(|event| event["core"].as_str().unwrap().contains(r#""weaker":"yes""#))
        .collect();
    assert_eq!(weaker.iter().filter(|weaker| **weaker).count(), 2, "{weaker:?}");
}

#[tokio::test]
async fn an_index_says_what_is_wrong_with_it() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    for (body, pointer) in [
        (json!({"index": {"normalizer": "name", "bits": 12}}), "/index/bits"),
        (json!({"index": {"bits": 64}}), "/index/normalizer"),
        (json!({"index": {"prefix": {"min": 1, "max": 3}}}), "/index/normalizer"),
        (json!({"index": {}}), "/index"),
        (json!({"index": {"normalizer": "name", "prefix": {"min": 3, "max": 2}}}), "/index/prefix"),
        (json!({"index": {"normalizer": "name", "prefix": {"min": 0, "max": 2}}}), "/index/prefix"),
        (json!({"type": "date", "index": {"normalizer": "date", "prefix": {"min": 1, "max": 2}}}), "/index/prefix"),
        (json!({"index": {"bucket": {"width": 3, "unit": "one"}}}), "/index/bucket/unit"),
        (json!({"type": "integer", "index": {"bucket": {"width": 0, "unit": "one"}}}), "/index/bucket/width"),
        (json!({"type": "bytes", "index": {"normalizer": "exact"}}), "/index"),
        (json!({"index": {"normalizer": "phone", "country": "XX"}}), "/index/country"),
        (json!({"index": {"normalizer": "soundex"}}), "/index/normalizer"),
    ] {
        let reply = app.put(&clinic.officer, "/v1/fields/patients/x", body.clone()).await;
        reply.refused(422, "request.invalid");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{body}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_ready_set_is_applied_once_and_weakens_nothing() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.put(&clinic.officer, "/v1/fields/staff/email", json!({"class": "restricted", "bind": "column"})).await.ok();
    app.put(&clinic.officer, "/v1/fields/staff/name", json!({"class": "internal"})).await.ok();
    let (app, clinic) = (&app, &clinic);
    let apply = |set: &'static str, body| async move {
        app.post(&clinic.officer, &format!("/v1/field-sets/{set}"), body).await
    };
    let body = json!({"tables": {"people": "staff"}});
    let of = |reply: serde_json::Value| -> Vec<(String, String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let items = reply["items"].as_array().unwrap().iter();
        items.map(|item| (text(&item["column"]), text(&item["class"]), text(&item["applied"]))).collect()
    };
    let first = of(apply("staff-pii", body.clone()).await.ok());
    let first: Vec<(&str, &str, &str)> = first.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(
        first,
        [
            ("name", "confidential", "strengthened"),
            ("email", "restricted", "kept"),
            ("phone", "confidential", "created"),
            ("license_number", "restricted", "created"),
            ("credentials", "confidential", "created"),
            ("rotations", "restricted", "created"),
        ]
    );
    assert_eq!(app.events(&clinic.auditor, "field.defined").await.len(), 7);
    assert!(of(apply("staff-pii", body).await.ok()).iter().all(|(_, _, applied)| applied == "kept"));
    assert_eq!(app.events(&clinic.auditor, "field.defined").await.len(), 7, "nothing changed");
    assert_eq!(of(apply("duty-roster", json!({})).await.ok()).len(), 16);
    apply("staff-pii", json!({"tables": {"persons": "staff"}})).await.refused(422, "request.invalid");
    apply("duty-roster", json!({"tables": {"blocks": "x", "absences": "x"}})).await.refused(422, "request.invalid");
    apply("duty-roster", json!({"tables": {"blocks": "x y"}})).await.refused(422, "request.invalid");
    let unknown = apply("everything", json!({})).await;
    assert_eq!(unknown.status.as_u16(), 404, "{}", unknown.text());
}

#[tokio::test]
async fn a_hint_of_few_values_warns() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let body = |cardinality: u64| json!({"cardinality": cardinality, "index": {"normalizer": "text", "bits": 8}});
    let flag = app.put(&clinic.officer, "/v1/fields/patients/hiv", body(2)).await.ok();
    assert!(flag["warnings"][0].as_str().unwrap().starts_with("2 distinct values"), "{flag}");
    assert!(app.put(&clinic.officer, "/v1/fields/patients/ssn", body(1_170)).await.ok().get("warnings").is_none());
}
