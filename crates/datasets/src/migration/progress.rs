//! How far a migration is, noted in the application's own database.

use chancery_domain::datasets::TableError;

use super::{Migration, first_count};
use crate::{column::unavailable, database::Arg, statement::sql};

/// What is noted of a migration in the application's own database, in the same transaction as the rows it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// `sealing`, `sealed` or `finished`.
    pub phase: String,
    /// The last row that was looked at in this pass.
    pub row_at: Option<String>,
    /// Whether the sealed column was made by the migration.
    pub added_sealed: bool,
    /// Whether the column of terms was made by the migration.
    pub added_term: bool,
}

impl Migration {
    /// What was noted, if the migration was begun.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn progress(&self) -> Result<Option<Progress>, TableError> {
        let exists = match self.database.is_postgres() {
            true => {
                "SELECT count(*) FROM pg_tables WHERE tablename = 'chancery_migrations' AND schemaname = COALESCE($1, current_schema())"
            }
            false => {
                "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'chancery_migrations' AND $1 IS NULL"
            }
        };
        let schema = Arg::Text(self.state.schema.as_ref().map(ToString::to_string));
        let read = async {
            let found = self.database.fetch(sql![exists], vec![schema]).await?;
            if first_count(found)? == 0 {
                return Ok(None);
            }
            let select = sql![
                "SELECT phase, row_at, added_sealed, added_term FROM ",
                &self.state,
                " WHERE source = $1 AND plain = $2"
            ];
            let row = self.database.fetch(select, self.names()).await?.into_iter().next();
            row.map(|mut row| {
                Ok(Progress {
                    phase: row.next()?.some_text()?,
                    row_at: row.next()?.text()?,
                    added_sealed: row.next()?.count()? != 0,
                    added_term: row.next()?.count()? != 0,
                })
            })
            .transpose()
        };
        read.await.map_err(unavailable)
    }

    /// Notes a phase; the next pass begins at the first row.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn note(&self, phase: &'static str) -> Result<(), TableError> {
        let mut args = self.names();
        args.push(phase.into());
        let note = sql!["UPDATE ", &self.state, " SET phase = $3, row_at = NULL WHERE source = $1 AND plain = $2"];
        self.database.execute(note, args).await.map(drop).map_err(unavailable)
    }

    /// Forgets the migration.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn forget(&self) -> Result<(), TableError> {
        let forget = sql!["DELETE FROM ", &self.state, " WHERE source = $1 AND plain = $2"];
        self.database.execute(forget, self.names()).await.map(drop).map_err(unavailable)
    }
}
