//! `chancery migrate-column` on an application's SQLite file, as an operator types it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use chancery_datasets::{Database, testing};
use serde_json::{Value, json};

use crate::support::{Served, admin_key, chancery, finish, stderr, stdout, tenant};

/// A server, an application's table, and what the command needs.
struct Stage {
    server: Served,
    folder: tempfile::TempDir,
    service: String,
    database: Database,
}

impl Stage {
    async fn open(statements: &[&'static str], fields: &[(&str, Value)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Served::dev(&folder.path().join("data"));
        let admin = admin_key(&folder.path().join("data"));
        let (id, officer) = tenant(&server, &admin, "clinic", &["security_officer"]).await;
        let service = json!({"description": "app", "roles": ["service"]});
        let service = server.must("POST", &format!("/v1/tenants/{id}/api-keys"), &admin, Some(service)).await;
        let service = service["key"].as_str().unwrap().to_owned();
        for (column, body) in fields {
            server.must("PUT", &format!("/v1/fields/patients/{column}"), &officer, Some(body.clone())).await;
        }
        let url = testing::sqlite(&folder.path().join("app.db"), statements).await;
        let database = Database::open(&url).await.unwrap();
        let stage = Self { server, folder, service, database };
        stage.file("app.url", &url);
        stage.file("api-key", &stage.service);
        stage
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs the command; its exit code and its JSON, or what it said.
    fn run(&self, column: &str, more: &[&str]) -> (i32, Value, String) {
        self.run_at(self.server.base(), column, more)
    }

    fn run_at(&self, server: &str, column: &str, more: &[&str]) -> (i32, Value, String) {
        let (key, url) = (self.path("api-key"), self.path("app.url"));
        let mut command = chancery(&["migrate-column", "--json", "--table", "patients", "--column", column]);
        command.args(["--url", server, "--api-key-file", &key, "--database-url-file", &url]).args(more);
        let output = finish(&mut command);
        let report = serde_json::from_str(&stdout(&output)).unwrap_or_default();
        (output.status.code().unwrap_or(-1), report, stderr(&output))
    }

    async fn rows(&self, statement: &'static str) -> Vec<Vec<Option<String>>> {
        testing::rows(&self.database, statement).await
    }

    /// Opens what stands in `column` of every row.
    async fn opened(&self, column: &str, statement: &'static str) -> Vec<Value> {
        let mut values = Vec::new();
        for row in self.rows(statement).await {
            let item = json!({"table": "patients", "column": column, "row": row[0], "sealed": row[1]});
            let body = json!({"reason": "test", "items": [item]});
            let opened = self.server.must("POST", "/v1/open", &self.service, Some(body)).await;
            values.push(opened["items"][0]["value"].clone());
        }
        values
    }
}

const TABLE: &str = "CREATE TABLE patients (id INTEGER PRIMARY KEY, ssn TEXT)";
const OPENED: &str = "SELECT id, ssn_encrypted FROM patients ORDER BY id";

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../testdata/vectors/legacy/{name}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

fn digits() -> Vec<(&'static str, Value)> {
    vec![("ssn", json!({"index": {"normalizer": "digits", "bits": 256}}))]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_is_sealed_proven_finished_and_rolled_back() {
    let insert = "INSERT INTO patients VALUES (1, '999-01'), (2, ''), (3, NULL), (4, 'Zoë 👩‍⚕️'), (5, '999-05')";
    let stage = Stage::open(&[TABLE, insert], &digits()).await;
    let before = stage.rows("SELECT id, ssn FROM patients ORDER BY id").await;
    let (code, planned, _) = stage.run("ssn", &["--dry-run"]);
    assert_eq!((code, &planned["pending"], &planned["phase"]), (0, &json!(4), &json!("not begun")));
    assert_eq!(stage.rows("SELECT name FROM pragma_table_info('patients')").await.len(), 2, "nothing was changed");

    let (code, done, said) = stage.run("ssn", &["--batch", "2"]);
    assert_eq!(code, 0, "{said}");
    for (name, count) in [("rows", 5), ("sealed", 4), ("nulls", 1), ("pending", 0), ("compared", 4), ("mismatches", 0)]
    {
        assert_eq!(done[name], json!(count), "{name}: {done}");
    }
    let plain: Vec<Value> = before.iter().map(|row| json!(row[1])).collect();
    assert_eq!(stage.opened("ssn", OPENED).await, plain);
    assert_eq!(
        stage.rows("SELECT count(*) FROM patients WHERE length(ssn_hash) = 64").await[0][0].as_deref(),
        Some("4")
    );
    assert_eq!(stage.run("ssn", &["--find-plaintext"]).0, 0);

    // A program that knows nothing of the new column changes one, adds one, and somebody puts plaintext into the sealed column.
    testing::run(&stage.database, "UPDATE patients SET ssn = '999-11' WHERE id = 1", &[]).await;
    testing::run(&stage.database, "INSERT INTO patients (id, ssn) VALUES (6, '999-06')", &[]).await;
    testing::run(&stage.database, "UPDATE patients SET ssn_encrypted = '999-05' WHERE id = 5", &[]).await;
    let (code, found, _) = stage.run("ssn", &["--find-plaintext"]);
    assert_eq!((code, &found["plaintext"], &found["rows"]), (1, &json!(3), &json!(["1", "5", "6"])));
    assert_eq!(found["not_sealed_rows"], json!(["5"]));
    let (code, refused, said) = stage.run("ssn", &["--finish"]);
    assert!(code != 0 && said.contains("not everything is proven"), "{refused} {said}");
    let (code, done, said) = stage.run("ssn", &[]);
    assert_eq!((code, &done["sealed_now"]), (0, &json!(3)), "{said}");

    let (code, finished, said) = stage.run("ssn", &["--finish"]);
    assert_eq!((code, &finished["cleared"], &finished["left"]), (0, &json!(5), &json!(0)), "{said}");
    assert_eq!(stage.rows("SELECT count(ssn) FROM patients").await[0][0].as_deref(), Some("0"));
    assert!(stage.run("ssn", &[]).2.contains("finished"));

    let (code, back, said) = stage.run("ssn", &["--rollback"]);
    assert_eq!((code, &back["restored"]), (0, &json!(5)), "{said}");
    assert_eq!(stage.rows("SELECT name FROM pragma_table_info('patients')").await.len(), 2);
    let after = stage.rows("SELECT id, ssn FROM patients WHERE id BETWEEN 2 AND 4 ORDER BY id").await;
    assert_eq!(after, before[1..4]);
    assert!(stage.run("ssn", &["--rollback"]).2.contains("nothing to roll back"));
}

#[tokio::test(flavor = "multi_thread")]
async fn fernet_tokens_of_python_are_read_with_plaintext_among_them_and_a_changed_byte_is_refused() {
    let stage = Stage::open(&[TABLE], &[("ssn", json!({}))]).await;
    let fernet = vectors("fernet");
    let keys: Vec<&str> = fernet["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    let keys = stage.file("keys", &keys.join("\n"));
    let mut wanted = Vec::new();
    for (at, case) in fernet["cases"].as_array().unwrap().iter().enumerate() {
        let values = [Some((at + 1).to_string()), Some(text(case, "token").to_owned())];
        let values: Vec<Option<&str>> = values.iter().map(Option::as_deref).collect();
        testing::run(&stage.database, "INSERT INTO patients VALUES (CAST($1 AS INTEGER), $2)", &values).await;
        wanted.push(case["plaintext"].clone());
    }
    testing::run(&stage.database, "INSERT INTO patients VALUES (90, 'from a time without a key')", &[]).await;
    wanted.push(json!("from a time without a key"));
    let mut changed = text(&fernet["cases"][1], "token").to_owned();
    changed.replace_range(30..31, if &changed[30..31] == "A" { "B" } else { "A" });
    testing::run(&stage.database, "INSERT INTO patients VALUES (91, $1)", &[Some(&changed)]).await;

    let options = ["--legacy", "fernet", "--legacy-key-file", keys.to_str().unwrap()];
    let (code, done, said) = stage.run("ssn", &options);
    assert_eq!((code, &done["refused"], &done["refused_rows"]), (1, &json!(2), &json!(["90", "91"])), "{said}");
    let mixed = [&options[..], &["--legacy-mixed"]].concat();
    let (code, done, said) = stage.run("ssn", &mixed);
    assert_eq!((code, &done["refused_rows"], &done["mismatches"]), (1, &json!(["91"]), &json!(0)), "{said}");
    testing::run(&stage.database, "DELETE FROM patients WHERE id = 91", &[]).await;
    let (code, done, said) = stage.run("ssn", &mixed);
    assert_eq!((code, &done["pending"]), (0, &json!(0)), "{said}");
    assert_eq!(stage.opened("ssn", OPENED).await, wanted);
    // Another key opens nothing, and nothing of it is taken for plaintext.
    let other = stage.file("other", text(&fernet, "other_key"));
    testing::run(&stage.database, "UPDATE patients SET ssn_encrypted = NULL", &[]).await;
    let (code, done, _) =
        stage.run("ssn", &["--legacy", "fernet", "--legacy-mixed", "--legacy-key-file", other.to_str().unwrap()]);
    assert_eq!((code, &done["sealed"]), (1, &json!(1)), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gcm_under_a_tenants_and_under_a_persons_key_is_read() {
    let table = "CREATE TABLE patients (id TEXT PRIMARY KEY NOT NULL, ssn TEXT, name TEXT)";
    let stage = Stage::open(&[table], &[("ssn", json!({})), ("name", json!({}))]).await;
    let (bare, phi) = (vectors("bare"), vectors("phi"));
    let info = text(&bare["cases"][0], "info");
    let same = |case: &&Value| case["hash"] == "sha256" && case["salt"] == "" && case["info"] == info;
    let of_tenant: Vec<&Value> = bare["cases"].as_array().unwrap().iter().filter(same).collect();
    assert!(of_tenant.len() > 3);
    let bound = |case: &&Value| case["bound"] == true;
    let of_person: Vec<&Value> = phi["cases"].as_array().unwrap().iter().filter(bound).collect();
    // A row is a person here: `user:42` is row 42; one value each.
    for (at, case) in of_tenant.iter().enumerate() {
        let id = format!("t{at}");
        testing::run(
            &stage.database,
            "INSERT INTO patients (id, ssn) VALUES ($1, $2)",
            &[Some(&id), Some(text(case, "text"))],
        )
        .await;
    }
    for (id, at) in [("42", 0), ("43", 2)] {
        let case = of_person[at];
        assert_eq!(text(case, "context"), format!("user:{id}"));
        testing::run(
            &stage.database,
            "INSERT INTO patients (id, name) VALUES ($1, $2)",
            &[Some(id), Some(text(case, "text"))],
        )
        .await;
    }
    let master = stage.file("master", text(&bare, "master"));
    let uuid = String::from_utf8(data_encoding::HEXLOWER.decode(info.as_bytes()).unwrap()).unwrap();
    let options = ["--legacy", "gcm", "--legacy-key-file", master.to_str().unwrap(), "--legacy-info", &uuid];
    let (code, done, said) = stage.run("ssn", &options);
    assert_eq!((code, &done["refused"]), (0, &json!(0)), "{said} {done}");
    let wanted: Vec<Value> = of_tenant.iter().map(|case| case["plaintext"].clone()).collect();
    assert_eq!(
        stage.opened("ssn", "SELECT id, ssn_encrypted FROM patients WHERE ssn IS NOT NULL ORDER BY id").await,
        wanted
    );

    let (kek, wrapped) = (stage.file("kek", text(&phi, "kek")), stage.file("wrapped", text(&phi, "wrapped_data_key")));
    let files = [
        "--legacy",
        "gcm-wrapped",
        "--legacy-key-file",
        kek.to_str().unwrap(),
        "--legacy-data-key-file",
        wrapped.to_str().unwrap(),
    ];
    let wrong = [&files[..], &["--legacy-info", "user:{row}", "--legacy-aad", "person:{row}"]].concat();
    let (code, done, _) = stage.run("name", &wrong);
    assert_eq!((code, &done["refused"], &done["sealed"]), (1, &json!(2), &json!(0)));
    let right = [&files[..], &["--legacy-info", "user:{row}", "--legacy-aad", "user:{row}"]].concat();
    let (code, done, said) = stage.run("name", &right);
    assert_eq!((code, &done["refused"], &done["sealed"]), (0, &json!(0), &json!(2)), "{said}");
    let names =
        stage.opened("name", "SELECT id, name_encrypted FROM patients WHERE name IS NOT NULL ORDER BY id").await;
    assert_eq!(names, [json!("Jane Doe"), json!("Jane Doe")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_hashes_become_terms_and_come_back() {
    let table = "CREATE TABLE patients (id INTEGER PRIMARY KEY, email TEXT, email_hash TEXT)";
    let stage = Stage::open(&[table], &[("email", json!({"index": {"normalizer": "email", "bits": 256}}))]).await;
    for (id, email) in [("1", "Ann@X.test"), ("2", "bob@x.test")] {
        let hash = chancery_crypto::sha256_hex(email.to_lowercase().as_bytes());
        let insert = "INSERT INTO patients VALUES (CAST($1 AS INTEGER), $2, $3)";
        testing::run(&stage.database, insert, &[Some(id), Some(email), Some(&hash)]).await;
    }
    let before = stage.rows("SELECT email_hash FROM patients ORDER BY id").await;
    let (code, _, said) = stage.run("email", &[]);
    assert!(code == 1 && said.contains("--legacy-hash"), "{said}");
    let (code, done, said) = stage.run("email", &["--legacy-hash", "sha256-lower"]);
    assert_eq!((code, &done["other_hashes"]), (0, &json!(0)), "{said}");
    let item = json!([{"table": "patients", "column": "email", "value": "ANN@x.test"}]);
    let terms = stage.server.must("POST", "/v1/terms", &stage.service, Some(json!({"items": item}))).await;
    let found = stage.rows("SELECT email_hash FROM patients ORDER BY id").await;
    assert_eq!(json!(found[0][0]), terms["items"][0]["terms"][0]);
    assert!(found[0] != before[0] && found[1] != before[1]);
    let (code, _, said) = stage.run("email", &["--rollback", "--legacy-hash", "sha256-lower"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(stage.rows("SELECT email_hash FROM patients ORDER BY id").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said_with_its_cure() {
    let table = "CREATE TABLE patients (id INTEGER PRIMARY KEY, ssn TEXT, age INTEGER, twice INTEGER)";
    let insert = "INSERT INTO patients VALUES (1, 'x', 40, 1), (2, 'y', NULL, 1)";
    let stage = Stage::open(&[table, insert], &[("ssn", json!({})), ("age", json!({"type": "integer"}))]).await;
    for (column, more, cure) in [
        ("name", &[][..], "PUT /v1/fields/patients/name"),
        ("ssn", &["--row-column", "twice"], "unique"),
        ("ssn", &["--hash", "h"], "has no index"),
        ("ssn", &["--to", "ssn"], "cannot be its own"),
        ("ssn", &["--legacy", "fernet"], "--legacy-key-file"),
    ] {
        let (code, _, said) = stage.run(column, more);
        assert!(code == 1 && said.contains(cure), "{column} {more:?}: {said}");
    }
    let (code, done, said) = stage.run("age", &[]);
    assert_eq!((code, &done["sealed"]), (0, &json!(1)), "{said}");
    let ages = stage.opened("age", "SELECT id, age_encrypted FROM patients WHERE age IS NOT NULL").await;
    assert_eq!(ages, [json!(40)], "a number stays a number");
    fs::set_permissions(stage.path("app.url"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, said) = stage.run("ssn", &[]);
    assert!(code == 1 && said.contains("chmod 600"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_sealed_alone_comes_back() {
    let insert = "INSERT INTO patients VALUES (1, 'one'), (2, 'two'), (3, 'three')";
    let stage = Stage::open(&[TABLE, insert], &[("ssn", json!({}))]).await;
    assert_eq!(stage.run("ssn", &[]).0, 0);
    // An application that seals writes the sealed column alone.
    let item = json!({"table": "patients", "column": "ssn", "row": "2", "value": "newest"});
    let sealed = stage.server.must("POST", "/v1/seal", &stage.service, Some(json!({"items": [item]}))).await;
    let newest = text(&sealed["items"][0], "sealed").to_owned();
    testing::run(&stage.database, "UPDATE patients SET ssn_encrypted = $1 WHERE id = 2", &[Some(&newest)]).await;
    // A sealed value of another row does not open here: nothing goes, and the row is named.
    let other = "UPDATE patients SET ssn_encrypted = $1 WHERE id = 3";
    testing::run(&stage.database, other, &[Some(&newest)]).await;
    let (code, _, said) = stage.run("ssn", &["--rollback"]);
    assert!(code == 1 && said.contains("do not open") && said.contains(": 3;"), "{said}");
    testing::run(&stage.database, "UPDATE patients SET ssn_encrypted = NULL WHERE id = 3", &[]).await;
    let (code, back, said) = stage.run("ssn", &["--rollback"]);
    assert_eq!(code, 0, "{back} {said}");
    let rows = stage.rows("SELECT ssn FROM patients ORDER BY id").await;
    assert_eq!(rows, ["one", "newest", "three"].map(|text| [Some(text.to_owned())]));
}

#[tokio::test(flavor = "multi_thread")]
async fn plaintext_from_after_the_end_stops_the_drop_and_the_way_back() {
    let insert = "INSERT INTO patients VALUES (1, 'one'), (2, 'two')";
    let stage = Stage::open(&[TABLE, insert], &[("ssn", json!({}))]).await;
    assert_eq!(stage.run("ssn", &[]).0, 0);
    let (code, _, said) = stage.run("ssn", &["--finish"]);
    assert_eq!(code, 0, "{said}");
    testing::run(&stage.database, "UPDATE patients SET ssn = 'late' WHERE id = 2", &[]).await;
    let (code, _, said) = stage.run("ssn", &["--rollback"]);
    assert!(code == 1 && said.contains("after --finish: 2;"), "{said}");
    let (code, _, said) = stage.run("ssn", &["--finish", "--drop"]);
    assert!(code == 1 && said.contains("not everything is proven"), "{said}");
    assert_eq!(stage.rows("SELECT ssn FROM patients WHERE id = 2").await[0][0].as_deref(), Some("late"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_look_for_plaintext_is_right_after_the_drop_too() {
    let insert = "INSERT INTO patients VALUES (1, 'one'), (2, 'two')";
    let stage = Stage::open(&[TABLE, insert], &[("ssn", json!({}))]).await;
    assert_eq!(stage.run("ssn", &[]).0, 0);
    let (code, dropped, said) = stage.run("ssn", &["--finish", "--drop"]);
    assert_eq!((code, &dropped["dropped"]), (0, &json!(true)), "{said}");
    let (code, found, said) = stage.run("ssn", &["--find-plaintext"]);
    assert_eq!((code, &found["plaintext"], &found["of"]), (0, &json!(0), &json!(2)), "{found} {said}");
    testing::run(&stage.database, "UPDATE patients SET ssn_encrypted = 'slipped in' WHERE id = 2", &[]).await;
    let (code, found, _) = stage.run("ssn", &["--find-plaintext"]);
    assert_eq!((code, &found["not_sealed"], &found["not_sealed_rows"]), (1, &json!(1), &json!(["2"])), "{found}");
    for words in [&[][..], &["--finish", "--drop"], &["--rollback"]] {
        let (code, _, said) = stage.run("ssn", words);
        assert!(code == 1 && said.contains("the plaintext column was dropped"), "{words:?}: {said}");
    }
    // A column that never was is no dropped one.
    assert!(stage.run("never", &["--find-plaintext", "--field-column", "ssn"]).2.contains("is no column of the table"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_travels_over_https_or_stays_here_and_its_file_is_private() {
    let stage = Stage::open(&[TABLE], &[("ssn", json!({}))]).await;
    let (code, _, said) = stage.run_at("http://192.0.2.1:8700", "ssn", &[]);
    assert!(code == 1 && said.contains("not https"), "{said}");
    fs::set_permissions(stage.path("api-key"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, said) = stage.run("ssn", &[]);
    assert!(code == 1 && said.contains("chmod 600"), "{said}");
}
