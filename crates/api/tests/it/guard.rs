//! How logs are guarded, from outside.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use chancery_crypto::{
    Ed25519SigningKey,
    checkpoint::{Checkpoint, SignedCheckpoint, VerifierKey},
    cosignature::{AddCheckpoint, CosignerKey, cosign},
    merkle,
    proof::LogProof,
};
use chancery_domain::{
    TenantId,
    audit::{
        guard::{self, Answered, Pin, PinError, Pins, Witness, WitnessError, WitnessPort, Witnesses},
        sequence::{self, SequenceError},
    },
};
use serde_json::{Value, json};

use crate::app::{Backend, Clinic, TestApp};

backends! {
    a_head_is_told_of_in_the_platforms_log,
    what_nobody_changed_is_as_written,
    a_log_that_is_behind_its_pin_is_not_signed_until_that_is_accepted,
    witnesses_sign_and_one_that_is_away_holds_up_nobody,
}

fn tenant(clinic: &Clinic) -> TenantId {
    clinic.id.parse().unwrap()
}

/// Signs the clinic's head, and has the platform's log tell of it.
pub(crate) async fn noted(app: &TestApp, clinic: &Clinic) {
    sequence::checkpoint(&app.instance, tenant(clinic)).await.unwrap();
    assert!(guard::note_head(&app.instance, tenant(clinic)).await.unwrap());
}

async fn a_head_is_told_of_in_the_platforms_log(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.get(&clinic.auditor, "/v1/audit/anchor").await.refused(404, "not_found");
    noted(&app, &clinic).await;
    assert!(!guard::note_head(&app.instance, TenantId::PLATFORM).await.unwrap(), "it does not tell of itself");
    let anchor = app.get(&clinic.auditor, "/v1/audit/anchor").await.ok();
    let text = |name: &str| anchor[name].as_str().unwrap().to_owned();
    let keys = guard::log_keys(&app.instance, tenant(&clinic)).await.unwrap();
    let head = SignedCheckpoint::parse(&text("checkpoint")).unwrap().verify(&keys[0]).unwrap().clone();
    assert_eq!(anchor["size"], head.size);
    let proof = LogProof::parse(&text("proof")).unwrap();
    assert_eq!(anchor["index"], proof.index);
    let platform = guard::log_keys(&app.instance, TenantId::PLATFORM).await.unwrap().remove(0);
    guard::verify_anchor(&head, &text("core"), &proof, &platform).unwrap();
    // For this head of this log alone, and only under the platform's key.
    for other in [
        Checkpoint { size: head.size + 1, ..head.clone() },
        Checkpoint { root: [1; 32], ..head.clone() },
        Checkpoint { origin: format!("{}x", head.origin), ..head.clone() },
    ] {
        assert!(guard::verify_anchor(&other, &text("core"), &proof, &platform).is_err());
    }
    assert!(guard::verify_anchor(&head, &text("core").replace("log", "lag"), &proof, &platform).is_err());
    let thief = Ed25519SigningKey::from_seed(&[1; 32]).unwrap().public();
    let thief = VerifierKey::new(platform.name(), thief).unwrap();
    assert!(guard::verify_anchor(&head, &text("core"), &proof, &thief).is_err());
    // It names nobody, and carries a nonce: the hashes beside other tenants' proofs tell nothing of this one.
    let core: Value = serde_json::from_str(&text("core")).unwrap();
    assert!(!text("core").contains(&clinic.id) && !text("core").contains("ours"), "{core}");
    assert_eq!(core["detail"]["nonce"].as_str().unwrap().len(), 64);
    // Once, until it grows again: reading the anchor was an event.
    sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
    assert!(guard::note_head(&app.instance, tenant(&clinic)).await.unwrap());
    assert!(!guard::note_head(&app.instance, tenant(&clinic)).await.unwrap());
}

async fn what_nobody_changed_is_as_written(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    for _ in 0..3 {
        app.seal(&clinic.service, "ssn", "p1", json!("1")).await;
        app.get(&clinic.auditor, "/v1/audit/checkpoint").await;
    }
    assert_eq!(guard::inspect(&app.instance, tenant(&clinic)).await.unwrap(), []);
    // A step at a time comes to the same end, and is told of in the platform's log.
    let mut rows = 0;
    loop {
        let step = guard::step(&app.instance, tenant(&clinic), 1).await.unwrap();
        assert_eq!(step.found, []);
        rows += step.rows;
        if step.ended {
            break;
        }
        assert!(guard::due(&app.instance, tenant(&clinic)).await.unwrap(), "in the middle of it");
    }
    assert!(rows > 3);
    assert!(!guard::due(&app.instance, tenant(&clinic)).await.unwrap(), "not again today");
    app.clock.advance_seconds(86_400);
    assert!(guard::due(&app.instance, tenant(&clinic)).await.unwrap());
    let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = app.post(&app.admin, "/v1/api-keys", auditor).await.created();
    let auditor = crate::app::Caller { bearer: auditor["key"].as_str().unwrap().to_owned() };
    let told = app.events(&auditor, "log.scrubbed").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["resource"], clinic.id.as_str());
    app.anonymous("GET", "/readyz", None).await.ok();
}

