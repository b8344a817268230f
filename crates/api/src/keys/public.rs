//! The public half of a key.

use axum::{Json, extract::State};
use chancery_crypto::{Jwk, PublicKey};
use chancery_domain::{
    ids::KeyId,
    instance::Failure,
    keyring::{self, KeyState},
};
use chancery_middleware::{Asked, PathOf, Problem};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{App, error::IntoProblem};

/// Which version.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PublicQuery {
    /// The version's `key_id`; the newest that verifies if absent.
    key_id: Option<String>,
}

/// The public half of a version.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublicKey)]
pub(crate) struct PublicKeyBody {
    /// Thumbprint of the JWK (RFC 7638).
    key_id: String,
    /// The version.
    version: u32,
    /// Its state.
    #[schema(value_type = String)]
    state: KeyState,
    /// As a JWK (RFC 7517).
    #[schema(value_type = Object)]
    jwk: Jwk,
    /// As PEM (`SubjectPublicKeyInfo`).
    pem: String,
}

/// Read the public half of a key as JWK and PEM. Keys with the policy `public_read` show it to everyone of the tenant.
#[utoipa::path(get, path = "/v1/keys/{id}/public", tag = "keys",
    params(("id" = String, Path, description = "The key."), PublicQuery),
    responses((status = 200, description = "The public half.", body = PublicKeyBody)))]
pub(crate) async fn public_key(
    State(app): State<App>,
    Asked(call, query): Asked<PublicQuery>,
    PathOf(id): PathOf<KeyId>,
) -> Result<Json<PublicKeyBody>, Problem> {
    let version = keyring::public(&app.instance, &call, id, query.key_id.as_deref()).await.or_problem()?;
    let jwk = version.public_jwk.ok_or(Failure::Internal("a public half that is not there"))?;
    let public = PublicKey::try_from(&jwk).map_err(|_| Failure::Internal("a stored public half is damaged"))?;
    let (key_id, state) = (version.key_id, version.state);
    Ok(Json(PublicKeyBody { key_id, version: version.version, state, jwk, pem: public.to_pem() }))
}
