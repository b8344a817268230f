//! What is unusual about a key's use is told, through whichever door it is used: from outside.

use serde_json::{Value, json};

use crate::app::{Caller, Clinic, TestApp};

const DAY: i64 = 24 * 60 * 60;

/// A clinic, and how many anomalies were told of it.
struct Ward {
    app: TestApp,
    clinic: Clinic,
    told: usize,
}

impl Ward {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let clinic = app.clinic("ours").await;
        app.register_fields(&clinic).await;
        Self { app, clinic, told: 0 }
    }

    /// The anomalies since the last look.
    async fn anomalies(&mut self) -> Vec<Value> {
        let events = self.app.events(&self.clinic.auditor, "key.anomaly").await;
        let new =
            events[self.told..].iter().map(|event| serde_json::from_str(event["core"].as_str().unwrap()).unwrap());
        let new: Vec<Value> = new.collect();
        self.told = events.len();
        new
    }

    /// Somebody who never was here before, on another day at the usual hour.
    async fn stranger(&self) -> Caller {
        self.app.clock.advance_seconds(DAY);
        self.app.caller(&self.clinic.id, "service").await
    }

    /// One anomaly, of a new actor on this key.
    async fn is_told(&mut self, key: &str, door: &str) {
        let told = self.anomalies().await;
        assert_eq!(told.len(), 1, "{door}: {told:?}");
        assert_eq!((&told[0]["detail"]["key"], &told[0]["detail"]["what"]), (&json!(key), &json!("actor")), "{door}");
    }

    /// What the usual service does here is nothing unusual.
    async fn nothing_is_told(&mut self, door: &str) {
        let told = self.anomalies().await;
        assert!(told.is_empty(), "{door}: {told:?}");
    }

    async fn post(&self, caller: &Caller, path: &str, body: &Value) -> Value {
        self.app.post(caller, path, body.clone()).await.ok()
    }
}

#[tokio::test]
async fn a_stranger_at_values_rows_documents_and_blobs_is_told() {
    let mut ward = Ward::new().await;
    let usual = ward.clinic.service.clone();
    // A week of use by one service, in which it seals what is opened below.
    let item = |row: usize| json!({"table": "patients", "column": "note", "row": row.to_string(), "value": "x"});
    let many: Vec<Value> = (0..100).map(item).collect();
    let lone = ward.post(&usual, "/v1/seal", &json!({"items": many})).await["items"][0]["sealed"].clone();
    let row = json!({"items": [{"table": "patients", "row": "p1", "fields": {"last_name": "Lee"}}]});
    let row = ward.post(&usual, "/v1/records/seal", &row).await["items"][0].clone();
    let document = json!({"table": "patients", "row": "p1", "document": {"a": "Zoë"},
        "fields": [{"pointer": "/a", "column": "note"}]});
    let document = ward.post(&usual, "/v1/documents/seal", &document).await["document"].clone();
    let place = "table=patients&column=photo&row=p1";
    let blob = crate::blobs::seal(&ward.app, &usual, place, vec![7; 40_000]).await.body;
    ward.app.clock.advance_seconds(7 * DAY);

    let values = json!({"reason": "visit", "items": [{"table": "patients", "column": "note", "sealed": lone}]});
    let rows = json!({"reason": "visit", "items": [{"table": "patients", "row": "p1", "header": row["header"],
        "fields": {"last_name": row["fields"]["last_name"]["sealed"]}}]});
    let documents = json!({"reason": "visit", "table": "patients", "row": "p1", "document": document});
    let sealing = json!({"items": [item(0)]});
    for (path, body) in
        [("/v1/seal", &sealing), ("/v1/open", &values), ("/v1/records/open", &rows), ("/v1/documents/open", &documents)]
    {
        ward.post(&usual, path, body).await;
        ward.nothing_is_told(path).await;
        let stranger = ward.stranger().await;
        ward.post(&stranger, path, body).await;
        ward.is_told("data", path).await;
        // Once is enough.
        ward.post(&stranger, path, body).await;
        ward.nothing_is_told(path).await;
    }
    assert_eq!(crate::blobs::open(&ward.app, &usual, place, blob.clone(), None).await.status, 200);
    ward.nothing_is_told("blob").await;
    let stranger = ward.stranger().await;
    assert_eq!(crate::blobs::open(&ward.app, &stranger, place, blob, None).await.status, 200);
    ward.is_told("data", "opening a blob").await;
    let stranger = ward.stranger().await;
    assert_eq!(crate::blobs::seal(&ward.app, &stranger, place, vec![7; 100]).await.status, 200);
    ward.is_told("data", "sealing a blob").await;
}

#[tokio::test]
async fn a_stranger_at_a_named_key_is_told_whatever_it_does_with_it() {
    let mut ward = Ward::new().await;
    let usual = ward.clinic.service.clone();
    let mut keys = Vec::new();
    for (key_type, purpose) in [("ed25519", "signing"), ("aes_256", "encryption")] {
        let body = json!({"name": purpose, "type": key_type, "purpose": purpose, "access_policy": "application"});
        let key = ward.app.post(&ward.clinic.officer, "/v1/keys", body).await.created();
        keys.push(key["id"].as_str().unwrap().to_owned());
    }
    let path = |at: usize, verb: &str| format!("/v1/keys/{}/{verb}", keys[at]);
    let (message, plaintext) = (json!({"message": "AAAA"}), json!({"plaintext": "AAAA", "context": "c"}));
    for _ in 0..100 {
        ward.post(&usual, &path(0, "sign"), &message).await;
        ward.post(&usual, &path(1, "encrypt"), &plaintext).await;
    }
    let signed = ward.post(&usual, &path(0, "sign"), &message).await;
    let sealed = ward.post(&usual, &path(1, "encrypt"), &plaintext).await;
    let material = json!({"key": data_encoding::BASE64URL_NOPAD.encode(&[7; 32]), "context": "c"});
    let wrapped = ward.post(&usual, &path(1, "wrap"), &material).await;
    ward.nothing_is_told("the first day").await;
    ward.app.clock.advance_seconds(7 * DAY);
    for (at, verb, body) in [
        (0, "sign", message),
        (0, "verify", json!({"message": "AAAA", "signature": signed["signature"]})),
        (1, "encrypt", plaintext),
        (1, "decrypt", json!({"ciphertext": sealed["ciphertext"], "context": "c"})),
        (1, "wrap", material),
        (1, "unwrap", json!({"wrapped": wrapped["wrapped"], "context": "c"})),
    ] {
        ward.post(&usual, &path(at, verb), &body).await;
        ward.nothing_is_told(verb).await;
        let stranger = ward.stranger().await;
        ward.post(&stranger, &path(at, verb), &body).await;
        ward.is_told(&keys[at], verb).await;
    }
}
