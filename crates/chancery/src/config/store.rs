//! Where everything is remembered: a SQLite file or a PostgreSQL server.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use chancery_crypto::Secret;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::{
    findings::Findings,
    providers::ProviderConfig,
    secret::{self, SecretFrom},
    source::{Setting, Settings},
    text::subject,
};

/// Where everything is remembered.
#[derive(Debug)]
pub enum StoreConfig {
    /// A file of this machine.
    Sqlite {
        /// Which.
        path: PathBuf,
    },
    /// A server.
    Postgres(Box<PostgresAddress>),
}

/// How to reach a PostgreSQL server. Prints without its password.
#[derive(Debug)]
pub struct PostgresAddress {
    /// The address as it was given, with a password perhaps.
    url: Secret<String>,
    /// The password within the address.
    pub(super) inline_password: Option<Secret<String>>,
    /// A file with the password.
    pub(crate) password_file: Option<PathBuf>,
    /// A file with the address by which the owner of the tables migrates them; the user itself if there is none.
    pub(crate) owner_url_file: Option<PathBuf>,
    /// The secret of a secret manager that is the password.
    pub(crate) password_from: Option<SecretFrom>,
    /// Who logs in.
    pub(crate) user: String,
    /// The server's name or address, or its socket's folder.
    pub host: String,
    /// Which database.
    pub database: String,
    /// How the connection is protected.
    pub ssl_mode: PgSslMode,
}

impl PostgresAddress {
    /// The address as it was given, and with this password if there is one: [`crate::wiring::secrets::store_url`] finds it.
    pub(crate) fn url_with(&self, password: Option<&Secret<String>>) -> Secret<String> {
        let mut url = self.url.expose().clone();
        if let Some(password) = password {
            url.push_str(if url.contains('?') { "&password=" } else { "?password=" });
            url.extend(password.expose().bytes().map(|byte| format!("%{byte:02X}")));
        }
        Secret::new(url)
    }

    /// Whether the connection leaves this machine.
    pub fn is_remote(&self) -> bool {
        !(self.host.starts_with('/')
            || self.host.eq_ignore_ascii_case("localhost")
            || self.host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()))
    }
}

pub(super) fn read(
    settings: &Settings,
    data_dir: &Path,
    providers: &[ProviderConfig],
    findings: &mut Findings,
) -> StoreConfig {
    let password_from = secret::read(settings, providers, findings);
    let sqlite = |path: PathBuf| StoreConfig::Sqlite { path };
    let store = match (settings.find("store.url"), settings.find("store.path")) {
        (None, None) => sqlite(data_dir.join("chancery.db")),
        (None, Some(path)) => sqlite(PathBuf::from(&path.text)),
        (Some(url), path) => {
            if path.is_some() {
                findings.fault("store", "has both a url and a path", "keep one of store.url and store.path");
            }
            read_url(url, settings, findings).unwrap_or_else(|| sqlite(data_dir.join("chancery.db")))
        }
    };
    match store {
        StoreConfig::Postgres(address) => {
            StoreConfig::Postgres(Box::new(PostgresAddress { password_from, ..*address }))
        }
        StoreConfig::Sqlite { path } => {
            // An address with a fault of its own was meant to be PostgreSQL's, perhaps.
            if password_from.is_some() && settings.find("store.url").is_none_or(|url| url.text.starts_with("sqlite:")) {
                let cure = "set store.url to the address of PostgreSQL, or remove store.password_from";
                findings.fault("store.password_from", "is set and the store is SQLite, which has no password", cure);
            }
            StoreConfig::Sqlite { path }
        }
    }
}

fn read_url(url: &Setting, settings: &Settings, findings: &mut Findings) -> Option<StoreConfig> {
    let of = subject("store.url", &url.origin);
    if let Some(path) = url.text.strip_prefix("sqlite:") {
        return Some(StoreConfig::Sqlite { path: PathBuf::from(path.strip_prefix("//").unwrap_or(path)) });
    }
    if !url.text.starts_with("postgres://") && !url.text.starts_with("postgresql://") {
        findings.fault(
            of,
            "is neither SQLite nor PostgreSQL",
            "write sqlite:PATH or postgres://USER@HOST/DATABASE?sslmode=verify-full",
        );
        return None;
    }
    let Ok(options) = PgConnectOptions::from_str(&url.text) else {
        findings.fault(
            of,
            "is not an address of PostgreSQL",
            "write postgres://USER@HOST/DATABASE?sslmode=verify-full",
        );
        return None;
    };
    let host = options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
    Some(StoreConfig::Postgres(Box::new(PostgresAddress {
        inline_password: password_of(&url.text).map(Secret::new),
        password_file: settings.find("store.password_file").map(|setting| PathBuf::from(&setting.text)),
        owner_url_file: settings.find("store.owner_url_file").map(|setting| PathBuf::from(&setting.text)),
        password_from: None,
        user: options.get_username().to_owned(),
        host,
        database: options.get_database().unwrap_or(options.get_username()).to_owned(),
        ssl_mode: options.get_ssl_mode(),
        url: Secret::new(url.text.clone()),
    })))
}

/// The password of `postgres://user:password@host/…` or of `…?password=`.
fn password_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next()?;
    let inline = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')).map(|(_, password)| password);
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("password="));
    inline.or(asked).filter(|password| !password.is_empty()).map(percent_decoded)
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = tail.split_at_checked(2).filter(|_| *first == b'%');
        let byte = code.and_then(|(digits, _)| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (byte, code) {
            (Some(byte), Some((_, after))) => {
                bytes.push(byte);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_put_into_the_address_whatever_is_in_it() {
        for (url, expected) in [
            ("postgres://u@h/d", "postgres://u@h/d?password=%61%26%C3%A4"),
            ("postgres://u@h/d?sslmode=require", "postgres://u@h/d?sslmode=require&password=%61%26%C3%A4"),
        ] {
            let mut settings = Settings::default();
            settings.set("store.url", url, "test");
            let StoreConfig::Postgres(address) = read(&settings, Path::new("/d"), &[], &mut Findings::default()) else {
                panic!("not PostgreSQL")
            };
            assert_eq!(address.url_with(Some(&Secret::new("a&ä".to_owned()))).expose(), expected);
            assert_eq!(address.url_with(None).expose(), url);
        }
    }

    #[test]
    fn the_password_of_an_address_is_found() {
        for (url, password) in [
            ("postgres://u:p%40ss@h/d", Some("p@ss")),
            ("postgres://u:p%zz@h:5432/d", Some("p%zz")),
            ("postgres://u@h/d?sslmode=require&password=x", Some("x")),
            ("postgres://u@h/d", None),
            ("postgres://h/d", None),
        ] {
            assert_eq!(password_of(url).as_deref(), password, "{url}");
        }
    }
}
