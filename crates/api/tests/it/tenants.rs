//! Tenants, from outside.

use serde_json::json;

use crate::app::{Backend, TestApp};

backends! { a_suspended_tenant_is_not_served_until_it_is_resumed, a_slug_is_taken_once }

async fn a_suspended_tenant_is_not_served_until_it_is_resumed(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.get(&clinic.staff, "/v1/auth/session").await.ok();
    let suspended = app.call(&app.admin, "POST", &format!("/v1/tenants/{}/suspend", clinic.id), None).await.ok();
    assert_eq!(suspended["state"], "suspended");
    app.get(&clinic.staff, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    app.call(&app.admin, "POST", &format!("/v1/tenants/{}/suspend", clinic.id), None)
        .await
        .refused(409, "state.conflict");
    app.call(&app.admin, "POST", &format!("/v1/tenants/{}/resume", clinic.id), None).await.ok();
    app.get(&clinic.staff, "/v1/auth/session").await.ok();
    app.call(&app.admin, "POST", "/v1/tenants/ten_platform/suspend", None).await.refused(404, "not_found");
}

async fn a_slug_is_taken_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let body = json!({"name": "A", "slug": "a-clinic", "email": "it@a.test", "metadata": {"plan": "gold"}});
    let made = app.post(&app.admin, "/v1/tenants", body.clone()).await.created();
    assert_eq!(made["state"], "active");
    app.post(&app.admin, "/v1/tenants", body).await.refused(409, "taken");
    assert_eq!(app.get(&app.admin, &format!("/v1/tenants/{}", made["id"].as_str().unwrap())).await.ok(), made);
    let listed = app.get(&app.admin, "/v1/tenants").await.ok();
    assert!(listed["items"].as_array().unwrap().contains(&made));
    assert_eq!(listed["next_cursor"], json!(null));
}
