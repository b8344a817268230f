//! Is anything left open? Each operation of `openapi.json` × anonymous, garbage, expired, revoked, suspended tenant, lower role,
//! other tenant, platform auditor.
//!
//! One table, [`expectations`], says who gets in and who does not; what is the same for all operations is not in it: a dead
//! credential ([`dead`]) gets 401, and the platform's auditor gets 403 unless [`AUDITOR`] says otherwise.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    app::{Caller, Clinic, TestApp, request},
    proofs::{claim, issue},
};

/// The ids of one clinic's things.
struct Things {
    user: String,
    /// One that is deleted on the way.
    leaver: String,
    api_key: String,
    key: String,
    named: String,
    certificate: String,
    event: String,
    /// Four approvals that wait, asked for by the officer.
    approvals: [String; 4],
    /// One that was used and wants a review.
    used: String,
    /// Another officer than the clinic's.
    second: Caller,
    index: String,
    /// One that is taken away on the way, and one that stays.
    providers: [String; 2],
    /// The same of sources of webhooks; and a secret of the one that stays.
    sources: [String; 2],
    secret: String,
    /// The same of subscriptions.
    subscriptions: [String; 2],
    dataset: String,
    job: String,
    /// One that is taken away on the way.
    block: String,
}

async fn things(app: &TestApp, clinic: &Clinic) -> Things {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    app.register_fields(clinic).await;
    let user = json!({"username": "ann", "email": "ann@x.test", "roles": ["staff"]});
    let user = app.post(&clinic.admin, "/v1/users", user).await.created();
    let leaver = json!({"username": "lea", "email": "lea@x.test", "roles": ["staff"]});
    let leaver = app.post(&clinic.admin, "/v1/users", leaver).await.created();
    let api_key =
        app.post(&clinic.admin, "/v1/api-keys", json!({"description": "x", "roles": ["staff"]})).await.created();
    let role = json!({"base": "staff", "permissions": ["data.seal"]});
    app.put(&clinic.admin, "/v1/roles/night-desk", role).await.ok();
    app.call(&clinic.admin, "PUT", &format!("/v1/roles/night-desk/holders/{}", text(&user["id"])), None).await;
    let key = app.get(&clinic.officer, "/v1/keys?managed=data").await.ok();
    let named = json!({"name": "n", "type": "ed25519", "purpose": "signing"});
    let named = app.post(&clinic.officer, "/v1/keys", named).await.created();
    app.database("clinic.url", &["CREATE TABLE IF NOT EXISTS patients (id INTEGER PRIMARY KEY, ssn_encrypted TEXT)"])
        .await;
    let dataset = format!("set-{}", clinic.slug);
    for name in [dataset.as_str(), "spare"] {
        let body = json!({
            "database_url_file": "clinic.url", "table": "patients", "row_column": "id", "columns": [{"column": "ssn"}]
        });
        app.put(&clinic.officer, &format!("/v1/datasets/{name}"), body).await.ok();
    }
    let network = format!("2001:db8:{:x}::/48", clinic.slug.bytes().map(u32::from).sum::<u32>());
    let block = app.post(&app.admin, "/v1/ip-blocks", json!({"network": network, "reason": "scans"})).await.created();
    let job = app.post(&clinic.officer, &format!("/v1/datasets/{dataset}/reseal"), json!({})).await.json();
    let certificate = issue(app, clinic).await;
    let events = app.events(&clinic.auditor, "certificate.issued").await;
    let second = app.caller(&clinic.id, "security_officer").await;
    let mut approvals = Vec::new();
    let glass = |approval: Option<&str>| {
        let item = json!({"table": "patients", "column": "ssn", "row": "1", "sealed": null});
        let mut glass = json!({"ticket": "T-1", "reason": "x"});
        if let Some(id) = approval {
            glass["approval_id"] = json!(id);
        }
        json!({"reason": "x", "break_glass": glass, "items": [item]})
    };
    for _ in 0..5 {
        let asked = app.post(&clinic.officer, "/v1/open", glass(None)).await.json();
        approvals.push(text(&asked["approval_id"]));
    }
    let used = approvals.pop().unwrap();
    app.post(&second, &format!("/v1/approvals/{used}/approve"), json!({})).await.ok();
    app.post(&clinic.officer, "/v1/open", glass(Some(&used))).await.ok();
    let mut providers = Vec::new();
    for audience in ["leaves", "stays"] {
        let body = provider(&clinic.slug, audience);
        providers.push(text(&app.post(&clinic.admin, "/v1/identity-providers", body).await.created()["id"]));
    }
    let mut sources = Vec::new();
    for name in ["leaves", "stays"] {
        sources.push(app.post(&clinic.admin, "/v1/webhook-sources", webhook_source(name)).await.created());
    }
    let mut subscriptions = Vec::new();
    for name in ["leaves", "stays"] {
        let made = app.post(&clinic.admin, "/v1/webhook-subscriptions", subscription(name)).await.created();
        subscriptions.push(text(&made["id"]));
    }
    Things {
        subscriptions: subscriptions.try_into().unwrap(),
        secret: text(&sources[1]["secrets"][0]["id"]),
        sources: [0, 1].map(|at: usize| text(&sources[at]["id"])),
        providers: providers.try_into().unwrap(),
        user: text(&user["id"]),
        leaver: text(&leaver["id"]),
        api_key: text(&api_key["id"]),
        key: text(&key["items"][0]["id"]),
        named: text(&named["id"]),
        certificate: text(&certificate["id"]),
        event: text(&events[0]["id"]),
        approvals: approvals.try_into().unwrap(),
        used,
        second,
        index: text(&app.get(&clinic.officer, "/v1/indexes").await.ok()["items"][0]["id"]),
        job: text(&job["id"]),
        block: text(&block["id"]),
        dataset,
    }
}

/// An identity provider of a clinic's own issuer, with this audience.
fn provider(slug: &str, audience: &str) -> Value {
    json!({"name": "id", "profile": "oidc", "issuer": format!("https://{slug}.example"), "audiences": [audience]})
}

/// A source of webhooks that takes nothing yet.
fn webhook_source(name: &str) -> Value {
    let secret = json!({"kind": "shared", "value": "a-secret-of-oura-0123456789"});
    json!({"name": name, "provider": "oura", "upstream": "http://127.0.0.1:9/hooks", "secrets": [secret]})
}

/// A subscription to one kind of events.
fn subscription(name: &str) -> Value {
    json!({"name": name, "url": "https://siem.example/in", "kinds": ["key.rotated"]})
}

/// What an operation does for whom.
pub(crate) struct Expect {
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    /// Gets in; the code if the operation itself refuses.
    pub(crate) may: Caller,
    pub(crate) refuses: Option<&'static str>,
    /// Does not get in, with this status.
    lower: Option<(Caller, u16)>,
    /// The same path with another tenant's thing and with a missing one, and the status of both.
    foreign: Option<(String, String, u16)>,
    /// Gets in from the platform, for operations in a tenant that the path names; and the path of a tenant that is not there.
    platform: Option<(Caller, String)>,
}

