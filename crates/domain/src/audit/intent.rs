//! Intent and outcome: each use of personal data is told of before it begins, and once more when it has ended (ADR 0040).
//!
//! The event of a receipt is its *intent*. An `Opening` stands for the use until then: receipt and fence hold it, what becomes of
//! the values is counted in it, and when the last of them lets go of it, the *outcome* is queued, whatever the reason. It goes
//! through the group commit like every event, and no answer waits for it. So that none is lost with a process, the store notes an
//! intent in the commit of its event, and forgets it in that of its outcome; what is left is closed by [`close_left`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chancery_crypto::{canonical, random::Random};
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Appender, LoggedEvent, Outcome, QueuedEvent, counters::Counters, ended::with_outcome, guard::is_in_tree};
use crate::{
    ids::{EventId, NodeId, TenantId, Ulid},
    instance::{Failure, Instance, Node},
    store::{Store, StoreError, View},
    time::{Clock, Timestamp},
};

codes! {
    /// What an event tells of something.
    pub enum Phase {
        /// All of it.
        Single = "single",
        /// That it is about to begin.
        Intent = "intent",
        /// How it ended.
        Outcome = "outcome",
    }
}

codes! {
    /// How a use of personal data ended.
    pub enum End {
        /// What was opened was let out.
        Released = "released",
        /// Something did not open, of this or of what was to be let out with it, and nothing was let out.
        Refused = "refused",
        /// A stream of which something was let out did not come to its end.
        BrokenOff = "broken_off",
        /// It did not come to its end, and nothing was let out: the caller went away, the keys changed, something beneath failed, or a
        /// range began behind the end.
        Abandoned = "abandoned",
        /// Nobody knows: its process ended before it did.
        Indeterminate = "indeterminate",
    }
}

/// How many uses may be without an outcome before new ones wait.
const MAX_OPEN: u32 = 4_096;
/// How long a new one waits for that.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many outcomes one commit takes at most.
const MAX_BATCH: usize = 512;
/// How long after a failure an outcome is written again.
const AGAIN: Duration = Duration::from_secs(1);
/// After so long any node closes an intent, and nothing else does.
const CLOSED_AFTER_SECONDS: i64 = 60 * 60;
/// So long after its intent an outcome is written without a look whether another node closed it.
const NOT_CLOSED_WITHIN_SECONDS: i64 = CLOSED_AFTER_SECONDS / 2;
/// So long after it was made an event that is neither queued nor logged is nowhere.
const LOST_AFTER_SECONDS: i64 = 24 * 60 * 60;
/// So long after this moment no intent was made: its row would not say that it was opened before.
const NOT_MADE_AFTER_SECONDS: i64 = 60 * 60;
/// How many intents are closed at once.
const MAX_CLOSED: u32 = 512;
/// How often at most in one look at a tenant's.
const MAX_PAGES: usize = 4;

/// Which intents have lost their process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Those of this node,
    pub node: NodeId,
    /// but of another start of it,
    pub boot: Ulid,
    /// from before this moment;
    pub before: Timestamp,
    /// and those of any node from before this one.
    pub of_any_before: Timestamp,
    /// Behind this one; from the first if nothing is said.
    pub after: Option<EventId>,
    /// At most so many.
    pub limit: u32,
}

/// What an event does to the intents that a store notes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// It is one, of this start of this node.
    Opens {
        /// The node's id.
        node: String,
        /// Which start of it.
        boot: String,
    },
    /// It is the outcome of this one.
    Closes(EventId),
}

/// What a leaf tells of something.
pub fn phase_of(core: &Value) -> Phase {
    core.get("phase").and_then(Value::as_str).and_then(|code| code.parse().ok()).unwrap_or(Phase::Single)
}

/// How the use ended that this event is the intent of, as one of these events of the log tells; none if none of them does. The parts
/// of an intent have one outcome, which names the first.
pub(super) fn end_among<'e>(intent: &QueuedEvent, events: impl IntoIterator<Item = &'e LoggedEvent>) -> Option<End> {
    let of = serde_json::from_str::<Value>(&intent.core).unwrap_or_default();
    if phase_of(&of) != Phase::Intent {
        return None;
    }
    let (id, table) = (intent.id.to_string(), of.pointer("/detail/table"));
    let is_later_part = of.pointer("/detail/part").is_some_and(|part| *part != 1);
    let same = |event: &&LoggedEvent| event.event.request == intent.request && event.event.kind == intent.kind;
    events.into_iter().filter(same).find_map(|outcome| {
        let core = serde_json::from_str::<Value>(&outcome.event.core).ok()?;
        let names_it = core.pointer("/detail/intent").and_then(Value::as_str) == Some(id.as_str());
        let is_its = names_it || (is_later_part && core.pointer("/detail/table") == table);
        let is_its = is_its && phase_of(&core) == Phase::Outcome;
        core.pointer("/detail/end").filter(|_| is_its).and_then(Value::as_str)?.parse().ok()
    })
}

