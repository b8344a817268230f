//! Passkeys, from outside: what works, and what attackers try.

use chancery_domain::passkeys::{Passkey, SignCountPolicy};
use chancery_testkit::authenticator::{Authenticator, BACKED_UP, BACKUP_ELIGIBLE, PRESENT, VERIFIED};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, ORIGIN, Reply, TestApp, relying_party};

const PASSWORD: &str = "Correct-Horse-7-Battery";
const REGISTER: &str = "/v1/me/webauthn/registrations";

backends! {
    a_passkey_is_registered_and_logs_in_with_and_without_a_password,
    an_administrator_registers_a_passkey_at_its_first_login,
    a_challenge_works_once,
    of_two_logins_at_once_with_one_answer_one_gets_in,
    a_sign_count_that_goes_back_is_an_event_and_refused,
    the_last_factor_stays_where_a_role_needs_one,
    whoever_has_passkeys_only_makes_new_recovery_codes,
    with_the_first_passkey_the_persons_other_sessions_end,
}

/// An app with a clinic, if this build has passkeys.
async fn with_passkeys(backend: Backend) -> Option<(TestApp, Clinic)> {
    let app = TestApp::on(backend).await;
    if app.instance.passkey_verifier().is_none() {
        let required = std::env::var_os("CHANCERY_TEST_REQUIRE_PASSKEYS").is_some();
        assert!(!required, "build the tests with the feature `passkeys` of chancery");
        return None;
    }
    let clinic = app.clinic("north").await;
    Some((app, clinic))
}

async fn on_sqlite() -> Option<(TestApp, Clinic)> {
    with_passkeys(Backend::sqlite().await).await
}

