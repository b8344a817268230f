//! `cargo xtask fuzz`: libFuzzer on every target of `fuzz/`, on the stable toolchain.
//!
//! `cargo fuzz` wants a nightly one for its sanitizers. Our crates forbid unsafe code, so coverage is what counts here, and
//! the pass that adds it is in every LLVM.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::prerequisites::{self, Need};
use crate::{process, workspace};

/// What `cargo fuzz` passes, without a sanitizer. One codegen unit: the pass numbers its counters in each.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    --cfg fuzzing -Ccodegen-units=1";

/// Which targets, and for how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The targets; all if none is named
    targets: Vec<String>,
    /// How long each runs, in seconds
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { targets: Vec::new(), seconds: 60 }
    }
}

/// Builds the fuzzer and presses each target. The first finding is an error that says where the input lies.
pub(crate) fn run(options: &Options) -> Result<()> {
    prerequisites::ensure(&[Need::Cxx])?;
    let folder = workspace::target()?.join("fuzz");
    let (corpus, findings) = (folder.join("corpus"), folder.join("findings"));
    fs::create_dir_all(&findings)?;
    let mut seeds = workspace::cargo(&["run", "--quiet", "--locked", "-p", "chancery-fuzz", "--bin", "seeds", "--"]);
    let known = process::output(seeds.arg(&corpus))?;
    let known: Vec<&str> = known.lines().collect();
    if let Some(stranger) = options.targets.iter().find(|target| !known.contains(&target.as_str())) {
        bail!("no target `{stranger}`; there are {}", known.join(", "));
    }
    let fuzzer = build(&folder)?;
    let chosen = known.iter().filter(|name| options.targets.is_empty() || options.targets.iter().any(|t| t == *name));
    for name in chosen {
        println!("--> {name}, {} s", options.seconds);
        press(&fuzzer, name, options.seconds, &corpus.join(name), &findings)?;
    }
    Ok(())
}

fn build(folder: &Path) -> Result<PathBuf> {
    let host = process::output(std::process::Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not name its host")?;
    // With a target of its own the flags leave build scripts and macros alone.
    let arguments = ["build", "--locked", "--package", "chancery-fuzz", "--features", "libfuzzer", "--bin", "fuzz"];
    let mut build = workspace::cargo(&arguments);
    build.args(["--profile", "fuzz", "--target", host, "--target-dir"]).arg(folder);
    build.env("RUSTFLAGS", COVERAGE).env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::run(&mut build)?;
    Ok(folder.join(host).join("fuzz/fuzz"))
}

fn press(fuzzer: &Path, name: &str, seconds: u32, corpus: &Path, findings: &Path) -> Result<()> {
    let mut run = std::process::Command::new(fuzzer);
    run.env("CHANCERY_FUZZ_TARGET", name).current_dir(workspace::root());
    run.arg(format!("-max_total_time={seconds}"));
    run.args(["-timeout=10", "-rss_limit_mb=1024", "-verbosity=0", "-print_final_stats=1"]);
    run.arg(format!("-artifact_prefix={}/{name}-", findings.display()));
    // What it finds interesting goes into the first folder; findings of the past are in the second.
    run.arg(corpus);
    let past = workspace::root().join("fuzz/corpus").join(name);
    if past.is_dir() {
        run.arg(past);
    }
    process::run(&mut run).with_context(|| {
        format!("a finding in `{name}`: mend it, and keep its input of {} in fuzz/corpus/{name}/", findings.display())
    })
}
