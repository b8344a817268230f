//! Indexes: those over several columns, and the versions of all.

use axum::{Json, extract::State, http::StatusCode};
use chancery_domain::{
    fields::{Country, NormalForm, Normalizer},
    ids::IndexId,
    indexes::{self, CompoundSpec, Index, IndexKind, IndexState, reindex},
};
use chancery_middleware::{Authenticated, Body, PathOf, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, fields::default_bits, page::ListBody};

/// A rule of an index, and how far the rows are with it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = IndexVersion)]
pub(crate) struct IndexVersionBody {
    /// 1, 2, 3…
    version: u32,
    /// What is hashed, and to how many bits.
    #[schema(example = "exact name/1 64")]
    rule: String,
    /// backfilling, ready, retired.
    #[schema(value_type = String)]
    state: IndexState,
    /// Since when writes file under it.
    created_at: String,
    /// Since when every row carries it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready_at: Option<String>,
    /// Since when nobody asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    retired_at: Option<String>,
}

/// An index with the versions of its rule, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Index)]
pub(crate) struct IndexVersionsBody {
    /// Its id.
    id: String,
    /// What it answers: exact, prefix, bucket, compound.
    #[schema(value_type = String)]
    kind: IndexKind,
    /// The name of a compound index.
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    /// Its versions.
    versions: Vec<IndexVersionBody>,
}

impl From<Index> for IndexVersionsBody {
    fn from(index: Index) -> Self {
        let versions = index.versions.into_iter().map(|version| IndexVersionBody {
            version: version.version,
            rule: version.rule.to_string(),
            state: version.state,
            created_at: version.created_at.to_string(),
            ready_at: version.ready_at.map(|at| at.to_string()),
            retired_at: version.retired_at.map(|at| at.to_string()),
        });
        Self { id: index.id.to_string(), kind: index.kind, name: index.name, versions: versions.collect() }
    }
}

/// An index and its table.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TableIndex)]
pub(crate) struct TableIndexBody {
    /// The table's name.
    table: String,
    /// The ids of its columns' fields, in order.
    fields: Vec<String>,
    /// The index.
    #[serde(flatten)]
    index: IndexVersionsBody,
}

impl From<(String, Index)> for TableIndexBody {
    fn from((table, index): (String, Index)) -> Self {
        Self { table, fields: index.fields.iter().map(ToString::to_string).collect(), index: index.into() }
    }
}

/// A column of a compound index.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = IndexColumn)]
#[serde(untagged)]
pub(crate) enum ColumnBody {
    /// Its name; what counts as equal is as in the column's own index.
    Name(String),
    /// Its name, and what counts as equal.
    #[serde(rename_all = "snake_case")]
    Form {
        /// Its name.
        column: String,
        /// What counts as equal.
        #[schema(value_type = String)]
        normalizer: Normalizer,
        /// For `phone`: the country of national numbers.
        #[schema(value_type = Option<String>)]
        country: Option<Country>,
    },
}

/// What a compound index shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DefineIndex)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefineIndexBody {
    /// Its columns in order, 2 to 8.
    columns: Vec<ColumnBody>,
    /// Length of a term: a multiple of 8, from 8 to 256.
    #[serde(default = "default_bits")]
    #[schema(default = 64, minimum = 8, maximum = 256)]
    bits: u16,
    /// `true` says that the table has no rows yet, so the index covers all of them from the start.
    #[serde(default)]
    empty: bool,
}

/// Define an index over several columns, or change its rule.
#[utoipa::path(put, path = "/v1/indexes/{table}/{name}", tag = "fields", request_body = DefineIndexBody,
    params(("table" = String, Path, description = "The table's name."),
           ("name" = String, Path, description = "The index's name: 1 to 63 of A-Z a-z 0-9 _.")),
    responses((status = 200, description = "The index.", body = TableIndexBody)))]
pub(crate) async fn define_index(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((table, name)): PathOf<(String, String)>,
    Body(body): Body<DefineIndexBody>,
) -> Result<Json<TableIndexBody>, Problem> {
    let columns = body.columns.into_iter().map(|column| match column {
        ColumnBody::Name(column) => (column, None),
        ColumnBody::Form { column, normalizer, country } => (column, Some(NormalForm { normalizer, country })),
    });
    let spec = CompoundSpec { columns: columns.collect(), bits: body.bits, empty: body.empty };
    let index = indexes::define(&app.instance, &call, &table, &name, &spec).await.or_problem()?;
    Ok(Json((table, index).into()))
}

/// Give up an index over several columns.
#[utoipa::path(delete, path = "/v1/indexes/{table}/{name}", tag = "fields",
    params(("table" = String, Path, description = "The table's name."),
           ("name" = String, Path, description = "The index's name.")),
    responses((status = 204, description = "Nothing is filed or found under it any more.")))]
pub(crate) async fn drop_index(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((table, name)): PathOf<(String, String)>,
) -> Result<StatusCode, Problem> {
    indexes::drop(&app.instance, &call, &table, &name).await.or_problem()?;
    Ok(StatusCode::NO_CONTENT)
}

/// List all indexes with the versions of their rules.
#[utoipa::path(get, path = "/v1/indexes", tag = "fields",
    responses((status = 200, description = "All indexes of the tenant.", body = ListBody<TableIndexBody>)))]
pub(crate) async fn list_indexes(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<ListBody<TableIndexBody>>, Problem> {
    let found = indexes::list(&app.instance, &call).await.or_problem()?;
    Ok(Json(ListBody { items: found.into_iter().map(TableIndexBody::from).collect(), next_cursor: None }))
}

/// Which version of an index.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = IndexVersionChoice)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionBody {
    /// Its number.
    version: u32,
}

/// Say that every row carries the terms of an index version.
#[utoipa::path(post, path = "/v1/reindex/{id}/ready", tag = "fields", request_body = VersionBody,
    params(("id" = String, Path, description = "The index's id.")),
    responses((status = 200, description = "The index.", body = IndexVersionsBody)))]
pub(crate) async fn ready_index_version(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<IndexId>,
    Body(body): Body<VersionBody>,
) -> Result<Json<IndexVersionsBody>, Problem> {
    Ok(Json(reindex::ready(&app.instance, &call, id, body.version).await.or_problem()?.into()))
}

/// Retire an index version; refused while rows may carry no newer terms.
#[utoipa::path(post, path = "/v1/reindex/{id}/retire", tag = "fields", request_body = VersionBody,
    params(("id" = String, Path, description = "The index's id.")),
    responses((status = 200, description = "The index.", body = IndexVersionsBody)))]
pub(crate) async fn retire_index_version(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(id): PathOf<IndexId>,
    Body(body): Body<VersionBody>,
) -> Result<Json<IndexVersionsBody>, Problem> {
    Ok(Json(reindex::retire(&app.instance, &call, id, body.version).await.or_problem()?.into()))
}
