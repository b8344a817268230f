//! A message of a stranger, as it came: every header, the query in order, the body to the byte; and what its sender is told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

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
    Code, Exchange, Problem,
    body::{lost, whole},
};

/// So much of a body is read without asking for room: whoever sends it is nobody we know, and may send many.
const FREE_BYTES: usize = 64 * 1024;
/// Room for what of all bodies at once is longer, in pieces: 64 MiB. What finds none is refused.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES: usize = 256;

static ROOM: Room = Room::new(PIECES);

/// Room for what is long of bodies. Those of one source have a quarter of it, as much as the longest that may be, and those of one tenant
/// a half: whoever sends to one keeps none from the others.
struct Room {
    pieces: usize,
    taken: Mutex<Taken>,
}

/// Pieces that are taken: in all, and by whom.
struct Taken {
    all: usize,
    of: BTreeMap<Party, usize>,
}

/// Who has a share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Party {
    Tenant(TenantId),
    Source(WebhookSourceId),
}

/// A piece of room, until it is dropped.
struct Piece {
    room: &'static Room,
    of: [Party; 2],
}

impl Room {
    const fn new(pieces: usize) -> Self {
        Self { pieces, taken: Mutex::new(Taken { all: 0, of: BTreeMap::new() }) }
    }

    /// A piece for a body of this tenant's source; none if there is none, or if one of the two has its share.
    fn piece(&'static self, (tenant, source): (TenantId, WebhookSourceId)) -> Option<Piece> {
        let of = [Party::Tenant(tenant), Party::Source(source)];
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |party, share: usize| taken.of.get(&party).is_some_and(|pieces| *pieces >= share);
        let [tenant, source] = of;
        if taken.all >= self.pieces || has(tenant, self.pieces / 2) || has(source, self.pieces / 4) {
            return None;
        }
        taken.all += 1;
        for party in of {
            *taken.of.entry(party).or_default() += 1;
        }
        Some(Piece { room: self, of })
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        for party in self.of {
            if let Some(pieces) = taken.of.get_mut(&party) {
                *pieces = pieces.saturating_sub(1);
                if *pieces == 0 {
                    taken.of.remove(&party);
                }
            }
        }
    }
}

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
    /// Room that its body takes.
    _room: Vec<Piece>,
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
    async fn read(self, max: usize, of: (TenantId, WebhookSourceId)) -> Result<Hooked, Problem> {
        let (parts, body) = self.request.into_parts();
        check_plain(&parts.headers)?;
        let (bytes, room) = whole(&parts, max, collected(body, max, &ROOM, of)).await?;
        Ok(Hooked { exchange: self.exchange, headers: parts.headers, body: bytes.into(), _room: room })
    }
}

impl Hooked {
    /// One that was read by somebody who goes on with it.
    pub fn new(exchange: Arc<Exchange>, headers: HeaderMap, body: Bytes) -> Self {
        Self { exchange, headers, body, _room: Vec::new() }
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
async fn collected(
    mut body: Body,
    max: usize,
    room: &'static Room,
    of: (TenantId, WebhookSourceId),
) -> Result<(Vec<u8>, Vec<Piece>), Problem> {
    let (mut bytes, mut taken) = (Vec::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| lost())?.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > max {
            return Err(Code::TooLarge.into());
        }
        while length > FREE_BYTES + PIECE_BYTES * taken.len() {
            taken.push(room.piece(of).ok_or_else(|| Problem::new(Code::Overloaded).retry_after(10))?);
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, taken))
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

    /// Of tenant 1, its first source.
    const OF: (TenantId, WebhookSourceId) = of(1, 1);

    const fn of(tenant: u8, source: u8) -> (TenantId, WebhookSourceId) {
        (TenantId::from_bytes([tenant; 16]), WebhookSourceId::from_bytes([source; 16]))
    }

    fn left(room: &Room) -> usize {
        room.pieces - room.taken.lock().unwrap().all
    }

    #[tokio::test]
    async fn long_bodies_take_room_as_they_come_and_give_it_back() {
        static ROOM: Room = Room::new(12);
        let read =
            |pieces: usize| collected(Body::from(vec![7; FREE_BYTES + pieces * PIECE_BYTES]), 8 << 20, &ROOM, OF);
        let code = |problem: Problem| problem.code();
        let (bytes, first) = read(2).await.unwrap();
        assert_eq!((bytes.len(), first.len(), left(&ROOM)), (FREE_BYTES + 2 * PIECE_BYTES, 2, 10));
        assert_eq!(read(2).await.map(drop).map_err(code), Err(Code::Overloaded));
        assert_eq!(left(&ROOM), 10, "what was refused takes none");
        assert!(read(0).await.unwrap().1.is_empty(), "a short one needs none");
        drop(first);
        assert!(read(3).await.is_ok());
        assert_eq!(read(32).await.map(drop).map_err(code), Err(Code::TooLarge));
        assert!(ROOM.taken.lock().unwrap().of.is_empty(), "nobody is remembered who has none");
    }

    /// Whoever had many long bodies sent to one source kept everybody's webhooks away.
    #[test]
    fn no_source_and_no_tenant_takes_the_room_of_the_others() {
        static ROOM: Room = Room::new(8);
        let taken = |of| std::iter::from_fn(|| ROOM.piece(of)).collect::<Vec<_>>();
        let (first, second) = (taken(of(1, 1)), taken(of(1, 2)));
        assert_eq!((first.len(), second.len()), (2, 2), "a quarter each");
        assert!(taken(of(1, 3)).is_empty(), "the tenant has its half");
        let others = [taken(of(2, 4)), taken(of(2, 5))];
        assert_eq!((others.iter().map(Vec::len).sum::<usize>(), left(&ROOM)), (4, 0));
        assert!(taken(of(3, 6)).is_empty());
        drop(first);
        assert_eq!(taken(of(3, 6)).len(), 2);
    }

    #[test]
    fn the_longest_body_fits_into_the_share_of_a_source() {
        const LONGEST: usize = 16 * 1024 * 1024;
        assert!(LONGEST <= FREE_BYTES + PIECES / 4 * PIECE_BYTES);
    }

    /// Attack 6, A7: a body as long as any may be by default asked for no room, so that strangers had half a gigabyte for one address.
    #[tokio::test]
    async fn a_body_as_long_as_most_may_be_asks_for_room() {
        static ROOM: Room = Room::new(12);
        let long = collected(Body::from(vec![7; 1_000_000]), 1_000_000, &ROOM, OF).await;
        assert_eq!(long.map(drop).map_err(|problem| problem.code()), Err(Code::Overloaded));
    }
}
