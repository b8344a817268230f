//! The database's password in a secret manager (KM-15): a server that answers as Vault's documentation says.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::json;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

use crate::support::{Served, chancery, finish, run, stderr, stdout};

const TOKEN: &str = "hvs.CAESIJ";

/// A Vault with this password at `secret/chancery/db`, for whoever has the token.
async fn vault(password: &str) -> MockServer {
    let secret = json!({"data": {"data": {"password": password}, "metadata": {"version": 1}}});
    let respond = move |request: &Request| {
        let token = request.headers.get("x-vault-token").and_then(|token| token.to_str().ok());
        match (token, request.url.path()) {
            (Some(TOKEN), "/v1/secret/data/chancery/db") => ResponseTemplate::new(200).set_body_json(&secret),
            (Some(TOKEN), _) => ResponseTemplate::new(404).set_body_json(json!({"errors": []})),
            _ => ResponseTemplate::new(403).set_body_json(json!({"errors": ["permission denied"]})),
        }
    };
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(respond).mount(&server).await;
    server
}

/// A configuration with a key file for the root and Vault for the password.
fn config(folder: &Path, url: &str, vault: &str, more: &str) -> PathBuf {
    let token = folder.join("vault-token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let file = folder.join("chancery.toml");
    let text = format!(
        "[store]\nurl = \"{url}\"\n{more}\n\
         password_from = {{ provider = \"vault-main\", secret = \"secret/chancery/db#password\" }}\n\
         [[key_providers]]\nprovider = \"local\"\n\
         [[key_providers]]\nname = \"vault-main\"\nprovider = \"vault\"\nkey_wrapping_enabled = false\n\
         endpoint = \"{vault}\"\nkey = \"unused\"\ncredentials_file = \"{}\"\ntimeout_seconds = 2\n",
        token.display()
    );
    fs::write(&file, text).unwrap();
    file
}

/// An address without its password, and the password.
fn apart(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let (login, place) = rest.split_once('@')?;
    let (user, password) = login.split_once(':')?;
    Some((format!("{scheme}://{user}@{place}"), password.to_owned()))
}

#[tokio::test]
async fn a_server_logs_in_with_the_password_that_vault_keeps() {
    let Some(database) = chancery_postgres::testing::empty_database().await else { return };
    let (url, password) = apart(database.url()).expect("the test server wants a password");
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(&password).await;
    let file = config(folder.path(), &url, &vault.uri(), "");
    let dir = folder.path().join("data");
    let server = Served::start(&["--dev", "--config", file.to_str().unwrap()], &dir, &[]);
    assert_eq!(vault.received_requests().await.unwrap().len(), 1, "asked once, at the start");
    let (code, log) = server.stop();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains(&password), "a secret was logged");

    let arguments = ["doctor", "--dev", "--config", file.to_str().unwrap(), "--data", dir.to_str().unwrap()];
    let examined = run(&arguments);
    assert!(stdout(&examined).contains("database TLS"), "the doctor reached it: {examined:?}");
    assert!(!format!("{examined:?}").contains(&password), "a secret was printed");

    // Another password does not do: it is this one that logs in.
    let wrong = self::vault("another-password-altogether").await;
    let file = config(folder.path(), &url, &wrong.uri(), "");
    let arguments = ["serve", "--dev", "--config", file.to_str().unwrap(), "--data", dir.to_str().unwrap()];
    let refused = finish(&mut chancery(&arguments));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(stderr(&refused).contains("cannot open the store"), "{refused:?}");
    assert!(!stderr(&refused).contains("another-password"), "a secret was printed");
}

#[tokio::test]
async fn without_the_password_nothing_starts() {
    let url = "postgres://clinic@127.0.0.1:9/c";
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = |file: PathBuf| {
        let arguments = ["serve", "--dev", "--config", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
        finish(&mut chancery(&arguments))
    };
    let there = vault("Nq7vT2kd90LwPz61").await;
    let away = config(folder.path(), url, "http://127.0.0.1:9", "");
    let text = stderr(&serve(away));
    assert!(
        text.contains("the key provider `vault-main` does not give the secret vault:secret/chancery/db#password"),
        "{text}"
    );

    let file = config(folder.path(), url, &there.uri(), "");
    fs::write(folder.path().join("vault-token"), "another").unwrap();
    let text = stderr(&serve(file));
    assert!(text.contains("store.password_from") && text.contains("refuses the token"), "{text}");

    for (more, said) in [
        ("password_file = \"/etc/p\"", "store.password_from: is set beside store.password_file"),
        ("path = \"x.db\"", "keep one of store.url and store.path"),
    ] {
        let text = stderr(&serve(config(folder.path(), url, &there.uri(), more)));
        assert!(text.contains(said), "{text}");
    }
    let inline = "postgres://clinic:Nq7vT2kd90LwPz61@127.0.0.1:9/c";
    // Nor two without a secret manager.
    let file = folder.path().join("two.toml");
    fs::write(&file, format!("[store]\nurl = \"{inline}\"\npassword_file = \"/etc/p\"\n")).unwrap();
    let text = stderr(&serve(file));
    assert!(text.contains("store.password_file: is set beside a password in store.url"), "{text}");
    assert!(!text.contains("Nq7vT2kd90LwPz61"), "{text}");
    let text = stderr(&serve(config(folder.path(), inline, &there.uri(), "")));
    assert!(text.contains("store.password_from: is set beside a password in store.url"), "{text}");
    assert!(!text.contains("Nq7vT2kd90LwPz61"), "{text}");
    let text = stderr(&serve(config(folder.path(), "sqlite:x.db", &there.uri(), "")));
    assert!(text.contains("store.password_from: is set and the store is SQLite"), "{text}");
    assert!(!data.join("root.key").exists());
}

#[tokio::test]
async fn a_default_password_in_vault_is_as_bad_as_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    for (password, said) in [("scheduler\n", "has a default or well-known password"), ("\n", "is empty")] {
        let vault = vault(password).await;
        let file = config(folder.path(), "postgres://clinic@127.0.0.1:9/c", &vault.uri(), "");
        let data = folder.path().to_str().unwrap();
        let refused = finish(&mut chancery(&["serve", "--config", file.to_str().unwrap(), "--data", data]));
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains(said), "{refused:?}");
        assert!(!stderr(&refused).contains("scheduler"), "{refused:?}");
    }
}
