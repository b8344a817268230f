//! What the log is told when limits are off where they must not be.

use crate::{
    Instance, TenantId,
    access::RequestInfo,
    audit::{Event, EventKind, Outcome, receipt::note_all, stamp::Actor},
    ids::RequestId,
    instance::{Environment, Failure},
};

/// Writes a security event into the platform's log, and a warning, if all limits are off in production (RL-03). Called at each start.
///
/// # Errors
///
/// [`Failure`] if the event cannot be made durable.
pub async fn tell_if_off(instance: &Instance) -> Result<(), Failure> {
    let settings = instance.settings();
    if settings.limits.enabled || settings.environment != Environment::Production {
        return Ok(());
    }
    tracing::warn!("All limits are off in production: limits.enabled is false");
    let request = RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "start",
        method: "JOB",
    };
    let event = Event::new(EventKind::LimitsDisabled).outcome(Outcome::MinorFailure);
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, vec![event]).await.map(drop)
}
