//! Every door that opens something tells of what did not open, and counts it by class.

use std::collections::BTreeMap;

use chancery_datasets::testing;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::{
    app::{Clinic, Reply, TestApp},
    blobs, datasets,
};

/// What was counted and told so far.
struct Ledger {
    counts: BTreeMap<&'static str, u64>,
    events: BTreeMap<&'static str, usize>,
}

const KINDS: [&str; 3] = ["record.open_failed", "key.use_failed", "access.refused"];

async fn ledger(app: &TestApp, clinic: &Clinic) -> Ledger {
    let counts = app.instance.open_failures().counts().map(|(class, count)| (class.as_str(), count)).collect();
    let mut events = BTreeMap::new();
    for kind in KINDS {
        events.insert(kind, app.events(&clinic.auditor, kind).await.len());
    }
    Ledger { counts, events }
}

impl Ledger {
    /// Since then one more of this class and no other was counted, and one event of this kind tells of it.
    async fn grew(&mut self, app: &TestApp, clinic: &Clinic, door: &str, class: &str, kind: &str) {
        let now = ledger(app, clinic).await;
        for (other, count) in &now.counts {
            let more = count - self.counts[other];
            assert_eq!(more, u64::from(*other == class), "{door}: `{other}` was counted {more} times");
        }
        let more = now.events[kind] - self.events[kind];
        assert_eq!(more, 1, "{door}: {more} events `{kind}`");
        *self = now;
    }
}

/// A sealed text with one bit changed: the last letter but one is in the tag.
fn changed(sealed: &Value) -> Value {
    let text = sealed.as_str().unwrap();
    let (head, tail) = text.split_at(text.len() - 2);
    json!(format!("{head}{}{}", if tail.starts_with('A') { 'B' } else { 'A' }, &tail[1..]))
}

