//! Refusals of datasets.

use chancery_domain::datasets::DatasetError;
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for DatasetError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Busy => Problem::new(Code::StateConflict).detail("a job over this dataset has not ended"),
            Self::Unreachable(error) => Problem::failed(Code::DependencyUnavailable, &error),
            Self::Failed(failure) => failure.into(),
        }
    }
}
