//! Where one request ends and the next begins, read as strictly as anybody could.
//!
//! Two programs that read the same bytes in two ways let a stranger put a request into somebody else's connection. So whatever has
//! two readings is refused before hyper sees it, which quietly drops a `Content-Length` beside `Transfer-Encoding`, joins equal
//! lengths, and takes a bare line feed for a line's end.
//!
//! Every byte of every head passes here, so ends of lines are searched for many bytes at a time, and letters are looked up.

use memchr::{memchr, memchr_iter, memchr2_iter};

/// How many header lines a head may have.
const MAX_LINES: usize = 100;
/// The longest line of a chunk's size, with its extensions.
const MAX_SIZE_LINE: usize = 256;
/// The longest trailer section.
const MAX_TRAILERS: usize = 8 * 1024;
/// How much may come before an upgrade is decided.
const MAX_EARLY: usize = 64 * 1024;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What was wrong with the bytes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A line that does not end in CR LF, or a control character.
    Line,
    /// The request line.
    RequestLine,
    /// A header that is none, or one that goes on in the next line.
    Header,
    /// Its length is said twice, in two ways, or not as a number.
    Length,
    /// A transfer coding other than one `chunked`.
    Coding,
    /// A head that is too long, or has too many lines.
    Large,
    /// A chunk or a trailer.
    Chunk,
}

impl Malformed {
    /// What to tell the client.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Line => "every line ends in CR LF and holds no control character",
            Self::RequestLine => "the request line is not valid",
            Self::Header => "a header is not valid",
            Self::Length => "the length of the body is said twice or is not a number",
            Self::Coding => "the only transfer coding is chunked, said once",
            Self::Large => "the head is too large",
            Self::Chunk => "a chunk of the body is not valid",
        }
    }
}

/// Where the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a connection.
    Start,
    /// In a head, of which so many bytes hold no end.
    Head(usize),
    /// In a body, of which so much is left.
    Body(u64),
    /// Before a chunk's size.
    Size,
    /// In a chunk, of which so much is left.
    Chunk(u64),
    /// Behind a chunk's bytes.
    ChunkEnd,
    /// In the trailers.
    Trailers,
    /// Behind a head that asks for another protocol.
    Undecided,
    /// Another protocol.
    Raw,
}

/// The reader of one connection.
#[derive(Debug)]
pub(super) struct Scan {
    state: State,
    head_bytes: usize,
    /// How many heads were let through.
    pub(super) heads: u64,
}

/// How a look at bytes ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// So many bytes may go on; the rest must be shown again with what follows.
    Release(usize),
    /// So many bytes may go on; then comes a head that may not.
    RefuseHead(usize, Malformed),
    /// So many bytes may go on; then comes a piece of a body that may not.
    BreakBody(usize),
}

impl Scan {
    pub(super) const fn new(head_bytes: usize) -> Self {
        Self { state: State::Start, head_bytes, heads: 0 }
    }

    pub(super) fn in_head(&self) -> bool {
        matches!(self.state, State::Start | State::Head(_))
    }

    pub(super) fn in_body(&self) -> bool {
        !self.in_head() && !self.is_raw() && !self.is_undecided()
    }

    pub(super) fn is_raw(&self) -> bool {
        self.state == State::Raw
    }

    pub(super) fn is_undecided(&self) -> bool {
        self.state == State::Undecided
    }

    /// The answer to a request for another protocol was given.
    pub(super) fn decide(&mut self, upgraded: bool) {
        if self.is_undecided() {
            self.state = if upgraded { State::Raw } else { State::Head(0) };
        }
    }

