//! No receipt, no key: opening personal data takes proof that its event is durable.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{
    Event, QueuedEvent,
    stamp::{Actor, stamp},
};
use crate::{
    access::Call,
    ids::{RequestId, TenantId},
    instance::{Failure, Instance},
    store::{Store, StoreError},
};

/// How many events may wait for a commit before callers wait too.
const MAX_WAITING: usize = 4_096;
/// How many events one commit takes at most.
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
}

impl AuditReceipt {
    /// The request that its event names; none for [`Unaudited`].
    pub fn request(&self) -> Option<RequestId> {
        self.request
    }

    /// Whether it covers so many values of this table.
    pub(crate) fn covers(&self, tenant: TenantId, table: &str, values: usize) -> bool {
        self.tenant == tenant && self.table == table && values <= self.values
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
        AuditReceipt { tenant, request: None, table: table.to_owned(), values }
    }
}

/// What is about to be opened, and the events that tell of it: never none.
pub struct OpenIntent {
    table: String,
    values: usize,
    first: Event,
    further: Vec<Event>,
}

impl OpenIntent {
    /// Of so many values of one table.
    pub fn new(table: &str, values: usize, event: Event) -> Self {
        Self { table: table.to_owned(), values, first: event, further: Vec::new() }
    }

    /// With further events, one for each hundred references.
    #[must_use]
    pub fn further(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.further.extend(events);
        self
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
) -> Result<Vec<AuditReceipt>, Failure> {
    let mut receipts = Vec::with_capacity(intents.len());
    let mut events = Vec::with_capacity(intents.len());
    for intent in intents {
        receipts.push(AuditReceipt {
            tenant,
            request: Some(call.request_id()),
            table: intent.table,
            values: intent.values,
        });
        events.push(intent.first);
        events.extend(intent.further);
    }
    note_all(instance, Actor::Call(call), tenant, events).await?;
    Ok(receipts)
}

/// Makes one event durable that goes with no change of rows.
///
/// # Errors
///
/// [`Failure::Audit`].
pub async fn note(instance: &Instance, call: &Call, tenant: TenantId, event: Event) -> Result<(), Failure> {
    note_all(instance, Actor::Call(call), tenant, vec![event]).await
}

/// Makes events durable in a commit shared with other requests.
pub(crate) async fn note_all(
    instance: &Instance,
    actor: Actor<'_>,
    tenant: TenantId,
    events: Vec<Event>,
) -> Result<(), Failure> {
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
    instance.appender().append(stamped).await.map_err(Failure::Audit)
}

struct Waiting {
    events: Vec<QueuedEvent>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The group commit: while one commit runs, the next batch gathers.
pub struct Appender(mpsc::Sender<Waiting>);

impl Appender {
    /// Starts the task that commits. It ends when the appender is dropped.
    pub(crate) fn start(store: Arc<dyn Store>) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        tokio::spawn(commit_batches(store, receiver));
        Self(sender)
    }

    async fn append(&self, events: Vec<QueuedEvent>) -> Result<(), StoreError> {
        let gone = || StoreError::Unavailable("the group commit has ended".into());
        let (done, committed) = oneshot::channel();
        self.0.send(Waiting { events, done }).await.map_err(|_| gone())?;
        committed.await.map_err(|_| gone())?
    }
}

async fn commit_batches(store: Arc<dyn Store>, mut receiver: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    while receiver.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let mut events = Vec::with_capacity(batch.len());
        let mut callers = Vec::with_capacity(batch.len());
        for waiting in batch.drain(..) {
            events.extend(waiting.events);
            callers.push(waiting.done);
        }
        let committed = store.append_events(&events).await;
        let failed = committed.as_ref().err().map(ToString::to_string);
        if let Some(error) = &failed {
            tracing::error!(events = events.len(), error, "Could not append a batch of audit events");
        }
        for caller in callers {
            let answer = match &failed {
                None => Ok(()),
                Some(error) => Err(StoreError::Unavailable(error.clone().into())),
            };
            // A caller that went away does not want to know; its event is durable all the same.
            let _ = caller.send(answer);
        }
    }
}
