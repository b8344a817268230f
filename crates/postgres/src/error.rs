//! PostgreSQL's errors in the store's words.

use chancery_domain::store::StoreError;
use chancery_sql::taken_by_constraint;
use sqlx::migrate::MigrateError;

/// Why the database could not be used as a store.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address does not parse. It is not repeated, because it may hold a password.
    #[error("not a valid `postgres://` address")]
    Address,
    /// The server refused or did not answer, or its certificate did not verify.
    #[error("could not connect to PostgreSQL")]
    Database(#[from] sqlx::Error),
    /// The server is too old.
    #[error("PostgreSQL {0} is too old; 15 or newer is needed")]
    TooOld(i32),
    /// The role would see every tenant's rows whatever the policies say.
    #[error("the PostgreSQL role is a superuser or has BYPASSRLS; use an ordinary role, so that row security binds it")]
    RowSecurityBypassed,
    /// The role could change the tables, although another one is named as their owner.
    #[error(
        "the PostgreSQL role owns the tables or may act as their owner; give the store's address another role than the owner's"
    )]
    OwnsTables,
    /// The role could make a function that the owner then runs.
    #[error(
        "the PostgreSQL role may create objects in the schema public; as the schema's owner: REVOKE CREATE ON SCHEMA public FROM PUBLIC, and from the role"
    )]
    MayCreate,
    /// Another session holds the lock of those who start.
    #[error("another session of PostgreSQL holds the lock 684106 for longer than 30 s; find it in pg_locks and end it")]
    Locked,
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
            taken_by_constraint(refusal.constraint().unwrap_or_default())
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => StoreError::Damaged("value"),
        _ => StoreError::Unavailable(error.into()),
    }
}
