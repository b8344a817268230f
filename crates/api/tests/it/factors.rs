//! Second factors, from outside.

use chancery_crypto::{
    Secret,
    totp::{TotpKey, step_of},
};
use chancery_domain::{
    Clock as _,
    access::{
        Call, RequestInfo,
        authenticate::{Presented, authenticate},
    },
    census::{Unmoved, move_own},
    factors::{self, FactorError},
    ids::RequestId,
    instance::Failure,
    passkeys::Passkey,
    sessions::{self, Amr, Authentication},
    store::StoreError,
};
use chancery_testkit::samples;
use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};

use crate::app::{Backend, Caller, Clinic, Reply, TestApp};

const PASSWORD: &str = "Correct-Horse-7-Battery";

backends! {
    an_administrator_enrols_at_its_first_login,
    a_code_works_once,
    a_factor_that_is_being_added_does_not_outlive_a_reset,
    a_login_that_looked_before_a_factor_was_there_opens_nothing,
    a_session_that_ended_meanwhile_adds_no_factor,
    a_login_from_before_the_first_factor_adds_no_other,
    a_recovery_code_works_once,
    of_two_at_once_with_one_code_one_gets_in,
    whoever_holds_a_part_of_an_administrators_role_keeps_a_last_factor,
    with_the_first_factor_the_persons_other_sessions_end,
}

/// Somebody with an authenticator.
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) name: &'static str,
    pub(crate) key: TotpKey,
    pub(crate) codes: Vec<String>,
    pub(crate) caller: Caller,
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub(crate) fn token(answer: &Value) -> Caller {
    Caller { bearer: text(&answer["access_token"]) }
}

pub(crate) async fn user(app: &TestApp, clinic: &Clinic, name: &str, role: &str) -> String {
    let body = json!({"username": name, "email": format!("{name}@clinic.test"), "password": PASSWORD, "roles": [role]});
    text(&app.post(&clinic.admin, "/v1/users", body).await.created()["id"])
}

pub(crate) async fn log_in(app: &TestApp, clinic: &Clinic, name: &str) -> Value {
    let body = json!({"tenant": clinic.slug, "username": name, "password": PASSWORD});
    app.anonymous("POST", "/v1/auth/login", Some(body)).await.ok()
}

/// A step of a login: `what` is the end of its path.
pub(crate) async fn step(app: &TestApp, what: &str, token: &Value, code: &str) -> Reply {
    let body = json!({"mfa_token": token, "code": code});
    app.anonymous("POST", &format!("/v1/auth/mfa/{what}"), Some(body)).await
}

pub(crate) fn key(enrolment: &Value) -> TotpKey {
    let bytes = BASE32_NOPAD.decode(enrolment["secret"].as_str().unwrap().as_bytes()).unwrap();
    TotpKey::from_slice(&bytes).unwrap()
}

pub(crate) fn now(app: &TestApp, key: &TotpKey) -> String {
    key.code(step_of(app.clock.now().as_seconds())).expose().clone()
}

/// One that no step near this moment has.
pub(crate) fn wrong(app: &TestApp, key: &TotpKey) -> String {
    let step = step_of(app.clock.now().as_seconds());
    let near: Vec<String> = (step - 3..step + 3).map(|step| key.code(step).expose().clone()).collect();
    (0..10).map(|n| format!("{n:06}")).find(|code| !near.contains(code)).unwrap()
}

/// Somebody who enrolled at the first login, and is in the next step of its authenticator.
async fn enrolled(app: &TestApp, clinic: &Clinic, name: &'static str) -> Person {
    enrolled_as(app, clinic, name, "tenant_admin").await
}

/// The same, in a role that needs a second factor.
pub(crate) async fn enrolled_as(app: &TestApp, clinic: &Clinic, name: &'static str, role: &str) -> Person {
    enrolled_by(app, (&clinic.admin, clinic.slug.as_str()), name, &[role]).await
}

