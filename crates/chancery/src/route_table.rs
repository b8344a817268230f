//! The gateway as the API shows and changes it: `/v1/gateway`.

use std::{collections::BTreeSet, sync::Arc};

use chancery_domain::{
    Faults,
    limits::LimitSettings,
    routes::{ReadyTable, RouteFacts, RouteSight, RouteTable, UpstreamFacts},
};
use chancery_gateway::{Authentication, Mode, Route, Table, Upstream};
use http::Method;

use crate::{
    at_the_gate::{FileTable, routes},
    config::{GatewayConfig, Refused},
    route_modes,
};

impl RouteTable for FileTable {
    fn routes(&self) -> Vec<RouteFacts> {
        self.gateway.table().routes().iter().map(|route| facts(route)).collect()
    }

    fn upstreams(&self) -> Vec<UpstreamFacts> {
        self.gateway.table().upstreams().iter().map(|upstream| application(upstream)).collect()
    }

    fn sights(&self) -> Vec<RouteSight> {
        let undocumented = self.documents.undocumented();
        let mut sights = self.gateway.observed().sights();
        for path in undocumented.keys().copied() {
            sights.entry(path).or_default();
        }
        let sight = |(path, sight): (&str, chancery_gateway::observed::Sight)| RouteSight {
            path: path.to_owned(),
            requests: sight.requests,
            would_refuse: sight.would_refuse,
            headers_differ: sight.headers_differ,
            undocumented: undocumented.get(path).copied().unwrap_or_default(),
        };
        sights.into_iter().map(sight).collect()
    }

    fn digest(&self) -> [u8; 32] {
        self.gateway.table().digest()
    }

    fn read(&self) -> Result<Box<dyn ReadyTable>, Faults> {
        let unknown = || Faults::one("", "not_followed", "this process does not follow a configuration");
        let flags = self.flags.get().ok_or_else(unknown)?;
        match routes(flags) {
            Ok((Some(config), limits)) => {
                check_limits(&config.table, &limits, &self.gateway.instance().settings().limits)?;
                Ok(Box::new(Next { table: self.shared(), config }))
            }
            Ok((None, _)) => Err(Faults::one("", "no_gateway", "the configuration has no gateway")),
            Err(refused) => Err(told(&refused)),
        }
    }

    fn before(&self) -> Option<Box<dyn ReadyTable>> {
        let before = self.gateway.before()?;
        Some(Box::new(Before { table: self.shared(), before }))
    }
}

impl FileTable {
    fn shared(&self) -> Self {
        let flags = self.flags.clone();
        Self { gateway: Arc::clone(&self.gateway), documents: Arc::clone(&self.documents), flags }
    }
}

/// What the configuration says now.
struct Next {
    table: FileTable,
    config: GatewayConfig,
}

impl ReadyTable for Next {
    fn routes(&self) -> u64 {
        count(&self.config.table)
    }

    fn digest(&self) -> [u8; 32] {
        self.config.table.digest()
    }

    fn apply(self: Box<Self>) {
        let Self { table, config } = *self;
        table.gateway.apply(config.table);
        route_modes::tell(&table.gateway);
        table.documents.ask(config.schemas, &table.gateway);
    }
}

/// The table before the one at work.
struct Before {
    table: FileTable,
    before: Arc<Table>,
}

impl ReadyTable for Before {
    fn routes(&self) -> u64 {
        count(&self.before)
    }

    fn digest(&self) -> [u8; 32] {
        self.before.digest()
    }

    fn apply(self: Box<Self>) {
        if self.table.gateway.roll_back() {
            route_modes::tell(&self.table.gateway);
            self.table.documents.ask_before(&self.table.gateway);
        }
    }
}

/// A limit counts as it stood when the process began. Routes that name one that is new, was switched on with all others or has changed
/// since would be let through uncounted, or by another count than their file says.
fn check_limits(table: &Table, now: &LimitSettings, at_work: &LimitSettings) -> Result<(), Faults> {
    let named: BTreeSet<&String> = table.routes().iter().flat_map(|route| &route.limits).collect();
    let switched_on = now.enabled && !at_work.enabled;
    let differs = |name: &&String| at_work.named(name).is_none_or(|rule| switched_on || now.named(name) != Some(rule));
    let mut faults = Faults::default();
    for name in named.into_iter().filter(differs) {
        let message = format!(
            "a route names the limit `{name}`, which is not at work like this; limits are read at the start: restart"
        );
        faults.add("", "restart_needed", message);
    }
    faults.check()
}

fn count(table: &Table) -> u64 {
    u64::try_from(table.routes().len()).unwrap_or(u64::MAX)
}

/// All faults, without where the file is.
fn told(refused: &Refused) -> Faults {
    let mut faults = Faults::default();
    for fault in &refused.0.faults {
        let key = fault.subject.split(" (").next().unwrap_or_default();
        faults.add("", "configuration", format!("{key} {}; {}", fault.problem, fault.cure));
    }
    faults
}

fn facts(route: &Route) -> RouteFacts {
    RouteFacts {
        path: route.pattern.to_string(),
        methods: route.methods.iter().map(Method::to_string).collect(),
        upstream: route.upstream.name().to_owned(),
        mode: mode(route.mode),
        authentication: match route.authentication {
            Authentication::Required => "required",
            Authentication::Optional => "optional",
            Authentication::None => "none",
        },
        roles: route.roles.clone(),
        limits: route.limits.clone(),
        headers: route.headers.as_ref().map(|headers| headers.profile.clone()),
        webhook: route.webhook.as_ref().map(|hook| format!("{}/{}", hook.tenant, hook.source)),
        schema: route.schema.clone(),
        audit: route.audit,
    }
}

/// The word of a mode.
pub(crate) const fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Observe => "observe",
        Mode::Shadow => "shadow",
        Mode::Enforce => "enforce",
    }
}

fn application(upstream: &Upstream) -> UpstreamFacts {
    UpstreamFacts {
        name: upstream.name().to_owned(),
        health: upstream.health().map(|health| health.path.clone()),
        servers: upstream.servers().map(|(address, well)| (address.to_string(), well)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use chancery_domain::limits::{Limit, On, Per, Policy, Rule};
    use chancery_gateway::{Address, Pattern};

    use super::*;

    /// The routes were let through uncounted.
    #[test]
    fn limits_that_were_switched_on_take_a_restart_before_a_route_names_one() {
        let table = |limits: &[&str]| {
            let address = Address::parse("http://127.0.0.1:1").unwrap();
            let upstream = Arc::new(Upstream::new("app", vec![address], None, false));
            let mut route = Route::new(Pattern::parse("/x").unwrap(), upstream);
            route.limits = limits.iter().map(|name| (*name).to_owned()).collect();
            Table::new(vec![route]).unwrap()
        };
        let policy = Arc::new(Policy::new("pages", Limit { count: 2, seconds: 60 }).unwrap());
        let rules = vec![Rule { policy, per: Per::Address, on: On::Named }];
        let off = LimitSettings { enabled: false, rules, ..LimitSettings::default() };
        let on = LimitSettings { enabled: true, ..off.clone() };
        assert!(check_limits(&table(&["pages"]), &on, &off).is_err());
        assert!(check_limits(&table(&[]), &on, &off).is_ok());
        for as_before in [&on, &off] {
            assert!(check_limits(&table(&["pages"]), as_before, as_before).is_ok());
        }
    }
}
