//! What is dangerous asks a person who logged in long ago to prove again who it is.

use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, TestApp},
    factors::{enrolled_as, log_in, now, step, token},
};

backends! {
    a_session_of_ten_minutes_does_nothing_dangerous,
    a_proof_makes_the_session_fresh_and_lasts_through_a_refresh,
    five_wrong_proofs_end_the_session,
}

const PASSWORD: &str = "Correct-Horse-7-Battery";

const USER: &str = "/v1/users/usr_01J9Z3K0Q5V8WXYZ0123456789";
const API_KEY: &str = "/v1/api-keys/apk_01J9Z3K0Q5V8WXYZ0123456789";
const KEY: &str = "/v1/keys/key_01J9Z3K0Q5V8WXYZ0123456789";
const APPROVAL: &str = "/v1/approvals/apv_01J9Z3K0Q5V8WXYZ0123456789";

/// What a tenant's administrator does that gives rights or cannot be undone. Whether the thing is there does not matter: the
/// question comes before it is looked up.
fn of_an_administrator() -> Vec<(&'static str, String, Value)> {
    let user = json!({"username": "bob", "email": "bob@x.test", "roles": ["staff"]});
    let key = json!({"description": "x", "roles": ["staff"]});
    let old = json!({"items": [{"sha256": "0".repeat(64), "description": "old", "roles": ["user"]}]});
    vec![
        ("POST", "/v1/users".to_owned(), user),
        ("PATCH", USER.to_owned(), json!({"roles": ["tenant_admin"]})),
        ("DELETE", USER.to_owned(), json!({})),
        ("POST", format!("{USER}/force-password-reset"), json!({})),
        ("POST", format!("{USER}/invite"), json!({})),
        ("POST", format!("{USER}/reset-mfa"), json!({})),
        ("POST", "/v1/api-keys".to_owned(), key),
        ("POST", "/v1/api-keys/import".to_owned(), old),
        ("PATCH", API_KEY.to_owned(), json!({"expires_in_days": 9})),
        ("POST", format!("{API_KEY}/rotate"), json!({})),
        ("PUT", "/v1/roles/desk".to_owned(), json!({"base": "staff", "permissions": ["data.seal"]})),
        ("PUT", "/v1/roles/desk/holders/usr_01J9Z3K0Q5V8WXYZ0123456789".to_owned(), json!({})),
    ]
}

fn of_an_officer() -> Vec<(&'static str, String, Value)> {
    let place = || json!({"location": "nowhere"});
    let item = json!({"table": "patients", "column": "ssn", "row": "1", "sealed": null});
    let glass = json!({"reason": "x", "break_glass": {"ticket": "T-1", "reason": "x"}, "items": [item]});
    vec![
        ("POST", format!("{KEY}/revoke"), json!({})),
        ("POST", format!("{KEY}/schedule-deletion"), json!({"days": 7})),
        ("POST", format!("{KEY}/backup"), place()),
        ("POST", format!("{KEY}/escrow"), place()),
        ("POST", format!("{KEY}/escrow-restore"), place()),
        ("POST", format!("{KEY}/remove-copy"), place()),
        ("PUT", "/v1/tenant-key/provider".to_owned(), json!({"provider": null})),
        ("POST", "/v1/subjects/erase".to_owned(), json!({"subject": "nobody"})),
        ("POST", format!("{APPROVAL}/approve"), json!({})),
        ("POST", "/v1/open".to_owned(), glass),
    ]
}

