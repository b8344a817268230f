//! Users, from outside.

use serde_json::json;

use crate::app::{Backend, TestApp};

backends! { a_user_is_found_by_its_mail_and_read_back_whole }

async fn a_user_is_found_by_its_mail_and_read_back_whole(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let body = json!({"username": "zoe", "email": "Zoë.B@clinic.test", "roles": ["clinician", "staff"],
        "first_name": "Zoë", "last_name": "O'Brien 王", "metadata": {"ward": [1, 2]}});
    let made = app.post(&clinic.admin, "/v1/users", body.clone()).await.created();
    assert!(made.get("email").is_none());
    let id = made["id"].as_str().unwrap();
    let user = app.get(&clinic.admin, &format!("/v1/users/{id}")).await.ok();
    for name in ["username", "email", "first_name", "last_name", "metadata", "roles"] {
        assert_eq!(user[name], body[name], "{name}");
    }
    let found = app.get(&clinic.admin, "/v1/users?email=zo%C3%AB.b%40CLINIC.test").await.ok();
    assert_eq!(found["items"], json!([user]));
    app.post(&clinic.admin, "/v1/users", body).await.refused(409, "taken");
}

#[tokio::test]
async fn nobody_grants_what_it_may_not() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let body = |role: &str| json!({"username": "x", "email": "x@x.test", "roles": [role]});
    app.post(&clinic.admin, "/v1/users", body("platform_admin")).await.refused(403, "authz.denied");
    app.post(&clinic.admin, "/v1/users", body("emperor")).await.refused(422, "request.invalid");
    app.post(&app.admin, "/v1/users", body("clinician")).await.refused(403, "authz.denied");
}

#[tokio::test]
async fn weak_passwords_are_refused_with_every_reason() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let body = json!({"username": "x", "email": "x@x.test", "roles": ["staff"], "password": "password"});
    let reply = app.post(&clinic.admin, "/v1/users", body).await;
    reply.refused(422, "request.invalid");
    assert!(!reply.text().contains("\"password\""));
    assert!(reply.json()["errors"].as_array().unwrap().iter().all(|fault| fault["pointer"] == "/password"));
}
