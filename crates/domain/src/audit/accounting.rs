//! Accounting of disclosures of one person (45 CFR 164.528): who got what, when and why, as far as the log knows.
//!
//! What Chancery sees itself is an opening: a use, and a disclosure only if its purpose says so. What goes to somebody else the
//! application alone knows, and appends as `app.disclosure…` with a reference to the person.

use super::{
    DamagedLog, EventFilter, EventKind, LoggedEvent,
    ended::spans,
    intent::{End, Phase, end_among, phase_of},
    query::{self, EventView, Named, ReadAuditError},
    retention::Purge,
};
use crate::{
    Instance,
    access::Call,
    ids::{RequestId, TenantId},
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
    /// Its event.
    pub event: EventView,
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
    let standings: Vec<(Standing, Option<String>)> = events.iter().map(standing).collect();
    let ends = ends(instance, tenant, &events, &outcomes).await?;
    let told = query::read("accounting").references(own);
    let views = query::release(instance, call, tenant, events, told).await?;
    let entries = views.into_iter().zip(standings).zip(ends);
    let entries = entries.map(|((event, (standing, purpose)), end)| Entry { event, standing, purpose, end }).collect();
    Ok(Accounting { entries, next, purged })
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
