//! What cannot be known or told does not go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, routing::any};
use chancery_gateway::{Authentication, assertion::Assertions};

use crate::{
    application::served,
    stage::{SOON, Stage, route},
};

/// An application that counts what reached it.
async fn counting() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let handler = any(move || {
        let seen = Arc::clone(&seen);
        async move { seen.fetch_add(1, Ordering::SeqCst).to_string() }
    });
    (served(Router::new().fallback(handler)).await, count)
}

#[tokio::test]
async fn a_request_that_the_log_does_not_take_does_not_reach_the_application() {
    let (app, count) = counting().await;
    let mut told = route("/told", app);
    (told.authentication, told.audit) = (Authentication::Required, true);
    let stage = Stage::with(vec![told]).await;
    let (_, key) = stage.key("clinician").await;
    let key = format!("X-API-Key: {key}");
    assert_eq!(stage.send("GET", "/told", &[&key]).await.status, 200);
    type Switch = fn(&chancery_testkit::Faults, bool);
    // Refused by the log, and taken with an answer that was lost: it is not known, so it is not done.
    let switches: [(&str, Switch); 2] =
        [("append", chancery_testkit::Faults::fail_append), ("answer", chancery_testkit::Faults::lose_answers)];
    for (what, switch) in switches {
        switch(stage.store.faults(), true);
        for method in ["GET", "POST"] {
            let refused = stage.send(method, "/told", &[&key, "content-length: 0"]).await;
            assert_eq!(refused.status, 503, "{what}: {}", refused.whole);
            assert_eq!(refused.headers["content-type"], "application/problem+json");
        }
        switch(stage.store.faults(), false);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1, "and the application heard of none of them");
    assert_eq!(stage.send("GET", "/told", &[&key]).await.status, 200, "and then it goes on");
}

#[tokio::test]
async fn without_the_store_nobody_is_let_in_and_nobody_is_called_a_liar() {
    let (app, count) = counting().await;
    let mut known = route("/known", app);
    known.authentication = Authentication::Required;
    let mut maybe = route("/maybe", app);
    maybe.authentication = Authentication::Optional;
    let stage = Stage::demanding(vec![known, maybe], vec![Arc::new(Assertions)]).await;
    let (_, key) = stage.key("clinician").await;
    let (_, warm) = stage.key("clinician").await;
    let (key, warm) = (format!("X-API-Key: {key}"), format!("X-API-Key: {warm}"));
    assert_eq!(stage.send("GET", "/known", &[&warm]).await.status, 200);
    let faults = stage.store.faults();
    let fail = |fails| {
        faults.fail_view(fails);
        faults.fail_begin(fails);
        faults.fail_directory(fails);
        faults.fail_append(fails);
    };
    fail(true);
    for path in ["/known", "/maybe"] {
        let refused = stage.send("GET", path, &[&key]).await;
        assert_eq!(refused.status, 503, "{path}: {}", refused.whole);
    }
    // What was found a moment ago is believed for a moment, and not for longer.
    let begun = Instant::now();
    while stage.send("GET", "/known", &[&warm]).await.status != 503 {
        assert!(begun.elapsed() < SOON / 4, "a credential is still believed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = count.load(Ordering::SeqCst);
    assert_eq!(stage.send("GET", "/known", &[&warm]).await.status, 503);
    assert_eq!(count.load(Ordering::SeqCst), before);
    fail(false);
    assert_eq!(stage.send("GET", "/known", &[&key]).await.status, 200);
}
