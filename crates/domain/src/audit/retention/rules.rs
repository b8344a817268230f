//! How long a log is kept and what holds it, as rows and the log itself say. Where the two differ, what keeps more counts, and it is
//! told: whoever writes the store can change a row and put events into the queue, but takes none out of the log, and makes no proof of
//! ours.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Hold, Retention};
use crate::{
    Instance,
    audit::{
        EventFilter, EventKind, LoggedEvent, damage,
        guard::{Finding, IntegrityCheck, is_in_tree},
        sequence,
    },
    ids::{EventId, TenantId},
    instance::Failure,
    keyring::{Keyring, ring::Marked},
    store::{StoreError, View},
    time::Timestamp,
};

/// What the proof of an event that lets others go is derived for.
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
    /// The row says how long the log is kept, no event of ours does, and by the row it is kept for no less: as builds before proofs said
    /// it. Whoever may says it again.
    pub(in crate::audit) unconfirmed: bool,
}

/// What the log says.
#[derive(Default)]
struct Said {
    retention: Option<(u64, Retention)>,
    placed: Vec<(u64, Hold)>,
    lifted: BTreeSet<EventId>,
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
        let proven = said.retention.is_some();
        let (at, logged) = said.retention.unwrap_or_default();
        let retention = row.stricter(logged);
        let mut unconfirmed = false;
        if !row.is(logged) {
            unconfirmed = !proven && row.is(retention);
            if !unconfirmed {
                differ.push(Finding { check: IntegrityCheck::RetentionRow, at });
            }
        }
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
        let (mut placed, mut lifted, mut newest) = (Vec::new(), BTreeSet::new(), None);
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
                    lifted.insert(hold);
                }
            } else if let Some(retention) = ring.and_then(|ring| said_by(ring, &logged, &core)) {
                newest = Some((logged, retention));
            }
        }
        placed.retain(|(_, hold)| !lifted.contains(&hold.event));
        if let Some((logged, _)) = &newest
            && !is_in_tree(view, logged).await?
        {
            // Of ours, and elsewhere than the tree says: which one is the newest, nobody knows.
            return Err(StoreError::Damaged("event"));
        }
        let retention = newest.map(|(logged, retention)| (logged.index, retention));
        Ok(Self { retention, placed, lifted })
    }
}

/// Whether the log tells of the hold of a row, in the event that the row names. Builds before proofs filed it under no log, so that it is
/// not found there.
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
        let is_ours = placed_by(&logged, &core).is(&row) && is_ours(ring, &logged, &core, PLACES);
        if is_ours && is_in_tree(view, &logged).await? {
            ours += 1;
        }
    }
    Ok(ours)
}

/// Which hold an event of ours lifted.
fn lifted_by(ring: &Keyring, logged: &LoggedEvent, core: &Value) -> Option<EventId> {
    let hold: EventId = core.pointer("/detail/placed")?.as_str()?.parse().ok()?;
    is_ours(ring, logged, core, &lift_parts(hold)).then_some(hold)
}

/// How long an event of ours said that the log is kept.
fn said_by(ring: &Keyring, logged: &LoggedEvent, core: &Value) -> Option<Retention> {
    let yes = |name: &str| core.pointer(name).and_then(Value::as_str) == Some("yes");
    let retention = Retention {
        months: core.pointer("/detail/months")?.as_u64()?.try_into().ok()?,
        automatic: yes("/detail/automatic"),
        archive_first: yes("/detail/archive_first"),
        changed_at: Some(logged.event.recorded_at),
    };
    is_ours(ring, logged, core, &retention_parts(retention)).then_some(retention)
}

fn is_ours(ring: &Keyring, logged: &LoggedEvent, core: &Value, says: &[u8]) -> bool {
    let text = |pointer: &str| core.pointer(pointer).and_then(Value::as_str);
    let id = logged.event.id;
    let proof = text("/detail/proof").and_then(|proof| data_encoding::HEXLOWER.decode(proof.as_bytes()).ok());
    text("/event_id") == Some(id.to_string().as_str())
        && proof.is_some_and(|proof| ring.marked(MARK, &[&id.to_bytes(), says], &proof) != Marked::Never)
}

fn lift_parts(hold: EventId) -> Vec<u8> {
    [b"lift".as_slice(), &hold.to_bytes()].concat()
}

fn retention_parts(Retention { months, automatic, archive_first, .. }: Retention) -> Vec<u8> {
    [b"keep".as_slice(), &months.to_be_bytes(), &[automatic.into(), archive_first.into()]].concat()
}

/// The proof that an event of this id places a hold.
pub(super) fn place_proof(ring: &Keyring, event: EventId) -> Result<String, Failure> {
    proof(ring, event, PLACES)
}

/// The proof that an event of this id lifts this hold: a code under a key of the tenant.
pub(super) fn lift_proof(ring: &Keyring, event: EventId, hold: EventId) -> Result<String, Failure> {
    proof(ring, event, &lift_parts(hold))
}

/// The proof that an event of this id says how long the log is kept.
pub(super) fn retention_proof(ring: &Keyring, event: EventId, retention: Retention) -> Result<String, Failure> {
    proof(ring, event, &retention_parts(retention))
}

fn proof(ring: &Keyring, event: EventId, says: &[u8]) -> Result<String, Failure> {
    Ok(data_encoding::HEXLOWER.encode(&ring.mark(MARK, &[&event.to_bytes(), says])?))
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
