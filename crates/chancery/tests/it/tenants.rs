//! `chancery tenant` against a running server.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Served, admin_key, chancery, finish, stderr, stdout, tenant};

fn run(server: &Served, key: &str, arguments: &[&str]) -> Output {
    finish(chancery(arguments).env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", key))
}

#[track_caller]
fn good(output: Output) -> String {
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    stdout(&output).trim_end().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_made_changed_suspended_and_opened_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let admin = admin_key(folder.path());
    let ok = |arguments: &[&str]| good(run(&server, &admin, arguments));
    let made = ok(&["tenant", "create", "north", "--name", "North", "--email", "it@north.test", "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let id = made["id"].as_str().unwrap();
    ok(&["tenant", "update", id, "--name", "Northside", "--metadata", r#"{"tax_id": "DE 811"}"#]);
    let read: Value = serde_json::from_str(&ok(&["tenant", "get", id, "--json"])).unwrap();
    assert_eq!((&read["name"], &read["email"]), (&json!("Northside"), &json!("it@north.test")));
    assert_eq!(read["metadata"], json!({"tax_id": "DE 811"}));
    ok(&["tenant", "update", id, "--email", ""]);
    assert!(ok(&["tenant", "list"]).contains("Northside"));
    assert!(ok(&["tenant", "suspend", id]).contains("suspended"));
    assert!(ok(&["tenant", "resume", id]).contains("active"));
    let odd = run(&server, &admin, &["tenant", "get", "../keys"]);
    assert!(!odd.status.success() && stderr(&odd).contains("no id of a tenant"), "{}", stderr(&odd));

    let (_, own) = tenant(&server, &admin, "clinic", &["tenant_admin"]).await;
    let ok = |arguments: &[&str]| good(run(&server, &own, arguments));
    assert!(ok(&["tenant", "settings"]).contains("closed"));
    assert!(ok(&["tenant", "settings", "--registration", "open"]).contains("open"));
    let body =
        json!({"tenant": "clinic", "username": "zoe", "email": "zoe@x.test", "password": "Correct-Horse-7-Battery"});
    assert_eq!(server.send("POST", "/v1/auth/register", "", Some(body)).await.0, 202);
    assert!(ok(&["user", "list"]).contains("zoe@x.test"));
}
