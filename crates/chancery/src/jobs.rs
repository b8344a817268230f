//! What goes on in the background: logs grow, heads are signed, counts are written, old things forgotten.

use std::{sync::Arc, time::Duration};

use chancery_api::Metrics;
use chancery_domain::{
    Instance, TenantId, api_keys, audit, blocks, csp_reports, idempotency, keyring, limits, lockouts,
    webhooks::WebhookSender,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use self::{
    keys::{destroy, schedule_keys, tend_token_keys},
    sequencer::Sequencer,
};
use crate::{
    backup::tombstones, config::Config, dataset_jobs, destroyed_list, guard_jobs, month_jobs, retention_jobs,
    shared::Shared, sinks, subject_jobs, webhook_jobs, wiring::Stores,
};

mod intents;
mod keys;
mod sequencer;

/// Another node's change of keys is known here after that, and a little.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// An address that another node blocked is blocked here after that.
const BLOCKS_EVERY: Duration = Duration::from_secs(5);
const FLUSH_EVERY: Duration = Duration::from_secs(60);
/// A node that has told the platform's log nothing for so long says that it is there.
const BEAT_EVERY: Duration = Duration::from_secs(60);
/// At its end a node waits so long for the outcomes of what it opened; the next start closes the others.
const SETTLE_WITHIN: Duration = Duration::from_secs(3);
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);
const PROVE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
const PROVE_AGAIN: Duration = Duration::from_secs(15 * 60);
/// How long a job that ended by mistake waits before it is started again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// The jobs of one process.
pub struct Jobs {
    others: (watch::Sender<bool>, Vec<JoinHandle<()>>),
    sequencer: (watch::Sender<bool>, Vec<JoinHandle<()>>),
}

