//! What becomes of certificates, and many at once, from outside.

use chancery_domain::{
    TenantId,
    certificates::{Certificate, PackVerdict, verify_pack},
    ids::CertificateId,
};
use serde_json::{Value, json};

use crate::{
    app::{Backend, Clinic, TestApp},
    proofs::{claim, issue},
};

backends! {
    a_revoked_certificate_is_told_of_online_and_offline,
    a_certificate_takes_the_place_of_another_of_its_kind,
    nothing_takes_the_place_of_a_certificate_about_somebody_else,
    a_batch_is_issued_whole_or_not_at_all,
    certificates_about_one_person_make_a_pack,
    certificates_are_listed_by_kind,
    a_tenant_that_is_locked_down_refuses_what_looks_like_personal_data,
    every_completed_rotation_is_stated,
    a_certificate_key_goes_on_as_another_type,
}

const SPAN: &str = "from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z";

pub(crate) async fn verdict(app: &TestApp, clinic: &Clinic, certificate: &Value) -> String {
    let id = certificate["id"].as_str().unwrap();
    let report = app.get(&clinic.auditor, &format!("/v1/certificates/{id}/verify")).await.ok();
    assert_eq!(report["valid"], report["verdict"] == "valid");
    let envelope = json!({"envelope": certificate["envelope"]});
    let same = app.post(&clinic.auditor, "/v1/certificates/verify", envelope).await.ok();
    assert_eq!(report["verdict"], same["verdict"]);
    report["verdict"].as_str().unwrap().to_owned()
}

pub(crate) async fn offline(app: &TestApp, clinic: &Clinic, scope: Value) -> (PackVerdict, Vec<String>, String) {
    let pack = app.post(&clinic.auditor, "/v1/certificates/packs", scope).await;
    assert_eq!(pack.status, 200, "{}", pack.text());
    let trust = app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body;
    let report = verify_pack(&pack.body, &trust, None);
    let last = report.checks.last().map(|check| check.detail.clone()).unwrap_or_default();
    (report.verdict, report.certificates, last)
}

async fn a_revoked_certificate_is_told_of_online_and_offline(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("ours").await, app.clinic("theirs").await);
    let (first, second) = (issue(&app, &clinic).await, issue(&app, &clinic).await);
    let id = first["id"].as_str().unwrap();
    let path = format!("/v1/certificates/{id}/revoke");
    app.post(&other.officer, &path, json!({})).await.refused(404, "not_found");
    app.post(&clinic.officer, &path, json!({"reason": "because"})).await.refused(422, "request.invalid");
    let end = app.post(&clinic.officer, &path, json!({"reason": "error"})).await.ok();
    assert_eq!((&end["state"], &end["reason"], &end["successor"]), (&json!("revoked"), &json!("error"), &Value::Null));
    app.post(&clinic.officer, &path, json!({})).await.refused(409, "state.conflict");
    assert_eq!(verdict(&app, &clinic, &first).await, "revoked");
    assert_eq!(verdict(&app, &clinic, &second).await, "valid");
    // Its bytes are what they were.
    assert_eq!(app.get(&clinic.auditor, &format!("/v1/certificates/{id}")).await.ok()["envelope"], first["envelope"]);

    let (alone, ids, last) = offline(&app, &clinic, json!({"certificates": [id]})).await;
    assert_eq!((alone, ids), (PackVerdict::Failed, Vec::new()));
    assert!(last.contains("revoked"), "{last}");
    let ever = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00Z"});
    let (span, ids, _) = offline(&app, &clinic, ever).await;
    assert_eq!((span, ids), (PackVerdict::Verified, vec![second["id"].as_str().unwrap().to_owned()]));
    let events = app.events(&clinic.auditor, "certificate.revoked").await;
    assert_eq!(events.len(), 1);
}

