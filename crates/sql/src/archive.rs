//! Every row of every table, for backups: read from one snapshot of one engine, written into either.
//!
//! The list of tables is the whole knowledge: columns come from the catalogue, so a column that a migration adds is in the
//! next backup. A test of each adapter compares the list with its schema. See `docs/adr/0007-backups.md`.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chancery_domain::TenantId;
use chancery_domain::audit::QueuedEvent;
use chancery_domain::ids::EventId;
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::{Driver, Row, Sql, Transaction, Value, audit::queue_again};

/// How many rows are read at a time.
pub const PAGE: usize = 500;
/// The most columns of a table.
const WIDEST: usize = 40;

/// Into which file a table goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The data backup.
    Data,
    /// The key bundle, which is destroyed earlier; names the column by which a tombstone knows the row, and its kind.
    Keys {
        /// Such as `key_id`.
        id: &'static str,
        /// Such as `key_version`.
        tombstone: &'static str,
    },
}

/// One table.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Into which file it goes.
    pub part: Part,
    /// Its primary key, after the tenant.
    pub order: &'static [&'static str],
    first: &'static str,
    next: &'static str,
    insert: [&'static str; WIDEST],
}

/// The statements that add one row of so many values, from one to forty.
macro_rules! inserts {
    ($table:literal) => {
        inserts!(@ ["$2" "$3" "$4" "$5" "$6" "$7" "$8" "$9" "$10" "$11" "$12" "$13" "$14" "$15" "$16" "$17" "$18" "$19" "$20"
             "$21" "$22" "$23" "$24" "$25" "$26" "$27" "$28" "$29" "$30" "$31" "$32" "$33" "$34" "$35" "$36" "$37" "$38"
             "$39" "$40"]
            [$table] ["$1"] [])
    };
    (@ [$next:literal $($later:literal)*] [$table:literal] [$($so_far:literal)*] [$($done:expr,)*]) => {
        inserts!(@ [$($later)*] [$table] [$($so_far)* "," $next]
            [$($done,)* concat!("INSERT INTO ", $table, " VALUES (", $($so_far,)* ")"),])
    };
    (@ [] [$table:literal] [$($so_far:literal)*] [$($done:expr,)*]) => {
        [$($done,)* concat!("INSERT INTO ", $table, " VALUES (", $($so_far,)* ")")]
    };
}

/// A table by its name and primary key after the tenant.
macro_rules! table {
    ($part:expr, $name:literal) => { table!(@ $part, $name, [], "", "") };
    ($part:expr, $name:literal, $a:literal) => {
        table!(@ $part, $name, [$a], concat!(" AND ", $a, " > $2"), concat!(" ORDER BY ", $a))
    };
    ($part:expr, $name:literal, $a:literal, $b:literal) => {
        table!(@ $part, $name, [$a, $b], concat!(" AND (", $a, ", ", $b, ") > ($2, $3)"),
            concat!(" ORDER BY ", $a, ", ", $b))
    };
    ($part:expr, $name:literal, $a:literal, $b:literal, $c:literal) => {
        table!(@ $part, $name, [$a, $b, $c], concat!(" AND (", $a, ", ", $b, ", ", $c, ") > ($2, $3, $4)"),
            concat!(" ORDER BY ", $a, ", ", $b, ", ", $c))
    };
    (@ $part:expr, $name:literal, $order:expr, $after:expr, $sorted:expr) => {
        Table {
            name: $name,
            part: $part,
            order: &$order,
            first: concat!("SELECT * FROM ", $name, " WHERE tenant_id = $1", $sorted, " LIMIT 500"),
            next: concat!("SELECT * FROM ", $name, " WHERE tenant_id = $1", $after, $sorted, " LIMIT 500"),
            insert: inserts!($name),
        }
    };
}

