//! What looks like personal data: the second line behind a schema that has no room for it.
//!
//! Shapes alone, no lists of names: nothing here knows a person. A hit is a suspicion, so whoever is refused is told which
//! detector and where, never what was found.

use serde_json::Value;

use super::{Claim, Evidence};
use crate::{
    text::{is_date, is_email},
    time::Timestamp,
};

/// A date older than this may be a date of birth.
const RECENT_SECONDS: i64 = 2 * 366 * 24 * 60 * 60;
/// So many digits in a row may be a number of a record.
const RECORD_DIGITS: usize = 6;

codes! {
    /// What something looks like.
    pub enum Detector {
        /// A social security number: nine digits.
        Ssn = "ssn",
        /// A telephone number: ten digits, or eleven with a country's code.
        Phone = "phone",
        /// An e-mail address.
        Email = "email",
        /// A medical record number: letters and six digits or more.
        RecordNumber = "record_number",
        /// A date of birth: a date of more than two years ago.
        BirthDate = "birth_date",
    }
}

/// What a text looks like, if it looks like personal data.
pub fn suspect(text: &str, now: Timestamp) -> Option<Detector> {
    if text.split_whitespace().any(|word| is_email(word.trim_matches(['<', '>', '(', ')', ',', ';', '"']))) {
        return Some(Detector::Email);
    }
    if is_thumbprint(text) || text.parse::<Timestamp>().is_ok() {
        return None;
    }
    let separates = |letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '+' | '(' | ')' | '.' | '-');
    let words = text.split(separates).filter(|word| !is_machine_made(word));
    words.clone().find_map(|word| suspect_word(word, now)).or_else(|| {
        // An underscore may stand for a hyphen: 1980_02_29, MRN_1234567.
        let words = text.split(|letter: char| separates(letter) && letter != '_');
        let joined = |word: &str| {
            let parts: Vec<&str> = word.split('_').filter(|part| !is_machine_made(part)).collect();
            (parts.len() > 1).then(|| parts.join("-"))
        };
        words.filter_map(joined).find_map(|word| suspect_word(&word, now))
    })
}

fn suspect_word(word: &str, now: Timestamp) -> Option<Detector> {
    if is_date(word) {
        return is_long_ago(word, now).then_some(Detector::BirthDate);
    }
    if let (8, true, Some(year), Some(month), Some(day)) =
        (word.len(), is_number(word), word.get(..4), word.get(4..6), word.get(6..))
    {
        // Without hyphens; a count of eight digits seldom is a day of the time that people live in.
        let date = format!("{year}-{month}-{day}");
        let lived = year >= "1900" && is_date(&date) && is_long_ago(&date, now);
        return lived.then_some(Detector::BirthDate);
    }
    if word.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        let longest = word.split(|letter: char| !letter.is_ascii_digit()).map(str::len).max().unwrap_or(0);
        return (longest >= RECORD_DIGITS).then_some(Detector::RecordNumber);
    }
    match word.bytes().filter(u8::is_ascii_digit).count() {
        9 => Some(Detector::Ssn),
        10 | 11 => Some(Detector::Phone),
        _ => None,
    }
}

fn is_long_ago(date: &str, now: Timestamp) -> bool {
    let day = format!("{date}T00:00:00Z").parse::<Timestamp>();
    day.is_ok_and(|day| day < now.plus_seconds(-RECENT_SECONDS))
}

/// Whether it is a digest, a thumbprint or an id that a machine drew: digits follow each other there by chance.
fn is_machine_made(word: &str) -> bool {
    let hex = word.len() >= 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) && !is_number(word);
    let ulid = word.len() == 26 && word.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    hex || ulid
}

