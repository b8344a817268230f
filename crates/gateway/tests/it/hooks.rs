//! Webhooks of a route: taken in the application's place where it enforces, looked at where it does not.

use chancery_domain::{
    Timestamp,
    webhooks::{Provider, Rules, Signer, sign},
};
use chancery_gateway::{Mode, Table, webhook::Hook};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::{
    application::{Bytewise, answer, header, telling},
    stage::{Answer, Stage, route},
};

const SECRET: &str = "a-secret-of-oura-0123456789";

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_seconds(i64::try_from(since.as_secs()).unwrap())
}

/// A stage with a source of the clinic, whose webhooks a route takes.
async fn clinic(mode: Mode) -> (Stage, Hook) {
    let app = telling().await;
    let stage = Stage::with(vec![route("/*", app)]).await;
    let (_, admin) = stage.key("tenant_admin").await;
    let source = json!({"name": "oura", "provider": "oura", "upstream": "gateway:/in/oura", "enabled": true,
        "secrets": [{"kind": "shared", "value": SECRET}, {"kind": "token", "value": "agreed-on-with-the-provider"}]});
    let made = stage.api_as(&admin, "POST", "/v1/webhook-sources", source).await;
    let hook: Hook = made["path"].as_str().unwrap().parse().unwrap();
    let mut hooked = route("/in/oura", app);
    (hooked.webhook, hooked.mode) = (Some(hook.clone()), mode);
    stage.gateway.apply(Table::new(vec![route("/*", app), hooked]).unwrap());
    (stage, hook)
}

/// What Oura sends.
async fn send(stage: &Stage, body: &[u8], signed: &[u8]) -> Answer {
    let rules = Rules { provider: Provider::Oura, layout: None, client_id: None, app_ids: Vec::new() };
    let headers = sign(&rules, Signer::Mac(SECRET.as_bytes()), "", signed, now()).unwrap();
    let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "POST /in/oura HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n{lines}content-length: {}\r\n\r\n",
        body.len()
    );
    stage.raw(&[head.as_bytes(), body].concat()).await
}

