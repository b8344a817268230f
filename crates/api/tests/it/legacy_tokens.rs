//! Tokens of an older system: HS256, for one tenant, for a few days; its refresh tokens, once; its denylist.

use std::sync::Arc;

use chancery_crypto::Secret;
use chancery_domain::{
    Clock as _, Timestamp,
    legacy_tokens::{LegacyKey, LegacyTokens},
};
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, Reply, TestApp, request},
    issuers::{change, forged},
    token_attacks::hs256,
};

backends! {
    an_older_access_token_goes_on_for_a_few_days, an_older_refresh_token_is_exchanged_once,
    tokens_of_an_older_denylist_stay_refused, older_tokens_end_with_a_new_password, older_tokens_end_with_a_logout,
    older_tokens_end_with_the_first_factor_and_its_reset, a_logout_everywhere_beats_an_exchange_at_the_same_time
}

const SECRET: &str = "an-older-systems-signing-secret-0001";
const PASSWORD: &str = "Correct-Horse-7-Battery";

/// A Chancery that takes tokens of the older system for the clinic `ours`, whose users are Ann, Bob, who is its admin, Cid, and Dee,
/// who is much.
async fn world(backend: Backend) -> (TestApp, Clinic) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    for (name, roles) in [
        ("ann", json!(["staff"])),
        ("bob", json!(["tenant_admin"])),
        ("cid", json!(["clinician"])),
        ("dee", json!(["staff", "tenant_admin", "security_officer"])),
    ] {
        let user = json!({"username": name, "email": format!("{name}@x.test"), "password": PASSWORD, "roles": roles});
        app.post(&clinic.admin, "/v1/users", user).await.created();
    }
    let tokens = LegacyTokens {
        tenant: "ours".to_owned(),
        issuer: Some("https://old.example".to_owned()),
        kid: Some("old-1".to_owned()),
        old_tenant: Some("42".to_owned()),
        audience: None,
    };
    let key = LegacyKey::new(&Secret::new(SECRET.to_owned()), tokens, app.clock.now(), 3).unwrap();
    (app.again(|settings| settings.legacy = Some(Arc::new(key))).await, clinic)
}

fn claims(app: &TestApp, changes: &[(&str, Value)]) -> Value {
    let now = app.clock.now().as_seconds();
    let mut claims = json!({
        "iss": "https://old.example", "sub": "7", "username": "ann", "tenant_id": "42", "roles": ["user"], "iat": now,
        "exp": now + 900, "jti": "3f0e-1", "type": "access",
    });
    change(&mut claims, changes);
    claims
}

fn token(app: &TestApp, changes: &[(&str, Value)]) -> String {
    signed(SECRET, &json!({"alg": "HS256", "typ": "JWT", "kid": "old-1"}), &claims(app, changes))
}

fn signed(secret: &str, header: &Value, claims: &Value) -> String {
    forged(&header.to_string(), &claims.to_string(), |message| hs256(secret.as_bytes(), message))
}

async fn session(app: &TestApp, token: &str) -> Reply {
    app.get(&Caller { bearer: token.to_owned() }, "/v1/auth/session").await
}

async fn accepts(app: &TestApp, token: &str) -> bool {
    let reply = session(app, token).await;
    if reply.status == 200 {
        return true;
    }
    reply.refused(401, "auth.credential_invalid");
    false
}

async fn refresh(app: &TestApp, token: &str) -> Reply {
    app.anonymous("POST", "/v1/auth/refresh", Some(json!({"refresh_token": token}))).await
}

