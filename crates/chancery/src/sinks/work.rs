//! The job of one sink: hands it what comes next in each log, on one node at a time.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chancery_api::Metrics;
use chancery_domain::{
    Instance, TenantId,
    audit::sinks::{AuditSink, Fed, Health, feed},
    jobs,
    store::TenantEntry,
};
use tokio::sync::watch;

use crate::{
    jobs::{Ticks, chain},
    wiring::Stores,
};

/// How often it is looked whether logs have grown.
const FEED_EVERY: Duration = Duration::from_millis(500);
/// For how long one node has a sink, in seconds, and how often it says so again.
const CLAIM: i64 = 120;
const CLAIM_AGAIN: Duration = Duration::from_secs(30);
/// How many batches one log gets before the next one has its turn.
const TURNS: u32 = 16;
/// A log that does not grow is looked at less often, down to this.
const QUIET: Duration = Duration::from_secs(10);

/// Feeds one sink until stopped.
pub async fn run(
    instance: Arc<Instance>,
    stores: Stores,
    metrics: Arc<Metrics>,
    sink: Arc<dyn AuditSink>,
    stopped: watch::Receiver<bool>,
) {
    let job = format!("audit-sink/{}", sink.name());
    let mut ticks = Ticks::every(FEED_EVERY, stopped.clone());
    let mut round =
        Round { instance, metrics, sink, stopped, health: Health::default(), logs: HashMap::new(), since: None };
    let mut claimed: Option<Instant> = None;
    while ticks.next().await {
        if round.health.rests(round.instance.now()) {
            round.told();
            continue;
        }
        if claimed.is_none_or(|at| at.elapsed() >= CLAIM_AGAIN) {
            claimed = match jobs::claim(&round.instance, &job, CLAIM).await {
                Ok(true) => Some(Instant::now()),
                Ok(false) => None,
                Err(error) => {
                    tracing::warn!(job = job.as_str(), error = chain(&error), "Could not claim `{job}`");
                    None
                }
            };
        }
        if claimed.is_none() {
            continue;
        }
        match stores.tenants().await {
            Ok(tenants) => round.go(&tenants).await,
            Err(error) => tracing::warn!(
                job = job.as_str(),
                error = format!("{error:#}"),
                "Could not list the tenants for `{job}`"
            ),
        }
    }
    if let Err(error) = jobs::release(&round.instance, &job).await {
        tracing::debug!(job = job.as_str(), error = chain(&error), "Could not give `{job}` back");
    }
}

/// How a log was when it was last looked at.
#[derive(Default)]
struct Log {
    left: u64,
    failing: bool,
    /// When it is looked at again, and how long it was waited for that.
    again: Option<(Instant, Duration)>,
}

struct Round {
    instance: Arc<Instance>,
    metrics: Arc<Metrics>,
    sink: Arc<dyn AuditSink>,
    stopped: watch::Receiver<bool>,
    health: Health,
    logs: HashMap<TenantId, Log>,
    /// Since when something waits.
    since: Option<Instant>,
}

impl Round {
    async fn go(&mut self, tenants: &[TenantEntry]) {
        self.logs.retain(|tenant, _| tenants.iter().any(|entry| entry.id == *tenant));
        for entry in tenants.iter().filter(|entry| self.sink.serves(entry)).map(|entry| entry.id).collect::<Vec<_>>() {
            let waits = self.logs.get(&entry).and_then(|log| log.again);
            if waits.is_some_and(|(again, _)| Instant::now() < again) {
                continue;
            }
            self.feed(entry).await;
            if *self.stopped.borrow() || self.health.is_away() {
                break;
            }
        }
        self.told();
    }

    /// A few batches of one log.
    async fn feed(&mut self, tenant: TenantId) {
        for _ in 0..TURNS {
            let fed = feed(&self.instance, &*self.sink, tenant, &mut self.health).await;
            let log = self.logs.entry(tenant).or_default();
            match fed {
                Ok(Fed::Took { events, left }) => {
                    self.metrics.exported(self.sink.name(), events);
                    *log = Log { left, failing: false, again: None };
                    if left == 0 || *self.stopped.borrow() {
                        return;
                    }
                }
                Ok(Fed::Idle) => {
                    let waited = log.again.map_or(FEED_EVERY, |(_, waited)| (waited * 2).min(QUIET));
                    *log = Log { left: 0, failing: false, again: Some((Instant::now() + waited, waited)) };
                    return;
                }
                Ok(Fed::Rests { left, .. }) => {
                    *log = Log { left, failing: true, again: None };
                    return;
                }
                Ok(Fed::Failed { error, left }) => {
                    let (subject, reason) = (self.sink.name(), error.code().to_owned());
                    tracing::error!(subject, reason = reason.as_str(), %tenant, "The audit sink `{subject}` does not take events: {reason}");
                    *log = Log { left, failing: true, again: None };
                    return;
                }
                Err(error) => {
                    let subject = self.sink.name();
                    tracing::error!(subject, %tenant, error = chain(&error), "Could not hand events to the audit sink `{subject}`");
                    return;
                }
            }
        }
    }

    /// Puts into the metrics how it stands.
    fn told(&mut self) {
        let pending = self.logs.values().map(|log| log.left).sum::<u64>();
        let failing = self.health.is_away() || self.logs.values().any(|log| log.failing);
        self.since = if pending == 0 { None } else { Some(self.since.unwrap_or_else(Instant::now)) };
        let lag = self.since.map_or(0, |since| since.elapsed().as_secs());
        self.metrics.export_stands(self.sink.name(), pending, lag, failing);
    }
}
