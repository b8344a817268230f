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
        BackupState, KeyCopy, KeyRef,
        custody::{self, CustodyError},
        known_copies,
    },
};
use chancery_middleware::{Authenticated, Body, PathOf, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, approvals::WaitsBody, error::IntoProblem, keys::KeyBody, page::ListBody};

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

/// A copy of a key outside the store.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyCopy)]
pub(crate) struct CopyBody {
    /// The name of the destination; none if an import did not say.
    #[schema(required)]
    location: Option<String>,
    /// `verified` if it was read back, `claimed` if an import said that there is one, or it was begun and not read back.
    #[schema(value_type = String)]
    state: BackupState,
    /// The newest version that it holds.
    #[schema(required)]
    version: Option<u32>,
    /// When it was made.
    #[schema(required)]
    at: Option<String>,
    /// Who made it.
    #[schema(required)]
    by: Option<String>,
}

impl From<KeyCopy> for CopyBody {
    fn from(copy: KeyCopy) -> Self {
        Self {
            location: Some(copy.location).filter(|location| !location.is_empty()),
            state: copy.state,
            version: copy.version,
            at: copy.at.map(|at| at.to_string()),
            by: copy.by,
        }
    }
}

/// List the known copies of a key: backups, escrows, and those that an import told of.
#[utoipa::path(get, path = "/v1/keys/{id}/copies", tag = "keys",
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "Its copies, by location.", body = ListBody<CopyBody>)))]
pub(crate) async fn list_key_copies(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
) -> Result<Json<ListBody<CopyBody>>, Problem> {
    let found = known_copies::list(&app.instance, &call, id).await.or_problem()?;
    Ok(Json(ListBody { items: found.into_iter().map(CopyBody::from).collect(), next_cursor: None }))
}

/// Take the copy of a key away from a destination, for good; also that of a destroyed key. Unless other verified copies hold as
/// much of what still stands, it takes another officer's approval.
#[utoipa::path(post, path = "/v1/keys/{id}/remove-copy", tag = "keys", request_body = EscrowBody,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key.", body = KeyBody),
              (status = 202, description = "Another person has to approve.", body = WaitsBody)))]
pub(crate) async fn remove_key_copy(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    Body(body): Body<EscrowBody>,
) -> Result<Response, Problem> {
    carried(known_copies::remove(&app.instance, &call, id, &body.location, body.approval_id).await)
}

fn carried(outcome: Result<Carried<KeyRef>, CustodyError>) -> Result<Response, Problem> {
    Ok(match outcome.or_problem()? {
        Carried::Done(key) => Json(KeyBody::from(key)).into_response(),
        Carried::Waits(approval) => WaitsBody::from(*approval).into_response(),
    })
}
