use async_trait::async_trait;
use chancery_domain::datasets::{Dataset, DatasetColumn, DatasetCompound, DatasetJob, DatasetRows, DatasetWrites};
use chancery_domain::ids::{DatasetId, DatasetJobId};
use chancery_domain::store::StoreError;
use chancery_domain::time::Timestamp;

use crate::rows::swapped;
use crate::{Driver, Row, Rows, Value};

macro_rules! select_dataset {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, url_file, source_table, field_table, row_column, columns, created_at, updated_at,
                registered_by
             FROM datasets WHERE tenant_id = $1 ",
            $rest
        )
    };
}

macro_rules! select_job {
    ($rest:literal) => {
        concat!(
            "SELECT id, dataset, work, state, rows_per_second, pass, column_at, row_at, todo, seen, moved, overtaken, failed,
                pass_moved, problem, claimed_by, claimed_until, created_at, updated_at, ended_at
             FROM dataset_jobs WHERE tenant_id = $1 ",
            $rest
        )
    };
}

/// A list of columns, or an object with them and the columns of compound indexes.
fn read_columns(text: &str) -> Option<(Vec<DatasetColumn>, Vec<DatasetCompound>)> {
    use serde_json::{Value, from_str, from_value};
    match from_str(text).ok()? {
        Value::Object(mut parts) => {
            let (columns, compounds) = (parts.remove("columns")?, parts.remove("compounds")?);
            Some((from_value(columns).ok()?, from_value(compounds).ok()?))
        }
        list => Some((from_value(list).ok()?, Vec::new())),
    }
}

fn write_columns(dataset: &Dataset) -> Result<String, serde_json::Error> {
    let columns = serde_json::to_value(&dataset.columns)?;
    if dataset.compounds.is_empty() {
        return Ok(columns.to_string());
    }
    let compounds = serde_json::to_value(&dataset.compounds)?;
    Ok(serde_json::Value::from_iter([("columns", columns), ("compounds", compounds)]).to_string())
}

fn read_dataset(row: &mut Row) -> Result<Dataset, StoreError> {
    let mut dataset = Dataset {
        id: row.parsed()?,
        name: row.text()?,
        url_file: row.text()?,
        table: row.text()?,
        field_table: row.text()?,
        row_column: row.text()?,
        columns: Vec::new(),
        compounds: Vec::new(),
        created_at: Timestamp::from_micros(0),
        updated_at: Timestamp::from_micros(0),
        registered_by: String::new(),
    };
    let columns = row.text()?;
    (dataset.columns, dataset.compounds) = read_columns(&columns).ok_or_else(|| row.damaged())?;
    (dataset.created_at, dataset.updated_at) = (row.time()?, row.time()?);
    dataset.registered_by = row.text()?;
    Ok(dataset)
}

fn read_job(row: &mut Row) -> Result<DatasetJob, StoreError> {
    Ok(DatasetJob {
        id: row.parsed()?,
        dataset: row.parsed()?,
        work: row.parsed()?,
        state: row.parsed()?,
        rows_per_second: row.number()?,
        pass: row.number()?,
        column_at: row.number()?,
        row_at: row.opt_text()?,
        todo: row.number()?,
        seen: row.number()?,
        moved: row.number()?,
        overtaken: row.number()?,
        failed: row.number()?,
        pass_moved: row.number()?,
        problem: row.opt_text()?,
        claimed_by: row.opt_text()?,
        claimed_until: row.opt_time()?,
        created_at: row.time()?,
        updated_at: row.time()?,
        ended_at: row.opt_time()?,
    })
}

#[async_trait]
impl<D: Driver> DatasetRows for Rows<D> {
    async fn datasets(&mut self) -> Result<Vec<Dataset>, StoreError> {
        self.all("dataset", select_dataset!("ORDER BY name"), [], read_dataset).await
    }

    async fn dataset(&mut self, name: &str) -> Result<Option<Dataset>, StoreError> {
        self.one("dataset", select_dataset!("AND name = $2"), [name.into()], read_dataset).await
    }

    async fn dataset_job(&mut self, id: DatasetJobId) -> Result<Option<DatasetJob>, StoreError> {
        self.one("dataset_job", select_job!("AND id = $2"), [Value::text(id)], read_job).await
    }

    async fn open_dataset_jobs(&mut self) -> Result<Vec<DatasetJob>, StoreError> {
        let sql = select_job!("AND state IN ('queued', 'running') ORDER BY id");
        self.all("dataset_job", sql, [], read_job).await
    }
}

