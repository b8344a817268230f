//! Python with the modules that a script needs, without touching the system's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::prerequisites::{self, Need};
use crate::{process, workspace};

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
        println!("Making {}", venv.display());
        process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        process::run(Command::new(&python).current_dir(workspace::root()).args(pip).args(requirements))?;
    }
    Ok(python)
}
