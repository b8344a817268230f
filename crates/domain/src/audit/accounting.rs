//! Accounting of disclosures of one person (45 CFR 164.528): who got what, when and why, as far as the log knows.
//!
//! What Chancery sees itself is an opening: a use, and a disclosure only if its purpose says so. What goes to somebody else the
//! application alone knows, and appends as `app.disclosure…` with a reference to the person.

use serde_json::Value;

use super::{
    DamagedLog, EventFilter, EventKind, LoggedEvent, damage,
    ended::spans,
    intent::{End, Phase, end_among, phase_of},
    query::{self, EventView, MAX_PAGE, Named, ReadAuditError},
    retention::Purge,
};
use crate::{
    Instance,
    access::Call,
    ids::{EventId, RequestId, TenantId},
    store::StoreError,
    time::Timestamp,
};

/// What the types of disclosures that applications append begin with.
pub const DISCLOSURE: &str = "app.disclosure";
/// For how many days back an accounting goes if nothing is said: six years (164.528(a)(1)).
const DAYS: i64 = 6 * 366;
/// For how long after an opening its outcome is looked for, in seconds: first where nearly all are, then for as long as others may take
/// to close what a node left that died for good.
const LOOKED_FOR: [i64; 2] = [10 * 60, 2 * 24 * 60 * 60];
/// The parts of an opening are told of at once; so many seconds apart at most.
const PARTS_WITHIN_SECONDS: i64 = 60;

codes! {
    /// Whether a disclosure belongs into an accounting.
    pub enum Standing {
        /// It does.
        Counts = "counts",
        /// For treatment, payment or operations: 164.528(a)(1)(i).
        CareOperations = "exempt_treatment_payment_operations",
        /// To the person: 164.528(a)(1)(ii).
        OwnRequest = "exempt_own_request",
    }
}

impl Standing {
    /// Of something done for this purpose of use; what names none counts.
    pub fn of(purpose: Option<&str>) -> Self {
        match purpose {
            Some("TREAT" | "ETREAT" | "HPAYMT" | "HOPERAT") => Self::CareOperations,
            Some("PATRQT") => Self::OwnRequest,
            _ => Self::Counts,
        }
    }
}

/// Which accounting.
#[derive(Debug)]
pub struct Asked {
    /// The person, and rows of theirs.
    pub named: Vec<Named>,
    /// From when; six years ago if nothing is said.
    pub from: Option<Timestamp>,
    /// Until when; now if nothing is said.
    pub to: Option<Timestamp>,
    /// After this place of the log.
    pub after: Option<u64>,
    /// How many events are looked at, at most.
    pub limit: u32,
    /// Also what need not be in it.
    pub all: bool,
}

/// One entry.
#[derive(Debug)]
pub struct Entry {
    /// Its event; of an opening that was told of in parts the first that names what was asked for.
    pub event: EventView,
    /// All of those parts; none of what was told of at once.
    pub parts: Vec<EventId>,
    /// Whether it belongs into an accounting.
    pub standing: Standing,
    /// Its purpose of use.
    pub purpose: Option<String>,
    /// How it ended, if it is an opening whose outcome is known. It counts once, however it ended.
    pub end: Option<End>,
}

/// The accounting of one person, or a page of it.
#[derive(Debug)]
pub struct Accounting {
    /// Its entries in the order of the log.
    pub entries: Vec<Entry>,
    /// After which place it goes on, if it does.
    pub next: Option<u64>,
    /// What of its time was purged.
    pub purged: Vec<Purge>,
}

