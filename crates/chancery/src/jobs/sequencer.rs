//! Logs grow, and their heads are signed.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use chancery_api::Metrics;
use chancery_domain::{
    Instance, TenantId,
    audit::{
        guard,
        sequence::{self, SequenceError},
    },
};
use tokio::sync::watch;

use super::{Ticks, chain};
use crate::wiring::Stores;

const SEQUENCE_EVERY: Duration = Duration::from_millis(250);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// A head is signed within 10 s of growth; this leaves time for the work itself.
const SIGN_AFTER: Duration = Duration::from_secs(5);

/// Moves what is queued into the logs, and has their heads signed.
pub(super) struct Sequencer {
    instance: Arc<Instance>,
    stores: Stores,
    metrics: Arc<Metrics>,
    /// How far each log was when we last looked.
    sizes: HashMap<TenantId, u64>,
    /// Logs that grew and whose head is not signed, since when.
    unsigned: HashMap<TenantId, Instant>,
    /// Whose queue was not moved to its end; gone on with at the next tick.
    left: BTreeSet<TenantId>,
}

impl Sequencer {
    pub(super) fn new(instance: Arc<Instance>, stores: Stores, metrics: Arc<Metrics>) -> Self {
        let (sizes, unsigned, left) = (HashMap::new(), HashMap::new(), BTreeSet::new());
        Self { instance, stores, metrics, sizes, unsigned, left }
    }

    pub(super) async fn run(mut self, stopped: watch::Receiver<bool>) {
        let mut ticks = Ticks::every(SEQUENCE_EVERY, stopped);
        let mut swept: Option<Instant> = None;
        while ticks.next().await {
            if swept.is_none_or(|swept| swept.elapsed() >= SWEEP_EVERY) {
                // What other nodes or an earlier run left in the queues.
                self.sweep().await;
                swept = Some(Instant::now());
            }
            self.grow().await;
            self.sign(SIGN_AFTER).await;
        }
        self.grow().await;
        self.sign(Duration::ZERO).await;
    }

    /// Those that grew, and those that were to and did not.
    async fn grow(&mut self) {
        let mut tenants = std::mem::take(&mut self.left);
        tenants.extend(self.stores.store.take_grown());
        for tenant in tenants {
            self.sequence(tenant).await;
        }
    }

    async fn sweep(&mut self) {
        match self.stores.tenants().await {
            Ok(tenants) => {
                let others = tenants.iter().map(|entry| entry.id).filter(|id| !id.is_platform());
                for tenant in std::iter::once(TenantId::PLATFORM).chain(others) {
                    self.sequence(tenant).await;
                    self.look(tenant).await;
                }
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "Could not list the tenants for the sequencer"),
        }
    }

    /// A queue that was to move and did not makes this process not ready.
    async fn look(&self, tenant: TenantId) {
        match guard::look_at_queue(&self.instance, tenant).await {
            Ok(None) => {}
            Ok(Some(seconds)) => tracing::error!(
                %tenant,
                code = "log_stuck",
                seconds,
                "THE QUEUE OF THE AUDIT LOG OF `{tenant}` HAS NOT MOVED FOR {seconds} s: what is in it is durable, and not in the log. \
                 The lines before this one say why; see docs/guides/audit.md"
            ),
            Err(error) => tracing::warn!(%tenant, error = chain(&error), "Could not look at the queue of `{tenant}`"),
        }
    }

    async fn sequence(&mut self, tenant: TenantId) {
        match self.grown(tenant).await {
            Ok((before, after)) => {
                if before != after || self.sizes.get(&tenant) != Some(&after) {
                    self.unsigned.entry(tenant).or_insert_with(Instant::now);
                }
                self.sizes.insert(tenant, after);
                self.metrics.sequenced(after.saturating_sub(before));
            }
            Err(error) => {
                // A forked log does not mend itself: looked at again when it is to grow, and at every sweep.
                if !matches!(error, SequenceError::Forked(_) | SequenceError::RolledBack(_)) {
                    self.left.insert(tenant);
                }
                tell(tenant, "move events into", &error);
            }
        }
    }

    /// Moves what is queued, as much as one turn takes; the log's size before, as far as we know it, and after.
    async fn grown(&mut self, tenant: TenantId) -> Result<(u64, u64), SequenceError> {
        let before = match self.sizes.get(&tenant) {
            Some(size) => *size,
            None => self.stores.store.view(tenant).await?.log_head().await?.size,
        };
        let after = match sequence::turn(&self.instance, tenant).await? {
            Some(head) => head,
            None => {
                self.left.insert(tenant);
                self.stores.store.fresh_view(tenant).await?.log_head().await?
            }
        };
        Ok((before, after.size))
    }

    async fn sign(&mut self, after: Duration) {
        let due: Vec<TenantId> =
            self.unsigned.iter().filter(|(_, since)| since.elapsed() >= after).map(|(tenant, _)| *tenant).collect();
        for tenant in due {
            match sequence::sign(&self.instance, tenant).await {
                Ok(_) => {
                    self.unsigned.remove(&tenant);
                }
                Err(error) => {
                    // Tried again later, not at every tick.
                    self.unsigned.insert(tenant, Instant::now());
                    tell(tenant, "sign the head of", &error);
                }
            }
        }
    }
}

/// Says what did not work with a log. A fork is no failure of a machine: somebody changed the store.
fn tell(tenant: TenantId, what: &str, error: &SequenceError) {
    if matches!(error, SequenceError::Forked(_)) {
        tracing::error!(
            %tenant,
            code = "log_forked",
            "THE AUDIT LOG OF `{tenant}` DOES NOT MATCH ITS STORED ROOT: it was changed outside of Chancery. \
             Nothing more of it is signed. Keep a copy of the store, and compare it with a backup and with checkpoints that others hold"
        );
    } else if matches!(error, SequenceError::RolledBack(_)) {
        tracing::error!(
            %tenant,
            code = "log_rolled_back",
            "THE AUDIT LOG OF `{tenant}` IS BEHIND WHAT WAS SIGNED OF IT: its store was put back to an earlier state. Nothing more of \
             it is signed. If that was you, run `chancery audit accept-restore --tenant {tenant}` with the same configuration; if not, \
             keep a copy of the store and look for who did it. See docs/guides/audit.md"
        );
    } else {
        tracing::error!(%tenant, error = chain(error), "Could not {what} the log of `{tenant}`");
    }
}
