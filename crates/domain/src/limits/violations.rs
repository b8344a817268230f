//! Who was refused by limits, for review: in the log, a line a minute for each, and no more than it bears.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use crate::{
    Instance, TenantId,
    access::RequestInfo,
    audit::{Detail, Event, EventKind, Outcome, receipt::note_all, stamp::Actor},
    ids::{ApiKeyId, RequestId, SessionId},
    instance::Failure,
};

/// How many are told apart between two flushes; the rest is told as a sum.
const MOST: usize = 1_000;
/// How many addresses wait to be blocked at once, and how many credentials to be answered.
const MOST_DUE: usize = 1_000;

/// A credential that its limits refused again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Offender {
    /// An API key, or a token that it got.
    ApiKey(ApiKeyId),
    /// A session's tokens.
    Session(SessionId),
}

/// Who was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Whom {
    /// An address, if it is known.
    Address(Option<IpAddr>),
    /// An API key, a person or a tenant: which of them, and its id.
    Known(&'static str, String),
}

/// Refusals by limits since the last flush, by tenant, policy and subject.
#[derive(Default)]
pub struct Violations(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    counts: HashMap<(TenantId, String, Whom), u64>,
    /// Of those that there was no room for.
    others: u64,
    /// Addresses that were refused so often that they are to be blocked.
    due: HashSet<IpAddr>,
    /// Credentials that were, with their tenant and the last limit that refused.
    offenders: HashMap<Offender, (TenantId, String)>,
}

impl Violations {
    /// One was refused. No I/O: who is refused cannot grow a log.
    pub(super) fn note(&self, tenant: TenantId, policy: &str, whom: Whom) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant, policy.to_owned(), whom);
        if kept.counts.len() >= MOST && !kept.counts.contains_key(&key) {
            kept.others += 1;
        } else {
            *kept.counts.entry(key).or_default() += 1;
        }
    }

    /// An address is to be blocked.
    pub(super) fn note_due(&self, address: IpAddr) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.due.len() < MOST_DUE {
            kept.due.insert(address);
        }
    }

    /// The addresses that are to be blocked.
    pub(crate) fn take_due(&self) -> HashSet<IpAddr> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).due)
    }

    /// A credential is to be answered.
    pub(super) fn note_offender(&self, offender: Offender, tenant: TenantId, policy: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.offenders.len() < MOST_DUE {
            kept.offenders.insert(offender, (tenant, policy.to_owned()));
        }
    }

    /// The credentials that are to be answered.
    pub(crate) fn take_offenders(&self) -> HashMap<Offender, (TenantId, String)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner).offenders)
    }

    fn take(&self) -> (HashMap<(TenantId, String, Whom), u64>, u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut kept.counts), std::mem::take(&mut kept.others))
    }
}

/// Writes who was refused since the last time into the logs of their tenants, addresses into the platform's; called every minute.
///
/// # Errors
///
/// [`Failure`]; what was not written then is lost, and told as a number at the next time.
pub async fn flush_violations(instance: &Instance) -> Result<(), Failure> {
    let (counts, others) = instance.violations.take();
    let mut events: HashMap<TenantId, Vec<Event>> = HashMap::new();
    let mut total = others;
    for ((tenant, policy, whom), count) in counts {
        total += count;
        let event = Event::new(EventKind::LimitExceeded)
            .outcome(Outcome::MinorFailure)
            .with("policy", Detail::Names(vec![policy]))
            .with("count", Detail::Count(count));
        let event = match whom {
            Whom::Known(kind, id) => event.on(kind, id),
            Whom::Address(Some(address)) => event.personal("counted_address", address.to_string()),
            Whom::Address(None) => event,
        };
        events.entry(tenant).or_default().push(event);
    }
    if others > 0 {
        let event = Event::new(EventKind::LimitExceeded).outcome(Outcome::MinorFailure);
        events.entry(TenantId::PLATFORM).or_default().push(event.with("count", Detail::Count(others)));
    }
    if total == 0 {
        return Ok(());
    }
    let request = RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "limit-violations",
        method: "JOB",
    };
    for (tenant, events) in events {
        note_all(instance, Actor::System(&request), tenant, events).await?;
    }
    Ok(())
}
