//! A server as a process of its own, and a client for it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{LazyLock, mpsc::RecvTimeoutError},
    thread::JoinHandle,
};

use chancery::clock::SystemClock;
use chancery_domain::Clock as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The command, with none of our own variables from outside.
pub(crate) fn chancery(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CHANCERY")
            || ["ENVIRONMENT", "DEBUG", "DATABASE_URL", "SECRET_KEY", "REDIS_URL", "REDIS_PASSWORD"].contains(&&*text)
        {
            command.env_remove(&name);
        }
    }
    command.args(arguments);
    command
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    finish(&mut chancery(arguments))
}

/// Runs a command to its end. One that serves where it should refuse is killed, so that the test fails.
pub(crate) fn finish(command: &mut Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if ended.recv_timeout(std::time::Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    guard.join().unwrap();
    output
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `chancery serve` at work. Killed when dropped.
pub(crate) struct Served {
    child: Child,
    base: String,
    log: Option<JoinHandle<String>>,
}

impl Served {
    /// In development on `folder`.
    pub(crate) fn dev(folder: &Path) -> Self {
        Self::start(&["--dev"], folder, &[])
    }

    /// With these arguments and variables; panics with the log if it does not become ready.
    pub(crate) fn start(arguments: &[&str], folder: &Path, variables: &[(&str, &str)]) -> Self {
        Self::start_at("127.0.0.1:0", arguments, folder, variables)
    }

    /// The same, at this address.
    pub(crate) fn start_at(address: &str, arguments: &[&str], folder: &Path, variables: &[(&str, &str)]) -> Self {
        let folder = folder.to_str().unwrap();
        let mut child = chancery(&["serve", "--data", folder, "--listen", address])
            .args(arguments)
            .env("CHANCERY__SERVER__METRICS_LISTEN", "127.0.0.1:0")
            // Everybody comes from one address here.
            .env("CHANCERY__LIMITS__LOGIN", "off")
            .env("CHANCERY__LIMITS__LOCKOUTS", "false")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some((_, base)) = line.trim().split_once(" ready at ") else {
            let _ = child.wait();
            panic!("{}", log.join().unwrap());
        };
        Self { child, base: base.to_owned(), log: Some(log) }
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it answers.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Sends SIGTERM; gives the exit code and the log.
    pub(crate) fn stop(mut self) -> (i32, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        (status.code().unwrap_or(-1), self.log.take().unwrap().join().unwrap())
    }

    /// Sends a request with an API key.
    pub(crate) async fn send(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> (u16, Value) {
        let client = http();
        let mut request = client.request(method.parse().unwrap(), format!("{}{path}", self.base)).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }

    /// The same, and it must succeed.
    pub(crate) async fn must(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.send(method, path, key, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    pub(crate) async fn bytes(&self, path: &str, key: &str) -> Vec<u8> {
        let client = http();
        let response = client.get(format!("{}{path}", self.base)).header("x-api-key", key).send().await.unwrap();
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.bytes().await.unwrap().to_vec()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The client of all tests, made once: it reads the certificates of the system, which takes longer than a request does. Its connections
/// serve one request each, for they end with the runtime of their test.
pub(crate) fn http() -> &'static reqwest::Client {
    static HTTP: LazyLock<reqwest::Client> =
        LazyLock::new(|| reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap());
    &HTTP
}

pub(crate) fn admin_key(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("admin-api-key")).unwrap().trim().to_owned()
}

/// A new tenant and a key with `roles` in it.
pub(crate) async fn tenant(server: &Served, admin: &str, slug: &str, roles: &[&str]) -> (String, String) {
    let body = serde_json::json!({ "name": slug, "slug": slug });
    let tenant = server.must("POST", "/v1/tenants", admin, Some(body)).await["id"].as_str().unwrap().to_owned();
    let body = serde_json::json!({ "description": "test", "roles": roles });
    let key = server.must("POST", &format!("/v1/tenants/{tenant}/api-keys"), admin, Some(body)).await;
    (tenant, key["key"].as_str().unwrap().to_owned())
}

pub(crate) fn mode(path: PathBuf) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Every file in a folder and in the folders within it.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What follows `label` on its line.
pub(crate) fn after<'a>(text: &'a str, label: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(label)).unwrap_or_else(|| panic!("{text}")).trim()
}

/// The query of the last and the next hour's events.
pub(crate) fn around_now() -> String {
    let now = SystemClock.now();
    format!("from={}&to={}", now.plus_seconds(-3600), now.plus_seconds(3600))
}
