//! How one field can be found: the rules that it asks for.

use super::{FieldType, NormalForm};
use crate::{
    faults::Faults,
    indexes::{BucketWidth, Index, IndexKind, Rule},
};

/// The longest prefix, in characters.
const MAX_PREFIX: u8 = 32;

/// Terms for beginnings of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixSpec {
    /// The shortest, in characters.
    pub min: u8,
    /// The longest.
    pub max: u8,
    /// Length of a term.
    pub bits: u16,
}

/// Terms for ranges of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketSpec {
    /// How much one bucket holds.
    pub width: BucketWidth,
    /// Length of a term.
    pub bits: u16,
}

/// How a field can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexSpec {
    /// What counts as equal, for whole values and their beginnings.
    pub form: Option<NormalForm>,
    /// Length of a term of a whole value, a multiple of 8 from 8 to 256; `None` for no such terms.
    pub bits: Option<u16>,
    /// Terms for beginnings.
    pub prefix: Option<PrefixSpec>,
    /// Terms for ranges.
    pub bucket: Option<BucketSpec>,
}

impl IndexSpec {
    /// By equality alone.
    pub fn exact(form: impl Into<NormalForm>, bits: u16) -> Self {
        Self { form: Some(form.into()), bits: Some(bits), ..Self::default() }
    }

    /// The rules that it asks for, one of a kind at most.
    pub fn rules(&self) -> Vec<Rule> {
        let exact = self.form.zip(self.bits).map(|(form, bits)| Rule::Exact { form, bits });
        let prefix = self.form.zip(self.prefix);
        let prefix = prefix.map(|(form, PrefixSpec { min, max, bits })| Rule::Prefix { form, min, max, bits });
        let bucket = self.bucket.map(|BucketSpec { width, bits }| Rule::Bucket { width, bits });
        exact.into_iter().chain(prefix).chain(bucket).collect()
    }

    /// What the newest rules of these indexes say; `None` if there are none.
    pub fn of(indexes: &[Index]) -> Option<Self> {
        let mut spec = Self::default();
        for rule in indexes.iter().filter_map(|index| Some(&index.newest()?.rule)) {
            match *rule {
                Rule::Exact { form, bits } => (spec.form, spec.bits) = (Some(form), Some(bits)),
                Rule::Prefix { form, min, max, bits } => {
                    spec.form = Some(form);
                    spec.prefix = Some(PrefixSpec { min, max, bits });
                }
                Rule::Bucket { width, bits } => spec.bucket = Some(BucketSpec { width, bits }),
                Rule::Compound { .. } => {}
            }
        }
        (spec != Self::default()).then_some(spec)
    }

    pub(super) fn check(&self, field_type: FieldType, faults: &mut Faults) {
        for (pointer, bits) in [
            ("/index/bits", self.bits),
            ("/index/prefix/bits", self.prefix.map(|prefix| prefix.bits)),
            ("/index/bucket/bits", self.bucket.map(|bucket| bucket.bits)),
        ] {
            check_bits(pointer, bits, faults);
        }
        if matches!(field_type, FieldType::Bytes | FieldType::Json) {
            faults.add("/index", "type", "values of this type have no text form to search");
        }
        if self.form.is_none() && (self.bits.is_some() || self.prefix.is_some()) {
            faults.add("/index/normalizer", "required", "say what counts as equal");
        }
        if self.rules().is_empty() {
            faults.add("/index", "empty", "ask for exact, prefix or bucket terms");
        }
        if let Some(PrefixSpec { min, max, .. }) = self.prefix {
            if field_type != FieldType::Text {
                faults.add("/index/prefix", "type", "only texts have beginnings");
            }
            if min == 0 || max < min || max > MAX_PREFIX {
                faults.add("/index/prefix", "range", format!("use 1 to {MAX_PREFIX} characters, min not above max"));
            }
        }
        if let Some(BucketSpec { width, .. }) = self.bucket {
            if width.width == 0 {
                faults.add("/index/bucket/width", "range", "use at least 1");
            }
            if !width.fits(field_type) {
                let message = "integers and decimals have buckets of ones; dates of days, months or years";
                faults.add("/index/bucket/unit", "type", message);
            }
        }
    }
}

pub(crate) fn check_bits(pointer: &str, bits: Option<u16>, faults: &mut Faults) {
    if bits.is_some_and(|bits| !(8..=256).contains(&bits) || bits % 8 != 0) {
        faults.add(pointer, "range", "use a multiple of 8 from 8 to 256");
    }
}

/// The index of this kind among a field's.
pub(crate) fn of_kind(indexes: &[Index], kind: IndexKind) -> Option<&Index> {
    indexes.iter().find(|index| index.kind == kind)
}
