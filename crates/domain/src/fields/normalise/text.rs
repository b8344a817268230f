//! What all rules over text share.

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;

/// Compatibility forms joined, case folded in full (`ß` meets `SS`).
pub(super) fn fold(value: &str) -> String {
    let composed: String = value.nfkc().collect();
    let folded = UniCase::unicode(composed).to_folded_case();
    folded.nfkc().collect()
}

/// Runs of blanks are one blank, none at the ends.
pub(super) fn blanks(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Without what nobody sees.
pub(super) fn visible(value: &str) -> String {
    value.chars().filter(|c| !is_invisible(*c)).collect()
}

/// Soft hyphens, joiners, direction marks, variation selectors, tags: a closed list of ours, so that no release of
/// Unicode changes it.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}
