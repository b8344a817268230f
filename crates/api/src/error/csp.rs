//! Refusals of what browsers reported.

use chancery_domain::csp_reports::ReportsError;
use chancery_middleware::Problem;

use super::ToProblem;

impl ToProblem for ReportsError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}
