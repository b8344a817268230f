//! A PostgreSQL database for the demo: the given one if it is empty, otherwise one beside it.

use anyhow::{Context as _, Result};
use sqlx::{Connection as _, PgConnection};

/// Whether we may work in this database: it lets us, and holds neither an installation nor an earlier demo.
const USABLE: &str = "SELECT has_schema_privilege('public', 'CREATE') AND has_database_privilege(current_database(), 'CREATE') \
     AND to_regclass('public.root_recipients') IS NULL AND to_regnamespace('clinic_demo') IS NULL";
const CREATE: &str = "CREATE DATABASE chancery_demo";
const DROP: &str = "DROP DATABASE IF EXISTS chancery_demo WITH (FORCE)";
const NAME: &str = "chancery_demo";

/// Where the demo works.
pub(super) struct Database {
    /// Its address.
    pub(super) url: String,
    /// The address of the database from which ours was made; ours goes at the end.
    made_from: Option<String>,
}

impl Database {
    /// The database at `url`, or `chancery_demo` on the same server.
    pub(super) async fn at(url: &str) -> Result<Self> {
        let mut connection = PgConnection::connect(url).await.context("PostgreSQL does not answer")?;
        let usable: bool = sqlx::query_scalar(USABLE).fetch_one(&mut connection).await?;
        if usable {
            return Ok(Self { url: url.to_owned(), made_from: None });
        }
        sqlx::query(CREATE).execute(&mut connection).await.context(
            "this database is in use, and the database chancery_demo could not be made beside it; give an empty one",
        )?;
        Ok(Self { url: beside(url, NAME), made_from: Some(url.to_owned()) })
    }

    /// Where it is, for people.
    pub(super) fn note(&self) -> &'static str {
        if self.made_from.is_some() { "PostgreSQL, database chancery_demo" } else { "PostgreSQL, the given database" }
    }

    /// Removes the database, if it was made for the demo.
    pub(super) async fn remove(self) -> Result<()> {
        let Some(url) = self.made_from else { return Ok(()) };
        let mut connection = PgConnection::connect(&url).await?;
        sqlx::query(DROP).execute(&mut connection).await?;
        Ok(())
    }
}

/// The same address with another database.
fn beside(url: &str, name: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, String::new()), |(a, query)| (a, format!("?{query}")));
    let (scheme, rest) = address.split_once("://").unwrap_or(("postgres", address));
    let authority = rest.split('/').next().unwrap_or(rest);
    format!("{scheme}://{authority}/{name}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_an_address_is_exchanged() {
        for (url, expected) in [
            ("postgres://u:p@h:1/d?sslmode=require", "postgres://u:p@h:1/x?sslmode=require"),
            ("postgres://u@h", "postgres://u@h/x"),
            ("postgres://localhost/d?host=/run/pg", "postgres://localhost/x?host=/run/pg"),
        ] {
            assert_eq!(beside(url, "x"), expected);
        }
    }
}
