//! A dataset's table: its sealed values counted, read and replaced.

use async_trait::async_trait;
use chancery_domain::datasets::tables::{
    ColumnCount, Replacement, Stored, StoredParts, StoredRow, TermReplacement, Terms as Found, Which,
};
use chancery_domain::datasets::{Dataset, DatasetColumn, DatasetTable, TableError};

use crate::column::{Kind, Shape, Terms, stored_arg, unavailable};
use crate::database::{Arg, Database, DatabaseError};
use crate::name::Name;
use crate::statement::{Part, list, statement};

/// An open table.
#[derive(Debug, Clone)]
pub struct SealedTable {
    database: Database,
    shape: Shape,
}

/// The numbers of values that are compared, after the row and the term.
const PARTS: [&str; 8] = ["$3", "$4", "$5", "$6", "$7", "$8", "$9", "$10"];

/// A column with its names parsed.
struct Place {
    sealed: Name,
    exact: Option<Name>,
    prefix: Option<(Name, Terms)>,
    bucket: Option<Name>,
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
        for compound in &dataset.compounds {
            opened.terms(compound.terms_in.parse().map_err(|_| bad(&compound.terms_in))?)?;
        }
        Ok(opened)
    }

    /// The columns of values that are filed together, and that of their term.
    fn together(&self, columns: &[DatasetColumn], terms_in: &str) -> Result<(Vec<Place>, Name), TableError> {
        let places = columns.iter().map(|column| self.place(column)).collect::<Result<Vec<_>, _>>()?;
        if places.len() > PARTS.len() {
            return Err(TableError::Shape(terms_in.to_owned(), "is of more columns than can be filed together"));
        }
        let bad = |_| TableError::Shape(terms_in.to_owned(), "is no name: use letters, digits and _");
        Ok((places, self.terms(terms_in.parse().map_err(bad)?)?))
    }

    async fn part_rows(
        &self,
        places: &[Place],
        parts: &[Part<'_>],
        args: Vec<Arg>,
    ) -> Result<Vec<StoredParts>, DatabaseError> {
        let rows = self.database.fetch(statement(parts), args).await?;
        let mut found = Vec::with_capacity(rows.len());
        for mut row in rows {
            let (at, id) = self.shape.at(row.next()?)?;
            let values = places.iter().map(|place| place.kind.stored(row.next()?)).collect::<Result<_, _>>()?;
            found.push(StoredParts { at, row: id, parts: values, term: row.next()?.text()? });
        }
        Ok(found)
    }

    async fn write_terms(
        &self,
        places: &[Place],
        terms: &Name,
        changes: &[TermReplacement],
    ) -> Result<Vec<String>, DatabaseError> {
        let Shape { table, row, .. } = &self.shape;
        let mut work = self.database.begin().await?;
        let mut replaced = Vec::with_capacity(changes.len());
        for change in changes {
            let mut parts: Vec<Part<'_>> = list!["UPDATE ", table, " SET ", terms, " = $2 WHERE ", row].to_vec();
            match self.shape.is_postgres() {
                true => parts.extend(list![" = CAST($1 AS ", self.shape.row_type(), ")"]),
                false => parts.push(" = $1".into()),
            }
            let mut args = vec![self.shape.row_arg(&change.at), Arg::Text(change.term.clone())];
            let mut numbers = PARTS.iter();
            for (place, value) in places.iter().zip(&change.parts) {
                parts.extend(list![" AND ", &place.sealed]);
                match (value, numbers.as_slice().first()) {
                    (Some(value), Some(number)) => {
                        parts.extend(list![" = ", *number]);
                        args.push(stored_arg(value));
                        numbers.next();
                    }
                    _ => parts.push(" IS NULL".into()),
                }
            }
            if work.execute(statement(&parts), args).await? > 0 {
                replaced.push(change.at.clone());
            }
        }
        work.commit().await?;
        Ok(replaced)
    }

    fn place(&self, column: &DatasetColumn) -> Result<Place, TableError> {
        let name = |text: &str| {
            text.parse::<Name>()
                .map_err(|_| TableError::Shape(text.to_owned(), "is no name: use letters, digits and _"))
        };
        let sealed = name(&column.sealed_in)?;
        let text = |column: Option<&str>| column.map(|column| self.terms(name(column)?)).transpose();
        let prefix = column.prefix_in.as_deref().map(name).transpose()?;
        let prefix =
            prefix.map(|prefix| Ok::<_, TableError>((prefix.clone(), self.shape.list(&prefix)?))).transpose()?;
        Ok(Place {
            kind: self.shape.kind(&sealed)?,
            exact: text(column.terms_in.as_deref())?,
            prefix,
            bucket: text(column.bucket_in.as_deref())?,
            sealed,
        })
    }

    /// A column that holds one term.
    fn terms(&self, name: Name) -> Result<Name, TableError> {
        match self.shape.kind(&name)? {
            Kind::Text => Ok(name),
            Kind::Bytes => Err(TableError::Shape(name.to_string(), "must be text to hold terms")),
        }
    }

    /// `SELECT row, `. The cast has a name of its own: `ORDER BY` would take the row column for it.
    fn select_row(&self) -> Vec<Part<'_>> {
        let row = &self.shape.row;
        match self.shape.is_postgres() {
            true => vec!["SELECT CAST(".into(), row.into(), " AS text) AS chancery_row, ".into()],
            false => vec!["SELECT ".into(), row.into(), ", ".into()],
        }
    }

    /// `SELECT row, sealed, terms FROM table WHERE it is sealed`.
    fn select<'a>(&'a self, place: &'a Place) -> Vec<Part<'a>> {
        let mut parts = self.select_row();
        parts.extend(list![&place.sealed, ", "]);
        parts.push(place.exact.as_ref().map_or(Part::Text("NULL"), Part::from));
        parts.push(", ".into());
        match &place.prefix {
            Some((name, Terms::Array)) => parts.extend(list!["CAST(array_to_json(", name, ") AS text)"]),
            Some((name, Terms::Json)) => parts.push(name.into()),
            None => parts.push("NULL".into()),
        }
        parts.push(", ".into());
        parts.push(place.bucket.as_ref().map_or(Part::Text("NULL"), Part::from));
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
            let terms = Found { exact: row.next()?.text()?, prefix: row.next()?.text()?, bucket: row.next()?.text()? };
            found.push(StoredRow { at, row: id, sealed, terms });
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
        if let Some(exact) = &place.exact {
            parts.extend(list![", ", exact, " = COALESCE(d.exact, t.", exact, ")"]);
        }
        match &place.prefix {
            Some((name, Terms::Array)) => parts.extend(list![
                ", ",
                name,
                " = CASE WHEN d.prefix IS NULL THEN t.",
                name,
                " ELSE ARRAY(SELECT json_array_elements_text(CAST(d.prefix AS json))) END",
            ]),
            Some((name, Terms::Json)) => parts.extend(list![", ", name, " = COALESCE(d.prefix, t.", name, ")"]),
            None => {}
        }
        if let Some(bucket) = &place.bucket {
            parts.extend(list![", ", bucket, " = NULLIF(COALESCE(d.bucket, t.", bucket, "), '')"]);
        }
        parts.extend(list![
            " FROM unnest(CAST($1 AS text[]), ",
            values,
            ", CAST($4 AS text[]), CAST($5 AS text[]), CAST($6 AS text[])) AS d(at, old, new, exact, prefix, bucket) WHERE t.",
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
            Arg::Texts(changes.iter().map(|change| change.terms.exact.clone()).collect()),
            Arg::Texts(changes.iter().map(|change| change.terms.prefix.clone()).collect()),
            Arg::Texts(changes.iter().map(|change| change.terms.bucket.clone()).collect()),
        ];
        let rows = self.database.fetch(statement(&parts), args).await?;
        rows.into_iter().map(|mut row| row.next()?.some_text()).collect()
    }

    async fn replace_sqlite(&self, place: &Place, changes: &[Replacement]) -> Result<Vec<String>, DatabaseError> {
        let Shape { table, row, .. } = &self.shape;
        let mut parts: Vec<Part<'_>> =
            vec!["UPDATE ".into(), table.into(), " SET ".into(), (&place.sealed).into(), " = $3".into()];
        if let Some(exact) = &place.exact {
            parts.extend(list![", ", exact, " = COALESCE($4, ", exact, ")"]);
        }
        if let Some((prefix, _)) = &place.prefix {
            parts.extend(list![", ", prefix, " = COALESCE($5, ", prefix, ")"]);
        }
        if let Some(bucket) = &place.bucket {
            parts.extend(list![", ", bucket, " = NULLIF(COALESCE($6, ", bucket, "), '')"]);
        }
        // Always true; so that every statement has all six values.
        parts.extend(list![" WHERE ", row, " = $1 AND ", &place.sealed, " = $2"]);
        parts.push(" AND COALESCE($4, $5, $6, '') IS NOT NULL".into());
        let mut work = self.database.begin().await?;
        let mut replaced = Vec::with_capacity(changes.len());
        for change in changes {
            let args = vec![
                self.shape.row_arg(&change.at),
                stored_arg(&change.old),
                stored_arg(&change.new),
                Arg::Text(change.terms.exact.clone()),
                Arg::Text(change.terms.prefix.clone()),
                Arg::Text(change.terms.bucket.clone()),
            ];
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

    async fn parts(
        &self,
        columns: &[DatasetColumn],
        terms_in: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StoredParts>, TableError> {
        let (places, terms) = self.together(columns, terms_in)?;
        let mut parts = self.select_row();
        for place in &places {
            parts.extend(list![&place.sealed, ", "]);
        }
        parts.extend(list![&terms, " FROM ", &self.shape.table, " WHERE (", &terms, " IS NOT NULL"]);
        for place in &places {
            parts.extend(list![" OR ", &place.sealed, " IS NOT NULL"]);
        }
        parts.push(")".into());
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
        self.part_rows(&places, &parts, args).await.map_err(unavailable)
    }

    async fn replace_terms(
        &self,
        columns: &[DatasetColumn],
        terms_in: &str,
        changes: &[TermReplacement],
    ) -> Result<Vec<String>, TableError> {
        let (places, terms) = self.together(columns, terms_in)?;
        self.write_terms(&places, &terms, changes).await.map_err(unavailable)
    }
}
