//! Whoever runs SQL in the store, as the role that serves or as the owner of the tables: what the tables refuse him, and what is found
//! of what he did.

use chancery_domain::{
    TenantId,
    audit::{
        EventKind, QueuedEvent,
        guard::{self, Finding, IntegrityCheck},
        intent::close_left,
        retention, sequence,
        sinks::{Fed, Health, SendError, Takes},
    },
    backups,
    certificates::{PackVerdict, verify_pack},
    ids::{CertificateId, EventId},
};
use chancery_testkit::Raw;
use serde_json::{Value, json};

use crate::{
    app::{Backend, Clinic, TestApp},
    guard::{noted, tell_forged},
    intents::begun,
    proofs::issue,
    retention::{by_two, months, plan, purge, six_years, two_months},
    sinks::{Fake, drain},
};

macro_rules! stages {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Stage::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $name() {
                if let Some(stage) = super::Stage::postgres().await {
                    super::$name(stage).await;
                }
            })+
        }
    };
}

stages! {
    a_kept_event_is_missed_though_a_purged_one_is_back,
    what_a_purge_has_not_got_to_is_missed,
    a_purge_is_dated_by_the_issue_of_its_certificate_and_nothing_else,
    an_end_whose_row_is_gone_is_told_by_the_log,
    a_changed_row_of_a_certificate_is_found,
    a_revoked_key_stays_revoked_whatever_its_row_says,
    an_event_beside_the_tree_proves_no_certificate,
    a_revocation_beside_the_tree_revokes_nothing,
    a_hold_that_is_gone_from_the_store_holds_by_the_log,
    a_hold_that_nobody_placed_is_told_of_and_can_be_lifted,
    a_hundred_holds_that_nobody_placed_keep_none_out,
    a_retention_that_was_changed_in_the_store_lets_nothing_go,
    a_hold_that_an_earlier_build_placed_is_told_by_its_event,
    a_hold_that_an_earlier_build_lifted_holds_nothing,
    what_an_earlier_build_said_of_retention_counts_where_it_keeps_more,
    a_retention_that_an_earlier_build_said_makes_no_node_unready,
    a_row_that_nobody_can_read_stops_no_other,
    what_an_event_is_found_by_is_just_what_it_names,
    a_row_of_the_queue_that_is_no_event_holds_up_nobody,
    an_event_whose_copy_lies_behind_the_end_is_not_lost,
    a_row_where_the_next_event_is_to_lie_holds_up_nobody,
    a_row_in_a_place_that_no_event_can_say_holds_up_nobody_and_hides_no_finding,
    rows_that_cannot_be_put_aside_now_are_told_of_once,
    rows_behind_an_end_that_was_moved_back_are_not_touched,
    a_log_that_has_less_than_was_told_of_it_is_rolled_back,
    what_carries_no_proof_hides_no_head_that_was_told_of,
    rows_that_stand_for_no_intent_close_nothing_and_hide_none,
    an_intent_that_is_noted_again_has_one_outcome,
    a_changed_row_is_named_and_the_others_are_shown,
    a_personal_part_that_was_taken_away_is_told_of,
    what_was_taken_away_stops_whoever_follows_the_log_there,
    what_was_purged_stops_nobody_who_follows_the_log,
}

/// An installation with a clinic whose September and October are in the log, and a way past its store.
struct Stage {
    app: TestApp,
    clinic: Clinic,
    tenant: TenantId,
    raw: Raw,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chancery.db");
        let (app, clinic, tenant) = opened(Backend::file(&path).await).await;
        Self { app, clinic, tenant, raw: Raw::sqlite(&path).await, _folder: folder }
    }

    async fn postgres() -> Option<Self> {
        let backend = Backend::postgres().await?;
        let url = backend.url().unwrap();
        let (app, clinic, tenant) = opened(backend).await;
        let raw = Raw::postgres(&url, tenant).await;
        Some(Self { app, clinic, tenant, raw, _folder: tempfile::tempdir().unwrap() })
    }

    /// The leaf hash of an event, as its store's SQL writes bytes.
    fn leaf_hash(&self, core: &str) -> String {
        let hash = data_encoding::HEXLOWER.encode(&chancery_crypto::merkle::leaf_hash(core.as_bytes()));
        match self.raw {
            Raw::Sqlite(_) => format!("x'{hash}'"),
            Raw::Postgres(_) => format!("decode('{hash}', 'hex')"),
        }
    }

    async fn found(&self) -> Vec<Finding> {
        guard::inspect(&self.app.instance, self.tenant).await.unwrap()
    }

    /// A certificate that was revoked.
    async fn revoked(&self) -> String {
        let id = issue(&self.app, &self.clinic).await["id"].as_str().unwrap().to_owned();
        self.revoke(&id).await;
        id
    }

    async fn revoke(&self, id: &str) {
        let path = format!("/v1/certificates/{id}/revoke");
        self.app.post(&self.clinic.officer, &path, json!({"reason": "error"})).await.ok();
    }

    async fn verdict(&self, id: &str) -> String {
        let verified = self.app.get(&self.clinic.auditor, &format!("/v1/certificates/{id}/verify")).await.ok();
        verified["verdict"].as_str().unwrap().to_owned()
    }

    /// Orders both months to go, and waits until they are gone.
    async fn purge(&self) {
        six_years(&self.app);
        purge(&self.app, &self.clinic).await.ok();
        assert_eq!(self.found().await, []);
        backups::prove(&self.app.instance, self.tenant).await.unwrap();
    }
}

async fn opened(backend: Backend) -> (TestApp, Clinic, TenantId) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant = clinic.id.parse().unwrap();
    (app, clinic, tenant)
}

const FORGED: &str = "INSERT INTO audit_purges (tenant_id, first_idx, end_idx, month, events, next_idx, certificate_id, event_id, begun_at)
    SELECT e.tenant_id, e.idx, e.idx + 1, p.month, 1, e.idx + 1, p.certificate_id, p.event_id, p.begun_at
    FROM audit_events AS e JOIN audit_purges AS p ON p.tenant_id = e.tenant_id AND p.first_idx = 0";

async fn a_kept_event_is_missed_though_a_purged_one_is_back(mut stage: Stage) {
    let revoked = stage.revoked().await;
    two_months(&stage.app, &stage.clinic).await;
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    let aside =
        format!("CREATE TABLE aside AS SELECT * FROM audit_events WHERE {ours} AND kind = 'app.visit.september'");
    stage.raw.run(&aside).await.unwrap();
    stage.purge().await;

    // An order that nobody gave, over one event that is kept: the tables refuse it.
    let order = format!("{FORGED} WHERE e.{ours} AND e.kind = 'certificate.revoked'");
    assert_eq!(stage.raw.run(&order).await.unwrap(), 1);
    let take = format!("DELETE FROM audit_events WHERE {ours} AND kind = 'certificate.revoked'");
    let refused = stage.raw.run(&take).await.unwrap_err();
    assert!(refused.to_string().contains("only grows"), "{refused}");
    assert_eq!(stage.found().await, []);

    // Their owner does it all the same, and evens the number out with what was purged before.
    stage.raw.tear_down("audit_events").await;
    let missing = [Finding { check: IntegrityCheck::EntryMissing, at: 0 }];
    assert_eq!(stage.raw.run("INSERT INTO audit_events SELECT * FROM aside").await.unwrap(), 1);
    assert_eq!(stage.found().await, missing, "what was purged is back");
    assert_eq!(stage.raw.run(&take).await.unwrap(), 1);
    stage.raw.run("UPDATE audit_purges SET ended_at = 5 WHERE ended_at IS NULL").await.unwrap();
    assert_eq!(stage.found().await, missing);
    assert!(backups::prove(&stage.app.instance, stage.tenant).await.is_err());
    stage.raw.run(&format!("DELETE FROM audit_events WHERE {ours} AND kind = 'app.visit.september'")).await.unwrap();
    assert_eq!(stage.found().await, missing, "what is kept is gone");
    assert!(backups::prove(&stage.app.instance, stage.tenant).await.is_err());
    assert_eq!(stage.verdict(&revoked).await, "revoked");
}

