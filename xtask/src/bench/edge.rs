//! The gateway under load, next to nginx and HAProxy before the same application in the same run.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Measured,
    load::{empty_handler, rate},
    reason,
    report::Row,
};
use crate::postgres::free_port;
use crate::prerequisites::{self, Need};
use crate::process::{self, Guarded};
use crate::server::Server;
use crate::workspace;

/// How many connections press.
const CONNECTIONS: u32 = 64;
/// What they ask for.
const KIB: &str = "/kib?limit=10";

// What is known of why a target is missed.
const EVERY_CHECK: &str = "nginx asks the application once more and looks at nothing. Here a role, four limits, a document and a \
    profile of headers come to the API key, and each request is signed for the application (ADR 0031): with the key alone the gateway \
    added 19 and 97 µs less in two runs at e20fde4, and answered a third more requests and twice as many.";
const KEY_ALONE: &str = "The caller is looked up, what claims an identity is taken out, and each request is signed for the application \
    (ADR 0031). In two runs at e20fde4 this was 197 and 148 µs, and what nginx with `auth_request` added, which does none of that, 207 \
    and 202.";
const HANDED_ON: &str = "The peer hands on and does nothing else. Here the caller is looked up, what claims an identity is taken out, \
    and each request is signed for the application (ADR 0031).";

/// What the runs showed.
#[derive(Debug)]
pub(super) struct Edge {
    full: Run,
    bare: Run,
    nginx: Run,
    nginx_auth: Run,
    haproxy: Run,
    direct: Run,
}

/// Requests per second under load, and the median time of one request at a time in microseconds.
#[derive(Debug)]
struct Run {
    rate: Measured,
    median: Measured,
}

impl Run {
    fn failed(error: &anyhow::Error) -> Self {
        let reason = format!("{error:#}");
        Self { rate: Err(reason.clone()), median: Err(reason) }
    }

    fn measure(address: &str, key: &str, seconds: u32) -> Self {
        let said = |measured: Result<f64>| measured.map_err(reason);
        let pressed = || {
            press(address, key, 2, CONNECTIONS, 1).and_then(|_| rate(&press(address, key, 2, CONNECTIONS, seconds)?))
        };
        let median = || {
            let said = press(address, key, 1, 1, seconds.min(5))?;
            rate(&said)?;
            said.get("p50").and_then(Value::as_f64).context("wrk told no median")
        };
        Self { rate: said(pressed()), median: said(median()) }
    }
}

impl Edge {
    pub(super) fn measure(seconds: u32) -> Self {
        let all = || -> Result<Self> {
            prerequisites::ensure(&[Need::Wrk, Need::Proxies])?;
            let (_handler, application) = empty_handler()?;
            let folder = tempfile::tempdir()?;
            let peer = |started: Result<(Guarded, String)>| match started {
                Ok((_running, address)) => Run::measure(&address, "none", seconds),
                Err(error) => Run::failed(&error),
            };
            let ours = |checks: Checks| match Gate::start(&application, checks) {
                Ok(gate) => Run::measure(&gate.address, &gate.key, seconds),
                Err(error) => Run::failed(&error),
            };
            Ok(Self {
                full: ours(Checks::All),
                bare: ours(Checks::KeyAlone),
                nginx: peer(nginx(&folder, &application, false)),
                nginx_auth: peer(nginx(&folder, &application, true)),
                haproxy: peer(haproxy(&folder, &application)),
                direct: Run::measure(&application, "none", seconds),
            })
        };
        all().unwrap_or_else(|error| {
            let [full, bare, nginx, nginx_auth, haproxy, direct] = std::array::from_fn(|_| Run::failed(&error));
            Self { full, bare, nginx, nginx_auth, haproxy, direct }
        })
    }

