//! A private Redis for tests, alone or as a cluster: free ports, a password, nothing that stays on disk, gone afterwards.
#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests only: without a server they cannot go on"
)]

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use chancery_crypto::Secret;
use redis::TlsCertificates;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{Address, Link, Options};

const PASSWORD: &str = "Private-Redis-of-a-test-7";

/// A server of its own. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    folder: TempDir,
    port: u16,
    /// Its authority's certificate, if it speaks TLS and nothing else.
    ca_file: Option<PathBuf>,
    settings: Vec<String>,
}

impl Server {
    /// Starts one. `None` where there is no `redis-server`, unless `CHANCERY_TEST_REQUIRE_REDIS` says that there must be one.
    ///
    /// # Panics
    ///
    /// If it must be there and is not, or does not answer.
    pub async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// As [`Self::start`], with further settings, such as `--maxmemory-policy`, `allkeys-lru`.
    ///
    /// # Panics
    ///
    /// If it must be there and is not, or does not answer.
    pub async fn start_with(settings: &[&str]) -> Option<Self> {
        Self::start_as(settings, None).await
    }

    /// As [`Self::start`], over TLS alone, with this certificate and key, in PEM, of an authority whose certificate comes last.
    ///
    /// # Panics
    ///
    /// If it must be there and is not, or does not answer.
    pub async fn start_tls(pems: [&str; 3]) -> Option<Self> {
        Self::start_as(&[], Some(pems)).await
    }

    async fn start_as(settings: &[&str], tls: Option<[&str; 3]>) -> Option<Self> {
        let installed = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().await.is_ok();
        if !installed {
            assert!(std::env::var_os("CHANCERY_TEST_REQUIRE_REDIS").is_none(), "redis-server is not installed");
            eprintln!("SKIPPED: redis-server is not installed");
            return None;
        }
        let settings: Vec<String> = settings.iter().map(|text| (*text).to_owned()).collect();
        // Another process may take the port before the server does.
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("a port").port();
            drop(listener);
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (mut settings, mut ca_file) = (settings.clone(), None);
            if let Some(pems) = tls {
                // The last one of a setting counts.
                let words = ["--port", "0", "--tls-auth-clients", "no", "--tls-port"].map(str::to_owned);
                settings.extend(words.into_iter().chain([port.to_string()]));
                for (setting, pem) in ["--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"].into_iter().zip(pems)
                {
                    let path = folder.path().join(setting.trim_start_matches('-'));
                    std::fs::write(&path, pem).expect("a file");
                    settings.extend([setting.to_owned(), path.display().to_string()]);
                    ca_file = Some(path);
                }
            }
            let child = spawn(&folder, port, &settings);
            let mut server = Self { child, folder, port, ca_file, settings };
            if server.answers().await {
                return Some(server);
            }
        }
        panic!("redis-server does not start")
    }

    /// Where it is, with its password.
    pub fn address(&self) -> Address {
        Address {
            tls: self.ca_file.is_some(),
            host: "127.0.0.1".to_owned(),
            port: self.port,
            others: Vec::new(),
            database: 0,
            username: None,
            password: Some(Secret::new(PASSWORD.to_owned())),
        }
    }

    /// Its address as people write it.
    pub fn url(&self) -> String {
        let scheme = if self.ca_file.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The file with its authority's certificate, if it speaks TLS.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// Its password.
    pub const fn password(&self) -> &'static str {
        PASSWORD
    }

    /// A link to it, for two nodes. An answer may take as long as on a busy machine.
    ///
    /// # Panics
    ///
    /// If it will not do.
    pub async fn link(&self) -> Arc<Link> {
        Link::open(self.options(Duration::from_secs(2))).await.expect("a Redis that will do")
    }

    /// How to use it, with this time for an answer.
    pub fn options(&self, timeout: Duration) -> Options {
        Options { address: self.address(), ca_file: self.ca_file.clone(), timeout, nodes: 2, cluster: false }
    }

    /// A connection of its own, to measure by.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn connection(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.address().url().expose().as_str()).expect("an address");
        client.get_multiplexed_async_connection().await.expect("a connection")
    }

    /// Has it do something, by words as of `redis-cli`.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn tell(&self, words: &[&str]) -> redis::Value {
        self.told(words).await.expect("an answer")
    }

    async fn told(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let tls = self.ca_file.as_ref().map(|path| TlsCertificates {
            client_tls: None,
            root_cert: Some(std::fs::read(path).expect("a certificate")),
        });
        let client = match tls {
            Some(tls) => redis::Client::build_with_tls(self.address().url().expose().as_str(), tls)?,
            None => redis::Client::open(self.address().url().expose().as_str())?,
        };
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await
    }

    /// `kill -9`: whatever it had is gone.
    ///
    /// # Panics
    ///
    /// If it cannot be killed.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a server to kill");
    }

    /// Starts it again where it was, empty.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub async fn start_again(&mut self) {
        self.child = spawn(&self.folder, self.port, &self.settings);
        assert!(self.answers().await, "redis-server does not start again");
    }

    async fn answers(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return false;
            }
            if self.told(&["PING"]).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

/// Three servers that share the slots of a cluster. Killed when dropped.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
}

impl Cluster {
    /// Starts one and waits until it takes commands. `None` where there is no `redis-server`.
    ///
    /// # Panics
    ///
    /// If it must be there and is not, or does not come about.
    pub async fn start() -> Option<Self> {
        const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        let mut servers = Vec::new();
        for _ in SLOTS {
            let bus =
                TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port").port().to_string();
            let mut settings =
                vec!["--cluster-enabled", "yes", "--cluster-node-timeout", "3000", "--cluster-port", &bus];
            // Those that are there go on while one is away.
            settings.extend(["--cluster-require-full-coverage", "no"]);
            servers.push((Server::start_with(&settings).await?, bus));
        }
        for ((server, _), (first, last)) in servers.iter().zip(SLOTS) {
            server.tell(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
        }
        for (other, bus) in servers.iter().skip(1) {
            let (first, _) = servers.first().expect("three servers");
            first.tell(&["CLUSTER", "MEET", "127.0.0.1", &other.port.to_string(), bus]).await;
        }
        let cluster = Self { servers: servers.into_iter().map(|(server, _)| server).collect() };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !cluster.is_whole().await {
            assert!(Instant::now() < deadline, "the cluster does not come about");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(cluster)
    }

    /// Its servers.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// One of its servers, to kill it or to start it again: the first has the slots up to 5,460.
    ///
    /// # Panics
    ///
    /// If there are fewer.
    pub fn server(&mut self, number: usize) -> &mut Server {
        self.servers.get_mut(number).expect("one of three servers")
    }

    /// How to use it: all servers are named.
    ///
    /// # Panics
    ///
    /// If it has none.
    pub fn options(&self, timeout: Duration) -> Options {
        let (first, others) = self.servers.split_first().expect("three servers");
        let mut options = first.options(timeout);
        options.address.others = others.iter().map(|server| ("127.0.0.1".to_owned(), server.port)).collect();
        Options { cluster: true, ..options }
    }

    /// Whether every server knows all three, and that all slots are someone's.
    async fn is_whole(&self) -> bool {
        for server in &self.servers {
            let info = format!("{:?}", server.tell(&["CLUSTER", "INFO"]).await);
            if !(info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")) {
                return false;
            }
        }
        true
    }
}

fn spawn(folder: &TempDir, port: u16, settings: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--requirepass", PASSWORD, "--dir"]).arg(folder.path()).args(settings);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("redis-server")
}
