//! A whole Chancery in process, and callers made through its own API.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, body::Body, extract::ConnectInfo};
use chancery_api::Metrics;
use chancery_crypto::random::SystemRandom;
use chancery_domain::{
    Clock, Instance, TenantId, Timestamp,
    audit::{
        QueuedEvent,
        intent::{Mark, mark},
    },
    ids::NodeId,
    initialise::{FirstAdmin, initialise},
    instance::{Environment, Ports, Settings},
    passkeys::RelyingParty,
    store::{Directory, Epochs, Store, StoreError, Tx, View},
};
use chancery_middleware::Limits;
use chancery_testkit::{Faulty, phone::PlainCertificates, samples::settings};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

/// Runs test functions on every store that we ship.
macro_rules! backends {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::app::Backend::sqlite().await).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $name() {
                if let Some(backend) = crate::app::Backend::postgres().await {
                    super::$name(backend).await;
                }
            })+
        }
    };
}

/// Goes on by a millisecond with each look.
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn advance_seconds(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }

    /// The clock of another machine, which is ahead by so many seconds.
    pub(crate) fn ahead(&self, seconds: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(self.now().as_micros() + seconds * 1_000_000)))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1_000, Ordering::Relaxed))
    }
}

/// Addresses of datasets in one folder, whoever's they are.
struct UrlFolder(std::path::PathBuf);

impl chancery_datasets::UrlFiles for UrlFolder {
    fn read(
        &self,
        _tenant: chancery_domain::TenantId,
        name: &str,
    ) -> Result<chancery_crypto::Secret<String>, chancery_domain::datasets::TableError> {
        let missing = |_| chancery_domain::datasets::TableError::UrlFile("does not exist");
        std::fs::read_to_string(self.0.join(name)).map(chancery_crypto::Secret::new).map_err(missing)
    }
}

/// A store, and what must live as long as it.
#[derive(Clone)]
pub(crate) struct Backend {
    store: Arc<dyn Store>,
    directory: Arc<dyn Directory>,
    database: Option<Arc<chancery_postgres::testing::Database>>,
}

impl Backend {
    pub(crate) async fn sqlite() -> Self {
        let store = chancery_sqlite::Sqlite::in_memory().await.unwrap();
        Self { store: Arc::new(store.clone()), directory: Arc::new(store), database: None }
    }

    /// Where it is, if it is PostgreSQL.
    pub(crate) fn url(&self) -> Option<String> {
        self.database.as_ref().map(|database| database.url().to_owned())
    }

    /// SQLite, in this file.
    pub(crate) async fn file(path: &std::path::Path) -> Self {
        let store = chancery_sqlite::Sqlite::open(path).await.unwrap();
        Self { store: Arc::new(store.clone()), directory: Arc::new(store), database: None }
    }

    /// SQLite, and how many views of it were opened.
    pub(crate) async fn counted() -> (Self, Arc<AtomicUsize>) {
        let store = chancery_sqlite::Sqlite::in_memory().await.unwrap();
        let views = Arc::new(AtomicUsize::default());
        let counted = Counted { within: store.clone(), views: views.clone(), appends: Arc::default() };
        (Self { store: Arc::new(counted), directory: Arc::new(store), database: None }, views)
    }

    /// SQLite, and how often events were appended to it outside of changes.
    pub(crate) async fn counted_appends() -> (Self, Arc<AtomicUsize>) {
        let store = chancery_sqlite::Sqlite::in_memory().await.unwrap();
        let appends = Arc::new(AtomicUsize::default());
        let counted = Counted { within: store.clone(), views: Arc::default(), appends: appends.clone() };
        (Self { store: Arc::new(counted), directory: Arc::new(store), database: None }, appends)
    }

    /// SQLite, behind switches that make it fail.
    pub(crate) async fn faulty() -> (Self, Faulty<chancery_sqlite::Sqlite>) {
        Self::failing(chancery_sqlite::Sqlite::in_memory().await.unwrap())
    }

