//! All routes, and which one a request takes.

use std::sync::Arc;

use http::Method;

use crate::{
    Mode, Route, Upstream,
    path::{Ambiguous, Canonical},
    pattern::Fit,
};

/// All routes, the narrowest first.
#[derive(Debug)]
pub struct Table {
    routes: Vec<Arc<Route>>,
    digest: [u8; 32],
}

/// Why routes make no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// There is none.
    #[error("there is no route")]
    Empty,
    /// Two take the same requests.
    #[error("two routes take the same requests: {0}")]
    Twice(String),
}

/// What came of looking for a route.
#[derive(Debug, Clone)]
pub enum Match {
    /// This one.
    Route(Arc<Route>, Canonical),
    /// The path is known, the method is not. A wider route is no way round a narrower one.
    Method(Arc<Route>),
    /// None.
    Nothing,
    /// The path has no single reading.
    Ambiguous(Ambiguous),
}

impl Table {
    /// Of these routes.
    ///
    /// # Errors
    ///
    /// [`TableError`].
    pub fn new(routes: Vec<Route>) -> Result<Self, TableError> {
        if routes.is_empty() {
            return Err(TableError::Empty);
        }
        let mut routes: Vec<Arc<Route>> = routes.into_iter().map(Arc::new).collect();
        routes.sort_by(|one, other| one.pattern.narrower_first(&other.pattern));
        for (number, route) in routes.iter().enumerate() {
            let overlaps = |other: &&Arc<Route>| {
                let shared = |method| route.methods.is_empty() || route.methods.contains(method);
                let methods = other.methods.is_empty() || route.methods.is_empty() || other.methods.iter().any(shared);
                other.pattern.is_same(&route.pattern) && methods
            };
            if let Some(other) = routes.iter().take(number).find(overlaps) {
                return Err(TableError::Twice(format!("{} and {}", other.pattern, route.pattern)));
            }
        }
        Ok(Self { routes, digest: [0; 32] })
    }

    /// With the digest of what it was read from.
    #[must_use]
    pub fn read_from(self, digest: [u8; 32]) -> Self {
        Self { digest, ..self }
    }

