//! Framing: `LV(x)` is a 32-bit big-endian length, then the bytes. It makes a list of parts unambiguous under a hash.

/// Appends `LV(part)` to `out`. A part of 4 GiB or more cannot occur here: every caller bounds its input far below.
pub fn lv(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&length(part));
    out.extend_from_slice(part);
}

/// A label, then each part framed.
pub(crate) fn labelled(label: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(label.len() + parts.iter().map(|part| part.len() + 4).sum::<usize>());
    out.extend_from_slice(label);
    for part in parts {
        lv(&mut out, part);
    }
    out
}

/// The length that goes before `part`.
#[expect(
    clippy::expect_used,
    reason = "INVARIANT: no caller passes 4 GiB; a wrapped length would break the framing, so stop instead"
)]
pub(crate) fn length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).expect("a framed part is below 4 GiB").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_between_parts_changes_the_frame() {
        assert_ne!(labelled(b"l", &[b"ab", b"c"]), labelled(b"l", &[b"a", b"bc"]));
        assert_ne!(labelled(b"l", &[b"a", b""]), labelled(b"l", &[b"a"]));
        assert_eq!(labelled(b"l", &[b"ab"]), b"l\0\0\0\x02ab");
    }
}
