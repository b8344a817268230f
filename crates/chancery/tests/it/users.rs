//! `chancery user` against a running server.

use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Output};

use serde_json::{Value, json};

use crate::support::{Served, admin_key, chancery, finish, stderr, stdout, tenant};

const PASSWORD: &str = "Correct-Horse-7-Battery";

async fn clinic(folder: &Path) -> (Served, String) {
    let server = Served::dev(folder);
    let (_, key) = tenant(&server, &admin_key(folder), "clinic", &["tenant_admin"]).await;
    (server, key)
}

fn run(server: &Served, key: &str, arguments: &[&str]) -> Output {
    finish(chancery(arguments).env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", key))
}

#[track_caller]
fn good(output: Output) -> String {
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    stdout(&output).trim_end().to_owned()
}

async fn log_in(server: &Served, password: &str) -> u16 {
    let body = json!({"tenant": "clinic", "username": "ann", "password": password});
    server.send("POST", "/v1/auth/login", "", Some(body)).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_made_invited_locked_and_deleted_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let (server, key) = clinic(folder.path()).await;
    let ok = |arguments: &[&str]| good(run(&server, &key, arguments));
    let made = ok(&["user", "create", "ann", "--email", "ann@x.test", "--role", "staff", "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let set = json!({"token": made["token"], "new_password": PASSWORD});
    assert_eq!(server.send("POST", "/v1/auth/password/reset", "", Some(set)).await.0, 204);
    assert_eq!(log_in(&server, PASSWORD).await, 200);

    ok(&["user", "update", "ann@x.test", "--first-name", "Ann", "--email", "a.b@x.test"]);
    let shown = ok(&["user", "get", "a.b@x.test"]);
    assert!(shown.contains("Ann") && shown.contains("staff") && shown.contains("active"), "{shown}");
    let id = made["id"].as_str().unwrap();
    let sessions: Value = serde_json::from_str(&ok(&["user", "sessions", id, "--json"])).unwrap();
    let session = sessions[0]["id"].as_str().unwrap();
    assert!(ok(&["user", "sessions", id]).contains(session) && session.starts_with("ses_"));
    ok(&["user", "end-session", id, session]);
    assert!(!ok(&["user", "sessions", id]).contains(session));
    let again = run(&server, &key, &["user", "end-session", id, session]);
    assert!(!again.status.success() && stderr(&again).contains("not_found"), "{}", stderr(&again));
    assert!(ok(&["user", "lock", id]).contains("locked"));
    assert_eq!(log_in(&server, PASSWORD).await, 401);
    assert!(ok(&["user", "unlock", id]).contains("active"));
    assert!(ok(&["user", "force-password-reset", id]).contains("cho_dev_"));
    assert_eq!(log_in(&server, PASSWORD).await, 401);
    assert!(ok(&["user", "reset-mfa", id]).contains("false"));
    ok(&["user", "delete", id]);
    assert!(!ok(&["user", "list"]).contains("ann"));
    let gone = run(&server, &key, &["user", "get", id]);
    assert!(!gone.status.success() && stderr(&gone).contains("not_found"), "{}", stderr(&gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_imported_and_bad_lines_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (server, key) = clinic(folder.path()).await;
    let mut lines: Vec<String> = (0..201)
        .map(|n| {
            let email = format!("u{n}@x.test");
            json!({"username": format!("u{n}"), "email": email, "roles": ["staff"]}).to_string()
        })
        .collect();
    let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    lines
        .push(json!({"username": "ann", "email": "ann@x.test", "roles": ["staff"], "password_hash": hash}).to_string());
    lines.push(json!({"username": "bob", "email": "nobody", "roles": ["staff"]}).to_string());
    let file = folder.path().join("users.ndjson");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let imported = run(&server, &key, &["user", "import", file.to_str().unwrap()]);
    let told = stdout(&imported);
    assert!(!imported.status.success());
    assert!(
        told.contains("line 203: request.invalid\n  /email") && told.contains("202 users made, 1 lines refused"),
        "{told}"
    );
    assert_eq!(log_in(&server, "U*U").await, 200);
    let again = run(&server, &key, &["user", "import", file.to_str().unwrap()]);
    assert!(stdout(&again).contains("line 201: taken"), "{}", stdout(&again));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_makes_the_first_administrator_of_a_tenant_with_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let admin = admin_key(folder.path());
    let made = good(run(&server, &admin, &["tenant", "create", "clinic", "--name", "Clinic", "--json"]));
    let made: Value = serde_json::from_str(&made).unwrap();
    let tenant = made["id"].as_str().unwrap();
    let create = ["user", "create", "ann", "--email", "ann@x.test", "--role", "tenant_admin", "--tenant", tenant];
    let without = run(&server, &admin, &create);
    assert!(!without.status.success() && stderr(&without).contains("--password-file"), "{}", stderr(&without));
    let password = folder.path().join("password");
    std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o644)).unwrap();
    let with = [&create[..], &["--password-file", password.to_str().unwrap()]].concat();
    let open = run(&server, &admin, &with);
    assert!(!open.status.success() && stderr(&open).contains("chmod 600"), "{}", stderr(&open));
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let shown = good(run(&server, &admin, &with));
    assert!(shown.contains("tenant_admin") && !shown.contains("token") && !shown.contains(PASSWORD), "{shown}");
    assert_eq!(log_in(&server, PASSWORD).await, 200);
    let elsewhere = run(
        &server,
        &admin,
        &["user", "create", "bob", "--email", "b@x.test", "--role", "staff", "--no-invite", "--tenant", "../x"],
    );
    assert!(stderr(&elsewhere).contains("no id of a tenant"), "{}", stderr(&elsewhere));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_credentials_are_refused_unless_one_is_typed() {
    let folder = tempfile::tempdir().unwrap();
    let (server, key) = clinic(folder.path()).await;
    let file = folder.path().join("key");
    std::fs::write(&file, &key).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let set = |arguments: &[&str], variables: &[(&str, &str)]| {
        finish(chancery(arguments).env("CHANCERY_URL", server.base()).envs(variables.iter().copied()))
    };
    let named = ("CHANCERY_API_KEY_FILE", file.to_str().unwrap());
    good(set(&["user", "list"], &[named]));
    let both = set(&["user", "list"], &[named, ("CHANCERY_API_KEY", "another")]);
    assert!(!both.status.success() && stderr(&both).contains("are both set"), "{}", stderr(&both));
    let typed = ["user", "list", "--api-key-file", file.to_str().unwrap()];
    good(set(&typed, &[("CHANCERY_API_KEY", "another"), ("CHANCERY_API_KEY_FILE", "/nowhere")]));
}