/// Whether events are missing, and personal parts of those that are kept, and nothing else is found.
fn is_uncovered(found: &[Finding]) -> bool {
    let checks = [IntegrityCheck::EntryMissing, IntegrityCheck::PersonalMissing];
    found.iter().any(|one| one.check == checks[0]) && found.iter().all(|one| checks.contains(&one.check))
}

async fn what_a_purge_has_not_got_to_is_missed(mut stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    stage.purge().await;
    // As if it had only been ordered, and somebody else had taken what it is of.
    stage.raw.tear_down("audit_purges").await;
    let reopened = "UPDATE audit_purges SET next_idx = first_idx, ended_at = NULL WHERE first_idx = 0";
    assert_eq!(stage.raw.run(reopened).await.unwrap(), 1);
    let found = stage.found().await;
    assert!(is_uncovered(&found), "{found:?}");
    assert!(backups::prove(&stage.app.instance, stage.tenant).await.is_err());
}

/// Otherwise a stolen key that is out of use would sign for a purge of today, with a row that says it was certified back then.
async fn a_purge_is_dated_by_the_issue_of_its_certificate_and_nothing_else(mut stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    stage.purge().await;
    stage.raw.tear_down("certificates").await;
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    let dated = format!(
        "UPDATE certificates SET event_id = (SELECT event_id FROM audit_events
            WHERE {ours} AND kind = 'audit.purge_ordered' ORDER BY idx LIMIT 1)
         WHERE {ours} AND id = (SELECT certificate_id FROM audit_purges WHERE {ours} AND first_idx = 0)"
    );
    assert_eq!(stage.raw.run(&dated).await.unwrap(), 1);
    let (rows, found): (Vec<_>, Vec<_>) =
        stage.found().await.into_iter().partition(|one| one.check == IntegrityCheck::CertificateRow);
    assert_eq!(rows.len(), 1, "it names another event than that of its issue");
    assert!(is_uncovered(&found), "{found:?}");
    assert!(backups::prove(&stage.app.instance, stage.tenant).await.is_err());
}

/// Lists are made of its columns, and what was signed lies in one of them.
async fn a_changed_row_of_a_certificate_is_found(mut stage: Stage) {
    let id = issue(&stage.app, &stage.clinic).await["id"].as_str().unwrap().to_owned();
    let at = stage.app.events(&stage.clinic.auditor, "certificate.issued").await[0]["index"].as_u64().unwrap();
    assert_eq!(stage.found().await, []);
    stage.raw.tear_down("certificates").await;
    let row = format!("tenant_id = '{}' AND id = '{id}'", stage.clinic.id);
    let (read, hex) = match stage.raw {
        Raw::Sqlite(_) => ("hex(envelope)", ("x'", "'")),
        Raw::Postgres(_) => ("encode(envelope, 'hex')", ("decode('", "', 'hex')")),
    };
    let envelope = stage.raw.texts(&format!("SELECT {read} FROM certificates WHERE {row}")).await.remove(0).unwrap();
    let envelope = data_encoding::HEXLOWER_PERMISSIVE.decode(envelope.as_bytes()).unwrap();
    stage.raw.run(&format!("CREATE TABLE aside AS SELECT * FROM certificates WHERE {row}")).await.unwrap();
    let mut changes: Vec<(&str, String)> = [
        ("kind", "'app.another-report'"),
        ("issued_at", "issued_at + 1"),
        ("key_id", "'another'"),
        ("event_id", "'evt_01J9Z3K0Q5V8WXYZ0123456789'"),
    ]
    .map(|(column, value)| (column, value.to_owned()))
    .into();
    for byte in (0..envelope.len()).step_by(13) {
        let mut changed = envelope.clone();
        changed[byte] ^= 1 << (byte % 8);
        changes.push(("envelope", format!("{}{}{}", hex.0, data_encoding::HEXLOWER.encode(&changed), hex.1)));
    }
    assert!(changes.len() > 50, "{}", changes.len());
    for (column, value) in changes {
        let changed = format!("UPDATE certificates SET {column} = {value} WHERE {row}");
        assert_eq!(stage.raw.run(&changed).await.unwrap(), 1, "{changed}");
        assert_eq!(stage.found().await, [Finding { check: IntegrityCheck::CertificateRow, at }], "{changed}");
        // Who verifies it reads what was signed, whatever a list would say.
        let believed = stage.verdict(&id).await == "valid";
        assert_eq!(believed, ["kind", "issued_at"].contains(&column), "{changed}");
        let back = format!("UPDATE certificates SET {column} = (SELECT a.{column} FROM aside AS a) WHERE {row}");
        assert_eq!(stage.raw.run(&back).await.unwrap(), 1);
    }
    assert_eq!((stage.found().await, stage.verdict(&id).await.as_str()), (vec![], "valid"));
}

async fn an_end_whose_row_is_gone_is_told_by_the_log(mut stage: Stage) {
    let id = stage.revoked().await;
    assert_eq!(stage.verdict(&id).await, "revoked");
    stage.raw.tear_down("certificate_ends").await;
    assert_eq!(stage.raw.run("DELETE FROM certificate_ends").await.unwrap(), 1);

    assert_eq!(stage.verdict(&id).await, "revoked");
    let (app, clinic) = (&stage.app, &stage.clinic);
    let listed = app.get(&clinic.auditor, "/v1/certificates").await.ok();
    let one = listed["items"].as_array().unwrap().iter().find(|one| one["id"] == json!(id)).unwrap();
    assert!(one.to_string().contains("revoked"), "{one}");
    let pack = app.post(&clinic.auditor, "/v1/certificates/packs", json!({"certificates": [id]})).await;
    assert_eq!(pack.status, 200, "{}", pack.text());
    let trust = app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body;
    let report = verify_pack(&pack.body, &trust, None);
    assert_eq!((report.verdict, report.certificates), (PackVerdict::Failed, Vec::new()), "{:?}", report.checks);
    let found = stage.found().await;
    assert!(matches!(found[..], [Finding { check: IntegrityCheck::CertificateEnd, .. }]), "{found:?}");
    // Who revokes it again mends that.
    stage.revoke(&id).await;
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    assert_eq!(stage.found().await, []);
}

impl Stage {
    /// Two certificates of one key and where they were logged; the key was revoked, and what was logged up to the first is spared.
    async fn half_spared(&self) -> ([String; 2], [u64; 2]) {
        let (app, clinic) = (&self.app, &self.clinic);
        let ids = [issue(app, clinic).await, issue(app, clinic).await];
        let ids = ids.map(|certificate| certificate["id"].as_str().unwrap().to_owned());
        let logged = app.events(&clinic.auditor, "certificate.issued").await;
        let places = [0, 1].map(|number: usize| {
            let event = logged.iter().find(|event| event["resource"] == ids[number].as_str()).unwrap();
            event["index"].as_u64().unwrap()
        });
        let key = app.get(&clinic.officer, "/v1/keys?managed=certificate").await.ok()["items"][0]["id"].clone();
        let revoke = format!("/v1/keys/{}/revoke", key.as_str().unwrap());
        let body = json!({"reason": "key_compromise", "last_valid_index": places[0]});
        app.post(&clinic.officer, &revoke, body).await.ok();
        (ids, places)
    }
}

async fn a_revoked_key_stays_revoked_whatever_its_row_says(mut stage: Stage) {
    let (ids, _) = stage.half_spared().await;
    let trust = stage.app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body;
    let seen = async |stage: &Stage| {
        let mut seen = Vec::new();
        for id in &ids {
            let pack =
                stage.app.post(&stage.clinic.auditor, "/v1/certificates/packs", json!({"certificates": [id]})).await;
            let report = verify_pack(&pack.body, &trust, None);
            seen.push((stage.verdict(id).await, report.verdict, report.certificates));
        }
        seen
    };
    let honest = seen(&stage).await;
    assert_eq!(honest[0], ("valid".to_owned(), PackVerdict::Verified, vec![ids[0].clone()]));
    assert_eq!(honest[1].0, "untrusted");
    assert_ne!(honest[1].1, PackVerdict::Verified);
    assert_eq!(stage.found().await, []);
    let told = stage.app.events(&stage.clinic.auditor, "key.revoked").await;
    let odd = [Finding { check: IntegrityCheck::KeyRow, at: told[0]["index"].as_u64().unwrap() }];
    for said in
        ["last_valid_index = 9000000000000", "state = 'inactive', revoked_reason = NULL, last_valid_index = NULL"]
    {
        let of_it = format!("key_id = (SELECT key_id FROM certificates WHERE id = '{}')", ids[0]);
        assert_eq!(stage.raw.run(&format!("UPDATE key_versions SET {said} WHERE {of_it}")).await.unwrap(), 1);
        assert_eq!(seen(&stage).await, honest, "{said}");
        assert_eq!(stage.found().await, odd, "{said}");
    }
}

