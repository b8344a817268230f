//! A database of its own for every test, a copy of one that was migrated once.
//!
//! `CHANCERY_TEST_POSTGRES_URL` names a server and an ordinary role that may create databases; `cargo xtask with-postgres -- COMMAND`
//! gives one. Without it tests are skipped, or fail if `CHANCERY_TEST_REQUIRE_POSTGRES=1`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a part of the tests: it fails them loudly"
)]

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use crate::migrations::FILES;
use crate::{Options, Postgres};

/// The name of the migrated database, found or made by the first test of the process.
static TEMPLATE: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();

/// A store on a database of its own, which is dropped with it.
#[derive(Debug)]
pub struct Database {
    store: Postgres,
    server: PgConnectOptions,
    name: String,
    options: Options,
}

impl Deref for Database {
    type Target = Postgres;

    fn deref(&self) -> &Postgres {
        &self.store
    }
}

impl Database {
    /// Where it is, for a second connection.
    pub fn url(&self) -> &str {
        &self.options.url
    }

    /// From here on what is young stays, by the clock of the database, as everywhere but in tests.
    pub async fn keep_young(&self) {
        let truly = "CREATE OR REPLACE FUNCTION chancery_let_go_before() RETURNS BIGINT LANGUAGE sql STABLE
            AS 'SELECT chancery_let_go_before_truly()'";
        let mut owner = PgConnection::connect(self.url()).await.unwrap();
        sqlx::query(truly).execute(&mut owner).await.unwrap();
    }
}

/// The address of the test server, or `None` after saying that the test is skipped.
pub fn server_url() -> Option<String> {
    match std::env::var("CHANCERY_TEST_POSTGRES_URL") {
        Ok(url) => Some(url),
        Err(_) if std::env::var("CHANCERY_TEST_REQUIRE_POSTGRES").is_ok_and(|value| value == "1") => {
            panic!("CHANCERY_TEST_POSTGRES_URL is not set; run with `cargo xtask with-postgres --`")
        }
        Err(_) => {
            eprintln!("skipped: no CHANCERY_TEST_POSTGRES_URL; run with `cargo xtask with-postgres --`");
            None
        }
    }
}

/// A new database with the current schema, or `None` without a server.
pub async fn database() -> Option<Database> {
    let url = server_url()?;
    let template = TEMPLATE.get_or_init(|| template(&url)).await;
    Some(make(&url, Some(template)).await)
}

/// A new database that another role serves, whose address is the same but for `login` (`role:password`); or `None` without a server.
/// What the role may do was said once, for all of them.
pub async fn database_served_by(login: &str) -> Option<(Database, String)> {
    static SERVED: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    let url = server_url()?;
    let template = TEMPLATE.get_or_init(|| template(&url)).await;
    let served = SERVED.get_or_init(async || {
        let name = format!("{template}_served");
        made_once(&url, &name, Some(template), async |draft| {
            let options = Options::new(logged_in(&draft, login));
            let options = Options { owner_url: Some(draft), max_connections: 1, ..options };
            Postgres::connect(options).await.expect("could not say what the role may do").close().await;
        })
        .await;
        name
    });
    let database = make(&url, Some(served.await)).await;
    let url = logged_in(database.url(), login);
    Some((database, url))
}

/// The same address for another login.
fn logged_in(url: &str, login: &str) -> String {
    let (scheme, rest) = url.split_once("://").expect("the address has a scheme");
    let (_, place) = rest.split_once('@').expect("the address names a login");
    format!("{scheme}://{login}@{place}")
}

/// A new database without a schema, migrated by its first connection; or `None` without a server.
pub async fn empty_database() -> Option<Database> {
    Some(make(&server_url()?, None).await)
}