    pub(super) fn rows(&self) -> Vec<Row> {
        let full = "gateway, every check on (caller, role, limits, headers, schema), 1 KiB, 64 connections";
        let bare = "gateway, an API key checked and nothing else, 1 KiB, 64 connections";
        let added = |run: &Run| match (&run.median, &self.direct.median) {
            (Ok(through), Ok(direct)) => Ok(through - direct),
            (Err(reason), _) | (_, Err(reason)) => Err(reason.clone()),
        };
        let share = |what: &str, ours: &Run, peer: &str, theirs: &Run, share: f64| {
            Row::share(what, "requests/s", &ours.rate, peer, &theirs.rate, share)
        };
        let auth = "nginx `proxy_pass` with `auth_request`";
        let one = |checks: &str| format!("what the gateway adds to one request at a time, {checks}, median");
        vec![
            share(full, &self.full, auth, &self.nginx_auth, 0.7).because(EVERY_CHECK),
            Row::limit(&one("every check on"), "µs", &added(&self.full), 150.0).because(EVERY_CHECK),
            share(bare, &self.bare, auth, &self.nginx_auth, 0.7),
            share(bare, &self.bare, "nginx `proxy_pass`, which checks nothing", &self.nginx, 0.3).because(HANDED_ON),
            share(bare, &self.bare, "HAProxy, which checks nothing", &self.haproxy, 0.3).because(HANDED_ON),
            Row::limit(&one("an API key checked and nothing else"), "µs", &added(&self.bare), 150.0).because(KEY_ALONE),
            Row::limit("what nginx with `auth_request` adds", "µs", &added(&self.nginx_auth), 1e6),
        ]
    }
}

pub(super) fn press(address: &str, key: &str, threads: u32, connections: u32, seconds: u32) -> Result<Value> {
    let wrk = prerequisites::on_path("wrk").unwrap_or_else(|| PathBuf::from("wrk"));
    let mut command = Command::new(wrk);
    command.args([&format!("-t{threads}"), &format!("-c{connections}"), &format!("-d{seconds}s"), "-s"]);
    command.arg(workspace::root().join("bench/get.lua")).arg(format!("http://{address}{KIB}"));
    command.env("LOAD_AUTHORIZATION", format!("Bearer {key}"));
    let said = process::output(&mut command)?;
    let line = said.lines().find(|line| line.starts_with('{')).context("wrk gave no summary")?;
    println!("{address}: {line}");
    serde_json::from_str(line).context("wrk's summary is not JSON")
}

/// What is asked of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checks {
    /// An API key. What development counts, which is nothing.
    KeyAlone,
    /// All that `bench/gateway.toml` says.
    All,
}

/// Our gateway, on SQLite, with a route that needs a credential.
pub(super) struct Gate {
    pub(super) server: Server,
    pub(super) address: String,
    pub(super) key: String,
    _folder: TempDir,
}

impl Gate {
    pub(super) fn start(application: &str, checks: Checks) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let folder = tempfile::tempdir()?;
        let server = Server::prepare(&workspace::build_server(true)?, None, false)?;
        let server = server.with("CHANCERY__LOG__LEVEL", "warn");
        let mut server = match checks {
            Checks::KeyAlone => server
                .with("CHANCERY__GATEWAY__UPSTREAM", &format!("http://{application}"))
                .with("CHANCERY__GATEWAY__LISTEN", &address),
            Checks::All => {
                let file = checking(&folder, &address, application)?;
                server.with("CHANCERY_CONFIG", &file.display().to_string())
            }
        };
        server.start()?;
        let admin = server.admin()?;
        let tenant = admin.make_tenant("edge")?;
        let key = admin.make_api_key(&tenant, "clinician")?;
        wait_for(&address)?;
        if checks == Checks::All {
            prove(&address, &key, &admin.make_api_key(&tenant, "auditor")?)?;
        }
        Ok(Self { server, address, key, _folder: folder })
    }
}

/// Writes the configuration with every check.
fn checking(folder: &TempDir, address: &str, application: &str) -> Result<PathBuf> {
    let bench = workspace::root().join("bench");
    let document = bench.join("openapi.json").display().to_string();
    let filled = [("@LISTEN@", address), ("@APPLICATION@", application), ("@DOCUMENT@", document.as_str())];
    let text = fs::read_to_string(bench.join("gateway.toml"))?;
    let file = folder.path().join("gateway.toml");
    fs::write(&file, filled.iter().fold(text, |text, (mark, value)| text.replace(mark, value)))?;
    Ok(file)
}

