//! The application as a reader runs it, on both databases.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test that calls them")]

use std::{path::Path, process::Command};

struct Clinic<'a> {
    folder: &'a Path,
    database: String,
}

impl Clinic<'_> {
    /// Runs a command; gives what it printed, or what it said of its fault.
    fn run(&self, words: &[&str]) -> Result<String, String> {
        let done = Command::new(env!("CARGO_BIN_EXE_clinic-sqlx"))
            .current_dir(self.folder)
            .env_remove("DB_ENCRYPTION_KEY_PATH")
            .args(["--database", &self.database])
            .args(words)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        if done.status.success() { Ok(text(done.stdout)) } else { Err(text(done.stderr)) }
    }
}

fn tour(clinic: &Clinic<'_>) {
    let run = |words: &[&str]| clinic.run(words).unwrap();
    assert!(clinic.run(&["count"]).unwrap_err().contains("clinic.ring"), "no command but `setup` makes keys");
    assert_eq!(run(&["setup"]), "ready");
    run(&["add", "p-1", "Ana Núñez", "ana@example.org"]);
    run(&["add", "p-2", "Bob Ray", "bob@example.org"]);
    run(&["add", "p-3", "Cem"]);
    assert_eq!(run(&["find", "ANA@example.org"]), "p-1 Ana Núñez");
    assert_eq!(run(&["find", "nobody@example.org"]), "");
    assert_eq!(run(&["count"]), "3 patients");

    assert_eq!(run(&["rotate"]), "version 2, 3 names moved");
    assert_eq!(run(&["find", "bob@example.org"]), "p-2 Bob Ray");

    run(&["clear-phone", "p-1", "+1 555 123-4567"]);
    run(&["clear-phone", "p-2", "030/1234567"]);
    assert_eq!(run(&["phone", "p-1"]), "+1 555 123-4567");
    assert_eq!(run(&["migrate"]), "2 phone numbers sealed");
    assert_eq!(run(&["migrate"]), "0 phone numbers sealed");
    assert_eq!(run(&["phone", "p-1"]), "+1 555 123-4567");
    assert_eq!(run(&["phone", "p-3"]), "none");

    run(&["clear-phone", "p-3", "call my office"]);
    let refused = clinic.run(&["migrate"]).unwrap_err();
    assert!(refused.contains("patient p-3") && !refused.contains("call my office"), "{refused}");

    std::fs::remove_file(clinic.folder.join("clinic.key")).unwrap();
    assert!(clinic.run(&["add", "p-4", "Dee"]).is_err(), "nothing is written without a key");
}

#[test]
fn the_tour_works_on_sqlite_and_leaves_nothing_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    tour(&Clinic { folder: folder.path(), database: "sqlite:clinic.db".to_owned() });
    let mut bytes = Vec::new();
    for file in ["clinic.db", "clinic.db-wal", "clinic.db-journal"] {
        bytes.extend(std::fs::read(folder.path().join(file)).unwrap_or_default());
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("call my office"), "the search works");
    for text in ["Ana", "ana@example.org", "Bob Ray", "+1 555 123-4567", "030/1234567"] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn the_tour_works_on_postgresql() {
    let Ok(url) = std::env::var("CHANCERY_TEST_POSTGRES_URL") else {
        let required = std::env::var("CHANCERY_TEST_REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
        assert!(!required, "CHANCERY_TEST_POSTGRES_URL is not set; run with `cargo xtask with-postgres --`");
        println!("skipped: no CHANCERY_TEST_POSTGRES_URL; run with `cargo xtask with-postgres --`");
        return;
    };
    let database = Database::make(&url);
    let folder = tempfile::tempdir().unwrap();
    tour(&Clinic { folder: folder.path(), database: database.url.clone() });
}

/// A database of this test's own, dropped with it.
struct Database {
    server: String,
    name: String,
    url: String,
}

impl Database {
    fn make(server: &str) -> Self {
        let name = format!("clinic_sqlx_{}", std::process::id());
        execute(server, format!("CREATE DATABASE {name}"));
        let (head, options) = server.split_once('?').unwrap_or((server, ""));
        let (head, _) = head.rsplit_once('/').unwrap();
        Self { server: server.to_owned(), url: format!("{head}/{name}?{options}"), name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        execute(&self.server, format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

fn execute(url: &str, statement: String) {
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut database = PgConnection::connect(url).await.unwrap();
        database.execute(AssertSqlSafe(statement)).await.unwrap();
    });
}