impl Jobs {
    /// Starts all of them.
    pub fn start(
        instance: &Arc<Instance>,
        stores: &Stores,
        metrics: &Arc<Metrics>,
        config: &Config,
        sender: Arc<dyn WebhookSender>,
        shared: Option<Arc<Shared>>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        let (instance, stores, metrics) = (Arc::clone(instance), stores.clone(), Arc::clone(metrics));
        let (counted, sink_stores) = (Arc::clone(&metrics), stores.clone());
        let destroyer = {
            let (instance, stores, metrics) = (Arc::clone(&instance), stores.clone(), Arc::clone(&metrics));
            supervise("destroy", stopped.clone(), move |stopped| {
                destroy(Arc::clone(&instance), stores.clone(), Arc::clone(&metrics), stopped)
            })
        };
        let lister = {
            let (instance, stores) = (Arc::clone(&instance), stores.clone());
            let list = tombstones::local(&config.data_dir);
            supervise("list", stopped.clone(), move |stopped| {
                destroyed_list::keep(Arc::clone(&instance), stores.clone(), list.clone(), stopped)
            })
        };
        let sequencer = {
            let (instance, stores) = (Arc::clone(&instance), stores.clone());
            supervise("sequencer", ended, move |ended| {
                Sequencer::new(Arc::clone(&instance), stores.clone(), Arc::clone(&metrics)).run(ended)
            })
        };
        let closer = {
            let (instance, stores) = (Arc::clone(&instance), stores.clone());
            let close = move |stopped| intents::close(Arc::clone(&instance), stores.clone(), stopped);
            supervise("intents", stopped.clone(), close)
        };
        let follower = {
            let instance = Arc::clone(&instance);
            supervise("follow", stopped.clone(), move |stopped| follow(Arc::clone(&instance), stopped))
        };
        let renewer = {
            let instance = Arc::clone(&instance);
            supervise("renew", stopped.clone(), move |stopped| renew_leases(Arc::clone(&instance), stopped))
        };
        let flusher = {
            let instance = Arc::clone(&instance);
            supervise("flush", stopped.clone(), move |stopped| flush(Arc::clone(&instance), stopped))
        };
        let scheduler = {
            let (instance, stores) = (Arc::clone(&instance), stores.clone());
            let schedule = move |stopped| schedule_keys(Arc::clone(&instance), stores.clone(), stopped);
            supervise("keys", stopped.clone(), schedule)
        };
        let tender = {
            let instance = Arc::clone(&instance);
            supervise("token-keys", stopped.clone(), move |stopped| tend_token_keys(Arc::clone(&instance), stopped))
        };
        let forgetter = {
            let (instance, stores) = (Arc::clone(&instance), stores.clone());
            let forget = move |stopped| forget(Arc::clone(&instance), stores.clone(), stopped);
            supervise("forget", stopped.clone(), forget)
        };
        let subjects = {
            let (instance, stores) = (Arc::clone(&instance), stores.clone());
            let run = move |stopped| subject_jobs::run(Arc::clone(&instance), stores.clone(), stopped);
            supervise("subjects", stopped.clone(), run)
        };
        let scrubber = {
            let (instance, stores, pace) = (Arc::clone(&instance), stores.clone(), config.audit.scrub_rows_per_minute);
            let run = move |stopped| guard_jobs::scrub(Arc::clone(&instance), stores.clone(), pace, stopped);
            supervise("scrub", stopped.clone(), run)
        };
        let noter = {
            let (instance, stores) = (Arc::clone(&instance), stores.clone());
            let run = move |stopped| guard_jobs::note_heads(Arc::clone(&instance), stores.clone(), stopped);
            supervise("note-heads", stopped.clone(), run)
        };
        let retainer = {
            let (instance, stores, metrics) = (Arc::clone(&instance), stores.clone(), Arc::clone(&counted));
            let run = move |stopped| {
                retention_jobs::run(Arc::clone(&instance), stores.clone(), Arc::clone(&metrics), stopped)
            };
            supervise("retention", stopped.clone(), run)
        };
        let months = {
            let (instance, metrics) = (Arc::clone(&instance), Arc::clone(&counted));
            let run = move |stopped| month_jobs::run(Arc::clone(&instance), Arc::clone(&metrics), stopped);
            supervise("months", stopped.clone(), run)
        };
        let webhooks = {
            let (instance, stores, metrics) = (Arc::clone(&instance), stores.clone(), Arc::clone(&counted));
            let run = move |stopped| {
                let (instance, stores, metrics) = (Arc::clone(&instance), stores.clone(), Arc::clone(&metrics));
                webhook_jobs::run(instance, stores, metrics, Arc::clone(&sender), stopped)
            };
            supervise("webhooks", stopped.clone(), run)
        };
        let datasets = {
            let instance = Arc::clone(&instance);
            let run = move |stopped| dataset_jobs::run(Arc::clone(&instance), stores.clone(), stopped);
            supervise("datasets", stopped.clone(), run)
        };
        let fed: Vec<JoinHandle<()>> = instance
            .sinks()
            .iter()
            .map(|sink| {
                let (instance, stores, metrics) = (Arc::clone(&instance), sink_stores.clone(), Arc::clone(&counted));
                let sink = Arc::clone(sink);
                let feed = move |stopped| {
                    let (instance, stores, metrics) = (Arc::clone(&instance), stores.clone(), Arc::clone(&metrics));
                    sinks::work::run(instance, stores, metrics, Arc::clone(&sink), stopped)
                };
                supervise("audit-sink", stopped.clone(), feed)
            })
            .collect();
        let blocker = {
            let instance = Arc::clone(&instance);
            supervise("blocks", stopped.clone(), move |stopped| load_blocks(Arc::clone(&instance), stopped))
        };
        let sharer = shared.map(|shared| {
            let instance = Arc::clone(&instance);
            let run = move |stopped| Arc::clone(&shared).run(Arc::clone(&instance), stopped);
            supervise("shared", stopped.clone(), run)
        });
        let beater = {
            let instance = Arc::clone(&instance);
            supervise("alive", stopped.clone(), move |stopped| beat(Arc::clone(&instance), stopped))
        };
        let roots = {
            let instance = Arc::clone(&instance);
            supervise("root", stopped.clone(), move |stopped| renew(Arc::clone(&instance), stopped))
        };
        let proving = move |stopped| prove(Arc::clone(&instance), Arc::clone(&counted), stopped);
        let prover = supervise("prove", stopped, proving);
        let mut others = vec![
            follower, renewer, flusher, scheduler, tender, forgetter, subjects, datasets, roots, prover, destroyer,
            lister, scrubber, noter, retainer, months, webhooks, blocker, beater, closer,
        ];
        others.extend(sharer);
        others.extend(fed);
        Self { others: (stop, others), sequencer: (end, vec![sequencer]) }
    }