/// As who stole the key before it was revoked has one: it was said to lie where the key was still good.
async fn an_event_beside_the_tree_proves_no_certificate(mut stage: Stage) {
    let (ids, [first, second]) = stage.half_spared().await;
    assert_eq!(stage.verdict(&ids[1]).await, "untrusted");
    stage.raw.tear_down("audit_events").await;
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    assert_eq!(stage.raw.run(&format!("DELETE FROM audit_events WHERE {ours} AND idx = {first}")).await.unwrap(), 1);
    let moved = format!("UPDATE audit_events SET idx = {first} WHERE {ours} AND idx = {second}");
    assert_eq!(stage.raw.run(&moved).await.unwrap(), 1);
    assert_eq!(stage.verdict(&ids[1]).await, "invalid");
}

async fn a_revocation_beside_the_tree_revokes_nothing(mut stage: Stage) {
    let certificate = issue(&stage.app, &stage.clinic).await;
    let (id, key) = (certificate["id"].as_str().unwrap(), certificate["key_id"].as_str().unwrap());
    let activated = stage.app.events(&stage.clinic.auditor, "key.activated").await;
    let event = activated.iter().find(|event| event["core"].as_str().unwrap().contains(key)).unwrap();
    let (old, new) = (event["id"].as_str().unwrap(), EventId::from_bytes([9; 16]).to_string());
    let core = event["core"].as_str().unwrap().replace("key.activated", "key.revoked").replace(old, &new);
    let hash = stage.leaf_hash(&core);
    let forge = format!(
        "INSERT INTO audit_events
            (tenant_id, idx, event_id, recorded_at, kind, actor, resource, outcome, request_id, core, leaf_hash)
         SELECT tenant_id, 1000000, '{new}', recorded_at, 'key.revoked', actor, resource, outcome, request_id, '{core}', {hash}
         FROM audit_events WHERE tenant_id = '{}' AND event_id = '{old}'",
        stage.clinic.id
    );
    assert_eq!(stage.raw.run(&forge).await.unwrap(), 1);
    assert!(!stage.found().await.is_empty(), "it is told of");
    assert_eq!(stage.verdict(id).await, "valid");
}

const RETENTION: &str = "/v1/audit/retention";

impl Stage {
    /// Puts a copy of the newest event of a kind into the queue, under another id, as a database would rewrite it.
    async fn forge(&mut self, kind: &str, id: u8, rewritten: &[(&str, &str)], becomes: &str) {
        let event = self.app.events(&self.clinic.auditor, kind).await.pop().unwrap();
        let (old, new) = (event["id"].as_str().unwrap(), EventId::from_bytes([id; 16]).to_string());
        let all = [(old, new.as_str()), (kind, becomes)].into_iter().chain(rewritten.iter().copied());
        let core = all.fold("core".to_owned(), |core, (from, to)| format!("replace({core}, '{from}', '{to}')"));
        let sql = format!(
            "INSERT INTO audit_queue
                (tenant_id, event_id, recorded_at, kind, actor, resource, outcome, request_id, core, sealed)
             SELECT e.tenant_id, '{new}', recorded_at, '{becomes}', actor, resource, outcome, request_id, {core}, s.sealed
             FROM audit_events AS e LEFT JOIN audit_sealed AS s ON s.tenant_id = e.tenant_id AND s.event_id = e.event_id
             WHERE e.tenant_id = '{}' AND e.event_id = '{old}'",
            self.clinic.id
        );
        assert_eq!(self.raw.run(&sql).await.unwrap(), 1);
        sequence::sequence(&self.app.instance, self.tenant).await.unwrap();
        assert!(self.app.events(&self.clinic.auditor, becomes).await.iter().any(|event| event["id"] == new.as_str()));
    }

    /// What is found, but for the personal part that a forged event lacks.
    async fn found_of_rows(&self) -> Vec<Finding> {
        let mut found = self.found().await;
        found.retain(|finding| finding.check != IntegrityCheck::PersonalMissing);
        found
    }

    async fn disputed(&self) -> Value {
        self.app.get(&self.clinic.auditor, RETENTION).await.ok()["disputed"].clone()
    }
}

/// A row was taken away, and what it held went by our own hand, with a certificate.
async fn a_hold_that_is_gone_from_the_store_holds_by_the_log(mut stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    let hold = "/v1/audit/legal-holds/suit";
    let placed = stage.app.put(&stage.clinic.officer, hold, json!({"reason": "Smith v. clinic"})).await.created();
    six_years(&stage.app);
    let held = months(&[("2026-09", "held"), ("2026-10", "held")]);
    assert_eq!(plan(&stage.app, &stage.clinic).await, held);
    assert_eq!(stage.disputed().await, json!(null));
    let at = stage.app.events(&stage.clinic.auditor, "audit.hold_placed").await[0]["index"].as_u64().unwrap();
    let missed = [Finding { check: IntegrityCheck::HoldRow, at }];

    // Made to hold less, then taken away, then lifted by an event that we did not make.
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    assert_eq!(stage.raw.run(&format!("UPDATE audit_holds SET to_at = 1 WHERE {ours}")).await.unwrap(), 1);
    assert_eq!((plan(&stage.app, &stage.clinic).await, stage.found_of_rows().await), (held.clone(), missed.to_vec()));
    assert_eq!(stage.raw.run(&format!("DELETE FROM audit_holds WHERE {ours}")).await.unwrap(), 1);
    // The proof that it was placed stays in it: that is none that it was lifted.
    let lifted = format!("\"hold\":[\"suit\"],\"placed\":{}", placed["event_id"]);
    stage.forge("audit.hold_placed", 1, &[("\"hold\":[\"suit\"]", &lifted)], "audit.hold_lifted").await;
    assert_eq!((plan(&stage.app, &stage.clinic).await, stage.found_of_rows().await), (held, missed.to_vec()));
    assert_eq!(stage.disputed().await, json!(["hold_row"]));
    assert_eq!(retention::tend(&stage.app.instance, stage.tenant).await.unwrap().disputed, 1);
    let officer = &stage.clinic.officer;
    stage.app.post(officer, "/v1/audit/purge", json!({"reason": "x"})).await.refused(409, "state.conflict");
    stage.app.put(officer, hold, json!({"reason": "again"})).await.refused(409, "state.conflict");

    // Two people lift it all the same.
    by_two(&stage.app, &stage.clinic, "POST", &format!("{hold}/lift"), &json!({"reason": "settled"})).await.ok();
    assert_eq!(plan(&stage.app, &stage.clinic).await, months(&[("2026-09", "due"), ("2026-10", "due")]));
    assert_eq!((stage.found_of_rows().await, stage.disputed().await), (Vec::new(), json!(null)));
}

async fn a_hold_that_nobody_placed_is_told_of_and_can_be_lifted(mut stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    six_years(&stage.app);
    let forged = format!(
        "INSERT INTO audit_holds (tenant_id, name, placed_by, placed_at, event_id) VALUES ('{}', 'none', 'system', 1, '{}')",
        stage.clinic.id,
        EventId::from_bytes([1; 16])
    );
    assert_eq!(stage.raw.run(&forged).await.unwrap(), 1);
    assert_eq!(plan(&stage.app, &stage.clinic).await, months(&[("2026-09", "held"), ("2026-10", "held")]));
    assert_eq!(stage.found().await, [Finding { check: IntegrityCheck::HoldRow, at: 0 }]);
    let lift = "/v1/audit/legal-holds/none/lift";
    by_two(&stage.app, &stage.clinic, "POST", lift, &json!({"reason": "nobody placed it"})).await.ok();
    assert_eq!(plan(&stage.app, &stage.clinic).await, months(&[("2026-09", "due"), ("2026-10", "due")]));
    assert_eq!(stage.found().await, []);
}

