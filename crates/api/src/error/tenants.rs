//! Refusals of tenants.

use chancery_domain::tenants::{CreateTenantError, SettingsError, TenantError, UpdateTenantError};
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for CreateTenantError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::SlugTaken => Problem::new(Code::Taken).detail("another tenant has this slug"),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for TenantError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::WrongState(state) => Problem::new(Code::StateConflict).detail(format!("the tenant is {state}")),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for UpdateTenantError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for SettingsError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}
