//! Clients off the shelf find our tokens' keys by discovery and verify them: PyJWT, joserfc and authlib for Python, jose and
//! openid-client for Node. Standard Webhooks' own libraries sign for us and verify what we sign. Strangers' eyes on our headers. And
//! people's second factors off the shelf: pyotp, and Chromium with its virtual authenticator.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::postgres::free_port;
use crate::prerequisites::{self, Need};
use crate::server::{Server, contract};
use crate::{process, python, strict_headers, workspace};

/// The algorithms that can be configured.
const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];
const PASSWORD: &str = "Correct-Horse-7-Battery";

/// What the scripts import.
const MODULES: &str = "jwt, joserfc, authlib, requests, pyotp, standardwebhooks";

/// How the clients are run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Options {
    /// Test this program instead of building one
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Leave out what needs Chromium, where there is none
    #[arg(long)]
    pub(crate) without_browser: bool,
}

/// Runs every client against a server for each algorithm.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (python, node) = fetch()?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => workspace::build_server(false)?,
    };
    webhooks(&binary, &python, &node)?;
    for algorithm in ALGORITHMS {
        let mut server = Server::prepare(&binary, None, false)?.with("CHANCERY__TOKENS__ALGORITHM", algorithm);
        server.start()?;
        let clients = against(&server, algorithm, &python, &node);
        if clients.is_err() {
            println!("{}", server.log_end());
        }
        clients.with_context(|| format!("with {algorithm}"))?;
        server.finish()?;
    }
    strict_headers::judge(&binary, &node)?;
    let chromium = prerequisites::browser("passkeys in a browser", options.without_browser)?;
    factors(&binary, &python, chromium)
}

/// A Python with the clients for it, and the folder of those for Node.
pub(crate) fn fetch() -> Result<(PathBuf, PathBuf)> {
    prerequisites::ensure(&[Need::Python, Need::Node])?;
    Ok((python::with_module(MODULES, &["-r", "tools/clients/requirements.txt"])?, node_modules()?))
}

/// Standard Webhooks' own libraries, in both directions.
fn webhooks(binary: &Path, python: &Path, node: &Path) -> Result<()> {
    let binary = binary.canonicalize().context("the program is not there")?;
    let script = workspace::root().join("tools/clients/webhooks.py");
    process::run(Command::new(python).arg("-B").arg(script).env("CHANCERY_BINARY", &binary))?;
    process::run(Command::new("node").arg(node.join("webhooks.mjs")).env("CHANCERY_BINARY", &binary))
}

/// Second factors of people, each with what people have.
fn factors(binary: &Path, python: &Path, chromium: Option<PathBuf>) -> Result<()> {
    let (page, other) = (free_port()?, free_port()?);
    let server = Server::prepare(binary, None, false)?.with("CHANCERY__PASSKEYS__RP_ID", "localhost");
    let mut server = server.with("CHANCERY__PASSKEYS__ORIGINS", &format!("http://localhost:{page}"));
    server.start()?;
    let admin = server.admin()?;
    let tenant = admin.make_tenant("northside")?;
    for (name, role) in [("zoe", "clinician"), ("ben", "clinician"), ("ada", "tenant_admin")] {
        let email = format!("{name}@example.test");
        let body = json!({ "username": name, "email": email, "password": PASSWORD, "roles": [role] });
        admin.expect("POST", &format!("/v1/tenants/{tenant}/users"), Some(&body))?;
    }
    let variables = [
        ("CHANCERY_ISSUER", server.base()),
        ("CHANCERY_TENANT", "northside".to_owned()),
        ("CHANCERY_PASSWORD", PASSWORD.to_owned()),
        ("CHANCERY_PAGE_PORT", page.to_string()),
        ("CHANCERY_OTHER_PORT", other.to_string()),
    ];
    let tools = workspace::root().join("tools/clients");
    let mut codes = Command::new(python);
    let mut done = process::run(codes.arg("-B").arg(tools.join("codes.py")).envs(variables.clone()));
    if let (Ok(()), Some(chromium)) = (&done, chromium) {
        let mut passkeys = Command::new("node");
        passkeys.arg(tools.join("passkeys.mjs")).envs(variables).env("CHANCERY_CHROMIUM", chromium);
        done = process::run(&mut passkeys);
    }
    if done.is_err() {
        println!("{}", server.log_end());
    }
    done?;
    server.finish().map(drop)
}

fn against(server: &Server, algorithm: &str, python: &Path, node: &Path) -> Result<()> {
    let admin = server.admin()?;
    let tenant = admin.make_tenant("northside")?;
    let program = json!({ "description": "a program", "roles": ["service"] });
    let program = admin.expect("POST", &format!("/v1/tenants/{tenant}/api-keys"), Some(&program))?;
    admin.make_user(&tenant, "zoe", PASSWORD)?;
    let variables = [
        ("CHANCERY_ISSUER", server.base()),
        ("CHANCERY_ALGORITHM", algorithm.to_owned()),
        ("CHANCERY_CLIENT_ID", contract::text(&program, "id")?),
        ("CHANCERY_CLIENT_SECRET", contract::text(&program, "key")?),
        ("CHANCERY_TENANT", "northside".to_owned()),
        ("CHANCERY_USERNAME", "zoe".to_owned()),
        ("CHANCERY_PASSWORD", PASSWORD.to_owned()),
    ];
    let script = workspace::root().join("tools/clients/clients.py");
    // It must leave no `__pycache__` behind.
    process::run(Command::new(python).arg("-B").arg(script).envs(variables.clone()))?;
    process::run(Command::new("node").arg(node.join("clients.mjs")).envs(variables))
}

/// A folder with the script and its modules: Node looks for modules beside the script, and the working tree stays as it was.
fn node_modules() -> Result<PathBuf> {
    let folder = workspace::target()?.join("clients");
    let source = workspace::root().join("tools/clients");
    std::fs::create_dir_all(&folder)?;
    let wanted = std::fs::read(source.join("package.json"))?;
    let installed = std::fs::read(folder.join("package.json")).is_ok_and(|found| found == wanted)
        && folder.join("node_modules/.package-lock.json").is_file();
    if !installed {
        std::fs::write(folder.join("package.json"), &wanted)?;
        println!(
            "Installing jose, openid-client, standardwebhooks, mdn-http-observatory and csp_evaluator into {}",
            folder.display()
        );
        let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"];
        process::run(Command::new("npm").args(install).current_dir(&folder))?;
    }
    for script in ["clients.mjs", "headers.mjs", "webhooks.mjs"] {
        std::fs::copy(source.join(script), folder.join(script))?;
    }
    Ok(folder)
}
