//! Pages of another origin: their browsers ask first, without a credential.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    http::{Method, Uri},
    response::IntoResponse,
    routing::any,
};
use chancery_domain::instance::Environment;
use chancery_gateway::{
    Authentication, Demand, Mode, Route,
    assertion::Assertions,
    schema::{Contract, Rules, Schemas},
};
use chancery_middleware::{Cors, CorsRules, Edge, Limits};
use serde_json::json;

use crate::{
    application::{served, telling},
    stage::{Answer, Room, Stage, route},
};

const PAGE: &str = "Origin: https://page.test";
const PUT: &str = "Access-Control-Request-Method: PUT";

/// What an application was asked.
type Asked = Arc<Mutex<Vec<String>>>;

/// An application that answers preflights itself, with more than a browser wants to know.
async fn with_cors() -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let noted = Arc::clone(&asked);
    let answer = move |method: Method, uri: Uri| async move {
        noted.lock().unwrap().push(format!("{method} {uri}"));
        let said = [
            ("access-control-allow-origin", "https://page.test"),
            ("access-control-allow-methods", "GET, PUT"),
            ("vary", "Origin"),
            ("x-inner", "patients"),
        ];
        (said, "patients of the clinic").into_response()
    };
    (served(Router::new().fallback(any(answer))).await, asked)
}

/// A route that demands a role.
fn guarded(application: SocketAddr) -> Route {
    let mut all = route("/*", application);
    (all.authentication, all.roles) = (Authentication::Required, vec!["clinician".to_owned()]);
    all
}

async fn asks_first(stage: &Stage, target: &str) -> Answer {
    stage.send("OPTIONS", target, &[PAGE, PUT]).await
}

#[tokio::test]
async fn a_preflight_reaches_the_application_of_a_route_that_enforces() {
    let (app, asked) = with_cors().await;
    let stage = Stage::with(vec![guarded(app)]).await;
    let answer = asks_first(&stage, "/patients/7?delete=1").await;
    assert_eq!(answer.status, 200, "{}", answer.whole);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://page.test");
    assert_eq!(answer.headers["access-control-allow-methods"], "GET, PUT");
    assert_eq!(answer.headers["vary"], "Origin");
    assert!(answer.body.is_empty() && !answer.headers.contains_key("x-inner"), "{}", answer.whole);
    assert_eq!(*asked.lock().unwrap(), ["OPTIONS /patients/7"], "no query, and once");
    stage.send("PUT", "/patients/7", &[PAGE]).await.refused(401, "auth.credential_missing");
}

#[tokio::test]
async fn an_options_that_is_no_preflight_is_refused() {
    let (app, asked) = with_cors().await;
    let stage = Stage::with(vec![guarded(app)]).await;
    for lines in
        [&[][..], &[PAGE], &[PUT], &[PAGE, PUT, PUT], &[PAGE, PUT, "Cookie: a=b"], &[PAGE, PUT, "X-Auth-Token: x"]]
    {
        stage.send("OPTIONS", "/patients", lines).await.refused(401, "auth.credential_missing");
    }
    stage.send("GET", "/patients", &[PAGE, PUT]).await.refused(401, "auth.credential_missing");
    for body in ["content-length: 1\r\n\r\nx", "transfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"] {
        let head = format!("OPTIONS /patients HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{PAGE}\r\n{PUT}\r\n{body}");
        stage.raw(head.as_bytes()).await.refused(401, "auth.credential_missing");
    }
    let (_, staff) = stage.key("staff").await;
    let staff = format!("X-API-Key: {staff}");
    stage.send("OPTIONS", "/patients", &[PAGE, PUT, &staff]).await.refused(403, "authz.denied");
    let bad = "Authorization: Bearer chy_dev_x";
    stage.send("OPTIONS", "/patients", &[PAGE, PUT, bad]).await.refused(401, "auth.credential_invalid");
    assert!(asked.lock().unwrap().is_empty());
}

/// `telling` runs the same for every method and knows nothing of CORS, as programs for CGI and PHP do.
#[tokio::test]
async fn an_application_that_knows_no_preflights_tells_a_stranger_nothing() {
    let stage = Stage::with(vec![guarded(telling().await)]).await;
    for path in ["/patients", "/teapot"] {
        let answer = asks_first(&stage, path).await;
        answer.refused(401, "auth.credential_missing");
        assert!(answer.headers.contains_key("www-authenticate"), "{}", answer.whole);
    }
}

