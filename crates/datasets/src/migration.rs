//! One column of a live table on its way from plaintext to sealed values.
//!
//! The application works on meanwhile. What it changes stays: every write names the plaintext that was read. And what it changes
//! after a row was sealed, by a program that knows nothing of the new columns, makes a trigger forget the sealed value,
//! so that no pass ends with a sealed value that is not the plaintext's.

use chancery_crypto::Sealed;
use chancery_domain::datasets::TableError;
use chancery_domain::datasets::tables::Stored;

use crate::column::{Kind, Shape, stored_arg, unavailable};
use crate::database::{Arg, Cells, Database, DatabaseError, Work};
use crate::name::{Name, TableName};
use crate::statement::{Part, list, sql, statement};

/// What plaintext can be in PostgreSQL; its type goes into the statement that brings it back.
const PLAIN_TYPES: &[&str] = &[
    "text",
    "character varying",
    "character",
    "integer",
    "bigint",
    "smallint",
    "numeric",
    "boolean",
    "date",
    "uuid",
    "json",
    "jsonb",
];

/// A column on its way.
pub struct Migration {
    database: Database,
    shape: Shape,
    plain: Name,
    plain_type: &'static str,
    sealed: Name,
    term: Option<Name>,
    kind: Kind,
    state: TableName,
    trigger: Name,
}

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

/// What to write into a row.
pub struct Seal {
    /// Our name of the row.
    pub at: String,
    /// The plaintext that was read; the row is left alone if it has another one by now.
    pub old: chancery_crypto::Phi<String>,
    /// The sealed value.
    pub sealed: Sealed,
    /// The term.
    pub term: Option<String>,
}

