//! Whether the audit log has room for the months that come.

use anyhow::Result;
use chancery_domain::{Clock as _, audit::months};

use super::{Report, State};
use crate::{clock::SystemClock, wiring::Stores};

pub(super) async fn judge(stores: &Stores, report: &mut Report) -> Result<()> {
    let Some(open) = stores.store.months_open(SystemClock.now(), months::COUNTED).await? else {
        report.ok("months of the log", "in one file");
        return Ok(());
    };
    let (holds, detail) = match open {
        0 => (false, "there is no room for this month's events".to_owned()),
        open => (open > months::ALARM_BELOW, format!("room for this month and {} more", open - 1)),
    };
    let cure = "start the server: it makes room for three months ahead, and its log says why it cannot; \
        docs/guides/production.md";
    report.judge(holds, if open == 0 { State::Fail } else { State::Warn }, "months of the log", detail, cure);
    Ok(())
}
