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

/// A Python of its own in `target/venv-NAME`, with exactly what these files name, by their hashes, and made anew when they change.
pub(crate) fn hashed(name: &str, files: &[&str]) -> Result<PathBuf> {
    let venv = workspace::target()?.join(format!("venv-{name}"));
    let python = venv.join("bin/python3");
    let wanted = files.iter().map(|file| std::fs::read_to_string(workspace::root().join(file)));
    let wanted = wanted.collect::<std::io::Result<String>>()?;
    let stamp = venv.join("requirements");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    prerequisites::ensure(&[Need::Python])?;
    println!("Installing {} into {}", files.join(", "), venv.display());
    process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]);
    pip.current_dir(workspace::root());
    process::run(pip.args(files.iter().flat_map(|file| ["-r", file])))?;
    std::fs::write(stamp, wanted)?;
    Ok(python)
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