async fn a_certificate_takes_the_place_of_another_of_its_kind(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("ours").await, app.clinic("theirs").await);
    let (old, foreign) = (issue(&app, &clinic).await, issue(&app, &other).await);
    let anew = |supersedes: &Value, kind: &str| {
        let mut claim = claim();
        claim["supersedes"] = supersedes.clone();
        claim["kind"] = json!(kind);
        claim
    };
    for (supersedes, kind) in
        [(&foreign["id"], "app.access-report"), (&json!("crt_x"), "app.access-report"), (&old["id"], "app.other")]
    {
        app.post(&clinic.service, "/v1/certificates", anew(supersedes, kind)).await.refused(422, "request.invalid");
    }
    let new = app.post(&clinic.service, "/v1/certificates", anew(&old["id"], "app.access-report")).await.created();
    assert_eq!(verdict(&app, &clinic, &old).await, "superseded");
    assert_eq!(verdict(&app, &clinic, &new).await, "valid");
    let twice = anew(&old["id"], "app.access-report");
    app.post(&clinic.service, "/v1/certificates", twice).await.refused(422, "request.invalid");
    // One that was superseded can still turn out to be wrong.
    let path = format!("/v1/certificates/{}/revoke", old["id"].as_str().unwrap());
    app.post(&clinic.officer, &path, json!({"reason": "error"})).await.ok();
    assert_eq!(verdict(&app, &clinic, &old).await, "revoked");
    assert_eq!(verdict(&app, &clinic, &new).await, "valid");
}

/// A new certificate about one patient once ended that of another.
async fn nothing_takes_the_place_of_a_certificate_about_somebody_else(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let old = issue(&app, &clinic).await;
    let anew = |kind: &str, reference: &str| {
        let mut claim = claim();
        claim["subject"] = json!({"kind": kind, "ref": reference});
        claim["supersedes"] = old["id"].clone();
        claim
    };
    for (kind, reference) in [("patient", "patient-18"), ("visit", "patient-17")] {
        let refused = app.post(&clinic.service, "/v1/certificates", anew(kind, reference)).await;
        refused.refused(422, "request.invalid");
        let fault = &refused.json()["errors"][0];
        assert_eq!((&fault["pointer"], &fault["code"]), (&json!("/supersedes"), &json!("subject")));
        let batch = json!({"items": [claim(), anew(kind, reference)]});
        let refused = app.post(&clinic.service, "/v1/certificates/batch", batch).await;
        assert_eq!(refused.json()["errors"][0]["pointer"], "/items/1/supersedes");
    }
    assert_eq!(verdict(&app, &clinic, &old).await, "valid");
    assert!(app.events(&clinic.auditor, "certificate.superseded").await.is_empty());
    // Whoever it is about is the same under a new key of references.
    let keys = app.get(&clinic.officer, "/v1/keys?managed=subject").await.ok();
    let rotate = format!("/v1/keys/{}/rotate", keys["items"][0]["id"].as_str().unwrap());
    app.post(&clinic.officer, &rotate, json!({})).await.ok();
    app.post(&clinic.service, "/v1/certificates", anew("patient", "patient-17")).await.created();
    assert_eq!(verdict(&app, &clinic, &old).await, "superseded");
}

