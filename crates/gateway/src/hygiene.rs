//! Which headers go on, and which never do (facts §6.6).

use std::net::IpAddr;

use chancery_domain::{access::Caller, ids::RequestId};
use chancery_middleware::{Code, Exchange, Problem, cookies, headers::remove_telling, identity};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use http::{HeaderMap, HeaderName, HeaderValue, header};

mod claims;

use claims::is;
pub use claims::is_claim;

/// How the request reached us, as the application shall know it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The client's address, where it is known.
    pub address: Option<IpAddr>,
    /// Whether the client spoke TLS.
    pub secure: bool,
    /// The host that it asked for.
    pub host: Option<HeaderValue>,
    /// The request's id.
    pub request: RequestId,
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");
const TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");
/// How many fields a request may get on its way, besides those that came.
const MORE: usize = 14;

/// Headers that speak for one connection alone.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Whether a route may take a header of this name out: not those that say where a message goes and where it ends.
pub fn may_drop(name: &str) -> bool {
    !["host", "content-length", "transfer-encoding"].iter().any(|never| is(name, never))
}

/// Takes out what a route names, in any spelling.
pub fn drop_named(headers: &mut HeaderMap, named: &[HeaderName]) {
    let is_named = |name: &&HeaderName| named.iter().any(|text| is(name.as_str(), text.as_str()));
    let doomed: Vec<HeaderName> = headers.keys().filter(is_named).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

/// Whether a trailer of this name may go on where a route names it. What frames a message, controls it or says who calls had to be said
/// before the body ([RFC 9110 §6.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1)).
pub fn may_trail(name: &str) -> bool {
    const NEVER: [&str; 16] = [
        "authorization",
        "cookie",
        "set-cookie",
        "x-api-key",
        "x-auth-token",
        "x-auth-key",
        "dpop",
        "host",
        "origin",
        "range",
        "expect",
        "te",
        "trailer",
        "cache-control",
        "max-forwards",
        "priority",
    ];
    let never = NEVER.iter().any(|never| never.eq_ignore_ascii_case(name));
    let hop = HOP_BY_HOP.iter().any(|hop| hop.eq_ignore_ascii_case(name));
    let lower = name.to_ascii_lowercase();
    let framing = ["content-", "if-", "sec-", "access-control-"].iter().any(|start| lower.starts_with(start));
    !(never || hop || framing || name.contains('_') || is_claim(name))
}

/// Takes out what never goes on: claims, headers of this connection and those that `Connection` names, names with `_`. `Trailer`
/// announces no more than `trailers`.
pub fn clean(headers: &mut HeaderMap, underscores: &[HeaderName], trailers: &[HeaderName]) {
    let named = named_by_connection(headers);
    let announces = |name: &&str| tokens(headers, &header::TRAILER).any(|token| token.eq_ignore_ascii_case(name));
    let announced: Vec<&str> = trailers.iter().map(HeaderName::as_str).filter(announces).collect();
    let announced = HeaderValue::from_str(&announced.join(", ")).ok().filter(|value| !value.is_empty());
    let trailers = wants_trailers(headers);
    let mut doomed: Vec<HeaderName> = Vec::new();
    for name in headers.keys() {
        let text = name.as_str();
        let hop =
            HOP_BY_HOP.contains(&text) || text == "te" || text == "trailer" || text == "expect" || named.contains(name);
        let odd = text.contains('_') && !underscores.contains(name);
        if hop || odd || is_claim(text) {
            doomed.push(name.clone());
        }
    }
    for name in doomed {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Some(announced) = announced {
        headers.insert(header::TRAILER, announced);
    }
}

/// Joins what came as several fields: over HTTP/2 a cookie may have one each, over HTTP/1.1 there is one for all
/// ([RFC 9113 §8.2.3](https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3)). Who reads the first alone reads what the last one would be.
pub fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() < 2 {
        return;
    }
    // Fields of valid letters make a valid one.
    if let Ok(mut value) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        value.set_sensitive(true);
        headers.insert(header::COOKIE, value);
    }
}

/// Takes the credential out that we have verified: the application is told who it is, and cannot use it in turn.
pub fn drop_credential(headers: &mut HeaderMap, issuer: &str) {
    for name in ["authorization", "x-api-key", "dpop"] {
        headers.remove(name);
    }
    drop_cookies(headers, issuer);
}

