//! Setting providers up, and what their callers are and may.

use serde_json::{Value, json};

use super::{World, generic};
use crate::app::{Backend, Caller, TestApp, request};

backends! {
    a_provider_is_set_up_changed_and_taken_away, a_token_makes_a_caller_of_the_providers_tenant_only,
    two_tenants_share_an_issuer_only_if_a_claim_tells_them_apart, another_node_learns_that_a_provider_was_disabled,
    revoking_everybodys_tokens_stops_those_of_providers, nobody_comes_beside_another_tenant_to_make_its_tokens_ambiguous,
    of_two_tenants_that_come_at_once_one_is_let_in, a_provider_gives_roles_that_the_tenant_defined,
    a_provider_that_is_deleted_meanwhile_is_not_put_back, two_that_shared_an_issuer_before_can_still_be_narrowed,
    odd_issuers_and_audiences_are_refused_and_disturb_nobody,
}

const PROVIDERS: &str = "/v1/identity-providers";

async fn a_provider_is_set_up_changed_and_taken_away(backend: Backend) {
    let world = World::on(backend).await;
    let (app, admin) = (&world.app, &world.clinic.admin);
    let made = app.post(admin, PROVIDERS, generic()).await.created();
    assert_eq!(made["algorithms"], json!(["RS256", "PS256", "ES256", "ES384", "EdDSA"]));
    assert_eq!(
        [&made["token_type"], &made["audience_claim"], &made["role_claim"], &made["second_factor"], &made["jwks_uri"]],
        [&json!("at+jwt"), &json!("aud"), &json!("roles"), &json!("claim"), &json!(null)]
    );
    assert_eq!(
        (&made["leeway_seconds"], &made["max_age_seconds"], &made["enabled"]),
        (&json!(30), &json!(86_400), &json!(true))
    );
    let path = format!("{PROVIDERS}/{}", made["id"].as_str().unwrap());
    assert_eq!(app.get(admin, &path).await.ok(), made);
    assert_eq!(app.get(admin, PROVIDERS).await.ok()["items"], json!([made]));

    let token = world.token(&[]);
    assert!(world.accepts(&token).await);
    let mut other = generic();
    other["audiences"] = json!(["other-api"]);
    app.put(admin, &path, other).await.ok();
    assert!(!world.accepts(&token).await, "at once");
    app.put(admin, &path, generic()).await.ok();
    assert!(world.accepts(&token).await);
    let mut off = generic();
    off["enabled"] = json!(false);
    app.put(admin, &path, off).await.ok();
    assert!(!world.accepts(&token).await, "at once");
    app.put(admin, &path, generic()).await.ok();
    assert!(world.accepts(&token).await);
    assert_eq!(app.call(admin, "DELETE", &path, None).await.status, 204);
    assert!(!world.accepts(&token).await, "at once");
    app.get(admin, &path).await.refused(404, "not_found");
    app.call(admin, "DELETE", &path, None).await.refused(404, "not_found");

    for (kind, count) in [
        ("identity_provider.created", 1),
        ("identity_provider.updated", 4),
        ("identity_provider.deleted", 1),
        ("identity_provider.read", 2),
    ] {
        let events = app.events(&world.clinic.auditor, kind).await;
        assert_eq!(events.len(), count, "{kind}");
        assert!(!events[0]["core"].as_str().unwrap().contains("id.clinic.example"), "what others chose is under seal");
    }
}

