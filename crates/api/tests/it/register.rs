//! People who register themselves.

use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp};

const PASSWORD: &str = "Correct-Horse-7-Battery";

backends! {
    an_invitation_is_taken_up_with_a_name_and_a_password,
    whoever_registers_openly_waits_for_a_role,
    what_is_known_already_gets_the_same_answer,
}

async fn allow(app: &TestApp, clinic: &Clinic, registration: &str) {
    let set = app.call(&clinic.admin, "PATCH", "/v1/settings", Some(json!({"registration": registration}))).await.ok();
    assert_eq!(set["registration"], registration);
}

async fn register(app: &TestApp, body: Value) -> Reply {
    app.anonymous("POST", "/v1/auth/register", Some(body)).await
}

fn zoe(tenant: &str) -> Value {
    json!({"tenant": tenant, "username": "zoe", "email": " zoe@x.test ", "password": PASSWORD, "first_name": " Zoë "})
}

async fn log_in(app: &TestApp, clinic: &Clinic, name: &str, password: &str) -> Reply {
    let body = json!({"tenant": clinic.slug, "username": name, "password": password});
    app.anonymous("POST", "/v1/auth/login", Some(body)).await
}

async fn users(app: &TestApp, clinic: &Clinic) -> Vec<Value> {
    app.get(&clinic.admin, "/v1/users").await.ok()["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn nobody_registers_unless_the_tenant_says_so() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    assert_eq!(app.get(&clinic.admin, "/v1/settings").await.ok(), json!({"registration": "closed"}));
    let closed = register(&app, zoe("ours")).await;
    closed.refused(403, "registration.closed");
    // Nothing tells a tenant that is not there from one that is closed.
    for tenant in ["nowhere", "platform", "", "ours\u{0}"] {
        assert_eq!(register(&app, zoe(tenant)).await.visible(), closed.visible(), "{tenant}");
    }
    allow(&app, &clinic, "invited").await;
    assert_eq!(register(&app, zoe("ours")).await.visible(), closed.visible());
    assert!(users(&app, &clinic).await.is_empty());

    let odd = json!({"registration": "sometimes"});
    app.call(&clinic.admin, "PATCH", "/v1/settings", Some(odd)).await.refused(422, "request.invalid");
    let platform = json!({"registration": "open"});
    app.call(&app.admin, "PATCH", "/v1/settings", Some(platform)).await.refused(422, "request.invalid");
    app.call(&clinic.staff, "PATCH", "/v1/settings", Some(json!({}))).await.refused(403, "authz.denied");
    let events = app.events(&clinic.auditor, "settings.changed").await;
    assert!(events[0]["core"].as_str().unwrap().contains("\"registration\":\"invited\""), "{events:?}");
}

async fn an_invitation_is_taken_up_with_a_name_and_a_password(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, other) = (app.clinic("ours").await, app.clinic("theirs").await);
    let body = json!({"username": "ann", "email": "ann@x.test", "roles": ["clinician"], "last_name": "Old"});
    let id = app.post(&clinic.admin, "/v1/users", body).await.created()["id"].as_str().unwrap().to_owned();
    let invite =
        async || app.post(&clinic.admin, &format!("/v1/users/{id}/invite"), json!({})).await.ok()["token"].clone();
    let token = invite().await;
    let take = |tenant: &str, token: &Value| json!({"tenant": tenant, "invitation": token, "password": PASSWORD, "first_name": " Ann ", "last_name": "O'Brien"});
    register(&app, take("ours", &token)).await.refused(403, "registration.closed");
    allow(&app, &clinic, "invited").await;
    allow(&app, &other, "invited").await;
    for wrong in [take("theirs", &token), take("ours", &json!("cho_dev_x"))] {
        let reply = register(&app, wrong).await;
        reply.refused(422, "request.invalid");
        assert_eq!(reply.json()["errors"][0]["pointer"], "/invitation");
    }
    let mut named = take("ours", &token);
    named["username"] = json!("boss");
    register(&app, named).await.refused(422, "request.invalid");
    assert_eq!(register(&app, take("ours", &token)).await.status, 202);
    register(&app, take("ours", &token)).await.refused(422, "request.invalid");

    log_in(&app, &clinic, "ann", PASSWORD).await.ok();
    let ann = &users(&app, &clinic).await[0];
    assert_eq!((&ann["first_name"], &ann["last_name"]), (&json!("Ann"), &json!("O'Brien")));
    assert_eq!((&ann["roles"], &ann["email_proven"]), (&json!(["clinician"]), &json!(true)));
    let event = &app.events(&clinic.auditor, "user.registered").await[0];
    assert!(event["core"].as_str().unwrap().contains("\"by\":\"invitation\""), "{event}");
}

