//! A certificate and its key, from their two files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use chancery_domain::Timestamp;
use chancery_kms::private_file::{self, PrivateFileError};
use tokio_rustls::rustls::{
    self,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer as _, X509Certificate},
};

/// The longest file.
const LONGEST: usize = 256 * 1024;

/// Why two files are no certificate with its key. Nothing of their content is told.
#[derive(Debug, thiserror::Error)]
pub enum BadFiles {
    /// The file of the certificate.
    #[error("{} cannot be read", .0.display())]
    Certificate(PathBuf, #[source] std::io::Error),
    /// The file of the key.
    #[error("the key cannot be read")]
    Key(#[from] PrivateFileError),
    /// No certificate is in the one.
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// No key is in the other.
    #[error("{} holds no private key in PEM", .0.display())]
    NoKey(PathBuf),
    /// They do not belong together, or are of a kind that TLS cannot use.
    #[error("the certificate and the key do not belong together, or are of a kind that TLS does not use")]
    Pair(#[source] rustls::Error),
}

impl BadFiles {
    /// For the log: nothing of a file's content or place.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Certificate(..) => "certificate_unreadable",
            Self::Key(_) => "key_unreadable",
            Self::NoCertificate(_) => "no_certificate",
            Self::NoKey(_) => "no_key",
            Self::Pair(_) => "no_pair",
        }
    }
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Nobody but its own holder stands behind it.
    pub self_signed: bool,
    /// Since when it is valid.
    pub starts: Timestamp,
    /// Until when.
    pub ends: Timestamp,
    /// For which hosts: names and addresses.
    pub names: Vec<String>,
}

impl Facts {
    /// Whether it is for this host, as browsers see it.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => host.split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest == domain),
            None => *name == host,
        })
    }
}

/// A certificate with its key.
pub(crate) struct Pair {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) facts: Facts,
}

/// Reads both.
///
/// # Errors
///
/// [`BadFiles`].
pub(crate) fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<Pair, BadFiles> {
    let unreadable = |error| BadFiles::Certificate(certificate.to_owned(), error);
    if std::fs::metadata(certificate).map_err(unreadable)?.len() > LONGEST as u64 {
        return Err(BadFiles::NoCertificate(certificate.to_owned()));
    }
    let pem = std::fs::read(certificate).map_err(unreadable)?;
    let none = || BadFiles::NoCertificate(certificate.to_owned());
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| none())?;
    let facts = facts(chain.first().ok_or_else(none)?).ok_or_else(none)?;
    let (content, _) = private_file::read_any_mode(key, LONGEST)?;
    let private = PrivateKeyDer::from_pem_slice(&content).map_err(|_| BadFiles::NoKey(key.to_owned()))?;
    let key = CertifiedKey::from_der(chain, private, provider).map_err(BadFiles::Pair)?;
    Ok(Pair { key: Arc::new(key), facts })
}

/// What a certificate says of itself; none if it cannot be read.
pub(crate) fn facts(der: &[u8]) -> Option<Facts> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let moment = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    let validity = certificate.validity();
    let names = certificate.subject_alternative_name().ok()?;
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(name).collect();
    Some(Facts {
        self_signed: certificate.issuer().as_raw() == certificate.subject().as_raw(),
        starts: moment(validity.not_before.timestamp()),
        ends: moment(validity.not_after.timestamp()),
        names,
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
        },
        _ => None,
    }
}
