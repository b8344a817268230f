//! Keys, from outside.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chancery_crypto::{KeyMaterial, PublicKey, Secret, SignatureAlgorithm};
use chancery_domain::{
    certificates::{PackVerdict, verify_pack},
    keyring::{
        self, ProviderKind, ResidentId,
        resident::{
            Decryption, Destruction, ResidentError, ResidentKeys, ResidentPublic, ResidentType, ResidentUse, Signing,
        },
        schedule,
    },
};
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, Reply, TestApp},
    proofs::issue,
};

backends! {
    old_versions_open_and_verify_after_a_rotation,
    stopped_versions_do_nothing_until_they_go_on,
    a_key_expires_by_the_clock_and_rotates_by_its_schedule,
    certificates_of_a_revoked_key_are_untrusted_but_for_those_it_spares,
    nothing_is_made_or_logged_under_a_version_after_its_revocation,
}

#[tokio::test]
async fn a_tenant_is_born_with_its_managed_keys() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let keys = app.get(&clinic.officer, "/v1/keys").await.ok();
    let mut managed: Vec<_> =
        keys["items"].as_array().unwrap().iter().map(|key| key["managed"].as_str().unwrap()).collect();
    managed.sort_unstable();
    assert_eq!(managed, ["audit", "certificate", "data", "index", "log", "subject"]);
    for key in keys["items"].as_array().unwrap() {
        assert_eq!((&key["state"], &key["version"]), (&json!("active"), &json!(1)));
        let version = &key["versions"][0];
        assert_eq!(version["key_id"], key["key_id"]);
        assert_eq!(version["handle"].as_str().unwrap().len(), 16);
        assert_eq!(version["public_jwk"].is_null(), key["type"] == "aes_256");
        assert!(version["public_jwk"].get("d").is_none());
        let same = app.get(&clinic.officer, &format!("/v1/keys/{}", key["id"].as_str().unwrap())).await.ok();
        assert_eq!(&same, key);
    }
}

#[tokio::test]
async fn managed_keys_take_no_bytes_of_callers() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    for key in app.get(&clinic.officer, "/v1/keys").await.ok()["items"].as_array().unwrap() {
        for verb in ["sign", "verify", "encrypt", "decrypt", "wrap", "unwrap", "export"] {
            let path = format!("/v1/keys/{}/{verb}", key["id"].as_str().unwrap());
            let body = json!({"message": "AAAA", "plaintext": "AAAA", "ciphertext": "AAAA", "signature": "AAAA"});
            app.post(&clinic.service, &path, body).await.refused(403, "key.managed");
            app.call(&clinic.officer, "POST", &path, None).await.refused(403, "key.managed");
        }
    }
}

#[tokio::test]
async fn keys_are_listed_page_by_page() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let mut seen = Vec::new();
    let mut path = "/v1/keys?limit=4".to_owned();
    loop {
        let page = app.get(&clinic.officer, &path).await.ok();
        seen.extend(page["items"].as_array().unwrap().iter().map(|key| key["id"].to_string()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/keys?limit=4&cursor={cursor}"),
            None => break,
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 6);
    app.get(&clinic.officer, "/v1/keys?cursor=nonsense").await.refused(422, "request.invalid");
    app.get(&clinic.officer, "/v1/keys?managed=nonsense").await.refused(422, "request.invalid");
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    data_encoding::BASE64URL_NOPAD.encode(bytes.as_ref())
}

fn unb64(value: &Value) -> Vec<u8> {
    data_encoding::BASE64URL_NOPAD.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// Makes a key that programs of the clinic may use.
async fn make(app: &TestApp, clinic: &Clinic, key_type: &str, purpose: &str) -> Value {
    for number in 1.. {
        let name = if number == 1 { format!("{key_type} {purpose}") } else { format!("{key_type} {purpose} {number}") };
        let body = json!({"name": name, "type": key_type, "purpose": purpose, "access_policy": "application"});
        let reply = app.post(&clinic.officer, "/v1/keys", body).await;
        // The clinic has one of this name.
        if reply.status != 409 {
            return reply.created();
        }
    }
    unreachable!()
}

/// `/v1/keys/{id}/{verb}`.
fn of(key: &Value, verb: &str) -> String {
    format!("/v1/keys/{}/{verb}", key["id"].as_str().unwrap())
}

async fn managed(app: &TestApp, clinic: &Clinic, managed: &str) -> Value {
    app.get(&clinic.officer, &format!("/v1/keys?managed={managed}")).await.ok()["items"][0].clone()
}

async fn sign(app: &TestApp, clinic: &Clinic, key: &Value) -> Value {
    app.post(&clinic.service, &of(key, "sign"), json!({"message": b64("message")})).await.ok()
}

async fn verify(app: &TestApp, clinic: &Clinic, key: &Value, signed: &Value) -> Reply {
    let body = json!({"message": b64("message"), "signature": signed["signature"], "key_id": signed["key_id"],
        "algorithm": signed["algorithm"]});
    app.post(&clinic.service, &of(key, "verify"), body).await
}

#[tokio::test]
async fn a_new_key_is_checked_with_one_fault_per_field() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let bad = json!({"name": "", "type": "ed25519", "purpose": "encryption", "access_policy": "user_specific",
        "expires_in_days": 0, "auto_rotate": true});
    let reply = app.post(&clinic.officer, "/v1/keys", bad).await;
    reply.refused(422, "request.invalid");
    let faults: Vec<_> =
        reply.json()["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].to_string()).collect();
    assert_eq!(
        faults,
        [r#""/name""#, r#""/purpose""#, r#""/expires_in_days""#, r#""/rotation_interval_days""#, r#""/allowed_users""#]
    );
    for (member, value) in
        [("type", json!("rsa_1024")), ("purpose", json!("fun")), ("access_policy", json!("all")), ("size", json!(1))]
    {
        let mut body = json!({"name": "k", "type": "ed25519", "purpose": "signing"});
        body[member] = value;
        app.post(&clinic.officer, "/v1/keys", body).await.refused(422, "request.invalid");
    }
    let stranger = json!({"name": "k", "type": "ed25519", "purpose": "signing", "access_policy": "user_specific",
        "allowed_users": ["usr_01J9Z3K0Q5V8WXYZ0123456789"]});
    let reply = app.post(&clinic.officer, "/v1/keys", stranger).await;
    assert_eq!(reply.json()["errors"][0]["pointer"], "/allowed_users/0");
    let nowhere = json!({"name": "k", "type": "ec_p256", "purpose": "signing", "provider": "aws_kms"});
    let reply = app.post(&clinic.officer, "/v1/keys", nowhere).await;
    assert_eq!(reply.json()["errors"][0]["pointer"], "/provider");
    app.post(&clinic.admin, "/v1/keys", json!({"name": "k", "type": "ed25519", "purpose": "signing"}))
        .await
        .refused(403, "authz.denied");
}

#[tokio::test]
async fn a_name_belongs_to_one_living_key_is_seen_whole_and_looks_like_no_id() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let make = async |name: &str| {
        app.post(&clinic.officer, "/v1/keys", json!({"name": name, "type": "ed25519", "purpose": "signing"})).await
    };
    let brought = async |name: &str| {
        let body = json!({"name": name, "versions": [{"key": b64([7; 32]), "state": "active"}]});
        app.post(&clinic.officer, "/v1/keys/import", body).await
    };
    let first = make("payroll").await.created();
    for same in ["payroll", " payroll "] {
        make(same).await.refused(409, "taken");
        brought(same).await.refused(409, "taken");
    }
    for (bad, code) in
        [("pay\u{200B}roll", "invisible"), ("managed/data", "reserved"), ("Key_1", "reserved"), ("a\tb", "length")]
    {
        for reply in [make(bad).await, brought(bad).await] {
            reply.refused(422, "request.invalid");
            let fault = &reply.json()["errors"][0];
            assert_eq!((&fault["pointer"], &fault["code"]), (&json!("/name"), &json!(code)));
        }
    }
    // Another tenant's names are its own.
    let other = app.clinic("theirs").await;
    app.post(&other.officer, "/v1/keys", json!({"name": "payroll", "type": "ed25519", "purpose": "signing"}))
        .await
        .created();
    // Suspended and revoked it still has its name; destroyed it leaves it.
    app.post(&clinic.officer, &of(&first, "revoke"), json!({})).await.ok();
    make("payroll").await.refused(409, "taken");
    let second = app.caller(&clinic.id, "security_officer").await;
    let asked = app.post(&clinic.officer, &of(&first, "schedule-deletion"), json!({"force": true})).await.json();
    let approval = asked["approval_id"].as_str().unwrap();
    app.post(&second, &format!("/v1/approvals/{approval}/approve"), json!({})).await.ok();
    let body = json!({"force": true, "approval_id": approval});
    app.post(&clinic.officer, &of(&first, "schedule-deletion"), body).await.ok();
    make("payroll").await.created();
}

#[tokio::test]
async fn a_type_that_is_none_is_told_the_choices() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let body = json!({"name": "k", "type": "rsa_1024", "purpose": "signing"});
    let reply = app.post(&clinic.officer, "/v1/keys", body).await;
    reply.refused(422, "request.invalid");
    let problem = reply.json();
    let choices = "use one of: aes_256, rsa_2048, rsa_4096, ec_p256, ec_p384, ed25519";
    assert_eq!(problem["errors"][0]["message"], choices);
    assert_eq!(problem["detail"], format!("/type: {choices}"));
    assert!(!reply.text().contains("rsa_1024"));
}

#[tokio::test]
async fn an_imported_key_without_a_purpose_gets_one_that_its_type_serves() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let legacy: Value = serde_json::from_str(include_str!("../../../../testdata/vectors/legacy/keys.json")).unwrap();
    let of_type = |key_type: &str| legacy["cases"].as_array().unwrap().iter().find(|case| case["type"] == key_type);
    let pem = &of_type("ec_p256").unwrap()["pkcs8"];
    let versions = [json!({"pem": pem, "state": "active"}), json!({"key": b64([7; 32]), "state": "active"})];
    for (version, purpose) in versions.into_iter().zip(["signing", "encryption"]) {
        let body = json!({"name": purpose, "versions": [version]});
        assert_eq!(app.post(&clinic.officer, "/v1/keys/import", body).await.created()["purpose"], purpose);
    }
}

