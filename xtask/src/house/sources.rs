//! Words that our sources must not contain.

use std::fs;
use std::path::{Path, PathBuf};

use super::scan::{Kind, Piece, scan};

/// Words that begin or carry a statement.
const SQL: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "WHERE"];

/// What builds strings.
const BUILDERS: &[&str] = &["format!(", "format_args!(", "write!(", "writeln!(", "push_str("];

/// Where unchecked SQL may stand: nothing there comes from outside.
fn is_migrator(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|file| file.starts_with("migrat"))
}

/// A test, which makes its databases itself. The module `testing` is behind a feature that `dependencies.rs` keeps out of what we ship.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/src/testing.rs") || path.starts_with("crates/testkit/")
}

/// The one place where a statement is put together from parts: literals, and names that one type has parsed (ADR 0012).
const BUILDER: &str = "crates/datasets/src/statement.rs";

/// The one place that takes tables of months out of the log: their names are made from numbers, and names are no parameters (ADR 0028).
const ROOMS: &str = "crates/postgres/src/rooms.rs";

/// Where tests change a store of their own past us, one of them each column of each row: names are no parameters.
const TAMPERERS: [&str; 2] = ["crates/chancery/tests/it/scrub.rs", "crates/api/tests/it/walls"];

/// The test of those tables: it asks each by its name, and brings a store of before up to date file by file.
const MONTHS: &str = "crates/postgres/tests/it/months.rs";

