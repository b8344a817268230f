//! Deleting keys, from outside.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use chancery_crypto::Secret;
use chancery_domain::{
    TenantId,
    instance::Ports,
    keyring::{
        KeyState, KeyVersion, ProviderKind, ResidentId, StoredMaterial, TombstoneKind,
        destruction::{Away, destroy_due},
        resident::{
            Decryption, Destruction, ResidentError, ResidentKeys, ResidentPublic, ResidentType, ResidentUse, Signing,
        },
    },
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    app::{Backend, Caller, Clinic, Reply, TestApp},
    approvals::stop,
};

backends! {
    a_deleted_key_waits_can_be_saved_and_then_is_gone,
    what_another_counted_at_zero_takes_one_person,
    an_approval_does_not_cover_a_version_made_after_it,
    force_is_for_what_is_revoked,
    what_is_still_needed_is_not_deleted,
    calling_fields_public_empties_no_key,
    what_was_counted_before_a_key_was_suspended_takes_two,
    one_that_cannot_be_destroyed_holds_none_up,
    a_certificate_key_rotated_elsewhere_stops_no_destruction,
    while_a_provider_hangs_in_a_forced_destruction_others_write,
    a_provider_that_refuses_a_forced_destruction_is_asked_again,
    what_a_provider_destroys_is_neither_cancelled_nor_revoked,
}

/// A provider that destroys keys: when it is let, or not at all.
#[derive(Default)]
struct Hsm {
    /// Hangs until it is told to go on.
    hangs: AtomicBool,
    refuses: AtomicBool,
    reached: Notify,
    destroyed: Mutex<Vec<String>>,
}

#[async_trait::async_trait]
impl ResidentKeys for Hsm {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Pkcs11
    }
    async fn generate(&self, _: &str, _: ResidentType, _: ResidentUse) -> Result<ResidentId, ResidentError> {
        Err(ResidentError::Unsupported)
    }
    async fn public(&self, _: &ResidentId) -> Result<ResidentPublic, ResidentError> {
        Err(ResidentError::NotFound)
    }
    async fn sign(&self, _: &ResidentId, _: Signing, _: &[u8]) -> Result<Vec<u8>, ResidentError> {
        Err(ResidentError::Unsupported)
    }
    async fn decrypt(&self, _: &ResidentId, _: Decryption, _: &[u8]) -> Result<Secret<Vec<u8>>, ResidentError> {
        Err(ResidentError::Unsupported)
    }
    async fn destroy(&self, id: &ResidentId) -> Result<Destruction, ResidentError> {
        self.destroyed.lock().unwrap().push(id.to_string());
        self.reached.notify_one();
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.refuses.load(Ordering::Relaxed) {
            return Err(ResidentError::Unavailable("the HSM is away".into()));
        }
        Ok(Destruction::Done)
    }
}

/// A clinic with two officers, its data key, and a value under that key's first version.
struct It {
    app: TestApp,
    clinic: Clinic,
    tenant: TenantId,
    second: Caller,
    key: String,
    sealed: Value,
}

impl It {
    async fn on(backend: Backend) -> Self {
        Self::with(backend, |_| ()).await
    }

    async fn with(backend: Backend, change: impl FnOnce(&mut Ports)) -> Self {
        let app = TestApp::with(backend, change).await;
        let clinic = app.clinic("ours").await;
        let second = app.caller(&clinic.id, "security_officer").await;
        app.register_fields(&clinic).await;
        let sealed = app.seal(&clinic.service, "ssn", "row-1", json!("123-45-6789")).await["sealed"].clone();
        let key = app.get(&clinic.officer, "/v1/keys?managed=data").await.ok()["items"][0]["id"].clone();
        let tenant = clinic.id.parse().unwrap();
        Self { app, clinic, tenant, second, key: key.as_str().unwrap().to_owned(), sealed }
    }

    async fn act(&self, verb: &str, body: Value) -> Reply {
        self.app.post(&self.clinic.officer, &format!("/v1/keys/{}/{verb}", self.key), body).await
    }

