//! This process is a node, and no other one is the same at once (ADR 0042).
//!
//! Of one folder a lock on `node-id` sees to that. A copied machine has a copy of the folder, so where nodes share a store the id is
//! claimed in it too.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use chancery_crypto::{SystemRandom, random, sha256};
use chancery_domain::{
    Instance,
    nodes::{self, CLAIMED_FOR_SECONDS, Claim},
};
use tokio::{sync::watch, task::JoinHandle};

use crate::jobs::{Ticks, chain};

/// How often the claim is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often a start that has to wait looks again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a start waits: the process that had the id elsewhere may have been killed a moment ago.
const PATIENCE: Duration = Duration::from_secs(CLAIMED_FOR_SECONDS.unsigned_abs() + 5);

/// The id of this node, claimed until this is dropped or given back.
pub struct Held {
    instance: Arc<Instance>,
    stop: watch::Sender<bool>,
    lost: watch::Receiver<bool>,
    keeper: JoinHandle<Claim>,
}

impl Held {
    /// Claims the id of this node, which holds this file locked.
    ///
    /// # Errors
    ///
    /// If a process elsewhere keeps it, or the store does not answer.
    pub async fn claim(instance: &Arc<Instance>, file: &File) -> Result<Self> {
        let (place, began, id) = (place(file).context("cannot look at `node-id`")?, Instant::now(), instance.node().id);
        let mut told = false;
        let claim = loop {
            if let Some(claim) =
                nodes::claim(instance, place).await.context("the store does not take this node's id")?
            {
                break claim;
            }
            if began.elapsed() >= PATIENCE {
                bail!(
                    "another process is the node `{id}`: this machine, or its `data_dir`, is a copy of one that runs. Two of one id \
                     would write into one log as if they were one. Stop the other one, or remove `node-id` in this one's `data_dir`: \
                     it then gets an id of its own"
                );
            }
            if !told {
                told = true;
                tracing::warn!(
                    code = "node_id_claimed",
                    "The node `{id}` was at work elsewhere less than {CLAIMED_FOR_SECONDS} s ago; waiting whether it still is"
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        if let Err(error) = nodes::forget_gone(instance).await {
            tracing::warn!(error = chain(&error), "Could not take away what nodes claimed that are gone");
        }
        let (stop, stopped) = watch::channel(false);
        let (lose, lost) = watch::channel(false);
        let keeper = tokio::spawn(keep(Arc::clone(instance), claim, stopped, lose));
        Ok(Self { instance: Arc::clone(instance), stop, lost, keeper })
    }

    /// Waits until another process has the id.
    pub fn lost(&self) -> impl Future<Output = ()> + use<> {
        let mut lost = self.lost.clone();
        async move {
            if lost.wait_for(|lost| *lost).await.is_err() {
                // It was given back.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Gives the id back, once nothing is written under it any more.
    pub async fn give_back(self) {
        let _ = self.stop.send(true);
        let Ok(Ok(claim)) = tokio::time::timeout(RENEW_EVERY, self.keeper).await else { return };
        if *self.lost.borrow() {
            return;
        }
        if let Err(error) = claim.give_back(&self.instance).await {
            tracing::warn!(error = chain(&error), "Could not give this node's id back; elsewhere it has to wait");
        }
    }
}

/// Goes on claiming, until it is stopped or finds that another process did.
async fn keep(
    instance: Arc<Instance>,
    mut claim: Claim,
    stopped: watch::Receiver<bool>,
    lose: watch::Sender<bool>,
) -> Claim {
    let mut ticks = Ticks::every(RENEW_EVERY, stopped);
    while ticks.next().await {
        match claim.renew(&instance).await {
            Ok(true) => {}
            Ok(false) => {
                let _ = lose.send(true);
                break;
            }
            Err(error) => tracing::warn!(error = chain(&error), "Could not claim this node's id for longer"),
        }
    }
    claim
}

/// Where a process runs that holds this file locked: this file, since this machine was started. Copies have another one.
fn place(file: &File) -> Result<[u8; 16]> {
    let started = match fs::read("/proc/sys/kernel/random/boot_id") {
        Ok(id) => id,
        // Who is not told takes no place for another's, and waits after a crash.
        Err(_) => random::array::<16>(&SystemRandom)?.to_vec(),
    };
    let facts = file.metadata()?;
    let of_file = [facts.dev().to_be_bytes(), facts.ino().to_be_bytes()].concat();
    let mut place = [0; 16];
    place.iter_mut().zip(sha256(&[of_file, started].concat())).for_each(|(to, from)| *to = from);
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_file_is_another_place() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("node-id"), folder.path().join("copy"));
        fs::write(&path, "x").unwrap();
        fs::copy(&path, &copy).unwrap();
        let at = |path| place(&File::open(path).unwrap()).unwrap();
        assert_eq!(at(&path), at(&path));
        assert_ne!(at(&path), at(&copy));
    }
}
