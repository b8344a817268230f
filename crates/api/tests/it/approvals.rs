//! What takes two people, and breaking the glass: from outside.

use chancery_domain::keyring::{KeyState, KeyVersion, Managed};
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp};

backends! {
    a_broken_glass_opens_what_a_stopped_key_has_sealed,
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
