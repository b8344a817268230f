//! Dates as people and programs write them.

use super::text::{blanks, fold, visible};
use crate::text::is_date;

/// `YYYY-MM-DD` of `1989-05-25`, `1989-05-25T08:00:00Z`, `1989/5/25`, `1989.5.25`, `19890525` and `25.05.1989`.
///
/// Strokes with the year last are not read: `03/04/2001` is two dates. What is not read keeps its folded text.
pub(super) fn normalise(value: &str) -> String {
    let folded = blanks(&fold(&visible(value)));
    read(&folded).unwrap_or(folded)
}

fn read(text: &str) -> Option<String> {
    let day = text.split(['t', ' ']).next()?;
    let whole = day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit());
    if whole {
        return date(day.get(..4)?, day.get(4..6)?, day.get(6..)?);
    }
    let mark = day.chars().find(|c| matches!(c, '-' | '/' | '.'))?;
    let mut parts = day.split(mark);
    let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
    match (parts.next(), first.len(), third.len()) {
        (None, 4, 1..=2) => date(first, second, third),
        (None, 1..=2, 4) if mark == '.' => date(third, second, first),
        _ => None,
    }
}

fn date(year: &str, month: &str, day: &str) -> Option<String> {
    let date = format!("{year}-{month:0>2}-{day:0>2}");
    is_date(&date).then_some(date)
}
