//! What was done with an API key.

use axum::{Json, extract::State};
use chancery_domain::{
    Timestamp,
    api_keys::{self, ApiKeyUse, UsageQuery},
    ids::ApiKeyId,
    records::WipedJson,
};
use chancery_middleware::{Asked, PathOf, Problem};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    App,
    error::IntoProblem,
    page::{self, ListBody},
    wiped,
};

/// Which uses.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApiKeyUsageQuery {
    /// At or after this moment.
    #[param(value_type = String, format = DateTime)]
    from: Timestamp,
    /// Before this moment; at most 366 days after `from`.
    #[param(value_type = String, format = DateTime)]
    to: Timestamp,
    /// How many events are looked at, at most: 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

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
        let personal = done.personal.and_then(|json| serde_json::from_slice(json.expose()).ok()).map(WipedJson::new);
        let part = |name: &str| {
            let value = personal.as_ref()?.expose().get(name)?.get("value")?.clone();
            Some(WipedJson::new(value))
        };
        Self {
            ip_address: part("address"),
            user_agent: part("user_agent"),
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
    params(("id" = String, Path, description = "The API key."), ApiKeyUsageQuery),
    responses((status = 200, description = "A page of uses, oldest first.", body = ListBody<ApiKeyUseBody>)))]
pub(crate) async fn api_key_usage(
    State(app): State<App>,
    Asked(call, query): Asked<ApiKeyUsageQuery>,
    PathOf(id): PathOf<ApiKeyId>,
) -> Result<Json<ListBody<ApiKeyUseBody>>, Problem> {
    let limit = page::limit(query.limit, 100, chancery_domain::audit::query::MAX_PAGE)?;
    let after = page::after(query.cursor.as_deref())?;
    let asked = UsageQuery { from: query.from, to: query.to, after, limit };
    let (found, next) = api_keys::usage(&app.instance, &call, id, asked).await.or_problem()?;
    let items = found.into_iter().map(ApiKeyUseBody::from).collect();
    Ok(Json(ListBody { items, next_cursor: next.map(|index| index.to_string()) }))
}
