//! Listeners: where they answer, and how they stop.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use axum::Router;
use chancery_middleware::listener::{self, Bounds, Welcome};
use ipnet::IpNet;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

pub use chancery_middleware::listener::DRAIN;

/// A listener: what it is for, and where to say otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Door {
    /// Such as `API`.
    pub name: &'static str,
    /// The flag that moves it.
    pub flag: &'static str,
    /// Where it answers; port 0 takes any free one.
    pub address: SocketAddr,
}

impl Door {
    /// The one for callers.
    pub const fn api(address: SocketAddr) -> Self {
        Self { name: "API", flag: "--listen (of `chancery gateway`: --api-listen)", address }
    }

    /// The one for the operator's monitoring.
    pub const fn metrics(address: SocketAddr) -> Self {
        Self { name: "metrics", flag: "--metrics-listen", address }
    }

    /// The one that sends whoever comes without TLS to where it is.
    pub const fn redirect(address: SocketAddr) -> Self {
        Self { name: "redirect", flag: "tls.redirect_listen", address }
    }

    /// The one in front of an application.
    pub const fn gateway(address: SocketAddr) -> Self {
        Self { name: "gateway", flag: "--listen", address }
    }
}

/// A listener at work.
pub struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<bool>,
}

impl Running {
    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, lets running requests finish, and says whether all of them did.
    pub async fn stop(self) -> bool {
        let _ = self.stop.send(true);
        self.task.await.unwrap_or(false)
    }
}

/// Listens at `door` and serves `router` until stopped.
///
/// # Errors
///
/// If the address cannot be had; says which listener it is.
pub async fn listen(door: Door, router: Router) -> Result<Running> {
    listen_with(door, router, Vec::new(), None).await
}

/// As [`listen`], with the proxies that may bring as many connections as they like, and what happens to each connection first.
///
/// # Errors
///
/// As [`listen`].
pub async fn listen_with(
    door: Door,
    router: Router,
    proxies: Vec<IpNet>,
    welcome: Option<Arc<dyn Welcome>>,
) -> Result<Running> {
    let Door { name, flag, address } = door;
    let refused = || format!("{name} listener cannot bind {address}; give it a free address with {flag}");
    let listener = TcpListener::bind(address).await.with_context(refused)?;
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(listener::serve(listener, router, Bounds::default(), proxies, welcome, stopped));
    Ok(Running { address, stop, task })
}

/// As many open files as the system lets this process have: each connection is one, and the usual soft limit is 1,024.
pub(crate) fn open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "Could not raise the limit of open files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn a_busy_address_says_whose_it_is() {
        let running = listen(Door::api(ANY), Router::new()).await.unwrap();
        let refused = listen(Door::metrics(running.address()), Router::new()).await.err().unwrap();
        let text = format!("{refused:#}");
        assert!(text.starts_with(&format!("metrics listener cannot bind {}", running.address())), "{text}");
        assert!(text.contains("--metrics-listen"), "{text}");
    }
}