    pub(super) fn look(&mut self, bytes: &[u8]) -> Seen {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return Seen::Release(at);
            }
            let step = match self.state {
                State::Start | State::Head(_) => self.head(rest),
                State::Body(left) => {
                    let (taken, left) = taken(rest, left);
                    self.state = if left == 0 { State::Head(0) } else { State::Body(left) };
                    Step::Taken(taken)
                }
                State::Chunk(left) => {
                    let (taken, left) = taken(rest, left);
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    Step::Taken(taken)
                }
                State::Size => self.size(rest),
                State::ChunkEnd => self.chunk_end(rest),
                State::Trailers => self.trailers(rest),
                State::Undecided if rest.len() > MAX_EARLY => Step::Broken,
                State::Undecided => Step::More,
                State::Raw => Step::Taken(rest.len()),
            };
            match step {
                Step::Taken(taken) => at += taken,
                Step::More => return Seen::Release(at),
                Step::Refused(why) => return Seen::RefuseHead(at, why),
                Step::Broken => return Seen::BreakBody(at),
            }
        }
    }

    fn head(&mut self, rest: &[u8]) -> Step {
        if self.state == State::Start {
            if rest.starts_with(PREFACE) {
                self.state = State::Raw;
                return Step::Taken(rest.len());
            }
            if PREFACE.starts_with(rest) {
                return Step::More;
            }
            self.state = State::Head(0);
        }
        // RFC 9112 §2.2: an empty line before the request line is passed over.
        if rest.starts_with(b"\r\n") {
            return Step::Taken(2);
        }
        let State::Head(searched) = self.state else { return Step::More };
        let from = searched.saturating_sub(3);
        let end = empty_line(rest.get(from..).unwrap_or_default());
        let Some(end) = end.map(|end| from + end) else {
            if rest.len() > self.head_bytes {
                return Step::Refused(Malformed::Large);
            }
            // What is wrong already need not be waited for: a bare line feed never leads to an end.
            if has_bare_line_end(rest, searched) {
                return Step::Refused(Malformed::Line);
            }
            self.state = State::Head(rest.len());
            return Step::More;
        };
        if end > self.head_bytes {
            return Step::Refused(Malformed::Large);
        }
        match framing(rest.get(..end).unwrap_or_default()) {
            Ok(next) => {
                self.heads += 1;
                self.state = next;
                Step::Taken(end + 4)
            }
            Err(why) => Step::Refused(why),
        }
    }

    fn size(&mut self, rest: &[u8]) -> Step {
        let Some(end) = rest.iter().take(MAX_SIZE_LINE).position(|byte| *byte == b'\n') else {
            return if rest.len() >= MAX_SIZE_LINE { Step::Broken } else { Step::More };
        };
        let Some(line) = rest.get(..end).and_then(|line| line.strip_suffix(b"\r")) else { return Step::Broken };
        let Some(size) = chunk_size(line) else { return Step::Broken };
        self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
        Step::Taken(end + 1)
    }

    fn chunk_end(&mut self, rest: &[u8]) -> Step {
        match rest {
            [b'\r', b'\n', ..] => {
                self.state = State::Size;
                Step::Taken(2)
            }
            [b'\r'] => Step::More,
            _ => Step::Broken,
        }
    }

    fn trailers(&mut self, rest: &[u8]) -> Step {
        let end = if rest.starts_with(b"\r\n") { Some(0) } else { empty_line(rest).map(|end| end + 2) };
        let Some(end) = end else {
            return if rest.len() > MAX_TRAILERS || has_bare_line_end(rest, 0) { Step::Broken } else { Step::More };
        };
        let lines = rest.get(..end).unwrap_or_default();
        let lines = lines.strip_suffix(b"\r\n").unwrap_or(lines);
        if end > MAX_TRAILERS || (!lines.is_empty() && !split_lines(lines).all(is_trailer)) {
            return Step::Broken;
        }
        self.state = State::Head(0);
        Step::Taken(end + 2)
    }
}

enum Step {
    Taken(usize),
    More,
    Refused(Malformed),
    Broken,
}

fn taken(rest: &[u8], left: u64) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
    (taken, left - taken as u64)
}

/// Where an empty line ends what is before it.
fn empty_line(bytes: &[u8]) -> Option<usize> {
    let mut feeds = memchr_iter(b'\n', bytes);
    feeds.find_map(|feed| bytes.get(..=feed)?.strip_suffix(b"\r\n\r\n").map(<[u8]>::len))
}

/// A line feed without a carriage return before it, or the other way round, behind what was searched.
fn has_bare_line_end(bytes: &[u8], searched: usize) -> bool {
    let fresh = bytes.get(searched.saturating_sub(1)..).unwrap_or_default();
    let bare = |at: usize| match fresh.get(at..) {
        // What comes behind the last byte is not known yet.
        Some([b'\r', after, ..]) => *after != b'\n',
        Some([b'\n', ..]) => at.checked_sub(1).is_some_and(|before| fresh.get(before) != Some(&b'\r')),
        _ => false,
    };
    memchr2_iter(b'\r', b'\n', fresh).any(bare) || bytes.first() == Some(&b'\n')
}

