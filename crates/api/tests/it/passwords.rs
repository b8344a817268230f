//! Passwords: of other systems, new ones, forgotten ones.

use chancery_crypto::password::Cost;
use chancery_domain::{
    access::RequestInfo,
    ids::RequestId,
    instance::Failure,
    sessions::{self, Amr, Authentication, Person},
    store::StoreError,
};
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp, request};

const OLD: &str = "Correct-Horse-7-Battery";
const NEW: &str = "Another-Horse-8-Battery";

backends! {
    hashes_of_another_system_log_in_and_become_ours,
    an_import_tells_of_every_line,
    a_token_sets_a_password_once,
    wrong_passwords_at_a_change_are_counted_as_at_a_proof,
    of_two_at_once_with_one_token_one_sets_it,
    a_password_that_was_set_meanwhile_wins,
}

async fn log_in(app: &TestApp, clinic: &Clinic, name: &str, password: &str) -> Reply {
    let body = json!({"tenant": clinic.slug, "username": name, "password": password});
    app.anonymous("POST", "/v1/auth/login", Some(body)).await
}

async fn session(app: &TestApp, clinic: &Clinic, name: &str, password: &str) -> Caller {
    let tokens = log_in(app, clinic, name, password).await.ok();
    Caller { bearer: tokens["access_token"].as_str().unwrap().to_owned() }
}

