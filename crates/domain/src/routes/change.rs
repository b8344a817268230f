//! Puts other routes to work: because somebody called, or the operator's file changed.

use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::{ReadyTable, RouteTable, RoutesError};
use crate::{
    Instance, TenantId,
    access::{Call, Permission, RequestInfo},
    audit::{Change, Detail, Event, EventKind, Outcome, receipt::note_all, stamp::Actor},
    ids::RequestId,
};

codes! {
    /// Why a node reads its configuration anew, though nobody called.
    pub enum Cause {
        /// The file changed.
        File = "file",
        /// The process got a signal.
        Signal = "signal",
    }
}

/// Puts the operator's table to work as it stands now.
///
/// # Errors
///
/// [`RoutesError`]: the routes at work stay.
pub async fn apply(instance: &Instance, call: &Call) -> Result<u64, RoutesError> {
    call.require(Permission::GatewayManage)?;
    instance.require_recent(call)?;
    read_and_apply(instance, Actor::Call(call), "call").await
}

/// The same without a call. Who changed the file or sent the signal nobody here knows: in the log it is the node itself.
///
/// # Errors
///
/// [`RoutesError`]: the routes at work stay. All but [`RoutesError::Invalid`] may pass.
pub async fn reload(instance: &Instance, cause: Cause) -> Result<u64, RoutesError> {
    let id = RequestId::make(instance.now(), instance.random())?;
    let request =
        RequestInfo { id, address: None, user_agent: None, key: None, route: "gateway-reload", method: "JOB" };
    read_and_apply(instance, Actor::System(&request), cause.as_str()).await
}

/// Puts the table before this one to work again.
///
/// # Errors
///
/// [`RoutesError`]: the routes at work stay.
pub async fn roll_back(instance: &Instance, call: &Call) -> Result<u64, RoutesError> {
    call.require(Permission::GatewayManage)?;
    instance.require_recent(call)?;
    let table = instance.routes.table()?;
    let _turn = instance.routes.turn().await;
    let before = table.before().ok_or(RoutesError::Nothing)?;
    change(instance, Actor::Call(call), Event::new(EventKind::RoutesRolledBack), (table, before)).await
}

async fn read_and_apply(instance: &Instance, actor: Actor<'_>, cause: &'static str) -> Result<u64, RoutesError> {
    let table = instance.routes.table()?;
    let _turn = instance.routes.turn().await;
    let faults = match table.read() {
        Ok(next) => {
            let event = Event::new(EventKind::RoutesApplied).with("cause", Detail::Code(cause));
            return change(instance, actor, event, (table, next)).await;
        }
        Err(faults) => faults,
    };
    let reason = faults.0.first().map_or("configuration", |fault| fault.code);
    let event = Event::new(EventKind::RoutesRefused)
        .outcome(Outcome::MinorFailure)
        .with("at_work", digest(table.digest()))
        .with("cause", Detail::Code(cause))
        .with("faults", Detail::Count(u64::try_from(faults.0.len()).unwrap_or(u64::MAX)))
        .with("reason", Detail::Code(reason));
    note_all(instance, actor, TenantId::PLATFORM, vec![event]).await?;
    Err(RoutesError::Invalid(faults))
}

/// What is not in the log is not done.
async fn change(
    instance: &Instance,
    actor: Actor<'_>,
    event: Event,
    (table, next): (&Arc<dyn RouteTable>, Box<dyn ReadyTable>),
) -> Result<u64, RoutesError> {
    let routes = next.routes();
    let event = event
        .with("after", digest(next.digest()))
        .with("before", digest(table.digest()))
        .with("routes", Detail::Count(routes));
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    Change::begin_with(instance, actor, TenantId::PLATFORM, ring).await?.commit(event).await?;
    next.apply();
    Ok(routes)
}

fn digest(digest: [u8; 32]) -> Detail {
    Detail::Id(HEXLOWER.encode(&digest))
}
