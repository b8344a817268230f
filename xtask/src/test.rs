//! `cargo xtask test`: everything that must hold, in steps.

use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::bench::soak;
use crate::kill;
use crate::postgres::Postgres;
use crate::prerequisites::{self, Need};
use crate::{clients, clinic, crowd, fuzz, generate, process, proof, python, verifiers, workspace};

/// One step of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// What the machine must have; installed where that is allowed
    Prerequisites,
    /// cargo fmt
    Format,
    /// cargo clippy, warnings are errors
    Lints,
    /// Every test, with a private PostgreSQL
    Tests,
    /// rustdoc, warnings are errors
    Docs,
    /// The layers around applications of one's own, as the example has them
    Layers,
    /// The test vectors, read by an independent program
    Vectors,
    /// Our tokens and second factors, with clients off the shelf
    Clients,
    /// An application in Python, alone and with us in front of it
    Clinic,
    /// deploy/install.sh and the unit for real, on a copy of this machine that is gone afterwards
    Install,
    /// Packs, by three verifiers that share no code
    Verifiers,
    /// Generated files are current
    Generated,
    /// kill -9 at random moments; nothing acknowledged is lost
    Kill,
    /// libFuzzer on every parser, a minute each; only with `--extended` or when named (seeds and mutations run in `tests`)
    Fuzz,
    /// Crowds at the gateway, limits and revocations on two nodes, millions of requests; only with `--extended` or when named
    Edge,
    /// A table is rotated and a column migrated under load and kills; no value is lost or sealed twice
    Datasets,
    /// The run left no trace in the working tree
    Tree,
}

/// What to run and how.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Options {
    /// Go on after a failed step
    #[arg(long)]
    keep_going: bool,
    /// Add the long runs
    #[arg(long)]
    extended: bool,
    /// Run these steps only
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    only: Vec<Step>,
    /// Leave these steps out, such as what cannot be run here
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    skip: Vec<Step>,
    /// List the steps
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// It was not reached, or cannot be run here; says why.
    NotRun(&'static str),
}

type Row = (Step, Outcome, Duration);

/// Runs the steps and prints a summary; the answer is whether all passed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if options.list {
        for step in Step::value_variants() {
            println!("{:14} {}", name(*step), about(*step));
        }
        return Ok(true);
    }
    let steps = wanted(options);
    let mut bench = Bench { tree: tree()?, postgres: None, extended: options.extended, fetching: None };
    let mut rows = Vec::new();
    let (mut failed, mut interrupted) = (false, false);
    for step in steps.iter().copied() {
        if interrupted || (failed && !options.keep_going) {
            rows.push((step, Outcome::NotRun("a step before it failed"), Duration::ZERO));
            continue;
        }
        println!("\n==> {}: {}", name(step), about(step));
        let start = Instant::now();
        let outcome = bench.run(step);
        if step == Step::Prerequisites && outcome.is_ok() {
            bench.fetch(&steps);
        }
        let time = start.elapsed();
        let (name, seconds) = (name(step), time.as_secs_f64());
        let outcome = outcome.unwrap_or_else(|error| {
            println!("<== {name} FAILED after {seconds:.1} s: {error:#}");
            failed = true;
            interrupted = process::interrupted();
            Outcome::Failed
        });
        match outcome {
            Outcome::Passed => println!("<== {name} passed in {seconds:.1} s"),
            Outcome::NotRun(why) => println!("<== {name} was NOT RUN: {why}"),
            Outcome::Failed => {}
        }
        rows.push((step, outcome, time));
    }
    bench.wait_for_fetching();
    // Stops the server before the last word is said.
    drop(bench);
    Ok(summarise(&rows))
}

/// The steps that are asked for.
fn wanted(options: &Options) -> Vec<Step> {
    let named = |step: &Step| match options.only.is_empty() {
        true => options.extended || !matches!(step, Step::Fuzz | Step::Edge),
        false => options.only.contains(step),
    };
    let asked = |step: &Step| named(step) && !options.skip.contains(step);
    Step::value_variants().iter().copied().filter(asked).collect()
}

/// The quick subset: format, lints, and the tests that need no PostgreSQL.
pub(crate) fn check() -> Result<()> {
    format()?;
    lints()?;
    let mut tests = workspace::cargo(TESTS);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CHANCERY_TEST_")) {
            tests.env_remove(name);
        }
    }
    process::run(&mut tests)
}

