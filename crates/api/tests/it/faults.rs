//! What an answer is when the store does not do its part.

use chancery_middleware::Limits;
use serde_json::json;

use crate::app::{Backend, TestApp};

#[tokio::test]
async fn an_instance_whose_store_is_down_is_not_ready() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await.door(Limits::default());
    app.anonymous("GET", "/readyz", None).await.ok();
    store.faults().fail_begin(true);
    // The answer of a moment ago is kept.
    app.anonymous("GET", "/readyz", None).await.ok();
    let app = app.door(Limits::default());
    let reply = app.anonymous("GET", "/readyz", None).await;
    reply.refused(503, "dependency.unavailable");
    assert!(reply.headers.contains_key("retry-after") && !reply.text().contains("told to fail"));
    app.anonymous("GET", "/livez", None).await.ok();
    store.faults().fail_begin(false);
    app.anonymous("GET", "/readyz", None).await.refused(503, "dependency.unavailable");
    app.door(Limits::default()).anonymous("GET", "/readyz", None).await.ok();
}

/// What comes is queued, but nothing of it reaches the log.
#[tokio::test]
async fn an_instance_without_room_for_this_months_events_is_not_ready() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await.door(Limits::default());
    app.anonymous("GET", "/readyz", None).await.ok();
    store.faults().fail_rooms(true);
    let app = app.door(Limits::default());
    app.anonymous("GET", "/readyz", None).await.refused(503, "audit.unavailable");
    store.faults().fail_rooms(false);
    app.door(Limits::default()).anonymous("GET", "/readyz", None).await.ok();
}

#[tokio::test]
async fn nothing_is_sealed_or_opened_without_its_event() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let sealed = app.seal(&clinic.service, "ssn", "p1", json!("123-45-6789")).await["sealed"].clone();
    let item = json!({"table": "patients", "column": "ssn", "row": "p1", "value": "123-45-6789"});
    let seal = json!({"items": [item]});
    let terms = json!({"items": [{"table": "patients", "column": "ssn", "value": "123-45-6789"}]});
    let reseal = json!({"items": [{"table": "patients", "column": "ssn", "row": "p1", "sealed": sealed}]});

    store.faults().fail_append(true);
    let opened = app.open(&clinic.service, "ssn", "p1", &sealed).await;
    let replies = [
        opened,
        app.post(&clinic.service, "/v1/seal", seal.clone()).await,
        app.post(&clinic.service, "/v1/terms", terms).await,
        app.post(&clinic.officer, "/v1/reseal", reseal).await,
    ];
    for reply in replies {
        reply.refused(503, "audit.unavailable");
        assert!(!reply.text().contains("6789") && !reply.text().contains("chy1."), "{}", reply.text());
    }
    store.faults().fail_append(false);
    assert_eq!(app.open(&clinic.service, "ssn", "p1", &sealed).await.ok()["items"][0]["value"], "123-45-6789");
    app.post(&clinic.service, "/v1/seal", seal).await.ok();
}

#[tokio::test]
async fn nothing_is_made_without_its_event_or_its_commit() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    let user = json!({"username": "ann", "email": "ann@x.test", "roles": ["staff"]});
    store.faults().fail_queue(true);
    app.post(&clinic.admin, "/v1/users", user.clone()).await.refused(503, "audit.unavailable");
    store.faults().fail_queue(false);
    store.faults().fail_commit(true);
    app.post(&clinic.admin, "/v1/users", user.clone()).await.refused(503, "dependency.unavailable");
    store.faults().fail_commit(false);
    app.post(&clinic.admin, "/v1/users", user).await.created();
}

#[tokio::test]
async fn a_credential_is_not_taken_for_wrong_when_nobody_can_look_it_up() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    store.faults().fail_directory(true);
    app.get(&clinic.staff, "/v1/auth/session").await.refused(503, "dependency.unavailable");
    let login = json!({"tenant": "ours", "username": "ann", "password": "x"});
    app.anonymous("POST", "/v1/auth/login", Some(login)).await.refused(503, "dependency.unavailable");
    store.faults().fail_directory(false);
    app.get(&clinic.staff, "/v1/auth/session").await.ok();
}

/// As when `fsync` fails, or the connection is cut after `COMMIT` was sent: what was done is done once, and nobody was told so.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_refused_and_done_once() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let item =
        |row: &str| json!({"items": [{"table": "patients", "column": "ssn", "row": row, "value": "123-45-6789"}]});
    store.faults().lose_answers(true);
    // Several at once share a commit.
    let (one, two, three) = tokio::join!(
        app.post(&clinic.service, "/v1/seal", item("p1")),
        app.post(&clinic.service, "/v1/seal", item("p2")),
        app.post(&clinic.service, "/v1/seal", item("p3")),
    );
    for reply in [one, two, three] {
        reply.refused(503, "audit.unavailable");
        assert!(!reply.text().contains("chy1."), "{}", reply.text());
    }
    let user = json!({"username": "ann", "email": "ann@x.test", "roles": ["staff"]});
    app.post(&clinic.admin, "/v1/users", user.clone()).await.refused(503, "dependency.unavailable");
    store.faults().lose_answers(false);
    app.post(&clinic.admin, "/v1/users", user).await.refused(409, "taken");
    app.post(&clinic.service, "/v1/seal", item("p4")).await.ok();
    // Each of them at most once, and the log goes on and is whole.
    let sealed = app.events(&clinic.auditor, "record.sealed").await;
    let mut requests: Vec<&str> = sealed.iter().map(|event| event["request_id"].as_str().unwrap()).collect();
    let told = requests.len();
    requests.sort_unstable();
    requests.dedup();
    assert_eq!((requests.len(), (1..=4).contains(&told)), (told, true), "{sealed:?}");
    assert!(app.get(&clinic.auditor, "/v1/audit/checkpoint").await.status.is_success());
    let tenant = clinic.id.parse().unwrap();
    assert_eq!(chancery_domain::audit::guard::inspect(&app.instance, tenant).await.unwrap(), []);
}

/// AU-09, as when a disk hangs: who reads personal data waits for the log, and gets nothing without it.
#[tokio::test]
async fn a_log_that_hangs_refuses_reads_in_time_and_goes_on_afterwards() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let sealed = app.seal(&clinic.service, "ssn", "p1", json!("123-45-6789")).await["sealed"].clone();
    store.faults().hang_append(true);
    let since = std::time::Instant::now();
    let reply = app.open(&clinic.service, "ssn", "p1", &sealed).await;
    reply.refused(503, "audit.unavailable");
    assert!(!reply.text().contains("6789"), "{}", reply.text());
    assert!((4..15).contains(&since.elapsed().as_secs()), "it waits five seconds: {:?}", since.elapsed());
    store.faults().hang_append(false);
    assert_eq!(app.open(&clinic.service, "ssn", "p1", &sealed).await.ok()["items"][0]["value"], "123-45-6789");
}
