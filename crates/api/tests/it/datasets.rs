//! Applications' tables, from outside.

use chancery_datasets::{Database, testing};
use chancery_domain::{TenantId, datasets, ids::DatasetJobId};
use serde_json::{Value, json};

use crate::app::{Clinic, TestApp};

const TABLE: &str = "CREATE TABLE patients (id INTEGER PRIMARY KEY, ssn_encrypted TEXT, ssn_hash TEXT)";

/// A clinic whose table holds so many sealed numbers.
pub(crate) async fn filled(app: &TestApp, rows: usize) -> (Clinic, Database) {
    let clinic = app.clinic("ours").await;
    app.register_fields(&clinic).await;
    let database = app.database("clinic.url", &[TABLE]).await;
    for row in 1..=rows {
        let sealed = app.seal(&clinic.service, "ssn", &row.to_string(), json!(format!("999-{row:06}"))).await;
        let values = [Some(row.to_string()), text(&sealed["sealed"]), text(&sealed["terms"][0])];
        let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
        testing::run(&database, "INSERT INTO patients VALUES (CAST($1 AS INTEGER), $2, $3)", &values).await;
    }
    app.put(&clinic.officer, "/v1/datasets/patients", dataset()).await.ok();
    (clinic, database)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn dataset() -> Value {
    json!({
        "database_url_file": "clinic.url", "table": "patients", "row_column": "id",
        "columns": [{"column": "ssn", "terms_in": "ssn_hash"}],
    })
}

pub(crate) async fn key(app: &TestApp, clinic: &Clinic, managed: &str) -> String {
    let keys = app.get(&clinic.officer, &format!("/v1/keys?managed={managed}")).await.ok();
    text(&keys["items"][0]["id"]).unwrap()
}

/// Starts a job and does it.
pub(crate) async fn done(app: &TestApp, clinic: &Clinic, body: Value) -> Value {
    let started = app.post(&clinic.officer, "/v1/datasets/patients/reseal", body).await;
    assert_eq!(started.status, 202, "{}", started.text());
    let id = text(&started.json()["id"]).unwrap();
    // The clock goes on while nobody seals with the old key.
    app.clock.advance_seconds(60);
    let (tenant, job): (TenantId, DatasetJobId) = (clinic.id.parse().unwrap(), id.parse().unwrap());
    assert!(app.instance.take_due_datasets().contains(&tenant));
    datasets::work(&app.instance, tenant, job, &|| false).await.unwrap();
    app.get(&clinic.officer, &format!("/v1/datasets/patients/jobs/{id}")).await.ok()
}

/// Starts a job and does it by single steps: after each it is stopped and taken up again.
async fn done_by_steps(app: &TestApp, clinic: &Clinic, body: Value) -> Value {
    let started = app.post(&clinic.officer, "/v1/datasets/patients/reseal", body).await.json();
    let id = text(&started["id"]).unwrap();
    app.clock.advance_seconds(60);
    let (tenant, job): (TenantId, DatasetJobId) = (clinic.id.parse().unwrap(), id.parse().unwrap());
    for _ in 0..40 {
        let asked = std::sync::atomic::AtomicBool::new(false);
        let stop = || asked.swap(true, std::sync::atomic::Ordering::Relaxed);
        datasets::work(&app.instance, tenant, job, &stop).await.unwrap();
        let found = app.get(&clinic.officer, &format!("/v1/datasets/patients/jobs/{id}")).await.ok();
        if !found["ended_at"].is_null() {
            return found;
        }
    }
    panic!("the job does not end");
}

async fn census(app: &TestApp, clinic: &Clinic, managed: &str) -> Vec<(Value, Value, Value)> {
    let key = key(app, clinic, managed).await;
    let found = app.get(&clinic.officer, &format!("/v1/keys/{key}/census")).await.ok();
    let of = |item: &Value| (item["state"].clone(), item["census"].clone(), item["count"].clone());
    found["items"].as_array().unwrap().iter().map(of).collect()
}

/// Covers the other fields that `register_fields` registers: the application says that it has nothing there.
async fn report_the_rest(app: &TestApp, clinic: &Clinic, managed: &str, versions: std::ops::RangeInclusive<u32>) {
    let key = key(app, clinic, managed).await;
    for version in versions {
        app.post(&clinic.officer, &format!("/v1/keys/{key}/census"), json!({"version": version, "count": 0}))
            .await
            .ok();
    }
}

async fn opened(app: &TestApp, clinic: &Clinic, database: &Database) -> Vec<Value> {
    let mut values = Vec::new();
    for row in testing::rows(database, "SELECT id, ssn_encrypted FROM patients ORDER BY id").await {
        let reply = app.open(&clinic.service, "ssn", row[0].as_deref().unwrap(), &json!(row[1])).await.ok();
        values.push(reply["items"][0]["value"].clone());
    }
    values
}

#[tokio::test]
async fn a_data_key_is_rotated_its_values_move_and_the_old_version_retires() {
    let app = TestApp::new().await;
    let (clinic, database) = filled(&app, 12).await;
    let before = opened(&app, &clinic, &database).await;
    let terms = testing::rows(&database, "SELECT ssn_hash FROM patients ORDER BY id").await;
    let data = key(&app, &clinic, "data").await;
    app.post(&clinic.officer, &format!("/v1/keys/{data}/rotate"), json!({})).await.ok();
    report_the_rest(&app, &clinic, "data", 1..=2).await;

    let job = done(&app, &clinic, json!({"rows_per_second": 1_000_000})).await;
    assert_eq!(
        (&job["state"], &job["moved"], &job["todo"], &job["failed"]),
        (&json!("done"), &json!(12), &json!(12), &json!(0))
    );
    assert_eq!(opened(&app, &clinic, &database).await, before);
    assert_eq!(testing::rows(&database, "SELECT ssn_hash FROM patients ORDER BY id").await, terms);
    let counted = json!("counted");
    assert_eq!(
        census(&app, &clinic, "data").await,
        [(json!("inactive"), counted.clone(), json!(0)), (json!("active"), counted, json!(12))]
    );
    // One event for the batch, however many rows; and what went on around it.
    assert_eq!(app.events(&clinic.auditor, "record.resealed").await.len(), 1);
    assert_eq!(app.events(&clinic.auditor, "key.drained").await.len(), 1);
    assert_eq!(app.events(&clinic.auditor, "dataset.job_started").await.len(), 1);
    assert_eq!(app.events(&clinic.auditor, "dataset.job_ended").await.len(), 1);

    let again = done(&app, &clinic, json!({})).await;
    assert_eq!((&again["state"], &again["moved"], &again["seen"]), (&json!("done"), &json!(0), &json!(0)));
}

#[tokio::test]
async fn an_index_key_is_rotated_and_terms_follow() {
    let app = TestApp::new().await;
    let (clinic, database) = filled(&app, 5).await;
    let index = key(&app, &clinic, "index").await;
    let sealed = testing::rows(&database, "SELECT ssn_encrypted FROM patients ORDER BY id").await;
    app.post(&clinic.officer, &format!("/v1/keys/{index}/rotate"), json!({})).await.ok();
    report_the_rest(&app, &clinic, "index", 1..=2).await;
    let job = done(&app, &clinic, json!({"work": "reindex", "rows_per_second": 1_000_000})).await;
    assert_eq!((&job["state"], &job["moved"], &job["pass"]), (&json!("done"), &json!(5), &json!(2)));
    assert_eq!(testing::rows(&database, "SELECT ssn_encrypted FROM patients ORDER BY id").await, sealed);
    let item = json!([{"table": "patients", "column": "ssn", "value": "999000003"}]);
    let terms = app.post(&clinic.service, "/v1/terms", json!({"items": item})).await.ok();
    let newest = terms["items"][0]["terms"][0].clone();
    let found = testing::rows(&database, "SELECT ssn_hash FROM patients WHERE id = 3").await;
    assert_eq!(json!(found[0][0]), newest);
    assert_eq!(census(&app, &clinic, "index").await[0], (json!("inactive"), json!("counted"), json!(0)));
}

#[tokio::test]
async fn a_term_that_could_not_follow_is_counted_by_a_job_that_was_cut_off_too() {
    let app = TestApp::new().await;
    let (clinic, database) = filled(&app, 3).await;
    // Row 2 gets the value of row 1, which does not open there.
    let copy = "UPDATE patients SET ssn_encrypted = (SELECT ssn_encrypted FROM patients WHERE id = 1) WHERE id = 2";
    testing::run(&database, copy, &[]).await;
    let index = key(&app, &clinic, "index").await;
    app.post(&clinic.officer, &format!("/v1/keys/{index}/rotate"), json!({})).await.ok();
    report_the_rest(&app, &clinic, "index", 1..=2).await;
    let job = done_by_steps(&app, &clinic, json!({"work": "reindex", "rows_per_second": 1_000_000})).await;
    assert_eq!((&job["state"], &job["moved"], &job["failed"]), (&json!("done"), &json!(2), &json!(1)));
    assert_eq!(census(&app, &clinic, "index").await[0], (json!("rotating"), json!("counted"), json!(1)));
}

#[tokio::test]
async fn terms_of_members_of_rows_are_never_taken_for_none() {
    let app = TestApp::new().await;
    let (clinic, database) = filled(&app, 2).await;
    let member = "UPDATE patients SET ssn_encrypted = 'chy1.-RIB-member-of-a-row' WHERE id = 2";
    testing::run(&database, member, &[]).await;
    let index = key(&app, &clinic, "index").await;
    app.post(&clinic.officer, &format!("/v1/keys/{index}/rotate"), json!({})).await.ok();
    report_the_rest(&app, &clinic, "index", 1..=2).await;
    let job = done(&app, &clinic, json!({"work": "reindex", "rows_per_second": 1_000_000})).await;
    assert_eq!((&job["state"], &job["moved"]), (&json!("done"), &json!(1)));
    assert_eq!(census(&app, &clinic, "index").await[0], (json!("rotating"), json!("counted"), json!(1)));
}

#[tokio::test]
async fn what_does_not_open_or_is_in_clear_is_told_and_left_alone() {
    let app = TestApp::new().await;
    let (clinic, database) = filled(&app, 3).await;
    // Row 2 gets the value of row 1; row 3 a text in clear.
    testing::run(
        &database,
        "UPDATE patients SET ssn_encrypted = (SELECT ssn_encrypted FROM patients WHERE id = 1) WHERE id = 2",
        &[],
    )
    .await;
    testing::run(&database, "UPDATE patients SET ssn_encrypted = '999-000003' WHERE id = 3", &[]).await;
    let before = testing::rows(&database, "SELECT ssn_encrypted FROM patients WHERE id > 1 ORDER BY id").await;
    let data = key(&app, &clinic, "data").await;
    app.post(&clinic.officer, &format!("/v1/keys/{data}/rotate"), json!({})).await.ok();
    report_the_rest(&app, &clinic, "data", 1..=2).await;
    let job = done(&app, &clinic, json!({"rows_per_second": 1_000_000})).await;
    assert_eq!(
        (&job["state"], &job["problem"], &job["moved"], &job["failed"]),
        (&json!("failed"), &json!("values_left"), &json!(1), &json!(1))
    );
    assert_eq!(testing::rows(&database, "SELECT ssn_encrypted FROM patients WHERE id > 1 ORDER BY id").await, before);
    // What is in clear may be sealed in a form that nobody recognised: it is not taken for nothing.
    assert_eq!(census(&app, &clinic, "data").await[0], (json!("rotating"), json!("counted"), json!(2)));
    assert!(!app.events(&clinic.auditor, "record.open_failed").await.is_empty());
}

#[tokio::test]
async fn a_dataset_that_is_not_as_it_says_is_refused() {
    let app = TestApp::new().await;
    let (clinic, _database) = filled(&app, 0).await;
    let path = "/v1/datasets/patients";
    for (member, value) in [
        ("database_url_file", json!("../clinic.url")),
        ("database_url_file", json!("none.url")),
        ("database_url_file", json!("/etc/passwd")),
        ("table", json!("patients; DROP TABLE patients")),
        ("table", json!("\"patients\"")),
        ("table", json!("others")),
        ("row_column", json!("ssn_hash")),
        ("row_column", json!("nothing")),
        ("columns", json!([])),
        ("columns", json!([{"column": "unknown"}])),
        ("columns", json!([{"column": "ssn", "sealed_in": "id"}])),
        ("columns", json!([{"column": "note", "sealed_in": "ssn_encrypted", "terms_in": "ssn_hash"}])),
    ] {
        let mut body = dataset();
        body[member] = value.clone();
        let reply = app.put(&clinic.officer, path, body).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (422, "request.invalid"), "{member} {value}");
    }
    let shown = app.get(&clinic.officer, path).await;
    assert!(!shown.text().contains("sqlite:"), "{}", shown.text());
    app.call(&clinic.officer, "DELETE", path, None).await;
    app.get(&clinic.officer, path).await.refused(404, "not_found");
}

