//! People who register themselves.

use axum::{Json, extract::State, http::StatusCode};
use chancery_crypto::{Phi, Secret};
use chancery_domain::users::{self, NewRegistration};
use chancery_middleware::{Body, Problem, Request};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, wiped};

/// The longest body here: strangers send it.
const MAX_BYTES: usize = 16 * 1024;

/// Who wants to be a user.
#[derive(Deserialize, ToSchema)]
#[schema(as = Register)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterBody {
    /// The tenant's short name or id.
    #[schema(example = "northside")]
    tenant: String,
    /// The token of an invitation. It says who is invited: then neither `username` nor `email`.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(write_only, value_type = Option<String>)]
    invitation: Option<Secret<String>>,
    /// The name at login: 1 to 100 characters. Needed without an invitation.
    username: Option<String>,
    /// The e-mail; kept sealed. Needed without an invitation.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    email: Option<Phi<String>>,
    /// The password: at least 12 characters with upper, lower, digit and symbol.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    password: Secret<String>,
    /// The first name; kept sealed.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    first_name: Option<Phi<String>>,
    /// The last name; kept sealed.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(value_type = Option<String>)]
    last_name: Option<Phi<String>>,
}

/// What whoever registers is told, whatever was known before.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Registered)]
pub(crate) struct RegisteredBody {
    /// Always `true`.
    #[schema(example = true)]
    accepted: bool,
}

async fn accept(
    app: &App,
    request: &Request,
    body: RegisterBody,
) -> Result<(StatusCode, Json<RegisteredBody>), Problem> {
    let wanted = NewRegistration {
        tenant: body.tenant,
        invitation: body.invitation,
        username: body.username,
        email: body.email,
        password: body.password,
        first_name: body.first_name,
        last_name: body.last_name,
    };
    users::register(&app.instance, request.0.info(), wanted).await.or_problem()?;
    Ok((StatusCode::ACCEPTED, Json(RegisteredBody { accepted: true })))
}

/// Register as a user of a tenant that allows it: with an invitation, or openly. Then log in.
///
/// Whoever registers openly has no role until an administrator gives one. A name or an address that is known already gets the same
/// answer.
#[utoipa::path(post, path = "/v1/auth/register", tag = "auth", request_body = RegisterBody,
    responses((status = 202, description = "Accepted.", body = RegisteredBody)))]
pub(crate) async fn register(
    State(app): State<App>,
    request: Request,
    Body(body): Body<RegisterBody, MAX_BYTES>,
) -> Result<(StatusCode, Json<RegisteredBody>), Problem> {
    accept(&app, &request, body).await
}

/// Register, by the older path.
#[utoipa::path(post, path = "/auth/register", tag = "auth", request_body = RegisterBody,
    responses((status = 202, description = "Accepted.", body = RegisteredBody)))]
pub(crate) async fn register_compat(
    State(app): State<App>,
    request: Request,
    Body(body): Body<RegisterBody, MAX_BYTES>,
) -> Result<(StatusCode, Json<RegisteredBody>), Problem> {
    accept(&app, &request, body).await
}
