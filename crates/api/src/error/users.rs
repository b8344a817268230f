//! Refusals of users.

use chancery_domain::{
    Faults,
    users::{ChangeUserError, CreateUserError, LoginError, ReadUserError, RegisterError},
};
use chancery_middleware::{Code, Problem};

use super::{ToProblem, may_not_grant};

impl ToProblem for RegisterError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Closed => Problem::new(Code::RegistrationClosed),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Hash(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for CreateUserError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::MayNotGrant(_) => may_not_grant(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::UsernameTaken => Problem::new(Code::Taken).detail("another user has this username"),
            Self::Hash(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for ChangeUserError {
    fn to_problem(self) -> Problem {
        let conflict = |detail: &'static str| Problem::new(Code::StateConflict).detail(detail);
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::MayNotGrant(_) => may_not_grant(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::WrongState(state) => Problem::new(Code::StateConflict).detail(format!("the user is {state}")),
            Self::Own => conflict("another administrator must do this to your account"),
            Self::LastAdministrator => conflict("this is the last administrator; make another one first"),
            Self::WrongPassword => {
                Problem::invalid(Faults::one("/current_password", "wrong", "this is not the password so far"))
            }
            Self::NoSession => conflict("the caller is no person who logged in"),
            Self::HasPassword => conflict("the user has a password; force a reset instead"),
            Self::WrongToken => {
                Problem::invalid(Faults::one("/token", "invalid", "the token is unknown, used or over"))
            }
            Self::Hash(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for ReadUserError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for LoginError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Invalid(_) => Problem::new(Code::LoginFailed).detail("Invalid credentials"),
            Self::Paused(seconds) => Problem::new(Code::AccountLocked).retry_after(seconds),
            Self::Hash(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}
