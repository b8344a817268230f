//! What browsers reported, counted.

use chancery_domain::csp_reports::{CspReport, Seen};

use super::{Backend, commit, view};
use crate::samples::{NOW, OURS, THEIRS};

fn report(blocked: &str, count: u64, seconds: i64) -> CspReport {
    let at = NOW.plus_seconds(seconds);
    let seen = Seen {
        directive: "img-src".to_owned(),
        blocked: blocked.to_owned(),
        document: "https://a.test/portal".to_owned(),
        source: String::new(),
        enforced: true,
    };
    CspReport { seen, count, first_at: at, last_at: at }
}

/// The same one is counted on; another one is another one. The most frequent comes first.
pub async fn the_same_report_is_counted(store: &impl Backend) {
    let (often, seldom) = (report("https://x.test", 2, 5), report("https://y.test", 3, 0));
    commit!(store, OURS, .add_csp_report(&often, 10) .add_csp_report(&seldom, 10));
    commit!(store, OURS, .add_csp_report(&report("https://x.test", 7, 1), 10));
    let mut watched = report("https://x.test", 1, 9);
    watched.seen.enforced = false;
    commit!(store, OURS, .add_csp_report(&watched, 10));
    let counted = CspReport { count: 9, first_at: NOW.plus_seconds(1), last_at: NOW.plus_seconds(5), ..often };
    assert_eq!(view(store, OURS).await.csp_reports().await.unwrap(), [counted, seldom, watched]);
}

/// Past the bound no new one comes in, and known ones are counted on.
pub async fn different_reports_are_bounded(store: &impl Backend) {
    for name in ["a", "b", "c"] {
        commit!(store, OURS, .add_csp_report(&report(name, 1, 0), 2));
    }
    commit!(store, OURS, .add_csp_report(&report("b", 1, 0), 2));
    // Another tenant has room of its own.
    commit!(store, THEIRS, .add_csp_report(&report("c", 1, 0), 2));
    let kept = view(store, OURS).await.csp_reports().await.unwrap();
    assert_eq!(kept, [CspReport { count: 2, ..report("b", 1, 0) }, report("a", 1, 0)]);
}

/// What was seen last before a moment goes.
pub async fn old_reports_are_forgotten(store: &impl Backend) {
    let (old, young) = (report("old", 1, 0), report("young", 1, 60));
    commit!(store, OURS, .add_csp_report(&old, 9) .add_csp_report(&young, 9));
    commit!(store, OURS, .forget_csp_reports(NOW.plus_seconds(60)));
    assert_eq!(view(store, OURS).await.csp_reports().await.unwrap(), [young]);
}

/// The rows of one tenant are out of sight and out of reach for another.
pub async fn another_tenant_neither_sees_nor_changes_it(store: &impl Backend) {
    let ours = report("https://x.test", 1, 0);
    commit!(store, OURS, .add_csp_report(&ours, 9));
    commit!(store, THEIRS, .forget_csp_reports(NOW.plus_seconds(1_000)));
    assert_eq!(view(store, THEIRS).await.csp_reports().await.unwrap(), []);
    assert_eq!(view(store, OURS).await.csp_reports().await.unwrap(), [ours]);
}
