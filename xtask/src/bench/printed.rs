//! Measurements of other crates that print what they found: keys in memory, who calls, an application's table, a re-seal.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Measured, reason};
use crate::postgres::Postgres;
use crate::process::{self, shown};
use crate::{proof, workspace};

/// How many rows are re-sealed.
const ROWS: u64 = 100_000;
/// How many credentials are revoked.
const TRIALS: usize = 200;

/// What they printed.
#[derive(Debug)]
pub(super) struct Printed {
    /// Times in ns of a request whose tenant's keys are in memory, are not, and are not while another's make room.
    pub(super) warm: Measured,
    pub(super) cold: Measured,
    pub(super) evicting: Measured,
    /// Resident MB while 10,000 tenants call.
    pub(super) resident_mb: Measured,
    /// Times in ns of knowing who calls.
    pub(super) callers: Callers,
    /// Time in ns of judging the three limits of a request in process; how many a second over Redis, and of scripts that do nothing.
    pub(super) limits_local: Measured,
    pub(super) limits_redis: Measured,
    pub(super) evalsha: Measured,
    /// By how many percent an application's queries are slower on a sealed table: SQLite, PostgreSQL, PostgreSQL on another machine.
    pub(super) slower: [Measured; 3],
    /// The 99th percentile in ms from an acknowledged revocation to its refusal on two nodes.
    pub(super) revoked_ms: Measured,
    /// Rows per second of a re-seal, and of the same rows written back as they are.
    pub(super) reseal: Measured,
    pub(super) rewrite: Measured,
}

/// Times in ns: who calls by a credential that is known or new, and what they are measured by.
#[derive(Debug)]
pub(super) struct Callers {
    /// An API key of a moment ago.
    pub(super) api_key_known: Measured,
    /// An access token of a moment ago.
    pub(super) token_known: Measured,
    /// An ES256 token never seen before, and its signature check alone.
    pub(super) token_new: Measured,
    pub(super) es256: Measured,
    pub(super) introspection: Measured,
    /// A login, and its Argon2id hash alone.
    pub(super) login: Measured,
    pub(super) argon2: Measured,
}

impl Printed {
    pub(super) fn measure() -> Self {
        // Resident memory is of a process that did nothing else before.
        let limits = told("chancery-redis", "speed::").map_err(reason);
        let [many, evicted, callers] = ["memory::ten_thousand", "memory::an_evicted", "identity::"]
            .map(|tests| told("chancery-api", tests).map_err(reason));
        let table = table().map_err(reason);
        let slower = ["SQLite", "PostgreSQL", "PostgreSQL at 0.5 ms"]
            .map(|database| mix(table.as_ref().map_err(Clone::clone)?, database));
        let rates = proof::reseal_rate(ROWS).map_err(reason);
        Self {
            warm: of(&evicted, "warm_us").map(|time| time * 1e3),
            cold: of(&evicted, "cold_us").map(|time| time * 1e3),
            evicting: of(&evicted, "evicting_us").map(|time| time * 1e3),
            resident_mb: of(&many, "resident_mb"),
            callers: Callers {
                api_key_known: of(&callers, "api_key_known_ns"),
                token_known: of(&callers, "token_known_ns"),
                token_new: of(&callers, "token_new_ns"),
                es256: of(&callers, "es256_ns"),
                introspection: of(&callers, "introspection_ns"),
                login: of(&callers, "login_ns"),
                argon2: of(&callers, "argon2_ns"),
            },
            limits_local: of(&limits, "limits_local_ns"),
            limits_redis: of(&limits, "limits_redis_per_s"),
            evalsha: of(&limits, "evalsha_per_s"),
            slower,
            revoked_ms: revoked().map_err(reason),
            reseal: rates.clone().map(|[reseal, _]| reseal),
            rewrite: rates.map(|[_, rewrite]| rewrite),
        }
    }
}

/// One of the numbers that were told.
fn of(told: &Result<Vec<Value>, String>, name: &str) -> Measured {
    let found = told.as_ref().map_err(Clone::clone)?.iter().find_map(|line| line.get(name)?.as_f64());
    found.ok_or_else(|| format!("no test told `{name}`"))
}

/// The lines of JSON that these measurements of a package print: also those whose tests then find them too large.
fn told(package: &str, tests: &str) -> Result<Vec<Value>> {
    let mut cargo = workspace::cargo(&["test", "--release", "--locked", "--package", package, "--test", "it"]);
    // One after the other: they measure the process.
    cargo.args(["--", "--ignored", "--nocapture", "--test-threads=1", tests]);
    let said = cargo.output().with_context(|| format!("could not start `{}`", shown(&cargo)))?;
    let (lines, why) = (objects(&String::from_utf8_lossy(&said.stdout)), String::from_utf8_lossy(&said.stderr));
    ensure!(!lines.is_empty(), "`{}` ended with {}: {why}", shown(&cargo), said.status);
    Ok(lines)
}

/// The objects at the ends of lines: a test's first line follows its name.
pub(super) fn objects(said: &str) -> Vec<Value> {
    said.lines().filter_map(|line| serde_json::from_str(line.get(line.find('{')?..)?).ok()).collect()
}

fn revoked() -> Result<f64> {
    let postgres = Postgres::start()?;
    let times = proof::revocation_times(&workspace::build_server(true)?, &postgres, TRIALS)?;
    times.get(TRIALS * 99 / 100).copied().context("no trial")
}

/// The table that the bench PF-04 prints.
fn table() -> Result<String> {
    let postgres = Postgres::start()?;
    let mut cargo = workspace::cargo(&["bench", "--locked", "--package", "chancery-sealed", "--bench", "pf04"]);
    output(cargo.envs(postgres.environment()))
}

pub(super) fn output(command: &mut Command) -> Result<String> {
    let said = process::output(command)?;
    println!("{said}");
    Ok(said)
}

/// By how many percent the mix of an application's queries is slower.
fn mix(table: &str, database: &str) -> Measured {
    let line = table.lines().find(|line| line.starts_with(&format!("| {database} | the mix |")));
    let percent = line.and_then(|line| line.split('|').nth(5)?.trim().trim_end_matches(" %").parse().ok());
    percent.with_context(|| format!("no line of {database}")).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_prints_is_found_behind_its_name_too() {
        let found = objects("test memory::one ... {\"warm_us\":1.5}\nok\n{\"resident_mb\":2}\nnot { json }\n");
        assert_eq!(found, [serde_json::json!({"warm_us": 1.5}), serde_json::json!({"resident_mb": 2})]);
    }

    #[test]
    fn the_mix_of_a_database_is_found() {
        let table = "| database | load |\n| --- |\n| SQLite | the mix | 51.0 µs | 54.0 µs | +5.9 % | +4.0 to +7.1 % |\n\
                     | PostgreSQL | the mix | 151.0 µs | 150.0 µs | -0.7 % | -2.0 to +1.1 % |\n\
                     | PostgreSQL at 0.5 ms | the mix | 651.0 µs | 660.0 µs | +1.4 % | -2.0 to +3.1 % |\n";
        assert_eq!(mix(table, "SQLite"), Ok(5.9));
        assert_eq!(mix(table, "PostgreSQL"), Ok(-0.7));
        assert_eq!(mix(table, "PostgreSQL at 0.5 ms"), Ok(1.4));
        assert!(mix("", "SQLite").is_err());
    }
}
