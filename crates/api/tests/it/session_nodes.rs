//! Sessions on several nodes: clocks that differ, replicas that lag, a root that somebody else rotated, and strangers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use chancery_crypto::{Key256, MacKey};
use chancery_domain::{
    TenantId,
    api_keys::KeyEnv,
    ids::SessionId,
    keyring::{KeyProvider, ProviderError, ProviderKind, WrapLabel},
    sessions::RefreshToken,
};
use serde_json::{Value, json};

use crate::{
    app::{Backend, TestApp},
    roots::rotate_root,
    sessions::{bearer, log_in, logged_in, logged_in_at, refresh, works},
};

/// Counts how often the root is asked of it.
struct Asked {
    within: Arc<dyn KeyProvider>,
    times: Arc<AtomicUsize>,
}

#[async_trait]
impl KeyProvider for Asked {
    fn kind(&self) -> ProviderKind {
        self.within.kind()
    }
    fn label(&self) -> String {
        self.within.label()
    }
    async fn wrap(&self, key: &Key256, label: WrapLabel<'_>) -> Result<Vec<u8>, ProviderError> {
        self.within.wrap(key, label).await
    }
    async fn unwrap(&self, wrapped: &[u8], label: WrapLabel<'_>) -> Result<Key256, ProviderError> {
        self.times.fetch_add(1, Ordering::SeqCst);
        self.within.unwrap(wrapped, label).await
    }
}

/// What anybody can make: a token of the right form, under a pepper of this number that is nobody's.
fn made_up(version: u32) -> Value {
    let pepper = MacKey::from(&Key256::from_bytes([1; 32]));
    let (tenant, session) = (TenantId::from_bytes([1; 16]), SessionId::from_bytes([2; 16]));
    let token = RefreshToken::compute(KeyEnv::Dev, (version, &pepper), tenant, session, 0).reveal();
    json!({"refresh_token": token.expose()})
}

#[tokio::test]
async fn a_version_that_a_stranger_made_up_sends_nobody_to_the_key_providers() {
    let times = Arc::new(AtomicUsize::default());
    let counts = times.clone();
    let app = TestApp::with(Backend::sqlite().await, |ports| {
        for provider in &mut ports.providers {
            *provider = Arc::new(Asked { within: provider.clone(), times: counts.clone() });
        }
    })
    .await;
    let tokens = logged_in(&app).await;
    let before = times.load(Ordering::SeqCst);
    for version in [0, 2, 77, u32::MAX] {
        app.clock.advance_seconds(2);
        refresh(&app, &made_up(version)).await.refused(401, "auth.credential_invalid");
    }
    assert_eq!(times.load(Ordering::SeqCst), before);
    refresh(&app, &made_up(1)).await.refused(401, "auth.credential_invalid");
    refresh(&app, &tokens).await.ok();
}

#[tokio::test]
async fn a_lost_answer_comes_again_from_a_node_whose_clock_is_behind() {
    let app = TestApp::new().await;
    let ahead = app.elsewhere(app.clock.ahead(4)).await;
    let first = logged_in(&app).await;
    let second = refresh(&ahead, &first).await.ok();
    // The answer was lost, or two requests ran at once: the client asks again, and comes to the other node.
    assert_eq!(refresh(&app, &first).await.ok()["refresh_token"], second["refresh_token"]);
    let third = refresh(&app, &second).await.ok();
    assert!(works(&app, &third).await && works(&ahead, &third).await);
}

#[tokio::test]
async fn a_lost_answer_comes_again_from_a_node_that_does_not_know_the_newest_root_yet() {
    let app = TestApp::new().await;
    let late = app.again(|_| ()).await;
    let first = logged_in(&app).await;
    rotate_root(&app).await;
    let second = refresh(&app, &first).await.ok();
    assert_eq!(refresh(&late, &first).await.ok()["refresh_token"], second["refresh_token"]);
    assert!(works(&late, &refresh(&late, &second).await.ok()).await);
}

#[tokio::test]
async fn a_token_that_a_lagging_replica_does_not_know_of_is_no_copy() {
    let Some((backend, replica)) = Backend::lagging().await else { return };
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let tenant = clinic.id.parse().unwrap();
    let first = logged_in_at(&app, &clinic, "north").await;
    replica.lag(tenant, 3).await;
    let second = refresh(&app, &first).await.ok();
    let third = refresh(&app, &second).await.ok();
    replica.catch_up();
    assert!(works(&app, &third).await);
}

#[tokio::test]
async fn who_logged_out_is_out_whatever_a_replica_says() {
    let Some((backend, replica)) = Backend::lagging().await else { return };
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let tenant = clinic.id.parse().unwrap();
    let tokens = logged_in_at(&app, &clinic, "north").await;
    let elsewhere = log_in(&app, "north").await;
    assert!(works(&app, &tokens).await && works(&app, &elsewhere).await);
    replica.lag(tenant, 3).await;
    let reply = app.call(&bearer(&tokens), "POST", "/v1/auth/logout-all", None).await;
    assert_eq!(reply.ok(), json!({"ended": 2}));
    assert!(!works(&app, &tokens).await && !works(&app, &elsewhere).await);
    refresh(&app, &elsewhere).await.refused(401, "auth.credential_invalid");
}

#[tokio::test]
async fn no_access_token_outlives_its_session() {
    let app = TestApp::new().await;
    let short = app.again(|settings| (settings.session_days, settings.refresh_days) = (1, 1)).await;
    let first = logged_in(&short).await;
    app.clock.advance_seconds(86_400 - 60);
    let last = refresh(&short, &first).await.ok();
    assert!(works(&short, &last).await);
    app.clock.advance_seconds(120);
    assert!(!works(&short, &last).await);
}
