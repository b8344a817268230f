//! Bodies on their way: how long they may be, when they last moved, and when they end with their caller.

use std::{
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes, HttpBody};
use bytes::BytesMut;
use chancery_middleware::{Code, Party, Problem, Room, Standing, Taken};
use http::{HeaderMap, HeaderName};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::Refused;

/// What became of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is longer than the route allows.
    TooLong,
    /// The client did not send it whole.
    Broken,
}

/// How far a request's body is.
pub(crate) struct Progress {
    moved: Mutex<Instant>,
    fault: AtomicU8,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { moved: Mutex::new(Instant::now()), fault: AtomicU8::new(0) })
    }

    /// When the last piece was taken.
    pub(crate) fn moved(&self) -> Instant {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        match self.fault.load(Ordering::Acquire) {
            1 => Some(Fault::TooLong),
            2 => Some(Fault::Broken),
            _ => None,
        }
    }

    fn note(&self, fault: Fault) {
        let number = match fault {
            Fault::TooLong => 1,
            Fault::Broken => 2,
        };
        self.fault.store(number, Ordering::Release);
    }
}

/// A request's body, at most so long, and no longer than its caller's credential lasts. Of its trailers those that are named here go on:
/// some servers make headers of them, so that any other could say who calls.
pub(crate) fn measured(
    body: Body,
    most: u64,
    trailers: &[HeaderName],
    standing: Option<&Standing>,
    progress: Arc<Progress>,
) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let (trailers, standing) = (trailers.to_vec(), standing.cloned());
    Body::new(Measured { body, left: most, trailers, standing, ending: None, progress }.fuse())
}

struct Measured {
    body: Body,
    left: u64,
    trailers: Vec<HeaderName>,
    /// Until somebody looks after it.
    standing: Option<Standing>,
    ending: Option<Ending>,
    progress: Arc<Progress>,
}

impl Measured {
    /// Whether its caller's credential ended.
    fn has_ended(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(standing) = self.standing.take_if(|standing| !standing.is_fresh()) {
            self.ending = Some(Box::pin(async move { standing.ended().await }));
        }
        self.ending.as_mut().is_some_and(|ending| ending.as_mut().poll(cx).is_ready())
    }
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.has_ended(cx) {
            let ended = Refused(Code::CredentialInvalid.into());
            return Poll::Ready(Some(Err(axum::Error::new(ended))));
        }
        loop {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            *self.progress.moved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            let frame = match frame {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    self.progress.note(Fault::Broken);
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            };
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => {
                    self.progress.note(Fault::TooLong);
                    return Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::FileTooLarge)))));
                }
            }
            if let Some(frame) = allowed(frame, &self.trailers) {
                return Poll::Ready(Some(Ok(frame)));
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// A frame; of trailers those that are named, and no frame if there are none.
fn allowed(frame: Frame<Bytes>, named: &[HeaderName]) -> Option<Frame<Bytes>> {
    let trailers = match frame.into_trailers() {
        Ok(trailers) => trailers,
        Err(frame) => return Some(frame),
    };
    let mut kept = HeaderMap::new();
    for name in named {
        for value in trailers.get_all(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    (!kept.is_empty()).then(|| Frame::trailers(kept))
}

/// What makes a stream end before its time.
pub(crate) type Ending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A response's body that ends when `ending` does.
pub(crate) fn ending(body: Body, ending: impl FnOnce() -> Ending + Send + 'static) -> Body {
    Body::new(Ends { body, make: Some(Box::new(ending)), ending: None, pieces: 0 }.fuse())
}

type Make = Box<dyn FnOnce() -> Ending + Send>;

struct Ends {
    body: Body,
    make: Option<Make>,
    ending: Option<Ending>,
    pieces: u8,
}

/// Of a body that is always there so many pieces go out before anybody looks after it: most are over by then.
const UNSEEN_PIECES: u8 = 16;

fn ended() -> axum::Error {
    axum::Error::new(io::Error::from(io::ErrorKind::PermissionDenied))
}

impl HttpBody for Ends {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(ending) = &mut self.ending
            && ending.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(ended())));
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.pieces = self.pieces.saturating_add(1);
        if (frame.is_pending() || self.pieces > UNSEEN_PIECES)
            && let Some(make) = self.make.take()
        {
            let mut ending = make();
            if ending.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Err(ended())));
            }
            self.ending = Some(ending);
        }
        frame
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// How long nothing of a body that is read here may come, and how many bytes more give its client another second.
const PATIENCE: Duration = Duration::from_secs(30);
const BYTES_A_SECOND: u64 = 16 * 1024;
/// Room for all bodies that are being read at once: 256 MiB. What finds none is refused, in the place of memory.
static ROOM: Room = Room::of(1_024);

