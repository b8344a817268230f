//! Does the jobs over datasets, batch by batch.
//!
//! Every batch is whole in itself: its event is durable before a value is opened, a value is replaced only where it is still the one
//! that was read, and what was written is read back. So a job may die anywhere and go on from its last noted row: what was
//! moved already is under the newest key and is not looked at again.

use std::time::{Duration, Instant};

use super::{Dataset, DatasetError, DatasetJob, DatasetTable, JobState, TableError, Work};
use crate::{
    Instance,
    access::RequestInfo,
    census::SETTLE_SECONDS,
    ids::{DatasetJobId, RequestId, TenantId},
    instance::Failure,
    keyring::{KeyringError, Managed},
    store::StoreError,
    time::Timestamp,
};

mod batch;
mod claim;
mod column;
mod compound;
mod count;

/// Rows of one batch: one event, one statement, one transaction in the application's database.
const BATCH: u32 = 500;
/// How long a node has a job without saying so again. Longer than any batch takes; counting takes as long as it takes.
const CLAIM_SECONDS: i64 = 20;
/// How often a node says that a job is its own while it waits.
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How often a database that does not answer is asked again before the job fails, and for how long in all.
const PATIENCE: u32 = 30;
const SILENT_FOR: Duration = Duration::from_secs(10 * 60);
/// The longest that one batch, or opening a table, may take. What takes longer lost the job to another node long ago.
const BATCH_WITHIN: Duration = Duration::from_secs(60);
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
        key: None,
        route: "datasets.work",
        method: "JOB",
    };
    // In the middle of a column: what failed in it was noted with that of the whole pass. More than the truth, so never a false zero.
    let column_failed = if job.row_at.is_some() { job.failed } else { 0 };
    Worker { instance, tenant, node, request, dataset, job, column_failed, stopped }.run().await
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
    /// Whether the node shall stop.
    stopped: &'a (dyn Fn() -> bool + Send + Sync),
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
    async fn run(mut self) -> Result<(), DatasetError> {
        let mut silence = Silence::new();
        loop {
            let opened = within(BATCH_WITHIN, self.instance.tables().open(self.tenant, &self.dataset)).await;
            let outcome = match opened {
                Ok(table) => self.go_on(&*table, &mut silence).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(Halt::Stopped) => return self.release().await,
                Ok(Halt::Done) => return self.end(JobState::Done, None).await,
                Ok(Halt::Failed(problem)) => return self.end(JobState::Failed, Some(problem)).await,
                Err(StepError::Table(TableError::Unavailable(error))) if silence.is_borne() => {
                    let refused = silence.refused;
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
                Err(StepError::Stopped) => return self.release().await,
            }
            if (self.stopped)() {
                return self.release().await;
            }
        }
    }

    async fn go_on(&mut self, table: &dyn DatasetTable, silence: &mut Silence) -> Result<Halt, StepError> {
        if self.job.work == Work::Scan {
            self.count(table).await?;
            return Ok(Halt::Done);
        }
        if self.job.pass == 1 && self.job.seen == 0 {
            self.job.todo = self.todo(table).await?;
        }
        loop {
            if (self.stopped)() {
                return Ok(Halt::Stopped);
            }
            let at = usize::try_from(self.job.column_at).unwrap_or(usize::MAX);
            let column = self.dataset.columns.get(at).cloned();
            let after = at.checked_sub(self.dataset.columns.len());
            let compound = after.and_then(|at| self.dataset.compounds.get(at)).cloned();
            let began = Instant::now();
            let rows = match (column, compound) {
                (Some(column), _) => within(BATCH_WITHIN, self.batch(table, &column)).await,
                (None, Some(compound)) => within(BATCH_WITHIN, self.batch_together(table, &compound)).await,
                (None, None) => {
                    if let Some(halt) = self.end_pass(table).await? {
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
            *silence = Silence::new();
            // The application's database belongs to the application.
            let due = Duration::from_secs_f64(f64::from(rows) / f64::from(self.job.rows_per_second.max(1)));
            self.rest(due.saturating_sub(began.elapsed())).await?;
        }
    }

    /// Waits, and says meanwhile that the job is still this node's.
    async fn rest(&mut self, time: Duration) -> Result<(), StepError> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left <= RENEW_EVERY {
                tokio::time::sleep(left).await;
                return Ok(());
            }
            tokio::time::sleep(RENEW_EVERY).await;
            if (self.stopped)() {
                return Err(StepError::Stopped);
            }
            self.save().await?;
        }
    }

    /// At the end of a pass: whether anything is left, and whether anything may still come.
    async fn end_pass(&mut self, table: &dyn DatasetTable) -> Result<Option<Halt>, StepError> {
        let managed = if self.job.work == Work::Reindex { Managed::Index } else { Managed::Data };
        // Other nodes may seal with the old key until their leases end.
        let settled = self.settled_at(managed).await?;
        while self.instance.now() < settled {
            if (self.stopped)() {
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
}

/// For how long a database does not answer. A job is one of few that a node does at a time: it is not kept by a database that
/// says nothing, however slowly it does so.
struct Silence {
    refused: u32,
    since: Instant,
}

impl Silence {
    fn new() -> Self {
        Self { refused: 0, since: Instant::now() }
    }

    /// Whether the database is asked once more.
    fn is_borne(&mut self) -> bool {
        self.refused += 1;
        self.refused <= PATIENCE && self.since.elapsed() < SILENT_FOR
    }
}

/// What takes longer than a batch may is given up: every batch is whole in itself, or is done again.
async fn within<T, E: Into<StepError>>(
    longest: Duration,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, StepError> {
    match tokio::time::timeout(longest, step).await {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(_) => Err(TableError::Unavailable("the database does not answer".into()).into()),
    }
}

enum StepError {
    Table(TableError),
    Dataset(DatasetError),
    /// The node shall stop.
    Stopped,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_says_nothing_is_borne_for_ten_minutes_and_thirty_times() {
        let mut often = Silence::new();
        assert_eq!((0..100).filter(|_| often.is_borne()).count(), 30);
        let Some(since) = Instant::now().checked_sub(SILENT_FOR) else { return };
        assert!(!Silence { refused: 0, since }.is_borne(), "once was enough");
    }

    #[tokio::test]
    async fn a_batch_that_hangs_is_given_up() {
        let hangs = std::future::pending::<Result<(), TableError>>();
        let given_up = within(Duration::from_millis(10), hangs).await;
        assert!(matches!(given_up, Err(StepError::Table(TableError::Unavailable(_)))));
        assert!(within(BATCH_WITHIN, async { Ok::<_, TableError>(()) }).await.is_ok());
    }
}
