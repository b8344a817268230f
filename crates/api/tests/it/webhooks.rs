//! Webhooks from outside: taken by their signature, kept once, handed on.

use std::sync::Mutex;

use async_trait::async_trait;
use axum::body::Body;
use chancery_crypto::{P256SigningKey, Secret};
use chancery_domain::{
    Clock, TenantId,
    webhooks::{
        Handed, KeyForm, Material, Message, Next, NotTaken, Outgoing, Provider, Rules, SecretKind, Signer,
        WebhookSender, deliver, publish, sign, tidy, verify,
    },
};
use data_encoding::BASE64;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::app::{Clinic, Reply, TestApp, request};

mod devices;
mod long;
mod shared;
mod upkeep;

const SECRET: &str = "a-secret-of-oura-0123456789";
const TOKEN: &str = "agreed-on-with-the-provider";

/// An enabled source with a shared secret and a token.
pub(crate) async fn source(app: &TestApp, clinic: &Clinic, provider: &str) -> Value {
    let secrets = match provider {
        "whoop" | "suunto" => json!([{"kind": "shared", "value": SECRET}]),
        "garmin" => json!([{"kind": "token", "value": "k3JxwT0b8mQz5uYcR1nV7g"}]),
        _ => json!([{"kind": "shared", "value": SECRET}, {"kind": "token", "value": TOKEN}]),
    };
    let mut body = json!({"name": provider, "provider": provider, "upstream": "http://127.0.0.1:9/in", "enabled": true,
        "secrets": secrets});
    if provider == "garmin" {
        body["client_id"] = json!("client-1");
    }
    app.post(&clinic.admin, "/v1/webhook-sources", body).await.created()
}

fn rules(provider: Provider) -> Rules {
    Rules { provider, layout: None, client_id: Some("client-1".to_owned()), app_ids: vec!["TEAM.app".to_owned()] }
}

fn message(path: &str, headers: &[(String, String)], body: &[u8]) -> Request<Body> {
    let mut request = request("POST", path, None);
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    *request.body_mut() = Body::from(body.to_vec());
    request
}

/// What the provider sends, signed so many seconds from now.
pub(crate) fn signed(app: &TestApp, source: &Value, body: &[u8], seconds: i64) -> impl Fn() -> Request<Body> + use<> {
    let provider: Provider = source["provider"].as_str().unwrap().parse().unwrap();
    let key = if provider == Provider::Fitbit { format!("{SECRET}&") } else { SECRET.to_owned() };
    let now = app.clock.now().plus_seconds(seconds);
    let headers = sign(&rules(provider), Signer::Mac(key.as_bytes()), "", body, now).unwrap();
    let (path, body) = (source["path"].as_str().unwrap().to_owned(), body.to_vec());
    move || message(&path, &headers, &body)
}

fn rejected(reply: &Reply, status: u16) {
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (status, "webhook.rejected"), "{}", reply.text());
    assert!(!reply.text().contains("signature") && !reply.text().contains("window"), "{}", reply.text());
}

/// A path, headers and a body.
type Got = (String, Vec<(String, String)>, Vec<u8>);

/// Takes what it is handed, or says why not.
#[derive(Default)]
pub(crate) struct Upstream {
    got: Mutex<Vec<Got>>,
    says: Mutex<Option<NotTaken>>,
}

impl Upstream {
    pub(crate) fn failing(code: &str, for_good: bool) -> Self {
        Self::saying(code, if for_good { Next::Never } else { Next::Again })
    }

    fn saying(code: &str, next: Next) -> Self {
        Self { says: Mutex::new(Some(NotTaken { code: code.to_owned(), next })), ..Self::default() }
    }

    fn got(&self) -> usize {
        self.got.lock().unwrap().len()
    }
}

