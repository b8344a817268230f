//! What takes two people.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_crypto::Phi;
use chancery_domain::{
    Timestamp,
    access::Call,
    approvals::{self, Approval, ApprovalFilter, ApprovalState, ApprovalView, Decision, DeedKind},
    ids::ApprovalId,
};
use chancery_middleware::{Asked, Authenticated, Body, OptionalBody, PathOf, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    error::IntoProblem,
    idempotency::Nothing,
    page::{self, ListBody},
    wiped,
};

/// Nothing was done yet: another officer has to approve. Then repeat the call with `approval_id`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApprovalNeeded)]
pub(crate) struct WaitsBody {
    /// The approval that was asked for.
    approval_id: String,
    /// What it is for.
    #[schema(value_type = String)]
    action: DeedKind,
    /// Until when it may be given.
    expires_at: String,
}

impl From<Approval> for WaitsBody {
    fn from(approval: Approval) -> Self {
        Self {
            approval_id: approval.id.to_string(),
            action: approval.kind,
            expires_at: approval.expires_at.to_string(),
        }
    }
}

impl IntoResponse for WaitsBody {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, Json(self)).into_response()
    }
}

/// A request for another person's consent.
#[derive(Serialize, ToSchema)]
#[schema(as = Approval)]
pub(crate) struct ApprovalBody {
    /// Its id.
    id: String,
    /// What is to be done, such as `key.delete`.
    #[schema(value_type = String)]
    action: DeedKind,
    /// To what: the id of a key, a ticket.
    resource: String,
    /// The particulars. The deed has to be exactly this one.
    #[schema(value_type = Object)]
    details: serde_json::Value,
    /// Why, in words. Only in the answer to a request for this one approval.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "wiped::shown_if_any")]
    #[schema(value_type = Option<String>)]
    reason: Option<Phi<String>>,
    /// Where it stands: pending, approved, denied, cancelled, used, expired.
    #[schema(value_type = String)]
    state: ApprovalState,
    /// Who asked.
    requested_by: String,
    /// When.
    requested_at: String,
    /// Until when it may be given; once given, until when it may be used.
    expires_at: String,
    /// Who decided.
    #[schema(required)]
    decided_by: Option<String>,
    /// When.
    #[schema(required)]
    decided_at: Option<String>,
    /// How often it was used.
    uses: u32,
    /// When last.
    #[schema(required)]
    used_at: Option<String>,
    /// Whether somebody still has to look at its uses.
    wants_review: bool,
    /// Who looked.
    #[schema(required)]
    reviewed_by: Option<String>,
    /// When.
    #[schema(required)]
    reviewed_at: Option<String>,
}

impl ApprovalBody {
    fn of(approval: Approval, now: Timestamp) -> Self {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            id: approval.id.to_string(),
            action: approval.kind,
            details: serde_json::from_str(&approval.details).unwrap_or_default(),
            reason: None,
            state: approval.state_at(now),
            requested_at: approval.requested_at.to_string(),
            expires_at: approval.expires_at.to_string(),
            decided_at: text(approval.decided_at),
            uses: approval.uses,
            used_at: text(approval.used_at),
            wants_review: approval.wants_review(),
            reviewed_at: text(approval.reviewed_at),
            resource: approval.resource,
            requested_by: approval.requested_by,
            decided_by: approval.decided_by,
            reviewed_by: approval.reviewed_by,
        }
    }
}

/// Which approvals.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApprovalQuery {
    /// Only those in this state: pending, approved, denied, cancelled, used, expired.
    #[param(value_type = Option<String>)]
    state: Option<ApprovalState>,
    /// Only those that were used in an emergency and that nobody has looked at.
    unreviewed: Option<bool>,
    /// How many items at most: 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List approvals, without their reasons.
#[utoipa::path(get, path = "/v1/approvals", tag = "approvals", params(ApprovalQuery),
    responses((status = 200, description = "A page of approvals.", body = ListBody<ApprovalBody>)))]
