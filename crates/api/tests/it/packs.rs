//! Packs of many certificates and of spans of the log, from outside.

use std::sync::{Arc, atomic::Ordering};

use chancery_domain::{
    TenantId, Timestamp,
    audit::{
        StoredCheckpoint, alive,
        guard::{self, Cosignature, Witness, Witnesses},
        sequence,
    },
    certificates::{self, PackReport, PackScope, PackVerdict, verify_pack},
};
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, TestApp},
    guard::Local,
    proofs::issue,
};

backends! {
    a_list_of_certificates_verifies,
    a_span_of_the_log_holds_every_event_of_it,
    a_pack_is_the_same_bytes_each_time,
    the_platforms_log_tells_of_the_head_of_a_pack,
    a_pack_bears_what_witnesses_signed,
    a_pack_of_before_other_witnesses_were_asked_is_under_a_newer_head,
    who_asks_for_a_third_large_pack_at_once_is_told_so,
    nobody_adds_events_to_a_key_of_the_log,
}

/// Every span that a test can be in.
fn ever() -> Value {
    json!({"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00Z"})
}

/// The signed head of this size.
async fn head_of(app: &TestApp, tenant: TenantId, size: u64) -> StoredCheckpoint {
    let mut view = app.instance.store().view(tenant).await.unwrap();
    let before = (i64::try_from(size).unwrap(), i64::MAX);
    let raw = view.raw_checkpoints_before(before, 1).await.unwrap().pop().unwrap();
    assert_eq!(raw.size, before.0);
    StoredCheckpoint {
        size,
        note: String::from_utf8(raw.note).unwrap(),
        signed_at: Timestamp::from_micros(raw.signed_at),
    }
}

async fn pack(app: &TestApp, caller: &Caller, body: Value) -> Vec<u8> {
    let reply = app.post(caller, "/v1/certificates/packs", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "application/zip");
    reply.body
}

async fn verified(app: &TestApp, pack: &[u8]) -> PackReport {
    let trust = app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body;
    verify_pack(pack, &trust, None)
}

async fn rotate(app: &TestApp, clinic: &Clinic, managed: &str) {
    let keys = app.get(&clinic.officer, &format!("/v1/keys?managed={managed}")).await.ok();
    let id = keys["items"][0]["id"].as_str().unwrap();
    app.post(&clinic.officer, &format!("/v1/keys/{id}/rotate"), json!({})).await.ok();
}

fn detail<'a>(report: &'a PackReport, name: &str) -> &'a str {
    let check = report.checks.iter().find(|check| check.name == name);
    check.unwrap_or_else(|| panic!("no check {name} in {:?}", report.checks)).detail.as_str()
}

async fn a_list_of_certificates_verifies(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("ours").await, app.clinic("theirs").await);
    let mut ids = Vec::new();
    for round in 0..3 {
        for _ in 0..3 {
            ids.push(issue(&app, &clinic).await["id"].as_str().unwrap().to_owned());
        }
        rotate(&app, &clinic, ["certificate", "log", "certificate"][round]).await;
    }
    let wanted = json!({"certificates": [ids[7], ids[0], ids[4], ids[0]]});
    let bytes = pack(&app, &clinic.auditor, wanted).await;
    let report = verified(&app, &bytes).await;
    assert_eq!(report.verdict, PackVerdict::Verified, "{:?}", report.checks);
    let mut expected = [&ids[0], &ids[4], &ids[7]];
    expected.sort_unstable();
    assert_eq!(report.certificates.iter().collect::<Vec<_>>(), expected);
    assert!(!report.checks.iter().any(|check| check.name == "completeness"));

    let foreign = issue(&app, &other).await["id"].clone();
    for missing in [json!([ids[0], foreign]), json!(["crt_01JD5V7N8Q0000000000000001"]), json!(["nonsense"])] {
        let body = json!({"certificates": missing});
        app.post(&clinic.auditor, "/v1/certificates/packs", body).await.refused(404, "not_found");
    }
    let many: Vec<&String> = std::iter::repeat_n(&ids[0], 1_001).collect();
    for bad in
        [json!({"certificates": []}), json!({"certificates": many}), json!({}), json!({"from": "2026-01-01T00:00:00Z"})]
    {
        app.post(&clinic.auditor, "/v1/certificates/packs", bad).await.refused(422, "request.invalid");
    }
}

