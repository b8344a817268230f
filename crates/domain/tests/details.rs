//! Whoever adds a detail to an event says what may be known of it: the sources are read for the names of details.
#![expect(
    clippy::unwrap_used,
    reason = "tests fail loudly; the exemption of clippy.toml reaches `#[test]` functions only"
)]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use chancery_domain::audit::leaf::class;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The name, if this goes on behind `.with(` of an event. A directive of a content security policy has a hyphen, and a detail none.
fn named(rest: &str) -> Option<&str> {
    let (name, after) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
    (after.trim_start().starts_with(',') && !name.contains('-')).then_some(name)
}

/// What stands in `.with("name", …)`, before the tests of a file.
fn names(source: &str) -> Vec<&str> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    code.split(".with(").skip(1).filter_map(named).collect()
}

#[test]
fn every_detail_of_an_event_has_a_class() {
    let mut found = Vec::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for entry in std::fs::read_dir(crates).unwrap() {
        let folder = entry.unwrap().path().join("src");
        if folder.is_dir() {
            sources(&folder, &mut found);
        }
    }
    let (mut known, mut unknown) = (0, BTreeSet::new());
    for path in &found {
        let source = std::fs::read_to_string(path).unwrap();
        for name in names(&source) {
            if class("user.read", &format!("detail.{name}")).is_some() {
                known += 1;
            } else {
                unknown.insert(name.to_owned());
            }
        }
    }
    assert!(known > 300, "the sources were not read: {known}");
    assert!(unknown.is_empty(), "put them into a list of crates/domain/src/audit/details.rs: {unknown:?}");
}

#[test]
fn names_are_seen_on_a_line_of_their_own_too() {
    let source = r#"event.with("one", Detail::Count(1)).with(
            "two", x).with(&three).with("four") #[cfg(test)] .with("five", 5)"#;
    assert_eq!(names(source), ["one", "two"]);
}
