//! Registers applications' tables.

use super::{Dataset, DatasetColumn, DatasetCompound, DatasetError, TableError};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    fields::Field,
    ids::DatasetId,
    indexes::{Index, IndexKind},
    lockdown::refuse_suspects,
};

/// The most columns of one dataset.
const MAX_COLUMNS: usize = 64;
/// The most datasets of one tenant.
const MAX_DATASETS: usize = 200;

/// What a dataset shall be.
#[derive(Debug)]
pub struct DatasetSpec {
    /// A file in the tenant's folder that the operator keeps.
    pub url_file: String,
    /// The table, with its schema if it has one.
    pub table: String,
    /// Its name in the registry of fields; without one, the table's own.
    pub field_table: Option<String>,
    /// The column with row ids.
    pub row_column: String,
    /// The columns with sealed values.
    pub columns: Vec<DatasetColumn>,
    /// The columns with terms of compound indexes.
    pub compounds: Vec<DatasetCompound>,
}

/// Registers a table of the caller's tenant, or changes its registration. Looks at the table before it answers.
///
/// # Errors
///
/// [`DatasetError`].
pub async fn put(instance: &Instance, call: &Call, name: &str, spec: DatasetSpec) -> Result<Dataset, DatasetError> {
    call.require(Permission::DatasetsWrite)?;
    let tenant = call.tenant();
    let field_table = spec.field_table.clone().unwrap_or_else(|| own_name(&spec.table).to_owned());
    let mut view = instance.store().view(tenant).await?;
    let fields = view.fields().await?;
    let known = view.datasets().await?;
    let indexes = view.indexes().await?;
    drop(view);
    check(name, &spec, &field_table, &fields)?;
    check_compounds(&spec, &field_table, &fields, &indexes)?;
    let before = known.iter().find(|dataset| dataset.name == name);
    if before.is_none() && known.len() >= MAX_DATASETS {
        return Err(Faults::one("/name", "too_many", "a tenant has at most 200 datasets").into());
    }
    let now = instance.now();
    let dataset = Dataset {
        id: before.map_or_else(|| DatasetId::make(now, instance.random()), |dataset| Ok(dataset.id))?,
        name: name.to_owned(),
        url_file: spec.url_file,
        table: spec.table,
        field_table,
        row_column: spec.row_column,
        columns: spec.columns,
        compounds: spec.compounds,
        created_at: before.map_or(now, |dataset| dataset.created_at),
        updated_at: now,
        registered_by: call.caller.subject().to_string(),
    };
    instance.tables().open(tenant, &dataset).await.map_err(of_table)?;
    let mut change = Change::begin(instance, call, tenant).await?;
    if before.is_none() {
        refuse_suspects::<DatasetError>(instance, change.rows(), &[("/name", name)]).await?;
    }
    if change.rows().open_dataset_jobs().await?.iter().any(|job| job.dataset == dataset.id) {
        return Err(DatasetError::Busy);
    }
    // What was counted before may have been another table's: the counts go with the old registration.
    if before.is_some_and(|before| {
        before.table != dataset.table
            || before.field_table != dataset.field_table
            || before.row_column != dataset.row_column
            || before.columns != dataset.columns
            || before.compounds != dataset.compounds
            || before.url_file != dataset.url_file
    }) {
        change.rows().delete_dataset(dataset.id).await?;
    }
    change.rows().put_dataset(&dataset).await?;
    let event = Event::new(EventKind::DatasetRegistered)
        .on("dataset", dataset.id)
        .with("table", Detail::Names(vec![dataset.field_table.clone()]))
        .with("columns", Detail::Names(dataset.columns.iter().map(|column| column.field.clone()).collect()));
    change.commit(event).await?;
    Ok(dataset)
}

/// The datasets of the caller's tenant.
///
/// # Errors
///
/// [`DatasetError`].
pub async fn list(instance: &Instance, call: &Call) -> Result<Vec<Dataset>, DatasetError> {
    call.require(Permission::DatasetsWrite)?;
    let found = instance.store().view(call.tenant()).await?.datasets().await?;
    note(instance, call, call.tenant(), Event::new(EventKind::DatasetRead)).await?;
    Ok(found)
}

/// One dataset of the caller's tenant.
///
/// # Errors
///
/// [`DatasetError`].
pub async fn get(instance: &Instance, call: &Call, name: &str) -> Result<Dataset, DatasetError> {
    call.require(Permission::DatasetsWrite)?;
    let found = instance.store().view(call.tenant()).await?.dataset(name).await?.ok_or(DatasetError::NotFound)?;
    note(instance, call, call.tenant(), Event::new(EventKind::DatasetRead).on("dataset", found.id)).await?;
    Ok(found)
}

/// Forgets a dataset, its jobs and its counts. The table itself stays as it is.
///
/// # Errors
///
/// [`DatasetError`].
pub async fn remove(instance: &Instance, call: &Call, name: &str) -> Result<(), DatasetError> {
    call.require(Permission::DatasetsWrite)?;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let found = change.rows().dataset(name).await?.ok_or(DatasetError::NotFound)?;
    change.rows().delete_dataset(found.id).await?;
    change.commit(Event::new(EventKind::DatasetRemoved).on("dataset", found.id)).await?;
    Ok(())
}

