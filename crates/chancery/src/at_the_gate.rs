//! The gateway's listener, and its routes while their file changes.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use anyhow::Result;
use chancery_api::Metrics;
use chancery_domain::Instance;
use chancery_gateway::{Demand, Gateway, Settings, assertion::Assertions, schema::Schemas, upload::Uploads};
use chancery_middleware::listener::Welcome;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

use crate::{
    commands::{serve::layers, tell, variables},
    config::{Config, Flags, GatewayConfig, Refused, SchemaConfig},
    route_schemas::{self, RouteSchemas},
    server::{self, Door, Running},
    service::Service,
};

/// How often the file is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_secs(2);

/// The gateway at work.
pub struct AtTheGate {
    running: Running,
    table: Arc<FileTable>,
    follows: bool,
    following: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl AtTheGate {
    /// Listens.
    ///
    /// # Errors
    ///
    /// If the address cannot be had.
    pub async fn start(
        config: &Config,
        gateway: GatewayConfig,
        instance: &Arc<Instance>,
        metrics: &Arc<Metrics>,
        welcome: Option<Arc<dyn Welcome>>,
    ) -> Result<Self> {
        let settings = Settings { tls_terminated: config.tls_terminated };
        let GatewayConfig { listen, table, schemas, follow: follows } = gateway;
        let documents = Documents::default();
        let gateway = Gateway::new(Arc::clone(instance), settings, table, documents.demands());
        documents.ask(schemas, &gateway);
        let router = gateway.router(Some(Arc::clone(metrics) as _), layers(config));
        let running = server::listen_with(Door::gateway(listen), router, welcome).await?;
        tracing::info!(address = %running.address(), "The gateway answers at {}", running.address());
        let table = Arc::new(FileTable { gateway, documents: Arc::new(documents), flags: OnceLock::new() });
        instance.show_routes(Arc::clone(&table) as _);
        Ok(Self { running, table, follows, following: std::sync::Mutex::default() })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Its routes.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.table.gateway
    }

    /// From here on puts the routes to work that the configuration says after SIGHUP, or after its file changed.
    pub fn follow(&self, flags: Flags, service: Service) {
        let _ = self.table.flags.set(flags.clone());
        let (table, follows) = (Arc::clone(&self.table), self.follows);
        let task = tokio::spawn(async move {
            let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
            let mut seen = changed(flags.file.as_ref());
            loop {
                tokio::select! {
                    _ = hangup.recv() => {}
                    () = tokio::time::sleep(LOOK), if follows => {
                        let now = changed(flags.file.as_ref());
                        if std::mem::replace(&mut seen, now) == now {
                            continue;
                        }
                    }
                }
                service.reloading();
                table.reload(&flags);
                service.ready();
            }
        });
        let before = self.following.lock().unwrap_or_else(|poison| poison.into_inner()).replace(task);
        if let Some(before) = before {
            before.abort();
        }
    }

    /// Drains; says whether all requests finished.
    pub async fn stop(self) -> bool {
        if let Some(following) = self.following.lock().unwrap_or_else(|poison| poison.into_inner()).take() {
            following.abort();
        }
        self.running.stop().await
    }
}

/// The table that the configuration says: at work in the gateway, and read anew.
pub(crate) struct FileTable {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) documents: Arc<Documents>,
    /// Where the configuration is; once it is followed.
    pub(crate) flags: OnceLock<Flags>,
}

impl FileTable {
    /// Validates, applies; whatever is wrong leaves the routes that are at work.
    fn reload(&self, flags: &Flags) {
        match routes(flags) {
            Ok(Some(GatewayConfig { table, schemas, .. })) => {
                let routes = table.routes().len();
                self.gateway.apply(table);
                self.documents.ask(schemas, &self.gateway);
                tracing::info!(routes, "Put {routes} routes of the changed configuration to work");
            }
            Ok(None) => tracing::error!("The changed configuration has no gateway; the routes at work stay"),
            Err(refused) => {
                tell(&refused.0.faults);
                tracing::error!("The changed configuration has faults; the routes at work stay");
            }
        }
    }
}

/// What a route demands besides: in the order of design §3, the assertion last, for it is bound to what goes on.
#[derive(Default)]
pub(crate) struct Documents {
    schemas: Arc<Schemas>,
    asking: std::sync::Mutex<Asking>,
}

/// The documents that are asked for, what they are asked by, and those of the table before.
#[derive(Default)]
struct Asking {
    _task: RouteSchemas,
    now: Vec<SchemaConfig>,
    before: Vec<SchemaConfig>,
}

impl Documents {
    fn demands(&self) -> Vec<Arc<dyn Demand>> {
        vec![Arc::new(Uploads), Arc::clone(&self.schemas) as _, Arc::new(Assertions)]
    }

    /// Asks for these documents from here on.
    pub(crate) fn ask(&self, configured: Vec<SchemaConfig>, gateway: &Gateway) {
        let task = route_schemas::begin(&self.schemas, configured.clone(), &gateway.table());
        let mut asking = self.asking.lock().unwrap_or_else(|poison| poison.into_inner());
        let before = std::mem::take(&mut asking.now);
        *asking = Asking { _task: task, now: configured, before };
    }

    /// Asks for those of the table before from here on.
    pub(crate) fn ask_before(&self, gateway: &Gateway) {
        let before = self.asking.lock().unwrap_or_else(|poison| poison.into_inner()).before.clone();
        self.ask(before, gateway);
    }
}

/// The routes that the configuration says now.
pub(crate) fn routes(flags: &Flags) -> Result<Option<GatewayConfig>, Refused> {
    let (config, warnings) = Config::load(flags, &variables())?;
    tell(&warnings);
    Ok(config.gateway)
}

fn changed(file: Option<&PathBuf>) -> Option<SystemTime> {
    std::fs::metadata(file?).and_then(|metadata| metadata.modified()).ok()
}
