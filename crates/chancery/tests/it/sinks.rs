//! Events reach a file, a real rsyslog over TLS, receivers of OCSF, Elasticsearch's bulk API and Splunk's collector over HTTPS, and a
//! bucket: each exactly once after dedup by its id, across an outage of all of them.

#[cfg(feature = "kms-full")]
use std::{cell::RefCell, collections::BTreeSet};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use chancery_crypto::merkle::leaf_hash;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::support::{Served, admin_key, around_now, run, stderr, stdout, tenant};

const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/audit");
const RSYSLOG: &str = "/usr/sbin/rsyslogd";
const TOKEN: &str = "s3cret-token";

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write(path: &Path, text: &str) -> String {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// An authority and a certificate for this machine under it, by OpenSSL.
fn certificates(folder: &Path) {
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let new =
        |more: &[&'static str]| -> Vec<&'static str> { ["req"].iter().chain(&curve).chain(more).copied().collect() };
    openssl(&new(&["-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority"]));
    openssl(&new(&["-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"]));
    write(&folder.join("san"), "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n");
    openssl(&[
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-out",
        "server.pem",
        "-days",
        "2",
        "-extfile",
        "san",
    ]);
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn rsyslog(folder: &Path, port: u16) -> Running {
    let at = folder.to_str().unwrap();
    let config = format!(
        "global(workDirectory=\"{at}\" maxMessageSize=\"64k\" defaultNetstreamDriver=\"ossl\"\n\
         defaultNetstreamDriverCAFile=\"{at}/ca.pem\" defaultNetstreamDriverCertFile=\"{at}/server.pem\"\n\
         defaultNetstreamDriverKeyFile=\"{at}/server.key\")\n\
         module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")\n\
         input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n\
         template(name=\"whole\" type=\"string\" string=\"%structured-data%\\t%msgid%\\t%msg%\\n\")\n\
         action(type=\"omfile\" file=\"{at}/syslog.out\" template=\"whole\")\n"
    );
    let config = write(&folder.join("rsyslog.conf"), &config);
    let pid = folder.join("rsyslog.pid");
    let _ = fs::remove_file(&pid);
    let child = Command::new(RSYSLOG)
        .args(["-n", "-f", &config, "-i", pid.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Running(child);
    wait("rsyslog", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    started
}

fn receiver(folder: &Path) -> (Running, u16) {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let child = Command::new("python3")
        .arg(format!("{TOOLS}/receiver.py"))
        .args([
            "--cert",
            &at("server.pem"),
            "--key",
            &at("server.key"),
            "--out",
            &at("https.out"),
            "--mode",
            &at("mode"),
        ])
        .args(["--token", TOKEN, "--port-file", &at("port")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Running(child);
    wait("the receiver", || folder.join("port").exists());
    (started, fs::read_to_string(folder.join("port")).unwrap().parse().unwrap())
}

#[track_caller]
fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(180), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A bucket of moto's, and what was in it.
#[cfg(feature = "kms-full")]
pub(crate) struct Bucket {
    pub(crate) moto: crate::providers::Moto,
    seen: RefCell<BTreeSet<String>>,
}

#[cfg(feature = "kms-full")]
impl Bucket {
    pub(crate) const NAME: &str = "audit-test";

    pub(crate) async fn start(at: &Path) -> Option<Self> {
        let moto = crate::providers::Moto::start()?;
        write(&at.join("aws"), "[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = test\n");
        let bucket = Self { moto, seen: RefCell::default() };
        let client = crate::support::http();
        assert!(
            client
                .put(bucket.address(""))
                .header("x-amz-bucket-object-lock-enabled", "true")
                .send()
                .await
                .unwrap()
                .status()
                .is_success()
        );
        Some(bucket)
    }

    fn address(&self, tail: &str) -> String {
        format!("{}/{}{tail}", self.moto.url, Self::NAME)
    }

    fn config(&self, at: &Path) -> String {
        format!(
            "[[audit.sinks]]\nname = \"bucket\"\ntype = \"s3\"\nbucket = \"{}\"\nregion = \"eu-central-1\"\n\
             endpoint = \"{}\"\ncredentials_file = \"{}/aws\"\n",
            Self::NAME,
            self.moto.url,
            at.display()
        )
    }

    pub(crate) fn get(&self, tail: &str) -> (reqwest::header::HeaderMap, Vec<u8>) {
        let url = self.address(tail);
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let client = crate::support::http();
                // Moto looks at no signature, and gives nothing to whoever shows none.
                let scope = "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/eu-central-1/s3/aws4_request, SignedHeaders=host, Signature=0";
                let answer = client.get(url).header("authorization", scope).send().await.unwrap();
                assert!(answer.status().is_success(), "{}", answer.status());
                (answer.headers().clone(), answer.bytes().await.unwrap().to_vec())
            })
        })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let listed = String::from_utf8(self.get("?list-type=2").1).unwrap();
        listed.split("<Key>").skip(1).map(|rest| rest.split("</Key>").next().unwrap().to_owned()).collect()
    }

    fn opened(&self, at: &Path, names: &[String], more: &[&str]) -> Vec<u8> {
        let (config, data) = (at.join("chancery.toml"), at.join("data"));
        let mut arguments = vec!["audit", "open-export", "--dev", "--config", config.to_str().unwrap()];
        arguments.extend(["--data", data.to_str().unwrap()]);
        arguments.extend(more);
        let objects: Vec<String> = names.iter().map(|name| format!("s3://{}/{name}", Self::NAME)).collect();
        arguments.extend(objects.iter().map(String::as_str));
        let opened = run(&arguments);
        assert!(opened.status.success(), "{}", stderr(&opened));
        opened.stdout
    }

    /// Writes down what came since the last look.
    fn look(&self, at: &Path) {
        let new: Vec<String> = self.names().into_iter().filter(|name| !self.seen.borrow().contains(name)).collect();
        if !new.is_empty() {
            let mut all = fs::read(at.join("bucket.out")).unwrap_or_default();
            all.extend(self.opened(at, &new, &[]));
            fs::write(at.join("bucket.out"), all).unwrap();
            self.seen.borrow_mut().extend(new);
        }
    }

    /// What lies there is sealed, and says nothing but whose and which places.
    fn check(&self, at: &Path) {
        let names = self.names();
        let (headers, sealed) = self.get(&format!("/{}", names[0]));
        assert_eq!(headers["x-amz-server-side-encryption"], "aws:kms");
        let text = String::from_utf8_lossy(&sealed);
        assert!(text.starts_with("{\"format\":\"chancery-backup\"") && !text.contains("\"core\""), "{text}");
        assert!(names.iter().all(|name| name.starts_with("chancery/ten_") && name.ends_with(".chancery")), "{names:?}");
        // A file does too; a changed one, or another root, opens nothing.
        let file = at.join("object");
        fs::write(&file, &sealed).unwrap();
        let (file, data) = (file.to_str().unwrap(), at.join("data"));
        let open =
            |file: &str, data: &Path| run(&["audit", "open-export", "--dev", "--data", data.to_str().unwrap(), file]);
        let opened = open(file, &data);
        assert!(opened.status.success(), "{}", stderr(&opened));
        assert_eq!(opened.stdout, self.opened(at, &names[..1], &[]));
        let mut changed = sealed;
        *changed.last_mut().unwrap() ^= 1;
        fs::write(file, changed).unwrap();
        let refused = open(file, &data);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{}", stderr(&refused));
        // What the server alone encrypted, before there was a Chancery, is read as it is by who says so: it could be anybody's.
        let url = self.address("/old.json");
        let put = async move {
            let client = crate::support::http();
            let request = client.put(url).header("x-amz-server-side-encryption", "AES256").body("{\"old\":1}\n");
            request.send().await.unwrap().status().is_success()
        };
        assert!(tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(put)));
        assert_eq!(self.opened(at, &["old.json".to_owned()], &["--unsealed"]), b"{\"old\":1}\n");
    }
}

#[test]
fn an_object_that_was_not_sealed_by_us_is_refused_unless_somebody_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (object, data) = (folder.path().join("object"), folder.path().join("data"));
    let open = |text: &str, more: &[&str]| {
        fs::write(&object, text).unwrap();
        let mut arguments = vec!["audit", "open-export", "--dev", "--data", data.to_str().unwrap()];
        arguments.extend(more);
        arguments.push(object.to_str().unwrap());
        run(&arguments)
    };
    let old = "{\"old\":1}\n";
    let refused = open(old, &[]);
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--unsealed"), "{}", stderr(&refused));
    let taken = open(old, &["--unsealed"]);
    assert!(taken.status.success() && taken.stdout == old.as_bytes(), "{}", stderr(&taken));
    assert!(stderr(&taken).contains("was not sealed by us"), "{}", stderr(&taken));
    // What contradicts itself is nobody's export.
    let forged = format!("{{\"core\":\"{{}}\",\"leaf_hash\":\"{}\"}}\n", "0".repeat(64));
    let refused = open(&forged, &["--unsealed"]);
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{}", stderr(&refused));
}

/// A binary without S3 has no bucket.
#[cfg(not(feature = "kms-full"))]
struct Bucket;

#[cfg(not(feature = "kms-full"))]
impl Bucket {
    async fn start(_: &Path) -> Option<Self> {
        None
    }

    fn config(&self, _: &Path) -> String {
        String::new()
    }

    fn look(&self, _: &Path) {}

    fn check(&self, _: &Path) {}
}

/// The lines of a file that somebody else still writes: the last one may be half there.
fn whole_lines(path: &Path) -> String {
    let mut text = fs::read(path).unwrap_or_default();
    text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
    String::from_utf8(text).unwrap()
}

/// What arrived at each door: ids with how often each came, and the leaf. Every leaf is the one that its hash is of.
type Arrived = BTreeMap<String, BTreeMap<String, (u32, String)>>;

fn arrived(folder: &Path, log: &str) -> Arrived {
    let mut all: Arrived = BTreeMap::new();
    let mut take = |door: &str, id: &str, core: &str, hash: &str| {
        assert_eq!(HEXLOWER.encode(&leaf_hash(core.as_bytes())), hash, "{door}");
        let slot = all.entry(door.to_owned()).or_default().entry(id.to_owned()).or_insert((0, core.to_owned()));
        slot.0 += 1;
        assert_eq!(slot.1, core);
    };
    let lines = |name: &str| whole_lines(&folder.join(name));
    for line in lines("https.out").lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| event[name].as_str().unwrap();
        if text("log") == log && text("type") == "app.step" {
            take(text("door"), text("id"), text("core"), text("leaf_hash"));
        }
    }
    for line in lines("syslog.out").lines() {
        let (data, rest) = line.split_once('\t').unwrap();
        let (kind, core) = rest.split_once('\t').unwrap();
        let part = |name: &str| data.split_once(&format!(" {name}=\"")).unwrap().1.split('"').next().unwrap();
        if part("log") == log && kind == "app.step" {
            take("syslog", part("id"), core.trim_start(), part("leaf"));
        }
    }
    for (door, file) in [("file", "events/local.jsonl"), ("bucket", "bucket.out")] {
        for line in lines(file).lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| event[name].as_str().unwrap();
            if text("log") == log && text("core").contains("\"app.step\"") {
                take(door, text("event_id"), text("core"), text("leaf_hash"));
            }
        }
    }
    all
}