fn browser() -> Authenticator {
    Authenticator::new(ORIGIN, "clinic.test")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn token(answer: &Value) -> Caller {
    Caller { bearer: text(&answer["access_token"]) }
}

async fn user(app: &TestApp, clinic: &Clinic, name: &str, role: &str) -> String {
    let body = json!({"username": name, "email": format!("{name}@clinic.test"), "password": PASSWORD, "roles": [role]});
    text(&app.post(&clinic.admin, "/v1/users", body).await.created()["id"])
}

async fn log_in(app: &TestApp, clinic: &Clinic, name: &str) -> Value {
    let body = json!({"tenant": clinic.slug, "username": name, "password": PASSWORD});
    app.anonymous("POST", "/v1/auth/login", Some(body)).await.ok()
}

async fn options(app: &TestApp, caller: &Caller) -> Value {
    app.post(caller, &format!("{REGISTER}/options"), json!({})).await.ok()["options"].clone()
}

async fn register(app: &TestApp, caller: &Caller, credential: &Value) -> Reply {
    app.post(caller, &format!("{REGISTER}/verify"), json!({"name": "blue key", "credential": credential})).await
}

/// Somebody with a passkey, and the browser that has it.
async fn zoe(app: &TestApp, clinic: &Clinic) -> (String, Caller, Authenticator) {
    let id = user(app, clinic, "zoe", "clinician").await;
    let caller = token(&log_in(app, clinic, "zoe").await);
    let mut browser = browser();
    let credential = browser.create(&options(app, &caller).await);
    register(app, &caller, &credential).await.created();
    (id, caller, browser)
}

async fn first_options(app: &TestApp, clinic: &Clinic) -> Value {
    let body = json!({"tenant": clinic.slug});
    app.anonymous("POST", "/v1/auth/webauthn/options", Some(body)).await.ok()["options"].clone()
}

async fn first(app: &TestApp, clinic: &Clinic, credential: &Value) -> Reply {
    let body = json!({"tenant": clinic.slug, "credential": credential});
    app.anonymous("POST", "/v1/auth/webauthn/verify", Some(body)).await
}

/// The options of a second step.
async fn second_options(app: &TestApp, mfa: &Value) -> Value {
    let body = json!({"mfa_token": mfa});
    app.anonymous("POST", "/v1/auth/mfa/webauthn/options", Some(body)).await.ok()["options"].clone()
}

async fn second(app: &TestApp, mfa: &Value, credential: &Value) -> Reply {
    let body = json!({"mfa_token": mfa, "credential": credential});
    app.anonymous("POST", "/v1/auth/mfa/webauthn/verify", Some(body)).await
}

#[track_caller]
fn out(reply: &Reply) {
    reply.refused(401, "auth.login_failed");
}

/// With one bit of a member of the response changed.
fn flipped(credential: &Value, member: &str, at: usize) -> Value {
    let mut changed = credential.clone();
    let mut bytes = BASE64URL_NOPAD.decode(text(&credential["response"][member]).as_bytes()).unwrap();
    bytes[at] ^= 1;
    changed["response"][member] = json!(BASE64URL_NOPAD.encode(&bytes));
    changed
}

async fn a_passkey_is_registered_and_logs_in_with_and_without_a_password(backend: Backend) {
    let Some((app, clinic)) = with_passkeys(backend).await else { return };
    user(&app, &clinic, "zoe", "clinician").await;
    let zoe = token(&log_in(&app, &clinic, "zoe").await);
    let mut browser = browser();
    let asked = options(&app, &zoe).await;
    assert_eq!(asked["rp"], json!({"id": "clinic.test", "name": "Clinic"}));
    assert_eq!(asked["authenticatorSelection"]["residentKey"], "required");
    assert_eq!(asked["authenticatorSelection"]["userVerification"], "required");
    assert_eq!((&asked["attestation"], &asked["user"]["name"]), (&json!("none"), &json!("zoe")));
    let made = register(&app, &zoe, &browser.create(&asked)).await.created();
    assert_eq!((&made["name"], &made["backup_eligible"]), (&json!("blue key"), &json!(false)));
    assert_eq!((&made["transports"], &made["attested"]), (&json!(["usb"]), &json!(false)));
    assert_eq!(made["aaguid"], "a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5");
    assert_eq!(made["recovery_codes"].as_array().unwrap().len(), 10);
    let factors = app.get(&zoe, "/v1/me/mfa").await.ok();
    assert_eq!((&factors["passkeys"], &factors["recovery_codes_left"]), (&json!(1), &json!(10)));

    // From now on the password alone does not do.
    let asked = log_in(&app, &clinic, "zoe").await;
    assert_eq!(asked["methods"], json!(["passkey", "recovery_code"]));
    let mfa = &asked["mfa_token"];
    let to_sign = second_options(&app, mfa).await;
    assert_eq!(to_sign["allowCredentials"][0]["transports"], json!(["usb"]));
    let tokens = second(&app, mfa, &browser.get(&to_sign)).await.ok();
    let session = app.get(&token(&tokens), "/v1/auth/session").await.ok();
    assert_eq!((&session["username"], &session["amr"]), (&json!("zoe"), &json!(["pwd", "hwk", "user", "mfa"])));

    let tokens = first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await.ok();
    let session = app.get(&token(&tokens), "/v1/auth/session").await.ok();
    assert_eq!((&session["username"], &session["amr"]), (&json!("zoe"), &json!(["hwk", "user", "mfa"])));

    // A second one is no first factor; its authenticator is told of the first.
    let asked = options(&app, &zoe).await;
    assert_eq!(asked["excludeCredentials"].as_array().unwrap().len(), 1);
    let mut phone = self::browser();
    phone.flags |= BACKUP_ELIGIBLE | BACKED_UP;
    phone.counts = false;
    let made = register(&app, &zoe, &phone.create(&asked)).await.created();
    assert_eq!((&made["recovery_codes"], &made["backed_up"]), (&json!([]), &json!(true)));
    for _ in 0..2 {
        let tokens = first(&app, &clinic, &phone.get(&first_options(&app, &clinic).await)).await.ok();
        let session = app.get(&token(&tokens), "/v1/auth/session").await.ok();
        assert_eq!(session["amr"], json!(["swk", "user", "mfa"]));
    }
    for kind in ["factor.enrolled", "factor.passed", "user.challenged", "user.logged_in"] {
        assert!(!app.events(&clinic.auditor, kind).await.is_empty(), "{kind}");
    }
}

async fn an_administrator_registers_a_passkey_at_its_first_login(backend: Backend) {
    let Some((app, clinic)) = with_passkeys(backend).await else { return };
    user(&app, &clinic, "ada", "tenant_admin").await;
    let asked = log_in(&app, &clinic, "ada").await;
    assert_eq!(asked["methods"], json!(["enroll"]));
    let mfa = &asked["mfa_token"];
    let path = "/v1/auth/mfa/enroll/webauthn";
    let step = |tail: &str, body: Value| {
        let path = format!("{path}/{tail}");
        let app = &app;
        async move { app.anonymous("POST", &path, Some(body)).await }
    };
    let asked = step("options", json!({"mfa_token": mfa})).await.ok()["options"].clone();
    let mut browser = browser();
    let credential = browser.create(&asked);
    let body = json!({"mfa_token": mfa, "name": "desk", "credential": flipped(&credential, "clientDataJSON", 40)});
    out(&step("verify", body).await);
    let body = json!({"mfa_token": mfa, "name": " ", "credential": credential});
    step("verify", body).await.refused(422, "request.invalid");
    let body = json!({"mfa_token": mfa, "name": "desk", "credential": credential});
    let done = step("verify", body.clone()).await.ok();
    assert_eq!((done["recovery_codes"].as_array().unwrap().len(), &done["passkey"]["name"]), (10, &json!("desk")));
    let session = app.get(&token(&done), "/v1/auth/session").await.ok();
    assert_eq!(session["amr"], json!(["pwd", "hwk", "user", "mfa"]));
    out(&step("verify", body).await);
    out(&step("options", json!({"mfa_token": mfa})).await);
    // It satisfies what the role needs, with the password and without.
    let mfa = log_in(&app, &clinic, "ada").await["mfa_token"].clone();
    second(&app, &mfa, &browser.get(&second_options(&app, &mfa).await)).await.ok();
    let tokens = first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await.ok();
    let refresh = json!({"refresh_token": tokens["refresh_token"]});
    app.anonymous("POST", "/v1/auth/refresh", Some(refresh)).await.ok();
    for kind in ["factor.begun", "factor.enrolled"] {
        assert_eq!(app.events(&clinic.auditor, kind).await.len(), 1, "{kind}");
    }
}

async fn a_challenge_works_once(backend: Backend) {
    let Some((app, clinic)) = with_passkeys(backend).await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    let asked = first_options(&app, &clinic).await;
    let answer = browser.get(&asked);
    first(&app, &clinic, &answer).await.ok();
    out(&first(&app, &clinic, &answer).await);
    // Nor with a new signature.
    out(&first(&app, &clinic, &browser.get(&asked)).await);
    let asked = options(&app, &zoe).await;
    register(&app, &zoe, &self::browser().create(&asked)).await.created();
    register(&app, &zoe, &self::browser().create(&asked)).await.refused(422, "request.invalid");
    let mfa = log_in(&app, &clinic, "zoe").await["mfa_token"].clone();
    let asked = second_options(&app, &mfa).await;
    let id = browser.keys.keys().next().unwrap().clone();
    let answer = browser.get_with(&id, &asked);
    second(&app, &mfa, &answer).await.ok();
    out(&second(&app, &mfa, &answer).await);
}

async fn of_two_logins_at_once_with_one_answer_one_gets_in(backend: Backend) {
    let Some((app, clinic)) = with_passkeys(backend).await else { return };
    let (_, _, mut browser) = zoe(&app, &clinic).await;
    browser.counts = false;
    let answer = browser.get(&first_options(&app, &clinic).await);
    let (one, two) = tokio::join!(first(&app, &clinic, &answer), first(&app, &clinic, &answer));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "{} {}", one.text(), two.text());
}

