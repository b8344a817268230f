//! With a copy of the store, the recovery key alone brings everything back.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::json;

use crate::support::{Served, after, mode, run, stderr, stdout};

/// The key of a new tenant's first administrator.
async fn owner(server: &Served, admin: &str) -> String {
    let body = json!({ "name": "kept", "slug": "kept" });
    let tenant = server.must("POST", "/v1/tenants", admin, Some(body)).await["id"].as_str().unwrap().to_owned();
    let body = json!({
        "description": "owner", "roles": ["tenant_admin"], "expires_in_days": 1, "allowed_cidrs": ["127.0.0.1/32"],
    });
    let made = server.must("POST", &format!("/v1/tenants/{tenant}/api-keys"), admin, Some(body)).await;
    made["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_lost_root_key_is_replaced_with_the_recovery_key() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("prod");
    let path = dir.to_str().unwrap();
    let key_file = dir.join("root.key");
    let made = run(&["init", "--data", path]);
    assert!(made.status.success(), "{made:?}");
    let text = stdout(&made);
    let (admin, recovery_key) = (after(&text, "Platform admin"), after(&text, "Recovery key"));

    let server = Served::start(&[], &dir, &[]);
    let owner = owner(&server, admin).await;
    let roles = json!({ "description": "test", "roles": ["service", "security_officer"], "expires_in_days": 1, "allowed_cidrs": ["127.0.0.1/32"] });
    let key = server.must("POST", "/v1/api-keys", &owner, Some(roles)).await["key"].as_str().unwrap().to_owned();
    server.must("PUT", "/v1/fields/patients/ssn", &key, Some(json!({ "class": "restricted" }))).await;
    let item = json!({ "items": [{ "table": "patients", "column": "ssn", "row": "1", "value": "123" }] });
    let sealed = server.must("POST", "/v1/seal", &key, Some(item)).await["items"][0]["sealed"].clone();
    server.stop();

    let written = folder.path().join("recovery-key");
    let write = |text: &str, mode: u32| {
        fs::write(&written, text).unwrap();
        fs::set_permissions(&written, fs::Permissions::from_mode(mode)).unwrap();
    };
    let recover = || run(&["recover", "--data", path, "--recovery-key-file", written.to_str().unwrap()]);
    write(recovery_key, 0o600);
    let old = fs::read(&key_file).unwrap();
    let refused = recover();
    assert!(!refused.status.success() && stderr(&refused).contains("is not overwritten"), "{refused:?}");
    assert_eq!(fs::read(&key_file).unwrap(), old);

    fs::remove_file(&key_file).unwrap();
    let refused = run(&["serve", "--data", path, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    assert!(!refused.status.success() && stderr(&refused).contains("does not exist"), "{refused:?}");

    // A readable file, a slip of the pen, another store's key: refused, and nothing is made.
    let (_, other) = chancery_kms::Recovery::make().unwrap();
    let slip =
        format!("{}{}", &recovery_key[..recovery_key.len() - 1], if recovery_key.ends_with('7') { '8' } else { '7' });
    for (text, mode, problem) in [
        (recovery_key, 0o644, "chmod 600"),
        (&slip, 0o600, "no recovery key"),
        (other.expose(), 0o600, "another store"),
    ] {
        write(text, mode);
        let refused = recover();
        assert!(!refused.status.success() && stderr(&refused).contains(problem), "{refused:?}");
        assert!(!key_file.exists());
    }

    write(&recovery_key.to_lowercase(), 0o600);
    let recovered = recover();
    assert!(recovered.status.success(), "{recovered:?}");
    assert!(!stdout(&recovered).contains(recovery_key));
    assert_eq!(mode(key_file.clone()), 0o600);
    assert_ne!(fs::read(&key_file).unwrap(), old);

    let server = Served::start(&[], &dir, &[]);
    let item = json!({ "table": "patients", "column": "ssn", "row": "1", "sealed": sealed });
    let body = json!({ "reason": "test", "items": [item] });
    assert_eq!(server.must("POST", "/v1/open", &key, Some(body)).await["items"][0]["value"], "123");
    server.stop();
    let written = |file: &str| fs::read(dir.join(file)).unwrap_or_default();
    let store = [written("chancery.db"), written("chancery.db-wal")].concat();
    assert!(store.windows(20).any(|window| window == b"root.recipient_added"), "it is an event");
    // The old key is a recipient still: who finds it again may put it back.
    fs::write(&key_file, old).unwrap();
    Served::start(&[], &dir, &[]).stop();
}
