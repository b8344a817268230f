//! What the operator sees of webhooks, whom a stall is told to, and secrets that are replaced by themselves.

use chancery_domain::webhooks::{Direction, Waiting, backlog};

use super::*;
use crate::metrics::scrape;

const DAY: i64 = 86_400;

async fn shows(app: &TestApp, lines: &[&str]) {
    let text = scrape(app).await;
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} is missing in {text}");
    }
}

#[tokio::test]
async fn what_comes_and_what_comes_of_it_is_counted_by_provider_and_reason_and_never_by_whose_it_was() {
    let app = TestApp::new().await;
    let clinic = app.clinic("zebra").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let oura = source(&app, &clinic, "oura").await;
    let path = oura["path"].as_str().unwrap();
    shows(&app, &[r#"chancery_webhooks_waiting{direction="in",state="queued"} 0"#]).await;
    let first = signed(&app, &oura, b"{\"n\":1}", 0);
    app.send(first()).await;
    app.send(first()).await;
    app.send(signed(&app, &oura, b"{\"n\":2}", -302)()).await;
    app.send(message(path, &[], b"{}")).await;
    app.send(message("/hooks/zebra/whs_01J9Z3K0Q5V8WXYZ0123456789", &[], b"{}")).await;
    app.anonymous("GET", &format!("{path}?verification_token={TOKEN}&challenge=abc-1"), None).await;
    let down = Upstream::failing("http.503", false);
    handed(&app, &clinic, &down).await;
    app.send(signed(&app, &oura, b"{\"n\":3}", 0)()).await;
    handed(&app, &clinic, &Upstream::failing("http.410", true)).await;
    app.send(signed(&app, &oura, b"{\"n\":4}", 0)()).await;
    handed(&app, &clinic, &Upstream::default()).await;
    app.clock.advance_seconds(40);
    let now = app.clock.now();
    let waits = backlog(&app.instance, tenant).await.unwrap();
    let counted: Vec<_> = waits.iter().map(|found| (found.direction, found.waiting, found.count)).collect();
    assert_eq!(counted, [(Direction::In, Waiting::Quarantined, 1), (Direction::In, Waiting::Queued, 1)]);
    app.metrics.webhooks_stand(&waits, now);
    shows(
        &app,
        &[
            r#"chancery_webhooks_received_total{provider="oura",outcome="taken"} 3"#,
            r#"chancery_webhooks_received_total{provider="oura",outcome="asked"} 1"#,
            r#"chancery_webhooks_received_total{provider="oura",outcome="replayed"} 1"#,
            r#"chancery_webhooks_received_total{provider="oura",outcome="outside_window"} 1"#,
            r#"chancery_webhooks_received_total{provider="oura",outcome="unsigned"} 1"#,
            r#"chancery_webhooks_received_total{provider="none",outcome="unknown"} 1"#,
            r#"chancery_webhook_tries_total{direction="in",outcome="retried"} 1"#,
            r#"chancery_webhook_tries_total{direction="in",outcome="quarantined"} 1"#,
            r#"chancery_webhook_tries_total{direction="in",outcome="delivered"} 1"#,
            r#"chancery_webhook_tries_total{direction="out",outcome="delivered"} 0"#,
            r#"chancery_webhooks_waiting{direction="in",state="queued"} 1"#,
            r#"chancery_webhooks_waiting{direction="in",state="quarantined"} 1"#,
            r#"chancery_webhook_oldest_waiting_seconds{direction="in",state="queued"} 40"#,
            r#"chancery_webhook_oldest_waiting_seconds{direction="out",state="queued"} 0"#,
            r#"chancery_webhook_receivers_stalled{direction="in"} 0"#,
        ],
    )
    .await;
    let text = scrape(&app).await;
    for never in [clinic.id.as_str(), "zebra", "whs_", "127.0.0.1", SECRET, TOKEN] {
        assert!(!text.contains(never), "{never} in {text}");
    }
}

#[tokio::test]
async fn an_application_that_takes_nothing_for_a_quarter_of_an_hour_is_told_of_once_and_so_is_its_return() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let oura = source(&app, &clinic, "oura").await;
    let path = format!("/v1/webhook-sources/{}", oura["id"].as_str().unwrap());
    let stalled_at = async || app.get(&clinic.auditor, &path).await.ok()["stalled_at"].clone();
    for n in 0..2 {
        app.send(signed(&app, &oura, format!("{{\"n\":{n}}}").as_bytes(), 0)()).await;
    }
    let down = Upstream::failing("http.503", false);
    for seconds in [0, 600] {
        app.clock.advance_seconds(seconds);
        handed(&app, &clinic, &down).await;
    }
    assert!(app.events(&clinic.auditor, "webhook.stalled").await.is_empty(), "ten minutes are no alarm");
    assert_eq!(stalled_at().await, Value::Null);
    for _ in 0..3 {
        app.clock.advance_seconds(900);
        handed(&app, &clinic, &down).await;
    }
    let told = app.events(&clinic.auditor, "webhook.stalled").await;
    assert_eq!(told.len(), 1);
    let core: Value = serde_json::from_str(told[0]["core"].as_str().unwrap()).unwrap();
    assert_eq!((&core["detail"]["reason"], &core["resource"]["id"]), (&json!("http.503"), &oura["id"]), "{core}");
    assert!(stalled_at().await.is_string());
    // A change of what it is says nothing of that.
    app.call(&clinic.admin, "PATCH", &path, Some(json!({"name": "ring"}))).await.ok();
    let waits = backlog(&app.instance, tenant).await.unwrap();
    assert_eq!(waits.iter().filter(|found| found.waiting == Waiting::Stalled).count(), 1, "{waits:?}");
    app.clock.advance_seconds(60_000);
    assert_eq!(handed(&app, &clinic, &Upstream::default()).await.taken, 2);
    assert_eq!(app.events(&clinic.auditor, "webhook.recovered").await.len(), 1);
    assert_eq!(stalled_at().await, Value::Null);
    // It makes no node unfit.
    app.anonymous("GET", "/readyz", None).await.ok();
}

/// Each of its tries told of a stall, and each message that was taken in between of a recovery.
#[tokio::test]
async fn a_single_message_that_is_never_taken_is_no_stall() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let oura = source(&app, &clinic, "oura").await;
    app.send(signed(&app, &oura, b"{\"poison\":1}", 0)()).await;
    let (down, up) = (Upstream::failing("http.500", false), Upstream::default());
    handed(&app, &clinic, &down).await;
    for n in 0..4 {
        // The application takes what comes, and stumbles over the one alone.
        app.clock.advance_seconds(1);
        app.send(signed(&app, &oura, format!("{{\"n\":{n}}}").as_bytes(), 0)()).await;
        let poison_waits = handed(&app, &clinic, &up).await.taken;
        assert_eq!(poison_waits, 1, "what came, and not the one that waits for its next try");
        app.clock.advance_seconds(20_000);
        assert_eq!(handed(&app, &clinic, &down).await.failed, 1);
    }
    for kind in ["webhook.stalled", "webhook.recovered"] {
        assert!(app.events(&clinic.auditor, kind).await.is_empty(), "{kind}");
    }
    // It goes away altogether: what came since then tells.
    app.send(signed(&app, &oura, b"{\"last\":1}", 0)()).await;
    for _ in 0..3 {
        app.clock.advance_seconds(900);
        handed(&app, &clinic, &down).await;
    }
    assert_eq!(app.events(&clinic.auditor, "webhook.stalled").await.len(), 1);
}

