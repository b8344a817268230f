//! How the listeners' certificate stands: for readiness, metrics and the platform's log.

use chancery_domain::tls;
use serde_json::json;

use crate::app::{Caller, TestApp, request};

#[tokio::test]
async fn what_is_wrong_with_the_certificate_is_warned_of_counted_and_logged_and_ends_with_the_next_one() {
    let app = TestApp::new().await;
    let ready = async || app.send(request("GET", "/readyz", None)).await.ok();
    let ends = app.instance.now().plus_seconds(86_400);
    app.instance.tls().begin(Some(ends));
    assert_eq!(ready().await, json!({"status": "ok"}));
    tls::refused(&app.instance, "no_pair").await.unwrap();
    tls::ending(&app.instance, ends).await.unwrap();
    tls::not_renewed(&app.instance, "rateLimited", ends).await.unwrap();
    let warnings = ["tls.certificate_refused", "tls.certificate_ending", "tls.renewal_failed"];
    assert_eq!(ready().await, json!({"status": "ok", "warnings": warnings}));
    let metrics = crate::metrics::scrape(&app).await;
    for line in [
        "chancery_tls_certificate_left_seconds 86400",
        "chancery_tls_trouble{trouble=\"certificate_refused\"} 1",
        "chancery_tls_trouble{trouble=\"certificate_missing\"} 0",
        "chancery_tls_troubles_total{trouble=\"renewal_failed\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    tls::taken(&app.instance, ends).await.unwrap();
    app.instance.tls().renewed();
    assert_eq!(ready().await, json!({"status": "ok"}));

    let made = json!({"description": "a", "roles": ["platform_auditor"]});
    let made = app.post(&app.admin, "/v1/api-keys", made).await.created();
    let auditor = Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    for (kind, outcome) in [
        ("tls.certificate_refused", 8),
        ("tls.certificate_ending", 4),
        ("tls.renewal_failed", 8),
        ("tls.certificate_taken", 0),
    ] {
        let events = app.events(&auditor, kind).await;
        assert_eq!(events.len(), 1, "{kind}");
        assert_eq!(events[0]["outcome"], json!(outcome), "{kind}: {events:?}");
    }
}
