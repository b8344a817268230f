//! What would leave the house: a dump of both databases, every file, and the server's log. None holds a person.

use std::{collections::BTreeSet, path::Path, process::Command};

use chancery::commands::demo::search::{Found, Search, forms_of};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::support::{Served, admin_key, tenant};

const PLANTED: &str = "999-00-0000 Planted";
const PATIENTS: &str = include_str!("../../../../testdata/synthea/patients.csv");
/// The server takes 1,000 items at a time, and a patient has three.
const PER_CALL: usize = 333;

struct Person {
    row: String,
    ssn: String,
    last: String,
    email: String,
}

fn people() -> Vec<Person> {
    let mut reader = csv::Reader::from_reader(PATIENTS.as_bytes());
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|have| have == name).unwrap();
    let (id, ssn, last) = (place("Id"), place("SSN"), place("LAST"));
    let person = |record: csv::StringRecord| Person {
        row: record[id].to_owned(),
        ssn: record[ssn].to_owned(),
        last: record[last].to_owned(),
        email: format!("{}@people.example", &record[id]),
    };
    reader.records().map(|record| person(record.unwrap())).collect()
}

/// What a clinic does with them: seals, finds, opens; some are users too. Gives what its own table keeps.
async fn day(server: &Served, admin: &str, people: &[Person]) -> Vec<(String, String)> {
    let (_, key) = tenant(server, admin, "clinic", &["tenant_admin", "service", "security_officer"]).await;
    for (column, normalizer) in [("ssn", "digits"), ("last_name", "name"), ("email", "email")] {
        let field = json!({ "class": "restricted", "index": { "normalizer": normalizer } });
        server.must("PUT", &format!("/v1/fields/patients/{column}"), &key, Some(field)).await;
    }
    let item = |row: &str, column: &str, name: &str, value: &str| json!({ "table": "patients", "column": column, "row": row, name: value });
    let mut kept = Vec::new();
    for people in people.chunks(PER_CALL) {
        let places = |person: &Person| {
            [("ssn", person.ssn.clone()), ("last_name", person.last.clone()), ("email", person.email.clone())]
        };
        let items: Vec<Value> = people
            .iter()
            .flat_map(|person| places(person).map(|(column, value)| item(&person.row, column, "value", &value)))
            .collect();
        let sealed = server.must("POST", "/v1/seal", &key, Some(json!({ "items": items }))).await;
        let sealed = sealed["items"].as_array().unwrap();
        assert_eq!(sealed.len(), items.len());
        let back: Vec<Value> = items
            .iter()
            .zip(sealed)
            .map(|(asked, got)| {
                item(
                    asked["row"].as_str().unwrap(),
                    asked["column"].as_str().unwrap(),
                    "sealed",
                    got["sealed"].as_str().unwrap(),
                )
            })
            .collect();
        let body = json!({ "reason": "treatment", "items": back });
        let opened = server.must("POST", "/v1/open", &key, Some(body)).await;
        for (asked, got) in items.iter().zip(opened["items"].as_array().unwrap()) {
            assert_eq!(asked["value"], got["value"]);
        }
        kept.extend(sealed.iter().map(|got| (got["sealed"].as_str().unwrap().to_owned(), got["terms"].to_string())));
    }
    for person in people.iter().take(50) {
        let user = json!({
            "username": person.row, "email": person.email, "first_name": person.ssn, "last_name": person.last, "roles": ["clinician"],
        });
        server.must("POST", "/v1/users", &key, Some(user)).await;
        let path = format!("/v1/users?email={}", person.email);
        assert_eq!(server.must("GET", &path, &key, None).await["items"].as_array().unwrap().len(), 1);
        // What a careless client does: values where none belong.
        server.send("GET", &format!("/v1/users/{}", person.email), &key, None).await;
        let wrong = json!({ "items": [{ "table": person.ssn, "column": person.last, "row": person.email, "value": person.ssn }] });
        assert!(server.send("POST", "/v1/seal", &key, Some(wrong)).await.0 >= 400);
        let login = json!({ "tenant": "clinic", "username": person.email, "password": person.ssn });
        assert!(server.send("POST", "/v1/auth/login", "", Some(login)).await.0 >= 400);
    }
    kept
}

fn search(people: &[Person]) -> Search {
    let values: BTreeSet<&str> =
        people.iter().flat_map(|person| [&*person.ssn, &person.last]).chain(people.iter().map(|p| &*p.email)).collect();
    assert_eq!(values.len(), 1170 + 490 + 1171);
    Search::of(values.into_iter(), PLANTED).unwrap()
}

fn planted() -> impl Iterator<Item = String> {
    forms_of(PLANTED.as_bytes()).into_iter().map(|form| String::from_utf8(form).unwrap())
}