/// The same, made by this administrator of this tenant.
pub(crate) async fn enrolled_by(
    app: &TestApp,
    (admin, tenant): (&Caller, &str),
    name: &'static str,
    roles: &[&str],
) -> Person {
    let body = json!({"username": name, "email": format!("{name}@clinic.test"), "password": PASSWORD, "roles": roles});
    let id = text(&app.post(admin, "/v1/users", body).await.created()["id"]);
    let body = json!({"tenant": tenant, "username": name, "password": PASSWORD});
    let asked = app.anonymous("POST", "/v1/auth/login", Some(body)).await.ok();
    assert_eq!((&asked["mfa_required"], &asked["methods"]), (&json!(true), &json!(["enroll"])));
    assert!(asked.get("access_token").is_none());
    let begun = json!({"mfa_token": asked["mfa_token"]});
    let begun = app.anonymous("POST", "/v1/auth/mfa/enroll", Some(begun)).await.ok();
    let key = key(&begun);
    let done = step(app, "enroll/confirm", &asked["mfa_token"], &now(app, &key)).await.ok();
    let codes = done["recovery_codes"].as_array().unwrap().iter().map(text).collect();
    app.clock.advance_seconds(30);
    Person { id, name, key, codes, caller: token(&done) }
}

async fn an_administrator_enrols_at_its_first_login(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "ada", "tenant_admin").await;
    let asked = log_in(&app, &clinic, "ada").await;
    let mfa = &asked["mfa_token"];
    assert_eq!(asked["methods"], json!(["enroll"]));
    step(&app, "totp", mfa, "123456").await.refused(401, "auth.login_failed");
    step(&app, "enroll/confirm", mfa, "123456").await.refused(401, "auth.login_failed");

    let begun = app.anonymous("POST", "/v1/auth/mfa/enroll", Some(json!({"mfa_token": mfa}))).await.ok();
    let key = key(&begun);
    let uri = begun["otpauth_uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/chancery.test:ada%40north?secret="), "{uri}");
    assert!(uri.contains(begun["secret"].as_str().unwrap()));
    assert!(begun["qr_svg"].as_str().unwrap().starts_with("<svg "));
    step(&app, "enroll/confirm", mfa, &wrong(&app, &key)).await.refused(401, "auth.login_failed");
    let done = step(&app, "enroll/confirm", mfa, &now(&app, &key)).await.ok();
    assert_eq!(done["recovery_codes"].as_array().unwrap().len(), 10);
    let session = app.get(&token(&done), "/v1/auth/session").await.ok();
    assert_eq!((&session["username"], &session["amr"]), (&json!("ada"), &json!(["pwd", "otp", "mfa"])));
    // The token is used up, and there is nothing left to enrol.
    step(&app, "enroll/confirm", mfa, &now(&app, &key)).await.refused(401, "auth.login_failed");
    let again = app.anonymous("POST", "/v1/auth/mfa/enroll", Some(json!({"mfa_token": mfa}))).await;
    again.refused(401, "auth.login_failed");

    app.clock.advance_seconds(30);
    let asked = log_in(&app, &clinic, "ada").await;
    assert_eq!(asked["methods"], json!(["totp", "recovery_code"]));
    let begun = app.anonymous("POST", "/v1/auth/mfa/enroll", Some(json!({"mfa_token": asked["mfa_token"]}))).await;
    begun.refused(401, "auth.login_failed");
    let tokens = step(&app, "totp", &asked["mfa_token"], &now(&app, &key)).await.ok();
    let factors = app.get(&token(&tokens), "/v1/me/mfa").await.ok();
    assert_eq!((&factors["totp"], &factors["required"]), (&json!(true), &json!(true)));
    assert_eq!(factors["recovery_codes_left"], 10);
    for kind in
        ["user.challenged", "factor.begun", "factor.enrolled", "factor.passed", "factor.failed", "user.logged_in"]
    {
        assert!(!app.events(&clinic.auditor, kind).await.is_empty(), "{kind}");
    }
}

async fn a_login_from_before_the_first_factor_adds_no_other(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "ada", "tenant_admin").await;
    // Two know the password; one of them enrols.
    let (thief, ada) = (log_in(&app, &clinic, "ada").await, log_in(&app, &clinic, "ada").await);
    let begin = async |asked: &Value| {
        let body = json!({"mfa_token": asked["mfa_token"]});
        app.anonymous("POST", "/v1/auth/mfa/enroll", Some(body)).await
    };
    let key = key(&begin(&ada).await.ok());
    step(&app, "enroll/confirm", &ada["mfa_token"], &now(&app, &key)).await.ok();
    begin(&thief).await.refused(401, "auth.login_failed");
    step(&app, "enroll/confirm", &thief["mfa_token"], "123456").await.refused(401, "auth.login_failed");
}

