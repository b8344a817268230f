//! Takes the plaintext away: row by row, and then its column.

use chancery_domain::datasets::{TableError, tables::Stored};

use super::{Migration, first_count};
use crate::{
    column::{stored_arg, unavailable},
    statement::{Part, list, statement},
};

/// Rows to clear: our name of the row, its plaintext, its sealed value.
pub type Batch<'a> = &'a [(String, chancery_crypto::Phi<String>, Stored)];

impl Migration {
    /// Empties the plaintext of rows that hold exactly this plaintext and this sealed value; how many did.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn clear(&self, rows: Batch<'_>) -> Result<u64, TableError> {
        let mut parts: Vec<Part<'_>> = vec![
            "UPDATE ".into(),
            (&self.shape.table).into(),
            " SET ".into(),
            (&self.plain).into(),
            " = NULL WHERE ".into(),
        ];
        parts.extend(self.row_is("$1"));
        parts.extend(list![" AND CAST(", &self.plain, " AS text) = $2 AND "]);
        parts.extend(list![&self.sealed, " = $3"]);
        let args = rows
            .iter()
            .map(|(at, plain, sealed)| vec![self.bound_row(at), plain.expose().as_str().into(), stored_arg(sealed)]);
        self.each(&parts, args.collect()).await
    }

    /// Drops the trigger and the plaintext column, unless rows are pending: that is counted while nobody else writes. How many are;
    /// with none the column is gone, and there is no way back but a backup.
    ///
    /// # Errors
    ///
    /// [`TableError`]; then everything is as it was.
    pub async fn drop_plain(&self) -> Result<u64, TableError> {
        let mut parts: Vec<Part<'_>> = list!["SELECT count(*) FROM ", &self.shape.table, " WHERE "].to_vec();
        parts.extend(self.pending());
        let run = async {
            let mut work = self.locked().await?;
            let pending = first_count(work.fetch(statement(&parts), Vec::new()).await?)?;
            if pending == 0 {
                self.drop_trigger(&mut work).await?;
                self.drop_column(&mut work, &self.plain).await?;
                work.commit().await?;
            }
            Ok(pending)
        };
        run.await.map_err(unavailable)
    }
}
