//! Ready-made values: e-mail addresses, phone numbers, names, API secrets, dates, decimal numbers (FE-05).
//!
//! They are checked when they are made and taken as they are when they are opened: a rule that becomes
//! stricter must not lock anybody out of old data. None of them prints its content; all are wiped on drop.

use chancery_crypto::Phi;
use chancery_domain::fields::{FieldType, value::WrongType};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::value::{Searchable, Value};

/// A text that is not what it should be. Does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct Invalid(&'static str);

macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident, $type:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Zeroize, ZeroizeOnDrop)]
        pub struct $name(String);

        impl $name {
            /// Checks a text, without the blanks around it.
            ///
            /// # Errors
            ///
            /// [`Invalid`].
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                let text = text.trim();
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(Invalid($what)) }
            }

            /// Reads it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                Self::parse(text)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl Value for $name {
            const TYPE: FieldType = FieldType::$type;

            fn length(&self) -> usize {
                self.0.chars().count()
            }

            fn to_bytes(&self) -> Phi<Vec<u8>> {
                Phi::new(self.0.as_bytes().to_vec())
            }

            fn from_bytes(bytes: &[u8]) -> Result<Self, WrongType> {
                let text = std::str::from_utf8(bytes).map_err(|_| WrongType(Self::TYPE))?;
                Ok(Self(text.to_owned()))
            }
        }
    };
    (searchable $($name:ident)+) => {
        $(impl Searchable for $name {
            fn search_text(&self) -> Phi<String> {
                Phi::new(self.0.clone())
            }
        })+
    };
}

text_value! {
    /// An e-mail address: one `@`, a domain with a dot, at most 254 bytes. Search it with `Normalizer::Email`.
    Email, Text, "an e-mail address", |text| chancery_domain::is_email(text)
}

text_value! {
    /// A phone number of 7 to 15 digits, kept as it was typed. Search it with `Normalizer::Phone`, or with `Digits`,
    /// where the `+` does not count: blanks, hyphens and brackets never do, a missing country code does.
    Phone, Text, "a phone number", |text| {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let rest = text.strip_prefix('+').unwrap_or(text);
        (7..=15).contains(&digits) && rest.chars().all(|c| c.is_ascii_digit() || " -./()".contains(c))
    }
}

text_value! {
    /// A person's name, first, last or whole: 1 to 100 characters, none of them a control character.
    /// Search it with `Normalizer::Name`.
    PersonName, Text, "a name of 1 to 100 characters", |text| {
        !text.is_empty() && text.chars().count() <= 100 && !text.chars().any(char::is_control)
    }
}

text_value! {
    /// A password, token or API key of another system: 1 to 4,096 visible characters. There is no searching for
    /// it: an index over secrets would tell which of them are equal.
    ApiSecret, Text, "a secret of 1 to 4,096 visible characters", |text| {
        (1..=4_096).contains(&text.chars().count()) && !text.chars().any(|c| c.is_control() || c.is_whitespace())
    }
}

text_value! {
    /// A calendar date, `YYYY-MM-DD`.
    Date, Date, "a date, YYYY-MM-DD", |text| chancery_domain::is_date(text)
}

text_value! {
    /// A decimal number, kept digit for digit.
    Decimal, Decimal, "a decimal number", |text| {
        FieldType::Decimal.encode(&serde_json::Value::from(text)).is_ok()
    }
}

text_value! { searchable Email Phone PersonName Date Decimal }

impl ApiSecret {
    /// Whether `presented` is this secret, compared in constant time.
    #[must_use]
    pub fn matches(&self, presented: &str) -> bool {
        self.0.as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_takes_what_it_is_for() {
        assert_eq!(Email::parse(" zoë@example.org ").unwrap().as_str(), "zoë@example.org");
        for bad in ["", "zoë", "a@b", "a b@c.de"] {
            assert_eq!(Email::parse(bad).unwrap_err().to_string(), "not an e-mail address", "{bad}");
        }
        for good in ["+1 (555) 123-4567", "030/1234567", "5551234"] {
            assert!(Phone::parse(good).is_ok(), "{good}");
        }
        for bad in ["123456", "1234567890123456", "555-CALL-NOW", "1+5551234", ""] {
            assert!(Phone::parse(bad).is_err(), "{bad}");
        }
        assert!(PersonName::parse("Núñez-O'Brien 李").is_ok());
        for bad in ["", " ", "a\u{0}b", &"x".repeat(101)] {
            assert!(PersonName::parse(bad).is_err());
        }
        assert!(
            ApiSecret::parse("sk_live_4eC39HqLyjWDarjtT1zdp7dc").unwrap().matches("sk_live_4eC39HqLyjWDarjtT1zdp7dc")
        );
        assert!(!ApiSecret::parse("sk_live").unwrap().matches("sk_test"));
        assert!(ApiSecret::parse("two words").is_err());
        assert!(Date::parse("1989-05-25").is_ok() && Date::parse("1989-02-30").is_err());
        assert!(Decimal::parse("-12.50").is_ok() && Decimal::parse("1e5").is_err());
    }

    #[test]
    fn none_of_them_prints() {
        let printed = format!(
            "{:?} {:?} {:?} {:?}",
            Email::parse("a@b.cd").unwrap(),
            Phone::parse("5551234").unwrap(),
            PersonName::parse("Ana").unwrap(),
            ApiSecret::parse("s3cret").unwrap(),
        );
        assert_eq!(printed, "Email(..) Phone(..) PersonName(..) ApiSecret(..)");
    }
}
