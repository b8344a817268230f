//! The clinic on PostgreSQL. To use it in your application, copy this file and `columns.rs`.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use chancery_sealed::{Email, Indexed as _, PersonName, Phone, RootUse, Sealed, Sealer};
use sqlx::{PgPool, Row as _};

use crate::columns::{PatientEmail, PatientName, PatientPhone};

/// How many rows one round of a rotation or a migration takes.
const BATCH: i64 = 100;

/// The patients of a clinic, and the keys to them.
pub(crate) struct Clinic {
    pool: PgPool,
    sealer: Arc<Sealer>,
}

impl Clinic {
    pub(crate) async fn connect(url: &str, sealer: Arc<Sealer>) -> Result<Self> {
        let pool = PgPool::connect(url).await?;
        Ok(Self { pool, sealer })
    }

    /// Sealed columns are ordinary text columns. The term has a column and an index of its own.
    pub(crate) async fn create_table(&self) -> Result<()> {
        let table = "CREATE TABLE IF NOT EXISTS patients (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT, email_term TEXT, phone TEXT)";
        sqlx::query(table).execute(&self.pool).await?;
        let index = "CREATE INDEX IF NOT EXISTS patients_email ON patients (email_term)";
        sqlx::query(index).execute(&self.pool).await?;
        Ok(())
    }

    /// The id is chosen here, not by the database: values are bound to their row, so it must be known first.
    pub(crate) async fn add(&self, id: &str, name: &PersonName, email: Option<&Email>) -> Result<()> {
        let sealed = |email| Sealed::<PatientEmail>::seal(&self.sealer, id, email);
        sqlx::query("INSERT INTO patients (id, name, email, email_term) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(Sealed::<PatientName>::seal(&self.sealer, id, name)?)
            .bind(email.map(sealed).transpose()?)
            .bind(email.map(|email| self.sealer.term::<PatientEmail>(email)).transpose()?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Finds patients by their e-mail and gives their names.
    pub(crate) async fn find(&self, email: &Email) -> Result<Vec<(String, String)>> {
        let opener = self.sealer.unaudited("an example; a real clinic passes its trail to `audited`");
        let rows = sqlx::query("SELECT id, name, email FROM patients WHERE email_term = ANY($1)")
            .bind(self.sealer.terms::<PatientEmail>(email)?)
            .fetch_all(&self.pool)
            .await?;
        let mut found = Vec::new();
        for row in rows {
            let id: String = row.try_get("id")?;
            let stored: Sealed<PatientEmail> = row.try_get("email")?;
            // Terms can meet by chance, so the value itself has the last word.
            if PatientEmail::same(stored.open(&opener, &id)?.expose(), email) {
                let name: Sealed<PatientName> = row.try_get("name")?;
                let name = name.open(&opener, &id)?.expose().as_str().to_owned();
                found.push((id, name));
            }
        }
        Ok(found)
    }

    /// How many patients there are: rows are read, nothing is opened.
    pub(crate) async fn count(&self) -> Result<usize> {
        let rows = sqlx::query("SELECT name, email FROM patients").fetch_all(&self.pool).await?;
        for row in &rows {
            let _name: Sealed<PatientName> = row.try_get("name")?; // an error if it were in the clear
            let _email: Option<Sealed<PatientEmail>> = row.try_get("email")?;
        }
        Ok(rows.len())
    }

    /// Adds a key version and moves the names to it, a batch at a time; gives the version and how many moved.
    ///
    /// It can be stopped at any time and run again: what is current is left alone, what is not still opens.
    pub(crate) async fn rotate(&self) -> Result<(u32, usize)> {
        let version = self.sealer.rotate(RootUse::Data)?;
        let opener = self.sealer.unaudited("renewing shows nothing to anybody");
        let prefix = self.sealer.current_prefix::<PatientName>();
        let mut moved = 0;
        loop {
            let rows = sqlx::query("SELECT id, name FROM patients WHERE name NOT LIKE $1 || '%' LIMIT $2")
                .bind(&prefix)
                .bind(BATCH)
                .fetch_all(&self.pool)
                .await?;
            if rows.is_empty() {
                return Ok((version, moved));
            }
            for row in rows {
                let (id, old): (String, Sealed<PatientName>) = (row.try_get("id")?, row.try_get("name")?);
                let Some(new) = old.renewed(&opener, &id)? else { continue };
                // Only if nobody changed it meanwhile; what they wrote is current anyway.
                let done = sqlx::query("UPDATE patients SET name = $1 WHERE id = $2 AND name = $3")
                    .bind(new)
                    .bind(&id)
                    .bind(old)
                    .execute(&self.pool)
                    .await?;
                moved += usize::try_from(done.rows_affected())?;
            }
        }
    }

    /// Writes a phone number as the older version of this application did: in the clear.
    pub(crate) async fn write_phone_in_clear(&self, id: &str, phone: &str) -> Result<()> {
        let done = sqlx::query("UPDATE patients SET phone = $1 WHERE id = $2").bind(phone).bind(id).execute(&self.pool);
        ensure!(done.await?.rows_affected() == 1, "no patient {id}");
        Ok(())
    }

    /// A phone number, sealed or still in the clear: what an application reads with while a migration runs.
    pub(crate) async fn phone(&self, id: &str) -> Result<Option<String>> {
        let row = sqlx::query("SELECT phone FROM patients WHERE id = $1").bind(id).fetch_optional(&self.pool).await?;
        let stored: Option<String> = row.context("no such patient")?.try_get("phone")?;
        let Some(stored) = stored else { return Ok(None) };
        let Ok(sealed) = Sealed::<PatientPhone>::from_text(&stored) else { return Ok(Some(stored)) };
        let opener = self.sealer.unaudited("an example");
        Ok(Some(sealed.open(&opener, id)?.expose().as_str().to_owned()))
    }

    /// Seals the phone numbers that are in the clear, in place; gives how many. It can be stopped and run again.
    pub(crate) async fn migrate_phones(&self) -> Result<usize> {
        let opener = self.sealer.unaudited("each value is read back before the next is touched");
        let mut migrated = 0;
        loop {
            let rows = sqlx::query("SELECT id, phone FROM patients WHERE phone NOT LIKE 'chy1.%' LIMIT $1")
                .bind(BATCH)
                .fetch_all(&self.pool)
                .await?;
            if rows.is_empty() {
                return Ok(migrated);
            }
            for row in rows {
                let (id, clear): (String, String) = (row.try_get("id")?, row.try_get("phone")?);
                let phone = Phone::parse(&clear).with_context(|| format!("the phone of patient {id}"))?;
                let sealed = Sealed::<PatientPhone>::seal(&self.sealer, &id, &phone)?;
                ensure!(
                    sealed.open(&opener, &id)?.expose().as_str() == phone.as_str(),
                    "patient {id} did not read back"
                );
                // Only what was read: a number that was changed meanwhile is taken in the next round.
                let done = sqlx::query("UPDATE patients SET phone = $1 WHERE id = $2 AND phone = $3")
                    .bind(sealed)
                    .bind(&id)
                    .bind(&clear)
                    .execute(&self.pool)
                    .await?;
                migrated += usize::try_from(done.rows_affected())?;
            }
        }
    }
}