const TESTS: &[&str] = &["test", "--workspace", "--locked"];

struct Bench {
    /// The working tree before anything ran.
    tree: Option<String>,
    postgres: Option<Postgres>,
    extended: bool,
    fetching: Option<JoinHandle<()>>,
}

impl Bench {
    fn run(&mut self, step: Step) -> Result<Outcome> {
        if !matches!(step, Step::Prerequisites | Step::Format | Step::Lints) {
            self.wait_for_fetching();
        }
        let done = match step {
            Step::Prerequisites => {
                // Everything that a step cannot do without, in one go. A test compiles `bench/slow-disk.c`: by `cc`, without which rustc
                // links nothing.
                use Need::{Nginx, Node, Pebble, Postgres, Python, Redis, Rsyslog, SoftHsm};
                prerequisites::ensure(&[Postgres, Python, SoftHsm, Rsyslog, Redis, Nginx, Node, Pebble])
            }
            Step::Format => format(),
            Step::Lints => lints(),
            Step::Tests => {
                // SoftHSM and moto are there, so that a test of a provider that skips is a fault.
                let moto = python::moto()?;
                let environment = self.postgres()?.environment();
                let mut tests = workspace::cargo(TESTS);
                tests.args(workspace::PROVIDERS);
                tests.envs(environment).env("CHANCERY_TEST_MOTO_SERVER", moto);
                tests.env("CHANCERY_TEST_REQUIRE_SOFTHSM", "1").env("CHANCERY_TEST_REQUIRE_MOTO", "1");
                tests.env("CHANCERY_TEST_REQUIRE_PASSKEYS", "1").env("CHANCERY_TEST_REQUIRE_RSYSLOG", "1");
                tests.env("CHANCERY_TEST_REQUIRE_REDIS", "1").env("CHANCERY_TEST_REQUIRE_PEBBLE", "1");
                // One more than there are cores: many tests wait, for a lease to end or a job to have its turn.
                if std::env::var_os("RUST_TEST_THREADS").is_none() {
                    let cores = thread::available_parallelism().map_or(2, std::num::NonZero::get);
                    tests.env("RUST_TEST_THREADS", (cores + 1).to_string());
                }
                process::run(&mut tests)
            }
            Step::Docs => docs(),
            Step::Layers => process::run(&mut Command::new(workspace::build_layers()?)),
            Step::Vectors => vectors(),
            Step::Clients => clients::run(&clients::Options::default()),
            Step::Clinic => clinic::run(&clinic::Options { long: self.extended, ..clinic::Options::default() }),
            Step::Install => return install(),
            Step::Verifiers => verifiers::run(&verifiers::Options::default()),
            Step::Generated => generate::run(true),
            Step::Kill => {
                kill::run(&kills(self.extended), Some(self.postgres()?))?;
                kill::run(&flushes(self.extended), None)
            }
            Step::Fuzz => fuzz::run(&fuzz::Options::default()),
            Step::Edge => edge(),
            Step::Datasets => {
                let (rows, kills) = if self.extended { (1_000_000, 10) } else { (5_000, 2) };
                let options = proof::Options { rows, kills, ..proof::Options::default() };
                let postgres = self.postgres()?;
                proof::rotate(&options, Some(postgres))?;
                proof::migrate(&options, Some(postgres))
            }
            Step::Tree => return self.same_tree(),
        };
        done.map(|()| Outcome::Passed)
    }

    /// Fetches what these steps use of Python and Node, and the browser, while the compiler works. What fails here is tried again by the
    /// step that needs it, which then says why.
    fn fetch(&mut self, steps: &[Step]) {
        let wanted = |step| steps.contains(&step);
        let (tests, clinic) = (wanted(Step::Tests), wanted(Step::Clinic));
        let (clients, verifiers) = (wanted(Step::Clients), wanted(Step::Verifiers));
        self.fetching = Some(thread::spawn(move || {
            if tests {
                let _ = python::moto();
            }
            if clients {
                let _ = clients::fetch();
            }
            if clinic {
                let _ = clinic::fetch();
            }
            if clients || verifiers {
                let _ = prerequisites::browser("passkeys and `verify.html`", false);
            }
        }));
    }

