//! What the client gets of the application's answer.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use chancery_middleware::{Code, Forwarded, Holds, KeepsPlace, Problem};
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use http_body::Frame;
use hyper::upgrade::OnUpgrade;

use crate::{
    hygiene,
    lasting::Lasting,
    streams::{Open, is_long},
    tunnel,
};

/// All of it, but what spoke for the connection between us. A WebSocket has its place, a long answer asks for one.
pub(super) fn answer(
    mut response: Response,
    websocket: Option<(OnUpgrade, Open)>,
    mut lasting: Lasting,
    place: impl FnOnce() -> Option<Open>,
) -> Result<Response, Problem> {
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let agreed = upgraded && hygiene::is_websocket(response.headers());
    hygiene::clean_response(response.headers_mut());
    response.extensions_mut().insert(Forwarded);
    // How the application speaks is between it and us: its HTTP/1.0 is not the client's.
    *response.version_mut() = Version::HTTP_11;
    match (upgraded, websocket) {
        (false, _) if !is_long(&response) => Ok(response),
        (false, websocket) => {
            let open = websocket.map(|(_, open)| open).or_else(place);
            let extensions = response.extensions_mut();
            if let Some(open) = open {
                extensions.insert(Holds::new(open));
            } else {
                // What was asked may be done, so it is too late to refuse: its client's next requests will be.
                extensions.insert(KeepsPlace);
            }
            // Events have no end that could be waited for; browsers ask for them again by themselves.
            if !is_event_stream(response.headers()) {
                lasting.connection = None;
            }
            Ok(lasting.bind(response))
        }
        (true, Some((on_client, open))) if agreed => {
            let on_application = hyper::upgrade::on(&mut response);
            tunnel::join(on_client, on_application, lasting, open);
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            Ok(response)
        }
        // Another protocol that nobody asked for.
        (true, _) => Err(Code::UpstreamBadGateway.into()),
    }
}

/// An answer that is a head alone has the length that was said, or none: from a body of no bytes axum would tell that the resource has
/// none ([RFC 9110 §8.6](https://www.rfc-editor.org/rfc/rfc9110#section-8.6)).
pub(super) fn unmeasured(response: Response, asks_for_head: bool) -> Response {
    let is_head = asks_for_head || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if is_head && !response.headers().contains_key(header::CONTENT_LENGTH) && response.body().is_end_stream() {
        response.map(|_| Body::new(Unmeasured))
    } else {
        response
    }
}

/// No body, and no word of its length.
struct Unmeasured;

impl HttpBody for Unmeasured {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// Server-sent events.
fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.split(|byte| *byte == b';')
        .next()
        .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}
