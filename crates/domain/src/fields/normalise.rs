//! What counts as equal when a sealed value is searched.

use unicase::UniCase;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

codes! {
    /// How a value is brought to one form before its term is derived.
    pub enum Normalizer {
        /// As it is.
        Exact = "exact",
        /// NFKC, case folded, blanks collapsed and trimmed.
        Casefold = "casefold",
        /// As `casefold`, without diacritics; letters and single blanks only.
        Name = "name",
        /// NFKC, trimmed, case folded.
        Email = "email",
        /// The decimal digits only.
        Digits = "digits",
    }
}

impl Normalizer {
    /// Its name with the version of its rules and tables: a part of what a term is derived from.
    /// A change of either is a new version, or indexes would split silently.
    pub const fn versioned(self) -> &'static str {
        match self {
            Self::Exact => "exact/1",
            Self::Casefold => "casefold/1",
            Self::Name => "name/1",
            Self::Email => "email/1",
            Self::Digits => "digits/1",
        }
    }

    /// The one form of `value`.
    pub fn normalise(self, value: &str) -> String {
        match self {
            Self::Exact => value.to_owned(),
            Self::Casefold => blanks(&fold(value)),
            Self::Name => {
                let bare: String = value.nfkd().filter(|c| !is_combining_mark(*c)).collect();
                let letters: String = fold(&bare).chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
                blanks(&letters)
            }
            Self::Email => fold(value.trim()),
            Self::Digits => value.nfkc().filter(char::is_ascii_digit).collect(),
        }
    }
}

fn fold(value: &str) -> String {
    let composed: String = value.nfkc().collect();
    let folded = UniCase::unicode(composed).to_folded_case();
    folded.nfkc().collect()
}

fn blanks(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_meet_across_case_accents_and_blanks() {
        let normal = Normalizer::Name.normalise("  Gómez206 ");
        assert_eq!(normal, "gomez206");
        assert_eq!(Normalizer::Name.normalise("GO\u{301}MEZ206"), normal);
        assert_eq!(Normalizer::Name.normalise("O'Connor-Smith"), "o connor smith");
        assert_eq!(Normalizer::Name.normalise("Weiß"), Normalizer::Name.normalise("WEISS"));
    }

    #[test]
    fn numbers_and_addresses_meet_too() {
        assert_eq!(Normalizer::Digits.normalise("999-76-6866"), "999766866");
        assert_eq!(Normalizer::Email.normalise(" Ana@Example.ORG "), "ana@example.org");
        assert_eq!(Normalizer::Casefold.normalise("A\u{a0} B"), "a b");
        assert_eq!(Normalizer::Exact.normalise(" A "), " A ");
    }

    #[test]
    fn normal_forms_stay_as_they_are() {
        for normalizer in Normalizer::ALL {
            for text in ["Łukasz", "ﬁne", "İstanbul", "ΣΊΣΥΦΟΣ", "李 小龍", ""] {
                let once = normalizer.normalise(text);
                assert_eq!(normalizer.normalise(&once), once, "{normalizer} {text}");
            }
        }
    }
}
