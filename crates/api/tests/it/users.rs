//! Users, from outside.

use chancery_domain::{TenantId, users::fold_names};
use chancery_testkit::samples;
use serde_json::json;

use crate::app::{Backend, Caller, Clinic, TestApp};

const PASSWORD: &str = "Correct-Horse-7-Battery";

backends! {
    a_user_is_found_by_its_mail_and_read_back_whole,
    users_come_in_pages,
    a_user_is_changed_and_keeps_what_is_not_named,
    whoever_is_taken_out_of_use_is_out_at_once,
    a_deleted_user_leaves_an_id_and_a_free_name,
    a_name_is_one_name_in_every_spelling,
}

async fn user(app: &TestApp, clinic: &Clinic, name: &str, role: &str) -> String {
    let body = json!({"username": name, "email": format!("{name}@clinic.test"), "password": PASSWORD, "roles": [role]});
    app.post(&clinic.admin, "/v1/users", body).await.created()["id"].as_str().unwrap().to_owned()
}

async fn log_in(app: &TestApp, clinic: &Clinic, name: &str) -> Option<Caller> {
    let body = json!({"tenant": clinic.slug, "username": name, "password": PASSWORD});
    let reply = app.anonymous("POST", "/v1/auth/login", Some(body)).await;
    if reply.status != 200 {
        reply.refused(401, "auth.login_failed");
        return None;
    }
    Some(Caller { bearer: reply.json()["access_token"].as_str().unwrap().to_owned() })
}

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

async fn users_come_in_pages(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    for name in ["ann", "bob", "cay"] {
        user(&app, &clinic, name, "staff").await;
    }
    let first = app.get(&clinic.admin, "/v1/users?limit=2").await.ok();
    let names = |page: &serde_json::Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|user| user["email"].as_str().unwrap().to_owned()).collect()
    };
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = app.get(&clinic.admin, &format!("/v1/users?limit=2&cursor={cursor}")).await.ok();
    let mut all = [names(&first), names(&second)].concat();
    all.sort_unstable();
    assert_eq!(all, ["ann@clinic.test", "bob@clinic.test", "cay@clinic.test"]);
    assert!(second["next_cursor"].is_null());
    for odd in ["limit=0", "limit=101", "cursor=x"] {
        app.get(&clinic.admin, &format!("/v1/users?{odd}")).await.refused(422, "request.invalid");
    }
    let events = app.events(&clinic.auditor, "user.read").await;
    assert!(events.iter().any(|event| event["core"].as_str().unwrap().contains("\"users\":[\"usr_")), "{events:?}");
}

