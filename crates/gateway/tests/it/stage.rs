//! A whole gateway in process, and callers made through the API.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use chancery_api::Metrics;
use chancery_crypto::random::SystemRandom;
use chancery_domain::{
    Clock, Instance, Timestamp,
    ids::NodeId,
    initialise::{FirstAdmin, initialise},
    instance::Ports,
    limits::LimitSettings,
};
use chancery_gateway::{Address, Demand, Gateway, Pattern, Route, Settings, Table, Upstream};
use chancery_middleware::{Limits, listener};
use chancery_sqlite::Sqlite;
use chancery_testkit::{
    Faulty,
    samples::{HEADERS, settings},
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tower::ServiceExt as _;

/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);

struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }
}

/// A gateway, the API beside it, and a clinic.
pub(crate) struct Stage {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) address: SocketAddr,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) served: tokio::task::JoinHandle<bool>,
    pub(crate) store: Faulty<Sqlite>,
    api: Router,
    admin: String,
    pub(crate) tenant: String,
    _folder: tempfile::TempDir,
}

/// How much there may be at once.
#[derive(Default)]
pub(crate) struct Room {
    pub(crate) gateway: Settings,
    pub(crate) layers: Limits,
}

impl Stage {
    /// With these routes.
    pub(crate) async fn with(routes: Vec<Route>) -> Self {
        Self::within(routes, listener::Bounds::default()).await
    }

    /// With one route to everything, changed.
    pub(crate) async fn before(application: SocketAddr, change: impl FnOnce(&mut Route)) -> Self {
        let mut all = route("/*", application);
        change(&mut all);
        Self::with(vec![all]).await
    }

    pub(crate) async fn within(routes: Vec<Route>, bounds: listener::Bounds) -> Self {
        Self::made(routes, bounds, Vec::new(), LimitSettings::default(), Room::default()).await
    }

    /// With what stands behind the gateway's own checks.
    pub(crate) async fn demanding(routes: Vec<Route>, demands: Vec<Arc<dyn Demand>>) -> Self {
        Self::made(routes, listener::Bounds::default(), demands, LimitSettings::default(), Room::default()).await
    }

    /// With limits.
    pub(crate) async fn limited(routes: Vec<Route>, limits: LimitSettings) -> Self {
        Self::made(routes, listener::Bounds::default(), Vec::new(), limits, Room::default()).await
    }

    /// With room for so much.
    pub(crate) async fn with_room(routes: Vec<Route>, room: Room) -> Self {
        Self::made(routes, listener::Bounds::default(), Vec::new(), LimitSettings::default(), room).await
    }

    async fn made(
        routes: Vec<Route>,
        bounds: listener::Bounds,
        demands: Vec<Arc<dyn Demand>>,
        limits: LimitSettings,
        room: Room,
    ) -> Self {
        let settings = chancery_domain::instance::Settings { limits, ..settings() };
        let folder = tempfile::tempdir().unwrap();
        let provider = chancery_kms::Local::create(&folder.path().join("root.key")).unwrap();
        let store = Faulty::new(Sqlite::in_memory().await.unwrap());
        let ports = Ports {
            store: Arc::new(store.clone()),
            directory: Arc::new(store.clone()),
            clock: Arc::new(RealClock),
            random: Arc::new(SystemRandom),
            providers: vec![Arc::new(provider)],
            own: Vec::new(),
            resident: Vec::new(),
            tables: Arc::new(chancery_domain::datasets::tables::NoTables),
            documents: Arc::new(chancery_domain::identity_providers::NoDocuments),
        };
        let node = NodeId::from_bytes([1; 16]);
        let mut admin = String::new();
        let mut deliver = |text: &chancery_crypto::Secret<String>| {
            admin = text.expose().clone();
            Ok(())
        };
        initialise(&ports, &settings, node, FirstAdmin::default(), &mut deliver).await.unwrap();
        let instance = Instance::open(ports, settings, node).await.unwrap();
        let api = chancery_api::router(Arc::clone(&instance), Metrics::new(), Limits::default());
        let gateway = Gateway::new(instance, room.gateway, Table::new(routes).unwrap(), demands);
        let router = gateway.router(None, room.layers);
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(listener::serve(socket, router, bounds, Vec::new(), None, stopped));
        let mut stage =
            Self { gateway, address, stop, served, store, api, admin, tenant: String::new(), _folder: folder };
        let made = stage.api("POST", "/v1/tenants", json!({"name": "North", "slug": "north"})).await;
        stage.tenant = made["id"].as_str().unwrap().to_owned();
        stage
    }

