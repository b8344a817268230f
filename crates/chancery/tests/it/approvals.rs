//! `chancery approval` against a running server.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Served, admin_key, chancery, finish, stderr, stdout, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_two_people_is_listed_approved_and_refused_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let admin = admin_key(folder.path());
    let (id, first) = tenant(&server, &admin, "clinic", &["security_officer", "service"]).await;
    let body = json!({"description": "second", "roles": ["security_officer"]});
    let second = server.must("POST", &format!("/v1/tenants/{id}/api-keys"), &admin, Some(body)).await;
    let second = second["key"].as_str().unwrap().to_owned();
    server.must("PUT", "/v1/fields/patients/ssn", &first, Some(json!({}))).await;
    let item = |subject: &str| json!({"table": "patients", "column": "ssn", "row": subject, "subject": subject, "value": "123-45-6789"});
    server.must("POST", "/v1/seal", &first, Some(json!({"items": [item("MRN-1"), item("MRN-2")]}))).await;
    let run = |key: &str, arguments: &[&str]| -> Output {
        finish(chancery(arguments).env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", key))
    };
    let ok = |key: &str, arguments: &[&str]| {
        let output = run(key, arguments);
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
        stdout(&output).trim_end().to_owned()
    };
    let ask = async |subject: &str| {
        let (status, body) = server.send("POST", "/v1/subjects/erase", &first, Some(json!({"subject": subject}))).await;
        assert_eq!(status, 202, "{body}");
        body["approval_id"].as_str().unwrap().to_owned()
    };
    let (asked, other) = (ask("MRN-1").await, ask("MRN-2").await);

    let waiting = ok(&second, &["approval", "list"]);
    assert!(waiting.contains(&asked) && waiting.contains(&other) && waiting.contains("subject.erase"), "{waiting}");
    let shown = ok(&second, &["approvals", "show", &asked]);
    assert!(shown.contains("pending") && shown.contains("subject.erase"), "{shown}");
    let own = run(&first, &["approval", "approve", &asked]);
    assert!(!own.status.success(), "{}", stdout(&own));
    assert!(ok(&second, &["approval", "approve", &asked]).contains("approved"));
    assert!(ok(&second, &["approval", "reject", &other]).contains("denied"));
    assert!(!ok(&second, &["approval", "list"]).contains("apv_"));
    let done = json!({"subject": "MRN-1", "approval_id": asked});
    server.must("POST", "/v1/subjects/erase", &first, Some(done)).await;
    let used: Value = serde_json::from_str(&ok(&second, &["approval", "list", "--state", "used", "--json"])).unwrap();
    assert_eq!((used.as_array().unwrap().len(), &used[0]["id"]), (1, &json!(asked)));
    assert!(ok(&second, &["approval", "list", "--state", "all"]).contains(&other));
    let odd = run(&second, &["approval", "approve", "../users"]);
    assert!(!odd.status.success() && stderr(&odd).contains("is no id of an approval"), "{}", stderr(&odd));
    let gone = run(&second, &["approval", "show", "apv_01J9Z3K0Q5V8WXYZ0123456789"]);
    assert!(!gone.status.success() && stderr(&gone).contains("not_found"), "{}", stderr(&gone));
}
