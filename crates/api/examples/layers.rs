//! Chancery's layers around an axum application of one's own, in one process: `cargo run -p chancery-api --example layers`.
//!
//! The application is `clinic`. Everything else is what `chancery serve` does from its configuration: a store, a root key, a clock.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example: it shows what comes, and stops at the first surprise"
)]

use std::sync::Arc;

use axum::{Router, body::Body, extract::Path, routing::get};
use chancery_crypto::{Secret, random::SystemRandom};
use chancery_domain::{
    Clock, Instance, Timestamp,
    ids::NodeId,
    initialise::{FirstAdmin, initialise},
    instance::Ports,
};
use chancery_middleware::{Authenticated, Code, Limits, Problem, around};
use http::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

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

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (instance, administrator) = instance().await;
    // One line: ids, headers, strict parsing, authentication, refusals, the log.
    let application = around(clinic(), instance, None, Limits::default());

    let bearer = format!("Bearer {}", administrator.expose());
    for (path, bearer) in [
        ("/health", None),
        ("/api/me", None),
        ("/api/me", Some("Bearer chy_dev_garbage")),
        ("/api/me", Some(bearer.as_str())),
        ("/api/patients/7", Some(bearer.as_str())),
    ] {
        let mut request = Request::get(path).header("host", "localhost");
        if let Some(bearer) = bearer {
            request = request.header("authorization", bearer);
        }
        let response = application.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        println!("{path}: {status} {}", String::from_utf8_lossy(&body));
    }
}

/// A Chancery in memory, with its first administrator's key.
async fn instance() -> (Arc<Instance>, Secret<String>) {
    let folder = tempfile::tempdir().unwrap();
    let root = chancery_kms::Local::create(&folder.path().join("root.key")).unwrap();
    let store = Arc::new(chancery_sqlite::Sqlite::in_memory().await.unwrap());
    let ports = Ports {
        store: store.clone(),
        directory: store,
        clock: Arc::new(WallClock),
        random: Arc::new(SystemRandom),
        providers: vec![Arc::new(root)],
        own: Vec::new(),
        resident: Vec::new(),
        tables: Arc::new(chancery_datasets::Tables::new(Arc::new(NoDatabases))),
        documents: Arc::new(chancery_domain::identity_providers::NoDocuments),
    };
    let (settings, node) = (chancery_testkit::samples::settings(), NodeId::from_bytes([1; 16]));
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

struct NoDatabases;

impl chancery_datasets::UrlFiles for NoDatabases {
    fn read(
        &self,
        _: chancery_domain::TenantId,
        _: &str,
    ) -> Result<Secret<String>, chancery_domain::datasets::TableError> {
        Err(chancery_domain::datasets::TableError::UrlFile("does not exist"))
    }
}
