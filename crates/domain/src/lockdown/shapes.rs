//! What looks like personal data: the second line behind a schema that has no room for it.
//!
//! Shapes alone, no lists of names: nothing here knows a person. A hit is a suspicion, so whoever is refused is told which
//! detector and where, never what was found.

use std::{borrow::Cow, mem, ops::Range};

use unicode_normalization::UnicodeNormalization as _;

use crate::{
    text::{is_email, is_invisible},
    time::Timestamp,
};

/// A date older than this may be a date of birth.
const RECENT_SECONDS: i64 = 2 * 366 * 24 * 60 * 60;
/// So many digits in a row may be a number of a record.
const RECORD_DIGITS: usize = 6;
/// A date has at least so many: 2/9/80.
const DATE_DIGITS: usize = 4;
/// What stands between two groups of one number is no longer: `) `, ` - `.
const LONGEST_JOINT: usize = 3;
/// Stands where something was that a machine made: no letter, no digit, and nothing that joins digits.
const MACHINE_MADE: char = '|';

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
    // Digits of another width are digits, and what nobody sees parts none.
    let text: Cow<'_, str> = if text.is_ascii() {
        text.into()
    } else {
        text.nfkc().filter(|letter| !is_invisible(*letter)).collect::<String>().into()
    };
    if text.split_whitespace().any(|word| is_email(word.trim_matches(['<', '>', '(', ')', ',', ';', '"']))) {
        return Some(Detector::Email);
    }
    if is_thumbprint(&text) || text.bytes().filter(u8::is_ascii_digit).count() < DATE_DIGITS {
        return None;
    }
    if text.split_whitespace().filter_map(moment).any(|moment| is_long_ago(moment, now)) {
        return Some(Detector::BirthDate);
    }
    let text = without_machine_made(&text);
    let record = || is_record_number(&text).then_some(Detector::RecordNumber);
    rows(&text).iter().find_map(|row| suspect_row(row, now)).or_else(record)
}

/// A moment that a machine wrote, whatever stands around it.
fn moment(word: &str) -> Option<Timestamp> {
    word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric()).parse().ok()
}

/// The text with a mark in the place of moments, ids and digests: digits follow each other there by chance.
fn without_machine_made(text: &str) -> String {
    let of_a_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let mut left = String::with_capacity(text.len());
    for piece in text.split_inclusive(char::is_whitespace) {
        if moment(piece).is_some() {
            left.push(MACHINE_MADE);
            continue;
        }
        for word in piece.split_inclusive(|letter: char| !of_a_word(letter)) {
            let (word, end) = word.split_at(word.find(|letter: char| !of_a_word(letter)).unwrap_or(word.len()));
            if is_machine_made(word) {
                left.push(MACHINE_MADE);
            } else {
                left.push_str(word);
            }
            left.push_str(end);
        }
    }
    left
}

/// Whether a word has a letter and so many digits in a row.
fn is_record_number(text: &str) -> bool {
    let separates = |letter: char| !letter.is_ascii_alphanumeric() && !"+().-_".contains(letter);
    text.split(separates).any(|word| {
        let longest = word.split(|letter: char| !letter.is_ascii_digit()).map(str::len).max().unwrap_or(0);
        longest >= RECORD_DIGITS && word.bytes().any(|byte| byte.is_ascii_alphabetic())
    })
}

