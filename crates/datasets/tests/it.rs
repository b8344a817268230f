//! Applications' tables on both engines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a step that fails fails its test")]

use std::task::Poll;
use std::time::{Duration, Instant};

use chancery_crypto::{Handle, Phi, Sealed};
use chancery_datasets::{Database, Migration, Patience, Restore, Seal, SealedTable, testing};
use chancery_domain::datasets::tables::{Replacement, Stored, TermReplacement, Terms, Which};
use chancery_domain::datasets::{Dataset, DatasetColumn, DatasetCompound, DatasetTable as _, TableError};
use chancery_domain::ids::DatasetId;
use chancery_domain::time::Timestamp;

/// Runs a test on both engines; each has a table of its own.
macro_rules! engines {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let url = chancery_datasets::testing::sqlite(&folder.path().join("app.db"), &[]).await;
                let database = chancery_datasets::Database::open(&url).await.unwrap();
                super::$name(database, stringify!($name)).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let Some(own) = chancery_postgres::testing::database().await else { return };
                let database = chancery_datasets::Database::open(own.url()).await.unwrap();
                super::$name(database, stringify!($name)).await;
            })+
        }
    };
}

engines! {
    values_are_counted_by_the_handle_inside,
    a_page_has_what_was_asked_for_in_the_order_of_rows,
    a_value_that_changed_meanwhile_stays,
    binary_columns_do_as_text_columns_do,
    every_kind_of_term_has_its_column,
    a_term_of_several_columns_is_replaced_only_beside_all_of_its_values,
    a_table_that_is_not_as_the_dataset_says_is_refused,
    a_column_is_sealed_finished_and_brought_back,
    a_change_by_a_program_that_knows_nothing_makes_a_row_pending_again,
    a_change_while_plaintext_is_emptied_is_not_lost,
    a_column_with_pending_rows_is_not_dropped,
    a_column_that_refused_nulls_refuses_them_again_on_the_way_back,
    after_the_drop_only_what_is_not_sealed_is_looked_for,
}

fn sealed(handle: u8, flags: u8, tail: u8) -> Sealed {
    let mut bytes = vec![0xF9, 0x11, 1, flags];
    bytes.extend([handle; 8]);
    bytes.extend([tail; 80]);
    Sealed::from_bytes(bytes).unwrap()
}

fn column(terms: bool) -> DatasetColumn {
    let terms_in = terms.then(|| "ssn_hash".to_owned());
    let sealed_in = "ssn_encrypted".to_owned();
    DatasetColumn { field: "ssn".to_owned(), sealed_in, terms_in, prefix_in: None, bucket_in: None }
}

fn exact(term: Option<&str>) -> Terms {
    Terms { exact: term.map(str::to_owned), ..Terms::default() }
}

fn dataset(table: &str) -> Dataset {
    Dataset {
        id: DatasetId::from_bytes([1; 16]),
        name: "set".to_owned(),
        url_file: "x".to_owned(),
        table: table.to_owned(),
        field_table: "patients".to_owned(),
        row_column: "id".to_owned(),
        columns: vec![column(true)],
        compounds: Vec::new(),
        created_at: Timestamp::from_micros(0),
        updated_at: Timestamp::from_micros(0),
        registered_by: String::new(),
    }
}

/// Statements are constants, so each table has a name here.
async fn make(database: &Database, drop: &'static str, create: &'static str) {
    testing::run(database, drop, &[]).await;
    testing::run(database, create, &[]).await;
}

/// A table with six rows: two values under one key, one under another, one with other flags, one in clear, one null.
async fn six(database: &Database, drop: &'static str, create: &'static str, insert: &'static str) {
    make(database, drop, create).await;
    let values =
        [Some(sealed(1, 1, 1)), Some(sealed(2, 1, 2)), Some(sealed(1, 0, 3)), Some(sealed(1, 1, 4)), None, None];
    for (at, value) in values.into_iter().enumerate() {
        let text = if at == 4 { Some("999-00".to_owned()) } else { value.map(|value| value.to_text()) };
        testing::run(database, insert, &[Some(&(at + 9).to_string()), text.as_deref()]).await;
    }
}

