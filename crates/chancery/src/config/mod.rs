//! The configuration: one TOML file, variables `CHANCERY__SECTION__KEY`, flags. Production unless told otherwise.
//!
//! Unknown keys refuse to start, all faults are said together with their cure, and the checks run
//! twice: when the configuration is read and again when the server starts (CF-05).

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use chancery_crypto::{Secret, password::Cost};
use chancery_domain::{
    Timestamp,
    instance::{Deployment, Environment, TenantMismatch},
    legacy_tokens::{LegacyTokens, MAX_DAYS},
    limits::LimitSettings,
    tokens::TokenAlgorithm,
    webhooks::KEPT_BYTES,
};
use chancery_middleware::{Edge, headers::Preset};
use ipnet::IpNet;

mod acme;
mod archives;
mod audit;
mod checks;
mod cors;
mod entry;
mod findings;
mod gateway;
mod headers;
mod limits;
mod passkeys;
mod providers;
mod reach;
mod redis;
mod schemas;
mod secret;
mod security_txt;
mod sinks;
mod source;
mod store;
mod text;
mod tls;
mod upstreams;

pub use acme::{AcmeConfig, Look};
pub use archives::{ArchiveConfig, ObjectLock};
pub use audit::{AuditConfig, WitnessConfig};
pub(crate) use checks::is_default_password;
pub use findings::{Finding, Findings, Refused};
pub use gateway::GatewayConfig;
pub use passkeys::PasskeyConfig;
pub use providers::{Place, ProviderConfig};
pub use redis::RedisConfig;
pub use schemas::{SchemaConfig, SchemaSource};
pub use secret::SecretFrom;
pub use sinks::{BucketPlace, Encryption, HttpPlace, SinkConfig, SinkPlace};
pub use source::KEYS;
pub use store::{PostgresAddress, StoreConfig};
pub use text::LogFormat;

use crate::guarded::Reach;
use source::Settings;

use crate::tls::TlsFiles;

/// A verifier reads no longer one.
const LONGEST_WEBHOOK: u32 = 16 * 1024 * 1024;