/// The court waited, and months went by themselves, until two people had lifted each of them.
async fn a_hundred_holds_that_nobody_placed_keep_none_out(mut stage: Stage) {
    let place = async |stage: &Stage, name: &str| {
        let path = format!("/v1/audit/legal-holds/{name}");
        stage.app.put(&stage.clinic.officer, &path, json!({"reason": "x"})).await
    };
    let placed = place(&stage, "suit").await.created();
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    let id = placed["event_id"].as_str().unwrap().parse().unwrap();
    let store = stage.app.instance.store();
    let event = store.view(stage.tenant).await.unwrap().logged_event(id).await.unwrap().unwrap().event;
    let (mut events, mut rows) = (Vec::new(), Vec::new());
    for n in 1..=100 {
        let (mut forged, mut id) = (event.clone(), [1; 16]);
        id[15] = n;
        let id = EventId::from_bytes(id);
        let mut core: serde_json::Value = serde_json::from_str(&event.core).unwrap();
        (core["event_id"], core["detail"]["hold"]) = (json!(id), json!([format!("none-{n}")]));
        (forged.id, forged.sealed) = (id, None);
        forged.core = String::from_utf8(chancery_crypto::canonical::to_vec(&core).unwrap()).unwrap();
        events.push(forged);
        rows.push(format!("('{}', 'none-{n}', 'system', 1, '{id}')", stage.clinic.id));
    }
    store.append_events(&events).await.unwrap();
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    let rows =
        format!("INSERT INTO audit_holds (tenant_id, name, placed_by, placed_at, event_id) VALUES {}", rows.join(", "));
    assert_eq!(stage.raw.run(&rows).await.unwrap(), 100);
    for n in 1..100 {
        place(&stage, &format!("court-{n}")).await.created();
    }
    // Of our own there are a hundred now.
    place(&stage, "court-100").await.refused(422, "request.invalid");
}

async fn a_retention_that_was_changed_in_the_store_lets_nothing_go(mut stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    stage.app.put(&stage.clinic.officer, RETENTION, json!({"months": 120})).await.ok();
    six_years(&stage.app);
    let less =
        format!("UPDATE audit_retention SET months = 72, automatic = (1 = 1) WHERE tenant_id = '{}'", stage.clinic.id);
    assert_eq!(stage.raw.run(&less).await.unwrap(), 1);
    let rewritten = [("\"months\":120", "\"months\":72"), ("\"automatic\":\"no\"", "\"automatic\":\"yes\"")];
    let at = stage.app.events(&stage.clinic.auditor, "audit.retention_changed").await[0]["index"].as_u64().unwrap();
    stage.forge("audit.retention_changed", 1, &rewritten, "audit.retention_changed").await;
    assert_eq!(plan(&stage.app, &stage.clinic).await, months(&[]));
    let tended = retention::tend(&stage.app.instance, stage.tenant).await.unwrap();
    assert_eq!((tended.ordered, tended.waits, tended.disputed), (0, false, 1), "nothing goes by itself");
    assert_eq!(stage.found_of_rows().await, [Finding { check: IntegrityCheck::RetentionRow, at }]);
    assert_eq!(stage.disputed().await, json!(["retention_row"]));
    // Said again, it is so; and to keep less takes two as before.
    let stands = stage.app.put(&stage.clinic.officer, RETENTION, json!({"months": 120})).await.ok();
    assert_eq!((&stands["months"], &stands["disputed"]), (&json!(120), &json!(null)));
    assert_eq!(stage.found_of_rows().await, []);
    let asked = stage.app.put(&stage.clinic.officer, RETENTION, json!({"months": 72})).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
}

impl Stage {
    /// Has the log tell something as an earlier build did: of no log, and without a proof. Gives the event's id and its place. A hold
    /// must have been placed, whose event is changed.
    async fn earlier(&self, id: u8, kind: &str, detail: Value) -> (EventId, u64) {
        let (store, new) = (self.app.instance.store(), EventId::from_bytes([id; 16]));
        let placed = self.app.events(&self.clinic.auditor, "audit.hold_placed").await.remove(0);
        let id = placed["id"].as_str().unwrap().parse().unwrap();
        let mut event = store.view(self.tenant).await.unwrap().logged_event(id).await.unwrap().unwrap().event;
        let mut core: Value = serde_json::from_str(&event.core).unwrap();
        core.as_object_mut().unwrap().remove("resource");
        (core["event_id"], core["type"], core["detail"]) = (json!(new), json!(kind), detail);
        (event.id, event.kind, event.resource, event.sealed) = (new, kind.to_owned(), None, None);
        event.core = String::from_utf8(chancery_crypto::canonical::to_vec(&core).unwrap()).unwrap();
        store.append_events(&[event]).await.unwrap();
        sequence::sequence(&self.app.instance, self.tenant).await.unwrap();
        let logged = store.view(self.tenant).await.unwrap().logged_event(new).await.unwrap().unwrap();
        (new, logged.index)
    }

    /// The names of the holds that count.
    async fn holds(&self) -> Vec<String> {
        let stands = self.app.get(&self.clinic.officer, RETENTION).await.ok();
        let names = stands["holds"].as_array().unwrap().iter().map(|hold| hold["name"].as_str().unwrap().to_owned());
        names.collect()
    }
}

