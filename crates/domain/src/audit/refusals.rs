//! Calls at the door: one event for each refusal of a known caller, counts for strangers, and what goes on to an application.

use std::{collections::BTreeMap, sync::Mutex};

use super::{
    Detail, Event, EventKind, Outcome,
    receipt::{note, note_all},
    stamp::Actor,
};
use crate::{
    access::{Call, NetClass, RefusedFor, RequestInfo},
    ids::{RequestId, TenantId},
    instance::{Failure, Instance},
};

/// Refusals of strangers since the last flush, by code, why, and address class.
#[derive(Default)]
pub struct AnonymousCounts(Mutex<BTreeMap<Refusal, u64>>);

/// The code, why, and from where.
type Refusal = (&'static str, Option<RefusedFor>, NetClass);

/// Tells of a refused call of a known caller, after its rollback.
///
/// # Errors
///
/// [`Failure`] if the event cannot be made durable; the refusal stands.
pub async fn refused(instance: &Instance, call: &Call, code: &'static str) -> Result<(), Failure> {
    let event = Event::new(EventKind::AccessRefused).outcome(Outcome::MinorFailure).with("code", Detail::Code(code));
    note(instance, call, call.tenant(), event).await
}

/// Tells of a request that an application behind the gateway is about to see: its route and method are the event's own.
///
/// # Errors
///
/// [`Failure`] if the event cannot be made durable; then it must not go on.
pub async fn forwarded(instance: &Instance, call: &Call) -> Result<(), Failure> {
    note(instance, call, call.tenant(), Event::new(EventKind::RequestForwarded)).await
}

/// Tells of a request that named another tenant than its credential's. `place` is `header`, `query` or `body`.
///
/// # Errors
///
/// [`Failure`] if the event cannot be made durable.
pub async fn tenant_mismatch(instance: &Instance, call: &Call, place: &'static str) -> Result<(), Failure> {
    let policy = instance.settings().tenant_mismatch.as_str();
    let event = Event::new(EventKind::TenantMismatch)
        .outcome(Outcome::MinorFailure)
        .with("place", Detail::Code(place))
        .with("policy", Detail::Code(policy));
    note(instance, call, call.tenant(), event).await
}

/// Tells of a request that brought credentials of two callers, in the log of each one's tenant.
///
/// # Errors
///
/// [`Failure`] if an event cannot be made durable.
pub async fn credential_conflict(instance: &Instance, first: &Call, second: &Call) -> Result<(), Failure> {
    let event = || Event::new(EventKind::CredentialConflict).outcome(Outcome::MinorFailure);
    let same = first.tenant() == second.tenant();
    let of_first = event().with("same_tenant", Detail::Count(same.into()));
    let of_first = if same {
        of_first.with("other", Detail::Id(second.caller.subject().to_string()))
    } else {
        // Who it is in another tenant is not this one's to know.
        note(instance, second, second.tenant(), event().with("same_tenant", Detail::Count(0))).await?;
        of_first
    };
    note(instance, first, first.tenant(), of_first).await
}

/// Counts a refusal without a valid credential; `why`, if there was one. No I/O: strangers cannot grow a log.
pub fn count_anonymous(instance: &Instance, code: &'static str, why: Option<RefusedFor>, net: NetClass) {
    let mut counts = instance.anonymous.0.lock().unwrap_or_else(|poison| poison.into_inner());
    *counts.entry((code, why, net)).or_default() += 1;
}

/// Writes what was counted since the last time into the platform's log; called every minute.
///
/// # Errors
///
/// [`Failure`]; then the counts are kept for the next time.
pub async fn flush_anonymous(instance: &Instance) -> Result<(), Failure> {
    let counts = std::mem::take(&mut *instance.anonymous.0.lock().unwrap_or_else(|poison| poison.into_inner()));
    if counts.is_empty() {
        return Ok(());
    }
    let request = RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "anonymous-refusals",
        method: "JOB",
    };
    let events = counts.iter().map(|((code, why, net), count)| {
        let event = Event::new(EventKind::AccessRefusedAnonymous)
            .outcome(Outcome::MinorFailure)
            .with("code", Detail::Code(code))
            .with("net", Detail::Code(net.as_str()))
            .with("count", Detail::Count(*count));
        match why {
            Some(why) => event.with("why", Detail::Code(why.as_str())),
            None => event,
        }
    });
    let written = note_all(instance, Actor::System(&request), TenantId::PLATFORM, events.collect()).await;
    if written.is_err() {
        let mut kept = instance.anonymous.0.lock().unwrap_or_else(|poison| poison.into_inner());
        for (key, count) in counts {
            *kept.entry(key).or_default() += count;
        }
    }
    written.map(drop)
}
