//! Where settings come from: a TOML file, the environment, older names of it, flags. Later ones win.

use std::{collections::BTreeMap, path::Path};

use chancery_crypto::{
    canonical::{self, CanonicalError},
    sha256,
};
use serde_json::{Map, Value};

use super::{archives, findings::Findings, gateway, headers, limits, providers, schemas, sinks, upstreams};

/// What the names of our own environment variables begin with.
const PREFIX: &str = "CHANCERY__";

/// Every key there is. Anything else refuses to start.
pub const KEYS: &[&str] = &[
    "environment",
    "deployment",
    "data_dir",
    "server.listen",
    "server.metrics_listen",
    "server.trusted_proxies",
    "server.public_url",
    "server.name",
    "tls.terminated",
    "tls.cert_file",
    "tls.key_file",
    "tls.min_version",
    "tls.redirect_listen",
    "tls.acme.domains",
    "tls.acme.directory",
    "tls.acme.terms_agreed",
    "tls.acme.contact",
    "tls.acme.challenge",
    "tls.acme.folder",
    "tls.acme.eab_key_id",
    "tls.acme.eab_key_file",
    "tls.acme.profile",
    "tls.acme.private_networks",
    "tls.acme.ca_file",
    "tls.acme.pins",
    "store.url",
    "store.path",
    "store.password_file",
    "store.owner_url_file",
    "store.password_from.provider",
    "store.password_from.secret",
    "store.password_from.endpoint",
    "datasets.folder",
    "kms.local.key_file",
    "kms.root_lease_seconds",
    "kms.lease_memory_mib",
    "copies.name",
    "copies.folder",
    "copies.key_file",
    "tenancy.mismatch",
    "issuers.private_networks",
    "issuers.ca_file",
    "issuers.pins",
    "webhooks.private_networks",
    "webhooks.ca_file",
    "webhooks.pins",
    "webhooks.max_body_bytes",
    "webhooks.app_attest_roots_file",
    "tokens.access_minutes",
    "tokens.algorithm",
    "tokens.rotation_days",
    "tokens.refresh_days",
    "tokens.session_days",
    "compat.access_token_cookie",
    "tokens.legacy.secret_file",
    "tokens.legacy.tenant",
    "tokens.legacy.issuer",
    "tokens.legacy.audience",
    "tokens.legacy.kid",
    "tokens.legacy.old_tenant",
    "tokens.legacy.starts",
    "tokens.legacy.days",
    "passwords.memory_kib",
    "passwords.passes",
    "passwords.lanes",
    "api_keys.per_minute",
    "redis.url",
    "redis.username",
    "redis.password",
    "redis.password_file",
    "redis.ca_file",
    "redis.nodes",
    "redis.timeout_ms",
    "redis.api_keys",
    "redis.cluster",
    "limits.enabled",
    "limits.lockouts",
    "limits.block_after",
    "limits.block_seconds",
    "limits.suspend_after",
    "limits.suspend_seconds",
    "limits.stop_after",
    "limits.address",
    "limits.account",
    "limits.tenant",
    "limits.login",
    "limits.registration",
    "limits.second_factor",
    "limits.password",
    "compat.login_400",
    "passkeys.rp_id",
    "passkeys.name",
    "passkeys.origins",
    "passkeys.attestation",
    "passkeys.attestation_roots_file",
    "passkeys.aaguids",
    "passkeys.sign_count",
    "audit.pin_folder",
    "audit.archive_folder",
    "audit.scrub_rows_per_minute",
    "audit.witnesses",
    "audit.witness_quorum",
    "audit.witness_strict",
    "audit.witness_max_age_seconds",
    "headers.profile",
    "headers.inline",
    "headers.websockets",
    "headers.nonces",
    "headers.report_only",
    "headers.report_to",
    "headers.hsts_seconds",
    "headers.hsts_subdomains",
    "headers.hsts_preload",
    "headers.frame_options",
    "headers.xss_filter",
    "headers.referrer_policy",
    "headers.permissions",
    "headers.permissions_allow",
    "headers.isolation",
    "headers.csp.default_src",
    "headers.csp.script_src",
    "headers.csp.style_src",
    "headers.csp.img_src",
    "headers.csp.font_src",
    "headers.csp.connect_src",
    "headers.csp.media_src",
    "headers.csp.object_src",
    "headers.csp.frame_src",
    "headers.csp.worker_src",
    "headers.csp.manifest_src",
    "headers.csp.frame_ancestors",
    "headers.csp.base_uri",
    "headers.csp.form_action",
    "cors.origins",
    "cors.credentials",
    "cors.headers",
    "cors.max_age_seconds",
    "security_txt.contact",
    "security_txt.expires",
    "security_txt.canonical",
    "security_txt.encryption",
    "security_txt.policy",
    "security_txt.acknowledgments",
    "security_txt.preferred_languages",
    "security_txt.hiring",
    "gateway.listen",
    "gateway.public_port",
    "gateway.upstream",
    "gateway.mode",
    "gateway.follow",
    "gateway.streams",
    "log.format",
    "log.level",
];

