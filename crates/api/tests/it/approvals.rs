//! What takes two people, and breaking the glass: from outside.

use chancery_domain::keyring::{KeyState, KeyVersion, Managed};
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp};

backends! {
    a_broken_glass_opens_what_a_stopped_key_has_sealed,
    every_door_opens_behind_a_broken_glass_under_the_same_rules,
    nobody_approves_or_reviews_his_own,
    an_approval_is_for_one_deed_and_one_day,
    a_refused_and_a_cancelled_one_open_nothing,
}

/// A clinic with a second officer and one sealed value under a data key that has been revoked since.
struct Emergency {
    app: TestApp,
    clinic: Clinic,
    second: Caller,
    sealed: Value,
}

impl Emergency {
    async fn on(backend: Backend) -> Self {
        let app = TestApp::on(backend).await;
        let clinic = app.clinic("ours").await;
        let second = app.caller(&clinic.id, "security_officer").await;
        app.register_fields(&clinic).await;
        let sealed = app.seal(&clinic.service, "ssn", "row-1", json!("123-45-6789")).await["sealed"].clone();
        stop(&app, &clinic, KeyState::Revoked).await;
        app.open(&clinic.service, "ssn", "row-1", &sealed).await.refused(409, "key.retired");
        Self { app, clinic, second, sealed }
    }

    fn body(&self, ticket: &str, approval: Option<&str>) -> Value {
        let item = json!({"table": "patients", "column": "ssn", "row": "row-1", "sealed": self.sealed});
        let mut glass = json!({"ticket": ticket, "reason": "patient in shock"});
        if let Some(id) = approval {
            glass["approval_id"] = json!(id);
        }
        json!({"purpose": "ETREAT", "reason": "allergies", "break_glass": glass, "items": [item]})
    }

    async fn open(&self, by: &Caller, ticket: &str, approval: Option<&str>) -> Reply {
        self.app.post(by, "/v1/open", self.body(ticket, approval)).await
    }

    /// Asks as the first officer.
    async fn asked(&self, ticket: &str) -> String {
        let reply = self.open(&self.clinic.officer, ticket, None).await;
        assert_eq!(reply.status.as_u16(), 202, "{}", reply.text());
        assert_eq!(reply.json()["action"], "record.break_glass");
        reply.json()["approval_id"].as_str().unwrap().to_owned()
    }

    async fn act(&self, by: &Caller, id: &str, verb: &str, body: Option<Value>) -> Reply {
        self.app.call(by, "POST", &format!("/v1/approvals/{id}/{verb}"), body).await
    }
}

/// Stops the tenant's data key.
pub(crate) async fn stop(app: &TestApp, clinic: &Clinic, to: KeyState) {
    let tenant = clinic.id.parse().unwrap();
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    let key = tx.managed_key(Managed::Data).await.unwrap().unwrap();
    let before = tx.key_versions(key.id).await.unwrap().pop().unwrap();
    tx.swap_key_version(&before, &KeyVersion { state: to, ..before.clone() }).await.unwrap();
    tx.commit().await.unwrap();
    app.instance.end_lease(tenant);
}

async fn a_broken_glass_opens_what_a_stopped_key_has_sealed(backend: Backend) {
    let it = Emergency::on(backend).await;
    let (first, second) = (&it.clinic.officer, &it.second);
    let id = it.asked("INC-1").await;
    it.open(first, "INC-1", Some(&id)).await.refused(409, "approval.unusable");
    let seen = it.app.get(second, &format!("/v1/approvals/{id}")).await.ok();
    assert_eq!((&seen["reason"], &seen["state"]), (&json!("patient in shock"), &json!("pending")));
    assert_eq!(seen["details"], json!({"tables": ["patients"], "purpose": "ETREAT"}));
    let approved = it.act(second, &id, "approve", None).await.ok();
    assert_eq!((&approved["state"], &approved["wants_review"]), (&json!("approved"), &json!(false)));

    // Within the hour as often as needed; each time an event, and the whole wants a review.
    for _ in 0..2 {
        let opened = it.open(first, "INC-1", Some(&id)).await.ok();
        assert_eq!(opened["items"][0]["value"], "123-45-6789");
    }
    let broken = it.app.events(&it.clinic.auditor, "record.glass_broken").await;
    assert_eq!(broken.len(), 2);
    let core = broken[0]["core"].as_str().unwrap();
    assert!(core.contains("INC-1") && !core.contains("shock") && !core.contains("row-1"), "{core}");
    let opened = it.app.events(&it.clinic.auditor, "record.opened").await;
    let under = opened.iter().filter(|event| event["core"].as_str().unwrap().contains(&id)).count();
    assert_eq!(under, 2);

    // Without the glass the key stays stopped, for whoever asks.
    it.app.open(&it.clinic.service, "ssn", "row-1", &it.sealed).await.refused(409, "key.retired");
    let listed = it.app.get(second, "/v1/approvals?unreviewed=true").await.ok();
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["uses"]), (&json!(id), &json!(2)));

    it.app.clock.advance_seconds(60 * 60);
    it.open(first, "INC-1", Some(&id)).await.refused(409, "approval.unusable");
    let reviewed = it.act(second, &id, "review", Some(json!({"note": "was needed"}))).await.ok();
    assert_eq!((&reviewed["wants_review"], &reviewed["state"]), (&json!(false), &json!("expired")));
    let listed = it.app.get(second, "/v1/approvals?unreviewed=true").await.ok();
    assert_eq!(listed["items"], json!([]));
}

