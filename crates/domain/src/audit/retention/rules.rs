//! How long a log is kept and what holds it, as rows and the log itself say. Where the two differ, what keeps more counts, and it is
//! told: whoever writes the store can change a row and put events into the queue, but takes none out of the log, and makes no proof of
//! ours.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Hold, MAX_MONTHS, Retention};
use crate::{
    Instance,
    audit::{
        EventFilter, EventKind, LoggedEvent, damage,
        guard::{Finding, IntegrityCheck, is_in_tree},
        proof, sequence,
    },
    ids::{EventId, TenantId},
    instance::Failure,
    keyring::Keyring,
    store::{StoreError, View},
    time::Timestamp,
};

/// What the proof of an event that keeps others or lets them go is derived for.
const MARK: &str = "chancery/audit/retention/1";
/// What an event says that places a hold.
const PLACES: &[u8] = b"place";
/// More of these events nobody reads one by one, where one of them is damaged.
const MAX_EACH: u32 = 10_000;
const KINDS: [EventKind; 3] = [EventKind::RetentionChanged, EventKind::HoldPlaced, EventKind::HoldLifted];

/// What keeps a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::audit) struct Rules {
    /// How long it is kept.
    pub(in crate::audit) retention: Retention,
    /// What holds it, by name.
    pub(super) holds: Vec<Hold>,
    /// Where rows and log differ: the place of the event that a row should say the same as; 0 if there is none.
    pub(in crate::audit) differ: Vec<Finding>,
    /// Nothing with a proof says how long the log is kept, as builds before proofs left it; by the row it is kept for no less. Whoever may
    /// says it again.
    pub(in crate::audit) unconfirmed: bool,
}

/// What the log says.
#[derive(Default)]
struct Said {
    kept: Kept,
    placed: Vec<(u64, Hold)>,
    lifted: BTreeSet<EventId>,
}

/// What the log says of how long it is kept.
#[derive(Default, Clone, Copy)]
struct Kept {
    /// The place of the event that said it last; 0 if none did.
    at: u64,
    /// What that said.
    last: Retention,
    /// What counts: of what lacks a proof the most that any of it said.
    most: Retention,
    proven: bool,
}

/// What builds before proofs said, in the log's tree and before anything with a proof: all of it that keeps more counts.
#[derive(Default)]
struct Earlier {
    kept: Kept,
    placed: Vec<(u64, Hold)>,
}

impl Rules {
    /// Those of a log. Without its keys nobody can say that a hold was lifted or that months go by themselves: then none was, and none do.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: [`StoreError::Damaged`] if the log does not tell for sure how long it is to be kept.
    pub(in crate::audit) async fn of(view: &mut dyn View, ring: Option<&Keyring>) -> Result<Self, StoreError> {
        let row = match view.retention().await {
            Err(StoreError::Damaged(_)) => None,
            row => row?,
        };
        let rows = view.holds().await?;
        let said = Said::of(view, ring).await?;
        let (mut holds, mut differ) = (rows.clone(), Vec::new());
        for (at, placed) in &said.placed {
            if !rows.iter().any(|row| row.is(placed)) {
                holds.push(placed.clone());
                differ.push(Finding { check: IntegrityCheck::HoldRow, at: *at });
            }
        }
        for row in rows.iter().filter(|row| said.placed.iter().all(|(_, placed)| placed.event != row.event)) {
            if said.lifted.contains(&row.event) || !is_placed(view, row).await? {
                differ.push(Finding { check: IntegrityCheck::HoldRow, at: 0 });
                break;
            }
        }
        holds.sort_by(|one, other| one.name.cmp(&other.name));
        let row = row.unwrap_or_default();
        let Kept { at, last, most, proven } = said.kept;
        let retention = row.stricter(most);
        let fits = row.is(last) || (!proven && row.is(retention));
        if !fits {
            differ.push(Finding { check: IntegrityCheck::RetentionRow, at });
        }
        let is_default = row.is(Retention::default()) && retention.is(Retention::default());
        let mut unconfirmed = fits && !proven && !is_default;
        if ring.is_none() {
            differ.clear();
            unconfirmed = false;
        }
        Ok(Self { retention, holds, differ, unconfirmed })
    }

