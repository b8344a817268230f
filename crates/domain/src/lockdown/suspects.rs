//! Where something in a claim or an event looks like personal data.

use serde_json::{Value, json};

use super::shapes::{Detector, suspect};
use crate::{
    certificates::{Claim, Evidence},
    time::Timestamp,
};

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
        // A moment as we write it is ours: there is no room for another in events and certificates.
        if Timestamp::from_exact(text).is_some() {
            return;
        }
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

    /// A log of many years has moments in its details, such as from when on somebody asked.
    #[test]
    fn our_own_moments_are_no_dates_of_birth() {
        let asked = json!({"type": "audit.read", "detail": {"from": "1970-01-01T00:00:00.000000Z"}});
        assert_eq!(suspects_in_event(&asked, now()), []);
        let said = json!({"type": "app.x", "detail": {"born": "1980-02-29"}});
        assert_eq!(suspects_in_event(&said, now()).len(), 1);
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