const VERSIONS: Part = Part::Keys { id: "key_id", tombstone: "key_version" };
const SUBJECT_KEYS: Part = Part::Keys { id: "id", tombstone: "subject_key" };
const SUBJECT_REFERENCES: Part = Part::Keys { id: "key_id", tombstone: "subject_references" };
const TENANT_KEYS: Part = Part::Keys { id: "version", tombstone: "tenant_key" };

/// Every table that a backup holds; what others refer to comes first.
pub const TABLES: &[Table] = &[
    table!(Part::Data, "directory_tenants"),
    table!(Part::Data, "directory_api_keys", "id"),
    table!(Part::Data, "directory_old_api_keys", "id"),
    table!(Part::Data, "tenants", "id"),
    table!(Part::Data, "tenant_email_terms", "id", "position"),
    table!(Part::Data, "users", "id"),
    table!(Part::Data, "user_email_terms", "user_id", "position"),
    table!(Part::Data, "api_keys", "id"),
    table!(Part::Data, "revocations", "kind", "id"),
    table!(Part::Data, "ip_blocks", "id"),
    table!(Part::Data, "lockouts", "id"),
    table!(Part::Data, "one_time_tokens", "id"),
    table!(Part::Data, "totp_factors", "user_id"),
    table!(Part::Data, "recovery_codes", "user_id", "position"),
    table!(Part::Data, "passkeys", "id"),
    table!(Part::Data, "roles", "name"),
    table!(Part::Data, "identity_providers", "id"),
    table!(Part::Data, "directory_identity_providers", "id", "audience"),
    table!(Part::Data, "webhook_sources", "id"),
    table!(Part::Data, "webhook_subscriptions", "id"),
    table!(Part::Data, "webhook_secrets", "id"),
    table!(Part::Data, "webhook_devices", "id"),
    table!(Part::Data, "webhook_deliveries", "id"),
    table!(Part::Data, "webhook_parts", "id"),
    table!(Part::Data, "role_holders", "role", "holder"),
    table!(Part::Data, "directory_roots", "version"),
    table!(Part::Data, "root_secrets", "version"),
    table!(Part::Data, "root_recipients", "id"),
    table!(Part::Data, "keys", "id"),
    table!(Part::Data, "key_copies", "key", "location"),
    table!(Part::Data, "fields", "id"),
    table!(Part::Data, "indexes", "id"),
    table!(Part::Data, "index_versions", "index_id", "version"),
    table!(Part::Data, "datasets", "id"),
    table!(Part::Data, "certificates", "id"),
    table!(Part::Data, "certificate_ends", "certificate_id", "state"),
    table!(Part::Data, "certificate_subjects", "reference", "certificate_id"),
    table!(Part::Data, "lockdowns"),
    table!(Part::Data, "audit_logs"),
    table!(Part::Data, "audit_queue", "seq"),
    table!(Part::Data, "audit_intents", "event_id"),
    table!(Part::Data, "audit_quarantine", "told_by"),
    table!(Part::Data, "audit_events", "idx"),
    table!(Part::Data, "audit_sealed", "event_id"),
    table!(Part::Data, "audit_tiles", "level", "idx"),
    table!(Part::Data, "audit_checkpoints", "size", "signed_at"),
    table!(Part::Data, "audit_references", "reference", "idx"),
    table!(Part::Data, "audit_sinks", "sink"),
    table!(Part::Data, "audit_retention"),
    table!(Part::Data, "audit_holds", "name"),
    table!(Part::Data, "audit_purges", "first_idx"),
    table!(Part::Data, "audit_archives", "place", "first_idx", "event_id"),
    table!(Part::Data, "audit_noted_heads", "origin"),
    table!(Part::Data, "audit_cosignatures", "size", "witness"),
    table!(Part::Data, "approvals", "id"),
    table!(Part::Data, "tombstones", "kind", "id"),
    table!(Part::Data, "backups", "id"),
    table!(TENANT_KEYS, "tenant_keys", "version"),
    table!(VERSIONS, "key_versions", "key", "version"),
    table!(SUBJECT_KEYS, "subject_keys", "id"),
    table!(SUBJECT_REFERENCES, "subject_references", "key_id"),
];

