//! Whole rows, from outside.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::app::{Backend, Clinic, Reply, TestApp};

backends! { a_row_is_sealed_under_one_header_and_changes_in_part, members_do_not_open_elsewhere }

/// The shape of a header, of nobody's row.
pub(crate) fn header() -> String {
    let mut bytes = [7; 68];
    bytes[..4].copy_from_slice(&[0xF9, 0x12, 1, 1]);
    format!("chy1.{}", data_encoding::BASE64URL_NOPAD.encode(&bytes))
}

fn bytes(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap().strip_prefix("chy1.").unwrap();
    data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
}

async fn clinic(app: &TestApp, slug: &str) -> Clinic {
    let clinic = app.clinic(slug).await;
    app.register_fields(&clinic).await;
    clinic
}

async fn seal(app: &TestApp, clinic: &Clinic, row: Value) -> Reply {
    app.post(&clinic.service, "/v1/records/seal", json!({"items": [row]})).await
}

/// The sealed values of a row by column.
fn stored(item: &Value) -> Value {
    let fields = item["fields"].as_object().unwrap();
    fields
        .iter()
        .map(|(column, field)| (column.clone(), field["sealed"].clone()))
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .collect()
}

async fn open(app: &TestApp, clinic: &Clinic, row: &str, header: &Value, fields: &Value) -> Reply {
    let item = json!({"table": "patients", "row": row, "header": header, "fields": fields});
    app.post(&clinic.service, "/v1/records/open", json!({"reason": "visit", "items": [item]})).await
}

async fn a_row_is_sealed_under_one_header_and_changes_in_part(backend: Backend) {
    let app = TestApp::on(backend).await;
    let ours = clinic(&app, "ours").await;
    let values = json!({"last_name": "Zoë", "ssn": null, "age": 41, "price": "12.340", "smoker": false, "photo": "AP8",
        "birth_date": "1999-02-28", "extra": {"b": [1, null]}, "note": ""});
    let sealed = seal(&app, &ours, json!({"table": "patients", "row": "p1", "fields": values})).await.ok();
    let item = &sealed["items"][0];
    let (header, fields) = (&item["header"], stored(item));
    assert_eq!(bytes(header).len(), 68);
    assert_eq!(bytes(&fields["last_name"]).len(), "Zoë".len() + 34);
    assert_eq!(fields["ssn"], Value::Null);
    assert_eq!(item["fields"]["last_name"]["terms"].as_array().unwrap().len(), 1);
    assert!(item["fields"]["age"].get("terms").is_none() && item["fields"]["ssn"].get("terms").is_none());
    assert_eq!(open(&app, &ours, "p1", header, &fields).await.ok()["items"][0]["fields"], values);

    // One column changes; header and other members stay.
    let change =
        json!({"table": "patients", "row": "p1", "header": header, "fields": {"last_name": "Ann", "ssn": "1"}});
    let changed = seal(&app, &ours, change).await.ok();
    assert_eq!(&changed["items"][0]["header"], header);
    let newer = stored(&changed["items"][0]);
    let mixed = json!({"last_name": newer["last_name"], "ssn": newer["ssn"], "age": fields["age"]});
    let opened = open(&app, &ours, "p1", header, &mixed).await.ok();
    assert_eq!(opened["items"][0]["fields"], json!({"last_name": "Ann", "ssn": "1", "age": 41}));

    // The data key rotates: old rows open, take no more members, and are made anew as a whole.
    let key = app.get(&ours.officer, "/v1/keys?managed=data").await.ok()["items"][0]["id"].as_str().unwrap().to_owned();
    app.call(&ours.officer, "POST", &format!("/v1/keys/{key}/rotate"), None).await.ok();
    open(&app, &ours, "p1", header, &mixed).await.ok();
    let change = json!({"table": "patients", "row": "p1", "header": header, "fields": {"last_name": "Eve"}});
    seal(&app, &ours, change).await.refused(409, "key.retired");
    let row = json!({"table": "patients", "row": "p1", "header": header, "fields": mixed});
    let moved = app.post(&ours.officer, "/v1/records/reseal", json!({"items": [row]})).await.ok();
    let (new_header, new_fields) = (&moved["items"][0]["header"], &moved["items"][0]["fields"]);
    assert_ne!(bytes(new_header)[4..12], bytes(header)[4..12], "another handle");
    let opened = open(&app, &ours, "p1", new_header, new_fields).await.ok();
    assert_eq!(opened["items"][0]["fields"], json!({"last_name": "Ann", "ssn": "1", "age": 41}));
    open(&app, &ours, "p1", new_header, &json!({"age": fields["age"]})).await.refused(422, "sealed.wrong_context");

    assert_eq!(app.events(&ours.officer, "record.resealed").await.len(), 1);
    let events = app.events(&ours.officer, "record.opened").await;
    assert_eq!(events.len(), 5);
    assert!(!events[0]["core"].as_str().unwrap().contains("p1"), "rows are keyed references");
}