/// The terms that a query looks for, newest key first.
async fn sought(app: &TestApp, clinic: &Clinic, item: Value) -> Vec<String> {
    let found = app.post(&clinic.service, "/v1/terms", json!({"items": [item]})).await.ok();
    serde_json::from_value(found["items"][0]["terms"].clone()).unwrap()
}

#[tokio::test]
async fn terms_of_every_kind_follow_a_rotation_of_the_index_key() {
    let app = TestApp::new().await;
    let clinic = app.clinic("ours").await;
    let name = json!({"index": {"normalizer": "name", "prefix": {"min": 2, "max": 4}}, "empty": true});
    app.put(&clinic.officer, "/v1/fields/patients/last_name", name).await.ok();
    let born =
        json!({"type": "date", "index": {"normalizer": "date", "bucket": {"width": 1, "unit": "year"}}, "empty": true});
    app.put(&clinic.officer, "/v1/fields/patients/birth_date", born).await.ok();
    let person = json!({"columns": ["last_name", {"column": "birth_date", "normalizer": "date"}], "empty": true});
    app.put(&clinic.officer, "/v1/indexes/patients/person", person).await.ok();
    let table =
        "CREATE TABLE patients (id INTEGER PRIMARY KEY, last_name_encrypted TEXT, name_hash TEXT, name_begins TEXT,
        birth_date_encrypted TEXT, birth_hash TEXT, birth_year TEXT, person_hash TEXT)";
    let database = app.database("clinic.url", &[table]).await;
    let people = [("1", "Gómez", "1989-05-25"), ("2", "Li", "1989-01-01"), ("3", "Gold", "2001-03-04")];
    for (row, name, born) in people {
        // One of them under a key of the person's own.
        let subject = (row == "3").then_some("MRN-3");
        let item = |column: &str, value: &str| json!({"table": "patients", "column": column, "row": row, "subject": subject, "value": value});
        let items = json!({"items": [item("last_name", name), item("birth_date", born)]});
        let sealed = app.post(&clinic.service, "/v1/seal", items).await.ok();
        let values: Vec<String> = (0..2).map(|at| text(&sealed["items"][at]["sealed"]).unwrap()).collect();
        let insert = "INSERT INTO patients (id, last_name_encrypted, birth_date_encrypted, name_hash, person_hash)
            VALUES (CAST($1 AS INTEGER), $2, $3, 'stale', 'stale')";
        testing::run(&database, insert, &[Some(row), Some(&values[0]), Some(&values[1])]).await;
    }
    let column = |name: &str, exact: &str, more: (&str, &str)| {
        let mut column = json!({"column": name, "terms_in": exact});
        column[more.0] = json!(more.1);
        column
    };
    let mut body = json!({
        "database_url_file": "clinic.url", "table": "patients", "row_column": "id",
        "columns": [column("last_name", "name_hash", ("prefix_in", "name_begins")),
                    column("birth_date", "birth_hash", ("bucket_in", "birth_year"))],
    });
    app.put(&clinic.officer, "/v1/datasets/patients", body.clone()).await.ok();
    let index = key(&app, &clinic, "index").await;
    app.post(&clinic.officer, &format!("/v1/keys/{index}/rotate"), json!({})).await.ok();
    let all = json!({"work": "reindex", "rows_per_second": 1_000_000});
    let job = done(&app, &clinic, all.clone()).await;
    assert_eq!((&job["state"], &job["failed"]), (&json!("done"), &json!(0)), "{job}");
    // Nobody counted the compound index.
    assert_eq!(census(&app, &clinic, "index").await[0].1, "unknown");

    for (compounds, member) in [
        (json!([{"index": "none", "terms_in": "person_hash"}]), "unknown"),
        (json!([{"index": "person", "terms_in": "name_hash"}]), "twice"),
    ] {
        body["compounds"] = compounds;
        let refused = app.put(&clinic.officer, "/v1/datasets/patients", body.clone()).await;
        refused.refused(422, "request.invalid");
        assert!(refused.text().contains(member), "{}", refused.text());
    }
    body["compounds"] = json!([{"index": "person", "terms_in": "person_hash"}]);
    let shown = app.put(&clinic.officer, "/v1/datasets/patients", body.clone()).await.ok();
    assert_eq!((&shown["compounds"], &shown["columns"][0]["prefix_in"]), (&body["compounds"], &json!("name_begins")));
    assert_eq!(app.get(&clinic.officer, "/v1/datasets/patients").await.ok()["compounds"], body["compounds"]);
    let job = done(&app, &clinic, all).await;
    assert_eq!((&job["state"], &job["moved"], &job["failed"]), (&json!("done"), &json!(3), &json!(0)), "{job}");
    assert_eq!(census(&app, &clinic, "index").await[0], (json!("inactive"), json!("counted"), json!(0)));

    // Every query finds its row by the term of the newest key.
    let columns = "SELECT name_hash, name_begins, birth_hash, birth_year, person_hash FROM patients ORDER BY id";
    let rows = testing::rows(&database, columns).await;
    for ((_, name, born), row) in people.into_iter().zip(&rows) {
        let cell = |at: usize| row[at].clone().unwrap();
        let of = |column: &str, value: &str| json!({"table": "patients", "column": column, "value": value});
        assert_eq!(cell(0), sought(&app, &clinic, of("last_name", name)).await[0], "{name}");
        assert_eq!(cell(2), sought(&app, &clinic, of("birth_date", born)).await[0], "{born}");
        let begins: Vec<String> = serde_json::from_str(&cell(1)).unwrap();
        assert_eq!(begins.len(), name.chars().count().min(4) - 1);
        let beginning = json!({"table": "patients", "column": "last_name", "match": "prefix", "value": name.chars().take(2).collect::<String>()});
        assert_eq!(begins[0], sought(&app, &clinic, beginning).await[0]);
        let year = json!({"table": "patients", "column": "birth_date", "match": "range", "from": born, "to": born});
        assert_eq!(cell(3), sought(&app, &clinic, year).await[0]);
        let both = json!({"table": "patients", "index": "person", "values": {"last_name": name, "birth_date": born}});
        assert_eq!(cell(4), sought(&app, &clinic, both).await[0]);
    }
    assert_eq!(rows[0][3], rows[1][3], "born in one year");
}

#[tokio::test]
async fn a_dataset_that_speaks_for_another_table_of_fields_is_counted_anew() {
    let app = TestApp::new().await;
    let (clinic, _database) = filled(&app, 2).await;
    done(&app, &clinic, json!({"work": "scan"})).await;
    let key = key(&app, &clinic, "data").await;
    let counts =
        async || app.get(&clinic.officer, &format!("/v1/keys/{key}/census")).await.ok()["items"][0]["counts"].clone();
    assert_eq!(counts().await[0]["count"], 2);
    app.put(&clinic.officer, "/v1/fields/visits/ssn", json!({"index": {"normalizer": "digits"}})).await.ok();
    let mut other = dataset();
    other["field_table"] = json!("visits");
    app.put(&clinic.officer, "/v1/datasets/patients", other).await.ok();
    assert_eq!(counts().await, json!([]));
}
