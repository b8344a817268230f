//! Sessions of browsers: the cookies that carry their tokens, read and written (ID-15 to ID-17).
//!
//! | cookie | in development | what | for how long |
//! | --- | --- | --- | --- |
//! | `__Host-chancery-access` | `chancery-access` | the access token | as long as the token |
//! | `__Secure-chancery-refresh`, below `/v1/auth` | `chancery-refresh` | the refresh token | as long as the token |
//! | `access_token` | the same | `Bearer <token>`, if compatibility is switched on | as long as the token |
//!
//! All are `HttpOnly`: no script sees a token. Ours are `SameSite=Strict`, the older one `Lax`; outside of development all are
//! `Secure`.

use axum::extract::FromRequestParts;
use chancery_crypto::Secret;
use chancery_domain::{
    access::authenticate::Presented, instance::Settings, sessions::SessionTokens, tokens::AccessToken,
};
use http::{HeaderMap, HeaderValue, Method, header, request::Parts};

use crate::{Code, Exchange, Problem, credentials, csrf};

/// The name of older installations.
pub const COMPAT: &str = "access_token";

struct Names {
    access: &'static str,
    refresh: &'static str,
    secure: &'static str,
}

impl Names {
    const fn of(settings: &Settings) -> Self {
        if settings.is_dev() {
            return Self { access: "chancery-access", refresh: "chancery-refresh", secure: "" };
        }
        Self { access: "__Host-chancery-access", refresh: "__Secure-chancery-refresh", secure: "; Secure" }
    }
}

/// A cookie: there, not there, or not to be read, which whoever needs it is told.
type Found = Result<Option<Secret<String>>, Problem>;

/// The cookies of a session that a request brings. Extracted by operations that begin a session, go on with one or end it.
pub struct SessionCookies {
    access: Found,
    compat: Found,
    refresh: Found,
    ours: Result<(), Problem>,
}

impl<S: Send + Sync> FromRequestParts<S> for SessionCookies {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let exchange = Exchange::of(parts)?;
        Ok(Self::read(&parts.headers, &parts.method, exchange.instance().settings()))
    }
}

impl SessionCookies {
    pub(crate) fn read(headers: &HeaderMap, method: &Method, settings: &Settings) -> Self {
        let names = Names::of(settings);
        let compat = if settings.access_token_cookie { value(headers, COMPAT) } else { Ok(None) };
        Self {
            access: value(headers, names.access),
            compat: compat.and_then(|text| text.map(|text| bearer(&text)).transpose()),
            refresh: value(headers, names.refresh),
            ours: csrf::check(method, headers, &settings.issuer),
        }
    }

    /// Whether the request comes from a page of ours ([`csrf`]).
    pub(crate) fn check_origin(&self) -> Result<(), Problem> {
        self.ours.clone()
    }

    /// The access tokens, ours first.
    pub(crate) fn access(&self) -> Result<Vec<Presented>, Problem> {
        let mut found = Vec::new();
        for cookie in [&self.access, &self.compat] {
            if let Some(text) = cookie.as_ref().map_err(Clone::clone)? {
                found.push(credentials::token(text.expose())?);
            }
        }
        Ok(found)
    }

    /// The refresh token, if a page of ours sends it.
    ///
    /// # Errors
    ///
    /// `auth.csrf_failed`; `auth.credential_conflict` if it comes twice.
    pub fn refresh(&self) -> Result<Option<&Secret<String>>, Problem> {
        match self.refresh.as_ref().map_err(Clone::clone)? {
            Some(text) => self.ours.clone().map(|()| Some(text)),
            None => Ok(None),
        }
    }

    /// Every token that was there before a login: none of them outlives it. What cannot be read is no token.
    pub fn before(&self) -> impl Iterator<Item = &Secret<String>> {
        self.all().into_iter().filter_map(|cookie| cookie.as_ref().ok()?.as_ref())
    }

    /// Whether our own cookie brings an access token.
    pub fn has_ours(&self) -> bool {
        matches!(self.access, Ok(Some(_)))
    }

    /// Whether there is any, be it one that cannot be read.
    pub fn any(&self) -> bool {
        self.all().into_iter().any(|cookie| !matches!(cookie, Ok(None)))
    }

    fn all(&self) -> [&Found; 3] {
        [&self.refresh, &self.access, &self.compat]
    }
}

/// The cookies that give a browser a session's tokens.
pub fn given(settings: &Settings, tokens: &SessionTokens, refresh_seconds: i64) -> Vec<HeaderValue> {
    let names = Names::of(settings);
    let mut cookies = renewed(settings, &tokens.access);
    let refresh = tokens.refresh.expose();
    let attributes =
        format!("Path=/v1/auth; Max-Age={}; HttpOnly; SameSite=Strict{}", refresh_seconds.max(0), names.secure);
    cookies.extend(cookie(names.refresh, refresh, &attributes));
    cookies
}

