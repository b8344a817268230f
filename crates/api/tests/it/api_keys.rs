//! API keys, from outside.

use serde_json::json;

use crate::app::{Backend, Caller, TestApp};

backends! { a_key_is_shown_once_and_dies_when_revoked }

async fn a_key_is_shown_once_and_dies_when_revoked(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let body = json!({"description": "nightly", "roles": ["service"], "expires_in_days": 30, "allowed_cidrs": ["192.0.2.0/24"]});
    let made = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    let caller = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    assert!(caller.bearer.starts_with("chy_dev_"));
    assert_eq!(app.get(&caller, "/v1/auth/session").await.ok()["api_key_id"], made["id"]);

    let listed = app.get(&clinic.admin, "/v1/api-keys").await;
    assert!(!listed.text().contains("chy_dev_"));
    let item = listed.ok()["items"].as_array().unwrap().iter().find(|key| key["id"] == made["id"]).unwrap().clone();
    assert_eq!(item["allowed_cidrs"], json!(["192.0.2.0/24"]));

    let path = format!("/v1/api-keys/{}/revoke", made["id"].as_str().unwrap());
    assert!(app.call(&clinic.admin, "POST", &path, None).await.ok()["revoked_at"].is_string());
    app.get(&caller, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    app.call(&clinic.admin, "POST", &path, None).await.refused(409, "state.conflict");
}

#[tokio::test]
async fn a_key_works_from_its_networks_only() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let body = json!({"description": "x", "roles": ["service"], "allowed_cidrs": ["10.0.0.0/8"]});
    let made = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    let caller = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    app.get(&caller, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    let body = json!({"description": "x", "roles": ["service"], "allowed_cidrs": ["10.0.0.0/8", "nonsense"]});
    let reply = app.post(&clinic.admin, "/v1/api-keys", body).await;
    reply.refused(422, "request.invalid");
    assert_eq!(reply.json()["errors"][0]["pointer"], "/allowed_cidrs/1");
}

#[tokio::test]
async fn the_older_form_makes_a_key_of_a_user() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let user = json!({"username": "ann", "email": "ann@x.test", "roles": ["staff"]});
    let user = app.post(&clinic.admin, "/v1/users", user).await.created();
    let body = |role: &str| json!({"user_id": user["id"], "description": "older", "role": role});
    let made = app.post(&clinic.admin, "/admin/api-keys", body("user")).await.created();
    assert_eq!((&made["roles"], &made["user_id"]), (&json!(["staff"]), &user["id"]));
    let caller = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    assert_eq!(app.get(&caller, "/v1/auth/session").await.ok()["username"], "ann");
    app.post(&clinic.admin, "/admin/api-keys", body("admin")).await.refused(422, "request.invalid");
    let boss = json!({"username": "bob", "email": "bob@x.test", "roles": ["tenant_admin"]});
    let boss = app.post(&clinic.admin, "/v1/users", boss).await.created();
    let body = json!({"user_id": boss["id"], "description": "older", "role": "admin", "expires_in_days": 30,
        "allowed_cidrs": ["192.0.2.0/24"]});
    let made = app.post(&clinic.admin, "/admin/api-keys", body).await.created();
    assert_eq!((&made["roles"], &made["allowed_cidrs"]), (&json!(["tenant_admin"]), &json!(["192.0.2.0/24"])));
    assert!(made["expires_at"].is_string());
}