async fn send(
    app: &TestApp,
    caller: &Caller,
    (method, path, body): &(&'static str, String, Value),
) -> crate::app::Reply {
    app.call(caller, method, path, (*method != "DELETE").then(|| body.clone())).await
}

async fn a_session_of_ten_minutes_does_nothing_dangerous(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    app.register_fields(&clinic).await;
    let ada = enrolled_as(&app, &clinic, "ada", "tenant_admin").await;
    let otto = enrolled_as(&app, &clinic, "otto", "security_officer").await;
    for (person, machine, deeds) in
        [(&ada, &clinic.admin, of_an_administrator()), (&otto, &clinic.officer, of_an_officer())]
    {
        let mfa = log_in(&app, &clinic, person.name).await["mfa_token"].clone();
        let fresh = token(&step(&app, "totp", &mfa, &now(&app, &person.key)).await.ok());
        // What a person did a moment ago does not stop it.
        for deed in &deeds[1..] {
            let reply = send(&app, &fresh, deed).await;
            assert_ne!(reply.status, 401, "{deed:?}: {}", reply.text());
        }
        app.clock.advance_seconds(601);
        for deed in &deeds {
            let reply = send(&app, &fresh, deed).await;
            reply.refused(401, "auth.step_up_required");
            assert_eq!(reply.json()["max_age"], 600);
            let challenge = reply.headers["www-authenticate"].to_str().unwrap();
            let wanted = r#"Bearer realm="chancery", error="insufficient_user_authentication", "#;
            assert!(challenge.starts_with(wanted) && challenge.ends_with(r#", max_age="600""#), "{challenge}");
            // A program proves who it is with every request.
            assert_ne!(send(&app, machine, deed).await.status, 401, "{deed:?}");
        }
        // The session goes on.
        app.get(&fresh, "/v1/auth/session").await.ok();
        app.clock.advance_seconds(30);
    }
    let refused = app.events(&clinic.auditor, "access.refused").await;
    let told = refused.iter().filter(|event| event["core"].as_str().unwrap().contains("auth.step_up_required"));
    assert_eq!(told.count(), of_an_administrator().len() + of_an_officer().len());
    // What was refused to the sessions was not done.
    let users = app.get(&clinic.admin, "/v1/users?email=bob@x.test").await.ok();
    assert_eq!(users["items"].as_array().unwrap().len(), 1, "by the API key");
}

#[tokio::test]
async fn whoever_may_not_is_told_that_and_nothing_of_a_proof() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let zoe = {
        crate::factors::user(&app, &clinic, "zoe", "clinician").await;
        token(&log_in(&app, &clinic, "zoe").await)
    };
    app.clock.advance_seconds(601);
    for deed in of_an_administrator().iter().chain(&of_an_officer()) {
        let reply = send(&app, &zoe, deed).await;
        assert_ne!(reply.status, 401, "{deed:?}: {}", reply.text());
    }
    // A first factor of one's own would keep the owner of a stolen session out.
    app.post(&zoe, "/v1/me/mfa/totp", json!({})).await.refused(401, "auth.step_up_required");
}

#[tokio::test]
async fn emergencies_wait_for_nobody() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let ada = enrolled_as(&app, &clinic, "ada", "tenant_admin").await;
    let bob = crate::factors::user(&app, &clinic, "bob", "staff").await;
    let key = app.post(&clinic.admin, "/v1/api-keys", json!({"description": "x", "roles": ["staff"]})).await.created();
    app.clock.advance_seconds(601);
    let key = format!("/v1/api-keys/{}/revoke", key["id"].as_str().unwrap());
    for (path, body) in [
        (key, json!({})),
        (format!("/v1/users/{bob}/lock"), json!({})),
        ("/v1/revocations".to_owned(), json!({"user": bob, "reason": "lost laptop"})),
    ] {
        let reply = app.post(&ada.caller, &path, body).await;
        assert!(reply.status.is_success(), "{path}: {}", reply.text());
    }
}

async fn prove(app: &TestApp, caller: &Caller, body: Value) -> crate::app::Reply {
    app.post(caller, "/v1/auth/reauthenticate", body).await
}

/// Asks for something dangerous, about somebody who is not there.
async fn dangerous(app: &TestApp, caller: &Caller) -> crate::app::Reply {
    app.post(caller, &format!("{USER}/invite"), json!({})).await
}

async fn a_proof_makes_the_session_fresh_and_lasts_through_a_refresh(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    let ada = enrolled_as(&app, &clinic, "ada", "tenant_admin").await;
    let mfa = log_in(&app, &clinic, ada.name).await["mfa_token"].clone();
    let tokens = step(&app, "totp", &mfa, &now(&app, &ada.key)).await.ok();
    let old = token(&tokens);
    app.clock.advance_seconds(601);
    dangerous(&app, &old).await.refused(401, "auth.step_up_required");

    let missing = prove(&app, &old, json!({"password": PASSWORD})).await;
    missing.refused(422, "request.invalid");
    assert_eq!(missing.json()["errors"][0]["pointer"], "/code");
    let wrong = json!({"password": "Correct-Horse-8-Battery", "code": now(&app, &ada.key)});
    prove(&app, &old, wrong).await.refused(401, "auth.login_failed");
    let wrong = json!({"password": PASSWORD, "code": crate::factors::wrong(&app, &ada.key)});
    prove(&app, &old, wrong).await.refused(401, "auth.login_failed");
    let code = now(&app, &ada.key);
    let proved = prove(&app, &old, json!({"password": PASSWORD, "code": code})).await.ok();
    assert_eq!(proved["session_id"], tokens["session_id"]);
    assert_eq!(proved["amr"], json!(["pwd", "otp", "mfa"]));
    let fresh = token(&proved);
    dangerous(&app, &fresh).await.refused(404, "not_found");
    // The token from before says what it said; and a code works once.
    dangerous(&app, &old).await.refused(401, "auth.step_up_required");
    prove(&app, &old, json!({"password": PASSWORD, "code": code})).await.refused(401, "auth.login_failed");

    // The session knows it: its next tokens are fresh, and its refresh token was not used up.
    let refreshed = crate::sessions::refresh(&app, &tokens).await.ok();
    dangerous(&app, &token(&refreshed)).await.refused(404, "not_found");
    app.clock.advance_seconds(601);
    let next = token(&crate::sessions::refresh(&app, &refreshed).await.ok());
    dangerous(&app, &next).await.refused(401, "auth.step_up_required");

    let recovery = json!({"password": PASSWORD, "recovery_code": ada.codes[0]});
    let proved = prove(&app, &next, recovery.clone()).await.ok();
    dangerous(&app, &token(&proved)).await.refused(404, "not_found");
    prove(&app, &next, recovery).await.refused(401, "auth.login_failed");
    assert_eq!(app.events(&clinic.auditor, "session.proved").await.len(), 2);
    assert_eq!(app.events(&clinic.auditor, "session.proof_failed").await.len(), 1);
}

async fn five_wrong_proofs_end_the_session(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    crate::factors::user(&app, &clinic, "zoe", "clinician").await;
    let (here, there) = (log_in(&app, &clinic, "zoe").await, log_in(&app, &clinic, "zoe").await);
    let guess = |n: usize| json!({"password": format!("Correct-Horse-{n}-Batteries")});
    // A right one gives new tries.
    for n in 0..4 {
        prove(&app, &token(&here), guess(n)).await.refused(401, "auth.login_failed");
    }
    assert_eq!(prove(&app, &token(&here), json!({"password": PASSWORD})).await.ok()["amr"], json!(["pwd"]));
    for n in 0..5 {
        prove(&app, &token(&here), guess(n)).await.refused(401, "auth.login_failed");
    }
    // Many more at once, the right one among them: none is compared.
    let guesses = (0..4).map(guess).chain([json!({"password": PASSWORD})]);
    for proof in guesses {
        let reply = prove(&app, &token(&here), proof).await;
        assert_eq!(reply.status, 401, "{}", reply.text());
    }
    assert!(!crate::sessions::works(&app, &here).await);
    assert!(crate::sessions::works(&app, &there).await, "another session of the same person");
    crate::sessions::refresh(&app, &here).await.refused(401, "auth.credential_invalid");
}

#[tokio::test]
async fn programs_prove_nothing() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let zoe = crate::factors::user(&app, &clinic, "zoe", "clinician").await;
    let key = json!({"description": "zoe's", "roles": ["clinician"], "user_id": zoe});
    let key = app.post(&clinic.admin, "/v1/api-keys", key).await.created();
    let key = Caller { bearer: key["key"].as_str().unwrap().to_owned() };
    prove(&app, &key, json!({"password": PASSWORD})).await.refused(409, "state.conflict");
}