/// The entries of one person in the order of the log.
///
/// # Errors
///
/// [`ReadAuditError`].
pub async fn account(instance: &Instance, call: &Call, asked: Asked) -> Result<Accounting, ReadAuditError> {
    let tenant = call.tenant();
    query::require(instance, call, tenant).await?;
    let now = instance.now();
    let mut filter = EventFilter::after(asked.after, asked.limit);
    filter.from = asked.from.unwrap_or_else(|| now.plus_days(-DAYS));
    filter.to = asked.to.unwrap_or_else(|| now.plus_seconds(1));
    filter.prefix = Some(DISCLOSURE.to_owned());
    filter.kinds.push(EventKind::RecordOpened.as_str().to_owned());
    let own = query::filter_by(instance, tenant, &mut filter, &asked.named).await?;
    query::check(&filter)?;
    let (each, purged) = query::logged(instance, tenant, &filter).await?;
    // One that leaves something out is wrong.
    let whole: Result<Vec<LoggedEvent>, u64> = each.into_iter().collect();
    let mut events = whole.map_err(|place| DamagedLog { log: tenant, at: Some(place) })?;
    let full = u32::try_from(events.len()).is_ok_and(|length| length >= filter.limit);
    let next = events.last().map(|event| event.index).filter(|_| full);
    // An outcome tells of an opening that its intent has told of.
    let outcomes: Vec<LoggedEvent> = events.extract_if(.., |event| phase(event) == Phase::Outcome).collect();
    events.retain(|event| asked.all || standing(event).0 == Standing::Counts);
    let (events, parts): (Vec<LoggedEvent>, Vec<Vec<EventId>>) =
        openings(instance, tenant, &filter, events, next.is_some()).await?.into_iter().unzip();
    let standings: Vec<(Standing, Option<String>)> = events.iter().map(standing).collect();
    let ends = ends(instance, tenant, &events, &outcomes).await?;
    let told = query::read("accounting").references(own);
    let views = query::release(instance, call, tenant, events, told).await?;
    let entries = views.into_iter().zip(parts).zip(standings).zip(ends);
    let entry = |(((event, parts), (standing, purpose)), end)| Entry { event, parts, standing, purpose, end };
    Ok(Accounting { entries: entries.map(entry).collect(), next, purged })
}

/// One of the events that tell of an opening.
struct Part {
    of: (RequestId, Value),
    number: u64,
    count: u64,
}

impl Part {
    /// `None` of what was told of at once.
    fn of(logged: &LoggedEvent) -> Option<Self> {
        let core: Value = serde_json::from_str(&logged.event.core).ok()?;
        let detail = core.get("detail").filter(|_| phase_of(&core) == Phase::Intent)?;
        let number = |name: &str| detail.get(name).and_then(Value::as_u64);
        let of = (logged.event.request, detail.get("table").cloned().unwrap_or_default());
        Some(Self { of, number: number("part")?, count: number("parts")? })
    }
}

fn is_part(logged: &LoggedEvent, such: fn(&Part) -> bool) -> bool {
    Part::of(logged).as_ref().is_some_and(such)
}

/// The events of a page, with the ids of all parts of an opening at the first of them, wherever those lie. What begins before the page
/// was listed there.
async fn openings(
    instance: &Instance,
    tenant: TenantId,
    filter: &EventFilter,
    page: Vec<LoggedEvent>,
    goes_on: bool,
) -> Result<Vec<(LoggedEvent, Vec<EventId>)>, ReadAuditError> {
    let (Some(first), Some(last)) = (page.first().map(|event| event.index), page.last().map(|event| event.index))
    else {
        return Ok(Vec::new());
    };
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    let later = page.iter().find(|event| is_part(event, |part| part.number > 1));
    if let Some(later) = later.filter(|_| filter.after.is_some()) {
        let from = filter.from.max(later.event.recorded_at.plus_seconds(-PARTS_WITHIN_SECONDS));
        let near = EventFilter { from, after: None, limit: MAX_PAGE, ..filter.clone() };
        before = parts_among(instance, tenant, &near).await?;
        before.retain(|event| event.index < first);
    }
    let unfinished = page.iter().rfind(|event| is_part(event, |part| part.number < part.count));
    if let Some(unfinished) = unfinished.filter(|_| goes_on) {
        let to = filter.to.min(unfinished.event.recorded_at.plus_seconds(PARTS_WITHIN_SECONDS));
        let near = EventFilter { to, after: Some(last), limit: MAX_PAGE, ..filter.clone() };
        behind = parts_among(instance, tenant, &near).await?;
    }
    let mut together = put_together(before.into_iter().chain(page).chain(behind));
    together.retain(|(event, _)| (first..=last).contains(&event.index));
    Ok(together)
}

