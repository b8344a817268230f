use chancery_domain::keyring::KeyProvider as _;

use crate::support::{Served, after, files, mode, run, stderr, stdout};

#[tokio::test]
async fn a_new_store_is_set_up_once_and_then_served() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("prod");
    let path = dir.to_str().unwrap();
    let made = run(&["init", "--data", path]);
    assert!(made.status.success(), "{made:?}");
    let text = stdout(&made);
    let admin = after(&text, "Platform admin");
    assert!(admin.starts_with("chy_live_"));
    let recovery = chancery_kms::Recovery::parse(after(&text, "Recovery key")).unwrap();
    assert!(text.contains(&recovery.label()));
    assert_eq!(mode(dir.join("root.key")), 0o600);
    assert!(!dir.join("admin-api-key").exists());

    let again = run(&["init", "--data", path]);
    assert!(!again.status.success());
    assert!(stderr(&again).contains("initialised already"), "{again:?}");

    let server = Served::start(&[], &dir, &[]);
    let body = serde_json::json!({ "name": "One", "slug": "one" });
    server.must("POST", "/v1/tenants", admin, Some(body)).await;
    let (code, log) = server.stop();
    assert_eq!(code, 0);
    assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
    let doctor = run(&["doctor", "--data", path, "--json"]);
    assert_eq!(doctor.status.code(), Some(0), "{}", stdout(&doctor));
    let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert_eq!(report["healthy"], true);

    // The secrets that were printed rest nowhere.
    for file in files(&dir) {
        let bytes = std::fs::read(file).unwrap();
        for secret in [admin, after(&text, "Recovery key")] {
            let part = &secret.as_bytes()[secret.len() - 20..];
            assert!(!bytes.windows(part.len()).any(|window| window == part));
        }
    }
}

#[test]
fn the_admin_key_can_go_into_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, file) = (folder.path().join("prod"), folder.path().join("admin"));
    let arguments = ["init", "--data", dir.to_str().unwrap(), "--admin-key-file", file.to_str().unwrap()];
    let made = run(&arguments);
    assert!(made.status.success(), "{made:?}");
    assert_eq!(mode(file.clone()), 0o600);
    let key = std::fs::read_to_string(&file).unwrap();
    assert!(key.starts_with("chy_live_") && !stdout(&made).contains(key.trim()));
}

#[test]
fn a_store_of_development_does_not_open_in_production() {
    let folder = tempfile::tempdir().unwrap();
    Served::dev(folder.path()).stop();
    let refused = run(&["serve", "--data", folder.path().to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert!(!refused.status.success());
    assert!(stderr(&refused).contains("belongs to development"), "{refused:?}");
    assert!(stderr(&refused).contains("start with --dev to go on with this store"), "{refused:?}");
    let doctor = run(&["doctor", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(doctor.status.code(), Some(1), "{}", stdout(&doctor));
}
