//! The end of a re-index: a version is ready, an older one is retired.
//!
//! It begins with another rule ([`super::define()`], [`crate::fields::define()`]): from then on writes file under the new
//! version and queries ask for both. A job gives each older row its new terms (`POST /v1/terms` with `use: write`), says
//! that the version is ready, and retires the one before.

use super::{Index, IndexError};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind},
    ids::IndexId,
    time::Timestamp,
};

/// Notes that every row carries the terms of a version.
///
/// # Errors
///
/// [`IndexError`].
pub async fn ready(instance: &Instance, call: &Call, id: IndexId, version: u32) -> Result<Index, IndexError> {
    turn(instance, call, id, EventKind::IndexReady, version, |index, now| Ok(index.readied(version, now)?)).await
}

/// Retires a version: its terms are asked for no more. Refused while rows may carry no newer ones.
///
/// # Errors
///
/// [`IndexError`].
pub async fn retire(instance: &Instance, call: &Call, id: IndexId, version: u32) -> Result<Index, IndexError> {
    turn(instance, call, id, EventKind::IndexRetired, version, |index, now| Ok(index.retired(version, now)?)).await
}

async fn turn(
    instance: &Instance,
    call: &Call,
    id: IndexId,
    kind: EventKind,
    version: u32,
    turn: impl FnOnce(Index, Timestamp) -> Result<Index, IndexError>,
) -> Result<Index, IndexError> {
    call.require(Permission::FieldsWrite)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    let index = change.rows().indexes().await?.into_iter().find(|index| index.id == id).ok_or(IndexError::NotFound)?;
    let index = turn(index, instance.now())?;
    change.rows().put_index(&index).await?;
    change.commit(Event::new(kind).on("index", id).with("version", Detail::Count(version.into()))).await?;
    instance.end_lease(call.tenant());
    Ok(index)
}
