//! Starts jobs over datasets, and tells how far they are.

use super::{DatasetError, DatasetJob, JobState, Work};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    ids::DatasetJobId,
};

/// Rows in a second if nothing is said.
pub const DEFAULT_ROWS_PER_SECOND: u32 = 5_000;
/// The most that may be asked for.
pub const MAX_ROWS_PER_SECOND: u32 = 1_000_000;

/// What a job shall do.
#[derive(Debug, Clone, Copy)]
pub struct StartJob {
    /// What.
    pub work: Work,
    /// At most so many rows in a second.
    pub rows_per_second: Option<u32>,
}

/// Starts a job over a dataset. It goes on by itself, on whatever node takes it up.
///
/// # Errors
///
/// [`DatasetError`]; [`DatasetError::Busy`] while another job over it has not ended.
pub async fn start(instance: &Instance, call: &Call, name: &str, job: StartJob) -> Result<DatasetJob, DatasetError> {
    call.require(Permission::DatasetsWrite)?;
    let rows_per_second = job.rows_per_second.unwrap_or(DEFAULT_ROWS_PER_SECOND);
    if !(1..=MAX_ROWS_PER_SECOND).contains(&rows_per_second) {
        return Err(Faults::one("/rows_per_second", "range", "use 1 to 1000000").into());
    }
    let now = instance.now();
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    // One after the other, so that of two at once one finds the other's job.
    change.rows().hold_tenant().await?;
    let dataset = change.rows().dataset(name).await?.ok_or(DatasetError::NotFound)?;
    if change.rows().open_dataset_jobs().await?.iter().any(|job| job.dataset == dataset.id) {
        return Err(DatasetError::Busy);
    }
    let job = DatasetJob {
        id: DatasetJobId::make(now, instance.random())?,
        dataset: dataset.id,
        work: job.work,
        state: JobState::Queued,
        rows_per_second,
        pass: 1,
        column_at: 0,
        row_at: None,
        todo: 0,
        seen: 0,
        moved: 0,
        overtaken: 0,
        failed: 0,
        pass_moved: 0,
        problem: None,
        claimed_by: None,
        claimed_until: None,
        created_at: now,
        updated_at: now,
        ended_at: None,
    };
    change.rows().insert_dataset_job(&job).await?;
    let event = Event::new(EventKind::DatasetJobStarted)
        .on("dataset", dataset.id)
        .with("job", Detail::Id(job.id.to_string()))
        .with("work", Detail::Code(job.work.as_str()));
    change.commit(event).await?;
    instance.note_due_datasets(call.tenant());
    Ok(job)
}

/// How far a job is.
///
/// # Errors
///
/// [`DatasetError`].
pub async fn job(instance: &Instance, call: &Call, name: &str, id: DatasetJobId) -> Result<DatasetJob, DatasetError> {
    call.require(Permission::DatasetsWrite)?;
    let mut view = instance.store().view(call.tenant()).await?;
    let dataset = view.dataset(name).await?.ok_or(DatasetError::NotFound)?;
    let job = view.dataset_job(id).await?.filter(|job| job.dataset == dataset.id).ok_or(DatasetError::NotFound)?;
    drop(view);
    note(instance, call, call.tenant(), Event::new(EventKind::DatasetRead).on("dataset", dataset.id)).await?;
    Ok(job)
}
