//! Takes up jobs over datasets: those started in this process at once, those that others left soon after.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use chancery_domain::{Instance, TenantId, census, datasets, ids::DatasetJobId, jobs, users};
use tokio::{sync::watch, task::JoinSet};

use crate::wiring::Stores;

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often all tenants are asked for jobs whose node died.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// The one node that moves Chancery's own values, and for how many seconds it has that without saying so again.
const OWN_JOB: &str = "own_values";
const OWN_LEASE: i64 = 60;
/// How many jobs this node does at a time.
const MAX_AT_ONCE: usize = 4;

/// Does jobs until stopped; a job that is cut off is gone on with by whoever comes next.
pub async fn run(instance: Arc<Instance>, stores: Stores, mut stopped: watch::Receiver<bool>) {
    let mut running: JoinSet<(TenantId, DatasetJobId)> = JoinSet::new();
    let mut at_work: BTreeSet<DatasetJobId> = BTreeSet::new();
    let mut swept: Option<Instant> = None;
    let mut unmoved = census::Unmoved::default();
    while !*stopped.borrow() {
        let mut tenants = instance.take_due_datasets();
        let mut leads = false;
        if swept.is_none_or(|swept| swept.elapsed() >= SWEEP_EVERY) {
            leads = jobs::claim(&instance, OWN_JOB, OWN_LEASE).await.unwrap_or(false);
            match stores.tenants().await {
                Ok(all) => tenants.extend(all.into_iter().map(|entry| entry.id)),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "Could not list the tenants for datasets' jobs")
                }
            }
            swept = Some(Instant::now());
        }
        for tenant in tenants {
            // Chancery's own values follow a rotation by themselves.
            if leads && let Err(error) = census::move_own(&instance, tenant, &mut unmoved).await {
                tracing::warn!(%tenant, %error, "Could not move own values to the newest data key");
            }
            // Names at login from before they were folded, also of a node that is not updated yet.
            if leads && let Err(error) = users::fold_names(&instance, tenant).await {
                tracing::warn!(%tenant, %error, "Could not fold the names at login of its users");
            }
            let found = match stores.store.view(tenant).await {
                Ok(mut view) => view.open_dataset_jobs().await,
                Err(error) => Err(error),
            };
            let open = found.unwrap_or_else(|error| {
                tracing::warn!(%tenant, %error, "Could not look for jobs over datasets");
                Vec::new()
            });
            for job in open {
                // What finds no place now is found by the next sweep.
                if running.len() < MAX_AT_ONCE && at_work.insert(job.id) {
                    running.spawn(work(Arc::clone(&instance), tenant, job.id, stopped.clone()));
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopped.changed() => {}
            Some(ended) = running.join_next() => match ended {
                Ok((_, id)) => {
                    at_work.remove(&id);
                }
                // Which one panicked is not told: all are looked for again, and those at work are claimed.
                Err(_) => {
                    tracing::error!("A job over a dataset panicked");
                    at_work.clear();
                }
            },
        }
    }
    if let Err(error) = jobs::release(&instance, OWN_JOB).await {
        tracing::debug!(%error, "Could not give the job over own values back");
    }
    while running.join_next().await.is_some() {}
}

async fn work(
    instance: Arc<Instance>,
    tenant: TenantId,
    id: DatasetJobId,
    stopped: watch::Receiver<bool>,
) -> (TenantId, DatasetJobId) {
    let stop = move || *stopped.borrow();
    if let Err(error) = datasets::work(&instance, tenant, id, &stop).await {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::warn!(%tenant, job = %id, %error, cause, "A job over a dataset was left where it is");
    }
    (tenant, id)
}
