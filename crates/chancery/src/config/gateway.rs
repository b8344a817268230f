//! The gateway: `[gateway]`, `[[gateway.upstreams]]` and `[[gateway.routes]]`.

use chancery_domain::{
    access::Role,
    instance::Environment,
    limits::{LimitSettings, Per},
};
use chancery_gateway::{Authentication, Mode, Pattern, Route, Settings as Gate, Table, Upstream, webhook::Hook};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    Settings,
    entry::Entry,
    findings::Findings,
    headers,
    schemas::{self, SchemaConfig},
    text::{self, Choice},
    upstreams::{self, EXAMPLE, NO_ADDRESS, NO_TLS, Outside, addresses, application, reachable},
};

/// The names of its lists.
pub(super) const ROUTES: &str = "gateway.routes";
/// Where it answers if nothing is said.
const LISTEN: &str = "127.0.0.1:8080";
/// The application of `gateway.upstream`, and of routes that name none.
const DEFAULT: &str = "default";

/// The gateway, as the operator described it.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Where it answers.
    pub listen: SocketAddr,
    /// The port at which clients reach it: another one if something outside maps it.
    pub public_port: u16,
    /// How many WebSockets and long answers may be open at once.
    pub streams: usize,
    /// Its routes.
    pub table: Table,
    /// The documents that routes hold requests to.
    pub schemas: Vec<SchemaConfig>,
    /// Whether a change of the file is put to work by itself.
    pub follow: bool,
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
pub(super) fn read(
    settings: &Settings,
    environment: Environment,
    limits: &LimitSettings,
    findings: &mut Findings,
) -> Option<GatewayConfig> {
    let (routes, applications) = (settings.tables(ROUTES), settings.tables(upstreams::LIST));
    let single = settings.find("gateway.upstream");
    if routes.is_empty() && single.is_none() {
        for (key, what) in [
            ("gateway.listen", "where it answers"),
            ("gateway.public_port", "where clients reach it"),
            ("gateway.mode", "how it refuses"),
            ("gateway.follow", "when it changes"),
            ("gateway.streams", "how much may be open"),
        ] {
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
    let public_port = text::number(settings, "gateway.public_port", listen.port(), 1..=u16::MAX, findings);
    let follow = settings.find("gateway.follow").is_none() || text::flag(settings, "gateway.follow", findings);
    let streams = text::number(settings, "gateway.streams", Gate::default().streams, 8..=16_384, findings);
    let mut known = BTreeMap::new();
    if let Some(single) = single {
        match addresses(&single.text) {
            Some(addresses) => match application(DEFAULT, addresses, &Outside::default()) {
                Ok(upstream) => drop(known.insert(DEFAULT.to_owned(), upstream)),
                Err(error) => findings.fault("gateway.upstream", format!("cannot be reached: {error:#}"), NO_TLS),
            },
            None => findings.fault(format!("gateway.upstream ({})", single.origin), NO_ADDRESS, EXAMPLE),
        }
    }
    for (number, (table, origin)) in applications {
        let mut entry = Entry::new(upstreams::LIST, number, &origin, &table, findings);
        let upstream = upstreams::upstream(&mut entry);
        if upstream.as_ref().is_some_and(|upstream| known.contains_key(upstream.name())) {
            entry.fault(
                "name",
                "is given to two applications",
                "give each a name of its own; `default` is gateway.upstream",
            );
        }
        entry.refuse_unknown("application");
        known.extend(upstream.map(|upstream| (upstream.name().to_owned(), upstream)));
    }
    let schemas = schemas::read(settings, findings);
    let mut list = Vec::new();
    if routes.is_empty()
        && let (Some(upstream), Ok(all)) = (known.get(DEFAULT), Pattern::parse("/*"))
    {
        list.push(Route { mode, ..Route::new(all, Arc::clone(upstream)) });
    }
    for (number, (table, origin)) in routes {
        let mut entry = Entry::new(ROUTES, number, &origin, &table, findings);
        let mut route = route(&mut entry, mode, &mut known);
        let headers = headers::of_route(&mut entry, settings, environment);
        let (names, webhook) = (entry.words("limit"), entry.text("webhook"));
        if let (Some(route), Some(text)) = (&mut route, webhook) {
            route.webhook = hook(&mut entry, route, &text);
        }
        let asks = route.as_ref().is_none_or(|route| route.authentication != Authentication::None);
        check_limits(&mut entry, &names, asks, limits);
        if let Some(route) = &mut route {
            (route.limits, route.headers) = (names, headers);
        }
        entry.refuse_unknown("route");
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
    let digest = match settings.digest(&["gateway", "headers"]) {
        Ok(digest) => digest,
        Err(error) => {
            findings.fault("gateway", format!("cannot be told from another in the log: {error}"), "write it in ASCII");
            return None;
        }
    };
    match Table::new(list) {
        Ok(table) => {
            Some(GatewayConfig { listen, public_port, streams, table: table.read_from(digest), schemas, follow })
        }
        Err(error) => {
            findings.fault(ROUTES, error.to_string(), "give each request one route: by its path, or by its method");
            None
        }
    }
}

fn route(entry: &mut Entry<'_>, mode: Mode, known: &mut BTreeMap<String, Arc<Upstream>>) -> Option<Route> {
    let path = entry.needed("path", "/api/*");
    let pattern = Pattern::parse(&path);
    if pattern.is_err() && !path.is_empty() {
        entry.fault("path", "is no path of a route", "write /a/path, /a/{parameter} or /all/below/*");
    }
    let upstream = target(entry, known);
    let methods = named(entry, "methods", "a method", |text| text.to_ascii_uppercase().parse().ok());
    let underscores = named(entry, "underscore_headers", "a header's name", |text| text.parse().ok());
    let drops = |text: &str| text.parse().ok().filter(|_| chancery_gateway::hygiene::may_drop(text));
    let drop_headers = named(entry, "drop_headers", "a header that may be taken out", drops);
    let trails = |text: &str| text.parse().ok().filter(|_| chancery_gateway::hygiene::may_trail(text));
    let trailers = named(entry, "trailers", "a trailer that may go on", trails);
    let mode = entry.choice("mode", mode);
    let authentication = entry.choice("authentication", Authentication::Required);
    let roles = roles(entry);
    // Of a route for webhooks the fault is told with its other ones.
    if authentication == Authentication::None && !roles.is_empty() && !entry.table.contains_key("webhook") {
        let cure = "take one of the two out: who needs a role must be asked who calls";
        entry.fault("roles", "cannot be asked for where nobody asks who calls (authentication = \"none\")", cure);
    }
    let timeout = Duration::from_secs(entry.number("timeout_seconds", 60, 1, 86_400));
    let body_bytes = entry.number("body_bytes", 8 * 1024 * 1024, 0, i64::MAX.unsigned_abs());
    let single_parameters = entry.words("single_parameters");
    let mut flag = |key, default| entry.flag(key, default);
    let (plain_identity, keep_credential, audit) =
        (flag("plain_identity", false), flag("keep_credential", false), flag("audit", false));
    let (websocket, preflights) = (flag("websocket", true), flag("preflights", true));
    let path_parameters = flag("path_parameters", false);
    let schema = entry.text("schema");
    Some(Route {
        methods,
        mode,
        authentication,
        roles,
        timeout,
        body_bytes,
        underscore_headers: underscores,
        drop_headers,
        trailers,
        plain_identity,
        keep_credential,
        audit,
        websocket,
        preflights,
        path_parameters,
        single_parameters,
        schema,
        ..Route::new(pattern.ok()?, upstream?)
    })
}

/// By the name of `[[gateway.upstreams]]`, or an address: routes that write the same one lead to one application, with one pool of
/// connections and one share of the places.
fn target(entry: &mut Entry<'_>, known: &mut BTreeMap<String, Arc<Upstream>>) -> Option<Arc<Upstream>> {
    let text = entry.text("upstream").unwrap_or_else(|| DEFAULT.to_owned());
    if let Some(upstream) = known.get(&text) {
        return Some(Arc::clone(upstream));
    }
    let addresses = addresses(&text);
    if addresses.is_none() {
        entry.fault("upstream", "names no application", "name one of [[gateway.upstreams]], or write its address");
    }
    let upstream = reachable(entry, "upstream", application(&text, addresses?, &Outside::default()))?;
    known.insert(text, Arc::clone(&upstream));
    Some(upstream)
}

/// Who writes a limit must not believe in one that is none, or that never counts: `asks` is whether the route asks who calls.
fn check_limits(entry: &mut Entry<'_>, names: &[String], asks: bool, limits: &LimitSettings) {
    for name in names {
        match limits.named(name) {
            None => {
                let cure = "name one of [[limits.policies]], or write that";
                entry.fault("limit", format!("names `{name}`, which is no limit"), cure);
            }
            Some(rule) if rule.per != Per::Address && !asks => {
                let cure = "let the limit count addresses (per = \"address\"), or the route ask who calls";
                entry.fault("limit", format!("names `{name}`, which counts callers, and nobody asks who calls"), cure);
            }
            Some(_) => {}
        }
    }
}

/// A webhook's sender is who its signature says: a route that takes them asks for nothing else.
fn hook(entry: &mut Entry<'_>, route: &mut Route, text: &str) -> Option<Hook> {
    let asks = [
        ("authentication", entry.table.contains_key("authentication") && route.authentication != Authentication::None),
        ("roles", !route.roles.is_empty()),
        ("schema", route.schema.is_some()),
        ("plain_identity", route.plain_identity),
        ("audit", route.audit),
    ];
    for key in asks.iter().filter(|(_, asks)| *asks).map(|(key, _)| *key) {
        let cure = "take it out: the sender's signature is asked for, and each message is in the tenant's log";
        entry.fault(key, "cannot be asked of who sends webhooks", cure);
    }
    route.authentication = Authentication::None;
    let hook = text.parse();
    if hook.is_err() {
        entry.fault(
            "webhook",
            "names no source",
            "write TENANT/whs_…, the end of its path as `chancery webhook get` gives it",
        );
    }
    hook.ok()
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
    use chancery_domain::{
        ids::WebhookSourceId,
        limits::{Limit, On, Policy, Rule},
    };

    use super::*;

    fn read_text(text: &str) -> (Option<GatewayConfig>, Findings) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        let (mut settings, mut findings) = (Settings::default(), Findings::default());
        settings.read_file(&path, &mut findings);
        let mut limits = LimitSettings::usual();
        limits.rules.extend(["pages", "staff"].map(|name| Rule {
            policy: Arc::new(Policy::new(name, Limit { count: 9, seconds: 60 }).unwrap()),
            per: if name == "pages" { Per::Address } else { Per::ApiKey },
            on: On::Named,
        }));
        (read(&settings, Environment::Production, &limits, &mut findings), findings)
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
    async fn clients_reach_it_at_its_own_port_unless_another_one_is_mapped_to_it() {
        let at = |further: &str| {
            read_text(&format!("[gateway]\nupstream = \"http://a:1\"\nlisten = \"0.0.0.0:8444\"\n{further}"))
        };
        assert_eq!(at("").0.unwrap().public_port, 8444);
        assert_eq!(at("public_port = 8443").0.unwrap().public_port, 8443);
        for none in ["public_port = 0", "public_port = 65536", "public_port = \"https\""] {
            let (config, findings) = at(none);
            assert!(config.is_none() && findings.faults.len() == 1, "{none}: {findings:?}");
            assert!(findings.faults[0].subject.starts_with("gateway.public_port"), "{findings:?}");
        }
        let (_, findings) = read_text("[gateway]\npublic_port = 8443");
        assert!(findings.faults[0].problem.contains("there is no gateway"), "{findings:?}");
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
            drop_headers = ["X-SSO-User"]
            trailers = ["X-Checksum"]
            timeout_seconds = 5
            preflights = false
            "#,
        );
        assert!(findings.faults.is_empty(), "{findings:?}");
        let table = config.unwrap().table;
        let api = table.routes().iter().find(|route| route.pattern.as_str() == "/api/*").unwrap();
        assert_eq!((api.mode, api.timeout.as_secs(), api.preflights), (Mode::Shadow, 5, false));
        assert_eq!(api.roles, ["clinician", "night-shift"]);
        assert_eq!(api.trailers, ["x-checksum"]);
        assert_eq!(api.drop_headers, ["x-sso-user"]);
        assert_eq!(table.upstreams().len(), 1);
    }

    #[tokio::test]
    async fn routes_to_the_same_address_lead_to_one_application_and_a_name_is_given_once() {
        let route = |path: &str, to: &str| format!("[[gateway.routes]]\npath = \"{path}\"\nupstream = \"{to}\"\n");
        let routes =
            [("/a", "http://a:1"), ("/b", "http://a:1"), ("/c", "http://c:1")].map(|(path, to)| route(path, to));
        let (config, findings) = read_text(&routes.concat());
        assert!(findings.faults.is_empty(), "{findings:?}");
        let names: Vec<_> =
            config.unwrap().table.upstreams().iter().map(|upstream| upstream.name().to_owned()).collect();
        assert_eq!(
            names.len(),
            2,
            "a share of the places for each application, however many routes lead to it: {names:?}"
        );
        let named = |name: &str| format!("[[gateway.upstreams]]\nname = \"{name}\"\nurls = [\"http://a:1\"]\n");
        let taken = format!("[gateway]\nupstream = \"http://d:1\"\n{}", named("default"));
        for twice in [named("app").repeat(2) + &route("/a", "app"), taken] {
            let (config, findings) = read_text(&twice);
            assert!(config.is_none() && findings.faults.len() == 1, "{findings:?}");
            assert!(findings.faults[0].problem.contains("two applications"), "{findings:?}");
        }
    }

    #[tokio::test]
    async fn limits_headers_and_webhooks_are_what_the_configuration_knows_of_them() {
        let route = |text: &str| {
            let (config, findings) =
                read_text(&format!("[[gateway.routes]]\npath=\"/a\"\nupstream=\"http://a\"\n{text}"));
            let faults: Vec<String> =
                findings.faults.iter().map(|fault| format!("{} {}", fault.subject, fault.problem)).collect();
            (config.map(|config| Arc::clone(&config.table.routes()[0])), faults.join("\n"))
        };
        let id = WebhookSourceId::from_bytes([7; 16]);
        let (fine, faults) =
            route(&format!("limit=\"pages\"\nheaders=\"strict\"\nheaders_report_only=true\nwebhook=\"north/{id}\""));
        assert_eq!(faults, "");
        let fine = fine.unwrap();
        assert_eq!((fine.limits[0].as_str(), fine.authentication), ("pages", Authentication::None));
        assert_eq!(fine.webhook.as_ref().unwrap().tenant, "north");
        let headers = fine.headers.as_ref().unwrap();
        let mut set = http::HeaderMap::new();
        headers.ready.apply(&mut set, headers.mode, None);
        assert!(
            set.contains_key("content-security-policy-report-only") && !set.contains_key("content-security-policy")
        );
        for (text, told) in [
            ("limit = \"nights\"", "which is no limit"),
            ("limit = \"staff\"\nauthentication = \"none\"", "counts callers"),
            ("headers = \"lax\"", ".headers"),
            ("headers_report_only = true", ".headers_report_only"),
            ("headers = \"api\"\nheaders_mode = \"both\"", ".headers_mode"),
            ("webhook = \"oura\"", "names no source"),
            (&format!("webhook = \"north/{id}\"\nroles = [\"staff\"]"), ".roles"),
            (&format!("webhook = \"north/{id}\"\nauthentication = \"required\""), ".authentication"),
        ] {
            let (none, faults) = route(text);
            assert!(none.is_none() && faults.contains(told) && faults.lines().count() == 1, "{text}: {faults}");
        }
        assert_eq!(route("limit = [\"staff\"]").1, "");
    }

    /// Such a route was open to everybody.
    #[tokio::test]
    async fn a_route_that_asks_nobody_who_calls_asks_for_no_role() {
        let text =
            |more: &str| format!("[[gateway.routes]]\npath=\"/a\"\nupstream=\"http://a\"\nroles=[\"staff\"]\n{more}");
        let (config, findings) = read_text(&text("authentication = \"none\""));
        assert!(config.is_none());
        let [fault] = &findings.faults[..] else { panic!("one fault: {findings:?}") };
        assert!(fault.subject.contains("roles"), "{fault:?}");
        assert!(read_text(&text("authentication = \"optional\"")).0.is_some());
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
            trailers = ["x-auth-subject"]
            drop_headers = ["Content-Length"]
            limit = "api"
            "#,
        );
        assert!(config.is_none());
        let told: Vec<_> = findings.faults.iter().map(|fault| fault.subject.split(' ').next().unwrap()).collect();
        assert_eq!(told.len(), 8, "{findings:?}");
        let (_, twice) = read_text(
            "[[gateway.routes]]\npath=\"/a\"\nupstream=\"http://a\"\n[[gateway.routes]]\npath=\"/a/\"\nupstream=\"http://a\"",
        );
        assert!(twice.faults[0].problem.contains("/a and /a/"), "{twice:?}");
    }
}