async fn values_are_counted_by_the_handle_inside(database: Database, _: &str) {
    six(
        &database,
        "DROP TABLE IF EXISTS ds_counted",
        "CREATE TABLE ds_counted (id INTEGER PRIMARY KEY, ssn_encrypted TEXT, ssn_hash TEXT)",
        "INSERT INTO ds_counted VALUES (CAST($1 AS INTEGER), $2, NULL)",
    )
    .await;
    let table = SealedTable::open(database, &dataset("ds_counted")).await.unwrap();
    let mut counted = table.count(&column(true)).await.unwrap();
    counted.by_handle.sort_by_key(|(handle, _)| handle.0);
    assert_eq!(counted.by_handle, [(Handle([1; 8]), 3), (Handle([2; 8]), 1)]);
    assert_eq!((counted.unsealed, counted.nulls), (1, 1));
    assert_eq!(counted.under(&[Handle([1; 8]), Handle([7; 8])]), 3);
}

async fn a_page_has_what_was_asked_for_in_the_order_of_rows(database: Database, _: &str) {
    six(
        &database,
        "DROP TABLE IF EXISTS ds_paged",
        "CREATE TABLE ds_paged (id INTEGER PRIMARY KEY, ssn_encrypted TEXT, ssn_hash TEXT)",
        "INSERT INTO ds_paged VALUES (CAST($1 AS INTEGER), $2, 'term')",
    )
    .await;
    let table = SealedTable::open(database, &dataset("ds_paged")).await.unwrap();
    let rows = async |which: Which<'_>, after: Option<&str>, limit| {
        let page = table.page(&column(true), which, after, limit).await.unwrap();
        page.into_iter().map(|row| (row.row, row.at, row.terms.exact)).collect::<Vec<_>>()
    };
    let old = [Handle([1; 8])];
    let first = rows(Which::Under(&old), None, 2).await;
    // Numbers come as numbers: 9 before 11.
    assert_eq!(first.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), ["9", "11"]);
    assert_eq!(first[0].2.as_deref(), Some("term"));
    let rest = rows(Which::Under(&old), Some(&first[1].1), 2).await;
    assert_eq!(rest.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), ["12"]);
    assert_eq!(rows(Which::Under(&[Handle([9; 8])]), None, 9).await, []);
    assert_eq!(rows(Which::Sealed, None, 9).await.len(), 4);
    assert_eq!(rows(Which::Sealed, Some(&rest[0].1), 9).await, []);
}

async fn a_value_that_changed_meanwhile_stays(database: Database, _: &str) {
    six(
        &database,
        "DROP TABLE IF EXISTS ds_replaced",
        "CREATE TABLE ds_replaced (id INTEGER PRIMARY KEY, ssn_encrypted TEXT, ssn_hash TEXT)",
        "INSERT INTO ds_replaced VALUES (CAST($1 AS INTEGER), $2, 'old')",
    )
    .await;
    let table = SealedTable::open(database.clone(), &dataset("ds_replaced")).await.unwrap();
    let page = table.page(&column(true), Which::Under(&[Handle([1; 8])]), None, 9).await.unwrap();
    testing::run(&database, "UPDATE ds_replaced SET ssn_encrypted = 'theirs' WHERE id = 11", &[]).await;
    let terms = [Some("new".to_owned()), Some("new".to_owned()), None];
    let change = |(row, term): (&chancery_domain::datasets::tables::StoredRow, &Option<String>)| Replacement {
        at: row.at.clone(),
        old: row.sealed.clone(),
        new: row.sealed.alike(&sealed(3, 1, 9)),
        terms: exact(term.as_deref()),
    };
    let changes: Vec<Replacement> = page.iter().zip(&terms).map(change).collect();
    let mut replaced = table.replace(&column(true), &changes).await.unwrap();
    replaced.sort_unstable_by_key(String::len);
    assert_eq!(replaced, [page[0].at.clone(), page[2].at.clone()]);
    let found = table.read(&column(true), &replaced).await.unwrap();
    assert!(found.iter().all(|row| row.sealed == Stored::Text(sealed(3, 1, 9).to_text())), "{found:?}");
    let rows = testing::rows(&database, "SELECT ssn_hash FROM ds_replaced WHERE id IN (9, 11, 12) ORDER BY id").await;
    let terms: Vec<_> = rows.into_iter().map(|mut row| row.remove(0).unwrap()).collect();
    assert_eq!(terms, ["new", "old", "old"], "a term is replaced with its value, or stays");
    // Once more: nobody finds the old value any more.
    assert_eq!(table.replace(&column(true), &changes).await.unwrap(), Vec::<String>::new());
}