async fn every_door_opens_behind_a_broken_glass_under_the_same_rules(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let second = app.caller(&clinic.id, "security_officer").await;
    app.register_fields(&clinic).await;
    let row = json!({"items": [{"table": "patients", "row": "p1", "fields": {"last_name": "Lee", "ssn": null}}]});
    let row = app.post(&clinic.service, "/v1/records/seal", row).await.ok()["items"][0].clone();
    let document = json!({"table": "patients", "row": "p1", "document": {"a": "Zoë", "b": 1.50},
        "fields": [{"pointer": "/a", "column": "note"}]});
    let document = app.post(&clinic.service, "/v1/documents/seal", document).await.ok()["document"].clone();
    stop(&app, &clinic, KeyState::Revoked).await;

    let rows = json!({"purpose": "ETREAT", "reason": "allergies", "items": [{"table": "patients", "row": "p1",
        "header": row["header"], "fields": {"last_name": row["fields"]["last_name"]["sealed"], "ssn": null}}]});
    let documents = json!({"purpose": "ETREAT", "reason": "allergies", "table": "patients", "row": "p1",
        "document": document});
    for (door, body, pointer, value, ticket) in [
        ("/v1/records/open", rows, "/items/0/fields/last_name", "Lee", "INC-ROWS"),
        ("/v1/documents/open", documents, "/document/a", "Zoë", "INC-DOCUMENTS"),
    ] {
        let with = |ticket: &str, id: Option<&str>| {
            let mut body = body.clone();
            body["break_glass"] = json!({"ticket": ticket, "reason": "patient in shock", "approval_id": id});
            body
        };
        app.post(&clinic.service, door, body.clone()).await.refused(409, "key.retired");
        app.post(&clinic.service, door, with(ticket, None)).await.refused(403, "authz.denied");
        app.post(&clinic.officer, door, with("lower case", None)).await.refused(422, "request.invalid");
        let asked = app.post(&clinic.officer, door, with(ticket, None)).await;
        assert_eq!(asked.status.as_u16(), 202, "{door}: {}", asked.text());
        assert_eq!(asked.json()["action"], "record.break_glass");
        let id = asked.json()["approval_id"].as_str().unwrap().to_owned();
        app.post(&clinic.officer, door, with(ticket, Some(&id))).await.refused(409, "approval.unusable");
        let path = format!("/v1/approvals/{id}");
        let seen = app.get(&second, &path).await.ok();
        assert_eq!(seen["details"], json!({"tables": ["patients"], "purpose": "ETREAT"}), "{door}");
        app.call(&clinic.officer, "POST", &format!("{path}/approve"), None).await.refused(403, "approval.same_person");
        app.call(&second, "POST", &format!("{path}/approve"), None).await.ok();
        let opened = app.post(&clinic.officer, door, with(ticket, Some(&id))).await.ok();
        assert_eq!(opened.pointer(pointer), Some(&json!(value)), "{door}: {opened}");
        app.post(&clinic.officer, door, with("INC-OTHER", Some(&id))).await.refused(409, "approval.unusable");
        let broken = app.events(&clinic.auditor, "record.glass_broken").await;
        let core = broken.last().unwrap()["core"].as_str().unwrap();
        assert!(core.contains(ticket) && core.contains(&id) && !core.contains("shock"), "{door}: {core}");
        let told = app.events(&clinic.auditor, "record.opened").await;
        assert_eq!(told.iter().filter(|event| event["core"].as_str().unwrap().contains(&id)).count(), 1, "{door}");
        let listed = app.get(&second, "/v1/approvals?unreviewed=true").await.ok();
        assert!(listed["items"].as_array().unwrap().iter().any(|one| one["id"] == json!(id)), "{door}: {listed}");
        app.clock.advance_seconds(60 * 60);
        app.post(&clinic.officer, door, with(ticket, Some(&id))).await.refused(409, "approval.unusable");
        app.post(&clinic.service, door, body.clone()).await.refused(409, "key.retired");
    }
    assert_eq!(app.events(&clinic.auditor, "record.glass_broken").await.len(), 2);
}

