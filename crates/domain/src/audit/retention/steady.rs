//! Whether a clock is believed where nobody looks: one that jumps ahead would have years go.

use super::RetentionError;
use crate::{
    Instance,
    audit::{EventSpan, sequence},
    ids::TenantId,
    store::View,
    time::Timestamp,
};

/// So many days before now are looked at.
pub const DAYS: usize = 80;
/// In spans of so many days.
pub const SPAN: usize = 10;
/// On so many days of each span something must have been logged. Fewer than there are: an installation may be off at week-ends.
pub const ENOUGH: usize = 5;

/// Whether the clock went for some time as clocks go: on at least half the days of each ten of the last 80 something was logged, in
/// the tenant's log or in the platform's, which grows every day. After a jump nothing was, whether the process was there or began
/// anew; and who moves it in steps has to make a thousand for six years, each with an event. People have 80 days to see it. The
/// same goes for an installation that was off for long.
pub(super) async fn is_steady(instance: &Instance, tenant: TenantId) -> Result<bool, RetentionError> {
    let now = instance.now();
    let mut lived = [false; DAYS];
    for log in [TenantId::PLATFORM, tenant] {
        sequence::sequence(instance, log).await?;
        let mut view = instance.store().fresh_view(log).await?;
        for (day, lived) in (0..).zip(&mut lived).filter(|(_, lived)| !**lived) {
            let (to, from) = (now.plus_days(-day), now.plus_days(-(day + 1)));
            *lived = has_events(&mut *view, from, to).await?;
        }
    }
    Ok(is_life(&lived))
}

/// Whether enough days of each span had an event.
fn is_life(lived: &[bool; DAYS]) -> bool {
    lived.chunks(SPAN).all(|span| span.iter().filter(|lived| **lived).count() >= ENOUGH)
}

async fn has_events(view: &mut dyn View, from: Timestamp, to: Timestamp) -> Result<bool, RetentionError> {
    let span = EventSpan { from, to, after: None, limit: 1 };
    Ok(!view.logged_events(&span.into()).await?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_and_steps_of_more_than_two_days_are_no_life() {
        let of = |lived: fn(usize) -> bool| is_life(&std::array::from_fn(lived));
        assert!(of(|_| true));
        assert!(of(|day| day % 7 < 5), "off at week-ends");
        assert!(of(|day| day % 2 == 0));
        assert!(!of(|day| day % 3 == 0), "in steps");
        assert!(!of(|day| !(70..=75).contains(&day)), "a jump of six days");
        assert!(!of(|_| false));
    }
}
