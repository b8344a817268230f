//! One canary for each of the 18 kinds of identifiers of 45 CFR 164.514(b)(2), and the search for them.

mod captured;

use std::collections::BTreeSet;

use chancery_domain::lockdown::suspect;
use data_encoding::{BASE64, BASE64URL_NOPAD, Encoding, HEXLOWER};

pub use self::captured::Captured;

/// Something that stands for a person, and for nothing else in any program of ours.
#[derive(Debug, Clone, Copy)]
pub struct Canary {
    /// Of which of the 18 kinds.
    pub kind: &'static str,
    /// As it would be written.
    pub text: &'static str,
    /// The part of it that gives it away alone: longer than what random hex has by chance.
    pub sought: &'static str,
}

const fn canary(kind: &'static str, text: &'static str, sought: &'static str) -> Canary {
    Canary { kind, text, sought }
}

/// The kinds in the order of the rule.
pub const CANARIES: [Canary; 18] = [
    canary("name", "Zephyrine Quackenbosch", "quackenbosch"),
    canary("address", "4711 Kestrelwood Lane 93023", "kestrelwood"),
    canary("date", "1931-07-23", "1931-07-23"),
    canary("phone", "+1 415 867 5309", "867 5309"),
    canary("fax", "415-867-5388", "867-5388"),
    canary("email", "zq@muddlewick.example", "muddlewick"),
    canary("ssn", "987-65-4320", "987-65-4320"),
    canary("mrn", "MRN73519284", "mrn73519284"),
    canary("health_plan", "HPB-66190437-02", "hpb-66190437"),
    canary("account", "ACCT5520917733", "5520917733"),
    canary("licence", "LIC-D8842071", "lic-d8842071"),
    canary("vehicle", "1HGCM82633A004352", "1hgcm82633a004352"),
    canary("device", "UDI-00884838048775", "00884838048775"),
    canary("url", "https://thistledown.example/p/7", "thistledown"),
    canary("ip", "203.0.113.77", "203.0.113.77"),
    canary("biometric", "FPRINT-9C41E7AA05", "9c41e7aa05"),
    canary("photo", "IMG_FACE_4410077.jpg", "img_face_4410077"),
    canary("other", "RXC-558301-OTTER", "rxc-558301"),
];

/// How a canary is written, so that it fits what a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As people write it.
    Said,
    /// `[a-z0-9-]`, as names of things are.
    Slug,
    /// `[A-Z0-9-]`, as codes are.
    Capitals,
    /// `[a-z0-9_]`, as members are named.
    Member,
}

impl Form {
    /// The forms of a value.
    pub const VALUES: [Self; 3] = [Self::Said, Self::Slug, Self::Capitals];

    /// A text in this form.
    pub fn of(self, text: &str) -> String {
        match self {
            Self::Said => text.to_owned(),
            Self::Slug => joined(text, "-").to_ascii_lowercase(),
            Self::Capitals => joined(text, "-").to_ascii_uppercase(),
            Self::Member => {
                let name = joined(text, "_").to_ascii_lowercase();
                if name.starts_with(|first: char| first.is_ascii_digit()) { format!("n{name}") } else { name }
            }
        }
    }
}

/// Its words with this between them.
fn joined(text: &str, by: &str) -> String {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(by)
}

/// Whether its shape gives a text away as personal data, to detectors that know no words.
pub fn is_shaped(text: &str) -> bool {
    suspect(text, "2026-11-26T00:00:00Z".parse().unwrap()).is_some()
}

/// A text to look for.
#[derive(Debug)]
struct Needle {
    kind: &'static str,
    form: &'static str,
    text: String,
    /// Whether capitals are as good as small letters.
    folded: bool,
}

/// Every form of every canary, by the bytes that it begins with: what is searched is long.
#[derive(Debug)]
pub struct Needles {
    all: Vec<Needle>,
    begin: Vec<bool>,
}

/// A number of three bytes, below [`PLACES`].
fn begins(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) * 961 + usize::from(bytes[1]) * 31 + usize::from(bytes[2])
}

const PLACES: usize = 1 << 18;

