//! Where we are, and how Cargo is called from here.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;

use crate::process;

/// The folder with the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    // Set by `cargo run`; the other is where we were compiled.
    let xtask =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask.parent().map(Path::to_owned).unwrap_or(xtask)
}

/// `cargo` in the workspace's folder.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    // What `cargo run` told us about ourselves would be wrong for others, and make build scripts run anew.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// The folder of what was built.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata =
        MetadataCommand::new().current_dir(root()).no_deps().exec().context("could not read the workspace")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// Builds the server and says where it is.
pub(crate) fn build_server(release: bool) -> Result<PathBuf> {
    let how: &[&str] = if release { &["--release"] } else { &[] };
    process::run(cargo(&["build", "--locked", "--package", "chancery", "--bin", "chancery"]).args(how))?;
    Ok(target()?.join(if release { "release" } else { "debug" }).join("chancery"))
}
