//! Does the jobs over datasets, batch by batch.
//!
//! Every batch is whole in itself: its event is durable before a value is opened, a value is replaced only where it is still the one
//! that was read, and what was written is read back. So a job may die anywhere and go on from its last noted row: what was
//! moved already is under the newest key and is not looked at again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chancery_crypto::{Handle, Sealed};

use super::{
    Dataset, DatasetColumn, DatasetCompound, DatasetError, DatasetJob, DatasetTable, JobState, TableError, Work,
    tables::{ColumnCount, Replacement, Stored, StoredParts, StoredRow, TermReplacement, Which},
};
use crate::{
    Instance,
    access::RequestInfo,
    audit::{
        self, Change, Detail, Event, EventKind, OpenFailure, OpenIntent, Outcome,
        receipt::{append_as, note_all},
        stamp::Actor,
    },
    census::{self, Counted, SETTLE_SECONDS, Source},
    fields::Field,
    ids::{DatasetJobId, RequestId, TenantId},
    indexes::{Index, IndexKind},
    instance::Failure,
    keyring::{
        Key, KeyState, KeyVersion, Keyring, KeyringError, Managed, Subjects,
        fence::Fence,
        ring::{Parts, Place},
    },
    store::StoreError,
    subjects::lend,
    time::Timestamp,
};

/// Rows of one batch: one event, one statement, one transaction in the application's database.
const BATCH: u32 = 500;
/// How long a node has a job without saying so again. Longer than any batch takes; counting takes as long as it takes.
const CLAIM_SECONDS: i64 = 20;
/// How often a node says so while it waits for a count.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often a database that does not answer is asked again before the job fails.
const PATIENCE: u32 = 30;
/// More passes than these mean that an application goes on writing under an old key.
const MAX_PASSES: u32 = 50;

/// Takes a job up and does it to its end, or until `stopped` says so; another node may go on then.
///
/// # Errors
///
/// [`DatasetError`] if the store fails or the job was lost to another node. The job stays where it was.
pub async fn work(
    instance: &Instance,
    tenant: TenantId,
    id: DatasetJobId,
    stopped: &(dyn Fn() -> bool + Send + Sync),
) -> Result<(), DatasetError> {
    let node = instance.node().id.to_string();
    let now = instance.now();
    let mut tx = instance.store().begin(tenant).await?;
    if !tx.claim_dataset_job(id, &node, now, now.plus_seconds(CLAIM_SECONDS)).await? {
        return Ok(());
    }
    tx.commit().await?;
    let mut view = instance.store().view(tenant).await?;
    let job = view.dataset_job(id).await?.ok_or(DatasetError::NotFound)?;
    let datasets = view.datasets().await?;
    drop(view);
    let dataset = datasets.into_iter().find(|dataset| dataset.id == job.dataset).ok_or(DatasetError::NotFound)?;
    let request = RequestInfo {
        id: RequestId::make(now, instance.random())?,
        address: None,
        user_agent: None,
        route: "datasets.work",
        method: "JOB",
    };
    // In the middle of a column: what failed in it was noted with that of the whole pass. More than the truth, so never a false zero.
    let column_failed = if job.row_at.is_some() { job.failed } else { 0 };
    Worker { instance, tenant, node, request, dataset, job, column_failed }.run(stopped).await
}

struct Worker<'a> {
    instance: &'a Instance,
    tenant: TenantId,
    node: String,
    request: RequestInfo,
    dataset: Dataset,
    job: DatasetJob,
    /// Values of the column at hand that do not open.
    column_failed: u64,
}

