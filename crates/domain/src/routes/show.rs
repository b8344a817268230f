//! Shows routes, what they saw, and whether the operator's table could be put to work: for those who run the platform.

use std::sync::Arc;

use super::{RouteFacts, RouteSight, RouteTable, RoutesError, UpstreamFacts};
use crate::{
    Instance, TenantId,
    access::{Call, Permission},
    audit::{Detail, Event, EventKind, receipt::note},
};

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

/// What routes saw and let pass.
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

async fn read<'a>(
    instance: &'a Instance,
    call: &Call,
    what: &'static str,
) -> Result<&'a Arc<dyn RouteTable>, RoutesError> {
    call.require(Permission::GatewayManage)?;
    let table = instance.routes.table()?;
    let event = Event::new(EventKind::RoutesRead).with("what", Detail::Code(what));
    note(instance, call, TenantId::PLATFORM, event).await?;
    Ok(table)
}
