//! Refusals of keys.

use chancery_domain::{
    Faults,
    keyring::{
        CopyError, KeyError, UsageError, custody::CustodyError, deletion::DeletionError, tenant_keys::TenantKeyError,
    },
};
use chancery_middleware::{Code, Problem};

use super::ToProblem;

impl ToProblem for TenantKeyError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NoSuchProvider => {
                let message = "the operator's configuration has no key provider of this name for this tenant";
                Problem::invalid(Faults::one("/provider", "not_found", message))
            }
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for KeyError {
    fn to_problem(self) -> Problem {
        let conflict = |detail: String| Problem::new(Code::StateConflict).detail(detail);
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Policy(policy) => {
                Problem::new(Code::AuthzDenied).detail(format!("the key's access policy is {policy}"))
            }
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::NoVersion => Problem::new(Code::NotFound).detail("the key has no such version"),
            Self::Managed => Problem::new(Code::KeyManaged),
            Self::Needed => conflict(
                "the tenant's log is written with this key: revoke it, which gives it a new version, or suspend the tenant"
                    .to_owned(),
            ),
            Self::Unsuited(what) => Problem::new(Code::KeyUnsuited).detail(format!("the key's {what} does not do that")),
            Self::Stopped(state) => Problem::new(Code::KeyRetired).detail(format!("the key version is {state}")),
            Self::StillHolds(version, keys) => conflict(format!(
                "{keys} keys are under version {version}: rotate, they move by themselves (see the key's census), then revoke; force takes two people"
            )),
            Self::Approval(error) => error.to_problem(),
            Self::NotActive => conflict("the key has no active version".to_owned()),
            Self::AlreadyStaged => conflict(
                "a next version is published already and signs within ten minutes, or three are published".to_owned(),
            ),
            Self::Illegal { from, to } => conflict(format!("a key that is {from} does not become {to}")),
            Self::Malformed => Problem::new(Code::SealedMalformed),
            Self::WrongContext => Problem::new(Code::SealedWrongContext),
            Self::Tampered => Problem::new(Code::SealedTampered),
            Self::Refused => Problem::new(Code::CiphertextRefused),
            Self::NameTaken => Problem::new(Code::Taken).detail("another key of this tenant has this name"),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for UsageError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Key(error) => error.to_problem(),
            Self::Audit(error) => error.to_problem(),
        }
    }
}

impl ToProblem for CustodyError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::NoMaterial => Problem::new(Code::StateConflict).detail("no version of the key has material for this"),
            Self::Copy(CopyError::Missing) => {
                Problem::new(Code::StateConflict).detail("the destination has no copy of this key")
            }
            Self::Copy(CopyError::AnotherKey) => Problem::new(Code::KeyMismatch),
            Self::Copy(CopyError::Unproven) => Problem::new(Code::KeyUnproven)
                .detail("the stored key does not open and was never checked: restore the key bundle instead"),
            Self::Copy(error @ (CopyError::Unavailable(_) | CopyError::Provider(_) | CopyError::Damaged)) => {
                Problem::failed(Code::DependencyUnavailable, &error)
            }
            Self::Approval(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for DeletionError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Managed => {
                Problem::new(Code::KeyManaged).detail("certificates and the log are verified with this key")
            }
            Self::WrongState(version, state) => Problem::new(Code::StateConflict)
                .detail(format!("version {version} is {state}; rotate an active one first, force takes a revoked one")),
            Self::StillHolds(version, keys) => Problem::new(Code::StateConflict).detail(format!(
                "{keys} keys are still under version {version}; they move by themselves, see the key's census"
            )),
            Self::HasBegun(version) => Problem::new(Code::StateConflict)
                .detail(format!("the provider of version {version} is destroying it; there is no way back")),
            Self::NothingWaits => Problem::new(Code::StateConflict).detail("no version waits for its deletion"),
            Self::Approval(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}
