//! Sealing and opening, from outside.

use serde_json::{Value, json};

use crate::app::{Backend, TestApp};

backends! { every_kind_of_value_comes_back_as_it_was, what_does_not_open_says_why_and_nothing_else }

async fn every_kind_of_value_comes_back_as_it_was(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let values = [
        ("last_name", json!("")),
        ("last_name", json!("Zoë Ångström-O'Neil 王 \u{1F600} \u{0000} e\u{0301}")),
        ("age", json!(-9_223_372_036_854_775_808_i64)),
        ("age", json!(0)),
        ("price", json!("12.3400")),
        ("smoker", json!(false)),
        ("photo", json!("AP8")),
        ("photo", json!("")),
        ("birth_date", json!("1999-02-28")),
        ("extra", json!({"b": [1, null, "x"], "a": {"c": true}})),
        ("extra", json!([])),
        ("ssn", Value::Null),
        ("extra", Value::Null),
    ];
    let place = |index: usize, column: &str, name: &str, value: &Value| json!({"table": "patients", "column": column, "row": format!("row-{index}"), name: value});
    let items: Vec<Value> =
        values.iter().enumerate().map(|(index, (column, value))| place(index, column, "value", value)).collect();
    let sealed = app.post(&clinic.service, "/v1/seal", json!({"items": items})).await.ok();
    let sealed = sealed["items"].as_array().unwrap();
    for ((column, value), item) in values.iter().zip(sealed) {
        assert_eq!(item["sealed"].is_null(), value.is_null(), "{column}");
        let indexed = ["last_name", "ssn"].contains(column) && !value.is_null();
        assert_eq!(item.get("terms").is_some(), indexed, "{column}: {item}");
    }
    let items: Vec<Value> = values
        .iter()
        .zip(sealed)
        .enumerate()
        .map(|(index, ((column, _), item))| place(index, column, "sealed", &item["sealed"]))
        .collect();
    let body = json!({"reason": "visit", "purpose": "TREAT", "items": items});
    let opened = app.post(&clinic.service, "/v1/open", body).await.ok();
    for ((column, value), item) in values.iter().zip(opened["items"].as_array().unwrap()) {
        assert_eq!(&item["value"], value, "{column}");
    }
    // One event tells of all: the row's references are keyed, the reason is sealed.
    let events = app.events(&clinic.officer, "record.opened").await;
    assert_eq!(events.len(), 1);
    let core = events[0]["core"].as_str().unwrap();
    assert!(!core.contains("row-1") && !core.contains("visit"), "{core}");
    assert_eq!(events[0]["sealed_part"]["reason"]["value"], "visit");
}

async fn what_does_not_open_says_why_and_nothing_else(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let sealed = app.seal(&clinic.service, "ssn", "p1", json!("123-45-6789")).await["sealed"].clone();
    let text = sealed.as_str().unwrap();
    let bytes = data_encoding::BASE64URL_NOPAD.decode(text.strip_prefix("chy1.").unwrap().as_bytes()).unwrap();
    let mut tampered = bytes.clone();
    *tampered.last_mut().unwrap() ^= 1;
    let tampered = json!(format!("chy1.{}", data_encoding::BASE64URL_NOPAD.encode(&tampered)));

    app.open(&clinic.service, "ssn", "p1", &tampered).await.refused(422, "sealed.tampered");
    for (column, row) in [("ssn", "p2"), ("last_name", "p1")] {
        app.open(&clinic.service, column, row, &sealed).await.refused(422, "sealed.wrong_context");
    }
    for nonsense in ["", "123-45-6789", "chy1.", "chy1.AAAA", "chy1.====", "chy2.AAAA", &text[..60]] {
        app.open(&clinic.service, "ssn", "p1", &json!(nonsense)).await.refused(422, "sealed.malformed");
    }
    let refusal = app.open(&clinic.service, "ssn", "p2", &sealed).await;
    assert!(!refusal.text().contains(&text[5..20]) && !refusal.text().contains("6789"));
    assert_eq!(refusal.json()["errors"][0]["pointer"], "/items/0/sealed");
    assert_eq!(app.events(&clinic.auditor, "record.open_failed").await.len(), 4);
    // One event for each, not a refusal beside it: those are of what was no sealed value.
    assert_eq!(app.events(&clinic.auditor, "access.refused").await.len(), 7);

    let item = |extra: Value| json!({"items": [extra]});
    let seal = |body: Value| {
        let (app, clinic) = (&app, &clinic);
        async move { app.post(&clinic.service, "/v1/seal", body).await }
    };
    let unknown = json!({"table": "patients", "column": "unknown", "row": "1", "value": "x"});
    seal(item(unknown)).await.refused(422, "field.unknown");
    seal(item(json!({"table": "patients", "column": "ssn", "value": "x"}))).await.refused(422, "row.required");
    seal(item(json!({"table": "patients", "column": "ssn", "row": "1", "value": 7})))
        .await
        .refused(422, "request.invalid");
    seal(item(json!({"table": "patients", "column": "ssn", "row": "1"}))).await.refused(422, "request.invalid");
    seal(json!({"items": []})).await.refused(422, "request.invalid");
    let public = json!({"class": "public", "encrypt": false});
    app.put(&clinic.officer, "/v1/fields/patients/city", public).await.ok();
    seal(item(json!({"table": "patients", "column": "city", "row": "1", "value": "x"})))
        .await
        .refused(422, "field.not_encrypted");
    let open = json!({"items": [{"table": "patients", "column": "ssn", "row": "p1", "sealed": sealed}]});
    app.post(&clinic.service, "/v1/open", open).await.refused(422, "request.invalid");
}

#[tokio::test]
async fn staff_opens_internal_and_confidential_fields_only() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let age = app.seal(&clinic.staff, "age", "p1", json!(41)).await;
    assert_eq!(app.open(&clinic.staff, "age", "p1", &age["sealed"]).await.ok()["items"][0]["value"], 41);
    let ssn = app.seal(&clinic.staff, "ssn", "p1", json!("1")).await;
    app.open(&clinic.staff, "ssn", "p1", &ssn["sealed"]).await.refused(403, "authz.denied");
}

#[tokio::test]
async fn a_thousand_values_go_at_once_and_no_more() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let items = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|row| json!({"table": "patients", "column": "ssn", "row": row.to_string(), "value": "1"}))
            .collect()
    };
    let sealed = app.post(&clinic.service, "/v1/seal", json!({"items": items(1000)})).await.ok();
    assert_eq!(sealed["items"].as_array().unwrap().len(), 1000);
    app.post(&clinic.service, "/v1/seal", json!({"items": items(1001)})).await.refused(422, "request.invalid");
}

#[tokio::test]
async fn equal_values_have_equal_terms_and_different_sealings() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let one = app.seal(&clinic.service, "last_name", "p1", json!("Müller")).await;
    let two = app.seal(&clinic.service, "last_name", "p2", json!("  MULLER ")).await;
    assert_eq!(one["terms"], two["terms"]);
    assert_ne!(one["sealed"], two["sealed"]);
    assert_eq!(one["terms"][0].as_str().unwrap().len(), 64);
    let body = json!({"items": [{"table": "patients", "column": "last_name", "value": "müller"}]});
    assert_eq!(app.post(&clinic.service, "/v1/terms", body).await.ok()["items"][0]["terms"], one["terms"]);
    let body = json!({"items": [{"table": "patients", "column": "age", "value": 1}]});
    app.post(&clinic.service, "/v1/terms", body).await.refused(422, "request.invalid");
}
