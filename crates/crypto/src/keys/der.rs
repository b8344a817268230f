//! As much DER as public keys and signatures need ([X.690 §10](https://www.itu.int/rec/T-REC-X.690)). Private keys are read by AWS-LC.

use crate::sign::KeyError;

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;

/// Reads one element after the other and leaves nothing unread.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The content of the next element, which has `tag`. Lengths are in their shortest form and below 64 KiB.
    pub(super) fn element(&mut self, tag: u8) -> Result<&'a [u8], KeyError> {
        let (length, rest) = match self.0 {
            [found, length, rest @ ..] if *found == tag && *length < 0x80 => (usize::from(*length), rest),
            [found, 0x81, length, rest @ ..] if *found == tag && *length >= 0x80 => (usize::from(*length), rest),
            [found, 0x82, high, low, rest @ ..] if *found == tag && *high > 0 => {
                (usize::from(u16::from_be_bytes([*high, *low])), rest)
            }
            _ => return Err(KeyError::Malformed),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(KeyError::Malformed)?;
        self.0 = rest;
        Ok(content)
    }

    /// The next element, a positive integer in its shortest form, without the zero that says that it is positive.
    pub(super) fn positive(&mut self) -> Result<&'a [u8], KeyError> {
        let number = self.element(INTEGER)?;
        match number {
            [0, rest @ ..] if rest.first().is_some_and(|top| *top >= 0x80) => Ok(rest),
            [top, ..] if (1..0x80).contains(top) => Ok(number),
            _ => Err(KeyError::Malformed),
        }
    }

    pub(super) fn finish(self) -> Result<(), KeyError> {
        if self.0.is_empty() { Ok(()) } else { Err(KeyError::Malformed) }
    }
}

/// The content of the one sequence that `bytes` are.
pub(super) fn sequence(bytes: &[u8]) -> Result<&[u8], KeyError> {
    let mut reader = Reader::new(bytes);
    let content = reader.element(SEQUENCE)?;
    reader.finish()?;
    Ok(content)
}

/// An element. The content is public and below 64 KiB; a longer one gets a length that no reader accepts.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 0x80 => out.push(short),
        (Ok(long), _) => out.extend_from_slice(&[0x81, long]),
        (_, Ok(longer)) => {
            out.push(0x82);
            out.extend_from_slice(&longer.to_be_bytes());
        }
        _ => out.push(0xFF),
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// A positive integer in its shortest form.
pub(super) fn positive(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len().saturating_sub(1));
    let rest = bytes.split_at(zeros).1;
    if rest.first().is_some_and(|top| *top >= 0x80) {
        element(INTEGER, &[&[0], rest])
    } else {
        element(INTEGER, &[rest])
    }
}

/// r ‖ s as `SEQUENCE { r, s }` ([RFC 3279 §2.2.3](https://www.rfc-editor.org/rfc/rfc3279#section-2.2.3)).
pub(crate) fn ecdsa_signature(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    element(SEQUENCE, &[&positive(r), &positive(s)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_shortest_forms_are_read() {
        let read = |bytes: &[u8]| Reader::new(bytes).positive().map(<[u8]>::to_vec);
        assert_eq!(read(&[2, 1, 5]), Ok(vec![5]));
        assert_eq!(read(&[2, 2, 0, 0x80]), Ok(vec![0x80]));
        for bad in [
            &[2, 1, 0][..],
            &[2, 2, 0, 5],
            &[2, 1, 0x80],
            &[2, 0],
            &[2, 0x81, 1, 5],
            &[2, 0x82, 0, 1, 5],
            &[3, 1, 5],
            &[2, 2, 5],
            &[],
        ] {
            assert_eq!(read(bad), Err(KeyError::Malformed), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(length in 1_usize..70_000, first in 1_u8..) {
            let mut number = vec![7; length];
            number[0] = first;
            let written = positive(&[&[0, 0][..], &number].concat());
            let mut reader = Reader::new(&written);
            let read = reader.positive();
            if length < 65_535 {
                prop_assert_eq!(read, Ok(number.as_slice()));
                prop_assert_eq!(reader.finish(), Ok(()));
            } else if length > 65_535 {
                prop_assert!(read.is_err());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (sequence(&bytes), Reader::new(&bytes).positive());
        }
    }
}
