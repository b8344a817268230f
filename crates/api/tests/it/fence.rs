//! Two nodes over one store: what one stops, the other does not go on with.

use std::time::{Duration, Instant};

use chancery_crypto::Sealed;
use chancery_domain::TenantId;
use serde_json::{Value, json};

use crate::app::{Backend, TestApp};

backends! {
    a_rotation_elsewhere_is_known_to_the_next_seal, a_suspension_elsewhere_stops_a_cached_caller,
    a_field_changed_elsewhere_is_known_to_the_next_open
}

/// The other node has a lease and need not wait for its age.
async fn a_rotation_elsewhere_is_known_to_the_next_seal(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let other = app.again(|_| {}).await;
    let before = other.seal(&clinic.service, "note", "1", json!("x")).await;
    let keys = app.get(&clinic.officer, "/v1/keys?managed=data").await.ok();
    let id = keys["items"][0]["id"].as_str().unwrap().to_owned();
    app.post(&clinic.officer, &format!("/v1/keys/{id}/rotate"), json!({})).await.ok();
    let after = other.seal(&clinic.service, "note", "1", json!("x")).await;
    let handle = |item: &Value| Sealed::from_text(item["sealed"].as_str().unwrap()).unwrap().handle();
    assert_ne!(handle(&before), handle(&after));
    for item in [&before, &after] {
        other.open(&clinic.service, "note", "1", &item["sealed"]).await.ok();
    }
}

/// The tenant is suspended on one node; the other has its caller and its keys in memory. When the call has returned,
/// nothing is opened there any more, whatever the other node remembers.
async fn a_suspension_elsewhere_stops_a_cached_caller(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let other = app.again(|_| {}).await;
    let sealed = other.seal(&clinic.service, "note", "1", json!("x")).await;
    other.open(&clinic.service, "note", "1", &sealed["sealed"]).await.ok();
    let asked = Instant::now();
    app.post(&app.admin, &format!("/v1/tenants/{}/suspend", clinic.id), json!({})).await.ok();
    assert!(asked.elapsed() >= chancery_domain::keyring::fence::SETTLED_AFTER);
    let refused = other.open(&clinic.service, "note", "1", &sealed["sealed"]).await;
    refused.refused(409, "key.retired");
    // Nodes follow four times a second; then the caller is not known any more either.
    other.instance.follow_epochs().await.unwrap();
    let refused = other.open(&clinic.service, "note", "1", &sealed["sealed"]).await;
    refused.refused(401, "auth.credential_invalid");

    app.post(&app.admin, &format!("/v1/tenants/{}/resume", clinic.id), json!({})).await.ok();
    other.instance.follow_epochs().await.unwrap();
    other.open(&clinic.service, "note", "1", &sealed["sealed"]).await.ok();
}

/// Whether somebody may open a value is asked of the field as it is, not as the other node remembers it.
async fn a_field_changed_elsewhere_is_known_to_the_next_open(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let other = app.again(|_| {}).await;
    let sealed = other.seal(&clinic.service, "age", "1", json!(44)).await;
    other.open(&clinic.staff, "age", "1", &sealed["sealed"]).await.ok();
    let body = json!({"type": "integer", "class": "restricted"});
    app.put(&clinic.officer, "/v1/fields/patients/age", body).await.ok();
    other.open(&clinic.staff, "age", "1", &sealed["sealed"]).await.refused(403, "authz.denied");
    other.open(&clinic.service, "age", "1", &sealed["sealed"]).await.ok();
}

/// A node that cannot learn what was revoked lends no keys after 2 s, and heals by itself.
#[tokio::test]
async fn a_node_that_cannot_follow_lends_no_keys() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    app.instance.lease(TenantId::PLATFORM).await.unwrap();
    store.faults().fail_directory(true);
    assert!(app.instance.follow_epochs().await.is_err());
    app.instance.lease(TenantId::PLATFORM).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_050)).await;
    assert!(app.instance.lease(TenantId::PLATFORM).await.is_err());
    store.faults().fail_directory(false);
    app.instance.lease(TenantId::PLATFORM).await.unwrap();
}
