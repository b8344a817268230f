//! What can be read of a log around what is damaged.
//!
//! A row that somebody changed is given to nobody. Those beside it are as good as ever; whoever asks for many is told where one is
//! missing, or refused, and never shown a part as if it were all.

use super::{EventFilter, LoggedEvent};
use crate::{
    ids::TenantId,
    store::{StoreError, View},
};

/// What is stored of a log is not what was logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log of {log} is damaged")]
pub struct DamagedLog {
    /// Whose.
    pub log: TenantId,
    /// At which place, if one event is.
    pub at: Option<u64>,
}

/// Events of a log in its order; in the place of one that is damaged stands where it lies.
pub(crate) type Found = Vec<Result<LoggedEvent, u64>>;

/// What the filter finds, each by itself.
pub(crate) async fn each(view: &mut dyn View, filter: &EventFilter) -> Result<Found, StoreError> {
    match view.logged_events(filter).await {
        Err(StoreError::Damaged(_)) => {}
        found => return Ok(found?.into_iter().map(Ok).collect()),
    }
    let places = view.logged_places(filter).await?;
    at(view, places).await
}

/// What lies at these places, each by itself.
pub(crate) async fn at(view: &mut dyn View, places: Vec<u64>) -> Result<Found, StoreError> {
    let mut found = Vec::with_capacity(places.len());
    for place in places {
        found.push(match view.logged_events(&EventFilter::after(place.checked_sub(1), 1)).await {
            Ok(events) => events.into_iter().next().filter(|event| event.index == place).ok_or(place),
            Err(StoreError::Damaged(_)) => Err(place),
            Err(error) => return Err(error),
        });
    }
    Ok(found)
}

/// What the filter finds, where a part would be taken for all.
pub(crate) async fn whole<E: From<DamagedLog> + From<StoreError>>(
    view: &mut dyn View,
    log: TenantId,
    filter: &EventFilter,
) -> Result<Vec<LoggedEvent>, E> {
    let found = each(view, filter).await?;
    let whole: Result<Vec<LoggedEvent>, u64> = found.into_iter().collect();
    whole.map_err(|place| DamagedLog { log, at: Some(place) }.into())
}