async fn binary_columns_do_as_text_columns_do(database: Database, _: &str) {
    let blob = !database.is_postgres();
    let create = if blob {
        "CREATE TABLE ds_binary (id TEXT PRIMARY KEY NOT NULL, ssn_encrypted BLOB, ssn_hash TEXT)"
    } else {
        "CREATE TABLE ds_binary (id uuid PRIMARY KEY, ssn_encrypted bytea, ssn_hash text)"
    };
    make(&database, "DROP TABLE IF EXISTS ds_binary", create).await;
    let insert = if blob {
        "INSERT INTO ds_binary VALUES ($1, unhex($2), NULL)"
    } else {
        "INSERT INTO ds_binary VALUES ($1::uuid, decode($2, 'hex'), NULL)"
    };
    let id = "018f4e2a-0000-7000-8000-00000000000";
    for (at, value) in [sealed(1, 1, 1), sealed(2, 1, 2), sealed(1, 0, 3)].into_iter().enumerate() {
        let hex = data_encoding::HEXLOWER.encode(value.as_bytes());
        testing::run(&database, insert, &[Some(&format!("{id}{at}")), Some(&hex)]).await;
    }
    let table = SealedTable::open(database, &dataset("ds_binary")).await.unwrap();
    assert_eq!(table.count(&column(false)).await.unwrap().under(&[Handle([1; 8])]), 2);
    let page = table.page(&column(false), Which::Under(&[Handle([1; 8])]), None, 9).await.unwrap();
    assert_eq!(page.iter().map(|row| row.row.clone()).collect::<Vec<_>>(), [format!("{id}0"), format!("{id}2")]);
    let change = Replacement {
        at: page[1].at.clone(),
        old: page[1].sealed.clone(),
        new: page[1].sealed.alike(&sealed(2, 0, 7)),
        terms: exact(None),
    };
    assert_eq!(
        table.replace(&column(false), std::slice::from_ref(&change)).await.unwrap(),
        std::slice::from_ref(&change.at)
    );
    let found = table.read(&column(false), &[change.at]).await.unwrap();
    assert_eq!(found[0].sealed, Stored::Bytes(sealed(2, 0, 7).into_bytes()));
}

async fn every_kind_of_term_has_its_column(database: Database, _: &str) {
    let create = if database.is_postgres() {
        "CREATE TABLE ds_kinds (id INTEGER PRIMARY KEY, ssn_encrypted TEXT, ssn_hash TEXT, begins text[], listed TEXT, bucket TEXT)"
    } else {
        "CREATE TABLE ds_kinds (id INTEGER PRIMARY KEY, ssn_encrypted TEXT, ssn_hash TEXT, begins TEXT, listed TEXT, bucket TEXT)"
    };
    make(&database, "DROP TABLE IF EXISTS ds_kinds", create).await;
    let insert = "INSERT INTO ds_kinds (id, ssn_encrypted, bucket) VALUES (CAST($1 AS INTEGER), $2, 'old')";
    for id in ["1", "2"] {
        testing::run(&database, insert, &[Some(id), Some(&sealed(1, 1, 1).to_text())]).await;
    }
    for prefix_in in ["begins", "listed"] {
        let column = DatasetColumn {
            prefix_in: Some(prefix_in.to_owned()),
            bucket_in: Some("bucket".to_owned()),
            ..column(true)
        };
        let set = Dataset { columns: vec![column.clone()], ..dataset("ds_kinds") };
        let table = SealedTable::open(database.clone(), &set).await.unwrap();
        let page = table.page(&column, Which::Sealed, None, 9).await.unwrap();
        assert_eq!((&page[0].terms.prefix, page[0].terms.bucket.as_deref()), (&None, Some("old")));
        let terms = Terms {
            exact: Some("whole".to_owned()),
            prefix: Some(Terms::list(&["a".to_owned(), "ab".to_owned()])),
            bucket: Some("new".to_owned()),
        };
        let change = |at: usize, terms: &Terms| Replacement {
            at: page[at].at.clone(),
            old: page[at].sealed.clone(),
            new: page[at].sealed.clone(),
            terms: terms.clone(),
        };
        // A value without beginnings, in no bucket; what is none stays.
        let nothing = Terms { exact: None, prefix: Some("[]".to_owned()), bucket: Some(String::new()) };
        let changes = [change(0, &terms), change(1, &nothing)];
        assert_eq!(table.replace(&column, &changes).await.unwrap().len(), 2);
        let found = table.page(&column, Which::Sealed, None, 9).await.unwrap();
        assert_eq!(found[0].terms, terms);
        assert!(terms.are_in(&found[0].terms) && nothing.are_in(&found[1].terms) && !terms.are_in(&found[1].terms));
        assert_eq!((&found[1].terms.exact, &found[1].terms.bucket), (&None, &None));
        testing::run(&database, "UPDATE ds_kinds SET bucket = 'old', ssn_hash = NULL", &[]).await;
    }
}

