//! Refusals of roles.

use chancery_domain::roles::RoleError;
use chancery_middleware::{Code, Problem};

use super::{ToProblem, may_not_grant};

impl ToProblem for RoleError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::MayNotGrant(_) => may_not_grant(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Held => Problem::new(Code::StateConflict).detail(
                "somebody holds the role, or the map of an identity provider gives it: take it away there first",
            ),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}
