//! Witnesses: others who sign the head of the platform's log once they saw that it only grew, with the time of their clock.

use std::sync::Arc;

use async_trait::async_trait;
use chancery_crypto::{
    checkpoint::{Checkpoint, SignedCheckpoint},
    cosignature::{AddCheckpoint, CosignerKey},
    tiles::Tiles,
};

use super::{Cosignature, heads::Filed};
use crate::{
    Instance,
    audit::{
        StoredCheckpoint,
        sequence::{self, SequenceError, with_tiles},
    },
    ids::TenantId,
    instance::Failure,
    store::{StoreError, View},
    time::Timestamp,
};

/// How often one witness is asked in one turn: it may know another head than we thought.
const ASKED: u32 = 3;
/// So many heads are passed over that have rows of witnesses, and not the signatures of those that are asked. Witnesses change, and what
/// others signed goes back years.
const PASSED_OVER: usize = 1_024;

/// What a witness answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// Signature lines, its own among them.
    Cosigned(String),
    /// 409: the head that it saw last has this size.
    SawLast(u64),
}

/// Why a witness did not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// It did not answer.
    #[error("the witness does not answer")]
    Unreachable,
    /// It answered with this status.
    #[error("the witness refuses with status {0}")]
    Refused(u16),
    /// What it answered is no cosignature of its key over this head.
    #[error("the witness's answer is no cosignature of its key")]
    Unusable,
    /// It saw a larger log than there is: the store was put back, or somebody else signs with its key.
    #[error("the witness saw a head of {0} events, and the log is smaller")]
    SawMore(u64),
}

/// The way to a witness: [C2SP tlog-witness](https://c2sp.org/tlog-witness).
#[async_trait]
pub trait WitnessPort: Send + Sync {
    /// `POST …/add-checkpoint` with this body.
    async fn add_checkpoint(&self, body: &str) -> Result<Answered, WitnessError>;
}

/// One witness.
#[derive(Clone)]
pub struct Witness {
    /// Its name and public key.
    pub key: CosignerKey,
    /// The way to it.
    pub port: Arc<dyn WitnessPort>,
}