/// The default address of the API.
const LISTEN: &str = "127.0.0.1:8700";
/// The default address of the metrics.
const METRICS_LISTEN: &str = "127.0.0.1:8701";

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// `--dev`.
    pub dev: bool,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--metrics-listen`.
    pub metrics_listen: Option<String>,
    /// `--store`.
    pub store: Option<String>,
    /// `--upstream` of the gateway.
    pub upstream: Option<String>,
    /// `--listen` of the gateway.
    pub gateway_listen: Option<String>,
    /// `--mode` of the gateway.
    pub gateway_mode: Option<String>,
}

/// How this installation runs.
#[derive(Debug)]
pub struct Config {
    /// Which rules hold; also bound into what the root key wraps.
    pub environment: Environment,
    /// For whom.
    pub deployment: Deployment,
    /// Where things are put that have no place of their own.
    pub data_dir: PathBuf,
    /// Where the API answers.
    pub listen: SocketAddr,
    /// Where the metrics answer.
    pub metrics_listen: SocketAddr,
    /// How clients name this server; the issuer of its tokens.
    pub public_url: String,
    /// The instance's name, in trust files and log origins.
    pub name: String,
    /// A proxy in front ends TLS.
    pub tls_terminated: bool,
    /// Whose word on a client's address counts.
    pub trusted_proxies: Vec<IpNet>,
    /// The server's own certificate and key.
    pub tls: Option<TlsFiles>,
    /// Who gives them, if an authority does.
    pub acme: Option<AcmeConfig>,
    /// Where plain HTTP is sent on to HTTPS.
    pub redirect_listen: Option<SocketAddr>,
    /// Where everything is remembered.
    pub store: StoreConfig,
    /// The folder with a folder per tenant, in which the addresses of its datasets' databases are.
    pub datasets_folder: PathBuf,
    /// The root key's file.
    pub key_file: PathBuf,
    /// For how long the unwrapped root is used before its providers are asked again.
    pub root_lease_seconds: u32,
    /// How many MiB the unwrapped keys of tenants may take.
    pub lease_memory_mib: u32,
    /// What wraps the root and the keys of tenants, and where keys may live.
    pub key_providers: Vec<ProviderConfig>,
    /// Where copies of single keys go, if anywhere.
    pub copies: Option<Copies>,
    /// Where events go besides the log.
    pub audit_sinks: Vec<SinkConfig>,
    /// What a spoofed tenant leads to.
    pub mismatch: TenantMismatch,
    /// How the issuers of identity providers are reached.
    pub issuers: Issuers,
    /// How applications are reached to which webhooks are handed on.
    pub webhooks: Reach,
    /// The longest webhook that is kept.
    pub webhook_body_bytes: u32,
    /// A file with the roots that vouch for devices, in place of Apple's.
    pub app_attest_roots_file: Option<PathBuf>,
    /// How long an access token lives.
    pub access_minutes: u8,
    /// How access tokens are signed.
    pub token_algorithm: TokenAlgorithm,
    /// After how many days the key that signs access tokens gets a successor.
    pub token_rotation_days: u16,
    /// How many days a refresh token lives that nobody uses.
    pub refresh_days: u16,
    /// How many days a session lives, whatever happens.
    pub session_days: u16,
    /// Whether logins also set the cookie of older installations.
    pub access_token_cookie: bool,
    /// Tokens of an older system that are taken for a few days.
    pub legacy: Option<Legacy>,
    /// What a password hash costs.
    pub password_cost: Cost,
    /// How often an API key without a limit of its own may be used in a minute; without end if 0.
    pub api_key_per_minute: u32,
    /// How often other things may be done.
    pub limits: LimitSettings,
    /// Redis, where nodes share one.
    pub redis: Option<RedisConfig>,
    /// Whether a refused login answers 400, as older versions did, and not 401.
    pub login_400: bool,
    /// Passkeys, if they are offered.
    pub passkeys: Option<PasskeyConfig>,
    /// How the audit log is guarded.
    pub audit: AuditConfig,
    /// What browsers and strangers are told.
    pub edge: Edge,
    /// The headers that every response has.
    pub header_profile: Preset,
    /// What stands in front of applications, if anything does.
    pub gateway: Option<GatewayConfig>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are.
    pub log_level: String,
    /// `SECRET_KEY` and its like of older installations: judged, and used for nothing.
    pub(crate) old_secrets: Vec<(&'static str, Secret<String>)>,
    /// `DEBUG` is on.
    pub(crate) debug: bool,
}

impl Config {
    /// Reads everything, and gives the warnings too.
    ///
    /// # Errors
    ///
    /// [`Refused`] with all faults.
    pub fn load(flags: &Flags, variables: &[(String, String)]) -> Result<(Self, Vec<Finding>), Refused> {
        let (config, findings) = Self::examine(flags, variables);
        findings.check().map(|warnings| (config, warnings))
    }

    /// Reads everything, whatever is wrong with it; for `doctor`. What has faults has its default.
    pub fn examine(flags: &Flags, variables: &[(String, String)]) -> (Self, Findings) {
        let mut findings = Findings::default();
        let mut settings = Settings::default();
        if let Some(path) = &flags.file {
            settings.read_file(path, &mut findings);
        }
        settings.read_environment(variables, &mut findings);
        read_flags(&mut settings, flags);
        let config = Self::build(&settings, flags, variables, &mut findings);
        findings.merge(config.check());
        (config, findings)
    }

    fn build(settings: &Settings, flags: &Flags, variables: &[(String, String)], findings: &mut Findings) -> Self {
        let debug = variables.iter().any(|(name, value)| name == "DEBUG" && truthy(value));
        let environment = if flags.dev {
            Environment::Development
        } else {
            text::read(settings, "environment", Environment::Production, findings)
        };
        let data_dir = path(settings, "data_dir").unwrap_or_else(|| {
            PathBuf::from(if lenient(environment) { "./chancery-data" } else { "/var/lib/chancery" })
        });
        let listen = text::address(settings, "server.listen", LISTEN, findings);
        let url = settings.find("server.public_url").map(|setting| setting.text.trim_end_matches('/').to_owned());
        let tls_terminated = text::flag(settings, "tls.terminated", findings);
        let acme = acme::read(settings, &data_dir, lenient(environment), findings);
        let tls = tls::read(settings, environment, acme.as_ref(), findings);
        let scheme = if tls_terminated || tls.is_some() { "https" } else { "http" };
        let public_url = url.unwrap_or_else(|| format!("{scheme}://{listen}"));
        let name = text::word(settings, "server.name", "chancery", findings);
        let key_file = path(settings, "kms.local.key_file").unwrap_or_else(|| data_dir.join("root.key"));
        let described = settings.tables(providers::LIST);
        let key_providers = if described.is_empty() {
            vec![providers::default(key_file.clone())]
        } else {
            providers::read(&described, &key_file, findings)
        };
        // The key file is that of the local provider, if there is one.
        let key_file = key_providers
            .iter()
            .find_map(|one| match &one.place {
                Place::Local { key_file } => Some(key_file.clone()),
                _ => None,
            })
            .unwrap_or(key_file);
        let minutes = text::number(settings, "tokens.access_minutes", 15, 5..=15, findings);
        let (header_profile, headers) = headers::read(settings, environment, findings);
        let limits = limits::read(settings, lenient(environment), findings);
        let edge = Edge {
            headers: headers.into(),
            cors: cors::read(settings, environment, findings).into(),
            security_txt: security_txt::read(settings, &public_url, findings),
            ..Edge::default()
        };
        Self {
            environment,
            deployment: text::read(settings, "deployment", Deployment::MultiTenant, findings),
            listen,
            metrics_listen: text::address(settings, "server.metrics_listen", METRICS_LISTEN, findings),
            passkeys: passkeys::read(settings, &public_url, &name, findings),
            public_url,
            name,
            tls_terminated,
            trusted_proxies: text::networks(settings, "server.trusted_proxies", findings),
            tls,
            acme,
            redirect_listen: tls::redirect(settings, findings),
            store: store::read(settings, &data_dir, &key_providers, findings),
            datasets_folder: path(settings, "datasets.folder").unwrap_or_else(|| data_dir.join("datasets")),
            key_file,
            key_providers,
            root_lease_seconds: text::number(settings, "kms.root_lease_seconds", 900, 5..=14_400, findings),
            lease_memory_mib: text::number(settings, "kms.lease_memory_mib", 160, 1..=65_536, findings),
            copies: copies(settings, findings),
            audit_sinks: sinks::read(&settings.tables(sinks::LIST), lenient(environment), findings),
            audit: audit::read(settings, &data_dir, findings),
            gateway: gateway::read(settings, environment, &limits, findings),
            data_dir,
            mismatch: text::read(
                settings,
                "tenancy.mismatch",
                if lenient(environment) { TenantMismatch::Ignore } else { TenantMismatch::Reject },
                findings,
            ),
            issuers: reach::read(settings, "issuers", lenient(environment), findings),
            webhooks: reach::read(settings, "webhooks", lenient(environment), findings),
            webhook_body_bytes: text::number(
                settings,
                "webhooks.max_body_bytes",
                KEPT_BYTES,
                1_000..=LONGEST_WEBHOOK,
                findings,
            ),
            app_attest_roots_file: path(settings, "webhooks.app_attest_roots_file"),
            access_minutes: minutes,
            token_algorithm: text::read(settings, "tokens.algorithm", TokenAlgorithm::Es256, findings),
            token_rotation_days: text::number(settings, "tokens.rotation_days", 90, 1..=365, findings),
            refresh_days: text::number(settings, "tokens.refresh_days", 7, 1..=90, findings),
            legacy: legacy(settings, findings),
            session_days: text::number(settings, "tokens.session_days", 30, 1..=365, findings),
            access_token_cookie: text::flag(settings, "compat.access_token_cookie", findings),
            password_cost: password_cost(settings, findings),
            api_key_per_minute: text::number(
                settings,
                "api_keys.per_minute",
                if lenient(environment) { 0 } else { 600 },
                0..=1_000_000,
                findings,
            ),
            redis: redis::read(settings, lenient(environment), findings),
            limits,
            login_400: text::flag(settings, "compat.login_400", findings),
            edge,
            header_profile,
            log_format: text::read(
                settings,
                "log.format",
                if lenient(environment) { LogFormat::Human } else { LogFormat::Json },
                findings,
            ),
            log_level: text::level(settings, "info", findings),
            old_secrets: old_secrets(variables),
            debug,
        }
    }

    /// Everything that can be judged without the store; run on reading and again at start.
    pub fn check(&self) -> Findings {
        checks::check(self)
    }

    /// Whether what would stop production only warns.
    pub fn is_dev(&self) -> bool {
        lenient(self.environment)
    }

    /// Where the first administrator's API key is put in development.
    pub fn admin_key_file(&self) -> PathBuf {
        self.data_dir.join("admin-api-key")
    }
}

/// How the issuers of identity providers are reached.
pub type Issuers = Reach;

/// Tokens of an older system that are taken for a few days.
#[derive(Debug, Clone)]
pub struct Legacy {
    /// A file of mode 600 with the secret that signed them.
    pub secret_file: PathBuf,
    /// What they look like.
    pub tokens: LegacyTokens,
    /// Since when they are taken.
    pub starts: Timestamp,
    /// For how many days: at most 8.
    pub days: u8,
}

fn legacy(settings: &Settings, findings: &mut Findings) -> Option<Legacy> {
    let text = |name: &str| settings.find(&format!("tokens.legacy.{name}")).map(|setting| setting.text.clone());
    let parts = (path(settings, "tokens.legacy.secret_file"), text("tenant"), text("starts"));
    let (secret_file, tenant, starts) = match parts {
        (Some(secret_file), Some(tenant), Some(starts)) => (secret_file, tenant, starts),
        (None, None, None) => return None,
        _ => {
            let cure = "set secret_file, tenant and starts of tokens.legacy, or none of them";
            findings.fault("tokens.legacy", "needs secret_file, tenant and starts", cure);
            return None;
        }
    };
    let Ok(starts) = starts.parse() else {
        findings.fault("tokens.legacy.starts", "is no moment", "write it as 2026-11-26T00:00:00Z");
        return None;
    };
    Some(Legacy {
        secret_file,
        tokens: LegacyTokens {
            tenant,
            issuer: text("issuer"),
            audience: text("audience"),
            kid: text("kid"),
            old_tenant: text("old_tenant"),
        },
        starts,
        days: text::number(settings, "tokens.legacy.days", MAX_DAYS, 1..=MAX_DAYS, findings),
    })
}

/// The cost of a password hash: at least the floor of design §4, at most what a stored hash may ask for.
fn password_cost(settings: &Settings, findings: &mut Findings) -> Cost {
    let (floor, most) = (Cost::default(), Cost::MAX);
    let mut number = |key, least, most| text::number(settings, key, least, least..=most, findings);
    Cost {
        memory_kib: number("passwords.memory_kib", floor.memory_kib, most.memory_kib),
        passes: number("passwords.passes", floor.passes, most.passes),
        lanes: number("passwords.lanes", floor.lanes, most.lanes),
    }
}

/// A folder for copies of single keys, and the key file that wraps what goes there.
#[derive(Debug, Clone)]
pub struct Copies {
    /// What callers name, such as `vault_cluster_1`.
    pub name: String,
    /// The folder; it must be there.
    pub folder: PathBuf,
    /// 32 random bytes in a file of mode 600: the root key's for backups, another one's for escrow.
    pub key_file: PathBuf,
}

fn copies(settings: &Settings, findings: &mut Findings) -> Option<Copies> {
    let name = settings.find("copies.name").map_or_else(|| "folder".to_owned(), |setting| setting.text.clone());
    match (path(settings, "copies.folder"), path(settings, "copies.key_file")) {
        (Some(folder), Some(key_file)) => Some(Copies { name, folder, key_file }),
        (None, None) => None,
        _ => {
            findings.fault(
                "copies",
                "needs both folder and key_file",
                "set copies.folder and copies.key_file, or neither",
            );
            None
        }
    }
}

/// Whether weak and exposed secrets only warn.
fn lenient(environment: Environment) -> bool {
    environment == Environment::Development
}

fn read_flags(settings: &mut Settings, flags: &Flags) {
    if flags.dev {
        settings.set("environment", Environment::Development.as_str(), "--dev");
    }
    let data = flags.data.as_deref().map(|path| path.display().to_string());
    for (key, value, flag) in [
        ("data_dir", &data, "--data"),
        ("server.listen", &flags.listen, "--listen"),
        ("server.metrics_listen", &flags.metrics_listen, "--metrics-listen"),
        ("store.url", &flags.store, "--store"),
        ("gateway.upstream", &flags.upstream, "--upstream"),
        ("gateway.listen", &flags.gateway_listen, "--listen"),
        ("gateway.mode", &flags.gateway_mode, "--mode"),
    ] {
        if let Some(value) = value {
            settings.set(key, value.clone(), flag);
        }
    }
}

fn path(settings: &Settings, key: &str) -> Option<PathBuf> {
    settings.find(key).map(|setting| Path::new(&setting.text).to_owned())
}

fn truthy(text: &str) -> bool {
    ["1", "true", "yes", "on"].iter().any(|yes| text.trim().eq_ignore_ascii_case(yes))
}

/// Names of secrets that older installations had to set and that nothing here needs: keys derive from the root.
fn old_secrets(variables: &[(String, String)]) -> Vec<(&'static str, Secret<String>)> {
    let find = |wanted: &str| variables.iter().find(|(name, value)| name == wanted && !value.is_empty());
    ["SECRET_KEY", "WEBHOOK_SECRET"]
        .into_iter()
        .filter_map(|name| find(name).map(|(_, value)| (name, Secret::new(value.clone()))))
        .collect()
}
