//! The table `tenant_keys` of another system (CT-02).

use anyhow::{Context as _, Result, bail};
use chancery_crypto::{KeyMaterial, Secret};
use serde_json::{Map, Value, json};
use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};

const READ: &str = "SELECT CAST(key_id AS TEXT), CAST(public_jwk_json AS TEXT), CAST(private_key_pem AS TEXT),
        CAST(status AS TEXT), CAST(created_at AS TEXT)
    FROM tenant_keys WHERE CAST(tenant_id AS TEXT) = $1 AND private_key_pem IS NOT NULL AND private_key_pem <> ''
    ORDER BY CASE WHEN status = 'active' THEN 1 ELSE 0 END, created_at";
/// Only what was read: a key that changed meanwhile stays.
const FORGET: &str = "UPDATE tenant_keys SET private_key_pem = NULL
    WHERE CAST(tenant_id AS TEXT) = $1 AND CAST(key_id AS TEXT) = $2 AND private_key_pem = $3";

/// A row with a private key in the clear.
pub(super) struct PemRow {
    pub(super) key_id: String,
    pub(super) public_jwk: Option<Value>,
    pem: Secret<String>,
    status: String,
    created_at: Option<String>,
}

impl PemRow {
    /// Of the public half that the private key gives.
    pub(super) fn thumbprint(&self) -> Result<String> {
        let wrong = || format!("the private key of `{}` is none that we know", self.key_id);
        let key = KeyMaterial::from_pem(self.pem.expose().trim()).ok().with_context(wrong)?;
        let public = key.public().with_context(wrong)?;
        Ok(public.jwk().thumbprint())
    }

    fn new(columns: [Option<String>; 5]) -> Result<Self> {
        let [key_id, jwk, pem, status, created_at] = columns;
        let key_id = key_id.context("a row has no key_id")?;
        let jwk = jwk.filter(|text| !text.trim().is_empty()).map(|text| serde_json::from_str(&text)).transpose();
        let public_jwk = jwk.ok().with_context(|| format!("public_jwk_json of `{key_id}` is no JSON"))?;
        let pem = Secret::new(pem.unwrap_or_default());
        let status = status.unwrap_or_else(|| "rotated".to_owned());
        Ok(Self { key_id, public_jwk, pem, status, created_at: created_at.as_deref().and_then(moment) })
    }

    /// The row as the API takes it.
    pub(super) fn version(&self) -> Value {
        let mut version = Map::new();
        version.insert("pem".to_owned(), json!(self.pem.expose().trim()));
        version.insert("state".to_owned(), json!(self.status));
        if let Some(at) = &self.created_at {
            version.insert("created_at".to_owned(), json!(at));
        }
        Value::Object(version)
    }
}

/// A moment as databases write it, in RFC 3339; without an offset it is taken for UTC.
pub(super) fn moment(text: &str) -> Option<String> {
    let mut text = text.trim().replacen(' ', "T", 1);
    let clock = text.split_once('T').map(|(_, clock)| clock.to_owned()).unwrap_or_default();
    if clock.is_empty() {
        text.push_str("T00:00:00Z");
    } else if let Some(at) = clock.rfind(['+', '-']) {
        // PostgreSQL writes +00.
        if clock.len() - at == 3 {
            text.push_str(":00");
        }
    } else if !clock.ends_with(['Z', 'z']) {
        text.push('Z');
    }
    text.parse::<chancery_domain::Timestamp>().ok().map(|at| at.to_string())
}

/// The database of another system.
pub(super) enum Source {
    Postgres(Box<PgConnection>),
    Sqlite(Box<SqliteConnection>),
}

impl Source {
    /// Connects to a database by its URL, which stays out of every message: it holds a password.
    pub(super) async fn open(url: &str) -> Result<Self> {
        let unreachable = "cannot connect to the database of --database-url-file";
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(Box::new(PgConnection::connect(url).await.context(unreachable)?)));
        }
        if url.starts_with("sqlite:") {
            return Ok(Self::Sqlite(Box::new(SqliteConnection::connect(url).await.context(unreachable)?)));
        }
        bail!("the URL in --database-url-file begins with neither postgres:// nor sqlite:")
    }

    /// The private keys of a tenant: the active one last, the others by age.
    pub(super) async fn rows(&mut self, tenant: &str) -> Result<Vec<PemRow>> {
        let what = "cannot read tenant_keys (tenant_id, key_id, public_jwk_json, private_key_pem, status, created_at)";
        let mut found = Vec::new();
        match self {
            Self::Postgres(connection) => {
                for row in sqlx::query(READ).bind(tenant).fetch_all(&mut **connection).await.context(what)? {
                    found.push([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?]);
                }
            }
            Self::Sqlite(connection) => {
                for row in sqlx::query(READ).bind(tenant).fetch_all(&mut **connection).await.context(what)? {
                    found.push([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?]);
                }
            }
        }
        found.into_iter().map(PemRow::new).collect()
    }

    /// Empties the column of those rows, all or none; how many.
    pub(super) async fn forget_private_keys(&mut self, tenant: &str, rows: &[PemRow]) -> Result<usize> {
        let what = "the keys are imported, but the source did not let its private_key_pem be emptied; allow NULL in it and empty it";
        let mut emptied = 0;
        match self {
            Self::Postgres(connection) => {
                let mut transaction = connection.begin().await.context(what)?;
                for row in rows {
                    let query = sqlx::query(FORGET).bind(tenant).bind(&row.key_id).bind(row.pem.expose());
                    emptied += query.execute(&mut *transaction).await.context(what)?.rows_affected();
                }
                transaction.commit().await.context(what)?;
            }
            Self::Sqlite(connection) => {
                let mut transaction = connection.begin().await.context(what)?;
                for row in rows {
                    let query = sqlx::query(FORGET).bind(tenant).bind(&row.key_id).bind(row.pem.expose());
                    emptied += query.execute(&mut *transaction).await.context(what)?.rows_affected();
                }
                transaction.commit().await.context(what)?;
            }
        }
        Ok(usize::try_from(emptied).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_databases_are_read() {
        for (written, read) in [
            ("2024-05-06 07:08:09", Some("2024-05-06T07:08:09.000000Z")),
            ("2024-05-06 07:08:09.123456+00", Some("2024-05-06T07:08:09.123456Z")),
            ("2024-05-06T09:08:09+02:00", Some("2024-05-06T07:08:09.000000Z")),
            ("2024-05-06T07:08:09Z", Some("2024-05-06T07:08:09.000000Z")),
            ("2024-05-06", Some("2024-05-06T00:00:00.000000Z")),
            ("yesterday", None),
        ] {
            assert_eq!(moment(written).as_deref(), read, "{written}");
        }
    }
}
