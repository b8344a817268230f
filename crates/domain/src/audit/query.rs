//! Reading the log. Reads of the audit are audited.

use std::collections::BTreeSet;

use chancery_crypto::{Handle, Phi, Sealed};

use super::{
    DamagedLog, Detail, Event, EventFilter, EventKind, LoggedEvent, OpenIntent, StoredCheckpoint, append, damage,
    guard::{self, Anchor, Witnessed},
    personal,
    receipt::note,
    retention::{Purge, is_too_young, purged_between},
    sequence::{self, SequenceError},
};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    faults::Faults,
    fields::system,
    ids::{EventId, TenantId},
    instance::{Failure, fails},
    keyring::ring::Place,
    store::StoreError,
    subjects::lend,
};

/// The widest span of time one query may cover, in seconds.
const MAX_SPAN_SECONDS: i64 = 366 * 24 * 60 * 60;
/// The same of what is found by whom it names: six years, which an accounting of disclosures covers, and one more.
const MAX_SPAN_OF_NAMED_SECONDS: i64 = 7 * MAX_SPAN_SECONDS;
/// How many things outside one query may name.
pub const MAX_NAMED: usize = 50;
/// The largest page.
pub const MAX_PAGE: u32 = 1_000;

/// Why the log was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadAuditError {
    /// Not allowed, or another tenant's.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The query's bounds are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is no such event in the log.
    #[error("no such event")]
    NotFound,
    /// The event is queued and did not reach the log in time.
    #[error("the event is not in the log yet")]
    NotYetSequenced,
    /// The store was put back to an earlier state, and nobody accepted that yet: nothing is signed.
    #[error("the log is behind what was signed of it")]
    RolledBack,
    /// What is stored of the log is not what was logged, so it is not shown as if it were all.
    #[error(transparent)]
    Damaged(#[from] DamagedLog),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ReadAuditError);

impl From<SequenceError> for ReadAuditError {
    fn from(error: SequenceError) -> Self {
        match error {
            SequenceError::Busy => Self::NotYetSequenced,
            SequenceError::Forked(log) => Self::Damaged(DamagedLog { log, at: None }),
            SequenceError::RolledBack(_) => Self::RolledBack,
            SequenceError::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// An event as its readers see it.
#[derive(Debug)]
pub struct EventView {
    /// The event and its place.
    pub logged: LoggedEvent,
    /// The personal part as JSON, for holders of `audit.read_sealed`.
    pub personal: Option<Phi<Vec<u8>>>,
    /// Whether there is none although the leaf commits to one and none was purged: somebody took it away.
    pub personal_missing: bool,
}

/// An event with the proof that it is in the log.
#[derive(Debug)]
pub struct ProvenEvent {
    /// The event.
    pub event: EventView,
    /// The proof in C2SP tlog-proof form.
    pub proof: String,
    /// The signed head that the proof leads to.
    pub checkpoint: StoredCheckpoint,
}

/// A thing outside that events may name: a person, or a row of a table.
#[derive(Debug)]
pub struct Named {
    /// `subject` for a person, a table's name for a row, or an application's own word.
    pub kind: String,
    /// As the application calls it.
    pub id: Phi<String>,
}

/// What to look for, beyond the bounds of a filter.
#[derive(Debug)]
pub struct Search {
    /// The bounds.
    pub filter: EventFilter,
    /// Events that name one of these; of any if there are none.
    pub named: Vec<Named>,
    /// Security events alone.
    pub security: bool,
    /// With the proof of each, for holders of `audit.export`.
    pub proofs: bool,
}

/// What a search found.
#[derive(Debug)]
pub struct Results {
    /// Events.
    pub found: Vec<Found>,
    /// Places of events that would be among them, but are not what was logged: nobody is shown those.
    pub damaged: Vec<u64>,
    /// The last place, if there may be more.
    pub next: Option<u64>,
    /// What of the time that was asked for was purged.
    pub purged: Vec<Purge>,
}

/// An event that was found, with its proof if it was wanted.
#[derive(Debug)]
pub struct Found {
    /// The event.
    pub event: EventView,
    /// The proof in C2SP tlog-proof form; the signed head is in it.
    pub proof: Option<String>,
}

pub(super) async fn require(instance: &Instance, call: &Call, tenant: TenantId) -> Result<(), ReadAuditError> {
    Ok(instance.enter(call, tenant, Permission::AuditRead, Permission::CrossTenantRead).await??)
}

/// Finds events. Sequences first, so that what was acknowledged is found.
///
/// # Errors
///
/// [`ReadAuditError`].
pub async fn find(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    filter: EventFilter,
) -> Result<Vec<EventView>, ReadAuditError> {
    require(instance, call, tenant).await?;
    check(&filter)?;
    sequence::sequence(instance, tenant).await?;
    let mut view = instance.store().view(tenant).await?;
    let events = damage::whole::<ReadAuditError>(&mut *view, tenant, &filter).await?;
    drop(view);
    release(instance, call, tenant, events, read("events")).await
}

/// As [`find`], also by whom an event names and whether it is a security event, and with proofs. Of what is damaged it gives the
/// place, and the others all the same.
///
/// # Errors
///
/// [`ReadAuditError`].
pub async fn search(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    search: Search,
) -> Result<Results, ReadAuditError> {
    require(instance, call, tenant).await?;
    if search.proofs && !call.caller.may(Permission::AuditExport) {
        return Err(Denied::Forbidden(Permission::AuditExport).into());
    }
    let Search { mut filter, named, security, proofs } = search;
    let own = filter_by(instance, tenant, &mut filter, &named).await?;
    check(&filter)?;
    if security {
        security_alone(&mut filter);
    }
    let (each, purged) = logged(instance, tenant, &filter).await?;
    let full = u32::try_from(each.len()).is_ok_and(|length| length >= filter.limit);
    let last = each.last().map(|one| one.as_ref().map_or_else(|place| *place, |event| event.index));
    let (mut events, mut damaged) = (Vec::with_capacity(each.len()), Vec::new());
    for one in each {
        match one {
            Ok(event) => events.push(event),
            Err(place) => damaged.push(place),
        }
    }
    let proven = if proofs { proofs_of(instance, tenant, &events).await? } else { Vec::new() };
    let mut proven = proven.into_iter();
    let what = match (proofs, security) {
        (true, _) => Event::new(EventKind::AuditExported),
        (false, true) => read("security_events"),
        (false, false) => read("events"),
    };
    let what = match u64::try_from(damaged.len()) {
        Ok(0) => what,
        count => what.with("damaged", Detail::Count(count.unwrap_or(u64::MAX))),
    };
    let views = release(instance, call, tenant, events, what.references(own)).await?;
    let found = views.into_iter().map(|event| Found { event, proof: proven.next() }).collect();
    Ok(Results { found, damaged, next: last.filter(|_| full), purged })
}

/// Of what the filter finds, security events alone.
pub(super) fn security_alone(filter: &mut EventFilter) {
    let begins = filter.prefix.take().unwrap_or_default();
    let kinds = EventKind::ALL.iter().filter(|kind| kind.is_security() && kind.as_str().starts_with(&begins));
    filter.kinds = kinds.map(|kind| kind.as_str().to_owned()).collect();
    if filter.kinds.is_empty() {
        // None of them begins so, and no kinds would mean all.
        filter.kinds.push(String::new());
    }
}

/// Looks for what these things are or were ever called; gives what they are called now.
pub(super) async fn filter_by(
    instance: &Instance,
    tenant: TenantId,
    filter: &mut EventFilter,
    named: &[Named],
) -> Result<Vec<String>, ReadAuditError> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    check_named(named)?;
    let ring = instance.keyring(tenant).await?;
    let mut own = Vec::with_capacity(named.len());
    for Named { kind, id } in named {
        own.push(ring.reference(kind, id.expose())?);
        filter.references.extend(ring.references_to(kind, id.expose())?);
    }
    Ok(own)
}

fn check_named(named: &[Named]) -> Result<(), Faults> {
    let mut faults = Faults::default();
    if named.len() > MAX_NAMED {
        faults.add("/rows", "too_many", format!("name at most {MAX_NAMED} things at once"));
    }
    for Named { kind, id } in named.iter().take(MAX_NAMED) {
        let pointer = if kind == "subject" { "/subject" } else { "/rows" };
        if !(1..=255).contains(&kind.len()) || !(1..=255).contains(&id.expose().chars().count()) {
            faults.add(pointer, "length", "use 1 to 255 characters");
        }
    }
    faults.check()
}

/// Events of the log, all that were acknowledged before among them, or where one lies that is damaged; and what of that time was
/// purged.
pub(super) async fn logged(
    instance: &Instance,
    tenant: TenantId,
    filter: &EventFilter,
) -> Result<(damage::Found, Vec<Purge>), ReadAuditError> {
    let head = sequence::sequence(instance, tenant).await?;
    let ring = instance.keyring(tenant).await?;
    let mut view = sequence::caught_up(instance, tenant, head.size).await?;
    let events = damage::each(&mut *view, filter).await?;
    // The store is asked only where something can be: most look for what no tenant may let go yet.
    if is_too_young(instance.now(), filter.from) {
        return Ok((events, Vec::new()));
    }
    Ok((events, purged_between(&mut *view, &ring, filter.from, filter.to).await?))
}

async fn proofs_of(
    instance: &Instance,
    tenant: TenantId,
    events: &[LoggedEvent],
) -> Result<Vec<String>, ReadAuditError> {
    let checkpoint = sequence::checkpoint(instance, tenant).await?;
    let mut view = sequence::caught_up(instance, tenant, checkpoint.size).await?;
    let indexes: Vec<u64> = events.iter().map(|event| event.index).collect();
    let proofs = sequence::prove_all(&mut *view, tenant, &indexes, &checkpoint).await?;
    Ok(proofs.iter().map(|proof| proof.to_text()).collect())
}

/// The event that tells of reading this.
pub(super) fn read(what: &'static str) -> Event {
    Event::new(EventKind::AuditRead).with("what", Detail::Code(what))
}

/// One event, and its proof if wanted.
///
/// # Errors
///
/// [`ReadAuditError`].
pub async fn get(instance: &Instance, call: &Call, tenant: TenantId, id: EventId) -> Result<EventView, ReadAuditError> {
    require(instance, call, tenant).await?;
    let head = sequence::sequence(instance, tenant).await?;
    let mut view = sequence::caught_up(instance, tenant, head.size).await?;
    let event = match view.logged_event(id).await {
        Err(StoreError::Damaged(_)) => return Err(DamagedLog { log: tenant, at: None }.into()),
        event => event?.ok_or(ReadAuditError::NotFound)?,
    };
    drop(view);
    let mut events = release(instance, call, tenant, vec![event], read("events")).await?;
    events.pop().ok_or(ReadAuditError::NotFound)
}

/// One event with its proof under a fresh checkpoint.
///
/// # Errors
///
/// [`ReadAuditError`].
pub async fn get_proven(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    id: EventId,
) -> Result<ProvenEvent, ReadAuditError> {
    let event = get(instance, call, tenant, id).await?;
    let checkpoint = sequence::checkpoint(instance, tenant).await?;
    let mut view = sequence::caught_up(instance, tenant, checkpoint.size).await?;
    let proof = sequence::prove(&mut *view, tenant, event.logged.index, &checkpoint).await?;
    Ok(ProvenEvent { event, proof: proof.to_text(), checkpoint })
}

/// The signed head of the log.
///
/// # Errors
///
/// [`ReadAuditError`].
pub async fn checkpoint(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
) -> Result<StoredCheckpoint, ReadAuditError> {
    require(instance, call, tenant).await?;
    note(instance, call, tenant, read("checkpoint")).await?;
    let newest = sequence::checkpoint(instance, tenant).await?;
    if !tenant.is_platform() {
        return Ok(newest);
    }
    let mut view = instance.store().view(tenant).await?;
    let note = Witnessed::of(instance, &mut *view, &newest).await?.note.text().to_owned();
    Ok(StoredCheckpoint { note, ..newest })
}

/// The newest head of the log that the platform's log tells of, with the proof of that.
///
/// # Errors
///
/// [`ReadAuditError`]; [`ReadAuditError::NotFound`] while there is none.
pub async fn anchor(instance: &Instance, call: &Call, tenant: TenantId) -> Result<Anchor, ReadAuditError> {
    require(instance, call, tenant).await?;
    note(instance, call, tenant, read("anchor")).await?;
    guard::anchor(instance, tenant).await?.ok_or(ReadAuditError::NotFound)
}

/// A tile of the log; `None` if there is none.
///
/// # Errors
///
/// [`ReadAuditError`].
pub async fn tile(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    id: chancery_crypto::tiles::TileId,
) -> Result<Option<Vec<u8>>, ReadAuditError> {
    require(instance, call, tenant).await?;
    note(instance, call, tenant, read("tile")).await?;
    let mut view = instance.store().view(tenant).await?;
    Ok(view.tile(id).await?)
}

pub(super) fn check(filter: &EventFilter) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let span = filter.to.as_seconds().saturating_sub(filter.from.as_seconds());
    if filter.from >= filter.to {
        faults.add("/from", "range", "`from` must be before `to`");
    } else if filter.references.is_empty() && span > MAX_SPAN_SECONDS {
        faults.add("/to", "range", "ask for at most 366 days at once");
    } else if span > MAX_SPAN_OF_NAMED_SECONDS {
        faults.add("/to", "range", "ask for at most seven years at once");
    }
    if filter.limit == 0 || filter.limit > MAX_PAGE {
        faults.add("/limit", "range", "ask for 1 to 1000 events at once");
    }
    let texts = [
        ("/actor", &filter.actor),
        ("/type", &filter.kind),
        ("/type_prefix", &filter.prefix),
        ("/resource", &filter.resource),
    ];
    for (pointer, text) in texts {
        if text.as_ref().is_some_and(|text| text.len() > 100 || text.chars().any(char::is_control)) {
            faults.add(pointer, "format", "use an id or a code");
        }
    }
    faults.check()
}

/// Notes that the log was read, and opens the personal parts for those who may see them.
pub(super) async fn release(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    events: Vec<LoggedEvent>,
    told: Event,
) -> Result<Vec<EventView>, ReadAuditError> {
    release_with(instance, call, tenant, events, told, true).await
}

/// As [`release`]; the personal parts stay closed if they are not wanted.
pub(crate) async fn release_with(
    instance: &Instance,
    call: &Call,
    tenant: TenantId,
    events: Vec<LoggedEvent>,
    told: Event,
    wanted: bool,
) -> Result<Vec<EventView>, ReadAuditError> {
    let opens = wanted && tenant == call.tenant() && call.caller.may(Permission::AuditReadSealed);
    let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
    let missing = personal::missing(instance, tenant, &events).await?;
    let shown = |logged: LoggedEvent, personal| {
        let personal_missing = missing.contains(&logged.index);
        EventView { logged, personal, personal_missing }
    };
    let event = told
        .with("count", Detail::Count(count))
        .with("personal", Detail::Code(if opens { "opened" } else { "closed" }));
    if !opens {
        note(instance, call, tenant, event).await?;
        return Ok(events.into_iter().map(|logged| shown(logged, None)).collect());
    }
    let intent = OpenIntent::new(system::AUDIT, events.len(), event);
    let (receipt, fence) = append(instance, call, tenant, vec![intent]).await?.single()?;
    let lease = fence.lease(instance).await?;
    let field = system::audit_sealed();
    let rows: Vec<String> = events.iter().map(|logged| logged.event.id.to_string()).collect();
    let sealed: Vec<Option<Sealed>> =
        events.iter().map(|logged| Sealed::from_bytes(logged.event.sealed.clone()?).ok()).collect();
    let values: Vec<(Place<'_>, &Sealed)> = rows
        .iter()
        .zip(&sealed)
        .filter_map(|(row, sealed)| Some((Place { field: &field, row }, sealed.as_ref()?)))
        .collect();
    let of_persons: BTreeSet<Handle> =
        sealed.iter().flatten().map(Sealed::handle).filter(|handle| !lease.keyring.knows(*handle)).collect();
    let of_persons: Vec<Handle> = of_persons.into_iter().collect();
    // A part whose key was destroyed, or that is damaged, stays closed; the event is there all the same.
    let subjects = lend::for_reading(instance, tenant, &lease.keyring, &of_persons).await?;
    let mut opened = lease.keyring.open_each_with(receipt, system::AUDIT, &subjects, &values)?.into_iter();
    let views = events
        .into_iter()
        .zip(&sealed)
        .map(|(logged, sealed)| {
            let personal = sealed.as_ref().and_then(|_| opened.next()).and_then(Result::ok);
            shown(logged, personal)
        })
        .collect();
    Ok(fence.release(instance, &lease, views).await?)
}
