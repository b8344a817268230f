//! A store that was in use years ago: an instance in this process whose clock stands then. Afterwards the binary serves it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chancery::{
    config::{Config, Flags},
    server::{self, Door, Running},
    wiring::{
        self, Stores,
        providers::{Absent, Providers},
    },
};
use chancery_api::Metrics;
use chancery_domain::{Clock, Instance, Timestamp, instance::Ports};
use chancery_middleware::Limits;
use serde_json::Value;

/// Goes on by a millisecond with each look.
struct OldClock(AtomicI64);

impl Clock for OldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1_000, Ordering::Relaxed))
    }
}

/// A server of then.
pub(crate) struct Past {
    clock: Arc<OldClock>,
    running: Running,
    stores: Stores,
}

impl Past {
    /// At this moment, over a development store that the binary has set up: that of the folder, or the one at an address.
    pub(crate) async fn at(moment: &str, folder: &Path, store: Option<&str>) -> Self {
        let (data, store) = (Some(folder.to_owned()), store.map(str::to_owned));
        let flags = Flags { dev: true, data, store, ..Flags::default() };
        let (config, _) = Config::load(&flags, &[]).unwrap();
        let stores = Stores::open(&config).await.unwrap();
        let providers = Providers::open(&config, Absent::Refuse).await.unwrap();
        let clock = Arc::new(OldClock(AtomicI64::new(moment.parse::<Timestamp>().unwrap().as_micros())));
        let ports = Ports { clock: Arc::<OldClock>::clone(&clock), ..stores.ports(&providers) };
        let node = wiring::node_id(&config).unwrap();
        let instance = Instance::open(ports, wiring::settings(&config), node).await.unwrap();
        let router = chancery_api::router(instance, Metrics::new(), Limits::default());
        let door = Door::api(SocketAddr::from(([127, 0, 0, 1], 0)));
        let running = server::listen(door, router).await.unwrap();
        Self { clock, running, stores }
    }

    /// Time goes by.
    pub(crate) fn advance_days(&self, days: i64) {
        self.clock.0.fetch_add(days * 86_400_000_000, Ordering::Relaxed);
    }

    /// A request that must succeed.
    pub(crate) async fn must(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> Value {
        serde_json::from_slice(&self.bytes(method, path, key, body).await).unwrap_or_default()
    }

    /// The same, with the answer as it comes.
    pub(crate) async fn bytes(&self, method: &str, path: &str, key: &str, body: Option<Value>) -> Vec<u8> {
        let client = crate::support::http();
        let address = format!("http://{}{path}", self.running.address());
        let mut request = client.request(method.parse().unwrap(), address).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let (status, body) = (response.status(), response.bytes().await.unwrap().to_vec());
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
        body
    }

    /// A key with these roles.
    pub(crate) async fn key(&self, admin: &str, tenant: &str, roles: &[&str]) -> String {
        let body = serde_json::json!({ "description": "then", "roles": roles });
        let made = self.must("POST", &format!("/v1/tenants/{tenant}/api-keys"), admin, Some(body)).await;
        made["key"].as_str().unwrap().to_owned()
    }

    /// Ends, so that another process has the store for itself.
    pub(crate) async fn end(self) {
        self.running.stop().await;
        self.stores.archives.close().await;
    }
}
