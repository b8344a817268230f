//! Orders purges, and carries them out.
//!
//! An order is one commit: a certificate and an event for each month, and a row that says where the events lie. Nothing goes in
//! it. They go afterwards, a thousand places a transaction, once the order is in the log and under a signed head; whoever dies
//! in between leaves an open purge, and the next one goes on where it stands.

use chancery_crypto::Phi;

use super::{
    Hold, KEPT, Month, Purge, PurgeProof, Purged, RetentionError, Rules,
    due::{Due, bound, read_again},
    plan::{Receivers, Span, spans},
    steady::is_steady,
};
use crate::{
    Instance,
    access::{Call, Permission, RequestInfo},
    approvals::{self, Carried, Deed, DeedKind},
    audit::{Change, Detail, Event, EventKind, LogHead, guard::Finding, receipt::note, sequence, stamp::Actor},
    certificates::{Claim, issue_within, with_key_of_today},
    faults::Faults,
    ids::{ApprovalId, EventId, RequestId, TenantId},
    instance::Failure,
    store::StoreError,
    text::check_name,
};

/// The kind of certificate that says events were destroyed, and what it states.
pub(super) const CERTIFICATE_KIND: &str = "retention-destruction";
const CERTIFICATE_CODE: &str = "retention-ended";
/// How many places one transaction lets go.
const BATCH: u64 = 1_000;
/// How many such transactions a call waits for; the job does the others.
const BATCHES_OF_A_CALL: u32 = 10;
/// How many the job does for one tenant before the next has its turn.
const BATCHES_OF_A_TURN: u32 = 500;

/// What the job did for a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tended {
    /// How many months were ordered to go.
    pub ordered: usize,
    /// How many events went.
    pub events: u64,
    /// How many purges nobody ordered, nor dismissed.
    pub unproven: u64,
    /// Months are due and are not ordered to go: the clock is not believed yet.
    pub waits: bool,
    /// How many rows of what keeps the log are not what the log says, or cannot be read.
    pub disputed: u64,
}

/// The months of the caller's tenant that can go, or could but for a hold or a sink: those before `before`, or before what
/// retention keeps.
///
/// # Errors
///
/// [`RetentionError`].
pub async fn plan(instance: &Instance, call: &Call, before: Option<Month>) -> Result<Vec<Span>, RetentionError> {
    call.require(Permission::AuditRetain)?;
    sequence::sequence(instance, call.tenant()).await?;
    let receivers = Receivers::of(instance, call.tenant()).await?;
    let mut view = instance.store().fresh_view(call.tenant()).await?;
    let rules = receivers.rules(&mut *view).await?;
    let before = bound(instance, &rules, before)?;
    let planned = spans(instance, &mut *view, &receivers, &rules, before).await?;
    drop(view);
    let event = Event::new(EventKind::AuditRead).with("what", Detail::Code("purge_plan"));
    note(instance, call, call.tenant(), event).await?;
    Ok(planned)
}

/// Purges what can go of the caller's tenant before `before`, or before what retention keeps. Takes two people: without an
/// approval it is asked for. What is much goes on after the answer.
///
/// # Errors
///
/// [`RetentionError`].
pub async fn purge(
    instance: &Instance,
    call: &Call,
    before: Option<Month>,
    reason: &Phi<String>,
    approval: Option<ApprovalId>,
) -> Result<Carried<Vec<Purge>>, RetentionError> {
    call.require(Permission::AuditRetain)?;
    instance.require_recent(call)?;
    let mut faults = Faults::default();
    check_name("/reason", reason.expose(), 200, &mut faults);
    faults.check()?;
    let tenant = call.tenant();
    sequence::sequence(instance, tenant).await?;
    let Some(approval) = approval else {
        let receivers = Receivers::of(instance, tenant).await?;
        let mut view = instance.store().fresh_view(tenant).await?;
        let due = Due::of(instance, &mut *view, &receivers, before).await?;
        drop(view);
        let deed = deed(tenant, &due)?.because(Phi::new(reason.expose().clone()));
        return Ok(Carried::waits(approvals::request(instance, call, &deed).await?));
    };
    let read = read_again(instance, tenant, before).await?;
    let ordered =
        with_key_of_today(instance, tenant, || try_order(instance, call, before, &read, reason, approval)).await?;
    // The order stands. What does not go now goes with the job.
    if let Err(error) = carry_out(instance, tenant, BATCHES_OF_A_CALL).await {
        tracing::warn!(%tenant, error = &error as &dyn std::error::Error, "A purge of the log of `{tenant}` goes on later");
    }
    let now = instance.store().fresh_view(tenant).await?.purges().await?;
    let done = now.into_iter().filter(|purge| ordered.iter().any(|ordered| ordered.first == purge.first));
    Ok(Carried::Done(done.collect()))
}