#[async_trait]
impl WebhookSender for Upstream {
    async fn send(&self, outgoing: &Outgoing) -> Result<(), NotTaken> {
        let body = outgoing.body.expose().clone();
        self.got.lock().unwrap().push((outgoing.url.clone(), outgoing.headers.clone(), body));
        self.says.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

async fn handed(app: &TestApp, clinic: &Clinic, upstream: &Upstream) -> Handed {
    deliver(&app.instance, upstream, clinic.id.parse::<TenantId>().unwrap()).await.unwrap()
}

#[tokio::test]
async fn without_a_secret_a_source_is_not_enabled_and_no_secret_is_shown() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let bare = json!({"name": "oura", "provider": "oura", "upstream": "http://127.0.0.1:9/in", "enabled": true});
    let refused = app.post(&clinic.admin, "/v1/webhook-sources", bare.clone()).await;
    refused.refused(422, "request.invalid");
    assert_eq!(refused.json()["errors"][0]["code"], "secret_missing");
    let mut off = bare;
    off["enabled"] = json!(false);
    let made = app.post(&clinic.admin, "/v1/webhook-sources", off).await.created();
    let path = format!("/v1/webhook-sources/{}", made["id"].as_str().unwrap());
    let enable = || app.call(&clinic.admin, "PATCH", &path, Some(json!({"enabled": true})));
    enable().await.refused(422, "request.invalid");
    // A token alone does not do; the provider signs with the other one.
    let secrets = format!("{path}/secrets");
    app.post(&clinic.admin, &secrets, json!({"kind": "token", "value": TOKEN})).await.created();
    enable().await.refused(422, "request.invalid");
    for weak in ["short", "your_secret_key_here"] {
        let added = app.post(&clinic.admin, &secrets, json!({"kind": "shared", "value": weak})).await;
        added.refused(422, "request.invalid");
    }
    let added = app.post(&clinic.admin, &secrets, json!({"kind": "shared", "value": SECRET})).await;
    assert!(!added.text().contains(SECRET));
    let id = added.created()["id"].as_str().unwrap().to_owned();
    app.post(&clinic.admin, &secrets, json!({"kind": "shared", "value": SECRET})).await.refused(409, "taken");
    enable().await.ok();
    // The last one that it needs stays while it is enabled.
    app.call(&clinic.admin, "DELETE", &format!("{secrets}/{id}"), None).await.refused(409, "state.conflict");
    for path in [path.as_str(), "/v1/webhook-sources"] {
        let shown = app.get(&clinic.auditor, path).await;
        assert!(!shown.text().contains(SECRET) && !shown.text().contains(TOKEN), "{}", shown.text());
    }
    app.call(&clinic.admin, "DELETE", &path, None).await;
    app.get(&clinic.admin, &path).await.refused(404, "not_found");
}

#[tokio::test]
async fn what_is_signed_is_kept_and_handed_on_with_what_makes_it_the_same_twice() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    for provider in ["oura", "whoop", "fitbit", "strava", "suunto"] {
        let source = source(&app, &clinic, provider).await;
        let body = format!("{{\"of\":\"{provider}\",\"x\":\"\u{e9}\"}}").into_bytes();
        let taken = app.send(signed(&app, &source, &body, 0)()).await;
        assert_eq!(taken.status.as_u16(), if provider == "fitbit" { 204 } else { 200 }, "{provider} {}", taken.text());
        assert_eq!(taken.text(), "");
        let upstream = Upstream::default();
        assert_eq!(handed(&app, &clinic, &upstream).await, Handed { taken: 1, failed: 0, more: false }, "{provider}");
        let (url, headers, sent) = upstream.got.lock().unwrap().pop().unwrap();
        assert_eq!((url.as_str(), sent), ("http://127.0.0.1:9/in", body));
        let header = |name: &str| headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
        let delivery = header("x-webhook-delivery").unwrap();
        assert_eq!(header("idempotency-key"), Some(delivery.clone()));
        assert_eq!(header("content-type").as_deref(), Some("application/json"));
        assert_eq!(header("x-webhook-source").as_deref(), source["id"].as_str());
        // What was delivered is not there any more, only that it was.
        let id = source["id"].as_str().unwrap();
        let listed = app.get(&clinic.auditor, &format!("/v1/webhook-deliveries?of={id}&state=delivered")).await.ok();
        assert_eq!(listed["items"][0]["id"], delivery.as_str());
        let mut rows = app.instance.store().view(clinic.id.parse().unwrap()).await.unwrap();
        let stored = rows.webhook_delivery(delivery.parse().unwrap()).await.unwrap().unwrap();
        assert_eq!(stored.sealed, None);
        let again = app.post(&clinic.admin, &format!("/v1/webhook-deliveries/{delivery}/redrive"), json!({})).await;
        again.refused(409, "state.conflict");
    }
    assert_eq!(app.events(&clinic.auditor, "webhook.received").await.len(), 5);
    assert_eq!(app.events(&clinic.auditor, "webhook.forwarding").await.len(), 5);
}

