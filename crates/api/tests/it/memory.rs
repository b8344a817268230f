//! How much memory the keys of many tenants take.

use std::time::Instant;

use chancery_domain::TenantId;
use serde_json::json;

use crate::app::{Caller, TestApp};

/// 10,000, or as many as `CHANCERY_MEASURE_TENANTS` says: a debug build makes three a second.
fn tenants() -> usize {
    std::env::var("CHANCERY_MEASURE_TENANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

/// Resident memory in MB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// A number from 0 to 1, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Tenants in the order of their size, each half as busy as the one twice as far up (Zipf, exponent 1).
#[expect(clippy::cast_possible_truncation, reason = "a float below the number of tenants")]
fn zipf(dice: &mut Dice, tenants: usize) -> usize {
    ((tenants as f64).powf(dice.roll()) as usize).saturating_sub(1).min(tenants - 1)
}

/// A clinic whose caller may seal into four fields.
async fn clinic(app: &TestApp, n: usize) -> (TenantId, Caller) {
    let body = json!({"name": format!("Clinic {n}"), "slug": format!("c{n}")});
    let made = app.post(&app.admin, "/v1/tenants", body).await.created();
    let id = made["id"].as_str().unwrap().to_owned();
    let body = json!({"description": "all", "roles": ["service", "security_officer"]});
    let made = app.post(&app.admin, &format!("/v1/tenants/{id}/api-keys"), body).await.created();
    let caller = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    for column in ["ssn", "last_name", "email", "phone"] {
        let field = json!({"index": {"normalizer": "text"}});
        app.put(&caller, &format!("/v1/fields/patients/{column}"), field).await.ok();
    }
    (id.parse().unwrap(), caller)
}

/// Seals a value into each of the four fields.
async fn seal(app: &TestApp, caller: &Caller) {
    let items: Vec<_> = ["ssn", "last_name", "email", "phone"]
        .map(|column| json!({"table": "patients", "column": column, "row": "1", "value": "x"}))
        .into();
    app.post(caller, "/v1/seal", json!({"items": items})).await.ok();
}

/// What a request costs whose tenant's keys are in memory, are not, and are not while another's must make room for them.
/// `cargo xtask bench` reads the last line.
///
/// `cargo test --release -p chancery-api --test it -- --ignored --nocapture memory::`
#[tokio::test]
#[ignore = "a measurement of minutes"]
async fn an_evicted_tenant_pays_for_loading_and_for_no_more() {
    const TENANTS: usize = 400;
    let app = TestApp::new().await;
    let mut clinics = Vec::new();
    for n in 0..TENANTS {
        clinics.push(clinic(&app, n).await);
    }
    let (roomy, narrow) = (app.again(|_| ()).await, app.again(|settings| settings.lease_memory_mib = 1).await);
    let round = async |app: &TestApp| {
        let mut times = Vec::new();
        for (_, caller) in &clinics {
            let started = Instant::now();
            seal(app, caller).await;
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_unstable_by(f64::total_cmp);
        times[TENANTS / 2]
    };
    // The callers too are looked up the first time, so that only the keys differ.
    round(&roomy).await;
    round(&narrow).await;
    let [mut cold, mut warm, mut evicting] = [f64::INFINITY; 3];
    for _ in 0..3 {
        clinics.iter().for_each(|(tenant, _)| roomy.instance.end_lease(*tenant));
        cold = cold.min(round(&roomy).await);
        warm = warm.min(round(&roomy).await);
        assert_eq!(roomy.instance.leases_held().0, TENANTS, "all fit");
        evicting = evicting.min(round(&narrow).await);
        let held = narrow.instance.leases_held().0;
        assert!(held < TENANTS / 2, "{held} fit, so nothing was evicted");
    }
    println!("{}", json!({"warm_us": warm, "cold_us": cold, "evicting_us": evicting}));
}

/// 10,000 tenants with four fields each, one after another and then as real traffic comes: some much, most hardly.
///
/// `cargo test --release -p chancery-api --test it -- --ignored --nocapture memory::`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of minutes"]
async fn ten_thousand_tenants_stay_under_300_megabytes() {
    let (app, tenants) = (TestApp::new().await, tenants());
    let mut clinics: Vec<(TenantId, Caller)> = Vec::new();
    let started = Instant::now();
    for n in 0..tenants {
        clinics.push(clinic(&app, n).await);
    }
    println!("{tenants} tenants made in {:?}; {:.0} MB resident", started.elapsed(), resident());

    clinics.iter().for_each(|(tenant, _)| app.instance.end_lease(*tenant));
    let without = resident();
    for (_, caller) in &clinics {
        seal(&app, caller).await;
    }
    let (held, bytes) = app.instance.leases_held();
    let grown = resident() - without;
    println!("each once: {held} leases, {:.1} MB by weight; {grown:.1} MB more resident", bytes as f64 / 1e6);
    let (mut dice, started, mut most) = (Dice(42), Instant::now(), 0.0_f64);
    for call in 0..4 * tenants {
        seal(&app, &clinics[zipf(&mut dice, tenants)].1).await;
        if call % 1_000 == 0 {
            most = most.max(resident());
        }
    }
    let (held, bytes) = app.instance.leases_held();
    println!(
        "{} calls by Zipf in {:?}: {held} leases, {} MB by weight; at most {most:.0} MB resident",
        4 * tenants,
        started.elapsed(),
        bytes >> 20
    );
    println!("{}", json!({"tenants": tenants, "resident_mb": most}));
    assert!(most < 300.0, "{most}");
}
