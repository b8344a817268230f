//! Deleting keys.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use chancery_domain::{
    approvals::Carried,
    ids::{ApprovalId, KeyId},
    keyring::deletion::{self, Deletion},
};
use chancery_middleware::{Authenticated, Body, OptionalBody, PathOf, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{App, approvals::WaitsBody, error::IntoProblem, keys::KeyBody};

/// What shall be deleted, and when.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = KeyDeletion)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeletionBody {
    /// After how many days, 7 to 30; needed unless `force` is set.
    #[schema(minimum = 7, maximum = 30)]
    days: Option<u32>,
    /// Which version; without it all that are not destroyed.
    version: Option<u32>,
    /// At once: only what is revoked.
    #[serde(default)]
    force: bool,
    /// Another officer's approval.
    #[schema(value_type = Option<String>)]
    approval_id: Option<ApprovalId>,
}

/// Schedule the destruction of a key, or of one version of it. What it has sealed dies with it.
///
/// While it waits it neither opens nor signs, and the deletion can be cancelled. Takes another officer's approval.
#[utoipa::path(post, path = "/v1/keys/{id}/schedule-deletion", tag = "keys", request_body = DeletionBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = KeyBody),
              (status = 202, description = "Another person has to approve.", body = WaitsBody)))]
pub(crate) async fn schedule_key_deletion(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    Body(body): Body<DeletionBody>,
) -> Result<Response, Problem> {
    let wanted =
        Deletion { days: body.days.unwrap_or(0), version: body.version, force: body.force, approval: body.approval_id };
    Ok(match deletion::schedule(&app.instance, &call, id, wanted).await.or_problem()? {
        Carried::Done(key) => Json(KeyBody::from(key)).into_response(),
        Carried::Waits(approval) => WaitsBody::from(*approval).into_response(),
    })
}

/// Which version shall stay.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = KeyDeletionCancelled)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelBody {
    /// Which version; without it all that wait.
    version: Option<u32>,
}

/// Cancel a scheduled deletion: each version becomes what it was.
#[utoipa::path(post, path = "/v1/keys/{id}/cancel-deletion", tag = "keys", request_body = CancelBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = KeyBody)))]
pub(crate) async fn cancel_key_deletion(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    OptionalBody(body): OptionalBody<CancelBody>,
) -> Result<Json<KeyBody>, Problem> {
    Ok(Json(deletion::cancel(&app.instance, &call, id, body.version).await.or_problem()?.into()))
}
