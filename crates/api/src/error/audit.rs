//! Refusals of the audit log.

use chancery_domain::audit::{
    DamagedLog, application::AppendError, archives::ArchiveError, query::ReadAuditError, retention::RetentionError,
    sinks::SinkError,
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
            Self::Damaged(damaged) => damaged.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

/// Said to who may read the log: the tenant is theirs, and the place is all that is known.
impl ToProblem for DamagedLog {
    fn to_problem(self) -> Problem {
        let Self { log, at } = self;
        let place = at.map_or_else(|| "what is stored".to_owned(), |at| format!("what is stored at place {at}"));
        tracing::error!(
            tenant = %log,
            code = "log_damaged",
            "Somebody asked for something of the log of `{log}` that is not what was logged: {place}; see docs/guides/audit.md"
        );
        Problem::new(Code::AuditDamaged).detail(format!(
            "{place} of the log of {log} is not what was logged. Keep a copy of the store, let the operator run `chancery audit scrub`, and go on \
             as docs/guides/audit.md says under \"When something is found\"; what lies elsewhere can be read"
        ))
    }
}

impl ToProblem for AppendError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::PhiSuspected(found) => phi_suspected(found),
            Self::Erased => Problem::new(Code::SubjectErased)
                .detail("leave the personal texts out, or make the person again with POST /v1/subjects/recreate"),
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
            Self::Ordered => conflict("the log tells of this purge: it was ordered, and stands"),
            Self::Nothing => conflict("there is nothing to purge: a plan (`dry_run`) says what waits, and for what"),
            Self::Unsigned => conflict("the log cannot be signed, so nothing of it goes"),
            Self::Unarchived(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::error!(error = cause, "An archive does not read back, so nothing that is in it was purged");
                conflict(
                    "an archive of what is to go does not read back, so nothing went; the log of the server says why",
                )
            }
            Self::Approval(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for ArchiveError {
    fn to_problem(self) -> Problem {
        let conflict = |detail: &'static str| Problem::new(Code::StateConflict).detail(detail);
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Place(fault) => {
                let cause: &dyn std::error::Error = &fault;
                tracing::error!(error = cause, "A place of archives does not give what it was given");
                conflict("the place of this archive does not give it")
            }
            Self::Damaged => conflict("the archive is not what was written; it opens to nothing"),
            Self::Unsigned => conflict("the log cannot be signed"),
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
