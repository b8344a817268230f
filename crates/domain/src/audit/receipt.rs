//! No receipt, no key: opening personal data takes proof that its event is durable.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{
    Event, QueuedEvent,
    intent::{Opening, Phase},
    stamp::{Actor, stamp},
};
use crate::{
    access::Call,
    ids::{RequestId, TenantId},
    instance::{Failure, Instance},
    keyring::Fence,
    store::{Epochs, Store, StoreError},
};

/// How long one commit may take, and how long who waits for a place in the next ones waits.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);
/// How many callers' events may wait for a commit before further callers wait for a place.
const MAX_WAITING: usize = 4_096;
/// How many callers' events one commit takes at most.
const MAX_BATCH: usize = 512;

/// Proof that the event of a read is durable. Only [`append`] makes one, after the commit returned.
///
/// It names a tenant, a table and a number of values; [`crate::keyring::Keyring::open`] consumes it
/// and refuses more. Nobody else can make one:
///
/// ```compile_fail
/// let receipt = chancery_domain::audit::AuditReceipt { values: 1_000, ..todo!() };
/// ```
///
/// and nobody can use one twice:
///
/// ```compile_fail
/// # use chancery_domain::{audit::AuditReceipt, keyring::Keyring};
/// fn twice(ring: &Keyring, receipt: AuditReceipt) {
///     let _ = ring.open(receipt, "patients", &[]);
///     let _ = ring.open(receipt, "patients", &[]);
/// }
/// ```
#[derive(Debug)]
pub struct AuditReceipt {
    tenant: TenantId,
    request: Option<RequestId>,
    table: String,
    values: usize,
    glass: bool,
    /// None for [`Unaudited`].
    opening: Option<Arc<Opening>>,
}

/// A receipt that was spent: what it covers, and where it is counted what becomes of the values.
#[derive(Debug)]
pub(crate) struct Spent {
    /// Whether it also covers what suspended and revoked keys have sealed.
    pub(crate) glass: bool,
    opening: Option<Arc<Opening>>,
}

impl Spent {
    /// Counts whether a value was opened.
    pub(crate) fn counted<T, E>(&self, value: Result<T, E>) -> Result<T, E> {
        if let Some(opening) = &self.opening {
            opening.count(value.is_ok().into(), value.is_err().into());
        }
        value
    }

    /// Counts values that were not opened.
    pub(crate) fn refused(&self, values: usize) {
        if let Some(opening) = &self.opening {
            opening.count(0, values);
        }
    }
}

impl AuditReceipt {
    /// The request that its event names; none for [`Unaudited`].
    pub fn request(&self) -> Option<RequestId> {
        self.request
    }

    /// Spends it on so many values of this table, if it covers them.
    pub(crate) fn spend(self, tenant: TenantId, table: &str, values: usize) -> Option<Spent> {
        let covers = self.tenant == tenant && self.table == table && values <= self.values;
        let spent = Spent { glass: self.glass, opening: self.opening };
        if !covers {
            spent.refused(values);
        }
        covers.then_some(spent)
    }
}

/// For programs that embed the library and keep their own audit trail. Search for it in reviews;
/// the server does not use it, and a test says so.
#[derive(Debug)]
pub struct Unaudited;

impl Unaudited {
    /// A receipt without an event. `reason` is for the reader of the code.
    pub fn accept(reason: &'static str, tenant: TenantId, table: &str, values: usize) -> AuditReceipt {
        let _ = reason;
        AuditReceipt { tenant, request: None, table: table.to_owned(), values, glass: false, opening: None }
    }
}

/// What is about to be opened, and the events that tell of it: never none.
pub struct OpenIntent {
    table: String,
    values: usize,
    glass: bool,
    first: Event,
    further: Vec<Event>,
}

impl OpenIntent {
    /// Of so many values of one table.
    pub fn new(table: &str, values: usize, event: Event) -> Self {
        Self { table: table.to_owned(), values, glass: false, first: event, further: Vec::new() }
    }

