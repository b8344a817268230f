//! Copies of single keys: backup, escrow, and back from there.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use chancery_domain::{
    approvals::Carried,
    ids::{ApprovalId, KeyId},
    keyring::{
        KeyRef,
        custody::{self, CustodyError},
    },
};
use chancery_middleware::{Authenticated, Body, PathOf, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{App, approvals::WaitsBody, error::IntoProblem, keys::KeyBody};

/// Where the copy goes.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = KeyBackupLocation)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupBody {
    /// The name of a destination that the operator configured, 1 to 500 characters.
    #[schema(example = "vault_cluster_1")]
    location: String,
}

/// Where the copy goes or comes from, and who agreed.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = KeyEscrow)]
#[serde(deny_unknown_fields)]
pub(crate) struct EscrowBody {
    /// The name of a destination that the operator configured, 1 to 500 characters.
    #[schema(example = "hsm_escrow")]
    location: String,
    /// Another officer's approval.
    #[schema(value_type = Option<String>)]
    approval_id: Option<ApprovalId>,
}

/// Copy a key, wrapped, to a configured destination. Read back and compared before the key says that it is backed up.
#[utoipa::path(post, path = "/v1/keys/{id}/backup", tag = "keys", request_body = BackupBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = KeyBody)))]
pub(crate) async fn backup_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    Body(body): Body<BackupBody>,
) -> Result<Json<KeyBody>, Problem> {
    Ok(Json(custody::backup(&app.instance, &call, id, &body.location).await.or_problem()?.into()))
}

/// Copy a key into the custody of another provider than the root's. Takes another officer's approval.
#[utoipa::path(post, path = "/v1/keys/{id}/escrow", tag = "keys", request_body = EscrowBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = KeyBody),
              (status = 202, description = "Another person has to approve.", body = WaitsBody)))]
pub(crate) async fn escrow_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    Body(body): Body<EscrowBody>,
) -> Result<Response, Problem> {
    carried(custody::escrow(&app.instance, &call, id, &body.location, body.approval_id).await)
}

/// Take a key's material back from a destination, for versions that are not destroyed. Takes another officer's approval.
#[utoipa::path(post, path = "/v1/keys/{id}/escrow-restore", tag = "keys", request_body = EscrowBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = KeyBody),
              (status = 202, description = "Another person has to approve.", body = WaitsBody)))]
pub(crate) async fn restore_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    Body(body): Body<EscrowBody>,
) -> Result<Response, Problem> {
    carried(custody::restore(&app.instance, &call, id, &body.location, body.approval_id).await)
}

fn carried(outcome: Result<Carried<KeyRef>, CustodyError>) -> Result<Response, Problem> {
    Ok(match outcome.or_problem()? {
        Carried::Done(key) => Json(KeyBody::from(key)).into_response(),
        Carried::Waits(approval) => WaitsBody::from(*approval).into_response(),
    })
}
