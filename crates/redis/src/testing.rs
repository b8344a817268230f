//! A private Redis for tests: a free port, a password, nothing on disk, gone afterwards.
#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "tests only: without a server they cannot go on"
)]

use std::{
    net::TcpListener,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use chancery_crypto::Secret;
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
            let child = spawn(&folder, port, &settings);
            let mut server = Self { child, folder, port, settings: settings.clone() };
            if server.answers().await {
                return Some(server);
            }
        }
        panic!("redis-server does not start")
    }

    /// Where it is, with its password.
    pub fn address(&self) -> Address {
        Address {
            tls: false,
            host: "127.0.0.1".to_owned(),
            port: self.port,
            database: 0,
            username: None,
            password: Some(Secret::new(PASSWORD.to_owned())),
        }
    }

    /// Its address as people write it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
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
        Options { address: self.address(), ca_file: None, timeout, nodes: 2 }
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
        let client = redis::Client::open(self.address().url().expose().as_str())?;
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

fn spawn(folder: &TempDir, port: u16, settings: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--requirepass", PASSWORD, "--dir"]).arg(folder.path()).args(settings);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("redis-server")
}
