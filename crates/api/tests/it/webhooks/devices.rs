//! Phones that enroll with a source of Apple Health, and what they may send then.

use chancery_crypto::sha256;
use chancery_domain::{
    ids::{WebhookDeviceId, WebhookSourceId},
    webhooks::{DeviceEnvironment, WebhookDevice},
};
use chancery_testkit::phone::{Phone, ROOT};
use data_encoding::BASE64URL_NOPAD;

use super::*;
use crate::app::Caller;

const APP: &str = "TEAM.app";

/// An enabled source, though no key was brought.
async fn apple(app: &TestApp, clinic: &Clinic) -> Value {
    let body = json!({"name": "apple", "provider": "apple_health", "app_ids": ["OTHER.app", APP], "enabled": true,
        "upstream": "http://127.0.0.1:9/in"});
    app.post(&clinic.admin, "/v1/webhook-sources", body).await.created()
}

fn devices(source: &Value) -> String {
    format!("/v1/webhook-sources/{}/devices", source["id"].as_str().unwrap())
}

async fn challenge(app: &TestApp, clinic: &Clinic, source: &Value) -> Vec<u8> {
    let path = devices(source).replace("/devices", "/device-challenges");
    let made = app.post(&clinic.service, &path, json!({})).await.ok();
    BASE64URL_NOPAD.decode(made["challenge"].as_str().unwrap().as_bytes()).unwrap()
}

async fn enroll(app: &TestApp, clinic: &Clinic, source: &Value, challenge: &[u8], attestation: &[u8]) -> Reply {
    let body = json!({
        "challenge": BASE64URL_NOPAD.encode(challenge), "attestation": BASE64URL_NOPAD.encode(attestation)
    });
    app.post(&clinic.service, &devices(source), body).await
}

/// A phone whose messages are taken, and its id.
async fn enrolled(app: &TestApp, clinic: &Clinic, source: &Value) -> (Phone, String) {
    let phone = Phone::new(APP);
    let asked = challenge(app, clinic, source).await;
    let made = enroll(app, clinic, source, &asked, &phone.attest(&asked)).await.created();
    (phone, made["id"].as_str().unwrap().to_owned())
}

async fn sent(app: &TestApp, source: &Value, phone: &mut Phone, body: &[u8]) -> Reply {
    let headers = phone.sign(body, app.clock.now());
    app.send(message(source["path"].as_str().unwrap(), &headers, body)).await
}

fn not_attested(reply: &Reply) {
    reply.refused(422, "request.invalid");
    assert_eq!(reply.json()["errors"][0]["code"], "not_attested", "{}", reply.text());
}

/// Why attestations were refused, as the log has it.
async fn reasons(app: &TestApp, clinic: &Clinic) -> Vec<String> {
    let reason = |event: &Value| {
        let core: Value = serde_json::from_str(event["core"].as_str().unwrap()).unwrap();
        core["detail"]["reason"].as_str().unwrap().to_owned()
    };
    app.events(&clinic.auditor, "webhook.device_refused").await.iter().map(reason).collect()
}

