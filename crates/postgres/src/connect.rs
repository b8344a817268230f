//! From an address to pools that may be trusted.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};

use crate::error::ConnectError;
use crate::{grants, migrations};

/// The oldest server we know to work.
const OLDEST: i32 = 150_000;

/// Where the database is and how to use it.
#[derive(Clone)]
pub struct Options {
    /// `postgres://user:password@host/database?sslmode=verify-full&sslrootcert=/path/ca.pem`.
    pub url: String,
    /// Connections open at the same time.
    pub max_connections: u32,
    /// A streaming replica that answers views once it has this node's own commits.
    /// It may lag behind what other nodes committed.
    pub read_url: Option<String>,
    /// The same database, as the role that owns its tables: it migrates and says what the role of `url` may do, and serves nothing.
    /// Without it the role of `url` owns them.
    pub owner_url: Option<String>,
    /// Accept a role that row security does not bind. For development.
    pub allow_superuser: bool,
}

impl Options {
    /// The database at `url` with 16 connections, no replica, and no exceptions.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), max_connections: 16, read_url: None, owner_url: None, allow_superuser: false }
    }
}

/// The addresses hold passwords, so they do not print.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("max_connections", &self.max_connections)
            .field("read_url", &self.read_url.is_some())
            .field("owner_url", &self.owner_url.is_some())
            .field("allow_superuser", &self.allow_superuser)
            .finish_non_exhaustive()
    }
}

/// Something that works and should not stay as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warning {
    /// The connection may run in clear: `sslmode` is `disable`, `allow` or `prefer`.
    MaybeInClear,
    /// The connection is encrypted to whoever answered: `sslmode` is `require`.
    ServerNotVerified,
    /// The server's certificate may be for another name: `sslmode` is `verify-ca`.
    NameNotVerified,
    /// Row security does not bind the role.
    RowSecurityBypassed,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MaybeInClear => "the connection to PostgreSQL may not be encrypted; use sslmode=verify-full",
            Self::ServerNotVerified => "the PostgreSQL server is not verified; use sslmode=verify-full with sslrootcert",
            Self::NameNotVerified => "the PostgreSQL server's name is not verified; use sslmode=verify-full",
            Self::RowSecurityBypassed => {
                "the PostgreSQL role is a superuser or has BYPASSRLS, so row security does not bind it; use an ordinary role"
            }
        })
    }
}

/// The pool of the primary, its schema up to date.
pub(crate) async fn primary(options: &Options) -> Result<(PgPool, Vec<Warning>), ConnectError> {
    let target = parse(&options.url)?;
    let mut warnings: Vec<Warning> = transport(&target).into_iter().collect();
    // Migrations take their time, so they have a connection without the timeouts.
    let mut connection = PgConnection::connect_with(&target).await?;
    check_version(&mut connection).await?;
    if bypasses_row_security(&mut connection).await? {
        if !options.allow_superuser {
            return Err(ConnectError::RowSecurityBypassed);
        }
        warnings.push(Warning::RowSecurityBypassed);
    }
    match &options.owner_url {
        Some(url) => migrate_as_owner(&parse(url)?, &mut connection).await?,
        None => migrations::run(&mut connection).await?,
    }
    connection.close().await?;
    let pool = pool(options).connect_with(limited(target)).await?;
    Ok((pool, warnings))
}

/// One more connection to the primary, opened when it is wanted, for what is not to wait for the pool: who has a transaction
/// of the pool open may wait for it. Of the owner of the tables, for it is tables that change.
pub(crate) fn aside(options: &Options) -> Result<PgPool, ConnectError> {
    let target = limited(parse(options.owner_url.as_ref().unwrap_or(&options.url))?);
    Ok(pool(options).max_connections(1).idle_timeout(Duration::from_secs(60)).connect_lazy_with(target))
}

