//! Archives months that are closed, lets events go whose time is over, and says how logs stand, on one node at a time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chancery_api::{Metrics, Retained};
use chancery_domain::{
    Instance, TenantId,
    audit::{
        archives,
        retention::{self, Tended},
    },
    jobs,
    tenants::TenantState,
};
use tokio::sync::watch;

use crate::{
    jobs::{Ticks, chain},
    wiring::Stores,
};

/// How often it is looked; what is ordered goes on at the next look.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const JOB: &str = "audit-retention";
/// For how many seconds one node has the work; it claims it again before each tenant.
const CLAIM: i64 = 300;

/// Tends every log until stopped.
pub async fn run(instance: Arc<Instance>, stores: Stores, metrics: Arc<Metrics>, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(LOOK_EVERY, stopped.clone());
    let mut waiting = BTreeSet::new();
    while ticks.next().await {
        let tenants = match stores.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "Could not list the tenants for the retention of logs");
                continue;
            }
        };
        // Whose keys are out of use is neither archived nor read back until they are in use again; the platform is not (ADR 0026).
        let others = tenants.iter().map(|entry| (entry.id, entry.state == TenantState::Active));
        let others = others.filter(|(id, _)| !id.is_platform());
        let mut stands = Retained::default();
        for (tenant, active) in std::iter::once((TenantId::PLATFORM, false)).chain(others) {
            if *stopped.borrow() {
                break;
            }
            if jobs::claim(&instance, JOB, CLAIM).await.unwrap_or(false) {
                if active {
                    archived(&instance, tenant, &metrics).await;
                }
                let done = tended(&instance, tenant, &mut waiting).await;
                metrics.purged(done.events);
                stands.unproven += done.unproven;
                stands.disputed += done.disputed;
            } else {
                waiting.remove(&tenant);
            }
            look(&instance, tenant, &mut stands).await;
        }
        stands.waiting = waiting.len() as u64;
        metrics.retained(stands);
    }
    let _ = jobs::release(&instance, JOB).await;
}

/// Archives what is closed of one log.
async fn archived(instance: &Instance, tenant: TenantId, metrics: &Metrics) {
    match archives::tend(instance, tenant).await {
        Ok(0) => {}
        Ok(written) => {
            tracing::info!(%tenant, written, "Archived {written} part(s) of the log of `{tenant}`");
            metrics.archived(written);
        }
        Err(error) => {
            tracing::error!(%tenant, error = chain(&error), "Could not archive what is closed of the log of `{tenant}`");
            metrics.archive_failed();
        }
    }
}

/// Does what is due for one tenant; whose months wait for a clock that is believed is in `waiting`.
async fn tended(instance: &Instance, tenant: TenantId, waiting: &mut BTreeSet<TenantId>) -> Tended {
    let done = match retention::tend(instance, tenant).await {
        Ok(done) => done,
        Err(error) => {
            tracing::error!(%tenant, error = chain(&error), "Could not purge what is due of the log of `{tenant}`");
            return Tended::default();
        }
    };
    let Tended { ordered, events, waits, .. } = done;
    if ordered > 0 || events > 0 {
        tracing::info!(%tenant, ordered, events, "Purged {events} event(s) of the log of `{tenant}`");
    }
    if !waits {
        waiting.remove(&tenant);
    } else if waiting.insert(tenant) {
        tracing::warn!(
            %tenant,
            code = "purge_waits",
            "The time of months of the log of `{tenant}` is over by this clock, and nothing was logged 40 to 80 days ago: either it jumped, \
             or nothing ran then. Nothing goes by itself until it has gone on for 40 days; who is sure of the clock can order the purge"
        );
    }
    done
}

/// Adds how one log stands.
async fn look(instance: &Instance, tenant: TenantId, stands: &mut Retained) {
    match retention::standing(instance, tenant).await {
        Ok(standing) => stands.add(&standing, instance.now()),
        Err(error) => tracing::warn!(%tenant, error = chain(&error), "Could not see how the log of `{tenant}` is kept"),
    }
}
