use crate::support::run;

#[test]
fn every_step_of_the_demo_holds() {
    let demo = run(&["demo", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&demo.stdout).unwrap();
    assert_eq!(report["held"], true, "{report:#}");
    assert_eq!(demo.status.code(), Some(0));
    assert!(report["steps"].as_array().unwrap().len() >= 20);
}
