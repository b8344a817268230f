//! Copies of single keys, from outside.

use std::sync::Arc;

use async_trait::async_trait;
use chancery_crypto::{Handle, Key256, SystemRandom, WrapContext, WrappingKey};
use chancery_domain::{
    TenantId,
    ids::KeyId,
    keyring::{CopyError, KeyDestination, KeyProvider, KeyVersion, StoredMaterial, WrapLabel, checks::fill},
};
use chancery_kms::{Folder, Local};
use data_encoding::BASE64URL_NOPAD as BASE64;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::app::{Backend, Caller, Clinic, Reply, TestApp};

backends! {
    a_copy_counts_when_it_was_read_back,
    escrow_takes_two_people_and_gives_the_key_back,
    a_damaged_key_is_taken_back_and_no_other_material,
    a_damaged_symmetric_key_takes_no_other_32_bytes,
    a_key_from_before_checks_gets_one_and_is_not_taken_back_without,
    an_escrow_approval_does_not_cover_a_version_made_after_it,
    a_damaged_managed_key_stops_what_needs_it_and_is_taken_back,
    a_removed_copy_is_gone_and_known_no_more,
    the_last_copy_of_a_key_is_taken_away_by_two,
    a_certificate_of_destruction_states_the_copies,
    a_destruction_counts_the_copy_that_is_on_its_way,
    a_removal_is_in_the_log_before_the_copy_is_gone,
}

struct It {
    app: TestApp,
    clinic: Clinic,
    second: Caller,
    key: String,
    sealed: Value,
    folder: tempfile::TempDir,
    gate: Arc<Gate>,
}

/// A destination that has the copy and does not say so until it is let.
struct Slow {
    within: Arc<dyn KeyDestination>,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    reached: Notify,
    opened: Notify,
}

#[async_trait]
impl KeyDestination for Slow {
    fn name(&self) -> &str {
        self.within.name()
    }
    fn provider(&self) -> Arc<dyn KeyProvider> {
        self.within.provider()
    }
    async fn put(&self, name: &str, copy: &[u8]) -> Result<(), CopyError> {
        self.within.put(name, copy).await?;
        self.gate.reached.notify_one();
        self.gate.opened.notified().await;
        Ok(())
    }
    async fn take(&self, name: &str) -> Result<Vec<u8>, CopyError> {
        self.within.take(name).await
    }
    async fn remove(&self, name: &str) -> Result<(), CopyError> {
        self.within.remove(name).await
    }
}

