//! A listener that sends everybody to HTTPS.

use std::sync::Arc;

use axum::http::{
    HeaderMap, StatusCode,
    header::{CONTENT_TYPE, HOST, LOCATION},
    uri::{Authority, PathAndQuery},
};
use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use chancery_domain::instance::Environment;
use chancery_middleware::{
    Code, Problem,
    headers::{HeaderProfile, HeaderRules, Preset, with_headers},
};

use super::Proofs;

/// Where authorities look over plain HTTP (RFC 8555 §8.3), by whatever name of ours.
const LOOKS: &str = "/.well-known/acme-challenge/";

/// A gateway of ours: it answers over HTTPS for every host that the certificate is for.
#[derive(Clone)]
pub struct Gate {
    /// Whether the certificate at work is for this host.
    pub covers: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// At which clients reach it.
    pub port: u16,
}

/// Answers every request with the same path below `public_url`, if it asked for that host, or at the gateway, if it asked for another one
/// of the certificate's. Any other host is refused: an answer would help whoever points a name of theirs at us. An authority that looks
/// whether a name is ours is shown what it looks for.
pub fn router(public_url: &str, gate: Option<Gate>, proofs: Option<Proofs>) -> Router {
    let target: Arc<str> = public_url.trim_end_matches('/').into();
    let router = Router::new().fallback(move |request: Request| {
        let (target, gate, proofs) = (Arc::clone(&target), gate.clone(), proofs.clone());
        async move {
            let token = request.uri().path().strip_prefix(LOOKS).map(str::to_owned);
            let shown = match proofs.zip(token) {
                Some((proofs, token)) => proofs.text(&token).await,
                None => None,
            };
            match shown {
                Some(text) => ([(CONTENT_TYPE, "application/octet-stream")], text).into_response(),
                None => redirected(&target, gate.as_ref(), &request),
            }
        }
    });
    // HSTS has no place on plain HTTP (RFC 6797 §7.2).
    let profile = HeaderProfile { hsts: None, ..HeaderProfile::preset(Preset::Api, Environment::Production) };
    with_headers(router, HeaderRules::new(&profile).unwrap_or_default())
}

fn redirected(target: &str, gate: Option<&Gate>, request: &Request) -> Response {
    let Some(host) = host_of(request.headers()) else {
        return Problem::new(Code::RequestMalformed).detail("exactly one valid Host is needed").into_response();
    };
    let Some(target) = sent_to(target, gate, host.host()) else {
        return Problem::new(Code::RequestMalformed).detail("this is not that host").into_response();
    };
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    // A path of its own begins with a slash; `*` of OPTIONS does not.
    let path = if path.starts_with('/') { path } else { "/" };
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, format!("{target}{path}"))]).into_response()
}

/// Where a host is at home over HTTPS.
fn sent_to(target: &str, gate: Option<&Gate>, host: &str) -> Option<String> {
    let ours = target.strip_prefix("https://").and_then(|rest| rest.split('/').next()?.parse::<Authority>().ok());
    let ours = ours.filter(|ours| ours.host().eq_ignore_ascii_case(host));
    let gate = gate.filter(|gate| (gate.covers)(host));
    // Who names no port means 443: where the API is elsewhere, that is the gateway's.
    let is_gates =
        |ours: &Authority| gate.is_some_and(|gate| gate.port == 443) && ours.port_u16().is_some_and(|port| port != 443);
    match ours {
        Some(ours) if !is_gates(&ours) => Some(target.to_owned()),
        _ => gate.map(|gate| match gate.port {
            443 => format!("https://{host}"),
            port => format!("https://{host}:{port}"),
        }),
    }
}