#[tokio::test]
async fn no_index_beyond_the_log_is_spared() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    issue(&app, &clinic).await;
    let key = managed(&app, &clinic, "certificate").await;
    let last = app.events(&clinic.auditor, "certificate.issued").await[0]["index"].as_u64().unwrap();
    for index in
        [json!(last + 1_000), json!(9_007_199_254_740_991_u64), json!(9_007_199_254_740_992_u64), json!(u64::MAX)]
    {
        let reply =
            app.post(&clinic.officer, &of(&key, "revoke"), json!({"version": 1, "last_valid_index": index})).await;
        reply.refused(422, "request.invalid");
        let fault = &reply.json()["errors"][0];
        assert_eq!((&fault["pointer"], &fault["code"]), (&json!("/last_valid_index"), &json!("range")), "{fault}");
    }
    app.post(&clinic.officer, &of(&key, "revoke"), json!({"version": 1, "last_valid_index": last})).await.ok();
}

#[tokio::test]
async fn a_new_key_is_active_and_made_once() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let body = json!({"name": "tokens", "type": "ec_p256", "purpose": "jwt", "expires_in_days": 90, "auto_rotate": true,
        "rotation_interval_days": 30});
    let send = || async {
        let mut sent = clinic.officer.sign(crate::app::request("POST", "/v1/keys", Some(body.clone())));
        sent.headers_mut().insert("idempotency-key", "once".parse().unwrap());
        app.send(sent).await
    };
    let key = send().await.created();
    assert_eq!(send().await.created()["id"], key["id"]);
    assert_eq!(
        (&key["state"], &key["version"], &key["access_policy"]),
        (&json!("active"), &json!(1), &json!("admin_only"))
    );
    assert_eq!(
        (&key["managed"], &key["origin"], &key["is_backed_up"]),
        (&Value::Null, &json!("generated"), &json!(false))
    );
    assert_eq!(key["versions"][0]["material"], "wrapped");
    assert!(key["expires_at"].as_str().unwrap() > key["created_at"].as_str().unwrap());
    let jwk: chancery_crypto::Jwk = serde_json::from_value(key["versions"][0]["public_jwk"].clone()).unwrap();
    assert_eq!(jwk.thumbprint(), key["key_id"].as_str().unwrap());
    assert_eq!(app.get(&clinic.officer, &format!("/v1/keys/{}", key["id"].as_str().unwrap())).await.ok(), key);
    for kind in ["key.created", "key.activated"] {
        let events = app.events(&clinic.auditor, kind).await;
        assert!(events.iter().any(|event| event["resource"] == key["id"]), "{kind}");
    }
}

