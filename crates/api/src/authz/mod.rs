//! For proxies that ask before they let a request through: one door per dialect (facts §6.2), one answer.
//!
//! | proxy | asks | by | how it tells of the request |
//! | --- | --- | --- | --- |
//! | Traefik, `forwardAuth` | `/authz/forward-auth` | GET | `X-Forwarded-Method`, `X-Forwarded-Uri` |
//! | nginx, `auth_request` | `/authz/auth-request` | GET | `X-Original-Method`, `X-Original-URI` |
//! | Envoy, `ext_authz` over HTTP | `/authz/ext-authz/…` | the request's method | the path behind the prefix |
//!
//! 200 lets the request through: its headers name the caller, and the assertion proves it. What refuses is what refuses elsewhere,
//! and a dependency that fails is 503, never a bad credential. Browsers that ask first bring no credential: they get through where the
//! proxy's configuration says so, for only the proxy sees what the application answers them.

mod asked;
pub(crate) mod auth_request;
pub(crate) mod ext_authz;
pub(crate) mod forward_auth;

use std::net::SocketAddr;

use axum::{
    extract::ConnectInfo,
    response::{IntoResponse, Response},
};
use chancery_domain::{access::Caller, audit::refusals};
use chancery_middleware::{
    ASSERTION, Code, Exchange, Problem, Standing, assertion, canonical::Canonical, identity, no_identity, preflight,
};
use http::{HeaderMap, HeaderName, Method, StatusCode, Uri, request::Parts};

use crate::App;

/// The longest method; registered ones have at most 17 letters.
const MAX_METHOD: usize = 32;
/// The longest name of an application.
const MAX_NAME: usize = 64;

/// The request that a proxy asks about.
struct Original {
    method: Method,
    target: Uri,
}

/// What the proxy's own configuration says: for whom the assertion is, what it takes to get in, whether browsers that ask first get in, and
/// whether the log is told.
struct Wanted {
    route: String,
    roles: Vec<String>,
    preflights: bool,
    audit: bool,
}

impl Wanted {
    /// Of a name, roles with commas between them, one of which is enough, `pass` where preflights do, and `true` where the log is told.
    fn read([route, roles, preflights, audit]: [Option<&str>; 4]) -> Result<Self, Problem> {
        let is_name = |text: &str| {
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(letters)
        };
        let route = route.filter(|route| is_name(route)).ok_or_else(|| unreadable("the name of the route"))?;
        let roles: Vec<String> = match roles {
            None => Vec::new(),
            Some(roles) => roles.split(',').map(|role| role.trim().to_owned()).collect(),
        };
        // An empty list would let everybody in where somebody wanted it narrower.
        if !roles.iter().all(|role| is_name(role)) {
            return Err(unreadable("the list of roles"));
        }
        if preflights.is_some_and(|preflights| preflights != "pass") {
            return Err(unreadable("what becomes of preflights"));
        }
        let audit = match audit {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(unreadable("whether it is audited")),
        };
        Ok(Self { route: route.to_owned(), roles, preflights: preflights.is_some(), audit })
    }

    fn admits(&self, caller: &Caller) -> bool {
        let held = |role: &String| {
            caller.roles().iter().any(|held| held.as_str() == role) || caller.defined_roles().contains(role)
        };
        self.roles.is_empty() || self.roles.iter().any(held)
    }
}

/// Answers a proxy. `read` takes its dialect apart, and is asked only if the peer is one of the proxies whose word counts: anybody
/// else could make up the request, and collect assertions for applications that it cannot reach through the proxy.
async fn answer(
    app: &App,
    mut parts: Parts,
    wanted: Result<Wanted, Problem>,
    read: impl FnOnce(&Parts) -> Result<Original, Problem> + Send,
) -> Result<Response, Problem> {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
    let trusted = peer.is_some_and(|peer| app.proxies.iter().any(|net| net.contains(&peer)));
    let known = if trusted { Some(read(&parts)) } else { None };
    if let Some(Ok(original)) = &known {
        // From here on it is the request that the client made: proofs, cookies and names of tenants count as there.
        parts.method = original.method.clone();
        parts.uri = original.target.clone();
    }
    let upgrade = parts.headers.contains_key("sec-websocket-key");
    let standing = Standing::of(&parts, upgrade).await?;
    let caller = standing.as_ref().map(|standing| &standing.call().caller);
    let passes = |wanted: &Wanted| trusted && wanted.preflights && preflight(&parts.method, &parts.headers).is_some();
    if caller.is_none() && !wanted.as_ref().is_ok_and(passes) {
        return Err(Code::CredentialMissing.into());
    }
    let wanted = wanted?;
    let Some(original) = known else {
        tracing::warn!("Somebody asks as a proxy does, and its address is none of the trusted proxies");
        return Err(Code::AuthzDenied.into());
    };
    let original = original?;
    check_path(original.target.path())?;
    if caller.is_some_and(|caller| !wanted.admits(caller)) {
        return Err(Code::AuthzDenied.into());
    }
    let exchange = exchange(&parts)?;
    // A stranger's preflight is in no tenant's log.
    if let (true, Some(standing)) = (wanted.audit, &standing) {
        refusals::forwarded(&app.instance, standing.call()).await?;
    }
    let signed = assertion(&exchange, caller, &wanted.route, original.method.as_str(), original.target.path()).await?;
    let mut response = StatusCode::OK.into_response();
    let named = caller.map_or_else(|| no_identity(&exchange), |caller| identity(&exchange, caller))?;
    response.headers_mut().extend(named);
    response.headers_mut().insert(ASSERTION, signed);
    Ok(response)
}

