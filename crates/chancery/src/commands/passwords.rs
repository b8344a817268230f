//! `chancery passwords …`: what a password hash shall cost on this machine.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use chancery_crypto::{
    SystemRandom,
    password::{self, Cost},
};
use clap::{Args, Subcommand};
use serde_json::json;

use super::say;

/// `chancery passwords`.
#[derive(Debug, Args)]
pub struct PasswordsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Measure this machine, and propose a cost for [passwords] of the configuration
    Calibrate(CalibrateArgs),
}

#[derive(Debug, Args)]
struct CalibrateArgs {
    /// How long one hash shall take, in milliseconds: 10 to 2000
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..=2000))]
    target_ms: u64,
    /// How much memory one hash may take, in MiB: 19 to 256
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(19..=256))]
    memory_mib: u32,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
///
/// If the machine has no memory for a hash.
pub fn run(args: PasswordsArgs) -> Result<ExitCode> {
    let Verb::Calibrate(args) = args.verb;
    let cost = password::calibrate(Duration::from_millis(args.target_ms), args.memory_mib * 1024, |cost| {
        measure(cost).unwrap_or(Duration::MAX)
    });
    let Some(took) = measure(cost) else { bail!("a password could not be hashed: is there memory for it?") };
    let Cost { memory_kib, passes, lanes } = cost;
    let ms = took.as_secs_f64() * 1e3;
    if args.json {
        say(json!({"memory_kib": memory_kib, "passes": passes, "lanes": lanes, "took_ms": ms}));
        return Ok(ExitCode::SUCCESS);
    }
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let processors = u32::try_from(processors).unwrap_or(u32::MAX);
    let memory = (u64::from(memory_kib) * u64::from(processors)).div_ceil(1024);
    let logins = f64::from(processors) * 1e3 / ms;
    say(format_args!("# one hash takes {ms:.0} ms here; the {processors} processors together take up to {memory} MiB"));
    say(format_args!("# and log in about {logins:.0} people a second, if they do nothing else"));
    say(format_args!("[passwords]\nmemory_kib = {memory_kib}\npasses = {passes}\nlanes = {lanes}"));
    Ok(ExitCode::SUCCESS)
}

/// How long one hash takes: the median of three.
pub(crate) fn measure(cost: Cost) -> Option<Duration> {
    let mut times = [Duration::ZERO; 3];
    for time in &mut times {
        let began = Instant::now();
        password::hash(b"Correct-Horse-7-Battery", cost, &SystemRandom).ok()?;
        *time = began.elapsed();
    }
    times.sort_unstable();
    let [_, median, _] = times;
    Some(median)
}
