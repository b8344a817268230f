//! How long the log is kept, what holds it, and what of it goes.

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use chancery_crypto::Phi;
use chancery_domain::{
    Faults, Timestamp,
    approvals::Carried,
    audit::{
        guard::IntegrityCheck,
        retention::{
            self, Hold, HoldWanted, MIN_MONTHS, Month, Purge, PurgeProof, Retention, Span, SpanStanding, Standing,
            Wanted,
        },
    },
    ids::ApprovalId,
};
use chancery_middleware::{Authenticated, Body, PathOf, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, approvals::WaitsBody, error::IntoProblem, wiped};

/// A page of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogPageBody<T> {
    /// The items, in the order of the log.
    pub(crate) items: Vec<T>,
    /// What to ask for next; `null` at the end.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
    /// Places of events that belong here and are not shown: what is stored there is not what was logged. Not there if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) damaged: Vec<u64>,
    /// Months of the time that was asked for whose events were purged; not there if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) purged: Vec<PurgeBody>,
}

/// Places of the log whose events are gone, or going. Their leaf hashes stay, so every proof does.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPurge)]
pub(crate) struct PurgeBody {
    /// In which month they were recorded, such as 2026-11.
    #[schema(value_type = String)]
    month: Month,
    /// The first place.
    first: u64,
    /// The place after the last one.
    end: u64,
    /// How many events go. The others between are kept: proofs rest on them.
    events: u64,
    /// The certificate that states it.
    certificate_id: String,
    /// The event of the log that tells of it.
    event_id: String,
    /// When it was ordered.
    begun_at: String,
    /// When all of it was gone; `null` until then.
    #[schema(required)]
    ended_at: Option<String>,
    /// `ordered`: the log itself tells of it, with a certificate of the tenant; `unproven`: nothing does, somebody wrote it into the
    /// store, and nothing goes for it; `dismissed`: likewise, and an officer has seen it.
    #[schema(value_type = String)]
    proof: PurgeProof,
}

impl From<Purge> for PurgeBody {
    /// Of one that the log tells of.
    fn from(purge: Purge) -> Self {
        Self {
            proof: PurgeProof::Ordered,
            month: purge.month,
            first: purge.first,
            end: purge.end,
            events: purge.events,
            certificate_id: purge.certificate.to_string(),
            event_id: purge.event.to_string(),
            begun_at: purge.begun_at.to_string(),
            ended_at: purge.ended_at.map(|at| at.to_string()),
        }
    }
}

/// Something for which events are kept beyond their time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LegalHold)]
pub(crate) struct HoldBody {
    /// Its name in the tenant.
    name: String,
    /// Holds what was recorded at or after this moment; `null`: from the beginning.
    #[schema(required)]
    from: Option<String>,
    /// Holds what was recorded before this moment; `null`: without end.
    #[schema(required)]
    to: Option<String>,
    /// Who placed it.
    placed_by: String,
    /// When.
    placed_at: String,
    /// The event that tells of it; the reason is in its sealed part.
    event_id: String,
}

impl From<Hold> for HoldBody {
    fn from(hold: Hold) -> Self {
        Self {
            name: hold.name,
            from: hold.from.map(|at| at.to_string()),
            to: hold.to.map(|at| at.to_string()),
            placed_by: hold.placed_by,
            placed_at: hold.placed_at.to_string(),
            event_id: hold.event.to_string(),
        }
    }
}

/// How long the log is kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditRetention)]
pub(crate) struct RetentionBody {
    /// For so many months after an event's month is over.
    months: u32,
    /// The fewest that can be said.
    least_months: u32,
    /// Whether months go by themselves when their time is over.
    automatic: bool,
    /// Whether a month goes only when it is archived in every place, and each archive reads back.
    archive_first: bool,
    /// When that was said; `null` if nobody did.
    #[schema(required)]
    changed_at: Option<String>,
    /// The first month that is kept now.
    #[schema(value_type = String)]
    kept_from: Month,
    /// When the oldest event that is not purged was recorded.
    #[schema(required)]
    oldest_event_at: Option<String>,
    /// When its time is over.
    #[schema(required)]
    next_purge_at: Option<String>,
    /// What holds the log.
    holds: Vec<HoldBody>,
    /// In which rows the store says something else than the log: `hold_row`, `retention_row`. What keeps more counts, and is told here.
    /// Not there if they say the same.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(required = false, value_type = Vec<String>)]
    disputed: BTreeSet<IntegrityCheck>,
    /// Nothing with a proof says how long the log is kept, as builds before proofs left it: say it again. Not there if it is not so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    unconfirmed: bool,
    /// What of it was purged.
    purges: Vec<PurgeBody>,
}

