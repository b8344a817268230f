//! Refusals of programs' tokens.

use chancery_domain::{Faults, tokens::ClientGrantError};
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for ClientGrantError {
    fn to_problem(self) -> Problem {
        match self {
            Self::NotAClient => Problem::new(Code::AuthzDenied)
                .detail("only the API key of a program gets a token, not a person and not a token"),
            Self::Proof => Problem::new(Code::ProofInvalid),
            Self::Roles => Problem::invalid(Faults::one("/roles", "range", "name roles of the API key, at least one")),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}
