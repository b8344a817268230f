//! What is shown to an authority that looks whether a name is ours (RFC 8555 §8): over TLS (RFC 8737), or over plain HTTP.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use tokio_rustls::rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::ClientHello,
    sign::{CertifiedKey, SingleCertAndKey},
    version::{TLS12, TLS13},
};

/// The protocol by which an authority says that it looks.
const LOOKS: &[u8] = b"acme-tls/1";

/// Proofs of the moment; usually none.
#[derive(Debug, Default)]
pub struct Proofs {
    over_tls: RwLock<BTreeMap<String, Arc<ServerConfig>>>,
    over_http: RwLock<BTreeMap<String, String>>,
}

/// One proof; gone when dropped.
#[derive(Debug)]
pub struct Shown {
    proofs: Arc<Proofs>,
    name: String,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.proofs.over_tls.write().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
        self.proofs.over_http.write().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

impl Proofs {
    /// Shows this certificate to whoever looks for `domain` over TLS.
    ///
    /// # Errors
    ///
    /// If TLS does not take it.
    pub fn show_over_tls(
        self: &Arc<Self>,
        domain: &str,
        key: CertifiedKey,
    ) -> Result<Shown, tokio_rustls::rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![LOOKS.to_vec()];
        let name = domain.to_ascii_lowercase();
        self.over_tls.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), Arc::new(config));
        Ok(Shown { proofs: Arc::clone(self), name })
    }

    /// Answers this text to whoever asks for `token` over plain HTTP.
    pub fn show_over_http(self: &Arc<Self>, token: &str, text: &str) -> Shown {
        self.over_http.write().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned(), text.to_owned());
        Shown { proofs: Arc::clone(self), name: token.to_owned() }
    }

    /// Whether an authority may look over TLS just now.
    pub(super) fn are_asked_for(&self) -> bool {
        !self.over_tls.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// How to answer a handshake that is an authority's look; `None` for everybody else's.
    pub(super) fn asked(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut protocols = hello.alpn()?;
        if protocols.next() != Some(LOOKS) || protocols.next().is_some() {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.over_tls.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
    }

    /// What is answered for this token over plain HTTP.
    pub(super) fn text(&self, token: &str) -> Option<String> {
        self.over_http.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }
}
