//! The gateway's listener, and its routes while their file changes.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use anyhow::Result;
use chancery_api::Metrics;
use chancery_domain::{
    Instance,
    limits::LimitSettings,
    routes::{Cause, RoutesError, reload},
};
use chancery_gateway::{Demand, Gateway, Settings, assertion::Assertions, schema::Schemas, upload::Uploads};
use chancery_middleware::listener::Welcome;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

use crate::{
    commands::{serve::layers, tell, variables},
    config::{Config, Flags, GatewayConfig, Refused, SchemaConfig},
    following::{Follower, LOOK},
    route_modes,
    route_schemas::{self, RouteSchemas},
    server::{self, Door, Running},
    service::Service,
};

/// The gateway at work.
pub struct AtTheGate {
    running: Running,
    instance: Arc<Instance>,
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
        let GatewayConfig { listen, streams, table, schemas, follow: follows, .. } = gateway;
        let settings = Settings { tls_terminated: config.tls_terminated, streams };
        let documents = Documents::default();
        let gateway = Gateway::new(Arc::clone(instance), settings, table, documents.demands());
        documents.ask(schemas, &gateway);
        let router = gateway.router(Some(Arc::clone(metrics) as _), layers(config));
        let (door, proxies) = (Door::gateway(listen), config.trusted_proxies.clone());
        let running = server::listen_with(door, router, proxies, welcome).await?;
        tracing::info!(address = %running.address(), "The gateway answers at {}", running.address());
        route_modes::tell(&gateway);
        let table = Arc::new(FileTable { gateway, documents: Arc::new(documents), flags: OnceLock::new() });
        instance.show_routes(Arc::clone(&table) as _);
        let instance = Arc::clone(instance);
        Ok(Self { running, instance, table, follows, following: std::sync::Mutex::default() })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Its routes.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.table.gateway
    }

    /// From here on puts the routes to work that the configuration says after SIGHUP, or after its file changed; `file` was made before
    /// the configuration was read.
    pub(crate) fn follow(&self, flags: Flags, mut file: Follower, service: Service) {
        let _ = self.table.flags.set(flags);
        let (instance, follows) = (Arc::clone(&self.instance), self.follows);
        // From this call on, and not from when the task first runs: until then the signal would end the process.
        let hangup = signal(SignalKind::hangup());
        let task = tokio::spawn(async move {
            let Ok(mut hangup) = hangup else { return };
            // What was to be put to work when the log did not take it.
            let mut due = None;
            loop {
                let cause = tokio::select! {
                    _ = hangup.recv() => Some(Cause::Signal),
                    () = tokio::time::sleep(LOOK) => due.or((follows && file.look()).then_some(Cause::File)),
                };
                if let Some(cause) = cause {
                    file.take();
                    service.reloading();
                    due = reloaded(&instance, cause).await.err();
                    service.ready();
                }
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

/// Puts the table of the configuration to work, or tells what is wrong with it. What may pass is tried again: gives why it was asked for.
async fn reloaded(instance: &Instance, cause: Cause) -> Result<(), Cause> {
    match reload(instance, cause).await {
        Ok(routes) => tracing::info!(routes, "Put {routes} routes of the changed configuration to work"),
        Err(RoutesError::Invalid(faults)) => {
            for fault in faults.0 {
                tracing::warn!("Configuration: {}", fault.message);
            }
            tracing::error!("The changed configuration has faults; the routes at work stay");
        }
        Err(error) => {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "The changed configuration is not at work yet");
            return Err(cause);
        }
    }
    Ok(())
}

/// The table that the configuration says: at work in the gateway, and read anew.
pub(crate) struct FileTable {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) documents: Arc<Documents>,
    /// Where the configuration is; once it is followed.
    pub(crate) flags: OnceLock<Flags>,
}

/// The documents that requests are held to, and what asks for them.
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
    /// What a route demands besides: in the order of design §3, the assertion last, for it is bound to what goes on.
    fn demands(&self) -> Vec<Arc<dyn Demand>> {
        vec![Arc::new(Uploads), Arc::clone(&self.schemas) as _, Arc::new(Assertions)]
    }

    /// How many requests came that the document of their route does not name, by the template of its path.
    pub(crate) fn undocumented(&self) -> BTreeMap<&'static str, u64> {
        self.schemas.undocumented()
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

/// The routes that the configuration says now, and its limits.
pub(crate) fn routes(flags: &Flags) -> Result<(Option<GatewayConfig>, LimitSettings), Refused> {
    let (config, warnings) = Config::load(flags, &variables())?;
    tell(&warnings);
    Ok((config.gateway, config.limits))
}
