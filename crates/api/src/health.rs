//! Whether the process lives, and whether it can serve.

use axum::{Json, extract::State};
use chancery_middleware::{Code, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::App;

/// That it is well.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthBody {
    /// Always `ok`; otherwise a problem is answered.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The process runs.
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, description = "It runs.", body = HealthBody)))]
pub(crate) async fn livez() -> Json<HealthBody> {
    Json(HealthBody { status: "ok" })
}

/// The store answers, the audit log takes events, and the platform's keys open.
#[utoipa::path(get, path = "/readyz", tag = "operations", responses((status = 200, description = "It can serve.", body = HealthBody)))]
pub(crate) async fn readyz(State(app): State<App>) -> Result<Json<HealthBody>, Problem> {
    let platform = chancery_domain::TenantId::PLATFORM;
    app.instance.store().ping().await.map_err(|error| Problem::failed(Code::DependencyUnavailable, &error))?;
    app.instance.lease(platform).await.map_err(|error| Problem::failed(Code::DependencyUnavailable, &error))?;
    // An empty batch goes through the same door as every event, and leaves nothing behind.
    app.instance.store().append_events(&[]).await.map_err(|error| Problem::failed(Code::AuditUnavailable, &error))?;
    Ok(Json(HealthBody { status: "ok" }))
}
