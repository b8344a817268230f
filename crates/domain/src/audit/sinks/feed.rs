//! Hands events to sinks.

use std::{sync::Arc, time::Duration};

use super::{
    AuditSink, Health, SendError, SinkCursor,
    batch::{self, Batch, NoBatch},
    cursor::proven,
    health::rest,
};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{
        Detail, Event, EventKind, Outcome, StoredCheckpoint,
        receipt::note_all,
        sequence::{SequenceError, newest_head},
        stamp::Actor,
    },
    ids::{RequestId, TenantId},
    instance::Failure,
    keyring::{Keyring, ring::Marked},
    store::{StoreError, View},
    time::Timestamp,
};

/// How long a sink may take for one batch.
const PATIENCE: Duration = Duration::from_secs(30);
/// The code for what is stored of a log and is not what was logged.
const DAMAGED: &str = "log.damaged";

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
        /// The place of the event that it refuses.
        at: Option<u64>,
        /// Places of the log that wait.
        left: u64,
    },
}

/// One log, and how far the sink is in it.
struct Log {
    tenant: TenantId,
    ring: Arc<Keyring>,
    now: Timestamp,
    /// Where the store said that the sink is; `None` if it said nothing.
    from: Option<u64>,
    cursor: SinkCursor,
    standing: Marked,
    /// How many events of it the sink may have now.
    size: u64,
    checkpoint: Option<StoredCheckpoint>,
    /// Why what the store said cannot be.
    odd: Option<&'static str>,
}

/// Hands `sink` the next batch of a tenant's log and moves its cursor if it took it. `health` is that of the sink: when the first
/// try in vain was because it is away, and when it takes events of that log again after that, the platform's log tells so, once.
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
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    // Of a tenant whose keys are out of use nobody can say which head is its own: whoever is handed one verifies it.
    let own = if sink.wants_proofs() { instance.keyring(tenant).await.ok() } else { None };
    let mut view = instance.store().view(tenant).await?;
    let log = match look(instance, &mut *view, sink, tenant, ring, own).await {
        Err(Failure::Store(StoreError::Damaged(_))) => {
            drop(view);
            return unreadable(instance, sink, tenant, health).await;
        }
        looked => looked?,
    };
    health.was_readable(tenant);
    let left = log.size.saturating_sub(log.cursor.position);
    if left == 0 && log.odd.is_none() {
        // A key that is no more proves nothing: what it proved is written again under the one in use. And a sink without a row is
        // one that was handed nothing, for whom no month goes.
        drop(view);
        if log.standing == Marked::Before || log.from.is_none() {
            save(instance, &log, log.cursor.clone()).await?;
        }
        return Ok(Fed::Idle);
    }
    if log.odd.is_none() && !health.is_away() && rests(&log) {
        return Ok(Fed::Rests { left, since: log.cursor.failing_since });
    }
    let found = match log.odd {
        Some(code) => Err((SendError::Refused(code.to_owned()), None)),
        None => batch_of(instance, &mut *view, sink, &log).await?,
    };
    drop(view);
    let sent = match &found {
        Ok(batch) => send_parts(sink, tenant, batch, health).await,
        Err((error, at)) => Err((error.clone(), *at)),
    };
    match sent {
        Ok(count) => {
            let next = found.as_ref().map_or(log.cursor.position, |batch| batch.after(count));
            took(instance, sink, &log, count, next, health).await
        }
        Err((error, at)) => failed(instance, sink, &log, error, at, left, health).await,
    }
}

