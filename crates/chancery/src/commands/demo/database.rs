//! A PostgreSQL database for the demo: a new one beside the given one, or that one itself if it is empty.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sqlx::{Connection as _, PgConnection};

/// Whether we may work in this database: it lets us, and holds neither an installation nor an earlier demo.
const USABLE: &str = "SELECT has_schema_privilege('public', 'CREATE') AND has_database_privilege(current_database(), 'CREATE') \
     AND to_regclass('public.root_recipients') IS NULL AND to_regnamespace('clinic_demo') IS NULL";

/// A name that a demo's database may have. Statements are constants here, so the names are a fixed set.
struct Slot {
    name: &'static str,
    create: &'static str,
    drop: &'static str,
}

macro_rules! slots {
    ($($number:literal)+) => {
        [$(Slot {
            name: concat!("chancery_demo_", $number),
            create: concat!("CREATE DATABASE chancery_demo_", $number, " TEMPLATE template0"),
            drop: concat!("DROP DATABASE IF EXISTS chancery_demo_", $number, " WITH (FORCE)"),
        }),+]
    };
}

/// So many demos can run on one server at once; each takes the first name that is free.
const SLOTS: &[Slot] = &slots!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);

/// How often the removal of a database is tried.
const REMOVALS: u32 = 5;

/// Where the demo works.
pub(super) struct Database {
    /// Its address.
    pub(super) url: String,
    /// What was made for the demo and goes at its end, and the address of the database from which it was made.
    made: Option<(&'static Slot, String)>,
}

impl Database {
    /// A new database on the server at `url`; without the right to make one, the database at `url` if it is empty.
    pub(super) async fn at(url: &str) -> Result<Self> {
        let mut connection = PgConnection::connect(url).await.context("PostgreSQL does not answer")?;
        for slot in SLOTS {
            match sqlx::query(slot.create).execute(&mut connection).await {
                Ok(_) => return Ok(Self { url: beside(url, slot.name), made: Some((slot, url.to_owned())) }),
                Err(error) if is_taken(&error) => {}
                Err(_) => break,
            }
        }
        if sqlx::query_scalar(USABLE).fetch_one(&mut connection).await? {
            return Ok(Self { url: url.to_owned(), made: None });
        }
        bail!(
            "this database is in use and no other could be made beside it; give an empty one, let the role make \
             databases, or drop what is left of earlier demos (chancery_demo_1 to _{})",
            SLOTS.len()
        )
    }

    /// Where it is, for people.
    pub(super) fn note(&self) -> String {
        match &self.made {
            Some((slot, _)) => format!("PostgreSQL, database {}", slot.name),
            None => "PostgreSQL, the given database".to_owned(),
        }
    }

    /// Removes the database, if it was made for the demo.
    pub(super) async fn remove(self) -> Result<()> {
        let Some((slot, url)) = self.made else { return Ok(()) };
        let mut connection = PgConnection::connect(&url).await?;
        // On a busy machine a back end of the demo may take longer to end than the seconds that PostgreSQL waits for it.
        let mut tries = 0;
        while let Err(error) = sqlx::query(slot.drop).execute(&mut connection).await {
            tries += 1;
            if tries == REMOVALS {
                return Err(error).with_context(|| format!("could not drop the demo's database {}", slot.name));
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        Ok(())
    }
}

/// Whether the name exists: seen at once, or by the index when two make it at the same time.
fn is_taken(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("42P04" | "23505"))
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
