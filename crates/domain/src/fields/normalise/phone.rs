//! Phone numbers to E.164.
//!
//! Rules of our own instead of `phonenumber`'s metadata: that data follows every change of a national numbering plan,
//! and each change would move some numbers to another normal form, in silence. Ours need a country's calling code and
//! its trunk prefix, which do not change; they do not judge whether a number is in service.

use super::{Country, digits::digit, text::fold};
use unicode_normalization::UnicodeNormalization;

/// What comes before a country code when dialling abroad, from most of the world.
const ABROAD: &str = "00";
/// The longest E.164 number.
const MAX_DIGITS: usize = 15;

/// `+` and digits; the digits alone where the country is not known; the folded text if there are none.
pub(super) fn normalise(value: &str, country: Option<Country>) -> String {
    let folded = fold(value);
    let number = without_extension(&folded);
    // A zero in brackets is dialled at home only: +44 (0)20 …
    let plus = number.trim_start().trim_start_matches('(').starts_with('+');
    let number = if plus { number.replace("(0)", "") } else { number.to_owned() };
    let digits: String = number.nfkc().filter_map(digit).collect();
    if digits.is_empty() {
        return folded.trim().to_owned();
    }
    match country {
        _ if plus => international(&digits),
        Some(country) => at_home(&digits, country),
        None => match digits.strip_prefix(ABROAD) {
            Some(rest) => international(rest),
            None => digits,
        },
    }
}

fn international(digits: &str) -> String {
    format!("+{digits}")
}

fn at_home(digits: &str, country: Country) -> String {
    let plan = country.plan();
    let abroad =
        digits.strip_prefix(plan.abroad).or_else(|| digits.strip_prefix(ABROAD).filter(|_| plan.trunk != ABROAD));
    if let Some(rest) = abroad.filter(|rest| rest.len() > 6) {
        return international(rest);
    }
    let national = match digits.strip_prefix(plan.trunk) {
        Some(rest) if !plan.trunk.is_empty() => rest,
        // A number that begins with its country's code and is too long without it, written without its plus.
        _ if digits.starts_with(plan.code) && digits.len() > plan.longest => return international(digits),
        _ => digits,
    };
    let whole = format!("+{}{national}", plan.code);
    if whole.len() > MAX_DIGITS + 1 { digits.to_owned() } else { whole }
}

/// `ext. 12`, `x12`, `;ext=12`, `#12`: who is reached behind the number is not a part of it.
fn without_extension(folded: &str) -> &str {
    let cut = ["ext", "x", ";", "#", ","].iter().filter_map(|mark| folded.find(mark)).min();
    let number = cut.and_then(|at| folded.get(..at)).unwrap_or(folded);
    // A mark before any digit is no extension.
    if number.chars().any(|c| digit(c).is_some()) { number } else { folded }
}