fn config(folder: &Path, syslog: u16, https: u16, bucket: Option<&Bucket>) -> String {
    let at = folder.to_str().unwrap();
    let ca = format!("ca_file = \"{at}/ca.pem\"");
    let receiver = format!("{ca}\ntoken_file = \"{at}/token\"");
    let text = format!(
        "[[audit.sinks]]\nname = \"local\"\ntype = \"file\"\nfolder = \"{at}/events\"\n\
         [[audit.sinks]]\nname = \"log\"\ntype = \"syslog\"\naddress = \"localhost:{syslog}\"\n{ca}\n\
         [[audit.sinks]]\nname = \"lake\"\ntype = \"ocsf\"\nurl = \"https://localhost:{https}/ocsf\"\n{receiver}\n\
         [[audit.sinks]]\nname = \"elastic\"\ntype = \"elasticsearch\"\nurl = \"https://localhost:{https}\"\n{receiver}\n\
         [[audit.sinks]]\nname = \"hec\"\ntype = \"splunk\"\nacks = true\nurl = \"https://localhost:{https}\"\n{receiver}\n"
    );
    let bucket = bucket.map(|bucket| bucket.config(folder)).unwrap_or_default();
    write(&folder.join("chancery.toml"), &(text + &bucket))
}

async fn append(server: &Served, key: &str, from: u64, to: u64) {
    for first in (from..to).step_by(50) {
        let items: Vec<Value> = (first..to.min(first + 50))
            .map(|n| json!({"type": "app.step", "details": {"n": n}, "personal": {"note": "Jane Doe"}}))
            .collect();
        server.must("POST", "/v1/audit/events/batch", key, Some(json!({"items": items}))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_reaches_every_sink_exactly_once_after_dedup_across_an_outage() {
    an_outage(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_on_postgresql() {
    let Ok(url) = std::env::var("CHANCERY_TEST_POSTGRES_URL") else {
        assert!(std::env::var_os("CHANCERY_TEST_REQUIRE_POSTGRES").is_none(), "PostgreSQL was promised");
        return;
    };
    let mut server_wide = PgConnection::connect(&url).await.unwrap();
    let name = format!("chancery_sinks_{}", std::process::id());
    server_wide.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    an_outage(Some(&url.replacen("/postgres?", &format!("/{name}?"), 1))).await;
    server_wide.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
}

async fn an_outage(store: Option<&str>) {
    if !Path::new(RSYSLOG).exists() {
        assert!(
            std::env::var_os("CHANCERY_TEST_REQUIRE_RSYSLOG").is_none(),
            "rsyslog is to be tested and is not there"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    certificates(at);
    fs::create_dir(at.join("events")).unwrap();
    write(&at.join("token"), TOKEN);
    let syslog_port = free_port();
    let syslog = rsyslog(at, syslog_port);
    let (_receiver, https_port) = receiver(at);
    let bucket = Bucket::start(at).await;
    let config = config(at, syslog_port, https_port, bucket.as_ref());
    let arguments: Vec<&str> =
        ["--dev", "--config", &config].into_iter().chain(store.into_iter().flat_map(|url| ["--store", url])).collect();
    let server = Served::start(&arguments, &at.join("data"), &[]);
    let admin = admin_key(&at.join("data"));
    let (id, key) = tenant(&server, &admin, "north", &["service", "auditor"]).await;
    let note = server.bytes("/v1/audit/checkpoint", &key).await;
    let log = String::from_utf8(note).unwrap().lines().next().unwrap().to_owned();
    let mut doors = vec!["elasticsearch", "file", "ocsf", "splunk", "syslog"];
    let mut failing = vec!["elastic", "hec", "lake", "log"];
    if bucket.is_some() {
        doors.push("bucket");
        failing.push("bucket");
    }
    let all_have = |count: usize| {
        bucket.iter().for_each(|bucket| bucket.look(at));
        let arrived = arrived(at, &log);
        doors.iter().all(|door| arrived.get(*door).is_some_and(|events| events.len() == count))
    };

    append(&server, &key, 0, 100).await;
    wait("the first hundred", || all_have(100));

    // All of them are away, in their own ways: the receiver takes and never answers, then answers 503; rsyslog is dead.
    fs::write(at.join("mode"), "drop").unwrap();
    drop(syslog);
    #[cfg(feature = "kms-full")]
    bucket.iter().for_each(|bucket| bucket.moto.signal(rustix::process::Signal::STOP));
    append(&server, &key, 100, 200).await;
    wait("a delivery without an answer", || arrived(at, &log).get("ocsf").is_some_and(|events| events.len() == 200));
    fs::write(at.join("mode"), "503").unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The service goes on, and says which sinks do not.
    wait("sinks that fail", || {
        let listed = run_sinks(&server, &admin, at);
        failing.iter().all(|sink| listed.iter().any(|one| one["sink"] == *sink && one["state"] == "failing"))
    });
    fs::remove_file(at.join("mode")).unwrap();
    #[cfg(feature = "kms-full")]
    bucket.iter().for_each(|bucket| bucket.moto.signal(rustix::process::Signal::CONT));
    let _syslog = rsyslog(at, syslog_port);
    append(&server, &key, 200, 300).await;
    wait("all three hundred", || all_have(300));

    bucket.iter().for_each(|bucket| bucket.check(at));
    let arrived = arrived(at, &log);
    for door in doors {
        let events = &arrived[door];
        let numbers: std::collections::BTreeSet<u64> = events
            .values()
            .map(|(_, core)| serde_json::from_str::<Value>(core).unwrap()["detail"]["n"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..300).collect(), "{door}");
    }
    assert!(arrived["ocsf"].values().any(|(times, _)| *times > 1), "a lost answer makes a second arrival");
    for name in ["https.out", "syslog.out", "events/local.jsonl", "bucket.out"] {
        let text = fs::read_to_string(at.join(name)).unwrap_or_default();
        assert!(!text.contains("Jane"), "{name}: what is sealed stays");
    }
    // Another program reads what the file sink wrote, and finds every proof good.
    let checked = Command::new("python3")
        .arg(format!("{TOOLS}/check_events.py"))
        .arg(at.join("events/local.jsonl"))
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    // The platform's log tells of each outage and of its end.
    let (_, auditor) = (id, platform_auditor(&server, &admin).await);
    for kind in ["audit.sink_failed", "audit.sink_recovered"] {
        let started = Instant::now();
        loop {
            let path = format!("/v1/audit/events?{}&type={kind}", around_now());
            let told = server.must("GET", &path, &auditor, None).await["items"].to_string();
            // Each log that failed recovers in its turn.
            let has = |sink: &&str| told.contains(&format!("\\\"sink\\\":[\\\"{sink}\\\"]"));
            if failing.iter().all(has) {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(120), "{kind}: {told}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}

async fn platform_auditor(server: &Served, admin: &str) -> String {
    let body = json!({"description": "auditor", "roles": ["platform_auditor"]});
    server.must("POST", "/v1/api-keys", admin, Some(body)).await["key"].as_str().unwrap().to_owned()
}

fn run_sinks(server: &Served, key: &str, folder: &Path) -> Vec<Value> {
    let key = write(&folder.join("cli.key"), key);
    let listed = run(&["audit", "sinks", "list", "--json", "--url", server.base(), "--api-key-file", &key]);
    assert!(listed.status.success(), "{}", stderr(&listed));
    serde_json::from_str::<Vec<Value>>(&stdout(&listed)).unwrap()
}

/// Sinks of files alone need nothing of the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_security_events_of_one_tenant_is_written_and_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("events")).unwrap();
    let text = format!(
        "[[audit.sinks]]\nname = \"guard\"\ntype = \"file\"\nevents = \"security\"\ntenants = [\"north\"]\nproofs = false\nfolder = \"{}\"\n",
        at.join("events").display()
    );
    let config = write(&at.join("chancery.toml"), &text);
    let lines = || -> Vec<Value> {
        let text = whole_lines(&at.join("events/guard.jsonl"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let refusals = |lines: &[Value]| {
        lines.iter().filter(|line| line["core"].as_str().unwrap().contains("\"access.refused\"")).count()
    };
    let mut key = String::new();
    for round in 1..=2 {
        let server = Served::start(&["--dev", "--config", &config], &at.join("data"), &[]);
        if round == 1 {
            let admin = admin_key(&at.join("data"));
            key = tenant(&server, &admin, "north", &["service"]).await.1;
            tenant(&server, &admin, "south", &["service"]).await;
        }
        let (status, _) = server.send("GET", "/v1/audit/checkpoint", &key, None).await;
        assert_eq!(status, 403);
        wait("the refusal", || refusals(&lines()) == round);
        server.stop();
    }
    let mut ids: Vec<String> = lines().iter().map(|line| line["event_id"].to_string()).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "nothing came twice");
    let tenants: std::collections::BTreeSet<String> =
        lines().iter().map(|line| line["tenant_id"].to_string()).collect();
    assert_eq!(tenants.len(), 1, "of one tenant");
    assert!(
        !fs::read_to_string(at.join("events/guard.jsonl")).unwrap().contains("\"record."),
        "and security events alone"
    );
    assert_eq!(crate::support::mode(PathBuf::from(at).join("events/guard.jsonl")), 0o600);
}

#[test]
fn a_sink_that_cannot_be_set_up_stops_the_start_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let config = write(
        &at.join("chancery.toml"),
        "[[audit.sinks]]\nname = \"local\"\ntype = \"file\"\nfolder = \"/nonexistent\"\n",
    );
    let data = at.join("data");
    let started = run(&[
        "serve",
        "--dev",
        "--config",
        &config,
        "--data",
        data.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "127.0.0.1:0",
    ]);
    assert!(!started.status.success());
    let said = stderr(&started);
    assert!(said.contains("the audit sink `local`") && said.contains("/nonexistent is no folder"), "{said}");
}
