//! A dataset's table: its sealed values counted, read and replaced.

use async_trait::async_trait;
use chancery_domain::datasets::tables::{ColumnCount, Replacement, Stored, StoredRow, Which};
use chancery_domain::datasets::{Dataset, DatasetColumn, DatasetTable, TableError};

use crate::column::{Kind, Shape, stored_arg, unavailable};
use crate::database::{Arg, Database, DatabaseError};
use crate::name::Name;
use crate::statement::{Part, list, statement};

/// An open table.
#[derive(Debug, Clone)]
pub struct SealedTable {
    database: Database,
    shape: Shape,
}

/// A column with its names parsed.
struct Place {
    sealed: Name,
    terms: Option<Name>,
    kind: Kind,
}

impl SealedTable {
    /// Looks the table up and checks that it is as the dataset says.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub async fn open(database: Database, dataset: &Dataset) -> Result<Self, TableError> {
        let bad = |name: &str| TableError::Shape(name.to_owned(), "is no name: use letters, digits and _");
        let table = dataset.table.parse().map_err(|_| bad(&dataset.table))?;
        let row = dataset.row_column.parse().map_err(|_| bad(&dataset.row_column))?;
        let shape = Shape::of(&database, &table, &row).await?;
        let opened = Self { database, shape };
        for column in &dataset.columns {
            opened.place(column)?;
        }
        Ok(opened)
    }

    fn place(&self, column: &DatasetColumn) -> Result<Place, TableError> {
        let name = |text: &str| {
            text.parse::<Name>()
                .map_err(|_| TableError::Shape(text.to_owned(), "is no name: use letters, digits and _"))
        };
        let sealed = name(&column.sealed_in)?;
        let terms = column.terms_in.as_deref().map(name).transpose()?;
        if let Some(terms) = &terms
            && self.shape.kind(terms)? != Kind::Text
        {
            return Err(TableError::Shape(terms.to_string(), "must be text to hold terms"));
        }
        Ok(Place { kind: self.shape.kind(&sealed)?, sealed, terms })
    }

    /// `SELECT row, sealed, terms FROM table WHERE it is sealed`. The cast has a name of its own: `ORDER BY` would take the row column for it.
    fn select<'a>(&'a self, place: &'a Place) -> Vec<Part<'a>> {
        let row = &self.shape.row;
        let mut parts: Vec<Part<'a>> = match self.shape.is_postgres() {
            true => vec!["SELECT CAST(".into(), row.into(), " AS text) AS chancery_row, ".into()],
            false => vec!["SELECT ".into(), row.into(), ", ".into()],
        };
        parts.extend(list![&place.sealed, ", "]);
        parts.push(place.terms.as_ref().map_or(Part::Text("NULL"), Part::from));
        parts.extend(list![" FROM ", &self.shape.table, " WHERE "]);
        parts.extend(place.kind.is_lone(&place.sealed, self.shape.is_postgres()));
        parts
    }

    async fn rows(&self, place: &Place, parts: &[Part<'_>], args: Vec<Arg>) -> Result<Vec<StoredRow>, DatabaseError> {
        let rows = self.database.fetch(statement(parts), args).await?;
        let mut found = Vec::with_capacity(rows.len());
        for mut row in rows {
            let (at, id) = self.shape.at(row.next()?)?;
            let sealed = place.kind.stored(row.next()?)?.ok_or(DatabaseError::Type)?;
            found.push(StoredRow { at, row: id, sealed, term: row.next()?.text()? });
        }
        Ok(found)
    }

    async fn replace_postgres(&self, place: &Place, changes: &[Replacement]) -> Result<Vec<String>, DatabaseError> {
        let Shape { table, row, .. } = &self.shape;
        let values: &'static str = match place.kind {
            Kind::Text => "CAST($2 AS text[]), CAST($3 AS text[])",
            Kind::Bytes => "CAST($2 AS bytea[]), CAST($3 AS bytea[])",
        };
        let mut parts: Vec<Part<'_>> =
            vec!["UPDATE ".into(), table.into(), " AS t SET ".into(), (&place.sealed).into(), " = d.new".into()];
        if let Some(terms) = &place.terms {
            parts.extend(list![", ", terms, " = COALESCE(d.term, t.", terms, ")"]);
        }
        parts.extend(list![
            " FROM unnest(CAST($1 AS text[]), ",
            values,
            ", CAST($4 AS text[])) AS d(at, old, new, term) WHERE t.",
            row,
            " = CAST(d.at AS ",
            self.shape.row_type(),
            ") AND t.",
            &place.sealed,
            " = d.old RETURNING d.at",
        ]);
        let list = |of: fn(&Replacement) -> &Stored| match place.kind {
            Kind::Text => Arg::Texts(changes.iter().map(|change| text(of(change))).collect()),
            Kind::Bytes => Arg::ByteStrings(changes.iter().map(|change| bytes(of(change))).collect()),
        };
        let args = vec![
            Arg::Texts(changes.iter().map(|change| Some(change.at.clone())).collect()),
            list(|change| &change.old),
            list(|change| &change.new),
            Arg::Texts(changes.iter().map(|change| change.term.clone()).collect()),
        ];
        let rows = self.database.fetch(statement(&parts), args).await?;
        rows.into_iter().map(|mut row| row.next()?.some_text()).collect()
    }

    async fn replace_sqlite(&self, place: &Place, changes: &[Replacement]) -> Result<Vec<String>, DatabaseError> {
        let Shape { table, row, .. } = &self.shape;
        let mut parts: Vec<Part<'_>> =
            vec!["UPDATE ".into(), table.into(), " SET ".into(), (&place.sealed).into(), " = $3".into()];
        if let Some(terms) = &place.terms {
            parts.extend(list![", ", terms, " = COALESCE($4, ", terms, ")"]);
        }
        parts.extend(list![" WHERE ", row, " = $1 AND ", &place.sealed, " = $2"]);
        let mut work = self.database.begin().await?;
        let mut replaced = Vec::with_capacity(changes.len());
        for change in changes {
            let args = vec![
                self.shape.row_arg(&change.at),
                stored_arg(&change.old),
                stored_arg(&change.new),
                Arg::Text(change.term.clone()),
            ];
            // Without a column of terms the statement has three values.
            let args = if place.terms.is_some() { args } else { args.into_iter().take(3).collect() };
            if work.execute(statement(&parts), args).await? > 0 {
                replaced.push(change.at.clone());
            }
        }
        work.commit().await?;
        Ok(replaced)
    }
}

