//! `chancery fields`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Served, admin_key, chancery, finish, stderr, stdout, tenant};

fn plan(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(["fields", "plan"])
        .args(arguments)
        .current_dir(root)
        .output()
        .unwrap()
}

#[test]
fn columns_of_patients_are_judged_by_their_values() {
    let from = ["--from", "testdata/synthea/patients.csv", "--json"];
    let judged = |arguments: &[&str]| {
        let output = plan(&[arguments, &from].concat());
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), plan["plan"].clone())
    };
    let (code, ssn) = judged(&["patients.ssn", "--normalizer", "digits"]);
    assert_eq!(
        (code, &ssn["verdict"], &ssn["distinct"], &ssn["recommended_bits"]),
        (0, &"good".into(), &1170.into(), &8.into())
    );
    assert!((ssn["false_positives"].as_f64().unwrap() - 1171.0 / 256.0).abs() < 0.01, "{ssn}");
    let (code, gender) = judged(&["patients.gender"]);
    assert_eq!((code, &gender["verdict"]), (2, &"refused".into()));
    assert_eq!(judged(&["patients.gender", "--accept-leakage"]).0, 0);
    let (_, last) = judged(&["patients.last_name", "--column", "last", "--normalizer", "name"]);
    assert_eq!(last["distinct"], 490);
    let (_, licence) = judged(&["patients.licence", "--column", "DRIVERS"]);
    assert!(licence["empty"].as_u64().unwrap() > 100, "{licence}");
}

#[test]
fn what_cannot_be_read_says_so() {
    let from = ["--from", "testdata/synthea/patients.csv"];
    for (arguments, says) in [
        (["patients.colour"].as_slice(), "it has Id, BIRTHDATE"),
        (&["patients"], "TABLE.COLUMN"),
        (&["patients.ssn", "--normalizer", "soundex"], "--normalizer takes one of exact"),
        (&["patients.ssn", "--bits", "12"], "multiple of 8"),
        (&["patients.ssn", "--country", "xx"], "--country takes one of AE"),
    ] {
        let output = plan(&[arguments, &from].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && text.contains(says), "{arguments:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn define_changes_only_what_is_named_and_says_what() {
    let folder = tempfile::tempdir().unwrap();
    let server = Served::dev(folder.path());
    let (_, key) = tenant(&server, &admin_key(folder.path()), "clinic", &["security_officer"]).await;
    let define = |words: &[&str]| {
        let mut command = chancery(&["fields", "define", "patients.phone"]);
        let output = finish(command.args(words).env("CHANCERY_URL", server.base()).env("CHANCERY_API_KEY", &key));
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stdout(&output)
    };
    let made = define(&["--class", "confidential", "--bind", "column", "--normalizer", "phone", "--country", "DE"]);
    assert!(made.contains("registered anew"), "{made}");
    let told = define(&["--class", "restricted"]);
    assert!(told.contains(r#"changed: class from "confidential" to "restricted""#), "{told}");
    assert_eq!(told.matches("changed:").count(), 1, "{told}");
    // The binding and the index were not repeated, and are what they were.
    let field = async || server.must("GET", "/v1/fields", &key, None).await["items"][0].clone();
    let now = field().await;
    assert_eq!((&now["bind"], &now["class"]), (&json!("column"), &json!("restricted")), "{now}");
    assert_eq!((&now["index"]["normalizer"], &now["index"]["country"]), (&json!("phone"), &json!("DE")), "{now}");
    assert!(define(&[]).contains("nothing changed"));
    let told: Value = serde_json::from_str(&define(&["--prefix", "3-5", "--json"])).unwrap();
    assert_eq!(told["changed"]["index.prefix"]["from"], Value::Null, "{told}");
    assert_eq!(told["changed"]["index.prefix"]["to"]["min"], json!(3), "{told}");
    assert!(define(&["--without", "index"]).contains("changed: index.normalizer"));
    assert_eq!(field().await["index"], Value::Null);
}
