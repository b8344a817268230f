//! Three verifiers that share no code give one answer: the binary, the Python program, the page in a browser.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::prerequisites::{self, Need};
use crate::server::{Server, contract};
use crate::{ambient, process, python, workspace};

/// How the verifiers are run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Options {
    /// Test this program instead of building one
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Leave out what needs Chromium, where there is none
    #[arg(long)]
    pub(crate) without_browser: bool,
    /// All packs with one odd value, not every fifth; and a pack of 100,000 events against the clock, with an optimised binary
    #[arg(long)]
    large: bool,
}

/// Gives the corpus, and packs that a server makes now, to all of them.
pub(crate) fn run(options: &Options) -> Result<()> {
    prerequisites::ensure(&[Need::Python, Need::Node])?;
    let python = python::with_module("cryptography", &["-r", "tools/vectors/requirements.txt"])?;
    let tools = workspace::root().join("tools/verifiers");
    // They must leave no `__pycache__` behind.
    process::run(Command::new(&python).arg("-B").arg(tools.join("make_packs.py")).arg("--check"))?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => workspace::build_server(options.large)?,
    };
    let folder = tempfile::tempdir()?;
    fresh(&binary, folder.path())?;
    let mut agree = Command::new(python);
    agree.arg("-B").arg(tools.join("agree.py")).arg("--binary").arg(&binary).arg("--packs").arg(folder.path());
    match prerequisites::browser("verify.html in a browser", options.without_browser)? {
        Some(chromium) => agree.arg("--chromium").arg(chromium),
        None => agree.arg("--without-page"),
    };
    agree.args(["--mutations", if options.large { "1" } else { "5" }]);
    if options.large {
        agree.arg("--large");
    }
    process::run(&mut agree)
}

/// Packs of every kind from a server, and its trust file.
fn fresh(binary: &Path, folder: &Path) -> Result<()> {
    let mut server = Server::prepare(binary, None, false)?;
    server.start()?;
    let admin = server.admin()?;
    let tenant = admin.make_tenant("northside")?;
    let program = json!({ "description": "a program", "roles": ["service", "auditor", "security_officer"] });
    let program = admin.expect("POST", &format!("/v1/tenants/{tenant}/api-keys"), Some(&program))?;
    let program = server.client(&contract::text(&program, "key")?);
    let mut ids = Vec::new();
    for number in 0..20 {
        let claim = json!({
            "kind": "app.visit-closed", "subject": { "kind": "patient", "ref": format!("patient-{number}") },
            "statement": { "code": "app.visit-closed", "params": { "number": number } }, "evidence": [],
        });
        let issued = program.expect("POST", "/v1/certificates", Some(&claim))?;
        ids.push(contract::text(&issued, "id")?);
        if number % 7 == 6 {
            let keys = program.expect("GET", "/v1/keys?managed=certificate", None)?;
            let key = keys.pointer("/items/0/id").and_then(serde_json::Value::as_str).context("no certificate key")?;
            program.expect("POST", &format!("/v1/keys/{key}/rotate"), Some(&json!({})))?;
        }
    }
    let span = json!({ "from": ambient::from_now(-3_600)?, "to": ambient::from_now(3_600)? });
    let one = json!({ "certificates": [ids.first()] });
    let told = json!({ "type": "app.visit-closed", "personal": { "note": "Zo\u{eb} went home" } });
    let told = program.expect("POST", "/v1/audit/events", Some(&told))?;
    let events = json!({ "events": [contract::text(&told, "id")?], "disclose": true });
    let list = json!({ "certificates": ids });
    for (name, body) in [("one", one), ("list", list), ("span", span), ("events", events)] {
        fs::write(folder.join(format!("{name}.zip")), program.bytes("POST", "/v1/certificates/packs", Some(&body))?)?;
    }
    fs::write(folder.join("trust.json"), program.bytes("GET", "/.well-known/chancery-trust.json", None)?)?;
    server.finish().map(drop)
}