#[tokio::test]
async fn what_is_not_signed_right_is_refused_with_one_answer_and_leaves_no_event_in_the_tenants_log() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let oura = source(&app, &clinic, "oura").await;
    let path = oura["path"].as_str().unwrap();
    // Its secrets are opened once.
    app.send(signed(&app, &oura, b"{}", 0)()).await;
    let events = || async {
        let mut all = 0;
        for kind in ["webhook.secrets_opened", "webhook.received", "access.refused", "webhook.replayed"] {
            all += app.events(&clinic.auditor, kind).await.len();
        }
        all
    };
    let before = events().await;
    let mut flipped = signed(&app, &oura, b"{\"n\":1}", 0)();
    *flipped.body_mut() = Body::from("{\"n\":2}");
    for bad in [
        message(path, &[], b"{}"),
        flipped,
        signed(&app, &oura, b"{\"n\":3}", -302)(),
        signed(&app, &oura, b"{\"n\":3}", 302)(),
        message(path, &[("x-oura-signature".into(), "AB".into()), ("x-oura-timestamp".into(), "1".into())], b"\xff"),
    ] {
        rejected(&app.send(bad).await, 401);
    }
    // Fitbit wants another status; another tenant's path, another id and a source that is off are all not there.
    let fitbit = source(&app, &clinic, "fitbit").await;
    rejected(&app.send(message(fitbit["path"].as_str().unwrap(), &[], b"[]")).await, 404);
    app.clinic("theirs").await;
    let off = json!({"enabled": false});
    app.call(&clinic.admin, "PATCH", &format!("/v1/webhook-sources/{}", fitbit["id"].as_str().unwrap()), Some(off))
        .await;
    for gone in [
        path.replace("/ours/", "/theirs/"),
        path.replace("/ours/", "/nobody/"),
        format!("{path}/token"),
        "/hooks/ours/whs_01J9Z3K0Q5V8WXYZ0123456789".to_owned(),
        "/hooks/ours/x".to_owned(),
        fitbit["path"].as_str().unwrap().to_owned(),
    ] {
        let reply = app.send(message(&gone, &[], b"{}")).await;
        let expected = if gone.ends_with("/token") { 401 } else { 404 };
        assert_eq!(reply.status.as_u16(), expected, "{gone} {}", reply.text());
    }
    // Fitbit's secrets were opened once more; nothing else was noted.
    assert_eq!(events().await, before + 1);
    let long = app.send(signed(&app, &oura, &vec![b' '; 1_000_001], 0)()).await;
    long.refused(413, "request.too_large");
}

/// Strangers had their bodies read, and held room for them, under paths that are nobody's.
#[tokio::test]
async fn of_a_message_that_nobody_waits_for_no_byte_is_read() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let oura = source(&app, &clinic, "oura").await;
    let (path, id) = (oura["path"].as_str().unwrap().to_owned(), oura["id"].as_str().unwrap());
    let change = format!("/v1/webhook-sources/{id}");
    app.call(&clinic.admin, "PATCH", &change, Some(json!({"enabled": false}))).await.ok();
    for gone in ["/hooks/ours/whs_01J9Z3K0Q5V8WXYZ0123456789", "/hooks/nobody/x", path.as_str()] {
        let mut request = message(gone, &[], b"");
        // It never comes.
        let (_sender, body) = http_body_util::channel::Channel::<bytes::Bytes>::new(1);
        *request.body_mut() = Body::new(body);
        let told = tokio::time::timeout(std::time::Duration::from_secs(5), app.send(request)).await;
        told.expect("its body is not waited for").refused(404, "not_found");
    }
}