/// What of the events that the filter finds is part of an opening.
async fn parts_among(
    instance: &Instance,
    tenant: TenantId,
    filter: &EventFilter,
) -> Result<Vec<LoggedEvent>, ReadAuditError> {
    let mut view = instance.store().fresh_view(tenant).await?;
    let mut events = damage::whole::<ReadAuditError>(&mut *view, tenant, filter).await?;
    events.retain(|event| Part::of(event).is_some());
    Ok(events)
}

/// Events in the order of the log, those of one opening at the first of them. A request may open more than once, and each begins anew.
fn put_together(events: impl Iterator<Item = LoggedEvent>) -> Vec<(LoggedEvent, Vec<EventId>)> {
    let mut together: Vec<(LoggedEvent, Vec<EventId>)> = Vec::new();
    // Where each begins, and which of its parts came last.
    let mut begun: Vec<(usize, Part)> = Vec::new();
    for event in events {
        let Some(part) = Part::of(&event) else {
            together.push((event, Vec::new()));
            continue;
        };
        let own = begun.iter_mut().rfind(|(_, last)| last.of == part.of);
        match own.filter(|(_, last)| last.number < part.number) {
            Some((at, last)) => {
                last.number = part.number;
                if let Some((_, parts)) = together.get_mut(*at) {
                    parts.push(event.event.id);
                }
            }
            None => {
                begun.push((together.len(), part));
                let id = event.event.id;
                together.push((event, vec![id]));
            }
        }
    }
    together
}

/// How each of these ended: told on the same page mostly, and otherwise a little behind it.
async fn ends(
    instance: &Instance,
    tenant: TenantId,
    events: &[LoggedEvent],
    outcomes: &[LoggedEvent],
) -> Result<Vec<Option<End>>, ReadAuditError> {
    let mut ends: Vec<Option<End>> = events.iter().map(|event| end_among(&event.event, outcomes)).collect();
    for seconds in LOOKED_FOR {
        let open = events.iter().zip(&ends).filter(|(event, end)| end.is_none() && phase(event) == Phase::Intent);
        let open: Vec<(Timestamp, RequestId)> =
            open.map(|(event, _)| (event.event.recorded_at, event.event.request)).collect();
        if open.is_empty() {
            break;
        }
        let (mut view, mut found) = (instance.store().fresh_view(tenant).await?, Vec::new());
        for (span, requests) in spans(open, seconds) {
            match view.outcomes(span, &requests).await {
                Err(StoreError::Damaged(_)) => return Err(DamagedLog { log: tenant, at: None }.into()),
                outcomes => found.extend(outcomes?),
            }
        }
        for (event, end) in events.iter().zip(&mut ends).filter(|(_, end)| end.is_none()) {
            *end = end_among(&event.event, &found);
        }
    }
    Ok(ends)
}

fn phase(logged: &LoggedEvent) -> Phase {
    phase_of(&serde_json::from_str(&logged.event.core).unwrap_or_default())
}

fn standing(logged: &LoggedEvent) -> (Standing, Option<String>) {
    let core: serde_json::Value = serde_json::from_str(&logged.event.core).unwrap_or_default();
    let purpose = core.get("purpose").and_then(serde_json::Value::as_str).map(str::to_owned);
    (Standing::of(purpose.as_deref()), purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_care_and_the_person_ask_for_is_exempt_and_all_else_counts() {
        for (purpose, expected) in [
            (Some("TREAT"), Standing::CareOperations),
            (Some("ETREAT"), Standing::CareOperations),
            (Some("HPAYMT"), Standing::CareOperations),
            (Some("HOPERAT"), Standing::CareOperations),
            (Some("PATRQT"), Standing::OwnRequest),
            (Some("HRESCH"), Standing::Counts),
            (Some("PUBHLTH"), Standing::Counts),
            (Some("SYSADMIN"), Standing::Counts),
            (None, Standing::Counts),
        ] {
            assert_eq!(Standing::of(purpose), expected, "{purpose:?}");
        }
    }
}