impl From<Standing> for RetentionBody {
    fn from(standing: Standing) -> Self {
        let Standing { retention, kept_from, holds, disputed, unconfirmed, purges, doubtful, oldest, next } = standing;
        let Retention { months, automatic, archive_first, changed_at } = retention;
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            months,
            least_months: MIN_MONTHS,
            automatic,
            archive_first,
            changed_at: text(changed_at),
            kept_from,
            oldest_event_at: text(oldest),
            next_purge_at: text(next),
            holds: holds.into_iter().map(HoldBody::from).collect(),
            disputed,
            unconfirmed,
            purges: purges.into_iter().map(|purge| proven(purge, &doubtful)).collect(),
        }
    }
}

fn proven(purge: Purge, doubtful: &BTreeMap<u64, PurgeProof>) -> PurgeBody {
    let proof = doubtful.get(&purge.first).copied().unwrap_or(PurgeProof::Ordered);
    PurgeBody { proof, ..purge.into() }
}

/// See how long the log is kept, what holds it, and what of it was purged.
#[utoipa::path(get, path = "/v1/audit/retention", tag = "audit",
    responses((status = 200, description = "How it stands.", body = RetentionBody)))]
pub(crate) async fn get_retention(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<RetentionBody>, Problem> {
    Ok(Json(retention::stands(&app.instance, &call).await.or_problem()?.into()))
}

/// How long the log is to be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SetAuditRetention)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetBody {
    /// For so many months after an event's month is over: 72 to 1200.
    #[schema(minimum = 72, maximum = 1200)]
    months: u32,
    /// Whether months go by themselves when their time is over.
    #[serde(default)]
    automatic: bool,
    /// Whether a month goes only when it is archived; as it is if nothing is said.
    archive_first: Option<bool>,
    /// Another officer's approval, to keep less.
    #[schema(value_type = Option<String>)]
    approval_id: Option<ApprovalId>,
}

/// Say how long the log is kept. Keeping less, or letting events go by themselves, takes another officer's approval.
#[utoipa::path(put, path = "/v1/audit/retention", tag = "audit", request_body = SetBody,
    responses((status = 200, description = "How it stands.", body = RetentionBody),
              (status = 202, description = "Another person has to approve.", body = WaitsBody)))]
pub(crate) async fn set_retention(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<SetBody>,
) -> Result<Response, Problem> {
    let wanted = Wanted { months: body.months, automatic: body.automatic, archive_first: body.archive_first };
    match retention::set(&app.instance, &call, wanted, body.approval_id).await.or_problem()? {
        Carried::Done(standing) => Ok(Json(RetentionBody::from(standing)).into_response()),
        Carried::Waits(approval) => Ok(WaitsBody::from(*approval).into_response()),
    }
}

/// What is to be held.
#[derive(Deserialize, ToSchema)]
#[schema(as = PlaceLegalHold)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlaceBody {
    /// Hold what was recorded at or after this moment; from the beginning if nothing is said.
    #[schema(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Hold what was recorded before this moment; without end if nothing is said.
    #[schema(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// Why, in 1 to 200 characters; sealed in the log.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    reason: Phi<String>,
}

/// Hold events beyond their time, for a lawsuit or an inquiry. None of them goes until the hold is lifted.
#[utoipa::path(put, path = "/v1/audit/legal-holds/{name}", tag = "audit", request_body = PlaceBody,
    params(("name" = String, Path, description = "Its name: a-z, 0-9 and -; never a person's name.")),
    responses((status = 201, description = "The hold.", body = HoldBody)))]
pub(crate) async fn place_legal_hold(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(name): PathOf<String>,
    Body(body): Body<PlaceBody>,
) -> Result<Response, Problem> {
    let wanted = HoldWanted { name, from: body.from, to: body.to, reason: body.reason };
    let hold = retention::place(&app.instance, &call, wanted).await.or_problem()?;
    Ok((StatusCode::CREATED, Json(HoldBody::from(hold))).into_response())
}

/// Why a hold is lifted.
#[derive(Deserialize, ToSchema)]
#[schema(as = LiftLegalHold)]
#[serde(deny_unknown_fields)]
pub(crate) struct LiftBody {
    /// Why, in 1 to 200 characters; sealed in the log.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    reason: Phi<String>,
    /// Another officer's approval.
    #[schema(value_type = Option<String>)]
    approval_id: Option<ApprovalId>,
}

/// Lift a hold. Takes another officer's approval.
#[utoipa::path(post, path = "/v1/audit/legal-holds/{name}/lift", tag = "audit", request_body = LiftBody,
    params(("name" = String, Path, description = "The hold.")),
    responses((status = 200, description = "The hold, which holds nothing more.", body = HoldBody),
              (status = 202, description = "Another person has to approve.", body = WaitsBody)))]
