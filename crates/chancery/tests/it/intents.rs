//! A process that dies while it opens personal data: the next one tells that nobody knows how it ended.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Served, admin_key, around_now, http, tenant};

/// The details of the events of openings in this phase.
async fn opened(server: &Served, key: &str, phase: &str) -> Vec<Value> {
    let path = format!("/v1/audit/events?{}&type=record.opened", around_now());
    let found = server.must("GET", &path, key, None).await;
    let cores = found["items"].as_array().unwrap().iter().map(|event| event["core"].as_str().unwrap());
    let cores: Vec<Value> = cores.map(|core| serde_json::from_str(core).unwrap()).collect();
    cores.into_iter().filter(|core| core["phase"] == phase).collect()
}

/// As [`opened`], of outcomes, once there are any.
async fn outcomes(server: &Served, key: &str) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let found = opened(server, key, "outcome").await;
        if !found.is_empty() {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "nobody closed it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_was_opening_is_closed_once_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Served::dev(&data);
    let roles = ["service", "auditor", "security_officer"];
    let (_, key) = tenant(&server, &admin_key(&data), "north", &roles).await;
    server.must("PUT", "/v1/fields/patients/photo", &key, Some(json!({"type": "bytes"}))).await;
    let place = "table=patients&column=photo&row=p1";
    let seal = http().post(format!("{}/v1/blobs/seal?{place}", server.base())).bearer_auth(&key);
    let sealed =
        seal.body(vec![7_u8; 1_000_000]).header("content-type", "application/octet-stream").send().await.unwrap();
    assert!(sealed.status().is_success(), "{}", sealed.status());
    let sealed = sealed.bytes().await.unwrap();

    // Its answer has begun, and it waits for the rest of what it opens.
    let address = server.base().strip_prefix("http://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /v1/blobs/open?{place} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\nchancery-reason: visit\r\n\
         content-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n",
        sealed.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&sealed[..600_000]).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    assert_eq!(opened(&server, &key, "intent").await.len(), 1);
    assert_eq!(opened(&server, &key, "outcome").await, Vec::<Value>::new());
    drop(server); // by SIGKILL

    let server = Served::dev(&data);
    let told = outcomes(&server, &key).await;
    let intents = opened(&server, &key, "intent").await;
    assert_eq!((told.len(), intents.len()), (1, 1));
    let (outcome, intent) = (&told[0], &intents[0]);
    assert_eq!(outcome["outcome"], 12);
    let detail = json!({"end": "indeterminate", "intent": intent["event_id"], "table": ["patients"]});
    assert_eq!(outcome["detail"], detail);
    for same in ["type", "request_id", "actor", "resource", "purpose"] {
        assert_eq!(outcome[same], intent[same], "{same}");
    }
    assert_eq!(outcome["node"]["id"], intent["node"]["id"]);
    assert_ne!(outcome["node"]["boot"], intent["node"]["boot"]);
    assert_eq!(server.stop().0, 0);

    let server = Served::dev(&data);
    assert_eq!(outcomes(&server, &key).await, told, "once");
}
