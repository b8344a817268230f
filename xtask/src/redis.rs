//! A Redis of our own: a free port, a password, nothing on disk, gone afterwards.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::ambient;
use crate::postgres::free_port;
use crate::prerequisites::{self, Need};
use crate::process::{self, Guarded};

/// A running private Redis. Dropping it stops the server.
#[derive(Debug)]
pub(crate) struct Redis {
    // Dropped in this order.
    _server: Guarded,
    _folder: TempDir,
    port: u16,
    password: String,
}

impl Redis {
    /// Installs Redis where that is allowed and needed, and starts one.
    pub(crate) fn start() -> Result<Self> {
        prerequisites::ensure(&[Need::Redis])?;
        let folder = tempfile::Builder::new().prefix("chancery-redis-").tempdir()?;
        let (port, password) = (free_port()?, ambient::random_hex()?);
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(["--requirepass", &password, "--dir"]).arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Guarded::spawn(&mut command)?;
        let redis = Self { _server: server, _folder: folder, port, password };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !redis.say(&["PING"]).is_ok_and(|said| said.trim() == "PONG") {
            if Instant::now() > deadline {
                bail!("the private Redis does not answer");
            }
            process::pause(Duration::from_millis(20))?;
        }
        Ok(redis)
    }

    /// Has it do something, by words as of `redis-cli`.
    pub(crate) fn say(&self, words: &[&str]) -> Result<String> {
        let mut client = Command::new("redis-cli");
        client.args(["-p", &self.port.to_string(), "--no-auth-warning"]).args(words);
        process::output(client.env("REDISCLI_AUTH", &self.password))
    }

    /// What a server that uses it has in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [("REDIS_URL", format!("redis://127.0.0.1:{}", self.port)), ("REDIS_PASSWORD", self.password.clone())]
    }
}
