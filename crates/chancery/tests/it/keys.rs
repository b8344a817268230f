//! `chancery key` and `chancery import keys` against a running server.

use std::{os::unix::fs::OpenOptionsExt as _, path::Path, process::Output};

use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};

use crate::support::{Served, admin_key, chancery, finish, stderr, stdout, tenant};

/// A server with an officer who is a service too.
async fn clinic(folder: &Path) -> (Served, String) {
    let server = Served::dev(folder);
    let (_, key) = tenant(&server, &admin_key(folder), "clinic", &["security_officer", "service"]).await;
    (server, key)
}

/// Runs `chancery` as the officer.
fn run(server: &Served, key: &str, arguments: &[&str]) -> Output {
    let mut command = chancery(arguments);
    finish(command.env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", key))
}

#[track_caller]
fn good(output: Output) -> String {
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    stdout(&output).trim_end().to_owned()
}

fn private(path: &Path, content: &str) -> String {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The platform has no certificates that would state them.
#[tokio::test(flavor = "multi_thread")]
async fn rotations_of_the_platforms_keys_are_listed_with_their_events() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let admin = admin_key(folder.path());
    let auditor = serde_json::json!({"description": "auditor", "roles": ["platform_auditor"]});
    let auditor = server.must("POST", "/v1/api-keys", &admin, Some(auditor)).await;
    let auditor = auditor["key"].as_str().unwrap();
    let keys = server.must("GET", "/v1/keys?managed=log", &admin, None).await;
    let log = keys["items"][0]["id"].as_str().unwrap();
    let rotate = format!("/v1/keys/{log}/rotate");
    server.must("POST", &rotate, &admin, Some(serde_json::json!({}))).await;
    let listed = good(run(&server, auditor, &["key", "rotations"]));
    let cells: Vec<&str> = listed.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!((listed.lines().count(), &cells[..3]), (2, &[log, "LOG", "1"][..]), "{listed}");
    assert!(cells[4].starts_with("evt_"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_used_and_stopped_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let (server, key) = clinic(folder.path()).await;
    let ok = |arguments: &[&str]| good(run(&server, &key, arguments));
    let message = folder.path().join("message.txt");
    std::fs::write(&message, "message").unwrap();
    let message = message.to_str().unwrap();

    let made = ok(&[
        "key",
        "create",
        "invoices",
        "--type",
        "ec_p256",
        "--purpose",
        "signing",
        "--access-policy",
        "application",
    ]);
    assert!(made.contains("active") && made.contains("key_"), "{made}");
    let odd = ["key", "create", "other", "--type", "ec_p256", "--purpose", "signing", "--provider", "hsm"];
    let odd = run(&server, &key, &odd);
    assert!(!odd.status.success() && stderr(&odd).contains("pkcs11, aws_kms"), "{}", stderr(&odd));
    let absent = ["key", "create", "other", "--type", "ec_p256", "--purpose", "signing", "--provider", "pkcs11"];
    let absent = run(&server, &key, &absent);
    assert!(!absent.status.success() && stderr(&absent).contains("this server has none"), "{}", stderr(&absent));
    let signature = ok(&["key", "sign", "invoices", message]);
    assert!(ok(&["key", "verify", "invoices", message, "--signature", &signature]).contains("true"));
    let other = folder.path().join("other.txt");
    std::fs::write(&other, "another").unwrap();
    let wrong = run(&server, &key, &["key", "verify", "invoices", other.to_str().unwrap(), "--signature", &signature]);
    assert_eq!(wrong.status.code(), Some(3), "{}", stderr(&wrong));

    ok(&[
        "key",
        "create",
        "exports",
        "--type",
        "aes_256",
        "--purpose",
        "encryption",
        "--access-policy",
        "service_account",
        "--rotate-every",
        "90",
        "--expires-in-days",
        "365",
    ]);
    let sealed = folder.path().join("sealed.txt");
    std::fs::write(&sealed, ok(&["key", "encrypt", "exports", message, "--context", "patient/42"])).unwrap();
    let sealed = sealed.to_str().unwrap();
    assert_eq!(ok(&["key", "decrypt", "exports", sealed, "--context", "patient/42"]), "message");
    let moved = run(&server, &key, &["key", "decrypt", "exports", sealed, "--context", "patient/43"]);
    assert!(!moved.status.success() && stderr(&moved).contains("sealed.wrong_context"), "{}", stderr(&moved));

    assert!(ok(&["key", "public", "invoices"]).starts_with("-----BEGIN PUBLIC KEY-----"));
    assert!(ok(&["key", "rotate", "invoices"]).contains("inactive"));
    let rotations = ok(&["key", "rotations"]);
    let cells: Vec<&str> = rotations.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert!(cells[1..4] == ["EC_P256", "NONE", "1"] && cells[5].starts_with("crt_"), "{rotations}");
    ok(&["key", "suspend", "invoices"]);
    let stopped = run(&server, &key, &["key", "sign", "invoices", message]);
    assert!(stderr(&stopped).contains("key.retired"), "{}", stderr(&stopped));
    ok(&["key", "resume", "invoices"]);
    ok(&["key", "update", "invoices", "--access-policy", "admin_only", "--rotate-every", "30"]);
    ok(&["key", "revoke", "invoices", "--key-version", "1", "--reason", "key_compromise"]);

    let list: Value = serde_json::from_str(&ok(&["key", "list", "--json"])).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2);
    assert!(ok(&["key", "list", "--all"]).contains("managed/certificate"));
    let usage = ok(&["key", "usage", "invoices"]);
    for operation in ["generate", "sign", "verify", "rotate", "suspend", "resume", "revoke"] {
        assert!(usage.contains(operation), "{usage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (server, key) = clinic(folder.path()).await;
    let said = |output: Output| {
        assert!(!output.status.success());
        stderr(&output)
    };
    let text = said(run(
        &server,
        &key,
        &["key", "create", "x", "--type", "ed25519", "--purpose", "encryption", "--rotate-every", "7"],
    ));
    assert!(text.contains("/purpose") && text.contains("30 to 365"), "{text}");
    let text = said(run(&server, &key, &["key", "get", "nothing"]));
    assert!(text.contains("chancery key list"), "{text}");
    let text = said(run(&server, "chy_dev_garbage", &["key", "list"]));
    assert!(text.contains("CHANCERY_API_KEY"), "{text}");
    let text = said(finish(&mut chancery(&["key", "list"])));
    assert!(text.contains("--api-key-file"), "{text}");
    let text = said(run(&server, &key, &["key", "list", "--url", "http://192.0.2.1"]));
    assert!(text.contains("https"), "{text}");
    let open = folder.path().join("open-key");
    std::fs::write(&open, &key).unwrap();
    let text =
        said(finish(&mut chancery(&["key", "list", "--url", server.base(), "--api-key-file", open.to_str().unwrap()])));
    assert!(text.contains("chmod 600"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn private_keys_leave_their_table_once_the_server_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let (server, key) = clinic(folder.path()).await;
    let legacy: Value = serde_json::from_str(include_str!("../../../../testdata/vectors/legacy/keys.json")).unwrap();
    let pem = |name: &str| {
        let cases = legacy["cases"].as_array().unwrap();
        cases.iter().find(|case| case["type"] == name).unwrap()["pkcs8"].as_str().unwrap().to_owned()
    };
    let database = folder.path().join("old.db");
    let url = format!("sqlite:{}?mode=rwc", database.display());
    let mut old = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE tenant_keys (tenant_id TEXT, key_id TEXT, public_jwk_json TEXT, private_key_pem TEXT, status TEXT, created_at TEXT)")
        .execute(&mut old).await.unwrap();
    let public = chancery_crypto::KeyMaterial::from_pem(pem("rsa_2048").trim()).unwrap().public().unwrap().jwk();
    let public = serde_json::to_string(&public).unwrap();
    for (id, tenant, jwk, pem) in [
        ("kid-1", "old-tenant", Some(public.as_str()), pem("rsa_2048")),
        ("kid-2", "other-tenant", None, pem("ec_p256")),
        ("kid-3", "lying-tenant", Some(public.as_str()), pem("ec_p384")),
    ] {
        sqlx::query("INSERT INTO tenant_keys VALUES ($1, $2, $3, $4, 'active', '2024-05-06 07:08:09')")
            .bind(tenant)
            .bind(id)
            .bind(jwk)
            .bind(pem)
            .execute(&mut old)
            .await
            .unwrap();
    }
    let url = private(&folder.path().join("old-url"), &url);
    let import = |tenant: &'static str, more: &[&'static str]| {
        let arguments = ["import", "keys", "--database-url-file", &url, "--source-tenant", tenant];
        run(&server, &key, &[&arguments[..], more].concat())
    };
    let dry = good(import("old-tenant", &["--dry-run"]));
    assert!(dry.contains("nothing was changed"), "{dry}");
    let done = good(import("old-tenant", &["--access-policy", "application"]));
    assert!(done.contains("kid-1") && done.contains("1 private keys removed"), "{done}");
    let lying = import("lying-tenant", &[]);
    assert!(stderr(&lying).contains("the source keeps its private keys"), "{}", stderr(&lying));
    assert!(stderr(&import("no-tenant", &[])).contains("no private keys"));
    let left: Vec<(String, bool, bool)> = sqlx::query_as(
        "SELECT key_id, private_key_pem IS NULL, public_jwk_json IS NULL FROM tenant_keys ORDER BY key_id",
    )
    .fetch_all(&mut old)
    .await
    .unwrap();
    let gone = |id: &str, pem, jwk| (id.to_owned(), pem, jwk);
    assert_eq!(left, [gone("kid-1", true, false), gone("kid-2", false, true), gone("kid-3", false, false)]);
    let message = folder.path().join("m");
    std::fs::write(&message, "x").unwrap();
    good(run(&server, &key, &["key", "sign", "tenant_keys/old-tenant", message.to_str().unwrap()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrapped_rows_come_with_any_of_the_old_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let (server, key) = clinic(folder.path()).await;
    let made: Value = serde_json::from_str(include_str!("../../../../testdata/vectors/legacy/rows.json")).unwrap();
    let case = &made["cases"][0];
    let rows = serde_json::json!([{"name": "data key", "status": "active", "encrypted_key_material": case["ciphertext"],
        "encryption_salt": case["salt"], "encryption_nonce": case["nonce"], "encryption_tag": case["tag"],
        "is_backed_up": true}]);
    let file = folder.path().join("rows.json");
    std::fs::write(&file, rows.to_string()).unwrap();
    let secret =
        |at: usize| private(&folder.path().join(format!("secret-{at}")), made["secrets"][at].as_str().unwrap());
    let (old, new) = (secret(0), secret(1));
    let rows = file.to_str().unwrap();
    let wrong = run(&server, &key, &["import", "keys", "--rows", rows, "--secret-key-file", &new]);
    assert!(stderr(&wrong).contains("opens under none"), "{}", stderr(&wrong));
    good(run(&server, &key, &["import", "keys", "--rows", rows, "--secret-key-file", &new, "--secret-key-file", &old]));
    let found: Value = serde_json::from_str(&good(run(&server, &key, &["key", "get", "data key", "--json"]))).unwrap();
    assert_eq!((&found["origin"], &found["is_backed_up"]), (&"imported".into(), &false.into()));
    assert_eq!(found["backup"]["state"], "claimed");
}