/// What an event does to the intents that a store notes; most do nothing. Of an intent in parts the first is noted.
pub fn mark(event: &QueuedEvent) -> Option<Mark> {
    if !event.core.contains("\"phase\":\"intent\"") && !event.core.contains("\"phase\":\"outcome\"") {
        return None;
    }
    let core: Value = serde_json::from_str(&event.core).ok()?;
    let text = |path: &str| core.pointer(path).and_then(Value::as_str).map(str::to_owned);
    match text("/phase")?.parse::<Phase>().ok()? {
        Phase::Intent if core.pointer("/detail/part").is_none_or(|part| part == 1) => {
            Some(Mark::Opens { node: text("/node/id")?, boot: text("/node/boot")? })
        }
        Phase::Outcome => text("/detail/intent")?.parse().ok().map(Mark::Closes),
        Phase::Intent | Phase::Single => None,
    }
}

/// How a use went.
#[derive(Debug, Clone, Copy)]
struct Went {
    end: End,
    /// How many values were opened; unknown where nobody knows the end.
    opened: Option<u64>,
    /// How many were not.
    refused: Option<u64>,
    /// How many bytes were let out of a stream that broke off.
    bytes: Option<u64>,
}

impl Went {
    fn outcome(self) -> Outcome {
        match self.end {
            End::Released if self.refused.unwrap_or(0) == 0 => Outcome::Success,
            End::Released | End::BrokenOff | End::Abandoned => Outcome::MinorFailure,
            End::Refused => Outcome::SeriousFailure,
            End::Indeterminate => Outcome::MajorFailure,
        }
    }
}

/// A use of personal data between its intent and its outcome.
#[derive(Debug)]
pub(crate) struct Opening {
    /// Taken when it is dropped, both at once.
    rest: Option<(QueuedEvent, OwnedSemaphorePermit)>,
    ended: mpsc::UnboundedSender<Ended>,
    durable: AtomicBool,
    released: AtomicBool,
    opened: AtomicU64,
    refused: AtomicU64,
    /// Bytes of a stream that were let out.
    gave: AtomicU64,
    /// Whether something did not open of this, or of what is let out together with it or not at all.
    any_refused: Arc<AtomicBool>,
}

impl Opening {
    /// Its intent is durable.
    pub(super) fn begun(&self) {
        self.durable.store(true, Ordering::Release);
    }

