//! Events as a stream of lines, all of them instead of pages.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use chancery_crypto::Phi;
use chancery_domain::{
    Timestamp,
    access::Call,
    audit::{
        export::{Export, Exported},
        query::{Found, ReadAuditError},
    },
    ids::{KeyId, RequestId},
};
use chancery_middleware::{Authenticated, Body, Code, Problem};
use http::header;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{EventBody, EventQuery, retention::PurgeBody};
use crate::{
    App, blobs,
    error::{IntoProblem, ToProblem as _},
    piped::{Broken, Pieces, piped},
    wiped,
};

/// Which events. All bounds count together.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewAuditExport)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewExportBody {
    /// Recorded at or after this moment.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// Recorded before this moment; at most 366 days after `from`.
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    /// By this actor: a user's or an API key's id, or `system`.
    actor: Option<String>,
    /// Of this type, such as `record.opened`.
    r#type: Option<String>,
    /// Of a type that begins so, such as `app.` or `key.`.
    type_prefix: Option<String>,
    /// On the thing with this id.
    resource: Option<String>,
    /// On this key. Not together with `resource`.
    #[schema(value_type = Option<String>)]
    key: Option<KeyId>,
    /// That name this person; then up to seven years at once.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    subject: Option<Phi<String>>,
    /// That name one of these rows, as `table/row,table/row`: up to 50.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    rows: Option<Phi<String>>,
    /// With this outcome: 0 it worked, 4 refused or ended early, 8 failed or did not open, 12 nobody knows.
    outcome: Option<i64>,
    /// With this request.
    #[schema(value_type = Option<String>)]
    request_id: Option<RequestId>,
    /// Security events alone: those that the catalogue marks so.
    security: Option<bool>,
    /// Also what identifies a person, for holders of `audit.read_sealed`.
    personal: Option<bool>,
}

impl From<NewExportBody> for EventQuery {
    fn from(body: NewExportBody) -> Self {
        Self {
            from: body.from,
            to: body.to,
            actor: body.actor,
            r#type: body.r#type,
            type_prefix: body.type_prefix,
            resource: body.resource,
            key: body.key,
            subject: body.subject,
            rows: body.rows,
            outcome: body.outcome,
            request_id: body.request_id,
            security: body.security,
            proof: Some(true),
            limit: None,
            cursor: None,
        }
    }
}

/// The last line: who has it has all of them.
#[derive(Debug, Serialize)]
pub(crate) struct EndBody {
    /// Always `true`; no other line has this member.
    end: bool,
    /// How many events came before.
    events: u64,
    /// The signed head that all proofs lead to.
    checkpoint: String,
    /// Months of the time that was asked for whose events were purged, before or meanwhile.
    purged: Vec<PurgeBody>,
}

impl From<Exported> for EndBody {
    fn from(exported: Exported) -> Self {
        let purged = exported.purged.into_iter().map(PurgeBody::from).collect();
        Self { end: true, events: exported.events, checkpoint: exported.head.note, purged }
    }
}

/// Export events with their proofs: a line of JSON each, and a last one that says that it was all.
///
/// The log as it is now, under one signed head, in its order. An event of the log, `audit.exported`, tells of each part before it
/// goes out. An answer without its last line broke off and must not be taken for the whole.
#[utoipa::path(post, path = "/v1/audit/exports", tag = "audit", request_body = NewExportBody,
    responses((status = 200, description = "Lines: an `AuditEvent` each, with its proof, then one with `end`, `events`, `checkpoint` and `purged`.",
        content_type = "application/x-ndjson", body = EventBody)))]
pub(crate) async fn export_events(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<NewExportBody>,
) -> Result<Response, Problem> {
    let permit = blobs::place(&app)?;
    let personal = body.personal == Some(true);
    let search = EventQuery::from(body).search()?;
    let begun = Export::begin(&app.instance, &call, call.tenant(), search, personal).await;
    let mut export = begun.or_problem()?;
    // What is refused is refused before an answer begins.
    let first = export.next(&app.instance, &call).await.or_problem()?;
    let held = lines(first.unwrap_or_default()).map_err(|broken| Problem::failed(Code::Internal, &broken))?;
    let body = piped(permit, held, |pieces| rest(app, call, export, pieces));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// What comes after the first part. Whatever goes wrong, the body breaks off; the server's log says why.
async fn rest(app: App, call: Arc<Call>, mut export: Export, pieces: Pieces) -> Result<(), Broken> {
    while let Some(found) = export.next(&app.instance, &call).await.map_err(broken)? {
        pieces.send(lines(found)?).await?;
    }
    let ended = export.end(&app.instance).await.map_err(broken)?;
    let mut line = serde_json::to_vec(&EndBody::from(ended)).map_err(|_| Broken)?;
    line.push(b'\n');
    pieces.send(line).await
}

fn broken(error: ReadAuditError) -> Broken {
    let problem = error.to_problem();
    tracing::warn!(
        code = problem.code().as_str(),
        "An export of the audit log breaks off: {}",
        problem.code().as_str()
    );
    Broken
}

fn lines(found: Vec<Found>) -> Result<Vec<u8>, Broken> {
    let mut lines = Vec::new();
    for event in found.into_iter().map(EventBody::from) {
        serde_json::to_writer(&mut lines, &event).map_err(|_| Broken)?;
        lines.push(b'\n');
    }
    Ok(lines)
}
