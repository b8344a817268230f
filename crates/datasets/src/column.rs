//! What a table is like: which columns it has, and how its rows are told apart.

use chancery_domain::datasets::TableError;
use chancery_domain::datasets::tables::Stored;

use crate::database::{Arg, Cell, Database, DatabaseError};
use crate::name::{Name, TableName};
use crate::statement::Part;

/// How a column keeps sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As text.
    Text,
    /// As bytes.
    Bytes,
}

/// How a column keeps a list of terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// As a JSON list in a text.
    Json,
    /// As `text[]`, in PostgreSQL.
    Array,
}

/// A column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the engine names it, in lower case.
    pub data_type: String,
    /// Whether it refuses nulls.
    pub not_null: bool,
}

/// A type that row ids and plaintext may have in PostgreSQL: its name, itself, and its array.
type PgType = (&'static str, &'static str);

/// Row ids are compared and ordered as what they are, so their type goes into the statements: from this list.
const ROW_TYPES: &[PgType] = &[
    ("bigint", "bigint[]"),
    ("integer", "integer[]"),
    ("smallint", "smallint[]"),
    ("uuid", "uuid[]"),
    ("text", "text[]"),
    ("character varying", "character varying[]"),
];

/// A table as it was found.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The table.
    pub table: TableName,
    /// The column that tells its rows apart.
    pub row: Name,
    /// All its columns.
    pub columns: Vec<Column>,
    row_type: PgType,
    postgres: bool,
}

impl Shape {
    /// Looks a table up.
    ///
    /// # Errors
    ///
    /// [`TableError::Shape`] if there is no such table or column, or if the column does not tell rows apart.
    pub async fn of(database: &Database, table: &TableName, row: &Name) -> Result<Self, TableError> {
        let shape = |what: &dyn std::fmt::Display, problem| Err(TableError::Shape(what.to_string(), problem));
        let columns = columns(database, table).await.map_err(unavailable)?;
        if columns.is_empty() {
            return shape(table, "is no table that this database user can see");
        }
        let Some(column) = columns.iter().find(|column| column.name == row.as_str()) else {
            return shape(row, "is no column of the table");
        };
        let row_type = match database.is_postgres() {
            true => ROW_TYPES.iter().find(|(name, _)| *name == column.data_type).copied(),
            false => ROW_TYPES.first().copied(),
        };
        let Some(row_type) = row_type else {
            return shape(row, "has a type that row ids cannot have: use a number, a uuid or text");
        };
        if !unique(database, table, row).await.map_err(unavailable)? {
            return shape(row, "is not unique by itself: a row id needs a primary key or a unique index of its own");
        }
        Ok(Self { table: table.clone(), row: row.clone(), columns, row_type, postgres: database.is_postgres() })
    }

    /// A column by name.
    pub fn column(&self, name: &Name) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name.as_str())
    }

    /// How a column keeps sealed values.
    ///
    /// # Errors
    ///
    /// [`TableError::Shape`] if there is none of this name, or of another type.
    pub fn kind(&self, name: &Name) -> Result<Kind, TableError> {
        let fault = |problem| TableError::Shape(name.to_string(), problem);
        let column = self.column(name).ok_or_else(|| fault("is no column of the table"))?;
        match (self.postgres, column.data_type.as_str()) {
            (true, "text" | "character varying") => Ok(Kind::Text),
            (true, "bytea") | (false, "blob") => Ok(Kind::Bytes),
            (false, kind) if kind.contains("text") || kind.contains("char") || kind.contains("clob") => Ok(Kind::Text),
            _ => Err(fault("must be text or binary to hold sealed values and terms")),
        }
    }

    /// How a column keeps a list of terms.
    ///
    /// # Errors
    ///
    /// [`TableError::Shape`] if there is none of this name, or of another type.
    pub fn list(&self, name: &Name) -> Result<Terms, TableError> {
        let array = self.column(name).is_some_and(|column| self.postgres && column.data_type == "array");
        match array {
            true => Ok(Terms::Array),
            false if self.kind(name)? == Kind::Text => Ok(Terms::Json),
            false => Err(TableError::Shape(name.to_string(), "must be text or text[] to hold a list of terms")),
        }
    }

    pub(crate) const fn is_postgres(&self) -> bool {
        self.postgres
    }

    /// The type of row ids, for a cast in PostgreSQL.
    pub(crate) const fn row_type(&self) -> &'static str {
        self.row_type.0
    }

    /// And of a list of them.
    pub(crate) const fn row_list_type(&self) -> &'static str {
        self.row_type.1
    }

    /// `AS bigint)`, after which a bound row id can be compared. SQLite compares it as it was bound.
    pub(crate) fn row_arg(&self, at: &str) -> Arg {
        match (self.postgres, at.split_at_checked(1)) {
            (false, Some(("i", number))) => Arg::Int(number.parse().unwrap_or(i64::MAX)),
            (false, Some((_, text))) => text.into(),
            (true, _) | (false, None) => at.into(),
        }
    }

    /// Our name of a row: SQLite's row ids have a type each.
    pub(crate) fn at(&self, row: Cell) -> Result<(String, String), DatabaseError> {
        let tag = if matches!(row, Cell::Int(_)) { "i" } else { "t" };
        let row = row.some_text()?;
        Ok((if self.postgres { row.clone() } else { [tag, &row].concat() }, row))
    }
}