#[tokio::test]
async fn every_type_signs_and_anyone_with_the_public_half_verifies() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    for (key_type, algorithms) in [
        ("rsa_2048", &["PS256", "RS256"][..]),
        ("rsa_4096", &["PS256", "RS256"]),
        ("ec_p256", &["ES256", "ES256-DER"]),
        ("ec_p384", &["ES384", "ES384-DER"]),
        ("ed25519", &["EdDSA"]),
    ] {
        let key = make(&app, &clinic, key_type, "signing").await;
        let public = app.get(&clinic.officer, &of(&key, "public")).await.ok();
        let outside = PublicKey::from_pem(public["pem"].as_str().unwrap()).unwrap();
        assert_eq!(serde_json::to_value(outside.jwk()).unwrap(), public["jwk"]);
        for name in algorithms {
            let body = json!({"message": b64("message"), "algorithm": name});
            let signed = app.post(&clinic.service, &of(&key, "sign"), body).await.ok();
            assert_eq!((&signed["key_id"], &signed["algorithm"]), (&key["key_id"], &json!(name)));
            assert_eq!(verify(&app, &clinic, &key, &signed).await.ok()["valid"], true, "{name}");
            let algorithm = [
                SignatureAlgorithm::Ps256,
                SignatureAlgorithm::Rs256,
                SignatureAlgorithm::Es256,
                SignatureAlgorithm::Es256Der,
                SignatureAlgorithm::Es384,
                SignatureAlgorithm::Es384Der,
                SignatureAlgorithm::EdDsa,
            ]
            .into_iter()
            .find(|algorithm| algorithm.name() == *name)
            .unwrap();
            assert!(outside.verify(algorithm, b"message", &unb64(&signed["signature"])), "{name}");
        }
    }
}

#[tokio::test]
async fn malformed_and_foreign_signatures_are_not_valid_and_odd_requests_are_refused() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let (key, other) =
        (make(&app, &clinic, "ec_p256", "signing").await, make(&app, &clinic, "ec_p256", "signing").await);
    let signed = sign(&app, &clinic, &key).await;
    let good = unb64(&signed["signature"]);
    let with = |signature: &[u8]| json!({"message": b64("message"), "signature": b64(signature)});
    // r or s zero, cut, stretched, DER where raw is meant, the other s, garbage.
    let zero_r = [&[0; 32][..], &good[32..]].concat();
    let zero_s = [&good[..32], &[0; 32]].concat();
    let longer = [&good[..], &[0]].concat();
    let der = [&[0x30, 0x44, 2, 32][..], &good[..32], &[2, 32], &good[32..]].concat();
    for signature in [&[][..], &good[..63], &zero_r, &zero_s, &longer, &der, &[0xFF; 64]] {
        let reply = app.post(&clinic.service, &of(&key, "verify"), with(signature)).await.ok();
        assert_eq!(reply["valid"], false, "{}", b64(signature));
    }
    let moved = app.post(&clinic.service, &of(&other, "verify"), with(&good)).await.ok();
    assert_eq!(moved["valid"], false);
    let path = of(&key, "verify");
    for (body, status, code) in [
        (json!({"message": "!!", "signature": b64(&good)}), 422, "request.invalid"),
        (json!({"message": b64("message"), "signature": "AA=="}), 422, "request.invalid"),
        (json!({"message": b64("message")}), 422, "request.invalid"),
        (json!({"message": b64("message"), "signature": b64(&good), "algorithm": "none"}), 422, "request.invalid"),
        (json!({"message": b64("message"), "signature": b64(&good), "algorithm": "HS256"}), 422, "key.unsuited"),
        (json!({"message": b64("message"), "signature": b64(&good), "algorithm": "PS256"}), 422, "key.unsuited"),
        (json!({"message": b64("message"), "signature": b64(&good), "key_id": other["key_id"]}), 404, "not_found"),
    ] {
        app.post(&clinic.service, &path, body).await.refused(status, code);
    }
}

#[tokio::test]
async fn a_code_is_an_hmac_and_only_its_key_makes_it() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let key = make(&app, &clinic, "aes_256", "api_key").await;
    let signed = sign(&app, &clinic, &key).await;
    assert_eq!(signed["algorithm"], "HS256");
    assert_eq!(unb64(&signed["signature"]).len(), 32);
    assert_eq!(verify(&app, &clinic, &key, &signed).await.ok()["valid"], true);
    let other = make(&app, &clinic, "aes_256", "api_key").await;
    let foreign = json!({"message": b64("message"), "signature": signed["signature"]});
    assert_eq!(app.post(&clinic.service, &of(&other, "verify"), foreign).await.ok()["valid"], false);
    app.get(&clinic.officer, &of(&key, "public")).await.refused(422, "key.unsuited");
}

#[tokio::test]
async fn a_ciphertext_opens_with_its_key_and_context_only() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    for key_type in ["aes_256", "rsa_2048"] {
        let (key, other) =
            (make(&app, &clinic, key_type, "encryption").await, make(&app, &clinic, key_type, "encryption").await);
        let body = json!({"plaintext": b64("Jane Doe"), "context": "patient/42"});
        let sealed = app.post(&clinic.service, &of(&key, "encrypt"), body).await.ok();
        assert_eq!(sealed["key_id"], key["key_id"]);
        let open = |ciphertext: &Value, context: &str| json!({"ciphertext": ciphertext, "context": context});
        let opened =
            app.post(&clinic.service, &of(&key, "decrypt"), open(&sealed["ciphertext"], "patient/42")).await.ok();
        assert_eq!(unb64(&opened["plaintext"]), b"Jane Doe");
        let aes = key_type == "aes_256";
        let (elsewhere, changed) = if aes {
            ("sealed.wrong_context", "sealed.tampered")
        } else {
            ("ciphertext.refused", "ciphertext.refused")
        };
        app.post(&clinic.service, &of(&key, "decrypt"), open(&sealed["ciphertext"], "patient/43"))
            .await
            .refused(422, elsewhere);
        app.post(&clinic.service, &of(&key, "decrypt"), json!({"ciphertext": sealed["ciphertext"]}))
            .await
            .refused(422, elsewhere);
        app.post(&clinic.service, &of(&other, "decrypt"), open(&sealed["ciphertext"], "patient/42"))
            .await
            .refused(422, elsewhere);
        let mut bytes = unb64(&sealed["ciphertext"]);
        *bytes.last_mut().unwrap() ^= 1;
        app.post(&clinic.service, &of(&key, "decrypt"), open(&json!(b64(&bytes)), "patient/42"))
            .await
            .refused(422, changed);
        let garbage = if aes { "sealed.malformed" } else { "ciphertext.refused" };
        app.post(&clinic.service, &of(&key, "decrypt"), open(&json!(b64("garbage")), "")).await.refused(422, garbage);

        let wrapped =
            app.post(&clinic.service, &of(&key, "wrap"), json!({"key": b64([7; 32]), "context": "disk"})).await.ok();
        let body = json!({"wrapped": wrapped["wrapped"], "context": "disk"});
        let unwrapped = app.post(&clinic.service, &of(&key, "unwrap"), body).await.ok();
        assert_eq!(unb64(&unwrapped["key"]), [7; 32]);
        app.post(&clinic.service, &of(&key, "unwrap"), json!({"wrapped": wrapped["wrapped"]}))
            .await
            .refused(422, elsewhere);
    }
    let rsa = make(&app, &clinic, "rsa_2048", "encryption").await;
    app.post(&clinic.service, &of(&rsa, "encrypt"), json!({"plaintext": b64([0; 191])}))
        .await
        .refused(422, "request.invalid");
    app.post(&clinic.service, &of(&rsa, "encrypt"), json!({"plaintext": b64([0; 190])})).await.ok();
}

