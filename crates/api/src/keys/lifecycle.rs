//! Suspends, resumes and revokes versions of a key.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use chancery_domain::{
    Faults, Whole,
    approvals::Carried,
    ids::{ApprovalId, KeyId},
    keyring::{self, KeyError, KeyRef, ProviderKind, ResidentId, Revocation, RevocationReason, Revoking},
};
use chancery_middleware::{Authenticated, OptionalBody, PathOf, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::KeyBody;
use crate::{App, approvals::WaitsBody, error::IntoProblem};

/// Which versions.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichVersion {
    /// The version; all that can be if absent.
    version: Option<u32>,
}

/// What is revoked, and why.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = KeyRevocation)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationBody {
    /// The version; all that can be if absent.
    version: Option<u32>,
    /// `unspecified`, `key_compromise`, `superseded`, `cessation_of_operation` or `privilege_withdrawn`.
    #[schema(value_type = Option<String>)]
    reason: Option<RevocationReason>,
    /// For certificate keys: certificates logged up to this index stay valid, with a warning. Without it all of them
    /// are `untrusted`. Below the size of the log.
    #[schema(value_type = Option<u64>)]
    last_valid_index: Option<Whole>,
    /// Also a version of the subject root that still wraps the keys of persons: they open no more. Takes another officer's approval.
    #[serde(default)]
    force: bool,
    /// Another officer's approval.
    #[schema(value_type = Option<String>)]
    approval_id: Option<ApprovalId>,
}

/// The key as it is after a change.
async fn after(change: impl Future<Output = Result<KeyRef, KeyError>>) -> Result<Json<KeyBody>, Problem> {
    Ok(Json(change.await.or_problem()?.into()))
}

/// Stop versions of a key for now. They neither sign nor open until they are resumed.
#[utoipa::path(post, path = "/v1/keys/{id}/suspend", tag = "keys", request_body = Option<WhichVersion>,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key as it is now.", body = KeyBody)))]
pub(crate) async fn suspend_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    OptionalBody(which): OptionalBody<WhichVersion>,
) -> Result<Json<KeyBody>, Problem> {
    after(keyring::suspend(&app.instance, &call, id, which.version)).await
}

/// Let suspended versions of a key go on as what they were.
#[utoipa::path(post, path = "/v1/keys/{id}/resume", tag = "keys", request_body = Option<WhichVersion>,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key as it is now.", body = KeyBody)))]
pub(crate) async fn resume_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    OptionalBody(which): OptionalBody<WhichVersion>,
) -> Result<Json<KeyBody>, Problem> {
    after(keyring::resume(&app.instance, &call, id, which.version)).await
}

/// Revoke versions of a key, at once and for good. A managed key whose active version goes gets a new one.
#[utoipa::path(post, path = "/v1/keys/{id}/revoke", tag = "keys", request_body = Option<RevocationBody>,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key as it is now.", body = KeyBody),
              (status = 202, description = "Another person has to approve.", body = WaitsBody)))]
pub(crate) async fn revoke_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    OptionalBody(body): OptionalBody<RevocationBody>,
) -> Result<Response, Problem> {
    let reason = body.reason.unwrap_or(RevocationReason::Unspecified);
    let why = Revocation { reason, last_valid_index: body.last_valid_index.map(Whole::value) };
    let wanted = Revoking { version: body.version, why, force: body.force, approval: body.approval_id };
    Ok(match keyring::revoke(&app.instance, &call, id, wanted).await.or_problem()? {
        Carried::Done(key) => Json(KeyBody::from(key)).into_response(),
        Carried::Waits(approval) => WaitsBody::from(*approval).into_response(),
    })
}

/// The key in an HSM or KMS that a key is the same as.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = KeyLink)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkBody {
    /// What kind of provider, such as `pkcs11`.
    #[schema(value_type = String)]
    provider: ProviderKind,
    /// How the key is called there: 1 to 255 printable ASCII characters.
    hsm_key_id: String,
}

/// Link a key to the same key in an HSM or KMS. The provider must show the public half of one of its versions. Without
/// a body the link is taken away.
#[utoipa::path(post, path = "/v1/keys/{id}/link", tag = "keys", request_body = Option<LinkBody>,
    params(("id" = String, Path, description = "The key.")),
    responses((status = 200, description = "The key as it is now.", body = KeyBody)))]
pub(crate) async fn link_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<KeyId>,
    OptionalBody(body): OptionalBody<Option<LinkBody>>,
) -> Result<Json<KeyBody>, Problem> {
    let there = match body {
        Some(LinkBody { provider, hsm_key_id }) => {
            let odd = |_| Faults::one("/hsm_key_id", "format", "use 1 to 255 printable ASCII characters");
            Some((provider, hsm_key_id.parse::<ResidentId>().map_err(odd).map_err(Problem::invalid)?))
        }
        None => None,
    };
    after(keyring::link(&app.instance, &call, id, there)).await
}
