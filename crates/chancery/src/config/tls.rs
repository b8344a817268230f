//! The section `[tls]`: a certificate of our own, and where HTTP is sent on from.

use std::{net::SocketAddr, path::PathBuf};

use chancery_domain::{Clock as _, instance::Environment};

use super::{
    AcmeConfig, Config, checks,
    findings::Findings,
    source::Settings,
    text::{self, Choice, subject},
};
use crate::{
    clock::SystemClock,
    tls::{self, TlsFiles},
};

/// The oldest version that is spoken.
#[derive(Clone, Copy)]
enum Oldest {
    Tls12,
    Tls13,
}

impl Choice for Oldest {
    const WORDS: &'static [(&'static str, Self)] = &[("1.3", Self::Tls13), ("1.2", Self::Tls12)];
}

/// The two files, if there are any: both or neither. What an authority gives is in one.
pub(super) fn read(
    settings: &Settings,
    environment: Environment,
    acme: Option<&AcmeConfig>,
    findings: &mut Findings,
) -> Option<TlsFiles> {
    let oldest = text::read(settings, "tls.min_version", Oldest::Tls13, findings);
    let (allows_1_2, lenient) = (matches!(oldest, Oldest::Tls12), super::lenient(environment));
    if let Some(acme) = acme {
        let (certificate, key) = (acme.pair(), acme.pair());
        return Some(TlsFiles { certificate, key, allows_1_2, lenient, proofs: Some(acme.proofs()) });
    }
    match (settings.find("tls.cert_file"), settings.find("tls.key_file")) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: PathBuf::from(&certificate.text),
            key: PathBuf::from(&key.text),
            allows_1_2,
            lenient,
            proofs: None,
        }),
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => {
            let cure = "set both tls.cert_file and tls.key_file";
            findings.fault(subject("tls", &one.origin), "has only one of its two files", cure);
            None
        }
    }
}

/// Where plain HTTP is sent on to HTTPS, if anywhere.
pub(super) fn redirect(settings: &Settings, findings: &mut Findings) -> Option<SocketAddr> {
    settings.find("tls.redirect_listen")?;
    Some(text::address(settings, "tls.redirect_listen", "0.0.0.0:80", findings))
}

/// Whether the files do, and what is to be said of them.
pub(super) fn check(config: &Config, findings: &mut Findings) {
    if config.redirect_listen.is_some() && !config.public_url.starts_with("https://") {
        let cure =
            "set server.public_url to the https:// address to which clients are sent, or leave tls.redirect_listen out";
        findings.fault("tls.redirect_listen", "has nowhere to send clients", cure);
    }
    let Some(files) = &config.tls else { return };
    if files.allows_1_2 {
        let cure = "leave tls.min_version out once no client needs it";
        findings.warn("tls.min_version", "lets clients speak TLS 1.2", cure);
    }
    if files.proofs.is_some() && !files.certificate.exists() {
        return;
    }
    if checks::secret_file(config, "tls.key_file", &files.key, findings).is_none() {
        return;
    }
    let facts = match files.facts() {
        Ok(facts) => facts,
        Err(error) => {
            let cure = "name PEM files: the certificate first and those that stand behind it after it, and its own key";
            // An authority is asked for another one.
            return findings.fault_unless(files.proofs.is_some(), "tls.cert_file", error.to_string(), cure);
        }
    };
    let now = SystemClock.now();
    if let Some(problem) = tls::unfit(&facts, now) {
        let cure = "get a certificate from an authority that clients trust, your own or a public one";
        let lenient = config.is_dev() || files.proofs.is_some();
        return findings.fault_unless(lenient, "tls.cert_file", problem.to_string(), cure);
    }
    let left = facts.ends.as_seconds() - now.as_seconds();
    if files.proofs.is_none() && u64::try_from(left).is_ok_and(|left| left < tls::SOON.as_secs()) {
        let days = left.div_euclid(86_400);
        findings.warn(
            "tls.cert_file",
            format!("ends in {days} days"),
            "renew it; new files are taken over without a restart",
        );
    }
    let host = config.public_url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let host = host
        .parse::<axum::http::uri::Authority>()
        .map_or_else(|_| String::new(), |authority| authority.host().to_owned());
    if !facts.covers(&host) {
        let cure = "get one for that host, or correct server.public_url";
        findings.warn("tls.cert_file", format!("is not for {host}, the host of server.public_url"), cure);
    }
}