#[tokio::test]
async fn a_phone_that_apple_vouches_for_sends_and_counts_on_until_it_is_revoked() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let source = apple(&app, &clinic).await;
    let mut stranger = Phone::new(APP);
    rejected(&sent(&app, &source, &mut stranger, b"{}").await, 401);
    let (mut phone, id) = enrolled(&app, &clinic, &source).await;
    assert_eq!(sent(&app, &source, &mut phone, b"{\"n\":1}").await.status, StatusCode::OK);
    rejected(&sent(&app, &source, &mut stranger, b"{}").await, 401);
    // A copy, and what is signed with a count that was there.
    let headers = phone.sign(b"{\"n\":2}", app.clock.now());
    let copy = || message(source["path"].as_str().unwrap(), &headers, b"{\"n\":2}");
    assert_eq!(app.send(copy()).await.status, StatusCode::OK);
    rejected(&app.send(copy()).await, 401);
    phone.count -= 1;
    rejected(&sent(&app, &source, &mut phone, b"{\"n\":3}").await, 401);
    let upstream = Upstream::default();
    assert_eq!(handed(&app, &clinic, &upstream).await, Handed { taken: 2, failed: 0, more: false });
    // Its key lies in clear: nothing was opened, and no event made, to look at what strangers sent.
    assert!(app.events(&clinic.auditor, "webhook.secrets_opened").await.is_empty());
    let listed = app.get(&clinic.auditor, &devices(&source)).await.ok();
    let shown = &listed["items"][0];
    assert_eq!((&shown["id"], &shown["counter"], &shown["environment"]), (&json!(id), &json!(2), &json!("production")));
    assert_eq!(shown["key_id"], BASE64.encode(&sha256(&phone.point())));
    assert!(shown["seen_at"].is_string() && shown["revoked_at"].is_null(), "{shown}");

    let one = format!("{}/{id}", devices(&source));
    assert_eq!(app.call(&clinic.service, "DELETE", &one, None).await.status, StatusCode::NO_CONTENT);
    app.call(&clinic.service, "DELETE", &one, None).await.refused(404, "not_found");
    rejected(&sent(&app, &source, &mut phone, b"{\"n\":4}").await, 401);
    // Its key comes back by no other attestation.
    let (asked, count) = (challenge(&app, &clinic, &source).await, std::mem::take(&mut phone.count));
    enroll(&app, &clinic, &source, &asked, &phone.attest(&asked)).await.refused(409, "taken");
    phone.count = count;
    rejected(&sent(&app, &source, &mut phone, b"{\"n\":5}").await, 401);
    for (kind, count) in [("webhook.device_enrolled", 1), ("webhook.device_revoked", 1), ("webhook.device_refused", 0)]
    {
        assert_eq!(app.events(&clinic.auditor, kind).await.len(), count, "{kind}");
    }
    assert!(!app.events(&clinic.auditor, "webhook.device_challenged").await.is_empty());
}

#[tokio::test]
async fn each_wrong_attestation_is_refused_with_one_answer_and_told_of() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let source = apple(&app, &clinic).await;
    let asked = challenge(&app, &clinic, &source).await;
    let with = |change: &dyn Fn(&mut Phone)| {
        let mut phone = Phone::new(APP);
        change(&mut phone);
        phone.attest(&asked)
    };
    let phone = Phone::new(APP);
    let leaf = |of: &Phone| [&of.point()[..], &phone.nonce(&asked)].concat();
    for (attestation, reason) in [
        (with(&|phone| phone.app = "THIRD.app".to_owned()), "application"),
        (with(&|phone| phone.count = 1), "counter"),
        (with(&|phone| phone.environment = [0; 16]), "environment"),
        (phone.attest(b"what nobody asked"), "nonce"),
        (phone.object([&leaf(&phone), b"another root"]), "certificates"),
        (phone.object([&leaf(&Phone::new(APP)), ROOT]), "credential"),
        (b"no CBOR".to_vec(), "malformed"),
        (Vec::new(), "malformed"),
    ] {
        not_attested(&enroll(&app, &clinic, &source, &asked, &attestation).await);
        assert_eq!(reasons(&app, &clinic).await.last().unwrap(), reason);
    }
    assert_eq!(app.get(&clinic.auditor, &devices(&source)).await.ok()["items"], json!([]));
    // None of them has used the challenge up.
    enroll(&app, &clinic, &source, &asked, &phone.attest(&asked)).await.created();
}

#[tokio::test]
async fn a_challenge_is_good_for_one_device_of_one_source_for_five_minutes() {
    let app = TestApp::new().await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let (source, other, foreign) = (apple(&app, &ours).await, apple(&app, &ours).await, apple(&app, &theirs).await);
    let asked = challenge(&app, &ours, &source).await;
    let (first, second) = (Phone::new(APP), Phone::new(APP));
    not_attested(&enroll(&app, &ours, &other, &asked, &first.attest(&asked)).await);
    not_attested(&enroll(&app, &theirs, &foreign, &asked, &first.attest(&asked)).await);
    // Another tenant's source is not there, whatever it is asked.
    enroll(&app, &theirs, &source, &asked, &first.attest(&asked)).await.refused(404, "not_found");
    enroll(&app, &ours, &source, &asked, &first.attest(&asked)).await.created();
    not_attested(&enroll(&app, &ours, &source, &asked, &second.attest(&asked)).await);
    let late = challenge(&app, &ours, &source).await;
    app.clock.advance_seconds(300);
    not_attested(&enroll(&app, &ours, &source, &late, &second.attest(&late)).await);
    let mut made_up = challenge(&app, &ours, &source).await;
    *made_up.last_mut().unwrap() ^= 1;
    not_attested(&enroll(&app, &ours, &source, &made_up, &second.attest(&made_up)).await);
    assert_eq!(reasons(&app, &ours).await, ["challenge"; 4]);
    assert_eq!(reasons(&app, &theirs).await, ["challenge"]);
    // A source of another provider has no devices.
    let oura = super::source(&app, &ours, "oura").await;
    let path = devices(&oura).replace("/devices", "/device-challenges");
    app.post(&ours.service, &path, json!({})).await.refused(409, "state.conflict");
}

