//! The server under test: started, killed and started again on the same data.

pub(crate) mod contract;

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::postgres::free_port;
use crate::process::{self, Guarded};
use contract::Client;

/// A server and its data folder. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct Server {
    // Dropped in this order.
    running: Option<Guarded>,
    folder: TempDir,
    binary: PathBuf,
    store: Option<String>,
    variables: Vec<(&'static str, String)>,
    port: u16,
}

impl Server {
    /// Makes the data folder; starts nothing yet.
    pub(crate) fn prepare(binary: &Path, store: Option<&str>, keep: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("chancery-server-").disable_cleanup(keep).tempdir()?;
        if keep {
            println!("data in {}", folder.path().display());
        }
        let (binary, store) = (binary.to_owned(), store.map(str::to_owned));
        Ok(Self { running: None, folder, binary, store, variables: Vec::new(), port: free_port()? })
    }

    /// With a variable in its environment.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// Starts the server and waits until it takes requests.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.launch()?;
        self.wait_until_ready()
    }

    /// Waits until the server takes requests.
    pub(crate) fn wait_until_ready(&self) -> Result<()> {
        let client = self.client("");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !client.is_ready() {
            if self.running.as_ref().is_none_or(|server| server.ended().unwrap_or(true)) {
                bail!("the server ended by itself\n{}", self.log_end());
            }
            if Instant::now() > deadline {
                bail!("the server was not ready after 60 s\n{}", self.log_end());
            }
            process::pause(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Starts the server without waiting.
    pub(crate) fn launch(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.binary);
        // The metrics go to whatever port is free: nobody asks for them.
        command.args(["serve", "--dev", "--metrics-listen", "127.0.0.1:0"]);
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.arg("--data").arg(self.folder.path().join("data"));
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        // Everybody comes from one address here.
        for limit in ["LOGIN", "REGISTRATION", "SECOND_FACTOR", "PASSWORD"] {
            command.env(format!("CHANCERY__LIMITS__{limit}"), "off");
        }
        command.env("CHANCERY__LIMITS__LOCKOUTS", "false");
        command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.running = Some(Guarded::spawn(&mut command)?);
        Ok(())
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut server) = self.running.take() {
            server.kill()?;
        }
        Ok(())
    }

    /// Has the program look at all that is stored of every log; nobody serves meanwhile.
    pub(crate) fn scrub(&self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(["audit", "scrub", "--dev", "--data"]).arg(self.data());
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        process::output(&mut command).context("what is stored of a log is not what was written").map(drop)
    }

    /// SIGTERM, and how the server ended; it has 30 s to drain.
    pub(crate) fn finish(&mut self) -> Result<ExitStatus> {
        let mut server = self.running.take().context("the server does not run")?;
        server.signal(Signal::TERM)?;
        server.wait_for(Duration::from_secs(30))?.context("the server did not drain within 30 s of SIGTERM")
    }

    /// The address of the server.
    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn client(&self, key: &str) -> Client {
        Client::new(&self.base(), key)
    }

    /// The platform's administrator, whose key the first start wrote.
    pub(crate) fn admin(&self) -> Result<Client> {
        let path = self.folder.path().join("data/admin-api-key");
        let key = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
        Ok(self.client(key.trim()))
    }

    /// Resident memory.
    pub(crate) fn memory_mb(&self) -> Result<f64> {
        let pid = self.running.as_ref().context("the server does not run")?.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        let kilobytes: f64 = kilobytes.context("no VmRSS in the process's status")?.parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// The last lines that the server wrote.
    pub(crate) fn log_end(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(30).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        format!("the server's last words:\n{}", lines.join("\n"))
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}
