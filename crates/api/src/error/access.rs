//! Refusals of calls that are not allowed.

use chancery_domain::access::Denied;
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for Denied {
    fn to_problem(self) -> Problem {
        match self {
            Self::Forbidden(permission) => {
                Problem::new(Code::AuthzDenied).detail(format!("this needs the permission {permission}"))
            }
            Self::NoSuchTenant => Problem::new(Code::NotFound),
            Self::StepUp(max_age) => Problem::step_up(max_age),
        }
    }
}
