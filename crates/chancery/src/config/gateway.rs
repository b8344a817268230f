//! The gateway: `[gateway]`, `[[gateway.upstreams]]` and `[[gateway.routes]]`.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use chancery_domain::access::Role;
use chancery_gateway::{Address, Authentication, Mode, Pattern, Route, Table, Upstream, upstream::Health};

use super::{
    Settings,
    entry::Entry,
    findings::Findings,
    schemas::{self, SchemaConfig},
    text::{self, Choice},
};

/// The names of its lists.
pub(super) const ROUTES: &str = "gateway.routes";
/// Of applications.
pub(super) const UPSTREAMS: &str = "gateway.upstreams";
/// Where it answers if nothing is said.
const LISTEN: &str = "127.0.0.1:8080";
/// The application of `gateway.upstream`, and of routes that name none.
const DEFAULT: &str = "default";

/// The gateway, as the operator described it.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Where it answers.
    pub listen: SocketAddr,
    /// Its routes.
    pub table: Table,
    /// The documents that routes hold requests to.
    pub schemas: Vec<SchemaConfig>,
}

impl Choice for Mode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("observe", Self::Observe), ("shadow", Self::Shadow), ("enforce", Self::Enforce)];
}

impl Choice for Authentication {
    const WORDS: &'static [(&'static str, Self)] =
        &[("required", Self::Required), ("optional", Self::Optional), ("none", Self::None)];
}

/// Nothing is configured: there is none. Faults are told, and then there is none either.
pub(super) fn read(settings: &Settings, findings: &mut Findings) -> Option<GatewayConfig> {
    let (routes, upstreams) = (settings.tables(ROUTES), settings.tables(UPSTREAMS));
    let single = settings.find("gateway.upstream");
    if routes.is_empty() && single.is_none() {
        for (key, what) in [("gateway.listen", "where it answers"), ("gateway.mode", "how it refuses")] {
            if settings.find(key).is_some() {
                let cure = "set gateway.upstream, or write [[gateway.routes]]";
                findings.fault(key, format!("says {what} and there is no gateway"), cure);
            }
        }
        return None;
    }
    let before = findings.faults.len();
    let mode = text::read(settings, "gateway.mode", Mode::Enforce, findings);
    let listen = text::address(settings, "gateway.listen", LISTEN, findings);
    let mut known = BTreeMap::new();
    if let Some(single) = single {
        match addresses(&single.text) {
            Some(addresses) => drop(known.insert(DEFAULT.to_owned(), application(DEFAULT, addresses, None, false))),
            None => findings.fault(format!("gateway.upstream ({})", single.origin), NO_ADDRESS, EXAMPLE),
        }
    }
    for (number, (table, origin)) in upstreams {
        let mut entry = Entry { list: UPSTREAMS, number, origin: &origin, table: &table, known: Vec::new(), findings };
        let upstream = upstream(&mut entry);
        entry.refuse_unknown();
        if let Some(upstream) = upstream {
            known.insert(upstream.name().to_owned(), upstream);
        }
    }
    let schemas = schemas::read(settings, findings);
    let mut list = Vec::new();
    if routes.is_empty()
        && let (Some(upstream), Ok(all)) = (known.get(DEFAULT), Pattern::parse("/*"))
    {
        list.push(Route { mode, ..Route::new(all, Arc::clone(upstream)) });
    }
    for (number, (table, origin)) in routes {
        let mut entry = Entry { list: ROUTES, number, origin: &origin, table: &table, known: Vec::new(), findings };
        let route = route(&mut entry, mode, &known);
        entry.refuse_unknown();
        list.extend(route);
    }
    for name in list.iter().filter_map(|route: &Route| route.schema.as_deref()) {
        if !schemas.iter().any(|schema| schema.name == name) {
            let cure = "write [[gateway.schemas]] with that name, or take `schema` out of the route";
            findings.fault(ROUTES, format!("a route names the document `{name}`, which is none"), cure);
        }
    }
    if findings.faults.len() > before {
        return None;
    }
    match Table::new(list) {
        Ok(table) => Some(GatewayConfig { listen, table, schemas }),
        Err(error) => {
            findings.fault(ROUTES, error.to_string(), "give each request one route: by its path, or by its method");
            None
        }
    }
}

const NO_ADDRESS: &str = "is no address of an application";
const EXAMPLE: &str = "write http://127.0.0.1:8000 or unix:/run/app.sock";

fn addresses(text: &str) -> Option<Vec<Address>> {
    let all: Option<Vec<Address>> = text.split(',').map(|text| Address::parse(text.trim()).ok()).collect();
    all.filter(|all| !all.is_empty())
}

fn application(name: &str, addresses: Vec<Address>, health: Option<Health>, http2: bool) -> Arc<Upstream> {
    Arc::new(Upstream::new(name, addresses, health, http2))
}