impl Kind {
    /// Whether a column's value is sealed.
    pub(crate) fn is_sealed<'a>(self, column: &'a Name, postgres: bool) -> Vec<Part<'a>> {
        let magic = match (self, postgres) {
            (Self::Text, _) => ", 1, 5) = 'chy1.'",
            (Self::Bytes, true) => ", 1, 1) = '\\xf9'::bytea",
            (Self::Bytes, false) => ", 1, 1) = x'f9'",
        };
        vec!["substr(".into(), column.into(), magic.into()]
    }

    /// Whether it is a lone field: what else is sealed has its handle elsewhere, or none.
    pub(crate) fn is_lone<'a>(self, column: &'a Name, postgres: bool) -> Vec<Part<'a>> {
        let head = match (self, postgres) {
            // Magic, profile 0x11, suite 0x01.
            (Self::Text, _) => ", 1, 9) = 'chy1.-REB'",
            (Self::Bytes, true) => ", 1, 3) = '\\xf91101'::bytea",
            (Self::Bytes, false) => ", 1, 3) = x'f91101'",
        };
        vec!["substr(".into(), column.into(), head.into()]
    }

    /// The part of a sealed value that holds its handle, as text: flags and handle in base64url, or the handle in hex.
    pub(crate) fn handle<'a>(self, column: &'a Name, postgres: bool) -> Vec<Part<'a>> {
        match (self, postgres) {
            // `chy1.`, then 4 letters for the first three bytes, then 12 for flags and handle.
            (Self::Text, _) => vec!["substr(".into(), column.into(), ", 10, 12)".into()],
            (Self::Bytes, true) => vec!["encode(substr(".into(), column.into(), ", 5, 8), 'hex')".into()],
            (Self::Bytes, false) => vec!["lower(hex(substr(".into(), column.into(), ", 5, 8)))".into()],
        }
    }

    /// What [`Self::handle`] gives for values under this handle.
    pub(crate) fn handle_texts(self, handle: chancery_crypto::Handle) -> Vec<String> {
        let with = |flags: u8| data_encoding::BASE64URL_NOPAD.encode(&[&[flags][..], &handle.0].concat());
        match self {
            Self::Text => vec![with(0), with(1)],
            Self::Bytes => vec![handle.to_hex()],
        }
    }

    /// The handle in what [`Self::handle`] gave.
    pub(crate) fn parse_handle(self, text: &str) -> Option<chancery_crypto::Handle> {
        let bytes = match self {
            Self::Text => data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.get(1..)?.to_vec(),
            Self::Bytes => data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?,
        };
        bytes.try_into().ok().map(chancery_crypto::Handle)
    }

    pub(crate) fn stored(self, cell: Cell) -> Result<Option<Stored>, DatabaseError> {
        match cell {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(Stored::Text(text))),
            Cell::Bytes(bytes) => Ok(Some(Stored::Bytes(bytes))),
            Cell::Int(_) => Err(DatabaseError::Type),
        }
    }
}

/// A sealed value as a bound one.
pub(crate) fn stored_arg(stored: &Stored) -> Arg {
    match stored {
        Stored::Text(text) => text.as_str().into(),
        Stored::Bytes(bytes) => Arg::Bytes(bytes.clone()),
    }
}

/// What does not work with a database is the same to all callers.
pub(crate) fn unavailable(error: DatabaseError) -> TableError {
    TableError::Unavailable(error.into())
}

async fn columns(database: &Database, table: &TableName) -> Result<Vec<Column>, DatabaseError> {
    let schema = Arg::Text(table.schema.as_ref().map(ToString::to_string));
    let name = Arg::from(table.table.as_str());
    let (sql, args) = match database.is_postgres() {
        true => (
            "SELECT column_name::text, CASE udt_name WHEN '_text' THEN 'array' ELSE data_type::text END, is_nullable = 'NO' FROM information_schema.columns
             WHERE table_name = $1 AND table_schema = COALESCE($2, current_schema()) ORDER BY ordinal_position",
            vec![name, schema],
        ),
        false => {
            ("SELECT name, lower(type), \"notnull\" FROM pragma_table_info($1) ORDER BY cid", vec![name])
        }
    };
    let rows = database.fetch(sqlx::SqlSafeStr::into_sql_str(sql), args).await?;
    let column = |mut row: crate::database::Cells| {
        Ok(Column {
            name: row.next()?.some_text()?,
            data_type: row.next()?.some_text()?,
            not_null: row.next()?.count()? != 0,
        })
    };
    rows.into_iter().map(column).collect()
}

/// Whether a column alone is a primary key or has a unique index that leaves out no row.
async fn unique(database: &Database, table: &TableName, row: &Name) -> Result<bool, DatabaseError> {
    let schema = Arg::Text(table.schema.as_ref().map(ToString::to_string));
    let (table, row) = (Arg::from(table.table.as_str()), Arg::from(row.as_str()));
    let (sql, args) = match database.is_postgres() {
        true => (
            "SELECT count(*) FROM pg_index i
             JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
             WHERE t.relname = $1 AND n.nspname = COALESCE($2, current_schema()) AND a.attname = $3
                AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL AND a.attnotnull",
            vec![table, schema, row],
        ),
        false => (
            "SELECT (SELECT count(*) FROM pragma_table_info($1) WHERE pk > 0 AND name = $2
                    AND (SELECT count(*) FROM pragma_table_info($1) WHERE pk > 0) = 1)
                + (SELECT count(*) FROM pragma_index_list($1) l WHERE l.\"unique\" = 1 AND l.partial = 0
                    AND (SELECT group_concat(name) FROM pragma_index_info(l.name)) = $2)",
            vec![table, row],
        ),
    };
    let found = database.fetch(sqlx::SqlSafeStr::into_sql_str(sql), args).await?;
    Ok(found.into_iter().next().ok_or(DatabaseError::Type)?.next()?.count()? > 0)
}