pub(crate) async fn list_approvals(
    State(app): State<App>,
    Asked(call, query): Asked<ApprovalQuery>,
) -> Result<Json<ListBody<ApprovalBody>>, Problem> {
    let page = page::Page { limit: query.limit, cursor: query.cursor };
    let limit = page.limit()?;
    let filter = match (query.unreviewed, query.state) {
        (Some(true), _) => ApprovalFilter::Unreviewed,
        (_, Some(state)) => ApprovalFilter::In(state),
        (_, None) => ApprovalFilter::All,
    };
    let now = app.instance.now();
    let found = approvals::list(&app.instance, &call, filter, page.after()?, limit).await.or_problem()?;
    let full = u32::try_from(found.len()).is_ok_and(|length| length >= limit) && filter != ApprovalFilter::Unreviewed;
    let next_cursor = if full { found.last().map(|last| last.id.to_string()) } else { None };
    let items = found.into_iter().map(|approval| ApprovalBody::of(approval, now)).collect();
    Ok(Json(ListBody { items, next_cursor }))
}

/// Get one approval, with its reason.
#[utoipa::path(get, path = "/v1/approvals/{id}", tag = "approvals",
    params(("id" = String, Path, description = "The approval.")),
    responses((status = 200, description = "The approval.", body = ApprovalBody)))]
pub(crate) async fn get_approval(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<ApprovalId>,
) -> Result<Json<ApprovalBody>, Problem> {
    let ApprovalView { approval, reason } = approvals::get(&app.instance, &call, id).await.or_problem()?;
    Ok(Json(ApprovalBody { reason, ..ApprovalBody::of(approval, app.instance.now()) }))
}

async fn decided(app: &App, call: &Call, id: ApprovalId, what: Decision) -> Result<Json<ApprovalBody>, Problem> {
    let approval = approvals::decide(&app.instance, call, id, what).await.or_problem()?;
    Ok(Json(ApprovalBody::of(approval, app.instance.now())))
}

/// Approve, as another person than the one who asked. Whoever asked then repeats the call with `approval_id`.
#[utoipa::path(post, path = "/v1/approvals/{id}/approve", tag = "approvals",
    params(("id" = String, Path, description = "The approval.")),
    responses((status = 200, description = "The approval.", body = ApprovalBody)))]
pub(crate) async fn approve(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<ApprovalId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<ApprovalBody>, Problem> {
    decided(&app, &call, id, Decision::Approve).await
}

/// Refuse, as another person than the one who asked; also what was approved and is not used up.
#[utoipa::path(post, path = "/v1/approvals/{id}/deny", tag = "approvals",
    params(("id" = String, Path, description = "The approval.")),
    responses((status = 200, description = "The approval.", body = ApprovalBody)))]
pub(crate) async fn deny_approval(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<ApprovalId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<ApprovalBody>, Problem> {
    decided(&app, &call, id, Decision::Deny).await
}

/// Take the question back, as whoever asked.
#[utoipa::path(post, path = "/v1/approvals/{id}/cancel", tag = "approvals",
    params(("id" = String, Path, description = "The approval.")),
    responses((status = 200, description = "The approval.", body = ApprovalBody)))]
pub(crate) async fn cancel_approval(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<ApprovalId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<ApprovalBody>, Problem> {
    decided(&app, &call, id, Decision::Cancel).await
}

/// What came of looking.
#[derive(Deserialize, ToSchema)]
#[schema(as = Review)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewBody {
    /// What was found, in 1 to 200 characters; sealed in the log.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(value_type = String)]
    note: Phi<String>,
}

/// Note that the emergency was looked at, as another person than the one who opened. It ends the approval.
#[utoipa::path(post, path = "/v1/approvals/{id}/review", tag = "approvals", request_body = ReviewBody,
    params(("id" = String, Path, description = "The approval.")),
    responses((status = 200, description = "The approval.", body = ApprovalBody)))]
pub(crate) async fn review_approval(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<ApprovalId>,
    Body(body): Body<ReviewBody>,
) -> Result<Json<ApprovalBody>, Problem> {
    let reviewed = approvals::review(&app.instance, &call, id, body.note).await.or_problem()?;
    let approval = reviewed.map_err(Problem::invalid)?;
    Ok(Json(ApprovalBody::of(approval, app.instance.now())))
}