    /// Ends them. The sequencer is last: the counts that are written at the end belong into the log too.
    pub async fn stop(self) {
        for (stop, tasks) in [self.others, self.sequencer] {
            let _ = stop.send(true);
            for task in tasks {
                if tokio::time::timeout(Duration::from_secs(5), task).await.is_err() {
                    tracing::warn!("A job did not end in time");
                }
            }
        }
    }
}

/// Keeps a job at work: one that panics or ends before it was told to is started again.
fn supervise<F, W>(job: &'static str, mut stopped: watch::Receiver<bool>, mut make: F) -> JoinHandle<()>
where
    F: FnMut(watch::Receiver<bool>) -> W + Send + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            let ended = tokio::spawn(make(stopped.clone())).await;
            // The panic hook has told where; its message may hold data, so it goes nowhere from here.
            if ended.is_err() {
                tracing::error!(job, "The job `{job}` panicked");
            } else if !*stopped.borrow() {
                tracing::error!(job, "The job `{job}` ended by itself");
            }
            let pause = tokio::time::sleep(RESTART_AFTER);
            tokio::select! {
                () = pause => tracing::error!(job, "Starting the job `{job}` again"),
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
        }
    })
}

/// Ticks until stopped; `false` when it is time to end.
pub(crate) struct Ticks {
    interval: tokio::time::Interval,
    stopped: watch::Receiver<bool>,
}

impl Ticks {
    pub(crate) fn every(period: Duration, stopped: watch::Receiver<bool>) -> Self {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, stopped }
    }

    pub(crate) async fn next(&mut self) -> bool {
        if *self.stopped.borrow() {
            return false;
        }
        tokio::select! {
            _ = self.interval.tick() => true,
            _ = self.stopped.changed() => false,
        }
    }
}

/// Learns whose keys other nodes changed.
async fn follow(instance: Arc<Instance>, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(FOLLOW_EVERY, stopped);
    let mut failing = false;
    while ticks.next().await {
        match instance.follow_epochs().await {
            Ok(()) => failing = false,
            // Once: the store's being away is told of by whoever needs it, four times a second is no news.
            Err(error) if !failing => {
                failing = true;
                tracing::error!(
                    error = chain(&error),
                    "Could not read which keys changed; without that for 2 s no key is lent"
                );
            }
            Err(_) => {}
        }
    }
}

/// Reads which addresses are blocked, for those that another node blocked or let in again.
async fn load_blocks(instance: Arc<Instance>, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(BLOCKS_EVERY, stopped);
    while ticks.next().await {
        if let Err(error) = blocks::answer_violations(&instance).await {
            tracing::warn!(error = chain(&error), "Could not block an address that limits refused again and again");
        }
        if let Err(error) = lockouts::answer_offenders(&instance).await {
            tracing::warn!(error = chain(&error), "Could not answer a credential that limits refused again and again");
        }
        if let Err(error) = blocks::load(&instance).await {
            tracing::warn!(
                error = chain(&error),
                "Could not read which addresses are blocked; those that were go on being"
            );
        }
    }
}

/// Looks up the keys in use again before their time is over.
async fn renew_leases(instance: Arc<Instance>, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(FOLLOW_EVERY, stopped);
    while ticks.next().await {
        instance.renew_leases().await;
    }
}

/// Writes the counts of anonymous refusals and of uses of keys, and when API keys were used last.
async fn flush(instance: Arc<Instance>, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(FLUSH_EVERY, stopped);
    loop {
        let go_on = ticks.next().await;
        if let Err(error) = audit::refusals::flush_anonymous(&instance).await {
            tracing::error!(error = chain(&error), "Could not write the counts of anonymous refusals");
        }
        if let Err(error) = limits::flush_violations(&instance).await {
            tracing::error!(error = chain(&error), "Could not write who was refused by limits");
        }
        if let Err(error) = keyring::flush_uses(&instance).await {
            tracing::error!(error = chain(&error), "Could not write how often keys were used");
        }
        if let Err(error) = api_keys::flush_last_used(&instance).await {
            tracing::error!(error = chain(&error), "Could not write when API keys were used last");
        }
        if let Err(error) = csp_reports::flush(&instance).await {
            tracing::error!(error = chain(&error), "Could not write what browsers reported");
        }
        if !go_on {
            return;
        }
    }
}