async fn a_sign_count_that_goes_back_is_an_event_and_refused(backend: Backend) {
    let Some((app, clinic)) = with_passkeys(backend).await else { return };
    let (_, _, mut browser) = zoe(&app, &clinic).await;
    let id = browser.keys.keys().next().unwrap().clone();
    for _ in 0..2 {
        first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await.ok();
    }
    // Its copy counts on its own.
    for count in [1, 0] {
        browser.keys.get_mut(&id).unwrap().count = count;
        out(&first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await);
    }
    let events = app.events(&clinic.auditor, "passkey.sign_count_regressed").await;
    let details: Vec<Value> = events
        .iter()
        .map(|event| serde_json::from_str::<Value>(event["core"].as_str().unwrap()).unwrap()["detail"].clone())
        .collect();
    assert_eq!(details.len(), 2);
    assert!(details.iter().all(|detail| detail["stored"] == 2), "{details:?}");
    assert!(details.iter().any(|detail| detail["shown"] == 1), "{details:?}");

    // Where that is only told, it goes on.
    let lenient = app.for_party(relying_party().with_sign_counts(SignCountPolicy::Record)).await;
    browser.keys.get_mut(&id).unwrap().count = 0;
    first(&lenient, &clinic, &browser.get(&first_options(&lenient, &clinic).await)).await.ok();
    assert_eq!(app.events(&clinic.auditor, "passkey.sign_count_regressed").await.len(), 3);
}

