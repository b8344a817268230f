//! What counts as equal when a sealed value is searched.
//!
//! A term is derived from the normal form, so two versions of a rule that differ for one text would split an index
//! in silence. Hence each rule has a version in its label, leans on no table but those of two crates pinned to one
//! release each (`unicode-normalization`, `unicase`), and `tests.rs` keeps the outputs.

mod country;
mod date;
mod digits;
mod name;
mod phone;
mod text;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::str::FromStr;

pub use country::Country;

use crate::ids::UnknownCode;

codes! {
    /// How a value is brought to one form before its term is derived.
    pub enum Normalizer {
        /// As it is.
        Exact = "exact",
        /// NFKC, case folded, blanks collapsed and trimmed.
        Casefold = "casefold",
        /// As `casefold`, without invisible characters.
        Text = "text",
        /// As `text`, without diacritics; marks between words become single blanks.
        Name = "name",
        /// NFKC, trimmed, case folded, without invisible characters.
        Email = "email",
        /// E.164: `+`, country code, number. National numbers need a country.
        Phone = "phone",
        /// The decimal digits of any script, as 0 to 9.
        Digits = "digits",
        /// `YYYY-MM-DD`, where the text says so without doubt.
        Date = "date",
    }
}

impl Normalizer {
    /// Its name with the version of its rules and tables: a part of what a term is derived from.
    /// A change of either is a new version, or indexes would split silently.
    pub const fn versioned(self) -> &'static str {
        match self {
            Self::Exact => "exact/1",
            Self::Casefold => "casefold/1",
            Self::Text => "text/1",
            Self::Name => "name/1",
            Self::Email => "email/1",
            Self::Phone => "phone/1",
            Self::Digits => "digits/1",
            Self::Date => "date/1",
        }
    }

    /// The one form of `value`; of a phone number, without a country.
    pub fn normalise(self, value: &str) -> String {
        NormalForm::from(self).normalise(value)
    }
}

/// A normalizer with what it needs to know beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NormalForm {
    /// The rule.
    pub normalizer: Normalizer,
    /// Where national phone numbers belong; for `phone` alone.
    pub country: Option<Country>,
}

impl From<Normalizer> for NormalForm {
    fn from(normalizer: Normalizer) -> Self {
        Self { normalizer, country: None }
    }
}

impl NormalForm {
    /// Name, version and country: `name/1`, `phone/1:DE`. A part of what a term is derived from.
    pub fn label(self) -> Cow<'static, str> {
        let versioned = self.normalizer.versioned();
        match self.country {
            None => versioned.into(),
            Some(country) => format!("{versioned}:{country}").into(),
        }
    }

    /// The one form of `value`.
    pub fn normalise(self, value: &str) -> String {
        match self.normalizer {
            Normalizer::Exact => value.to_owned(),
            Normalizer::Casefold => text::blanks(&text::fold(value)),
            Normalizer::Text => text::blanks(&text::fold(&text::visible(value))),
            Normalizer::Name => name::normalise(value),
            Normalizer::Email => text::fold(text::visible(value).trim()).trim().to_owned(),
            Normalizer::Phone => phone::normalise(value, self.country),
            Normalizer::Digits => digits::normalise(value),
            Normalizer::Date => date::normalise(value),
        }
    }
}

impl FromStr for NormalForm {
    type Err = UnknownCode;

    /// Reads a [`Self::label`].
    fn from_str(label: &str) -> Result<Self, UnknownCode> {
        let (versioned, country) = match label.split_once(':') {
            None => (label, None),
            Some((versioned, country)) => (versioned, Some(country.parse()?)),
        };
        let normalizer = Normalizer::ALL.iter().find(|normalizer| normalizer.versioned() == versioned);
        let normalizer = *normalizer.ok_or(UnknownCode("Normalizer"))?;
        match country {
            Some(_) if normalizer != Normalizer::Phone => Err(UnknownCode("Normalizer")),
            country => Ok(Self { normalizer, country }),
        }
    }
}
