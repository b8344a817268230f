//! How far a sink is, and the proof that nobody else moved it.

use crate::{
    ids::TenantId,
    keyring::{Keyring, KeyringError, ring::Marked},
    time::Timestamp,
};

/// What the code of a cursor is derived for.
const MARK: &str = "chancery/audit/sink/1";

/// How far a sink is in one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkCursor {
    /// Which sink.
    pub sink: String,
    /// The index of the event that it is handed next.
    pub position: u64,
    /// How many places of the log it passed over by somebody's word.
    pub skipped: u64,
    /// Since when it takes nothing.
    pub failing_since: Option<Timestamp>,
    /// How often in a row it was tried in vain.
    pub failures: u32,
    /// Why, as a code.
    pub reason: Option<String>,
    /// Whether the platform's log tells that it takes nothing, and not yet that it does again.
    pub told: bool,
    /// When it moved or was tried last.
    pub updated_at: Timestamp,
    /// A code over all of this under a key of the platform's log ([`proven`]).
    pub proof: Option<Vec<u8>>,
}

impl SinkCursor {
    /// At the beginning of a log.
    pub(super) fn new(sink: &str, now: Timestamp) -> Self {
        Self {
            sink: sink.to_owned(),
            position: 0,
            skipped: 0,
            failing_since: None,
            failures: 0,
            reason: None,
            told: false,
            updated_at: now,
            proof: None,
        }
    }
}

impl SinkCursor {
    fn parts(&self, log: TenantId) -> [Vec<u8>; 9] {
        let number = |number: u64| number.to_be_bytes().to_vec();
        let time = |at: Timestamp| at.as_micros().to_be_bytes().to_vec();
        [
            log.to_bytes().to_vec(),
            self.sink.as_bytes().to_vec(),
            number(self.position),
            number(self.skipped),
            self.failing_since.map(time).unwrap_or_default(),
            number(self.failures.into()),
            self.reason.as_ref().map(|reason| reason.as_bytes().to_vec()).unwrap_or_default(),
            vec![self.told.into()],
            time(self.updated_at),
        ]
    }

    /// Whether this is what was written of it, under one of the keys of `ring`, the platform's.
    pub(in crate::audit) fn standing(&self, ring: &Keyring, log: TenantId) -> Marked {
        let parts = self.parts(log);
        ring.marked(MARK, &parts.each_ref().map(Vec::as_slice), self.proof.as_deref().unwrap_or_default())
    }
}

/// The cursor with its proof: whoever holds the store and not the keys can take it back, so that events come twice, and cannot move
/// it on or make it rest, so that some never come. `ring` is the platform's, which outlives every tenant's.
///
/// # Errors
///
/// [`KeyringError`] if the platform's log has no key.
pub fn proven(ring: &Keyring, log: TenantId, cursor: SinkCursor) -> Result<SinkCursor, KeyringError> {
    let parts = cursor.parts(log);
    let proof = ring.mark(MARK, &parts.each_ref().map(Vec::as_slice))?;
    Ok(SinkCursor { proof: Some(proof.to_vec()), ..cursor })
}