async fn the_last_factor_stays_where_a_role_needs_one(backend: Backend) {
    let Some((app, clinic)) = with_passkeys(backend).await else { return };
    let (id, zoe, mut browser) = zoe(&app, &clinic).await;
    let first_one = app.get(&zoe, "/v1/me/webauthn/credentials").await.ok()["items"][0]["id"].clone();
    let path = |id: &Value| format!("/v1/me/webauthn/credentials/{}", text(id));
    let renamed = app.call(&zoe, "PATCH", &path(&first_one), Some(json!({"name": " red key "}))).await.ok();
    assert_eq!(app.events(&clinic.auditor, "passkey.renamed").await.len(), 1);
    assert_eq!(renamed["name"], "red key");
    let bad = app.call(&zoe, "PATCH", &path(&first_one), Some(json!({"name": "a\nb"}))).await;
    bad.refused(422, "request.invalid");
    app.call(&clinic.admin, "PATCH", &format!("/v1/users/{id}"), Some(json!({"roles": ["tenant_admin"]}))).await.ok();
    let tokens = first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await.ok();
    let zoe = token(&tokens);
    app.call(&zoe, "DELETE", &path(&first_one), None).await.refused(409, "state.conflict");
    let second_one = register(&app, &zoe, &self::browser().create(&options(&app, &zoe).await)).await.created();
    assert_eq!(app.call(&zoe, "DELETE", &path(&first_one), None).await.status, 204);
    app.call(&zoe, "DELETE", &path(&first_one), None).await.refused(404, "not_found");
    app.call(&zoe, "DELETE", &path(&second_one["id"]), None).await.refused(409, "state.conflict");
    // A credential that was removed logs nobody in.
    out(&first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await);
}

#[tokio::test]
async fn without_a_last_factor_there_are_no_recovery_codes() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, _) = zoe(&app, &clinic).await;
    let id = app.get(&zoe, "/v1/me/webauthn/credentials").await.ok()["items"][0]["id"].clone();
    assert_eq!(app.call(&zoe, "DELETE", &format!("/v1/me/webauthn/credentials/{}", text(&id)), None).await.status, 204);
    let factors = app.get(&zoe, "/v1/me/mfa").await.ok();
    assert_eq!((&factors["passkeys"], &factors["recovery_codes_left"]), (&json!(0), &json!(0)));
    assert_eq!(app.events(&clinic.auditor, "factor.removed").await.len(), 1);
    // Begun, and looked at twice: the list of passkeys, and what is enrolled.
    assert_eq!(app.events(&clinic.auditor, "factor.begun").await.len(), 1);
    assert_eq!(app.events(&clinic.auditor, "factor.read").await.len(), 2);
    assert!(log_in(&app, &clinic, "zoe").await["access_token"].is_string());
}

#[tokio::test]
async fn a_reset_by_an_administrator_takes_passkeys_too() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (id, _, mut browser) = zoe(&app, &clinic).await;
    let reset = app.post(&clinic.admin, &format!("/v1/users/{id}/reset-mfa"), json!({})).await.ok();
    assert_eq!(reset["removed"], true);
    out(&first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await);
    assert!(log_in(&app, &clinic, "zoe").await["access_token"].is_string());
}

#[tokio::test]
async fn a_user_who_is_out_of_use_has_no_passkey() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (id, _, mut browser) = zoe(&app, &clinic).await;
    app.post(&clinic.admin, &format!("/v1/users/{id}/disable"), json!({})).await.ok();
    out(&first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await);
    app.post(&clinic.admin, &format!("/v1/users/{id}/enable"), json!({})).await.ok();
    first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await.ok();
}

#[tokio::test]
async fn another_users_challenge_is_refused() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    user(&app, &clinic, "ben", "clinician").await;
    let ben = token(&log_in(&app, &clinic, "ben").await);
    // To register in the name of another, and in another session of the same user.
    let asked = options(&app, &zoe).await;
    register(&app, &ben, &self::browser().create(&asked)).await.refused(422, "request.invalid");
    let again = token(&first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await.ok());
    register(&app, &again, &self::browser().create(&asked)).await.refused(422, "request.invalid");
    register(&app, &zoe, &self::browser().create(&asked)).await.created();

    // To finish another's login, or another login of the same user.
    register(&app, &ben, &browser.create(&options(&app, &ben).await)).await.created();
    let (ours, theirs) = (log_in(&app, &clinic, "zoe").await, log_in(&app, &clinic, "ben").await);
    let (ours, theirs) = (&ours["mfa_token"], &theirs["mfa_token"]);
    let asked = second_options(&app, theirs).await;
    out(&second(&app, ours, &browser.get(&asked)).await);
    let zoes = browser.keys.keys().find(|id| asked["allowCredentials"][0]["id"] != **id).unwrap().clone();
    out(&second(&app, theirs, &browser.get_with(&zoes, &asked)).await);
    out(&second(&app, ours, &browser.get_with(&zoes, &asked)).await);
    second(&app, theirs, &browser.get(&asked)).await.ok();
}