#[tokio::test]
async fn a_copy_is_refused_for_as_long_as_it_would_be_fresh_and_a_new_attempt_is_not_handed_on_twice() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let oura = source(&app, &clinic, "oura").await;
    // Its sender's clock is 299 seconds ahead: for 599 seconds a copy would be fresh.
    let copy = signed(&app, &oura, b"{\"n\":1}", 299);
    assert_eq!(app.send(copy()).await.status, StatusCode::OK);
    // At 299, 301 and 599 seconds.
    for seconds in [299, 2, 298] {
        app.clock.advance_seconds(seconds);
        rejected(&app.send(copy()).await, 401);
    }
    app.clock.advance_seconds(10);
    rejected(&app.send(copy()).await, 401);
    assert_eq!(app.events(&clinic.auditor, "webhook.replayed").await.len(), 1, "of the first copy alone");
    // The same message, signed anew: whoever sent it has not heard.
    let first = signed(&app, &oura, b"{\"n\":2}", 0)();
    assert_eq!(app.send(first).await.status, StatusCode::OK);
    app.clock.advance_seconds(5);
    assert_eq!(app.send(signed(&app, &oura, b"{\"n\":2}", 0)()).await.status, StatusCode::OK);
    // Fitbit signs no moment: a copy and a new attempt are the same, and both are taken for the latter.
    let fitbit = source(&app, &clinic, "fitbit").await;
    for _ in 0..2 {
        assert_eq!(app.send(signed(&app, &fitbit, b"[]", 0)()).await.status, StatusCode::NO_CONTENT);
    }
    let upstream = Upstream::default();
    handed(&app, &clinic, &upstream).await;
    assert_eq!(upstream.got(), 3);
    // What is over is cleaned away by a job, and no request waits for that.
    app.clock.advance_seconds(700);
    tidy(&app.instance, clinic.id.parse().unwrap()).await.unwrap();
    assert_eq!(app.send(signed(&app, &fitbit, b"[]", 0)()).await.status, StatusCode::NO_CONTENT);
    handed(&app, &clinic, &upstream).await;
    assert_eq!(upstream.got(), 4);
}

/// Without a moment nothing in a copy ever makes it old: after eleven minutes it was taken for a new message.
#[tokio::test]
async fn what_says_no_moment_is_known_for_a_month_unless_its_sender_repeats_itself() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let (suunto, fitbit) = (source(&app, &clinic, "suunto").await, source(&app, &clinic, "fitbit").await);
    let upstream = Upstream::default();
    let sent = async |source: &Value| {
        let taken = app.send(signed(&app, source, b"[{\"n\":1}]", 0)()).await;
        assert!(taken.status.is_success(), "{}", taken.text());
        tidy(&app.instance, clinic.id.parse().unwrap()).await.unwrap();
        handed(&app, &clinic, &upstream).await;
        upstream.got()
    };
    assert_eq!(sent(&suunto).await, 1);
    for seconds in [700, 29 * 86_400] {
        app.clock.advance_seconds(seconds);
        assert_eq!(sent(&suunto).await, 1, "a copy after {seconds} seconds more");
    }
    app.clock.advance_seconds(86_400);
    assert_eq!(sent(&suunto).await, 2);
    // Its messages say that there is something to fetch, in the same words each time.
    assert_eq!(sent(&fitbit).await, 3);
    assert_eq!(sent(&fitbit).await, 3);
    app.clock.advance_seconds(660);
    assert_eq!(sent(&fitbit).await, 4);
}