/// Why a job goes no further now.
enum Halt {
    /// Everything was done.
    Done,
    /// It ends with this problem.
    Failed(&'static str),
    /// Asked to stop; somebody goes on later.
    Stopped,
}

impl Worker<'_> {
    async fn run(mut self, stopped: &(dyn Fn() -> bool + Send + Sync)) -> Result<(), DatasetError> {
        let mut refused = 0;
        loop {
            let outcome = match self.instance.tables().open(self.tenant, &self.dataset).await {
                Ok(table) => self.go_on(&*table, stopped, &mut refused).await,
                Err(error) => Err(error.into()),
            };
            match outcome {
                Ok(Halt::Stopped) => return self.release().await,
                Ok(Halt::Done) => return self.end(JobState::Done, None).await,
                Ok(Halt::Failed(problem)) => return self.end(JobState::Failed, Some(problem)).await,
                Err(StepError::Table(TableError::Unavailable(error))) if refused < PATIENCE => {
                    refused += 1;
                    tracing::warn!(job = %self.job.id, error = %error, refused, "A dataset's database does not answer");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    self.save().await?;
                }
                Err(StepError::Table(error)) => {
                    tracing::error!(job = %self.job.id, error = %error, "A job over a dataset cannot go on");
                    let problem = match error {
                        TableError::UrlFile(_) => "url_file",
                        TableError::Shape(..) => "shape",
                        TableError::Unavailable(_) => "unreachable",
                    };
                    return self.end(JobState::Failed, Some(problem)).await;
                }
                Err(StepError::Dataset(error)) => return Err(error),
            }
            if stopped() {
                return self.release().await;
            }
        }
    }

    async fn go_on(
        &mut self,
        table: &dyn DatasetTable,
        stopped: &(dyn Fn() -> bool + Send + Sync),
        refused: &mut u32,
    ) -> Result<Halt, StepError> {
        if self.job.work == Work::Scan {
            self.count(table).await?;
            return Ok(Halt::Done);
        }
        if self.job.pass == 1 && self.job.seen == 0 {
            self.job.todo = self.todo(table).await?;
        }
        loop {
            if stopped() {
                return Ok(Halt::Stopped);
            }
            let at = usize::try_from(self.job.column_at).unwrap_or(usize::MAX);
            let column = self.dataset.columns.get(at).cloned();
            let after = at.checked_sub(self.dataset.columns.len());
            let compound = after.and_then(|at| self.dataset.compounds.get(at)).cloned();
            let began = Instant::now();
            let rows = match (column, compound) {
                (Some(column), _) => self.batch(table, &column).await,
                (None, Some(compound)) => self.batch_together(table, &compound).await,
                (None, None) => {
                    if let Some(halt) = self.end_pass(table, stopped).await? {
                        return Ok(halt);
                    }
                    continue;
                }
            };
            let rows = match rows {
                Err(StepError::Dataset(DatasetError::Failed(Failure::Keyring(KeyringError::Stale)))) => continue,
                rows => rows?,
            };
            self.save().await?;
            *refused = 0;
            // The application's database belongs to the application.
            let due = Duration::from_secs_f64(f64::from(rows) / f64::from(self.job.rows_per_second.max(1)));
            tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        }
    }

    /// One batch of a column; how many rows it had.
    async fn batch(&mut self, table: &dyn DatasetTable, column: &DatasetColumn) -> Result<u32, StepError> {
        let lease = self.instance.lease(self.tenant).await.map_err(DatasetError::from)?;
        let field = lease.field(&self.dataset.field_table, &column.field).cloned();
        let old = lease.keyring.superseded(Managed::Data);
        let which = match (self.job.work, &field) {
            (Work::Reseal, Some(_)) if !old.is_empty() => Which::Under(&old),
            (Work::Reindex, Some(field))
                if IndexKind::ALL
                    .iter()
                    .any(|kind| field.index_of(*kind).is_some() && column.filed_in(*kind).is_some()) =>
            {
                Which::Sealed
            }
            _ => {
                self.next_column(table, column).await?;
                return Ok(0);
            }
        };
        let field = field.ok_or(DatasetError::NotFound)?;
        let page = table.page(column, which, self.job.row_at.as_deref(), BATCH).await?;
        let Some(last) = page.last().map(|row| row.at.clone()) else {
            self.next_column(table, column).await?;
            return Ok(0);
        };
        let rows = number(page.len());
        let changes = self.changes(&lease.keyring, &field, column, page).await?;
        self.write(table, column, changes).await?;
        self.job.seen += rows;
        self.job.row_at = Some(last);
        Ok(u32::try_from(rows).unwrap_or(BATCH))
    }