/// Builds before proofs filed the event under no log, so every hold of theirs counted as a row that nobody placed; and nobody saw that
/// such a row was gone.
async fn a_hold_that_an_earlier_build_placed_is_told_by_its_event(mut stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    let suit = "/v1/audit/legal-holds/suit";
    stage.app.put(&stage.clinic.officer, suit, json!({"reason": "x"})).await.created();
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    let (new, at) = stage.earlier(1, "audit.hold_placed", json!({"hold": ["older"]})).await;
    let row = format!(
        "INSERT INTO audit_holds (tenant_id, name, placed_by, placed_at, event_id) VALUES ('{}', 'older', 'system', 1, '{new}')",
        stage.clinic.id
    );
    assert_eq!(stage.raw.run(&row).await.unwrap(), 1);
    assert_eq!((stage.found_of_rows().await, stage.disputed().await), (Vec::new(), json!(null)));

    // Its row may not say something else, nor be gone.
    let bounds = |to| format!("UPDATE audit_holds SET to_at = {to} WHERE name = 'older'");
    let odd = |at| [Finding { check: IntegrityCheck::HoldRow, at }];
    assert_eq!(stage.raw.run(&bounds("1")).await.unwrap(), 1);
    assert_eq!(stage.found_of_rows().await, odd(at));
    assert_eq!(stage.raw.run("DELETE FROM audit_holds WHERE name = 'older'").await.unwrap(), 1);
    assert_eq!((stage.found_of_rows().await, stage.holds().await), (odd(at).to_vec(), names(&["older", "suit"])));
    // Nor come back once it was lifted.
    let lift = "/v1/audit/legal-holds/older/lift";
    by_two(&stage.app, &stage.clinic, "POST", lift, &json!({"reason": "settled"})).await.ok();
    assert_eq!((stage.found_of_rows().await, stage.holds().await), (Vec::new(), names(&["suit"])));
    // What is queued says nothing yet.
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    assert_eq!(stage.raw.run(&row).await.unwrap(), 1);
    assert_eq!(stage.found_of_rows().await, odd(0));
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Lifting carried no proof then; what says so once there are proofs lifts nothing.
async fn a_hold_that_an_earlier_build_lifted_holds_nothing(stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    let (app, officer) = (&stage.app, &stage.clinic.officer);
    app.put(officer, "/v1/audit/legal-holds/suit", json!({"reason": "x"})).await.created();
    sequence::sequence(&app.instance, stage.tenant).await.unwrap();
    let (lifted, _) = stage.earlier(1, "audit.hold_placed", json!({"hold": ["one"]})).await;
    let (stands, _) = stage.earlier(2, "audit.hold_placed", json!({"hold": ["other"]})).await;
    stage.earlier(3, "audit.hold_lifted", json!({"hold": ["one"], "placed": lifted})).await;
    assert_eq!(stage.holds().await, names(&["other", "suit"]));
    app.put(officer, RETENTION, json!({"months": 84})).await.ok();
    stage.earlier(4, "audit.hold_lifted", json!({"hold": ["other"], "placed": stands})).await;
    stage.earlier(5, "audit.hold_placed", json!({"hold": ["late"]})).await;
    assert_eq!(stage.holds().await, names(&["other", "suit"]));
}

/// One statement had a log kept for less, and one officer who followed the warning signed that.
async fn what_an_earlier_build_said_of_retention_counts_where_it_keeps_more(mut stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    stage.app.put(&stage.clinic.officer, "/v1/audit/legal-holds/suit", json!({"reason": "x"})).await.created();
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    let said = |months: u32| json!({"archive_first": "no", "automatic": "yes", "months": months, "months_before": 72});
    let (_, at) = stage.earlier(1, "audit.retention_changed", said(120)).await;
    let row = format!(
        "INSERT INTO audit_retention (tenant_id, months, automatic, changed_at, archive_first)
         VALUES ('{}', 120, (1 = 1), 1, (1 = 0))",
        stage.clinic.id
    );
    assert_eq!(stage.raw.run(&row).await.unwrap(), 1);
    let stands = async |stage: &Stage| {
        let stands = stage.app.get(&stage.clinic.officer, RETENTION).await.ok();
        (
            stands["months"].clone(),
            stands["automatic"].clone(),
            stands["unconfirmed"].clone(),
            stands["disputed"].clone(),
        )
    };
    let by_log = (json!(120), json!(false), json!(true), json!(null));
    assert_eq!(stands(&stage).await, by_log, "nothing goes by itself by what carries no proof");
    assert_eq!(stage.found_of_rows().await, []);

    let less = format!("UPDATE audit_retention SET months = 72 WHERE tenant_id = '{}'", stage.clinic.id);
    assert_eq!(stage.raw.run(&less).await.unwrap(), 1);
    assert_eq!(stage.found_of_rows().await, [Finding { check: IntegrityCheck::RetentionRow, at }]);
    assert_eq!(stands(&stage).await, (json!(120), json!(false), json!(null), json!(["retention_row"])));
    // An event that agrees, which anybody could have queued, lets nothing go.
    stage.earlier(2, "audit.retention_changed", said(72)).await;
    assert_eq!(stands(&stage).await, by_log);
    let asked = stage.app.put(&stage.clinic.officer, RETENTION, json!({"months": 72})).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let confirmed = json!({"months": 120, "automatic": false, "archive_first": false});
    stage.app.put(&stage.clinic.officer, RETENTION, confirmed).await.ok();
    assert_eq!(stands(&stage).await, (json!(120), json!(false), json!(null), json!(null)));
    assert_eq!(stage.found_of_rows().await, []);
}

/// Every node was unready after its first whole look, until officers said it again.
async fn a_retention_that_an_earlier_build_said_makes_no_node_unready(mut stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    let said = |months: u32, automatic: &str| {
        format!(
            "INSERT INTO audit_retention (tenant_id, months, automatic, changed_at, archive_first)
             VALUES ('{}', {months}, ({automatic}), 1, (1 = 0))
             ON CONFLICT (tenant_id) DO UPDATE SET months = excluded.months, automatic = excluded.automatic",
            stage.clinic.id
        )
    };
    let (longer, by_itself) = (said(84, "1 = 0"), said(84, "1 = 1"));
    assert_eq!(stage.raw.run(&longer).await.unwrap(), 1);
    let (app, officer) = (&stage.app, &stage.clinic.officer);
    // Of this month there is room.
    app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    sequence::sequence(&app.instance, stage.tenant).await.unwrap();
    let step = guard::step(&app.instance, stage.tenant, 1_000_000).await.unwrap();
    assert!(step.ended && step.found.is_empty(), "{step:?}");
    let ready = app.anonymous("GET", "/readyz", None).await.ok();
    assert_eq!(ready, json!({"status": "ok", "warnings": ["retention.unconfirmed"]}));
    let stands = app.get(officer, RETENTION).await.ok();
    assert_eq!((&stands["months"], &stands["unconfirmed"]), (&json!(84), &json!(true)), "it counts");
    assert_eq!(stands.get("disputed"), None);

    // What keeps less than the log says is none of that.
    assert_eq!(stage.raw.run(&by_itself).await.unwrap(), 1);
    assert_eq!(stage.found().await, [Finding { check: IntegrityCheck::RetentionRow, at: 0 }]);
    let stands = app.get(officer, RETENTION).await.ok();
    assert_eq!((&stands["automatic"], &stands["disputed"]), (&json!(false), &json!(["retention_row"])));

    // One officer says again what counts.
    let confirmed = json!({"months": 84, "automatic": false, "archive_first": false});
    let stands = app.put(officer, RETENTION, confirmed).await.ok();
    assert!(stands.get("unconfirmed").is_none() && stands.get("disputed").is_none(), "{stands}");
    assert_eq!(app.anonymous("GET", "/readyz", None).await.ok(), json!({"status": "ok"}));
    // From then on a row that says something else contradicts it, also if it keeps more.
    assert_eq!(stage.raw.run(&said(120, "1 = 0")).await.unwrap(), 1);
    let found = stage.found().await;
    assert!(matches!(found[..], [Finding { check: IntegrityCheck::RetentionRow, at: 1.. }]), "{found:?}");
}

/// It made damage of every purge, ended archiving, and could not be taken away.
async fn a_row_that_nobody_can_read_stops_no_other(mut stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    stage.purge().await;
    let (id, digest) = (
        &stage.clinic.id,
        match stage.raw {
            Raw::Sqlite(_) => "zeroblob(31)",
            Raw::Postgres(_) => "decode(repeat('00', 31), 'hex')",
        },
    );
    let (certificate, event) = (CertificateId::from_bytes([1; 16]), EventId::from_bytes([1; 16]));
    let purge = format!(
        "INSERT INTO audit_purges (tenant_id, first_idx, end_idx, month, events, next_idx, certificate_id, event_id, begun_at)
         VALUES ('{id}', 9000, 9001, 'x', 1, 9001, '{certificate}', '{event}', 1)"
    );
    let archive = format!(
        "INSERT INTO audit_archives (tenant_id, place, first_idx, end_idx, month, digest, bytes, event_id, written_at)
         VALUES ('{id}', 'shelf', 0, 9, '2026-09', {digest}, 1, '{event}', 1)"
    );
    let certificate = format!(
        "INSERT INTO certificates (tenant_id, id, key_id, kind, issued_at, envelope, event_id)
         SELECT tenant_id, 'x', key_id, kind, issued_at, envelope, event_id FROM certificates WHERE tenant_id = '{id}'"
    );
    for forged in [&purge, &archive, &certificate] {
        let refused = stage.raw.run(forged).await;
        assert!(refused.is_err(), "{forged}");
    }
    // What decayed there, no wall keeps out.
    for (table, forged) in [("audit_purges", &purge), ("audit_archives", &archive)] {
        let wall = match stage.raw {
            Raw::Sqlite(_) => format!("DROP TRIGGER {table}_form"),
            Raw::Postgres(_) => format!("ALTER TABLE {table} DROP CONSTRAINT {table}_form"),
        };
        stage.raw.run(&wall).await.unwrap();
        assert_eq!(stage.raw.run(forged).await.unwrap(), 1, "{forged}");
    }
    assert_eq!(stage.found().await, []);
    backups::prove(&stage.app.instance, stage.tenant).await.unwrap();
    assert_eq!(retention::tend(&stage.app.instance, stage.tenant).await.unwrap().disputed, 2, "they are told of");
    let stands = stage.app.get(&stage.clinic.auditor, RETENTION).await.ok();
    assert_eq!(stands["purges"].as_array().unwrap().len(), 2, "{stands}");
    let archives = stage.app.get(&stage.clinic.auditor, "/v1/audit/archives").await.ok();
    assert_eq!(archives["items"], json!([]));
}

/// Without its row an event is in no accounting of the person that it names, and with one it is in that of another.
async fn what_an_event_is_found_by_is_just_what_it_names(mut stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    assert_eq!(stage.found().await, []);
    let visit = stage.app.events(&stage.clinic.auditor, "app.visit.september").await.remove(0);
    let at = visit["index"].as_u64().unwrap();
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    let gone = format!("DELETE FROM audit_references WHERE {ours} AND idx = {at}");
    assert!(stage.raw.run(&gone).await.is_err(), "the table refuses it");
    stage.raw.tear_down("audit_references").await;
    assert!(stage.raw.run(&gone).await.unwrap() > 0);
    let found = |at| Finding { check: IntegrityCheck::EntryReferences, at };
    assert_eq!(stage.found().await, [found(at)]);
    let other =
        format!("INSERT INTO audit_references (tenant_id, reference, idx) VALUES ('{}', 'aa', 0)", stage.clinic.id);
    assert_eq!(stage.raw.run(&other).await.unwrap(), 1);
    assert_eq!(stage.found().await, [found(0), found(at)]);
}

/// The copy was taken for the event, which left the queue and came into no log.
async fn an_event_whose_copy_lies_behind_the_end_is_not_lost(mut stage: Stage) {
    // What is logged of this month has a place to lie in.
    stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.before"})).await.created();
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    let ours = format!("tenant_id = '{}' AND kind = 'app.visit'", stage.clinic.id);
    let core = stage.raw.texts(&format!("SELECT core FROM audit_queue WHERE {ours}")).await.pop().flatten().unwrap();
    let hash = stage.leaf_hash(&core);
    let copy = format!(
        "INSERT INTO audit_events
            (tenant_id, idx, event_id, recorded_at, kind, actor, resource, outcome, request_id, core, leaf_hash)
         SELECT tenant_id, 1000000, event_id, recorded_at, kind, actor, resource, outcome, request_id, core, {hash}
         FROM audit_queue WHERE {ours}"
    );
    assert_eq!(stage.raw.run(&copy).await.unwrap(), 1);
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    let told = stage.app.events(&stage.clinic.auditor, "log.event_quarantined").await;
    assert_eq!(told.len(), 1);
    assert!(told[0]["core"].as_str().unwrap().contains("behind_end"), "{}", told[0]);
    assert_eq!(stage.app.events(&stage.clinic.auditor, "app.visit").await.len(), 1, "the event itself is in the log");
    let kept = format!("SELECT told_by FROM audit_quarantine WHERE tenant_id = '{}'", stage.clinic.id);
    assert_eq!(stage.raw.texts(&kept).await, [Some(told[0]["id"].as_str().unwrap().to_owned())]);
}

impl Stage {
    /// Puts a copy of an event of the log so far behind its end.
    async fn forge_behind_end(&mut self, far: u64) {
        let size = self.app.instance.store().view(self.tenant).await.unwrap().log_head().await.unwrap().size;
        self.forge_at(size + far, u8::try_from(far).unwrap() + 1).await;
    }

    /// Puts a copy of the last event of the log into a place, under another id.
    async fn forge_at(&mut self, place: u64, id: u8) {
        let size = self.app.instance.store().view(self.tenant).await.unwrap().log_head().await.unwrap().size;
        let forged = format!(
            "INSERT INTO audit_events
                (tenant_id, idx, event_id, recorded_at, kind, actor, resource, outcome, request_id, core, leaf_hash)
             SELECT tenant_id, {place}, '{}', recorded_at, kind, actor, resource, outcome, request_id, core, leaf_hash
             FROM audit_events WHERE tenant_id = '{}' AND idx = {}",
            EventId::from_bytes([id; 16]),
            self.clinic.id,
            size - 1
        );
        assert_eq!(self.raw.run(&forged).await.unwrap(), 1);
    }
}

/// Nothing came into its log any more: the place was taken.
async fn a_row_where_the_next_event_is_to_lie_holds_up_nobody(mut stage: Stage) {
    let visit = json!({"type": "app.visit"});
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit.clone()).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    stage.forge_behind_end(0).await;
    stage.forge_behind_end(1).await;
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let left = stage.app.instance.store().view(stage.tenant).await.unwrap().queued_events(10).await.unwrap();
    assert_eq!(left, []);
    let (app, auditor) = (&stage.app, &stage.clinic.auditor);
    assert_eq!(
        app.events(auditor, "app.visit").await.len(),
        2,
        "what was acknowledged is in the log, and nothing else"
    );
    let told = app.events(auditor, "log.event_quarantined").await;
    assert!(told.len() == 2 && told.iter().all(|event| event["core"].as_str().unwrap().contains("behind_end")));
    assert_eq!(stage.raw.texts("SELECT told_by FROM audit_quarantine").await.len(), 2, "nothing of them is lost");
    assert_eq!(stage.found().await, []);
    app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");
    let failed = r#"chancery_audit_integrity_failures_total{check="entry_beyond_head"} 2"#;
    assert!(crate::metrics::scrape(app).await.contains(failed));
}

