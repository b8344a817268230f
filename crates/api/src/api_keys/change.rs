//! One API key: shown, changed, replaced.

use axum::{Json, extract::State, http::StatusCode};
use chancery_domain::{
    api_keys::{self, ApiKeyChange},
    ids::ApiKeyId,
};
use chancery_middleware::{Authenticated, Body, OptionalBody, PathOf, Problem};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{ApiKeyBody, cidrs};
use crate::{App, error::IntoProblem};

/// How long the old key works on if nothing is said: a day.
const OVERLAP_SECONDS: u32 = 86_400;

/// What shall be different; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ApiKeyChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeyChangeBody {
    /// What it is for: 1 to 255 characters.
    description: Option<String>,
    /// Its life in days from now, 1 to 3650.
    expires_in_days: Option<u32>,
    /// From where it may be used; anywhere if empty.
    allowed_cidrs: Option<Vec<String>>,
    /// How often it may be used in a minute, 1 to 1,000,000; `null` takes its own limit away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>)]
    rate_limit: Option<Option<u32>>,
}

/// Tells `null` from nothing.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// How an API key is replaced.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ApiKeyRotation)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationBody {
    /// For how many seconds the old key works on, 0 to 2592000.
    #[schema(default = 86400, minimum = 0, maximum = 2_592_000)]
    overlap_seconds: Option<u32>,
}

/// Get an API key, never its text.
#[utoipa::path(get, path = "/v1/api-keys/{id}", tag = "api-keys",
    params(("id" = String, Path, description = "The API key.")),
    responses((status = 200, description = "The key.", body = ApiKeyBody)))]
pub(crate) async fn get_api_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<ApiKeyId>,
) -> Result<Json<ApiKeyBody>, Problem> {
    Ok(Json(api_keys::get(&app.instance, &call, id).await.or_problem()?.into()))
}

/// Change what an API key is for, from where and until when it works. What it may do stays.
#[utoipa::path(patch, path = "/v1/api-keys/{id}", tag = "api-keys", request_body = ApiKeyChangeBody,
    params(("id" = String, Path, description = "The API key.")),
    responses((status = 200, description = "The changed key.", body = ApiKeyBody)))]
pub(crate) async fn update_api_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<ApiKeyId>,
    Body(body): Body<ApiKeyChangeBody>,
) -> Result<Json<ApiKeyBody>, Problem> {
    let allowed_cidrs = body.allowed_cidrs.map(|texts| cidrs("", &texts)).transpose().map_err(Problem::invalid)?;
    let wanted = ApiKeyChange {
        description: body.description,
        allowed_cidrs,
        expires_in_days: body.expires_in_days,
        rate_limit: body.rate_limit,
    };
    Ok(Json(api_keys::update(&app.instance, &call, id, wanted).await.or_problem()?.into()))
}

/// Replace an API key by a new one, whose text is answered once. The old one works on for the overlap.
#[utoipa::path(post, path = "/v1/api-keys/{id}/rotate", tag = "api-keys", request_body = RotationBody,
    params(("id" = String, Path, description = "The API key that is replaced.")),
    responses((status = 201, description = "The new key with its text.", body = ApiKeyBody)))]
pub(crate) async fn rotate_api_key(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<ApiKeyId>,
    OptionalBody(body): OptionalBody<RotationBody>,
) -> Result<(StatusCode, Json<ApiKeyBody>), Problem> {
    let overlap = body.overlap_seconds.unwrap_or(OVERLAP_SECONDS);
    let issued = api_keys::rotate(&app.instance, &call, id, overlap).await.or_problem()?;
    Ok((StatusCode::CREATED, Json(issued.into())))
}
