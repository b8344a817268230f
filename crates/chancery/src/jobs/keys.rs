//! What time does to keys: they are rotated, expire, are published and put in force, and are destroyed.

use std::{sync::Arc, time::Duration};

use chancery_api::Metrics;
use chancery_domain::{
    Instance, TenantId,
    approvals::DeedKind,
    jobs,
    keyring::{
        destruction::{Away, destroy_due},
        schedule,
        staged::{self, Tended},
    },
    tenants::TenantState,
};
use tokio::sync::watch;

use super::{Ticks, chain};
use crate::wiring::Stores;

const DESTROY_EVERY: Duration = Duration::from_secs(60);
/// The leader of the destroying job has it for so many seconds.
const DESTROY_LEASE: i64 = 180;
/// How often somebody looks whether broken glass was reviewed, in turns of the destroying job.
const REVIEW_TURNS: u32 = 10;
/// How often it is looked whether keys are to be rotated or expired. Uses ask the clock themselves, so this may be slow.
const SCHEDULE_EVERY: Duration = Duration::from_secs(5 * 60);
/// For how long one node has that work, in seconds; it claims it again as it goes.
const SCHEDULE_CLAIM: i64 = 10 * 60;
/// How often it is looked whether a token key is to be published or put in force, and for how many seconds one node has that.
const TEND_EVERY: Duration = Duration::from_secs(60);
const TEND_CLAIM: i64 = 180;
const TOKEN_KEYS_JOB: &str = "token-keys";
/// For so many tenants one claim is good.
const CLAIMED_FOR: usize = 100;

/// Rotates and expires keys when it is time, on one node at a time.
pub(super) async fn schedule_keys(instance: Arc<Instance>, stores: Stores, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(SCHEDULE_EVERY, stopped.clone());
    while ticks.next().await {
        let tenants = match stores.tenants().await {
            Ok(tenants) => tenants,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "Could not list the tenants for the schedule of keys");
                continue;
            }
        };
        let active = tenants.iter().filter(|entry| entry.state == TenantState::Active).map(|entry| entry.id);
        let others = active.filter(|id| !id.is_platform());
        for (number, tenant) in std::iter::once(TenantId::PLATFORM).chain(others).enumerate() {
            // Claimed again as the round goes on: a long one is never two nodes' work.
            let ours = number % CLAIMED_FOR != 0 || claimed(&instance).await;
            if !ours || *stopped.borrow() {
                break;
            }
            scheduled(&instance, tenant).await;
        }
    }
    if let Err(error) = jobs::release(&instance, schedule::JOB).await {
        tracing::debug!(error = chain(&error), "Could not give the schedule of keys back");
    }
}

async fn claimed(instance: &Instance) -> bool {
    jobs::claim(instance, schedule::JOB, SCHEDULE_CLAIM).await.unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "Could not claim the schedule of keys");
        false
    })
}

/// Does what is due for one tenant.
async fn scheduled(instance: &Instance, tenant: TenantId) {
    match schedule::run(instance, tenant).await {
        Ok(done) if done == schedule::Done::default() => {}
        Ok(done) => {
            let schedule::Done { rotated, expired, reminded, failed } = done;
            tracing::info!(%tenant, rotated, expired, reminded, failed, "Kept the schedule of keys of `{tenant}`");
        }
        Err(error) => {
            tracing::error!(%tenant, error = chain(&error), "Could not look what is due of the keys of `{tenant}`");
        }
    }
}

/// Publishes and puts in force the keys that sign tokens, on one node at a time.
pub(super) async fn tend_token_keys(instance: Arc<Instance>, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(TEND_EVERY, stopped);
    while ticks.next().await {
        if !jobs::claim(&instance, TOKEN_KEYS_JOB, TEND_CLAIM).await.unwrap_or(false) {
            continue;
        }
        match staged::tend(&instance).await {
            Ok(Tended::Nothing) => {}
            Ok(Tended::Staged) => tracing::info!("Published the next token key"),
            Ok(Tended::Activated) => tracing::info!("Put the next token key in force"),
            Err(error) => tracing::error!(error = chain(&error), "Could not tend the token keys"),
        }
    }
    let _ = jobs::release(&instance, TOKEN_KEYS_JOB).await;
}

/// Destroys the keys whose waiting time is over.
pub(super) async fn destroy(
    instance: Arc<Instance>,
    stores: Stores,
    metrics: Arc<Metrics>,
    stopped: watch::Receiver<bool>,
) {
    let mut ticks = Ticks::every(DESTROY_EVERY, stopped);
    let mut turn = 0;
    while ticks.next().await {
        let leads = jobs::claim(&instance, "destroy", DESTROY_LEASE).await.unwrap_or(false);
        let look = turn % REVIEW_TURNS == 0;
        turn += 1;
        let (mut unreviewed, mut away) = (0, Away::default());
        for tenant in stores.tenants().await.unwrap_or_default().into_iter().map(|entry| entry.id) {
            if leads {
                match destroy_due(&instance, tenant, &mut away).await {
                    Ok(0) => {}
                    Ok(count) => tracing::info!(%tenant, count, "Destroyed {count} key version(s) of `{tenant}`"),
                    Err(error) => {
                        tracing::error!(%tenant, error = chain(&error), "Could not destroy keys of `{tenant}`")
                    }
                }
            }
            if look {
                unreviewed += not_reviewed(&stores, tenant).await;
            }
        }
        if look {
            metrics.unreviewed(unreviewed);
        }
    }
    let _ = jobs::release(&instance, "destroy").await;
}

/// How many times glass was broken in a tenant without anybody having looked at it afterwards.
async fn not_reviewed(stores: &Stores, tenant: TenantId) -> u64 {
    let found = async { stores.store.view(tenant).await?.unreviewed_approvals(DeedKind::BreakGlass, 1_000).await };
    found.await.map_or(0, |found| found.len() as u64)
}