fn split_lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut from, ends) = (0, memchr_iter(b'\n', head).chain(std::iter::once(head.len())));
    ends.map(move |end| {
        let line = head.get(from..end).unwrap_or_default();
        from = end + 1;
        line.strip_suffix(b"\r").unwrap_or(line)
    })
}

/// What follows a head: it is without its last empty line.
fn framing(head: &[u8]) -> Result<State, Malformed> {
    if has_bare_line_end(head, 0) {
        return Err(Malformed::Line);
    }
    let mut lines = split_lines(head);
    let is_1_1 = request_line(lines.next().unwrap_or_default())?;
    let (mut length, mut chunked, mut upgrade, mut host) = (None, false, false, false);
    for (number, line) in lines.enumerate() {
        if number >= MAX_LINES {
            return Err(Malformed::Large);
        }
        let (name, value) = header(line).ok_or(Malformed::Header)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = !value.is_empty() && value.len() < 20 && value.iter().all(u8::is_ascii_digit);
            let number = digits.then(|| std::str::from_utf8(value).ok()?.parse::<u64>().ok()).flatten();
            if length.replace(number.ok_or(Malformed::Length)?).is_some() {
                return Err(Malformed::Length);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !is_1_1 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed::Coding);
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"host") && std::mem::replace(&mut host, true) {
            // Whoever sends two of them is not listened to any further.
            return Err(Malformed::Header);
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            upgrade = is_1_1;
        }
    }
    match (length, chunked) {
        (Some(_), true) => Err(Malformed::Length),
        (Some(length), false) if length > 0 => Ok(State::Body(length)),
        (None, true) => Ok(State::Size),
        _ if upgrade => Ok(State::Undecided),
        _ => Ok(State::Head(0)),
    }
}

/// Whether it is HTTP/1.1; the only other one is 1.0.
fn request_line(line: &[u8]) -> Result<bool, Malformed> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, words.next()) else {
        return Err(Malformed::RequestLine);
    };
    // The last four are what hyper would refuse by itself, or cut off.
    let printable =
        !target.is_empty() && all(target, |byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'`' | b'#'));
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) || method == b"CONNECT" || !printable {
        return Err(Malformed::RequestLine);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(Malformed::RequestLine),
    }
}

fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    let clean = all(value, |byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    (!name.is_empty() && name.iter().all(|byte| is_token(*byte)) && clean).then(|| (name, value.trim_ascii()))
}

/// Trailers must not say what the head had to (RFC 9110 §6.5.1).
fn is_trailer(line: &[u8]) -> bool {
    const FRAMING: [&[u8]; 6] =
        [b"content-length", b"transfer-encoding", b"host", b"trailer", b"authorization", b"connection"];
    header(line).is_some_and(|(name, _)| !FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing)))
}

/// Whether all bytes are such. Without a way out in between, which is a few comparisons of many bytes at a time.
fn all(bytes: &[u8], is_such: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & is_such(*byte))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii() && (TOKENS >> byte) & 1 == 1
}

/// Of each letter whether a name may have it (RFC 9110 §5.6.2).
const TOKENS: u128 = {
    let mut tokens = 0_u128;
    let mut letters: &[u8] = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    while let [letter, rest @ ..] = letters {
        tokens |= 1_u128 << *letter;
        letters = rest;
    }
    tokens
};

