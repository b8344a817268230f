//! The five proofs, from outside, on every store.

use axum::body::Body;
use chancery_domain::{
    certificates::{PackVerdict, verify_pack},
    instance::TenantMismatch,
};
use http::Request;
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, TestApp, request};

backends! {
    proof_1_tenant_spoof_rejected,
    proof_2_cross_tenant_forge_impossible,
    proof_3_cross_tenant_read_blocked,
    proof_4_key_rotation_preserves_old_certs,
    proof_5_audit_pack_complete,
}

/// A claim about a patient.
pub(crate) fn claim() -> Value {
    json!({"kind": "app.access-report", "subject": {"kind": "patient", "ref": "patient-17"},
        "statement": {"code": "app.consent-given", "params": {"forms": 2, "on": "2026-09-01"}},
        "evidence": [{"name": "consent-form", "media_type": "application/pdf", "sha256": "ab".repeat(32), "size": 1024}]})
}

pub(crate) async fn issue(app: &TestApp, clinic: &Clinic) -> Value {
    app.post(&clinic.service, "/v1/certificates", claim()).await.created()
}

async fn key(app: &TestApp, clinic: &Clinic, managed: &str) -> Value {
    app.get(&clinic.officer, &format!("/v1/keys?managed={managed}")).await.ok()["items"][0].clone()
}

async fn verdict(app: &TestApp, caller: &Caller, envelope: &Value) -> Value {
    app.post(caller, "/v1/certificates/verify", json!({"envelope": envelope})).await.ok()
}

/// Requests of our caller that name the other clinic in one place each.
fn spoofs(ours: &Clinic, theirs: &Clinic) -> Vec<Request<Body>> {
    let item = json!({"table": "patients", "column": "note", "value": "ours"});
    let body = |name: &str, value: &str| Some(json!({"items": [item], name: value}));
    let mut spoofs = vec![
        request("POST", "/v1/seal", body("tenant_id", &theirs.id)),
        request("POST", "/v1/seal", body("tenant", &theirs.slug)),
        request("POST", &format!("/v1/seal?tenant_id={}", theirs.id), Some(json!({"items": [item]}))),
        request("POST", &format!("/v1/seal?tenant={}", theirs.slug), Some(json!({"items": [item]}))),
    ];
    for (name, value) in
        [("x-tenant-id", &theirs.id), ("x-tenant", &theirs.slug), ("tenant", &theirs.slug), ("tenant_id", &theirs.id)]
    {
        let mut spoof = request("POST", "/v1/seal", Some(json!({"items": [item]})));
        spoof.headers_mut().insert(name, value.parse().unwrap());
        spoofs.push(spoof);
    }
    spoofs.into_iter().map(|spoof| ours.service.sign(spoof)).collect()
}

async fn proof_1_tenant_spoof_rejected(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    app.register_fields(&ours).await;
    app.register_fields(&theirs).await;

    // Ignored: the credential's tenant it is, and the log tells of it.
    let mut told = 0;
    for spoof in spoofs(&ours, &theirs) {
        let sealed = app.send(spoof).await.ok()["items"][0]["sealed"].clone();
        let open = |caller: Caller| {
            let item = json!({"table": "patients", "column": "note", "sealed": sealed});
            let app = &app;
            async move { app.post(&caller, "/v1/open", json!({"reason": "visit", "items": [item]})).await }
        };
        assert_eq!(open(ours.service.clone()).await.ok()["items"][0]["value"], "ours");
        open(theirs.service.clone()).await.refused(422, "sealed.wrong_context");
        told += 1;
        assert_eq!(app.events(&ours.auditor, "tenant.mismatch").await.len(), told);
    }
    // Rejected, if so configured.
    let strict = app.again(|settings| settings.tenant_mismatch = TenantMismatch::Reject).await;
    for spoof in spoofs(&ours, &theirs) {
        strict.send(spoof).await.refused(403, "tenant.mismatch");
        told += 1;
        assert_eq!(strict.events(&ours.auditor, "tenant.mismatch").await.len(), told);
    }
    // By path: as if it were not there.
    for app in [&app, &strict] {
        let found = app.get(&ours.admin, &format!("/v1/tenants/{}/api-keys", theirs.id)).await;
        found.refused(404, "not_found");
        let missing = app.get(&ours.admin, "/v1/tenants/ten_01J9Z3K0Q5V8WXYZ0123456789/api-keys").await;
        assert_eq!(found.visible(), missing.visible());
    }
    assert!(app.events(&theirs.auditor, "tenant.mismatch").await.is_empty());
}

