//! Changes of users.

use axum::{Json, extract::State};
use chancery_crypto::Phi;
use chancery_domain::{
    access::{Call, Role},
    ids::UserId,
    users::{self, UserChange, UserPatch},
};
use chancery_middleware::{Authenticated, Body, OptionalBody, PathOf, Problem, Unique};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::CreatedUserBody;
use crate::{
    App,
    error::IntoProblem,
    idempotency::Nothing,
    tenants::{self, object},
    wiped,
};

/// What of a user shall be another. What is absent stays; a name or metadata that is `null` goes.
#[derive(Deserialize, ToSchema)]
#[schema(as = UserPatch)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserPatchBody {
    /// Its e-mail; kept sealed.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    email: Option<Phi<String>>,
    /// Its first name; kept sealed.
    #[serde(default, deserialize_with = "wiped::given")]
    #[schema(value_type = Option<String>)]
    first_name: Option<Option<Phi<String>>>,
    /// Its last name; kept sealed.
    #[serde(default, deserialize_with = "wiped::given")]
    #[schema(value_type = Option<String>)]
    last_name: Option<Option<Phi<String>>>,
    /// A JSON object of your own, as a whole; kept sealed.
    #[serde(default, deserialize_with = "tenants::unique")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Option<Unique>>,
    /// Its roles, all of them. Other roles end its sessions.
    #[schema(value_type = Option<Vec<String>>, example = json!(["clinician"]))]
    roles: Option<Vec<Role>>,
}

/// Change a user.
#[utoipa::path(patch, path = "/v1/users/{id}", tag = "users", request_body = UserPatchBody,
    params(("id" = String, Path, description = "The user.")),
    responses((status = 200, description = "The user.", body = CreatedUserBody)))]
pub(crate) async fn update_user(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<UserId>,
    Body(body): Body<UserPatchBody>,
) -> Result<Json<CreatedUserBody>, Problem> {
    let patch = UserPatch {
        email: body.email,
        first_name: body.first_name,
        last_name: body.last_name,
        metadata: body.metadata.map(object).transpose()?,
        roles: body.roles,
    };
    Ok(Json(users::update(&app.instance, &call, id, patch).await.or_problem()?.into()))
}

/// Delete a user: its sessions end, what identified the person goes, its name is free again.
#[utoipa::path(delete, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "The user.")),
    responses((status = 204, description = "Deleted.")))]
pub(crate) async fn delete_user(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<UserId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<StatusCode, Problem> {
    users::delete(&app.instance, &call, id).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change(app: &App, call: &Call, id: UserId, to: UserChange) -> Result<Json<CreatedUserBody>, Problem> {
    Ok(Json(users::change_state(&app.instance, call, id, to).await.or_problem()?.into()))
}

/// Disable a user: it may not log in, and what it holds stops working at once.
#[utoipa::path(post, path = "/v1/users/{id}/disable", tag = "users",
    params(("id" = String, Path, description = "The user.")),
    responses((status = 200, description = "The user.", body = CreatedUserBody)))]
pub(crate) async fn disable_user(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<UserId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<CreatedUserBody>, Problem> {
    change(&app, &call, id, UserChange::Disable).await
}

/// Enable a user that was disabled.
#[utoipa::path(post, path = "/v1/users/{id}/enable", tag = "users",
    params(("id" = String, Path, description = "The user.")),
    responses((status = 200, description = "The user.", body = CreatedUserBody)))]
pub(crate) async fn enable_user(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<UserId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<CreatedUserBody>, Problem> {
    change(&app, &call, id, UserChange::Enable).await
}

/// Lock a user for now: as disabling it, while somebody looks into it.
#[utoipa::path(post, path = "/v1/users/{id}/lock", tag = "users",
    params(("id" = String, Path, description = "The user.")),
    responses((status = 200, description = "The user.", body = CreatedUserBody)))]
pub(crate) async fn lock_user(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<UserId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<CreatedUserBody>, Problem> {
    change(&app, &call, id, UserChange::Lock).await
}

/// Unlock a user that was locked.
#[utoipa::path(post, path = "/v1/users/{id}/unlock", tag = "users",
    params(("id" = String, Path, description = "The user.")),
    responses((status = 200, description = "The user.", body = CreatedUserBody)))]
pub(crate) async fn unlock_user(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<UserId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<CreatedUserBody>, Problem> {
    change(&app, &call, id, UserChange::Unlock).await
}