async fn a_token_makes_a_caller_of_the_providers_tenant_only(backend: Backend) {
    let world = World::on(backend).await;
    let (app, clinic) = (&world.app, &world.clinic);
    app.register_fields(clinic).await;
    let theirs = app.clinic("theirs").await;
    let id = world.provider(clinic, &generic()).await;
    // Whatever a token says of tenants.
    let token =
        world.token(&[("tenant_id", json!(theirs.id)), ("tenant", json!("theirs")), ("username", json!("root"))]);
    let ann = Caller { bearer: token.clone() };
    let session = world.session(&token).await.ok();
    assert_eq!([&session["tenant_id"], &session["tenant_slug"]], [&json!(clinic.id), &json!("ours")]);
    assert_eq!(
        [&session["auth"], &session["roles"], &session["user_id"]],
        [&json!("external"), &json!(["clinician"]), &json!(null)]
    );
    assert_eq!(session["identity_provider_id"], json!(id));
    let who = session["external_id"].as_str().unwrap();
    assert!(who.starts_with("ext_"), "{who}");
    let again = world.session(&world.token(&[("jti", json!("2"))])).await.ok();
    assert_eq!(again["external_id"], session["external_id"], "the same person each time");
    let bob = world.session(&world.token(&[("sub", json!("bob")), ("jti", json!("3"))])).await.ok();
    assert_ne!(bob["external_id"], session["external_id"]);

    // What a clinician may, and no more.
    let sealed = app.seal(&ann, "ssn", "1", json!("123")).await;
    assert_eq!(app.open(&ann, "ssn", "1", &sealed["sealed"]).await.ok()["items"][0]["value"], json!("123"));
    app.get(&ann, "/v1/users?email=a@b.test").await.refused(403, "authz.denied");
    app.get(&ann, &format!("/v1/tenants/{}", theirs.id)).await.refused(403, "authz.denied");
    app.post(&ann, "/v1/auth/logout", json!({})).await.refused(409, "state.conflict");

    // The log knows who, by an id; the name that the issuer has for them is under seal.
    let opened = app.events(&clinic.auditor, "record.opened").await;
    let core: Value = serde_json::from_str(opened[0]["core"].as_str().unwrap()).unwrap();
    assert_eq!([&core["actor"]["kind"], &core["actor"]["auth"]], [&json!("external"), &json!("external")]);
    assert_eq!([&core["actor"]["ref"], &core["actor"]["session_ref"]], [&json!(who), &json!(id)]);
    assert!(core["sealed"]["external_subject"].is_string(), "{core}");
    assert!(!core.to_string().contains("ann@clinic.example"), "{core}");
    assert!(opened[0]["sealed_part"].to_string().contains("ann@clinic.example"), "an auditor may know: {}", opened[0]);

    app.post(&app.admin, &format!("/v1/tenants/{}/suspend", clinic.id), json!({})).await.ok();
    assert!(!world.accepts(&token).await);
}

async fn two_tenants_share_an_issuer_only_if_a_claim_tells_them_apart(backend: Backend) {
    let world = World::on(backend).await;
    let theirs = world.app.clinic("theirs").await;
    let ours = world.provider(&world.clinic, &generic()).await;
    let reply = world.app.post(&theirs.admin, PROVIDERS, generic()).await;
    reply.refused(409, "taken");
    assert!(!reply.text().contains(&world.clinic.id) && !reply.text().contains(&ours), "{}", reply.text());
    // A disabled one is in nobody's way, until it is enabled.
    let mut off = generic();
    off["enabled"] = json!(false);
    let dormant = world.provider(&theirs, &off).await;
    let path = format!("{PROVIDERS}/{dormant}");
    world.app.put(&theirs.admin, &path, generic()).await.refused(409, "taken");

    let of = |org: &str| {
        let mut body = generic();
        body["tenant_claim"] = json!({"claim": "org_id", "value": org});
        body
    };
    // One that asks for no claim takes all tokens: another beside it would lock its people out.
    world.app.put(&theirs.admin, &path, of("org_theirs")).await.refused(409, "taken");
    let mut by_issuer = generic();
    by_issuer["tenant_claim"] = json!({"claim": "iss", "value": by_issuer["issuer"]});
    world.app.post(&theirs.admin, PROVIDERS, by_issuer).await.refused(409, "taken");
    assert!(world.accepts(&world.token(&[])).await);
    world.app.put(&world.clinic.admin, &format!("{PROVIDERS}/{ours}"), of("org_ours")).await.ok();
    world.app.put(&theirs.admin, &path, of("org_theirs")).await.ok();
    for (org, slug) in [("org_ours", "ours"), ("org_theirs", "theirs")] {
        let token = world.token(&[("org_id", json!(org)), ("jti", json!(org))]);
        assert_eq!(world.session(&token).await.ok()["tenant_slug"], json!(slug));
    }
    for org in [json!("org_other"), json!(["org_ours"]), json!(null), json!("")] {
        assert!(!world.accepts(&world.token(&[("org_id", org.clone())])).await, "{org}");
    }
}