/// Takes out what has the form of a credential of ours, where nobody looked whether it is a good one: to an application that does not
/// ask for it, it is as much worth as to whoever it belongs to. Credentials of the application's own go on.
pub fn drop_ours(headers: &mut HeaderMap, issuer: &str) {
    let is_ours = |value: &HeaderValue| {
        let Ok(text) = value.to_str() else { return false };
        let text = text.split_ascii_whitespace().next_back().unwrap_or_default();
        text.starts_with("chy_") || is_token_of(text, issuer)
    };
    if headers.get_all(header::AUTHORIZATION).iter().any(is_ours) {
        headers.remove(header::AUTHORIZATION);
        headers.remove("dpop");
    }
    if headers.get_all("x-api-key").iter().any(is_ours) {
        headers.remove("x-api-key");
    }
    drop_cookies(headers, issuer);
}

/// Whether a text says that it is a token of this issuer.
fn is_token_of(text: &str, issuer: &str) -> bool {
    let claims = text.split('.').nth(1).and_then(|claims| BASE64URL_NOPAD.decode(claims.as_bytes()).ok());
    let claims = claims.and_then(|claims| serde_json::from_slice::<serde_json::Value>(&claims).ok());
    claims.is_some_and(|claims| claims.get("iss").and_then(serde_json::Value::as_str) == Some(issuer))
}

fn drop_cookies(headers: &mut HeaderMap, issuer: &str) {
    let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
    let ours = |pair: &[u8]| is_our_cookie(pair, issuer);
    let is_ours = |line: &HeaderValue| line.as_bytes().split(|byte| *byte == b';').any(ours);
    if !lines.iter().any(is_ours) {
        return;
    }
    headers.remove(header::COOKIE);
    for line in lines {
        let kept: Vec<&[u8]> = line.as_bytes().split(|byte| *byte == b';').filter(|pair| !ours(pair)).collect();
        let kept = kept.join(&b';');
        if let (false, Ok(mut value)) = (kept.trim_ascii().is_empty(), HeaderValue::from_bytes(kept.trim_ascii())) {
            value.set_sensitive(true);
            headers.append(header::COOKIE, value);
        }
    }
}

/// Says how the request reached us.
pub fn introduce(headers: &mut HeaderMap, origin: &Origin) {
    // Once, and not with every few of them: with room for who calls.
    headers.reserve(MORE);
    if let Some(value) = origin.address.and_then(|address| HeaderValue::try_from(address.to_string()).ok()) {
        headers.insert(FORWARDED_FOR, value);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if origin.secure { "https" } else { "http" }));
    if let Some(host) = &origin.host {
        headers.insert(FORWARDED_HOST, host.clone());
    }
    if let Ok(value) = HeaderValue::try_from(origin.request.to_string()) {
        headers.insert(REQUEST_ID, value);
    }
    let (trace, is_theirs) = trace(headers, origin.request);
    if let Ok(value) = HeaderValue::try_from(trace) {
        headers.insert(TRACE_PARENT, value);
    }
    if !is_theirs {
        headers.remove(TRACE_STATE);
    }
}

/// Says who calls, in headers that prove nothing: only for applications that nobody else can reach.
pub fn name_caller(headers: &mut HeaderMap, exchange: &Exchange, caller: &Caller) -> Result<(), Problem> {
    let tenant = HeaderValue::try_from(caller.tenant().to_string()).map_err(|_| Code::Internal)?;
    for (name, value) in identity(exchange, caller)? {
        headers.insert(name, value);
    }
    // The older scheme's header, now as a copy that can be believed (TN-02).
    headers.insert(TENANT_ID, tenant);
    Ok(())
}

/// Takes out of a response what spoke for the application's connection, and what it runs on (HD-09).
pub fn clean_response(headers: &mut HeaderMap) {
    let named = named_by_connection(headers);
    // What came in chunks has their length, whatever it says (RFC 9112 §6.3).
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    let goes = |name: &&HeaderName| {
        let text = name.as_str();
        // Our own word to the client is nobody else's.
        let ours = text.starts_with("x-chancery-");
        ours || HOP_BY_HOP.contains(&text) || named.contains(*name)
    };
    let doomed: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
    remove_telling(headers);
}

/// Whether a WebSocket is asked for; no other protocol goes on.
pub fn is_websocket(headers: &HeaderMap) -> bool {
    let mut upgrades = headers.get_all(header::UPGRADE).iter();
    let one = upgrades.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    one && upgrades.next().is_none()
        && tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// Headers that may come once, and of which a second one is another reading (IV-09).
pub fn is_doubled(headers: &HeaderMap) -> Option<&'static HeaderName> {
    static SINGLE: [HeaderName; 7] = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::HOST,
        header::ORIGIN,
        header::RANGE,
    ];
    SINGLE.iter().find(|name| headers.get_all(*name).iter().nth(1).is_some())
}

