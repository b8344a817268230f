//! Which parts of a log are to be archived.

use super::Archive;
use crate::{
    audit::{
        EventKind,
        retention::{Month, Purged, rest},
    },
    store::{StoreError, View},
    time::Timestamp,
};

/// How long after its end a month is closed: what clocks and queues are behind by is in it then.
const CLOSES_AFTER_SECONDS: i64 = 48 * 60 * 60;
/// The most events of one archive: it is made in memory.
const MAX_EVENTS: u64 = 20_000;
/// So many are told at once; what is newer is told the next time.
const MAX_PARTS: usize = 200;

/// What this job itself writes into a log.
const OF_ARCHIVING: [EventKind; 3] = [EventKind::AuditArchived, EventKind::ArchiveLost, EventKind::AuditRead];

/// A part of a closed month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) month: Month,
    pub(super) first: u64,
    pub(super) end: u64,
}

/// The parts of closed months that are neither purged nor archived, from the oldest on.
pub(super) async fn due(
    view: &mut dyn View,
    purged: &Purged,
    archived: &[Archive],
    now: Timestamp,
) -> Result<Vec<Part>, StoreError> {
    let open = Month::of(now.plus_seconds(-CLOSES_AFTER_SECONDS));
    let size = view.log_head().await?.size;
    let mut done: Vec<(u64, u64)> = purged.spans().collect();
    done.extend(archived.iter().map(|one| (one.first, one.end)));
    done.sort_unstable();
    let mut parts = Vec::new();
    for (mut first, until) in rest(done, size) {
        while first < until && parts.len() < MAX_PARTS {
            let Some((at, recorded)) = view.first_event(first).await?.filter(|(at, _)| *at < until) else { break };
            let month = Month::of(recorded);
            if month >= open {
                break;
            }
            let next = view.first_recorded(at, month.next().start()).await?;
            let end = next.map_or(until, |next| next.min(until));
            // Of a log that fell silent all that is there is closed; but that something was archived is not archived for itself, or
            // it would never fall silent.
            if next.is_none() && view.span_facts(at, end, &OF_ARCHIVING).await?.goes == 0 {
                break;
            }
            parts.extend(split(month, (at, end)));
            first = end;
        }
    }
    Ok(parts)
}

fn split(month: Month, (first, end): (u64, u64)) -> impl Iterator<Item = Part> {
    let starts = (first..end).step_by(usize::try_from(MAX_EVENTS).unwrap_or(usize::MAX));
    starts.map(move |first| Part { month, first, end: first.saturating_add(MAX_EVENTS).min(end) })
}

/// Whether archives in this place hold all from `first` to before `end`.
pub(in crate::audit) fn covers(archives: &[Archive], place: &str, (first, end): (u64, u64)) -> bool {
    let mut held: Vec<(u64, u64)> =
        archives.iter().filter(|one| one.place == place).map(|one| (one.first, one.end)).collect();
    held.sort_unstable();
    let reached = held.into_iter().fold(first, |at, (from, to)| if from <= at { at.max(to) } else { at });
    reached >= end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EventId;

    #[test]
    fn a_month_of_many_events_has_several_parts() {
        let month = "2026-09".parse().unwrap();
        let parts: Vec<(u64, u64)> = split(month, (5, 40_006)).map(|part| (part.first, part.end)).collect();
        assert_eq!(parts, [(5, 20_005), (20_005, 40_005), (40_005, 40_006)]);
        assert_eq!(split(month, (5, 5)).count(), 0);
    }

    #[test]
    fn a_span_is_covered_by_archives_of_one_place_without_a_hole() {
        let archive = |place: &str, first, end| Archive {
            place: place.to_owned(),
            first,
            end,
            month: "2026-09".parse().unwrap(),
            digest: [0; 32],
            bytes: 1,
            event: EventId::from_bytes([1; 16]),
            written_at: Timestamp::from_seconds(1),
        };
        let held = [archive("disk", 0, 4), archive("disk", 4, 9), archive("disk", 12, 20), archive("tape", 9, 12)];
        assert!(covers(&held, "disk", (0, 9)) && covers(&held, "disk", (5, 6)) && covers(&held, "disk", (13, 20)));
        for span in [(0, 10), (9, 12), (10, 13), (19, 21)] {
            assert!(!covers(&held, "disk", span), "{span:?}");
        }
        assert!(covers(&held, "tape", (9, 12)) && !covers(&held, "none", (0, 1)));
    }
}
