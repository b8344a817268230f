//! Refusals of second factors.

use chancery_domain::{Faults, factors::FactorError};
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for FactorError {
    fn to_problem(self) -> Problem {
        let conflict = |detail: &'static str| Problem::new(Code::StateConflict).detail(detail);
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Refused(_) => LoginStep(self).to_problem(),
            Self::Wrong(_) => {
                Problem::invalid(Faults::one("/code", "wrong", "the code is not accepted; wait for the next"))
            }
            Self::Passkey(reason) => {
                // Why is for our log.
                tracing::info!(reason, "Refused a passkey: {reason}");
                Problem::invalid(Faults::one("/credential", "wrong", "the passkey is not accepted; begin again"))
            }
            Self::NotOffered => conflict("passkeys are not set up here"),
            Self::AlreadyRegistered => conflict("this authenticator is registered already"),
            Self::TooMany => conflict("there are too many passkeys; remove one first"),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NoSession => conflict("the caller is no person who logged in"),
            Self::AlreadyEnrolled => conflict("there is a second factor already; remove it first"),
            Self::NotEnrolled => conflict("there is no second factor to do this with"),
            Self::Required => conflict("a role of the caller needs a second factor"),
            Self::Own => conflict("another administrator must reset it; remove it yourself with a code"),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Failed(failure) => failure.into(),
        }
    }
}

/// The second step of a login: whatever was wrong looks like a wrong password.
pub(crate) struct LoginStep(pub(crate) FactorError);

impl ToProblem for LoginStep {
    fn to_problem(self) -> Problem {
        match self.0 {
            FactorError::Failed(failure) => failure.into(),
            // Of this installation, of the form, or of somebody who got this far: nothing that a stranger could not know.
            open @ (FactorError::NotOffered | FactorError::Invalid(_) | FactorError::AlreadyRegistered) => {
                open.to_problem()
            }
            refused => {
                // Why is for our log.
                tracing::info!(reason = %refused, "Refused the second step of a login: {refused}");
                Problem::new(Code::LoginFailed).detail("Invalid credentials")
            }
        }
    }
}
