//! Names of tables and columns: the only thing from outside that gets into a statement.

use std::fmt;

/// The longest name, in bytes: PostgreSQL cuts longer ones.
const MAX: usize = 63;

/// A text that is no name. Does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no name: use a letter or _, then up to 62 letters, digits or _")]
pub struct BadName;

/// The name of a table, a schema or a column.
///
/// A letter or `_`, then letters, digits and `_`, at most 63: what both engines take within double quotes without a
/// letter to escape. Quoted names keep their case, so `Patients` is not `patients`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name(String);

impl Name {
    /// The name without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This name with something after it.
    ///
    /// # Errors
    ///
    /// [`BadName`] if it becomes too long.
    pub fn with(&self, tail: &str) -> Result<Self, BadName> {
        format!("{}{tail}", self.0).parse()
    }

    /// A name of our own for something that belongs to these: always the same, and never too long.
    pub(crate) fn ours(what: &str, of: &[&str]) -> Self {
        let digest = chancery_crypto::sha256_hex(of.join(".").as_bytes());
        Self(format!("chancery_{what}_{}", digest.get(..16).unwrap_or_default()))
    }
}

impl std::str::FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if starts && plain && text.len() <= MAX { Ok(Self(text.to_owned())) } else { Err(BadName) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table, with its schema if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The schema.
    pub schema: Option<Name>,
    /// The table.
    pub table: Name,
}

impl TableName {
    /// Another table of the same schema.
    pub(crate) fn beside(&self, table: Name) -> Self {
        Self { schema: self.schema.clone(), table }
    }
}

impl std::str::FromStr for TableName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let (schema, table) = match text.split_once('.') {
            Some((schema, table)) => (Some(schema.parse()?), table),
            None => (None, text),
        };
        Ok(Self { schema, table: table.parse()? })
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => self.table.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_letters_digits_and_underscores_are_names() {
        for good in ["a", "_", "Patients", "ssn_encrypted", "a1", &"x".repeat(63)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        let long = "x".repeat(64);
        for bad in ["", "1a", "a b", "a\"b", "a\"; DROP TABLE x; --", "a.b", "é", "a-b", "a\0", "a'b", "$1", &long] {
            assert_eq!(bad.parse::<Name>(), Err(BadName), "{bad}");
        }
    }

    #[test]
    fn a_table_may_have_a_schema_and_nothing_more() {
        assert_eq!("clinic.patients".parse::<TableName>().unwrap().to_string(), "clinic.patients");
        assert_eq!("patients".parse::<TableName>().unwrap().schema, None);
        for bad in [".a", "a.", "a.b.c", "", "a .b"] {
            assert_eq!(bad.parse::<TableName>(), Err(BadName), "{bad}");
        }
    }

    #[test]
    fn our_own_names_are_names() {
        let long = "x".repeat(63);
        assert_eq!(
            Name::ours("stale", &[&long, &long]).as_str().parse::<Name>(),
            Ok(Name::ours("stale", &[&long, &long]))
        );
        assert_ne!(Name::ours("stale", &["a", "b"]), Name::ours("stale", &["a", "c"]));
    }
}