const BLOB: &str = "/v1/blobs/open?table=patients&column=photo&row=p1";

/// A request for a blob behind the glass.
fn behind_glass(body: Vec<u8>, ticket: &str, approval: Option<&str>) -> http::Request<axum::body::Body> {
    let mut headers = vec![
        ("chancery-reason", "allergies"),
        ("chancery-purpose", "ETREAT"),
        ("chancery-break-glass-ticket", ticket),
        ("chancery-break-glass-reason", "patient in shöck"),
    ];
    headers.extend(approval.map(|id| ("chancery-break-glass-approval", id)));
    crate::blobs::sent(BLOB, body, &headers)
}

/// A sealed blob of so many bytes, under a key that was revoked since, and an approval to open it.
async fn a_stopped_blob(app: &TestApp, clinic: &Clinic, second: &Caller, plain: Vec<u8>) -> (Vec<u8>, String) {
    let sealed = crate::blobs::seal(app, &clinic.service, "table=patients&column=photo&row=p1", plain).await.body;
    stop(app, clinic, KeyState::Revoked).await;
    // The header is enough to ask.
    let asked = app.send(clinic.officer.sign(behind_glass(sealed[..68].to_vec(), "INC-BLOB", None))).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.text());
    let id = asked.json()["approval_id"].as_str().unwrap().to_owned();
    app.call(second, "POST", &format!("/v1/approvals/{id}/approve"), None).await.ok();
    (sealed, id)
}

#[tokio::test]
async fn a_blob_opens_behind_a_broken_glass_for_its_hour() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let second = app.caller(&clinic.id, "security_officer").await;
    app.register_fields(&clinic).await;
    let plain = crate::blobs::plaintext(2_000_000);
    let (sealed, id) = a_stopped_blob(&app, &clinic, &second, plain.clone()).await;
    let send = async |caller: &Caller, ticket: &str, id: Option<&str>| {
        app.send(caller.sign(behind_glass(sealed.clone(), ticket, id))).await
    };
    send(&clinic.service, "INC-BLOB", Some(&id)).await.refused(403, "authz.denied");
    send(&clinic.officer, "INC-OTHER", Some(&id)).await.refused(409, "approval.unusable");
    send(&clinic.officer, "INC-BLOB", Some("nonsense")).await.refused(422, "request.invalid");
    let opened = send(&clinic.officer, "INC-BLOB", Some(&id)).await;
    assert_eq!(opened.status.as_u16(), 200, "{}", opened.text());
    assert!(opened.body == plain);
    assert_eq!(app.events(&clinic.auditor, "record.glass_broken").await.len(), 1);
    // Half of what breaks the glass is refused, not taken for the ordinary way.
    let mut half = behind_glass(sealed.clone(), "INC-BLOB", Some(&id));
    half.headers_mut().remove("chancery-break-glass-reason");
    app.send(clinic.officer.sign(half)).await.refused(422, "request.invalid");

    // A stream that lasts longer than the hour breaks off when it is over.
    let (mut sender, channel) = http_body_util::channel::Channel::<bytes::Bytes>::new(1);
    let mut slow = behind_glass(Vec::new(), "INC-BLOB", Some(&id));
    slow.headers_mut().remove("content-length");
    *slow.body_mut() = axum::body::Body::new(channel);
    let (clock, body) = (app.clock.clone(), sealed.clone());
    let sending = tokio::spawn(async move {
        for (number, part) in body.chunks(100_000).enumerate() {
            if number == 10 {
                clock.advance_seconds(60 * 60);
            }
            if sender.send_data(bytes::Bytes::copy_from_slice(part)).await.is_err() {
                return;
            }
        }
    });
    let (status, got, broke) = crate::blobs::broken(&app, &clinic.officer, slow).await;
    sending.await.unwrap();
    assert_eq!((status, broke), (200, true));
    assert!(got.len() < plain.len() && plain.starts_with(&got), "{}", got.len());
    send(&clinic.officer, "INC-BLOB", Some(&id)).await.refused(409, "approval.unusable");
}

