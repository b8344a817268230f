//! Counts what each version of a key still holds.

use std::time::{Duration, Instant};

use chancery_crypto::Handle;

use super::{RENEW_EVERY, StepError, Worker};
use crate::{
    audit::{Change, Detail, Event, EventKind, stamp::Actor},
    census::{self, Counted, Source},
    datasets::{DatasetColumn, DatasetError, DatasetTable, TableError, Work, tables::ColumnCount},
    indexes::IndexKind,
    instance::Failure,
    keyring::{KeyState, Managed},
    time::Timestamp,
};

/// The longest that counting one column may take; PostgreSQL is asked to give up after fifteen minutes by itself.
const COUNT_WITHIN: Duration = Duration::from_secs(20 * 60);

impl Worker<'_> {
    pub(super) async fn todo(&mut self, table: &dyn DatasetTable) -> Result<u64, StepError> {
        let lease = self.instance.lease(self.tenant).await.map_err(DatasetError::from)?;
        let old = lease.keyring.superseded(Managed::Data);
        let mut todo = 0;
        for column in self.dataset.columns.clone() {
            let counted = self.count_of(table, &column).await?;
            todo += match self.job.work {
                Work::Reindex if IndexKind::ALL.iter().all(|kind| column.filed_in(*kind).is_none()) => 0,
                Work::Reindex => counted.by_handle.iter().map(|(_, count)| count).sum(),
                Work::Reseal | Work::Scan => counted.under(&old),
            };
        }
        Ok(todo)
    }

    /// Counts a column. That may take minutes, in which the job stays this node's.
    pub(super) async fn count_of(
        &mut self,
        table: &dyn DatasetTable,
        column: &DatasetColumn,
    ) -> Result<ColumnCount, StepError> {
        let (mut counting, began) = (table.count(column), Instant::now());
        loop {
            match tokio::time::timeout(RENEW_EVERY, &mut counting).await {
                Ok(counted) => return Ok(counted?),
                Err(_) if (self.stopped)() => return Err(StepError::Stopped),
                // A connection that was cut without a word says nothing for ever.
                Err(_) if began.elapsed() > COUNT_WITHIN => {
                    return Err(TableError::Unavailable("the database does not finish counting".into()).into());
                }
                Err(_) => self.save().await?,
            }
        }
    }

    /// Counts every column and notes what each version of the data key holds; how many values are under superseded ones.
    pub(super) async fn count(&mut self, table: &dyn DatasetTable) -> Result<u64, StepError> {
        let as_of = self.instance.now();
        let lease = self.instance.lease(self.tenant).await.map_err(DatasetError::from)?;
        let old = lease.keyring.superseded(Managed::Data);
        let mut found = Vec::with_capacity(self.dataset.columns.len());
        for column in self.dataset.columns.clone() {
            let counted = self.count_of(table, &column).await?;
            found.push((column.field, Found::Values(counted)));
        }
        let left = found.iter().map(|(_, found)| found.under(&old)).sum();
        self.note_counts(Managed::Data, &found, as_of).await?;
        Ok(left)
    }

    /// Notes counts, and retires the versions that are proven to hold nothing: one commit.
    pub(super) async fn note_counts(
        &self,
        managed: Managed,
        found: &[(String, Found)],
        as_of: Timestamp,
    ) -> Result<(), StepError> {
        let noted: Result<(), Failure> = async {
            let ring = self.instance.keyring(self.tenant).await?;
            let mut change = Change::begin_with(self.instance, Actor::System(&self.request), self.tenant, ring).await?;
            let key =
                change.rows().managed_key(managed).await?.ok_or(Failure::Internal("a tenant without its keys"))?;
            let versions = change.rows().key_versions(key.id).await?;
            for (field, found) in found {
                for version in &versions {
                    let superseded = !matches!(version.state, KeyState::Active | KeyState::Pending);
                    let Some(count) = found.of(version.handle, superseded) else { continue };
                    let source = Source::Dataset(self.dataset.id, field.clone());
                    let counted = Counted { key: key.id, version: version.version, source, count, counted_at: as_of };
                    change.rows().put_count(&counted).await?;
                }
            }
            let drained = census::drain(self.instance, &mut change, &key).await?;
            let (values, unsealed) = found.iter().fold((0, 0), |(values, unsealed), (_, found)| {
                let (more, clear) = found.sums();
                (values + more, unsealed + clear)
            });
            let event = Event::new(EventKind::DatasetCounted)
                .on("dataset", self.dataset.id)
                .with("managed", Detail::Code(managed.as_str()))
                .with("count", Detail::Count(values))
                .with("unsealed", Detail::Count(unsealed));
            change.commit(event).await?;
            if drained {
                self.instance.end_lease(self.tenant);
            }
            Ok(())
        }
        .await;
        Ok(noted.map_err(DatasetError::from)?)
    }
}

/// What was found in a column.
pub(super) enum Found {
    /// Its values by version of the data key.
    Values(ColumnCount),
    /// Terms that could not be derived anew, so may be under any superseded index key.
    Terms(u64),
}

impl Found {
    /// How many are under a version; none if that was not counted.
    fn of(&self, handle: Handle, superseded: bool) -> Option<u64> {
        match self {
            // What does not say its version may be of any, and what is not known for sealed may be so in another form: neither is
            // ever taken for nothing.
            Self::Values(counted) => Some(counted.under(&[handle]) + counted.other + counted.unsealed),
            Self::Terms(failed) => superseded.then_some(*failed),
        }
    }

    fn under(&self, handles: &[Handle]) -> u64 {
        match self {
            Self::Values(counted) => counted.under(handles),
            Self::Terms(_) => 0,
        }
    }

    /// How many values, and how many that are neither sealed nor null.
    fn sums(&self) -> (u64, u64) {
        match self {
            Self::Values(counted) => (counted.by_handle.iter().map(|(_, count)| count).sum(), counted.unsealed),
            Self::Terms(failed) => (*failed, 0),
        }
    }
}
