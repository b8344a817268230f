//! `cargo xtask login-times`: whether how long a refused login takes tells why it was refused.

use anyhow::{Result, bail};

use crate::workspace;

/// How it is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many logins of each kind
    #[arg(long, default_value_t = 400)]
    trials: u32,
}

/// Measures in a release build, and prints the medians; fails if they differ by 5 % or more.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut cargo = workspace::cargo(&["test", "--release", "--locked", "--package", "chancery-api", "--test", "it"]);
    cargo.args(["--", "--ignored", "--nocapture", "--exact"]);
    cargo.arg("login_times::refused_logins_take_the_same_time_whatever_is_wrong");
    let said = crate::process::output(cargo.env("CHANCERY_LOGIN_TRIALS", options.trials.to_string()))?;
    for line in said.lines().filter(|line| line.starts_with('|') || line.starts_with("the largest")) {
        println!("{line}");
    }
    if !said.contains("1 passed") {
        bail!("the medians differ too much, or the machine was not quiet");
    }
    Ok(())
}
