//! The logins of people that go on: proving again who one is, seeing them, ending them.

use axum::{Json, extract::State};
use chancery_crypto::Secret;
use chancery_domain::{
    factors::FactorCode,
    ids::{SessionId, UserId},
    sessions::{self, Amr, Proof, Proved, ReauthenticateError, Session},
};
use chancery_middleware::{Authenticated, Body, OptionalBody, PathOf, Problem, SessionCookies};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    browser::{self, Delivered},
    error::IntoProblem,
    idempotency::Nothing,
    metrics::LoginOutcome,
    page::ListBody,
    wiped,
};

/// The longest body here.
const MAX_BYTES: usize = 16 * 1024;

/// How a person proves again who it is.
#[derive(Deserialize, ToSchema)]
#[schema(as = Reauthentication)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProofBody {
    /// The password.
    #[serde(deserialize_with = "wiped::taken")]
    #[schema(write_only, value_type = String)]
    password: Secret<String>,
    /// A one-time code; whoever has a second factor sends it or a recovery code.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(write_only, value_type = Option<String>, example = "123456")]
    code: Option<Secret<String>>,
    /// A recovery code, which is used up.
    #[serde(default, deserialize_with = "wiped::taken_if_any")]
    #[schema(write_only, value_type = Option<String>)]
    recovery_code: Option<Secret<String>>,
}

/// A token that says that its person was there a moment ago.
#[derive(Serialize, ToSchema)]
#[schema(as = FreshToken)]
pub(crate) struct FreshTokenBody {
    /// An access token of the same session, unless it is in a cookie. The refresh token stays as it is.
    #[serde(serialize_with = "wiped::shown_if_any", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    access_token: Option<Secret<String>>,
    /// `Bearer`, or `DPoP` if it is bound to a key.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Its life in seconds.
    expires_in: i64,
    /// The session.
    session_id: String,
    /// By what the person proved who it is (RFC 8176).
    #[schema(value_type = Vec<String>)]
    amr: Vec<Amr>,
    /// When.
    authenticated_at: String,
}

/// Prove again who one is.
///
/// What is dangerous answers 401 `auth.step_up_required` to a person who logged in more than ten minutes ago. The token of this
/// answer does it; the one before does not. After five wrong tries the session ends.
#[utoipa::path(post, path = "/v1/auth/reauthenticate", tag = "auth", request_body = ProofBody,
    responses((status = 200, description = "A fresh token.", body = FreshTokenBody)))]
pub(crate) async fn reauthenticate(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    brought: SessionCookies,
    Body(body): Body<ProofBody, MAX_BYTES>,
) -> Result<Delivered<FreshTokenBody>, Problem> {
    let factor = body.code.map(FactorCode::Totp).or(body.recovery_code.map(FactorCode::Recovery));
    let proof = Proof { password: body.password, factor };
    fresh(&app, &brought, sessions::reauthenticate(&app.instance, &call, proof).await)
}

/// A fresh token, counted.
pub(crate) fn fresh(
    app: &App,
    brought: &SessionCookies,
    done: Result<Proved, ReauthenticateError>,
) -> Result<Delivered<FreshTokenBody>, Problem> {
    app.metrics.reauthenticated(match &done {
        Ok(_) => LoginOutcome::success,
        Err(ReauthenticateError::FactorNeeded) => LoginOutcome::challenged,
        Err(ReauthenticateError::NoSession | ReauthenticateError::Wrong(_)) => LoginOutcome::refused,
        Err(ReauthenticateError::Hash(_) | ReauthenticateError::Failed(_)) => LoginOutcome::failed,
    });
    let Proved { session, access, authentication } = done.or_problem()?;
    let (scheme, expires_in) = (access.scheme(), access.expires_in);
    Ok(browser::renewed(app, brought, access, |shown| FreshTokenBody {
        access_token: shown.map(|access| access.text),
        token_type: scheme,
        expires_in,
        session_id: session.to_string(),
        amr: authentication.methods,
        authenticated_at: authentication.at.to_string(),
    }))
}

/// A login that goes on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActiveSession)]
pub(crate) struct ActiveSessionBody {
    /// Its id: the `sid` of its access tokens.
    id: String,
    /// Whether it is the one that asks.
    current: bool,
    /// Since when.
    created_at: String,
    /// When it got its last tokens.
    refreshed_at: String,
    /// When it ends unless it is used.
    expires_at: String,
    /// By what its person proved who it is (RFC 8176).
    #[schema(value_type = Vec<String>)]
    amr: Vec<Amr>,
    /// When that was.
    authenticated_at: String,
}

fn listed(found: Vec<Session>, current: Option<SessionId>) -> Json<ListBody<ActiveSessionBody>> {
    let items = found.into_iter().map(|session| ActiveSessionBody {
        id: session.id.to_string(),
        current: current == Some(session.id),
        created_at: session.created_at.to_string(),
        refreshed_at: session.head.since.to_string(),
        expires_at: session.head.expires_at.min(session.expires_at).to_string(),
        amr: session.authentication.methods,
        authenticated_at: session.authentication.at.to_string(),
    });
    Json(ListBody { items: items.collect(), next_cursor: None })
}

/// The caller's sessions that go on, oldest first.
#[utoipa::path(get, path = "/v1/auth/sessions", tag = "auth",
    responses((status = 200, description = "All of them.", body = ListBody<ActiveSessionBody>)))]
pub(crate) async fn list_my_sessions(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<ListBody<ActiveSessionBody>>, Problem> {
    let found = sessions::list_own(&app.instance, &call).await.or_problem()?;
    Ok(listed(found, call.caller.session()))
}

/// End one of the caller's sessions, with all its tokens.
#[utoipa::path(delete, path = "/v1/auth/sessions/{id}", tag = "auth",
    params(("id" = String, Path, description = "The session.")),
    responses((status = 204, description = "Ended.")))]
pub(crate) async fn end_my_session(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<SessionId>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<StatusCode, Problem> {
    sessions::end_own(&app.instance, &call, id).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// The sessions of a user that go on, oldest first.
#[utoipa::path(get, path = "/v1/users/{id}/sessions", tag = "users",
    params(("id" = String, Path, description = "The user.")),
    responses((status = 200, description = "All of them.", body = ListBody<ActiveSessionBody>)))]
pub(crate) async fn list_user_sessions(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<UserId>,
) -> Result<Json<ListBody<ActiveSessionBody>>, Problem> {
    let found = sessions::list(&app.instance, &call, id).await.or_problem()?;
    Ok(listed(found, call.caller.session()))
}

/// End a session of a user, with all its tokens.
#[utoipa::path(delete, path = "/v1/users/{id}/sessions/{session}", tag = "users",
    params(("id" = String, Path, description = "The user."), ("session" = String, Path, description = "The session.")),
    responses((status = 204, description = "Ended.")))]
pub(crate) async fn end_user_session(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((id, session)): PathOf<(UserId, SessionId)>,
    OptionalBody(Nothing {}): OptionalBody<Nothing>,
) -> Result<StatusCode, Problem> {
    sessions::end_of(&app.instance, &call, id, session).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}
