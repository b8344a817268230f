//! The way back: plaintext into its column, and away with what the migration added.

use chancery_domain::datasets::{TableError, tables::Stored};

use super::{Migration, Progress, first_count};
use crate::{
    column::{stored_arg, unavailable},
    database::Arg,
    name::Name,
    statement::{Part, list, sql, statement},
};

/// Plaintext to bring back into a row.
pub struct Restore {
    /// Our name of the row.
    pub at: String,
    /// The plaintext that was read; the row is left alone if it has another one by now.
    pub old: Option<chancery_crypto::Phi<String>>,
    /// What the sealed value opened to.
    pub new: chancery_crypto::Phi<String>,
    /// The sealed value; the row is left alone if it has another one by now.
    pub sealed: Stored,
}

impl Migration {
    /// Brings plaintext back where it is still the one that was read, or none, and the sealed value is still this one; how many
    /// rows got theirs.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn restore(&self, rows: &[Restore]) -> Result<u64, TableError> {
        let mut parts: Vec<Part<'_>> =
            vec!["UPDATE ".into(), (&self.shape.table).into(), " SET ".into(), (&self.plain).into()];
        match self.shape.is_postgres() {
            // First as text: the engine would guess another type for the bound value.
            true => parts.extend(list![" = CAST(CAST($2 AS text) AS ", self.plain_type, ") WHERE "]),
            false => parts.push(" = $2 WHERE ".into()),
        }
        parts.extend(self.row_is("$1"));
        parts.extend(list![" AND ", &self.sealed, " = $3 AND CAST(", &self.plain]);
        parts.push(match self.shape.is_postgres() {
            true => " AS text) IS NOT DISTINCT FROM CAST($4 AS text)".into(),
            false => " AS text) IS $4".into(),
        });
        let args = rows.iter().map(|row| {
            let old = Arg::Text(row.old.as_ref().map(|old| old.expose().clone()));
            vec![self.bound_row(&row.at), row.new.expose().as_str().into(), stored_arg(&row.sealed), old]
        });
        self.each(&parts, args.collect()).await
    }

    /// Writes terms back that stood there before; for the way back.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn put_terms(&self, rows: &[(String, Option<String>)]) -> Result<(), TableError> {
        let Some(term) = &self.term else { return Ok(()) };
        let mut parts: Vec<Part<'_>> =
            vec!["UPDATE ".into(), (&self.shape.table).into(), " SET ".into(), term.into(), " = $2 WHERE ".into()];
        parts.extend(self.row_is("$1"));
        let run = async {
            let mut work = self.database.begin().await?;
            for (at, value) in rows {
                let at = if self.shape.is_postgres() { at.as_str().into() } else { self.shape.row_arg(at) };
                work.execute(statement(&parts), vec![at, Arg::Text(value.clone())]).await?;
            }
            work.commit().await
        };
        run.await.map_err(unavailable)
    }

    /// Drops the trigger and the columns that the migration added, unless rows have a sealed value and no plaintext: that is counted
    /// while nobody else writes. How many have.
    ///
    /// # Errors
    ///
    /// [`TableError`]; then everything is as it was.
    pub async fn drop_added(&self, progress: &Progress) -> Result<u64, TableError> {
        let run = async {
            let mut work = self.locked().await?;
            if self.has_sealed() {
                let mut parts: Vec<Part<'_>> = list!["SELECT count(*) FROM ", &self.shape.table, " WHERE "].to_vec();
                parts.extend(list![&self.plain, " IS NULL AND ", &self.sealed, " IS NOT NULL"]);
                let alone = first_count(work.fetch(statement(&parts), Vec::new()).await?)?;
                if alone > 0 {
                    return Ok(alone);
                }
            }
            self.drop_trigger(&mut work).await?;
            if progress.added_term
                && let Some(term) = &self.term
                && self.has_term()
            {
                let index = Name::ours("terms", &[self.shape.table.table.as_str(), term.as_str()]);
                let index = self.shape.table.beside(index);
                work.execute(sql!["DROP INDEX IF EXISTS ", &index], Vec::new()).await?;
                self.drop_column(&mut work, term).await?;
            }
            if progress.added_sealed && self.has_sealed() {
                self.drop_column(&mut work, &self.sealed).await?;
            }
            work.commit().await?;
            Ok(0)
        };
        run.await.map_err(unavailable)
    }
}
