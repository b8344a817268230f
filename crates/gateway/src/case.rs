//! Small letters and capitals, for applications that make no difference between them.

use std::borrow::Cow;

/// A text as one that differs in the case of its letters alone would be.
pub(crate) fn folded(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        // Some letters have one capital and several small ones (`s`, `ſ`), and others the reverse (`k`, the sign of Kelvin).
        return text.to_uppercase().to_lowercase().into();
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() }
}

/// Whether two texts differ in the case of their letters at most.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other) || (!(one.is_ascii() && other.is_ascii()) && folded(one) == folded(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_other_letters_are_the_same() {
        for (one, other) in [("size", "SIZE"), ("été", "ÉTÉ"), ("keys", "\u{212a}eys"), ("sec", "\u{17f}ec"), ("", "")]
        {
            assert!(is_same(one, other) && folded(one) == folded(other), "{one} {other}");
        }
        for (one, other) in [("size", "sizes"), ("é", "e"), ("a_b", "a-b")] {
            assert!(!is_same(one, other) && folded(one) != folded(other), "{one} {other}");
        }
    }
}