impl It {
    async fn on(backend: Backend) -> Self {
        let app = TestApp::on(backend).await;
        let folder = tempfile::tempdir().unwrap();
        let other: Arc<dyn KeyProvider> = Arc::new(Local::create(&folder.path().join("other.key")).unwrap());
        let ours = Arc::clone(&app.instance.providers()[0]);
        let place = |name: &str, provider| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            Arc::new(Folder::open(name, &path, provider).unwrap()) as Arc<dyn KeyDestination>
        };
        let slow = Arc::new(Slow { within: place("slow_1", Arc::clone(&ours)), gate: Arc::default() });
        let gate = Arc::clone(&slow.gate);
        app.instance.keep_copies_at(vec![place("vault_1", ours), place("escrow_1", other), slow]);
        let clinic = app.clinic("ours").await;
        let second = app.caller(&clinic.id, "security_officer").await;
        app.register_fields(&clinic).await;
        let sealed = app.seal(&clinic.service, "ssn", "row-1", json!("123-45-6789")).await["sealed"].clone();
        let key = app.get(&clinic.officer, "/v1/keys?managed=data").await.ok()["items"][0]["id"].clone();
        Self { app, clinic, second, key: key.as_str().unwrap().to_owned(), sealed, folder, gate }
    }

    async fn act(&self, verb: &str, body: Value) -> Reply {
        self.app.post(&self.clinic.officer, &format!("/v1/keys/{}/{verb}", self.key), body).await
    }

    async fn agreed(&self, verb: &str, location: &str) -> Reply {
        let asked = self.act(verb, json!({"location": location})).await;
        assert_eq!(asked.status.as_u16(), 202, "{}", asked.text());
        let id = asked.json()["approval_id"].as_str().unwrap().to_owned();
        self.app.post(&self.second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
        self.act(verb, json!({"location": location, "approval_id": id})).await
    }

    fn copy(&self, place: &str) -> std::path::PathBuf {
        self.folder.path().join(place).join(format!("{}.{}.copy", self.clinic.id, self.key))
    }

    /// The first version of the key, as it is stored.
    async fn first(&self) -> KeyVersion {
        let mut view = self.app.instance.store().view(self.clinic.id.parse().unwrap()).await.unwrap();
        view.key_versions(self.key.parse().unwrap()).await.unwrap().remove(0)
    }

    /// Replaces the stored material of the first version.
    async fn damage(&self) {
        let good = self.first().await;
        let StoredMaterial::Wrapped { mut bytes, tenant_key_version, check } = good.material.clone() else {
            panic!("resident")
        };
        *bytes.last_mut().unwrap() ^= 1;
        let bad = KeyVersion { material: StoredMaterial::Wrapped { bytes, tenant_key_version, check }, ..good.clone() };
        let mut tx = self.app.instance.store().begin(self.clinic.id.parse().unwrap()).await.unwrap();
        tx.swap_key_version(&good, &bad).await.unwrap();
        tx.commit().await.unwrap();
        // What is unwrapped in memory is whole.
        self.app.instance.end_lease(self.clinic.id.parse().unwrap());
    }

    /// What whoever holds the escrow's key can write there: any material under the name of the first version.
    async fn forge(&self, material: &[u8]) {
        let (own, handle) = (Key256::from_bytes([7; 32]), Handle([7; 8]));
        let provider = Local::open(&self.folder.path().join("other.key")).unwrap();
        let label = WrapLabel { environment: "development", purpose: "key-copy", version: 1 };
        let wrapped_key = provider.wrap(&own, label).await.unwrap();
        let (tenant, key): (TenantId, KeyId) = (self.clinic.id.parse().unwrap(), self.key.parse().unwrap());
        let key_id = self.first().await.key_id;
        let (parent, child) = (tenant.to_bytes(), key.to_bytes());
        let context = WrapContext { parent: &parent, child: &child, purpose: key_id.as_bytes(), version: 1 };
        let wrapped = WrappingKey::new(&own, handle).wrap(&context, material, &SystemRandom).unwrap();
        let copy = json!({"format": "chancery-key-copy/1", "tenant": self.clinic.id, "key": self.key,
            "environment": "development", "handle": handle.to_hex(), "wrapped_key": BASE64.encode(&wrapped_key),
            "versions": [{"version": 1, "key_id": key_id, "wrapped": BASE64.encode(&wrapped)}]});
        std::fs::write(self.copy("escrow_1"), copy.to_string()).unwrap();
    }

    /// The clear parts of the clinic's events of this kind.
    async fn cores(&self, kind: &str) -> Vec<String> {
        let events = self.app.events(&self.clinic.auditor, kind).await;
        events.iter().map(|event| event["core"].as_str().unwrap().to_owned()).collect()
    }

    async fn named(&mut self, key_type: &str, purpose: &str) {
        let body = json!({"name": key_type, "type": key_type, "purpose": purpose, "access_policy": "application"});
        let key = self.app.post(&self.clinic.officer, "/v1/keys", body).await.created();
        self.key = key["id"].as_str().unwrap().to_owned();
    }

    async fn r#use(&self, verb: &str, body: Value) -> Reply {
        self.app.post(&self.clinic.service, &format!("/v1/keys/{}/{verb}", self.key), body).await
    }

    async fn stored(&self) -> chancery_domain::keyring::Key {
        let tenant: TenantId = self.clinic.id.parse().unwrap();
        let mut view = self.app.instance.store().view(tenant).await.unwrap();
        view.key(self.key.parse().unwrap()).await.unwrap().unwrap()
    }
}

