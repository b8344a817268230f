//! The steps as they go, and the one table at the end.

use std::{future::Future, io::IsTerminal as _, time::Duration, time::Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

/// One line of the table.
pub(super) struct Row {
    what: String,
    count: u64,
    took: Duration,
    /// What held, or what did not.
    verdict: Result<String, String>,
}

/// What a step found: how many things it did, and one line of what held.
pub(super) struct Held {
    pub(super) count: u64,
    pub(super) note: String,
}

/// `count` things, and what held for all of them.
pub(super) fn held(count: usize, note: impl Into<String>) -> Held {
    Held { count: count as u64, note: note.into() }
}

/// Collects the lines.
#[derive(Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Runs a step that gives something to go on with. `None` if it did not hold.
    pub(super) async fn step<T>(&mut self, what: &str, work: impl Future<Output = Result<(T, Held)>>) -> Option<T> {
        let began = Instant::now();
        let outcome = work.await;
        let took = began.elapsed();
        let (count, verdict, thing) = match outcome {
            Ok((thing, held)) => (held.count, Ok(held.note), Some(thing)),
            Err(error) => (0, Err(format!("{error:#}")), None),
        };
        self.rows.push(Row { what: what.to_owned(), count, took, verdict });
        thing
    }

    /// Runs a step that only holds or does not.
    pub(super) async fn check(&mut self, what: &str, work: impl Future<Output = Result<Held>>) -> bool {
        self.step(what, async { work.await.map(|held| ((), held)) }).await.is_some()
    }

    /// Whether every step held.
    pub(super) fn all_held(&self) -> bool {
        self.rows.iter().all(|row| row.verdict.is_ok())
    }

    /// For machines.
    pub(super) fn to_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let detail = row.verdict.as_ref().unwrap_or_else(|problem| problem);
                json!({
                    "what": row.what,
                    "count": row.count,
                    "ms": millis(row.took),
                    "verdict": if row.verdict.is_ok() { "held" } else { "failed" },
                    "detail": detail,
                })
            })
            .collect();
        json!({ "held": self.all_held(), "steps": rows })
    }

    /// For people.
    pub(super) fn to_text(&self) -> String {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0).max(4);
        let mut text = format!("{:width$}  {:>7}  {:>9}  verdict\n", "what", "count", "ms");
        text.push_str(&format!("{}  {}  {}  {}\n", "─".repeat(width), "─".repeat(7), "─".repeat(9), "─".repeat(40)));
        for row in &self.rows {
            let verdict = match &row.verdict {
                Ok(note) => format!("✓ {note}"),
                Err(problem) => format!("✗ {problem}"),
            };
            text.push_str(&format!(
                "{:width$}  {:>7}  {:>9.1}  {verdict}\n",
                row.what,
                grouped(row.count),
                millis(row.took)
            ));
        }
        text
    }
}

fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 10_000.0).round() / 10.0
}

/// 8197 → 8,197.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A bar on a terminal, nothing elsewhere.
pub(super) fn progress(what: &'static str, length: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length as u64).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg:32} {bar:40} {pos}/{len}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1171, "1,171"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