async fn whoever_registers_openly_waits_for_a_role(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    allow(&app, &clinic, "open").await;
    assert_eq!(register(&app, zoe("ours")).await.status, 202);
    let tokens = log_in(&app, &clinic, "zoe", PASSWORD).await.ok();
    let caller = Caller { bearer: tokens["access_token"].as_str().unwrap().to_owned() };
    assert_eq!(app.get(&caller, "/v1/auth/session").await.ok()["roles"], json!([]));
    for path in ["/v1/users", "/v1/fields", "/v1/keys", "/v1/settings"] {
        app.get(&caller, path).await.refused(403, "authz.denied");
    }
    let zoe = users(&app, &clinic).await[0].clone();
    assert_eq!((&zoe["email"], &zoe["first_name"]), (&json!("zoe@x.test"), &json!("Zoë")));
    assert_eq!((&zoe["roles"], &zoe["email_proven"]), (&json!([]), &json!(false)));

    // The address is one that she says she has: it is found by those who administrate, and logs nobody in until one of them gives it.
    assert_eq!(app.get(&clinic.admin, "/v1/users?email=zoe@x.test").await.ok()["items"], json!([zoe]));
    log_in(&app, &clinic, "zoe@x.test", PASSWORD).await.refused(401, "auth.login_failed");
    let path = format!("/v1/users/{}", zoe["id"].as_str().unwrap());
    let patch = json!({"email": "zoe@x.test", "roles": ["staff"]});
    app.call(&clinic.admin, "PATCH", &path, Some(patch)).await.ok();
    let tokens = log_in(&app, &clinic, "zoe@x.test", PASSWORD).await.ok();
    let caller = Caller { bearer: tokens["access_token"].as_str().unwrap().to_owned() };
    assert_eq!(app.get(&caller, "/v1/auth/session").await.ok()["roles"], json!(["staff"]));
}

async fn what_is_known_already_gets_the_same_answer(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    allow(&app, &clinic, "open").await;
    let body = json!({"username": "ann", "email": "ann@x.test", "password": PASSWORD, "roles": ["staff"]});
    app.post(&clinic.admin, "/v1/users", body).await.created();
    let hashes = || app.instance.passwords().done();
    let other = "Another-Horse-8-Battery";
    let with = |username: &str, email: &str| json!({"tenant": "ours", "username": username, "email": email, "password": other});
    let fresh = register(&app, with("new", "new@x.test")).await;
    assert_eq!(fresh.status, 202);
    for (username, email) in [("ann", "else@x.test"), ("else", "ann@x.test"), ("ann", "ann@x.test")] {
        let before = hashes();
        let reply = register(&app, with(username, email)).await;
        assert_eq!(reply.visible(), fresh.visible(), "{username} {email}");
        assert_eq!(hashes() - before, 1);
    }
    // Whose name and address it is, whatever others say, logs in by both.
    for name in ["ann", "ann@x.test"] {
        log_in(&app, &clinic, name, PASSWORD).await.ok();
        log_in(&app, &clinic, name, other).await.refused(401, "auth.login_failed");
    }
    let mut names: Vec<_> = users(&app, &clinic).await.iter().map(|user| user["username"].clone()).collect();
    names.sort_by_key(Value::to_string);
    assert_eq!(names, ["ann", "else", "new"]);
    let told = app.events(&clinic.auditor, "user.registered").await;
    assert_eq!(told.len(), 4);
    assert_eq!(told.iter().filter(|event| event["core"].as_str().unwrap().contains("\"code\":\"taken\"")).count(), 2);
    assert!(!told.iter().any(|event| event.to_string().contains("x.test")));
}

#[tokio::test]
async fn all_that_is_wrong_with_a_registration_is_told_at_once() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    allow(&app, &clinic, "open").await;
    let pointers = |reply: &Reply| -> Vec<String> {
        reply.refused(422, "request.invalid");
        let mut all: Vec<String> = reply.json()["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect();
        all.sort();
        all.dedup();
        all
    };
    let bad =
        json!({"tenant": "ours", "username": "a@b", "email": "nobody", "password": "password", "last_name": " \t "});
    assert_eq!(pointers(&register(&app, bad).await), ["/email", "/last_name", "/password", "/username"]);
    let bare = json!({"tenant": "ours", "password": PASSWORD});
    assert_eq!(pointers(&register(&app, bare).await), ["/email", "/username"]);
    let roles = json!({"tenant": "ours", "username": "z", "email": "z@x.test", "password": PASSWORD, "roles": ["tenant_admin"]});
    assert_eq!(pointers(&register(&app, roles).await), ["/roles"]);
    assert_eq!(app.anonymous("POST", "/auth/register", Some(zoe("ours"))).await.status, 202);
    assert_eq!(users(&app, &clinic).await.len(), 1);
}