#[tokio::test]
async fn a_challenge_of_another_ceremony_is_refused() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    let mfa = log_in(&app, &clinic, "zoe").await["mfa_token"].clone();
    let (to_step, to_login) = (second_options(&app, &mfa).await, first_options(&app, &clinic).await);
    let to_register = options(&app, &zoe).await;
    for asked in [&to_step, &to_register] {
        out(&first(&app, &clinic, &browser.get(&json!({"challenge": asked["challenge"]}))).await);
    }
    for asked in [&to_login, &to_register] {
        out(&second(&app, &mfa, &browser.get(&json!({"challenge": asked["challenge"]}))).await);
    }
    for asked in [&to_step, &to_login] {
        let mut other = to_register.clone();
        other["challenge"] = asked["challenge"].clone();
        register(&app, &zoe, &self::browser().create(&other)).await.refused(422, "request.invalid");
    }
    // One that nobody gave, and one that was changed.
    let mut bytes = BASE64URL_NOPAD.decode(text(&to_login["challenge"]).as_bytes()).unwrap();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        out(&first(&app, &clinic, &browser.get(&json!({"challenge": BASE64URL_NOPAD.encode(&bytes)}))).await);
        bytes[at] ^= 1;
    }
    for odd in ["", "AAAA", &"A".repeat(86)] {
        out(&first(&app, &clinic, &browser.get(&json!({"challenge": odd}))).await);
    }
    first(&app, &clinic, &browser.get(&to_login)).await.ok();
}

#[tokio::test]
async fn another_tenants_credential_is_refused() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, _, mut browser) = zoe(&app, &clinic).await;
    let south = app.clinic("south").await;
    // With a challenge of either tenant, by either name.
    let (ours, theirs) = (first_options(&app, &clinic).await, first_options(&app, &south).await);
    out(&first(&app, &south, &browser.get(&theirs)).await);
    out(&first(&app, &south, &browser.get(&ours)).await);
    out(&first(&app, &clinic, &browser.get(&theirs)).await);
    // The same credential of a user there says nothing here.
    let id = user(&app, &south, "eve", "clinician").await;
    let mut tx = app.instance.store().begin(clinic.id.parse().unwrap()).await.unwrap();
    let credential = BASE64URL_NOPAD.decode(browser.keys.keys().next().unwrap().as_bytes()).unwrap();
    let row = tx.passkey_by_credential(&credential).await.unwrap().unwrap();
    drop(tx);
    let mut tx = app.instance.store().begin(south.id.parse().unwrap()).await.unwrap();
    tx.insert_passkey(&Passkey { user: id.parse().unwrap(), ..row }).await.unwrap();
    tx.commit().await.unwrap();
    out(&first(&app, &south, &browser.get(&first_options(&app, &south).await)).await);
    first(&app, &clinic, &browser.get(&ours)).await.ok();
}

#[tokio::test]
async fn a_row_that_somebody_wrote_is_no_passkey() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (zoes, _, mut browser) = zoe(&app, &clinic).await;
    user(&app, &clinic, "eve", "clinician").await;
    let eve = token(&log_in(&app, &clinic, "eve").await);
    let mut attacker = self::browser();
    register(&app, &eve, &attacker.create(&options(&app, &eve).await)).await.created();
    let id = attacker.keys.keys().next().unwrap().clone();
    // Eve can write rows: hers becomes Zoe's.
    let tenant = clinic.id.parse().unwrap();
    let mut tx = app.instance.store().begin(tenant).await.unwrap();
    let row = tx.passkey_by_credential(&BASE64URL_NOPAD.decode(id.as_bytes()).unwrap()).await.unwrap().unwrap();
    tx.remove_passkey(row.user, row.id).await.unwrap();
    tx.insert_passkey(&Passkey { user: zoes.parse().unwrap(), ..row }).await.unwrap();
    tx.commit().await.unwrap();
    let mfa = log_in(&app, &clinic, "zoe").await["mfa_token"].clone();
    let asked = second_options(&app, &mfa).await;
    let mut answer = attacker.get_with(&id, &asked);
    answer["response"].as_object_mut().unwrap().remove("userHandle");
    out(&second(&app, &mfa, &answer).await);
    let zoes_own = browser.keys.keys().next().unwrap().clone();
    second(&app, &mfa, &browser.get_with(&zoes_own, &asked)).await.ok();
}