#[async_trait]
impl<D: Driver> DatasetWrites for Rows<D> {
    async fn put_dataset(&mut self, dataset: &Dataset) -> Result<(), StoreError> {
        let columns = write_columns(dataset).map_err(|error| StoreError::Unavailable(error.into()))?;
        self.execute(
            "INSERT INTO datasets (tenant_id, id, name, url_file, source_table, field_table, row_column, columns,
                created_at, updated_at, registered_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             ON CONFLICT (tenant_id, id) DO UPDATE SET
                name = excluded.name, url_file = excluded.url_file, source_table = excluded.source_table,
                field_table = excluded.field_table, row_column = excluded.row_column, columns = excluded.columns,
                updated_at = excluded.updated_at, registered_by = excluded.registered_by",
            [
                Value::text(dataset.id),
                dataset.name.as_str().into(),
                dataset.url_file.as_str().into(),
                dataset.table.as_str().into(),
                dataset.field_table.as_str().into(),
                dataset.row_column.as_str().into(),
                columns.as_str().into(),
                Value::time(dataset.created_at),
                Value::time(dataset.updated_at),
                dataset.registered_by.as_str().into(),
            ],
        )
        .await?;
        Ok(())
    }

    async fn delete_dataset(&mut self, id: DatasetId) -> Result<(), StoreError> {
        let sql = "DELETE FROM census_counts WHERE tenant_id = $1 AND dataset = $2";
        self.execute(sql, [Value::text(id)]).await?;
        self.execute("DELETE FROM datasets WHERE tenant_id = $1 AND id = $2", [Value::text(id)]).await?;
        Ok(())
    }

    async fn insert_dataset_job(&mut self, job: &DatasetJob) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO dataset_jobs (tenant_id, id, dataset, work, state, rows_per_second, pass, column_at, row_at, todo,
                seen, moved, overtaken, failed, pass_moved, problem, claimed_by, claimed_until, created_at, updated_at, ended_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
            [
                Value::text(job.id),
                Value::text(job.dataset),
                Value::text(job.work),
                Value::text(job.state),
                job.rows_per_second.into(),
                job.pass.into(),
                job.column_at.into(),
                Value::opt_text(job.row_at.as_deref()),
                Value::count(job.todo),
                Value::count(job.seen),
                Value::count(job.moved),
                Value::count(job.overtaken),
                Value::count(job.failed),
                Value::count(job.pass_moved),
                Value::opt_text(job.problem.as_deref()),
                Value::opt_text(job.claimed_by.as_deref()),
                Value::opt_time(job.claimed_until),
                Value::time(job.created_at),
                Value::time(job.updated_at),
                Value::opt_time(job.ended_at),
            ],
        )
        .await?;
        Ok(())
    }

    async fn claim_dataset_job(
        &mut self,
        id: DatasetJobId,
        node: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                "UPDATE dataset_jobs SET state = 'running', claimed_by = $3, claimed_until = $5
                 WHERE tenant_id = $1 AND id = $2 AND state IN ('queued', 'running')
                    AND (claimed_by IS NULL OR claimed_by = $3 OR claimed_until <= $4)",
                [Value::text(id), node.into(), Value::time(now), Value::time(until)],
            )
            .await?;
        Ok(changed == 1)
    }

    async fn save_dataset_job(&mut self, job: &DatasetJob, node: &str) -> Result<(), StoreError> {
        let changed = self
            .execute(
                "UPDATE dataset_jobs SET state = $4, pass = $5, column_at = $6, row_at = $7, todo = $8, seen = $9, moved = $10,
                    overtaken = $11, failed = $12, pass_moved = $13, problem = $14, claimed_by = $15, claimed_until = $16,
                    updated_at = $17, ended_at = $18
                 WHERE tenant_id = $1 AND id = $2 AND claimed_by = $3",
                [
                    Value::text(job.id),
                    node.into(),
                    Value::text(job.state),
                    job.pass.into(),
                    job.column_at.into(),
                    Value::opt_text(job.row_at.as_deref()),
                    Value::count(job.todo),
                    Value::count(job.seen),
                    Value::count(job.moved),
                    Value::count(job.overtaken),
                    Value::count(job.failed),
                    Value::count(job.pass_moved),
                    Value::opt_text(job.problem.as_deref()),
                    Value::opt_text(job.claimed_by.as_deref()),
                    Value::opt_time(job.claimed_until),
                    Value::time(job.updated_at),
                    Value::opt_time(job.ended_at),
                ],
            )
            .await?;
        swapped(changed, "dataset_job")
    }
}