/// Each event that followed was sent too, and refused, and waited for somebody.
#[tokio::test]
async fn a_subscriber_that_wants_no_more_gets_no_more_and_the_log_tells() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let body = json!({"name": "siem", "url": "https://siem.example/in", "kinds": ["key.created"]});
    let made = app.post(&clinic.admin, "/v1/webhook-subscriptions", body).await.created();
    let path = format!("/v1/webhook-subscriptions/{}", made["id"].as_str().unwrap());
    let publish_all = async || {
        chancery_domain::audit::sequence::sequence(&app.instance, tenant).await.unwrap();
        while publish(&app.instance, tenant).await.unwrap() {}
    };
    let key = |name: &str| json!({"name": name, "type": "ed25519", "purpose": "signing"});
    app.post(&clinic.officer, "/v1/keys", key("first")).await.created();
    publish_all().await;
    let gone = Upstream::saying("http.410", Next::Gone);
    assert_eq!(handed(&app, &clinic, &gone).await.failed, 1);
    assert_eq!(app.get(&clinic.auditor, &path).await.ok()["enabled"], json!(false));
    let told = app.events(&clinic.auditor, "webhook.subscription_updated").await;
    assert_eq!(told.len(), 1);
    let core: Value = serde_json::from_str(told[0]["core"].as_str().unwrap()).unwrap();
    assert_eq!((&core["detail"]["reason"], &core["resource"]["id"]), (&json!("http.410"), &made["id"]), "{core}");
    app.post(&clinic.officer, "/v1/keys", key("second")).await.created();
    publish_all().await;
    assert_eq!(handed(&app, &clinic, &gone).await, Handed::default());
    // Enabled again it goes on where it was.
    app.call(&clinic.admin, "PATCH", &path, Some(json!({"enabled": true}))).await.ok();
    publish_all().await;
    assert_eq!(handed(&app, &clinic, &Upstream::default()).await.taken, 1);
    // The application of a source that says so of one message gets the next.
    let oura = source(&app, &clinic, "oura").await;
    app.send(signed(&app, &oura, b"{\"n\":1}", 0)()).await;
    handed(&app, &clinic, &gone).await;
    app.send(signed(&app, &oura, b"{\"n\":2}", 0)()).await;
    assert_eq!(handed(&app, &clinic, &Upstream::default()).await.taken, 1);
}

