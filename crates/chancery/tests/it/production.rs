//! Production refuses what development only warns of, and says everything at once (CF-03, CF-05, CF-11, TS-11).

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::support::{Served, chancery, finish, run, stderr};

/// Truly weak: on the list, also in capitals, and one that is long enough and still listed.
const WEAK: [(&str, &str); 2] =
    [("SECRET_KEY", "your_secret_key_here_generate_a_random_64_char_string"), ("WEBHOOK_SECRET", "ChangeMe")];

#[test]
fn all_faults_are_listed_together_with_their_cure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chancery.toml");
    fs::write(&file, "[server]\nlisten = \"0.0.0.0:8700\"\nunknown_thing = 1\n[tokens]\naccess_minutes = 60\n")
        .unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "scheduler\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command =
        chancery(&["serve", "--config", file.to_str().unwrap(), "--data", folder.path().to_str().unwrap()]);
    command
        .envs(WEAK)
        .env("CHANCERY__NO_SUCH", "1")
        .env("CHANCERY__STORE__URL", "postgres://clinic@db.example/c?sslmode=require")
        .env("CHANCERY__STORE__PASSWORD_FILE", &password);
    let refused = finish(&mut command);
    assert_eq!(refused.status.code(), Some(1));
    let text = stderr(&refused);
    for part in [
        "server.unknown_thing",
        "no_such (CHANCERY__NO_SUCH)",
        "tokens.access_minutes",
        "SECRET_KEY: is a well-known weak or default value",
        "WEBHOOK_SECRET: is a well-known weak or default value",
        "WEBHOOK_SECRET: is a secret of under 32 characters",
        "server.listen: is reachable",
        "store.password_file: has a default or well-known password",
        "chmod 600",
        "store.url: does not prove which server answers",
    ] {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    let faults = text.split("and to be aware of").next().unwrap();
    assert!(faults.matches("cure: ").count() >= 9, "{text}");
    for (_, secret) in WEAK {
        assert!(!text.contains(secret), "a secret was printed");
    }
}

#[test]
fn development_starts_with_the_same_weak_secrets_and_warns() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&["--dev"], folder.path(), &WEAK);
    let (code, log) = server.stop();
    assert_eq!(code, 0);
    for (name, secret) in WEAK {
        assert!(log.contains(&format!("{name} is a well-known weak or default value")), "{log}");
        assert!(!log.contains(secret), "a secret was logged");
    }
    assert!(log.contains("DEVELOPMENT"), "{log}");
}

#[test]
fn the_default_password_of_a_database_is_refused() {
    for url in
        ["postgres://u:postgres@localhost/c", "postgres://clinic:CLINIC@localhost/c", "postgres://u:123456@localhost/c"]
    {
        let refused = run(&["serve", "--store", url]);
        assert!(stderr(&refused).contains("default or well-known password"), "{url}: {refused:?}");
    }
}

#[test]
fn an_unset_environment_means_production() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let refused = run(&["serve", "--data", dir, "--listen", "127.0.0.1:0"]);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("chancery init"), "{refused:?}");
    assert!(!folder.path().join("root.key").exists());
    assert!(!folder.path().join("admin-api-key").exists());
}

#[test]
fn debug_does_not_soften_production() {
    let refused = finish(chancery(&["serve"]).env("ENVIRONMENT", "production").env("DEBUG", "true"));
    assert!(stderr(&refused).contains("DEBUG: is on outside development"), "{refused:?}");
}
