//! Keys in memory: loaded once, looked up again ahead of time, gone in time.

use std::sync::atomic::Ordering;

use chancery_domain::{TenantId, instance::Failure};

use crate::app::{Backend, TestApp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_ask_at_once_keys_are_loaded_once() {
    let (backend, views) = Backend::counted().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    app.instance.lease(TenantId::PLATFORM).await.unwrap();
    app.instance.end_lease(tenant);
    let before = views.load(Ordering::SeqCst);
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let instance = app.instance.clone();
        askers.spawn(async move { instance.lease(tenant).await.map(drop) });
    }
    assert!(askers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(views.load(Ordering::SeqCst) - before, 1);
}

#[tokio::test]
async fn keys_in_use_are_looked_up_again_before_their_time_is_over() {
    let (backend, views) = Backend::counted().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    app.instance.end_lease(tenant);
    for _ in 0..2 {
        app.instance.lease(tenant).await.unwrap();
    }
    assert_eq!(app.instance.renew_leases().await, 0, "none is old");
    app.clock.advance_seconds(24);
    assert!(app.instance.renew_leases().await >= 1);
    let before = views.load(Ordering::SeqCst);
    app.clock.advance_seconds(20);
    app.instance.lease(tenant).await.unwrap();
    assert_eq!(views.load(Ordering::SeqCst), before, "nobody waited for it");
    // Not asked for since, it ends.
    app.clock.advance_seconds(31);
    app.instance.lease(tenant).await.unwrap();
    assert_eq!(views.load(Ordering::SeqCst), before + 1);
}

/// The store gives no keys any more: those that are lent serve to their end, and no longer. It heals by itself.
#[tokio::test]
async fn a_live_lease_serves_to_its_bound() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let tenant: TenantId = clinic.id.parse().unwrap();
    app.instance.end_lease(tenant);
    app.instance.lease(tenant).await.unwrap();
    store.faults().fail_view(true);
    app.clock.advance_seconds(20);
    app.instance.lease(tenant).await.unwrap();
    app.instance.renew_leases().await;
    app.instance.lease(tenant).await.unwrap();
    app.clock.advance_seconds(10);
    assert!(matches!(app.instance.lease(tenant).await, Err(Failure::Store(_))));
    store.faults().fail_view(false);
    app.instance.lease(tenant).await.unwrap();
}
