//! Sealed columns in SQLite and PostgreSQL, through sqlx.

use chancery_sealed::{Email, Indexed as _, RootUse, Sealed, SealedJson};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};

use crate::{
    legacy::with_legacy_keys,
    places::{Address, Metadata, Note, Scan, sealer},
};

/// A connection with an empty table, gone when it is dropped.
async fn sqlite() -> Option<SqliteConnection> {
    let mut database = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let table = "CREATE TABLE patients (id TEXT PRIMARY KEY, note VARCHAR(231), email TEXT, email_term TEXT, scan BLOB, metadata TEXT)";
    sqlx::query(table).execute(&mut database).await.unwrap();
    Some(database)
}

/// The same; `None` after saying that the test is skipped.
async fn postgres() -> Option<PgConnection> {
    let Ok(url) = std::env::var("CHANCERY_TEST_POSTGRES_URL") else {
        let required = std::env::var("CHANCERY_TEST_REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
        assert!(!required, "CHANCERY_TEST_POSTGRES_URL is not set; run with `cargo xtask with-postgres --`");
        eprintln!("skipped: no CHANCERY_TEST_POSTGRES_URL; run with `cargo xtask with-postgres --`");
        return None;
    };
    let mut database = PgConnection::connect(&url).await.unwrap();
    let table = "CREATE TEMPORARY TABLE patients (id TEXT PRIMARY KEY, note VARCHAR(231), email TEXT, email_term TEXT, scan BYTEA, metadata JSONB)";
    sqlx::query(table).execute(&mut database).await.unwrap();
    Some(database)
}

const INSERT: &str =
    "INSERT INTO patients (id, note, email, email_term, scan, metadata) VALUES ($1, $2, $3, $4, $5, $6)";

/// The same tests for both; what differs is how a list of terms is searched.
macro_rules! databases {
    ($($module:ident: $find:literal;)+) => { $(mod $module {
        use super::*;
        use super::$module as database;

        #[tokio::test]
        async fn rows_are_written_sealed_found_by_term_and_opened_when_asked() {
            let Some(mut database) = database().await else { return };
            let (_folder, sealer) = sealer();
            let opener = sealer.unaudited("a test");
            for (id, email) in [("a", "ana@example.org"), ("b", "bob@example.org")] {
                let email = Email::parse(email).unwrap();
                sqlx::query(INSERT)
                    .bind(id)
                    .bind(Sealed::<Note>::seal(&sealer, id, &format!("note of {id}")).unwrap())
                    .bind(Sealed::<Address>::seal(&sealer, id, &email).unwrap())
                    .bind(sealer.term::<Address>(&email).unwrap())
                    .bind(Sealed::<Scan>::seal(&sealer, id, &vec![0xFF, 0x00]).unwrap())
                    .bind(SealedJson::<Metadata>::seal(&sealer, id, json!({"tax_id": 7, "plan": "gold"})).unwrap())
                    .execute(&mut database)
                    .await
                    .unwrap();
            }
            let raw: String = sqlx::query_scalar("SELECT note FROM patients WHERE id = 'a'")
                .fetch_one(&mut database).await.unwrap();
            assert!(raw.starts_with("chy1."));

            let wanted = Email::parse("ANA@example.org").unwrap();
            let found = sqlx::query($find)
                .bind(sealer.terms::<Address>(&wanted).unwrap())
                .fetch_all(&mut database)
                .await
                .unwrap();
            assert_eq!(found.len(), 1);
            let row = &found[0];
            let id: String = row.get("id");
            let email: Sealed<Address> = row.get("email");
            assert!(Address::same(email.open(&opener, &id).unwrap().expose(), &wanted));
            assert_eq!(row.get::<Sealed<Note>, _>("note").open(&opener, &id).unwrap().expose(), "note of a");
            assert_eq!(row.get::<Sealed<Scan>, _>("scan").open(&opener, &id).unwrap().expose(), &[0xFF, 0x00]);
            let metadata: SealedJson<Metadata> = row.get("metadata");
            assert_eq!(metadata.open(&opener, &id).unwrap().as_value(), &json!({"tax_id": 7, "plan": "gold"}));
        }

        #[tokio::test]
        async fn nulls_and_empty_values_stay_what_they_are() {
            let Some(mut database) = database().await else { return };
            let (_folder, sealer) = sealer();
            sqlx::query(INSERT)
                .bind("a")
                .bind(Some(Sealed::<Note>::seal(&sealer, "a", &String::new()).unwrap()))
                .bind(None::<Sealed<Address>>)
                .bind(None::<chancery_sealed::Term<Address>>)
                .bind(None::<Sealed<Scan>>)
                .bind(None::<SealedJson<Metadata>>)
                .execute(&mut database)
                .await
                .unwrap();
            let row = sqlx::query("SELECT * FROM patients").fetch_one(&mut database).await.unwrap();
            let note: Option<Sealed<Note>> = row.get("note");
            assert_eq!(note.unwrap().open(&sealer.unaudited("a test"), "a").unwrap().expose(), "");
            assert_eq!(row.get::<Option<Sealed<Address>>, _>("email"), None);
            assert_eq!(row.get::<Option<Sealed<Scan>>, _>("scan"), None);
            assert!(row.get::<Option<SealedJson<Metadata>>, _>("metadata").is_none());
        }

        #[tokio::test]
        async fn plaintext_in_a_sealed_column_is_an_error_and_not_a_value() {
            let Some(mut database) = database().await else { return };
            sqlx::query("INSERT INTO patients (id, note, metadata) VALUES ('a', 'in the clear', '{\"tax_id\": \"1\"}')")
                .execute(&mut database).await.unwrap();
            let row = sqlx::query("SELECT * FROM patients").fetch_one(&mut database).await.unwrap();
            let error = row.try_get::<Sealed<Note>, _>("note").unwrap_err().to_string();
            assert!(error.contains("not a sealed value") && !error.contains("in the clear"), "{error}");
            let error = row.try_get::<SealedJson<Metadata>, _>("metadata").unwrap_err().to_string();
            assert!(error.contains("`/tax_id`"), "{error}");
        }

        #[tokio::test]
        async fn a_column_of_either_form_is_read() {
            let Some(mut database) = database().await else { return };
            let (_folder, sealer) = sealer();
            let opener = sealer.unaudited("a test");
            let text = Sealed::<Scan>::seal(&sealer, "a", &vec![1]).unwrap().to_text();
            sqlx::query("INSERT INTO patients (id, note, scan) VALUES ('a', $1, $2)")
                .bind(&text).bind(text.as_bytes()).execute(&mut database).await.unwrap();
            let row = sqlx::query("SELECT * FROM patients").fetch_one(&mut database).await.unwrap();
            for column in ["note", "scan"] {
                assert_eq!(row.get::<Sealed<Scan>, _>(column).open(&opener, "a").unwrap().expose(), &[1], "{column}");
            }
        }

        #[tokio::test]
        async fn after_a_rotation_the_prefix_finds_what_to_renew() {
            let Some(mut database) = database().await else { return };
            let (_folder, sealer) = sealer();
            let opener = sealer.unaudited("a test");
            for id in ["a", "b", "c"] {
                if id == "c" {
                    sealer.rotate(RootUse::Data).unwrap();
                }
                sqlx::query("INSERT INTO patients (id, note) VALUES ($1, $2)")
                    .bind(id)
                    .bind(Sealed::<Note>::seal(&sealer, id, &id.to_owned()).unwrap())
                    .execute(&mut database).await.unwrap();
            }
            let old = "SELECT id, note FROM patients WHERE note NOT LIKE $1 || '%' ORDER BY id";
            let prefix = sealer.current_prefix::<Note>();
            let rows = sqlx::query(old).bind(&prefix).fetch_all(&mut database).await.unwrap();
            assert_eq!(rows.iter().map(|row| row.get("id")).collect::<Vec<String>>(), ["a", "b"]);
            for row in rows {
                let (id, note): (String, Sealed<Note>) = (row.get("id"), row.get("note"));
                let renewed = note.renewed(&opener, &id).unwrap().unwrap();
                sqlx::query("UPDATE patients SET note = $1 WHERE id = $2")
                    .bind(renewed).bind(&id).execute(&mut database).await.unwrap();
            }
            assert!(sqlx::query(old).bind(&prefix).fetch_all(&mut database).await.unwrap().is_empty());
        }

        #[tokio::test]
        async fn a_legacy_value_is_read_and_written_back_only_renewed() {
            let Some(mut database) = database().await else { return };
            let (_folder, sealer) = with_legacy_keys();
            let opener = sealer.unaudited("a test");
            sqlx::query("INSERT INTO patients (id, note) VALUES ('a', $1)")
                .bind(crate::legacy::TOKEN).execute(&mut database).await.unwrap();
            let row = sqlx::query("SELECT note FROM patients").fetch_one(&mut database).await.unwrap();
            let old: Sealed<Note> = row.get("note");
            assert_eq!(old.open(&opener, "a").unwrap().expose(), "hello");

            let save = "UPDATE patients SET note = $1 WHERE id = 'a'";
            let error = sqlx::query(save).bind(old.clone()).execute(&mut database).await.unwrap_err().to_string();
            assert!(error.contains("not written again"), "{error}");
            let new = old.renewed(&opener, "a").unwrap().unwrap();
            sqlx::query(save).bind(new).execute(&mut database).await.unwrap();
            let row = sqlx::query("SELECT note FROM patients").fetch_one(&mut database).await.unwrap();
            assert_eq!(row.get::<Sealed<Note>, _>("note").open(&opener, "a").unwrap().expose(), "hello");
        }
    })+ };
}

databases! {
    sqlite: "SELECT * FROM patients WHERE email_term IN (SELECT value FROM json_each($1))";
    postgres: "SELECT * FROM patients WHERE email_term = ANY($1)";
}
