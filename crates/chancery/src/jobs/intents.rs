//! Uses of personal data that a process left open when it died are told of: beside the sequencer, which moves every tenant's log and waits
//! for none of this.

use std::{sync::Arc, time::Duration};

use chancery_domain::{Instance, TenantId, audit::intent};
use tokio::sync::watch;

use super::{Ticks, chain};
use crate::wiring::Stores;

const CLOSE_EVERY: Duration = Duration::from_secs(10);

/// Closes what was left open, until stopped.
pub(super) async fn close(instance: Arc<Instance>, stores: Stores, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(CLOSE_EVERY, stopped);
    while ticks.next().await {
        let tenants = match stores.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "Could not list the tenants whose intents were left open");
                continue;
            }
        };
        let others = tenants.iter().map(|entry| entry.id).filter(|id| !id.is_platform());
        for tenant in std::iter::once(TenantId::PLATFORM).chain(others) {
            close_of(&instance, tenant).await;
        }
    }
}

async fn close_of(instance: &Instance, tenant: TenantId) {
    match intent::close_left(instance, tenant).await {
        Ok(0) => {}
        Ok(closed) => tracing::warn!(
            %tenant,
            events = closed,
            "Closed {closed} intents in the log of `{tenant}` whose process ended before it could tell how they ended"
        ),
        Err(error) => {
            tracing::warn!(%tenant, error = chain(&error), "Could not close intents in the log of `{tenant}`");
        }
    }
}
