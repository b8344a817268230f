//! Logging in.

use axum::{Json, extract::State};
use chancery_crypto::Secret;
use chancery_domain::{
    access::{AuthMethod, Role},
    users::{self, LoginError},
};
use chancery_middleware::{Authenticated, Body, Problem, Request};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, metrics::LoginOutcome, wiped};

/// The longest body of a login: strangers send it.
const MAX_BYTES: usize = 16 * 1024;

/// Who logs in.
#[derive(Deserialize, ToSchema)]
#[schema(as = Login)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginBody {
    /// The tenant's short name or id: in which directory to look.
    #[schema(example = "northside")]
    tenant: String,
    /// The name at login.
    username: String,
    /// The password.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    password: Secret<String>,
}

/// What a login gives.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokensBody {
    /// An access token (RFC 9068), for `Authorization: Bearer`.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    access_token: Secret<String>,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Its life in seconds.
    expires_in: i64,
}

async fn log_in(app: &App, request: &Request, body: LoginBody) -> Result<Json<TokensBody>, Problem> {
    let LoginBody { tenant, username, password } = body;
    let done = users::login(&app.instance, request.0.info(), &tenant, &username, password).await;
    app.metrics.logged_in(match &done {
        Ok(_) => LoginOutcome::success,
        Err(LoginError::Invalid(_)) => LoginOutcome::refused,
        Err(LoginError::Hash(_) | LoginError::Failed(_)) => LoginOutcome::failed,
    });
    let tokens = done.or_problem()?;
    Ok(Json(TokensBody { access_token: tokens.access, token_type: "Bearer", expires_in: tokens.expires_in }))
}

/// Log in with a password.
#[utoipa::path(post, path = "/v1/auth/login", tag = "auth", request_body = LoginBody,
    responses((status = 200, description = "An access token.", body = TokensBody)))]
pub(crate) async fn login(
    State(app): State<App>,
    request: Request,
    Body(body): Body<LoginBody, MAX_BYTES>,
) -> Result<Json<TokensBody>, Problem> {
    log_in(&app, &request, body).await
}

/// Log in with a password, by the older path.
#[utoipa::path(post, path = "/auth/login", tag = "auth", request_body = LoginBody,
    responses((status = 200, description = "An access token.", body = TokensBody)))]
pub(crate) async fn login_compat(
    State(app): State<App>,
    request: Request,
    Body(body): Body<LoginBody, MAX_BYTES>,
) -> Result<Json<TokensBody>, Problem> {
    log_in(&app, &request, body).await
}

/// Who the caller is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionBody {
    /// The user, if it is one.
    #[schema(required)]
    user_id: Option<String>,
    /// The user's name at login.
    #[schema(required)]
    username: Option<String>,
    /// The access token's id.
    #[schema(required)]
    jti: Option<String>,
    /// The API key's id.
    #[schema(required)]
    api_key_id: Option<String>,
    /// The tenant.
    tenant_id: String,
    /// The tenant's short name.
    tenant_slug: String,
    /// The roles.
    #[schema(value_type = Vec<String>)]
    roles: Vec<Role>,
    /// How it authenticated: `password` or `api_key`.
    #[schema(value_type = String)]
    auth: AuthMethod,
    /// When the credential ends.
    #[schema(required)]
    expires_at: Option<String>,
}

/// Who the caller is, as Chancery sees it.
#[utoipa::path(get, path = "/v1/auth/session", tag = "auth",
    responses((status = 200, description = "The caller.", body = SessionBody)))]
pub(crate) async fn session(Authenticated(call): Authenticated) -> Json<SessionBody> {
    let caller = &call.caller;
    Json(SessionBody {
        user_id: caller.user().map(|id| id.to_string()),
        username: caller.username().map(str::to_owned),
        jti: caller.token().map(|id| id.to_string()),
        api_key_id: caller.api_key().map(|id| id.to_string()),
        tenant_id: caller.tenant().to_string(),
        tenant_slug: caller.tenant_slug().to_owned(),
        roles: caller.roles().iter().collect(),
        auth: caller.auth(),
        expires_at: caller.expires_at().map(|at| at.to_string()),
    })
}
