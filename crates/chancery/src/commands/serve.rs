//! Runs the server.

use std::{fs::File, pin::pin, process::ExitCode, sync::Arc};

use anyhow::{Context as _, Result, bail};
use chancery_api::Metrics;
use chancery_datasets::Tables;
use chancery_domain::{
    Instance, blocks,
    ids::NodeId,
    instance::{Deployment, Environment, Ports, Settings},
    keyring::root,
    limits,
};
use chancery_kms::private_file;
use chancery_middleware::{Limits, listener::Welcome};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

use crate::{
    archives,
    at_the_gate::AtTheGate,
    commands::{init, load, say, tell},
    config::{Config, Findings, Flags, StoreConfig},
    following::Follower,
    issuer_documents::IssuerDocuments,
    jobs::Jobs,
    node, pins,
    server::{self, Door, Running},
    service::Service,
    shared::Shared,
    sinks, telemetry,
    tls::{Tls, redirect},
    url_files::UrlFolder,
    webhook_jobs::{HttpSender, Senders},
    wiring,
    wiring::{
        Stores,
        providers::{Absent, Providers},
    },
};

/// `chancery serve`.
///
/// # Errors
///
/// With all faults of the configuration, or why it did not start.
pub async fn run(flags: Flags) -> Result<ExitCode> {
    let file = Follower::new(flags.file.clone());
    let (config, warnings) = load(&flags)?;
    let _logging = telemetry::start(config.log_format, &config.log_level);
    tell(&warnings);
    let mut told = pin!(told_to_stop()?);
    let server = tokio::select! {
        started = Server::start(config) => started?,
        // Whoever starts next finds what a killed process leaves.
        () = &mut told => {
            tracing::info!("Told to stop before it was ready");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let scheme = if server.config.tls.is_some() { "https" } else { "http" };
    say(format_args!("chancery is ready at {scheme}://{}", server.address()));
    let service = Service::of_environment();
    match &server.gateway {
        Some(gateway) => {
            say(format_args!("its gateway is ready at {scheme}://{}", gateway.address()));
            gateway.follow(flags, file, service.clone());
        }
        None => service.outlive_hangups()?,
    }
    service.ready();
    let watching = service.watch();
    let another = server.is_another();
    let served = async {
        told.await;
        service.stopping();
        tracing::info!("Draining");
        server.stop().await;
    };
    tokio::select! {
        () = served => {}
        // Nothing more is written, not even that it ends.
        () = another => bail!("another process is this node now: this machine, or its `data_dir`, was copied"),
    }
    if let Some(watching) = watching {
        watching.abort();
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends at SIGTERM or SIGINT. From this call on they do nothing else; before, they simply end the process.
///
/// # Errors
///
/// If the system gives no signals.
pub(crate) fn told_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// A whole server at work: listeners and jobs over one instance.
pub struct Server {
    api: Running,
    /// Where plain HTTP is sent on to HTTPS.
    redirect: Option<Running>,
    /// Look whether the certificate has changed, and see to the next one.
    followers: Vec<JoinHandle<()>>,
    metrics: Running,
    /// What stands in front of applications, if anything does.
    pub gateway: Option<AtTheGate>,
    jobs: Jobs,
    /// The store, for another listener over it.
    pub stores: Stores,
    /// The configuration it runs with.
    pub config: Config,
    providers: Providers,
    /// Keeps other processes of the folder from this node's id; `None` if it has another.
    _node_held: Option<File>,
    /// Keeps those of other machines from it, where they share the store.
    node: Option<node::Held>,
}

impl Server {
    /// Starts everything; in development an empty folder is set up first.
    ///
    /// # Errors
    ///
    /// With what is wrong and its cure.
    pub async fn start(mut config: Config) -> Result<Self> {
        server::open_files();
        if config.is_dev() {
            tracing::warn!("DEVELOPMENT: weak secrets only warn, any role may be granted. Not for real data");
        }
        prepare(&config)?;
        let stores = Stores::open(&config).await?;
        let providers = set_up_or_open(&config, &stores).await?;
        check_again(&config, &stores).await?;
        let metrics = Metrics::new();
        metrics.watch_log(telemetry::removed);
        let timed = Stores { store: metrics.timed(Arc::clone(&stores.store)), ..stores.clone() };
        let settings = Settings { legacy: wiring::legacy(&config)?, ..wiring::settings(&config) };
        let new_node = pins::is_new_node(&config);
        let (node, node_held) = wiring::held_node_id(&config)?;
        let (instance, shared) = open(&config, &timed, &providers, settings, node, new_node).await?;
        let node = match &node_held {
            Some(file) if matches!(config.store, StoreConfig::Postgres(_)) => {
                Some(node::Held::claim(&instance, file).await?)
            }
            _ => None,
        };
        blocks::load(&instance).await.context("the store does not give the blocked addresses")?;
        instance.feed_sinks(sinks::open(&config, &instance, &timed).await?);
        instance.keep_archives_at(archives::open(&config).await?);
        limits::tell_if_off(&instance).await.context("the log does not take that limits are off")?;
        let http = HttpSender::new(&config.webhooks)?;
        let router = chancery_api::router(Arc::clone(&instance), Arc::clone(&metrics), layers(&config));
        let tls = config.tls.clone().map(Tls::open).transpose()?;
        let welcome = tls.clone().map(|tls| tls as Arc<dyn Welcome>);
        let (door, proxies) = (Door::api(config.listen), config.trusted_proxies.clone());
        let api = server::listen_with(door, router, proxies.clone(), welcome.clone()).await?;
        let redirect = match config.redirect_listen {
            Some(address) => {
                let proofs = tls.as_ref().and_then(|tls| tls.proofs().cloned());
                let gate = tls.clone().zip(config.gateway.as_ref()).map(|(tls, gateway)| redirect::Gate {
                    covers: Arc::new(move |host: &str| tls.facts().is_some_and(|facts| facts.covers(host))),
                    port: gateway.public_port,
                });
                let router = redirect::router(&config.public_url, gate, proofs);
                Some(server::listen_with(Door::redirect(address), router, proxies, None).await?)
            }
            None => None,
        };
        let metrics_router = chancery_api::metrics_router(Arc::clone(&metrics));
        let metrics_at = server::listen(Door::metrics(config.metrics_listen), metrics_router).await?;
        let gateway = match config.gateway.take() {
            Some(gateway) => Some(AtTheGate::start(&config, gateway, &instance, &metrics, welcome).await?),
            None => None,
        };
        // Every door is open: an authority may look at once.
        let renewing = ask_authority(&config, &instance)?;
        let followers = tls.iter().map(|tls| tls.follow(&instance)).chain(renewing).collect();
        let sender = Arc::new(Senders { http, gateway: gateway.as_ref().map(|at| Arc::clone(at.gateway())) });
        let jobs = Jobs::start(&instance, &timed, &metrics, &config, sender, shared);
        tracing::info!(address = %metrics_at.address(), "Metrics are at http://{}/metrics", metrics_at.address());
        tracing::info!(address = %api.address(), environment = config.environment.as_str(), "Ready");
        Ok(Self {
            api,
            redirect,
            followers,
            metrics: metrics_at,
            gateway,
            jobs,
            stores: timed,
            config,
            providers,
            _node_held: node_held,
            node,
        })
    }

    /// Where the API answers.
    pub fn address(&self) -> std::net::SocketAddr {
        self.api.address()
    }

    /// Where the metrics answer.
    pub fn metrics_address(&self) -> std::net::SocketAddr {
        self.metrics.address()
    }

    /// Waits until another process is this node.
    pub fn is_another(&self) -> impl Future<Output = ()> + use<> {
        let lost = self.node.as_ref().map(node::Held::lost);
        async move {
            match lost {
                Some(lost) => lost.await,
                None => std::future::pending().await,
            }
        }
    }

    /// A second listener over the same store, with other settings.
    ///
    /// # Errors
    ///
    /// If it cannot listen.
    pub async fn beside(&self, change: impl FnOnce(&mut Settings)) -> Result<Running> {
        let mut settings = wiring::settings(&self.config);
        change(&mut settings);
        let node = wiring::node_id(&self.config)?;
        let (instance, _) = open(&self.config, &self.stores, &self.providers, settings, node, false).await?;
        let router = chancery_api::router(instance, Metrics::new(), layers(&self.config));
        server::listen(Door::api(std::net::SocketAddr::from(([127, 0, 0, 1], 0))), router).await
    }

    /// Drains, writes what is open, and ends.
    pub async fn stop(self) {
        for follower in self.followers {
            follower.abort();
        }
        if let Some(redirect) = self.redirect {
            redirect.stop().await;
        }
        // Both at once: neither waits for the other's requests.
        let gateway = async {
            match self.gateway {
                Some(gateway) => gateway.stop().await,
                None => true,
            }
        };
        let (api, gateway) = tokio::join!(self.api.stop(), gateway);
        if !(api && gateway) {
            tracing::warn!("Some requests did not finish in time");
        }
        self.jobs.stop().await;
        if let Some(node) = self.node {
            node.give_back().await;
        }
        self.metrics.stop().await;
        // For SQLite: moves the write-ahead log into the file, so that a copy of the file alone is whole.
        self.stores.archives.close().await;
    }
}

/// Sees to the listeners' certificate, if an authority is to give it.
#[cfg(feature = "acme")]
fn ask_authority(config: &Config, instance: &Arc<Instance>) -> Result<Option<JoinHandle<()>>> {
    config.acme.clone().map(|acme| crate::acme::begin(acme, instance)).transpose()
}

/// The configuration was refused if it asks for an authority.
#[cfg(not(feature = "acme"))]
fn ask_authority(_: &Config, _: &Arc<Instance>) -> Result<Option<JoinHandle<()>>> {
    Ok(None)
}

/// How the layers of the API and of the gateway are set.
pub(crate) fn layers(config: &Config) -> Limits {
    Limits { trusted_proxies: config.trusted_proxies.clone(), edge: config.edge.clone(), ..Limits::default() }
}

async fn open(
    config: &Config,
    stores: &Stores,
    providers: &Providers,
    settings: Settings,
    node: NodeId,
    new_node: bool,
) -> Result<(Arc<Instance>, Option<Arc<Shared>>)> {
    let tables = Arc::new(Tables::new(Arc::new(UrlFolder(config.datasets_folder.clone()))));
    let documents = Arc::new(IssuerDocuments::new(&config.issuers)?);
    let ports = Ports { tables, documents, ..stores.ports(providers) };
    let instance = Instance::open(ports, settings, node).await?;
    instance.keep_copies_at(wiring::destinations(config)?);
    wiring::guard(config, &instance, new_node).await?;
    instance.enroll_devices_with(wiring::devices(config)?);
    if let Some(verifier) = wiring::passkeys(config)? {
        instance.offer_passkeys(verifier);
    }
    let shared = Shared::open(config, &instance).await?;
    Ok((instance, shared))
}

/// Folders that the first start of development makes. In production a missing one is a mistake.
fn prepare(config: &Config) -> Result<()> {
    if config.is_dev() {
        private_file::create_folder(&config.data_dir)?;
    } else if !config.data_dir.is_dir() {
        bail!("{} does not exist; run `chancery init` first, or correct --data", config.data_dir.display());
    }
    Ok(())
}

/// The providers of an initialised store; an empty one is set up in development and refused otherwise.
async fn set_up_or_open(config: &Config, stores: &Stores) -> Result<Providers> {
    if !stores.recipients().await?.is_empty() {
        return Providers::open(config, Absent::Refuse).await;
    }
    if !config.is_dev() {
        bail!("this store is not initialised; run `chancery init` with the same configuration");
    }
    // A key file may be there, left by a first start that did not get far.
    let providers = Providers::open(config, Absent::Make).await?;
    init::first_start(config, stores, &providers).await?;
    Ok(providers)
}

/// The second look: the same checks as on reading, and what only the store knows (CF-05, TN-10).
async fn check_again(config: &Config, stores: &Stores) -> Result<()> {
    let mut findings = config.check();
    findings.merge(judge_store(config, stores).await?);
    let warnings = findings.check()?;
    // Those of the configuration were told already.
    let known = config.check().warnings;
    tell(&warnings.into_iter().filter(|warning| !known.contains(warning)).collect::<Vec<_>>());
    Ok(())
}

/// What only the store knows.
///
/// # Errors
///
/// If it does not answer.
pub(crate) async fn judge_store(config: &Config, stores: &Stores) -> Result<Findings> {
    let mut findings = Findings::default();
    let clear: u64 = stores.tenants().await?.iter().map(|entry| u64::from(entry.clear_fields)).sum();
    if clear > 0 && config.deployment != Deployment::SingleHospital {
        findings.fault(
            "deployment",
            format!("is {} and {clear} registered personal field(s) are kept in clear", config.deployment),
            "register them with encryption, or set deployment = \"single_hospital\" if this is one hospital's own machine",
        );
    }
    let recipients = stores.recipients().await?;
    let live = root::live(&recipients);
    let needed = root::needed(&wiring::settings(config));
    if let Some(other) = live.iter().find(|recipient| recipient.environment != config.environment.as_str()) {
        findings.fault(
            "environment",
            format!("is {} and this store belongs to {}", config.environment, other.environment),
            cure_of_environment(config.environment, &other.environment),
        );
    } else if live.len() < needed {
        findings.fault(
            "key_providers",
            format!("{} recipient(s) hold the root and {needed} are needed: if they are lost, all data is", live.len()),
            "run `chancery root add --recovery-key`, or name a further key provider and run `chancery root add NAME`",
        );
    } else if live.len() == 1 {
        findings.warn(
            "key_providers",
            "has one recipient of the root: if it is lost, all data is",
            "run `chancery root add --recovery-key` before there is data that counts",
        );
    }
    for failing in live.iter().filter(|recipient| recipient.failed_at.is_some()) {
        findings.warn(
            "key_providers",
            format!("{} {} does not give the root any more", failing.provider, failing.label),
            "see `chancery root prove`, and replace it with `chancery root replace` if it is lost",
        );
    }
    Ok(findings)
}

/// What to do about a store of another environment.
fn cure_of_environment(ours: Environment, theirs: &str) -> String {
    let again = match theirs == Environment::Development.as_str() {
        true => "start with --dev".to_owned(),
        false => format!("start without --dev and with environment = \"{theirs}\""),
    };
    format!(
        "{again} to go on with this store; for {ours} make another one: `chancery init` with another data_dir and root key"
    )
}

/// Names the file that a newcomer looks for.
pub(crate) fn read_admin_key(config: &Config) -> Result<String> {
    let path = config.admin_key_file();
    let bytes = private_file::read(&path, 4096)
        .with_context(|| format!("{} holds the platform admin's key", path.display()))?;
    Ok(std::str::from_utf8(&bytes)?.trim().to_owned())
}
