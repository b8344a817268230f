//! `chancery audit sample-logs`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use chancery_domain::{
    Clock as _, Timestamp,
    audit::sampled::{Sample, tell_sampled},
};
use clap::Args;
use serde_json::{Value, json};

use super::Opened;
use crate::{
    cli::ConfigArgs,
    clock::SystemClock,
    commands::{backup::progress, say},
    telemetry::{cleaner::Class, lines},
};

/// Something was found; as `chancery verify`.
const FAILED: u8 = 30;
/// A longer line is looked at in pieces.
const LONGEST: u64 = 1 << 20;

/// `chancery audit sample-logs`. Exit code 0 if nothing was found, 30 if something was.
#[derive(Debug, Args)]
pub(crate) struct SampleLogsArgs {
    /// Log lines, of this program or of another: a file, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only lines of this moment or later (2026-11-26T21:00:00Z); lines without a moment belong to the one before
    #[arg(long, value_name = "MOMENT")]
    since: Option<Timestamp>,
    /// How many places are printed; all are counted
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    places: usize,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "Configuration")]
    config: ConfigArgs,
}

/// Runs it.
///
/// # Errors
///
/// If the lines cannot be read, or the result cannot be kept: then it was not.
pub(crate) async fn run(args: SampleLogsArgs) -> Result<ExitCode> {
    // First, so that nobody waits for a search whose result cannot be kept.
    let opened = Opened::of(args.config.clone()).await?;
    let bar = progress(args.json, "searching");
    let mut search = Search::new(args.since, args.places, SystemClock.now());
    search.all(&args.file)?;
    let sample = search.sample();
    let event = tell_sampled(&opened.instance, &sample).await.context("the result could not be kept")?;
    opened.stores.archives.close().await;
    bar.finish_and_clear();
    let total = sample.total();
    if args.json {
        let places = search.places.iter().map(|(line, class)| json!({"line": line, "class": class.as_str()}));
        say(json!({
            "lines": sample.lines, "from": sample.from.map(|at| at.to_string()), "to": sample.to.map(|at| at.to_string()),
            "found": total, "classes": sample.found.iter().copied().collect::<BTreeMap<_, _>>(),
            "places": places.collect::<Vec<Value>>(), "event_id": event.to_string(),
        }));
    } else {
        for (line, class) in &search.places {
            say(format_args!("FOUND           line {line}: {}", class.as_str()));
        }
        for (class, count) in &sample.found {
            say(format_args!("{class:<15} {count}"));
        }
        let verdict =
            if total == 0 { "nothing was found" } else { "see docs/guides/audit.md; keep the lines from others" };
        say(format_args!("Searched        {} line(s): {verdict}. Kept as {event} in the platform's log", sample.lines));
    }
    Ok(if total == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

struct Search {
    since: Option<Timestamp>,
    now: Timestamp,
    /// How many places are kept.
    most: usize,
    /// How many lines were looked at.
    lines: u64,
    /// Of the last line that said when.
    time: Option<Timestamp>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    counts: BTreeMap<Class, u64>,
    /// Numbers of lines, and what is there.
    places: Vec<(u64, Class)>,
}

impl Search {
    fn new(since: Option<Timestamp>, most: usize, now: Timestamp) -> Self {
        let (counts, places) = (BTreeMap::new(), Vec::new());
        Self { since, now, most, lines: 0, time: None, from: None, to: None, counts, places }
    }

    fn all(&mut self, file: &Path) -> Result<()> {
        let unread = || format!("cannot read {}", file.display());
        let mut input: Box<dyn BufRead> = if file.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(file).with_context(unread)?))
        };
        let (mut number, mut piece) = (1, Vec::new());
        while input.by_ref().take(LONGEST).read_until(b'\n', &mut piece).with_context(unread)? > 0 {
            self.line(number, String::from_utf8_lossy(&piece).trim_end());
            number += u64::from(piece.ends_with(b"\n"));
            piece.clear();
        }
        Ok(())
    }

    fn line(&mut self, number: u64, line: &str) {
        let seen = lines::look(line, self.now);
        self.time = seen.time.or(self.time);
        if self.since.zip(self.time).is_some_and(|(since, time)| time < since) {
            return;
        }
        self.lines += 1;
        if let Some(time) = seen.time {
            self.from = Some(self.from.map_or(time, |from| from.min(time)));
            self.to = Some(self.to.map_or(time, |to| to.max(time)));
        }
        for class in seen.found {
            *self.counts.entry(class).or_default() += 1;
            if self.places.len() < self.most {
                self.places.push((number, class));
            }
        }
    }

    fn sample(&self) -> Sample {
        let found = self.counts.iter().map(|(class, count)| (class.as_str(), *count)).collect();
        Sample { lines: self.lines, from: self.from, to: self.to, found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searched(since: Option<&str>, text: &str) -> Search {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, text).unwrap();
        let now = "2026-11-27T00:00:00Z".parse().unwrap();
        let since = since.map(|since| since.parse().unwrap());
        let mut search = Search::new(since, 2, now);
        search.all(&path).unwrap();
        search
    }

    #[test]
    fn lines_before_a_moment_are_passed_over_with_what_belongs_to_them() {
        let text = "{\"time\":\"2026-11-26T01:00:00Z\",\"message\":\"to a@clinic.example\"}\n  at b@clinic.example\n\
                    2026-11-26T03:00:00.5Z  INFO to c@clinic.example\n  at d@clinic.example\nand 123-45-6789";
        let all = searched(None, text);
        assert_eq!((all.lines, all.counts[&Class::Email], all.counts[&Class::Ssn]), (5, 4, 1));
        assert_eq!(all.places, [(1, Class::Email), (2, Class::Email)], "as many as were asked for");
        let later = searched(Some("2026-11-26T02:00:00Z"), text);
        assert_eq!((later.lines, later.counts[&Class::Email]), (3, 2));
        assert_eq!(later.places, [(3, Class::Email), (4, Class::Email)]);
        let sample = later.sample();
        assert_eq!(
            (sample.total(), sample.from, sample.from),
            (3, Some("2026-11-26T03:00:00.5Z".parse().unwrap()), sample.to)
        );
    }

    #[test]
    fn a_line_of_any_length_and_of_any_bytes_is_looked_at() {
        let text = format!("{} 123-45-6789\n\u{fffd} a@clinic.example", "x".repeat(3 << 20));
        let found = searched(None, &text);
        assert_eq!(found.places, [(1, Class::Ssn), (2, Class::Email)]);
    }
}