/// Pins in memory.
#[derive(Default)]
struct Remembered(Mutex<std::collections::BTreeMap<TenantId, Pin>>);

#[async_trait]
impl Pins for Remembered {
    async fn pinned(&self, tenant: TenantId) -> Result<Option<Pin>, PinError> {
        Ok(self.0.lock().unwrap().get(&tenant).cloned())
    }
    async fn pin(&self, tenant: TenantId, pin: &Pin) -> Result<(), PinError> {
        self.0.lock().unwrap().insert(tenant, pin.clone());
        Ok(())
    }
    async fn replace(&self, tenant: TenantId, from: &Pin, to: Option<&Pin>) -> Result<(), PinError> {
        let mut pins = self.0.lock().unwrap();
        assert_eq!(pins.get(&tenant), Some(from));
        match to {
            Some(to) => pins.insert(tenant, to.clone()),
            None => pins.remove(&tenant),
        };
        Ok(())
    }
}

/// Another head of the clinic's log, signed by its own key, as a store of another day would have it.
async fn of_another_day(app: &TestApp, clinic: &Clinic, change: impl FnOnce(&mut Checkpoint)) -> Pin {
    let newest = sequence::checkpoint(&app.instance, tenant(clinic)).await.unwrap();
    let mut head = SignedCheckpoint::parse(&newest.note).unwrap().checkpoint().clone();
    change(&mut head);
    let key = Ed25519SigningKey::from_seed(&[1; 32]).unwrap();
    Pin::of(SignedCheckpoint::sign(&head, &key, &head.origin).unwrap().text()).unwrap()
}

async fn a_log_that_is_behind_its_pin_is_not_signed_until_that_is_accepted(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let pins = Arc::new(Remembered::default());
    app.instance.guard().pin_at(pins.clone());
    app.get(&clinic.auditor, "/v1/audit/checkpoint").await;
    let honest = pins.pinned(tenant(&clinic)).await.unwrap().unwrap();
    assert_eq!(guard::accept_restore(&app.instance, tenant(&clinic)).await.unwrap(), None, "nothing is behind");
    let larger = of_another_day(&app, &clinic, |head| head.size += 50).await;
    let forked = of_another_day(&app, &clinic, |head| head.root = [7; 32]).await;
    let earlier = of_another_day(&app, &clinic, |head| (head.size, head.root) = (2, [7; 32])).await;
    for (accepted, other) in [larger, forked, earlier].into_iter().enumerate() {
        pins.pin(tenant(&clinic), &other).await.unwrap();
        let refused = sequence::checkpoint(&app.instance, tenant(&clinic)).await;
        assert!(matches!(refused, Err(SequenceError::RolledBack(_))), "{refused:?}");
        app.get(&clinic.auditor, "/v1/audit/checkpoint").await.refused(503, "audit.rolled_back");
        if accepted == 0 {
            app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");
        }
        let found = guard::inspect(&app.instance, tenant(&clinic)).await.unwrap();
        assert!(found.iter().any(|finding| finding.check == guard::IntegrityCheck::Pin), "{found:?}");
        // Events are taken all the same, and nothing of them is lost.
        app.post(&clinic.admin, "/v1/api-keys", json!({"description": "x", "roles": ["staff"]})).await.created();

        let gap = guard::accept_restore(&app.instance, tenant(&clinic)).await.unwrap().unwrap();
        assert_eq!(&gap.pinned, other.head());
        let told = app.events(&clinic.auditor, "log.restore_accepted").await;
        assert_eq!(told.len(), accepted + 1);
        let core: Value = serde_json::from_str(told[accepted]["core"].as_str().unwrap()).unwrap();
        assert_eq!(core["detail"]["pinned_size"], gap.pinned.size);
        assert_eq!(core["detail"]["size"], gap.head.size);
        assert!(app.get(&clinic.auditor, "/v1/audit/checkpoint").await.status.is_success());
    }
    // The answer is kept for a second.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    app.anonymous("GET", "/readyz", None).await.ok();
    assert!(pins.pinned(tenant(&clinic)).await.unwrap().unwrap().head().size > honest.head().size);
}

