//! Closed months in files outside the store: they prove what they hold, open with the tenant's keys alone, and come before a purge.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use chancery_domain::{
    TenantId, Timestamp,
    audit::{
        archives::{self, Archive, ArchiveError, ArchiveFault, ArchiveStore},
        guard, sequence,
    },
    certificates::{PackVerdict, verify_archive},
    ids::EventId,
    subjects::SubjectKey,
};
use chancery_testkit::Token;
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, TestApp},
    retention::{by_two, months, plan, purge, six_years, two_months},
    subjects::erase,
};

backends! {
    a_closed_month_is_archived_once_and_still_proves_and_opens_after_the_purge,
    a_tenant_whose_certificate_key_lives_in_an_hsm_is_archived_too,
    a_month_goes_only_when_its_archive_reads_back,
    what_an_application_said_of_a_person_opens_nowhere_after_the_erasure,
    a_text_goes_with_its_person_whether_it_came_before_or_after_the_key,
    a_key_that_is_damaged_closes_the_texts_of_its_person_alone,
}

/// A place in memory.
#[derive(Default)]
pub(crate) struct Shelf {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    until: Mutex<Vec<Timestamp>>,
    away: AtomicBool,
}

impl Shelf {
    pub(crate) fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        self.files.lock().unwrap()[name].clone()
    }

    /// Somebody who is at the place changes, adds or takes a file.
    fn swap(&self, name: &str, file: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let mut files = self.files.lock().unwrap();
        match file {
            Some(file) => files.insert(name.to_owned(), file),
            None => files.remove(name),
        }
    }
}

#[async_trait]
impl ArchiveStore for Shelf {
    fn name(&self) -> &str {
        "shelf"
    }

