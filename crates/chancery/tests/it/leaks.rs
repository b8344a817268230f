//! No e-mail, name or sealed value reaches the log or the store in clear.

use serde_json::json;

use crate::support::{Served, admin_key, files, tenant};

const SECRETS: [&str; 5] =
    ["ada.planted@clinic.example", "Adaplanted", "Lovelaceplanted", "Tr0ub4dor&3-planted", "999-12-3456"];

#[tokio::test]
async fn neither_log_nor_store_has_personal_data() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::start(&["--dev"], folder.path(), &[("CHANCERY__LOG__LEVEL", "trace")]);
    let roles = ["tenant_admin", "service", "security_officer"];
    let (_, key) = tenant(&server, &admin_key(folder.path()), "quiet", &roles).await;
    let [email, first, last, password, ssn] = SECRETS;
    let user = json!({ "username": "ada", "email": email, "first_name": first, "last_name": last, "password": password, "roles": ["clinician"] });
    server.must("POST", "/v1/users", &key, Some(user)).await;
    server.must("GET", &format!("/v1/users?email={email}"), &key, None).await;
    let login = json!({ "tenant": "quiet", "username": "ada", "password": password });
    server.must("POST", "/v1/auth/login", "", Some(login)).await;
    let wrong = json!({ "tenant": "quiet", "username": email, "password": format!("{password}!") });
    assert_eq!(server.send("POST", "/v1/auth/login", "", Some(wrong)).await.0, 401);
    server.must("PUT", "/v1/fields/patients/ssn", &key, Some(json!({ "index": { "normalizer": "digits" } }))).await;
    let item = json!({ "items": [{ "table": "patients", "column": "ssn", "row": "1", "value": ssn }] });
    server.must("POST", "/v1/seal", &key, Some(item)).await;
    // Something wrong with the value of every field.
    let bad = json!({ "items": [{ "table": ssn, "column": last, "row": first, "value": email }] });
    server.send("POST", "/v1/seal", &key, Some(bad)).await;
    let (_, log) = server.stop();

    let holds =
        |haystack: &[u8], needle: &str| haystack.windows(needle.len()).any(|window| window == needle.as_bytes());
    for secret in SECRETS {
        assert!(!holds(log.as_bytes(), secret), "{secret} is in the log");
        for path in files(folder.path()) {
            assert!(!holds(&std::fs::read(&path).unwrap(), secret), "{secret} is in {}", path.display());
        }
    }
    assert!(holds(log.as_bytes(), "/v1/users"), "the log says something");
}