/// 32 bytes in base64url.
fn is_thumbprint(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where a claim looks as if personal data were in it. The subject's reference is not kept, so it is not looked at.
pub(super) fn suspects(claim: &Claim, now: Timestamp) -> Vec<(String, Detector)> {
    let mut found = Vec::new();
    let mut look = |pointer: String, text: &str| found.extend(suspect(text, now).map(|detector| (pointer, detector)));
    look("/kind".to_owned(), &claim.kind);
    look("/subject/kind".to_owned(), &claim.subject_kind);
    look("/statement/code".to_owned(), &claim.code);
    for (name, value) in &claim.params {
        // The name may itself be what is wrong, so it is not repeated.
        let pointer = || "/statement/params".to_owned();
        look(pointer(), name);
        match value {
            Value::String(text) => look(pointer(), text),
            Value::Number(number) => look(pointer(), &number.to_string()),
            _ => {}
        }
    }
    for (number, Evidence { name, media_type, .. }) in claim.evidence.iter().enumerate() {
        look(format!("/evidence/{number}/name"), name);
        look(format!("/evidence/{number}/media_type"), media_type);
    }
    found
}

/// What of a logged event looks like personal data, with its place. Numbers of our own events are counts; those of an application's
/// are what it says they are.
pub(super) fn suspects_in_event(core: &Value, now: Timestamp) -> Vec<(String, Detector)> {
    let mut found = suspects_in(core, now, false);
    if core.get("type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("app.")) {
        let numbers = core.get("detail").and_then(Value::as_object).into_iter().flatten();
        for (name, value) in numbers.filter(|(_, value)| value.is_number()) {
            let detector = suspect(&value.to_string(), now);
            found.extend(detector.map(|detector| (format!("/detail/{name}"), detector)));
        }
    }
    found
}

/// Every text of a JSON value that looks like personal data, with its place. Numbers of events are counts and are not looked at.
pub(super) fn suspects_in(value: &Value, now: Timestamp, numbers: bool) -> Vec<(String, Detector)> {
    let mut found = Vec::new();
    walk(
        value,
        &mut String::new(),
        &mut |pointer, text| {
            found.extend(suspect(text, now).map(|detector| (pointer.to_owned(), detector)));
        },
        numbers,
    );
    found
}

fn walk(value: &Value, pointer: &mut String, look: &mut dyn FnMut(&str, &str), numbers: bool) {
    let length = pointer.len();
    let inside = |name: &str, inner: &Value, pointer: &mut String, look: &mut dyn FnMut(&str, &str)| {
        pointer.push('/');
        pointer.push_str(name);
        walk(inner, pointer, look, numbers);
        pointer.truncate(length);
    };
    match value {
        Value::String(text) => look(pointer, text),
        Value::Number(number) if numbers => look(pointer, &number.to_string()),
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                inside(&number.to_string(), item, pointer, look);
            }
        }
        Value::Object(members) => {
            for (name, item) in members {
                inside(name, item, pointer, look);
            }
        }
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-26T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn shapes_of_personal_data_are_suspected() {
        for (text, detector) in [
            ("123-45-6789", Detector::Ssn),
            ("SSN_123456789", Detector::Ssn),
            ("555-123-4567", Detector::Phone),
            ("(555) 1234567 or +15551234567", Detector::Phone),
            ("1.555.123.4567", Detector::Phone),
            ("maria@clinic.example", Detector::Email),
            ("write to <maria@clinic.example>", Detector::Email),
            ("MRN123456", Detector::RecordNumber),
            ("app.patient-00123456", Detector::RecordNumber),
            ("1980-02-29", Detector::BirthDate),
            ("MRN_1234567", Detector::RecordNumber),
            ("mrn_1234567", Detector::RecordNumber),
            ("123_45_6789", Detector::Ssn),
            ("555_123_4567", Detector::Phone),
            ("1980_02_29", Detector::BirthDate),
            ("19800229", Detector::BirthDate),
            ("born_19800229", Detector::BirthDate),
        ] {
            assert_eq!(suspect(text, now()), Some(detector), "{text}");
        }
    }

    #[test]
    fn codes_digests_ids_and_recent_dates_are_not() {
        for text in [
            "app.visit-1.closed",
            "PGY-1",
            "2026-09-01",
            "2026_09_01",
            "20260901",
            "20261399",
            "12345678",
            "valid_until_2027",
            "evt_01M8CW123456789WW8PXWW2312",
            "2026-11-26T21:39:53.066259Z",
            "crt_01M8CWSTFND6KWW8PXWW231223",
            "01M8CW123456789WW8PXWW2312",
            "12345678901234567890123456789012345678901234567890123456789abcde",
            "/v1/certificates/{id}",
            "application/pdf",
            "Ed25519",
            "42",
            "",
        ] {
            assert_eq!(suspect(text, now()), None, "{text}");
        }
    }

    #[test]
    fn places_are_told_and_texts_are_not() {
        let value = serde_json::json!({"a": [{"b": "MRN123456"}], "n": 123_456_789});
        assert_eq!(suspects_in(&value, now(), false), [("/a/0/b".to_owned(), Detector::RecordNumber)]);
        assert_eq!(suspects_in(&value, now(), true).len(), 2);
    }

    #[test]
    fn numbers_are_looked_at_in_the_events_of_applications_alone() {
        let event =
            |kind: &str| serde_json::json!({"type": kind, "detail": {"ssn": 123_456_789, "n": 7}, "outcome": 0});
        assert_eq!(suspects_in_event(&event("app.x"), now()), [("/detail/ssn".to_owned(), Detector::Ssn)]);
        assert_eq!(suspects_in_event(&event("record.opened"), now()), []);
    }
}
