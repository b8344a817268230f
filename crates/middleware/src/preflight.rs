//! What a browser asks before a page of another origin may call ([Fetch](https://fetch.spec.whatwg.org/#cors-preflight-fetch)).

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// What no browser sends with one: what says who asks, a body, another protocol.
const NEVER: [&str; 11] = [
    "authorization",
    "cookie",
    "dpop",
    "x-api-key",
    "x-auth-token",
    "x-auth-key",
    "proxy-authorization",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "upgrade",
];

/// The method that a preflight asks for, if this is one: it names its page's origin and one method, and brings neither a credential nor
/// a body. What brings one is a request like any other.
pub fn preflight(method: &Method, headers: &HeaderMap) -> Option<Method> {
    let brings = || NEVER.iter().any(|name| headers.contains_key(*name)) || !has_no_length(headers);
    if *method != Method::OPTIONS || brings() {
        return None;
    }
    only(headers, &header::ORIGIN)?;
    Method::from_bytes(only(headers, &header::ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
}

fn has_no_length(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_LENGTH).iter().all(|length| length == "0")
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(method: &Method, more: &[(&'static str, &'static str)]) -> Option<Method> {
        let asked = [("origin", "https://app.test"), ("access-control-request-method", "PUT")];
        let mut headers = HeaderMap::new();
        for (name, value) in asked.iter().chain(more) {
            headers.append(*name, HeaderValue::from_static(value));
        }
        preflight(method, &headers)
    }

    #[test]
    fn a_preflight_brings_neither_a_credential_nor_a_body() {
        assert_eq!(asks(&Method::OPTIONS, &[]), Some(Method::PUT));
        let fine = [("access-control-request-headers", "authorization"), ("content-length", "0"), ("accept", "*/*")];
        assert_eq!(asks(&Method::OPTIONS, &fine), Some(Method::PUT));
        for method in [Method::GET, Method::POST, Method::HEAD] {
            assert_eq!(asks(&method, &[]), None, "{method}");
        }
        for more in [
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-api-key", ""),
            ("dpop", "x"),
            ("x-auth-token", "x"),
            ("content-length", "1"),
            ("content-length", "00"),
            ("content-type", "text/plain"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("origin", "https://other.test"),
            ("access-control-request-method", "GET"),
        ] {
            assert_eq!(asks(&Method::OPTIONS, &[more]), None, "{more:?}");
        }
        let alone = [(header::ORIGIN, HeaderValue::from_static("https://app.test"))];
        assert_eq!(preflight(&Method::OPTIONS, &alone.into_iter().collect()), None);
        let alone = [(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("GET"))];
        assert_eq!(preflight(&Method::OPTIONS, &alone.into_iter().collect()), None);
    }
}
