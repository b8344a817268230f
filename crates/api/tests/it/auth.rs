//! Logging in, and what a token says.

use serde_json::json;

use crate::app::{Caller, Clinic, TestApp, request};

const PASSWORD: &str = "Correct-Horse-7-Battery";

async fn user(app: &TestApp, clinic: &Clinic, username: &str) -> String {
    let body = json!({"username": username, "email": format!("{username}@clinic.test"), "password": PASSWORD,
        "roles": ["clinician"], "first_name": "Zoë", "last_name": "O'Brien", "metadata": {"ward": 7}});
    app.post(&clinic.admin, "/v1/users", body).await.created()["id"].as_str().unwrap().to_owned()
}

async fn log_in(app: &TestApp, tenant: &str, username: &str, password: &str) -> crate::app::Reply {
    let body = json!({"tenant": tenant, "username": username, "password": password});
    app.anonymous("POST", "/v1/auth/login", Some(body)).await
}

#[tokio::test]
async fn a_password_gives_a_token_that_names_its_holder() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let id = user(&app, &clinic, "zoe").await;
    let tokens = log_in(&app, "north", "zoe", PASSWORD).await.ok();
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));
    let zoe = Caller { bearer: tokens["access_token"].as_str().unwrap().to_owned() };
    let session = app.get(&zoe, "/v1/auth/session").await.ok();
    assert_eq!(session["user_id"], id);
    assert_eq!(session["username"], "zoe");
    assert_eq!(session["tenant_id"], clinic.id);
    assert_eq!(session["roles"], json!(["clinician"]));
    assert!(session["jti"].as_str().unwrap().starts_with("tok_"));

    app.clock.advance_seconds(901);
    app.get(&zoe, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
}

#[tokio::test]
async fn all_failed_logins_look_alike() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe").await;
    let wrong = log_in(&app, "north", "zoe", "Correct-Horse-8-Battery").await;
    wrong.refused(401, "auth.login_failed");
    assert_eq!(wrong.json()["detail"], "Invalid credentials");
    for (tenant, username) in [("north", "nobody"), ("nowhere", "zoe"), ("platform", "zoe"), ("", "")] {
        assert_eq!(log_in(&app, tenant, username, PASSWORD).await.visible(), wrong.visible());
    }
}

#[tokio::test]
async fn the_older_path_logs_in_too() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe").await;
    let body = json!({"tenant": clinic.id, "username": "zoe", "password": PASSWORD});
    assert!(app.anonymous("POST", "/auth/login", Some(body)).await.ok()["access_token"].is_string());
}

#[tokio::test]
async fn a_login_is_short() {
    let app = TestApp::new().await;
    for path in ["/v1/auth/login", "/auth/login"] {
        let body = json!({"tenant": "north", "username": "zoe", "password": "x".repeat(16 * 1024)});
        app.anonymous("POST", path, Some(body)).await.refused(413, "request.too_large");
        let body = json!({"tenant": "north", "username": "zoe", "password": "x".repeat(15 * 1024)});
        app.anonymous("POST", path, Some(body)).await.refused(401, "auth.login_failed");
        let mut announced = request("POST", path, Some(json!({})));
        announced.headers_mut().insert("content-length", "16385".parse().unwrap());
        app.send(announced).await.refused(413, "request.too_large");
    }
}

#[tokio::test]
async fn the_key_set_is_public_and_cacheable() {
    let app = TestApp::new().await;
    let trust = app.anonymous("GET", "/.well-known/chancery-trust.json", None).await;
    assert_eq!(trust.headers["cache-control"], "public, max-age=300");
    assert_eq!(app.anonymous("GET", "/.well-known/chancery-trust.json", None).await.ok(), trust.ok());
    let reply = app.anonymous("GET", "/.well-known/jwks.json", None).await;
    let keys = reply.ok();
    assert_eq!(reply.headers["content-type"], "application/jwk-set+json");
    assert_eq!(reply.headers["cache-control"], "public, max-age=300");
    let key = &keys["keys"][0];
    assert_eq!(
        (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
        (&json!("EC"), &json!("P-256"), &json!("ES256"), &json!("sig"))
    );
    assert!(key["kid"].as_str().unwrap().len() == 43 && key.get("d").is_none());
}

#[tokio::test]
async fn tokens_that_were_changed_are_not_accepted() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe").await;
    let token = log_in(&app, "north", "zoe", PASSWORD).await.ok()["access_token"].as_str().unwrap().to_owned();
    let (head, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let flipped = format!("{first}{}", &signature[1..]);
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let payload = head.split_once('.').unwrap().1;
    for bad in [
        format!("{head}.{flipped}"),
        format!("{head}."),
        format!("{token}="),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.AA"),
    ] {
        app.get(&Caller { bearer: bad }, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    }
}

/// `compat.login_400`: for clients of older versions.
#[tokio::test]
async fn a_refused_login_answers_400_where_older_clients_want_that() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe").await;
    let older = app.again(|settings| settings.login_400 = true).await;
    let usual = log_in(&app, "north", "zoe", "Correct-Horse-8-Battery").await.json();
    for path in ["/v1/auth/login", "/auth/login"] {
        for username in ["zoe", "nobody"] {
            let body = json!({"tenant": "north", "username": username, "password": "Correct-Horse-8-Battery"});
            let reply = older.anonymous("POST", path, Some(body)).await;
            reply.refused(400, "auth.login_failed");
            assert_eq!((&reply.json()["detail"], &reply.json()["code"]), (&usual["detail"], &usual["code"]));
            assert!(!reply.headers.contains_key("www-authenticate"));
        }
    }
    log_in(&older, "north", "zoe", PASSWORD).await.ok();
    // Only there: elsewhere a bad credential is 401 as ever.
    older.anonymous("GET", "/v1/auth/session", None).await.refused(401, "auth.credential_missing");
}