    async fn put(&self, name: &str, file: &[u8], until: Timestamp) -> Result<(), ArchiveFault> {
        if self.away.load(Ordering::Relaxed) {
            return Err(ArchiveFault::Away("io.storage_full".to_owned()));
        }
        let mut files = self.files.lock().unwrap();
        if files.contains_key(name) {
            return Err(ArchiveFault::Exists);
        }
        files.insert(name.to_owned(), file.to_vec());
        self.until.lock().unwrap().push(until);
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Vec<u8>, ArchiveFault> {
        self.files.lock().unwrap().get(name).cloned().ok_or(ArchiveFault::Missing)
    }
}

/// With a place, a clinic, and September and October behind them.
async fn with_shelf(backend: Backend) -> (TestApp, Clinic, TenantId, Arc<Shelf>) {
    let app = TestApp::on(backend).await;
    let shelf = Arc::new(Shelf::default());
    app.instance.keep_archives_at(vec![shelf.clone()]);
    let clinic = app.clinic("ours").await;
    let tenant = clinic.id.parse().unwrap();
    two_months(&app, &clinic).await;
    // November: only when something of a later month is there, a month is over for sure.
    app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.november"})).await.created();
    (app, clinic, tenant, shelf)
}

async fn trust(app: &TestApp) -> Vec<u8> {
    app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body
}

async fn listed(app: &TestApp, caller: &Caller) -> Vec<Value> {
    app.get(caller, "/v1/audit/archives").await.ok()["items"].as_array().unwrap().clone()
}

fn holds(file: &[u8], text: &str) -> bool {
    file.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The application's event among those of an archive.
fn visit(opened: &Value) -> Value {
    let all = opened["items"].as_array().unwrap();
    all.iter().find(|event| event["type"] == "app.visit.september").unwrap().clone()
}

async fn a_closed_month_is_archived_once_and_still_proves_and_opens_after_the_purge(backend: Backend) {
    let (app, clinic, tenant, shelf) = with_shelf(backend).await;
    assert_eq!(archives::tend(&app.instance, tenant).await.unwrap(), 2, "September and October; November is open");
    assert_eq!(archives::tend(&app.instance, tenant).await.unwrap(), 0);
    let all = listed(&app, &clinic.auditor).await;
    assert_eq!(all.iter().map(|one| one["month"].as_str().unwrap()).collect::<Vec<_>>(), ["2026-09", "2026-10"]);
    assert_eq!((&all[0]["first"], &all[0]["end"]), (&json!(0), &all[1]["first"]), "without a hole");
    assert_eq!(shelf.names(), all.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>());
    // To be kept until the tenant's retention is over.
    assert_eq!(shelf.until.lock().unwrap()[0], "2032-10-01T00:00:00Z".parse().unwrap());

    // The log tells of it, with the digest; reading back was told of too.
    let told = app.events(&clinic.auditor, "audit.archived").await;
    let detail =
        |event: &Value| serde_json::from_str::<Value>(event["core"].as_str().unwrap()).unwrap()["detail"].clone();
    assert_eq!(told.len(), 2);
    assert_eq!((&detail(&told[0])["sha256"], &detail(&told[0])["place"]), (&all[0]["sha256"], &json!(["shelf"])));
    let name = all[0]["name"].as_str().unwrap().to_owned();
    let file = shelf.file(&name);
    assert_eq!(json!(chancery_crypto::sha256_hex(&file)), all[0]["sha256"]);
    assert_eq!(json!(file.len()), all[0]["bytes"]);

    // Anybody can check it, and nobody can read it.
    let trusted = trust(&app).await;
    let report = verify_archive(&file, &trusted, None);
    assert_eq!(report.verdict, PackVerdict::Verified, "{:?}", report.checks);
    for text in ["app.visit.september", "ann in", "evt_", "MRN-"] {
        assert!(!holds(&file, text), "{text}");
    }
    for at in (0..file.len()).step_by(7) {
        let mut changed = file.clone();
        changed[at] ^= 1 << (at % 8);
        let verdict = verify_archive(&changed, &trusted, None).verdict;
        assert!(matches!(verdict, PackVerdict::Failed | PackVerdict::Unsupported), "byte {at}: {verdict}");
    }

    let path = "/v1/audit/archives/0";
    let before = app.get(&clinic.auditor, path).await.ok();
    assert_eq!(visit(&before)["sealed_part"]["note"]["value"], "ann in september");
    app.get(&clinic.auditor, &format!("{path}?place=elsewhere")).await.refused(404, "not_found");
    app.get(&clinic.auditor, "/v1/audit/archives/1").await.refused(404, "not_found");

    six_years(&app);
    purge(&app, &clinic).await.ok();
    assert!(app.events(&clinic.auditor, "app.visit.september").await.is_empty());
    let after = app.get(&clinic.auditor, path).await.ok();
    assert_eq!(before, after, "byte for byte what went");
    assert_eq!(verify_archive(&file, &trusted, None).verdict, PackVerdict::Verified);
    let newer = sequence::checkpoint(&app.instance, tenant).await.unwrap().note;
    assert_eq!(verify_archive(&file, &trusted, Some(newer.as_bytes())).verdict, PackVerdict::VerifiedAsOf);
    // Where witnesses are asked for, another history is told of all the same: missing cosignatures do not come before it.
    let mut witnessed: Value = serde_json::from_slice(&trusted).unwrap();
    witnessed["witnesses"]["quorum"] = json!(1);
    let witnessed = serde_json::to_vec(&witnessed).unwrap();
    let other = sequence::checkpoint(&app.instance, TenantId::PLATFORM).await.unwrap().note;
    for (newer, verdict) in [
        (None, PackVerdict::Unwitnessed),
        (Some(newer.as_bytes()), PackVerdict::Unwitnessed),
        (Some(other.as_bytes()), PackVerdict::Failed),
    ] {
        assert_eq!(verify_archive(&file, &witnessed, newer).verdict, verdict);
    }
    assert_eq!(guard::inspect(&app.instance, tenant).await.unwrap(), []);
    // What was archived and purged is not archived again.
    archives::tend(&app.instance, tenant).await.unwrap();
    assert_eq!(listed(&app, &clinic.auditor).await[..2], all[..]);

    // Another place of the same file is another file, and one that was changed opens to nothing.
    let other = shelf.file(all[1]["name"].as_str().unwrap());
    let kept = shelf.swap(&name, Some(other));
    app.get(&clinic.auditor, path).await.refused(409, "state.conflict");
    shelf.swap(&name, None);
    app.get(&clinic.auditor, path).await.refused(409, "state.conflict");
    shelf.swap(&name, kept);
    app.get(&clinic.auditor, path).await.ok();
}

async fn a_tenant_whose_certificate_key_lives_in_an_hsm_is_archived_too(backend: Backend) {
    let app = TestApp::with(backend, |ports| ports.resident.push(Arc::new(Token::default()))).await;
    let shelf = Arc::new(Shelf::default());
    app.instance.keep_archives_at(vec![shelf.clone()]);
    let clinic = app.clinic("ours").await;
    let key = app.get(&clinic.officer, "/v1/keys?managed=certificate").await.ok()["items"][0]["id"].clone();
    let rotate = format!("/v1/keys/{}/rotate", key.as_str().unwrap());
    let there = json!({"type": "ec_p256", "provider": "pkcs11"});
    assert_eq!(app.post(&clinic.officer, &rotate, there).await.ok()["hsm_integrated"], true);
    two_months(&app, &clinic).await;
    app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.november"})).await.created();
    assert_eq!(archives::tend(&app.instance, clinic.id.parse().unwrap()).await.unwrap(), 2);
    let trusted = trust(&app).await;
    for name in shelf.names() {
        let report = verify_archive(&shelf.file(&name), &trusted, None);
        assert_eq!(report.verdict, PackVerdict::Verified, "{:?}", report.checks);
    }
    let opened = app.get(&clinic.auditor, "/v1/audit/archives/0").await.ok();
    assert_eq!(visit(&opened)["sealed_part"]["note"]["value"], "ann in september");
}

async fn a_month_goes_only_when_its_archive_reads_back(backend: Backend) {
    let (app, clinic, tenant, shelf) = with_shelf(backend).await;
    let path = "/v1/audit/retention";
    let set = app.put(&clinic.officer, path, json!({"months": 72, "archive_first": true})).await.ok();
    assert_eq!(set["archive_first"], true);
    // Nothing said leaves it as it is; saying no takes another officer.
    assert_eq!(app.put(&clinic.officer, path, json!({"months": 73})).await.ok()["archive_first"], true);
    let no = app.put(&clinic.officer, path, json!({"months": 73, "archive_first": false})).await;
    assert_eq!(no.status, 202, "{}", no.text());
    by_two(&app, &clinic, "PUT", path, &json!({"months": 72})).await.ok();
    six_years(&app);
    let waits = [("2026-09", "unarchived"), ("2026-10", "unarchived"), ("2026-11", "unarchived")];
    let seen = plan(&app, &clinic).await;
    assert_eq!(seen, months(&waits[..seen.len()]));
    app.post(&clinic.officer, "/v1/audit/purge", json!({"reason": "x"})).await.refused(409, "state.conflict");

    // A place that is full takes nothing, and nothing is said to be there.
    shelf.away.store(true, Ordering::Relaxed);
    let full = archives::tend(&app.instance, tenant).await;
    assert!(matches!(full, Err(ArchiveError::Place(ArchiveFault::Away(_)))), "{full:?}");
    assert_eq!(listed(&app, &clinic.auditor).await, Vec::<Value>::new());
    shelf.away.store(false, Ordering::Relaxed);
    assert!(archives::tend(&app.instance, tenant).await.unwrap() >= 2);
    let due = plan(&app, &clinic).await;
    assert!(due.iter().take(2).all(|(_, standing)| standing == "due"), "{due:?}");

    // Lost or changed at its place: nothing of it goes, although two people want it to.
    let name = shelf.names()[0].clone();
    let whole = shelf.file(&name);
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    let approved = approved(&app, &clinic).await;
    for bad in [None, Some(changed)] {
        shelf.swap(&name, bad);
        let body = json!({"reason": "their time is over", "approval_id": approved});
        app.post(&clinic.officer, "/v1/audit/purge", body).await.refused(409, "state.conflict");
        assert_eq!(app.events(&clinic.auditor, "app.visit.september").await.len(), 1);
        assert_eq!(app.get(&clinic.auditor, path).await.ok()["purges"], json!([]));
    }
    shelf.swap(&name, Some(whole));
    let body = json!({"reason": "their time is over", "approval_id": approved});
    app.post(&clinic.officer, "/v1/audit/purge", body).await.ok();
    assert!(app.events(&clinic.auditor, "app.visit.september").await.is_empty());
    assert_eq!(guard::inspect(&app.instance, tenant).await.unwrap(), []);
}

/// Another officer's approval of a purge of all that is due.
async fn approved(app: &TestApp, clinic: &Clinic) -> String {
    let asked = app.post(&clinic.officer, "/v1/audit/purge", json!({"reason": "their time is over"})).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let id = asked.json()["approval_id"].as_str().unwrap().to_owned();
    let second = app.caller(&clinic.id, "security_officer").await;
    app.post(&second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
    id
}

async fn what_an_application_said_of_a_person_opens_nowhere_after_the_erasure(backend: Backend) {
    let app = TestApp::on(backend).await;
    let shelf = Arc::new(Shelf::default());
    app.instance.keep_archives_at(vec![shelf.clone()]);
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let item = |row: &str, person: &str| json!({"table": "patients", "column": "ssn", "row": row, "subject": person, "value": "1"});
    let items = json!({"items": [item("p1", "MRN-september"), item("p2", "MRN-other")]});
    app.post(&clinic.service, "/v1/seal", items).await.ok();
    let told = |kind: &str, people: &[&str]| {
        let references: Vec<Value> = people.iter().map(|id| json!({"kind": "subject", "id": id})).collect();
        json!({"type": kind, "personal": {"note": "as it was"}, "references": references})
    };
    // Of one who has a key, of two, of one who had none.
    for (kind, people) in [
        ("app.of-one", &["MRN-other"][..]),
        ("app.of-two", &["MRN-september", "MRN-other"]),
        ("app.of-none", &["MRN-9"]),
    ] {
        app.post(&clinic.service, "/v1/audit/events", told(kind, people)).await.created();
    }
    two_months(&app, &clinic).await;
    app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.november"})).await.created();
    archives::tend(&app.instance, tenant).await.unwrap();
    let note = |events: &Value, kind: &str| {
        let all = events["items"].as_array().unwrap();
        all.iter().find(|event| event["type"] == kind).unwrap()["sealed_part"]["note"]["value"].clone()
    };
    let path = "/v1/audit/archives/0";
    let opened = app.get(&clinic.auditor, path).await.ok();
    assert_eq!(note(&opened, "app.visit.september"), "ann in september");
    assert_eq!(note(&opened, "app.of-one"), "as it was");

    erase(&app, &clinic, "MRN-september").await.ok();
    let stored = "/v1/audit/events?from=2026-09-01T00:00:00Z&to=2026-10-01T00:00:00Z&limit=1000";
    for path in [path, stored] {
        let opened = app.get(&clinic.auditor, path).await.ok();
        assert_eq!(note(&opened, "app.visit.september"), Value::Null, "{path}");
        for kept in ["app.of-one", "app.of-two", "app.of-none"] {
            assert_eq!(note(&opened, kept), "as it was", "{path} {kept}");
        }
    }
    let file = shelf.file(&shelf.names()[0]);
    assert_eq!(verify_archive(&file, &trust(&app).await, None).verdict, PackVerdict::Verified);
}

async fn a_text_goes_with_its_person_whether_it_came_before_or_after_the_key(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let told = |kind: &str| {
        let references = json!([{"kind": "subject", "id": "MRN-9"}]);
        json!({"type": kind, "personal": {"note": "as it was"}, "references": references})
    };
    let note = async |kind: &str| {
        let event = app.events(&clinic.auditor, kind).await.remove(0);
        event["sealed_part"]["note"]["value"].clone()
    };
    // Nothing was ever sealed for this person: the text makes the key.
    app.post(&clinic.service, "/v1/audit/events", told("app.before")).await.created();
    assert_eq!(app.events(&clinic.auditor, "subject.created").await.len(), 1);
    let batch = json!({"items": [told("app.beside"), {"type": "app.step"}]});
    app.post(&clinic.service, "/v1/audit/events/batch", batch).await.created();
    assert_eq!(app.events(&clinic.auditor, "subject.created").await.len(), 1, "one key");
    for kind in ["app.before", "app.beside"] {
        assert_eq!(note(kind).await, "as it was", "{kind}");
    }
    erase(&app, &clinic, "MRN-9").await.ok();
    for kind in ["app.before", "app.beside"] {
        assert_eq!(note(kind).await, Value::Null, "{kind}");
    }
    // Nothing more is said of who is gone; without a text the event is taken.
    let refused = app.post(&clinic.service, "/v1/audit/events", told("app.after")).await;
    refused.refused(410, "subject.erased");
    assert!(refused.text().contains("/v1/subjects/recreate"), "{}", refused.text());
    let batch = json!({"items": [{"type": "app.step"}, told("app.after")]});
    app.post(&clinic.service, "/v1/audit/events/batch", batch).await.refused(410, "subject.erased");
    assert!(app.events(&clinic.auditor, "app.after").await.is_empty());
    let bare = json!({"type": "app.bare", "references": [{"kind": "subject", "id": "MRN-9"}]});
    app.post(&clinic.service, "/v1/audit/events", bare).await.created();
    app.post(&clinic.officer, "/v1/subjects/recreate", json!({"subject": "MRN-9"})).await;
    app.post(&clinic.service, "/v1/audit/events", told("app.again")).await.created();
    assert_eq!((note("app.again").await, note("app.before").await), (json!("as it was"), Value::Null));
}

/// At every commit that it makes: the next one finds the file, looks at it, and notes it; never a second one.
#[tokio::test]
async fn whoever_dies_between_file_and_row_leaves_one_archive() {
    let (backend, store) = Backend::faulty().await;
    let (app, clinic, tenant, shelf) = with_shelf(backend).await;
    let mut deaths = 0;
    for commits in 0..30 {
        store.faults().fail_commits_after(commits);
        let tended = archives::tend(&app.instance, tenant).await;
        store.faults().fail_commits_after(u64::MAX);
        match tended {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => deaths += 1,
        }
    }
    assert!(deaths >= 2, "{deaths}");
    assert_eq!(shelf.names().len(), 2);
    let all = listed(&app, &clinic.auditor).await;
    assert_eq!(all.len(), 2);
    for one in &all {
        let file = shelf.file(one["name"].as_str().unwrap());
        assert_eq!(json!(chancery_crypto::sha256_hex(&file)), one["sha256"]);
    }
}

async fn a_key_that_is_damaged_closes_the_texts_of_its_person_alone(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let told = |person: &str| {
        let references = json!([{"kind": "subject", "id": person}]);
        json!({"type": "app.visit", "personal": {"note": person}, "references": references})
    };
    for person in ["MRN-1", "MRN-2"] {
        app.post(&clinic.service, "/v1/audit/events", told(person)).await.created();
    }
    let notes = async || {
        let events = app.events(&clinic.auditor, "app.visit").await;
        events.iter().map(|event| event["sealed_part"]["note"]["value"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(notes().await, ["MRN-1", "MRN-2"]);
    let store = app.instance.store();
    let key = store.view(tenant).await.unwrap().subject_keys(None, 10).await.unwrap().remove(0);
    let from = key.root_key.clone();
    let mut wrapped = key.wrapped.clone().unwrap();
    *wrapped.last_mut().unwrap() ^= 1;
    let spoilt = SubjectKey { wrapped: Some(wrapped), ..key.clone() };
    for (now, expected) in [(&spoilt, [Value::Null, json!("MRN-2")]), (&key, [json!("MRN-1"), json!("MRN-2")])] {
        let mut tx = store.begin(tenant).await.unwrap();
        tx.rewrap_subject_key(now, &from).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(notes().await, expected);
    }
}

/// A tenant that does nothing more.
#[tokio::test]
async fn the_last_month_of_a_silent_log_is_archived_and_then_it_stays_silent() {
    let app = TestApp::new().await;
    let shelf = Arc::new(Shelf::default());
    app.instance.keep_archives_at(vec![shelf.clone()]);
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.last"})).await.created();
    let size = async || app.instance.store().view(tenant).await.unwrap().log_head().await.unwrap().size;
    assert_eq!(archives::tend(&app.instance, tenant).await.unwrap(), 0, "its month runs");
    app.clock.advance_seconds(40 * 86_400);
    assert_eq!(archives::tend(&app.instance, tenant).await.unwrap(), 1);
    // Reading it back is an opening, whose outcome the log tells of a moment later.
    app.instance.openings().settled().await;
    assert_eq!(archives::tend(&app.instance, tenant).await.unwrap(), 0);
    let silent = size().await;
    for _ in 0..3 {
        app.clock.advance_seconds(40 * 86_400);
        assert_eq!(archives::tend(&app.instance, tenant).await.unwrap(), 0);
    }
    assert_eq!((size().await, shelf.names().len()), (silent, 1));
}

/// An archive by somebody else, under the name of ours, is not taken for ours.
#[tokio::test]
async fn a_file_that_was_put_there_before_is_not_believed() {
    let (app, clinic, tenant, shelf) = with_shelf(Backend::sqlite().await).await;
    archives::tend(&app.instance, tenant).await.unwrap();
    let other = app.clinic("theirs").await;
    let theirs: TenantId = other.id.parse().unwrap();
    two_months(&app, &other).await;
    app.post(&other.service, "/v1/audit/events", json!({"type": "app.later"})).await.created();
    // Ours under the name that theirs will have.
    let ours = shelf.file(&shelf.names()[0]);
    let size = app.instance.store().view(theirs).await.unwrap().log_head().await.unwrap().size;
    let mut put = 0;
    for end in 1..=size + 400 {
        put += usize::from(shelf.swap(&format!("{theirs}/2026-11-0-{end}.archive"), Some(ours.clone())).is_none());
    }
    assert!(put > 0);
    let tended = archives::tend(&app.instance, theirs).await;
    assert!(matches!(tended, Err(ArchiveError::Damaged)), "{tended:?}");
    // It is in the way of its own month alone.
    let listed_months = async || {
        let all = listed(&app, &other.auditor).await;
        all.iter().map(|one| one["month"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed_months().await, ["2026-12"]);
    assert_eq!(listed(&app, &clinic.auditor).await.len(), 2);
    for end in 1..=size + 400 {
        shelf.swap(&format!("{theirs}/2026-11-0-{end}.archive"), None);
    }
    assert_eq!(archives::tend(&app.instance, theirs).await.unwrap(), 1);
    assert_eq!(listed_months().await, ["2026-11", "2026-12"]);
}

/// Whoever may append events can make them long: an archive is made in memory, so a month of long ones becomes several.
#[tokio::test]
async fn a_month_of_long_events_becomes_several_archives_without_a_hole() {
    let (app, clinic, tenant, shelf) = with_shelf(Backend::sqlite().await).await;
    let long = "\u{1f9ea}".repeat(1_000);
    let texts: serde_json::Map<String, Value> = (0..16).map(|n| (format!("text{n}"), json!(long))).collect();
    let event = json!({"type": "app.long", "personal": texts});
    for _ in 0..2 {
        let events: Vec<&Value> = std::iter::repeat_n(&event, 100).collect();
        let told = app.post(&clinic.service, "/v1/audit/events/batch", json!({"items": events})).await;
        assert!(told.status.is_success(), "{}", told.text());
    }
    app.clock.advance_seconds(40 * 24 * 60 * 60);
    app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.later"})).await.created();
    while archives::tend(&app.instance, tenant).await.unwrap() > 0 {}
    let all = listed(&app, &clinic.auditor).await;
    let november: Vec<&Value> = all.iter().filter(|one| one["month"] == "2026-11").collect();
    assert!(november.len() >= 2, "{all:?}");
    assert!(november.iter().all(|one| one["bytes"].as_u64().unwrap() < 32 << 20), "{all:?}");
    assert!(all.windows(2).all(|pair| pair[0]["end"] == pair[1]["first"]), "{all:?}");
    assert_eq!(shelf.names().len(), all.len());
}

/// A row that nobody noted, of a file that is not there.
fn forged(end: u64) -> Archive {
    Archive {
        place: "shelf".to_owned(),
        first: 0,
        end,
        month: "2026-09".parse().unwrap(),
        digest: [7; 32],
        bytes: 7,
        event: EventId::from_bytes([9; 16]),
        written_at: "2026-10-03T00:00:00Z".parse().unwrap(),
    }
}

async fn insert(app: &TestApp, tenant: TenantId, archive: &Archive) {
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    tx.insert_archive(archive).await.unwrap();
    tx.commit().await.unwrap();
}

/// Whoever writes to the store can write a row, and whoever writes to the place a file that it fits: no month goes for that.
#[tokio::test]
async fn a_row_that_fits_a_file_of_nothing_is_no_archive() {
    let (app, _, tenant, shelf) = with_shelf(Backend::sqlite().await).await;
    let forged = Archive { digest: chancery_crypto::sha256(b"garbage"), ..forged(5) };
    shelf.swap(&forged.name(tenant), Some(b"garbage".to_vec()));
    insert(&app, tenant, &forged).await;
    let again = archives::again(&app.instance, tenant, &[(0, 5)]).await;
    assert!(matches!(again, Err(ArchiveError::Damaged)), "{again:?}");
}

/// The archive with another first leaf, written as an archive is.
fn with_another_leaf(file: &[u8]) -> Vec<u8> {
    let (name, mut changed) = (b"log/leaves", file.to_vec());
    let at: Vec<usize> = (46..file.len() - name.len()).filter(|at| file[*at..].starts_with(name)).collect();
    let local = *at.iter().find(|at| file[**at - 30..].starts_with(b"PK\x03\x04")).unwrap();
    let central = *at.iter().find(|at| file[**at - 46..].starts_with(b"PK\x01\x02")).unwrap();
    let length: [u8; 4] = file[local - 12..local - 8].try_into().unwrap();
    let leaves = local + name.len()..local + name.len() + usize::try_from(u32::from_le_bytes(length)).unwrap();
    changed[leaves.start] ^= 1;
    let bit = |crc: u32| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
    let crc = changed[leaves].iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)));
    for crc_at in [local - 16, central - 30] {
        changed[crc_at..crc_at + 4].copy_from_slice(&(!crc).to_le_bytes());
    }
    changed
}

/// It was refused, and the log said that it was let out.
#[tokio::test]
async fn an_archive_whose_events_do_not_read_is_not_told_of_as_released() {
    let (app, clinic, tenant, shelf) = with_shelf(Backend::sqlite().await).await;
    archives::tend(&app.instance, tenant).await.unwrap();
    let archive = app.instance.store().view(tenant).await.unwrap().archives().await.unwrap().remove(0);
    let changed = with_another_leaf(&shelf.file(&archive.name(tenant)));
    shelf.swap(&archive.name(tenant), Some(changed.clone()));
    let row = Archive { digest: chancery_crypto::sha256(&changed), event: EventId::from_bytes([9; 16]), ..archive };
    insert(&app, tenant, &row).await;
    let refused = app.get(&clinic.auditor, &format!("/v1/audit/archives/{}", row.first)).await;
    assert_ne!(refused.status, 200);
    let outcomes = app.outcomes(&clinic.auditor, "audit.exported").await;
    assert_eq!(outcomes.len(), 1);
    let core: Value = serde_json::from_str(outcomes[0]["core"].as_str().unwrap()).unwrap();
    assert_eq!((&core["detail"]["end"], &core["detail"]["opened"]), (&json!("refused"), &json!(0)));
}

/// The process knew then that the file is lost, and told nobody.
#[tokio::test]
async fn a_lost_archive_that_could_not_be_told_of_is_told_of_later() {
    let (backend, store) = Backend::faulty().await;
    let (app, clinic, tenant, _) = with_shelf(backend).await;
    let forged = forged(5);
    insert(&app, tenant, &forged).await;
    store.faults().fail_append(true);
    assert!(archives::tend(&app.instance, tenant).await.is_err());
    store.faults().fail_append(false);
    assert_eq!(archives::tend(&app.instance, tenant).await.unwrap(), 2, "September and October");
    assert_eq!(app.events(&clinic.auditor, "audit.archive_lost").await.len(), 1);
}

/// Four are read at a look: the others were believed for as long, and each start of a process began anew.
#[tokio::test]
async fn however_many_rows_nobody_noted_no_month_waits_for_them() {
    let (app, clinic, tenant, shelf) = with_shelf(Backend::sqlite().await).await;
    let size = app.instance.store().view(tenant).await.unwrap().log_head().await.unwrap().size;
    for n in 0..20 {
        let forged = Archive { event: EventId::from_bytes([n + 1; 16]), ..forged(size + 1_000 + u64::from(n)) };
        insert(&app, tenant, &forged).await;
    }
    assert_eq!(archives::tend(&app.instance, tenant).await.unwrap(), 2, "September and October");
    assert_eq!(shelf.names().len(), 2);
    // Each that was read is told of: what nobody read holds nothing.
    assert_eq!(app.events(&clinic.auditor, "audit.archive_lost").await.len(), 4);
}

/// It kept its month from being archived, and nobody was told until six years later.
#[tokio::test]
async fn a_row_without_its_file_keeps_no_month_from_being_archived() {
    let (app, clinic, tenant, shelf) = with_shelf(Backend::sqlite().await).await;
    let size = app.instance.store().view(tenant).await.unwrap().log_head().await.unwrap().size;
    let forged = forged(size + 1_000);
    insert(&app, tenant, &forged).await;
    assert_eq!(archives::tend(&app.instance, tenant).await.unwrap(), 2, "September and October");
    let lost = app.events(&clinic.auditor, "audit.archive_lost").await;
    assert_eq!(lost.len(), 1);
    assert!(lost[0]["core"].as_str().unwrap().contains(&forged.event.to_string()), "{}", lost[0]);
    // Told of once, and in the way of nothing: what begins at its place opens.
    assert_eq!(archives::tend(&app.instance, tenant).await.unwrap(), 0);
    assert_eq!(app.events(&clinic.auditor, "audit.archive_lost").await.len(), 1);
    app.get(&clinic.auditor, "/v1/audit/archives/0").await.ok();
    assert_eq!(app.events(&clinic.auditor, "audit.exported").await.len(), 1);
    let months: Vec<(u64, u64)> = listed(&app, &clinic.auditor).await[1..]
        .iter()
        .map(|one| (one["first"].as_u64().unwrap(), one["end"].as_u64().unwrap()))
        .collect();
    archives::again(&app.instance, tenant, &months).await.unwrap();

    // A file that is lost is missed within a month, and written again.
    let name = shelf.names()[0].clone();
    shelf.swap(&name, None);
    assert_eq!(archives::tend(&app.instance, tenant).await.unwrap(), 0, "it was read a moment ago");
    app.clock.advance_seconds(31 * 86_400);
    archives::tend(&app.instance, tenant).await.unwrap();
    assert!(shelf.names().contains(&name), "{:?}", shelf.names());
}
