//! `chancery audit …` against a server of its own process.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{Served, admin_key, run, stderr, stdout, tenant};

fn key_file(folder: &Path, key: &str) -> String {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.join("key");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
    std::io::Write::write_all(&mut file, key.as_bytes()).unwrap();
    path.to_str().unwrap().to_owned()
}

async fn append(server: &Served, key: &str, count: u64) {
    let items: Vec<Value> = (0..count)
        .map(|n| json!({"type": "app.step", "details": {"n": n}, "references": [{"kind": "subject", "id": "MRN-1"}]}))
        .collect();
    for items in items.chunks(100) {
        server.must("POST", "/v1/audit/events/batch", key, Some(json!({"items": items}))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_searched_exported_and_verified_here_and_a_shorter_one_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let server = Served::dev(&at.join("data"));
    let (_, key) = tenant(&server, &admin_key(&at.join("data")), "north", &["service", "auditor"]).await;
    append(&server, &key, 30).await;
    let key_file = key_file(at, &key);
    let audit = |arguments: &[&str]| {
        let shared = ["--url", server.base(), "--api-key-file", key_file.as_str()];
        run(&["audit"].iter().chain(arguments).chain(&shared).copied().collect::<Vec<_>>())
    };

    let table = audit(&["search", "--type-prefix", "app."]);
    assert!(table.status.success(), "{}", stderr(&table));
    assert_eq!(stdout(&table).lines().count(), 31, "{}", stdout(&table));
    assert!(stdout(&table).starts_with("INDEX"), "{}", stdout(&table));
    let limited = audit(&["search", "--type", "app.step", "--limit", "7", "--json"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&stdout(&limited)).unwrap().len(), 7);
    let person = at.join("person");
    fs::write(&person, "MRN-1\n").unwrap();
    let of_person = audit(&["search", "--subject-file", person.to_str().unwrap(), "--type", "app.step", "--json"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&stdout(&of_person)).unwrap().len(), 30);
    let security = audit(&["search", "--security", "--json"]);
    assert!(!stdout(&security).contains("app.step"), "{}", stdout(&security));
    let tail = audit(&[
        "tail",
        "--looks",
        "2",
        "--every",
        "1",
        "--from",
        "2026-01-01T00:00:00Z",
        "--type-prefix",
        "app.",
        "--json",
    ]);
    assert_eq!(stdout(&tail).lines().count(), 30, "{}{}", stdout(&tail), stderr(&tail));

    let out = at.join("events.jsonl");
    let exported = audit(&["export", "--type", "app.step", "--out", out.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", stderr(&exported));
    assert_eq!(crate::support::mode(out.clone()), 0o600);
    let checker = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/audit/check_events.py");
    let check = || std::process::Command::new("python3").arg(checker).arg(&out).output().unwrap();
    let said = check();
    assert!(stdout(&said).starts_with("30 events, 30 proofs, 0 second arrivals, 0 faults"), "{}", stdout(&said));
    let twice = audit(&["export", "--out", out.to_str().unwrap()]);
    assert!(!twice.status.success(), "an export overwrites nothing");
    // One letter of a leaf, and the other program finds it.
    let text = fs::read_to_string(&out).unwrap().replacen("\\\"n\\\":7", "\\\"n\\\":8", 1);
    fs::write(&out, text).unwrap();
    assert!(!check().status.success());

    let state = at.join("state");
    let first = audit(&["verify", "--state", state.to_str().unwrap()]);
    assert_eq!(first.status.code(), Some(0), "{}{}", stdout(&first), stderr(&first));
    assert!(stdout(&first).contains("seen for the first time"), "{}", stdout(&first));
    append(&server, &key, 300).await;
    let again = audit(&["verify", "--state", state.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(0), "{}{}", stdout(&again), stderr(&again));
    assert!(stdout(&again).contains("only grew since it had"), "{}", stdout(&again));
    let part = audit(&["verify", "--first", "10", "--end", "20", "--json"]);
    let part: Value = serde_json::from_str(&stdout(&part)).unwrap();
    assert_eq!(part["verified"], true, "{part}");

    // The same file, and a server that has another log: what was seen before is not a beginning of it.
    let other = Served::dev(&at.join("other"));
    let (_, other_key) = tenant(&other, &admin_key(&at.join("other")), "north", &["service", "auditor"]).await;
    let other_file = self::key_file(&at.join("other"), &other_key);
    let state = state.to_str().unwrap();
    let forged = run(&["audit", "verify", "--state", state, "--url", other.base(), "--api-key-file", &other_file]);
    assert_eq!(forged.status.code(), Some(30), "{}", stdout(&forged));
    let text = stdout(&forged);
    let accepted = text.split("signed by ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let shared = ["--state", state, "--url", other.base(), "--api-key-file", &other_file, "--accept-key", &accepted];
    let shorter = run(&["audit", "verify"].iter().chain(&shared).copied().collect::<Vec<_>>());
    assert_eq!(shorter.status.code(), Some(30), "{}", stdout(&shorter));
    assert!(stdout(&shorter).contains("lost or changed events"), "{}", stdout(&shorter));
}