async fn a_batch_is_issued_whole_or_not_at_all(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let of = |number: usize| {
        let mut claim = claim();
        claim["subject"]["ref"] = json!(format!("patient-{number}"));
        claim
    };
    let mut items: Vec<Value> = (0..60).map(of).collect();
    items[17]["kind"] = json!("access-report");
    items[41]["statement"]["params"]["name"] = json!("Maria Gomez");
    let refused = app.post(&clinic.service, "/v1/certificates/batch", json!({"items": items})).await;
    refused.refused(422, "request.invalid");
    let pointers: Vec<Value> =
        refused.json()["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!(pointers, ["/items/17/kind", "/items/41/statement/params"]);
    items[17] = of(17);
    items[41] = of(41);
    // What only the store knows is told by its place too, and nothing of the others stays.
    items[59]["supersedes"] = json!("crt_01JD5V7N8Q0000000000000001");
    let refused = app.post(&clinic.service, "/v1/certificates/batch", json!({"items": items})).await;
    assert_eq!(refused.json()["errors"][0]["pointer"], "/items/59/supersedes");
    assert_eq!(app.events(&clinic.auditor, "certificate.issued").await.len(), 0);

    items[59] = of(59);
    let issued = app.post(&clinic.service, "/v1/certificates/batch", json!({"items": items})).await.created();
    let issued = issued["items"].as_array().unwrap();
    assert_eq!(issued.len(), 60);
    let salts: std::collections::BTreeSet<&str> =
        issued.iter().map(|one| one["subject_salt"].as_str().unwrap()).collect();
    assert_eq!(salts.len(), 60);
    assert_eq!(app.events(&clinic.auditor, "certificate.issued").await.len(), 60);
    for one in [&issued[0], &issued[59]] {
        assert_eq!(verdict(&app, &clinic, one).await, "valid");
    }
    for count in [0, 1_001] {
        let items: Vec<Value> = (0..count).map(of).collect();
        let reply = app.post(&clinic.service, "/v1/certificates/batch", json!({"items": items})).await;
        reply.refused(422, "request.invalid");
        assert_eq!(reply.json()["errors"][0]["pointer"], "/items");
    }
}

async fn certificates_about_one_person_make_a_pack(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("ours").await, app.clinic("theirs").await);
    let mut ours = vec![issue(&app, &clinic).await["id"].as_str().unwrap().to_owned()];
    let mut another = claim();
    another["subject"]["ref"] = json!("patient-18");
    app.post(&clinic.service, "/v1/certificates", another).await.created();
    issue(&app, &other).await;
    // Under a new key of references the older names are found too.
    let keys = app.get(&clinic.officer, "/v1/keys?managed=subject").await.ok();
    let rotate = format!("/v1/keys/{}/rotate", keys["items"][0]["id"].as_str().unwrap());
    app.post(&clinic.officer, &rotate, json!({})).await.ok();
    ours.push(issue(&app, &clinic).await["id"].as_str().unwrap().to_owned());
    let scope = |reference: &str| json!({"subject": {"kind": "patient", "ref": reference}});
    let pack = app.post(&clinic.auditor, "/v1/certificates/packs", scope("patient-17")).await;
    assert!(!pack.body.windows(10).any(|bytes| bytes == b"patient-17"));
    let (verdict, ids, _) = offline(&app, &clinic, scope("patient-17")).await;
    ours.sort_unstable();
    assert_eq!((verdict, ids), (PackVerdict::Verified, ours));
    for nobody in [scope("patient-19"), json!({"subject": {"kind": "record", "ref": "patient-17"}})] {
        app.post(&clinic.auditor, "/v1/certificates/packs", nobody).await.refused(404, "not_found");
    }
    // Who asks later what left about this person finds it; the reference itself is nowhere.
    let named = format!("/v1/audit/events?{SPAN}&type=certificate.exported&rows=patient/");
    let left = app.get(&clinic.auditor, &format!("{named}patient-17")).await.ok();
    assert_eq!(left["items"].as_array().unwrap().len(), 2, "{left}");
    assert!(!left.to_string().contains("patient-17"));
    assert_eq!(app.get(&clinic.auditor, &format!("{named}patient-18")).await.ok()["items"], json!([]));
    let bad = json!({"subject": {"kind": "Patient", "ref": ""}});
    app.post(&clinic.auditor, "/v1/certificates/packs", bad).await.refused(422, "request.invalid");
}