#[tokio::test]
async fn another_origin_is_refused() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    for origin in [
        "https://clinic.test",
        "https://evil.app.clinic.test",
        "https://app.clinic.test.evil.test",
        "https://app.clinic.test:8443",
        "https://app.clinic.test/",
        "https://app.clinic.test/login",
        "https://APP.clinic.test",
        "http://app.clinic.test",
        "null",
        "",
    ] {
        origin.clone_into(&mut browser.origin);
        out(&first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await);
        let made = browser.create(&options(&app, &zoe).await);
        browser.keys.remove(&text(&made["id"]));
        register(&app, &zoe, &made).await.refused(422, "request.invalid");
    }
    ORIGIN.clone_into(&mut browser.origin);
    first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await.ok();
}

#[tokio::test]
async fn a_page_in_anothers_frame_is_refused() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    browser.cross_origin = true;
    out(&first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await);
    let made = browser.create(&options(&app, &zoe).await);
    register(&app, &zoe, &made).await.refused(422, "request.invalid");
}

#[tokio::test]
async fn another_relying_party_is_refused() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    for party in ["app.clinic.test", "evil.test", "https://clinic.test", ""] {
        party.clone_into(&mut browser.party);
        out(&first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await);
        let made = browser.create(&options(&app, &zoe).await);
        browser.keys.remove(&text(&made["id"]));
        register(&app, &zoe, &made).await.refused(422, "request.invalid");
    }
}

#[tokio::test]
async fn a_user_who_was_not_verified_is_refused() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    for flags in [PRESENT, VERIFIED, 0] {
        browser.flags = flags;
        out(&first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await);
        let mfa = log_in(&app, &clinic, "zoe").await["mfa_token"].clone();
        out(&second(&app, &mfa, &browser.get(&second_options(&app, &mfa).await)).await);
        let made = browser.create(&options(&app, &zoe).await);
        browser.keys.remove(&text(&made["id"]));
        register(&app, &zoe, &made).await.refused(422, "request.invalid");
    }
    // One that suddenly may live on other devices is another one, and one that does without that it may is none.
    for flags in [BACKUP_ELIGIBLE, BACKED_UP, BACKUP_ELIGIBLE | BACKED_UP] {
        browser.flags = PRESENT | VERIFIED | flags;
        out(&first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await);
    }
}

#[tokio::test]
async fn a_flipped_bit_is_refused() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    let answer = browser.get(&first_options(&app, &clinic).await);
    for (member, places) in [
        ("signature", vec![0, 4, 9, 20, 40, 60, 66]),
        ("authenticatorData", vec![0, 31, 32, 33, 36]),
        ("clientDataJSON", vec![2, 30, 60]),
        ("userHandle", vec![0, 15, 16, 31]),
    ] {
        for at in places {
            out(&first(&app, &clinic, &flipped(&answer, member, at)).await);
        }
    }
    let mut other = answer.clone();
    other["rawId"] = json!(BASE64URL_NOPAD.encode(&[7; 32]));
    out(&first(&app, &clinic, &other).await);
    let mut other = answer.clone();
    other["response"].as_object_mut().unwrap().remove("userHandle");
    out(&first(&app, &clinic, &other).await);
    first(&app, &clinic, &answer).await.ok();

    let made = self::browser().create(&options(&app, &zoe).await);
    let mut other = made.clone();
    other["rawId"] = json!(BASE64URL_NOPAD.encode(&[7; 32]));
    register(&app, &zoe, &other).await.refused(422, "request.invalid");
    for (member, at) in [("attestationObject", 0), ("attestationObject", 40), ("clientDataJSON", 2)] {
        register(&app, &zoe, &flipped(&made, member, at)).await.refused(422, "request.invalid");
    }
    register(&app, &zoe, &made).await.created();
}

#[tokio::test]
async fn an_expired_challenge_is_refused() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    let (to_login, to_register) = (first_options(&app, &clinic).await, options(&app, &zoe).await);
    app.clock.advance_seconds(290);
    first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await.ok();
    let late = first_options(&app, &clinic).await;
    app.clock.advance_seconds(11);
    out(&first(&app, &clinic, &browser.get(&to_login)).await);
    register(&app, &zoe, &self::browser().create(&to_register)).await.refused(422, "request.invalid");
    first(&app, &clinic, &browser.get(&late)).await.ok();
}