#[tokio::test]
async fn providers_that_ask_first_are_answered_as_they_want() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let get = async |path: String| app.anonymous("GET", &path, None).await;
    let oura = source(&app, &clinic, "oura").await["path"].as_str().unwrap().to_owned();
    let answer = get(format!("{oura}?verification_token={TOKEN}&challenge=abc-1")).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, r#"{"challenge":"abc-1"}"#));
    rejected(&get(format!("{oura}?verification_token=wrong&challenge=abc-1")).await, 401);
    let fitbit = source(&app, &clinic, "fitbit").await["path"].as_str().unwrap().to_owned();
    assert_eq!(get(format!("{fitbit}?verify={TOKEN}")).await.status, StatusCode::NO_CONTENT);
    rejected(&get(format!("{fitbit}?verify=wrong")).await, 404);
    let strava = source(&app, &clinic, "strava").await["path"].as_str().unwrap().to_owned();
    let query = |token| format!("{strava}?hub.verify_token={token}&hub.challenge=15f7&hub.mode=subscribe");
    assert_eq!(get(query(TOKEN)).await.text(), r#"{"hub.challenge":"15f7"}"#);
    rejected(&get(query("wrong")).await, 401);
    let whoop = source(&app, &clinic, "whoop").await["path"].as_str().unwrap().to_owned();
    get(whoop).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_source_without_signatures_needs_its_token_in_the_path() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let path = source(&app, &clinic, "garmin").await["path"].as_str().unwrap().to_owned();
    let client = [("garmin-client-id".to_owned(), "client-1".to_owned())];
    let notice = br#"{"dailies":[{"userId":"u"}]}"#;
    let right = format!("{path}/k3JxwT0b8mQz5uYcR1nV7g");
    assert_eq!(app.send(message(&right, &client, notice)).await.status, StatusCode::OK);
    rejected(&app.send(message(&path, &client, notice)).await, 401);
    rejected(&app.send(message(&format!("{path}/another"), &client, notice)).await, 401);
    rejected(&app.send(message(&right, &[], notice)).await, 401);
    let inside = br#"{"dailies":[{"userId":"u","callbackURL":"http://169.254.169.254/"}]}"#;
    rejected(&app.send(message(&right, &client, inside)).await, 401);
}

#[tokio::test]
async fn a_device_counts_on_and_never_back() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let device = P256SigningKey::make().unwrap();
    let key = BASE64.encode(device.public().as_bytes());
    let body = json!({"name": "apple", "provider": "apple_health", "app_ids": ["TEAM.app"], "enabled": true,
        "upstream": "http://127.0.0.1:9/in", "secrets": [{"kind": "public_key", "value": key}]});
    let source = app.post(&clinic.admin, "/v1/webhook-sources", body).await.created();
    let path = source["path"].as_str().unwrap();
    let send = |counter, body: &'static [u8]| {
        let signer = Signer::Device(&device, counter);
        let headers = sign(&rules(Provider::AppleHealth), signer, "", body, app.clock.now()).unwrap();
        app.send(message(path, &headers, body))
    };
    assert_eq!(send(5, b"{}").await.status, StatusCode::OK);
    rejected(&send(5, b"{\"n\":1}").await, 401);
    rejected(&send(4, b"{}").await, 401);
    assert_eq!(send(6, b"{}").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_the_application_does_not_take_is_tried_again_and_then_waits_for_somebody() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let oura = source(&app, &clinic, "oura").await;
    app.send(signed(&app, &oura, b"{\"n\":1}", 0)()).await;
    let down = Upstream::failing("http.503", false);
    assert_eq!(handed(&app, &clinic, &down).await.failed, 1);
    assert_eq!(handed(&app, &clinic, &down).await, Handed::default(), "not at once");
    app.clock.advance_seconds(8);
    assert_eq!(handed(&app, &clinic, &down).await.failed, 1);
    for _ in 0..13 {
        app.clock.advance_seconds(60_000);
        handed(&app, &clinic, &down).await;
    }
    assert_eq!(down.got(), 14);
    let key = |headers: &Vec<(String, String)>| headers.iter().find(|(name, _)| name == "idempotency-key").cloned();
    let keys: std::collections::BTreeSet<_> =
        down.got.lock().unwrap().iter().map(|(_, headers, _)| key(headers)).collect();
    assert_eq!(keys.len(), 1, "the same to whoever gets it twice");
    let listed = app.get(&clinic.auditor, "/v1/webhook-deliveries?state=quarantined").await.ok();
    assert_eq!((&listed["items"][0]["reason"], &listed["items"][0]["attempts"]), (&json!("http.503"), &json!(14)));
    assert_eq!(app.events(&clinic.auditor, "webhook.quarantined").await.len(), 1);
    let id = listed["items"][0]["id"].as_str().unwrap();
    let again = app.post(&clinic.admin, &format!("/v1/webhook-deliveries/{id}/redrive"), json!({})).await.ok();
    assert_eq!((&again["state"], &again["attempts"]), (&json!("queued"), &json!(0)));
    assert_eq!(app.events(&clinic.auditor, "webhook.redriven").await.len(), 1);
    let up = Upstream::default();
    assert_eq!(handed(&app, &clinic, &up).await.taken, 1);
    assert_eq!(up.got.lock().unwrap()[0].2, b"{\"n\":1}");
    // What it will never take does not wait for three days.
    app.send(signed(&app, &oura, b"{\"n\":2}", 0)()).await;
    handed(&app, &clinic, &Upstream::failing("http.410", true)).await;
    let listed = app.get(&clinic.auditor, "/v1/webhook-deliveries?state=quarantined").await.ok();
    assert_eq!(listed["items"][0]["reason"], "http.410");
}

