//! Why there is no certificate.

use instant_acme::{Error, Problem};

use crate::guarded::Fault;

/// What the kinds of problems of RFC 8555 §6.7 begin with.
const KIND: &str = "urn:ietf:params:acme:error:";
/// How much of what an authority says is kept.
const LONGEST: usize = 2_000;

/// The kinds. The log takes codes of a closed list only: whatever else an authority says stays in its folder.
const KINDS: &[&str] = &[
    "accountDoesNotExist",
    "alreadyRevoked",
    "badCSR",
    "badNonce",
    "badPublicKey",
    "badRevocationReason",
    "badSignatureAlgorithm",
    "caa",
    "compound",
    "connection",
    "dns",
    "externalAccountRequired",
    "incorrectResponse",
    "invalidContact",
    "invalidProfile",
    "malformed",
    "orderNotReady",
    "rateLimited",
    "rejectedIdentifier",
    "serverInternal",
    "tls",
    "unauthorized",
    "unsupportedContact",
    "unsupportedIdentifier",
    "userActionRequired",
];

/// Why there is no certificate: a code, and what was said.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) detail: String,
}

impl Refusal {
    pub(super) fn of(code: &'static str) -> Self {
        Self { code, detail: String::new() }
    }

    pub(super) fn with(code: &'static str, error: &dyn std::error::Error) -> Self {
        let mut detail = error.to_string();
        detail.truncate(detail.floor_char_boundary(LONGEST));
        Self { code, detail }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let kind = problem.r#type.as_deref().and_then(|kind| kind.strip_prefix(KIND));
        let code = KINDS.iter().find(|known| Some(**known) == kind).copied().unwrap_or("problem");
        Self::with(code, &problem)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => problem.into(),
            Error::Timeout(_) => Self::with("timeout", &error),
            Error::Other(other) => match other.downcast_ref::<Fault>() {
                Some(Fault::Refused(_)) => Self::with("address_refused", &*other),
                Some(Fault::Timeout) => Self::with("timeout", &*other),
                Some(Fault::Unreachable) => Self::with("unreachable", &*other),
                Some(Fault::TooLong(_)) | None => Self::with("protocol", &*other),
            },
            other => Self::with("protocol", &other),
        }
    }
}

impl From<rcgen::Error> for Refusal {
    fn from(error: rcgen::Error) -> Self {
        Self::with("own_certificate", &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_authority_says_becomes_a_code_of_ours() {
        let said = |kind: &str| {
            let text = serde_json::json!({ "type": kind, "detail": "for mrs.smith@clinic.example", "status": 400 });
            Refusal::from(serde_json::from_value::<Problem>(text).unwrap())
        };
        let refusal = said("urn:ietf:params:acme:error:rateLimited");
        assert_eq!(refusal.code, "rateLimited");
        assert!(refusal.detail.contains("for mrs.smith"), "{refusal:?}");
        assert_eq!(said("urn:ietf:params:acme:error:of-their-own").code, "problem");
        assert_eq!(said("https://elsewhere.example/caa").code, "problem");
        assert_eq!(Refusal::from(Error::Other(Fault::Unreachable.into())).code, "unreachable");
        assert_eq!(Refusal::from(Error::Other(Fault::Refused("x").into())).code, "address_refused");
        assert_eq!(Refusal::from(Error::Str("no nonce")).code, "protocol");
    }
}
