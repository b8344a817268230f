//! The logins of people that go on: proving again who one is, seeing them, ending them.

use axum::{Json, extract::State};
use chancery_crypto::Secret;
use chancery_domain::{
    factors::FactorCode,
    sessions::{self, Amr, Proof, Proved, ReauthenticateError},
};
use chancery_middleware::{Authenticated, Body, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, metrics::LoginOutcome, wiped};

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
    /// An access token of the same session. The refresh token stays as it is.
    #[serde(serialize_with = "wiped::shown")]
    #[schema(value_type = String)]
    access_token: Secret<String>,
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

impl From<Proved> for FreshTokenBody {
    fn from(proved: Proved) -> Self {
        Self {
            access_token: proved.access.text,
            token_type: "Bearer",
            expires_in: proved.access.expires_in,
            session_id: proved.session.to_string(),
            amr: proved.authentication.methods,
            authenticated_at: proved.authentication.at.to_string(),
        }
    }
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
    Body(body): Body<ProofBody, MAX_BYTES>,
) -> Result<Json<FreshTokenBody>, Problem> {
    let factor = body.code.map(FactorCode::Totp).or(body.recovery_code.map(FactorCode::Recovery));
    let proof = Proof { password: body.password, factor };
    let done = sessions::reauthenticate(&app.instance, &call, proof).await;
    app.metrics.reauthenticated(match &done {
        Ok(_) => LoginOutcome::success,
        Err(ReauthenticateError::FactorNeeded) => LoginOutcome::challenged,
        Err(ReauthenticateError::NoSession | ReauthenticateError::Wrong(_)) => LoginOutcome::refused,
        Err(ReauthenticateError::Hash(_) | ReauthenticateError::Failed(_)) => LoginOutcome::failed,
    });
    Ok(Json(done.or_problem()?.into()))
}
