//! Which columns hold personal data.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use chancery_domain::{
    fields::{
        self, Allowance, Applied, Bind, BucketSpec, Class, Country, Field, FieldSet, FieldSpec, FieldType, IndexSpec,
        NormalForm, Normalizer, PrefixSpec,
    },
    indexes::{BucketUnit, BucketWidth},
};
use chancery_middleware::{Authenticated, Body, PathOf, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, indexes::IndexVersionsBody, page::ListBody};

/// How a field can be found.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[schema(as = FieldIndex)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexBody {
    /// What counts as equal: exact, casefold, text, name, email, phone, digits, date. Needed unless only buckets are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "text")]
    normalizer: Option<Normalizer>,
    /// Length of a term of a whole value: a multiple of 8, from 8 to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(default = 64, minimum = 8, maximum = 256)]
    bits: Option<u16>,
    /// For `phone`: the country of national numbers, two letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "US")]
    country: Option<Country>,
    /// `false` for no terms of whole values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(default = true)]
    exact: Option<bool>,
    /// Terms for beginnings of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<PrefixBody>,
    /// Terms for ranges of values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bucket: Option<BucketBody>,
}

/// Terms for beginnings of a value.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[schema(as = PrefixIndex)]
#[serde(deny_unknown_fields)]
pub(crate) struct PrefixBody {
    /// The shortest beginning, in characters.
    min: u8,
    /// The longest.
    max: u8,
    /// Length of a term.
    #[serde(default = "default_bits")]
    #[schema(default = 64, minimum = 8, maximum = 256)]
    bits: u16,
}

/// Terms for ranges of values.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[schema(as = BucketIndex)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketBody {
    /// How much one bucket holds.
    #[schema(minimum = 1)]
    width: u32,
    /// Of what: one (numbers), day, month, year (dates).
    #[schema(value_type = String)]
    unit: BucketUnit,
    /// Length of a term.
    #[serde(default = "default_bits")]
    #[schema(default = 64, minimum = 8, maximum = 256)]
    bits: u16,
}

pub(crate) const fn default_bits() -> u16 {
    64
}

impl From<IndexBody> for IndexSpec {
    fn from(body: IndexBody) -> Self {
        let form = body.normalizer.map(|normalizer| NormalForm { normalizer, country: body.country });
        let exact = body.exact.unwrap_or(form.is_some() || body.bits.is_some());
        Self {
            form,
            bits: exact.then(|| body.bits.unwrap_or_else(default_bits)),
            prefix: body.prefix.map(|PrefixBody { min, max, bits }| PrefixSpec { min, max, bits }),
            bucket: body
                .bucket
                .map(|BucketBody { width, unit, bits }| BucketSpec { width: BucketWidth { width, unit }, bits }),
        }
    }
}

impl From<IndexSpec> for IndexBody {
    fn from(spec: IndexSpec) -> Self {
        Self {
            normalizer: spec.form.map(|form| form.normalizer),
            bits: spec.bits,
            country: spec.form.and_then(|form| form.country),
            exact: (spec.form.is_some() && spec.bits.is_none()).then_some(false),
            prefix: spec.prefix.map(|PrefixSpec { min, max, bits }| PrefixBody { min, max, bits }),
            bucket: spec.bucket.map(|BucketSpec { width: BucketWidth { width, unit }, bits }| BucketBody {
                width,
                unit,
                bits,
            }),
        }
    }
}

/// How a column is to be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = DefineField)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefineFieldBody {
    /// How sensitive: public, internal, confidential, restricted.
    #[schema(value_type = Option<String>, default = "restricted")]
    class: Option<Class>,
    /// What its values are: text, integer, decimal, boolean, bytes, date, json.
    #[schema(value_type = Option<String>, default = "text")]
    r#type: Option<FieldType>,
    /// What its values are tied to: row, column.
    #[schema(value_type = Option<String>, default = "row")]
    bind: Option<Bind>,
    /// How it can be found; not at all if absent.
    index: Option<IndexBody>,
    /// `false` notes that the application keeps this column in clear.
    #[schema(default = true)]
    encrypt: Option<bool>,
    /// `true` says that the table has no rows yet, so a new index of an older field needs no backfill.
    #[schema(default = false)]
    empty: Option<bool>,
    /// About how many distinct values the column has; if its index would give them away, the answer warns.
    cardinality: Option<u64>,
    /// What may become less safe: weaker_class, encryption_off. Refused unless it is named here.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    allow: Vec<Allowance>,
}

