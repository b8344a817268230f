//! Hands events to sinks.

use std::time::Duration;

use super::{AuditSink, Outgoing, SendError, SinkCursor, Takes};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{
        Detail, Event, EventFilter, EventKind, LoggedEvent, Outcome, StoredCheckpoint,
        receipt::note_all,
        sequence::{SequenceError, prove_all},
        stamp::Actor,
    },
    ids::{RequestId, TenantId},
    instance::Failure,
    store::{StoreError, View},
    time::Timestamp,
};

/// How long a sink may take for one batch.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest rest of one that was tried in vain, in seconds.
const MAX_REST: i64 = 300;

/// What came of handing a sink what comes next in one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fed {
    /// There was nothing to hand it.
    Idle,
    /// It took so many events; so many places of the log are left.
    Took {
        /// Events.
        events: u64,
        /// Places.
        left: u64,
    },
    /// It refused a batch of this log some time ago, and it is not time to try again.
    Rests {
        /// Places of the log that wait.
        left: u64,
        /// Since when.
        since: Option<Timestamp>,
    },
    /// It did not take what it was handed.
    Failed {
        /// Why.
        error: SendError,
        /// Places of the log that wait.
        left: u64,
    },
}

/// How a sink does, as the process that feeds it knows.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// How often in a row it was away.
    away: u32,
    /// When it may be tried again.
    rests_until: Option<Timestamp>,
}

impl Health {
    /// Whether it is left alone at this moment: it was away a short while ago.
    pub fn rests(&self, now: Timestamp) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }

    /// Whether it was away when it was last tried.
    pub const fn is_away(&self) -> bool {
        self.away > 0
    }
}

/// Twice as long after each try in vain, from two seconds to five minutes.
fn rest(failures: u32) -> i64 {
    1_i64.checked_shl(failures.min(20)).unwrap_or(MAX_REST).min(MAX_REST)
}

/// Hands `sink` the next batch of a tenant's log and moves its cursor if it took it. `health` is that of the sink: when the first
/// try in vain was because it is away, and when it takes events again after that, the platform's log tells so, once.
///
/// # Errors
///
/// [`Failure`] if the store or the log do not do their part; the cursor stays.
pub async fn feed(
    instance: &Instance,
    sink: &dyn AuditSink,
    tenant: TenantId,
    health: &mut Health,
) -> Result<Fed, Failure> {
    let now = instance.now();
    let mut view = instance.store().view(tenant).await?;
    let known = view.sink_cursors().await?.into_iter().find(|cursor| cursor.sink == sink.name());
    let from = known.as_ref().map(|cursor| cursor.position);
    let mut cursor = known.unwrap_or_else(|| SinkCursor::new(sink.name(), now));
    let checkpoint = if sink.wants_proofs() { view.checkpoint().await? } else { None };
    let size = match (&checkpoint, sink.wants_proofs()) {
        (Some(checkpoint), _) => checkpoint.size,
        (None, true) => 0,
        (None, false) => view.log_head().await?.size,
    };
    // Nobody of ours moves it beyond the end: the log was put back, or somebody who holds the store keeps events away. Told, and
    // what comes from here on is sent.
    let beyond = cursor.position > size;
    cursor.position = cursor.position.min(size);
    let left = size.saturating_sub(cursor.position);
    if left == 0 && !beyond {
        return Ok(Fed::Idle);
    }
    if !beyond
        && cursor.failures > 0
        && !health.is_away()
        && now < cursor.updated_at.plus_seconds(rest(cursor.failures))
    {
        return Ok(Fed::Rests { left, since: cursor.failing_since });
    }
    let (events, next) = next(&mut *view, sink, &cursor, size).await?;
    let outgoing = outgoing(&mut *view, tenant, events, checkpoint.as_ref()).await?;
    drop(view);
    let sent = match (beyond, outgoing.is_empty()) {
        (true, _) => Err(SendError::Refused("cursor.beyond".to_owned())),
        (false, true) => Ok(()),
        (false, false) => send(sink, &outgoing).await,
    };
    match sent {
        Ok(()) => {
            let failed = cursor.failures > 0;
            let moved = SinkCursor {
                position: next,
                failing_since: None,
                failures: 0,
                reason: None,
                updated_at: now,
                ..cursor
            };
            save(instance, tenant, &moved, from).await?;
            // Nothing was sent where there was nothing of its kind: that tells nothing of its health.
            if !outgoing.is_empty() && (health.is_away() || failed) {
                tell(instance, sink, EventKind::SinkRecovered, Outcome::Success, None, tenant).await?;
                *health = Health::default();
            }
            let events = u64::try_from(outgoing.len()).unwrap_or(u64::MAX);
            Ok(Fed::Took { events, left: size.saturating_sub(next) })
        }
        Err(error) => {
            let first = match &error {
                SendError::Away(_) => {
                    health.away = health.away.saturating_add(1);
                    health.rests_until = Some(now.plus_seconds(rest(health.away)));
                    // A node that starts while the sink is away finds in the cursor that it was told.
                    health.away == 1 && cursor.failures == 0
                }
                SendError::Refused(_) => {
                    *health = Health::default();
                    cursor.failures == 0
                }
            };
            let failing = SinkCursor {
                failing_since: cursor.failing_since.or(Some(now)),
                failures: cursor.failures.saturating_add(1),
                reason: Some(error.code().to_owned()),
                updated_at: now,
                ..cursor
            };
            save(instance, tenant, &failing, from).await?;
            if first {
                tell(instance, sink, EventKind::SinkFailed, Outcome::SeriousFailure, Some(&error), tenant).await?;
            }
            Ok(Fed::Failed { error, left })
        }
    }
}