fn upstream(entry: &mut Entry<'_>) -> Option<Arc<Upstream>> {
    let name = entry.needed("name", "app");
    let urls = entry.words("urls");
    let path = entry.text("health");
    let every = Duration::from_secs(entry.number("health_seconds", 5, 1, 3600));
    let http2 = entry.flag("http2", false);
    let addresses = addresses(&urls.join(","));
    if addresses.is_none() {
        entry.fault("urls", NO_ADDRESS, r#"write urls = ["http://127.0.0.1:8000"]"#);
    }
    if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        entry.fault("health", "is no path", r#"write health = "/healthz""#);
    }
    let health = path.map(|path| Health { path, every });
    addresses.map(|addresses| application(&name, addresses, health, http2))
}

fn route(entry: &mut Entry<'_>, mode: Mode, known: &BTreeMap<String, Arc<Upstream>>) -> Option<Route> {
    let path = entry.needed("path", "/api/*");
    let pattern = Pattern::parse(&path);
    if pattern.is_err() && !path.is_empty() {
        entry.fault("path", "is no path of a route", "write /a/path, /a/{parameter} or /all/below/*");
    }
    let upstream = target(entry, known);
    let methods = named(entry, "methods", "a method", |text| text.to_ascii_uppercase().parse().ok());
    let underscores = named(entry, "underscore_headers", "a header's name", |text| text.parse().ok());
    let mode = entry.choice("mode", mode);
    let authentication = entry.choice("authentication", Authentication::Required);
    let roles = roles(entry);
    let timeout = Duration::from_secs(entry.number("timeout_seconds", 60, 1, 86_400));
    let body_bytes = entry.number("body_bytes", 8 * 1024 * 1024, 0, i64::MAX.unsigned_abs());
    let single_parameters = entry.words("single_parameters");
    let mut flag = |key, default| entry.flag(key, default);
    let (plain_identity, keep_credential, audit) =
        (flag("plain_identity", false), flag("keep_credential", false), flag("audit", false));
    let (websocket, path_parameters) = (flag("websocket", true), flag("path_parameters", false));
    // `limit`, `headers` and `webhook` are no settings until something acts on them: who writes a limit must not believe in one.
    let schema = entry.text("schema");
    Some(Route {
        methods,
        mode,
        authentication,
        roles,
        timeout,
        body_bytes,
        underscore_headers: underscores,
        plain_identity,
        keep_credential,
        audit,
        websocket,
        path_parameters,
        single_parameters,
        schema,
        ..Route::new(pattern.ok()?, upstream?)
    })
}

/// By the name of `[[gateway.upstreams]]`, or an address.
fn target(entry: &mut Entry<'_>, known: &BTreeMap<String, Arc<Upstream>>) -> Option<Arc<Upstream>> {
    let text = entry.text("upstream").unwrap_or_else(|| DEFAULT.to_owned());
    if let Some(upstream) = known.get(&text) {
        return Some(Arc::clone(upstream));
    }
    let addresses = addresses(&text);
    if addresses.is_none() {
        entry.fault("upstream", "names no application", "name one of [[gateway.upstreams]], or write its address");
    }
    addresses.map(|addresses| application(&text, addresses, None, false))
}

/// Roles of ours, or of a tenant's own making, which nobody knows here.
fn roles(entry: &mut Entry<'_>) -> Vec<String> {
    let word = |text: &str| {
        let own = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte));
        (text.parse::<Role>().is_ok() || (own && !text.is_empty())).then(|| text.to_owned())
    };
    named(entry, "roles", "a role", word)
}

fn named<T>(entry: &mut Entry<'_>, key: &'static str, what: &str, read: impl Fn(&str) -> Option<T>) -> Vec<T> {
    let mut all = Vec::new();
    for text in entry.words(key) {
        match read(&text) {
            Some(value) => all.push(value),
            None => entry.fault(key, format!("holds what is not {what}"), "correct it or take it out"),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (Option<GatewayConfig>, Findings) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        settings.read_file(&path, &mut findings);
        (read(&settings, &mut findings), findings)
    }

    #[tokio::test]
    async fn one_line_makes_a_gateway_that_refuses_strangers() {
        let (config, findings) = read_text("[gateway]\nupstream = \"http://127.0.0.1:8000\"");
        assert!(findings.faults.is_empty(), "{findings:?}");
        let config = config.unwrap();
        let [route] = config.table.routes() else { panic!("one route") };
        assert_eq!(
            (route.pattern.as_str(), route.mode, route.authentication),
            ("/*", Mode::Enforce, Authentication::Required)
        );
        assert_eq!(config.listen.to_string(), LISTEN);
        assert!(read_text("").0.is_none());
    }

    #[tokio::test]
    async fn routes_say_what_they_demand() {
        let (config, findings) = read_text(
            r#"
            [gateway]
            listen = "127.0.0.1:9000"
            [[gateway.upstreams]]
            name = "app"
            urls = ["http://127.0.0.1:8000", "unix:/run/app.sock"]
            health = "/healthz"
            [[gateway.routes]]
            path = "/health"
            upstream = "app"
            authentication = "none"
            methods = ["get"]
            [[gateway.routes]]
            path = "/api/*"
            upstream = "app"
            mode = "shadow"
            roles = ["clinician", "night-shift"]
            underscore_headers = ["x_app_id"]
            timeout_seconds = 5
            "#,
        );
        assert!(findings.faults.is_empty(), "{findings:?}");
        let table = config.unwrap().table;
        let api = table.routes().iter().find(|route| route.pattern.as_str() == "/api/*").unwrap();
        assert_eq!((api.mode, api.timeout.as_secs()), (Mode::Shadow, 5));
        assert_eq!(api.roles, ["clinician", "night-shift"]);
        assert_eq!(table.upstreams().len(), 1);
    }

    #[tokio::test]
    async fn every_fault_is_told_at_once() {
        let (config, findings) = read_text(
            r#"
            [[gateway.routes]]
            path = "api"
            upstream = "app"
            mode = "lax"
            methods = ["G T"]
            colour = "red"
            limit = "api"
            "#,
        );
        assert!(config.is_none());
        let told: Vec<_> = findings.faults.iter().map(|fault| fault.subject.split(' ').next().unwrap()).collect();
        assert_eq!(told.len(), 6, "{findings:?}");
        let (_, twice) = read_text(
            "[[gateway.routes]]\npath=\"/a\"\nupstream=\"http://a\"\n[[gateway.routes]]\npath=\"/a/\"\nupstream=\"http://a\"",
        );
        assert!(twice.faults[0].problem.contains("/a and /a/"), "{twice:?}");
    }
}