#[tokio::test]
async fn a_credential_is_registered_once() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, _) = zoe(&app, &clinic).await;
    user(&app, &clinic, "eve", "clinician").await;
    let eve = token(&log_in(&app, &clinic, "eve").await);
    let mut browser = self::browser();
    let made = browser.create(&options(&app, &zoe).await);
    register(&app, &zoe, &made).await.created();
    // Without attestation nothing in it is signed but the browser's word: Eve claims Zoe's credential for herself.
    let asked = options(&app, &eve).await;
    let mut claimed = made;
    let seen = json!({"type": "webauthn.create", "challenge": asked["challenge"], "origin": ORIGIN});
    claimed["response"]["clientDataJSON"] = json!(BASE64URL_NOPAD.encode(seen.to_string().as_bytes()));
    register(&app, &eve, &claimed).await.refused(409, "state.conflict");
    let found = app.get(&eve, "/v1/me/webauthn/credentials").await.ok();
    assert_eq!(found["items"], json!([]));
}

#[tokio::test]
async fn nobody_is_told_whether_there_is_such_a_tenant() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let there = first_options(&app, &clinic).await;
    for tenant in ["nowhere", "ten_01J9Z3K0Q5V8WXYZ0123456789", "a\u{7}b", ""] {
        let body = json!({"tenant": tenant});
        let asked = app.anonymous("POST", "/v1/auth/webauthn/options", Some(body)).await.ok()["options"].clone();
        let length = |options: &Value| text(&options["challenge"]).len();
        assert_eq!(length(&asked), length(&there));
        let same = |options: &Value| json!([options["allowCredentials"], options["rpId"], options["timeout"]]);
        assert_eq!(same(&asked), same(&there));
    }
}

#[tokio::test]
async fn what_is_no_answer_of_a_browser_is_told_where() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    let answer = browser.get(&first_options(&app, &clinic).await);
    for (pointer, value) in [
        ("/type", json!("password")),
        ("/rawId", json!("")),
        ("/rawId", json!("=")),
        ("/response/signature", json!("")),
        ("/response/signature", json!("A".repeat(48_000))),
        ("/response/clientDataJSON", json!(7)),
    ] {
        let mut odd = answer.clone();
        *odd.pointer_mut(pointer).unwrap() = value;
        first(&app, &clinic, &odd).await.refused(422, "request.invalid");
    }
    for body in [json!({}), json!({"name": "x"}), json!({"credential": {}, "name": "x"})] {
        app.post(&zoe, &format!("{REGISTER}/verify"), body).await.refused(422, "request.invalid");
    }
}

#[tokio::test]
async fn a_passkey_is_a_fresh_proof_and_what_is_dangerous_asks_for_one() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    let again = async |caller: &Caller, browser: &mut Authenticator| {
        let path = "/v1/auth/reauthenticate/webauthn";
        let asked = app.post(caller, &format!("{path}/options"), json!({})).await.ok()["options"].clone();
        app.post(caller, &format!("{path}/verify"), json!({"credential": browser.get(&asked)})).await
    };
    app.clock.advance_seconds(601);
    let stale = app.post(&zoe, &format!("{REGISTER}/options"), json!({})).await;
    stale.refused(401, "auth.step_up_required");
    let id = app.get(&zoe, "/v1/me/webauthn/credentials").await.ok()["items"][0]["id"].clone();
    let path = format!("/v1/me/webauthn/credentials/{}", text(&id));
    app.call(&zoe, "DELETE", &path, None).await.refused(401, "auth.step_up_required");
    // The password alone does not do for who has a passkey.
    let alone = app.post(&zoe, "/v1/auth/reauthenticate", json!({"password": PASSWORD})).await;
    alone.refused(422, "request.invalid");
    let fresh = again(&zoe, &mut browser).await.ok();
    assert_eq!(fresh["amr"], json!(["hwk", "user", "mfa"]));
    assert_eq!(app.events(&clinic.auditor, "session.proved").await.len(), 1);
    options(&app, &token(&fresh)).await;
    assert_eq!(app.call(&token(&fresh), "DELETE", &path, None).await.status, 204);
    let path = "/v1/auth/reauthenticate/webauthn/options";
    app.post(&token(&fresh), path, json!({})).await.refused(409, "state.conflict");
}