#[tokio::test]
async fn a_device_of_one_source_is_a_stranger_to_all_others() {
    let app = TestApp::new().await;
    let (ours, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let (source, other, foreign) = (apple(&app, &ours).await, apple(&app, &ours).await, apple(&app, &theirs).await);
    let (mut phone, id) = enrolled(&app, &ours, &source).await;
    rejected(&sent(&app, &other, &mut phone, b"{}").await, 401);
    rejected(&sent(&app, &foreign, &mut phone, b"{}").await, 401);
    assert_eq!(sent(&app, &source, &mut phone, b"{}").await.status, StatusCode::OK);
    for (clinic, path) in [(&theirs, devices(&source)), (&theirs, devices(&foreign)), (&ours, devices(&other))] {
        app.call(&clinic.service, "DELETE", &format!("{path}/{id}"), None).await.refused(404, "not_found");
    }
    assert_eq!(sent(&app, &source, &mut phone, b"{\"n\":1}").await.status, StatusCode::OK);
    // An application that the source does not name any more has no devices here.
    let path = devices(&source).replace("/devices", "");
    app.call(&ours.admin, "PATCH", &path, Some(json!({"app_ids": ["OTHER.app"]}))).await.ok();
    rejected(&sent(&app, &source, &mut phone, b"{\"n\":2}").await, 401);
}

/// A tenant whose administrator makes a key for its program.
async fn in_production(app: &TestApp) -> Clinic {
    let made = app.post(&app.admin, "/v1/tenants", json!({"name": "Ours", "slug": "ours"})).await.created();
    let id = made["id"].as_str().unwrap().to_owned();
    let holder = |made: Value| Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    let home = json!({"description": "admin", "roles": ["tenant_admin"], "expires_in_days": 90, "allowed_cidrs": ["192.0.2.0/24"]});
    let admin = holder(app.post(&app.admin, &format!("/v1/tenants/{id}/api-keys"), home).await.created());
    let program = json!({"description": "program", "roles": ["service"]});
    let service = holder(app.post(&admin, "/v1/api-keys", program).await.created());
    let [officer, auditor, staff] = [&admin; 3].map(Clone::clone);
    Clinic { id, slug: "ours".to_owned(), admin, officer, auditor, service, staff }
}

#[tokio::test]
async fn production_takes_no_key_of_an_application_under_development() {
    let mut phone = Phone::new(APP);
    phone.environment = *b"appattestdevelop";
    let (development, production) = (TestApp::new().await, TestApp::production().await);
    let clinics = [development.clinic("ours").await, in_production(&production).await];
    for ((app, clinic), taken) in [development, production].into_iter().zip(clinics).zip([true, false]) {
        let source = apple(&app, &clinic).await;
        let asked = challenge(&app, &clinic, &source).await;
        let reply = enroll(&app, &clinic, &source, &asked, &phone.attest(&asked)).await;
        if taken {
            assert_eq!(reply.created()["environment"], "development");
        } else {
            not_attested(&reply);
        }
    }
}

/// Whoever can write rows makes no device.
#[tokio::test]
async fn a_device_that_chancery_did_not_write_is_a_stranger() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let source = apple(&app, &clinic).await;
    let mut phone = Phone::new(APP);
    let forged = WebhookDevice {
        id: WebhookDeviceId::from_bytes([7; 16]),
        source: source["id"].as_str().unwrap().parse::<WebhookSourceId>().unwrap(),
        key_id: sha256(&phone.point()),
        public_key: phone.point(),
        environment: DeviceEnvironment::Production,
        counter: 0,
        digest: [7; 32],
        pepper_version: 1,
        enrolled_at: app.clock.now(),
        seen_at: None,
        revoked_at: None,
    };
    let mut tx = app.instance.store().begin(clinic.id.parse().unwrap()).await.unwrap();
    tx.insert_webhook_device(&forged).await.unwrap();
    tx.commit().await.unwrap();
    rejected(&sent(&app, &source, &mut phone, b"{}").await, 401);
}
