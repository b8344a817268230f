//! Defines indexes over several columns, and gives them up.

use super::{Index, IndexKind, Rule, VersionError};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    fields::{Field, FieldType, NormalForm, Normalizer, define::check_column_name, index::check_bits},
    ids::IndexId,
    instance::{Failure, fails},
    lockdown::refuse_suspects,
};

/// The most columns of one index.
const MAX_COLUMNS: usize = 8;

/// What a compound index shall be.
#[derive(Debug, Clone)]
pub struct CompoundSpec {
    /// Its columns in order, 2 to 8, with what counts as equal; `None` takes that of the column's own index, else
    /// [`Normalizer::Exact`].
    pub columns: Vec<(String, Option<NormalForm>)>,
    /// Length of a term: a multiple of 8, from 8 to 256.
    pub bits: u16,
    /// The table has no rows yet, so it covers all of them from the start.
    pub empty: bool,
}

/// Why an index was not defined or changed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The definition is not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is none.
    #[error("no such index")]
    NotFound,
    /// An index keeps its columns.
    #[error("the columns of an index cannot change")]
    Fixed,
    /// Its version does not move.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(IndexError);

/// Defines an index over several columns of a table, or changes its rule.
///
/// # Errors
///
/// [`IndexError`].
pub async fn define(
    instance: &Instance,
    call: &Call,
    table: &str,
    name: &str,
    spec: &CompoundSpec,
) -> Result<Index, IndexError> {
    call.require(Permission::FieldsWrite)?;
    let now = instance.now();
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    let fields = change.rows().fields().await?;
    let columns = check(&fields, table, name, spec)?;
    let first = columns.first().map(|(field, _)| *field).ok_or(Failure::Internal("an index without columns"))?;
    let rule = Rule::Compound { forms: columns.iter().map(|(_, form)| *form).collect(), bits: spec.bits };
    let of: Vec<_> = columns.iter().map(|(field, _)| field.id).collect();
    let known = find(change.rows().indexes().await?, first, name);
    if known.as_ref().is_some_and(|known| known.fields != of) {
        return Err(IndexError::Fixed);
    }
    if known.is_none() {
        refuse_suspects::<IndexError>(instance, change.rows(), &[("/name", name)]).await?;
    }
    let index = match known {
        Some(known) => known,
        None => Index {
            id: IndexId::make(now, instance.random())?,
            table_id: first.table_id,
            name: name.to_owned(),
            kind: IndexKind::Compound,
            fields: of,
            versions: Vec::new(),
        },
    };
    let index = index.with_rule(rule, !spec.empty, now)?;
    change.rows().put_index(&index).await?;
    let event = Event::new(EventKind::IndexDefined)
        .on("index", index.id)
        .with("index", Detail::Names(vec![table.to_owned(), name.to_owned()]))
        .with("columns", Detail::Names(columns.iter().map(|(field, _)| field.column.clone()).collect()));
    change.commit(event).await?;
    instance.end_lease(call.tenant());
    Ok(index)
}

/// Gives a compound index up: no row is filed or found under it any more.
///
/// # Errors
///
/// [`IndexError`].
pub async fn drop(instance: &Instance, call: &Call, table: &str, name: &str) -> Result<(), IndexError> {
    call.require(Permission::FieldsWrite)?;
    let now = instance.now();
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_tenant().await?;
    let fields = change.rows().fields().await?;
    let field = fields.iter().find(|field| field.table == table).ok_or(IndexError::NotFound)?;
    let index = find(change.rows().indexes().await?, field, name).filter(|index| index.newest().is_some());
    let index = index.ok_or(IndexError::NotFound)?.dropped(now);
    change.rows().put_index(&index).await?;
    let names = Detail::Names(vec![table.to_owned(), name.to_owned()]);
    change.commit(Event::new(EventKind::IndexDropped).on("index", index.id).with("index", names)).await?;
    instance.end_lease(call.tenant());
    Ok(())
}

/// All indexes of the caller's tenant with the table of each, those of single fields too.
///
/// # Errors
///
/// [`IndexError`].
pub async fn list(instance: &Instance, call: &Call) -> Result<Vec<(String, Index)>, IndexError> {
    call.require(Permission::FieldsRead)?;
    let mut view = instance.store().view(call.tenant()).await?;
    let (fields, indexes) = (view.fields().await?, view.indexes().await?);
    std::mem::drop(view);
    note(instance, call, call.tenant(), Event::new(EventKind::FieldRead)).await?;
    let table = |index: &Index| fields.iter().find(|field| field.table_id == index.table_id).map(|f| f.table.clone());
    Ok(indexes.into_iter().filter_map(|index| Some((table(&index)?, index))).collect())
}

fn find(indexes: Vec<Index>, field: &Field, name: &str) -> Option<Index> {
    let mut compound = indexes.into_iter().filter(|index| index.kind == IndexKind::Compound);
    compound.find(|index| index.table_id == field.table_id && index.name == name)
}

/// The fields of the index's columns, with what counts as equal in each.
fn check<'f>(
    fields: &'f [Field],
    table: &str,
    name: &str,
    spec: &CompoundSpec,
) -> Result<Vec<(&'f Field, NormalForm)>, Faults> {
    let mut faults = Faults::default();
    check_column_name("/table", table, &mut faults);
    check_column_name("/name", name, &mut faults);
    check_bits("/bits", Some(spec.bits), &mut faults);
    if !(2..=MAX_COLUMNS).contains(&spec.columns.len()) {
        faults.add("/columns", "count", format!("name 2 to {MAX_COLUMNS} columns"));
    }
    let mut columns: Vec<(&Field, NormalForm)> = Vec::with_capacity(spec.columns.len());
    for (at, (column, form)) in spec.columns.iter().enumerate() {
        let pointer = format!("/columns/{at}");
        let Some(field) = fields.iter().find(|field| field.table == table && field.column == *column) else {
            faults.add(pointer, "unknown", "the column is not registered");
            continue;
        };
        if !field.encrypt || matches!(field.field_type, FieldType::Bytes | FieldType::Json) {
            faults.add(&*pointer, "type", "the column is kept in clear, or has no text form to search");
        }
        if columns.iter().any(|(other, _)| other.id == field.id) {
            faults.add(pointer, "twice", "the column is named twice");
        }
        let own = field.index().and_then(|index| index.form);
        columns.push((field, form.or(own).unwrap_or(Normalizer::Exact.into())));
    }
    faults.check().map(|()| columns)
}