/// Whether it stands between digits of one number, and seldom between two numbers.
fn binds(letter: char) -> bool {
    matches!(letter, '-' | '(' | ')' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Digits with nothing between them.
struct Group<'t> {
    digits: &'t str,
    /// What stands before them: behind the group before, if there is one in the row.
    joint: &'t str,
    /// Whether a letter touches them.
    is_lettered: bool,
}

/// The digits of a text. Groups that people part as one number or one date are in one row; letters end it.
fn rows(text: &str) -> Vec<Vec<Group<'_>>> {
    let parts = |letter: char| binds(letter) || matches!(letter, '.' | '/' | '_' | ' ' | '\t');
    let is_joint = |joint: &str| joint.chars().count() <= LONGEST_JOINT && joint.chars().all(parts);
    let (mut rows, mut row, mut rest) = (Vec::new(), Vec::new(), text);
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (joint, from) = rest.split_at(start);
        let (digits, behind) = from.split_at(from.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(from.len()));
        if !is_joint(joint) {
            rows.push(mem::take(&mut row));
        }
        let is_lettered = joint.ends_with(char::is_alphabetic) || behind.starts_with(char::is_alphabetic);
        row.push(Group { digits, joint, is_lettered });
        rest = behind;
    }
    rows.push(row);
    rows
}