async fn a_copy_counts_when_it_was_read_back(backend: Backend) {
    let it = It::on(backend).await;
    for location in ["", "/etc/passwd", "../vault_1", "elsewhere"] {
        it.act("backup", json!({"location": location})).await.refused(422, "request.invalid");
    }
    assert_eq!(it.stored().await.backup, None);
    // Whoever holds another provider's key would have this key alone: that is escrow, and takes two.
    it.act("backup", json!({"location": "escrow_1"})).await.refused(422, "request.invalid");
    assert_eq!((it.stored().await.backup, it.copy("escrow_1").exists()), (None, false));
    it.act("backup", json!({"location": "vault_1"})).await.ok();
    let backup = it.stored().await.backup.unwrap();
    assert_eq!((backup.version, backup.location.as_deref()), (Some(1), Some("vault_1")));
    assert!(backup.by.unwrap().starts_with("apk_"));
    let text = std::fs::read_to_string(it.copy("vault_1")).unwrap();
    assert!(text.contains(&it.key) && text.contains("wrapped"));
    assert_eq!(it.app.events(&it.clinic.auditor, "key.backed_up").await.len(), 1);

    // A destination that lost its disk: nothing is recorded.
    std::fs::remove_dir_all(it.folder.path().join("vault_1")).unwrap();
    it.act("rotate", json!({})).await.ok();
    it.act("backup", json!({"location": "vault_1"})).await.refused(503, "dependency.unavailable");
    assert_eq!(it.stored().await.backup.unwrap().version, Some(1));
}