/// Tables that no backup holds: what is in them is over within a day, or told anew by whoever starts or logs in. What was
/// counted before a restore says nothing after it. A session of then may have been ended since, and a refresh token of then used:
/// after a restore nobody is logged in.
pub const LEFT_OUT: &[&str] = &[
    "_sqlx_migrations",
    "audit_scrubs",
    "census_counts",
    "csp_reports",
    "dataset_jobs",
    "directory_epochs",
    "idempotency",
    "jobs",
    "known_addresses",
    "sessions",
    "spent_challenges",
    "used_proofs",
    "webhook_sightings",
];

/// A column, as the engine knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
}

/// What values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Whole numbers.
    Int,
    /// Bytes.
    Bytes,
    /// True or false.
    Bool,
}

impl Kind {
    fn of(engine: &str) -> Option<Self> {
        Some(match engine.to_ascii_uppercase().as_str() {
            "TEXT" => Self::Text,
            "INTEGER" | "BIGINT" => Self::Int,
            "BLOB" | "BYTEA" => Self::Bytes,
            "BOOLEAN" => Self::Bool,
            _ => return None,
        })
    }

    /// The value as this column of this engine wants it; SQLite keeps true and false as 1 and 0.
    fn fit(self, value: Value) -> Option<Value> {
        let null = matches!(value, Value::Text(None) | Value::Int(None) | Value::Bytes(None) | Value::Bool(None));
        Some(match (self, value) {
            (Self::Text, _) if null => Value::Text(None),
            (Self::Int, _) if null => Value::Int(None),
            (Self::Bytes, _) if null => Value::Bytes(None),
            (Self::Bool, _) if null => Value::Bool(None),
            (Self::Bool, Value::Int(Some(value @ (0 | 1)))) => Value::Bool(Some(value == 1)),
            (Self::Int, Value::Bool(Some(value))) => Value::Int(Some(value.into())),
            (Self::Text, value @ Value::Text(_))
            | (Self::Int, value @ Value::Int(_))
            | (Self::Bytes, value @ Value::Bytes(_))
            | (Self::Bool, value @ Value::Bool(_)) => value,
            _ => return None,
        })
    }
}

/// A store whose rows can be taken out and put in as a whole.
#[async_trait]
pub trait Archives: Send + Sync {
    /// All rows as they are at this moment.
    async fn reading(&self) -> Result<Box<dyn ArchiveRead>, StoreError>;

    /// A transaction that takes them.
    async fn writing(&self) -> Result<Box<dyn ArchiveWrite>, StoreError>;

    /// Ends every connection; for SQLite also moves the write-ahead log into the file.
    async fn close(&self);
}

/// Reads one snapshot.
#[async_trait]
pub trait ArchiveRead: Send {
    /// All tenants, the platform among them.
    async fn tenants(&mut self) -> Result<Vec<String>, StoreError>;

    /// The columns of a table, in the order of its rows' values.
    async fn columns(&mut self, table: &Table) -> Result<Vec<Column>, StoreError>;

    /// At most [`PAGE`] rows of one tenant, in the order of the primary key, after the row with these values in it.
    async fn page(&mut self, tenant: &str, table: &Table, after: Vec<Value>) -> Result<Vec<Vec<Value>>, StoreError>;
}

/// Writes one transaction. Dropping it rolls back.
#[async_trait]
pub trait ArchiveWrite: ArchiveRead {
    /// Whether nothing was ever put into this store.
    async fn is_empty(&mut self) -> Result<bool, StoreError>;

    /// Adds a row of `tenant` with its values in the order of `columns`.
    async fn put(&mut self, tenant: &str, table: &Table, columns: &[Column], row: Vec<Value>)
    -> Result<(), StoreError>;

