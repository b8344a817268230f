//! Logging in, staying in, logging out.

use axum::{Json, extract::State};
use chancery_crypto::Secret;
use chancery_domain::{
    access::AuthMethod,
    factors::{Method, SecondFactor},
    sessions::{self, Amr, SessionTokens},
    users::{self, LoginError},
};
use chancery_middleware::{Authenticated, Body, OptionalBody, Problem, Request};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, idempotency::Nothing, metrics::LoginOutcome, wiped};

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
    /// The token for the next refresh. It changes with every use.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    refresh_token: Secret<String>,
    /// When it ends unless it is used.
    refresh_expires_at: String,
    /// The session: the `sid` of the access token.
    session_id: String,
}

impl From<SessionTokens> for TokensBody {
    fn from(tokens: SessionTokens) -> Self {
        Self {
            access_token: tokens.access.text,
            token_type: "Bearer",
            expires_in: tokens.access.expires_in,
            refresh_token: tokens.refresh,
            refresh_expires_at: tokens.refresh_expires_at.to_string(),
            session_id: tokens.session.to_string(),
        }
    }
}

/// What a login waits for.
#[derive(Serialize, ToSchema)]
#[schema(as = SecondFactor)]
pub(crate) struct SecondFactorBody {
    /// Always `true`.
    #[schema(example = true)]
    mfa_required: bool,
    /// The token for the second step.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    mfa_token: Secret<String>,
    /// Until when it is good.
    mfa_expires_at: String,
    /// How the login goes on: `totp`, `recovery_code`; or `enroll`, if there is no second factor yet and a role needs one.
    #[schema(value_type = Vec<String>, example = json!(["totp", "recovery_code"]))]
    methods: Vec<Method>,
}

impl From<SecondFactor> for SecondFactorBody {
    fn from(asked: SecondFactor) -> Self {
        Self {
            mfa_required: true,
            mfa_token: asked.token.text,
            mfa_expires_at: asked.token.expires_at.to_string(),
            methods: asked.methods,
        }
    }
}

/// How far a right password gets.
#[derive(Serialize, ToSchema)]
#[schema(as = LoginAnswer)]
#[serde(untagged)]
pub(crate) enum LoginAnswer {
    /// To a session.
    Session(Box<TokensBody>),
    /// To the question for a second factor.
    SecondFactor(SecondFactorBody),
}

/// What goes on.
#[derive(Deserialize, ToSchema)]
#[schema(as = Refresh)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshBody {
    /// The refresh token of the last answer.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    refresh_token: Secret<String>,
}

/// What ended.
#[derive(Serialize, ToSchema)]
#[schema(as = EndedSessions)]
pub(crate) struct EndedBody {
    /// How many sessions.
    ended: u64,
}

async fn log_in(app: &App, request: &Request, body: LoginBody) -> Result<Json<LoginAnswer>, Problem> {
    let LoginBody { tenant, username, password } = body;
    let done = users::login(&app.instance, request.0.info(), &tenant, &username, password).await;
    app.metrics.logged_in(match &done {
        Ok(users::LoginOutcome::Session(_)) => LoginOutcome::success,
        Ok(users::LoginOutcome::SecondFactor(_)) => LoginOutcome::challenged,
        Err(LoginError::Invalid(_)) => LoginOutcome::refused,
        Err(LoginError::Hash(_) | LoginError::Failed(_)) => LoginOutcome::failed,
    });
    Ok(Json(match done.or_problem()? {
        users::LoginOutcome::Session(tokens) => LoginAnswer::Session(Box::new((*tokens).into())),
        users::LoginOutcome::SecondFactor(asked) => LoginAnswer::SecondFactor(asked.into()),
    }))
}

/// Log in with a password.
///
/// Who has a second factor, or a role that needs one, is asked for it: `mfa_required` and an `mfa_token` for the second step.
#[utoipa::path(post, path = "/v1/auth/login", tag = "auth", request_body = LoginBody,
    responses((status = 200, description = "Tokens, or the question for a second factor.", body = LoginAnswer)))]
