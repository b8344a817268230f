//! Where we are, and how Cargo is called from here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use cargo_metadata::{Metadata, MetadataCommand};

use crate::process;

/// Every key provider, AWS's SDK too: what the tests, the lints, the docs and the debug build of the server have in common, so that
/// each dependency is compiled once.
pub(crate) const PROVIDERS: [&str; 2] = ["--features", "chancery/kms-full"];

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
    if is_first_build() && std::env::var_os("CARGO_INCREMENTAL").is_none() {
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Whether our crates were never built here as one builds them at work, for instance in CI: then what the compiler keeps for the next
/// build costs time and is thrown away.
fn is_first_build() -> bool {
    static FIRST: OnceLock<bool> = OnceLock::new();
    *FIRST.get_or_init(|| {
        let Ok(target) = target() else { return false };
        let kept = std::fs::read_dir(target.join("debug/incremental")).into_iter().flatten().flatten();
        !kept.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("chancery"))
    })
}

/// The folder of what was built.
pub(crate) fn target() -> Result<PathBuf> {
    Ok(metadata()?.target_directory.into_std_path_buf())
}

/// The commit that is checked out; `unknown` outside of Git.
pub(crate) fn commit() -> String {
    let mut git = Command::new("git");
    let said = process::output(git.args(["rev-parse", "--short=12", "HEAD"]).current_dir(root()));
    said.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn metadata() -> Result<Metadata> {
    MetadataCommand::new().current_dir(root()).no_deps().exec().context("could not read the workspace")
}

/// The workspace's programs that have documentation of their own: one that is named like its library has none.
pub(crate) fn programs() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let mut programs = Vec::new();
    for package in metadata.workspace_packages() {
        let is_library = |name: &str| package.targets.iter().any(|target| target.is_lib() && target.name == name);
        let own = package
            .targets
            .iter()
            .filter(|target| target.is_bin() && target.doc && target.required_features.is_empty());
        programs.extend(own.map(|target| target.name.clone()).filter(|name| !is_library(name)));
    }
    Ok(programs)
}

/// Builds the server and says where it is.
///
/// The optimised one is what is shipped. The debug build is the one that the tests run: with the features of the whole workspace, so that
/// nothing is compiled a second time for it. Cargo counts those of dev-dependencies only where an example or a test is built; hence the
/// example, a small one.
pub(crate) fn build_server(release: bool) -> Result<PathBuf> {
    let mut build = cargo(&["build", "--locked", "--bin", "chancery"]);
    if release {
        build.args(["--release", "--package", "chancery"]);
    } else {
        build.args(["--workspace", "--example", "layers"]).args(PROVIDERS);
    }
    process::run(&mut build)?;
    Ok(target()?.join(if release { "release" } else { "debug" }).join("chancery"))
}

/// Builds that example, with the debug server, and says where it is.
pub(crate) fn build_layers() -> Result<PathBuf> {
    Ok(build_server(false)?.with_file_name("examples").join("layers"))
}