async fn a_code_works_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let ada = enrolled(&app, &clinic, "ada").await;
    let code = now(&app, &ada.key);
    let mfa = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    step(&app, "totp", &mfa, &format!("{} {}", &code[..3], &code[3..])).await.ok();
    step(&app, "totp", &mfa, &code).await.refused(401, "auth.login_failed");
    let mfa = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    step(&app, "totp", &mfa, &code).await.refused(401, "auth.login_failed");
    app.clock.advance_seconds(30);
    step(&app, "totp", &mfa, &code).await.refused(401, "auth.login_failed");
    step(&app, "totp", &mfa, &now(&app, &ada.key)).await.ok();
}

async fn a_recovery_code_works_once(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let ada = enrolled(&app, &clinic, "ada").await;
    let mfa = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    step(&app, "recovery-code", &mfa, "00000-00000").await.refused(401, "auth.login_failed");
    let typed = ada.codes[3].to_lowercase().replace('-', " ");
    let tokens = step(&app, "recovery-code", &mfa, &typed).await.ok();
    assert_eq!(app.get(&token(&tokens), "/v1/me/mfa").await.ok()["recovery_codes_left"], 9);
    let mfa = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    step(&app, "recovery-code", &mfa, &ada.codes[3]).await.refused(401, "auth.login_failed");

    // New ones cost a one-time code, and end those before.
    let path = "/v1/me/recovery-codes/regenerate";
    app.post(&ada.caller, path, json!({"code": wrong(&app, &ada.key)})).await.refused(422, "request.invalid");
    // Without one only whoever has shown a passkey.
    app.post(&ada.caller, path, json!({})).await.refused(422, "request.invalid");
    let fresh = app.post(&ada.caller, path, json!({"code": now(&app, &ada.key)})).await.ok();
    let fresh: Vec<String> = fresh["recovery_codes"].as_array().unwrap().iter().map(text).collect();
    assert!(fresh.len() == 10 && !fresh.contains(&ada.codes[4]));
    step(&app, "recovery-code", &mfa, &ada.codes[4]).await.refused(401, "auth.login_failed");
    step(&app, "recovery-code", &mfa, &fresh[0]).await.ok();
}

async fn of_two_at_once_with_one_code_one_gets_in(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let ada = enrolled(&app, &clinic, "ada").await;
    let first = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    let second = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    let code = now(&app, &ada.key);
    let (one, two) = tokio::join!(step(&app, "totp", &first, &code), step(&app, "totp", &second, &code));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "{} {}", one.text(), two.text());
    let recovery = &ada.codes[0];
    let first = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    let second = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    let (one, two) =
        tokio::join!(step(&app, "recovery-code", &first, recovery), step(&app, "recovery-code", &second, recovery));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "{} {}", one.text(), two.text());
}

#[tokio::test]
async fn five_tries_end_a_token_and_pause_the_factor() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let ada = enrolled(&app, &clinic, "ada").await;
    let mfa = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    for _ in 0..5 {
        step(&app, "totp", &mfa, &wrong(&app, &ada.key)).await.refused(401, "auth.login_failed");
    }
    app.clock.advance_seconds(31);
    step(&app, "totp", &mfa, &now(&app, &ada.key)).await.refused(401, "auth.login_failed");

    // A fresh token does not give more tries in the same half minute.
    let mfa = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    step(&app, "totp", &mfa, &wrong(&app, &ada.key)).await.refused(401, "auth.login_failed");
    step(&app, "totp", &mfa, &now(&app, &ada.key)).await.refused(401, "auth.login_failed");
    app.clock.advance_seconds(61);
    step(&app, "totp", &mfa, &now(&app, &ada.key)).await.ok();
}

#[tokio::test]
async fn more_tokens_give_no_more_tries() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let ada = enrolled(&app, &clinic, "ada").await;
    let guess = wrong(&app, &ada.key);
    for _ in 0..4 {
        let mfa = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
        for _ in 0..3 {
            step(&app, "totp", &mfa, &guess).await.refused(401, "auth.login_failed");
        }
    }
    let mut view = app.instance.store().view(clinic.id.parse().unwrap()).await.unwrap();
    let totp = view.totp(ada.id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(totp.failures, 5, "the others came while the factor paused");
}

