//! Which credential a request presents: none, one, or too many.

use chancery_crypto::Secret;
use chancery_domain::access::authenticate::Presented;
use http::{HeaderMap, HeaderName, header};

use crate::{Code, Problem};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The longest credential that is looked at.
const MAX_LENGTH: usize = 8 * 1024;

/// The one credential of the request. "Absent" is `None`; "bad" is an error and never falls through to another scheme.
pub(crate) fn presented(headers: &HeaderMap) -> Result<Option<Presented>, Problem> {
    let bearer = single(headers, &header::AUTHORIZATION)?.map(bearer).transpose()?;
    let api_key = single(headers, &API_KEY)?;
    let text = match (bearer, api_key) {
        (None, None) => return Ok(None),
        (Some(text), None) => text,
        (None, Some(text)) if is_api_key(text) => text,
        (None, Some(_)) => return Err(Code::CredentialInvalid.into()),
        (Some(bearer), Some(api_key)) if bearer == api_key && is_api_key(bearer) => bearer,
        (Some(_), Some(_)) => return Err(Code::CredentialConflict.into()),
    };
    if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Code::CredentialInvalid.into());
    }
    let secret = Secret::new(text.to_owned());
    Ok(Some(if is_api_key(text) { Presented::ApiKey(secret) } else { Presented::AccessToken(secret) }))
}

fn is_api_key(text: &str) -> bool {
    text.starts_with("chy_")
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
        presented(&headers).map(|found| found.is_some()).map_err(|problem| problem.code())
    }

    #[test]
    fn absent_and_bad_differ() {
        assert_eq!(code(&[]), Ok(false));
        for bad in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer a b", "chy_live_x"] {
            assert_eq!(code(&[("authorization", bad)]), Err(Code::CredentialInvalid), "{bad}");
        }
        assert_eq!(code(&[("x-api-key", "not-a-key")]), Err(Code::CredentialInvalid));
        assert_eq!(code(&[("authorization", "bearer e30.e30.x")]), Ok(true));
    }

    #[test]
    fn two_credentials_pass_only_when_they_are_the_same() {
        assert_eq!(code(&[("authorization", "Bearer chy_a"), ("x-api-key", "chy_a")]), Ok(true));
        assert_eq!(code(&[("authorization", "Bearer chy_a"), ("x-api-key", "chy_b")]), Err(Code::CredentialConflict));
        assert_eq!(code(&[("x-api-key", "chy_a"), ("x-api-key", "chy_a")]), Err(Code::CredentialConflict));
        assert_eq!(code(&[("authorization", "Basic x"), ("x-api-key", "chy_a")]), Err(Code::CredentialInvalid));
    }
}
