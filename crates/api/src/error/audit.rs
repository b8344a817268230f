//! Refusals of the audit log.

use chancery_domain::audit::{
    application::AppendError, query::ReadAuditError, retention::RetentionError, sinks::SinkError,
};
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

impl ToProblem for RetentionError {
    fn to_problem(self) -> Problem {
        let conflict = |detail: &'static str| Problem::new(Code::StateConflict).detail(detail);
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Taken => conflict("there is a hold of that name; lift it first, or use another name"),
            Self::Nothing => conflict("there is nothing to purge: a plan (`dry_run`) says what waits, and for what"),
            Self::Unsigned => conflict("the log cannot be signed, so nothing of it goes"),
            Self::Approval(error) => error.to_problem(),
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
