//! API keys, from outside.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::app::{Backend, Caller, TestApp};

backends! {
    a_key_is_shown_once_and_dies_when_revoked, a_key_is_rotated_with_an_overlap, a_key_is_changed, uses_are_told,
    keys_of_another_system_go_on_working, the_last_use_is_written_once_a_minute, a_key_has_a_limit_of_its_own,
    rotations_at_once_leave_one_successor, a_change_at_the_moment_of_a_rotation_does_not_undo_it,
    imports_at_once_bring_a_key_once, few_keys_of_another_system_share_a_prefix
}

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

fn holder(made: &Value) -> Caller {
    Caller { bearer: made["key"].as_str().unwrap().to_owned() }
}

fn path(made: &Value, tail: &str) -> String {
    format!("/v1/api-keys/{}{tail}", made["id"].as_str().unwrap())
}

async fn a_key_is_rotated_with_an_overlap(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let body = json!({"description": "nightly", "roles": ["service"], "expires_in_days": 30, "allowed_cidrs": ["192.0.2.0/24"]});
    let old = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    app.clock.advance_seconds(86_400);
    let new = app.post(&clinic.admin, &path(&old, "/rotate"), json!({"overlap_seconds": 600})).await.created();
    for same in ["description", "roles", "allowed_cidrs", "user_id"] {
        assert_eq!(new[same], old[same], "{same}");
    }
    assert_ne!(new["id"], old["id"]);
    assert!(new["expires_at"].as_str() > old["expires_at"].as_str(), "as long a life from now on");
    let shown = app.get(&clinic.admin, &path(&old, "")).await.ok();
    assert_eq!(shown["replaced_by"], new["id"]);
    assert!(shown["key"].is_null());

    for key in [&old, &new] {
        app.get(&holder(key), "/v1/auth/session").await.ok();
    }
    app.post(&clinic.admin, &path(&old, "/rotate"), json!({})).await.refused(409, "state.conflict");
    app.clock.advance_seconds(601);
    app.get(&holder(&old), "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    app.get(&holder(&new), "/v1/auth/session").await.ok();

    // Without an overlap the old one ends at once, whatever this node remembers of it.
    let newest = app.post(&clinic.admin, &path(&new, "/rotate"), json!({"overlap_seconds": 0})).await.created();
    app.get(&holder(&new), "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    app.get(&holder(&newest), "/v1/auth/session").await.ok();
    let long = app.post(&clinic.admin, &path(&newest, "/rotate"), json!({"overlap_seconds": 2_592_001})).await;
    long.refused(422, "request.invalid");

    let events = app.events(&clinic.auditor, "api_key.rotated").await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["resource"], old["id"]);
}

async fn a_key_is_changed(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let made =
        app.post(&clinic.admin, "/v1/api-keys", json!({"description": "x", "roles": ["service"]})).await.created();
    app.get(&holder(&made), "/v1/auth/session").await.ok();
    let change = json!({"description": " ward 3 ", "allowed_cidrs": ["10.0.0.0/8"], "expires_in_days": 7});
    let changed = app.call(&clinic.admin, "PATCH", &path(&made, ""), Some(change)).await.ok();
    assert_eq!((&changed["description"], &changed["allowed_cidrs"]), (&json!("ward 3"), &json!(["10.0.0.0/8"])));
    assert_eq!(changed["roles"], made["roles"]);
    app.get(&holder(&made), "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    let anywhere = app.call(&clinic.admin, "PATCH", &path(&made, ""), Some(json!({"allowed_cidrs": []}))).await.ok();
    assert_eq!(anywhere["expires_at"], changed["expires_at"]);
    app.get(&holder(&made), "/v1/auth/session").await.ok();

    for bad in [
        json!({"description": ""}),
        json!({"expires_in_days": 0}),
        json!({"allowed_cidrs": ["x"]}),
        json!({"roles": ["staff"]}),
    ] {
        app.call(&clinic.admin, "PATCH", &path(&made, ""), Some(bad)).await.refused(422, "request.invalid");
    }
    app.post(&clinic.admin, &path(&made, "/revoke"), json!({})).await.ok();
    let late = app.call(&clinic.admin, "PATCH", &path(&made, ""), Some(json!({"description": "y"}))).await;
    late.refused(409, "state.conflict");
}

async fn rotations_at_once_leave_one_successor(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let other = app.again(|_| ()).await;
    let nodes = [Arc::new(app), Arc::new(other)];
    for round in 0..4 {
        let body = json!({"description": format!("round {round}"), "roles": ["service"]});
        let old = nodes[0].post(&clinic.admin, "/v1/api-keys", body).await.created();
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..6 {
            let (node, admin) = (nodes[n % 2].clone(), Caller { bearer: clinic.admin.bearer.clone() });
            let rotate = path(&old, "/rotate");
            calls.spawn(async move { node.post(&admin, &rotate, json!({})).await });
        }
        let (made, refused): (Vec<_>, Vec<_>) =
            calls.join_all().await.into_iter().partition(|answer| answer.status == 201);
        assert_eq!(made.len(), 1, "one successor");
        refused.iter().for_each(|answer| answer.refused(409, "state.conflict"));
        let shown = nodes[0].get(&clinic.admin, &path(&old, "")).await.ok();
        assert_eq!(shown["replaced_by"], made[0].json()["id"]);
        let listed = nodes[1].get(&clinic.admin, "/v1/api-keys?limit=100").await.ok();
        let of_round = |key: &&Value| key["description"] == old["description"];
        assert_eq!(
            listed["items"].as_array().unwrap().iter().filter(of_round).count(),
            2,
            "the old one and the new one"
        );
    }
}

async fn a_change_at_the_moment_of_a_rotation_does_not_undo_it(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let other = app.again(|_| ()).await;
    for round in 0..8 {
        let old =
            app.post(&clinic.admin, "/v1/api-keys", json!({"description": "x", "roles": ["service"]})).await.created();
        let (change, rotate) = (path(&old, ""), path(&old, "/rotate"));
        let wanted = Some(json!({"description": format!("round {round}")}));
        let (changed, rotated) = tokio::join!(
            app.call(&clinic.admin, "PATCH", &change, wanted),
            other.post(&clinic.admin, &rotate, json!({"overlap_seconds": 0})),
        );
        let new = rotated.created();
        assert!(changed.status == 200 || changed.status == 409, "{}", changed.text());
        let shown = app.get(&clinic.admin, &path(&old, "")).await.ok();
        assert_eq!(shown["replaced_by"], new["id"]);
        app.clock.advance_seconds(1);
        app.get(&holder(&old), "/v1/auth/session").await.refused(401, "auth.credential_invalid");
        app.get(&holder(&new), "/v1/auth/session").await.ok();
    }
}

async fn uses_are_told(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let user = json!({"username": "ann", "email": "ann@x.test", "roles": ["tenant_admin"]});
    let user = app.post(&clinic.admin, "/v1/users", user).await.created();
    let body = json!({"description": "a", "roles": ["tenant_admin"], "user_id": user["id"]});
    let first = app.post(&clinic.admin, "/v1/api-keys", body.clone()).await.created();
    let second = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    let bounds = "from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z";

    app.get(&holder(&first), "/v1/roles").await.ok();
    app.get(&holder(&first), "/v1/approvals").await.refused(403, "authz.denied");
    app.get(&holder(&second), "/v1/api-keys").await.ok();
    let used = app.get(&clinic.auditor, &path(&first, &format!("/usage?{bounds}"))).await.ok();
    let told: Vec<_> = used["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (item["operation"].as_str().unwrap(), item["success"].as_bool().unwrap(), item["error_code"].clone())
        })
        .collect();
    assert_eq!(told, [("role.read", true, Value::Null), ("access.refused", false, json!("authz.denied"))]);
    assert_eq!(used["items"][0]["ip_address"], "192.0.2.7");

    // Page by page, one event at a time: those of the other key make a page short, and none is lost.
    let (mut seen, mut next) = (0, path(&second, &format!("/usage?{bounds}&limit=1")));
    let all = next.clone();
    loop {
        let page = app.get(&clinic.auditor, &next).await.ok();
        seen += page["items"].as_array().unwrap().len();
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("{all}&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, 1);
}

async fn keys_of_another_system_go_on_working(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (clinic, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let hex = |text: &str| {
        chancery_crypto::sha256(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    // Two texts whose SHA-256 begin with the same 32 bits, found by trying.
    let texts = ["old-key-000000000057191", "old-key-000000000118626"];
    assert_eq!(hex(texts[0])[..8], hex(texts[1])[..8]);
    let item = |text: &str, role: &str| json!({"sha256": hex(text), "description": "from before", "roles": [role]});
    let body = json!({"items": [item(texts[0], "user"), item(texts[1], "admin")]});
    let imported = app.post(&clinic.admin, "/v1/api-keys/import", body.clone()).await.ok();
    assert_eq!(imported["items"][1]["was_there"], false);

    for (text, id, role) in
        [(texts[0], &imported["items"][0]["id"], "staff"), (texts[1], &imported["items"][1]["id"], "tenant_admin")]
    {
        let caller = Caller { bearer: text.to_owned() };
        let session = app.get(&caller, "/v1/auth/session").await.ok();
        assert_eq!((&session["api_key_id"], &session["roles"]), (id, &json!([role])));
        let mut by_header = crate::app::request("GET", "/v1/auth/session", None);
        by_header.headers_mut().insert("x-api-key", text.parse().unwrap());
        app.send(by_header).await.ok();
    }
    // What shares the beginning and is neither, and what is short.
    for wrong in ["old-key-000000000057192", "sixteen-letters-x", "short"] {
        let caller = Caller { bearer: wrong.to_owned() };
        app.get(&caller, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    }

    // Brought again it is the same key, whether it was used or not.
    let again = app.post(&clinic.admin, "/v1/api-keys/import", body).await.ok();
    for at in 0..2 {
        assert_eq!(again["items"][at], json!({"id": imported["items"][at]["id"], "was_there": true}));
    }
    let id = imported["items"][0]["id"].as_str().unwrap();
    app.post(&clinic.admin, &format!("/v1/api-keys/{id}/revoke"), json!({})).await.ok();
    let revoked = Caller { bearer: texts[0].to_owned() };
    app.get(&revoked, "/v1/auth/session").await.refused(401, "auth.credential_invalid");

    // A key that two tenants brought is nobody's: it must not become a caller of the wrong one.
    let stolen = json!({"items": [item(texts[1], "admin")]});
    app.post(&theirs.admin, "/v1/api-keys/import", stolen).await.ok();
    app.clock.advance_seconds(1);
    let caller = Caller { bearer: texts[1].to_owned() };
    app.get(&caller, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
}

/// Keys of another system; those with the same `first` share the beginning of their SHA-256.
fn old_keys(first: u32, numbers: std::ops::Range<u32>) -> Value {
    let item = |n: u32| json!({"sha256": format!("{first:08x}{n:056x}"), "description": format!("old {n}"), "roles": ["user"]});
    json!({"items": numbers.map(item).collect::<Vec<_>>()})
}

async fn imports_at_once_bring_a_key_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let nodes = [Arc::new(app.again(|_| ()).await), Arc::new(app)];
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..4 {
        let (node, admin) = (nodes[n % 2].clone(), Caller { bearer: clinic.admin.bearer.clone() });
        calls.spawn(async move { node.post(&admin, "/v1/api-keys/import", old_keys(7, 0..5)).await.ok() });
    }
    let answers = calls.join_all().await;
    let of = |at: usize, name: &str| answers.iter().map(|answer| answer["items"][at][name].clone()).collect::<Vec<_>>();
    for at in 0..5 {
        assert!(of(at, "id").windows(2).all(|two| two[0] == two[1]), "{answers:?}");
        assert_eq!(of(at, "was_there").iter().filter(|there| **there == json!(false)).count(), 1, "{answers:?}");
    }
}

async fn few_keys_of_another_system_share_a_prefix(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let import = async |body: Value| app.post(&clinic.admin, "/v1/api-keys/import", body).await;
    let refused = async |body: Value| {
        let reply = import(body).await;
        reply.refused(422, "request.invalid");
        let errors = reply.json()["errors"].as_array().unwrap().clone();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Each line above the eighth is named, and nothing is brought.
    assert_eq!(refused(old_keys(7, 0..10)).await, ["/items/8/sha256", "/items/9/sha256"]);
    assert_eq!(refused(old_keys(7, 0..1_000)).await.len(), 992);
    let brought = import(old_keys(7, 0..8)).await.ok();
    assert!(brought["items"].as_array().unwrap().iter().all(|key| key["was_there"] == json!(false)));
    let again = import(old_keys(7, 0..8)).await.ok();
    assert!(again["items"].as_array().unwrap().iter().all(|key| key["was_there"] == json!(true)));
    assert_eq!(refused(old_keys(7, 0..9)).await, ["/items/8/sha256"]);
    assert_eq!(import(old_keys(8, 0..1)).await.ok()["items"][0]["was_there"], false, "of another prefix");

    // One that was revoked makes room for another, and does not come back to life by being brought again.
    let first = path(&brought["items"][0], "");
    app.post(&clinic.admin, &format!("{first}/revoke"), json!({})).await.ok();
    let ninth = import(old_keys(7, 0..9)).await.ok();
    let there: Vec<_> = ninth["items"].as_array().unwrap().iter().map(|key| key["was_there"] == json!(true)).collect();
    assert_eq!(there, [true, true, true, true, true, true, true, true, false]);
    assert!(app.get(&clinic.admin, &first).await.ok()["revoked_at"].is_string());
    let theirs = app.clinic("theirs").await;
    app.post(&theirs.admin, "/v1/api-keys/import", old_keys(7, 10..18)).await.ok();
}

#[tokio::test]
async fn an_import_is_whole_or_nothing() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let good = json!({"sha256": "ab".repeat(32), "description": "a", "roles": ["user"]});
    let bad = [
        json!({"sha256": "ab", "description": "a", "roles": ["user"]}),
        json!({"sha256": "cd".repeat(32), "description": " ", "roles": []}),
        json!({"sha256": "cd".repeat(32), "description": "a", "roles": ["user"], "expires_at": "2020-01-01T00:00:00Z"}),
        json!({"sha256": "cd".repeat(32), "description": "a", "roles": ["user"], "allowed_cidrs": ["x"]}),
        good.clone(),
    ];
    for bad in bad {
        let reply = app.post(&clinic.admin, "/v1/api-keys/import", json!({"items": [good, bad]})).await;
        reply.refused(422, "request.invalid");
        assert!(reply.json()["errors"][0]["pointer"].as_str().unwrap().starts_with("/items/1/"), "{}", reply.text());
    }
    app.post(&clinic.admin, "/v1/api-keys/import", json!({"items": []})).await.refused(422, "request.invalid");
    let platform = json!({"items": [{"sha256": "ab".repeat(32), "description": "a", "roles": ["platform_admin"]}]});
    app.post(&clinic.admin, "/v1/api-keys/import", platform).await.refused(403, "authz.denied");
    let listed = app.get(&clinic.admin, "/v1/api-keys").await.ok();
    assert!(listed["items"].as_array().unwrap().iter().all(|key| key["description"] != "a"));
}

async fn the_last_use_is_written_once_a_minute(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let body = json!({"description": "x", "roles": ["service"], "allowed_cidrs": ["10.0.0.0/8"]});
    let elsewhere = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    let made =
        app.post(&clinic.admin, "/v1/api-keys", json!({"description": "y", "roles": ["service"]})).await.created();
    let last = async |made: &Value| app.get(&clinic.admin, &path(made, "")).await.ok()["last_used_at"].clone();
    assert_eq!(last(&made).await, Value::Null);
    app.get(&holder(&made), "/v1/auth/session").await.ok();
    app.get(&holder(&elsewhere), "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    assert_eq!(last(&made).await, Value::Null, "no request writes it");
    chancery_domain::api_keys::flush_last_used(&app.instance).await.unwrap();
    let first = last(&made).await;
    assert!(first.is_string());
    assert_eq!(last(&elsewhere).await, Value::Null, "a refused use is none");
    app.clock.advance_seconds(60);
    app.get(&holder(&made), "/v1/auth/session").await.ok();
    chancery_domain::api_keys::flush_last_used(&app.instance).await.unwrap();
    assert!(last(&made).await.as_str() > first.as_str());
}

#[tokio::test]
async fn administrative_keys_end_and_stay_at_home_in_production() {
    let app = TestApp::production().await;
    let tenant = app.post(&app.admin, "/v1/tenants", json!({"name": "Ours", "slug": "ours"})).await.created();
    let inside = format!("/v1/tenants/{}/api-keys", tenant["id"].as_str().unwrap());
    let pointers = |reply: &crate::app::Reply| {
        reply.refused(422, "request.invalid");
        let errors = reply.json()["errors"].as_array().unwrap().clone();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let reply = app.post(&app.admin, &inside, json!({"description": "a", "roles": ["tenant_admin"]})).await;
    assert_eq!(pointers(&reply), ["/expires_in_days", "/allowed_cidrs"]);
    let home = json!(["192.0.2.0/24"]);
    let body = json!({"description": "a", "roles": ["tenant_admin"], "expires_in_days": 90, "allowed_cidrs": home});
    let made = app.post(&app.admin, &inside, body).await.created();
    let admin = holder(&made);
    assert!(admin.bearer.starts_with("chy_live_"));

    let anywhere = app.call(&admin, "PATCH", &path(&made, ""), Some(json!({"allowed_cidrs": []}))).await;
    assert_eq!(pointers(&anywhere), ["/allowed_cidrs"]);
    // A part of an administrative role is one too, however it is come by.
    let part = json!({"base": "security_officer", "permissions": ["keys.read"]});
    app.put(&admin, "/v1/roles/key-reader", part).await.ok();
    let reply = app.post(&admin, "/v1/api-keys", json!({"description": "b", "roles": ["key-reader"]})).await;
    assert_eq!(pointers(&reply), ["/expires_in_days", "/allowed_cidrs"]);
    let plain = app.post(&admin, "/v1/api-keys", json!({"description": "b", "roles": ["staff"]})).await.created();
    let give = format!("/v1/roles/key-reader/holders/{}", plain["id"].as_str().unwrap());
    app.call(&admin, "PUT", &give, None).await.refused(422, "request.invalid");
    let old = json!({"items": [{"sha256": "ab".repeat(32), "description": "old", "roles": ["admin"]}]});
    let reply = app.post(&admin, "/v1/api-keys/import", old).await;
    assert_eq!(pointers(&reply), ["/items/0/expires_in_days", "/items/0/allowed_cidrs"]);
    let rotated = app.post(&admin, &path(&made, "/rotate"), json!({"overlap_seconds": 0})).await.created();
    assert_eq!(rotated["allowed_cidrs"], home);
    assert!(rotated["expires_at"].is_string());
}

async fn a_key_has_a_limit_of_its_own(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let body = json!({"description": "x", "roles": ["service"], "rate_limit": 3});
    let made = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    assert_eq!(made["rate_limit"], 3);
    let session = async || app.get(&holder(&made), "/v1/auth/session").await;
    for _ in 0..3 {
        session().await.ok();
    }
    let told = session().await;
    told.refused(429, "ratelimit.exceeded");
    let wait: i64 = told.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=120).contains(&wait), "{wait}");
    // Whoever asks too often grows no log, and disturbs nobody else.
    assert!(app.events(&clinic.auditor, "access.refused").await.is_empty());
    app.get(&clinic.service, "/v1/auth/session").await.ok();
    app.clock.advance_seconds(wait);
    for _ in 0..3 {
        session().await.ok();
    }
    session().await.refused(429, "ratelimit.exceeded");

    let change = async |body: Value| app.call(&clinic.admin, "PATCH", &path(&made, ""), Some(body)).await;
    assert_eq!(change(json!({"rate_limit": 50})).await.ok()["rate_limit"], 50);
    for _ in 0..20 {
        session().await.ok();
    }
    assert_eq!(change(json!({"description": "y"})).await.ok()["rate_limit"], 50, "what is not named stays");
    let rotated = app.post(&clinic.admin, &path(&made, "/rotate"), json!({})).await.created();
    assert_eq!(rotated["rate_limit"], 50);
    assert_eq!(change(json!({"rate_limit": null})).await.ok()["rate_limit"], json!(null));
    for _ in 0..60 {
        session().await.ok();
    }
    for odd in [json!(0), json!(1_000_001), json!(-1), json!("3")] {
        change(json!({"rate_limit": odd})).await.refused(422, "request.invalid");
        let body = json!({"description": "x", "roles": ["service"], "rate_limit": odd});
        app.post(&clinic.admin, "/v1/api-keys", body).await.refused(422, "request.invalid");
    }
}

#[tokio::test]
async fn all_keys_have_the_operators_limit_and_people_have_none() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let password = "Correct-Horse-7-Battery";
    let user = json!({"username": "ann", "email": "ann@x.test", "roles": ["staff"], "password": password});
    app.post(&clinic.admin, "/v1/users", user).await.created();
    let limited = app.again(|settings| settings.api_key_per_minute = 5).await;
    for _ in 0..5 {
        limited.get(&clinic.service, "/v1/auth/session").await.ok();
    }
    limited.get(&clinic.service, "/v1/auth/session").await.refused(429, "ratelimit.exceeded");
    limited.get(&clinic.staff, "/v1/auth/session").await.ok();
    // A token that a key got counts for the key.
    let made =
        app.post(&clinic.admin, "/v1/api-keys", json!({"description": "x", "roles": ["service"]})).await.created();
    let token = app.post(&holder(&made), "/v1/tokens", json!({})).await.created();
    let token = Caller { bearer: token["access_token"].as_str().unwrap().to_owned() };
    for _ in 0..5 {
        limited.get(&token, "/v1/auth/session").await.ok();
    }
    limited.get(&holder(&made), "/v1/auth/session").await.refused(429, "ratelimit.exceeded");

    let login = json!({"tenant": "ours", "username": "ann", "password": password});
    let ann = limited.anonymous("POST", "/v1/auth/login", Some(login)).await.ok();
    let ann = Caller { bearer: ann["access_token"].as_str().unwrap().to_owned() };
    for _ in 0..20 {
        limited.get(&ann, "/v1/auth/session").await.ok();
    }
}