/// Nobody could take away what nobody will ever take: it counted against what may wait, for good.
#[tokio::test]
async fn what_waits_may_be_discarded_and_what_waits_for_nobody_goes_with_its_subscription() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let oura = source(&app, &clinic, "oura").await;
    app.send(signed(&app, &oura, b"{\"n\":1}", 0)()).await;
    handed(&app, &clinic, &Upstream::failing("http.410", true)).await;
    let listed = app.get(&clinic.auditor, "/v1/webhook-deliveries?state=quarantined").await.ok();
    let path = format!("/v1/webhook-deliveries/{}", listed["items"][0]["id"].as_str().unwrap());
    app.call(&clinic.officer, "DELETE", &path, None).await.refused(403, "authz.denied");
    assert_eq!(app.call(&clinic.admin, "DELETE", &path, None).await.status, StatusCode::NO_CONTENT);
    app.call(&clinic.admin, "DELETE", &path, None).await.refused(404, "not_found");
    assert_eq!(app.events(&clinic.auditor, "webhook.discarded").await.len(), 1);
    // What was delivered is told of as long as ever.
    app.send(signed(&app, &oura, b"{\"n\":2}", 0)()).await;
    handed(&app, &clinic, &Upstream::default()).await;
    let listed = app.get(&clinic.auditor, "/v1/webhook-deliveries?state=delivered").await.ok();
    let path = format!("/v1/webhook-deliveries/{}", listed["items"][0]["id"].as_str().unwrap());
    app.call(&clinic.admin, "DELETE", &path, None).await.refused(409, "state.conflict");

    let body = json!({"name": "siem", "url": "https://siem.example/in", "kinds": ["key.created"]});
    let made = app.post(&clinic.admin, "/v1/webhook-subscriptions", body).await.created();
    let named = json!({"name": "n", "type": "ed25519", "purpose": "signing"});
    app.post(&clinic.officer, "/v1/keys", named).await.created();
    let tenant: TenantId = clinic.id.parse().unwrap();
    chancery_domain::audit::sequence::sequence(&app.instance, tenant).await.unwrap();
    while publish(&app.instance, tenant).await.unwrap() {}
    handed(&app, &clinic, &Upstream::failing("http.410", true)).await;
    let id = made["id"].as_str().unwrap();
    let waits =
        async || app.get(&clinic.auditor, &format!("/v1/webhook-deliveries?of={id}")).await.ok()["items"].clone();
    assert_eq!(waits().await.as_array().unwrap().len(), 1);
    app.call(&clinic.admin, "DELETE", &format!("/v1/webhook-subscriptions/{id}"), None).await;
    assert_eq!(waits().await, json!([]));
}