/// Who witnesses, and how many of them it takes.
#[derive(Clone)]
pub struct Witnesses {
    /// All of them.
    pub list: Vec<Witness>,
    /// So many make a head witnessed.
    pub quorum: u32,
    /// Whether this process is not ready once nobody witnessed for `max_age_seconds`. Otherwise the age is told.
    pub strict: bool,
    /// See `strict`.
    pub max_age_seconds: u64,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cosigned {
    /// The head's size.
    pub size: u64,
    /// How many have signed it.
    pub signed: u32,
    /// Who did not, and why.
    pub failed: Vec<(String, WitnessError)>,
}

/// Asks every witness that has not signed the newest head of the platform's log, or not lately: a log that does not grow is
/// witnessed again and again, for its age says that somebody still looks. One that is away holds up nobody.
///
/// # Errors
///
/// [`SequenceError`]; what witnesses signed until then is kept.
pub async fn cosign(instance: &Instance) -> Result<Option<Cosigned>, SequenceError> {
    let Some(witnesses) = instance.guard().witnesses() else { return Ok(None) };
    let newest = sequence::checkpoint(instance, TenantId::PLATFORM).await?;
    let signed = SignedCheckpoint::parse(&newest.note).map_err(|_| SequenceError::Forked(TenantId::PLATFORM))?;
    let mut view = instance.store().fresh_view(TenantId::PLATFORM).await?;
    let already = kept_of(&mut *view, newest.size).await?;
    let mut came = Cosigned { size: newest.size, ..Cosigned::default() };
    let mut waiting = Vec::new();
    let (now, lately) = (instance.now().as_seconds(), witnesses.max_age_seconds / 3);
    for witness in &witnesses.list {
        // A row is not believed because it is there, and its time is the one that was signed.
        let ours = already.iter().find(|one| one.witness == witness.key.name());
        let signed_at = ours.and_then(|one| witness.key.verify(signed.checkpoint(), &one.line).ok());
        let age = signed_at.and_then(|at| Some(now.abs_diff(i64::try_from(at).ok()?)));
        if age.is_some_and(|age| age < lately) {
            came.signed += 1;
        } else {
            let last = view.newest_cosignature(witness.key.name()).await?;
            // A guess: it says itself what it saw. Nobody's row has it not asked at all.
            waiting.push((witness, last.map_or(0, |last| last.size.min(newest.size))));
        }
    }
    drop(view);
    for (witness, last) in waiting {
        match ask(instance, witness, &signed, last).await? {
            Ok(cosignature) => {
                keep(instance, witness, signed.checkpoint(), &cosignature).await?;
                came.signed += 1;
            }
            Err(error) => came.failed.push((witness.key.name().to_owned(), error)),
        }
    }
    look_for_witnesses(instance).await?;
    Ok(Some(came))
}

/// What is kept of witnesses of a head; nothing if somebody made it unreadable.
async fn kept_of(view: &mut dyn View, size: u64) -> Result<Vec<Cosignature>, StoreError> {
    match view.cosignatures(size).await {
        Err(StoreError::Damaged(_)) => Ok(Vec::new()),
        kept => kept,
    }
}

/// Keeps what a witness signed, unless it signed this head later. Whatever else lies in the place is somebody's, and goes.
async fn keep(
    instance: &Instance,
    witness: &Witness,
    head: &Checkpoint,
    new: &Cosignature,
) -> Result<(), SequenceError> {
    let mut tx = instance.store().begin(TenantId::PLATFORM).await?;
    let kept = kept_of(&mut *tx, head.size).await?;
    let ours = kept.iter().find(|one| one.witness == new.witness);
    let signed_at = ours.and_then(|one| witness.key.verify(head, &one.line).ok()).and_then(|at| i64::try_from(at).ok());
    if signed_at.is_none_or(|at| at < new.cosigned_at.as_seconds()) {
        tx.put_cosignature(new).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// A head of the platform's log with what the witnesses that are asked signed of it.
pub(in crate::audit) struct Witnessed {
    /// The head, with their lines.
    pub(in crate::audit) note: SignedCheckpoint,
    /// When each of them signed, the latest first.
    times: Vec<u64>,
}

impl Witnessed {
    /// What they signed of this head. Rows are not believed, only signatures, each of the witness that its row names.
    pub(in crate::audit) async fn of(
        instance: &Instance,
        view: &mut dyn View,
        head: &StoredCheckpoint,
    ) -> Result<Self, SequenceError> {
        let note = SignedCheckpoint::parse(&head.note).map_err(|_| SequenceError::Forked(TenantId::PLATFORM))?;
        let rows = kept_of(view, head.size).await?;
        let asked = instance.guard().witnesses().map(|witnesses| witnesses.list.as_slice()).unwrap_or_default();
        let (mut lines, mut times) = (Vec::new(), Vec::new());
        for row in rows.iter().filter(|row| row.line.ends_with('\n')) {
            let witness = asked.iter().find(|witness| witness.key.name() == row.witness);
            if let Some(at) = witness.and_then(|witness| witness.key.verify(note.checkpoint(), &row.line).ok()) {
                lines.push(row.line.as_str());
                times.push(at);
            }
        }
        times.sort_unstable_by(|one, other| other.cmp(one));
        let note = note.with_lines(lines).map_err(|_| Failure::Internal("a cosignature's line"))?;
        Ok(Self { note, times })
    }

    /// The moment at which so many of them had signed, in seconds; `None` if they are fewer.
    pub(super) fn full_at(&self, quorum: u32) -> Option<u64> {
        let last = usize::try_from(quorum).ok()?.checked_sub(1)?;
        self.times.get(last).copied()
    }
}

/// The head of this size, with what witnesses signed of it; `None` if there is none, or what is stored is no head. Of several rows the one
/// that a witness signed.
pub(super) async fn witnessed_of(
    instance: &Instance,
    view: &mut dyn View,
    size: u64,
) -> Result<Option<(StoredCheckpoint, Witnessed)>, SequenceError> {
    let (mut rows, mut found) = (Filed::under(size), None);
    while let Some(stored) = rows.next(view).await? {
        let witnessed = match Witnessed::of(instance, view, &stored).await {
            // The scrubber tells of it.
            Err(SequenceError::Forked(_)) => continue,
            witnessed => witnessed?,
        };
        if !witnessed.times.is_empty() {
            return Ok(Some((stored, witnessed)));
        }
        found = found.or(Some((stored, witnessed)));
    }
    Ok(found)
}

/// The newest head of the platform's log that a quorum of witnesses signed indeed, whatever rows there are of others.
pub(super) async fn newest_witnessed(
    instance: &Instance,
    view: &mut dyn View,
) -> Result<Option<(StoredCheckpoint, Witnessed)>, SequenceError> {
    let Some(Witnesses { quorum, .. }) = instance.guard().witnesses() else { return Ok(None) };
    let mut upto = view.log_head().await?.size;
    for _ in 0..PASSED_OVER {
        let Some(size) = view.newest_cosigned(upto, *quorum).await? else { break };
        let found = witnessed_of(instance, view, size).await?;
        if let Some(found) = found.filter(|(_, witnessed)| witnessed.full_at(*quorum).is_some()) {
            return Ok(Some(found));
        }
        let Some(before) = size.checked_sub(1) else { break };
        upto = before;
    }
    Ok(None)
}

/// Looks up when a quorum of witnesses signed a head last, whichever node asked them.
///
/// # Errors
///
/// [`SequenceError`].
pub async fn look_for_witnesses(instance: &Instance) -> Result<(), SequenceError> {
    let Some(Witnesses { quorum, .. }) = instance.guard().witnesses() else { return Ok(()) };
    let mut view = instance.store().fresh_view(TenantId::PLATFORM).await?;
    let Some((_, witnessed)) = newest_witnessed(instance, &mut *view).await? else { return Ok(()) };
    if let Some(at) = witnessed.full_at(*quorum).and_then(|at| i64::try_from(at).ok()) {
        instance.guard().note_witnessed(Timestamp::from_seconds(at));
    }
    Ok(())
}

/// Asks one witness, which says which head it saw last if we were wrong about that.
async fn ask(
    instance: &Instance,
    witness: &Witness,
    signed: &SignedCheckpoint,
    mut old: u64,
) -> Result<Result<Cosignature, WitnessError>, SequenceError> {
    let head = signed.checkpoint();
    for _ in 0..ASKED {
        if old > head.size {
            return Ok(Err(WitnessError::SawMore(old)));
        }
        let mut view = instance.store().fresh_view(TenantId::PLATFORM).await?;
        let mut tiles = Tiles::default();
        let prove = |tiles: &Tiles| tiles.consistency_proof(old, head.size);
        let proof = with_tiles(&mut *view, TenantId::PLATFORM, &mut tiles, prove).await?;
        drop(view);
        let request = AddCheckpoint { old, proof, checkpoint: signed.clone() };
        match witness.port.add_checkpoint(&request.to_text()).await {
            Ok(Answered::Cosigned(lines)) => return Ok(kept(witness, head, &lines)),
            Ok(Answered::SawLast(size)) if size == old => return Ok(Err(WitnessError::Refused(409))),
            Ok(Answered::SawLast(size)) => old = size,
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Err(WitnessError::Refused(409)))
}

/// The line of the witness's own key; others are ignored.
fn kept(witness: &Witness, head: &Checkpoint, lines: &str) -> Result<Cosignature, WitnessError> {
    let mut lines = lines.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let ours = lines.find_map(|line| Some((line, witness.key.verify(head, line).ok()?)));
    let (line, seconds) = ours.ok_or(WitnessError::Unusable)?;
    let seconds = i64::try_from(seconds).map_err(|_| WitnessError::Unusable)?;
    Ok(Cosignature {
        size: head.size,
        witness: witness.key.name().to_owned(),
        line: line.to_owned(),
        cosigned_at: Timestamp::from_seconds(seconds),
    })
}
