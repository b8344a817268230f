//! What an index hashes, and to how many bits.

use std::{borrow::Cow, str::FromStr};

use chancery_crypto::Phi;
use jiff::civil::Date;

use super::IndexKind;
use crate::{
    fields::{FieldType, normalise::NormalForm},
    ids::UnknownCode,
};

codes! {
    /// What a bucket's width counts.
    pub enum BucketUnit {
        /// Ones, for integers and decimals.
        One = "one",
        /// Days since 1970-01-01.
        Day = "day",
        /// Months since January of year 0.
        Month = "month",
        /// Years.
        Year = "year",
    }
}

/// How much one bucket holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketWidth {
    /// So many, at least 1.
    pub width: u32,
    /// Of these.
    pub unit: BucketUnit,
}

/// What is hashed. Personal data.
pub type Form = Phi<Vec<u8>>;

/// A rule of an index. Its text form is what stores keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The normal form of the whole value.
    Exact {
        /// What counts as equal.
        form: NormalForm,
        /// Length of a term.
        bits: u16,
    },
    /// The first characters of the normal form, one term for each length.
    Prefix {
        /// What counts as equal.
        form: NormalForm,
        /// The shortest, in characters.
        min: u8,
        /// The longest.
        max: u8,
        /// Length of a term.
        bits: u16,
    },
    /// The bucket that the value falls into.
    Bucket {
        /// How much one holds.
        width: BucketWidth,
        /// Length of a term.
        bits: u16,
    },
    /// The normal forms of several columns at once.
    Compound {
        /// What counts as equal, for each column.
        forms: Vec<NormalForm>,
        /// Length of a term.
        bits: u16,
    },
}

impl Rule {
    /// What an index with this rule answers.
    pub const fn kind(&self) -> IndexKind {
        match self {
            Self::Exact { .. } => IndexKind::Exact,
            Self::Prefix { .. } => IndexKind::Prefix,
            Self::Bucket { .. } => IndexKind::Bucket,
            Self::Compound { .. } => IndexKind::Compound,
        }
    }

    /// Length of a term.
    pub const fn bits(&self) -> u16 {
        match self {
            Self::Exact { bits, .. }
            | Self::Prefix { bits, .. }
            | Self::Bucket { bits, .. }
            | Self::Compound { bits, .. } => *bits,
        }
    }

    /// What is hashed with every form, so that no two rules share a term by accident.
    ///
    /// The lengths of a prefix are no part of it: a longer `max` adds terms and leaves the others as they are.
    pub fn label(&self) -> Cow<'static, str> {
        match self {
            Self::Exact { form, .. } => form.label(),
            Self::Prefix { form, .. } => format!("prefix/1({})", form.label()).into(),
            Self::Bucket { width, .. } => format!("bucket/1({width})").into(),
            Self::Compound { forms, .. } => {
                let labels: Vec<_> = forms.iter().map(|form| form.label()).collect();
                format!("compound/1({})", labels.join(",")).into()
            }
        }
    }

    /// The forms under which a value of one column is filed; none if it has none, such as a text shorter than a prefix.
    pub fn filed(&self, field_type: FieldType, text: &str) -> Vec<Form> {
        match self {
            Self::Exact { form, .. } => vec![whole(*form, text)],
            Self::Prefix { form, min, max, .. } => {
                let normal = Phi::new(form.normalise(text));
                prefixes(normal.expose(), (*min).into(), (*max).into()).map(bytes).collect()
            }
            Self::Bucket { width, .. } => {
                width.bucket(field_type, text).map(|n| bytes(&n.to_string())).into_iter().collect()
            }
            Self::Compound { .. } => Vec::new(),
        }
    }

    /// The form that finds values beginning with `text`, which must have `min` characters; those beyond `max` are left
    /// to the comparison after opening. `None` for a shorter text and for other rules.
    pub fn beginning(&self, text: &str) -> Option<Form> {
        let Self::Prefix { form, min, max, .. } = self else { return None };
        let normal = Phi::new(form.normalise(text));
        let length = normal.expose().chars().count().min((*max).into());
        prefixes(normal.expose(), (*min).into(), length).last().map(bytes)
    }

    /// The form of several columns' values, in the order of the index. `None` for other rules and another count.
    pub fn together(&self, texts: &[&str]) -> Option<Form> {
        let Self::Compound { forms, .. } = self else { return None };
        if forms.len() != texts.len() {
            return None;
        }
        let normal: Vec<Form> = forms.iter().zip(texts).map(|(form, text)| whole(*form, text)).collect();
        let parts: Vec<&[u8]> = normal.iter().map(|form| form.expose().as_slice()).collect();
        Some(Phi::new(chancery_crypto::compound_form(&parts)))
    }
}

