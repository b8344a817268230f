//! From text to values.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use chancery_domain::{
    instance::{Deployment, Environment, TenantMismatch},
    tokens::TokenAlgorithm,
};
use ipnet::IpNet;

use super::{findings::Findings, source::Settings};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Human,
}

/// A few words, of which a setting is one.
pub(super) trait Choice: Copy + 'static {
    /// All of them, as they are written.
    const WORDS: &'static [(&'static str, Self)];
}

impl Choice for Environment {
    const WORDS: &'static [(&'static str, Self)] =
        &[("production", Self::Production), ("staging", Self::Staging), ("development", Self::Development)];
}

impl Choice for Deployment {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("single_hospital", Self::SingleHospital),
        ("multi_tenant", Self::MultiTenant),
        ("cloud", Self::Cloud),
        ("healthcare", Self::Healthcare),
    ];
}

impl Choice for TenantMismatch {
    const WORDS: &'static [(&'static str, Self)] = &[("ignore", Self::Ignore), ("reject", Self::Reject)];
}

impl Choice for TokenAlgorithm {
    const WORDS: &'static [(&'static str, Self)] =
        &[("es256", Self::Es256), ("eddsa", Self::EdDsa), ("rs256", Self::Rs256)];
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("json", Self::Json), ("human", Self::Human)];
}

/// One of a few words.
pub(super) fn read<T: Choice>(settings: &Settings, key: &str, default: T, findings: &mut Findings) -> T {
    let Some(setting) = settings.find(key) else { return default };
    let text = setting.text.trim().to_ascii_lowercase();
    if let Some((_, choice)) = T::WORDS.iter().find(|(word, _)| *word == text) {
        return *choice;
    }
    let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
    findings.fault(
        subject(key, &setting.origin),
        "has a value that is not known",
        format!("write one of: {}", words.join(", ")),
    );
    default
}

/// An address with a port.
pub(super) fn address(settings: &Settings, key: &str, default: &str, findings: &mut Findings) -> SocketAddr {
    let (text, origin) = settings.find(key).map_or((default, "default"), |s| (s.text.as_str(), s.origin.as_str()));
    text.parse().unwrap_or_else(|_| {
        findings.fault(subject(key, origin), "is not an address with a port", format!("write it as {default}"));
        SocketAddr::from(([127, 0, 0, 1], 0))
    })
}

/// Networks, or single addresses.
pub(super) fn networks(settings: &Settings, key: &str, findings: &mut Findings) -> Vec<IpNet> {
    let Some(setting) = settings.find(key) else { return Vec::new() };
    let parse = |text: &str| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
    let parts = setting.text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let networks: Option<Vec<IpNet>> = parts.map(parse).collect();
    match networks {
        Some(networks) if networks.iter().all(|network| network.prefix_len() > 0) => networks,
        Some(_) => {
            let cure = "name the proxy's own addresses";
            findings.fault(subject(key, &setting.origin), "trusts every address there is", cure);
            Vec::new()
        }
        None => {
            let cure = "write it as [\"10.0.0.5\", \"10.1.0.0/24\"]";
            findings.fault(subject(key, &setting.origin), "is no list of addresses and networks", cure);
            Vec::new()
        }
    }
}

/// Words, separated by commas.
pub(super) fn words(settings: &Settings, key: &str) -> Vec<String> {
    let Some(setting) = settings.find(key) else { return Vec::new() };
    setting.text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// True or false; false if nothing is said.
pub(super) fn flag(settings: &Settings, key: &str, findings: &mut Findings) -> bool {
    let Some(setting) = settings.find(key) else { return false };
    match setting.text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => true,
        "false" | "0" | "no" | "off" => false,
        _ => {
            findings.fault(subject(key, &setting.origin), "is neither true nor false", "write true or false");
            false
        }
    }
}

/// A whole number within bounds.
pub(super) fn number<N: std::str::FromStr + PartialOrd + std::fmt::Display>(
    settings: &Settings,
    key: &str,
    default: N,
    bounds: RangeInclusive<N>,
    findings: &mut Findings,
) -> N {
    let Some(setting) = settings.find(key) else { return default };
    match setting.text.trim().parse::<N>() {
        Ok(number) if bounds.contains(&number) => number,
        _ => {
            let cure = format!("write a whole number from {} to {}", bounds.start(), bounds.end());
            findings.fault(subject(key, &setting.origin), "is out of bounds", cure);
            default
        }
    }
}

/// A name that goes into log origins: letters, digits, dots and hyphens.
pub(super) fn word(settings: &Settings, key: &str, default: &str, findings: &mut Findings) -> String {
    let Some(setting) = settings.find(key) else { return default.to_owned() };
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if (1..=63).contains(&setting.text.len()) && setting.text.chars().all(fine) {
        return setting.text.clone();
    }
    findings.fault(subject(key, &setting.origin), "is no name", "write 1 to 63 letters, digits, dots and hyphens");
    default.to_owned()
}

/// A log level, or several by module.
pub(super) fn level(settings: &Settings, default: &str, findings: &mut Findings) -> String {
    let Some(setting) = settings.find("log.level") else { return default.to_owned() };
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '=' | ',' | ':' | '_');
    if !setting.text.is_empty()
        && setting.text.chars().all(fine)
        && tracing_subscriber::EnvFilter::try_new(&setting.text).is_ok()
    {
        return setting.text.clone();
    }
    findings.fault(subject("log.level", &setting.origin), "is no level", "write error, warn, info, debug or trace");
    default.to_owned()
}

pub(super) fn subject(key: &str, origin: &str) -> String {
    format!("{key} ({origin})")
}
