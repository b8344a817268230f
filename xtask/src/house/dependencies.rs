//! Which crate may depend on which: `chancery → api → middleware → domain → crypto` and `chancery → sqlite, postgres → sql → domain`.

use std::collections::BTreeSet;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::process;

/// What each of our crates may know of us. Dev-dependencies are free, but for what the other rules say.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("api", &["middleware", "domain", "crypto"]),
    (
        "chancery",
        &[
            "api",
            "gateway",
            "middleware",
            "kms",
            "sqlite",
            "postgres",
            "sql",
            "datasets",
            "webauthn",
            "redis",
            "domain",
            "crypto",
        ],
    ),
    ("crypto", &[]),
    // Applications' tables (ADR 0012): a neighbour of the stores that shares nothing with them.
    ("datasets", &["domain", "crypto"]),
    ("domain", &["crypto"]),
    ("fuzz", &["sealed", "domain", "crypto"]),
    ("gateway", &["middleware", "domain"]),
    ("kms", &["domain", "crypto"]),
    ("middleware", &["domain", "crypto"]),
    ("clinic-sqlx", &["sealed"]), // what an application knows of us
    ("postgres", &["sql", "domain", "crypto"]),
    ("redis", &["domain", "crypto"]), // what nodes share; a neighbour of the stores (ADR 0029)
    ("sealed", &["kms", "domain", "crypto"]), // the rules and keys of the server, without its stores (ADR 0013)
    ("sql", &["domain", "crypto"]),
    ("sqlite", &["sql", "domain", "crypto"]),
    ("testkit", &["domain", "crypto"]),
    ("webauthn", &["domain", "crypto"]), // what authenticators say, and the library that knows it (ADR 0020)
    ("xtask", &[]),
];

/// Who may depend on these, and who may for tests alone.
const WRAPPED: &[(&str, &[&str], &[&str])] = &[
    // `chancery` has the demo's own table; `datasets` reads and re-seals applications' tables; `sealed` gives sqlx its column types; the
    // example is an application; `testkit` is whoever runs SQL in the store past us.
    ("sqlx", &["sqlite", "postgres", "chancery", "datasets", "sealed", "clinic-sqlx", "testkit"], &[]),
    ("webauthn-rs-core", &["webauthn"], &[]),
    // `testkit` is for tests as a whole: it verifies what providers signed.
    ("aws-lc-rs", &["crypto", "testkit"], &["chancery", "api", "kms"]),
];

/// One cryptographic library in C, and no second TLS stack.
const BANNED: &[&str] = &["ring", "openssl", "openssl-sys", "native-tls"];

/// One direct dependency of one of our crates. Ours go by their folder's name.
#[derive(Debug, Clone)]
struct Edge {
    from: String,
    to: String,
    /// To another crate of ours.
    inside: bool,
    dev: bool,
    /// With the feature `testing`, which is for tests alone.
    testing: bool,
}

fn check_edges(edges: &[Edge]) -> Vec<String> {
    let mut faults = Vec::new();
    for Edge { from, to, inside, dev, testing } in edges {
        let Some((_, may_know)) = MAY_KNOW.iter().find(|(name, _)| name == from) else {
            faults.push(format!("`{from}` is not in the table of xtask/src/house/dependencies.rs"));
            continue;
        };
        if *inside && !dev && !may_know.contains(&to.as_str()) {
            faults.push(format!("`{from}` must not depend on `{to}`"));
        }
        if *testing && !dev {
            faults.push(format!("`{from}` must not switch on the feature `testing` of `{to}`"));
        }
        for (wrapped, wrappers, in_tests) in WRAPPED {
            let may = wrappers.contains(&from.as_str()) || (*dev && in_tests.contains(&from.as_str()));
            if to == wrapped && !may {
                faults.push(format!("`{from}` must not depend on `{to}` directly"));
            }
        }
    }
    faults
}

fn check_graph<'a>(packages: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let banned = packages.into_iter().filter(|name| BANNED.contains(name));
    banned.map(|name| format!("`{name}` is in the graph; see `cargo tree -i {name}`")).collect()
}

