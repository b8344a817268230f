//! Refusals of the audit log.

use chancery_domain::audit::{application::AppendError, query::ReadAuditError, sinks::SinkError};
use chancery_middleware::{Code, Problem};

use super::{ToProblem, certificates::phi_suspected};

impl ToProblem for ReadAuditError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::NotYetSequenced => Problem::new(Code::NotYetSequenced),
            Self::RolledBack => Problem::new(Code::AuditRolledBack),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for AppendError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::PhiSuspected(found) => phi_suspected(found),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for SinkError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Moved => Problem::new(Code::StateConflict).detail("the sink moved meanwhile; look where it is"),
            Self::Failed(failure) => failure.into(),
        }
    }
}