/// What the caller can mend is the caller's fault.
pub(super) fn of_table(error: TableError) -> DatasetError {
    match error {
        TableError::UrlFile(problem) => {
            Faults::one("/database_url_file", "unusable", format!("the file {problem}")).into()
        }
        TableError::Shape(what, problem) => Faults::one("/table", "shape", format!("{what} {problem}")).into(),
        error @ TableError::Unavailable(_) => DatasetError::Unreachable(error),
    }
}

fn own_name(table: &str) -> &str {
    table.rsplit('.').next().unwrap_or(table)
}

/// A name as both engines and the registry take it.
fn is_name(text: &str) -> bool {
    let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts && text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn check(name: &str, spec: &DatasetSpec, field_table: &str, fields: &[Field]) -> Result<(), Faults> {
    const NAME: &str = "use a letter or _, then up to 62 letters, digits or _";
    let mut faults = Faults::default();
    let plain = |text: &str, more: &[u8]| {
        (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    if !plain(name, b"_-") || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        faults.add("/name", "format", "use 1 to 63 of a-z, 0-9, _ and -");
    }
    // A plain name and nothing that leads elsewhere: the folder is the operator's.
    if !plain(&spec.url_file, b"_-.") || spec.url_file.starts_with('.') {
        faults.add(
            "/database_url_file",
            "format",
            "name a file of the tenant's folder: 1 to 63 of A-Z, a-z, 0-9, _, - and .",
        );
    }
    let parts: Vec<&str> = spec.table.split('.').collect();
    if parts.len() > 2 || !parts.iter().all(|part| is_name(part)) {
        faults.add("/table", "format", NAME);
    }
    if !is_name(&spec.row_column) {
        faults.add("/row_column", "format", NAME);
    }
    if spec.columns.is_empty() || spec.columns.len() > MAX_COLUMNS {
        faults.add("/columns", "length", "name 1 to 64 columns");
    }
    for (at, column) in spec.columns.iter().enumerate() {
        let names = [
            ("sealed_in", Some(column.sealed_in.as_str())),
            ("terms_in", column.terms_in.as_deref()),
            ("prefix_in", column.prefix_in.as_deref()),
            ("bucket_in", column.bucket_in.as_deref()),
        ];
        for (member, text) in names {
            if text.is_some_and(|text| !is_name(text)) {
                faults.add(format!("/columns/{at}/{member}"), "format", NAME);
            }
        }
        match fields.iter().find(|field| field.table == field_table && field.column == column.field) {
            None => faults.add(format!("/columns/{at}/column"), "unknown", "is no registered field of this table"),
            Some(field) if !field.encrypt => {
                faults.add(format!("/columns/{at}/column"), "not_encrypted", "is kept in clear");
            }
            Some(field) => {
                let members = [
                    ("terms_in", IndexKind::Exact),
                    ("prefix_in", IndexKind::Prefix),
                    ("bucket_in", IndexKind::Bucket),
                ];
                for (member, kind) in members {
                    if field.index_of(kind).is_none() && column.filed_in(kind).is_some() {
                        faults.add(format!("/columns/{at}/{member}"), "not_indexed", "the field has no such index");
                    }
                }
            }
        }
        if spec.columns.iter().take(at).any(|other| other.field == column.field || other.sealed_in == column.sealed_in)
        {
            faults.add(format!("/columns/{at}"), "twice", "is named twice");
        }
    }
    faults.check()
}

/// A compound index is filed by a job only if all of its columns are in the table.
fn check_compounds(spec: &DatasetSpec, field_table: &str, fields: &[Field], indexes: &[Index]) -> Result<(), Faults> {
    let mut faults = Faults::default();
    let here = |id| fields.iter().find(|field| field.id == id).filter(|field| field.table == field_table);
    for (at, compound) in spec.compounds.iter().enumerate() {
        if !is_name(&compound.terms_in) {
            faults.add(format!("/compounds/{at}/terms_in"), "format", "use a letter or _, then letters, digits or _");
        }
        if spec.compounds.iter().take(at).any(|other| other.index == compound.index) {
            faults.add(format!("/compounds/{at}"), "twice", "is named twice");
        }
        let live = |index: &&Index| index.kind == IndexKind::Compound && index.newest().is_some();
        let named = |index: &&Index| index.name == compound.index && index.fields.iter().all(|id| here(*id).is_some());
        match indexes.iter().filter(live).find(named) {
            None => faults.add(format!("/compounds/{at}/index"), "unknown", "is no compound index of this table"),
            Some(index) => {
                let mapped = |id| here(id).is_some_and(|f| spec.columns.iter().any(|column| column.field == f.column));
                if !index.fields.iter().all(|id| mapped(*id)) {
                    let message = "all columns of the index must be among the dataset's columns";
                    faults.add(format!("/compounds/{at}/index"), "incomplete", message);
                }
            }
        }
    }
    // One column of the table has one meaning.
    let columns = spec.columns.iter().flat_map(|column| {
        let terms = [&column.terms_in, &column.prefix_in, &column.bucket_in];
        std::iter::once(column.sealed_in.as_str()).chain(terms.into_iter().filter_map(|name| name.as_deref()))
    });
    let mut named: Vec<&str> =
        columns.chain(spec.compounds.iter().map(|compound| compound.terms_in.as_str())).collect();
    named.sort_unstable();
    if named.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
        faults.add("/columns", "twice", "a column of the table is named for two things");
    }
    faults.check()
}
