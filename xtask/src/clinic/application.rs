//! The application on a uvicorn of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use crate::postgres::free_port;
use crate::process::{self, Guarded};
use crate::server::contract::{Answer, Client};
use crate::workspace;

/// The application at work. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Application {
    _running: Guarded,
    python: PathBuf,
    port: u16,
}

impl Application {
    /// Starts it: as it is, or with the middleware of `sdk/python` that asks for the assertions of this issuer, and a record of what came.
    pub(crate) fn start(python: &Path, issuer: Option<&str>) -> Result<Self> {
        let port = free_port()?;
        let mut uvicorn = Command::new(python);
        let app = if issuer.is_some() { "recorded:app" } else { "clinic.main:app" };
        uvicorn.args(["-B", "-m", "uvicorn", app, "--log-level", "warning", "--port", &port.to_string()]);
        uvicorn.current_dir(workspace::root().join("examples/fastapi-clinic"));
        if let Some(issuer) = issuer {
            let paths = ["sdk/python/src", "tools/clinic"].map(|path| workspace::root().join(path));
            uvicorn.env("PYTHONPATH", std::env::join_paths(paths)?).env("CHANCERY_ISSUER", issuer);
        }
        let running = Guarded::spawn(uvicorn.stdin(Stdio::null()))?;
        let application = Self { _running: running, python: python.to_owned(), port };
        application.wait()?;
        Ok(application)
    }

    fn wait(&self) -> Result<()> {
        let (client, deadline) = (Client::new(&self.base(), ""), Instant::now() + Duration::from_secs(60));
        while !matches!(client.call("GET", "/health", None), Answer::Acknowledged { .. }) {
            if Instant::now() > deadline {
                bail!("the application did not start within 60 s");
            }
            process::pause(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Runs the application's own tests at `base`: at the application itself, or at whoever stands in front of it.
    pub(crate) fn own_tests(&self, base: &str, key: Option<&str>) -> Result<()> {
        let headers = key.map_or_else(|| json!({}), |key| json!({ "Authorization": format!("Bearer {key}") }));
        let mut tests = super::pytest(&self.python, "examples/fastapi-clinic");
        process::run(tests.args(["tests", "--base-url", base]).env("CLINIC_HEADERS", headers.to_string()))
    }

    /// Its address.
    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
