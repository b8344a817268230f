//! Events as a whole instead of by pages: what matches in the log as it was when it was asked for, all under one signed head.

use super::{
    Event, EventFilter, EventKind, StoredCheckpoint, damage,
    query::{self, Found, ReadAuditError, Search},
    retention::{Purge, purged_between},
    sequence,
};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    ids::TenantId,
};

/// How many events are looked up, noted as read and given out at a time.
const STEP: u32 = 500;

/// What is asked for, and how much of it was given out.
#[derive(Debug)]
pub struct Export {
    tenant: TenantId,
    filter: EventFilter,
    /// What the things that it looks for are called now.
    own: Vec<String>,
    personal: bool,
    head: StoredCheckpoint,
    events: u64,
    ended: bool,
}

/// How an export ended: whoever has this has all of it.
#[derive(Debug)]
pub struct Exported {
    /// How many events it gave out.
    pub events: u64,
    /// The signed head that their proofs lead to.
    pub head: StoredCheckpoint,
    /// What of the time that was asked for was purged, before or meanwhile.
    pub purged: Vec<Purge>,
}

impl Export {
    /// Begins one; with the personal parts if `personal` says so, for callers who may see them. Nothing was given out yet.
    ///
    /// # Errors
    ///
    /// [`ReadAuditError`].
    pub async fn begin(
        instance: &Instance,
        call: &Call,
        tenant: TenantId,
        search: Search,
        personal: bool,
    ) -> Result<Self, ReadAuditError> {
        query::require(instance, call, tenant).await?;
        let needed = [Some(Permission::AuditExport), personal.then_some(Permission::AuditReadSealed)];
        if let Some(missing) = needed.into_iter().flatten().find(|needed| !call.caller.may(*needed)) {
            return Err(Denied::Forbidden(missing).into());
        }
        let Search { mut filter, named, security, .. } = search;
        let own = query::filter_by(instance, tenant, &mut filter, &named).await?;
        filter.limit = STEP;
        query::check(&filter)?;
        if security {
            query::security_alone(&mut filter);
        }
        let head = sequence::checkpoint(instance, tenant).await?;
        Ok(Self { tenant, filter, own, personal, head, events: 0, ended: false })
    }

    /// The next events with their proofs, in the order of the log; `None` when there are no more. An event of the log tells of them
    /// before they are given out, and the caller must still be let in.
    ///
    /// # Errors
    ///
    /// [`ReadAuditError`]: then it is not whole; [`ReadAuditError::Damaged`] if it never will be.
    pub async fn next(&mut self, instance: &Instance, call: &Call) -> Result<Option<Vec<Found>>, ReadAuditError> {
        if self.ended {
            return Ok(None);
        }
        query::require(instance, call, self.tenant).await?;
        // Under one head: what a replica does not have yet would be missing, and nobody told.
        let mut view = sequence::caught_up(instance, self.tenant, self.head.size).await?;
        let mut events = damage::whole::<ReadAuditError>(&mut *view, self.tenant, &self.filter).await?;
        let full = u32::try_from(events.len()).is_ok_and(|length| length >= self.filter.limit);
        events.retain(|event| event.index < self.head.size);
        self.ended = !full || events.is_empty();
        if events.is_empty() && self.events > 0 {
            return Ok(None);
        }
        let indexes: Vec<u64> = events.iter().map(|event| event.index).collect();
        let proofs = sequence::prove_all(&mut *view, self.tenant, &indexes, &self.head).await?;
        drop(view);
        self.filter.after = indexes.last().copied().or(self.filter.after);
        self.events += u64::try_from(indexes.len()).unwrap_or(u64::MAX);
        let told = Event::new(EventKind::AuditExported).references(self.own.clone());
        let views = query::release_with(instance, call, self.tenant, events, told, self.personal).await?;
        let found = views.into_iter().zip(proofs);
        Ok(Some(found.map(|(event, proof)| Found { event, proof: Some(proof.to_text()) }).collect()))
    }

    /// Ends it, when there are no more.
    ///
    /// # Errors
    ///
    /// [`ReadAuditError`] if the store does not answer.
    pub async fn end(self, instance: &Instance) -> Result<Exported, ReadAuditError> {
        let ring = instance.keyring(self.tenant).await?;
        let mut view = sequence::caught_up(instance, self.tenant, self.head.size).await?;
        let purged = purged_between(&mut *view, &ring, self.filter.from, self.filter.to).await?;
        Ok(Exported { events: self.events, head: self.head, purged })
    }
}