    /// Also what suspended and revoked keys have sealed: an approval for it was used.
    #[must_use]
    pub(crate) fn breaking_glass(mut self) -> Self {
        self.glass = true;
        self
    }

    /// With further events, one for each hundred references.
    #[must_use]
    pub fn further(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.further.extend(events);
        self
    }
}

/// Receipts for intents, in their order, and the fence for what is made with them.
#[derive(Debug)]
pub struct Told {
    /// One for each intent.
    pub receipts: Vec<AuditReceipt>,
    /// Under which keys, and until when; none if there was no intent.
    pub fence: Option<Fence>,
}

impl Told {
    /// The receipt and the fence of a single intent.
    ///
    /// # Errors
    ///
    /// [`Failure::Internal`]: there was none.
    pub fn single(mut self) -> Result<(AuditReceipt, Fence), Failure> {
        self.receipts.pop().zip(self.fence).ok_or(Failure::Internal("an intent without a receipt"))
    }
}

/// Makes the events of reads durable, and gives a receipt for each intent, in order.
///
/// # Errors
///
/// [`Failure::Audit`]: nothing may be opened.
pub async fn append(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    intents: Vec<OpenIntent>,
) -> Result<Told, Failure> {
    append_as(instance, Actor::Call(call), tenant, intents).await
}

/// As [`append`], also for jobs.
pub(crate) async fn append_as(
    instance: &Instance,
    actor: Actor<'_>,
    tenant: TenantId,
    intents: Vec<OpenIntent>,
) -> Result<Told, Failure> {
    if intents.is_empty() {
        return Ok(Told { receipts: Vec::new(), fence: None });
    }
    let mut places = instance.openings().places(intents.len()).await?;
    let (mut covered, mut events) = (Vec::with_capacity(intents.len()), Vec::with_capacity(intents.len()));
    for intent in intents {
        let OpenIntent { table, values, glass, first, further } = intent;
        let kind = first.kind.clone();
        covered.push((events.len(), table, values, glass));
        // Its parts are intents; what is unusual about it is told of for good.
        events.extend(std::iter::once(first).chain(further).map(|event| match event.kind == kind {
            true => event.phase(Phase::Intent),
            false => event,
        }));
    }
    let stamped = stamp_all(instance, actor, tenant, events).await?;
    let mut receipts = Vec::with_capacity(covered.len());
    let (mut openings, any_refused) = (Vec::with_capacity(covered.len()), Arc::default());
    for (at, table, values, glass) in covered {
        let intent = stamped.get(at).ok_or(Failure::Internal("an intent without an event"))?;
        let opening = instance.openings().open(&mut places, intent.clone(), &any_refused)?;
        let request = Some(actor.request().id);
        openings.push(Arc::clone(&opening));
        receipts.push(AuditReceipt { tenant, request, table, values, glass, opening: Some(opening) });
    }
    let fence = commit_all(instance, tenant, stamped).await?;
    openings.iter().for_each(|opening| opening.begun());
    Ok(Told { receipts, fence: Some(fence.over(openings)) })
}

/// Makes the event of a use of keys durable. The keys are then those of [`Fence::lease`], and what they make is let out by
/// [`Fence::release`].
///
/// # Errors
///
/// [`Failure::Audit`]: nothing may be done.
pub async fn told(instance: &Instance, call: &Call, tenant: TenantId, event: Event) -> Result<Fence, Failure> {
    let fence = note_all(instance, Actor::Call(call), tenant, vec![event]).await?;
    fence.ok_or(Failure::Internal("an event without a commit"))
}

/// Makes one event durable that goes with no change of rows and no use of keys.
///
/// # Errors
///
/// [`Failure::Audit`].
pub async fn note(instance: &Instance, call: &Call, tenant: TenantId, event: Event) -> Result<(), Failure> {
    note_all(instance, Actor::Call(call), tenant, vec![event]).await.map(drop)
}

