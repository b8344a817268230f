//! Tables of applications that Chancery may count and re-seal.
//!
//! Chancery stores no sealed values of applications. An application that wants its values counted and moved to
//! the newest key by itself registers the table they lie in; where the table is stands in a file that only the
//! operator can write, so no caller ever names a database.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    access::Denied,
    faults::Faults,
    ids::{DatasetId, DatasetJobId},
    indexes::IndexKind,
    instance::{Failure, fails},
    store::StoreError,
    time::Timestamp,
};

pub mod register;
pub mod start;
pub mod tables;
mod work;

pub use register::{DatasetSpec, get, list, put, remove};
pub use start::{StartJob, job, start};
pub use tables::{DatasetTable, DatasetTables, TableError};
pub use work::work;

/// A column of a dataset that holds sealed values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetColumn {
    /// The registered field: its column's name.
    pub field: String,
    /// The table's column with the sealed values.
    pub sealed_in: String,
    /// The table's column with the term of the whole value, if it has one.
    pub terms_in: Option<String>,
    /// The table's column with the terms of the value's beginnings, if it has one: a JSON list of texts, or `text[]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_in: Option<String>,
    /// The table's column with the term of the value's bucket, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_in: Option<String>,
}

impl DatasetColumn {
    /// The table's column with terms of an index of this kind.
    pub fn filed_in(&self, kind: IndexKind) -> Option<&str> {
        match kind {
            IndexKind::Exact => self.terms_in.as_deref(),
            IndexKind::Prefix => self.prefix_in.as_deref(),
            IndexKind::Bucket => self.bucket_in.as_deref(),
            IndexKind::Compound => None,
        }
    }
}

/// A column of a dataset that holds the terms of a compound index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetCompound {
    /// The index, by its name in the table of fields.
    pub index: String,
    /// The table's column with the terms.
    pub terms_in: String,
}

impl DatasetCompound {
    /// What a census calls it, where it calls a column by its field.
    pub fn counted_as(index: &str) -> String {
        format!("index/{index}")
    }
}

/// A table of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Its id.
    pub id: DatasetId,
    /// Its name: 1 to 63 of `a-z 0-9 _ -`.
    pub name: String,
    /// The file with the database's address, in the tenant's folder that the operator keeps. Never the address itself.
    pub url_file: String,
    /// The table in that database, with its schema if it has one: `patients`, `clinic.patients`.
    pub table: String,
    /// The table's name in the registry of fields.
    pub field_table: String,
    /// The column with the row ids that values are bound to.
    pub row_column: String,
    /// The columns with sealed values.
    pub columns: Vec<DatasetColumn>,
    /// The columns with terms of compound indexes.
    pub compounds: Vec<DatasetCompound>,
    /// Since when it is registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who said so last; empty if it was before this was written down. What is counted in it is believed of somebody else.
    pub registered_by: String,
}

codes! {
    /// What a job over a dataset does.
    pub enum Work {
        /// Moves sealed values to the newest data key, then counts.
        Reseal = "reseal",
        /// Derives terms anew under the newest index key.
        Reindex = "reindex",
        /// Counts the values of each version of the data key.
        Scan = "scan",
    }
}

codes! {
    /// How far a job is.
    pub enum JobState {
        /// Waits for a node.
        Queued = "queued",
        /// A node works on it, or did until it died; another one takes over.
        Running = "running",
        /// Everything was done.
        Done = "done",
        /// It ended before everything was done; `problem` says why.
        Failed = "failed",
    }
}

/// A job over a dataset, with its cursor: whoever goes on goes on from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetJob {
    /// Its id.
    pub id: DatasetJobId,
    /// Over which dataset.
    pub dataset: DatasetId,
    /// What it does.
    pub work: Work,
    /// How far it is.
    pub state: JobState,
    /// At most so many rows in a second.
    pub rows_per_second: u32,
    /// Values written under the old key while a pass runs are met by the next one.
    pub pass: u32,
    /// Which of the dataset's columns; after those come its compound indexes.
    pub column_at: u32,
    /// The last row that was done in this column.
    pub row_at: Option<String>,
    /// How many values there were to move when it began.
    pub todo: u64,
    /// How many values it looked at.
    pub seen: u64,
    /// How many it replaced. A batch that a crash cut off is not counted; the census is.
    pub moved: u64,
    /// How many an application changed at the same moment; the application's value stays.
    pub overtaken: u64,
    /// How many do not open; they stay as they are.
    pub failed: u64,
    /// How many it replaced in this pass.
    pub pass_moved: u64,
    /// Why it failed: a stable code.
    pub problem: Option<String>,
    /// The node that works on it.
    pub claimed_by: Option<String>,
    /// Until when, unless it says so again.
    pub claimed_until: Option<Timestamp>,
    /// Since when.
    pub created_at: Timestamp,
    /// When it last went on.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Reads datasets and their jobs.
#[async_trait]
pub trait DatasetRows {
    /// All of the tenant, ordered by name.
    async fn datasets(&mut self) -> Result<Vec<Dataset>, StoreError>;
    /// By name.
    async fn dataset(&mut self, name: &str) -> Result<Option<Dataset>, StoreError>;
    /// One job.
    async fn dataset_job(&mut self, id: DatasetJobId) -> Result<Option<DatasetJob>, StoreError>;
    /// The jobs of the tenant that have not ended, oldest first.
    async fn open_dataset_jobs(&mut self) -> Result<Vec<DatasetJob>, StoreError>;
}

/// Changes datasets and their jobs.
#[async_trait]
pub trait DatasetWrites {
    /// Adds the dataset, or replaces the one with the same id. [`StoreError::Taken`]`("dataset")` for a name in use.
    async fn put_dataset(&mut self, dataset: &Dataset) -> Result<(), StoreError>;
    /// Removes it with its jobs and counts. The application's table stays as it is.
    async fn delete_dataset(&mut self, id: DatasetId) -> Result<(), StoreError>;
    /// Adds a job.
    async fn insert_dataset_job(&mut self, job: &DatasetJob) -> Result<(), StoreError>;
    /// Takes a job that has not ended for `node` until `until`, if nobody else has it at `now`; `false` if somebody has.
    async fn claim_dataset_job(
        &mut self,
        id: DatasetJobId,
        node: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Notes how far a job is, and lengthens or ends its claim. [`StoreError::Changed`]`("dataset_job")` if the job is
    /// no longer that of `node`.
    async fn save_dataset_job(&mut self, job: &DatasetJob, node: &str) -> Result<(), StoreError>;
}

/// Why a dataset or a job over one was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The definition is not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is none with this name, or no such job over it.
    #[error("no such dataset or job")]
    NotFound,
    /// A job over it has not ended.
    #[error("a job over this dataset has not ended")]
    Busy,
    /// The application's database does not answer.
    #[error("the dataset's database does not answer")]
    Unreachable(#[source] TableError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(DatasetError);