/// What the platform's auditor is answered where it is not 403 `authz.denied`: `ok`, or a code. It reads its own tenant, whatever
/// tenants there are, and in others by their paths what `cross_tenant.read` says.
const AUDITOR: &[(&str, &str)] = &[
    ("session", "ok"),
    // By an API key there is no session.
    ("logout", "state.conflict"),
    ("logout_all", "state.conflict"),
    ("reauthenticate", "state.conflict"),
    ("list_my_sessions", "state.conflict"),
    ("end_my_session", "state.conflict"),
    // Nor a password or second factors of one's own.
    ("change_password", "state.conflict"),
    ("my_factors", "state.conflict"),
    ("begin_totp", "state.conflict"),
    ("confirm_totp", "state.conflict"),
    ("remove_totp", "state.conflict"),
    ("regenerate_recovery_codes", "state.conflict"),
    ("passkey_reauthentication_options", "state.conflict"),
    ("reauthenticate_with_passkey", "request.invalid"),
    ("begin_passkey", "state.conflict"),
    ("list_passkeys", "state.conflict"),
    ("rename_passkey", "state.conflict"),
    ("remove_passkey", "state.conflict"),
    // What the browser said is read before who may bring it.
    ("register_passkey", "request.invalid"),
    // What the lines are is asked before who may bring them.
    ("import_users", "request.media_type"),
    ("import_revocations", "request.media_type"),
    // A token of its own, for less.
    ("create_token", "ok"),
    ("list_tenants", "ok"),
    ("get_tenant", "ok"),
    ("get_settings", "ok"),
    ("list_csp_reports", "ok"),
    ("suggest_csp", "ok"),
    ("evaluate_csp", "ok"),
    // The platform's own log is noted nowhere.
    ("get_anchor", "not_found"),
    ("find_tenant_events", "ok"),
    ("list_tenant_api_keys", "ok"),
    ("find_tenant_users", "not_found"),
    ("get_tenant_certificate", "ok"),
    ("verify_tenant_certificate", "ok"),
    ("export_tenant_pack", "ok"),
    // Acting inside a tenant is not reading in it; that there is such a tenant is not told.
    ("create_tenant_user", "not_found"),
    ("create_tenant_api_key", "not_found"),
    // In its own tenant, the platform's.
    ("list_roles", "ok"),
    ("list_permissions", "ok"),
    ("list_identity_providers", "ok"),
    ("get_identity_provider", "not_found"),
    ("list_webhook_sources", "ok"),
    ("get_webhook_source", "not_found"),
    ("list_webhook_devices", "not_found"),
    ("list_webhook_deliveries", "ok"),
    ("list_webhook_subscriptions", "ok"),
    ("get_webhook_subscription", "not_found"),
    ("get_role", "not_found"),
    ("api_key_usage", "not_found"),
    ("list_keys", "ok"),
    ("get_tenant_key", "ok"),
    ("list_fields", "ok"),
    ("list_indexes", "ok"),
    ("find_events", "ok"),
    ("find_security_events", "ok"),
    ("account_disclosures", "ok"),
    ("account_for", "ok"),
    ("search_events", "ok"),
    ("export_events", "ok"),
    ("list_sinks", "ok"),
    ("get_retention", "ok"),
    ("list_archives", "ok"),
    ("open_archive", "not_found"),
    ("get_checkpoint", "ok"),
    ("get_tile", "ok"),
    ("verify_envelope", "ok"),
    ("get_key", "not_found"),
    ("get_census", "not_found"),
    ("list_key_copies", "not_found"),
    ("public_key", "not_found"),
    ("key_usage", "not_found"),
    ("get_certificate", "not_found"),
    ("verify_certificate", "not_found"),
    ("export_pack", "not_found"),
    ("make_pack", "not_found"),
    ("list_certificates", "ok"),
    ("get_lockdown", "ok"),
    ("lockdown_report", "ok"),
    ("get_event", "not_found"),
    ("cancel_approval", "not_found"),
    // Which class a value has, and so which permission it takes, is known of registered fields only.
    ("open", "field.unknown"),
    ("open_rows", "field.unknown"),
    ("open_blob", "field.unknown"),
];

/// Credentials that were good once, each with every right that there is on its side.
async fn dead(app: &TestApp) -> Vec<(&'static str, Caller)> {
    let roles = ["tenant_admin", "security_officer", "auditor", "clinician", "staff", "service"];
    let of = |made: Value| Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    let (gone, dormant) = (app.clinic("gone").await, app.clinic("dormant").await);
    let in_tenant = |clinic: &Clinic| format!("/v1/tenants/{}/api-keys", clinic.id);
    let short = json!({"description": "short", "roles": roles, "expires_in_days": 1});
    let expired = of(app.post(&app.admin, &in_tenant(&gone), short).await.created());
    let short = json!({"description": "short", "roles": ["platform_admin"], "expires_in_days": 1});
    let expired_platform = of(app.post(&app.admin, "/v1/api-keys", short).await.created());

    let password = "Correct-Horse-7-Battery";
    // Without the roles for which a login asks for a second factor.
    let user = json!({"username": "ann", "email": "ann@x.test", "password": password,
        "roles": ["auditor", "clinician", "staff", "service"]});
    app.post(&gone.admin, "/v1/users", user).await.created();
    let login = json!({"tenant": "gone", "username": "ann", "password": password});
    let token = app.anonymous("POST", "/v1/auth/login", Some(login)).await.ok();
    let token = Caller { bearer: token["access_token"].as_str().unwrap().to_owned() };
    app.get(&token, "/v1/auth/session").await.ok();

    let body = json!({"description": "short", "roles": roles});
    let made = app.post(&app.admin, &in_tenant(&gone), body.clone()).await.created();
    app.post(&gone.admin, &format!("/v1/api-keys/{}/revoke", made["id"].as_str().unwrap()), json!({})).await.ok();
    let revoked = of(made);
    let body_platform = json!({"description": "short", "roles": ["platform_admin"]});
    let made = app.post(&app.admin, "/v1/api-keys", body_platform).await.created();
    app.post(&app.admin, &format!("/v1/api-keys/{}/revoke", made["id"].as_str().unwrap()), json!({})).await.ok();
    let revoked_platform = of(made);

    let asleep = of(app.post(&app.admin, &in_tenant(&dormant), body).await.created());
    app.get(&asleep, "/v1/auth/session").await.ok();
    app.post(&app.admin, &format!("/v1/tenants/{}/suspend", dormant.id), json!({})).await.ok();
    app.clock.advance_seconds(2 * 86_400);
    vec![
        ("an expired API key", expired),
        ("an expired API key of the platform", expired_platform),
        ("an expired access token", token),
        ("a revoked API key", revoked),
        ("a revoked API key of the platform", revoked_platform),
        ("an API key of a suspended tenant", asleep),
    ]
}

/// Everybody and everything that the operations are tried with.
pub(crate) struct World {
    pub(crate) app: TestApp,
    dead: Vec<(&'static str, Caller)>,
    pub(crate) auditor: Caller,
    /// A key that Chancery made for itself, and one that a clinic made.
    pub(crate) keys: [String; 2],
    pub(crate) expectations: BTreeMap<&'static str, Expect>,
    /// The clinic whose things the operations are tried with.
    pub(crate) clinic: Clinic,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(TestApp::new().await).await
    }