/// Of a name that only we read, or the cookie of older installations with a token of ours.
fn is_our_cookie(pair: &[u8], issuer: &str) -> bool {
    let Ok(pair) = std::str::from_utf8(pair) else { return false };
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let token = value.trim().trim_matches('"').split_ascii_whitespace().next_back().unwrap_or_default();
    cookies::is_ours(name.trim()) || (name.trim() == cookies::COMPAT && is_token_of(token, issuer))
}

/// What frames the message is not `Connection`'s to take out.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let framing = [header::HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE];
    let named = tokens(headers, &header::CONNECTION).filter_map(|token| token.parse::<HeaderName>().ok());
    named.filter(|name| !framing.contains(name)).collect()
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &header::TE).any(|token| token.eq_ignore_ascii_case("trailers"))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// The trace that goes on (W3C Trace Context), and whether it was there before.
fn trace(headers: &HeaderMap, request: RequestId) -> (String, bool) {
    let mut digits = [0; 32];
    let own = HEXLOWER.encode_mut_str(&request.to_bytes(), &mut digits);
    // The end of an id is drawn at random.
    let span = own.get(16..).unwrap_or_default();
    let mut lines = headers.get_all(TRACE_PARENT).iter();
    let theirs = lines.next().and_then(|value| value.to_str().ok()).filter(|_| lines.next().is_none());
    let theirs = theirs.and_then(trace_of);
    let (trace, flags) = theirs.unwrap_or((own, "01"));
    (["00-", trace, "-", span, "-", flags].concat(), theirs.is_some())
}

