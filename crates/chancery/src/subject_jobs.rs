//! Moves the keys of persons after a rotation of the subject root, on one node at a time.

use std::{sync::Arc, time::Duration};

use chancery_domain::{Instance, TenantId, jobs, subjects, subjects::rotation::JOB};
use tokio::sync::watch;

use crate::wiring::Stores;

/// How often it is looked whether something is under an old version.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// For how many seconds one node has the work; it says so again before each batch, and for each tenant.
const LEASE: i64 = 60;

/// Moves keys until stopped; what is cut off is gone on with by whoever comes next.
pub async fn run(instance: Arc<Instance>, stores: Stores, mut stopped: watch::Receiver<bool>) {
    let mut unmoved = subjects::Unmoved::default();
    while !*stopped.borrow() {
        match stores.tenants().await {
            Ok(tenants) => {
                for tenant in tenants.iter().map(|entry| entry.id).filter(|id| !id.is_platform()) {
                    let leads = jobs::claim(&instance, JOB, LEASE).await.unwrap_or(false);
                    if !leads || *stopped.borrow() {
                        break;
                    }
                    moved(&instance, tenant, &mut unmoved, &stopped).await;
                }
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "Could not list the tenants for the keys of persons");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopped.changed() => {}
        }
    }
    if let Err(error) = jobs::release(&instance, JOB).await {
        tracing::debug!(%error, "Could not give the job over keys of persons back");
    }
}

async fn moved(
    instance: &Instance,
    tenant: TenantId,
    unmoved: &mut subjects::Unmoved,
    stopped: &watch::Receiver<bool>,
) {
    match subjects::move_keys(instance, tenant, unmoved, &|| *stopped.borrow()).await {
        Ok(0) => {}
        Ok(moved) => tracing::info!(%tenant, moved, "Moved keys of persons under the newest subject root"),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(%tenant, %error, cause, "Keys of persons were left where they are, for now");
        }
    }
}
