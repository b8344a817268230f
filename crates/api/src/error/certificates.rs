//! Refusals of certificates.

use chancery_domain::certificates::CertificateError;
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for CertificateError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Ended => Problem::new(Code::StateConflict).detail("the certificate has ended already"),
            Self::NotYetSequenced => Problem::new(Code::NotYetSequenced),
            Self::Failed(failure) => failure.into(),
        }
    }
}
