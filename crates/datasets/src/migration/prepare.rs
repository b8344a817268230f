//! Adds what sealed values need: columns, the index of terms, the trigger.

use chancery_domain::datasets::TableError;

use super::{Migration, Progress};
use crate::{
    column::{Shape, unavailable},
    database::Arg,
    name::Name,
    statement::sql,
};

impl Migration {
    /// Adds the columns, the index of terms and the trigger, and notes that the migration was begun. Each step may have been done
    /// before.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn prepare(&mut self) -> Result<Progress, TableError> {
        let (has_sealed, has_term) = (self.has_sealed(), self.has_term());
        let Shape { table, .. } = &self.shape;
        let run = async {
            let make = sql![
                "CREATE TABLE IF NOT EXISTS ",
                &self.state,
                " (source TEXT NOT NULL, plain TEXT NOT NULL, phase TEXT NOT NULL, row_at TEXT,
                   added_sealed INTEGER NOT NULL, added_term INTEGER NOT NULL, PRIMARY KEY (source, plain))"
            ];
            self.database.execute(make, Vec::new()).await?;
            // First the note, then the columns: what a crash leaves is known to be ours.
            let note = sql![
                "INSERT INTO ",
                &self.state,
                " (source, plain, phase, added_sealed, added_term)
                 VALUES ($1, $2, 'sealing', CAST($3 AS INTEGER), CAST($4 AS INTEGER)) ON CONFLICT (source, plain) DO NOTHING"
            ];
            let mut args = self.names();
            args.extend([Arg::Int(i64::from(!has_sealed)), Arg::Int(i64::from(!has_term && self.term.is_some()))]);
            self.database.execute(note, args).await?;
            if !has_sealed {
                let add = sql!["ALTER TABLE ", table, " ADD COLUMN ", &self.sealed, " TEXT"];
                self.database.execute(add, Vec::new()).await?;
            }
            if let Some(term) = &self.term {
                if !has_term {
                    let add = sql!["ALTER TABLE ", table, " ADD COLUMN ", term, " TEXT"];
                    self.database.execute(add, Vec::new()).await?;
                }
                let index = Name::ours("terms", &[table.table.as_str(), term.as_str()]);
                let make = match self.database.is_postgres() {
                    true => "CREATE INDEX CONCURRENTLY IF NOT EXISTS ",
                    false => "CREATE INDEX IF NOT EXISTS ",
                };
                self.database.execute(sql![make, &index, " ON ", table, " (", term, ")"], Vec::new()).await?;
            }
            let mut work = self.database.begin().await?;
            self.make_trigger(&mut work).await?;
            work.commit().await
        };
        run.await.map_err(unavailable)?;
        self.shape = Shape::of(&self.database, &self.shape.table, &self.shape.row).await?;
        self.progress()
            .await?
            .ok_or_else(|| TableError::Shape(self.state.to_string(), "does not keep what is written to it"))
    }
}
