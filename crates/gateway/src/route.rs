//! A route: which requests it is for, what it demands of them, and where they go.

use std::{sync::Arc, time::Duration};

use chancery_middleware::{
    Template,
    headers::{HeaderMode, ReadyHeaders},
};
use http::{HeaderName, Method};

use crate::{Pattern, Upstream, webhook::Hook};

/// How much of what a route demands counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// What would be refused is told to the log, and goes on.
    Observe,
    /// And to the client, in `x-chancery-verdict`.
    Shadow,
    /// It is refused.
    #[default]
    Enforce,
}

/// Whether a route needs a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Authentication {
    /// Without a valid one there is no way in.
    #[default]
    Required,
    /// None is fine, and one that is not valid is not.
    Optional,
    /// Nobody looks at it: the application's own business.
    None,
}

/// What browsers are told of an application's answers.
#[derive(Debug, Clone)]
pub struct RouteHeaders {
    /// The profile, as the operator named it.
    pub profile: String,
    /// Its headers.
    pub ready: Arc<ReadyHeaders>,
    /// Which stands where the application says something else.
    pub mode: HeaderMode,
}

/// A route. What others plug in goes by its name alone: see [`crate::Demand`].
#[derive(Debug, Clone)]
pub struct Route {
    /// Which paths.
    pub pattern: Pattern,
    /// Which methods; all if there are none.
    pub methods: Vec<Method>,
    /// Where to.
    pub upstream: Arc<Upstream>,
    /// How much of the following counts.
    pub mode: Mode,
    /// Whether it needs a credential.
    pub authentication: Authentication,
    /// One of these roles, by name; any if there are none.
    pub roles: Vec<String>,
    /// How long the application may take to answer, from the last byte of the request.
    pub timeout: Duration,
    /// The longest body, in bytes; no bound if 0.
    pub body_bytes: u64,
    /// Names with `_` that may go on.
    pub underscore_headers: Vec<HeaderName>,
    /// Names of headers that do not go on, besides those that never do.
    pub drop_headers: Vec<HeaderName>,
    /// Names of trailers that may go on behind a request's body, of those that [`hygiene::may_trail`](crate::hygiene::may_trail).
    pub trailers: Vec<HeaderName>,
    /// Whether who calls goes on in plain `X-Auth-*` headers, which the application must not believe from anybody else.
    pub plain_identity: bool,
    /// Whether the credential itself goes on.
    pub keep_credential: bool,
    /// Whether every request that goes on is told to the tenant's log.
    pub audit: bool,
    /// Whether WebSockets may be opened.
    pub websocket: bool,
    /// Whether browsers that ask first reach the application, whatever the route demands of callers.
    pub preflights: bool,
    /// Whether segments of the path may have parameters (`;`).
    pub path_parameters: bool,
    /// Parameters of the query that may come once.
    pub single_parameters: Vec<String>,
    /// Limits that count its requests, by name.
    pub limits: Vec<String>,
    /// What browsers are told of the application's answers.
    pub headers: Option<RouteHeaders>,
    /// Whose webhooks it takes in the application's place.
    pub webhook: Option<Hook>,
    /// What bodies must look like, by name.
    pub schema: Option<String>,
    /// What the log calls it: its pattern.
    pub template: Template,
}

impl Route {
    /// A route that demands a credential and nothing else.
    pub fn new(pattern: Pattern, upstream: Arc<Upstream>) -> Self {
        Self {
            template: Template::new(pattern.as_str()),
            pattern,
            methods: Vec::new(),
            upstream,
            mode: Mode::default(),
            authentication: Authentication::default(),
            roles: Vec::new(),
            timeout: Duration::from_secs(60),
            body_bytes: 8 * 1024 * 1024,
            underscore_headers: Vec::new(),
            drop_headers: Vec::new(),
            trailers: Vec::new(),
            plain_identity: false,
            keep_credential: false,
            audit: false,
            websocket: true,
            preflights: true,
            path_parameters: false,
            single_parameters: Vec::new(),
            limits: Vec::new(),
            headers: None,
            webhook: None,
            schema: None,
        }
    }

    /// Whether nobody gets in whom it does not know. A role is nobody's unless somebody proves it.
    pub fn needs_caller(&self) -> bool {
        self.authentication == Authentication::Required || !self.roles.is_empty()
    }

    /// So many bytes of a body go on: all, where nothing is refused.
    pub fn most_bytes(&self) -> u64 {
        if self.body_bytes == 0 || self.mode != Mode::Enforce { u64::MAX } else { self.body_bytes }
    }

    /// Whether it takes requests of this method. Whoever may GET may HEAD.
    pub fn takes(&self, method: &Method) -> bool {
        let head = *method == Method::HEAD && self.methods.contains(&Method::GET);
        self.methods.is_empty() || self.methods.contains(method) || head
    }
}
