//! Forms (`application/x-www-form-urlencoded`) of OAuth endpoints, and the client that sends one.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use chancery_crypto::Secret;
use chancery_domain::{
    access::{Call, RequestInfo, authenticate::Presented},
    api_keys::ApiKeyText,
    ids::ApiKeyId,
    tokens::FIRST_PARTY,
};
use data_encoding::BASE64;
use http::{HeaderMap, header};

use crate::{
    Code, Exchange, OAuthError, Problem,
    authenticated::{admit, proven},
    body::{check_media_type, collected},
    credentials,
};

/// The longest form: strangers send it. A token has at most 8 KiB.
const MAX_BYTES: usize = 16 * 1024;
/// The most parameters.
const MAX_PARAMETERS: usize = 32;

/// A client's id and secret.
type Pair = (Secret<String>, Secret<String>);

/// A form: each parameter at most once, none without a value, none in the query.
///
/// Parameters that nobody [takes](Self::take) are ignored, as RFC 6749 §3.2 wants it.
pub struct Form {
    exchange: Arc<Exchange>,
    headers: HeaderMap,
    method: String,
    path: String,
    parameters: Vec<(String, Secret<String>)>,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = OAuthError;

    async fn from_request(request: Request, _: &S) -> Result<Self, OAuthError> {
        if request.uri().query().is_some_and(|query| !query.is_empty()) {
            return Err(OAuthError::request("parameters belong into the body, not into the address"));
        }
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let (exchange, headers, bytes) = collected(request, MAX_BYTES).await?;
        let form = "application/x-www-form-urlencoded";
        check_media_type(&headers, form).map_err(|_| OAuthError::request("the body must be a form"))?;
        let parameters = parameters(&bytes).map_err(OAuthError::request)?;
        Ok(Self { exchange, headers, method, path, parameters })
    }
}

impl Form {
    /// What is known of the request.
    pub fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// What is known of the request, with the key that its client proves to hold: what it is given is bound to it (RFC 9449 §5).
    ///
    /// # Errors
    ///
    /// `invalid_dpop_proof`.
    pub fn proven(&self) -> Result<RequestInfo, OAuthError> {
        let proof = credentials::proof(&self.headers, &self.method, &self.path)?;
        let key = proven(&self.exchange, proof)?;
        Ok(RequestInfo { key, ..self.exchange.info().clone() })
    }

    /// Takes a parameter out.
    pub fn take(&mut self, name: &str) -> Option<Secret<String>> {
        let at = self.parameters.iter().position(|(found, _)| found == name)?;
        Some(self.parameters.swap_remove(at).1)
    }

    /// Takes a parameter out that must be there.
    ///
    /// # Errors
    ///
    /// `invalid_request`.
    pub fn required(&mut self, name: &str) -> Result<Secret<String>, OAuthError> {
        self.take(name).ok_or(OAuthError::request("a parameter is missing"))
    }

    /// The client that sends it: by HTTP Basic, by `client_id` and `client_secret`, or by any credential of the API. None if it
    /// says nothing, or that it is the first party, which has no secret.
    ///
    /// # Errors
    ///
    /// `invalid_client`; `invalid_request` if it authenticates in two ways.
    pub async fn client(&mut self) -> Result<Option<Arc<Call>>, OAuthError> {
        let (id, secret) = (self.take("client_id"), self.take("client_secret"));
        let Some(presented) = self.presented(id.as_ref(), secret)? else { return Ok(None) };
        let call = admit(&self.exchange, &presented, &self.headers, "").await?;
        let named = id.is_none_or(|id| match call.caller.api_key() {
            Some(key) => key.to_string() == *id.expose(),
            None => id.expose() == FIRST_PARTY,
        });
        if named { Ok(Some(call)) } else { Err(OAuthError::client()) }
    }

    fn presented(
        &self,
        id: Option<&Secret<String>>,
        secret: Option<Secret<String>>,
    ) -> Result<Option<Presented>, OAuthError> {
        let in_header = self.headers.contains_key(header::AUTHORIZATION) || self.headers.contains_key("x-api-key");
        match (in_header, id, secret) {
            (true, _, Some(_)) => Err(OAuthError::request("the client authenticates in two ways")),
            (true, ..) => match basic(&self.headers)? {
                Some((id, secret)) => api_key(&id, secret).map(Some),
                None => Ok(credentials::presented(&self.headers, &self.method, &self.path)?),
            },
            (false, Some(id), Some(secret)) => api_key(id, secret).map(Some),
            (false, None, Some(_)) => Err(OAuthError::client()),
            // Whoever has a secret must show it.
            (false, Some(id), None) if id.expose() != FIRST_PARTY => Err(OAuthError::client()),
            (false, _, None) => Ok(None),
        }
    }
}

