//! Log lines: JSON for machines, text for people; only fields that are known to be harmless.
//!
//! What goes by a name that a secret or personal data have, in whatever style, and what looks like one in a text that may be printed,
//! is replaced by what it was ([`removed`] counts it): the line goes out, the value does not (ADR 0027).

use std::fmt::{self, Write as _};

use chancery_domain::Clock as _;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter,
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

pub(crate) mod cleaner;
pub(crate) mod lines;
mod names;
mod writer;

pub use self::cleaner::removed;
use self::cleaner::{Class, REMOVED, clean, count};
use crate::{clock::SystemClock, config::LogFormat};

/// Where this process listens: the one field that holds addresses which are no person's.
const LISTENING: &str = "address";
/// In a debug build, has the process fail at a value that had to be removed. For tests.
const STRICT: &str = "CHANCERY_LOG_STRICT";

/// How the targets of our own crates begin.
const OURS: &str = "chancery";
/// Fields that may be printed. Anything else a crate might log is left out, whatever it holds.
const ALLOWED: &[&str] = &[
    "message",
    "request_id",
    "method",
    "route",
    "status",
    "code",
    "duration_us",
    "reason",
    "events",
    "error",
    "tenant",
    LISTENING,
    "environment",
    "job",
    "problem",
    "cure",
];

/// Writes what is still to be written when it is dropped: the end of the process does not lose the last lines.
pub struct Logging(Option<writer::Lines>);

impl Drop for Logging {
    fn drop(&mut self) {
        if let Some(lines) = &self.0 {
            lines.flush();
        }
    }
}

/// Starts logging to standard error, until the end of what it gives. A second start in one process changes nothing.
#[must_use]
pub fn start(format: LogFormat, level: &str) -> Logging {
    // Of other crates only warnings: their debug lines show what they carry.
    let filter = if level.contains('=') { level.to_owned() } else { format!("warn,chancery={level}") };
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn,chancery=info"));
    let strict = cfg!(debug_assertions) && std::env::var_os(STRICT).is_some();
    let fields = Fields { format, strict };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).fmt_fields(fields).event_format(Lines(format));
    // Without a thread for it, each line is written by whoever logs it.
    let lines = writer::Lines::to(std::io::stderr()).ok();
    let _ = match lines.clone() {
        Some(lines) => builder.with_writer(lines).try_init(),
        None => builder.with_writer(std::io::stderr).try_init(),
    };
    let last = lines.clone();
    std::panic::set_hook(Box::new(move |panic| {
        tell_panic(panic.location());
        if let Some(lines) = &last {
            lines.flush();
        }
    }));
    Logging(lines)
}

/// Says where a panic was and not what it said: the message may quote what it stumbled over.
fn tell_panic(location: Option<&std::panic::Location<'_>>) {
    let place = location.map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
    tracing::error!(reason = place, "A task panicked");
}

struct Lines(LogFormat);
struct Fields {
    format: LogFormat,
    /// Fails instead of removing what must not be in a line.
    strict: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (meta, now) = (event.metadata(), SystemClock.now());
        match self.0 {
            LogFormat::Json => {
                write!(out, r#"{{"time":"{now}","level":"{}","target":"{}""#, meta.level(), meta.target())?;
            }
            LogFormat::Human => write!(out, "{now} {:>5}", meta.level())?,
        }
        if meta.target().starts_with(OURS) {
            context.format_fields(out.by_ref(), event)?;
        } else {
            said_by_a_library(self.0, meta.target(), &mut out)?;
        }
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                out.write_str(fields)?;
            }
        }
        out.write_str(if self.0 == LogFormat::Json { "}\n" } else { "\n" })
    }
}

/// What a library says may quote what a stranger sent it: that it said something is told, and who.
fn said_by_a_library(format: LogFormat, target: &str, out: &mut Writer<'_>) -> fmt::Result {
    match format {
        LogFormat::Json => out.write_str(r#","message":"A library said something""#),
        LogFormat::Human => write!(out, " A library said something: {target}"),
    }
}

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { format: self.format, strict: self.strict, writer, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

/// Writes one field after another; each begins with what separates it from the one before.
struct Line<'w> {
    format: LogFormat,
    strict: bool,
    writer: Writer<'w>,
    result: fmt::Result,
}

impl Line<'_> {
    /// A text of ours or of somebody else's: whatever looks like a secret or like a person in it is removed.
    fn text(&mut self, field: &Field, value: &str) {
        let name = field.name();
        if name == LISTENING {
            return self.put(name, value, true);
        }
        let (value, found) = clean(value, || SystemClock.now());
        found.into_iter().for_each(|class| self.found(name, class));
        self.put(name, &value, true);
    }

    /// Whether a field may be printed. One that has a name of secrets or of personal data is, without what it holds.
    fn may(&mut self, field: &Field) -> bool {
        let name = field.name();
        if ALLOWED.contains(&name) {
            return true;
        }
        if let Some(class) = names::known(name) {
            self.found(name, class);
            self.put(name, &format!("{REMOVED}{}]", class.as_str()), true);
        }
        false
    }

    #[expect(clippy::panic, reason = "asked for by a test, which is to fail")]
    fn found(&self, name: &str, class: Class) {
        count(class);
        if self.strict {
            panic!("the field `{name}` of a log line held what must not be logged: {}", class.as_str());
        }
    }

    fn put(&mut self, name: &str, value: &str, quoted: bool) {
        if self.result.is_err() {
            return;
        }
        self.result = match (self.format, quoted) {
            (LogFormat::Json, false) => write!(self.writer, r#","{name}":{value}"#),
            (LogFormat::Json, true) => write!(self.writer, r#","{name}":{}"#, serde_json::Value::from(value)),
            // A value must not begin a line of its own.
            (LogFormat::Human, _) if name == "message" => write!(self.writer, " {}", value.escape_debug()),
            (LogFormat::Human, _) => write!(self.writer, " {name}={}", value.escape_debug()),
        };
    }
}

impl Visit for Line<'_> {
    // Numbers of allowed fields are counts, codes and times of ours.
    fn record_i64(&mut self, field: &Field, value: i64) {
        if self.may(field) {
            self.put(field.name(), &value.to_string(), false);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if self.may(field) {
            self.put(field.name(), &value.to_string(), false);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if self.may(field) {
            self.put(field.name(), &value.to_string(), false);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.may(field) {
            self.text(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        if self.may(field) && write!(text, "{value:?}").is_ok() {
            self.text(field, &text);
        }
    }
}

#[cfg(test)]
mod tests;
