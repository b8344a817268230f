//! Sessions of browsers: cookies that no script sees, from pages of ours only.

use http::{HeaderMap, header::SET_COOKIE};
use serde_json::{Value, json};

use crate::{
    app::{Backend, Caller, Clinic, Reply, TestApp, request},
    factors::{enrolled_as, now, token, user},
    sessions::works,
};

backends! {
    a_browser_stays_logged_in_and_no_script_sees_a_token,
    a_login_ends_what_was_there_before,
    of_two_callers_in_one_request_neither_gets_in,
}

const PASSWORD: &str = "Correct-Horse-7-Battery";
const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

/// What a browser keeps.
#[derive(Clone, Default)]
struct Jar(Vec<(String, String)>);

impl Jar {
    fn of(headers: &HeaderMap) -> Self {
        let mut jar = Self::default();
        jar.keep(headers);
        jar
    }

    fn keep(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().unwrap().split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.0.retain(|(known, _)| known != name);
            if !attributes.contains("Max-Age=0") {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    fn value(&self, name: &str) -> &str {
        &self.0.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name}")).1
    }

    fn only(&self, name: &str) -> Self {
        Self(vec![(name.to_owned(), self.value(name).to_owned())])
    }

    fn line(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}

fn cookies(reply: &Reply) -> Vec<String> {
    reply.headers.get_all(SET_COOKIE).iter().map(|cookie| cookie.to_str().unwrap().to_owned()).collect()
}

async fn send(
    app: &TestApp,
    (method, path): (&str, &str),
    body: Option<Value>,
    jar: &Jar,
    headers: &[(&'static str, &str)],
) -> Reply {
    let mut sent = request(method, path, body);
    if !jar.0.is_empty() {
        sent.headers_mut().insert("cookie", jar.line().parse().unwrap());
    }
    for (name, value) in headers {
        sent.headers_mut().insert(*name, value.parse().unwrap());
    }
    app.send(sent).await
}

async fn log_in(app: &TestApp, clinic: &Clinic, name: &str, jar: &Jar) -> Reply {
    let body = json!({"tenant": clinic.slug, "username": name, "password": PASSWORD, "cookies": true});
    send(app, ("POST", "/v1/auth/login"), Some(body), jar, &[OURS]).await
}

/// What a cookie brings, as its holder would send it in a header.
fn as_tokens(jar: &Jar) -> Value {
    json!({"access_token": jar.value("chancery-access"), "refresh_token": jar.value("chancery-refresh")})
}

async fn a_browser_stays_logged_in_and_no_script_sees_a_token(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    let reply = log_in(&app, &clinic, "zoe", &Jar::default()).await;
    let body = reply.ok();
    assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
    assert_eq!(body["expires_in"], 900);
    assert!(body["session_id"].is_string() && body["refresh_expires_at"].is_string());
    let mut jar = Jar::of(&reply.headers);
    let (access, refresh) = (jar.value("chancery-access"), jar.value("chancery-refresh"));
    assert_eq!(
        cookies(&reply),
        [
            format!("chancery-access={access}; Path=/; Max-Age=900; HttpOnly; SameSite=Strict"),
            format!("chancery-refresh={refresh}; Path=/v1/auth; Max-Age=604800; HttpOnly; SameSite=Strict"),
        ]
    );
    assert_eq!(reply.headers["cache-control"], "no-store");
    let session = send(&app, ("GET", "/v1/auth/session"), None, &jar, &[]).await.ok();
    assert_eq!((&session["username"], &session["session_id"]), (&json!("zoe"), &body["session_id"]));

    let old = jar.clone();
    let refreshed = send(&app, ("POST", "/v1/auth/refresh"), None, &jar, &[OURS]).await;
    assert_eq!(refreshed.ok()["session_id"], body["session_id"]);
    assert!(refreshed.json().get("access_token").is_none() && refreshed.json().get("refresh_token").is_none());
    jar.keep(&refreshed.headers);
    assert_ne!(jar.value("chancery-refresh"), old.value("chancery-refresh"));
    send(&app, ("GET", "/v1/auth/session"), None, &jar, &[]).await.ok();

    let proof = Some(json!({"password": PASSWORD}));
    let proved = send(&app, ("POST", "/v1/auth/reauthenticate"), proof, &jar, &[OURS]).await;
    assert!(proved.ok().get("access_token").is_none());
    assert_eq!(cookies(&proved).len(), 1);
    jar.keep(&proved.headers);

    let out = send(&app, ("POST", "/v1/auth/logout"), None, &jar, &[OURS]).await;
    assert_eq!(out.status, 204);
    let tokens = as_tokens(&jar);
    jar.keep(&out.headers);
    assert!(jar.0.is_empty(), "all cookies are taken away");
    assert!(!works(&app, &tokens).await);
    send(&app, ("GET", "/v1/auth/session"), None, &jar, &[]).await.refused(401, "auth.credential_missing");
    // A copied refresh token, once more: refused, and its cookies are taken away.
    let late = send(&app, ("POST", "/v1/auth/refresh"), None, &old, &[OURS]).await;
    late.refused(401, "auth.credential_invalid");
    assert_eq!(cookies(&late).len(), 2);
}

#[tokio::test]
async fn another_site_gets_nothing_done() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    let jar = Jar::of(&log_in(&app, &clinic, "zoe", &Jar::default()).await.headers);
    let sites: [&[(&'static str, &str)]; 6] = [
        &[],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.test")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site"), ("origin", "https://chancery.test")],
    ];
    for headers in sites {
        for path in ["/v1/auth/logout", "/v1/auth/logout-all", "/v1/me/mfa/totp", "/v1/auth/refresh"] {
            let reply = send(&app, ("POST", path), None, &jar, headers).await;
            reply.refused(403, "auth.csrf_failed");
            assert!(cookies(&reply).is_empty());
        }
        // With the refresh token alone, too.
        let reply = send(&app, ("POST", "/v1/auth/logout"), None, &jar.only("chancery-refresh"), headers).await;
        reply.refused(403, "auth.csrf_failed");
    }
    assert!(works(&app, &as_tokens(&jar)).await);
    let refused = app.events(&clinic.auditor, "access.refused").await;
    let told = refused.iter().filter(|event| event["core"].as_str().unwrap().contains("auth.csrf_failed"));
    assert_eq!(told.count(), 3 * sites.len(), "those of a known caller");

    // A page of ours, in an older browser; reading, from wherever; and a program, whose header no page can send.
    let ours = [("origin", "https://chancery.test")];
    send(&app, ("POST", "/v1/me/mfa/totp"), None, &jar, &ours).await.ok();
    send(&app, ("GET", "/v1/auth/session"), None, &jar, &[("sec-fetch-site", "cross-site")]).await.ok();
    let bearer = format!("Bearer {}", jar.value("chancery-access"));
    send(&app, ("POST", "/v1/me/mfa/totp"), None, &jar, &[("authorization", &bearer)]).await.ok();
}

async fn a_login_ends_what_was_there_before(backend: Backend) {
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("north").await;
    for name in ["zoe", "eve"] {
        user(&app, &clinic, name, "clinician").await;
    }
    // Eve has put her own session into Zoe's browser.
    let planted = Jar::of(&log_in(&app, &clinic, "eve", &Jar::default()).await.headers);
    let reply = log_in(&app, &clinic, "zoe", &planted).await;
    let mut jar = planted.clone();
    jar.keep(&reply.headers);
    let session = send(&app, ("GET", "/v1/auth/session"), None, &jar, &[]).await.ok();
    assert_eq!(session["username"], "zoe");
    for name in ["chancery-access", "chancery-refresh"] {
        assert_ne!(jar.value(name), planted.value(name));
    }
    assert!(!works(&app, &as_tokens(&planted)).await);
    send(&app, ("POST", "/v1/auth/refresh"), None, &planted, &[OURS]).await.refused(401, "auth.credential_invalid");
    // Without the refresh token the access token dies alone.
    let planted = Jar::of(&log_in(&app, &clinic, "eve", &Jar::default()).await.headers);
    log_in(&app, &clinic, "zoe", &planted.only("chancery-access")).await.ok();
    assert!(!works(&app, &as_tokens(&planted)).await);
    // A login that fails ends nothing.
    let wrong = json!({"tenant": "north", "username": "zoe", "password": "x", "cookies": true});
    send(&app, ("POST", "/v1/auth/login"), Some(wrong), &jar, &[OURS]).await.refused(401, "auth.login_failed");
    assert!(works(&app, &as_tokens(&jar)).await);
}

async fn of_two_callers_in_one_request_neither_gets_in(backend: Backend) {
    let app = TestApp::on(backend).await;
    let (north, south) = (app.clinic("north").await, app.clinic("south").await);
    let zoe = user(&app, &north, "zoe", "clinician").await;
    user(&app, &north, "eve", "clinician").await;
    let jar = Jar::of(&log_in(&app, &north, "zoe", &Jar::default()).await.headers);
    let eve = token(&crate::factors::log_in(&app, &north, "eve").await);
    let mine = token(&crate::factors::log_in(&app, &north, "zoe").await);
    let key = json!({"description": "zoe's", "roles": ["clinician"], "user_id": zoe});
    let key = app.post(&north.admin, "/v1/api-keys", key).await.created()["key"].as_str().unwrap().to_owned();
    let get =
        async |headers: &[(&'static str, &str)]| send(&app, ("GET", "/v1/auth/session"), None, &jar, headers).await;

    // Of one person the cookie wins, whatever else comes along.
    for header in [("authorization", format!("Bearer {}", mine.bearer)), ("x-api-key", key)] {
        let session = get(&[(header.0, &header.1)]).await.ok();
        assert_eq!((&session["user_id"], &session["auth"]), (&json!(zoe), &json!("password")));
        assert_eq!(session["api_key_id"], json!(null));
    }
    for other in [&eve, &north.staff, &south.staff, &app.admin] {
        let reply = get(&[("authorization", &format!("Bearer {}", other.bearer))]).await;
        reply.refused(401, "auth.credential_conflict");
    }
    // Bad never falls through, on either side.
    get(&[("authorization", "Bearer garbage")]).await.refused(401, "auth.credential_invalid");
    let mut broken = jar.clone();
    broken.0[0].1.push('x');
    let bearer = format!("Bearer {}", mine.bearer);
    let reply = send(&app, ("GET", "/v1/auth/session"), None, &broken, &[("authorization", &bearer)]).await;
    reply.refused(401, "auth.credential_invalid");
    broken.0.push(jar.0[0].clone());
    let reply = send(&app, ("GET", "/v1/auth/session"), None, &broken, &[]).await;
    reply.refused(401, "auth.credential_conflict");

    let told = |events: Vec<Value>| events.len();
    assert_eq!(told(app.events(&north.auditor, "credential.conflict").await), 4);
    assert_eq!(told(app.events(&south.auditor, "credential.conflict").await), 1);
    let refused = app.events(&north.auditor, "access.refused").await;
    assert!(refused.iter().all(|event| !event["core"].as_str().unwrap().contains("credential_conflict")), "told once");
}

#[tokio::test]
async fn the_second_step_of_a_login_gives_cookies_too() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    let ada = enrolled_as(&app, &clinic, "ada", "tenant_admin").await;
    let asked = log_in(&app, &clinic, "ada", &Jar::default()).await;
    assert!(cookies(&asked).is_empty(), "nobody is logged in yet");
    let body = json!({"mfa_token": asked.ok()["mfa_token"], "code": now(&app, &ada.key), "cookies": true});
    let reply = send(&app, ("POST", "/v1/auth/mfa/totp"), Some(body), &Jar::default(), &[OURS]).await;
    assert!(reply.ok().get("access_token").is_none());
    let jar = Jar::of(&reply.headers);
    let session = send(&app, ("GET", "/v1/auth/session"), None, &jar, &[]).await.ok();
    assert_eq!(session["amr"], json!(["pwd", "otp", "mfa"]));
    // What is dangerous asks the browser too.
    app.clock.advance_seconds(601);
    let body = || Some(json!({"description": "x", "roles": ["staff"]}));
    let reply = send(&app, ("POST", "/v1/api-keys"), body(), &jar, &[OURS]).await;
    reply.refused(401, "auth.step_up_required");
    let proof = Some(json!({"password": PASSWORD, "code": now(&app, &ada.key)}));
    let proved = send(&app, ("POST", "/v1/auth/reauthenticate"), proof, &jar, &[OURS]).await;
    let mut jar = jar;
    jar.keep(&proved.headers);
    send(&app, ("POST", "/v1/api-keys"), body(), &jar, &[OURS]).await.created();
}

#[tokio::test]
async fn a_browser_whose_access_token_is_over_logs_out_all_the_same() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    let jar = Jar::of(&log_in(&app, &clinic, "zoe", &Jar::default()).await.headers);
    app.clock.advance_seconds(901);
    let left = jar.only("chancery-refresh");
    let out = send(&app, ("POST", "/v1/auth/logout"), None, &left, &[OURS]).await;
    assert_eq!((out.status.as_u16(), cookies(&out).len()), (204, 2));
    send(&app, ("POST", "/v1/auth/refresh"), None, &left, &[OURS]).await.refused(401, "auth.credential_invalid");
}

#[tokio::test]
async fn the_cookie_of_older_installations_is_set_and_taken_when_it_is_switched_on() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    user(&app, &clinic, "eve", "clinician").await;
    let older = app.again(|settings| settings.access_token_cookie = true).await;
    let body = |name: &str| Some(json!({"tenant": "north", "username": name, "password": PASSWORD}));
    let reply = send(&older, ("POST", "/auth/login"), body("zoe"), &Jar::default(), &[]).await;
    let access = reply.ok()["access_token"].as_str().unwrap().to_owned();
    let wanted = format!("access_token=Bearer {access}; HttpOnly; Max-Age=900; Path=/; SameSite=Lax");
    assert_eq!(cookies(&reply), [wanted]);
    let jar = Jar::of(&reply.headers);
    let quoted = Jar(vec![("access_token".to_owned(), format!("\"Bearer {access}\""))]);
    for jar in [&jar, &quoted] {
        let session = send(&older, ("GET", "/v1/auth/session"), None, jar, &[]).await.ok();
        assert_eq!(session["username"], "zoe");
    }
    // Elsewhere it is any cookie of any application.
    send(&app, ("GET", "/v1/auth/session"), None, &jar, &[]).await.refused(401, "auth.credential_missing");
    // The rules are the same.
    let reply = send(&older, ("POST", "/v1/auth/logout"), None, &jar, &[("sec-fetch-site", "cross-site")]).await;
    reply.refused(403, "auth.csrf_failed");
    let eve = send(&older, ("POST", "/auth/login"), body("eve"), &Jar::default(), &[]).await;
    let bearer = format!("Bearer {}", eve.ok()["access_token"].as_str().unwrap());
    let reply = send(&older, ("GET", "/v1/auth/session"), None, &jar, &[("authorization", &bearer)]).await;
    reply.refused(401, "auth.credential_conflict");
    // A refresh gives the next one, a login ends the one that was there, a logout takes it away.
    let body_of = |reply: &Reply| Some(json!({"refresh_token": reply.json()["refresh_token"]}));
    let refreshed = send(&older, ("POST", "/auth/refresh"), body_of(&eve), &Jar::default(), &[]).await;
    assert!(cookies(&refreshed)[0].starts_with("access_token=Bearer "));
    let again = send(&older, ("POST", "/auth/login"), body("zoe"), &jar, &[]).await;
    let old = Caller { bearer: access };
    older.get(&old, "/v1/auth/session").await.refused(401, "auth.credential_invalid");
    let mut jar = Jar::of(&again.headers);
    let out = send(&older, ("POST", "/v1/auth/logout"), None, &jar, &[OURS]).await;
    assert_eq!(out.status, 204);
    jar.keep(&out.headers);
    assert!(jar.0.is_empty());
}

#[tokio::test]
async fn outside_of_development_cookies_are_secure_and_of_this_host_only() {
    let app = TestApp::production().await;
    let admin = json!({"username": "root", "email": "root@x.test", "password": PASSWORD, "roles": ["platform_admin"]});
    app.post(&app.admin, "/v1/users", admin).await.created();
    let body = json!({"tenant": "platform", "username": "root", "password": PASSWORD, "cookies": true});
    let asked = send(&app, ("POST", "/v1/auth/login"), Some(body), &Jar::default(), &[OURS]).await.ok();
    let begun = json!({"mfa_token": asked["mfa_token"]});
    let begun = app.anonymous("POST", "/v1/auth/mfa/enroll", Some(begun)).await.ok();
    let key = crate::factors::key(&begun);
    let body = json!({"mfa_token": asked["mfa_token"], "code": now(&app, &key), "cookies": true});
    let reply = send(&app, ("POST", "/v1/auth/mfa/enroll/confirm"), Some(body), &Jar::default(), &[OURS]).await;
    assert_eq!(reply.ok()["recovery_codes"].as_array().unwrap().len(), 10);
    let jar = Jar::of(&reply.headers);
    let (access, refresh) = (jar.value("__Host-chancery-access"), jar.value("__Secure-chancery-refresh"));
    assert_eq!(
        cookies(&reply),
        [
            format!("__Host-chancery-access={access}; Path=/; Max-Age=900; HttpOnly; SameSite=Strict; Secure"),
            format!(
                "__Secure-chancery-refresh={refresh}; Path=/v1/auth; Max-Age=604800; HttpOnly; SameSite=Strict; Secure"
            ),
        ]
    );
    send(&app, ("GET", "/v1/auth/session"), None, &jar, &[]).await.ok();
    // A neighbouring host can set the names of development, but nobody reads them here.
    let tossed = Jar(vec![("chancery-access".to_owned(), access.to_owned())]);
    send(&app, ("GET", "/v1/auth/session"), None, &tossed, &[]).await.refused(401, "auth.credential_missing");
}

#[tokio::test]
async fn cookies_that_cannot_be_read_keep_nobody_from_logging_in() {
    let app = TestApp::new().await;
    let clinic = app.clinic("north").await;
    user(&app, &clinic, "zoe", "clinician").await;
    let older = app.again(|settings| settings.access_token_cookie = true).await;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // A neighbouring host has set a second one of each; and an older application one of its own.
    let tossed = Jar(vec![
        pair("chancery-access", "x"),
        pair("chancery-access", "y"),
        pair("chancery-refresh", "x"),
        pair("chancery-refresh", "y"),
        pair("access_token", "something else"),
    ]);
    send(&older, ("GET", "/v1/auth/session"), None, &tossed, &[]).await.refused(401, "auth.credential_conflict");
    send(&older, ("POST", "/v1/auth/refresh"), None, &tossed, &[OURS]).await.refused(401, "auth.credential_conflict");
    let reply = log_in(&older, &clinic, "zoe", &tossed).await;
    reply.ok();
    let jar = Jar::of(&reply.headers);
    send(&older, ("GET", "/v1/auth/session"), None, &jar, &[]).await.ok();
}