    /// Opens a page's values, once that is in the log, and says what shall stand in their places.
    async fn changes(
        &mut self,
        ring: &Keyring,
        field: &Field,
        column: &DatasetColumn,
        page: Vec<StoredRow>,
    ) -> Result<Vec<Replacement>, StepError> {
        let parsed: Vec<(StoredRow, Option<Sealed>)> =
            page.into_iter().map(|row| (row.sealed.parse().ok(), row)).map(|(sealed, row)| (row, sealed)).collect();
        let values: Vec<(Place<'_>, &Sealed)> = parsed
            .iter()
            .filter_map(|(row, sealed)| Some((Place { field, row: &row.row }, sealed.as_ref()?)))
            .collect();
        let ends = [parsed.first(), parsed.last()].into_iter().flatten().map(|(row, _)| row.row.as_str());
        let names = vec![field.column.clone()];
        let ends: Vec<&str> = ends.collect();
        let (receipt, fence) = self.receipt(ring, &field.table, names, &ends, values.len()).await?;
        let lease = fence.lease(self.instance).await.map_err(DatasetError::from)?;
        let moved = match self.job.work {
            Work::Reseal => lease.keyring.move_each(receipt, &field.table, &values, true, self.instance.random()),
            // Values of persons have terms, too.
            Work::Reindex | Work::Scan => {
                let strangers = strangers(&lease.keyring, values.iter().map(|(_, sealed)| *sealed));
                let subjects = self.persons(&lease.keyring, &strangers).await?;
                lease.keyring.file_each(receipt, &field.table, &subjects, &values)
            }
        };
        let moved = moved.map_err(DatasetError::from)?;
        // Keys that were stopped meanwhile write nothing: the batch is read again.
        let mut moved = fence.release(self.instance, &lease, moved).await.map_err(DatasetError::from)?.into_iter();
        let mut changes = Vec::with_capacity(parsed.len());
        let mut failed = Vec::new();
        for (row, sealed) in &parsed {
            // A value that is no lone field, or does not open, stays as it is: it is counted and told of.
            let moved = match sealed.as_ref().map(|_| moved.next()) {
                Some(Some(Ok(moved))) => moved,
                Some(Some(Err(error))) => {
                    failed.push(OpenFailure::from(&error));
                    continue;
                }
                Some(None) | None => {
                    failed.push(OpenFailure::Malformed);
                    continue;
                }
            };
            let new = moved.sealed.map_or_else(|| row.sealed.clone(), |sealed| row.sealed.alike(&sealed));
            // Terms whose column the table does not have are nobody's.
            let mut terms = moved.terms;
            terms.exact = terms.exact.filter(|_| column.terms_in.is_some());
            terms.prefix = terms.prefix.filter(|_| column.prefix_in.is_some());
            terms.bucket = terms.bucket.filter(|_| column.bucket_in.is_some());
            if new == row.sealed && terms.are_in(&row.terms) {
                continue;
            }
            changes.push(Replacement { at: row.at.clone(), old: row.sealed.clone(), new, terms });
        }
        self.tell_failed(&field.table, &failed).await?;
        Ok(changes)
    }

    /// Counts what did not open, and tells of it.
    async fn tell_failed(&mut self, table: &str, failed: &[OpenFailure]) -> Result<(), StepError> {
        self.job.failed += number(failed.len());
        self.column_failed += number(failed.len());
        let events = audit::opens_failed(self.instance, table, failed);
        let events = events.into_iter().map(|event| event.on("dataset", self.dataset.id)).collect();
        let noted = note_all(self.instance, Actor::System(&self.request), self.tenant, events).await;
        noted.map(drop).map_err(|failure| DatasetError::from(failure).into())
    }

    /// Lends the persons' keys with these handles, as they are in the store now.
    async fn persons(&self, ring: &Keyring, handles: &[Handle]) -> Result<Subjects, StepError> {
        let lent = lend::for_opening(self.instance, self.tenant, ring, handles).await;
        lent.map_err(|failure| DatasetError::from(failure).into())
    }

    /// One batch of a compound index; how many rows it had.
    async fn batch_together(&mut self, table: &dyn DatasetTable, compound: &DatasetCompound) -> Result<u32, StepError> {
        let lease = self.instance.lease(self.tenant).await.map_err(DatasetError::from)?;
        let of_table = self.dataset.field_table.clone();
        let index = lease.compounds(&of_table).iter().find(|index| index.name == compound.index).cloned();
        let Some(index) = index.filter(|_| self.job.work == Work::Reindex) else {
            self.next_together(compound).await?;
            return Ok(0);
        };
        let fields: Option<Vec<_>> =
            index.fields.iter().map(|id| lease.field_by_id(&of_table, *id).map(Arc::clone)).collect();
        let fields = fields.ok_or(DatasetError::NotFound)?;
        let column = |field: &Arc<Field>| self.dataset.columns.iter().find(|of| of.field == field.column).cloned();
        let columns: Option<Vec<DatasetColumn>> = fields.iter().map(column).collect();
        let columns = columns
            .ok_or_else(|| TableError::Shape(compound.index.clone(), "has columns that are not among the dataset's"))?;
        let page = table.parts(&columns, &compound.terms_in, self.job.row_at.as_deref(), BATCH).await?;
        let Some(last) = page.last().map(|row| row.at.clone()) else {
            self.next_together(compound).await?;
            return Ok(0);
        };
        let rows = number(page.len());
        let changes = self.changes_together(&lease.keyring, &index, &fields, page).await?;
        if !changes.is_empty() {
            let replaced = table.replace_terms(&columns, &compound.terms_in, &changes).await?;
            let moved = number(replaced.len());
            self.job.moved += moved;
            self.job.pass_moved += moved;
            self.job.overtaken += number(changes.len()).saturating_sub(moved);
        }
        self.job.seen += rows;
        self.job.row_at = Some(last);
        Ok(u32::try_from(rows).unwrap_or(BATCH))
    }

    /// Opens the values of a page's rows, once that is in the log, and says which terms shall stand beside them.
    async fn changes_together(
        &mut self,
        ring: &Keyring,
        index: &Index,
        fields: &[Arc<Field>],
        page: Vec<StoredParts>,
    ) -> Result<Vec<TermReplacement>, StepError> {
        let of_table = self.dataset.field_table.clone();
        let mut failed = Vec::new();
        let mut parsed: Vec<(StoredParts, Vec<Option<Sealed>>)> = Vec::with_capacity(page.len());
        for row in page {
            let parts: Result<Vec<Option<Sealed>>, _> =
                row.parts.iter().map(|part| part.as_ref().map(Stored::parse).transpose()).collect();
            match parts {
                Ok(parts) => parsed.push((row, parts)),
                // A part in clear, or sealed otherwise than alone: its term may be of any key.
                Err(_) => failed.push(OpenFailure::Malformed),
            }
        }
        let rows: Vec<Parts<'_>> = parsed
            .iter()
            .map(|(row, parts)| {
                let place = |field| Place { field, row: row.row.as_str() };
                let of = fields.iter().zip(parts).map(|(field, part)| Some((place(&**field), part.as_ref()?)));
                of.collect()
            })
            .collect();
        let values: Vec<&Sealed> = rows.iter().flatten().flatten().map(|(_, sealed)| *sealed).collect();
        let ends = [parsed.first(), parsed.last()].into_iter().flatten().map(|(row, _)| row.row.as_str());
        let names = fields.iter().map(|field| field.column.clone()).collect();
        let ends: Vec<&str> = ends.collect();
        let (receipt, fence) = self.receipt(ring, &of_table, names, &ends, values.len()).await?;
        let lease = fence.lease(self.instance).await.map_err(DatasetError::from)?;
        let subjects = self.persons(&lease.keyring, &strangers(&lease.keyring, values.into_iter())).await?;
        let filed = lease.keyring.file_together(receipt, &of_table, &subjects, index, &rows);
        let filed = filed.map_err(DatasetError::from)?;
        let filed = fence.release(self.instance, &lease, filed).await.map_err(DatasetError::from)?;
        let mut changes = Vec::with_capacity(filed.len());
        for ((row, _), term) in parsed.iter().zip(filed) {
            match term {
                Ok(term) if term == row.term => {}
                Ok(term) => changes.push(TermReplacement { at: row.at.clone(), parts: row.parts.clone(), term }),
                Err(error) => failed.push(OpenFailure::from(&error)),
            }
        }
        self.tell_failed(&of_table, &failed).await?;
        Ok(changes)
    }

    /// One event for the whole batch, with its first and last row.
    async fn receipt(
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

    /// Writes a batch, and reads it back. What an application wrote at the same moment stays.
    async fn write(
        &mut self,
        table: &dyn DatasetTable,
        column: &DatasetColumn,
        changes: Vec<Replacement>,
    ) -> Result<(), StepError> {
        if changes.is_empty() {
            return Ok(());
        }
        let replaced = table.replace(column, &changes).await?;
        let found = table.read(column, &replaced).await?;
        for change in changes.iter().filter(|change| replaced.contains(&change.at)) {
            let stays = found.iter().find(|row| row.at == change.at);
            // Still the old one: the database said that it wrote and did not.
            if stays.is_some_and(|row| row.sealed == change.old && change.old != change.new) {
                return Err(TableError::Shape(column.sealed_in.clone(), "does not keep what is written to it").into());
            }
        }
        let moved = number(replaced.len());
        self.job.moved += moved;
        self.job.pass_moved += moved;
        self.job.overtaken += number(changes.len()).saturating_sub(moved);
        Ok(())
    }

    /// As [`Self::next_column`], for a compound index.
    async fn next_together(&mut self, compound: &DatasetCompound) -> Result<(), StepError> {
        let settled = self.job.pass > 1 || self.settled_at(Managed::Index).await? <= self.job.created_at;
        if self.job.work == Work::Reindex && self.job.pass_moved == 0 && settled {
            let (as_of, terms) = (self.job.updated_at, Found::Terms(self.column_failed));
            let name = DatasetCompound::counted_as(&compound.index);
            self.note_counts(Managed::Index, &[(name, terms)], as_of).await?;
        }
        self.column_failed = 0;
        self.job.column_at += 1;
        self.job.row_at = None;
        Ok(())
    }

    async fn next_column(&mut self, table: &dyn DatasetTable, column: &DatasetColumn) -> Result<(), StepError> {
        // A later pass begins when nobody writes terms of an old key any more.
        let settled = self.job.pass > 1 || self.settled_at(Managed::Index).await? <= self.job.created_at;
        if self.job.work == Work::Reindex && self.job.pass_moved == 0 && settled {
            // A whole pass that found every term to be the newest one is the count of the others.
            // What is sealed otherwise than alone was in no page: its terms may be of any key.
            let as_of = self.job.updated_at;
            let other = self.count_of(table, column).await?.other;
            let terms = Found::Terms(self.column_failed + other);
            self.note_counts(Managed::Index, &[(column.field.clone(), terms)], as_of).await?;
        }
        self.column_failed = 0;
        self.job.column_at += 1;
        self.job.row_at = None;
        Ok(())
    }

    /// At the end of a pass: whether anything is left, and whether anything may still come.
    async fn end_pass(
        &mut self,
        table: &dyn DatasetTable,
        stopped: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Option<Halt>, StepError> {
        let managed = if self.job.work == Work::Reindex { Managed::Index } else { Managed::Data };
        // Other nodes may seal with the old key until their leases end.
        let settled = self.settled_at(managed).await?;
        while self.instance.now() < settled {
            if stopped() {
                return Ok(Some(Halt::Stopped));
            }
            self.save().await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let left = match self.job.work {
            Work::Reseal => self.count(table).await?,
            Work::Reindex => self.job.pass_moved,
            Work::Scan => 0,
        };
        let settled_before = self.job.pass > 1 || settled <= self.job.created_at;
        let again = left > 0 || (self.job.work == Work::Reindex && !settled_before);
        let stuck = self.job.pass > 1 && self.job.pass_moved == 0 && self.job.work == Work::Reseal;
        if !again || stuck || self.job.pass >= MAX_PASSES {
            return Ok(Some(if left == 0 { Halt::Done } else { Halt::Failed("values_left") }));
        }
        self.job.pass += 1;
        (self.job.column_at, self.job.row_at, self.job.pass_moved, self.job.failed) = (0, None, 0, 0);
        self.save().await?;
        Ok(None)
    }

    async fn settled_at(&self, managed: Managed) -> Result<Timestamp, StepError> {
        let mut view = self.instance.store().view(self.tenant).await.map_err(DatasetError::from)?;
        let versions = view.managed_versions().await.map_err(DatasetError::from)?;
        let retired =
            versions.iter().filter(|(of, _)| *of == managed).filter_map(|(_, version)| version.retired_at).max();
        Ok(retired.map_or(self.job.created_at, |retired| retired.plus_seconds(SETTLE_SECONDS)))
    }

    async fn todo(&mut self, table: &dyn DatasetTable) -> Result<u64, StepError> {
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
    async fn count_of(&mut self, table: &dyn DatasetTable, column: &DatasetColumn) -> Result<ColumnCount, StepError> {
        let mut counting = table.count(column);
        loop {
            match tokio::time::timeout(RENEW_EVERY, &mut counting).await {
                Ok(counted) => return Ok(counted?),
                Err(_) => self.save().await?,
            }
        }
    }

    /// Counts every column and notes what each version of the data key holds; how many values are under superseded ones.
    async fn count(&mut self, table: &dyn DatasetTable) -> Result<u64, StepError> {
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
    async fn note_counts(
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
            let drained = drain(&mut change, &key).await?;
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

    async fn save(&mut self) -> Result<(), DatasetError> {
        let now = self.instance.now();
        self.job.updated_at = now;
        self.job.claimed_by = Some(self.node.clone());
        self.job.claimed_until = Some(now.plus_seconds(CLAIM_SECONDS));
        let mut tx = self.instance.store().begin(self.tenant).await?;
        tx.save_dataset_job(&self.job, &self.node).await?;
        Ok(tx.commit().await?)
    }

    /// Gives the job back, to be gone on with at once by whoever comes first.
    async fn release(mut self) -> Result<(), DatasetError> {
        self.job.updated_at = self.instance.now();
        (self.job.claimed_by, self.job.claimed_until) = (None, None);
        let mut tx = self.instance.store().begin(self.tenant).await?;
        tx.save_dataset_job(&self.job, &self.node).await?;
        Ok(tx.commit().await?)
    }

    async fn end(mut self, state: JobState, problem: Option<&'static str>) -> Result<(), DatasetError> {
        let now = self.instance.now();
        (self.job.state, self.job.updated_at, self.job.ended_at) = (state, now, Some(now));
        (self.job.claimed_by, self.job.claimed_until) = (None, None);
        self.job.problem = problem.map(str::to_owned);
        let ring = self.instance.keyring(self.tenant).await?;
        let mut change = Change::begin_with(self.instance, Actor::System(&self.request), self.tenant, ring).await?;
        change.rows().save_dataset_job(&self.job, &self.node).await?;
        let failed = state == JobState::Failed;
        let event = Event::new(EventKind::DatasetJobEnded)
            .outcome(if failed { Outcome::SeriousFailure } else { Outcome::Success })
            .on("dataset", self.dataset.id)
            .with("job", Detail::Id(self.job.id.to_string()))
            .with("work", Detail::Code(self.job.work.as_str()))
            .with("count", Detail::Count(self.job.moved))
            .with("failed", Detail::Count(self.job.failed));
        Ok(change.commit(event).await?)
    }
}

/// What was found in a column.
enum Found {
    /// Its values by version of the data key.
    Values(ColumnCount),
    /// Terms that could not be derived anew, so may be under any superseded index key.
    Terms(u64),
}

impl Found {
    /// How many are under a version; none if that was not counted.
    fn of(&self, handle: Handle, superseded: bool) -> Option<u64> {
        match self {
            // What does not say its version may be of any: never taken for nothing.
            Self::Values(counted) => Some(counted.under(&[handle]) + counted.other),
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

/// Retires the versions of a key that are superseded and proven to hold nothing; whether there were any.
pub(crate) async fn drain(change: &mut Change<'_>, key: &Key) -> Result<bool, Failure> {
    let mut drained = false;
    for version in change.rows().key_versions(key.id).await? {
        if version.state != KeyState::Rotating || !census::of(change.rows(), key, &version).await?.is_zero() {
            continue;
        }
        let inactive = KeyVersion { state: KeyState::Inactive, ..version.clone() };
        change.rows().swap_key_version(&version, &inactive).await?;
        let event = Event::new(EventKind::KeyDrained)
            .on("key", key.id)
            .with("key_id", Detail::Id(version.key_id.clone()))
            .with("version", Detail::Count(version.version.into()));
        change.record(event).await?;
        drained = true;
    }
    Ok(drained)
}

enum StepError {
    Table(TableError),
    Dataset(DatasetError),
}

impl From<TableError> for StepError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

impl From<DatasetError> for StepError {
    fn from(error: DatasetError) -> Self {
        Self::Dataset(error)
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Dataset(error.into())
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The handles of values that are under no key of the tenant's own: each once.
fn strangers<'v>(ring: &Keyring, values: impl Iterator<Item = &'v Sealed>) -> Vec<Handle> {
    let mut handles: Vec<Handle> = values.map(Sealed::handle).filter(|handle| !ring.knows(*handle)).collect();
    handles.sort_unstable_by_key(|handle| handle.0);
    handles.dedup();
    handles
}
