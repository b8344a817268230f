//! The logins of people that go on: proving again who one is, seeing them, ending them.

use axum::extract::State;
use chancery_crypto::Secret;
use chancery_domain::{
    factors::FactorCode,
    sessions::{self, Amr, Proof, Proved, ReauthenticateError},
};
use chancery_middleware::{Authenticated, Body, Problem, SessionCookies};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    browser::{self, Delivered},
    error::IntoProblem,
    metrics::LoginOutcome,
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
    /// Always `Bearer`.
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
    let done = sessions::reauthenticate(&app.instance, &call, proof).await;
    app.metrics.reauthenticated(match &done {
        Ok(_) => LoginOutcome::success,
        Err(ReauthenticateError::FactorNeeded) => LoginOutcome::challenged,
        Err(ReauthenticateError::NoSession | ReauthenticateError::Wrong(_)) => LoginOutcome::refused,
        Err(ReauthenticateError::Hash(_) | ReauthenticateError::Failed(_)) => LoginOutcome::failed,
    });
    let Proved { session, access, authentication } = done.or_problem()?;
    let expires_in = access.expires_in;
    Ok(browser::renewed(&app, &brought, access, |shown| FreshTokenBody {
        access_token: shown.map(|access| access.text),
        token_type: "Bearer",
        expires_in,
        session_id: session.to_string(),
        amr: authentication.methods,
        authenticated_at: authentication.at.to_string(),
    }))
}
