//! Whether a clock is believed where nobody looks: one that jumps ahead would have years go.

use super::RetentionError;
use crate::{
    Instance,
    audit::{EventSpan, sequence},
    ids::TenantId,
};

const DAY: i64 = 24 * 60 * 60;
/// How far back something must have been logged, and no further than that, in days.
const DAYS: (i64, i64) = (40, 80);

/// Whether the clock went for some time as clocks go: something was logged 40 to 80 days ago, in the tenant's log or in the
/// platform's, which grows every day. After a jump nothing was, whether the process was there or began anew, until people have had 40 days to
/// see it; nor after the installation was off for so long.
pub(super) async fn is_steady(instance: &Instance, tenant: TenantId) -> Result<bool, RetentionError> {
    let now = instance.now();
    let (to, from) = (now.plus_seconds(-DAYS.0 * DAY), now.plus_seconds(-DAYS.1 * DAY));
    for log in [TenantId::PLATFORM, tenant] {
        sequence::sequence(instance, log).await?;
        let span = EventSpan { from, to, after: None, limit: 1 };
        if !instance.store().fresh_view(log).await?.logged_events(&span.into()).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
