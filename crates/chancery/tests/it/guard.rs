//! How the log is guarded, with processes, files and witnesses as they are in production.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Output, Stdio},
    time::{Duration, Instant},
};

use chancery_testkit::Raw;
use serde_json::{Value, json};

use crate::support::{Served, admin_key, around_now, chancery, finish, run, stderr, stdout, tenant};

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
    let asked = Instant::now();
    loop {
        let log = told(&["audit", "guard", "--tenant", &id], folder.path())["logs"][0].clone();
        if log["size"].as_u64().unwrap() > 0 && log["signed"] == log["size"] {
            assert_eq!(log["pinned"], log["signed"]);
            break;
        }
        assert!(asked.elapsed() < Duration::from_secs(60), "{log}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // How long it took is what events and heads say themselves, however long we slept.
    let slowest = "SELECT CAST(MAX((SELECT MIN(c.signed_at) FROM audit_checkpoints AS c WHERE c.tenant_id = e.tenant_id AND c.size > e.idx)
             - e.recorded_at) AS TEXT)
         FROM audit_events AS e";
    let mut raw = Raw::sqlite(&folder.path().join("chancery.db")).await;
    let slowest: i64 = raw.texts(slowest).await.remove(0).unwrap().parse().unwrap();
    assert!((1..=10_000_000).contains(&slowest), "{slowest} µs");
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

/// A folder that is named, with the mode that it is to have.
fn pin_folder(path: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().mode(0o700).create(path).unwrap();
}

/// `chancery …` in development on `dir`, with pins in `pins`.
fn with_pins(arguments: &[&str], dir: &Path, pins: &Path) -> Output {
    let mut command = chancery(&[arguments, &["--dev", "--data", text(dir)]].concat());
    finish(command.env("CHANCERY__AUDIT__PIN_FOLDER", pins).env("CHANCERY__SERVER__METRICS_LISTEN", "127.0.0.1:0"))
}

/// The disk of the pins is not mounted: what is there looks like a folder that never had any.
#[tokio::test]
async fn an_empty_mount_point_stops_the_start_until_it_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, pins, away) = (folder.path().join("data"), folder.path().join("pins"), folder.path().join("away"));
    pin_folder(&pins);
    let variables = [("CHANCERY__AUDIT__PIN_FOLDER", text(&pins))];
    let server = Served::start(&["--dev"], &dir, &variables);
    let admin = admin_key(&dir);
    let (_, key) = tenant(&server, &admin, "clinic", &["security_officer", "service", "auditor"]).await;
    assert_eq!(status(&server, "/v1/audit/checkpoint", &key).await.0, 200);
    assert_eq!(server.stop().0, 0);
    assert!(pins.join("chancery-pins").is_file());

    fs::rename(&pins, &away).unwrap();
    pin_folder(&pins);
    for command in
        [&["serve", "--listen", "127.0.0.1:0"][..], &["audit", "scrub"], &["audit", "accept-restore", "--all"]]
    {
        let refused = with_pins(command, &dir, &pins);
        let said = stderr(&refused);
        assert!(!refused.status.success(), "{command:?}: {}", stdout(&refused));
        assert!(said.contains("chancery-pins") && said.contains("accept-pin-folder"), "{command:?}: {said}");
    }
    let doctor = stdout(&with_pins(&["doctor"], &dir, &pins));
    assert!(doctor.contains("not mounted"), "{doctor}");
    let only: Vec<_> = fs::read_dir(&pins).unwrap().collect();
    assert!(only.is_empty(), "nothing was pinned there: {only:?}");

    // It is mounted again.
    fs::remove_dir(&pins).unwrap();
    fs::rename(&away, &pins).unwrap();
    assert_eq!(Served::start(&["--dev"], &dir, &variables).stop().0, 0);

    // It is lost, and somebody says so.
    fs::remove_dir_all(&pins).unwrap();
    pin_folder(&pins);
    let accept =
        || serde_json::from_str::<Value>(&stdout(&with_pins(&["audit", "accept-pin-folder", "--json"], &dir, &pins)));
    assert_eq!(accept().unwrap()["accepted"], true);
    assert_eq!(accept().unwrap()["accepted"], false, "once");
    let server = Served::start(&["--dev"], &dir, &variables);
    assert_eq!(status(&server, "/v1/audit/checkpoint", &key).await.0, 200);
    let auditor = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = server.must("POST", "/v1/api-keys", &admin, Some(auditor)).await["key"].as_str().unwrap().to_owned();
    let path = format!("/v1/audit/events?{}&type=log.pins_accepted", around_now());
    let told = server.must("GET", &path, &auditor, None).await;
    assert_eq!(told["items"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(server.stop().0, 0);
}

/// Also where no folder is named: this node was here before, so it had pins.
#[tokio::test]
async fn pins_that_were_removed_are_not_no_pins() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let server = Served::dev(&dir);
    let admin = admin_key(&dir);
    event(&server, &admin).await;
    assert_eq!(server.stop().0, 0);
    fs::remove_dir_all(dir.join("pins")).unwrap();
    let refused = run(&["serve", "--dev", "--data", text(&dir), "--listen", "127.0.0.1:0"]);
    assert!(!refused.status.success() && stderr(&refused).contains("accept-pin-folder"), "{}", stderr(&refused));
    assert_eq!(told(&["audit", "accept-pin-folder"], &dir)["accepted"], true);
    assert_eq!(Served::dev(&dir).stop().0, 0);
}

