//! Countries by their two letters (ISO 3166), with how they dial.

use std::str::FromStr;

use crate::ids::UnknownCode;

/// A country whose dialling plan is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country(&'static Plan);

/// How a country dials. Calling codes and trunk prefixes only; both outlive every numbering reform.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    letters: &'static str,
    /// The calling code.
    pub(super) code: &'static str,
    /// What goes before a number inside the country, and falls away outside.
    pub(super) trunk: &'static str,
    /// What goes before a calling code when dialling abroad.
    pub(super) abroad: &'static str,
    /// The most digits of a national number.
    pub(super) longest: usize,
}

const fn plan(
    letters: &'static str,
    code: &'static str,
    trunk: &'static str,
    abroad: &'static str,
    longest: usize,
) -> Plan {
    Plan { letters, code, trunk, abroad, longest }
}

/// Italy and San Marino keep their leading zero; North America and the Caribbean share code and trunk 1.
static PLANS: &[Plan] = &[
    plan("AE", "971", "0", "00", 9),
    plan("AR", "54", "0", "00", 11),
    plan("AT", "43", "0", "00", 13),
    plan("AU", "61", "0", "0011", 9),
    plan("BA", "387", "0", "00", 9),
    plan("BD", "880", "0", "00", 10),
    plan("BE", "32", "0", "00", 9),
    plan("BG", "359", "0", "00", 9),
    plan("BR", "55", "0", "00", 11),
    plan("CA", "1", "1", "011", 10),
    plan("CH", "41", "0", "00", 9),
    plan("CL", "56", "", "00", 9),
    plan("CN", "86", "0", "00", 11),
    plan("CO", "57", "0", "00", 10),
    plan("CY", "357", "", "00", 8),
    plan("CZ", "420", "", "00", 9),
    plan("DE", "49", "0", "00", 13),
    plan("DK", "45", "", "00", 8),
    plan("DO", "1", "1", "011", 10),
    plan("EE", "372", "", "00", 8),
    plan("EG", "20", "0", "00", 10),
    plan("ES", "34", "", "00", 9),
    plan("FI", "358", "0", "00", 11),
    plan("FR", "33", "0", "00", 9),
    plan("GB", "44", "0", "00", 10),
    plan("GR", "30", "", "00", 10),
    plan("HK", "852", "", "001", 8),
    plan("HR", "385", "0", "00", 9),
    plan("HU", "36", "06", "00", 9),
    plan("ID", "62", "0", "001", 12),
    plan("IE", "353", "0", "00", 9),
    plan("IL", "972", "0", "00", 9),
    plan("IN", "91", "0", "00", 10),
    plan("IS", "354", "", "00", 7),
    plan("IT", "39", "", "00", 11),
    plan("JM", "1", "1", "011", 10),
    plan("JP", "81", "0", "010", 10),
    plan("KE", "254", "0", "000", 9),
    plan("KR", "82", "0", "00", 10),
    plan("LI", "423", "", "00", 9),
    plan("LT", "370", "0", "00", 8),
    plan("LU", "352", "", "00", 11),
    plan("LV", "371", "", "00", 8),
    plan("MA", "212", "0", "00", 9),
    plan("MC", "377", "", "00", 9),
    plan("ME", "382", "0", "00", 8),
    plan("MK", "389", "0", "00", 8),
    plan("MT", "356", "", "00", 8),
    plan("MX", "52", "", "00", 10),
    plan("MY", "60", "0", "00", 10),
    plan("NG", "234", "0", "009", 10),
    plan("NL", "31", "0", "00", 9),
    plan("NO", "47", "", "00", 8),
    plan("NZ", "64", "0", "00", 10),
    plan("PE", "51", "0", "00", 9),
    plan("PH", "63", "0", "00", 10),
    plan("PK", "92", "0", "00", 10),
    plan("PL", "48", "", "00", 9),
    plan("PR", "1", "1", "011", 10),
    plan("PT", "351", "", "00", 9),
    plan("RO", "40", "0", "00", 9),
    plan("RS", "381", "0", "00", 9),
    plan("RU", "7", "8", "810", 10),
    plan("SA", "966", "0", "00", 9),
    plan("SE", "46", "0", "00", 9),
    plan("SG", "65", "", "000", 8),
    plan("SI", "386", "0", "00", 8),
    plan("SK", "421", "0", "00", 9),
    plan("SM", "378", "", "00", 10),
    plan("TH", "66", "0", "001", 9),
    plan("TR", "90", "0", "00", 10),
    plan("TW", "886", "0", "002", 9),
    plan("UA", "380", "0", "00", 9),
    plan("US", "1", "1", "011", 10),
    plan("VN", "84", "0", "00", 10),
    plan("ZA", "27", "0", "00", 9),
];

impl Country {
    /// Every country that is known.
    pub fn all() -> impl Iterator<Item = Self> {
        PLANS.iter().map(Self)
    }

    /// Its two letters.
    pub const fn as_str(self) -> &'static str {
        self.0.letters
    }

    pub(super) const fn plan(self) -> &'static Plan {
        self.0
    }
}

impl std::fmt::Display for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Country {
    type Err = UnknownCode;

    fn from_str(letters: &str) -> Result<Self, UnknownCode> {
        PLANS.iter().find(|plan| plan.letters == letters).map(Self).ok_or(UnknownCode("Country"))
    }
}

impl serde::Serialize for Country {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Country {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(|_| serde::de::Error::custom("no country of ours; use two capital letters, such as US"))
    }
}
