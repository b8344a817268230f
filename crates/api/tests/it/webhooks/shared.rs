//! Nodes that share a memory of what came, and senders that publish their keys.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use chancery_domain::{
    Timestamp,
    identity_providers::{Document, DocumentFetcher, FetchError},
    instance::Failure,
    replays::{LocalReplays, Replays},
};

use super::*;
use crate::app::Backend;

/// A memory that can be away.
#[derive(Default)]
struct Memory {
    kept: LocalReplays,
    away: AtomicBool,
}

#[async_trait]
impl Replays for Memory {
    async fn seen(&self, what: &[u8; 32], seconds: u32, now: Timestamp) -> Result<bool, Failure> {
        if self.away.load(Ordering::SeqCst) {
            Err(Failure::Shared("away".into()))
        } else {
            self.kept.seen(what, seconds, now).await
        }
    }

    async fn forget(&self, what: &[u8; 32]) -> Result<(), Failure> {
        self.kept.forget(what).await
    }
}

#[tokio::test]
async fn a_copy_of_what_came_to_another_node_is_refused_though_the_store_knows_nothing_of_it() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let oura = source(&app, &clinic, "oura").await;
    let memory = Arc::new(Memory::default());
    app.instance.remember_with(memory.clone());
    let copy = signed(&app, &oura, b"{\"n\":1}", 0);
    assert_eq!(app.send(copy()).await.status, StatusCode::OK);
    // The store is put back to before it came.
    let tenant: TenantId = clinic.id.parse().unwrap();
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    tx.forget_webhooks(app.clock.now().plus_seconds(99_999_999), app.clock.now()).await.unwrap();
    tx.commit().await.unwrap();
    rejected(&app.send(copy()).await, 401);
    // Signed anew it is taken, as a store that knows nothing of it must.
    app.clock.advance_seconds(1);
    assert_eq!(app.send(signed(&app, &oura, b"{\"n\":1}", 0)()).await.status, StatusCode::OK);
    // While nobody can say whether it came, nothing is taken; then it is.
    memory.away.store(true, Ordering::SeqCst);
    let late = signed(&app, &oura, b"{\"n\":2}", 0);
    app.send(late()).await.refused(503, "dependency.unavailable");
    memory.away.store(false, Ordering::SeqCst);
    assert_eq!(app.send(late()).await.status, StatusCode::OK);
    rejected(&app.send(late()).await, 401);
}

#[tokio::test]
async fn what_was_not_kept_may_come_again() {
    let (backend, faulty) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let oura = source(&app, &clinic, "oura").await;
    app.instance.remember_with(Arc::new(Memory::default()));
    // Its secrets are opened before the store goes away.
    assert_eq!(app.send(signed(&app, &oura, b"{\"n\":0}", 0)()).await.status, StatusCode::OK);
    let copy = signed(&app, &oura, b"{\"n\":1}", 0);
    faulty.faults().fail_commit(true);
    assert!(app.send(copy()).await.status.is_server_error());
    faulty.faults().fail_commit(false);
    assert_eq!(app.send(copy()).await.status, StatusCode::OK, "nobody had kept it");
    rejected(&app.send(copy()).await, 401);
}

/// Google's key set, when it answers.
struct Published {
    set: Mutex<Option<String>>,
    asked: AtomicUsize,
}

#[async_trait]
impl DocumentFetcher for Published {
    async fn fetch(&self, url: &str) -> Result<Document, FetchError> {
        assert_eq!(url, "https://keys.example/google.json");
        self.asked.fetch_add(1, Ordering::SeqCst);
        let set = self.set.lock().unwrap().clone().ok_or(FetchError::Unreachable)?;
        Ok(Document { body: set.into_bytes(), max_age: Some(600) })
    }
}

#[tokio::test]
async fn a_key_set_is_fetched_from_where_it_is_published_and_without_it_nothing_is_taken() {
    let vectors = include_str!("../../../../../testdata/vectors/webhooks/google_health.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let set = vectors["secrets"][1][1].as_str().unwrap().to_owned();
    let published = Arc::new(Published { set: Mutex::default(), asked: AtomicUsize::default() });
    let fetcher = Arc::clone(&published);
    let app = TestApp::with(Backend::sqlite().await, |ports| ports.documents = fetcher).await;
    let clinic = app.clinic("ours").await;
    let body = json!({"name": "google", "provider": "google_health", "upstream": "http://127.0.0.1:9/in", "enabled": true,
        "secrets": [{"kind": "public_key", "value": "https://keys.example/google.json"}]});
    let made = app.post(&clinic.admin, "/v1/webhook-sources", body).await.created();
    let path = made["path"].as_str().unwrap();
    let case = &vectors["cases"][1];
    let headers: Vec<(String, String)> = serde_json::from_value(case["headers"].clone()).unwrap();
    let body = BASE64.decode(case["body_base64"].as_str().unwrap().as_bytes()).unwrap();
    let right = || message(path, &headers, &body);
    app.send(right()).await.refused(503, "dependency.unavailable");
    app.send(right()).await.refused(503, "dependency.unavailable");
    assert_eq!(published.asked.load(Ordering::SeqCst), 1, "not asked again at once");
    *published.set.lock().unwrap() = Some(set);
    app.clock.advance_seconds(31);
    assert_eq!(app.send(right()).await.status, StatusCode::NO_CONTENT);
    rejected(&app.send(message(path, &headers, b"another body")).await, 401);
    // Somebody else's key: asked for once more, and remembered as unknown.
    app.clock.advance_seconds(31);
    let mut other = P256SigningKey::make().unwrap();
    for _ in 0..3 {
        let signer = Signer::Tink(&other, 9_999);
        let headers = sign(&rules(Provider::GoogleHealth), signer, "", &body, app.clock.now()).unwrap();
        rejected(&app.send(message(path, &headers, &body)).await, 401);
        other = P256SigningKey::make().unwrap();
    }
    assert_eq!(published.asked.load(Ordering::SeqCst), 3);
    // It is away: what it said goes on.
    *published.set.lock().unwrap() = None;
    app.clock.advance_seconds(700);
    assert_eq!(app.send(right()).await.status, StatusCode::NO_CONTENT);
    let text = crate::metrics::scrape(&app).await;
    for line in [
        r#"chancery_webhooks_received_total{provider="google_health",outcome="no_keys"} 2"#,
        r#"chancery_webhooks_received_total{provider="google_health",outcome="wrong_signature"} 4"#,
        r#"chancery_webhook_key_fetches_total{class="fetched"} 2"#,
        r#"chancery_webhook_key_fetches_total{class="failed"} 2"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
}