async fn proof_2_cross_tenant_forge_impossible(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let our_key = key(&app, &ours, "certificate").await;
    let their_key = key(&app, &theirs, "certificate").await;

    // Whatever a request says, our certificate carries our tenant and our key.
    let mut body = claim();
    body["tenant_id"] = json!(theirs.id);
    let certificate = app.post(&ours.service, "/v1/certificates", body).await.created();
    assert_eq!(certificate["tenant_id"], ours.id);
    assert_eq!(certificate["key_id"], our_key["key_id"]);
    let mut body = claim();
    body["key_id"] = their_key["key_id"].clone();
    app.post(&ours.service, "/v1/certificates", body).await.refused(422, "request.invalid");

    // Theirs do not believe it, and cannot tell it from nonsense.
    let report = verdict(&app, &theirs.auditor, &certificate["envelope"]).await;
    assert_eq!((&report["valid"], &report["verdict"]), (&json!(false), &json!("untrusted")));
    let mut unknown = certificate["envelope"].clone();
    unknown["signatures"][0]["keyid"] = json!("A".repeat(43));
    assert_eq!(verdict(&app, &theirs.auditor, &unknown).await, report);

    // Nor with their names written into it.
    let payload =
        data_encoding::BASE64.decode(certificate["envelope"]["payload"].as_str().unwrap().as_bytes()).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    let their_key_id = their_key["key_id"].as_str().unwrap();
    let forged = payload.replace(&ours.id, &theirs.id).replace(our_key["key_id"].as_str().unwrap(), their_key_id);
    let mut envelope = certificate["envelope"].clone();
    envelope["payload"] = json!(data_encoding::BASE64.encode(forged.as_bytes()));
    envelope["signatures"][0]["keyid"] = json!(their_key_id);
    assert_eq!(verdict(&app, &theirs.auditor, &envelope).await["valid"], false);

    // The key API signs with neither.
    let sign = |key: &Value| format!("/v1/keys/{}/sign", key["id"].as_str().unwrap());
    app.post(&ours.service, &sign(&our_key), json!({"message": "AAAA"})).await.refused(403, "key.managed");
    app.post(&ours.service, &sign(&their_key), json!({"message": "AAAA"})).await.refused(404, "not_found");
}

async fn proof_3_cross_tenant_read_blocked(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    app.register_fields(&ours).await;
    app.register_fields(&theirs).await;

    let certificate = issue(&app, &theirs).await;
    let id = certificate["id"].as_str().unwrap();
    for tail in ["", "/verify", "/pack"] {
        let found = app.get(&ours.auditor, &format!("/v1/certificates/{id}{tail}")).await;
        found.refused(404, "not_found");
        let missing = app.get(&ours.auditor, &format!("/v1/certificates/crt_01J9Z3K0Q5V8WXYZ0123456789{tail}")).await;
        assert_eq!(found.visible(), missing.visible());
    }

    let sealed = app.seal(&theirs.service, "ssn", "p1", json!("123-45-6789")).await;
    app.open(&ours.service, "ssn", "p1", &sealed["sealed"]).await.refused(422, "sealed.wrong_context");
    assert_eq!(
        app.open(&theirs.service, "ssn", "p1", &sealed["sealed"]).await.ok()["items"][0]["value"],
        "123-45-6789"
    );

    // Equal values of two tenants cannot be told to be equal.
    let our_twin = app.seal(&ours.service, "ssn", "p1", json!("123-45-6789")).await;
    assert_ne!(our_twin["terms"], sealed["terms"]);

    let user = json!({"username": "ann", "email": "ann@theirs.test", "roles": ["staff"]});
    let user = app.post(&theirs.admin, "/v1/users", user).await.created();
    assert_eq!(app.get(&ours.admin, "/v1/users?email=ann@theirs.test").await.ok()["items"], json!([]));
    app.get(&ours.admin, &format!("/v1/users/{}", user["id"].as_str().unwrap())).await.refused(404, "not_found");

    let event = app.events(&theirs.auditor, "certificate.issued").await[0]["id"].as_str().unwrap().to_owned();
    app.get(&ours.auditor, &format!("/v1/audit/events/{event}")).await.refused(404, "not_found");
    assert!(app.events(&ours.auditor, "certificate.issued").await.is_empty());
}

