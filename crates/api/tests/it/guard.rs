//! How logs are guarded, from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
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
        QueuedEvent, StoredCheckpoint, alive,
        guard::{
            self, Answered, Cosignature, Pin, PinError, Pins, Scrub, Witness, WitnessError, WitnessPort, Witnesses,
        },
        sequence::{self, SequenceError},
    },
    certificates::verify_pack,
    ids::{EventId, RequestId},
};
use serde_json::{Value, json};

use crate::app::{Backend, Clinic, TestApp};

backends! {
    a_head_is_told_of_in_the_platforms_log,
    what_nobody_changed_is_as_written,
    a_log_that_is_behind_its_pin_is_not_signed_until_that_is_accepted,
    witnesses_sign_and_one_that_is_away_holds_up_nobody,
    a_quiet_log_is_witnessed_again_and_stays_ready,
    a_row_in_the_way_keeps_no_witness_out_and_counts_for_none,
    a_position_in_the_store_is_not_believed,
    the_head_that_was_told_of_last_counts,
    a_garbage_row_at_the_size_that_was_told_of_hides_no_anchor,
    a_larger_head_that_nobody_signed_stops_no_log_and_hides_none,
    however_many_rows_are_no_heads_the_log_is_signed,
    a_head_of_the_platforms_log_that_its_key_did_not_sign_proves_no_anchor,
    a_head_that_an_earlier_build_told_of_is_told_of_again,
    a_tenant_that_is_gone_is_told_of_until_that_is_accepted,
    an_event_that_is_queued_again_stops_nothing,
    another_event_under_the_id_of_a_logged_one_is_put_aside_and_told_of,
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

async fn append(app: &TestApp, clinic: &Clinic) {
    app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
}

/// An event of the log as it was queued.
async fn queued(app: &TestApp, clinic: &Clinic) -> QueuedEvent {
    append(app, clinic).await;
    sequence::sequence(&app.instance, tenant(clinic)).await.unwrap();
    let told = app.events(&clinic.auditor, "app.visit").await.pop().unwrap();
    let id = told["id"].as_str().unwrap().parse().unwrap();
    app.instance.store().view(tenant(clinic)).await.unwrap().logged_event(id).await.unwrap().unwrap().event
}

async fn in_queue(app: &TestApp, clinic: &Clinic) -> usize {
    app.instance.store().view(tenant(clinic)).await.unwrap().queued_events(100).await.unwrap().len()
}

/// As when the answer of a commit is lost, and its events are logged before they are appended again.
async fn an_event_that_is_queued_again_stops_nothing(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let event = queued(&app, &clinic).await;
    app.instance.store().append_events(&[event]).await.unwrap();
    append(&app, &clinic).await;
    sequence::sequence(&app.instance, tenant(&clinic)).await.unwrap();
    assert_eq!(in_queue(&app, &clinic).await, 0);
    assert_eq!(app.events(&clinic.auditor, "app.visit").await.len(), 2, "once each");
    assert_eq!(guard::inspect(&app.instance, tenant(&clinic)).await.unwrap(), []);
}

async fn another_event_under_the_id_of_a_logged_one_is_put_aside_and_told_of(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let event = queued(&app, &clinic).await;
    // Also of another month, where PostgreSQL has no such id.
    for (days, forgeries) in [(0, 1), (400, 2)] {
        let at = event.recorded_at.plus_seconds(-86_400 * days);
        let core = event.core.replace("app.visit", "app.other");
        let core = core.replace(&event.recorded_at.to_string(), &at.to_string());
        let forged = QueuedEvent { recorded_at: at, kind: "app.other".to_owned(), core, ..event.clone() };
        app.instance.store().append_events(std::slice::from_ref(&forged)).await.unwrap();
        append(&app, &clinic).await;
        sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
        assert_eq!(in_queue(&app, &clinic).await, 0);
        assert!(app.events(&clinic.auditor, "app.other").await.is_empty());
        let aside = app.events(&clinic.auditor, "log.event_quarantined").await;
        assert_eq!(aside.len(), forgeries);
        let core: Value = serde_json::from_str(aside.last().unwrap()["core"].as_str().unwrap()).unwrap();
        assert_eq!((&core["detail"]["reason"], &core["detail"]["event"]), (&json!("id_taken"), &json!(forged.id)));
    }
    assert_eq!(app.events(&clinic.auditor, "app.visit").await.len(), 3);
    // Somebody is at work in the store: this is no process to rely on until all of the log was looked at.
    app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");
    let failed = r#"chancery_audit_integrity_failures_total{check="queue_row"} 2"#;
    assert!(crate::metrics::scrape(&app).await.contains(failed));
    while !guard::step(&app.instance, tenant(&clinic), 1_000).await.unwrap().ended {}
    // What readiness found is kept for a second.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    app.anonymous("GET", "/readyz", None).await.ok();
}

/// What is missing after the last event of a node no number shows.
#[tokio::test]
async fn a_node_says_that_it_is_there_in_the_platforms_log_alone() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    alive::started(&app.instance).await.unwrap();
    let told = alive::beat(&app.instance, 0).await.unwrap();
    assert_eq!(alive::beat(&app.instance, told).await.unwrap(), told + 1, "it had nothing else to tell");
    assert_eq!(alive::beat(&app.instance, told).await.unwrap(), told + 1, "what it told a moment ago is enough");
    alive::stopped(&app.instance).await.unwrap();
    let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = app.post(&app.admin, "/v1/api-keys", auditor).await.created();
    let auditor = crate::app::Caller { bearer: auditor["key"].as_str().unwrap().to_owned() };
    for kind in ["node.started", "node.alive", "node.stopped"] {
        assert_eq!(app.events(&auditor, kind).await.len(), 1, "{kind}");
        assert_eq!(app.events(&clinic.auditor, kind).await.len(), 0, "{kind}");
    }
}

