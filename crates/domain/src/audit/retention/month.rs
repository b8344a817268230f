use std::fmt;

use crate::{ids::UnknownCode, time::Timestamp};

/// A month of the calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(u32);

impl Month {
    const fn new(year: u32, month: u32) -> Option<Self> {
        if year <= 9_999 && month >= 1 && month <= 12 { Some(Self(year * 12 + month - 1)) } else { None }
    }

    /// The month of a moment.
    pub fn of(at: Timestamp) -> Self {
        // What no calendar has comes before all months that do.
        at.to_string().get(..7).and_then(|text| text.parse().ok()).unwrap_or(Self(0))
    }

    /// Its first moment.
    pub fn start(self) -> Timestamp {
        format!("{self}-01T00:00:00Z").parse().unwrap_or(Timestamp::from_micros(i64::MAX))
    }

    /// The month after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// So many months after it.
    #[must_use]
    pub const fn plus(self, months: u32) -> Self {
        Self(self.0.saturating_add(months))
    }

    /// So many months before it.
    #[must_use]
    pub const fn minus(self, months: u32) -> Self {
        Self(self.0.saturating_sub(months))
    }
}

/// As `2026-11`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12, self.0 % 12 + 1)
    }
}

impl std::str::FromStr for Month {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let digits = |part: &str, many: usize| {
            let fine = part.len() == many && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u32>().ok().filter(|_| fine)
        };
        let parts = text.split_once('-').and_then(|(year, month)| Some((digits(year, 4)?, digits(month, 2)?)));
        parts.and_then(|(year, month)| Self::new(year, month)).ok_or(UnknownCode("month"))
    }
}

impl serde::Serialize for Month {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Month {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(|_| serde::de::Error::custom("write a month as 2026-11"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_the_calendar() {
        let month = |text: &str| text.parse::<Month>().unwrap();
        let moment = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(Month::of(moment("2026-12-31T23:59:59.999999Z")), month("2026-12"));
        assert_eq!(month("2026-12").next(), month("2027-01"));
        assert_eq!(month("2027-01").minus(1), month("2026-12"));
        assert_eq!(month("2021-12").plus(73), month("2028-01"));
        assert_eq!(month("2027-01").minus(72).to_string(), "2021-01");
        assert_eq!(month("2028-03").start(), moment("2028-03-01T00:00:00Z"));
        assert!(month("2026-11") < month("2026-12"));
        for bad in ["2026", "2026-13", "2026-00", "2026-1", "26-01", "+026-01", "2026-01-01", ""] {
            assert!(bad.parse::<Month>().is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_outside_of_the_calendar_are_no_month_of_ours() {
        assert_eq!(Month::of(Timestamp::from_micros(i64::MIN)).to_string(), "0000-01");
        assert_eq!(Month(0).minus(5), Month(0));
    }
}