async fn certificates_are_listed_by_kind(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("ours").await, app.clinic("theirs").await);
    for number in 0..5 {
        let mut claim = claim();
        claim["kind"] = json!(["app.a", "app.b"][number % 2]);
        app.post(&clinic.service, "/v1/certificates", claim).await.created();
    }
    issue(&app, &other).await;
    let list = |query: &str| format!("/v1/certificates?{query}");
    let page = app.get(&clinic.auditor, &list("kind=app.a&limit=2")).await.ok();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let id = page["items"][0]["id"].as_str().unwrap();
    app.post(&clinic.officer, &format!("/v1/certificates/{id}/revoke"), json!({"reason": "withdrawn"})).await.ok();
    let first = app.get(&clinic.auditor, &list("kind=app.a&limit=1")).await.ok()["items"][0].clone();
    assert_eq!((&first["kind"], &first["statement"]["code"]), (&json!("app.a"), &json!("app.consent-given")));
    assert_eq!(first["ends"][0]["reason"], "withdrawn");
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = app.get(&clinic.auditor, &list(&format!("kind=app.a&cursor={cursor}"))).await.ok();
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &Value::Null));
    assert_eq!(app.get(&clinic.auditor, "/v1/certificates").await.ok()["items"].as_array().unwrap().len(), 5);
    app.get(&clinic.auditor, &list("kind=No+Kind")).await.refused(422, "request.invalid");
}

async fn a_tenant_that_is_locked_down_refuses_what_looks_like_personal_data(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("ours").await, app.clinic("theirs").await);
    let with = |name: &str, value: Value| {
        let mut claim = claim();
        claim["statement"]["params"][name] = value;
        claim
    };
    // The schema has room for it: digits are a token, a number or a date.
    let odd = [
        with("x", json!("123-45-6789")),
        with("x", json!(123_456_789)),
        with("x", json!("MRN-123456")),
        with("x", json!("1980-02-29")),
        with("n5551234567", json!(true)),
    ];
    let before = app.post(&clinic.service, "/v1/certificates", odd[0].clone()).await.created();
    assert_eq!(app.get(&clinic.admin, "/v1/lockdown").await.ok(), json!({"on": false, "since": null}));
    let on = app.put(&clinic.admin, "/v1/lockdown", json!({"on": true})).await.ok();
    assert!(on["since"].is_string());
    assert_eq!(app.put(&clinic.admin, "/v1/lockdown", json!({"on": true})).await.ok(), on);
    for claim in &odd {
        let refused = app.post(&clinic.service, "/v1/certificates", claim.clone()).await;
        refused.refused(422, "phi.suspected");
        for text in ["6789", "MRN", "1980"] {
            assert!(!refused.text().contains(text), "{}", refused.text());
        }
    }
    let batch = app.post(&clinic.service, "/v1/certificates/batch", json!({"items": [claim(), odd[2]]})).await;
    batch.refused(422, "phi.suspected");
    assert_eq!(batch.json()["errors"][0]["code"], "record_number");
    assert!(batch.json()["errors"][0]["pointer"].as_str().unwrap().starts_with("/items/1/statement/params"));
    issue(&app, &clinic).await;
    app.post(&other.service, "/v1/certificates", odd[0].clone()).await.created();

    // Nor do events of its own carry what a certificate may not.
    let told = |details: Value| json!({"type": "app.visit.closed", "details": details});
    for details in [json!({"ssn": 123_456_789}), json!({"id": "MRN_1234567"}), json!({"born": "19800229"})] {
        let refused = app.post(&clinic.service, "/v1/audit/events", told(details.clone())).await;
        refused.refused(422, "phi.suspected");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/details");
        assert!(!refused.text().contains("6789") && !refused.text().contains("MRN"), "{}", refused.text());
        let items = json!({"items": [told(json!({"n": 7})), told(details.clone())]});
        let refused = app.post(&clinic.service, "/v1/audit/events/batch", items).await;
        refused.refused(422, "phi.suspected");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/items/1/details");
        app.post(&other.service, "/v1/audit/events", told(details)).await.created();
    }
    app.post(&clinic.service, "/v1/audit/events", told(json!({"n": 7, "on": "2026-09-01"}))).await.created();

    // What was there before is found, and by its place alone.
    let report = app.get(&clinic.auditor, "/v1/lockdown/report?days=300").await.ok();
    assert_eq!((&report["certificates"], &report["complete"], &report["found"]), (&json!(2), &json!(true), &json!(1)));
    assert_eq!((&report["items"][0]["id"], &report["items"][0]["detector"]), (&before["id"], &json!("ssn")));
    assert!(report["events"].as_u64().unwrap() > 5);
    app.get(&clinic.auditor, "/v1/lockdown/report?days=0").await.refused(422, "request.invalid");

    app.put(&clinic.admin, "/v1/lockdown", json!({"on": false})).await.ok();
    app.post(&clinic.service, "/v1/certificates", odd[0].clone()).await.created();

    // Numbers in an application's events are looked at, the size of a file is not.
    let event = app.post(&clinic.service, "/v1/audit/events", told(json!({"ssn": 123_456_789}))).await.created();
    let mut large = claim();
    large["evidence"][0]["size"] = json!(123_456_789);
    app.post(&clinic.service, "/v1/certificates", large).await.created();
    let report = app.get(&clinic.auditor, "/v1/lockdown/report?days=300").await.ok();
    let found: Vec<(&Value, &Value)> =
        report["items"].as_array().unwrap().iter().map(|item| (&item["id"], &item["pointer"])).collect();
    assert_eq!(report["found"], 3, "{report}");
    assert!(found.contains(&(&event["id"], &json!("/detail/ssn"))), "{report}");
}

