//! What an index over a column would give away, and how long its terms should be. Pure: a histogram in, a judgement out.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

/// From here on a histogram keeps a sample of the rarer values: memory stays below some 50 MB however long the column is.
const MAX_DISTINCT: usize = 1 << 20;
/// A value that a reader can name by its frequency: this share of all rows or more.
const NAMED_SHARE: f64 = 0.125;
/// Below this many values every one of them can be told by its frequency.
const FEW_VALUES: u64 = 32;

/// How often each value of a column occurs, by normal form. Holds hashes, not values.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: HashMap<u64, u64>,
    limit: usize,
    rows: u64,
    empty: u64,
    /// Rarer values are kept if their hash ends in so many zero bits.
    sampled: u32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::holding(MAX_DISTINCT)
    }
}

impl Histogram {
    fn holding(limit: usize) -> Self {
        Self { counts: HashMap::new(), limit, rows: 0, empty: 0, sampled: 0 }
    }

    /// Counts a row without a value: a null, or one whose normal form is empty.
    pub fn add_empty(&mut self) {
        self.empty += 1;
    }

    /// Counts a row with this normal form.
    pub fn add(&mut self, form: &str) {
        let mut hasher = DefaultHasher::new();
        form.hash(&mut hasher);
        let hash = hasher.finish();
        self.rows += 1;
        if let Some(count) = self.counts.get_mut(&hash) {
            *count += 1;
        } else if hash.trailing_zeros() >= self.sampled {
            self.counts.insert(hash, 1);
            if self.counts.len() > self.limit {
                self.thin();
            }
        }
    }

    /// Drops half of the rarer values; frequent ones are what leaks, and all stay.
    fn thin(&mut self) {
        self.sampled += 1;
        let (sampled, frequent) = (self.sampled, self.rows / 4_096 + 1);
        self.counts.retain(|hash, count| *count > frequent || hash.trailing_zeros() >= sampled);
    }

    /// How many distinct values there are; about so many once it samples.
    fn distinct(&self) -> u64 {
        let whole = self.counts.keys().filter(|hash| hash.trailing_zeros() < self.sampled).count() as u64;
        whole + ((self.counts.len() as u64 - whole) << self.sampled)
    }

    /// Shannon's entropy of one row's value, in bits.
    fn entropy(&self) -> f64 {
        let rows = as_f64(self.rows.max(1));
        let of = |(hash, count): (&u64, &u64)| {
            let share = as_f64(*count) / rows;
            let weight = if hash.trailing_zeros() < self.sampled { 1.0 } else { 2f64.powi(as_i32(self.sampled)) };
            -share * share.log2() * weight
        };
        self.counts.iter().map(of).sum::<f64>().max(0.0)
    }
}

codes! {
    /// Whether a column should have an index.
    pub enum Verdict {
        /// Its values say little by their frequency.
        Good = "good",
        /// Some values can be told by their frequency.
        Leaks = "leaks",
        /// Who reads the table can name the values of many rows. Refused unless accepted by name.
        Refused = "refused",
    }
}

/// A judgement.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Plan {
    /// Rows with a value.
    pub rows: u64,
    /// Rows without.
    pub empty: u64,
    /// Distinct values among them.
    pub distinct: u64,
    /// Whether the numbers are estimates, because the column has more values than are kept.
    pub estimated: bool,
    /// Entropy of one row's value, in bits.
    pub entropy_bits: f64,
    /// How many rows have the most frequent value.
    pub largest: u64,
    /// Which share of all rows that is, 0 to 1.
    pub largest_share: f64,
    /// The recommended length of a term.
    pub recommended_bits: u16,
    /// The length that is judged: the one asked for, else the recommended one.
    pub bits: u16,
    /// Strangers that a query for one value finds on average, to be dropped after opening.
    pub false_positives: f64,
    /// Whether the column should have the index.
    pub verdict: Verdict,
    /// What the index gives away, in words.
    pub leakage: Vec<String>,
}

/// Judges an index over this column, with terms of `bits` if given.
pub fn plan(histogram: &Histogram, bits: Option<u16>) -> Plan {
    let (rows, distinct) = (histogram.rows, histogram.distinct());
    let largest = histogram.counts.values().copied().max().unwrap_or(0);
    let largest_share = as_f64(largest) / as_f64(rows.max(1));
    let entropy_bits = histogram.entropy();
    let recommended_bits = recommended(distinct);
    let bits = bits.unwrap_or(recommended_bits);
    let buckets = 2f64.powi(i32::from(bits));
    let verdict = if rows > 0 && (distinct < FEW_VALUES || largest_share >= NAMED_SHARE) {
        Verdict::Refused
    } else if largest_share >= 0.02 || entropy_bits < 8.0 {
        Verdict::Leaks
    } else {
        Verdict::Good
    };
    let mut plan = Plan {
        rows,
        empty: histogram.empty,
        distinct,
        estimated: histogram.sampled > 0,
        entropy_bits,
        largest,
        largest_share,
        recommended_bits,
        bits,
        false_positives: as_f64(rows) * (1.0 - 1.0 / as_f64(distinct.max(1))) / buckets,
        verdict,
        leakage: Vec::new(),
    };
    plan.leakage = leakage(&plan);
    plan
}

