//! What long runs showed: `docs/measured.json`, and the last table of `docs/performance.md`. No bench repeats them; each writes its own
//! line when it is asked to (`--record`). The first were entered by hand.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::report;
use crate::{ambient, workspace};

/// Where the table begins.
const TITLE: &str = "\n## Long runs\n";

fn file() -> PathBuf {
    workspace::root().join("docs/measured.json")
}

/// Keeps what a run showed, named like its command, in the place of what it showed before; and puts it into the page.
pub(crate) fn record(name: &str, seen: &str) -> Result<()> {
    // Two campaigns may end at one time.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut runs = read()?;
    runs.insert(name.to_owned(), json!({ "commit": workspace::commit(), "date": ambient::today(), "seen": seen }));
    fs::write(file(), serde_json::to_string_pretty(&runs)? + "\n")?;
    let path = report::path();
    let page = fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    let before = page.split(TITLE).next().unwrap_or_default();
    Ok(fs::write(&path, before.to_owned() + &shown(&runs)?)?)
}

/// The table of all of them.
pub(super) fn table() -> Result<String> {
    shown(&read()?)
}

/// A number with its thousands apart.
pub(crate) fn count(number: impl Display) -> String {
    report::grouped(&number.to_string())
}

fn read() -> Result<BTreeMap<String, Value>> {
    let text = fs::read_to_string(file()).context("no docs/measured.json")?;
    serde_json::from_str(&text).context("docs/measured.json is not what was written")
}

fn shown(runs: &BTreeMap<String, Value>) -> Result<String> {
    let mut table = format!(
        "{TITLE}\nEach was run by itself; a bench repeats none of them. A line with one commit was written by its run (`--record`); one \
         with two was entered by hand, from runs between them.\n\n\
         | `cargo xtask …` | seen | date | commit |\n| --- | --- | --- | --- |\n"
    );
    for (name, run) in runs {
        let said = |key: &str| run.get(key).and_then(Value::as_str).with_context(|| format!("`{name}` has no {key}"));
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{name}` | {} | {} | {} |", said("seen")?, said("date")?, said("commit")?);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_ends_with_what_long_runs_showed() {
        let page = fs::read_to_string(report::path()).unwrap();
        assert!(page.ends_with(&table().unwrap()), "`docs/performance.md` and `docs/measured.json` differ");
    }

    #[test]
    fn a_run_that_does_not_say_what_it_saw_is_no_line() {
        let run = |value| BTreeMap::from([("soak".to_owned(), value)]);
        let whole = shown(&run(json!({ "commit": "abc", "date": "2026-11-27", "seen": "flat" }))).unwrap();
        assert!(whole.ends_with("| `soak` | flat | 2026-11-27 | abc |\n"), "{whole}");
        assert!(shown(&run(json!({ "commit": "abc", "date": "2026-11-27" }))).is_err());
    }
}
