//! The binary over a Redis: it counts there, lives without it, and does not start with one that forgets.

use chancery_redis::testing::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;

use crate::support::{Served, chancery, finish, stderr};

/// The defaults of a production's limits, and what the tests' server leaves out.
const LOGIN: (&str, &str) = ("CHANCERY__LIMITS__LOGIN", "5/60");
/// What is said of a Redis that lets everybody in.
const UNGUARDED: &str = "Redis is used without a password";

async fn log_in(server: &Served) -> u16 {
    let body = json!({"tenant": "clinic", "username": "ann", "password": "Wrong-Horse-7-Battery"});
    server.send("POST", "/v1/auth/login", "", Some(body)).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_counted_in_redis_and_refused_without_it() {
    let Some(mut redis) = Server::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (url, password) = (redis.url(), redis.password());
    let variables =
        [("REDIS_URL", url.as_str()), ("REDIS_PASSWORD", password), LOGIN, ("CHANCERY__REDIS__TIMEOUT_MS", "2000")];
    let server = Served::start(&["--dev"], folder.path(), &variables);
    for _ in 0..5 {
        assert_eq!(log_in(&server).await, 401);
    }
    assert_eq!(log_in(&server).await, 429);
    let keys = format!("{:?}", redis.tell(&["KEYS", "rl:*"]).await);
    assert!(keys.contains(":login:") && !keys.contains("127.0.0.1"), "{keys}");
    redis.kill().await;
    redis.start_again().await;
    redis.kill().await;
    // Who was refused a moment ago is refused here; after that nobody is let through uncounted.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert!([429, 503].contains(&log_in(&server).await));
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains(password) && !log.contains(UNGUARDED), "{log}");
}

/// CF-06.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_a_password_is_told_of_in_development() {
    let Some(redis) = Server::start().await else { return };
    redis.tell(&["CONFIG", "SET", "requirepass", ""]).await;
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    let (code, log) = Served::start(&["--dev"], folder.path(), &[("REDIS_URL", url.as_str())]).stop();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains(UNGUARDED), "{log}");
}

/// ST-05, AK-05.
#[tokio::test(flavor = "multi_thread")]
async fn over_tls_it_counts_and_leaves_sealed_keys_and_takes_them_away_when_they_are_revoked() {
    let key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let pems = [certificate.pem(), key.serialize_pem(), ca.pem()];
    let Some(redis) = Server::start_tls(pems.each_ref().map(String::as_str)).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (url, ca_file) = (redis.url(), redis.ca_file().unwrap().to_str().unwrap());
    let variables = [
        ("REDIS_URL", url.as_str()),
        ("REDIS_PASSWORD", redis.password()),
        ("CHANCERY__REDIS__CA_FILE", ca_file),
        ("CHANCERY__REDIS__API_KEYS", "true"),
        ("CHANCERY__REDIS__TIMEOUT_MS", "2000"),
        LOGIN,
    ];
    let server = Served::start(&["--dev"], folder.path(), &variables);
    for _ in 0..5 {
        assert_eq!(log_in(&server).await, 401);
    }
    assert_eq!(log_in(&server).await, 429);
    let admin = std::fs::read_to_string(folder.path().join("admin-api-key")).unwrap();
    let body = json!({"description": "x", "roles": ["platform_auditor"]});
    let (status, made) = server.send("POST", "/v1/api-keys", admin.trim(), Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let (id, text) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert_eq!(server.send("GET", "/v1/auth/session", text, None).await.0, 200);
    let place = format!("ak:{id}");
    let is_there = async || format!("{:?}", redis.tell(&["EXISTS", &place]).await).contains('1');
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !is_there().await {
        assert!(std::time::Instant::now() < deadline, "nothing was left");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let (status, _) = server.send("POST", &format!("/v1/api-keys/{id}/revoke"), admin.trim(), None).await;
    assert_eq!((status, is_there().await), (200, false));
    assert_eq!(server.send("GET", "/v1/auth/session", text, None).await.0, 401);
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_evicts_counters_stops_the_start() {
    let Some(redis) = Server::start_with(&["--maxmemory-policy", "allkeys-lfu"]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut serve = chancery(&["serve", "--dev", "--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()]);
    serve.env("CHANCERY__SERVER__METRICS_LISTEN", "127.0.0.1:0").env("REDIS_URL", redis.url());
    let output = finish(serve.env("REDIS_PASSWORD", redis.password()));
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(said.contains("maxmemory-policy allkeys-lfu") && !said.contains(redis.password()), "{said}");
}
