//! Chancery's layers around applications of one's own, in one process: `cargo run -p chancery-api --example layers`.
//!
//! One is an axum router, the other any service of tower's. Everything else is what `chancery serve` does from its configuration: a store,
//! a root key, a clock. What comes is compared with what must come: `cargo xtask test` runs it.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example: it shows what comes, and stops at the first surprise"
)]

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts as _, Path},
    response::{IntoResponse as _, Response},
    routing::get,
};
use chancery_crypto::{Secret, random::SystemRandom};
use chancery_domain::{
    Clock, Instance, Timestamp,
    ids::NodeId,
    initialise::{FirstAdmin, initialise},
    instance::{Environment, Ports, Settings},
};
use chancery_middleware::{Authenticated, Code, Limits, Problem, around, layer};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

/// The application: it takes what it needs through extractors. A handler without [`Authenticated`] runs for anybody.
fn clinic() -> Router {
    Router::new()
        .route("/health", get(|| async { "ok" }))
        .route(
            "/api/me",
            get(|Authenticated(call): Authenticated| async move {
                format!("{} of {}", call.caller.subject(), call.caller.tenant_slug())
            }),
        )
        .route("/api/patients/{id}", get(patient))
}

async fn patient(Authenticated(call): Authenticated, Path(id): Path<u32>) -> Result<String, Problem> {
    let treats = call.caller.roles().iter().any(|role| role.as_str() == "clinician");
    if treats { Ok(format!("patient {id}")) } else { Err(Code::AuthzDenied.into()) }
}

/// An application without a router: the same extractors, by hand.
async fn tenant(request: Request<Body>) -> Result<Response, Infallible> {
    let (mut parts, _) = request.into_parts();
    Ok(match Authenticated::from_request_parts(&mut parts, &()).await {
        Ok(Authenticated(call)) => call.caller.tenant_slug().to_owned().into_response(),
        Err(problem) => problem.into_response(),
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (instance, administrator) = instance().await;
    // One line: ids, headers, strict parsing, authentication, limits, refusals, the log.
    let application = around(clinic(), Arc::clone(&instance), None, Limits::default());
    let bearer = format!("Bearer {}", administrator.expose());
    ask(application.clone(), "/health", None, StatusCode::OK, "ok").await;
    ask(application.clone(), "/api/me", None, StatusCode::UNAUTHORIZED, "auth.credential_missing").await;
    ask(application.clone(), "/api/me", Some("Bearer chy_dev_garbage"), StatusCode::UNAUTHORIZED, "auth.").await;
    ask(application.clone(), "/api/me", Some(&bearer), StatusCode::OK, "of platform").await;
    ask(application.clone(), "/api/patients/7", Some(&bearer), StatusCode::FORBIDDEN, "authz.denied").await;
    ask(application.clone(), "/api/nothing", None, StatusCode::NOT_FOUND, "not_found").await;

    // The same around whatever is a service of tower's. The key has had two of its three uses.
    let other = layer::<_, Body>(instance, None, Limits::default()).layer(service_fn(tenant));
    ask(other.clone(), "/", None, StatusCode::UNAUTHORIZED, "auth.credential_missing").await;
    ask(other.clone(), "/", Some(&bearer), StatusCode::OK, "platform").await;
    ask(other, "/", Some(&bearer), StatusCode::TOO_MANY_REQUESTS, "ratelimit.exceeded").await;
}

/// Asks, shows what came, and wants this status, this text in the body, and what browsers are told in any case.
async fn ask<S>(service: S, path: &str, bearer: Option<&str>, status: StatusCode, text: &str)
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    let mut request = Request::get(path).header("host", "localhost");
    if let Some(bearer) = bearer {
        request = request.header("authorization", bearer);
    }
    let response = service.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body);
    println!("{path}: {} {body}", head.status);
    assert_eq!(head.status, status, "{path}");
    assert!(body.contains(text), "{path}: {body}");
    for name in ["x-request-id", "content-security-policy", "x-content-type-options"] {
        assert!(head.headers.contains_key(name), "{path}: {name}");
    }
    assert_eq!(head.headers.contains_key("retry-after"), status == StatusCode::TOO_MANY_REQUESTS, "{path}");
}

/// A Chancery in memory, with its first administrator's key.
async fn instance() -> (Arc<Instance>, Secret<String>) {
    let folder = tempfile::tempdir().unwrap();
    let root = chancery_kms::Local::create(&folder.path().join("root.key")).unwrap();
    let store = Arc::new(chancery_sqlite::Sqlite::in_memory().await.unwrap());
    let ports = Ports::new(store, Arc::new(root), Arc::new(WallClock), Arc::new(SystemRandom));
    let settings = Settings {
        api_key_per_minute: 3,
        ..Settings::new("clinic", "https://clinic.example", Environment::Development)
    };
    let node = NodeId::from_bytes([1; 16]);
    let mut key = None;
    let mut deliver = |text: &Secret<String>| {
        key = Some(Secret::new(text.expose().clone()));
        Ok(())
    };
    initialise(&ports, &settings, node, FirstAdmin::default(), &mut deliver).await.unwrap();
    (Instance::open(ports, settings, node).await.unwrap(), key.unwrap())
}

struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "somebody must look at the clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }
}
