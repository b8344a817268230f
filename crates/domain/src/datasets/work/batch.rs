//! What every batch does, of whatever kind: its event before a value opens, and what came of it.

use chancery_crypto::{Handle, Sealed};

use super::{StepError, Worker};
use crate::{
    audit::{
        self, Detail, Event, EventKind, OpenFailure, OpenIntent,
        receipt::{append_as, note_all},
        stamp::Actor,
    },
    datasets::DatasetError,
    keyring::{Keyring, Subjects, fence::Fence},
    subjects::lend,
};

impl Worker<'_> {
    /// One event for the whole batch, with its first and last row.
    pub(super) async fn receipt(
        &self,
        ring: &Keyring,
        table: &str,
        columns: Vec<String>,
        ends: &[&str],
        values: usize,
    ) -> Result<(crate::audit::AuditReceipt, Fence), StepError> {
        let references: Result<Vec<String>, _> = ends.iter().map(|row| ring.reference(table, row)).collect();
        let event = Event::new(EventKind::RecordResealed)
            .on("dataset", self.dataset.id)
            .references(references.map_err(DatasetError::from)?)
            .with("table", Detail::Names(vec![table.to_owned()]))
            .with("columns", Detail::Names(columns))
            .with("count", Detail::Count(number(values)))
            .with("job", Detail::Id(self.job.id.to_string()));
        let intent = OpenIntent::new(table, values, event);
        let receipts = append_as(self.instance, Actor::System(&self.request), self.tenant, vec![intent]).await;
        Ok(receipts.and_then(crate::audit::receipt::Told::single).map_err(DatasetError::from)?)
    }

    /// Lends the persons' keys with these handles, as they are in the store now.
    pub(super) async fn persons(&self, ring: &Keyring, handles: &[Handle]) -> Result<Subjects, StepError> {
        let lent = lend::for_opening(self.instance, self.tenant, ring, handles).await;
        lent.map_err(|failure| DatasetError::from(failure).into())
    }

    /// Counts what did not open, and tells of it.
    pub(super) async fn tell_failed(&mut self, table: &str, failed: &[OpenFailure]) -> Result<(), StepError> {
        self.job.failed += number(failed.len());
        self.column_failed += number(failed.len());
        let events = audit::opens_failed(self.instance, table, failed);
        let events = events.into_iter().map(|event| event.on("dataset", self.dataset.id)).collect();
        let noted = note_all(self.instance, Actor::System(&self.request), self.tenant, events).await;
        noted.map(drop).map_err(|failure| DatasetError::from(failure).into())
    }

    /// Tells how many of a batch were put in place; an application was faster with the others.
    pub(super) fn replaced(&mut self, of: usize, replaced: usize) {
        let moved = number(replaced);
        self.job.moved += moved;
        self.job.pass_moved += moved;
        self.job.overtaken += number(of).saturating_sub(moved);
    }
}

pub(super) fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The handles of values that are under no key of the tenant's own: each once.
pub(super) fn strangers<'v>(ring: &Keyring, values: impl Iterator<Item = &'v Sealed>) -> Vec<Handle> {
    let mut handles: Vec<Handle> = values.map(Sealed::handle).filter(|handle| !ring.knows(*handle)).collect();
    handles.sort_unstable_by_key(|handle| handle.0);
    handles.dedup();
    handles
}
