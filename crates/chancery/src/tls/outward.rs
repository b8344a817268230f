//! TLS to servers of applications behind the gateway.

use std::{io, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chancery_gateway::upstream::Secure;
use chancery_middleware::listener::Stream;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use crate::guarded::{Pin, client_tls};

/// The protocol of a server that speaks HTTP/2.
const H2: &[u8] = b"h2";

/// Proves who an application's servers are. The addresses are the operator's word: they may be inside.
#[derive(Debug)]
pub struct Outward(Arc<ClientConfig>);

impl Outward {
    /// By the authorities in a file, or those of the system. Hosts that are pinned must have one of their keys besides.
    ///
    /// # Errors
    ///
    /// If the file, or what the system has, cannot be used.
    pub fn new(ca_file: Option<&Path>, pins: &[Pin], http2: bool) -> Result<Self> {
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let authorities = ca_file.map(read).transpose()?;
        let mut config = client_tls(authorities.as_deref(), pins)?;
        config.alpn_protocols = vec![if http2 { H2.to_vec() } else { b"http/1.1".to_vec() }];
        Ok(Self(Arc::new(config)))
    }
}

#[async_trait]
impl Secure for Outward {
    async fn secure(&self, host: &str, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await?;
        let wants_h2 = self.0.alpn_protocols.first().is_some_and(|protocol| protocol == H2);
        if wants_h2 && stream.get_ref().1.alpn_protocol() != Some(H2) {
            return Err(io::Error::other("the server does not speak HTTP/2"));
        }
        Ok(Box::new(stream))
    }
}