fn check(path: &str, source: &str) -> Vec<String> {
    let pieces = scan(source);
    let mut faults = Vec::new();
    let mut report = |line: usize, what: &str| faults.push(format!("{path}:{line}: {what}"));
    for piece in pieces.iter().filter(|piece| piece.kind == Kind::Code) {
        let mut find = |needle: &str, what: &str| {
            for (at, _) in piece.text.match_indices(needle) {
                let starts_word = !piece.text[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
                if starts_word {
                    report(piece.line + piece.text[..at].matches('\n').count(), what);
                }
            }
        };
        if !is_migrator(path) {
            if path != MONTHS {
                find("raw_sql", "unprepared SQL outside the migrator");
            }
            if !is_test(path) && ![BUILDER, ROOMS].contains(&path) {
                find("AssertSqlSafe", "SQL that is not a literal");
            }
        }
        for unfinished in ["todo!(", "unimplemented!(", "dbg!("] {
            find(unfinished, "unfinished");
        }
        if ["crates/chancery/", "crates/api/"].iter().any(|folder| path.starts_with(folder)) {
            find("Unaudited::accept", "the server opens nothing unaudited");
        }
    }
    for (index, piece) in pieces.iter().enumerate() {
        if !TAMPERERS.iter().any(|tests| path.starts_with(tests))
            && path != MONTHS
            && piece.kind == Kind::Text
            && is_sql(piece.text)
            && is_built(&pieces[..index], &pieces[index + 1..])
        {
            report(piece.line, "SQL built from strings: bind parameters instead");
        }
    }
    faults
}

fn is_sql(text: &str) -> bool {
    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_').any(|word| SQL.contains(&word))
}

/// Whether the literal between these is an argument of a string builder, or of `+`.
fn is_built(before: &[Piece<'_>], after: &[Piece<'_>]) -> bool {
    let code = |pieces: &[Piece<'_>]| -> String {
        pieces.iter().filter(|piece| piece.kind == Kind::Code).map(|piece| piece.text).collect()
    };
    let before = code(before);
    let statement = before.rsplit([';', '{', '}']).next().unwrap_or_default();
    let after = code(&after[..after.len().min(1)]);
    BUILDERS.iter().any(|builder| open_call(statement, builder))
        || after.trim_start().trim_start_matches(".to_owned()").trim_start().starts_with('+')
        || statement.trim_end().ends_with('+')
}

/// Whether the statement so far contains a call of `builder` that is not closed yet.
fn open_call(statement: &str, builder: &str) -> bool {
    statement.match_indices(builder).any(|(at, _)| {
        let mut depth = 1;
        for character in statement[at + builder.len()..].chars() {
            match character {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return false;
            }
        }
        true
    })
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_source_contains_what_it_must_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for folder in ["crates", "examples", "fuzz", "xtask", "bench"] {
        if root.join(folder).is_dir() {
            sources(&root.join(folder), &mut files);
        }
    }
    assert!(files.len() > 10, "found only {files:?}");
    let mut faults = Vec::new();
    for file in files {
        let path = file.strip_prefix(root).unwrap().to_str().unwrap();
        // The bad samples below are strings, so this file passes too.
        faults.extend(check(path, &fs::read_to_string(&file).unwrap()));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_crate_whose_examples_are_not_run_has_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let is_fence =
        |line: &str| ["///", "//!"].iter().any(|mark| line.trim_start().starts_with(mark)) && line.contains("```");
    let mut without = 0;
    for entry in fs::read_dir(root.join("crates")).unwrap().map(Result::unwrap) {
        let folder = entry.path();
        if !fs::read_to_string(folder.join("Cargo.toml")).unwrap().contains("\ndoctest = false") {
            continue;
        }
        without += 1;
        let mut files = Vec::new();
        sources(&folder.join("src"), &mut files);
        for file in files {
            let fence = fs::read_to_string(&file).unwrap().lines().position(is_fence);
            assert_eq!(fence, None, "{}: nobody runs this example: take out doctest = false", file.display());
        }
    }
    assert!(without > 5, "{without}");
}

#[test]
fn the_checker_lets_good_samples_pass() {
    let good = [
        "sqlx::query(\"SELECT 1 WHERE id = $1\").bind(format!(\"{id}\"))",
        "const ROWS: &str = \"UPDATE keys SET state = $1\";",
        "// format!(\"SELECT {x}\") and todo!()",
        "/// dbg!(x) is refused\nfn f() {}",
        "assert_eq!(format!(\"{error}\"), \"could not UPDATE\")",
        "fn my_todo!() {} let deselect = format!(\"selected {n} rows\");",
        "let x = \"AssertSqlSafe raw_sql dbg!(\";",
    ];
    for sample in good {
        assert_eq!(check("crates/sqlite/src/keys.rs", sample), Vec::<String>::new(), "{sample}");
    }
    assert_eq!(check("crates/sqlite/src/migrate.rs", "sqlx::raw_sql(AssertSqlSafe(text))").len(), 0);
    assert_eq!(check(BUILDER, "AssertSqlSafe(text).into_sql_str()").len(), 0);
    assert_eq!(check("crates/sqlite/tests/it.rs", "query(AssertSqlSafe(name))").len(), 0);
    assert_eq!(check("crates/postgres/src/testing.rs", "query(AssertSqlSafe(name))").len(), 0);
    assert_eq!(check("crates/crypto/src/lib.rs", "Unaudited::accept(\"library\")").len(), 0);
}

#[test]
fn the_checker_finds_every_bad_sample() {
    let bad = [
        ("crates/sql/src/a.rs", "let q = format!(\"SELECT * FROM {table}\");"),
        ("crates/sql/src/a.rs", "let q = format!(\n    r#\"DELETE FROM x WHERE id = '{id}'\"#\n);"),
        ("crates/sql/src/a.rs", "write!(query, \"INSERT INTO {table}\")?;"),
        ("crates/sql/src/a.rs", "query.push_str(\" WHERE tenant = \");"),
        ("crates/sql/src/a.rs", "let q = \"UPDATE \".to_owned() + table;"),
        ("crates/sql/src/a.rs", "let q = \"UPDATE \" + table;"),
        ("crates/sql/src/a.rs", "let q = head + \" WHERE x\";"),
        ("crates/sql/src/a.rs", "query(AssertSqlSafe(text))"),
        ("crates/datasets/src/table.rs", "query(AssertSqlSafe(text))"),
        ("crates/datasets/src/statement.rs", "let q = format!(\"SELECT * FROM {table}\");"),
        ("crates/sql/src/a.rs", "sqlx::raw_sql(text)"),
        ("crates/sql/tests/a.rs", "sqlx::raw_sql(text)"),
        ("crates/sql/src/a.rs", "fn later() { todo!() }"),
        ("crates/sql/src/a.rs", "unimplemented!(\"x\")"),
        ("xtask/src/a.rs", "dbg!(x)"),
        ("crates/api/src/open.rs", "let receipt = Unaudited::accept(\"no\");"),
        ("crates/chancery/src/main.rs", "Unaudited::accept(reason)"),
    ];
    for (path, sample) in bad {
        assert_eq!(check(path, sample).len(), 1, "{path}: {sample}");
    }
    assert!(check("a.rs", "\n\nlet a = 1;\ndbg!(a);")[0].starts_with("a.rs:4:"));
}