async fn a_span_of_the_log_holds_every_event_of_it(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    issue(&app, &clinic).await;
    let from = app.events(&clinic.auditor, "certificate.issued").await[0]["recorded_at"].clone();
    let second = issue(&app, &clinic).await["id"].clone();
    rotate(&app, &clinic, "certificate").await;
    issue(&app, &clinic).await;
    for _ in 0..20 {
        assert_eq!(app.get(&clinic.auditor, "/v1/audit/checkpoint").await.status, 200);
    }
    let everything = verified(&app, &pack(&app, &clinic.auditor, ever()).await).await;
    assert_eq!(everything.verdict, PackVerdict::Verified, "{:?}", everything.checks);
    // The three, and the statement of the rotation.
    assert_eq!(everything.certificates.len(), 4);
    assert_eq!(detail(&everything, "completeness"), "0 gaps across 1 nodes");
    let (held, all) = detail(&everything, "inclusion").split_once(" of ").unwrap();
    assert_eq!(format!("{held} events"), all);

    // A part of it: what was before is not there, and is proven past.
    let part = json!({"from": from, "to": "2026-12-31T00:00:00Z"});
    let part = verified(&app, &pack(&app, &clinic.auditor, part).await).await;
    assert_eq!(part.verdict, PackVerdict::Verified, "{:?}", part.checks);
    assert_ne!(detail(&part, "proof"), "0 hashes");

    // A key that was compromised does not spoil the evidence of everything else.
    let keys = app.get(&clinic.officer, "/v1/keys?managed=certificate").await.ok();
    let id = keys["items"][0]["id"].as_str().unwrap();
    let body = json!({"version": 1, "reason": "key_compromise"});
    app.post(&clinic.officer, &format!("/v1/keys/{id}/revoke"), body).await.ok();
    let after = verified(&app, &pack(&app, &clinic.auditor, ever()).await).await;
    assert_eq!((after.verdict, after.certificates.len()), (PackVerdict::Verified, 2), "{:?}", after.checks);
    assert!(
        after
            .checks
            .iter()
            .any(|check| check.detail.contains(second.as_str().unwrap()) && check.detail.contains("untrusted"))
    );

    // Whoever may read certificates only does not get the log in this way.
    app.post(&clinic.service, "/v1/certificates/packs", ever()).await.refused(403, "authz.denied");
    for bad in [
        json!({"from": "2026-03-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}),
        json!({"from": "2026-01-01T00:00:00Z", "to": "2027-02-01T00:00:00Z"}),
        json!({"from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"}),
    ] {
        app.post(&clinic.auditor, "/v1/certificates/packs", bad).await.refused(422, "request.invalid");
    }
    assert_eq!(app.events(&clinic.auditor, "certificate.exported").await.len(), 4);
}

async fn a_pack_is_the_same_bytes_each_time(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let id = issue(&app, &clinic).await["id"].as_str().unwrap().parse().unwrap();
    let tenant: TenantId = clinic.id.parse().unwrap();
    let head = sequence::checkpoint(&app.instance, tenant).await.unwrap();
    let span =
        PackScope::Range { from: "2026-01-01T00:00:00Z".parse().unwrap(), to: "2026-12-31T00:00:00Z".parse().unwrap() };
    for scope in [PackScope::Certificates(vec![id]), span] {
        let first = certificates::assemble(&app.instance, tenant, &scope, &head).await.unwrap();
        // The log goes on meanwhile; the pack is of its head.
        issue(&app, &clinic).await;
        sequence::checkpoint(&app.instance, tenant).await.unwrap();
        let again = certificates::assemble(&app.instance, tenant, &scope, &head).await.unwrap();
        assert_eq!(first, again);
        assert_eq!(verified(&app, &first).await.verdict, PackVerdict::Verified);
    }
}

async fn the_platforms_log_tells_of_the_head_of_a_pack(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("ours").await, app.clinic("theirs").await);
    issue(&app, &other).await;
    pack(&app, &other.auditor, ever()).await;
    let id = issue(&app, &clinic).await["id"].clone();
    for scope in [json!({"certificates": [id]}), ever()] {
        let bytes = pack(&app, &clinic.auditor, scope).await;
        let report = verified(&app, &bytes).await;
        assert_eq!(report.verdict, PackVerdict::Verified, "{:?}", report.checks);
        let told = detail(&report, "anchor_event");
        assert!(told.ends_with("of the platform's log tells of this head"), "{told}");
        // Of others it says nothing, and nobody was asked to witness.
        assert!(!bytes.windows(other.id.len()).any(|text| text == other.id.as_bytes()));
        assert!(!report.checks.iter().any(|check| check.name == "witnesses"));
    }
}

/// A trust file with a quorum once refused every pack: there were no cosignatures in any.
async fn a_pack_bears_what_witnesses_signed(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let all = [Local::new("w/1", 1), Local::new("w/2", 2), Local::new("w/3", 3)];
    let list = all.iter().map(|local| Witness { key: local.key(), port: local.clone() }).collect();
    let asked = Witnesses { list, quorum: 2, strict: false, max_age_seconds: 900 };
    app.instance.guard().witnessed_by(asked, chancery_domain::Clock::now(&*app.clock));
    let id = issue(&app, &clinic).await["id"].as_str().unwrap().to_owned();
    let scope = json!({"certificates": [id]});
    // Nobody answers: the pack is made all the same, and says so.
    all.iter().for_each(|local| local.away.store(true, Ordering::SeqCst));
    let alone = verified(&app, &pack(&app, &clinic.auditor, scope.clone()).await).await;
    assert_eq!((alone.verdict, alone.verdict.exit_code()), (PackVerdict::Unwitnessed, 20), "{:?}", alone.checks);
    assert_eq!(detail(&alone, "witnesses"), "0 of 2 cosignatures");

    all[..2].iter().for_each(|local| local.away.store(false, Ordering::SeqCst));
    let bytes = pack(&app, &clinic.auditor, scope.clone()).await;
    let report = verified(&app, &bytes).await;
    assert_eq!(report.verdict, PackVerdict::Verified, "{:?}", report.checks);
    assert_eq!(detail(&report, "witnesses"), "2 of 2 cosignatures; as many at 2026-09-21T14:15:00.000000Z");

    // Both are the same bytes ever after, whatever happens to the logs; the first is witnessed by now.
    let made_again = async |report: &PackReport| {
        let size = report.as_of.unwrap().size;
        let head = head_of(&app, tenant, size).await;
        let scope = PackScope::Certificates(vec![id.parse().unwrap()]);
        certificates::assemble(&app.instance, tenant, &scope, &head).await.unwrap()
    };
    let first = made_again(&alone).await;
    assert_eq!(verified(&app, &first).await.verdict, PackVerdict::Verified);
    for _ in 0..2 {
        issue(&app, &clinic).await;
        pack(&app, &clinic.auditor, ever()).await;
        guard::cosign(&app.instance).await.unwrap();
        assert_eq!(made_again(&report).await, bytes);
        assert_eq!(made_again(&alone).await, first);
    }
}

/// Each head that the witnesses of before signed was looked at, for every pack: of years that is more than anybody waits for.
async fn a_pack_of_before_other_witnesses_were_asked_is_under_a_newer_head(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let local = Local::new("w/1", 1);
    let list = vec![Witness { key: local.key(), port: local.clone() }];
    let now = chancery_domain::Clock::now(&*app.clock);
    app.instance.guard().witnessed_by(Witnesses { list, quorum: 1, strict: false, max_age_seconds: 900 }, now);
    local.away.store(true, Ordering::SeqCst);
    let id = issue(&app, &clinic).await["id"].as_str().unwrap().to_owned();
    let alone = verified(&app, &pack(&app, &clinic.auditor, json!({"certificates": [id]})).await).await;
    assert_eq!(alone.verdict, PackVerdict::Unwitnessed, "{:?}", alone.checks);

    for _ in 0..70 {
        alive::started(&app.instance).await.unwrap();
        let size = sequence::checkpoint(&app.instance, TenantId::PLATFORM).await.unwrap().size;
        let (witness, line) = ("w/before".to_owned(), "x\n".to_owned());
        let mut tx = app.instance.store().begin(TenantId::PLATFORM).await.unwrap();
        tx.put_cosignature(&Cosignature { size, witness, line, cosigned_at: now }).await.unwrap();
        tx.commit().await.unwrap();
    }
    let made_again = async || {
        let (tenant, size) = (clinic.id.parse().unwrap(), alone.as_of.unwrap().size);
        let head = head_of(&app, tenant, size).await;
        let scope = PackScope::Certificates(vec![id.parse().unwrap()]);
        certificates::assemble(&app.instance, tenant, &scope, &head).await.unwrap()
    };
    let report = verified(&app, &made_again().await).await;
    assert_eq!(report.verdict, PackVerdict::Unwitnessed, "{:?}", report.checks);
    local.away.store(false, Ordering::SeqCst);
    guard::cosign(&app.instance).await.unwrap();
    let report = verified(&app, &made_again().await).await;
    assert_eq!(report.verdict, PackVerdict::Verified, "{:?}", report.checks);
}

/// Once they waited without limit, each in one of the server's places for requests.
async fn who_asks_for_a_third_large_pack_at_once_is_told_so(backend: Backend) {
    let app = Arc::new(TestApp::on(backend).await);
    let clinic = app.clinic("ours").await;
    let id = issue(&app, &clinic).await["id"].clone();
    let about = json!({"subject": {"kind": "patient", "ref": "patient-17"}});
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..12 {
        let (app, auditor) = (Arc::clone(&app), Caller { bearer: clinic.auditor.bearer.clone() });
        let body = if number % 2 == 0 { ever() } else { about.clone() };
        calls.spawn(async move { app.post(&auditor, "/v1/certificates/packs", body).await });
    }
    let replies = calls.join_all().await;
    let made = replies.iter().filter(|reply| reply.status == 200).count();
    let busy: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert!(made >= 2 && !busy.is_empty(), "{made} were made");
    for reply in busy {
        reply.refused(503, "overloaded");
        assert_eq!(reply.headers["retry-after"], "5");
    }
    // The places are free again; a pack of a certificate never needed one.
    pack(&app, &clinic.auditor, ever()).await;
    pack(&app, &clinic.auditor, about.clone()).await;
    pack(&app, &clinic.auditor, json!({"certificates": [id]})).await;
}

/// They would all be read whenever a head is signed or a certificate checked.
async fn nobody_adds_events_to_a_key_of_the_log(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let on = |id: &str| json!({"type": "app.x", "resource": {"kind": "key", "id": id}});
    for managed in ["log", "certificate", "data"] {
        let keys = app.get(&clinic.officer, &format!("/v1/keys?managed={managed}")).await.ok();
        let id = keys["items"][0]["id"].as_str().unwrap();
        let refused = app.post(&clinic.service, "/v1/audit/events", on(id)).await;
        refused.refused(422, "request.invalid");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/resource/id");
        let batch = json!({"items": [{"type": "app.x"}, on(id)]});
        let refused = app.post(&clinic.service, "/v1/audit/events/batch", batch).await;
        refused.refused(422, "request.invalid");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/items/1/resource/id");
    }
    // A key of the tenant's own is a thing like any other.
    let own = json!({"name": "n", "type": "ed25519", "purpose": "signing"});
    let own = app.post(&clinic.officer, "/v1/keys", own).await.created();
    app.post(&clinic.service, "/v1/audit/events", on(own["id"].as_str().unwrap())).await.created();
}
