//! Identity providers, for real: an issuer that answers over HTTP, a server as a process, the command line.

use std::{path::Path, process::Output, time::Duration};

use chancery::{config::Issuers, issuer_documents::IssuerDocuments};
use chancery_crypto::{KeyMaterial, KeyType, SignatureAlgorithm, SystemRandom};
use chancery_domain::identity_providers::{DocumentFetcher as _, FetchError};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use crate::support::{Served, admin_key, chancery, finish, stderr, stdout, tenant};

/// An issuer with one key, and how often it must be asked.
async fn issuer(key: &KeyMaterial, times: u64) -> MockServer {
    let server = MockServer::start().await;
    let mut jwk = serde_json::to_value(key.public().unwrap().jwk()).unwrap();
    jwk["kid"] = json!("k1");
    let metadata = json!({"issuer": server.uri(), "jwks_uri": format!("{}/keys", server.uri())});
    let answer =
        |body: Value| ResponseTemplate::new(200).set_body_json(body).insert_header("cache-control", "max-age=600");
    Mock::given(method("GET"))
        .and(path("/.well-known/openid-configuration"))
        .respond_with(answer(metadata))
        .expect(times)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(path("/keys"))
        .respond_with(answer(json!({"keys": [jwk]})))
        .expect(times)
        .mount(&server)
        .await;
    server
}

fn token(key: &KeyMaterial, issuer: &str, groups: &[&str], jti: u32) -> String {
    use chancery_domain::Clock as _;
    let now = chancery::clock::SystemClock.now().as_seconds();
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"});
    let claims = json!({
        "iss": issuer, "aud": "clinic", "sub": "ann", "client_id": "web", "iat": now, "exp": now + 600, "jti": jti.to_string(),
        "groups": groups, "email": "ann@clinic.example",
    });
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = key.sign(SignatureAlgorithm::Es256, signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn run(server: &Served, key: &str, arguments: &[&str]) -> Output {
    finish(chancery(arguments).env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", key))
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_real_issuer_makes_a_caller_until_the_provider_is_disabled() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let (id, admin) = tenant(&server, &admin_key(folder.path()), "clinic", &["tenant_admin"]).await;
    let key = KeyMaterial::generate(KeyType::EcP256, &SystemRandom).unwrap();
    let issuer = issuer(&key, 1).await;
    let uri = issuer.uri();
    let made = run(
        &server,
        &admin,
        &[
            "identity-provider",
            "create",
            "Ours",
            "--profile",
            "oidc",
            "--issuer",
            &uri,
            "--audience",
            "clinic",
            "--role-claim",
            "groups",
            "--role",
            "cn=doctors=clinician",
            "--json",
        ],
    );
    assert!(made.status.success(), "{}", stderr(&made));
    let made: Value = serde_json::from_str(&stdout(&made)).unwrap();
    let provider = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["role_map"], json!([{"value": "cn=doctors", "role": "clinician"}]));

    // Many tokens at once: the issuer is asked once, as its mock will say.
    let tokens: Vec<String> = (0..20).map(|n| token(&key, &uri, &["cn=doctors"], n)).collect();
    for token in &tokens {
        let session = server.must("GET", "/v1/auth/session", token, None).await;
        assert_eq!([&session["tenant_id"], &session["roles"]], [&json!(id), &json!(["clinician"])]);
    }
    let stranger = KeyMaterial::generate(KeyType::EcP256, &SystemRandom).unwrap();
    let forged = token(&stranger, &uri, &["cn=doctors"], 99);
    assert_eq!(server.send("GET", "/v1/auth/session", &forged, None).await.0, 401);

    let good = write(folder.path(), "good", &tokens[0]);
    let told = run(&server, &admin, &["identity-provider", "test", &provider, "--token-file", &good]);
    let text = stdout(&told);
    assert!(told.status.success(), "{text}{}", stderr(&told));
    assert!(text.contains("ok   signature") && text.contains("gives clinician"), "{text}");
    assert!(text.contains("email: (a text of 18 characters)") && !text.contains("ann@"), "{text}");
    let bad = write(folder.path(), "bad", &forged);
    let told = run(&server, &admin, &["identity-provider", "test", &provider, "--token-file", &bad]);
    assert_eq!(told.status.code(), Some(3), "{}", stderr(&told));
    assert!(stdout(&told).contains("FAIL signature"), "{}", stdout(&told));

    assert!(stdout(&run(&server, &admin, &["identity-provider", "list"])).contains(&provider));
    assert!(run(&server, &admin, &["identity-provider", "disable", &provider]).status.success());
    assert_eq!(server.send("GET", "/v1/auth/session", &tokens[0], None).await.0, 401);
    assert!(run(&server, &admin, &["identity-provider", "enable", &provider]).status.success());
    assert_eq!(server.send("GET", "/v1/auth/session", &tokens[0], None).await.0, 200);
    assert!(run(&server, &admin, &["identity-provider", "delete", &provider]).status.success());
    assert_eq!(server.send("GET", "/v1/auth/session", &tokens[0], None).await.0, 401);
    issuer.verify().await;
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains(&tokens[0]) && !log.contains("ann@clinic.example"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_what_it_should_be_is_not_read() {
    let server = MockServer::start().await;
    let json = |text: String| ResponseTemplate::new(200).set_body_raw(text, "application/json");
    for (at, answer) in [
        ("/good", json("{}".to_owned()).insert_header("cache-control", "max-age=7")),
        ("/moved", ResponseTemplate::new(302).insert_header("location", format!("{}/elsewhere", server.uri()))),
        ("/html", ResponseTemplate::new(200).set_body_raw("{}", "text/html")),
        ("/gone", ResponseTemplate::new(404)),
        ("/long", json(format!("\"{}\"", "x".repeat(256 * 1024)))),
        ("/slow", json("{}".to_owned()).set_delay(Duration::from_secs(9))),
    ] {
        Mock::given(path(at)).respond_with(answer).mount(&server).await;
    }
    let settings = Issuers { plain: true, ..Issuers::default() };
    let fetcher = IssuerDocuments::new(&settings).unwrap();
    let fetch = async |at: &str| fetcher.fetch(&format!("{}{at}", server.uri())).await.map(|found| found.body);
    assert_eq!(fetch("/good").await, Ok(b"{}".to_vec()));
    assert_eq!(fetch("/long").await, Err(FetchError::TooLong));
    assert_eq!(fetch("/moved").await, Err(FetchError::Status(302)), "no redirect is followed");
    assert_eq!(fetch("/html").await, Err(FetchError::MediaType));
    assert_eq!(fetch("/gone").await, Err(FetchError::Status(404)));
    assert_eq!(fetch("/slow").await, Err(FetchError::Unreachable));
    let asked = server.received_requests().await.unwrap();
    assert!(asked.iter().all(|request| request.url.path() != "/elsewhere"));
    // In production this machine is nobody's issuer.
    let strict = IssuerDocuments::new(&Issuers::default()).unwrap();
    assert_eq!(strict.fetch(&format!("{}/good", server.uri())).await.map(drop), Err(FetchError::Refused("not https")));
}
