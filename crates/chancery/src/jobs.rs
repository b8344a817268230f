//! What goes on in the background: logs grow, heads are signed, counts are written, old things forgotten.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chancery_api::Metrics;
use chancery_domain::{Instance, TenantId, audit, idempotency, keyring};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::wiring::Stores;

const SEQUENCE_EVERY: Duration = Duration::from_millis(250);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// A head is signed within 10 s of growth; this leaves time for the work itself.
const SIGN_AFTER: Duration = Duration::from_secs(5);
const FLUSH_EVERY: Duration = Duration::from_secs(60);
const FORGET_EVERY: Duration = Duration::from_secs(60 * 60);
const PROVE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The jobs of one process.
pub struct Jobs {
    others: (watch::Sender<bool>, Vec<JoinHandle<()>>),
    sequencer: (watch::Sender<bool>, Vec<JoinHandle<()>>),
}

impl Jobs {
    /// Starts all of them.
    pub fn start(instance: &Arc<Instance>, stores: &Stores, metrics: &Arc<Metrics>) -> Self {
        let sequencer = Sequencer {
            instance: Arc::clone(instance),
            stores: stores.clone(),
            metrics: Arc::clone(metrics),
            sizes: HashMap::new(),
            unsigned: HashMap::new(),
        };
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(flush(Arc::clone(instance), stopped.clone())),
            tokio::spawn(forget(Arc::clone(instance), stores.clone(), stopped.clone())),
            tokio::spawn(prove(Arc::clone(instance), stopped)),
        ];
        let (end, ended) = watch::channel(false);
        Self { others: (stop, tasks), sequencer: (end, vec![tokio::spawn(sequencer.run(ended))]) }
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

/// Ticks until stopped; `false` when it is time to end.
struct Ticks {
    interval: tokio::time::Interval,
    stopped: watch::Receiver<bool>,
}

impl Ticks {
    fn every(period: Duration, stopped: watch::Receiver<bool>) -> Self {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { interval, stopped }
    }

    async fn next(&mut self) -> bool {
        if *self.stopped.borrow() {
            return false;
        }
        tokio::select! {
            _ = self.interval.tick() => true,
            _ = self.stopped.changed() => false,
        }
    }
}

struct Sequencer {
    instance: Arc<Instance>,
    stores: Stores,
    metrics: Arc<Metrics>,
    /// How far each log was when we last looked.
    sizes: HashMap<TenantId, u64>,
    /// Logs that grew and whose head is not signed, since when.
    unsigned: HashMap<TenantId, Instant>,
}

impl Sequencer {
    async fn run(mut self, stopped: watch::Receiver<bool>) {
        let mut ticks = Ticks::every(SEQUENCE_EVERY, stopped);
        let mut swept: Option<Instant> = None;
        while ticks.next().await {
            if swept.is_none_or(|swept| swept.elapsed() >= SWEEP_EVERY) {
                // What other nodes or an earlier run left in the queues.
                self.sweep().await;
                swept = Some(Instant::now());
            }
            for tenant in self.stores.store.take_grown() {
                self.sequence(tenant).await;
            }
            self.sign(SIGN_AFTER).await;
        }
        for tenant in self.stores.store.take_grown() {
            self.sequence(tenant).await;
        }
        self.sign(Duration::ZERO).await;
    }

    async fn sweep(&mut self) {
        match self.stores.tenants().await {
            Ok(tenants) => {
                let others = tenants.iter().map(|entry| entry.id).filter(|id| !id.is_platform());
                for tenant in std::iter::once(TenantId::PLATFORM).chain(others) {
                    self.sequence(tenant).await;
                }
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "Could not list the tenants for the sequencer"),
        }
    }

    async fn sequence(&mut self, tenant: TenantId) {
        match audit::sequence(&self.instance, tenant).await {
            Ok(head) => {
                let before = self.sizes.insert(tenant, head.size);
                if before != Some(head.size) {
                    self.unsigned.entry(tenant).or_insert_with(Instant::now);
                    // What was there before we first looked is no growth of ours.
                    self.metrics.sequenced(head.size.saturating_sub(before.unwrap_or(head.size)));
                }
            }
            Err(error) => tracing::error!(%tenant, error = chain(&error), "Could not sequence the log of `{tenant}`"),
        }
    }

    async fn sign(&mut self, after: Duration) {
        let due: Vec<TenantId> =
            self.unsigned.iter().filter(|(_, since)| since.elapsed() >= after).map(|(tenant, _)| *tenant).collect();
        for tenant in due {
            match audit::sequence::checkpoint(&self.instance, tenant).await {
                Ok(_) => {
                    self.unsigned.remove(&tenant);
                }
                Err(error) => {
                    // Tried again later, not at every tick.
                    self.unsigned.insert(tenant, Instant::now());
                    tracing::error!(%tenant, error = chain(&error), "Could not sign the log's head of `{tenant}`");
                }
            }
        }
    }
}

/// Writes the counts of anonymous refusals.
async fn flush(instance: Arc<Instance>, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(FLUSH_EVERY, stopped);
    loop {
        let go_on = ticks.next().await;
        if let Err(error) = audit::refusals::flush_anonymous(&instance).await {
            tracing::error!(error = chain(&error), "Could not write the counts of anonymous refusals");
        }
        if !go_on {
            return;
        }
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

/// Proves that the key providers still give the root back.
async fn prove(instance: Arc<Instance>, stopped: watch::Receiver<bool>) {
    let mut ticks = Ticks::every(PROVE_EVERY, stopped);
    while ticks.next().await {
        if let Err(error) = keyring::root::prove(&instance).await {
            tracing::error!(error = chain(&error), "A key provider does not give the platform root back");
        }
    }
}

/// An error with everything beneath it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
