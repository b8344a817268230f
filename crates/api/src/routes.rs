//! Routes of the gateway in this process.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use chancery_domain::routes::{self, RouteFacts, RouteSight, UpstreamFacts};
use chancery_middleware::{Authenticated, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{App, error::IntoProblem};

/// A route at work.
#[derive(Serialize, ToSchema)]
#[schema(as = Route)]
pub(crate) struct RouteBody {
    #[schema(example = "/api/patients/{id}")]
    path: String,
    /// All if there are none.
    methods: Vec<String>,
    #[schema(example = "app")]
    upstream: String,
    /// `observe`, `shadow` or `enforce`.
    mode: &'static str,
    /// `required`, `optional` or `none`.
    authentication: &'static str,
    /// One of these; any if there are none.
    roles: Vec<String>,
    /// The limits that count its requests.
    limits: Vec<String>,
    /// The profile of headers of its answers.
    #[schema(required)]
    headers: Option<String>,
    /// The tenant and the source whose webhooks it takes.
    #[schema(required)]
    webhook: Option<String>,
    /// The document that requests are held to.
    #[schema(required)]
    schema: Option<String>,
    /// Whether each request is in its tenant's log.
    audit: bool,
}

impl From<RouteFacts> for RouteBody {
    fn from(route: RouteFacts) -> Self {
        let RouteFacts { path, methods, upstream, mode, authentication, roles, limits, .. } = route;
        let RouteFacts { headers, webhook, schema, audit, .. } = route;
        Self { path, methods, upstream, mode, authentication, roles, limits, headers, webhook, schema, audit }
    }
}

/// The routes at work, in the order in which they are tried.
#[derive(Serialize, ToSchema)]
#[schema(as = Routes)]
pub(crate) struct RoutesBody {
    items: Vec<RouteBody>,
}

/// What a route saw and let pass.
#[derive(Serialize, ToSchema)]
#[schema(as = RouteSight)]
pub(crate) struct SightBody {
    #[schema(example = "/api/patients/{id}")]
    path: String,
    /// So many requests came while it did not enforce.
    requests: u64,
    /// So many reasons to refuse them were found, by their code. A request may have several.
    #[schema(example = json!({"auth.credential_missing": 12}))]
    would_refuse: BTreeMap<&'static str, u64>,
    /// So many answers of the application set these headers otherwise than the route's profile.
    #[schema(example = json!({"x-frame-options": 40}))]
    headers_differ: BTreeMap<String, u64>,
    /// So many requests came that the route's document does not name, whether they were refused or not.
    undocumented: u64,
}

impl From<RouteSight> for SightBody {
    fn from(RouteSight { path, requests, would_refuse, headers_differ, undocumented }: RouteSight) -> Self {
        Self { path, requests, would_refuse, headers_differ, undocumented }
    }
}

/// What routes saw and let pass since this process began.
#[derive(Serialize, ToSchema)]
#[schema(as = RouteSights)]
pub(crate) struct SightsBody {
    items: Vec<SightBody>,
}

/// A server of an application.
#[derive(Serialize, ToSchema)]
#[schema(as = UpstreamServer)]
pub(crate) struct ServerBody {
    #[schema(example = "http://127.0.0.1:8000")]
    address: String,
    /// Whether it answers its health check, and connections to it are made.
    well: bool,
}

/// An application behind the gateway.
#[derive(Serialize, ToSchema)]
#[schema(as = Upstream)]
pub(crate) struct UpstreamBody {
    #[schema(example = "app")]
    name: String,
    /// The path by which it is found out whether servers are well.
    #[schema(required)]
    health: Option<String>,
    servers: Vec<ServerBody>,
}

impl From<UpstreamFacts> for UpstreamBody {
    fn from(UpstreamFacts { name, health, servers }: UpstreamFacts) -> Self {
        let servers = servers.into_iter().map(|(address, well)| ServerBody { address, well }).collect();
        Self { name, health, servers }
    }
}

/// The applications behind the gateway.
#[derive(Serialize, ToSchema)]
#[schema(as = Upstreams)]
pub(crate) struct UpstreamsBody {
    items: Vec<UpstreamBody>,
}

/// How many routes there are.
#[derive(Serialize, ToSchema)]
#[schema(as = RouteCount)]
pub(crate) struct CountBody {
    routes: u64,
}

/// List the routes of this node's gateway, in the order in which they are tried.
#[utoipa::path(get, path = "/v1/gateway/routes", tag = "gateway",
    responses((status = 200, description = "The routes at work.", body = RoutesBody)))]
pub(crate) async fn list_routes(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<RoutesBody>, Problem> {
    let found = routes::list(&app.instance, &call).await.or_problem()?;
    Ok(Json(RoutesBody { items: found.into_iter().map(Into::into).collect() }))
}

/// List the applications behind this node's gateway, and which of their servers are well.
#[utoipa::path(get, path = "/v1/gateway/upstreams", tag = "gateway",
    responses((status = 200, description = "The applications.", body = UpstreamsBody)))]
pub(crate) async fn list_upstreams(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<UpstreamsBody>, Problem> {
    let found = routes::upstreams(&app.instance, &call).await.or_problem()?;
    Ok(Json(UpstreamsBody { items: found.into_iter().map(Into::into).collect() }))
}

/// Say what routes that observe or are in shadow would have refused since this process began, which headers applications set otherwise
/// than their route's profile, and how many requests no document names: counts, by route and reason.
#[utoipa::path(get, path = "/v1/gateway/observed", tag = "gateway",
    responses((status = 200, description = "Counts for each of these routes.", body = SightsBody)))]
pub(crate) async fn observed_routes(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<SightsBody>, Problem> {
    let found = routes::observed(&app.instance, &call).await.or_problem()?;
    Ok(Json(SightsBody { items: found.into_iter().map(Into::into).collect() }))
}

/// Read this node's configuration as it stands now, and say what is wrong with its routes. Nothing changes.
#[utoipa::path(post, path = "/v1/gateway/config/validate", tag = "gateway",
    responses((status = 200, description = "It could be put to work.", body = CountBody)))]
pub(crate) async fn validate_routes(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<CountBody>, Problem> {
    Ok(Json(CountBody { routes: routes::examine(&app.instance, &call).await.or_problem()? }))
}

/// Put the routes of this node's configuration to work as they stand now. Requests on their way keep theirs.
#[utoipa::path(post, path = "/v1/gateway/config/apply", tag = "gateway",
    responses((status = 200, description = "They are at work.", body = CountBody)))]
pub(crate) async fn apply_routes(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<CountBody>, Problem> {
    Ok(Json(CountBody { routes: routes::apply(&app.instance, &call).await.or_problem()? }))
}

/// Put the routes before these to work again, until the configuration changes or the process ends.
#[utoipa::path(post, path = "/v1/gateway/config/rollback", tag = "gateway",
    responses((status = 200, description = "They are at work again.", body = CountBody)))]
pub(crate) async fn roll_back_routes(
    State(app): State<App>,
    Authenticated(call): Authenticated,
) -> Result<Json<CountBody>, Problem> {
    Ok(Json(CountBody { routes: routes::roll_back(&app.instance, &call).await.or_problem()? }))
}