#[tokio::test]
async fn five_recovery_codes_end_a_token_too() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let ada = enrolled(&app, &clinic, "ada").await;
    let mfa = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    for _ in 0..5 {
        step(&app, "recovery-code", &mfa, "00000-00000").await.refused(401, "auth.login_failed");
    }
    step(&app, "recovery-code", &mfa, &ada.codes[0]).await.refused(401, "auth.login_failed");
    step(&app, "totp", &mfa, &now(&app, &ada.key)).await.refused(401, "auth.login_failed");
}

#[tokio::test]
async fn a_token_of_a_login_is_good_for_five_minutes_and_nothing_else() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let ada = enrolled(&app, &clinic, "ada").await;
    let mfa = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    app.get(&Caller { bearer: text(&mfa) }, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    app.clock.advance_seconds(300);
    step(&app, "totp", &mfa, &now(&app, &ada.key)).await.refused(401, "auth.login_failed");
    for odd in ["", "cho_", "cho_dev_AAAA", "x"] {
        step(&app, "totp", &json!(odd), "123456").await.refused(401, "auth.login_failed");
    }
}

#[tokio::test]
async fn whoever_enrols_is_asked_from_then_on_until_it_removes_it() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    let zoe = token(&log_in(&app, &clinic, "zoe").await);
    assert_eq!(app.get(&zoe, "/v1/me/mfa").await.ok()["totp"], false);
    app.post(&zoe, "/v1/me/mfa/totp/confirm", json!({"code": "123456"})).await.refused(409, "state.conflict");
    let first = key(&app.post(&zoe, "/v1/me/mfa/totp", json!({})).await.ok());
    let key = key(&app.post(&zoe, "/v1/me/mfa/totp", json!({})).await.ok());
    assert!(log_in(&app, &clinic, "zoe").await["access_token"].is_string(), "nothing is confirmed yet");
    let confirm = "/v1/me/mfa/totp/confirm";
    app.post(&zoe, confirm, json!({"code": now(&app, &first)})).await.refused(422, "request.invalid");
    app.post(&zoe, confirm, json!({"code": now(&app, &key)})).await.ok();
    app.post(&zoe, "/v1/me/mfa/totp", json!({})).await.refused(409, "state.conflict");
    let asked = log_in(&app, &clinic, "zoe").await;
    assert_eq!(asked["methods"], json!(["totp", "recovery_code"]));

    app.clock.advance_seconds(30);
    let remove = "/v1/me/mfa/totp/remove";
    app.post(&zoe, remove, json!({"code": wrong(&app, &key)})).await.refused(422, "request.invalid");
    assert_eq!(app.post(&zoe, remove, json!({"code": now(&app, &key)})).await.status, 204);
    assert!(log_in(&app, &clinic, "zoe").await["access_token"].is_string());

    let ada = enrolled(&app, &clinic, "ada").await;
    app.post(&ada.caller, remove, json!({"code": now(&app, &ada.key)})).await.refused(409, "state.conflict");
}

#[tokio::test]
async fn an_administrator_resets_a_lost_factor_and_not_its_own() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let (ada, bob) = (enrolled(&app, &clinic, "ada").await, enrolled(&app, &clinic, "bob").await);
    let mfa = log_in(&app, &clinic, bob.name).await["mfa_token"].clone();
    let reset = |id: &str| format!("/v1/users/{id}/reset-mfa");
    app.post(&ada.caller, &reset(&ada.id), json!({})).await.refused(409, "state.conflict");
    app.get(&bob.caller, "/v1/auth/session").await.ok();
    assert_eq!(app.post(&ada.caller, &reset(&bob.id), json!({})).await.ok()["removed"], true);
    app.get(&bob.caller, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    step(&app, "totp", &mfa, &now(&app, &bob.key)).await.refused(401, "auth.login_failed");
    step(&app, "recovery-code", &mfa, &bob.codes[0]).await.refused(401, "auth.login_failed");
    assert_eq!(log_in(&app, &clinic, bob.name).await["methods"], json!(["enroll"]));
    assert_eq!(app.post(&ada.caller, &reset(&bob.id), json!({})).await.ok()["removed"], false);
    let events = app.events(&clinic.auditor, "factor.reset").await;
    let actors: Vec<String> = events.iter().map(|event| text(&event["core"])).collect();
    assert!(actors.iter().all(|core| core.contains(&ada.id) && core.contains(&bob.id)), "{actors:?}");
}

