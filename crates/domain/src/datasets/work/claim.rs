//! Whose job it is, and how far.

use super::{CLAIM_SECONDS, Worker};
use crate::{
    audit::{Change, Detail, Event, EventKind, Outcome, stamp::Actor},
    datasets::{DatasetError, JobState},
};

impl Worker<'_> {
    pub(super) async fn save(&mut self) -> Result<(), DatasetError> {
        let now = self.instance.now();
        self.job.updated_at = now;
        self.job.claimed_by = Some(self.node.clone());
        self.job.claimed_until = Some(now.plus_seconds(CLAIM_SECONDS));
        let mut tx = self.instance.store().begin(self.tenant).await?;
        tx.save_dataset_job(&self.job, &self.node).await?;
        Ok(tx.commit().await?)
    }

    /// Gives the job back, to be gone on with at once by whoever comes first.
    pub(super) async fn release(mut self) -> Result<(), DatasetError> {
        self.job.updated_at = self.instance.now();
        (self.job.claimed_by, self.job.claimed_until) = (None, None);
        let mut tx = self.instance.store().begin(self.tenant).await?;
        tx.save_dataset_job(&self.job, &self.node).await?;
        Ok(tx.commit().await?)
    }

    pub(super) async fn end(mut self, state: JobState, problem: Option<&'static str>) -> Result<(), DatasetError> {
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