    fn wait_for_fetching(&mut self) {
        if let Some(fetching) = self.fetching.take() {
            let _ = fetching.join();
        }
    }

    /// Started when the first step needs it.
    fn postgres(&mut self) -> Result<&Postgres> {
        let postgres = match self.postgres.take() {
            Some(postgres) => postgres,
            None => Postgres::start()?,
        };
        postgres.check_alive()?;
        Ok(self.postgres.insert(postgres))
    }

    fn same_tree(&self) -> Result<Outcome> {
        match (&self.tree, tree()?) {
            (Some(before), Some(after)) if *before != after => {
                let changed: Vec<_> =
                    after.lines().filter(|line| !before.lines().any(|other| other == *line)).collect();
                bail!("the run changed the working tree:\n{}", changed.join("\n"))
            }
            (Some(_), Some(_)) => Ok(Outcome::Passed),
            _ => Ok(Outcome::NotRun("this is no Git working tree; leave it out with --skip tree")),
        }
    }
}

/// A hundred kills in all; in the long run a thousand of each store, of the optimised program, which must bear the load that is asked
/// for. A slow disk fails no short run.
fn kills(long: bool) -> kill::Options {
    let rounds = if long { 1_000 } else { 50 };
    // Both at one time: a campaign waits for restarts most of its time. The long run presses each with the whole machine.
    let together = !long;
    kill::Options { rounds, rate: 2_000, strict: long, release: long, together, ..kill::Options::default() }
}

/// A few more against a PostgreSQL of its own, whose disk can be flushed: the other one's never is.
fn flushes(long: bool) -> kill::Options {
    let rounds = if long { 100 } else { 4 };
    kill::Options {
        rounds,
        rate: 500,
        store: kill::Stores::Postgres,
        flushes: true,
        release: long,
        ..kill::Options::default()
    }
}

fn format() -> Result<()> {
    process::run(&mut workspace::cargo(&["fmt", "--all", "--check"]))
}

fn lints() -> Result<()> {
    let mut clippy = workspace::cargo(&["clippy", "--workspace", "--all-targets", "--locked"]);
    process::run(clippy.args(workspace::PROVIDERS).args(["--", "-D", "warnings"]))
}

fn docs() -> Result<()> {
    // An example, so that Cargo counts the features of dev-dependencies as the lints did: then their dependencies need no second look.
    let mut docs = workspace::cargo(&["doc", "--workspace", "--no-deps", "--locked", "--lib", "--example", "layers"]);
    for program in workspace::programs()? {
        docs.args(["--bin", &program]);
    }
    process::run(docs.args(workspace::PROVIDERS).env("RUSTDOCFLAGS", "-D warnings"))
}

fn install() -> Result<Outcome> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Outcome::NotRun("root alone makes the namespaces that it needs; leave it out with --skip install"));
    }
    prerequisites::ensure(&[Need::Systemd])?;
    let binary = workspace::build_server(false)?;
    for script in ["deploy/try-install.sh", "deploy/try-systemd.sh"] {
        process::run(Command::new(workspace::root().join(script)).arg(&binary))?;
    }
    Ok(Outcome::Passed)
}

/// What many at once, two nodes and a long time do to the edge; each with the optimised program.
fn edge() -> Result<()> {
    crowd::run(&crowd::Options { release: true, ..crowd::Options::default() })?;
    proof::limits(&proof::LimitsOptions { release: true, ..proof::LimitsOptions::default() })?;
    proof::revoke(&proof::RevokeOptions { release: true, ..proof::RevokeOptions::default() })?;
    soak::run(&soak::Options::default())
}

fn vectors() -> Result<()> {
    let python = python::with_module("cryptography", &["-r", "tools/vectors/requirements.txt"])?;
    let mut reader = Command::new(python);
    // It must leave no `__pycache__` behind.
    process::run(reader.arg("-B").arg("tools/vectors/check_vectors.py").current_dir(workspace::root()))
}

