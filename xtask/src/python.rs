//! Python with the modules that a script needs, without touching the system's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::prerequisites::{self, Need};
use crate::{process, workspace};

/// Moto's server, for the tests of AWS KMS.
const MOTO: &str = "moto[server]==5.2.5";

/// A Python interpreter that can import `module`: the system's, or that of a private environment in `target/venv`, filled by pip.
pub(crate) fn with_module(module: &str, requirements: &[&str]) -> Result<PathBuf> {
    let can_import = |python: &Path| process::succeeds(Command::new(python).args(["-c", &format!("import {module}")]));
    let system = PathBuf::from("python3");
    if can_import(&system) {
        return Ok(system);
    }
    let venv = workspace::target()?.join("venv");
    let python = venv.join("bin/python3");
    if !can_import(&python) {
        prerequisites::ensure(&[Need::Python])?;
        install(&venv, requirements)?;
    }
    Ok(python)
}

/// The server that speaks as AWS KMS does, in the private environment.
pub(crate) fn moto() -> Result<PathBuf> {
    let venv = workspace::target()?.join("venv");
    let program = venv.join("bin/moto_server");
    if !program.exists() {
        prerequisites::ensure(&[Need::Python])?;
        install(&venv, &[MOTO])?;
    }
    Ok(program)
}

/// Installs into the private environment, which is made if it is not there or does not run.
fn install(venv: &Path, requirements: &[&str]) -> Result<()> {
    let python = venv.join("bin/python3");
    println!("Installing {} into {}", requirements.join(" "), venv.display());
    if !process::succeeds(Command::new(&python).args(["-m", "pip", "--version"])) {
        process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    process::run(Command::new(&python).current_dir(workspace::root()).args(pip).args(requirements))
}