/// The size in front of extensions, which are visible letters and mean nothing to us.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let extensions = line.get(digits..)?;
    let fine = extensions.first().is_none_or(|byte| *byte == b';')
        && extensions.iter().all(|byte| *byte == b' ' || byte.is_ascii_graphic());
    let text = std::str::from_utf8(line.get(..digits)?).ok()?;
    (fine && (1..=15).contains(&digits)).then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &[u8]) -> Seen {
        Scan::new(1024).look(text)
    }

    fn refused(text: &[u8]) -> Option<Malformed> {
        match whole(text) {
            Seen::RefuseHead(_, why) => Some(why),
            _ => None,
        }
    }

    #[test]
    fn what_has_one_reading_passes_whole() {
        for text in [
            &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
            b"\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
            b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
            PREFACE,
        ] {
            assert_eq!(whole(text), Seen::Release(text.len()), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_piece_at_a_time_is_read_the_same() {
        let text = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let (mut scan, mut held) = (Scan::new(1024), Vec::new());
        for byte in text {
            held.push(*byte);
            let Seen::Release(released) = scan.look(&held) else { panic!("refused at {held:?}") };
            held.drain(..released);
        }
        assert_eq!((held.len(), scan.heads), (0, 2));
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        let head = |lines: &str| format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n").into_bytes();
        for (lines, why) in [
            ("content-length: 3\r\ntransfer-encoding: chunked", Malformed::Length),
            ("content-length: 3\r\ncontent-length: 3", Malformed::Length),
            ("content-length: 3, 3", Malformed::Length),
            ("content-length: +3", Malformed::Length),
            ("content-length: 99999999999999999999", Malformed::Length),
            ("content-length:", Malformed::Length),
            ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", Malformed::Coding),
            ("transfer-encoding: gzip, chunked", Malformed::Coding),
            ("transfer-encoding: xchunked", Malformed::Coding),
            ("transfer-encoding : chunked", Malformed::Header),
            (" folded: 1", Malformed::Header),
            ("a: 1\r\n b", Malformed::Header),
            ("a: 1\0", Malformed::Header),
            (": 1", Malformed::Header),
            ("Host: b", Malformed::Header),
            ("a: 1\nb: 2", Malformed::Line),
            ("a: 1\rb: 2", Malformed::Line),
        ] {
            assert_eq!(refused(&head(lines)), Some(why), "{lines:?}");
        }
        for line in [
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.2",
            "GET /a b HTTP/1.1",
            "CONNECT a:1 HTTP/1.1",
            "G@T / HTTP/1.1",
        ] {
            assert_eq!(refused(format!("{line}\r\n\r\n").as_bytes()), Some(Malformed::RequestLine), "{line}");
        }
        let old = b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(refused(old), Some(Malformed::Coding));
        assert_eq!(refused(&[b"GET / HTTP/1.1\r\na: ".to_vec(), vec![b'x'; 2000]].concat()), Some(Malformed::Large));
        assert_eq!(refused(b"GET / HTTP/1.1\n"), Some(Malformed::Line), "at once, not when the time is over");
    }

    #[test]
    fn of_all_bytes_letters_digits_and_fifteen_signs_may_stand_in_a_name() {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        assert!((0..=u8::MAX).all(|byte| is_token(byte) == fits(&byte)));
    }

    /// Ends of lines are searched for many bytes at a time: none may be missed, wherever in them it is.
    #[test]
    fn a_bare_end_of_a_line_is_found_wherever_it_is() {
        for length in 1..80 {
            for at in 0..length {
                let mut line = vec![b'x'; length];
                for bare in [b'\r', b'\n', 0, 0x7f] {
                    line[at] = bare;
                    let head = [&b"GET / HTTP/1.1\r\na: "[..], &line, b"\r\nb: 1\r\n\r\n"].concat();
                    let why = if b"\r\n".contains(&bare) { Malformed::Line } else { Malformed::Header };
                    assert_eq!(refused(&head), Some(why), "{at} of {length}");
                }
            }
        }
    }

    #[test]
    fn a_bad_chunk_ends_the_body() {
        for body in [
            "x\r\n",
            "3\nabc",
            "3\r\nabcd\r\n",
            "3;\x01\r\n",
            "-3\r\n",
            "0x3\r\n",
            "1234567890abcdef0\r\n",
            "\r\n",
            "0\r\ncontent-length: 3\r\n\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nbad\r\n\r\n",
        ] {
            let text = format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{body}");
            assert!(matches!(whole(text.as_bytes()), Seen::BreakBody(_)), "{body:?}");
        }
    }

    #[test]
    fn what_follows_an_upgrade_waits_for_its_answer() {
        let head = b"GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n";
        let mut scan = Scan::new(1024);
        assert_eq!(scan.look(&[head, &b"\x81\x00"[..]].concat()), Seen::Release(head.len()));
        assert_eq!(scan.look(b"\x81\x00"), Seen::Release(0));
        scan.decide(true);
        assert_eq!(scan.look(b"\x81\x00\n"), Seen::Release(3));
    }
}
