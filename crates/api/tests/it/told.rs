//! What does each operation tell the log? Every operation of `openapi.json` is asked once in a way that works, where this can be
//! arranged here, and the events that name its request stand in `told.snap`.
//!
//! `UPDATE_TOLD=1 cargo test -p chancery-api told` rewrites the file; the lists below are by hand, each entry with its reason.

use std::collections::{BTreeMap, BTreeSet};

use chancery_domain::{
    TenantId,
    audit::{EventFilter, leaf, sequence},
};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    access::World,
    app::{Caller, Reply, TestApp},
    factors::{enrolled_as, log_in, now, user},
    oauth::{PASSWORD, service},
    proofs::issue,
};

/// Operations that work and tell the log nothing.
const SILENT: &[(&str, &str)] = &[
    ("session", "says back what the caller's own credential says"),
    ("list_permissions", "a list of the program, the same for everybody"),
    ("evaluate_csp", "a calculation over what was sent; nothing is read or kept"),
    ("passkey_login_options", "a challenge for a stranger, who cannot grow a log; the login that follows is told"),
    ("passkey_step_options", "a challenge, kept nowhere; the step that follows is told"),
    ("passkey_reauthentication_options", "a challenge, kept nowhere; the proof that follows is told"),
    ("security_txt", "public; nobody wrote one here"),
    ("livez", "nothing of anybody"),
    ("readyz", "nothing of anybody"),
    ("jwks", "public keys, for everybody"),
    ("openid_configuration", "public"),
    ("authorization_server", "public"),
    ("protected_resource", "public"),
    ("trust", "public keys, for everybody"),
    ("openapi_document", "public"),
    ("receive_csp_reports", "browsers of strangers, who cannot grow a log; they are counted"),
];

/// Operations that cannot work here, the event that they leave where they do, and the tests that look for it.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("apply_routes", "gateway.routes_applied", "routes.rs"),
    ("auth_request", "request.forwarded", "authz.rs"),
    ("backup_key", "key.backed_up", "custody.rs"),
    ("cancel_key_deletion", "key.deletion_cancelled", "deletion.rs"),
    ("challenge_webhook_device", "webhook.device_challenged", "webhooks/devices.rs"),
    ("decrypt", "key.used", "keys.rs"),
    ("delete_lockout", "api_key.resumed", "lockouts.rs"),
    ("delete_role", "role.deleted", "roles.rs"),
    ("discard_webhook_delivery", "webhook.discarded", "webhooks.rs"),
    ("dismiss_purge", "audit.purge_dismissed", "retention.rs"),
    ("drop_index", "index.dropped", "search.rs"),
    ("encrypt", "key.used", "keys.rs"),
    ("end_user_session", "session.ended", "sessions.rs"),
    ("enroll_passkey", "factor.enrolled", "passkeys.rs"),
    ("enroll_passkey_options", "factor.begun", "passkeys.rs"),
    ("enroll_webhook_device", "webhook.device_enrolled", "webhooks/devices.rs"),
    ("erase_subject", "subject.erased", "subjects.rs"),
    ("escrow_key", "key.backed_up", "custody.rs"),
    ("export_key", "key.used", "keys.rs"),
    ("finish_with_passkey", "factor.passed", "passkeys.rs"),
    ("forward_auth", "request.forwarded", "authz.rs"),
    ("import_revocations", "token.denied", "legacy_tokens.rs"),
    ("import_users", "user.imported", "passwords.rs"),
    ("list_routes", "gateway.routes_read", "routes.rs"),
    ("list_upstreams", "gateway.routes_read", "routes.rs"),
    ("login_with_passkey", "user.logged_in", "passkeys.rs"),
    ("observed_routes", "gateway.routes_read", "routes.rs"),
    ("open_archive", "audit.exported", "archives.rs"),
    ("open_blob", "record.opened", "blobs.rs"),
    ("open_rows", "record.opened", "rows.rs"),
    ("purge_events", "audit.purge_ordered", "retention.rs"),
    ("reauthenticate_with_passkey", "session.proved", "passkeys.rs"),
    ("recreate_subject", "subject.recreated", "subjects.rs"),
    ("redrive_webhook_delivery", "webhook.redriven", "webhooks.rs"),
    ("register_passkey", "factor.enrolled", "passkeys.rs"),
    ("remove_key_copy", "key.copy_removed", "custody.rs"),
    ("remove_passkey", "factor.removed", "passkeys.rs"),
    ("rename_passkey", "passkey.renamed", "passkeys.rs"),
    ("reseal_dataset", "dataset.job_started", "datasets.rs"),
    ("reseal_rows", "record.resealed", "census.rs"),
    ("restore_key", "key.restored", "custody.rs"),
    ("resume_key", "key.resumed", "keys.rs"),
    ("retire_index_version", "index.retired", "search.rs"),
    ("revoke_webhook_device", "webhook.device_revoked", "webhooks/devices.rs"),
    ("roll_back_routes", "gateway.routes_rolled_back", "routes.rs"),
    ("rotate_api_key", "api_key.rotated", "api_keys.rs"),
    ("schedule_key_deletion", "key.deletion_scheduled", "deletion.rs"),
    ("set_password", "password.set", "passwords.rs"),
    ("show_webhook_secret", "webhook.secret_shown", "webhooks/upkeep.rs"),
    ("sign", "key.used", "keys.rs"),
    ("skip_sink", "audit.sink_skipped", "sinks.rs"),
    ("suspend_key", "key.suspended", "keys.rs"),
    ("unwrap", "key.used", "keys.rs"),
    ("validate_routes", "gateway.routes_read", "routes.rs"),
    ("verify", "key.used", "keys.rs"),
    ("wrap", "key.used", "keys.rs"),
];