/// A witness in memory, that can be away.
struct Local {
    key: Ed25519SigningKey,
    name: &'static str,
    seen: Mutex<Option<Checkpoint>>,
    away: AtomicBool,
}

impl Local {
    fn new(name: &'static str, seed: u8) -> Arc<Self> {
        let key = Ed25519SigningKey::from_seed(&[seed; 32]).unwrap();
        Arc::new(Self { key, name, seen: Mutex::default(), away: AtomicBool::default() })
    }

    fn key(&self) -> CosignerKey {
        CosignerKey::new(self.name, self.key.public()).unwrap()
    }
}

#[async_trait]
impl WitnessPort for Local {
    async fn add_checkpoint(&self, body: &str) -> Result<Answered, WitnessError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(WitnessError::Unreachable);
        }
        let request = AddCheckpoint::parse(body).unwrap();
        let head = request.checkpoint.checkpoint();
        let mut seen = self.seen.lock().unwrap();
        let (size, root) = seen.as_ref().map_or((0, merkle::EMPTY), |seen| (seen.size, seen.root));
        if request.old != size {
            return Ok(Answered::SawLast(size));
        }
        if merkle::verify_consistency(size, head.size, &root, &head.root, &request.proof).is_err() {
            return Err(WitnessError::Refused(422));
        }
        *seen = Some(head.clone());
        Ok(Answered::Cosigned(cosign(head, &self.key, self.name, 1_790_000_100).unwrap()))
    }
}

async fn witnesses_sign_and_one_that_is_away_holds_up_nobody(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let all = [Local::new("w/1", 1), Local::new("w/2", 2), Local::new("w/3", 3)];
    let list = all.iter().map(|local| Witness { key: local.key(), port: local.clone() }).collect();
    let witnesses = Witnesses { list, quorum: 2, strict: true, max_age_seconds: 900 };
    app.instance.guard().witnessed_by(witnesses, chancery_domain::Clock::now(&*app.clock));
    all[2].away.store(true, Ordering::SeqCst);
    noted(&app, &clinic).await;
    let came = guard::cosign(&app.instance).await.unwrap().unwrap();
    assert_eq!((came.signed, came.failed.len()), (2, 1));
    assert_eq!(came.failed[0], ("w/3".to_owned(), WitnessError::Unreachable));
    // Their lines stand beside the checkpoint, and in the anchor's proof.
    let proof = app.get(&clinic.auditor, "/v1/audit/anchor").await.ok()["proof"].as_str().unwrap().to_owned();
    let proof = LogProof::parse(&proof).unwrap();
    let lines: Vec<&str> = proof.checkpoint.text().lines().filter(|line| line.starts_with('\u{2014}')).collect();
    assert_eq!(lines.len(), 3, "the log's and two witnesses': {lines:?}");
    for (local, line) in all[..2].iter().zip(&lines[1..]) {
        assert_eq!(local.key().verify(proof.checkpoint.checkpoint(), line), Ok(1_790_000_100));
    }
    // Who was away is told which head it saw last: nothing is lost.
    all[2].away.store(false, Ordering::SeqCst);
    app.post(&app.admin, "/v1/tenants", json!({"name": "x", "slug": "another"})).await.created();
    let came = guard::cosign(&app.instance).await.unwrap().unwrap();
    assert_eq!((came.signed, came.failed), (3, vec![]));
    let again = guard::cosign(&app.instance).await.unwrap().unwrap();
    assert_eq!((again.size, again.signed), (came.size, 3), "asked once for a head");

    // A witness that saw another history signs nothing of this one.
    let forked = Checkpoint { root: [9; 32], ..all[0].seen.lock().unwrap().clone().unwrap() };
    *all[0].seen.lock().unwrap() = Some(forked);
    *all[1].seen.lock().unwrap() = Some(Checkpoint { size: 9_999, origin: "x".to_owned(), root: [1; 32] });
    app.post(&app.admin, "/v1/tenants", json!({"name": "y", "slug": "yet-another"})).await.created();
    let came = guard::cosign(&app.instance).await.unwrap().unwrap();
    assert_eq!(came.signed, 1);
    let failed = vec![("w/1".to_owned(), WitnessError::Refused(422)), ("w/2".to_owned(), WitnessError::SawMore(9_999))];
    assert_eq!(came.failed, failed);
    // Strict: after a while without a quorum this process does not serve.
    app.anonymous("GET", "/readyz", None).await.ok();
    app.clock.advance_seconds(1_200);
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");
}