#[tokio::test]
async fn a_purpose_limits_what_a_key_does_and_no_key_is_given_out() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let bodies = [
        ("sign", json!({"message": "AAAA"})),
        ("verify", json!({"message": "AAAA", "signature": "AAAA"})),
        ("encrypt", json!({"plaintext": "AAAA"})),
        ("decrypt", json!({"ciphertext": "AAAA"})),
        ("wrap", json!({"key": "AAAA"})),
        ("unwrap", json!({"wrapped": "AAAA"})),
    ];
    for (key_type, purpose, refused) in [
        ("rsa_2048", "signing", &["encrypt", "decrypt", "wrap", "unwrap"][..]),
        ("aes_256", "encryption", &["sign", "verify"]),
        ("aes_256", "hsm_wrapping", &["sign", "verify", "encrypt", "decrypt"]),
        ("aes_256", "api_key", &["encrypt", "decrypt", "wrap", "unwrap"]),
    ] {
        let key = make(&app, &clinic, key_type, purpose).await;
        for (verb, body) in &bodies {
            let reply = app.post(&clinic.service, &of(&key, verb), body.clone()).await;
            let unsuited = reply.status == 422 && reply.json()["code"] == "key.unsuited";
            assert_eq!(unsuited, refused.contains(verb), "{purpose} {verb}: {}", reply.text());
        }
        app.call(&clinic.officer, "POST", &of(&key, "export"), None).await.refused(403, "authz.denied");
    }
}