/// Keys whose value may be a TOML array of texts; elsewhere commas separate them.
const LISTS: &[&str] = &[
    "server.trusted_proxies",
    "tls.acme.domains",
    "tls.acme.contact",
    "tls.acme.private_networks",
    "tls.acme.pins",
    "issuers.private_networks",
    "issuers.pins",
    "webhooks.private_networks",
    "webhooks.pins",
    "passkeys.origins",
    "passkeys.aaguids",
    "audit.witnesses",
    "headers.permissions_allow",
    "cors.origins",
    "cors.headers",
    "security_txt.contact",
    "security_txt.encryption",
    "gateway.upstream",
];

/// Older names that mean the same.
const ALIASES: &[(&str, &str)] = &[
    ("ENVIRONMENT", "environment"),
    ("DATABASE_URL", "store.url"),
    ("DB_ENCRYPTION_KEY_PATH", "kms.local.key_file"),
    ("ACCESS_TOKEN_EXPIRE_MINUTES", "tokens.access_minutes"),
    ("REDIS_URL", "redis.url"),
    ("REDIS_PASSWORD", "redis.password"),
];

/// A value as text, and where it came from.
#[derive(Clone)]
pub(super) struct Setting {
    /// The text.
    pub(super) text: String,
    /// Such as `chancery.toml`, `--listen` or the name of a variable.
    pub(super) origin: String,
}

/// A list of tables by their number, with where each came from.
pub(super) type Tables = BTreeMap<usize, (toml::Table, String)>;

/// Settings by key, and the lists of tables by their names.
#[derive(Default)]
pub(super) struct Settings(BTreeMap<&'static str, Setting>, BTreeMap<&'static str, Tables>);

/// The lists of tables there are.
const TABLES: [&str; 8] = [
    providers::LIST,
    sinks::LIST,
    archives::LIST,
    headers::LIST,
    limits::LIST,
    gateway::ROUTES,
    upstreams::LIST,
    schemas::SCHEMAS,
];

impl Settings {
    /// The setting of `key`, if anything set it.
    pub(super) fn find(&self, key: &str) -> Option<&Setting> {
        self.0.get(key)
    }

    /// The tables of the list with this name.
    pub(super) fn tables(&self, list: &str) -> Tables {
        self.1.get(list).cloned().unwrap_or_default()
    }