/// Answers, by the operation that gave them.
#[derive(Default)]
struct Asked(BTreeMap<String, Vec<Reply>>);

impl Asked {
    fn note(&mut self, operation: &str, reply: Reply) -> Reply {
        self.0.entry(operation.to_owned()).or_default().push(reply.clone());
        reply
    }
}

#[tokio::test]
async fn every_operation_tells_the_log_what_it_did() {
    let world = World::new().await;
    let app = &world.app;
    if app.instance.passkey_verifier().is_none() {
        let required = std::env::var_os("CHANCERY_TEST_REQUIRE_PASSKEYS").is_some();
        assert!(!required, "build the tests with the feature `passkeys` of chancery");
        return;
    }
    let mut asked = Asked::default();
    people(&world, &mut asked).await;
    programs(&world, &mut asked).await;
    values(&world, &mut asked).await;
    let document = app.anonymous("GET", "/openapi.json", None).await.ok();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let method = method.to_uppercase();
            let reply = match world.expectations.get(id) {
                Some(expect) => app.call(&expect.may, &method, &expect.path, expect.body.clone()).await,
                // Of strangers, and of OAuth: those that need no more than this work.
                None => app.anonymous(&method, template, (method != "GET").then(|| json!({}))).await,
            };
            asked.note(id, reply);
        }
    }
    // The order of the document resumes before it suspends.
    let resume = &world.expectations["resume_tenant"];
    asked.note("resume_tenant", app.call(&resume.may, "POST", &resume.path, None).await);

    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for tenant in [world.clinic.id.parse().unwrap(), TenantId::PLATFORM] {
        for (request, kind) in events(app, tenant).await {
            told.entry(request).or_default().insert(kind);
        }
    }
    let (mut table, mut faults) = (String::new(), Vec::new());
    for (id, replies) in &asked.0 {
        let (worked, refused): (Vec<&Reply>, Vec<&Reply>) = replies.iter().partition(|reply| reply.status.is_success());
        let of = |replies: &[&Reply]| -> BTreeSet<&str> {
            let requests = replies.iter().filter_map(|reply| told.get(reply.headers["x-request-id"].to_str().unwrap()));
            requests.flatten().map(String::as_str).collect()
        };
        let silent = SILENT.iter().any(|(silent, _)| silent == id);
        let elsewhere = ELSEWHERE.iter().find(|(operation, ..)| operation == id);
        let line = if worked.is_empty() {
            let status = refused.first().map_or(StatusCode::OK, |reply| reply.status);
            let where_else = elsewhere.map_or(if silent { "nothing" } else { "?" }, |(_, kind, _)| *kind);
            format!("{id}: {where_else} (not here: {})", status.as_u16())
        } else {
            let kinds = of(&worked).into_iter().collect::<Vec<_>>().join(", ");
            format!("{id}: {}", if kinds.is_empty() { "nothing" } else { &*kinds })
        };
        if !worked.is_empty() && line.ends_with(": nothing") != silent {
            faults.push(format!("{line}  <- it and SILENT differ"));
        }
        let is_missing_here = worked.is_empty() && !silent;
        if is_missing_here != elsewhere.is_some() {
            faults.push(format!("{line}  <- it and ELSEWHERE differ"));
        }
        table += &format!("{line}\n");
    }
    for (id, why) in SILENT {
        assert!(asked.0.contains_key(*id) && !why.is_empty(), "no operation {id}");
    }
    for (id, kind, file) in ELSEWHERE {
        assert!(asked.0.contains_key(*id), "no operation {id}");
        let path = format!("{}/tests/it/{file}", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(source.contains(kind), "{id}: no test in {file} looks for {kind}");
    }

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/told.snap");
    if std::env::var_os("UPDATE_TOLD").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    assert!(faults.is_empty(), "{}\n\nall of them:\n{table}", faults.join("\n"));
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(table, checked_in, "what is told changed: look at it, then run with UPDATE_TOLD=1");
}