/// It was asked with each message that waited, and each lost a try.
#[tokio::test]
async fn an_application_that_asks_for_time_is_left_alone_for_it() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let oura = source(&app, &clinic, "oura").await;
    for n in 0..3 {
        app.send(signed(&app, &oura, format!("{{\"n\":{n}}}").as_bytes(), 0)()).await;
    }
    let busy = Upstream::saying("http.429", Next::Later(900));
    assert_eq!(handed(&app, &clinic, &busy).await, Handed { taken: 0, failed: 1, more: false });
    app.clock.advance_seconds(880);
    assert_eq!(handed(&app, &clinic, &busy).await, Handed::default());
    assert_eq!(busy.got(), 1);
    app.clock.advance_seconds(220);
    assert_eq!(handed(&app, &clinic, &Upstream::default()).await.taken, 3);
    let listed = app.get(&clinic.auditor, "/v1/webhook-deliveries").await.ok();
    let tries: u64 = listed["items"].as_array().unwrap().iter().map(|one| one["attempts"].as_u64().unwrap()).sum();
    assert_eq!(tries, 4, "{listed}");
}

/// What went out last, as whoever is subscribed verifies it.
fn last(upstream: &Upstream) -> (Value, Vec<(String, String)>, Vec<u8>) {
    let (_, headers, body) = upstream.got.lock().unwrap().pop().unwrap();
    (serde_json::from_slice(&body).unwrap(), headers, body)
}

fn verifies(app: &TestApp, secret: &str, headers: &[(String, String)], body: &[u8]) -> bool {
    let key = Secret::new(secret.to_owned());
    let key = Material::read(Provider::Standard, &KeyForm::Text, SecretKind::Shared, &key).unwrap();
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let message = Message { headers: &headers, path_token: None, body };
    verify(&rules(Provider::Standard), &[key], &message, app.clock.now()).is_ok()
}