    /// The same in this file.
    pub(crate) async fn faulty_file(path: &std::path::Path) -> (Self, Faulty<chancery_sqlite::Sqlite>) {
        Self::failing(chancery_sqlite::Sqlite::open(path).await.unwrap())
    }

    fn failing(store: chancery_sqlite::Sqlite) -> (Self, Faulty<chancery_sqlite::Sqlite>) {
        let store = Faulty::new(store);
        let backend = Self { store: Arc::new(store.clone()), directory: Arc::new(store.clone()), database: None };
        (backend, store)
    }

    /// PostgreSQL, read through views that may lag behind.
    pub(crate) async fn lagging() -> Option<(Self, Arc<Lagging>)> {
        let database = chancery_postgres::testing::database().await?;
        let store = chancery_postgres::Postgres::clone(&database);
        let lagging = Arc::new(Lagging { within: store.clone(), old: Mutex::default() });
        let backend = Self { store: lagging.clone(), directory: Arc::new(store), database: Some(Arc::new(database)) };
        Some((backend, lagging))
    }

    pub(crate) async fn postgres() -> Option<Self> {
        let database = chancery_postgres::testing::database().await?;
        let store = chancery_postgres::Postgres::clone(&database);
        Some(Self { store: Arc::new(store.clone()), directory: Arc::new(store), database: Some(Arc::new(database)) })
    }
}

/// Counts views, and appends of events.
struct Counted {
    within: chancery_sqlite::Sqlite,
    views: Arc<AtomicUsize>,
    appends: Arc<AtomicUsize>,
}

#[async_trait]
impl Store for Counted {
    async fn begin(&self, tenant: TenantId) -> Result<Box<dyn Tx>, StoreError> {
        self.within.begin(tenant).await
    }
    async fn view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        self.views.fetch_add(1, Ordering::SeqCst);
        self.within.view(tenant).await
    }
    async fn fresh_view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        self.views.fetch_add(1, Ordering::SeqCst);
        self.within.fresh_view(tenant).await
    }
    async fn append_events(&self, events: &[QueuedEvent]) -> Result<Epochs, StoreError> {
        // Nobody waits for outcomes.
        if !events.iter().all(|event| matches!(mark(event), Some(Mark::Closes(_)))) {
            self.appends.fetch_add(1, Ordering::SeqCst);
        }
        self.within.append_events(events).await
    }
    fn take_grown(&self) -> Vec<TenantId> {
        self.within.take_grown()
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.within.ping().await
    }
    async fn scrub(&self) -> Result<(), StoreError> {
        self.within.scrub().await
    }
}

/// Gives views that were taken earlier, as a replica does that has not caught up with another node's commits.
pub(crate) struct Lagging {
    within: chancery_postgres::Postgres,
    old: Mutex<Vec<(TenantId, Box<dyn View>)>>,
}

impl Lagging {
    /// The next views of this tenant, so many, show it as it is now.
    pub(crate) async fn lag(&self, tenant: TenantId, views: usize) {
        for _ in 0..views {
            let view = self.within.view(tenant).await.unwrap();
            self.old.lock().unwrap().push((tenant, view));
        }
    }

    /// It has caught up.
    pub(crate) fn catch_up(&self) {
        self.old.lock().unwrap().clear();
    }
}

#[async_trait]
impl Store for Lagging {
    async fn begin(&self, tenant: TenantId) -> Result<Box<dyn Tx>, StoreError> {
        self.within.begin(tenant).await
    }
    async fn view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        let old = {
            let mut old = self.old.lock().unwrap();
            old.iter().position(|(of, _)| *of == tenant).map(|at| old.remove(at).1)
        };
        match old {
            Some(old) => Ok(old),
            None => self.within.view(tenant).await,
        }
    }
    async fn fresh_view(&self, tenant: TenantId) -> Result<Box<dyn View>, StoreError> {
        self.within.fresh_view(tenant).await
    }
    async fn append_events(&self, events: &[QueuedEvent]) -> Result<Epochs, StoreError> {
        self.within.append_events(events).await
    }
    fn take_grown(&self) -> Vec<TenantId> {
        self.within.take_grown()
    }
    async fn ping(&self) -> Result<(), StoreError> {
        self.within.ping().await
    }
    async fn scrub(&self) -> Result<(), StoreError> {
        self.within.scrub().await
    }
}

