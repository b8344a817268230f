//! What each use case's errors look like over HTTP. Every match is complete, so that a new variant
//! asks for its status at compile time.

use chancery_domain::Faults;
use chancery_domain::{
    access::Denied,
    api_keys::{ApiKeyError, ChangeApiKeyError, CreateApiKeyError, UsageError as ApiKeyUsageError},
    approvals::ApprovalError,
    audit::query::ReadAuditError,
    certificates::CertificateError,
    datasets::DatasetError,
    factors::FactorError,
    fields::DefineFieldError,
    identity_providers::IdentityProviderError,
    indexes::{IndexError, VersionError},
    keyring::{
        CopyError, KeyError, UsageError, custody::CustodyError, deletion::DeletionError, tenant_keys::TenantKeyError,
    },
    passwords::HashError,
    records::{DocumentError, RecordError, RowsError},
    revocations::RevokeTokensError,
    roles::RoleError,
    sessions::{EndSessionError, ReauthenticateError, RefreshError, SessionError},
    subjects::SubjectError,
    tenants::{CreateTenantError, SettingsError, TenantError, UpdateTenantError},
    tokens::ClientGrantError,
    users::{ChangeUserError, CreateUserError, LoginError, ReadUserError, RegisterError},
};
use chancery_middleware::{Code, Problem};

/// An error with a place in HTTP.
pub(crate) trait ToProblem {
    /// The refusal that it becomes.
    fn to_problem(self) -> Problem;
}

/// Turns the error of a result into a refusal.
pub(crate) trait IntoProblem<T> {
    /// The value, or the refusal.
    fn or_problem(self) -> Result<T, Problem>;
}

impl<T, E: ToProblem> IntoProblem<T> for Result<T, E> {
    fn or_problem(self) -> Result<T, Problem> {
        self.map_err(ToProblem::to_problem)
    }
}

fn may_not_grant() -> Problem {
    Problem::new(Code::AuthzDenied).detail("the caller may not grant one of these roles")
}

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

