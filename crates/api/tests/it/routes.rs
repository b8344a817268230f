//! Routes of a gateway, seen and changed from outside.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use chancery_domain::{
    Faults,
    routes::{self, Cause, ReadyTable, RouteFacts, RouteSight, RouteTable, RoutesError, UpstreamFacts},
};
use serde_json::{Value, json};

use crate::app::{Backend, Caller, TestApp};

/// A gateway whose file says nonsense until its number is set, and which notes what is at work.
#[derive(Default)]
struct Table {
    file: AtomicU64,
    at_work: Arc<AtomicU64>,
    before: AtomicU64,
}

struct Ready(u64, Arc<AtomicU64>);

/// Of a table with so many routes.
fn digest(routes: u64) -> [u8; 32] {
    [u8::try_from(routes).unwrap(); 32]
}

fn hex(routes: u64) -> String {
    format!("{routes:02x}").repeat(32)
}

impl ReadyTable for Ready {
    fn routes(&self) -> u64 {
        self.0
    }

    fn digest(&self) -> [u8; 32] {
        digest(self.0)
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
        let headers_differ = [("x-frame-options".to_owned(), 7)].into();
        vec![RouteSight { path: "/api/*".to_owned(), requests: 40, would_refuse, headers_differ, undocumented: 3 }]
    }

    fn digest(&self) -> [u8; 32] {
        digest(self.at_work.load(Ordering::SeqCst))
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

/// The platform's auditor.
async fn auditor(app: &TestApp) -> Caller {
    let made = json!({"description": "auditor", "roles": ["platform_auditor"]});
    let made = app.post(&app.admin, "/v1/api-keys", made).await.created();
    Caller { bearer: made["key"].as_str().unwrap().to_owned() }
}

/// What the events of a kind say, the oldest first.
async fn told(app: &TestApp, auditor: &Caller, kind: &str) -> Vec<Value> {
    let core = |event: &Value| serde_json::from_str::<Value>(event["core"].as_str().unwrap()).unwrap();
    let mut cores: Vec<Value> = app.events(auditor, kind).await.iter().map(core).collect();
    cores.sort_by_key(|core| core["node"]["ctr"].as_u64());
    cores
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
    let sight = json!({"path": "/api/*", "requests": 40, "would_refuse": {"auth.credential_missing": 12},
        "headers_differ": {"x-frame-options": 7}, "undocumented": 3});
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
    let auditor = auditor(&app).await;
    let details = async |kind: &str| {
        let told = told(&app, &auditor, kind).await;
        told.into_iter().map(|core| core["detail"].clone()).collect::<Vec<_>>()
    };
    let refused = json!({"at_work": hex(0), "cause": "call", "faults": 1, "reason": "configuration"});
    assert_eq!(details("gateway.routes_refused").await, [refused]);
    let applied = json!({"after": hex(3), "before": hex(0), "cause": "call", "routes": 3});
    assert_eq!(details("gateway.routes_applied").await, [applied]);
    let rolled_back = json!({"after": hex(2), "before": hex(3), "routes": 2});
    assert_eq!(details("gateway.routes_rolled_back").await, [rolled_back]);
    assert_eq!(details("gateway.routes_read").await.len(), 5);
}

#[tokio::test]
async fn a_reload_that_nobody_called_for_is_told_whether_it_was_taken_or_not() {
    let (backend, store) = Backend::faulty().await;
    let app = TestApp::on(backend).await;
    assert!(matches!(routes::reload(&app.instance, Cause::File).await, Err(RoutesError::NotFound)));
    let table = Arc::new(Table::default());
    app.instance.show_routes(Arc::clone(&table) as _);
    let refused = routes::reload(&app.instance, Cause::Signal).await;
    assert!(matches!(refused, Err(RoutesError::Invalid(_))), "{refused:?}");
    table.file.store(3, Ordering::SeqCst);
    store.faults().fail_queue(true);
    let failed = routes::reload(&app.instance, Cause::File).await;
    assert!(matches!(failed, Err(RoutesError::Failed(_))), "{failed:?}");
    assert_eq!(table.at_work.load(Ordering::SeqCst), 0, "what is not in the log is not done");
    store.faults().fail_queue(false);
    assert_eq!(routes::reload(&app.instance, Cause::File).await.unwrap(), 3);
    assert_eq!(table.at_work.load(Ordering::SeqCst), 3);

    let auditor = auditor(&app).await;
    let refused = told(&app, &auditor, "gateway.routes_refused").await;
    let applied = told(&app, &auditor, "gateway.routes_applied").await;
    let [refused, applied] = [&refused[..], &applied[..]].map(|told| match told {
        [core] => core,
        other => panic!("one event: {other:?}"),
    });
    for core in [refused, applied] {
        assert_eq!((&core["actor"]["ref"], &core["route"]), (&json!("system"), &json!("gateway-reload")));
        assert!(core["node"]["id"].is_string(), "{core}");
    }
    assert_eq!((&refused["outcome"], &applied["outcome"]), (&json!(4), &json!(0)));
    let detail = json!({"at_work": hex(0), "cause": "signal", "faults": 1, "reason": "configuration"});
    assert_eq!(refused["detail"], detail);
    assert_eq!(applied["detail"], json!({"after": hex(3), "before": hex(0), "cause": "file", "routes": 3}));
}
