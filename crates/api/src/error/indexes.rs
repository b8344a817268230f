//! Refusals of indexes.

use chancery_domain::indexes::{IndexError, VersionError};
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for VersionError {
    fn to_problem(self) -> Problem {
        match self {
            Self::NoSuchVersion => Problem::new(Code::NotFound),
            Self::StillNeeded | Self::TooMany => Problem::new(Code::StateConflict).detail(self.to_string()),
        }
    }
}

impl ToProblem for IndexError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Fixed => {
                Problem::new(Code::StateConflict).detail("the columns of an index cannot change; use another name")
            }
            Self::Version(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}