/// An API key as a client's secret. It must be the key that the client's id names.
fn api_key(id: &Secret<String>, secret: Secret<String>) -> Result<Presented, OAuthError> {
    let named = id.expose().parse::<ApiKeyId>().map_err(|_| OAuthError::client())?;
    let key = ApiKeyText::parse(secret.expose()).map_err(|_| OAuthError::client())?;
    if key.id == named { Ok(Presented::ApiKey(secret)) } else { Err(OAuthError::client()) }
}

/// Id and secret of HTTP Basic (RFC 6749 §2.3.1: each form-encoded before); none for other schemes.
fn basic(headers: &HeaderMap) -> Result<Option<Pair>, OAuthError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some((scheme, encoded)) = values.next().and_then(|value| value.to_str().ok()?.split_once(' ')) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    if values.next().is_some() || headers.contains_key("x-api-key") {
        return Err(Problem::new(Code::CredentialConflict).into());
    }
    let decoded = BASE64.decode(encoded.as_bytes()).map(Secret::new).map_err(|_| OAuthError::client())?;
    let split = decoded.expose().iter().position(|byte| *byte == b':').ok_or(OAuthError::client())?;
    let (id, secret) = decoded.expose().split_at(split);
    let part = |bytes: &[u8]| unescaped(bytes).map(Secret::new).map_err(|_| OAuthError::client());
    Ok(Some((part(id)?, part(secret.get(1..).unwrap_or_default())?)))
}

/// The parameters of a form. Those without a value were not sent (RFC 6749 §3.2).
fn parameters(bytes: &[u8]) -> Result<Vec<(String, Secret<String>)>, &'static str> {
    let mut found: Vec<(String, Secret<String>)> = Vec::new();
    for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let split = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(split);
        let name = unescaped(name)?;
        let value = Secret::new(unescaped(value.get(1..).unwrap_or_default())?);
        if found.iter().any(|(other, _)| *other == name) {
            return Err("a parameter is given twice");
        }
        if found.len() >= MAX_PARAMETERS {
            return Err("too many parameters");
        }
        found.push((name, value));
    }
    found.retain(|(_, value)| !value.expose().is_empty());
    Ok(found)
}

/// Text out of its form-encoding. What is no UTF-8, half an escape or a control character is refused, not mended: nobody shall
/// read the same bytes in another way.
fn unescaped(bytes: &[u8]) -> Result<String, &'static str> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied();
    while let Some(byte) = rest.next() {
        text.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                    return Err("an escape is not complete");
                };
                u8::try_from(high * 16 + low).map_err(|_| "an escape is not complete")?
            }
            byte => byte,
        });
    }
    let text = String::from_utf8(text).map_err(|_| "not UTF-8")?;
    if text.chars().any(char::is_control) { Err("a control character") } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OAuthCode;
    use http::HeaderValue;

    fn read(body: &str) -> Result<Vec<(String, String)>, &'static str> {
        let pairs = parameters(body.as_bytes())?;
        Ok(pairs.into_iter().map(|(name, value)| (name, value.expose().clone())).collect())
    }

    #[test]
    fn a_form_is_read_once_and_strictly() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("a=1&b=x+y%2Bz&c="), Ok(vec![pair("a", "1"), pair("b", "x y+z")]));
        assert_eq!(read("&&a=b=c&&"), Ok(vec![pair("a", "b=c")]));
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read("t%6Fken=1&x=%c3%a9"), Ok(vec![pair("token", "1"), pair("x", "é")]));
        for twice in ["a=1&a=1", "a=1&b=2&a=", "token=1&t%6Fken=2", "a&a"] {
            assert_eq!(read(twice), Err("a parameter is given twice"), "{twice}");
        }
        for half in ["a=%", "a=%4", "a=%4g", "%=1", "a=%+1"] {
            assert_eq!(read(half), Err("an escape is not complete"), "{half}");
        }
        assert_eq!(read("a=%ff"), Err("not UTF-8"));
        assert_eq!(read("a=%00"), Err("a control character"));
        let many: Vec<String> = (0..=MAX_PARAMETERS).map(|n| format!("p{n}=1")).collect();
        assert_eq!(read(&many.join("&")), Err("too many parameters"));
    }

    fn header(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn basic_is_unpacked_and_nothing_else_is() {
        let encoded = |text: &str| format!("Basic {}", BASE64.encode(text.as_bytes()));
        let (id, secret) = basic(&header(&encoded("apk%5F1:a%3Ab:c"))).unwrap().unwrap();
        assert_eq!((id.expose().as_str(), secret.expose().as_str()), ("apk_1", "a:b:c"));
        assert!(basic(&header("Bearer x")).unwrap().is_none());
        assert!(basic(&HeaderMap::new()).unwrap().is_none());
        for odd in ["Basic ", "Basic %%%", &encoded("no colon"), &encoded("a:%"), "basic YTpi="] {
            assert_eq!(basic(&header(odd)).map(|_| ()).unwrap_err().code(), OAuthCode::InvalidClient, "{odd}");
        }
    }
}
