//! Finds what must not be in a log in a text: values that go by a name of a secret or of personal data, and values that give
//! themselves away by their shape. The same search cleans our own lines as they are written and samples lines that were.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    ops::Range,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use aho_corasick::AhoCorasick;
use chancery_domain::{
    Timestamp,
    lockdown::{Detector, suspect},
};

use super::names::{known, known_at_the_end};

/// What was found, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// A credential of ours: an API key, a refresh token, a token for one use, a share of a root.
    OwnSecret,
    /// A private key in PEM.
    PrivateKey,
    /// A signed token (JWS).
    Token,
    /// A credential of another system: after `Bearer` or `Basic`, within a URL, an access key of a cloud.
    Credential,
    /// What goes by the name of a secret.
    SecretName,
    /// What goes by a name of personal data.
    PersonalName,
    /// What goes by a name of schedules (AU-11).
    ScheduleName,
    /// A social security number.
    Ssn,
    /// A telephone number.
    Phone,
    /// An e-mail address.
    Email,
    /// A medical record number.
    RecordNumber,
    /// A date of birth.
    BirthDate,
    /// An address on the internet that is not private.
    Ip,
}

impl Class {
    /// All of them.
    pub(crate) const ALL: [Self; 13] = [
        Self::OwnSecret,
        Self::PrivateKey,
        Self::Token,
        Self::Credential,
        Self::SecretName,
        Self::PersonalName,
        Self::ScheduleName,
        Self::Ssn,
        Self::Phone,
        Self::Email,
        Self::RecordNumber,
        Self::BirthDate,
        Self::Ip,
    ];

    /// As it is written.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::OwnSecret => "own_secret",
            Self::PrivateKey => "private_key",
            Self::Token => "token",
            Self::Credential => "credential",
            Self::SecretName => "secret_name",
            Self::PersonalName => "personal_name",
            Self::ScheduleName => "schedule_name",
            Self::Ssn => "ssn",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::RecordNumber => "record_number",
            Self::BirthDate => "birth_date",
            Self::Ip => "ip",
        }
    }

    const fn of(detector: Detector) -> Self {
        match detector {
            Detector::Ssn => Self::Ssn,
            Detector::Phone => Self::Phone,
            Detector::Email => Self::Email,
            Detector::RecordNumber => Self::RecordNumber,
            Detector::BirthDate => Self::BirthDate,
        }
    }
}

/// How what was removed begins; its class and `]` follow.
pub(super) const REMOVED: &str = "[removed: ";

/// Whether a value is what stands where one was removed.
pub(super) fn was_removed(value: &str) -> bool {
    value.starts_with(REMOVED.trim_end())
}

/// Values removed from lines of this process since its start, by class.
static COUNTS: [AtomicU64; Class::ALL.len()] = [const { AtomicU64::new(0) }; Class::ALL.len()];

pub(super) fn count(class: Class) {
    let at = Class::ALL.iter().position(|other| *other == class);
    if let Some(counter) = at.and_then(|at| COUNTS.get(at)) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Values removed from lines of this process since its start, by class.
#[must_use]
pub fn removed() -> Vec<(&'static str, u64)> {
    Class::ALL.iter().zip(&COUNTS).map(|(class, count)| (class.as_str(), count.load(Ordering::Relaxed))).collect()
}

/// Where something is in a text, in bytes, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) at: Range<usize>,
    pub(crate) class: Class,
}

/// A text with everything found in it taken out, and what that was. Most texts are gone over once and come back as they are.
pub(super) fn clean(text: &str, now: impl FnOnce() -> Timestamp) -> (Cow<'_, str>, Vec<Class>) {
    if !may_hold(text) {
        return (Cow::Borrowed(text), Vec::new());
    }
    let found = look(text, now());
    if found.is_empty() {
        return (Cow::Borrowed(text), Vec::new());
    }
    let (mut cleaned, mut end) = (String::with_capacity(text.len()), 0);
    for Found { at, class } in &found {
        cleaned.push_str(text.get(end..at.start).unwrap_or_default());
        cleaned.push_str(REMOVED);
        cleaned.push_str(class.as_str());
        cleaned.push(']');
        end = at.end;
    }
    cleaned.push_str(text.get(end..).unwrap_or_default());
    (Cow::Owned(cleaned), found.into_iter().map(|found| found.class).collect())
}