    /// In this Chancery.
    pub(crate) async fn on(app: TestApp) -> Self {
        // First: it takes two days.
        let dead = dead(&app).await;
        let (ours, theirs, spare) = (app.clinic("ours").await, app.clinic("theirs").await, app.clinic("spare").await);
        let (mine, alien) = (things(&app, &ours).await, things(&app, &theirs).await);
        crate::guard::noted(&app, &ours).await;
        let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
        let auditor = app.post(&app.admin, "/v1/api-keys", auditor).await.created();
        let auditor = Caller { bearer: auditor["key"].as_str().unwrap().to_owned() };
        let expectations = expectations(&app, &auditor, [&ours, &theirs, &spare], &mine, &alien);
        Self { app, dead, auditor, keys: [mine.key, mine.named], expectations, clinic: ours }
    }
}

#[tokio::test]
async fn nothing_is_left_open() {
    let World { app, dead, auditor, expectations, .. } = World::new().await;
    let document = app.anonymous("GET", "/openapi.json", None).await.ok();
    let mut left: Vec<&str> = expectations.keys().copied().collect();
    let mut surprises = Vec::new();

    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let what = format!("{id}: {method} {template}");
            let method = method.to_uppercase();
            // They take forms and refuse in OAuth's words: `oauth.rs` has a matrix of its own for them.
            if chancery_api::OAUTH.contains(&id) {
                continue;
            }
            let public = chancery_api::PUBLIC.contains(&id);
            assert_eq!(operation["security"].as_array().unwrap().is_empty(), public, "{what}");
            if public {
                assert!(!expectations.contains_key(id), "{what}");
                let status = app.anonymous(&method, template, Some(json!({}))).await.status.as_u16();
                // Nobody wrote a security.txt here.
                let absent = (id == "security_txt" && status == 404) || (id == "receive_csp_reports" && status == 204);
                assert!(status == 200 || status == 422 || absent, "{what} gives {status}");
                continue;
            }
            let expect = expectations.get(id).unwrap_or_else(|| panic!("{what} has no expectation"));
            left.retain(|name| *name != id);
            let sent = || request(&method, &expect.path, expect.body.clone());

            app.send(sent()).await.refused(401, "auth.credential_missing");
            for garbage in ["garbage", "chy_dev_garbage", "eyJhbGciOiJub25lIn0.e30."] {
                let reply = app.send(Caller { bearer: garbage.to_owned() }.sign(sent())).await;
                reply.refused(401, "auth.credential_invalid");
            }
            let mut basic = sent();
            basic.headers_mut().insert("authorization", "Basic YTpi".parse().unwrap());
            app.send(basic).await.refused(401, "auth.credential_invalid");

            for (which, caller) in &dead {
                let reply = app.send(caller.sign(sent())).await;
                assert_eq!(reply.status.as_u16(), 401, "{what} for {which}: {}", reply.text());
                assert!(reply.headers.contains_key("www-authenticate"), "{what} for {which}");
            }
            let reply = app.send(auditor.sign(sent())).await;
            let answer = if reply.status.is_success() { "ok".to_owned() } else { reply.code() };
            let documented = AUDITOR.iter().find(|(known, _)| *known == id).map_or("authz.denied", |(_, code)| code);
            if answer != documented {
                surprises.push(format!("{what} answers the platform's auditor {answer}, not {documented}"));
            }

            let odd = format!("{}{}colour=red", expect.path, if expect.path.contains('?') { '&' } else { '?' });
            let reply = app.send(expect.may.sign(request(&method, &odd, expect.body.clone()))).await;
            assert_eq!((reply.status.as_u16(), reply.code().as_str()), (422, "request.invalid"), "{what}");

            if let Some((caller, status)) = &expect.lower {
                let code = if *status == 403 { "authz.denied" } else { "not_found" };
                let reply = app.send(caller.sign(sent())).await;
                assert_eq!((reply.status.as_u16(), reply.code().as_str()), (*status, code), "{what}");
            }
            if let Some((foreign, missing, status)) = &expect.foreign {
                let found = app.send(expect.may.sign(request(&method, foreign, expect.body.clone()))).await;
                assert_eq!(found.status.as_u16(), *status, "{what}: {}", found.text());
                let missing = app.send(expect.may.sign(request(&method, missing, expect.body.clone()))).await;
                assert_eq!(found.visible(), missing.visible(), "{what}");
            }
            if let Some((caller, gone)) = &expect.platform {
                let reply = app.send(caller.sign(request(&method, gone, expect.body.clone()))).await;
                assert_eq!((reply.status.as_u16(), reply.code().as_str()), (404, "not_found"), "{what}");
                if method == "GET" {
                    let reply = app.send(caller.sign(sent())).await;
                    // Personal data of a tenant's users is nobody's across tenants.
                    assert_eq!(reply.status.is_success(), id != "find_tenant_users", "{what}: {}", reply.text());
                }
            }
            let reply = app.send(expect.may.sign(sent())).await;
            match expect.refuses {
                Some(code) => assert_eq!(reply.code(), code, "{what}"),
                None => assert!(reply.status.is_success(), "{what}: {} {}", reply.status, reply.text()),
            }
        }
    }
    assert_eq!(left, [""; 0], "expectations without an operation");
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    let unknown: Vec<_> = AUDITOR.iter().filter(|(id, _)| !expectations.contains_key(id)).collect();
    assert!(unknown.is_empty(), "auditor's answers without an operation: {unknown:?}");
}

