//! WebSockets over HTTP/2 ([RFC 8441](https://www.rfc-editor.org/rfc/rfc8441)): asked for by an extended CONNECT, which is made the
//! upgrade that it stands for before anybody else looks. So the same rules hold, and the application is asked as over HTTP/1.1.

use axum::{body::Body, response::Response};
use chancery_domain::Instance;
use chancery_middleware::headers::CspNonce;
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::ext::Protocol;

/// Makes an extended CONNECT the upgrade that it stands for; says whether it was one. Other CONNECTs stay, and are refused.
pub(crate) fn unfold(request: &mut Request<Body>, instance: &Instance) -> bool {
    let asks = *request.method() == Method::CONNECT
        && request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    let Some(key) = asks.then(|| key(instance)).flatten() else { return false };
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_KEY, key);
    true
}

/// Whether a request is one, unfolded or not: to its client any success says that the stream is open.
pub(crate) fn is_extended(request: &Request<Body>) -> bool {
    request.extensions().get::<Protocol>().is_some()
}

/// Sixteen random bytes, as an upgrade has them: there is none in HTTP/2.
fn key(instance: &Instance) -> Option<HeaderValue> {
    let drawn = CspNonce::make(instance.random()).ok()?;
    let usual = |letter| match letter {
        '-' => '+',
        '_' => '/',
        letter => letter,
    };
    let key: String = drawn.as_str().chars().map(usual).chain("==".chars()).collect();
    HeaderValue::from_str(&key).ok()
}

/// Makes the answer to the upgrade the one to an extended CONNECT: there 200 opens the stream.
pub(crate) fn fold(mut response: Response) -> Response {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        *response.status_mut() = StatusCode::OK;
        for name in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_ACCEPT] {
            response.headers_mut().remove(name);
        }
    }
    response
}
