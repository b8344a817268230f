//! `cargo xtask soak`: millions of requests through the gateway; its memory must not grow with them.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{
    edge::{Checks, Gate, press},
    load::{empty_handler, rate},
    measured,
};
use crate::prerequisites::{self, Need};
use crate::process;

/// What memory may differ by before it counts as growth: the allocator's own, in MB and as a part of what there was.
const SLACK_MB: f64 = 8.0;
const SLACK: f64 = 0.05;

/// How much.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// How many requests in all
    #[arg(long, default_value_t = Options::default().requests)]
    requests: u64,
    /// After so many seconds memory is looked at
    #[arg(long, default_value_t = Options::default().seconds)]
    seconds: u32,
    /// Connections that press
    #[arg(long, default_value_t = Options::default().connections)]
    connections: u32,
    /// Write what was seen into docs/measured.json and docs/performance.md
    #[arg(long)]
    record: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { requests: 10_000_000, seconds: 10, connections: 64, record: false }
    }
}

/// Fails if a request in a thousand is not answered, or memory grows.
pub(crate) fn run(options: &Options) -> Result<()> {
    prerequisites::ensure(&[Need::Wrk])?;
    let (_handler, application) = empty_handler()?;
    let gate = Gate::start(&application, Checks::All)?;
    let mut seen = Vec::new();
    let mut done = 0;
    println!("{:.1} MB before the first request", gate.server.memory_mb()?);
    while done < options.requests {
        let said = press(&gate.address, &gate.key, 2, options.connections, options.seconds)?;
        let rate = rate(&said)?;
        done += said.get("requests").and_then(Value::as_u64).context("wrk told no `requests`")?;
        let memory = gate.server.memory_mb()?;
        println!("{done} requests, {rate:.0} a second, {memory:.1} MB");
        seen.push(memory);
    }
    // What is held for those that are open goes with them.
    process::pause(Duration::from_secs(5))?;
    println!("{:.1} MB when nobody asks any more", gate.server.memory_mb()?);
    let (begin, end) = judge(&seen)?;
    if options.record {
        let requests = measured::count(done);
        let seen = format!(
            "{requests} requests: {begin:.1} MB in the first quarter, {end:.1} MB in the last (every check on)"
        );
        measured::record("soak", &seen)?;
    }
    Ok(())
}

/// Whether memory stayed: the first fifth warms up, then the first quarter is held against the last.
fn judge(seen: &[f64]) -> Result<(f64, f64)> {
    let warm = seen.get(seen.len() / 5..).unwrap_or_default();
    if warm.len() < 4 {
        bail!("memory was looked at {} times: not often enough to say anything; ask for more requests", seen.len());
    }
    let part = warm.len().div_ceil(4);
    let (Some(begin), Some(end)) = (warm.get(..part), warm.get(warm.len() - part..)) else { bail!("nothing was seen") };
    let (begin, end) = (median(begin), median(end));
    println!("{begin:.1} MB at first, {end:.1} MB in the end");
    if end - begin > SLACK_MB.max(begin * SLACK) {
        bail!("memory grew from {begin:.1} MB to {end:.1} MB");
    }
    Ok((begin, end))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_warms_up_and_stays_is_flat_and_one_that_grows_is_told() {
        let flat: Vec<f64> =
            (0..50).map(|at| if at < 8 { 60.0 + f64::from(at) } else { 70.0 + f64::from(at % 3) }).collect();
        assert_eq!(judge(&flat).unwrap(), (71.0, 71.0));
        // A byte and a half for each request, 200,000 a round.
        let leaking: Vec<f64> = (0..50).map(|at| 70.0 + f64::from(at) * 0.2 * 1.5).collect();
        assert!(judge(&leaking).is_err());
        assert!(judge(&[70.0; 3]).is_err(), "three looks say nothing");
    }
}
