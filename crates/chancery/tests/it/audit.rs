//! `chancery audit …` against a server of its own process.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chancery::{
    clock::SystemClock,
    config::{Config, Flags},
    wiring::{self, Stores, providers::Providers},
};
use chancery_domain::{
    Clock, Instance, TenantId, Timestamp,
    audit::{guard, retention},
    ids::NodeId,
    instance::Ports,
};
use serde_json::{Value, json};

use crate::support::{Served, admin_key, chancery, finish, run, stderr, stdout, tenant};

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

/// A reason, an address or a note that a patient or a court is shown: not our word, but what the signed log committed to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_is_disclosed_is_what_the_log_committed_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let server = Served::dev(&at.join("data"));
    let (_, key) = tenant(&server, &admin_key(&at.join("data")), "north", &["service", "auditor"]).await;
    let event = json!({"type": "app.step", "personal": {"note": "Zoë went home", "recipient": "Zoë went home"}});
    server.must("POST", "/v1/audit/events", &key, Some(event)).await;
    let (file, out) = (key_file(at, &key), at.join("events.jsonl"));
    let exported = run(&[
        "audit",
        "export",
        "--personal",
        "--type",
        "app.step",
        "--out",
        out.to_str().unwrap(),
        "--url",
        server.base(),
        "--api-key-file",
        &file,
    ]);
    assert!(exported.status.success(), "{}", stderr(&exported));
    let line: Value = serde_json::from_str(fs::read_to_string(&out).unwrap().trim_end()).unwrap();
    let texts = line["sealed_part"].as_object().unwrap().len();
    assert_eq!(line["sealed_part"]["note"]["value"], "Zoë went home");
    let checker = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/audit/check_events.py");
    let check = |line: &Value| {
        fs::write(&out, format!("{line}\n")).unwrap();
        std::process::Command::new("python3").arg(checker).arg(&out).output().unwrap()
    };
    let said = check(&line);
    assert!(said.status.success() && stdout(&said).contains(&format!(" {texts} disclosed texts")), "{}", stdout(&said));
    // Some of them may be shown and others not.
    let mut one = line.clone();
    one["sealed_part"] = json!({"note": line["sealed_part"]["note"]});
    assert!(stdout(&check(&one)).contains(" 1 disclosed texts"));
    // Another text, another salt, or the same text under another name.
    let other = &line["sealed_part"]["recipient"];
    for (place, changed) in [
        ("/sealed_part/note/value", json!("Zoe went home")),
        ("/sealed_part/note/salt", other["salt"].clone()),
        ("/sealed_part/note", other.clone()),
    ] {
        let mut forged = line.clone();
        *forged.pointer_mut(place).unwrap() = changed;
        let said = check(&forged);
        assert!(!said.status.success() && stdout(&said).contains("not what the leaf commits to"), "{}", stdout(&said));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_a_log_is_kept_is_said_held_and_purged_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let admin = admin_key(folder.path());
    let (id, first) = tenant(&server, &admin, "clinic", &["security_officer", "auditor"]).await;
    let body = json!({"description": "second", "roles": ["security_officer"]});
    let second = server.must("POST", &format!("/v1/tenants/{id}/api-keys"), &admin, Some(body)).await;
    let second = second["key"].as_str().unwrap().to_owned();
    let run = |key: &str, arguments: &[&str]| {
        finish(chancery(arguments).env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", key))
    };
    let ok = |key: &str, arguments: &[&str]| {
        let output = run(key, arguments);
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
        stdout(&output).trim_end().to_owned()
    };
    let shown: Value = serde_json::from_str(&ok(&first, &["audit", "retention", "--json"])).unwrap();
    assert_eq!((&shown["months"], &shown["automatic"], &shown["holds"]), (&json!(72), &json!(false), &json!([])));
    assert!(ok(&first, &["audit", "retention", "set", "--months", "120"]).contains("120"));
    let again: Value = serde_json::from_str(&ok(&first, &["audit", "retention", "confirm", "--json"])).unwrap();
    assert_eq!(
        (&again["months"], &again["automatic"]),
        (&json!(120), &json!(false)),
        "what counts is said again, by one"
    );
    assert_ne!(again["changed_at"], shown["changed_at"]);
    let set = ["audit", "retention", "set", "--months", "72", "--automatic"];
    let asked: Value = serde_json::from_str(&ok(&first, &[&set[..], &["--json"]].concat())).unwrap();
    let approval = asked["approval_id"].as_str().unwrap();
    assert!(ok(&second, &["approval", "show", approval]).contains("audit.retention"));
    ok(&second, &["approval", "approve", approval]);
    let less = ok(&first, &[&set[..], &["--approval", approval]].concat());
    assert!(less.contains("automatic") && less.contains("true"), "{less}");
    let short = run(&first, &["audit", "retention", "set", "--months", "12"]);
    assert!(!short.status.success() && stderr(&short).contains("72 to 1200"), "{}", stderr(&short));

    let place =
        ["audit", "hold", "place", "suit-2031", "--from", "2026-09-01T00:00:00Z", "--reason", "Smith v. clinic"];
    assert!(ok(&first, &place).contains("suit-2031"));
    assert!(!run(&first, &place).status.success(), "once under a name");
    let listed = ok(&first, &["audit", "hold", "list"]);
    assert!(listed.contains("suit-2031") && !listed.contains("Smith"), "{listed}");
    assert!(ok(&first, &["audit", "retention"]).contains("suit-2031"));
    let lift = ["audit", "hold", "lift", "suit-2031", "--reason", "settled"];
    let asked: Value = serde_json::from_str(&ok(&first, &[&lift[..], &["--json"]].concat())).unwrap();
    let approval = asked["approval_id"].as_str().unwrap();
    ok(&second, &["approval", "approve", approval]);
    ok(&first, &[&lift[..], &["--approval", approval]].concat());
    assert!(!ok(&first, &["audit", "hold", "list"]).contains("suit-2031"));
    let odd = run(&first, &["audit", "hold", "lift", "../x", "--reason", "x"]);
    assert!(!odd.status.success() && stderr(&odd).contains("no name of a hold"), "{}", stderr(&odd));

    // A log of today has nothing that is old enough.
    assert_eq!(ok(&first, &["audit", "purge", "--dry-run", "--json"]), "[]");
    let none = run(&first, &["audit", "purge", "--reason", "x"]);
    assert!(!none.status.success() && stderr(&none).contains("nothing to purge"), "{}", stderr(&none));
    let early = run(&first, &["audit", "purge", "--before", "2026-13", "--dry-run"]);
    assert!(!early.status.success(), "{}", stdout(&early));
}

/// The clock of a day that is so many days away.
struct Later(AtomicI64);

impl Clock for Later {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_seconds(self.0.load(Ordering::Relaxed) * 86_400)
    }
}