    /// Counts what came of values.
    pub(crate) fn count(&self, opened: usize, refused: usize) {
        self.opened.fetch_add(u64::try_from(opened).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.refused.fetch_add(u64::try_from(refused).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.any_refused.fetch_or(refused > 0, Ordering::Release);
    }

    /// So much of a stream is let out.
    pub(crate) fn gave(&self, bytes: usize) {
        self.gave.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Something of it did not open, though it counts as opened: a stream does from its header on. If nothing of it was let out, none of
    /// it was; if some was, its end is [`End::BrokenOff`] by itself.
    pub(crate) fn refuse(&self) {
        if self.gave.load(Ordering::Relaxed) == 0 {
            self.opened.store(0, Ordering::Relaxed);
            self.refused.store(1, Ordering::Relaxed);
            self.any_refused.store(true, Ordering::Release);
        }
    }

    /// What was opened is let out.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Release);
    }

    fn went(&self) -> Went {
        let [opened, refused, gave] = [&self.opened, &self.refused, &self.gave].map(|n| n.load(Ordering::Relaxed));
        let end = match (self.released.load(Ordering::Acquire), gave, self.any_refused.load(Ordering::Acquire)) {
            (true, ..) => End::Released,
            (false, 1.., _) => End::BrokenOff,
            (false, 0, true) => End::Refused,
            (false, 0, false) => End::Abandoned,
        };
        let bytes = (end == End::BrokenOff).then_some(gave);
        Went { end, opened: Some(opened), refused: Some(refused), bytes }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Some((intent, permit)) = self.rest.take() else { return };
        let durable = self.durable.load(Ordering::Acquire);
        // Refused only where the process ends; the next start closes what is left open.
        let _ = self.ended.send(Ended { intent, went: self.went(), durable, _permit: permit });
    }
}

/// A use that has ended; its place is free again when its outcome is durable.
#[derive(Debug)]
struct Ended {
    intent: QueuedEvent,
    went: Went,
    /// Whether the intent is known to be durable.
    durable: bool,
    _permit: OwnedSemaphorePermit,
}

/// The uses of personal data of this process that have no outcome yet.
pub struct Openings {
    free: Arc<Semaphore>,
    ended: mpsc::UnboundedSender<Ended>,
    /// Behind which row the next look at what others left goes on, of tenants with more than one look takes.
    looked_at: Mutex<BTreeMap<TenantId, EventId>>,
}

/// What writing an outcome takes.
pub(crate) struct Writing {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) node: Node,
    pub(crate) counters: Arc<Counters>,
    pub(crate) appender: Appender,
}

impl Openings {
    /// Starts the task that writes outcomes. It ends when this is dropped and the last of them is written.
    pub(crate) fn start(writing: Writing) -> Self {
        let (ended, receiver) = mpsc::unbounded_channel();
        tokio::spawn(writing.write_all(receiver));
        let places = usize::try_from(MAX_OPEN).unwrap_or(usize::MAX);
        Self { free: Arc::new(Semaphore::new(places)), ended, looked_at: Mutex::default() }
    }

    /// How many have no outcome yet.
    pub fn count(&self) -> u64 {
        let free = u64::try_from(self.free.available_permits()).unwrap_or(u64::MAX);
        u64::from(MAX_OPEN).saturating_sub(free)
    }

    /// Behind which row a look begins; with the first if there is none.
    fn looked_at(&self, tenant: TenantId) -> Option<EventId> {
        self.looked_at.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).copied()
    }

    /// The next look goes on behind this row, or begins with the first again.
    fn go_on_behind(&self, tenant: TenantId, row: Option<EventId>) {
        let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        match row {
            Some(row) => looked_at.insert(tenant, row),
            None => looked_at.remove(&tenant),
        };
    }

    /// Waits until all that have begun have their outcome. Nothing is opened meanwhile.
    pub async fn settled(&self) {
        // Nobody closes it.
        let _ = self.free.acquire_many(MAX_OPEN).await;
    }

    /// Places for so many, once there are.
    pub(super) async fn places(&self, many: usize) -> Result<OwnedSemaphorePermit, Failure> {
        let many = u32::try_from(many).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.free).acquire_many_owned(many);
        match tokio::time::timeout(PATIENCE, places).await {
            Ok(Ok(places)) => Ok(places),
            Ok(Err(_)) | Err(_) => Err(Failure::Audit(StoreError::Unavailable(
                "too many uses of personal data wait for their outcome to be written".into(),
            ))),
        }
    }

    /// One more of these places is taken. Made before its intent is written: a caller that goes away meanwhile leaves it behind. What is let
    /// out together shares whether any of it was refused.
    pub(super) fn open(
        &self,
        places: &mut OwnedSemaphorePermit,
        intent: QueuedEvent,
        any_refused: &Arc<AtomicBool>,
    ) -> Result<Arc<Opening>, Failure> {
        let place = places.split(1).ok_or(Failure::Internal("an intent without a place"))?;
        Ok(Arc::new(Opening {
            rest: Some((intent, place)),
            ended: self.ended.clone(),
            durable: AtomicBool::new(false),
            released: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            gave: AtomicU64::new(0),
            any_refused: Arc::clone(any_refused),
        }))
    }
}

impl Writing {
    async fn write_all(self, mut receiver: mpsc::UnboundedReceiver<Ended>) {
        let mut batch = Vec::new();
        while receiver.recv_many(&mut batch, MAX_BATCH).await > 0 {
            self.keep_open(&mut batch).await;
            let outcomes: Vec<QueuedEvent> = batch.iter().filter_map(|ended| self.outcome(ended)).collect();
            // The store writes none twice: it forgets the intent in the same commit.
            while !outcomes.is_empty() && self.appender.append(outcomes.clone()).await.is_err() {
                // Why, the commit has told.
                tokio::time::sleep(AGAIN).await;
            }
            batch.clear();
        }
    }

