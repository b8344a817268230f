//! The binary over a Redis: it counts there, lives without it, and does not start with one that forgets.

use chancery_redis::testing::Server;
use serde_json::json;

use crate::support::{Served, chancery, finish, stderr};

/// The defaults of a production's limits, and what the tests' server leaves out.
const LOGIN: (&str, &str) = ("CHANCERY__LIMITS__LOGIN", "5/60");

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
    assert!(!log.contains(password), "{log}");
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