async fn a_user_is_changed_and_keeps_what_is_not_named(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let body = json!({"username": "zoe", "email": " zoe@clinic.test ", "roles": ["staff"], "first_name": " Zoë ",
        "last_name": "O'Brien", "metadata": {"phone": "+49 30 1234567"}});
    let id = app.post(&clinic.admin, "/v1/users", body).await.created()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/users/{id}");
    let made = app.get(&clinic.admin, &path).await.ok();
    assert_eq!((&made["email"], &made["first_name"]), (&json!("zoe@clinic.test"), &json!("Zoë")), "trimmed");

    let patch = json!({"email": "z.b@clinic.test", "first_name": "  Zoe ", "last_name": null});
    let answer = app.call(&clinic.admin, "PATCH", &path, Some(patch)).await.ok();
    assert!(answer.get("email").is_none());
    let now = app.get(&clinic.admin, &path).await.ok();
    assert_eq!((&now["email"], &now["first_name"]), (&json!("z.b@clinic.test"), &json!("Zoe")));
    assert!(now["last_name"].is_null());
    assert_eq!((&now["metadata"], &now["roles"]), (&made["metadata"], &made["roles"]));
    assert_eq!(app.get(&clinic.admin, "/v1/users?email=zoe@clinic.test").await.ok()["items"], json!([]));
    assert_eq!(app.get(&clinic.admin, "/v1/users?email=Z.B@clinic.test").await.ok()["items"], json!([now]));

    for (body, pointer) in [
        (json!({"first_name": "  "}), "/first_name"),
        (json!({"email": "zoe"}), "/email"),
        (json!({"email": null}), ""),
        (json!({"roles": []}), "/roles"),
        (json!({"metadata": {"phone": "call me"}}), "/metadata/phone"),
        (json!({"metadata": {"website": "javascript:alert(1)"}}), "/metadata/website"),
        (json!({"metadata": [1]}), "/metadata"),
        (json!({"username": "x"}), "/username"),
    ] {
        let reply = app.call(&clinic.admin, "PATCH", &path, Some(body.clone())).await;
        if pointer.is_empty() {
            // A null where nothing can go is as absent.
            reply.ok();
            continue;
        }
        reply.refused(422, "request.invalid");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(app.get(&clinic.admin, &path).await.ok(), now);
    let event = &app.events(&clinic.auditor, "user.updated").await[0];
    let core = event["core"].as_str().unwrap();
    assert!(core.contains("first_name") && !core.contains("Zoe"), "{core}");
}

async fn whoever_is_taken_out_of_use_is_out_at_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let id = user(&app, &clinic, "zoe", "staff").await;
    for (there, back, state) in [("disable", "enable", "disabled"), ("lock", "unlock", "locked")] {
        let path = |verb: &str| format!("/v1/users/{id}/{verb}");
        let zoe = log_in(&app, &clinic, "zoe").await.unwrap();
        app.get(&zoe, "/v1/auth/session").await.ok();
        app.post(&clinic.admin, &path(back), json!({})).await.refused(409, "state.conflict");
        assert_eq!(app.post(&clinic.admin, &path(there), json!({})).await.ok()["state"], state);
        app.get(&zoe, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
        assert!(log_in(&app, &clinic, "zoe").await.is_none());
        app.post(&clinic.admin, &path(there), json!({})).await.refused(409, "state.conflict");
        assert_eq!(app.post(&clinic.admin, &path(back), json!({})).await.ok()["state"], "active");
        app.get(&zoe, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
        assert!(log_in(&app, &clinic, "zoe").await.is_some());
    }
    for kind in ["user.disabled", "user.enabled", "user.locked", "user.unlocked"] {
        assert_eq!(app.events(&clinic.auditor, kind).await.len(), 1, "{kind}");
    }
}

async fn a_deleted_user_leaves_an_id_and_a_free_name(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let id = user(&app, &clinic, "zoe", "staff").await;
    let zoe = log_in(&app, &clinic, "zoe").await.unwrap();
    let path = format!("/v1/users/{id}");
    assert_eq!(app.call(&clinic.admin, "DELETE", &path, None).await.status, 204);
    app.get(&zoe, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    assert!(log_in(&app, &clinic, "zoe").await.is_none() && log_in(&app, &clinic, &id).await.is_none());
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("DELETE", path.clone(), None),
        ("PATCH", path.clone(), Some(json!({"first_name": "x"}))),
        ("POST", format!("{path}/enable"), None),
        ("POST", format!("{path}/invite"), None),
    ] {
        app.call(&clinic.admin, method, &path, body).await.refused(404, "not_found");
    }
    assert_eq!(app.get(&clinic.admin, "/v1/users").await.ok()["items"], json!([]));
    assert_eq!(app.get(&clinic.admin, "/v1/users?email=zoe@clinic.test").await.ok()["items"], json!([]));
    assert_ne!(user(&app, &clinic, "zoe", "staff").await, id);
    let key = json!({"description": "x", "roles": ["staff"], "user_id": id});
    assert!(app.post(&clinic.admin, "/v1/api-keys", key).await.status.is_client_error());
}

#[tokio::test]
async fn other_roles_end_sessions_and_are_granted_only_by_who_may() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let id = user(&app, &clinic, "zoe", "staff").await;
    let zoe = log_in(&app, &clinic, "zoe").await.unwrap();
    let path = format!("/v1/users/{id}");
    let set = |roles: serde_json::Value| Some(json!({"roles": roles}));
    app.call(&clinic.admin, "PATCH", &path, set(json!(["platform_admin"]))).await.refused(403, "authz.denied");
    app.call(&clinic.admin, "PATCH", &path, set(json!(["staff"]))).await.ok();
    app.get(&zoe, "/v1/auth/session").await.ok();
    let now = app.call(&clinic.admin, "PATCH", &path, set(json!(["clinician"]))).await.ok();
    assert_eq!(now["roles"], json!(["clinician"]));
    app.get(&zoe, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    let zoe = log_in(&app, &clinic, "zoe").await.unwrap();
    assert_eq!(app.get(&zoe, "/v1/auth/session").await.ok()["roles"], json!(["clinician"]));
}

#[tokio::test]
async fn a_key_that_acts_as_a_user_stops_with_it() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let id = user(&app, &clinic, "zoe", "staff").await;
    let key = json!({"description": "x", "roles": ["staff"], "user_id": id});
    let key = app.post(&clinic.admin, "/v1/api-keys", key).await.created();
    let key = Caller { bearer: key["key"].as_str().unwrap().to_owned() };
    app.get(&key, "/v1/auth/session").await.ok();
    app.post(&clinic.admin, &format!("/v1/users/{id}/lock"), json!({})).await.ok();
    app.get(&key, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
}

/// Found by attackers: beside `Alice` somebody could register as `alice`, and be taken for her.
async fn a_name_is_one_name_in_every_spelling(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let alice = user(&app, &clinic, "Alice", "staff").await;
    let body = |name: &str| json!({"username": name, "email": "a@x.test", "roles": ["staff"]});
    for spelled in ["alice", "ALICE", "\u{ff21}lice"] {
        app.post(&clinic.admin, "/v1/users", body(spelled)).await.refused(409, "taken");
    }
    for odd in ["ann\u{ff20}x.test", "\u{200b}", "Al\u{200b}ice", "alice\u{3164}"] {
        app.post(&clinic.admin, "/v1/users", body(odd)).await.refused(422, "request.invalid");
    }
    // Nor by registering, which tells nobody.
    let open = json!({"registration": "open"});
    app.call(&clinic.admin, "PATCH", "/v1/settings", Some(open)).await.ok();
    let other = "Another-Horse-8-Battery";
    let registration = json!({"tenant": "ours", "username": "alice", "email": "b@x.test", "password": other});
    assert_eq!(app.anonymous("POST", "/v1/auth/register", Some(registration)).await.status, 202);
    // Nor by an import, within itself either.
    let lines = ["aLICE", "Bob", "bob"].map(|name| body(name).to_string()).join("\n");
    let mut sent = crate::app::request("POST", "/v1/users/import", None);
    sent.headers_mut().insert("content-type", "application/x-ndjson".parse().unwrap());
    *sent.body_mut() = axum::body::Body::from(lines);
    let done = app.send(clinic.admin.sign(sent)).await.ok();
    assert_eq!((&done["made"], &done["refused"]), (&json!(1), &json!(2)), "{done}");

    // She logs in however she types it, and is shown as she is spelled.
    for typed in ["Alice", "alice", "ALICE", " alice "] {
        let caller = log_in(&app, &clinic, typed).await.unwrap();
        assert_eq!(app.get(&caller, "/v1/auth/session").await.ok()["username"], "Alice", "{typed}");
        let body = json!({"tenant": "ours", "username": typed, "password": other});
        app.anonymous("POST", "/v1/auth/login", Some(body)).await.refused(401, "auth.login_failed");
    }
    // Her name is free once she is gone.
    assert_eq!(app.call(&clinic.admin, "DELETE", &format!("/v1/users/{alice}"), None).await.status, 204);
    assert!(log_in(&app, &clinic, "alice").await.is_none());
    app.post(&clinic.admin, "/v1/users", body("alice")).await.created();
}

/// More than two batches, with names among them that no batch can fold: they hold nobody up, and the loop ends.
#[tokio::test]
async fn old_names_are_folded_batch_by_batch_to_the_end() {
    const NAMES: u64 = 450;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chancery.db");
    let app = TestApp::on(Backend::file(&path).await).await;
    let tenant: TenantId = app.clinic("ours").await.id.parse().unwrap();
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    for n in 1..=NAMES {
        let mut one = samples::user(n);
        one.username = if n == 7 { "Ann@x.test".to_owned() } else { format!("Name-{n}") };
        tx.insert_user(&one).await.unwrap();
    }
    let mut twin = samples::user(NAMES + 1);
    twin.username = "twin".to_owned();
    tx.insert_user(&twin).await.unwrap();
    tx.commit().await.unwrap();
    // As they were before names were folded.
    let older = [
        "UPDATE users SET name_key = NULL WHERE username LIKE 'Name-%' OR username LIKE 'Ann@%'",
        "UPDATE users SET username = 'NAME-1', name_key = NULL WHERE username = 'twin'",
    ];
    chancery_datasets::testing::sqlite(&path, &older).await;
    let unfolded = async || app.instance.store().view(tenant).await.unwrap().unfolded_users(None, 1_000).await.unwrap();
    assert_eq!(unfolded().await.len() as u64, NAMES + 1);

    assert_eq!(fold_names(&app.instance, tenant).await.unwrap(), NAMES - 1);
    let left: Vec<String> = unfolded().await.into_iter().map(|(_, name)| name.to_lowercase()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(&"ann@x.test".to_owned()) && left.contains(&"name-1".to_owned()), "{left:?}");
    let mut view = app.instance.store().view(tenant).await.unwrap();
    for spelled in ["name-300", "NAME-449"] {
        assert!(view.user_by_username(spelled).await.unwrap().is_some(), "{spelled}");
    }
    assert_eq!(fold_names(&app.instance, tenant).await.unwrap(), 0, "and again");
}