/// Whoever could make another tenant's tokens name both would lock that one's people out.
async fn nobody_comes_beside_another_tenant_to_make_its_tokens_ambiguous(backend: Backend) {
    let world = World::on(backend).await;
    let theirs = world.app.clinic("theirs").await;
    world.provider(&world.clinic, &generic()).await;
    // As Auth0 makes them: the issuer's own address beside the audience, and the application in `azp`.
    let userinfo = "https://id.clinic.example/userinfo";
    let token = world.token(&[("aud", json!(["clinic-api", userinfo])), ("azp", json!("web"))]);
    assert!(world.accepts(&token).await);
    for (claim, audience) in [("aud", userinfo), ("aud", "any"), ("azp", "web"), ("client_id", "web")] {
        let mut body = generic();
        body["audience_claim"] = json!(claim);
        body["audiences"] = json!([audience]);
        world.app.post(&theirs.admin, PROVIDERS, body).await.refused(409, "taken");
    }
    assert!(world.accepts(&token).await);
    // Its own providers a tenant tells apart by their audiences.
    let mut other = generic();
    other["audiences"] = json!(["other-api"]);
    world.provider(&world.clinic, &other).await;
    assert!(world.accepts(&world.token(&[("aud", json!("other-api")), ("jti", json!("o"))])).await);

    // Applications of one issuer, each with a claim of one value: nobody's token names two.
    for (clinic, application) in [(&world.clinic, "ours"), (&theirs, "theirs")] {
        let mut body = generic();
        body["issuer"] = json!("https://shared.example");
        body["audience_claim"] = json!("azp");
        body["audiences"] = json!([application]);
        world.provider(clinic, &body).await;
        let of = |claims: &[(&str, Value)]| {
            let shared = [("iss", json!("https://shared.example"))];
            world.token(&[shared.as_slice(), claims].concat())
        };
        // Another's name elsewhere in the token leads nowhere.
        let token =
            of(&[("azp", json!(application)), ("aud", json!(["ours", "theirs"])), ("client_id", json!("ours"))]);
        assert_eq!(world.session(&token).await.ok()["tenant_slug"], json!(application));
        assert!(!world.accepts(&of(&[("aud", json!(application))])).await);
    }
}