async fn make(url: &str, template: Option<&str>) -> Database {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("chancery_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let server: PgConnectOptions = url.parse().unwrap();
    let mut connection = PgConnection::connect_with(&server).await.expect("the test server does not answer");
    // An earlier process of this number may have left one.
    run(&mut connection, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    copy(&mut connection, &name, template).await;
    connection.close().await.unwrap();
    let mut options = Options::new(renamed(url, &name));
    options.max_connections = 8;
    options.allow_superuser = true;
    let store = Postgres::connect(options.clone()).await.expect("could not open the test database");
    Database { store, server, name, options }
}

/// The clocks of tests go where they like, and their logs grow old in a moment: how old an event is by the database's clock is not asked
/// there, until [`Database::keep_young`].
const AT_ANY_AGE: [&str; 2] = [
    "ALTER FUNCTION chancery_let_go_before() RENAME TO chancery_let_go_before_truly",
    "CREATE FUNCTION chancery_let_go_before() RETURNS BIGINT LANGUAGE sql STABLE AS 'SELECT 9223372036854775807'",
];

/// The migrated database of this schema, made by whoever comes first.
async fn template(url: &str) -> String {
    let mut hasher = DefaultHasher::new();
    FILES.hash(&mut hasher);
    AT_ANY_AGE.hash(&mut hasher);
    let name = format!("chancery_template_{:016x}", hasher.finish());
    made_once(url, &name, None, async |draft| {
        let options = Options { allow_superuser: true, max_connections: 1, ..Options::new(&draft) };
        Postgres::connect(options).await.expect("could not migrate the template").close().await;
        let mut owner = PgConnection::connect(&draft).await.unwrap();
        for statement in AT_ANY_AGE {
            sqlx::query(statement).execute(&mut owner).await.unwrap();
        }
        owner.close().await.unwrap();
    })
    .await;
    name
}

/// Makes the database of this name if there is none: a copy of `of`, which `prepare` is done to under another name.
async fn made_once(url: &str, name: &str, of: Option<&str>, prepare: impl AsyncFnOnce(String)) {
    let server: PgConnectOptions = url.parse().unwrap();
    let mut connection = PgConnection::connect_with(&server).await.expect("the test server does not answer");
    sqlx::query("SELECT pg_advisory_lock(6841)").execute(&mut connection).await.unwrap();
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    if !exists {
        let draft = format!("{name}_draft");
        run(&mut connection, format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)")).await;
        copy(&mut connection, &draft, of).await;
        prepare(renamed(url, &draft)).await;
        // The server may need a moment to see that we left.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let rename = sqlx::query(AssertSqlSafe(format!("ALTER DATABASE {draft} RENAME TO {name}")));
            match rename.execute(&mut connection).await {
                Ok(_) => break,
                Err(error) if Instant::now() > deadline => panic!("could not rename the template: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
    connection.close().await.unwrap();
}

/// Files are copied as they lie: block by block through the write-ahead log takes a third longer.
async fn copy(connection: &mut PgConnection, name: &str, of: Option<&str>) {
    let of = of.unwrap_or("template1");
    run(connection, format!("CREATE DATABASE {name} TEMPLATE {of} STRATEGY file_copy")).await;
}

/// The same address with another database.
fn renamed(url: &str, database: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, ""), |(base, query)| (base, query));
    let (server, _) = base.rsplit_once('/').expect("the address names a database");
    if query.is_empty() { format!("{server}/{database}") } else { format!("{server}/{database}?{query}") }
}

/// Runs a statement with a name in it, which cannot be bound.
async fn run(connection: &mut PgConnection, statement: String) {
    // Our own names: letters, digits and underscores.
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await.unwrap();
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone().disable_statement_logging(), self.name.clone());
        // The test's own runtime may be ending, and cannot be waited for here.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let Ok(mut connection) = PgConnection::connect_with(&server).await else { return };
                let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
                if let Err(error) = sqlx::query(drop).execute(&mut connection).await {
                    eprintln!("could not drop {name}: {error}");
                }
            });
        });
        drop(dropping.join());
    }
}