/// Which files differ from the last commit, and how; `None` outside of Git.
fn tree() -> Result<Option<String>> {
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        // Looking must not take the lock from others.
        git.args(arguments).current_dir(workspace::root()).env("GIT_OPTIONAL_LOCKS", "0");
        git
    };
    if !process::succeeds(&mut git(&["rev-parse", "--is-inside-work-tree"])) {
        return Ok(None);
    }
    let status = process::output(&mut git(&["status", "--porcelain=v1", "--untracked-files=all"]))?;
    let changes = process::output(&mut git(&["diff", "HEAD", "--raw", "--no-renames", "--abbrev=40"]))?;
    // `--raw` has no hash for unstaged content; the statistics tell a second change from the first.
    let numbers = process::output(&mut git(&["diff", "HEAD", "--numstat", "--no-renames"]))?;
    Ok(Some(status + &changes + &numbers))
}

fn name(step: Step) -> String {
    step.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn about(step: Step) -> String {
    let value = step.to_possible_value();
    value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
}

fn summarise(rows: &[Row]) -> bool {
    let mut total = Duration::ZERO;
    println!("\n{:14} {:8} {:>8}", "step", "outcome", "seconds");
    for (step, outcome, time) in rows {
        let (word, why) = match outcome {
            Outcome::Passed => ("passed", ""),
            Outcome::Failed => ("FAILED", ""),
            Outcome::NotRun(why) => ("not run", *why),
        };
        total += *time;
        let row = format!("{:14} {word:8} {:>8.1}  {why}", name(*step), time.as_secs_f64());
        println!("{}", row.trim_end());
    }
    println!("{:14} {:8} {:>8.1}\n", "", "", total.as_secs_f64());
    let (text, passed) = verdict(rows);
    println!("{text}");
    passed
}

/// What is said of all steps, and whether that is good: what was asked for and not run is not.
fn verdict(rows: &[Row]) -> (String, bool) {
    let count = |is: fn(&Outcome) -> bool| rows.iter().filter(|(_, outcome, _)| is(outcome)).count();
    let passed = count(|outcome| *outcome == Outcome::Passed);
    let failed = count(|outcome| *outcome == Outcome::Failed);
    let not_run = count(|outcome| matches!(outcome, Outcome::NotRun(_)));
    let text = match not_run {
        0 => format!("{passed} passed, {failed} failed"),
        _ => format!("{passed} passed, {failed} failed, {not_run} NOT RUN"),
    };
    (text, failed == 0 && not_run == 0 && passed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_left_out_by_hand_alone() {
        assert!(!clients::Options::default().without_browser && !verifiers::Options::default().without_browser);
    }

    #[test]
    fn kills_are_under_the_load_that_is_promised() {
        let (short, long) = (kills(false), kills(true));
        assert_eq!((short.rounds, short.rate, short.strict), (50, 2_000, false));
        assert_eq!((long.rounds, long.rate, long.strict, long.release), (1_000, 2_000, true, true));
    }

    #[test]
    fn a_step_that_was_asked_for_and_not_run_makes_the_run_fail() {
        let row = |step, outcome| (step, outcome, Duration::ZERO);
        let install = row(Step::Install, Outcome::NotRun("root alone"));
        let format = row(Step::Format, Outcome::Passed);
        assert_eq!(verdict(&[format, install]), ("1 passed, 0 failed, 1 NOT RUN".to_owned(), false));
        let failed = row(Step::Tests, Outcome::Failed);
        assert_eq!(verdict(&[format, failed, install]), ("1 passed, 1 failed, 1 NOT RUN".to_owned(), false));
        assert_eq!(verdict(&[format]), ("1 passed, 0 failed".to_owned(), true));
        assert_eq!(verdict(&[]), ("0 passed, 0 failed".to_owned(), false));
    }

    #[test]
    fn a_step_that_is_left_out_is_not_asked_for() {
        let all = wanted(&Options::default());
        assert!(all.contains(&Step::Install) && !all.contains(&Step::Fuzz) && !all.contains(&Step::Edge));
        let rest = wanted(&Options { skip: vec![Step::Install], ..Options::default() });
        assert_eq!(rest.len(), all.len() - 1);
        assert!(!rest.contains(&Step::Install));
        let only =
            wanted(&Options { only: vec![Step::Format, Step::Docs], skip: vec![Step::Docs], ..Options::default() });
        assert_eq!(only, [Step::Format]);
        let extended = wanted(&Options { extended: true, ..Options::default() });
        assert_eq!(extended, Step::value_variants());
    }
}
