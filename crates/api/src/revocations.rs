//! Revoking the tokens of others.

use axum::{Json, extract::State};
use chancery_domain::{
    Faults, Timestamp,
    ids::{TokenId, UserId},
    revocations::{self, NewRevocation, Revocation, Revoked, Whom},
};
use chancery_middleware::{Asked, Authenticated, Body, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    error::IntoProblem,
    metrics::TokenAct,
    page::{self, ListBody, Page},
};

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

/// What stands against tokens.
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
    /// Whose token it was, if that is known.
    #[schema(required)]
    user: Option<String>,
}

/// What was revoked.
#[derive(Serialize, ToSchema)]
#[schema(as = NewlyRevoked)]
pub(crate) struct RevokedBody {
    #[serde(flatten)]
    revocation: RevocationBody,
    /// How many sessions ended with it.
    ended_sessions: u64,
}

impl From<Revoked> for RevokedBody {
    fn from(Revoked { revocation, sessions }: Revoked) -> Self {
        Self { revocation: revocation.into(), ended_sessions: sessions }
    }
}

impl From<Revocation> for RevocationBody {
    fn from(revocation: Revocation) -> Self {
        Self {
            kind: revocation.kind.as_str(),
            id: revocation.id,
            not_before: revocation.not_before.map(|at| at.to_string()),
            expires_at: revocation.expires_at.to_string(),
            reason: revocation.reason,
            revoked_at: revocation.revoked_at.to_string(),
            user: revocation.user.map(|user| user.to_string()),
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
    responses((status = 201, description = "Revoked.", body = RevokedBody)))]
pub(crate) async fn create_revocation(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<NewRevocationBody>,
) -> Result<(StatusCode, Json<RevokedBody>), Problem> {
    let whom = body.whom()?;
    let new = NewRevocation { whom, not_before: body.not_before, reason: body.reason };
    let revoked = revocations::revoke(&app.instance, &call, new).await.or_problem()?;
    app.metrics.token(TokenAct::revoked);
    Ok((StatusCode::CREATED, Json(revoked.into())))
}

/// List what stands against tokens of the tenant.
///
/// A row goes when every token that it stops has expired.
#[utoipa::path(get, path = "/v1/revocations", tag = "auth", params(Page),
    responses((status = 200, description = "A page of rows, by id.", body = ListBody<RevocationBody>)))]
pub(crate) async fn list_revocations(
    State(app): State<App>,
    Asked(call, page): Asked<Page>,
) -> Result<Json<ListBody<RevocationBody>>, Problem> {
    let (after, limit) = (page.after::<String>()?, page.limit()?);
    let found = revocations::list(&app.instance, &call, after.as_deref(), limit).await.or_problem()?;
    Ok(Json(page::list(found, limit, |row| row.id.clone())))
}
