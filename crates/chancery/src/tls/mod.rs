//! TLS for our listeners: TLS 1.3, 1.2 by choice; certificates that change without a restart.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use chancery_domain::{Clock as _, Timestamp};
use chancery_middleware::listener::{Stream, Welcome};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
        version::{TLS12, TLS13},
    },
};

use crate::clock::SystemClock;

mod files;
mod outward;
pub mod redirect;

pub use files::{BadFiles, Facts};
use files::{Pair, Seen};
pub use outward::Outward;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Before its end an operator is told each day.
const SOON_DAYS: i64 = 14;

/// Where a certificate and its key are, and who may speak.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate and those that stand behind it, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Clients that know no more than TLS 1.2 may speak too.
    pub allows_1_2: bool,
    /// Self-signed certificates do, and such as are over: in development.
    pub lenient: bool,
}

impl TlsFiles {
    /// What the certificate says of itself.
    ///
    /// # Errors
    ///
    /// [`BadFiles`] if the two files are no certificate with its key.
    pub fn facts(&self) -> Result<Facts, BadFiles> {
        self.read(&aws_lc_rs::default_provider()).map(|pair| pair.facts)
    }

    fn read(&self, provider: &CryptoProvider) -> Result<Pair, BadFiles> {
        files::read(&self.certificate, &self.key, provider)
    }

    fn seen(&self) -> Seen {
        Seen::of(&self.certificate, &self.key)
    }
}

/// TLS at work.
pub struct Tls {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

/// The certificate of the moment.
#[derive(Debug)]
struct Current(RwLock<(Arc<CertifiedKey>, Timestamp)>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).0))
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// If they are not fit for use.
    pub fn open(files: TlsFiles) -> Result<Arc<Self>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let pair = fit(&files, &provider)?;
        let current = Arc::new(Current(RwLock::new((pair.key, pair.facts.ends))));
        let versions = if files.allows_1_2 { &[&TLS13, &TLS12][..] } else { &[&TLS13] };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(Self { files, provider, current, acceptor: TlsAcceptor::from(Arc::new(config)) }))
    }

    /// From here on takes over files that change. A pair that is not fit for use leaves the one at work where it is.
    pub fn follow(self: &Arc<Self>) -> JoinHandle<()> {
        let tls = Arc::clone(self);
        tokio::spawn(async move {
            let mut follower = Follower::new(tls.files.seen());
            let mut told = None;
            loop {
                tokio::time::sleep(LOOK).await;
                tls.look(&mut follower);
                tls.tell_of_the_end(&mut told);
            }
        })
    }

    /// One look at the files; says whether another certificate is at work since.
    fn look(&self, follower: &mut Follower) -> bool {
        if !follower.wants(self.files.seen()) {
            return false;
        }
        match fit(&self.files, &self.provider) {
            Ok(pair) => {
                tracing::info!(ends = %pair.facts.ends, "A new certificate is at work; it ends at {}", pair.facts.ends);
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = (pair.key, pair.facts.ends);
                true
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "The new files of tls.cert_file and tls.key_file do not do; the certificate at work stays"
                );
                false
            }
        }
    }

    fn tell_of_the_end(&self, told: &mut Option<Timestamp>) {
        let now = SystemClock.now();
        let ends = self.current.0.read().unwrap_or_else(PoisonError::into_inner).1;
        let days = (ends.as_seconds() - now.as_seconds()).div_euclid(86_400);
        let today = told.is_some_and(|told| now.as_seconds() - told.as_seconds() < 86_400);
        if days < SOON_DAYS && !today {
            *told = Some(now);
            tracing::warn!(days, "The certificate ends in {days} days: put a new one into tls.cert_file");
        }
    }
}

#[async_trait]
impl Welcome for Tls {
    async fn welcome(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(self.acceptor.accept(stream).await?))
    }
}

/// When files have changed and lie still: a certificate and its key are written one after the other.
struct Follower {
    taken: Seen,
    last: Seen,
}

impl Follower {
    const fn new(seen: Seen) -> Self {
        Self { taken: seen, last: seen }
    }

    /// Whether these are to be read now. Each state is read once.
    fn wants(&mut self, seen: Seen) -> bool {
        let still = std::mem::replace(&mut self.last, seen) == seen;
        let wants = still && seen != self.taken;
        if wants {
            self.taken = seen;
        }
        wants
    }
}

/// Reads a pair that may be used here and now.
fn fit(files: &TlsFiles, provider: &CryptoProvider) -> Result<Pair> {
    let pair = files.read(provider).context("tls.cert_file and tls.key_file do not do")?;
    if let Some(problem) = unfit(&pair.facts, SystemClock.now()).filter(|_| !files.lenient) {
        bail!("the certificate {problem}");
    }
    Ok(pair)
}

/// What speaks against a certificate in production.
pub(crate) fn unfit(facts: &Facts, now: Timestamp) -> Option<String> {
    if facts.self_signed {
        return Some("is self-signed: nobody else stands behind it".to_owned());
    }
    if now >= facts.ends {
        return Some(format!("is over since {}", facts.ends));
    }
    (now < facts.starts).then(|| format!("is not valid before {}", facts.starts))
}

#[cfg(test)]
mod tests;
