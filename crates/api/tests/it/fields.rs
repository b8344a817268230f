//! Fields, from outside.

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
    let changed = app.put(&clinic.officer, path, json!({"class": "confidential"})).await.ok();
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
