//! `chancery fields`.

use std::path::Path;
use std::process::{Command, Output};

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
