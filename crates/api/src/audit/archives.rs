//! Closed months in files outside the store.

use axum::{Json, extract::State};
use chancery_domain::audit::{
    archives::{self, Archive},
    retention::Month,
};
use chancery_middleware::{Asked, Authenticated, Code, PathOf, Problem};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::EventBody;
use crate::{App, error::IntoProblem};

/// A part of a month in a place outside the store.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditArchive)]
pub(crate) struct ArchiveBody {
    /// In which month its events were recorded, such as 2026-11.
    #[schema(value_type = String)]
    month: Month,
    /// The first place of the log.
    first: u64,
    /// The place after the last one.
    end: u64,
    /// Where it is kept.
    place: String,
    /// The file's name there.
    name: String,
    /// How long the file is.
    bytes: u64,
    /// SHA-256 of the file, in hex.
    sha256: String,
    /// The event of the log that tells of it.
    event_id: String,
    /// When it was written and read back.
    written_at: String,
}

/// All archives.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditArchives)]
pub(crate) struct ArchivesBody {
    /// By place and where they begin.
    items: Vec<ArchiveBody>,
}

/// See which months of the log are archived, and where.
#[utoipa::path(get, path = "/v1/audit/archives", tag = "audit",
    responses((status = 200, description = "Archives by place and where they begin.", body = ArchivesBody)))]
pub(crate) async fn list_archives(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<ArchivesBody>, Problem> {
    let tenant = call.tenant();
    let found = archives::list(&app.instance, &call).await.or_problem()?;
    let body = |archive: Archive| ArchiveBody {
        name: archive.name(tenant),
        month: archive.month,
        first: archive.first,
        end: archive.end,
        bytes: archive.bytes,
        sha256: data_encoding::HEXLOWER.encode(&archive.digest),
        event_id: archive.event.to_string(),
        written_at: archive.written_at.to_string(),
        place: archive.place,
    };
    Ok(Json(ArchivesBody { items: found.into_iter().map(body).collect() }))
}

/// From where.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlaceQuery {
    /// The place; any that has it if nothing is said.
    place: Option<String>,
}

/// The events of an archive.
#[derive(Serialize, ToSchema)]
#[schema(as = OpenedAuditArchive)]
pub(crate) struct OpenedBody {
    /// The events, in the order of the log.
    items: Vec<EventBody>,
}

/// Open an archive: its events, each checked against the leaf that the archive proves.
///
/// Takes `audit.export`; sealed parts are for holders of `audit.read_sealed`. Opening an archive is an event itself.
#[utoipa::path(get, path = "/v1/audit/archives/{first}", tag = "audit",
    params(("first" = u64, Path, description = "The first place of the log that it holds."), PlaceQuery),
    responses((status = 200, description = "The events, in the order of the log.", body = OpenedBody)))]
pub(crate) async fn open_archive(
    State(app): State<App>,
    Asked(call, query): Asked<PlaceQuery>,
    PathOf(first): PathOf<u64>,
) -> Result<Json<OpenedBody>, Problem> {
    // Put together in memory, as large packs are; nobody waits here.
    let busy = "archives or packs are being opened; try again in a moment";
    let room = app.packs.try_acquire();
    let _room = room.map_err(|_| Problem::new(Code::Overloaded).detail(busy).retry_after(5))?;
    let found = archives::open(&app.instance, &call, query.place.as_deref(), first).await.or_problem()?;
    Ok(Json(OpenedBody { items: found.into_iter().map(EventBody::from).collect() }))
}
