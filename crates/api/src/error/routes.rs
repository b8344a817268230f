//! Refusals of reading and changing routes.

use chancery_domain::routes::RoutesError;
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for RoutesError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Nothing => Problem::new(Code::StateConflict).detail("there is no table before this one"),
            Self::Failed(failure) => failure.into(),
        }
    }
}
