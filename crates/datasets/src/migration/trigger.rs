//! The trigger that makes a row pending again when a program that does not know the sealed column changes it.

use chancery_domain::datasets::TableError;

use super::Migration;
use crate::{
    column::{Shape, unavailable},
    database::{DatabaseError, Work},
    statement::{Part, list, sql, statement},
};

impl Migration {
    /// Makes the trigger, if it is not there: a change of the plaintext by a program that does not know the sealed column makes the
    /// row pending again.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn protect(&self) -> Result<(), TableError> {
        let run = async {
            let mut work = self.database.begin().await?;
            self.make_trigger(&mut work).await?;
            work.commit().await
        };
        run.await.map_err(unavailable)
    }

    /// Removes the trigger: from here on the application writes sealed values itself.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn unprotect(&self) -> Result<(), TableError> {
        let run = async {
            let mut work = self.database.begin().await?;
            self.drop_trigger(&mut work).await?;
            work.commit().await
        };
        run.await.map_err(unavailable)
    }

    pub(super) async fn make_trigger(&self, work: &mut Work) -> Result<(), DatabaseError> {
        let Shape { table, row, .. } = &self.shape;
        let (plain, sealed, trigger) = (&self.plain, &self.sealed, &self.trigger);
        if self.shape.is_postgres() {
            let mut parts: Vec<Part<'_>> = vec!["CREATE OR REPLACE FUNCTION ".into()];
            let function = self.shape.table.beside(trigger.clone());
            parts
                .extend([Part::from(&function), "() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF CAST(NEW.".into()]);
            parts.extend(list![plain, " AS text) IS DISTINCT FROM CAST(OLD.", plain, " AS text) AND NEW.",]);
            parts.extend(list![sealed, " IS NOT DISTINCT FROM OLD.", sealed]);
            // Our own statements that empty the plaintext or bring it back pass; see `each`.
            parts.push(" AND current_setting('chancery.own', true) IS DISTINCT FROM 'on' THEN NEW.".into());
            parts.extend(list![sealed, " := NULL;"]);
            if let Some(term) = &self.term {
                parts.extend(list![" NEW.", term, " := NULL;"]);
            }
            parts.push(" END IF; RETURN NEW; END $$".into());
            work.execute(statement(&parts), Vec::new()).await?;
            work.execute(sql!["DROP TRIGGER IF EXISTS ", trigger, " ON ", table], Vec::new()).await?;
            let make = sql![
                "CREATE TRIGGER ",
                trigger,
                " BEFORE UPDATE ON ",
                table,
                " FOR EACH ROW EXECUTE FUNCTION ",
                &function,
                "()"
            ];
            return work.execute(make, Vec::new()).await.map(drop);
        }
        let mut parts: Vec<Part<'_>> =
            vec!["CREATE TRIGGER IF NOT EXISTS ".into(), trigger.into(), " AFTER UPDATE OF ".into(), plain.into()];
        parts.extend(list![" ON ", table, " WHEN NEW.", plain, " IS NOT OLD.", plain,]);
        parts.extend(list![" AND NEW.", sealed, " IS OLD.", sealed, " BEGIN UPDATE ",]);
        parts.extend(list![&table.table, " SET ", sealed, " = NULL"]);
        if let Some(term) = &self.term {
            parts.extend(list![", ", term, " = NULL"]);
        }
        parts.extend(list![" WHERE ", row, " = NEW.", row, "; END"]);
        work.execute(statement(&parts), Vec::new()).await.map(drop)
    }

    pub(super) async fn drop_trigger(&self, work: &mut Work) -> Result<(), DatabaseError> {
        if self.shape.is_postgres() {
            let function = self.shape.table.beside(self.trigger.clone());
            let drop = sql!["DROP TRIGGER IF EXISTS ", &self.trigger, " ON ", &self.shape.table];
            work.execute(drop, Vec::new()).await?;
            work.execute(sql!["DROP FUNCTION IF EXISTS ", &function, "()"], Vec::new()).await?;
        } else {
            work.execute(sql!["DROP TRIGGER IF EXISTS ", &self.trigger], Vec::new()).await?;
        }
        Ok(())
    }
}