#[tokio::test]
async fn a_new_secret_takes_the_place_of_the_old_one_after_three_days() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let oura = source(&app, &clinic, "oura").await;
    let path = format!("/v1/webhook-sources/{}/secrets", oura["id"].as_str().unwrap());
    let next = "another-secret-of-oura-0123456789";
    app.post(&clinic.admin, &path, json!({"kind": "shared", "value": next, "replaces": true})).await.created();
    let by = |secret: &'static str, body: &'static [u8]| {
        let now = app.clock.now();
        let headers = sign(&rules(Provider::Oura), Signer::Mac(secret.as_bytes()), "", body, now).unwrap();
        app.send(message(oura["path"].as_str().unwrap(), &headers, body))
    };
    for (secret, body) in [(SECRET, &b"1"[..]), (next, b"2")] {
        assert_eq!(by(secret, body).await.status, StatusCode::OK);
    }
    app.clock.advance_seconds(72 * 3_600);
    rejected(&by(SECRET, b"3").await, 401);
    assert_eq!(by(next, b"4").await.status, StatusCode::OK);
    tidy(&app.instance, clinic.id.parse().unwrap()).await.unwrap();
    let shown = app.get(&clinic.auditor, &format!("/v1/webhook-sources/{}", oura["id"].as_str().unwrap())).await.ok();
    let active: Vec<&Value> = shown["secrets"].as_array().unwrap().iter().map(|secret| &secret["active"]).collect();
    assert_eq!(active.iter().filter(|active| **active == &json!(false)).count(), 1, "{shown}");
    assert_eq!(app.events(&clinic.auditor, "webhook.secret_ended").await.len(), 1);
    // After half a year somebody is told, once.
    app.clock.advance_seconds(180 * 86_400);
    let told = || async {
        tidy(&app.instance, clinic.id.parse().unwrap()).await.unwrap();
        let owner = oura["id"].as_str().unwrap().parse().unwrap();
        let secrets = app.instance.store().view(clinic.id.parse().unwrap()).await.unwrap().webhook_secrets(owner).await;
        secrets.unwrap().iter().filter_map(|secret| secret.due_told_at).collect::<Vec<_>>()
    };
    let first = told().await;
    assert_eq!(first.len(), 2, "the new one, and the token");
    assert_eq!(told().await, first);
}

#[tokio::test]
async fn our_own_events_go_to_who_wants_them_signed_with_each_secret_that_stands() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let paths = "/v1/webhook-subscriptions";
    for kinds in [json!([]), json!(["webhook.received"]), json!(["key.unheard_of"])] {
        let body = json!({"name": "siem", "url": "https://siem.example/in", "kinds": kinds});
        app.post(&clinic.admin, paths, body).await.refused(422, "request.invalid");
    }
    let body = json!({"name": "siem", "url": "https://siem.example/in", "kinds": ["key.created"]});
    let made = app.post(&clinic.admin, paths, body).await.created();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let path = format!("{paths}/{}", made["id"].as_str().unwrap());
    assert!(!app.get(&clinic.auditor, &path).await.text().contains(&secret));
    let rotated = app.post(&clinic.admin, &format!("{path}/rotate-secret"), json!({})).await.ok();
    let named = json!({"name": "n", "type": "ed25519", "purpose": "signing"});
    app.post(&clinic.officer, "/v1/keys", named).await.created();
    chancery_domain::audit::sequence::sequence(&app.instance, tenant).await.unwrap();
    while publish(&app.instance, tenant).await.unwrap() {}
    // What was queued once is not queued again.
    assert!(!publish(&app.instance, tenant).await.unwrap());
    let upstream = Upstream::default();
    assert_eq!(handed(&app, &clinic, &upstream).await, Handed { taken: 1, failed: 0, more: false });
    let (url, headers, body) = upstream.got.lock().unwrap().pop().unwrap();
    assert_eq!(url, "https://siem.example/in");
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&told["type"], &told["data"]["type"]), (&json!("key.created"), &json!("key.created")), "{told}");
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let message = Message { headers: &headers, path_token: None, body: &body };
    for secret in [secret.as_str(), rotated["secret"].as_str().unwrap()] {
        let secret = Secret::new(secret.to_owned());
        let key = Material::read(Provider::Standard, &KeyForm::Text, SecretKind::Shared, &secret).unwrap();
        verify(&rules(Provider::Standard), &[key], &message, app.clock.now()).unwrap();
    }
    app.call(&clinic.admin, "DELETE", &path, None).await;
    app.get(&clinic.admin, &path).await.refused(404, "not_found");
}