fn expectations(
    app: &TestApp,
    platform_auditor: &Caller,
    [ours, theirs, spare]: [&Clinic; 3],
    mine: &Things,
    alien: &Things,
) -> BTreeMap<&'static str, Expect> {
    let ulid = "01J9Z3K0Q5V8WXYZ0123456789";
    let mut all = BTreeMap::new();
    let mut add = |id, path: String, body, may: &Caller, lower: Option<(&Caller, u16)>| {
        let lower = lower.map(|(caller, status)| (caller.clone(), status));
        let expect = Expect { path, body, may: may.clone(), refuses: None, lower, foreign: None, platform: None };
        assert!(all.insert(id, expect).is_none(), "{id} twice");
    };
    let admin = &app.admin;
    let bounds = "from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z";
    let tenant = |tail: &str| format!("/v1/tenants/{}{tail}", ours.id);
    let new_user = |name: &str| Some(json!({"username": name, "email": "bob@x.test", "roles": ["staff"]}));
    let new_key = || Some(json!({"description": "y", "roles": ["tenant_admin"]}));
    let item = |extra: Value| {
        let mut item = json!({"table": "patients", "column": "ssn"});
        item.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!([item])
    };

    add(
        "create_tenant",
        "/v1/tenants".into(),
        Some(json!({"name": "New", "slug": "new"})),
        admin,
        Some((&ours.admin, 403)),
    );
    add("list_tenants", "/v1/tenants".into(), None, admin, Some((&ours.admin, 403)));
    add("get_tenant", tenant(""), None, admin, Some((&ours.admin, 403)));
    let renamed = || Some(json!({"name": "Ours"}));
    add("update_tenant", tenant(""), renamed(), admin, Some((platform_auditor, 403)));
    add("get_settings", "/v1/settings".into(), None, &ours.auditor, Some((&ours.staff, 403)));
    add("list_csp_reports", "/v1/csp/reports".into(), None, &ours.auditor, Some((&ours.staff, 403)));
    add("suggest_csp", "/v1/csp/suggestions".into(), None, &ours.auditor, Some((&ours.staff, 403)));
    let policy = Some(json!({"policy": "default-src 'self'"}));
    add("evaluate_csp", "/v1/csp/evaluate".into(), policy, &ours.staff, None);
    let invited = Some(json!({"registration": "invited"}));
    add("update_settings", "/v1/settings".into(), invited, &ours.admin, Some((&ours.auditor, 403)));
    add("suspend_tenant", format!("/v1/tenants/{}/suspend", spare.id), None, admin, Some((platform_auditor, 403)));
    add("resume_tenant", format!("/v1/tenants/{}/resume", spare.id), None, admin, Some((platform_auditor, 403)));
    add("create_tenant_user", tenant("/users"), new_user("bob"), admin, Some((platform_auditor, 404)));
    add("find_tenant_users", tenant("/users?email=ann@x.test"), None, platform_auditor, Some((admin, 404)));
    add("create_tenant_api_key", tenant("/api-keys"), new_key(), admin, Some((platform_auditor, 404)));
    add("list_tenant_api_keys", tenant("/api-keys"), None, platform_auditor, Some((admin, 404)));
    add("find_tenant_events", tenant(&format!("/audit/events?{bounds}")), None, platform_auditor, Some((admin, 404)));
    let certificate = |tail: &str| tenant(&format!("/certificates/{}{tail}", mine.certificate));
    add("get_tenant_certificate", certificate(""), None, platform_auditor, Some((admin, 404)));
    add("verify_tenant_certificate", certificate("/verify"), None, platform_auditor, Some((admin, 404)));
    add("export_tenant_pack", certificate("/pack"), None, platform_auditor, Some((admin, 404)));

    add("create_user", "/v1/users".into(), new_user("carl"), &ours.admin, Some((&ours.staff, 403)));
    add("find_users", "/v1/users?email=ann@x.test".into(), None, &ours.admin, Some((&ours.staff, 403)));
    add("get_user", format!("/v1/users/{}", mine.user), None, &ours.admin, Some((&ours.staff, 403)));
    let of_user = |tail: &str| format!("/v1/users/{}{tail}", mine.user);
    let admin_only = Some((&ours.staff, 403));
    add("update_user", of_user(""), Some(json!({"first_name": "Ann"})), &ours.admin, admin_only);
    for (id, tail) in [
        ("disable_user", "/disable"),
        ("enable_user", "/enable"),
        ("lock_user", "/lock"),
        ("unlock_user", "/unlock"),
        ("force_password_reset", "/force-password-reset"),
        ("invite_user", "/invite"),
    ] {
        add(id, of_user(tail), None, &ours.admin, admin_only);
    }
    add("delete_user", format!("/v1/users/{}", mine.leaver), None, &ours.admin, admin_only);
    add("import_users", "/v1/users/import".into(), Some(json!({})), &ours.admin, None);
    let change = json!({"current_password": "x", "new_password": "y"});
    add("change_password", "/v1/auth/password/change".into(), Some(change), &ours.staff, None);
    add("logout", "/v1/auth/logout".into(), None, &ours.staff, None);
    add("logout_all", "/v1/auth/logout-all".into(), None, &ours.staff, None);
    let proof = json!({"password": "x"});
    add("reauthenticate", "/v1/auth/reauthenticate".into(), Some(proof), &ours.staff, None);
    add("list_my_sessions", "/v1/auth/sessions".into(), None, &ours.staff, None);
    add("end_my_session", format!("/v1/auth/sessions/ses_{ulid}"), None, &ours.staff, None);
    add("list_user_sessions", of_user("/sessions"), None, &ours.admin, admin_only);
    add("end_user_session", of_user(&format!("/sessions/ses_{ulid}")), None, &ours.admin, admin_only);
    let code = || Some(json!({"code": "123456"}));
    add("my_factors", "/v1/me/mfa".into(), None, &ours.staff, None);
    add("begin_totp", "/v1/me/mfa/totp".into(), None, &ours.staff, None);
    add("confirm_totp", "/v1/me/mfa/totp/confirm".into(), code(), &ours.staff, None);
    add("remove_totp", "/v1/me/mfa/totp/remove".into(), code(), &ours.staff, None);
    add("regenerate_recovery_codes", "/v1/me/recovery-codes/regenerate".into(), code(), &ours.staff, None);
    let passkey = "/v1/me/webauthn/credentials/pky_01J9Z3K0Q5V8WXYZ0123456789";
    let again = |tail: &str| format!("/v1/auth/reauthenticate/webauthn/{tail}");
    add("passkey_reauthentication_options", again("options"), None, &ours.staff, None);
    add("reauthenticate_with_passkey", again("verify"), Some(json!({})), &ours.staff, None);
    add("begin_passkey", "/v1/me/webauthn/registrations/options".into(), None, &ours.staff, None);
    add("register_passkey", "/v1/me/webauthn/registrations/verify".into(), Some(json!({})), &ours.staff, None);
    add("list_passkeys", "/v1/me/webauthn/credentials".into(), None, &ours.staff, None);
    add("rename_passkey", passkey.into(), Some(json!({"name": "key"})), &ours.staff, None);
    add("remove_passkey", passkey.into(), None, &ours.staff, None);
    add("reset_factors", format!("/v1/users/{}/reset-mfa", mine.user), None, &ours.admin, Some((&ours.staff, 403)));
    add("session", "/v1/auth/session".into(), None, &ours.staff, None);
    add("create_token", "/v1/tokens".into(), Some(json!({})), &ours.service, None);
    let revocation = Some(json!({"user": mine.user, "reason": "lost laptop"}));
    add("create_revocation", "/v1/revocations".into(), revocation, &ours.admin, Some((&ours.staff, 403)));
    add("list_revocations", "/v1/revocations".into(), None, &ours.admin, Some((&ours.staff, 403)));
    add("import_revocations", "/v1/revocations/import".into(), Some(json!({})), &ours.admin, None);
    let block = Some(json!({"network": "198.51.100.7", "reason": "scans"}));
    add("create_ip_block", "/v1/ip-blocks".into(), block, admin, Some((platform_auditor, 403)));
    add("list_ip_blocks", "/v1/ip-blocks".into(), None, admin, Some((platform_auditor, 403)));
    let auditor_no = Some((platform_auditor, 403));
    add("list_routes", "/v1/gateway/routes".into(), None, admin, auditor_no);
    add("list_upstreams", "/v1/gateway/upstreams".into(), None, admin, auditor_no);
    add("observed_routes", "/v1/gateway/observed".into(), None, admin, auditor_no);
    add("validate_routes", "/v1/gateway/config/validate".into(), None, admin, auditor_no);
    add("apply_routes", "/v1/gateway/config/apply".into(), None, admin, auditor_no);
    add("roll_back_routes", "/v1/gateway/config/rollback".into(), None, admin, auditor_no);
    let counted = || Some(json!({"user_id": mine.user}));
    add("check_limits", "/v1/ratelimit/check".into(), counted(), &ours.admin, Some((&ours.staff, 403)));
    add("reset_limits", "/v1/ratelimit/reset".into(), counted(), &ours.admin, Some((&ours.staff, 403)));
    add("list_lockouts", "/v1/lockouts".into(), None, &ours.admin, Some((&ours.officer, 403)));
    add("delete_lockout", format!("/v1/lockouts/loc_{ulid}"), None, &ours.admin, Some((&ours.staff, 403)));
    add("delete_ip_block", format!("/v1/ip-blocks/{}", mine.block), None, admin, Some((platform_auditor, 403)));
    add("create_api_key", "/v1/api-keys".into(), new_key(), &ours.admin, Some((&ours.staff, 403)));
    add("list_api_keys", "/v1/api-keys".into(), None, &ours.admin, Some((&ours.staff, 403)));
    add("revoke_api_key", format!("/v1/api-keys/{}/revoke", mine.api_key), None, &ours.admin, Some((&ours.staff, 403)));
    let api_key = |tail: &str| format!("/v1/api-keys/{}{tail}", mine.api_key);
    let change = Some(json!({"description": "z"}));
    add("get_api_key", api_key(""), None, &ours.admin, Some((&ours.staff, 403)));
    add("update_api_key", api_key(""), change, &ours.admin, Some((&ours.officer, 403)));
    add("rotate_api_key", api_key("/rotate"), Some(json!({})), &ours.admin, Some((&ours.officer, 403)));
    add("api_key_usage", api_key(&format!("/usage?{bounds}")), None, &ours.auditor, Some((&ours.admin, 403)));
    let old = json!({"items": [{"sha256": "0".repeat(64), "description": "old", "roles": ["user"]}]});
    add("import_api_keys", "/v1/api-keys/import".into(), Some(old), &ours.admin, Some((&ours.officer, 403)));
    let compat = json!({"user_id": mine.user, "description": "older", "role": "user"});
    add("create_api_key_compat", "/admin/api-keys".into(), Some(compat), &ours.admin, Some((&ours.staff, 403)));

    add("list_roles", "/v1/roles".into(), None, &ours.auditor, Some((&ours.staff, 403)));
    add("list_permissions", "/v1/permissions".into(), None, &ours.auditor, Some((&ours.staff, 403)));
    add("get_role", "/v1/roles/night-desk".into(), None, &ours.auditor, Some((&ours.staff, 403)));
    let part = Some(json!({"base": "staff", "permissions": ["data.seal"]}));
    add("define_role", "/v1/roles/day-desk".into(), part, &ours.admin, Some((&ours.auditor, 403)));
    add("delete_role", "/v1/roles/night-desk".into(), None, &ours.admin, Some((&ours.auditor, 403)));
    let holder = format!("/v1/roles/night-desk/holders/{}", mine.user);
    add("give_role", holder.clone(), None, &ours.admin, Some((&ours.officer, 403)));
    add("take_role", holder, None, &ours.admin, Some((&ours.officer, 403)));
    let about = json!({"permission": "data.seal", "user_id": mine.user});
    add("explain_access", "/v1/authz/explain".into(), Some(about), &ours.admin, Some((&ours.staff, 403)));

    let providers = "/v1/identity-providers".to_owned();
    let [leaves, stays] = [0, 1].map(|at| format!("{providers}/{}", mine.providers[at]));
    let admin_only = Some((&ours.officer, 403));
    add("create_identity_provider", providers.clone(), Some(provider(&ours.slug, "new")), &ours.admin, admin_only);
    add("list_identity_providers", providers, None, &ours.auditor, Some((&ours.staff, 403)));
    add("get_identity_provider", stays.clone(), None, &ours.auditor, Some((&ours.staff, 403)));
    add("replace_identity_provider", stays.clone(), Some(provider(&ours.slug, "again")), &ours.admin, admin_only);
    add("delete_identity_provider", leaves, None, &ours.admin, admin_only);
    let tested = Some(json!({"token": "a.b.c"}));
    add("test_identity_provider", format!("{stays}/test"), tested, &ours.admin, admin_only);

    let sources = "/v1/webhook-sources".to_owned();
    let [leaves, stays] = [0, 1].map(|at| format!("{sources}/{}", mine.sources[at]));
    add("create_webhook_source", sources.clone(), Some(webhook_source("new")), &ours.admin, admin_only);
    add("list_webhook_sources", sources, None, &ours.auditor, Some((&ours.staff, 403)));
    add("get_webhook_source", stays.clone(), None, &ours.auditor, Some((&ours.staff, 403)));
    add("update_webhook_source", stays.clone(), Some(json!({"name": "other"})), &ours.admin, admin_only);
    add("delete_webhook_source", leaves, None, &ours.admin, admin_only);
    let further = Some(json!({"kind": "shared", "value": "another-secret-of-oura-0123456789"}));
    add("add_webhook_secret", format!("{stays}/secrets"), further, &ours.admin, admin_only);
    add("end_webhook_secret", format!("{stays}/secrets/{}", mine.secret), None, &ours.admin, admin_only);
    let below = Some((&ours.staff, 403));
    add("challenge_webhook_device", format!("{stays}/device-challenges"), None, &ours.service, below);
    let answered = Some(json!({"challenge": "AAAA", "attestation": "AAAA"}));
    add("enroll_webhook_device", format!("{stays}/devices"), answered, &ours.service, below);
    add("list_webhook_devices", format!("{stays}/devices"), None, &ours.auditor, Some((&ours.staff, 403)));
    let missing = format!("{stays}/devices/wdv_01J9Z3K0Q5V8WXYZ0123456789");
    add("revoke_webhook_device", missing, None, &ours.service, below);
    let to = "/v1/webhook-subscriptions".to_owned();
    let [leaves, stays] = [0, 1].map(|at| format!("{to}/{}", mine.subscriptions[at]));
    add("create_webhook_subscription", to.clone(), Some(subscription("new")), &ours.admin, admin_only);
    add("list_webhook_subscriptions", to, None, &ours.auditor, Some((&ours.staff, 403)));
    add("get_webhook_subscription", stays.clone(), None, &ours.auditor, Some((&ours.staff, 403)));
    add("update_webhook_subscription", stays.clone(), Some(json!({"enabled": true})), &ours.admin, admin_only);
    add("delete_webhook_subscription", leaves, None, &ours.admin, admin_only);
    add("rotate_webhook_secret", format!("{stays}/rotate-secret"), Some(json!({})), &ours.admin, admin_only);
    add("show_webhook_secret", format!("{stays}/show-secret"), Some(json!({})), &ours.admin, admin_only);
    let deliveries = "/v1/webhook-deliveries";
    add("list_webhook_deliveries", deliveries.into(), None, &ours.auditor, Some((&ours.staff, 403)));
    let missing = format!("{deliveries}/whd_01J9Z3K0Q5V8WXYZ0123456789/redrive");
    add("redrive_webhook_delivery", missing, Some(json!({})), &ours.admin, admin_only);
    let missing = format!("{deliveries}/whd_01J9Z3K0Q5V8WXYZ0123456789");
    add("discard_webhook_delivery", missing, None, &ours.admin, admin_only);

    let key = |tail: &str| format!("/v1/keys/{}{tail}", mine.key);
    add("list_keys", "/v1/keys".into(), None, &ours.officer, Some((&ours.service, 403)));
    add("get_key", key(""), None, &ours.officer, Some((&ours.service, 403)));
    let place = || Some(json!({"location": "nowhere"}));
    add("backup_key", key("/backup"), place(), &ours.officer, Some((&ours.auditor, 403)));
    add("escrow_key", key("/escrow"), place(), &ours.officer, Some((&ours.auditor, 403)));
    add("restore_key", key("/escrow-restore"), place(), &ours.officer, Some((&ours.auditor, 403)));
    add("list_key_copies", key("/copies"), None, &ours.auditor, Some((&ours.service, 403)));
    add("remove_key_copy", key("/remove-copy"), place(), &ours.officer, Some((&ours.auditor, 403)));
    let days = Some(json!({"days": 7}));
    add("schedule_key_deletion", key("/schedule-deletion"), days, &ours.officer, Some((&ours.auditor, 403)));
    add("cancel_key_deletion", key("/cancel-deletion"), None, &ours.officer, Some((&ours.auditor, 403)));
    add("rotate_key", key("/rotate"), None, &ours.officer, Some((&ours.auditor, 403)));
    add("get_census", key("/census"), None, &ours.officer, Some((&ours.service, 403)));
    let reported = Some(json!({"version": 1, "count": 3}));
    add("report_census", key("/census"), reported, &ours.officer, Some((&ours.auditor, 403)));
    for (id, tail) in [
        ("sign", "/sign"),
        ("verify", "/verify"),
        ("encrypt", "/encrypt"),
        ("decrypt", "/decrypt"),
        ("wrap", "/wrap"),
        ("unwrap", "/unwrap"),
        ("export_key", "/export"),
    ] {
        add(id, key(tail), Some(json!({"message": "AAAA"})), &ours.service, Some((&ours.auditor, 403)));
    }
    add("get_tenant_key", "/v1/tenant-key".into(), None, &ours.auditor, Some((&ours.service, 403)));
    add("rotate_tenant_key", "/v1/tenant-key/rotate".into(), None, &ours.officer, Some((&ours.auditor, 403)));
    let platform = Some(json!({"provider": null}));
    add("arrange_tenant_key", "/v1/tenant-key/provider".into(), platform, &ours.officer, Some((&ours.auditor, 403)));
    let new = json!({"name": "k", "type": "ed25519", "purpose": "signing"});
    add("create_key", "/v1/keys".into(), Some(new), &ours.officer, Some((&ours.admin, 403)));
    let brought =
        json!({"name": "brought", "purpose": "encryption", "versions": [{"key": "A".repeat(43), "state": "active"}]});
    add("import_key", "/v1/keys/import".into(), Some(brought), &ours.officer, Some((&ours.admin, 403)));
    let named = |tail: &str| format!("/v1/keys/{}{tail}", mine.named);
    add("update_key", named(""), Some(json!({"expires_in_days": 9})), &ours.officer, Some((&ours.admin, 403)));
    add("public_key", named("/public"), None, &ours.auditor, Some((&ours.staff, 403)));
    add("key_usage", named(&format!("/usage?{bounds}")), None, &ours.auditor, Some((&ours.service, 403)));
    add("suspend_key", named("/suspend"), None, &ours.officer, Some((&ours.auditor, 403)));
    add("link_key", named("/link"), None, &ours.officer, Some((&ours.auditor, 403)));
    add("resume_key", named("/resume"), None, &ours.officer, Some((&ours.auditor, 403)));
    add("revoke_key", named("/revoke"), None, &ours.officer, Some((&ours.auditor, 403)));
    add("list_fields", "/v1/fields".into(), None, &ours.staff, None);
    add("define_field", "/v1/fields/patients/phone".into(), Some(json!({})), &ours.officer, Some((&ours.service, 403)));
    let set = Some(json!({"tables": {"people": "staff"}}));
    add("apply_field_set", "/v1/field-sets/staff-pii".into(), set, &ours.officer, Some((&ours.service, 403)));
    let index = |name: &str| format!("/v1/indexes/patients/{name}");
    let columns = json!({"columns": ["last_name", "birth_date"]});
    add("list_indexes", "/v1/indexes".into(), None, &ours.staff, None);
    add("define_index", index("person"), Some(columns), &ours.officer, Some((&ours.service, 403)));
    add("drop_index", index("nobody"), None, &ours.officer, Some((&ours.service, 403)));
    let version = |verb: &str| format!("/v1/reindex/{}/{verb}", mine.index);
    add(
        "ready_index_version",
        version("ready"),
        Some(json!({"version": 1})),
        &ours.officer,
        Some((&ours.service, 403)),
    );
    add(
        "retire_index_version",
        version("retire"),
        Some(json!({"version": 1})),
        &ours.officer,
        Some((&ours.service, 403)),
    );
    let dataset = json!({
        "database_url_file": "clinic.url", "table": "patients", "row_column": "id", "columns": [{"column": "ssn"}]
    });
    let of_set = |tail: &str| format!("/v1/datasets/{}{tail}", mine.dataset);
    add("list_datasets", "/v1/datasets".into(), None, &ours.officer, Some((&ours.service, 403)));
    add("put_dataset", "/v1/datasets/fresh".into(), Some(dataset), &ours.officer, Some((&ours.service, 403)));
    add("get_dataset", of_set(""), None, &ours.officer, Some((&ours.admin, 403)));
    add("delete_dataset", "/v1/datasets/spare".into(), None, &ours.officer, Some((&ours.auditor, 403)));
    add("reseal_dataset", of_set("/reseal"), Some(json!({})), &ours.officer, Some((&ours.service, 403)));
    add("get_dataset_job", of_set(&format!("/jobs/{}", mine.job)), None, &ours.officer, Some((&ours.service, 403)));
    let seal = json!({"items": item(json!({"row": "1", "value": "1"}))});
    let open = json!({"reason": "visit", "items": item(json!({"row": "1", "sealed": null}))});
    let reseal = json!({"items": item(json!({"row": "1", "sealed": null}))});
    add("seal", "/v1/seal".into(), Some(seal), &ours.service, Some((&ours.auditor, 403)));
    add("open", "/v1/open".into(), Some(open), &ours.service, Some((&ours.staff, 403)));
    add("reseal", "/v1/reseal".into(), Some(reseal), &ours.officer, Some((&ours.service, 403)));
    add(
        "terms",
        "/v1/terms".into(),
        Some(json!({"items": item(json!({"value": "1"}))})),
        &ours.service,
        Some((&ours.auditor, 403)),
    );
    let row = |extra: Value| {
        let mut row = json!({"table": "patients", "row": "1"});
        row.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!([row])
    };
    let seal = json!({"items": row(json!({"fields": {"ssn": "1"}}))});
    let stored = || row(json!({"header": crate::rows::header(), "fields": {"ssn": null}}));
    let open = json!({"reason": "visit", "items": stored()});
    add("seal_rows", "/v1/records/seal".into(), Some(seal), &ours.service, Some((&ours.auditor, 403)));
    add("open_rows", "/v1/records/open".into(), Some(open), &ours.service, Some((&ours.staff, 403)));
    let reseal = json!({"items": stored()});
    add("reseal_rows", "/v1/records/reseal".into(), Some(reseal), &ours.officer, Some((&ours.service, 403)));
    let document = |extra: Value| {
        let mut document = json!({"table": "patients", "row": "1"});
        document.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Some(document)
    };
    let seal = document(json!({"document": {"a": "1"}, "fields": [{"pointer": "/a", "column": "ssn"}]}));
    add("seal_document", "/v1/documents/seal".into(), seal, &ours.service, Some((&ours.auditor, 403)));
    let open = document(json!({"reason": "visit", "document": {}}));
    add("open_document", "/v1/documents/open".into(), open, &ours.service, Some((&ours.auditor, 403)));
    let blob = |verb: &str| format!("/v1/blobs/{verb}?table=patients&column=photo&row=1");
    add("seal_blob", blob("seal"), None, &ours.service, Some((&ours.auditor, 403)));
    add("open_blob", blob("open"), None, &ours.service, Some((&ours.staff, 403)));
    let person = || Some(json!({"subject": "nobody"}));
    add("erase_subject", "/v1/subjects/erase".into(), person(), &ours.officer, Some((&ours.service, 403)));
    add("recreate_subject", "/v1/subjects/recreate".into(), person(), &ours.officer, Some((&ours.service, 403)));
    add("issue_certificate", "/v1/certificates".into(), Some(claim()), &ours.service, Some((&ours.auditor, 403)));
    add(
        "verify_envelope",
        "/v1/certificates/verify".into(),
        Some(json!({"envelope": {}})),
        &ours.auditor,
        Some((&ours.staff, 403)),
    );
    let certificate = |tail: &str| format!("/v1/certificates/{}{tail}", mine.certificate);
    add("get_certificate", certificate(""), None, &ours.auditor, Some((&ours.staff, 403)));
    add("verify_certificate", certificate("/verify"), None, &ours.auditor, Some((&ours.staff, 403)));
    add("export_pack", certificate("/pack"), None, &ours.auditor, Some((&ours.staff, 403)));
    let pack = json!({"certificates": [mine.certificate]});
    add("make_pack", "/v1/certificates/packs".into(), Some(pack), &ours.auditor, Some((&ours.staff, 403)));
    let batch = Some(json!({"items": [claim()]}));
    add("issue_certificates", "/v1/certificates/batch".into(), batch, &ours.service, Some((&ours.auditor, 403)));
    add("list_certificates", "/v1/certificates".into(), None, &ours.auditor, Some((&ours.staff, 403)));
    let admin_not_staff = Some((&ours.staff, 403));
    add("get_lockdown", "/v1/lockdown".into(), None, &ours.admin, admin_not_staff);
    add("set_lockdown", "/v1/lockdown".into(), Some(json!({"on": true})), &ours.admin, admin_not_staff);
    add("lockdown_report", "/v1/lockdown/report".into(), None, &ours.auditor, Some((&ours.service, 403)));
    add("revoke_certificate", certificate("/revoke"), Some(json!({})), &ours.officer, Some((&ours.auditor, 403)));
    add("find_events", format!("/v1/audit/events?{bounds}"), None, &ours.auditor, Some((&ours.service, 403)));
    let told = || json!({"type": "app.visit.closed"});
    add("append_event", "/v1/audit/events".into(), Some(told()), &ours.service, Some((&ours.staff, 403)));
    let batch = Some(json!({"items": [told()]}));
    add("append_events", "/v1/audit/events/batch".into(), batch, &ours.service, Some((&ours.auditor, 403)));
    let security = format!("/v1/audit/security-events?{bounds}");
    add("find_security_events", security, None, &ours.officer, Some((&ours.service, 403)));
    let accounting = "/v1/audit/accounting?subject=MRN-1".to_owned();
    add("account_disclosures", accounting, None, &ours.auditor, Some((&ours.service, 403)));
    let person = Some(json!({"subject": "MRN-1"}));
    add("account_for", "/v1/audit/accounting".into(), person, &ours.auditor, Some((&ours.service, 403)));
    let asked = || Some(json!({"from": "2026-01-01T00:00:00Z", "to": "2026-12-31T00:00:00Z"}));
    add("search_events", "/v1/audit/events/search".into(), asked(), &ours.auditor, Some((&ours.service, 403)));
    add("export_events", "/v1/audit/exports".into(), asked(), &ours.auditor, Some((&ours.officer, 403)));
    add("list_sinks", "/v1/audit/sinks".into(), None, admin, Some((&ours.auditor, 403)));
    let skip = Some(json!({"log": ours.id, "to": 1, "reason": "x"}));
    add("skip_sink", "/v1/audit/sinks/none/skip".into(), skip, admin, Some((&ours.admin, 403)));
    add("get_retention", "/v1/audit/retention".into(), None, &ours.auditor, Some((&ours.service, 403)));
    let keep = Some(json!({"months": 84}));
    add("set_retention", "/v1/audit/retention".into(), keep, &ours.officer, Some((&ours.auditor, 403)));
    let hold = |tail: &str| format!("/v1/audit/legal-holds/suit{tail}");
    let why = || Some(json!({"reason": "x"}));
    add("place_legal_hold", hold(""), why(), &ours.officer, Some((&ours.auditor, 403)));
    add("lift_legal_hold", hold("/lift"), why(), &ours.officer, Some((&ours.auditor, 403)));
    add("purge_events", "/v1/audit/purge".into(), why(), &ours.officer, Some((&ours.auditor, 403)));
    add("dismiss_purge", "/v1/audit/purges/0/dismiss".into(), why(), &ours.officer, Some((&ours.auditor, 403)));
    add("list_archives", "/v1/audit/archives".into(), None, &ours.auditor, Some((&ours.service, 403)));
    add("open_archive", "/v1/audit/archives/0".into(), None, &ours.auditor, Some((&ours.service, 403)));
    add("get_event", format!("/v1/audit/events/{}", mine.event), None, &ours.auditor, Some((&ours.service, 403)));
    add("get_checkpoint", "/v1/audit/checkpoint".into(), None, &ours.auditor, Some((&ours.service, 403)));
    add("get_anchor", "/v1/audit/anchor".into(), None, &ours.auditor, Some((&ours.service, 403)));
    let approval = |at: usize, verb: &str| format!("/v1/approvals/{}{verb}", mine.approvals[at]);
    add("list_approvals", "/v1/approvals".into(), None, &ours.officer, Some((&ours.auditor, 403)));
    add("get_approval", approval(0, ""), None, &ours.officer, Some((&ours.auditor, 403)));
    add("approve", approval(1, "/approve"), None, &mine.second, Some((&ours.auditor, 403)));
    add("deny_approval", approval(2, "/deny"), None, &mine.second, Some((&ours.auditor, 403)));
    add("cancel_approval", approval(3, "/cancel"), None, &ours.officer, Some((&ours.auditor, 404)));
    let review = format!("/v1/approvals/{}/review", mine.used);
    add("review_approval", review, Some(json!({"note": "seen"})), &mine.second, Some((&ours.auditor, 403)));
    // No test comes from a proxy's address; `authz.rs` has those that do.
    add("forward_auth", "/authz/forward-auth?route=a".into(), None, &ours.service, None);
    add("auth_request", "/authz/auth-request?route=a".into(), None, &ours.service, None);
    add("get_tile", "/v1/audit/tile/0/0".into(), None, &ours.auditor, Some((&ours.service, 403)));

    for id in ["sign", "verify", "encrypt", "decrypt", "wrap", "unwrap", "export_key"] {
        all.get_mut(id).unwrap().refuses = Some("key.managed");
    }
    for id in ["forward_auth", "auth_request"] {
        all.get_mut(id).unwrap().refuses = Some("authz.denied");
    }
    for id in ["backup_key", "escrow_key", "restore_key", "remove_key_copy"] {
        all.get_mut(id).unwrap().refuses = Some("request.invalid");
    }
    for id in ["schedule_key_deletion", "cancel_key_deletion"] {
        all.get_mut(id).unwrap().refuses = Some("state.conflict");
    }
    // The reason is a header, which plain requests lack; nobody was sealed for; and the header of the rows is of no row.
    for (id, code) in [
        ("open_blob", "request.invalid"),
        ("erase_subject", "not_found"),
        ("recreate_subject", "not_found"),
        ("open_rows", "sealed.wrong_context"),
        ("reseal_rows", "sealed.wrong_context"),
    ] {
        all.get_mut(id).unwrap().refuses = Some(code);
    }
    // The job that `things` started has not ended: no job runner here.
    // Plain requests are JSON, an import is lines of it.
    all.get_mut("import_users").unwrap().refuses = Some("request.media_type");
    all.get_mut("import_revocations").unwrap().refuses = Some("request.media_type");
    // API keys have no session, and no second factor.
    let factors = [
        "my_factors",
        "begin_totp",
        "confirm_totp",
        "remove_totp",
        "regenerate_recovery_codes",
        "passkey_reauthentication_options",
        "begin_passkey",
        "list_passkeys",
        "rename_passkey",
        "remove_passkey",
    ];
    for id in ["logout", "logout_all", "reauthenticate", "list_my_sessions", "end_my_session", "change_password"]
        .into_iter()
        .chain(factors)
    {
        all.get_mut(id).unwrap().refuses = Some("state.conflict");
    }
    for id in ["register_passkey", "reauthenticate_with_passkey"] {
        all.get_mut(id).unwrap().refuses = Some("request.invalid");
    }
    all.get_mut("reseal_dataset").unwrap().refuses = Some("state.conflict");
    // The order of the document suspends after it resumes: what counts is that the caller got that far.
    all.get_mut("resume_tenant").unwrap().refuses = Some("state.conflict");
    all.get_mut("retire_index_version").unwrap().refuses = Some("state.conflict");
    // It was revoked before.
    all.get_mut("rotate_api_key").unwrap().refuses = Some("state.conflict");
    all.get_mut("drop_index").unwrap().refuses = Some("not_found");
    // Nothing is old enough.
    all.get_mut("purge_events").unwrap().refuses = Some("state.conflict");
    // Nobody forged one.
    all.get_mut("dismiss_purge").unwrap().refuses = Some("not_found");
    // Nothing is archived here.
    all.get_mut("open_archive").unwrap().refuses = Some("not_found");
    // There are no sinks here.
    all.get_mut("skip_sink").unwrap().refuses = Some("not_found");
    // None was given by itself.
    all.get_mut("show_webhook_secret").unwrap().refuses = Some("state.conflict");
    // The source is Oura's, which has no devices.
    all.get_mut("challenge_webhook_device").unwrap().refuses = Some("state.conflict");
    all.get_mut("enroll_webhook_device").unwrap().refuses = Some("state.conflict");
    all.get_mut("revoke_webhook_device").unwrap().refuses = Some("not_found");
    // Nothing came here.
    all.get_mut("redrive_webhook_delivery").unwrap().refuses = Some("not_found");
    all.get_mut("discard_webhook_delivery").unwrap().refuses = Some("not_found");
    // There is no gateway here.
    for id in
        ["list_routes", "list_upstreams", "observed_routes", "validate_routes", "apply_routes", "roll_back_routes"]
    {
        all.get_mut(id).unwrap().refuses = Some("not_found");
    }
    all.get_mut("end_user_session").unwrap().refuses = Some("not_found");
    // Nobody is kept out here.
    all.get_mut("delete_lockout").unwrap().refuses = Some("not_found");
    // Ann holds it.
    all.get_mut("delete_role").unwrap().refuses = Some("state.conflict");
    for id in ["resume_key", "suspend_key"] {
        all.get_mut(id).unwrap().refuses = Some("state.conflict");
    }

    let ids = [
        (&mine.user, &alien.user, "usr"),
        (&mine.leaver, &alien.leaver, "usr"),
        (&mine.api_key, &alien.api_key, "apk"),
        (&mine.key, &alien.key, "key"),
        (&mine.named, &alien.named, "key"),
        (&mine.certificate, &alien.certificate, "crt"),
        (&mine.event, &alien.event, "evt"),
        (&mine.approvals[0], &alien.approvals[0], "apv"),
        (&mine.approvals[1], &alien.approvals[1], "apv"),
        (&mine.approvals[2], &alien.approvals[2], "apv"),
        (&mine.approvals[3], &alien.approvals[3], "apv"),
        (&mine.used, &alien.used, "apv"),
        (&mine.index, &alien.index, "idx"),
        (&mine.providers[0], &alien.providers[0], "idp"),
        (&mine.providers[1], &alien.providers[1], "idp"),
        (&mine.sources[0], &alien.sources[0], "whs"),
        (&mine.sources[1], &alien.sources[1], "whs"),
        (&mine.secret, &alien.secret, "wse"),
        (&mine.subscriptions[0], &alien.subscriptions[0], "whb"),
        (&mine.subscriptions[1], &alien.subscriptions[1], "whb"),
        (&mine.job, &alien.job, "djb"),
    ];
    for (id, expect) in &mut all {
        // Their certificate under our tenant's path is as missing as theirs under ours.
        for (own, other, prefix) in ids {
            if expect.path.contains(own.as_str()) {
                let foreign = expect.path.replace(own.as_str(), other);
                let missing = expect.path.replace(own.as_str(), &format!("{prefix}_{ulid}"));
                expect.foreign = Some((foreign, missing, 404));
            }
        }
        if [&ours.id, &spare.id].into_iter().any(|own| expect.path.contains(own.as_str())) {
            let gone = format!("ten_{ulid}");
            let gone = expect.path.replace(&ours.id, &gone).replace(&spare.id, &gone);
            expect.platform = Some((expect.may.clone(), gone));
        }
        // Inside a tenant by its path: a tenant's own admin or auditor gets in at home only.
        let within = expect.path.starts_with(&format!("/v1/tenants/{}/", ours.id));
        if within && expect.foreign.is_none() {
            expect.may = if *id == "find_tenant_events" { ours.auditor.clone() } else { ours.admin.clone() };
            let foreign = expect.path.replace(&ours.id, &theirs.id);
            let missing = expect.path.replace(&ours.id, &format!("ten_{ulid}"));
            expect.foreign = Some((foreign, missing, 404));
        }
    }
    all
}