/// Everything in a text that must not be in a log: in order, none within another.
pub(crate) fn look(text: &str, now: Timestamp) -> Vec<Found> {
    let mut found = Vec::new();
    marked(text, &mut found);
    named(text, &mut found);
    shaped(text, now, &mut found);
    found.sort_by_key(|found| (found.at.start, found.class));
    let mut apart: Vec<Found> = Vec::with_capacity(found.len());
    for one in found {
        match apart.last_mut() {
            Some(last) if one.at.start < last.at.end => {
                last.at.end = last.at.end.max(one.at.end);
                last.class = last.class.min(one.class);
            }
            _ => apart.push(one),
        }
    }
    apart
}

/// What a secret begins with, or what stands before one, whatever the case; with the class of what follows.
const MARKS: [(&str, Class); 9] = [
    ("chy_", Class::OwnSecret),
    ("chr_", Class::OwnSecret),
    ("cho_", Class::OwnSecret),
    ("chs1", Class::OwnSecret),
    ("-----begin", Class::PrivateKey),
    ("eyj", Class::Token),
    ("bearer ", Class::Credential),
    ("basic ", Class::Credential),
    ("akia", Class::Credential),
];

static AUTOMATON: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let marks = MARKS.iter().map(|(mark, _)| mark);
    AhoCorasick::builder().ascii_case_insensitive(true).build(marks).ok()
});

/// Whether it is worth a closer look. Ids of ours are not, and so few digits with none of these signs hold nothing.
fn may_hold(text: &str) -> bool {
    if is_id(text) {
        return false;
    }
    let (mut digits, mut dots) = (0, 0);
    for byte in text.bytes() {
        match byte {
            b'@' | b'=' | b':' => return true,
            b'0'..=b'9' => digits += 1,
            b'.' => dots += 1,
            _ => {}
        }
    }
    // No number of a record is shorter, and no address on the internet.
    if digits >= 6 || digits >= 4 && dots >= 3 {
        return true;
    }
    // Without the automaton nothing is passed over.
    AUTOMATON.as_ref().is_none_or(|automaton| automaton.is_match(text))
}

