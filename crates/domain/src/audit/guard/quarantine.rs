//! Rows of a queue that are no events of ours, and rows behind the end of a log. They hold up nobody, nothing of them is lost, and each
//! is told of.
//!
//! An event is queued as the bytes that are hashed, with columns that say the same. A row that does not was damaged, or put there by
//! somebody who writes to the store. In the log it would lie for ever: no head could be signed over it, and no pack of its time
//! would verify. In the queue it would hold up all that was acknowledged after it. So it is put aside as it is, beside the queue,
//! in one commit with an event of the same log; and as everything stored that is not what was written, it is a [`Finding`].
//!
//! Behind the end of a log lies nothing of it: events come there in the commit that moves the end. A row that somebody wrote there would
//! have no event come after it, and goes the same way.
//!
//! [`Finding`]: super::Finding

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
};

use chancery_crypto::{canonical, merkle, sha256};
use serde_json::Value;

use super::{
    Guard, IntegrityCheck, RawEntry, RawEvent, RawQueued, hex, is_in_tree, pinned, request, scrub::finding_event,
};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{
        Change, Detail, Event, EventKind, LogHead, Outcome, QueuedEvent,
        receipt::note_all,
        sequence::{SequenceError, newest_head},
        stamp::{Actor, MAX_LEAF_BYTES},
    },
    ids::{EventId, TenantId},
    store::{StoreError, Tx},
};

/// The longest that an event names something by. Ours are far shorter; PostgreSQL's index takes 2,704 bytes.
const MAX_NAME_BYTES: usize = 1_024;

/// What is damaged when a row of the queue is no event.
pub(in crate::audit) const QUEUE: &str = "queue";

impl RawQueued {
    /// The event that the row is: its bytes are a leaf as they are written here, and its columns say the same.
    pub(in crate::audit) fn into_event(self, tenant: TenantId) -> Option<QueuedEvent> {
        let Self { event, sealed, .. } = self;
        let core = canonical::parse(&event.core).ok()?;
        if event.core.len() > MAX_LEAF_BYTES || !event.is_found_by(tenant, &core) || !can_be_filed(&core) {
            return None;
        }
        let text = |bytes| String::from_utf8(bytes).ok();
        Some(QueuedEvent {
            tenant,
            id: text(event.id)?.parse().ok()?,
            recorded_at: crate::Timestamp::from_micros(event.recorded_at),
            kind: text(event.kind)?,
            actor: text(event.actor)?,
            resource: match event.resource {
                Some(resource) => Some(text(resource)?),
                None => None,
            },
            outcome: event.outcome,
            request: text(event.request)?.parse().ok()?,
            core: text(event.core)?,
            sealed,
        })
    }
}