/// Rows to clear: our name of the row, its plaintext, its sealed value.
pub type Batch<'a> = &'a [(String, chancery_crypto::Phi<String>, Stored)];

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
    /// Looks the table up. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn open(
        database: Database,
        table: &TableName,
        row: &Name,
        plain: Name,
        sealed: Name,
        term: Option<Name>,
    ) -> Result<Self, TableError> {
        let shape = Shape::of(&database, table, row).await?;
        let fault = |name: &Name, problem| Err(TableError::Shape(name.to_string(), problem));
        if plain == sealed || term.as_ref() == Some(&plain) || term.as_ref() == Some(&sealed) {
            return fault(&plain, "cannot be its own sealed column or column of terms");
        }
        let plain_type = match shape.column(&plain) {
            None => return fault(&plain, "is no column of the table"),
            Some(column) if shape.is_postgres() => PLAIN_TYPES.iter().find(|kind| **kind == column.data_type).copied(),
            Some(column) => (!column.data_type.contains("blob")).then_some("text"),
        };
        let Some(plain_type) = plain_type else { return fault(&plain, "has a type that is not migrated") };
        let kind = if shape.column(&sealed).is_some() { shape.kind(&sealed)? } else { Kind::Text };
        if let Some(term) = &term
            && shape.column(term).is_some()
            && shape.kind(term)? != Kind::Text
        {
            return fault(term, "must be text to hold terms");
        }
        let trigger = Name::ours("stale", &[table.table.as_str(), plain.as_str()]);
        let state = "chancery_migrations".parse().map_err(|_| TableError::Shape(plain.to_string(), "is no name"))?;
        Ok(Self { database, state: table.beside(state), shape, plain, plain_type, sealed, term, kind, trigger })
    }

    /// Whether the sealed column is there.
    pub fn has_sealed(&self) -> bool {
        self.shape.column(&self.sealed).is_some()
    }

    /// Whether the column of terms is there.
    pub fn has_term(&self) -> bool {
        self.term.as_ref().is_some_and(|term| self.shape.column(term).is_some())
    }

    /// Whether the column refuses nulls, so that it cannot be emptied, only dropped.
    pub fn plain_is_required(&self) -> bool {
        self.shape.column(&self.plain).is_some_and(|column| column.not_null)
    }

    fn names(&self) -> Vec<Arg> {
        vec![self.shape.table.table.as_str().into(), self.plain.as_str().into()]
    }

    /// What was noted, if the migration was begun.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn progress(&self) -> Result<Option<Progress>, TableError> {
        let exists = match self.database {
            Database::Postgres(_) => {
                "SELECT count(*) FROM pg_tables WHERE tablename = 'chancery_migrations' AND schemaname = COALESCE($1, current_schema())"
            }
            Database::Sqlite(_) => {
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
                let make = match self.database {
                    Database::Postgres(_) => "CREATE INDEX CONCURRENTLY IF NOT EXISTS ",
                    Database::Sqlite(_) => "CREATE INDEX IF NOT EXISTS ",
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

    async fn make_trigger(&self, work: &mut Work) -> Result<(), DatabaseError> {
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

    async fn drop_trigger(&self, work: &mut Work) -> Result<(), DatabaseError> {
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

    /// A transaction in which nobody else writes to the table, nor reads what is about to go.
    async fn locked(&self) -> Result<Work, DatabaseError> {
        // SQLite's transactions begin with the only right to write.
        let mut work = self.database.begin().await?;
        if self.shape.is_postgres() {
            let lock = sql!["LOCK TABLE ", &self.shape.table, " IN ACCESS EXCLUSIVE MODE"];
            work.execute(lock, Vec::new()).await?;
        }
        Ok(work)
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

    /// `SELECT row, plain, sealed, term FROM table`.
    fn select(&self) -> Vec<Part<'_>> {
        let Shape { table, row, .. } = &self.shape;
        let mut parts: Vec<Part<'_>> = match self.shape.is_postgres() {
            true => vec!["SELECT CAST(".into(), row.into(), " AS text) AS chancery_row, ".into()],
            false => vec!["SELECT ".into(), row.into(), ", ".into()],
        };
        parts.extend(list!["CAST(", &self.plain, " AS text), "]);
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
    fn pending(&self) -> Vec<Part<'_>> {
        let mut parts: Vec<Part<'_>> = vec![(&self.plain).into(), " IS NOT NULL".into()];
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

    /// Writes sealed values, and how far the migration is, in one transaction; gives the rows whose plaintext was still the one
    /// that was read.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn seal(&self, seals: &[Seal], row_at: Option<&str>) -> Result<Vec<String>, TableError> {
        let run = async {
            let mut work = self.database.begin().await?;
            let written = match (seals.is_empty(), self.shape.is_postgres()) {
                (true, _) => Vec::new(),
                (false, true) => self.seal_postgres(&mut work, seals).await?,
                (false, false) => self.seal_sqlite(&mut work, seals).await?,
            };
            let mut args = self.names();
            args.push(Arg::Text(row_at.map(str::to_owned)));
            let note = sql!["UPDATE ", &self.state, " SET row_at = $3 WHERE source = $1 AND plain = $2"];
            work.execute(note, args).await?;
            work.commit().await?;
            Ok(written)
        };
        run.await.map_err(unavailable)
    }

    fn stored(&self, sealed: &Sealed) -> Stored {
        match self.kind {
            Kind::Text => Stored::Text(sealed.to_text()),
            Kind::Bytes => Stored::Bytes(sealed.as_bytes().to_vec()),
        }
    }

    async fn seal_postgres(&self, work: &mut Work, seals: &[Seal]) -> Result<Vec<String>, DatabaseError> {
        let Shape { table, row, .. } = &self.shape;
        let mut parts: Vec<Part<'_>> = vec![
            "UPDATE ".into(),
            table.into(),
            " AS t SET ".into(),
            (&self.sealed).into(),
            " = d.chancery_new".into(),
        ];
        if let Some(term) = &self.term {
            parts.extend(list![", ", term, " = d.chancery_term"]);
        }
        parts.push(" FROM unnest(CAST($1 AS text[]), CAST($2 AS text[]), ".into());
        parts.push(if self.kind == Kind::Text { "CAST($3 AS text[])".into() } else { "CAST($3 AS bytea[])".into() });
        parts
            .push(", CAST($4 AS text[])) AS d(chancery_at, chancery_old, chancery_new, chancery_term) WHERE t.".into());
        parts.extend(list![row, " = CAST(d.chancery_at AS ", self.shape.row_type(), ") AND CAST(t.",]);
        parts.extend(list![&self.plain, " AS text) = d.chancery_old AND "]);
        parts.extend(self.pending());
        parts.push(" RETURNING d.chancery_at".into());
        let texts = |of: fn(&Seal) -> Option<String>| Arg::Texts(seals.iter().map(of).collect());
        let new = match self.kind {
            Kind::Text => texts(|seal| Some(seal.sealed.to_text())),
            Kind::Bytes => Arg::ByteStrings(seals.iter().map(|seal| seal.sealed.as_bytes().to_vec()).collect()),
        };
        let args = vec![
            texts(|seal| Some(seal.at.clone())),
            texts(|seal| Some(seal.old.expose().clone())),
            new,
            texts(|seal| seal.term.clone()),
        ];
        work.fetch(statement(&parts), args).await?.into_iter().map(|mut row| row.next()?.some_text()).collect()
    }

    async fn seal_sqlite(&self, work: &mut Work, seals: &[Seal]) -> Result<Vec<String>, DatabaseError> {
        let mut parts: Vec<Part<'_>> =
            vec!["UPDATE ".into(), (&self.shape.table).into(), " SET ".into(), (&self.sealed).into(), " = $3".into()];
        if let Some(term) = &self.term {
            parts.extend(list![", ", term, " = $4"]);
        }
        parts.extend(list![" WHERE ", &self.shape.row, " = $1 AND CAST(", &self.plain]);
        parts.push(" AS text) = $2 AND ".into());
        parts.extend(self.pending());
        let mut written = Vec::with_capacity(seals.len());
        for seal in seals {
            let mut args = vec![
                self.shape.row_arg(&seal.at),
                seal.old.expose().as_str().into(),
                stored_arg(&self.stored(&seal.sealed)),
            ];
            if self.term.is_some() {
                args.push(Arg::Text(seal.term.clone()));
            }
            if work.execute(statement(&parts), args).await? > 0 {
                written.push(seal.at.clone());
            }
        }
        Ok(written)
    }

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

    fn bound_row(&self, at: &str) -> Arg {
        if self.shape.is_postgres() { at.into() } else { self.shape.row_arg(at) }
    }

    fn row_is(&self, bound: &'static str) -> Vec<Part<'_>> {
        let row = Part::from(&self.shape.row);
        match self.shape.is_postgres() {
            true => {
                vec![row, " = CAST(".into(), bound.into(), " AS ".into(), Part::Text(self.shape.row_type()), ")".into()]
            }
            false => vec![row, " = ".into(), bound.into()],
        }
    }

    /// Runs a statement for each row, all in one transaction that the trigger lets pass; everybody else's changes it still meets.
    async fn each(&self, parts: &[Part<'_>], rows: Vec<Vec<Arg>>) -> Result<u64, TableError> {
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

    /// Allows nulls in the plaintext column. PostgreSQL only; SQLite cannot.
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
        let alter = sql!["ALTER TABLE ", &self.shape.table, " ALTER COLUMN ", &self.plain, " DROP NOT NULL"];
        self.database.execute(alter, Vec::new()).await.map(drop).map_err(unavailable)
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

    async fn drop_column(&self, work: &mut Work, column: &Name) -> Result<(), DatabaseError> {
        let alter = sql!["ALTER TABLE ", &self.shape.table, " DROP COLUMN ", column];
        work.execute(alter, Vec::new()).await.map(drop)
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

    /// Counts rows by what they hold, as of one moment.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn counts(&self) -> Result<Counts, TableError> {
        let mut parts: Vec<Part<'_>> = vec!["SELECT count(*), count(".into()];
        parts.extend(list![&self.plain, "), "]);
        if self.has_sealed() {
            parts.push("CAST(COALESCE(sum(CASE WHEN ".into());
            parts.extend(self.kind.is_sealed(&self.sealed, self.shape.is_postgres()));
            parts.push(" THEN 1 ELSE 0 END), 0) AS bigint), CAST(COALESCE(sum(CASE WHEN ".into());
            parts.extend(self.pending());
            parts.push(" THEN 1 ELSE 0 END), 0) AS bigint), CAST(COALESCE(sum(CASE WHEN ".into());
            parts.extend(list![&self.sealed, " IS NOT NULL AND NOT ("]);
            parts.extend(self.kind.is_sealed(&self.sealed, self.shape.is_postgres()));
            parts.push(") THEN 1 ELSE 0 END), 0) AS bigint), CAST(COALESCE(sum(CASE WHEN ".into());
            parts.extend(list![&self.plain, " IS NULL AND ", &self.sealed, " IS NULL"]);
            parts.push(" THEN 1 ELSE 0 END), 0) AS bigint)".into());
        } else {
            parts.extend(list!["CAST(0 AS bigint), count(", &self.plain, "), CAST(0 AS bigint), count(*) - count(",]);
            parts.extend(list![&self.plain, ")"]);
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

fn first_count(rows: Vec<Cells>) -> Result<u64, DatabaseError> {
    rows.into_iter().next().ok_or(DatabaseError::Type)?.next()?.count()
}