    /// Keeps those whose intent is there and has no outcome yet; the places of the others are free at once. That is plain, unless a
    /// commit was not waited for, or another node may have closed it; then the store says, once for all of a tenant. What is so old that
    /// any node closes it is left to that, which looks into the log: its row may be back.
    async fn keep_open(&self, batch: &mut Vec<Ended>) {
        let now = self.clock.now();
        batch.retain(|ended| ended.intent.recorded_at > now.plus_seconds(-CLOSED_AFTER_SECONDS));
        let recent = now.plus_seconds(-NOT_CLOSED_WITHIN_SECONDS);
        let is_plain = |ended: &Ended| ended.durable && ended.intent.recorded_at > recent;
        let mut asked: BTreeMap<TenantId, Vec<EventId>> = BTreeMap::new();
        for ended in batch.iter().filter(|ended| !is_plain(ended)) {
            asked.entry(ended.intent.tenant).or_default().push(ended.intent.id);
        }
        if asked.is_empty() {
            return;
        }
        // An intent that waits for its commit is before this.
        while self.appender.append(Vec::new()).await.is_err() {
            tokio::time::sleep(AGAIN).await;
        }
        let mut open = BTreeSet::new();
        for (tenant, ids) in asked {
            open.extend(self.open_among(tenant, &ids).await);
        }
        batch.retain(|ended| is_plain(ended) || open.contains(&ended.intent.id));
    }

