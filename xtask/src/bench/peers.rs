//! What others do in the same time. A peer that cannot run is a row that says so.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

use super::{Measured, PASSES, reason};
use crate::{process, python, workspace};

/// Times of peers in nanoseconds.
#[derive(Debug)]
pub(super) struct Peers {
    pub(super) alloy_one: Measured,
    pub(super) alloy_ten: Measured,
    pub(super) fernet: Measured,
}

impl Peers {
    /// Runs each peer; `ironcore-alloy` is built only if asked for.
    pub(super) fn measure(build_alloy: bool) -> Self {
        let alloy = alloy(build_alloy).map_err(reason);
        let fernet = fernet().map_err(reason);
        let alloy_time = |name| alloy.clone().and_then(|times| number(&times, name));
        Self {
            alloy_one: alloy_time("one_field"),
            alloy_ten: alloy_time("ten_fields"),
            fernet: fernet.and_then(|times| number(&times, "one_field")),
        }
    }
}

fn alloy(build: bool) -> Result<Map<String, Value>> {
    let target = workspace::target()?.join("bench");
    let binary = target.join("release/alloy");
    if build {
        println!("Building ironcore-alloy; the first time takes minutes");
        let mut cargo =
            workspace::cargo(&["build", "--release", "--locked", "--manifest-path", "bench/alloy/Cargo.toml"]);
        process::run(cargo.arg("--target-dir").arg(&target))?;
    } else if !binary.exists() {
        bail!("not built; `cargo xtask bench --alloy` builds it in some minutes");
    }
    best(|| Command::new(&binary))
}

fn fernet() -> Result<Map<String, Value>> {
    let python = python::with_module("cryptography", &["cryptography"])?;
    best(|| {
        let mut command = Command::new(&python);
        command.arg("-B").arg("bench/fernet.py").current_dir(workspace::root());
        command
    })
}

/// What a peer tells; of several passes the best, as of our own benches.
fn best(peer: impl Fn() -> Command) -> Result<Map<String, Value>> {
    let mut best: Map<String, Value> = Map::new();
    for _ in 0..PASSES {
        let mut command = peer();
        let told: Map<String, Value> = serde_json::from_str(&process::output(&mut command)?)
            .with_context(|| format!("`{}` did not print JSON", process::shown(&command)))?;
        for (name, time) in told {
            let slower = best.get(&name).is_some_and(|known| known.as_f64() <= time.as_f64());
            if !slower {
                best.insert(name, time);
            }
        }
    }
    Ok(best)
}

fn number(value: &Map<String, Value>, name: &str) -> Measured {
    value.get(name).and_then(Value::as_f64).ok_or_else(|| format!("the peer told no `{name}`"))
}