fn text(stored: &Stored) -> Option<String> {
    match stored {
        Stored::Text(text) => Some(text.clone()),
        Stored::Bytes(_) => None,
    }
}

fn bytes(stored: &Stored) -> Vec<u8> {
    match stored {
        Stored::Bytes(bytes) => bytes.clone(),
        Stored::Text(text) => text.clone().into_bytes(),
    }
}

#[async_trait]
impl DatasetTable for SealedTable {
    async fn count(&self, column: &DatasetColumn) -> Result<ColumnCount, TableError> {
        let place = self.place(column)?;
        let postgres = self.shape.is_postgres();
        let mut parts: Vec<Part<'_>> =
            vec!["SELECT CASE WHEN ".into(), (&place.sealed).into(), " IS NULL THEN 'null' WHEN ".into()];
        parts.extend(place.kind.is_lone(&place.sealed, postgres));
        parts.push(" THEN ".into());
        parts.extend(place.kind.handle(&place.sealed, postgres));
        parts.push(" WHEN ".into());
        parts.extend(place.kind.is_sealed(&place.sealed, postgres));
        parts.push(" THEN 'other'".into());
        parts.extend(list![" ELSE 'clear' END AS h, count(*) FROM ", &self.shape.table, " GROUP BY 1",]);
        let rows = self.database.fetch(statement(&parts), Vec::new()).await.map_err(unavailable)?;
        let mut counted = ColumnCount::default();
        for mut row in rows {
            let read = (|| Ok::<_, DatabaseError>((row.next()?.some_text()?, row.next()?.count()?)))();
            let (what, count) = read.map_err(unavailable)?;
            match (what.as_str(), place.kind.parse_handle(&what)) {
                ("null", _) => counted.nulls += count,
                ("other", _) => counted.other += count,
                ("clear", _) | (_, None) => counted.unsealed += count,
                // Of one handle there may be two kinds of flags.
                (_, Some(handle)) => match counted.by_handle.iter_mut().find(|(known, _)| *known == handle) {
                    Some((_, sum)) => *sum += count,
                    None => counted.by_handle.push((handle, count)),
                },
            }
        }
        Ok(counted)
    }

    async fn page(
        &self,
        column: &DatasetColumn,
        which: Which<'_>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StoredRow>, TableError> {
        let place = self.place(column)?;
        let postgres = self.shape.is_postgres();
        let mut parts = self.select(&place);
        let mut args: Vec<Arg> = vec![i64::from(limit).into()];
        if let Which::Under(handles) = which {
            let texts = handles.iter().flat_map(|handle| place.kind.handle_texts(*handle)).map(Some).collect();
            args.push(Arg::Texts(texts));
            parts.push(" AND ".into());
            parts.extend(place.kind.handle(&place.sealed, postgres));
            parts.push(if postgres { " = ANY($2)".into() } else { " IN (SELECT value FROM json_each($2))".into() });
        }
        if let Some(after) = after {
            args.push(self.shape.row_arg(after));
            parts.extend(list![" AND ", &self.shape.row]);
            let bound = if args.len() == 3 { "$3" } else { "$2" };
            match postgres {
                true => parts.extend(list![" > CAST(", bound, " AS ", self.shape.row_type(), ")",]),
                false => parts.extend(list![" > ", bound]),
            }
        }
        parts.extend(list![" ORDER BY ", &self.shape.row, " LIMIT $1"]);
        self.rows(&place, &parts, args).await.map_err(unavailable)
    }

    async fn replace(&self, column: &DatasetColumn, changes: &[Replacement]) -> Result<Vec<String>, TableError> {
        let place = self.place(column)?;
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let replaced = match self.shape.is_postgres() {
            true => self.replace_postgres(&place, changes).await,
            false => self.replace_sqlite(&place, changes).await,
        };
        replaced.map_err(unavailable)
    }

    async fn read(&self, column: &DatasetColumn, rows: &[String]) -> Result<Vec<StoredRow>, TableError> {
        let place = self.place(column)?;
        let mut parts = self.select(&place);
        parts.extend(list![" AND ", &self.shape.row]);
        if self.shape.is_postgres() {
            parts.extend(list![" = ANY(CAST($1 AS ", self.shape.row_list_type(), "))"]);
            let args = vec![Arg::Texts(rows.iter().cloned().map(Some).collect())];
            return self.rows(&place, &parts, args).await.map_err(unavailable);
        }
        parts.push(" = $1".into());
        let mut found = Vec::with_capacity(rows.len());
        for at in rows {
            found.extend(self.rows(&place, &parts, vec![self.shape.row_arg(at)]).await.map_err(unavailable)?);
        }
        Ok(found)
    }
}
