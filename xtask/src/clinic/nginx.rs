//! An nginx of our own in front of the application, with the configuration of docs/guides/proxies.md.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::postgres::free_port;
use crate::prerequisites;
use crate::process::{self, Guarded};
use crate::server::contract::{Answer, Client};
use crate::workspace;

/// A running nginx. Dropping it stops it, then removes its folder.
#[derive(Debug)]
pub(crate) struct Nginx {
    // Dropped in this order.
    _running: Guarded,
    folder: TempDir,
    port: u16,
}

impl Nginx {
    /// Starts one that asks `chancery` and hands on to `application`.
    pub(crate) fn start(chancery: &str, application: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("chancery-nginx-").tempdir()?;
        let port = free_port()?;
        let (place, port_text) = (folder.path().display().to_string(), port.to_string());
        let filled = [
            ("@FOLDER@", place.as_str()),
            ("@PORT@", &port_text),
            ("@CHANCERY@", chancery.trim_start_matches("http://")),
            ("@APPLICATION@", application.trim_start_matches("http://")),
        ];
        for name in ["nginx.conf", "application.conf"] {
            let text = fs::read_to_string(workspace::root().join("tools/clinic").join(name))?;
            let text = filled.iter().fold(text, |text, (mark, value)| text.replace(mark, value));
            fs::write(folder.path().join(name), text)?;
        }
        let mut nginx = Command::new(prerequisites::nginx().context("nginx is gone again")?);
        nginx.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        // Before it has read where its log is, it complains to the system's.
        nginx.arg("-e").arg(folder.path().join("error.log"));
        let running = Guarded::spawn(nginx.stdin(Stdio::null()))?;
        let nginx = Self { _running: running, folder, port };
        nginx.answers(200, "")?;
        Ok(nginx)
    }

    /// Waits until it answers a request with this status: of the health check, which nobody is asked about, or of a list with `key`.
    pub(crate) fn answers(&self, status: u16, key: &str) -> Result<()> {
        let path = if key.is_empty() { "/health" } else { "/api/patients" };
        let (client, deadline) = (Client::new(&self.base(), key), Instant::now() + Duration::from_secs(20));
        loop {
            let found = match client.call("GET", path, None) {
                Answer::Acknowledged { .. } => 200,
                Answer::Refused { status, .. } => status,
                Answer::Lost => 0,
            };
            if found == status {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("nginx answers {found} and not {status}\n{}", self.log_end());
            }
            process::pause(Duration::from_millis(50))?;
        }
    }

    /// Its address.
    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it complained about.
    pub(crate) fn log_end(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default();
        format!("nginx's last words:\n{log}")
    }
}
