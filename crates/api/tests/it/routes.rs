//! Routes of a gateway, seen and changed from outside.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use chancery_domain::{
    Faults,
    routes::{ReadyTable, RouteFacts, RouteSight, RouteTable, UpstreamFacts},
};
use serde_json::json;

use crate::app::{Backend, TestApp};

/// A gateway whose file says nonsense until its number is set, and which notes what is at work.
#[derive(Default)]
struct Table {
    file: AtomicU64,
    at_work: Arc<AtomicU64>,
    before: AtomicU64,
}

struct Ready(u64, Arc<AtomicU64>);

impl ReadyTable for Ready {
    fn routes(&self) -> u64 {
        self.0
    }

    fn apply(self: Box<Self>) {
        self.1.store(self.0, Ordering::SeqCst);
    }
}

impl RouteTable for Table {
    fn routes(&self) -> Vec<RouteFacts> {
        let text = |text: &str| text.to_owned();
        vec![RouteFacts {
            path: text("/api/*"),
            methods: vec![text("GET")],
            upstream: text("app"),
            mode: "shadow",
            authentication: "required",
            roles: vec![text("clinician")],
            limits: vec![text("reports")],
            headers: None,
            webhook: None,
            schema: Some(text("clinic")),
            audit: true,
        }]
    }

    fn upstreams(&self) -> Vec<UpstreamFacts> {
        let servers = vec![("http://127.0.0.1:8000".to_owned(), true), ("http://127.0.0.1:8001".to_owned(), false)];
        vec![UpstreamFacts { name: "app".to_owned(), health: Some("/healthz".to_owned()), servers }]
    }

    fn sights(&self) -> Vec<RouteSight> {
        let would_refuse = [("auth.credential_missing", 12)].into();
        vec![RouteSight { path: "/api/*".to_owned(), requests: 40, would_refuse }]
    }

    fn read(&self) -> Result<Box<dyn ReadyTable>, Faults> {
        match self.file.load(Ordering::SeqCst) {
            0 => Err(Faults::one("", "configuration", "gateway.routes[0].path is no path")),
            routes => Ok(Box::new(Ready(routes, Arc::clone(&self.at_work)))),
        }
    }

    fn before(&self) -> Option<Box<dyn ReadyTable>> {
        let before = self.before.load(Ordering::SeqCst);
        (before > 0).then(|| Box::new(Ready(before, Arc::clone(&self.at_work))) as _)
    }
}

#[tokio::test]
async fn where_there_is_no_gateway_there_are_no_routes() {
    let app = TestApp::new().await;
    for path in ["routes", "upstreams", "observed"] {
        app.get(&app.admin, &format!("/v1/gateway/{path}")).await.refused(404, "not_found");
    }
    app.call(&app.admin, "POST", "/v1/gateway/config/apply", None).await.refused(404, "not_found");
}

#[tokio::test]
async fn routes_and_what_they_saw_are_shown_and_changed_with_an_event_first() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    let table = Arc::new(Table::default());
    app.instance.show_routes(Arc::clone(&table) as _);
    let route = &app.get(&app.admin, "/v1/gateway/routes").await.ok()["items"][0];
    assert_eq!(
        (&route["path"], &route["mode"], &route["limits"]),
        (&json!("/api/*"), &json!("shadow"), &json!(["reports"]))
    );
    assert_eq!(route["headers"], json!(null));
    let upstream = &app.get(&app.admin, "/v1/gateway/upstreams").await.ok()["items"][0];
    assert_eq!(upstream["servers"][1], json!({"address": "http://127.0.0.1:8001", "well": false}));
    let sights = app.get(&app.admin, "/v1/gateway/observed").await.ok();
    let sight = json!({"path": "/api/*", "requests": 40, "would_refuse": {"auth.credential_missing": 12}});
    assert_eq!(sights, json!({"items": [sight]}));

    let post = async |verb: &str| app.call(&app.admin, "POST", &format!("/v1/gateway/config/{verb}"), None).await;
    for verb in ["validate", "apply"] {
        let refused = post(verb).await;
        refused.refused(422, "request.invalid");
        assert_eq!(refused.json()["errors"][0]["code"], "configuration");
    }
    post("rollback").await.refused(409, "state.conflict");
    table.file.store(3, Ordering::SeqCst);
    assert_eq!(post("validate").await.ok(), json!({"routes": 3}));
    assert_eq!(table.at_work.load(Ordering::SeqCst), 0, "it was only looked at");
    store.faults().fail_queue(true);
    assert_eq!(post("apply").await.status, 503);
    assert_eq!(table.at_work.load(Ordering::SeqCst), 0, "what is not in the log is not done");
    store.faults().fail_queue(false);
    assert_eq!(post("apply").await.ok(), json!({"routes": 3}));
    assert_eq!(table.at_work.load(Ordering::SeqCst), 3);
    table.before.store(2, Ordering::SeqCst);
    assert_eq!(post("rollback").await.ok(), json!({"routes": 2}));
    assert_eq!(table.at_work.load(Ordering::SeqCst), 2);
    let made = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let made = app.post(&app.admin, "/v1/api-keys", made).await.created();
    let auditor = crate::app::Caller { bearer: made["key"].as_str().unwrap().to_owned() };
    for (kind, count) in [("gateway.routes_applied", 1), ("gateway.routes_rolled_back", 1), ("gateway.routes_read", 5)]
    {
        assert_eq!(app.events(&auditor, kind).await.len(), count, "{kind}");
    }
}