#[tokio::test]
async fn a_secret_moves_to_the_newest_data_key_and_works_on() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let ada = enrolled(&app, &clinic, "ada").await;
    let key = app.get(&clinic.officer, "/v1/keys?managed=data").await.ok();
    let path = format!("/v1/keys/{}/rotate", key["items"][0]["id"].as_str().unwrap());
    assert_eq!(app.post(&clinic.officer, &path, json!({})).await.status.as_u16() / 100, 2);
    let moved = move_own(&app.instance, clinic.id.parse().unwrap(), &mut Unmoved::default()).await.unwrap();
    assert!(moved >= 2, "an e-mail and a secret: {moved}");
    app.clock.advance_seconds(30);
    let mfa = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    step(&app, "totp", &mfa, &now(&app, &ada.key)).await.ok();
}

#[tokio::test]
async fn the_last_administrator_stays_and_nobody_takes_their_own_account_out_of_use() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let ada = enrolled(&app, &clinic, "ada").await;
    let keys = app.get(&ada.caller, "/v1/api-keys").await.ok();
    for key in keys["items"].as_array().unwrap().iter().filter(|key| key["roles"] == json!(["tenant_admin"])) {
        app.post(&ada.caller, &format!("/v1/api-keys/{}/revoke", key["id"].as_str().unwrap()), json!({})).await.ok();
    }
    let own = format!("/v1/users/{}", ada.id);
    let demote = || Some(json!({"roles": ["staff"]}));
    app.call(&ada.caller, "PATCH", &own, demote()).await.refused(409, "state.conflict");
    for verb in ["disable", "lock", "force-password-reset"] {
        app.post(&ada.caller, &format!("{own}/{verb}"), json!({})).await.refused(409, "state.conflict");
    }
    app.call(&ada.caller, "DELETE", &own, None).await.refused(409, "state.conflict");
    let bob = json!({"username": "bob", "email": "bob@x.test", "roles": ["tenant_admin"]});
    app.post(&ada.caller, "/v1/users", bob).await.created();
    app.call(&ada.caller, "PATCH", &own, demote()).await.ok();
    app.get(&ada.caller, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
}

/// Found by attackers: a role of the tenant's own that is a part of an administrator's was asked for at the login, and not where the
/// last factor is removed.
async fn whoever_holds_a_part_of_an_administrators_role_keeps_a_last_factor(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let id = user(&app, &clinic, "nia", "staff").await;
    let part = json!({"base": "tenant_admin", "permissions": ["users.read"]});
    app.put(&clinic.admin, "/v1/roles/front-desk", part).await.ok();
    let holder = format!("/v1/roles/front-desk/holders/{id}");
    assert_eq!(app.call(&clinic.admin, "PUT", &holder, None).await.status, 204);
    let asked = log_in(&app, &clinic, "nia").await;
    assert_eq!(asked["methods"], json!(["enroll"]));
    let begun = json!({"mfa_token": asked["mfa_token"]});
    let key = key(&app.anonymous("POST", "/v1/auth/mfa/enroll", Some(begun)).await.ok());
    let nia = token(&step(&app, "enroll/confirm", &asked["mfa_token"], &now(&app, &key)).await.ok());
    assert_eq!(app.get(&nia, "/v1/me/mfa").await.ok()["required"], true);
    app.clock.advance_seconds(30);
    let remove = "/v1/me/mfa/totp/remove";
    app.post(&nia, remove, json!({"code": now(&app, &key)})).await.refused(409, "state.conflict");
    // Without that part it is hers to remove.
    assert_eq!(app.call(&clinic.admin, "DELETE", &holder, None).await.status, 204);
    assert_eq!(app.get(&nia, "/v1/me/mfa").await.ok()["required"], false);
    assert_eq!(app.post(&nia, remove, json!({"code": now(&app, &key)})).await.status, 204);
}

/// Found by attackers: a session that was stolen before its person enrolled went on without a factor.
async fn with_the_first_factor_the_persons_other_sessions_end(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    user(&app, &clinic, "ben", "clinician").await;
    let (here, there) = (log_in(&app, &clinic, "zoe").await, log_in(&app, &clinic, "zoe").await);
    let ben = log_in(&app, &clinic, "ben").await;
    let zoe = token(&here);
    let key = key(&app.post(&zoe, "/v1/me/mfa/totp", json!({})).await.ok());
    assert!(crate::sessions::works(&app, &there).await, "nothing is confirmed yet");
    app.post(&zoe, "/v1/me/mfa/totp/confirm", json!({"code": now(&app, &key)})).await.ok();
    assert!(!crate::sessions::works(&app, &there).await);
    crate::sessions::refresh(&app, &there).await.refused(401, "auth.credential_invalid");
    assert!(crate::sessions::works(&app, &here).await);
    crate::sessions::refresh(&app, &here).await.ok();
    assert!(crate::sessions::works(&app, &ben).await);
}

