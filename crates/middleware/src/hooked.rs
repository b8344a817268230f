//! A message of a stranger, as it came: every header, the query in order, the body to the byte; and what its sender is told.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chancery_domain::{
    TenantId,
    ids::WebhookSourceId,
    webhooks::{self, Message, ReceiveError, Reply},
};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;

use crate::{
    Code, Exchange, Party, Problem, Room, Taken,
    body::{lost, whole},
};

/// Room for the bodies of strangers: 64 MiB. What finds none is refused.
static ROOM: Room = Room::of(256);

/// A request whose sender signs the bytes that it sends, with its body unread.
pub struct Unread {
    /// The request.
    pub exchange: Arc<Exchange>,
    /// Its query, in order; a name may come twice.
    pub query: Vec<(String, String)>,
    request: Request,
}

/// A request whose sender signs the bytes that it sends.
pub struct Hooked {
    /// The request.
    pub exchange: Arc<Exchange>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Room that its body takes, if it was read here.
    _room: Option<Taken>,
}

impl Unread {
    /// Answers a provider that asks whether whoever is here knows what was agreed on with a source, named by its tenant's slug and its id.
    ///
    /// # Errors
    ///
    /// [`Problem`], the same for every reason.
    pub async fn shake(self, source: (&str, &str)) -> Result<Response, Problem> {
        // Its body is nobody's any more.
        let Self { exchange, query, .. } = self;
        let shaken = webhooks::shake(exchange.instance(), exchange.info(), source, &query).await;
        shaken.map(answer).map_err(refused)
    }

    /// Verifies it as a message of a source, and keeps it to be handed on.
    ///
    /// # Errors
    ///
    /// [`Problem`], the same for every reason.
    pub async fn receive(self, source: (&str, &str), path_token: Option<&str>) -> Result<Response, Problem> {
        let instance = self.exchange.instance();
        let longest = instance.settings().webhook_body_bytes as usize;
        // Before the body: of one that nobody waits for not a byte is read.
        let of = webhooks::awaited(instance, source).await.map_err(refused)?;
        let hooked = self.read(longest, of).await?;
        let message = Message { headers: &hooked.pairs(), path_token, body: &hooked.body };
        let taken = webhooks::receive(hooked.exchange.instance(), hooked.exchange.info(), source, &message).await;
        taken.map(answer).map_err(refused)
    }

    /// Reads the body, of at most `max` bytes. Of long ones, as many at once as there is room for: a piece of it is asked for when it
    /// comes, so that nobody has room by announcing.
    async fn read(self, max: usize, (tenant, source): (TenantId, WebhookSourceId)) -> Result<Hooked, Problem> {
        let (parts, body) = self.request.into_parts();
        check_plain(&parts.headers)?;
        let room = ROOM.begin(vec![Party::tenant(tenant), Party::source(source)]);
        let (bytes, room) = whole(&parts, max, collected(body, max, room)).await?;
        Ok(Hooked { exchange: self.exchange, headers: parts.headers, body: bytes.into(), _room: Some(room) })
    }
}

impl Hooked {
    /// One that was read by somebody who goes on with it.
    pub fn new(exchange: Arc<Exchange>, headers: HeaderMap, body: Bytes) -> Self {
        Self { exchange, headers, body, _room: None }
    }

    /// Says what [`Unread::receive`] would say of it, and keeps nothing.
    ///
    /// # Errors
    ///
    /// [`Problem`].
    pub async fn examine(&self, source: (&str, &str), path_token: Option<&str>) -> Result<(), Problem> {
        check_plain(&self.headers)?;
        let message = Message { headers: &self.pairs(), path_token, body: &self.body };
        webhooks::examine(self.exchange.instance(), self.exchange.info(), source, &message).await.map_err(refused)
    }

    /// The headers as a verifier reads them.
    pub fn pairs(&self) -> Vec<(&str, &[u8])> {
        pairs(&self.headers)
    }
}

/// What is packed would be unpacked behind us, by somebody who believes that what he then sees was bounded and looked at here.
pub(crate) fn check_plain(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.contains_key(header::CONTENT_ENCODING) {
        true => Err(Problem::new(Code::MediaType).detail("the body must not be compressed")),
        false => Ok(()),
    }
}

fn answer(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    match reply.body {
        Some(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => status.into_response(),
    }
}

/// One refusal for every reason; why stands in the log.
fn refused(error: ReceiveError) -> Problem {
    match error {
        ReceiveError::Unknown => Problem::new(Code::NotFound),
        ReceiveError::Refused(status, rejection) => {
            tracing::info!(reason = rejection.as_str(), "Refused a webhook");
            Problem::new(Code::WebhookRejected)
                .with_status(StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED))
        }
        ReceiveError::TooLong => Problem::new(Code::TooLarge),
        ReceiveError::Full => Problem::new(Code::Overloaded).retry_after(60),
        ReceiveError::Failed(failure) => failure.into(),
    }
}

/// A body, and the room that it takes.
async fn collected(mut body: Body, max: usize, mut room: Taken) -> Result<(Vec<u8>, Taken), Problem> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| lost())?.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > max {
            return Err(Code::TooLarge.into());
        }
        if !room.grow_to(length) {
            return Err(Problem::new(Code::Overloaded).retry_after(10));
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, room))
}

/// Names, in lower case, and values in order.
pub(crate) fn pairs(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

impl<S: Send + Sync> FromRequest<S> for Unread {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let query = form_urlencoded::parse(query).into_owned().collect();
        let (parts, body) = request.into_parts();
        let exchange = Exchange::of(&parts)?;
        Ok(Self { exchange, query, request: Request::from_parts(parts, body) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn strangers_share_a_room() {
        static ROOM: Room = Room::of(3);
        let long = |pieces: usize| Body::from(vec![7; Room::FREE + pieces * Room::PIECE]);
        let read = |pieces: usize| collected(long(pieces), 8 << 20, ROOM.begin(Vec::new()));
        let code = |problem: Problem| problem.code();
        let (bytes, first) = read(2).await.unwrap();
        assert_eq!((bytes.len(), ROOM.free()), (Room::FREE + 2 * Room::PIECE, 1));
        assert_eq!(read(3).await.map(drop).map_err(code), Err(Code::Overloaded));
        assert_eq!(ROOM.free(), 1, "what was refused takes none");
        drop(first);
        assert!(read(3).await.is_ok());
        assert_eq!(read(32).await.map(drop).map_err(code), Err(Code::TooLarge));
    }

    #[test]
    fn the_longest_body_fits_into_the_share_of_a_source() {
        let of = [Party::tenant(TenantId::from_bytes([1; 16])), Party::source(WebhookSourceId::from_bytes([1; 16]))];
        assert!(ROOM.begin(of.into()).grow_to(16 << 20));
    }

    /// A body as long as any may be by default asked for no room, so that strangers had half a gigabyte for one address.
    #[tokio::test]
    async fn a_body_as_long_as_most_may_be_asks_for_room() {
        static ROOM: Room = Room::of(3);
        let long = collected(Body::from(vec![7; 1_000_000]), 1_000_000, ROOM.begin(Vec::new())).await;
        assert_eq!(long.map(drop).map_err(|problem| problem.code()), Err(Code::Overloaded));
    }
}
