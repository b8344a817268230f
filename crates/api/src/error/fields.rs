//! Refusals of fields.

use chancery_domain::fields::DefineFieldError;
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for DefineFieldError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Fixed(what) => {
                Problem::new(Code::StateConflict).detail(format!("{what} of a registered field cannot change"))
            }
            Self::Version(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}
