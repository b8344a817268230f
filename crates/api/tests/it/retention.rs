//! Logs are kept as long as was said, held, and purged, and whatever was proven before stays so.

use chancery_api::Retained;
use chancery_crypto::{checkpoint::SignedCheckpoint, merkle, proof::LogProof};
use chancery_domain::{
    TenantId, Timestamp,
    audit::{
        EventFilter, EventKind, QueuedEvent,
        guard::{self, Finding, IntegrityCheck},
        months::{self as log_months, MonthPart},
        retention::{self, Purge, Tended},
        sequence,
        sinks::{Fed, Health, SinkCursor, Takes, feed},
    },
    backups,
    certificates::{PackVerdict, verify_pack},
    ids::{CertificateId, EventId, RequestId},
};
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, Reply, TestApp},
    metrics::scrape,
    proofs::issue,
    sinks::{Fake, drain},
    subjects::erase,
};

backends! {
    a_month_goes_and_every_older_proof_stays,
    what_is_held_stays_until_two_people_let_it_go,
    keeping_less_takes_two_people_and_then_goes_by_itself,
    a_purge_that_the_log_does_not_tell_of_is_damage,
    a_forged_order_hides_nothing_and_lets_nothing_go,
    a_forged_order_is_shown_as_unproven_and_told_of_until_an_officer_dismisses_it,
    a_forged_purge_that_has_ended_stops_no_other,
    a_month_that_begins_where_a_purge_was_forged_waits_and_says_so,
    a_clock_that_jumps_ahead_lets_nothing_go_by_itself,
    a_clock_that_is_moved_in_steps_lets_nothing_go_by_itself,
    a_month_waits_for_every_sink_whatever_its_row_says,
}

const DAY: i64 = 86_400;
const SEPTEMBER: &str = "from=2026-09-01T00:00:00Z&to=2026-10-01T00:00:00Z&limit=1000";

fn tenant(clinic: &Clinic) -> TenantId {
    clinic.id.parse().unwrap()
}

/// September and October of 2026, each with an event of an application that names itself.
pub(crate) async fn two_months(app: &TestApp, clinic: &Clinic) {
    for month in ["september", "october"] {
        let event = json!({"type": format!("app.visit.{month}"), "personal": {"note": format!("ann in {month}")},
            "references": [{"kind": "subject", "id": format!("MRN-{month}")}]});
        app.post(&clinic.service, "/v1/audit/events", event).await.created();
        app.clock.advance_seconds(30 * DAY);
    }
}

/// To November of 2032: the time of both is over.
pub(crate) fn six_years(app: &TestApp) {
    app.clock.advance_seconds(2_192 * DAY);
}

/// The same, of a log that did not fall silent: the clock is believed where nobody looks.
async fn six_years_of_life(app: &TestApp, clinic: &Clinic) {
    app.clock.advance_seconds((2_192 - 80) * DAY);
    eighty_days_of_life(app, clinic).await;
}

async fn eighty_days_of_life(app: &TestApp, clinic: &Clinic) {
    for _ in 0..80 {
        app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.lived"})).await.created();
        app.clock.advance_seconds(DAY);
    }
}

