//! What is shown to an authority that looks whether a name is ours (RFC 8555 §8): over TLS (RFC 8737), or over plain HTTP.
//!
//! It is in a folder: whichever of the processes that share it is looked at, it has the answer.

use std::{fs, io, path::PathBuf, sync::Arc};

use chancery_crypto::sha256;
use chancery_kms::private_file::{self, PrivateFileError};
use data_encoding::HEXLOWER;
use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::ClientHello,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};
use zeroize::Zeroizing;

/// The protocol by which an authority says that it looks.
const LOOKS: &[u8] = b"acme-tls/1";
/// The longest proof: a certificate with its key.
const LONGEST: usize = 16 * 1024;

/// Proofs of the moment; usually none.
#[derive(Debug, Clone)]
pub struct Proofs(PathBuf);

/// One proof; gone when dropped.
#[derive(Debug)]
pub struct Shown(PathBuf);

impl Drop for Shown {
    fn drop(&mut self) {
        // What stays is taken away before the next order.
        let _ = fs::remove_file(&self.0);
    }
}

impl Proofs {
    /// Those in this folder, which is made when it is needed.
    pub const fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Shows this certificate, which has its key beside it in PEM, to whoever looks for `domain` over TLS.
    ///
    /// # Errors
    ///
    /// If the folder does not take it.
    pub fn show_over_tls(&self, domain: &str, pem: &str) -> Result<Shown, PrivateFileError> {
        self.show(self.of_domain(domain), pem)
    }

    /// Answers this text to whoever asks for `token` over plain HTTP.
    ///
    /// # Errors
    ///
    /// If the folder does not take it.
    pub fn show_over_http(&self, token: &str, text: &str) -> Result<Shown, PrivateFileError> {
        self.show(self.of_token(token), text)
    }

    /// Takes away what a process that was killed has left.
    ///
    /// # Errors
    ///
    /// If the folder does not answer.
    pub fn clear(&self) -> io::Result<()> {
        match fs::read_dir(&self.0) {
            Ok(mut entries) => entries.try_for_each(|entry| fs::remove_file(entry?.path())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn show(&self, path: PathBuf, content: &str) -> Result<Shown, PrivateFileError> {
        private_file::create_folder(&self.0)?;
        private_file::create(&path, content.as_bytes())?;
        Ok(Shown(path))
    }

    /// The name for which an authority looks with this handshake; `None` if it is anybody else's.
    pub(super) fn looked_for(hello: &ClientHello<'_>) -> Option<String> {
        let mut protocols = hello.alpn()?;
        if protocols.next() != Some(LOOKS) || protocols.next().is_some() {
            return None;
        }
        hello.server_name().map(str::to_owned)
    }

    /// How to answer an authority that looks for this name.
    pub(super) async fn over_tls(&self, domain: &str) -> Option<Arc<ServerConfig>> {
        let pem = read(self.of_domain(domain)).await?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().ok()?;
        let key = provider.key_provider.load_private_key(PrivateKeyDer::from_pem_slice(&pem).ok()?).ok()?;
        // Not compared with the key: it has an extension that no client may pass over, and such a certificate is read by authorities alone.
        let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12]).ok()?;
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![LOOKS.to_vec()];
        Some(Arc::new(config))
    }

    /// What is answered for this token over plain HTTP.
    pub(super) async fn text(&self, token: &str) -> Option<String> {
        let text = read(self.of_token(token)).await?;
        String::from_utf8(text.to_vec()).ok()
    }

    fn of_domain(&self, domain: &str) -> PathBuf {
        self.file("tls", &domain.to_ascii_lowercase())
    }

    fn of_token(&self, token: &str) -> PathBuf {
        self.file("http", token)
    }

    /// By a digest: what strangers ask for leads nowhere else.
    fn file(&self, kind: &str, name: &str) -> PathBuf {
        self.0.join(format!("{kind}-{}", HEXLOWER.encode(&sha256(name.as_bytes()))))
    }
}

/// Where waiting for a disk holds up nobody.
async fn read(path: PathBuf) -> Option<Zeroizing<Vec<u8>>> {
    tokio::task::spawn_blocking(move || private_file::read(&path, LONGEST)).await.ok()?.ok()
}