impl Stage {
    /// How often the platform's log tells of something found in the clinic's.
    async fn told_of_findings(&self) -> usize {
        let store = self.app.instance.store();
        sequence::sequence(&self.app.instance, TenantId::PLATFORM).await.unwrap();
        let mut platform = store.view(TenantId::PLATFORM).await.unwrap();
        platform.events_on(&self.clinic.id, &[EventKind::IntegrityFailed]).await.unwrap().len()
    }
}

/// Nothing came into that log any more, the platform's told of it four times a second, and no look at the log ended.
async fn a_row_in_a_place_that_no_event_can_say_holds_up_nobody_and_hides_no_finding(mut stage: Stage) {
    let visit = json!({"type": "app.visit"});
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit.clone()).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let places = [1 << 53, u64::try_from(i64::MAX).unwrap()];
    for (id, place) in (1..).zip(places) {
        stage.forge_at(place, id).await;
    }
    let head = format!(
        "INSERT INTO audit_checkpoints (tenant_id, size, note, signed_at) VALUES ('{}', {}, 'x', 1)",
        stage.clinic.id, places[0]
    );
    assert_eq!(stage.raw.run(&head).await.unwrap(), 1);
    let step = guard::step(&stage.app.instance, stage.tenant, 1_000_000).await.unwrap();
    let found = |check| Finding { check, at: places[0] };
    let all = [IntegrityCheck::EntryBeyondHead, IntegrityCheck::CheckpointForm].map(found);
    assert!(step.ended && step.found == all, "{step:?}");
    assert_eq!(stage.told_of_findings().await, 2);

    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let (app, auditor) = (&stage.app, &stage.clinic.auditor);
    assert_eq!(app.events(auditor, "app.visit").await.len(), 2);
    assert_eq!(app.events(auditor, "log.event_quarantined").await.len(), 2);
    assert_eq!(stage.told_of_findings().await, 3);
    assert_eq!(stage.raw.texts("SELECT told_by FROM audit_quarantine").await.len(), 2);
}

/// Whoever tries again tells it again, and that log is never purged.
async fn rows_that_cannot_be_put_aside_now_are_told_of_once(mut stage: Stage) {
    let visit = json!({"type": "app.visit"});
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit.clone()).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    stage.forge_behind_end(0).await;
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit).await.created();
    stage.raw.run("ALTER TABLE audit_quarantine RENAME TO elsewhere").await.unwrap();
    for _ in 0..3 {
        assert!(sequence::sequence(&stage.app.instance, stage.tenant).await.is_err());
    }
    assert_eq!(stage.told_of_findings().await, 1);
    stage.raw.run("ALTER TABLE elsewhere RENAME TO audit_quarantine").await.unwrap();
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    assert_eq!(stage.told_of_findings().await, 1);
    // Another row in such a place is told of anew.
    stage.forge_behind_end(1).await;
    stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.later"})).await.created();
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    assert_eq!(stage.told_of_findings().await, 2);
}