    /// The same, and where rows and log differ also when nothing is queued any more: what was said a moment ago is in the log then.
    ///
    /// # Errors
    ///
    /// As [`Self::of`].
    pub(in crate::audit) async fn settled(
        instance: &Instance,
        tenant: TenantId,
        ring: Option<&Keyring>,
    ) -> Result<Self, StoreError> {
        let mut view = instance.store().fresh_view(tenant).await?;
        let before = Self::of(&mut *view, ring).await?;
        drop(view);
        if before.differ.is_empty() && !before.unconfirmed {
            return Ok(before);
        }
        // Of a log that cannot go on, what is there counts.
        let _ = sequence::sequence(instance, tenant).await;
        let mut view = instance.store().fresh_view(tenant).await?;
        let mut rules = Self::of(&mut *view, ring).await?;
        rules.differ.retain(|finding| before.differ.contains(finding));
        Ok(rules)
    }

    /// Whether something that was recorded between these moments, both included, is held.
    pub(super) fn hold(&self, oldest: Timestamp, newest: Timestamp) -> bool {
        self.holds.iter().any(|hold| hold.holds(oldest, newest))
    }
}

impl Hold {
    /// Whether it is this very hold, with this name and these bounds.
    fn is(&self, other: &Self) -> bool {
        (self.event, &self.name, self.from, self.to) == (other.event, &other.name, other.from, other.to)
    }
}

impl Retention {
    /// Whether both say the same.
    fn is(self, other: Self) -> bool {
        (self.months, self.automatic, self.archive_first) == (other.months, other.automatic, other.archive_first)
    }

    /// What keeps more of both.
    fn stricter(self, other: Self) -> Self {
        Self {
            months: self.months.max(other.months),
            automatic: self.automatic && other.automatic,
            archive_first: self.archive_first || other.archive_first,
            changed_at: self.changed_at,
        }
    }
}

impl Said {
    async fn of(view: &mut dyn View, ring: Option<&Keyring>) -> Result<Self, StoreError> {
        let Some(origin) = view.log_origin().await? else { return Ok(Self::default()) };
        let size = view.log_head().await?.size;
        let (mut placed, mut lifted, mut newest, mut first) = (Vec::new(), BTreeSet::new(), None, None);
        for found in events(view, &origin).await? {
            let logged = match found {
                Ok(logged) => logged,
                // It may have held anything; two people can say that it did not.
                Err(place) if place < size => {
                    placed.push((place, unreadable(place)));
                    continue;
                }
                Err(_) => continue,
            };
            let Ok(core) = serde_json::from_str::<Value>(&logged.event.core) else { continue };
            if logged.event.kind == EventKind::HoldPlaced.as_str() {
                placed.push((logged.index, placed_by(&logged, &core)));
            } else if logged.event.kind == EventKind::HoldLifted.as_str() {
                if let Some(hold) = ring.and_then(|ring| lifted_by(ring, &logged, &core))
                    && is_in_tree(view, &logged).await?
                {
                    first = first.or(Some(logged.index));
                    lifted.insert(hold);
                }
            } else if let Some(retention) = ring.and_then(|ring| said_by(ring, &logged, &core)) {
                if first.is_none() && is_in_tree(view, &logged).await? {
                    first = Some(logged.index);
                }
                newest = Some((logged, retention));
            }
        }
        let Earlier { kept, placed: mut all } =
            Earlier::of(view, first.unwrap_or(size).min(size), ring.is_some()).await?;
        all.append(&mut placed);
        all.retain(|(_, hold)| !lifted.contains(&hold.event));
        if let Some((logged, _)) = &newest
            && !is_in_tree(view, logged).await?
        {
            // Of ours, and elsewhere than the tree says: which one is the newest, nobody knows.
            return Err(StoreError::Damaged("event"));
        }
        let proven =
            |(logged, last): (LoggedEvent, Retention)| Kept { at: logged.index, last, most: last, proven: true };
        Ok(Self { kept: newest.map_or(kept, proven), placed: all, lifted })
    }
}

