//! The gateway's listener, and its routes while their file changes.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::SystemTime};

use anyhow::Result;
use chancery_api::Metrics;
use chancery_domain::Instance;
use chancery_gateway::{Gateway, Settings, Table};
use chancery_middleware::listener::Welcome;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

use crate::{
    commands::{serve::layers, tell, variables},
    config::{Config, Flags, GatewayConfig, Refused},
    server::{self, Door, Running},
};

/// How often the file is looked at.
const LOOK: std::time::Duration = std::time::Duration::from_secs(2);

/// The gateway at work.
pub struct AtTheGate {
    running: Running,
    gateway: Arc<Gateway>,
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
        let listen = gateway.listen;
        let gateway = Gateway::new(Arc::clone(instance), settings, gateway.table, Vec::new());
        let router = gateway.router(Some(Arc::clone(metrics) as _), layers(config));
        let running = server::listen_with(Door::gateway(listen), router, welcome).await?;
        tracing::info!(address = %running.address(), "The gateway answers at {}", running.address());
        Ok(Self { running, gateway, following: std::sync::Mutex::default() })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    /// Its routes.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// From here on puts the routes to work that the configuration says after SIGHUP, or after its file changed.
    pub fn follow(&self, flags: Flags) {
        let gateway = Arc::clone(&self.gateway);
        let task = tokio::spawn(async move {
            let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
            let mut seen = changed(flags.file.as_ref());
            loop {
                tokio::select! {
                    _ = hangup.recv() => {}
                    () = tokio::time::sleep(LOOK) => {
                        let now = changed(flags.file.as_ref());
                        if std::mem::replace(&mut seen, now) == now {
                            continue;
                        }
                    }
                }
                reload(&gateway, &flags);
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

/// Validates, applies; whatever is wrong leaves the routes that are at work.
fn reload(gateway: &Gateway, flags: &Flags) {
    match routes(flags) {
        Ok(Some(table)) => {
            let routes = table.routes().len();
            gateway.apply(table);
            tracing::info!(routes, "Put {routes} routes of the changed configuration to work");
        }
        Ok(None) => tracing::error!("The changed configuration has no gateway; the routes at work stay"),
        Err(refused) => tracing::error!(%refused, "The changed configuration has faults; the routes at work stay"),
    }
}

/// The routes that the configuration says now.
fn routes(flags: &Flags) -> Result<Option<Table>, Refused> {
    let (config, warnings) = Config::load(flags, &variables())?;
    tell(&warnings);
    Ok(config.gateway.map(|gateway| gateway.table))
}

fn changed(file: Option<&PathBuf>) -> Option<SystemTime> {
    std::fs::metadata(file?).and_then(|metadata| metadata.modified()).ok()
}