/// They are events of the log, whatever its row says.
async fn rows_behind_an_end_that_was_moved_back_are_not_touched(mut stage: Stage) {
    stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    stage.raw.tear_down("audit_logs").await;
    let back = format!("UPDATE audit_logs SET size = size - 1 WHERE tenant_id = '{}'", stage.clinic.id);
    assert_eq!(stage.raw.run(&back).await.unwrap(), 1);
    stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.later"})).await.created();
    let refused = sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap_err();
    assert!(matches!(refused, sequence::SequenceError::RolledBack(_)), "{refused:?}");
    assert!(stage.raw.texts("SELECT told_by FROM audit_quarantine").await.is_empty());
}

/// One tenant's rows alone were put back, so the platform's log tells of more than there is.
async fn a_log_that_has_less_than_was_told_of_it_is_rolled_back(stage: Stage) {
    put_back(stage, async |_| ()).await;
}

/// After 64 of them nobody looked for one with a proof: the shorter log was signed, and told of.
async fn what_carries_no_proof_hides_no_head_that_was_told_of(stage: Stage) {
    let forged = async |stage: &Stage| {
        for _ in 0..70 {
            let proof = |_: &mut QueuedEvent, core: &mut Value| core["detail"]["proof"] = json!("00");
            tell_forged(&stage.app, &stage.clinic, proof).await;
        }
        for _ in 0..70 {
            let old = |_: &mut QueuedEvent, core: &mut Value| core["detail"]["proof"] = Value::Null;
            tell_forged(&stage.app, &stage.clinic, old).await;
        }
    };
    put_back(stage, forged).await;
}

/// Puts the clinic's rows back to where they were some events ago, after something was done.
async fn put_back(mut stage: Stage, meanwhile: impl AsyncFnOnce(&Stage)) {
    let visit = async |stage: &Stage| {
        stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    };
    visit(&stage).await;
    let before = sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap().size;
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    for table in ["audit_logs", "audit_tiles"] {
        let keep = format!("CREATE TABLE kept_{table} AS SELECT * FROM {table} WHERE {ours}");
        stage.raw.run(&keep).await.unwrap();
    }
    for _ in 0..5 {
        visit(&stage).await;
    }
    noted(&stage.app, &stage.clinic).await;
    meanwhile(&stage).await;
    for table in ["audit_events", "audit_checkpoints", "audit_tiles", "audit_logs"] {
        stage.raw.tear_down(table).await;
    }
    for back in [
        format!("DELETE FROM audit_events WHERE {ours} AND idx >= {before}"),
        format!("DELETE FROM audit_checkpoints WHERE {ours} AND size > {before}"),
        format!("DELETE FROM audit_tiles WHERE {ours}"),
        "INSERT INTO audit_tiles SELECT * FROM kept_audit_tiles".to_owned(),
        format!("UPDATE audit_logs SET size = {before}, root = (SELECT root FROM kept_audit_logs) WHERE {ours}"),
    ] {
        assert!(stage.raw.run(&back).await.unwrap() > 0, "{back}");
    }
    let refused = guard::note_head(&stage.app.instance, stage.tenant).await;
    assert!(matches!(refused, Err(sequence::SequenceError::RolledBack(_))), "{refused:?}");
    assert_eq!(stage.app.instance.forked_log(), Some(stage.tenant));
}

/// Each look was at the first 512 rows alone; and of any event that one named, Chancery made an outcome.
async fn rows_that_stand_for_no_intent_close_nothing_and_hide_none(mut stage: Stage) {
    let Stage { app, clinic, .. } = &stage;
    app.register_fields(clinic).await;
    app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    let open = begun(app, &clinic.service).await;
    sequence::sequence(&app.instance, stage.tenant).await.unwrap();
    let visit = app.events(&clinic.auditor, "app.visit").await[0]["id"].as_str().unwrap().to_owned();
    // One that may still come is left.
    let young = EventId::make(app.instance.now(), app.instance.random()).unwrap().to_string();
    let none = (0..600_u128).map(|n| EventId::from_bytes(n.to_be_bytes()).to_string());
    let row = |event: String| format!("('{}', '{event}', 'n', 'b', 0)", clinic.id);
    let rows: Vec<String> = none.chain([visit, young.clone()]).map(row).collect();
    let insert = "INSERT INTO audit_intents (tenant_id, event_id, node_id, boot, opened_at) VALUES ";
    assert_eq!(stage.raw.run(&format!("{insert}{}", rows.join(", "))).await.unwrap(), 602);

    let app = &stage.app;
    app.clock.advance_seconds(3_700);
    assert_eq!(close_left(&app.instance, stage.tenant).await.unwrap(), 1);
    assert_eq!(close_left(&app.instance, stage.tenant).await.unwrap(), 0);
    open.give_up();
    let (ended, others) =
        (app.outcomes(&stage.clinic.auditor, "record.opened"), app.outcomes(&stage.clinic.auditor, "app.visit"));
    assert_eq!((ended.await.len(), others.await.len()), (1, 0));
    let ours = format!("SELECT event_id FROM audit_intents WHERE tenant_id = '{}'", stage.clinic.id);
    assert_eq!(stage.raw.texts(&ours).await, [Some(young)]);
}

/// Its row is all that says that it is open; whoever writes the store can put it back.
async fn an_intent_that_is_noted_again_has_one_outcome(mut stage: Stage) {
    stage.app.register_fields(&stage.clinic).await;
    let ours = format!("tenant_id = '{}'", stage.clinic.id);
    let keep = format!("CREATE TABLE kept_intents AS SELECT * FROM audit_intents WHERE {ours}");
    let again = "INSERT INTO audit_intents SELECT * FROM kept_intents";
    let noted = format!("SELECT event_id FROM audit_intents WHERE {ours}");

    // Its outcome waits in the queue, and then lies in the log.
    let open = begun(&stage.app, &stage.clinic.service).await;
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    stage.raw.run(&keep).await.unwrap();
    open.give_up();
    stage.app.instance.openings().settled().await;
    for _ in 0..2 {
        assert_eq!(stage.raw.run(again).await.unwrap(), 1);
        stage.app.clock.advance_seconds(3_700);
        assert_eq!(close_left(&stage.app.instance, stage.tenant).await.unwrap(), 0);
        assert!(stage.raw.texts(&noted).await.is_empty(), "a row that stands for nothing goes");
        sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    }
    assert_eq!(stage.app.outcomes(&stage.clinic.auditor, "record.opened").await.len(), 1);

    // It was closed days later, and what went on for so long comes to its end at last.
    stage.raw.run("DROP TABLE kept_intents").await.unwrap();
    let open = begun(&stage.app, &stage.clinic.service).await;
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    stage.raw.run(&keep).await.unwrap();
    stage.app.clock.advance_seconds(5 * 24 * 60 * 60);
    assert_eq!(close_left(&stage.app.instance, stage.tenant).await.unwrap(), 1);
    assert_eq!(stage.raw.run(again).await.unwrap(), 1);
    open.give_up();
    assert_eq!(stage.app.outcomes(&stage.clinic.auditor, "record.opened").await.len(), 2);
    assert_eq!(close_left(&stage.app.instance, stage.tenant).await.unwrap(), 0);
    let outcomes = stage.app.outcomes(&stage.clinic.auditor, "record.opened").await;
    assert_eq!((outcomes.len(), &outcomes[1]["outcome"]), (2, &json!(12)));
}