#[tokio::test]
async fn a_preflight_has_the_route_of_the_method_that_it_asks_for() {
    let (app, asked) = with_cors().await;
    let mut put = route("/patients", app);
    put.methods = vec![Method::PUT];
    let mut own = route("/own", telling().await);
    own.methods = vec![Method::OPTIONS];
    let mut hook = route("/hook", app);
    hook.methods = vec![Method::PUT];
    hook.webhook = Some("north/whs_01J9Z3K0Q5V8WXYZ0123456789".parse().unwrap());
    let stage = Stage::with(vec![put, own, hook]).await;
    assert_eq!(asks_first(&stage, "/patients").await.headers["access-control-allow-origin"], "https://page.test");
    let deletes = [PAGE, "Access-Control-Request-Method: DELETE"];
    stage.send("OPTIONS", "/patients", &deletes).await.refused(405, "method.not_allowed");
    stage.send("OPTIONS", "/patients", &[]).await.refused(405, "method.not_allowed");
    asks_first(&stage, "/own?x=1").await.seen();
    asks_first(&stage, "/hook").await.refused(405, "method.not_allowed");
    assert_eq!(*asked.lock().unwrap(), ["OPTIONS /patients"], "no webhook comes from a page");
}

#[tokio::test]
async fn a_route_may_let_no_preflight_through() {
    let (app, asked) = with_cors().await;
    let mut all = guarded(app);
    all.preflights = false;
    let mut put = route("/put", app);
    (put.methods, put.preflights) = (vec![Method::PUT], false);
    let stage = Stage::with(vec![all, put]).await;
    asks_first(&stage, "/patients").await.refused(401, "auth.credential_missing");
    asks_first(&stage, "/put").await.refused(405, "method.not_allowed");
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_document_that_names_no_preflight_refuses_none() {
    let (app, asked) = with_cors().await;
    let document = json!({"openapi": "3.1.0", "paths": {"/patients": {"put": {}}}});
    let rules = Rules { refuse_undocumented: true, ..Rules::default() };
    let schemas = Schemas::default();
    schemas.put("clinic", Contract::read(&document, rules).unwrap());
    let mut all = route("/*", app);
    all.schema = Some("clinic".to_owned());
    let demands: Vec<Arc<dyn Demand>> = vec![Arc::new(schemas), Arc::new(Assertions)];
    let stage = Stage::demanding(vec![all], demands).await;
    let answer = asks_first(&stage, "/patients").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{}", answer.whole);
    stage.send("OPTIONS", "/patients", &[]).await.refused(404, "not_found");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn where_a_route_does_not_enforce_a_preflight_is_nothing_to_refuse() {
    let (app, _) = with_cors().await;
    let mut all = guarded(app);
    all.mode = Mode::Shadow;
    let stage = Stage::with(vec![all]).await;
    let answer = asks_first(&stage, "/patients?a=b").await;
    assert_eq!(answer.headers["x-chancery-verdict"], "pass");
    assert_eq!(answer.body, b"patients of the clinic", "it is the application's own answer");
    assert!(stage.gateway.observed().sights()["/*"].would_refuse.is_empty());
}

#[tokio::test]
async fn a_listed_page_can_read_that_it_is_refused_and_the_application_speaks_for_itself() {
    let rules = CorsRules { origins: vec!["https://page.test".to_owned()], ..CorsRules::default() };
    let cors = Arc::new(Cors::new(&rules, Environment::Production).unwrap());
    let layers = Limits { edge: Edge { cors, ..Edge::default() }, ..Limits::default() };
    let open = route("/open", telling().await);
    let room = Room { layers, ..Room::default() };
    let stage = Stage::with_room(vec![guarded(telling().await), open], room).await;
    for path in ["/patients", "/%2f"] {
        let answer = stage.send("GET", path, &[PAGE]).await;
        assert!(answer.status.is_client_error(), "{}", answer.whole);
        assert_eq!(answer.headers["access-control-allow-origin"], "https://page.test", "{}", answer.whole);
        let other = stage.send("GET", path, &["Origin: https://evil.test"]).await;
        assert!(!other.headers.contains_key("access-control-allow-origin"), "{}", other.whole);
    }
    let own = stage.send("GET", "/open", &[PAGE]).await;
    own.seen();
    assert!(!own.headers.contains_key("access-control-allow-origin"), "{}", own.whole);
    assert_eq!(asks_first(&stage, "/open").await.seen()["method"], "OPTIONS", "nor is it answered in its place");
}
