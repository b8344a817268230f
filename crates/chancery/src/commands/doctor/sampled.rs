//! Whether somebody looked at the program's own log lines of late (AU-12).

use anyhow::Result;
use chancery_domain::{
    Clock as _, TenantId,
    audit::{EventFilter, EventKind, EventSpan},
};

use super::{Report, State};
use crate::{clock::SystemClock, config::Config, wiring::Stores};

/// A quarter, and some days more.
const DAYS: i64 = 100;

pub(super) async fn judge(config: &Config, stores: &Stores, report: &mut Report) -> Result<()> {
    let now = SystemClock.now();
    let span = EventSpan { from: now.plus_seconds(-DAYS * 86_400), to: now, after: None, limit: 1_000 };
    let filter = EventFilter { kind: Some(EventKind::LogsSampled.as_str().to_owned()), ..span.into() };
    // Of a log that is damaged another control tells.
    let Ok(found) = stores.store.view(TenantId::PLATFORM).await?.logged_events(&filter).await else { return Ok(()) };
    match found.last() {
        Some(newest) => {
            let days = (now.as_seconds() - newest.event.recorded_at.as_seconds()) / 86_400;
            report.ok("sampled log lines", format!("{days} d ago"));
        }
        None if config.is_dev() => report.ok("sampled log lines", "none yet"),
        None => report.add(
            State::Warn,
            "sampled log lines",
            format!("not within {DAYS} days"),
            "run `chancery audit sample-logs`, or enable chancery-sample-logs.timer; docs/guides/audit.md",
        ),
    }
    Ok(())
}
