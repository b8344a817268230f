//! Looking changes nothing.

use std::fs;

use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::support::{Served, run, stdout};

fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // Reading a SQLite file in WAL mode makes these two, and the last writer removes them.
    names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    names.sort();
    names
}

#[test]
fn an_empty_folder_stays_empty() {
    let folder = tempfile::tempdir().unwrap();
    let doctor = run(&["doctor", "--dev", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(doctor.status.code(), Some(1), "{}", stdout(&doctor));
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn another_schema_is_told_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    Served::dev(folder.path()).stop();
    fs::remove_file(folder.path().join("node-id")).unwrap();
    let before = names(folder.path());
    let doctor = run(&["doctor", "--dev", "--data", data]);
    assert_eq!(doctor.status.code(), Some(0), "{}", stdout(&doctor));
    assert!(stdout(&doctor).contains("schema"), "{}", stdout(&doctor));
    assert_eq!(names(folder.path()), before, "no node id was made");

    let url = format!("sqlite:{data}/chancery.db");
    let mut store = SqliteConnection::connect(&url).await.unwrap();
    for (change, told) in [
        ("UPDATE _sqlx_migrations SET version = version + 99", "of a newer Chancery"),
        (
            "DELETE FROM _sqlx_migrations WHERE version > 100; UPDATE _sqlx_migrations SET version = 0",
            "version 0, and this program has",
        ),
        ("DELETE FROM _sqlx_migrations", "the store is empty"),
    ] {
        store.execute(change).await.unwrap();
        let doctor = run(&["doctor", "--dev", "--data", data]);
        assert_eq!(doctor.status.code(), Some(1));
        assert!(stdout(&doctor).contains(told), "{}", stdout(&doctor));
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations").fetch_one(&mut store).await.unwrap();
    assert_eq!(rows, 0, "it was not migrated");
}

/// A route that was left to observe after the roll-out was silent for ever.
#[test]
fn routes_that_only_watch_are_warned_of_in_production() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chancery.toml");
    let route = |path: &str, mode: &str| {
        format!("[[gateway.routes]]\npath = \"{path}\"\nupstream = \"http://127.0.0.1:9\"\nmode = \"{mode}\"\n")
    };
    let told = |routes: &str, profile: &[&str]| {
        fs::write(&file, routes).unwrap();
        let data = folder.path().to_str().unwrap();
        let arguments = ["doctor", "--json", "--config", file.to_str().unwrap(), "--data", data];
        let told = run(&[&arguments[..], profile].concat());
        let report: serde_json::Value = serde_json::from_str(&stdout(&told)).unwrap();
        let controls = report["controls"].as_array().unwrap();
        controls.iter().find(|control| control["name"] == "gateway routes").cloned()
    };
    let mixed =
        route("/a", "enforce") + &route("/b", "observe") + &route("/c", "shadow") + "authentication = \"none\"\n";
    let control = told(&mixed, &[]).unwrap();
    assert_eq!(control["state"], "warn", "{control}");
    assert_eq!(control["detail"], "1 enforce, 2 only watch, 1 ask nobody who calls; watching: /b, /c");
    assert!(control["cure"].as_str().unwrap().contains("/v1/gateway/observed"), "{control}");
    assert_eq!(told(&mixed, &["--dev"]).unwrap()["state"], "ok", "it is how one begins");
    let control = told(&route("/a", "enforce"), &[]).unwrap();
    assert_eq!(control["state"], "ok", "{control}");
    assert_eq!(control["detail"], "1 enforce, 0 only watch, 0 ask nobody who calls");
    assert_eq!(told("", &[]), None, "without a gateway there is nothing to say");
}

#[test]
fn whether_somebody_looked_at_the_log_lines_of_late_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    Served::dev(folder.path()).stop();
    let control = || {
        let doctor = stdout(&run(&["doctor", "--dev", "--data", data]));
        doctor.lines().find(|line| line.contains("sampled log lines")).unwrap_or_else(|| panic!("{doctor}")).to_owned()
    };
    assert!(control().contains("none yet"), "{}", control());
    let lines = folder.path().join("lines");
    fs::write(&lines, "{\"message\":\"Started\"}\n").unwrap();
    let sampled = run(&["audit", "sample-logs", lines.to_str().unwrap(), "--dev", "--data", data]);
    assert_eq!(sampled.status.code(), Some(0), "{}", stdout(&sampled));
    // What was queued reaches the log when a server runs.
    Served::dev(folder.path()).stop();
    assert!(control().contains("0 d ago"), "{}", control());
}
