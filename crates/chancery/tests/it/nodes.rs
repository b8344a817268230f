//! A copied machine: two processes of one node on one PostgreSQL.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::support::{Served, admin_key, chancery, finish, stderr, tenant};

/// A database of one test.
struct Database {
    server_wide: PgConnection,
    name: String,
    store: String,
}

impl Database {
    /// `None` where there is no PostgreSQL.
    async fn make(test: &str) -> Option<Self> {
        let Ok(url) = std::env::var("CHANCERY_TEST_POSTGRES_URL") else {
            assert!(std::env::var_os("CHANCERY_TEST_REQUIRE_POSTGRES").is_none(), "PostgreSQL was promised");
            return None;
        };
        let mut server_wide = PgConnection::connect(&url).await.unwrap();
        let name = format!("chancery_{test}_{}", std::process::id());
        server_wide.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
        let store = url.replacen("/postgres?", &format!("/{name}?"), 1);
        Some(Self { server_wide, name, store })
    }

    async fn remove(mut self) {
        let all = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        self.server_wide.execute(AssertSqlSafe(all)).await.unwrap();
    }
}

/// Copies a machine's folder.
fn copy(from: &Path, to: &Path) {
    let all = format!("{}/.", from.display());
    assert!(Command::new("cp").args(["-a", &all]).arg(to).status().unwrap().success());
}

/// A server that is not expected to come up.
fn second(arguments: &[&str], folder: &Path) -> Command {
    let mut command = chancery(&["serve", "--data", folder.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    command.args(arguments).env("CHANCERY__SERVER__METRICS_LISTEN", "127.0.0.1:0");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_machine_that_runs_does_not_start_as_the_same_node() {
    let Some(database) = Database::make("nodes").await else { return };
    let arguments = ["--dev", "--store", database.store.as_str()];
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Served::start(&arguments, folder.path(), &[]);
    copy(folder.path(), copied.path());
    let mut second = second(&arguments, copied.path());
    let refused = tokio::task::spawn_blocking(move || finish(&mut second)).await.unwrap();
    assert!(!refused.status.success());
    let said = stderr(&refused);
    assert!(said.contains("node_id_claimed") && said.contains("remove `node-id`"), "{said}");
    // The first one is none the worse for it.
    tenant(&server, &admin_key(folder.path()), "north", &["service"]).await;

    // A process that was killed is followed at once where it was, and one that was told to end anywhere.
    drop(server);
    let server = Served::start(&arguments, folder.path(), &[]);
    assert_eq!(server.stop().0, 0);
    let elsewhere = Served::start(&arguments, copied.path(), &[]);
    assert_eq!(elsewhere.stop().0, 0);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_waits_for_its_id_ends_when_it_is_told_to() {
    let Some(database) = Database::make("waiting").await else { return };
    let arguments = ["--dev", "--store", database.store.as_str()];
    let (folder, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Served::start(&arguments, folder.path(), &[]);
    copy(folder.path(), copied.path());
    let mut second = second(&arguments, copied.path()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(second.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("node_id_claimed")));
    let told = Instant::now();
    kill_process(Pid::from_child(&second), Signal::TERM).unwrap();
    let said: Vec<String> = lines.collect();
    assert_eq!(second.wait().unwrap().code(), Some(0), "{said:?}");
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    assert_eq!(server.stop().0, 0);
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_another_process_is_while_it_drains_does_not_wait_for_its_requests() {
    let Some(database) = Database::make("draining").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&["--dev", "--store", &database.store], folder.path(), &[]);
    // A request that is at work: its body does not come.
    let address = server.base().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /v1/tenants HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: 100\r\n\r\n",
        admin_key(folder.path())
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 100");

    kill_process(Pid::from_raw(server.pid().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    let told = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(told.elapsed() < Duration::from_secs(10), "it goes on listening");
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut store = PgConnection::connect(&database.store).await.unwrap();
    store.execute("SELECT set_config('chancery.tenant', 'ten_platform', false)").await.unwrap();
    let moved = store.execute("UPDATE jobs SET until = until + 1 WHERE name LIKE 'node:%'").await.unwrap();
    assert_eq!(moved.rows_affected(), 1);
    let (code, log) = server.stop();
    assert_ne!(code, 0, "{log}");
    assert!(log.contains("another process is this node now"), "{log}");
    database.remove().await;
}