/// By it nothing is ever due, and that looked as if all were well.
#[tokio::test]
async fn a_clock_that_went_back_is_told_of() {
    let app = TestApp::new().await;
    let ready = async || {
        // What readiness found is kept for a second.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        app.anonymous("GET", "/readyz", None).await.ok()
    };
    sequence::sequence(&app.instance, TenantId::PLATFORM).await.unwrap();
    assert_eq!(guard::look_at_clock(&app.instance).await.unwrap(), None);
    assert_eq!(ready().await, json!({"status": "ok"}));
    app.clock.advance_seconds(-30 * 60);
    assert_eq!(guard::look_at_clock(&app.instance).await.unwrap(), None, "clocks of nodes differ");
    app.clock.advance_seconds(-900 * 86_400);
    let behind = guard::look_at_clock(&app.instance).await.unwrap().unwrap();
    assert!((900 * 86_400..901 * 86_400).contains(&behind), "{behind}");
    assert_eq!(ready().await, json!({"status": "ok", "warnings": ["clock.behind"]}));
    let told = format!("chancery_audit_clock_behind_seconds {behind}\n");
    assert!(crate::metrics::scrape(&app).await.contains(&told));
    app.clock.advance_seconds(901 * 86_400);
    assert_eq!(guard::look_at_clock(&app.instance).await.unwrap(), None);
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

/// Pins in memory, and how far logs were looked at.
#[derive(Default)]
struct Remembered(Mutex<BTreeMap<TenantId, Pin>>, Mutex<BTreeMap<TenantId, Scrub>>);

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
    async fn pinned_tenants(&self) -> Result<Vec<TenantId>, PinError> {
        Ok(self.0.lock().unwrap().keys().copied().collect())
    }
    async fn kept_scrub(&self, tenant: TenantId) -> Result<Option<Scrub>, PinError> {
        Ok(self.1.lock().unwrap().get(&tenant).copied())
    }
    async fn keep_scrub(&self, tenant: TenantId, scrub: &Scrub) -> Result<(), PinError> {
        self.1.lock().unwrap().insert(tenant, *scrub);
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
    assert_eq!(guard::accept_restore(&app.instance, tenant(&clinic), false).await.unwrap(), None, "nothing is behind");
    for accepted in 0..3 {
        let other = of_another_day(&app, &clinic, |head| match accepted {
            0 => head.size += 50,
            1 => head.root = [7; 32],
            _ => (head.size, head.root) = (2, [7; 32]),
        });
        let other = other.await;
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

        let gap = guard::accept_restore(&app.instance, tenant(&clinic), false).await.unwrap().unwrap();
        assert_eq!(gap.pinned.as_ref(), Some(other.head()));
        let told = app.events(&clinic.auditor, "log.restore_accepted").await;
        assert_eq!(told.len(), accepted + 1);
        let core: Value = serde_json::from_str(told[accepted]["core"].as_str().unwrap()).unwrap();
        assert_eq!(core["detail"]["pinned_size"], other.head().size);
        assert_eq!(core["detail"]["size"], gap.head.size);
        assert_eq!(core["detail"]["epoch"], accepted + 2);
        assert!(app.get(&clinic.auditor, "/v1/audit/checkpoint").await.status.is_success());
        // It goes on under another name, so what was signed before has no rival.
        let newest = sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
        let newest = SignedCheckpoint::parse(&newest.note).unwrap().checkpoint().clone();
        assert_eq!(gap.name.as_deref(), Some(newest.origin.as_str()));
        assert_eq!(newest.origin, format!("{}/e{}", honest.head().origin, accepted + 2));
        assert_eq!(guard::log_keys(&app.instance, tenant(&clinic)).await.unwrap()[0].name(), newest.origin);
    }
    // Every head that is stored bears the name of its time, and none has a rival.
    assert_eq!(guard::inspect(&app.instance, tenant(&clinic)).await.unwrap(), []);
    let mut view = app.instance.store().view(tenant(&clinic)).await.unwrap();
    let heads = view.raw_checkpoints((-1, -1), 1_000).await.unwrap();
    drop(view);
    let heads: Vec<Checkpoint> = heads
        .iter()
        .map(|head| SignedCheckpoint::parse(std::str::from_utf8(&head.note).unwrap()).unwrap().checkpoint().clone())
        .collect();
    let names: BTreeSet<&str> = heads.iter().map(|head| head.origin.as_str()).collect();
    let sizes: BTreeSet<(&str, u64)> = heads.iter().map(|head| (head.origin.as_str(), head.size)).collect();
    assert_eq!((names.len(), sizes.len()), (4, heads.len()));
    // The platform's log tells of the new name too, and what it tells is given out.
    noted(&app, &clinic).await;
    let anchor = app.get(&clinic.auditor, "/v1/audit/anchor").await.ok();
    assert!(anchor["checkpoint"].as_str().unwrap().lines().next().unwrap().ends_with("/e4"), "{anchor}");
    // Another node, whose pin is of before the restores, says so too and begins no further epoch.
    let elsewhere = of_another_day(&app, &clinic, |head| {
        honest.head().origin.clone_into(&mut head.origin);
        head.size += 9;
    });
    pins.pin(tenant(&clinic), &elsewhere.await).await.unwrap();
    let refused = sequence::checkpoint(&app.instance, tenant(&clinic)).await;
    assert!(matches!(refused, Err(SequenceError::RolledBack(_))), "{refused:?}");
    let gap = guard::accept_restore(&app.instance, tenant(&clinic), false).await.unwrap().unwrap();
    assert_eq!(gap.name, None);
    assert!(app.get(&clinic.auditor, "/v1/audit/checkpoint").await.text().lines().next().unwrap().ends_with("/e4"));
    // The answer is kept for a second.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    app.anonymous("GET", "/readyz", None).await.ok();
    assert!(pins.pinned(tenant(&clinic)).await.unwrap().unwrap().head().size > honest.head().size);
}

/// A witness in memory, that can be away.
pub(crate) struct Local {
    key: Ed25519SigningKey,
    name: &'static str,
    seen: Mutex<Option<Checkpoint>>,
    pub(crate) away: AtomicBool,
    /// Its clock.
    seconds: AtomicU64,
}

impl Local {
    pub(crate) fn new(name: &'static str, seed: u8) -> Arc<Self> {
        let key = Ed25519SigningKey::from_seed(&[seed; 32]).unwrap();
        let seconds = AtomicU64::new(1_790_000_100);
        Arc::new(Self { key, name, seen: Mutex::default(), away: AtomicBool::default(), seconds })
    }

    pub(crate) fn key(&self) -> CosignerKey {
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
        let seconds = self.seconds.load(Ordering::SeqCst);
        Ok(Answered::Cosigned(cosign(head, &self.key, self.name, seconds).unwrap()))
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

/// Whoever holds the store writes something in the place of what witnesses have yet to sign, and a line of one in the name of another.
async fn a_row_in_the_way_keeps_no_witness_out_and_counts_for_none(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let all = [Local::new("w/1", 1), Local::new("w/2", 2)];
    let list = all.iter().map(|local| Witness { key: local.key(), port: local.clone() }).collect();
    let now = || chancery_domain::Clock::now(&*app.clock);
    app.instance.guard().witnessed_by(Witnesses { list, quorum: 2, strict: true, max_age_seconds: 900 }, now());
    noted(&app, &clinic).await;
    let size = sequence::checkpoint(&app.instance, TenantId::PLATFORM).await.unwrap().size;
    let put = async |rows: Vec<Cosignature>| {
        let mut tx = app.instance.store().begin(TenantId::PLATFORM).await.unwrap();
        for row in &rows {
            tx.put_cosignature(row).await.unwrap();
        }
        tx.commit().await.unwrap();
    };
    let junk = |size, witness: &str| Cosignature {
        size,
        witness: witness.to_owned(),
        line: "x".to_owned(),
        cosigned_at: now().plus_seconds(86_400 * 3_650),
    };
    put((size..size + 100).flat_map(|size| ["w/1", "w/2"].map(|witness| junk(size, witness))).collect()).await;
    app.clock.advance_seconds(600);
    let set = |local: &Arc<Local>| local.seconds.store(u64::try_from(now().as_seconds()).unwrap(), Ordering::SeqCst);
    all.iter().for_each(set);
    for slug in ["one", "two"] {
        let came = guard::cosign(&app.instance).await.unwrap().unwrap();
        assert_eq!((came.signed, came.failed), (2, vec![]));
        assert!(app.instance.guard().unwitnessed_seconds(now()).unwrap() < 60, "{slug}");
        app.post(&app.admin, "/v1/tenants", json!({"name": slug, "slug": slug})).await.created();
    }
    let came = guard::cosign(&app.instance).await.unwrap().unwrap();
    let (size, note, signed_at) = (came.size, "x".to_owned(), now().plus_seconds(60));
    let mut tx = app.instance.store().begin(TenantId::PLATFORM).await.unwrap();
    tx.insert_checkpoint(&StoredCheckpoint { size, note, signed_at }).await.unwrap();
    tx.commit().await.unwrap();
    let proof = app.get(&clinic.auditor, "/v1/audit/anchor").await.ok()["proof"].as_str().unwrap().to_owned();
    let proof = LogProof::parse(&proof).unwrap();
    assert!(all.iter().all(|local| local.key().verify_note(&proof.checkpoint).is_ok()), "{proof:?}");
    let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = app.post(&app.admin, "/v1/api-keys", auditor).await.created();
    let auditor = crate::app::Caller { bearer: auditor["key"].as_str().unwrap().to_owned() };
    let shown = app.get(&auditor, "/v1/audit/checkpoint").await.text();
    assert!(SignedCheckpoint::parse(&shown).is_ok(), "{shown}");

    // One is away, and what the other one signed stands in its name too.
    all[1].away.store(true, Ordering::SeqCst);
    app.clock.advance_seconds(1_200);
    set(&all[0]);
    let came = guard::cosign(&app.instance).await.unwrap().unwrap();
    assert_eq!((came.signed, came.failed.len()), (1, 1));
    let mut view = app.instance.store().view(TenantId::PLATFORM).await.unwrap();
    let rows = view.cosignatures(came.size).await.unwrap();
    drop(view);
    let one = rows.into_iter().find(|row| row.witness == "w/1").unwrap();
    put(vec![Cosignature { witness: "w/2".to_owned(), ..one }]).await;
    guard::look_for_witnesses(&app.instance).await.unwrap();
    assert!(app.instance.guard().is_unwitnessed(now()));
}

/// Nothing happens for an hour: the head stays the same, and witnesses are asked for it again before their word is too old.
async fn a_quiet_log_is_witnessed_again_and_stays_ready(backend: Backend) {
    let app = TestApp::on(backend).await;
    let local = Local::new("w/1", 1);
    let list = vec![Witness { key: local.key(), port: local.clone() }];
    let witnesses = Witnesses { list, quorum: 1, strict: true, max_age_seconds: 900 };
    let now = || chancery_domain::Clock::now(&*app.clock);
    app.instance.guard().witnessed_by(witnesses, now());
    local.seconds.store(u64::try_from(now().as_seconds()).unwrap(), Ordering::SeqCst);
    let first = guard::cosign(&app.instance).await.unwrap().unwrap();
    for _ in 0..12 {
        app.clock.advance_seconds(300);
        local.seconds.store(u64::try_from(now().as_seconds()).unwrap(), Ordering::SeqCst);
        let again = guard::cosign(&app.instance).await.unwrap().unwrap();
        assert_eq!((again.size, again.signed), (first.size, 1), "the log is quiet");
        assert_eq!(app.instance.guard().unwitnessed_seconds(now()), Some(0));
        assert!(!app.instance.guard().is_unwitnessed(now()));
    }
    // A word that is young enough is not asked for again.
    local.away.store(true, Ordering::SeqCst);
    app.clock.advance_seconds(200);
    assert_eq!(guard::cosign(&app.instance).await.unwrap().unwrap().signed, 1);
    app.clock.advance_seconds(200);
    let away = guard::cosign(&app.instance).await.unwrap().unwrap();
    assert_eq!((away.signed, away.failed.len()), (0, 1));
    // One row for each witness and size: the newest.
    let mut view = app.instance.store().view(TenantId::PLATFORM).await.unwrap();
    assert_eq!(view.cosignatures(first.size).await.unwrap().len(), 1);
    drop(view);
    app.clock.advance_seconds(600);
    assert!(app.instance.guard().is_unwitnessed(now()));
}

/// Whoever holds the store writes there that everything was looked at a moment ago, and that nothing is due.
async fn a_position_in_the_store_is_not_believed(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let newest = sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
    let now = chancery_domain::Clock::now(&*app.clock);
    let forged = Scrub { tile: 1 << 40, checkpoint: (1 << 40, 0), findings: 0, began_at: now, ended: Some((now, 0)) };
    let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
    tx.put_scrub(&forged).await.unwrap();
    tx.commit().await.unwrap();
    assert!(guard::due(&app.instance, tenant(&clinic)).await.unwrap());
    let step = guard::step(&app.instance, tenant(&clinic), u64::MAX).await.unwrap();
    assert!(step.ended && step.rows >= newest.size, "{step:?} of {}", newest.size);
    let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = app.post(&app.admin, "/v1/api-keys", auditor).await.created();
    let auditor = crate::app::Caller { bearer: auditor["key"].as_str().unwrap().to_owned() };
    let told = app.events(&auditor, "log.scrubbed").await;
    let core: Value = serde_json::from_str(told[0]["core"].as_str().unwrap()).unwrap();
    let detail = &core["detail"];
    let size = detail["size"].as_u64().unwrap();
    assert_eq!((&detail["first"], &detail["end"], &detail["findings"]), (&json!(0), &json!(size), &json!(0)), "{core}");
    assert!(size >= newest.size && detail["heads"].as_u64().unwrap() >= 1, "{core}");
}

/// A row beside the log said which event that is, and could name an older one, or none.
async fn the_head_that_was_told_of_last_counts(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    noted(&app, &clinic).await;
    let told = async || app.get(&clinic.auditor, "/v1/audit/anchor").await.ok()["size"].as_u64().unwrap();
    let first = told().await;
    noted(&app, &clinic).await;
    let last = told().await;
    assert!(last > first, "{first} {last}");
    // One that somebody queued, and that tells of no head, hides none.
    let newest = sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
    let origin = SignedCheckpoint::parse(&newest.note).unwrap().checkpoint().origin.clone();
    let (id, request, now) = (EventId::from_bytes([7; 16]), RequestId::from_bytes([7; 16]), app.instance.now());
    let (kind, platform) = ("log.head_noted".to_owned(), TenantId::PLATFORM);
    let core = json!({"action": "C", "actor": {"auth": "system", "kind": "system", "ref": "system"},
        "event_id": id.to_string(), "occurred_at": now.to_string(), "outcome": 0, "recorded_at": now.to_string(),
        "request_id": request.to_string(), "resource": {"id": origin, "kind": "log"}, "tenant_id": platform.to_string(), "type": kind});
    let forged = QueuedEvent {
        tenant: platform,
        id,
        recorded_at: now,
        kind,
        actor: "system".to_owned(),
        resource: Some(origin),
        outcome: 0,
        request,
        core: core.to_string(),
        sealed: None,
    };
    app.instance.store().append_events(&[forged]).await.unwrap();
    assert_eq!(told().await, last);
    noted(&app, &clinic).await;
    assert!(!guard::note_head(&app.instance, tenant(&clinic)).await.unwrap());
    assert!(told().await > last);
    // Nor from a pack.
    let id = crate::proofs::issue(&app, &clinic).await["id"].clone();
    let made = app.post(&clinic.auditor, "/v1/certificates/packs", json!({"certificates": [id]})).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let trust = app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body;
    let report = verify_pack(&made.body, &trust, None);
    let tells = |detail: &str| detail.ends_with("of the platform's log tells of this head");
    assert!(report.checks.iter().any(|check| check.name == "anchor_event" && tells(&check.detail)), "{report:?}");
}

/// Whoever fills one log has the others wait for no more than a turn of it.
#[tokio::test]
async fn a_log_is_moved_in_turns() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let tenant = tenant(&clinic);
    let event = queued(&app, &clinic).await;
    let before = sequence::sequence(&app.instance, tenant).await.unwrap().size;
    let mut core: Value = serde_json::from_str(&event.core).unwrap();
    let (turn, more) = (16 * 1_024, 100);
    let mut events = Vec::new();
    for n in 0_u64..turn + more {
        let mut id = event.id.to_bytes();
        id[10..].copy_from_slice(&n.to_be_bytes()[2..]);
        let id = EventId::from_bytes(id);
        core["event_id"] = json!(id);
        let core = String::from_utf8(chancery_crypto::canonical::to_vec(&core).unwrap()).unwrap();
        events.push(QueuedEvent { id, core, sealed: None, ..event.clone() });
    }
    app.instance.store().append_events(&events).await.unwrap();
    assert_eq!(sequence::turn(&app.instance, tenant).await.unwrap(), None);
    let size = app.instance.store().view(tenant).await.unwrap().log_head().await.unwrap().size;
    assert_eq!(size, before + turn);
    // Its head is signed as far as it came.
    assert_eq!(sequence::sign(&app.instance, tenant).await.unwrap().size, size);
    let moved = sequence::turn(&app.instance, tenant).await.unwrap();
    assert_eq!(moved.map(|head| head.size), Some(before + turn + more));
}

/// The newest event that tells of the clinic's heads, under another id and changed, as who holds the store queues it.
pub(crate) async fn tell_forged(app: &TestApp, clinic: &Clinic, change: impl FnOnce(&mut QueuedEvent, &mut Value)) {
    let newest = sequence::checkpoint(&app.instance, tenant(clinic)).await.unwrap();
    let origin = SignedCheckpoint::parse(&newest.note).unwrap().checkpoint().origin.clone();
    sequence::sequence(&app.instance, TenantId::PLATFORM).await.unwrap();
    let mut view = app.instance.store().view(TenantId::PLATFORM).await.unwrap();
    let mut event = view.head_told_before(&origin, 1 << 40).await.unwrap().unwrap().event;
    drop(view);
    event.id = EventId::make(app.instance.now(), app.instance.random()).unwrap();
    let mut core: Value = serde_json::from_str(&event.core).unwrap();
    core["event_id"] = json!(event.id);
    change(&mut event, &mut core);
    event.core = String::from_utf8(chancery_crypto::canonical::to_vec(&core).unwrap()).unwrap();
    app.instance.store().append_events(&[event]).await.unwrap();
}

/// Whether a pack of a new certificate says that the platform's log tells of its head.
async fn is_anchored(app: &TestApp, clinic: &Clinic) -> bool {
    let id = crate::proofs::issue(app, clinic).await["id"].clone();
    let made = app.post(&clinic.auditor, "/v1/certificates/packs", json!({"certificates": [id]})).await;
    assert_eq!(made.status, 200, "{}", made.text());
    let trust = app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body;
    let report = verify_pack(&made.body, &trust, None);
    let tells = |detail: &str| detail.ends_with("of the platform's log tells of this head");
    report.checks.iter().any(|check| check.name == "anchor_event" && tells(&check.detail))
}

/// It was not signed any more until an operator accepted a restore that never was.
async fn a_larger_head_that_nobody_signed_stops_no_log_and_hides_none(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    noted(&app, &clinic).await;
    tell_forged(&app, &clinic, |_, core| core["detail"]["size"] = json!(1_000_000)).await;
    append(&app, &clinic).await;
    noted(&app, &clinic).await;
    let newest = sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
    assert_eq!(app.get(&clinic.auditor, "/v1/audit/anchor").await.ok()["size"], newest.size);
    assert_eq!(app.instance.forked_log(), None);
    assert!(is_anchored(&app, &clinic).await);
}

/// After 1,024 of them nobody looked for one, nothing takes them away, and no head of that log was signed any more.
async fn however_many_rows_are_no_heads_the_log_is_signed(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let signed = async || sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
    let before = signed().await;
    let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
    for at in 1..1_400 {
        // As many above the log's end as in the place of its head.
        let size = if at % 2 == 0 { before.size } else { before.size + 1_000 };
        let signed_at = app.instance.now().plus_seconds(at);
        tx.insert_checkpoint(&StoredCheckpoint { size, note: "x".to_owned(), signed_at }).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(signed().await, before, "found by reading on");
    let pins = Arc::new(Remembered::default());
    app.instance.guard().pin_at(pins.clone());
    assert_eq!(signed().await, before);
    assert!(pins.pinned(tenant(&clinic)).await.unwrap().is_some());
    assert_eq!(signed().await, before, "found by its pin");
    append(&app, &clinic).await;
    assert!(signed().await.size > before.size);
    assert_eq!(app.instance.forked_log(), None);
}

/// It was taken if it could be read.
async fn a_head_of_the_platforms_log_that_its_key_did_not_sign_proves_no_anchor(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    noted(&app, &clinic).await;
    let newest = sequence::checkpoint(&app.instance, TenantId::PLATFORM).await.unwrap();
    let mut head = SignedCheckpoint::parse(&newest.note).unwrap().checkpoint().clone();
    head.size += 50;
    let thief = Ed25519SigningKey::from_seed(&[1; 32]).unwrap();
    let note = SignedCheckpoint::sign(&head, &thief, &head.origin).unwrap().text().to_owned();
    let mut tx = app.instance.store().begin(TenantId::PLATFORM).await.unwrap();
    tx.insert_checkpoint(&StoredCheckpoint { size: head.size, note, signed_at: app.instance.now() }).await.unwrap();
    tx.commit().await.unwrap();
    assert!(is_anchored(&app, &clinic).await);
}

/// Its events carry no proof, so the same head is told of once more.
async fn a_head_that_an_earlier_build_told_of_is_told_of_again(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("ours").await, app.clinic("theirs").await);
    noted(&app, &clinic).await;
    let newest = sequence::checkpoint(&app.instance, tenant(&other)).await.unwrap();
    let head = SignedCheckpoint::parse(&newest.note).unwrap().checkpoint().clone();
    let as_before = |event: &mut QueuedEvent, core: &mut Value| {
        event.resource = Some(head.origin.clone());
        core["resource"]["id"] = json!(head.origin);
        core["detail"] = json!({"nonce": "00", "root": data_encoding::HEXLOWER.encode(&head.root), "size": head.size});
    };
    tell_forged(&app, &clinic, as_before).await;
    assert!(guard::note_head(&app.instance, tenant(&other)).await.unwrap());
    assert!(!guard::note_head(&app.instance, tenant(&other)).await.unwrap());
}

/// What is no head, or was signed by whomever, and is filed as the newer one of that size.
async fn a_garbage_row_at_the_size_that_was_told_of_hides_no_anchor(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    noted(&app, &clinic).await;
    let told = app.get(&clinic.auditor, "/v1/audit/anchor").await.ok();
    let size = told["size"].as_u64().unwrap();
    let forged = of_another_day(&app, &clinic, |head| (head.size, head.root) = (size, [7; 32])).await;
    let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
    for (seconds, note) in [(60, forged.note()), (61, "x")] {
        let signed_at = app.instance.now().plus_seconds(seconds);
        tx.insert_checkpoint(&StoredCheckpoint { size, note: note.to_owned(), signed_at }).await.unwrap();
    }
    tx.commit().await.unwrap();
    let again = app.get(&clinic.auditor, "/v1/audit/anchor").await.ok();
    assert_eq!((&again["size"], &again["checkpoint"]), (&told["size"], &told["checkpoint"]));
    assert!(is_anchored(&app, &clinic).await);
}

/// The store was put back to a day before the tenant came: nothing of it is left there, but its pin is.
async fn a_tenant_that_is_gone_is_told_of_until_that_is_accepted(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let pins = Arc::new(Remembered::default());
    app.instance.guard().pin_at(pins.clone());
    app.get(&clinic.auditor, "/v1/audit/checkpoint").await;
    assert_eq!(guard::look_for_logs(&app.instance).await.unwrap(), []);
    let gone = TenantId::from_bytes([9; 16]);
    let pin = of_another_day(&app, &clinic, |head| (head.origin, head.size) = ("x/t/9".to_owned(), 77)).await;
    pins.pin(gone, &pin).await.unwrap();
    let found = guard::Finding { check: guard::IntegrityCheck::LogMissing, at: 77 };
    for _ in 0..2 {
        assert_eq!(guard::look_for_logs(&app.instance).await.unwrap(), [(gone, found)]);
    }
    assert_eq!(app.instance.guard().damaged_log(), Some(gone));
    app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");
    let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = app.post(&app.admin, "/v1/api-keys", auditor).await.created();
    let auditor = crate::app::Caller { bearer: auditor["key"].as_str().unwrap().to_owned() };
    let told = app.events(&auditor, "log.integrity_failed").await;
    assert_eq!(told.len(), 1, "once");
    assert_eq!(told[0]["resource"], gone.to_string());

    let gap = guard::accept_restore(&app.instance, gone, false).await.unwrap().unwrap();
    assert_eq!((gap.pinned.unwrap().size, gap.head.size, gap.name), (77, 0, None));
    assert_eq!(pins.pinned(gone).await.unwrap(), None);
    let told = app.events(&auditor, "log.restore_accepted").await;
    assert_eq!((told.len(), told[0]["resource"].clone()), (1, json!(gone.to_string())));
    assert_eq!(guard::look_for_logs(&app.instance).await.unwrap(), []);
    assert_eq!(app.instance.guard().damaged_log(), None);
}