/// The administrator's reset waits for whoever is adding a factor, and takes that one too.
async fn a_factor_that_is_being_added_does_not_outlive_a_reset(backend: Backend) {
    let app = std::sync::Arc::new(TestApp::on(backend).await);
    let clinic = app.clinic("north").await;
    let id = user(&app, &clinic, "zoe", "staff").await;
    let tenant = clinic.id.parse().unwrap();
    let zoe = id.parse().unwrap();
    let mut adding = app.instance.store().begin(tenant).await.unwrap();
    adding.hold_user(zoe).await.unwrap().unwrap();
    let passkey = Passkey { user: zoe, ..samples::passkey(1) };
    adding.insert_passkey(&passkey).await.unwrap();
    let resetting = {
        let (app, admin, path) = (app.clone(), clinic.admin.bearer.clone(), format!("/v1/users/{id}/reset-mfa"));
        tokio::spawn(async move { app.post(&Caller { bearer: admin }, &path, json!({})).await })
    };
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    adding.commit().await.unwrap();
    assert_eq!(resetting.await.unwrap().ok()["removed"], true);
    assert_eq!(app.instance.store().fresh_view(tenant).await.unwrap().passkeys(zoe).await.unwrap(), []);
}

/// Its right password was checked when there was no second factor yet; its session would lack one for good.
async fn a_login_that_looked_before_a_factor_was_there_opens_nothing(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let id = user(&app, &clinic, "zoe", "staff").await;
    let (tenant, zoe) = (clinic.id.parse().unwrap(), id.parse().unwrap());
    let user = app.instance.store().view(tenant).await.unwrap().user(zoe).await.unwrap().unwrap();
    let person = sessions::Person { tenant, slug: &clinic.slug, user: &user };
    let request = a_request();
    let by_password = || Authentication { methods: vec![Amr::Password], at: app.clock.now() };
    let open = || sessions::open(&app.instance, &request, person, by_password(), None);
    open().await.unwrap();
    let mut adding = app.instance.store().begin(tenant).await.unwrap();
    let passkey = Passkey { user: zoe, ..samples::passkey(1) };
    adding.insert_passkey(&passkey).await.unwrap();
    adding.commit().await.unwrap();
    let refused = open().await.unwrap_err();
    assert!(matches!(refused, Failure::Store(StoreError::Changed("user"))), "{refused:?}");
    let sessions = app.instance.store().fresh_view(tenant).await.unwrap().active_sessions(zoe).await.unwrap();
    assert_eq!(sessions.len(), 1);
}

/// Its request was past authentication, or another node remembered it for a moment.
async fn a_session_that_ended_meanwhile_adds_no_factor(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let id = user(&app, &clinic, "zoe", "staff").await;
    let zoe = token(&log_in(&app, &clinic, "zoe").await);
    let key = key(&app.post(&zoe, "/v1/me/mfa/totp", json!({})).await.ok());
    let presented = Presented::AccessToken(Secret::new(zoe.bearer.clone()));
    let caller = authenticate(&app.instance, &presented, &a_request()).await.unwrap();
    let call = Call { caller, request: a_request(), once: None };
    app.post(&zoe, "/v1/auth/logout", json!({})).await;
    let refused = factors::confirm(&app.instance, &call, &now(&app, &key)).await;
    assert!(matches!(refused, Err(FactorError::NoSession)), "{refused:?}");
    let tenant = clinic.id.parse().unwrap();
    let standing = app.instance.store().fresh_view(tenant).await.unwrap().totp(id.parse().unwrap()).await.unwrap();
    assert_eq!(standing.unwrap().confirmed_at, None);
}

fn a_request() -> RequestInfo {
    let id = RequestId::from_bytes([1; 16]);
    RequestInfo { id, address: None, user_agent: None, key: None, route: "/v1/auth/login", method: "POST" }
}
