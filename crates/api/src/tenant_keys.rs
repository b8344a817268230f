//! The tenant's own key: above all its other keys, and under what.

use axum::{Json, extract::State};
use chancery_domain::keyring::{
    KeyState, OwnMode,
    tenant_keys::{Arrangement, TenantKeyRef, rotate},
};
use chancery_middleware::{Authenticated, Body, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem};

/// The tenant's key. It wraps the tenant's other keys and never data.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantKey)]
pub(crate) struct TenantKeyBody {
    /// Its version.
    version: u32,
    /// What it may do.
    #[schema(value_type = String)]
    state: KeyState,
    /// The version of the platform root that wraps it.
    root_version: u32,
    /// The tenant's own key provider, by its name in the operator's configuration.
    #[schema(required)]
    provider: Option<String>,
    /// What that provider means: or (either opens), and (both are needed).
    #[schema(value_type = Option<String>, required)]
    mode: Option<OwnMode>,
    /// How many key versions are under older versions still: above zero, a rotation was interrupted; rotate again to end it.
    remaining: u64,
    /// Since when.
    created_at: String,
}

impl From<TenantKeyRef> for TenantKeyBody {
    fn from(found: TenantKeyRef) -> Self {
        let TenantKeyRef { key, remaining } = found;
        Self {
            version: key.version,
            state: key.state,
            root_version: key.root_version,
            mode: key.own.as_ref().map(|own| own.mode),
            provider: key.own.map(|own| own.provider),
            remaining,
            created_at: key.created_at.to_string(),
        }
    }
}

/// Under what the tenant's key shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ArrangeTenantKey)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArrangeBody {
    /// A key provider of this tenant, by its name in the operator's configuration; null for the platform alone.
    provider: Option<String>,
    /// or: either the platform or the provider opens it. and: both are needed.
    #[schema(value_type = Option<String>, default = "and")]
    mode: Option<OwnMode>,
}

/// See the tenant's key.
#[utoipa::path(get, path = "/v1/tenant-key", tag = "keys",
    responses((status = 200, description = "The tenant's key, without material.", body = TenantKeyBody)))]
pub(crate) async fn get_tenant_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<TenantKeyBody>, Problem> {
    Ok(Json(rotate::get(&app.instance, &call).await.or_problem()?.into()))
}

/// Give the tenant's key a new version. Key rows move under it; data is not touched.
#[utoipa::path(post, path = "/v1/tenant-key/rotate", tag = "keys",
    responses((status = 200, description = "The new version.", body = TenantKeyBody)))]
pub(crate) async fn rotate_tenant_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<TenantKeyBody>, Problem> {
    Ok(Json(rotate::rotate(&app.instance, &call).await.or_problem()?.into()))
}

/// Put the tenant's key under its own provider, or under the platform alone. The key itself is new then.
#[utoipa::path(put, path = "/v1/tenant-key/provider", tag = "keys", request_body = ArrangeBody,
    responses((status = 200, description = "The new version.", body = TenantKeyBody)))]
pub(crate) async fn arrange_tenant_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<ArrangeBody>,
) -> Result<Json<TenantKeyBody>, Problem> {
    let wanted = match body.provider {
        None => Arrangement::Platform,
        Some(provider) => Arrangement::Own(provider, body.mode.unwrap_or(OwnMode::And)),
    };
    Ok(Json(rotate::arrange(&app.instance, &call, wanted).await.or_problem()?.into()))
}
