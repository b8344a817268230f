//! Statements that search the log, and what a filter binds.

use chancery_domain::audit::EventFilter;

use crate::{Sql, Value};

// An absent bound is a null, which every row passes. Indexes start at 0, so "after -1" is all of them.
macro_rules! within_bounds {
    ($kinds:literal) => {
        concat!(
            "AND recorded_at >= $2 AND recorded_at < $3 AND e.idx > $4
             AND ($5 IS NULL OR actor = $5) AND ($6 IS NULL OR kind = $6) AND ($7 IS NULL OR resource = $7)
             AND ($8 IS NULL OR outcome = $8) AND ($9 IS NULL OR request_id = $9)
             AND (($11 IS NULL AND $12 IS NULL) OR substr(kind, 1, length($11)) = $11 OR kind IN (",
            $kinds,
            ")) ORDER BY e.idx LIMIT $10"
        )
    };
}

pub(super) const FIND: Sql = Sql::dialects(
    concat!(select_logged!("audit_events", ""), within_bounds!("SELECT value FROM json_each($12)")),
    concat!(select_logged!("audit_events", ""), within_bounds!("SELECT json_array_elements_text($12::json)")),
);

// From the references to the log, not the other way round: a person is in few events of many.
macro_rules! select_referenced {
    ($references:literal, $kinds:literal) => {
        concat!(
            "SELECT e.event_id, recorded_at, kind, actor, resource, outcome, request_id, core, NULL, e.idx, leaf_hash
             FROM (SELECT DISTINCT idx FROM audit_references
                   WHERE tenant_id = $1 AND idx > $4 AND reference IN (",
            $references,
            ")) AS r
             CROSS JOIN audit_events AS e
             WHERE e.tenant_id = $1 AND e.idx = r.idx ",
            within_bounds!($kinds)
        )
    };
}

pub(super) const FIND_REFERENCED: Sql = Sql::dialects(
    select_referenced!("SELECT value FROM json_each($13)", "SELECT value FROM json_each($12)"),
    select_referenced!("SELECT json_array_elements_text($13::json)", "SELECT json_array_elements_text($12::json)"),
);

// The places alone of what the two before find.
macro_rules! places {
    ($kinds:literal) => {
        concat!("SELECT e.idx FROM audit_events AS e WHERE e.tenant_id = $1 ", within_bounds!($kinds))
    };
}
macro_rules! referenced_places {
    ($references:literal, $kinds:literal) => {
        concat!(
            "SELECT e.idx FROM (SELECT DISTINCT idx FROM audit_references
                   WHERE tenant_id = $1 AND idx > $4 AND reference IN (",
            $references,
            ")) AS r
             CROSS JOIN audit_events AS e
             WHERE e.tenant_id = $1 AND e.idx = r.idx ",
            within_bounds!($kinds)
        )
    };
}

pub(super) const PLACES: Sql =
    Sql::dialects(places!("SELECT value FROM json_each($12)"), places!("SELECT json_array_elements_text($12::json)"));
pub(super) const REFERENCED_PLACES: Sql = Sql::dialects(
    referenced_places!("SELECT value FROM json_each($13)", "SELECT value FROM json_each($12)"),
    referenced_places!("SELECT json_array_elements_text($13::json)", "SELECT json_array_elements_text($12::json)"),
);

/// What a filter binds, but for the references.
pub(super) fn bounds(filter: &EventFilter) -> [Value; 11] {
    let kinds = if filter.kinds.is_empty() { Value::Text(None) } else { Value::list(&filter.kinds) };
    [
        Value::time(filter.from),
        Value::time(filter.to),
        filter.after.map_or(Value::from(-1_i64), Value::count),
        Value::opt_text(filter.actor.as_deref()),
        Value::opt_text(filter.kind.as_deref()),
        Value::opt_text(filter.resource.as_deref()),
        Value::Int(filter.outcome),
        Value::opt_text(filter.request),
        filter.limit.into(),
        Value::opt_text(filter.prefix.as_deref()),
        kinds,
    ]
}

/// What a filter binds that names references.
pub(super) fn bounds_of_named(filter: &EventFilter) -> [Value; 12] {
    let [a, b, c, d, e, f, g, h, i, j, k] = bounds(filter);
    [a, b, c, d, e, f, g, h, i, j, k, Value::list(&filter.references)]
}
