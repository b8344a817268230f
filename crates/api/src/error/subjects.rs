//! Refusals of persons.

use chancery_domain::subjects::SubjectError;
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for SubjectError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Erased(_) => Problem::new(Code::SubjectErased),
            Self::AlreadyErased => Problem::new(Code::StateConflict).detail("the person is erased already"),
            Self::NotErased => Problem::new(Code::StateConflict).detail("the person is not erased"),
            Self::Approval(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}