/// Two officers say that months go by themselves.
async fn goes_by_itself(server: &Served, data: &Path, tenant: &str) {
    let (admin, mut officers) = (admin_key(data), Vec::new());
    for _ in 0..2 {
        let body = json!({"description": "officer", "roles": ["security_officer"]});
        let made = server.must("POST", &format!("/v1/tenants/{tenant}/api-keys"), &admin, Some(body)).await;
        officers.push(made["key"].as_str().unwrap().to_owned());
    }
    let (path, mut wanted) = ("/v1/audit/retention", json!({"months": 72, "automatic": true}));
    let asked = server.must("PUT", path, &officers[0], Some(wanted.clone())).await;
    wanted["approval_id"] = asked["approval_id"].clone();
    let approve = format!("/v1/approvals/{}/approve", asked["approval_id"].as_str().unwrap());
    server.must("POST", &approve, &officers[1], Some(json!({}))).await;
    server.must("PUT", path, &officers[0], Some(wanted)).await;
}

/// Purges what is due six years and a half later, in the stopped server's own store.
async fn purge_later(data: &Path, tenant: &str) {
    let tenant: TenantId = tenant.parse().unwrap();
    let flags = Flags { dev: true, data: Some(data.to_owned()), ..Flags::default() };
    let (config, _) = Config::load(&flags, &[]).unwrap();
    let stores = Stores::open(&config).await.unwrap();
    let provider = Arc::new(chancery_kms::Local::open(&data.join("root.key")).unwrap());
    let providers = Providers { root: vec![("local".to_owned(), provider)], ..Providers::default() };
    let clock = Arc::new(Later(AtomicI64::new(2_350)));
    let ports = Ports { clock: Arc::<Later>::clone(&clock), ..stores.ports(&providers) };
    let instance = Instance::open(ports, wiring::settings(&config), NodeId::from_bytes([2; 16])).await.unwrap();
    // The clock of that day has gone on for a while, as clocks do.
    for day in 2_350..2_431 {
        clock.0.store(day, Ordering::Relaxed);
        guard::step(&instance, tenant, u64::MAX).await.unwrap();
    }
    let done = retention::tend(&instance, tenant).await.unwrap();
    assert!(done.ordered > 0 && done.events > 30, "{done:?}");
    drop(instance);
    stores.archives.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_log_is_verified_as_purged_and_its_exports_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Served::dev(&data);
    let (id, key) = tenant(&server, &admin_key(&data), "north", &["service", "auditor"]).await;
    append(&server, &key, 40).await;
    let path = key_file(folder.path(), &key);
    let audit = |server: &Served, arguments: &[&str]| {
        let shared = ["--url", server.base(), "--api-key-file", path.as_str()];
        run(&["audit"].iter().chain(arguments).chain(&shared).copied().collect::<Vec<_>>())
    };
    let state = folder.path().join("state");
    let state = state.to_str().unwrap();
    let whole = audit(&server, &["verify", "--state", state]);
    assert_eq!(whole.status.code(), Some(0), "{}{}", stdout(&whole), stderr(&whole));
    goes_by_itself(&server, &data, &id).await;
    server.stop();

    purge_later(&data, &id).await;
    let server = Served::dev(&data);
    // It only grew since, and what is missing went by order.
    let purged = audit(&server, &["verify", "--state", state, "--first", "0", "--end", "30"]);
    let text = stdout(&purged);
    assert_eq!(purged.status.code(), Some(0), "{text}{}", stderr(&purged));
    assert!(text.contains("only grew since") && text.contains("went when their time was over"), "{text}");
    let out = folder.path().join("left.jsonl");
    let from = SystemClock.now().plus_seconds(-86_400).to_string();
    let exported = audit(&server, &["export", "--from", &from, "--type", "app.step", "--out", out.to_str().unwrap()]);
    let text = stdout(&exported);
    assert!(exported.status.success() && text.starts_with("0 events"), "{text}{}", stderr(&exported));
    assert!(text.contains("were purged when their time was over: certificate crt_"), "{text}");
}
