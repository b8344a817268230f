//! The OAuth endpoints: tokens for refresh tokens and API keys, what a token is, and its end (RFC 6749, 7662, 7009).
//!
//! They take forms and refuse in the standard's words, so that clients off the shelf work.

mod introspect;
mod revoke;
mod token;

use chancery_domain::{instance::Failure, sessions::RefreshError, tokens::ClientGrantError};
use chancery_middleware::{OAuthCode, OAuthError, Problem};
use utoipa::ToSchema;

pub(crate) use introspect::*;
pub(crate) use revoke::*;
pub(crate) use token::*;

/// A refusal (RFC 6749 §5.2).
#[derive(ToSchema)]
#[schema(as = OAuthError)]
#[expect(dead_code, reason = "describes what `chancery_middleware::OAuthError` writes")]
pub(crate) struct OAuthErrorBody {
    /// The standard's word for it.
    #[schema(example = "invalid_grant")]
    error: String,
    /// What to do about it.
    error_description: String,
}

/// A failure beneath.
fn failed(failure: Failure) -> OAuthError {
    Problem::from(failure).into()
}

fn of_refresh(error: RefreshError) -> OAuthError {
    match error {
        RefreshError::Invalid(reason) => {
            tracing::info!(reason, "Refused a refresh token: {reason}");
            OAuthError::new(OAuthCode::InvalidGrant, "the refresh token is not valid")
        }
        RefreshError::Reused => {
            OAuthError::new(OAuthCode::InvalidGrant, "the refresh token was used before; log in again")
        }
        RefreshError::Failed(failure) => failed(failure),
    }
}

fn of_grant(error: ClientGrantError) -> OAuthError {
    match error {
        ClientGrantError::NotAClient => {
            OAuthError::new(OAuthCode::UnauthorizedClient, "only the API key of a program gets a token")
        }
        ClientGrantError::Roles => {
            OAuthError::new(OAuthCode::InvalidScope, "the scope names roles, of those that the API key has")
        }
        ClientGrantError::Proof => OAuthError::new(OAuthCode::InvalidDpopProof, "the proof of the key was used before"),
        ClientGrantError::Invalid(_) => OAuthError::new(OAuthCode::InvalidRequest, "a parameter is not valid"),
        ClientGrantError::Failed(failure) => failed(failure),
    }
}
