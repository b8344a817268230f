//! Whether a request with a browser's cookies comes from a page of ours: another site can make a browser send it, with all cookies.
//!
//! Browsers say themselves where a request comes from, and no page can change it: `Sec-Fetch-Site`, in older ones and over plain
//! HTTP `Origin`. A request that says nothing of the kind is refused; programs have no need of cookies.

use http::{HeaderMap, HeaderName, Method, header};

use crate::{Code, Problem};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what changes something and does not come from the origin of `issuer`, our own public address. What only reads is let
/// through: another site cannot see the answer.
pub(crate) fn check(method: &Method, headers: &HeaderMap, issuer: &str) -> Result<(), Problem> {
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    let ours = match (only(headers, &FETCH_SITE), only(headers, &header::ORIGIN)) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => origin.eq_ignore_ascii_case(origin_of(issuer)),
        (None, None) => false,
    };
    let refusal = || Problem::new(Code::CsrfFailed).detail("cookies work from pages of this origin only");
    if ours { Ok(()) } else { Err(refusal()) }
}

/// The value of a header; the empty one, which is nobody's, if it comes twice.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { Some("") } else { Some(value.to_str().unwrap_or_default()) }
}

/// Scheme, host and port of an address. Browsers leave a scheme's own port out.
fn origin_of(address: &str) -> &str {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let host = rest.split('/').next().unwrap_or(rest);
    let end = address.len() - rest.len() + host.len();
    let origin = address.get(..end).unwrap_or(address);
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    origin.strip_suffix(port).unwrap_or(origin)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn passes(method: Method, pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        check(&method, &headers, "https://auth.clinic.test/base").is_ok()
    }

    #[test]
    fn what_the_browser_says_of_the_page_counts() {
        for site in ["same-origin", "none"] {
            assert!(passes(Method::POST, &[("sec-fetch-site", site)]), "{site}");
        }
        for site in ["cross-site", "same-site", "", "Same-Origin"] {
            assert!(!passes(Method::POST, &[("sec-fetch-site", site)]), "{site}");
            // It is believed over the other.
            assert!(!passes(Method::POST, &[("sec-fetch-site", site), ("origin", "https://auth.clinic.test")]));
        }
        assert!(!passes(Method::POST, &[("sec-fetch-site", "none"), ("sec-fetch-site", "none")]));
        assert!(passes(Method::DELETE, &[("origin", "https://auth.clinic.test")]));
        for origin in [
            "null",
            "http://auth.clinic.test",
            "https://auth.clinic.test:8443",
            "https://auth.clinic.test.evil.test",
            "https://evil.test",
            "",
        ] {
            assert!(!passes(Method::PUT, &[("origin", origin)]), "{origin}");
        }
        assert!(!passes(Method::POST, &[]), "nobody says anything");
        assert!(passes(Method::GET, &[("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn an_origin_is_the_beginning_of_an_address() {
        assert_eq!(origin_of("https://h.test"), "https://h.test");
        assert_eq!(origin_of("https://h.test/a/b"), "https://h.test");
        assert_eq!(origin_of("https://h.test:443/"), "https://h.test");
        assert_eq!(origin_of("https://h.test:80/"), "https://h.test:80");
        assert_eq!(origin_of("http://127.0.0.1:8700"), "http://127.0.0.1:8700");
        assert_eq!(origin_of("http://[::1]:80/x"), "http://[::1]");
    }
}
