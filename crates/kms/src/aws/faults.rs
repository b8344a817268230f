//! What the errors of AWS KMS mean here.

use aws_sdk_kms::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use chancery_domain::keyring::{ProviderError, resident::ResidentError};

/// What was tried; the same error means different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Encrypt,
    Decrypt,
}

/// An error, sorted.
enum Meaning {
    Refused,
    Unavailable,
    NotFound,
    Unsupported,
    Misconfigured(String),
}

fn meaning<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, key: &str) -> Meaning {
    let SdkError::ServiceError(service) = error else {
        // Timeouts, connections, answers cut off, credentials that could not be had.
        return Meaning::Unavailable;
    };
    let status = service.raw().status().as_u16();
    let code = service.err().code().unwrap_or_default();
    let said = || format!("AWS KMS says {code} of `{key}`: {}", service.err().message().unwrap_or_default());
    match code {
        "InvalidCiphertextException" | "IncorrectKeyException" => Meaning::Refused,
        "NotFoundException" => Meaning::NotFound,
        "InvalidKeyUsageException" | "UnsupportedOperationException" => Meaning::Unsupported,
        "KeyUnavailableException"
        | "DependencyTimeoutException"
        | "KMSInternalException"
        | "ThrottlingException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "ExpiredTokenException" => Meaning::Unavailable,
        _ if status >= 500 || status == 429 => Meaning::Unavailable,
        _ => Meaning::Misconfigured(said()),
    }
}

/// What may be said of an error. The error itself would print the answer's body, and with it a plaintext.
fn said_of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        SdkError::TimeoutError(_) => "AWS KMS did not answer in time".into(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "AWS KMS did not answer in time".into(),
        SdkError::DispatchFailure(failure) if failure.is_io() => "AWS KMS was not reached".into(),
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or("no error code");
            format!("AWS KMS answered {} with {code}", service.raw().status().as_u16()).into()
        }
        SdkError::ResponseError(_) => "the answer of AWS KMS could not be read".into(),
        _ => "AWS KMS could not be asked: no credentials, or no connection".into(),
    }
}

fn is<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>, codes: &[&str]) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code).is_some_and(|code| codes.contains(&code))
}

pub(super) fn provider_error<E>(error: &SdkError<E, HttpResponse>, deed: Deed, key: &str) -> ProviderError
where
    E: ProvideErrorMetadata,
{
    // For a ciphertext of a key that we do not know, AWS says that we may not use it; a ciphertext too short is a fault of form.
    if deed == Deed::Decrypt && is(error, &["AccessDeniedException", "ValidationException"]) {
        return ProviderError::Refused;
    }
    match meaning(error, key) {
        Meaning::Refused => ProviderError::Refused,
        Meaning::Unavailable => ProviderError::Unavailable(said_of(error)),
        Meaning::NotFound => ProviderError::Misconfigured(format!("AWS KMS has no key `{key}`")),
        Meaning::Unsupported => ProviderError::Misconfigured(format!("`{key}` is not a symmetric encryption key")),
        Meaning::Misconfigured(text) => ProviderError::Misconfigured(text),
    }
}

pub(super) fn resident_error<E>(error: &SdkError<E, HttpResponse>, key: &str) -> ResidentError
where
    E: ProvideErrorMetadata,
{
    // An algorithm that the key's type does not have.
    if is(error, &["ValidationException"]) {
        return ResidentError::Unsupported;
    }
    match meaning(error, key) {
        Meaning::Refused => ResidentError::Refused,
        Meaning::Unavailable => ResidentError::Unavailable(said_of(error)),
        Meaning::NotFound => ResidentError::NotFound,
        Meaning::Unsupported => ResidentError::Unsupported,
        Meaning::Misconfigured(text) => ResidentError::Misconfigured(text),
    }
}
