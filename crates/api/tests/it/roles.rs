//! Roles that tenants define, from outside.

use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, TestApp},
    factors,
};

backends! {
    a_defined_role_gives_what_it_says_and_no_more, a_role_changes_under_its_holders, a_persons_role_counts_with_their_token,
    why_and_why_not_are_explained
}

fn id(made: &Value) -> &str {
    made["id"].as_str().unwrap()
}

async fn desk(app: &TestApp, clinic: &Clinic) -> Value {
    let body =
        json!({"base": "tenant_admin", "permissions": ["users.read", "api_keys.read"], "description": " front desk "});
    app.put(&clinic.admin, "/v1/roles/front-desk", body).await.ok()
}

async fn a_defined_role_gives_what_it_says_and_no_more(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let role = desk(&app, &clinic).await;
    assert_eq!(role["permissions"], json!(["users.read", "api_keys.read"]));
    assert_eq!(
        (&role["base"], &role["may_grant"], &role["description"]),
        (&json!("tenant_admin"), &json!([]), &json!("front desk"))
    );

    let body = json!({"description": "desk", "roles": ["front-desk"]});
    let made = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    assert_eq!(made["roles"], json!(["front-desk"]));
    let holder = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    app.get(&holder, "/v1/api-keys").await.ok();
    app.get(&holder, "/v1/roles").await.refused(403, "authz.denied");
    // Its base may make keys and give roles; this part of it may not.
    let more = json!({"description": "x", "roles": ["staff"]});
    app.post(&holder, "/v1/api-keys", more).await.refused(403, "authz.denied");

    let held = app.get(&clinic.admin, "/v1/roles/front-desk").await.ok();
    assert_eq!(held["holders"], json!([made["id"]]));
    app.call(&clinic.admin, "DELETE", "/v1/roles/front-desk", None).await.refused(409, "state.conflict");
    let holding = format!("/v1/roles/front-desk/holders/{}", id(&made));
    let taken = app.call(&clinic.admin, "DELETE", &holding, None).await;
    assert_eq!(taken.status.as_u16(), 204, "{}", taken.text());
    app.get(&holder, "/v1/api-keys").await.refused(403, "authz.denied");
    app.call(&clinic.admin, "DELETE", &holding, None).await.refused(404, "not_found");
    assert_eq!(app.call(&clinic.admin, "DELETE", "/v1/roles/front-desk", None).await.status.as_u16(), 204);
    app.get(&clinic.admin, "/v1/roles/front-desk").await.refused(404, "not_found");

    for kind in ["role.defined", "role.taken", "role.deleted"] {
        assert_eq!(app.events(&clinic.auditor, kind).await.len(), 1, "{kind}");
    }
    let did = app.events(&clinic.auditor, "api_key.read").await;
    let core: Value = serde_json::from_str(did[0]["core"].as_str().unwrap()).unwrap();
    assert_eq!(core["actor"]["role_ids"], json!(["front-desk"]));
}

async fn a_role_changes_under_its_holders(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    desk(&app, &clinic).await;
    let made = app
        .post(&clinic.admin, "/v1/api-keys", json!({"description": "desk", "roles": ["front-desk"]}))
        .await
        .created();
    let holder = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    app.get(&holder, "/v1/api-keys").await.ok();
    let narrower = json!({"base": "tenant_admin", "permissions": ["users.read"]});
    app.put(&clinic.admin, "/v1/roles/front-desk", narrower).await.ok();
    app.get(&holder, "/v1/api-keys").await.refused(403, "authz.denied");
    let other_base = json!({"base": "auditor", "permissions": ["audit.read"]});
    app.put(&clinic.admin, "/v1/roles/front-desk", other_base).await.refused(422, "request.invalid");
    // A rotated key keeps its roles.
    let rotated = app.post(&clinic.admin, &format!("/v1/api-keys/{}/rotate", id(&made)), json!({})).await.created();
    assert_eq!(rotated["roles"], json!(["front-desk"]));
}

