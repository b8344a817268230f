//! Numbers that people write with blanks, points and strokes.

use unicode_normalization::UnicodeNormalization;

/// The digits zero of the scripts whose digits follow each other.
const ZEROS: &[char] = &[
    '0', '\u{660}', '\u{6f0}', '\u{7c0}', '\u{966}', '\u{9e6}', '\u{a66}', '\u{ae6}', '\u{b66}', '\u{be6}', '\u{c66}',
    '\u{ce6}', '\u{d66}', '\u{e50}', '\u{ed0}', '\u{f20}', '\u{1040}', '\u{17e0}', '\u{1810}',
];

/// The decimal digits alone.
pub(super) fn normalise(value: &str) -> String {
    value.nfkc().filter_map(digit).collect()
}

/// 0 to 9 for a digit of any script.
pub(super) fn digit(c: char) -> Option<char> {
    let value = ZEROS.iter().find_map(|zero| u32::from(c).checked_sub(u32::from(*zero)).filter(|value| *value < 10))?;
    char::from_digit(value, 10)
}
