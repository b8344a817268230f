//! Keeps the list of destroyed keys outside the store, on every node: who restores an older bundle beside it brings none back.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use chancery_domain::{
    Clock as _, Instance, TenantId,
    backups::{Holder, sealing_key},
    ids::BackupId,
    store::StoreError,
};
use tokio::sync::watch;

use crate::{clock::SystemClock, commands::backup, wiring::Stores};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Writing reads all keys, so that it takes at most one part in so many of the time.
const REST: u32 = 10;

/// Writes the list at the start, and whenever a key was destroyed: by anyone, on any node.
pub async fn keep(instance: Arc<Instance>, stores: Stores, list: PathBuf, mut stopped: watch::Receiver<bool>) {
    let (mut seen, mut written, mut rests_until) = (Seen::default(), false, Instant::now());
    while !*stopped.borrow() {
        if let Err(error) = seen.look(&stores).await {
            tracing::warn!(%error, "Could not look for destroyed keys");
        }
        written &= !std::mem::take(&mut seen.changed);
        if !written && Instant::now() >= rests_until {
            let began = Instant::now();
            match write(&instance, &stores, &list).await {
                Ok(()) => written = true,
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "Could not write the list of destroyed keys")
                }
            }
            rests_until = Instant::now() + began.elapsed() * REST;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stopped.changed() => {}
        }
    }
}

/// How many destroyed keys each tenant had when its epoch last changed. A destruction changes the epoch (ADR 0009).
#[derive(Default)]
struct Seen {
    mark: Option<i64>,
    counts: HashMap<TenantId, u64>,
    /// Whether there may be more than before.
    changed: bool,
}

impl Seen {
    async fn look(&mut self, stores: &Stores) -> Result<(), StoreError> {
        let (epochs, mark) = stores.directory.epochs_since(self.mark).await?;
        for tenant in epochs.of.into_keys() {
            let count = stores.store.view(tenant).await?.destroyed_keys().await?;
            self.changed |= self.counts.insert(tenant, count).unwrap_or(0) != count;
        }
        // Not before all were counted: after a failure they are counted again.
        self.mark = Some(mark);
        Ok(())
    }
}

async fn write(instance: &Instance, stores: &Stores, path: &Path) -> anyhow::Result<()> {
    let holders: Vec<Holder> = stores.recipients().await?.iter().map(Holder::from).collect();
    let environment = instance.settings().environment.as_str();
    let key = sealing_key(&holders, instance.providers(), environment).await?;
    let id = BackupId::make(SystemClock.now(), instance.random())?;
    backup::list(stores, path, id, environment, &holders, &key).await.map(drop)
}
