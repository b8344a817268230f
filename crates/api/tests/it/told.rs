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

/// Operations that tell the log nothing where they work, or work for nobody.
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
    ("export_key", "no key is given out"),
    ("receive_csp_reports", "browsers of strangers, who cannot grow a log; they are counted"),
];

/// An operation, and the event that it leaves.
type Leaves = (&'static str, &'static str);

/// Operations that cannot work here, with the event that they leave where they do: by the test that looks for it, and its file.
const ELSEWHERE: &[(&str, &str, &[Leaves])] = &[
    ("archives.rs", "a_row_without_its_file_keeps_no_month_from_being_archived", &[("open_archive", "audit.exported")]),
    (
        "authz.rs",
        "what_a_proxy_lets_through_is_in_the_log_where_its_configuration_says_so",
        &[("auth_request", "request.forwarded"), ("forward_auth", "request.forwarded")],
    ),
    ("blobs.rs", "streams_of_any_length_come_back", &[("open_blob", "record.opened")]),
    ("custody.rs", "a_copy_counts_when_it_was_read_back", &[("backup_key", "key.backed_up")]),
    ("custody.rs", "a_removed_copy_is_gone_and_known_no_more", &[("remove_key_copy", "key.copy_removed")]),
    (
        "custody.rs",
        "escrow_takes_two_people_and_gives_the_key_back",
        &[("escrow_key", "key.backed_up"), ("restore_key", "key.restored")],
    ),
    (
        "datasets.rs",
        "a_data_key_is_rotated_its_values_move_and_the_old_version_retires",
        &[("reseal_dataset", "dataset.job_started")],
    ),
    (
        "deletion.rs",
        "a_deleted_key_waits_can_be_saved_and_then_is_gone",
        &[("cancel_key_deletion", "key.deletion_cancelled"), ("schedule_key_deletion", "key.deletion_scheduled")],
    ),
    ("legacy_tokens.rs", "tokens_of_an_older_denylist_stay_refused", &[("import_revocations", "token.denied")]),
    ("lockouts.rs", "a_key_is_suspended", &[("delete_lockout", "api_key.resumed")]),
    (
        "passkeys.rs",
        "a_passkey_is_a_fresh_proof_and_what_is_dangerous_asks_for_one",
        &[("reauthenticate_with_passkey", "session.proved")],
    ),
    (
        "passkeys.rs",
        "a_passkey_is_registered_and_logs_in_with_and_without_a_password",
        &[
            ("finish_with_passkey", "factor.passed"),
            ("login_with_passkey", "user.logged_in"),
            ("register_passkey", "factor.enrolled"),
        ],
    ),
    (
        "passkeys.rs",
        "an_administrator_registers_a_passkey_at_its_first_login",
        &[("enroll_passkey", "factor.enrolled"), ("enroll_passkey_options", "factor.begun")],
    ),
    ("passkeys.rs", "the_last_factor_stays_where_a_role_needs_one", &[("rename_passkey", "passkey.renamed")]),
    ("passkeys.rs", "without_a_last_factor_there_are_no_recovery_codes", &[("remove_passkey", "factor.removed")]),
    ("passwords.rs", "a_token_sets_a_password_once", &[("set_password", "password.set")]),
    ("passwords.rs", "an_import_tells_of_every_line", &[("import_users", "user.imported")]),
    (
        "retention.rs",
        "a_forged_order_is_shown_as_unproven_and_told_of_until_an_officer_dismisses_it",
        &[("dismiss_purge", "audit.purge_dismissed"), ("purge_events", "audit.purge_ordered")],
    ),
    (
        "routes.rs",
        "routes_and_what_they_saw_are_shown_and_changed_with_an_event_first",
        &[
            ("apply_routes", "gateway.routes_applied"),
            ("list_routes", "gateway.routes_read"),
            ("list_upstreams", "gateway.routes_read"),
            ("observed_routes", "gateway.routes_read"),
            ("roll_back_routes", "gateway.routes_rolled_back"),
            ("validate_routes", "gateway.routes_read"),
        ],
    ),
    (
        "rows.rs",
        "a_row_is_sealed_under_one_header_and_changes_in_part",
        &[("open_rows", "record.opened"), ("reseal_rows", "record.resealed")],
    ),
    ("search.rs", "a_change_of_rule_loses_no_row", &[("retire_index_version", "index.retired")]),
    ("search.rs", "an_index_that_rows_lack_refuses_queries", &[("drop_index", "index.dropped")]),
    (
        "sinks.rs",
        "a_refused_batch_stops_one_log_and_is_passed_over_by_an_operator",
        &[("skip_sink", "audit.sink_skipped")],
    ),
    (
        "subjects.rs",
        "an_erased_person_is_gone_and_nobody_else",
        &[("erase_subject", "subject.erased"), ("recreate_subject", "subject.recreated")],
    ),
    (
        "webhooks.rs",
        "what_the_application_does_not_take_is_tried_again_and_then_waits_for_somebody",
        &[("redrive_webhook_delivery", "webhook.redriven")],
    ),
    (
        "webhooks.rs",
        "what_waits_may_be_discarded_and_what_waits_for_nobody_goes_with_its_subscription",
        &[("discard_webhook_delivery", "webhook.discarded")],
    ),
    (
        "webhooks/devices.rs",
        "a_phone_that_apple_vouches_for_sends_and_counts_on_until_it_is_revoked",
        &[
            ("challenge_webhook_device", "webhook.device_challenged"),
            ("enroll_webhook_device", "webhook.device_enrolled"),
            ("revoke_webhook_device", "webhook.device_revoked"),
        ],
    ),
    (
        "webhooks/upkeep.rs",
        "a_subscription_gets_a_new_secret_by_itself_after_half_a_year_and_both_sign_for_three_days",
        &[("show_webhook_secret", "webhook.secret_shown")],
    ),
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
    keys(&world, &mut asked).await;
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
    let told_elsewhere: BTreeMap<&str, &str> = ELSEWHERE.iter().flat_map(|(.., told)| told.iter().copied()).collect();
    let (mut table, mut faults) = (String::new(), Vec::new());
    for (id, replies) in &asked.0 {
        let (worked, refused): (Vec<&Reply>, Vec<&Reply>) = replies.iter().partition(|reply| reply.status.is_success());
        let of = |replies: &[&Reply]| -> BTreeSet<&str> {
            let requests = replies.iter().filter_map(|reply| told.get(reply.headers["x-request-id"].to_str().unwrap()));
            requests.flatten().map(String::as_str).collect()
        };
        let silent = SILENT.iter().any(|(silent, _)| silent == id);
        let elsewhere = told_elsewhere.get(id.as_str());
        let line = if worked.is_empty() {
            let status = refused.first().map_or(StatusCode::OK, |reply| reply.status);
            let where_else = elsewhere.map_or(if silent { "nothing" } else { "?" }, |kind| *kind);
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
    for (file, test, told) in ELSEWHERE {
        let source = std::fs::read_to_string(format!("{}/tests/it/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let from_it_on = source.split_once(&format!("\nasync fn {test}(")).map(|(_, from_it_on)| from_it_on);
        let body = from_it_on.and_then(|from_it_on| from_it_on.split_once("\n}\n")).map_or("", |(body, _)| body);
        for (id, kind) in *told {
            assert!(asked.0.contains_key(*id), "no operation {id}");
            assert!(body.contains(kind), "{id}: {test} in {file} does not look for {kind}");
        }
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
    let kim = user(app, clinic, "kim", "clinician").await;
    let session = log_in(app, clinic, "kim").await["session_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/users/{kim}/sessions/{session}");
    asked.note("end_user_session", app.call(&clinic.officer, "DELETE", &path, None).await);
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

/// What keys do and what is done to them, those of programs too; and a role that nobody holds.
async fn keys(world: &World, asked: &mut Asked) {
    let (app, clinic) = (&world.app, &world.clinic);
    let (service, officer, admin) = (&clinic.service, &clinic.officer, &clinic.admin);
    let make = async |name: &str, key_type: &str, purpose: &str| {
        let body = json!({"name": name, "type": key_type, "purpose": purpose, "access_policy": "application"});
        let made = app.post(officer, "/v1/keys", body).await.created();
        format!("/v1/keys/{}", made["id"].as_str().unwrap())
    };
    let signs = make("that signs", "ed25519", "signing").await;
    let body = json!({"message": "AAAA"});
    let signed = asked.note("sign", app.post(service, &format!("{signs}/sign"), body).await).ok();
    let body = json!({"message": "AAAA", "signature": signed["signature"]});
    asked.note("verify", app.post(service, &format!("{signs}/verify"), body).await).ok();
    for (id, verb) in [("suspend_key", "suspend"), ("resume_key", "resume")] {
        asked.note(id, app.call(officer, "POST", &format!("{signs}/{verb}"), None).await).ok();
    }
    let seals = make("that seals", "aes_256", "encryption").await;
    let body = json!({"plaintext": "AAAA"});
    let sealed = asked.note("encrypt", app.post(service, &format!("{seals}/encrypt"), body).await).ok();
    let body = json!({"ciphertext": sealed["ciphertext"]});
    asked.note("decrypt", app.post(service, &format!("{seals}/decrypt"), body).await).ok();
    let body = json!({"key": "A".repeat(43)});
    let wrapped = asked.note("wrap", app.post(service, &format!("{seals}/wrap"), body).await).ok();
    let body = json!({"wrapped": wrapped["wrapped"]});
    asked.note("unwrap", app.post(service, &format!("{seals}/unwrap"), body).await).ok();

    let body = json!({"description": "nightly", "roles": ["service"]});
    let made = app.post(admin, "/v1/api-keys", body).await.created();
    let path = format!("/v1/api-keys/{}/rotate", made["id"].as_str().unwrap());
    asked.note("rotate_api_key", app.post(admin, &path, json!({})).await).created();
    let role = "/v1/roles/day-desk";
    app.put(admin, role, json!({"base": "tenant_admin", "permissions": ["users.read"]})).await.ok();
    asked.note("delete_role", app.call(admin, "DELETE", role, None).await);
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
