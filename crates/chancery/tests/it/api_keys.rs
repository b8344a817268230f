//! `chancery api-key`, `chancery role` and `chancery import api-keys` against a running server.

use std::process::Output;

use serde_json::Value;

use crate::support::{Served, admin_key, chancery, finish, mode, stderr, stdout, tenant};

/// Runs `chancery` with this API key.
fn run(server: &Served, key: &str, arguments: &[&str]) -> Output {
    let mut command = chancery(arguments);
    finish(command.env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", key))
}

#[track_caller]
fn good(output: Output) -> String {
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    stdout(&output).trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_out_gives_every_client_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let server = Served::dev(folder.path());
    let (_, admin) = tenant(&server, &admin_key(folder.path()), "clinic", &["tenant_admin", "auditor"]).await;
    let ok = |arguments: &[&str]| good(run(&server, &admin, arguments));

    let clients = "description,roles,expires_in_days,allowed_cidrs,rate_limit\n\"Ward 3, night\",service,90,127.0.0.0/8,120\nLab,user,,,\n";
    std::fs::write(at("clients.csv"), clients).unwrap();
    ok(&["api-key", "issue", "--from", &at("clients.csv"), "--out", &at("keys.ndjson")]);
    assert_eq!(mode(folder.path().join("keys.ndjson")), 0o600);
    let text = std::fs::read_to_string(at("keys.ndjson")).unwrap();
    let keys: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (keys.len(), &keys[0]["description"], &keys[1]["roles"][0]),
        (2, &"Ward 3, night".into(), &"staff".into())
    );
    for key in &keys {
        let session = server.must("GET", "/v1/auth/session", key["key"].as_str().unwrap(), None).await;
        assert_eq!(session["api_key_id"], key["id"]);
    }
    // A file that is there is not overwritten, and nothing is issued then.
    let before = ok(&["api-key", "--json", "list"]).len();
    let refused =
        run(&server, &admin, &["api-key", "issue", "--from", &at("clients.csv"), "--out", &at("keys.ndjson")]);
    assert!(!refused.status.success());
    assert_eq!(ok(&["api-key", "--json", "list"]).len(), before);

    let id = keys[0]["id"].as_str().unwrap();
    ok(&["api-key", "update", id, "--description", "Ward 4"]);
    let shown: Value = serde_json::from_str(&ok(&["api-key", "get", id, "--json"])).unwrap();
    assert_eq!((&shown["description"], &shown["rate_limit"]), (&"Ward 4".into(), &120.into()));
    ok(&["api-key", "update", id, "--rate-limit", "0"]);
    let shown: Value = serde_json::from_str(&ok(&["api-key", "get", id, "--json"])).unwrap();
    assert!(shown["rate_limit"].is_null(), "{shown}");
    let rotated: Value =
        serde_json::from_str(&ok(&["api-key", "rotate", id, "--overlap-seconds", "0", "--json"])).unwrap();
    assert_eq!(rotated["description"], "Ward 4");
    let (status, _) = server.send("GET", "/v1/auth/session", keys[0]["key"].as_str().unwrap(), None).await;
    assert_eq!(status, 401);
    let newest = rotated["key"].as_str().unwrap();
    server.must("GET", "/v1/auth/session", newest, None).await;
    ok(&["api-key", "revoke", rotated["id"].as_str().unwrap()]);
    assert_eq!(server.send("GET", "/v1/auth/session", newest, None).await.0, 401);
    assert!(ok(&["api-key", "get", id]).contains(rotated["id"].as_str().unwrap()));
    assert!(ok(&["api-key", "list"]).contains("Lab"));
    let one = ok(&["api-key", "issue", "nightly", "--role", "service", "--cidr", "127.0.0.0/8"]);
    assert!(one.contains("chy_dev_"), "{one}");
    ok(&["api-key", "usage", id]);
    let (code, log) = server.stop();
    assert_eq!(code, 0);
    assert!(!log.contains("chy_dev_"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_another_system_are_imported_and_go_on_working() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let (_, admin) = tenant(&server, &admin_key(folder.path()), "clinic", &["tenant_admin"]).await;
    let ok = |arguments: &[&str]| good(run(&server, &admin, arguments));
    // SHA-256 of `old-key-000000000057191`.
    let sum: String =
        chancery_crypto::sha256(b"old-key-000000000057191").iter().map(|byte| format!("{byte:02x}")).collect();
    let file = folder.path().join("old.csv");
    std::fs::write(&file, format!("sha256,description,roles\n{sum},Lab,user\n")).unwrap();
    let file = file.to_str().unwrap();
    assert!(ok(&["import", "api-keys", file, "--dry-run"]).contains("would import 1"));
    assert!(ok(&["import", "api-keys", file]).contains("false"));
    assert!(ok(&["import", "api-keys", file]).contains("true"));
    let session = server.must("GET", "/v1/auth/session", "old-key-000000000057191", None).await;
    assert_eq!(session["roles"][0], "staff");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_defined_given_and_explained_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let (_, admin) = tenant(&server, &admin_key(folder.path()), "clinic", &["tenant_admin"]).await;
    let ok = |arguments: &[&str]| good(run(&server, &admin, arguments));
    assert!(ok(&["role", "permissions"]).contains("data.open.restricted"));
    ok(&[
        "role",
        "define",
        "front-desk",
        "--base",
        "tenant_admin",
        "--permission",
        "users.read",
        "--description",
        "desk",
    ]);
    let made: Value = serde_json::from_str(&ok(&["api-key", "--json", "issue", "desk", "--role", "staff"])).unwrap();
    let id = made["id"].as_str().unwrap();
    let not = run(&server, &admin, &["role", "explain", "users.read", id]);
    assert_eq!(not.status.code(), Some(3), "{}", stderr(&not));
    assert!(stdout(&not).contains("tenant_admin front-desk"), "{}", stdout(&not));
    ok(&["role", "give", "front-desk", id]);
    assert!(ok(&["role", "explain", "users.read", id]).contains("granted"));
    assert!(ok(&["role", "get", "front-desk"]).contains(id));
    assert!(ok(&["role", "list"]).contains("front-desk"));
    ok(&["role", "take", "front-desk", id]);
    ok(&["role", "delete", "front-desk"]);
    let gone = run(&server, &admin, &["role", "get", "front-desk"]);
    assert!(stderr(&gone).contains("not_found"), "{}", stderr(&gone));
}