#[tokio::test]
async fn refusals_of_known_callers_are_events_and_strangers_are_counted() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    app.get(&clinic.staff, "/v1/users?email=a@b.test").await.refused(403, "authz.denied");
    app.get(&clinic.admin, "/v1/users/usr_01J9Z3K0Q5V8WXYZ0123456789").await.refused(404, "not_found");
    let refused = app.events(&clinic.auditor, "access.refused").await;
    let codes: Vec<String> = refused
        .iter()
        .map(|event| {
            serde_json::from_str::<Value>(event["core"].as_str().unwrap()).unwrap()["detail"]["code"].to_string()
        })
        .collect();
    assert_eq!(codes, [r#""authz.denied""#, r#""not_found""#]);

    for _ in 0..3 {
        app.anonymous("GET", "/v1/keys", None).await.refused(401, "auth.credential_missing");
    }
    chancery_domain::audit::refusals::flush_anonymous(&app.instance).await.unwrap();
    let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = app.post(&app.admin, "/v1/api-keys", auditor).await.created();
    let auditor = Caller { bearer: auditor["key"].as_str().unwrap().to_owned() };
    let counted = app.events(&auditor, "access.refused_anonymous").await;
    let core: Value = serde_json::from_str(counted[0]["core"].as_str().unwrap()).unwrap();
    assert_eq!(core["detail"], json!({"code": "auth.credential_missing", "count": 3, "net": "public"}));
}
