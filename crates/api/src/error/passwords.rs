//! Refusals of hashing passwords.

use chancery_domain::passwords::HashError;
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for HashError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Busy => Problem::new(Code::Overloaded),
            Self::Failed(_) => Problem::failed(Code::Internal, &self),
        }
    }
}