/// It once ended at the twenty thousandth from the oldest, so what was issued last was never looked at.
#[tokio::test]
async fn a_report_looks_at_every_certificate() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let old = issue(&app, &clinic).await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let mut view = app.instance.store().view(tenant).await.unwrap();
    let template = view.certificate(old["id"].as_str().unwrap().parse().unwrap()).await.unwrap().unwrap();
    drop(view);
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    for number in 0..20_000_u128 {
        // Before any id of today.
        let id = CertificateId::from_bytes((number + 1).to_be_bytes());
        tx.insert_certificate(&Certificate { id, ..template.clone() }).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut odd = claim();
    odd["statement"]["params"]["x"] = json!("123-45-6789");
    let odd = app.post(&clinic.service, "/v1/certificates", odd).await.created();
    let report = app.get(&clinic.auditor, "/v1/lockdown/report?days=1").await.ok();
    assert_eq!((&report["certificates"], &report["complete"]), (&json!(20_002), &json!(true)));
    assert_eq!((&report["found"], &report["items"][0]["id"]), (&json!(1), &odd["id"]));
}

async fn every_completed_rotation_is_stated(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let named = json!({"name": "n", "type": "ed25519", "purpose": "signing"});
    let named = app.post(&clinic.officer, "/v1/keys", named).await.created()["id"].as_str().unwrap().to_owned();
    let mut ids = vec![named];
    for managed in ["log", "certificate", "data"] {
        let keys = app.get(&clinic.officer, &format!("/v1/keys?managed={managed}")).await.ok();
        ids.push(keys["items"][0]["id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        app.post(&clinic.officer, &format!("/v1/keys/{id}/rotate"), json!({})).await.ok();
    }
    // A key that seals is not through with its old version: values may be under it.
    let lines = app.get(&clinic.auditor, "/v1/certificates?kind=key-rotation").await.ok();
    let lines = lines["items"].as_array().unwrap();
    let of: Vec<&Value> = lines.iter().map(|line| &line["statement"]["params"]["managed"]).collect();
    assert_eq!(of, [&json!("NONE"), &json!("LOG"), &json!("CERTIFICATE")]);
    for line in lines {
        assert_eq!(line["statement"]["params"]["retired_version"], 1);
        let verified =
            app.get(&clinic.auditor, &format!("/v1/certificates/{}/verify", line["id"].as_str().unwrap())).await;
        assert_eq!(verified.ok()["verdict"], "valid");
    }
}

/// It was stated in a commit of its own; a process that died before it left a rotation without its certificate for good.
#[tokio::test]
async fn a_rotation_of_the_certificate_key_and_its_statement_are_one_commit() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let keys = app.get(&clinic.officer, "/v1/keys?managed=certificate").await.ok();
    let id = keys["items"][0]["id"].as_str().unwrap();
    let mut rotated = 0;
    for commits in [0, 1, 2, 3, u64::MAX] {
        store.faults().fail_commits_after(commits);
        let _ = app.post(&clinic.officer, &format!("/v1/keys/{id}/rotate"), json!({})).await;
        store.faults().fail_commits_after(u64::MAX);
        let key = app.get(&clinic.officer, &format!("/v1/keys/{id}")).await.ok();
        rotated = key["versions"].as_array().unwrap().len() - 1;
        let stated = app.get(&clinic.auditor, "/v1/certificates?kind=key-rotation").await.ok();
        assert_eq!(stated["items"].as_array().unwrap().len(), rotated, "after {commits} commits");
    }
    assert!(rotated > 0);
    // Stated with the new version, after its activation.
    let all = app.events(&clinic.auditor, "certificate.issued").await;
    assert_eq!(all.len(), rotated);
    for kind in ["key.activated", "key.rotated"] {
        let told = app.events(&clinic.auditor, kind).await;
        let last = told.iter().rfind(|event| event["resource"] == id).unwrap();
        assert_eq!(last["request_id"], all[rotated - 1]["request_id"], "{kind}");
    }
    issue(&app, &clinic).await;
    let lines = app.get(&clinic.auditor, "/v1/certificates?kind=key-rotation").await.ok();
    for line in lines["items"].as_array().unwrap() {
        let path = format!("/v1/certificates/{}/verify", line["id"].as_str().unwrap());
        assert_eq!(app.get(&clinic.auditor, &path).await.ok()["verdict"], "valid");
    }
}

async fn a_certificate_key_goes_on_as_another_type(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let old = issue(&app, &clinic).await;
    let rotate = |id: &str| format!("/v1/keys/{id}/rotate");
    let keys = app.get(&clinic.officer, "/v1/keys").await.ok();
    for key in keys["items"].as_array().unwrap() {
        let certifies = key["managed"] == "certificate";
        let to = if certifies { "rsa_2048" } else { "ec_p256" };
        let reply = app.post(&clinic.officer, &rotate(key["id"].as_str().unwrap()), json!({"type": to})).await;
        reply.refused(422, "request.invalid");
    }
    let key = keys["items"].as_array().unwrap().iter().find(|key| key["managed"] == "certificate").unwrap();
    let key = key["id"].as_str().unwrap();
    let rotated = app.post(&clinic.officer, &rotate(key), json!({"type": "ec_p256"})).await.ok();
    assert_eq!((&rotated["type"], &rotated["versions"][1]["public_jwk"]["crv"]), (&json!("ec_p256"), &json!("P-256")));
    let new = issue(&app, &clinic).await;
    assert_eq!(
        (verdict(&app, &clinic, &old).await, verdict(&app, &clinic, &new).await),
        ("valid".into(), "valid".into())
    );
    // It stays what it is at the next rotation, and may go back.
    app.post(&clinic.officer, &rotate(key), json!({})).await.ok();
    let third = issue(&app, &clinic).await;
    assert_eq!(app.post(&clinic.officer, &rotate(key), json!({"type": "ed25519"})).await.ok()["type"], "ed25519");
    let all = [&old, &new, &third].map(|certificate| certificate["id"].clone());
    let (verdict, ids, last) = offline(&app, &clinic, json!({"certificates": all})).await;
    assert_eq!((verdict, ids.len()), (PackVerdict::Verified, 3), "{last}");
    let (verdict, ids, _) = offline(&app, &clinic, json!({"certificates": [new["id"]]})).await;
    assert_eq!((verdict, ids.len()), (PackVerdict::Verified, 1));
}