impl Earlier {
    /// What lies before this place; where `lifts` count, what they lifted does not hold.
    async fn of(view: &mut dyn View, end: u64, lifts: bool) -> Result<Self, StoreError> {
        let mut places = view.unfiled_rules().await?;
        places.retain(|place| *place < end);
        let (mut earlier, mut lost) = (Self::default(), Vec::new());
        for (place, found) in places.clone().into_iter().zip(damage::at(view, places).await?) {
            let in_tree = match found {
                Ok(logged) if is_in_tree(view, &logged).await? => Some(logged),
                Ok(_) | Err(_) => None,
            };
            let core = in_tree.as_ref().and_then(|logged| serde_json::from_str::<Value>(&logged.event.core).ok());
            match in_tree.zip(core) {
                Some((logged, core)) => earlier.hear(&logged, &core, lifts),
                // It may have held anything.
                None => lost.push((place, unreadable(place))),
            }
        }
        earlier.placed.append(&mut lost);
        Ok(earlier)
    }

    fn hear(&mut self, logged: &LoggedEvent, core: &Value, lifts: bool) {
        let text = |pointer: &str| core.pointer(pointer).and_then(Value::as_str);
        if logged.event.kind == EventKind::HoldPlaced.as_str() {
            self.placed.push((logged.index, placed_by(logged, core)));
        } else if logged.event.kind == EventKind::HoldLifted.as_str() {
            let placed = text("/detail/placed");
            let is_it = |hold: &Hold| match placed {
                Some(placed) => hold.event.to_string() == placed,
                None => text("/detail/hold/0") == Some(hold.name.as_str()),
            };
            self.placed.retain(|(_, hold)| !(lifts && is_it(hold)));
        } else if let Some(last) = retention_in(logged, core).filter(|last| last.months <= MAX_MONTHS) {
            self.kept = Kept { at: logged.index, last, most: self.kept.most.stricter(last), proven: false };
        }
    }
}

/// Whether the log tells of the hold of a row, in the event that the row names. What an earlier build lifted is found there alone.
async fn is_placed(view: &mut dyn View, row: &Hold) -> Result<bool, StoreError> {
    let logged = match view.logged_event(row.event).await {
        Err(StoreError::Damaged(_)) => return Ok(false),
        logged => logged?,
    };
    let Some(logged) = logged.filter(|logged| logged.event.kind == EventKind::HoldPlaced.as_str()) else {
        return Ok(false);
    };
    let Ok(core) = serde_json::from_str::<Value>(&logged.event.core) else { return Ok(false) };
    Ok(placed_by(&logged, &core).is(row) && is_in_tree(view, &logged).await?)
}

/// The events of a log that say what keeps it, in its order; in the place of one that is damaged stands where it lies.
async fn events(view: &mut dyn View, origin: &str) -> Result<damage::Found, StoreError> {
    match view.events_on(origin, &KINDS).await {
        Err(StoreError::Damaged(_)) => {}
        found => return Ok(found?.into_iter().map(Ok).collect()),
    }
    let mut filter = EventFilter::after(None, MAX_EACH);
    filter.resource = Some(origin.to_owned());
    filter.kinds = KINDS.iter().map(|kind| kind.as_str().to_owned()).collect();
    damage::each(view, &filter).await
}

/// The hold that an event placed. What it does not say bounds nothing.
fn placed_by(logged: &LoggedEvent, core: &Value) -> Hold {
    let text = |pointer: &str| core.pointer(pointer).and_then(Value::as_str);
    let time = |pointer: &str| text(pointer).and_then(|at| at.parse().ok());
    Hold {
        name: text("/detail/hold/0").map_or_else(|| logged.event.id.to_string(), str::to_owned),
        from: time("/detail/from"),
        to: time("/detail/to"),
        placed_by: logged.event.actor.clone(),
        placed_at: logged.event.recorded_at,
        event: logged.event.id,
    }
}

/// What stands for an event that may have placed a hold.
fn unreadable(place: u64) -> Hold {
    Hold {
        name: format!("damaged-{place}"),
        from: None,
        to: None,
        placed_by: "system".to_owned(),
        placed_at: Timestamp::from_micros(0),
        event: EventId::from_bytes(u128::from(place).to_be_bytes()),
    }
}