/// A short prefix and a ULID, as request ids are in every line.
fn is_id(text: &str) -> bool {
    text.split_once('_').is_some_and(|(prefix, ulid)| {
        prefix.len() <= 4
            && ulid.len() == 26
            && ulid.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            && !ulid.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Secrets that their beginning gives away.
fn marked(text: &str, found: &mut Vec<Found>) {
    let Some(automaton) = AUTOMATON.as_ref() else { return };
    for hit in automaton.find_iter(text) {
        let Some((_, class)) = MARKS.get(hit.pattern().as_usize()).copied() else { continue };
        let begins_a_word = text.get(..hit.start()).is_none_or(|before| !before.ends_with(char::is_alphanumeric));
        let after = text.get(hit.start()..).unwrap_or_default();
        let word = after.split(|letter: char| !is_of_a_token(letter)).next().unwrap_or_default();
        let at = match class {
            Class::PrivateKey => pem(after),
            Class::Token => (word.len() > 40 && word.matches('.').count() >= 2).then_some(0..word.len()),
            Class::Credential if text.get(hit.end() - 1..hit.end()) == Some(" ") => {
                let value = text.get(hit.end()..).unwrap_or_default();
                let value = value.split(|letter: char| !is_of_a_token(letter)).next().unwrap_or_default();
                let start = hit.len();
                (value.len() >= 8 && !is_plain_word(value)).then(|| start..start + value.len())
            }
            Class::Credential => (word.len() >= 20).then_some(0..word.len()),
            // As long as the shortest of ours, so that the prefix may be spoken of.
            _ => (word.len() >= 24).then_some(0..word.len()),
        };
        if let (true, Some(at)) = (begins_a_word, at) {
            found.push(Found { at: hit.start() + at.start..hit.start() + at.end, class });
        }
    }
    // A name and a password before a host.
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let host = text.get(start..).unwrap_or_default();
        let host =
            host.split(|letter: char| letter.is_whitespace() || "/?#\"'".contains(letter)).next().unwrap_or_default();
        if let Some((login, _)) = host.rsplit_once('@')
            && login.contains(':')
        {
            found.push(Found { at: start..start + login.len(), class: Class::Credential });
        }
    }
}

/// A private key from its first line to its last, or to the end of the text.
fn pem(text: &str) -> Option<Range<usize>> {
    let label = text.get(..64.min(text.len())).unwrap_or(text).to_ascii_uppercase();
    let first = label.get("-----BEGIN".len()..)?;
    let is_private = first.split("-----").next()?.split_whitespace().any(|word| word == "PRIVATE");
    let end = text.find("-----END").map_or(text.len(), |end| {
        let last = text.get(end..).unwrap_or_default();
        end + last.get("-----END".len()..).and_then(|last| last.find("-----")).map_or(last.len(), |at| at + 13)
    });
    is_private.then_some(0..end)
}

const fn is_of_a_token(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '~' | '+' | '/' | '=')
}

/// Values after a name and `=` or `:`.
fn named(text: &str, found: &mut Vec<Found>) {
    let bytes = text.as_bytes();
    let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| matches!(byte, b'=' | b':')) {
        // Paths of code, addresses.
        let twice = is(at + 1, *byte) || at.checked_sub(1).is_some_and(|before| is(before, *byte));
        if twice || *byte == b':' && is(at + 1, b'/') {
            continue;
        }
        let (Some(before), Some(after)) = (text.get(..at), text.get(at + 1..)) else { continue };
        let Some((class, is_quoted)) = name_before(before) else { continue };
        let value = after.trim_start_matches([' ', '\\']);
        let blank = value.len() < after.len();
        let start = text.len() - value.len();
        let (start, length) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let inside = value.get(1..).unwrap_or_default();
                (start + 1, inside.find(quote).unwrap_or(inside.len()))
            }
            _ => (start, value.find(ends_value).unwrap_or(value.len())),
        };
        // A quote within a quoted text has one before it.
        let Some(value) = text.get(start..start + length).map(|value| value.trim_end_matches('\\')) else { continue };
        let length = value.len();
        // In prose a colon stands after many a word: `Refused a token: expired`.
        let is_prose = *byte == b':' && blank && !is_quoted && is_plain_word(value);
        // An address on a network is looked at by itself: most are of machines.
        let is_address = value.parse::<SocketAddr>().is_ok() || value.parse::<IpAddr>().is_ok();
        if is_prose || is_address || is_nothing(value) || was_removed(value) {
            continue;
        }
        let more = if class == Class::PersonalName { further_names(text, start + length) } else { 0 };
        found.push(Found { at: start..start + length + more, class });
    }
}

/// What a name before a sign says of the value behind it, and whether the name is in quotes.
fn name_before(before: &str) -> Option<(Class, bool)> {
    let open = before.trim_end_matches(['"', '\'', '\\', ' ']);
    let is_quoted = before.trim_end().ends_with(['"', '\'']);
    let is_of_a_name = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.');
    let start = open.char_indices().rev().find(|(_, letter)| !is_of_a_name(*letter));
    let start = start.map_or(0, |(at, letter)| at + letter.len_utf8());
    let name = open.get(start..).filter(|name| !name.is_empty() && name.len() <= 64)?;
    let class = known(name).or_else(|| {
        let words: Vec<&str> = open.rsplit([' ', '\t']).take(4).collect();
        let words: Vec<&str> = words.into_iter().rev().collect();
        known_at_the_end(&words)
    });
    class.map(|class| (class, is_quoted))
}

