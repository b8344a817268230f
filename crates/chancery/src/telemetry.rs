//! Log lines: JSON for machines, text for people; only fields that are known to be harmless.

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

mod writer;

use crate::{clock::SystemClock, config::LogFormat};

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
    "address",
    "environment",
    "job",
    "subject",
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
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).fmt_fields(Fields(format)).event_format(Lines(format));
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
struct Fields(LogFormat);

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
        context.format_fields(out.by_ref(), event)?;
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                out.write_str(fields)?;
            }
        }
        out.write_str(if self.0 == LogFormat::Json { "}\n" } else { "\n" })
    }
}

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { format: self.0, writer, result: Ok(()) };
        fields.record(&mut line);
        line.result
    }
}

/// Writes one field after another; each begins with what separates it from the one before.
struct Line<'w> {
    format: LogFormat,
    writer: Writer<'w>,
    result: fmt::Result,
}

impl Line<'_> {
    fn put(&mut self, field: &Field, value: &str, quoted: bool) {
        let name = field.name();
        if self.result.is_err() || !ALLOWED.contains(&name) {
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
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, &value.to_string(), false);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, &value.to_string(), false);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, &value.to_string(), false);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value, true);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        if ALLOWED.contains(&field.name()) && write!(text, "{value:?}").is_ok() {
            self.put(field, &text, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(Fields(format))
            .event_format(Lines(format))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", request_id = "req_1", password = "hunter2");
            span.in_scope(|| {
                tracing::info!(status = 200_u16, email = "a@b.example", error = "a \"quote\"\nline", "Answered")
            });
        });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_json_line_has_allowed_fields_only() {
        let text = logged(LogFormat::Json);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["message"], &line["status"], &line["request_id"]),
            (&"Answered".into(), &200.into(), &"req_1".into())
        );
        assert!(!text.contains("hunter2") && !text.contains("a@b.example"), "{text}");
    }

    #[test]
    fn a_value_cannot_begin_a_line_of_its_own() {
        let text = logged(LogFormat::Human);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
