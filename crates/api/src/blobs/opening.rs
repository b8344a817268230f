//! A blob on its way out: whole or a part of it, and of that only what was asked for.

use axum::response::{IntoResponse as _, Response};
use chancery_crypto::{
    BLOB_CHUNK, BLOB_HEADER, BLOB_SEALED_CHUNK, BlobLayout, BlobOpener, BlobReader, ChunkError, Secret,
};
use chancery_domain::Faults;
use chancery_middleware::{Code, Problem};
use http::{HeaderMap, HeaderValue, header};

/// Which bytes were asked for: from `first`, and to `end` without it if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    first: u64,
    end: Option<u64>,
}

impl Window {
    /// One range with a beginning. Others are refused rather than ignored: whoever asks for a part does not expect all.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut ranges = headers.get_all(header::RANGE).iter();
        let Some(range) = ranges.next() else { return Ok(None) };
        let parsed = range.to_str().ok().and_then(Self::parse).filter(|_| ranges.next().is_none());
        let odd = || Problem::invalid(Faults::one("/range", "format", "use `bytes=first-last` or `bytes=first-`"));
        parsed.map(Some).ok_or_else(odd)
    }

    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
        let first = number(first)?;
        let end = match last {
            "" => None,
            last => Some(number(last)?.checked_add(1).filter(|end| *end > first)?),
        };
        Some(Self { first, end })
    }

    /// The chunk in which it begins.
    fn chunk(self) -> u64 {
        self.first / BLOB_CHUNK as u64
    }

    /// With the range that the answer has, as far as it is known.
    pub(super) fn on(self, mut response: Response, extent: Option<Extent>) -> Response {
        let Some(Extent { end, whole }) = extent else { return response };
        let end = self.end.map_or(end, |asked| asked.min(end));
        let of = whole.map_or_else(|| "*".to_owned(), |whole| whole.to_string());
        if end > self.first
            && let Ok(value) = HeaderValue::from_str(&format!("bytes {}-{}/{of}", self.first, end - 1))
        {
            response.headers_mut().insert(header::CONTENT_RANGE, value);
            response.headers_mut().insert(header::CONTENT_LENGTH, (end - self.first).into());
        }
        response
    }
}

/// How far a stream reaches: where in the whole its last byte ends, and how long the whole is if the stream has its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    end: u64,
    whole: Option<u64>,
}

impl Extent {
    /// How long the whole is, if that is known.
    pub(super) const fn whole(self) -> Option<u64> {
        self.whole
    }

    /// Of a whole of so many sealed bytes; none if no blob has this length.
    pub(super) fn of_whole(sealed: u64) -> Option<Self> {
        let length = BlobLayout::of_sealed(sealed)?.plaintext();
        Some(Self { end: length, whole: Some(length) })
    }

    /// Of a header and the chunks that a range touches, so many sealed bytes; none if they are cut or fewer than it touches.
    pub(super) fn of_part(sealed: u64, asked: Window) -> Option<Self> {
        let chunks = sealed.checked_sub(BLOB_HEADER as u64)?;
        let full = asked.chunk().checked_add(chunks / BLOB_SEALED_CHUNK as u64)?;
        let end = full.checked_mul(BLOB_CHUNK as u64)?;
        match chunks % BLOB_SEALED_CHUNK as u64 {
            0 => asked.end.filter(|asked| *asked <= end).map(|_| Self { end, whole: None }),
            // Only the last chunk of a blob is not full.
            rest => {
                let length = end.checked_add(rest.checked_sub((BLOB_SEALED_CHUNK - BLOB_CHUNK) as u64)?)?;
                Some(Self { end: length, whole: Some(length) })
            }
        }
    }
}

