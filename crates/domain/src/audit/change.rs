//! A change and its event are one commit, by construction: [`Change::commit`] takes the event.

use std::sync::Arc;

use super::{
    Event,
    counters::Ticket,
    stamp::{Actor, stamp},
};
use crate::{
    access::Call,
    idempotency::KEPT_SECONDS,
    ids::TenantId,
    instance::{Failure, Instance},
    keyring::{Keyring, Managed, fence, ring::RingVersion},
    store::{StoreError, Tx},
};

/// A transaction of one tenant that cannot be committed without an event.
pub struct Change<'a> {
    instance: &'a Instance,
    actor: Actor<'a>,
    tenant: TenantId,
    ring: Arc<Keyring>,
    tx: Box<dyn Tx>,
    tickets: Vec<Ticket>,
    lent: Vec<Arc<RingVersion>>,
}

impl<'a> Change<'a> {
    /// Begins a change of `tenant`'s rows.
    ///
    /// # Errors
    ///
    /// [`Failure`] if the store or the tenant's keys do not answer.
    pub async fn begin(instance: &'a Instance, call: &'a Call, tenant: TenantId) -> Result<Self, Failure> {
        let ring = instance.keyring(tenant).await?;
        Self::begin_with(instance, Actor::Call(call), tenant, ring).await
    }

    /// Begins a change with a keyring that is not stored yet: a new tenant's.
    pub(crate) async fn begin_with(
        instance: &'a Instance,
        actor: Actor<'a>,
        tenant: TenantId,
        ring: Arc<Keyring>,
    ) -> Result<Self, Failure> {
        let tx = instance.store().begin(tenant).await?;
        Ok(Self { instance, actor, tenant, ring, tx, tickets: Vec::new(), lent: Vec::new() })
    }

    /// The tenant's rows.
    pub fn rows(&mut self) -> &mut dyn Tx {
        &mut *self.tx
    }

    /// The tenant's keys.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.ring
    }

    /// Lends this change a key version that it adds: everybody else knows it once it is committed.
    pub(crate) fn lend(&mut self, version: RingVersion) {
        self.lent.push(Arc::new(version));
    }

    /// The version with this id, if it was lent to this change.
    pub(crate) fn lent(&self, managed: Managed, key_id: &str) -> Option<Arc<RingVersion>> {
        self.lent.iter().find(|version| version.managed == managed && version.key_id == key_id).map(Arc::clone)
    }

    /// Puts a further event into the same commit.
    ///
    /// # Errors
    ///
    /// [`Failure::Audit`] if the queue does not take it.
    pub async fn record(&mut self, event: Event) -> Result<(), Failure> {
        let ticket = self.instance.counters.draw(self.tenant);
        let queued = stamp(self.instance, self.actor, self.tenant, &self.ring, ticket.number, event)?;
        self.tx.queue_event(&queued).await.map_err(Failure::Audit)?;
        self.tickets.push(ticket);
        Ok(())
    }

    /// As [`Self::commit`], for something new that the event names: also remembers the call's `Idempotency-Key`.
    ///
    /// # Errors
    ///
    /// [`Failure`]; a [`StoreError::Changed`]`("idempotency_key")` if the same request was quicker elsewhere.
    pub async fn commit_new(self, event: Event) -> Result<(), Failure> {
        let made = event.resource_id().unwrap_or_default().to_owned();
        self.commit_made(&made, event).await
    }

    /// As [`Self::commit_new`], for what is found again by `made` and not by what the event was done to.
    pub(super) async fn commit_made(mut self, made: &str, event: Event) -> Result<(), Failure> {
        if let Actor::Call(Call { once: Some(claim), .. }) = self.actor {
            if made.is_empty() {
                return Err(Failure::Internal("something new without an id"));
            }
            let now = self.instance.now();
            self.tx.forget_remembered_before(now.plus_seconds(-KEPT_SECONDS)).await?;
            match self.tx.remember(&claim.made(made, now)).await {
                Err(StoreError::Taken(_)) => return Err(StoreError::Changed("idempotency_key").into()),
                remembered => remembered?,
            }
        }
        self.commit(event).await
    }

    /// Makes the change and its event durable at once. If it takes keys out of use, answers when no node releases anything
    /// under them any more ([`fence`]).
    ///
    /// # Errors
    ///
    /// [`Failure`]; then nothing was changed.
    pub async fn commit(mut self, event: Event) -> Result<(), Failure> {
        self.record(event).await?;
        let stops_keys = self.tx.stops_keys();
        // From here on nobody knows for sure that it was not committed: the numbers are not used again.
        self.tickets.into_iter().for_each(Ticket::spend);
        self.tx.commit().await?;
        if stops_keys {
            self.instance.end_lease(self.tenant);
            fence::settle().await;
        }
        Ok(())
    }
}
