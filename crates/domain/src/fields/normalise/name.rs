//! Names of people: `O'Connor-Smith`, `GÓMEZ`, `Łukasz`.

use unicode_normalization::UnicodeNormalization;

use super::text::{blanks, fold, visible};

/// Without diacritics, marks between words as blanks, case folded.
pub(super) fn normalise(value: &str) -> String {
    let mut bare = String::with_capacity(value.len());
    for c in visible(value).nfkd() {
        match plain(c) {
            Some(letters) => bare.push_str(letters),
            None if is_diacritic(c) => {}
            None if is_separator(c) => bare.push(' '),
            None => bare.push(c),
        }
    }
    blanks(&fold(&bare))
}

/// Latin letters that Unicode does not take apart, as passports and keyboards write them.
const fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'ł' | 'Ł' => "l",
        'ø' | 'Ø' => "o",
        'đ' | 'Đ' | 'ð' | 'Ð' => "d",
        'ħ' | 'Ħ' => "h",
        'ı' => "i",
        'ŧ' | 'Ŧ' => "t",
        'æ' | 'Æ' => "ae",
        'œ' | 'Œ' => "oe",
        'þ' | 'Þ' => "th",
        _ => return None,
    })
}

/// Marks that people leave out. The vowel signs of Indic and Thai script are letters of the name, and stay.
const fn is_diacritic(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{487}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}'..='\u{5c2}'
        | '\u{5c4}'..='\u{5c5}' | '\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}' | '\u{6e7}'..='\u{6e8}' | '\u{6ea}'..='\u{6ed}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// What stands between words: all ASCII but letters and digits, and the punctuation of other scripts. A closed list
/// of ours, so that no release of Unicode or Rust changes it.
const fn is_separator(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_alphanumeric();
    }
    matches!(c,
        '\u{80}'..='\u{a9}' | '\u{ab}'..='\u{b4}' | '\u{b6}'..='\u{b9}' | '\u{bb}'..='\u{bf}' | '×' | '÷'
        | '\u{2b0}'..='\u{2ff}' | '\u{55a}'..='\u{55f}' | '\u{589}'..='\u{58a}' | '\u{5be}' | '\u{5c0}' | '\u{5c3}'
        | '\u{5f3}'..='\u{5f4}' | '\u{60c}' | '\u{61b}' | '\u{61f}' | '\u{640}' | '\u{66a}'..='\u{66d}' | '\u{6d4}'
        | '\u{964}'..='\u{965}' | '\u{2000}'..='\u{206f}' | '\u{2e00}'..='\u{2e7f}' | '\u{3000}'..='\u{3004}'
        | '\u{3008}'..='\u{3020}' | '\u{3030}' | '\u{303d}' | '\u{30a0}' | '\u{30fb}')
}
