//! An application that knows nothing of us, alone and with us in front of it: examples/fastapi-clinic on a real uvicorn.
//!
//! Its own tests pass wherever it stands. Attacks on whoever is in front of it do not get through.

mod application;
mod gateway;
mod nginx;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::postgres::free_port;
use crate::prerequisites::{self, Need};
use crate::server::{Server, contract};
use crate::{process, python, workspace};
use application::Application;

/// How it is run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Options {
    /// Test this program instead of building one
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,
    /// Add what takes its time: bodies that come a byte a second
    #[arg(long)]
    pub(crate) long: bool,
}

/// What the application's tests and its package want.
const REQUIREMENTS: [&str; 2] = ["examples/fastapi-clinic/requirements.txt", "sdk/python/requirements.txt"];

/// Runs the application's tests alone and behind what stands in front of it, and the tests of the Python package.
pub(crate) fn run(options: &Options) -> Result<()> {
    prerequisites::ensure(&[Need::Nginx, Need::Python])?;
    let python = fetch()?;
    let binary = match &options.binary {
        Some(binary) => binary.canonicalize().with_context(|| binary.display().to_string())?,
        None => workspace::build_server(false)?,
    };
    println!("-- the Python package");
    process::run(&mut pytest(&python, "sdk/python"))?;
    let application = Application::start(&python, None)?;
    println!("-- the application alone");
    application.own_tests(&application.base(), None)?;
    gateway::behind_the_gateway(&binary, &python, &application, options)?;
    behind_nginx(&binary, &python, &application)?;
    as_its_readme_says(&binary)
}

/// A Python with what the application and its tests import.
pub(crate) fn fetch() -> Result<PathBuf> {
    python::hashed("clinic", &REQUIREMENTS)
}

/// nginx asks `/authz/auth-request` about every request.
fn behind_nginx(binary: &Path, python: &Path, plain: &Application) -> Result<()> {
    println!("-- behind nginx, which asks Chancery");
    let mut server = Server::prepare(binary, None, false)?
        .with("CHANCERY__SERVER__TRUSTED_PROXIES", "127.0.0.1")
        .with("CHANCERY__API_KEYS__PER_MINUTE", "0");
    server.start()?;
    let keys = Keys::make(&server)?;
    let nginx = nginx::Nginx::start(&server.base(), &plain.base())?;
    let done = plain.own_tests(&nginx.base(), Some(&keys.clinician));
    let guarded = Application::start(python, Some(&server.base()))?;
    let in_front = nginx::Nginx::start(&server.base(), &guarded.base())?;
    let done = done.and_then(|()| process::run(&mut attacks(python, &in_front.base(), &guarded, &keys)));
    if done.is_err() {
        println!("{}\n{}\n{}", server.log_end(), nginx.log_end(), in_front.log_end());
    }
    done?;
    server.finish()?;
    // An authority that cannot be asked is no bad credential.
    in_front.answers(503, &keys.clinician).context("without Chancery")
}

/// The script of the example does the first half of this for whoever reads it, with no help of ours.
fn as_its_readme_says(binary: &Path) -> Result<()> {
    println!("-- examples/fastapi-clinic/run.sh");
    let mut script = Command::new(workspace::root().join("examples/fastapi-clinic/run.sh"));
    script.env("CHANCERY", binary).env("VENV", workspace::target()?.join("venv-example"));
    for port in ["PORT", "FRONT", "API"] {
        script.env(port, free_port()?.to_string());
    }
    process::run(&mut script)
}

/// Who calls in these tests.
struct Keys {
    tenant: String,
    clinician: String,
    /// One that may ask three times a minute.
    limited: String,
    /// Where the tenant's administrator and auditor ask.
    api: String,
    officer: String,
    auditor: String,
}

impl Keys {
    fn make(server: &Server) -> Result<Self> {
        let admin = server.admin()?;
        let tenant = admin.make_tenant("northside")?;
        let limited = json!({ "description": "a program", "roles": ["clinician"], "rate_limit": 3 });
        let limited = admin.expect("POST", &format!("/v1/tenants/{tenant}/api-keys"), Some(&limited))?;
        let made = |role| admin.make_api_key(&tenant, role);
        let (clinician, officer, auditor) = (made("clinician")?, made("tenant_admin")?, made("auditor")?);
        Ok(Self { clinician, limited: contract::text(&limited, "key")?, api: server.base(), officer, auditor, tenant })
    }
}

/// Attacks on whoever stands in front of the application, which answers nobody else.
fn attacks(python: &Path, front: &str, guarded: &Application, keys: &Keys) -> Command {
    let mut command = Command::new(python);
    command.arg("-B").arg(workspace::root().join("tools/clinic/attacks.py"));
    command.env("CLINIC_FRONT", front).env("CLINIC_APPLICATION", guarded.base()).env("CLINIC_TENANT", &keys.tenant);
    command.env("CLINIC_KEY", &keys.clinician).env("CLINIC_LIMITED_KEY", &keys.limited);
    command.env("CLINIC_API", &keys.api).env("CLINIC_OFFICER", &keys.officer).env("CLINIC_AUDITOR", &keys.auditor);
    command
}

/// pytest over a folder, leaving nothing behind in it.
fn pytest(python: &Path, folder: &str) -> Command {
    let mut command = Command::new(python);
    command.args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    command.current_dir(workspace::root().join(folder));
    command
}