#[tokio::test]
async fn each_access_policy_lets_in_whom_it_names() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let password = "Correct-Horse-7-Battery";
    let person = |name: &'static str| {
        let (app, clinic) = (&app, &clinic);
        async move {
            let body = json!({"username": name, "email": format!("{name}@x.test"), "password": password,
                "roles": ["clinician"]});
            let id = app.post(&clinic.admin, "/v1/users", body).await.created()["id"].as_str().unwrap().to_owned();
            let body = json!({"tenant": "ours", "username": name, "password": password});
            let token = app.anonymous("POST", "/v1/auth/login", Some(body)).await.ok();
            (id, Caller { bearer: token["access_token"].as_str().unwrap().to_owned() })
        }
    };
    let ((ann_id, ann), (_, bob)) = (person("ann").await, person("bob").await);
    // A key that acts as a user is that user's login by another name: no service credential (AZ-06).
    let body = json!({"description": "ann's script", "roles": ["clinician"], "user_id": ann_id});
    let script = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    let script = Caller { bearer: script["key"].as_str().unwrap().to_owned() };
    let clinician = app.caller(&clinic.id, "clinician").await;
    let callers = [
        ("officer", &clinic.officer),
        ("service", &clinic.service),
        ("clinician's program", &clinician),
        ("ann", &ann),
        ("ann's script", &script),
        ("bob", &bob),
        ("auditor", &clinic.auditor),
        ("staff", &clinic.staff),
    ];
    for (policy, signs, reads) in [
        ("admin_only", &["officer"][..], &["officer", "auditor"][..]),
        ("service_account", &["service"], &["officer", "service", "auditor"]),
        (
            "application",
            &["officer", "service", "clinician's program"],
            &["officer", "service", "clinician's program", "auditor"],
        ),
        ("user_specific", &["ann", "ann's script"], &["officer", "ann", "ann's script", "auditor"]),
        (
            "public_read",
            &[],
            &["officer", "service", "clinician's program", "ann", "ann's script", "bob", "auditor", "staff"],
        ),
    ] {
        let users = if policy == "user_specific" { json!([ann_id]) } else { json!([]) };
        let body = json!({"name": policy, "type": "ed25519", "purpose": "signing", "access_policy": policy, "allowed_users": users});
        let key = app.post(&clinic.officer, "/v1/keys", body).await.created();
        for (name, caller) in callers {
            let reply = app.post(caller, &of(&key, "sign"), json!({"message": "AAAA"})).await;
            assert_eq!(reply.status == 200, signs.contains(&name), "{policy}: {name} signs: {}", reply.text());
            if reply.status != 200 {
                reply.refused(403, "authz.denied");
            }
            let reply = app.get(caller, &of(&key, "public")).await;
            assert_eq!(reply.status == 200, reads.contains(&name), "{policy}: {name} reads: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_policy_can_be_changed_and_a_managed_key_has_only_a_schedule() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let key = make(&app, &clinic, "ed25519", "signing").await;
    let path = format!("/v1/keys/{}", key["id"].as_str().unwrap());
    sign(&app, &clinic, &key).await;
    let changed = app.call(&clinic.officer, "PATCH", &path, Some(json!({"access_policy": "admin_only"}))).await.ok();
    assert_eq!(changed["access_policy"], "admin_only");
    app.post(&clinic.service, &of(&key, "sign"), json!({"message": "AAAA"})).await.refused(403, "authz.denied");
    app.call(&clinic.officer, "PATCH", &path, Some(json!({"auto_rotate": true}))).await.refused(422, "request.invalid");

    let data = managed(&app, &clinic, "data").await;
    let path = format!("/v1/keys/{}", data["id"].as_str().unwrap());
    app.call(&clinic.officer, "PATCH", &path, Some(json!({"access_policy": "application"})))
        .await
        .refused(403, "key.managed");
    let schedule = json!({"auto_rotate": true, "rotation_interval_days": 365});
    let changed = app.call(&clinic.officer, "PATCH", &path, Some(schedule)).await.ok();
    assert_eq!((&changed["auto_rotate"], &changed["rotation_interval_days"]), (&json!(true), &json!(365)));
}

async fn old_versions_open_and_verify_after_a_rotation(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let (signs, seals) =
        (make(&app, &clinic, "ec_p384", "signing").await, make(&app, &clinic, "aes_256", "database").await);
    let old = sign(&app, &clinic, &signs).await;
    let sealed = app.post(&clinic.service, &of(&seals, "encrypt"), json!({"plaintext": b64("x")})).await.ok();
    let rotated = app.call(&clinic.officer, "POST", &of(&signs, "rotate"), None).await.ok();
    app.call(&clinic.officer, "POST", &of(&seals, "rotate"), None).await.ok();
    let versions = rotated["versions"].as_array().unwrap();
    assert_eq!(rotated["version"], 2);
    assert_eq!((&versions[0]["state"], &versions[1]["state"]), (&json!("inactive"), &json!("active")));
    assert_eq!((&versions[0]["next"], &versions[1]["previous"]), (&versions[1]["key_id"], &versions[0]["key_id"]));
    assert!(!versions[0]["retired_at"].is_null() && !rotated["last_rotated_at"].is_null());
    let new = sign(&app, &clinic, &signs).await;
    assert_ne!(new["key_id"], old["key_id"]);
    for signed in [&old, &new] {
        assert_eq!(verify(&app, &clinic, &signs, signed).await.ok()["valid"], true);
    }
    // Without an id the newest is asked, which did not make the old one.
    let body = json!({"message": b64("message"), "signature": old["signature"]});
    assert_eq!(app.post(&clinic.service, &of(&signs, "verify"), body).await.ok()["valid"], false);
    let opened =
        app.post(&clinic.service, &of(&seals, "decrypt"), json!({"ciphertext": sealed["ciphertext"]})).await.ok();
    assert_eq!((unb64(&opened["plaintext"]), &opened["key_id"]), (b"x".to_vec(), &sealed["key_id"]));
    let after = app.get(&clinic.officer, &format!("/v1/keys/{}", seals["id"].as_str().unwrap())).await.ok();
    assert_eq!(after["versions"][0]["state"], "rotating");
}

async fn stopped_versions_do_nothing_until_they_go_on(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let key = make(&app, &clinic, "ed25519", "signing").await;
    let old = sign(&app, &clinic, &key).await;
    app.call(&clinic.officer, "POST", &of(&key, "rotate"), None).await.ok();
    let new = sign(&app, &clinic, &key).await;
    let one = app.post(&clinic.officer, &of(&key, "suspend"), json!({"version": 1})).await.ok();
    assert_eq!((&one["versions"][0]["state"], &one["versions"][1]["state"]), (&json!("suspended"), &json!("active")));
    verify(&app, &clinic, &key, &old).await.refused(409, "key.retired");
    assert_eq!(verify(&app, &clinic, &key, &new).await.ok()["valid"], true);
    app.post(&clinic.officer, &of(&key, "suspend"), json!({"version": 1})).await.refused(409, "state.conflict");
    app.post(&clinic.officer, &of(&key, "suspend"), json!({"version": 7})).await.refused(404, "not_found");
    let all = app.call(&clinic.officer, "POST", &of(&key, "suspend"), None).await.ok();
    assert_eq!(all["state"], "suspended");
    app.post(&clinic.service, &of(&key, "sign"), json!({"message": "AAAA"})).await.refused(409, "key.retired");
    app.call(&clinic.officer, "POST", &of(&key, "rotate"), None).await.refused(409, "state.conflict");
    let resumed = app.call(&clinic.officer, "POST", &of(&key, "resume"), None).await.ok();
    assert_eq!(
        (&resumed["versions"][0]["state"], &resumed["versions"][1]["state"]),
        (&json!("inactive"), &json!("active"))
    );
    app.call(&clinic.officer, "POST", &of(&key, "resume"), None).await.refused(409, "state.conflict");
    for signed in [&old, &new] {
        assert_eq!(verify(&app, &clinic, &key, signed).await.ok()["valid"], true);
    }
    let revoked = app.post(&clinic.officer, &of(&key, "revoke"), json!({"reason": "key_compromise"})).await.ok();
    assert!(
        revoked["versions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|v| v["state"] == "revoked" && v["revoked_reason"] == "key_compromise")
    );
    verify(&app, &clinic, &key, &old).await.refused(409, "key.retired");
    for verb in ["suspend", "resume", "revoke"] {
        app.call(&clinic.officer, "POST", &of(&key, verb), None).await.refused(409, "state.conflict");
    }
    let again = app.call(&clinic.officer, "POST", &of(&key, "rotate"), None).await.ok();
    assert_eq!((&again["state"], &again["version"]), (&json!("active"), &json!(3)));
    sign(&app, &clinic, &key).await;
    for (kind, count) in [("key.suspended", 2), ("key.resumed", 2), ("key.revoked", 2)] {
        assert_eq!(app.events(&clinic.auditor, kind).await.len(), count, "{kind}");
    }
}

async fn a_key_expires_by_the_clock_and_rotates_by_its_schedule(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant = clinic.id.parse().unwrap();
    let body = json!({"name": "short", "type": "ed25519", "purpose": "signing", "access_policy": "application",
        "expires_in_days": 1});
    let short = app.post(&clinic.officer, "/v1/keys", body).await.created();
    let body = json!({"name": "turning", "type": "ed25519", "purpose": "signing", "access_policy": "application",
        "auto_rotate": true, "rotation_interval_days": 30});
    let turning = app.post(&clinic.officer, "/v1/keys", body).await.created();
    let signed = sign(&app, &clinic, &short).await;
    assert_eq!(schedule::run(&app.instance, tenant).await.unwrap(), schedule::Done::default());
    app.clock.advance_seconds(24 * 60 * 60);
    // The clock alone decides, before any job moves the state.
    app.post(&clinic.service, &of(&short, "sign"), json!({"message": "AAAA"})).await.refused(409, "key.retired");
    assert_eq!(
        schedule::run(&app.instance, tenant).await.unwrap(),
        schedule::Done { expired: 1, ..Default::default() }
    );
    let path = format!("/v1/keys/{}", short["id"].as_str().unwrap());
    assert_eq!(app.get(&clinic.officer, &path).await.ok()["state"], "expired");
    assert_eq!(verify(&app, &clinic, &short, &signed).await.ok()["valid"], true);
    assert_eq!(app.events(&clinic.auditor, "key.expired").await.len(), 1);
    let renewed = app.call(&clinic.officer, "POST", &of(&short, "rotate"), None).await.ok();
    assert_eq!(renewed["state"], "active");

    app.clock.advance_seconds(29 * 24 * 60 * 60);
    let done = schedule::run(&app.instance, tenant).await.unwrap();
    assert_eq!((done.rotated, done.failed), (1, 0));
    let path = format!("/v1/keys/{}", turning["id"].as_str().unwrap());
    let after = app.get(&clinic.officer, &path).await.ok();
    assert_eq!((&after["version"], &after["state"]), (&json!(2), &json!("active")));
    assert_eq!(schedule::run(&app.instance, tenant).await.unwrap().rotated, 0);
    sign(&app, &clinic, &turning).await;
}

#[tokio::test]
async fn a_data_key_without_a_schedule_is_spoken_of_after_a_year() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let tenant = clinic.id.parse().unwrap();
    app.clock.advance_seconds(364 * 24 * 60 * 60);
    assert!(!schedule::run(&app.instance, tenant).await.unwrap().reminded);
    app.clock.advance_seconds(24 * 60 * 60);
    assert!(schedule::run(&app.instance, tenant).await.unwrap().reminded);
    assert!(!schedule::run(&app.instance, tenant).await.unwrap().reminded, "once is enough");
    let data = managed(&app, &clinic, "data").await;
    app.call(&clinic.officer, "POST", &of(&data, "rotate"), None).await.ok();
    app.clock.advance_seconds(31 * 24 * 60 * 60);
    assert!(!schedule::run(&app.instance, tenant).await.unwrap().reminded, "it was rotated");
}

#[tokio::test]
async fn every_operation_is_in_the_usage_whether_it_worked_or_not() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let key = make(&app, &clinic, "ed25519", "signing").await;
    let signed = sign(&app, &clinic, &key).await;
    verify(&app, &clinic, &key, &signed).await.ok();
    app.post(&clinic.service, &of(&key, "encrypt"), json!({"plaintext": "AAAA"})).await.refused(422, "key.unsuited");
    app.call(&clinic.officer, "POST", &of(&key, "suspend"), None).await.ok();
    app.post(&clinic.service, &of(&key, "sign"), json!({"message": "AAAA"})).await.refused(409, "key.retired");
    app.call(&clinic.officer, "POST", &of(&key, "suspend"), None).await.refused(409, "state.conflict");
    app.call(&clinic.officer, "POST", &of(&key, "rotate"), None).await.refused(409, "state.conflict");
    let bounds = "from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z";
    let path = format!("{}?{bounds}", of(&key, "usage"));
    let usage = app.get(&clinic.auditor, &path).await.ok();
    let seen: Vec<(String, bool, Value)> = usage["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (item["operation"].as_str().unwrap().to_owned(), item["success"] == true, item["error_code"].clone())
        })
        .collect();
    let expected = [
        ("activate", true, Value::Null),
        ("generate", true, Value::Null),
        ("sign", true, Value::Null),
        ("verify", true, Value::Null),
        ("encrypt", false, json!("unsuited")),
        ("suspend", true, Value::Null),
        ("sign", false, json!("stopped")),
        ("suspend", false, json!("illegal_transition")),
        ("rotate", false, json!("not_active")),
    ];
    assert_eq!(seen, expected.map(|(operation, success, code)| (operation.to_owned(), success, code)));
    let signing = &usage["items"][2];
    assert_eq!((&signing["key_name"], &signing["key_id"]), (&json!("ed25519 signing"), &key["key_id"]));
    assert!(signing["used_by"].as_str().unwrap().starts_with("apk_"));
    assert!(signing["request_id"].as_str().unwrap().starts_with("req_"));
    assert_eq!(signing["ip_address"], "192.0.2.7");
    let pages = app.get(&clinic.auditor, &format!("{path}&limit=3")).await.ok();
    let cursor = pages["next_cursor"].as_str().unwrap();
    let rest = app.get(&clinic.auditor, &format!("{path}&limit=3&cursor={cursor}")).await.ok();
    assert_eq!(rest["items"][0], usage["items"][3]);
    app.get(&clinic.service, &path).await.refused(403, "authz.denied");

    keyring::flush_uses(&app.instance).await.unwrap();
    let counted = app.get(&clinic.officer, &format!("/v1/keys/{}", key["id"].as_str().unwrap())).await.ok();
    assert_eq!((&counted["uses"], counted["last_used_at"].is_null()), (&json!(2), false));
}