async fn look(
    instance: &Instance,
    view: &mut dyn View,
    sink: &dyn AuditSink,
    tenant: TenantId,
    ring: Arc<Keyring>,
    own: Option<Arc<Keyring>>,
) -> Result<Log, Failure> {
    let now = instance.now();
    let known = view.sink_cursors().await?.into_iter().find(|cursor| cursor.sink == sink.name());
    let from = known.as_ref().map(|cursor| cursor.position);
    let standing = known.as_ref().map_or(Marked::Now, |cursor| cursor.standing(&ring, tenant));
    let head = view.log_head().await?.size;
    let checkpoint = match own {
        Some(own) => newest_head(instance, view, tenant, &own).await.map_err(|error| match error {
            SequenceError::Failed(failure) => failure,
            _ => StoreError::Damaged("checkpoint").into(),
        })?,
        None if sink.wants_proofs() => view.checkpoint().await?,
        None => None,
    };
    let size = match (&checkpoint, sink.wants_proofs()) {
        (Some(checkpoint), _) => checkpoint.size.min(head),
        (None, true) => 0,
        (None, false) => head,
    };
    let mut cursor = known.unwrap_or_else(|| SinkCursor::new(sink.name(), now));
    let odd = if standing == Marked::Never {
        // Somebody who holds the store moved it. Where it was nobody knows: told, and all of it is sent again.
        cursor = SinkCursor::new(sink.name(), now);
        Some("cursor.moved")
    } else if cursor.position > head {
        // It was there, and the log is shorter now: it was put back. Told, and what comes from here on is sent.
        cursor.position = head;
        Some("cursor.beyond")
    } else {
        None
    };
    Ok(Log { tenant, ring, now, from, cursor, standing, size, checkpoint, odd })
}

fn rests(log: &Log) -> bool {
    log.cursor.failures > 0 && log.now < log.cursor.updated_at.plus_seconds(rest(log.cursor.failures))
}

/// What the sink is handed next, or why it cannot be handed it and at which place.
type Found = Result<Batch, (SendError, Option<u64>)>;

async fn batch_of(instance: &Instance, view: &mut dyn View, sink: &dyn AuditSink, log: &Log) -> Result<Found, Failure> {
    let (position, checkpoint) = (log.cursor.position, log.checkpoint.as_ref());
    match batch::next(instance, view, sink, log.tenant, position, log.size, checkpoint).await {
        Ok(batch) => Ok(Ok(batch)),
        Err(NoBatch::Damaged(at)) => Ok(Err((SendError::Refused(DAMAGED.to_owned()), Some(at)))),
        Err(NoBatch::Failed(failure)) => Err(failure),
    }
}

/// Hands the sink a batch. When it refuses it, half of it, down to a single event: what is before the one that it refuses gets
/// there, and its place is known. Gives how many events it took.
async fn send_parts(
    sink: &dyn AuditSink,
    log: TenantId,
    batch: &Batch,
    health: &mut Health,
) -> Result<usize, (SendError, Option<u64>)> {
    let most = batch.events.len();
    if most == 0 {
        return Ok(0);
    }
    let mut count = health.at_once(log, most);
    loop {
        let part = batch.events.get(..count).unwrap_or_default();
        match send(sink, part).await {
            Ok(()) => {
                health.took(log, count, most);
                return Ok(count);
            }
            Err(SendError::Refused(_)) if count > 1 => count /= 2,
            Err(error @ SendError::Refused(_)) => {
                health.refused_one(log);
                return Err((error, part.first().map(|event| event.index)));
            }
            Err(error) => return Err((error, None)),
        }
    }
}

async fn send(sink: &dyn AuditSink, events: &[super::Outgoing]) -> Result<(), SendError> {
    match tokio::time::timeout(PATIENCE, sink.send(events)).await {
        Ok(sent) => sent,
        Err(_) => Err(SendError::Away("timeout".to_owned())),
    }
}

