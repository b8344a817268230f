//! Who did what with a key.

use axum::{Json, extract::State};
use chancery_domain::{
    ids::KeyId,
    keyring::{self, KeyUsage},
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

/// One operation on a key.
#[derive(Serialize, ToSchema)]
#[schema(as = KeyUsage)]
pub(crate) struct KeyUsageBody {
    /// The event that tells of it.
    event_id: String,
    /// The key's name.
    key_name: String,
    /// The version, if one was found.
    #[schema(required)]
    key_id: Option<String>,
    /// When.
    used_at: String,
    /// By whom: a user's or an API key's id, or `system`.
    used_by: String,
    /// What: `sign`, `verify`, `encrypt`, `decrypt`, `wrap`, `unwrap`, `rotate`…
    operation: String,
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

impl KeyUsageBody {
    fn of(key_name: &str, usage: KeyUsage) -> Self {
        let personal = Personal::read(usage.personal);
        Self {
            ip_address: personal.value("address"),
            user_agent: personal.value("user_agent"),
            event_id: usage.event.to_string(),
            key_name: key_name.to_owned(),
            key_id: usage.key_id,
            used_at: usage.used_at.to_string(),
            used_by: usage.used_by,
            operation: usage.operation,
            success: usage.success,
            error_code: usage.error_code,
            request_id: usage.request.to_string(),
        }
    }
}

/// List the operations on a key, whether they worked or not: a view of the audit log.
#[utoipa::path(get, path = "/v1/keys/{id}/usage", tag = "keys",
    params(("id" = String, Path, description = "The key."), SpanQuery),
    responses((status = 200, description = "A page of operations, oldest first.", body = ListBody<KeyUsageBody>)))]
pub(crate) async fn key_usage(
    State(app): State<App>,
    Asked(call, query): Asked<SpanQuery>,
    PathOf(id): PathOf<KeyId>,
) -> Result<Json<ListBody<KeyUsageBody>>, Problem> {
    let span = query.span()?;
    let (name, found) = keyring::usage(&app.instance, &call, id, span).await.or_problem()?;
    let full = u32::try_from(found.len()).is_ok_and(|length| length >= span.limit);
    let next_cursor = found.last().filter(|_| full).map(|usage| usage.index.to_string());
    let items = found.into_iter().map(|usage| KeyUsageBody::of(&name, usage)).collect();
    Ok(Json(ListBody { items, next_cursor }))
}