#[tokio::test]
async fn each_use_that_works_is_in_the_usage_as_what_it_was() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let key = make(&app, &clinic, "aes_256", "encryption").await;
    let asked = async |verb: &str, body: Value| app.post(&clinic.service, &of(&key, verb), body).await.ok();
    let sealed = asked("encrypt", json!({"plaintext": "AAAA"})).await;
    asked("decrypt", json!({"ciphertext": sealed["ciphertext"]})).await;
    let wrapped = asked("wrap", json!({"key": b64([1; 32])})).await;
    asked("unwrap", json!({"wrapped": wrapped["wrapped"]})).await;
    app.post(&clinic.service, &of(&key, "export"), json!({})).await.refused(403, "authz.denied");

    let path = format!("{}?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z", of(&key, "usage"));
    let usage = app.get(&clinic.auditor, &path).await.ok();
    let items = usage["items"].as_array().unwrap();
    let told: Vec<(&str, bool)> =
        items.iter().map(|item| (item["operation"].as_str().unwrap(), item["success"] == true)).collect();
    assert_eq!(told[2..], ["encrypt", "decrypt", "wrap", "unwrap"].map(|operation| (operation, true)));
    // No key is given out, which is no use of it: what was tried is in the log as any refusal.
    let refused = app.events(&clinic.auditor, "access.refused").await;
    assert!(refused.iter().any(|event| event["core"].as_str().unwrap().contains("/export")), "{refused:?}");
}

async fn verdict(app: &TestApp, clinic: &Clinic, certificate: &Value) -> (String, Vec<String>) {
    let path = format!("/v1/certificates/{}/verify", certificate["id"].as_str().unwrap());
    let report = app.get(&clinic.auditor, &path).await.ok();
    let checks = report["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap().to_owned());
    (report["verdict"].as_str().unwrap().to_owned(), checks.collect())
}

async fn certificates_of_a_revoked_key_are_untrusted_but_for_those_it_spares(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let (first, second) = (issue(&app, &clinic).await, issue(&app, &clinic).await);
    let index = app.events(&clinic.auditor, "certificate.issued").await[0]["index"].as_u64().unwrap();
    let key = managed(&app, &clinic, "certificate").await;
    let body = json!({"version": 1, "reason": "key_compromise", "last_valid_index": index});
    let revoked = app.post(&clinic.officer, &of(&key, "revoke"), body).await.ok();
    // A managed key that loses its active version has a new one at once.
    assert_eq!((&revoked["state"], &revoked["version"]), (&json!("active"), &json!(2)));
    assert_eq!(revoked["versions"][0]["state"], "revoked");
    let (good, checks) = verdict(&app, &clinic, &first).await;
    assert_eq!(good, "valid");
    assert_eq!(checks[checks.len() - 2..], ["key_revocation", "standing"]);
    assert_eq!(verdict(&app, &clinic, &second).await.0, "untrusted");
    let third = issue(&app, &clinic).await;
    assert_eq!(third["key_id"], revoked["key_id"]);
    assert_eq!(verdict(&app, &clinic, &third).await.0, "valid");
    // Offline the same: the pack of the spared one verifies, the other one's does not.
    let trust = app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.body;
    for (certificate, verified) in [(&first, true), (&second, false), (&third, true)] {
        let path = format!("/v1/certificates/{}/pack", certificate["id"].as_str().unwrap());
        let pack = app.get(&clinic.auditor, &path).await;
        assert_eq!(pack.status, 200);
        let report = verify_pack(&pack.body, &trust, None);
        assert_eq!(report.verdict == PackVerdict::Verified, verified, "{report:?}");
    }
    app.call(&clinic.officer, "POST", &of(&key, "revoke"), Some(json!({"version": 2}))).await.ok();
    assert_eq!(verdict(&app, &clinic, &third).await.0, "untrusted");
}

#[tokio::test]
async fn a_tenant_goes_on_when_the_keys_of_its_log_are_revoked() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let sealed = app.seal(&clinic.service, "note", "1", json!("x")).await;
    for name in ["audit", "log", "data", "index", "subject"] {
        let key = managed(&app, &clinic, name).await;
        let suspended = app.call(&clinic.officer, "POST", &of(&key, "suspend"), None).await;
        if ["audit", "log"].contains(&name) {
            suspended.refused(409, "state.conflict");
        } else {
            suspended.ok();
            app.call(&clinic.officer, "POST", &of(&key, "resume"), None).await.ok();
        }
        let revoked = app.call(&clinic.officer, "POST", &of(&key, "revoke"), None).await.ok();
        assert_eq!((&revoked["state"], &revoked["version"]), (&json!("active"), &json!(2)), "{name}");
        let certificate = issue(&app, &clinic).await;
        assert_eq!(verdict(&app, &clinic, &certificate).await.0, "valid", "after {name}");
    }
    // A revoked data version opens no more; new values have a new one.
    app.open(&clinic.service, "note", "1", &sealed["sealed"]).await.refused(409, "key.retired");
    let sealed = app.seal(&clinic.service, "note", "1", json!("x")).await;
    app.open(&clinic.service, "note", "1", &sealed["sealed"]).await.ok();
}

