//! Counts rows by what they hold.

use chancery_domain::datasets::TableError;

use super::Migration;
use crate::{
    column::unavailable,
    database::DatabaseError,
    statement::{Part, list, statement},
};

/// How many rows are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All rows.
    pub rows: u64,
    /// Rows with plaintext.
    pub plain: u64,
    /// Rows with a sealed value.
    pub sealed: u64,
    /// Rows with plaintext and no sealed value: still to be done, or slipped in.
    pub pending: u64,
    /// Rows with something in the sealed column that is not sealed.
    pub unsealed: u64,
    /// Rows with neither.
    pub nulls: u64,
}

impl Migration {
    /// Counts rows by what they hold, as of one moment.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn counts(&self) -> Result<Counts, TableError> {
        let mut parts: Vec<Part<'_>> = vec!["SELECT count(*), count(".into()];
        parts.extend(list![self.read_plain(), "), "]);
        if self.has_sealed() {
            parts.push("CAST(COALESCE(sum(CASE WHEN ".into());
            parts.extend(self.kind.is_sealed(&self.sealed, self.shape.is_postgres()));
            parts.push(" THEN 1 ELSE 0 END), 0) AS bigint), CAST(COALESCE(sum(CASE WHEN ".into());
            parts.extend(self.pending());
            parts.push(" THEN 1 ELSE 0 END), 0) AS bigint), CAST(COALESCE(sum(CASE WHEN ".into());
            parts.extend(list![&self.sealed, " IS NOT NULL AND NOT ("]);
            parts.extend(self.kind.is_sealed(&self.sealed, self.shape.is_postgres()));
            parts.push(") THEN 1 ELSE 0 END), 0) AS bigint), CAST(COALESCE(sum(CASE WHEN ".into());
            parts.extend(list![self.read_plain(), " IS NULL AND ", &self.sealed, " IS NULL"]);
            parts.push(" THEN 1 ELSE 0 END), 0) AS bigint)".into());
        } else {
            parts.extend(list![
                "CAST(0 AS bigint), count(",
                self.read_plain(),
                "), CAST(0 AS bigint), count(*) - count(",
            ]);
            parts.extend(list![self.read_plain(), ")"]);
        }
        parts.extend(list![" FROM ", &self.shape.table]);
        let run = async {
            let rows = self.database.fetch(statement(&parts), Vec::new()).await?;
            let mut row = rows.into_iter().next().ok_or(DatabaseError::Type)?;
            Ok(Counts {
                rows: row.next()?.count()?,
                plain: row.next()?.count()?,
                sealed: row.next()?.count()?,
                pending: row.next()?.count()?,
                unsealed: row.next()?.count()?,
                nulls: row.next()?.count()?,
            })
        };
        run.await.map_err(unavailable)
    }
}
