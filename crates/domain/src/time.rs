//! Moments, and the port that tells them.

use std::fmt;

/// A moment in UTC, in microseconds since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// A day of 24 hours.
pub(crate) const DAY_SECONDS: i64 = 24 * 60 * 60;

/// A text that is no RFC 3339 moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 date and time")]
pub struct ParseTimestampError;

impl Timestamp {
    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since 1970.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Reads the one form that [`Display`](fmt::Display) writes, of a day that there is in the years 0 to 9998.
    pub fn from_exact(text: &str) -> Option<Self> {
        // The last days of the year 9999 are no moments to every clock.
        let moment = text.parse::<Self>().ok().filter(|_| text < "9999")?;
        (moment.to_string() == text).then_some(moment)
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This moment and `days` of 24 hours more.
    #[must_use]
    pub const fn plus_days(self, days: i64) -> Self {
        self.plus_seconds(days.saturating_mul(DAY_SECONDS))
    }

    /// This moment and `seconds` more.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }
}

/// RFC 3339 in UTC with exactly six decimals, as the audit log wants it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => write!(f, "{moment:.6}"),
            Err(_) => f.write_str("0000-00-00T00:00:00.000000Z"),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| ParseTimestampError)?;
        Ok(Self(moment.as_microsecond()))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Tells the time. The system's clock outside, a fixed one in tests.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_six_decimals_and_reads_back() {
        let moment = Timestamp::from_micros(1_700_000_000_000_000);
        assert_eq!(moment.to_string(), "2023-11-14T22:13:20.000000Z");
        assert_eq!("2023-11-14T22:13:20.000000Z".parse(), Ok(moment));
        assert_eq!("2023-11-14T23:13:20+01:00".parse(), Ok(moment));
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn an_exact_moment_has_one_form_and_a_day_that_there_is() {
        for good in ["2023-11-14T22:13:20.000000Z", "0000-02-29T00:00:00.000000Z", "9998-12-31T23:59:59.999999Z"] {
            assert_eq!(Timestamp::from_exact(good).map(|moment| moment.to_string()).as_deref(), Some(good));
        }
        for bad in [
            "2026-13-45T25:61:61.000000Z",
            "2025-02-29T00:00:00.000000Z",
            "2026-01-01T24:00:00.000000Z",
            "2026-12-31T23:59:60.000000Z",
            "9999-01-01T00:00:00.000000Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.000000+00:00",
            "",
        ] {
            assert_eq!(Timestamp::from_exact(bad), None, "{bad}");
        }
    }
}