impl Default for Needles {
    fn default() -> Self {
        Self::new()
    }
}

impl Needles {
    /// All of them.
    pub fn new() -> Self {
        let mut needles = Vec::new();
        for Canary { kind, text, sought } in CANARIES {
            let mut add = |form, text: String, folded| needles.push(Needle { kind, form, text, folded });
            let plain = [text.to_lowercase(), sought.to_owned(), joined(sought, "-"), joined(sought, "_")];
            for plain in plain.into_iter().collect::<BTreeSet<_>>() {
                add("hex", HEXLOWER.encode(plain.as_bytes()), true);
                add("text", plain, true);
            }
            add("hex", HEXLOWER.encode(text.as_bytes()), true);
            add("percent-encoding", percent(text).to_lowercase(), true);
            add("form encoding", text.replace(' ', "+").to_lowercase(), true);
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            if digits.len() >= 9 {
                add("digits", digits, true);
            }
            for written in Form::VALUES.map(|form| form.of(text)) {
                for encoding in [BASE64, BASE64URL_NOPAD] {
                    for before in 0..3 {
                        add("base64", inside(&encoding, before, &written), false);
                    }
                }
            }
        }
        let mut begin = vec![false; PLACES];
        for needle in &needles {
            begin[begins(&needle.text.as_bytes()[..3])] = true;
        }
        Self { all: needles, begin }
    }

    /// Where in a text a canary is, in any form; `place` is the text's own name.
    pub fn find(&self, place: &str, text: &str) -> Vec<String> {
        let folded = text.to_ascii_lowercase();
        let mut found = BTreeSet::new();
        for (haystack, is_folded) in [(folded.as_bytes(), true), (text.as_bytes(), false)] {
            for (at, three) in haystack.windows(3).enumerate() {
                if !self.begin[begins(three)] {
                    continue;
                }
                let here = &haystack[at..];
                let here =
                    self.all.iter().filter(|one| one.folded == is_folded && here.starts_with(one.text.as_bytes()));
                for needle in here {
                    let around =
                        &text.as_bytes()[at.saturating_sub(150)..(at + needle.text.len() + 60).min(text.len())];
                    let around = String::from_utf8_lossy(around).escape_debug().to_string();
                    found.insert(format!("{place}: {} as {}: …{around}…", needle.kind, needle.form));
                }
            }
        }
        found.into_iter().collect()
    }
}

/// The letters of its base64 that do not depend on what is around it, after so many bytes.
fn inside(encoding: &Encoding, before: usize, text: &str) -> String {
    let bytes = [&[0; 2][..before], text.as_bytes()].concat();
    let encoded = encoding.encode(&bytes);
    encoded[(before * 8).div_ceil(6)..bytes.len() * 8 / 6].to_owned()
}

/// Everything but letters and digits as `%XX`.
pub fn percent(text: &str) -> String {
    let letter = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(letter).collect()
}

#[test]
fn a_canary_is_found_in_every_form_that_it_may_take() {
    let needles = Needles::new();
    for Canary { kind, text, .. } in CANARIES {
        let mut written = vec![percent(text), HEXLOWER.encode(text.as_bytes()), text.to_uppercase()];
        written.extend([Form::Said, Form::Slug, Form::Capitals, Form::Member].map(|form| form.of(text)));
        for before in ["", "a", "ab", "abc"] {
            written.push(BASE64.encode(format!("{before}{text} and more").as_bytes()));
            written.push(BASE64URL_NOPAD.encode(format!("{before}{text}").as_bytes()));
        }
        for written in written {
            let found = needles.find("here", &format!("before {written} after"));
            assert!(found.iter().any(|found| found.starts_with(&format!("here: {kind} "))), "{kind}: {written}");
        }
    }
    let clean =
        r#"{"time":"2026-11-27T02:00:00Z","route":"/v1/users/{id}","request_id":"req_01J9Z3K0Q5V8WXYZ0123456789"}"#;
    assert_eq!(needles.find("here", clean), [""; 0]);
    let mut kinds: Vec<_> = CANARIES.iter().map(|canary| canary.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), 18);
}