/// What the proxy and the application behind it could read in two ways is signed for neither. 403, for nginx makes a fault of its own of
/// any other refusal.
fn check_path(path: &str) -> Result<(), Problem> {
    let ambiguous = |why: chancery_middleware::canonical::Ambiguous| {
        Problem::new(Code::PathAmbiguous).with_status(StatusCode::FORBIDDEN).detail(why.to_string())
    };
    Canonical::read(path).map(drop).map_err(ambiguous)
}

fn exchange(parts: &Parts) -> Result<std::sync::Arc<Exchange>, Problem> {
    parts.extensions.get::<std::sync::Arc<Exchange>>().cloned().ok_or_else(|| Code::Internal.into())
}

/// A method and a target that two headers name.
fn named(headers: &HeaderMap, method: &HeaderName, target: &HeaderName) -> Result<Original, Problem> {
    let method = only(headers, method)?.and_then(read_method).ok_or_else(|| unreadable(method.as_str()))?;
    let target = only(headers, target)?.and_then(read_target).ok_or_else(|| unreadable(target.as_str()))?;
    Ok(Original { method, target })
}

fn read_method(text: &str) -> Option<Method> {
    (text.len() <= MAX_METHOD).then(|| Method::from_bytes(text.as_bytes()).ok()).flatten()
}

/// A path with its query: no scheme, no host, and no second path behind two slashes.
fn read_target(text: &str) -> Option<Uri> {
    // What follows `#` would be cut off here, and goes on to the application.
    let plain = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let target: Uri = plain.then(|| text.parse().ok()).flatten()?;
    (target.authority().is_none() && target.path().starts_with('/')).then_some(target)
}

/// The value of a header that comes once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (values.next(), value.to_str()) {
        (None, Ok(text)) => Ok(Some(text)),
        _ => Err(unreadable(name.as_str())),
    }
}

/// The proxy is not set up as it must be. Its administrator sees this, no client does.
fn unreadable(what: &str) -> Problem {
    tracing::warn!("A proxy does not say what it must: {what}");
    Problem::new(Code::RequestMalformed)
        .detail("the proxy does not say which request it asks about: see docs/guides/proxies.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_proxy_says_of_the_request_is_read_strictly() {
        for good in ["/", "/a?b=c", "/a%2Fb", "//a", "/a?u=http://x/y"] {
            assert!(read_target(good).is_some_and(|uri| uri.authority().is_none()), "{good}");
        }
        for odd in ["", "a", "/a#b", "http://x/a", "/a b", "/a\u{e9}", "*", "?a"] {
            assert!(read_target(odd).is_none(), "{odd}");
        }
        assert!(read_method("PATCH").is_some() && read_method("GET /").is_none() && read_method("").is_none());
    }

    #[test]
    fn an_empty_list_of_roles_is_a_mistake_and_not_everybody() {
        assert!(Wanted::read([Some("clinic"), None, None, None]).is_ok_and(|wanted| !wanted.preflights));
        let roles = Wanted::read([Some("clinic"), Some("staff, night-desk"), Some("pass"), None]);
        assert!(roles.is_ok_and(|wanted| wanted.roles.len() == 2 && wanted.preflights));
        assert!(Wanted::read([Some("clinic"), None, Some(""), None]).is_err());
        for (route, roles) in
            [(None, None), (Some(""), None), (Some("a b"), None), (Some("a"), Some("")), (Some("a"), Some("x,,y"))]
        {
            assert!(Wanted::read([route, roles, None, None]).is_err(), "{route:?} {roles:?}");
        }
    }

    #[test]
    fn whether_the_log_is_told_is_a_word_that_is_known() {
        for (audit, told) in [(None, Some(false)), (Some("false"), Some(false)), (Some("true"), Some(true))] {
            let wanted = Wanted::read([Some("clinic"), None, None, audit]);
            assert_eq!(wanted.ok().map(|wanted| wanted.audit), told);
        }
        for odd in ["", "1", "yes", "TRUE"] {
            let wanted = Wanted::read([Some("clinic"), None, None, Some(odd)]);
            assert!(wanted.is_err(), "{odd}: it would not be told where somebody wanted it");
        }
    }
}
