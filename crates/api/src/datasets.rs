//! Applications' tables that are counted and re-sealed.

use axum::{Json, extract::State};
use chancery_domain::{
    datasets::{self, Dataset, DatasetColumn, DatasetCompound, DatasetJob, DatasetSpec, JobState, StartJob, Work},
    ids::DatasetJobId,
};
use chancery_middleware::{Authenticated, Body, OptionalBody, PathOf, Problem};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, page::ListBody};

/// A column with sealed values.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = DatasetColumn)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnBody {
    /// The registered field: its column's name.
    #[schema(example = "ssn")]
    column: String,
    /// The table's column with the sealed values; `<column>_encrypted` if absent.
    sealed_in: Option<String>,
    /// The table's column with the term of the whole value; none if absent.
    terms_in: Option<String>,
    /// The table's column with the terms of the value's beginnings: a JSON list in a text, or `text[]`; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix_in: Option<String>,
    /// The table's column with the term of the value's bucket; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket_in: Option<String>,
}

/// A column with the terms of a compound index, all of whose columns are in the table.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = DatasetCompound)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompoundBody {
    /// The index, by its name.
    #[schema(example = "name_and_birth")]
    index: String,
    /// The table's column with the terms.
    terms_in: String,
}

impl From<DatasetCompound> for CompoundBody {
    fn from(compound: DatasetCompound) -> Self {
        Self { index: compound.index, terms_in: compound.terms_in }
    }
}

impl From<CompoundBody> for DatasetCompound {
    fn from(compound: CompoundBody) -> Self {
        Self { index: compound.index, terms_in: compound.terms_in }
    }
}

/// Where a table is and what it holds.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PutDataset)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutDatasetBody {
    /// A file of the tenant's folder that the operator keeps; it holds the database's address.
    #[schema(example = "clinic.url")]
    database_url_file: String,
    /// The table, with its schema if it has one.
    #[schema(example = "clinic.patients")]
    table: String,
    /// The table's name in the registry of fields; the table's own if absent.
    field_table: Option<String>,
    /// The column with the row ids that values are bound to.
    #[schema(example = "id")]
    row_column: String,
    /// The columns with sealed values.
    columns: Vec<ColumnBody>,
    /// The columns with terms of compound indexes.
    #[serde(default)]
    compounds: Vec<CompoundBody>,
}

/// A registered table.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Dataset)]
pub(crate) struct DatasetBody {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// The file with the database's address. The address itself is never shown.
    database_url_file: String,
    /// The table.
    table: String,
    /// Its name in the registry of fields.
    field_table: String,
    /// The column with row ids.
    row_column: String,
    /// The columns with sealed values.
    columns: Vec<ColumnBody>,
    /// The columns with terms of compound indexes.
    compounds: Vec<CompoundBody>,
    /// Since when it is registered.
    created_at: String,
    /// When it was last changed.
    updated_at: String,
    /// By whom; empty if nobody knows.
    registered_by: String,
}

impl From<Dataset> for DatasetBody {
    fn from(dataset: Dataset) -> Self {
        let column = |column: DatasetColumn| ColumnBody {
            column: column.field,
            sealed_in: Some(column.sealed_in),
            terms_in: column.terms_in,
            prefix_in: column.prefix_in,
            bucket_in: column.bucket_in,
        };
        Self {
            id: dataset.id.to_string(),
            name: dataset.name,
            database_url_file: dataset.url_file,
            table: dataset.table,
            field_table: dataset.field_table,
            row_column: dataset.row_column,
            columns: dataset.columns.into_iter().map(column).collect(),
            compounds: dataset.compounds.into_iter().map(CompoundBody::from).collect(),
            created_at: dataset.created_at.to_string(),
            updated_at: dataset.updated_at.to_string(),
            registered_by: dataset.registered_by,
        }
    }
}

/// What a job shall do.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = StartDatasetJob)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartJobBody {
    /// `reseal`: to the newest data key, then count. `reindex`: terms under the newest index key. `scan`: count only.
    #[schema(value_type = Option<String>, default = "reseal")]
    work: Option<Work>,
    /// At most so many rows in a second: 1 to 1,000,000.
    #[schema(default = 5000, minimum = 1, maximum = 1_000_000)]
    rows_per_second: Option<u32>,
}

/// How far a job is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DatasetJob)]
pub(crate) struct JobBody {
    /// Its id.
    id: String,
    /// What it does.
    #[schema(value_type = String)]
    work: Work,
    /// queued, running, done or failed.
    #[schema(value_type = String)]
    state: JobState,
    /// Why it failed: url_file, shape, unreachable, values_left.
    #[schema(required)]
    problem: Option<String>,
    /// At most so many rows in a second.
    rows_per_second: u32,
    /// How many values there were to move when it began.
    todo: u64,
    /// How many values it looked at.
    seen: u64,
    /// How many it replaced. A batch that a crash cut off is not counted here; the census counts what is there.
    moved: u64,
    /// How many an application changed at the same moment; the application's value stayed.
    overtaken: u64,
    /// How many do not open and stayed as they are.
    failed: u64,
    /// Which pass over the table.
    pass: u32,
    /// Since when.
    created_at: String,
    /// When it last went on.
    updated_at: String,
    /// When it ended.
    #[schema(required)]
    ended_at: Option<String>,
}

