//! The table of `docs/performance.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::Measured;
use crate::{ambient, process, workspace};

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    what: String,
    target: String,
    measured: String,
    ratio: String,
    verdict: String,
    /// What is known of why it may miss its target.
    why: &'static str,
}

/// What a time is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// At most so many times the yardstick.
    AtMost(f64),
    /// The yardstick takes at least so many times as long.
    FasterBy(f64),
}

impl Row {
    /// A time in nanoseconds next to a yardstick's.
    pub(super) fn times(what: &str, ours: &Measured, peer: &str, theirs: &Measured, target: Target) -> Self {
        let wanted = match target {
            Target::AtMost(limit) => format!("≤ {limit} × {peer}"),
            Target::FasterBy(factor) => format!("≥ {factor} × faster than {peer}"),
        };
        Self::compared(what, wanted, ours, theirs, nanoseconds, |ours, theirs| match target {
            Target::AtMost(limit) => (format!("{:.2} ×", ours / theirs), ours / theirs <= limit),
            Target::FasterBy(factor) => (format!("{:.1} × faster", theirs / ours), theirs / ours >= factor),
        })
    }

    /// A rate that must reach a share of a yardstick's.
    pub(super) fn share(what: &str, unit: &str, ours: &Measured, peer: &str, theirs: &Measured, share: f64) -> Self {
        let show = |rate: f64| format!("{} {unit}", thousands(rate));
        Self::compared(what, format!("≥ {share} × {peer}"), ours, theirs, show, |ours, theirs| {
            (format!("{:.2} ×", ours / theirs), ours / theirs >= share)
        })
    }

    /// A rate that must reach a number.
    pub(super) fn rate(what: &str, unit: &str, ours: &Measured, least: f64) -> Self {
        let target = format!("≥ {} {unit}", thousands(least));
        Self::alone(what, target, ours, thousands, |rate| rate >= least)
    }

    /// A number that must stay below a limit.
    pub(super) fn limit(what: &str, unit: &str, ours: &Measured, limit: f64) -> Self {
        Self::alone(
            what,
            format!("< {limit} {unit}"),
            ours,
            |number| format!("{} {unit}", rounded(number)),
            |number| number < limit,
        )
    }

    /// With the reason, told only if the target is missed.
    pub(super) fn because(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    fn compared(
        what: &str,
        target: String,
        ours: &Measured,
        theirs: &Measured,
        show: impl Fn(f64) -> String,
        judge: impl Fn(f64, f64) -> (String, bool),
    ) -> Self {
        let (measured, ratio, verdict) = match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                let (ratio, met) = judge(*ours, *theirs);
                (format!("{} against {}", show(*ours), show(*theirs)), ratio, verdict(met))
            }
            (Ok(ours), Err(reason)) => (show(*ours), String::new(), format!("not run: {reason}")),
            (Err(reason), _) => (String::new(), String::new(), format!("not run: {reason}")),
        };
        Self { what: what.to_owned(), target, measured, ratio, verdict, why: "" }
    }

    fn alone(
        what: &str,
        target: String,
        ours: &Measured,
        show: impl Fn(f64) -> String,
        judge: impl Fn(f64) -> bool,
    ) -> Self {
        let (measured, verdict) = match ours {
            Ok(ours) => (show(*ours), verdict(judge(*ours))),
            Err(reason) => (String::new(), format!("not run: {reason}")),
        };
        Self { what: what.to_owned(), target, measured, ratio: String::new(), verdict, why: "" }
    }
}

fn verdict(met: bool) -> String {
    if met { "met" } else { "**missed**" }.to_owned()
}

/// With a digit behind the point where there are few before it.
fn rounded(number: f64) -> String {
    if number.abs() < 10.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}

fn nanoseconds(time: f64) -> String {
    match time {
        time if time < 1e3 => format!("{time:.0} ns"),
        time if time < 1e6 => format!("{:.2} µs", time / 1e3),
        time => format!("{:.2} ms", time / 1e6),
    }
}

/// A whole number with thousands apart.
fn thousands(number: f64) -> String {
    grouped(&format!("{number:.0}"))
}

/// Digits in groups of three.
pub(super) fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Where the page is.
pub(super) fn path() -> PathBuf {
    workspace::root().join("docs/performance.md")
}

