//! Whose pages may call (CORS): a list of origins, each written out. None by default.
//!
//! An origin is never taken over from the request: what goes out is the list's own text. This is about what a browser shows to a
//! page, not about who may do what; cookies that change something still work from pages of our own origin only.

use std::sync::Arc;

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use chancery_domain::instance::Environment;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

use crate::Forwarded;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What a page may read of a response besides what browsers show anyway.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, retry-after, www-authenticate, content-disposition, ratelimit, ratelimit-policy, \
     x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset",
);
/// What a page may send.
const REQUEST_HEADERS: [&str; 5] = ["authorization", "content-type", "dpop", "idempotency-key", "x-api-key"];
/// What browsers ask about a response's reader depends on.
const ASKED: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");

/// What an operator writes.
#[derive(Debug, Clone, Default)]
pub struct CorsRules {
    /// Such as `https://app.clinic.example`; `*` in development, without credentials.
    pub origins: Vec<String>,
    /// Cookies and client certificates come along.
    pub credentials: bool,
    /// Further headers that a page may send.
    pub headers: Vec<String>,
    /// How long a browser need not ask again, in seconds.
    pub max_age_seconds: u32,
}

/// Why a rule is none. Each has its cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCors {
    /// Every origin, in production.
    #[error("lets every page on the web call")]
    Everyone,
    /// Every origin, with cookies.
    #[error("lets every page on the web call with the cookies of whoever looks at it")]
    EveryoneWithCredentials,
    /// `null` is what sandboxed frames and files of anybody say.
    #[error("`null` is the origin of anybody's sandboxed frame")]
    Null,
    /// Not scheme, host and port.
    #[error("is no origin")]
    NotAnOrigin,
    /// A pattern.
    #[error("is a pattern: whoever gets a name under it may call")]
    Pattern,
    /// Over HTTP, in production.
    #[error("is reached over plain HTTP: whoever is on its way may call")]
    Plain,
    /// Not a header that pages may be allowed to send.
    #[error("is no header that can be allowed")]
    Header,
}

impl BadCors {
    /// What to do.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Everyone | Self::EveryoneWithCredentials | Self::Pattern => {
                "name each origin, such as origins = [\"https://app.clinic.example\"]"
            }
            Self::Null => "serve the page from an origin of its own and name that",
            Self::NotAnOrigin => "write scheme, host and port as browsers do, such as https://app.clinic.example",
            Self::Plain => "serve the page over https and write https://",
            Self::Header => "write single names, such as x-correlation-id",
        }
    }
}

/// Whose pages may call.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    origins: Vec<HeaderValue>,
    everyone: bool,
    credentials: bool,
    headers: Vec<HeaderName>,
    allowed_headers: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

impl Cors {
    /// Of an operator's rules.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn new(rules: &CorsRules, environment: Environment) -> Result<Self, Vec<BadCors>> {
        let production = environment != Environment::Development;
        let mut faults: Vec<BadCors> =
            rules.origins.iter().filter_map(|origin| fault(origin, rules.credentials, production)).collect();
        let mut headers: Vec<HeaderName> = REQUEST_HEADERS.map(HeaderName::from_static).to_vec();
        for name in &rules.headers {
            match HeaderName::try_from(name.as_str()) {
                // `*` is a name by the letter of HTTP.
                Ok(name) if !["*", "cookie", "host", "origin"].contains(&name.as_str()) => headers.push(name),
                _ => faults.push(BadCors::Header),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let allowed: Vec<&str> = headers.iter().map(HeaderName::as_str).collect();
        Ok(Self {
            everyone: rules.origins.iter().any(|origin| origin == "*"),
            origins: rules.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect(),
            credentials: rules.credentials,
            allowed_headers: HeaderValue::from_str(&allowed.join(", ")).ok(),
            max_age: Some(HeaderValue::from(rules.max_age_seconds)),
            headers,
        })
    }

    /// Whether no page of another origin may call.
    pub fn is_off(&self) -> bool {
        self.origins.is_empty()
    }

    /// How many origins' pages may call.
    pub fn origins(&self) -> usize {
        self.origins.len()
    }

    /// Says on a response who may read it, instead of whatever was said there.
    pub fn apply(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        for name in [
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
        ] {
            headers.remove(name);
        }
        if self.is_off() {
            return;
        }
        // Also where nobody may: a cache would give that answer to those who may.
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if self.allow(origin, headers) {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) -> bool {
        let listed = origin.and_then(|origin| self.origins.iter().find(|known| *known == origin));
        let everyone = HeaderValue::from_static("*");
        let said = if self.everyone { origin.map(|_| &everyone) } else { listed };
        let Some(said) = said else { return false };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, said.clone());
        if self.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        true
    }

    /// What a browser is told that asks first. One that may not call is told nothing.
    fn preflight(&self, asked: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::VARY, ASKED);
        let method = asked.get(header::ACCESS_CONTROL_REQUEST_METHOD).and_then(|method| method.to_str().ok());
        let known =
            method.is_some_and(|method| METHODS.to_str().is_ok_and(|all| all.split(", ").any(|one| one == method)));
        let names = asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
        let fine = names.into_iter().all(|line| {
            line.to_str().is_ok_and(|line| {
                line.split(',')
                    .map(str::trim)
                    .filter(|name| !name.is_empty())
                    .all(|name| self.headers.iter().any(|allowed| allowed.as_str().eq_ignore_ascii_case(name)))
            })
        });
        if known && fine && self.allow(asked.get(header::ORIGIN), &mut headers) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.extend(self.allowed_headers.clone().map(|value| (header::ACCESS_CONTROL_ALLOW_HEADERS, value)));
            headers.extend(self.max_age.clone().map(|value| (header::ACCESS_CONTROL_MAX_AGE, value)));
        }
        headers
    }
}