pub(crate) async fn lift_legal_hold(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(name): PathOf<String>,
    Body(body): Body<LiftBody>,
) -> Result<Response, Problem> {
    match retention::lift(&app.instance, &call, &name, &body.reason, body.approval_id).await.or_problem()? {
        Carried::Done(hold) => Ok(Json(HoldBody::from(hold)).into_response()),
        Carried::Waits(approval) => Ok(WaitsBody::from(*approval).into_response()),
    }
}

/// What is to be purged.
#[derive(Deserialize, ToSchema)]
#[schema(as = PurgeAuditEvents)]
#[serde(deny_unknown_fields)]
pub(crate) struct PurgeAskBody {
    /// Only months before this one, such as 2026-11; all whose time is over if nothing is said.
    #[schema(value_type = Option<String>)]
    before: Option<Month>,
    /// Only say what would go.
    #[serde(default)]
    dry_run: bool,
    /// Why, in 1 to 200 characters; sealed in the log. Needed unless `dry_run` is set.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    reason: Option<Phi<String>>,
    /// Another officer's approval.
    #[schema(value_type = Option<String>)]
    approval_id: Option<ApprovalId>,
}

/// A month of the log whose time is over.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPurgePlan)]
pub(crate) struct SpanBody {
    /// The month.
    #[schema(value_type = String)]
    month: Month,
    /// The first place.
    first: u64,
    /// The place after the last one.
    end: u64,
    /// How many events would go.
    events: u64,
    /// `due`: it can go; `held`: a hold holds something of it; `unsent`: a sink was not handed all of it; `unarchived`: it is to be
    /// archived first, and is not; `disputed`: a purge that nobody ordered begins at its first place.
    #[schema(value_type = String)]
    standing: SpanStanding,
}

impl From<Span> for SpanBody {
    fn from(span: Span) -> Self {
        let Span { first, end, month, events, standing } = span;
        Self { month, first, end, events, standing }
    }
}

/// What goes, or would.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPurges)]
pub(crate) struct PurgesBody {
    /// With `dry_run`: the months whose time is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<Vec<SpanBody>>,
    /// Without: the months that go.
    #[serde(skip_serializing_if = "Option::is_none")]
    purges: Option<Vec<PurgeBody>>,
}

/// Purge events whose time is over, by whole months. Takes another officer's approval, unless it is a `dry_run`.
///
/// Each month has a certificate before anything of it goes. Leaf hashes stay, so every older proof, pack and certificate verifies.
#[utoipa::path(post, path = "/v1/audit/purge", tag = "audit", request_body = PurgeAskBody,
    responses((status = 200, description = "What goes, or would.", body = PurgesBody),
              (status = 202, description = "Another person has to approve.", body = WaitsBody)))]
pub(crate) async fn purge_events(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<PurgeAskBody>,
) -> Result<Response, Problem> {
    if body.dry_run {
        let plan = retention::plan(&app.instance, &call, body.before).await.or_problem()?;
        let plan = Some(plan.into_iter().map(SpanBody::from).collect());
        return Ok(Json(PurgesBody { plan, purges: None }).into_response());
    }
    let reason = body.reason.ok_or_else(|| Problem::invalid(Faults::one("/reason", "required", "say why")))?;
    match retention::purge(&app.instance, &call, body.before, &reason, body.approval_id).await.or_problem()? {
        Carried::Done(purges) => {
            let purges = Some(purges.into_iter().map(PurgeBody::from).collect());
            Ok(Json(PurgesBody { plan: None, purges }).into_response())
        }
        Carried::Waits(approval) => Ok(WaitsBody::from(*approval).into_response()),
    }
}

/// Why a purge is dismissed.
#[derive(Deserialize, ToSchema)]
#[schema(as = DismissAuditPurge)]
#[serde(deny_unknown_fields)]
pub(crate) struct DismissBody {
    /// Why, in 1 to 200 characters; sealed in the log.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    reason: Phi<String>,
}

/// Dismiss a purge that nobody ordered: the server's log and metrics tell of it no more.
///
/// The row stays, nothing goes for it, and what is missing at its places is damage as before. One that was ordered cannot be dismissed.
#[utoipa::path(post, path = "/v1/audit/purges/{first}/dismiss", tag = "audit", request_body = DismissBody,
    params(("first" = u64, Path, description = "The first place of the purge.")),
    responses((status = 200, description = "The purge, dismissed.", body = PurgeBody)))]
pub(crate) async fn dismiss_purge(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(first): PathOf<u64>,
    Body(body): Body<DismissBody>,
) -> Result<Json<PurgeBody>, Problem> {
    let purge = retention::dismiss(&app.instance, &call, first, &body.reason).await.or_problem()?;
    Ok(Json(PurgeBody { proof: PurgeProof::Dismissed, ..purge.into() }))
}