async fn user(app: &TestApp, clinic: &Clinic, name: &str, password: Option<&str>) -> String {
    let email = format!("{name}@clinic.test");
    let body = json!({"username": name, "email": email, "password": password, "roles": ["staff"]});
    app.post(&clinic.admin, "/v1/users", body).await.created()["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn import(app: &TestApp, caller: &Caller, lines: &str) -> Reply {
    let mut sent = request("POST", "/v1/users/import", None);
    sent.headers_mut().insert("content-type", "application/x-ndjson".parse().unwrap());
    *sent.body_mut() = axum::body::Body::from(lines.to_owned());
    app.send(caller.sign(sent)).await
}

async fn set(app: &TestApp, token: &Value, password: &str) -> Reply {
    let body = json!({"token": token, "new_password": password});
    app.anonymous("POST", "/v1/auth/password/reset", Some(body)).await
}

async fn stored(app: &TestApp, clinic: &Clinic, name: &str) -> String {
    let mut view = app.instance.store().view(clinic.id.parse().unwrap()).await.unwrap();
    view.user_by_username(name).await.unwrap().unwrap().password_hash.unwrap_or_default()
}

async fn hashes_of_another_system_log_in_and_become_ours(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let long = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let lines = [
        json!({"username": "ann", "email": "ann@x.test", "roles": ["staff"],
            "password_hash": "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}),
        json!({"username": "bob", "email": "bob@x.test", "roles": ["staff"], "is_active": false,
            "password_hash": "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"}),
        json!({"username": "cay", "email": "cay@x.test", "roles": ["staff"],
            "password_hash": "$2b$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"}),
    ];
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    let done = import(&app, &clinic.admin, &lines.join("\n")).await.ok();
    assert_eq!((&done["made"], &done["refused"]), (&json!(3), &json!(0)), "{done}");

    log_in(&app, &clinic, "ann", "U*U*").await.refused(401, "auth.login_failed");
    assert!(stored(&app, &clinic, "ann").await.starts_with("$2a$05$"));
    log_in(&app, &clinic, "ann", "U*U").await.ok();
    assert!(stored(&app, &clinic, "ann").await.starts_with("$argon2id$v=19$m=64,"), "the cost of these tests");
    log_in(&app, &clinic, "ann", "U*U").await.ok();
    log_in(&app, &clinic, "ann", "U*U*").await.refused(401, "auth.login_failed");
    log_in(&app, &clinic, "bob", "U*U").await.refused(401, "auth.login_failed");

    // The older system looked at 72 bytes; from the first login on the whole password counts.
    log_in(&app, &clinic, "cay", &format!("{long} mine")).await.ok();
    log_in(&app, &clinic, "cay", &format!("{long} yours")).await.refused(401, "auth.login_failed");
    log_in(&app, &clinic, "cay", &format!("{long} mine")).await.ok();
}

async fn an_import_tells_of_every_line(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", None).await;
    let line = |name: &str, more: Value| {
        let mut line = json!({"username": name, "email": "a@x.test", "roles": ["staff"]});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string()
    };
    let lines = [
        line("ann", json!({"first_name": " Ann ", "metadata": {"ward": 7}})),
        line("zoe", json!({})),
        line("ann", json!({})),
        line("cay", json!({"email": "nobody", "last_name": "  "})),
        line("dee", json!({"password_hash": "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"})),
        line("eve", json!({"password_hash": "$argon2id$v=19$m=4000000,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2hzb21laGFzaA"})),
        line("fay", json!({"password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"})),
        line("gil", json!({"roles": ["platform_admin"]})),
        line("hal", json!({"password": OLD})),
        String::new(),
        r#"{"username": "ida", "username": "ida"}"#.to_owned(),
        "not json".to_owned(),
        line("jon", json!({})),
    ];
    let done = import(&app, &clinic.admin, &lines.join("\r\n")).await.ok();
    assert_eq!((&done["made"], &done["refused"]), (&json!(2), &json!(10)), "{done}");
    let told: Vec<(u64, String, String)> = done["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["id"].is_null())
        .map(|item| {
            let pointer = item["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned();
            (item["line"].as_u64().unwrap(), item["code"].as_str().unwrap().to_owned(), pointer)
        })
        .collect();
    let expected = [
        (2, "taken", ""),
        (3, "taken", ""),
        (4, "request.invalid", "/email"),
        (5, "request.invalid", "/password_hash"),
        (6, "request.invalid", "/password_hash"),
        (7, "request.invalid", "/password_hash"),
        (8, "authz.denied", ""),
        (9, "request.invalid", "/password"),
        (11, "request.malformed", ""),
        (12, "request.malformed", ""),
    ];
    let expected: Vec<_> = expected.map(|(line, code, at)| (line, code.to_owned(), at.to_owned())).into();
    assert_eq!(told, expected);
    assert!(!done.to_string().contains("5f4dcc3b"));
    assert_eq!(app.get(&clinic.admin, "/v1/users").await.ok()["items"].as_array().unwrap().len(), 3);
    import(&app, &clinic.staff, &lines[0]).await.refused(403, "authz.denied");
    import(&app, &clinic.admin, "\n \n").await.refused(422, "request.invalid");
    import(&app, &clinic.admin, &"{}\n".repeat(501)).await.refused(422, "request.invalid");
    assert_eq!(app.events(&clinic.auditor, "user.imported").await.len(), 1);
}

#[tokio::test]
async fn a_password_is_changed_for_the_old_one_and_other_sessions_end() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", Some(OLD)).await;
    let (here, there) = (session(&app, &clinic, "zoe", OLD).await, session(&app, &clinic, "zoe", OLD).await);
    let path = "/v1/auth/password/change";
    let change = |old: &str, new: &str| json!({"current_password": old, "new_password": new});
    app.post(&here, path, change(NEW, NEW)).await.refused(422, "request.invalid");
    let weak = app.post(&here, path, change(OLD, "password")).await;
    weak.refused(422, "request.invalid");
    assert!(weak.json()["errors"].as_array().unwrap().iter().all(|fault| fault["pointer"] == "/new_password"));
    assert_eq!(app.post(&here, path, change(OLD, NEW)).await.status, 204);
    app.get(&here, "/v1/auth/session").await.ok();
    app.get(&there, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    log_in(&app, &clinic, "zoe", OLD).await.refused(401, "auth.login_failed");
    log_in(&app, &clinic, "zoe", NEW).await.ok();
    assert_eq!(app.events(&clinic.auditor, "password.changed").await.len(), 1);
}

/// Found by attackers: within ten minutes of a login a stolen session could guess the password as often as it liked.
async fn wrong_passwords_at_a_change_are_counted_as_at_a_proof(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", Some(OLD)).await;
    let (here, there) = (session(&app, &clinic, "zoe", OLD).await, session(&app, &clinic, "zoe", OLD).await);
    let change = async |old: &str, new: &str| {
        let body = json!({"current_password": old, "new_password": new});
        app.post(&here, "/v1/auth/password/change", body).await
    };
    let guess = |n: usize| format!("Correct-Horse-{n}-Batteries");
    // A right one gives new tries, here as there.
    for n in 0..4 {
        change(&guess(n), NEW).await.refused(422, "request.invalid");
    }
    assert_eq!(change(OLD, NEW).await.status, 204);
    app.get(&there, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    let there = session(&app, &clinic, "zoe", NEW).await;
    for n in 0..3 {
        change(&guess(n), OLD).await.refused(422, "request.invalid");
    }
    for n in 3..5 {
        let reply = app.post(&here, "/v1/auth/reauthenticate", json!({"password": guess(n)})).await;
        reply.refused(401, "auth.login_failed");
    }
    // The right one is not looked at any more.
    change(NEW, OLD).await.refused(422, "request.invalid");
    app.get(&here, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    app.get(&there, "/v1/auth/session").await.ok();
    log_in(&app, &clinic, "zoe", NEW).await.ok();
    assert_eq!(app.events(&clinic.auditor, "session.proof_failed").await.len(), 9);
    assert_eq!(app.events(&clinic.auditor, "password.changed").await.len(), 1);
}

async fn a_token_sets_a_password_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let (zoe, ann) = (user(&app, &clinic, "zoe", Some(OLD)).await, user(&app, &clinic, "ann", None).await);
    let here = session(&app, &clinic, "zoe", OLD).await;
    let forced = |id: &str| format!("/v1/users/{id}/force-password-reset");
    let token = app.post(&clinic.admin, &forced(&zoe), json!({})).await.ok()["token"].clone();
    app.get(&here, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    log_in(&app, &clinic, "zoe", OLD).await.refused(401, "auth.login_failed");
    set(&app, &token, "password").await.refused(422, "request.invalid");
    assert_eq!(set(&app, &token, NEW).await.status, 204);
    set(&app, &token, OLD).await.refused(422, "request.invalid");
    log_in(&app, &clinic, "zoe", NEW).await.ok();

    let invite = |id: &str| format!("/v1/users/{id}/invite");
    app.post(&clinic.admin, &invite(&zoe), json!({})).await.refused(409, "state.conflict");
    let first = app.post(&clinic.admin, &invite(&ann), json!({})).await.ok()["token"].clone();
    let second = app.post(&clinic.admin, &invite(&ann), json!({})).await.ok()["token"].clone();
    set(&app, &first, NEW).await.refused(422, "request.invalid");
    app.clock.advance_seconds(6 * 86_400);
    assert_eq!(set(&app, &second, NEW).await.status, 204);
    log_in(&app, &clinic, "ann", NEW).await.ok();

    let late = app.post(&clinic.admin, &forced(&zoe), json!({})).await.ok()["token"].clone();
    app.clock.advance_seconds(3_600);
    set(&app, &late, OLD).await.refused(422, "request.invalid");
    let locked = app.post(&clinic.admin, &forced(&zoe), json!({})).await.ok()["token"].clone();
    app.post(&clinic.admin, &format!("/v1/users/{zoe}/lock"), json!({})).await.ok();
    set(&app, &locked, OLD).await.refused(422, "request.invalid");
    for kind in ["password.forced", "password.invited", "password.set"] {
        assert!(!app.events(&clinic.auditor, kind).await.is_empty(), "{kind}");
    }
}

async fn of_two_at_once_with_one_token_one_sets_it(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let ann = user(&app, &clinic, "ann", None).await;
    let token = app.post(&clinic.admin, &format!("/v1/users/{ann}/invite"), json!({})).await.ok()["token"].clone();
    let (one, two) = tokio::join!(set(&app, &token, OLD), set(&app, &token, NEW));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 422], "{} {}", one.text(), two.text());
}

#[tokio::test]
async fn a_second_factor_is_asked_for_after_a_reset_as_before() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let body = json!({"username": "ada", "email": "ada@x.test", "roles": ["tenant_admin"]});
    let ada = app.post(&clinic.admin, "/v1/users", body).await.created();
    let path = format!("/v1/users/{}/invite", ada["id"].as_str().unwrap());
    let token = app.post(&clinic.admin, &path, json!({})).await.ok()["token"].clone();
    assert_eq!(set(&app, &token, NEW).await.status, 204);
    assert_eq!(log_in(&app, &clinic, "ada", NEW).await.ok()["methods"], json!(["enroll"]));
}

/// Found by review: a login went on with the password that it had compared, and kept a hash of it, over one that was set meanwhile.
async fn a_password_that_was_set_meanwhile_wins(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let zoe = user(&app, &clinic, "zoe", Some(OLD)).await;
    let tenant = clinic.id.parse().unwrap();
    let read = async || app.instance.store().view(tenant).await.unwrap().user(zoe.parse().unwrap()).await.unwrap();
    let compared = read().await.unwrap();
    let token = app.post(&clinic.admin, &format!("/v1/users/{zoe}/force-password-reset"), json!({})).await.ok();
    assert_eq!(set(&app, &token["token"], NEW).await.status, 204);

    let request = RequestInfo {
        id: RequestId::make(app.instance.now(), app.instance.random()).unwrap(),
        address: None,
        user_agent: None,
        key: None,
        route: "/v1/auth/login",
        method: "POST",
    };
    let proof = || Authentication { methods: vec![Amr::Password], at: app.instance.now() };
    let person = |user| Person { tenant, slug: &clinic.slug, user };
    let opened = sessions::open(&app.instance, &request, person(&compared), proof(), Some("a better hash")).await;
    assert!(matches!(opened, Err(Failure::Store(StoreError::Changed("user")))));
    let now = read().await.unwrap();
    assert!(now.password_hash.as_ref().is_some_and(|hash| hash.starts_with("$argon2id$")));
    assert_ne!(now.password_hash, compared.password_hash);
    log_in(&app, &clinic, "zoe", NEW).await.ok();

    // Nor with roles that are others by now, nor out of use.
    app.post(&clinic.admin, &format!("/v1/users/{zoe}/lock"), json!({})).await.ok();
    let opened = sessions::open(&app.instance, &request, person(&now), proof(), None).await;
    assert!(matches!(opened, Err(Failure::Store(StoreError::Changed("user")))));
}

/// The same words, and the same work: what takes time is one hash, whatever is wrong.
#[tokio::test]
async fn every_refused_login_costs_one_hash() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let (locked, disabled, deleted) = (
        user(&app, &clinic, "lou", Some(OLD)).await,
        user(&app, &clinic, "dan", Some(OLD)).await,
        user(&app, &clinic, "del", Some(OLD)).await,
    );
    user(&app, &clinic, "zoe", Some(OLD)).await;
    user(&app, &clinic, "nopass", None).await;
    app.post(&clinic.admin, &format!("/v1/users/{locked}/lock"), json!({})).await.ok();
    app.post(&clinic.admin, &format!("/v1/users/{disabled}/disable"), json!({})).await.ok();
    app.call(&clinic.admin, "DELETE", &format!("/v1/users/{deleted}"), None).await;
    let asleep = app.clinic("asleep").await;
    user(&app, &asleep, "zoe", Some(OLD)).await;
    app.post(&app.admin, &format!("/v1/tenants/{}/suspend", asleep.id), json!({})).await.ok();

    let hashes = || app.instance.passwords().done();
    let mut seen = Vec::new();
    for (tenant, name, password) in [
        ("north", "zoe", NEW),
        ("north", "nobody", OLD),
        ("north", "zoe@elsewhere.test", OLD),
        ("north", "lou", OLD),
        ("north", "lou", NEW),
        ("north", "dan", OLD),
        ("north", "del", OLD),
        ("north", "nopass", OLD),
        ("north", "zoe\u{0}", OLD),
        ("nowhere", "zoe", OLD),
        ("asleep", "zoe", OLD),
        ("platform", "zoe", OLD),
    ] {
        for path in ["/v1/auth/login", "/auth/login"] {
            let before = hashes();
            let body = json!({"tenant": tenant, "username": name, "password": password});
            let reply = app.anonymous("POST", path, Some(body)).await;
            reply.refused(401, "auth.login_failed");
            assert_eq!(hashes() - before, 1, "{tenant} {name} {password}");
            seen.push(reply.visible());
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "they look alike");
    let before = hashes();
    log_in(&app, &clinic, "zoe", OLD).await.ok();
    assert_eq!(hashes() - before, 1);
}

#[tokio::test]
async fn a_hash_below_the_cost_of_now_is_made_anew_at_login_and_never_a_cheaper_one() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", Some(OLD)).await;
    let before = stored(&app, &clinic, "zoe").await;
    assert!(before.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{before}");
    let dearer = app.again(|settings| settings.password_cost = Cost { memory_kib: 128, passes: 2, lanes: 1 }).await;
    log_in(&dearer, &clinic, "zoe", NEW).await.refused(401, "auth.login_failed");
    assert_eq!(stored(&app, &clinic, "zoe").await, before, "only a right password is hashed anew");
    log_in(&dearer, &clinic, "zoe", OLD).await.ok();
    let after = stored(&app, &clinic, "zoe").await;
    assert!(after.starts_with("$argon2id$v=19$m=128,t=2,p=1$"), "{after}");
    log_in(&app, &clinic, "zoe", OLD).await.ok();
    log_in(&dearer, &clinic, "zoe", OLD).await.ok();
    assert_eq!(stored(&app, &clinic, "zoe").await, after);
}

#[tokio::test]
async fn more_logins_than_can_wait_are_told_to_come_again() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", Some(OLD)).await;
    let slow = app.again(|settings| settings.password_cost = Cost { memory_kib: 8 * 1024, passes: 4, lanes: 1 }).await;
    let logins = (0..200).map(|_| {
        let body = json!({"tenant": "north", "username": "nobody", "password": OLD});
        let router = slow.router.clone();
        tokio::spawn(async move {
            let response =
                tower::ServiceExt::oneshot(router, request("POST", "/v1/auth/login", Some(body))).await.unwrap();
            (
                response.status().as_u16(),
                response.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned()),
            )
        })
    });
    let (mut refused, mut told) = (0, 0);
    for login in logins.collect::<Vec<_>>() {
        match login.await.unwrap() {
            (401, None) => refused += 1,
            (503, Some(wait)) if wait == "1" => told += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused >= 64 && told > 0, "{refused} compared, {told} told to come again");
    assert_eq!(slow.instance.passwords().turned_away(), told);
    log_in(&slow, &clinic, "nobody", OLD).await.refused(401, "auth.login_failed");
}