/// The next events that the sink takes, and where it is when it has them.
async fn next(
    view: &mut dyn View,
    sink: &dyn AuditSink,
    cursor: &SinkCursor,
    size: u64,
) -> Result<(Vec<LoggedEvent>, u64), Failure> {
    let mut filter = EventFilter::after(cursor.position.checked_sub(1), sink.batch().max(1));
    if sink.takes() == Takes::Security {
        let security = EventKind::ALL.iter().filter(|kind| kind.is_security());
        filter.kinds = security.map(|kind| kind.as_str().to_owned()).collect();
    }
    let mut events = view.logged_events(&filter).await?;
    let full = u32::try_from(events.len()).is_ok_and(|length| length >= filter.limit);
    let last = events.last().map(|event| event.index + 1);
    events.retain(|event| event.index < size);
    // If it is not full, there is nothing of its kind between the last one and the end.
    let next = if full { last.unwrap_or(size).min(size) } else { size };
    Ok((events, next))
}

async fn outgoing(
    view: &mut dyn View,
    tenant: TenantId,
    events: Vec<LoggedEvent>,
    checkpoint: Option<&StoredCheckpoint>,
) -> Result<Vec<Outgoing>, Failure> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let origin = view.log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
    let mut proofs = match checkpoint {
        None => Vec::new(),
        Some(checkpoint) => {
            let indexes: Vec<u64> = events.iter().map(|event| event.index).collect();
            let proven = prove_all(view, tenant, &indexes, checkpoint).await;
            proven.map_err(|error| match error {
                SequenceError::Failed(failure) => failure,
                SequenceError::Forked(_) => Failure::Internal("a log does not match its root"),
                SequenceError::RolledBack(_) => Failure::Internal("a log is behind what was signed of it"),
                SequenceError::Busy => Failure::Internal("a log that is read is busy"),
            })?
        }
    }
    .into_iter();
    let each = events.into_iter().map(|LoggedEvent { index, event, leaf_hash }| Outgoing {
        tenant,
        origin: origin.clone(),
        index,
        id: event.id,
        recorded_at: event.recorded_at,
        kind: event.kind,
        outcome: event.outcome,
        core: event.core,
        leaf_hash,
        proof: proofs.next().map(|proof| proof.to_text()),
    });
    Ok(each.collect())
}

async fn send(sink: &dyn AuditSink, events: &[Outgoing]) -> Result<(), SendError> {
    match tokio::time::timeout(PATIENCE, sink.send(events)).await {
        Ok(sent) => sent,
        Err(_) => Err(SendError::Away("timeout".to_owned())),
    }
}

/// Keeps where the sink is. One of the places that commit without an event (ADR 0004): an event for each step would be handed on
/// in the next one, for ever.
async fn save(instance: &Instance, tenant: TenantId, cursor: &SinkCursor, from: Option<u64>) -> Result<(), Failure> {
    let mut tx = instance.store().begin(tenant).await?;
    match tx.save_sink_cursor(cursor, from).await {
        Ok(()) => Ok(tx.commit().await?),
        // Another node was quicker, or somebody let it pass over: it is where they put it. What was sent twice has its id.
        Err(StoreError::Changed(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Tells in the platform's log how a sink does.
async fn tell(
    instance: &Instance,
    sink: &dyn AuditSink,
    kind: EventKind,
    outcome: Outcome,
    error: Option<&SendError>,
    tenant: TenantId,
) -> Result<(), Failure> {
    let request = RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "audit-sinks",
        method: "JOB",
    };
    let mut event = Event::new(kind)
        .outcome(outcome)
        .with("sink", Detail::Names(vec![sink.name().to_owned()]))
        .with("kind", Detail::Code(sink.kind().as_str()))
        .with("log", Detail::Id(tenant.to_string()));
    if let Some(error) = error {
        event = event
            .with("reason", Detail::Id(error.code().to_owned()))
            .with("what", Detail::Code(if matches!(error, SendError::Away(_)) { "away" } else { "refused" }));
    }
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, vec![event]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_to_five_minutes() {
        assert_eq!([1, 2, 3, 8, 9, 50, u32::MAX].map(rest), [2, 4, 8, 256, 300, 300, 300]);
    }

    #[test]
    fn one_that_was_away_is_left_alone_for_a_while() {
        let now = Timestamp::from_seconds(1_790_000_000);
        let health = Health { away: 2, rests_until: Some(now.plus_seconds(rest(2))) };
        assert!(health.is_away() && health.rests(now) && health.rests(now.plus_seconds(3)));
        assert!(!health.rests(now.plus_seconds(4)));
        assert!(!Health::default().rests(now));
    }
}