fn bytes(text: &str) -> Form {
    Phi::new(text.as_bytes().to_vec())
}

fn whole(form: NormalForm, text: &str) -> Form {
    Phi::new(form.normalise(text).into_bytes())
}

/// The beginnings of `min` to `max` characters, shortest first.
fn prefixes(text: &str, min: usize, max: usize) -> impl Iterator<Item = &str> {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    ends.take(max).skip(min.saturating_sub(1)).filter_map(|end| text.get(..end))
}

impl BucketWidth {
    /// Whether values of this type fall into such buckets.
    pub const fn fits(self, field_type: FieldType) -> bool {
        match self.unit {
            BucketUnit::One => matches!(field_type, FieldType::Integer | FieldType::Decimal),
            BucketUnit::Day | BucketUnit::Month | BucketUnit::Year => matches!(field_type, FieldType::Date),
        }
    }

    /// The bucket of a value in its text form. `None` for a value of another type, or beyond 10³⁸.
    pub fn bucket(self, field_type: FieldType, text: &str) -> Option<i128> {
        if !self.fits(field_type) {
            return None;
        }
        let count = match self.unit {
            BucketUnit::One => floor(text)?,
            BucketUnit::Day => date(text)?.since(Date::constant(1970, 1, 1)).ok()?.get_days().into(),
            BucketUnit::Month => date(text).map(|date| i128::from(date.year()) * 12 + i128::from(date.month()) - 1)?,
            BucketUnit::Year => date(text)?.year().into(),
        };
        Some(count.div_euclid(self.width.max(1).into()))
    }
}

fn date(text: &str) -> Option<Date> {
    text.parse().ok()
}

/// The whole number at or below a decimal.
fn floor(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number: i128 = whole.parse().ok()?;
    let below = whole.starts_with('-') && fraction.bytes().any(|digit| digit != b'0');
    if below { number.checked_sub(1) } else { Some(number) }
}

impl std::fmt::Display for BucketWidth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.width, self.unit)
    }
}

impl FromStr for BucketWidth {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let (width, unit) = text.split_once(':').ok_or(UnknownCode("BucketWidth"))?;
        Ok(Self { width: number(width)?, unit: unit.parse()? })
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact { form, bits } => write!(f, "exact {} {bits}", form.label()),
            Self::Prefix { form, min, max, bits } => write!(f, "prefix {} {min}-{max} {bits}", form.label()),
            Self::Bucket { width, bits } => write!(f, "bucket {width} {bits}"),
            Self::Compound { forms, bits } => {
                let labels: Vec<_> = forms.iter().map(|form| form.label()).collect();
                write!(f, "compound {} {bits}", labels.join(","))
            }
        }
    }
}