/// Goes on with what was ordered to go of a tenant's log, and orders what its time is over for where the tenant said so, unless
/// the clock may have jumped: then it waits, and people can order it.
///
/// # Errors
///
/// [`RetentionError`].
pub async fn tend(instance: &Instance, tenant: TenantId) -> Result<Tended, RetentionError> {
    let (mut events, unproven) = carry_out(instance, tenant, BATCHES_OF_A_TURN).await?;
    let done = Tended { unproven, events, ..Tended::default() };
    let Ok(ring) = instance.keyring(tenant).await else { return Ok(done) };
    let rules = Rules::settled(instance, tenant, Some(&*ring)).await?;
    instance.guard().note_unconfirmed(tenant, rules.unconfirmed);
    let unreadable = instance.store().fresh_view(tenant).await?.unreadable_rows().await?;
    let done = Tended { disputed: tell(tenant, &rules, unreadable), ..done };
    if !rules.retention.automatic {
        return Ok(done);
    }
    sequence::sequence(instance, tenant).await?;
    let receivers = Receivers::of(instance, tenant).await?;
    let mut view = instance.store().fresh_view(tenant).await?;
    let due = match Due::of(instance, &mut *view, &receivers, None).await {
        Ok(due) => due,
        Err(RetentionError::Nothing) => return Ok(done),
        Err(error) => return Err(error),
    };
    drop(view);
    if !is_steady(instance, tenant).await? {
        return Ok(Tended { waits: true, ..done });
    }
    let read = read_again(instance, tenant, None).await?;
    let request = request(instance)?;
    let ordered = with_key_of_today(instance, tenant, || order_as_job(instance, &request, tenant, &read)).await?;
    let months = due.spans.len();
    tracing::info!(%tenant, months, "The time of {months} month(s) of the log of `{tenant}` is over");
    let (further, unproven) = carry_out(instance, tenant, BATCHES_OF_A_TURN).await?;
    events += further;
    Ok(Tended { ordered, events, unproven, ..done })
}

/// Says where rows and log differ in what keeps it, and that rows cannot be read; how many.
fn tell(tenant: TenantId, rules: &Rules, unreadable: u64) -> u64 {
    for Finding { check, at } in &rules.differ {
        tracing::error!(
            %tenant,
            code = check.as_str(),
            "A ROW OF WHAT KEEPS THE LOG OF `{tenant}` IS NOT WHAT THE LOG SAYS (place {at}): somebody wrote to the store. What keeps more \
             counts; see docs/guides/retention-and-erasure.md"
        );
    }
    if unreadable > 0 {
        tracing::error!(
            %tenant,
            code = "row_unreadable",
            "{unreadable} ROWS OF PURGES OR ARCHIVES OF THE LOG OF `{tenant}` CANNOT BE READ: they decayed, or somebody wrote them. They count for \
             nothing; see docs/guides/retention-and-erasure.md"
        );
    }
    if rules.unconfirmed {
        tracing::warn!(
            %tenant,
            code = "retention_unconfirmed",
            "How long the log of `{tenant}` is kept was said by a build before proofs. An officer says it again: `chancery audit retention \
             confirm`"
        );
    }
    rules.differ.len() as u64 + unreadable
}

/// What another person consents to: these places and no others.
fn deed(tenant: TenantId, Due { spans: due, .. }: &Due) -> Result<Deed, RetentionError> {
    let (Some(oldest), Some(newest)) = (due.first(), due.last()) else { return Err(RetentionError::Nothing) };
    Ok(Deed::new(DeedKind::AuditPurge, "log", tenant)
        .with("months", Detail::Names(due.iter().map(|span| span.month.to_string()).collect()))
        .with("first", Detail::Count(oldest.first))
        .with("end", Detail::Count(newest.end))
        .with("events", Detail::Count(due.iter().map(|span| span.events).sum())))
}