/// Tells the platform's log that this node is there, from its start to its end.
async fn beat(instance: Arc<Instance>, stopped: watch::Receiver<bool>) {
    let tell = |error: &dyn std::error::Error| {
        tracing::warn!(error = chain(error), "Could not tell the platform's log that this node is there");
    };
    if let Err(error) = audit::alive::started(&instance).await {
        tell(&error);
    }
    let (mut ticks, mut told) = (Ticks::every(BEAT_EVERY, stopped), 0);
    while ticks.next().await {
        match audit::alive::beat(&instance, told).await {
            Ok(now) => told = now,
            Err(error) => tell(&error),
        }
    }
    // The server has ended: nobody opens anything any more but a job.
    let _ = tokio::time::timeout(SETTLE_WITHIN, instance.openings().settled()).await;
    if let Err(error) = audit::alive::stopped(&instance).await {
        tell(&error);
    }
}

/// Forgets idempotency keys after their time.
async fn forget(instance: Arc<Instance>, stores: Stores, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(FORGET_EVERY, stopped);
    while ticks.next().await {
        let before = instance.now().plus_seconds(-idempotency::KEPT_SECONDS);
        let tenants = stores.tenants().await.unwrap_or_default();
        let others = tenants.iter().map(|entry| entry.id).filter(|id| !id.is_platform());
        for tenant in std::iter::once(TenantId::PLATFORM).chain(others) {
            let forgotten = async {
                let mut tx = stores.store.begin(tenant).await?;
                tx.forget_remembered_before(before).await?;
                tx.commit().await
            };
            if let Err(error) = forgotten.await {
                tracing::warn!(%tenant, error = chain(&error), "Could not forget old idempotency keys");
            }
        }
    }
}

/// Asks for the root again well before its lease ends, so that no request waits for a provider.
async fn renew(instance: Arc<Instance>, stopped: watch::Receiver<bool>) {
    let quarter = u64::from(instance.settings().root_lease_seconds).div_ceil(4).max(1);
    let mut ticks = Ticks::every(Duration::from_secs(quarter), stopped);
    // The first tick comes at once, and the root was opened a moment ago.
    if !ticks.next().await {
        return;
    }
    while ticks.next().await {
        if let Err(error) = instance.renewed_root().await {
            tracing::warn!(error = chain(&error), "The platform root could not be looked up again");
        }
    }
}

/// Proves that the key providers still give the root back. After a failure it looks more often, so that recovery shows soon.
async fn prove(instance: Arc<Instance>, metrics: Arc<Metrics>, mut stopped: watch::Receiver<bool>) {
    loop {
        let pause = match keyring::root::prove(&instance).await {
            Ok(proofs) => {
                let mut failing = 0;
                for proof in &proofs {
                    if let Some(Err(error)) = &proof.outcome {
                        failing += 1;
                        let (id, provider) = (proof.recipient.id, proof.recipient.provider.as_str());
                        tracing::error!(recipient.id = %id, provider, error = chain(error), "The key provider {provider} does not give the platform root back");
                    }
                }
                let asked = proofs.iter().filter(|proof| proof.outcome.is_some()).count();
                metrics.proven(asked - failing, failing);
                if failing == 0 { PROVE_EVERY } else { PROVE_AGAIN }
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "The root's recipients could not be asked");
                PROVE_AGAIN
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

/// An error with everything beneath it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_or_ends_is_started_again_until_told_to_stop() {
        let (stop, stopped) = watch::channel(false);
        let starts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&starts);
        let job = supervise("test", stopped, move |mut stopped| {
            let start = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                assert_ne!(start, 0, "the first one panics");
                if start > 1 {
                    let _ = stopped.wait_for(|stopped| *stopped).await;
                }
            }
        });
        tokio::time::timeout(RESTART_AFTER * 30, async {
            while starts.load(Ordering::SeqCst) < 3 {
                tokio::time::sleep(RESTART_AFTER / 10).await;
            }
        })
        .await
        .unwrap();
        stop.send(true).unwrap();
        job.await.unwrap();
        assert_eq!(starts.load(Ordering::SeqCst), 3);
    }
}