    /// The digest of what it was read from: by it the log tells one table from another. Zeros where nobody said.
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// All of them, in the order in which they are tried.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Every application, once.
    pub fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
        for route in &self.routes {
            if !upstreams.iter().any(|known| Arc::ptr_eq(known, &route.upstream)) {
                upstreams.push(Arc::clone(&route.upstream));
            }
        }
        upstreams
    }

    /// Servers that the table before knew not to be well are not taken for well until they say so.
    pub(crate) fn keep_health_of(&self, before: &Self) {
        let before = before.upstreams();
        for upstream in self.upstreams() {
            upstream.keep_health_of(&before);
        }
    }

    /// The route of a request.
    pub fn find(&self, method: &Method, path: &str) -> Match {
        let path = match Canonical::read(path) {
            Ok(path) => path,
            Err(why) => return Match::Ambiguous(why),
        };
        let (mut routes, mut but_for_case) = (self.routes.iter(), None);
        let first = loop {
            let Some(route) = routes.next() else { return Match::Nothing };
            match route.pattern.fit(&path) {
                Fit::Whole => break route,
                // A route that does not enforce protects nothing, and refuses nobody.
                Fit::ButForCase if route.mode == Mode::Enforce => but_for_case = but_for_case.or(Some(route)),
                Fit::ButForCase | Fit::Not => {}
            }
        };
        // Whoever has routes for both spellings has an application that tells them apart.
        if but_for_case.is_some_and(|narrowest| narrowest.pattern.narrower_first(&first.pattern).is_lt()) {
            return Match::Ambiguous(Ambiguous::Case);
        }
        let same = routes.filter(|route| route.pattern.is_same(&first.pattern));
        let Some(route) = std::iter::once(first).chain(same).find(|route| route.takes(method)) else {
            return Match::Method(Arc::clone(first));
        };
        if path.has_parameters() && !route.path_parameters {
            return Match::Ambiguous(Ambiguous::Parameters);
        }
        Match::Route(Arc::clone(route), path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, Pattern};

    fn route(pattern: &str, methods: &[Method]) -> Route {
        let upstream = Upstream::new("app", vec![Address::parse("http://127.0.0.1:9").unwrap()], None, false);
        Route { methods: methods.to_vec(), ..Route::new(Pattern::parse(pattern).unwrap(), Arc::new(upstream)) }
    }

    fn found(table: &Table, method: Method, path: &str) -> String {
        match table.find(&method, path) {
            Match::Route(route, path) => format!("{} {}", route.pattern, path.as_str()),
            Match::Method(route) => format!("method {}", route.pattern),
            Match::Nothing => "nothing".to_owned(),
            Match::Ambiguous(why) => format!("{why:?}"),
        }
    }

    #[test]
    fn the_narrowest_route_is_taken_and_no_wider_one_in_its_place() {
        let table = vec![route("/*", &[]), route("/admin/*", &[Method::GET]), route("/admin/keys", &[Method::POST])];
        let table = Table::new(table).unwrap();
        assert_eq!(found(&table, Method::GET, "/x"), "/* /x");
        assert_eq!(found(&table, Method::GET, "/%61dmin/users"), "/admin/* /admin/users");
        assert_eq!(found(&table, Method::HEAD, "/admin"), "/admin/* /admin");
        assert_eq!(found(&table, Method::DELETE, "/admin/users"), "method /admin/*");
        assert_eq!(found(&table, Method::GET, "/admin/keys/"), "method /admin/keys");
        assert_eq!(found(&table, Method::GET, "/x/../admin"), "Dots");
        assert_eq!(found(&table, Method::GET, "/admin;a=b"), "Parameters");
    }

    /// To many applications it is the narrower route's path.
    #[test]
    fn a_path_that_differs_in_case_alone_takes_no_wider_route() {
        let routes = ["/*", "/admin/*", "/admin/keys", "/a/{id}", "/Docs/*", "/docs/*", "/docs/old"];
        let table = Table::new(routes.map(|pattern| route(pattern, &[])).into()).unwrap();
        for path in ["/Admin", "/ADMIN/users", "/%41dmin", "/admin/KEYS", "/A/7", "/Docs/old", "/DOCS/x"] {
            assert_eq!(found(&table, Method::GET, path), "Case", "{path}");
        }
        for (path, wanted) in [
            ("/a/Xy", "/a/{id} /a/Xy"),
            ("/X", "/* /X"),
            ("/Administration", "/* /Administration"),
            ("/A/7/b", "/* /A/7/b"),
            ("/admin/Users", "/admin/* /admin/Users"),
            // Both are named.
            ("/Docs/x", "/Docs/* /Docs/x"),
            ("/docs/x", "/docs/* /docs/x"),
        ] {
            assert_eq!(found(&table, Method::GET, path), wanted, "{path}");
        }
    }

    #[test]
    fn a_path_that_differs_in_case_alone_is_refused_for_a_route_that_enforces_alone() {
        let found_with = |wider: Mode, narrower: Mode| {
            let routes = [("/*", wider), ("/admin/*", narrower)];
            let routes = routes.map(|(pattern, mode)| Route { mode, ..route(pattern, &[]) });
            found(&Table::new(routes.into()).unwrap(), Method::GET, "/Admin")
        };
        for wider in [Mode::Observe, Mode::Shadow, Mode::Enforce] {
            assert_eq!(found_with(wider, Mode::Enforce), "Case", "{wider:?}");
            for narrower in [Mode::Observe, Mode::Shadow] {
                assert_eq!(found_with(wider, narrower), "/* /Admin", "{wider:?} {narrower:?}");
            }
        }
        // Of two routes of a path one enforces.
        let get = Route { mode: Mode::Observe, ..route("/admin/*", &[Method::GET]) };
        let table = Table::new(vec![route("/*", &[]), get, route("/admin/*", &[Method::POST])]).unwrap();
        assert_eq!(found(&table, Method::POST, "/ADMIN/x"), "Case");
    }

    #[test]
    fn methods_of_one_path_may_have_routes_of_their_own_but_no_two_the_same() {
        let table = Table::new(vec![route("/a/{id}", &[Method::GET]), route("/a/{x}", &[Method::PUT])]).unwrap();
        assert_eq!(found(&table, Method::PUT, "/a/1"), "/a/{x} /a/1");
        assert_eq!(found(&table, Method::POST, "/a/1"), "method /a/{id}");
        assert_eq!(found(&table, Method::POST, "/b"), "nothing");
        for methods in [&[][..], &[Method::GET], &[Method::POST, Method::GET]] {
            let twice = Table::new(vec![route("/a/{id}", &[Method::GET]), route("/a/{x}", methods)]);
            assert!(matches!(twice, Err(TableError::Twice(_))), "{methods:?}");
        }
        assert_eq!(Table::new(Vec::new()).err(), Some(TableError::Empty));
    }
}