fn changed_bytes(encoded: &Value) -> Value {
    let mut bytes = BASE64URL_NOPAD.decode(encoded.as_str().unwrap().as_bytes()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    json!(BASE64URL_NOPAD.encode(&bytes))
}

/// A row whose one value is `sealed`.
fn row(row: &Value, sealed: &Value) -> Value {
    let item = json!({"table": "patients", "row": "p1", "header": row["header"], "fields": {"ssn": sealed}});
    json!({"reason": "visit", "items": [item]})
}

fn document(sealed: &Value) -> Value {
    let document = json!({"a": {"$sealed": {"column": "ssn", "value": sealed}}});
    json!({"table": "patients", "row": "p1", "reason": "visit", "document": document})
}

const TAMPERED: &str = "sealed.tampered";
const MALFORMED: &str = "sealed.malformed";

#[tokio::test]
async fn whatever_does_not_open_is_told_of_and_counted_by_class() {
    let app = TestApp::new().await;
    let (ours, database) = datasets::filled(&app, 3).await;
    let service = &ours.service;

    let lone = app.seal(service, "ssn", "p1", json!("1")).await["sealed"].clone();
    let item = json!({"table": "patients", "row": "p1", "fields": {"ssn": "1"}});
    let whole = app.post(service, "/v1/records/seal", json!({"items": [item]})).await.ok()["items"][0].clone();
    let member = whole["fields"]["ssn"]["sealed"].clone();
    let body = json!({"table": "patients", "row": "p1", "document": {"a": "1"}, "fields": [{"pointer": "/a", "column": "ssn"}]});
    let inside = app.post(service, "/v1/documents/seal", body).await.ok()["document"]["a"]["$sealed"]["value"].clone();
    let mut blob = blobs::seal(&app, service, blobs::PLACE, b"a photo".to_vec()).await.body;
    let key = json!({"name": "disk", "type": "aes_256", "purpose": "encryption", "access_policy": "application"});
    let key = app.post(&ours.officer, "/v1/keys", key).await.created()["id"].as_str().unwrap().to_owned();
    let at = |verb: &str| format!("/v1/keys/{key}/{verb}");
    let ciphertext = app.post(service, &at("encrypt"), json!({"plaintext": "AAAA"})).await.ok()["ciphertext"].clone();
    let wrapped = app.post(service, &at("wrap"), json!({"key": "AAAA"})).await.ok()["wrapped"].clone();
    let mut ledger = ledger(&app, &ours).await;

    app.open(service, "ssn", "p1", &changed(&lone)).await.refused(422, TAMPERED);
    ledger.grew(&app, &ours, "a lone value", TAMPERED, "record.open_failed").await;
    app.open(service, "ssn", "p2", &lone).await.refused(422, "sealed.wrong_context");
    ledger.grew(&app, &ours, "a lone value", "sealed.wrong_context", "record.open_failed").await;
    app.post(service, "/v1/records/open", row(&whole, &changed(&member))).await.refused(422, TAMPERED);
    ledger.grew(&app, &ours, "a row", TAMPERED, "record.open_failed").await;
    app.post(service, "/v1/documents/open", document(&changed(&inside))).await.refused(422, TAMPERED);
    ledger.grew(&app, &ours, "a document", TAMPERED, "record.open_failed").await;
    *blob.last_mut().unwrap() ^= 1;
    blobs::open(&app, service, blobs::PLACE, blob, None).await.refused(422, TAMPERED);
    ledger.grew(&app, &ours, "a blob", TAMPERED, "record.open_failed").await;
    let body = json!({"ciphertext": changed_bytes(&ciphertext)});
    app.post(service, &at("decrypt"), body).await.refused(422, TAMPERED);
    ledger.grew(&app, &ours, "decrypt", TAMPERED, "key.use_failed").await;
    let body = json!({"wrapped": changed_bytes(&wrapped)});
    app.post(service, &at("unwrap"), body).await.refused(422, TAMPERED);
    ledger.grew(&app, &ours, "unwrap", TAMPERED, "key.use_failed").await;

    // What is no sealed value at all.
    let text = json!("no");
    let refused = |reply: Reply| reply.refused(422, MALFORMED);
    refused(app.open(service, "ssn", "p1", &text).await);
    ledger.grew(&app, &ours, "no lone value", MALFORMED, "access.refused").await;
    refused(app.post(service, "/v1/records/open", row(&whole, &text)).await);
    ledger.grew(&app, &ours, "no member", MALFORMED, "access.refused").await;
    refused(app.post(service, "/v1/records/open", row(&json!({"header": "no"}), &member)).await);
    ledger.grew(&app, &ours, "no header", MALFORMED, "access.refused").await;
    let update = json!({"table": "patients", "row": "p1", "header": "no", "fields": {"ssn": "2"}});
    refused(app.post(service, "/v1/records/seal", json!({"items": [update]})).await);
    ledger.grew(&app, &ours, "no header to update", MALFORMED, "access.refused").await;
    refused(app.post(service, "/v1/documents/open", document(&text)).await);
    ledger.grew(&app, &ours, "no value in a document", MALFORMED, "access.refused").await;
    refused(blobs::open(&app, service, blobs::PLACE, vec![b'x'; 80], None).await);
    ledger.grew(&app, &ours, "no blob", MALFORMED, "access.refused").await;
    refused(app.post(service, &at("decrypt"), json!({"ciphertext": "AAAA"})).await);
    ledger.grew(&app, &ours, "no ciphertext", MALFORMED, "key.use_failed").await;

    // A signature that is not the key's is no opening: the answer says so, and so does the event of the use.
    let signing = json!({"name": "sign", "type": "ed25519", "purpose": "signing", "access_policy": "application"});
    let signing = app.post(&ours.officer, "/v1/keys", signing).await.created()["id"].as_str().unwrap().to_owned();
    let signed = app.post(service, &format!("/v1/keys/{signing}/sign"), json!({"message": "AAAA"})).await.ok();
    let body = json!({"message": "AAAB", "signature": signed["signature"]});
    assert_eq!(app.post(service, &format!("/v1/keys/{signing}/verify"), body).await.ok()["valid"], false);
    let used = app.events(&ours.auditor, "key.used").await;
    assert!(used.iter().any(|event| event["core"].as_str().unwrap().contains(r#""valid":"no""#)), "{used:?}");

    // A person's value, when the subject root is suspended.
    let item = json!({"table": "patients", "column": "ssn", "row": "p7", "subject": "MRN-1", "value": "1"});
    let sealed = app.post(service, "/v1/seal", json!({"items": [item]})).await.ok()["items"][0]["sealed"].clone();
    let root = datasets::key(&app, &ours, "subject").await;
    app.post(&ours.officer, &format!("/v1/keys/{root}/suspend"), json!({})).await.ok();
    let before = app.events(&ours.auditor, "record.open_failed").await.len();
    app.open(service, "ssn", "p7", &sealed).await.refused(409, "key.retired");
    assert_eq!(app.events(&ours.auditor, "record.open_failed").await.len(), before + 1);

    // A job over a dataset: one event for each class in a batch.
    let data = datasets::key(&app, &ours, "data").await;
    app.post(&ours.officer, &format!("/v1/keys/{data}/rotate"), json!({})).await.ok();
    let stored = testing::rows(&database, "SELECT ssn_encrypted FROM patients WHERE id = 1").await;
    let odd = changed(&json!(stored[0][0]));
    testing::run(&database, "UPDATE patients SET ssn_encrypted = $1 WHERE id = 1", &[odd.as_str()]).await;
    let moved = "UPDATE patients SET ssn_encrypted = (SELECT ssn_encrypted FROM patients WHERE id = 3) WHERE id = 2";
    testing::run(&database, moved, &[]).await;
    let before = self::ledger(&app, &ours).await;
    let job = datasets::done(&app, &ours, json!({"rows_per_second": 1_000_000})).await;
    assert_eq!((&job["state"], &job["failed"]), (&json!("failed"), &json!(2)));
    let after = self::ledger(&app, &ours).await;
    for class in [TAMPERED, "sealed.wrong_context"] {
        // The job looks again in a second pass.
        assert!(after.counts[class] > before.counts[class], "{class}");
        let events = app.events(&ours.auditor, "record.open_failed").await;
        let of_job = |event: &&Value| {
            let core = event["core"].as_str().unwrap();
            core.contains(class) && core.contains("dst_")
        };
        assert!(events.iter().any(|event| of_job(&event)), "{class}: {events:?}");
    }
}
