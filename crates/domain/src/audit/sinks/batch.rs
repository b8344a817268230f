//! What a sink is handed next.

use chancery_crypto::proof::LogProof;

use super::{AuditSink, Outgoing, Takes};
use crate::{
    audit::{
        EventKind, LoggedEvent, StoredCheckpoint,
        follow::{self, Piece},
        sequence::{SequenceError, prove, prove_all},
    },
    ids::TenantId,
    instance::Failure,
    store::{StoreError, View},
};

/// What one delivery may weigh: what servers in front of receivers take when nobody says more.
const MAX_WEIGHT: usize = 1 << 20;
/// What an event weighs beside its leaf and its proof.
const FRAME: usize = 3_072;

/// Events of a log, and where a sink is when it has them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Outgoing>,
    pub(super) next: u64,
}

impl Batch {
    /// Keeps the first so many; the others come the next time.
    fn cut(&mut self, count: usize) {
        self.next = self.after(count);
        self.events.truncate(count);
    }

    /// Where a sink is when it has the first so many.
    pub(super) fn after(&self, count: usize) -> u64 {
        self.events.get(count).map_or(self.next, |event| event.index)
    }
}

/// Why there is none.
pub(super) enum NoBatch {
    /// What is stored of the event at this place is not what was logged, or cannot be proven.
    Damaged(u64),
    /// Something beneath failed.
    Failed(Failure),
}

impl From<Failure> for NoBatch {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The next events from `position` on that the sink takes, of the first `size` of the log: as many as it is handed at once and as
/// weigh no more than a delivery may. What is before a damaged row comes without it.
pub(super) async fn next(
    view: &mut dyn View,
    sink: &dyn AuditSink,
    log: TenantId,
    position: u64,
    size: u64,
    checkpoint: Option<&StoredCheckpoint>,
) -> Result<Batch, NoBatch> {
    let security = EventKind::ALL.iter().filter(|kind| sink.takes() == Takes::Security && kind.is_security());
    let kinds: Vec<String> = security.map(|kind| kind.as_str().to_owned()).collect();
    let mut piece = follow::piece(view, &kinds, position, size, sink.batch().max(1)).await.map_err(Failure::from)?;
    let proofs = match checkpoint {
        Some(checkpoint) => proofs(view, log, &mut piece, checkpoint).await?,
        None => Vec::new(),
    };
    let Piece { events, next, damaged } = piece;
    if damaged && events.is_empty() {
        return Err(NoBatch::Damaged(next));
    }
    let mut batch = Batch { events: outgoing(view, log, events, proofs).await?, next };
    let fits = fitting(&batch.events);
    batch.cut(fits);
    Ok(batch)
}

/// The proofs of a piece; of what cannot be proven on it is cut off.
async fn proofs(
    view: &mut dyn View,
    log: TenantId,
    piece: &mut Piece,
    checkpoint: &StoredCheckpoint,
) -> Result<Vec<LogProof>, Failure> {
    let indexes: Vec<u64> = piece.events.iter().map(|event| event.index).collect();
    if let Some(all) = proven(prove_all(view, log, &indexes, checkpoint).await)? {
        return Ok(all);
    }
    // A tile is damaged: what lies under others has its proof.
    let mut proofs = Vec::with_capacity(indexes.len());
    for (number, index) in indexes.into_iter().enumerate() {
        let Some(proof) = proven(prove(view, log, index, checkpoint).await)? else {
            piece.events.truncate(number);
            (piece.next, piece.damaged) = (index, true);
            break;
        };
        proofs.push(proof);
    }
    Ok(proofs)
}

/// What was proven; `None` if what is stored does not prove it.
fn proven<T>(proven: Result<T, SequenceError>) -> Result<Option<T>, Failure> {
    match proven {
        Ok(proven) => Ok(Some(proven)),
        Err(SequenceError::Forked(_) | SequenceError::RolledBack(_)) => Ok(None),
        Err(SequenceError::Failed(Failure::Store(StoreError::Damaged(_)))) => Ok(None),
        Err(SequenceError::Busy) => Err(Failure::Internal("a log that is read is busy")),
        Err(SequenceError::Failed(failure)) => Err(failure),
    }
}

async fn outgoing(
    view: &mut dyn View,
    tenant: TenantId,
    events: Vec<LoggedEvent>,
    proofs: Vec<LogProof>,
) -> Result<Vec<Outgoing>, Failure> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let origin = view.log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
    let mut proofs = proofs.into_iter();
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

/// No format makes more of an event: the leaf is in each as a text, which makes of a quote two letters, and its details again.
fn weight(event: &Outgoing) -> usize {
    3 * event.core.len() + 2 * event.proof.as_ref().map_or(0, String::len) + FRAME
}

/// How many of the first fit into one delivery; one at least.
fn fitting(events: &[Outgoing]) -> usize {
    let mut whole = 0;
    let fits = |event: &&Outgoing| {
        whole += weight(event);
        whole <= MAX_WEIGHT
    };
    events.iter().take_while(fits).count().max(1).min(events.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::formats::{self, Body, tests::sample};

    /// With so many details, the most that an application may give being 32, of so many words each.
    fn event(index: u64, details: usize, words: usize) -> Outgoing {
        let mut event = sample("app.step", 0);
        let mut core: serde_json::Value = serde_json::from_str(&event.core).unwrap();
        for n in 0..details {
            core["detail"][format!("d{n}")] = serde_json::json!(vec!["A"; words]);
            if n < 16 {
                core["sealed"][format!("s{n}")] = serde_json::json!("0".repeat(64));
            }
        }
        event.core = core.to_string();
        event.index = index;
        event
    }

    #[test]
    fn no_format_makes_more_of_an_event_than_its_weight() {
        for (details, words) in [(0, 0), (1, 1), (32, 0), (32, 1), (32, 100)] {
            let mut event = event(0, details, words);
            event.proof = Some("\n".repeat(3_000));
            let made = [
                formats::line(&event),
                formats::ocsf(&event).to_string(),
                formats::ecs_bulk(std::slice::from_ref(&event), "logs-chancery.audit-default"),
                formats::splunk(&event, Some("audit")),
                formats::syslog(&event, 13, "chancery.example", Body::Leaf),
            ];
            for text in made {
                assert!(text.len() <= weight(&event), "{} of {}: {text}", text.len(), weight(&event));
            }
        }
    }

    #[test]
    fn a_batch_is_weighed_and_not_counted() {
        let large: Vec<Outgoing> = (0..500).map(|index| event(index, 32, 100)).collect();
        let mut batch = Batch { events: large, next: 500 };
        let fits = fitting(&batch.events);
        assert!((2..100).contains(&fits), "{fits}");
        batch.cut(fits);
        assert_eq!((batch.events.len(), batch.next), (fits, u64::try_from(fits).unwrap()));
        let small: Vec<Outgoing> = (0..50).map(|index| event(index, 0, 0)).collect();
        assert_eq!((fitting(&small), fitting(&[])), (50, 0));
        let mut one = event(0, 0, 0);
        one.proof = Some("x".repeat(2 * MAX_WEIGHT));
        assert_eq!(fitting(&[one.clone(), one]), 1, "one at least");
    }
}