/// Makes events durable in a commit shared with other requests; nothing of nothing.
pub(crate) async fn note_all(
    instance: &Instance,
    actor: Actor<'_>,
    tenant: TenantId,
    events: Vec<Event>,
) -> Result<Option<Fence>, Failure> {
    if events.is_empty() {
        return Ok(None);
    }
    let stamped = stamp_all(instance, actor, tenant, events).await?;
    commit_all(instance, tenant, stamped).await.map(Some)
}

/// Fixes the bytes of events, which are written next.
async fn stamp_all(
    instance: &Instance,
    actor: Actor<'_>,
    tenant: TenantId,
    events: Vec<Event>,
) -> Result<Vec<QueuedEvent>, Failure> {
    let ring = instance.keyring(tenant).await?;
    let mut tickets = Vec::with_capacity(events.len());
    let mut stamped = Vec::with_capacity(events.len());
    for event in events {
        let ticket = instance.counters.draw(tenant);
        stamped.push(stamp(instance, actor, tenant, &ring, ticket.number, event)?);
        tickets.push(ticket);
    }
    // From here on nobody knows for sure that the events were not written: their numbers are not used again.
    tickets.into_iter().for_each(super::counters::Ticket::spend);
    Ok(stamped)
}

async fn commit_all(instance: &Instance, tenant: TenantId, stamped: Vec<QueuedEvent>) -> Result<Fence, Failure> {
    let epochs = instance.appender().append(stamped).await.map_err(Failure::Audit)?;
    let fence = Fence::of(tenant, &epochs);
    instance.learn(tenant, fence.epoch());
    Ok(fence)
}

struct Waiting {
    events: Vec<QueuedEvent>,
    done: oneshot::Sender<Result<Arc<Epochs>, StoreError>>,
}

/// The group commit: while one commit runs, the next batch gathers.
#[derive(Clone)]
pub struct Appender(mpsc::Sender<Waiting>);

impl Appender {
    /// Starts the task that commits. It ends when the appender is dropped, and each clone of it.
    pub(crate) fn start(store: Arc<dyn Store>) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        tokio::spawn(commit_batches(store, receiver));
        Self(sender)
    }

    pub(super) async fn append(&self, events: Vec<QueuedEvent>) -> Result<Arc<Epochs>, StoreError> {
        let gone = || StoreError::Unavailable("the group commit has ended".into());
        let (done, committed) = oneshot::channel();
        let full = || StoreError::Unavailable("too many events wait for a commit".into());
        let sent = tokio::time::timeout(DEADLINE, self.0.send(Waiting { events, done })).await;
        sent.map_err(|_| full())?.map_err(|_| gone())?;
        committed.await.map_err(|_| gone())?
    }
}

async fn commit_batches(store: Arc<dyn Store>, mut receiver: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    while receiver.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let (mut callers, mut events) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for waiting in batch.drain(..) {
            let first = events.len();
            events.extend(waiting.events);
            callers.push((first..events.len(), waiting.done));
        }
        let events = Arc::new(events);
        let committed = commit(&store, Arc::clone(&events)).await;
        // One caller's row must not fail the others: after a refusal each goes alone. A store that hangs hangs for all.
        let each_alone = matches!(committed, Err(Some(_))) && callers.len() > 1;
        for (own, done) in callers {
            let answer = match (&committed, each_alone) {
                (Ok(epochs), _) => Ok(Arc::clone(epochs)),
                (Err(error), true) => {
                    let own = events.get(own).unwrap_or_default().to_vec();
                    if may_be_logged(&*store, &own).await {
                        // The commit was done and only its answer was lost: a second one would put the event into the log twice.
                        Err(error.clone().unwrap_or_default())
                    } else {
                        commit(&store, Arc::new(own)).await.map_err(Option::unwrap_or_default)
                    }
                }
                (Err(error), false) => Err(error.clone().unwrap_or_default()),
            };
            // A caller that went away does not want to know; its event is durable all the same.
            let _ = done.send(answer.map_err(|error: String| StoreError::Unavailable(error.into())));
        }
    }
}