#[tokio::test]
async fn a_message_is_answered_for_kept_and_handed_on_by_its_route_alone() {
    let (stage, hook) = clinic(Mode::Enforce).await;
    let taken = send(&stage, b"{\"n\":1}", b"{\"n\":1}").await;
    assert_eq!((taken.status.as_u16(), taken.body.as_slice()), (200, &b""[..]), "{}", taken.whole);
    send(&stage, b"{\"n\":2}", b"{\"n\":3}").await.refused(401, "webhook.rejected");
    stage.send("POST", "/in/oura", &["content-length: 0"]).await.refused(401, "webhook.rejected");
    stage.send("DELETE", "/in/oura", &[]).await.refused(405, "method.not_allowed");
    let asked = "/in/oura?verification_token=agreed-on-with-the-provider&challenge=c1";
    assert_eq!(stage.send("GET", asked, &[]).await.body, br#"{"challenge":"c1"}"#);
    stage.send("GET", "/in/oura?verification_token=x&challenge=c1", &[]).await.refused(401, "webhook.rejected");
    assert_eq!(stage.events("webhook.received").await.len(), 1);

    let message = || {
        let mut headers = http::HeaderMap::new();
        headers.insert("idempotency-key", "k".parse().unwrap());
        (headers, bytes::Bytes::from_static(b"{}"))
    };
    let handed = stage.gateway.hand_on(hook.source, "/in/oura", message()).await.unwrap();
    assert_eq!(handed.map(|(status, _)| status.as_u16()), Some(200));
    let other = chancery_domain::ids::WebhookSourceId::from_bytes([9; 16]);
    for (source, path) in [(other, "/in/oura"), (hook.source, "/x"), (hook.source, "/in/../x")] {
        assert_eq!(
            stage.gateway.hand_on(source, path, message()).await.unwrap(),
            None,
            "{path}: not this source's route"
        );
    }
}

#[tokio::test]
async fn a_route_that_does_not_enforce_leaves_webhooks_to_the_application_and_says_what_it_thinks() {
    let (stage, _) = clinic(Mode::Shadow).await;
    let taken = send(&stage, b"{\"n\":1}", b"{\"n\":1}").await;
    assert_eq!(taken.headers["x-chancery-verdict"], "pass");
    let seen: Value = taken.seen();
    assert_eq!((&seen["body"], &seen["method"]), (&"{\"n\":1}".into(), &"POST".into()));
    assert!(header(&seen, "x-oura-signature").is_some());
    let wrong = send(&stage, b"{\"n\":2}", b"{\"n\":3}").await;
    assert_eq!(wrong.headers["x-chancery-verdict"], "would-refuse; code=webhook.rejected");
    assert_eq!(wrong.seen()["body"], "{\"n\":2}");
    let long = vec![b'x'; 1_000_001];
    let long = send(&stage, &long, &long).await;
    assert_eq!(long.headers["x-chancery-verdict"], "would-refuse; code=request.too_large");
    assert_eq!(long.seen()["body"].as_str().unwrap().len(), 1_000_001, "and it is whole");
    assert_eq!(stage.events("webhook.received").await.len(), 0, "nothing was kept");
    assert_eq!(stage.gateway.observed().sights()["/in/oura"].would_refuse["webhook.rejected"], 1);
}

/// Found by reading: a tenant names the headers of its signature, and could have named those by which the application knows its callers.
#[tokio::test]
async fn a_source_does_not_say_who_calls_by_the_headers_of_its_signature() {
    let (stage, hook) = clinic(Mode::Enforce).await;
    let (app, seen) = Bytewise::speaking(|_, mut stream, app| async move {
        while let Some(head) = app.head(&mut stream).await {
            assert!(head.contains("content-length: 2\r\n"), "{head}");
            answer(&mut stream, "taken").await;
        }
    })
    .await;
    let mut hooked = route("/in/oura", app);
    hooked.webhook = Some(hook.clone());
    stage.gateway.apply(Table::new(vec![hooked]).unwrap());
    let mut headers = http::HeaderMap::new();
    let claims =
        ["x-auth-subject", "x-auth-assertion", "x-forwarded-for", "authorization", "cookie", "host", "x-api-key"];
    for name in claims.iter().chain(&["content-length", "transfer-encoding", "connection", "x_auth_roles"]) {
        headers.insert(name.parse::<http::HeaderName>().unwrap(), "evil".parse().unwrap());
    }
    headers.insert("x-signature", "good".parse().unwrap());
    let message = (headers, bytes::Bytes::from_static(b"{}"));
    let handed = stage.gateway.hand_on(hook.source, "/in/oura", message).await.unwrap();
    assert_eq!(handed.map(|(status, _)| status.as_u16()), Some(200));
    let came = String::from_utf8(seen.came.lock().unwrap().clone()).unwrap();
    assert!(
        !came.contains("evil") && came.contains("x-signature: good") && came.contains("x-auth-assertion: "),
        "{came}"
    );
}

/// Of an application behind the gateway it was not read: it was asked again as if it had said nothing.
#[tokio::test]
async fn what_the_application_says_of_the_next_try_is_heard() {
    let (stage, hook) = clinic(Mode::Enforce).await;
    let (app, _) = Bytewise::speaking(|_, mut stream, app| async move {
        while app.head(&mut stream).await.is_some() {
            let busy = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 90\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(busy).await;
        }
    })
    .await;
    let mut hooked = route("/in/oura", app);
    hooked.webhook = Some(hook.clone());
    stage.gateway.apply(Table::new(vec![hooked]).unwrap());
    let message = (http::HeaderMap::new(), bytes::Bytes::from_static(b"{}"));
    let (status, headers) = stage.gateway.hand_on(hook.source, "/in/oura", message).await.unwrap().unwrap();
    assert_eq!((status.as_u16(), &headers["retry-after"]), (503, &http::HeaderValue::from_static("90")));
}
