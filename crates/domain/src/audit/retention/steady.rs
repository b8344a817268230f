//! Whether a clock is believed where nobody looks: one that jumps ahead would have years go.

use super::RetentionError;
use crate::{
    Instance,
    audit::{EventSpan, sequence},
    ids::TenantId,
    store::View,
    time::Timestamp,
};

const DAY: i64 = 24 * 60 * 60;
/// So many spans of days before now are looked at, and so long they are: a jump of more than one leaves at least one empty.
const SPANS: i64 = 8;
const SPAN_DAYS: i64 = 10;
/// On so many days of each something must have been logged. Fewer than there are: an installation may be off at week-ends, and a day
/// by the calendar is not one since a moment.
const DAYS: usize = 5;

/// Whether the clock went for some time as clocks go: on at least half the days of each ten of the last 80 something was logged, in
/// the tenant's log or in the platform's, which grows every day. After a jump nothing was, whether the process was there or began
/// anew; and who moves it in steps has to make a thousand for six years, each with an event. People have 80 days to see it. The
/// same goes for an installation that was off for long.
pub(super) async fn is_steady(instance: &Instance, tenant: TenantId) -> Result<bool, RetentionError> {
    let now = instance.now();
    for log in [TenantId::PLATFORM, tenant] {
        sequence::sequence(instance, log).await?;
    }
    let mut platform = instance.store().fresh_view(TenantId::PLATFORM).await?;
    let mut ours = instance.store().fresh_view(tenant).await?;
    for span in 0..SPANS {
        let mut lived = 0;
        for day in span * SPAN_DAYS..(span + 1) * SPAN_DAYS {
            let (to, from) = (now.plus_seconds(-day * DAY), now.plus_seconds(-(day + 1) * DAY));
            if lived < DAYS && (has_events(&mut *platform, from, to).await? || has_events(&mut *ours, from, to).await?)
            {
                lived += 1;
            }
        }
        if lived < DAYS {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn has_events(view: &mut dyn View, from: Timestamp, to: Timestamp) -> Result<bool, RetentionError> {
    let span = EventSpan { from, to, after: None, limit: 1 };
    Ok(!view.logged_events(&span.into()).await?.is_empty())
}