/// Nothing may be found but what was planted, in every form of it.
fn nothing_but_the_planted(search: &Search, found: &Found) {
    assert!(search.proves_itself(found), "the planted value was not found, so the search proves nothing");
    assert!(
        found.leaks.is_empty(),
        "{} values in clear, in {:?}",
        found.leaks.len(),
        found.leaks.first().map(|leak| &leak.1)
    );
}

fn trace() -> [(&'static str, &'static str); 1] {
    [("CHANCERY__LOG__LEVEL", "trace")]
}

fn look_at_the_log(search: &Search, log: &str, found: &mut Found) {
    assert!(log.lines().count() > 100 && log.contains("/v1/seal"), "the log says something");
    search.look("the log", log.as_bytes(), found);
}

#[tokio::test]
async fn no_file_of_sqlite_and_no_line_of_the_log_holds_a_person() {
    let (folder, people) = (tempfile::tempdir().unwrap(), people());
    let server = Served::start(&["--dev"], folder.path(), &trace());
    let kept = day(&server, &admin_key(folder.path()), &people).await;
    let clinic = format!("sqlite:{}?mode=rwc", folder.path().join("clinic.db").display());
    let mut clinic = SqliteConnection::connect(&clinic).await.unwrap();
    clinic.execute("PRAGMA journal_mode = wal; CREATE TABLE patients (sealed TEXT, terms TEXT); CREATE TABLE planted (form TEXT)").await.unwrap();
    // One commit: thousands would wait for the disk.
    clinic.execute("BEGIN").await.unwrap();
    for (sealed, terms) in &kept {
        sqlx::query("INSERT INTO patients VALUES (?, ?)").bind(sealed).bind(terms).execute(&mut clinic).await.unwrap();
    }
    for form in planted() {
        sqlx::query("INSERT INTO planted VALUES (?)").bind(form).execute(&mut clinic).await.unwrap();
    }
    clinic.execute("COMMIT").await.unwrap();

    let search = search(&people);
    let mut found = Found::default();
    // While it runs: what was just written lies in the write-ahead log.
    let wal = std::fs::metadata(folder.path().join("chancery.db-wal")).unwrap().len();
    assert!(wal > 0, "the write-ahead log is looked at too");
    assert!(search.look_in_folder(folder.path(), &mut found).unwrap() >= 6);
    let (_, log) = server.stop();
    search.look_in_folder(folder.path(), &mut found).unwrap();
    look_at_the_log(&search, &log, &mut found);
    nothing_but_the_planted(&search, &found);
}

#[tokio::test]
async fn no_dump_of_postgresql_and_no_line_of_the_log_holds_a_person() {
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(url), Some(admin), Some(bin)) = (
        variable("CHANCERY_TEST_POSTGRES_URL"),
        variable("CHANCERY_TEST_POSTGRES_ADMIN_URL"),
        variable("CHANCERY_TEST_POSTGRES_BIN"),
    ) else {
        assert!(std::env::var_os("CHANCERY_TEST_REQUIRE_POSTGRES").is_none(), "PostgreSQL was promised");
        return;
    };
    let mut server_wide = PgConnection::connect(&url).await.unwrap();
    let names = ["store", "clinic"].map(|which| format!("chancery_dump_{}_{which}", std::process::id()));
    for name in &names {
        server_wide.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    }
    let at = |url: &str, name: &str| url.replacen("/postgres?", &format!("/{name}?"), 1);
    let (folder, people) = (tempfile::tempdir().unwrap(), people());
    let server = Served::start(&["--dev", "--store", &at(&url, &names[0])], folder.path(), &trace());
    let kept = day(&server, &admin_key(folder.path()), &people).await;
    let mut clinic = PgConnection::connect(&at(&url, &names[1])).await.unwrap();
    clinic.execute("CREATE TABLE patients (sealed TEXT, terms TEXT); CREATE TABLE planted (form TEXT)").await.unwrap();
    for (sealed, terms) in &kept {
        sqlx::query("INSERT INTO patients VALUES ($1, $2)")
            .bind(sealed)
            .bind(terms)
            .execute(&mut clinic)
            .await
            .unwrap();
    }
    for form in planted() {
        sqlx::query("INSERT INTO planted VALUES ($1)").bind(form).execute(&mut clinic).await.unwrap();
    }
    clinic.close().await.unwrap();
    let (_, log) = server.stop();

    let search = search(&people);
    let mut found = Found::default();
    for name in &names {
        // As the superuser: row security would hide every row from the owner.
        let dump =
            Command::new(Path::new(&bin).join("pg_dump")).arg("--dbname").arg(at(&admin, name)).output().unwrap();
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        assert!(dump.stdout.len() > 100_000, "{name}: {} bytes are no whole dump", dump.stdout.len());
        search.look(name, &dump.stdout, &mut found);
    }
    search.look_in_folder(folder.path(), &mut found).unwrap();
    look_at_the_log(&search, &log, &mut found);
    for name in &names {
        server_wide.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
    }
    nothing_but_the_planted(&search, &found);
}