    /// Makes it all durable at once.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Both, over an engine's driver with an open transaction.
#[derive(Debug)]
pub struct Archive<D> {
    driver: D,
    entered: String,
    /// For which days room was made in the log; a day lies in one month.
    days: BTreeSet<i64>,
}

/// A day in microseconds.
const DAY: i64 = 86_400_000_000;

impl<D: Driver> Archive<D> {
    /// Over this driver.
    pub const fn new(driver: D) -> Self {
        Self { driver, entered: String::new(), days: BTreeSet::new() }
    }

    async fn enter(&mut self, tenant: &str) -> Result<(), StoreError> {
        if self.entered != tenant {
            self.driver.enter(tenant).await?;
            tenant.clone_into(&mut self.entered);
        }
        Ok(())
    }
}

const COLUMNS: Sql = Sql::dialects(
    "SELECT name, type FROM pragma_table_info($1) ORDER BY cid",
    "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute
     WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
);

#[async_trait]
impl<D: Driver> ArchiveRead for Archive<D> {
    async fn tenants(&mut self) -> Result<Vec<String>, StoreError> {
        let rows =
            self.driver.fetch("SELECT tenant_id FROM directory_tenants ORDER BY tenant_id".into(), vec![]).await?;
        let mut tenants = rows.into_iter().map(|row| Row::new("tenant", row).text()).collect::<Result<Vec<_>, _>>()?;
        let platform = TenantId::PLATFORM.to_string();
        if !tenants.contains(&platform) {
            tenants.push(platform);
        }
        Ok(tenants)
    }

    async fn columns(&mut self, table: &Table) -> Result<Vec<Column>, StoreError> {
        let rows = self.driver.fetch(COLUMNS, vec![table.name.into()]).await?;
        let read = |values: Vec<Value>| {
            let mut row = Row::new(table.name, values);
            let (name, kind) = (row.text()?, row.text()?);
            Ok(Column { name, kind: Kind::of(&kind).ok_or(StoreError::Damaged(table.name))? })
        };
        rows.into_iter().map(read).collect()
    }

    async fn page(&mut self, tenant: &str, table: &Table, after: Vec<Value>) -> Result<Vec<Vec<Value>>, StoreError> {
        self.enter(tenant).await?;
        let sql = if after.is_empty() { table.first } else { table.next };
        let mut args = vec![Value::text(tenant)];
        args.extend(after);
        self.driver.fetch(sql.into(), args).await
    }
}

#[async_trait]
impl<D: Transaction + Sync> ArchiveWrite for Archive<D> {
    async fn is_empty(&mut self) -> Result<bool, StoreError> {
        let rows = self.driver.fetch("SELECT tenant_id FROM directory_tenants LIMIT 1".into(), vec![]).await?;
        self.enter(&TenantId::PLATFORM.to_string()).await?;
        let sql = "SELECT id FROM root_recipients WHERE tenant_id = $1 LIMIT 1";
        let recipients = self.driver.fetch(sql.into(), vec![Value::text(TenantId::PLATFORM)]).await?;
        Ok(rows.is_empty() && recipients.is_empty())
    }