async fn a_persons_role_counts_with_their_token(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    desk(&app, &clinic).await;
    let password = "Correct-Horse-7-Battery";
    let user = json!({"username": "ann", "email": "ann@x.test", "password": password, "roles": ["staff"]});
    let ann = app.post(&clinic.admin, "/v1/users", user).await.created();
    let login = json!({"tenant": "ours", "username": "ann", "password": password});
    let token = app.anonymous("POST", "/v1/auth/login", Some(login.clone())).await.ok();
    let token = Caller { bearer: token["access_token"].as_str().unwrap().to_owned() };
    app.get(&token, "/v1/api-keys").await.refused(403, "authz.denied");

    let body = json!({"description": "ann's", "roles": ["front-desk"], "user_id": ann["id"]});
    let reply = app.post(&clinic.admin, "/v1/api-keys", body.clone()).await;
    reply.refused(422, "request.invalid");
    let given = app.call(&clinic.admin, "PUT", &format!("/v1/roles/front-desk/holders/{}", id(&ann)), None).await;
    assert_eq!(given.status.as_u16(), 204, "{}", given.text());
    // It is a part of an administrator's role: what goes on without a second factor is over, and the next login has one.
    app.get(&token, "/v1/api-keys").await.refused(401, "auth.credential_invalid");
    let asked = app.anonymous("POST", "/v1/auth/login", Some(login)).await.ok();
    assert_eq!(asked["methods"], json!(["enroll"]));
    let begun = json!({"mfa_token": asked["mfa_token"]});
    let begun = app.anonymous("POST", "/v1/auth/mfa/enroll", Some(begun)).await.ok();
    let code = factors::now(&app, &factors::key(&begun));
    let token = factors::token(&factors::step(&app, "enroll/confirm", &asked["mfa_token"], &code).await.ok());
    app.get(&token, "/v1/api-keys").await.ok();
    let key = app.post(&clinic.admin, "/v1/api-keys", body).await.created();
    let key = Caller { bearer: key["key"].as_str().unwrap().to_owned() };
    app.get(&key, "/v1/api-keys").await.ok();

    app.call(&clinic.admin, "DELETE", &format!("/v1/roles/front-desk/holders/{}", id(&ann)), None).await;
    for caller in [&token, &key] {
        app.get(caller, "/v1/api-keys").await.refused(403, "authz.denied");
    }
}

#[tokio::test]
async fn nobody_defines_or_gives_more_than_they_may_grant() {
    let app = TestApp::new().await;
    let (clinic, theirs) = (app.clinic("ours").await, app.clinic("theirs").await);
    let role = |base: &str, permission: &str| json!({"base": base, "permissions": [permission]});
    let define = async |caller: &Caller, body: Value| app.put(caller, "/v1/roles/part", body).await;
    define(&clinic.admin, role("platform_admin", "tenants.read")).await.refused(403, "authz.denied");
    define(&clinic.officer, role("staff", "data.seal")).await.refused(403, "authz.denied");
    define(&clinic.admin, role("staff", "keys.read")).await.refused(422, "request.invalid");
    define(&clinic.admin, role("nobody", "keys.read")).await.refused(422, "request.invalid");
    define(&clinic.admin, role("staff", "data.seal")).await.ok();
    // A part of `tenant_admin` that may change users still grants nothing.
    let clerk = json!({"base": "tenant_admin", "permissions": ["settings.write", "users.update", "api_keys.create"]});
    app.put(&clinic.admin, "/v1/roles/clerk", clerk).await.ok();
    let made = app.post(&clinic.admin, "/v1/api-keys", json!({"description": "c", "roles": ["clerk"]})).await.created();
    let clerk = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    let holding = format!("/v1/roles/part/holders/{}", id(&made));
    for (method, path, body) in [
        ("PUT", holding.as_str(), None),
        ("PUT", "/v1/roles/mine", Some(role("staff", "data.seal"))),
        ("DELETE", "/v1/roles/part", None),
        ("POST", "/v1/api-keys", Some(json!({"description": "d", "roles": ["part"]}))),
        ("POST", "/v1/api-keys", Some(json!({"description": "d", "roles": ["staff"]}))),
    ] {
        app.call(&clerk, method, path, body).await.refused(403, "authz.denied");
    }
    // Another tenant's role and holder are missing.
    app.get(&theirs.admin, "/v1/roles/part").await.refused(404, "not_found");
    app.call(&theirs.admin, "PUT", &holding, None).await.refused(404, "not_found");
    app.put(&theirs.admin, "/v1/roles/part", role("staff", "data.seal")).await.ok();
    app.call(&theirs.admin, "PUT", &holding, None).await.refused(404, "not_found");
    for odd in ["/v1/roles/%00", "/v1/roles/a%20b", "/v1/roles/part/holders/nobody", "/v1/roles/part/holders/apk_x"] {
        let method = if odd.contains("holders") { "PUT" } else { "GET" };
        app.call(&clinic.admin, method, odd, None).await.refused(404, "not_found");
    }
}