async fn nobody_approves_or_reviews_his_own(backend: Backend) {
    let it = Emergency::on(backend).await;
    let (first, second) = (&it.clinic.officer, &it.second);
    let id = it.asked("INC-2").await;
    it.act(first, &id, "approve", None).await.refused(403, "approval.same_person");
    it.act(&it.clinic.admin, &id, "approve", None).await.refused(403, "authz.denied");
    it.act(second, &id, "approve", None).await.ok();
    // The approval is the requester's: whoever gave it cannot use it, nor can a third.
    it.open(second, "INC-2", Some(&id)).await.refused(404, "not_found");
    it.open(&it.clinic.service, "INC-2", Some(&id)).await.refused(403, "authz.denied");
    it.open(first, "INC-2", Some(&id)).await.ok();
    let note = json!({"note": "all well"});
    it.act(first, &id, "review", Some(note.clone())).await.refused(403, "approval.same_person");
    it.act(second, &id, "review", Some(note.clone())).await.ok();
    it.act(second, &id, "review", Some(note)).await.refused(409, "approval.unusable");
    it.open(first, "INC-2", Some(&id)).await.refused(409, "approval.unusable");

    // A key that acts as a user is that user.
    stop(&it.app, &it.clinic, KeyState::Active).await;
    let user = json!({"username": "olga", "email": "o@x.test", "roles": ["security_officer"]});
    let user = it.app.post(&it.clinic.admin, "/v1/users", user).await.created()["id"].clone();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let key = json!({"description": "k", "roles": ["security_officer"], "user_id": user});
        let key = it.app.post(&it.clinic.admin, "/v1/api-keys", key).await.created();
        keys.push(Caller { bearer: key["key"].as_str().unwrap().to_owned() });
    }
    let reply = it.open(&keys[0], "INC-3", None).await.json();
    it.act(&keys[1], reply["approval_id"].as_str().unwrap(), "approve", None)
        .await
        .refused(403, "approval.same_person");
}

async fn an_approval_is_for_one_deed_and_one_day(backend: Backend) {
    let it = Emergency::on(backend).await;
    let (first, second) = (&it.clinic.officer, &it.second);
    let id = it.asked("INC-4").await;
    it.act(second, &id, "approve", None).await.ok();
    it.act(second, &id, "approve", None).await.refused(409, "approval.unusable");
    it.open(first, "INC-5", Some(&id)).await.refused(409, "approval.unusable");
    let mut other = it.body("INC-4", Some(&id));
    other["purpose"] = json!("TREAT");
    it.app.post(first, "/v1/open", other).await.refused(409, "approval.unusable");

    let late = it.asked("INC-6").await;
    it.app.clock.advance_seconds(24 * 60 * 60);
    it.act(second, &late, "approve", None).await.refused(409, "approval.unusable");
    let listed = it.app.get(second, "/v1/approvals?state=expired").await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let mut bad = it.body("lower case", None);
    bad["break_glass"]["reason"] = json!("");
    it.app.post(first, "/v1/open", bad).await.refused(422, "request.invalid");
}

async fn a_refused_and_a_cancelled_one_open_nothing(backend: Backend) {
    let it = Emergency::on(backend).await;
    let (first, second) = (&it.clinic.officer, &it.second);
    let refused = it.asked("INC-7").await;
    it.act(second, &refused, "cancel", None).await.refused(403, "authz.denied");
    it.act(second, &refused, "deny", None).await.ok();
    let cancelled = it.asked("INC-8").await;
    it.act(second, &cancelled, "approve", None).await.ok();
    it.act(first, &cancelled, "cancel", None).await.ok();
    for (ticket, id) in [("INC-7", &refused), ("INC-8", &cancelled)] {
        it.open(first, ticket, Some(id)).await.refused(409, "approval.unusable");
        it.act(second, id, "approve", None).await.refused(409, "approval.unusable");
    }
    // A destroyed key does not open, whoever agrees.
    let gone = it.asked("INC-9").await;
    it.act(second, &gone, "approve", None).await.ok();
    stop(&it.app, &it.clinic, KeyState::PendingDeletion).await;
    it.open(first, "INC-9", Some(&gone)).await.refused(409, "key.retired");
}