/// As [`TestApp::events`], of the half year after this one.
async fn later_events(app: &TestApp, clinic: &Clinic, kind: &str) -> Vec<Value> {
    let path = format!("/v1/audit/events?from=2026-09-01T00:00:00Z&to=2027-08-31T00:00:00Z&limit=1000&type={kind}");
    app.get(&clinic.auditor, &path).await.ok()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_subscription_gets_a_new_secret_by_itself_after_half_a_year_and_both_sign_for_three_days() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    let paths = "/v1/webhook-subscriptions";
    let body = |auto: bool| json!({"name": "siem", "url": "https://siem.example/in", "kinds": ["key.created"], "auto_rotate": auto});
    let made = app.post(&clinic.admin, paths, body(true)).await.created();
    let by_hand = app.post(&clinic.admin, paths, body(false)).await.created();
    let old = made["secret"].as_str().unwrap();
    let path = format!("{paths}/{}", made["id"].as_str().unwrap());
    let shown = async || app.post(&clinic.admin, &format!("{path}/show-secret"), json!({})).await;
    shown().await.refused(409, "state.conflict");
    let tidied = async || tidy(&app.instance, tenant).await.unwrap();
    app.clock.advance_seconds(165 * DAY);
    tidied().await;
    assert!(later_events(&app, &clinic, "webhook.secret_due").await.is_empty());
    // Two weeks before, somebody is reminded; once.
    app.clock.advance_seconds(DAY);
    for _ in 0..2 {
        tidied().await;
        assert_eq!(later_events(&app, &clinic, "webhook.secret_due").await.len(), 2);
    }
    app.clock.advance_seconds(14 * DAY);
    tidied().await;
    tidied().await;
    let added = later_events(&app, &clinic, "webhook.secret_added").await;
    assert_eq!(added.len(), 1, "the one that wants it, once");
    assert!(added[0]["core"].as_str().unwrap().contains(r#""kind":"system""#), "{}", added[0]["core"]);
    assert_eq!(
        app.get(&clinic.auditor, &format!("{paths}/{}", by_hand["id"].as_str().unwrap())).await.ok()["secrets"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // Whoever is subscribed is told, signed with both, and may fetch it once.
    let upstream = Upstream::default();
    assert_eq!(handed(&app, &clinic, &upstream).await.taken, 1);
    let (told, headers, body) = last(&upstream);
    assert_eq!(told["type"], "webhook.secret_rotated");
    assert_eq!(told["data"]["subscription"], made["id"]);
    assert!(!body.windows(6).any(|bytes| bytes == b"whsec_"));
    let listed = app.get(&clinic.auditor, &path).await.ok();
    assert_eq!(
        listed["secrets"].as_array().unwrap().iter().filter(|one| one["unshown"] == true).count(),
        1,
        "{listed}"
    );
    let new = shown().await.ok();
    assert_eq!(new["id"], told["data"]["secret"]);
    let new = new["secret"].as_str().unwrap().to_owned();
    shown().await.refused(409, "state.conflict");
    assert_eq!(later_events(&app, &clinic, "webhook.secret_shown").await.len(), 1);
    assert!(new != old && verifies(&app, old, &headers, &body) && verifies(&app, &new, &headers, &body));
    // After 72 hours the old one signs no more.
    app.clock.advance_seconds(3 * DAY);
    tidied().await;
    assert_eq!(later_events(&app, &clinic, "webhook.secret_ended").await.len(), 1);
    let named = json!({"name": "n", "type": "ed25519", "purpose": "signing"});
    app.post(&clinic.officer, "/v1/keys", named).await.created();
    chancery_domain::audit::sequence::sequence(&app.instance, tenant).await.unwrap();
    while publish(&app.instance, tenant).await.unwrap() {}
    assert_eq!(handed(&app, &clinic, &upstream).await.taken, 2);
    let sent = std::mem::take(&mut *upstream.got.lock().unwrap());
    let by = |secret: &str| sent.iter().filter(|(_, headers, body)| verifies(&app, secret, headers, body)).count();
    assert_eq!((by(old), by(&new), by(by_hand["secret"].as_str().unwrap())), (0, 1, 1));
}
