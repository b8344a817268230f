//! The job of one sink: hands it what comes next in each log, on one node at a time.

use std::{
    collections::HashMap,
    pin::pin,
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
    let mut round = Round {
        instance: Arc::clone(&instance),
        metrics,
        sink,
        stopped,
        health: Health::default(),
        logs: HashMap::new(),
        last: None,
        since: None,
    };
    let claim = || ours(&instance, &job);
    let mut claimed: Option<Instant> = None;
    while ticks.next().await {
        if round.health.rests(round.instance.now()) {
            round.told();
            continue;
        }
        if claimed.is_none_or(|at| at.elapsed() >= CLAIM_AGAIN) {
            claimed = claim().await.then(Instant::now);
        }
        if claimed.is_none() {
            continue;
        }
        match stores.tenants().await {
            // A sink may take half a minute for each batch of each log: the claim must not run out meanwhile.
            Ok(tenants) => {
                if !while_ours(CLAIM_AGAIN, claim, round.go(&tenants)).await {
                    claimed = None;
                }
            }
            Err(error) => tracing::warn!(
                job = job.as_str(),
                error = format!("{error:#}"),
                "Could not list the tenants for `{job}`"
            ),
        }
    }
    if let Err(error) = jobs::release(&instance, &job).await {
        tracing::debug!(job = job.as_str(), error = chain(&error), "Could not give `{job}` back");
    }
}

/// Whether this node has the job.
async fn ours(instance: &Instance, job: &str) -> bool {
    match jobs::claim(instance, job, CLAIM).await {
        Ok(ours) => ours,
        Err(error) => {
            tracing::warn!(job, error = chain(&error), "Could not claim `{job}`");
            false
        }
    }
}

/// Does the work, and claims it again every so often; whether it was ours to the end. If it is not any more, the work is dropped
/// where it is: what is not noted as sent is sent again by whoever has it now.
async fn while_ours<F: Future<Output = bool>>(
    every: Duration,
    claim: impl Fn() -> F,
    work: impl Future<Output = ()>,
) -> bool {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            () = &mut work => return true,
            () = tokio::time::sleep(every) => if !claim().await {
                return false;
            },
        }
    }
}

/// These logs, those after `last` first: where one stops the round, the next round begins behind it.
fn rotated(mut logs: Vec<TenantId>, last: Option<TenantId>) -> Vec<TenantId> {
    let behind = last.and_then(|last| logs.iter().position(|log| *log == last)).map_or(0, |at| at + 1);
    logs.rotate_left(behind);
    logs
}

/// How a log was when it was last looked at.
#[derive(Default)]
struct Log {
    left: u64,
    failing: bool,
    /// When it is looked at again, and how long it was waited for that.
    again: Option<(Instant, Duration)>,
}

impl Log {
    /// When it is looked at again: less often each time.
    fn later(&self) -> Option<(Instant, Duration)> {
        let waited = self.again.map_or(FEED_EVERY, |(_, waited)| (waited * 2).min(QUIET));
        Some((Instant::now() + waited, waited))
    }
}

struct Round {
    instance: Arc<Instance>,
    metrics: Arc<Metrics>,
    sink: Arc<dyn AuditSink>,
    stopped: watch::Receiver<bool>,
    health: Health,
    logs: HashMap<TenantId, Log>,
    /// The log at which the sink was away.
    last: Option<TenantId>,
    /// Since when something waits.
    since: Option<Instant>,
}

impl Round {
    async fn go(&mut self, tenants: &[TenantEntry]) {
        self.logs.retain(|tenant, _| tenants.iter().any(|entry| entry.id == *tenant));
        let served = tenants.iter().filter(|entry| self.sink.serves(entry)).map(|entry| entry.id).collect();
        for log in rotated(served, self.last.take()) {
            let waits = self.logs.get(&log).and_then(|log| log.again);
            if waits.is_some_and(|(again, _)| Instant::now() < again) {
                continue;
            }
            self.feed(log).await;
            if *self.stopped.borrow() {
                break;
            }
            if self.health.is_away() {
                self.last = Some(log);
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
                    *log = Log { left: 0, failing: false, again: log.later() };
                    return;
                }
                Ok(Fed::Rests { left, .. }) => {
                    *log = Log { left, failing: true, again: None };
                    return;
                }
                Ok(Fed::Failed { error, left, .. }) => {
                    let (subject, reason) = (self.sink.name(), error.code().to_owned());
                    tracing::error!(subject, reason = reason.as_str(), %tenant, "The audit sink `{subject}` does not take events: {reason}");
                    *log = Log { left, failing: true, again: log.later() };
                    return;
                }
                Err(error) => {
                    let subject = self.sink.name();
                    tracing::error!(subject, %tenant, error = chain(&error), "Could not hand events to the audit sink `{subject}`");
                    *log = Log { left: log.left, failing: true, again: log.later() };
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_log_at_which_a_sink_was_away_does_not_starve_those_behind_it() {
        let logs: Vec<TenantId> = (1..=4).map(|byte| TenantId::from_bytes([byte; 16])).collect();
        let [a, b, c, d] = logs[..] else { panic!() };
        assert_eq!(rotated(logs.clone(), None), [a, b, c, d]);
        assert_eq!(rotated(logs.clone(), Some(a)), [b, c, d, a]);
        assert_eq!(rotated(logs.clone(), Some(d)), [a, b, c, d]);
        assert_eq!(rotated(logs, Some(TenantId::PLATFORM)), [a, b, c, d], "one that is gone");
        assert_eq!(rotated(Vec::new(), Some(a)), []);
    }

    #[tokio::test]
    async fn a_slow_delivery_keeps_its_claim_and_ends_without_it() {
        let (claims, until) = (AtomicU32::new(0), AtomicU32::new(u32::MAX));
        let claim = || async { claims.fetch_add(1, Ordering::Relaxed) < until.load(Ordering::Relaxed) };
        let short = Duration::from_millis(5);
        assert!(while_ours(short, claim, tokio::time::sleep(Duration::from_millis(200))).await);
        assert!(claims.load(Ordering::Relaxed) >= 2, "{claims:?}");
        claims.store(0, Ordering::Relaxed);
        until.store(3, Ordering::Relaxed);
        assert!(!while_ours(short, claim, std::future::pending()).await, "another node has it now");
        assert_eq!(claims.load(Ordering::Relaxed), 4);
        assert!(while_ours(short, claim, async {}).await);
    }
}