/// Each check refuses what it is there for, and all limits count: or the row would have a wrong name.
fn prove(address: &str, key: &str, other_role: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let right = loop {
        let right = answer(address, "GET", KIB, key)?;
        // The document is read beside the start.
        if right.starts_with("HTTP/1.1 200 ") || Instant::now() > deadline {
            break right;
        }
        process::pause(Duration::from_millis(20))?;
    };
    let counted = ["address", "tenant", "key", "kib"].map(|name| format!("\"{name}\";q=10000000"));
    let marks = ["HTTP/1.1 200 ", "content-security-policy: "].map(str::to_owned);
    if let Some(lacks) = marks.iter().chain(&counted).find(|mark| !right.contains(mark.as_str())) {
        bail!("a right request's answer lacks `{lacks}`: {right}");
    }
    for (status, key, target) in [
        (401, "none", KIB),
        (403, other_role, KIB),
        (422, key, "/kib?limit=ten"),
        (400, key, "/kib?limit=1&limit=2"),
        (405, key, "/kib"),
    ] {
        let method = if status == 405 { "DELETE" } else { "GET" };
        let answer = answer(address, method, target, key)?;
        if !answer.starts_with(&format!("HTTP/1.1 {status} ")) {
            bail!("{method} {target} should be refused with {status}: {answer}");
        }
    }
    Ok(())
}

fn answer(address: &str, method: &str, target: &str, key: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn nginx(folder: &TempDir, application: &str, auth: bool) -> Result<(Guarded, String)> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let home = folder.path().join(if auth { "nginx-auth" } else { "nginx" });
    fs::create_dir_all(&home)?;
    let (demand, check) = if auth {
        let check = "location = /auth { internal; proxy_pass http://app; proxy_pass_request_body off; proxy_set_header Content-Length \"\"; }";
        ("auth_request /auth;", check)
    } else {
        ("", "")
    };
    let shown = home.display();
    let config = format!(
        "worker_processes auto; daemon off; pid {shown}/pid; error_log {shown}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; client_body_temp_path {shown}/b; proxy_temp_path {shown}/p; fastcgi_temp_path {shown}/f;\n\
         uwsgi_temp_path {shown}/u; scgi_temp_path {shown}/s; keepalive_requests 100000000;\n\
         upstream app {{ server {application}; keepalive 256; keepalive_requests 100000000; }}\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;\n\
         server {{ listen {address}; {check} location / {{ {demand} proxy_pass http://app; }} }} }}\n"
    );
    let file = home.join("nginx.conf");
    fs::write(&file, config)?;
    let program = prerequisites::nginx().context("nginx is gone again")?;
    let mut command = Command::new(program);
    command.arg("-p").arg(&home).arg("-c").arg(&file).arg("-e").arg(home.join("error.log"));
    started(command, &home, address)
}

fn haproxy(folder: &TempDir, application: &str) -> Result<(Guarded, String)> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let home = folder.path().join("haproxy");
    fs::create_dir_all(&home)?;
    let config = format!(
        "global\n  maxconn 4096\ndefaults\n  mode http\n  timeout connect 3s\n  timeout client 30s\n  timeout server 30s\n  \
         http-reuse always\nfrontend front\n  bind {address}\n  default_backend app\nbackend app\n  server app {application}\n"
    );
    let file = home.join("haproxy.cfg");
    fs::write(&file, config)?;
    let mut command = Command::new(prerequisites::haproxy().context("HAProxy is gone again")?);
    command.arg("-db").arg("-f").arg(&file);
    started(command, &home, address)
}

fn started(mut command: Command, home: &Path, address: String) -> Result<(Guarded, String)> {
    let log = fs::File::create(home.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let running = Guarded::spawn(&mut command)?;
    wait_for(&address).with_context(|| fs::read_to_string(home.join("log")).unwrap_or_default())?;
    Ok((running, address))
}

fn wait_for(address: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            bail!("nobody answers at {address}");
        }
        process::pause(Duration::from_millis(20))?;
    }
    Ok(())
}