    /// Calls the API as the platform's admin.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Value) -> Value {
        let admin = self.admin.clone();
        self.api_as(&admin, method, path, body).await
    }

    pub(crate) async fn api_as(&self, key: &str, method: &str, path: &str, body: Value) -> Value {
        let mut request = Request::builder().method(method).uri(path).header("host", "api.test");
        request = request.header("authorization", format!("Bearer {key}"));
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        };
        let response = self.api.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// An API key of the clinic: its id and its text.
    pub(crate) async fn key(&self, role: &str) -> (String, String) {
        let body = json!({"description": role, "roles": [role]});
        let made = self.api("POST", &format!("/v1/tenants/{}/api-keys", self.tenant), body).await;
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    }

    /// Sends bytes on a connection of their own, and reads until it ends.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut text = Vec::new();
        // A reset behind an answer is an end too.
        let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut text)).await.expect("it ends");
        Answer::parse(&text)
    }

    /// Sends a request with these lines of headers.
    pub(crate) async fn send(&self, method: &str, target: &str, lines: &[&str]) -> Answer {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let text = format!("{method} {target} HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n{lines}\r\n");
        self.raw(text.as_bytes()).await
    }

    /// The events of the clinic of this kind.
    pub(crate) async fn events(&self, kind: &str) -> Vec<Value> {
        let (_, auditor) = self.key("auditor").await;
        self.log(&auditor, &format!("&type={kind}")).await
    }

    /// The events of an auditor's tenant, of this last hour.
    pub(crate) async fn log(&self, auditor: &str, filter: &str) -> Vec<Value> {
        let (from, to) = (RealClock.now().plus_seconds(-3_600), RealClock.now().plus_seconds(3_600));
        let path = format!("/v1/audit/events?from={from}&to={to}&limit=1000{filter}");
        self.api_as(auditor, "GET", &path, Value::Null).await["items"].as_array().unwrap().clone()
    }
}

/// A route that anybody may take.
pub(crate) fn route(pattern: &str, application: SocketAddr) -> Route {
    let address = Address::parse(&format!("http://{application}")).unwrap();
    let upstream = Arc::new(Upstream::new("app", vec![address], None, false));
    let authentication = chancery_gateway::Authentication::None;
    Route { authentication, ..Route::new(Pattern::parse(pattern).unwrap(), upstream) }
}

/// What came back over a connection: the first answer, and all of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) whole: String,
}

impl Answer {
    pub(crate) fn parse(text: &[u8]) -> Self {
        let whole = String::from_utf8_lossy(text).into_owned();
        let (head, body) = whole.split_once("\r\n\r\n").unwrap_or((&whole, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {whole:?}"));
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let headers: HeaderMap = headers.fold(HeaderMap::new(), |mut all, (name, value): (http::HeaderName, _)| {
            all.append(name, value);
            all
        });
        Self { status, headers, body: body.as_bytes().to_vec(), whole: whole.clone() }
    }

    /// What the application saw.
    #[track_caller]
    pub(crate) fn seen(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.whole);
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.whole))
    }

    /// A refusal of the gateway's own, with every header that one has.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.whole);
        assert_eq!(self.headers["content-type"], "application/problem+json", "{}", self.whole);
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["code"], code, "{}", self.whole);
        for (name, value) in HEADERS {
            let values: Vec<_> = self.headers.get_all(name).iter().collect();
            assert_eq!(values, [value], "{name}: {}", self.whole);
        }
        for name in ["x-request-id", "permissions-policy", "cache-control"] {
            assert!(self.headers.contains_key(name), "{name}: {}", self.whole);
        }
        for name in ["server", "x-powered-by", "via"] {
            assert!(!self.headers.contains_key(name), "{name}: {}", self.whole);
        }
    }
}
