//! Which credential a request presents: none, one, or too many.

use chancery_crypto::Secret;
use chancery_domain::{access::authenticate::Presented, tokens::PresentedProof};
use http::{HeaderMap, HeaderName, header};

use crate::{Code, Problem};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const PROOF: HeaderName = HeaderName::from_static("dpop");

/// The longest credential that is looked at.
const MAX_LENGTH: usize = 8 * 1024;

/// The one credential of the request. "Absent" is `None`; "bad" is an error and never falls through to another scheme.
pub(crate) fn presented(headers: &HeaderMap, method: &str, path: &str) -> Result<Option<Presented>, Problem> {
    let authorization = single(headers, &header::AUTHORIZATION)?;
    if let Some(text) = authorization.and_then(dpop) {
        // One that is bound to a key stands alone.
        if headers.contains_key(API_KEY) {
            return Err(Code::CredentialConflict.into());
        }
        let Some(proof) = proof(headers, method, path)? else { return Err(Code::CredentialInvalid.into()) };
        return match token(text)? {
            Presented::AccessToken(text) => Ok(Some(Presented::BoundToken(text, proof))),
            _ => Err(Code::CredentialInvalid.into()),
        };
    }
    let bearer = authorization.map(bearer).transpose()?;
    let api_key = single(headers, &API_KEY)?;
    let text = match (bearer, api_key) {
        (None, None) => return Ok(None),
        (Some(text), None) => text,
        (None, Some(text)) if is_token(text) => return Err(Code::CredentialInvalid.into()),
        (None, Some(text)) => text,
        (Some(bearer), Some(api_key)) if bearer == api_key && !is_token(bearer) => bearer,
        (Some(_), Some(_)) => return Err(Code::CredentialConflict.into()),
    };
    if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Code::CredentialInvalid.into());
    }
    let secret = Secret::new(text.to_owned());
    Ok(Some(if text.starts_with("chy_") {
        Presented::ApiKey(secret)
    } else if is_token(text) {
        Presented::AccessToken(secret)
    } else {
        Presented::OldApiKey(secret)
    }))
}

/// An access token from a cookie.
pub(crate) fn token(text: &str) -> Result<Presented, Problem> {
    let fits = is_token(text) && text.len() <= MAX_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(Presented::AccessToken(Secret::new(text.to_owned()))) } else { Err(Code::CredentialInvalid.into()) }
}

/// Whether it has the form of a token (RFC 7515 §7.1). No key of ours has a dot, and an old one that looks like a token is none.
fn is_token(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() >= 2
}

/// The proof of a key in the header `DPoP` (RFC 9449 §4.1), for this request.
pub(crate) fn proof(headers: &HeaderMap, method: &str, path: &str) -> Result<Option<PresentedProof>, Problem> {
    let mut values = headers.get_all(PROOF).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| text.len() <= MAX_LENGTH && values.next().is_none());
    let text = text.ok_or(Code::ProofInvalid)?;
    let (text, method, path) = (Secret::new(text.to_owned()), method.to_owned(), path.to_owned());
    Ok(Some(PresentedProof { text, method, path }))
}

/// The token of `DPoP <token>` (RFC 9449 §7.1); none of other schemes.
fn dpop(value: &str) -> Option<&str> {
    value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("dpop")).map(|(_, token)| token)
}

/// The value of a header that may come once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Code::CredentialConflict.into());
    }
    value.to_str().map(Some).map_err(|_| Code::CredentialInvalid.into())
}

/// The token of `Bearer <token>` (RFC 6750 §2.1; the scheme's name in any case).
fn bearer(value: &str) -> Result<&str, Problem> {
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token),
        _ => Err(Code::CredentialInvalid.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn code(pairs: &[(&'static str, &'static str)]) -> Result<bool, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        presented(&headers, "GET", "/").map(|found| found.is_some()).map_err(|problem| problem.code())
    }

    #[test]
    fn absent_and_bad_differ() {
        assert_eq!(code(&[]), Ok(false));
        for bad in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer a b", "chy_live_x"] {
            assert_eq!(code(&[("authorization", bad)]), Err(Code::CredentialInvalid), "{bad}");
        }
        assert_eq!(code(&[("x-api-key", "e30.e30.x")]), Err(Code::CredentialInvalid));
        assert_eq!(code(&[("authorization", "bearer e30.e30.x")]), Ok(true));
    }

    #[test]
    fn what_a_credential_is_shows_in_its_form() {
        let kind = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            match presented(&headers, "GET", "/").ok().flatten() {
                Some(Presented::ApiKey(_)) => "ours",
                Some(Presented::OldApiKey(_)) => "another system's",
                Some(Presented::AccessToken(_)) => "a token",
                Some(Presented::BoundToken(..)) => "a bound token",
                None => "none",
            }
        };
        assert_eq!(kind("authorization", "Bearer chy_live_x"), "ours");
        assert_eq!(kind("x-api-key", "chy_live_x"), "ours");
        assert_eq!(kind("authorization", "Bearer e30.e30.x"), "a token");
        assert_eq!(kind("authorization", "Bearer sk_0123456789abcdef"), "another system's");
        assert_eq!(kind("x-api-key", "sk_0123456789abcdef"), "another system's");
    }

    #[test]
    fn a_bound_token_comes_with_one_proof_and_nothing_else() {
        let (token, proof) = (("authorization", "DPoP e30.e30.x"), ("dpop", "e30.e30.x"));
        assert_eq!(code(&[token, proof]), Ok(true));
        assert_eq!(code(&[("authorization", "dpop e30.e30.x"), proof]), Ok(true));
        assert_eq!(code(&[token]), Err(Code::CredentialInvalid));
        assert_eq!(code(&[token, proof, proof]), Err(Code::ProofInvalid));
        assert_eq!(code(&[token, proof, ("x-api-key", "chy_a")]), Err(Code::CredentialConflict));
        assert_eq!(code(&[("authorization", "DPoP chy_live_x"), proof]), Err(Code::CredentialInvalid));
        assert_eq!(code(&[proof]), Ok(false), "a proof alone is no credential");
    }

    #[test]
    fn two_credentials_pass_only_when_they_are_the_same() {
        assert_eq!(code(&[("authorization", "Bearer chy_a"), ("x-api-key", "chy_a")]), Ok(true));
        assert_eq!(code(&[("authorization", "Bearer chy_a"), ("x-api-key", "chy_b")]), Err(Code::CredentialConflict));
        assert_eq!(code(&[("x-api-key", "chy_a"), ("x-api-key", "chy_a")]), Err(Code::CredentialConflict));
        assert_eq!(code(&[("authorization", "Basic x"), ("x-api-key", "chy_a")]), Err(Code::CredentialInvalid));
    }
}
