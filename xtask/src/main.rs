//! The project's own commands: `cargo xtask test` is CI and the README's test command.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]

mod ambient;
mod bench;
mod certificates;
mod clients;
mod clinic;
mod crowd;
mod fuzz;
mod generate;
#[cfg(test)]
mod house;
mod kill;
mod login_times;
mod postgres;
mod prerequisites;
mod process;
mod proof;
mod python;
mod redis;
mod server;
mod strict_headers;
mod test;
mod verifiers;
mod workspace;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", version)]
struct Args {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Everything that must hold: format, lints, tests on both stores, docs, vectors, generated files, crashes. This is CI.
    Test(test::Options),
    /// The quick subset: format, lints, tests on SQLite
    Check,
    /// Rewrite the generated files
    Gen {
        /// Only say which are not current
        #[arg(long)]
        check: bool,
    },
    /// Kill the server at random moments under load; nothing acknowledged may be lost or doubled
    Kill(kill::Options),
    /// Clients off the shelf: PyJWT, joserfc, authlib, jose and openid-client verify our tokens; pyotp and Chromium log in
    Clients(clients::Options),
    /// An application that knows nothing of us: its own tests alone and behind what asks us, and attacks; the Python package's tests
    Clinic(clinic::Options),
    /// Three independent verifiers give one answer to good and broken packs: the binary, tools/verify_pack.py, docs/verify.html
    Verifiers(verifiers::Options),
    /// Press every parser with hostile bytes, a minute each
    Fuzz(fuzz::Options),
    /// Rotate the data key over a registered table under load with kills: all values open, none is sealed twice, the census is exact
    RotateProof(proof::Options),
    /// Migrate a column of a live table with a writer at work, kills and a rollback: the same plaintext before and after
    MigrateProof(proof::Options),
    /// Revoke credentials that two nodes know: how soon are they refused everywhere? And cut the nodes off from their store
    RevokeProof(proof::RevokeOptions),
    /// A hundred thousand requests to two nodes over one Redis: exactly as many get through as a limit says
    LimitsProof(proof::LimitsOptions),
    /// How long refused logins take, by what is wrong; the medians must not differ by 5 %
    LoginTimes(login_times::Options),
    /// 10,000 idle connections and 300 slow ones at the gateway: others are served, the slow ones end, memory stays small
    Crowd(crowd::Options),
    /// 10,000,000 requests through the gateway: its memory stays
    Soak(bench::soak::Options),
    /// How fast, next to peers on this machine; writes docs/performance.md
    Bench(bench::Options),
    /// Run a command with a private PostgreSQL, which tests find through `CHANCERY_TEST_POSTGRES_URL`
    WithPostgres {
        /// The command and its arguments, after `--`
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = process::catch_signals().and_then(|()| run(args.command));
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Test(options) => {
            let passed = test::run(&options)?;
            return Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Task::Check => test::check()?,
        Task::Gen { check } => generate::run(check)?,
        Task::Kill(options) => kill::run(&options, None)?,
        Task::Clients(options) => clients::run(&options)?,
        Task::Clinic(options) => clinic::run(&options)?,
        Task::Verifiers(options) => verifiers::run(&options)?,
        Task::Fuzz(options) => fuzz::run(&options)?,
        Task::RotateProof(options) => proof::rotate(&options, None)?,
        Task::MigrateProof(options) => proof::migrate(&options, None)?,
        Task::RevokeProof(options) => proof::revoke(&options)?,
        Task::LimitsProof(options) => proof::limits(&options)?,
        Task::LoginTimes(options) => login_times::run(&options)?,
        Task::Crowd(options) => crowd::run(&options)?,
        Task::Soak(options) => bench::soak::run(&options)?,
        Task::Bench(options) => bench::run(&options)?,
        Task::WithPostgres { command } => return with_postgres(&command),
    }
    Ok(ExitCode::SUCCESS)
}

/// Keeps the command's exit code.
fn with_postgres(words: &[OsString]) -> Result<ExitCode> {
    let (program, arguments) = words.split_first().context("no command")?;
    let postgres = postgres::Postgres::start()?;
    let mut command = Command::new(program);
    command.args(arguments).envs(postgres.environment());
    let mut child = if std::io::stdin().is_terminal() {
        process::Guarded::spawn_on_terminal(&mut command)?
    } else {
        process::Guarded::spawn(command.stdin(Stdio::inherit()))?
    };
    let status = child.wait()?;
    postgres.check_alive()?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
