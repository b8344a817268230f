//! Logging in, staying in, logging out.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use chancery_crypto::Secret;
use chancery_domain::{
    Faults,
    access::AuthMethod,
    factors::{Method, SecondFactor},
    sessions::{self, Amr, SessionTokens},
    users::{self, LoginError},
};
use chancery_middleware::{
    Authenticated, Body, Code, Exchange, OptionalBody, Problem, ProvenKey, Request, SessionCookies, cookies,
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    browser::{self, Delivered, GivenBody},
    error::{IntoProblem, ToProblem},
    idempotency::Nothing,
    metrics::LoginOutcome,
    wiped,
};

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
    /// For browsers: puts the tokens into cookies that no script sees, and not into the answer.
    #[serde(default)]
    cookies: bool,
}

/// What a login gives.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokensBody {
    /// An access token (RFC 9068), for `Authorization: Bearer`.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    access_token: Secret<String>,
    /// `Bearer`, or `DPoP` if it is bound to a key.
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
            token_type: tokens.access.scheme(),
            access_token: tokens.access.text,
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
    /// How the login goes on: `passkey`, `totp`, `recovery_code`; or `enroll`, if there is no second factor yet and a role needs one.
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
    Session(GivenBody),
    /// To the question for a second factor.
    SecondFactor(SecondFactorBody),
}

/// What goes on.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = Refresh)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshBody {
    /// The refresh token of the last answer, unless it is in a cookie.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(write_only, value_type = Option<String>)]
    refresh_token: Option<Secret<String>>,
}

/// What ended.
#[derive(Serialize, ToSchema)]
#[schema(as = EndedSessions)]
pub(crate) struct EndedBody {
    /// How many sessions.
    ended: u64,
}

async fn log_in(
    app: &App,
    request: &Request,
    proven: ProvenKey,
    brought: &SessionCookies,
    body: LoginBody,
) -> Result<Delivered<LoginAnswer>, Problem> {
    let LoginBody { tenant, username, password, cookies } = body;
    let info = browser::arrival(request, proven, cookies)?;
    let done = users::login(&app.instance, &info, &tenant, &username, password).await;
    app.metrics.logged_in(match &done {
        Ok(users::LoginOutcome::Session(_)) => LoginOutcome::success,
        Ok(users::LoginOutcome::SecondFactor(_)) => LoginOutcome::challenged,
        Err(LoginError::Invalid(_) | LoginError::Paused(_)) => LoginOutcome::refused,
        Err(LoginError::Hash(_) | LoginError::Failed(_)) => LoginOutcome::failed,
    });
    if app.instance.settings().login_400 && matches!(done, Err(LoginError::Invalid(_))) {
        return Err(Problem::new(Code::LoginFailed).detail("Invalid credentials").with_status(StatusCode::BAD_REQUEST));
    }
    match done.or_problem()? {
        users::LoginOutcome::Session(tokens) => {
            let given = browser::begun(app, &request.0, brought, cookies, *tokens).await?;
            Ok(given.map(LoginAnswer::Session))
        }
        users::LoginOutcome::SecondFactor(asked) => Ok(Delivered::plain(LoginAnswer::SecondFactor(asked.into()))),
    }
}

/// Log in with a password.
///
/// Who has a second factor, or a role that needs one, is asked for it: `mfa_required` and an `mfa_token` for the second step.
#[utoipa::path(post, path = "/v1/auth/login", tag = "auth", request_body = LoginBody,
    responses((status = 200, description = "Tokens, or the question for a second factor.", body = LoginAnswer)))]
pub(crate) async fn login(
    State(app): State<App>,
    request: Request,
    proven: ProvenKey,
    brought: SessionCookies,
    Body(body): Body<LoginBody, MAX_BYTES>,
) -> Result<Delivered<LoginAnswer>, Problem> {
    log_in(&app, &request, proven, &brought, body).await
}

/// Log in with a password, by the older path.
#[utoipa::path(post, path = "/auth/login", tag = "auth", request_body = LoginBody,
    responses((status = 200, description = "Tokens, or the question for a second factor.", body = LoginAnswer)))]
pub(crate) async fn login_compat(
    State(app): State<App>,
    request: Request,
    proven: ProvenKey,
    brought: SessionCookies,
    Body(body): Body<LoginBody, MAX_BYTES>,
) -> Result<Delivered<LoginAnswer>, Problem> {
    log_in(&app, &request, proven, &brought, body).await
}

