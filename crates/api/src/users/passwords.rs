//! New passwords.

use axum::{Json, extract::State};
use chancery_crypto::Secret;
use chancery_domain::{ids::UserId, one_time::Issued, users};
use chancery_middleware::{Authenticated, Body, OptionalBody, PathOf, Problem, Request};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, idempotency::Nothing, wiped};

/// The longest body here: strangers send it.
const MAX_BYTES: usize = 16 * 1024;

/// One's own new password.
#[derive(Deserialize, ToSchema)]
#[schema(as = ChangePassword)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePasswordBody {
    /// The password so far.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    current_password: Secret<String>,
    /// The new one: at least 12 characters with upper, lower, digit and symbol.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    new_password: Secret<String>,
}

/// A password by a token.
#[derive(Deserialize, ToSchema)]
#[schema(as = SetPassword)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetPasswordBody {
    /// The token of an invitation or a reset.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    token: Secret<String>,
    /// The new password: at least 12 characters with upper, lower, digit and symbol.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    new_password: Secret<String>,
}

/// A token to hand to the user; shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = PasswordToken)]
pub(crate) struct PasswordTokenBody {
    /// For `POST /v1/auth/password/reset`, once.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    token: Secret<String>,
    /// Until when it is good.
    expires_at: String,
}

impl From<Issued> for PasswordTokenBody {
    fn from(issued: Issued) -> Self {
        Self { token: issued.text, expires_at: issued.expires_at.to_string() }
    }
}

/// Change one's own password. All other sessions of the caller end.
#[utoipa::path(post, path = "/v1/auth/password/change", tag = "auth", request_body = ChangePasswordBody,
    responses((status = 204, description = "Changed.")))]
pub(crate) async fn change_password(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<ChangePasswordBody, MAX_BYTES>,
) -> Result<StatusCode, Problem> {
    users::change_password(&app.instance, &call, body.current_password, body.new_password).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Set a password with the token of an invitation or a reset. All sessions of the user end; then log in.
#[utoipa::path(post, path = "/v1/auth/password/reset", tag = "auth", request_body = SetPasswordBody,
    responses((status = 204, description = "Set.")))]
pub(crate) async fn set_password(
    State(app): State<App>,
    request: Request,
    Body(body): Body<SetPasswordBody, MAX_BYTES>,
) -> Result<StatusCode, Problem> {
    users::set_password(&app.instance, request.0.info(), &body.token, body.new_password).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a user's password away and end its sessions; gives a token, good for an hour, for a new one.
#[utoipa::path(post, path = "/v1/users/{id}/force-password-reset", tag = "users",
    params(("id" = String, Path, description = "The user.")),
    responses((status = 200, description = "A token to hand over.", body = PasswordTokenBody)))]
pub(crate) async fn force_password_reset(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<UserId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<PasswordTokenBody>, Problem> {
    Ok(Json(users::force_reset(&app.instance, &call, id).await.or_problem()?.into()))
}

/// Invite a user without a password: gives a token, good for seven days, for a first one.
#[utoipa::path(post, path = "/v1/users/{id}/invite", tag = "users",
    params(("id" = String, Path, description = "The user.")),
    responses((status = 200, description = "A token to hand over.", body = PasswordTokenBody)))]
pub(crate) async fn invite_user(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<UserId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<PasswordTokenBody>, Problem> {
    Ok(Json(users::invite(&app.instance, &call, id).await.or_problem()?.into()))
}