/// Whether an event can be filed under what it names: databases take the list apart, for which PostgreSQL wants no NUL in any text, and
/// an index has no room for long ones.
fn can_be_filed(core: &Value) -> bool {
    let is_short = |name: &Value| name.as_str().is_some_and(|name| name.len() <= MAX_NAME_BYTES);
    let names = core.pointer("/resource/ref_hmac");
    core.pointer("/resource/id").is_none_or(is_short)
        && names.is_none_or(|names| names.as_array().is_some_and(|names| names.iter().all(is_short)) && !has_nul(core))
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Looks at each of the first rows of a queue: what is in the log already leaves it, and what is no event, or another one under the
/// id of one, is put aside. Gives how many rows left.
///
/// # Errors
///
/// [`SequenceError`]: what did not leave is looked at again.
pub(in crate::audit) async fn clear_queue(
    instance: &Instance,
    tenant: TenantId,
    limit: u32,
) -> Result<usize, SequenceError> {
    let mut tx = instance.store().begin(tenant).await?;
    let (mut again, mut aside) = (Vec::new(), Vec::new());
    for row in tx.raw_queue(limit).await? {
        match row.clone().into_event(tenant) {
            None => aside.push(Aside::queued(row, "no_event")),
            Some(event) => match is_logged(&mut *tx, &event).await? {
                None => {}
                Some(true) => again.push(event.id),
                Some(false) => aside.push(Aside::queued(row, "id_taken")),
            },
        }
    }
    if again.is_empty() {
        drop(tx);
    } else {
        // A commit whose answer was lost was done a second time.
        tx.drop_queued(&again).await?;
        tx.commit().await?;
        tracing::warn!(%tenant, events = again.len(), "Took events out of the queue that are in the log already");
    }
    if !aside.is_empty() {
        let size = instance.store().fresh_view(tenant).await?.log_head().await?.size;
        let request = request(instance, "sequencer", "JOB")?;
        tell(instance, tenant, &request, IntegrityCheck::QueueRow, &aside, size).await?;
        let ring = instance.keyring(tenant).await?;
        let change = Change::begin_with(instance, Actor::System(&request), tenant, ring).await?;
        put_aside(instance, tenant, change, &aside).await?;
    }
    Ok(again.len() + aside.len())
}

/// Whether the log has just this event; `None` if it has none of its id. One that cannot be read is not this one, and neither is a row
/// that somebody put beside the tree: the event would be in no log.
async fn is_logged(rows: &mut dyn Tx, event: &QueuedEvent) -> Result<Option<bool>, StoreError> {
    let logged = match rows.logged_event(event.id).await {
        Err(StoreError::Damaged(_)) => return Ok(Some(false)),
        logged => logged?,
    };
    let Some(logged) = logged else { return Ok(None) };
    let same = logged.leaf_hash == merkle::leaf_hash(event.core.as_bytes());
    Ok(Some(same && is_in_tree(rows, &logged).await?))
}

/// Puts aside the first rows behind the end of a log, where the next events are to lie. Nothing is touched where a signed head reaches
/// further than the log does: then its end was moved back, and they may be events of it.
///
/// # Errors
///
/// [`SequenceError`]; [`SequenceError::RolledBack`] if a signed head reaches further.
pub(in crate::audit) async fn clear_end(
    instance: &Instance,
    tenant: TenantId,
    limit: u32,
) -> Result<(), SequenceError> {
    let ring = instance.keyring(tenant).await?;
    let head = end_of(instance, tenant).await?;
    let entries = instance.store().fresh_view(tenant).await?.raw_entries(head.size, limit).await?;
    let beyond =
        |entry: RawEntry| Aside { lies: Lies::BehindEnd(entry.index), event: entry.event, reason: "behind_end" };
    let aside: Vec<Aside> = entries.into_iter().map(beyond).collect();
    let request = request(instance, "sequencer", "JOB")?;
    tell(instance, tenant, &request, IntegrityCheck::EntryBeyondHead, &aside, head.size).await?;
    let mut change = Change::begin_with(instance, Actor::System(&request), tenant, ring).await?;
    // Nobody moves the end meanwhile; if somebody did, they are looked at again.
    change.rows().advance_log(head, head).await?;
    put_aside(instance, tenant, change, &aside).await
}

/// The end of a log, where no signed head reaches further.
///
/// # Errors
///
/// [`SequenceError`]; [`SequenceError::RolledBack`] if one does: then the end was moved back, and what lies behind it may be of the log.
pub(super) async fn end_of(instance: &Instance, tenant: TenantId) -> Result<LogHead, SequenceError> {
    let pinned = pinned(instance, tenant).await?.map_or(0, |pin| pin.head().size);
    let ring = instance.keyring(tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let head = view.log_head().await?;
    let signed = newest_head(instance, &mut *view, tenant, &ring).await?.map_or(0, |newest| newest.size);
    if signed.max(pinned) > head.size { Err(SequenceError::RolledBack(tenant)) } else { Ok(head) }
}

/// A row that is put aside.
struct Aside {
    lies: Lies,
    event: RawEvent,
    reason: &'static str,
}

/// Where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lies {
    /// In the queue, under this number.
    InQueue(i64),
    /// In this place behind the end of the log.
    BehindEnd(u64),
}

impl Aside {
    fn queued(row: RawQueued, reason: &'static str) -> Self {
        Self { lies: Lies::InQueue(row.seq), event: row.event, reason }
    }
}

/// Tells that rows are put aside, before they are: who dies in between tells it twice, and not never. Of rows that cannot be put aside now
/// that is told once by this process, however often it tries.
async fn tell(
    instance: &Instance,
    tenant: TenantId,
    request: &RequestInfo,
    check: IntegrityCheck,
    rows: &[Aside],
    size: u64,
) -> Result<(), SequenceError> {
    let places: BTreeSet<Lies> = rows.iter().map(|row| row.lies).collect();
    if instance.guard().aside(|aside| aside.get(&tenant).is_some_and(|told| places.is_subset(told))) {
        return Ok(());
    }
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    tracing::error!(
        %tenant,
        code = "queue_quarantined",
        check = check.as_str(),
        "{count} ROW(S) OF THE QUEUE OR BEHIND THE END OF THE AUDIT LOG OF `{tenant}` ARE NO EVENTS OF CHANCERY, and are put aside: \
         somebody wrote them into the store, or it is damaged. Their bytes are in the table `audit_quarantine`. Keep a copy of the store; \
         see docs/guides/audit.md"
    );
    instance.guard().count(check, count);
    instance.guard().note_damaged(tenant, true);
    let finding = finding_event(tenant, check, count, size);
    note_all(instance, Actor::System(request), TenantId::PLATFORM, vec![finding]).await?;
    instance.guard().aside(|aside| aside.insert(tenant, places));
    Ok(())
}

impl Guard {
    fn aside<T>(&self, with: impl FnOnce(&mut BTreeMap<TenantId, BTreeSet<Lies>>) -> T) -> T {
        with(&mut self.aside.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Puts rows aside in one commit with an event for each.
async fn put_aside(
    instance: &Instance,
    tenant: TenantId,
    mut change: Change<'_>,
    rows: &[Aside],
) -> Result<(), SequenceError> {
    let Some((last, others)) = rows.split_last() else { return Ok(()) };
    for row in others {
        let event = put_one_aside(instance, &mut change, row).await?;
        change.record(event).await?;
    }
    let event = put_one_aside(instance, &mut change, last).await?;
    change.commit(event).await?;
    // The next one in such a place is another.
    instance.guard().aside(|aside| aside.remove(&tenant));
    Ok(())
}

/// Puts one row aside; gives the event that tells of it. What the row says is not repeated there: nobody knows who wrote it.
async fn put_one_aside(instance: &Instance, change: &mut Change<'_>, row: &Aside) -> Result<Event, SequenceError> {
    let now = instance.now();
    let told_by = EventId::make(now, instance.random())?;
    let mut event = Event::new(EventKind::EventQuarantined)
        .outcome(Outcome::SeriousFailure)
        .identified(told_by)
        .with("reason", Detail::Code(row.reason))
        .with("bytes", Detail::Count(u64::try_from(row.event.core.len()).unwrap_or(u64::MAX)))
        .with("sha256", Detail::Id(hex(&sha256(&row.event.core))));
    match row.lies {
        Lies::InQueue(seq) => change.rows().quarantine(seq, told_by, now).await?,
        Lies::BehindEnd(index) => {
            change.rows().quarantine_entry(index, told_by, now).await?;
            event = event.with("index", Detail::Count(index));
        }
    }
    Ok(match std::str::from_utf8(&row.event.id).ok().and_then(|id| id.parse::<EventId>().ok()) {
        Some(id) => event.with("event", Detail::Id(id.to_string())),
        None => event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RequestId;

    const TENANT: TenantId = TenantId::from_bytes([1; 16]);

    fn row(change: impl FnOnce(&mut Value)) -> RawQueued {
        let (id, request) = (EventId::from_bytes([2; 16]), RequestId::from_bytes([3; 16]));
        let mut core = serde_json::json!({"actor": {"ref": "system"}, "event_id": id, "outcome": 0,
            "recorded_at": "1970-01-01T00:00:01.000000Z", "request_id": request, "resource": {"hk": "1", "ref_hmac": ["ab"]},
            "tenant_id": TENANT, "type": "app.visit"});
        change(&mut core);
        let event = RawEvent {
            id: id.to_string().into_bytes(),
            recorded_at: 1_000_000,
            kind: b"app.visit".to_vec(),
            actor: b"system".to_vec(),
            resource: None,
            outcome: 0,
            request: request.to_string().into_bytes(),
            core: canonical::to_vec(&core).unwrap(),
        };
        RawQueued { seq: 7, event, sealed: Some(vec![1]) }
    }

    #[test]
    fn a_row_as_it_is_queued_is_an_event() {
        let event = row(|_| {}).into_event(TENANT).unwrap();
        assert_eq!((event.kind.as_str(), event.sealed), ("app.visit", Some(vec![1])));
        assert_eq!(event.recorded_at, crate::Timestamp::from_seconds(1));
        let odd = row(|core| core["resource"]["hk"] = serde_json::json!("\\u0000"));
        assert!(odd.into_event(TENANT).is_some(), "a backslash is no NUL");
    }

    #[test]
    fn a_row_that_says_two_things_or_nothing_is_none() {
        let other = TenantId::from_bytes([9; 16]);
        assert!(row(|_| {}).into_event(other).is_none(), "of another tenant");
        for (pointer, value) in [
            ("/type", serde_json::json!("app.other")),
            ("/event_id", serde_json::json!("evt_none")),
            ("/actor/ref", serde_json::json!("usr_1")),
            ("/outcome", serde_json::json!(8)),
            ("/recorded_at", serde_json::json!("1970-01-01T00:00:02.000000Z")),
            ("/resource/ref_hmac", serde_json::json!("ab")),
            ("/resource/ref_hmac", serde_json::json!([1])),
            ("/resource/ref_hmac", serde_json::json!(["\0"])),
            ("/resource/hk", serde_json::json!("\0")),
            ("/resource/ref_hmac", serde_json::json!(["a".repeat(4_000)])),
        ] {
            let forged = row(|core| *core.pointer_mut(pointer).unwrap() = value.clone());
            assert!(forged.into_event(TENANT).is_none(), "{pointer} {value}");
        }
        let mut spaced = row(|_| {});
        spaced.event.core.push(b' ');
        assert!(spaced.into_event(TENANT).is_none(), "not the bytes that are written here");
        let mut unreadable = row(|_| {});
        unreadable.event.id = b"\xff".to_vec();
        assert!(unreadable.into_event(TENANT).is_none());
        let mut long_name = row(|core| core["resource"]["id"] = serde_json::json!("a".repeat(4_000)));
        long_name.event.resource = Some("a".repeat(4_000).into_bytes());
        assert!(long_name.into_event(TENANT).is_none(), "an index has no room for it");
        let long = row(|core| core["type"] = serde_json::json!("a".repeat(MAX_LEAF_BYTES)));
        let long =
            RawQueued { event: RawEvent { kind: "a".repeat(MAX_LEAF_BYTES).into_bytes(), ..long.event }, ..long };
        assert!(long.into_event(TENANT).is_none(), "longer than any leaf");
    }
}