async fn proof_4_key_rotation_preserves_old_certs(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let old = issue(&app, &clinic).await;
    let old_sealed = app.seal(&clinic.service, "last_name", "p1", json!("Müller")).await;

    for managed in ["certificate", "data", "index"] {
        let before = key(&app, &clinic, managed).await;
        let path = format!("/v1/keys/{}/rotate", before["id"].as_str().unwrap());
        let after = app.call(&clinic.officer, "POST", &path, None).await.ok();
        assert_eq!(after["version"], 2);
        assert_ne!(after["key_id"], before["key_id"]);
        assert_eq!(after["versions"][0]["next"], after["key_id"]);
        assert_eq!(after["versions"][1]["previous"], before["key_id"]);
    }
    let new = issue(&app, &clinic).await;
    assert_ne!(new["key_id"], old["key_id"]);
    for certificate in [&old, &new] {
        let path = format!("/v1/certificates/{}/verify", certificate["id"].as_str().unwrap());
        let report = app.get(&clinic.auditor, &path).await.ok();
        assert_eq!(report["valid"], true, "{report}");
        assert_eq!(verdict(&app, &clinic.auditor, &certificate["envelope"]).await["verdict"], "valid");
    }

    assert_eq!(
        app.open(&clinic.service, "last_name", "p1", &old_sealed["sealed"]).await.ok()["items"][0]["value"],
        "Müller"
    );
    let item = json!({"table": "patients", "column": "last_name", "row": "p1", "sealed": old_sealed["sealed"]});
    let moved =
        app.post(&clinic.officer, "/v1/reseal", json!({"items": [item]})).await.ok()["items"][0]["sealed"].clone();
    assert_ne!(moved, old_sealed["sealed"]);
    assert_eq!(app.open(&clinic.service, "last_name", "p1", &moved).await.ok()["items"][0]["value"], "Müller");
    // A search covers the terms of both index versions.
    let terms = json!({"items": [{"table": "patients", "column": "last_name", "value": "MÜLLER"}]});
    let terms = app.post(&clinic.service, "/v1/terms", terms).await.ok()["items"][0]["terms"].clone();
    assert_eq!(terms.as_array().unwrap().len(), 2);
    assert!(terms.as_array().unwrap().contains(&old_sealed["terms"][0]));
}

async fn proof_5_audit_pack_complete(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let certificate = issue(&app, &clinic).await;
    let id = certificate["id"].as_str().unwrap();
    let reply = app.get(&clinic.auditor, &format!("/v1/certificates/{id}/pack")).await;
    assert_eq!(reply.headers["content-type"], "application/zip");
    let pack = reply.body;
    let trust = app.anonymous("GET", "/.well-known/chancery-trust.json", None).await;
    assert!(!trust.text().contains(&clinic.id));

    let files = ["MANIFEST.json", "MANIFEST.dsse", "README.txt", "report.html", "trust/keys.dsse", "log/checkpoint"];
    for file in [&files[..], &["log/entries.jsonl", "log/proof.json", &format!("certs/{id}.dsse.json")]].concat() {
        assert!(pack.windows(file.len()).any(|bytes| bytes == file.as_bytes()), "{file} is missing");
    }
    let report = verify_pack(&pack, &trust.body, None);
    assert_eq!(report.verdict, PackVerdict::Verified, "{:?}", report.checks);
    assert_eq!(report.certificates, [id]);
    for position in (0..pack.len()).step_by(7) {
        let mut flipped = pack.clone();
        flipped[position] ^= 1;
        let code = verify_pack(&flipped, &trust.body, None).verdict.exit_code();
        assert!([30, 40].contains(&code), "a flip at {position} gives {code}");
    }
    // Another instance's trust file does not make it good.
    let stranger = TestApp::new().await.anonymous("GET", "/.well-known/chancery-trust.json", None).await;
    assert_eq!(verify_pack(&pack, &stranger.body, None).verdict, PackVerdict::Failed);
    assert_eq!(app.events(&clinic.auditor, "certificate.exported").await.len(), 1);
}
