use crate::support::run;

#[test]
fn every_step_of_the_demo_holds() {
    holds(&["demo", "--json"]);
}

/// Each with all of its steps.
#[test]
fn every_step_of_two_demos_holds_at_one_time_on_one_postgresql() {
    let Ok(url) = std::env::var("CHANCERY_TEST_POSTGRES_URL") else {
        assert!(std::env::var_os("CHANCERY_TEST_REQUIRE_POSTGRES").is_none(), "PostgreSQL was promised");
        return;
    };
    std::thread::scope(|both| {
        for _ in 0..2 {
            both.spawn(|| holds(&["demo", "--json", "--store", &url]));
        }
    });
}

fn holds(arguments: &[&str]) {
    let demo = run(arguments);
    let report: serde_json::Value = serde_json::from_slice(&demo.stdout).unwrap();
    assert_eq!(report["held"], true, "{report:#}");
    assert_eq!(demo.status.code(), Some(0), "{}", String::from_utf8_lossy(&demo.stderr));
    assert!(report["steps"].as_array().unwrap().len() >= 20);
}
