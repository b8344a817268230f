//! Writes sealed values beside their plaintext.

use chancery_crypto::Sealed;
use chancery_domain::datasets::{TableError, tables::Stored};

use super::Migration;
use crate::{
    column::{Kind, Shape, stored_arg, unavailable},
    database::{Arg, DatabaseError, Work},
    statement::{Part, list, sql, statement},
};

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

impl Migration {
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
}
