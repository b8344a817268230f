//! Refusals of approvals.

use chancery_domain::approvals::ApprovalError;
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for ApprovalError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::SamePerson => {
                Problem::new(Code::ApprovalSamePerson).detail("whoever asked can neither approve nor review")
            }
            Self::AnotherPerson => Problem::new(Code::AuthzDenied).detail("only the person who asked may do this"),
            Self::WrongState(state) => Problem::new(Code::ApprovalUnusable).detail(format!("the approval is {state}")),
            Self::AnotherDeed => {
                Problem::new(Code::ApprovalUnusable).detail("the approval was given for another request")
            }
            Self::Failed(failure) => failure.into(),
        }
    }
}
