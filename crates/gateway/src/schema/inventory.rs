//! Which operations of an application are protected, and which routes no document speaks of.

use std::collections::BTreeSet;

use super::Contract;
use crate::{Authentication, Match, Mode, Route, Table};

/// How an operation is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Nobody gets there without a credential.
    Enforced,
    /// What would be refused is only told.
    Watched,
    /// It takes no credential.
    Open,
    /// No route leads there.
    Unreachable,
}

/// An operation, and the route that leads there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its method and path.
    pub operation: String,
    /// The route's pattern.
    pub route: Option<String>,
    /// How it is protected.
    pub protection: Protection,
}

/// All of an application's operations, and the routes that lead to none of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Every operation.
    pub operations: Vec<Entry>,
    /// Patterns of routes that lead to no operation: undocumented, or left over.
    pub undocumented: Vec<String>,
}

/// Takes stock of the routes that name this document.
pub fn inventory(table: &Table, name: &str, contract: &Contract) -> Inventory {
    let mut reached = BTreeSet::new();
    let operations = contract.operations().iter().map(|operation| {
        let (route, protection) = match table.find(operation.method(), &operation.sample()) {
            Match::Route(route, _) => (Some(route.pattern.to_string()), protection(&route)),
            Match::Method(_) | Match::Nothing | Match::Ambiguous(_) => (None, Protection::Unreachable),
        };
        reached.extend(route.clone());
        Entry { operation: operation.name(), route, protection }
    });
    let operations = operations.collect();
    let ours = table.routes().iter().filter(|route| route.schema.as_deref() == Some(name));
    let undocumented =
        ours.map(|route| route.pattern.to_string()).filter(|pattern| !reached.contains(pattern)).collect();
    Inventory { operations, undocumented }
}

fn protection(route: &Route) -> Protection {
    match (route.authentication, route.mode) {
        (Authentication::None | Authentication::Optional, _) => Protection::Open,
        (Authentication::Required, Mode::Enforce) => Protection::Enforced,
        (Authentication::Required, Mode::Observe | Mode::Shadow) => Protection::Watched,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{Address, Pattern, Upstream};

    #[test]
    fn what_is_unprotected_and_what_is_undocumented_is_named() {
        let operation = json!({"responses": {}});
        let document = json!({"openapi": "3.1.0", "paths": {
            "/api/patients/{id}": {"get": operation}, "/api/open": {"post": operation}, "/health": {"get": operation},
            "/api/watched": {"get": operation}
        }});
        let contract = Contract::read(&document, crate::schema::Rules::default()).unwrap();
        let upstream = Arc::new(Upstream::new("app", vec![Address::parse("http://127.0.0.1:9").unwrap()], None, false));
        let route = |pattern: &str| {
            let route = Route::new(Pattern::parse(pattern).unwrap(), Arc::clone(&upstream));
            Route { schema: Some("clinic".into()), ..route }
        };
        let table = Table::new(vec![
            route("/api/*"),
            Route { authentication: Authentication::None, ..route("/api/open") },
            Route { mode: Mode::Shadow, ..route("/api/watched") },
            route("/api/echo"),
        ]);
        let found = inventory(&table.unwrap(), "clinic", &contract);
        let of = |name: &str| found.operations.iter().find(|entry| entry.operation == name).unwrap().protection;
        assert_eq!(of("GET /api/patients/{id}"), Protection::Enforced);
        assert_eq!(of("POST /api/open"), Protection::Open);
        assert_eq!(of("GET /api/watched"), Protection::Watched);
        assert_eq!(of("GET /health"), Protection::Unreachable);
        assert_eq!(found.undocumented, ["/api/echo"]);
    }
}
