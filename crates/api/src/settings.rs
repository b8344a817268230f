//! What a tenant chooses for itself.

use axum::{Json, extract::State};
use chancery_domain::tenants::{self, Registration, TenantSettings, TenantSettingsPatch};
use chancery_middleware::{Authenticated, Body, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem};

/// What a tenant has chosen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
pub(crate) struct SettingsBody {
    /// How people become users: `closed` (by administrators alone), `invited` or `open` (`POST /v1/auth/register`).
    #[schema(value_type = String, example = "closed")]
    registration: Registration,
}

impl From<TenantSettings> for SettingsBody {
    fn from(settings: TenantSettings) -> Self {
        Self { registration: settings.registration }
    }
}

/// What shall be chosen; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SettingsPatch)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsPatchBody {
    /// `closed`, `invited` or `open`.
    #[schema(value_type = Option<String>, example = "invited")]
    registration: Option<Registration>,
}

/// Get the tenant's settings.
#[utoipa::path(get, path = "/v1/settings", tag = "tenants",
    responses((status = 200, description = "The settings.", body = SettingsBody)))]
pub(crate) async fn get_settings(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<SettingsBody>, Problem> {
    Ok(Json(tenants::settings(&app.instance, &call).await.or_problem()?.into()))
}

/// Change the tenant's settings.
#[utoipa::path(patch, path = "/v1/settings", tag = "tenants", request_body = SettingsPatchBody,
    responses((status = 200, description = "The settings.", body = SettingsBody)))]
pub(crate) async fn update_settings(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<SettingsPatchBody>,
) -> Result<Json<SettingsBody>, Problem> {
    let patch = TenantSettingsPatch { registration: body.registration };
    Ok(Json(tenants::change_settings(&app.instance, &call, patch).await.or_problem()?.into()))
}