/// The refusal of a range that begins behind the end of a blob of this length (RFC 9110 §15.5.17).
pub(super) fn behind_the_end(length: u64) -> Response {
    let mut response = Problem::new(Code::RangeUnsatisfiable).into_response();
    if let Ok(value) = HeaderValue::from_str(&format!("bytes */{length}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// Opens a blob and keeps what was asked for. Every chunk that came in is verified, asked for or not.
pub(super) struct Opening {
    chunks: Chunks,
    window: Option<Window>,
    /// Where in the whole the next opened byte is.
    at: u64,
    /// How long the whole is, once its last chunk was opened.
    whole: Option<u64>,
    opened: Secret<Vec<u8>>,
}

enum Chunks {
    Whole(BlobReader),
    /// From some chunk on, which may not be the first.
    Part {
        opener: BlobOpener,
        next: u64,
        buffer: Vec<u8>,
    },
    /// Nothing more.
    Ended,
}

impl Opening {
    pub(super) fn new(opener: BlobOpener, window: Option<Window>, partial: bool) -> Self {
        let opened = Secret::new(Vec::new());
        match window {
            Some(asked) if partial => {
                let next = asked.chunk();
                let chunks = Chunks::Part { opener, next, buffer: Vec::with_capacity(BLOB_SEALED_CHUNK) };
                Self { chunks, window, at: next * BLOB_CHUNK as u64, whole: None, opened }
            }
            _ => Self { chunks: Chunks::Whole(opener.into_reader()), window, at: 0, whole: None, opened },
        }
    }

    /// How far what was opened reaches.
    pub(super) fn extent(&self) -> Extent {
        Extent { end: self.at, whole: self.whole }
    }

    /// The verified length of the whole, if the range begins behind it.
    pub(super) fn is_behind(&self) -> Option<u64> {
        self.whole.filter(|whole| self.window.is_some_and(|asked| asked.first >= *whole))
    }

    /// Takes sealed bytes and appends what they open to.
    pub(super) fn push(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<(), ChunkError> {
        match &mut self.chunks {
            Chunks::Whole(reader) => reader.push(sealed, &mut self.opened)?,
            Chunks::Part { opener, next, buffer } => {
                let mut sealed = sealed;
                while !sealed.is_empty() {
                    let (now, later) = sealed.split_at(sealed.len().min(BLOB_SEALED_CHUNK - buffer.len()));
                    buffer.extend_from_slice(now);
                    sealed = later;
                    if buffer.len() == BLOB_SEALED_CHUNK {
                        let chunk = opener.open_chunk(*next, false, buffer)?;
                        self.opened.expose_mut().extend_from_slice(chunk.expose());
                        *next += 1;
                        buffer.clear();
                    }
                }
            }
            Chunks::Ended => return Err(ChunkError::WrongLength),
        }
        self.give(out);
        Ok(())
    }

    /// Opens the end; of a part, the last chunk if it is among what came. Nothing opens afterwards.
    ///
    /// A part that ends before all that was asked for came was cut short, and is refused like a whole that was.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ChunkError> {
        match std::mem::replace(&mut self.chunks, Chunks::Ended) {
            Chunks::Whole(reader) => reader.finish(&mut self.opened)?,
            Chunks::Part { opener, next, buffer } if !buffer.is_empty() => {
                let chunk = opener.open_chunk(next, true, &buffer)?;
                self.opened.expose_mut().extend_from_slice(chunk.expose());
            }
            // The last chunk of a blob is never full, so this part does not have it: its range must end before.
            Chunks::Part { .. } => {
                let asked = self.window.and_then(|asked| asked.end);
                return if asked.is_some_and(|end| end <= self.at) { Ok(()) } else { Err(ChunkError::WrongLength) };
            }
            Chunks::Ended => return Err(ChunkError::WrongLength),
        }
        self.give(out);
        self.whole = Some(self.at);
        Ok(())
    }

    /// Hands on the part of what was opened that was asked for, and wipes all of it.
    fn give(&mut self, out: &mut Vec<u8>) {
        let opened = self.opened.expose_mut();
        let length = opened.len() as u64;
        let (first, end) = self.window.map_or((0, u64::MAX), |asked| (asked.first, asked.end.unwrap_or(u64::MAX)));
        let within = |place: u64| usize::try_from(place.saturating_sub(self.at).min(length)).unwrap_or(usize::MAX);
        if let Some(asked) = opened.get(within(first)..within(end)) {
            out.extend_from_slice(asked);
        }
        self.at += length;
        opened.fill(0);
        opened.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_with_a_beginning_is_read_and_no_other() {
        let window = |first, end| Some(Window { first, end });
        for (text, wanted) in [
            ("bytes=0-0", window(0, Some(1))),
            ("bytes=5-", window(5, None)),
            ("bytes=16384-16400", window(16_384, Some(16_401))),
            ("bytes=-5", None),
            ("bytes=5-4", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes=1-18446744073709551615", None),
            ("chunks=1-2", None),
            ("bytes=", None),
        ] {
            assert_eq!(Window::parse(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_part_reaches_as_far_as_its_chunks_and_a_cut_one_nowhere() {
        let (header, chunk) = (BLOB_HEADER as u64, BLOB_SEALED_CHUNK as u64);
        let asked = |first, end| Window { first, end };
        let extent = |end, whole| Some(Extent { end, whole });
        for (sealed, window, wanted) in [
            (header + chunk, asked(20_000, Some(20_010)), extent(32_768, None)),
            (header + chunk + 16, asked(20_000, Some(40_000)), extent(32_768, Some(32_768))),
            (header + 116, asked(20_000, None), extent(16_484, Some(16_484))),
            // Of two chunks asked for one came; the end asked for did not come; half a tag; nothing; not even a header.
            (header + chunk, asked(20_000, Some(32_769)), None),
            (header + chunk, asked(20_000, None), None),
            (header + chunk + 15, asked(20_000, Some(20_010)), None),
            (header, asked(0, Some(1)), None),
            (header - 1, asked(0, Some(1)), None),
            (u64::MAX, asked(u64::MAX - 1, None), None),
        ] {
            assert_eq!(Extent::of_part(sealed, window), wanted, "{sealed} {window:?}");
        }
    }
}
