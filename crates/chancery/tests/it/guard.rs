//! How the log is guarded, with processes, files and witnesses as they are in production.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{Served, admin_key, around_now, chancery, run, stderr, stdout, tenant};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs `chancery … --json` in development on `dir`; it must succeed.
fn told(arguments: &[&str], dir: &Path) -> Value {
    let output = run(&[arguments, &["--dev", "--data", text(dir), "--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// Something that is in the log.
async fn event(server: &Served, key: &str) {
    server.must("GET", "/v1/fields", key, None).await;
}

async fn status(server: &Served, path: &str, key: &str) -> (u16, Value) {
    let (status, body) = server.send("GET", path, key, None).await;
    (status, body["code"].clone())
}

/// Nobody asks for it: reading the checkpoint would sign one.
#[tokio::test]
async fn a_log_that_grew_is_signed_within_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let admin = admin_key(folder.path());
    let (id, key) = tenant(&server, &admin, "clinic", &["security_officer", "service", "auditor"]).await;
    event(&server, &key).await;
    let grown = Instant::now();
    loop {
        let log = told(&["audit", "guard", "--tenant", &id], folder.path())["logs"][0].clone();
        if log["size"].as_u64().unwrap() > 0 && log["signed"] == log["size"] {
            assert_eq!(log["pinned"], log["signed"]);
            break;
        }
        // A busy machine gets a little more.
        assert!(grown.elapsed() < Duration::from_secs(14), "{log}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(server.stop().0, 0);
}

#[tokio::test]
async fn yesterdays_store_is_not_signed_until_somebody_accepts_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Served::dev(&dir);
    let admin = admin_key(&dir);
    let (id, key) = tenant(&server, &admin, "clinic", &["security_officer", "service", "auditor"]).await;
    assert_eq!(status(&server, "/v1/audit/checkpoint", &key).await.0, 200);
    assert_eq!(server.stop().0, 0);
    let (store, yesterday) = (dir.join("chancery.db"), folder.path().join("yesterday.db"));
    fs::copy(&store, &yesterday).unwrap();
    // A day's work, signed.
    let server = Served::dev(&dir);
    for _ in 0..5 {
        event(&server, &key).await;
    }
    assert_eq!(status(&server, "/v1/audit/checkpoint", &key).await.0, 200);
    assert_eq!(server.stop().0, 0);
    let before = told(&["audit", "guard"], &dir);
    assert!(before["logs"].as_array().unwrap().iter().all(|log| log["pinned"] == log["signed"]), "{before}");

    // Somebody puts yesterday's file back.
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", text(&store)));
    }
    fs::copy(&yesterday, &store).unwrap();
    let server = Served::dev(&dir);
    assert_eq!(status(&server, "/v1/audit/checkpoint", &key).await, (503, json!("audit.rolled_back")));
    assert_eq!(server.send("GET", "/readyz", &key, None).await.0, 503);
    event(&server, &key).await;
    let (code, log) = server.stop();
    assert_eq!(code, 0);
    assert!(log.contains("log_rolled_back") && log.contains("accept-restore --tenant"), "{log}");
    // Starting again changes nothing of that, and looking finds it.
    let found = run(&["audit", "scrub", "--dev", "--data", text(&dir), "--json", "--tenant", &id]);
    assert_eq!(found.status.code(), Some(30), "{}", stderr(&found));
    let found: Value = serde_json::from_str(&stdout(&found)).unwrap();
    assert_eq!(found["findings"][0]["check"], "pin", "{found}");

    // The documented procedure.
    let accepted = told(&["audit", "accept-restore", "--all"], &dir);
    let accepted: Vec<&str> =
        accepted["accepted"].as_array().unwrap().iter().map(|one| one["tenant"].as_str().unwrap()).collect();
    assert!(accepted.contains(&id.as_str()), "{accepted:?}");
    let server = Served::dev(&dir);
    assert_eq!(status(&server, "/v1/audit/checkpoint", &key).await.0, 200);
    assert_eq!(server.send("GET", "/readyz", &key, None).await.0, 200);
    let path = format!("/v1/audit/events?{}&type=log.restore_accepted", around_now());
    let events = server.must("GET", &path, &key, None).await;
    let core: Value = serde_json::from_str(events["items"][0]["core"].as_str().unwrap()).unwrap();
    let detail = &core["detail"];
    assert!(detail["pinned_size"].as_u64().is_some() && detail["pinned_root"].as_str().unwrap().len() == 64, "{core}");
    assert_eq!(server.stop().0, 0);
    let whole = told(&["audit", "scrub"], &dir);
    assert_eq!((&whole["findings"], whole["rows"].as_u64().unwrap() > 10), (&json!([]), true), "{whole}");
    assert_eq!(told(&["audit", "accept-restore", "--tenant", &id], &dir)["accepted"], json!([]), "nothing is behind");
}

#[tokio::test]
async fn a_restore_by_who_holds_the_root_goes_on_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Served::dev(&dir);
    let admin = admin_key(&dir);
    let (_, key) = tenant(&server, &admin, "clinic", &["security_officer", "service", "auditor"]).await;
    let backup = folder.path().join("backup");
    told(&["backup", "--out", text(&backup)], &dir);
    for _ in 0..3 {
        event(&server, &key).await;
    }
    assert_eq!(status(&server, "/v1/audit/checkpoint", &key).await.0, 200);
    assert_eq!(server.stop().0, 0);
    fs::remove_file(dir.join("chancery.db")).unwrap();
    let restored = told(&["restore", text(&backup)], &dir);
    assert!(restored["logs_behind"].as_u64().unwrap() >= 2, "the clinic's and the platform's: {restored}");
    let server = Served::dev(&dir);
    assert_eq!(status(&server, "/v1/audit/checkpoint", &key).await.0, 200);
    assert_eq!(server.send("GET", "/readyz", &key, None).await.0, 200);
    // On a machine that signed nothing before there is nothing to say.
    let other = folder.path().join("other");
    fs::create_dir_all(&other).unwrap();
    fs::copy(dir.join("root.key"), other.join("root.key")).unwrap();
    assert_eq!(told(&["restore", text(&backup)], &other)["logs_behind"], 0);
}

#[tokio::test]
async fn a_new_store_in_an_old_folder_is_a_new_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    assert_eq!(server.stop().0, 0);
    assert!(folder.path().join("pins/ten_platform.checkpoint").is_file());
    fs::remove_file(folder.path().join("chancery.db")).unwrap();
    fs::remove_file(folder.path().join("admin-api-key")).unwrap();
    let server = Served::dev(folder.path());
    let admin = admin_key(folder.path());
    assert_eq!(status(&server, "/v1/audit/checkpoint", &admin).await.0, 403, "it is served");
    assert_eq!(server.send("GET", "/readyz", &admin, None).await.0, 200);
    let (code, log) = server.stop();
    assert!(code == 0 && !log.contains("log_rolled_back"), "{log}");
}

/// `chancery witness` at work. Killed when dropped.
struct Witnessing {
    child: Child,
    base: String,
}

impl Witnessing {
    fn key(folder: &Path, name: &str) -> String {
        let file = folder.join(format!("{name}.key"));
        let shown = run(&["witness", "--name", &format!("w.example/{name}"), "--key-file", text(&file), "--show-key"]);
        assert!(shown.status.success(), "{}", stderr(&shown));
        stdout(&shown).trim().to_owned()
    }

    fn start(folder: &Path, name: &str, log: &str) -> Self {
        let (key, state) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.json")));
        let name = format!("w.example/{name}");
        let mut child = chancery(&["witness", "--name", &name, "--key-file", text(&key), "--state", text(&state)])
            .args(["--log", log, "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (_, base) = line.trim().split_once(" ready at ").unwrap_or_else(|| panic!("{line}"));
        Self { base: base.to_owned(), child }
    }
}

impl Drop for Witnessing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The platform's log in what `chancery audit guard` says.
fn platform(dir: &Path) -> Value {
    told(&["audit", "guard", "--tenant", "ten_platform"], dir)["logs"][0].clone()
}

#[tokio::test]
async fn two_witnesses_of_whom_one_is_down_are_a_quorum_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    assert_eq!(Served::dev(&dir).stop().0, 0);
    let log = platform(&dir)["keys"][0].as_str().unwrap().to_owned();
    let keys = ["one", "two"].map(|name| Witnessing::key(folder.path(), name));
    let (one, two) = (Witnessing::start(folder.path(), "one", &log), Witnessing::start(folder.path(), "two", &log));
    let down = two.base.clone();
    drop(two);
    let witnesses = format!("{} {},{} {down}", keys[0], one.base, keys[1]);
    let variables = [("CHANCERY__AUDIT__WITNESSES", witnesses.as_str()), ("CHANCERY__AUDIT__WITNESS_QUORUM", "1")];
    let server = Served::start(&["--dev"], &dir, &variables);
    // Asked at the start, and once a minute.
    let deadline = Instant::now() + Duration::from_secs(60);
    let state = folder.path().join("one.json");
    while !state.is_file() {
        assert!(Instant::now() < deadline, "the witness was not asked");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.send("GET", "/readyz", "", None).await.0, 200, "who is down holds up nobody");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (code, written) = server.stop();
    assert_eq!(code, 0);
    assert!(written.contains("w.example/two") && !written.contains("`w.example/one`"), "{written}");
    let mut guard = chancery(&["audit", "guard", "--tenant", "ten_platform", "--dev", "--data", text(&dir), "--json"]);
    let guard: Value = serde_json::from_str(&stdout(&guard.envs(variables).output().unwrap())).unwrap();
    assert!(guard["logs"][0]["witnessed"].as_u64().is_some(), "{guard}");
    // The witness kept what it signed: the log's own note.
    let kept: Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    let (origin, note) = kept.as_object().unwrap().iter().next().unwrap();
    assert!(log.starts_with(origin) && note.as_str().unwrap().starts_with(origin), "{kept}");
}
