//! Takes up jobs over datasets: those started in this process at once, those that others left soon after.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use chancery_domain::{Instance, TenantId, census, datasets, ids::DatasetJobId, jobs, users};
use tokio::{
    sync::watch,
    task::{Id, JoinSet},
};

use crate::wiring::Stores;

const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often all tenants are asked for jobs whose node died.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// The one node that moves Chancery's own values, and for how many seconds it has that without saying so again.
const OWN_JOB: &str = "own_values";
const OWN_LEASE: i64 = 60;
/// How many jobs this node does at a time.
const MAX_AT_ONCE: usize = 4;
/// How many of them are one tenant's: its databases may be slow, or silent.
const MAX_OF_ONE: usize = 2;

/// Which jobs this node does, and whose they are.
#[derive(Default)]
struct AtWork(BTreeMap<Id, (TenantId, DatasetJobId)>);

impl AtWork {
    /// Whether a job finds a place. The last free one is for a tenant that has none, so whoever is slow holds up no more than that.
    fn admits(&self, tenant: TenantId, job: DatasetJobId) -> bool {
        let own = self.0.values().filter(|(of, _)| *of == tenant).count();
        let free = MAX_AT_ONCE.saturating_sub(self.0.len());
        let needed = if own == 0 { 1 } else { 2 };
        free >= needed && own < MAX_OF_ONE && self.0.values().all(|(_, at_work)| *at_work != job)
    }
}

/// In turn: those after the one that was served last come first.
fn in_turn(tenants: BTreeSet<TenantId>, served: Option<TenantId>) -> Vec<TenantId> {
    let (mut order, earlier): (Vec<_>, Vec<_>) =
        tenants.into_iter().partition(|tenant| served.is_none_or(|served| *tenant > served));
    order.extend(earlier);
    order
}

/// Does jobs until stopped; a job that is cut off is gone on with by whoever comes next.
pub async fn run(instance: Arc<Instance>, stores: Stores, mut stopped: watch::Receiver<bool>) {
    let mut running: JoinSet<()> = JoinSet::new();
    let mut at_work = AtWork::default();
    let mut served: Option<TenantId> = None;
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
        for tenant in in_turn(tenants, served) {
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
                if at_work.admits(tenant, job.id) {
                    let spawned = running.spawn(work(Arc::clone(&instance), tenant, job.id, stopped.clone()));
                    at_work.0.insert(spawned.id(), (tenant, job.id));
                    served = Some(tenant);
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopped.changed() => {}
            Some(ended) = running.join_next_with_id() => {
                let id = ended.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
                let job = at_work.0.remove(&id);
                if let (Err(_), Some((tenant, job))) = (&ended, job) {
                    tracing::error!(%tenant, %job, "The job `{job}` over a dataset panicked");
                }
            }
        }
    }
    if let Err(error) = jobs::release(&instance, OWN_JOB).await {
        tracing::debug!(%error, "Could not give the job over own values back");
    }
    while running.join_next().await.is_some() {}
}

async fn work(instance: Arc<Instance>, tenant: TenantId, id: DatasetJobId, stopped: watch::Receiver<bool>) {
    let stop = move || *stopped.borrow();
    if let Err(error) = datasets::work(&instance, tenant, id, &stop).await {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        tracing::warn!(%tenant, job = %id, %error, cause, "A job over a dataset was left where it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silent_databases_of_one_tenant_leave_room_for_the_others() {
        let tenant = |n: u8| TenantId::from_bytes([n; 16]);
        let mut jobs = 0_u8;
        let mut running = JoinSet::new();
        let mut at_work = AtWork::default();
        let mut begins = |of: u8| {
            jobs += 1;
            let job = DatasetJobId::from_bytes([jobs; 16]);
            let admitted = at_work.admits(tenant(of), job);
            if admitted {
                // Its database never says anything.
                at_work.0.insert(running.spawn(std::future::pending::<()>()).id(), (tenant(of), job));
                assert!(!at_work.admits(tenant(of), job), "once is enough");
            }
            admitted
        };
        assert_eq!([1, 1, 1, 1].map(&mut begins), [true, true, false, false], "two of four places at the most");
        assert_eq!([2, 2].map(&mut begins), [true, false], "the last one is for whoever has none");
        assert_eq!([3, 4].map(&mut begins), [true, false]);
    }

    #[test]
    fn tenants_take_turns() {
        let tenant = |n: u8| TenantId::from_bytes([n; 16]);
        let all = || [1, 2, 3].map(tenant).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(in_turn(all(), None), [1, 2, 3].map(tenant));
        assert_eq!(in_turn(all(), Some(tenant(1))), [2, 3, 1].map(tenant));
        assert_eq!(in_turn(all(), Some(tenant(3))), [1, 2, 3].map(tenant));
    }
}
