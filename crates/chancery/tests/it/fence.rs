//! Two servers over one PostgreSQL: when stopping a key has returned on one, no client gets a value from either.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::support::{Served, admin_key, tenant};

const CLIENTS: usize = 8;

/// One answer, as its client saw it.
struct Answer {
    node: usize,
    sent: Instant,
    got: Instant,
    opened: bool,
}

/// Opens the same value again and again until told to end.
async fn open_on(node: usize, base: String, key: String, body: Value, end: Arc<AtomicBool>) -> Vec<Answer> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut answers = Vec::new();
    while !end.load(Ordering::Relaxed) {
        let sent = Instant::now();
        let request = client.post(format!("{base}/v1/open")).header("x-api-key", &key).json(&body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let opened = status == 200 && text.contains("999-76-6866");
        assert!(opened || [401, 409, 503].contains(&status), "{status} {text}");
        answers.push(Answer { node, sent, got: Instant::now(), opened });
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_key_opens_nothing_on_any_node_once_the_call_has_returned() {
    let Ok(url) = std::env::var("CHANCERY_TEST_POSTGRES_URL") else {
        assert!(std::env::var_os("CHANCERY_TEST_REQUIRE_POSTGRES").is_none(), "PostgreSQL was promised");
        return;
    };
    let mut server_wide = PgConnection::connect(&url).await.unwrap();
    let name = format!("chancery_fence_{}", std::process::id());
    server_wide.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    let store = url.replacen("/postgres?", &format!("/{name}?"), 1);
    let arguments = ["--dev", "--store", store.as_str()];
    let (first_folder, second_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Served::start(&arguments, first_folder.path(), &[]);
    // The second machine: a folder of its own with the same root key.
    std::fs::copy(first_folder.path().join("root.key"), second_folder.path().join("root.key")).unwrap();
    let second = Served::start(&arguments, second_folder.path(), &[]);
    let admin = admin_key(first_folder.path());

    for how in ["suspend the tenant", "suspend the data key", "revoke the data key"] {
        stop_and_watch([&first, &second], &admin, how).await;
    }

    drop((first, second));
    server_wide.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
}

async fn stop_and_watch(nodes: [&Served; 2], admin: &str, how: &str) {
    let roles = ["service", "security_officer"];
    let (clinic, key) = tenant(nodes[0], admin, &how.replace(' ', "-"), &roles).await;
    let field = json!({ "class": "restricted" });
    nodes[0].must("PUT", "/v1/fields/patients/ssn", &key, Some(field)).await;
    let item = json!({ "table": "patients", "column": "ssn", "row": "1", "value": "999-76-6866" });
    let sealed = nodes[0].must("POST", "/v1/seal", &key, Some(json!({ "items": [item] }))).await;
    let item = json!({ "table": "patients", "column": "ssn", "row": "1", "sealed": sealed["items"][0]["sealed"] });
    let body = json!({ "reason": "treatment", "items": [item] });
    let (path, by, stop) = match how {
        "suspend the tenant" => (format!("/v1/tenants/{clinic}/suspend"), admin, json!({})),
        _ => {
            let keys = nodes[0].must("GET", "/v1/keys?managed=data", &key, None).await;
            let id = keys["items"][0]["id"].as_str().unwrap();
            match how {
                "suspend the data key" => (format!("/v1/keys/{id}/suspend"), key.as_str(), json!({})),
                _ => (format!("/v1/keys/{id}/revoke"), key.as_str(), json!({ "reason": "key_compromise" })),
            }
        }
    };

    let end = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let node = client % 2;
            tokio::spawn(open_on(node, nodes[node].base().to_owned(), key.clone(), body.clone(), Arc::clone(&end)))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = Instant::now();
    nodes[0].must("POST", &path, by, Some(stop)).await;
    let returned = Instant::now();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    end.store(true, Ordering::Relaxed);
    let mut answers = Vec::new();
    for client in clients {
        answers.extend(client.await.unwrap());
    }

    for node in 0..2 {
        let opened = |answer: &&Answer| answer.node == node && answer.opened && answer.got < asked;
        let refused = |answer: &&Answer| answer.node == node && !answer.opened && answer.sent > returned;
        assert!(answers.iter().filter(opened).count() > 10, "{how}: node {node} was at work before");
        assert!(answers.iter().any(|answer| refused(&answer)), "{how}: node {node} was asked after");
    }
    let late = answers.iter().filter(|answer| answer.opened && answer.sent > returned).count();
    assert_eq!(late, 0, "{how}: asked after the call had returned, and opened");
    // What left a server before may reach a client that had no turn yet; what is released after it returned would come in
    // a stream, for nodes learn by polling up to a quarter of a second later.
    let straggled = answers.iter().filter(|answer| answer.opened && answer.got > returned).count();
    assert!(straggled <= 1, "{how}: {straggled} answers came after the call had returned");
}
