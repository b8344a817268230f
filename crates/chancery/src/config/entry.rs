//! One entry of a list of tables, such as `[[key_providers]]`: its values by type, with a fault for each that is of another.

use std::{collections::BTreeSet, path::PathBuf};

use super::{findings::Findings, text::Choice};

/// One entry, and what was asked of it.
pub(super) struct Entry<'a> {
    /// Of which list, such as `key_providers`.
    pub(super) list: &'static str,
    pub(super) number: usize,
    pub(super) origin: &'a str,
    pub(super) table: &'a toml::Table,
    pub(super) findings: &'a mut Findings,
    known: BTreeSet<&'static str>,
}

impl<'a> Entry<'a> {
    pub(super) const fn new(
        list: &'static str,
        number: usize,
        origin: &'a str,
        table: &'a toml::Table,
        findings: &'a mut Findings,
    ) -> Self {
        Self { list, number, origin, table, findings, known: BTreeSet::new() }
    }

    pub(super) fn subject(&self, key: &str) -> String {
        format!("{}[{}].{key} ({})", self.list, self.number, self.origin)
    }

    pub(super) fn fault(&mut self, key: &str, problem: impl Into<String>, cure: impl Into<String>) {
        let subject = self.subject(key);
        self.findings.fault(subject, problem, cure);
    }

    /// A fault for each key that nothing asked for. `what` the entry is.
    pub(super) fn refuse_unknown(&mut self, what: &str) {
        let known: Vec<&str> = self.known.iter().copied().collect();
        for key in self.table.keys().filter(|key| !known.contains(&key.as_str())) {
            let file = format!("{key}_file");
            let cure = match known.contains(&file.as_str()) {
                true => format!("put the secret into a file of mode 600 and name that in {file}"),
                false => format!("remove it; this {what} knows {}", known.join(", ")),
            };
            let subject = self.subject(key);
            self.findings.fault(subject, format!("is no setting of this {what}"), cure);
        }
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        self.known.insert(key);
        match self.table.get(key)? {
            toml::Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => {
                self.fault(key, "is no text", "write a text in quotes");
                None
            }
        }
    }

    pub(super) fn needed(&mut self, key: &'static str, example: &str) -> String {
        let given = self.table.contains_key(key);
        self.text(key).unwrap_or_else(|| {
            if !given {
                self.fault(key, "is missing", format!("set it, such as {key} = \"{example}\""));
            }
            String::new()
        })
    }

    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        self.known.insert(key);
        match self.table.get(key) {
            None => default,
            Some(toml::Value::Boolean(flag)) => *flag,
            // From the environment everything is text.
            Some(toml::Value::String(text)) if text == "true" || text == "false" => text == "true",
            Some(_) => {
                self.fault(key, "is neither true nor false", "write true or false");
                default
            }
        }
    }

    pub(super) fn number<N>(&mut self, key: &'static str, default: N, least: N, most: N) -> N
    where
        N: TryFrom<i64> + std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        self.known.insert(key);
        let number = match self.table.get(key) {
            None => return default,
            Some(toml::Value::Integer(number)) => N::try_from(*number).ok(),
            Some(toml::Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        let bounds = least..=most;
        number.filter(|number| bounds.contains(number)).unwrap_or_else(|| {
            let cure = format!("write a whole number from {} to {}", bounds.start(), bounds.end());
            self.fault(key, "is out of bounds", cure);
            default
        })
    }

    pub(super) fn words(&mut self, key: &'static str) -> Vec<String> {
        self.known.insert(key);
        let texts = |items: &[toml::Value]| {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>()
        };
        let words = match self.table.get(key) {
            None => return Vec::new(),
            Some(toml::Value::Array(items)) => texts(items),
            Some(toml::Value::String(text)) => Some(text.split(',').map(|word| word.trim().to_owned()).collect()),
            Some(_) => None,
        };
        words.unwrap_or_else(|| {
            self.fault(key, "is no list of texts", format!("write {key} = [\"clinic-a\", \"clinic-b\"]"));
            Vec::new()
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Choice>(&mut self, key: &'static str, default: T) -> T {
        let Some(text) = self.text(key) else { return default };
        if let Some((_, choice)) = T::WORDS.iter().find(|(word, _)| *word == text) {
            return *choice;
        }
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        self.fault(key, "has a value that is not known", format!("write one of: {}", words.join(", ")));
        default
    }
}