async fn members_do_not_open_elsewhere(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (clinic(&app, "ours").await, clinic(&app, "theirs").await);
    app.put(&ours.officer, "/v1/fields/visits/ssn", json!({})).await.ok();
    let row =
        |row: &str| json!({"table": "patients", "row": row, "fields": {"ssn": "123-45-6789", "last_name": "Lee"}});
    let one = seal(&app, &ours, row("p1")).await.ok()["items"][0].clone();
    let two = seal(&app, &ours, row("p2")).await.ok()["items"][0].clone();
    let (header, fields) = (&one["header"], stored(&one));
    let only = |column: &str, sealed: &Value| json!({ column: sealed });
    open(&app, &ours, "p1", header, &fields).await.ok();
    open(&app, &ours, "p2", header, &fields).await.refused(422, "sealed.wrong_context");
    open(&app, &ours, "p1", &two["header"], &fields).await.refused(422, "sealed.wrong_context");
    open(&app, &ours, "p1", header, &only("ssn", &stored(&two)["ssn"])).await.refused(422, "sealed.wrong_context");
    open(&app, &ours, "p1", header, &only("ssn", &fields["last_name"])).await.refused(422, "sealed.tampered");
    open(&app, &theirs, "p1", header, &fields).await.refused(422, "sealed.wrong_context");
    let elsewhere = json!({"table": "visits", "row": "p1", "header": header, "fields": {"ssn": fields["ssn"]}});
    let elsewhere = json!({"reason": "visit", "items": [elsewhere]});
    app.post(&ours.service, "/v1/records/open", elsewhere).await.refused(422, "sealed.wrong_context");
    let refusal = open(&app, &ours, "p1", header, &only("ssn", &fields["last_name"])).await.json();
    assert_eq!(refusal["errors"][0]["pointer"], "/items/0/fields/ssn");
    assert_eq!(app.events(&ours.auditor, "record.open_failed").await.len(), 6);

    // Lone values and members are not taken for each other.
    let lone = app.seal(&ours.service, "ssn", "p1", json!("1")).await["sealed"].clone();
    open(&app, &ours, "p1", header, &only("ssn", &lone)).await.refused(422, "sealed.malformed");
    open(&app, &ours, "p1", &lone, &fields).await.refused(422, "sealed.malformed");
    app.open(&ours.service, "ssn", "p1", &fields["ssn"]).await.refused(422, "sealed.malformed");
    // A member under another row's header is not made either.
    let wrong = json!({"table": "patients", "row": "p2", "header": header, "fields": {"ssn": "1"}});
    seal(&app, &ours, wrong).await.refused(422, "sealed.wrong_context");
}

#[tokio::test]
async fn what_is_no_row_is_refused_with_its_place() {
    let app = TestApp::new().await;
    let ours = clinic(&app, "ours").await;
    for (row, code, pointer) in [
        (json!({"table": "patients", "row": "1", "fields": {}}), "request.invalid", "/items/0/fields"),
        (json!({"table": "patients", "row": "", "fields": {"ssn": "1"}}), "row.required", "/items/0/row"),
        (json!({"table": "patients", "row": "1", "fields": {"nope": "1"}}), "field.unknown", "/items/0/fields/nope"),
        (json!({"table": "patients", "row": "1", "fields": {"O'Neil": "1"}}), "field.unknown", "/items/0/fields"),
        (json!({"table": "patients", "row": "1", "fields": {"age": "1"}}), "request.invalid", "/items/0/fields/age"),
        (
            json!({"table": "patients", "row": "1", "fields": {"ssn": "chy1.AA"}}),
            "request.invalid",
            "/items/0/fields/ssn",
        ),
        (
            json!({"table": "patients", "row": "1", "header": "chy1.AA", "fields": {"ssn": "1"}}),
            "sealed.malformed",
            "/items/0/header",
        ),
        (
            json!({"table": "patients", "row": "1", "header": header(), "subject": "x", "fields": {"ssn": "1"}}),
            "request.invalid",
            "/items/0/subject",
        ),
    ] {
        let reply = seal(&app, &ours, row.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (422, code), "{row}: {}", reply.text());
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{row}");
    }
    let twice = r#"{"items":[{"table":"patients","row":"1","fields":{"ssn":"1","ssn":"2"}}]}"#;
    let mut request = crate::app::request("POST", "/v1/records/seal", Some(json!({})));
    *request.body_mut() = twice.into();
    app.send(ours.service.sign(request)).await.refused(400, "request.malformed");
    let fields: BTreeMap<&str, &str> = [("ssn", "1"), ("last_name", "x")].into();
    let rows = |count| {
        (0..count)
            .map(|row: u32| json!({"table": "patients", "row": row.to_string(), "fields": fields}))
            .collect::<Vec<_>>()
    };
    app.post(&ours.service, "/v1/records/seal", json!({"items": rows(500)})).await.ok();
    app.post(&ours.service, "/v1/records/seal", json!({"items": rows(501)})).await.refused(422, "request.invalid");
    app.post(&ours.service, "/v1/records/seal", json!({"items": []})).await.refused(422, "request.invalid");
}