/// What groups of digits look like. A date of the last years, and the time of day behind it, are no part of a number beside them.
fn suspect_row(row: &[Group<'_>], now: Timestamp) -> Option<Detector> {
    let eight = row.iter().flat_map(|group| days_of_eight(group.digits));
    let mut days = eight.chain((0..row.len()).flat_map(|at| days_at(row, at, now)));
    if days.any(|day| is_long_ago(day, now)) {
        return Some(Detector::BirthDate);
    }
    let (mut number, mut at) = (0, 0);
    while at < row.len() {
        if days_at(row, at, now).is_empty() {
            at += 1;
            continue;
        }
        if let Some(found) = suspect_number(row.get(number..at).unwrap_or_default()) {
            return Some(found);
        }
        at += if is_time_of_day(row.get(at + 3..).unwrap_or_default()) { 6 } else { 3 };
        number = at;
    }
    suspect_number(row.get(number..).unwrap_or_default())
}

/// What digits that are no date look like: by how many there are together, or by how they are grouped. Numbers side by side are often
/// codes, counts and sums, and between dots versions: they are no number of a person for having as many digits.
fn suspect_number(row: &[Group<'_>]) -> Option<Detector> {
    if row.iter().any(|group| group.is_lettered && group.digits.len() >= RECORD_DIGITS) {
        return Some(Detector::RecordNumber);
    }
    let international = row.first().filter(|first| first.joint.ends_with('+'));
    international
        .and_then(|_| counted(row))
        .or_else(|| row.chunk_by(|_, next| next.joint.chars().all(binds)).find_map(counted))
        .or_else(|| row.chunks(1).find_map(counted))
        .or_else(|| row.windows(3).find_map(grouped))
        .or_else(|| row.windows(2).find_map(paired))
}

fn counted(groups: &[Group<'_>]) -> Option<Detector> {
    let lengths: Vec<usize> = groups.iter().map(|group| group.digits.len()).collect();
    // `INV-2026-00123`, `ip-172-31-10-201`, `5.15.1042-12345`.
    let goes_on = |joint: &str| joint.ends_with(|letter: char| letter.is_alphabetic() || matches!(letter, '-' | '.'));
    let counts = match lengths.as_slice() {
        [_] | [3, 3, 3] => true,
        // Two codes of procedures.
        [5, 5] => false,
        _ => !groups.first().is_some_and(|first| goes_on(first.joint)),
    };
    match lengths.iter().sum::<usize>() {
        9 if counts => Some(Detector::Ssn),
        10 | 11 if counts => Some(Detector::Phone),
        _ => None,
    }
}

/// As the United States write them: whatever stands before and behind.
fn grouped(groups: &[Group<'_>]) -> Option<Detector> {
    match groups {
        [a, b, c] => match (a.digits.len(), b.digits.len(), c.digits.len()) {
            (3, 2, 4) => Some(Detector::Ssn),
            (3, 3, 4) => Some(Detector::Phone),
            _ => None,
        },
        _ => None,
    }
}

/// `(555) 1234567`, `030 / 12345678`.
fn paired(groups: &[Group<'_>]) -> Option<Detector> {
    match groups {
        [a, b] if a.digits.len() == 3 && matches!(b.digits.len(), 7 | 8) => {
            (b.joint.contains(')') || b.joint == " / ").then_some(Detector::Phone)
        }
        _ => None,
    }
}

/// Whether a time of day begins here: 10-30-45.
fn is_time_of_day(groups: &[Group<'_>]) -> bool {
    let is_below = |group: &Group<'_>, end: &str| group.digits.len() == 2 && group.digits < end;
    matches!(groups, [hour, minute, second, ..] if is_below(hour, "24") && is_below(minute, "60") && is_below(second, "60"))
}

/// The days that three groups say from `at` on, in every order that people write; none if it is no date.
///
/// Three groups of one or two digits are times of day, versions and pages as well: they are a date only behind what says so. Between
/// dots a month or a day of one digit behind the year is a version, and so is what has a `v` before it.
fn days_at(row: &[Group<'_>], at: usize, now: Timestamp) -> Vec<Timestamp> {
    let Some([first, second, third, ..]) = row.get(at..) else { return Vec::new() };
    let joint = second.joint;
    if third.joint != joint || joint == "." && first.joint.ends_with(['v', 'V']) {
        return Vec::new();
    }
    let (a, b, c) = (first.digits, second.digits, third.digits);
    let short =
        |year: &str| format!("{}{year}", if year <= now.to_string().get(2..4).unwrap_or_default() { 20 } else { 19 });
    let days = match (a.len(), b.len(), c.len()) {
        (4, month @ (1 | 2), of @ (1 | 2)) if joint != "." || month + of == 4 => {
            vec![day(a, b, c).or_else(|| day(a, c, b))]
        }
        (1 | 2, 1 | 2, 4) => vec![day(c, a, b), day(c, b, a)],
        (1 | 2, 1 | 2, 2) if says_birth(first.joint) => {
            vec![day(&short(c), a, b), day(&short(c), b, a), day(&short(a), b, c)]
        }
        _ => Vec::new(),
    };
    days.into_iter().flatten().collect()
}

/// Whether a text ends in a word for a day of birth: `DOB-`, `date_of_birth: `.
fn says_birth(before: &str) -> bool {
    let before = before.trim_end_matches(|letter: char| !letter.is_alphabetic()).to_lowercase();
    ["dob", "born", "birth", "birthdate", "birthday"].iter().any(|word| before.ends_with(word))
}

/// The days that eight digits can say. A count of eight digits seldom is one.
fn days_of_eight(digits: &str) -> impl Iterator<Item = Timestamp> {
    let read = move |(year, month, day_of): (Range<usize>, Range<usize>, Range<usize>)| {
        day(digits.get(year)?, digits.get(month)?, digits.get(day_of)?)
    };
    let orders = [(0..4, 4..6, 6..8), (4..8, 0..2, 2..4), (4..8, 2..4, 0..2)];
    orders.into_iter().filter(move |_| digits.len() == 8).filter_map(read)
}

/// A day of the time that people live in.
fn day(year: &str, month: &str, day: &str) -> Option<Timestamp> {
    format!("{year}-{month:0>2}-{day:0>2}T00:00:00Z").parse().ok().filter(|_| year >= "1900")
}

fn is_long_ago(moment: Timestamp, now: Timestamp) -> bool {
    moment < now.plus_seconds(-RECENT_SECONDS)
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
    fn shapes_are_suspected_whatever_stands_before_them_and_however_they_are_parted() {
        for (text, detector) in [
            ("SSN-123-45-6789", Detector::Ssn),
            ("SSN 123 45 6789", Detector::Ssn),
            ("SSN:123/45/6789", Detector::Ssn),
            ("MRN-123-456-789", Detector::Ssn),
            ("room 1234 123-45-6789", Detector::Ssn),
            ("4711 123 45 6789", Detector::Ssn),
            ("1234/123456789", Detector::Ssn),
            ("\u{ff11}\u{ff12}\u{ff13}-45-6789", Detector::Ssn),
            ("123\u{2013}45\u{2013}67\u{200b}89", Detector::Ssn),
            ("TEL-555-123-4567", Detector::Phone),
            ("Jane Roe (555) 123-4567", Detector::Phone),
            ("+1 (555) 123 4567", Detector::Phone),
            ("+49 30 123456", Detector::Phone),
            ("ward 7 (555) 1234567", Detector::Phone),
            ("12-3456789", Detector::Ssn),
            ("1-(555)-123-4567", Detector::Phone),
            ("030 / 12345678", Detector::Phone),
            ("DOB-1980-02-29", Detector::BirthDate),
            ("DOB1980-02-29", Detector::BirthDate),
            ("DOB19800229", Detector::BirthDate),
            ("DOB.02.29.1980", Detector::BirthDate),
            ("SMITH.JANE.1980-02-29", Detector::BirthDate),
            ("02-29-1980", Detector::BirthDate),
            ("29.02.1980", Detector::BirthDate),
            ("29. 2. 1980", Detector::BirthDate),
            ("02291980", Detector::BirthDate),
            ("29021980", Detector::BirthDate),
            ("1980.02.29", Detector::BirthDate),
            ("1980-2-29", Detector::BirthDate),
            ("1980-29-02", Detector::BirthDate),
            ("born 2/29/1980", Detector::BirthDate),
            ("born 2/29/80", Detector::BirthDate),
            ("DOB-29-02-80", Detector::BirthDate),
            ("date_of_birth: 29.02.80", Detector::BirthDate),
            ("born 02/29/1980", Detector::BirthDate),
            ("n1931_07_23", Detector::BirthDate),
            ("born 1980-02-29T00:00:00Z", Detector::BirthDate),
            ("1980-02-29T00:00:00Z", Detector::BirthDate),
            ("1980-02-29 00:00:00", Detector::BirthDate),
        ] {
            assert_eq!(suspect(text, now()), Some(detector), "{text}");
        }
    }

    /// Each was taken out of logs for good.
    #[test]
    fn times_of_day_versions_procedures_and_sums_are_not() {
        for text in [
            "export_2026-11-27_10-11-12.csv",
            "export_2026-11-27_10-11-12-123",
            "Screenshot 2026-11-27 at 10.11.12",
            "10-11-12",
            "24.10.12",
            "29-02-80",
            "2/29/80",
            "99213 99214",
            "99213-99214",
            "CPT-99213-99214",
            "120/80 118/79",
            "1024 65536",
            "1024/65536",
            "200 1048576",
            "1024 10 20",
            "101 102 103",
            "250.00 401.9",
            "1234567.89",
            "123.456.789",
            "2023.1.4",
            "v2019.03.13",
            "2024.10.123",
            "v120.0.6099.109",
            "5.15.1042-12345",
            "6.1.119-129.201.amzn2023",
            "INV-2026-00123",
            "NDC-0002-8215-01",
        ] {
            assert_eq!(suspect(text, now()), None, "{text}");
        }
    }

    #[test]
    fn codes_digests_ids_and_recent_dates_are_not() {
        for text in [
            "since 2026-11-26T21:39:53.066259Z, by kv_01M8CW123456789WW8PXWW2312",
            "2026-09-01 10:30:00",
            "2026-09-01-10-30-45",
            "2026-01-01/2026-02-01",
            "2024-12-01",
            "01/15/26",
            "12/31/2099",
            "2019-11",
            "1.95.0",
            "15.10.1",
            "10.11.12.13",
            "ip-172-31-10-201.internal",
            "1,234,567,890",
            "of 120 rows 5000 in 250 ms",
            "sha256:12345678901234567890123456789012345678901234567890123456789abcde",
            "chancery.example/t/0f1e2d3c4b5a69788796a5b4c3d2e1f0/e2",
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
}