/// Where the page of the tests is.
pub(crate) const ORIGIN: &str = "https://app.clinic.test";

/// For whom the passkeys of the tests are.
pub(crate) fn relying_party() -> RelyingParty {
    RelyingParty::new("clinic.test", "Clinic", vec![ORIGIN.to_owned()]).unwrap()
}

/// A running Chancery.
pub(crate) struct TestApp {
    pub(crate) router: Router,
    pub(crate) instance: Arc<Instance>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) admin: Caller,
    ports: Ports,
    // Last: the store and the key file go after what uses them.
    held: Held,
}

type Held = (Arc<tempfile::TempDir>, Backend);

impl TestApp {
    /// On SQLite.
    pub(crate) async fn new() -> Self {
        Self::on(Backend::sqlite().await).await
    }

    pub(crate) async fn on(backend: Backend) -> Self {
        Self::with(backend, |_| ()).await
    }

    /// With other ports than usual.
    pub(crate) async fn with(backend: Backend, change: impl FnOnce(&mut Ports)) -> Self {
        Self::made(backend, change, settings()).await
    }

    /// On SQLite, with the rules of production.
    pub(crate) async fn production() -> Self {
        Self::production_with(|_| ()).await
    }

    /// On SQLite, with the rules of production and other settings.
    pub(crate) async fn production_with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { environment: Environment::Production, ..settings() };
        change(&mut settings);
        Self::made(Backend::sqlite().await, |_| (), settings).await
    }

    async fn made(backend: Backend, change: impl FnOnce(&mut Ports), settings: Settings) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let provider = chancery_kms::Local::create(&folder.path().join("root.key")).unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(1_790_000_000_000_000)));
        let mut ports = Ports {
            store: backend.store.clone(),
            directory: backend.directory.clone(),
            clock: clock.clone(),
            random: Arc::new(SystemRandom),
            providers: vec![Arc::new(provider)],
            own: Vec::new(),
            resident: Vec::new(),
            tables: Arc::new(chancery_datasets::Tables::new(Arc::new(UrlFolder(folder.path().to_owned())))),
            documents: Arc::new(chancery_domain::identity_providers::NoDocuments),
        };
        change(&mut ports);
        let node = NodeId::from_bytes([1; 16]);
        let mut admin = String::new();
        let mut deliver = |text: &chancery_crypto::Secret<String>| {
            admin = text.expose().clone();
            Ok(())
        };
        initialise(&ports, &settings, node, FirstAdmin::default(), &mut deliver).await.unwrap();
        Self::start(ports, settings, clock, Caller { bearer: admin }, (folder, backend)).await
    }

    async fn start(ports: Ports, settings: Settings, clock: Arc<TestClock>, admin: Caller, held: Held) -> Self {
        Self::start_for(ports, settings, clock, admin, held, relying_party()).await
    }

    async fn start_for(
        ports: Ports,
        settings: Settings,
        clock: Arc<TestClock>,
        admin: Caller,
        held: Held,
        party: RelyingParty,
    ) -> Self {
        let instance = Instance::open(ports.clone(), settings, NodeId::from_bytes([1; 16])).await.unwrap();
        instance.enroll_devices_with(Arc::new(PlainCertificates));
        // Without the library in the build there are no passkeys, and their tests do not run.
        if let Ok(verifier) = chancery_webauthn::verifier(party, None) {
            instance.offer_passkeys(verifier);
        }
        let metrics = Metrics::new();
        let router = chancery_api::router(instance.clone(), metrics.clone(), Limits::default());
        Self { router, instance, metrics, clock, admin, ports, held }
    }

    /// Another process on the same store, with other settings.
    pub(crate) async fn again(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        change(&mut settings);
        Self::start(self.ports.clone(), settings, self.clock.clone(), self.admin.clone(), self.held.clone()).await
    }

    /// Another process on the same store, whose passkeys are for this relying party.
    pub(crate) async fn for_party(&self, party: RelyingParty) -> Self {
        let (ports, clock, held) = (self.ports.clone(), self.clock.clone(), self.held.clone());
        Self::start_for(ports, settings(), clock, self.admin.clone(), held, party).await
    }

    /// Another process on the same store, on a machine with this clock.
    pub(crate) async fn elsewhere(&self, clock: Arc<TestClock>) -> Self {
        let ports = Ports { clock: clock.clone(), ..self.ports.clone() };
        Self::start(ports, settings(), clock, self.admin.clone(), self.held.clone()).await
    }

    /// The same instance behind another door: with other limits, and nothing kept from before.
    pub(crate) fn door(mut self, limits: Limits) -> Self {
        self.router = chancery_api::router(self.instance.clone(), self.metrics.clone(), limits);
        self
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        crate::headers::assert_complete(&parts.headers);
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        // No answer waits for outcomes; tests do, so that what comes next finds the log as this request leaves it. A store that was
        // told to fail takes none.
        let _ = tokio::time::timeout(Duration::from_millis(200), self.instance.openings().settled()).await;
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// A request without a credential.
    pub(crate) async fn anonymous(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.send(request(method, path, body)).await
    }

    pub(crate) async fn call(&self, caller: &Caller, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.send(caller.sign(request(method, path, body))).await
    }

    pub(crate) async fn get(&self, caller: &Caller, path: &str) -> Reply {
        self.call(caller, "GET", path, None).await
    }

    pub(crate) async fn post(&self, caller: &Caller, path: &str, body: Value) -> Reply {
        self.call(caller, "POST", path, Some(body)).await
    }

    pub(crate) async fn put(&self, caller: &Caller, path: &str, body: Value) -> Reply {
        self.call(caller, "PUT", path, Some(body)).await
    }

    /// Makes an application's database with these statements, and a file `name` that says where it is.
    pub(crate) async fn database(&self, name: &str, statements: &[&'static str]) -> chancery_datasets::Database {
        let folder = self.held.0.path();
        let url = chancery_datasets::testing::sqlite(&folder.join(format!("{name}.db")), statements).await;
        std::fs::write(folder.join(name), &url).unwrap();
        chancery_datasets::Database::open(&url).await.unwrap()
    }

    /// A caller with these roles in a tenant, by an API key that the platform's admin makes.
    pub(crate) async fn caller(&self, tenant: &str, role: &str) -> Caller {
        let body = json!({"description": role, "roles": [role]});
        let made = self.post(&self.admin, &format!("/v1/tenants/{tenant}/api-keys"), body).await;
        Caller { bearer: made.created()["key"].as_str().unwrap().to_owned() }
    }

    /// A tenant with a caller for every role.
    pub(crate) async fn clinic(&self, slug: &str) -> Clinic {
        let made = self.post(&self.admin, "/v1/tenants", json!({"name": format!("Clinic {slug}"), "slug": slug})).await;
        let id = made.created()["id"].as_str().unwrap().to_owned();
        Clinic {
            admin: self.caller(&id, "tenant_admin").await,
            officer: self.caller(&id, "security_officer").await,
            auditor: self.caller(&id, "auditor").await,
            service: self.caller(&id, "service").await,
            staff: self.caller(&id, "staff").await,
            slug: slug.to_owned(),
            id,
        }
    }

    /// Registers the fields that the tests seal.
    pub(crate) async fn register_fields(&self, clinic: &Clinic) {
        for (column, body) in [
            ("ssn", json!({"index": {"normalizer": "digits"}})),
            ("last_name", json!({"index": {"normalizer": "name", "bits": 256}})),
            ("note", json!({"bind": "column"})),
            ("age", json!({"type": "integer", "class": "internal"})),
            ("price", json!({"type": "decimal"})),
            ("smoker", json!({"type": "boolean"})),
            ("photo", json!({"type": "bytes"})),
            ("birth_date", json!({"type": "date"})),
            ("extra", json!({"type": "json"})),
        ] {
            let reply = self.put(&clinic.officer, &format!("/v1/fields/patients/{column}"), body).await;
            assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        }
    }

    /// Seals one value of `patients`.
    pub(crate) async fn seal(&self, caller: &Caller, column: &str, row: &str, value: Value) -> Value {
        let item = json!({"table": "patients", "column": column, "row": row, "value": value});
        let reply = self.post(caller, "/v1/seal", json!({"items": [item]})).await;
        reply.ok()["items"][0].clone()
    }

    /// Opens one value of `patients`.
    pub(crate) async fn open(&self, caller: &Caller, column: &str, row: &str, sealed: &Value) -> Reply {
        let item = json!({"table": "patients", "column": column, "row": row, "sealed": sealed});
        self.post(caller, "/v1/open", json!({"reason": "visit", "items": [item]})).await
    }

    /// The events of a tenant with this type, all of them; of uses of personal data their intents.
    pub(crate) async fn events(&self, auditor: &Caller, kind: &str) -> Vec<Value> {
        let all = self.events_and_outcomes(auditor, kind).await;
        all.into_iter().filter(|event| event["phase"] != "outcome").collect()
    }

    /// How uses of personal data of this type ended, all that have.
    pub(crate) async fn outcomes(&self, auditor: &Caller, kind: &str) -> Vec<Value> {
        self.instance.openings().settled().await;
        let all = self.events_and_outcomes(auditor, kind).await;
        all.into_iter().filter(|event| event["phase"] == "outcome").collect()
    }

    async fn events_and_outcomes(&self, auditor: &Caller, kind: &str) -> Vec<Value> {
        let path = format!("/v1/audit/events?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&limit=1000&type={kind}");
        self.get(auditor, &path).await.ok()["items"].as_array().unwrap().clone()
    }
}

/// A request as a plain client sends it.
pub(crate) fn request(method: &str, path: &str, body: Option<Value>) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path).header("host", "chancery.test");
    if body.is_some() {
        builder = builder.header("content-type", "application/json");
    }
    let mut request = builder.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4711))));
    request
}

/// Someone with a credential.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) bearer: String,
}

impl Caller {
    pub(crate) fn sign(&self, mut request: Request<Body>) -> Request<Body> {
        request.headers_mut().insert("authorization", format!("Bearer {}", self.bearer).parse().unwrap());
        request
    }
}

/// A tenant and its people.
pub(crate) struct Clinic {
    pub(crate) id: String,
    pub(crate) slug: String,
    pub(crate) admin: Caller,
    pub(crate) officer: Caller,
    pub(crate) auditor: Caller,
    pub(crate) service: Caller,
    pub(crate) staff: Caller,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text());
        self.json()
    }

    #[track_caller]
    pub(crate) fn created(&self) -> Value {
        assert_eq!(self.status, StatusCode::CREATED, "{}", self.text());
        self.json()
    }

    /// The problem's code; the answer must be one.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        assert!(self.status.as_u16() >= 400, "{} {}", self.status, self.text());
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.text());
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        body["code"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code().as_str()), (status, code), "{}", self.text());
    }

    /// Everything but the request id.
    pub(crate) fn visible(&self) -> (StatusCode, Vec<(String, String)>, Vec<u8>) {
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| *name != "x-request-id")
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        headers.sort();
        (self.status, headers, self.body.clone())
    }
}