/// What a `cardinality` given with a field's definition says of its index: the number of distinct values alone.
pub fn warn_of(cardinality: u64, bits: u16) -> Option<String> {
    let fits = recommended(cardinality);
    if cardinality < FEW_VALUES {
        Some(format!(
            "{cardinality} distinct values: whoever reads the table can tell them by their frequency; use a compound index, or none"
        ))
    } else if bits > fits {
        Some(format!(
            "{cardinality} distinct values: {bits} bits give nearly each value a term of its own; {fits} bits hide values among others"
        ))
    } else {
        None
    }
}

/// The rule of AWS' database encryption SDK, √X < 2^b < X/2, in steps of 8 bits: the longest that fits; else the
/// shortest above √X.
fn recommended(distinct: u64) -> u16 {
    let values = as_f64(distinct.max(1));
    let steps = || (8..=64).step_by(8);
    let above = |bits: &u16| 2f64.powi(i32::from(*bits)) > values.sqrt();
    let below = |bits: &u16| 2f64.powi(i32::from(*bits)) < values / 2.0;
    steps().filter(above).filter(below).max().or_else(|| steps().find(above)).unwrap_or(64)
}

fn leakage(plan: &Plan) -> Vec<String> {
    let percent = plan.largest_share * 100.0;
    let mut words = vec![format!(
        "Whoever reads the table sees which rows may be equal, and that one term stands in {} rows ({percent:.1} %) or more.",
        plan.largest
    )];
    if plan.distinct < FEW_VALUES {
        words.push(format!(
            "There are {} distinct values: the frequencies of the terms name them. Index it together with another column, or not at all.",
            plan.distinct
        ));
    } else if plan.largest_share >= NAMED_SHARE {
        words.push(
            "Whoever knows which value is common knows it of these rows. Index it together with another column, or not at all.".to_owned(),
        );
    } else if plan.verdict == Verdict::Leaks {
        words.push("The most common values can be told by their frequency.".to_owned());
    }
    if plan.bits > plan.recommended_bits {
        words.push(format!(
            "With {} bits nearly every value has a term of its own; {} bits let strangers share terms.",
            plan.bits, plan.recommended_bits
        ));
    }
    if plan.empty > 0 {
        words.push(format!("{} rows have no value; that is visible in any table.", plan.empty));
    }
    words
}

#[expect(clippy::cast_precision_loss, reason = "shares and logarithms; the last digits do not matter")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}

fn as_i32(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(counts: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for (value, count) in counts.iter().enumerate() {
            (0..*count).for_each(|_| histogram.add(&value.to_string()));
        }
        histogram
    }

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn equal_shares_have_the_entropy_of_their_number() {
        let even = plan(&histogram(&[4; 256]), None);
        assert!(near(even.entropy_bits, 8.0), "{even:?}");
        assert_eq!((even.rows, even.distinct, even.largest), (1_024, 256, 4));
        assert!(near(even.largest_share, 4.0 / 1_024.0));
        let uneven = plan(&histogram(&[2, 1, 1]), None);
        assert!(near(uneven.entropy_bits, 1.5));
        assert_eq!(plan(&Histogram::default(), None).verdict, Verdict::Leaks, "nothing is known of an empty column");
    }

    #[test]
    fn the_length_follows_the_rule_of_root_and_half() {
        let bits =
            [(600, 8), (131_080, 16), (1_000_000, 16), (40_000_000, 24), (490, 8), (70_000, 16), (100, 8), (0, 8)];
        for (distinct, wanted) in bits {
            assert_eq!(recommended(distinct), wanted, "{distinct}");
        }
    }

    #[test]
    fn strangers_are_the_rest_of_the_rows_over_the_terms() {
        let plan = plan(&histogram(&[1; 1_024]), Some(8));
        assert!(near(plan.false_positives, 1_023.0 / 256.0), "{plan:?}");
        assert_eq!(plan.verdict, Verdict::Good);
    }

    #[test]
    fn a_flag_is_refused_and_so_is_a_value_that_stands_out() {
        assert_eq!(plan(&histogram(&[900, 100]), None).verdict, Verdict::Refused);
        let common = [&[200][..], &[1; 800]].concat();
        assert_eq!(plan(&histogram(&common), None).verdict, Verdict::Refused);
        let tall = [&[40][..], &[1; 960]].concat();
        assert_eq!(plan(&histogram(&tall), None).verdict, Verdict::Leaks);
        assert!(plan(&histogram(&[900, 100]), None).leakage.join(" ").contains("2 distinct values"));
    }

    #[test]
    fn a_hint_alone_warns_too() {
        assert!(warn_of(2, 8).is_some_and(|warning| warning.contains("compound")));
        assert!(warn_of(1_000, 64).is_some_and(|warning| warning.contains("8 bits")));
        assert_eq!(warn_of(1_000, 8), None);
    }

    #[test]
    fn memory_is_bounded_and_the_estimates_stay_close() {
        let mut histogram = Histogram::holding(1_000);
        for value in 0..50_000 {
            histogram.add(&value.to_string());
            if value % 10 == 0 {
                histogram.add("common");
            }
        }
        assert!(histogram.counts.len() <= 1_001);
        let plan = plan(&histogram, None);
        assert!(plan.estimated);
        assert!((40_000..60_000).contains(&plan.distinct), "{plan:?}");
        assert!((0.085..0.092).contains(&plan.largest_share), "{plan:?}");
    }
}
