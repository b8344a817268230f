//! Revoking the tokens of others.

use axum::{Json, extract::State};
use chancery_domain::{
    Faults, Timestamp,
    ids::{TokenId, UserId},
    revocations::{self, NewRevocation, Revoked, Whom},
};
use chancery_middleware::{Authenticated, Body, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, metrics::TokenAct};

/// What is to be revoked: exactly one of `jti`, `user` and `everyone`.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewTokenRevocation)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRevocationBody {
    /// One access token.
    #[schema(value_type = Option<String>, example = "tok_01J9Z3K0Q5V8WXYZ0123456789")]
    jti: Option<TokenId>,
    /// All tokens and sessions of a user.
    #[schema(value_type = Option<String>)]
    user: Option<UserId>,
    /// All tokens and sessions of the tenant, the caller's own too.
    everyone: Option<bool>,
    /// Tokens issued before this moment; now, if nothing is said. Not with `jti`.
    #[schema(value_type = Option<String>)]
    not_before: Option<Timestamp>,
    /// Why: 1 to 255 characters. The log keeps it under seal.
    reason: String,
}

/// What was revoked.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenRevocation)]
pub(crate) struct RevocationBody {
    /// `token`, `user` or `tenant`.
    kind: &'static str,
    /// Its id.
    id: String,
    /// Tokens issued before this moment; `null` for one token.
    #[schema(required)]
    not_before: Option<String>,
    /// When every token that it stops has expired.
    expires_at: String,
    /// Why.
    reason: String,
    /// When it was revoked.
    revoked_at: String,
    /// How many sessions ended with it.
    ended_sessions: u64,
}

impl From<Revoked> for RevocationBody {
    fn from(Revoked { revocation, sessions }: Revoked) -> Self {
        Self {
            kind: revocation.kind.as_str(),
            id: revocation.id,
            not_before: revocation.not_before.map(|at| at.to_string()),
            expires_at: revocation.expires_at.to_string(),
            reason: revocation.reason,
            revoked_at: revocation.revoked_at.to_string(),
            ended_sessions: sessions,
        }
    }
}

impl NewRevocationBody {
    fn whom(&self) -> Result<Whom, Problem> {
        match (self.jti, self.user, self.everyone) {
            (Some(id), None, None | Some(false)) => Ok(Whom::Token(id)),
            (None, Some(id), None | Some(false)) => Ok(Whom::User(id)),
            (None, None, Some(true)) => Ok(Whom::Everyone),
            _ => {
                let message = "name exactly one of jti, user and everyone: true";
                Err(Problem::invalid(Faults::one("/jti", "required", message)))
            }
        }
    }
}

/// Revoke tokens before their time: one, all of a user, or all of the tenant.
///
/// They are refused from the next request on, within half a second on other nodes. Sessions of the user or of the tenant end too.
#[utoipa::path(post, path = "/v1/revocations", tag = "auth", request_body = NewRevocationBody,
    responses((status = 201, description = "Revoked.", body = RevocationBody)))]
pub(crate) async fn create_revocation(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<NewRevocationBody>,
) -> Result<(StatusCode, Json<RevocationBody>), Problem> {
    let whom = body.whom()?;
    let new = NewRevocation { whom, not_before: body.not_before, reason: body.reason };
    let revoked = revocations::revoke(&app.instance, &call, new).await.or_problem()?;
    app.metrics.token(TokenAct::revoked);
    Ok((StatusCode::CREATED, Json(revoked.into())))
}
