//! What failed beneath a use case, as a problem.

use chancery_domain::{
    identity_providers::FetchError,
    instance::Failure,
    keyring::{KeyringError, ProviderError},
    store::StoreError,
};

use crate::{Code, Problem};

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let code = match &failure {
            Failure::Store(error) => of_store(error),
            Failure::Audit(_) => Code::AuditUnavailable,
            Failure::Keyring(error) => of_keyring(error),
            Failure::Issuer(FetchError::Busy) => Code::Overloaded,
            Failure::Issuer(FetchError::Refused(_)) => Code::DependencyMisconfigured,
            Failure::Random(_) | Failure::Issuer(_) | Failure::Shared(_) | Failure::Uncounted(..) => {
                Code::DependencyUnavailable
            }
            Failure::Internal(_) => Code::Internal,
        };
        let problem = if code.status().is_server_error() { Self::failed(code, &failure) } else { Self::new(code) };
        if let Failure::Uncounted(limits, _) = failure { problem.violating(limits) } else { problem }
    }
}

fn of_store(error: &StoreError) -> Code {
    match error {
        StoreError::Unavailable(_) => Code::DependencyUnavailable,
        StoreError::Taken(_) => Code::Taken,
        StoreError::Changed("proof") => Code::ProofInvalid,
        StoreError::Changed(_) => Code::StateConflict,
        StoreError::Damaged(_) => Code::Internal,
    }
}

const fn of_keyring(error: &KeyringError) -> Code {
    match error {
        KeyringError::NoActiveKey(_) | KeyringError::Stopped(_) => Code::KeyRetired,
        KeyringError::Provider(_, ProviderError::Misconfigured(_)) => Code::DependencyMisconfigured,
        KeyringError::Random(_)
        | KeyringError::Stale
        | KeyringError::Root(_)
        | KeyringError::NoRoot
        | KeyringError::Provider(..) => Code::DependencyUnavailable,
        KeyringError::Erased => Code::SubjectErased,
        // What Chancery itself keeps sealed must open; a caller's values have errors of their own.
        KeyringError::Unwrap
        | KeyringError::ReceiptTooSmall
        | KeyringError::WrongContext
        | KeyringError::Tampered
        | KeyringError::Malformed(_)
        | KeyringError::Seal(_) => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_who_wait_for_an_issuer_are_told_that_it_is_busy() {
        let code = |error| Problem::from(Failure::Issuer(error)).code();
        assert_eq!(code(FetchError::Busy), Code::Overloaded);
        assert_eq!(code(FetchError::Unreachable), Code::DependencyUnavailable);
        assert_eq!(Code::Overloaded.status(), http::StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn what_waiting_does_not_mend_has_a_code_of_its_own() {
        let code = |failure: Failure| Problem::from(failure).code();
        let provider = |error| code(KeyringError::Provider("cloud".to_owned(), error).into());
        let wrong = ProviderError::Misconfigured("cannot use /etc/chancery/vault-token".to_owned());
        assert_eq!(provider(wrong), Code::DependencyMisconfigured);
        assert_eq!(provider(ProviderError::Refused), Code::DependencyUnavailable);
        assert_eq!(code(Failure::Issuer(FetchError::Refused("private"))), Code::DependencyMisconfigured);
        assert_eq!(code(Failure::Issuer(FetchError::Status(500))), Code::DependencyUnavailable);
        assert!(Code::DependencyMisconfigured.title().contains("the server's log names the setting"));
    }
}
