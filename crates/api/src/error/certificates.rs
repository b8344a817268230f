//! Refusals of certificates.

use chancery_domain::{Faults, certificates::CertificateError, lockdown::Detector};
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for CertificateError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::PhiSuspected(found) => phi_suspected(found),
            Self::Ended => Problem::new(Code::StateConflict).detail("the certificate has ended already"),
            Self::NotYetSequenced => Problem::new(Code::NotYetSequenced),
            Self::Damaged(damaged) => damaged.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

/// What looks like personal data, by its place; never what was found.
pub(super) fn phi_suspected(found: Vec<(String, Detector)>) -> Problem {
    Problem::invalid(Faults::suspected(found))
}
