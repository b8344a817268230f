//! Whole numbers that every reader of JSON keeps.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A whole number from 0 to 2^53 − 1. Above that many readers of JSON round, so nothing that is hashed or signed may hold it
/// (RFC 7493 §2.2). What a caller counts is one of these before it comes near an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Whole(u64);

/// A number that is no [`Whole`]. Does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of range: use 0 to 9007199254740991")]
pub struct OutOfRange;

impl Whole {
    /// The largest.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The number.
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl From<u32> for Whole {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

impl TryFrom<u64> for Whole {
    type Error = OutOfRange;

    fn try_from(number: u64) -> Result<Self, OutOfRange> {
        if number <= Self::MAX.0 { Ok(Self(number)) } else { Err(OutOfRange) }
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl de::Visitor<'_> for Number {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole, E> {
                Whole::try_from(number).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Whole, E> {
                u64::try_from(number).map_err(|_| E::custom(OutOfRange)).and_then(|number| self.visit_u64(number))
            }

            // A whole number beyond 64 bits is read as one with a fraction of nothing.
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
                if number.fract() == 0.0 {
                    return Err(E::custom(OutOfRange));
                }
                Err(E::invalid_type(de::Unexpected::Float(number), &self))
            }
        }
        deserializer.deserialize_u64(Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_of_json_round_is_out_of_range() {
        let read =
            |text: &str| serde_json::from_str::<Whole>(text).map(Whole::value).map_err(|error| error.to_string());
        assert_eq!(read("0"), Ok(0));
        assert_eq!(read("9007199254740991"), Ok((1 << 53) - 1));
        for beyond in ["9007199254740992", "18446744073709551615", "18446744073709551616", "1e300", "-1"] {
            assert!(read(beyond).unwrap_err().starts_with("out of range: use 0 to 9007199254740991"), "{beyond}");
        }
        for other in ["1.5", "\"1\"", "null"] {
            assert!(read(other).unwrap_err().starts_with("invalid type"), "{other}");
        }
        assert_eq!(Whole::try_from(Whole::MAX.value() + 1), Err(OutOfRange));
    }
}
