//! How long refused logins take, measured: `cargo xtask login-times`. Not a unit test: it wants a quiet machine and minutes.

use std::time::{Duration, Instant};

use chancery_crypto::password::Cost;
use serde_json::json;

use crate::app::TestApp;

const PASSWORD: &str = "Correct-Horse-7-Battery";
/// What each of the four is tried with; the first is what the others are compared with.
const KINDS: [(&str, &str, &str); 4] = [
    ("wrong password", "zoe", "Correct-Horse-8-Battery"),
    ("unknown user", "nobody", PASSWORD),
    ("locked account", "lou", PASSWORD),
    ("disabled user", "dan", PASSWORD),
];
/// By how much the medians may differ (issue 4).
const MOST: f64 = 0.05;

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

#[tokio::test]
#[ignore = "measures for minutes; run by `cargo xtask login-times` on a quiet machine"]
async fn refused_logins_take_the_same_time_whatever_is_wrong() {
    let trials: usize = std::env::var("CHANCERY_LOGIN_TRIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(400);
    let cheap = TestApp::new().await;
    // At the cost of production, from the first hash on.
    let app = cheap.again(|settings| settings.password_cost = Cost::default()).await;
    let clinic = app.clinic("north").await;
    for name in ["zoe", "lou", "dan"] {
        let body =
            json!({"username": name, "email": format!("{name}@x.test"), "password": PASSWORD, "roles": ["staff"]});
        let id = app.post(&clinic.admin, "/v1/users", body).await.created()["id"].as_str().unwrap().to_owned();
        if let Some(verb) = [("lou", "lock"), ("dan", "disable")].iter().find(|(of, _)| *of == name) {
            app.post(&clinic.admin, &format!("/v1/users/{id}/{}", verb.1), json!({})).await.ok();
        }
    }
    let mut times = [const { Vec::new() }; KINDS.len()];
    for round in 0..trials + 5 {
        // In another order each round, so that none always comes first.
        for step in 0..KINDS.len() {
            let kind = (round + step) % KINDS.len();
            let (_, username, password) = KINDS[kind];
            let body = json!({"tenant": "north", "username": username, "password": password});
            let began = Instant::now();
            let reply = app.anonymous("POST", "/v1/auth/login", Some(body)).await;
            let took = began.elapsed();
            reply.refused(401, "auth.login_failed");
            if round >= 5 {
                times[kind].push(took);
            }
        }
    }
    let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
    println!("| refused login, {trials} each | median ms | against a wrong password |");
    println!("| --- | --- | --- |");
    let mut worst: f64 = 0.0;
    for ((what, ..), time) in KINDS.iter().zip(&medians) {
        let off = time / medians[0] - 1.0;
        worst = worst.max(off.abs());
        println!("| {what} | {time:.3} | {:+.2} % |", off * 100.0);
    }
    println!("{}", json!({"login_times_differ_percent": worst * 100.0}));
    println!("the largest difference is {:.2} %; at most {:.0} % is wanted", worst * 100.0, MOST * 100.0);
    assert!(worst < MOST);
}
