//! Rows as they are: all, some, or those that are still to be sealed.

use chancery_domain::datasets::{TableError, tables::Stored};

use super::Migration;
use crate::{
    column::{Shape, unavailable},
    database::{Arg, Cells, DatabaseError},
    statement::{Part, list, statement},
};

/// A row that is still to be sealed.
pub struct Plain {
    /// Our name of the row.
    pub at: String,
    /// The row's id.
    pub row: String,
    /// The plaintext, as text.
    pub value: chancery_crypto::Phi<String>,
    /// What the column of terms holds: a search hash of the application's own, or nothing.
    pub term: Option<String>,
}

/// A row as it is: plaintext and sealed value.
pub struct Pair {
    /// Our name of the row.
    pub at: String,
    /// The row's id.
    pub row: String,
    /// The plaintext, as text.
    pub plain: Option<chancery_crypto::Phi<String>>,
    /// The sealed value, or whatever stands in its column.
    pub sealed: Option<Stored>,
    /// The term.
    pub term: Option<String>,
}

impl Migration {
    /// The next rows that are still to be sealed.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn plain(&self, after: Option<&str>, limit: u32) -> Result<Vec<Plain>, TableError> {
        let rows = self.page(self.pending(), after, limit).await.map_err(unavailable)?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let Pair { at, row, plain, term, .. } = self.pair(row).map_err(unavailable)?;
            if let Some(value) = plain {
                found.push(Plain { at, row, value, term });
            }
        }
        Ok(found)
    }

    /// The next rows, whatever they hold.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn pairs(&self, after: Option<&str>, limit: u32) -> Result<Vec<Pair>, TableError> {
        let every = vec![Part::from(&self.shape.row), " IS NOT NULL".into()];
        let rows = self.page(every, after, limit).await.map_err(unavailable)?;
        rows.into_iter().map(|row| self.pair(row)).collect::<Result<_, _>>().map_err(unavailable)
    }

    /// Rows by name.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn read(&self, rows: &[String]) -> Result<Vec<Pair>, TableError> {
        let mut parts = self.select();
        parts.push(Part::from(&self.shape.row));
        let run = async {
            if self.shape.is_postgres() {
                parts.extend(list![" = ANY(CAST($1 AS ", self.shape.row_list_type(), "))"]);
                let args = vec![Arg::Texts(rows.iter().cloned().map(Some).collect())];
                let found = self.database.fetch(statement(&parts), args).await?;
                return found.into_iter().map(|row| self.pair(row)).collect();
            }
            parts.push(" = $1".into());
            let mut found = Vec::with_capacity(rows.len());
            for at in rows {
                for row in self.database.fetch(statement(&parts), vec![self.shape.row_arg(at)]).await? {
                    found.push(self.pair(row)?);
                }
            }
            Ok(found)
        };
        run.await.map_err(unavailable)
    }

    /// `SELECT row, plain, sealed, term FROM table`.
    fn select(&self) -> Vec<Part<'_>> {
        let Shape { table, row, .. } = &self.shape;
        let mut parts: Vec<Part<'_>> = match self.shape.is_postgres() {
            true => vec!["SELECT CAST(".into(), row.into(), " AS text) AS chancery_row, ".into()],
            false => vec!["SELECT ".into(), row.into(), ", ".into()],
        };
        parts.extend(list!["CAST(", self.read_plain(), " AS text), "]);
        parts.push(if self.has_sealed() { (&self.sealed).into() } else { "NULL".into() });
        parts.push(", ".into());
        parts.push(match &self.term {
            Some(term) if self.has_term() => term.into(),
            _ => "NULL".into(),
        });
        parts.extend(list![" FROM ", table, " WHERE "]);
        parts
    }

    /// Plaintext and no sealed value.
    pub(super) fn pending(&self) -> Vec<Part<'_>> {
        let mut parts: Vec<Part<'_>> = vec![self.read_plain(), " IS NOT NULL".into()];
        if self.has_sealed() {
            parts.extend(list![" AND (", &self.sealed, " IS NULL OR NOT ("]);
            parts.extend(self.kind.is_sealed(&self.sealed, self.shape.is_postgres()));
            parts.push("))".into());
        }
        parts
    }

    async fn page(&self, which: Vec<Part<'_>>, after: Option<&str>, limit: u32) -> Result<Vec<Cells>, DatabaseError> {
        let mut parts = self.select();
        parts.extend(which);
        let mut args: Vec<Arg> = vec![i64::from(limit).into()];
        if let Some(after) = after {
            args.push(self.shape.row_arg(after));
            parts.extend(list![" AND ", &self.shape.row]);
            match self.shape.is_postgres() {
                true => parts.extend(list![" > CAST($2 AS ", self.shape.row_type(), ")"]),
                false => parts.push(" > $2".into()),
            }
        }
        parts.extend(list![" ORDER BY ", &self.shape.row, " LIMIT $1"]);
        self.database.fetch(statement(&parts), args).await
    }

    fn pair(&self, mut row: Cells) -> Result<Pair, DatabaseError> {
        let (at, id) = self.shape.at(row.next()?)?;
        let plain = row.next()?.text()?.map(chancery_crypto::Phi::new);
        Ok(Pair { at, row: id, plain, sealed: self.kind.stored(row.next()?)?, term: row.next()?.text()? })
    }
}