/// Each of them stopped its log for ever, or would have lain in it so that no head could be signed.
async fn a_row_of_the_queue_that_is_no_event_holds_up_nobody(mut stage: Stage) {
    let visit = json!({"type": "app.visit", "references": [{"kind": "subject", "id": "MRN-1"}]});
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit.clone()).await.created();
    // Copies of what is queued, with something else in one column.
    let copy = |id: &str, kind: &str, core: &str| {
        format!(
            "INSERT INTO audit_queue (tenant_id, event_id, recorded_at, kind, actor, resource, outcome, request_id, core)
             SELECT tenant_id, {id}, recorded_at, {kind}, actor, resource, outcome, request_id, {core}
             FROM audit_queue WHERE tenant_id = '{}' AND kind = 'app.visit'",
            stage.clinic.id
        )
    };
    let other = |n: u8| format!("'{}'", chancery_domain::ids::EventId::from_bytes([n; 16]));
    let mut forged = vec![
        copy("'no id'", "'app.no_id'", "core"),
        copy(&other(1), "'app.other_id'", "core"),
        copy(&other(2), "'app.no_json'", "'{\"resource\":{\"ref_hmac\":'"),
        copy(&other(3), "'app.no_list'", "replace(replace(core, '[', ''), ']', '')"),
    ];
    if matches!(stage.raw, Raw::Sqlite(_)) {
        forged.push(copy("CAST(x'ff' AS TEXT)", "CAST(x'fe' AS TEXT)", "CAST(x'fd' AS TEXT)"));
    }
    for row in &forged {
        assert_eq!(stage.raw.run(row).await.unwrap(), 1, "{row}");
    }
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit).await.created();

    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let left = stage.app.instance.store().view(stage.tenant).await.unwrap().queued_events(10).await.unwrap();
    assert_eq!(left, []);
    let (app, auditor) = (&stage.app, &stage.clinic.auditor);
    assert_eq!(app.events(auditor, "app.visit").await.len(), 2, "what was acknowledged is in the log");
    let told = app.events(auditor, "log.event_quarantined").await;
    assert_eq!(told.len(), forged.len());
    assert!(
        !told.iter().any(|event| event["core"].as_str().unwrap().contains("no_json")),
        "what a row says is not repeated"
    );
    assert_eq!(guard::inspect(&app.instance, stage.tenant).await.unwrap(), []);
    app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");

    // Nothing of a row is lost, and each is beside the event that tells of it.
    let ids: Vec<_> = told.iter().map(|event| event["id"].as_str().map(str::to_owned)).collect();
    let kept = "SELECT told_by FROM audit_quarantine ORDER BY told_by";
    assert_eq!(stage.raw.texts(kept).await, {
        let mut ids = ids;
        ids.sort();
        ids
    });
    let text = match stage.raw {
        Raw::Sqlite(_) => "CAST(core AS TEXT)",
        Raw::Postgres(_) => "convert_from(core, 'UTF8')",
    };
    let bytes = format!("SELECT {text} FROM audit_quarantine WHERE length(core) = 24");
    assert_eq!(stage.raw.texts(&bytes).await, [Some("{\"resource\":{\"ref_hmac\":".to_owned())]);
}

/// All of it was a 500 that said nothing.
async fn a_changed_row_is_named_and_the_others_are_shown(mut stage: Stage) {
    for _ in 0..3 {
        stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    }
    sequence::checkpoint(&stage.app.instance, stage.tenant).await.unwrap();
    let whole = stage.app.events(&stage.clinic.auditor, "app.visit").await;
    let id = whole[1]["id"].as_str().unwrap().to_owned();
    let [first, at, last] = [0, 1, 2].map(|number| whole[number]["index"].as_u64().unwrap());
    stage.raw.tear_down("audit_events").await;
    let change = format!(
        "UPDATE audit_events SET core = replace(core, 'app.visit', 'app.viset') WHERE tenant_id = '{}' AND idx = {at}",
        stage.clinic.id
    );
    assert_eq!(stage.raw.run(&change).await.unwrap(), 1);

    let (app, auditor) = (&stage.app, &stage.clinic.auditor);
    let year = "from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&type=app.visit";
    let found = app.get(auditor, &format!("/v1/audit/events?{year}")).await.ok();
    let places = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|event| event["index"].as_u64().unwrap()).collect::<Vec<u64>>()
    };
    assert_eq!(places(&found), [first, last]);
    assert_eq!((&found["damaged"], &found["next_cursor"]), (&json!([at]), &json!(null)));
    // Also by pages: one that has nothing else says where it goes on.
    let (mut cursor, mut seen, mut damaged) = (String::new(), Vec::new(), Vec::new());
    for _ in 0..4 {
        let page = app.get(auditor, &format!("/v1/audit/events?{year}&limit=1{cursor}")).await.ok();
        seen.extend(places(&page));
        damaged.extend(page["damaged"].as_array().into_iter().flatten().cloned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((seen, damaged), (vec![first, last], vec![json!(at)]));
    let told = app.events(auditor, "audit.read").await;
    assert!(told.iter().any(|event| event["core"].as_str().unwrap().contains("\"damaged\":1")), "the log tells of it");

    // What would be taken for all is refused, and says where and what to do.
    let span = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00Z"});
    for refused in [
        app.get(auditor, &format!("/v1/audit/events/{id}")).await,
        app.post(auditor, "/v1/audit/exports", span.clone()).await,
        app.post(auditor, "/v1/certificates/packs", span).await,
    ] {
        assert_eq!(refused.status, 409, "{}", refused.text());
        let problem = refused.json();
        assert_eq!(problem["code"], "audit.damaged");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(&stage.clinic.id) && detail.contains("chancery audit scrub"), "{detail}");
        assert!(detail.contains(&format!("place {at}")) || !detail.contains("place"), "{detail}");
    }
    // A span without it is as good as before.
    let before = whole[1]["recorded_at"].as_str().unwrap();
    let span = json!({"from": "2026-01-01T00:00:00Z", "to": before});
    assert_eq!(app.post(auditor, "/v1/audit/exports", span).await.status, 200);
}

/// It looked like one that the reader may not see.
async fn a_personal_part_that_was_taken_away_is_told_of(mut stage: Stage) {
    let visit = json!({"type": "app.visit", "personal": {"note": "ann"}});
    stage.app.post(&stage.clinic.service, "/v1/audit/events", visit).await.created();
    let shown = async |stage: &Stage| stage.app.events(&stage.clinic.auditor, "app.visit").await.remove(0);
    let whole = shown(&stage).await;
    assert_eq!((&whole["sealed_part"]["note"]["value"], &whole["personal_missing"]), (&json!("ann"), &json!(null)));
    assert_eq!(stage.found().await, []);
    stage.raw.tear_down("audit_sealed").await;
    let take = format!("DELETE FROM audit_sealed WHERE event_id = '{}'", whole["id"].as_str().unwrap());
    assert_eq!(stage.raw.run(&take).await.unwrap(), 1);
    let bare = shown(&stage).await;
    assert_eq!((&bare["sealed_part"], &bare["personal_missing"]), (&json!(null), &json!(true)));
    let at = whole["index"].as_u64().unwrap();
    assert_eq!(stage.found().await, [Finding { check: IntegrityCheck::PersonalMissing, at }]);
}

/// Changed it was told of; taken away it was passed over, and the copy outside lacked it for ever.
async fn what_was_taken_away_stops_whoever_follows_the_log_there(mut stage: Stage) {
    for _ in 0..3 {
        stage.app.post(&stage.clinic.service, "/v1/audit/events", json!({"type": "app.visit"})).await.created();
    }
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    let gone = stage.app.events(&stage.clinic.auditor, "app.visit").await[1]["index"].as_u64().unwrap();
    stage.raw.tear_down("audit_events").await;
    let take = format!("DELETE FROM audit_events WHERE tenant_id = '{}' AND idx = {gone}", stage.clinic.id);
    assert_eq!(stage.raw.run(&take).await.unwrap(), 1);
    for takes in [Takes::All, Takes::Security] {
        let (sink, mut health) = (Fake::new(takes, false), Health::default());
        let fed = drain(&stage.app, &sink, stage.tenant, &mut health).await;
        let Fed::Failed { error: SendError::Refused(code), at, .. } = &fed else { panic!("{takes:?} {fed:?}") };
        assert_eq!((code.as_str(), *at), ("log.damaged", Some(gone)), "{takes:?}");
        // As if it began: the other one is fed from the beginning too.
        stage.raw.run("DELETE FROM audit_sinks").await.unwrap();
    }
}

async fn what_was_purged_stops_nobody_who_follows_the_log(stage: Stage) {
    two_months(&stage.app, &stage.clinic).await;
    stage.purge().await;
    for takes in [Takes::All, Takes::Security] {
        let (sink, mut health) = (Fake::new(takes, false), Health::default());
        let fed = drain(&stage.app, &sink, stage.tenant, &mut health).await;
        assert!(matches!(fed, Fed::Idle), "{takes:?} {fed:?}");
    }
}
