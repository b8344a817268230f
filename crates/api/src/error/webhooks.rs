//! Refusals of webhooks' administration.

use chancery_domain::webhooks::WebhookError;
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for WebhookError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Used => Problem::new(Code::Taken).detail("the source has this secret or this device, or had it"),
            Self::State => Problem::new(Code::StateConflict),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}
