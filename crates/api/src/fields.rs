//! Which columns hold personal data.

use axum::{Json, extract::State};
use chancery_domain::fields::{self, Bind, Class, Field, FieldSpec, FieldType, IndexSpec, Normalizer};
use chancery_middleware::{Authenticated, Body, PathOf, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem, page::ListBody};

/// How a field can be found by equality.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[schema(as = FieldIndex)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexBody {
    /// What counts as equal: exact, casefold, name, email, digits.
    #[schema(value_type = String, example = "casefold")]
    normalizer: Normalizer,
    /// Length of a term: a multiple of 8, from 8 to 256.
    #[serde(default = "default_bits")]
    #[schema(default = 64, minimum = 8, maximum = 256)]
    bits: u16,
}

const fn default_bits() -> u16 {
    64
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
    /// Whether it is sealed.
    encrypt: bool,
    /// Since when it is registered.
    created_at: String,
}

impl From<Field> for FieldBody {
    fn from(field: Field) -> Self {
        Self {
            id: field.id.to_string(),
            table: field.table,
            column: field.column,
            class: field.class,
            r#type: field.field_type,
            bind: field.bind,
            index: field.index.map(|index| IndexBody { normalizer: index.normalizer, bits: index.bits }),
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
        index: body.index.map(|index| IndexSpec { normalizer: index.normalizer, bits: index.bits }),
        encrypt: body.encrypt.unwrap_or(true),
    };
    Ok(Json(fields::define(&app.instance, &call, &table, &column, spec).await.or_problem()?.into()))
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