/// The request and the kind of every event of a log; and each member of each has a class.
async fn events(app: &TestApp, tenant: TenantId) -> Vec<(String, String)> {
    sequence::sequence(&app.instance, tenant).await.unwrap();
    let mut view = app.instance.store().view(tenant).await.unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = view.logged_events(&EventFilter::after(after, 1_000)).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.index);
        for logged in page {
            let core: Value = serde_json::from_str(&logged.event.core).unwrap();
            for path in leaf::paths(&core) {
                assert!(
                    leaf::class(&logged.event.kind, &path).is_some(),
                    "{path} of {} has no class",
                    logged.event.kind
                );
            }
            all.push((logged.event.request.to_string(), logged.event.kind));
        }
    }
    all
}

/// What somebody who logs in can do, which API keys cannot.
async fn people(world: &World, asked: &mut Asked) {
    let (app, clinic) = (&world.app, &world.clinic);
    user(app, clinic, "pat", "clinician").await;
    let login = json!({"tenant": clinic.slug, "username": "pat", "password": PASSWORD});
    let tokens = asked.note("login", app.anonymous("POST", "/v1/auth/login", Some(login.clone())).await).ok();
    asked.note("login_compat", app.anonymous("POST", "/auth/login", Some(login.clone())).await);
    let pat = bearer(&tokens);
    for (id, method, path) in [
        ("list_my_sessions", "GET", "/v1/auth/sessions"),
        ("my_factors", "GET", "/v1/me/mfa"),
        ("list_passkeys", "GET", "/v1/me/webauthn/credentials"),
        ("begin_passkey", "POST", "/v1/me/webauthn/registrations/options"),
    ] {
        asked.note(id, app.call(&pat, method, path, None).await);
    }
    let options = json!({"tenant": clinic.slug});
    asked.note("passkey_login_options", app.anonymous("POST", "/v1/auth/webauthn/options", Some(options)).await);
    let proof = json!({"password": PASSWORD});
    asked.note("reauthenticate", app.post(&pat, "/v1/auth/reauthenticate", proof).await);
    let begun = asked.note("begin_totp", app.post(&pat, "/v1/me/mfa/totp", json!({})).await).ok();
    let key = crate::factors::key(&begun);
    let code = json!({"code": now(app, &key)});
    asked.note("confirm_totp", app.post(&pat, "/v1/me/mfa/totp/confirm", code).await);
    app.clock.advance_seconds(30);
    let code = json!({"code": now(app, &key)});
    asked.note("regenerate_recovery_codes", app.post(&pat, "/v1/me/recovery-codes/regenerate", code).await);
    app.clock.advance_seconds(30);
    let code = json!({"code": now(app, &key)});
    asked.note("remove_totp", app.post(&pat, "/v1/me/mfa/totp/remove", code).await);

    // Refresh tokens go round, at one door and at the other.
    let refresh = |tokens: &Value| json!({"refresh_token": tokens["refresh_token"]});
    let tokens = asked.note("refresh", app.anonymous("POST", "/v1/auth/refresh", Some(refresh(&tokens))).await).ok();
    let again = app.anonymous("POST", "/auth/refresh", Some(refresh(&tokens))).await;
    let pat = bearer(&asked.note("refresh_compat", again).ok());
    let other = app.anonymous("POST", "/v1/auth/login", Some(login.clone())).await.ok();
    let path = format!("/v1/auth/sessions/{}", other["session_id"].as_str().unwrap());
    asked.note("end_my_session", app.call(&pat, "DELETE", &path, None).await);
    let other = bearer(&app.anonymous("POST", "/v1/auth/login", Some(login.clone())).await.ok());
    asked.note("logout", app.call(&other, "POST", "/v1/auth/logout", None).await);
    let change = json!({"current_password": PASSWORD, "new_password": "Another-Horse-8-Battery"});
    asked.note("change_password", app.post(&pat, "/v1/auth/password/change", change).await);
    let login = json!({"tenant": clinic.slug, "username": "pat", "password": "Another-Horse-8-Battery"});
    let pat = bearer(&app.anonymous("POST", "/v1/auth/login", Some(login)).await.ok());
    asked.note("logout_all", app.call(&pat, "POST", "/v1/auth/logout-all", None).await);

    // In steps: with a first factor that is enrolled on the way, and with each kind of it.
    user(app, clinic, "ada", "tenant_admin").await;
    let halfway = json!({"mfa_token": log_in(app, clinic, "ada").await["mfa_token"]});
    let begun = app.anonymous("POST", "/v1/auth/mfa/enroll", Some(halfway.clone())).await;
    let key = crate::factors::key(&asked.note("enroll_in_login", begun).ok());
    let confirmed = crate::factors::step(app, "enroll/confirm", &halfway["mfa_token"], &now(app, &key)).await;
    asked.note("confirm_in_login", confirmed);
    let bea = enrolled_as(app, clinic, "bea", "tenant_admin").await;
    let halfway = log_in(app, clinic, "bea").await;
    let passed = crate::factors::step(app, "totp", &halfway["mfa_token"], &now(app, &bea.key)).await;
    asked.note("login_with_totp", passed);
    let halfway = log_in(app, clinic, "bea").await;
    let passed = crate::factors::step(app, "recovery-code", &halfway["mfa_token"], &bea.codes[0]).await;
    asked.note("login_with_recovery_code", passed);

    app.call(&clinic.admin, "PATCH", "/v1/settings", Some(json!({"registration": "open"}))).await.ok();
    let new = |name: &str| json!({"tenant": clinic.slug, "username": name, "email": format!("{name}@x.test"), "password": PASSWORD});
    asked.note("register", app.anonymous("POST", "/v1/auth/register", Some(new("dan"))).await);
    asked.note("register_compat", app.anonymous("POST", "/auth/register", Some(new("eve"))).await);
}

