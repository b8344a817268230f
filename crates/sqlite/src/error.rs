//! SQLite's errors in the store's words.

use chancery_domain::store::StoreError;
use chancery_sql::taken_by_columns;
use sqlx::migrate::MigrateError;

/// Why the file could not be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It could not be made, or its mode not be set.
    #[error("could not prepare the database file")]
    File(#[source] std::io::Error),
    /// SQLite refused.
    #[error("could not open the database")]
    Database(#[from] sqlx::Error),
    /// A newer Chancery has migrated it.
    #[error("the database has schema version {0}, which this Chancery does not know; run a newer one")]
    Newer(i64),
    /// A migration failed, or is not the one that was applied.
    #[error("could not migrate the database")]
    Migrate(#[source] MigrateError),
}

pub(crate) fn store(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(refusal) if refusal.is_unique_violation() => {
            taken_by_columns(refusal.message().strip_prefix("UNIQUE constraint failed: ").unwrap_or_default())
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => StoreError::Damaged("value"),
        _ => StoreError::Unavailable(error.into()),
    }
}