/// Migrates as the owner of the tables, and gives the role of `connection` what it needs and no more.
async fn migrate_as_owner(owner: &PgConnectOptions, connection: &mut PgConnection) -> Result<(), ConnectError> {
    let mut owner = PgConnection::connect_with(owner).await?;
    migrations::run(&mut owner).await?;
    let owners = "SELECT EXISTS (SELECT 1 FROM pg_class AS c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND pg_has_role(current_user, c.relowner, 'MEMBER'))";
    if sqlx::query_scalar(owners).fetch_one(&mut *connection).await? {
        return Err(ConnectError::OwnsTables);
    }
    let role: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut *connection).await?;
    grants::give(&mut owner, &role).await?;
    owner.close().await?;
    // The owner of the tables need not own the schema, and then could not take it from everyone.
    let creates = "SELECT has_schema_privilege(current_user, 'public', 'CREATE')";
    if sqlx::query_scalar(creates).fetch_one(connection).await? {
        return Err(ConnectError::MayCreate);
    }
    Ok(())
}

/// The pool of a replica.
pub(crate) async fn replica(options: &Options, url: &str) -> Result<(PgPool, Option<Warning>), ConnectError> {
    let target = parse(url)?;
    let warning = transport(&target);
    Ok((pool(options).connect_with(limited(target)).await?, warning))
}

fn parse(url: &str) -> Result<PgConnectOptions, ConnectError> {
    // The cause would repeat parts of the address, and with them perhaps the password.
    let target: PgConnectOptions = url.parse().map_err(|_| ConnectError::Address)?;
    Ok(target.application_name("chancery").disable_statement_logging())
}

/// What is weak about the way to the server. A socket on this machine needs no TLS.
fn transport(target: &PgConnectOptions) -> Option<Warning> {
    if target.get_socket().is_some() || target.get_host().starts_with('/') {
        return None;
    }
    match target.get_ssl_mode() {
        PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => Some(Warning::MaybeInClear),
        PgSslMode::Require => Some(Warning::ServerNotVerified),
        PgSslMode::VerifyCa => Some(Warning::NameNotVerified),
        PgSslMode::VerifyFull => None,
    }
}

/// Nobody waits for ever: not for a lock, a statement, or a transaction that was forgotten.
fn limited(target: PgConnectOptions) -> PgConnectOptions {
    target.statement_cache_capacity(256).options([
        ("lock_timeout", "5s"),
        ("statement_timeout", "15s"),
        ("idle_in_transaction_session_timeout", "60s"),
    ])
}

fn pool(options: &Options) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(options.max_connections.max(1))
        .acquire_timeout(Duration::from_secs(10))
        .after_connect(|connection, _| {
            Box::pin(async move {
                // A commit that is not flushed would make every receipt a lie. Stronger settings stay.
                sqlx::query(
                    "SELECT set_config('synchronous_commit', 'on', false)
                     WHERE current_setting('synchronous_commit') IN ('off')",
                )
                .execute(connection)
                .await
                .map(drop)
            })
        })
}

async fn check_version(connection: &mut PgConnection) -> Result<(), ConnectError> {
    let version: i32 =
        sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(connection).await?;
    if version < OLDEST { Err(ConnectError::TooOld(version / 10_000)) } else { Ok(()) }
}

async fn bypasses_row_security(connection: &mut PgConnection) -> Result<bool, ConnectError> {
    let bypasses = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user";
    Ok(sqlx::query_scalar(bypasses).fetch_one(connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_below_verify_full_warns() {
        let warning = |query: &str| transport(&parse(&format!("postgres://u:p@db.example/c{query}")).unwrap());
        assert_eq!(warning(""), Some(Warning::MaybeInClear));
        assert_eq!(warning("?sslmode=disable"), Some(Warning::MaybeInClear));
        assert_eq!(warning("?sslmode=require"), Some(Warning::ServerNotVerified));
        assert_eq!(warning("?sslmode=verify-ca"), Some(Warning::NameNotVerified));
        assert_eq!(warning("?sslmode=verify-full"), None);
        assert_eq!(warning("?host=/run/postgresql"), None);
    }

    #[test]
    fn an_address_does_not_print() {
        let options = Options::new("postgres://u:hunter2@h/d");
        assert!(!format!("{options:?}").contains("hunter2"));
        assert!(!format!("{:?}", parse("postgres://u:hunter2@h:port/d").unwrap_err()).contains("hunter2"));
    }
}
