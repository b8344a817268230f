//! One process at a time is a node, on whatever machine (ADR 0042).
//!
//! A node's id lies in a file, and a machine may be copied with all its files. So the process that is a node claims its id in the
//! platform's rows, and goes on claiming it. Another place cannot meanwhile; who finds that the claim is not as it was left ends.

use crate::{
    Instance,
    ids::{NodeId, TenantId},
    instance::Failure,
    time::Timestamp,
};

/// For how long an id is claimed, in seconds.
pub const CLAIMED_FOR_SECONDS: i64 = 30;
/// How many moments of a claim are remembered: a minute's, for it is renewed every 5 seconds.
const REMEMBERED: usize = 12;
/// For how long after it was made a claim may be lost whole, in seconds.
const NEW_FOR_SECONDS: i64 = 60;

/// For how long what a node claimed stays once it is gone, in seconds.
const FORGOTTEN_AFTER_SECONDS: i64 = 30 * 24 * 60 * 60;

/// A node's id, claimed for a process.
#[derive(Debug, Clone)]
pub struct Claim {
    job: String,
    place: NodeId,
    /// When it was made.
    made: Timestamp,
    /// Until when, the newest first: what the store has is one of these. It may lack the newest where the answer of a commit was lost, or
    /// where a standby has taken over that had not heard of the last ones.
    until: Vec<Timestamp>,
}

/// Claims this node's id for a process at this place, if no other place has it. Two processes must not be at one place at once; one that
/// comes after another there need not wait for its time to pass.
///
/// # Errors
///
/// [`Failure::Store`]; then nobody knows.
pub async fn claim(instance: &Instance, place: [u8; 16]) -> Result<Option<Claim>, Failure> {
    let (job, place) = (format!("node:{}", instance.node().id), NodeId::from_bytes(place));
    let now = instance.now();
    let until = now.plus_seconds(CLAIMED_FOR_SECONDS);
    let mut tx = instance.store().begin(TenantId::PLATFORM).await?;
    let ours = tx.claim_job(&job, place, now, until).await?;
    tx.commit().await?;
    Ok(ours.then_some(Claim { job, place, made: now, until: vec![until] }))
}

/// Takes away what nodes claimed that have been gone for a month. If this clock says that of all others, it is wrong, and nothing goes:
/// who finds its claim gone ends.
///
/// # Errors
///
/// [`Failure::Store`]; then they stay until the next start of a node.
pub async fn forget_gone(instance: &Instance) -> Result<(), Failure> {
    let own = format!("node:{}", instance.node().id);
    let mut tx = instance.store().begin(TenantId::PLATFORM).await?;
    tx.forget_nodes(&own, instance.now().plus_seconds(-FORGOTTEN_AFTER_SECONDS)).await?;
    Ok(tx.commit().await?)
}

impl Claim {
    /// Claims the id for longer; `false` if the store has no claim that this process left: another one is this node, or was.
    ///
    /// # Errors
    ///
    /// [`Failure::Store`]; then nobody knows, until the next time.
    pub async fn renew(&mut self, instance: &Instance) -> Result<bool, Failure> {
        let now = instance.now();
        let until = now.plus_seconds(CLAIMED_FOR_SECONDS);
        let mut tx = instance.store().begin(TenantId::PLATFORM).await?;
        let mut ours = false;
        for from in &self.until {
            ours = ours || tx.renew_job(&self.job, self.place, *from, until).await?;
        }
        // An older one was there for long, so that another process took it away.
        if !ours && now < self.made.plus_seconds(NEW_FOR_SECONDS) {
            ours = tx.claim_free_job(&self.job, self.place, until).await?;
        }
        self.until.insert(0, until);
        tx.commit().await?;
        if ours {
            self.until.truncate(REMEMBERED);
        }
        Ok(ours)
    }

    /// Gives the id back: whoever starts with it next need not wait.
    ///
    /// # Errors
    ///
    /// [`Failure::Store`]; then its time has to pass.
    pub async fn give_back(self, instance: &Instance) -> Result<(), Failure> {
        let mut tx = instance.store().begin(TenantId::PLATFORM).await?;
        tx.release_job(&self.job, self.place).await?;
        Ok(tx.commit().await?)
    }
}
