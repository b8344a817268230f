//! Whoever runs SQL in the store, as the role that serves or as the owner of the tables: what the tables refuse him, and what is found
//! of what he did. Here: purges, what keeps a log, and intents.

use chancery_domain::{
    TenantId,
    audit::{
        guard::{self, Finding, IntegrityCheck},
        intent::close_left,
        retention, sequence,
    },
    backups,
    ids::{CertificateId, EventId},
};
use chancery_testkit::Raw;
use serde_json::{Value, json};

use crate::{
    app::{Backend, Clinic, TestApp},
    intents::begun,
    proofs::issue,
    retention::{by_two, months, plan, purge, six_years, two_months},
};

/// Each of these tests, on either store.
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

mod alarms;
mod certificates;
mod heads;
mod queue;
mod readers;

stages! {
    a_kept_event_is_missed_though_a_purged_one_is_back,
    what_a_purge_has_not_got_to_is_missed,
    a_purge_is_dated_by_the_issue_of_its_certificate_and_nothing_else,
    a_hold_that_is_gone_from_the_store_holds_by_the_log,
    a_hold_that_nobody_placed_is_told_of_and_can_be_lifted,
    a_hundred_holds_that_nobody_placed_keep_none_out,
    a_retention_that_was_changed_in_the_store_lets_nothing_go,
    a_hold_that_an_earlier_build_placed_is_told_by_its_event,
    a_hold_that_an_earlier_build_lifted_holds_nothing,
    what_an_earlier_build_said_of_retention_counts_where_it_keeps_more,
    a_retention_that_an_earlier_build_said_makes_no_node_unready,
    a_row_that_nobody_can_read_stops_no_other,
    rows_that_stand_for_no_intent_close_nothing_and_hide_none,
    however_many_rows_name_nothing_a_look_takes_a_part_and_they_go,
    an_intent_that_is_noted_again_has_one_outcome,
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

    /// Bytes, as the store's SQL writes them.
    fn bytes(&self, bytes: &[u8]) -> String {
        let hex = data_encoding::HEXLOWER.encode(bytes);
        match self.raw {
            Raw::Sqlite(_) => format!("x'{hex}'"),
            Raw::Postgres(_) => format!("decode('{hex}', 'hex')"),
        }
    }

    /// The leaf hash of an event.
    fn leaf_hash(&self, core: &str) -> String {
        self.bytes(&chancery_crypto::merkle::leaf_hash(core.as_bytes()))
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

/// All that were there were looked at in one go, while no log of any tenant moved; and what says that it is of the future never went.
async fn however_many_rows_name_nothing_a_look_takes_a_part_and_they_go(mut stage: Stage) {
    stage.app.register_fields(&stage.clinic).await;
    let now = stage.app.instance.now();
    stage.app.clock.advance_seconds(10);
    let open = begun(&stage.app, &stage.clinic.service).await;
    sequence::sequence(&stage.app.instance, stage.tenant).await.unwrap();
    // Before it lie more than one look takes, of which any may still come; behind it are those of the year 10000.
    let numbered = |millis: u64, n: u16| {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        id[14..].copy_from_slice(&n.to_be_bytes());
        EventId::from_bytes(id)
    };
    let (young, late) = (u64::try_from(now.as_micros()).unwrap() / 1_000, 253_402_300_800_000);
    for (millis, many) in [(young, 2_100), (late, 3_000)] {
        let row = |n: u16| format!("('{}', '{}', 'n', 'b', 0)", stage.clinic.id, numbered(millis, n));
        let rows: Vec<String> = (0..many).map(row).collect();
        let insert = "INSERT INTO audit_intents (tenant_id, event_id, node_id, boot, opened_at) VALUES ";
        assert_eq!(stage.raw.run(&format!("{insert}{}", rows.join(", "))).await.unwrap(), u64::from(many));
    }
    let left = format!(
        "SELECT CAST(COUNT(*) AS TEXT) FROM audit_intents WHERE tenant_id = '{}' AND event_id > '{}'",
        stage.clinic.id,
        numbered(late, 0)
    );
    stage.app.clock.advance_seconds(3_700);
    assert_eq!(close_left(&stage.app.instance, stage.tenant).await.unwrap(), 0);
    assert_eq!(stage.raw.texts(&left).await, [Some("2999".to_owned())], "it came not so far");
    assert_eq!(close_left(&stage.app.instance, stage.tenant).await.unwrap(), 1, "the next goes on behind it");
    for _ in 0..2 {
        assert_eq!(close_left(&stage.app.instance, stage.tenant).await.unwrap(), 0);
    }
    assert_eq!(stage.raw.texts(&left).await, [Some("0".to_owned())]);
    open.give_up();
    assert_eq!(stage.app.outcomes(&stage.clinic.auditor, "record.opened").await.len(), 1);
}

/// A look that failed began with the same rows again, and what lay behind them stayed open.
#[tokio::test]
async fn nothing_waits_for_rows_that_a_look_fails_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chancery.db");
    let (backend, faulty) = Backend::faulty_file(&path).await;
    let (app, clinic, tenant) = opened(backend).await;
    let mut raw = Raw::sqlite(&path).await;
    app.register_fields(&clinic).await;
    let open = begun(&app, &clinic.service).await;
    sequence::sequence(&app.instance, tenant).await.unwrap();
    // Before it lie as many as are looked at at once, which name nothing and go.
    let row = |n: u128| format!("('{}', '{}', 'n', 'b', 0)", clinic.id, EventId::from_bytes(n.to_be_bytes()));
    let rows: Vec<String> = (0..512).map(row).collect();
    let insert = "INSERT INTO audit_intents (tenant_id, event_id, node_id, boot, opened_at) VALUES ";
    assert_eq!(raw.run(&format!("{insert}{}", rows.join(", "))).await.unwrap(), 512);
    app.clock.advance_seconds(3_700);

    faulty.faults().fail_commit(true);
    close_left(&app.instance, tenant).await.unwrap_err();
    faulty.faults().fail_commit(false);
    // The one commit that works now is that of what lies behind.
    faulty.faults().fail_commits_after(1);
    assert_eq!(close_left(&app.instance, tenant).await.unwrap(), 1);
    faulty.faults().fail_commits_after(u64::MAX);
    let left = format!("SELECT CAST(COUNT(*) AS TEXT) FROM audit_intents WHERE tenant_id = '{}'", clinic.id);
    assert_eq!(raw.texts(&left).await, [Some("512".to_owned())]);
    assert_eq!(close_left(&app.instance, tenant).await.unwrap(), 0);
    assert_eq!(raw.texts(&left).await, [Some("0".to_owned())]);
    open.give_up();
    assert_eq!(app.outcomes(&clinic.auditor, "record.opened").await.len(), 1);
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