fn host_of(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?.parse::<Authority>().ok()?;
    (hosts.next().is_none() && !host.as_str().contains('@')).then_some(host)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tower::ServiceExt as _;

    use super::*;

    async fn asked(host: &[&str], path: &str) -> (u16, String, HeaderMap) {
        asked_beside(None, host, path).await
    }

    /// Beside a gateway at this port, with a certificate for these hosts.
    async fn asked_beside(
        gate: Option<(u16, &'static [&'static str])>,
        host: &[&str],
        path: &str,
    ) -> (u16, String, HeaderMap) {
        let gate = gate.map(|(port, names)| Gate { covers: Arc::new(move |host: &str| names.contains(&host)), port });
        let mut request = Request::post(path);
        for host in host {
            request = request.header(HOST, *host);
        }
        let router = router("https://auth.clinic.test:8443/base", gate, None);
        let answer = router.oneshot(request.body(Body::empty()).unwrap());
        let response = answer.await.unwrap();
        let location = response.headers().get(LOCATION).map_or("", |value| value.to_str().unwrap()).to_owned();
        (response.status().as_u16(), location, response.headers().clone())
    }

    #[tokio::test]
    async fn everybody_is_sent_to_the_same_path_of_the_public_address() {
        for host in ["auth.clinic.test", "auth.clinic.test:80", "AUTH.clinic.test"] {
            let (status, location, headers) = asked(&[host], "/v1/keys?limit=1").await;
            assert_eq!((status, location.as_str()), (308, "https://auth.clinic.test:8443/base/v1/keys?limit=1"));
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert!(!headers.contains_key("strict-transport-security"), "it has no place on plain HTTP");
        }
        assert_eq!(
            asked(&["auth.clinic.test"], "//evil.test/x").await.1,
            "https://auth.clinic.test:8443/base//evil.test/x"
        );
    }

    #[tokio::test]
    async fn a_host_of_the_certificate_is_sent_to_the_gateway() {
        const NAMES: &[&str] = &["auth.clinic.test", "portal.clinic.test"];
        const OTHER: &[&str] = &["portal.clinic.test"];
        for (port, host, location) in [
            (443, "portal.clinic.test", "https://portal.clinic.test/a?b=c"),
            (443, "portal.clinic.test:80", "https://portal.clinic.test/a?b=c"),
            (9443, "portal.clinic.test", "https://portal.clinic.test:9443/a?b=c"),
            // One host for both: at 443 it is the gateway, elsewhere the API as ever.
            (443, "auth.clinic.test", "https://auth.clinic.test/a?b=c"),
            (9443, "auth.clinic.test", "https://auth.clinic.test:8443/base/a?b=c"),
        ] {
            let (status, sent, _) = asked_beside(Some((port, NAMES)), &[host], "/a?b=c").await;
            assert_eq!((status, sent.as_str()), (308, location), "{port} {host}");
        }
        for hosts in [&["evil.test"][..], &["portal.clinic.test", "evil.test"], &["x.portal.clinic.test"], &[]] {
            let (status, sent, _) = asked_beside(Some((443, NAMES)), hosts, "/").await;
            assert_eq!((status, sent.as_str()), (400, ""), "{hosts:?}");
        }
        // Of a host that its certificate is not for it knows nothing.
        let (status, sent, _) = asked_beside(Some((443, OTHER)), &["auth.clinic.test"], "/").await;
        assert_eq!((status, sent.as_str()), (308, "https://auth.clinic.test:8443/base/"));
    }

    #[tokio::test]
    async fn another_host_is_sent_nowhere() {
        for hosts in [
            &["evil.test"][..],
            &["auth.clinic.test.evil.test"],
            &["auth.clinic.test", "evil.test"],
            &["user@auth.clinic.test"],
            &["auth.clinic.test/x"],
            &[],
        ] {
            let (status, location, headers) = asked(hosts, "/").await;
            assert_eq!((status, location.as_str()), (400, ""), "{hosts:?}");
            assert_eq!(
                headers["content-security-policy"].to_str().unwrap().split(';').next(),
                Some("default-src 'none'")
            );
        }
    }

    #[tokio::test]
    async fn an_authority_is_shown_what_it_looks_for_and_nothing_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let proofs = Proofs::new(folder.path().join("proofs"));
        let shown = proofs.show_over_http("a-token", "a-token.thumbprint").unwrap();
        let asked = |token: &str| {
            let request = Request::get(format!("{LOOKS}{token}")).header(HOST, "gate.clinic.test");
            router("https://auth.clinic.test", None, Some(proofs.clone())).oneshot(request.body(Body::empty()).unwrap())
        };
        let answer = asked("a-token").await.unwrap();
        assert_eq!(answer.status(), 200);
        let text = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert_eq!(&text[..], b"a-token.thumbprint");
        assert_eq!(asked("another").await.unwrap().status(), 400);
        drop(shown);
        assert_eq!(asked("a-token").await.unwrap().status(), 400);
        // What a process that was killed has left is taken away before the next order.
        std::mem::forget(proofs.show_over_http("a-token", "a-token.thumbprint").unwrap());
        proofs.clear().unwrap();
        assert_eq!(asked("a-token").await.unwrap().status(), 400);
    }
}