async fn escrow_takes_two_people_and_gives_the_key_back(backend: Backend) {
    let it = It::on(backend).await;
    // The root's own provider is no escrow.
    it.act("escrow", json!({"location": "vault_1"})).await.refused(422, "request.invalid");
    let asked = it.act("escrow", json!({"location": "escrow_1"})).await.json();
    let early = json!({"location": "escrow_1", "approval_id": asked["approval_id"]});
    it.act("escrow", early).await.refused(409, "approval.unusable");
    assert!(!it.copy("escrow_1").exists());
    it.agreed("escrow", "escrow_1").await.ok();
    let whole = std::fs::read(it.copy("escrow_1")).unwrap();
    assert_eq!(it.app.events(&it.clinic.auditor, "key.backed_up").await.len(), 1);

    let old = it.first().await;
    assert_eq!(it.agreed("escrow-restore", "escrow_1").await.ok()["versions"][0]["state"], "active");
    assert_ne!(it.first().await.material, old.material, "wrapped anew");
    assert_eq!(it.app.events(&it.clinic.auditor, "key.restored").await.len(), 1);
    it.app.open(&it.clinic.service, "ssn", "row-1", &it.sealed).await.ok();

    // Consent is used up before anything leaves, whatever comes of the copy.
    std::fs::rename(it.folder.path().join("escrow_1"), it.folder.path().join("away")).unwrap();
    let asked = it.act("escrow", json!({"location": "escrow_1"})).await.json();
    let id = asked["approval_id"].as_str().unwrap();
    it.app.post(&it.second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
    let again = json!({"location": "escrow_1", "approval_id": id});
    it.act("escrow", again.clone()).await.refused(503, "dependency.unavailable");
    std::fs::rename(it.folder.path().join("away"), it.folder.path().join("escrow_1")).unwrap();
    it.act("escrow", again).await.refused(409, "approval.unusable");

    // A changed copy is refused as a whole.
    let mut changed = whole.clone();
    let at = String::from_utf8_lossy(&whole).find("\"wrapped\":\"").unwrap() + 80;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(it.copy("escrow_1"), changed).unwrap();
    it.agreed("escrow-restore", "escrow_1").await.refused(503, "dependency.unavailable");
    it.app.open(&it.clinic.service, "ssn", "row-1", &it.sealed).await.ok();
}

async fn a_damaged_key_is_taken_back_and_no_other_material(backend: Backend) {
    let mut it = It::on(backend).await;
    it.named("ed25519", "signing").await;
    let message = json!({"message": BASE64.encode(b"message")});
    let signed = it.r#use("sign", message.clone()).await.ok();
    it.agreed("escrow", "escrow_1").await.ok();
    let copy = std::fs::read(it.copy("escrow_1")).unwrap();
    it.damage().await;
    assert!(!it.r#use("sign", message.clone()).await.status.is_success());

    // The public half tells that this is another key.
    it.forge(&[9; 32]).await;
    let bad = it.first().await;
    it.agreed("escrow-restore", "escrow_1").await.refused(409, "key.mismatch");
    assert_eq!(it.first().await, bad);
    std::fs::write(it.copy("escrow_1"), copy).unwrap();
    it.agreed("escrow-restore", "escrow_1").await.ok();
    assert_eq!(it.r#use("sign", message).await.ok()["signature"], signed["signature"]);

    // One without a public half is told by what is there.
    it.named("aes_256", "encryption").await;
    let plain = json!({"plaintext": BASE64.encode(b"plain")});
    it.agreed("escrow", "escrow_1").await.ok();
    it.forge(&[9; 32]).await;
    let good = it.first().await;
    it.agreed("escrow-restore", "escrow_1").await.refused(409, "key.mismatch");
    assert_eq!(it.first().await, good);
    it.r#use("encrypt", plain).await.ok();
}

/// Two people consent to taking a key back, and not to another one in its place.
async fn a_damaged_symmetric_key_takes_no_other_32_bytes(backend: Backend) {
    let mut it = It::on(backend).await;
    let managed = it.key.clone();
    for named in [false, true] {
        if named {
            it.named("aes_256", "encryption").await;
        }
        it.agreed("escrow", "escrow_1").await.ok();
        let copy = std::fs::read(it.copy("escrow_1")).unwrap();
        // Nothing that is stored of it unwraps any more.
        it.damage().await;
        let bad = it.first().await;
        it.forge(&[9; 32]).await;
        it.agreed("escrow-restore", "escrow_1").await.refused(409, "key.mismatch");
        assert_eq!(it.first().await, bad);
        std::fs::write(it.copy("escrow_1"), copy).unwrap();
        it.agreed("escrow-restore", "escrow_1").await.ok();
    }
    it.key = managed;
    it.app.open(&it.clinic.service, "ssn", "row-1", &it.sealed).await.ok();
}

async fn a_key_from_before_checks_gets_one_and_is_not_taken_back_without(backend: Backend) {
    let it = It::on(backend).await;
    let tenant: TenantId = it.clinic.id.parse().unwrap();
    it.agreed("escrow", "escrow_1").await.ok();
    let made = it.first().await;
    let StoredMaterial::Wrapped { bytes, tenant_key_version, check: Some(_) } = made.material.clone() else {
        panic!("no check")
    };
    let material = StoredMaterial::Wrapped { bytes, tenant_key_version, check: None };
    let without = KeyVersion { material, ..made.clone() };
    let mut tx = it.app.instance.store().begin(tenant).await.unwrap();
    tx.swap_key_version(&made, &without).await.unwrap();
    tx.commit().await.unwrap();
    // As long as it unwraps, the scheduler gives it the one that it would have been made with.
    assert_eq!(fill(&it.app.instance, tenant).await.unwrap(), 1);
    assert_eq!(it.first().await, made);
    assert_eq!(fill(&it.app.instance, tenant).await.unwrap(), 0);

    let mut tx = it.app.instance.store().begin(tenant).await.unwrap();
    tx.swap_key_version(&made, &without).await.unwrap();
    tx.commit().await.unwrap();
    it.damage().await;
    assert_eq!(fill(&it.app.instance, tenant).await.unwrap(), 0);
    // Nobody could say whether this is the key.
    it.agreed("escrow-restore", "escrow_1").await.refused(409, "key.unproven");
}

async fn an_escrow_approval_does_not_cover_a_version_made_after_it(backend: Backend) {
    let it = It::on(backend).await;
    for verb in ["escrow", "escrow-restore"] {
        let asked = it.act(verb, json!({"location": "escrow_1"})).await.json();
        let id = asked["approval_id"].as_str().unwrap();
        it.app.post(&it.second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
        it.act("rotate", json!({})).await.ok();
        let late = json!({"location": "escrow_1", "approval_id": id});
        it.act(verb, late).await.refused(409, "approval.unusable");
        // The next one is over both.
        it.agreed("escrow", "escrow_1").await.ok();
    }
}

async fn a_damaged_managed_key_stops_what_needs_it_and_is_taken_back(backend: Backend) {
    let it = It::on(backend).await;
    it.agreed("escrow", "escrow_1").await.ok();
    it.damage().await;
    // Nothing under it opens, and nothing is sealed with another one instead.
    it.app.open(&it.clinic.service, "ssn", "row-1", &it.sealed).await.refused(500, "internal");
    let items = json!({"items": [{"table": "patients", "column": "ssn", "row": "row-2", "value": "1"}]});
    it.app.post(&it.clinic.service, "/v1/seal", items).await.refused(500, "internal");
    // What does not need it goes on.
    it.app.post(&it.clinic.service, "/v1/certificates", crate::proofs::claim()).await.created();
    it.agreed("escrow-restore", "escrow_1").await.ok();
    let opened = it.app.open(&it.clinic.service, "ssn", "row-1", &it.sealed).await.ok();
    assert_eq!(opened["items"][0]["value"], "123-45-6789");
}

async fn a_removed_copy_is_gone_and_known_no_more(backend: Backend) {
    let it = It::on(backend).await;
    let known = async || {
        let found = it.app.get(&it.clinic.auditor, &format!("/v1/keys/{}/copies", it.key)).await.ok();
        let items = found["items"].as_array().unwrap().clone();
        items.iter().map(|copy| (copy["location"].clone(), copy["version"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(known().await, []);
    // Of what is not there nobody is asked.
    it.act("remove-copy", json!({"location": "vault_1"})).await.refused(409, "state.conflict");
    it.act("remove-copy", json!({"location": "elsewhere"})).await.refused(422, "request.invalid");
    it.act("backup", json!({"location": "vault_1"})).await.ok();
    it.app.clock.advance_seconds(1);
    it.agreed("escrow", "escrow_1").await.ok();
    let at = |location: &str| (json!(location), json!(1));
    assert_eq!(known().await, [at("escrow_1"), at("vault_1")]);

    let key = it.act("remove-copy", json!({"location": "escrow_1"})).await.ok();
    assert_eq!((key["backup"]["location"].clone(), key["is_backed_up"].clone()), (json!("vault_1"), json!(true)));
    assert!(!it.copy("escrow_1").exists() && it.copy("vault_1").exists());
    assert_eq!(known().await, [at("vault_1")]);
    it.agreed("escrow-restore", "escrow_1").await.refused(409, "state.conflict");

    // One that somebody took away by hand is no longer known either.
    std::fs::remove_file(it.copy("vault_1")).unwrap();
    let key = it.agreed("remove-copy", "vault_1").await.ok();
    assert_eq!((key["backup"].clone(), key["is_backed_up"].clone()), (json!(null), json!(false)));
    assert_eq!(known().await, []);
    assert_eq!(it.app.events(&it.clinic.auditor, "key.copy_removed").await.len(), 2);
}

async fn the_last_copy_of_a_key_is_taken_away_by_two(backend: Backend) {
    let mut it = It::on(backend).await;
    it.named("aes_256", "encryption").await;
    it.act("backup", json!({"location": "vault_1"})).await.ok();
    it.agreed("escrow", "escrow_1").await.ok();
    it.act("rotate", json!({})).await.ok();
    it.act("backup", json!({"location": "vault_1"})).await.ok();
    let waits = async |location: &str| {
        let asked = it.act("remove-copy", json!({"location": location})).await;
        assert_eq!((asked.status.as_u16(), &asked.json()["action"]), (202, &json!("key.copy_remove")));
        asked.json()["approval_id"].as_str().unwrap().to_owned()
    };
    // The older copy does not have the second version.
    let approval = waits("vault_1").await;
    let approved = it.app.get(&it.second, &format!("/v1/approvals/{approval}")).await.ok();
    assert_eq!(approved["details"]["versions"], json!(["2"]), "{approved}");
    let early = json!({"location": "vault_1", "approval_id": approval});
    it.act("remove-copy", early).await.refused(409, "approval.unusable");
    assert!(it.copy("vault_1").exists());
    // Of the older one everything is in the newer one.
    it.act("remove-copy", json!({"location": "escrow_1"})).await.ok();
    // Now more would be lost than was consented to.
    it.app.post(&it.second, &format!("/v1/approvals/{approval}/approve"), json!({})).await.ok();
    let late = json!({"location": "vault_1", "approval_id": approval});
    it.act("remove-copy", late).await.refused(409, "approval.unusable");
    // A copy that was begun and not read back does not stand in for it, nor is the one that was there worth less by it.
    std::fs::rename(it.folder.path().join("vault_1"), it.folder.path().join("away")).unwrap();
    it.act("rotate", json!({})).await.ok();
    it.act("backup", json!({"location": "vault_1"})).await.refused(503, "dependency.unavailable");
    it.app.clock.advance_seconds(60);
    std::fs::rename(it.folder.path().join("away"), it.folder.path().join("vault_1")).unwrap();
    waits("vault_1").await;
    it.agreed("remove-copy", "vault_1").await.ok();
    assert!(!it.copy("vault_1").exists());
    // Of a key that is gone nothing is lost: whoever may takes its copies away.
    it.act("backup", json!({"location": "vault_1"})).await.ok();
    it.act("revoke", json!({})).await.ok();
    let asked = it.act("schedule-deletion", json!({"force": true})).await.json();
    let id = asked["approval_id"].as_str().unwrap();
    it.app.post(&it.second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
    it.act("schedule-deletion", json!({"force": true, "approval_id": id})).await.ok();
    it.act("remove-copy", json!({"location": "vault_1"})).await.ok();
    assert!(!it.copy("vault_1").exists());
}

async fn a_certificate_of_destruction_states_the_copies(backend: Backend) {
    let mut it = It::on(backend).await;
    it.named("aes_256", "encryption").await;
    it.act("backup", json!({"location": "vault_1"})).await.ok();
    it.agreed("escrow", "escrow_1").await.ok();
    // Made after the copies, and in none of them.
    it.act("rotate", json!({})).await.ok();
    it.act("revoke", json!({})).await.ok();
    let asked = it.act("schedule-deletion", json!({"force": true})).await.json();
    let id = asked["approval_id"].as_str().unwrap();
    it.app.post(&it.second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
    it.act("schedule-deletion", json!({"force": true, "approval_id": id})).await.ok();

    let tenant: TenantId = it.clinic.id.parse().unwrap();
    let tombstones = it.app.instance.store().view(tenant).await.unwrap().tombstones().await.unwrap();
    assert_eq!(tombstones.len(), 2);
    let mut stated = Vec::new();
    for tombstone in tombstones {
        let path = format!("/v1/certificates/{}", tombstone.certificate.unwrap());
        let certificate = it.app.get(&it.clinic.auditor, &path).await.ok();
        let payload = certificate["envelope"]["payload"].as_str().unwrap();
        let payload: Value =
            serde_json::from_slice(&data_encoding::BASE64.decode(payload.as_bytes()).unwrap()).unwrap();
        let params = &payload["statement"]["params"];
        stated.push((params["version"].as_u64(), params["copies"].as_u64(), params["copy_1_location"].clone()));
        assert_eq!(params["copy_2_location"].is_null(), params["copy_1_location"].is_null());
    }
    stated.sort_by_key(|(version, ..)| *version);
    assert_eq!(stated, [(Some(1), Some(2), json!("escrow_1")), (Some(2), Some(0), json!(null))]);
    let cores = it.cores("key.destroyed").await;
    assert!(cores.iter().any(|core| core.contains(r#""copy_locations":["escrow_1","vault_1"]"#)), "{cores:?}");
}

async fn a_destruction_counts_the_copy_that_is_on_its_way(backend: Backend) {
    let mut it = It::on(backend).await;
    it.named("aes_256", "encryption").await;
    it.act("revoke", json!({"reason": "key_compromise"})).await.ok();
    let meanwhile = async {
        it.gate.reached.notified().await;
        let asked = it.act("schedule-deletion", json!({"force": true})).await.json();
        let id = asked["approval_id"].as_str().unwrap().to_owned();
        it.app.post(&it.second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
        it.act("schedule-deletion", json!({"force": true, "approval_id": id})).await.ok();
        it.gate.opened.notify_one();
    };
    tokio::join!(it.act("backup", json!({"location": "slow_1"})), meanwhile);
    assert!(it.copy("slow_1").exists());
    let destroyed = it.cores("key.destroyed").await;
    assert!(destroyed[0].contains(r#""copies":1"#), "{destroyed:?}");
    // It may come at any time: for a minute nobody takes it away.
    it.act("remove-copy", json!({"location": "slow_1"})).await.refused(409, "state.conflict");
    it.app.clock.advance_seconds(60);
    it.act("remove-copy", json!({"location": "slow_1"})).await.ok();
    assert!(!it.copy("slow_1").exists());
}

async fn a_removal_is_in_the_log_before_the_copy_is_gone(backend: Backend) {
    let it = It::on(backend).await;
    it.act("backup", json!({"location": "vault_1"})).await.ok();
    // Nobody knows that this one is there, and its folder does not let it go.
    std::fs::create_dir(it.copy("escrow_1")).unwrap();
    it.act("remove-copy", json!({"location": "escrow_1"})).await.refused(503, "dependency.unavailable");
    assert_eq!((it.cores("key.copy_removing").await.len(), it.cores("key.copy_removed").await.len()), (1, 0));
    it.agreed("remove-copy", "vault_1").await.ok();
    for kind in ["key.copy_removing", "key.copy_removed"] {
        let told = it.cores(kind).await;
        assert!(told.iter().any(|core| core.contains("vault_1")), "{told:?}");
    }
}