fn folder_name(package: &str) -> String {
    package.strip_prefix("chancery-").unwrap_or(package).to_owned()
}

fn edges(metadata: &Metadata) -> Vec<Edge> {
    let ours: BTreeSet<_> = metadata.workspace_packages().into_iter().map(|package| package.name.to_string()).collect();
    let mut edges = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let inside = ours.contains(&dependency.name);
            let to = if inside { folder_name(&dependency.name) } else { dependency.name.clone() };
            let dev = dependency.kind == DependencyKind::Development;
            let testing = inside && dependency.features.iter().any(|feature| feature == "testing");
            edges.push(Edge { from: folder_name(&package.name), to, inside, dev, testing });
        }
    }
    edges
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .unwrap()
}

#[test]
fn dependencies_point_down() {
    let faults = check_edges(&edges(&metadata()));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn there_is_one_cryptographic_library() {
    let packages = resolved_packages();
    let faults = check_graph(packages.iter().map(String::as_str));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// `cargo metadata` also lists optional dependencies that nobody switched on; `cargo tree` does not.
fn resolved_packages() -> BTreeSet<String> {
    let tree =
        ["tree", "--workspace", "--locked", "--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}"];
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let tree = process::output(cargo.args(tree).current_dir(env!("CARGO_MANIFEST_DIR"))).unwrap();
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

mod the_checker {
    use super::*;

    fn ours(from: &str, to: &str) -> Edge {
        Edge { from: from.to_owned(), to: to.to_owned(), inside: true, dev: false, testing: false }
    }

    fn theirs(from: &str, to: &str) -> Edge {
        Edge { inside: false, ..ours(from, to) }
    }

    fn in_tests(edge: Edge) -> Edge {
        Edge { dev: true, ..edge }
    }

    #[test]
    fn lets_good_edges_pass() {
        let good = [
            ours("chancery", "sqlite"),
            ours("api", "domain"),
            ours("sql", "crypto"),
            in_tests(ours("api", "sqlite")),
            in_tests(Edge { testing: true, ..ours("api", "postgres") }),
            in_tests(ours("domain", "testkit")),
            theirs("sqlite", "sqlx"),
            theirs("crypto", "aws-lc-rs"),
            in_tests(theirs("api", "aws-lc-rs")),
            theirs("testkit", "sqlx"),
            theirs("api", "axum"),
        ];
        assert_eq!(check_edges(&good), Vec::<String>::new());
    }

    #[test]
    fn finds_every_bad_edge() {
        let bad = [
            ours("domain", "sqlite"),
            ours("api", "postgres"),
            ours("crypto", "domain"),
            ours("middleware", "api"),
            ours("chancery", "testkit"),
            ours("xtask", "crypto"),
            theirs("domain", "sqlx"),
            theirs("api", "sqlx"),
            in_tests(theirs("api", "sqlx")),
            theirs("api", "aws-lc-rs"),
            in_tests(theirs("domain", "aws-lc-rs")),
            theirs("stranger", "serde"),
            Edge { testing: true, ..ours("chancery", "postgres") },
        ];
        for edge in bad {
            assert_eq!(check_edges(std::slice::from_ref(&edge)).len(), 1, "{edge:?}");
        }
    }

    #[test]
    fn finds_banned_crates() {
        assert_eq!(check_graph(["serde", "ring", "openssl-sys", "native-tls"]).len(), 3);
        assert_eq!(check_graph(["serde", "string", "aws-lc-rs"]).len(), 0);
    }

    #[test]
    fn sees_our_real_crates() {
        let edges = edges(&metadata());
        assert!(edges.iter().any(|edge| edge.from == "chancery" && edge.to == "api" && edge.inside && !edge.dev));
        assert!(edges.iter().any(|edge| edge.from == "sqlite" && edge.to == "sqlx" && !edge.inside));
        assert!(resolved_packages().contains("aws-lc-sys"));
    }
}