#[tokio::test]
async fn a_wrong_proof_is_counted_and_ends_the_session() {
    let Some((app, clinic)) = on_sqlite().await else { return };
    let (_, zoe, mut browser) = zoe(&app, &clinic).await;
    let path = "/v1/auth/reauthenticate/webauthn";
    let other = token(&first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await.ok());
    let asked = app.post(&zoe, &format!("{path}/options"), json!({})).await.ok()["options"].clone();
    let answer = json!({"credential": browser.get(&asked)});
    // Not in another session of the same person, nor as a login.
    out(&app.post(&other, &format!("{path}/verify"), answer.clone()).await);
    out(&first(&app, &clinic, &answer["credential"]).await);
    for at in 0..4 {
        let wrong = json!({"credential": flipped(&answer["credential"], "signature", 40 + at)});
        out(&app.post(&zoe, &format!("{path}/verify"), wrong).await);
    }
    app.post(&zoe, &format!("{path}/verify"), answer.clone()).await.ok();
    for _ in 0..6 {
        app.post(&other, &format!("{path}/verify"), answer.clone()).await;
    }
    app.get(&other, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
}

/// Found by review: new recovery codes cost a one-time code, which whoever has passkeys only cannot have.
async fn whoever_has_passkeys_only_makes_new_recovery_codes(backend: Backend) {
    let Some((app, clinic)) = with_passkeys(backend).await else { return };
    user(&app, &clinic, "zoe", "clinician").await;
    let zoe = token(&log_in(&app, &clinic, "zoe").await);
    let path = "/v1/me/recovery-codes/regenerate";
    app.post(&zoe, path, json!({})).await.refused(409, "state.conflict");
    let mut browser = browser();
    let made = register(&app, &zoe, &browser.create(&options(&app, &zoe).await)).await.created();
    let old = text(&made["recovery_codes"][0]);
    // A code that nobody can have; and a session that a password alone began.
    app.post(&zoe, path, json!({"code": "123456"})).await.refused(409, "state.conflict");
    app.post(&zoe, path, json!({})).await.refused(401, "auth.step_up_required");
    let again = "/v1/auth/reauthenticate/webauthn";
    let asked = app.post(&zoe, &format!("{again}/options"), json!({})).await.ok()["options"].clone();
    let proof = json!({"credential": browser.get(&asked)});
    let zoe = token(&app.post(&zoe, &format!("{again}/verify"), proof).await.ok());
    let fresh = app.call(&zoe, "POST", path, None).await.ok();
    assert_eq!(fresh["recovery_codes"].as_array().unwrap().len(), 10);
    let recover = async |code: &str| {
        let mfa = log_in(&app, &clinic, "zoe").await["mfa_token"].clone();
        app.anonymous("POST", "/v1/auth/mfa/recovery-code", Some(json!({"mfa_token": mfa, "code": code}))).await
    };
    out(&recover(&old).await);
    let recovered = token(&recover(&text(&fresh["recovery_codes"][0])).await.ok());
    // Whoever came in by a code makes no others of it.
    app.post(&recovered, path, json!({})).await.refused(401, "auth.step_up_required");
    let tokens = first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await.ok();
    app.post(&token(&tokens), path, json!({})).await.ok();
    app.clock.advance_seconds(601);
    app.post(&token(&tokens), path, json!({})).await.refused(401, "auth.step_up_required");
    assert_eq!(app.events(&clinic.auditor, "factor.recovery_codes_made").await.len(), 2);
}

async fn with_the_first_passkey_the_persons_other_sessions_end(backend: Backend) {
    let Some((app, clinic)) = with_passkeys(backend).await else { return };
    user(&app, &clinic, "zoe", "clinician").await;
    let (here, there) = (log_in(&app, &clinic, "zoe").await, log_in(&app, &clinic, "zoe").await);
    let zoe = token(&here);
    let mut browser = browser();
    register(&app, &zoe, &browser.create(&options(&app, &zoe).await)).await.created();
    assert!(!crate::sessions::works(&app, &there).await);
    assert!(crate::sessions::works(&app, &here).await);
    // With the second one nothing ends: all that goes on now has shown the first.
    let tokens = first(&app, &clinic, &browser.get(&first_options(&app, &clinic).await)).await.ok();
    register(&app, &zoe, &self::browser().create(&options(&app, &zoe).await)).await.created();
    assert!(crate::sessions::works(&app, &tokens).await);
    assert!(crate::sessions::works(&app, &here).await);
}