async fn a_term_of_several_columns_is_replaced_only_beside_all_of_its_values(database: Database, _: &str) {
    make(
        &database,
        "DROP TABLE IF EXISTS ds_parts",
        "CREATE TABLE ds_parts (id INTEGER PRIMARY KEY, ssn_encrypted TEXT, name_encrypted TEXT, both_hash TEXT)",
    )
    .await;
    let insert = "INSERT INTO ds_parts VALUES (CAST($1 AS INTEGER), $2, $3, $4)";
    let value = sealed(1, 1, 1).to_text();
    for (id, name, term) in
        [("1", Some(value.as_str()), None), ("2", None, Some("stale")), ("3", Some(value.as_str()), Some("old"))]
    {
        testing::run(&database, insert, &[Some(id), Some(&value), name, term]).await;
    }
    testing::run(&database, "INSERT INTO ds_parts (id) VALUES (4)", &[]).await;
    let name = DatasetColumn { field: "name".to_owned(), sealed_in: "name_encrypted".to_owned(), ..column(false) };
    let columns = [column(false), name];
    let set = Dataset { columns: columns.to_vec(), ..dataset("ds_parts") };
    let table = SealedTable::open(database.clone(), &set).await.unwrap();
    let page = table.parts(&columns, "both_hash", None, 2).await.unwrap();
    let rest = table.parts(&columns, "both_hash", Some(&page[1].at), 2).await.unwrap();
    let rows: Vec<_> = page.iter().chain(&rest).map(|row| (row.row.as_str(), row.term.as_deref())).collect();
    assert_eq!(rows, [("1", None), ("2", Some("stale")), ("3", Some("old"))]);
    assert_eq!((page[0].parts.len(), &page[1].parts[1]), (2, &None));
    let other = sealed(1, 1, 2).to_text();
    testing::run(&database, "UPDATE ds_parts SET name_encrypted = $1 WHERE id = 3", &[Some(&other)]).await;
    let change = |row: &chancery_domain::datasets::tables::StoredParts, term: Option<&str>| TermReplacement {
        at: row.at.clone(),
        parts: row.parts.clone(),
        term: term.map(str::to_owned),
    };
    let changes = [change(&page[0], Some("new")), change(&page[1], None), change(&rest[0], Some("new"))];
    let replaced = table.replace_terms(&columns, "both_hash", &changes).await.unwrap();
    assert_eq!(replaced, [page[0].at.clone(), page[1].at.clone()], "the third has another name by now");
    let found = testing::rows(&database, "SELECT both_hash FROM ds_parts ORDER BY id").await;
    assert_eq!(found, [[Some("new".to_owned())], [None], [Some("old".to_owned())], [None]]);
}

