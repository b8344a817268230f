//! What was done with an API key.

use axum::{Json, extract::State};
use chancery_domain::{
    api_keys::{self, ApiKeyUse},
    ids::ApiKeyId,
    records::WipedJson,
};
use chancery_middleware::{Asked, PathOf, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    error::IntoProblem,
    page::{ListBody, SpanQuery},
    wiped::{self, Personal},
};

/// One thing that was done with an API key, or tried.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyUse)]
pub(crate) struct ApiKeyUseBody {
    /// The event that tells of it.
    event_id: String,
    /// When.
    used_at: String,
    /// What: the event's type, such as `record.opened`.
    operation: String,
    /// To what.
    #[schema(required)]
    resource: Option<String>,
    /// Whether it worked.
    success: bool,
    /// Why not, as a code.
    #[schema(required)]
    error_code: Option<String>,
    /// With which request.
    request_id: String,
    /// The client's address, for holders of `audit.read_sealed`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "wiped::shown_if_any")]
    #[schema(value_type = Option<String>)]
    ip_address: Option<WipedJson>,
    /// The client's user agent, for holders of `audit.read_sealed`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "wiped::shown_if_any")]
    #[schema(value_type = Option<String>)]
    user_agent: Option<WipedJson>,
}

impl From<ApiKeyUse> for ApiKeyUseBody {
    fn from(done: ApiKeyUse) -> Self {
        let personal = Personal::read(done.personal);
        Self {
            ip_address: personal.value("address"),
            user_agent: personal.value("user_agent"),
            event_id: done.event.to_string(),
            used_at: done.used_at.to_string(),
            operation: done.operation,
            resource: done.resource,
            success: done.success,
            error_code: done.error_code,
            request_id: done.request.to_string(),
        }
    }
}

/// List what was done with an API key, whether it worked or not: a view of the audit log.
#[utoipa::path(get, path = "/v1/api-keys/{id}/usage", tag = "api-keys",
    params(("id" = String, Path, description = "The API key."), SpanQuery),
    responses((status = 200, description = "A page of uses, oldest first.", body = ListBody<ApiKeyUseBody>)))]
pub(crate) async fn api_key_usage(
    State(app): State<App>,
    Asked(call, query): Asked<SpanQuery>,
    PathOf(id): PathOf<ApiKeyId>,
) -> Result<Json<ListBody<ApiKeyUseBody>>, Problem> {
    let span = query.span()?;
    let (found, next) = api_keys::usage(&app.instance, &call, id, span).await.or_problem()?;
    let items = found.into_iter().map(ApiKeyUseBody::from).collect();
    Ok(Json(ListBody { items, next_cursor: next.map(|index| index.to_string()) }))
}
