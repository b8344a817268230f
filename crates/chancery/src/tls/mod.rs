//! TLS for our listeners: TLS 1.3, 1.2 by choice; certificates that change without a restart.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chancery_domain::{Clock as _, Instance, Timestamp};
use chancery_middleware::listener::{Stream, Welcome};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::{
    LazyConfigAcceptor, TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::{CryptoProvider, aws_lc_rs},
        server::{Acceptor, ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
        version::{TLS12, TLS13},
    },
};

use crate::{clock::SystemClock, following::Follower};

mod files;
mod following;
mod outward;
mod proofs;
pub mod redirect;

use files::Pair;
pub use files::{BadFiles, Facts};
pub use outward::Outward;
pub use proofs::{Proofs, Shown};

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
    /// An authority is asked for what these files will hold, so that they may not be there yet; what it looks for is in this folder.
    pub proofs: Option<PathBuf>,
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

    fn follower(&self) -> Follower {
        Follower::new([self.certificate.clone(), self.key.clone()])
    }
}

/// TLS at work.
pub struct Tls {
    files: TlsFiles,
    /// Of the files since they were read.
    follower: Follower,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
    proofs: Option<Proofs>,
}

/// The certificate of the moment, if there is one.
#[derive(Debug, Default)]
struct Current(RwLock<Option<(Arc<CertifiedKey>, Facts)>>);

impl Current {
    fn put(&self, pair: Pair) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some((pair.key, pair.facts));
    }

    fn facts(&self) -> Option<Facts> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, facts)| facts.clone())
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(key, _)| Arc::clone(key))
    }
}

impl Tls {
    /// Reads the files. Awaited ones may be missing, or hold a certificate that is over: then there is none until the authority gave one.
    ///
    /// # Errors
    ///
    /// If they are not fit for use.
    pub fn open(files: TlsFiles) -> Result<Arc<Self>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = Arc::new(Current::default());
        let follower = files.follower();
        match fit(&files, &provider) {
            Ok(pair) => current.put(pair),
            Err(_) if files.proofs.is_some() => {}
            Err(unfit) => return Err(unfit).context("tls.cert_file and tls.key_file do not do"),
        }
        let versions = if files.allows_1_2 { &[&TLS13, &TLS12][..] } else { &[&TLS13] };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let proofs = files.proofs.clone().map(Proofs::new);
        Ok(Arc::new(Self { files, follower, provider, current, acceptor: TlsAcceptor::from(Arc::new(config)), proofs }))
    }

    /// From here on takes over files that change, and says in the log how the certificate stands.
    pub fn follow(self: &Arc<Self>, instance: &Arc<Instance>) -> JoinHandle<()> {
        instance.tls().begin(self.facts().map(|facts| facts.ends));
        tokio::spawn(following::run(Arc::clone(self), Arc::clone(instance)))
    }

    /// What the certificate at work says of itself, if there is one.
    pub fn facts(&self) -> Option<Facts> {
        self.current.facts()
    }

    /// What is shown to authorities that look whether a name is ours, if one is asked for certificates.
    pub const fn proofs(&self) -> Option<&Proofs> {
        self.proofs.as_ref()
    }

    /// Takes over what the files hold now.
    fn take(&self) -> Result<Timestamp, Unfit> {
        let pair = fit(&self.files, &self.provider)?;
        let ends = pair.facts.ends;
        self.current.put(pair);
        Ok(ends)
    }

    /// A handshake may be an authority's look at us (RFC 8737): such a connection ends with the handshake.
    async fn welcome_looker(&self, proofs: &Proofs, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let proof = match Proofs::looked_for(&start.client_hello()) {
            Some(domain) => proofs.over_tls(&domain).await,
            None => None,
        };
        let Some(proof) = proof else {
            return Ok(Box::new(start.into_stream(Arc::clone(self.acceptor.config())).await?));
        };
        let mut shown = start.into_stream(proof).await?;
        tokio::io::AsyncWriteExt::shutdown(&mut shown).await?;
        Err(io::ErrorKind::ConnectionAborted.into())
    }
}

#[async_trait]
impl Welcome for Tls {
    async fn welcome(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        match &self.proofs {
            Some(proofs) => self.welcome_looker(proofs, stream).await,
            None => Ok(Box::new(self.acceptor.accept(stream).await?)),
        }
    }
}

/// Why a pair is not used.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    /// The files hold no pair.
    #[error(transparent)]
    Files(#[from] BadFiles),
    /// It is none for here and now.
    #[error("the certificate {0}")]
    Certificate(Problem),
}

impl Unfit {
    /// For the log: nothing of a file's content.
    const fn code(&self) -> &'static str {
        match self {
            Self::Files(bad) => bad.code(),
            Self::Certificate(problem) => problem.code(),
        }
    }
}

/// Reads a pair that may be used here and now.
fn fit(files: &TlsFiles, provider: &CryptoProvider) -> Result<Pair, Unfit> {
    let pair = files.read(provider)?;
    match unfit(&pair.facts, SystemClock.now()).filter(|_| !files.lenient) {
        Some(problem) => Err(Unfit::Certificate(problem)),
        None => Ok(pair),
    }
}

/// What speaks against a certificate in production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// Its holder alone vouches for it.
    #[error("is self-signed: nobody else stands behind it")]
    SelfSigned,
    /// Its time is over.
    #[error("is over since {0}")]
    Over(Timestamp),
    /// Its time has not come.
    #[error("is not valid before {0}")]
    NotYet(Timestamp),
}

impl Problem {
    const fn code(self) -> &'static str {
        match self {
            Self::SelfSigned => "self_signed",
            Self::Over(_) => "over",
            Self::NotYet(_) => "not_yet",
        }
    }
}

pub(crate) fn unfit(facts: &Facts, now: Timestamp) -> Option<Problem> {
    if facts.self_signed {
        return Some(Problem::SelfSigned);
    }
    if now >= facts.ends {
        return Some(Problem::Over(facts.ends));
    }
    (now < facts.starts).then_some(Problem::NotYet(facts.starts))
}

/// How long before its end an operator is told.
pub(crate) const SOON: Duration = Duration::from_secs(14 * 86_400);

#[cfg(test)]
mod tests;
