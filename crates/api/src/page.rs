//! Lists come in pages.

use chancery_domain::{
    Faults, Timestamp,
    audit::{EventSpan, query::MAX_PAGE},
};
use chancery_middleware::Problem;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A page's length if nothing is asked for.
const DEFAULT_LIMIT: u32 = 50;
/// The longest page.
const MAX_LIMIT: u32 = 200;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// How many items at most: 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub(crate) limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub(crate) cursor: Option<String>,
}

/// Which page of a part of the log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SpanQuery {
    /// At or after this moment.
    #[param(value_type = String, format = DateTime)]
    from: Timestamp,
    /// Before this moment; at most 366 days after `from`.
    #[param(value_type = String, format = DateTime)]
    to: Timestamp,
    /// How many events are looked at, at most: 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl SpanQuery {
    /// The span, with all bounds checked.
    pub(crate) fn span(&self) -> Result<EventSpan, Problem> {
        let (after, limit) = (after(self.cursor.as_deref())?, limit(self.limit, 100, MAX_PAGE)?);
        Ok(EventSpan { from: self.from, to: self.to, after, limit })
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListBody<T> {
    /// The items, in a stable order.
    pub(crate) items: Vec<T>,
    /// What to ask for next; `null` at the end.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

impl Page {
    /// How many items.
    pub(crate) fn limit(&self) -> Result<u32, Problem> {
        limit(self.limit, DEFAULT_LIMIT, MAX_LIMIT)
    }

    /// After which item.
    pub(crate) fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, Problem> {
        after(self.cursor.as_deref())
    }
}

/// A limit within bounds.
pub(crate) fn limit(asked: Option<u32>, default: u32, max: u32) -> Result<u32, Problem> {
    match asked.unwrap_or(default) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        _ => Err(Problem::invalid(Faults::one("/limit", "range", format!("query: must be 1 to {max}")))),
    }
}

/// The place that a cursor names.
pub(crate) fn after<T: std::str::FromStr>(cursor: Option<&str>) -> Result<Option<T>, Problem> {
    cursor.map(str::parse).transpose().map_err(|_| {
        Problem::invalid(Faults::one("/cursor", "invalid", "query: must be the next_cursor of a page before"))
    })
}

/// A page of what was found; there may be more if it is full.
pub(crate) fn list<T, U: From<T>>(found: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> ListBody<U> {
    let full = u32::try_from(found.len()).is_ok_and(|length| length >= limit);
    let next_cursor = if full { found.last().map(cursor) } else { None };
    ListBody { items: found.into_iter().map(U::from).collect(), next_cursor }
}