/// The page, but for what long runs showed.
pub(super) fn page(rows: &[Row], busy: &str) -> String {
    let mut page = String::from(
        "# How fast\n\nWritten by `cargo xtask bench`; do not edit. Peers ran on the same machine in the same run: ratios count, absolute times do not.\n\
         Load generator and server share the machine. The targets are those of the design.\n\n",
    );
    page += &machine();
    let _ = writeln!(page, "- Load average before the run: {busy} (a busy machine disturbs the ratios too)");
    page += "\n| what | target | measured | ratio | verdict |\n| --- | --- | --- | --- | --- |\n";
    for Row { what, target, measured, ratio, verdict, .. } in rows {
        let verdict = one_line(verdict);
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| {what} | {target} | {measured} | {ratio} | {verdict} |");
    }
    let missed: Vec<&Row> = rows.iter().filter(|row| row.verdict.contains("missed")).collect();
    let not_run = rows.iter().filter(|row| row.verdict.starts_with("not run")).count();
    let met = rows.len() - missed.len() - not_run;
    let _ = writeln!(page, "\n{met} met, {} missed, {not_run} not run.", missed.len());
    for Row { what, target, measured, ratio, why, .. } in missed {
        let ratio = if ratio.is_empty() { String::new() } else { format!(", {ratio}") };
        let why = if why.is_empty() { String::new() } else { format!(" {why}") };
        let _ = writeln!(page, "\nMissed: {what} should be {target}; it is {measured}{ratio}.{why}");
    }
    page
}

/// What fits into a cell of a table.
fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().replace('|', "\\|");
    if line.chars().count() > 160 { line.chars().take(159).chain(['…']).collect() } else { line }
}

/// How busy the machine is: the load average of the last minute.
pub(super) fn busy() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace().next().unwrap_or("unknown").to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let said = process::output(command.args(arguments).current_dir(workspace::root()));
    said.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':')).map(|(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    format!(
        "- Machine: {}, {cores} cores, {} GB\n- System: Linux {}, {}\n- Date: {}, commit {}\n",
        model.unwrap_or("unknown processor"),
        kilobytes.unwrap_or_default().div_ceil(1 << 20),
        said("uname", &["-r", "-m"]),
        said("rustc", &["--version"]),
        ambient::today(),
        workspace::commit(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(row: &Row) -> [&str; 3] {
        [&row.measured, &row.ratio, &row.verdict]
    }

    #[test]
    fn times_are_judged_by_their_ratio() {
        let at_most = |ours| Row::times("x", &Ok(ours), "y", &Ok(100.0), Target::AtMost(4.0));
        assert_eq!(cells(&at_most(400.0)), ["400 ns against 100 ns", "4.00 ×", "met"]);
        assert_eq!(cells(&at_most(500.0)), ["500 ns against 100 ns", "5.00 ×", "**missed**"]);
        let faster = |ours| Row::times("x", &Ok(ours), "y", &Ok(26_000.0), Target::FasterBy(12.0));
        assert_eq!(cells(&faster(2_000.0)), ["2.00 µs against 26.00 µs", "13.0 × faster", "met"]);
        assert_eq!(faster(5_000.0).verdict, "**missed**");
    }

    #[test]
    fn rates_and_limits_are_judged() {
        assert_eq!(cells(&Row::rate("x", "u", &Ok(1_234_567.0), 1e6)), ["1 234 567", "", "met"]);
        assert_eq!(Row::rate("x", "u", &Ok(999_999.0), 1e6).verdict, "**missed**");
        assert_eq!(Row::share("x", "u", &Ok(49.0), "y", &Ok(100.0), 0.5).verdict, "**missed**");
        assert_eq!(Row::share("x", "u", &Ok(50.0), "y", &Ok(100.0), 0.5).ratio, "0.50 ×");
        assert_eq!(Row::limit("x", "ms", &Ok(300.0), 300.0).verdict, "**missed**");
    }

    #[test]
    fn what_was_not_run_says_why_and_misses_are_told() {
        let absent = Row::times("x", &Ok(1.0), "y", &Err("no Python\nat all".into()), Target::AtMost(1.0));
        let page = page(&[absent, Row::limit("start", "ms", &Ok(400.0), 300.0)], "0.1");
        assert!(page.contains("not run: no Python |"), "{page}");
        assert!(page.contains("0 met, 1 missed, 1 not run."), "{page}");
        assert!(page.contains("Missed: start should be < 300 ms; it is 400 ms."), "{page}");
    }
}