async fn try_order(
    instance: &Instance,
    call: &Call,
    before: Option<Month>,
    read: &[(u64, u64)],
    reason: &Phi<String>,
    approval: ApprovalId,
) -> Result<Vec<Purge>, RetentionError> {
    let receivers = Receivers::of(instance, call.tenant()).await?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_log().await?;
    let due = Due::of(instance, change.rows(), &receivers, before).await?.of_read(read)?;
    approvals::consume(instance, call, &mut change, approval, &deed(call.tenant(), &due)?).await?;
    let (ordered, last) = order(instance, &mut change, &due).await?;
    let last = last.with("approval", Detail::Id(approval.to_string())).personal("reason", reason.expose().clone());
    change.commit(last).await?;
    Ok(ordered)
}

async fn order_as_job(
    instance: &Instance,
    request: &RequestInfo,
    tenant: TenantId,
    read: &[(u64, u64)],
) -> Result<usize, RetentionError> {
    let receivers = Receivers::of(instance, tenant).await?;
    let ring = instance.keyring(tenant).await?;
    let mut change = Change::begin_with(instance, Actor::System(request), tenant, ring).await?;
    change.rows().hold_log().await?;
    // Looked at again: somebody may have held it meanwhile, or wants it kept.
    let due = match Due::of(instance, change.rows(), &receivers, None).await.and_then(|due| due.of_read(read)) {
        Ok(due) if due.rules.retention.automatic => due,
        Ok(_) | Err(RetentionError::Nothing) => return Ok(0),
        Err(error) => return Err(error),
    };
    let (ordered, last) = order(instance, &mut change, &due).await?;
    change.commit(last).await?;
    Ok(ordered.len())
}

/// Certifies each month and notes it; gives the event that is to be committed.
async fn order(instance: &Instance, change: &mut Change<'_>, due: &Due) -> Result<(Vec<Purge>, Event), RetentionError> {
    let origin = change.rows().log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
    let head = change.rows().log_head().await?;
    let Due { spans, rules } = due;
    let (mut ordered, mut last) = (Vec::with_capacity(spans.len()), None);
    for span in spans {
        if let Some(event) = last.take() {
            change.record(event).await?;
        }
        let (issued, certified) =
            issue_within(instance, change, &claim(span, &origin, head, rules.retention.months)).await?;
        change.record(certified).await?;
        let now = instance.now();
        let purge = Purge {
            first: span.first,
            end: span.end,
            month: span.month,
            events: span.events,
            next: span.first,
            certificate: issued.certificate.id,
            event: EventId::make(now, instance.random())?,
            begun_at: now,
            ended_at: None,
        };
        change.rows().insert_purge(&purge).await?;
        last = Some(told(EventKind::PurgeOrdered, &purge).identified(purge.event));
        ordered.push(purge);
    }
    Ok((ordered, last.ok_or(RetentionError::Nothing)?))
}

fn claim(span: &Span, origin: &str, head: LogHead, months: u32) -> Claim {
    let params = [
        ("first", span.first.into()),
        ("end", span.end.into()),
        ("events", span.events.into()),
        ("month", span.month.to_string().into()),
        ("reason", "RETENTION_ENDED".into()),
        ("retention_months", months.into()),
        ("tree_size", head.size.into()),
        ("tree_root", data_encoding::HEXLOWER.encode(&head.root).into()),
    ];
    Claim {
        kind: CERTIFICATE_KIND.to_owned(),
        subject_kind: "audit-log".to_owned(),
        subject_ref: Phi::new(origin.to_owned()),
        code: CERTIFICATE_CODE.to_owned(),
        params: params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        evidence: Vec::new(),
        supersedes: None,
        occurred_at: None,
        attested_at: None,
        not_after: None,
    }
}

/// An event of this kind that says what a purge says of itself; one that was forged may say anything.
pub(super) fn told(kind: EventKind, purge: &Purge) -> Event {
    Event::new(kind)
        .with("first", Detail::Count(purge.first))
        .with("end", Detail::Count(purge.end))
        .with("events", Detail::Count(purge.events))
        .with("month", Detail::Id(purge.month.to_string()))
        .with("certificate", Detail::Id(purge.certificate.to_string()))
}