    /// The digest of all that is set below these names: the same for the same settings, wherever they came from.
    pub(super) fn digest(&self, names: &[&str]) -> Result<[u8; 32], CanonicalError> {
        let below =
            |key: &str| names.iter().any(|name| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')));
        let texts = self.0.iter().map(|(key, setting)| (*key, Value::from(setting.text.as_str())));
        let lists = self
            .1
            .iter()
            .map(|(key, tables)| (*key, tables.values().map(|(table, _)| plain_table(table)).collect::<Value>()));
        let of_interest = texts.chain(lists).filter(|(key, _)| below(key));
        let all: Map<String, Value> = of_interest.map(|(key, value)| (key.to_owned(), value)).collect();
        canonical::to_vec(&all.into()).map(|bytes| sha256(&bytes))
    }

    /// Sets `key`, over whatever was there.
    pub(super) fn set(&mut self, key: &str, text: impl Into<String>, origin: impl Into<String>) -> bool {
        let known = KEYS.iter().find(|known| **known == key);
        if let Some(known) = known {
            self.0.insert(known, Setting { text: text.into(), origin: origin.into() });
        }
        known.is_some()
    }

    /// Reads a TOML file.
    pub(super) fn read_file(&mut self, path: &Path, findings: &mut Findings) {
        let origin = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return findings.fault(origin, format!("cannot be read: {error}"), "correct --config"),
        };
        match text.parse::<toml::Table>() {
            Ok(mut table) => {
                for name in TABLES {
                    if let Some(list) = taken(&mut table, name) {
                        self.read_list(name, &list, &origin, findings);
                    }
                }
                self.read_table("", &table, &origin, findings);
            }
            Err(error) => {
                // Not the error's own text: it quotes the line, and that may hold a password.
                let line =
                    error.span().map_or(1, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
                findings.fault(origin, format!("line {line} is not TOML: {}", error.message()), "correct that line");
            }
        }
    }

    fn read_list(&mut self, name: &'static str, list: &toml::Value, origin: &str, findings: &mut Findings) {
        let tables =
            list.as_array().and_then(|items| items.iter().map(toml::Value::as_table).collect::<Option<Vec<_>>>());
        let Some(tables) = tables else {
            let cure = format!("write [[{name}]] above each of them");
            return findings.fault(format!("{name} ({origin})"), "is no list of tables", cure);
        };
        let known = self.1.entry(name).or_default();
        for (number, table) in tables.into_iter().enumerate() {
            known.insert(number, (table.clone(), origin.to_owned()));
        }
    }

    /// `KEY_PROVIDERS__0__KEY`: over what the file says of that table.
    fn set_in_list(&mut self, name: &'static str, rest: &str, text: &str, origin: &str) -> bool {
        let Some((number, key)) = rest.split_once('.') else { return false };
        let Ok(number) = number.parse::<usize>() else { return false };
        if number > 64 {
            return false;
        }
        let (table, from) = self.1.entry(name).or_default().entry(number).or_default();
        table.insert(key.to_owned(), toml::Value::String(text.to_owned()));
        *from = origin.to_owned();
        true
    }

    fn read_table(&mut self, prefix: &str, table: &toml::Table, origin: &str, findings: &mut Findings) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let text = match value {
                toml::Value::Table(inner) => {
                    self.read_table(&key, inner, origin, findings);
                    continue;
                }
                toml::Value::String(text) => text.clone(),
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                toml::Value::Array(items) if LISTS.contains(&key.as_str()) && items.iter().all(toml::Value::is_str) => {
                    items.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(",")
                }
                toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) => {
                    findings.fault(
                        format!("{key} ({origin})"),
                        "is of a type that no setting has",
                        "write a text, a whole number, true or false",
                    );
                    continue;
                }
            };
            if !self.set(&key, text, origin) {
                unknown(&key, origin, findings);
            }
        }
    }

    /// Reads environment variables: older names first, then our own.
    pub(super) fn read_environment(&mut self, variables: &[(String, String)], findings: &mut Findings) {
        for (alias, key) in ALIASES {
            if let Some((_, value)) = variables.iter().find(|(name, value)| name == alias && !value.is_empty()) {
                self.set(key, alias_value(alias, value), *alias);
            }
        }
        for (name, value) in variables.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            let key = name.trim_start_matches(PREFIX).replace("__", ".").to_ascii_lowercase();
            let in_list = TABLES.iter().find_map(|list| Some((*list, key.strip_prefix(*list)?.strip_prefix('.')?)));
            let known = match in_list {
                Some((list, rest)) => self.set_in_list(list, rest, value, name),
                None => self.set(&key, value.clone(), name.clone()),
            };
            if !known {
                unknown(&key, name, findings);
            }
        }
    }
}

/// What is written as a number or a flag in a file is text in the environment: here both are.
fn plain(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Array(items) => items.iter().map(plain).collect(),
        toml::Value::Table(table) => plain_table(table),
        other => other.to_string().into(),
    }
}

fn plain_table(table: &toml::Table) -> Value {
    table.iter().map(|(key, value)| (key.clone(), plain(value))).collect::<Map<_, _>>().into()
}

/// Takes the list with this name out of a file's tables: `audit.sinks` is within `audit`.
fn taken(table: &mut toml::Table, name: &str) -> Option<toml::Value> {
    match name.split_once('.') {
        Some((outer, inner)) => table.get_mut(outer)?.as_table_mut()?.remove(inner),
        None => table.remove(name),
    }
}

/// SQLAlchemy names a driver in the scheme (`postgresql+asyncpg://`), and SQLite's relative paths have three slashes.
fn alias_value(alias: &str, value: &str) -> String {
    match value.split_once("://") {
        Some((scheme, rest)) if alias == "DATABASE_URL" => {
            format!("{}://{rest}", scheme.split('+').next().unwrap_or(scheme))
        }
        _ => value.to_owned(),
    }
}

fn unknown(key: &str, origin: &str, findings: &mut Findings) {
    let near = KEYS.iter().find(|known| close(known, key));
    let cure = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "remove it; `chancery doctor` lists what there is".to_owned(),
    };
    findings.fault(format!("{key} ({origin})"), "is no setting", cure);
}