/// The cookie that gives a browser another access token of its session.
pub fn renewed(settings: &Settings, access: &AccessToken) -> Vec<HeaderValue> {
    let names = Names::of(settings);
    let attributes = format!("Path=/; Max-Age={}; HttpOnly; SameSite=Strict{}", access.expires_in, names.secure);
    cookie(names.access, access.text.expose(), &attributes).into_iter().collect()
}

/// The cookie of older installations, if it is switched on.
pub fn compat(settings: &Settings, access: &AccessToken) -> Option<HeaderValue> {
    let attributes =
        format!("HttpOnly; Max-Age={}; Path=/; SameSite=Lax{}", access.expires_in, Names::of(settings).secure);
    let text = Secret::new(format!("Bearer {}", access.text.expose()));
    // Bound to a key it would be worth nothing in a cookie.
    (settings.access_token_cookie && !access.bound).then(|| cookie(COMPAT, text.expose(), &attributes)).flatten()
}

/// Whether it is one of ours: a name that only Chancery reads.
pub fn is_ours(name: &str) -> bool {
    name.starts_with("__Host-chancery-") || name.starts_with("__Secure-chancery-") || name.starts_with("chancery-")
}

/// Takes all cookies of a session away.
pub fn cleared(settings: &Settings) -> Vec<HeaderValue> {
    let names = Names::of(settings);
    let mut cookies = Vec::new();
    for (name, path, same_site) in
        [(names.access, "/", "Strict"), (names.refresh, "/v1/auth", "Strict"), (COMPAT, "/", "Lax")]
    {
        if name != COMPAT || settings.access_token_cookie {
            let attributes = format!("Path={path}; Max-Age=0; HttpOnly; SameSite={same_site}{}", names.secure);
            cookies.extend(cookie(name, "", &attributes));
        }
    }
    cookies
}

fn cookie(name: &str, value: &str, attributes: &str) -> Option<HeaderValue> {
    let text = Secret::new(format!("{name}={value}; {attributes}"));
    let mut header = HeaderValue::from_str(text.expose()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The value of a cookie. Two of one name are refused: a neighbouring host has set one of them.
fn value(headers: &HeaderMap, name: &str) -> Result<Option<Secret<String>>, Problem> {
    let mut found: Option<&[u8]> = None;
    let lines = headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    for pair in lines.map(<[u8]>::trim_ascii) {
        let Some(value) = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) else { continue };
        if found.replace(value).is_some() {
            return Err(Code::CredentialConflict.into());
        }
    }
    let text = found.map(|bytes| str::from_utf8(bytes).map(|text| Secret::new(text.to_owned()))).transpose();
    text.map_err(|_| Code::CredentialInvalid.into())
}

/// The token of `Bearer <token>`, which some frameworks put into quotation marks.
fn bearer(text: &Secret<String>) -> Result<Secret<String>, Problem> {
    let text = text.expose().as_str();
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Secret::new(token.to_owned())),
        _ => Err(Code::CredentialInvalid.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&'static str], name: &str) -> Result<Option<String>, Code> {
        let headers = lines.iter().map(|line| (header::COOKIE, HeaderValue::from_static(line))).collect();
        let found = value(&headers, name).map_err(|problem| problem.code())?;
        Ok(found.map(|text| text.expose().clone()))
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name_and_once() {
        let some = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(read(&["a=1; b=2"], "b"), some("2"));
        assert_eq!(read(&["a=1;b=2==;c"], "b"), some("2=="));
        assert_eq!(read(&["a=1", "b=2"], "b"), some("2"), "HTTP/2 may send several lines");
        assert_eq!(read(&["ab=1; b-=2; b; B=3"], "b"), Ok(None));
        assert_eq!(read(&["b="], "b"), some(""));
        assert_eq!(read(&["b=1; b=1"], "b"), Err(Code::CredentialConflict));
        assert_eq!(read(&["b=1", "a=2; b=3"], "b"), Err(Code::CredentialConflict));
    }

    #[test]
    fn the_older_cookie_says_bearer() {
        let read = |text: &str| bearer(&Secret::new(text.to_owned())).map(|token| token.expose().clone()).ok();
        for text in ["Bearer e.e.e", "bearer e.e.e", "\"Bearer e.e.e\""] {
            assert_eq!(read(text), Some("e.e.e".to_owned()), "{text}");
        }
        for odd in ["", "e.e.e", "Basic e.e.e", "Bearer", "\"Bearer"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
