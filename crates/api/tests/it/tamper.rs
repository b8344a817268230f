//! Whoever can write the database gains nothing that a verifier believes.

use chancery_crypto::{Ed25519SigningKey, Handle, SystemRandom, checkpoint::SignedCheckpoint};
use chancery_domain::{
    TenantId,
    audit::{
        StoredCheckpoint,
        guard::{self, IntegrityCheck},
        sequence,
    },
    keyring::{KeyState, KeyVersion, Managed, declared::declared},
};
use serde_json::Value;

use crate::{
    app::{Backend, TestApp},
    proofs::claim,
};

backends! {
    a_planted_key_is_no_key,
    a_planted_head_is_not_built_upon,
}

/// A version of the tenant's certificate key whose private half somebody else has.
async fn plant_key(app: &TestApp, tenant: TenantId) -> KeyVersion {
    let jwk = Ed25519SigningKey::make(&SystemRandom).unwrap().public().jwk();
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    let key = tx.managed_key(Managed::Certificate).await.unwrap().unwrap();
    let genuine = tx.key_versions(key.id).await.unwrap().pop().unwrap();
    let planted = KeyVersion {
        version: 99,
        key_id: jwk.thumbprint(),
        handle: Handle::make(&SystemRandom).unwrap(),
        state: KeyState::Destroyed,
        public_jwk: Some(jwk),
        ..genuine
    };
    tx.insert_key_version(&planted).await.unwrap();
    tx.commit().await.unwrap();
    planted
}

async fn a_planted_key_is_no_key(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let planted = plant_key(&app, TenantId::PLATFORM).await;
    let trust = chancery_domain::certificates::trust_file(&app.instance).await.unwrap();
    assert!(!String::from_utf8(trust).unwrap().contains(&planted.key_id), "the public trust file");

    let tenant: TenantId = clinic.id.parse().unwrap();
    let planted = plant_key(&app, tenant).await;
    let made = app.post(&clinic.service, "/v1/certificates", claim()).await.created();
    let id = made["id"].as_str().unwrap();
    let ring = app.instance.keyring(tenant).await.unwrap();
    let mut view = app.instance.store().view(tenant).await.unwrap();
    let keys = declared(&mut *view, &ring, Managed::Certificate).await.unwrap();
    assert!(!keys.iter().any(|key| key.key_id == planted.key_id), "what packs state");
    assert_eq!(keys.len(), 1);
    let verdict = app.get(&clinic.service, &format!("/v1/certificates/{id}/verify")).await.ok();
    assert_eq!(verdict["verdict"], Value::from("valid"));
}

async fn a_planted_head_is_not_built_upon(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    assert!(app.get(&clinic.auditor, "/v1/audit/checkpoint").await.status.is_success());
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    let genuine = tx.checkpoint().await.unwrap().unwrap();
    let signed = SignedCheckpoint::parse(&genuine.note).unwrap();
    let thief = Ed25519SigningKey::make(&SystemRandom).unwrap();
    let mut head = signed.checkpoint().clone();
    head.size += 1;
    let note = SignedCheckpoint::sign(&head, &thief, &head.origin).unwrap().text().to_owned();
    let before = genuine.signed_at.plus_seconds(-1);
    tx.insert_checkpoint(&StoredCheckpoint { size: head.size, note, signed_at: before }).await.unwrap();
    tx.commit().await.unwrap();
    // Nor is it in the way of the log's own heads, also where none will be for long: nobody can take it away.
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    let far = (1 << 53) - 1;
    tx.insert_checkpoint(&StoredCheckpoint { size: far, note: "x".to_owned(), signed_at: before }).await.unwrap();
    tx.commit().await.unwrap();
    assert!(app.get(&clinic.auditor, "/v1/audit/checkpoint").await.status.is_success());
    app.post(&clinic.service, "/v1/audit/events", serde_json::json!({"type": "app.later"})).await.created();
    let newest = sequence::checkpoint(&app.instance, tenant).await.unwrap();
    let key = guard::log_keys(&app.instance, tenant).await.unwrap().remove(0);
    assert!(SignedCheckpoint::parse(&newest.note).unwrap().verify(&key).unwrap().size > head.size);
    assert!(guard::note_head(&app.instance, tenant).await.unwrap());
    assert_eq!(app.get(&clinic.auditor, "/v1/audit/anchor").await.ok()["size"], newest.size);
    // Whoever watches the server sees them.
    let found: Vec<_> = guard::step(&app.instance, tenant, u64::MAX).await.unwrap().found;
    let checks: Vec<_> = found.iter().map(|finding| (finding.check, finding.at)).collect();
    assert!(checks.contains(&(IntegrityCheck::CheckpointSignature, head.size)), "{checks:?}");
    assert!(checks.contains(&(IntegrityCheck::CheckpointForm, far)), "{checks:?}");
    app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");
}
