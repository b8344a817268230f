//! That lines of the program's own log were searched for secrets and personal data, and what was found, in the platform's log (AU-10).

use super::{Detail, Event, EventKind, Outcome, receipt::note_all, stamp::Actor};
use crate::{
    access::RequestInfo,
    ids::{EventId, RequestId, TenantId},
    instance::{Failure, Instance},
    time::Timestamp,
};

/// What a search found. No line and nothing of one is in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// How many lines were searched.
    pub lines: u64,
    /// The first moment that a line names.
    pub from: Option<Timestamp>,
    /// The last one.
    pub to: Option<Timestamp>,
    /// How often what was found: each a code.
    pub found: Vec<(&'static str, u64)>,
}

impl Sample {
    /// How much was found in all.
    pub fn total(&self) -> u64 {
        self.found.iter().map(|(_, count)| count).sum()
    }
}

/// Tells of a search, in the platform's log.
///
/// # Errors
///
/// [`Failure`] if the event cannot be made durable.
pub async fn tell_sampled(instance: &Instance, sample: &Sample) -> Result<EventId, Failure> {
    let (now, id) = (instance.now(), RequestId::make(instance.now(), instance.random())?);
    let request = RequestInfo { id, address: None, user_agent: None, key: None, route: "sample-logs", method: "CLI" };
    let event = EventId::make(now, instance.random())?;
    let total = sample.total();
    let mut told = Event::new(EventKind::LogsSampled)
        .identified(event)
        .with("lines", Detail::Count(sample.lines))
        .with("found", Detail::Count(total));
    if total > 0 {
        told = told.outcome(Outcome::MinorFailure);
    }
    for (name, at) in [("from", sample.from), ("to", sample.to)] {
        if let Some(at) = at {
            told = told.with(name, Detail::At(at));
        }
    }
    for (class, count) in sample.found.iter().filter(|(_, count)| *count > 0) {
        told = told.with(class, Detail::Count(*count));
    }
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, vec![told]).await?;
    Ok(event)
}
