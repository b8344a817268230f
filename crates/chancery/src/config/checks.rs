//! What a configuration must be like. Run when it is read and again when the server starts.

use std::path::Path;

use chancery_domain::weak;
use chancery_kms::private_file::{self, PrivateFileError};
use sqlx::postgres::PgSslMode;

use super::{Config, Findings, PostgresAddress, StoreConfig};

/// Passwords that databases and example files come with.
const DEFAULT_PASSWORDS: &[&str] = &["postgres", "password", "chancery", "scheduler"];

pub(super) fn check(config: &Config) -> Findings {
    let mut findings = Findings::default();
    old_secrets(config, &mut findings);
    profile(config, &mut findings);
    exposure(config, &mut findings);
    key_file(config, &mut findings);
    if let Some(redis) = &config.redis {
        super::redis::check(redis, config.is_dev(), &mut findings);
    }
    if let StoreConfig::Postgres(address) = &config.store {
        postgres(config, address, &mut findings);
    }
    findings
}

/// Secrets that older installations set. Nothing uses them here, but a weak one says that this
/// environment was copied from an example.
fn old_secrets(config: &Config, findings: &mut Findings) {
    for (name, secret) in &config.old_secrets {
        for problem in weak::secret_faults(secret.expose()) {
            let cure = "unset it: Chancery derives its keys from the root key and needs none";
            findings.fault_unless(config.is_dev(), *name, problem, cure);
        }
        findings.warn(*name, "is set and not used: keys derive from the root key", "unset it");
    }
}

fn profile(config: &Config, findings: &mut Findings) {
    if config.debug {
        findings.warn(
            "DEBUG",
            format!("is on and ignored: the environment is {}", config.environment),
            "unset it; --dev or ENVIRONMENT=development selects development, log.level = \"debug\" says more",
        );
    }
}

fn exposure(config: &Config, findings: &mut Findings) {
    let outside = !config.listen.ip().is_loopback();
    if outside && !config.tls_terminated && config.tls.is_none() {
        findings.fault_unless(
            config.is_dev(),
            "server.listen",
            "is reachable from other machines and the connection is not encrypted",
            "set tls.cert_file and tls.key_file, or put a proxy in front that ends TLS and set tls.terminated = true, \
             or listen on 127.0.0.1",
        );
    }
    if let Some(gateway) = &config.gateway
        && !gateway.listen.ip().is_loopback()
        && config.tls.is_none()
        && !config.tls_terminated
    {
        findings.fault_unless(
            config.is_dev(),
            "gateway.listen",
            "is reachable from other machines and the connection is not encrypted",
            "set tls.cert_file and tls.key_file, or put a proxy in front that ends TLS and set tls.terminated = true, or listen on 127.0.0.1",
        );
    }
    if config.tls_terminated && config.trusted_proxies.is_empty() {
        findings.fault_unless(
            config.is_dev(),
            "server.trusted_proxies",
            "is empty though a proxy ends TLS: keys bound to networks, and the log, would see the proxy's address only",
            "name the proxy's addresses, such as trusted_proxies = [\"10.0.0.5\"]; it must set X-Forwarded-For itself",
        );
    }
    if !config.metrics_listen.ip().is_loopback() {
        findings.warn(
            "server.metrics_listen",
            "is reachable from other machines",
            "see that only your monitoring reaches it",
        );
    }
    if config.listen == config.metrics_listen && config.listen.port() != 0 {
        findings.fault("server.metrics_listen", "is the address of the API", "give the metrics a port of their own");
    }
    let insecure = config.public_url.starts_with("http://") && (outside || config.tls.is_some());
    if insecure || !(config.public_url.starts_with("https://") || config.public_url.starts_with("http://")) {
        findings.fault_unless(
            config.is_dev(),
            "server.public_url",
            "is not an https address",
            "write the https:// address by which clients reach this server; it is the issuer of access tokens",
        );
    }
    super::tls::check(config, findings);
}

fn key_file(config: &Config, findings: &mut Findings) {
    // Before the first start there is none; what it must hold its provider says.
    match private_file::read(&config.key_file, 32) {
        Ok(_) | Err(PrivateFileError::Missing(_) | PrivateFileError::TooLarge { .. }) => {}
        // Also in development: the tests of production begin with a copied folder.
        Err(error) => findings.fault(
            "kms.local.key_file",
            error.to_string(),
            "see above; nobody but this server's user may read it",
        ),
    }
    if let StoreConfig::Sqlite { path } = &config.store
        && !config.is_dev()
        && path.parent() == config.key_file.parent()
    {
        findings.warn(
            "kms.local.key_file",
            "lies in the folder of the store, so one copied folder holds both",
            "keep it elsewhere and out of the store's backups",
        );
    }
}

pub(super) fn secret_file(config: &Config, subject: &str, path: &Path, findings: &mut Findings) -> Option<String> {
    match private_file::read_any_mode(path, 64 * 1024) {
        Ok((content, mode)) => {
            if mode & 0o077 != 0 {
                let problem = format!("{} can be read or written by group or others (mode {mode:03o})", path.display());
                findings.fault_unless(config.is_dev(), subject, problem, format!("run: chmod 600 {}", path.display()));
            }
            std::str::from_utf8(&content).ok().map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
        }
        Err(error) => {
            findings.fault(subject, error.to_string(), "correct the path, or let this server's user read it");
            None
        }
    }
}

fn postgres(config: &Config, address: &PostgresAddress, findings: &mut Findings) {
    if let Some(password) = &address.inline_password {
        password_of_store(config, "store.url", password.expose(), &address.user, findings);
        findings.warn(
            "store.url",
            "holds a password",
            "put it into a file of mode 600 and name that in store.password_file, or into a secret manager and store.password_from",
        );
    }
    if let Some(path) = &address.password_file
        && let Some(password) = secret_file(config, "store.password_file", path, findings)
    {
        password_of_store(config, "store.password_file", &password, &address.user, findings);
    }
    // Which one counts would be a guess, and the other one a secret that nobody looks after.
    if address.inline_password.is_some() && address.password_file.is_some() {
        findings.fault("store.password_file", "is set beside a password in store.url", "keep one of them");
    }
    if address.password_from.is_some() {
        let beside = [
            ("a password in store.url", address.inline_password.is_some()),
            ("store.password_file", address.password_file.is_some()),
        ];
        for (what, _) in beside.iter().filter(|(_, there)| *there) {
            findings.fault("store.password_from", format!("is set beside {what}"), "keep one of them");
        }
    }
    if address.is_remote() && !matches!(address.ssl_mode, PgSslMode::VerifyFull) {
        let cure = "write sslmode=verify-full, and sslrootcert=FILE for an authority of your own";
        match address.ssl_mode {
            PgSslMode::Disable | PgSslMode::Allow => findings.fault_unless(
                config.is_dev(),
                "store.url",
                "reaches another machine and the connection is in clear",
                cure,
            ),
            _ => findings.warn("store.url", "does not prove which server answers", cure),
        }
    }
}

/// Whether a password is one that everybody tries first.
pub(crate) fn is_default_password(password: &str, user: &str) -> bool {
    let lower = password.to_lowercase();
    DEFAULT_PASSWORDS.contains(&lower.as_str()) || lower == user.to_lowercase() || weak::is_weak(password)
}

fn password_of_store(config: &Config, subject: &str, password: &str, user: &str, findings: &mut Findings) {
    if is_default_password(password, user) {
        findings.fault_unless(
            config.is_dev(),
            subject,
            "has a default or well-known password",
            "give the database user a password of 24 or more random characters",
        );
    }
}