async fn a_table_that_is_not_as_the_dataset_says_is_refused(database: Database, _: &str) {
    make(
        &database,
        "DROP TABLE IF EXISTS ds_odd",
        "CREATE TABLE ds_odd (id INTEGER PRIMARY KEY, twice INTEGER NOT NULL, ssn_encrypted TEXT, ssn_hash TEXT, age INTEGER)",
    )
    .await;
    let refused = async |change: fn(&mut Dataset)| {
        let mut odd = dataset("ds_odd");
        change(&mut odd);
        matches!(SealedTable::open(database.clone(), &odd).await, Err(TableError::Shape(..)))
    };
    assert!(!refused(|_| {}).await);
    assert!(refused(|odd| odd.table = "ds_none".to_owned()).await);
    assert!(refused(|odd| odd.table = "ds_odd\" WHERE 1=1 --".to_owned()).await);
    assert!(refused(|odd| odd.row_column = "twice".to_owned()).await);
    assert!(refused(|odd| odd.row_column = "none".to_owned()).await);
    assert!(refused(|odd| odd.columns[0].sealed_in = "age".to_owned()).await);
    assert!(refused(|odd| odd.columns[0].sealed_in = "none".to_owned()).await);
    assert!(refused(|odd| odd.columns[0].terms_in = Some("age".to_owned())).await);
    assert!(refused(|odd| odd.columns[0].prefix_in = Some("age".to_owned())).await);
    assert!(refused(|odd| odd.columns[0].bucket_in = Some("none".to_owned())).await);
    let compound = |terms_in: &str| vec![DatasetCompound { index: "both".to_owned(), terms_in: terms_in.to_owned() }];
    assert!(matches!(
        SealedTable::open(database.clone(), &Dataset { compounds: compound("age"), ..dataset("ds_odd") }).await,
        Err(TableError::Shape(..))
    ));
    SealedTable::open(database.clone(), &Dataset { compounds: compound("ssn_hash"), ..dataset("ds_odd") })
        .await
        .unwrap();
}

async fn migration(database: &Database, table: &str) -> Migration {
    let name = |text: &str| text.parse().unwrap();
    Migration::open(
        database.clone(),
        &table.parse().unwrap(),
        &name("id"),
        name("ssn"),
        name("ssn_encrypted"),
        Some(name("ssn_hash")),
    )
    .await
    .unwrap()
}

fn seal(at: &str, old: &str, tail: u8) -> Seal {
    Seal {
        at: at.to_owned(),
        old: Phi::new(old.to_owned()),
        sealed: sealed(1, 1, tail),
        term: Some(format!("term-{tail}")),
    }
}

async fn a_column_is_sealed_finished_and_brought_back(database: Database, _: &str) {
    make(&database, "DROP TABLE IF EXISTS ds_moved", "CREATE TABLE ds_moved (id INTEGER PRIMARY KEY, ssn TEXT)").await;
    testing::run(&database, "INSERT INTO ds_moved VALUES (1, 'one'), (2, 'two'), (3, NULL)", &[]).await;
    let mut moving = migration(&database, "ds_moved").await;
    assert_eq!(moving.progress().await.unwrap(), None);
    assert_eq!(moving.counts().await.unwrap().pending, 2);
    let begun = moving.prepare().await.unwrap();
    assert_eq!((begun.phase.as_str(), begun.added_sealed, begun.added_term), ("sealing", true, true));
    // Once more changes nothing of that.
    assert_eq!(moving.prepare().await.unwrap(), begun);
    let page = moving.plain(None, 9).await.unwrap();
    assert_eq!(page.iter().map(|row| row.value.expose().as_str()).collect::<Vec<_>>(), ["one", "two"]);
    let seals = [seal(&page[0].at, "one", 1), seal(&page[1].at, "changed meanwhile", 2)];
    assert_eq!(moving.seal(&seals, Some(&page[1].at)).await.unwrap(), [page[0].at.clone()]);
    assert_eq!(moving.progress().await.unwrap().unwrap().row_at.as_ref(), Some(&page[1].at));
    assert_eq!(moving.seal(&[seal(&page[1].at, "two", 2)], None).await.unwrap().len(), 1);
    // What is sealed is not sealed again.
    assert_eq!(moving.seal(&[seal(&page[0].at, "one", 7)], None).await.unwrap(), Vec::<String>::new());
    let counts = moving.counts().await.unwrap();
    assert_eq!(
        (counts.rows, counts.plain, counts.sealed, counts.pending, counts.unsealed, counts.nulls),
        (3, 2, 2, 0, 0, 1)
    );
    assert_eq!(moving.plain(None, 9).await.unwrap().len(), 0);

    moving.unprotect().await.unwrap();
    let pairs = moving.pairs(None, 9).await.unwrap();
    let rows: Vec<(String, Phi<String>, Stored)> = pairs
        .into_iter()
        .filter_map(|pair| Some((pair.at, Phi::new(pair.plain?.expose().clone()), pair.sealed?)))
        .collect();
    assert_eq!(moving.clear(&rows).await.unwrap(), 2);
    assert_eq!(moving.clear(&rows).await.unwrap(), 0);
    assert_eq!(moving.counts().await.unwrap().plain, 0);
    let back: Vec<Restore> = rows.into_iter().map(|(at, new, sealed)| Restore { at, old: None, new, sealed }).collect();
    assert_eq!(moving.restore(&back).await.unwrap(), 2);
    assert_eq!(moving.restore(&back).await.unwrap(), 0, "another plaintext than the one that was read stays");
    let plain = testing::rows(&database, "SELECT ssn FROM ds_moved ORDER BY id").await;
    assert_eq!(plain, [[Some("one".to_owned())], [Some("two".to_owned())], [None]]);
    moving.drop_added(&begun).await.unwrap();
    moving.forget().await.unwrap();
    let back = migration(&database, "ds_moved").await;
    assert!(!back.has_sealed() && !back.has_term());
    assert_eq!(back.progress().await.unwrap(), None);
}

