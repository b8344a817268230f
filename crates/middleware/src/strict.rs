//! Refuses what a proxy and a server could read in two ways: missing, double or odd `Host`, and
//! bodies that are too long.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Uri, Version, header, uri::Authority};

use crate::{Code, Problem, listener::Malformed};

/// How many fields a head may have; over HTTP/1 the listener has counted them already.
const MAX_FIELDS: usize = 100;

pub(crate) async fn strict(
    body_limit: usize,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    if let Some(malformed) = request.extensions().get::<Malformed>() {
        return refused(*malformed).into_response();
    }
    if fields(request.headers()) > MAX_FIELDS {
        return refused(Malformed::Large).into_response();
    }
    if !one_host(request.version(), request.uri(), request.headers()) {
        return Problem::new(Code::RequestMalformed).detail("exactly one valid Host is needed").into_response();
    }
    match content_length(request.headers()) {
        Err(()) => Problem::new(Code::RequestMalformed).detail("content-length is not valid").into_response(),
        Ok(Some(length)) if length > body_limit as u64 => Problem::new(Code::TooLarge).into_response(),
        Ok(_) => next(request).await,
    }
}

/// How many there are. Over HTTP/2 a browser gives each cookie one of its own: together they are one.
fn fields(headers: &HeaderMap) -> usize {
    headers.len() - headers.get_all(header::COOKIE).iter().count().saturating_sub(1)
}

/// The listener did not let the head through.
fn refused(malformed: Malformed) -> Problem {
    let problem = match malformed {
        Malformed::Large => Problem::new(Code::TooLarge).with_status(http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        _ => Problem::new(Code::RequestMalformed),
    };
    problem.detail(malformed.reason())
}

/// RFC 9112 §3.2 for HTTP/1; RFC 9113 §8.3.1 for HTTP/2, where `:authority` is in the URI.
fn one_host(version: Version, uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next(), uri.authority()) {
        (_, Some(_), _) => false,
        (Some(host), None, authority) => {
            let Some(host) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
            !host.as_str().contains('@') && authority.is_none_or(|named| *named == host)
        }
        (None, None, Some(named)) => version >= Version::HTTP_2 && !named.as_str().contains('@'),
        (None, None, None) => false,
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    let text = length.to_str().map_err(|_| ())?;
    if lengths.next().is_some() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(());
    }
    text.parse().map(Some).map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn hosts(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::HOST, HeaderValue::from_static(value))).collect()
    }

    /// Over HTTP/2 nobody counted them.
    #[test]
    fn a_head_has_so_many_fields_and_cookies_are_one() {
        let mut headers: HeaderMap =
            (0..99).map(|n| (http::HeaderName::try_from(format!("x-{n}")).unwrap(), HeaderValue::from(n))).collect();
        for n in 0..40 {
            headers.append(header::COOKIE, HeaderValue::from(n));
        }
        assert_eq!(fields(&headers), MAX_FIELDS);
        headers.append("x-0", HeaderValue::from(0));
        assert_eq!(fields(&headers), MAX_FIELDS + 1);
        assert_eq!(fields(&HeaderMap::new()), 0);
    }

    #[test]
    fn a_missing_double_or_odd_host_is_refused() {
        let path: Uri = "/v1/keys".parse().unwrap();
        assert!(one_host(Version::HTTP_11, &path, &hosts(&["localhost:8080"])));
        assert!(one_host(Version::HTTP_11, &path, &hosts(&["[::1]:8080"])));
        for bad in [&[][..], &["a", "a"], &["a", "b"], &[""], &["user@host"], &["a/b"], &["a b"]] {
            assert!(!one_host(Version::HTTP_11, &path, &hosts(bad)), "{bad:?}");
        }
    }

    #[test]
    fn the_authority_of_http_2_stands_for_the_host() {
        let uri: Uri = "https://example.test/v1/keys".parse().unwrap();
        assert!(one_host(Version::HTTP_2, &uri, &hosts(&[])));
        assert!(one_host(Version::HTTP_2, &uri, &hosts(&["example.test"])));
        assert!(!one_host(Version::HTTP_2, &uri, &hosts(&["other.test"])));
        assert!(!one_host(Version::HTTP_11, &uri, &hosts(&[])));
    }
}
