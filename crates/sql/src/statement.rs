//! Statements: text that was in the program when it was compiled.

/// One statement. Only `'static` text becomes one, so no input ever does.
///
/// `$1`, `$2`… mean the same to both engines.
#[derive(Debug, Clone, Copy)]
pub struct Sql {
    sqlite: &'static str,
    postgres: &'static str,
}

impl Sql {
    /// Where the engines' dialects differ.
    pub const fn dialects(sqlite: &'static str, postgres: &'static str) -> Self {
        Self { sqlite, postgres }
    }

    /// As SQLite wants it.
    pub const fn sqlite(self) -> &'static str {
        self.sqlite
    }

    /// As PostgreSQL wants it.
    pub const fn postgres(self) -> &'static str {
        self.postgres
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }
}

/// How many rows the SQLite texts of a [`Batch`] take, in their order.
pub const BATCHES: [usize; 4] = [64, 16, 4, 1];

/// Adds many rows at once. Made by the crate's `batch!`.
///
/// SQLite takes the rows as `VALUES` of a fixed width; PostgreSQL takes each column as an array.
#[derive(Debug, Clone, Copy)]
pub struct Batch {
    #[doc(hidden)]
    pub sqlite: [&'static str; BATCHES.len()],
    #[doc(hidden)]
    pub postgres: &'static str,
}

impl Batch {
    /// The texts for SQLite, as wide as [`BATCHES`] says.
    pub const fn sqlite(self) -> [&'static str; BATCHES.len()] {
        self.sqlite
    }

    /// The text for PostgreSQL.
    pub const fn postgres(self) -> &'static str {
        self.postgres
    }
}

/// A [`Batch`] of what comes before the rows, one row for SQLite, and the rows for PostgreSQL.
macro_rules! batch {
    ($insert:literal, sqlite: $row:literal, postgres: $unnest:literal) => {
        $crate::Batch {
            sqlite: [
                concat!($insert, " VALUES ", batch!(@64 $row)),
                concat!($insert, " VALUES ", batch!(@16 $row)),
                concat!($insert, " VALUES ", batch!(@4 $row)),
                concat!($insert, " VALUES ", $row),
            ],
            postgres: concat!($insert, " ", $unnest),
        }
    };
    (@4 $row:literal) => { concat!($row, ",", $row, ",", $row, ",", $row) };
    (@16 $row:literal) => {
        concat!(batch!(@4 $row), ",", batch!(@4 $row), ",", batch!(@4 $row), ",", batch!(@4 $row))
    };
    (@64 $row:literal) => {
        concat!(batch!(@16 $row), ",", batch!(@16 $row), ",", batch!(@16 $row), ",", batch!(@16 $row))
    };
}
pub(crate) use batch;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_as_wide_as_it_says() {
        let batch = batch!("INSERT INTO t (a)", sqlite: "(?)", postgres: "SELECT * FROM UNNEST($1)");
        for (width, text) in BATCHES.iter().zip(batch.sqlite()) {
            assert_eq!(text.matches('?').count(), *width);
        }
        assert_eq!(batch.sqlite()[3], "INSERT INTO t (a) VALUES (?)");
        assert_eq!(batch.postgres(), "INSERT INTO t (a) SELECT * FROM UNNEST($1)");
    }
}
