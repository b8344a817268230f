//! Statements over tables whose names are known at run time only.
//!
//! The lint in `xtask/src/house/sources.rs` refuses SQL that is put together, except in this file.

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use crate::name::{Name, TableName};

/// What a statement is made of. There is no variant for a text from outside, so none gets in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    /// Text that was in the program when it was compiled.
    Text(&'static str),
    /// A name, which gets its quotes here.
    Name(&'a Name),
    /// A table with its schema.
    Table(&'a TableName),
}

impl From<&'static str> for Part<'_> {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a Name> for Part<'a> {
    fn from(name: &'a Name) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a TableName> for Part<'a> {
    fn from(table: &'a TableName) -> Self {
        Self::Table(table)
    }
}

/// Puts a statement together.
pub(crate) fn statement(parts: &[Part<'_>]) -> SqlStr {
    let mut text = String::new();
    let quoted = |text: &mut String, name: &Name| {
        text.push('"');
        text.push_str(name.as_str());
        text.push('"');
    };
    for part in parts {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Name(name) => quoted(&mut text, name),
            Part::Table(TableName { schema, table }) => {
                if let Some(schema) = schema {
                    quoted(&mut text, schema);
                    text.push('.');
                }
                quoted(&mut text, table);
            }
        }
    }
    AssertSqlSafe(text).into_sql_str()
}

/// Parts from literals and names.
macro_rules! list {
    ($($part:expr),+ $(,)?) => { [$($crate::statement::Part::from($part)),+] };
}
pub(crate) use list;

/// A statement from literals and names.
macro_rules! sql {
    ($($part:expr),+ $(,)?) => { $crate::statement::statement(&[$($crate::statement::Part::from($part)),+]) };
}
pub(crate) use sql;

#[cfg(test)]
mod tests {
    use sqlx::SqlSafeStr as _;

    use super::*;

    #[test]
    fn names_are_quoted_and_text_is_not() {
        let (table, name): (TableName, Name) = ("clinic.Patients".parse().unwrap(), "select".parse().unwrap());
        let built = sql!["SELECT ", &name, " FROM ", &table, " WHERE x = $1"];
        assert_eq!(built.as_str(), "SELECT \"select\" FROM \"clinic\".\"Patients\" WHERE x = $1");
        assert_eq!("SELECT 1".into_sql_str().as_str(), "SELECT 1");
    }
}
