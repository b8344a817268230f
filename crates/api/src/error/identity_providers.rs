//! Refusals of identity providers.

use chancery_domain::identity_providers::IdentityProviderError;
use chancery_middleware::{Code, Problem};

use super::{ToProblem, may_not_grant};

impl ToProblem for IdentityProviderError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::MayNotGrant(_) => may_not_grant(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Taken => Problem::new(Code::Taken).detail(
                "an enabled identity provider of this issuer could take the same tokens; a tenant_claim tells them apart",
            ),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}
