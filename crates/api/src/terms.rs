//! Search terms: those that a row is filed under, and those that find it.

use axum::{Json, extract::State};
use chancery_domain::{
    Faults,
    indexes::IndexKind,
    records::{self, Sought, TermItem, TermUse, WipedJson},
};
use chancery_middleware::{Authenticated, Body, Problem, Unique};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{App, error::IntoProblem};

/// How a value is sought.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Match {
    /// By equality.
    #[default]
    Exact,
    /// By its beginning.
    Prefix,
    /// By its bucket, or by all buckets from `from` to `to`.
    Range,
}

/// What terms are for.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Use {
    /// Finding rows: under every live version of rule and key.
    #[default]
    Query,
    /// Filing a row: under the newest rule and key.
    Write,
}

/// Something to search for: a value of a column, a range of a column, or values of a compound index's columns.
#[derive(Deserialize, ToSchema)]
#[schema(as = TermItem)]
#[serde(deny_unknown_fields)]
pub(crate) struct TermItemBody {
    /// Its table.
    table: String,
    /// Its column, unless `index` is given.
    column: Option<String>,
    /// How it is sought: exact, prefix, range.
    #[schema(value_type = Option<String>, default = "exact")]
    r#match: Option<Match>,
    /// The value or its beginning; its JSON type is the field's.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    value: Option<Unique>,
    /// The lowest value of a range.
    #[schema(value_type = Option<Value>)]
    from: Option<Unique>,
    /// The highest value of a range.
    #[schema(value_type = Option<Value>)]
    to: Option<Unique>,
    /// A compound index's name.
    index: Option<String>,
    /// The values of its columns, by column.
    #[schema(value_type = Option<Object>)]
    values: Option<Unique>,
}

impl TermItemBody {
    fn sought(self, position: usize) -> Result<TermItem, Faults> {
        let sought = match self {
            Self {
                column: Some(column),
                r#match,
                value: Some(value),
                from: None,
                to: None,
                index: None,
                values: None,
                ..
            } => {
                let kind = match r#match.unwrap_or_default() {
                    Match::Exact => IndexKind::Exact,
                    Match::Prefix => IndexKind::Prefix,
                    Match::Range => IndexKind::Bucket,
                };
                Sought::Value { column, kind, value: value.into() }
            }
            Self {
                column: Some(column),
                r#match: Some(Match::Range),
                value: None,
                from: Some(from),
                to: Some(to),
                index: None,
                values: None,
                ..
            } => Sought::Range { column, from: from.into(), to: to.into() },
            Self {
                column: None,
                r#match: None,
                value: None,
                from: None,
                to: None,
                index: Some(index),
                values: Some(values),
                ..
            } => {
                let Some(values) = values.expose().as_object() else {
                    return Err(Faults::one(
                        format!("/items/{position}/values"),
                        "type",
                        "name a value for each column",
                    ));
                };
                let values = values.iter().map(|(column, value)| (column.clone(), WipedJson::new(value.clone())));
                Sought::Together { index, values: values.collect() }
            }
            _ => {
                let message = "give column and value; column, match \"range\", from and to; or index and values";
                return Err(Faults::one(format!("/items/{position}"), "shape", message));
            }
        };
        Ok(TermItem { table: self.table, sought })
    }
}

/// Up to 1,000 things to search for.
#[derive(Deserialize, ToSchema)]
#[schema(as = Terms)]
#[serde(deny_unknown_fields)]
pub(crate) struct TermsBody {
    /// What they are for: query, write.
    #[schema(value_type = Option<String>, default = "query")]
    r#use: Option<Use>,
    /// The things.
    items: Vec<TermItemBody>,
}

/// The terms of an item.
#[derive(Serialize, ToSchema)]
#[schema(as = DerivedTerms)]
pub(crate) struct DerivedTermsBody {
    /// For a query: a row that carries any of them may match. For a write: those to file the row under.
    terms: Vec<String>,
}

/// Terms in the order asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = DerivedTermsList)]
pub(crate) struct DerivedTermsListBody {
    /// The terms.
    items: Vec<DerivedTermsBody>,
}

/// Derive search terms. Compare again after opening: terms are truncated.
#[utoipa::path(post, path = "/v1/terms", tag = "records", request_body = TermsBody,
    responses((status = 200, description = "The terms.", body = DerivedTermsListBody)))]
pub(crate) async fn terms(
    State(app): State<App>,
    Authenticated(call): Authenticated,
    Body(body): Body<TermsBody>,
) -> Result<Json<DerivedTermsListBody>, Problem> {
    let to = match body.r#use.unwrap_or_default() {
        Use::Query => TermUse::Query,
        Use::Write => TermUse::Write,
    };
    let items = body.items.into_iter().enumerate().map(|(position, item)| item.sought(position));
    let items = items.collect::<Result<Vec<TermItem>, Faults>>().map_err(Problem::invalid)?;
    let derived = records::terms(&app.instance, &call, to, &items).await.or_problem()?;
    Ok(Json(DerivedTermsListBody { items: derived.into_iter().map(|terms| DerivedTermsBody { terms }).collect() }))
}