async fn took(
    instance: &Instance,
    sink: &dyn AuditSink,
    log: &Log,
    count: usize,
    next: u64,
    health: &mut Health,
) -> Result<Fed, Failure> {
    // Nothing was sent where there was nothing of its kind: that tells nothing of its health.
    let recovered = log.cursor.told && count > 0;
    let moved = SinkCursor {
        position: next,
        failing_since: None,
        failures: 0,
        reason: None,
        told: log.cursor.told && !recovered,
        updated_at: log.now,
        ..log.cursor.clone()
    };
    save(instance, log, moved).await?;
    if count > 0 {
        health.was_there();
    }
    if recovered {
        tell(instance, sink, log.tenant, None).await?;
    }
    let events = u64::try_from(count).unwrap_or(u64::MAX);
    Ok(Fed::Took { events, left: log.size.saturating_sub(next) })
}

async fn failed(
    instance: &Instance,
    sink: &dyn AuditSink,
    log: &Log,
    error: SendError,
    at: Option<u64>,
    left: u64,
    health: &mut Health,
) -> Result<Fed, Failure> {
    let before = &log.cursor;
    let tells = match &error {
        // A node that starts while the sink is away finds in the cursor that it was tried in vain.
        SendError::Away(_) => health.was_away(log.now) && before.failures == 0,
        SendError::Refused(code) => {
            health.was_there();
            !before.told || before.reason.as_ref() != Some(code)
        }
    };
    let failing = SinkCursor {
        position: at.unwrap_or(before.position),
        failing_since: before.failing_since.or(Some(log.now)),
        failures: before.failures.saturating_add(1),
        reason: Some(error.code().to_owned()),
        told: before.told || tells,
        updated_at: log.now,
        ..before.clone()
    };
    save(instance, log, failing).await?;
    if tells {
        tell(instance, sink, log.tenant, Some((&error, at))).await?;
    }
    Ok(Fed::Failed { error, at, left })
}

/// What the store keeps of the sinks of this log, or of its head, cannot be read: told once, by each process that finds it.
async fn unreadable(
    instance: &Instance,
    sink: &dyn AuditSink,
    tenant: TenantId,
    health: &mut Health,
) -> Result<Fed, Failure> {
    let error = SendError::Refused(DAMAGED.to_owned());
    if health.was_unreadable(tenant) {
        tell(instance, sink, tenant, Some((&error, None))).await?;
    }
    Ok(Fed::Failed { error, at: None, left: 0 })
}

/// Keeps where the sink is. One of the places that commit without an event (ADR 0004): an event for each step would be handed on
/// in the next one, for ever.
async fn save(instance: &Instance, log: &Log, cursor: SinkCursor) -> Result<(), Failure> {
    let cursor = proven(&log.ring, log.tenant, cursor)?;
    let mut tx = instance.store().begin(log.tenant).await?;
    match tx.save_sink_cursor(&cursor, log.from).await {
        Ok(()) => Ok(tx.commit().await?),
        // Another node was quicker, or somebody let it pass over: it is where they put it. What was sent twice has its id.
        Err(StoreError::Changed(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Tells in the platform's log that a sink takes no events of a log, and why; or that it does again.
async fn tell(
    instance: &Instance,
    sink: &dyn AuditSink,
    log: TenantId,
    failed: Option<(&SendError, Option<u64>)>,
) -> Result<(), Failure> {
    let request = RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "audit-sinks",
        method: "JOB",
    };
    let (kind, outcome) = match failed {
        Some(_) => (EventKind::SinkFailed, Outcome::SeriousFailure),
        None => (EventKind::SinkRecovered, Outcome::Success),
    };
    let mut event = Event::new(kind)
        .outcome(outcome)
        .with("sink", Detail::Names(vec![sink.name().to_owned()]))
        .with("kind", Detail::Code(sink.kind().as_str()))
        .with("log", Detail::Id(log.to_string()));
    if let Some((error, at)) = failed {
        event = event
            .with("reason", Detail::Id(error.code().to_owned()))
            .with("what", Detail::Code(if matches!(error, SendError::Away(_)) { "away" } else { "refused" }));
        if let Some(at) = at {
            event = event.with("index", Detail::Count(at));
        }
    }
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, vec![event]).await.map(drop)
}