impl From<DatasetJob> for JobBody {
    fn from(job: DatasetJob) -> Self {
        Self {
            id: job.id.to_string(),
            work: job.work,
            state: job.state,
            problem: job.problem,
            rows_per_second: job.rows_per_second,
            todo: job.todo,
            seen: job.seen,
            moved: job.moved,
            overtaken: job.overtaken,
            failed: job.failed,
            pass: job.pass,
            created_at: job.created_at.to_string(),
            updated_at: job.updated_at.to_string(),
            ended_at: job.ended_at.map(|at| at.to_string()),
        }
    }
}

/// Register a table with sealed values, or change its registration.
#[utoipa::path(put, path = "/v1/datasets/{name}", tag = "datasets", request_body = PutDatasetBody,
    params(("name" = String, Path, description = "The dataset: 1 to 63 of a-z 0-9 _ -.")),
    responses((status = 200, description = "The dataset.", body = DatasetBody)))]
pub(crate) async fn put_dataset(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(name): PathOf<String>,
    Body(body): Body<PutDatasetBody>,
) -> Result<Json<DatasetBody>, Problem> {
    let column = |column: ColumnBody| DatasetColumn {
        sealed_in: column.sealed_in.unwrap_or_else(|| [&column.column, "_encrypted"].concat()),
        field: column.column,
        terms_in: column.terms_in,
        prefix_in: column.prefix_in,
        bucket_in: column.bucket_in,
    };
    let spec = DatasetSpec {
        url_file: body.database_url_file,
        table: body.table,
        field_table: body.field_table,
        row_column: body.row_column,
        columns: body.columns.into_iter().map(column).collect(),
        compounds: body.compounds.into_iter().map(DatasetCompound::from).collect(),
    };
    Ok(Json(datasets::put(&app.instance, &call, &name, spec).await.or_problem()?.into()))
}

/// List the registered tables.
#[utoipa::path(get, path = "/v1/datasets", tag = "datasets",
    responses((status = 200, description = "All datasets of the tenant.", body = ListBody<DatasetBody>)))]
pub(crate) async fn list_datasets(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<ListBody<DatasetBody>>, Problem> {
    let found = datasets::list(&app.instance, &call).await.or_problem()?;
    Ok(Json(ListBody { items: found.into_iter().map(DatasetBody::from).collect(), next_cursor: None }))
}

/// Get one registered table.
#[utoipa::path(get, path = "/v1/datasets/{name}", tag = "datasets",
    params(("name" = String, Path, description = "The dataset.")),
    responses((status = 200, description = "The dataset.", body = DatasetBody)))]
pub(crate) async fn get_dataset(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(name): PathOf<String>,
) -> Result<Json<DatasetBody>, Problem> {
    Ok(Json(datasets::get(&app.instance, &call, &name).await.or_problem()?.into()))
}

/// Forget a registered table with its jobs and counts. The table itself stays as it is.
#[utoipa::path(delete, path = "/v1/datasets/{name}", tag = "datasets",
    params(("name" = String, Path, description = "The dataset.")),
    responses((status = 204, description = "It is forgotten.")))]
pub(crate) async fn delete_dataset(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(name): PathOf<String>,
) -> Result<StatusCode, Problem> {
    datasets::remove(&app.instance, &call, &name).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// Move a table's values to the newest key, or count them. Goes on by itself; ask for the job.
#[utoipa::path(post, path = "/v1/datasets/{name}/reseal", tag = "datasets", request_body = StartJobBody,
    params(("name" = String, Path, description = "The dataset.")),
    responses((status = 202, description = "The job.", body = JobBody)))]
pub(crate) async fn reseal_dataset(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(name): PathOf<String>,
    OptionalBody(body): OptionalBody<StartJobBody>,
) -> Result<(StatusCode, Json<JobBody>), Problem> {
    let job = StartJob { work: body.work.unwrap_or(Work::Reseal), rows_per_second: body.rows_per_second };
    let job = datasets::start(&app.instance, &call, &name, job).await.or_problem()?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}

/// How far a job over a table is.
#[utoipa::path(get, path = "/v1/datasets/{name}/jobs/{id}", tag = "datasets",
    params(("name" = String, Path, description = "The dataset."), ("id" = String, Path, description = "The job.")),
    responses((status = 200, description = "The job.", body = JobBody)))]
pub(crate) async fn get_dataset_job(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((name, id)): PathOf<(String, DatasetJobId)>,
) -> Result<Json<JobBody>, Problem> {
    Ok(Json(datasets::job(&app.instance, &call, &name, id).await.or_problem()?.into()))
}
