//! The jobs that guard logs: what is stored is looked at again, heads are noted in the platform's log, witnesses are asked.

use std::{sync::Arc, time::Duration};

use chancery_domain::{
    Instance, TenantId,
    audit::guard::{self, Finding},
    jobs,
};
use tokio::sync::watch;

use crate::{
    jobs::{Ticks, chain},
    wiring::Stores,
};

const SCRUB_EVERY: Duration = Duration::from_secs(60);
const SCRUB_JOB: &str = "scrub";
const NOTE_EVERY: Duration = Duration::from_secs(60);
const NOTE_JOB: &str = "note-heads";
/// For how many seconds one node has such a job.
const CLAIM: i64 = 180;

/// Looks at everything stored again, `pace` rows in a minute, on one node at a time. The others learn from the platform's log
/// what was found, and that it is gone.
pub async fn scrub(instance: Arc<Instance>, stores: Stores, pace: u64, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(SCRUB_EVERY, stopped.clone());
    let mut next: Option<TenantId> = None;
    while ticks.next().await {
        look_for_logs(&instance).await;
        look_at_clock(&instance).await;
        let ours = jobs::claim(&instance, SCRUB_JOB, CLAIM).await.unwrap_or(false);
        let tenants = everybody(&stores).await;
        // Everybody has a turn, also beside a log that takes weeks.
        let start = next.and_then(|next| tenants.iter().position(|tenant| *tenant == next)).unwrap_or(0);
        let (before, after) = tenants.split_at(start);
        let mut left = pace;
        for tenant in after.iter().chain(before) {
            if left == 0 || *stopped.borrow() {
                next = Some(*tenant);
                break;
            }
            left = left.saturating_sub(scrubbed(&instance, *tenant, left, ours).await);
        }
    }
    let _ = jobs::release(&instance, SCRUB_JOB).await;
}

/// Logs that are gone as a whole. Each node knows of those that it signed.
async fn look_for_logs(instance: &Instance) {
    match guard::look_for_logs(instance).await {
        Ok(missing) => {
            for (tenant, finding) in missing {
                tracing::error!(
                    %tenant,
                    code = "log_missing",
                    at = finding.at,
                    "THE AUDIT LOG OF `{tenant}` IS NOT IN THE STORE, and {} events of it were signed: the store was put back, or the tenant \
                     was removed from it. If that is meant, run `chancery audit accept-restore --tenant {tenant}`; see docs/guides/audit.md",
                    finding.at
                );
            }
        }
        Err(error) => tracing::warn!(error = chain(&error), "Could not look for logs that are gone"),
    }
}

/// A clock that went back. Each node has its own.
async fn look_at_clock(instance: &Instance) {
    match guard::look_at_clock(instance).await {
        Ok(None) => {}
        Ok(Some(seconds)) => tracing::error!(
            code = "clock_behind",
            seconds,
            "THE CLOCK OF THIS MACHINE IS {seconds} s BEHIND WHAT THE AUDIT LOG SAYS, at least, or it was ahead when that was logged. By it no \
             month is closed or over: nothing is archived, and nothing goes. Set it right; see docs/guides/audit.md"
        ),
        Err(error) => tracing::warn!(error = chain(&error), "Could not compare the clock with the platform's log"),
    }
}

/// Does one step if there is one to do; how many rows that took. A node whose turn it is not only learns what is known.
async fn scrubbed(instance: &Instance, tenant: TenantId, budget: u64, ours: bool) -> u64 {
    match guard::due(instance, tenant).await {
        Ok(true) if ours => {}
        Ok(_) => return 0,
        Err(error) => {
            tracing::warn!(%tenant, error = chain(&error), "Could not see how far the log of `{tenant}` was looked at");
            return 1;
        }
    }
    match guard::step(instance, tenant, budget).await {
        Ok(done) => {
            tell(tenant, &done.found);
            done.rows.max(1)
        }
        Err(error) => {
            tracing::error!(%tenant, error = chain(&error), "Could not look at the log of `{tenant}` again");
            1
        }
    }
}

/// Says what was found. It is no failure of a machine until somebody looked.
pub(crate) fn tell(tenant: TenantId, found: &[Finding]) {
    for Finding { check, at } in found.iter().take(20) {
        tracing::error!(
            %tenant,
            code = "log_integrity",
            check = check.as_str(),
            at,
            "WHAT IS STORED OF THE AUDIT LOG OF `{tenant}` IS NOT WHAT WAS WRITTEN ({check}, at {at}). Keep a copy of the store, \
             and compare it with a backup; see docs/guides/audit.md"
        );
    }
}

/// Notes the heads that grew in the platform's log, on one node at a time, and has that log witnessed.
pub async fn note_heads(instance: Arc<Instance>, stores: Stores, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(NOTE_EVERY, stopped.clone());
    while ticks.next().await {
        if jobs::claim(&instance, NOTE_JOB, CLAIM).await.unwrap_or(false) {
            for tenant in everybody(&stores).await {
                if *stopped.borrow() {
                    break;
                }
                if let Err(error) = guard::note_head(&instance, tenant).await {
                    tracing::error!(%tenant, error = chain(&error), "Could not note the head of the log of `{tenant}`");
                }
            }
            witness(&instance).await;
        } else if let Err(error) = guard::look_for_witnesses(&instance).await {
            tracing::warn!(error = chain(&error), "Could not see what witnesses signed");
        }
    }
    let _ = jobs::release(&instance, NOTE_JOB).await;
}

async fn witness(instance: &Instance) {
    match guard::cosign(instance).await {
        Ok(None) => {}
        Ok(Some(came)) => {
            for (witness, error) in &came.failed {
                tracing::warn!(witness, %error, size = came.size, "The witness `{witness}` did not sign the platform's log: {error}");
            }
        }
        Err(error) => tracing::error!(error = chain(&error), "Could not have the platform's log witnessed"),
    }
}

/// Every tenant, the platform first.
async fn everybody(stores: &Stores) -> Vec<TenantId> {
    let tenants = stores.tenants().await.unwrap_or_else(|error| {
        tracing::warn!(error = format!("{error:#}"), "Could not list the tenants for the guard of logs");
        Vec::new()
    });
    let others = tenants.into_iter().map(|entry| entry.id).filter(|id| !id.is_platform());
    std::iter::once(TenantId::PLATFORM).chain(others).collect()
}
