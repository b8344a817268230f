//! Makes room in the log for the months that come, and drops those in which nobody has anything any more.

use std::{sync::Arc, time::Duration};

use chancery_api::Metrics;
use chancery_domain::{Instance, audit::months, jobs};
use tokio::sync::watch;

use crate::jobs::{Ticks, chain};

const LOOK_EVERY: Duration = Duration::from_secs(10 * 60);
const JOB: &str = "audit-months";
/// For how many seconds one node drops.
const CLAIM: i64 = 15 * 60;

/// Looks until stopped. Every node makes room: it does no harm twice, and each finds out whether it can.
pub async fn run(instance: Arc<Instance>, metrics: Arc<Metrics>, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(LOOK_EVERY, stopped);
    while ticks.next().await {
        make_ahead(&instance, &metrics).await;
        if jobs::claim(&instance, JOB, CLAIM).await.unwrap_or(false) {
            drop_spent(&instance, &metrics).await;
        }
    }
    let _ = jobs::release(&instance, JOB).await;
}

async fn make_ahead(instance: &Instance, metrics: &Metrics) {
    if let Err(error) = months::make_ahead(instance).await {
        tracing::error!(
            code = "audit_months",
            error = chain(&error),
            "Could not make room in the audit log for the months that come: the role has to own its tables and may make tables; see \
             docs/guides/production.md"
        );
    }
    match instance.store().months_open(instance.now(), months::COUNTED).await {
        Ok(open) => {
            metrics.months_open(open);
            if let Some(open) = open.filter(|open| *open <= months::ALARM_BELOW) {
                tracing::error!(
                    code = "audit_months",
                    open,
                    "The audit log has room for {open} month(s), this one among them: after that it takes no events"
                );
            }
        }
        Err(error) => tracing::warn!(error = chain(&error), "Could not see for how many months the audit log has room"),
    }
}

async fn drop_spent(instance: &Instance, metrics: &Metrics) {
    match months::drop_spent(instance).await {
        Ok(dropped) => {
            metrics.months_dropped(dropped.len());
            for part in dropped {
                let (holds, month) = (part.holds, part.month());
                tracing::info!(%holds, %month, "Dropped `{holds}` of {month}: nobody has anything there any more");
            }
        }
        Err(error) => {
            tracing::error!(error = chain(&error), "Could not drop a month of the audit log in which nothing is left")
        }
    }
}