    /// Does what takes two people.
    async fn agreed(&self, body: Value) -> Reply {
        let asked = self.act("schedule-deletion", body.clone()).await;
        assert_eq!(asked.status.as_u16(), 202, "{}", asked.text());
        let id = asked.json()["approval_id"].as_str().unwrap().to_owned();
        self.app.post(&self.second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
        let mut body = body;
        body["approval_id"] = json!(id);
        self.act("schedule-deletion", body).await
    }

    /// Another officer's consent to what was asked for.
    async fn approved(&self, body: &Value) -> Value {
        let id = self.act("schedule-deletion", body.clone()).await.json()["approval_id"].as_str().unwrap().to_owned();
        self.app.post(&self.second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
        let mut body = body.clone();
        body["approval_id"] = json!(id);
        body
    }

    /// A named key with two versions in an HSM, `slot-1` and `slot-2`.
    async fn in_an_hsm(backend: Backend) -> (Self, Arc<Hsm>) {
        let hsm = Arc::new(Hsm::default());
        let provider: Arc<dyn ResidentKeys> = hsm.clone();
        let mut it = Self::with(backend, |ports| ports.resident.push(provider)).await;
        let body = json!({"name": "there", "type": "ed25519", "purpose": "signing", "access_policy": "application"});
        let key = it.app.post(&it.clinic.officer, "/v1/keys", body).await.created();
        it.key = key["id"].as_str().unwrap().to_owned();
        it.act("rotate", json!({})).await.ok();
        let mut tx = it.app.instance.store().begin(it.tenant).await.unwrap();
        for version in tx.key_versions(it.key.parse().unwrap()).await.unwrap() {
            let id = format!("slot-{}", version.version).parse().unwrap();
            let material = StoredMaterial::Resident { provider: ProviderKind::Pkcs11, id };
            tx.swap_key_version(&version, &KeyVersion { material, ..version.clone() }).await.unwrap();
        }
        tx.commit().await.unwrap();
        (it, hsm)
    }

    async fn states(&self) -> Vec<KeyState> {
        let mut view = self.app.instance.store().view(self.tenant).await.unwrap();
        let versions = view.key_versions(self.key.parse().unwrap()).await.unwrap();
        versions.iter().map(|version| version.state).collect()
    }

    async fn open(&self) -> Reply {
        self.app.open(&self.clinic.service, "ssn", "row-1", &self.sealed).await
    }

    /// The first version's state and how many bytes of its material there are.
    async fn first(&self) -> (KeyState, usize) {
        let mut view = self.app.instance.store().view(self.tenant).await.unwrap();
        let version = view.key_versions(self.key.parse().unwrap()).await.unwrap().remove(0);
        let StoredMaterial::Wrapped { bytes, .. } = version.material else { panic!("resident") };
        (version.state, bytes.len())
    }
}

async fn a_deleted_key_waits_can_be_saved_and_then_is_gone(backend: Backend) {
    let it = It::on(backend).await;
    it.act("rotate", json!({})).await.ok();
    let body = json!({"days": 7, "version": 1});
    assert_eq!(it.agreed(body.clone()).await.ok()["versions"][0]["state"], "pending_deletion");
    it.open().await.refused(409, "key.retired");
    it.act("cancel-deletion", json!({"version": 1})).await.ok();
    assert_eq!(it.open().await.ok()["items"][0]["value"], "123-45-6789");
    it.act("cancel-deletion", json!({})).await.refused(409, "state.conflict");
    for kind in ["key.deletion_scheduled", "key.deletion_cancelled"] {
        assert_eq!(it.app.events(&it.clinic.auditor, kind).await.len(), 1, "{kind}");
    }

    let agreed = it.approved(&body).await;
    it.act("schedule-deletion", agreed.clone()).await.ok();
    it.app.clock.advance_seconds(7 * 86_400 - 60);
    assert_eq!(destroy_due(&it.app.instance, it.tenant, &mut Away::default()).await.unwrap(), 0);
    assert_eq!(it.first().await.0, KeyState::PendingDeletion);
    it.app.clock.advance_seconds(60);
    assert_eq!(destroy_due(&it.app.instance, it.tenant, &mut Away::default()).await.unwrap(), 1);
    assert_eq!(destroy_due(&it.app.instance, it.tenant, &mut Away::default()).await.unwrap(), 0);
    assert_eq!(it.first().await, (KeyState::Destroyed, 0));
    it.act("cancel-deletion", json!({})).await.refused(409, "state.conflict");
    it.open().await.refused(422, "sealed.wrong_context");

    let tombstones = it.app.instance.store().view(it.tenant).await.unwrap().tombstones().await.unwrap();
    assert_eq!((tombstones.len(), tombstones[0].kind), (1, TombstoneKind::KeyVersion));
    assert_eq!(tombstones[0].destroyed_by, "system");
    // Of the two that were used, the one that was not taken back.
    assert_eq!(json!(tombstones[0].approval.unwrap().to_string()), agreed["approval_id"]);
    let certificate = tombstones[0].certificate.unwrap();
    let verified = it.app.get(&it.clinic.auditor, &format!("/v1/certificates/{certificate}/verify")).await.ok();
    assert_eq!(verified["verdict"], "valid", "{verified}");
    let events = it.app.events(&it.clinic.auditor, "key.destroyed").await;
    assert_eq!(events.len(), 1);
    assert!(events[0]["core"].as_str().unwrap().contains("complete_at"));
    // The key goes on with its second version.
    it.app.seal(&it.clinic.service, "ssn", "row-2", json!("1")).await;
}

async fn what_another_counted_at_zero_takes_one_person(backend: Backend) {
    let it = It::on(backend).await;
    it.act("rotate", json!({})).await.ok();
    let body = json!({"days": 7, "version": 1});
    let report = async |by: &Caller, count: u32| {
        it.app.clock.advance_seconds(1);
        let path = format!("/v1/keys/{}/census", it.key);
        it.app.post(by, &path, json!({"version": 1, "count": count})).await.ok()
    };
    let officer = &it.clinic.officer;
    report(&it.second, 1).await;
    assert_eq!(it.act("schedule-deletion", body.clone()).await.status.as_u16(), 202);
    // Whoever deletes says in vain that nothing is left.
    let said = report(officer, 0).await;
    assert_eq!((&said["census"], &said["count"]), (&json!("counted"), &json!(0)));
    assert!(said["counts"].as_array().unwrap().iter().all(|count| count["reported_by"].is_string()));
    assert_eq!(it.act("schedule-deletion", body.clone()).await.status.as_u16(), 202);
    // What somebody else says is taken back by whoever knows better.
    report(&it.second, 0).await;
    report(officer, 2).await;
    assert_eq!(it.act("schedule-deletion", body.clone()).await.status.as_u16(), 202);
    report(&it.second, 0).await;
    // Force always takes two, and what still seals is never at zero.
    it.act("schedule-deletion", json!({"force": true, "version": 1})).await.refused(409, "state.conflict");
    it.act("schedule-deletion", json!({"days": 7, "version": 2})).await.refused(409, "state.conflict");
    assert_eq!(it.act("schedule-deletion", body).await.ok()["versions"][0]["state"], "pending_deletion");
    it.act("cancel-deletion", json!({"version": 1})).await.ok();
}

async fn calling_fields_public_empties_no_key(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let path = "/v1/fields/visits/note";
    app.put(&clinic.officer, path, json!({})).await.ok();
    let item = json!({"table": "visits", "column": "note", "row": "1", "value": "x"});
    app.post(&clinic.service, "/v1/seal", json!({"items": [item]})).await.ok();
    let key = app.get(&clinic.officer, "/v1/keys?managed=data").await.ok()["items"][0]["id"].clone();
    let act = |verb: &str| format!("/v1/keys/{}/{verb}", key.as_str().unwrap());
    app.post(&clinic.officer, &act("rotate"), json!({})).await.ok();
    let public = json!({"class": "public", "encrypt": false, "allow": ["weaker_class", "encryption_off"]});
    app.put(&clinic.officer, path, public).await.ok();
    app.clock.advance_seconds(60);
    let asked = app.post(&clinic.officer, &act("schedule-deletion"), json!({"days": 7, "version": 1})).await;
    assert_eq!(asked.status.as_u16(), 202, "{}", asked.text());
}

async fn what_was_counted_before_a_key_was_suspended_takes_two(backend: Backend) {
    let mut it = It::on(backend).await;
    let body = json!({"name": "lab", "type": "aes_256", "purpose": "encryption"});
    let key = it.app.post(&it.clinic.officer, "/v1/keys", body).await.created();
    it.key = key["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/keys/{}/census", it.key);
    it.app.post(&it.second, &path, json!({"version": 1, "count": 0})).await.ok();
    it.act("suspend", json!({})).await.ok();
    assert_eq!(it.act("schedule-deletion", json!({"days": 7})).await.status.as_u16(), 202);
}

async fn an_approval_does_not_cover_a_version_made_after_it(backend: Backend) {
    let mut it = It::on(backend).await;
    let body = json!({"name": "payroll", "type": "ed25519", "purpose": "signing"});
    let key = it.app.post(&it.clinic.officer, "/v1/keys", body).await.created();
    it.key = key["id"].as_str().unwrap().to_owned();
    let asked = it.act("schedule-deletion", json!({"days": 7})).await.json();
    let id = asked["approval_id"].as_str().unwrap();
    let approval = it.app.get(&it.second, &format!("/v1/approvals/{id}")).await.ok();
    assert_eq!(approval["details"]["versions"], json!(["1"]), "{approval}");
    it.app.post(&it.second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
    it.act("rotate", json!({})).await.ok();
    it.act("schedule-deletion", json!({"days": 7, "approval_id": id})).await.refused(409, "approval.unusable");
    // For what was meant it still does.
    let done = it.act("schedule-deletion", json!({"days": 7, "version": 1, "approval_id": id})).await.ok();
    assert_eq!((&done["versions"][0]["state"], &done["state"]), (&json!("pending_deletion"), &json!("active")));
}

async fn force_is_for_what_is_revoked(backend: Backend) {
    let it = It::on(backend).await;
    it.act("schedule-deletion", json!({"force": true})).await.refused(409, "state.conflict");
    stop(&it.app, &it.clinic, KeyState::Revoked).await;
    let asked = it.act("schedule-deletion", json!({"force": true})).await.json();
    // Asked for is not approved, and what was approved for waiting is not for force.
    let early = json!({"force": true, "approval_id": asked["approval_id"]});
    it.act("schedule-deletion", early).await.refused(409, "approval.unusable");
    assert_eq!(it.first().await.0, KeyState::Revoked);
    let done = it.agreed(json!({"force": true})).await.ok();
    assert_eq!(
        (&done["versions"][0]["state"], &done["versions"][0]["material"]),
        (&json!("destroyed"), &json!("destroyed"))
    );
    assert_eq!(it.first().await, (KeyState::Destroyed, 0));
    let events = it.app.events(&it.clinic.auditor, "key.destroyed").await;
    assert_eq!(events.len(), 1);
}

async fn what_is_still_needed_is_not_deleted(backend: Backend) {
    let it = It::on(backend).await;
    for days in [0, 6, 31] {
        it.act("schedule-deletion", json!({"days": days})).await.refused(422, "request.invalid");
    }
    it.act("schedule-deletion", json!({"days": 7})).await.refused(409, "state.conflict");
    it.act("schedule-deletion", json!({"days": 7, "version": 9})).await.refused(404, "not_found");
    for managed in ["certificate", "log", "audit"] {
        let found = it.app.get(&it.clinic.officer, &format!("/v1/keys?managed={managed}")).await.ok();
        let path = format!("/v1/keys/{}/schedule-deletion", found["items"][0]["id"].as_str().unwrap());
        it.app.post(&it.clinic.officer, &path, json!({"days": 7})).await.refused(403, "key.managed");
    }
    assert_eq!(it.app.get(&it.second, "/v1/approvals").await.ok()["items"], json!([]));
}

async fn one_that_cannot_be_destroyed_holds_none_up(backend: Backend) {
    let mut it = It::on(backend).await;
    for name in ["one", "two"] {
        let body = json!({"name": name, "type": "ed25519", "purpose": "signing", "access_policy": "application"});
        let key = it.app.post(&it.clinic.officer, "/v1/keys", body).await.created();
        it.key = key["id"].as_str().unwrap().to_owned();
        it.agreed(json!({"days": 7})).await.ok();
    }
    it.app.clock.advance_seconds(7 * 86_400);
    let store = it.app.instance.store();
    let mut due = store.view(it.tenant).await.unwrap().versions_to_destroy(it.app.instance.now()).await.unwrap();
    assert_eq!(due.len(), 2);
    // The first lives in an HSM that is not there.
    let first = due.remove(0);
    let away = StoredMaterial::Resident { provider: ProviderKind::Pkcs11, id: "away".parse().unwrap() };
    let mut tx = store.begin(it.tenant).await.unwrap();
    tx.swap_key_version(&first, &KeyVersion { material: away, ..first.clone() }).await.unwrap();
    tx.commit().await.unwrap();
    assert!(destroy_due(&it.app.instance, it.tenant, &mut Away::default()).await.is_err());
    let mut view = store.view(it.tenant).await.unwrap();
    assert_eq!(view.key_versions(first.key).await.unwrap()[0].state, KeyState::PendingDeletion);
    assert_eq!(view.key_versions(due[0].key).await.unwrap()[0].state, KeyState::Destroyed);
}

/// Each destruction is certified; whoever destroys may remember a key that another node has replaced.
async fn a_certificate_key_rotated_elsewhere_stops_no_destruction(backend: Backend) {
    let it = It::on(backend).await;
    it.act("rotate", json!({})).await.ok();
    it.agreed(json!({"days": 7, "version": 1})).await.ok();
    it.app.clock.advance_seconds(7 * 86_400);
    let other = it.app.again(|_| {}).await;
    other.instance.keyring(it.tenant).await.unwrap();
    let keys = it.app.get(&it.clinic.officer, "/v1/keys?managed=certificate").await.ok();
    let path = format!("/v1/keys/{}/rotate", keys["items"][0]["id"].as_str().unwrap());
    it.app.post(&it.clinic.officer, &path, json!({})).await.ok();
    assert_eq!(destroy_due(&other.instance, it.tenant, &mut Away::default()).await.unwrap(), 1);

    let tombstones = it.app.instance.store().view(it.tenant).await.unwrap().tombstones().await.unwrap();
    let path = format!("/v1/certificates/{}/verify", tombstones[0].certificate.unwrap());
    assert_eq!(it.app.get(&it.clinic.auditor, &path).await.ok()["verdict"], "valid");
}

/// An HSM or a KMS may take for ever, and SQLite has one writer.
async fn while_a_provider_hangs_in_a_forced_destruction_others_write(backend: Backend) {
    let (it, hsm) = It::in_an_hsm(backend).await;
    it.act("revoke", json!({})).await.ok();
    let body = it.approved(&json!({"force": true})).await;
    hsm.hangs.store(true, Ordering::Relaxed);
    {
        let forced = it.act("schedule-deletion", body.clone());
        tokio::pin!(forced);
        tokio::select! {
            reply = &mut forced => panic!("{}", reply.text()),
            () = hsm.reached.notified() => {}
        }
        let others = json!({"name": "another", "type": "ed25519", "purpose": "signing"});
        let written = it.app.post(&it.clinic.officer, "/v1/keys", others);
        let written = tokio::time::timeout(std::time::Duration::from_secs(3), written).await;
        assert!(written.is_ok(), "nothing is held while the provider is asked");
        written.unwrap().created();
        assert_eq!(it.states().await, [KeyState::PendingDeletion; 2]);
        // Here the process is killed.
    }
    it.act("schedule-deletion", body).await.refused(409, "state.conflict");
    // The next round goes on, and does not mind what the provider did before.
    hsm.hangs.store(false, Ordering::Relaxed);
    assert_eq!(destroy_due(&it.app.instance, it.tenant, &mut Away::default()).await.unwrap(), 2);
    assert_eq!(it.states().await, [KeyState::Destroyed; 2]);
    assert_eq!(*hsm.destroyed.lock().unwrap(), ["slot-1", "slot-1", "slot-2"]);
    assert_eq!(destroy_due(&it.app.instance, it.tenant, &mut Away::default()).await.unwrap(), 0);
    assert_eq!(it.app.events(&it.clinic.auditor, "key.destroyed").await.len(), 2);
}

async fn a_provider_that_refuses_a_forced_destruction_is_asked_again(backend: Backend) {
    let (it, hsm) = It::in_an_hsm(backend).await;
    it.act("revoke", json!({})).await.ok();
    let body = it.approved(&json!({"force": true})).await;
    hsm.refuses.store(true, Ordering::Relaxed);
    let done = it.act("schedule-deletion", body).await.ok();
    assert_eq!(done["versions"][0]["state"], "pending_deletion", "{done}");
    assert!(destroy_due(&it.app.instance, it.tenant, &mut Away::default()).await.is_err());
    assert_eq!(hsm.destroyed.lock().unwrap().len(), 2, "once by whoever asked, and once in a round");
    hsm.refuses.store(false, Ordering::Relaxed);
    assert_eq!(destroy_due(&it.app.instance, it.tenant, &mut Away::default()).await.unwrap(), 2);
    // With a provider that answers it is done at once, by whom and under what is known.
    let (it, _) = It::in_an_hsm(Backend::sqlite().await).await;
    it.act("revoke", json!({})).await.ok();
    let body = it.approved(&json!({"force": true})).await;
    let done = it.act("schedule-deletion", body).await.ok();
    assert_eq!(done["versions"][1]["state"], "destroyed", "{done}");
    let tombstones = it.app.instance.store().view(it.tenant).await.unwrap().tombstones().await.unwrap();
    assert!(
        tombstones.iter().all(|stone| stone.approval.is_some() && stone.destroyed_by != "system"),
        "{tombstones:?}"
    );
    assert_eq!(tombstones.len(), 2);
}

async fn what_a_provider_destroys_is_neither_cancelled_nor_revoked(backend: Backend) {
    let (it, hsm) = It::in_an_hsm(backend).await;
    it.agreed(json!({"days": 7, "version": 1})).await.ok();
    it.act("cancel-deletion", json!({})).await.ok();
    it.agreed(json!({"days": 7, "version": 1})).await.ok();
    it.app.clock.advance_seconds(7 * 86_400);
    hsm.refuses.store(true, Ordering::Relaxed);
    assert!(destroy_due(&it.app.instance, it.tenant, &mut Away::default()).await.is_err());
    // It may be gone there already.
    it.act("cancel-deletion", json!({"version": 1})).await.refused(409, "state.conflict");
    it.act("revoke", json!({"version": 1})).await.refused(409, "state.conflict");
    assert_eq!(it.app.events(&it.clinic.auditor, "key.destroying").await.len(), 1);
    hsm.refuses.store(false, Ordering::Relaxed);
    assert_eq!(destroy_due(&it.app.instance, it.tenant, &mut Away::default()).await.unwrap(), 1);
    assert_eq!(it.states().await, [KeyState::Destroyed, KeyState::Active]);
    assert_eq!(it.app.events(&it.clinic.auditor, "key.destroying").await.len(), 1, "begun once");
}