async fn a_change_by_a_program_that_knows_nothing_makes_a_row_pending_again(database: Database, _: &str) {
    make(
        &database,
        "DROP TABLE IF EXISTS ds_stale",
        "CREATE TABLE ds_stale (id INTEGER PRIMARY KEY, ssn TEXT, age INTEGER)",
    )
    .await;
    testing::run(&database, "INSERT INTO ds_stale VALUES (1, 'one', 1), (2, 'two', 2)", &[]).await;
    let mut moving = migration(&database, "ds_stale").await;
    moving.prepare().await.unwrap();
    let page = moving.plain(None, 9).await.unwrap();
    moving.seal(&[seal(&page[0].at, "one", 1), seal(&page[1].at, "two", 2)], None).await.unwrap();
    testing::run(&database, "UPDATE ds_stale SET age = 5", &[]).await;
    testing::run(&database, "UPDATE ds_stale SET ssn = ssn", &[]).await;
    assert_eq!(moving.counts().await.unwrap().pending, 0, "nothing of the plaintext changed");
    testing::run(&database, "UPDATE ds_stale SET ssn = 'new' WHERE id = 1", &[]).await;
    let pending = moving.plain(None, 9).await.unwrap();
    assert_eq!((pending.len(), pending[0].value.expose().as_str(), pending[0].term.as_deref()), (1, "new", None));
    // One that knows the column writes both, and that stays.
    let both = "UPDATE ds_stale SET ssn = 'newer', ssn_encrypted = $1, ssn_hash = 'term' WHERE id = 2";
    testing::run(&database, both, &[Some(&sealed(4, 1, 4).to_text())]).await;
    assert_eq!(moving.counts().await.unwrap().sealed, 1);
    moving.unprotect().await.unwrap();
    moving.drop_added(&moving.progress().await.unwrap().unwrap()).await.unwrap();
    moving.forget().await.unwrap();
}

async fn a_column_that_refused_nulls_refuses_them_again_on_the_way_back(database: Database, _: &str) {
    let (drop, make_it) =
        ("DROP TABLE IF EXISTS ds_required", "CREATE TABLE ds_required (id INTEGER PRIMARY KEY, ssn TEXT NOT NULL)");
    make(&database, drop, make_it).await;
    testing::run(&database, "INSERT INTO ds_required VALUES (1, 'one'), (2, 'two')", &[]).await;
    let mut moving = migration(&database, "ds_required").await;
    moving.prepare().await.unwrap();
    assert!(moving.plain_is_required());
    if moving.allow_nulls().await.is_err() {
        // SQLite cannot change it, so there is nothing to put back.
        assert_eq!(moving.refuse_nulls_again().await.unwrap(), None);
        assert!(migration(&database, "ds_required").await.plain_is_required());
        return;
    }
    // An older Chancery noted nothing, and its table has no place for it.
    let required = async || migration(&database, "ds_required").await.plain_is_required();
    assert!(!required().await);
    testing::run(&database, "UPDATE ds_required SET ssn = NULL WHERE id = 1", &[]).await;
    assert_eq!(moving.refuse_nulls_again().await.unwrap(), Some(1), "not while a row has none");
    assert!(!required().await);
    testing::run(&database, "UPDATE ds_required SET ssn = 'one' WHERE id = 1", &[]).await;
    assert_eq!(moving.refuse_nulls_again().await.unwrap(), Some(0));
    assert!(required().await);
    moving.forget().await.unwrap();

    // Where it never refused them, it goes on allowing them: also where nothing was ever noted.
    testing::run(&database, "ALTER TABLE chancery_migrations DROP COLUMN plain_required", &[]).await;
    make(&database, "DROP TABLE IF EXISTS ds_free", "CREATE TABLE ds_free (id INTEGER PRIMARY KEY, ssn TEXT)").await;
    let mut free = migration(&database, "ds_free").await;
    free.prepare().await.unwrap();
    assert_eq!(free.refuse_nulls_again().await.unwrap(), None);
    free.forget().await.unwrap();
}

