//! Which months of a log can go.

use std::sync::Arc;

use super::{KEPT, Month, Purged, Rules, SpanFacts};
use crate::{
    Instance,
    audit::{
        archives::{Archive, covers},
        sinks::AuditSink,
    },
    ids::TenantId,
    instance::Failure,
    keyring::{Keyring, ring::Marked},
    store::{StoreError, View},
};

/// So many months are planned for at once; what is older than that goes the next time.
const MAX_SPANS: usize = 120;

codes! {
    /// Whether a month can go.
    pub enum SpanStanding {
        /// It can.
        Due = "due",
        /// A hold holds something of it.
        Held = "held",
        /// A sink was not handed all of it yet.
        Unsent = "unsent",
        /// It is to be archived first, and is not.
        Unarchived = "unarchived",
        /// A purge that nobody ordered begins at its first place; an order would be the second one there.
        Disputed = "disputed",
    }
}

/// Places of a log whose events were recorded in one month and can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first place.
    pub first: u64,
    /// The place after the last one.
    pub end: u64,
    /// The month. What a clock that was behind recorded among it belongs to it.
    pub month: Month,
    /// How many events go.
    pub events: u64,
    /// Whether it can.
    pub standing: SpanStanding,
}

/// The months before `before` that are not purged, from the oldest on. A purge that the log does not tell of is none: who forges one
/// would have what it covers never go, and nobody told.
///
/// A month reaches from its first event to the first event of a later month, so months never overlap, whatever clocks say, and a
/// clock that was ahead keeps what comes after it for longer.
pub(super) async fn spans(
    instance: &Instance,
    view: &mut dyn View,
    receivers: &Receivers,
    rules: &Rules,
    before: Month,
) -> Result<Vec<Span>, StoreError> {
    let size = view.log_head().await?.size;
    let noted = view.purge_places().await?;
    let purged = match &receivers.ring {
        Some(ring) => Purged::told(view, ring).await?,
        None => Purged::default(),
    };
    let sent = receivers.handed(view, size).await?;
    let archives = if rules.retention.archive_first { Some(view.archives().await?) } else { None };
    let mut spans = Vec::new();
    for (mut first, until) in rest(purged.spans(), size) {
        while first < until && spans.len() < MAX_SPANS {
            let Some((at, recorded)) = view.first_event(first).await?.filter(|(at, _)| *at < until) else { break };
            let month = Month::of(recorded);
            if month >= before {
                break;
            }
            let end = view.first_recorded(at, month.next().start()).await?.map_or(until, |end| end.min(until));
            let SpanFacts { goes, recorded, .. } = view.span_facts(first, end, &KEPT).await?;
            let held = recorded.is_some_and(|(oldest, newest)| rules.hold(oldest, newest));
            let archived = archives.as_ref().is_none_or(|archives| is_archived(instance, archives, (first, end)));
            let standing = if noted.contains(&first) {
                SpanStanding::Disputed
            } else if held {
                SpanStanding::Held
            } else if end > sent {
                SpanStanding::Unsent
            } else if archived {
                SpanStanding::Due
            } else {
                SpanStanding::Unarchived
            };
            spans.push(Span { first, end, month, events: goes, standing });
            first = end;
        }
    }
    Ok(spans)
}

/// What of a log of this size is not taken by these spans, which ascend.
pub(in crate::audit) fn rest(taken: impl IntoIterator<Item = (u64, u64)>, size: u64) -> Vec<(u64, u64)> {
    let (mut rest, mut first) = (Vec::new(), 0);
    for (from, to) in taken {
        if first < from {
            rest.push((first, from));
        }
        first = first.max(to);
    }
    if first < size {
        rest.push((first, size));
    }
    rest
}

/// Whether every place of archives has all of it. Without a place nothing is archived.
fn is_archived(instance: &Instance, archives: &[Archive], span: (u64, u64)) -> bool {
    let mut places = instance.archives().iter().peekable();
    places.peek().is_some() && places.all(|place| covers(archives, place.name(), span))
}

/// The sinks that are to have what is in a log, with the keys that prove how far each of them is and what was purged.
pub(super) struct Receivers {
    log: TenantId,
    /// The log's own keys; while they are out of use, nobody can say what was purged.
    ring: Option<Arc<Keyring>>,
    sinks: Vec<Arc<dyn AuditSink>>,
    /// Under which cursors are written; without sinks nobody asks.
    cursors: Option<Arc<Keyring>>,
}

impl Receivers {
    /// Those of a tenant's log. Asked for before the store is: keys may have to be read.
    pub(super) async fn of(instance: &Instance, log: TenantId) -> Result<Self, Failure> {
        let (ring, mut sinks) = (instance.keyring(log).await.ok(), instance.sinks().to_vec());
        if sinks.is_empty() {
            return Ok(Self { log, ring, sinks, cursors: None });
        }
        if let Some(entry) = instance.directory().tenant(log).await? {
            sinks.retain(|sink| sink.serves(&entry));
        }
        Ok(Self { log, ring, sinks, cursors: Some(instance.keyring(TenantId::PLATFORM).await?) })
    }

    /// The rules of the log.
    pub(super) async fn rules(&self, view: &mut dyn View) -> Result<Rules, StoreError> {
        Rules::of(view, self.ring.as_deref()).await
    }

    /// How many events all of them were handed. One without a row, or with one that we did not write, was handed nothing: who
    /// holds the store could take the row away, or move it on, to have a month go that nobody outside has.
    async fn handed(&self, view: &mut dyn View, size: u64) -> Result<u64, StoreError> {
        let Some(ring) = &self.cursors else { return Ok(size) };
        let cursors = view.sink_cursors().await?;
        let position = |sink: &Arc<dyn AuditSink>| {
            let cursor = cursors.iter().find(|cursor| cursor.sink == sink.name());
            cursor.filter(|cursor| cursor.standing(ring, self.log) != Marked::Never).map_or(0, |cursor| cursor.position)
        };
        Ok(self.sinks.iter().map(position).min().unwrap_or(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_purged_is_not_planned_again() {
        assert_eq!(rest([], 9), [(0, 9)]);
        assert_eq!(rest([], 0), []);
        assert_eq!(rest([(0, 3), (5, 7)], 9), [(3, 5), (7, 9)]);
        assert_eq!(rest([(2, 9)], 9), [(0, 2)]);
        assert_eq!(rest([(0, 5), (3, 4), (5, 7)], 9), [(7, 9)]);
    }
}
