//! A disk that is full, or does not write out what it took, by real means: the system refuses to let the store's files grow, or says
//! that a flush failed.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
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
        let mut command = Command::new("dash");
        Self::of(command.args(["-c", &confined, "chancery"]), dir).unwrap()
    }

    /// With its data on a small disk of its own, in memory; none where the system does not let us have one.
    fn on_small_disk(dir: &Path, megabytes: u32) -> Option<Self> {
        let mount = format!("mount -t tmpfs -o size={megabytes}m tmpfs \"$0\" && exec \"$@\"");
        let mut command = Command::new("unshare");
        Self::of(command.args(["-rm", "sh", "-c", &mount]).arg(dir), &dir.join("data"))
    }

    /// On a disk that cannot be flushed while there is a file `failing`.
    fn on_failing_disk(dir: &Path, library: &Path, failing: &Path) -> Self {
        let mut command = Command::new("env");
        command.env("LD_PRELOAD", library).env("CHANCERY_FLUSH_FAILS", failing);
        Self::of(&mut command, dir).unwrap()
    }

    fn of(within: &mut Command, data: &Path) -> Option<Self> {
        let mut child = within
            .args([env!("CARGO_BIN_EXE_chancery"), "serve", "--dev", "--data"])
            .arg(data)
            .args(["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some((_, base)) = line.trim().split_once(" ready at ") else {
            let _ = child.wait();
            return None;
        };
        Some(Self { base: base.to_owned(), child })
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// A file as this process sees it.
    fn sees(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.child.id())).join(path.strip_prefix("/").unwrap())
    }

    async fn send(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> (u16, Value) {
        let client = crate::support::http();
        let request = client.request(method.parse().unwrap(), format!("{}{path}", self.base)).bearer_auth(key);
        let answer = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = answer.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    /// An application's event: the id of what is durable, or nothing of what was refused for want of room.
    async fn append(&self, key: &str) -> Option<String> {
        let (status, body) = self.send("POST", "/v1/audit/events", key, Some(json!({ "type": "app.step" }))).await;
        match status {
            201 => Some(body["id"].as_str().unwrap().to_owned()),
            503 => None,
            status => panic!("a full disk answers {status}: {body}"),
        }
    }

    /// Until there is an answer that is no refusal.
    async fn append_again(&self, key: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(id) = self.append(key).await {
                return id;
            }
            assert!(Instant::now() < deadline, "there is room, and events are still refused");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The status, and the id of the request.
    async fn seal(&self, key: &str, number: u32) -> (u16, String) {
        let client = crate::support::http();
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

/// The ids of the log's events of an application.
fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// Room comes and goes while callers append; nobody starts the server again. In the end it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_that_comes_and_goes_under_load_loses_and_doubles_nothing() {
    if Command::new("dash").args(["-c", "exit 0"]).status().is_err() {
        eprintln!("no dash: nothing confines the server");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let admin = admin_key(folder.path());
    let (_, key) = tenant(&server, &admin, "clinic", &["service", "auditor"]).await;
    assert_eq!(server.stop().0, 0);
    let confined = Arc::new(Confined::start(folder.path(), 1 << 30));
    // Not a byte more, and then what it likes.
    let room = |has_any: bool| {
        let current = Some(if has_any { 1 << 30 } else { 0 });
        prlimit(Some(confined.pid()), Resource::Fsize, Rlimit { current, maximum: Some(1 << 30) }).unwrap();
    };
    let acknowledged = append_while(&confined, &key, room).await;
    everything_is_there_once(folder.path(), confined, &key, &acknowledged).await;
}

/// A disk whose flushes fail (EIO) has not written what it was given: what waits for that is refused. It recovers, and is then killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_that_fails_acknowledges_nothing_and_loses_nothing() {
    let (folder, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (library, failing) = (failing_flushes(beside.path()), beside.path().join("failing"));
    let server = Served::dev(folder.path());
    let admin = admin_key(folder.path());
    let (_, key) = tenant(&server, &admin, "clinic", &["service", "auditor"]).await;
    assert_eq!(server.stop().0, 0);
    let confined = Arc::new(Confined::on_failing_disk(folder.path(), &library, &failing));
    assert!(confined.append(&key).await.is_some(), "it can be flushed still");
    let flushes = |works: bool| {
        if works {
            fs::remove_file(&failing).unwrap();
        } else {
            fs::write(&failing, "").unwrap();
        }
    };
    flushes(false);
    for _ in 0..5 {
        assert_eq!(confined.append(&key).await, None, "acknowledged, and not durable");
    }
    flushes(true);
    let mut acknowledged = vec![confined.append_again(&key).await];
    acknowledged.extend(append_while(&confined, &key, flushes).await);
    everything_is_there_once(folder.path(), confined, &key, &acknowledged).await;
}

/// The library that makes flushes fail, built by what Rust links with.
fn failing_flushes(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/slow-disk.c");
    let library = folder.join("slow-disk.so");
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(compiler.status().unwrap().success(), "{compiler:?}");
    library
}

/// Four callers append for four seconds, while what they need is taken away and given back again and again. What was acknowledged.
async fn append_while(confined: &Arc<Confined>, key: &str, give: impl Fn(bool)) -> Vec<String> {
    let until = Instant::now() + Duration::from_secs(4);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (confined, key) = (confined.clone(), key.to_owned());
        callers.spawn(async move {
            let (mut acknowledged, mut refused) = (Vec::new(), 0);
            while Instant::now() < until {
                match confined.append(&key).await {
                    Some(id) => acknowledged.push(id),
                    None => refused += 1,
                }
            }
            (acknowledged, refused)
        });
    }
    while Instant::now() < until {
        give(false);
        tokio::time::sleep(Duration::from_millis(150)).await;
        give(true);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for (ids, no) in callers.join_all().await {
        acknowledged.extend(ids);
        refused += no;
    }
    acknowledged.push(confined.append_again(key).await);
    assert!(refused > 3 && acknowledged.len() > 20, "{refused} refused, {} acknowledged", acknowledged.len());
    acknowledged
}

/// The server is killed; another one has all of it in its log, and nothing twice.
async fn everything_is_there_once(folder: &Path, confined: Arc<Confined>, key: &str, acknowledged: &[String]) {
    kill_process(confined.pid(), Signal::KILL).unwrap();
    drop(confined);
    let server = Served::dev(folder);
    let (mut logged, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/audit/events?{}&type=app.step&limit=1000{cursor}", around_now());
        let page = server.must("GET", &path, key, None).await;
        logged.extend(ids(&page));
        match &page["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => break,
        }
    }
    let once: BTreeSet<&String> = logged.iter().collect();
    assert_eq!(once.len(), logged.len(), "something is there twice");
    let lost: Vec<&String> = acknowledged.iter().filter(|id| !once.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert_eq!(server.stop().0, 0);
    let scrub = run(&["audit", "scrub", "--dev", "--data", folder.to_str().unwrap()]);
    assert!(scrub.status.success(), "{}", stderr(&scrub));
}

/// ENOSPC itself, from a file system with not a byte left.
#[tokio::test]
async fn a_file_system_without_a_byte_left_refuses_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(confined) = Confined::on_small_disk(folder.path(), 48) else {
        eprintln!("no mount namespace of our own: nothing limits the disk");
        return;
    };
    let data = folder.path().join("data");
    let Ok(admin) = fs::read_to_string(confined.sees(&data.join("admin-api-key"))) else {
        eprintln!("what a process of another namespace sees is not ours to see");
        return;
    };
    let (_, made) =
        confined.send("POST", "/v1/tenants", admin.trim(), Some(json!({ "name": "c", "slug": "clinic" }))).await;
    let keys = format!("/v1/tenants/{}/api-keys", made["id"].as_str().unwrap());
    let body = json!({ "description": "test", "roles": ["service", "auditor"] });
    let (_, made) = confined.send("POST", &keys, admin.trim(), Some(body)).await;
    let key = made["key"].as_str().unwrap().to_owned();
    let mut acknowledged = vec![confined.append(&key).await.unwrap()];

    let path = confined.sees(&folder.path().join("filler"));
    let mut filler = File::create(&path).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        let block = vec![0; size];
        let error = loop {
            if let Err(error) = filler.write_all(&block) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
    let mut refused = 0;
    for _ in 0..2_000 {
        match confined.append(&key).await {
            Some(id) => acknowledged.push(id),
            None => refused += 1,
        }
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "{} were acknowledged", acknowledged.len());
    drop(filler);
    fs::remove_file(&path).unwrap();
    acknowledged.push(confined.append_again(&key).await);
    // The sequencer had no room either; what is in the queue follows.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let path = format!("/v1/audit/events?{}&type=app.step&limit=1000", around_now());
        let (status, page) = confined.send("GET", &path, &key, None).await;
        let logged = if status == 200 { ids(&page) } else { Vec::new() };
        let once: BTreeSet<&String> = logged.iter().collect();
        assert_eq!(once.len(), logged.len(), "something is there twice");
        if acknowledged.iter().all(|id| once.contains(id)) || page["next_cursor"].is_string() {
            break;
        }
        assert!(Instant::now() < deadline, "{} acknowledged, {} in the log", acknowledged.len(), logged.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (status, _) = confined.send("GET", "/v1/audit/checkpoint", &key, None).await;
    assert_eq!(status, 200);
}
