//! A stream that lets through only what [`Scan`] lets through, in time.

use std::{
    io,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{
    Bounds, Stream,
    scan::{Malformed, Scan, Seen},
    work::Work,
};

/// What hyper is shown in place of a head that is refused: no route has this path, and nothing follows it.
const STAND_IN: &[u8] = b"REFUSED * HTTP/1.1\r\nhost: refused.invalid\r\nconnection: close\r\n\r\n";
/// How much is read and thrown away so that the client sees its answer and not a reset.
const LINGER_BYTES: usize = 256 * 1024;
const LINGER: Duration = Duration::from_secs(1);
/// Every so many bytes of a body give its client another second.
pub(super) const BYTES_A_SECOND: u64 = 500;

const OPEN: u8 = 0;
const UPGRADED: u8 = 1;
const DECLINED: u8 = 2;

/// What the reader and the server of a connection tell each other.
#[derive(Default)]
pub(super) struct Shared {
    refused: Mutex<Option<(u64, Malformed)>>,
    served: AtomicU64,
    upgrade: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Shared {
    /// A further request reached the server: what is wrong with its head, if it is a stand-in.
    pub(super) fn next(&self) -> Option<Malformed> {
        let number = self.served.fetch_add(1, Ordering::AcqRel) + 1;
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.filter(|(at, _)| *at == number).map(|(_, why)| why)
    }

    /// A request that asked for another protocol was answered.
    pub(super) fn decide(&self, upgraded: bool) {
        self.upgrade.store(if upgraded { UPGRADED } else { DECLINED }, Ordering::Release);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }
}

/// The stream.
pub(super) struct Wire {
    inner: Box<dyn Stream>,
    shared: Arc<Shared>,
    work: Arc<Work>,
    scan: Scan,
    /// Seen and let through, not yet taken.
    ready: BytesMut,
    /// To be looked at again with what follows.
    held: BytesMut,
    ended: Option<End>,
    head: Duration,
    body: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    /// For how long a body was waited for, and how much of it came.
    waited: Duration,
    waiting: Option<Instant>,
    came: u64,
    lingered: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// After a stand-in nothing more comes, not even an end: hyper would take that for a client that went, and drop the answer.
    Refused,
    /// A body went wrong.
    Broken,
}

impl Wire {
    pub(super) fn new(inner: Box<dyn Stream>, bounds: Bounds, shared: Arc<Shared>, work: Arc<Work>) -> Self {
        Self {
            inner,
            shared,
            work,
            scan: Scan::new(bounds.head_bytes),
            ready: BytesMut::new(),
            held: BytesMut::new(),
            ended: None,
            head: bounds.head,
            body: bounds.body,
            deadline: None,
            waited: Duration::ZERO,
            waiting: None,
            came: 0,
            lingered: 0,
        }
    }

    /// Looks at what is held, and moves what may go on.
    fn look(&mut self) {
        let (released, end) = match self.scan.look(&self.held) {
            Seen::Release(released) => (released, None),
            Seen::RefuseHead(released, why) => {
                let refused = Some((self.scan.heads + 1, why));
                *self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
                (released, Some(End::Refused))
            }
            Seen::BreakBody(released) => (released, Some(End::Broken)),
        };
        let released = self.held.split_to(released);
        if self.ready.is_empty() {
            self.ready = released
        } else {
            self.ready.extend_from_slice(&released)
        }
        if end == Some(End::Refused) {
            self.ready.extend_from_slice(STAND_IN);
        }
        self.ended = self.ended.or(end);
    }

    fn decided(&mut self, cx: &Context<'_>) {
        if self.scan.is_undecided() {
            *self.shared.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            match self.shared.upgrade.swap(OPEN, Ordering::AcqRel) {
                OPEN => return,
                answer => self.scan.decide(answer == UPGRADED),
            }
            if !self.held.is_empty() {
                self.look();
            }
        }
    }

    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let count = self.ready.len().min(buf.remaining());
        let Some(front) = self.ready.get(..count) else { return false };
        buf.put_slice(front);
        self.ready.advance(count);
        if self.ready.is_empty() {
            // An idle connection keeps no memory for it.
            self.ready = BytesMut::new();
        }
        count > 0
    }

    /// Nothing came: how long more may it take?
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let left = if self.scan.in_body() {
            let waiting = *self.waiting.get_or_insert_with(Instant::now);
            let allowed = self.body + Duration::from_secs(self.came / BYTES_A_SECOND);
            allowed.saturating_sub(self.waited + waiting.elapsed())
        } else if self.scan.in_head() && !self.held.is_empty() && !self.work.is_running() {
            let waiting = *self.waiting.get_or_insert_with(Instant::now);
            self.head.saturating_sub(waiting.elapsed())
        } else {
            // The next head's time begins when the request before it is answered.
            (self.waiting, self.deadline) = (None, None);
            return Poll::Pending;
        };
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(left)));
        ready!(deadline.as_mut().poll(cx));
        if left > Duration::ZERO {
            self.deadline = None;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Bytes came, after so many heads.
    fn came(&mut self, count: usize, was_in_body: bool, heads: u64) {
        let (in_body, is_another) = (self.scan.in_body(), self.scan.heads != heads);
        if was_in_body && in_body && !is_another {
            self.came = self.came.saturating_add(count as u64);
            // At most so much of one wait counts: nobody may have looked whether something came.
            let waited = self.waiting.take().map_or(Duration::ZERO, |since| since.elapsed());
            self.waited += waited.min(self.body / 6);
            self.deadline = None;
        } else if is_another || was_in_body != in_body || self.held.is_empty() {
            (self.came, self.waited, self.waiting, self.deadline) = (0, Duration::ZERO, None, None);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.decided(cx);
        if this.hand_out(buf) {
            return Poll::Ready(Ok(()));
        }
        match this.ended {
            Some(End::Refused) => return Poll::Pending,
            Some(End::Broken) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            None => {}
        }
        loop {
            let (before, was_in_body, heads) = (buf.filled().len(), this.scan.in_body(), this.scan.heads);
            match Pin::new(&mut this.inner).poll_read(cx, buf) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return this.wait(cx),
            }
            let fresh = buf.filled().get(before..).unwrap_or_default();
            let count = fresh.len();
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            // The common case: nothing is held, and all of it may go on where it lies.
            if this.held.is_empty() && !this.scan.is_undecided() {
                match this.scan.look(fresh) {
                    Seen::Release(released) => {
                        this.held.extend_from_slice(fresh.get(released..).unwrap_or_default());
                        buf.set_filled(before + released);
                        this.came(count, was_in_body, heads);
                        if released > 0 {
                            return Poll::Ready(Ok(()));
                        }
                        continue;
                    }
                    Seen::RefuseHead(released, why) => {
                        buf.set_filled(before + released);
                        let refused = Some((this.scan.heads + 1, why));
                        *this.shared.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
                        this.ready.extend_from_slice(STAND_IN);
                        this.ended = Some(End::Refused);
                    }
                    Seen::BreakBody(released) => {
                        buf.set_filled(before + released);
                        this.ended = Some(End::Broken);
                    }
                }
                if buf.filled().len() > before || this.hand_out(buf) {
                    return Poll::Ready(Ok(()));
                }
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            this.held.extend_from_slice(fresh);
            buf.set_filled(before);
            this.decided(cx);
            this.look();
            this.came(count, was_in_body, heads);
            if this.hand_out(buf) {
                return Poll::Ready(Ok(()));
            }
            match this.ended {
                Some(End::Refused) => return Poll::Pending,
                Some(End::Broken) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                None => {}
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// What was refused is read to its end, for a while: bytes that nobody reads turn the answer into a reset.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
        if this.ended.is_none() {
            return Poll::Ready(Ok(()));
        }
        if this.lingered == 0 {
            this.deadline = Some(Box::pin(sleep(LINGER)));
            this.lingered = 1;
        }
        let mut scratch = [0; 4096];
        while this.lingered < LINGER_BYTES {
            let mut buf = ReadBuf::new(&mut scratch);
            match pin!(&mut this.inner).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => this.lingered += buf.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending => match &mut this.deadline {
                    Some(deadline) => {
                        ready!(deadline.as_mut().poll(cx));
                        break;
                    }
                    None => break,
                },
            }
        }
        Poll::Ready(Ok(()))
    }
}