/// How far the names of a person go on behind the first: words that begin with a capital.
fn further_names(text: &str, end: usize) -> usize {
    let mut rest = text.get(end..).unwrap_or_default();
    let mut length = 0;
    while let Some(word) = rest.strip_prefix(' ') {
        let word = word.get(..word.find(ends_value).unwrap_or(word.len())).unwrap_or_default();
        if !word.starts_with(char::is_uppercase) || word.contains(['=', ':']) {
            break;
        }
        length += 1 + word.len();
        rest = text.get(end + length..).unwrap_or_default();
    }
    length
}

fn ends_value(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, ',' | ';' | '&' | '}' | ')' | ']' | '"' | '\'' | '`')
}

/// A word as people write it, of small letters, and at its end perhaps a sign; or how many there are. No password that anybody may
/// choose is one.
fn is_plain_word(value: &str) -> bool {
    let word = value.trim_end_matches(['.', ',', ';', ':', '!', '?']);
    let is_count = word.len() < 4 && word.bytes().all(|byte| byte.is_ascii_digit());
    is_count || word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte == b'\'')
}

/// Nothing, or that there is nothing; or how a credential is carried that follows.
pub(super) fn is_nothing(value: &str) -> bool {
    const NOTHING: [&str; 10] = ["", "null", "none", "nil", "true", "false", "-", "***", "{", "["];
    const SCHEMES: [&str; 3] = ["bearer", "basic", "dpop"];
    NOTHING.iter().chain(&SCHEMES).any(|nothing| value.eq_ignore_ascii_case(nothing))
}

/// Values of a shape that personal data have.
fn shaped(text: &str, now: Timestamp, found: &mut Vec<Found>) {
    let separates = |letter: char| letter.is_whitespace() || "\"'`=,;<>[]{}|&?/\\".contains(letter);
    let mut start = 0;
    for word in text.split(separates) {
        let at = start..start + word.len();
        // What separates may be longer than a byte.
        start = at.end + text.get(at.end..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        if !word.bytes().any(|byte| byte.is_ascii_digit() || byte == b'@' || byte == b':') {
            continue;
        }
        let bare = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric() && letter != ':');
        let bare = bare.strip_suffix(':').filter(|bare| !bare.ends_with(':')).unwrap_or(bare);
        let address = bare.parse::<IpAddr>().or_else(|_| word.parse::<SocketAddr>().map(|address| address.ip()));
        let address = address.or_else(|_| bare.parse::<SocketAddr>().map(|address| address.ip()));
        let class = match address {
            Ok(address) => is_public(address).then_some(Class::Ip),
            Err(_) => suspect(word, now).map(Class::of),
        };
        found.extend(class.map(|class| Found { at, class }));
    }
}