/// What programs do by OAuth.
async fn programs(world: &World, asked: &mut Asked) {
    let (app, clinic) = (&world.app, &world.clinic);
    let lab = service(app, clinic).await;
    let grant = [("grant_type", "client_credentials")];
    let token = asked.note("oauth_token", lab.ask(app, "/oauth2/token", &grant).await).ok();
    let pairs = [("token", token["access_token"].as_str().unwrap())];
    asked.note("oauth_introspect", lab.ask(app, "/oauth2/introspect", &pairs).await);
    asked.note("oauth_revoke", lab.ask(app, "/oauth2/revoke", &pairs).await);
}

/// What is sealed is opened and re-sealed; of what holds nothing nobody is told.
async fn values(world: &World, asked: &mut Asked) {
    let app = &world.app;
    let (service, officer) = (&world.clinic.service, &world.clinic.officer);
    let item = |name: &str, value: &Value| {
        let mut item = json!({"table": "patients", "column": "ssn", "row": "1"});
        item[name] = value.clone();
        item
    };
    let body = json!({"items": [item("value", &json!("999-76-6866"))]});
    let sealed = asked.note("seal", app.post(service, "/v1/seal", body).await).ok()["items"][0]["sealed"].clone();
    let body = json!({"reason": "visit", "items": [item("sealed", &sealed)]});
    asked.note("open", app.post(service, "/v1/open", body).await).ok();
    let body = json!({"items": [item("sealed", &sealed)]});
    asked.note("reseal", app.post(officer, "/v1/reseal", body).await).ok();
    let fields = json!([{"pointer": "/ssn", "column": "ssn"}]);
    let body = json!({"table": "patients", "row": "1", "document": {"ssn": "999-76-6866"}, "fields": fields});
    let sealed = asked.note("seal_document", app.post(service, "/v1/documents/seal", body).await).ok();
    let body = json!({"table": "patients", "row": "1", "reason": "visit", "document": sealed["document"]});
    asked.note("open_document", app.post(service, "/v1/documents/open", body).await).ok();
}

