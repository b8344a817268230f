//! What failed beneath a use case, as a problem.

use chancery_domain::{instance::Failure, keyring::KeyringError, store::StoreError};

use crate::{Code, Problem};

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let code = match &failure {
            Failure::Store(error) => of_store(error),
            Failure::Audit(_) => Code::AuditUnavailable,
            Failure::Keyring(error) => of_keyring(error),
            Failure::Random(_) | Failure::Issuer(_) => Code::DependencyUnavailable,
            Failure::Internal(_) => Code::Internal,
        };
        if code.status().is_server_error() { Self::failed(code, &failure) } else { Self::new(code) }
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
