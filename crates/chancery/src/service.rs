//! What the service manager is told, if one started us and wants to know: the protocol of `sd_notify(3)`, a line to a socket.

use std::{
    ffi::OsStr,
    io,
    os::unix::{
        ffi::OsStrExt as _,
        net::{SocketAddr, UnixDatagram},
    },
    sync::Arc,
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

/// Who started us and wants to know how we are; often nobody.
#[derive(Debug, Clone, Default)]
pub struct Service(Option<Arc<Manager>>);

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// After how much silence it takes us for dead.
    patience: Option<Duration>,
}

impl Service {
    /// As the environment says.
    pub fn of_environment() -> Self {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let ours = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let micros =
            std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok()).filter(|micros| *micros > 0);
        Self::at(&address, micros.filter(|_| ours).map(Duration::from_micros)).unwrap_or_else(|error| {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, "The service manager's NOTIFY_SOCKET cannot be used");
            Self::default()
        })
    }

    fn at(address: &OsStr, patience: Option<Duration>) -> io::Result<Self> {
        let address = match address.as_bytes().strip_prefix(b"@") {
            Some(name) => abstract_address(name)?,
            None => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        // Nobody who does not read holds us up.
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Manager { socket, address, patience }))))
    }

    /// Requests are answered, with what the configuration says now.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The configuration is read anew; [`Self::ready`] follows.
    pub fn reloading(&self) {
        self.tell("RELOADING=1");
    }

    /// What is open ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says from here on that we live, as often as is wanted. It is said where requests are answered: who hangs is silent.
    pub fn watch(&self) -> Option<JoinHandle<()>> {
        let pause = self.0.as_ref()?.patience? / 2;
        let service = self.clone();
        Some(tokio::spawn(async move {
            loop {
                service.tell("WATCHDOG=1");
                tokio::time::sleep(pause).await;
            }
        }))
    }

    /// Lives through SIGHUP, by which a manager asks to read the configuration anew, where nothing is. Without a manager it ends the
    /// process, as it does when a terminal goes.
    ///
    /// # Errors
    ///
    /// If the system gives no signals.
    pub fn outlive_hangups(&self) -> io::Result<()> {
        if self.0.is_some() {
            // From the first listener on, the system's own way is gone for good.
            drop(signal(SignalKind::hangup())?);
        }
        Ok(())
    }

    fn tell(&self, state: &str) {
        if let Some(manager) = &self.0
            && let Err(error) = manager.socket.send_to_addr(state.as_bytes(), &manager.address)
        {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, state, "The service manager does not hear us");
        }
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut text = [0; 64];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_manager_hears_how_we_are_and_that_we_live() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let service = Service::at(path.as_os_str(), Some(Duration::from_millis(20))).unwrap();
        service.ready();
        service.reloading();
        service.ready();
        assert_eq!([heard(&manager), heard(&manager), heard(&manager)], ["READY=1", "RELOADING=1", "READY=1"]);
        let watching = service.watch().unwrap();
        let lives = tokio::task::spawn_blocking(move || [heard(&manager), heard(&manager)]).await.unwrap();
        assert_eq!(lives, ["WATCHDOG=1", "WATCHDOG=1"]);
        watching.abort();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_address_may_have_no_file() {
        let name = format!("chancery-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&abstract_address(name.as_bytes()).unwrap()).unwrap();
        Service::at(OsStr::new(&format!("@{name}")), None).unwrap().stopping();
        assert_eq!(heard(&manager), "STOPPING=1");
    }

    #[tokio::test]
    async fn where_nobody_wants_to_know_nothing_is_said() {
        let service = Service::default();
        service.ready();
        assert!(service.watch().is_none());
    }
}