    async fn put(
        &mut self,
        tenant: &str,
        table: &Table,
        columns: &[Column],
        row: Vec<Value>,
    ) -> Result<(), StoreError> {
        let damaged = || StoreError::Damaged(table.name);
        if table.name == "audit_queue" {
            // The engine numbers the queue; the order of the rows is the queue's.
            let event = queued(tenant, columns, row)?;
            self.entered.clear();
            return queue_again(&mut self.driver, &event).await;
        }
        self.enter(tenant).await?;
        let fitted = columns.iter().zip(row).map(|(column, value)| column.kind.fit(value));
        let args = fitted.collect::<Option<Vec<_>>>().ok_or_else(damaged)?;
        if let Some(at) = moment(table, columns, &args)
            && self.days.insert(at.as_micros().div_euclid(DAY))
        {
            self.driver.make_room_within(at).await?;
        }
        let sql = args.len().checked_sub(1).and_then(|at| table.insert.get(at)).ok_or_else(damaged)?;
        self.driver.execute((*sql).into(), args).await.map(drop)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.driver.commit().await
    }
}

/// When a row belongs to that lies by the month in one of the engines.
fn moment(table: &Table, columns: &[Column], row: &[Value]) -> Option<Timestamp> {
    let value = |name: &str| row.get(columns.iter().position(|column| column.name == name)?);
    match table.name {
        "audit_events" => match value("recorded_at") {
            Some(Value::Int(Some(micros))) => Some(Timestamp::from_micros(*micros)),
            _ => None,
        },
        "audit_sealed" => match value("event_id") {
            Some(Value::Text(Some(id))) => id.parse::<EventId>().ok().map(EventId::made_at),
            _ => None,
        },
        _ => None,
    }
}

fn queued(tenant: &str, columns: &[Column], row: Vec<Value>) -> Result<QueuedEvent, StoreError> {
    let mut named: Vec<(&str, Value)> = columns.iter().map(|column| column.name.as_str()).zip(row).collect();
    let mut take = |name: &str| {
        let at = named.iter().position(|(found, _)| *found == name);
        at.map(|at| named.swap_remove(at).1).ok_or(StoreError::Damaged("event"))
    };
    let order = ["event_id", "recorded_at", "kind", "actor", "resource", "outcome", "request_id", "core", "sealed"];
    let mut values = order.into_iter().map(&mut take).collect::<Result<Vec<_>, _>>()?;
    values.insert(0, Value::text(tenant));
    let mut row = Row::new("event", values);
    Ok(QueuedEvent {
        tenant: row.parsed()?,
        id: row.parsed()?,
        recorded_at: row.time()?,
        kind: row.text()?,
        actor: row.text()?,
        resource: row.opt_text()?,
        outcome: row.int()?,
        request: row.parsed()?,
        core: row.text()?,
        sealed: row.opt_bytes()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_as_wide_as_they_say() {
        for table in TABLES {
            for (at, sql) in table.insert.iter().enumerate() {
                assert_eq!(sql.matches('$').count(), at + 1, "{sql}");
                assert!(sql.ends_with(&format!("${})", at + 1)), "{sql}");
            }
            assert_eq!(table.next.matches('$').count(), 1 + table.order.len(), "{}", table.next);
        }
        let users = TABLES.iter().find(|table| table.name == "users").unwrap();
        assert_eq!(users.first, "SELECT * FROM users WHERE tenant_id = $1 ORDER BY id LIMIT 500");
    }

    #[test]
    fn rows_that_lie_by_the_month_say_in_which() {
        let table = |name: &str| TABLES.iter().find(|table| table.name == name).unwrap();
        let column = |name: &str| Column { name: name.to_owned(), kind: Kind::Text };
        let columns = [column("tenant_id"), column("event_id"), column("recorded_at")];
        let id = EventId::from_bytes([1; 16]);
        let row = [Value::text("ten"), Value::text(id), Value::time(Timestamp::from_seconds(7))];
        assert_eq!(moment(table("audit_events"), &columns, &row), Some(Timestamp::from_seconds(7)));
        assert_eq!(moment(table("audit_sealed"), &columns, &row), Some(id.made_at()));
        assert_eq!(moment(table("audit_tiles"), &columns, &row), None);
    }

    #[test]
    fn truth_and_nothing_fit_both_engines() {
        assert_eq!(Kind::Bool.fit(1_i64.into()), Some(true.into()));
        assert_eq!(Kind::Int.fit(true.into()), Some(1_i64.into()));
        assert_eq!(Kind::Bytes.fit(Value::Text(None)), Some(Value::Bytes(None)));
        assert_eq!(Kind::Bool.fit(2_i64.into()), None);
        assert_eq!(Kind::Bytes.fit("x".into()), None);
    }
}
