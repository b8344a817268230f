//! One message as it came, and why one is not taken.

/// The longest body that is verified.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// The longest header that a verifier reads.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// What came, before anything in it is read.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The headers in order, their names in lower case.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// What stands in the path behind the source's id, if anything does.
    pub path_token: Option<&'a str>,
    /// The body, to the byte.
    pub body: &'a [u8],
}

codes! {
    /// Why a message is not taken. For the log alone: who sends is told one thing for all of them.
    pub enum Rejection {
        /// It does not say what it must: a header is missing, or there twice.
        Unsigned = "unsigned",
        /// What it says has another form.
        Malformed = "malformed",
        /// Its moment is not within five minutes.
        OutsideWindow = "outside_window",
        /// No secret of the source makes its signature.
        WrongSignature = "wrong_signature",
        /// It is a copy of one that came before.
        Replayed = "replayed",
        /// It is longer than a verifier reads.
        TooLong = "too_long",
    }
}

impl<'a> Message<'a> {
    /// The header of this name, if it is there once and is printable.
    pub(super) fn one(&self, name: &str) -> Result<&'a str, Rejection> {
        self.maybe(name)?.ok_or(Rejection::Unsigned)
    }

    /// As [`one`](Self::one), or `None` if it is not there. Twice is a fault: two readers would take different ones.
    pub(super) fn maybe(&self, name: &str) -> Result<Option<&'a str>, Rejection> {
        let mut found = self.headers.iter().filter(|(other, _)| *other == name).map(|(_, value)| *value);
        let Some(value) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(Rejection::Unsigned);
        }
        let printable = |byte: &u8| (b' '..=b'~').contains(byte);
        if value.len() > MAX_HEADER_BYTES || !value.iter().all(printable) {
            return Err(Rejection::Malformed);
        }
        std::str::from_utf8(value).map(Some).map_err(|_| Rejection::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_counts_if_it_is_there_once() {
        let headers: [(&str, &[u8]); 4] = [("a", b"1"), ("b", b"2"), ("a", b"1"), ("c", b"\xff")];
        let message = Message { headers: &headers, path_token: None, body: b"" };
        assert_eq!(message.one("b"), Ok("2"));
        assert_eq!(message.one("a"), Err(Rejection::Unsigned));
        assert_eq!(message.one("d"), Err(Rejection::Unsigned));
        assert_eq!(message.one("c"), Err(Rejection::Malformed));
        assert_eq!(message.maybe("d"), Ok(None));
    }
}