/// Whether events went into the log already, or nobody can say. Those still in the queue are refused by it.
async fn may_be_logged(store: &dyn Store, events: &[QueuedEvent]) -> bool {
    let Some(first) = events.first() else { return true };
    match store.fresh_view(first.tenant).await {
        Ok(mut view) => !matches!(view.logged_event(first.id).await, Ok(None)),
        Err(_) => true,
    }
}

/// Appends within a deadline; the error is `None` if the store did not answer by then.
///
/// The append runs on its own: giving up waiting for it does not stop it halfway.
async fn commit(store: &Arc<dyn Store>, events: Arc<Vec<QueuedEvent>>) -> Result<Arc<Epochs>, Option<String>> {
    let (store, count) = (Arc::clone(store), events.len());
    let append = tokio::spawn(async move { store.append_events(&events).await });
    let failed = match tokio::time::timeout(DEADLINE, append).await {
        Ok(Ok(Ok(epochs))) => return Ok(Arc::new(epochs)),
        Ok(Ok(Err(error))) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Some(format!("{error}: {cause}"))
        }
        Ok(Err(_)) => Some("the append panicked".to_owned()),
        Err(_) => None,
    };
    let reason = failed.as_deref().unwrap_or("no answer in time");
    tracing::error!(events = count, reason, "Could not append audit events");
    Err(failed)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicBool, Ordering},
        time::{Duration, Instant},
    };

    use async_trait::async_trait;

    use super::*;
    use crate::store::{Tx, View};

    /// Answers nothing until it is told to.
    struct Hangs(AtomicBool);

    #[async_trait]
    impl Store for Hangs {
        async fn begin(&self, _: TenantId) -> Result<Box<dyn Tx>, StoreError> {
            Err(StoreError::Unavailable("it only appends".into()))
        }

        async fn view(&self, _: TenantId) -> Result<Box<dyn View>, StoreError> {
            Err(StoreError::Unavailable("it only appends".into()))
        }

        async fn append_events(&self, _: &[QueuedEvent]) -> Result<Epochs, StoreError> {
            if self.0.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            Ok(Epochs { read_at: Instant::now(), of: BTreeMap::new() })
        }

        fn take_grown(&self) -> Vec<TenantId> {
            Vec::new()
        }

        async fn scrub(&self) -> Result<(), StoreError> {
            Ok(())
        }

        async fn ping(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    /// AU-09: where the log takes no more, who wants to read waits, and is refused when that takes too long.
    #[tokio::test(start_paused = true)]
    async fn a_log_that_takes_no_more_makes_reads_wait_and_then_refuses() {
        let store = Arc::new(Hangs(AtomicBool::new(true)));
        let appender = Arc::new(Appender::start(store.clone()));
        let append = |count: usize| -> Vec<_> {
            let one = |_| {
                let (appender, since) = (Arc::clone(&appender), tokio::time::Instant::now());
                tokio::spawn(async move {
                    let done = appender.append(Vec::new()).await;
                    (done.is_ok(), since.elapsed())
                })
            };
            (0..count).map(one).collect()
        };
        let ran = async || {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        };
        // One is being committed, and as many wait as there is room for.
        let first = append(1);
        ran().await;
        let room = append(MAX_WAITING);
        ran().await;
        assert_eq!(appender.0.capacity(), 0, "the queue is bounded");
        // More than one commit takes out of the queue: the last of them find no place in time.
        tokio::time::advance(Duration::from_secs(1)).await;
        let late = append(2 * MAX_BATCH + 1);
        let mut refused_at = Vec::new();
        for one in late {
            let (ok, after) = one.await.unwrap();
            assert!(!ok, "nothing was committed");
            refused_at.push(after);
        }
        let last = refused_at.last().unwrap();
        assert!((DEADLINE..DEADLINE + Duration::from_millis(100)).contains(last), "waited {last:?} for a place");

        store.0.store(false, Ordering::SeqCst);
        for one in first.into_iter().chain(room) {
            one.await.unwrap();
        }
        assert!(appender.append(Vec::new()).await.is_ok(), "it goes on");
    }
}