fn trace_of(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let set = |text: &str| text.bytes().any(|byte| byte != b'0');
    let fine = version == "00" && parts.next().is_none() && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    (fine && set(trace) && set(span)).then_some((trace, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn cleaned(pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = headers(pairs);
        clean(&mut headers, &[HeaderName::from_static("x_app_id"), HeaderName::from_static("x_auth_subject")], &[]);
        let mut names: Vec<_> = headers.keys().map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn claims_and_headers_of_the_connection_do_not_go_on() {
        let kept = cleaned(&[
            ("accept", "a"),
            ("x-auth-subject", "admin"),
            ("x_auth_subject", "admin"),
            ("x_app_id", "1"),
            ("x_other", "1"),
            ("connection", "close, X-Secret"),
            ("connection", "accept-language, Host, content-length"),
            ("x-secret", "1"),
            ("accept-language", "de"),
            ("host", "a"),
            ("content-length", "1"),
            ("keep-alive", "1"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "a"),
            ("proxy-authorization", "x"),
        ]);
        assert_eq!(kept, ["accept", "content-length", "host", "x_app_id"], "an allowed spelling of a claim stays one");
        assert_eq!(cleaned(&[("te", "trailers, deflate;q=0.5")]), ["te"]);
    }

    /// What an application believed of the proxy that was there before, nobody could take out.
    #[test]
    fn what_a_route_names_is_taken_out_in_any_spelling() {
        let mut headers =
            headers(&[("x-sso-user", "a"), ("x_sso_user", "a"), ("x-sso-users", "a"), ("x-sso.user", "a")]);
        drop_named(&mut headers, &[HeaderName::from_static("x-sso_user"), HeaderName::from_static("x-none")]);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-sso-users"]);
        assert!(may_drop("x-sso-user") && !may_drop("Content_Length") && !may_drop("host"));
    }

    /// Where nobody asks for a credential, ours went on to the application.
    #[test]
    fn a_credential_of_ours_goes_to_no_application_that_asks_for_none() {
        let token = |issuer: &str| {
            let claims = BASE64URL_NOPAD.encode(format!(r#"{{"iss":"{issuer}","sub":"usr_1"}}"#).as_bytes());
            format!("e30.{claims}.c2ln")
        };
        let (ours, theirs) = (token("https://id.test"), token("https://other.test"));
        let left = |pairs: &[(&'static str, String)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            drop_ours(&mut headers, "https://id.test");
            headers.len()
        };
        let auth = |text: String| [("authorization", text)];
        for text in ["Bearer chy_live_x".to_owned(), format!("bearer  {ours}"), format!("DPoP {ours}")] {
            assert_eq!(left(&auth(text.clone())), 0, "{text}");
        }
        for text in
            ["Basic eDp5".to_owned(), format!("Bearer {theirs}"), "Bearer sk_1".to_owned(), "Bearer a.b.c".to_owned()]
        {
            assert_eq!(left(&auth(text.clone())), 1, "{text}");
        }
        assert_eq!(left(&[("authorization", format!("DPoP {ours}")), ("dpop", theirs.clone())]), 0);
        assert_eq!(left(&[("x-api-key", "chy_live_x".to_owned()), ("dpop", theirs)]), 1);
        assert_eq!(
            left(&[("x-api-key", "their-own".to_owned()), ("cookie", "__Host-chancery-access=t; a=1".to_owned())]),
            2
        );
        assert_eq!(left(&[("cookie", "chancery-access=t".to_owned())]), 0);
        assert_eq!(left(&[("cookie", format!("access_token=\"Bearer {ours}\""))]), 0, "that of older installations");
        assert_eq!(left(&[("cookie", "access_token=a.b.c".to_owned())]), 1, "an application may have one of that name");
    }

    #[test]
    fn nobody_but_us_says_our_verdict() {
        let mut answer =
            headers(&[("x-chancery-verdict", "pass"), ("x-other", "1"), ("server", "x"), ("x-kong-request-id", "x")]);
        clean_response(&mut answer);
        assert_eq!(answer.keys().collect::<Vec<_>>(), ["x-other"]);
    }

    /// Who got it waited for the rest, or took a part of it for the whole.
    #[test]
    fn of_an_answer_in_chunks_no_length_goes_on() {
        let mut chunked = headers(&[("content-length", "5"), ("transfer-encoding", "chunked"), ("x-other", "1")]);
        clean_response(&mut chunked);
        assert_eq!(chunked.keys().collect::<Vec<_>>(), ["x-other"]);
        let mut whole = headers(&[("content-length", "5")]);
        clean_response(&mut whole);
        assert!(whole.contains_key("content-length"));
    }

    /// Beyond HTTP/2 a cookie is one field (RFC 9113 §8.2.3).
    #[test]
    fn cookies_of_several_fields_go_on_in_one() {
        let mut several = headers(&[("cookie", "a=1"), ("accept", "x"), ("cookie", "b=2; c=3"), ("cookie", "d=4")]);
        join_cookies(&mut several);
        let lines: Vec<_> = several.get_all("cookie").iter().collect();
        assert_eq!(lines, ["a=1; b=2; c=3; d=4"]);
        let mut none = headers(&[("accept", "x")]);
        join_cookies(&mut none);
        assert!(!none.contains_key("cookie"));
    }

    #[test]
    fn trailers_are_announced_as_far_as_they_go_on() {
        let sum = [HeaderName::from_static("x-sum")];
        let announced = |lines: &[(&'static str, &'static str)], trailers: &[HeaderName]| {
            let mut headers = headers(lines);
            clean(&mut headers, &[], trailers);
            headers.get(header::TRAILER).map(|value| value.to_str().unwrap().to_owned())
        };
        let lines = [("trailer", "x-auth-subject, X-Sum"), ("trailer", "x-other")];
        assert_eq!(announced(&lines, &sum).as_deref(), Some("x-sum"));
        assert_eq!(announced(&lines, &[]), None);
        assert_eq!(announced(&[("trailer", "x-other")], &sum), None);
        for never in
            ["X-Auth-Subject", "x.tenant.id", "x_sum", "Cookie", "authorization", "content-type", "if-match", "TE"]
        {
            assert!(!may_trail(never), "{never}");
        }
        assert!(may_trail("x-sum") && may_trail("Grpc-Status") && may_trail("server-timing"));
    }

    #[test]
    fn our_credential_stays_with_us_and_other_cookies_go_on() {
        let mut headers = headers(&[
            ("authorization", "Bearer x"),
            ("x-api-key", "k"),
            ("cookie", "a=1; __Host-chancery-access=t; b=2"),
            ("cookie", "chancery-access=t"),
        ]);
        drop_credential(&mut headers, "https://id.test");
        let left: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!(left, ["cookie: a=1; b=2"]);
    }

    #[test]
    fn a_trace_goes_on_if_it_is_one() {
        let id = RequestId::from_bytes([0xab; 16]);
        let with = |text: &'static str| trace(&headers(&[("traceparent", text)]), id);
        let (trace, theirs) = with("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
        assert_eq!((trace.as_str(), theirs), ("00-0af7651916cd43dd8448eb211c80319c-abababababababab-00", true));
        for odd in [
            "",
            "00-0-0-0",
            "00-00000000000000000000000000000000-b7ad6b7169203331-00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        ] {
            assert_eq!(with(odd).0, "00-abababababababababababababababab-abababababababab-01", "{odd}");
        }
    }

    #[test]
    fn only_a_websocket_is_another_protocol_that_goes_on() {
        assert!(is_websocket(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")])));
        for pairs in [
            &[("upgrade", "websocket")][..],
            &[("connection", "upgrade"), ("upgrade", "h2c")],
            &[("connection", "upgrade"), ("upgrade", "websocket, h2c")],
            &[],
        ] {
            assert!(!is_websocket(&headers(pairs)));
        }
    }
}