async fn of_two_tenants_that_come_at_once_one_is_let_in(backend: Backend) {
    let world = World::on(backend).await;
    let theirs = world.app.clinic("theirs").await;
    let other = world.app.again(|_| ()).await;
    for round in 0..6 {
        let of = |audience: &str| {
            let mut body = generic();
            body["issuer"] = json!(format!("https://id{round}.example"));
            body["audiences"] = json!([audience]);
            body
        };
        let (one, two) = tokio::join!(
            world.app.post(&world.clinic.admin, PROVIDERS, of("ours")),
            other.post(&theirs.admin, PROVIDERS, of("theirs")),
        );
        let mut statuses = [one.status.as_u16(), two.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{} {}", one.text(), two.text());
    }
}

async fn a_provider_gives_roles_that_the_tenant_defined(backend: Backend) {
    let world = World::on(backend).await;
    let (app, admin) = (&world.app, &world.clinic.admin);
    app.register_fields(&world.clinic).await;
    let mapped = |role: &str| {
        let mut body = generic();
        body["role_map"] = json!([{"value": "doctor", "role": role}]);
        body
    };
    let unknown = async |role: &str| {
        let reply = app.post(admin, PROVIDERS, mapped(role)).await;
        reply.refused(422, "request.invalid");
        let fault = reply.json()["errors"][0].clone();
        assert_eq!([&fault["pointer"], &fault["code"]], [&json!("/role_map/0/role"), &json!("unknown")], "{role}");
    };
    // One that nobody defined, one of another tenant, and no name at all.
    let theirs = app.clinic("theirs").await;
    let desk = json!({"base": "staff", "permissions": ["data.seal"]});
    app.put(&theirs.admin, "/v1/roles/night-desk", desk.clone()).await.ok();
    for role in ["night-desk", "Night Desk", "", "\u{0}"] {
        unknown(role).await;
    }
    app.put(admin, "/v1/roles/night-desk", desk).await.ok();
    let id = world.provider(&world.clinic, &mapped("night-desk")).await;
    let path = format!("{PROVIDERS}/{id}");
    assert_eq!(app.get(admin, &path).await.ok()["role_map"], json!([{"value": "doctor", "role": "night-desk"}]));

    let token = world.token(&[]);
    let ann = Caller { bearer: token.clone() };
    assert_eq!(world.session(&token).await.ok()["roles"], json!(["night-desk"]));
    assert_eq!(world.verdict(&id, &token).await["roles"], json!(["night-desk"]));
    let sealed = app.seal(&ann, "ssn", "1", json!("123")).await;
    app.open(&ann, "ssn", "1", &sealed["sealed"]).await.refused(403, "authz.denied");
    // As it is now, not as it was when it was mapped.
    let may_not = json!({"base": "staff", "permissions": ["data.open.public"]});
    app.put(admin, "/v1/roles/night-desk", may_not).await.ok();
    let again = json!({"items": [{"table": "patients", "column": "ssn", "row": "2", "value": "1"}]});
    app.post(&ann, "/v1/seal", again).await.refused(403, "authz.denied");

    // Who may not grant its base does not map it, and what is mapped is not given up.
    let part = json!({"base": "tenant_admin", "permissions": ["settings.write"]});
    app.put(admin, "/v1/roles/setter", part).await.ok();
    let key = app.post(admin, "/v1/api-keys", json!({"description": "x", "roles": ["setter"]})).await.created();
    let setter = Caller { bearer: key["key"].as_str().unwrap().to_owned() };
    app.put(&setter, &path, mapped("night-desk")).await.refused(403, "authz.denied");
    app.call(admin, "DELETE", "/v1/roles/night-desk", None).await.refused(409, "state.conflict");

    // A part of an administrative role takes a second factor, as the role itself does.
    app.put(admin, "/v1/roles/key-reader", json!({"base": "security_officer", "permissions": ["keys.read"]}))
        .await
        .ok();
    app.put(admin, &path, mapped("key-reader")).await.ok();
    let roles = async |changes: &[(&str, Value)]| world.session(&world.token(changes)).await.ok()["roles"].clone();
    assert_eq!(roles(&[("jti", json!("a"))]).await, json!([]));
    let strong = [("jti", json!("b")), ("amr", json!(["mfa"]))];
    assert_eq!(roles(&strong).await, json!(["key-reader"]));
    app.get(&Caller { bearer: world.token(&strong) }, "/v1/keys").await.ok();
    app.call(admin, "DELETE", "/v1/roles/night-desk", None).await;
    app.get(admin, "/v1/roles/night-desk").await.refused(404, "not_found");
}

/// A database that takes no zero byte in a text must not be asked about one.
async fn odd_issuers_and_audiences_are_refused_and_disturb_nobody(backend: Backend) {
    let world = World::on(backend).await;
    world.provider(&world.clinic, &generic()).await;
    for (name, odd) in [
        ("iss", json!("https://id.clinic.example\u{0}")),
        ("iss", json!("\u{0}")),
        ("iss", json!("x".repeat(256))),
        ("aud", json!("clinic-api\u{0}")),
        ("aud", json!(["\u{0}", "\n"])),
        ("aud", json!(["", "x".repeat(256)])),
    ] {
        assert!(!world.accepts(&world.token(&[(name, odd.clone())])).await, "{odd}");
    }
    let beside = json!(["\u{0}", "clinic-api"]);
    assert!(world.accepts(&world.token(&[("aud", beside)])).await);
    let many: Vec<String> = (0..40).map(|n| format!("a{n}")).collect();
    assert!(!world.accepts(&world.token(&[("aud", json!(many)), ("jti", json!("m"))])).await);
}

async fn another_node_learns_that_a_provider_was_disabled(backend: Backend) {
    let world = World::on(backend).await;
    let id = world.provider(&world.clinic, &generic()).await;
    let other = world.app.again(|_| ()).await;
    let caller = Caller { bearer: world.token(&[]) };
    other.get(&caller, "/v1/auth/session").await.ok();
    let mut off = generic();
    off["enabled"] = json!(false);
    world.app.put(&world.clinic.admin, &format!("{PROVIDERS}/{id}"), off).await.ok();
    // What jobs do four times a second.
    other.instance.follow_epochs().await.unwrap();
    other.get(&caller, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
}

async fn revoking_everybodys_tokens_stops_those_of_providers(backend: Backend) {
    let world = World::on(backend).await;
    world.provider(&world.clinic, &generic()).await;
    let now = world.now();
    let long =
        |jti: &str, iat: i64| world.token(&[("jti", json!(jti)), ("iat", json!(iat)), ("exp", json!(iat + 80_000))]);
    let token = long("old", now);
    assert!(world.accepts(&token).await);
    let body = json!({"everyone": true, "reason": "stolen laptop"});
    world.app.post(&world.clinic.admin, "/v1/revocations", body).await.created();
    assert!(!world.accepts(&token).await);
    // Its life is longer than that of our own tokens: so must be the revocation's.
    world.app.clock.advance_seconds(40_000);
    assert!(!world.accepts(&token).await);
    assert!(world.accepts(&long("new", world.now())).await);
}

#[tokio::test]
async fn a_provider_gives_only_what_its_administrator_may_grant() {
    let world = World::new().await;
    let app = &world.app;
    let mapped = |role: &str| {
        let mut body = generic();
        body["role_map"] = json!([{"value": "doctor", "role": role}]);
        body
    };
    for role in ["platform_admin", "platform_auditor"] {
        app.post(&world.clinic.admin, PROVIDERS, mapped(role)).await.refused(403, "authz.denied");
    }
    app.post(&world.clinic.admin, PROVIDERS, mapped("root")).await.refused(422, "request.invalid");
    for caller in [&world.clinic.staff, &world.clinic.officer, &world.clinic.auditor] {
        app.post(caller, PROVIDERS, mapped("staff")).await.refused(403, "authz.denied");
    }
    // A part of `tenant_admin` that may write settings grants nothing.
    let part = json!({"base": "tenant_admin", "permissions": ["settings.write"]});
    app.put(&world.clinic.admin, "/v1/roles/setter", part).await.ok();
    let key =
        app.post(&world.clinic.admin, "/v1/api-keys", json!({"description": "x", "roles": ["setter"]})).await.created();
    let setter = Caller { bearer: key["key"].as_str().unwrap().to_owned() };
    app.post(&setter, PROVIDERS, mapped("staff")).await.refused(403, "authz.denied");
    let mut none = generic();
    none["role_map"] = json!([]);
    let id = app.post(&setter, PROVIDERS, none).await.created()["id"].as_str().unwrap().to_owned();
    app.put(&setter, &format!("{PROVIDERS}/{id}"), mapped("tenant_admin")).await.refused(403, "authz.denied");
    // Older names.
    let made = app.put(&world.clinic.admin, &format!("{PROVIDERS}/{id}"), mapped("user")).await.ok();
    assert_eq!(made["role_map"], json!([{"value": "doctor", "role": "staff"}]));
}

#[tokio::test]
async fn privileged_roles_take_a_second_factor() {
    let world = World::new().await;
    let id = world.provider(&world.clinic, &generic()).await;
    let roles = async |changes: &[(&str, Value)]| world.session(&world.token(changes)).await.ok()["roles"].clone();
    let boss = ("roles", json!(["boss", "doctor"]));
    assert_eq!(roles(std::slice::from_ref(&boss)).await, json!(["clinician"]));
    assert_eq!(roles(&[boss.clone(), ("amr", json!(["pwd"]))]).await, json!(["clinician"]));
    assert_eq!(roles(&[boss.clone(), ("amr", json!(["pwd", "mfa"]))]).await, json!(["tenant_admin", "clinician"]));
    let verdict = world.verdict(&id, &world.token(std::slice::from_ref(&boss))).await;
    assert!(verdict["steps"].to_string().contains("needs amr with mfa"), "{verdict}");
    let mut vouched = generic();
    vouched["second_factor"] = json!("provider");
    world.app.put(&world.clinic.admin, &format!("{PROVIDERS}/{id}"), vouched).await.ok();
    assert_eq!(roles(&[boss, ("jti", json!("v"))]).await, json!(["tenant_admin", "clinician"]));
    // Nobody mapped is somebody without a right.
    assert_eq!(roles(&[("roles", json!(["cook"]))]).await, json!([]));
    assert_eq!(roles(&[("roles", json!({"doctor": true}))]).await, json!([]));
}

#[tokio::test]
async fn what_is_dangerous_asks_for_a_fresh_login_at_the_issuer() {
    let world = World::new().await;
    let mut body = generic();
    body["second_factor"] = json!("provider");
    world.provider(&world.clinic, &body).await;
    let key = json!({"description": "x", "roles": ["staff"]});
    let boss = |changes: &[(&str, Value)]| {
        let all: Vec<_> = [("roles", json!(["boss"]))].into_iter().chain(changes.iter().cloned()).collect();
        Caller { bearer: world.token(&all) }
    };
    let now = world.now();
    for (jti, proved) in [("a", json!(null)), ("b", json!(now - 3_600))] {
        let stale = boss(&[("auth_time", proved), ("jti", json!(jti))]);
        world.app.get(&stale, "/v1/api-keys").await.ok();
        world.app.post(&stale, "/v1/api-keys", key.clone()).await.refused(401, "auth.step_up_required");
        world.app.post(&stale, PROVIDERS, body.clone()).await.refused(401, "auth.step_up_required");
    }
    let fresh = boss(&[("auth_time", json!(now - 5)), ("jti", json!("c"))]);
    world.app.post(&fresh, "/v1/api-keys", key).await.created();
    assert!(!world.accepts(&boss(&[("auth_time", json!(now + 600))]).bearer).await, "asked in the future");
}

#[tokio::test]
async fn a_provider_ends_by_itself() {
    let world = World::new().await;
    let mut body = generic();
    body["ends_at"] = json!(chancery_domain::Timestamp::from_seconds(world.now() + 3_600).to_string());
    world.provider(&world.clinic, &body).await;
    let now = world.now();
    let token = world.token(&[("exp", json!(now + 7_200))]);
    assert!(world.accepts(&token).await);
    world.app.clock.advance_seconds(3_601);
    assert!(!world.accepts(&token).await);
}

#[tokio::test]
async fn what_is_wrong_with_a_provider_is_said_field_by_field() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let faults = async |changes: Value| {
        let mut body = generic();
        super::merge(&mut body, changes.as_object().unwrap());
        let reply = app.post(&clinic.admin, PROVIDERS, body).await;
        reply.refused(422, "request.invalid");
        reply.json()["errors"][0]["pointer"].as_str().unwrap().to_owned()
    };
    for issuer in [
        "id.example",
        "ftp://id.example",
        "https://",
        "https://user@id.example",
        "https://id.example/#a",
        "https://id.example/?a=b",
        "https://id.example\\@evil.test",
        "https://id.ex ample",
        "https://idé.example",
        "https://chancery.test",
    ] {
        assert_eq!(faults(json!({"issuer": issuer})).await, "/issuer", "{issuer}");
    }
    for (profile, issuer) in [
        ("auth0", "https://clinic.eu.auth0.com"),
        ("okta", "https://clinic.okta.com"),
        ("entra", "https://login.microsoftonline.com/common/v2.0"),
        ("cognito", "https://cognito-idp.eu-central-1.amazonaws.com/pool/"),
        ("keycloak", "https://sso.example"),
    ] {
        assert_eq!(faults(json!({"profile": profile, "issuer": issuer})).await, "/issuer", "{profile}");
    }
    for (changes, pointer) in [
        (json!({"name": " "}), "/name"),
        (json!({"audiences": []}), "/audiences"),
        (json!({"audiences": ["a", "a"]}), "/audiences/1"),
        (json!({"audiences": [""]}), "/audiences/0"),
        (json!({"algorithms": []}), "/algorithms"),
        (json!({"algorithms": ["HS256"]}), "/algorithms/0"),
        (json!({"algorithms": ["none"]}), "/algorithms/0"),
        (json!({"jwks_uri": "file:///etc/passwd"}), "/jwks_uri"),
        (json!({"tenant_claim": {"claim": "", "value": "x"}}), "/tenant_claim/claim"),
        (json!({"tenant_claim": {"claim": "x", "value": ""}}), "/tenant_claim/value"),
        (json!({"role_claim": ""}), "/role_claim"),
        (json!({"role_map": [{"value": "a", "role": "staff"}, {"value": "a", "role": "staff"}]}), "/role_map/1"),
        (json!({"leeway_seconds": 61}), "/leeway_seconds"),
        (json!({"max_age_seconds": 86_401}), "/max_age_seconds"),
        (json!({"ends_at": "2020-01-01T00:00:00Z"}), "/ends_at"),
        (json!({"colour": "red"}), "/colour"),
    ] {
        assert_eq!(faults(changes.clone()).await, pointer, "{changes}");
    }
    // In production nothing goes in the clear.
    let made = app.post(&clinic.admin, PROVIDERS, generic()).await.created();
    let mut moved = generic();
    moved["issuer"] = json!("https://elsewhere.example");
    let path = format!("{PROVIDERS}/{}", made["id"].as_str().unwrap());
    app.put(&clinic.admin, &path, moved).await.refused(422, "request.invalid");
}

#[tokio::test]
async fn a_provider_is_made_once_for_one_key() {
    let world = World::new().await;
    let send = async || {
        let mut request = request("POST", PROVIDERS, Some(generic()));
        request.headers_mut().insert("idempotency-key", "p-1".parse().unwrap());
        world.app.send(world.clinic.admin.sign(request)).await
    };
    let (first, second) = (send().await, send().await);
    assert_eq!(first.created(), second.created());
    assert_eq!(second.headers["idempotency-replayed"], "true");
}

#[tokio::test]
async fn a_test_says_why_and_shows_nobodys_data() {
    let world = World::new().await;
    let id = world.provider(&world.clinic, &generic()).await;
    let token =
        world.token(&[("email", json!("ann@clinic.example")), ("name", json!("Ann")), ("groups", json!(["a", "b"]))]);
    let verdict = world.verdict(&id, &format!("Bearer {token}\n")).await;
    assert_eq!((&verdict["accepted"], &verdict["roles"]), (&json!(true), &json!(["clinician"])));
    let checks: Vec<_> =
        verdict["steps"].as_array().unwrap().iter().map(|step| step["check"].as_str().unwrap()).collect();
    assert_eq!(
        checks,
        [
            "form",
            "header",
            "provider",
            "type",
            "algorithm",
            "issuer",
            "audience",
            "tenant",
            "key",
            "signature",
            "times",
            "kind",
            "subject",
            "roles"
        ]
    );
    let text = verdict.to_string();
    for hidden in ["ann@clinic.example", "Ann", token.as_str()] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    let claim = |name: &str| {
        let found = verdict["claims"].as_array().unwrap().iter().find(|claim| claim["name"] == name).unwrap();
        (found["value"].as_str().unwrap().to_owned(), found["shown"].as_bool().unwrap())
    };
    assert_eq!(claim("email"), ("a text of 18 characters".to_owned(), false));
    assert_eq!(claim("aud"), ("\"clinic-api\"".to_owned(), true));
    assert_eq!(claim("roles"), ("[\"doctor\"]".to_owned(), true), "what the role map is about");
    assert_eq!(claim("groups"), ("a list of 2".to_owned(), false));

    let detail = async |token: &str| {
        let verdict = world.verdict(&id, token).await;
        assert_eq!(verdict["accepted"], json!(false));
        verdict["steps"].as_array().unwrap().last().unwrap()["detail"].as_str().unwrap().to_owned()
    };
    assert!(detail("opaque").await.contains("no audience is asked for"));
    assert!(detail("a.b.c.d.e").await.contains("encrypted"));
    assert!(detail(&world.token(&[("iss", json!("https://id.clinic.example/"))])).await.contains("by a slash"));
    assert!(detail(&world.token(&[("aud", json!("x"))])).await.contains("clinic-api"));
    let tested = world.app.events(&world.clinic.auditor, "identity_provider.tested").await;
    assert_eq!(tested.len(), 5);
    world
        .app
        .post(&world.clinic.staff, &format!("{PROVIDERS}/{id}/test"), json!({"token": token}))
        .await
        .refused(403, "authz.denied");
    let other = world.app.clinic("theirs").await;
    world
        .app
        .post(&other.admin, &format!("{PROVIDERS}/{id}/test"), json!({"token": token}))
        .await
        .refused(404, "not_found");
}

async fn a_provider_that_is_deleted_meanwhile_is_not_put_back(backend: Backend) {
    let world = std::sync::Arc::new(World::on(backend).await);
    let id = world.provider(&world.clinic, &generic()).await;
    let tenant = world.clinic.id.parse().unwrap();
    let mut deleting = world.app.instance.store().begin(tenant).await.unwrap();
    deleting.hold_tenant().await.unwrap();
    deleting.delete_identity_provider(id.parse().unwrap()).await.unwrap();
    let replacing = {
        let (world, path) = (world.clone(), format!("{PROVIDERS}/{id}"));
        tokio::spawn(async move { world.app.put(&world.clinic.admin, &path, generic()).await })
    };
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    deleting.commit().await.unwrap();
    replacing.await.unwrap().refused(404, "not_found");
    assert_eq!(world.app.get(&world.clinic.admin, PROVIDERS).await.ok()["items"], json!([]));
    assert!(!world.accepts(&world.token(&[])).await);
}

/// They may keep what they claim, and claim no more beside each other.
async fn two_that_shared_an_issuer_before_can_still_be_narrowed(backend: Backend) {
    let world = World::on(backend).await;
    let app = &world.app;
    let id = world.provider(&world.clinic, &generic()).await;
    let theirs = app.clinic("theirs").await;
    let (ours, theirs) = (world.clinic.id.parse().unwrap(), theirs.id.parse().unwrap());
    let stored = app.instance.store().view(ours).await.unwrap();
    let mut stored = { stored }.identity_provider(id.parse().unwrap()).await.unwrap().unwrap();
    stored.id = chancery_testkit::samples::identity_provider(9).id;
    stored.audiences = vec!["their-api".to_owned()];
    let mut tx = app.instance.store().begin(theirs).await.unwrap();
    tx.put_identity_provider(&stored).await.unwrap();
    tx.commit().await.unwrap();
    let (path, mut spec) = (format!("{PROVIDERS}/{id}"), generic());
    spec["leeway_seconds"] = json!(10);
    app.put(&world.clinic.admin, &path, spec.clone()).await.ok();
    let mut more = spec["audiences"].as_array().unwrap().clone();
    more.push(json!("another-api"));
    spec["audiences"] = json!(more);
    app.put(&world.clinic.admin, &path, spec).await.refused(409, "taken");
}
