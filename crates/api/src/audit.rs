//! The tenant's log: events, proofs, checkpoint, tiles.

pub(crate) mod accounting;
pub(crate) mod append;
pub(crate) mod archives;
pub(crate) mod exports;
pub(crate) mod retention;
pub(crate) mod sinks;

use axum::{Json, extract::State, response::IntoResponse};
use chancery_crypto::{Phi, tiles::TileId};
use chancery_domain::{
    Faults, TenantId, Timestamp,
    access::Call,
    audit::{
        EventFilter, EventSpan,
        intent::{Phase, phase_of},
        query::{self, EventView, Found, MAX_PAGE, Named, ProvenEvent, Results, Search},
    },
    ids::{EventId, KeyId, RequestId},
    records::WipedJson,
};
use chancery_middleware::{Asked, Authenticated, Body, Code, PathOf, Problem};
use http::header;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use self::retention::{LogPageBody, PurgeBody};
use crate::{
    App,
    error::IntoProblem,
    page,
    wiped::{self, Personal},
};

/// What to look for in the log. All bounds count together.
#[derive(Debug, Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[schema(as = AuditSearch)]
pub(crate) struct EventQuery {
    /// Recorded at or after this moment.
    #[param(value_type = String, format = DateTime)]
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// Recorded before this moment; at most 366 days after `from`.
    #[param(value_type = String, format = DateTime)]
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
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    key: Option<KeyId>,
    /// That name this person; then up to seven years at once.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    subject: Option<Phi<String>>,
    /// That name one of these rows, as `table/row,table/row`: up to 50.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    rows: Option<Phi<String>>,
    /// With this outcome: 0 it worked, 4 refused or ended early, 8 failed or did not open, 12 nobody knows.
    outcome: Option<i64>,
    /// With this request.
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    request_id: Option<RequestId>,
    /// Security events alone: those that the catalogue marks so.
    security: Option<bool>,
    /// Also answer the proof of each event; for holders of `audit.export`.
    proof: Option<bool>,
    /// How many items at most: 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// An event of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub(crate) struct EventBody {
    /// Its id.
    #[schema(example = "evt_01J9Z3K0Q5V8WXYZ0123456789")]
    id: String,
    /// Its place in the log, from 0.
    index: u64,
    /// What happened, such as `record.opened`.
    r#type: String,
    /// When it was put into the queue.
    recorded_at: String,
    /// Who did it: a user, an API key, or `system`.
    actor: String,
    /// The id of what it was done to, if Chancery gave that id.
    #[schema(required)]
    resource: Option<String>,
    /// 0 it worked, 4 refused or ended early, 8 failed or did not open, 12 nobody knows.
    outcome: i64,
    /// `intent`: personal data is about to be opened; `outcome`: how that ended; `single`: anything else.
    #[schema(value_type = String)]
    phase: Phase,
    /// With which request.
    request_id: String,
    /// The exact canonical JSON (RFC 8785) that was hashed.
    core: String,
    /// SHA-256(0x00 ‖ core), the Merkle leaf, in hex.
    leaf_hash: String,
    /// What identifies a person, with the salts of its commitments; for holders of `audit.read_sealed`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "wiped::shown_if_any")]
    #[schema(value_type = Option<Object>)]
    sealed_part: Option<WipedJson>,
    /// True if the leaf commits to a sealed part and there is none, although none was purged: somebody took it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    personal_missing: Option<bool>,
    /// With `proof=true`: the proof in C2SP tlog-proof form.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
    /// With `proof=true`: the signed head that the proof leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
}

impl From<EventView> for EventBody {
    fn from(view: EventView) -> Self {
        let EventView { logged, personal, personal_missing } = view;
        let event = logged.event;
        Self {
            id: event.id.to_string(),
            index: logged.index,
            r#type: event.kind,
            recorded_at: event.recorded_at.to_string(),
            actor: event.actor,
            resource: event.resource,
            outcome: event.outcome,
            phase: phase_of(&serde_json::from_str(&event.core).unwrap_or_default()),
            request_id: event.request.to_string(),
            core: event.core,
            leaf_hash: data_encoding::HEXLOWER.encode(&logged.leaf_hash),
            sealed_part: Personal::read(personal).whole(),
            personal_missing: personal_missing.then_some(true),
            proof: None,
            checkpoint: None,
        }
    }
}

impl From<ProvenEvent> for EventBody {
    fn from(proven: ProvenEvent) -> Self {
        Self { proof: Some(proven.proof), checkpoint: Some(proven.checkpoint.note), ..proven.event.into() }
    }
}

impl From<Found> for EventBody {
    fn from(found: Found) -> Self {
        Self { proof: found.proof, ..found.event.into() }
    }
}

/// A person and rows that events may name.
pub(crate) fn named(subject: Option<Phi<String>>, rows: Option<&Phi<String>>) -> Result<Vec<Named>, Problem> {
    let mut named: Vec<Named> = subject.map(|id| Named { kind: "subject".to_owned(), id }).into_iter().collect();
    for row in rows.into_iter().flat_map(|rows| rows.expose().split(',')) {
        let Some((table, row)) = row.split_once('/') else {
            let message = "write rows as table/row, separated by commas";
            return Err(Problem::invalid(Faults::one("/rows", "format", message)));
        };
        named.push(Named { kind: table.to_owned(), id: Phi::new(row.to_owned()) });
    }
    Ok(named)
}