/// What takes two people: asked for by the officer, approved by another, done by the officer.
pub(crate) async fn by_two(app: &TestApp, clinic: &Clinic, method: &str, path: &str, body: &Value) -> Reply {
    let asked = app.call(&clinic.officer, method, path, Some(body.clone())).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let id = asked.json()["approval_id"].as_str().unwrap().to_owned();
    let mut again = body.clone();
    again["approval_id"] = json!(id);
    app.call(&clinic.officer, method, path, Some(again.clone())).await.refused(409, "approval.unusable");
    let second = app.caller(&clinic.id, "security_officer").await;
    app.post(&second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
    app.call(&clinic.officer, method, path, Some(again)).await
}

pub(crate) async fn purge(app: &TestApp, clinic: &Clinic) -> Reply {
    by_two(app, clinic, "POST", "/v1/audit/purge", &json!({"reason": "their time is over"})).await
}

pub(crate) async fn plan(app: &TestApp, clinic: &Clinic) -> Vec<(String, String)> {
    let plan = app.post(&clinic.officer, "/v1/audit/purge", json!({"dry_run": true})).await.ok();
    let text = |span: &Value, name: &str| span[name].as_str().unwrap().to_owned();
    plan["plan"].as_array().unwrap().iter().map(|span| (text(span, "month"), text(span, "standing"))).collect()
}

pub(crate) fn months(listed: &[(&str, &str)]) -> Vec<(String, String)> {
    listed.iter().map(|(month, standing)| ((*month).to_owned(), (*standing).to_owned())).collect()
}

async fn kinds_in(app: &TestApp, caller: &Caller, span: &str) -> Vec<String> {
    let found = app.get(caller, &format!("/v1/audit/events?{span}")).await.ok();
    found["items"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

async fn packed(app: &TestApp, caller: &Caller, body: Value) -> Vec<u8> {
    let reply = app.post(caller, "/v1/certificates/packs", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.body
}

async fn a_month_goes_and_every_older_proof_stays(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let item = json!({"table": "patients", "column": "ssn", "row": "p1", "subject": "MRN-1", "value": "123-45-6789"});
    app.post(&clinic.service, "/v1/seal", json!({"items": [item]})).await.ok();
    let certificate = issue(&app, &clinic).await["id"].as_str().unwrap().to_owned();
    let erased = erase(&app, &clinic, "MRN-1").await.ok()["certificate"]["id"].as_str().unwrap().to_owned();
    let opened = app.events(&clinic.auditor, "record.sealed").await.remove(0);
    let path = format!("/v1/audit/events/{}", opened["id"].as_str().unwrap());
    let proven = app.get(&clinic.auditor, &format!("{path}?proof=true")).await.ok();
    two_months(&app, &clinic).await;
    let old_packs = [
        packed(&app, &clinic.auditor, json!({"certificates": [certificate, erased]})).await,
        packed(&app, &clinic.auditor, json!({"from": "2026-09-01T00:00:00Z", "to": "2026-10-01T00:00:00Z"})).await,
    ];
    let seen = sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
    app.post(&clinic.officer, "/v1/audit/purge", json!({"reason": "x"})).await.refused(409, "state.conflict");
    assert_eq!(plan(&app, &clinic).await, months(&[]));

    six_years(&app);
    assert_eq!(plan(&app, &clinic).await, months(&[("2026-09", "due"), ("2026-10", "due")]));
    let early = json!({"before": "2026-12", "reason": "x"});
    app.post(&clinic.officer, "/v1/audit/purge", early).await.refused(422, "request.invalid");
    let purges = purge(&app, &clinic).await.ok()["purges"].clone();
    assert_eq!(purges.as_array().unwrap().len(), 2);
    assert!(purges[0]["ended_at"].is_string() && purges[0]["first"] == 0, "{purges}");
    assert_eq!(plan(&app, &clinic).await, months(&[]));
    app.post(&clinic.officer, "/v1/audit/purge", json!({"reason": "x"})).await.refused(409, "state.conflict");

    // What is gone is said to be gone, by listings and accountings; what proofs rest on is there.
    app.get(&clinic.auditor, &path).await.refused(404, "not_found");
    let left = kinds_in(&app, &clinic.auditor, SEPTEMBER).await;
    assert!(left.contains(&"certificate.issued".to_owned()) && left.contains(&"key.activated".to_owned()), "{left:?}");
    let kept = |kind: &String| retention::KEPT.iter().any(|kept: &EventKind| kept.as_str() == kind);
    assert!(left.iter().all(kept), "{left:?}");
    let listed = app.get(&clinic.auditor, &format!("/v1/audit/events?{SEPTEMBER}")).await.ok();
    assert_eq!(listed["purged"], json!([purges[0]]));
    assert!(listed["items"].as_array().unwrap().iter().all(|event| event["sealed_part"].is_null()), "{listed}");
    let accounting = "/v1/audit/accounting?subject=MRN-1&from=2026-09-01T00:00:00Z&to=2032-12-01T00:00:00Z";
    assert_eq!(app.get(&clinic.auditor, accounting).await.ok()["purged"], purges);
    let stands = app.get(&clinic.auditor, "/v1/audit/retention").await.ok();
    assert_eq!((&stands["purges"], &stands["kept_from"], &stands["months"]), (&purges, &json!("2026-11"), &json!(72)));

    // The log is whole, and grew from what was signed of it.
    assert_eq!(guard::inspect(&app.instance, tenant(&clinic)).await.unwrap(), []);
    let now = sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
    let whole = backups::prove(&app.instance, tenant(&clinic)).await.unwrap();
    assert_eq!(whole.events, now.size);
    assert!(now.size > seen.size);
    app.anonymous("GET", "/readyz", None).await.ok();

    // A proof of then verifies, and so do packs and certificates: those of then, and new ones of old certificates.
    let proof = LogProof::parse(proven["proof"].as_str().unwrap()).unwrap();
    let key = guard::log_keys(&app.instance, tenant(&clinic)).await.unwrap().remove(0);
    proof.verify(&merkle::leaf_hash(proven["core"].as_str().unwrap().as_bytes()), &key).unwrap();
    SignedCheckpoint::parse(&seen.note).unwrap().verify(&key).unwrap();
    let trust = app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body;
    let destroyed = purges[0]["certificate_id"].as_str().unwrap().to_owned();
    let new_pack = packed(&app, &clinic.auditor, json!({"certificates": [certificate, erased, destroyed]})).await;
    for pack in old_packs.iter().chain([&new_pack]) {
        let report = verify_pack(pack, &trust, None);
        assert_eq!(report.verdict, PackVerdict::Verified, "{:?}", report.checks);
    }
    for id in [&certificate, &erased, &destroyed] {
        let verified = app.get(&clinic.auditor, &format!("/v1/certificates/{id}/verify")).await.ok();
        assert_eq!(verified["verdict"], "valid", "{verified}");
    }
    // A span with holes is no pack; one after it is.
    let gone = json!({"from": "2026-09-01T00:00:00Z", "to": "2026-10-01T00:00:00Z"});
    // Nor is one of which only what is kept lies side by side, or nothing is left: it would look like all there was.
    let beginning = json!({"from": "2026-01-01T00:00:00Z", "to": opened["recorded_at"]});
    let empty = json!({"from": "2026-10-30T00:00:00Z", "to": "2026-10-31T00:00:00Z"});
    for gone in [gone, beginning, empty] {
        let refused = app.post(&clinic.auditor, "/v1/certificates/packs", gone).await;
        assert!(refused.status == 422 && refused.text().contains("purged"), "{}", refused.text());
    }
    let later =
        packed(&app, &clinic.auditor, json!({"from": "2032-01-01T00:00:00Z", "to": "2032-12-31T00:00:00Z"})).await;
    assert_eq!(verify_pack(&later, &trust, None).verdict, PackVerdict::Verified);

    // The certificate says which places of which tree.
    let found = app.get(&clinic.auditor, &format!("/v1/certificates/{destroyed}")).await.ok();
    let envelope = found["envelope"].clone();
    let payload = data_encoding::BASE64.decode(envelope["payload"].as_str().unwrap().as_bytes()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["kind"], "retention-destruction");
    let params = &payload["statement"]["params"];
    for name in ["first", "end", "events", "month"] {
        assert_eq!(params[name], purges[0][name], "{name} of {params}");
    }
    assert!(params["tree_size"].as_u64().unwrap() >= purges[1]["end"].as_u64().unwrap());
    assert_eq!(params["tree_root"].as_str().unwrap().len(), 64);
}

async fn what_is_held_stays_until_two_people_let_it_go(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    two_months(&app, &clinic).await;
    let october = json!({"from": "2026-10-05T00:00:00Z", "to": "2026-11-01T00:00:00Z", "reason": "Smith v. clinic"});
    let path = "/v1/audit/legal-holds/suit";
    let hold = app.put(&clinic.officer, path, october.clone()).await.created();
    assert_eq!((&hold["name"], &hold["from"]), (&json!("suit"), &json!("2026-10-05T00:00:00.000000Z")));
    app.put(&clinic.officer, path, october).await.refused(409, "state.conflict");
    for (name, body) in [("Suit", json!({"reason": "x"})), ("suit-2", json!({"reason": ""}))] {
        let bad = app.put(&clinic.officer, &format!("/v1/audit/legal-holds/{name}"), body).await;
        bad.refused(422, "request.invalid");
    }
    // Why is sealed, for those who may see it.
    let placed =
        app.get(&clinic.officer, &format!("/v1/audit/events/{}", hold["event_id"].as_str().unwrap())).await.ok();
    assert!(!placed["core"].as_str().unwrap().contains("Smith"), "{placed}");
    assert_eq!(placed["sealed_part"]["reason"]["value"], "Smith v. clinic", "{placed}");

    six_years(&app);
    assert_eq!(plan(&app, &clinic).await, months(&[("2026-09", "due"), ("2026-10", "held")]));
    let purges = purge(&app, &clinic).await.ok()["purges"].clone();
    assert_eq!((purges.as_array().unwrap().len(), &purges[0]["month"]), (1, &json!("2026-09")));
    app.post(&clinic.officer, "/v1/audit/purge", json!({"reason": "x"})).await.refused(409, "state.conflict");
    let october = "from=2026-10-01T00:00:00Z&to=2026-11-01T00:00:00Z";
    assert!(kinds_in(&app, &clinic.auditor, october).await.contains(&"app.visit.october".to_owned()));
    assert!(!kinds_in(&app, &clinic.auditor, SEPTEMBER).await.contains(&"app.visit.september".to_owned()));

    let lift = json!({"reason": "settled"});
    app.post(&clinic.officer, "/v1/audit/legal-holds/none/lift", lift.clone()).await.refused(404, "not_found");
    by_two(&app, &clinic, "POST", "/v1/audit/legal-holds/suit/lift", &lift).await.ok();
    assert_eq!(plan(&app, &clinic).await, months(&[("2026-10", "due")]));
    // One without bounds holds all of it.
    app.put(&clinic.officer, "/v1/audit/legal-holds/all", json!({"reason": "inquiry"})).await.created();
    assert_eq!(plan(&app, &clinic).await, months(&[("2026-10", "held")]));
    assert_eq!(guard::inspect(&app.instance, tenant(&clinic)).await.unwrap(), []);
}

async fn keeping_less_takes_two_people_and_then_goes_by_itself(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    two_months(&app, &clinic).await;
    let path = "/v1/audit/retention";
    let set = app.put(&clinic.officer, path, json!({"months": 84})).await.ok();
    assert_eq!((&set["months"], &set["automatic"]), (&json!(84), &json!(false)));
    for months in [71, 1_201] {
        app.put(&clinic.officer, path, json!({"months": months})).await.refused(422, "request.invalid");
    }
    six_years_of_life(&app, &clinic).await;
    assert_eq!(plan(&app, &clinic).await, months(&[]), "a year longer");
    let by_itself = json!({"months": 72, "automatic": true});
    assert_eq!(retention::tend(&app.instance, tenant(&clinic)).await.unwrap(), Tended::default());
    let set = by_two(&app, &clinic, "PUT", path, &by_itself).await.ok();
    assert_eq!((&set["months"], &set["automatic"], &set["kept_from"]), (&json!(72), &json!(true), &json!("2026-11")));

    let tended = retention::tend(&app.instance, tenant(&clinic)).await.unwrap();
    assert_eq!(tended.ordered, 2);
    assert!(tended.events > 2);
    assert_eq!(retention::tend(&app.instance, tenant(&clinic)).await.unwrap(), Tended::default());
    let purges = app.get(&clinic.auditor, path).await.ok()["purges"].clone();
    assert!(purges.as_array().unwrap().iter().all(|purge| purge["ended_at"].is_string()), "{purges}");
    assert!(!kinds_in(&app, &clinic.auditor, SEPTEMBER).await.contains(&"app.visit.september".to_owned()));
    assert_eq!(guard::inspect(&app.instance, tenant(&clinic)).await.unwrap(), []);
    // Longer again asks nobody else.
    app.put(&clinic.officer, path, json!({"months": 120})).await.ok();
}

async fn a_purge_that_the_log_does_not_tell_of_is_damage(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    two_months(&app, &clinic).await;
    let items: Vec<Value> = (0..3).map(|_| json!({"type": "app.crime"})).collect();
    app.post(&clinic.service, "/v1/audit/events/batch", json!({"items": items})).await.created();
    sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
    let first = app.events(&clinic.auditor, "app.crime").await[0]["index"].as_u64().unwrap();
    // An event that is in the log, and tells of something else.
    let other = app.events(&clinic.auditor, "api_key.created").await.remove(0);
    let forged = Purge {
        first,
        end: first + 3,
        month: "2026-09".parse().unwrap(),
        events: 3,
        next: first,
        certificate: CertificateId::from_bytes([1; 16]),
        event: other["id"].as_str().unwrap().parse::<EventId>().unwrap(),
        begun_at: Timestamp::from_seconds(1),
        ended_at: None,
    };
    let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
    tx.insert_purge(&forged).await.unwrap();
    assert_eq!(tx.purge_events(&forged, first + 3, &[]).await.unwrap(), 3);
    tx.commit().await.unwrap();
    let missing = |at| Finding { check: IntegrityCheck::EntryMissing, at };
    let found = guard::inspect(&app.instance, tenant(&clinic)).await.unwrap();
    assert!((first..first + 3).all(|at| found.contains(&missing(at))), "{found:?}");
    assert!(backups::prove(&app.instance, tenant(&clinic)).await.is_err());
}

async fn a_clock_that_jumps_ahead_lets_nothing_go_by_itself(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    two_months(&app, &clinic).await;
    by_two(&app, &clinic, "PUT", "/v1/audit/retention", &json!({"months": 72, "automatic": true})).await.ok();
    six_years(&app);
    let waits = Tended { waits: true, ..Tended::default() };
    assert_eq!(retention::tend(&app.instance, tenant(&clinic)).await.unwrap(), waits);
    // Not because something is logged by that clock, nor because the process begins anew by it.
    app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.after"})).await.created();
    let again = app.again(|_| ()).await;
    for days in [1, 38] {
        app.clock.advance_seconds(days * DAY);
        assert_eq!(retention::tend(&again.instance, tenant(&clinic)).await.unwrap(), waits);
    }
    assert!(kinds_in(&app, &clinic.auditor, SEPTEMBER).await.contains(&"app.visit.september".to_owned()));
    app.metrics.retained(Retained { waiting: 1, ..Retained::default() });
    assert!(has(&scrape(&app).await, "chancery_audit_purges_waiting 1"));
    // People who look can.
    assert!(!purge(&app, &clinic).await.ok()["purges"].as_array().unwrap().is_empty());
    assert!(!kinds_in(&app, &clinic.auditor, SEPTEMBER).await.contains(&"app.visit.september".to_owned()));
}

/// Six years in steps of sixty days, with an event after each.
async fn a_clock_that_is_moved_in_steps_lets_nothing_go_by_itself(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    two_months(&app, &clinic).await;
    by_two(&app, &clinic, "PUT", "/v1/audit/retention", &json!({"months": 72, "automatic": true})).await.ok();
    for _ in 0..37 {
        app.clock.advance_seconds(60 * DAY);
        app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.step"})).await.created();
    }
    let waits = Tended { waits: true, ..Tended::default() };
    for _ in 0..3 {
        assert_eq!(retention::tend(&app.instance, tenant(&clinic)).await.unwrap(), waits);
        app.clock.advance_seconds(20 * DAY);
        app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.step"})).await.created();
    }
    assert!(kinds_in(&app, &clinic.auditor, SEPTEMBER).await.contains(&"app.visit.september".to_owned()));
    // Once it has gone on as clocks do, it is believed.
    eighty_days_of_life(&app, &clinic).await;
    let done = retention::tend(&app.instance, tenant(&clinic)).await.unwrap();
    assert!(!done.waits && done.ordered >= 2, "{done:?}");
    assert!(!kinds_in(&app, &clinic.auditor, SEPTEMBER).await.contains(&"app.visit.september".to_owned()));
}

/// An order as it would lie in the queue, and the row that it is for: by who can write the store, and holds no key.
fn forged(clinic: &Clinic, at: u64, certificate: CertificateId, now: Timestamp) -> (QueuedEvent, Purge) {
    let bytes = [u8::try_from(at).unwrap(); 16];
    let (event, request) = (EventId::from_bytes(bytes), RequestId::from_bytes(bytes));
    let kind = EventKind::PurgeOrdered.as_str().to_owned();
    let core = json!({"action": "D", "actor": {"auth": "system", "kind": "system", "ref": "system"},
        "detail": {"certificate": certificate.to_string(), "end": at + 1, "events": 1, "first": at, "month": "2020-01"},
        "event_id": event.to_string(), "occurred_at": now.to_string(), "outcome": 0, "recorded_at": now.to_string(),
        "request_id": request.to_string(), "tenant_id": clinic.id, "type": kind});
    let (tenant, actor, core) = (tenant(clinic), "system".to_owned(), core.to_string());
    let queued = QueuedEvent {
        tenant,
        id: event,
        recorded_at: now,
        kind,
        actor,
        resource: None,
        outcome: 0,
        request,
        core,
        sealed: None,
    };
    let month = "2020-01".parse().unwrap();
    let (first, end, begun_at) = (at, at + 1, now);
    (queued, Purge { first, end, month, events: 1, next: first, certificate, event, begun_at, ended_at: None })
}

async fn a_forged_order_hides_nothing_and_lets_nothing_go(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    // Without a certificate, with one of something else, and with one that names other places.
    let other = issue(&app, &clinic).await["id"].as_str().unwrap().parse::<CertificateId>().unwrap();
    two_months(&app, &clinic).await;
    six_years(&app);
    let purged = purge(&app, &clinic).await.ok()["purges"].clone();
    let real = purged[1]["certificate_id"].as_str().unwrap().parse::<CertificateId>().unwrap();
    for (number, certificate) in (1..).zip([CertificateId::from_bytes([1; 16]), other, real]) {
        app.post(&clinic.service, "/v1/audit/events", json!({"type": "app.crime"})).await.created();
        sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
        let crimes = "/v1/audit/events?from=2032-01-01T00:00:00Z&to=2033-01-01T00:00:00Z&type=app.crime";
        let crime = app.get(&clinic.auditor, crimes).await.ok()["items"].as_array().unwrap().last().unwrap().clone();
        let at = crime["index"].as_u64().unwrap();
        let (order, purge) = forged(&clinic, at, certificate, app.instance.now());
        app.instance.store().append_events(&[order]).await.unwrap();
        let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
        tx.insert_purge(&purge).await.unwrap();
        tx.commit().await.unwrap();
        sequence::checkpoint(&app.instance, tenant(&clinic)).await.unwrap();
        // We do not do it ourselves, and say of it nothing to anybody; also of those that somebody says have ended.
        let forged = Tended { unproven: number, ..Tended::default() };
        assert_eq!(retention::tend(&app.instance, tenant(&clinic)).await.unwrap(), forged);
        let path = format!("/v1/audit/events/{}", crime["id"].as_str().unwrap());
        app.get(&clinic.auditor, &path).await.ok();
        let listed =
            app.get(&clinic.auditor, "/v1/audit/events?from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z").await;
        assert!(listed.ok()["purged"].as_array().is_none_or(Vec::is_empty));
        // Who did it past us is found.
        let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
        assert_eq!(tx.purge_events(&purge, at + 1, &[]).await.unwrap(), 1);
        tx.commit().await.unwrap();
        let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
        tx.end_purge(at, app.instance.now()).await.unwrap();
        tx.commit().await.unwrap();
        let found = guard::inspect(&app.instance, tenant(&clinic)).await.unwrap();
        assert!(found.contains(&Finding { check: IntegrityCheck::EntryMissing, at }), "{certificate}: {found:?}");
        assert!(backups::prove(&app.instance, tenant(&clinic)).await.is_err());
    }
    // What was ordered in truth is believed as before.
    let found = guard::inspect(&app.instance, tenant(&clinic)).await.unwrap();
    assert_eq!(found.len(), 3, "{found:?}");
}

/// A row of a purge that is over had all that it covers never go and never be archived, and nobody was told.
async fn a_forged_purge_that_has_ended_stops_no_other(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    two_months(&app, &clinic).await;
    six_years(&app);
    let (_, forged) = forged(&clinic, 1, CertificateId::from_bytes([1; 16]), app.instance.now());
    let forged = Purge { end: 1_000_000, next: 1_000_000, ended_at: Some(app.instance.now()), ..forged };
    let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
    tx.insert_purge(&forged).await.unwrap();
    tx.commit().await.unwrap();
    sequence::sequence(&app.instance, tenant(&clinic)).await.unwrap();
    let oldest = retention::standing(&app.instance, tenant(&clinic)).await.unwrap().oldest.unwrap();
    assert!(oldest < "2026-10-01T00:00:00Z".parse().unwrap(), "{oldest}");
    assert_eq!(retention::tend(&app.instance, tenant(&clinic)).await.unwrap().unproven, 1, "it is told of");
    assert_eq!(plan(&app, &clinic).await[..2], months(&[("2026-09", "due"), ("2026-10", "due")]));
    purge(&app, &clinic).await.ok();
    assert!(app.events(&clinic.auditor, "app.visit.september").await.is_empty());
    assert_eq!(guard::inspect(&app.instance, tenant(&clinic)).await.unwrap(), []);
}

/// An order would be the second row there.
async fn a_month_that_begins_where_a_purge_was_forged_waits_and_says_so(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    two_months(&app, &clinic).await;
    six_years(&app);
    let (_, forged) = forged(&clinic, 0, CertificateId::from_bytes([1; 16]), app.instance.now());
    let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
    tx.insert_purge(&forged).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(plan(&app, &clinic).await[..2], months(&[("2026-09", "disputed"), ("2026-10", "due")]));
    purge(&app, &clinic).await.ok();
    assert_eq!(app.events(&clinic.auditor, "app.visit.september").await.len(), 1);
    assert!(app.events(&clinic.auditor, "app.visit.october").await.is_empty());
}

async fn a_forged_order_is_shown_as_unproven_and_told_of_until_an_officer_dismisses_it(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    two_months(&app, &clinic).await;
    six_years(&app);
    let ordered = purge(&app, &clinic).await.ok()["purges"].clone();
    assert_eq!(ordered[0]["proof"], "ordered");
    let at = sequence::sequence(&app.instance, tenant(&clinic)).await.unwrap().size - 1;
    let (_, forged) = forged(&clinic, at, CertificateId::from_bytes([1; 16]), app.instance.now());
    let insert = async |purge: &Purge| {
        let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
        tx.insert_purge(purge).await.unwrap();
        tx.commit().await.unwrap();
    };
    insert(&forged).await;
    let unproven = async || retention::tend(&app.instance, tenant(&clinic)).await.unwrap().unproven;
    let proofs = async || {
        let stands = app.get(&clinic.auditor, "/v1/audit/retention").await.ok();
        let proofs =
            stands["purges"].as_array().unwrap().iter().map(|purge| purge["proof"].as_str().unwrap().to_owned());
        proofs.collect::<Vec<_>>()
    };
    assert_eq!((unproven().await, unproven().await), (1, 1), "it is told of again");
    assert_eq!(proofs().await, ["ordered", "ordered", "unproven"]);

    let dismiss = |first: u64| format!("/v1/audit/purges/{first}/dismiss");
    let why = json!({"reason": "seen with the administrator of the database"});
    app.post(&clinic.auditor, &dismiss(at), why.clone()).await.refused(403, "authz.denied");
    app.post(&clinic.officer, &dismiss(at), json!({"reason": ""})).await.refused(422, "request.invalid");
    app.post(&clinic.officer, &dismiss(at + 1), why.clone()).await.refused(404, "not_found");
    let real = ordered[0]["first"].as_u64().unwrap();
    app.post(&clinic.officer, &dismiss(real), why.clone()).await.refused(409, "state.conflict");
    let dismissed = app.post(&clinic.officer, &dismiss(at), why).await.ok();
    assert_eq!((&dismissed["first"], &dismissed["proof"]), (&json!(at), &json!("dismissed")));
    let events = "/v1/audit/events?from=2032-01-01T00:00:00Z&to=2033-01-01T00:00:00Z&type=audit.purge_dismissed";
    let told = app.get(&clinic.auditor, events).await.ok()["items"].clone();
    assert_eq!(told.as_array().unwrap().len(), 1);
    assert!(!told[0]["core"].as_str().unwrap().contains("administrator"), "{told}");

    let kinds = kinds_in(&app, &clinic.auditor, "from=2032-01-01T00:00:00Z&to=2033-01-01T00:00:00Z&limit=1000").await;
    let orders = kinds.iter().filter(|kind| *kind == "audit.purge_ordered").count();
    assert_eq!(orders, ordered.as_array().unwrap().len(), "the forged one has no event");

    assert_eq!(unproven().await, 0);
    assert_eq!(proofs().await, ["ordered", "ordered", "dismissed"]);
    // Nothing went for it, and another one is told of.
    assert_eq!(guard::inspect(&app.instance, tenant(&clinic)).await.unwrap(), []);
    insert(&Purge { first: at + 1, end: at + 2, next: at + 1, ..forged }).await;
    assert_eq!(unproven().await, 1);
    app.metrics.retained(Retained { unproven: 1, ..Retained::default() });
    assert!(has(&scrape(&app).await, "chancery_audit_purges_unproven 1"));
}

async fn a_month_waits_for_every_sink_whatever_its_row_says(backend: Backend) {
    let app = TestApp::on(backend).await;
    let sink = Fake::new(Takes::All, false);
    app.instance.feed_sinks(vec![sink.clone()]);
    let clinic = app.clinic("ours").await;
    two_months(&app, &clinic).await;
    six_years(&app);
    // One that was handed nothing yet is to have all that is there.
    let due = months(&[("2026-09", "due"), ("2026-10", "due")]);
    let unsent = months(&[("2026-09", "unsent"), ("2026-10", "unsent")]);
    assert_eq!(plan(&app, &clinic).await, unsent);
    let mut health = Health::default();
    let fed = feed(&app.instance, &*sink, tenant(&clinic), &mut health).await.unwrap();
    assert!(matches!(fed, Fed::Took { .. }), "{fed:?}");
    assert_eq!(plan(&app, &clinic).await, unsent);
    app.post(&clinic.officer, "/v1/audit/purge", json!({"reason": "x"})).await.refused(409, "state.conflict");
    // Who holds the store moves the cursor on: that frees nothing.
    let cursor =
        async || app.instance.store().view(tenant(&clinic)).await.unwrap().sink_cursors().await.unwrap().remove(0);
    let honest = cursor().await;
    let size = app.instance.store().view(tenant(&clinic)).await.unwrap().log_head().await.unwrap().size;
    let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
    let moved = SinkCursor { position: size, ..honest.clone() };
    tx.save_sink_cursor(&moved, Some(honest.position)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(plan(&app, &clinic).await, unsent);
    let mut tx = app.instance.store().begin(tenant(&clinic)).await.unwrap();
    tx.save_sink_cursor(&honest, Some(moved.position)).await.unwrap();
    tx.commit().await.unwrap();
    drain(&app, &sink, tenant(&clinic), &mut health).await;
    assert_eq!(plan(&app, &clinic).await, due);
    purge(&app, &clinic).await.ok();
    assert_eq!(guard::inspect(&app.instance, tenant(&clinic)).await.unwrap(), []);
}

/// The metrics, as the job tells them of one log.
async fn told(app: &TestApp, clinic: &Clinic) -> String {
    let standing = retention::standing(&app.instance, tenant(clinic)).await.unwrap();
    let mut stands = Retained::default();
    stands.add(&standing, app.instance.now());
    app.metrics.retained(stands);
    scrape(app).await
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

/// Of a purge that takes more than one transaction.
#[tokio::test]
async fn a_hold_that_is_placed_in_the_middle_of_a_purge_keeps_what_is_left_and_metrics_tell() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    for _ in 0..12 {
        let items: Vec<Value> = (0..100).map(|n| json!({"type": "app.step", "details": {"n": n}})).collect();
        app.post(&clinic.service, "/v1/audit/events/batch", json!({"items": items})).await.created();
    }
    two_months(&app, &clinic).await;
    six_years_of_life(&app, &clinic).await;
    by_two(&app, &clinic, "PUT", "/v1/audit/retention", &json!({"months": 72, "automatic": true})).await.ok();
    let first = async || {
        let purges = app.instance.store().view(tenant(&clinic)).await.unwrap().purges().await.unwrap();
        purges.into_iter().next()
    };
    // A commit at a time, until one transaction of the purge is through and the next one failed.
    let (mut budget, mut tries) = (0, 0);
    let left = loop {
        store.faults().fail_commits_after(budget);
        assert!(retention::tend(&app.instance, tenant(&clinic)).await.is_err(), "it did not end");
        store.faults().fail_commits_after(u64::MAX);
        match first().await {
            Some(purge) if purge.next > purge.first => break purge,
            Some(_) => budget = 1,
            None => budget += 1,
        }
        tries += 1;
        assert!(tries < 60);
    };
    assert!(left.next < left.end, "{left:?}");
    let text = told(&app, &clinic).await;
    assert!(has(&text, "chancery_audit_purges_open 2") && has(&text, "chancery_audit_holds 0"), "{text}");

    app.put(&clinic.officer, "/v1/audit/legal-holds/suit", json!({"reason": "Smith v. clinic"})).await.created();
    assert_eq!(retention::tend(&app.instance, tenant(&clinic)).await.unwrap(), Tended::default(), "it waits");
    assert_eq!(first().await.unwrap(), left);
    assert!(app.events(&clinic.auditor, "app.step").await.len() >= 100, "what was left stays");
    assert_eq!(guard::inspect(&app.instance, tenant(&clinic)).await.unwrap(), []);
    assert!(has(&told(&app, &clinic).await, "chancery_audit_holds 1"));

    by_two(&app, &clinic, "POST", "/v1/audit/legal-holds/suit/lift", &json!({"reason": "settled"})).await.ok();
    let done = retention::tend(&app.instance, tenant(&clinic)).await.unwrap();
    assert!(done.events >= 100, "{done:?}");
    app.metrics.purged(done.events);
    assert!(first().await.unwrap().ended_at.is_some());
    assert!(app.events(&clinic.auditor, "app.step").await.is_empty());
    let text = told(&app, &clinic).await;
    for line in [
        "chancery_audit_purges_open 0".to_owned(),
        "chancery_audit_holds 0".to_owned(),
        format!("chancery_audit_retention_purged_total {}", done.events),
    ] {
        assert!(has(&text, &line), "{line} in {text}");
    }
    // Nothing is older than what is kept: the next time is in the future, and the oldest event is of November.
    assert!(!has(&text, "chancery_audit_next_purge_seconds 0"), "{text}");
}

/// At every commit that it makes.
#[tokio::test]
async fn whoever_dies_in_between_leaves_a_log_that_is_whole_and_the_next_goes_on() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    two_months(&app, &clinic).await;
    six_years_of_life(&app, &clinic).await;
    by_two(&app, &clinic, "PUT", "/v1/audit/retention", &json!({"months": 72, "automatic": true})).await.ok();
    let mut deaths = 0;
    for commits in 0..40 {
        store.faults().fail_commits_after(commits);
        let tended = retention::tend(&app.instance, tenant(&clinic)).await;
        store.faults().fail_commits_after(u64::MAX);
        assert_eq!(guard::inspect(&app.instance, tenant(&clinic)).await.unwrap(), [], "after {commits}");
        match tended {
            Ok(done) if done == Tended::default() => break,
            Ok(_) => {}
            Err(_) => deaths += 1,
        }
    }
    assert!(deaths >= 4, "{deaths}");
    let purges = app.get(&clinic.auditor, "/v1/audit/retention").await.ok()["purges"].clone();
    assert_eq!(purges.as_array().unwrap().len(), 2, "none twice: {purges}");
    assert!(purges.as_array().unwrap().iter().all(|purge| purge["ended_at"].is_string()), "{purges}");
    assert_eq!(app.events(&clinic.auditor, "app.visit.september").await.len(), 0);
    backups::prove(&app.instance, tenant(&clinic)).await.unwrap();
}

/// What files of this folder hold of these texts.
fn held(folder: &std::path::Path, texts: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let holds = |text: &&String| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        found.extend(texts.iter().filter(holds).cloned());
    }
    found.sort();
    found.dedup();
    found
}

#[tokio::test]
async fn what_went_is_in_no_file_of_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::on(Backend::file(&folder.path().join("chancery.db")).await).await;
    let clinic = app.clinic("ours").await;
    two_months(&app, &clinic).await;
    let event = app.events(&clinic.auditor, "app.visit.september").await.remove(0);
    let reference: Value = serde_json::from_str(event["core"].as_str().unwrap()).unwrap();
    let texts = [
        "app.visit.september".to_owned(),
        event["id"].as_str().unwrap().to_owned(),
        reference["resource"]["ref_hmac"][0].as_str().unwrap().to_owned(),
        reference["sealed"]["note"].as_str().unwrap().to_owned(),
    ];
    app.instance.store().scrub().await.unwrap();
    assert_eq!(held(folder.path(), &texts).len(), 4, "it is there before");
    six_years(&app);
    purge(&app, &clinic).await.ok();
    assert_eq!(held(folder.path(), &texts), Vec::<String>::new());
}

/// The same of PostgreSQL, which overwrites nothing: the tables of the month go, and the platform's log tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_month_that_is_gone_for_everybody_is_dropped_and_told_of() {
    let Some(backend) = Backend::postgres().await else { return };
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    two_months(&app, &ours).await;
    log_months::make_ahead(&app.instance).await.unwrap();
    let event = json!({"type": "app.visit.november", "personal": {"note": "ben"}});
    app.post(&theirs.service, "/v1/audit/events", event).await.created();
    for clinic in [&ours, &theirs] {
        sequence::sequence(&app.instance, tenant(clinic)).await.unwrap();
    }
    six_years(&app);
    let none: [MonthPart; 0] = [];
    assert_eq!(log_months::drop_spent(&app.instance).await.unwrap(), none);
    purge(&app, &ours).await.ok();
    // In September the other tenant has something, in October nobody.
    let dropped = async || {
        let dropped = log_months::drop_spent(&app.instance).await.unwrap();
        dropped.iter().map(|part| format!("{} {}", part.month(), part.holds)).collect::<Vec<_>>()
    };
    assert_eq!(dropped().await, ["2026-10 events", "2026-10 personal"]);
    purge(&app, &theirs).await.ok();
    assert_eq!(dropped().await, ["2026-09 events", "2026-09 personal"]);
    assert_eq!(log_months::drop_spent(&app.instance).await.unwrap(), none);
    sequence::sequence(&app.instance, TenantId::PLATFORM).await.unwrap();
    let kind = Some(EventKind::MonthDropped.as_str().to_owned());
    let filter = EventFilter { kind, ..EventFilter::after(None, 100) };
    let told = app.instance.store().view(TenantId::PLATFORM).await.unwrap().logged_events(&filter).await.unwrap();
    assert_eq!(told.len(), 4);
    let core: Value = serde_json::from_str(&told[0].event.core).unwrap();
    assert_eq!(core["detail"], json!({"month": "2026-10", "older": 0, "what": "events"}));
    for clinic in [&ours, &theirs] {
        assert_eq!(guard::inspect(&app.instance, tenant(clinic)).await.unwrap(), []);
    }
    assert_eq!(guard::inspect(&app.instance, TenantId::PLATFORM).await.unwrap(), []);
}