pub(crate) async fn login(
    State(app): State<App>,
    request: Request,
    Body(body): Body<LoginBody, MAX_BYTES>,
) -> Result<Json<LoginAnswer>, Problem> {
    log_in(&app, &request, body).await
}

/// Log in with a password, by the older path.
#[utoipa::path(post, path = "/auth/login", tag = "auth", request_body = LoginBody,
    responses((status = 200, description = "Tokens, or the question for a second factor.", body = LoginAnswer)))]
pub(crate) async fn login_compat(
    State(app): State<App>,
    request: Request,
    Body(body): Body<LoginBody, MAX_BYTES>,
) -> Result<Json<LoginAnswer>, Problem> {
    log_in(&app, &request, body).await
}

async fn go_on(app: &App, request: &Request, body: RefreshBody) -> Result<Json<TokensBody>, Problem> {
    let tokens = sessions::refresh(&app.instance, request.0.info(), &body.refresh_token).await.or_problem()?;
    Ok(Json(tokens.into()))
}

/// Get the next tokens of a session.
///
/// Every use gives another refresh token. A client that lost the answer may ask again within 10 seconds; a token that is
/// older was copied, and ends its session.
#[utoipa::path(post, path = "/v1/auth/refresh", tag = "auth", request_body = RefreshBody,
    responses((status = 200, description = "The next tokens.", body = TokensBody)))]
pub(crate) async fn refresh(
    State(app): State<App>,
    request: Request,
    Body(body): Body<RefreshBody, MAX_BYTES>,
) -> Result<Json<TokensBody>, Problem> {
    go_on(&app, &request, body).await
}

/// Get the next tokens of a session, by the older path.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", request_body = RefreshBody,
    responses((status = 200, description = "The next tokens.", body = TokensBody)))]
pub(crate) async fn refresh_compat(
    State(app): State<App>,
    request: Request,
    Body(body): Body<RefreshBody, MAX_BYTES>,
) -> Result<Json<TokensBody>, Problem> {
    go_on(&app, &request, body).await
}

/// Log out: end the caller's session and its access token.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "auth",
    responses((status = 204, description = "Logged out.")))]
pub(crate) async fn logout(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<StatusCode, Problem> {
    sessions::end(&app.instance, &call).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Log out everywhere: end all sessions of the caller.
#[utoipa::path(post, path = "/v1/auth/logout-all", tag = "auth",
    responses((status = 200, description = "How many sessions ended.", body = EndedBody)))]
pub(crate) async fn logout_all(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<Json<EndedBody>, Problem> {
    let ended = sessions::end_all(&app.instance, &call).await.or_problem()?;
    Ok(Json(EndedBody { ended }))
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
    /// The session: the access token's `sid`.
    #[schema(required)]
    session_id: Option<String>,
    /// By what the person behind it proved who it is (RFC 8176).
    #[schema(value_type = Vec<String>)]
    amr: Vec<Amr>,
    /// When that was.
    #[schema(required)]
    authenticated_at: Option<String>,
    /// The API key's id.
    #[schema(required)]
    api_key_id: Option<String>,
    /// The tenant.
    tenant_id: String,
    /// The tenant's short name.
    tenant_slug: String,
    /// The roles: built-in ones, then the tenant's own.
    roles: Vec<String>,
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
        session_id: caller.session().map(|id| id.to_string()),
        amr: caller.authentication().map(|proof| proof.methods.clone()).unwrap_or_default(),
        authenticated_at: caller.authentication().map(|proof| proof.at.to_string()),
        api_key_id: caller.api_key().map(|id| id.to_string()),
        tenant_id: caller.tenant().to_string(),
        tenant_slug: caller.tenant_slug().to_owned(),
        roles: caller
            .roles()
            .iter()
            .map(|role| role.to_string())
            .chain(caller.defined_roles().iter().cloned())
            .collect(),
        auth: caller.auth(),
        expires_at: caller.expires_at().map(|at| at.to_string()),
    })
}