async fn an_older_access_token_goes_on_for_a_few_days(backend: Backend) {
    let (app, clinic) = world(backend).await;
    let good = token(&app, &[]);
    let who = session(&app, &good).await.ok();
    assert_eq!([&who["tenant_id"], &who["username"]], [&json!(clinic.id), &json!("ann")]);
    assert_eq!([&who["roles"], &who["auth"], &who["session_id"]], [&json!(["staff"]), &json!("legacy"), &json!(null)]);
    // Older names of roles, and never more than the user has here.
    let admin = token(
        &app,
        &[("username", json!("bob")), ("roles", json!(["admin", "user", "clinician"])), ("jti", json!("2"))],
    );
    assert_eq!(session(&app, &admin).await.ok()["roles"], json!([]), "what needs a second factor is not proved by it");
    let several = [("username", json!("dee")), ("roles", json!(["admin", "user", "clinician"])), ("jti", json!("2a"))];
    assert_eq!(session(&app, &token(&app, &several)).await.ok()["roles"], json!(["staff"]));
    let inflated = token(&app, &[("roles", json!(["admin", "user"])), ("jti", json!("3"))]);
    assert_eq!(session(&app, &inflated).await.ok()["roles"], json!(["staff"]));

    let body = json!({"user": who["user_id"], "reason": "left"});
    app.post(&clinic.admin, "/v1/revocations", body).await.created();
    assert!(!accepts(&app, &good).await, "what stands against a user stands against these too");
    let other = token(&app, &[("username", json!("cid")), ("roles", json!(["clinician"])), ("jti", json!("4"))]);
    assert!(accepts(&app, &other).await);
    app.clock.advance_seconds(3 * 86_400);
    let late = token(&app, &[("username", json!("cid")), ("jti", json!("5"))]);
    assert!(!accepts(&app, &late).await, "the key has ended by itself");
    refresh(&app, &token(&app, &[("type", json!("refresh"))])).await.refused(401, "auth.credential_invalid");
}

async fn an_older_refresh_token_is_exchanged_once(backend: Backend) {
    let (app, clinic) = world(backend).await;
    let now = app.clock.now().as_seconds();
    let old = token(&app, &[("type", json!("refresh")), ("exp", json!(now + 6 * 86_400)), ("jti", json!("r-1"))]);
    assert!(!accepts(&app, &old).await, "it is no access token");
    let tokens = refresh(&app, &old).await.ok();
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(session(&app, access).await.ok()["username"], json!("ann"));
    refresh(&app, tokens["refresh_token"].as_str().unwrap()).await.ok();
    refresh(&app, &old).await.refused(401, "auth.credential_invalid");
    assert_eq!(app.events(&clinic.auditor, "token.exchanged").await.len(), 1);
    assert_eq!(app.events(&clinic.auditor, "user.logged_in").await.len(), 1);

    // Many at once give one session.
    let old = token(&app, &[("type", json!("refresh")), ("username", json!("cid")), ("jti", json!("r-2"))]);
    let all = futures(20, || refresh(&app, &old)).await;
    assert_eq!(all.iter().filter(|reply| reply.status == 200).count(), 1);
    // Without an id it is known by its content.
    let nameless = token(&app, &[("type", json!("refresh")), ("jti", Value::Null)]);
    refresh(&app, &nameless).await.ok();
    refresh(&app, &nameless).await.refused(401, "auth.credential_invalid");
    // Whoever needs a second factor logs in.
    let admin = token(&app, &[("type", json!("refresh")), ("username", json!("bob")), ("jti", json!("r-3"))]);
    refresh(&app, &admin).await.refused(401, "auth.credential_invalid");
    // And an access token is no refresh token.
    refresh(&app, &token(&app, &[("jti", json!("a-1"))])).await.refused(401, "auth.credential_invalid");
    refresh(&app, &token(&app, &[("jti", json!("a-2")), ("type", Value::Null)]))
        .await
        .refused(401, "auth.credential_invalid");
}