/// Who may call which path.
pub(crate) struct Origins {
    listed: Arc<Cors>,
    anyone: &'static [&'static str],
    open: Cors,
    unanswered: &'static [&'static str],
}

impl Origins {
    /// The list everywhere but on paths that begin with one of `anyone`. On those that begin with one of `unanswered` browsers that ask
    /// first are not answered.
    pub(crate) fn new(listed: Arc<Cors>, anyone: &'static [&'static str], unanswered: &'static [&'static str]) -> Self {
        let open = Cors {
            origins: vec![HeaderValue::from_static("*")],
            everyone: true,
            credentials: false,
            headers: vec![header::CONTENT_TYPE],
            allowed_headers: Some(HeaderValue::from_static("content-type")),
            max_age: Some(HeaderValue::from_static("86400")),
        };
        Self { listed, anyone, open, unanswered }
    }

    fn is_for_anyone(&self, path: &str) -> bool {
        self.anyone.iter().any(|start| path.starts_with(start))
    }

    fn is_answered(&self, path: &str) -> bool {
        !self.unanswered.iter().any(|start| path.starts_with(start))
    }

    fn rules(&self, for_anyone: bool) -> &Cors {
        if for_anyone { &self.open } else { &self.listed }
    }
}

/// Answers browsers that ask first; without a list of origins the request goes its way.
pub(crate) async fn preflight(
    origins: Arc<Origins>,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let cors = origins.rules(origins.is_for_anyone(request.uri().path()));
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if cors.is_off() || !asks || !origins.is_answered(request.uri().path()) {
        return next(request).await;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    *response.headers_mut() = cors.preflight(request.headers());
    response.extensions_mut().insert(Whole);
    response
}

/// Marks an answer that is whole.
#[derive(Clone, Copy)]
struct Whole;

/// Says on every other response who may read it.
pub(crate) async fn answer(
    origins: Arc<Origins>,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let for_anyone = origins.is_for_anyone(request.uri().path());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = next(request).await;
    // An application behind says for itself whose pages may call it.
    if response.extensions().get::<Whole>().is_none() && response.extensions().get::<Forwarded>().is_none() {
        origins.rules(for_anyone).apply(origin.as_ref(), response.headers_mut());
    }
    response
}

fn fault(origin: &str, credentials: bool, production: bool) -> Option<BadCors> {
    match origin {
        "*" if credentials => return Some(BadCors::EveryoneWithCredentials),
        "*" if production => return Some(BadCors::Everyone),
        "*" => return None,
        "null" => return Some(BadCors::Null),
        pattern if pattern.contains('*') => return Some(BadCors::Pattern),
        _ => {}
    }
    let Ok(uri) = origin.parse::<Uri>() else { return Some(BadCors::NotAnOrigin) };
    let (scheme, authority) = match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => (scheme, authority.as_str()),
        _ => return Some(BadCors::NotAnOrigin),
    };
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    // Browsers send it in this form to the letter; any other would never match.
    let exact = origin == format!("{scheme}://{authority}")
        && origin == origin.to_ascii_lowercase()
        && !authority.contains('@')
        && !authority.ends_with(default_port)
        && !authority.ends_with([':', '.']);
    if !exact {
        return Some(BadCors::NotAnOrigin);
    }
    (scheme == "http" && production).then_some(BadCors::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "https://app.clinic.test";

    fn rules(origins: &[&str], credentials: bool) -> CorsRules {
        let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        CorsRules { origins, credentials, headers: Vec::new(), max_age_seconds: 600 }
    }

    fn faults(origins: &[&str], credentials: bool, environment: Environment) -> Vec<BadCors> {
        Cors::new(&rules(origins, credentials), environment).err().unwrap_or_default()
    }

    #[test]
    fn what_is_no_origin_is_refused_at_the_start() {
        use Environment::{Development, Production, Staging};
        for environment in [Development, Staging, Production] {
            for (origin, fault) in [
                ("null", BadCors::Null),
                ("https://*.clinic.test", BadCors::Pattern),
                ("https://app.clinic.test/", BadCors::NotAnOrigin),
                ("https://app.clinic.test/page", BadCors::NotAnOrigin),
                ("https://App.clinic.test", BadCors::NotAnOrigin),
                ("https://app.clinic.test:443", BadCors::NotAnOrigin),
                ("https://user@app.clinic.test", BadCors::NotAnOrigin),
                ("app.clinic.test", BadCors::NotAnOrigin),
                ("ftp://app.clinic.test", BadCors::NotAnOrigin),
                ("https://", BadCors::NotAnOrigin),
                ("", BadCors::NotAnOrigin),
            ] {
                assert_eq!(faults(&[APP, origin], false, environment), [fault], "{origin}");
            }
            assert_eq!(faults(&["*"], true, environment), [BadCors::EveryoneWithCredentials]);
        }
        assert_eq!(faults(&["*"], false, Production), [BadCors::Everyone]);
        assert_eq!(faults(&["*"], false, Development), []);
        assert_eq!(faults(&["http://localhost:3000"], true, Development), []);
        assert_eq!(faults(&["http://app.clinic.test"], false, Production), [BadCors::Plain]);
        assert_eq!(faults(&["null", "*"], true, Production).len(), 2, "all at once");
        let mut odd = rules(&[APP], false);
        odd.headers = vec!["*".into(), "a b".into(), "Cookie".into(), "x-mine".into()];
        assert_eq!(Cors::new(&odd, Production).err().unwrap(), [BadCors::Header; 3]);
    }

    fn applied(cors: &Cors, origin: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        // What something within said does not count.
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        cors.apply(origin.map(HeaderValue::from_static).as_ref(), &mut headers);
        headers
    }

    #[test]
    fn only_a_listed_origin_is_named_and_none_is_reflected() {
        let cors = Cors::new(&rules(&[APP, "https://other.test:8443"], true), Environment::Production).unwrap();
        let headers = applied(&cors, Some(APP));
        assert_eq!(headers["access-control-allow-origin"], APP);
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert!(headers.contains_key("access-control-expose-headers"));
        for origin in [
            "https://evil.test",
            "null",
            "https://app.clinic.test.evil.test",
            "https://evil-app.clinic.test",
            "http://app.clinic.test",
            "https://app.clinic.test:8443",
            "HTTPS://APP.CLINIC.TEST",
            "https://app.clinic.test, https://evil.test",
            "https://app.clinic.test\u{0}",
            "*",
            "",
        ] {
            let Ok(value) = HeaderValue::from_str(origin) else { continue };
            let mut headers = HeaderMap::new();
            cors.apply(Some(&value), &mut headers);
            assert_eq!(headers.keys().collect::<Vec<_>>(), ["vary"], "{origin}");
        }
        let headers = applied(&cors, None);
        assert!(!headers.contains_key("access-control-allow-origin"));
        let vary: Vec<_> = headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["accept", "origin"], "a cache keeps the answers apart");
    }

    #[test]
    fn without_a_list_nothing_is_said() {
        let headers = applied(&Cors::default(), Some(APP));
        assert!(!headers.contains_key("access-control-allow-origin"));
        assert_eq!(headers["vary"], "accept");
    }

    #[test]
    fn everyone_is_a_star_and_never_comes_with_credentials() {
        let cors = Cors::new(&rules(&["*"], false), Environment::Development).unwrap();
        let headers = applied(&cors, Some("https://evil.test"));
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert!(!headers.contains_key("access-control-allow-credentials"));
    }

    fn asked(cors: &Cors, pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut asked = HeaderMap::new();
        for (name, value) in pairs {
            asked.append(*name, HeaderValue::from_static(value));
        }
        cors.preflight(&asked)
    }

    #[test]
    fn a_preflight_is_allowed_whole_or_not_at_all() {
        let mut rules = rules(&[APP], true);
        rules.headers.push("X-Mine".to_owned());
        let cors = Cors::new(&rules, Environment::Production).unwrap();
        let method = ("access-control-request-method", "PUT");
        let names = ("access-control-request-headers", "Authorization, x-mine,content-type");
        let allowed = asked(&cors, &[("origin", APP), method, names]);
        assert_eq!(allowed["access-control-allow-origin"], APP);
        assert_eq!(allowed["access-control-max-age"], "600");
        assert!(allowed["access-control-allow-headers"].to_str().unwrap().ends_with("x-api-key, x-mine"));
        assert!(!allowed["access-control-allow-methods"].to_str().unwrap().contains('*'));
        assert_eq!(allowed["vary"], ASKED);
        for refused in [
            &[("origin", "https://evil.test"), method][..],
            &[("origin", "null"), method],
            &[method],
            &[("origin", APP), ("access-control-request-method", "TRACE")],
            &[("origin", APP), ("access-control-request-method", "put")],
            &[("origin", APP), method, ("access-control-request-headers", "authorization, x-other")],
            &[("origin", APP), method, ("access-control-request-headers", "*")],
        ] {
            assert_eq!(asked(&cors, refused).keys().collect::<Vec<_>>(), ["vary"], "{refused:?}");
        }
    }
}
