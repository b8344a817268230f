//! Copies of single keys, from outside.

use std::sync::Arc;

use chancery_domain::{
    TenantId,
    keyring::{KeyDestination, KeyProvider, KeyVersion, StoredMaterial},
};
use chancery_kms::{Folder, Local};
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp};

backends! { a_copy_counts_when_it_was_read_back, escrow_takes_two_people_and_gives_the_key_back }

struct It {
    app: TestApp,
    clinic: Clinic,
    second: Caller,
    key: String,
    sealed: Value,
    folder: tempfile::TempDir,
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
        app.instance.keep_copies_at(vec![place("vault_1", ours), place("escrow_1", other)]);
        let clinic = app.clinic("ours").await;
        let second = app.caller(&clinic.id, "security_officer").await;
        app.register_fields(&clinic).await;
        let sealed = app.seal(&clinic.service, "ssn", "row-1", json!("123-45-6789")).await["sealed"].clone();
        let key = app.get(&clinic.officer, "/v1/keys?managed=data").await.ok()["items"][0]["id"].clone();
        Self { app, clinic, second, key: key.as_str().unwrap().to_owned(), sealed, folder }
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

    // The row's material is damaged: nothing of the tenant opens any more, until the key is taken back.
    let tenant: TenantId = it.clinic.id.parse().unwrap();
    let key = it.key.parse().unwrap();
    let mut tx = it.app.instance.store().begin(tenant).await.unwrap();
    let good = tx.key_versions(key).await.unwrap().remove(0);
    tx.commit().await.unwrap();
    let StoredMaterial::Wrapped { bytes, .. } = &good.material else { panic!("resident") };
    let old = bytes.clone();
    assert_eq!(it.agreed("escrow-restore", "escrow_1").await.ok()["versions"][0]["state"], "active");
    let mut view = it.app.instance.store().view(tenant).await.unwrap();
    let again: KeyVersion = view.key_versions(key).await.unwrap().remove(0);
    let StoredMaterial::Wrapped { bytes, .. } = &again.material else { panic!("resident") };
    assert_ne!(*bytes, old, "wrapped anew");
    drop(view);
    it.app.open(&it.clinic.service, "ssn", "row-1", &it.sealed).await.ok();

    // A changed copy is refused as a whole.
    let mut changed = whole.clone();
    let at = String::from_utf8_lossy(&whole).find("\"wrapped\":\"").unwrap() + 80;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(it.copy("escrow_1"), changed).unwrap();
    it.agreed("escrow-restore", "escrow_1").await.refused(503, "dependency.unavailable");
    it.app.open(&it.clinic.service, "ssn", "row-1", &it.sealed).await.ok();
}
