//! The little of CBOR (RFC 8949) that App Attest is written in: maps, lists, texts and byte strings whose length is told.

/// A byte string.
pub(in super::super) const BYTES: u8 = 0x40;
/// A text.
pub(in super::super) const TEXT: u8 = 0x60;
/// A list.
pub(in super::super) const LIST: u8 = 0x80;
/// A map.
pub(in super::super) const MAP: u8 = 0xA0;

/// How many bytes, items or pairs follow, if what comes next is of this kind: at most 65,535.
pub(in super::super) fn count(rest: &mut &[u8], kind: u8) -> Option<usize> {
    let (first, behind) = rest.split_first()?;
    let (count, behind) = match first.checked_sub(kind)? {
        short @ 0..=23 => (u16::from(short), behind),
        24 => behind.split_first().map(|(count, behind)| (u16::from(*count), behind))?,
        25 => behind.split_first_chunk().map(|(count, behind)| (u16::from_be_bytes(*count), behind))?,
        _ => return None,
    };
    *rest = behind;
    Some(count.into())
}

/// What a text or a byte string holds, if one comes next.
pub(in super::super) fn string<'a>(rest: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let length = count(rest, kind)?;
    let (content, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(content)
}

/// What stands before so many bytes, items or pairs.
pub(in super::super) fn head(kind: u8, count: usize) -> Vec<u8> {
    match u16::try_from(count).unwrap_or(u16::MAX) {
        short @ 0..=23 => vec![kind | short.to_be_bytes()[1]],
        count @ 24..=255 => vec![kind | 24, count.to_be_bytes()[1]],
        count => [&[kind | 25][..], &count.to_be_bytes()].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_back_as_they_are_written() {
        for length in [0, 1, 23, 24, 255, 256, 65_535] {
            let bytes = [head(BYTES, length), vec![7; length], vec![1]].concat();
            let mut rest = &bytes[..];
            assert_eq!(string(&mut rest, BYTES).map(<[u8]>::len), Some(length));
            assert_eq!(rest, [1]);
            assert_eq!(string(&mut &bytes[..], TEXT), None, "another kind");
            assert_eq!(string(&mut &bytes[..bytes.len() - 2], BYTES), None, "cut off");
        }
        // Longer ones, and those whose length is not told.
        for head in [[0x5A, 0, 0, 0, 1], [0x5B, 0, 0, 0, 0], [0x5F, 0x41, 1, 0xFF, 0]] {
            assert_eq!(string(&mut &head[..], BYTES), None);
        }
    }
}