impl FromStr for Rule {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let words: Vec<&str> = text.split(' ').collect();
        match words.as_slice() {
            ["exact", form, bits] => Ok(Self::Exact { form: form.parse()?, bits: number(bits)? }),
            ["prefix", form, lengths, bits] => {
                let (min, max) = lengths.split_once('-').ok_or(UnknownCode("Rule"))?;
                Ok(Self::Prefix { form: form.parse()?, min: number(min)?, max: number(max)?, bits: number(bits)? })
            }
            ["bucket", width, bits] => Ok(Self::Bucket { width: width.parse()?, bits: number(bits)? }),
            ["compound", forms, bits] => {
                let forms = forms.split(',').map(str::parse).collect::<Result<_, _>>()?;
                Ok(Self::Compound { forms, bits: number(bits)? })
            }
            _ => Err(UnknownCode("Rule")),
        }
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, UnknownCode> {
    text.parse().map_err(|_| UnknownCode("Rule"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Normalizer;

    fn texts(forms: &[Form]) -> Vec<String> {
        forms.iter().map(|form| String::from_utf8(form.expose().clone()).unwrap()).collect()
    }

    fn rule(text: &str) -> Rule {
        text.parse().unwrap()
    }

    #[test]
    fn rules_read_back() {
        for text in [
            "exact name/1 64",
            "exact phone/1:DE 256",
            "prefix name/1 2-6 32",
            "bucket 10:one 64",
            "bucket 1:month 16",
            "compound name/1,date/1 64",
        ] {
            assert_eq!(rule(text).to_string(), text);
        }
        for bad in
            ["", "exact", "exact name 64", "exact name/1 x", "prefix name/1 2 32", "bucket 10 64", "compound  64"]
        {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_is_filed_under_each_of_its_beginnings() {
        let prefix = rule("prefix name/1 2-4 32");
        assert_eq!(texts(&prefix.filed(FieldType::Text, "Müller")), ["mu", "mul", "mull"]);
        assert_eq!(texts(&prefix.filed(FieldType::Text, "王小龍")), ["王小", "王小龍"]);
        assert_eq!(texts(&prefix.filed(FieldType::Text, "X")), [""; 0]);
        let beginning = |text| prefix.beginning(text).map(|form| String::from_utf8(form.expose().clone()).unwrap());
        assert_eq!(beginning("MÜ").as_deref(), Some("mu"));
        assert_eq!(beginning("Müllerson").as_deref(), Some("mull"), "the rest is compared after opening");
        assert_eq!(beginning("m"), None);
    }

    #[test]
    fn numbers_and_dates_fall_into_buckets() {
        let bucket = |width: &str, field_type, text| width.parse::<BucketWidth>().unwrap().bucket(field_type, text);
        assert_eq!(bucket("10:one", FieldType::Integer, "41"), Some(4));
        assert_eq!(bucket("10:one", FieldType::Integer, "-1"), Some(-1));
        assert_eq!(bucket("10:one", FieldType::Integer, "-10"), Some(-1));
        assert_eq!(bucket("1:one", FieldType::Decimal, "-0.5"), Some(-1));
        assert_eq!(bucket("1:one", FieldType::Decimal, "-1.00"), Some(-1));
        assert_eq!(bucket("5:one", FieldType::Decimal, "+12.34"), Some(2));
        assert_eq!(bucket("1:day", FieldType::Date, "1970-01-02"), Some(1));
        assert_eq!(bucket("1:day", FieldType::Date, "1969-12-31"), Some(-1));
        assert_eq!(bucket("3:month", FieldType::Date, "2000-04-01"), Some(8001));
        assert_eq!(bucket("10:year", FieldType::Date, "1989-05-25"), Some(198));
        assert_eq!(bucket("10:year", FieldType::Integer, "1989"), None);
        assert_eq!(bucket("1:one", FieldType::Decimal, &"9".repeat(64)), None);
    }

    #[test]
    fn a_compound_form_keeps_its_columns_apart() {
        let compound = rule("compound name/1,date/1 64");
        let form = |texts: &[&str]| compound.together(texts).map(|form| form.expose().clone());
        assert_eq!(form(&["Gómez", "25.05.1989"]), form(&["GOMEZ", "1989-05-25"]));
        assert_ne!(form(&["a b", "c"]), form(&["a", "b c"]));
        assert_eq!(form(&["a"]), None);
        assert!(compound.filed(FieldType::Text, "a").is_empty());
        assert_eq!(Rule::Exact { form: Normalizer::Name.into(), bits: 64 }.together(&["a"]).map(|_| ()), None);
    }

    /// The vectors that other languages read.
    #[test]
    fn forms_and_labels_are_those_of_the_vectors() {
        let vectors = include_str!("../../../../testdata/vectors/chancery/blind-index.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let cases = vectors["rules"].as_array().unwrap();
        assert_eq!(cases.len(), 7);
        for case in cases {
            let rule = rule(case["rule"].as_str().unwrap());
            let texts: Vec<&str> = case["texts"].as_array().unwrap().iter().filter_map(|text| text.as_str()).collect();
            let form = match &rule {
                Rule::Compound { .. } => rule.together(&texts),
                Rule::Prefix { .. } => rule.beginning(texts[0]),
                Rule::Bucket { width, .. } if width.unit != BucketUnit::One => {
                    rule.filed(FieldType::Date, texts[0]).pop()
                }
                _ => rule.filed(FieldType::Decimal, texts[0]).pop(),
            };
            let form = data_encoding::HEXLOWER.encode(form.unwrap().expose());
            assert_eq!(
                (rule.label().as_ref(), form.as_str()),
                (case["normaliser"].as_str().unwrap(), case["normalised"].as_str().unwrap())
            );
        }
    }
}
