//! Refusals of blocking addresses, of letting in who is kept out, and of counts.

use chancery_domain::{blocks::BlockError, limits::CountedError, lockouts::LockoutError};
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for BlockError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Taken => Problem::new(Code::Taken).detail("the network was blocked in the same moment"),
            Self::Full => Problem::new(Code::StateConflict).detail("there are as many blocks as there may be"),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for LockoutError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for CountedError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Failed(failure) => failure.into(),
        }
    }
}