/// How many holds of rows the log tells of in an event of ours. The others hold as well; they are nobody's to be counted.
pub(super) async fn count_ours(view: &mut dyn View, ring: &Keyring) -> Result<usize, StoreError> {
    let mut ours = 0;
    for row in view.holds().await? {
        let logged = match view.logged_event(row.event).await {
            Err(StoreError::Damaged(_)) => continue,
            logged => logged?,
        };
        let Some(logged) = logged else { continue };
        let Ok(core) = serde_json::from_str::<Value>(&logged.event.core) else { continue };
        let is_ours = placed_by(&logged, &core).is(&row) && proof::holds(ring, MARK, &logged, &core, &[PLACES]);
        if is_ours && is_in_tree(view, &logged).await? {
            ours += 1;
        }
    }
    Ok(ours)
}

/// Which hold an event of ours lifted.
fn lifted_by(ring: &Keyring, logged: &LoggedEvent, core: &Value) -> Option<EventId> {
    let hold: EventId = core.pointer("/detail/placed")?.as_str()?.parse().ok()?;
    proof::holds(ring, MARK, logged, core, &[&lift_parts(hold)]).then_some(hold)
}

/// How long an event of ours said that the log is kept.
fn said_by(ring: &Keyring, logged: &LoggedEvent, core: &Value) -> Option<Retention> {
    let is_ours = |said: &Retention| proof::holds(ring, MARK, logged, core, &[&retention_parts(*said)]);
    retention_in(logged, core).filter(is_ours)
}

/// How long an event says that the log is kept.
fn retention_in(logged: &LoggedEvent, core: &Value) -> Option<Retention> {
    let yes = |name: &str| core.pointer(name).and_then(Value::as_str) == Some("yes");
    Some(Retention {
        months: core.pointer("/detail/months")?.as_u64()?.try_into().ok()?,
        automatic: yes("/detail/automatic"),
        archive_first: yes("/detail/archive_first"),
        changed_at: Some(logged.event.recorded_at),
    })
}

fn lift_parts(hold: EventId) -> Vec<u8> {
    [b"lift".as_slice(), &hold.to_bytes()].concat()
}

fn retention_parts(Retention { months, automatic, archive_first, .. }: Retention) -> Vec<u8> {
    [b"keep".as_slice(), &months.to_be_bytes(), &[automatic.into(), archive_first.into()]].concat()
}

/// The proof that an event of this id places a hold.
pub(super) fn place_proof(ring: &Keyring, event: EventId) -> Result<String, Failure> {
    proof::make(ring, MARK, event, &[PLACES])
}

/// The proof that an event of this id lifts this hold: a code under a key of the tenant.
pub(super) fn lift_proof(ring: &Keyring, event: EventId, hold: EventId) -> Result<String, Failure> {
    proof::make(ring, MARK, event, &[&lift_parts(hold)])
}

/// The proof that an event of this id says how long the log is kept.
pub(super) fn retention_proof(ring: &Keyring, event: EventId, retention: Retention) -> Result<String, Failure> {
    proof::make(ring, MARK, event, &[&retention_parts(retention)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_retentions_the_one_that_keeps_more_counts() {
        let of = |months, automatic, archive_first| Retention { months, automatic, archive_first, changed_at: None };
        assert_eq!(of(72, true, false).stricter(of(120, false, true)), of(120, false, true));
        assert_eq!(of(84, true, true).stricter(of(72, true, false)), of(84, true, true));
        assert_eq!(of(72, true, false).stricter(of(72, true, false)), of(72, true, false));
    }

    #[test]
    fn what_is_proven_of_one_is_no_proof_of_another() {
        let of = |months, automatic, archive_first| Retention { months, automatic, archive_first, changed_at: None };
        let said =
            [of(72, true, false), of(72, false, true), of(73, true, false), of(72, true, true)].map(retention_parts);
        let lifts = [lift_parts(EventId::from_bytes([1; 16])), lift_parts(EventId::from_bytes([2; 16]))];
        let all: BTreeSet<Vec<u8>> = said.into_iter().chain(lifts).chain([PLACES.to_vec()]).collect();
        assert_eq!(all.len(), 7);
    }

    #[test]
    fn an_event_that_nobody_can_read_holds_all() {
        let hold = unreadable(7);
        assert!(hold.holds(Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX)));
        assert_ne!(hold.event, unreadable(8).event);
    }
}