fn bearer(tokens: &Value) -> Caller {
    Caller { bearer: tokens["access_token"].as_str().unwrap().to_owned() }
}

/// TN-05: whoever reads across tenants is seen by the tenant that was read.
#[tokio::test]
async fn who_reads_across_tenants_is_in_the_log_that_was_read() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let certificate = issue(&app, &clinic).await["id"].as_str().unwrap().to_owned();
    let made = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let made = app.post(&app.admin, "/v1/api-keys", made).await.created();
    let auditor = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    let span = "from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z";
    let mut requests = BTreeMap::new();
    for (path, kind) in [
        ("/api-keys".to_owned(), "api_key.read"),
        (format!("/audit/events?{span}"), "audit.read"),
        (format!("/certificates/{certificate}"), "certificate.read"),
        (format!("/certificates/{certificate}/verify"), "certificate.verified"),
        (format!("/certificates/{certificate}/pack"), "certificate.exported"),
    ] {
        let reply = app.get(&auditor, &format!("/v1/tenants/{}{path}", clinic.id)).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
        requests.insert(reply.headers["x-request-id"].to_str().unwrap().to_owned(), kind);
    }
    // People of a tenant are nobody's across tenants, and the attempt is no read of the tenant.
    let people = format!("/v1/tenants/{}/users?email=ann@x.test", clinic.id);
    app.get(&auditor, &people).await.refused(404, "not_found");

    let path = format!("/v1/audit/events?{span}&limit=1000&actor={}", made["id"].as_str().unwrap());
    let seen = app.get(&clinic.auditor, &path).await.ok()["items"].as_array().unwrap().clone();
    let told: BTreeMap<String, &str> = seen
        .iter()
        .map(|event| (event["request_id"].as_str().unwrap().to_owned(), event["type"].as_str().unwrap()))
        .collect();
    assert_eq!(told, requests);
    for event in &seen {
        let core: Value = serde_json::from_str(event["core"].as_str().unwrap()).unwrap();
        assert_eq!(core["actor"]["tenant_id"], TenantId::PLATFORM.to_string(), "{core}");
        assert_eq!(core["actor"]["ref"], made["id"], "{core}");
        assert_eq!(core["tenant_id"], clinic.id, "{core}");
        // From where an event came is not the platform's to see.
        if event["type"] == "audit.read" {
            assert_eq!(core["detail"]["personal"], "closed", "{core}");
        }
    }
}