    async fn open_among(&self, tenant: TenantId, ids: &[EventId]) -> Vec<EventId> {
        loop {
            if let Ok(mut view) = self.store.fresh_view(tenant).await
                && let Ok(open) = view.open_intents(ids).await
            {
                return open;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn outcome(&self, ended: &Ended) -> Option<QueuedEvent> {
        let ticket = self.counters.draw(ended.intent.tenant);
        let made = outcome_of(&ended.intent, ended.went, self.node, ticket.number, self.clock.now(), &*self.random);
        match made {
            Ok(outcome) => {
                ticket.spend();
                Some(outcome)
            }
            Err(error) => {
                // Its intent stays noted, and is closed later.
                tracing::error!(%error, request_id = %ended.intent.request, "Could not make the outcome of an audit event");
                None
            }
        }
    }
}

/// The outcome of an intent: its leaf, with another phase, another moment and another detail. What identifies a person is in the
/// intent alone.
fn outcome_of(
    intent: &QueuedEvent,
    went: Went,
    node: Node,
    counter: u64,
    now: Timestamp,
    random: &dyn Random,
) -> Result<QueuedEvent, Failure> {
    let broken = Failure::Internal("an intent that is no event");
    let Ok(Value::Object(mut core)) = serde_json::from_str(&intent.core) else { return Err(broken) };
    let id = EventId::make(now, random)?;
    let mut detail = Map::new();
    detail.insert("end".into(), went.end.as_str().into());
    detail.insert("intent".into(), intent.id.to_string().into());
    for (name, count) in [("opened", went.opened), ("refused", went.refused), ("bytes", went.bytes)] {
        detail.extend(count.map(|count| (name.to_owned(), Value::from(count))));
    }
    // One request may open values of several tables.
    let table = core.get("detail").and_then(|told| told.get("table")).cloned();
    detail.extend(table.map(|table| ("table".to_owned(), table)));
    let outcome = went.outcome().code();
    core.remove("sealed");
    core.insert("detail".into(), Value::Object(detail));
    core.insert("event_id".into(), id.to_string().into());
    core.insert("node".into(), json!({"boot": node.boot.to_string(), "ctr": counter, "id": node.id.to_string()}));
    core.insert("occurred_at".into(), now.to_string().into());
    core.insert("outcome".into(), outcome.into());
    core.insert("phase".into(), Phase::Outcome.as_str().into());
    core.insert("recorded_at".into(), now.to_string().into());
    let core = canonical::to_vec(&Value::Object(core)).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(QueuedEvent { id, recorded_at: now, outcome, core: core.ok_or(broken)?, sealed: None, ..intent.clone() })
}

/// What a row of an intent without an outcome stands for: whoever writes the store can put any there.
enum Noted {
    /// An intent of the log.
    Intent(QueuedEvent),
    /// Nothing.
    Nothing,
    /// It is not in the log yet; or somebody changed it, of which the scrubber tells.
    Unknown,
}

impl Noted {
    /// The row that names this event and says that it was opened before now; what is queued was recorded at this moment or later.
    async fn of(view: &mut dyn View, id: EventId, now: Timestamp, queued: Timestamp) -> Result<Self, StoreError> {
        if id.made_at() > now.plus_seconds(NOT_MADE_AFTER_SECONDS) {
            return Ok(Self::Nothing);
        }
        let logged = match view.logged_event(id).await {
            Err(StoreError::Damaged(_)) => return Ok(Self::Unknown),
            logged => logged?,
        };
        let Some(logged) = logged else {
            let is_lost = id.made_at().plus_seconds(LOST_AFTER_SECONDS) < queued;
            return Ok(if is_lost { Self::Nothing } else { Self::Unknown });
        };
        if !is_in_tree(view, &logged).await? {
            return Ok(Self::Unknown);
        }
        Ok(match mark(&logged.event) {
            Some(Mark::Opens { .. }) => Self::Intent(logged.event),
            Some(Mark::Closes(_)) | None => Self::Nothing,
        })
    }
}

/// Closes what earlier starts of this node left open in a tenant's log, and what any node did for an hour: nobody knows how it
/// ended. Each is closed once, whoever else tries and whoever notes it again. An intent that is not in the log yet waits for the next
/// time; rows that stand for nothing go. Of many rows one look takes a part, and the next goes on behind it, also where it failed: nobody
/// waits for those that somebody wrote.
///
/// # Errors
///
/// [`Failure`]; then some may be left.
pub async fn close_left(instance: &Instance, tenant: TenantId) -> Result<usize, Failure> {
    let (now, node) = (instance.now(), instance.node());
    let mut left = Left {
        node: node.id,
        boot: node.boot,
        before: node.boot.made_at(),
        of_any_before: now.plus_seconds(-CLOSED_AFTER_SECONDS),
        after: instance.openings().looked_at(tenant),
        limit: MAX_CLOSED,
    };
    let mut closed = 0;
    for _ in 0..MAX_PAGES {
        let mut view = instance.store().fresh_view(tenant).await?;
        let ids = view.left_intents(&left).await?;
        left.after = ids.last().copied();
        // Also if one of these fails: those behind it do not wait for it.
        instance.openings().go_on_behind(tenant, left.after);
        if ids.is_empty() {
            break;
        }
        let oldest = view.raw_queue(1).await?.first().map(|row| Timestamp::from_micros(row.event.recorded_at));
        let queued = oldest.map_or(now, |oldest| oldest.min(now));
        let (mut intents, mut nothing) = (Vec::new(), Vec::new());
        for id in ids {
            match Noted::of(&mut *view, id, now, queued).await? {
                Noted::Intent(intent) => intents.push(intent),
                Noted::Nothing => nothing.push(id),
                Noted::Unknown => {}
            }
        }
        let ended = with_outcome(&mut *view, &intents).await?;
        drop(view);
        nothing.extend(intents.extract_if(.., |intent| ended.contains(&intent.id)).map(|intent| intent.id));
        closed += close(instance, tenant, &intents, &nothing).await?;
    }
    Ok(closed)
}

/// Closes intents of which nobody knows how they ended, and takes away rows that stand for nothing; gives how many had an outcome made.
async fn close(
    instance: &Instance,
    tenant: TenantId,
    intents: &[QueuedEvent],
    nothing: &[EventId],
) -> Result<usize, Failure> {
    if intents.is_empty() && nothing.is_empty() {
        return Ok(0);
    }
    let (now, node) = (instance.now(), instance.node());
    let went = Went { end: End::Indeterminate, opened: None, refused: None, bytes: None };
    let mut tx = instance.store().begin(tenant).await?;
    for id in nothing {
        tx.close_intent(*id).await?;
    }
    let mut tickets = Vec::with_capacity(intents.len());
    for intent in intents {
        if tx.close_intent(intent.id).await? {
            let ticket = instance.counters.draw(tenant);
            let outcome = outcome_of(intent, went, node, ticket.number, now, instance.random())?;
            tx.queue_event(&outcome).await.map_err(Failure::Audit)?;
            tickets.push(ticket);
        }
    }
    let closed = tickets.len();
    // From here on nobody knows for sure that they were not written: their numbers are not used again.
    tickets.into_iter().for_each(super::counters::Ticket::spend);
    tx.commit().await?;
    if !nothing.is_empty() {
        let rows = nothing.len();
        tracing::warn!(%tenant, rows, "Took away {rows} row(s) of `audit_intents` that stand for no open intent of the log");
    }
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use chancery_crypto::SystemRandom;

    use super::*;
    use crate::ids::RequestId;

    fn event(core: &Value) -> QueuedEvent {
        QueuedEvent {
            tenant: TenantId::PLATFORM,
            id: EventId::from_bytes([7; 16]),
            recorded_at: Timestamp::from_micros(1_790_000_000_000_000),
            kind: "record.opened".to_owned(),
            actor: "system".to_owned(),
            resource: None,
            outcome: 0,
            request: RequestId::from_bytes([8; 16]),
            core: core.to_string(),
            sealed: Some(vec![1]),
        }
    }

    fn node() -> Node {
        Node { id: NodeId::from_bytes([1; 16]), boot: Ulid::from_bytes([2; 16]) }
    }

    #[test]
    fn the_first_part_of_an_intent_is_noted_and_nothing_else_that_has_the_word_in_it() {
        let intent = |detail: Value| json!({"detail": detail, "node": {"boot": "b", "id": "n"}, "phase": "intent"});
        let opens = Some(Mark::Opens { node: "n".to_owned(), boot: "b".to_owned() });
        assert_eq!(mark(&event(&intent(json!({})))), opens);
        assert_eq!(mark(&event(&intent(json!({"part": 1, "parts": 2})))), opens);
        assert_eq!(mark(&event(&intent(json!({"part": 2, "parts": 2})))), None);
        assert_eq!(mark(&event(&json!({"detail": {"phase": "intent"}, "phase": "single"}))), None);
        assert_eq!(mark(&event(&json!({"detail": {"intent": "not an id"}, "phase": "outcome"}))), None);
    }

    #[test]
    fn an_outcome_is_its_intent_with_another_end_and_without_what_identifies() {
        let intent = event(&json!({
            "action": "R", "actor": {"kind": "user", "ref": "usr_1"}, "detail": {"columns": ["name"], "count": 3, "table": ["patients"]},
            "event_id": "evt_1", "node": {"boot": "b", "ctr": 1, "id": "n"}, "occurred_at": "then", "outcome": 0, "phase": "intent",
            "purpose": "TREAT", "recorded_at": "then", "request_id": "req_1", "resource": {"hk": "k", "ref_hmac": ["ab"]},
            "sealed": {"reason": "c0"}, "type": "record.opened", "v": 1
        }));
        let now = intent.recorded_at.plus_seconds(1);
        let went = Went { end: End::Refused, opened: Some(2), refused: Some(1), bytes: None };
        let outcome = outcome_of(&intent, went, node(), 9, now, &SystemRandom).unwrap();
        let core: Value = serde_json::from_str(&outcome.core).unwrap();
        let before: Value = serde_json::from_str(&intent.core).unwrap();
        for same in ["action", "actor", "purpose", "request_id", "resource", "type", "v"] {
            assert_eq!(core[same], before[same], "{same}");
        }
        let expected = json!({
            "end": "refused", "intent": intent.id.to_string(), "opened": 2, "refused": 1, "table": ["patients"]
        });
        assert_eq!(core["detail"], expected);
        assert_eq!((&core["phase"], &core["outcome"], &core["node"]["ctr"]), (&json!("outcome"), &json!(8), &json!(9)));
        assert_eq!((core.get("sealed"), &outcome.sealed), (None, &None));
        assert_eq!((core["event_id"].as_str().unwrap(), outcome.outcome), (&*outcome.id.to_string(), 8));
        assert_eq!(canonical::parse(outcome.core.as_bytes()).unwrap(), core);
        assert_eq!(mark(&outcome), Some(Mark::Closes(intent.id)));
    }

    #[test]
    fn each_end_has_its_outcome() {
        for (end, refused, outcome) in [
            (End::Released, 0, Outcome::Success),
            (End::Released, 1, Outcome::MinorFailure),
            (End::Abandoned, 0, Outcome::MinorFailure),
            (End::Refused, 1, Outcome::SeriousFailure),
            (End::BrokenOff, 0, Outcome::MinorFailure),
            (End::Indeterminate, 0, Outcome::MajorFailure),
        ] {
            let went = Went { end, opened: Some(0), refused: Some(refused), bytes: None };
            assert_eq!(went.outcome(), outcome, "{end}");
        }
    }
}
