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
fn debug_alone_selects_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["serve", "--data", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0"];
    for environment in [None, Some("production")] {
        let mut command = chancery(&arguments);
        command.env("DEBUG", "true").env("SECRET_KEY", "changeme").envs(environment.map(|name| ("ENVIRONMENT", name)));
        let refused = finish(&mut command);
        assert_eq!(refused.status.code(), Some(1));
        assert!(stderr(&refused).contains("SECRET_KEY: is a well-known weak"), "{refused:?}");
        assert!(stderr(&refused).contains("DEBUG: is on and ignored: the environment is production"), "{refused:?}");
    }
    assert!(!folder.path().join("root.key").exists());
}

#[test]
fn a_proxy_must_be_named_where_it_ends_tls() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["serve", "--data", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let refused = |proxies: Option<&str>| {
        let mut command = chancery(&arguments);
        command.env("CHANCERY__TLS__TERMINATED", "true");
        command.envs(proxies.map(|proxies| ("CHANCERY__SERVER__TRUSTED_PROXIES", proxies)));
        stderr(&finish(&mut command))
    };
    assert!(refused(None).contains("server.trusted_proxies: is empty though a proxy ends TLS"));
    assert!(refused(Some("10.0.0.5, nonsense")).contains("is no list of addresses"));
    assert!(refused(Some("0.0.0.0/0")).contains("trusts every address"));
    let named = refused(Some("10.0.0.5,fd00::/64"));
    assert!(!named.contains("trusted_proxies") && named.contains("chancery init"), "{named}");
}

#[test]
fn a_busy_port_says_which_listener_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = folder.path().to_str().unwrap();
    let refused = run(&["serve", "--dev", "--data", data, "--listen", "127.0.0.1:0", "--metrics-listen", &address]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains(&format!("metrics listener cannot bind {address}")), "{refused:?}");
    assert!(stderr(&refused).contains("--metrics-listen"), "{refused:?}");
}
