//! Which intents have their outcome, as the log tells (ADR 0040).

use std::collections::BTreeSet;

use super::{
    LoggedEvent, QueuedEvent, damage,
    guard::is_in_tree,
    intent::{Mark, mark},
};
use crate::{
    ids::{EventId, RequestId},
    store::{StoreError, View},
    time::Timestamp,
};

/// How much of a log one question reads, in seconds.
const AT_ONCE_SECONDS: i64 = 2 * 24 * 60 * 60;
/// For how long after an intent its outcome is looked for, in seconds: first where nearly all are, then where those are that another node
/// closed, and then for as long as all nodes may have been away.
const LOOKED_FOR_SECONDS: [i64; 3] = [10 * 60, AT_ONCE_SECONDS, 30 * 24 * 60 * 60];

/// Those of these intents that have an outcome, in the queue or in the tree of the log. What is damaged is none; the scrubber tells of it.
pub(super) async fn with_outcome(
    view: &mut dyn View,
    intents: &[QueuedEvent],
) -> Result<BTreeSet<EventId>, StoreError> {
    let requests: Vec<RequestId> = intents.iter().map(|intent| intent.request).collect();
    let queued = view.queued_outcomes(&requests).await?;
    let mut ended: BTreeSet<EventId> = queued.iter().filter_map(closes).collect();
    for seconds in LOOKED_FOR_SECONDS {
        let open = intents.iter().filter(|intent| !ended.contains(&intent.id));
        let open = open.map(|intent| (intent.recorded_at, intent.request)).collect();
        for (span, requests) in spans(open, seconds) {
            for part in parts(span) {
                ended.extend(logged(view, part, &requests).await?);
            }
        }
    }
    Ok(ended)
}

/// The intents that outcomes of these requests close, of this part of the log.
async fn logged(
    view: &mut dyn View,
    span: (Timestamp, Timestamp),
    requests: &[RequestId],
) -> Result<Vec<EventId>, StoreError> {
    let found: Vec<LoggedEvent> = match view.outcomes(span, requests).await {
        Err(StoreError::Damaged(_)) => {
            let places = view.outcome_places(span, requests).await?;
            damage::at(view, places).await?.into_iter().flatten().collect()
        }
        found => found?,
    };
    let mut ended = Vec::new();
    for outcome in found {
        if is_in_tree(view, &outcome).await? {
            ended.extend(closes(&outcome.event));
        }
    }
    Ok(ended)
}

/// The intent that this is the outcome of.
fn closes(event: &QueuedEvent) -> Option<EventId> {
    match mark(event)? {
        Mark::Closes(intent) => Some(intent),
        Mark::Opens { .. } => None,
    }
}

/// When to look for what comes within so many seconds after these moments, and for which requests: no moment twice.
pub(super) fn spans(
    mut open: Vec<(Timestamp, RequestId)>,
    seconds: i64,
) -> Vec<((Timestamp, Timestamp), Vec<RequestId>)> {
    open.sort_unstable();
    let meet = |one: &(Timestamp, RequestId), next: &(Timestamp, RequestId)| next.0 <= one.0.plus_seconds(seconds);
    let spans = open.chunk_by(meet).filter_map(|near| {
        let span = (near.first()?.0, near.last()?.0.plus_seconds(seconds));
        Some((span, near.iter().map(|(_, request)| *request).collect()))
    });
    spans.collect()
}

/// What one question each reads, side by side. However many intents there are, and however far apart, none reads more.
fn parts((from, to): (Timestamp, Timestamp)) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let next = move |at: &Timestamp| Some(at.plus_seconds(AT_ONCE_SECONDS)).filter(|next| *next < to);
    std::iter::successors(Some(from), next).map(move |at| (at, at.plus_seconds(AT_ONCE_SECONDS).min(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_moment_is_looked_at_twice_for_the_outcomes_of_many() {
        let open = |seconds: i64, n: u8| (Timestamp::from_seconds(seconds), RequestId::from_bytes([n; 16]));
        let three = || vec![open(500, 3), open(0, 1), open(90, 2)];
        let requests = |ns: &[u8]| ns.iter().map(|n| RequestId::from_bytes([*n; 16])).collect::<Vec<_>>();
        let at = Timestamp::from_seconds;
        let expected = [((at(0), at(190)), requests(&[1, 2])), ((at(500), at(600)), requests(&[3]))];
        assert_eq!(spans(three(), 100), expected);
        let whole = [((at(0), Timestamp::from_micros(i64::MAX)), requests(&[1, 2, 3]))];
        assert_eq!(spans(three(), i64::MAX), whole);
    }

    #[test]
    fn no_question_reads_more_of_a_log_than_two_days() {
        let day = |n: i64| Timestamp::from_seconds(n * 24 * 60 * 60);
        let all = |from: i64, to: i64| parts((day(from), day(to))).collect::<Vec<_>>();
        assert_eq!(all(1, 2), [(day(1), day(2))]);
        assert_eq!(all(1, 3), [(day(1), day(3))]);
        assert_eq!(all(1, 6), [(day(1), day(3)), (day(3), day(5)), (day(5), day(6))]);
        let last = Timestamp::from_micros(i64::MAX);
        assert_eq!(parts((last.plus_seconds(-1), last)).count(), 1);
    }
}