#[tokio::test]
async fn a_tenant_is_never_without_a_managed_key_whatever_became_of_the_last() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let second = app.caller(&clinic.id, "security_officer").await;
    app.register_fields(&clinic).await;
    for name in ["data", "index"] {
        let key = managed(&app, &clinic, name).await;
        app.call(&clinic.officer, "POST", &of(&key, "suspend"), None).await.ok();
        let revoked = app.call(&clinic.officer, "POST", &of(&key, "revoke"), None).await.ok();
        assert_eq!((&revoked["state"], &revoked["version"]), (&json!("active"), &json!(2)), "{name}");
    }
    app.seal(&clinic.service, "ssn", "1", json!("1")).await;
    // The only version is destroyed while none is in force: a rotation makes the next one.
    let key = managed(&app, &clinic, "data").await;
    app.call(&clinic.officer, "POST", &of(&key, "suspend"), None).await.ok();
    let body = json!({"days": 7, "version": 2});
    let asked = app.post(&clinic.officer, &of(&key, "schedule-deletion"), body.clone()).await.json();
    let id = asked["approval_id"].as_str().unwrap();
    app.post(&second, &format!("/v1/approvals/{id}/approve"), json!({})).await.ok();
    let body = json!({"days": 7, "version": 2, "approval_id": id});
    app.post(&clinic.officer, &of(&key, "schedule-deletion"), body).await.ok();
    app.clock.advance_seconds(7 * 86_400);
    let tenant = clinic.id.parse().unwrap();
    assert_eq!(
        keyring::destruction::destroy_due(&app.instance, tenant, &mut keyring::destruction::Away::default())
            .await
            .unwrap(),
        1
    );
    let rotated = app.call(&clinic.officer, "POST", &of(&key, "rotate"), None).await.ok();
    assert_eq!((&rotated["state"], &rotated["version"]), (&json!("active"), &json!(3)));
    app.seal(&clinic.service, "ssn", "1", json!("1")).await;
}

#[tokio::test]
async fn keys_of_other_systems_verify_and_open_what_they_made_there() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let legacy: Value = serde_json::from_str(include_str!("../../../../testdata/vectors/legacy/keys.json")).unwrap();
    let message = b64(legacy["message"].as_str().unwrap());
    for case in legacy["cases"].as_array().unwrap() {
        let forms = [("pkcs8", "rotated"), ("traditional", "active")];
        for (form, state) in forms.into_iter().filter(|(form, _)| !case[*form].is_null()) {
            let name = format!("{} {form}", case["type"]);
            let body = json!({"name": name, "purpose": "signing", "access_policy": "application",
                "backup": {"location": "s3://backups/1", "at": "2025-01-02T00:00:00Z"},
                "versions": [{"pem": case[form], "state": state, "created_at": "2024-05-06T07:08:09Z"}]});
            let mine = if form == "pkcs8" {
                clinic.slug.clone()
            } else {
                format!("{}-2", case["type"].as_str().unwrap().replace('_', "-"))
            };
            let home = if form == "pkcs8" { None } else { Some(app.clinic(&mine).await) };
            let home = home.as_ref().unwrap_or(&clinic);
            let key = app.post(&home.officer, "/v1/keys/import", body.clone()).await.created();
            assert_eq!((&key["type"], &key["origin"]), (&case["type"], &json!("imported")));
            // Flags of another system are its word only.
            assert_eq!((&key["is_backed_up"], &key["backup"]["state"]), (&json!(false), &json!("claimed")));
            let public = app.get(&home.officer, &of(&key, "public")).await.ok();
            assert_eq!(public["pem"].as_str().unwrap().trim(), case["public"].as_str().unwrap().trim());
            for (algorithm, signature) in case["signatures"].as_object().unwrap() {
                let signature = data_encoding::HEXLOWER.decode(signature.as_str().unwrap().as_bytes()).unwrap();
                let asked = json!({"message": message, "signature": b64(signature), "algorithm": algorithm, "key_id": key["key_id"]});
                assert_eq!(
                    app.post(&home.service, &of(&key, "verify"), asked).await.ok()["valid"],
                    true,
                    "{algorithm}"
                );
            }
            let signs = app.post(&home.service, &of(&key, "sign"), json!({"message": message})).await;
            assert_eq!(signs.status == 200, state == "active", "{}", signs.text());
            let again = app.post(&home.officer, "/v1/keys/import", body).await;
            again.refused(422, "request.invalid");
            assert_eq!(again.json()["errors"][0]["code"], "taken");
        }
        let body = json!({"name": "locked", "purpose": "signing", "versions": [{"pem": case["encrypted"], "state": "active"}]});
        app.post(&clinic.officer, "/v1/keys/import", body).await.refused(422, "request.invalid");
    }
    for (what, pem) in legacy["refused"].as_object().unwrap() {
        let body = json!({"name": what, "purpose": "signing", "versions": [{"pem": pem, "state": "active"}]});
        app.post(&clinic.officer, "/v1/keys/import", body).await.refused(422, "request.invalid");
    }
    app.post(&clinic.admin, "/v1/keys/import", json!({"name": "x", "purpose": "signing", "versions": []}))
        .await
        .refused(403, "authz.denied");
}