/// Whether somebody outside has this address.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            !(address.is_private() || address.is_loopback() || address.is_link_local() || address.is_unspecified())
        }
        IpAddr::V6(address) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-27T00:00:00Z".parse().unwrap()
    }

    fn cleaned(text: &str) -> String {
        clean(text, now).0.into_owned()
    }

    fn classes(text: &str) -> Vec<Class> {
        look(text, now()).into_iter().map(|found| found.class).collect()
    }

    const JWS: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c3JfMDEifQ.c2lnbmF0dXJlLW9mLXNvbWUtbGVuZ3Ro";

    #[test]
    fn values_of_known_names_are_removed_and_the_rest_stays() {
        for (text, clean) in [
            ("login password=hunter2 failed", "login password=[removed: secret_name] failed"),
            (r#"sent {"apiKey":"abc def","n":1}"#, r#"sent {"apiKey":"[removed: secret_name]","n":1}"#),
            (r#"sent {\"token\": \"abc\"}"#, r#"sent {\"token\": \"[removed: secret_name]\"}"#),
            ("X-API-KEY: Abc123", "X-API-KEY: [removed: secret_name]"),
            ("patient name: Jane Q Doe was seen", "patient name: [removed: personal_name] was seen"),
            ("?lastName=doe&n=1", "?lastName=[removed: personal_name]&n=1"),
            ("staffAbsences='2 weeks'", "staffAbsences='[removed: schedule_name]'"),
        ] {
            assert_eq!(cleaned(text), clean);
            assert_eq!(cleaned(clean), clean, "once is enough");
        }
    }

    #[test]
    fn secrets_are_known_by_how_they_begin() {
        let key = format!("chy_prod_{}_{}", "01M8CWSTFND6KWW8PXWW231223", "a".repeat(43));
        for (text, class) in [
            (key.as_str(), Class::OwnSecret),
            ("chr_dev_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", Class::OwnSecret),
            (JWS, Class::Token),
            ("authorized by bearer Zm9vYmFyMTIz", Class::Credential),
            ("postgres://chancery:hunter2@db.internal:5432/chancery", Class::Credential),
            ("AKIAIOSFODNN7EXAMPLE", Class::Credential),
            ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----", Class::PrivateKey),
            ("-----BEGIN PRIVATE KEY-----MHcCAQEE", Class::PrivateKey),
        ] {
            assert_eq!(classes(text), [class], "{text}");
            assert!(!cleaned(&format!("before {text} after")).contains("hunter2"));
        }
        assert_eq!(cleaned(&format!("before {JWS} after")), "before [removed: token] after");
        assert_eq!(
            cleaned("postgres://u:hunter2@db:5432/x is away"),
            "postgres://[removed: credential]@db:5432/x is away"
        );
    }

    #[test]
    fn shapes_of_personal_data_are_removed_word_by_word() {
        for (text, clean) in [
            ("of 123-45-6789 there", "of [removed: ssn] there"),
            ("to maria@clinic.example.", "to [removed: email]"),
            ("call (555)123-4567 now", "call [removed: phone] now"),
            ("MRN-1234567/17", "[removed: record_number]/17"),
            ("born 1980-02-29", "born [removed: birth_date]"),
            ("from 203.0.113.77:5432", "from [removed: ip]"),
            ("from [2606:4700:4700::1111]:443", "from [[removed: ip]]:443"),
        ] {
            assert_eq!(cleaned(text), clean);
        }
    }

    /// Lines as they are: none of them may lose a word.
    #[test]
    fn ordinary_lines_stay_as_they_are() {
        for text in [
            "Answered GET /v1/users/{id} with 200",
            "Refused a refresh token: expired",
            "Refused a credential: unknown token key",
            "Could not sequence the log of `ten_01M8CWSTFND6KWW8PXWW231223`",
            "Metrics are at http://127.0.0.1:8701/metrics",
            "connect to 10.0.0.12:5432: connection refused (os error 111)",
            "[::1]:8700 and fe80::1 and 192.168.100.12",
            "Kept the check of kv_01M8CW123456789WW8PXWW2312 at 2026-11-26T21:39:53.066259Z",
            "sha256 12345678901234567890123456789012345678901234567890123456789abcde",
            "request 1234abcd-12ab-34cd-56ef-1234567890ab of the provider",
            "crates/domain/src/audit/sequence.rs:123",
            "api_keys: 3, tokens: 12 were moved",
            "-----BEGIN CERTIFICATE-----",
            "a chy_ prefix, Basic authentication, bearer tokens",
            "chancery_domain::tokens::verify",
            "password: null, token=none",
            "Ready address=127.0.0.1:8700 environment=development",
        ] {
            assert_eq!(cleaned(text), text);
        }
    }

    #[test]
    fn what_is_found_twice_is_removed_once() {
        assert_eq!(cleaned("ssn=123-45-6789"), "ssn=[removed: personal_name]");
        assert_eq!(
            cleaned("Authorization: Bearer chy_prod_0123456789abcdefghijklmnop"),
            "Authorization: Bearer [removed: own_secret]"
        );
    }

    #[test]
    fn letters_of_any_length_are_no_danger() {
        for text in
            ["é=1 patient名=x ssn：1", "password=é", "🦀 123-45-6789 🦀", "=", ":", "ssn=", "\u{3000}a@b.example"]
        {
            let _ = cleaned(text);
        }
        assert_eq!(cleaned("🦀\u{3000}123-45-6789\u{3000}🦀"), "🦀\u{3000}[removed: ssn]\u{3000}🦀");
    }
}
