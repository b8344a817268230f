//! What a password hash costs, chosen by the operator.

use serde_json::Value;

use crate::support::{chancery, finish, run, stderr, stdout};

#[test]
fn a_cost_is_proposed_that_the_configuration_takes() {
    let shown = run(&["passwords", "calibrate", "--target-ms", "10", "--memory-mib", "19"]);
    assert!(shown.status.success(), "{}", stderr(&shown));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chancery.toml");
    std::fs::write(&file, stdout(&shown)).unwrap();
    let data = folder.path().to_str().unwrap();
    let told = finish(chancery(&["doctor", "--dev", "--data", data, "--config"]).arg(&file));
    let told = stdout(&told);
    assert!(told.contains("argon2id m=19456,t="), "{told}");
    assert!(!told.contains("passwords."), "{told}");

    let shown = run(&["passwords", "calibrate", "--target-ms", "10", "--json"]);
    let cost: Value = serde_json::from_str(stdout(&shown).trim()).unwrap();
    assert!(cost["memory_kib"].as_u64().unwrap() >= 19_456 && cost["passes"].as_u64().unwrap() >= 2, "{cost}");
}

#[test]
fn a_cost_below_the_floor_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    for (name, value) in [("MEMORY_KIB", "19455"), ("PASSES", "1"), ("LANES", "0"), ("MEMORY_KIB", "262145")] {
        let variable = format!("CHANCERY__PASSWORDS__{name}");
        let started = finish(chancery(&["serve", "--dev", "--data", data]).env(&variable, value));
        assert!(!started.status.success());
        assert!(stderr(&started).contains("is out of bounds"), "{variable}: {}", stderr(&started));
    }
}
