//! A plaintext column that refuses nulls has to allow them to be emptied. That it refused them is noted, and put back on the way
//! back.

use chancery_domain::datasets::TableError;

use super::{Migration, first_count};
use crate::{column::unavailable, statement::sql};

impl Migration {
    /// Allows nulls in the plaintext column, and notes that it refused them. PostgreSQL only; SQLite cannot.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn allow_nulls(&self) -> Result<(), TableError> {
        if !self.shape.is_postgres() {
            return Err(TableError::Shape(
                self.plain.to_string(),
                "refuses nulls, which SQLite cannot change: drop the column instead",
            ));
        }
        let run = async {
            let mut work = self.database.begin().await?;
            // Migrations that began with an older Chancery have a table without it.
            let column = " ADD COLUMN IF NOT EXISTS plain_required INTEGER NOT NULL DEFAULT 0";
            work.execute(sql!["ALTER TABLE ", &self.state, column], Vec::new()).await?;
            let note = sql!["UPDATE ", &self.state, " SET plain_required = 1 WHERE source = $1 AND plain = $2"];
            work.execute(note, self.names()).await?;
            let alter = sql!["ALTER TABLE ", &self.shape.table, " ALTER COLUMN ", &self.plain, " DROP NOT NULL"];
            work.execute(alter, Vec::new()).await?;
            work.commit().await
        };
        run.await.map_err(unavailable)
    }

    /// Lets the plaintext column refuse nulls again if it did before, unless rows have none by now: that is counted while nobody
    /// else writes. How many have none; nothing if it never refused them.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn refuse_nulls_again(&self) -> Result<Option<u64>, TableError> {
        if !self.shape.is_postgres() {
            return Ok(None);
        }
        let run = async {
            let mut work = self.locked().await?;
            // As JSON, for the column is missing where nothing had to be noted.
            let noted = sql![
                "SELECT count(*) FROM ",
                &self.state,
                " AS noted WHERE source = $1 AND plain = $2 AND to_jsonb(noted) ->> 'plain_required' = '1'"
            ];
            if first_count(work.fetch(noted, self.names()).await?)? == 0 {
                return Ok(None);
            }
            let empty = sql!["SELECT count(*) FROM ", &self.shape.table, " WHERE ", &self.plain, " IS NULL"];
            let empty = first_count(work.fetch(empty, Vec::new()).await?)?;
            if empty == 0 {
                let alter = sql!["ALTER TABLE ", &self.shape.table, " ALTER COLUMN ", &self.plain, " SET NOT NULL"];
                work.execute(alter, Vec::new()).await?;
                work.commit().await?;
            }
            Ok(Some(empty))
        };
        run.await.map_err(unavailable)
    }
}
