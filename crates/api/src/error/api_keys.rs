//! Refusals of API keys.

use chancery_domain::api_keys::{ApiKeyError, ChangeApiKeyError, CreateApiKeyError, UsageError as ApiKeyUsageError};
use chancery_middleware::{Code, Problem};

use super::{ToProblem, may_not_grant};

impl ToProblem for CreateApiKeyError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::MayNotGrant(_) => may_not_grant(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for ChangeApiKeyError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Over => Problem::new(Code::StateConflict).detail("the API key is revoked or has expired"),
            Self::Replaced(successor) => {
                let detail = format!("{successor} replaces this API key already; rotate that one");
                Problem::new(Code::StateConflict).detail(detail)
            }
            Self::MayNotGrant(_) => may_not_grant(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for ApiKeyUsageError {
    fn to_problem(self) -> Problem {
        match self {
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Audit(error) => error.to_problem(),
        }
    }
}

impl ToProblem for ApiKeyError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::AlreadyRevoked => Problem::new(Code::StateConflict).detail("the API key is revoked already"),
            Self::Failed(failure) => failure.into(),
        }
    }
}
