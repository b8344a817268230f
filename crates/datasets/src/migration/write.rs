//! Writes to the table as the migration itself: past its trigger, or with the table for itself alone.

use chancery_domain::datasets::TableError;

use super::{Migration, first_count};
use crate::{
    column::unavailable,
    database::{Arg, DatabaseError, Work},
    name::Name,
    statement::{Part, sql, statement},
};

impl Migration {
    /// Runs a statement for each row, all in one transaction that the trigger lets pass; everybody else's changes it still meets.
    pub(super) async fn each(&self, parts: &[Part<'_>], rows: Vec<Vec<Arg>>) -> Result<u64, TableError> {
        let run = async {
            let mut work = self.database.begin().await?;
            // SQLite has no setting that a trigger could ask; but nobody else writes in this transaction, and it ends with the trigger.
            let stood = if self.shape.is_postgres() {
                work.execute(sql!["SET LOCAL chancery.own = 'on'"], Vec::new()).await?;
                false
            } else {
                let found = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name = $1";
                let stood = first_count(work.fetch(sql![found], vec![self.trigger.as_str().into()]).await?)? > 0;
                self.drop_trigger(&mut work).await?;
                stood
            };
            let mut changed = 0;
            for args in rows {
                changed += work.execute(statement(parts), args).await?;
            }
            if stood {
                self.make_trigger(&mut work).await?;
            }
            work.commit().await?;
            Ok(changed)
        };
        run.await.map_err(unavailable)
    }

    /// A transaction in which nobody else writes to the table, nor reads what is about to go.
    pub(super) async fn locked(&self) -> Result<Work, DatabaseError> {
        // SQLite's transactions begin with the only right to write.
        let mut work = self.database.begin().await?;
        if self.shape.is_postgres() {
            let lock = sql!["LOCK TABLE ", &self.shape.table, " IN ACCESS EXCLUSIVE MODE"];
            work.execute(lock, Vec::new()).await?;
        }
        Ok(work)
    }

    pub(super) async fn drop_column(&self, work: &mut Work, column: &Name) -> Result<(), DatabaseError> {
        let alter = sql!["ALTER TABLE ", &self.shape.table, " DROP COLUMN ", column];
        work.execute(alter, Vec::new()).await.map(drop)
    }

    pub(super) fn row_is(&self, bound: &'static str) -> Vec<Part<'_>> {
        let row = Part::from(&self.shape.row);
        match self.shape.is_postgres() {
            true => {
                vec![row, " = CAST(".into(), bound.into(), " AS ".into(), Part::Text(self.shape.row_type()), ")".into()]
            }
            false => vec![row, " = ".into(), bound.into()],
        }
    }

    pub(super) fn bound_row(&self, at: &str) -> Arg {
        if self.shape.is_postgres() { at.into() } else { self.shape.row_arg(at) }
    }
}
