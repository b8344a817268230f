//! How much of what the gateway's routes demand counts: told at the start, at each change, and by `chancery doctor`. A route that was left
//! to observe after the roll-out would be silent for ever.

use std::fmt;

use chancery_domain::instance::Environment;
use chancery_gateway::{Authentication, Gateway, Mode, Route, Table};

/// How many routes refuse, how many do not yet, and how many ask nobody who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RouteModes {
    enforce: usize,
    watch: usize,
    ask_nobody: usize,
}

impl RouteModes {
    /// Of the routes of this table.
    pub(crate) fn of(table: &Table) -> Self {
        let count = |holds: fn(&Route) -> bool| table.routes().iter().filter(|route| holds(route)).count();
        let watch = count(watches);
        Self { enforce: table.routes().len() - watch, watch, ask_nobody: count(asks_nobody) }
    }

    /// Whether any lets through what it would refuse.
    pub(crate) const fn some_watch(self) -> bool {
        self.watch > 0
    }
}

impl fmt::Display for RouteModes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { enforce, watch, ask_nobody } = self;
        write!(f, "{enforce} enforce, {watch} only watch, {ask_nobody} ask nobody who calls")
    }
}

/// The paths that only watch.
pub(crate) fn watching(table: &Table) -> Vec<&str> {
    table.routes().iter().filter(|route| watches(route)).map(|route| route.pattern.as_str()).collect()
}

/// Says in the log how the routes at work stand.
pub(crate) fn tell(gateway: &Gateway) {
    let modes = RouteModes::of(&gateway.table());
    let is_real = gateway.instance().settings().environment != Environment::Development;
    if is_real && modes.some_watch() {
        tracing::warn!("Routes of the gateway: {modes}. What only watches refuses nobody");
    } else {
        tracing::info!("Routes of the gateway: {modes}");
    }
}

fn watches(route: &Route) -> bool {
    route.mode != Mode::Enforce
}

/// A webhook's sender is who its signature says.
fn asks_nobody(route: &Route) -> bool {
    route.authentication == Authentication::None && route.roles.is_empty() && route.webhook.is_none()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chancery_gateway::{Address, Pattern, Upstream};

    use super::*;

    #[test]
    fn routes_that_watch_and_routes_that_ask_nobody_are_counted() {
        let upstream = Upstream::new("app", vec![Address::parse("http://127.0.0.1:9").unwrap()], None, false);
        let upstream = Arc::new(upstream);
        let made = |path, mode, authentication| {
            let route = Route::new(Pattern::parse(path).unwrap(), Arc::clone(&upstream));
            Route { mode, authentication, ..route }
        };
        let mut roles = made("/roles", Mode::Enforce, Authentication::None);
        roles.roles = vec!["staff".to_owned()];
        let mut hook = made("/hook", Mode::Enforce, Authentication::None);
        hook.webhook = "north/whs_01J9Z3K0Q5V8WXYZ0123456789".parse().ok();
        assert!(hook.webhook.is_some());
        let table = Table::new(vec![
            made("/a", Mode::Enforce, Authentication::Required),
            made("/b", Mode::Observe, Authentication::Optional),
            made("/c", Mode::Shadow, Authentication::None),
            made("/d", Mode::Enforce, Authentication::None),
            roles,
            hook,
        ]);
        let table = table.unwrap();
        assert_eq!(RouteModes::of(&table).to_string(), "4 enforce, 2 only watch, 2 ask nobody who calls");
        assert_eq!(watching(&table), ["/b", "/c"]);
    }
}