/// A registered field.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Field)]
pub(crate) struct FieldBody {
    /// Its id; sealed values are bound to it.
    id: String,
    /// The table's name.
    table: String,
    /// The column's name.
    column: String,
    /// How sensitive.
    #[schema(value_type = String)]
    class: Class,
    /// What its values are.
    #[schema(value_type = String)]
    r#type: FieldType,
    /// What its values are tied to.
    #[schema(value_type = String)]
    bind: Bind,
    /// How it can be found.
    #[schema(required)]
    index: Option<IndexBody>,
    /// Its indexes with the versions of their rules.
    indexes: Vec<IndexVersionsBody>,
    /// Whether it is sealed.
    encrypt: bool,
    /// Since when it is registered.
    created_at: String,
    /// What its class advises and it does not do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl From<Field> for FieldBody {
    fn from(field: Field) -> Self {
        let (index, warnings) = (field.index().map(IndexBody::from), fields::warnings(&field));
        Self {
            id: field.id.to_string(),
            table: field.table,
            column: field.column,
            class: field.class,
            r#type: field.field_type,
            bind: field.bind,
            index,
            warnings,
            indexes: field.indexes.into_iter().map(IndexVersionsBody::from).collect(),
            encrypt: field.encrypt,
            created_at: field.created_at.to_string(),
        }
    }
}

/// Register or change a field.
#[utoipa::path(put, path = "/v1/fields/{table}/{column}", tag = "fields", request_body = DefineFieldBody,
    params(("table" = String, Path, description = "The table's name: 1 to 63 of A-Z a-z 0-9 _."),
           ("column" = String, Path, description = "The column's name, alike.")),
    responses((status = 200, description = "The field's definition.", body = FieldBody)))]
pub(crate) async fn define_field(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf((table, column)): PathOf<(String, String)>,
    Body(body): Body<DefineFieldBody>,
) -> Result<Json<FieldBody>, Problem> {
    let spec = FieldSpec {
        class: body.class.unwrap_or(Class::Restricted),
        field_type: body.r#type.unwrap_or(FieldType::Text),
        bind: body.bind.unwrap_or(Bind::Row),
        index: body.index.map(IndexSpec::from),
        encrypt: body.encrypt.unwrap_or(true),
        empty: body.empty.unwrap_or(false),
        allow: body.allow,
    };
    let bits = spec.index.and_then(|index| index.bits);
    let mut field: FieldBody = fields::define(&app.instance, &call, &table, &column, spec).await.or_problem()?.into();
    field.warnings.extend(body.cardinality.zip(bits).and_then(|(values, bits)| fields::plan::warn_of(values, bits)));
    Ok(Json(field))
}

/// How a ready set of fields is applied.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ApplyFieldSet)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApplySetBody {
    /// Other names for its tables, by their usual ones.
    #[serde(default)]
    #[schema(example = json!({"people": "staff"}))]
    tables: BTreeMap<String, String>,
}

/// A field of a set, and what was done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AppliedField)]
pub(crate) struct AppliedFieldBody {
    /// created, strengthened, kept.
    #[schema(value_type = String)]
    applied: Applied,
    /// The field.
    #[serde(flatten)]
    field: FieldBody,
}

/// Register a ready set of fields: staff-pii, duty-roster. Applied again it changes nothing.
#[utoipa::path(post, path = "/v1/field-sets/{name}", tag = "fields", request_body = ApplySetBody,
    params(("name" = String, Path, description = "The set: staff-pii, duty-roster.")),
    responses((status = 200, description = "The set's fields.", body = ListBody<AppliedFieldBody>)))]
pub(crate) async fn apply_field_set(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    PathOf(set): PathOf<FieldSet>,
    Body(body): Body<ApplySetBody>,
) -> Result<Json<ListBody<AppliedFieldBody>>, Problem> {
    let done = fields::apply(&app.instance, &call, set, &body.tables).await.or_problem()?;
    let items = done.into_iter().map(|(field, applied)| AppliedFieldBody { applied, field: field.into() });
    Ok(Json(ListBody { items: items.collect(), next_cursor: None }))
}

/// List the registered fields.
#[utoipa::path(get, path = "/v1/fields", tag = "fields",
    responses((status = 200, description = "All fields of the tenant.", body = ListBody<FieldBody>)))]
pub(crate) async fn list_fields(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<ListBody<FieldBody>>, Problem> {
    let found = fields::list(&app.instance, &call).await.or_problem()?;
    Ok(Json(ListBody { items: found.into_iter().map(FieldBody::from).collect(), next_cursor: None }))
}