/// Reads a body of this client and puts it back with all that came of it: trailers, and where it is longer than `most`, takes too long or
/// breaks off, what was read and then the rest or the same break.
pub(crate) async fn whole(body: &mut Body, most: usize, client: Option<IpAddr>) -> Result<Bytes, Problem> {
    whole_within(body, most, PATIENCE, ROOM.begin(Party::client(client))).await
}

async fn whole_within(body: &mut Body, most: usize, patience: Duration, mut taken: Taken) -> Result<Bytes, Problem> {
    let (mut read, mut end) = (BytesMut::new(), None);
    let begun = tokio::time::Instant::now();
    let judged: Result<(), Problem> = loop {
        let allowed = patience + Duration::from_secs(read.len() as u64 / BYTES_A_SECOND);
        match tokio::time::timeout_at(begun + allowed, body.frame()).await {
            Err(_) => break Err(Code::Timeout.into()),
            Ok(None) => break Ok(()),
            Ok(Some(Err(error))) => {
                end = Some(Err(error));
                break Err(Problem::new(Code::RequestMalformed).detail("the body did not arrive"));
            }
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(piece) => read.extend_from_slice(&piece),
                Err(frame) => end = frame.into_trailers().ok().map(Ok),
            },
        }
        if read.len() > most {
            break Err(Code::TooLarge.into());
        }
        if !taken.grow_to(read.len()) {
            break Err(Code::Overloaded.into());
        }
    };
    let read = read.freeze();
    let first = (!read.is_empty()).then(|| read.clone());
    let rest = if judged.is_ok() { Body::empty() } else { std::mem::take(body) };
    // It takes its room until the application has it.
    *body = Body::new(Prefixed { first, end, rest, _room: taken });
    judged.map(|()| read)
}

/// What was read of a body, and the rest.
struct Prefixed {
    first: Option<Bytes>,
    /// How it ended, if not just so: with trailers, or too early.
    end: Option<Result<HeaderMap, axum::Error>>,
    rest: Body,
    _room: Taken,
}