async fn go_on(
    app: &App,
    request: &Request,
    proven: ProvenKey,
    brought: &SessionCookies,
    body: RefreshBody,
) -> Result<Response, Problem> {
    // A token in the body is a program's. It is not asked where it comes from.
    let in_cookie = if body.refresh_token.is_none() { brought.refresh()? } else { None };
    let missing = || Problem::invalid(Faults::one("/refresh_token", "required", "send the refresh token"));
    let text = body.refresh_token.as_ref().or(in_cookie).ok_or_else(missing)?;
    let info = browser::arrival(request, proven, in_cookie.is_some())?;
    match sessions::refresh(&app.instance, &info, text).await {
        Ok(tokens) => Ok(browser::given(app, in_cookie.is_some(), tokens).into_response()),
        Err(error) => {
            let problem = error.to_problem();
            let over = in_cookie.is_some() && problem.code().status() == StatusCode::UNAUTHORIZED;
            let cookies = if over { cookies::cleared(app.instance.settings()) } else { Vec::new() };
            Ok(browser::with(problem.into_response(), cookies))
        }
    }
}

/// Get the next tokens of a session.
///
/// Every use gives another refresh token. A client that lost the answer may ask again within 10 seconds; a token that is
/// older was copied, and ends its session.
#[utoipa::path(post, path = "/v1/auth/refresh", tag = "auth", request_body = Option<RefreshBody>,
    responses((status = 200, description = "The next tokens.", body = GivenBody)))]
pub(crate) async fn refresh(
    State(app): State<App>,
    request: Request,
    proven: ProvenKey,
    brought: SessionCookies,
    OptionalBody(body): OptionalBody<RefreshBody, MAX_BYTES>,
) -> Result<Response, Problem> {
    go_on(&app, &request, proven, &brought, body).await
}

/// Get the next tokens of a session, by the older path.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", request_body = Option<RefreshBody>,
    responses((status = 200, description = "The next tokens.", body = GivenBody)))]
pub(crate) async fn refresh_compat(
    State(app): State<App>,
    request: Request,
    proven: ProvenKey,
    brought: SessionCookies,
    OptionalBody(body): OptionalBody<RefreshBody, MAX_BYTES>,
) -> Result<Response, Problem> {
    go_on(&app, &request, proven, &brought, body).await
}

/// Log out: end the caller's session and its access token, and take its cookies away.
///
/// A browser whose access token is over logs out by its refresh token's cookie.
#[utoipa::path(post, path = "/v1/auth/logout", tag = "auth",
    responses((status = 204, description = "Logged out.")))]
pub(crate) async fn logout(
    State(app): State<App>,
    who: Result<Authenticated, Problem>,
    Extension(exchange): Extension<Arc<Exchange>>,
    brought: SessionCookies,
    OptionalBody(Nothing {}): OptionalBody<Nothing, MAX_BYTES>,
) -> Result<Response, Problem> {
    match who {
        Ok(Authenticated(call)) => sessions::end(&app.instance, &call).await.or_problem()?,
        Err(problem) => {
            let gone = matches!(problem.code(), Code::CredentialMissing | Code::CredentialInvalid);
            let refresh = if gone { brought.refresh()? } else { None };
            let refresh = refresh.ok_or(problem)?;
            sessions::end_by_token(&app.instance, exchange.info(), None, refresh).await?;
        }
    }
    Ok(browser::without(&app, &brought, StatusCode::NO_CONTENT.into_response()))
}

/// Log out everywhere: end all sessions of the caller.
#[utoipa::path(post, path = "/v1/auth/logout-all", tag = "auth",
    responses((status = 200, description = "How many sessions ended.", body = EndedBody)))]
pub(crate) async fn logout_all(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    brought: SessionCookies,
    OptionalBody(Nothing {}): OptionalBody<Nothing, MAX_BYTES>,
) -> Result<Response, Problem> {
    let ended = sessions::end_all(&app.instance, &call).await.or_problem()?;
    Ok(browser::without(&app, &brought, Json(EndedBody { ended }).into_response()))
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
    /// Which identity provider vouches for the caller.
    #[schema(required)]
    identity_provider_id: Option<String>,
    /// Whom it vouches for: the same id each time.
    #[schema(required)]
    external_id: Option<String>,
    /// The API key's id.
    #[schema(required)]
    api_key_id: Option<String>,
    /// The tenant.
    tenant_id: String,
    /// The tenant's short name.
    tenant_slug: String,
    /// The roles: built-in ones, then the tenant's own.
    roles: Vec<String>,
    /// How it authenticated: `password`, `api_key`, `external` or `legacy`.
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
        identity_provider_id: caller.external().map(|external| external.provider.to_string()),
        external_id: caller.external().map(|_| caller.subject().to_string()),
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
