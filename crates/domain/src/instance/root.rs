//! The platform root, held for a bounded time.

use std::sync::Arc;

use super::{Failure, Instance};
use crate::{
    keyring::{KeyringError, PlatformRoot, RootError},
    time::Timestamp,
};

/// How long a root that was looked up again stays as it is: those who waited for it share it.
const RENEWED_MICROS: i64 = 50_000;
/// How long providers that did not give the root are left alone.
const REFUSED_MICROS: i64 = 1_000_000;

/// The platform root, and since when it is held.
pub(super) struct HeldRoot {
    pub(super) root: Arc<PlatformRoot>,
    pub(super) since: Timestamp,
}

impl Instance {
    /// Takes the root as it is stored by now: this process has just changed it.
    pub(crate) async fn follow_root(&self) -> Result<(), RootError> {
        let root = crate::keyring::root::open(&self.ports, &self.settings).await?;
        self.hold_root(root);
        Ok(())
    }

    /// The platform root, as this process knows it.
    pub fn root(&self) -> Arc<PlatformRoot> {
        Arc::clone(&self.root.read().unwrap_or_else(|poison| poison.into_inner()).root)
    }

    /// The platform root, looked up again if that was not done a moment ago: somebody named a version that is not here.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the store does not answer. Providers that do not leave the root as it was.
    pub async fn renewed_root(&self) -> Result<Arc<PlatformRoot>, Failure> {
        let mut renewed = self.renewing.lock().await;
        if renewed.is_none_or(|until| self.now() >= until) {
            let pause = match crate::keyring::root::open(&self.ports, &self.settings).await {
                Ok(root) => {
                    self.hold_root(root);
                    RENEWED_MICROS
                }
                Err(RootError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, "The platform root could not be looked up again");
                    REFUSED_MICROS
                }
            };
            // From its end: whoever waited meanwhile does not wait as long again.
            *renewed = Some(Timestamp::from_micros(self.now().as_micros().saturating_add(pause)));
        }
        Ok(self.root())
    }

    /// The platform root, as long as its lease lasts: past that it is asked of the providers again, and without one that
    /// gives it nothing more is unwrapped here.
    ///
    /// # Errors
    ///
    /// [`KeyringError::NoRoot`] if the lease is over and no provider gives the root.
    pub(crate) async fn leased_root(&self) -> Result<Arc<PlatformRoot>, Failure> {
        if let Some(root) = self.unexpired_root() {
            return Ok(root);
        }
        // In a box: it is rare, and all that a root asks of its provider is as large.
        Box::pin(self.renewed_root()).await?;
        self.unexpired_root().ok_or_else(|| KeyringError::NoRoot.into())
    }

    fn unexpired_root(&self) -> Option<Arc<PlatformRoot>> {
        let held = self.root.read().unwrap_or_else(|poison| poison.into_inner());
        let until = held.since.plus_seconds(i64::from(self.settings.root_lease_seconds));
        (self.now() < until).then(|| Arc::clone(&held.root))
    }

    fn hold_root(&self, root: PlatformRoot) {
        let held = HeldRoot { root: Arc::new(root), since: self.now() };
        *self.root.write().unwrap_or_else(|poison| poison.into_inner()) = held;
    }
}
