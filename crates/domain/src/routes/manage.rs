//! Shows routes, and puts others to work: for those who run the platform.

use std::sync::Arc;

use super::{RouteFacts, RouteSight, RouteTable, UpstreamFacts};
use crate::{
    Instance, TenantId,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    instance::{Failure, fails},
};

/// Why nothing was done with routes.
#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no gateway in this process.
    #[error("there is no gateway in this process")]
    NotFound,
    /// The operator's table cannot be put to work.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is no table before this one.
    #[error("there is no table before this one")]
    Nothing,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(RoutesError);

/// The routes at work.
///
/// # Errors
///
/// [`RoutesError`].
pub async fn list(instance: &Instance, call: &Call) -> Result<Vec<RouteFacts>, RoutesError> {
    let table = read(instance, call, "routes").await?;
    Ok(table.routes())
}

/// The applications behind them, and which servers are well.
///
/// # Errors
///
/// [`RoutesError`].
pub async fn upstreams(instance: &Instance, call: &Call) -> Result<Vec<UpstreamFacts>, RoutesError> {
    let table = read(instance, call, "upstreams").await?;
    Ok(table.upstreams())
}

/// What routes that do not enforce yet saw.
///
/// # Errors
///
/// [`RoutesError`].
pub async fn observed(instance: &Instance, call: &Call) -> Result<Vec<RouteSight>, RoutesError> {
    let table = read(instance, call, "observed").await?;
    Ok(table.sights())
}

/// Reads the operator's table and says how many routes it would bring.
///
/// # Errors
///
/// [`RoutesError`].
pub async fn examine(instance: &Instance, call: &Call) -> Result<u64, RoutesError> {
    let table = read(instance, call, "table").await?;
    Ok(table.read()?.routes())
}

/// Puts the operator's table to work as it stands now.
///
/// # Errors
///
/// [`RoutesError`]: the routes at work stay.
pub async fn apply(instance: &Instance, call: &Call) -> Result<u64, RoutesError> {
    call.require(Permission::GatewayManage)?;
    instance.require_recent(call)?;
    let next = table(instance)?.read()?;
    change(instance, call, EventKind::RoutesApplied, next).await
}

/// Puts the table before this one to work again.
///
/// # Errors
///
/// [`RoutesError`]: the routes at work stay.
pub async fn roll_back(instance: &Instance, call: &Call) -> Result<u64, RoutesError> {
    call.require(Permission::GatewayManage)?;
    instance.require_recent(call)?;
    let before = table(instance)?.before().ok_or(RoutesError::Nothing)?;
    change(instance, call, EventKind::RoutesRolledBack, before).await
}

fn table(instance: &Instance) -> Result<&Arc<dyn RouteTable>, RoutesError> {
    instance.routes.get().ok_or(RoutesError::NotFound)
}

async fn read<'a>(
    instance: &'a Instance,
    call: &Call,
    what: &'static str,
) -> Result<&'a Arc<dyn RouteTable>, RoutesError> {
    call.require(Permission::GatewayManage)?;
    let table = table(instance)?;
    let event = Event::new(EventKind::RoutesRead).with("what", Detail::Code(what));
    note(instance, call, TenantId::PLATFORM, event).await?;
    Ok(table)
}

/// What is not in the log is not done.
async fn change(
    instance: &Instance,
    call: &Call,
    kind: EventKind,
    next: Box<dyn super::ReadyTable>,
) -> Result<u64, RoutesError> {
    let routes = next.routes();
    let change = Change::begin(instance, call, TenantId::PLATFORM).await?;
    change.commit(Event::new(kind).with("routes", Detail::Count(routes))).await?;
    next.apply();
    Ok(routes)
}