async fn after_the_drop_only_what_is_not_sealed_is_looked_for(database: Database, _: &str) {
    make(&database, "DROP TABLE IF EXISTS ds_gone", "CREATE TABLE ds_gone (id INTEGER PRIMARY KEY, ssn TEXT)").await;
    testing::run(&database, "INSERT INTO ds_gone VALUES (1, 'one'), (2, 'two')", &[]).await;
    let moving = two_sealed(&database, "ds_gone").await;
    assert!(!moving.is_dropped());
    assert_eq!(moving.drop_plain().await.unwrap(), 0);
    moving.note("finished").await.unwrap();
    let after = migration(&database, "ds_gone").await;
    assert!(after.is_dropped());
    let counts = after.counts().await.unwrap();
    assert_eq!(
        (counts.rows, counts.plain, counts.sealed, counts.pending, counts.unsealed, counts.nulls),
        (2, 0, 2, 0, 0, 0)
    );
    testing::run(&database, "UPDATE ds_gone SET ssn_encrypted = 'plain' WHERE id = 2", &[]).await;
    assert_eq!(after.counts().await.unwrap().unsealed, 1);
    assert_eq!(after.plain(None, 9).await.unwrap().len(), 0);
    assert!(after.pairs(None, 9).await.unwrap().iter().all(|pair| pair.plain.is_none()));
    after.forget().await.unwrap();
    // Without the note of a migration, the column is simply not there.
    let name = |text: &str| text.parse().unwrap();
    let (table, row) = ("ds_gone".parse().unwrap(), name("id"));
    let opened = Migration::open(database, &table, &row, name("ssn"), name("ssn_encrypted"), None).await;
    assert!(matches!(opened.err(), Some(TableError::Shape(..))));
}

/// A table with rows 1 and 2, both sealed.
async fn two_sealed(database: &Database, table: &str) -> Migration {
    let mut moving = migration(database, table).await;
    moving.prepare().await.unwrap();
    let page = moving.plain(None, 9).await.unwrap();
    moving.seal(&[seal(&page[0].at, "one", 1), seal(&page[1].at, "two", 2)], None).await.unwrap();
    assert_eq!(moving.counts().await.unwrap().pending, 0);
    moving
}

async fn a_change_while_plaintext_is_emptied_is_not_lost(database: Database, _: &str) {
    make(&database, "DROP TABLE IF EXISTS ds_race", "CREATE TABLE ds_race (id INTEGER PRIMARY KEY, ssn TEXT)").await;
    testing::run(&database, "INSERT INTO ds_race VALUES (1, 'one'), (2, 'two')", &[]).await;
    let moving = two_sealed(&database, "ds_race").await;
    let pairs = |pairs: Vec<chancery_datasets::Pair>| -> Vec<(String, Phi<String>, Stored)> {
        pairs.into_iter().filter_map(|pair| Some((pair.at, pair.plain?, pair.sealed?))).collect()
    };
    let first = pairs(moving.pairs(None, 1).await.unwrap());
    assert_eq!(moving.clear(&first).await.unwrap(), 1);
    let counts = moving.counts().await.unwrap();
    assert_eq!((counts.sealed, counts.plain), (2, 1), "emptying leaves the sealed value");
    // An old program writes between two pages: its row is pending, and no page empties it.
    testing::run(&database, "UPDATE ds_race SET ssn = 'new' WHERE id = 2", &[]).await;
    assert_eq!(moving.clear(&pairs(moving.pairs(None, 9).await.unwrap())).await.unwrap(), 0);
    let plain = testing::rows(&database, "SELECT ssn FROM ds_race ORDER BY id").await;
    assert_eq!(plain, [[None], [Some("new".to_owned())]]);
    assert_eq!(moving.counts().await.unwrap().pending, 1);
    // The same on the way back.
    let pair = moving.pairs(None, 1).await.unwrap().remove(0);
    let back = Restore { at: pair.at, old: None, new: Phi::new("one".to_owned()), sealed: pair.sealed.unwrap() };
    assert_eq!(moving.restore(&[back]).await.unwrap(), 1);
    assert_eq!(moving.counts().await.unwrap().sealed, 1, "bringing back leaves the sealed value");
    testing::run(&database, "UPDATE ds_race SET ssn = 'newer' WHERE id = 1", &[]).await;
    assert_eq!(moving.counts().await.unwrap().sealed, 0);
}