/// Yesterday's store knows nothing of who came today: no log of theirs is there to be found behind.
#[tokio::test]
async fn a_tenant_that_yesterdays_store_does_not_have_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    assert_eq!(Served::dev(&dir).stop().0, 0);
    let (store, yesterday) = (dir.join("chancery.db"), folder.path().join("yesterday.db"));
    fs::copy(&store, &yesterday).unwrap();
    let server = Served::dev(&dir);
    let (id, key) = tenant(&server, &admin_key(&dir), "clinic", &["auditor"]).await;
    assert_eq!(status(&server, "/v1/audit/checkpoint", &key).await.0, 200);
    assert_eq!(server.stop().0, 0);
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", text(&store)));
    }
    fs::copy(&yesterday, &store).unwrap();

    assert_eq!(told(&["audit", "guard"], &dir)["missing"], json!([id]));
    let doctor = run(&["doctor", "--dev", "--data", text(&dir)]);
    assert!(stdout(&doctor).contains(&format!("{id} (gone)")), "{}", stdout(&doctor));
    let found = run(&["audit", "scrub", "--dev", "--data", text(&dir), "--json"]);
    assert_eq!(found.status.code(), Some(30), "{}", stderr(&found));
    let found: Value = serde_json::from_str(&stdout(&found)).unwrap();
    let gone = found["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == "log_missing");
    assert_eq!(gone.unwrap()["tenant"], id.as_str(), "{found}");
    let server = Served::dev(&dir);
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.send("GET", "/readyz", &key, None).await.0 != 503 {
        assert!(Instant::now() < deadline, "it was not looked for");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (code, log) = server.stop();
    assert!(code == 0 && log.contains("log_missing") && log.contains(&id), "{log}");

    let accepted = told(&["audit", "accept-restore", "--all"], &dir);
    let of_it = accepted["accepted"].as_array().unwrap().iter().find(|one| one["tenant"] == id.as_str());
    assert_eq!(of_it.unwrap()["size"], 0, "{accepted}");
    let server = Served::dev(&dir);
    assert_eq!(server.send("GET", "/readyz", &key, None).await.0, 200);
    assert_eq!(server.stop().0, 0);
    assert_eq!(told(&["audit", "guard"], &dir)["missing"], json!([]));
    assert_eq!(told(&["audit", "scrub"], &dir)["findings"], json!([]));
}

/// A part vouches for no head, and a log that was put back is believed by who knows of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_keeps_a_head_of_which_it_saw_all_and_asks_after_a_restore() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, state) = (folder.path().join("data"), folder.path().join("state"));
    let server = Served::dev(&dir);
    let (id, key) = tenant(&server, &admin_key(&dir), "clinic", &["security_officer", "auditor"]).await;
    let verify = |server: &Served, more: &[&str]| {
        let mut command = chancery(&[&["audit", "verify", "--state", text(&state)], more].concat());
        let output = finish(command.env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", &key));
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    let (code, part) = verify(&server, &["--end", "3"]);
    assert!(code == Some(0) && part.contains("only a part was checked") && !state.exists(), "{part}");
    let (code, whole) = verify(&server, &[]);
    assert!(code == Some(0) && state.exists(), "{whole}");
    let kept = fs::read_to_string(&state).unwrap();
    for _ in 0..3 {
        event(&server, &key).await;
    }
    for part in [&["--end", "5"][..], &["--first", "100000"]] {
        let (code, text) = verify(&server, part);
        assert!(code == Some(0) && text.contains("only a part was checked"), "{part:?}: {text}");
        assert_eq!(fs::read_to_string(&state).unwrap(), kept, "{part:?}");
    }
    // More than is asked for is a whole.
    let (code, again) = verify(&server, &["--first", "0"]);
    assert_eq!(code, Some(0), "{again}");
    assert_ne!(fs::read_to_string(&state).unwrap(), kept);
    assert_eq!(server.stop().0, 0);
    let (store, yesterday) = (dir.join("chancery.db"), folder.path().join("yesterday.db"));
    fs::copy(&store, &yesterday).unwrap();

    let server = Served::dev(&dir);
    for _ in 0..4 {
        event(&server, &key).await;
    }
    let (code, seen) = verify(&server, &[]);
    assert_eq!(code, Some(0), "{seen}");
    assert_eq!(server.stop().0, 0);
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", text(&store)));
    }
    fs::copy(&yesterday, &store).unwrap();
    let accepted = told(&["audit", "accept-restore", "--all"], &dir);
    let of_it = accepted["accepted"].as_array().unwrap().iter().find(|one| one["tenant"] == id.as_str()).unwrap();
    assert!(of_it["name"].as_str().unwrap().ends_with("/e2"), "{accepted}");

    let server = Served::dev(&dir);
    // Grown beyond what was seen: a size alone would not show it.
    for _ in 0..9 {
        event(&server, &key).await;
    }
    let kept = fs::read_to_string(&state).unwrap();
    let (code, lost) = verify(&server, &[]);
    assert!(code == Some(30) && lost.contains("--accept-restore") && lost.contains("/e2"), "{lost}");
    assert_eq!(fs::read_to_string(&state).unwrap(), kept);
    let (code, believed) = verify(&server, &["--accept-restore"]);
    assert!(code == Some(0) && believed.contains("put back to"), "{believed}");
    let (code, grown) = verify(&server, &[]);
    assert!(code == Some(0) && grown.contains("only grew since"), "{grown}");
    // A pack of the log that goes on under another name verifies.
    let claim = json!({"kind": "app.test", "subject": {"kind": "patient", "ref": "p1"},
        "statement": {"code": "app.test", "params": {}}, "evidence": []});
    let service = json!({"description": "service", "roles": ["service"]});
    let service = server.must("POST", &format!("/v1/tenants/{id}/api-keys"), &admin_key(&dir), Some(service)).await;
    let service = service["key"].as_str().unwrap();
    let made = server.must("POST", "/v1/certificates", service, Some(claim)).await;
    let path = format!("/v1/certificates/{}/pack", made["id"].as_str().unwrap());
    let (pack, trust) = (folder.path().join("pack.zip"), folder.path().join("trust.json"));
    fs::write(&pack, server.bytes(&path, service).await).unwrap();
    fs::write(&trust, server.bytes("/.well-known/chancery-trust.json", service).await).unwrap();
    let verified = run(&["verify", text(&pack), "--trust", text(&trust)]);
    assert_eq!(verified.status.code(), Some(0), "{}{}", stdout(&verified), stderr(&verified));
    assert_eq!(server.stop().0, 0);
}

/// A backup in a place that knows nothing of what was signed since: it does not sign the same sizes again under the same name.
#[tokio::test]
async fn a_backup_on_another_machine_goes_on_under_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, other) = (folder.path().join("data"), folder.path().join("other"));
    let server = Served::dev(&dir);
    let (_, key) = tenant(&server, &admin_key(&dir), "clinic", &["security_officer", "auditor"]).await;
    let backup = folder.path().join("backup");
    told(&["backup", "--out", text(&backup)], &dir);
    event(&server, &key).await;
    let signed = String::from_utf8(server.bytes("/v1/audit/checkpoint", &key).await).unwrap();
    assert_eq!(server.stop().0, 0);
    fs::create_dir_all(&other).unwrap();
    fs::copy(dir.join("root.key"), other.join("root.key")).unwrap();
    let restored = told(&["restore", text(&backup)], &other);
    assert_eq!((&restored["logs_behind"], &restored["logs_renamed"]), (&json!(0), &json!(2)), "{restored}");
    let server = Served::dev(&other);
    let here = String::from_utf8(server.bytes("/v1/audit/checkpoint", &key).await).unwrap();
    let name = |note: &str| note.lines().next().unwrap().to_owned();
    assert_eq!(name(&here), format!("{}/e2", name(&signed)));
    assert_eq!(server.stop().0, 0);
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
    // A pack bears its line, and the trust file asks for it.
    let (pack, trust, _) = crate::verify::pack(&server, &admin_key(&dir)).await;
    let (evidence, trusted) = (folder.path().join("evidence.zip"), folder.path().join("trust.json"));
    fs::write(&evidence, pack).unwrap();
    fs::write(&trusted, trust).unwrap();
    let verified = run(&["verify", text(&evidence), "--trust", text(&trusted)]);
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
    assert!(stdout(&verified).contains("1 of 1 cosignatures"), "{}", stdout(&verified));
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
