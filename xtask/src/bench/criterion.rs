//! The benches of `chancery-crypto`, read from what criterion leaves behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Measured, PASSES};
use crate::{process, workspace};

// The names under which the benches report.
pub(super) const BARE: &str = "bare AES-256-GCM of 64 bytes with key schedule, seal then open";
pub(super) const SEAL_AND_OPEN: &str = "seal then open 64 bytes";
pub(super) const RECORD: &str = "seal then open a record of 10 fields of 64 bytes";
pub(super) const TERM: &str = "term of 64 bits";
pub(super) const PBKDF2: [&str; 2] = ["yardsticks/PBKDF2 of 100 000 rounds", "yardsticks/PBKDF2 of 120 000 rounds"];
pub(super) const GCM_MEBIBYTE: &str = "yardsticks/AES-256-GCM of 1 MiB";
pub(super) const COLUMN_KEY: &str = "yardsticks/column key derived from its root";

/// Median times in nanoseconds by the bench's name: of several passes the best, for whatever else the machine does only adds.
#[derive(Debug, Default)]
pub(super) struct Times(BTreeMap<String, f64>);

impl Times {
    fn add(&mut self, pass: Self) {
        for (name, time) in pass.0 {
            let best = self.0.entry(name).or_insert(time);
            *best = best.min(time);
        }
    }

    pub(super) fn of(&self, name: &str) -> Measured {
        self.0.get(name).copied().ok_or_else(|| format!("no bench is called “{name}”"))
    }
}

/// Runs the benches, several times over, and reads what they measured.
pub(super) fn run() -> Result<Times> {
    let folder = workspace::target()?.join("criterion");
    let mut times = Times::default();
    for _ in 0..PASSES {
        // Results of benches that no longer exist would pass for fresh.
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let mut cargo = workspace::cargo(&["bench", "--locked", "--package", "chancery-crypto"]);
        process::run(cargo.args(["--", "--warm-up-time", "1", "--measurement-time", "2"]))?;
        times.add(read(&folder)?);
    }
    Ok(times)
}

fn read(folder: &Path) -> Result<Times> {
    let mut times = Times::default();
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        let (bench, estimates) = (path.join("new/benchmark.json"), path.join("new/estimates.json"));
        if bench.exists() && estimates.exists() {
            let name = json(&bench)?.get("full_id").and_then(Value::as_str).map(str::to_owned);
            let median = json(&estimates)?.pointer("/median/point_estimate").and_then(Value::as_f64);
            let both = name.zip(median).with_context(|| format!("{} is not criterion's", path.display()))?;
            times.0.extend([both]);
        } else if path.is_dir() {
            // A group has a folder for each of its benches.
            times.0.extend(read(&path)?.0);
        }
    }
    Ok(times)
}

fn json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_medians_are_found_in_benches_and_groups() {
        let folder = tempfile::tempdir().unwrap();
        for (place, name, median) in [("a_b", "a: b", 12.5), ("group/c", "group/c", 3.0)] {
            let new = folder.path().join(place).join("new");
            fs::create_dir_all(&new).unwrap();
            fs::write(new.join("benchmark.json"), format!(r#"{{"full_id":"{name}"}}"#)).unwrap();
            fs::write(new.join("estimates.json"), format!(r#"{{"median":{{"point_estimate":{median}}}}}"#)).unwrap();
        }
        fs::create_dir_all(folder.path().join("report")).unwrap();
        let times = read(folder.path()).unwrap();
        assert_eq!(times.of("a: b"), Ok(12.5));
        assert_eq!(times.of("group/c"), Ok(3.0));
        assert!(times.of("d").unwrap_err().contains('d'));
        let mut best = Times([("a: b".to_owned(), 10.0), ("group/c".to_owned(), 4.0)].into());
        best.add(times);
        assert_eq!((best.of("a: b"), best.of("group/c")), (Ok(10.0), Ok(3.0)));
    }
}
