//! Where events go besides the log.

use axum::{Json, extract::State};
use chancery_crypto::Phi;
use chancery_domain::{
    TenantId,
    audit::sinks::{self, SinkKind, SinkStatus, Skip, Takes},
};
use chancery_middleware::{Asked, Authenticated, Body, PathOf, Problem};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    error::IntoProblem,
    page::{self, ListBody},
    wiped,
};

/// How many logs a page tells of at most.
const MAX_LOGS: u32 = 100;

/// Of whose logs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SinksQuery {
    /// How many tenants at most: 1 to 100.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// How far a sink is in one log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditSink)]
pub(crate) struct SinkBody {
    /// Its name.
    sink: String,
    /// What it is: file, syslog, ocsf, elasticsearch, splunk, s3.
    #[schema(value_type = String)]
    kind: SinkKind,
    /// Which events it takes: all, security.
    #[schema(value_type = String)]
    takes: Takes,
    /// Whose log.
    log: String,
    /// The place of the event that it is handed next.
    position: u64,
    /// The log's size.
    size: u64,
    /// How many places wait.
    pending: u64,
    /// `idle`, `behind` or `failing`.
    state: &'static str,
    /// Since when it takes nothing.
    #[schema(required)]
    failing_since: Option<String>,
    /// How often in a row it was tried in vain.
    failures: u32,
    /// Why, as a code.
    #[schema(required)]
    reason: Option<String>,
    /// How many places it passed over by somebody's word.
    skipped: u64,
}

impl From<SinkStatus> for SinkBody {
    fn from(status: SinkStatus) -> Self {
        let SinkStatus { kind, takes, log, size, cursor } = status;
        let pending = size.saturating_sub(cursor.position);
        let state = match (cursor.failures, pending) {
            (1.., _) => "failing",
            (0, 0) => "idle",
            (0, _) => "behind",
        };
        Self {
            sink: cursor.sink,
            kind,
            takes,
            log: log.to_string(),
            position: cursor.position,
            size,
            pending,
            state,
            failing_since: cursor.failing_since.map(|since| since.to_string()),
            failures: cursor.failures,
            reason: cursor.reason,
            skipped: cursor.skipped,
        }
    }
}

/// What a sink is to pass over.
#[derive(Deserialize, ToSchema)]
#[schema(as = SkipEvents)]
#[serde(deny_unknown_fields)]
pub(crate) struct SkipBody {
    /// In whose log: a tenant's id.
    #[schema(value_type = String)]
    log: TenantId,
    /// The first place that it is handed again.
    to: u64,
    /// Why, in 1 to 200 characters; sealed in the log.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    reason: Phi<String>,
}

/// List sinks, and how far each is in whose log. For the platform.
#[utoipa::path(get, path = "/v1/audit/sinks", tag = "audit", params(SinksQuery),
    responses((status = 200, description = "Sinks by log.", body = ListBody<SinkBody>)))]
pub(crate) async fn list_sinks(
    State(app): State<App>,
    Asked(call, query): Asked<SinksQuery>,
) -> Result<Json<ListBody<SinkBody>>, Problem> {
    let (after, limit) = (page::after(query.cursor.as_deref())?, page::limit(query.limit, 50, MAX_LOGS)?);
    let (found, next) = sinks::list(&app.instance, &call, after, limit).await.or_problem()?;
    let items = found.into_iter().map(SinkBody::from).collect();
    Ok(Json(ListBody { items, next_cursor: next.map(|tenant| tenant.to_string()) }))
}

/// Let a sink pass over events that it refuses. For the platform's administrator; an event in that log and in the platform's.
#[utoipa::path(post, path = "/v1/audit/sinks/{name}/skip", tag = "audit", request_body = SkipBody,
    params(("name" = String, Path, description = "The sink.")),
    responses((status = 200, description = "Where it is now.", body = SinkBody)))]
pub(crate) async fn skip_sink(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(name): PathOf<String>,
    Body(body): Body<SkipBody>,
) -> Result<Json<SinkBody>, Problem> {
    let asked = Skip { sink: name, log: body.log, to: body.to, reason: body.reason };
    Ok(Json(sinks::skip(&app.instance, &call, asked).await.or_problem()?.into()))
}
