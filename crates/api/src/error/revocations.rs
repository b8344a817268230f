//! Refusals of revoking tokens.

use chancery_domain::revocations::RevokeTokensError;
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for RevokeTokensError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Failed(failure) => failure.into(),
        }
    }
}
