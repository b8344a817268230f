//! Refusals of sessions.

use chancery_domain::{
    Faults,
    sessions::{EndSessionError, ReauthenticateError, RefreshError, SessionError},
};
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for ReauthenticateError {
    fn to_problem(self) -> Problem {
        match self {
            Self::NoSession => Problem::new(Code::StateConflict).detail("the caller is no person who logged in"),
            Self::FactorNeeded => {
                let message = "send the code of the second factor, or a recovery_code";
                Problem::invalid(Faults::one("/code", "required", message))
            }
            Self::Wrong(reason) => {
                // Why is for our log.
                tracing::info!(reason, "Refused a proof of who it is: {reason}");
                Problem::new(Code::LoginFailed).detail("Invalid credentials")
            }
            Self::Hash(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for RefreshError {
    fn to_problem(self) -> Problem {
        match self {
            // Why is for our log.
            Self::Invalid(reason) => {
                tracing::info!(reason, "Refused a refresh token: {reason}");
                Problem::new(Code::CredentialInvalid)
            }
            Self::Reused => Problem::new(Code::RefreshReused),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for EndSessionError {
    fn to_problem(self) -> Problem {
        match self {
            Self::NoSession => Problem::new(Code::StateConflict)
                .detail("the caller has no session; revoke an API key with POST /v1/api-keys/{id}/revoke"),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for SessionError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NoSession => Problem::new(Code::StateConflict).detail("the caller is no person who logged in"),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Failed(failure) => failure.into(),
        }
    }
}
