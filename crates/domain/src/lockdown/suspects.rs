//! What looks like personal data: the second line behind a schema that has no room for it.
//!
//! Shapes alone, no lists of names: nothing here knows a person. A hit is a suspicion, so whoever is refused is told which
//! detector and where, never what was found.

use serde_json::{Value, json};

use crate::{
    certificates::{Claim, Evidence},
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
    let is_hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let uuid = word.len() == 36
        && word
            .bytes()
            .enumerate()
            .all(|(at, byte)| if is_hyphen(at) { byte == b'-' } else { byte.is_ascii_hexdigit() })
        && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    hex || ulid || uuid
}

/// 32 bytes in base64url.
fn is_thumbprint(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Something that looks like personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suspect {
    /// Where, as a JSON pointer.
    pub(crate) pointer: String,
    /// What it looks like.
    pub(crate) detector: Detector,
    /// Whether it is an integer: mostly a count or a moment.
    pub(crate) number: bool,
}

/// Members in which callers name things. What is in them is told by the place of the whole, for a name may itself be what is wrong.
const NAMED_BY_CALLERS: [&str; 3] = ["details", "params", "personal"];

/// Every text, integer and member's name of a JSON value that looks like personal data, with its place; `at` is the value's own.
/// What is asked for and what is stored is looked at by this one walk.
pub(crate) fn suspects_in(value: &Value, at: &str, now: Timestamp) -> Vec<Suspect> {
    let mut walk = Walk { pointer: at.to_owned(), now, found: Vec::new() };
    walk.value(value, true);
    walk.found
}

struct Walk {
    pointer: String,
    now: Timestamp,
    found: Vec<Suspect>,
}

impl Walk {
    /// `told`: whether places within it are told.
    fn value(&mut self, value: &Value, told: bool) {
        match value {
            Value::String(text) => self.look(text, false),
            Value::Number(number) => self.look(&number.to_string(), true),
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    self.inside(told.then(|| number.to_string()).as_deref(), item, told);
                }
            }
            Value::Object(members) => {
                for (name, item) in members {
                    let before = self.found.len();
                    self.look(name, false);
                    let is_told = told && self.found.len() == before;
                    let name = is_told.then_some(name.as_str());
                    self.inside(name, item, is_told && name.is_none_or(|name| !NAMED_BY_CALLERS.contains(&name)));
                }
            }
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn inside(&mut self, name: Option<&str>, value: &Value, told: bool) {
        let length = self.pointer.len();
        if let Some(name) = name {
            self.pointer.push('/');
            self.pointer.push_str(name);
        }
        self.value(value, told);
        self.pointer.truncate(length);
    }

    fn look(&mut self, text: &str, number: bool) {
        let detector = suspect(text, self.now);
        self.found.extend(detector.map(|detector| Suspect { pointer: self.pointer.clone(), detector, number }));
    }
}

/// Where a claim looks as if personal data were in it. The subject's reference is not kept, so it is not looked at.
pub(super) fn suspects(claim: &Claim, now: Timestamp) -> Vec<Suspect> {
    let name = |Evidence { name, media_type, .. }: &Evidence| json!({"name": name, "media_type": media_type});
    let evidence: Vec<Value> = claim.evidence.iter().map(name).collect();
    let said = json!({
        "kind": claim.kind,
        "subject": {"kind": claim.subject_kind},
        "statement": {"code": claim.code, "params": claim.params},
        "evidence": evidence,
    });
    suspects_in(&said, "", now)
}

/// What of a logged event looks like personal data, with its place. Numbers of our own events are counts; those of an application's
/// are what it says they are.
pub(super) fn suspects_in_event(core: &Value, now: Timestamp) -> Vec<Suspect> {
    let own = core.get("type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("app."));
    let mut found = suspects_in(core, "", now);
    found.retain(|suspect| !suspect.number || own && suspect.pointer.starts_with("/detail"));
    found
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
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "/v1/certificates/{id}",
            "application/pdf",
            "Ed25519",
            "42",
            "",
        ] {
            assert_eq!(suspect(text, now()), None, "{text}");
        }
    }

    fn found(suspects: Vec<Suspect>) -> Vec<(String, Detector, bool)> {
        suspects.into_iter().map(|one| (one.pointer, one.detector, one.number)).collect()
    }

    #[test]
    fn places_are_told_and_texts_are_not() {
        let value = json!({"a": [{"b": "MRN123456"}], "n": 123_456_789});
        let expected =
            [("/x/a/0/b".to_owned(), Detector::RecordNumber, false), ("/x/n".to_owned(), Detector::Ssn, true)];
        assert_eq!(found(suspects_in(&value, "/x", now())), expected);
    }

    #[test]
    fn a_suspect_name_is_found_and_in_no_place() {
        let value = json!({"detail": {"mrn1234567": ["MRN7654321"]}, "details": {"jane": "MRN1234567"}});
        let at = |pointer: &str| (pointer.to_owned(), Detector::RecordNumber, false);
        assert_eq!(found(suspects_in(&value, "", now())), [at("/detail"), at("/detail"), at("/details")]);
    }

    #[test]
    fn numbers_are_looked_at_in_the_events_of_applications_alone() {
        let event =
            |kind: &str| json!({"type": kind, "detail": {"ssn": 123_456_789, "n": 7}, "node": {"ctr": 123_456_789}});
        let ssn = ("/detail/ssn".to_owned(), Detector::Ssn, true);
        assert_eq!(found(suspects_in_event(&event("app.x"), now())), [ssn]);
        assert_eq!(suspects_in_event(&event("record.opened"), now()), []);
    }
}
