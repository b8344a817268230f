//! A disk that is full, by real means: the system refuses to let the store's files grow.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Served, admin_key, around_now, run, stderr, tenant};

/// `chancery serve` whose files may not grow beyond so many bytes. Killed when dropped.
struct Confined {
    child: Child,
    base: String,
}

impl Confined {
    fn start(dir: &Path, bytes: u64) -> Self {
        // Not the signal that ends a process, but the error that a write gets.
        let confined = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", bytes / 512);
        let mut child = Command::new("dash")
            .args(["-c", &confined, "chancery", env!("CARGO_BIN_EXE_chancery"), "serve", "--dev", "--data"])
            .arg(dir)
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (_, base) = line.trim().split_once(" ready at ").unwrap_or_else(|| panic!("{line}"));
        Self { base: base.to_owned(), child }
    }

    /// The status, and the id of the request.
    async fn seal(&self, key: &str, number: u32) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let item = json!({ "table": "patients", "column": "ssn", "row": format!("{number}"), "value": "1" });
        let request = client.post(format!("{}/v1/seal", self.base)).bearer_auth(key);
        let answer = request.json(&json!({ "items": [item] })).send().await.unwrap();
        (answer.status().as_u16(), answer.headers()["x-request-id"].to_str().unwrap().to_owned())
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The requests that the log says sealed something, each as often as it says so.
async fn sealed(server: &Served, key: &str) -> Vec<String> {
    let (mut requests, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/audit/events?{}&type=record.sealed&limit=1000{cursor}", around_now());
        let page = server.must("GET", &path, key, None).await;
        let ids =
            page["items"].as_array().unwrap().iter().map(|event| event["request_id"].as_str().unwrap().to_owned());
        requests.extend(ids);
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return requests,
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing_that_was_acknowledged() {
    if Command::new("dash").args(["-c", "exit 0"]).status().is_err() {
        eprintln!("no dash: nothing confines the server");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let admin = admin_key(folder.path());
    let (_, key) = tenant(&server, &admin, "clinic", &["security_officer", "service", "auditor"]).await;
    server.must("PUT", "/v1/fields/patients/ssn", &key, Some(json!({}))).await;
    assert_eq!(server.stop().0, 0);

    let size = std::fs::metadata(folder.path().join("chancery.db")).unwrap().len();
    let confined = Confined::start(folder.path(), size + 256 * 1024);
    let (mut acknowledged, mut tried, mut refused) = (BTreeSet::new(), BTreeSet::new(), 0);
    for number in 0..3_000 {
        let (status, id) = confined.seal(&key, number).await;
        tried.insert(id.clone());
        match status {
            200 => assert!(acknowledged.insert(id), "an id was given twice"),
            // What could not be written was not done, and it says so.
            503 => refused += 1,
            status => panic!("a full disk answers {status}"),
        }
        if refused == 5 {
            break;
        }
    }
    assert!(refused == 5 && acknowledged.len() > 3, "{refused} refused, {} acknowledged", acknowledged.len());
    drop(confined);

    // There is room again: everything that was acknowledged is there, once.
    let server = Served::dev(folder.path());
    let in_log = sealed(&server, &key).await;
    let once: BTreeSet<String> = in_log.iter().cloned().collect();
    assert_eq!(once.len(), in_log.len(), "something is there twice");
    assert!(acknowledged.is_subset(&once), "lost: {:?}", acknowledged.difference(&once).collect::<Vec<_>>());
    assert!(once.is_subset(&tried));
    server
        .must(
            "POST",
            "/v1/seal",
            &key,
            Some(json!({ "items": [
        { "table": "patients", "column": "ssn", "row": "x", "value": "1" }
    ] })),
        )
        .await;
    assert_eq!(server.stop().0, 0);
    let scrubbed = run(&["audit", "scrub", "--dev", "--data", folder.path().to_str().unwrap()]);
    assert!(scrubbed.status.success(), "{}", stderr(&scrubbed));
}