/// Whether a known key is probably meant: the same last part, or one letter more, less or exchanged.
fn close(known: &str, key: &str) -> bool {
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    if last(known) == last(key) {
        return true;
    }
    let (long, short) = if known.len() >= key.len() { (known, key) } else { (key, known) };
    let same_front = long.bytes().zip(short.bytes()).take_while(|(a, b)| a == b).count();
    let same_back = long.bytes().rev().zip(short.bytes().rev()).take_while(|(a, b)| a == b).count();
    long.len() - short.len() <= 1 && same_front + same_back + 1 >= short.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Settings, Findings) {
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        let variables: Vec<_> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        settings.read_environment(&variables, &mut findings);
        (settings, findings)
    }

    #[test]
    fn our_own_names_win_over_older_ones() {
        let (settings, findings) = read(&[
            ("CHANCERY__TOKENS__ACCESS_MINUTES", "10"),
            ("ACCESS_TOKEN_EXPIRE_MINUTES", "15"),
            ("DB_ENCRYPTION_KEY_PATH", "/k"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(settings.find("tokens.access_minutes").unwrap().text, "10");
        assert_eq!(settings.find("kms.local.key_file").unwrap().origin, "DB_ENCRYPTION_KEY_PATH");
        assert!(findings.faults.is_empty());
    }

    #[test]
    fn an_unknown_name_of_ours_is_a_fault_with_a_guess() {
        let (_, findings) = read(&[("CHANCERY__SERVER__LISTN", "x"), ("CHANCERY__NOTHING", "y")]);
        assert_eq!(findings.faults.len(), 2);
        assert!(findings.faults[0].cure.contains("server.listen"), "{:?}", findings.faults);
    }

    #[test]
    fn an_sqlalchemy_address_is_understood() {
        let (settings, _) = read(&[("DATABASE_URL", "postgresql+asyncpg://u@h/d")]);
        assert_eq!(settings.find("store.url").unwrap().text, "postgresql://u@h/d");
    }

    #[test]
    fn a_list_may_be_an_array() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(
            &path,
            "[server]\ntrusted_proxies = [\"10.0.0.1\", \"fd00::/8\"]\nname = [\"x\"]\n\
             [tls.acme]\ndomains = [\"a.example\", \"b.example\"]\ncontact = [\"mailto:a@b.example\"]",
        )
        .unwrap();
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        settings.read_file(&path, &mut findings);
        assert_eq!(settings.find("server.trusted_proxies").unwrap().text, "10.0.0.1,fd00::/8");
        assert_eq!(settings.find("tls.acme.domains").unwrap().text, "a.example,b.example");
        assert_eq!(findings.faults.len(), 1, "{findings:?}");
    }

    #[test]
    fn the_same_settings_have_the_same_digest_wherever_they_came_from() {
        let digest = |text: &str, variables: &[(&str, &str)]| {
            let (mut settings, mut findings) = read(&[]);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("c.toml");
            std::fs::write(&path, text).unwrap();
            settings.read_file(&path, &mut findings);
            let variables: Vec<_> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            settings.read_environment(&variables, &mut findings);
            assert!(findings.faults.is_empty(), "{findings:?}");
            settings.digest(&["gateway", "headers"]).unwrap()
        };
        let route = "[[gateway.routes]]\npath = \"/a\"\nbody_bytes = 9223372036854775807\naudit = true\n";
        let short = "[log]\nlevel = \"info\"\n[[gateway.routes]]\naudit = true\npath = \"/a\"\n";
        let rest = [
            ("CHANCERY__GATEWAY__MODE", "shadow"),
            ("CHANCERY__GATEWAY__ROUTES__0__BODY_BYTES", "9223372036854775807"),
        ];
        let file = digest(&format!("[gateway]\nmode = \"shadow\"\n{route}"), &[]);
        assert_eq!(digest(short, &rest), file);
        for other in [
            short.to_owned(),
            route.to_owned(),
            format!("[gateway]\nmode = \"enforce\"\n{route}"),
            format!("[gateway]\nmode = \"shadow\"\n{route}keep_credential = true\n"),
            format!("[gateway]\nmode = \"shadow\"\n{route}[headers]\nprofile = \"strict\"\n"),
        ] {
            assert_ne!(digest(&other, &[]), file, "{other}");
        }
    }

    #[test]
    fn a_broken_file_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "[store]\nurl = \"postgres://u:hunter2@h/d\n").unwrap();
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        settings.read_file(&path, &mut findings);
        assert_eq!(findings.faults.len(), 1);
        assert!(!format!("{findings:?}").contains("hunter2"));
        assert!(findings.faults[0].problem.contains("line 2"), "{findings:?}");
    }
}