/// So many of one request, at once.
async fn futures<F: Future<Output = Reply>>(count: usize, send: impl Fn() -> F) -> Vec<Reply> {
    let mut running: Vec<_> = (0..count).map(|_| Box::pin(send())).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|cx| {
        running.retain_mut(|one| match one.as_mut().poll(cx) {
            std::task::Poll::Ready(reply) => {
                done.push(reply);
                false
            }
            std::task::Poll::Pending => true,
        });
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

async fn tokens_of_an_older_denylist_stay_refused(backend: Backend) {
    let (app, clinic) = world(backend).await;
    let (denied, other) = (token(&app, &[("jti", json!("d-1"))]), token(&app, &[("jti", json!("d-2"))]));
    assert!(accepts(&app, &denied).await && accepts(&app, &other).await);
    let at = |seconds: i64| Timestamp::from_seconds(app.clock.now().as_seconds() + seconds).to_string();
    let lines = [
        json!({"jti": "d-1", "expires_at": at(900), "user": "ann", "reason": "logout"}).to_string(),
        json!({"jti": "d-0", "expires_at": at(-900)}).to_string(),
        json!({"jti": "", "expires_at": at(900)}).to_string(),
        "{\"jti\": 7}".to_owned(),
        String::new(),
        json!({"jti": "r-9", "expires_at": at(900)}).to_string(),
    ];
    let send = async |caller: &Caller| {
        let mut request = request("POST", "/v1/revocations/import", None);
        request.headers_mut().insert("content-type", "application/x-ndjson".parse().unwrap());
        *request.body_mut() = axum::body::Body::from(lines.join("\n"));
        app.send(caller.sign(request)).await
    };
    let answer = send(&clinic.admin).await.ok();
    assert_eq!(
        [&answer["revoked"], &answer["over"], &answer["refused"]],
        [&json!(2), &json!(1), &json!(2)],
        "{answer}"
    );
    let refused: Vec<_> =
        answer["items"].as_array().unwrap().iter().map(|item| item["line"].as_u64().unwrap()).collect();
    assert_eq!(refused, [3, 4]);
    assert!(!accepts(&app, &denied).await && accepts(&app, &other).await);
    let old = token(&app, &[("type", json!("refresh")), ("jti", json!("r-9"))]);
    refresh(&app, &old).await.refused(401, "auth.credential_invalid");
    assert_eq!(send(&clinic.admin).await.ok()["revoked"], json!(2), "once more does no harm");
    send(&clinic.staff).await.refused(403, "authz.denied");
    assert_eq!(app.events(&clinic.auditor, "token.denied").await.len(), 2);
    // Another tenant's denylist is another tenant's.
    let theirs = app.clinic("theirs").await;
    let mut request = request("POST", "/v1/revocations/import", None);
    request.headers_mut().insert("content-type", "application/x-ndjson".parse().unwrap());
    *request.body_mut() = axum::body::Body::from(json!({"jti": "d-2", "expires_at": at(900)}).to_string());
    app.send(theirs.admin.sign(request)).await.ok();
    assert!(accepts(&app, &other).await);
}

#[tokio::test]
async fn an_older_token_is_what_it_says_to_the_letter() {
    let (app, _) = world(Backend::sqlite().await).await;
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": "old-1"});
    assert!(accepts(&app, &signed(SECRET, &header, &claims(&app, &[]))).await, "or every refusal below means nothing");
    for changes in [
        ("alg", json!("HS384")),
        ("alg", json!("HS512")),
        ("alg", json!("none")),
        ("alg", json!("hs256")),
        ("alg", json!("RS256")),
        ("kid", Value::Null),
        ("kid", json!("old-2")),
        ("kid", json!("../../dev/null")),
        ("typ", json!("at+jwt")),
        ("jku", json!("https://old.example")),
        ("jwk", json!({"kty": "oct", "k": "AAAA"})),
        ("crit", json!(["exp"])),
        ("x5c", json!([])),
    ] {
        let mut header = header.clone();
        change(&mut header, std::slice::from_ref(&changes));
        assert!(!accepts(&app, &signed(SECRET, &header, &claims(&app, &[]))).await, "{header}");
    }
    let now = app.clock.now().as_seconds();
    for changes in [
        ("iss", Value::Null),
        ("iss", json!("https://old.example/")),
        ("iss", json!("https://chancery.test")),
        ("aud", json!("x")),
        ("exp", Value::Null),
        ("exp", json!((now + 900).to_string())),
        ("exp", json!(now as f64 + 0.5)),
        ("exp", json!(now - 1)),
        ("exp", json!(now + 30 * 86_400)),
        ("iat", json!(now + 60)),
        ("nbf", json!(now + 60)),
        ("tenant_id", json!("43")),
        ("tenant_id", json!(42)),
        ("tenant_id", json!("ten_platform")),
        ("type", json!("refresh")),
        ("type", json!("id")),
        ("type", json!(7)),
        ("type", json!(["access"])),
        ("username", json!("nobody")),
        ("username", json!("ANN")),
    ] {
        assert!(!accepts(&app, &token(&app, std::slice::from_ref(&changes))).await, "{changes:?}");
    }
    // The public halves of our own keys, and words, are no secret.
    let jwks = app.anonymous("GET", "/.well-known/jwks.json", None).await.ok();
    for secret in ["", "secret", "old-1", &jwks["keys"][0].to_string()] {
        assert!(!accepts(&app, &signed(secret, &header, &claims(&app, &[]))).await, "{secret}");
    }
    let double = claims(&app, &[]).to_string().replacen('{', r#"{"username":"bob","#, 1);
    let token = forged(&header.to_string(), &double, |message| hs256(SECRET.as_bytes(), message));
    assert!(!accepts(&app, &token).await, "a claim twice");
    // Without a key nobody is let in, whatever the header says.
    let plain = TestApp::new().await;
    assert!(!accepts(&plain, &signed(SECRET, &header, &claims(&plain, &[]))).await);
}

/// A refresh token of the older system, for Ann.
fn older_refresh(app: &TestApp, jti: &str) -> String {
    token(app, &[("type", json!("refresh")), ("jti", json!(jti))])
}

async fn logged_in(app: &TestApp, name: &str) -> Caller {
    let body = json!({"tenant": "ours", "username": name, "password": PASSWORD});
    crate::factors::token(&app.anonymous("POST", "/v1/auth/login", Some(body)).await.ok())
}

/// By name.
async fn id_of(app: &TestApp, clinic: &Clinic, name: &str) -> String {
    let users = app.get(&clinic.admin, "/v1/users").await.ok();
    let found = users["items"].as_array().unwrap().iter().find(|user| user["username"] == name).unwrap();
    found["id"].as_str().unwrap().to_owned()
}

/// Found by attackers: whoever had a copy of an older token kept it through a new password.
async fn older_tokens_end_with_a_new_password(backend: Backend) {
    let (app, clinic) = world(backend).await;
    let id = id_of(&app, &clinic, "ann").await;
    let other = token(&app, &[("username", json!("cid")), ("roles", json!(["clinician"])), ("jti", json!("other"))]);
    let (access, old) = (token(&app, &[("jti", json!("n-1"))]), older_refresh(&app, "n-2"));
    assert!(accepts(&app, &access).await);
    let ann = logged_in(&app, "ann").await;
    let change = json!({"current_password": PASSWORD, "new_password": "Another-Horse-8-Battery"});
    assert_eq!(app.post(&ann, "/v1/auth/password/change", change).await.status, 204);
    assert!(!accepts(&app, &access).await);
    refresh(&app, &old).await.refused(401, "auth.credential_invalid");
    app.get(&ann, "/v1/auth/session").await.ok();

    // What the older system gives from then on goes on; until an administrator takes the password away.
    app.clock.advance_seconds(2);
    let (access, old) = (token(&app, &[("jti", json!("n-3"))]), older_refresh(&app, "n-4"));
    assert!(accepts(&app, &access).await);
    let forced = app.post(&clinic.admin, &format!("/v1/users/{id}/force-password-reset"), json!({})).await.ok();
    assert!(!accepts(&app, &access).await);
    refresh(&app, &old).await.refused(401, "auth.credential_invalid");
    app.clock.advance_seconds(2);
    let access = token(&app, &[("jti", json!("n-5"))]);
    assert!(accepts(&app, &access).await);
    let set = json!({"token": forced["token"], "new_password": PASSWORD});
    assert_eq!(app.anonymous("POST", "/v1/auth/password/reset", Some(set)).await.status, 204);
    assert!(!accepts(&app, &access).await);
    assert!(accepts(&app, &other).await, "somebody else's");
    // And it is as long on the denylist as the key may live.
    app.clock.advance_seconds(2 * 86_400);
    let undated = |name: &str| {
        let changes = [("iat", Value::Null), ("username", json!(name)), ("jti", json!(format!("undated-{name}")))];
        token(&app, &changes)
    };
    assert!(!accepts(&app, &undated("ann")).await, "one that does not say when it was issued");
    assert!(accepts(&app, &undated("cid")).await);
}

/// Found by attackers: a logout with an older token was refused, and one everywhere left older tokens alive.
async fn older_tokens_end_with_a_logout(backend: Backend) {
    let (app, clinic) = world(backend).await;
    let of = |jti: &str| Caller { bearer: token(&app, &[("jti", json!(jti))]) };
    let (one, two, nameless) = (of("l-1"), of("l-2"), Caller { bearer: token(&app, &[("jti", Value::Null)]) });
    assert_eq!(app.post(&one, "/v1/auth/logout", json!({})).await.status, 204);
    assert!(!accepts(&app, &one.bearer).await);
    assert!(accepts(&app, &two.bearer).await, "one logout is of one token");
    assert_eq!(app.post(&nameless, "/v1/auth/logout", json!({})).await.status, 204);
    assert!(!accepts(&app, &nameless.bearer).await);
    // By RFC 7009 too, where a refresh token is ended by its holder.
    let old = older_refresh(&app, "l-0");
    for _ in 0..2 {
        assert_eq!(app.send(crate::oauth::form("/oauth2/revoke", &[("token", &old)])).await.status, 200);
    }
    refresh(&app, &old).await.refused(401, "auth.credential_invalid");
    assert!(accepts(&app, &two.bearer).await);
    assert_eq!(app.events(&clinic.auditor, "token.revoked").await.len(), 3);

    let ann = logged_in(&app, "ann").await;
    let old = older_refresh(&app, "l-3");
    assert_eq!(app.post(&two, "/v1/auth/logout-all", json!({})).await.ok()["ended"], 1);
    app.get(&ann, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    assert!(!accepts(&app, &two.bearer).await);
    refresh(&app, &old).await.refused(401, "auth.credential_invalid");
    app.clock.advance_seconds(2);
    let (three, old) = (of("l-4"), older_refresh(&app, "l-5"));
    assert!(accepts(&app, &three.bearer).await);
    let ann = logged_in(&app, "ann").await;
    assert_eq!(app.post(&ann, "/v1/auth/logout-all", json!({})).await.ok()["ended"], 1);
    assert!(!accepts(&app, &three.bearer).await, "a logout everywhere by a session is everywhere too");
    refresh(&app, &old).await.refused(401, "auth.credential_invalid");
}

async fn older_tokens_end_with_the_first_factor_and_its_reset(backend: Backend) {
    let (app, clinic) = world(backend).await;
    let id = id_of(&app, &clinic, "ann").await;
    let (access, old) = (token(&app, &[("jti", json!("f-1"))]), older_refresh(&app, "f-2"));
    let ann = logged_in(&app, "ann").await;
    let key = crate::factors::key(&app.post(&ann, "/v1/me/mfa/totp", json!({})).await.ok());
    let code = json!({"code": crate::factors::now(&app, &key)});
    app.post(&ann, "/v1/me/mfa/totp/confirm", code).await.ok();
    app.get(&ann, "/v1/auth/session").await.ok();
    assert!(!accepts(&app, &access).await);
    app.clock.advance_seconds(2);
    let access = token(&app, &[("jti", json!("f-3"))]);
    assert!(accepts(&app, &access).await);
    app.post(&clinic.admin, &format!("/v1/users/{id}/reset-mfa"), json!({})).await.ok();
    // Whoever lost the device may have lost what was on it.
    assert!(!accepts(&app, &access).await);
    refresh(&app, &old).await.refused(401, "auth.credential_invalid");
}

async fn a_logout_everywhere_beats_an_exchange_at_the_same_time(backend: Backend) {
    let (app, _) = world(backend).await;
    for round in 0..12 {
        app.clock.advance_seconds(2);
        let caller = Caller { bearer: token(&app, &[("jti", json!(format!("a-{round}")))]) };
        let old = older_refresh(&app, &format!("r-{round}"));
        let (given, ended) = tokio::join!(refresh(&app, &old), app.post(&caller, "/v1/auth/logout-all", json!({})));
        assert_eq!(ended.status, 200, "{}", ended.text());
        if given.status == 200 {
            assert!(!crate::sessions::works(&app, &given.json()).await, "round {round}");
        } else {
            given.refused(401, "auth.credential_invalid");
        }
    }
}

/// Found by attackers: whoever had a copy of an administrator's older token was administrator without a second factor.
#[tokio::test]
async fn an_older_token_carries_nothing_that_needs_a_second_factor() {
    let (app, clinic) = world(Backend::sqlite().await).await;
    let part = json!({"base": "tenant_admin", "permissions": ["users.read"]});
    app.put(&clinic.admin, "/v1/roles/front-desk", part).await.ok();
    let holder = format!("/v1/roles/front-desk/holders/{}", id_of(&app, &clinic, "ann").await);
    assert_eq!(app.call(&clinic.admin, "PUT", &holder, None).await.status, 204);
    app.clock.advance_seconds(2);
    for (name, roles) in [
        ("bob", json!(["admin"])),
        ("dee", json!(["admin", "security_officer", "tenant_admin", "user"])),
        ("ann", json!(["user", "front-desk"])),
    ] {
        let changes = [("username", json!(name)), ("roles", roles), ("jti", json!(format!("p-{name}")))];
        let caller = Caller { bearer: token(&app, &changes) };
        for path in ["/v1/users", "/v1/api-keys", "/v1/keys", "/v1/settings", "/v1/approvals"] {
            app.get(&caller, path).await.refused(403, "authz.denied");
        }
        let user = json!({"username": "eve", "email": "eve@x.test", "roles": ["staff"]});
        app.post(&caller, "/v1/users", user).await.refused(403, "authz.denied");
        refresh(&app, &token(&app, &[("username", json!(name)), ("type", json!("refresh"))]))
            .await
            .refused(401, "auth.credential_invalid");
    }
}