/// Lets go what was ordered to, in at most so many transactions; gives how many events went, and of how many purges nobody knows.
async fn carry_out(instance: &Instance, tenant: TenantId, batches: u32) -> Result<(u64, u64), RetentionError> {
    let purges = instance.store().fresh_view(tenant).await?.purges().await?;
    if purges.is_empty() {
        return Ok((0, 0));
    }
    let goes_on = purges.iter().any(|purge| purge.ended_at.is_none());
    if goes_on {
        // The orders are in the log and under a signed head before anything is gone.
        sequence::checkpoint(instance, tenant).await?;
    }
    let ring = match instance.keyring(tenant).await {
        // Of a tenant whose keys are out of use nobody can say what was ordered.
        Err(_) if !goes_on => return Ok((0, 0)),
        ring => ring?,
    };
    let mut view = instance.store().fresh_view(tenant).await?;
    let told = Purged::told(&mut *view, &ring).await?;
    let mut proofs = Vec::with_capacity(purges.len());
    for purge in &purges {
        proofs.push(PurgeProof::of(&mut *view, &ring, &told, purge).await?);
    }
    drop(view);
    let (mut gone, mut left, mut unproven) = (0, batches, 0);
    for (purge, proof) in purges.into_iter().zip(proofs) {
        if proof == PurgeProof::Unproven {
            unproven += 1;
            tracing::error!(
                %tenant,
                code = "purge_forged",
                "A PURGE OF THE LOG OF `{tenant}` WAS NOT ORDERED (its first place is {}): no event of the log with a certificate of the tenant tells of it. \
                 Nothing goes for it. Somebody wrote it into the store; see docs/guides/retention-and-erasure.md",
                purge.first
            );
        }
        if proof != PurgeProof::Ordered || purge.ended_at.is_some() {
            continue;
        }
        match let_go(instance, tenant, purge, &mut left, &mut gone).await {
            // Another node goes on with it.
            Err(RetentionError::Failed(Failure::Store(StoreError::Changed(_)))) => {}
            went => went?,
        }
    }
    if gone > 0
        && let Err(error) = instance.store().scrub().await
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "Could not move a purge into its final place yet");
    }
    Ok((gone, unproven))
}

/// Goes on with one purge to its end, or until it is held or it was enough for now.
async fn let_go(
    instance: &Instance,
    tenant: TenantId,
    mut purge: Purge,
    left: &mut u32,
    gone: &mut u64,
) -> Result<(), RetentionError> {
    let ring = instance.keyring(tenant).await?;
    let mut seen: Option<Vec<Hold>> = None;
    while purge.next < purge.end {
        if *left == 0 {
            return Ok(());
        }
        *left -= 1;
        // No event of its own: what was ordered is told of (ADR 0025).
        let mut tx = instance.store().begin(tenant).await?;
        tx.hold_log().await?;
        let rules = Rules::of(&mut *tx, Some(&*ring)).await?;
        if seen.as_ref() != Some(&rules.holds) {
            let facts = tx.span_facts(purge.next, purge.end, &KEPT).await?;
            if facts.recorded.is_some_and(|(oldest, newest)| rules.hold(oldest, newest)) {
                tracing::info!(%tenant, month = %purge.month, "A purge of the log of `{tenant}` waits: somebody holds what is left");
                return Ok(());
            }
            seen = Some(rules.holds);
        }
        let end = purge.next.saturating_add(BATCH).min(purge.end);
        *gone += tx.purge_events(&purge, end, &KEPT).await?;
        tx.commit().await?;
        purge.next = end;
    }
    let request = request(instance)?;
    let mut change = Change::begin_with(instance, Actor::System(&request), tenant, ring).await?;
    change.rows().end_purge(purge.first, instance.now()).await?;
    Ok(change.commit(told(EventKind::PurgeEnded, &purge)).await?)
}

/// What events of this job say of the request that they have none of.
fn request(instance: &Instance) -> Result<RequestInfo, Failure> {
    let id = RequestId::make(instance.now(), instance.random())?;
    Ok(RequestInfo { id, address: None, user_agent: None, key: None, route: "audit-retention", method: "JOB" })
}