impl EventQuery {
    /// What is looked for.
    fn search(self) -> Result<Search, Problem> {
        if self.key.is_some() && self.resource.is_some() {
            let message = "a key is a resource; ask for one of them";
            return Err(Problem::invalid(Faults::one("/key", "conflict", message)));
        }
        let limit = page::limit(self.limit, 100, MAX_PAGE)?;
        let span = EventSpan { from: self.from, to: self.to, after: page::after(self.cursor.as_deref())?, limit };
        let filter = EventFilter {
            actor: self.actor,
            kind: self.r#type,
            prefix: self.type_prefix,
            resource: self.key.map(|key| key.to_string()).or(self.resource),
            outcome: self.outcome,
            request: self.request_id,
            ..span.into()
        };
        let named = named(self.subject, self.rows.as_ref())?;
        let (security, proofs) = (self.security == Some(true), self.proof == Some(true));
        Ok(Search { filter, named, security, proofs })
    }
}

async fn find(
    app: &App,
    call: &Call,
    tenant: TenantId,
    asked: EventQuery,
) -> Result<Json<LogPageBody<EventBody>>, Problem> {
    let search = asked.search()?;
    let Results { found, damaged, next, purged } =
        query::search(&app.instance, call, tenant, search).await.or_problem()?;
    Ok(Json(LogPageBody {
        items: found.into_iter().map(EventBody::from).collect(),
        next_cursor: next.map(|place| place.to_string()),
        damaged,
        purged: purged.into_iter().map(PurgeBody::from).collect(),
    }))
}

/// Find events.
///
/// What was acknowledged before is found. Reading the log is an event itself.
#[utoipa::path(get, path = "/v1/audit/events", tag = "audit", params(EventQuery),
    responses((status = 200, description = "Events by place in the log.", body = LogPageBody<EventBody>)))]
pub(crate) async fn find_events(
    State(app): State<App>,
    Asked(call, query): Asked<EventQuery>,
) -> Result<Json<LogPageBody<EventBody>>, Problem> {
    find(&app, &call, call.tenant(), query).await
}

/// Find events, asking in a body.
///
/// As `GET /v1/audit/events`, which is for what proxies may write into their logs: a person or a row does not belong into an address.
#[utoipa::path(post, path = "/v1/audit/events/search", tag = "audit", request_body = EventQuery,
    responses((status = 200, description = "Events by place in the log.", body = LogPageBody<EventBody>)))]
pub(crate) async fn search_events(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(asked): Body<EventQuery>,
) -> Result<Json<LogPageBody<EventBody>>, Problem> {
    find(&app, &call, call.tenant(), asked).await
}

/// Find events of a tenant, as the platform's auditor.
#[utoipa::path(get, path = "/v1/tenants/{id}/audit/events", tag = "audit",
    params(("id" = String, Path, description = "The tenant."), EventQuery),
    responses((status = 200, description = "Events by place in the log.", body = LogPageBody<EventBody>)))]
pub(crate) async fn find_tenant_events(
    State(app): State<App>,
    Asked(call, query): Asked<EventQuery>,
    PathOf(tenant): PathOf<TenantId>,
) -> Result<Json<LogPageBody<EventBody>>, Problem> {
    find(&app, &call, tenant, query).await
}

/// Find security events: refusals, mismatches, opens that failed, locks, revocations, broken glass and their like.
///
/// Which types they are says the catalogue (`docs/reference/audit-events.md`).
#[utoipa::path(get, path = "/v1/audit/security-events", tag = "audit", params(EventQuery),
    responses((status = 200, description = "Security events by place in the log.", body = LogPageBody<EventBody>)))]
pub(crate) async fn find_security_events(
    State(app): State<App>,
    Asked(call, query): Asked<EventQuery>,
) -> Result<Json<LogPageBody<EventBody>>, Problem> {
    find(&app, &call, call.tenant(), EventQuery { security: Some(true), ..query }).await
}

/// Whether a proof is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProofQuery {
    /// Also answer the proof that the event is in the log, under a signed checkpoint.
    proof: Option<bool>,
}

/// Get one event, with its proof if wanted.
#[utoipa::path(get, path = "/v1/audit/events/{id}", tag = "audit",
    params(("id" = String, Path, description = "The event."), ProofQuery),
    responses((status = 200, description = "The event.", body = EventBody)))]
pub(crate) async fn get_event(
    State(app): State<App>,
    Asked(call, query): Asked<ProofQuery>,
    PathOf(id): PathOf<EventId>,
) -> Result<Json<EventBody>, Problem> {
    let tenant = call.tenant();
    if query.proof == Some(true) {
        return Ok(Json(query::get_proven(&app.instance, &call, tenant, id).await.or_problem()?.into()));
    }
    Ok(Json(query::get(&app.instance, &call, tenant, id).await.or_problem()?.into()))
}

/// Get the signed head of the log, a C2SP checkpoint.
#[utoipa::path(get, path = "/v1/audit/checkpoint", tag = "audit",
    responses((status = 200, description = "A C2SP signed note.", content_type = "text/plain", body = String)))]
pub(crate) async fn get_checkpoint(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<impl IntoResponse, Problem> {
    let checkpoint = query::checkpoint(&app.instance, &call, call.tenant()).await.or_problem()?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], checkpoint.note))
}

/// Get a tile of the log: its hashes one after another.
#[utoipa::path(get, path = "/v1/audit/tile/{level}/{index}", tag = "audit",
    params(("level" = u8, Path, description = "0 for leaves, to 7."),
           ("index" = u64, Path, description = "Which tile of the level, from 0.")),
    responses((status = 200, description = "Up to 256 hashes of 32 bytes.", content_type = "application/octet-stream", body = Vec<u8>)))]
pub(crate) async fn get_tile(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((level, index)): PathOf<(u8, u64)>,
) -> Result<impl IntoResponse, Problem> {
    let found = query::tile(&app.instance, &call, call.tenant(), TileId { level, index }).await.or_problem()?;
    let hashes = found.ok_or(Code::NotFound)?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], hashes))
}
