//! Syslog over TLS (RFC 5425).
//!
//! Syslog has no answers, so there is a connection for each batch, and it is ended in order: our end says that it is over, and the
//! batch counts as taken when the receiver has read up to there and said that it is over too (close_notify of TLS). A receiver that
//! is gone without that word may have been killed, or somebody on the way ended the connection: the batch goes again, until one ends
//! as it should. What a receiver has read and not yet written when it says goodbye is out of our sight.

use std::{io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use chancery_domain::audit::{
    formats::{self, Body},
    sinks::{Outgoing, SendError},
};
use chancery_kms::private_file;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};

use super::Receiver;

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// Until the receiver has read everything and ended its side.
const GOODBYE: Duration = Duration::from_secs(15);
/// The longest file with a private key.
const MAX_KEY: usize = 64 * 1024;

/// A receiver of syslog.
pub(super) struct Syslog {
    address: String,
    server: ServerName<'static>,
    tls: TlsConnector,
    facility: u8,
    instance: String,
    body: Body,
    /// Whether only a goodbye of TLS counts as one.
    close_notify: bool,
}

/// TLS with these authorities, and with our own certificate if there is one.
pub(super) fn tls(ca_file: &Path, client: Option<&(PathBuf, PathBuf)>) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_file)? {
        roots.add(certificate).with_context(|| format!("{} holds no authority", ca_file.display()))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("no version of TLS")?
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate_file, key_file)) => {
            let key = private_file::read(key_file, MAX_KEY)?;
            let unreadable = || format!("{} holds no private key in PEM", key_file.display());
            let key = PrivateKeyDer::from_pem_slice(&key).ok().with_context(unreadable)?;
            let own = certificates(certificate_file)?;
            builder.with_client_auth_cert(own, key).context("cert_file and key_file do not belong together")?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().unwrap_or_default();
    let found = Some(found).filter(|found| !found.is_empty());
    found.with_context(|| format!("{} holds no certificates in PEM", path.display()))
}

impl Syslog {
    pub(super) fn new(
        address: &str,
        tls: TlsConnector,
        facility: u8,
        instance: &str,
        body: Body,
        close_notify: bool,
    ) -> Result<Self> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let server = ServerName::try_from(host.to_owned()).with_context(|| format!("`{host}` is no name of a host"))?;
        let (address, instance) = (address.to_owned(), instance.to_owned());
        Ok(Self { address, server, tls, facility, instance, body, close_notify })
    }
}

#[async_trait]
impl Receiver for Syslog {
    async fn take(&self, events: &[Outgoing]) -> Result<(), SendError> {
        let frames: String =
            events.iter().map(|event| formats::syslog(event, self.facility, &self.instance, self.body)).collect();
        let away = |code: &str| SendError::Away(code.to_owned());
        let connected = timeout(CONNECT, TcpStream::connect(&self.address)).await;
        let stream = connected.map_err(|_| away("connect.timeout"))?.map_err(|_| away("connect"))?;
        let handshake = timeout(CONNECT, self.tls.connect(self.server.clone(), stream)).await;
        let mut stream = handshake.map_err(|_| away("tls.timeout"))?.map_err(|_| away("tls"))?;
        let sent = async {
            stream.write_all(frames.as_bytes()).await?;
            stream.shutdown().await?;
            read_to_end(&mut stream, self.close_notify).await
        };
        timeout(GOODBYE, sent).await.map_err(|_| away("goodbye.timeout"))?.map_err(|error| away(code(&error)))
    }
}

/// Until the receiver ends its side. Without its goodbye nobody knows whether it read all: it does not count if `close_notify` says so.
async fn read_to_end(stream: &mut (impl tokio::io::AsyncRead + Unpin), close_notify: bool) -> io::Result<()> {
    let mut rest = [0; 256];
    loop {
        match stream.read(&mut rest).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !close_notify => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn code(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => "reset",
        io::ErrorKind::UnexpectedEof => "goodbye",
        _ => "io",
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use tokio::io::{AsyncRead, ReadBuf};

    use super::*;

    /// A receiver that says something, and then ends as it is told: as rustls gives it to us.
    struct Ends(Vec<io::Result<&'static [u8]>>);

    impl AsyncRead for Ends {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(self.0.remove(0).map(|bytes| into.put_slice(bytes)))
        }
    }

    /// A FIN used to count: a receiver that is killed after it has read, and before it has written, leaves nothing else.
    #[tokio::test]
    async fn an_end_without_a_goodbye_is_no_receipt() {
        let fin = || Err(io::ErrorKind::UnexpectedEof.into());
        let ends = |how: Vec<io::Result<&'static [u8]>>, close_notify| async move {
            read_to_end(&mut Ends(how), close_notify).await.map_err(|error| code(&error))
        };
        assert_eq!(ends(vec![Ok(b"x".as_slice()), Ok(b"".as_slice())], true).await, Ok(()));
        assert_eq!(ends(vec![fin()], true).await, Err("goodbye"));
        assert_eq!(ends(vec![Ok(b"x".as_slice()), fin()], true).await, Err("goodbye"));
        assert_eq!(ends(vec![fin()], false).await, Ok(()), "of a receiver that never says it");
        assert_eq!(ends(vec![Err(io::ErrorKind::ConnectionReset.into())], false).await, Err("reset"));
    }
}