impl HttpBody for Prefixed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(end) = self.end.take() {
            return Poll::Ready(Some(end.map(Frame::trailers)));
        }
        Pin::new(&mut self.rest).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(first));
        // Behind a length that is known nobody sends trailers, and what broke off would end as if it were whole.
        if let Some(upper) = rest.upper().filter(|_| self.end.is_none()) {
            hint.set_upper(upper.saturating_add(first));
        }
        hint
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.end.is_none() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[tokio::test]
    async fn of_trailers_those_that_are_named_go_on() {
        static NAMED: [HeaderName; 2] = [HeaderName::from_static("x-sum"), HeaderName::from_static("x-other")];
        let with = |name: &'static str| (HeaderName::from_static(name), HeaderValue::from_static("1"));
        let trailers: HeaderMap = [with("x-sum"), with("x-auth-subject"), with("x-tenant-id")].into_iter().collect();
        let left = |named: &'static [HeaderName]| {
            let body = Body::new(Body::from("abc").with_trailers(std::future::ready(Some(Ok(trailers.clone())))));
            let body = measured(body, 3, named, None, Progress::new());
            async move { body.collect().await.unwrap().trailers().cloned().unwrap_or_default() }
        };
        assert!(left(&[]).await.is_empty());
        let kept = left(&NAMED).await;
        assert_eq!(kept.keys().collect::<Vec<_>>(), [&NAMED[0]]);
    }

    #[tokio::test]
    async fn what_is_over_before_anybody_waits_for_it_ends_at_once() {
        let made = ending(Body::new(Slow(0, None)), || Box::pin(std::future::ready(())));
        assert!(made.collect().await.is_err());
        let lasting = ending(Body::new(Slow(0, None)), || Box::pin(std::future::pending()));
        assert_eq!(lasting.collect().await.unwrap().to_bytes(), "ab");
    }

    /// Whoever asked once more after the end asked a future that was over, which panics.
    #[tokio::test]
    async fn what_is_over_stays_over() {
        let soon = || -> Ending { Box::pin(async { tokio::time::sleep(Duration::from_millis(20)).await }) };
        let mut answer = ending(Body::new(Slow(0, None)), soon);
        let request = Measured {
            body: Body::new(Slow(0, None)),
            left: 8,
            trailers: Vec::new(),
            standing: None,
            ending: Some(soon()),
            progress: Progress::new(),
        };
        let mut request = Body::new(request.fuse());
        for body in [&mut answer, &mut request] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
            assert!(body.frame().await.unwrap().is_err(), "before the rest comes");
            assert!(body.frame().await.is_none());
        }
    }

    /// Says "ab" and then nothing for a while.
    struct Slow(u8, Option<Pin<Box<tokio::time::Sleep>>>);

    impl HttpBody for Slow {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            self.0 += 1;
            if self.0 == 1 {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"ab")))));
            }
            let pause = self.1.get_or_insert_with(|| Box::pin(tokio::time::sleep(Duration::from_millis(200))));
            ready!(pause.as_mut().poll(cx));
            Poll::Ready(None)
        }
    }

    /// Nobody looked at the clock, and each such request kept its place.
    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let mut body = Body::new(Slow(0, None));
        let refused = whole_within(&mut body, 8, Duration::from_millis(50), nobodys(&ROOM)).await;
        assert!(refused.is_err_and(|problem| problem.code() == Code::Timeout));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ab", "where it is only observed it goes on whole");
        let mut body = Body::new(Slow(0, None));
        assert_eq!(whole(&mut body, 8, None).await.unwrap(), "ab");
    }

    fn nobodys(room: &'static Room) -> Taken {
        room.begin(Vec::new())
    }

    #[tokio::test]
    async fn bodies_that_are_read_share_a_room() {
        static ROOM: Room = Room::of(2);
        let room = &ROOM;
        let mut short = Body::from(vec![7; Room::FREE]);
        let mut long = Body::from(vec![7; Room::FREE + Room::PIECE]);
        let mut longer = Body::from(vec![7; Room::FREE + 2 * Room::PIECE + 1]);
        let mut held = nobodys(room);
        assert!(held.grow_to(Room::FREE + Room::PIECE));
        assert!(whole_within(&mut short, usize::MAX, PATIENCE, nobodys(room)).await.is_ok());
        assert!(whole_within(&mut long, usize::MAX, PATIENCE, nobodys(room)).await.is_ok());
        drop(held);
        let refused = whole_within(&mut longer, usize::MAX, PATIENCE, nobodys(room)).await;
        assert!(refused.is_err_and(|problem| problem.code() == Code::Overloaded));
        assert_eq!(longer.collect().await.unwrap().to_bytes().len(), Room::FREE + 2 * Room::PIECE + 1);
        assert_eq!(room.free(), 1, "what was read takes its room until it is taken");
        drop(long);
        assert_eq!(room.free(), 2, "and it is free again");
    }

    /// While 256 bodies of one client held their last bytes back, nobody else's was read.
    #[tokio::test]
    async fn a_client_whose_bodies_fill_its_share_keeps_no_room_from_another() {
        let client = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let length = Room::FREE + 64 * Room::PIECE;
        let read = async |last: u8| {
            let mut body = Body::from(vec![7; length]);
            let read = whole(&mut body, usize::MAX, client(last)).await.map(drop);
            (read, body)
        };
        let held = [read(1).await, read(1).await];
        assert!(held.iter().all(|(read, _)| read.is_ok()));
        assert!(read(1).await.0.is_err_and(|problem| problem.code() == Code::Overloaded));
        assert!(read(2).await.0.is_ok());
    }

    #[tokio::test]
    async fn a_body_is_whole_again_after_it_was_looked_at() {
        let mut body = Body::from("12345678");
        assert_eq!(whole(&mut body, 8, None).await.unwrap(), "12345678");
        assert_eq!(body.size_hint().exact(), Some(8));
        assert!(whole(&mut body, 7, None).await.is_err_and(|problem| problem.code() == Code::TooLarge));
        assert_eq!(body.size_hint().exact(), Some(8));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "12345678");
        let mut none = Body::empty();
        assert_eq!(whole(&mut none, 8, None).await.unwrap(), "");
        assert!(none.is_end_stream(), "what has no body may be sent again");
    }

    #[tokio::test]
    async fn trailers_stay_behind_a_body_that_was_looked_at() {
        let trailers: HeaderMap =
            [(HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))].into_iter().collect();
        let mut body = Body::new(Body::from("abc").with_trailers(std::future::ready(Some(Ok(trailers.clone())))));
        for _ in 0..2 {
            assert_eq!(whole(&mut body, 3, None).await.unwrap(), "abc");
            assert_eq!(body.size_hint().exact(), None, "with a length that is said they would not be sent");
        }
        let body = body.collect().await.unwrap();
        assert_eq!(body.trailers(), Some(&trailers));
        assert_eq!(body.to_bytes(), "abc");
    }

    /// Says "ab" and then that no more of it came; and then nothing, as if it had been whole.
    struct Broken(u8);

    impl HttpBody for Broken {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            self.0 += 1;
            Poll::Ready(match self.0 {
                1 => Some(Ok(Frame::data(Bytes::from_static(b"ab")))),
                2 => Some(Err(io::ErrorKind::UnexpectedEof.into())),
                _ => None,
            })
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(if self.0 == 0 { 2 } else { 0 })
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_breaks_off_again_after_it_was_looked_at() {
        let mut body = Body::new(Broken(0));
        for _ in 0..2 {
            let refused = whole(&mut body, 8, None).await;
            assert!(refused.is_err_and(|problem| problem.code() == Code::RequestMalformed));
            assert!(body.size_hint().exact().is_none() && !body.is_end_stream());
        }
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        assert!(body.frame().await.unwrap().is_err(), "where it is only observed nobody takes it for whole");
    }
}