async fn a_column_with_pending_rows_is_not_dropped(database: Database, _: &str) {
    make(&database, "DROP TABLE IF EXISTS ds_drop", "CREATE TABLE ds_drop (id INTEGER PRIMARY KEY, ssn TEXT)").await;
    testing::run(&database, "INSERT INTO ds_drop VALUES (1, 'one'), (2, 'two')", &[]).await;
    let moving = two_sealed(&database, "ds_drop").await;
    testing::run(&database, "UPDATE ds_drop SET ssn = 'new' WHERE id = 2", &[]).await;
    assert_eq!(moving.drop_plain().await.unwrap(), 1);
    let plain = testing::rows(&database, "SELECT ssn FROM ds_drop ORDER BY id").await;
    assert_eq!(plain[1], [Some("new".to_owned())]);
    // The way back takes nothing either whose plaintext is not there.
    let begun = moving.progress().await.unwrap().unwrap();
    let both = "UPDATE ds_drop SET ssn = NULL, ssn_encrypted = $1 WHERE id = 2";
    testing::run(&database, both, &[Some(&sealed(1, 1, 3).to_text())]).await;
    assert_eq!(moving.drop_added(&begun).await.unwrap(), 1);
    assert_eq!(moving.counts().await.unwrap().sealed, 2);
    assert_eq!(moving.drop_plain().await.unwrap(), 0);
    assert!(testing::rows(&database, "SELECT ssn_encrypted FROM ds_drop").await.len() == 2);
}

const SHORT: Patience = Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(1) };

#[tokio::test]
async fn a_database_that_takes_connections_and_says_nothing_is_left() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://app@{}/app", silent.local_addr().unwrap());
    let opened = tokio::time::timeout(Duration::from_secs(5), Database::open_within(&url, SHORT)).await;
    assert!(opened.expect("it is left by itself").is_err());
}

#[tokio::test]
async fn a_statement_that_is_never_answered_is_left_and_the_next_one_goes() {
    let Some(own) = chancery_postgres::testing::database().await else { return };
    let database = Database::open_within(own.url(), SHORT).await.unwrap();
    // A view of the application's may do this, whatever limits we ask its server for.
    let hangs =
        "CREATE VIEW ds_hangs AS SELECT n AS id, pg_sleep(10)::text AS ssn_encrypted FROM generate_series(1, 3) AS n";
    testing::run(&database, hangs, &[]).await;
    let began = Instant::now();
    assert!(testing::answers(&database, "SELECT count(ssn_encrypted) FROM ds_hangs").await.is_err());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(testing::answers(&database, "SELECT 1").await.is_ok());
}

/// sqlx forgets a transaction whose beginning nobody waited for; the connection would carry it to its next user.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_while_a_transaction_begins_leaves_none_behind() {
    let Some(own) = chancery_postgres::testing::database().await else { return };
    let database = Database::open(own.url()).await.unwrap();
    let watch = Database::open(own.url()).await.unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'";
    let mut left = 0;
    // A database that answers within the poll that asks it leaves no step to be left at: then once more.
    for polls in (1..=8).cycle().take(8 * 20) {
        if polls == 1 && left >= 8 {
            break;
        }
        let mut beginning = Box::pin(testing::begin(&database));
        for _ in 0..polls {
            let polled = std::future::poll_fn(|context| Poll::Ready(beginning.as_mut().poll(context))).await;
            if polled.is_ready() {
                break;
            }
            left += 1;
            // Whatever was asked is answered by now: the next poll goes one question further.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(beginning);
        let began = Instant::now();
        while testing::rows(&watch, open).await[0][0].as_deref() != Some("0") {
            assert!(began.elapsed() < Duration::from_secs(5), "left open after {polls} polls");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(left >= 8, "it begins in several steps: {left}");
}
