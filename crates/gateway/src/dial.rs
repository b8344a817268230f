//! Makes connections to one server of an application.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use chancery_domain::clouds::gives_credentials;
use chancery_middleware::listener::Stream;
use http::{Uri, uri::Authority};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, lookup_host},
};
use tower::Service;

use crate::{Address, upstream::Secure};

/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(3);

/// Connects to its address, whatever the request's URI says.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    address: Address,
    secure: Option<Arc<dyn Secure>>,
}

impl Dial {
    pub(crate) const fn new(address: Address, secure: Option<Arc<dyn Secure>>) -> Self {
        Self { address, secure }
    }

    /// A connection.
    pub(crate) async fn connect(&self) -> io::Result<TokioIo<Dialled>> {
        tokio::time::timeout(PATIENCE, self.dial()).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn dial(&self) -> io::Result<TokioIo<Dialled>> {
        let stream: Box<dyn Stream> = match &self.address {
            Address::Tcp(authority) => Box::new(connected(authority, 80).await?),
            Address::Tls(authority) => {
                let Some(secure) = &self.secure else { return Err(io::ErrorKind::Unsupported.into()) };
                secure.secure(bare(authority), connected(authority, 443).await?).await?
            }
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        };
        Ok(TokioIo::new(Dialled(stream)))
    }
}

fn bare(authority: &Authority) -> &str {
    authority.host().trim_start_matches('[').trim_end_matches(']')
}

/// To the first address that answers of those that the name leads to; never to one where clouds give credentials.
async fn connected(authority: &Authority, port: u16) -> io::Result<TcpStream> {
    let found = lookup_host((bare(authority), authority.port_u16().unwrap_or(port))).await?;
    let mut failed = io::Error::new(io::ErrorKind::PermissionDenied, "it leads to where clouds give credentials");
    for address in found.filter(|address| !gives_credentials(address.ip())) {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Dialled>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dial = self.clone();
        Box::pin(async move { dial.connect().await })
    }
}

/// A connection to a server.
pub(crate) struct Dialled(Box<dyn Stream>);

impl Connection for Dialled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Dialled {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Dialled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second is a name to everybody but the system's resolver.
    #[tokio::test]
    async fn what_leads_to_where_clouds_give_credentials_is_not_asked() {
        for there in ["169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"] {
            let refused = connected(&there.parse().unwrap(), 80).await;
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{there}");
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().to_string();
        connected(&here.parse().unwrap(), 80).await.unwrap();
        let closed = connected(&"127.0.0.1:1".parse().unwrap(), 80).await;
        assert_eq!(closed.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
