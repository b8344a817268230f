//! What is about to be done, exactly.

use chancery_crypto::{Phi, canonical, sha256};
use serde_json::{Map, Value, json};

use super::DeedKind;
use crate::{audit::Detail, instance::Failure};

/// What is about to be done, exactly: two deeds are the same if kind, resource and every particular are.
#[derive(Debug)]
pub struct Deed {
    pub(super) kind: DeedKind,
    pub(super) resource: (&'static str, String),
    pub(super) details: Vec<(&'static str, Detail)>,
    pub(super) reason: Option<Phi<String>>,
}

impl Deed {
    /// Done to this: a kind of thing such as `key`, and its id.
    pub fn new(kind: DeedKind, thing: &'static str, id: impl ToString) -> Self {
        Self { kind, resource: (thing, id.to_string()), details: Vec::new(), reason: None }
    }

    /// With a particular. The approver sees it; like all details it has no room for personal data.
    #[must_use]
    pub fn with(mut self, name: &'static str, detail: Detail) -> Self {
        self.details.push((name, detail));
        self
    }

    /// Of these versions of a key, by number: one that is made later is not among them. The newest stands apart, since events
    /// tell of a long list only how long it is.
    #[must_use]
    pub fn of_versions(self, numbers: impl Iterator<Item = u32>) -> Self {
        let numbers: Vec<u32> = numbers.collect();
        let newest = numbers.iter().max().copied().unwrap_or_default();
        self.with("versions", Detail::Names(numbers.iter().map(ToString::to_string).collect()))
            .with("newest_version", Detail::Count(newest.into()))
    }

    /// With a reason in words: sealed, opened for approvers, no part of what must be the same.
    #[must_use]
    pub fn because(mut self, reason: Phi<String>) -> Self {
        self.reason = Some(reason);
        self
    }

    /// The particulars as canonical JSON.
    pub(super) fn details_text(&self) -> Result<String, Failure> {
        let details: Map<String, Value> =
            self.details.iter().map(|(name, detail)| ((*name).to_owned(), detail.to_whole_json())).collect();
        text(&Value::Object(details))
    }

    /// What an approval is bound to.
    pub(super) fn digest(&self) -> Result<[u8; 32], Failure> {
        let (thing, id) = &self.resource;
        let details = self.details_text()?;
        let whole = json!({"deed": self.kind.as_str(), "thing": thing, "id": id, "details": details});
        Ok(sha256(text(&whole)?.as_bytes()))
    }
}

fn text(value: &Value) -> Result<String, Failure> {
    let bytes = canonical::to_vec(value).map_err(|_| Failure::Internal("a deed is not canonical"))?;
    String::from_utf8(bytes).map_err(|_| Failure::Internal("a deed is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deed_over_versions_is_over_these_and_no_others() {
        let digest = |numbers: &[u32]| {
            let deed = Deed::new(DeedKind::KeyEscrow, "key", "key_1").of_versions(numbers.iter().copied());
            deed.digest().unwrap()
        };
        assert_eq!(digest(&[1, 2]), digest(&[1, 2]));
        assert_ne!(digest(&[1, 2]), digest(&[1, 2, 3]));
        assert_ne!(digest(&[1, 2]), digest(&[1, 3]));
        // Too many to be listed in an event: one destroyed and one made leaves their number as it was.
        let many: Vec<u32> = (1..=200).collect();
        assert_ne!(digest(&many), digest(&(2..=201).collect::<Vec<_>>()));
    }

    #[test]
    fn of_many_names_each_counts_and_is_shown() {
        let deed = |last: &str| {
            let names = (0..500).map(|n| format!("table_{n}")).chain([last.to_owned()]).collect();
            Deed::new(DeedKind::BreakGlass, "ticket", "INC-1").with("tables", Detail::Names(names))
        };
        assert_eq!(deed("lunch").digest().unwrap(), deed("lunch").digest().unwrap());
        assert_ne!(deed("lunch").digest().unwrap(), deed("psychiatry").digest().unwrap());
        assert!(deed("psychiatry").details_text().unwrap().contains("psychiatry"));
    }

    #[test]
    fn every_part_of_a_deed_counts_and_their_order_does_not() {
        let deed = |days| {
            Deed::new(DeedKind::KeyDelete, "key", "key_1")
                .with("days", Detail::Count(days))
                .with("force", Detail::Code("no"))
        };
        let same = Deed::new(DeedKind::KeyDelete, "key", "key_1")
            .with("force", Detail::Code("no"))
            .with("days", Detail::Count(7))
            .because(Phi::new("whatever".to_owned()));
        let digest = deed(7).digest().unwrap();
        assert_eq!(digest, same.digest().unwrap());
        assert_ne!(digest, deed(8).digest().unwrap());
        assert_ne!(digest, Deed { kind: DeedKind::KeyForceDelete, ..deed(7) }.digest().unwrap());
        assert_ne!(digest, Deed { resource: ("key", "key_2".to_owned()), ..deed(7) }.digest().unwrap());
        assert_ne!(digest, Deed { resource: ("subject", "key_1".to_owned()), ..deed(7) }.digest().unwrap());
    }
}