#[tokio::test]
async fn an_imported_chain_has_one_active_version_and_a_data_key_opens() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let version = |byte: u8, state: &str| json!({"key": b64([byte; 32]), "state": state});
    let chain = |versions: Value| json!({"name": "data keys", "purpose": "encryption", "access_policy": "application", "versions": versions});
    let key = app
        .post(
            &clinic.officer,
            "/v1/keys/import",
            chain(json!([version(1, "rotated"), version(2, "revoked"), version(3, "active")])),
        )
        .await
        .created();
    let states: Vec<_> = key["versions"].as_array().unwrap().iter().map(|v| v["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["inactive", "revoked", "active"]);
    assert_eq!(key["versions"][1]["previous"], key["versions"][0]["key_id"]);
    assert_eq!(key["versions"][1]["next"], key["versions"][2]["key_id"]);
    let sealed = app.post(&clinic.service, &of(&key, "encrypt"), json!({"plaintext": b64("x")})).await.ok();
    app.post(&clinic.service, &of(&key, "decrypt"), json!({"ciphertext": sealed["ciphertext"]})).await.ok();
    for bad in [
        json!([]),
        json!([version(1, "active"), version(2, "active")]),
        json!([{"state": "active"}]),
        json!([{"key": b64([1; 31]), "state": "active"}]),
        json!([{"key": b64([1; 32]), "pem": "x", "state": "active"}]),
        json!([{"key": b64([1; 32]), "state": "sleeping"}]),
    ] {
        app.post(&clinic.officer, "/v1/keys/import", chain(bad)).await.refused(422, "request.invalid");
    }
}

async fn nothing_is_made_or_logged_under_a_version_after_its_revocation(backend: Backend) {
    let app = Arc::new(TestApp::on(backend).await);
    let clinic = app.clinic("ours").await;
    let key = make(&app, &clinic, "ed25519", "signing").await;
    let returned = Arc::new(AtomicBool::new(false));
    let mut signers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (app, service, path) = (app.clone(), clinic.service.clone(), of(&key, "sign"));
        let returned = returned.clone();
        signers.spawn(async move {
            let mut signed = 0;
            loop {
                let after = returned.load(Ordering::SeqCst);
                let reply = app.post(&service, &path, json!({"message": "AAAA"})).await;
                assert!(!after || reply.status != 200, "signed after the revocation returned");
                if reply.status != 200 {
                    reply.refused(409, "key.retired");
                    return signed;
                }
                signed += 1;
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    app.call(&clinic.officer, "POST", &of(&key, "revoke"), None).await.ok();
    returned.store(true, Ordering::SeqCst);
    let signed: usize = signers.join_all().await.into_iter().sum();
    assert!(signed > 0, "nobody signed before it");
    let used = app.events(&clinic.auditor, "key.used").await;
    assert_eq!(used.len(), signed);
    let retired = app.events(&clinic.auditor, "key.retired").await;
    let end = retired.iter().find(|event| event["resource"] == key["id"]).unwrap()["index"].as_u64().unwrap();
    assert!(used.iter().all(|event| event["index"].as_u64().unwrap() < end));
}

/// A provider that shows one key.
struct Shows(Vec<u8>);

#[async_trait::async_trait]
impl ResidentKeys for Shows {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Pkcs11
    }

    async fn generate(&self, _: &str, _: ResidentType, _: ResidentUse) -> Result<ResidentId, ResidentError> {
        Err(ResidentError::Unsupported)
    }

    async fn public(&self, id: &ResidentId) -> Result<ResidentPublic, ResidentError> {
        match id.as_str() {
            "slot-1" => Ok(ResidentPublic { key_type: ResidentType::EcP256, spki: self.0.clone() }),
            _ => Err(ResidentError::NotFound),
        }
    }

    async fn sign(&self, _: &ResidentId, _: Signing, _: &[u8]) -> Result<Vec<u8>, ResidentError> {
        Err(ResidentError::Unsupported)
    }

    async fn decrypt(&self, _: &ResidentId, _: Decryption, _: &[u8]) -> Result<Secret<Vec<u8>>, ResidentError> {
        Err(ResidentError::Unsupported)
    }

    async fn destroy(&self, _: &ResidentId) -> Result<Destruction, ResidentError> {
        Err(ResidentError::Unsupported)
    }
}

#[tokio::test]
async fn a_key_is_linked_only_to_itself_in_an_hsm() {
    let legacy: Value = serde_json::from_str(include_str!("../../../../testdata/vectors/legacy/keys.json")).unwrap();
    let pem =
        legacy["cases"].as_array().unwrap().iter().find(|case| case["type"] == "ec_p256").unwrap()["pkcs8"].clone();
    let public = KeyMaterial::from_pem(pem.as_str().unwrap().trim()).unwrap().public().unwrap();
    let provider: Arc<dyn ResidentKeys> = Arc::new(Shows(public.to_spki()));
    let app = TestApp::with(Backend::sqlite().await, |ports| ports.resident.push(provider)).await;
    let clinic = app.clinic("ours").await;
    let brought =
        json!({"name": "in the HSM too", "purpose": "signing", "versions": [{"pem": pem, "state": "active"}]});
    let key = app.post(&clinic.officer, "/v1/keys/import", brought).await.created();
    assert_eq!(
        (&key["hsm_integrated"], &key["hsm_key_id"], &key["hsm_provider"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
    let slot = |name: &str| json!({"provider": "pkcs11", "hsm_key_id": name});
    let linked = app.post(&clinic.officer, &of(&key, "link"), slot("slot-1")).await.ok();
    assert_eq!(
        (&linked["hsm_integrated"], &linked["hsm_key_id"], &linked["hsm_provider"]),
        (&json!(true), &json!("slot-1"), &json!("pkcs11"))
    );
    let other = make(&app, &clinic, "ec_p256", "signing").await;
    for (path, body) in [
        (of(&other, "link"), slot("slot-1")),
        (of(&key, "link"), slot("slot-2")),
        (of(&key, "link"), slot("a b")),
        (of(&key, "link"), json!({"provider": "aws_kms", "hsm_key_id": "x"})),
    ] {
        app.post(&clinic.officer, &path, body).await.refused(422, "request.invalid");
    }
    let data = managed(&app, &clinic, "data").await;
    app.post(&clinic.officer, &of(&data, "link"), slot("slot-1")).await.refused(403, "key.managed");
    let freed = app.call(&clinic.officer, "POST", &of(&key, "link"), None).await.ok();
    assert_eq!(freed["hsm_integrated"], false);
}