async fn why_and_why_not_are_explained(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    desk(&app, &clinic).await;
    let ask = async |caller: &Caller, body: Value| app.post(caller, "/v1/authz/explain", body).await;
    let own = ask(&clinic.staff, json!({"permission": "data.seal"})).await.ok();
    assert_eq!(
        (&own["allowed"], &own["reason"], &own["through"]),
        (&json!(true), &json!("granted"), &json!(["staff"]))
    );
    let not = ask(&clinic.staff, json!({"permission": "api_keys.read"})).await.ok();
    assert_eq!((&not["allowed"], &not["reason"], &not["holds"]), (&json!(false), &json!("no_role"), &json!(["staff"])));
    assert_eq!(not["would"], json!(["tenant_admin", "front-desk"]));

    let user = json!({"username": "ann", "email": "ann@x.test", "roles": ["staff"]});
    let ann = app.post(&clinic.admin, "/v1/users", user).await.created();
    app.call(&clinic.admin, "PUT", &format!("/v1/roles/front-desk/holders/{}", id(&ann)), None).await;
    let about = json!({"permission": "users.read", "user_id": ann["id"]});
    let told = ask(&clinic.admin, about.clone()).await.ok();
    assert_eq!((&told["allowed"], &told["through"]), (&json!(true), &json!(["front-desk"])));
    ask(&clinic.staff, about.clone()).await.refused(403, "authz.denied");

    let made =
        app.post(&clinic.admin, "/v1/api-keys", json!({"description": "x", "roles": ["auditor"]})).await.created();
    let about_key = json!({"permission": "audit.read", "api_key_id": made["id"]});
    assert_eq!(ask(&clinic.admin, about_key.clone()).await.ok()["reason"], "granted");
    app.post(&clinic.admin, &format!("/v1/api-keys/{}/revoke", id(&made)), json!({})).await.ok();
    let over = ask(&clinic.admin, about_key).await.ok();
    assert_eq!((&over["allowed"], &over["reason"]), (&json!(false), &json!("key_over")));

    let both = json!({"permission": "audit.read", "api_key_id": made["id"], "user_id": ann["id"]});
    ask(&clinic.admin, both).await.refused(422, "request.invalid");
    ask(&clinic.admin, json!({"permission": "everything"})).await.refused(422, "request.invalid");
    let nobody = json!({"permission": "audit.read", "user_id": "usr_01J9Z3K0Q5V8WXYZ0123456789"});
    ask(&clinic.admin, nobody).await.refused(404, "not_found");
}

#[tokio::test]
async fn roles_and_permissions_are_listed() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    desk(&app, &clinic).await;
    let listed = app.get(&clinic.auditor, "/v1/roles").await.ok();
    let names: Vec<&str> =
        listed["items"].as_array().unwrap().iter().map(|role| role["name"].as_str().unwrap()).collect();
    let expected = ["tenant_admin", "security_officer", "auditor", "clinician", "staff", "service", "front-desk"];
    assert_eq!(names, expected);
    let platform = app.get(&app.admin, "/v1/roles").await.ok();
    assert_eq!(platform["items"].as_array().unwrap().len(), 2);
    let permissions = app.get(&clinic.auditor, "/v1/permissions").await.ok();
    let seal =
        permissions["items"].as_array().unwrap().iter().find(|item| item["name"] == "data.seal").unwrap().clone();
    assert_eq!(seal["roles"], json!(["clinician", "staff", "service"]));
}
