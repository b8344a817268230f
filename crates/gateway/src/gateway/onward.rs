//! What goes on to the application of a request: its query and its headers.

use std::borrow::Cow;

use chancery_middleware::{Exchange, Problem, Standing, headers::CspNonce, listener::Connection};
use http::{HeaderName, HeaderValue, header, request::Parts};

use super::Gateway;
use crate::{
    Mode, Route,
    hygiene::{self, Origin},
};

/// Where the application finds the word for its scripts.
const NONCE: HeaderName = HeaderName::from_static("x-csp-nonce");

/// The query that goes on: a name of another tenant does not, where it was not refused (design §3).
pub(super) fn query<'a>(parts: &'a Parts, standing: Option<&Standing>) -> Option<Cow<'a, str>> {
    let query = parts.uri.query()?;
    let Some(standing) = standing else { return Some(query.into()) };
    let call = standing.call();
    let foreign = |name: &str, named: &str| {
        (name == "tenant" || name == "tenant_id")
            && named != call.caller.tenant_slug()
            && named.parse() != Ok(call.tenant())
    };
    let is_foreign = |pair: &str| form_urlencoded::parse(pair.as_bytes()).any(|(name, named)| foreign(&name, &named));
    if !query.split('&').any(is_foreign) {
        return Some(query.into());
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_foreign(pair)).collect();
    (!kept.is_empty()).then(|| kept.join("&").into())
}

/// Whether a query says by which other method a POST is to be taken. Symfony, Laravel and Spring read `_method`, ASP.NET and others the
/// name of the header that never goes on.
pub(super) fn overrides_method(query: &[u8]) -> bool {
    let mut pairs = query.split(|byte| matches!(byte, b'&' | b';')).flat_map(form_urlencoded::parse);
    pairs.any(|(name, _)| {
        // PHP ends a name at a null byte, drops spaces before it, and has `_` for dots and spaces in it.
        let name = name.split('\0').next().unwrap_or_default().trim_start_matches(' ').replace(['.', ' '], "_");
        ["_method", "x-http-method-override"].iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

impl Gateway {
    /// A word for the scripts of one page, which the application writes into them. Without randomness there is none, and nothing inline runs.
    pub(super) fn nonce(&self, route: &Route, parts: &mut Parts) -> Option<CspNonce> {
        route.headers.as_ref().filter(|headers| headers.ready.wants_nonce())?;
        let nonce = CspNonce::make(self.instance.random()).ok()?;
        parts.headers.insert(NONCE, HeaderValue::from_str(nonce.as_str()).ok()?);
        Some(nonce)
    }

    /// Takes out what the application must not see, and says what it may believe.
    pub(super) fn prepare(
        &self,
        route: &Route,
        parts: &mut Parts,
        exchange: &Exchange,
        connection: Option<&Connection>,
        standing: Option<&Standing>,
    ) -> Result<(), Problem> {
        let authority = parts.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        let host = parts.headers.get(header::HOST).cloned().or(authority);
        hygiene::clean(&mut parts.headers, &route.underscore_headers, &route.trailers);
        hygiene::drop_named(&mut parts.headers, &route.drop_headers);
        if let Some(host) = &host {
            parts.headers.insert(header::HOST, host.clone());
        }
        hygiene::join_cookies(&mut parts.headers);
        let secure = self.settings.tls_terminated || connection.is_some_and(Connection::is_secure);
        let origin = Origin { address: exchange.info().address, secure, host, request: exchange.info().id };
        hygiene::introduce(&mut parts.headers, &origin);
        if !route.keep_credential && route.mode == Mode::Enforce {
            let issuer = &self.instance.settings().issuer;
            match standing {
                Some(_) => hygiene::drop_credential(&mut parts.headers, issuer),
                None => hygiene::drop_ours(&mut parts.headers, issuer),
            }
        }
        if let Some(standing) = standing.filter(|_| route.plain_identity) {
            hygiene::name_caller(&mut parts.headers, exchange, &standing.call().caller)?;
        }
        // What only we are to know of the request goes no further.
        parts.extensions = http::Extensions::new();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_method_is_one_in_every_spelling_of_its_name() {
        for query in [
            "_method=DELETE",
            "a=1&%5Fmethod=DELETE",
            "a=1;_method=DELETE",
            "_METHOD=x",
            "_method",
            ".method=DELETE",
            "+_method=DELETE",
            "%2emethod=DELETE",
            "_method%00x=DELETE",
            "X-HTTP-Method-Override=DELETE",
        ] {
            assert!(overrides_method(query.as_bytes()), "{query}");
        }
        for query in ["", "method=DELETE", "a=_method", "_methods=1", "my_method=1"] {
            assert!(!overrides_method(query.as_bytes()), "{query}");
        }
    }
}