impl ToProblem for IdentityProviderError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::MayNotGrant(_) => may_not_grant(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Taken => Problem::new(Code::Taken).detail(
                "an enabled identity provider takes tokens of this issuer for one of these audiences; a tenant_claim tells them apart",
            ),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for HashError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Busy => Problem::new(Code::Overloaded),
            Self::Failed(_) => Problem::failed(Code::Internal, &self),
        }
    }
}

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
            Self::Hash(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

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

impl ToProblem for ReauthenticateError {
    fn to_problem(self) -> Problem {
        match self {
            Self::NoSession => Problem::new(Code::StateConflict).detail("the caller is no person who logged in"),
            Self::FactorNeeded => {
                let message = "send the code of the second factor, or a recovery_code";
                Problem::invalid(Faults::one("/code", "required", message))
            }
            Self::Wrong(reason) => {
                // Why is for our log.
                tracing::info!(reason, "Refused a proof of who it is: {reason}");
                Problem::new(Code::LoginFailed).detail("Invalid credentials")
            }
            Self::Hash(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for RefreshError {
    fn to_problem(self) -> Problem {
        match self {
            // Why is for our log.
            Self::Invalid(reason) => {
                tracing::info!(reason, "Refused a refresh token: {reason}");
                Problem::new(Code::CredentialInvalid)
            }
            Self::Reused => Problem::new(Code::RefreshReused),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for ClientGrantError {
    fn to_problem(self) -> Problem {
        match self {
            Self::NotAClient => Problem::new(Code::AuthzDenied)
                .detail("only the API key of a program gets a token, not a person and not a token"),
            Self::Proof => Problem::new(Code::ProofInvalid),
            Self::Roles => Problem::invalid(Faults::one("/roles", "range", "name roles of the API key, at least one")),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for RevokeTokensError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for EndSessionError {
    fn to_problem(self) -> Problem {
        match self {
            Self::NoSession => Problem::new(Code::StateConflict)
                .detail("the caller has no session; revoke an API key with POST /v1/api-keys/{id}/revoke"),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for SessionError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NoSession => Problem::new(Code::StateConflict).detail("the caller is no person who logged in"),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for CreateApiKeyError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::MayNotGrant(_) => may_not_grant(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for ChangeApiKeyError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Over => Problem::new(Code::StateConflict).detail("the API key is revoked or has expired"),
            Self::Replaced(successor) => {
                let detail = format!("{successor} replaces this API key already; rotate that one");
                Problem::new(Code::StateConflict).detail(detail)
            }
            Self::MayNotGrant(_) => may_not_grant(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for ApiKeyUsageError {
    fn to_problem(self) -> Problem {
        match self {
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Audit(error) => error.to_problem(),
        }
    }
}

impl ToProblem for RoleError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::MayNotGrant(_) => may_not_grant(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Held => Problem::new(Code::StateConflict).detail("somebody holds the role; take it from them first"),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Failed(failure) => failure.into(),
        }
    }
}

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

impl ToProblem for ApiKeyError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::AlreadyRevoked => Problem::new(Code::StateConflict).detail("the API key is revoked already"),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for DefineFieldError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::Fixed(what) => {
                Problem::new(Code::StateConflict).detail(format!("{what} of a registered field cannot change"))
            }
            Self::Version(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for VersionError {
    fn to_problem(self) -> Problem {
        match self {
            Self::NoSuchVersion => Problem::new(Code::NotFound),
            Self::StillNeeded | Self::TooMany => Problem::new(Code::StateConflict).detail(self.to_string()),
        }
    }
}

impl ToProblem for IndexError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Fixed => {
                Problem::new(Code::StateConflict).detail("the columns of an index cannot change; use another name")
            }
            Self::Version(error) => error.to_problem(),
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

impl ToProblem for DatasetError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Busy => Problem::new(Code::StateConflict).detail("a job over this dataset has not ended"),
            Self::Unreachable(error) => Problem::failed(Code::DependencyUnavailable, &error),
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

impl ToProblem for RecordError {
    fn to_problem(self) -> Problem {
        let member = match &self {
            Self::RowRequired(_) => "/row",
            Self::UnknownIndex(_) => "/index",
            Self::Malformed(_) | Self::WrongContext(_) | Self::Tampered(_) | Self::Erased(_) => "/sealed",
            _ => "",
        };
        of_record(self, |item| format!("/items/{item}{member}"))
    }
}

impl ToProblem for RowsError {
    fn to_problem(self) -> Problem {
        let Self { error, at } = self;
        of_record(error, |_| at.clone())
    }
}

impl ToProblem for DocumentError {
    fn to_problem(self) -> Problem {
        let Self { error, places } = self;
        let row = if matches!(error, RecordError::RowRequired(_)) { "/row" } else { "" };
        of_record(error, |item| match row {
            "" => places.get(item).cloned().unwrap_or_default(),
            row => row.to_owned(),
        })
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
            Self::NothingWaits => Problem::new(Code::StateConflict).detail("no version waits for its deletion"),
            Self::Approval(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

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

impl ToProblem for SubjectError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::Erased(_) => Problem::new(Code::SubjectErased),
            Self::AlreadyErased => Problem::new(Code::StateConflict).detail("the person is erased already"),
            Self::NotErased => Problem::new(Code::StateConflict).detail("the person is not erased"),
            Self::Approval(error) => error.to_problem(),
            Self::Failed(failure) => failure.into(),
        }
    }
}

/// What sealed values are refused with; `at` says where in the request an item is.
fn of_record(error: RecordError, at: impl Fn(usize) -> String) -> Problem {
    let of_item = |code: Code, item| Problem::new(code).with_faults(Faults::one(at(item), code.as_str(), code.title()));
    match error {
        RecordError::Denied(denied) => denied.to_problem(),
        RecordError::Invalid(faults) => Problem::invalid(faults),
        RecordError::UnknownField(item) => of_item(Code::FieldUnknown, item),
        RecordError::RowRequired(item) => of_item(Code::RowRequired, item),
        RecordError::NotEncrypted(item) => of_item(Code::FieldNotEncrypted, item),
        RecordError::NotIndexed(item) => {
            Problem::invalid(Faults::one(at(item), "not_indexed", "the field has no such index"))
        }
        RecordError::UnknownIndex(item) => of_item(Code::IndexUnknown, item),
        RecordError::IndexNotReady(item) => of_item(Code::IndexNotReady, item),
        RecordError::Malformed(item) => of_item(Code::SealedMalformed, item),
        RecordError::WrongContext(item) => of_item(Code::SealedWrongContext, item),
        RecordError::Tampered(item) => of_item(Code::SealedTampered, item),
        RecordError::KeyStopped(_) => Problem::new(Code::KeyRetired),
        RecordError::Erased(item) => of_item(Code::SubjectErased, item),
        RecordError::SubjectErased => Problem::new(Code::SubjectErased)
            .detail("a named person was erased; make that person again first if that is meant"),
        RecordError::Approval(error) => error.to_problem(),
        RecordError::Failed(failure) => failure.into(),
    }
}

impl ToProblem for ReadAuditError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::NotYetSequenced => Problem::new(Code::NotYetSequenced),
            Self::RolledBack => Problem::new(Code::AuditRolledBack),
            Self::Failed(failure) => failure.into(),
        }
    }
}

impl ToProblem for CertificateError {
    fn to_problem(self) -> Problem {
        match self {
            Self::Denied(denied) => denied.to_problem(),
            Self::Invalid(faults) => Problem::invalid(faults),
            Self::NotFound => Problem::new(Code::NotFound),
            Self::NotYetSequenced => Problem::new(Code::NotYetSequenced),
            Self::Failed(failure) => failure.into(),
        }
    }
}
